// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Channels that are one worker's own (chan/internal/state_word.h), and others
// who come while it goes on. The schedules are searched by test/model; here are
// the real restartable sequences.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "chan/chan.h"
#include "chan/internal/core.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/restartable.h"
#include "select/select.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Scaled;

bool IsOwned(const Chan<int64_t>& ch) {
  return internal::CoreAccess::Get(ch)->IsOwnedForTest();
}

// A channel that was used by the calling goroutine alone, long enough.
Chan<int64_t> MakeOwned(std::ptrdiff_t capacity) {
  Chan<int64_t> ch = MakeChan<int64_t>(capacity);
  for (int64_t i = 0; i < 300; ++i) {
    ch.Send(i);
    EXPECT_EQ(ch.Recv().value, i);
  }
  return ch;
}

// Runs `body` as a goroutine and waits for it.
void OnWorker(const std::function<void()>& body) {
  const Chan<Unit> done = MakeChan<Unit>();
  Go([&body, done] {  // its own handle: it closes while the caller goes on
    body();
    done.Close();
  });
  done.Recv();
}

TEST(OwnedChannelTest, BecomesItsOnlyUsersOwnWhereThatIsPossible) {
  const bool possible = runtime::MarkOf(0) != 0;
  OnWorker([&] {
    const Chan<int64_t> ch = MakeOwned(1);
    EXPECT_EQ(IsOwned(ch), possible);
    // A thread comes: for its own sake, not for what it wants.
    std::thread([&] { EXPECT_EQ(ch.Len(), 0u); }).join();
    EXPECT_FALSE(IsOwned(ch));
    ch.Send(1);
    EXPECT_EQ(ch.Recv().value, 1);
    EXPECT_FALSE(IsOwned(ch)) << "once and for ever";
  });
}

TEST(OwnedChannelTest, WhoeverComesEarlyKeepsItShared) {
  OnWorker([&] {
    const Chan<int64_t> ch = MakeChan<int64_t>(1);
    std::thread([&] { ch.Send(1); }).join();
    EXPECT_EQ(ch.Recv().value, 1);
    for (int64_t i = 0; i < 300; ++i) {
      ch.Send(i);
      EXPECT_EQ(ch.Recv().value, i);
    }
    EXPECT_FALSE(IsOwned(ch));
  });
}

TEST(OwnedChannelTest, ThatOfAThreadBelongsToWhoeverComesFirst) {
  const bool possible = runtime::MarkOf(0) != 0;
  const Chan<int64_t> ch = MakeChan<int64_t>(1);
  OnWorker([&] {
    for (int64_t i = 0; i < 300; ++i) {
      ch.Send(i);
      EXPECT_EQ(ch.Recv().value, i);
    }
    EXPECT_EQ(IsOwned(ch), possible);
  });
  EXPECT_EQ(ch.Len(), 0u);
  EXPECT_FALSE(IsOwned(ch));
}

// The owner sends, others come and send, too; all is received once, and in the
// order of each sender.
TEST(OwnedChannelTest, OthersSendWhileItsOwnerGoesOn) {
  constexpr int kOthers = 2;
  constexpr int64_t kValues = 400;
  for (int round = 0; round < Scaled(100); ++round) {
    OnWorker([round] {
      const Chan<int64_t> ch = MakeOwned(1 + round % 5);
      std::atomic<int> ready{0};
      std::atomic<bool> go{false};
      std::vector<std::thread> others;
      for (int64_t k = 1; k <= kOthers; ++k) {
        others.emplace_back([&, k] {
          ready.fetch_add(1);
          while (!go.load()) {
          }
          for (int64_t i = 0; i < kValues; ++i) ch.Send(k * kValues + i);
        });
      }
      while (ready.load() < kOthers) {
      }
      // Its own values go through its own channel up to the last moment.
      int64_t next[kOthers + 1] = {0, 0, 0};
      int64_t received = 0, sent = 0;
      auto receive = [&](int64_t value) {
        const int64_t k = value / kValues;
        ASSERT_EQ(value % kValues, next[k]) << "of sender " << k;
        ++next[k];
        ++received;
      };
      go.store(true);
      while (received < (kOthers + 1) * kValues) {
        if (sent < kValues && ch.TrySend(sent)) ++sent;
        if (const auto got = ch.TryRecv()) {
          receive(got->value);
        }
        if (testing::Test::HasFatalFailure()) break;
      }
      if (testing::Test::HasFatalFailure()) std::abort();
      for (std::thread& other : others) other.join();
      EXPECT_EQ(ch.Len(), 0u);
    });
  }
}

// The same unbuffered: the owner's goroutines hand over to each other.
TEST(OwnedChannelTest, OthersMeetTheOwnersGoroutines) {
  constexpr int64_t kValues = 400;
  for (int round = 0; round < Scaled(80); ++round) {
    OnWorker([] {
      const Chan<int64_t> ch = MakeChan<int64_t>();
      const Chan<int64_t> sums = MakeChan<int64_t>(1);
      Go([ch, sums] {
        int64_t sum = 0;
        for (int64_t i = 0; i < 3 * kValues; ++i) sum += ch.Recv().value;
        sums.Send(sum);
      });
      std::atomic<bool> go{false};
      std::thread other([&] {
        while (!go.load()) {
        }
        for (int64_t i = 1; i <= kValues; ++i) ch.Send(i);
      });
      for (int64_t i = 1; i <= kValues; ++i) ch.Send(i);
      go.store(true);
      for (int64_t i = 1; i <= kValues; ++i) ch.Send(i);
      EXPECT_EQ(sums.Recv().value, 3 * kValues * (kValues + 1) / 2);
      other.join();
    });
  }
}

// Selects wait on them, one behind the other, and the last handle may go before
// the last wait is over.
TEST(OwnedChannelTest, OthersMeetTheOwnersSelects) {
  constexpr int64_t kValues = 300;
  constexpr int kReceivers = 3;
  for (int round = 0; round < Scaled(80); ++round) {
    OnWorker([round] {
      Chan<int64_t> a = MakeChan<int64_t>(round % 3 == 0 ? 1 : 0);
      Chan<int64_t> b = MakeChan<int64_t>(round % 2);
      const Chan<int64_t> sums = MakeChan<int64_t>(kReceivers);
      for (int k = 0; k < kReceivers; ++k) {
        Go([a, b, sums] {
          int64_t sum = 0;
          bool a_open = true, b_open = true;
          while (a_open || b_open) {
            int64_t value = 0;
            bool ok = false;
            switch (
                Select(RecvCase(a_open ? a : Chan<int64_t>(), &value, &ok),
                       RecvCase(b_open ? b : Chan<int64_t>(), &value, &ok))) {
              case 0:
                a_open = ok;
                break;
              default:
                b_open = ok;
            }
            if (ok) sum += value;
          }
          sums.Send(sum);
        });
      }
      std::atomic<bool> go{false};
      std::thread other([&go, a, b] {
        while (!go.load()) {
        }
        for (int64_t i = 1; i <= kValues; ++i) {
          Select(SendCase(a, i), SendCase(b, i));
        }
      });
      for (int64_t i = 1; i <= 2 * kValues; ++i) {
        if (i == kValues) go.store(true);
        Select(SendCase(a, i), SendCase(b, i));
      }
      other.join();
      a.Close();
      b.Close();
      a = nullptr;
      b = nullptr;
      int64_t sum = 0;
      for (int k = 0; k < kReceivers; ++k) sum += sums.Recv().value;
      EXPECT_EQ(sum, kValues * (kValues + 1) / 2 +
                         2 * kValues * (2 * kValues + 1) / 2);
    });
  }
}

// Looks do not wait for what the owner has in its store buffer, nor may they:
// of two who send, and then try the other's channel, one at least succeeds.
TEST(OwnedChannelTest, OneOfTwoSeesTheOther) {
  for (int round = 0; round < Scaled(500); ++round) {
    OnWorker([] {
      const Chan<int64_t> mine = MakeOwned(1);
      const Chan<int64_t> other = MakeChan<int64_t>(1);
      std::atomic<int> ready{0};
      bool seen = false;
      std::thread thread([&] {
        ready.fetch_add(1);
        while (ready.load() < 2) {
        }
        other.Send(1);
        seen = mine.TryRecv().has_value();
      });
      ready.fetch_add(1);
      while (ready.load() < 2) {
      }
      mine.Send(1);
      const bool saw = other.TryRecv().has_value();
      thread.join();
      EXPECT_TRUE(saw || seen);
    });
  }
}

}  // namespace
}  // namespace gochan

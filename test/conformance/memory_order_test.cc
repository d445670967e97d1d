// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours HB, the rows about channels and Go(): what happens before what.
// The plain variables here are what ThreadSanitizer watches; without it the
// tests see at least a stale value.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::Patience;
using test::ScaledLimit;

using MemoryOrderConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(MemoryOrderConformance);

// Ways to receive and to send that must all make the same edge.
enum class Form { kPlain, kSelect, kTry };
constexpr Form kForms[] = {Form::kPlain, Form::kSelect, Form::kTry};

bool Receive(Form form, const Chan<int64_t>& ch, int64_t* value) {
  bool ok = false;
  switch (form) {
    case Form::kPlain: {
      auto result = ch.Recv();
      *value = result.value;
      return result.ok;
    }
    case Form::kSelect:
      Select(RecvCase(ch, value, &ok));
      return ok;
    case Form::kTry:
      for (;;) {
        if (auto result = ch.TryRecv()) {
          *value = result->value;
          return result->ok;
        }
        Yield();
      }
  }
  return false;
}

void Send(Form form, const Chan<int64_t>& ch, int64_t value) {
  switch (form) {
    case Form::kPlain:
      ch.Send(value);
      return;
    case Form::kSelect:
      Select(SendCase(ch, value));
      return;
    case Form::kTry:
      while (!ch.TrySend(value)) Yield();
  }
}

// The sender writes data[i] before it sends i; the receiver reads it after.
void PassMessages(int cap, Form sender, Form receiver, int64_t rounds) {
  auto ch = MakeChan<int64_t>(cap);
  std::vector<int64_t> data(static_cast<std::size_t>(rounds));
  Parties parties(ScaledLimit());
  parties.Go([&, ch] {
    for (int64_t i = 0; i < rounds; ++i) {
      data[static_cast<std::size_t>(i)] = i + 1;
      Send(sender, ch, i);
    }
  });
  int64_t wrong = 0;
  for (int64_t i = 0; i < rounds; ++i) {
    int64_t value = -1;
    ASSERT_TRUE(Receive(receiver, ch, &value));
    ASSERT_EQ(value, i);
    wrong += data[static_cast<std::size_t>(value)] != value + 1 ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0);
}

PARTY_TEST(MemoryOrderConformance,
           HB01WritesBeforeASendAreVisibleAfterTheReceive) {
  for (int cap : {0, 1, 10}) {
    for (Form sender : {Form::kPlain, Form::kSelect}) {
      for (Form receiver : {Form::kPlain, Form::kSelect}) {
        PassMessages(cap, sender, receiver, PartyScaled(5'000));
      }
    }
  }
}

PARTY_TEST(MemoryOrderConformance, HB02WritesBeforeCloseAreVisibleAfterClosed) {
  const int64_t rounds = PartyScaled(500);
  for (int cap : {0, 1, 10}) {
    for (Form form : kForms) {
      // A chain of channels, so that one pair of parties does many closes.
      std::vector<Chan<int64_t>> chs;
      for (int64_t i = 0; i < rounds; ++i)
        chs.push_back(MakeChan<int64_t>(cap));
      std::vector<int64_t> data(static_cast<std::size_t>(rounds));
      Parties parties(ScaledLimit());
      parties.Go([&] {
        for (std::size_t i = 0; i < chs.size(); ++i) {
          data[i] = static_cast<int64_t>(i) + 1;
          chs[i].Close();
        }
      });
      int64_t wrong = 0;
      for (std::size_t i = 0; i < chs.size(); ++i) {
        int64_t value = -1;
        ASSERT_FALSE(Receive(form, chs[i], &value));
        wrong += data[i] != static_cast<int64_t>(i) + 1 ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0);
    }
  }
}

PARTY_TEST(MemoryOrderConformance,
           HB03WritesBeforeTheReceiveAreVisibleAfterTheSend) {
  const int64_t rounds = PartyScaled(5'000);
  for (Form sender : kForms) {
    for (Form receiver : {Form::kPlain, Form::kSelect}) {
      auto ch = MakeChan<int64_t>();
      std::vector<int64_t> data(static_cast<std::size_t>(rounds));
      Parties parties(ScaledLimit());
      parties.Go([&, ch] {
        for (int64_t i = 0; i < rounds; ++i) {
          data[static_cast<std::size_t>(i)] = i + 1;
          int64_t value = -1;
          ASSERT_TRUE(Receive(receiver, ch, &value));
        }
      });
      int64_t wrong = 0;
      for (int64_t i = 0; i < rounds; ++i) {
        Send(sender, ch, i);
        wrong += data[static_cast<std::size_t>(i)] != i + 1 ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0);
    }
  }
}

// The k-th receive on a channel of capacity C happens before the (k+C)-th send
// completes: a slot of `data` may be written again once the send has returned.
PARTY_TEST(MemoryOrderConformance,
           HB03TheReceiveHappensBeforeTheSendItMadeRoomFor) {
  const int64_t rounds = PartyScaled(20'000);
  for (int cap : {1, 2, 10}) {
    auto ch = MakeChan<int64_t>(cap);
    // One more than can be in the buffer: the receiver may be reading one.
    std::vector<int64_t> data(static_cast<std::size_t>(cap) + 2);
    Parties parties(ScaledLimit());
    // Tickets: the reader returns a slot by receiving from `free`.
    auto free = MakeChan<int64_t>(static_cast<std::ptrdiff_t>(data.size()));
    parties.Go([&, ch, free] {
      for (int64_t i = 0; i < rounds; ++i) {
        free.Send(0);  // acquires a slot: at most data.size() in flight
        data[static_cast<std::size_t>(i) % data.size()] = i;
        ch.Send(i);
      }
      ch.Close();
    });
    int64_t wrong = 0;
    for (int64_t i : ch) {
      wrong += data[static_cast<std::size_t>(i) % data.size()] != i ? 1 : 0;
      free.Recv();
    }
    EXPECT_EQ(wrong, 0);
  }
}

PARTY_TEST(MemoryOrderConformance, HB05ABufferedChannelIsACountingSemaphore) {
  constexpr int kParties = 64;
  const int64_t rounds = PartyScaled(200);
  for (int c : {1, 3, 8}) {
    auto semaphore = MakeChan<Unit>(c);
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    int64_t plain = 0;  // exact if C = 1
    Parties parties(ScaledLimit());
    parties.GoEach(kParties, [&, semaphore](int) {
      for (int64_t i = 0; i < rounds; ++i) {
        semaphore.Send({});
        const int now = inside.fetch_add(1, std::memory_order_relaxed) + 1;
        int seen = most.load(std::memory_order_relaxed);
        while (seen < now && !most.compare_exchange_weak(
                                 seen, now, std::memory_order_relaxed)) {
        }
        if (c == 1) ++plain;
        if (i % 16 == 0) Yield();
        inside.fetch_sub(1, std::memory_order_relaxed);
        semaphore.Recv();
      }
    });
    parties.Join();
    EXPECT_LE(most.load(), c);
    EXPECT_EQ(semaphore.Len(), 0u);
    if (c == 1) {
      EXPECT_EQ(plain, kParties * rounds);
    }
  }
}

PARTY_TEST(MemoryOrderConformance, HB06WritesBeforeGoAreVisibleInTheGoroutine) {
  const int64_t rounds = PartyScaled(20'000);
  // Each goroutine reads what its starter wrote, and starts the next one.
  constexpr int kChains = 4;
  struct Chain {
    int64_t plain = 0;
    int64_t wrong = 0;
    std::atomic<bool> ended{false};
    void Step(int64_t i, int64_t last) {
      wrong += plain != i ? 1 : 0;
      if (i == last) {
        // Release: pairs with the acquire below.
        ended.store(true, std::memory_order_release);
        return;
      }
      plain = i + 1;
      Go([this, i, last] { Step(i + 1, last); });
    }
  };
  std::vector<Chain> chains(kChains);
  for (Chain& chain : chains) {
    Go([&chain, rounds] { chain.Step(0, rounds); });
  }
  Patience patience(ScaledLimit());
  for (Chain& chain : chains) {
    while (!chain.ended.load(std::memory_order_acquire)) {
      patience.Wait("a chain of goroutines did not end");
    }
    EXPECT_EQ(chain.wrong, 0);
    EXPECT_EQ(chain.plain, rounds);
  }
}

PARTY_TEST(MemoryOrderConformance, HB09TryFormsSynchroniseLikeBlockingOnes) {
  for (int cap : {1, 10}) {
    PassMessages(cap, Form::kTry, Form::kTry, PartyScaled(5'000));
  }
  for (int cap : {0, 1, 10}) {
    for (Form other : {Form::kPlain, Form::kSelect}) {
      PassMessages(cap, Form::kTry, other, PartyScaled(5'000));
      PassMessages(cap, other, Form::kTry, PartyScaled(5'000));
    }
  }
}

}  // namespace
}  // namespace gochan

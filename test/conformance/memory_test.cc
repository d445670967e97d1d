// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours ME, the rows about channels and select: memory and scale.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/allocations.h"
#include "test/util/counted.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Allocations;
using test::LiveAllocations;
using test::Parked;
using test::Parties;
using test::PartyScaled;
using test::ResidentBytes;
using test::WaitUntilParked;

using MemoryConformance = test::WithParties<test::CountedTest>;
GOCHAN_FOR_ALL_PARTIES(MemoryConformance);

// Resident memory does not grow by `limit` from run to run. What leaks grows
// every time; what is touched for the first time (a stack, an arena's page)
// does once. Not judged under a sanitizer, whose shadow and quarantine grow
// with use.
template <typename Run>
void ExpectNoGrowth(int64_t limit, Run run) {
  int64_t least = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int64_t before = ResidentBytes();
    run();
    const int64_t growth = ResidentBytes() - before;
    if (test::kSanitized || growth < limit) return;
    least = attempt == 0 ? growth : std::min(least, growth);
  }
  ADD_FAILURE() << "resident memory grew by at least " << least
                << " bytes in each of three runs";
}

PARTY_TEST(MemoryConformance, ME01AnIdleCaseKeepsNoRecords) {
  const int64_t rounds = PartyScaled(100'000);
  // The busy case is ready or must be waited for, in turn; the idle channel has
  // nobody else on it, or a party that never leaves.
  for (bool somebody_parked : {false, true}) {
    auto busy = MakeChan<int>();
    auto idle = MakeChan<int>();
    Parties parties(test::ScaledLimit());
    if (somebody_parked) {
      parties.Go([idle] { EXPECT_FALSE(idle.Recv().ok); });
      WaitUntilParked(idle, 1);
    }
    const std::size_t others = somebody_parked ? 1 : 0;
    parties.Go([busy] {
      while (busy.Recv().ok) {
      }
    });
    const auto run = [&](int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(Select(SendCase(busy, 1), RecvCase(idle)), 0u);
      }
    };
    run(1000);
    const int64_t live = LiveAllocations();
    ExpectNoGrowth(110'000, [&] { run(rounds); });
    EXPECT_LE(LiveAllocations() - live, 2);
    EXPECT_EQ(Parked(idle), others);
    idle.Close();
    busy.Close();
  }
}

PARTY_TEST(MemoryConformance, ME03ReceivedElementsAreReleasedAtOnce) {
  for (int cap : {0, 1, 2, 5}) {
    auto ch = MakeChan<std::shared_ptr<int>>(cap);
    const auto pass = [&](auto&& receive) {
      auto value = std::make_shared<int>(1);
      const std::weak_ptr<int> watch = value;
      Parties parties;
      parties.Go([&, ch] { ch.Send(std::move(value)); });
      if (cap == 0) {
        WaitUntilParked(ch, 1);
      } else {
        parties.Join();
      }
      {
        std::shared_ptr<int> received = receive();
        parties.Join();
        ASSERT_NE(received, nullptr);
        EXPECT_EQ(received.use_count(), 1);
        EXPECT_FALSE(watch.expired());
      }
      EXPECT_TRUE(watch.expired());
    };
    for (int lap = 0; lap < 3; ++lap) {
      pass([&] { return ch.Recv().value; });
      pass([&] { return *ch.RecvOptional(); });
      pass([&] { return ch.TryRecv()->value; });
      pass([&] { return **ch.TryRecvOptional(); });
      pass([&] {
        std::shared_ptr<int> received;
        Select(RecvCase(ch, &received));
        return received;
      });
      pass([&] {
        std::shared_ptr<int> received;
        Select(RecvCase(
            ch, [&](std::shared_ptr<int> v) { received = std::move(v); }));
        return received;
      });
      pass([&] {
        for (auto&& value : ch) return std::shared_ptr<int>(std::move(value));
        return std::shared_ptr<int>();
      });
    }
    EXPECT_EQ(ch.Len(), 0u);
  }
  // A case that discards its value releases it as well.
  auto ch = MakeChan<std::shared_ptr<int>>(1);
  auto value = std::make_shared<int>(1);
  ch.Send(value);
  Select(RecvCase(ch));
  EXPECT_EQ(value.use_count(), 1);
  // A value given up by a losing or replaced case does not stay anywhere.
  std::vector<AnyCase> cases;
  cases.push_back(SendCase(MakeChan<std::shared_ptr<int>>(), value));
  cases.push_back(DefaultCase());
  EXPECT_EQ(Select(absl::MakeSpan(cases)), 1u);
  EXPECT_EQ(value.use_count(), 2);
  cases.clear();
  EXPECT_EQ(value.use_count(), 1);
}

PARTY_TEST(MemoryConformance, ME05MakingAndDroppingChannelsLeavesNoGrowth) {
  const int64_t rounds = PartyScaled(30'000);
  for (int cap : {0, 1, 100}) {
    const auto run = [&](int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        auto ch = MakeChan<test::Counted>(cap);
        if (i % 3 == 0) continue;  // dropped unused
        ch.TrySend(test::Counted(i));
        Select(RecvCase(ch), DefaultCase());
        ch.TrySend(test::Counted(i));  // left in the buffer
        if (i % 3 == 1) ch.Close();
      }
    };
    run(1000);
    const int64_t live = LiveAllocations();
    ExpectNoGrowth(110'000, [&] { run(rounds); });
    // Less, if a thread of an earlier test has ended meanwhile.
    EXPECT_LE(LiveAllocations(), live);
  }
  // With parties that were parked: their queue's segments come back too.
  const auto park = [](int64_t n) {
    auto requests = MakeChan<Chan<int>>();
    Parties parties(test::ScaledLimit());
    parties.GoEach(3, [requests](int i) {
      for (Chan<int> ch : requests) {
        if (i % 2 == 0) {
          ch.Recv();
        } else {
          Select(RecvCase(ch), RecvCase(Chan<int>()));
        }
      }
    });
    for (int64_t i = 0; i < n; ++i) {
      auto ch = MakeChan<int>(static_cast<std::ptrdiff_t>(i % 2));
      for (int k = 0; k < 3; ++k) requests.Send(ch);
      WaitUntilParked(ch, 3);
      ch.Close();
    }
    requests.Close();
  };
  park(200);
  const int64_t live = LiveAllocations();
  ExpectNoGrowth(110'000, [&] { park(PartyScaled(3'000)); });
  EXPECT_LE(LiveAllocations() - live, 8);
}

// Every worker has its thread from now on: one that starts while allocations
// are counted has some of its own, which a sanitizer's hooks see.
void StartWorkers() {
  const int workers = test::current_setting.workers;
  if (workers == 0) return;
  Parties parties(test::PartyKind::kGoroutines, test::ScaledLimit());
  auto started = std::make_shared<std::atomic<int>>(0);
  parties.GoEach(workers, [started, workers](int) {
    started->fetch_add(1);
    // Not test::Patience, which lets others run on this worker.
    while (started->load() < workers) std::this_thread::yield();
  });
}

// Fails if `body` allocates. It runs once before, as the warm-up.
template <typename Body>
void ExpectNoAllocations(const char* what, Body body) {
  body();
  const int64_t before = Allocations();
  body();
  EXPECT_EQ(Allocations() - before, 0) << what;
}

PARTY_TEST(MemoryConformance, ME06SteadyOperationAllocatesNothing) {
  const int64_t rounds = PartyScaled(100'000);
  StartWorkers();
  auto idle = MakeChan<int64_t>();
  for (int cap : {1, 100}) {
    auto ch = MakeChan<int64_t>(cap);
    int64_t sum = 0;
    ExpectNoAllocations("send and receive", [&] {
      for (int64_t i = 0; i < rounds; ++i) {
        ch.Send(i);
        sum += ch.Recv().value;
      }
    });
    ExpectNoAllocations("try forms", [&] {
      for (int64_t i = 0; i < rounds; ++i) {
        ch.TrySend(i);
        sum += ch.TryRecv()->value;
      }
    });
    ExpectNoAllocations("select of two", [&] {
      for (int64_t i = 0; i < rounds; ++i) {
        Select(SendCase(ch, i), RecvCase(idle));
        Select(RecvCase(idle), RecvCase(ch, [&](int64_t v) { sum += v; }));
      }
    });
    int64_t value = 0;
    ExpectNoAllocations("select of two by pointer, with default", [&] {
      for (int64_t i = 0; i < rounds; ++i) {
        Select(SendFrom(ch, &i), DefaultCase());
        Select(RecvCase(ch, &value), DefaultCase());
        Select(RecvCase(ch, &value), DefaultCase());
      }
    });
    Selector selector{RecvCase(ch, &value), RecvCase(idle, &value)};
    ExpectNoAllocations("a prepared select", [&] {
      for (int64_t i = 0; i < rounds; ++i) {
        ch.Send(i);
        selector.Next();
      }
    });
  }

  // With a partner, so that both wait for each other again and again.
  for (int cap : {0, 1, 16}) {
    auto to = MakeChan<int64_t>(cap);
    auto back = MakeChan<int64_t>(cap);
    Parties parties(test::ScaledLimit());
    parties.Go([=] {
      for (int64_t i = 0; i < rounds / 2; ++i) {
        back.Send(to.Recv().value);
        Select(SendCase(back, i), RecvCase(idle));
      }
      // The rest with selects.
      for (;;) {
        int64_t value = 0;
        bool ok = false;
        Select(RecvCase(to, &value, &ok), RecvCase(idle));
        if (!ok) return;
        Select(RecvCase(idle), SendCase(back, value));
      }
    });
    for (int64_t i = 0; i < rounds / 2; ++i) {
      to.Send(i);
      ASSERT_EQ(back.Recv().value, i);
      ASSERT_EQ(back.Recv().value, i);
    }
    ExpectNoAllocations("select against select", [&] {
      for (int64_t i = 0; i < rounds / 8; ++i) {
        int64_t value = -1;
        Select(SendCase(to, i), RecvCase(idle));
        Select(RecvCase(back, &value), RecvCase(idle));
        ASSERT_EQ(value, i);
      }
    });
    to.Close();
    parties.Join();
  }
  for (int cap : {0, 1, 16}) {
    auto ch = MakeChan<int64_t>(cap);
    const auto pump = [&] {
      for (int64_t i = 0; i < rounds; ++i) ch.Send(i);
      ch.Send(-1);
    };
    Parties parties(test::ScaledLimit());
    auto done = MakeChan<Unit>();
    parties.Go([ch, done] {
      for (int run = 0; run < 2; ++run) {
        while (ch.Recv().value >= 0) {
        }
        done.Send({});
      }
    });
    ExpectNoAllocations("blocking send and receive", [&] {
      pump();
      done.Recv();
    });
  }
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours WG: WaitGroup, and HB07.

#include "go/wait_group.h"

#include <atomic>
#include <cstdint>
#include <numeric>
#include <vector>

#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/asleep.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::ScaledLimit;
using test::WaitUntilAsleep;

using WaitGroupConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(WaitGroupConformance);

PARTY_TEST(WaitGroupConformance, WG01WaitOnZeroReturnsAtOnce) {
  WaitGroup group;
  group.Wait();
  group.Wait();
  group.Add(2);
  group.Done();
  group.Done();
  group.Wait();
  group.Add(0);
  group.Wait();
}

PARTY_TEST(WaitGroupConformance, WG02WaitReturnsWhenAllAreDone) {
  constexpr int kParties = 16;
  WaitGroup first, second;
  for (int round = 0; round < 8; ++round) {
    std::atomic<int> at_second{0};
    std::atomic<int> released{0};
    first.Add(kParties);
    second.Add(kParties);
    Parties parties;
    parties.GoEach(kParties, [&](int) {
      first.Done();
      ++at_second;
      second.Wait();
      ++released;
    });
    first.Wait();
    for (int i = 0; i < kParties; ++i) {
      EXPECT_EQ(released, 0) << "somebody was released early";
      second.Done();
    }
    parties.Join();
    EXPECT_EQ(at_second, kParties);
    EXPECT_EQ(released, kParties);
  }
}

PARTY_TEST(WaitGroupConformance, WG04AllWaitersAreReleased) {
  constexpr int kWaiters = 50;
  WaitGroup group;
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> released{0};
    group.Add(1);
    Parties parties;
    parties.GoEach(kWaiters, [&](int) {
      group.Wait();
      ++released;
    });
    WaitUntilAsleep(group, kWaiters);
    EXPECT_EQ(released, 0);
    group.Done();
    EXPECT_EQ(test::Asleep(group), 0u);
    parties.Join();
    EXPECT_EQ(released, kWaiters);
  }
}

// Each task starts two more while it is counted itself.
void Tree(WaitGroup& group, std::atomic<int>& leaves, int depth) {
  if (depth == 0) {
    ++leaves;
    group.Done();
    return;
  }
  group.Add(2);
  for (int i = 0; i < 2; ++i) {
    Go([&group, &leaves, depth] { Tree(group, leaves, depth - 1); });
  }
  group.Done();
}

PARTY_TEST(WaitGroupConformance, WG06AddInsideARunningTask) {
  constexpr int kDepth = 12;
  WaitGroup group;
  std::atomic<int> leaves{0};
  group.Add(1);
  Tree(group, leaves, kDepth);
  group.Wait();
  EXPECT_EQ(leaves, 1 << kDepth);
}

PARTY_TEST(WaitGroupConformance, WG08GoAddsRunsAndFinishesATask) {
  constexpr int kTasks = 1000;
  WaitGroup group;
  std::atomic<int> ran{0};
  for (int i = 0; i < kTasks; ++i) {
    group.Go([&] { ++ran; });
  }
  group.Wait();
  EXPECT_EQ(ran, kTasks);
  // Also from within.
  group.Go([&] {
    group.Go([&] { ++ran; });
    ++ran;
  });
  group.Wait();
  EXPECT_EQ(ran, kTasks + 2);
}

#if GOCHAN_TEST_EXCEPTIONS

PARTY_TEST(WaitGroupConformance, WG10LeavingByGoexitCounts) {
  WaitGroup group;
  std::atomic<bool> before{false};
  group.Go([&] {
    before = true;
    Goexit();
    ADD_FAILURE() << "Goexit() returned";
  });
  group.Wait();
  EXPECT_TRUE(before);
}

PARTY_TEST(WaitGroupConformance, WG11TheCounterStaysNegative) {
  WaitGroup group;
  EXPECT_PANIC(group.Done(), "sync: negative WaitGroup counter");
  group.Add(1);
  group.Wait();
  EXPECT_PANIC(group.Add(-3), "sync: negative WaitGroup counter");
  EXPECT_PANIC(group.Add(2), "sync: negative WaitGroup counter");
  group.Add(1);
  group.Wait();
}

#endif  // GOCHAN_TEST_EXCEPTIONS

TEST(WaitGroupDeathTest, WG11WithoutExceptions) {
#if !GOCHAN_TEST_EXCEPTIONS
  EXPECT_DEATH(WaitGroup().Done(), "sync: negative WaitGroup counter");
#endif
}

PARTY_TEST(WaitGroupConformance, HB07DoneHappensBeforeWaitReturns) {
  constexpr int kTasks = 16;
  const int64_t rounds = PartyScaled(500);
  WaitGroup group;
  for (int64_t round = 1; round <= rounds; ++round) {
    std::vector<int64_t> slots(kTasks);
    Parties parties(ScaledLimit());
    group.Add(kTasks);
    parties.GoEach(kTasks, [&](int i) {
      slots[i] = round + i;
      group.Done();
    });
    const int64_t expected = kTasks * round + kTasks * (kTasks - 1) / 2;
    group.Wait();
    EXPECT_EQ(std::accumulate(slots.begin(), slots.end(), int64_t{0}),
              expected);
  }
}

}  // namespace
}  // namespace gochan

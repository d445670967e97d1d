// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/pool.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "test/util/threads.h"

namespace gochan::runtime {
namespace {

using test::Threads;

template <typename P>
std::vector<void*> TakeMany(std::size_t n) {
  std::vector<void*> units;
  while (units.size() < n) units.push_back(P::Take());
  return units;
}

template <typename P>
void GiveAll(const std::vector<void*>& units) {
  for (void* unit : units) P::Give(unit);
}

TEST(PoolTest, UnitsAreDistinctAndAligned) {
  using P = Pool<48, 16>;
  const std::vector<void*> units = TakeMany<P>(1000);
  EXPECT_EQ(std::set<void*>(units.begin(), units.end()).size(), 1000u);
  for (void* unit : units) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(unit) % 16, 0u);
    std::memset(unit, 0x5a, 48);
  }
  GiveAll<P>(units);
}

#if !GOCHAN_ASAN && !GOCHAN_INSTRUMENT  // where there is no pool

TEST(PoolTest, TheLastOneGivenIsTheNextOneTaken) {
  using P = Pool<64, 64>;
  // Also across the ends of magazines.
  for (std::size_t n = 1; n < 100; ++n) {
    const std::vector<void*> units = TakeMany<P>(n);
    GiveAll<P>(units);
    void* const next = P::Take();
    EXPECT_EQ(next, units.back());
    P::Give(next);
  }
}

TEST(PoolTest, MemoryIsReusedBeforeMoreIsTaken) {
  using P = Pool<80, 16>;
  GiveAll<P>(TakeMany<P>(10000));
  const uint32_t made = P::MadeForTest();
  for (int round = 0; round < 10; ++round) {
    // The thread's magazines may be empty when it takes from the others'.
    GiveAll<P>(TakeMany<P>(10000 - 2 * Magazine::kSize));
  }
  EXPECT_EQ(P::MadeForTest(), made);
}

TEST(PoolTest, AThreadGivesBackWhatItKeepsWhenItEnds) {
  using P = Pool<112, 16>;
  for (int i = 0; i < 200; ++i) {
    std::thread([] { GiveAll<P>(TakeMany<P>(1)); }).join();
  }
  EXPECT_LE(P::MadeForTest(), 2 * Magazine::kSize);
}

TEST(PoolTest, WhoGivesNeedNotHaveTaken) {
  using P = Pool<128, 16>;
  const std::vector<void*> units = TakeMany<P>(500);
  std::thread([&] { GiveAll<P>(units); }).join();
  const uint32_t made = P::MadeForTest();
  const std::vector<void*> again = TakeMany<P>(500);
  EXPECT_EQ(P::MadeForTest(), made);
  GiveAll<P>(again);
}

#endif

// Nobody holds a unit that another holds.
TEST(PoolTest, ManyThreadsTakeAndGive) {
  using P = Pool<64, 32>;
  constexpr int kThreads = 4;
  constexpr int kHeld = 70;  // more than a thread keeps
  std::atomic<int> clashes{0};
  // One at a time is handed to the next thread, which gives it back.
  std::atomic<void*> passed[kThreads] = {};
  Threads threads;
  threads.GoEach(kThreads, [&](int t) {
    for (int round = 0; round < 300; ++round) {
      std::vector<void*> held = TakeMany<P>(kHeld);
      for (void* unit : held) std::memset(unit, t + 1, 64);
      for (void* unit : held) {
        clashes += static_cast<unsigned char*>(unit)[round % 64] != t + 1;
      }
      void* const got = passed[(t + 1) % kThreads].exchange(held.back());
      held.pop_back();
      if (got != nullptr) P::Give(got);
      GiveAll<P>(held);
    }
  });
  threads.Join();
  EXPECT_EQ(clashes.load(), 0);
  for (auto& unit : passed) {
    if (unit.load() != nullptr) P::Give(unit.load());
  }
}

}  // namespace
}  // namespace gochan::runtime

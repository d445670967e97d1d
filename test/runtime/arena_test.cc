// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/arena.h"

#include <atomic>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::runtime {
namespace {

struct alignas(64) Unit {
  Atomic<uint64_t> owner;
  Atomic<uint32_t> free_next;
  Atomic<uint32_t>& free_link() { return free_next; }
};

TEST(ArenaTest, FreshUnitsAreZeroAndDistinct) {
  using A = Arena<Unit, 1 << 16, 8>;
  std::set<uint32_t> seen;
  for (int i = 0; i < 100; ++i) {
    const uint32_t index = A::Allocate();
    EXPECT_TRUE(seen.insert(index).second);
    EXPECT_EQ(A::At(index).owner.load(std::memory_order_relaxed), 0u);
    EXPECT_EQ(A::IndexOf(&A::At(index)), index);
    A::At(index).owner.store(1, std::memory_order_relaxed);
  }
}

struct alignas(64) Reused : Unit {};

TEST(ArenaTest, AFreedUnitIsGivenOutAgainAsItWas) {
  using A = Arena<Reused, 1 << 16, 1>;
  const uint32_t index = A::Allocate();
  A::At(index).owner.store(42, std::memory_order_relaxed);
  A::Free(index);
  const uint32_t high_water = A::HighWater();
  EXPECT_EQ(A::Allocate(), index);
  EXPECT_EQ(A::At(index).owner.load(std::memory_order_relaxed), 42u);
  EXPECT_EQ(A::HighWater(), high_water);
}

struct alignas(4096) PageSized : Unit {};

// A unit has its number before it has memory.
TEST(ArenaTest, OnlookersFindMemoryUnderWhatIsReadable) {
  using A = Arena<PageSized, 1 << 16, 1>;
  constexpr uint32_t kUnits = 4096;
  std::atomic<bool> done{false};
  uint32_t most = 0;
  std::thread onlooker([&] {
    while (!done.load(std::memory_order_relaxed)) {
      const uint32_t n = A::Readable();
      if (n > 0) most += A::At(n - 1).owner.load(std::memory_order_relaxed);
    }
  });
  for (uint32_t i = 0; i < kUnits; ++i) A::Allocate();
  done.store(true, std::memory_order_relaxed);
  onlooker.join();
  EXPECT_EQ(most, 0u);
  EXPECT_EQ(A::Readable(), A::HighWater());
}

struct alignas(64) Contended : Unit {};

// Two threads never hold one unit; the free list loses none.
TEST(ArenaTest, ManyThreadsAllocateAndFree) {
  using A = Arena<Contended, 1 << 16, 4>;
  constexpr int kThreads = 4;
  constexpr int kHeld = 5;
  std::vector<std::thread> threads;
  std::vector<int> clashes(kThreads, 0);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &clashes] {
      for (int round = 0; round < 5000; ++round) {
        uint32_t held[kHeld];
        for (uint32_t& index : held) {
          index = A::Allocate();
          uint64_t nobody = 0;
          // Relaxed: the arena's own edges are what is tested.
          if (!A::At(index).owner.compare_exchange(nobody, t + 1,
                                                   std::memory_order_relaxed)) {
            ++clashes[t];
          }
        }
        for (uint32_t index : held) {
          A::At(index).owner.store(0, std::memory_order_relaxed);
          A::Free(index);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : clashes) EXPECT_EQ(count, 0);
  // Batches of four may be taken at once by each thread that finds the list
  // empty.
  EXPECT_LE(A::HighWater(), kThreads * (kHeld + 4) * 2u);
}

struct alignas(4096) Large : Unit {};

// The range becomes usable in steps of many units, and of more than one if a
// batch is larger; whoever gets a unit may write to all of it.
TEST(ArenaTest, ManyThreadsMakeTheRangeUsable) {
  using A = Arena<Large, 1 << 14, 128>;
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) {
        Large& unit = A::At(A::Allocate());
        reinterpret_cast<volatile char*>(&unit)[sizeof(Large) - 1] = 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(A::HighWater(), kThreads * 1000u);
}

struct alignas(64) Unlinked : Unit {};

TEST(ArenaTest, FreshUnitsInARow) {
  using A = Arena<Unlinked, 1 << 16, 8>;
  const uint32_t first = A::AllocateFresh();
  const uint32_t other = A::Allocate();
  EXPECT_TRUE(other < first || other >= first + 8);
  for (uint32_t i = first; i < first + 8; ++i) {
    EXPECT_EQ(A::At(i).owner.load(std::memory_order_relaxed), 0u);
  }
}

struct alignas(64) Few : Unit {};

#if defined(__cpp_exceptions)
TEST(ArenaTest, ThrowsWhenTheRangeIsUsedUp) {
  using A = Arena<Few, 1 << 12, 256>;
  std::set<uint32_t> all;
  EXPECT_THROW(for (;;) { all.insert(A::Allocate()); }, std::bad_alloc);
  EXPECT_EQ(all.size(), std::size_t{1} << 12);
  A::Free(*all.begin());
  EXPECT_EQ(A::Allocate(), *all.begin()) << "usable after running out";
}
#endif

}  // namespace
}  // namespace gochan::runtime

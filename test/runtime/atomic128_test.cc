// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/atomic128.h"

#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::runtime {
namespace {

TEST(Atomic128Test, SwapsBothWordsOnlyIfBothAreAsExpected) {
  Atomic128 word(Pair64{1, 2});
  Pair64 expected{1, 3};
  EXPECT_FALSE(word.CompareExchange(expected, {7, 8}));
  EXPECT_EQ(expected, (Pair64{1, 2})) << "a failed swap tells what it found";
  expected = {0, 2};
  EXPECT_FALSE(word.CompareExchange(expected, {7, 8}));
  EXPECT_TRUE(word.CompareExchange(expected, {7, 8}));
  EXPECT_EQ(word.Load(), (Pair64{7, 8}));
}

TEST(Atomic128Test, SwapsTheLowWordAlone) {
  Atomic128 word(Pair64{1, 2});
  uint64_t expected = 5;
  EXPECT_FALSE(word.CompareExchangeLo(expected, 9));
  EXPECT_EQ(expected, 1u);
  EXPECT_TRUE(word.CompareExchangeLo(expected, 9));
  EXPECT_EQ(word.Load(), (Pair64{9, 2}));
  EXPECT_EQ(word.LoadLo(std::memory_order_seq_cst), 9u);
  word.Store({3, 4});
  EXPECT_EQ(word.Load(), (Pair64{3, 4}));
}

// Every writer keeps the two words equal, so a load that is not one access
// would soon see them differ; swaps of both sizes take part.
TEST(Atomic128Test, LoadsAreExactAndNoSwapIsLost) {
  constexpr int kWriters = 3;
  constexpr uint64_t kEach = 50'000;
  Atomic128 word;
  std::vector<std::thread> threads;
  for (int t = 0; t < kWriters; ++t) {
    threads.emplace_back([&word] {
      for (uint64_t i = 0; i < kEach; ++i) {
        Pair64 seen = word.Load();
        while (!word.CompareExchange(seen, {seen.lo + 1, seen.hi + 1})) {
        }
      }
    });
  }
  uint64_t torn = 0;
  for (uint64_t last = 0; last < kWriters * kEach;) {
    const Pair64 seen = word.Load();
    torn += seen.lo != seen.hi || seen.lo < last;
    last = seen.lo;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(word.Load(), (Pair64{kWriters * kEach, kWriters * kEach}));
}

TEST(Atomic128Test, SwapsOfBothSizesAgreeOnOneOrder) {
  constexpr uint64_t kEach = 50'000;
  Atomic128 word;
  std::thread low([&word] {
    for (uint64_t i = 0; i < kEach; ++i) {
      uint64_t seen = word.LoadLo(std::memory_order_seq_cst);
      while (!word.CompareExchangeLo(seen, seen + 1)) {
      }
    }
  });
  for (uint64_t i = 0; i < kEach; ++i) {
    Pair64 seen = word.Load();
    while (!word.CompareExchange(seen, {seen.lo + 1, seen.hi + 1})) {
    }
  }
  low.join();
  EXPECT_EQ(word.Load(), (Pair64{2 * kEach, kEach}));
}

}  // namespace
}  // namespace gochan::runtime

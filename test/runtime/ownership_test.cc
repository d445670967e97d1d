// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/ownership.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/owned_word.h"
#include "runtime/restartable.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

using test::Scaled;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcqRel = std::memory_order_acq_rel;

// The marks of two workers; 0 where nobody gets any.
const uint8_t kMine = MarkOf(7);
const uint8_t kOther = MarkOf(8);

class OwnershipTest : public testing::Test {
 protected:
  void SetUp() override { SetCurrentMark(kMine); }
  void TearDown() override { SetCurrentMark(0); }
};

TEST_F(OwnershipTest, SharedIsTheStartAndTheEnd) {
  Ownership ownership;
  EXPECT_TRUE(ownership.IsShared());
  ownership.Enter();
  for (int i = 0; i < 1000; ++i) ownership.CountUse(128);
  ownership.EndYouth();
  EXPECT_TRUE(ownership.IsShared());
  EXPECT_EQ(ownership.MarkIfMine(), 0);
}

TEST_F(OwnershipTest, AWorkersIsItsOwn) {
  Ownership young{Ownership::Fresh()};
  EXPECT_TRUE(young.IsLocked());
  EXPECT_EQ(young.IsShared(), kMine == 0);
  SetCurrentMark(kOther);
  EXPECT_EQ(young.IsLocked(), kMine == 0);
  young.Enter();
  EXPECT_TRUE(young.IsShared());
}

constinit Ownership compiled{Ownership::Fresh()};

TEST_F(OwnershipTest, OneMadeByTheCompilerIsWhosWhoComesFirst) {
  Ownership& fresh = compiled;
  EXPECT_FALSE(fresh.IsOthers());
  fresh.Enter();
  EXPECT_TRUE(fresh.IsLocked()) << "young";
  EXPECT_EQ(fresh.IsShared(), kMine == 0);
  EXPECT_FALSE(fresh.IsOwned());
  for (int i = 1; i < 128; ++i) fresh.CountUse(128);
  EXPECT_FALSE(fresh.IsOwned());
  fresh.CountUse(128);
  EXPECT_EQ(fresh.IsOwned(), kMine != 0);
  EXPECT_EQ(fresh.MarkIfMine(), kMine);

  SetCurrentMark(kOther);
  EXPECT_EQ(fresh.MarkIfMine(), 0);
  EXPECT_EQ(fresh.IsOthers(), kMine != 0);
  fresh.Enter();
  EXPECT_TRUE(fresh.IsShared());
}

TEST_F(OwnershipTest, AFreshOneIsSharedByWhoGetsNoMark) {
  std::thread([] {
    RefuseThreadMark();
    Ownership fresh{Ownership::Fresh()};
    fresh.Enter();
    EXPECT_TRUE(fresh.IsShared());
    EXPECT_EQ(CurrentMark(), 0);
  }).join();
}

// One after the other, more than there are marks: each gets one, and gives it
// back.
TEST_F(OwnershipTest, ThreadsGetMarksWhenTheyUseOne) {
  for (int i = 0; i < 2 * kThreadMarks; ++i) {
    std::thread([] {
      EXPECT_EQ(CurrentMark(), 0);
      Ownership fresh{Ownership::Fresh()};
      EXPECT_EQ(CurrentMark(), 0);
      fresh.Enter();
      EXPECT_EQ(CurrentMark() != 0, kMine != 0);
      for (int k = 0; k < 128; ++k) fresh.CountUse(128);
      EXPECT_EQ(fresh.MarkIfMine() != 0, kMine != 0);
    }).join();
  }
}

// At the same time: some get none, and share.
TEST_F(OwnershipTest, MoreThreadsThanMarks) {
  constexpr int kThreads = kThreadMarks + 8;
  std::atomic<int> shared{0};
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Ownership fresh{Ownership::Fresh()};
      fresh.Enter();
      shared += fresh.IsShared() ? 1 : 0;
      ++ready;
      while (ready.load() < kThreads) std::this_thread::yield();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared.load(), kMine != 0 ? 8 : kThreads);
}

// What a thread has owned is its heir's, and nothing is lost.
TEST_F(OwnershipTest, TheNextOneInheritsWhatAThreadHasOwned) {
  static constinit OwnedWord word;  // fresh
  const auto add = [](int times) {
    for (int i = 0; i < times; ++i) {
      uint32_t state = word.Load(kRelaxed);
      if (word.TrySwapFast(state, state + 1, kAcqRel)) continue;
      while (!word.Swap(state, state + 1, kAcqRel)) {
      }
    }
  };
  for (int round = 0; round < 20; ++round) {
    std::thread(add, 500).join();
  }
  EXPECT_EQ(word.Load(kRelaxed), 10'000u);
}

TEST_F(OwnershipTest, BothHalvesAreSwappedOrNone) {
  if (kMine == 0) GTEST_SKIP() << "nobody has a mark";
  Ownership ownership;
  ownership.Begin(/*at_once=*/true);
  Atomic128 word(Pair64{1, 2});
  const auto swap = [&](Pair64 from, Pair64 to) {
    return RestartableSwap(word, from, to, ownership.owner(), kMine);
  };
  EXPECT_FALSE(swap({1, 3}, {5, 6}));
  EXPECT_FALSE(swap({0, 2}, {5, 6}));
  EXPECT_EQ(word.LoadApart(), (Pair64{1, 2}));
  EXPECT_TRUE(swap({1, 2}, {5, 6}));
  EXPECT_EQ(word.Load(), (Pair64{5, 6}));
  SetCurrentMark(kOther);
  ownership.Enter();
  EXPECT_FALSE(swap({5, 6}, {7, 8})) << "no more";
  EXPECT_EQ(word.Load(), (Pair64{5, 6}));
}

TEST_F(OwnershipTest, AnAdditionTellsOfZero) {
  if (kMine == 0) GTEST_SKIP() << "nobody has a mark";
  Ownership ownership;
  ownership.Begin(/*at_once=*/true);
  Atomic<uint32_t> number{1};
  bool zero = true;
  EXPECT_TRUE(RestartableAdd(number, 1, ownership.owner(), kMine, &zero));
  EXPECT_FALSE(zero);
  EXPECT_TRUE(
      RestartableAdd(number, ~uint32_t{0}, ownership.owner(), kMine, &zero));
  EXPECT_FALSE(zero);
  EXPECT_TRUE(
      RestartableAdd(number, ~uint32_t{0}, ownership.owner(), kMine, &zero));
  EXPECT_TRUE(zero);
  EXPECT_FALSE(RestartableAdd(number, 1, ownership.owner(), kOther, &zero));
  EXPECT_EQ(number.load(kRelaxed), 0u);
}

using OwnedWordTest = OwnershipTest;

TEST_F(OwnedWordTest, SwapsWhoeverItIs) {
  OwnedWord word;
  uint32_t count = 0;
  const auto add_one = [&] {
    uint32_t state = count;
    if (!word.TrySwapFast(state, count + 1, kAcqRel)) {
      EXPECT_EQ(state, count);
      EXPECT_TRUE(word.Swap(state, count + 1, kAcqRel));
    }
    ++count;
    EXPECT_EQ(word.Load(kRelaxed), count);
  };
  for (int i = 0; i < 300; ++i) add_one();
  EXPECT_EQ(word.IsOwnedForTest(), kMine != 0);
  uint32_t wrong = count + 5;
  EXPECT_FALSE(word.TrySwapFast(wrong, 0, kAcqRel));
  EXPECT_EQ(wrong, count);
  SetCurrentMark(kOther);
  for (int i = 0; i < 3; ++i) add_one();
  EXPECT_FALSE(word.IsOwnedForTest());
  SetCurrentMark(kMine);
  for (int i = 0; i < 300; ++i) add_one();
  EXPECT_FALSE(word.IsOwnedForTest()) << "once and for ever";
}

// Fails without the restart in Ownership::Share().
TEST_F(OwnedWordTest, NothingIsLostWhenAnotherComes) {
  constexpr uint32_t kEach = 300;
  for (int round = 0; round < Scaled(2'000); ++round) {
    OwnedWord word;
    const auto add = [&word](uint32_t times) {
      for (uint32_t i = 0; i < times; ++i) {
        uint32_t state = word.Load(kRelaxed);
        if (word.TrySwapFast(state, state + 1, kAcqRel)) continue;
        while (!word.Swap(state, state + 1, kAcqRel)) {
        }
      }
    };
    add(200);  // mine
    std::atomic<bool> comes{false};
    std::thread other([&] {
      SetCurrentMark(round % 2 == 0 ? kOther : 0);
      comes.store(true);
      add(kEach);
      SetCurrentMark(0);
    });
    uint32_t mine = 0;
    while (!comes.load() && mine < 1'000'000) {
      add(1);
      ++mine;
    }
    add(kEach);
    other.join();
    ASSERT_EQ(word.Load(kRelaxed), 200 + mine + 2 * kEach);
  }
}

// The same of a number beside it.
TEST_F(OwnedWordTest, NorOfANumber) {
  constexpr int kEach = 300;
  for (int round = 0; round < Scaled(2'000); ++round) {
    Ownership ownership;
    ownership.Begin(/*at_once=*/true);
    Atomic<uint32_t> number;
    const auto add = [&] {
      bool zero;
      const uint8_t mine = ownership.MarkIfMine();
      if (mine != 0 &&
          RestartableAdd(number, 1, ownership.owner(), mine, &zero)) {
        return;
      }
      ownership.Enter();
      number.fetch_add(1, kAcqRel);
    };
    std::atomic<bool> comes{false};
    std::thread other([&] {
      comes.store(true);
      for (int i = 0; i < kEach; ++i) add();
    });
    uint32_t mine = 0;
    while (!comes.load() && mine < 1'000'000) {
      add();
      ++mine;
    }
    for (int i = 0; i < kEach; ++i) add();
    other.join();
    ASSERT_EQ(number.load(kRelaxed), mine + 2 * kEach);
  }
}

}  // namespace
}  // namespace gochan::runtime

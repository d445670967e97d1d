// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/mutex.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/random.h"
#include "test/util/asleep.h"
#include "test/util/parties.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::ScaledLimit;
using test::WaitUntilAsleep;

using MutexTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(MutexTest);

static_assert(sizeof(Mutex) == 8);
constinit Mutex global_mutex;

PARTY_TEST(MutexTest, WorksWithTheStandardGuards) {
  {
    std::lock_guard lock(global_mutex);
    EXPECT_FALSE(global_mutex.try_lock());
  }
  std::unique_lock lock(global_mutex, std::try_to_lock);
  EXPECT_TRUE(lock.owns_lock());
  lock.unlock();
  Mutex other;
  std::scoped_lock both(global_mutex, other);
  EXPECT_FALSE(global_mutex.try_lock());
  EXPECT_FALSE(other.try_lock());
}

PARTY_TEST(MutexTest, Excludes) {
  constexpr int kParties = 8;
  const int64_t rounds = PartyScaled(40000);
  Mutex mutex;
  int64_t count = 0;
  Parties parties(ScaledLimit());
  parties.GoEach(kParties, [&](int) {
    for (int64_t i = 0; i < rounds; ++i) {
      mutex.lock();
      ++count;
      mutex.unlock();
    }
  });
  parties.Join();
  EXPECT_EQ(count, kParties * rounds);
}

// Holders that give their processor away, and others that only try.
PARTY_TEST(MutexTest, ExcludesWhoeverBlocksWhileHoldingIt) {
  constexpr int kParties = 8;
  const int64_t rounds = PartyScaled(4000);
  Mutex mutex;
  bool inside = false;
  int64_t count = 0;
  std::atomic<int64_t> locked{0};
  Parties parties(ScaledLimit());
  parties.GoEach(kParties, [&](int party) {
    runtime::Random random(static_cast<uint64_t>(party));
    for (int64_t i = 0; i < rounds; ++i) {
      if (random.Below(4) == 0) {
        if (!mutex.try_lock()) continue;
      } else {
        mutex.lock();
      }
      EXPECT_FALSE(inside);
      inside = true;
      ++count;
      if (random.Below(4) == 0) Yield();
      inside = false;
      mutex.unlock();
      locked.fetch_add(1);
    }
  });
  parties.Join();
  EXPECT_EQ(count, locked.load());
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

PARTY_TEST(MutexTest, TryLock) {
  Mutex mutex;
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  Parties parties;
  parties.Go([&] { EXPECT_FALSE(mutex.try_lock()); });
  parties.Join();
  mutex.unlock();
  parties.Go([&] {
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
  parties.Join();
}

// It belongs to nobody.
PARTY_TEST(MutexTest, UnlockedBySomebodyElse) {
  Mutex mutex;
  mutex.lock();
  Parties parties;
  parties.Go([&] {
    mutex.lock();
    mutex.unlock();
  });
  WaitUntilAsleep(mutex, 1);
  parties.Go([&] { mutex.unlock(); });
  parties.Join();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

PARTY_TEST(MutexTest, WaitersAreServedFirstInFirstOut) {
  constexpr int kParties = 20;
  Mutex mutex;
  std::vector<int> order;
  mutex.lock();
  Parties parties;
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] {
      mutex.lock();
      order.push_back(i);
      mutex.unlock();
    });
    WaitUntilAsleep(mutex, i + 1);
  }
  mutex.unlock();
  parties.Join();
  ASSERT_EQ(order.size(), static_cast<std::size_t>(kParties));
  for (int i = 0; i < kParties; ++i) EXPECT_EQ(order[i], i);
}

// One that never blocks but for the mutex does not keep it from those who wait,
// not even with one worker, where nobody takes its processor away.
PARTY_TEST(MutexTest, NobodyStarves) {
  constexpr int kTimes = 20;
  constexpr int kModest = 3;
  // If the others can be passed over this often, they can be for ever.
  constexpr int64_t kTooOften = 200'000'000;
  Mutex mutex;
  int64_t greedy = 0;
  test::Event held;
  std::atomic<int> served{0};
  Parties parties(ScaledLimit());
  parties.Go([&] {
    mutex.lock();
    held.Set();
    WaitUntilAsleep(mutex, kModest);
    while (served.load(std::memory_order_relaxed) < kModest * kTimes &&
           greedy < kTooOften) {
      ++greedy;
      mutex.unlock();
      mutex.lock();
    }
    mutex.unlock();
  });
  held.Await();
  parties.GoEach(kModest, [&](int) {
    for (int i = 0; i < kTimes; ++i) {
      mutex.lock();
      served.fetch_add(1);
      mutex.unlock();
    }
  });
  parties.Join();
  EXPECT_LT(greedy, kTooOften);
}

// unlock() used to be a place where the memory of a mutex that the next holder
// has freed already is easily touched.
PARTY_TEST(MutexTest, MayBeDestroyedByTheLastWhoHeldIt) {
  struct Shared {
    Mutex mutex;
    int left;
  };
  constexpr int kParties = 4;
  const int64_t rounds = PartyScaled(4000);
  for (int64_t round = 0; round < rounds; ++round) {
    auto* shared = new Shared{.mutex = {}, .left = kParties};
    Parties parties;
    parties.GoEach(kParties, [shared](int) {
      shared->mutex.lock();
      const bool last = --shared->left == 0;
      shared->mutex.unlock();
      if (last) delete shared;
    });
  }
}

TEST(MutexDeathTest, UnlockOfAnUnlockedMutexIsFatal) {
  EXPECT_DEATH(
      {
        Mutex mutex;
        mutex.unlock();
      },
      "fatal error: sync: unlock of unlocked mutex");
  EXPECT_DEATH(
      {
        Mutex mutex;
        mutex.lock();
        mutex.unlock();
        mutex.unlock();
      },
      "fatal error: sync: unlock of unlocked mutex");
}

}  // namespace
}  // namespace gochan

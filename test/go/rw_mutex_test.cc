// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/rw_mutex.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/random.h"
#include "test/util/asleep.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::ScaledLimit;
using test::WaitUntilAsleep;

using RWMutexTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(RWMutexTest);

static_assert(sizeof(RWMutex) == 8);
constinit RWMutex global_mutex;

PARTY_TEST(RWMutexTest, WorksWithTheStandardGuards) {
  {
    std::shared_lock a(global_mutex);
    std::shared_lock b(global_mutex);
    EXPECT_FALSE(global_mutex.try_lock());
  }
  std::unique_lock writer(global_mutex);
  EXPECT_FALSE(global_mutex.try_lock());
  EXPECT_FALSE(global_mutex.try_lock_shared());
}

PARTY_TEST(RWMutexTest, TryLock) {
  RWMutex mutex;
  EXPECT_TRUE(mutex.try_lock_shared());
  EXPECT_TRUE(mutex.try_lock_shared());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock_shared();
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock_shared();
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock_shared());
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock_shared());
  mutex.unlock_shared();
}

// All of them at once, though none leaves before all are inside.
PARTY_TEST(RWMutexTest, ReadersShare) {
  constexpr int kReaders = 10;
  RWMutex mutex;
  test::Meeting inside(kReaders);
  Parties parties;
  parties.GoEach(kReaders, [&](int) {
    mutex.lock_shared();
    inside.Arrive();
    mutex.unlock_shared();
  });
  parties.Join();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

PARTY_TEST(RWMutexTest, AWaitingWriterHoldsBackNewReaders) {
  RWMutex mutex;
  std::string order;
  std::atomic<int> readers{0};
  mutex.lock_shared();
  mutex.lock_shared();
  Parties parties;
  parties.Go([&] {
    mutex.lock();
    order += 'w';
    EXPECT_EQ(readers.load(), 0);
    mutex.unlock();
  });
  WaitUntilAsleep(mutex, 1);
  EXPECT_FALSE(mutex.try_lock_shared());
  EXPECT_FALSE(mutex.try_lock());
  parties.GoEach(3, [&](int) {
    mutex.lock_shared();
    ++readers;
    EXPECT_EQ(order, "w");
    mutex.unlock_shared();
  });
  WaitUntilAsleep(mutex, 4);
  mutex.unlock_shared();
  EXPECT_EQ(test::Asleep(mutex), 4u) << "one reader is left";
  mutex.unlock_shared();
  parties.Join();
  EXPECT_EQ(readers.load(), 3);
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

// Go's rule: a writer that leaves lets in all readers that wait, also those who
// came after the next writer.
PARTY_TEST(RWMutexTest, WritersAndBatchesOfReadersTakeTurns) {
  constexpr int kReaders = 4;
  RWMutex mutex;
  std::atomic<int> inside{0};
  std::atomic<int> writers{0};
  test::Meeting all_inside(kReaders);
  mutex.lock();
  Parties parties;
  for (int i = 0; i < 2; ++i) {
    parties.Go([&, i] {
      mutex.lock();
      EXPECT_EQ(inside.load(), kReaders) << "the readers came first";
      EXPECT_EQ(writers.fetch_add(1), i) << "first in, first out";
      mutex.unlock();
    });
    WaitUntilAsleep(mutex, i + 1);
  }
  for (int i = 0; i < kReaders; ++i) {
    parties.Go([&] {
      mutex.lock_shared();
      ++inside;
      EXPECT_EQ(writers.load(), 0);
      all_inside.Arrive();
      mutex.unlock_shared();
    });
    WaitUntilAsleep(mutex, 2 + i + 1);
  }
  mutex.unlock();
  parties.Join();
  EXPECT_EQ(writers.load(), 2);
}

PARTY_TEST(RWMutexTest, UnlockedBySomebodyElse) {
  RWMutex mutex;
  mutex.lock();
  Parties parties;
  parties.Go([&] {
    mutex.lock_shared();
    mutex.lock_shared();
  });
  WaitUntilAsleep(mutex, 1);
  parties.Go([&] { mutex.unlock(); });
  parties.Join();
  parties.Go([&] { mutex.lock(); });
  WaitUntilAsleep(mutex, 1);
  mutex.unlock_shared();
  mutex.unlock_shared();
  parties.Join();
  EXPECT_FALSE(mutex.try_lock_shared());
  mutex.unlock();
}

// Readers and writers in all mixtures; what they see inside is right.
PARTY_TEST(RWMutexTest, Hammer) {
  const int64_t rounds = PartyScaled(4000);
  constexpr int kMixes[][2] = {{1, 1}, {1, 4}, {4, 1}, {4, 4}, {10, 2}};
  for (const auto& [readers, writers] : kMixes) {
    RWMutex mutex;
    std::atomic<int> reading{0};
    int writing = 0;
    int64_t written = 0;
    std::atomic<int64_t> wrote{0};
    Parties parties(ScaledLimit());
    parties.GoEach(readers + writers, [&, readers = readers](int party) {
      runtime::Random random(static_cast<uint64_t>(party));
      for (int64_t i = 0; i < rounds; ++i) {
        const bool attempt = random.Below(4) == 0;
        const bool yield = random.Below(8) == 0;
        if (party < readers) {
          if (attempt) {
            if (!mutex.try_lock_shared()) continue;
          } else {
            mutex.lock_shared();
          }
          ++reading;
          EXPECT_EQ(writing, 0);
          if (yield) Yield();
          EXPECT_EQ(writing, 0);
          --reading;
          mutex.unlock_shared();
        } else {
          if (attempt) {
            if (!mutex.try_lock()) continue;
          } else {
            mutex.lock();
          }
          EXPECT_EQ(++writing, 1);
          EXPECT_EQ(reading.load(), 0);
          ++written;
          if (yield) Yield();
          EXPECT_EQ(reading.load(), 0);
          --writing;
          mutex.unlock();
          ++wrote;
        }
      }
    });
    parties.Join();
    EXPECT_EQ(written, wrote.load());
    EXPECT_TRUE(mutex.try_lock());
  }
}

// Readers that overlap, so that there always is one, do not keep a writer out.
PARTY_TEST(RWMutexTest, WritersDoNotStarve) {
  constexpr int kTimes = 20;
  RWMutex mutex;
  std::atomic<bool> stop{false};
  std::atomic<int> inside{0};
  Parties parties(ScaledLimit());
  parties.GoEach(2, [&](int) {
    while (!stop.load()) {
      mutex.lock_shared();
      ++inside;
      // Leaves when the other one is inside, unless that one cannot come.
      for (int i = 0; i < 100 && inside.load() < 2 && !stop.load(); ++i) {
        Yield();
      }
      --inside;
      mutex.unlock_shared();
    }
  });
  for (int i = 0; i < kTimes; ++i) {
    mutex.lock();
    mutex.unlock();
  }
  stop = true;
  parties.Join();
}

PARTY_TEST(RWMutexTest, ReadersDoNotStarve) {
  constexpr int kTimes = 20;
  RWMutex mutex;
  std::atomic<bool> stop{false};
  Parties parties(ScaledLimit());
  parties.GoEach(2, [&](int) {
    while (!stop.load()) {
      mutex.lock();
      Yield();
      mutex.unlock();
    }
  });
  for (int i = 0; i < kTimes; ++i) {
    mutex.lock_shared();
    mutex.unlock_shared();
  }
  stop = true;
  parties.Join();
}

// Whoever has it and knows that no other will come any more may destroy it,
// though the others may still be on their way out of unlock().
PARTY_TEST(RWMutexTest, MayBeDestroyedWhenItIsFree) {
  struct Shared {
    RWMutex mutex;
    std::atomic<int> done{0};
  };
  constexpr int kOthers = 3;
  const int64_t rounds = PartyScaled(3000);
  for (int64_t round = 0; round < rounds; ++round) {
    auto* shared = new Shared;
    const bool readers = round % 2 == 0;
    Parties parties;
    parties.GoEach(kOthers, [shared, readers](int) {
      if (readers) {
        shared->mutex.lock_shared();
        ++shared->done;
        shared->mutex.unlock_shared();
      } else {
        shared->mutex.lock();
        ++shared->done;
        shared->mutex.unlock();
      }
    });
    parties.Go([shared, readers] {
      for (bool all = false; !all;) {
        if (readers) {
          shared->mutex.lock();
          all = shared->done.load() == kOthers;
          shared->mutex.unlock();
        } else {
          shared->mutex.lock_shared();
          all = shared->done.load() == kOthers;
          shared->mutex.unlock_shared();
        }
        if (!all) Yield();
      }
      delete shared;
    });
  }
}

TEST(RWMutexDeathTest, UnlockOfWhatIsNotLockedIsFatal) {
  constexpr char kUnlock[] = "fatal error: sync: Unlock of unlocked RWMutex";
  constexpr char kRUnlock[] = "fatal error: sync: RUnlock of unlocked RWMutex";
  EXPECT_DEATH(RWMutex().unlock(), kUnlock);
  EXPECT_DEATH(RWMutex().unlock_shared(), kRUnlock);
  EXPECT_DEATH(
      {
        RWMutex mutex;
        mutex.lock_shared();
        mutex.unlock();
      },
      kUnlock);
  EXPECT_DEATH(
      {
        RWMutex mutex;
        mutex.lock();
        mutex.unlock_shared();
      },
      kRUnlock);
}

}  // namespace
}  // namespace gochan

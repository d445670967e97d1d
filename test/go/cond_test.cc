// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/cond.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "go/go.h"
#include "go/mutex.h"
#include "gtest/gtest.h"
#include "test/util/asleep.h"
#include "test/util/child.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::Parties;
using test::PartyScaled;
using test::RunChild;
using test::ScaledLimit;
using test::WaitUntilAsleep;

using CondTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(CondTest);

PARTY_TEST(CondTest, SignalWakesWhoHasWaitedLongest) {
  constexpr int kParties = 10;
  Mutex mutex;
  Cond cond(mutex);
  std::vector<int> order;
  Parties parties;
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] {
      const std::lock_guard lock(mutex);
      cond.Wait();
      order.push_back(i);
    });
    WaitUntilAsleep(cond, i + 1);
  }
  for (int i = 0; i < kParties; ++i) {
    // With and without the lock.
    if (i % 2 == 0) {
      const std::lock_guard lock(mutex);
      cond.Signal();
    } else {
      cond.Signal();
    }
    EXPECT_EQ(test::Asleep(cond), static_cast<std::size_t>(kParties - i - 1));
  }
  parties.Join();
  for (int i = 0; i < kParties; ++i) {
    EXPECT_NE(std::find(order.begin(), order.end(), i), order.end());
  }
}

// One at a time, so that the order of waking is the order of coming back.
PARTY_TEST(CondTest, FirstInFirstOut) {
  constexpr int kParties = 10;
  Mutex mutex;
  Cond cond(mutex);
  std::atomic<int> last{-1};
  Parties parties;
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] {
      const std::lock_guard lock(mutex);
      cond.Wait();
      last = i;
    });
    WaitUntilAsleep(cond, i + 1);
  }
  for (int i = 0; i < kParties; ++i) {
    cond.Signal();
    test::Patience patience;
    while (last.load() < i) patience.Wait("nobody was woken");
    EXPECT_EQ(last.load(), i);
  }
}

PARTY_TEST(CondTest, BroadcastWakesAll) {
  constexpr int kParties = 20;
  Mutex mutex;
  Cond cond(mutex);
  int round = 0;
  int woken = 0;
  Parties parties;
  parties.GoEach(kParties, [&](int) {
    const std::lock_guard lock(mutex);
    for (int r = 0; r < 3; ++r) {
      while (round == r) cond.Wait();
      ++woken;
    }
  });
  for (int r = 0; r < 3; ++r) {
    WaitUntilAsleep(cond, kParties);
    const std::lock_guard lock(mutex);
    EXPECT_EQ(woken, r * kParties);
    ++round;
    cond.Broadcast();
  }
  parties.Join();
  EXPECT_EQ(woken, 3 * kParties);
}

// A signal is not kept for who comes later.
PARTY_TEST(CondTest, ASignalThatNobodyWaitsForIsLost) {
  Mutex mutex;
  Cond cond(mutex);
  cond.Signal();
  cond.Broadcast();
  Parties parties;
  parties.Go([&] {
    const std::lock_guard lock(mutex);
    cond.Wait();
  });
  WaitUntilAsleep(cond, 1);
  cond.Signal();
  parties.Join();
}

PARTY_TEST(CondTest, WaitGivesTheMutexAwayAndTakesItBack) {
  Mutex mutex;
  Cond cond(mutex);
  EXPECT_EQ(&cond.L, &mutex);
  Parties parties;
  parties.Go([&] {
    cond.L.lock();
    cond.Wait();
    EXPECT_FALSE(mutex.try_lock());
    cond.L.unlock();
  });
  WaitUntilAsleep(cond, 1);
  mutex.lock();  // it has been unlocked
  cond.Signal();
  WaitUntilAsleep(mutex, 1);  // woken, it wants it back
  mutex.unlock();
  parties.Join();
}

// A bounded queue: no wake-up is lost between the check and the sleep.
PARTY_TEST(CondTest, BoundedQueue) {
  constexpr int kProducers = 3, kConsumers = 3;
  constexpr std::size_t kCapacity = 4;
  const int64_t each = PartyScaled(10000);
  Mutex mutex;
  Cond not_empty(mutex), not_full(mutex);
  std::deque<int64_t> queue;
  std::atomic<int64_t> sum{0};
  Parties parties(ScaledLimit());
  parties.GoEach(kProducers, [&](int) {
    for (int64_t i = 1; i <= each; ++i) {
      const std::lock_guard lock(mutex);
      while (queue.size() == kCapacity) not_full.Wait();
      queue.push_back(i);
      not_empty.Signal();
    }
  });
  parties.GoEach(kConsumers, [&](int) {
    for (int64_t i = 1; i <= each; ++i) {
      int64_t value;
      {
        const std::lock_guard lock(mutex);
        while (queue.empty()) not_empty.Wait();
        value = queue.front();
        queue.pop_front();
      }
      not_full.Signal();
      sum += value;
    }
  });
  parties.Join();
  EXPECT_EQ(sum.load(), kProducers * each * (each + 1) / 2);
}

// The one that waits destroys it as soon as it is back.
PARTY_TEST(CondTest, MayBeDestroyedByWhoWaited) {
  struct Shared {
    Mutex mutex;
    Cond cond{mutex};
    bool ready = false;
  };
  const int64_t rounds = PartyScaled(4000);
  for (int64_t round = 0; round < rounds; ++round) {
    auto* shared = new Shared;
    Parties parties;
    parties.Go([shared] {
      shared->mutex.lock();
      while (!shared->ready) shared->cond.Wait();
      shared->mutex.unlock();
      delete shared;
    });
    parties.Go([shared, round] {
      shared->mutex.lock();
      shared->ready = true;
      if (round % 2 == 0) {
        shared->cond.Signal();
      } else {
        shared->cond.Broadcast();
      }
      shared->mutex.unlock();
    });
  }
}

SCENARIO(WaitWithoutTheMutex) {
  Mutex mutex;
  Cond(mutex).Wait();
  return 0;
}

// The report named who runs next on the worker of the culprit.
SCENARIO(GoroutineWaitsWithoutTheMutex) {
  return RunMain([] {
    Go(GoOptions{.name = "bystander"}, [] {
      for (;;) Yield();
    });
    Yield();
    Mutex mutex;
    Cond(mutex).Wait();
  });
}

TEST(CondFatalTest, WaitWithoutTheMutexIsFatal) {
  constexpr char kFatal[] = "fatal error: sync: unlock of unlocked mutex\n";
  ChildResult child = RunChild("WaitWithoutTheMutex");
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(child.err.rfind(kFatal, 0), 0u) << child;
  child = RunChild("GoroutineWaitsWithoutTheMutex", 1);
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(
      child.err.rfind(std::string(kFatal) + "\ngoroutine 1 [running]:\n", 0),
      0u)
      << child;
}

}  // namespace
}  // namespace gochan

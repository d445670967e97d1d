// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/timers.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/random.h"

namespace gochan::runtime {
namespace {

constexpr MonotonicNanos kMillisecond = 1'000'000;
constexpr MonotonicNanos kHour = 3600 * 1000 * kMillisecond;

MonotonicNanos InAnHour() { return MonotonicNow() + kHour; }

void Nothing(void*) {}
void MustNotRun(void*) { ADD_FAILURE() << "a stopped timer's callback ran"; }

// Counts callbacks; whoever waits sleeps.
class Counter {
 public:
  static void Add(void* self) {
    auto* counter = static_cast<Counter*>(self);
    counter->count_.fetch_add(1);
    counter->count_.notify_all();
  }
  void AwaitAtLeast(uint32_t n) {
    for (uint32_t now; (now = count_.load()) < n;) count_.wait(now);
  }
  uint32_t count() const { return count_.load(); }

 private:
  std::atomic<uint32_t> count_{0};
};

// Keeps the timer thread inside a callback while it is alive, so that a test
// can arrange what the thread will find.
class HoldService {
 public:
  HoldService() {
    timer_.Start(
        MonotonicNow(),
        [](void* self) {
          auto* hold = static_cast<HoldService*>(self);
          hold->held_.store(true);
          hold->held_.notify_all();
          hold->released_.wait(false);
          hold->gone_.store(true);
          hold->gone_.notify_all();
        },
        this);
    held_.wait(false);
  }
  ~HoldService() {
    released_.store(true);
    released_.notify_all();
    gone_.wait(false);
    // The callback may be inside notify_all(); the next one cannot.
    Counter flushed;
    Timer flush;
    flush.Start(MonotonicNow(), &Counter::Add, &flushed);
    flushed.AwaitAtLeast(1);
  }

 private:
  std::atomic<bool> held_{false}, released_{false}, gone_{false};
  Timer timer_;
};

// Returns when the timer thread has taken note of all that was started before.
void FlushService() { HoldService hold; }

TEST(TimersTest, FiresOnceAndNeverEarly) {
  struct Shot {
    MonotonicNanos deadline, fired;
    Counter count;
    static void Fire(void* self) {
      auto* shot = static_cast<Shot*>(self);
      shot->fired = MonotonicNow();
      Counter::Add(&shot->count);
    }
  };
  constexpr int kShots = 200;
  std::vector<Shot> shots(kShots);
  std::vector<Timer> timers(kShots);
  Random random(1);
  for (int i = 0; i < kShots; ++i) {
    shots[i].deadline =
        MonotonicNow() + random.Below(20 * kMillisecond) - kMillisecond;
    timers[i].Start(shots[i].deadline, &Shot::Fire, &shots[i]);
  }
  for (Shot& shot : shots) {
    shot.count.AwaitAtLeast(1);
    EXPECT_GE(shot.fired, shot.deadline);
  }
  FlushService();
  for (int i = 0; i < kShots; ++i) {
    EXPECT_EQ(shots[i].count.count(), 1u);
    EXPECT_FALSE(timers[i].Stop());
  }
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(TimersTest, OfTwoThatAreDueTheEarlierGoesFirst) {
  static std::vector<int>* order;
  std::vector<int> fired;
  order = &fired;
  constexpr int kTimers = 1000;
  std::vector<Timer> timers(kTimers);
  std::vector<int> ranks(kTimers);
  for (int i = 0; i < kTimers; ++i) ranks[i] = i;
  Random random(2);
  for (int i = kTimers - 1; i > 0; --i) {
    std::swap(ranks[i], ranks[random.Below(i + 1)]);
  }
  {
    HoldService hold;
    const MonotonicNanos past = MonotonicNow() - kTimers;
    for (int& rank : ranks) {
      timers[rank].Start(
          past + rank,
          [](void* arg) { order->push_back(*static_cast<int*>(arg)); }, &rank);
    }
    EXPECT_EQ(PendingTimers(), static_cast<size_t>(kTimers));
  }
  FlushService();
  ASSERT_EQ(fired.size(), static_cast<size_t>(kTimers));
  for (int i = 0; i < kTimers; ++i) EXPECT_EQ(fired[i], i);
}

TEST(TimersTest, ALaterStartWithAnEarlierDeadlineIsNotHeldUp) {
  Timer late, early;
  late.Start(InAnHour(), &MustNotRun, nullptr);
  FlushService();  // the thread has planned to sleep for an hour
  Counter fired;
  early.Start(MonotonicNow() + kMillisecond, &Counter::Add, &fired);
  fired.AwaitAtLeast(1);
  EXPECT_TRUE(late.Stop());
}

TEST(TimersTest, RearmedInTheInboxWithAnEarlierDeadline) {
  Timer first, timer;
  first.Start(InAnHour(), &MustNotRun, nullptr);
  FlushService();
  // Later than what the thread sleeps for: stays in the inbox.
  timer.Start(InAnHour() + kHour, &MustNotRun, nullptr);
  EXPECT_TRUE(timer.Stop());
  Counter fired;
  timer.Start(MonotonicNow() + kMillisecond, &Counter::Add, &fired);
  fired.AwaitAtLeast(1);
  EXPECT_TRUE(first.Stop());
}

TEST(TimersTest, StopOfOneThatWasNeverStarted) {
  Timer timer;
  EXPECT_FALSE(timer.Stop());
}

TEST(TimersTest, StopBeforeAndAfterTheServiceHasSeenIt) {
  Timer timer;
  for (const bool seen : {false, true}) {
    timer.Start(InAnHour(), &MustNotRun, nullptr);
    EXPECT_EQ(PendingTimers(), 1u);
    if (seen) FlushService();
    EXPECT_TRUE(timer.Stop());
    EXPECT_FALSE(timer.Stop());
    EXPECT_EQ(PendingTimers(), 0u);
  }
}

TEST(TimersTest, StopOfOneThatIsDueButNotYetFired) {
  struct Pair {
    Timer before, after;
    bool stopped = false;
    static void StopOther(void* self) {
      auto* pair = static_cast<Pair*>(self);
      pair->stopped = pair->after.Stop();
    }
  } pair;
  {
    HoldService hold;
    const MonotonicNanos past = MonotonicNow() - 2;
    pair.before.Start(past, &Pair::StopOther, &pair);
    pair.after.Start(past + 1, &MustNotRun, nullptr);
  }
  FlushService();
  EXPECT_TRUE(pair.stopped);
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(TimersTest, StopReturnsWhileTheCallbackRuns) {
  struct Gate {
    std::atomic<bool> entered{false}, open{false};
    Counter left;
    static void Pass(void* self) {
      auto* gate = static_cast<Gate*>(self);
      gate->entered.store(true);
      gate->entered.notify_all();
      gate->open.wait(false);
      Counter::Add(&gate->left);
    }
  } gate;
  Timer timer;
  timer.Start(MonotonicNow(), &Gate::Pass, &gate);
  gate.entered.wait(false);
  EXPECT_FALSE(timer.Stop());
  EXPECT_EQ(gate.left.count(), 0u);
  gate.open.store(true);
  gate.open.notify_all();
  gate.left.AwaitAtLeast(1);
  FlushService();
}

TEST(TimersTest, KNeverStaysPendingUntilStopped) {
  Timer timer;
  timer.Start(kNever, &MustNotRun, nullptr);
  FlushService();
  EXPECT_EQ(PendingTimers(), 1u);
  EXPECT_TRUE(timer.Stop());
}

TEST(TimersTest, StartReplacesAPendingStart) {
  Timer timer;
  timer.Start(MonotonicNow() + kHour, &MustNotRun, nullptr);
  Counter fired;
  timer.Start(MonotonicNow(), &Counter::Add, &fired);
  fired.AwaitAtLeast(1);
  EXPECT_FALSE(timer.Stop());
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(TimersTest, DestructorStops) {
  for (const bool seen : {false, true}) {
    Timer timer;
    timer.Start(MonotonicNow() + kHour, &MustNotRun, nullptr);
    if (seen) FlushService();
  }
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(TimersTest, CallbackRestartsItsOwnTimer) {
  struct Ticker {
    Timer timer;
    int left = 5;
    Counter ticks;
    static void Tick(void* self) {
      auto* ticker = static_cast<Ticker*>(self);
      if (--ticker->left > 0) {
        ticker->timer.Start(MonotonicNow(), &Tick, ticker);
      }
      Counter::Add(&ticker->ticks);
    }
  } ticker;
  ticker.timer.Start(MonotonicNow(), &Ticker::Tick, &ticker);
  ticker.ticks.AwaitAtLeast(5);
  FlushService();
  EXPECT_EQ(ticker.ticks.count(), 5u);
}

TEST(TimersTest, CallbackDestroysItsOwnTimer) {
  struct Owner {
    Timer timer;
    Counter* done;
    static void Drop(void* self) {
      auto* owner = static_cast<Owner*>(self);
      Counter* const done = owner->done;
      delete owner;
      Counter::Add(done);
    }
  };
  Counter done;
  auto* owner = new Owner;
  owner->done = &done;
  owner->timer.Start(MonotonicNow(), &Owner::Drop, owner);
  done.AwaitAtLeast(1);
  FlushService();
}

TEST(TimersTest, WhatTheStarterDidIsVisibleInTheCallback) {
  struct Box {
    int plain = 0;
    Counter done;
    static void Check(void* self) {
      auto* box = static_cast<Box*>(self);
      EXPECT_EQ(box->plain, 42);
      Counter::Add(&box->done);
    }
  } box;
  Timer timer;
  box.plain = 42;
  timer.Start(MonotonicNow(), &Box::Check, &box);
  box.done.AwaitAtLeast(1);
  FlushService();
}

// Two threads stop what the service fires: of each Start(), exactly one of
// callback, first stopper and second stopper is told that it was the one.
TEST(TimersTest, StopRacesWithFiring) {
  struct Round {
    Timer timer;
    std::atomic<int> outcomes{0};
    static void Fire(void* self) {
      static_cast<Round*>(self)->outcomes.fetch_add(1);
    }
  };
  constexpr int kRounds = 5000;
  std::vector<Round> rounds(kRounds);
  std::atomic<int> started{0};
  auto stop_all = [&] {
    for (int i = 0; i < kRounds; ++i) {
      for (int now; (now = started.load()) <= i;) started.wait(now);
      if (rounds[i].timer.Stop()) rounds[i].outcomes.fetch_add(1);
    }
  };
  std::thread a(stop_all), b(stop_all);
  Random random(3);
  for (int i = 0; i < kRounds; ++i) {
    rounds[i].timer.Start(MonotonicNow() + random.Below(20'000), &Round::Fire,
                          &rounds[i]);
    started.store(i + 1);
    started.notify_all();
  }
  a.join();
  b.join();
  FlushService();
  for (Round& round : rounds) EXPECT_EQ(round.outcomes.load(), 1);
  EXPECT_EQ(PendingTimers(), 0u);
}

// Stop() may meet the very first Start() of a timer.
TEST(TimersTest, StopRacesWithStart) {
  constexpr int kRounds = 2000;
  for (int i = 0; i < kRounds; ++i) {
    Timer timer;
    std::atomic<bool> go{false};
    bool stopped = false;
    std::thread stopper([&] {
      go.wait(false);
      stopped = timer.Stop();
    });
    go.store(true);
    go.notify_all();
    timer.Start(kNever, &MustNotRun, nullptr);
    stopper.join();
    EXPECT_EQ(timer.Stop(), !stopped);
  }
  EXPECT_EQ(PendingTimers(), 0u);
}

// The service is about to fall asleep again and again when the next start
// comes: a lost wake-up would hang this test.
TEST(TimersTest, EveryStartIsSeen) {
  constexpr int kThreads = 2;
  constexpr uint32_t kRounds = 5000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      Random random(t);
      Timer timer, later;
      Counter fired;
      for (uint32_t i = 1; i <= kRounds; ++i) {
        later.Start(MonotonicNow() + kHour - i, &MustNotRun, nullptr);
        timer.Start(MonotonicNow() + random.Below(5'000), &Counter::Add,
                    &fired);
        EXPECT_TRUE(later.Stop());
        fired.AwaitAtLeast(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  FlushService();
  EXPECT_EQ(PendingTimers(), 0u);
}

// Entries wander between threads, from life to life, while the service has
// them in its inbox and its heap: nothing is lost, nothing fires twice or after
// a Stop() that returned true.
TEST(TimersTest, ManyThreadsStartStopAndDestroy) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20'000;
  constexpr int kAtOnce = 16;
  struct Shot {
    // One more than the number of callbacks; -1: none may come.
    std::atomic<int> fired{0};
    std::atomic<bool>* wrong;
    static void Fire(void* self) {
      auto* shot = static_cast<Shot*>(self);
      if (shot->fired.fetch_add(1) != 0) shot->wrong->store(true);
    }
  };
  std::atomic<bool> wrong{false};
  std::vector<std::vector<Shot>> shots(kThreads);
  std::vector<std::thread> threads;
  std::vector<uint64_t> stops(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    shots[t] = std::vector<Shot>(kRounds);
    threads.emplace_back([&, t] {
      Random random(t);
      std::vector<std::unique_ptr<Timer>> timers(kAtOnce);
      std::vector<Shot*> armed(kAtOnce, nullptr);
      auto settle = [&](size_t i) {
        if (armed[i] != nullptr && timers[i]->Stop()) {
          // From now on the callback would be wrong.
          if (armed[i]->fired.fetch_add(1) != 0) wrong.store(true);
          ++stops[t];
        }
        armed[i] = nullptr;
      };
      for (Shot& shot : shots[t]) {
        shot.wrong = &wrong;
        const size_t i = random.Below(kAtOnce);
        if (timers[i] != nullptr) settle(i);
        if (timers[i] == nullptr || random.Below(4) == 0) {
          timers[i] = std::make_unique<Timer>();
        }
        const MonotonicNanos delay =
            random.Below(2) == 0 ? kHour : random.Below(2'000);
        armed[i] = &shot;
        timers[i]->Start(MonotonicNow() + delay, &Shot::Fire, &shot);
      }
      for (size_t i = 0; i < kAtOnce; ++i) settle(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  FlushService();
  EXPECT_FALSE(wrong.load());
  uint64_t stopped = 0;
  for (const uint64_t n : stops) stopped += n;
  EXPECT_GT(stopped, 0u);
  for (const auto& of_thread : shots) {
    for (const Shot& shot : of_thread) EXPECT_EQ(shot.fired.load(), 1);
  }
  EXPECT_EQ(PendingTimers(), 0u);
}

// Each stopped timer used to be garbage until its deadline in designs that
// leave it in the heap.
TEST(TimersTest, AMillionStartsAndStopsLeaveNothing) {
  const TimerMemory before = GetTimerMemory();
  for (int i = 0; i < 1'000'000; ++i) {
    Timer timer;
    timer.Start(InAnHour(), &MustNotRun, nullptr);
    EXPECT_TRUE(timer.Stop());
  }
  const TimerMemory after = GetTimerMemory();
  EXPECT_LE(after.entries, before.entries + 256);
  EXPECT_LE(after.slots, before.slots + 10'000);
  EXPECT_EQ(PendingTimers(), 0u);
}

// The worst case for the inbox: every deadline is the earliest, so the thread
// is woken each time and moves what it finds to the heap.
TEST(TimersTest, DescendingDeadlinesLeaveNothingEither) {
  const TimerMemory before = GetTimerMemory();
  const MonotonicNanos base = InAnHour();
  for (int i = 0; i < 100'000; ++i) {
    Timer timer;
    timer.Start(base - i, &MustNotRun, nullptr);
    EXPECT_TRUE(timer.Stop());
  }
  FlushService();
  const TimerMemory after = GetTimerMemory();
  EXPECT_LE(after.entries, before.entries + 256);
  EXPECT_LE(after.slots, before.slots + 10'000);
}

TEST(TimersTest, AMillionPendingAtOnce) {
  constexpr size_t kTimers = 1'000'000;
  {
    std::vector<Timer> timers(kTimers);
    Random random(4);
    const MonotonicNanos base = InAnHour();
    for (Timer& timer : timers) {
      timer.Start(base + random.Below(1'000'000'000), &MustNotRun, nullptr);
    }
    EXPECT_EQ(PendingTimers(), kTimers);
    FlushService();  // all are in the heap
    EXPECT_GE(GetTimerMemory().slots, kTimers);
    for (Timer& timer : timers) EXPECT_TRUE(timer.Stop());
    EXPECT_EQ(PendingTimers(), 0u);
  }
  FlushService();
  EXPECT_LE(GetTimerMemory().slots, 10'000u);
}

// Destructors of static objects come after main(), while the timer thread runs.
struct UsesTimersAtExit {
  ~UsesTimersAtExit() {
    Timer timer;
    timer.Start(MonotonicNow() + kHour, &Nothing, nullptr);
    timer.Stop();
    at_exit.Stop();
  }
  Timer at_exit;
} uses_timers_at_exit;

TEST(TimersTest, PendingAtExit) {
  uses_timers_at_exit.at_exit.Start(InAnHour(), &Nothing, nullptr);
  EXPECT_TRUE(uses_timers_at_exit.at_exit.Stop());
  uses_timers_at_exit.at_exit.Start(InAnHour(), &Nothing, nullptr);
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/time.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "runtime/random.h"
#include "runtime/spawn.h"
#include "runtime/timers.h"
#include "select/select.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/patience.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using runtime::PendingTimers;
using test::Event;
using test::Patience;
using test::Scaled;
using test::Threads;
using test::WaitUntilParked;

constexpr absl::Duration kHour = absl::Hours(1);

// -----------------------------------------------------------------------------
// Timer
// -----------------------------------------------------------------------------

TEST(TimeTest, ATimerGivesOneValueAndNotBefore) {
  const absl::Time begin = absl::Now();
  Timer timer(absl::Milliseconds(5));
  auto [when, ok] = timer.C().Recv();
  EXPECT_TRUE(ok);
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(5));
  EXPECT_EQ(timer.C().TryRecv(), std::nullopt);
  EXPECT_FALSE(timer.Stop());
}

TEST(TimeTest, WhatIsDueIsReceivedAtOnce) {
  for (const absl::Duration d :
       {absl::ZeroDuration(), -absl::Seconds(1), -absl::InfiniteDuration()}) {
    Timer timer(d);
    EXPECT_TRUE(timer.C().TryRecv().has_value());
    EXPECT_FALSE(timer.C().TryRecv().has_value());
    EXPECT_FALSE(timer.Reset(d));
    EXPECT_EQ(Select(RecvCase(timer.C()), DefaultCase()), 0u);
    EXPECT_EQ(Select(RecvCase(timer.C()), DefaultCase()), 1u);
    EXPECT_FALSE(timer.Reset(d));
    for (absl::Time t : timer.C()) {
      EXPECT_LE(t, absl::Now());
      break;
    }
  }
}

TEST(TimeTest, StopAndResetTakeBackWhatNobodyHasReceived) {
  Timer timer(absl::ZeroDuration());
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(timer.C().TryRecv().has_value());
  EXPECT_FALSE(timer.Stop());
  EXPECT_FALSE(timer.Reset(absl::ZeroDuration()));
  EXPECT_TRUE(timer.Reset(kHour));
  EXPECT_FALSE(timer.C().TryRecv().has_value());
  EXPECT_TRUE(timer.Reset(kHour));
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(timer.Stop());
  EXPECT_EQ(PendingTimers(), 0u);
}

// The value was put by the runtime's timer, not by the receiver.
TEST(TimeTest, StopTakesBackAValueThatWasPut) {
  Timer timer(absl::Microseconds(100));
  Patience patience;
  while (PendingTimers() != 0) patience.Wait("the timer did not go off");
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(timer.C().TryRecv().has_value());
}

TEST(TimeTest, LenAndCapAreZero) {
  Timer timer(absl::ZeroDuration());
  EXPECT_EQ(timer.C().Len(), 0u);
  EXPECT_EQ(timer.C().Cap(), 0u);
  EXPECT_TRUE(timer.C().TryRecv().has_value());
  EXPECT_EQ(timer.C().Len(), 0u);
}

TEST(TimeTest, ABlockedReceiverSleepsOverStopAndWakesByReset) {
  Timer timer(kHour);
  Threads threads;
  std::atomic<int> received{0};
  threads.Go([&] {
    timer.C().Recv();
    ++received;
  });
  WaitUntilParked(timer.C(), 1);
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(timer.Reset(2 * kHour));
  EXPECT_EQ(test::Parked(timer.C()), 1u);
  EXPECT_EQ(received, 0);
  EXPECT_TRUE(timer.Reset(absl::ZeroDuration()));
  threads.Join();
  EXPECT_FALSE(timer.Stop());
}

// It keeps its place in the runtime's queue, goes off too early, and is set
// anew.
TEST(TimeTest, AResetToALaterTimeIsNeitherEarlyNorLost) {
  static constexpr absl::Duration kFirst = absl::Milliseconds(1);
  static constexpr absl::Duration kThen = absl::Milliseconds(5);
  const auto start = std::chrono::steady_clock::now();
  const auto it_is_time = [start] {
    return std::chrono::steady_clock::now() - start >=
           absl::ToChronoNanoseconds(kThen);
  };
  std::atomic<bool> late{false};
  Event ran;
  Timer once(kFirst), again(kFirst);
  Ticker ticks(kFirst);
  Timer func = AfterFunc(kFirst, [&] {
    late = it_is_time();
    ran.Set();
  });
  once.Reset(kThen);
  again.Reset(kThen);
  ticks.Reset(kThen);
  const bool in_time = func.Reset(kThen);
  once.C().Recv();
  EXPECT_TRUE(it_is_time());
  ticks.C().Recv();
  EXPECT_TRUE(it_is_time());
  ran.Await();
  EXPECT_TRUE(late || !in_time);
  again.C().Recv();
  // The same after it has gone off.
  const auto second = std::chrono::steady_clock::now();
  again.Reset(kFirst);
  again.Reset(kThen);
  again.C().Recv();
  EXPECT_GE(std::chrono::steady_clock::now() - second,
            absl::ToChronoNanoseconds(kThen));
}

TEST(TimeTest, ABlockedSelectIsWokenAndTheOthersStay) {
  Timer timer(kHour);
  auto other = MakeChan<int>();
  Threads threads;
  Event fired;
  threads.Go([&] {
    EXPECT_EQ(Select(RecvCase(timer.C()), RecvCase(other)), 0u);
    fired.Set();
    EXPECT_EQ(Select(RecvCase(timer.C()), RecvCase(other)), 1u);
  });
  WaitUntilParked(timer.C(), 1);
  timer.Reset(absl::Microseconds(10));
  fired.Await();
  other.Send(1);
  threads.Join();
  EXPECT_EQ(test::Parked(timer.C()), 0u);
}

TEST(TimeTest, TheChannelKeepsTheTimerAlive) {
  RecvChan<absl::Time> channel = Timer(absl::Milliseconds(1)).C();
  EXPECT_TRUE(channel.Recv().ok);
  EXPECT_TRUE(After(absl::Milliseconds(1)).Recv().ok);
}

TEST(TimeTest, WhatNobodyRefersToIsStopped) {
  {
    Timer timer(kHour), copy(timer), other(kHour);
    RecvChan<absl::Time> channel = timer.C();
    EXPECT_EQ(PendingTimers(), 2u);
    other = copy;
    EXPECT_EQ(PendingTimers(), 1u);
    timer = Timer();
    copy = Timer();
    EXPECT_TRUE(other.Stop());
    EXPECT_FALSE(other.Reset(kHour));
    Timer moved(std::move(other));
    EXPECT_EQ(moved.C(), channel);
    EXPECT_EQ(PendingTimers(), 1u);
  }
  {
    Ticker ticker(kHour);
  }
  (void)Tick(kHour);
  (void)After(kHour);
  EXPECT_EQ(Select(RecvCase(After(kHour)), DefaultCase()), 1u);
  EXPECT_EQ(PendingTimers(), 0u);
}

// A blocked call keeps the timer going, though its handle is assigned over.
TEST(TimeTest, ABlockedReceiverIsServedWithoutAHandle) {
  for (const bool ticks : {false, true}) {
    // Later than the receiver is parked, also where that takes long.
    constexpr absl::Duration kSoon =
        absl::Milliseconds(test::kEmulated ? 1'000 : 30);
    RecvChan<absl::Time> channel = ticks ? Tick(kSoon) : After(kSoon);
    Threads threads;
    threads.Go([&channel] { EXPECT_TRUE(channel.Recv().ok); });
    WaitUntilParked(channel, 1);
    channel = nullptr;
    threads.Join();
    Patience patience;
    while (PendingTimers() != 0) patience.Wait("the timer is still there");
  }
}

// The last handle goes while the timer goes off.
TEST(TimeTest, DroppedWhileItGoesOff) {
  const int rounds = static_cast<int>(Scaled(3000));
  runtime::Random random(1);
  for (int i = 0; i < rounds; ++i) {
    auto channel = i % 2 == 0
                       ? After(absl::Nanoseconds(random.Below(60'000)))
                       : Tick(absl::Nanoseconds(10'000 + random.Below(50'000)));
    const absl::Time end =
        absl::Now() + absl::Nanoseconds(random.Below(90'000));
    while (absl::Now() < end) {
    }
  }
  Patience patience;
  while (PendingTimers() != 0) patience.Wait("timers are left");
}

TEST(TimeTest, AnInfiniteTimerNeverFires) {
  Timer timer(absl::InfiniteDuration());
  EXPECT_FALSE(timer.C().TryRecv().has_value());
  EXPECT_TRUE(timer.Stop());
  Ticker ticker(absl::InfiniteDuration());
  EXPECT_FALSE(ticker.C().TryRecv().has_value());
}

TEST(TimeTest, UninitialisedPanics) {
  Timer timer;
  EXPECT_TRUE(timer.C().IsNil());
  EXPECT_PANIC(timer.Stop(), "time: Stop called on uninitialized Timer");
  EXPECT_PANIC(timer.Reset(kHour), "time: Reset called on uninitialized Timer");
  Ticker ticker;
  ticker.Stop();
  EXPECT_PANIC(ticker.Reset(kHour),
               "time: Reset called on uninitialized Ticker");
}

// Of each setting, either somebody receives the value or one Stop or Reset is
// told that it was the one; and nothing is received after Stop.
TEST(TimeTest, EachSettingEndsOnce) {
  const int rounds = static_cast<int>(Scaled(20'000));
  Timer timer(absl::ZeroDuration());
  auto quit = MakeChan<Unit>();
  std::atomic<int> settings{1}, ended{0};
  Threads threads(test::ScaledLimit());
  for (int i = 0; i < 2; ++i) {
    threads.Go([&] {  // receives, in every way
      for (int k = 0;; ++k) {
        if (k % 3 == 0) {
          if (timer.C().TryRecv().has_value()) ++ended;
          continue;
        }
        if (Select(RecvCase(timer.C()), RecvCase(quit)) == 1) return;
        ++ended;
      }
    });
  }
  Threads setters(test::ScaledLimit());
  for (int i = 0; i < 2; ++i) {
    setters.Go([&, i] {
      runtime::Random random(i + 1);
      for (int k = 0; k < rounds; ++k) {
        if (random.Below(4) == 0) {
          if (timer.Stop()) ++ended;
        } else {
          ++settings;
          if (timer.Reset(absl::Nanoseconds(random.Below(20'000)))) ++ended;
        }
      }
    });
  }
  setters.Join();
  if (timer.Stop()) ++ended;
  quit.Close();
  threads.Join();
  EXPECT_EQ(ended, settings);
  EXPECT_FALSE(timer.C().TryRecv().has_value());
  // Who receives fires what is due by himself, and the runtime's timer goes off
  // a moment later: before this one, whose deadline is later.
  Event gone_off;
  runtime::Timer last;
  last.Start(
      runtime::MonotonicNow(),
      [](void* event) { static_cast<Event*>(event)->Set(); }, &gone_off);
  gone_off.Await();
  EXPECT_EQ(PendingTimers(), 0u);
}

// -----------------------------------------------------------------------------
// Ticker
// -----------------------------------------------------------------------------

TEST(TimeTest, ATickerTicksInPhase) {
  constexpr absl::Duration kPeriod = absl::Milliseconds(2);
  Ticker ticker(kPeriod);
  std::vector<absl::Time> ticks;
  for (absl::Time t : ticker.C()) {
    ticks.push_back(t);
    if (ticks.size() == 5) break;
  }
  // Whole periods apart; the wall clock is read anew for each.
  for (size_t i = 1; i < ticks.size(); ++i) {
    const absl::Duration apart = ticks[i] - ticks[0];
    const absl::Duration off =
        apart - absl::Trunc(apart + kPeriod / 2, kPeriod);
    EXPECT_LT(absl::AbsDuration(off), kPeriod / 4);
  }
}

TEST(TimeTest, AStoppedTickerIsRevivedByReset) {
  Ticker ticker(absl::Microseconds(10));
  ticker.C().Recv();
  ticker.Stop();
  ticker.Stop();
  EXPECT_FALSE(ticker.C().TryRecv().has_value());
  EXPECT_EQ(PendingTimers(), 0u);
  ticker.Reset(absl::Microseconds(10));
  EXPECT_TRUE(ticker.C().Recv().ok);
  EXPECT_TRUE(ticker.C().Recv().ok);
  ticker.Reset(kHour);
  EXPECT_FALSE(ticker.C().TryRecv().has_value());
}

TEST(TimeTest, TickerPanics) {
  for (const absl::Duration d : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    EXPECT_PANIC(Ticker{d}, "non-positive interval for NewTicker");
    Ticker ticker(kHour);
    EXPECT_PANIC(ticker.Reset(d), "non-positive interval for Ticker.Reset");
    EXPECT_TRUE(Tick(d).IsNil());
  }
}

// Ticks go on while several receive, set and stop.
TEST(TimeTest, ATickerSurvivesEverybody) {
  const int rounds = static_cast<int>(Scaled(5000));
  Ticker ticker(absl::Microseconds(5));
  auto quit = MakeChan<Unit>();
  std::atomic<int64_t> ticks{0};
  Threads threads(test::ScaledLimit());
  for (int i = 0; i < 2; ++i) {
    threads.Go([&] {
      while (Select(RecvCase(ticker.C()), RecvCase(quit)) == 0) ++ticks;
    });
  }
  Threads setters(test::ScaledLimit());
  for (int i = 0; i < 2; ++i) {
    setters.Go([&, i] {
      runtime::Random random(i + 1);
      for (int k = 0; k < rounds; ++k) {
        if (random.Below(4) == 0) ticker.Stop();
        ticker.Reset(absl::Nanoseconds(1000 + random.Below(10'000)));
      }
    });
  }
  setters.Join();
  ticker.Reset(absl::Microseconds(50));
  const int64_t before = ticks;
  Patience patience;
  while (ticks < before + 10) patience.Wait("the ticker has stopped");
  ticker.Stop();
  quit.Close();
  threads.Join();
  EXPECT_FALSE(ticker.C().TryRecv().has_value());
  while (PendingTimers() != 0) patience.Wait("timers are left");
}

// -----------------------------------------------------------------------------
// AfterFunc
// -----------------------------------------------------------------------------

TEST(TimeTest, AfterFuncRunsWithoutItsHandle) {
  Event ran;
  AfterFunc(absl::Microseconds(10), [&] { ran.Set(); });
  ran.Await();
}

TEST(TimeTest, AfterFuncStopAndReset) {
  std::atomic<int> runs{0};
  Timer timer = AfterFunc(kHour, [&] { ++runs; });
  EXPECT_TRUE(timer.C().IsNil());
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(timer.Stop());
  EXPECT_FALSE(timer.Reset(kHour));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(timer.Reset(absl::ZeroDuration()), i == 1);
    Patience patience;
    while (runs != i) patience.Wait("the function does not run");
  }
  EXPECT_FALSE(timer.Stop());
}

TEST(TimeTest, AfterFuncDestroysItsFunction) {
  auto token = std::make_shared<int>();
  std::weak_ptr<int> watch = token;
  {
    Timer(AfterFunc(kHour, [token] {})).Stop();
  }
  {
    Timer copy, timer = AfterFunc(kHour, [token] {});
    copy = timer;
    copy.Stop();
  }
  Event ran;
  AfterFunc(absl::ZeroDuration(), [token, &ran] { ran.Set(); });
  token.reset();
  ran.Await();
  Patience patience;
  while (!watch.expired()) patience.Wait("a function is still alive");
}

// When the run had ended first, the timer thread destroyed what the function
// had captured, which may block; and all other timers waited.
TEST(TimeTest, TheTimerThreadDestroysNoFunction) {
  // The run has ended when Spawn() returns.
  runtime::SetSpawner([](absl::AnyInvocable<void()> fn) {
    std::thread([fn = std::move(fn)]() mutable { fn(); }).join();
  });
  std::thread::id ran_by, destroyed_by;
  Event dropped, destroyed;
  std::shared_ptr<int> token(new int, [&](const int* memory) {
    delete memory;
    destroyed_by = std::this_thread::get_id();
    destroyed.Set();
  });
  AfterFunc(absl::ZeroDuration(), [&, token = std::move(token)] {
    ran_by = std::this_thread::get_id();
    dropped.Await();
  });
  dropped.Set();
  destroyed.Await();
  EXPECT_EQ(destroyed_by, ran_by);
  runtime::SetSpawner(nullptr);
}

TEST(TimeTest, AnAfterFuncThatIsNotStoppedKeepsItsFunction) {
  auto token = std::make_shared<int>();
  std::weak_ptr<int> watch = token;
  Timer timer = AfterFunc(kHour, [token = std::move(token)] {});
  Timer copy = timer;
  timer = Timer();
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(copy.Stop());
  copy = Timer();
  EXPECT_TRUE(watch.expired());
}

// Every setting runs once, or one Stop or Reset is told that it does not.
TEST(TimeTest, EachRunOfAnAfterFuncIsToldOnce) {
  const int rounds = static_cast<int>(Scaled(500));
  std::atomic<int> runs{0}, prevented{0}, settings{1};
  Timer timer = AfterFunc(absl::ZeroDuration(), [&] { ++runs; });
  Threads threads(test::ScaledLimit());
  for (int i = 0; i < 2; ++i) {
    threads.Go([&, i] {
      runtime::Random random(i + 1);
      for (int k = 0; k < rounds; ++k) {
        if (random.Below(4) == 0) {
          if (timer.Stop()) ++prevented;
        } else {
          ++settings;
          if (timer.Reset(absl::Nanoseconds(random.Below(40'000)))) {
            ++prevented;
          }
        }
      }
    });
  }
  threads.Join();
  if (timer.Stop()) ++prevented;
  Patience patience;
  while (runs + prevented != settings) patience.Wait("a run is missing");
}

// -----------------------------------------------------------------------------
// Sleep
// -----------------------------------------------------------------------------

TEST(TimeTest, SleepLastsLongEnough) {
  for (const absl::Duration d : {absl::Nanoseconds(1), absl::Milliseconds(2)}) {
    const absl::Time begin = absl::Now();
    Sleep(d);
    EXPECT_GE(absl::Now() - begin, d);
  }
  Sleep(absl::ZeroDuration());
  Sleep(-absl::InfiniteDuration());
}

TEST(TimeTest, SleepWithAContext) {
  auto [ctx, cancel] = WithCancel(Background());
  EXPECT_TRUE(Sleep(ctx, absl::Microseconds(1)).ok());
  EXPECT_TRUE(Sleep(ctx, -absl::Seconds(1)).ok());
  EXPECT_TRUE(Sleep(Background(), absl::Microseconds(1)).ok());
  Threads threads;
  Event entered;
  threads.Go([&entered, ctx = ctx] {
    entered.Set();
    EXPECT_TRUE(absl::IsCancelled(Sleep(ctx, kHour)));
    EXPECT_TRUE(absl::IsCancelled(Sleep(ctx, absl::ZeroDuration())));
  });
  entered.Await();
  cancel();
  threads.Join();
}

// By the system's own clock: absl::Now() is some nanoseconds ahead of it at
// times.
TEST(TimeTest, NowIsNow) {
  const auto system = [] {
    return absl::FromChrono(std::chrono::system_clock::now());
  };
  const absl::Time before = system();
  const absl::Time now = Now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, system());
}

}  // namespace
}  // namespace gochan

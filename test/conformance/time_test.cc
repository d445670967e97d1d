// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours TM (timers and tickers) and ME09.
//
// What is about durations is tried several times, as Go's own tests do: a busy
// machine may be late, and then nothing can be said.

#include "absl/time/time.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "runtime/timers.h"
#include "select/select.h"
#include "test/util/allocations.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using runtime::PendingTimers;
using test::BlocksForEver;
using test::LiveAllocations;
using test::Parked;
using test::Parties;
using test::Patience;
using test::WaitUntilParked;

constexpr absl::Duration kHour = absl::Hours(1);
constexpr absl::Duration kMillisecond = absl::Milliseconds(1);

using TimeConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(TimeConformance);

// Does `attempt` succeed once? It says by an empty string that it did.
template <typename Attempt>
void ExpectOnce(Attempt attempt) {
  std::string failure;
  for (int i = 0; i < 8; ++i) {
    failure = attempt();
    if (failure.empty()) return;
  }
  ADD_FAILURE() << failure;
}

PARTY_TEST(TimeConformance, TM02OneValueAndNotBefore) {
  for (const absl::Duration d :
       {5 * kMillisecond, absl::ZeroDuration(), -absl::Seconds(1)}) {
    const absl::Time begin = absl::Now();
    RecvChan<absl::Time> after = After(d);
    EXPECT_TRUE(after.Recv().ok);
    EXPECT_GE(absl::Now() - begin, d);
    EXPECT_FALSE(after.TryRecv().has_value());
    EXPECT_TRUE(BlocksForEver([after] { (void)after.Recv(); }));

    Timer timer(d);
    EXPECT_TRUE(timer.C().Recv().ok);
    EXPECT_FALSE(timer.C().TryRecv().has_value());
    EXPECT_FALSE(timer.Stop());
  }
}

PARTY_TEST(TimeConformance, TM06LenAndCapAreZero) {
  Timer timer(kHour);
  Ticker ticker(kMillisecond);
  const RecvChan<absl::Time> channels[] = {timer.C(), ticker.C(),
                                           After(absl::ZeroDuration())};
  const auto expect_zero = [&channels] {
    for (const auto& channel : channels) {
      EXPECT_EQ(channel.Len(), 0u);
      EXPECT_EQ(channel.Cap(), 0u);
    }
  };
  expect_zero();
  timer.Reset(kMillisecond);
  Sleep(5 * kMillisecond);
  expect_zero();
  for (const auto& channel : channels) EXPECT_TRUE(channel.Recv().ok);
  expect_zero();
}

PARTY_TEST(TimeConformance, TM07TheValueIsTheTimeOfExpiry) {
  ExpectOnce([]() -> std::string {
    const absl::Time begin = absl::Now();
    RecvChan<absl::Time> after = After(10 * kMillisecond);
    RecvChan<absl::Time> tick = Tick(10 * kMillisecond);
    Sleep(500 * kMillisecond);
    for (const auto& channel : {after, tick}) {
      const absl::Duration age = channel.Recv().value - begin;
      EXPECT_GE(age, 10 * kMillisecond);
      if (age >= 400 * kMillisecond) {
        return "a value says " + absl::FormatDuration(age);
      }
    }
    return "";
  });
}

PARTY_TEST(TimeConformance, TM08AfterFuncRunsInAGoroutineOfItsOwn) {
  const uint64_t here = GoroutineId();
  auto ran = MakeChan<uint64_t>();
  Timer timer = AfterFunc(kMillisecond, [ran] { ran.Send(GoroutineId()); });
  EXPECT_TRUE(timer.C().IsNil());
  uint64_t before = 0;
  for (int run = 0; run < 3; ++run) {
    const uint64_t id = ran.Recv().value;
    EXPECT_NE(id, 0u);
    EXPECT_NE(id, here);
    EXPECT_NE(id, before);
    before = id;
    if (run == 2) break;
    EXPECT_FALSE(timer.Reset(kMillisecond));
  }
  EXPECT_FALSE(ran.TryRecv().has_value());
}

PARTY_TEST(TimeConformance, TM09StopOfAnAfterFunc) {
  // It has been started, and blocks; Stop does not wait.
  auto gate = MakeChan<Unit>();
  auto entered = MakeChan<Unit>();
  Timer blocked = AfterFunc(absl::ZeroDuration(), [gate, entered] {
    entered.Send(Unit());
    gate.Recv();
    entered.Send(Unit());
  });
  entered.Recv();
  EXPECT_FALSE(blocked.Stop());
  gate.Send(Unit());
  entered.Recv();

  // Each of many either runs or was stopped.
  constexpr int kTimers = 100;
  std::atomic<int> runs{0};
  int stopped = 0;
  std::vector<Timer> timers;
  for (int i = 0; i < kTimers; ++i) {
    timers.push_back(AfterFunc(i * kMillisecond / 10, [&runs] { ++runs; }));
  }
  Sleep(kTimers * kMillisecond / 20);
  for (Timer& timer : timers) stopped += timer.Stop();
  Patience patience;
  while (runs + stopped != kTimers) patience.Wait("a run is missing");
  for (Timer& timer : timers) EXPECT_FALSE(timer.Stop());
}

PARTY_TEST(TimeConformance, TM10InTheOrderOfDeadlines) {
  static constexpr int kSlots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  constexpr int kCount = std::size(kSlots);
  ExpectOnce([]() -> std::string {
    constexpr absl::Duration kStep = absl::Milliseconds(20);
    auto fired = MakeChan<int>(kCount);
    Parties parties;
    for (const int slot : kSlots) {
      parties.Go([slot, delay = slot * kStep, fired] {
        After(delay).Recv();
        fired.Send(slot);
      });
    }
    parties.Join();
    int last = 0;
    for (int i = 0; i < kCount; ++i) {
      const int slot = fired.Recv().value;
      if (slot < last) return "a later one was first";
      last = slot;
    }
    return "";
  });
}

PARTY_TEST(TimeConformance, TM11ATickerTicksAtItsPeriod) {
  ExpectOnce([]() -> std::string {
    constexpr int kTicks = 10;
    constexpr absl::Duration kPeriod = absl::Milliseconds(10);
    Ticker ticker(kPeriod);
    for (const int factor : {1, 2}) {
      if (factor != 1) ticker.Reset(factor * kPeriod);
      const absl::Time begin = absl::Now();
      for (int i = 0; i < kTicks; ++i) EXPECT_TRUE(ticker.C().Recv().ok);
      const double ratio =
          absl::FDivDuration(absl::Now() - begin, kTicks * factor * kPeriod);
      if (ratio < 0.7 || ratio > 1.3) {
        return "ticks took " + std::to_string(ratio) + " times as long";
      }
    }
    return "";
  });
}

PARTY_TEST(TimeConformance, TM12ASlowReceiverGetsTheOldestTick) {
  ExpectOnce([]() -> std::string {
    constexpr absl::Duration kPeriod = absl::Milliseconds(20);
    const absl::Time begin = absl::Now();
    Ticker ticker(kPeriod);
    Sleep(kPeriod * 5.5);
    for (const int expected : {1, 6, 7}) {
      const absl::Duration at = ticker.C().Recv().value - begin;
      const double tick = absl::FDivDuration(at, kPeriod);
      if (tick < expected - 0.1 || tick > expected + 0.3) {
        return "got tick " + std::to_string(tick) + " instead of " +
               std::to_string(expected);
      }
    }
    return "";
  });
}

PARTY_TEST(TimeConformance, TM13StopAndResetOfATicker) {
  Ticker ticker(kMillisecond);
  EXPECT_TRUE(ticker.C().Recv().ok);
  ticker.Stop();
  ticker.Stop();
  Sleep(3 * kMillisecond);
  EXPECT_FALSE(ticker.C().TryRecv().has_value());  // neither ticks nor closed
  const absl::Time begin = absl::Now();
  ticker.Reset(2 * kMillisecond);
  auto [first, ok] = ticker.C().Recv();
  EXPECT_TRUE(ok);
  EXPECT_GE(first - begin, 2 * kMillisecond);  // a fresh phase
  EXPECT_TRUE(ticker.C().Recv().ok);
}

PARTY_TEST(TimeConformance, TM18BlockedOverStopAndReset) {
  for (const int receivers : {1, 2}) {
    Timer timer(kHour);
    auto received = MakeChan<Unit>(receivers);
    Parties parties;
    for (int i = 0; i < receivers; ++i) {
      parties.Go([&timer, received] {
        EXPECT_TRUE(timer.C().Recv().ok);
        received.Send(Unit());
      });
    }
    WaitUntilParked(timer.C(), receivers);
    EXPECT_TRUE(timer.Stop());
    EXPECT_EQ(Parked(timer.C()), static_cast<size_t>(receivers));
    EXPECT_FALSE(timer.Reset(kHour));
    EXPECT_EQ(Parked(timer.C()), static_cast<size_t>(receivers));
    for (int left = receivers; left > 0; --left) {
      EXPECT_EQ(timer.Reset(kMillisecond), left == receivers);
      received.Recv();
      EXPECT_EQ(Parked(timer.C()), static_cast<size_t>(left - 1));
      EXPECT_FALSE(received.TryRecv().has_value());
      EXPECT_FALSE(timer.Stop());
    }
  }
}

PARTY_TEST(TimeConformance, TM19TimersNobodyRefersToCostNothing) {
  constexpr int kTimers = 10'000;
  const auto drop_some = [] {
    (void)After(kHour);
    (void)Tick(kHour);
    Timer timer(kHour);
    Ticker ticker(kHour);
  };
  drop_some();
  const size_t pending = PendingTimers();
  const int64_t live = LiveAllocations();
  for (int i = 0; i < kTimers; ++i) drop_some();
  EXPECT_EQ(PendingTimers(), pending);
  EXPECT_LE(LiveAllocations() - live, 100);
}

PARTY_TEST(TimeConformance, ME09AfterInALoopDoesNotPileUp) {
  const int64_t rounds = test::PartyScaled(1'000'000);
  auto busy = MakeChan<int>(1);
  const auto run = [&busy](int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      busy.Send(1);
      ASSERT_EQ(Select(RecvCase(busy), RecvCase(After(kHour))), 0u);
    }
  };
  run(100);
  const size_t pending = PendingTimers();
  const size_t entries = runtime::GetTimerMemory().entries;
  const int64_t live = LiveAllocations();
  run(rounds);
  EXPECT_EQ(PendingTimers(), pending);
  EXPECT_LE(LiveAllocations() - live, 100);
  EXPECT_LE(runtime::GetTimerMemory().entries, entries + 256);
}

}  // namespace
}  // namespace gochan

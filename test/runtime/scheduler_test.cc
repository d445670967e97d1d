// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The scheduler with real threads: everybody runs exactly once, wherever
// started and however many workers there are; nobody holds up others while a
// worker is idle; nothing runs when there is nothing to do.

#include "runtime/scheduler.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/contention.h"
#include "runtime/random.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

using test::Parties;
using test::PartyKind;
using test::Patience;
using test::Scaled;

// Waits without letting go of the thread.
template <typename Predicate>
void SpinUntil(Predicate done, const char* why) {
  const auto deadline = std::chrono::steady_clock::now() + test::kLimit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) test::Die(why);
    std::this_thread::yield();
  }
}

void WaitFor(const std::atomic<int64_t>& count, int64_t n) {
  Patience patience(test::ScaledLimit());
  while (count.load() != n) {
    patience.Wait([&] {
      return std::to_string(count.load()) + " of " + std::to_string(n);
    });
  }
}

using Scheduler = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(Scheduler);

// The same with a given number of workers.
class Workers {
 public:
  explicit Workers(int n) : before_(SetMaxProcs(n)) {}
  ~Workers() { SetMaxProcs(before_); }

 private:
  const int before_;
};

// -----------------------------------------------------------------------------
// Everybody runs exactly once
// -----------------------------------------------------------------------------

TEST_P(Scheduler, RunsEachGoroutineOnce) {
  const int64_t n = Scaled(20'000);
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
  std::atomic<int64_t> ended{0};
  for (auto& run : runs) {
    Go([&run, &ended] {
      ++run;
      ++ended;
    });
  }
  WaitFor(ended, n);
  for (auto& run : runs) ASSERT_EQ(run, 1);
}

// More than queue and batch hold, pushed by one goroutine that does not switch.
TEST_P(Scheduler, RunsWhatDoesNotFitIntoAQueue) {
  const int64_t n = Scaled(20'000);
  std::atomic<int64_t> ended{0};
  std::atomic<int64_t> sum{0};
  Go([&ended, &sum, n] {
    for (int64_t i = 1; i <= n; ++i) {
      Go([&ended, &sum, i] {
        sum += i;
        ++ended;
      });
    }
  });
  WaitFor(ended, n);
  EXPECT_EQ(sum, n * (n + 1) / 2);
}

TEST_P(Scheduler, SpawnStormFromGoroutinesAndThreads) {
  constexpr int kSpawners = 4;
  const int64_t each = Scaled(3'000);
  std::atomic<int64_t> ended{0};
  const auto spawner = [&ended, each] {
    for (int64_t i = 0; i < each; ++i) {
      Go([&ended, i] {
        if (i % 8 == 0) Yield();
        if (i % 4 == 0) {
          Go([&ended] { ++ended; });
        } else {
          ++ended;
        }
      });
    }
  };
  Parties threads(PartyKind::kThreads);
  threads.GoEach(kSpawners, [&spawner](int) { spawner(); });
  Parties goroutines(PartyKind::kGoroutines);
  goroutines.GoEach(kSpawners, [&spawner](int) { spawner(); });
  threads.Join();
  goroutines.Join();
  WaitFor(ended, 2 * kSpawners * each);
}

TEST_P(Scheduler, GoroutineAndThreadWakeEachOther) {
  const int64_t rounds = Scaled(4'000);
  auto ping = MakeChan<int64_t>(), pong = MakeChan<int64_t>();
  Go([ping, pong] {
    for (int64_t v : ping) pong.Send(v + 1);
    pong.Close();
  });
  Parties threads(PartyKind::kThreads);
  threads.Go([&] {
    for (int64_t i = 0; i < rounds; ++i) {
      ping.Send(i);
      ASSERT_EQ(pong.Recv().value, i + 1);
    }
    ping.Close();
    EXPECT_FALSE(pong.Recv().ok);
  });
  threads.Join();
}

// -----------------------------------------------------------------------------
// Fairness
// -----------------------------------------------------------------------------

TEST(SchedulerOfOne, TwoWhoYieldTakeTurns) {
  Workers one(1);
  constexpr int kTurns = 1'000;
  std::vector<int> turns;  // one worker: one at a time
  Parties parties(PartyKind::kGoroutines);
  std::atomic<int> here{0};
  parties.GoEach(2, [&](int i) {
    ++here;
    while (here != 2) Yield();
    for (int k = 0; k < kTurns; ++k) {
      turns.push_back(i);
      Yield();
    }
  });
  parties.Join();
  ASSERT_EQ(turns.size(), 2u * kTurns);
  for (std::size_t i = 2; i < turns.size() - 2; ++i) {
    ASSERT_NE(turns[i], turns[i - 1]) << i;
  }
}

// Each wakes the other all the time, and who was woken runs next.
TEST_P(Scheduler, APairDoesNotStarveAThird) {
  std::atomic<bool> stop{false};
  auto ping = MakeChan<int>(), pong = MakeChan<int>();
  Parties parties(PartyKind::kGoroutines);
  parties.Go([&, ping, pong] {
    while (!stop) {
      ping.Send(1);
      pong.Recv();
    }
    ping.Close();
  });
  parties.Go([ping, pong] {
    for (int v : ping) pong.Send(v);
  });
  parties.Go([&] {
    for (int i = 0; i < 10; ++i) Yield();
    stop = true;
  });
  parties.Join();
}

// -----------------------------------------------------------------------------
// Who computes does not hold up others
// -----------------------------------------------------------------------------

TEST(SchedulerOfMany, WhoWasStartedLastIsStolenFromOneWhoComputes) {
  Workers two(2);
  for (int64_t i = 0; i < Scaled(200); ++i) {
    Parties parties(PartyKind::kGoroutines);
    parties.Go([] {
      auto ran = std::make_shared<std::atomic<bool>>(false);
      Go([ran] { *ran = true; });
      SpinUntil([&] { return ran->load(); }, "nobody ran the other one");
    });
    parties.Join();
  }
}

// The idle worker that looked after the first one is itself given something
// that computes: yet another one must look after both. It went to sleep for
// good.
TEST(SchedulerOfMany, SomebodyElseLooksAfterThoseWhoCompute) {
  Workers three(3);
  Random random(1);
  for (int64_t i = 0; i < Scaled(300); ++i) {
    std::atomic<bool> ran{false};
    std::atomic<bool> begun{false};
    Parties parties(PartyKind::kGoroutines);
    parties.Go([&] {
      begun = true;
      Go([&ran] { ran = true; });
      SpinUntil([&] { return ran.load(); }, "the child did not run");
    });
    SpinUntil([&] { return begun.load(); }, "the first did not run");
    for (uint32_t k = random.Below(3000); k > 0; --k) CpuRelax();
    parties.Go([&] {
      SpinUntil([&] { return ran.load(); }, "the child did not run, 2");
    });
    parties.Join();
  }
}

// A chain: each computes until the one that it has started has ended, and the
// last one needs the last worker.
TEST_P(Scheduler, AllWorkersComputeAtTheSameTime) {
  const int n = GetParam().workers;
  for (int64_t i = 0; i < Scaled(20); ++i) {
    std::atomic<int> running{0};
    Parties parties(PartyKind::kGoroutines);
    parties.GoEach(n, [&](int) {
      ++running;
      SpinUntil([&] { return running == n; }, "not all workers took part");
    });
    parties.Join();
  }
}

// Nobody told the new ones that there was work.
TEST(SchedulerOfMany, MoreWorkersTakeOverWhatIsWaiting) {
  constexpr int kWorkers = 4;
  for (int64_t i = 0; i < Scaled(20); ++i) {
    Workers one(1);
    std::atomic<int> running{0};
    std::atomic<bool> started{false};
    Parties parties(PartyKind::kGoroutines);
    parties.Go([&] {
      Parties others(PartyKind::kGoroutines);
      others.GoEach(kWorkers, [&](int) {
        ++running;
        started = true;
        SpinUntil([&] { return running == kWorkers; }, "too few workers run");
      });
      others.Join();
    });
    SpinUntil([&] { return started.load(); }, "nobody started");
    SetMaxProcs(kWorkers);
    parties.Join();
  }
}

// -----------------------------------------------------------------------------
// SetMaxProcs()
// -----------------------------------------------------------------------------

TEST(SetMaxProcs, ReturnsWhatItWas) {
  const int before = SetMaxProcs(3);
  EXPECT_EQ(SetMaxProcs(0), 3);
  EXPECT_EQ(SetMaxProcs(-1), 3);
  EXPECT_EQ(SetMaxProcs(kMaxProcs + 1), 3);
  EXPECT_EQ(SetMaxProcs(before), kMaxProcs);
}

// A goroutine that was sent to a worker just as that retired got lost.
TEST(SetMaxProcs, LosesNobodyUnderLoad) {
  Workers restore(2);
  std::atomic<bool> stop{false};
  auto values = MakeChan<int>(1), back = MakeChan<int>();
  const int64_t rounds = Scaled(600);
  Parties parties(PartyKind::kGoroutines, test::ScaledLimit());
  parties.GoEach(8, [&](int) {
    for (int v : values) {
      if (v % 16 == 0) Yield();
      back.Send(v);
    }
  });
  parties.GoEach(3, [&](int) {
    while (!stop) Yield();
  });
  Parties threads(PartyKind::kThreads, test::ScaledLimit());
  threads.GoEach(2, [&](int) {
    for (int i = 0; !stop; ++i) {
      values.Send(i);
      back.Recv();
    }
  });
  threads.Go([&] {
    Random random(7);
    for (int64_t i = 0; i < rounds; ++i) {
      SetMaxProcs(static_cast<int>(random.Below(16)) + 1);
      if (i % 4 == 0) std::this_thread::yield();
    }
    stop = true;
  });
  threads.Join();
  values.Close();
  parties.Join();
}

// -----------------------------------------------------------------------------
// Many, and at rest
// -----------------------------------------------------------------------------

TEST_P(Scheduler, CloseWakesManyThousands) {
  const int64_t n = Scaled(25'000);
  auto gate = MakeChan<Unit>();
  std::atomic<int64_t> ended{0};
  for (int64_t i = 0; i < n; ++i) {
    Go([gate, &ended] {
      EXPECT_FALSE(gate.Recv().ok);
      ++ended;
    });
  }
  test::WaitUntilParked(gate, static_cast<std::size_t>(n));
  EXPECT_EQ(ended, 0);
  gate.Close();
  WaitFor(ended, n);
}

TEST_P(Scheduler, ThoseWhoSleepUseNoProcessor) {
  constexpr int kSleepers = 1'000;
  auto gate = MakeChan<Unit>();
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(kSleepers, [gate](int) { gate.Recv(); });
  test::WaitUntilParked(gate, kSleepers);
  const auto asleep = [] {
    const SchedulerStats stats = GetSchedulerStats();
    return stats.idle == stats.workers;
  };
  SpinUntil(asleep, "not all workers went to sleep");
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  getrusage(RUSAGE_SELF, &after);
  const auto micros = [](const timeval& t) {
    return int64_t{t.tv_sec} * 1'000'000 + t.tv_usec;
  };
  const int64_t used = micros(after.ru_utime) - micros(before.ru_utime) +
                       micros(after.ru_stime) - micros(before.ru_stime);
  // A worker that looks around each millisecond switches 300 times.
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 20);
  EXPECT_LT(used, test::kSanitized ? 300'000 : 30'000);
  EXPECT_TRUE(asleep());
  gate.Close();
  parties.Join();
}

// What one wave has used serves the next one.
TEST(SchedulerOfMany, ThreadsDoNotBecomeMore) {
  Workers four(4);
  std::atomic<int64_t> ended{0};
  const auto wave = [&ended] {
    const int64_t n = Scaled(1'000);
    const int64_t before = ended;
    for (int64_t i = 0; i < n; ++i) {
      Go([&ended] {
        Yield();
        ++ended;
      });
    }
    WaitFor(ended, before + n);
  };
  wave();
  const int threads = GetSchedulerStats().threads;
  for (int i = 0; i < 10; ++i) wave();
  EXPECT_EQ(GetSchedulerStats().workers, 4);
  EXPECT_LE(GetSchedulerStats().threads, threads + 4);
}

// Each worker that was given a new thread was counted as searching for ever,
// and pushes woke nobody any more.
TEST_P(Scheduler, NobodySearchesAtRest) {
  std::atomic<int64_t> ended{0};
  const int64_t n = Scaled(1'000);
  for (int64_t i = 0; i < n; ++i) {
    Go([&ended] {
      Yield();
      ++ended;
    });
  }
  WaitFor(ended, n);
  Patience patience;
  for (;;) {
    const SchedulerStats stats = GetSchedulerStats();
    if (stats.idle == stats.workers && stats.searching == 0) break;
    patience.Wait([&] {
      return std::to_string(stats.searching) + " search, " +
             std::to_string(stats.idle) + " are idle";
    });
  }
}

// -----------------------------------------------------------------------------
// Nobody is forgotten
// -----------------------------------------------------------------------------

// Goroutines and threads pass values on, at random and with pauses in which
// workers go to sleep. A wake-up that is lost leaves somebody blocked.
TEST_P(Scheduler, LosesNoWakeUp) {
  for (const int capacity : {0, 1, 16}) {
    auto values = MakeChan<int64_t>(capacity);
    const int64_t each = Scaled(2'000);
    constexpr int kSenders = 5;
    std::atomic<int64_t> sum{0}, received{0};
    Parties senders(PartyKind::kGoroutines, test::ScaledLimit());
    Parties receivers(PartyKind::kGoroutines, test::ScaledLimit());
    Parties threads(PartyKind::kThreads, test::ScaledLimit());
    const auto send = [&](int i) {
      Random random(static_cast<uint64_t>(i) + 1);
      for (int64_t k = 1; k <= each; ++k) {
        values.Send(k);
        if (random.Below(64) == 0) Yield();
        if (random.Below(512) == 0) {
          for (uint32_t p = random.Below(20'000); p > 0; --p) CpuRelax();
        }
      }
    };
    const auto receive = [&](int) {
      for (int64_t v : values) {
        sum += v;
        ++received;
      }
    };
    receivers.GoEach(4, receive);
    threads.Go([&] { receive(0); });
    senders.GoEach(kSenders, send);
    Parties foreign(PartyKind::kThreads, test::ScaledLimit());
    foreign.Go([&] { send(kSenders); });
    senders.Join();
    foreign.Join();
    values.Close();
    receivers.Join();
    threads.Join();
    EXPECT_EQ(received, (kSenders + 1) * each) << capacity;
    EXPECT_EQ(sum, (kSenders + 1) * each * (each + 1) / 2) << capacity;
  }
}

// Two who wake each other all the time are no work for others: no worker is
// woken for them again and again.
TEST(PairTest, LetsOtherWorkersSleep) {
  const Workers two(2);
  const int64_t n = Scaled(200'000);
  const uint64_t before = GetSchedulerStats().wake_ups;
  const Chan<int64_t> ping = MakeChan<int64_t>(), pong = MakeChan<int64_t>();
  std::atomic<int64_t> ended{0};
  Go([ping, pong] {
    for (int64_t v : ping) pong.Send(v);
  });
  Go([ping, pong, n, &ended] {
    for (int64_t i = 0; i < n; ++i) {
      ping.Send(i);
      (void)pong.Recv();
    }
    ping.Close();
    ++ended;
  });
  WaitFor(ended, 1);
  // Now and then one looks after them, the more often the slower they are.
  EXPECT_LT(GetSchedulerStats().wake_ups - before,
            static_cast<uint64_t>(n) / 200 + 50);
}

// -----------------------------------------------------------------------------
// Workers that get in each other's way
// -----------------------------------------------------------------------------

// Another goroutine runs all the time; the caller's does what `lose` does, and
// yields. True: its worker has rested after one of these times.
bool RestsAfter(void (*lose)(), int times) {
  const uint64_t before = GetSchedulerStats().rests;
  std::atomic<bool> runs{false}, enough{false};
  std::atomic<int64_t> ended{0};
  Go([&] {
    runs = true;
    while (!enough) CpuRelax();
    ++ended;
  });
  Go([&] {
    SpinUntil([&] { return runs.load(); }, "the other one does not run");
    for (int i = 0; i < times && GetSchedulerStats().rests == before; ++i) {
      lose();
      Yield();
    }
    enough = true;
    ++ended;
  });
  WaitFor(ended, 2);
  return GetSchedulerStats().rests > before;
}

void LoseAllTheTime() {
  for (int i = 0; i < 64; ++i) ContentionPause();
}
void LoseNowAndThen() {
  for (int i = 0; i < 6; ++i) ContentionPause();
  const MonotonicNanos end = MonotonicNow() + 100'000;
  while (MonotonicNow() < end) CpuRelax();
}

TEST(ContentionTest, WhoLosesAllTheTimeRests) {
  const Workers two(2);
  EXPECT_TRUE(RestsAfter(&LoseAllTheTime, 100'000));
}

TEST(ContentionTest, WhoLosesNowAndThenDoesNotRest) {
  const Workers two(2);
  EXPECT_FALSE(RestsAfter(&LoseNowAndThen, 100));
}

TEST(ContentionTest, WhoIsAloneDoesNotRest) {
  const Workers one(1);
  SpinUntil([] { return GetSchedulerStats().workers == 1; },
            "the others do not retire");
  const uint64_t before = GetSchedulerStats().rests;
  std::atomic<int64_t> ended{0};
  Go([&ended] {
    for (int i = 0; i < 10; ++i) {
      LoseAllTheTime();
      Yield();
    }
    ++ended;
  });
  WaitFor(ended, 1);
  EXPECT_EQ(GetSchedulerStats().rests, before);
}

// Whoever rests while they are at it, as they often do.
TEST(ContentionTest, ManyOnOneChannelLoseNothing) {
  const Workers two(2);
  const int64_t n = Scaled(200'000);
  constexpr int kEach = 64;
  const Chan<int64_t> shared = MakeChan<int64_t>(128);
  std::atomic<int64_t> sum{0}, ended{0};
  for (int k = 0; k < kEach; ++k) {
    Go([&, k] {
      for (int64_t i = k; i < n; i += kEach) shared.Send(i);
      ++ended;
    });
    Go([&, k] {
      int64_t mine = 0;
      for (int64_t i = k; i < n; i += kEach) mine += shared.Recv().value;
      sum += mine;
      ++ended;
    });
  }
  WaitFor(ended, 2 * kEach);
  EXPECT_EQ(sum, n * (n - 1) / 2);
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: timers and sleeping.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "bench/programs/workload.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"

namespace gochan::bench {

namespace {

// A pseudo-random sequence that is the same for every peer.
uint64_t Next(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}

// n pending timers, started and stopped.
void PendingTimers(Run& run) {
  std::vector<Timer> timers;
  timers.reserve(static_cast<std::size_t>(run.n()));
  std::atomic<int64_t> fired{0};
  uint64_t random = 1;
  int64_t stopped = 0;
  const int64_t resident = ResidentBytes();
  run.Start();
  const Instant start = Instant::Now();
  for (int64_t i = 0; i < run.n(); ++i) {
    const auto later = absl::Microseconds(Next(random) % 1'000'000'000);
    timers.push_back(AfterFunc(absl::Hours(1) + later, [&fired] { ++fired; }));
  }
  const Instant started = Instant::Now();
  const int64_t grown = ResidentBytes() - resident;
  const Instant stop = Instant::Now();
  for (Timer& timer : timers) stopped += timer.Stop() ? 1 : 0;
  const Instant end = Instant::Now();
  run.Stop();
  run.Check(stopped == run.n() && fired == 0, "the number of timers stopped");
  const auto n = static_cast<double>(run.n());
  run.Report("start_ns",
             static_cast<double>(started.wall_nanos - start.wall_nanos) / n);
  run.Report("stop_ns",
             static_cast<double>(end.wall_nanos - stop.wall_nanos) / n);
  run.Report("resident_bytes", static_cast<double>(grown) / n);
}

// A thousand goroutines that sleep for 0.1 to 1 ms again and again, n times in
// all.
void SleepChurn(Run& run) {
  constexpr int kSleepers = 1000;
  std::vector<int64_t> slept(kSleepers);
  WaitGroup sleepers;
  run.Start();
  for (int k = 0; k < kSleepers; ++k) {
    sleepers.Go([&slept = slept[k], k, share = run.Share(k, kSleepers)] {
      uint64_t random = static_cast<uint64_t>(k);
      for (; slept < share; ++slept) {
        Sleep(absl::Microseconds(100 + Next(random) % 900));
      }
    });
  }
  sleepers.Wait();
  run.Stop();
  int64_t sum = 0;
  for (int64_t count : slept) sum += count;
  run.Check(sum == run.n(), "the number of sleeps");
}

constexpr Workload kWorkloads[] = {
    {"timers_1m", 1'000'000, &PendingTimers, 1, false},
    {"sleep_churn", 100'000, &SleepChurn},
};

}  // namespace

std::span<const Workload> TimerWorkloads() { return kWorkloads; }

}  // namespace gochan::bench

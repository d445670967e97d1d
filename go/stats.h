// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The runtime in numbers, for monitoring.
//
//   Stats            one look at all of them
//   PrometheusText   the same for Prometheus to scrape
//
// What is told of goroutines comes from one walk over them, while they go on:
// each was in that state at some moment of the call. Counters only grow.

#ifndef GOCHAN_GO_STATS_H_
#define GOCHAN_GO_STATS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace gochan {

struct RuntimeStats {
  // --- Goroutines

  int64_t live = 0;       // running + runnable + blocked + in_blocking_calls
  uint64_t spawned = 0;   // ever
  uint64_t finished = 0;  // ever; those that RunMain() has left behind, too

  int64_t running = 0;   // on a worker
  int64_t runnable = 0;  // not begun, or woken, or yielding
  int64_t blocked = 0;
  int64_t in_blocking_calls = 0;  // in Blocking()
  // Those that are blocked, by reason in Go's words. Every reason there is, in
  // a fixed order, so that a series does not end when it is at 0.
  std::vector<std::pair<std::string, int64_t>> blocked_by_reason;
  // Who has been blocked for longest; 0: nobody is. Sleepers do not count.
  uint64_t oldest_blocked_id = 0;
  absl::Duration oldest_blocked_for;

  // --- Scheduler

  int workers = 0;
  int idle_workers = 0;
  int searching_workers = 0;  // of the others: those that look for work
  int threads = 0;            // that run goroutines or Blocking() calls
  // Of each worker: who stands in its queue; a hint while it works.
  std::vector<int64_t> run_queues;
  // Runnable ones that stand elsewhere: the queues were full, or have been sent
  // more than they have looked at.
  int64_t run_queue_overflow = 0;
  uint64_t steals = 0;    // ever: a worker took work from another
  uint64_t wake_ups = 0;  // ever: a sleeping worker was woken
  uint64_t handoffs = 0;  // ever: Blocking() gave its worker to another thread

  // --- Stacks

  // Ever made; they stay. Those in use, the others are pooled.
  int64_t stacks = 0;
  int64_t stacks_in_use = 0;
  std::size_t stack_reserved_bytes = 0;  // address space of all of them
  std::size_t stack_pooled_bytes = 0;    // of this, the pooled ones' share
  // Memory of those in use: measured at 64 of them at most, evenly spread, and
  // projected to all.
  std::size_t stack_resident_bytes = 0;

  // --- Timers

  int64_t timers = 0;  // pending ones, with those of sleepers and contexts
};

// Thread-safe, callable from anywhere but a signal handler; stops nobody. Costs
// as much as there are goroutines: for 1,000 some 0.1 ms, for 100,000 some
// 0.1 s, mostly misses of the cache; and 64 system calls at most.
RuntimeStats Stats();

// Stats() in Prometheus' text format 0.0.4: serve it as
// "text/plain; version=0.0.4". The names begin with "gochan_". With a
// LeakWatchdog there is gochan_leaked_goroutines too. As Stats() otherwise.
std::string PrometheusText();

namespace internal {

// PrometheusText() of what was seen.
std::string ToPrometheusText(const RuntimeStats& stats);

// For PrometheusText(): a watchdog has begun or (-1) ended, and how many leaks
// it has found.
void AddLeakWatchdog(int n);
void SetLeakedGoroutines(int64_t n);
// -1: no watchdog runs, or it has not looked yet.
int64_t LeakedGoroutines();

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_STATS_H_

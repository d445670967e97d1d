// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/stats.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "go/goroutine_walk.h"
#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/goroutine.h"
#include "runtime/scheduler.h"
#include "runtime/stack.h"
#include "runtime/timers.h"
#include "runtime/wait_reason.h"

namespace gochan {

namespace {

using runtime::TaskReader;
using runtime::WaitReason;

constexpr int kReasons = static_cast<int>(WaitReason::kBlocking) + 1;

// What `in_use` stacks hold, judged by some of them.
std::size_t ResidentBytes(const internal::EvenSample& sample, int64_t in_use) {
  double bytes = 0;
  int64_t measured = 0;
  for (const internal::EvenSample::Member& member : sample.members()) {
    TaskReader::Snapshot task;
    bool woken;
    if (!TaskReader::Read(member.index, member.id, /*with_stack=*/true, nullptr,
                          &task, &woken)) {
      continue;
    }
    bytes += static_cast<double>(task.stack_bytes);
    ++measured;
  }
  if (measured == 0) return 0;
  return static_cast<std::size_t>(bytes / static_cast<double>(measured) *
                                  static_cast<double>(in_use));
}

void LookAtGoroutines(RuntimeStats* stats) {
  int64_t by_reason[kReasons] = {};
  int64_t in_use = 0;
  internal::EvenSample sample(/*max=*/64);
  runtime::MonotonicNanos oldest = runtime::kNever;
  internal::WalkGoroutines([&](const internal::Glimpse& glimpse) {
    const auto& task = glimpse.task;
    ++stats->live;
    if (task.started) {
      ++in_use;
      sample.Offer(glimpse.index, task.id);
    }
    if (!task.started || glimpse.is_woken) {
      ++stats->runnable;
    } else if (task.note.reason == WaitReason::kNone) {
      ++stats->running;
    } else if (task.note.reason == WaitReason::kBlocking) {
      ++stats->in_blocking_calls;
    } else {
      ++stats->blocked;
      ++by_reason[static_cast<int>(task.note.reason)];
      if (task.note.reason != WaitReason::kSleep && task.note.since != 0 &&
          task.note.since < oldest) {
        oldest = task.note.since;
        stats->oldest_blocked_id = task.id;
      }
    }
  });
  for (int i = 0; i < kReasons; ++i) {
    const auto reason = static_cast<WaitReason>(i);
    if (reason == WaitReason::kNone || reason == WaitReason::kBlocking) {
      continue;
    }
    stats->blocked_by_reason.emplace_back(runtime::WaitReasonName(reason),
                                          by_reason[i]);
  }
  if (stats->oldest_blocked_id != 0) {
    stats->oldest_blocked_for =
        std::max(absl::ZeroDuration(),
                 absl::Nanoseconds(runtime::MonotonicNow() - oldest));
  }
  stats->stacks_in_use = in_use;
  stats->stack_resident_bytes = ResidentBytes(sample, in_use);
}

}  // namespace

RuntimeStats Stats() {
  RuntimeStats stats;
  LookAtGoroutines(&stats);

  const runtime::SchedulerStats scheduler = runtime::GetSchedulerStats();
  stats.spawned = scheduler.spawned;
  stats.finished = scheduler.finished;
  stats.workers = scheduler.workers;
  stats.idle_workers = scheduler.idle;
  stats.searching_workers = scheduler.searching;
  stats.threads = scheduler.threads;
  stats.steals = scheduler.steals;
  stats.wake_ups = scheduler.wake_ups;
  stats.handoffs = scheduler.handoffs;
  // Whoever yields says no more than that it runs.
  const int64_t at_most = std::max(0, stats.workers - stats.idle_workers);
  if (stats.running > at_most) {
    stats.runnable += stats.running - at_most;
    stats.running = at_most;
  }
  stats.run_queue_overflow = stats.runnable;
  for (int i = 0;; ++i) {
    const int length = runtime::RunQueueLength(i);
    if (length < 0) break;
    stats.run_queues.push_back(length);
    stats.run_queue_overflow -= length;
  }
  stats.run_queue_overflow = std::max<int64_t>(0, stats.run_queue_overflow);

  const runtime::StackStats stacks = runtime::GetStackStats();
  // One may have been made for a goroutine that has begun since the walk.
  stats.stacks =
      std::max(static_cast<int64_t>(stacks.stacks), stats.stacks_in_use);
  stats.stack_reserved_bytes = stacks.reserved;
  if (stats.stacks != 0) {
    stats.stack_pooled_bytes = static_cast<std::size_t>(
        static_cast<double>(stacks.reserved) *
        static_cast<double>(stats.stacks - stats.stacks_in_use) /
        static_cast<double>(stats.stacks));
  }
  stats.timers = static_cast<int64_t>(runtime::PendingTimers());
  return stats;
}

// -----------------------------------------------------------------------------
// PrometheusText()
// -----------------------------------------------------------------------------

namespace {

// How many watchdogs run, and what the one that looked last has found; -1: none
// has looked. Relaxed: two numbers for a report.
constinit runtime::Atomic<int> watchdogs{0};
constinit runtime::Atomic<int64_t> leaked{-1};

// One metric after another.
class Exposition {
 public:
  void Begin(const char* name, const char* type, const char* help) {
    name_ = name;
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ",
                    type, "\n");
  }
  template <typename T>
  void Value(T value) {
    absl::StrAppend(&text_, name_, " ", value, "\n");
  }
  // The label's value needs no escapes.
  template <typename T>
  void Value(const char* label, const std::string& label_value, T value) {
    absl::StrAppend(&text_, name_, "{", label, "=\"", label_value, "\"} ",
                    value, "\n");
  }
  template <typename T>
  void Gauge(const char* name, T value, const char* help) {
    Begin(name, "gauge", help);
    Value(value);
  }
  void Counter(const char* name, uint64_t value, const char* help) {
    Begin(name, "counter", help);
    Value(value);
  }
  std::string Take() { return std::move(text_); }

 private:
  const char* name_ = "";
  std::string text_;
};

}  // namespace

std::string PrometheusText() { return internal::ToPrometheusText(Stats()); }

namespace internal {

std::string ToPrometheusText(const RuntimeStats& stats) {
  Exposition out;
  out.Gauge("gochan_goroutines", stats.live, "Goroutines that live.");
  out.Counter("gochan_goroutines_spawned_total", stats.spawned,
              "Goroutines ever started.");
  out.Counter("gochan_goroutines_finished_total", stats.finished,
              "Goroutines ever ended.");
  out.Begin("gochan_goroutines_state", "gauge",
            "Goroutines by what they do; blocking calls are those in "
            "Blocking().");
  out.Value("state", "running", stats.running);
  out.Value("state", "runnable", stats.runnable);
  out.Value("state", "waiting", stats.blocked);
  out.Value("state", "blocking call", stats.in_blocking_calls);
  out.Begin("gochan_goroutines_blocked", "gauge",
            "Waiting goroutines by what they wait for.");
  for (const auto& [reason, count] : stats.blocked_by_reason) {
    out.Value("reason", reason, count);
  }
  out.Gauge(
      "gochan_oldest_blocked_seconds",
      absl::StrFormat("%.3f", absl::ToDoubleSeconds(stats.oldest_blocked_for)),
      "For how long the goroutine has waited that waits longest, "
      "sleepers aside.");
  if (const int64_t leaks = LeakedGoroutines(); leaks >= 0) {
    out.Gauge("gochan_leaked_goroutines", leaks,
              "Goroutines that can never run again, when the watchdog looked "
              "last.");
  }

  out.Gauge("gochan_workers", stats.workers, "Workers (GOMAXPROCS).");
  out.Gauge("gochan_workers_idle", stats.idle_workers, "Workers without work.");
  out.Gauge("gochan_threads", stats.threads,
            "Threads that run goroutines or their blocking calls.");
  if (!stats.run_queues.empty()) {
    out.Begin("gochan_run_queue_length", "gauge",
              "Runnable goroutines in a worker's queue.");
  }
  for (std::size_t i = 0; i < stats.run_queues.size(); ++i) {
    out.Value("worker", absl::StrCat(i), stats.run_queues[i]);
  }
  out.Gauge("gochan_run_queue_overflow_length", stats.run_queue_overflow,
            "Runnable goroutines in no worker's queue yet.");
  out.Counter("gochan_steals_total", stats.steals,
              "How often a worker took work from another.");
  out.Counter("gochan_wake_ups_total", stats.wake_ups,
              "How often a sleeping worker was woken.");
  out.Counter("gochan_handoffs_total", stats.handoffs,
              "How often a blocking call left its worker to another thread.");

  out.Gauge("gochan_stacks", stats.stacks, "Stacks, in use or pooled.");
  out.Gauge("gochan_stacks_in_use", stats.stacks_in_use,
            "Stacks of goroutines that have begun.");
  out.Gauge("gochan_stack_reserved_bytes", stats.stack_reserved_bytes,
            "Address space of all stacks.");
  out.Gauge("gochan_stack_pooled_bytes", stats.stack_pooled_bytes,
            "Of this, address space of stacks that nobody uses.");
  out.Gauge("gochan_stack_resident_bytes", stats.stack_resident_bytes,
            "Memory of the stacks in use, projected from a sample.");
  out.Gauge("gochan_timers", stats.timers, "Pending timers.");
  return out.Take();
}

void AddLeakWatchdog(int n) {
  if (watchdogs.fetch_add(n, std::memory_order_relaxed) + n == 0) {
    SetLeakedGoroutines(-1);
  }
}

void SetLeakedGoroutines(int64_t n) {
  leaked.store(n, std::memory_order_relaxed);
}

int64_t LeakedGoroutines() { return leaked.load(std::memory_order_relaxed); }

}  // namespace internal
}  // namespace gochan

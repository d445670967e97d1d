// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The scheduler's state, for onlookers.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/memory_reader.h"
#include "runtime/scheduler.h"
#include "runtime/scheduler_internal.h"
#include "runtime/scheduler_state.h"

namespace gochan::runtime {

void Scheduler::AddUp(SchedulerStats& stats) {
  stats.spawned = foreign_spawned.load(std::memory_order_relaxed);
  stats.finished = abandoned.load(std::memory_order_relaxed);
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    // Relaxed: statistics.
    const Worker& w = *At(i);
    stats.spawned += w.spawned_.load(std::memory_order_relaxed);
    stats.finished += w.finished_.load(std::memory_order_relaxed);
    stats.steals += w.steals_.load(std::memory_order_relaxed);
    stats.wake_ups += w.wake_ups_.load(std::memory_order_relaxed);
    stats.handoffs += w.handoffs_.load(std::memory_order_relaxed);
    stats.rests += w.rests_.load(std::memory_order_relaxed);
  }
}

int Scheduler::QueueLength(int i) {
  if (i < 0 || i >= std::min(Procs(), Made())) return -1;
  return static_cast<int>(At(i)->queue_.LengthHint());
}

int RunQueueLength(int i) { return Scheduler::QueueLength(i); }

// Relaxed, all: a switch is noticed some time.
void WorkersProgress::Begin() {
  budgets_.clear();
  const int n = Scheduler::Made();
  for (int i = 0; i < n; ++i) {
    Worker* const w = Scheduler::At(i);
    budgets_.push_back(w == Get_current_worker() ? kSwitched : w->Budget());
  }
}

bool WorkersProgress::Done() {
  bool done = true;
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const Worker& w = *Scheduler::At(static_cast<int>(i));
    const int32_t budget = w.Budget();
    // It becomes 0 without a switch, too.
    if (w.state_.load(std::memory_order_relaxed) != Worker::kRunning ||
        (budget != budgets_[i] && budget != 0)) {
      budgets_[i] = kSwitched;
    }
    done = done && budgets_[i] == kSwitched;
  }
  return done;
}

void ForEachFrozenThread(void (*found)(uintptr_t low, uintptr_t mark,
                                       void* arg),
                         void* arg) {
  MemoryReader memory;
  const uint32_t end = ThreadArena::HighWater();
  for (uint32_t i = 0; i < end; ++i) {
    // One may be counted before it has memory.
    const Thread& thread = ThreadArena::At(i);
    uintptr_t mark = 0;
    if (memory.Read(thread.mark.word(), &mark, sizeof(mark)) && mark != 0) {
      found(thread.stack_low, mark, arg);
    }
  }
}

SchedulerStats GetSchedulerStats() {
  SchedulerStats stats{};
  const uint64_t now = Scheduler::counts.load(std::memory_order_seq_cst);
  stats.workers = Scheduler::Active(now);
  stats.idle = Scheduler::Idle(now);
  stats.searching = Scheduler::Searching(now);
  stats.threads = Scheduler::threads.load(std::memory_order_relaxed);
  Scheduler::AddUp(stats);
  return stats;
}

}  // namespace gochan::runtime

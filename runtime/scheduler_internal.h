// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the scheduler is made of. For scheduler.cc and what looks into it.

#ifndef GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_
#define GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_

#include <cstddef>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/cache_line.h"
#include "runtime/clock.h"
#include "runtime/fiber.h"
#include "runtime/goroutine.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/run_queue.h"
#include "runtime/scheduler.h"
#include "runtime/timer_queue.h"

namespace gochan::runtime {

class Worker;

// -----------------------------------------------------------------------------
// Thread
// -----------------------------------------------------------------------------

// An OS thread of the runtime. Its own stack is where it looks for work.
//
// Thread::wake: where it sleeps, with a worker that is kAsleep or as a spare.
//   state    set by                     next    who may act
//   kSleeps  the thread, before others  kWorks  who has claimed its worker, or
//            can claim its worker               popped it from the spares
//   kWorks   that one                   kSleeps the thread: goes to work
struct alignas(kCacheLine) Thread : Fiber {
  static constexpr uint32_t kSleeps = 0;
  static constexpr uint32_t kWorks = 1;

  explicit Thread(uint64_t seed) : party(seed) {}

  // Of the party that runs on this thread's own stack.
  Party party;
  EhGlobals* eh_globals = nullptr;
  // Whose work it does; nullptr: nobody's. Its own, but for a spare thread's,
  // which belongs to who has popped it.
  Worker* worker = nullptr;
  Atomic<uint32_t> wake{0};
  Atomic<uint32_t> free_next;
  // In Blocking(), with or without a worker to come back to. For the detection
  // of deadlocks. Written by the thread.
  Atomic<uint32_t> in_blocking{0};
  Atomic<int32_t> tid{0};  // the kernel's number; written once

  Atomic<uint32_t>& free_link() { return free_next; }
};

// -----------------------------------------------------------------------------
// Worker
// -----------------------------------------------------------------------------

// Worker::state_: who runs it.
//   state      set by                    next       who may act
//   kRetired   SetMaxProcs, itself       kDetached  SetMaxProcs
//   kDetached  SetMaxProcs,              kRunning   a waker, who finds it a
//              EnterBlocking                        thread; LeaveBlocking
//                                        kRetired   SetMaxProcs
//   kAsleep    its thread                kRunning   a waker, by futex; its own
//                                                   thread, after a time-out
//                                        kRetired   (never: it is woken first)
//   kRunning   who took it               kAsleep    its thread
//                                        kDetached  its thread: EnterBlocking
//                                        kRetired   its thread
// kDetached and kAsleep are *idle*: counted in Scheduler::counts, and its bit
// is set in Scheduler::idle.
class alignas(kCacheLine) Worker {
 public:
  enum State : uint32_t { kRetired, kDetached, kAsleep, kRunning };

  explicit Worker(int number)
      : number_(number), random_(0x1357u + static_cast<unsigned>(number)) {}

  // --- by the code that runs on it

  // `r` was woken: it runs next.
  [[gnu::always_inline]] inline void Ready(Runnable* r);
  // To the end of the queue.
  void PushBack(Runnable* r);

  // See BeginYield().
  bool Yield(Goroutine& g, Sleeping& sleeping);

  // Who runs after `from`, which is about to leave its stack. Tells the thread.
  [[gnu::always_inline]] inline Fiber& Choose(Fiber& from);
  // The same for a Runnable that was chosen; nullptr: the thread's own stack.
  [[gnu::always_inline]] inline Fiber& Enter(Fiber& from, Runnable* r);
  // nullptr: nothing at hand, or time to look around.
  [[gnu::always_inline]] inline Runnable* PickFast();

  MonotonicNanos coarse_now() const {
    // Relaxed: a clock for dumps.
    return now_.load(std::memory_order_relaxed);
  }

 private:
  friend class Scheduler;

  // Looks around on every so many switches, or after about kSlice.
  static constexpr int32_t kMaxBudget = 61;
  static constexpr MonotonicNanos kSlice = 200'000;

  const int number_;
  int32_t budget_ = kMaxBudget;
  int32_t budget_size_ = kMaxBudget;
  Thread* thread_ = nullptr;  // while kRunning or kAsleep
  Random random_;
  // Watched by the watcher: has it switched since?
  Atomic<uint32_t> ticks_{0};
  Atomic<MonotonicNanos> now_{0};
  uint64_t next_id_ = 0;
  uint64_t last_id_ = 0;
  uint32_t spare_tasks_ = ~0u;  // list of free tasks, through free_next
  uint32_t spare_task_count_ = 0;
  Atomic<uint64_t> spawned_{0};
  Atomic<uint64_t> finished_{0};
  Atomic<uint64_t> steals_{0};
  Atomic<uint64_t> wake_ups_{0};
  Atomic<uint64_t> handoffs_{0};

  // By the watcher alone.
  uint32_t watched_ticks_ = 0;
  bool watched_full_ = false;

  alignas(kCacheLine) Atomic<uint32_t> state_{kRetired};
  RunQueue<Runnable> queue_;
  TimerQueue timers_;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_

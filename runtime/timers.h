// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Timer: one callback that runs at a monotonic time unless it is stopped.
//
//   Start           arms it
//   Stop            disarms it; tells whether the callback is out of the way
//   PendingTimers   how many are armed
//
// All timers of the process are served by one thread, which is started by the
// first Start() and sleeps when nothing is due. Neither Start() nor Stop() ever
// waits for it, or for each other: both are lock-free.
//
// Memory ordering: what thread X did before Start() is visible in the callback.
// What a callback did is not ordered with a Stop() that returns false: it may
// still be running.
//
// Cost: Start() is a few stores and one or two compare-and-swaps, plus a system
// call if it is the earliest of all; Stop() is a compare-and-swap. A timer that
// is stopped leaves nothing behind that grows: docs/design/timers.md.
//
// After fork() the child has no such thread; only exec belongs there.

#ifndef GOCHAN_RUNTIME_TIMERS_H_
#define GOCHAN_RUNTIME_TIMERS_H_

#include <cstddef>

#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/instrument.h"

namespace gochan::runtime {

struct TimerEntry;

class Timer {
 public:
  using Callback = void (*)(void* arg);

  constexpr Timer() = default;
  // As Stop(); what `arg` points to must live on if that returns false.
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Timer::Start()
  //
  // `fn(arg)` will run once, on the timer thread, not before `deadline` and, of
  // two that are due, after the one with the earlier deadline. It must be short
  // and must not block or throw; it may start, stop or destroy timers, this one
  // too. With kNever it never runs.
  //
  // A timer may be started again after Stop() and after its callback has begun;
  // one that is pending is stopped first. One Start() at a time per Timer;
  // Stop() may run at the same time. Throws std::bad_alloc.
  void Start(MonotonicNanos deadline, Callback fn, void* arg);

  // Timer::Stop()
  //
  // True: it was armed, and the callback will not run. False: the callback has
  // run, is running or is about to, or the timer was not started, or somebody
  // else has stopped it. Any number of threads at once; of those that stop one
  // Start(), one is told true.
  bool Stop();

 private:
  // Set by the first Start(), then constant. The entry is this Timer's alone
  // until it is destroyed, but the timer thread may look at it for longer.
  Atomic<TimerEntry*> entry_{nullptr};
};

// Timers that are started, neither fired nor stopped. Exact once the calls that
// change it have returned.
size_t PendingTimers();

// What the timers of the process hold on to.
struct TimerMemory {
  size_t entries;  // ever taken from the system, in use or not; 64 bytes each
  size_t slots;    // in the timer thread's heap, stale ones included; 24 bytes
};
TimerMemory GetTimerMemory();

#if GOCHAN_INSTRUMENT
// With instrumentation there is no timer thread and time stands still: a tool
// decides when a deadline passes. Fires the started timer with the earliest
// deadline (of equal ones any) on the calling thread; false if there is none.
// Start, Stop and this are one step each; the callback takes its own.
bool FireNextTimerForTest();
#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_TIMERS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Timer: one callback that runs at a monotonic time unless it is stopped.
//
//   Start           arms it
//   Stop            disarms it; tells whether the callback is out of the way
//   PendingTimers   how many are armed
//
// A timer that is started on a worker is kept in that worker's queue
// (timer_queue.h), and fired by it or by another worker. All others are served
// by one thread, which is started by the first of them and sleeps when nothing
// is due. Neither Start() nor Stop() ever waits for anybody: both are
// lock-free.
//
// Memory ordering: what thread X did before Start() is visible in the callback.
// What a callback did is not ordered with a Stop() that returns false: it may
// still be running.
//
// Cost: Start() is a few stores and a swap, or two off the workers, and there a
// system call if it is the earliest of all; O(log n) if it is among the
// earliest. Stop() is a swap. A timer that is stopped leaves nothing behind
// that grows: docs/design/timers.md.
//
// After fork() the child has no such thread; only exec belongs there.

#ifndef GOCHAN_RUNTIME_TIMERS_H_
#define GOCHAN_RUNTIME_TIMERS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/instrument.h"
#include "runtime/timer_entry.h"
#include "runtime/timer_queue.h"

namespace gochan::runtime {

class Timer {
 public:
  using Callback = TimerCallback;

  constexpr Timer() = default;
  // As Stop(); what `arg` points to must live on if that returns false.
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Timer::Start()
  //
  // `fn(arg)` will run once, on a worker or the timer thread, not before
  // `deadline` and, of two in the same queue that are due, after the one with
  // the earlier deadline. It must be short and must not block or throw; it may
  // start, stop or destroy timers, this one too. With kNever it never runs.
  //
  // A timer may be started again after Stop() and after its callback has begun;
  // one that is pending is stopped first. One Start() at a time per Timer;
  // Stop() may run at the same time. Throws std::bad_alloc, unless Prepare()
  // was called before. The Timer itself is not touched any more from the moment
  // at which the callback may run.
  void Start(MonotonicNanos deadline, Callback fn, void* arg);

  // Timer::Prepare()
  //
  // Takes the memory that the first Start() would take. For who must not fail
  // later, such as a publisher. As Start() otherwise.
  void Prepare();

  // Timer::ThreadId()
  //
  // The system's number of the timer thread; 0 before it has begun to run.
  static int32_t ThreadId();

  // Timer::ThreadIsAsleep()
  //
  // True: there was a moment since the call began at which the timer thread ran
  // no callback, and what those before it did is visible. So, if nothing was
  // pending before the call, and nobody starts a timer, all is over.
  static bool ThreadIsAsleep();

  // Timer::GoesOff()
  //
  // By who may start it: the deadline, if it is started, and neither stopped
  // nor has its callback begun, which begins after this, then; else kNever.
  MonotonicNanos GoesOff() const;

  // Timer::Stop()
  //
  // True: it was armed, and the callback will not run. False: the callback has
  // run, is running or is about to, or the timer was not started, or somebody
  // else has stopped it. Any number of threads at once; of those that stop one
  // Start(), one is told true.
  bool Stop();

 private:
  // The entry, taken if there is none yet. `mine`: the caller's queue.
  TimerEntry* Entry(TimerQueue* mine);

  // Set by the first Start(), then constant. The entry is this Timer's alone
  // until it is destroyed, but whoever drains or fires may look at it for
  // longer.
  Atomic<TimerEntry*> entry_{nullptr};
};

// Timers that are started, neither fired nor stopped. Exact once the calls that
// change it have returned. Looks at every entry that was ever used (64 MB after
// a million timers), so that starting and stopping need not count.
size_t PendingTimers();

// FindTimerThatWakes()
//
// Is there one of these that may wake or start a goroutine? Gives up after
// `limit` that do not.
//
// SetTimerIsIdle() says how to tell: whether `fn(arg)`, called now, would wake
// nobody. It is asked when nobody else runs, as it seems; if that is wrong, the
// memory at `arg` may be something else's by then, and the answer is not used.
enum class TimersLeft { kNoneWakes, kOneWakes, kTooMany };
TimersLeft FindTimerThatWakes(size_t limit);
using TimerIsIdle = bool (*)(TimerCallback fn, void* arg);
void SetTimerIsIdle(TimerIsIdle is_idle);

// What the timers of the process hold on to.
struct TimerMemory {
  size_t entries;  // ever taken from the system, in use or not; 64 bytes each
  // In the timer thread's heap, stale ones included; 24 bytes each. (Workers
  // have their own: TimerQueue::slots().)
  size_t slots;
};
TimerMemory GetTimerMemory();

#if GOCHAN_INSTRUMENT
// With instrumentation there is no timer thread, the workers' queues are not
// used, and time stands still: a tool decides when a deadline passes. Fires the
// started timer with the earliest deadline (of equal ones any) on the calling
// thread; false if there is none. Start, Stop and this are one step each; the
// callback takes its own.
bool FireNextTimerForTest();

// TimerNow() as of now, unless it is later already: it is the latest deadline
// that has been fired.
void AdvanceTimerNowForTest(MonotonicNanos now);

// Stops all timers that are pending, whosever they are, and goes back to 0.
void ResetTimersForTest();
#endif

// The time that timers are judged by: MonotonicNow(), unless a tool controls
// it.
#if GOCHAN_INSTRUMENT
MonotonicNanos TimerNow();
#else
inline MonotonicNanos TimerNow() { return MonotonicNow(); }
#endif

// What the wall clock showed at `when`, `now` being the present TimerNow();
// with instrumentation `when` itself, since the epoch.
absl::Time WallTimeOf(MonotonicNanos when, MonotonicNanos now);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_TIMERS_H_

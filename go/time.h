// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Time for goroutines and threads: Go's timers, tickers and sleep.
//
//   Sleep               pauses the caller
//   Now                 the time
//   After, Tick         channels that give the time, once or again and again
//   Timer, Ticker       the same with Stop and Reset
//   AfterFunc           runs a function, in a goroutine of its own
//
//   gochan::Ticker ticker(absl::Seconds(1));
//   for (absl::Time t : ticker.C()) std::cout << t << "\n";
//
// Inside a Select, TimeoutCase(d) costs less than RecvCase(After(d)).
//
// The rules are those of Go 1.23. Len and Cap of a timer's channel are 0, and
// once Stop() or Reset() has returned nobody receives a value that came of an
// earlier setting. The channel is never closed. A value is the time at which
// the timer expired, however late it is received; nothing fires early.
//
// Timer and Ticker are handles: copies refer to the same one, and so does its
// channel. When the last of these has gone it is stopped and freed; nothing
// need be stopped by hand. (One that AfterFunc() made still runs its function.)
// All members may be called by any number of parties at once; one handle object
// is not to be assigned while others use it.
//
// Memory ordering: what happened before a Timer was made or Reset() is visible
// to who receives from it, and in AfterFunc's function.
//
// Nothing here but Sleep() and the receives blocks. Everything is lock-free;
// Stop and Reset are O(log n) at most in the timers that are pending.

#ifndef GOCHAN_GO_TIME_H_
#define GOCHAN_GO_TIME_H_

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "runtime/source_location.h"

namespace gochan {

namespace internal {
class FuncTimer;
}  // namespace internal

// Sleep()
//
// Blocks the caller, goroutine or thread, for at least `d`; not at all if that
// is zero or less.
void Sleep(absl::Duration d,
           const SourceLocation& site = SourceLocation::current());

// Sleep() with a context
//
// The same until `ctx` is done: OK after `d`, ctx.Err() if that came first, or
// had come before.
absl::Status Sleep(const Context& ctx, absl::Duration d,
                   const SourceLocation& site = SourceLocation::current());

// Now()
//
// The wall clock, as absl::Now() tells it, in nanoseconds of the system's.
absl::Time Now();

// After()
//
// A channel that gives one value once `d` has passed, at once if that is zero
// or less: Timer(d).C().
RecvChan<absl::Time> After(absl::Duration d);

// Tick()
//
// A channel that gives a value every `d`: Ticker(d).C(); nil if `d` is zero or
// less.
RecvChan<absl::Time> Tick(absl::Duration d);

class Timer {
 public:
  // Refers to none: C() is nil, the rest panics.
  Timer() = default;
  // Sends the time on C() once `d` has passed. Throws std::bad_alloc.
  explicit Timer(absl::Duration d);

  Timer(const Timer& other);
  Timer(Timer&& other) noexcept
      : channel_(std::move(other.channel_)),
        func_(std::exchange(other.func_, nullptr)) {}
  Timer& operator=(Timer other) noexcept {
    std::swap(channel_, other.channel_);
    std::swap(func_, other.func_);
    return *this;
  }
  ~Timer();

  // Timer::C()
  //
  // The channel, the same every time; nil if AfterFunc() made the timer.
  RecvChan<absl::Time> C() const { return channel_; }

  // Timer::Stop()
  //
  // From now on it does not fire. True: this call has stopped it, and the value
  // of its setting is received by nobody, or its function is not run. False: it
  // has expired or been stopped already; a function has been started, and may
  // still be running. Panics with "time: Stop called on uninitialized Timer" if
  // this refers to none.
  bool Stop() const;

  // Timer::Reset()
  //
  // Fires once `d` from now has passed, and not as set before. True if it was
  // active, as for Stop(). A function runs again, perhaps beside its earlier
  // run. Panics with "time: Reset called on uninitialized Timer" if this refers
  // to none.
  bool Reset(absl::Duration d) const;

 private:
  friend Timer AfterFunc(absl::Duration d, absl::AnyInvocable<void()> fn);

  RecvChan<absl::Time> channel_;
  internal::FuncTimer* func_ = nullptr;  // of AfterFunc(); counted
};

class Ticker {
 public:
  // Refers to none: C() is nil, Stop() does nothing.
  Ticker() = default;
  // Sends the time on C() every `d` from now on. A receiver that is slow gets
  // the oldest tick that it has missed, and then the next one on time. Panics
  // with "non-positive interval for NewTicker". Throws std::bad_alloc.
  explicit Ticker(absl::Duration d);

  // Ticker::C()
  //
  // The channel, the same every time.
  RecvChan<absl::Time> C() const { return channel_; }

  // Ticker::Stop()
  //
  // No more ticks. The channel is not closed.
  void Stop() const;

  // Ticker::Reset()
  //
  // Ticks every `d` from now on, also if it was stopped. Panics with
  // "non-positive interval for Ticker.Reset", and with "time: Reset called on
  // uninitialized Ticker" if this refers to none.
  void Reset(absl::Duration d) const;

 private:
  RecvChan<absl::Time> channel_;
};

// AfterFunc()
//
// Runs `fn` in a goroutine of its own once `d` has passed, and again after each
// Reset(). It is destroyed when neither a handle is left nor a run to come, and
// the last run has ended. An empty function ends the program when its time
// comes: "go of nil func value". Throws std::bad_alloc.
Timer AfterFunc(absl::Duration d, absl::AnyInvocable<void()> fn);

}  // namespace gochan

#endif  // GOCHAN_GO_TIME_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// WaitGroup: Go's sync.WaitGroup, which waits until a number of tasks are done.
//
//   gochan::WaitGroup tasks;
//   for (Job& job : jobs) {
//     tasks.Go([&job] { Run(job); });
//   }
//   tasks.Wait();
//
//   Go(fn)    starts a goroutine that counts as a task until fn is over
//   Add, Done count tasks that are started in another way
//   Wait      blocks until the count is zero
//
// Lifetime: constant-initialised, so a global works before main(). It may be
// destroyed as soon as every Wait() has returned: the Done() that let them go
// touches it no more. To destroy it while its tasks still run is a bug, as they
// would count down what is not there; that ends the program, see the
// destructor. Eight bytes.
//
// It may be used again when all Wait() calls have returned. Less than 2^31
// tasks, and less than 2^32 waiters.
//
// Memory ordering: each Done(), and the end of each fn, happens before the
// return of the Wait() calls that it lets go.
//
// All members may be called by any number of parties at once. Add() and Done()
// are one atomic read-modify-write; the last Done() wakes all that wait.

#ifndef GOCHAN_GO_WAIT_GROUP_H_
#define GOCHAN_GO_WAIT_GROUP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "go/go.h"
#include "runtime/atomic.h"
#include "runtime/goexit.h"
#include "runtime/source_location.h"

namespace gochan {

class WaitGroup {
 public:
  constexpr WaitGroup() = default;
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;

  // WaitGroup::~WaitGroup()
  //
  // Ends the program, as an uncaught panic does, if the count is above zero:
  // "panic: sync: WaitGroup destroyed with tasks not done: 2", also while an
  // exception unwinds the stack. The report lists those goroutines that were
  // started with the group, by Go() or by a function that holds its address, as
  // far as they can be told. Wait() first, or use a Scope (go/scope.h), which
  // does so on every way out.
  //
  // Not checked: objects with static storage duration, as nobody waits when the
  // program ends; tasks that RunMain() has abandoned at its end, which will
  // never count down.
  ~WaitGroup() {
    if (InUse()) [[unlikely]]
      DestroyedInUse();
  }

  // WaitGroup::Add()
  //
  // Adds `delta`, which may be negative, to the count; if that becomes zero,
  // all Wait() calls return. When the count is zero, Add() must happen before
  // Wait(); while it is above zero, at any time. Never blocks.
  //
  // Panics with "sync: negative WaitGroup counter" if it becomes negative (and
  // it stays so), and with "sync: WaitGroup misuse: Add called concurrently
  // with Wait" if that is noticed.
  void Add(int delta);

  // WaitGroup::Done()
  //
  // Add(-1).
  void Done() { Add(-1); }

  // WaitGroup::Wait()
  //
  // Blocks until the count is zero. Panics with "sync: WaitGroup is reused
  // before previous Wait has returned" if that is noticed.
  void Wait(const SourceLocation& site = SourceLocation::current());

  // WaitGroup::Go()
  //
  // Add(1), and starts a goroutine that calls fn() and then Done(). It is done
  // as well if it leaves fn by Goexit(). fn is destroyed before Done(). An
  // exception that leaves fn ends the
  // program, as in every goroutine, and nobody is let go before.
  template <typename Fn>
  void Go(Fn&& fn, const SourceLocation& site = SourceLocation::current());

 private:
  // state_ = { count:32 waiters:32 }
  //
  //   count    += delta by Add()
  //   waiters  +1 by Wait(), in a word whose count is not 0; set to 0 by the
  //            Add() that brings the count to 0, together with the queue's end
  //
  // Who has counted itself as a waiter sleeps until that Add() takes it out of
  // the queue, or finds that it has been forgotten on purpose: waiters is 0.
  static constexpr int kCountShift = 32;
  static constexpr uint64_t kWaiter = 1;

  static constexpr int32_t Count(uint64_t state) {
    return static_cast<int32_t>(state >> kCountShift);
  }
  static constexpr uint32_t Waiters(uint64_t state) {
    return static_cast<uint32_t>(state);
  }
  static bool StillWaiting(void* group);

  // For an owner with a name of its own for reports, which asks before it
  // destroys the group.
  friend class ErrGroup;
  bool InUse() const {
    // Relaxed: the destructor's caller knows that nobody else uses it.
    return Count(state_.load(std::memory_order_relaxed)) > 0;
  }

  // Ends the program with a report that begins with `text`. Returns if the
  // tasks have been abandoned.
  [[gnu::cold]] void EndInUse(const char* text) const;
  [[gnu::cold]] void DestroyedInUse() const;

  // A function that runs as a task. EndInUse() looks for the first word.
  template <typename Fn>
  struct Task {
    void operator()() {
      runtime::RunGuarded(&Call, &*fn);
      fn.reset();  // what it owns ends before the task does
      group->Done();
    }
    static void Call(void* fn) { std::invoke(*static_cast<Fn*>(fn)); }

    WaitGroup* group;
    std::optional<Fn> fn;
  };

  // Takes the task back if it could not be started.
  struct Start {
    ~Start() {
      if (!started) group->Done();
    }
    WaitGroup* group;
    bool started = false;
  };

  runtime::Atomic<uint64_t> state_;
};

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

template <typename Fn>
void WaitGroup::Go(Fn&& fn, const SourceLocation& site) {
  Add(1);
  Start start{this};
  internal::CheckNotNil(fn);
  using Function = std::decay_t<Fn>;
  gochan::Go(Task<Function>{this, std::forward<Fn>(fn)}, site);
  start.started = true;
}

}  // namespace gochan

#endif  // GOCHAN_GO_WAIT_GROUP_H_

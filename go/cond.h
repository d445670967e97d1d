// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Cond: Go's sync.Cond, where parties wait for a condition that a mutex guards.
//
//   gochan::Mutex mutex;
//   gochan::Cond changed(mutex);
//   ...
//   mutex.lock();
//   while (!condition) changed.Wait();
//   ... use it ...
//   mutex.unlock();
//
// Often a channel serves better: closing one is a Broadcast(), sending a
// Signal(), and both can be selected on.
//
// Lifetime: it may be destroyed as soon as all Wait() calls have returned, or
// have been woken and do not yet have the mutex; Signal() and Broadcast() touch
// it no more after they let others go.
//
// Memory ordering: a Signal() or Broadcast() happens before the return of the
// Wait() that it wakes.
//
// All members may be called by any number of parties at once.

#ifndef GOCHAN_GO_COND_H_
#define GOCHAN_GO_COND_H_

#include <cstdint>

#include "go/mutex.h"
#include "runtime/atomic.h"
#include "runtime/source_location.h"

namespace gochan {

class Cond {
 public:
  // `mutex` must outlive it.
  constexpr explicit Cond(Mutex& mutex) : L(mutex) {}
  Cond(const Cond&) = delete;
  Cond& operator=(const Cond&) = delete;

  // Cond::Wait()
  //
  // Unlocks L, which the caller holds, and blocks, in one step: a Signal() or
  // Broadcast() that follows the unlocking is not missed. Locks L again before
  // it returns. It returns only if it was woken, but others may have had L
  // before, so call it in a loop that checks the condition. If L is not locked,
  // the program ends as with L.unlock().
  void Wait(const SourceLocation& site = SourceLocation::current());

  // Cond::Signal()
  //
  // Wakes the party that has waited longest, if there is one. The caller may
  // hold L, but need not.
  void Signal();

  // Cond::Broadcast()
  //
  // Wakes all that wait. The caller may hold L, but need not.
  void Broadcast();

  Mutex& L;

 private:
  static bool Enter(void* cond);

  // Whether somebody waits. Changed under the lot's lock alone, together with
  // the queue:
  //   state  set by                           next  who may act
  //   0      who takes the last one           1     Signal: nothing to do
  //   1      who waits, before it unlocks L   0     Signal: look into the queue
  runtime::Atomic<uint32_t> waited_;
};

}  // namespace gochan

#endif  // GOCHAN_GO_COND_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Going to sleep and being woken, for whoever calls.
//
//   Party         whoever can block: an OS thread, or a goroutine
//   Resumer       how one that is no thread leaves and is resumed
//   ParkSlot      where one party sleeps and what it was woken with
//   Sleep         makes the caller visible to wakers, then sleeps
//   BeginSleep, FinishSleep   the same in two halves, for hot paths
//   Wake          hands a result over and resumes the sleeper
//
// Publish after the switch. A party that will wait is made visible only once it
// has left its stack, by its *publisher*: a function that runs on behalf of the
// sleeper (a thread runs it itself, then sleeps). So whoever finds a waiter may
// resume it at once. The publisher's last act is SetLeft(); a woken party calls
// AwaitLeft() before it reuses its record or returns.
//
// Memory ordering: what thread X did before Wake() is visible to thread Y after
// Sleep() has returned in Y; what the publisher did before SetLeft() is visible
// to the party after AwaitLeft().

#ifndef GOCHAN_RUNTIME_PARK_H_
#define GOCHAN_RUNTIME_PARK_H_

#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/fiber.h"
#include "runtime/instrument.h"
#include "runtime/random.h"
#include "runtime/thread_local.h"
#include "runtime/wait_history.h"
#include "runtime/wait_reason.h"

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Parties
// -----------------------------------------------------------------------------

class TimerQueue;
class Worker;

// Whoever is not an OS thread says here how it sleeps.
struct Resumer {
  // Makes the party runnable. By its waker, on any thread.
  void (*resume)(Resumer* self) = nullptr;
  // By the party itself, which is about to leave its stack: chooses who runs
  // next on this thread, tells the thread so, and notes why the party waits.
  // The caller then switches from the party's fiber to the one returned.
  Fiber& (*leave)(Resumer* self, const WaitInfo& why) = nullptr;
};

// What a party that may block carries around. Owned and touched by that party
// alone.
struct Party {
  explicit Party(uint64_t seed) : random(seed) {}

  Random random;           // for select's order of polling
  void* waiter = nullptr;  // the record of the layer above; at first use
  // nullptr: sleeps as an OS thread, which it is or on which it is alone now.
  Resumer* resumer = nullptr;
  Fiber* fiber = nullptr;        // a goroutine's
  Worker* worker = nullptr;      // of whoever runs on one; else nullptr
  TimerQueue* timers = nullptr;  // that worker's

  // Select cases of this party that refer to a channel without a reference, and
  // the channels whose last handle went meanwhile (chan/internal/core.h).
  uint32_t borrows = 0;
  WaitHistory waits;  // a thread's
  void* buried = nullptr;
  // Contexts whose last handle went meanwhile (ctx/internal/node.h); nullptr:
  // one that goes is destroyed at once.
  void* burial = nullptr;

  void (*release_waiter)(void* waiter) = nullptr;  // gives it back at the end
  // By anybody, once the party never runs again: nobody will wake it.
  void (*withdraw_waiter)(void* waiter) = nullptr;
};

// -----------------------------------------------------------------------------
// The calling party
// -----------------------------------------------------------------------------

// A goroutine may run on another thread after each switch, so the addresses of
// these must not be kept across one: use the functions.
GOCHAN_HOT_THREAD_LOCAL(Party, current_party, "gochan_current_party");
// Whose work the calling thread does; nullptr: nobody's, or it is in
// Blocking(). As current_party->worker; but that one changes with every switch,
// and the processor need not wait for this one.
GOCHAN_HOT_THREAD_LOCAL(Worker, current_worker, "gochan_current_worker");

[[gnu::always_inline]] inline Party* CurrentPartyOrNull() {
  return Get_current_party();
}
[[gnu::always_inline]] inline void SetCurrentParty(Party* party) {
  Set_current_party(party);
}

// For a new party's random numbers.
uint64_t PartySeed();

// Makes one for a thread that has none; slow path of CurrentParty().
Party& AttachThread();

// The calling party. The first call on an OS thread attaches it until it ends.
inline Party& CurrentParty() {
  Party* party = CurrentPartyOrNull();
  if (party == nullptr) [[unlikely]] {
    return AttachThread();
  }
  return *party;
}

// -----------------------------------------------------------------------------
// Sleeping
// -----------------------------------------------------------------------------

// ParkSlot::result_: how a sleep ends. Zero-initialised memory is a valid slot.
//   state      set by      next                   who may act
//   kPending   the party   kAsleep | a result     party: publish, spin; waker
//   kAsleep    the party   a result               waker: must wake the futex
//   a result   one waker   kPending (next sleep)  the party alone
class ParkSlot {
 public:
  static constexpr uint32_t kPending = 0;
  static constexpr uint32_t kAsleep = 1;
  static constexpr uint32_t kFirstResult = 2;

  // By the party that will sleep here, before it can be found.
  void Prepare() { Prepare(CurrentParty().resumer); }
  // `resumer` is nullptr for a thread; somebody who is no party at all brings
  // one of which only resume() is called.
  void Prepare(Resumer* resumer) {
    // Relaxed: the install that makes the slot findable releases it.
    result_.store(kPending, std::memory_order_relaxed);
    resumer_ = resumer;
  }

  // By the one waker that won this wait. The slot's memory must outlive the
  // call (it is type-stable); nothing else of the sleeper is touched after the
  // result is visible.
  [[gnu::always_inline]] void Wake(uint32_t result) {
    Resumer* const resumer = resumer_;
    if (resumer == nullptr) {
      WakeThread(result);
      return;
    }
    // P1 release: all that this waker did; pairs with P1 in Result().
    result_.store(result, std::memory_order_release);
    resumer->resume(resumer);
  }

  // kPending or kAsleep until woken.
  uint32_t Result() const {
    // P1 acquire: what the waker did is visible; pairs with P1 in Wake().
    return result_.load(std::memory_order_acquire);
  }

  void ClearLeft() {
    // Relaxed: ordered before the install that could get the party woken.
    left_.store(0, std::memory_order_relaxed);
  }
  void SetLeft() {
    // P2 release: the publisher's last act; pairs with P2 in AwaitLeft().
    left_.store(1, std::memory_order_release);
  }
  [[gnu::always_inline]] void AwaitLeft() const {
    // P2 acquire: all that the publisher did; pairs with P2 in SetLeft().
    if (left_.load(std::memory_order_acquire) == 0) [[unlikely]] {
      AwaitLeftSlow();
    }
  }

 private:
  friend uint32_t SleepThread(ParkSlot&, MonotonicNanos);
  void AwaitLeftSlow() const;
  void WakeThread(uint32_t result);

  Atomic<uint32_t> result_;
  Atomic<uint32_t> left_;
  Resumer* resumer_ = nullptr;
};
static_assert(sizeof(ParkSlot) == 16);

// Runs on behalf of the sleeper once it has left its stack. `arg` lies in the
// sleeper's frame: read it before the first install, never after it.
using Publish = void (*)(void* arg);

// Publishes the caller and sleeps until Wake(); returns the result.
//
// With a deadline, which only an OS thread may give, it returns
// ParkSlot::kPending if that passed first (the party is still visible then:
// withdraw, or sleep again with no publication). A goroutine has a timer that
// wakes it.
uint32_t Sleep(ParkSlot& slot, Publish publish, void* arg, const WaitInfo& why,
               MonotonicNanos deadline = kNever);

// -----------------------------------------------------------------------------
// In two halves
// -----------------------------------------------------------------------------

// Each return that a resumed party makes is mispredicted by the processor,
// which remembers the calls of who ran before. So the switch belongs into the
// operation that the user called, not below it: a function prepares the sleep,
// the operation itself, expanded inline, makes the switch.
//
//   Sleeping sleeping;
//   Fiber* to;
//   if (prepare(…, &sleeping, &to)) {   // calls BeginSleep() last
//     FinishSleep(sleeping, to);
//     … slot.Result() …
//   }
struct Sleeping {
  Fiber* from;
  Publication publication;
};
// The same for who does not sleep, but yields.
struct Yielding {
  Fiber* from;
  void* carried;
  Publication publication;  // `carried`, or not
};

// A thread publishes and sleeps in here.
void BeginSleepSlow(ParkSlot& slot, Publish publish, void* arg);

// `me` is the calling party. For a goroutine nothing must be done between this
// and FinishSleep(). Returns who runs next; nullptr: a thread, which has slept
// already. (In a register: the processor fetches the next goroutine's frame by
// it, and a detour through memory would be seen in the time of each switch.)
[[gnu::always_inline]] inline Fiber* BeginSleep(Sleeping& sleeping, Party& me,
                                                ParkSlot& slot, Publish publish,
                                                void* arg,
                                                const WaitInfo& why) {
  if (GOCHAN_INSTRUMENT || me.resumer == nullptr) [[unlikely]] {
    BeginSleepSlow(slot, publish, arg);
    return nullptr;
  }
  sleeping.publication = {publish, arg};
  sleeping.from = me.fiber;
  return &me.resumer->leave(me.resumer, why);
}

[[gnu::always_inline]] inline void FinishSleep(Sleeping& sleeping, Fiber* to) {
  if (to != nullptr) [[likely]] {
    RunPublication(SwitchFibers(*sleeping.from, *to, &sleeping.publication));
  }
}

[[gnu::always_inline]] inline void FinishYield(Yielding& yielding, Fiber* to) {
  if (to != nullptr) [[likely]] {
    RunPublication(SwitchFibers(*yielding.from, *to, yielding.carried));
  }
}

#if GOCHAN_INSTRUMENT
// Takes over Sleep() on the thread where it is set.
using SleepHook = uint32_t (*)(ParkSlot& slot, Publish publish, void* arg,
                               MonotonicNanos deadline);
extern constinit thread_local SleepHook sleep_hook;
#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_PARK_H_

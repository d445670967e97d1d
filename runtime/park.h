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
  void* buried = nullptr;

  void (*release_waiter)(void* waiter) = nullptr;  // gives it back at the end
  // By anybody, once the party never runs again: nobody will wake it.
  void (*withdraw_waiter)(void* waiter) = nullptr;
};

// -----------------------------------------------------------------------------
// The calling party
// -----------------------------------------------------------------------------

// A goroutine may run on another thread after each switch, so the address of
// this variable must not be kept across one: use the functions below.
// The name is for the assembly.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local Party*
    current_party __asm__("gochan_current_party");

#if defined(__x86_64__) && defined(__ELF__) && defined(__LP64__)
// As thread_local.h says, no compiler may look through this; but it costs no
// call. The variable's offset from the thread pointer comes from the linker.
[[gnu::always_inline]] inline Party* CurrentPartyOrNull() {
  Party* party;
  __asm__ __volatile__(
      "movq gochan_current_party@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(party)
      :
      : "memory");
  return party;
}
[[gnu::always_inline]] inline void SetCurrentParty(Party* party) {
  uintptr_t offset;
  __asm__ __volatile__(
      "movq gochan_current_party@gottpoff(%%rip), %0\n\t"
      "movq %1, %%fs:(%0)"
      : "=&r"(offset)
      : "r"(party)
      : "memory");
}
#elif defined(__aarch64__) && defined(__ELF__) && defined(__LP64__)
[[gnu::always_inline]] inline Party* CurrentPartyOrNull() {
  Party* party;
  uintptr_t offset;
  __asm__ __volatile__(
      "mrs %0, tpidr_el0\n\t"
      "adrp %1, :gottprel:gochan_current_party\n\t"
      "ldr %1, [%1, #:gottprel_lo12:gochan_current_party]\n\t"
      "ldr %0, [%0, %1]"
      : "=&r"(party), "=&r"(offset)
      :
      : "memory");
  return party;
}
[[gnu::always_inline]] inline void SetCurrentParty(Party* party) {
  uintptr_t thread;
  uintptr_t offset;
  __asm__ __volatile__(
      "mrs %0, tpidr_el0\n\t"
      "adrp %1, :gottprel:gochan_current_party\n\t"
      "ldr %1, [%1, #:gottprel_lo12:gochan_current_party]\n\t"
      "str %2, [%0, %1]"
      : "=&r"(thread), "=&r"(offset)
      : "r"(party)
      : "memory");
}
#else
GOCHAN_UNCACHEABLE inline Party* CurrentPartyOrNull() {
  UncacheableCall();
  return current_party;
}
GOCHAN_UNCACHEABLE inline void SetCurrentParty(Party* party) {
  UncacheableCall();
  current_party = party;
}
#endif

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
//   if (prepare(…, &sleeping)) {        // calls BeginSleep() last
//     FinishSleep(sleeping);
//     … slot.Result() …
//   }
struct Sleeping {
  Fiber* from;
  Fiber* to;  // nullptr: a thread, which has slept already
  Publication publication;
};

// A thread publishes and sleeps in here.
void BeginSleepSlow(Sleeping& sleeping, ParkSlot& slot, Publish publish,
                    void* arg);

// `me` is the calling party. For a goroutine nothing must be done between this
// and FinishSleep().
[[gnu::always_inline]] inline void BeginSleep(Sleeping& sleeping, Party& me,
                                              ParkSlot& slot, Publish publish,
                                              void* arg, const WaitInfo& why) {
  if (GOCHAN_INSTRUMENT || me.resumer == nullptr) [[unlikely]] {
    BeginSleepSlow(sleeping, slot, publish, arg);
    return;
  }
  sleeping.publication = {publish, arg};
  sleeping.from = me.fiber;
  sleeping.to = &me.resumer->leave(me.resumer, why);
}

[[gnu::always_inline]] inline void FinishSleep(Sleeping& sleeping) {
  if (sleeping.to != nullptr) [[likely]] {
    RunPublication(
        SwitchFibers(*sleeping.from, *sleeping.to, &sleeping.publication));
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

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Going to sleep and being woken, for whoever calls.
//
//   Party         whoever can block: an OS thread; a goroutine brings its own
//   ParkSlot      where one party sleeps and what it was woken with
//   Sleep         makes the caller visible to wakers, then sleeps
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
#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/random.h"

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Parties
// -----------------------------------------------------------------------------

// What a party that may block carries around. Owned and touched by that party
// alone.
struct Party {
  explicit Party(uint64_t seed) : random(seed) {}

  Random random;           // for select's order of polling
  void* waiter = nullptr;  // the record of the layer above; made at first use
  void (*release_waiter)(void* waiter) = nullptr;  // gives it back at the end

  // Select cases of this party that refer to a channel without a reference, and
  // the channels whose last handle went meanwhile (chan/internal/core.h).
  uint32_t borrows = 0;
  void* buried = nullptr;
};

extern constinit thread_local Party* current_party;

// Makes one for a thread that has none; slow path of CurrentParty().
Party& AttachThread();

// The calling party. The first call on an OS thread attaches it until it ends.
inline Party& CurrentParty() {
  Party* party = current_party;
  if (party == nullptr) [[unlikely]] {
    return AttachThread();
  }
  return *party;
}

// -----------------------------------------------------------------------------
// Sleeping
// -----------------------------------------------------------------------------

// Whoever is not an OS thread says here how it is resumed.
struct Resumer {
  void (*resume)(Resumer* self);
};

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

  // By the party, before it can be found. `resumer` is nullptr for a thread.
  void Prepare(Resumer* resumer) {
    // Relaxed: the install that makes the slot findable releases it.
    result_.store(kPending, std::memory_order_relaxed);
    resumer_ = resumer;
  }

  // By the one waker that won this wait. The slot's memory must outlive the
  // call (it is type-stable); nothing else of the sleeper is touched after the
  // result is visible.
  void Wake(uint32_t result);

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
  void AwaitLeft() const {
    Backoff backoff;
    // P2 acquire: all that the publisher did; pairs with P2 in SetLeft().
    while (left_.load(std::memory_order_acquire) == 0) backoff.Wait(&left_);
  }

 private:
  friend uint32_t SleepThread(ParkSlot&, MonotonicNanos);

  Atomic<uint32_t> result_;
  Atomic<uint32_t> left_;
  Resumer* resumer_ = nullptr;
};
static_assert(sizeof(ParkSlot) == 16);

// Runs on behalf of the sleeper once it has left its stack. `arg` lies in the
// sleeper's frame: read it before the first install, never after it.
using Publish = void (*)(void* arg);

// Publishes the caller and sleeps until Wake(); returns the result, or
// ParkSlot::kPending if `deadline` passed first (the party is still visible
// then: withdraw, or sleep again with no publication).
uint32_t Sleep(ParkSlot& slot, Publish publish, void* arg,
               MonotonicNanos deadline = kNever);

#if GOCHAN_INSTRUMENT
// Takes over Sleep() on the thread where it is set.
using SleepHook = uint32_t (*)(ParkSlot& slot, Publish publish, void* arg,
                               MonotonicNanos deadline);
extern constinit thread_local SleepHook sleep_hook;
#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_PARK_H_

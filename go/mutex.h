// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Mutex: Go's sync.Mutex, a lock that parks goroutines and threads.
//
//   gochan::Mutex mutex;
//   std::lock_guard lock(mutex);   // or mutex.lock() ... mutex.unlock()
//
// A waiting goroutine gives its worker to others, a waiting thread sleeps. The
// lock may be held across anything that blocks. It belongs to nobody: who
// unlocks need not be who locked. Not recursive.
//
// Lifetime: constant-initialised, so a global works before main(). It may be
// destroyed as soon as it is known to be free: unlock() touches it no more once
// another party can have it. Eight bytes.
//
// Fairness: waiters are first in, first out, but a party that is running may
// take a free lock before the waiter that was woken for it, which is faster for
// all. A waiter that has been passed over for a millisecond, or 16,384 times
// since it was woken, is next whoever comes, so none starves.
//
// Memory ordering: each unlock() happens before every later lock(), and before
// a later try_lock() that returns true.
//
// All members may be called by any number of parties at once. Uncontended,
// lock() and unlock() are one atomic read-modify-write each; of a mutex that
// one worker alone uses, not even that (runtime/owned_word.h).
// docs/design/sync.md says how it works.

#ifndef GOCHAN_GO_MUTEX_H_
#define GOCHAN_GO_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "runtime/owned_word.h"
#include "runtime/source_location.h"

namespace gochan {

class Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Mutex::lock()
  //
  // Blocks until the lock is free, and takes it.
  void lock(const SourceLocation& site = SourceLocation::current()) {
    uint32_t state = 0;
    // M1 acquire: what earlier holders did; pairs with M1 in unlock().
    if (!state_.TrySwapFast(state, kLocked, std::memory_order_acquire))
        [[unlikely]] {
      LockSlow(state, site);
    }
  }

  // Mutex::try_lock()
  //
  // Takes the lock if it is free, and says whether it did; never blocks.
  [[nodiscard]] bool try_lock();

  // Mutex::unlock()
  //
  // Frees the lock. If it is not locked, the program ends with "fatal error:
  // sync: unlock of unlocked mutex".
  void unlock() {
    // Relaxed: the exchange makes the edge. Read first, which is nearly free in
    // the holder's cache: an exchange that fails costs as much as one that does
    // not, and while somebody sleeps it would fail each time.
    uint32_t state = state_.Load(std::memory_order_relaxed);
    // M1 release: what the holder did; pairs with M1 in lock() and LockSlow().
    if (state != kLocked ||
        !state_.TrySwapFast(state, 0, std::memory_order_release)) [[unlikely]] {
      UnlockSlow(state);
    }
  }

 private:
  friend class Cond;

  // state_ = { passes:29 woken:1 parked:1 locked:1 }
  //
  //   bit     set by                cleared by            means
  //   locked  who takes the lock;   who unlocks           somebody has it
  //           who hands it over
  //   parked  who will sleep        who unlocks, in the   perhaps somebody
  //                                 lot                   sleeps
  //   woken   who wakes a waiter    that waiter, when it  a waiter is on its
  //                                 has the lock or       way
  //                                 sleeps again
  //   passes  who unlocks while     the same              others that had it
  //           woken is set                                meanwhile
  //
  // A lock that is free, but passed kMaxPasses times, is kept for the waiter on
  // its way. parked without locked or woken does not occur. passes is 0 without
  // woken.
  static constexpr uint32_t kLocked = 1;
  static constexpr uint32_t kParked = 2;
  static constexpr uint32_t kWoken = 4;
  static constexpr uint32_t kPass = 8;
  static constexpr uint32_t kMaxPasses = 1u << 14;

  // Not to be had by somebody who just comes along.
  static constexpr bool Taken(uint32_t state) {
    return (state & kLocked) != 0 || state >= kMaxPasses * kPass;
  }
  static bool StillTaken(void* mutex);

  // By who has locked it, or believes so.
  bool IsLocked() const {
    // Relaxed: his own lock() came before, and nobody else unlocks.
    return (state_.Load(std::memory_order_relaxed) & kLocked) != 0;
  }

  // `state`: as it was found.
  void LockSlow(uint32_t state, const SourceLocation& site);
  void UnlockSlow(uint32_t state);

  runtime::OwnedWord state_;
};

}  // namespace gochan

#endif  // GOCHAN_GO_MUTEX_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/mutex.h"

#include <atomic>
#include <cstdint>

#include "chan/panic.h"
#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/cpu_count.h"
#include "runtime/park.h"
#include "runtime/parking_lot.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {
namespace {

constexpr unsigned kQueue = 0;

// What a waiter is woken with.
constexpr uint32_t kTry = runtime::kFirstToken;  // the lock may be free
constexpr uint32_t kYours = kTry + 1;            // the lock was handed over

// How long a waiter is passed over at most; Go's starvation threshold.
constexpr runtime::MonotonicNanos kPatience = 1'000'000;

// A short wait for a holder that runs on another processor; as Go's.
constexpr int kSpins = 4;
constexpr int kPausesPerSpin = 30;

// On one processor the holder cannot run meanwhile, and a goroutine has better
// things to do than to wait: leaving its stack costs less than one spin.
bool MaySpin() {
  return runtime::HasSeveralCpus() &&
         runtime::CurrentParty().resumer == nullptr;
}

}  // namespace

bool Mutex::try_lock() {
  // Relaxed: the exchange makes the edge.
  uint32_t state = state_.Load(std::memory_order_relaxed);
  while (!Taken(state)) {
    // M1 acquire: pairs with M1 in unlock() and UnlockSlow().
    if (state_.Swap(state, state | kLocked, std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

// Whoever sets `locked` or lets it go with the bit `parked` set does it under
// the lot's lock, so an answer of yes is true until the caller is in its queue.
bool Mutex::StillTaken(void* mutex) {
  // Relaxed: the lot's lock orders it after a change that took sleepers; any
  // other cannot make the caller miss a wake-up, because `parked` is set.
  const uint32_t state =
      static_cast<Mutex*>(mutex)->state_.Load(std::memory_order_relaxed);
  return Taken(state) && (state & kParked) != 0;
}

void Mutex::LockSlow(uint32_t state, const SourceLocation& site) {
  // First what a lock that is nobody's own yet, or passes its sleepers by, does
  // each time: it is free, and stays so in `state` but for this caller. M1
  // acquire: pairs with M1 in unlock() and UnlockSlow().
  if (!Taken(state) &&
      state_.Swap(state, state | kLocked, std::memory_order_acquire)) {
    return;
  }
  runtime::ParkRequest request;
  request.object = this;
  request.queue = kQueue;
  request.check = &StillTaken;
  request.reason = runtime::WaitReason::kMutexLock;
  request.site = &site;

  bool woken = false;  // `woken` is set for this caller
  int spins = 0;
  // Relaxed, here and below: the exchanges make the edges.
  for (;;) {
    if (woken ? (state & kLocked) == 0 : !Taken(state)) {
      const uint32_t taken =
          woken ? (state & kParked) | kLocked : state | kLocked;
      // M1 acquire: pairs with M1 in unlock() and UnlockSlow().
      if (state_.Swap(state, taken, std::memory_order_acquire)) {
        return;
      }
      continue;
    }
    // A waiter on its way may spin beside sleepers: nobody else is woken.
    if ((woken || (state & kParked) == 0) && spins < kSpins && MaySpin()) {
      ++spins;
      for (int i = 0; i < kPausesPerSpin; ++i) runtime::CpuRelax();
      state = state_.Load(std::memory_order_relaxed);
      continue;
    }
    const uint32_t waits = woken ? kLocked | kParked : state | kParked;
    // Relaxed: StillTaken() looks again under the lot's lock.
    if (waits != state &&
        !state_.Swap(state, waits, std::memory_order_relaxed)) {
      continue;
    }
    woken = false;
    if (request.since == 0) request.since = runtime::MonotonicNow();
    const uint32_t token = runtime::Park(request);
    if (token == kYours) return;
    if (token == kTry) {
      woken = true;
      request.first = true;  // from now on
      spins = 0;
    }
    state = state_.Load(std::memory_order_relaxed);
  }
}

void Mutex::UnlockSlow(uint32_t state) {
  for (;;) {
    if ((state & kLocked) == 0) RaiseFatal(panics::kUnlockMutex);
    if ((state & kParked) != 0 && (state & kWoken) == 0) break;
    const uint32_t pass = (state & kWoken) != 0 ? kPass : 0;
    // M1 release: pairs with M1 in lock(), try_lock() and LockSlow().
    if (state_.Swap(state, (state - kLocked) + pass,
                    std::memory_order_release)) {
      return;
    }
  }
  // Locked, parked, nobody on his way: nobody but this caller changes it, so
  // the swap below succeeds.
  runtime::Sleeper* sleeper;
  uint32_t token = kTry;
  {
    runtime::LotGuard lot(this);
    sleeper = lot.TakeFirst(kQueue);
    uint32_t next = 0;
    if (sleeper != nullptr) {
      if (runtime::MonotonicNow() - sleeper->since() > kPatience)
        token = kYours;
      next = (token == kYours ? kLocked : kWoken) |
             (lot.Empty(kQueue) ? 0 : kParked);
    }
    // M1 release, as above. A new owner that the lock is handed to gets the
    // edge from Wake().
    while (!state_.Swap(state, next, std::memory_order_release)) {
    }
  }
  // From here on the mutex may be gone.
  if (sleeper != nullptr) sleeper->Wake(token);
}

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/cond.h"

#include <atomic>
#include <cstdint>

#include "chan/panic.h"
#include "go/mutex.h"
#include "runtime/parking_lot.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {
namespace {

constexpr unsigned kQueue = 0;
constexpr uint32_t kSignalled = runtime::kFirstToken;

}  // namespace

bool Cond::Enter(void* cond) {
  // Relaxed: who changes the condition afterwards has locked L after the waiter
  // unlocked it, and sees this by that edge.
  static_cast<Cond*>(cond)->waited_.store(1, std::memory_order_relaxed);
  return true;
}

void Cond::Wait(const SourceLocation& site) {
  Mutex& mutex = L;
  // Here, for a report names who calls: unlock() below runs when the caller has
  // left, on the stack of somebody who has nothing to do with it.
  if (!mutex.IsLocked()) RaiseFatal(panics::kUnlockMutex);
  runtime::ParkRequest request;
  request.object = this;
  request.queue = kQueue;
  request.check = &Enter;
  // First into the queue, then unlock: whoever has L next finds the waiter.
  // Until then the waiter cannot come back from lock() below, so the mutex is
  // there.
  request.parked = [](void* mutex) { static_cast<Mutex*>(mutex)->unlock(); };
  request.arg = &mutex;
  request.reason = runtime::WaitReason::kCondWait;
  request.site = &site;
  (void)runtime::Park(request);
  mutex.lock(site);
}

void Cond::Signal() {
  // Relaxed: see Enter().
  if (waited_.load(std::memory_order_relaxed) == 0) return;
  runtime::Sleeper* sleeper;
  {
    runtime::LotGuard lot(this);
    sleeper = lot.TakeFirst(kQueue);
    if (lot.Empty(kQueue)) waited_.store(0, std::memory_order_relaxed);
  }
  if (sleeper != nullptr) sleeper->Wake(kSignalled);
}

void Cond::Broadcast() {
  // Relaxed: see Enter().
  if (waited_.load(std::memory_order_relaxed) == 0) return;
  runtime::SleeperList sleepers;
  {
    runtime::LotGuard lot(this);
    sleepers = lot.TakeAll(kQueue);
    waited_.store(0, std::memory_order_relaxed);
  }
  sleepers.WakeAll(kSignalled);
}

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/once.h"

#include <atomic>
#include <cstdint>

#include "chan/panic.h"
#include "runtime/parking_lot.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {
namespace {

constexpr unsigned kQueue = 0;
constexpr uint32_t kOver = runtime::kFirstToken;

}  // namespace

// Relaxed: the lot's lock orders it after the change to kDone.
bool Once::StillRunning(void* once) {
  return static_cast<Once*>(once)->state_.load(std::memory_order_relaxed) ==
         kAwaited;
}

bool Once::Begin(const SourceLocation& site) {
  // O1 acquire, here and below: what fn did; pairs with O1 in End().
  uint32_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    switch (state) {
      case kDone:
        return false;
      case kNew:
        if (state_.compare_exchange(state, kRunning,
                                    std::memory_order_acquire)) {
          return true;
        }
        continue;
      case kRunning:
        if (!state_.compare_exchange(state, kAwaited,
                                     std::memory_order_acquire)) {
          continue;
        }
        break;
      default:
        break;
    }
    runtime::ParkRequest request;
    request.object = this;
    request.queue = kQueue;
    request.check = &StillRunning;
    // Go's Once waits in its mutex.
    request.reason = runtime::WaitReason::kMutexLock;
    request.site = &site;
    // Woken, it is over; Wake() has made the edge, and the Once may be gone if
    // other callers came back first.
    if (runtime::Park(request) == kOver) return false;
    state = state_.load(std::memory_order_acquire);
  }
}

void Once::End() {
  uint32_t state = kRunning;
  // O1 release: what fn did; pairs with O1 in Do() and Begin().
  if (state_.compare_exchange(state, kDone, std::memory_order_release)) return;
  runtime::SleeperList sleepers;
  {
    runtime::LotGuard lot(this);
    sleepers = lot.TakeAll(kQueue);
    // O1 release, as above.
    state_.store(kDone, std::memory_order_release);
  }
  sleepers.WakeAll(kOver);
}

namespace internal {

void RaiseNoOnceResult() { RaisePanic(panics::kNilPanic); }

}  // namespace internal
}  // namespace gochan

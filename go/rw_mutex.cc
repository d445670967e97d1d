// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/rw_mutex.h"

#include <atomic>
#include <cstdint>

#include "chan/panic.h"
#include "runtime/contention.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {
namespace {

constexpr unsigned kWriters = 0;
constexpr unsigned kReaders = 1;

// The only token: whoever is woken holds the lock.
constexpr uint32_t kYours = runtime::kFirstToken;

// Before it parks, a goroutine lets others run so often, if its turn comes
// again soon.
constexpr int kYields = 2;
constexpr int64_t kSoon = 50'000;  // nanoseconds

// Who is granted the lock while it is parked holds it without running, so that
// everybody who comes meanwhile parks as well, and so on: a convoy, in which
// each operation costs a switch. Here those who hold it get their turn first,
// and leave.
bool LetHoldersRun(int* yields) {
  if (*yields == kYields) return false;
  ++*yields;
  return runtime::YieldBriefly(kSoon);
}

}  // namespace

// The bits that let somebody sleep are cleared, and sleepers taken, under the
// lot's lock; so if both this finds the bit and whom to wait for, then that
// party will look into the queue when it leaves. Relaxed: the same lock orders
// these loads.
bool RWMutex::WriterMustWait(void* mutex) {
  const uint32_t state =
      static_cast<RWMutex*>(mutex)->state_.Load(std::memory_order_relaxed);
  return (state & kWriterWaits) != 0 &&
         ((state & kWriter) != 0 || state >= kReader);
}

bool RWMutex::ReaderMustWait(void* mutex) {
  const uint32_t state =
      static_cast<RWMutex*>(mutex)->state_.Load(std::memory_order_relaxed);
  return (state & kReaderWaits) != 0 && (state & (kWriter | kWriterWaits)) != 0;
}

bool RWMutex::try_lock() {
  uint32_t state = 0;
  // W1 acquire: pairs with W1 wherever somebody leaves.
  return state_.Swap(state, kWriter, std::memory_order_acquire);
}

void RWMutex::LockSlow(const SourceLocation& site) {
  runtime::ParkRequest request;
  request.object = this;
  request.queue = kWriters;
  request.check = &WriterMustWait;
  request.reason = runtime::WaitReason::kRWMutexLock;
  request.site = &site;
  int yields = 0;
  for (;;) {
    uint32_t state = 0;
    // W1 acquire: pairs with W1 wherever somebody leaves.
    if (state_.Swap(state, kWriter, std::memory_order_acquire)) {
      return;
    }
    if (LetHoldersRun(&yields)) continue;
    // Relaxed: WriterMustWait() looks again under the lot's lock.
    if ((state & kWriterWaits) == 0 &&
        !state_.Swap(state, state | kWriterWaits, std::memory_order_relaxed)) {
      continue;
    }
    if (runtime::Park(request) == kYours) return;
  }
}

void RWMutex::UnlockSlow() {
  // Relaxed: only the writer itself clears the bit.
  if ((state_.Load(std::memory_order_relaxed) & kWriter) == 0) {
    RaiseFatal(panics::kUnlockRWMutex);
  }
  Grant(/*writer_first=*/false);
}

bool RWMutex::TryLockSharedSlow(uint32_t state) {
  while ((state & (kWriter | kWriterWaits)) == 0) {
    // W1 acquire: as in try_lock_shared().
    if (state_.Swap(state, state + kReader, std::memory_order_acquire)) {
      return true;
    }
    runtime::ContentionPause();
  }
  return false;
}

void RWMutex::LockSharedSlow(const SourceLocation& site) {
  runtime::ParkRequest request;
  request.object = this;
  request.queue = kReaders;
  request.check = &ReaderMustWait;
  request.reason = runtime::WaitReason::kRWMutexRLock;
  request.site = &site;
  int yields = 0;
  while (!try_lock_shared()) {
    if (LetHoldersRun(&yields)) continue;
    // Relaxed: ReaderMustWait() looks again under the lot's lock.
    uint32_t state = state_.Load(std::memory_order_relaxed);
    if ((state & (kWriter | kWriterWaits)) == 0) continue;
    if ((state & kReaderWaits) == 0 &&
        !state_.Swap(state, state | kReaderWaits, std::memory_order_relaxed)) {
      continue;
    }
    if (runtime::Park(request) == kYours) return;
  }
}

void RWMutex::UnlockSharedSlow(uint32_t state) {
  for (;;) {
    if (state < kReader) RaiseFatal(panics::kRUnlockRWMutex);
    if (state < 2 * kReader && (state & kWriterWaits) != 0) break;
    // W1 release: that this reader is done; pairs with W1 in lock() and
    // Grant().
    if (state_.Swap(state, state - kReader, std::memory_order_release)) {
      return;
    }
    runtime::ContentionPause();
  }
  // The last reader, and no other can come: a writer waits.
  Grant(/*writer_first=*/true);
}

// By the writer, or the last reader with a writer waiting: gives the lock to
// whoever waits for it. Others may set the bits for waiters meanwhile, nothing
// else.
void RWMutex::Grant(bool writer_first) {
  runtime::Sleeper* writer = nullptr;
  runtime::SleeperList readers;
  {
    runtime::LotGuard lot(this);
    if (writer_first) writer = lot.TakeFirst(kWriters);
    if (writer == nullptr) readers = lot.TakeAll(kReaders);
    if (writer == nullptr && readers.empty()) writer = lot.TakeFirst(kWriters);
    // The bits say exactly who is still in the queues. Who has set one and is
    // not there yet finds it cleared, or finds that nobody holds the lock, and
    // starts over.
    uint32_t next = 0;
    if (writer != nullptr) {
      next = kWriter | (lot.Empty(kReaders) ? 0 : kReaderWaits);
    } else {
      next = static_cast<uint32_t>(readers.size()) * kReader;
    }
    if (next != 0 && !lot.Empty(kWriters)) next |= kWriterWaits;
    // W1 acquire: what the other readers did, for a writer that gets the lock
    // from here; pairs with W1 in unlock_shared(). W1 release: what this holder
    // did; pairs with W1 in lock() and try_lock_shared().
    uint32_t state = state_.Load(std::memory_order_relaxed);
    while (!state_.Swap(state, next, std::memory_order_acq_rel)) {
    }
  }
  // From here on the mutex may be gone.
  if (writer != nullptr) writer->Wake(kYours);
  readers.WakeAll(kYours);
}

}  // namespace gochan

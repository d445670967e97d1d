// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// RWMutex: Go's sync.RWMutex, held by any number of readers or by one writer.
//
//   gochan::RWMutex mutex;
//   std::shared_lock reader(mutex);   // lock_shared() ... unlock_shared()
//   std::unique_lock writer(mutex);   // lock() ... unlock()
//
// Parks goroutines and threads as Mutex does (go/mutex.h), and may be held
// across anything that blocks. It belongs to nobody. Once a writer waits, new
// readers wait as well, so a reader must not lock it again: that would deadlock
// with a writer in between. A reader cannot become a writer, nor the other way
// round.
//
// Lifetime: constant-initialised; may be destroyed as soon as it is known to be
// free. Eight bytes.
//
// Fairness: when a writer leaves, all readers that wait come in; when the last
// reader leaves, the writer that has waited longest. So neither side starves.
//
// Memory ordering: each unlock() happens before every later lock() and
// lock_shared(), and each unlock_shared() before every later lock().
//
// All members may be called by any number of parties at once. Uncontended, each
// is one atomic read-modify-write; of a lock that one worker alone uses, not
// even that (runtime/owned_word.h). At most 2^29 - 1 readers at a time.

#ifndef GOCHAN_GO_RW_MUTEX_H_
#define GOCHAN_GO_RW_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "runtime/owned_word.h"
#include "runtime/source_location.h"

namespace gochan {

class RWMutex {
 public:
  constexpr RWMutex() = default;
  RWMutex(const RWMutex&) = delete;
  RWMutex& operator=(const RWMutex&) = delete;

  // ---------------------------------------------------------------------------
  // Writers
  // ---------------------------------------------------------------------------

  // RWMutex::lock()
  //
  // Blocks until nobody holds it, and takes it for writing.
  void lock(const SourceLocation& site = SourceLocation::current()) {
    uint32_t state = 0;
    // W1 acquire: what earlier holders did; pairs with W1 wherever one leaves.
    if (!state_.TrySwapFast(state, kWriter, std::memory_order_acquire))
        [[unlikely]] {
      LockSlow(site);
    }
  }

  // RWMutex::try_lock()
  //
  // Takes it for writing if nobody holds it; never blocks.
  [[nodiscard]] bool try_lock();

  // RWMutex::unlock()
  //
  // Frees it. If it is not locked for writing, the program ends with "fatal
  // error: sync: Unlock of unlocked RWMutex".
  void unlock() {
    uint32_t state = kWriter;
    // W1 release: what the writer did; pairs with W1 in lock() and
    // try_lock_shared().
    if (!state_.TrySwapFast(state, 0, std::memory_order_release)) [[unlikely]] {
      UnlockSlow();
    }
  }

  // ---------------------------------------------------------------------------
  // Readers
  // ---------------------------------------------------------------------------

  // RWMutex::lock_shared()
  //
  // Go's RLock. Blocks while a writer holds it or waits for it, then takes it
  // for reading.
  void lock_shared(const SourceLocation& site = SourceLocation::current()) {
    if (!try_lock_shared()) [[unlikely]]
      LockSharedSlow(site);
  }

  // RWMutex::try_lock_shared()
  //
  // Go's TryRLock. Takes it for reading unless a writer holds it or waits for
  // it; never blocks.
  [[nodiscard]] bool try_lock_shared() {
    uint32_t state = 0;  // a guess
    // W1 acquire: what earlier writers did; pairs with W1 in unlock() and
    // Grant().
    return state_.TrySwapFast(state, kReader, std::memory_order_acquire) ||
           TryLockSharedSlow(state);
  }

  // RWMutex::unlock_shared()
  //
  // Go's RUnlock: undoes one lock_shared(). If there is none, the program ends
  // with "fatal error: sync: RUnlock of unlocked RWMutex".
  void unlock_shared() {
    uint32_t state = kReader;  // a guess: the only one
    // W1 release: that this reader is done; pairs with W1 in lock() and
    // Grant().
    if (!state_.TrySwapFast(state, 0, std::memory_order_release)) {
      UnlockSharedSlow(state);
    }
  }

 private:
  // state_ = { readers:29 reader_waits:1 writer_waits:1 writer:1 }
  //
  //   field         set by                   cleared by          means
  //   writer        who takes it, or hands   the writer          held to write
  //                 it over
  //   writer_waits  who is about to sleep    who leaves last     one may sleep
  //   reader_waits  who is about to sleep    who leaves last     some may sleep
  //   readers       +1 by a reader that      -1 by that reader   its holders
  //                 comes, or who lets it in
  //
  // Free is 0: who sets a bit for a waiter does so in a word that shows whom it
  // waits for, and who leaves last clears both, or leaves them to whom it hands
  // over. writer excludes readers.
  static constexpr uint32_t kWriter = 1;
  static constexpr uint32_t kWriterWaits = 2;
  static constexpr uint32_t kReaderWaits = 4;
  static constexpr uint32_t kReader = 8;

  static bool ReaderMustWait(void* mutex);
  static bool WriterMustWait(void* mutex);

  void LockSlow(const SourceLocation& site);
  void UnlockSlow();
  // `state`: as it was a moment ago.
  bool TryLockSharedSlow(uint32_t state);
  void LockSharedSlow(const SourceLocation& site);
  void UnlockSharedSlow(uint32_t state);
  void Grant(bool writer_first);

  runtime::OwnedWord state_;
};

}  // namespace gochan

#endif  // GOCHAN_GO_RW_MUTEX_H_

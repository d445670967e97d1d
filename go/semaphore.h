// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Semaphore: golang.org/x/sync/semaphore, which bounds the use of something by
// weights.
//
//   gochan::Semaphore memory(64 << 20);
//   absl::Status status = memory.Acquire(ctx, job.bytes);
//   if (!status.ok()) return status;
//   Run(job);
//   memory.Release(job.bytes);
//
// Waiters are served first in, first out: one that wants much is not overtaken
// by others that want little, so it does not starve.
//
// Memory ordering: a Release() happens before the return of every Acquire() and
// TryAcquire() that needed it.
//
// All members may be called by any number of parties at once; they cost a short
// critical section. It may be destroyed when no call is running.

#ifndef GOCHAN_GO_SEMAPHORE_H_
#define GOCHAN_GO_SEMAPHORE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/mutex.h"
#include "runtime/source_location.h"

namespace gochan {

class Semaphore {
 public:
  // With a weight of n to give. Panics with "semaphore: size < 0".
  explicit Semaphore(int64_t n);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Semaphore::Acquire()
  //
  // Takes a weight of n; blocks until so much is free and nobody waits who came
  // before, or until `ctx` is done. Then it returns ctx.Err(), also if the
  // weight was free at the same time, and has taken nothing. Waits for `ctx`
  // alone if n is more than there will ever be. Panics with "semaphore: n < 0",
  // and if `ctx` is nil; nothing has changed then.
  [[nodiscard]] absl::Status Acquire(
      Context ctx, int64_t n = 1,
      const SourceLocation& site = SourceLocation::current());

  // Semaphore::TryAcquire()
  //
  // Takes a weight of n if so much is free and nobody waits, and says whether
  // it did; does not wait for a Release(). Panics with "semaphore: n < 0".
  [[nodiscard]] bool TryAcquire(int64_t n = 1);

  // Semaphore::Release()
  //
  // Gives a weight of n back. Panics with "semaphore: n < 0", and with
  // "semaphore: released more than held" if it never was taken.
  void Release(int64_t n = 1);

  // How many wait that may run again. O(n).
  int WaitersForTest();

 private:
  struct Waiter;

  void Append(Waiter& waiter);
  void Remove(Waiter& waiter);
  bool SomebodyWaits();
  void Withdraw(Waiter& waiter);
  // Serves waiters from the front as far as the free weight reaches.
  void Serve();

  const int64_t size_;
  Mutex mutex_;  // held for a few instructions
  // Guarded by mutex_:
  int64_t held_ = 0;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace gochan

#endif  // GOCHAN_GO_SEMAPHORE_H_

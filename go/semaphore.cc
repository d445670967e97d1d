// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/semaphore.h"

#include <cstdint>
#include <mutex>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "runtime/source_location.h"
#include "select/select.h"

namespace gochan {

// In the frame of who waits. Guarded by mutex_.
struct Semaphore::Waiter {
  int64_t n;
  // Closed when the weight has been taken for it and it is in the queue no
  // more.
  Chan<Unit> ready = MakeChan<Unit>();
  bool served = false;
  Waiter* previous = nullptr;
  Waiter* next = nullptr;
};

Semaphore::Semaphore(int64_t n) : size_(n) {
  if (n < 0) RaisePanic(panics::kSemaphoreSize);
}

void Semaphore::Append(Waiter& waiter) {
  waiter.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &waiter;
  last_ = &waiter;
}

void Semaphore::Remove(Waiter& waiter) {
  (waiter.previous == nullptr ? first_ : waiter.previous->next) = waiter.next;
  (waiter.next == nullptr ? last_ : waiter.next->previous) = waiter.previous;
}

void Semaphore::Serve() {
  // Not those who want less than the first one: it would starve.
  while (first_ != nullptr && size_ - held_ >= first_->n) {
    Waiter& waiter = *first_;
    held_ += waiter.n;
    Remove(waiter);
    waiter.served = true;
    // A copy: the waiter's frame may be gone while Close() returns.
    const Chan<Unit> ready = waiter.ready;
    ready.Close();
  }
}

absl::Status Semaphore::Acquire(Context ctx, int64_t n,
                                const SourceLocation& site) {
  if (n < 0) RaisePanic(panics::kSemaphoreWeight);
  mutex_.lock(site);
  // A context that is done loses to nothing, not even to free weight.
  if (absl::Status done = ctx.Err(); !done.ok()) {
    mutex_.unlock();
    return done;
  }
  if (size_ - held_ >= n && first_ == nullptr) {
    held_ += n;
    mutex_.unlock();
    return absl::OkStatus();
  }
  if (n > size_) {
    // Not in the queue, where nobody could pass it.
    mutex_.unlock();
    Select(DoneCase(ctx, site));
    return ctx.Err();
  }
  Waiter waiter{.n = n};
  Append(waiter);
  mutex_.unlock();

  if (Select(DoneCase(ctx, site), RecvCase(waiter.ready, site)) == 1) {
    absl::Status done = ctx.Err();
    if (!done.ok()) Release(n);
    return done;
  }
  const std::lock_guard<Mutex> lock(mutex_);
  if (waiter.served) {
    // Meanwhile. As if it had not been: the weight goes back.
    held_ -= n;
    Serve();
  } else {
    const bool was_first = first_ == &waiter;
    Remove(waiter);
    // It may have been in the way of others.
    if (was_first && size_ > held_) Serve();
  }
  return ctx.Err();
}

bool Semaphore::TryAcquire(int64_t n) {
  if (n < 0) RaisePanic(panics::kSemaphoreWeight);
  const std::lock_guard<Mutex> lock(mutex_);
  const bool free = size_ - held_ >= n && first_ == nullptr;
  if (free) held_ += n;
  return free;
}

void Semaphore::Release(int64_t n) {
  if (n < 0) RaisePanic(panics::kSemaphoreWeight);
  mutex_.lock();
  if (held_ < n) {
    held_ -= n;  // as Go leaves it
    mutex_.unlock();
    RaisePanic(panics::kSemaphoreReleased);
  }
  held_ -= n;
  Serve();
  mutex_.unlock();
}

int Semaphore::WaitersForTest() {
  const std::lock_guard<Mutex> lock(mutex_);
  int n = 0;
  for (const Waiter* w = first_; w != nullptr; w = w->next) ++n;
  return n;
}

}  // namespace gochan

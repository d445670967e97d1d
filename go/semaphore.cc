// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/semaphore.h"

#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "runtime/goroutine.h"
#include "runtime/source_location.h"
#include "select/select.h"

namespace gochan {

namespace {

// Of a context's Done channel, on which nobody sends.
bool IsClosed(const RecvChan<Unit>& done) { return done.TryRecv().has_value(); }

}  // namespace

// In the frame of who waits. Guarded by mutex_.
//   state    set by                             next     who may act
//   kWaits   Append()                           kServed  who gives weight back
//                                               kLeft    itself; who finds that
//                                                        it never runs again
//   kServed  Serve(): the weight is taken       (final)  the waiter
//   kLeft    Remove()                           (final)  nobody
struct Semaphore::Waiter {
  enum State : uint8_t { kWaits, kServed, kLeft };

  int64_t n;
  // Closed when it has been served.
  Chan<Unit> ready = MakeChan<Unit>();
  State state = kWaits;
  // Will it run again? nullptr: it is a thread, or in Blocking() since before
  // RunMain() has abandoned it.
  const runtime::Goroutine* goroutine = Living();
  Waiter* previous = nullptr;
  Waiter* next = nullptr;

  static const runtime::Goroutine* Living() {
    const runtime::Goroutine* const g = runtime::CurrentGoroutine();
    return g != nullptr && !g->IsAbandoned() ? g : nullptr;
  }
  // The goroutine's memory is not used again if it is; nor is this frame.
  bool IsAbandoned() const {
    return goroutine != nullptr && goroutine->IsAbandoned();
  }
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
  waiter.state = Waiter::kLeft;
}

// RunMain() knows nothing of this queue, so those whom it has abandoned are
// withdrawn here, when they come to be the first.
bool Semaphore::SomebodyWaits() {
  while (first_ != nullptr && first_->IsAbandoned()) Remove(*first_);
  return first_ != nullptr;
}

void Semaphore::Serve() {
  // Not those who want less than the first one: it would starve.
  while (SomebodyWaits() && size_ - held_ >= first_->n) {
    Waiter& waiter = *first_;
    held_ += waiter.n;
    Remove(waiter);
    waiter.state = Waiter::kServed;
    // A copy: the waiter's frame may be gone while Close() returns.
    const Chan<Unit> ready = waiter.ready;
    ready.Close();
  }
}

absl::Status Semaphore::Acquire(Context ctx, int64_t n,
                                const SourceLocation& site) {
  if (n < 0) RaisePanic(panics::kSemaphoreWeight);
  // Before the lock, and Err() after it: both may panic, or be the user's code.
  const RecvChan<Unit> done = ctx.Done();
  std::optional<Waiter> waiter;
  mutex_.lock(site);
  {
    const std::lock_guard<Mutex> lock(mutex_, std::adopt_lock);
    if (IsClosed(done)) {
      // A context that is done loses to nothing, not even to free weight.
    } else if (size_ - held_ >= n && !SomebodyWaits()) {
      held_ += n;
      return absl::OkStatus();
    } else if (n <= size_) {  // else nobody could pass it in the queue
      Append(waiter.emplace(Waiter{.n = n}));
    }
  }
  if (!waiter.has_value()) {
    Select(RecvCase(done, site));
    return ctx.Err();
  }
  struct GiveUp {
    Semaphore* semaphore;
    Waiter* waiter;
    ~GiveUp() {
      if (waiter != nullptr) semaphore->Withdraw(*waiter);
    }
  } give_up{this, &*waiter};
  if (Select(RecvCase(done, site), RecvCase(waiter->ready, site)) == 1 &&
      !IsClosed(done)) {
    give_up.waiter = nullptr;
    return absl::OkStatus();
  }
  return ctx.Err();
}

// Its party waits no more, and has taken nothing.
void Semaphore::Withdraw(Waiter& waiter) {
  const std::lock_guard<Mutex> lock(mutex_);
  if (waiter.state == Waiter::kServed) {
    // Meanwhile. As if it had not been: the weight goes back.
    held_ -= waiter.n;
    Serve();
  } else if (waiter.state == Waiter::kWaits) {
    const bool was_first = first_ == &waiter;
    Remove(waiter);
    // It may have been in the way of others.
    if (was_first && size_ > held_) Serve();
  }
}

bool Semaphore::TryAcquire(int64_t n) {
  if (n < 0) RaisePanic(panics::kSemaphoreWeight);
  const std::lock_guard<Mutex> lock(mutex_);
  const bool free = size_ - held_ >= n && !SomebodyWaits();
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
  for (const Waiter* w = first_; w != nullptr; w = w->next) {
    n += !w->IsAbandoned();
  }
  return n;
}

}  // namespace gochan

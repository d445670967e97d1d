// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/err_group.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "go/wait_group.h"
#include "runtime/atomic.h"
#include "runtime/source_location.h"
#include "runtime/static_storage.h"

namespace gochan {

struct ErrGroup::State {
  WaitGroup tasks;  // the first member: has the address that reports look for
  // Itself, if the group has to live for ever; written by the last handle.
  std::shared_ptr<State> for_ever;
  // One element for each that runs; nil: no limit. SetLimit() alone writes it.
  Chan<Unit> limit;
  CancelCauseFunc cancel;  // default-made: no context

  // failed:
  //   state     set by                    next      who may act
  //   kNone     constructor               kFailing  a task with an error
  //   kFailing  the first task with one   kFailed   that task: write `error`
  //   kFailed   that task                 (final)   anybody: read `error`
  static constexpr uint32_t kNone = 0;
  static constexpr uint32_t kFailing = 1;
  static constexpr uint32_t kFailed = 2;
  runtime::Atomic<uint32_t> failed;
  absl::Status error;
};

ErrGroup::ErrGroup() : state_(std::make_shared<State>()) {}

ErrGroup& ErrGroup::operator=(const ErrGroup& other) {
  ErrGroup copy(other);
  std::swap(state_, copy.state_);
  return *this;
}

ErrGroup::~ErrGroup() {
  // Who races another one to be the last leaves the check to the WaitGroup's
  // destructor.
  if (state_.use_count() != 1 || !state_->tasks.InUse()) return;
  if (runtime::IsStatic(this)) {
    state_->for_ever = state_;
    return;
  }
  state_->tasks.EndInUse(panics::kErrGroupInUse);
}

std::pair<ErrGroup, Context> ErrGroup::WithContext(Context parent) {
  auto [ctx, cancel] = WithCancelCause(parent);
  auto state = std::make_shared<State>();
  state->cancel = std::move(cancel);
  return {ErrGroup(std::move(state)), std::move(ctx)};
}

ErrGroup::Place ErrGroup::Acquire(bool wait, const SourceLocation& site) const {
  Chan<Unit> limit = state_->limit;
  if (limit) {
    if (wait) {
      limit.Send(Unit{}, site);
    } else if (!limit.TrySend(Unit{})) {
      return Place();
    }
  }
  state_->tasks.Add(1);
  return Place(state_.get(), std::move(limit));
}

void ErrGroup::Place::Finish(absl::Status status) const {
  if (status.ok()) return;
  uint32_t failed = State::kNone;
  // Relaxed: only one may win; nothing is read.
  if (!state_->failed.compare_exchange(failed, State::kFailing,
                                       std::memory_order_relaxed)) {
    return;
  }
  state_->error = std::move(status);
  // E1 release: `error` is written; pairs with E1 in Wait().
  state_->failed.store(State::kFailed, std::memory_order_release);
  if (state_->cancel) state_->cancel(state_->error);
}

ErrGroup::Place::~Place() {
  if (state_ == nullptr) return;
  if (limit_) (void)limit_.Recv();  // one is there: does not block
  state_->tasks.Done();
}

void ErrGroup::SetLimit(int n) const {
  if (n < 0) {
    state_->limit = nullptr;
    return;
  }
  const std::size_t active = state_->limit.Len();
  if (active != 0) {
    RaisePanic("errgroup: modify limit while " + std::to_string(active) +
               " goroutines in the group are still active");
  }
  state_->limit = MakeChan<Unit>(n);
}

absl::Status ErrGroup::Wait(const SourceLocation& site) const {
  state_->tasks.Wait(site);
  absl::Status error;
  // E1 acquire: `error`; pairs with E1 in Finish().
  if (state_->failed.load(std::memory_order_acquire) == State::kFailed) {
    error = state_->error;
  }
  if (state_->cancel) state_->cancel(error);
  return error;
}

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/callback.h"

#include "chan/internal/broadcast.h"

namespace gochan::internal {

Callback::Callback(Core& core, Function function, void* arg)
    : runtime::Resumer{&Callback::Resume},
      core_(core),
      function_(function),
      arg_(arg),
      record_(AllocateRecord()) {
  core_.Ref();
}

Callback* Callback::Start(Core& core, Function function, void* arg) {
  auto* callback = new Callback(core, function, arg);
  callback->Wait();
  return callback;
}

// Waits, or ends because there is no need to.
void Callback::Wait() {
  for (;;) {
    const uint32_t gen = NextGeneration(record_);
    enrolment_ = Enrolment{};
    enrolment_.id = WaiterId::Make(NodeArena::IndexOf(&record_), gen,
                                   /*select=*/true, Dir::kRecv, /*bi=*/false);
    record_.slot[static_cast<int>(Dir::kRecv)] = &room_;
    // Relaxed: released by the install of the node.
    record_.k[static_cast<int>(Dir::kRecv)].store(0, std::memory_order_relaxed);
    record_.park.Prepare(this);
    // Relaxed: ordered before the claim opens, which is how others get here.
    joined_.store(0, std::memory_order_relaxed);
    OpenClaim(record_, gen);
    // K1 seq_cst: after the claim has been opened, and before stopped_ is read;
    // pairs with K1 in Stop(), which does the opposite: one of them ends this.
    gen_.store(gen, std::memory_order_seq_cst);
    const bool stopped = stopped_.load(std::memory_order_seq_cst) != 0;
    if (!stopped && Enrol()) {
      Join();
      return;
    }
    if (!TryClaimSelf(record_, gen)) {
      Join();  // somebody has decided already
      return;
    }
    if (stopped) {
      End(false);
      return;
    }
    if (TakeReady()) {
      End(true);
      return;
    }
  }
}

bool Callback::Enrol() {
  if (core_.kind() == Core::Kind::kBroadcast) {
    return static_cast<Broadcast&>(core_).Subscribe(record_, record_.gen, 0) ==
           Subscribed::kWaiting;
  }
  return core_.Enrol(enrolment_);
}

// Is the channel still ready? Takes the value if there is one.
bool Callback::TakeReady() {
  return core_.TryRecv(&room_) != Outcome::kWouldBlock;
}

void Callback::Resume(runtime::Resumer* self) {
  static_cast<Callback*>(self)->Join();
}

// By the publisher when it has left, and by whoever has decided the wait: the
// waker's stack, or Stop().
void Callback::Join() {
  // K2 acq_rel: what the first to join did is visible to the second.
  if (joined_.fetch_add(1, std::memory_order_acq_rel) == 0) return;
  // W1 acquire: the claim that decided; pairs with TryClaim().
  const Claim claim(record_.claim.load(std::memory_order_acquire));
  const bool self = claim.state() == Claim::kSelf;
  const bool retry = !self && record_.park.Result() ==
                                  static_cast<uint32_t>(WakeResult::kRetry);
  if (enrolment_.enrolled()) core_.Withdraw(enrolment_, !self && !retry);
  if (retry) {
    Wait();
  } else {
    End(!self);
  }
}

void Callback::Stop() {
  stopped_.store(1, std::memory_order_seq_cst);               // K1
  const uint32_t gen = gen_.load(std::memory_order_seq_cst);  // K1
  if (TryClaimSelf(record_, gen)) Join();
  Unref();
}

void Callback::End(bool ready) {
  FreeRecord(record_);
  function_(arg_, ready);
  core_.Unref();
  Unref();
}

void Callback::Unref() {
  // acq_rel: the last one sees all that the other did.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace gochan::internal

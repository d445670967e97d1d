// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "ctx/internal/foreign.h"

#include <utility>

#include "runtime/spawn.h"

namespace gochan::internal {

namespace {

// A reference to a link that goes with a function.
class LinkRef {
 public:
  explicit LinkRef(ForeignLink& link) : link_(&link) { link.Ref(); }
  LinkRef(LinkRef&& other) noexcept
      : link_(std::exchange(other.link_, nullptr)) {}
  LinkRef& operator=(LinkRef&&) = delete;
  ~LinkRef() {
    if (link_ != nullptr) link_->Unref();
  }

 private:
  ForeignLink* link_;
};

}  // namespace

CancelNode* ForeignNode::wrapped() const {
  if (done_ == nullptr || done_->kind() != Core::Kind::kBroadcast) {
    return nullptr;
  }
  auto* broadcast = static_cast<Broadcast*>(done_);
  if (!broadcast->IsContext()) return nullptr;
  CancelNode& node = static_cast<DoneChannel*>(broadcast)->node();
  // Else its Err() and Cause() are its own.
  return Innermost() == &node ? &node : nullptr;
}

const CancelNode* ForeignNode::Innermost() const {
  return static_cast<const CancelNode*>(ForeignValue(&kCancelNodeKey));
}

const Reason& ForeignNode::MakeReason() const {
  absl::Status err = ForeignErr();
  absl::Status cause = CauseOf(err);
  // Done although Err() is OK: a mistake of the foreign context; children end.
  if (err.ok()) cause = err = Reason::Canceled().err();
  return Reason::Make(std::move(err), std::move(cause));
}

absl::Status ForeignNode::CauseOf(const absl::Status& err) const {
  if (err.ok()) return err;
  const CancelNode* const inner = Innermost();
  const Reason* const reason = inner == nullptr ? nullptr : inner->reason();
  return reason == nullptr ? err : reason->cause();
}

void ForeignLink::Attach(Child* child, ForeignNode& foreign) {
  auto* link = new ForeignLink(foreign);
  child->link = link;
  child->linked = true;
  Pair64 empty;
  // Nobody else knows the slot yet; a swap, because the others are.
  (void)link->slot_.CompareExchange(empty, {SlotEntry(child).bits(), 0});
  link->Register();
}

void ForeignLink::Register() {
  stop_ = foreign_.ForeignAfterFunc(
      [this, ref = LinkRef(*this)]() mutable { Called(); });
  if (!stop_) {
    Ref();  // the callback's
    watch_ = Callback::Start(*foreign_.done(), &OnDone, this);
  }
  uint8_t found = kRegistering;
  // F1 release: stop_ and watch_; pairs with F1 in Unregister().
  if (!state_.compare_exchange(found, kRegistered, std::memory_order_acq_rel)) {
    TakeBack();  // the child has ended meanwhile
    return;
  }
  // It may have ended before it took the registration, and never call it. Or be
  // about to: its Err() is set, those who were registered are known, and its
  // Done is still open.
  if (watch_ == nullptr &&
      (foreign_.done()->IsClosed() || !foreign_.ForeignErr().ok())) {
    Fire();
  }
}

void ForeignLink::Unregister() {
  // F1 acquire: pairs with F1 in Register().
  if (state_.exchange(kOver, std::memory_order_acq_rel) == kRegistered) {
    TakeBack();
  }
}

// By the one whom the table of state_ names.
void ForeignLink::TakeBack() {
  if (watch_ != nullptr) {
    watch_->Stop();
    return;
  }
  // The registration refers to this link; let it not refer to that in turn.
  auto stop = std::move(stop_);
  stop_ = nullptr;
  if (!stop) return;
  if (!Burial::Beside()) {
    stop();
    return;
  }
  // The user's function may block. The child has the foreign context no longer
  // than this call.
  foreign_.Ref();
  runtime::Spawn([&foreign = foreign_, stop = std::move(stop)]() mutable {
    stop();
    stop = nullptr;
    foreign.Unref();
  });
}

// By the foreign AfterFunc. It is not told to take back what it is just
// running, which might want a lock that it holds (Go does not tell it either).
void ForeignLink::Called() {
  if (state_.exchange(kOver, std::memory_order_acq_rel) == kRegistered) {  // F1
    stop_ = nullptr;
  }
  Fire();
}

void ForeignLink::OnDone(void* self, bool ready) {
  auto* link = static_cast<ForeignLink*>(self);
  // Relaxed: a hint. A slot that was emptied stays empty.
  if (!ready || link->slot_.LoadLo(std::memory_order_relaxed) == 0) {
    link->Unref();
    return;
  }
  // Not in here: who closes the channel may hold a lock that Err() wants.
  runtime::Spawn([link] {
    link->Fire();
    link->Unref();
  });
}

void ForeignLink::Fire() {
  Child* child = ChildSlot::Enter(slot_);
  if (child == nullptr) return;
  if (child->kind == Child::Kind::kContext) {
    const Reason& reason = foreign_.MakeReason();
    static_cast<CancelNode*>(child)->Cancel(reason);
    reason.Unref();
  } else {
    static_cast<AfterFuncNode*>(child)->Start();
  }
  ChildSlot::Exit(slot_, child);
}

}  // namespace gochan::internal

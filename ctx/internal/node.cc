// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "ctx/internal/node.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "chan/internal/mutation.h"
#include "ctx/internal/foreign.h"
#include "runtime/barrier.h"
#include "runtime/spawn.h"

namespace gochan::internal {

// -----------------------------------------------------------------------------
// Reason
// -----------------------------------------------------------------------------

Reason::Reason(absl::Status err, absl::Status cause, bool immortal)
    : err_(std::move(err)), cause_(std::move(cause)), immortal_(immortal) {}

const Reason& Reason::Canceled() {
  static const Reason& reason = *[] {
    const absl::Status status = absl::CancelledError("context canceled");
    return new Reason(status, status, /*immortal=*/true);
  }();
  return reason;
}

const Reason& Reason::DeadlineExceeded() {
  static const Reason& reason = *[] {
    const absl::Status status =
        absl::DeadlineExceededError("context deadline exceeded");
    return new Reason(status, status, /*immortal=*/true);
  }();
  return reason;
}

const Reason& Reason::Make(absl::Status err, absl::Status cause) {
  return *new Reason(std::move(err), std::move(cause), /*immortal=*/false);
}

const Reason& Reason::WithCause(const Reason& reason, absl::Status cause) {
  if (cause.ok()) {
    reason.Ref();
    return reason;
  }
  return Make(reason.err(), std::move(cause));
}

void Reason::Ref() const {
  // Relaxed: who shares it has it.
  if (!immortal_) references_.fetch_add(1, std::memory_order_relaxed);
}

void Reason::Unref() const {
  // acq_rel: the last one sees all that the others did.
  if (!immortal_ && references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete this;
  }
}

// -----------------------------------------------------------------------------
// ChildSlot
// -----------------------------------------------------------------------------

Atomic128& Child::Slot() const {
  // Relaxed: found through the slot's own edge, or by the maker's party.
  return link != nullptr
             ? link->slot()
             : SlotTree::At(SlotRef(position.load(std::memory_order_relaxed)));
}

bool Child::attached() const {
  return link != nullptr || position.load(std::memory_order_relaxed) != 0;
}

namespace {

Child* ChildOf(const Pair64& entry) {
  return reinterpret_cast<Child*>(static_cast<uintptr_t>(entry.lo));
}

uint64_t EntryOf(const Child* child) {
  return reinterpret_cast<uintptr_t>(child);
}

}  // namespace

Child* ChildSlot::Enter(Atomic128& slot) {
  // Relaxed: only whether there is anything; the swap reads it in earnest.
  if (slot.LoadLo(std::memory_order_seq_cst) == 0) return nullptr;  // N4
  Pair64 entry = slot.Load();
  while (entry.lo != 0 && (entry.hi & kLeaving) == 0) {
    if (slot.CompareExchange(entry, {entry.lo, entry.hi + kVisitor})) {
      return ChildOf(entry);
    }
  }
  return nullptr;
}

void ChildSlot::Exit(Atomic128& slot, Child* child) {
  const Child::Kind kind = child->kind;  // after the swap it may be gone
  Pair64 entry = slot.Load();
  for (;;) {
    const uint64_t left = entry.hi - kVisitor;
    const bool last = (left & kLeaving) != 0 && (left & kVisitors) == 0;
    const Pair64 next = last ? Pair64{} : Pair64{entry.lo, left};
    if (slot.CompareExchange(entry, next)) {
      if (last) Removed(child, kind, (left & kDead) != 0);
      return;
    }
  }
}

void ChildSlot::Leave(Child* child) {
  if (!child->attached()) return;
  Atomic128& slot = child->Slot();
  Pair64 entry = slot.Load();
  while (entry.lo == EntryOf(child) && (entry.hi & kLeaving) == 0) {
    const bool visited = (entry.hi & kVisitors) != 0;
    const Pair64 next =
        visited ? Pair64{entry.lo, entry.hi | kLeaving} : Pair64{};
    if (slot.CompareExchange(entry, next)) {
      if (child->link != nullptr) child->link->Unregister();
      if (!visited) Removed(child, child->kind, /*dead=*/false);
      return;
    }
  }
}

bool ChildSlot::Die(Child* child) {
  if (!child->attached()) return true;
  Atomic128& slot = child->Slot();
  Pair64 entry = slot.Load();
  while (entry.lo == EntryOf(child)) {
    const bool visited = (entry.hi & kVisitors) != 0;
    const Pair64 next =
        visited ? Pair64{entry.lo, entry.hi | kLeaving | kDead} : Pair64{};
    if (slot.CompareExchange(entry, next)) return !visited;
  }
  return true;
}

// The slot of `child` is empty now; this caller has emptied it. A context that
// is not dead may be freed by whoever drops its last reference.
void ChildSlot::Removed(Child* child, Child::Kind kind, bool dead) {
  if (kind == Child::Kind::kAfterFunc) {
    static_cast<AfterFuncNode*>(child)->Unref();  // N2: the slot's reference
  } else if (dead) {
    ContextNode::Bury(static_cast<CancelNode*>(child));
  }
}

// -----------------------------------------------------------------------------
// ContextNode
// -----------------------------------------------------------------------------

ContextNode::ContextNode(Kind kind, ContextNode& parent)
    : kind_(kind),
      parent_(&parent),
      scope_(kind == Kind::kValue ? parent.scope_ : this) {}

void ContextNode::Ref() {
  switch (kind_) {
    case Kind::kBackground:
    case Kind::kTodo:
      return;
    case Kind::kCancel:
      static_cast<CancelNode*>(this)->Core::Ref();
      return;
    default:
      // Relaxed: who copies a handle has one.
      references_.fetch_add(1, std::memory_order_relaxed);
  }
}

void ContextNode::Unref() {
  switch (kind_) {
    case Kind::kBackground:
    case Kind::kTodo:
      return;
    case Kind::kCancel:
      static_cast<CancelNode*>(this)->Core::Unref();
      return;
    default:
      // acq_rel: the last one sees all that the others did.
      if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Bury(this);
  }
}

void ContextNode::Bury(ContextNode* node) {
  // What one destructor lets go, its parents and what its values hold, waits
  // here until that destructor has returned: a chain of any length ends on a
  // stack of one.
  static constinit thread_local ContextNode* waiting = nullptr;
  static constinit thread_local bool burying = false;
  node->next_buried_ = waiting;
  waiting = node;
  if (burying) return;
  burying = true;
  while (waiting != nullptr) {
    ContextNode* next = waiting;
    waiting = next->next_buried_;
    ContextNode* parent = next->parent_;
    next->Delete();
    if (parent != nullptr) parent->Unref();
  }
  burying = false;
}

void ContextNode::Delete() {
  switch (kind_) {
    case Kind::kBackground:
    case Kind::kTodo:
      return;
    case Kind::kValue:
      delete static_cast<ValueNode*>(this);
      return;
    case Kind::kWithoutCancel:
      delete static_cast<PlainNode*>(this);
      return;
    case Kind::kCancel:
      delete static_cast<CancelNode*>(this);
      return;
    case Kind::kForeign:
      delete static_cast<ForeignNode*>(this);
      return;
  }
}

const void* ContextNode::Value(const void* key) const {
  for (const ContextNode* node = this; node != nullptr; node = node->parent_) {
    if (node->kind_ == Kind::kValue) {
      const auto* value = static_cast<const ValueNode*>(node);
      if (value->key() == key) return value->value();
    } else if (node->kind_ == Kind::kForeign) {
      return static_cast<const ForeignNode*>(node)->ForeignValue(key);
    }
  }
  return nullptr;
}

bool ContextNode::Deadline(absl::Time* deadline) const {
  // A node with a deadline of its own has the earliest of all down to it.
  for (const ContextNode* node = scope_; node != nullptr;
       node = node->parent_ == nullptr ? nullptr : node->parent_->scope_) {
    if (node->kind_ == Kind::kForeign) {
      return static_cast<const ForeignNode*>(node)->ForeignDeadline(deadline);
    }
    if (node->kind_ != Kind::kCancel) return false;
    const auto* cancel = static_cast<const CancelNode*>(node);
    if (cancel->has_deadline()) {
      *deadline = cancel->deadline();
      return true;
    }
  }
  return false;
}

absl::Status ContextNode::Err() const {
  if (const CancelNode* node = cancel_scope()) {
    const Reason* reason = node->reason();
    return reason == nullptr ? absl::OkStatus() : reason->err();
  }
  if (scope_->kind_ == Kind::kForeign) {
    return static_cast<const ForeignNode*>(scope_)->ForeignErr();
  }
  return absl::OkStatus();
}

absl::Status ContextNode::Cause() const {
  const CancelNode* node = cancel_scope();
  if (node == nullptr && scope_->kind_ == Kind::kForeign) {
    node = static_cast<const ForeignNode*>(scope_)->wrapped();
  }
  if (node == nullptr) return Err();
  const Reason* reason = node->reason();
  return reason == nullptr ? absl::OkStatus() : reason->cause();
}

Core* ContextNode::Done() const {
  if (CancelNode* node = cancel_scope()) return node;
  if (scope_->kind_ == Kind::kForeign) {
    return static_cast<const ForeignNode*>(scope_)->done();
  }
  return nullptr;
}

std::string ContextNode::String() const {
  std::vector<const ContextNode*> path;
  for (const ContextNode* n = this; n != nullptr; n = n->parent_) {
    path.push_back(n);
  }
  std::string text;
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    const ContextNode* node = *it;
    switch (node->kind_) {
      case Kind::kBackground:
        text += "context.Background";
        break;
      case Kind::kTodo:
        text += "context.TODO";
        break;
      case Kind::kValue: {
        const auto* value = static_cast<const ValueNode*>(node);
        text += ".WithValue(" + value->KeyString() + ", " +
                value->ValueString() + ")";
        break;
      }
      case Kind::kWithoutCancel:
        text += ".WithoutCancel";
        break;
      case Kind::kCancel: {
        const auto* cancel = static_cast<const CancelNode*>(node);
        if (!cancel->has_deadline()) {
          text += ".WithCancel";
          break;
        }
        const absl::Time deadline = cancel->deadline();
        text += ".WithDeadline(" + absl::FormatTime(deadline) + " [" +
                absl::FormatDuration(deadline - absl::Now()) + "])";
        break;
      }
      case Kind::kForeign:
        text += static_cast<const ForeignNode*>(node)->ForeignString();
        break;
    }
  }
  return text;
}

// -----------------------------------------------------------------------------
// CancelNode: making and ending
// -----------------------------------------------------------------------------

namespace {

// Spreads neighbouring addresses over the tree of slots.
uint64_t HashOf(const void* address) {
  const uint64_t x =
      (reinterpret_cast<uintptr_t>(address) >> 6) * 0x9e3779b97f4a7c15;
  return x ^ x >> 29;
}

}  // namespace

CancelNode::CancelNode(ContextNode& parent)
    : ContextNode(ContextNode::Kind::kCancel, parent),
      Child(Child::Kind::kContext) {
  HoldParent();
  Core::Ref();
}

void CancelNode::Attach() {
  ContextNode* scope = parent()->scope();
  CancelNode* above = parent()->cancel_scope();
  if (scope->kind() == ContextNode::Kind::kForeign) {
    auto* foreign = static_cast<ForeignNode*>(scope);
    above = foreign->wrapped();
    if (above == nullptr) {
      if (foreign->done() == nullptr) return;  // never ends
      if (foreign->done()->IsClosed()) {
        const Reason& reason = foreign->MakeReason();
        Cancel(reason);
        reason.Unref();
      } else {
        ForeignLink::Attach(this, *foreign);
      }
      return;
    }
  }
  if (above == nullptr) return;  // never ends
  above_ = above;
  if (const Reason* reason = above->reason()) {
    Cancel(*reason);
    return;
  }
  above->children_.Insert({EntryOf(this), 0}, HashOf(this), position);
  if (Mutated(Mutant::kNoParentReread)) return;
  if (const Reason* reason = above->reason()) Cancel(*reason);  // N4
}

bool CancelNode::AddAfterFunc(Child* child) {
  if (Closed()) return false;
  children_.Insert({EntryOf(child), 0}, HashOf(child), child->position);
  return true;
}

// No reference is left. A walker that is inside this node's slot uses it still
// (N3).
void CancelNode::Destroy() {
  if (link != nullptr) link->Unregister();
  if (ChildSlot::Die(this)) Bury(this);
}

CancelNode::~CancelNode() {
  DropAfterFuncs();
  children_.Release();
  // Relaxed: the last one sees everything.
  if (const Reason* reason = reason_.load(std::memory_order_relaxed)) {
    reason->Unref();
  }
  if (link != nullptr) link->Unref();
}

// Functions that wait for a context that nobody can cancel any more (those of
// one that might still end keep it alive).
void CancelNode::DropAfterFuncs() {
  for (SlotRef slot = children_.First(); slot; slot = SlotTree::Next(slot)) {
    Atomic128& place = SlotTree::At(slot);
    Pair64 entry = place.Load();
    while (entry.lo != 0) {  // its Stop() may be removing it
      if (place.CompareExchange(entry, {})) {
        static_cast<AfterFuncNode*>(ChildOf(entry))->Unref();
        break;
      }
    }
  }
}

void CancelNode::NoCopies(bool cancel) {
  if (cancel) CancelNow();
  Core::Unref();
}

// -----------------------------------------------------------------------------
// CancelNode: cancelling
// -----------------------------------------------------------------------------

void CancelNode::FixReason(const Reason& reason) {
  // R1 acquire: who closes for another's reason passes on what happened before
  // that one.
  const Reason* found = reason_.load(std::memory_order_acquire);
  if (found != nullptr) return;
  reason.Ref();
  // R1 release: the reason's content, and all that came before the
  // cancellation; pairs with R1 above and in reason().
  if (!reason_.compare_exchange(found, &reason, std::memory_order_acq_rel)) {
    reason.Unref();
  }
}

void CancelNode::CloseFor(const Reason& reason) {
  FixReason(reason);
  Close();  // S1 seq_cst: before the children are looked at (N4)
}

void CancelNode::WakeAll() {
  StopTimer();
  if (Watched()) Visit();
}

void CancelNode::Settle() {
  // C2 release: the walk; pairs with C2 in Cancel().
  settled_.store(1, std::memory_order_release);
  ChildSlot::Leave(this);
}

// Calls the visitor for every child and every child's child, each before its
// own children: Enter(child, parent), which says whether to go in; Exit(child)
// after all below it; AfterFunc(function). The walker is counted in every slot
// between the root and where it is.
template <typename Visitor>
void CancelNode::VisitSubtree(Visitor& visitor) {
  CancelNode* node = this;
  SlotRef slot = children_.First();
  for (;;) {
    if (!slot) {
      if (node == this) return;
      CancelNode* above = node->above_;
      // Relaxed: this walker found the node through that slot.
      slot = SlotRef(node->position.load(std::memory_order_relaxed));
      visitor.Exit(*node);
      ChildSlot::Exit(SlotTree::At(slot), node);
      node = above;
      slot = SlotTree::Next(slot);
      continue;
    }
    Atomic128& place = SlotTree::At(slot);
    Child* child = ChildSlot::Enter(place);
    if (child != nullptr && child->kind == Child::Kind::kContext) {
      auto* below = static_cast<CancelNode*>(child);
      if (visitor.Enter(*below, *node)) {
        node = below;
        slot = below->children_.First();
        continue;
      }
    } else if (child != nullptr) {
      visitor.AfterFunc(*static_cast<AfterFuncNode*>(child));
    }
    if (child != nullptr) ChildSlot::Exit(place, child);
    slot = SlotTree::Next(slot);
  }
}

void CancelNode::Cancel(const Reason& reason) {
  // C2 acquire: pairs with C2 in Settle().
  if (settled_.load(std::memory_order_acquire) != 0) return;

  // First closes all, so that it is one barrier and not one for each.
  struct Closing {
    bool watched;
    bool Enter(CancelNode& node, CancelNode& parent) {
      // R1; fixed before the parent was closed, which this walker has seen.
      node.CloseFor(*parent.reason_.load(std::memory_order_acquire));
      watched |= node.Watched();
      return true;
    }
    void Exit(CancelNode&) {}
    void AfterFunc(AfterFuncNode&) {}
  };
  CloseFor(reason);
  Closing closing{Watched()};
  VisitSubtree(closing);

  if (closing.watched) runtime::HeavyBarrier();

  struct Waking {
    // A node that is still open has come since; its maker will see that its
    // parent is closed, and nobody waits on it yet.
    bool Enter(CancelNode& node, CancelNode&) {
      if (!node.Closed()) return false;
      node.WakeAll();
      return true;
    }
    void Exit(CancelNode& node) { node.Settle(); }  // N5
    void AfterFunc(AfterFuncNode& function) { function.Start(); }
  };
  WakeAll();
  Waking waking;
  VisitSubtree(waking);
  Settle();
}

int CancelNode::ChildrenForTest() const {
  int children = 0;
  for (SlotRef slot = children_.First(); slot; slot = SlotTree::Next(slot)) {
    const Pair64 entry = SlotTree::At(slot).Load();
    children += entry.lo != 0 && (entry.hi >> 32) == 0;
  }
  return children;
}

// -----------------------------------------------------------------------------
// DeadlineNode
// -----------------------------------------------------------------------------

void DeadlineNode::Arm(runtime::MonotonicNanos when) {
  if (Closed()) return;
  Core::Ref();  // the timer's; its callback or who stops it lets it go
#if defined(__cpp_exceptions)
  try {
    timer_.Start(when, &OnTimer, this);
  } catch (...) {
    Core::Unref();
    throw;
  }
#else
  timer_.Start(when, &OnTimer, this);
#endif
  // A canceller may have looked for the timer before it was there.
  if (Closed()) StopTimer();
}

void DeadlineNode::StopTimer() {
  if (timer_.Stop()) Core::Unref();
}

void DeadlineNode::OnTimer(void* self) {
  auto* node = static_cast<DeadlineNode*>(self);
  node->Expire();
  node->Core::Unref();
}

// -----------------------------------------------------------------------------
// AfterFuncNode
// -----------------------------------------------------------------------------

void AfterFuncNode::Attach(ContextNode& context) {
  ContextNode* scope = context.scope();
  CancelNode* above = context.cancel_scope();
  if (scope->kind() == ContextNode::Kind::kForeign) {
    auto* foreign = static_cast<ForeignNode*>(scope);
    above = foreign->wrapped();
    if (above == nullptr) {
      if (foreign->done() == nullptr) return;  // never ends
      if (foreign->done()->IsClosed()) {
        Start();
        return;
      }
      context_ = scope;
      context_->Ref();
      Stopper::Ref();  // the slot's
      ForeignLink::Attach(this, *foreign);
      return;
    }
  }
  if (above == nullptr) return;  // never ends
  if (above->ends_by_itself()) {
    // Set before anybody can find this: N1.
    context_ = above;
    context_->Ref();
  }
  Stopper::Ref();  // the slot's
  if (!above->AddAfterFunc(this)) {
    Stopper::Unref();
    Start();
    return;
  }
  if (above->Closed()) Start();  // N4
}

bool AfterFuncNode::Win(State state) {
  uint8_t found = kWaiting;
  // acq_rel: what the maker wrote; and one winner.
  return state_.compare_exchange(found, state, std::memory_order_acq_rel);
}

void AfterFuncNode::ReleaseContext() {
  ChildSlot::Leave(this);
  if (context_ == nullptr) return;
  context_->Unref();
  context_ = nullptr;
}

void AfterFuncNode::Start() {
  if (!Win(kStarted)) return;
  runtime::Spawn(std::move(fn_));
  ReleaseContext();
}

bool AfterFuncNode::Stop() {
  if (!Win(kStopped)) return false;
  fn_ = nullptr;
  ReleaseContext();
  return true;
}

AfterFuncNode::~AfterFuncNode() {
  if (link != nullptr) link->Unref();
  if (context_ != nullptr) context_->Unref();
}

}  // namespace gochan::internal

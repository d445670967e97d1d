// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "ctx/internal/node.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "chan/internal/mutation.h"
#include "chan/panic.h"
#include "ctx/internal/foreign.h"
#include "runtime/barrier.h"
#include "runtime/clock.h"
#include "runtime/pool.h"
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
  return linked
             ? link->slot()
             : SlotTree::At(SlotRef(position.load(std::memory_order_relaxed)));
}

bool Child::attached() const {
  return linked || position.load(std::memory_order_relaxed) != 0;
}

Child* ChildSlot::Enter(Atomic128& slot) {
  // Relaxed: only whether there is anything; the swap reads it in earnest.
  if (slot.LoadLo(std::memory_order_seq_cst) == 0) return nullptr;  // N4
  Pair64 entry = slot.Load();
  while (entry.lo != 0 && (entry.hi & kLeaving) == 0) {
    if (slot.CompareExchange(entry, {entry.lo, entry.hi + kVisitor})) {
      return SlotEntry(entry.lo).child();
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
  while (entry.lo == SlotEntry(child).bits() && (entry.hi & kLeaving) == 0) {
    const bool visited = (entry.hi & kVisitors) != 0;
    const Pair64 next =
        visited ? Pair64{entry.lo, entry.hi | kLeaving} : Pair64{};
    if (slot.CompareExchange(entry, next)) {
      if (child->linked) child->link->Unregister();
      if (!visited) Removed(child, child->kind, /*dead=*/false);
      return;
    }
  }
}

bool ChildSlot::Die(Child* child) {
  if (!child->attached()) return true;
  Atomic128& slot = child->Slot();
  Pair64 entry = slot.Load();
  while (entry.lo == SlotEntry(child).bits()) {
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

void ContextNode::Ref() {
  // Relaxed: who copies a handle has one.
  if (parent_ != nullptr || kind_ == Kind::kForeign) {
    references_.fetch_add(1, std::memory_order_relaxed);
  }
}

void ContextNode::Unref() {
  if (parent_ == nullptr && kind_ != Kind::kForeign) return;  // immortal
  // acq_rel: the last one sees all that the others did. Acquire, for the same:
  // who has the only reference need not count it off, for nobody else can make
  // another.
  if (references_.load(std::memory_order_acquire) != 1 &&
      references_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
    return;
  }
  if (kind_ == Kind::kCancel) {
    static_cast<CancelNode*>(this)->Unreferenced();
  } else {
    Bury(this);
  }
}

void ContextNode::Bury(ContextNode* node) {
  if (Burial* const current = Burial::Current()) {
    current->Add(node);
    return;
  }
  Burial burial;
  burial.Add(node);
}

bool ContextNode::RunsUsersCode() const {
  switch (kind_) {
    case Kind::kValue:
    case Kind::kForeign:
      return true;
    case Kind::kCancel:
      // It may have AfterFuncs.
      return !static_cast<const CancelNode*>(this)->children_.Untouched();
    default:
      return false;
  }
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
  if (key == &kCancelNodeKey) [[unlikely]]
    return Innermost();
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

const CancelNode* ContextNode::Innermost() const {
  for (const ContextNode* node = this; node != nullptr; node = node->parent_) {
    switch (node->kind_) {
      case Kind::kCancel:
        return static_cast<const CancelNode*>(node);
      case Kind::kForeign:
        return static_cast<const ForeignNode*>(node)->Innermost();
      case Kind::kWithoutCancel:
        return nullptr;  // what is above has not ended this one
      default:
        break;
    }
  }
  return nullptr;
}

const ContextNode* ContextNode::DeadlineScope() const {
  // A node with a deadline of its own has the earliest of all down to it.
  for (const ContextNode* node = scope(); node != nullptr;
       node = node->parent_ == nullptr ? nullptr : node->parent_->scope()) {
    if (node->kind_ == Kind::kForeign) return node;
    if (node->kind_ != Kind::kCancel) return nullptr;
    if (static_cast<const CancelNode*>(node)->has_deadline()) return node;
  }
  return nullptr;
}

bool ContextNode::Deadline(absl::Time* deadline) const {
  const ContextNode* const node = DeadlineScope();
  if (node == nullptr) return false;
  if (node->kind_ == Kind::kForeign) {
    return static_cast<const ForeignNode*>(node)->ForeignDeadline(deadline);
  }
  *deadline = static_cast<const DeadlineNode*>(node)->deadline();
  return true;
}

absl::Status ContextNode::Err() const {
  if (const CancelNode* node = cancel_scope()) {
    const Reason* reason = node->reason();
    return reason == nullptr ? absl::OkStatus() : reason->err();
  }
  const ContextNode* const found = scope();
  if (found->kind_ == Kind::kForeign) {
    return static_cast<const ForeignNode*>(found)->ForeignErr();
  }
  return absl::OkStatus();
}

absl::Status ContextNode::Cause() const {
  if (const CancelNode* node = cancel_scope()) {
    const Reason* reason = node->reason();
    return reason == nullptr ? absl::OkStatus() : reason->cause();
  }
  const ContextNode* const found = scope();
  if (found->kind_ == Kind::kForeign) {
    const auto* foreign = static_cast<const ForeignNode*>(found);
    return foreign->CauseOf(foreign->ForeignErr());
  }
  return absl::OkStatus();
}

Core* ContextNode::ForeignDone() const {
  const ContextNode* const found = scope();
  return found->kind_ == Kind::kForeign
             ? static_cast<const ForeignNode*>(found)->done()
             : nullptr;
}

namespace {

// As Go's time.Time.String(), but for "m=+3600.03": that is a monotonic reading
// that comes with a time, and an absl::Time has none (nor has Go's if it was
// not made from time.Now()).
std::string PrintTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%E*S %z %Z", time,
                          absl::LocalTimeZone());
}

}  // namespace

std::string PrintDuration(absl::Duration duration) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const int64_t signed_nanos = absl::ToInt64Nanoseconds(duration);
  const bool negative = signed_nanos < 0;
  const uint64_t nanos = negative ? -static_cast<uint64_t>(signed_nanos)
                                  : static_cast<uint64_t>(signed_nanos);
  if (nanos == 0) return "0s";
  std::string text = negative ? "-" : "";
  // A number of units, with the fraction that is not zero.
  auto print = [&text](uint64_t n, uint64_t unit, const char* name) {
    text += std::to_string(n / unit);
    std::string fraction = std::to_string(unit + n % unit).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    if (!fraction.empty()) text += "." + fraction;
    text += name;
  };
  if (nanos < 1'000) {
    print(nanos, 1, "ns");
  } else if (nanos < 1'000'000) {
    print(nanos, 1'000, "µs");
  } else if (nanos < kSecond) {
    print(nanos, 1'000'000, "ms");
  } else {
    const uint64_t minutes = nanos / (60 * kSecond);
    if (minutes >= 60) text += std::to_string(minutes / 60) + "h";
    if (minutes > 0) text += std::to_string(minutes % 60) + "m";
    print(nanos % (60 * kSecond), kSecond, "s");
  }
  return text;
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
      case Kind::kValue:
        static_cast<const ValueNode*>(node)->Print(&text);
        break;
      case Kind::kWithoutCancel:
        text += ".WithoutCancel";
        break;
      case Kind::kCancel: {
        const auto* cancel = static_cast<const CancelNode*>(node);
        if (!cancel->has_deadline()) {
          text += ".WithCancel";
          break;
        }
        const absl::Time deadline =
            static_cast<const DeadlineNode*>(cancel)->deadline();
        text += ".WithDeadline(" + PrintTime(deadline) + " [" +
                PrintDuration(deadline - absl::Now()) + "])";
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
// Burial
// -----------------------------------------------------------------------------

Burial::Burial(Where where)
    : where_(where), party_(runtime::CurrentParty()), outer_(party_.burial) {
  party_.burial = this;
}

Burial* Burial::Current() {
  runtime::Party* const party = runtime::CurrentPartyOrNull();
  return party == nullptr ? nullptr : static_cast<Burial*>(party->burial);
}

void Burial::Add(ContextNode* node) {
  node->next_buried_ = waiting_;
  waiting_ = node;
}

Burial::~Burial() {
  while (waiting_ != nullptr) {
    ContextNode* const node = waiting_;
    if (where_ == Where::kBeside && node->RunsUsersCode()) {
      runtime::Spawn([node] {
        Burial rest;
        rest.waiting_ = node;
      });
      break;
    }
    waiting_ = node->next_buried_;
    ContextNode* const parent = node->parent_;
    node->Delete();
    if (parent != nullptr) parent->Unref();
  }
  party_.burial = outer_;
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

using NodePool = runtime::Pool<sizeof(CancelNode), alignof(CancelNode)>;
using DeadlinePool = runtime::Pool<sizeof(DeadlineNode), alignof(DeadlineNode)>;
using DonePool = runtime::Pool<sizeof(DoneChannel), alignof(DoneChannel)>;

void* CancelNode::operator new(std::size_t) { return NodePool::Take(); }
void CancelNode::operator delete(void* memory) { NodePool::Give(memory); }
void* DeadlineNode::operator new(std::size_t) { return DeadlinePool::Take(); }
void DeadlineNode::operator delete(void* memory) { DeadlinePool::Give(memory); }
void* DoneChannel::operator new(std::size_t) { return DonePool::Take(); }
void DoneChannel::operator delete(void* memory) { DonePool::Give(memory); }

CancelNode::CancelNode(ContextNode& parent, bool has_deadline)
    : ContextNode(ContextNode::Kind::kCancel, parent),
      Child(Child::Kind::kContext),
      has_deadline_(has_deadline) {
  HoldParent();
  AddFirstReferences(1);
}

void CancelNode::Attach() {
  ContextNode* const scope = parent()->scope();
  CancelNode* found = parent()->cancel_scope();
  if (scope->kind() == ContextNode::Kind::kForeign) {
    auto* foreign = static_cast<ForeignNode*>(scope);
    found = foreign->wrapped();
    if (found == nullptr) {
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
  if (found == nullptr) return;  // never ends
  above = found;
  if (const Reason* reason = above->reason()) {
    Cancel(*reason);
    return;
  }
  above->children_.Insert({SlotEntry(this).bits(), 0}, HashOf(this), position);
  if (Mutated(Mutant::kNoParentReread)) return;
  if (const Reason* reason = above->reason()) Cancel(*reason);  // N4
}

bool CancelNode::AddAfterFunc(Child* child) {
  if (Closed()) return false;
  children_.Insert({SlotEntry(child).bits(), 0}, HashOf(child),
                   child->position);
  return true;
}

// The last reference has gone; handles of the Done channel may be left. There
// will be no other reference: who has such a handle does not know the node.
void CancelNode::Unreferenced() {
  // Relaxed: the last one sees everything.
  if (DoneChannel* done = done_.load(std::memory_order_relaxed)) {
    done->Unref();  // then Unkept(), at once or some time
  } else {
    Unkept();
  }
}

void DoneChannel::Destroy() { node_.Unkept(); }

// Nobody can observe this any more, but walkers may be about to pass (N3).
void CancelNode::Unkept() {
  if (linked) {
    link->Unregister();
    if (ChildSlot::Die(this)) Bury(this);
    return;
  }
  LeaveParent();
  if (above == nullptr || !above->LeaveToVisitors(this)) Bury(this);
}

// Off the parent's slot. Idempotent.
void CancelNode::LeaveParent() {
  if (linked) {
    ChildSlot::Leave(this);
    return;
  }
  // Relaxed, both: who calls this knows of the Insert(), so what is found is
  // the entry, or what came after it.
  const SlotRef place(position.load(std::memory_order_relaxed));
  if (!place) return;
  Atomic128& slot = SlotTree::At(place);
  Pair64 entry{SlotEntry(this).bits(), 0};
  if (slot.LoadLo(std::memory_order_relaxed) != entry.lo) return;
  (void)slot.CompareExchange(entry, {});  // or somebody else has done it
}

CancelNode::~CancelNode() {
  if (!children_.Untouched()) {
    DropAfterFuncs();
    children_.Release();
  }
  // Relaxed: the last one sees everything.
  if (const Reason* reason = reason_.load(std::memory_order_relaxed)) {
    reason->Unref();
  }
  delete done_.load(std::memory_order_relaxed);
  if (linked) link->Unref();
}

// Functions that wait for a context that nobody can cancel any more (those of
// one that might still end keep it alive).
void CancelNode::DropAfterFuncs() {
  for (SlotRef slot = children_.First(); slot; slot = SlotTree::Next(slot)) {
    Atomic128& place = SlotTree::At(slot);
    Pair64 entry = place.Load();
    while (entry.lo != 0) {  // its Stop() may be removing it
      if (place.CompareExchange(entry, {})) {
        static_cast<AfterFuncNode*>(SlotEntry(entry.lo).child())->Unref();
        break;
      }
    }
  }
}

void CancelNode::NoCopies(bool cancel) {
  if (cancel) CancelNow();
  ContextNode::Unref();
}

// -----------------------------------------------------------------------------
// CancelNode: the Done channel
// -----------------------------------------------------------------------------

DoneChannel* CancelNode::MakeDone() {
  auto* const made = new DoneChannel(*this);
  DoneChannel* found = nullptr;
  // D1 seq_cst, release among it: the channel's fields; pairs with D1 in
  // Done(). And before the caller looks whether this node has ended (N6):
  //   asker                           canceller
  //     1. done_ = channel              i.  reason_ = reason
  //     2. reason_?  then close         ii. done_?  then close and wake
  // One of them sees the other. If only the asker does, nobody has waited on
  // the channel, for whoever got it after 1 has looked after i as well.
  if (done_.compare_exchange(found, made, std::memory_order_seq_cst)) {
    return made;
  }
  delete made;
  return found;
}

void CancelNode::CloseDone() const {
  // D1 seq_cst: N6.
  DoneChannel* const done = done_.load(std::memory_order_seq_cst);
  if (done != nullptr && !done->Closed()) (void)done->Close();
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
  // R1 seq_cst, release among it: the reason's content, and all that came
  // before the cancellation; pairs with R1 in Closed() and reason(). And before
  // the canceller looks at the Done channel (N6) and at the children (N4).
  if (!reason_.compare_exchange(found, &reason, std::memory_order_seq_cst)) {
    reason.Unref();
  }
}

CancelNode::Audience CancelNode::CloseFor(const Reason& reason) {
  FixReason(reason);
  if (has_deadline_) StopTimer();
  // D1 seq_cst: N6.
  DoneChannel* const done = done_.load(std::memory_order_seq_cst);
  if (done == nullptr) return {};
  if (!done->Closed()) (void)done->Close();
  return {.watched = done->Watched(), .light = done->HasLight()};
}

void CancelNode::WakeAll() {
  DoneChannel* const done = done_.load(std::memory_order_seq_cst);  // D1
  if (done != nullptr && done->Watched()) done->Visit();
}

void CancelNode::Settle() {
  // C2 release: the walk; pairs with C2 in Cancel() and in its visitors.
  settled_.store(1, std::memory_order_release);
}

// -----------------------------------------------------------------------------
// CancelNode: visits
// -----------------------------------------------------------------------------

void CancelNode::BeginVisit() {
  uint64_t visitors = visits_.LoadLo(std::memory_order_relaxed);  // a hint
  // V1 seq_cst: before the slots are read (N3); pairs with V1 in
  // LeaveToVisitors().
  while (!visits_.CompareExchangeLo(visitors, visitors + 1)) {
  }
}

void CancelNode::EndVisit() {
  Pair64 visits = visits_.Load();
  // The list as its members wrote it; pairs with the swap in LeaveToVisitors().
  while (!visits_.CompareExchange(
      visits, visits.lo == 1 ? Pair64{} : Pair64{visits.lo - 1, visits.hi})) {
  }
  // This may be gone from here on, unless the list is not empty or the caller
  // has other means.
  if (visits.lo != 1) return;
  auto* node =
      reinterpret_cast<ContextNode*>(static_cast<uintptr_t>(visits.hi));
  while (node != nullptr) {
    ContextNode* const next = node->next_buried_;
    Bury(node);
    node = next;
  }
}

// By a child without a reference, off its slot. True: the last visitor buries
// it.
bool CancelNode::LeaveToVisitors(ContextNode* child) {
  // V1 seq_cst: after the slot was emptied; pairs with V1 in BeginVisit().
  if (visits_.LoadLo(std::memory_order_seq_cst) == 0 ||
      Mutated(Mutant::kNoVisitorCheck)) {
    return false;
  }
  Pair64 visits = visits_.Load();
  while (visits.lo != 0) {
    child->next_buried_ =
        reinterpret_cast<ContextNode*>(static_cast<uintptr_t>(visits.hi));
    if (visits_.CompareExchange(
            visits, {visits.lo, reinterpret_cast<uintptr_t>(child)})) {
      return true;
    }
  }
  return false;
}

// Has the children in a block of slots come into the cache together: they are
// all touched soon, and a walk of a large tree does little but wait for them.
void CancelNode::PrefetchChildren([[maybe_unused]] SlotRef first) {
#if !GOCHAN_INSTRUMENT
  for (SlotRef slot = first; slot && slot.block() == first.block();
       slot = SlotTree::Next(slot)) {
    // Relaxed: a hint.
    const SlotEntry entry(SlotTree::At(slot).LoadLo(std::memory_order_relaxed));
    if (entry.empty() || !entry.is_context()) continue;
    __builtin_prefetch(&static_cast<CancelNode*>(entry.child())->reason_, 1);
  }
#endif
}

// Calls the visitor for every child and every child's child, each before its
// own children: Enter(child, parent), which says whether to go in; Exit(child)
// after all below it; AfterFunc(function). The walker is counted in every node
// from this one down to where it is.
template <typename Visitor>
void CancelNode::VisitSubtree(Visitor& visitor) {
  if (children_.Untouched()) return;
  CancelNode* node = this;
  node->BeginVisit();
  SlotRef slot = node->children_.First();
  for (;;) {
    if (!slot) {
      if (node == this) break;
      // Nobody frees this node as long as the one above is visited.
      CancelNode* const visited = node;
      visitor.Exit(*visited);
      node = visited->above;
      // Relaxed: this walker found the node through that slot.
      slot = SlotTree::Next(
          SlotRef(visited->position.load(std::memory_order_relaxed)));
      visited->EndVisit();
      continue;
    }
    Atomic128& place = SlotTree::At(slot);
    if (slot.place() == 0) PrefetchChildren(slot);
    // seq_cst: N3, N4.
    const SlotEntry entry(place.LoadLo(std::memory_order_seq_cst));
    if (!entry.empty() && entry.is_context()) {
      auto* const below = static_cast<CancelNode*>(entry.child());
      if (visitor.Enter(*below, *node)) {
        if (!below->children_.Untouched()) {
          node = below;
          node->BeginVisit();
          slot = node->children_.First();
          continue;
        }
        visitor.Exit(*below);
      }
    } else if (!entry.empty()) {
      if (Child* const function = ChildSlot::Enter(place)) {
        if (function->kind == Child::Kind::kAfterFunc) {
          visitor.AfterFunc(*static_cast<AfterFuncNode*>(function));
        }
        ChildSlot::Exit(place, function);
      }
    }
    slot = SlotTree::Next(slot);
  }
  EndVisit();
}

void CancelNode::Cancel(const Reason& reason) {
  // C2 acquire: pairs with C2 in Settle().
  if (settled_.load(std::memory_order_acquire) != 0) return;

  // First closes all, so that it is one barrier at most. What has nobody to
  // wake in it, up to here, is settled at once.
  struct Closing {
    Audience audience;
    bool Enter(CancelNode& node, CancelNode& parent) {
      if (node.settled_.load(std::memory_order_acquire) != 0)
        return false;  // C2
      // R1; fixed before the parent was closed, which this walker has seen.
      const Audience its =
          node.CloseFor(*parent.reason_.load(std::memory_order_acquire));
      audience.watched |= its.watched;
      audience.light |= its.light;
      return true;
    }
    void Exit(CancelNode& node) {
      if (!audience.watched) node.Settle();
    }
    void AfterFunc(AfterFuncNode& function) { function.Start(); }
  };
  Closing closing{CloseFor(reason)};
  VisitSubtree(closing);

  if (closing.audience.watched) {
    if (closing.audience.light) runtime::HeavyBarrier();
    struct Waking {
      // A node that is still open has come since; its maker will see that its
      // parent is closed, and nobody waits on it yet.
      bool Enter(CancelNode& node, CancelNode&) {
        if (node.settled_.load(std::memory_order_acquire) != 0) return false;
        if (!node.Closed()) return false;
        node.WakeAll();
        return true;
      }
      void Exit(CancelNode& node) { node.Settle(); }
      void AfterFunc(AfterFuncNode& function) { function.Start(); }
    };
    WakeAll();
    Waking waking;
    VisitSubtree(waking);
  }
  Settle();
  LeaveParent();  // N5
}

int CancelNode::ChildrenForTest() const {
  int children = 0;
  for (SlotRef slot = children_.First(); slot; slot = SlotTree::Next(slot)) {
    const Pair64 found = SlotTree::At(slot).Load();
    const SlotEntry entry(found.lo);
    if (entry.empty()) continue;
    children += entry.is_context()
                    ? !static_cast<CancelNode*>(entry.child())->Closed()
                    : (found.hi >> 32) == 0;
  }
  return children;
}

int CancelNode::SubscriptionsForTest() const {
  const DoneChannel* const done = done_.load(std::memory_order_seq_cst);
  return done == nullptr ? 0 : done->SubscriptionsForTest();
}

int CancelNode::WaitersForTest() const {
  const DoneChannel* const done = done_.load(std::memory_order_seq_cst);
  return done == nullptr ? 0 : done->WaitersForTest();
}

bool CancelNode::VisitedForTest() const {
  return visits_.LoadLo(std::memory_order_seq_cst) != 0;
}

// -----------------------------------------------------------------------------
// DeadlineNode
// -----------------------------------------------------------------------------

void DeadlineNode::Arm() {
  if (Closed()) return;
  Ref();  // the timer's; its callback or who stops it lets it go
#if defined(__cpp_exceptions)
  try {
    timer_.Start(when_, &OnTimer, this);
  } catch (...) {
    Unref();
    throw;
  }
#else
  timer_.Start(when_, &OnTimer, this);
#endif
  // A canceller may have looked for the timer before it was there.
  if (Closed()) StopTimer();
}

void DeadlineNode::StopTimer() {
  if (timer_.Stop()) Unref();
}

void DeadlineNode::OnTimer(void* self) {
  const Burial burial(Burial::Where::kBeside);
  auto* node = static_cast<DeadlineNode*>(self);
  node->Expire();
  node->Unref();
}

absl::Time DeadlineNode::deadline() const {
  if (deadline_ != absl::InfiniteFuture()) return deadline_;
  // Relaxed, both: only which number it is.
  int64_t nanos = unix_nanos_.load(std::memory_order_relaxed);
  if (nanos == 0) {
    const int64_t computed =
        runtime::UnixNanosNow() + (when_ - runtime::MonotonicNow());
    if (unix_nanos_.compare_exchange(nanos, computed,
                                     std::memory_order_relaxed)) {
      nanos = computed;
    }
  }
  return absl::FromUnixNanos(nanos);
}

// -----------------------------------------------------------------------------
// AfterFuncNode
// -----------------------------------------------------------------------------

void AfterFuncNode::Attach(ContextNode& context) {
  ContextNode* scope = context.scope();
  CancelNode* found = context.cancel_scope();
  if (scope->kind() == ContextNode::Kind::kForeign) {
    auto* foreign = static_cast<ForeignNode*>(scope);
    found = foreign->wrapped();
    if (found == nullptr) {
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
  if (found == nullptr) return;  // never ends
  if (found->ends_by_itself()) {
    // Set before anybody can find this: N1. A node behind a foreign context may
    // have no reference but be kept by its Done channel, as the foreign one is.
    context_ = scope;
    context_->Ref();
  }
  Stopper::Ref();  // the slot's
  if (!found->AddAfterFunc(this)) {
    Stopper::Unref();
    Start();
    return;
  }
  if (found->Closed()) Start();  // N4
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
  if (!fn_) RaiseFatal("go of nil func value");
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
  if (linked) link->Unref();
  if (context_ != nullptr) context_->Unref();
}

}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The tree behind contexts: what a Context handle points to, and how a whole
// subtree is cancelled without a lock.
//
//   ContextNode   any context: its parent, and where its Done comes from
//   CancelNode    one that can end; it *is* its Done channel (one allocation)
//   DeadlineNode  ... by itself, at a time
//   AfterFuncNode a function that runs when a context ends
//   Reason        why one has ended
//
//              parent (owns a reference)
//        node ───────────────────────────► node
//         ▲                                  │ children: slots (slot_tree.h)
//         └──────────────────────────────────┘ no reference (N2, N3)
//
// Cancelling walks the subtree twice: first it closes every node, then, after
// one barrier for all of them (runtime/barrier.h), it wakes whoever waits. The
// walk needs neither recursion nor memory: a child knows its slot and its
// parent, so the next sibling is the next slot. Any number of threads may walk
// the same nodes at once; each completes the walk by itself, so that when *its*
// Cancel() returns every descendant is closed, whoever closed it.
//
// Who may touch what:
//   N1  A handle, a child and an armed timer own a reference; so does a waiting
//       AfterFunc of a node that may end by itself.
//   N2  A parent's slot owns none of a context: nobody could observe a node
//       that has no other. It owns one of an AfterFunc.
//   N3  A walker is counted in the slots on its path (ChildSlot). Who drops the
//       last reference meanwhile leaves the node to the last walker.
//   N4  A child attaches, then looks whether its parent is closed; a canceller
//       closes, then looks at the children. One of them sees the other.
//   N5  A cancelled child leaves its slot only when its whole subtree is closed
//       and woken, so a canceller above misses nobody by not finding it.

#ifndef GOCHAN_CTX_INTERNAL_NODE_H_
#define GOCHAN_CTX_INTERNAL_NODE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/internal/broadcast.h"
#include "chan/internal/slot_tree.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/clock.h"
#include "runtime/timers.h"

namespace gochan::internal {

class CancelNode;
class ForeignLink;

// -----------------------------------------------------------------------------
// Reason
// -----------------------------------------------------------------------------

// What Err() and Cause() say; shared by all that ended for it.
class Reason {
 public:
  static const Reason& Canceled();          // immortal
  static const Reason& DeadlineExceeded();  // immortal
  // Neither status is OK. The caller owns one reference.
  static const Reason& Make(absl::Status err, absl::Status cause);

  // As Go's nil: an OK `cause` means that there is none but `reason` itself.
  // The caller owns one reference.
  static const Reason& WithCause(const Reason& reason, absl::Status cause);

  Reason(const Reason&) = delete;
  Reason& operator=(const Reason&) = delete;

  void Ref() const;
  void Unref() const;
  const absl::Status& err() const { return err_; }
  const absl::Status& cause() const { return cause_; }

 private:
  Reason(absl::Status err, absl::Status cause, bool immortal);

  const absl::Status err_;
  const absl::Status cause_;
  const bool immortal_;
  mutable Atomic<uint32_t> references_{1};
};

// -----------------------------------------------------------------------------
// Child
// -----------------------------------------------------------------------------

// Something that a parent's slots name.
struct Child {
  enum class Kind : uint8_t { kContext, kAfterFunc };
  explicit Child(Kind k) : kind(k) {}

  // Where it is attached. Written by its maker before anybody can find it.
  Atomic128& Slot() const;

  const Kind kind;
  Atomic<uint64_t> position{0};  // a SlotRef of the parent, or
  ForeignLink* link = nullptr;   // a link to a foreign parent, which it owns
  bool attached() const;
};

// The entry of a child: {child, struct { visitors:32 leaving:1 dead:1 }}.
//   state     set by          next             who may act
//   empty     tree, exit      attached         makers of children
//   attached  the maker       leaving | empty  visitors: enter, exit
//   leaving   canceller,      empty            visitors inside: exit; the last
//             Stop, Die                        one empties it
//   + dead    last Unref      empty            the last visitor, who buries it
// An entry does not repeat: a child attaches once, and its memory is not given
// back while its slot names it.
class ChildSlot {
 public:
  // The child, which stays in memory until Exit(); nullptr if there is none to
  // visit.
  static Child* Enter(Atomic128& slot);
  static void Exit(Atomic128& slot, Child* child);

  // Takes `child` off; if somebody is visiting, its last visitor does.
  static void Leave(Child* child);

  // After the last reference to a context: true if nobody visits it, so that it
  // may go; else its last visitor buries it.
  [[nodiscard]] static bool Die(Child* child);

 private:
  static constexpr uint64_t kVisitor = 1;
  static constexpr uint64_t kVisitors = 0xffffffff;
  static constexpr uint64_t kLeaving = uint64_t{1} << 32;
  static constexpr uint64_t kDead = uint64_t{1} << 33;

  static void Removed(Child* child, Child::Kind kind, bool dead);
};

// -----------------------------------------------------------------------------
// ContextNode
// -----------------------------------------------------------------------------

class ContextNode {
 public:
  enum class Kind : uint8_t {
    kBackground,     // immortal
    kTodo,           // immortal
    kValue,          // ValueNode
    kWithoutCancel,  // PlainNode
    kCancel,         // CancelNode
    kForeign,        // ForeignNode (foreign.h)
  };

  ContextNode(const ContextNode&) = delete;
  ContextNode& operator=(const ContextNode&) = delete;

  Kind kind() const { return kind_; }
  ContextNode* parent() const { return parent_; }
  // The nearest node, this one or above, that is no mere value: it answers for
  // Done, Err and Deadline.
  ContextNode* scope() const { return scope_; }
  // scope() if that is a CancelNode, else nullptr.
  inline CancelNode* cancel_scope() const;

  void Ref();
  // Takes no more stack for a long chain of parents than for one.
  void Unref();

  // The nearest value for `key` (a Key's address), looking outwards.
  const void* Value(const void* key) const;
  bool Deadline(absl::Time* deadline) const;
  absl::Status Err() const;
  absl::Status Cause() const;
  // The channel, not referenced; nullptr for contexts that never end.
  Core* Done() const;
  // As Go prints it: "context.Background.WithCancel".
  std::string String() const;

 protected:
  // The outermost of a chain.
  constexpr explicit ContextNode(Kind kind) : kind_(kind), scope_(this) {}
  // The reference to `parent` is taken by HoldParent(), at the end of the last
  // constructor: one before it may throw.
  ContextNode(Kind kind, ContextNode& parent);
  void HoldParent() { parent_->Ref(); }
  ~ContextNode() = default;

  // Nobody refers to `node` any more: destroys it, then its parents as far as
  // they end with it.
  static void Bury(ContextNode* node);

 private:
  friend class ChildSlot;

  void Delete();

  const Kind kind_;
  ContextNode* const parent_ = nullptr;
  ContextNode* const scope_;
  ContextNode* next_buried_ = nullptr;  // by Bury() alone
  Atomic<uint32_t> references_{1};  // unused by CancelNode, which has Core's
};

// Background and TODO.
class RootNode final : public ContextNode {
 public:
  constexpr explicit RootNode(Kind kind) : ContextNode(kind) {}
};

class PlainNode final : public ContextNode {
 public:
  PlainNode(Kind kind, ContextNode& parent) : ContextNode(kind, parent) {
    HoldParent();
  }
};

// A value; its type is known to the class derived from this (context.h), which
// holds the parent.
class ValueNode : public ContextNode {
 public:
  ValueNode(ContextNode& parent, const void* key, const void* value)
      : ContextNode(Kind::kValue, parent), key_(key), value_(value) {}
  virtual ~ValueNode() = default;

  const void* key() const { return key_; }
  const void* value() const { return value_; }
  virtual std::string KeyString() const = 0;
  virtual std::string ValueString() const = 0;

 private:
  const void* const key_;
  const void* const value_;
};

// -----------------------------------------------------------------------------
// CancelNode
// -----------------------------------------------------------------------------

// What the copies of a CancelFunc share. All together they own it.
class Canceller {
 public:
  virtual void CancelNow() = 0;
  void AddCopy() {
    // Relaxed: who copies one has one.
    copies_.fetch_add(1, std::memory_order_relaxed);
  }
  // The last one cancels if it is to.
  void DropCopy(bool cancel) {
    // acq_rel: the last one sees all that the others did.
    if (copies_.fetch_sub(1, std::memory_order_acq_rel) == 1) NoCopies(cancel);
  }

 protected:
  ~Canceller() = default;
  virtual void NoCopies(bool cancel) = 0;

 private:
  Atomic<uint32_t> copies_{1};
};

class CancelNode : public Broadcast,
                   public ContextNode,
                   public Child,
                   public Canceller {
 public:
  // Not attached yet. Two references: the maker's, and that of the copies of
  // the CancelFunc, of which there is one.
  explicit CancelNode(ContextNode& parent);

  // CancelNode::Attach()
  //
  // By the maker, once: from now on the end of the parent ends this too; at
  // once if the parent has ended already. May throw std::bad_alloc.
  void Attach();

  // CancelNode::Cancel()
  //
  // Ends this context and all below it for `reason`, unless they have ended for
  // another; all of them report it when this returns. The caller has a
  // reference. Linear in the size of the subtree, no recursion, lock-free.
  // Linearization point: the first swap of reason_ decides why, the swap that
  // closes decides when.
  void Cancel(const Reason& reason);

  // nullptr before it has ended; then it never changes.
  const Reason* reason() const {
    // R1 acquire: see FixReason(). Closed() is asked first, so that a reason is
    // never told before Done is closed.
    return Closed() ? reason_.load(std::memory_order_acquire) : nullptr;
  }

  // Does anything but a CancelFunc end it?
  bool ends_by_itself() const {
    return above_ != nullptr || link != nullptr || has_deadline();
  }
  virtual bool has_deadline() const { return false; }
  virtual absl::Time deadline() const { return absl::InfiniteFuture(); }

  bool IsContext() const final { return true; }

  void CancelNow() final { Cancel(Reason::Canceled()); }

  // Attaches `child`, a new AfterFuncNode; false if this has ended already.
  [[nodiscard]] bool AddAfterFunc(Child* child);

  // Children, AfterFuncs too, that are neither cancelled nor stopped.
  int ChildrenForTest() const;

 protected:
  ~CancelNode() override;

  // Disarms what would end this node by itself. By whoever has closed it.
  virtual void StopTimer() {}

 private:
  friend class ChildSlot;
  friend class ContextNode;

  void Destroy() final;
  void NoCopies(bool cancel) final;

  // The first caller's reason stays.
  void FixReason(const Reason& reason);
  // One node's part of the two walks.
  void CloseFor(const Reason& reason);
  void WakeAll();
  void Settle();

  template <typename Visitor>
  void VisitSubtree(Visitor& visitor);
  void DropAfterFuncs();

  // CancelNode::reason_: why this has ended.
  //   state    set by               next      who may act
  //   nullptr  (start)              a reason  anybody who cancels
  //   reason   the first canceller  (final)   all cancellers: close for it
  Atomic<const Reason*> reason_{nullptr};

  // Whether a canceller has done all: closed and woken the subtree.
  //   0  (start)            1        cancellers: walk
  //   1  a canceller        (final)  cancellers: nothing to do
  Atomic<uint8_t> settled_{0};

  CancelNode* above_ = nullptr;  // where this is attached; parent()'s scope
  SlotTree children_;
};

inline CancelNode* ContextNode::cancel_scope() const {
  return scope_->kind_ == Kind::kCancel ? static_cast<CancelNode*>(scope_)
                                        : nullptr;
}

class DeadlineNode final : public CancelNode {
 public:
  // Ends for `expiry` (which it takes over) at `deadline`.
  DeadlineNode(ContextNode& parent, absl::Time deadline, const Reason& expiry)
      : CancelNode(parent), deadline_(deadline), expiry_(expiry) {}

  // By the maker, after Attach(): ends it later, or at once. Arm() may throw
  // std::bad_alloc.
  void Arm(runtime::MonotonicNanos when);
  void Expire() { Cancel(expiry_); }

  bool has_deadline() const override { return true; }
  absl::Time deadline() const override { return deadline_; }

 private:
  ~DeadlineNode() override { expiry_.Unref(); }
  void StopTimer() override;
  static void OnTimer(void* self);

  const absl::Time deadline_;
  const Reason& expiry_;
  runtime::Timer timer_;  // armed, it owns a reference
};

// -----------------------------------------------------------------------------
// AfterFuncNode
// -----------------------------------------------------------------------------

// What a StopFunc shares with its copies.
class Stopper {
 public:
  virtual bool Stop() = 0;
  void Ref() {
    references_.fetch_add(1, std::memory_order_relaxed);
  }  // has one
  void Unref() {
    // acq_rel: the last one sees all that the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  virtual ~Stopper() = default;

 private:
  Atomic<uint32_t> references_{1};
};

class AfterFuncNode final : public Stopper, public Child {
 public:
  explicit AfterFuncNode(absl::AnyInvocable<void()> fn)
      : Child(Kind::kAfterFunc), fn_(std::move(fn)) {}

  // By the maker, once. May throw std::bad_alloc.
  void Attach(ContextNode& context);

  // Runs the function beside the caller, unless it has been started or stopped.
  void Start();
  bool Stop() override;

 private:
  ~AfterFuncNode() override;

  // AfterFuncNode::state_: may the function still run?
  //   state     set by                next                 who may act
  //   kWaiting  (start)               kStarted | kStopped  anybody
  //   kStarted  canceller, maker      (final)              that one: fn_
  //   kStopped  one caller of Stop()  (final)              that one: fn_
  enum State : uint8_t { kWaiting, kStarted, kStopped };
  Atomic<uint8_t> state_{kWaiting};

  [[nodiscard]] bool Win(State state);
  void ReleaseContext();

  absl::AnyInvocable<void()> fn_;  // kWaiting: nobody's; then the winner's
  // What must live for it to run, if that can end by itself; kWaiting: set by
  // the maker before it can be found; then the winner's.
  ContextNode* context_ = nullptr;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CTX_INTERNAL_NODE_H_

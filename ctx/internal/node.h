// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The tree behind contexts: what a Context handle points to, and how a whole
// subtree is cancelled without a lock.
//
//   ContextNode   any context: its parent, and where its Done comes from
//   CancelNode    one that can end
//   DoneChannel   its Done channel, made when somebody asks for it
//   DeadlineNode  ... by itself, at a time
//   AfterFuncNode a function that runs when a context ends
//   Reason        why one has ended
//
//              parent (owns a reference)
//        node ───────────────────────────► node
//         ▲                                  │ children: slots (slot_tree.h)
//         └──────────────────────────────────┘ no reference (N2, N3)
//
// Cancelling walks the subtree, each node before its children, and closes it.
// If somebody waits on one of the Done channels it walks once more, after one
// barrier for all of them (runtime/barrier.h), and wakes whoever waits. The
// walk needs neither recursion nor memory: a child knows its slot and its
// parent, so the next sibling is the next slot. Any number of threads may walk
// the same nodes at once; each completes the walk by itself, so that when *its*
// Cancel() returns every descendant is closed, whoever closed it.
//
// Who may touch what:
//   N1  A handle, a child, an armed timer and the handles of the Done channel
//       (all together) keep a node; so does a waiting AfterFunc of a node that
//       may end by itself.
//   N2  A parent's slot keeps no context: nobody could observe a node that
//       nothing else keeps. It owns a reference to an AfterFunc.
//   N3  A walker is counted in the nodes whose slots it reads (visits_), from
//       the root of its walk down. A child that nobody keeps leaves its slot,
//       then looks whether its parent is visited; if so, the last visitor
//       buries it. A visitor is counted, then reads the slots. So either the
//       child sees the visitor, or the visitor does not see the child.
//   N4  A child attaches, then looks whether its parent has ended; a canceller
//       ends it, then looks at the children. One of them sees the other.
//   N5  A node is settled when its whole subtree is closed and woken: a later
//       canceller need not look below. Only where a cancellation began does the
//       node leave its parent's slot, and not before it is settled; what is
//       below stays in slots that nobody needs any more until it dies.
//   N6  A Done channel is made, then its node is asked whether it has ended; a
//       canceller ends the node, then looks for the channel. One of them sees
//       the other and closes it. Who finds the reason and the channel open
//       closes it himself before he tells anybody, so Err() is never told while
//       Done() is open. (He wakes nobody: that is the canceller's.)

#ifndef GOCHAN_CTX_INTERNAL_NODE_H_
#define GOCHAN_CTX_INTERNAL_NODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/internal/broadcast.h"
#include "chan/internal/mutation.h"
#include "chan/internal/slot_tree.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/clock.h"
#include "runtime/park.h"
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

  // Where it is attached. All written by its maker before anybody can find it.
  Atomic128& Slot() const;
  bool attached() const;
  ForeignLink* foreign_link() const { return linked ? link : nullptr; }

  Atomic<uint64_t> position{0};  // a SlotRef of the parent
  union {
    CancelNode* above = nullptr;  // of a context: whose slot that is
    ForeignLink* link;            // or, if linked: to a foreign parent; owned
  };
  const Kind kind;
  bool linked = false;
};

// What is in a slot: a child, tagged so that its kind is known before it is
// touched.
class SlotEntry {
 public:
  explicit SlotEntry(const Child* child)
      : bits_(reinterpret_cast<uintptr_t>(child) |
              uint64_t{child->kind == Child::Kind::kAfterFunc}) {}
  constexpr explicit SlotEntry(uint64_t bits) : bits_(bits) {}
  uint64_t bits() const { return bits_; }
  bool empty() const { return bits_ == 0; }
  bool is_context() const { return (bits_ & 1) == 0; }
  Child* child() const {
    return reinterpret_cast<Child*>(
        static_cast<uintptr_t>(bits_ & ~uint64_t{1}));
  }

 private:
  uint64_t bits_;
};

// The slot of an AfterFunc, or of any child of a foreign parent, whose visitors
// are counted in the slot itself: {child, struct { visitors:32 leaving:1
// dead:1 }}. (A context in a context's slot is {child, 0} throughout.)
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
  inline ContextNode* scope() const;
  // scope() if that is a CancelNode, else nullptr.
  inline CancelNode* cancel_scope() const;

  void Ref();
  // Takes no more stack for a long chain of parents than for one.
  void Unref();

  // The nearest value for `key` (a Key's address), looking outwards.
  const void* Value(const void* key) const;
  // For this key it is what Innermost() gives, so that we find our own contexts
  // within those of the user's kind which pass Value() on: Go's &cancelCtxKey.
  static constexpr char kCancelNodeKey = 0;
  // The nearest CancelNode, this one or above; nullptr if there is none, or a
  // WithoutCancel() comes first.
  const CancelNode* Innermost() const;
  bool Deadline(absl::Time* deadline) const;
  // Who answers that: this, a DeadlineNode or ForeignNode above, or nullptr.
  const ContextNode* DeadlineScope() const;
  absl::Status Err() const;
  absl::Status Cause() const;
  // The channel, not referenced; nullptr for contexts that never end.
  inline Core* Done() const;
  // As Go prints it: "context.Background.WithCancel".
  std::string String() const;

 protected:
  // The outermost of a chain.
  constexpr explicit ContextNode(Kind kind) : kind_(kind) {}
  // The reference to `parent` is taken by HoldParent(), at the end of the last
  // constructor: one before it may throw.
  ContextNode(Kind kind, ContextNode& parent) : kind_(kind), parent_(&parent) {}
  void HoldParent() { parent_->Ref(); }
  ~ContextNode() = default;

  // Nobody refers to `node` any more: destroys it, then its parents as far as
  // they end with it.
  static void Bury(ContextNode* node);

  // The references that its maker hands out beside the first.
  void AddFirstReferences(uint32_t n) {
    // Relaxed, and no swap: nobody else knows it yet.
    references_.store(references_.load(std::memory_order_relaxed) + n,
                      std::memory_order_relaxed);
  }

 private:
  friend class Burial;
  friend class ChildSlot;
  friend class CancelNode;

  void Delete();
  // Whether Delete() may run code of the user's.
  bool RunsUsersCode() const;
  // The Done of what is no CancelNode.
  Core* ForeignDone() const;

  Atomic<uint32_t> references_{1};
  const Kind kind_;
  ContextNode* const parent_ = nullptr;
  // By Burial, and before that by CancelNode::LeaveToVisitors().
  ContextNode* next_buried_ = nullptr;
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
// holds the parent and says how it prints.
class ValueNode : public ContextNode {
 public:
  ValueNode(ContextNode& parent, const void* key, const void* value)
      : ContextNode(Kind::kValue, parent),
        scope_(parent.scope()),
        key_(key),
        value_(value) {}
  virtual ~ValueNode() = default;

  const void* key() const { return key_; }
  const void* value() const { return value_; }
  // `text` is what the parent prints; makes of it what this does.
  virtual void Print(std::string* text) const = 0;

 private:
  friend class ContextNode;

  ContextNode* const scope_;
  const void* const key_;
  const void* const value_;
};

inline ContextNode* ContextNode::scope() const {
  return kind_ == Kind::kValue ? static_cast<const ValueNode*>(this)->scope_
                               : const_cast<ContextNode*>(this);
}

// As Go's time.Duration.String(): no unit from the largest down is left out,
// "1h0m0s"; what is shorter than a second has one, "1.5ms".
std::string PrintDuration(absl::Duration duration);

// -----------------------------------------------------------------------------
// Burial
// -----------------------------------------------------------------------------

// What the calling party lets go while this exists waits in here: the parents
// of a node, and what its values hold. The destructor takes one after the
// other, so that a chain of any length ends on a stack of one. It is the
// party's, not the thread's, because destructors of the user's may block: a
// goroutine then goes on on another thread, and others have this one.
class Burial {
 public:
  // kBeside: the caller must not block, as in a timer's callback; what the
  // user's code has part in is left to a goroutine (runtime/spawn.h).
  enum class Where : uint8_t { kHere, kBeside };

  explicit Burial(Where where = Where::kHere);
  ~Burial();
  Burial(const Burial&) = delete;
  Burial& operator=(const Burial&) = delete;

  // The calling party's, or nullptr.
  static Burial* Current();
  // Whether the caller must leave the user's code to a goroutine, too.
  static bool Beside() {
    const Burial* const current = Current();
    return current != nullptr && current->where_ == Where::kBeside;
  }

  void Add(ContextNode* node);

 private:
  ContextNode* waiting_ = nullptr;  // linked by next_buried_; the last is first
  const Where where_;
  runtime::Party& party_;
  void* const outer_;
};

// -----------------------------------------------------------------------------
// CancelNode
// -----------------------------------------------------------------------------

// What the copies of a CancelFunc share. All together they own it.
class Canceller {
 public:
  static constexpr uint32_t kReleased = ~uint32_t{0};

  virtual void CancelNow() = 0;
  // For onlookers: the copies. Also 1 or 0 when the last one cancels right now;
  // kReleased: nobody ever will.
  uint32_t copies() const { return copies_.load(std::memory_order_relaxed); }
  void AddCopy() {
    // Relaxed: who copies one has one.
    copies_.fetch_add(1, std::memory_order_relaxed);
  }
  // The last one cancels if it is to.
  void DropCopy(bool cancel) {
    // acq_rel: the last one sees all that the others did. Acquire, for the
    // same: whose copy is the only one need not count it off, for nobody else
    // can make one.
    if (copies_.load(std::memory_order_acquire) == 1 ||
        copies_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      // Relaxed: for onlookers, see copies().
      if (!cancel) copies_.store(kReleased, std::memory_order_relaxed);
      NoCopies(cancel);
    }
  }

 protected:
  ~Canceller() = default;
  virtual void NoCopies(bool cancel) = 0;

 private:
  // Canceller::copies_: how many can still cancel.
  //   state      set by                   next
  //   n >= 1     AddCopy(), DropCopy()    n + 1, n - 1, kReleased
  //   0          the last copy's end,     (final)
  //              which is to cancel now
  //   kReleased  the last copy's release  (final)
  Atomic<uint32_t> copies_{1};
};

// What Done() is of a context that can end. The node owns one reference, and
// is kept by the others (N1): when the node has nobody else it gives its own
// back, and goes when this one would.
class DoneChannel final : public Broadcast {
 public:
  explicit DoneChannel(CancelNode& node) : node_(node) {}
  // By the node, when all is over.
  ~DoneChannel() override = default;

  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory);

  CancelNode& node() const { return node_; }
  bool IsContext() const override { return true; }

 private:
  void Destroy() override;

  CancelNode& node_;
};

class CancelNode : public Canceller, public ContextNode, public Child {
 public:
  // Not attached yet. Two references: the maker's, and that of the copies of
  // the CancelFunc, of which there is one.
  explicit CancelNode(ContextNode& parent)
      : CancelNode(parent, /*has_deadline=*/false) {}

  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory);

  // CancelNode::Attach()
  //
  // By the maker, once: from now on the end of the parent ends this too; at
  // once if the parent has ended already. May throw std::bad_alloc.
  void Attach();

  // CancelNode::Cancel()
  //
  // Ends this context and all below it for `reason`, unless they have ended for
  // another; all of them report it when this returns. The caller keeps the
  // node. Linear in the size of the subtree, no recursion, lock-free.
  // Linearization point: the first swap of reason_.
  void Cancel(const Reason& reason);

  // Has it ended?
  bool Closed() const {
    // R1 seq_cst: N4, N6.
    return reason_.load(std::memory_order_seq_cst) != nullptr;
  }

  // Why; nullptr before it has ended; then it never changes. Done is closed
  // when this has returned one (N6).
  const Reason* reason() const {
    // R1 seq_cst, acquire among it: see FixReason().
    const Reason* reason = reason_.load(std::memory_order_seq_cst);
    if (reason != nullptr) CloseDone();
    return reason;
  }

  // The channel, not referenced; the same one every time. The first call may
  // throw std::bad_alloc.
  Core* Done() {
    // D1 seq_cst: N6; and the channel's fields, pairs with D1 in MakeDone().
    DoneChannel* done = done_.load(std::memory_order_seq_cst);
    if (done == nullptr) [[unlikely]]
      done = MakeDone();
    if (Closed() && !Mutated(Mutant::kNoEndReread)) CloseDone();
    return done;
  }

  // Does anything but a CancelFunc end it?
  bool ends_by_itself() const {
    return above != nullptr || linked || has_deadline_;
  }
  bool has_deadline() const { return has_deadline_; }

  void CancelNow() final { Cancel(Reason::Canceled()); }

  // Attaches `child`, a new AfterFuncNode; false if this has ended already.
  [[nodiscard]] bool AddAfterFunc(Child* child);

  // Children, AfterFuncs too, that are neither cancelled nor stopped; who has
  // subscribed to Done, and who waits there; memory of the slots.
  int ChildrenForTest() const;
  int SubscriptionsForTest() const;
  int WaitersForTest() const;
  bool VisitedForTest() const;

 protected:
  CancelNode(ContextNode& parent, bool has_deadline);
  virtual ~CancelNode();

  // Disarms what would end this node by itself. By whoever has closed it; only
  // called if there is a deadline.
  virtual void StopTimer() {}

 private:
  friend class ChildSlot;
  friend class ContextNode;
  friend class DoneChannel;

  void NoCopies(bool cancel) final;
  void Unreferenced();
  void Unkept();
  void LeaveParent();

  DoneChannel* MakeDone();
  void CloseDone() const;

  // The first caller's reason stays.
  void FixReason(const Reason& reason);
  // One node's part of the walks. CloseFor: what its Done channel says, see
  // Broadcast.
  struct Audience {
    bool watched = false;
    bool light = false;
  };
  [[nodiscard]] Audience CloseFor(const Reason& reason);
  void WakeAll();
  void Settle();

  void BeginVisit();
  void EndVisit();
  [[nodiscard]] bool LeaveToVisitors(ContextNode* child);
  static void PrefetchChildren(SlotRef first);
  template <typename Visitor>
  void VisitSubtree(Visitor& visitor);
  void DropAfterFuncs();

  // Whether a canceller has done all: closed and woken the subtree.
  //   0  (start)            1        cancellers: walk
  //   1  a canceller        (final)  cancellers: nothing to do
  Atomic<uint8_t> settled_{0};

  const bool has_deadline_;  // it is a DeadlineNode

  SlotTree children_;

  // CancelNode::reason_: whether and why this has ended.
  //   state    set by               next      who may act
  //   nullptr  (start)              a reason  anybody who cancels
  //   reason   the first canceller  (final)   anybody: close Done for it
  Atomic<const Reason*> reason_{nullptr};

  // CancelNode::done_: the Done channel.
  //   state    set by           next        who may act
  //   nullptr  (start)          a channel   who asks for it: MakeDone()
  //   channel  the first asker  (final)     anybody; ~CancelNode frees it
  Atomic<DoneChannel*> done_{nullptr};

  // CancelNode::visits_: {walkers that read the slots here, children that they
  // are to bury, linked by next_buried_}; N3.
  //   state     set by               next               who may act
  //   {0, 0}    (start), last        {1, 0}             walkers: BeginVisit()
  //             EndVisit()
  //   {n, list} walkers, children    {n±1, list}, last  walkers: EndVisit();
  //             without a reference  EndVisit(): {0, 0} such children:
  //                                                     LeaveToVisitors()
  Atomic128 visits_;
};

static_assert(sizeof(CancelNode) == 96, "a million of them do count");

inline CancelNode* ContextNode::cancel_scope() const {
  ContextNode* const found = scope();
  return found->kind_ == Kind::kCancel ? static_cast<CancelNode*>(found)
                                       : nullptr;
}

inline Core* ContextNode::Done() const {
  CancelNode* const node = cancel_scope();
  return node != nullptr ? node->Done() : ForeignDone();
}

class DeadlineNode final : public CancelNode {
 public:
  // Ends for `expiry` (which it takes over) at `deadline`, which is `when` on
  // the monotonic clock.
  DeadlineNode(ContextNode& parent, absl::Time deadline,
               runtime::MonotonicNanos when, const Reason& expiry)
      : CancelNode(parent, /*has_deadline=*/true),
        deadline_(deadline),
        when_(when),
        expiry_(expiry) {}
  // At `when`, whatever the wall shows then.
  DeadlineNode(ContextNode& parent, runtime::MonotonicNanos when,
               const Reason& expiry)
      : DeadlineNode(parent, absl::InfiniteFuture(), when, expiry) {}

  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory);

  // By the maker, after Attach(): ends it later, or at once. Arm() may throw
  // std::bad_alloc.
  void Arm();
  void Expire() { Cancel(expiry_); }

  runtime::MonotonicNanos when() const { return when_; }
  // The same by the wall's clock: as it was given, or as it is computed by the
  // first who asks; the same ever after.
  absl::Time deadline() const;

 private:
  ~DeadlineNode() override { expiry_.Unref(); }
  void StopTimer() override;
  static void OnTimer(void* self);

  const absl::Time deadline_;  // InfiniteFuture: only `when_` was given
  const runtime::MonotonicNanos when_;

  // DeadlineNode::unix_nanos_: the deadline, if only `when_` was given.
  //   state   set by           next     who may act
  //   0       (start)          a time   who asks for it
  //   time    the first asker  (final)  anybody
  mutable Atomic<int64_t> unix_nanos_{0};

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
  explicit AfterFuncNode(absl::AnyInvocable<void()>&& fn)
      : Child(Kind::kAfterFunc), fn_(std::move(fn)) {}

  // By the maker, once. May throw std::bad_alloc.
  void Attach(ContextNode& context);

  // Runs the function beside the caller, unless it has been started or stopped.
  // Ends the program if it is empty.
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
  // What must be kept for it to run, if that can end by itself; kWaiting: set
  // by the maker before it can be found; then the winner's.
  ContextNode* context_ = nullptr;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CTX_INTERNAL_NODE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Contexts of the user's own kind, as parents: watched without a thread.
//
//   ForeignNode   such a context in the tree
//   ForeignLink   ties one child to it
//
// A foreign parent knows no slots. Its child hangs in a slot of its own, in a
// link that is shared with whatever will tell us: the foreign context's own
// AfterFunc if it offers one, else a callback that waits on its Done channel
// (chan/internal/callback.h) and then starts a goroutine. Whoever comes to tell
// enters that slot as any other walker does, and finds the child, or nobody any
// more.

#ifndef GOCHAN_CTX_INTERNAL_FOREIGN_H_
#define GOCHAN_CTX_INTERNAL_FOREIGN_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/internal/callback.h"
#include "chan/internal/core.h"
#include "ctx/internal/node.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"

namespace gochan::internal {

class ForeignNode : public ContextNode {
 public:
  // Takes over a reference to `done`; nullptr if it never ends.
  explicit ForeignNode(Core* done) : ContextNode(Kind::kForeign), done_(done) {}
  virtual ~ForeignNode() {
    if (done_ != nullptr) done_->Unref();
  }

  Core* done() const { return done_; }
  // If it passes Done() and Value() on to a context of ours, that one; else
  // nullptr.
  CancelNode* wrapped() const;
  // The CancelNode that its Value() knows; nullptr if there is none.
  const CancelNode* Innermost() const;

  virtual bool ForeignDeadline(absl::Time* deadline) const = 0;
  virtual absl::Status ForeignErr() const = 0;
  virtual const void* ForeignValue(const void* key) const = 0;
  virtual std::string ForeignString() const = 0;
  // Registers `fn` to run when it ends and returns what takes it back; an empty
  // function if the context offers no such thing. `fn` may run at once.
  virtual absl::AnyInvocable<bool()> ForeignAfterFunc(
      absl::AnyInvocable<void()> fn) const = 0;

  // Why it ended, with one reference; to be asked when it has.
  const Reason& MakeReason() const;
  // The cause that goes with `err`, what its Err() says: that of a context of
  // ours within it if that has ended, too, else `err` itself.
  absl::Status CauseOf(const absl::Status& err) const;

 private:
  Core* const done_;
};

class ForeignLink {
 public:
  // Attaches `child`, which gets a link: by its maker, before it can end. If
  // the parent has ended already, or does meanwhile, the child may have ended
  // when this returns. May throw whatever the foreign context throws.
  static void Attach(Child* child, ForeignNode& foreign);

  Atomic128& slot() { return slot_; }

  // Nothing need be told any more. Idempotent; by anybody.
  void Unregister();

  void Ref() {
    references_.fetch_add(1, std::memory_order_relaxed);
  }  // has one
  void Unref() {
    // acq_rel: the last one sees all that the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  explicit ForeignLink(ForeignNode& foreign) : foreign_(foreign) {}
  ~ForeignLink() = default;

  void Register();
  void Called();
  void Fire();
  void TakeBack();
  static void OnDone(void* self, bool ready);

  // {child, …}, see ChildSlot.
  Atomic128 slot_;

  // ForeignLink::state_: who takes the registration back?
  //   state         set by           next                 who may act
  //   kRegistering  (start)          kRegistered | kOver  the maker: register
  //   kRegistered   the maker        kOver                anybody: Unregister()
  //   kOver         Unregister(),    (final)              if it was kRegistered
  //                 or AfterFunc's                        who set this, else
  //                 call                                  the maker
  enum State : uint8_t { kRegistering, kRegistered, kOver };
  Atomic<uint8_t> state_{kRegistering};

  Atomic<uint32_t> references_{1};  // the child's, and one for who will tell

  // Only used inside the slot: the child keeps its parents.
  ForeignNode& foreign_;

  // Written while kRegistering, used by the one who may act in kOver.
  absl::AnyInvocable<bool()> stop_;
  Callback* watch_ = nullptr;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CTX_INTERNAL_FOREIGN_H_

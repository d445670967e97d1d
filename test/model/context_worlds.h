// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Scenarios that are no lists of operations: contexts, and who drops the last
// handle.

#ifndef GOCHAN_TEST_MODEL_CONTEXT_WORLDS_H_
#define GOCHAN_TEST_MODEL_CONTEXT_WORLDS_H_

#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "select/select.h"
#include "test/model/core_memory.h"
#include "test/model/explorer.h"
#include "test/model/world.h"

namespace gochan::model {

// Parties given as functions, all of which must come to their end; then nothing
// of what they made is left.
class Script : public Scenario {
 public:
  void SetUp(Explorer& explorer) final {
    memory_.emplace(reuse());
    ForgetSubscriptions(explorer, parties());
    Prepare();
    for (int i = 0; i < prologue(); ++i) {
      explorer.Continue(1u | 1u << kMaxParties, /*deadlines=*/true,
                        /*one_operation=*/true);
    }
  }
  void AtRest(Explorer& explorer, bool complete) final {
    for (int p = 0; p < parties() && complete; ++p) {
      if (explorer.ConditionOf(p) != Explorer::Condition::kEnded) {
        return explorer.Fail(absl::StrCat("p", p, " waits for ever"));
      }
    }
    explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
    if (explorer.failed()) return;
    Clear();
    if (!CoreMemory::AllIsFreed()) explorer.Fail("a channel was not freed");
    if (!CoreMemory::FreedIsUntouched()) {
      explorer.Fail("a channel was written to after it was destroyed");
    }
    memory_.reset();
  }

 protected:
  virtual bool reuse() const { return false; }
  // So many operations of party 0 come before the search.
  virtual int prologue() const { return 0; }
  virtual void Prepare() = 0;
  virtual void Clear() = 0;

 private:
  std::optional<CoreMemory> memory_;
};

// A script whose things are a `State`, made anew for each schedule. That of a
// schedule that failed is not fit to be destroyed, and is not.
template <typename State>
class ScriptWith : public Script {
 protected:
  State& state() { return *state_; }

 private:
  void Prepare() override { state_ = new State; }
  void Clear() override { delete std::exchange(state_, nullptr); }

  State* state_ = nullptr;
};

struct OneContext {
  OneContext() { std::tie(parent, cancel) = WithCancel(Background()); }
  Context parent;
  CancelFunc cancel;
};

// One cancels a context, another makes a child of it at that moment and waits
// for the child's end.
class ChildOfACancelledParent : public ScriptWith<OneContext> {
 public:
  int parties() const override { return 2; }
  void Run(Explorer& explorer, int p) override {
    explorer.BeginOperation(p == 0 ? "cancel" : "make a child");
    if (p == 0) {
      state().cancel();
      return;
    }
    auto [child, cancel] = WithCancel(state().parent);
    child.Done().Recv();
    if (child.Err().ok()) explorer.Fail("done, but Err() is OK");
  }
};

// A child is dropped while its parent is being cancelled.
struct ParentAndChild {
  ParentAndChild() {
    std::tie(parent, cancel) = WithCancel(Background());
    std::tie(child, cancel_child) = WithCancel(parent);
  }
  Context parent, child;
  CancelFunc cancel, cancel_child;
};

class DroppedChild : public ScriptWith<ParentAndChild> {
 public:
  int parties() const override { return 2; }
  void Run(Explorer& explorer, int p) override {
    explorer.BeginOperation(p == 0 ? "cancel" : "drop the child");
    if (p == 0) {
      state().cancel();
    } else {
      {
        const CancelFunc dropped = std::move(state().cancel_child);
      }
      state().child = Context();
    }
  }
};

// One cancels a context for whose Done nobody has asked yet; one asks for it at
// that moment and waits; one looks whether it has ended, and if so Done must be
// closed.
class FirstDone : public ScriptWith<OneContext> {
 public:
  int parties() const override { return 3; }
  void Run(Explorer& explorer, int p) override {
    if (p == 0) {
      explorer.BeginOperation("cancel");
      state().cancel();
      return;
    }
    explorer.BeginOperation(p == 1 ? "wait for Done" : "Err, then Done");
    if (p == 1) {
      state().parent.Done().Recv();
      if (state().parent.Err().ok()) explorer.Fail("done, but Err() is OK");
    } else if (!state().parent.Err().ok() &&
               !state().parent.Done().TryRecv().has_value()) {
      explorer.Fail("Err() is set, but Done() is open");
    }
  }
};

// Of a child nothing is left but a handle of its Done channel; its parent is
// cancelled, and another child dropped, while somebody waits on that.
struct ChildrenOfOne {
  ChildrenOfOne() {
    std::tie(parent, cancel) = WithCancel(Background());
    auto [child, cancel_child] = WithCancel(parent);
    cancel_child.Release();
    done = child.Done();
    std::tie(other, cancel_other) = WithCancel(parent);
    cancel_other.Release();
  }
  Context parent, other;
  CancelFunc cancel, cancel_other;
  RecvChan<Unit> done;
};

class DoneOfAChild : public ScriptWith<ChildrenOfOne> {
 public:
  int parties() const override { return 3; }
  void Run(Explorer& explorer, int p) override {
    if (p == 0) {
      explorer.BeginOperation("cancel the parent");
      state().cancel();
    } else if (p == 1) {
      explorer.BeginOperation("wait for the child, and drop it");
      const RecvChan<Unit> done = std::move(state().done);
      done.Recv();
    } else {
      explorer.BeginOperation("drop the other");
      state().other = Context();
    }
  }
};

// A record keeps four idle subscriptions: the fifth context that it waits for
// takes over that of the first, which is being fired at that moment.
struct SixContexts {
  SixContexts() {
    for (int i = 0; i < 6; ++i) {
      std::tie(contexts[i], cancels[i]) = WithCancel(Background());
    }
  }
  Context contexts[6];
  CancelFunc cancels[6];
};

class MovedSubscription : public ScriptWith<SixContexts> {
 public:
  int parties() const override { return 2; }
  void Run(Explorer& explorer, int p) override {
    if (p == 1) {
      explorer.BeginOperation("cancel the first");
      state().cancels[0]();
      return;
    }
    for (int i = 0; i < 6; ++i) {
      explorer.BeginOperation(absl::StrCat("wait for context ", i));
      const std::size_t chosen = gochan::Select(DoneCase(state().contexts[i]),
                                                TimeoutCase(absl::Hours(1)));
      if (chosen == 0 && i != 0) {
        explorer.Fail("the end of another context has ended this wait");
      }
    }
  }

 protected:
  int prologue() const override { return 4; }
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_CONTEXT_WORLDS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Contexts, done channels and handles under every schedule; L numbers as in
// channel_model_test.cc.

#include <cstddef>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/backoff.h"
#include "select/select.h"
#include "test/model/context_worlds.h"
#include "test/model/model_test_util.h"

namespace gochan::model {
namespace {

const Effort kDeep = {.preemptions = 3, .seconds = 5};

TEST(Model, AChildOfACancelledParentEnds) {
  ChildOfACancelledParent world;
  CheckScenario("child of a cancelled parent", world, kDeep);
}

// The root, a child and its child. One party cancels the root, one the child,
// one waits for the grandchild.
struct ThreeGenerations {
  ThreeGenerations() {
    std::tie(root, cancel_root) = WithCancel(Background());
    std::tie(child, cancel_child) = WithCancel(root);
    std::tie(grandchild, cancel_grandchild) = WithCancel(child);
  }
  Chan<int> never = MakeChan<int>();
  Context root, child, grandchild;
  CancelFunc cancel_root, cancel_child, cancel_grandchild;
};

class CancelledTree : public ScriptWith<ThreeGenerations> {
 public:
  explicit CancelledTree(bool select) : select_(select) {}
  int parties() const override { return 3; }

  void Run(Explorer& explorer, int p) override {
    if (p == 2) {
      explorer.BeginOperation("wait for the grandchild");
      if (select_) {
        const std::size_t chosen = gochan::Select(RecvCase(state().never),
                                                  DoneCase(state().grandchild));
        if (chosen != 1) explorer.Fail("the wrong case");
      } else {
        state().grandchild.Done().Recv();
      }
      Ended(explorer, state().grandchild);
      return;
    }
    explorer.BeginOperation(p == 0 ? "cancel the root" : "cancel the child");
    (p == 0 ? state().cancel_root : state().cancel_child)();
    // Whoever returns from a cancellation has ended all below.
    if (p == 0) Ended(explorer, state().root);
    Ended(explorer, state().child);
    Ended(explorer, state().grandchild);
  }

 private:
  static void Ended(Explorer& explorer, const Context& context) {
    if (context.Err() != absl::CancelledError("context canceled")) {
      explorer.Fail("it should have ended");
    }
    if (!context.Done().TryRecv().has_value()) {
      explorer.Fail("Err() is set, but Done() is open");
    }
  }

  bool select_;
};

TEST(Model, CancellingEndsAllBelow) {
  CancelledTree receive(/*select=*/false);
  CheckScenario("three generations, receive", receive, {.seconds = 5});
  CancelledTree select(/*select=*/true);
  CheckScenario("three generations, select", select, {.seconds = 5});
}

TEST(Model, AChildIsDroppedWhileItsParentIsCancelled) {
  DroppedChild world;
  CheckScenario("dropped child", world, kDeep);
}

TEST(Model, DoneIsFirstAskedForWhileTheContextIsCancelled) {
  FirstDone world;
  CheckScenario("first Done", world, kDeep);
}

TEST(Model, ADoneChannelKeepsItsContextInTheTree) {
  DoneOfAChild world;
  CheckScenario("Done of a child", world, kDeep);
}

// The last handles of a channel are dropped by those who meet in it, each as
// soon as it comes back.
struct TwoHandles {
  TwoHandles() { handles[0] = handles[1] = MakeChan<Token>(0); }
  Chan<Token> handles[2];
};

class LastHandle : public ScriptWith<TwoHandles> {
 public:
  explicit LastHandle(bool select) : select_(select) {}
  int parties() const override { return 2; }
  void Run(Explorer& explorer, int p) override {
    explorer.BeginOperation(p == 0 ? "receive and drop" : "send and drop");
    const Chan<Token> mine = std::move(state().handles[p]);
    if (p == 1) {
      mine.Send(Token(7));
    } else if (select_) {
      Token got;
      gochan::Select(RecvCase(mine, &got));
      if (got.value() != 7) explorer.Fail("got something else");
    } else if (mine.RecvOptional()->value() != 7) {
      explorer.Fail("got something else");
    }
  }

 private:
  bool select_;
};

TEST(Model, L32TheLastHandleIsDroppedByWhoWasWoken) {
  LastHandle receive(/*select=*/false);
  CheckScenario("last handle, receive", receive, kDeep);
  LastHandle select(/*select=*/true);
  CheckScenario("last handle, select", select, kDeep);
}

// A context dies with an idle subscription on it, and another is made in its
// place; the same party waits for that one.
struct Announced {
  runtime::Atomic<int> ready;
  CancelFunc cancel;
};

class ReusedContext : public ScriptWith<Announced> {
 public:
  int parties() const override { return 2; }
  void Run(Explorer& explorer, int p) override {
    if (p == 1) {
      explorer.BeginOperation("cancel the second");
      runtime::Backoff backoff;
      while (state().ready.load(std::memory_order_acquire) == 0) {
        backoff.Wait(&state().ready);
      }
      state().cancel();
      return;
    }
    explorer.BeginOperation("wait for the first, in vain");
    {
      auto [first, cancel] = WithCancel(Background());
      gochan::Select(DoneCase(first), TimeoutCase(absl::Hours(1)));
    }
    explorer.BeginOperation("wait for the second");
    auto [second, cancel] = WithCancel(Background());
    state().cancel = std::move(cancel);
    state().ready.store(1, std::memory_order_release);
    second.Done().Recv();
  }

 protected:
  bool reuse() const override { return true; }
};

TEST(Model, L41ASubscriptionMovesToAnotherContextWhileItIsFired) {
  MovedSubscription world;
  CheckScenario("moved subscription", world, kDeep);
}

TEST(Model, L42AContextsMemoryIsReusedByAnother) {
  ReusedContext world;
  CheckScenario("reused context", world, kDeep);
}

}  // namespace
}  // namespace gochan::model

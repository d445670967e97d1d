// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The tree of contexts: large, deep, and changed by many at once.

#include "ctx/internal/node.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/internal/broadcast.h"
#include "chan/internal/slot_tree.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "runtime/barrier.h"
#include "runtime/timers.h"
#include "select/select.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using internal::CancelNode;
using internal::ContextAccess;
using test::Scaled;
using test::Threads;

CancelNode& NodeOf(const Context& ctx) {
  return *ContextAccess::Node(ctx)->cancel_scope();
}

int Children(const Context& ctx) { return NodeOf(ctx).ChildrenForTest(); }

TEST(NodeTest, WideTreeIsCancelledWithOneBarrier) {
  const int wide = static_cast<int>(Scaled(100000));
  auto [root, cancel] = WithCancel(Background());
  std::vector<std::pair<Context, CancelFunc>> children;
  children.reserve(wide);
  for (int i = 0; i < wide; ++i) children.push_back(WithCancel(root));
  EXPECT_EQ(Children(root), wide);
  const Context& watched = children[wide / 2].first;
  Threads threads;
  std::atomic<bool> is_light{false};
  threads.Go([&] {
    for (int i = 0; i < 50; ++i) {
      (void)Select(DoneCase(watched), TimeoutCase(absl::Nanoseconds(1)));
    }
    is_light.store(true);
    (void)watched.Done().Recv();
  });
  while (!is_light.load()) std::this_thread::yield();
  while (NodeOf(watched).WaitersForTest() == 0) std::this_thread::yield();
  const uint64_t barriers = runtime::HeavyBarriersForTest();
  cancel();
  EXPECT_EQ(runtime::HeavyBarriersForTest(), barriers + 1);
  for (const auto& [ctx, unused] : children) ASSERT_FALSE(ctx.Err().ok());
  EXPECT_EQ(Children(root), 0);
}

// A request's context, on which a few selects have waited.
TEST(NodeTest, NoBarrierForFewWaits) {
  const uint64_t barriers = runtime::HeavyBarriersForTest();
  for (int i = 0; i < 10; ++i) {
    auto [ctx, cancel] = WithCancel(Background());
    Threads threads;
    threads.Go([&] {
      (void)Select(DoneCase(ctx), TimeoutCase(absl::Nanoseconds(1)));
      (void)ctx.Done().Recv();
    });
    while (NodeOf(ctx).WaitersForTest() == 0) std::this_thread::yield();
    cancel();
  }
  EXPECT_EQ(runtime::HeavyBarriersForTest(), barriers);
}

// Neither cancelling nor dropping takes stack for each level.
TEST(NodeTest, DeepTreeNeedsNoStack) {
  static constexpr Key<int> kKey;
  const int deep = static_cast<int>(Scaled(200000));
  auto [root, cancel] = WithCancel(Background());
  Context deepest = root;
  std::vector<CancelFunc> cancels;
  cancels.reserve(deep);
  for (int i = 0; i < deep; ++i) {
    auto [ctx, cancel_this] = WithCancel(WithValue(deepest, kKey, i));
    deepest = ctx;
    cancels.push_back(std::move(cancel_this));
  }
  cancel();
  EXPECT_FALSE(deepest.Err().ok());
  for (CancelFunc& c : cancels) c.Release();
  deepest = Context();  // the whole chain goes here
  EXPECT_EQ(Children(root), 0);
}

// A parent that lives long has as many slots as it ever had children at a time.
TEST(NodeTest, ChurnOfChildrenKeepsMemoryBounded) {
  auto [root, cancel] = WithCancel(Background());
  std::vector<std::pair<Context, CancelFunc>> alive(100);
  for (auto& child : alive) child = WithCancel(root);
  for (int i = 0; i < 20000; ++i) alive[i % 100] = WithCancel(root);
  const uint32_t blocks = internal::SlotTree::BlocksForTest();
  for (int64_t i = Scaled(200000); i > 0; --i) {
    alive[i % 100] = WithCancel(root);
  }
  EXPECT_LE(internal::SlotTree::BlocksForTest(), blocks + 32);
  EXPECT_EQ(Children(root), 100);
}

TEST(NodeTest, ChildrenComeWhileTheParentIsCancelled) {
  constexpr int kMakers = 3;
  for (int64_t round = Scaled(60); round > 0; --round) {
    auto [root, cancel] = WithCancel(Background());
    auto [middle, cancel_middle] = WithCancel(root);
    std::atomic<int> ready{0};
    Threads threads;
    threads.GoEach(kMakers, [&, middle = middle](int) {
      ready.fetch_add(1);
      for (;;) {
        auto [ctx, cancel_this] = WithCancel(middle);
        auto [below, cancel_below] = WithTimeout(ctx, absl::Hours(1));
        if (!ctx.Err().ok()) {
          // The canceller may be on its way from the one to the other.
          (void)below.Done().Recv();
          EXPECT_FALSE(below.Err().ok());
          break;
        }
        cancel_this.Release();
        cancel_below.Release();
      }
    });
    while (ready.load() < kMakers) std::this_thread::yield();
    cancel();
    threads.Join();
    EXPECT_EQ(Children(middle), 0);
    EXPECT_EQ(Children(root), 0);
  }
  EXPECT_EQ(runtime::PendingTimers(), 0u);
}

// Handles go while a canceller walks over their nodes.
TEST(NodeTest, NodesDieWhileTheyAreVisited) {
  for (int64_t round = Scaled(300); round > 0; --round) {
    auto [root, cancel] = WithCancel(Background());
    std::vector<std::pair<Context, CancelFunc>> all;
    for (int i = 0; i < 60; ++i) {
      all.push_back(WithCancel(i % 4 == 0 ? root : all[i / 2].first));
    }
    for (auto& [ctx, stop] : all) {
      stop.Release();
    }
    std::atomic<int> ready{0};
    Threads threads;
    threads.Go([&] {
      ready.fetch_add(1);
      while (ready.load() < 2) std::this_thread::yield();
      all.clear();
    });
    threads.Go([&, stop = cancel] {
      ready.fetch_add(1);
      while (ready.load() < 2) std::this_thread::yield();
      stop();
    });
    threads.Join();
    EXPECT_EQ(Children(root), 0);
  }
}

TEST(NodeTest, DeadlineRacesCancel) {
  for (int64_t round = Scaled(300); round > 0; --round) {
    auto [root, cancel] = WithCancel(Background());
    auto [ctx, stop] = WithTimeout(root, absl::Microseconds(50));
    Threads threads;
    threads.Go([stop = cancel] { stop(); });
    EXPECT_FALSE(ctx.Done().Recv().ok);
    threads.Join();
    EXPECT_FALSE(ctx.Err().ok());
    EXPECT_EQ(Children(root), 0);
  }
}

// A Done channel is all that is left of a context: its parent still closes it,
// and with its last handle the context is gone.
TEST(NodeTest, ADoneChannelKeepsItsContext) {
  auto [root, cancel] = WithCancel(Background());
  RecvChan<Unit> done;
  {
    auto [ctx, cancel_this] = WithCancel(root);
    cancel_this.Release();
    done = ctx.Done();
  }
  EXPECT_EQ(Children(root), 1);
  const RecvChan<Unit> copy = done;
  done = nullptr;
  EXPECT_EQ(Children(root), 1);
  EXPECT_FALSE(copy.TryRecv().has_value());
  cancel();
  EXPECT_TRUE(copy.TryRecv().has_value());
  {
    auto [other, cancel_other] = WithCancel(Background());
    auto [ctx, cancel_this] = WithCancel(other);
    cancel_this.Release();
    done = ctx.Done();
    ctx = Context();
    EXPECT_EQ(Children(other), 1);
    done = nullptr;
    EXPECT_EQ(Children(other), 0);
  }
}

TEST(NodeTest, DoneIsOneChannelAndClosedIfAskedForLate) {
  auto [root, cancel] = WithCancel(Background());
  auto [late, cancel_late] = WithCancel(root);
  EXPECT_EQ(root.Done(), root.Done());
  EXPECT_FALSE(root.Done().TryRecv().has_value());
  cancel();
  EXPECT_TRUE(root.Done().TryRecv().has_value());
  EXPECT_TRUE(late.Done().TryRecv().has_value());
  EXPECT_EQ(late.Done(), late.Done());
}

TEST(NodeTest, ManyAskForDoneAtOnce) {
  constexpr int kAskers = 3;
  for (int64_t round = Scaled(300); round > 0; --round) {
    auto [ctx, cancel] = WithCancel(Background());
    RecvChan<Unit> got[kAskers];
    std::atomic<int> ready{0};
    Threads threads;
    threads.GoEach(kAskers, [&, ctx = ctx](int i) {
      ready.fetch_add(1);
      while (ready.load() <= kAskers) std::this_thread::yield();
      if (!ctx.Err().ok()) {
        EXPECT_TRUE(ctx.Done().TryRecv().has_value());
      }
      got[i] = ctx.Done();
      EXPECT_FALSE(got[i].Recv().ok);
    });
    threads.Go([&, stop = cancel] {
      while (ready.load() < kAskers) std::this_thread::yield();
      ready.fetch_add(1);
      stop();
    });
    threads.Join();
    for (const auto& done : got) EXPECT_EQ(done, got[0]);
  }
}

// Children die while their parent is walked, each thread its own: the last
// walker frees them, and nothing is left.
TEST(NodeTest, ChildrenThatDieUnderWalkersAreFreed) {
  constexpr int kChildren = 200;
  for (int64_t round = Scaled(100); round > 0; --round) {
    auto [root, cancel] = WithCancel(Background());
    std::vector<Context> children[2];
    for (int i = 0; i < kChildren; ++i) {
      auto [ctx, cancel_this] = WithCancel(root);
      cancel_this.Release();
      children[i % 2].push_back(std::move(ctx));
    }
    std::atomic<int> ready{0};
    const auto meet = [&ready] {
      ready.fetch_add(1);
      while (ready.load() < 4) std::this_thread::yield();
    };
    Threads threads;
    for (auto& mine : children) {
      threads.Go([&] {
        meet();
        mine.clear();
      });
      threads.Go([&, stop = cancel] {
        meet();
        stop();
      });
    }
    threads.Join();
    EXPECT_FALSE(NodeOf(root).VisitedForTest());
    EXPECT_EQ(Children(root), 0);
  }
}

// A time limit is a point on the monotonic clock; as the time of day it is
// computed once.
TEST(NodeTest, ATimeoutsDeadlineStaysAsItWasFirstTold) {
  const absl::Time before = absl::Now();
  auto [ctx, cancel] = WithTimeout(Background(), absl::Hours(1));
  const absl::Time told = *ctx.Deadline();
  EXPECT_GE(told, before + absl::Minutes(59));
  EXPECT_LE(told, absl::Now() + absl::Minutes(61));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*ctx.Deadline(), told);
  // A child's that is later does not count, an earlier one does.
  auto [later, cancel_later] = WithTimeout(ctx, absl::Hours(2));
  EXPECT_EQ(*later.Deadline(), told);
  auto [earlier, cancel_earlier] = WithTimeout(ctx, absl::Minutes(1));
  EXPECT_LT(*earlier.Deadline(), told);
  // One beyond what the monotonic clock can show.
  auto [far, cancel_far] = WithTimeout(Background(), absl::Hours(24 * 365'000));
  EXPECT_GE(*far.Deadline(), before + absl::Hours(24 * 365'000));
  EXPECT_EQ(*far.Deadline(), *far.Deadline());
}

// Thousands select on one context; a busy case is served, then all are
// cancelled.
TEST(NodeTest, ManySelectOnOneContext) {
  constexpr int kThreads = 32;
  auto [ctx, cancel] = WithCancel(Background());
  Chan<int> work = MakeChan<int>();
  std::atomic<int> done{0};
  std::atomic<int64_t> sum{0};
  Threads threads;
  threads.GoEach(kThreads, [&, ctx = ctx](int) {
    for (bool more = true; more;) {
      Select(RecvCase(work, [&](int v) { sum.fetch_add(v); }),
             DoneCase(ctx, [&] { more = false; }));
    }
    done.fetch_add(1);
  });
  int64_t expected = 0;
  for (int i = 0; i < Scaled(2000); ++i) {
    work.Send(i);
    expected += i;
  }
  while (sum.load() != expected) std::this_thread::yield();
  EXPECT_EQ(done.load(), 0);
  EXPECT_LE(NodeOf(ctx).SubscriptionsForTest(), kThreads);
  cancel();
  threads.Join();
  EXPECT_EQ(done.load(), kThreads);
}

TEST(NodeTest, SelectOnAThousandContexts) {
  constexpr int kWide = 1000;
  auto [root, cancel] = WithCancel(Background());
  std::vector<std::pair<Context, CancelFunc>> children;
  for (int i = 0; i < kWide; ++i) children.push_back(WithCancel(root));
  for (const int which : {0, 500, 999, 500}) {
    std::vector<AnyCase> cases;
    for (const auto& [ctx, unused] : children) cases.push_back(DoneCase(ctx));
    size_t chosen = kWide;
    Threads threads;
    threads.Go([&] { chosen = Select(absl::MakeSpan(cases)); });
    CancelNode& node = NodeOf(children[which].first);
    while (node.WaitersForTest() == 0) std::this_thread::yield();
    children[which].second();
    threads.Join();
    EXPECT_EQ(chosen, static_cast<size_t>(which));
    children[which] = WithCancel(root);
  }
}

}  // namespace
}  // namespace gochan

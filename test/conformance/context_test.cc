// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours CX: contexts; and HB10, what a cancellation makes visible.

#include "ctx/context.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/internal/node.h"
#include "go/go.h"
#include "go/mutex.h"
#include "gtest/gtest.h"
#include "runtime/timers.h"
#include "select/bounded.h"
#include "select/select.h"
#include "test/util/allocations.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"
#include "test/util/slow_to_forget.h"

namespace gochan {
namespace {

using test::Event;
using test::kPause;
using test::Parties;
using test::PartyScaled;

using ContextConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(ContextConformance);

const absl::Status kCanceled = absl::CancelledError("context canceled");
const absl::Status kDeadlineExceeded =
    absl::DeadlineExceededError("context deadline exceeded");

bool IsDone(const Context& ctx) {
  const RecvChan<Unit> done = ctx.Done();
  return !done.IsNil() && done.TryRecv().has_value();
}

int Children(const Context& ctx) {
  return internal::ContextAccess::Node(ctx)->cancel_scope()->ChildrenForTest();
}

void ExpectOpen(const Context& ctx) {
  EXPECT_FALSE(IsDone(ctx)) << ctx;
  EXPECT_TRUE(ctx.Err().ok()) << ctx;
  EXPECT_TRUE(ctx.Cause().ok()) << ctx;
}

void ExpectEnded(const Context& ctx, const absl::Status& err,
                 const absl::Status& cause) {
  EXPECT_TRUE(IsDone(ctx)) << ctx;
  EXPECT_EQ(ctx.Err(), err) << ctx;
  EXPECT_EQ(ctx.Cause(), cause) << ctx;
  EXPECT_EQ(Cause(ctx), cause) << ctx;
}

void ExpectEnded(const Context& ctx, const absl::Status& err) {
  ExpectEnded(ctx, err, err);
}

// -----------------------------------------------------------------------------
// Roots and cancellation
// -----------------------------------------------------------------------------

PARTY_TEST(ContextConformance, CX01BackgroundAndTodoNeverEnd) {
  static constexpr Key<int> kKey;
  for (const Context& ctx : {Background(), TODO()}) {
    EXPECT_EQ(ctx.Deadline(), std::nullopt);
    EXPECT_TRUE(ctx.Err().ok());
    EXPECT_TRUE(ctx.Cause().ok());
    EXPECT_TRUE(ctx.Done().IsNil());
    EXPECT_EQ(ctx.Value(kKey), nullptr);
  }
  EXPECT_EQ(Background().String(), "context.Background");
  EXPECT_EQ(TODO().String(), "context.TODO");
  EXPECT_FALSE(Background() == TODO());
}

PARTY_TEST(ContextConformance, CX02WithCancelEndsWhenCancelled) {
  auto [ctx, cancel] = WithCancel(Background());
  EXPECT_EQ(ctx.String(), "context.Background.WithCancel");
  ASSERT_FALSE(ctx.Done().IsNil());
  ExpectOpen(ctx);
  cancel();
  ExpectEnded(ctx, kCanceled);
  const auto [value, ok] = ctx.Done().Recv();
  EXPECT_FALSE(ok);
  EXPECT_FALSE(ctx.Done().Recv().ok);  // and again
}

PARTY_TEST(ContextConformance, CX03CancellationIsSynchronous) {
  constexpr int kDeep = 1000;
  constexpr int kWide = 1000;
  auto [root, cancel] = WithCancel(Background());
  std::vector<std::pair<Context, CancelFunc>> all;
  Context deepest = root;
  for (int i = 0; i < kDeep; ++i) {
    all.push_back(WithCancel(deepest));
    deepest = all.back().first;
  }
  for (int i = 0; i < kWide; ++i) {
    all.push_back(WithCancel(i % 2 == 0 ? root : deepest));
  }
  for (const auto& [ctx, unused] : all) ExpectOpen(ctx);
  cancel();
  for (const auto& [ctx, unused] : all) ExpectEnded(ctx, kCanceled);
  EXPECT_EQ(Children(root), 0);
}

// The second canceller returns while the first is still on its way: it must
// have seen to all descendants itself.
PARTY_TEST(ContextConformance, CX03EveryCancellerReturnsToAFinishedTree) {
  constexpr int kCancellers = 4;
  for (int64_t round = PartyScaled(200); round > 0; --round) {
    auto [root, cancel] = WithCancel(Background());
    std::vector<Context> all;
    std::vector<CancelFunc> cancels;
    Context parent = root;
    for (int i = 0; i < 40; ++i) {
      auto [ctx, stop] = WithCancel(parent);
      all.push_back(ctx);
      cancels.push_back(stop);
      if (i % 8 == 0) parent = ctx;
    }
    std::atomic<int> ready{0};
    Parties parties;
    parties.GoEach(kCancellers, [&, cancel = cancel](int) {
      ready.fetch_add(1);
      while (ready.load() < kCancellers) Yield();
      cancel();
      for (const Context& ctx : all) EXPECT_FALSE(ctx.Err().ok());
    });
  }
}

PARTY_TEST(ContextConformance,
           CX04CancellingAgainDoesNothingAndDoneIsOneChannel) {
  static constexpr Key<int> kKey;
  auto [ctx, cancel] = WithCancel(Background());
  const RecvChan<Unit> done = ctx.Done();
  const Context value = WithValue(ctx, kKey, 1);
  EXPECT_EQ(ctx.Done(), done);
  EXPECT_EQ(value.Done(), done);
  EXPECT_EQ(WithValue(value, kKey, 2).Done(), done);
  {
    Parties parties;
    parties.GoEach(64, [cancel = cancel](int) { cancel(); });
  }
  ExpectEnded(ctx, kCanceled);
  EXPECT_EQ(ctx.Done(), done);
  cancel();
  ExpectEnded(ctx, kCanceled);
  EXPECT_EQ(value.Err(), kCanceled);
}

PARTY_TEST(ContextConformance, CX05ChildOfACancelledParentIsCancelled) {
  const absl::Status why = absl::AbortedError("why");
  auto [parent, cancel] = WithCancelCause(Background());
  cancel(why);
  {
    auto [ctx, unused] = WithCancel(parent);
    ExpectEnded(ctx, kCanceled, why);
  }
  {
    auto [ctx, unused] = WithTimeout(parent, absl::Hours(1));
    ExpectEnded(ctx, kCanceled, why);
  }
  {
    auto [ctx, unused] = WithTimeout(parent, -absl::Hours(1));
    ExpectEnded(ctx, kCanceled, why);
  }
  Event ran;
  const StopFunc stop = AfterFunc(parent, [&] { ran.Set(); });
  ran.Await();
  EXPECT_FALSE(stop());
  EXPECT_EQ(Children(parent), 0);
  EXPECT_EQ(runtime::PendingTimers(), 0u);
}

PARTY_TEST(ContextConformance, CX06CancelledChildLeavesItsParentAndSiblings) {
  auto [parent, cancel_parent] = WithCancel(Background());
  for (const bool timed : {false, true}) {
    auto make = [&, &parent = parent] {
      return timed ? WithTimeout(parent, absl::Hours(1)) : WithCancel(parent);
    };
    auto [a, cancel_a] = make();
    auto [b, cancel_b] = make();
    auto [c, cancel_c] = make();
    EXPECT_EQ(Children(parent), 3);
    cancel_b();
    EXPECT_EQ(Children(parent), 2);
    ExpectEnded(b, kCanceled);
    ExpectOpen(a);
    ExpectOpen(c);
    ExpectOpen(parent);
    cancel_a();
    EXPECT_EQ(Children(parent), 1);
    cancel_c();
    EXPECT_EQ(Children(parent), 0);
    EXPECT_EQ(runtime::PendingTimers(), 0u);
  }
  {
    auto [a, cancel_a] = WithCancel(parent);
    EXPECT_EQ(Children(parent), 1);
  }
  EXPECT_EQ(Children(parent), 0);  // the last copy's destructor
}

// -----------------------------------------------------------------------------
// Deadlines
// -----------------------------------------------------------------------------

PARTY_TEST(ContextConformance, CX08PassedDeadlineEndsWithDeadlineExceeded) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
  auto [child, cancel_child] = WithCancel(ctx);
  EXPECT_FALSE(child.Done().Recv().ok);
  EXPECT_TRUE(absl::IsDeadlineExceeded(child.Err()));
  ExpectEnded(ctx, kDeadlineExceeded);
  ExpectEnded(child, kDeadlineExceeded);
  EXPECT_GE(absl::Now(), *ctx.Deadline());

  auto [late, cancel_late] = WithDeadline(Background(), absl::Now());
  ExpectEnded(late, kDeadlineExceeded);
  auto [past, cancel_past] = WithTimeout(Background(), -absl::Seconds(1));
  ExpectEnded(past, kDeadlineExceeded);

  const absl::Status slow = absl::UnavailableError("too slow");
  auto [caused, cancel_caused] =
      WithTimeoutCause(Background(), absl::Milliseconds(1), slow);
  EXPECT_FALSE(caused.Done().Recv().ok);
  ExpectEnded(caused, kDeadlineExceeded, slow);
  auto [at, cancel_at] = WithDeadlineCause(Background(), absl::Now(), slow);
  ExpectEnded(at, kDeadlineExceeded, slow);
}

PARTY_TEST(ContextConformance, CX10TheEarlierDeadlineCounts) {
  const absl::Time soon = absl::Now() + absl::Milliseconds(20);
  const absl::Time far = soon + absl::Hours(1);
  {
    auto [parent, cancel_parent] = WithDeadline(Background(), soon);
    auto [child, cancel_child] = WithDeadline(parent, far);
    EXPECT_EQ(child.Deadline(), soon);
    EXPECT_EQ(runtime::PendingTimers(), 1u);
    EXPECT_FALSE(child.Done().Recv().ok);
    EXPECT_GE(absl::Now(), soon);
    ExpectEnded(child, kDeadlineExceeded);
  }
  {
    auto [parent, cancel_parent] = WithDeadline(Background(), far);
    auto [child, cancel_child] =
        WithDeadline(parent, absl::Now() + absl::Milliseconds(5));
    EXPECT_LT(*child.Deadline(), far);
    EXPECT_FALSE(child.Done().Recv().ok);
    ExpectOpen(parent);
    EXPECT_EQ(parent.Deadline(), far);
  }
  {
    const absl::Time when = absl::Now() + absl::Milliseconds(5);
    auto [parent, cancel_parent] = WithDeadline(Background(), when);
    auto [child, cancel_child] = WithDeadline(parent, when);
    EXPECT_EQ(child.Deadline(), when);
    EXPECT_FALSE(child.Done().Recv().ok);
    EXPECT_EQ(child.Err(), kDeadlineExceeded);
  }
  auto [parent, cancel_parent] = WithDeadline(Background(), far);
  auto [child, cancel_child] = WithCancel(parent);
  static constexpr Key<int> kKey;
  EXPECT_EQ(WithValue(child, kKey, 1).Deadline(), far);
  auto [never, cancel_never] =
      WithTimeout(Background(), absl::InfiniteDuration());
  EXPECT_EQ(never.Deadline(), std::nullopt);
  ExpectOpen(never);
}

PARTY_TEST(ContextConformance, CX11CancelAndDeadlineInEitherOrder) {
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Hours(1));
    EXPECT_EQ(runtime::PendingTimers(), 1u);
    cancel();
    EXPECT_EQ(runtime::PendingTimers(), 0u);
    ExpectEnded(ctx, kCanceled);
  }
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
    EXPECT_FALSE(ctx.Done().Recv().ok);
    cancel();
    ExpectEnded(ctx, kDeadlineExceeded);
  }
  {
    auto [parent, cancel_parent] = WithCancel(Background());
    auto [ctx, cancel] = WithTimeout(parent, absl::Hours(1));
    cancel_parent();
    EXPECT_EQ(runtime::PendingTimers(), 0u);
    ExpectEnded(ctx, kCanceled);
  }
  EXPECT_EQ(runtime::PendingTimers(), 0u);
}

// -----------------------------------------------------------------------------
// Values
// -----------------------------------------------------------------------------

// A context of the user's own around another one.
struct Wrapper : ContextInterface {
  explicit Wrapper(Context ctx) : inner(std::move(ctx)) {}
  std::optional<absl::Time> Deadline() const override {
    return inner.Deadline();
  }
  RecvChan<Unit> Done() const override { return inner.Done(); }
  absl::Status Err() const override { return inner.Err(); }
  const void* Value(const void* key) const override { return inner.Value(key); }
  std::string String() const override { return "wrapped"; }
  Context inner;
};

Context Wrap(const Context& ctx) {
  return FromInterface(std::make_shared<Wrapper>(ctx));
}

PARTY_TEST(ContextConformance, CX13ValueIsTheNearestOneOutwards) {
  static constexpr Key<std::string> k1("k1");
  static constexpr Key<std::string> k2("k2");
  static constexpr Key<int> k3("k3");
  auto check = [](const Context& ctx, const char* v1, const char* v2, int v3) {
    const std::string* p1 = ctx.Value(k1);
    const std::string* p2 = ctx.Value(k2);
    const int* p3 = ctx.Value(k3);
    EXPECT_EQ(p1 == nullptr ? "" : *p1, v1) << ctx;
    EXPECT_EQ(p2 == nullptr ? "" : *p2, v2) << ctx;
    EXPECT_EQ(p3 == nullptr ? 0 : *p3, v3) << ctx;
  };
  const Context c0 = Background();
  check(c0, "", "", 0);
  const Context c1 = WithValue(c0, k1, "one");
  check(c1, "one", "", 0);
  EXPECT_EQ(c1.String(), "context.Background.WithValue(k1, one)");
  const Context c2 = WithValue(c1, k2, "two");
  check(c2, "one", "two", 0);
  const Context c3 = WithValue(c2, k3, 3);
  check(c3, "one", "two", 3);
  EXPECT_EQ(c3.String(),
            "context.Background.WithValue(k1, one).WithValue(k2, two)"
            ".WithValue(k3, int)");
  const Context shadowed = WithValue(c3, k1, "eins");
  check(shadowed, "eins", "two", 3);
  check(c3, "one", "two", 3);

  const Context wrapped = Wrap(shadowed);
  check(wrapped, "eins", "two", 3);
  const Context beyond = WithValue(wrapped, k2, "zwei");
  check(beyond, "eins", "zwei", 3);
  EXPECT_EQ(beyond.String(), "wrapped.WithValue(k2, zwei)");
  auto [cancellable, cancel] = WithCancel(beyond);
  check(cancellable, "eins", "zwei", 3);
}

// A value whose destructor blocks until it may go on.
struct SlowToGo {
  struct Steps {
    Event entered;
    Event go_on;
    Event left;
  };
  explicit SlowToGo(Steps* s) : steps(s) {}
  SlowToGo(SlowToGo&& other) noexcept
      : steps(std::exchange(other.steps, nullptr)) {}
  ~SlowToGo() {
    if (steps == nullptr) return;
    steps->entered.Set();
    steps->go_on.Await();
    steps->left.Set();
  }
  Steps* steps;
};

// What a thread was destroying was noted in a thread_local, so the contexts of
// other goroutines that came by there meanwhile were never destroyed.
PARTY_TEST(ContextConformance, DestructorsOfValuesMayBlock) {
  static constexpr Key<SlowToGo> kSlow;
  static constexpr Key<std::shared_ptr<int>> kQuick;
  SlowToGo::Steps steps;
  auto quick = std::make_shared<int>(1);
  Parties parties;
  parties.Go([&] {
    // Below it one more, which goes when it has gone on.
    const Context outer = WithValue(Background(), kQuick, quick);
    const Context ctx = WithValue(outer, kSlow, SlowToGo(&steps));
  });
  steps.entered.Await();
  for (int i = 0; i < 100; ++i) {
    auto other = std::make_shared<int>(i);
    {
      const Context outer = WithValue(Background(), kQuick, other);
      const Context ctx = WithValue(outer, kQuick, other);
    }
    EXPECT_EQ(other.use_count(), 1);
    Yield();
  }
  EXPECT_EQ(quick.use_count(), 2);
  steps.go_on.Set();
  parties.Join();
  EXPECT_EQ(quick.use_count(), 1);
}

// The last reference to a context may be its deadline's. The destructor then
// blocked the timers of the worker, or all.
PARTY_TEST(ContextConformance, DestructorsOfValuesDoNotBlockTimers) {
  static constexpr Key<SlowToGo> kSlow;
  SlowToGo::Steps steps;
  {
    auto [ctx, cancel] =
        WithTimeout(WithValue(Background(), kSlow, SlowToGo(&steps)),
                    absl::Milliseconds(1));
    cancel.Release();
  }
  steps.entered.Await();
  auto [later, cancel_later] = WithTimeout(Background(), absl::Milliseconds(1));
  EXPECT_FALSE(later.Done().Recv().ok);
  steps.go_on.Set();
  steps.left.Await();
}

PARTY_TEST(ContextConformance, CX15KeysMatchByIdentity) {
  static constexpr Key<int> a("same");
  static constexpr Key<int> b("same");
  static constexpr Key<std::string> typed("same");
  static constexpr Key<int> plain;
  static constexpr Key<int> other;
  const Context ctx = WithValue(WithValue(Background(), a, 1), plain, 2);
  EXPECT_EQ(*ctx.Value(a), 1);
  EXPECT_EQ(ctx.Value(b), nullptr);
  EXPECT_EQ(ctx.Value(typed), nullptr);
  EXPECT_EQ(*ctx.Value(plain), 2);
  EXPECT_EQ(ctx.Value(other), nullptr);
}

PARTY_TEST(ContextConformance, CX16NilParentIsRejected) {
  static constexpr Key<int> kKey;
  constexpr char kText[] = "cannot create context from nil parent";
  const Context nil;
  EXPECT_TRUE(nil.IsNil());
  EXPECT_PANIC(WithCancel(nil), kText);
  EXPECT_PANIC(WithCancelCause(nil), kText);
  EXPECT_PANIC(WithDeadline(nil, absl::Now()), kText);
  EXPECT_PANIC(WithDeadlineCause(nil, absl::Now(), kCanceled), kText);
  EXPECT_PANIC(WithTimeout(nil, absl::Hours(1)), kText);
  EXPECT_PANIC(WithTimeoutCause(nil, absl::Hours(1), kCanceled), kText);
  EXPECT_PANIC(WithValue(nil, kKey, 1), kText);
  EXPECT_PANIC(WithoutCancel(nil), kText);
  EXPECT_PANIC(AfterFunc(nil, [] {}), kText);
  EXPECT_TRUE(FromInterface(nullptr).IsNil());
  EXPECT_PANIC(nil.Err(), "nil pointer");
  EXPECT_PANIC(nil.Done(), "nil pointer");
  // A key is a reference to an object that cannot be copied or be null.
  static_assert(!std::is_constructible_v<Key<int>, std::nullptr_t> ||
                !std::is_convertible_v<std::nullptr_t, Key<int>>);
  static_assert(!std::is_copy_constructible_v<Key<int>>);
}

// It was a context that never ends, so that the select slept for ever.
PARTY_TEST(ContextConformance, CX16NilContextInASelectPanics) {
  constexpr char kText[] = "nil pointer dereference";
  const Context nil;
  auto ch = MakeChan<std::unique_ptr<int>>(1);
  auto value = std::make_unique<int>(5);
  EXPECT_PANIC(Select(DoneCase(nil), DefaultCase()), kText);
  EXPECT_PANIC(Select(DoneCase(nil, [] {}), RecvCase(ch)), kText);
  EXPECT_PANIC(SendOr(nil, ch, std::move(value)), kText);
  EXPECT_PANIC(RecvOr(nil, ch), kText);
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(ch.Len(), 0u);
}

// -----------------------------------------------------------------------------
// Causes
// -----------------------------------------------------------------------------

PARTY_TEST(ContextConformance, CX17CauseIsTheGivenStatus) {
  const absl::Status why = absl::DataLossError("disk");
  {
    auto [ctx, cancel] = WithCancelCause(Background());
    ExpectOpen(ctx);
    cancel(why);
    ExpectEnded(ctx, kCanceled, why);
    cancel(absl::AbortedError("later"));
    ExpectEnded(ctx, kCanceled, why);
  }
  {
    auto [ctx, cancel] = WithCancelCause(Background());
    cancel(absl::OkStatus());
    ExpectEnded(ctx, kCanceled);
  }
  Context ctx;
  {
    CancelCauseFunc cancel;
    std::tie(ctx, cancel) = WithCancelCause(Background());
    ExpectOpen(ctx);
  }
  ExpectEnded(ctx, kCanceled);
}

PARTY_TEST(ContextConformance, CX18TheFirstCancellationFixesTheCause) {
  const absl::Status parent_cause = absl::InternalError("parent");
  const absl::Status child_cause = absl::InternalError("child");
  for (const bool parent_first : {true, false}) {
    for (const bool parent_has : {true, false}) {
      for (const bool child_has : {true, false}) {
        auto [parent, cancel_parent] = WithCancelCause(Background());
        auto [child, cancel_child] = WithCancelCause(parent);
        auto end_parent = [&, &cancel_parent = cancel_parent] {
          cancel_parent(parent_has ? parent_cause : absl::OkStatus());
        };
        auto end_child = [&, &cancel_child = cancel_child] {
          cancel_child(child_has ? child_cause : absl::OkStatus());
        };
        const absl::Status of_parent = parent_has ? parent_cause : kCanceled;
        const absl::Status of_child = child_has ? child_cause : kCanceled;
        if (parent_first) {
          end_parent();
          ExpectEnded(child, kCanceled, of_parent);
          end_child();
          ExpectEnded(child, kCanceled, of_parent);
        } else {
          end_child();
          ExpectEnded(child, kCanceled, of_child);
          ExpectOpen(parent);
          end_parent();
          ExpectEnded(child, kCanceled, of_child);
        }
        ExpectEnded(parent, kCanceled, of_parent);
      }
    }
  }
}

PARTY_TEST(ContextConformance, CX18RacingCancellersAgreeOnOneCause) {
  for (int64_t round = PartyScaled(500); round > 0; --round) {
    auto [parent, cancel_parent] = WithCancelCause(Background());
    auto [child, cancel_child] = WithCancelCause(parent);
    std::atomic<int> ready{0};
    Parties parties;
    parties.Go([&, cancel = cancel_parent, child = child] {
      ready.fetch_add(1);
      while (ready.load() < 2) Yield();
      cancel(absl::InternalError("parent"));
      const absl::Status seen = child.Cause();
      EXPECT_FALSE(seen.ok());
      EXPECT_EQ(child.Cause(), seen);
    });
    parties.Go([&, cancel = cancel_child, child = child] {
      ready.fetch_add(1);
      while (ready.load() < 2) Yield();
      cancel(absl::InternalError("child"));
      const absl::Status seen = child.Cause();
      EXPECT_FALSE(seen.ok());
      EXPECT_EQ(child.Cause(), seen);
    });
  }
}

// -----------------------------------------------------------------------------
// AfterFunc
// -----------------------------------------------------------------------------

PARTY_TEST(ContextConformance, CX23AfterFuncRunsOnceBesideTheCanceller) {
  {
    auto [ctx, cancel] = WithCancel(Background());
    Event go_on;
    Event ran;
    std::atomic<int> runs{0};
    const Context copy = ctx;
    const StopFunc stop = AfterFunc(ctx, [&, copy] {
      go_on.Await();  // would hang if it ran inside cancel()
      EXPECT_FALSE(copy.Err().ok());
      runs.fetch_add(1);
      ran.Set();
    });
    EXPECT_EQ(Children(ctx), 1);
    cancel();
    EXPECT_EQ(Children(ctx), 0);
    EXPECT_FALSE(stop());
    go_on.Set();
    ran.Await();
    cancel();
    EXPECT_EQ(runs.load(), 1);
  }
  {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
    Event ran;
    AfterFunc(ctx, [&] { ran.Set(); });  // dropping the StopFunc stops nothing
    ran.Await();
    EXPECT_EQ(ctx.Err(), kDeadlineExceeded);
  }
  {
    auto [ctx, cancel] = WithCancel(Background());
    cancel();
    Event go_on;
    Event ran;
    AfterFunc(ctx, [&] {
      go_on.Await();
      ran.Set();
    });
    go_on.Set();
    ran.Await();
  }
}

// What only the parent or a deadline can still end is kept for the function,
// though no handle is left.
PARTY_TEST(ContextConformance, CX23AfterFuncOfAContextWithoutHandlesRuns) {
  auto [root, cancel_root] = WithCancel(Background());
  Event ran;
  Event timed;
  {
    auto [ctx, cancel] = WithCancel(root);
    AfterFunc(ctx, [&] { ran.Set(); });
    cancel.Release();
    auto [late, cancel_late] = WithTimeout(Background(), absl::Milliseconds(5));
    AfterFunc(late, [&] { timed.Set(); });
    cancel_late.Release();
  }
  EXPECT_EQ(Children(root), 1);
  timed.Await();
  EXPECT_FALSE(ran.IsSet());
  cancel_root();
  ran.Await();
  EXPECT_EQ(Children(root), 0);
}

PARTY_TEST(ContextConformance, CX24StopBeforeCancellation) {
  std::atomic<int> runs{0};
  auto [ctx, cancel] = WithCancel(Background());
  const StopFunc stop = AfterFunc(ctx, [&] { runs.fetch_add(1); });
  const StopFunc other = stop;
  EXPECT_TRUE(stop());
  EXPECT_EQ(Children(ctx), 0);
  EXPECT_FALSE(stop());
  EXPECT_FALSE(other());
  cancel();
  EXPECT_FALSE(StopFunc()());

  const StopFunc never = AfterFunc(Background(), [&] { runs.fetch_add(1); });
  EXPECT_TRUE(never());
  EXPECT_FALSE(never());

  StopFunc orphaned;
  {
    auto [dropped, cancel_dropped] = WithCancel(Background());
    orphaned = AfterFunc(dropped, [&] { runs.fetch_add(1); });
    cancel_dropped.Release();
  }
  EXPECT_TRUE(orphaned());
  EXPECT_FALSE(orphaned());
  test::PauseFor(kPause);
  EXPECT_EQ(runs.load(), 0);
}

PARTY_TEST(ContextConformance, CX24StopRacesCancellation) {
  for (int64_t round = PartyScaled(300); round > 0; --round) {
    auto [ctx, cancel] = WithCancel(Background());
    Event ran;
    const StopFunc stop = AfterFunc(ctx, [&] { ran.Set(); });
    std::atomic<int> ready{0};
    bool stopped = false;
    {
      Parties parties;
      parties.Go([&, cancel = cancel] {
        ready.fetch_add(1);
        while (ready.load() < 2) Yield();
        cancel();
      });
      parties.Go([&] {
        ready.fetch_add(1);
        while (ready.load() < 2) Yield();
        stopped = stop();
      });
    }
    if (!stopped) ran.Await();
    EXPECT_EQ(Children(ctx), 0);
  }
}

PARTY_TEST(ContextConformance, CX27WithoutCancelKeepsTheValuesAlone) {
  static constexpr Key<int> kKey;
  auto [parent, cancel] =
      WithTimeout(WithValue(Background(), kKey, 7), absl::Hours(1));
  const Context before = WithoutCancel(parent);
  // Taken once: it contains the time that is left to the parent's deadline, so
  // that two of them may differ in length.
  const std::string printed = before.String();
  EXPECT_EQ(printed.substr(printed.rfind('.')), ".WithoutCancel");
  cancel();
  const Context after = WithoutCancel(parent);
  for (const Context& ctx : {before, after}) {
    EXPECT_EQ(*ctx.Value(kKey), 7);
    EXPECT_TRUE(ctx.Done().IsNil());
    EXPECT_TRUE(ctx.Err().ok());
    EXPECT_TRUE(ctx.Cause().ok());
    EXPECT_EQ(ctx.Deadline(), std::nullopt);
    auto [below, cancel_below] = WithTimeout(ctx, absl::Milliseconds(1));
    EXPECT_EQ(*below.Value(kKey), 7);
    EXPECT_FALSE(below.Done().Recv().ok);
    ExpectEnded(below, kDeadlineExceeded);
    auto [child, cancel_child] = WithCancelCause(ctx);
    ExpectOpen(child);
    cancel_child(absl::AbortedError("why"));
    ExpectEnded(child, kCanceled, absl::AbortedError("why"));
  }
}

// -----------------------------------------------------------------------------
// Foreign contexts
// -----------------------------------------------------------------------------

// Runs the functions registered with it inside Cancel(), one after another.
class AfterFuncContext : public ContextInterface {
 public:
  RecvChan<Unit> Done() const override { return done_; }
  absl::Status Err() const override {
    std::lock_guard lock(mutex_);
    return err_;
  }
  std::optional<StopFunc> AfterFunc(
      absl::AnyInvocable<void()> fn) const override {
    std::lock_guard lock(mutex_);
    const auto it = functions_.insert(functions_.end(), std::move(fn));
    return StopFunc([this, it, used = false]() mutable {
      std::lock_guard stop_lock(mutex_);
      if (used || !err_.ok()) return false;
      used = true;
      functions_.erase(it);
      return true;
    });
  }
  void Cancel(absl::Status err) {
    std::list<absl::AnyInvocable<void()>> functions;
    {
      std::lock_guard lock(mutex_);
      err_ = std::move(err);
      functions.swap(functions_);
    }
    done_.Close();
    for (auto& fn : functions) fn();
  }
  size_t Registered() const {
    std::lock_guard lock(mutex_);
    return functions_.size();
  }

 private:
  Chan<Unit> done_ = MakeChan<Unit>();
  mutable std::mutex mutex_;
  absl::Status err_;
  mutable std::list<absl::AnyInvocable<void()>> functions_;
};

PARTY_TEST(ContextConformance, CX29ForeignAfterFuncIsUsedAndUnregistered) {
  auto foreign = std::make_shared<AfterFuncContext>();
  const Context parent = FromInterface(foreign);
  auto [a, cancel_a] = WithCancel(parent);
  const StopFunc stop = AfterFunc(parent, [] { FAIL() << "was stopped"; });
  EXPECT_EQ(foreign->Registered(), 2u);
  cancel_a();
  EXPECT_EQ(foreign->Registered(), 1u);
  EXPECT_TRUE(stop());
  EXPECT_EQ(foreign->Registered(), 0u);
  {
    auto [dropped, cancel_dropped] = WithCancel(parent);
    cancel_dropped.Release();
    EXPECT_EQ(foreign->Registered(), 1u);
  }
  EXPECT_EQ(foreign->Registered(), 0u);  // nobody can observe it any more

  auto [b, cancel_b] = WithCancel(parent);
  auto [c, cancel_c] = WithTimeout(b, absl::Hours(1));
  Event ran;
  AfterFunc(parent, [&] { ran.Set(); });
  EXPECT_EQ(foreign->Registered(), 2u);
  const absl::Status why = absl::UnavailableError("foreign");
  foreign->Cancel(why);
  ran.Await();
  ExpectEnded(b, why);
  ExpectEnded(c, why);
  EXPECT_EQ(parent.Err(), why);
  EXPECT_EQ(parent.Cause(), why);
  auto [late, cancel_late] = WithCancel(parent);
  ExpectEnded(late, why);
}

// A child that timed out called it in its timer's callback, so that it blocked
// the timers of the worker, or all.
PARTY_TEST(ContextConformance, CX29ForeignStopFunctionDoesNotBlockTimers) {
  auto foreign = std::make_shared<test::SlowToForget>();
  auto [ctx, cancel] =
      WithTimeout(FromInterface(foreign), absl::Milliseconds(1));
  EXPECT_FALSE(ctx.Done().Recv().ok);
  ExpectEnded(ctx, kDeadlineExceeded);
  foreign->entered.Await();
  auto [later, cancel_later] = WithTimeout(Background(), absl::Milliseconds(1));
  EXPECT_FALSE(later.Done().Recv().ok);
  foreign->go_on.Set();
  foreign->left.Await();
}

// A foreign context that offers nothing but its channel.
struct PlainContext : ContextInterface {
  RecvChan<Unit> Done() const override { return done; }
  absl::Status Err() const override {
    return done.TryRecv().has_value() ? kCanceled : absl::OkStatus();
  }
  Chan<Unit> done = MakeChan<Unit>();
};

PARTY_TEST(ContextConformance, CX29ForeignDoneChannelIsWatched) {
  auto foreign = std::make_shared<PlainContext>();
  const Context parent = FromInterface(foreign);
  auto [a, cancel_a] = WithCancel(parent);
  auto [b, cancel_b] = WithCancel(a);
  auto [c, cancel_c] = WithCancel(parent);
  std::atomic<int> runs{0};
  const StopFunc stop = AfterFunc(parent, [&] { runs.fetch_add(1); });
  Event ran;
  AfterFunc(parent, [&] { ran.Set(); });
  auto waiting = [&] {
    return internal::CoreAccess::Get(foreign->done)->WaitersForTest();
  };
  EXPECT_EQ(waiting(), 4);
  cancel_c();
  EXPECT_EQ(waiting(), 3);
  EXPECT_TRUE(stop());
  EXPECT_EQ(waiting(), 2);
  ExpectOpen(a);
  foreign->done.Close();
  // A goroutine ends them.
  EXPECT_FALSE(a.Done().Recv().ok);
  EXPECT_FALSE(b.Done().Recv().ok);
  ExpectEnded(a, kCanceled);
  ExpectEnded(b, kCanceled);
  ran.Await();
  auto [late, cancel_late] = WithCancel(parent);
  ExpectEnded(late, kCanceled);
  EXPECT_EQ(runs.load(), 0);
}

// The usual shape of one: a mutex guards Err(), and Done is closed under it.
struct LockedContext : ContextInterface {
  RecvChan<Unit> Done() const override { return done; }
  absl::Status Err() const override {
    const std::lock_guard lock(mutex);
    return err;
  }
  void Cancel(absl::Status why) {
    const std::lock_guard lock(mutex);
    err = std::move(why);
    done.Close();
  }
  Chan<Unit> done = MakeChan<Unit>();
  mutable Mutex mutex;
  absl::Status err;
};

// Err() was asked inside Close(), where it waited for that mutex.
PARTY_TEST(ContextConformance, CX29ForeignErrIsNotAskedInsideItsClose) {
  auto foreign = std::make_shared<LockedContext>();
  const Context parent = FromInterface(foreign);
  auto [ctx, cancel] = WithCancel(parent);
  auto [child, cancel_child] = WithTimeout(ctx, absl::Hours(1));
  Event ran;
  AfterFunc(parent, [&] { ran.Set(); });
  const absl::Status why = absl::UnavailableError("foreign");
  Event returned;
  Parties parties;
  parties.Go([&] {
    foreign->Cancel(why);
    returned.Set();
  });
  returned.Await();
  EXPECT_FALSE(child.Done().Recv().ok);
  ExpectEnded(ctx, why);
  ExpectEnded(child, why);
  ran.Await();
}

PARTY_TEST(ContextConformance, CX29ForeignWrapperOfOursAttachesToOurs) {
  const absl::Status why = absl::AbortedError("why");
  auto [inner, cancel] = WithCancelCause(Background());
  auto [child, cancel_child] = WithCancel(Wrap(inner));
  EXPECT_EQ(Children(inner), 1);
  cancel(why);
  ExpectEnded(child, kCanceled, why);
  EXPECT_EQ(Wrap(inner).Cause(), why);
}

// Passes Value() on, and Done() too unless it has a channel of its own; Err()
// is its own.
struct Judge : ContextInterface {
  explicit Judge(Context ctx) : inner(std::move(ctx)) {}
  RecvChan<Unit> Done() const override {
    return own.IsNil() ? inner.Done() : own;
  }
  absl::Status Err() const override { return err; }
  const void* Value(const void* key) const override {
    return passes_on ? inner.Value(key) : nullptr;
  }
  Context inner;
  Chan<Unit> own = nullptr;
  absl::Status err;
  bool passes_on = true;
};

// The cause was that of whose Done channel it was, whatever Err() said.
PARTY_TEST(ContextConformance, CX29ForeignCauseIsErrsOrThatOfOursWithin) {
  const absl::Status why = absl::AbortedError("why");
  const absl::Status own = absl::UnknownError("own");
  {
    auto [inner, cancel] = WithCancelCause(Background());
    auto judge = std::make_shared<Judge>(inner);
    const Context ctx = FromInterface(judge);
    judge->err = own;  // though `inner` has not ended
    EXPECT_EQ(ctx.Cause(), own);
    judge->err = absl::OkStatus();
    cancel(why);
    EXPECT_EQ(ctx.Cause(), absl::OkStatus());
    judge->err = own;
    EXPECT_EQ(ctx.Cause(), why);
    EXPECT_EQ(Wrap(ctx).Cause(), why);
    static constexpr Key<int> kKey;
    EXPECT_EQ(WithValue(ctx, kKey, 1).Cause(), why);
  }
  {
    auto [inner, cancel] = WithCancelCause(Background());
    auto judge = std::make_shared<Judge>(inner);
    judge->own = MakeChan<Unit>();
    const Context ctx = FromInterface(judge);
    auto [child, cancel_child] = WithCancel(ctx);
    cancel(why);
    ExpectOpen(child);
    judge->err = kCanceled;
    judge->own.Close();
    EXPECT_EQ(ctx.Cause(), why);
    EXPECT_FALSE(child.Done().Recv().ok);
    ExpectEnded(child, kCanceled, why);
  }
  {
    // What is beyond WithoutCancel() has not ended it.
    auto [inner, cancel] = WithCancelCause(Background());
    auto judge = std::make_shared<Judge>(WithoutCancel(inner));
    cancel(why);
    judge->err = own;
    EXPECT_EQ(FromInterface(judge).Cause(), own);
  }
}

// One that passes on Done() alone has an Err() of its own, which children were
// not told.
PARTY_TEST(ContextConformance, CX29ForeignDoneOfOursAloneDoesNotAttachToOurs) {
  auto [inner, cancel] = WithCancelCause(Background());
  auto judge = std::make_shared<Judge>(inner);
  judge->passes_on = false;
  judge->err = absl::UnknownError("own");
  auto [child, cancel_child] = WithCancel(FromInterface(judge));
  EXPECT_EQ(Children(inner), 0);
  cancel(absl::AbortedError("why"));
  EXPECT_FALSE(child.Done().Recv().ok);
  ExpectEnded(child, judge->err);
}

PARTY_TEST(ContextConformance, CX29ForeignEndRacesChildren) {
  for (int64_t round = PartyScaled(200); round > 0; --round) {
    for (const bool after : {false, true}) {
      auto with = std::make_shared<AfterFuncContext>();
      auto plain = std::make_shared<PlainContext>();
      const Context parent = after ? FromInterface(with) : FromInterface(plain);
      std::atomic<int> ready{0};
      Parties parties;
      parties.Go([&] {
        ready.fetch_add(1);
        while (ready.load() < 3) Yield();
        if (after) {
          with->Cancel(kCanceled);
        } else {
          plain->done.Close();
        }
      });
      parties.GoEach(2, [&, parent](int i) {
        ready.fetch_add(1);
        while (ready.load() < 3) Yield();
        auto [ctx, cancel] = WithCancel(parent);
        if (i == 0) {
          EXPECT_FALSE(ctx.Done().Recv().ok);
        } else {
          cancel();
        }
        EXPECT_EQ(ctx.Err(), kCanceled);
      });
      parties.Join();
    }
  }
}

// -----------------------------------------------------------------------------
// Many at once
// -----------------------------------------------------------------------------

PARTY_TEST(ContextConformance, CX30SimultaneousCancelsOfATree) {
  constexpr int kNodes = 100;
  constexpr int kThreads = 4;
  std::mt19937 random(30);
  for (int64_t round = PartyScaled(1000); round > 0; --round) {
    std::vector<Context> tree = {Background()};
    std::vector<CancelFunc> cancels;
    for (int i = 0; i < kNodes; ++i) {
      auto [ctx, cancel] = WithCancel(tree[random() % tree.size()]);
      tree.push_back(ctx);
      cancels.push_back(cancel);
    }
    std::shuffle(cancels.begin(), cancels.end(), random);
    {
      Parties parties;
      parties.GoEach(kThreads, [&](int t) {
        for (int i = t; i < kNodes; i += kThreads) cancels[i]();
      });
    }
    for (int i = 1; i <= kNodes; ++i) {
      ASSERT_EQ(tree[i].Err(), kCanceled);
      ASSERT_TRUE(IsDone(tree[i]));
      ASSERT_EQ(Children(tree[i]), 0);
    }
  }
}

PARTY_TEST(ContextConformance, CX31ChildCancelledWhenTheParentIsDone) {
  for (int64_t round = PartyScaled(2000); round > 0; --round) {
    auto [parent, cancel_parent] = WithCancel(Background());
    auto [child, cancel_child] = WithCancel(parent);
    Parties parties;
    parties.Go([parent = parent, cancel = cancel_child] {
      (void)parent.Done().Recv();
      cancel();
    });
    cancel_parent();
    (void)child.Done().Recv();
    parties.Join();
    ASSERT_EQ(child.Err(), kCanceled);
  }
}

PARTY_TEST(ContextConformance, CX32LayersKeepTheirValues) {
  static const Key<int> keys[64];
  std::mt19937 random(32);
  for (const bool timeout : {false, true}) {
    for (int64_t round = PartyScaled(200); round > 0; --round) {
      Context ctx = Background();
      std::vector<CancelFunc> cancels;
      std::vector<int> values;
      int timers = 0;
      const int layers = 30 + static_cast<int>(random() % 30);
      for (int i = 0; i < layers || cancels.empty(); ++i) {
        CancelFunc cancel;
        switch (random() % 3) {
          case 0:
            if (values.size() == 64) break;
            values.push_back(static_cast<int>(random()));
            ctx = WithValue(ctx, keys[values.size() - 1], values.back());
            break;
          case 1: {
            auto made = WithCancel(ctx);
            ctx = made.first;
            cancels.push_back(made.second);
            break;
          }
          case 2: {
            const absl::Duration d =
                timeout && timers == 0 ? absl::Milliseconds(2) : absl::Hours(1);
            auto made = WithTimeout(ctx, d);
            ctx = made.first;
            cancels.push_back(made.second);
            ++timers;
            break;
          }
        }
      }
      auto check = [&] {
        for (size_t i = 0; i < values.size(); ++i) {
          ASSERT_NE(ctx.Value(keys[i]), nullptr);
          ASSERT_EQ(*ctx.Value(keys[i]), values[i]);
        }
      };
      check();
      if (timeout && timers > 0) {
        ASSERT_FALSE(ctx.Done().Recv().ok);
        ASSERT_EQ(ctx.Err(), kDeadlineExceeded);
      } else {
        cancels[random() % cancels.size()]();
        ASSERT_EQ(ctx.Err(), kCanceled);
      }
      check();
    }
  }
  EXPECT_EQ(runtime::PendingTimers(), 0u);
}

// -----------------------------------------------------------------------------
// Cost, and memory order
// -----------------------------------------------------------------------------

template <typename Fn>
double AllocationsPerRun(Fn fn) {
  constexpr int kRuns = 100;
  fn();  // warm up
  const int64_t before = test::Allocations();
  for (int i = 0; i < kRuns; ++i) fn();
  return static_cast<double>(test::Allocations() - before) / kRuns;
}

PARTY_TEST(ContextConformance, CX35AllocationBudget) {
  static constexpr Key<int> kKey;
  EXPECT_EQ(AllocationsPerRun([] { Background(); }), 0);
  EXPECT_LE(AllocationsPerRun([] {
              const Context ctx = WithValue(Background(), kKey, 1);
              EXPECT_EQ(*ctx.Value(kKey), 1);
            }),
            1);
  // Under ASan each object is an allocation; else they come from a pool.
  EXPECT_LE(AllocationsPerRun([] {
              auto [ctx, cancel] = WithCancel(Background());
              cancel();
              EXPECT_FALSE(ctx.Done().Recv().ok);
            }),
            2);
  EXPECT_LE(AllocationsPerRun([] {
              auto [ctx, cancel] = WithTimeout(Background(), absl::Hours(1));
              cancel();
              EXPECT_FALSE(ctx.Done().Recv().ok);
            }),
            4);
  const int64_t live = test::LiveAllocations();
  {
    auto [parent, cancel_parent] = WithCancel(Background());
    std::vector<std::pair<Context, CancelFunc>> children;
    for (int i = 0; i < 1000; ++i) children.push_back(WithCancel(parent));
  }
  EXPECT_LE(test::LiveAllocations(), live);
}

PARTY_TEST(ContextConformance, HB10WritesBeforeCancelAreVisible) {
  for (int64_t round = PartyScaled(2000); round > 0; --round) {
    auto [ctx, cancel] = WithCancel(Background());
    auto [child, cancel_child] = WithCancel(ctx);
    int plain = 0;
    Parties parties;
    parties.GoEach(3, [&, child = child](int how) {
      if (how == 0) {
        (void)child.Done().Recv();
      } else if (how == 1) {
        while (child.Err().ok()) Yield();
      } else {
        while (child.Cause().ok()) Yield();
      }
      EXPECT_EQ(plain, 1);
    });
    plain = 1;
    cancel();
  }
}

}  // namespace
}  // namespace gochan

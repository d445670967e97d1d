// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the conformance tests leave open: the handles' own manners.

#include "ctx/context.h"

#include <atomic>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/internal/node.h"
#include "gtest/gtest.h"
#include "runtime/timers.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::Event;

TEST(CancelFuncTest, LastCopyCancels) {
  Context ctx;
  {
    CancelFunc outer;
    {
      auto [made, cancel] = WithCancel(Background());
      ctx = made;
      const CancelFunc copy = cancel;
      outer = copy;
    }
    EXPECT_TRUE(ctx.Err().ok());
    const CancelFunc moved = std::move(outer);
    EXPECT_FALSE(outer);  // NOLINT: moved from on purpose
    EXPECT_TRUE(ctx.Err().ok());
  }
  EXPECT_FALSE(ctx.Err().ok());
}

TEST(CancelFuncTest, ReleasedCopyDoesNotCancel) {
  auto [parent, cancel_parent] = WithCancel(Background());
  Context ctx;
  {
    auto [made, cancel] = WithCancel(parent);
    ctx = made;
    cancel.Release();
    EXPECT_FALSE(cancel);
    cancel();
  }
  EXPECT_TRUE(ctx.Err().ok());
  cancel_parent();
  EXPECT_FALSE(ctx.Err().ok());
  CancelFunc()();
}

TEST(CancelFuncTest, AnotherCopyCancelsAfterRelease) {
  auto [ctx, cancel] = WithCancel(Background());
  {
    CancelFunc copy = cancel;
    cancel.Release();
    EXPECT_TRUE(ctx.Err().ok());
  }
  EXPECT_FALSE(ctx.Err().ok());
}

TEST(CancelFuncTest, AssigningOverTheLastOneCancels) {
  Context a;
  Context b;
  CancelFunc cancel;
  std::tie(a, cancel) = WithCancel(Background());
  std::tie(b, cancel) = WithCancel(Background());
  EXPECT_FALSE(a.Err().ok());
  EXPECT_TRUE(b.Err().ok());
}

TEST(CancelFuncTest, TiePortsReassignment) {
  Context ctx = Background();
  CancelFunc cancel;
  std::tie(ctx, cancel) = WithTimeout(ctx, absl::Hours(1));
  EXPECT_TRUE(ctx.Deadline().has_value());
  cancel();
  EXPECT_FALSE(ctx.Err().ok());
}

TEST(CancelFuncTest, OfAFunction) {
  int calls = 0;
  {
    CancelFunc cancel([&calls] { ++calls; });
    const CancelFunc copy = cancel;
    cancel();
    EXPECT_EQ(calls, 1);
  }
  EXPECT_EQ(calls, 2);
}

TEST(CancelFuncTest, CauseFuncReleases) {
  auto [ctx, cancel] = WithCancelCause(Background());
  CancelCauseFunc copy = cancel;
  cancel.Release();
  cancel(absl::InternalError("released"));
  EXPECT_TRUE(ctx.Err().ok());
  copy(absl::InternalError("copy"));
  EXPECT_EQ(ctx.Cause(), absl::InternalError("copy"));
}

TEST(ContextTest, CopiesAreTheSameContext) {
  auto [ctx, cancel] = WithCancel(Background());
  Context copy = ctx;
  EXPECT_TRUE(copy == ctx);
  EXPECT_FALSE(copy == Background());
  Context moved = std::move(copy);
  EXPECT_TRUE(moved == ctx);
  EXPECT_TRUE(copy.IsNil());  // NOLINT: moved from on purpose
  copy = moved;
  EXPECT_TRUE(copy == ctx);
  EXPECT_FALSE(Context());
  EXPECT_EQ(Context().String(), "nil");
}

TEST(ContextTest, PrintsAsGo) {
  static constexpr Key<std::string> kNamed("user");
  static constexpr Key<int> kPlain;
  const absl::Time when = absl::Now() + absl::Hours(1);
  auto [timed, cancel] = WithDeadline(TODO(), when);
  std::ostringstream out;
  out << WithValue(timed, kNamed, "gopher");
  const std::string text = out.str();
  const std::string begin = "context.TODO.WithDeadline(" +
                            absl::FormatTime("%Y-%m-%d %H:%M:%E*S %z %Z", when,
                                             absl::LocalTimeZone()) +
                            " [59m59.";
  EXPECT_EQ(text.substr(0, begin.size()), begin);
  const std::string end = "]).WithValue(user, gopher)";
  EXPECT_EQ(text.substr(text.size() - end.size()), end);
  const std::string plain = WithValue(Background(), kPlain, 1).String();
  EXPECT_NE(plain.find("Key<int>"), std::string::npos) << plain;
  auto [child, cancel_child] = WithTimeout(timed, absl::Hours(2));
  EXPECT_NE(child.String().find("]).WithCancel"), std::string::npos);
}

// Times and durations were printed as Abseil does: "2001-09-09T…", "1h".
TEST(ContextTest, PrintsDeadlinesAsGo) {
  auto [past, cancel_past] =
      WithDeadline(Background(), absl::FromUnixMillis(1'000'000'000'120));
  const std::string text = past.String();
  EXPECT_NE(text.find("(2001-09-0"), std::string::npos) << text;
  EXPECT_NE(text.find(":40.12 "), std::string::npos) << text;
  EXPECT_NE(text.find(" [-2"), std::string::npos) << text;
  EXPECT_EQ(internal::PrintDuration(absl::ZeroDuration()), "0s");
  EXPECT_EQ(internal::PrintDuration(absl::Nanoseconds(1)), "1ns");
  EXPECT_EQ(internal::PrintDuration(absl::Nanoseconds(1500)), "1.5µs");
  EXPECT_EQ(internal::PrintDuration(absl::Milliseconds(1)), "1ms");
  EXPECT_EQ(internal::PrintDuration(absl::Microseconds(-1500)), "-1.5ms");
  EXPECT_EQ(internal::PrintDuration(absl::Milliseconds(1100)), "1.1s");
  EXPECT_EQ(internal::PrintDuration(absl::Minutes(1)), "1m0s");
  EXPECT_EQ(internal::PrintDuration(absl::Hours(1)), "1h0m0s");
  EXPECT_EQ(internal::PrintDuration(absl::Hours(1) - absl::Nanoseconds(1)),
            "59m59.999999999s");
  EXPECT_EQ(internal::PrintDuration(absl::Milliseconds(7322500)), "2h2m2.5s");
  EXPECT_EQ(internal::PrintDuration(-absl::InfiniteDuration()),
            "-2562047h47m16.854775808s");
}

TEST(ContextTest, ValuesAreMovedInAndDestroyedWithTheLastHandle) {
  struct Flag {
    explicit Flag(bool* d) : destroyed(d) {}
    Flag(Flag&& other) noexcept
        : destroyed(std::exchange(other.destroyed, nullptr)) {}
    ~Flag() {
      if (destroyed != nullptr) *destroyed = true;
    }
    bool* destroyed;
  };
  static constexpr Key<Flag> kFlag;
  static constexpr Key<std::unique_ptr<int>> kUnique;
  bool destroyed = false;
  {
    Context child;
    {
      const Context ctx = WithValue(Background(), kFlag, Flag(&destroyed));
      child = WithValue(ctx, kUnique, std::make_unique<int>(5));
    }
    EXPECT_NE(child.Value(kFlag), nullptr);
    EXPECT_EQ(**child.Value(kUnique), 5);
    EXPECT_FALSE(destroyed);
  }
  EXPECT_TRUE(destroyed);
}

TEST(ContextTest, DoneOutlivesTheContextAndStillEnds) {
  auto [parent, cancel_parent] = WithCancel(Background());
  RecvChan<Unit> done;
  {
    auto [ctx, cancel] = WithCancel(parent);
    done = ctx.Done();
    cancel.Release();
  }
  EXPECT_FALSE(done.TryRecv().has_value());
  cancel_parent();
  EXPECT_FALSE(done.Recv().ok);
  EXPECT_EQ(done.Len(), 0u);
  EXPECT_EQ(done.Cap(), 0u);
}

TEST(ContextTest, ForeignContextThatNeverEnds) {
  const Context parent = FromInterface(std::make_shared<ContextInterface>());
  EXPECT_TRUE(parent.Done().IsNil());
  EXPECT_EQ(parent.String(), "context.Interface");
  auto [ctx, cancel] = WithCancel(parent);
  const StopFunc stop = AfterFunc(parent, [] {});
  EXPECT_TRUE(ctx.Err().ok());
  EXPECT_TRUE(stop());
  cancel();
  EXPECT_FALSE(ctx.Err().ok());
}

// A foreign context that runs what is registered at once, inside AfterFunc().
struct Eager : ContextInterface {
  RecvChan<Unit> Done() const override { return done; }
  absl::Status Err() const override { return absl::AbortedError("eager"); }
  std::optional<StopFunc> AfterFunc(
      absl::AnyInvocable<void()> fn) const override {
    fn();
    return StopFunc([] { return false; });
  }
  Chan<Unit> done = MakeChan<Unit>();
};

TEST(ContextTest, ForeignAfterFuncMayRunAtOnce) {
  const Context parent = FromInterface(std::make_shared<Eager>());
  auto [ctx, cancel] = WithCancel(parent);
  EXPECT_EQ(ctx.Err(), absl::AbortedError("eager"));
  Event ran;
  const StopFunc stop = AfterFunc(parent, [&] { ran.Set(); });
  ran.Await();
  EXPECT_FALSE(stop());
}

TEST(AfterFuncTest, FunctionGoesWithAContextThatCanNeverEnd) {
  auto held = std::make_shared<int>(1);
  {
    auto [ctx, cancel] = WithCancel(Background());
    AfterFunc(ctx, [held] {});
    EXPECT_EQ(held.use_count(), 2);
    cancel.Release();
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(AfterFuncTest, StopDropsTheFunction) {
  auto held = std::make_shared<int>(1);
  auto [ctx, cancel] = WithCancel(Background());
  const StopFunc stop = AfterFunc(ctx, [held] {});
  EXPECT_EQ(held.use_count(), 2);
  EXPECT_TRUE(stop());
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace gochan

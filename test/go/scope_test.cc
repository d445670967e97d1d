// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/scope.h"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "go/wait_group.h"
#include "gtest/gtest.h"
#include "select/bounded.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/parties.h"

namespace gochan {
namespace {

using test::WaitUntilParked;

using ScopeTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(ScopeTest);

absl::Status Bad(const std::string& why) {
  return absl::InvalidArgumentError(why);
}

PARTY_TEST(ScopeTest, WaitReturnsTheFirstError) {
  Scope empty;
  EXPECT_TRUE(empty.Wait().ok());

  Scope scope;
  std::atomic<int> stopped{0};
  for (int i = 0; i < 3; ++i) {
    scope.Go([&stopped](const Context& ctx) {
      ctx.Done().Recv();
      ++stopped;
      return ctx.Err();
    });
  }
  EXPECT_TRUE(scope.ctx().Err().ok());
  scope.Go([] { return Bad("oops"); });
  EXPECT_EQ(scope.Wait(), Bad("oops"));
  EXPECT_EQ(stopped, 3);
  EXPECT_EQ(scope.ctx().Cause(), Bad("oops"));
  EXPECT_EQ(scope.Wait(), Bad("oops"));
}

PARTY_TEST(ScopeTest, TakesAllKindsOfFunctions) {
  Scope scope;
  std::atomic<int> ran{0};
  scope.Go([&ran] { ++ran; });
  scope.Go([&ran](Context) { ++ran; });
  scope.Go([&ran](const Context& ctx) {
    ++ran;
    return ctx.Err();
  });
  scope.Go([&ran, number = std::make_unique<int>(1)]() mutable {
    ran += *std::exchange(number, nullptr);
  });
  const auto lvalue = [&ran] {
    ++ran;
    return absl::OkStatus();
  };
  scope.Go(lvalue);
  EXPECT_TRUE(scope.Wait().ok());
  EXPECT_EQ(ran, 5);
}

// A scope whose goroutine has ended when `leave` has returned, and only then.
template <typename Fn>
void ExpectStoppedBy(Fn leave) {
  auto never = MakeChan<Unit>();
  std::atomic<bool> ended{false};
  leave([&](Scope& scope) {
    scope.Go([&ended, never](const Context& ctx) {
      const auto result = RecvOr(ctx, never);
      EXPECT_EQ(result.status(), ctx.Err());
      ended = true;
    });
    WaitUntilParked(never, 1);
    EXPECT_FALSE(ended);
  });
  EXPECT_TRUE(ended);
}

PARTY_TEST(ScopeTest, TheEndCancelsAndWaits) {
  ExpectStoppedBy([](auto start) {
    Scope scope;
    start(scope);
  });
}

PARTY_TEST(ScopeTest, CancelCancels) {
  ExpectStoppedBy([](auto start) {
    Scope scope;
    start(scope);
    scope.Cancel();
    EXPECT_EQ(scope.Wait(), absl::OkStatus());
    EXPECT_EQ(scope.ctx().Err(), absl::CancelledError("context canceled"));
  });
}

PARTY_TEST(ScopeTest, TheParentCancels) {
  ExpectStoppedBy([](auto start) {
    auto [parent, cancel] = WithCancelCause(Background());
    Scope scope(parent);
    start(scope);
    cancel(Bad("parent"));
    EXPECT_TRUE(scope.Wait().ok());
    EXPECT_EQ(scope.ctx().Cause(), Bad("parent"));
  });
}

PARTY_TEST(ScopeTest, GoroutinesOfTheScopeMayStartOthers) {
  std::atomic<int> ran{0};
  {
    Scope scope;
    scope.Go([&scope, &ran] {
      for (int i = 0; i < 10; ++i) {
        scope.Go([&scope, &ran] { scope.Go([&ran] { ++ran; }); });
      }
    });
  }
  EXPECT_EQ(ran, 10);
}

PARTY_TEST(ScopeTest, ManyScopesInsideOfEachOther) {
  std::atomic<int> stopped{0};
  std::function<void(const Context&, int)> nest = [&](const Context& ctx,
                                                      int depth) {
    Scope scope(ctx);
    if (depth > 0) {
      scope.Go(
          [&nest, depth](const Context& inner) { nest(inner, depth - 1); });
      scope.Go(
          [&nest, depth](const Context& inner) { nest(inner, depth - 1); });
    }
    scope.ctx().Done().Recv();
    ++stopped;
  };
  auto [ctx, cancel] = WithCancel(Background());
  Scope outer(ctx);
  outer.Go([&](const Context& inner) { nest(inner, 4); });
  cancel();
  EXPECT_TRUE(outer.Wait().ok());
  EXPECT_EQ(stopped, 31);
}

#if GOCHAN_TEST_EXCEPTIONS

PARTY_TEST(ScopeTest, AnExceptionCancelsAndWaits) {
  ExpectStoppedBy([](auto start) {
    EXPECT_THROW(
        {
          Scope scope;
          start(scope);
          throw std::runtime_error("oops");
        },
        std::runtime_error);
  });
}

PARTY_TEST(ScopeTest, GoexitCancelsAndWaits) {
  ExpectStoppedBy([](auto start) {
    WaitGroup group;
    group.Go([&start] {
      Scope scope;
      start(scope);
      Goexit();
    });
    group.Wait();
  });
}

PARTY_TEST(ScopeTest, AGoroutineMayLeaveByGoexit) {
  Scope scope;
  scope.Go([] { Goexit(); });
  EXPECT_TRUE(scope.Wait().ok());
}

PARTY_TEST(ScopeTest, OfANilContext) {
  EXPECT_PANIC(Scope(Context()), "cannot create context from nil parent");
}

#endif  // GOCHAN_TEST_EXCEPTIONS

}  // namespace
}  // namespace gochan

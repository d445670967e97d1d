// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// test/conformance/err_group_test.cc has Go's behaviours; here is what is ours.

#include "go/err_group.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::Parties;

using ErrGroupTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(ErrGroupTest);

absl::Status Bad(const std::string& why) {
  return absl::InvalidArgumentError(why);
}

PARTY_TEST(ErrGroupTest, TheFirstErrorCounts) {
  ErrGroup group;
  test::Event first;
  group.Go([&] {
    first.Await();
    return Bad("second");
  });
  auto [other, ctx] = ErrGroup::WithContext(Background());
  other.Go([] { return Bad("first"); });
  EXPECT_EQ(other.Wait(), Bad("first"));
  EXPECT_EQ(ctx.Err(), absl::CancelledError("context canceled"));
  EXPECT_EQ(ctx.Cause(), Bad("first"));
  first.Set();
  EXPECT_EQ(group.Wait(), Bad("second"));
}

PARTY_TEST(ErrGroupTest, TheFirstErrorCancelsTheContext) {
  auto [group, ctx] = ErrGroup::WithContext(Background());
  std::atomic<int> cancelled{0};
  for (int i = 0; i < 3; ++i) {
    group.Go([&, ctx = ctx] {
      (void)ctx.Done().Recv();
      ++cancelled;
      return ctx.Err();
    });
  }
  group.Go([] { return Bad("oops"); });
  EXPECT_EQ(group.Wait(), Bad("oops"));
  EXPECT_EQ(cancelled, 3);
  EXPECT_EQ(ctx.Cause(), Bad("oops"));
}

PARTY_TEST(ErrGroupTest, ManyMayWait) {
  ErrGroup group;
  test::Event go_on;
  group.Go([&] {
    go_on.Await();
    return Bad("oops");
  });
  Parties parties;
  parties.GoEach(5, [group](int) { EXPECT_EQ(group.Wait(), Bad("oops")); });
  go_on.Set();
  EXPECT_EQ(group.Wait(), Bad("oops"));
  EXPECT_EQ(group.Wait(), Bad("oops"));
}

// What happens if tasks are left: life_cycle_test.cc.
PARTY_TEST(ErrGroupTest, TheLastHandleCancelsTheContext) {
  auto [group, ctx] = ErrGroup::WithContext(Background());
  {
    ErrGroup last = group;
    group = ErrGroup();
    EXPECT_TRUE(ctx.Err().ok());
  }
  EXPECT_FALSE(ctx.Err().ok());
}

PARTY_TEST(ErrGroupTest, WhatATaskHoldsIsGoneWhenWaitReturns) {
  auto held = std::make_shared<int>(1);
  for (int i = 0; i < 100; ++i) {
    ErrGroup group;
    group.Go([held] { return absl::OkStatus(); });
    EXPECT_TRUE(group.Wait().ok());
    EXPECT_EQ(held.use_count(), 1);
  }
}

PARTY_TEST(ErrGroupTest, TakesWhatReturnsAStatus) {
  ErrGroup group;
  std::function<absl::Status()> function = [] { return absl::OkStatus(); };
  group.Go(function);
  auto number = std::make_unique<int>(0);
  group.Go([number = std::move(number)] {
    return *number == 0 ? absl::OkStatus() : Bad("not zero");
  });
  EXPECT_TRUE(group.TryGo(std::move(function)));
  EXPECT_TRUE(group.Wait().ok());
}

#if GOCHAN_TEST_EXCEPTIONS

PARTY_TEST(ErrGroupTest, LeavingByGoexitCountsAsOk) {
  ErrGroup group;
  group.SetLimit(1);
  for (int i = 0; i < 3; ++i) {
    group.Go([]() -> absl::Status { Goexit(); });
  }
  EXPECT_TRUE(group.Wait().ok());
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// Tasks that were started without a limit do not count below a later one; in Go
// they would take the others' places away at their end.
PARTY_TEST(ErrGroupTest, ALimitIsForLaterTasks) {
  ErrGroup group;
  test::Event go_on;
  group.Go([&] {
    go_on.Await();
    return absl::OkStatus();
  });
  group.SetLimit(1);
  EXPECT_TRUE(group.TryGo([&] {
    go_on.Await();
    return absl::OkStatus();
  }));
  EXPECT_FALSE(group.TryGo([] { return absl::OkStatus(); }));
  go_on.Set();
  EXPECT_TRUE(group.Wait().ok());
}

}  // namespace
}  // namespace gochan

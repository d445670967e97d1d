// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours EG: ErrGroup.

#include "go/err_group.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

using ErrGroupConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(ErrGroupConformance);

const absl::Status& Canceled() {
  static const absl::Status status = absl::CancelledError("context canceled");
  return status;
}

PARTY_TEST(ErrGroupConformance, EG01AnEmptyGroupsWaitIsOk) {
  ErrGroup group;
  EXPECT_TRUE(group.Wait().ok());
  // Go's TestZeroGroup: the first error of all stays.
  const absl::Status one = absl::InternalError("one");
  const absl::Status two = absl::InternalError("two");
  const std::vector<std::vector<absl::Status>> cases = {
      {},
      {absl::OkStatus()},
      {one},
      {one, absl::OkStatus()},
      {one, absl::OkStatus(), two}};
  for (const auto& statuses : cases) {
    ErrGroup tasks;
    absl::Status first;
    for (const absl::Status& status : statuses) {
      tasks.Go([status] { return status; });
      if (first.ok()) first = status;
      EXPECT_EQ(tasks.Wait(), first);
    }
  }
}

PARTY_TEST(ErrGroupConformance, EG04WaitCancelsTheContextEvenWithoutError) {
  auto [group, ctx] = ErrGroup::WithContext(Background());
  EXPECT_TRUE(ctx.Err().ok());
  for (int i = 0; i < 3; ++i) {
    group.Go([] { return absl::OkStatus(); });
  }
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_FALSE(ctx.Done().Recv().ok);
  EXPECT_EQ(ctx.Err(), Canceled());
  EXPECT_EQ(Cause(ctx), Canceled());
  // And with one, the cause is the error.
  auto [failing, failing_ctx] = ErrGroup::WithContext(Background());
  failing.Go([] { return absl::InternalError("oops"); });
  EXPECT_EQ(failing.Wait(), absl::InternalError("oops"));
  EXPECT_EQ(failing_ctx.Err(), Canceled());
  EXPECT_EQ(Cause(failing_ctx), absl::InternalError("oops"));
}

PARTY_TEST(ErrGroupConformance, EG05SetLimitBoundsTheRunningTasks) {
  constexpr int kLimit = 10;
  constexpr int kTasks = 1025;
  ErrGroup group;
  group.SetLimit(kLimit);
  std::atomic<int> active{0};
  std::atomic<int> most{0};
  std::atomic<bool> full{false};
  for (int i = 0; i < kTasks; ++i) {
    group.Go([&] {
      const int now = ++active;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      // The first ones wait until the limit is reached.
      test::Patience patience;
      while (!full.load()) {
        if (active.load() == kLimit) full = true;
        patience.Wait("fewer ran than the limit allows");
      }
      --active;
      return absl::OkStatus();
    });
    EXPECT_LE(active.load(), kLimit);
  }
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_EQ(most.load(), kLimit);
}

PARTY_TEST(ErrGroupConformance, EG05GoBlocksAtTheLimit) {
  ErrGroup group;
  group.SetLimit(1);
  test::Event go_on;
  std::atomic<bool> started{false};
  group.Go([&] {
    go_on.Await();
    return absl::OkStatus();
  });
  test::Parties parties;
  parties.Go([&] {
    group.Go([] { return absl::OkStatus(); });
    started = true;
  });
  test::PauseFor(test::kPause);
  EXPECT_FALSE(started);
  go_on.Set();
  parties.Join();
  EXPECT_TRUE(group.Wait().ok());
}

PARTY_TEST(ErrGroupConformance, EG06TryGo) {
  constexpr int kLimit = 42;
  ErrGroup group;
  group.SetLimit(kLimit);
  Chan<Unit> go_on = MakeChan<Unit>();
  std::atomic<int> ran{0};
  const auto task = [&ran, go_on] {
    ++ran;
    (void)go_on.Recv();
    return absl::OkStatus();
  };
  for (int i = 0; i < kLimit; ++i) EXPECT_TRUE(group.TryGo(task));
  EXPECT_FALSE(group.TryGo(task));
  EXPECT_FALSE(group.TryGo([] {
    ADD_FAILURE() << "it must not run";
    return absl::OkStatus();
  }));
  go_on.Close();
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_EQ(ran, kLimit);
  EXPECT_TRUE(group.TryGo(task));
  EXPECT_TRUE(group.Wait().ok());
  group.SetLimit(-1);
  for (int i = 0; i < 2 * kLimit; ++i) EXPECT_TRUE(group.TryGo(task));
  EXPECT_TRUE(group.Wait().ok());
  EXPECT_EQ(ran, 3 * kLimit + 1);
}

PARTY_TEST(ErrGroupConformance, EG07LimitZero) {
  ErrGroup group;
  group.SetLimit(0);
  for (int i = 0; i < 1024; ++i) {
    EXPECT_FALSE(group.TryGo([] { return absl::OkStatus(); }));
  }
  EXPECT_TRUE(test::BlocksForEver(
      [group] { group.Go([] { return absl::OkStatus(); }); }));
  ErrGroup unlimited;
  unlimited.SetLimit(-7);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(unlimited.TryGo([] { return absl::OkStatus(); }));
  }
  EXPECT_TRUE(unlimited.Wait().ok());
}

PARTY_TEST(ErrGroupConformance, EG08ChangingTheLimitWhileTasksRunPanics) {
  ErrGroup group;
  group.SetLimit(5);
  Chan<Unit> go_on = MakeChan<Unit>();
  for (int i = 0; i < 3; ++i) {
    group.Go([go_on] {
      (void)go_on.Recv();
      return absl::OkStatus();
    });
  }
#if GOCHAN_TEST_EXCEPTIONS
  EXPECT_EQ(test::PanicText([&] { group.SetLimit(2); }),
            "errgroup: modify limit while 3 goroutines in the group are still "
            "active");
#endif
  go_on.Close();
  EXPECT_TRUE(group.Wait().ok());
  group.SetLimit(2);
  group.Go([] { return absl::OkStatus(); });
  EXPECT_TRUE(group.Wait().ok());
}

PARTY_TEST(ErrGroupConformance, EG11TheParentsEndIsNoError) {
  auto [parent, cancel] = WithCancel(Background());
  auto [group, ctx] = ErrGroup::WithContext(parent);
  test::Event go_on;
  for (int i = 0; i < 3; ++i) {
    group.Go([&] {
      go_on.Await();
      return absl::OkStatus();
    });
  }
  cancel();
  EXPECT_EQ(ctx.Err(), Canceled());
  go_on.Set();
  EXPECT_TRUE(group.Wait().ok());
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// test/conformance/wait_group_test.cc has Go's behaviours; here is what is
// ours.

#include "go/wait_group.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/asleep.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::WaitUntilAsleep;

using WaitGroupTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(WaitGroupTest);

static_assert(sizeof(WaitGroup) == 8);
constinit WaitGroup global_group;

PARTY_TEST(WaitGroupTest, AGlobalWorks) {
  std::atomic<int> done{0};
  for (int i = 0; i < 3; ++i) global_group.Go([&] { ++done; });
  global_group.Wait();
  EXPECT_EQ(done, 3);
}

PARTY_TEST(WaitGroupTest, ManyAtOnce) {
  WaitGroup group;
  group.Add(5);
  Parties parties;
  parties.Go([&] { group.Wait(); });
  WaitUntilAsleep(group, 1);
  group.Add(-3);
  group.Done();
  EXPECT_EQ(test::Asleep(group), 1u);
  group.Add(-1);
  parties.Join();
}

// The last Done() used to be a place where the memory of a group that the
// waiter has freed already is easily touched.
PARTY_TEST(WaitGroupTest, MayBeDestroyedWhenWaitHasReturned) {
  const int64_t rounds = PartyScaled(8000);
  for (int64_t round = 0; round < rounds; ++round) {
    auto* group = new WaitGroup;
    group->Add(2);
    Parties parties;
    parties.GoEach(2, [group](int) { group->Done(); });
    if (round % 2 == 0) Yield();
    group->Wait();
    delete group;
  }
}

PARTY_TEST(WaitGroupTest, WhatATaskHoldsIsGoneWhenWaitReturns) {
  auto held = std::make_shared<int>(1);
  const int64_t rounds = PartyScaled(1000);
  for (int64_t round = 0; round < rounds; ++round) {
    WaitGroup group;
    group.Go([held] {});
    group.Wait();
    EXPECT_EQ(held.use_count(), 1);
  }
}

PARTY_TEST(WaitGroupTest, TakesMoveOnlyFunctionsAndLvalues) {
  std::atomic<int> sum{0};
  auto lvalue = [&sum] { sum += 1; };
  auto number = std::make_unique<int>(41);
  WaitGroup group;
  group.Go([&sum, number = std::move(number)] { sum += *number; });
  group.Go(lvalue);
  group.Wait();
  EXPECT_EQ(sum, 42);
}

#if GOCHAN_TEST_EXCEPTIONS

// Add() beside a Wait() that has not returned, as far as it is noticed.
PARTY_TEST(WaitGroupTest, MisuseIsNoticed) {
  WaitGroup group;
  group.Add(1);
  Parties parties;
  std::string text;
  parties.Go([&] { text = test::PanicText([&] { group.Wait(); }); });
  WaitUntilAsleep(group, 1);
  // Between these two, the waiter is awake on its way; with one worker, or when
  // it is slow, it finds the group in use again.
  group.Done();
  group.Add(1);
  parties.Join();
  if (!text.empty()) {
    EXPECT_EQ(text,
              "sync: WaitGroup is reused before previous Wait has returned");
  }
  group.Done();
  group.Wait();
}

#endif  // GOCHAN_TEST_EXCEPTIONS

}  // namespace
}  // namespace gochan

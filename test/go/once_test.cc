// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/once.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "chan/panic.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/asleep.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::WaitUntilAsleep;

using OnceTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(OnceTest);

static_assert(sizeof(Once) == 4);
constinit Once global_once;

// -----------------------------------------------------------------------------
// Once
// -----------------------------------------------------------------------------

PARTY_TEST(OnceTest, OnlyTheFirstFunctionIsCalled) {
  static std::atomic<int> global_calls{0};
  global_once.Do([] { ++global_calls; });
  global_once.Do([] { ++global_calls; });
  EXPECT_EQ(global_calls, 1) << "in all tests of this process";
  Once once;
  std::string called;
  once.Do([&] { called += 'a'; });
  once.Do([&] { called += 'b'; });
  EXPECT_EQ(called, "a");
}

PARTY_TEST(OnceTest, OneOfManyCallsItAndAllSeeWhatItDid) {
  constexpr int kParties = 8;
  const int64_t rounds = PartyScaled(2000);
  for (int64_t round = 0; round < rounds; ++round) {
    Once once;
    int calls = 0;
    Parties parties;
    parties.GoEach(kParties, [&](int) {
      once.Do([&] { ++calls; });
      EXPECT_EQ(calls, 1);
    });
  }
}

PARTY_TEST(OnceTest, OthersBlockUntilTheFirstIsOver) {
  constexpr int kOthers = 5;
  Once once;
  test::Event inside, go_on;
  std::atomic<bool> over{false};
  Parties parties;
  parties.Go([&] {
    once.Do([&] {
      inside.Set();
      go_on.Await();
      over = true;
    });
  });
  inside.Await();
  parties.GoEach(kOthers, [&](int) {
    once.Do([] { ADD_FAILURE() << "a second call"; });
    EXPECT_TRUE(over);
  });
  WaitUntilAsleep(once, kOthers);
  EXPECT_FALSE(over);
  go_on.Set();
  parties.Join();
}

PARTY_TEST(OnceTest, CallingItselfDeadlocks) {
  auto once = std::make_shared<Once>();
  EXPECT_TRUE(
      test::BlocksForEver([once] { once->Do([once] { once->Do([] {}); }); }));
}

#if GOCHAN_TEST_EXCEPTIONS

PARTY_TEST(OnceTest, APanicCountsAsDone) {
  Once once;
  EXPECT_EQ(test::PanicText([&] { once.Do([] { RaisePanic("oops"); }); }),
            "oops");
  once.Do([] { ADD_FAILURE() << "it had been done"; });
}

PARTY_TEST(OnceTest, APanicLetsTheOthersGo) {
  Once once;
  test::Event inside, go_on;
  Parties parties;
  parties.Go([&] {
    EXPECT_EQ(test::PanicText([&] {
                once.Do([&] {
                  inside.Set();
                  go_on.Await();
                  RaisePanic("oops");
                });
              }),
              "oops");
  });
  inside.Await();
  parties.Go([&] { once.Do([] { ADD_FAILURE() << "it had been done"; }); });
  WaitUntilAsleep(once, 1);
  go_on.Set();
  parties.Join();
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// -----------------------------------------------------------------------------
// OnceFunc, OnceValue, OnceValues
// -----------------------------------------------------------------------------

PARTY_TEST(OnceTest, OnceFuncCallsItOnce) {
  int calls = 0;
  auto fn = OnceFunc([&] { ++calls; });
  static_assert(std::is_void_v<decltype(fn())>);
  EXPECT_EQ(calls, 0);
  fn();
  auto copy = fn;
  copy();
  fn();
  EXPECT_EQ(calls, 1);
}

PARTY_TEST(OnceTest, OnceValueReturnsTheSameEveryTime) {
  int calls = 0;
  auto fn = OnceValue([&] { return ++calls; });
  const auto copy = fn;
  EXPECT_EQ(fn(), 1);
  EXPECT_EQ(fn(), 1);
  EXPECT_EQ(copy(), 1);
  EXPECT_EQ(calls, 1);
  auto pointer = OnceValue([] { return std::make_unique<int>(7); });
  EXPECT_EQ(*pointer(), 7);
  EXPECT_EQ(pointer().get(), pointer().get());
}

PARTY_TEST(OnceTest, OnceValuesReturnsTheSameEveryTime) {
  int calls = 0;
  auto pair = OnceValues([&] { return std::pair(++calls, std::string("x")); });
  for (int i = 0; i < 2; ++i) {
    auto [number, text] = pair();
    EXPECT_EQ(number, 1);
    EXPECT_EQ(text, "x");
  }
  auto triple = OnceValues([&] { return std::tuple(++calls, 'b', 2.5); });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(triple(), std::tuple(2, 'b', 2.5));
  }
}

PARTY_TEST(OnceTest, OnceValueForMany) {
  constexpr int kParties = 8;
  const int64_t rounds = PartyScaled(2000);
  for (int64_t round = 0; round < rounds; ++round) {
    std::atomic<int> calls{0};
    auto value = OnceValue([&] { return std::string(20, 'a' + calls++); });
    Parties parties;
    parties.GoEach(
        kParties, [value](int) { EXPECT_EQ(value(), "aaaaaaaaaaaaaaaaaaaa"); });
    parties.Join();
    EXPECT_EQ(calls, 1);
  }
}

// What it holds is not kept for longer than needed, though the function is.
PARTY_TEST(OnceTest, TheFunctionIsDestroyedWhenItHasRun) {
  auto held = std::make_shared<int>(3);
  auto value = OnceValue([held] { return *held; });
  EXPECT_EQ(held.use_count(), 2);
  EXPECT_EQ(value(), 3);
  EXPECT_EQ(held.use_count(), 1);
  {
    auto never_called = OnceFunc([held] {});
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

PARTY_TEST(OnceTest, OnceFuncTakesMoveOnlyFunctions) {
  auto number = std::make_unique<int>(5);
  auto value = OnceValue([number = std::move(number)] { return *number; });
  EXPECT_EQ(value(), 5);
}

#if GOCHAN_TEST_EXCEPTIONS

PARTY_TEST(OnceTest, EveryCallThrowsWhatTheFirstThrew) {
  auto held = std::make_shared<int>(0);
  int calls = 0;
  auto fn = OnceFunc([held, &calls] {
    ++calls;
    RaisePanic("oops");
  });
  auto value = OnceValue([&calls]() -> int {
    ++calls;
    throw std::string("no panic");
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(test::PanicText([&] { fn(); }), "oops");
    EXPECT_EQ(held.use_count(), 1);
    try {
      (void)value();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::string& text) {
      EXPECT_EQ(text, "no panic");
    }
  }
  EXPECT_EQ(calls, 2);
}

#endif  // GOCHAN_TEST_EXCEPTIONS

}  // namespace
}  // namespace gochan

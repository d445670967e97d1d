// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Bad input: Go's panic, never a crash, a hang or a lost value. What is refused
// at compile time is in test/compile.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/counted.h"
#include "test/util/panics.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using test::BlocksForEver;
using test::Counted;
using test::MoveOnlyCounted;

using BadInput = test::CountedTest;

constexpr char kSize[] = "makechan: size out of range";

TEST_F(BadInput, AbsurdCapacitiesPanic) {
  constexpr auto kMin = std::numeric_limits<std::ptrdiff_t>::min();
  constexpr auto kMax = std::numeric_limits<std::ptrdiff_t>::max();
  for (std::ptrdiff_t capacity :
       {std::ptrdiff_t{-1}, std::ptrdiff_t{-2}, kMin, kMin + 1,
        std::ptrdiff_t{1} << 62, kMax, kMax - 1, std::ptrdiff_t{1} << 40,
        std::ptrdiff_t{1} << 31, std::ptrdiff_t{1} << 30}) {
    EXPECT_PANIC(MakeChan<int>(capacity), kSize);
    EXPECT_PANIC(MakeChan<char>(capacity), kSize);
    EXPECT_PANIC(MakeChan<Unit>(capacity), kSize);
    EXPECT_PANIC(MakeChan<test::BigCounted>(capacity), kSize);
  }
  // The limit is the documented one, and a channel of it costs nothing if its
  // elements have no size.
  auto ch = MakeChan<Unit>((std::ptrdiff_t{1} << 30) - 1);
  EXPECT_EQ(ch.Cap(), (std::size_t{1} << 30) - 1);
  EXPECT_TRUE(ch.TrySend({}));
  EXPECT_EQ(ch.Len(), 1u);
}

TEST_F(BadInput, NilHandlesEverywhere) {
  Chan<int> ch;
  SendChan<int> send = nullptr;
  RecvChan<int> recv = ch;
  EXPECT_TRUE(ch.IsNil());
  EXPECT_TRUE(send.IsNil());
  EXPECT_TRUE(recv.IsNil());
  EXPECT_FALSE(ch);
  EXPECT_FALSE(send);
  EXPECT_FALSE(recv);
  EXPECT_FALSE(ch.TrySend(1));
  EXPECT_FALSE(send.TrySend(1));
  EXPECT_FALSE(ch.TryRecv().has_value());
  EXPECT_FALSE(recv.TryRecv().has_value());
  EXPECT_FALSE(recv.TryRecvOptional().has_value());
  EXPECT_PANIC(ch.Close(), "close of nil channel");
  EXPECT_PANIC(send.Close(), "close of nil channel");
  EXPECT_PANIC(ch.TryClose(), "close of nil channel");
  EXPECT_PANIC(send.TryClose(), "close of nil channel");
  EXPECT_EQ(ch.Len() + send.Len() + recv.Len(), 0u);
  EXPECT_EQ(ch.Cap() + send.Cap() + recv.Cap(), 0u);

  // A value refused by a nil channel is still there.
  MoveOnlyCounted value(3);
  EXPECT_FALSE(Chan<MoveOnlyCounted>().TrySend(std::move(value)));
  EXPECT_EQ(value.value(), 3);
  EXPECT_EQ(Select(SendCase(Chan<MoveOnlyCounted>(), std::move(value)),
                   SendFrom(Chan<MoveOnlyCounted>(), &value), DefaultCase()),
            2u);
  EXPECT_EQ(value.value(), 3);

  // begin() on nil waits as a receive does; end() is harmless.
  EXPECT_TRUE(BlocksForEver([] { Chan<int>().begin(); }));
  (void)ch.end();

  // A moved-from handle is as good as nil.
  auto source = MakeChan<int>(1);
  Chan<int> target = std::move(source);
  EXPECT_EQ(source.Len(), 0u);  // NOLINT: the moved-from state is the test
  EXPECT_FALSE(source.TrySend(1) && target.Len() == 0);
}

TEST_F(BadInput, DoubleCloseInAllForms) {
  for (int cap : {0, 2}) {
    auto ch = MakeChan<int>(cap);
    SendChan<int> send = ch;
    ch.Close();
    EXPECT_PANIC(ch.Close(), "close of closed channel");
    EXPECT_PANIC(send.Close(), "close of closed channel");
    EXPECT_FALSE(ch.TryClose());
    EXPECT_FALSE(send.TryClose());
  }
}

TEST_F(BadInput, SendOnClosedInAllFormsKeepsTheValue) {
  constexpr char kText[] = "send on closed channel";
  for (int cap : {0, 2}) {
    auto ch = MakeChan<Counted>(cap);
    if (cap > 0) ch.Send(Counted(1));
    ch.Close();
    SendChan<Counted> send = ch;
    Counted value(5);
    const Counted& constant = value;
    EXPECT_PANIC(ch.Send(constant), kText);
    EXPECT_PANIC(ch.Send(std::move(value)), kText);
    EXPECT_PANIC(ch.TrySend(constant), kText);
    EXPECT_PANIC(ch.TrySend(std::move(value)), kText);
    EXPECT_PANIC(send.Send(constant), kText);
    EXPECT_PANIC(send.Send(std::move(value)), kText);
    EXPECT_PANIC(send.TrySend(std::move(value)), kText);
    EXPECT_PANIC(Select(SendCase(ch, value)), kText);
    EXPECT_PANIC(Select(SendCase(send, std::move(value))), kText);
    EXPECT_PANIC(Select(SendCase(ch, std::move(value)), DefaultCase()), kText);
    EXPECT_PANIC(Select(SendFrom(ch, &value)), kText);
    EXPECT_PANIC(Select(SendFrom(send, &value), DefaultCase()), kText);
    EXPECT_PANIC(SelectBiased(SendCase(ch, std::move(value))), kText);
    EXPECT_PANIC(SelectBiased(SendFrom(ch, &value), DefaultCase()), kText);
    Selector selector{SendFrom(ch, &value)};
    EXPECT_PANIC(selector.Next(), kText);
    EXPECT_EQ(value.value(), 5);
    EXPECT_EQ(ch.Len(), static_cast<std::size_t>(cap > 0 ? 1 : 0));
    if (cap > 0) {
      EXPECT_EQ(ch.RecvOptional()->value(), 1);
    }
    EXPECT_FALSE(ch.RecvOptional().has_value());
  }
}

TEST_F(BadInput, TwoDefaultsInAListPanic) {
  constexpr char kText[] = "multiple default cases";
  auto ready = MakeChan<int>(1);
  ready.Send(1);
  bool ran = false;
  std::vector<AnyCase> cases;
  cases.push_back(DefaultCase([&] { ran = true; }));
  cases.push_back(RecvCase(ready));
  cases.push_back(DefaultCase([&] { ran = true; }));
  EXPECT_PANIC(Select(absl::MakeSpan(cases)), kText);
  EXPECT_PANIC(SelectBiased(absl::MakeSpan(cases)), kText);
  EXPECT_FALSE(ran);
  EXPECT_EQ(ready.Len(), 1u);
}

TEST_F(BadInput, NullPointersAsOperandsPanicAndLoseNothing) {
  auto ch = MakeChan<Counted>(2);
  ch.Send(Counted(1));
  Counted* const null = nullptr;
  Counted value;
  bool ok = false;
  EXPECT_PANIC(Select(RecvCase(ch, null)), "nil pointer");
  EXPECT_PANIC(Select(RecvCase(ch, null, &ok)), "nil pointer");
  EXPECT_PANIC(Select(RecvCase(ch, nullptr)), "nil pointer");
  const auto list = [&] {
    std::vector<AnyCase> cases;
    cases.push_back(RecvCase(ch, null));
    Select(absl::MakeSpan(cases));
  };
  EXPECT_PANIC(list(), "nil pointer");
  EXPECT_EQ(ch.Len(), 1u);
  // A null ok is just not wanted.
  EXPECT_EQ(Select(RecvCase(ch, &value, nullptr)), 0u);
  EXPECT_EQ(value.value(), 1);

  EXPECT_PANIC(Select(SendFrom(ch, null)), "nil pointer");
  EXPECT_PANIC(Select(SendFrom(ch, nullptr)), "nil pointer");
  EXPECT_PANIC(Select(SendFrom(ch, null, [] {}), DefaultCase()), "nil pointer");
  EXPECT_EQ(ch.Len(), 0u);
}

TEST_F(BadInput, TooManyCasesPanic) {
  auto ready = MakeChan<int>(1);
  ready.Send(1);
  std::vector<AnyCase> cases;
  for (int i = 0; i < 65537; ++i) cases.push_back(RecvCase(ready));
  EXPECT_PANIC(Select(absl::MakeSpan(cases)), "too many cases");
  EXPECT_PANIC(SelectBiased(absl::MakeSpan(cases)), "too many cases");
  EXPECT_EQ(ready.Len(), 1u);
  // With the default it is one too many as well.
  cases.resize(65536);
  cases.push_back(DefaultCase());
  EXPECT_PANIC(Select(absl::MakeSpan(cases)), "too many cases");
  cases.pop_back();
  EXPECT_LT(Select(absl::MakeSpan(cases)), 65536u);
}

TEST_F(BadInput, OddDurations) {
  auto idle = MakeChan<int>();
  EXPECT_EQ(Select(RecvCase(idle), TimeoutCase(absl::ZeroDuration())), 1u);
  EXPECT_EQ(Select(RecvCase(idle), TimeoutCase(absl::Seconds(-5))), 1u);
  EXPECT_EQ(Select(RecvCase(idle), TimeoutCase(-absl::InfiniteDuration())), 1u);
  EXPECT_EQ(Select(RecvCase(idle), DeadlineCase(absl::InfinitePast())), 1u);
  EXPECT_EQ(Select(RecvCase(idle), DeadlineCase(absl::UnixEpoch())), 1u);
  EXPECT_EQ(Select(TimeoutCase(absl::InfiniteDuration()),
                   DeadlineCase(absl::InfiniteFuture()),
                   TimeoutCase(absl::Hours(1'000'000'000)), DefaultCase()),
            3u);
}

}  // namespace
}  // namespace gochan

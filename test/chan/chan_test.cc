// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Handles: nil, identity, views, hashing, iteration.

#include "chan/chan.h"

#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash_testing.h"
#include "gtest/gtest.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using test::Threads;
using test::WaitUntilParked;

// --- what a handle is

static_assert(sizeof(Chan<int>) == sizeof(void*));
static_assert(std::is_nothrow_default_constructible_v<Chan<int>>);
static_assert(std::is_nothrow_move_constructible_v<Chan<int>>);
static_assert(std::is_nothrow_move_assignable_v<Chan<int>>);
static_assert(std::is_nothrow_destructible_v<Chan<int>>);
static_assert(std::is_copy_constructible_v<Chan<int>>);
static_assert(std::is_copy_assignable_v<SendChan<std::unique_ptr<int>>>);
static_assert(std::is_aggregate_v<RecvResult<int>>);
static_assert(std::is_empty_v<Unit>);
static_assert(
    std::is_same_v<decltype(MakeChan<int>().Recv()), RecvResult<int>>);
static_assert(std::is_same_v<decltype(MakeChan<int>().RecvOptional()),
                             std::optional<int>>);
static_assert(std::is_same_v<decltype(MakeChan<int>().TryRecv()),
                             std::optional<RecvResult<int>>>);
static_assert(std::is_same_v<decltype(MakeChan<int>().TryRecvOptional()),
                             std::optional<std::optional<int>>>);
static_assert(std::is_same_v<decltype(MakeChan<int>().Len()), std::size_t>);
// All operations are const: a lambda that captured by value can use them.
static_assert(requires(const Chan<int> ch) {
  ch.Send(1);
  ch.TrySend(1);
  ch.Recv();
  ch.TryRecv();
  ch.Close();
  ch.begin();
});

TEST(Handle, NilIsDefault) {
  Chan<int> ch;
  EXPECT_TRUE(ch.IsNil());
  EXPECT_FALSE(ch);
  EXPECT_TRUE(ch == nullptr);
  ch = MakeChan<int>(1);
  EXPECT_FALSE(ch.IsNil());
  EXPECT_TRUE(ch);
  EXPECT_FALSE(ch == nullptr);
  ch = nullptr;
  EXPECT_TRUE(ch.IsNil());

  SendChan<int> send = MakeChan<int>(1);
  EXPECT_TRUE(send);
  send = nullptr;
  EXPECT_FALSE(send);
  RecvChan<int> recv = MakeChan<int>(1);
  EXPECT_TRUE(recv);
  recv = {};
  EXPECT_FALSE(recv);
  // A view of nil is nil.
  send = ch;
  recv = ch;
  EXPECT_TRUE(send.IsNil());
  EXPECT_TRUE(recv.IsNil());
}

TEST(Handle, CopiesMovesAndSelfAssignment) {
  auto a = MakeChan<int>(1);
  Chan<int> b = a;
  b.Send(1);
  const Chan<int>& alias = b;
  b = alias;
  EXPECT_EQ(b.Len(), 1u);
  Chan<int> c = std::move(b);
  EXPECT_EQ(c, a);
  EXPECT_TRUE(b.IsNil());  // NOLINT: the moved-from state is the test
  Chan<int>& same = c;
  c = std::move(same);
  EXPECT_EQ(a.Recv().value, 1);
  b = c;
  std::swap(a, b);
  EXPECT_EQ(a, b);
}

TEST(Handle, OrderOfLifeDoesNotMatter) {
  const auto watched = std::make_shared<int>(1);
  RecvChan<std::shared_ptr<int>> recv;
  {
    SendChan<std::shared_ptr<int>> send;
    {
      auto ch = MakeChan<std::shared_ptr<int>>(2);
      send = ch;
      recv = ch;
    }
    send.Send(watched);
    send.Send(watched);
  }
  EXPECT_EQ(watched.use_count(), 3);
  recv.Recv();
  EXPECT_EQ(watched.use_count(), 2);
  recv = nullptr;
  EXPECT_EQ(watched.use_count(), 1);
}

TEST(Handle, ABlockedCallKeepsTheChannel) {
  // The handle of the waiting thread and the sender's are all there is, and the
  // sender's goes at once.
  for (int i = 0; i < 200; ++i) {
    auto ch = MakeChan<int>();
    Threads threads;
    threads.Go([ch, i] { EXPECT_EQ(ch.Recv().value, i); });
    ch.Send(i);
    ch = nullptr;
  }
}

TEST(Handle, EqualityAcrossViews) {
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  const SendChan<int> send = a;
  const RecvChan<int> recv = a;
  EXPECT_TRUE(a == a);
  EXPECT_TRUE(a != b);
  EXPECT_TRUE(send == a && a == send);
  EXPECT_TRUE(recv == a && a == recv);
  EXPECT_TRUE(send == recv && recv == send);
  EXPECT_TRUE(send != b && b != send);
  EXPECT_TRUE(recv != b && b != recv);
  EXPECT_TRUE(send != nullptr && nullptr != recv);
  EXPECT_TRUE(SendChan<int>() == RecvChan<int>());
  EXPECT_FALSE(a == SendChan<int>());
}

TEST(Handle, Hashes) {
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      std::vector<Chan<int>>{a, b, Chan<int>(), a}));
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      std::vector<RecvChan<int>>{a, b, RecvChan<int>(), a}));
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      std::vector<SendChan<int>>{a, b, SendChan<int>(), a}));

  absl::flat_hash_map<Chan<int>, std::string> names{{a, "a"}, {b, "b"}};
  EXPECT_EQ(names.at(a), "a");
  EXPECT_FALSE(names.contains(Chan<int>()));
  std::unordered_map<RecvChan<int>, int> numbers{{a, 1}, {b, 2}};
  EXPECT_EQ(numbers.at(RecvChan<int>(b)), 2);
  std::unordered_set<SendChan<int>> senders{a, a, b};
  EXPECT_EQ(senders.size(), 2u);
  EXPECT_EQ(std::hash<Chan<int>>()(a), std::hash<Chan<int>>()(Chan<int>(a)));
  EXPECT_NE(std::hash<Chan<int>>()(a), std::hash<Chan<int>>()(b));
}

// --- results

TEST(RecvResult, ConvertsToItsOk) {
  auto ch = MakeChan<int>(1);
  ch.Send(0);
  if (auto result = ch.Recv()) {
    EXPECT_EQ(result.value, 0);
  } else {
    ADD_FAILURE() << "a zero is a value";
  }
  ch.Close();
  EXPECT_FALSE(ch.Recv());
  auto [value, ok] = ch.Recv();
  EXPECT_EQ(value, 0);
  EXPECT_FALSE(ok);
  static_assert(!std::is_convertible_v<RecvResult<int>, bool>);
  static_assert(std::is_constructible_v<bool, RecvResult<int>>);
}

// --- iteration

static_assert(std::input_iterator<Chan<int>::iterator>);
static_assert(std::input_iterator<RecvChan<std::unique_ptr<int>>::iterator>);
static_assert(
    std::is_same_v<decltype(*std::declval<Chan<int>::iterator&>()), int&&>);
static_assert(std::sentinel_for<decltype(std::declval<Chan<int>>().end()),
                                Chan<int>::iterator>);
static_assert(std::ranges::input_range<const Chan<int>>);
static_assert(std::ranges::input_range<RecvChan<std::string>>);

TEST(Iteration, MovesOutOfTheChannel) {
  auto ch = MakeChan<std::unique_ptr<int>>(3);
  for (int i = 0; i < 3; ++i) ch.Send(std::make_unique<int>(i));
  ch.Close();
  int next = 0;
  for (std::unique_ptr<int> value : ch) EXPECT_EQ(*value, next++);
  EXPECT_EQ(next, 3);
}

TEST(Iteration, ByReferenceAndByIterator) {
  auto ch = MakeChan<std::string>(4);
  for (const char* text : {"a", "b", "c", "d"}) ch.Send(text);
  ch.Close();
  std::string all;
  for (auto&& text : RecvChan<std::string>(ch)) {
    all += text;
    if (text == "b") break;
  }
  auto it = ch.begin();
  EXPECT_EQ(*it, "c");
  EXPECT_EQ(*it, "c");  // looking does not receive
  ++it;
  EXPECT_NE(it, ch.end());
  all += *it;
  it++;
  EXPECT_EQ(it, ch.end());
  EXPECT_EQ(all, "abd");
}

TEST(Iteration, StandardAlgorithms) {
  auto ch = MakeChan<int>(10);
  for (int i = 0; i < 10; ++i) ch.Send(i);
  ch.Close();
  int sum = 0;
  std::ranges::for_each(ch, [&](int value) { sum += value; });
  EXPECT_EQ(sum, 45);
}

TEST(Iteration, TheIteratorHoldsTheChannel) {
  auto ch = MakeChan<int>(2);
  ch.Send(1);
  ch.Send(2);
  ch.Close();
  auto it = ch.begin();
  ch = nullptr;
  EXPECT_EQ(*it, 1);
  ++it;
  EXPECT_EQ(*it, 2);
  ++it;
  EXPECT_TRUE(it == std::default_sentinel);
}

// --- the Try forms, at the border

TEST(TryForms, FullAndEmpty) {
  for (int cap : {1, 2, 3, 4, 5, 7, 8, 9, 64}) {
    auto ch = MakeChan<int>(cap);
    for (int lap = 0; lap < 5; ++lap) {
      for (int i = 0; i < cap; ++i) ASSERT_TRUE(ch.TrySend(i));
      ASSERT_FALSE(ch.TrySend(-1));
      ASSERT_EQ(ch.Len(), static_cast<std::size_t>(cap));
      for (int i = 0; i < cap; ++i) ASSERT_EQ(ch.TryRecv()->value, i);
      ASSERT_FALSE(ch.TryRecv().has_value());
      // Off by one, so that laps start at different slots.
      ASSERT_TRUE(ch.TrySend(1));
      ASSERT_TRUE(ch.TryRecv().has_value());
    }
  }
}

TEST(TryForms, DoNotOvertakeThoseWhoWait) {
  auto ch = MakeChan<int>(1);
  ch.Send(0);
  Threads threads;
  threads.Go([ch] { ch.Send(1); });
  WaitUntilParked(ch, 1);
  EXPECT_FALSE(ch.TrySend(2));
  EXPECT_EQ(ch.TryRecv()->value, 0);
  // The waiting value took the place at once.
  EXPECT_FALSE(ch.TrySend(2));
  EXPECT_EQ(ch.TryRecv()->value, 1);
  EXPECT_TRUE(ch.TrySend(2));
}

TEST(TryClose, IsIdempotent) {
  auto ch = MakeChan<int>(1);
  ch.Send(1);
  EXPECT_TRUE(ch.TryClose());
  EXPECT_FALSE(ch.TryClose());
  EXPECT_EQ(ch.Recv().value, 1);
  EXPECT_FALSE(ch.TryClose());
  EXPECT_PANIC(SendChan<int>(ch).Close(), "close of closed channel");
}

}  // namespace
}  // namespace gochan

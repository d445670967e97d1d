// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours DR: directional views and range.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/counted.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;

using RangeConformance = test::WithParties<test::CountedTest>;
GOCHAN_FOR_ALL_PARTIES(RangeConformance);

void Produce(SendChan<int> out, int n) {
  for (int i = 0; i < n; ++i) out.Send(i);
  out.Close();
}

int Consume(RecvChan<int> in) {
  int sum = 0;
  for (int value : in) sum += value;
  return sum;
}

PARTY_TEST(RangeConformance, DR01AChannelConvertsToItsViews) {
  auto ch = MakeChan<int>(10);
  Produce(ch, 10);
  EXPECT_EQ(Consume(ch), 45);

  auto both = MakeChan<int>(1);
  SendChan<int> send = both;
  RecvChan<int> recv = both;
  EXPECT_EQ(Select(SendCase(send, 5)), 0u);
  int value = 0;
  EXPECT_EQ(Select(RecvCase(recv, &value)), 0u);
  EXPECT_EQ(value, 5);
  value = 6;
  EXPECT_EQ(Select(SendFrom(send, &value)), 0u);
  Select(RecvCase(recv, [](int received, bool ok) {
    EXPECT_TRUE(ok);
    EXPECT_EQ(received, 6);
  }));
  EXPECT_TRUE(send.TrySend(7));
  EXPECT_EQ(recv.TryRecv()->value, 7);
  EXPECT_FALSE(recv.TryRecv().has_value());
  send = both;  // by assignment as well
  recv = both;
  EXPECT_TRUE(send == both);
  EXPECT_TRUE(recv == both);
}

// What a view lacks.
template <typename C>
concept CanSend = requires(C ch) { ch.Send(1); };
template <typename C>
concept CanTrySend = requires(C ch) { ch.TrySend(1); };
template <typename C>
concept CanRecv = requires(C ch) { ch.Recv(); };
template <typename C>
concept CanTryRecv = requires(C ch) { ch.TryRecv(); };
template <typename C>
concept CanClose = requires(C ch) { ch.Close(); };
template <typename C>
concept CanTryClose = requires(C ch) { ch.TryClose(); };
template <typename C>
concept CanRange = requires(C ch) { ch.begin(); };

PARTY_TEST(RangeConformance, DR03NoWayBackFromAView) {
  using C = Chan<int>;
  using S = SendChan<int>;
  using R = RecvChan<int>;
  static_assert(std::is_convertible_v<C, S>);
  static_assert(std::is_convertible_v<C, R>);
  static_assert(!std::is_convertible_v<S, C>);
  static_assert(!std::is_convertible_v<R, C>);
  static_assert(!std::is_convertible_v<S, R>);
  static_assert(!std::is_convertible_v<R, S>);
  static_assert(!std::is_constructible_v<C, S>);
  static_assert(!std::is_constructible_v<C, R>);
  static_assert(!std::is_constructible_v<S, R>);
  static_assert(!std::is_constructible_v<R, S>);
  static_assert(!std::is_assignable_v<C&, S>);
  static_assert(!std::is_assignable_v<C&, R>);
  static_assert(!std::is_assignable_v<S&, R>);
  static_assert(!std::is_assignable_v<R&, S>);
  // Nor to a channel of another type.
  static_assert(!std::is_convertible_v<Chan<int>, Chan<long>>);
  static_assert(!std::is_convertible_v<Chan<int>, RecvChan<long>>);
  static_assert(!std::is_convertible_v<Chan<int>, SendChan<long>>);
  // A handle is no number, and a number no handle.
  static_assert(!std::is_convertible_v<C, bool>);
  static_assert(!std::is_convertible_v<C, int>);
  static_assert(!std::is_convertible_v<int, C>);
  static_assert(std::is_constructible_v<bool, C>);
  static_assert(std::is_convertible_v<std::nullptr_t, C>);
  static_assert(std::is_convertible_v<std::nullptr_t, S>);
  static_assert(std::is_convertible_v<std::nullptr_t, R>);

  static_assert(CanSend<C> && CanRecv<C> && CanClose<C> && CanRange<C>);
  static_assert(CanSend<S> && CanTrySend<S> && CanClose<S> && CanTryClose<S>);
  static_assert(!CanRecv<S> && !CanTryRecv<S> && !CanRange<S>);
  static_assert(CanRecv<R> && CanTryRecv<R> && CanRange<R>);
  static_assert(!CanSend<R> && !CanTrySend<R>);
  static_assert(!CanClose<R> && !CanTryClose<R>);
}

PARTY_TEST(RangeConformance, DR04ViewsShareAndKeepTheChannel) {
  SendChan<std::shared_ptr<int>> send;
  RecvChan<std::shared_ptr<int>> recv;
  const auto value = std::make_shared<int>(9);
  {
    auto ch = MakeChan<std::shared_ptr<int>>(3);
    send = ch;
    recv = ch;
    ch.Send(value);
  }
  EXPECT_EQ(send.Len(), 1u);
  EXPECT_EQ(recv.Len(), 1u);
  EXPECT_EQ(send.Cap(), 3u);
  EXPECT_EQ(recv.Cap(), 3u);
  EXPECT_EQ(value.use_count(), 2);
  send.Send(value);
  EXPECT_EQ(*recv.Recv().value, 9);
  send.Close();
  EXPECT_FALSE(send.TryClose());
  EXPECT_TRUE(recv.Recv().ok);
  EXPECT_FALSE(recv.Recv().ok);
  EXPECT_EQ(value.use_count(), 1);
  // The last handle takes what is left in the buffer with it.
  {
    auto ch = MakeChan<std::shared_ptr<int>>(1);
    ch.Send(value);
    recv = ch;
  }
  EXPECT_EQ(value.use_count(), 2);
  recv = nullptr;
  EXPECT_EQ(value.use_count(), 1);
}

PARTY_TEST(RangeConformance, DR05RangeYieldsInOrderAndEnds) {
  for (int cap : {0, 1, 26, 100}) {
    auto ch = MakeChan<char>(cap);
    Parties parties;
    parties.Go([ch] {
      for (char c = 'a'; c <= 'z'; ++c) ch.Send(c);
      ch.Close();
    });
    std::string text;
    for (char c : ch) text.push_back(c);
    EXPECT_EQ(text, "abcdefghijklmnopqrstuvwxyz");
    // A second range over a drained channel has no rounds.
    for ([[maybe_unused]] char c : ch) ADD_FAILURE();
  }
  auto closed = MakeChan<int>();
  closed.Close();
  for ([[maybe_unused]] int value : closed) ADD_FAILURE();
  // Leaving early keeps the rest.
  auto rest = MakeChan<int>(3);
  for (int i = 0; i < 3; ++i) rest.Send(i);
  for (int value : rest) {
    if (value == 1) break;
  }
  EXPECT_EQ(rest.Len(), 1u);
  EXPECT_EQ(rest.Recv().value, 2);
}

PARTY_TEST(RangeConformance, DR08TheOperandIsEvaluatedOnce) {
  int calls = 0;
  const auto factory = [&] {
    ++calls;
    auto ch = MakeChan<int>(5);
    for (int i = 0; i < 5; ++i) ch.Send(i);
    ch.Close();
    return ch;
  };
  int sum = 0;
  // The range keeps the temporary handle's channel alive.
  for (int value : factory()) sum += value;
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(sum, 10);
  // Reassigning the variable inside does not change what is ranged over.
  auto ch = factory();
  sum = 0;
  for (int value : RecvChan<int>(ch)) {
    ch = nullptr;
    sum += value;
  }
  EXPECT_EQ(sum, 10);
}

PARTY_TEST(RangeConformance, DR09WorkersShareTheValues) {
  const int items = static_cast<int>(PartyScaled(27'182));
  for (int cap : {0, 8}) {
    auto queue = MakeChan<int>(cap);
    auto results = MakeChan<int64_t>(cap);
    Parties parties(test::ScaledLimit());
    parties.GoEach(23, [queue, results](int i) {
      int64_t sum = 0;
      for (int value : queue) {
        if (value % 7 == i % 7) Yield();
        sum += value;
      }
      results.Send(sum);
    });
    parties.Go([queue, items] {
      for (int i = 0; i < items; ++i) queue.Send(i);
      queue.Close();
    });
    int64_t sum = 0;
    for (int i = 0; i < 23; ++i) sum += results.Recv().value;
    EXPECT_EQ(sum, int64_t{items} * (items - 1) / 2);
  }
}

}  // namespace
}  // namespace gochan

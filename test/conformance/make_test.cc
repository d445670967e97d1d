// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours MK: making channels, len and cap, element types.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "chan/chan.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/allocations.h"
#include "test/util/counted.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/parties.h"

namespace gochan {
namespace {

using test::Counted;
using test::MoveOnlyCounted;
using test::Parties;
using test::WaitUntilParked;

using MakeConformance = test::WithParties<test::CountedTest>;
GOCHAN_FOR_ALL_PARTIES(MakeConformance);

PARTY_TEST(MakeConformance, MK01NoCapacityIsUnbuffered) {
  for (const Chan<int>& ch : {MakeChan<int>(), MakeChan<int>(0)}) {
    EXPECT_FALSE(ch.IsNil());
    EXPECT_EQ(ch.Cap(), 0u);
    EXPECT_EQ(ch.Len(), 0u);
    EXPECT_FALSE(ch.TrySend(1));
    EXPECT_EQ(ch.Len(), 0u);
  }
}

PARTY_TEST(MakeConformance, MK02LenCountsBufferedElementsCapStays) {
  for (std::size_t cap = 0; cap <= 200; ++cap) {
    auto ch = MakeChan<int>(static_cast<std::ptrdiff_t>(cap));
    // Twice, so that the second round starts in the middle of the ring.
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < cap; ++i) {
        ASSERT_EQ(ch.Len(), i);
        ASSERT_EQ(ch.Cap(), cap);
        ch.Send(static_cast<int>(i));
      }
      ASSERT_EQ(ch.Len(), cap);
      ASSERT_FALSE(ch.TrySend(-1));
      if (round == 1) ch.Close();
      for (std::size_t i = 0; i < cap; ++i) {
        ASSERT_EQ(ch.Len(), cap - i);
        ASSERT_EQ(ch.Cap(), cap);
        auto [value, ok] = ch.Recv();
        ASSERT_TRUE(ok);
        ASSERT_EQ(value, static_cast<int>(i));
      }
      ASSERT_EQ(ch.Len(), 0u);
      ASSERT_EQ(ch.Cap(), cap);
    }
    ASSERT_FALSE(ch.Recv().ok);
    ASSERT_EQ(ch.Len(), 0u);
    ASSERT_EQ(ch.Cap(), cap);
  }
}

PARTY_TEST(MakeConformance, MK03NegativeCapacityPanicsAndAllocatesNothing) {
  // Once first: what a first panic sets up is not the channel's.
  volatile std::ptrdiff_t capacity = -1;
  EXPECT_PANIC(MakeChan<int>(capacity), "makechan: size out of range");

  const std::ptrdiff_t capacities[] = {
      -1, -2, -1000, std::numeric_limits<std::ptrdiff_t>::min()};
  for (std::ptrdiff_t negative : capacities) {
    capacity = negative;
#if GOCHAN_TEST_EXCEPTIONS
    const int64_t live = test::LiveAllocations();
    bool panicked = false;
    try {
      MakeChan<int>(capacity);
    } catch (const Panic&) {
      panicked = true;
    }
    EXPECT_TRUE(panicked);
    EXPECT_LE(test::LiveAllocations(), live);
#endif
    EXPECT_PANIC(MakeChan<int>(capacity), "makechan: size out of range");
    EXPECT_PANIC(MakeChan<Unit>(capacity), "makechan: size out of range");
    EXPECT_PANIC(MakeChan<test::BigCounted>(capacity),
                 "makechan: size out of range");
  }
}

PARTY_TEST(MakeConformance, MK05NilHasNoLenAndNoCap) {
  Chan<int> ch;
  SendChan<int> send;
  RecvChan<int> recv;
  EXPECT_EQ(ch.Len(), 0u);
  EXPECT_EQ(ch.Cap(), 0u);
  EXPECT_EQ(send.Len(), 0u);
  EXPECT_EQ(send.Cap(), 0u);
  EXPECT_EQ(recv.Len(), 0u);
  EXPECT_EQ(recv.Cap(), 0u);
}

PARTY_TEST(MakeConformance, MK06LenNeverCountsParkedParties) {
  {
    auto ch = MakeChan<int>(3);
    for (int i = 0; i < 3; ++i) ch.Send(i);
    Parties parties;
    for (int i = 3; i < 6; ++i) {
      parties.Go([ch, i] { ch.Send(i); });
      WaitUntilParked(ch, static_cast<std::size_t>(i - 2));
    }
    EXPECT_EQ(ch.Len(), 3u);
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(ch.Recv().value, i);
      // A parked sender's value takes the place at once.
      EXPECT_EQ(ch.Len(), static_cast<std::size_t>(i < 3 ? 3 : 5 - i));
    }
  }
  {
    auto ch = MakeChan<int>();
    Parties parties;
    parties.Go([ch] { ch.Send(7); });
    WaitUntilParked(ch, 1);
    EXPECT_EQ(ch.Len(), 0u);
    EXPECT_EQ(ch.Recv().value, 7);
  }
  {
    auto ch = MakeChan<int>(4);
    Parties parties;
    parties.GoEach(2, [ch](int) { EXPECT_TRUE(ch.Recv().ok); });
    WaitUntilParked(ch, 2);
    EXPECT_EQ(ch.Len(), 0u);
    ch.Send(1);
    EXPECT_EQ(ch.Len(), 0u);
    ch.Send(2);
    EXPECT_EQ(ch.Len(), 0u);
    ch.Send(3);
    EXPECT_EQ(ch.Len(), 1u);
  }
}

PARTY_TEST(MakeConformance, MK08EmptyElementsAreCounted) {
  struct Empty {};
  const auto check = []<typename T>(T, std::ptrdiff_t cap) {
    auto ch = MakeChan<T>(cap);
    const auto size = static_cast<std::size_t>(cap);
    EXPECT_EQ(ch.Cap(), size);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_TRUE(ch.TrySend(T{}));
        EXPECT_EQ(ch.Len(), i + 1);
      }
      EXPECT_FALSE(ch.TrySend(T{}));
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_TRUE(ch.Recv().ok);
        EXPECT_EQ(ch.Len(), size - i - 1);
      }
      EXPECT_FALSE(ch.TryRecv().has_value());
    }
    Parties parties;
    parties.Go([ch] {
      for (int i = 0; i < 100; ++i) ch.Send(T{});
      ch.Close();
    });
    int received = 0;
    for ([[maybe_unused]] T element : ch) ++received;
    EXPECT_EQ(received, 100);
    EXPECT_FALSE(ch.Recv().ok);
  };
  for (std::ptrdiff_t cap : {0, 1, 5}) {
    check(Unit{}, cap);
    check(Empty{}, cap);
  }
}

PARTY_TEST(MakeConformance, MK10MoveOnlyElementsGoThroughEveryOperation) {
  using Pointer = std::unique_ptr<int>;
  for (std::ptrdiff_t cap : {1, 3}) {
    auto ch = MakeChan<Pointer>(cap);
    int next = 0;
    const auto expect = [&](const Pointer& pointer) {
      ASSERT_NE(pointer, nullptr);
      EXPECT_EQ(*pointer, next++);
    };
    int made = 0;
    const auto make = [&] { return std::make_unique<int>(made++); };

    ch.Send(make());
    expect(ch.Recv().value);
    EXPECT_TRUE(ch.TrySend(make()));
    expect(*ch.RecvOptional());
    ch.Send(make());
    expect(ch.TryRecv()->value);
    ch.Send(make());
    expect(**ch.TryRecvOptional());

    Select(SendCase(ch, make()));
    Select(RecvCase(ch, [&](Pointer pointer) { expect(pointer); }));
    Pointer kept = make();
    Select(SendCase(ch, std::move(kept), [] {}));
    EXPECT_EQ(kept, nullptr);
    Select(RecvCase(ch, [&](Pointer pointer, bool ok) {
      EXPECT_TRUE(ok);
      expect(pointer);
    }));
    kept = make();
    Select(SendFrom(ch, &kept));
    EXPECT_EQ(kept, nullptr);
    bool ok = false;
    Select(RecvCase(ch, &kept, &ok));
    EXPECT_TRUE(ok);
    expect(kept);

    std::vector<AnyCase> cases;
    cases.push_back(SendCase(ch, make()));
    Select(absl::MakeSpan(cases));
    ch.Close();
    for (Pointer pointer : ch) expect(pointer);
    EXPECT_EQ(next, made);
  }
  // Hand-over between threads, with no buffer in between.
  auto ch = MakeChan<Pointer>();
  Parties parties;
  parties.Go([ch] {
    for (int i = 0; i < 100; ++i) ch.Send(std::make_unique<int>(i));
    ch.Close();
  });
  int next = 0;
  for (Pointer pointer : ch) EXPECT_EQ(*pointer, next++);
  EXPECT_EQ(next, 100);
}

PARTY_TEST(MakeConformance, MK10NoCopyIsMadeOfAMovedValue) {
  auto ch = MakeChan<Counted>(2);
  const int64_t copies = test::InstanceCounts::copies.load();
  ch.Send(Counted(1));
  EXPECT_EQ(ch.Recv().value.value(), 1);
  Select(SendCase(ch, Counted(2)));
  Select(RecvCase(ch, [](Counted value) { EXPECT_EQ(value.value(), 2); }));
  ch.Send(Counted(3));
  ch.Close();
  for (Counted value : ch) EXPECT_EQ(value.value(), 3);
  EXPECT_EQ(test::InstanceCounts::copies.load(), copies);
}

// The fixture's tear-down is the check.
template <typename T>
void RunThroughEveryWay() {
  for (std::ptrdiff_t cap : {0, 1, 2, 7}) {
    auto ch = MakeChan<T>(cap);
    // Through a buffer, and left in it when the channel dies.
    for (std::ptrdiff_t i = 0; i < cap; ++i) ch.Send(T(int64_t{i}));
    T refused(int64_t{99});
    EXPECT_FALSE(ch.TrySend(std::move(refused)));
    EXPECT_EQ(refused.value(), 99);
    if (cap > 1) {
      EXPECT_EQ(ch.RecvOptional()->value(), 0);
    }

    // Handed over to a parked receiver, and by a parked sender.
    auto direct = MakeChan<T>(cap);
    Parties parties;
    parties.Go([direct] {
      EXPECT_EQ(direct.RecvOptional()->value(), 5);
      for (int64_t i = 0; i < 20; ++i) direct.Send(T(i));
      direct.Close();
    });
    WaitUntilParked(direct, 1);
    direct.Send(T(int64_t{5}));
    int64_t next = 0;
    while (std::optional<T> value = direct.RecvOptional()) {
      EXPECT_EQ(value->value(), next++);
    }
    EXPECT_EQ(next, 20);

#if GOCHAN_TEST_EXCEPTIONS
    // Refused by a panic.
    EXPECT_PANIC(direct.Send(std::move(refused)), "send on closed channel");
    EXPECT_EQ(refused.value(), 99);
    // Parked, and refused by the close.
    for (std::ptrdiff_t i = ch.Len(); i < cap; ++i) ch.Send(T(int64_t{i}));
    parties.Go([ch] {
      T value(int64_t{1234});
      EXPECT_PANIC(ch.Send(std::move(value)), "send on closed channel");
      EXPECT_EQ(value.value(), 1234);
    });
    WaitUntilParked(ch, 1);
    ch.Close();
#endif
  }
}

PARTY_TEST(MakeConformance, MK13EveryElementIsDestroyedOnce) {
  RunThroughEveryWay<Counted>();
  RunThroughEveryWay<MoveOnlyCounted>();
  RunThroughEveryWay<test::NoDefaultCounted>();
  RunThroughEveryWay<test::BigCounted>();
  RunThroughEveryWay<test::ThrowingCounted>();
}

PARTY_TEST(MakeConformance, MK15HandlesAlias) {
  auto a = MakeChan<int>(1);
  auto b = MakeChan<int>(1);
  const Chan<int> copy = a;
  const SendChan<int> send = a;
  const RecvChan<int> recv = a;
  const RecvChan<int> recv_copy = recv;
  EXPECT_EQ(a, copy);
  EXPECT_NE(a, b);
  EXPECT_TRUE(send == a);
  EXPECT_TRUE(a == send);
  EXPECT_TRUE(recv == a);
  EXPECT_TRUE(a == recv);
  EXPECT_TRUE(recv == recv_copy);
  EXPECT_TRUE(send != b);
  EXPECT_TRUE(recv != b);

  EXPECT_EQ(Chan<int>(), Chan<int>());
  EXPECT_EQ(SendChan<int>(), SendChan<int>());
  EXPECT_EQ(RecvChan<int>(), RecvChan<int>());
  EXPECT_TRUE(Chan<int>() == RecvChan<int>());
  EXPECT_TRUE(Chan<int>() == nullptr);
  EXPECT_TRUE(nullptr == RecvChan<int>());
  EXPECT_TRUE(SendChan<int>() == nullptr);
  EXPECT_FALSE(a == nullptr);
  EXPECT_TRUE(a != nullptr);
  EXPECT_NE(a, Chan<int>());

  EXPECT_EQ(absl::HashOf(a), absl::HashOf(copy));
  EXPECT_EQ(absl::HashOf(Chan<int>()), absl::HashOf(Chan<int>()));
  EXPECT_EQ(std::hash<Chan<int>>()(a), std::hash<Chan<int>>()(copy));
  EXPECT_EQ(std::hash<RecvChan<int>>()(recv),
            std::hash<RecvChan<int>>()(recv_copy));

  std::unordered_set<Chan<int>> seen{a, copy, b, Chan<int>(), Chan<int>()};
  EXPECT_EQ(seen.size(), 3u);

  // One channel behind all of them.
  send.Send(4);
  EXPECT_EQ(copy.Len(), 1u);
  EXPECT_EQ(recv.Recv().value, 4);
}

PARTY_TEST(MakeConformance, MK16AnEmptyLookingElementIsNoClose) {
  auto optionals = MakeChan<std::optional<int>>(1);
  optionals.Send(std::nullopt);
  auto [optional, ok] = optionals.Recv();
  EXPECT_TRUE(ok);
  EXPECT_FALSE(optional.has_value());
  optionals.Send(std::nullopt);
  auto received = optionals.RecvOptional();
  ASSERT_TRUE(received.has_value());
  EXPECT_FALSE(received->has_value());
  EXPECT_FALSE(optionals.TryRecvOptional().has_value());
  optionals.Send(std::nullopt);
  auto tried = optionals.TryRecvOptional();
  ASSERT_TRUE(tried.has_value());
  ASSERT_TRUE(tried->has_value());
  EXPECT_FALSE((*tried)->has_value());
  optionals.Close();
  EXPECT_FALSE(optionals.RecvOptional().has_value());
  tried = optionals.TryRecvOptional();
  ASSERT_TRUE(tried.has_value());
  EXPECT_FALSE(tried->has_value());

  auto pointers = MakeChan<std::unique_ptr<int>>(1);
  pointers.Send(nullptr);
  EXPECT_TRUE(pointers.Recv().ok);
  pointers.Send(nullptr);
  EXPECT_TRUE(pointers.TryRecv()->ok);
  pointers.Close();
  EXPECT_FALSE(pointers.TryRecv()->ok);

  auto bools = MakeChan<bool>(1);
  bools.Send(false);
  EXPECT_TRUE(bools.Recv().ok);
  bools.Send(false);
  bool chosen_ok = false;
  Select(RecvCase(bools, [&](bool, bool open) { chosen_ok = open; }));
  EXPECT_TRUE(chosen_ok);
  bools.Close();
  EXPECT_FALSE(bools.Recv().ok);
}

PARTY_TEST(MakeConformance, MK18ChannelsOfChannels) {
  struct Request {
    int number;
    Chan<int> reply;
  };
  for (std::ptrdiff_t cap : {0, 4}) {
    auto requests = MakeChan<Request>(cap);
    Parties parties;
    parties.Go([requests] {
      for (Request request : requests) {
        request.reply.Send(request.number * 2);
        request.reply.Close();
      }
    });
    for (int i = 0; i < 1000; ++i) {
      // No name for it here: the reply channel lives by its other handles.
      auto reply = MakeChan<int>(i % 2);
      requests.Send(Request{i, reply});
      auto [value, ok] = reply.Recv();
      ASSERT_TRUE(ok);
      ASSERT_EQ(value, i * 2);
      ASSERT_FALSE(reply.Recv().ok);
    }
    requests.Close();
  }
  auto nested = MakeChan<Chan<Chan<int>>>(1);
  nested.Send(MakeChan<Chan<int>>(1));
  auto inner = nested.Recv().value;
  inner.Send(MakeChan<int>(1));
  EXPECT_EQ(inner.Recv().value.Cap(), 1u);
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Element types: what T may be, and what happens to it.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "chan/chan.h"
#include "gtest/gtest.h"
#include "test/util/counted.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using test::InstanceCounts;
using test::Threads;
using test::WaitUntilParked;

using ElementTest = test::CountedTest;

// Sends three values and a fourth to a parked receiver, and checks them.
template <typename T, typename Make, typename Check>
void RoundTrip(Make make, Check check) {
  for (int cap : {0, 1, 3}) {
    auto ch = MakeChan<T>(cap);
    Threads threads;
    threads.Go([ch, make] {
      for (int i = 0; i < 8; ++i) ch.Send(make(i));
      ch.Close();
    });
    int next = 0;
    while (std::optional<T> value = ch.RecvOptional()) {
      check(*value, next++);
    }
    EXPECT_EQ(next, 8);
    threads.Join();

    auto late = MakeChan<T>(cap);
    threads.Go([late, check] {
      auto value = late.RecvOptional();
      ASSERT_TRUE(value.has_value());
      check(*value, 5);
    });
    WaitUntilParked(late, 1);
    EXPECT_TRUE(late.TrySend(make(5)));
  }
}

TEST_F(ElementTest, Strings) {
  RoundTrip<std::string>(
      [](int i) { return std::string(static_cast<std::size_t>(i * 20), 'x'); },
      [](const std::string& s, int i) {
        EXPECT_EQ(s, std::string(static_cast<std::size_t>(i * 20), 'x'));
      });
  auto ch = MakeChan<std::string>(2);
  ch.Send("literal");
  const std::string constant = "constant";
  ch.Send(constant);
  EXPECT_EQ(constant, "constant");
  EXPECT_EQ(ch.Recv().value, "literal");
  EXPECT_EQ(ch.Recv().value, "constant");
}

TEST_F(ElementTest, UniquePointers) {
  RoundTrip<std::unique_ptr<int>>(
      [](int i) { return std::make_unique<int>(i); },
      [](const std::unique_ptr<int>& p, int i) { EXPECT_EQ(*p, i); });
}

TEST_F(ElementTest, Optionals) {
  RoundTrip<std::optional<int>>(
      [](int i) { return i % 2 == 0 ? std::optional<int>(i) : std::nullopt; },
      [](const std::optional<int>& o, int i) {
        EXPECT_EQ(o.has_value(), i % 2 == 0);
        if (o) {
          EXPECT_EQ(*o, i);
        }
      });
}

TEST_F(ElementTest, Channels) {
  RoundTrip<Chan<int>>([](int i) { return MakeChan<int>(i); },
                       [](const Chan<int>& ch, int i) {
                         EXPECT_EQ(ch.Cap(), static_cast<std::size_t>(i));
                       });
  // A channel that holds itself is a cycle, and ends when it is taken out.
  struct Self {
    Chan<Self> ch;
  };
  auto ch = MakeChan<Self>(1);
  ch.Send({ch});
  EXPECT_EQ(ch.Recv().value.ch, ch);
}

TEST_F(ElementTest, FunctionsAndVariants) {
  RoundTrip<absl::AnyInvocable<int()>>(
      [](int i) {
        return absl::AnyInvocable<int()>(
            [p = std::make_unique<int>(i)] { return *p; });
      },
      [](absl::AnyInvocable<int()>& f, int i) { EXPECT_EQ(f(), i); });
  RoundTrip<std::variant<int, std::string>>(
      [](int i) {
        return i % 2 == 0 ? std::variant<int, std::string>(i)
                          : std::variant<int, std::string>("odd");
      },
      [](const std::variant<int, std::string>& v, int i) {
        EXPECT_EQ(v.index(), static_cast<std::size_t>(i % 2));
      });
  RoundTrip<absl::StatusOr<int>>(
      [](int i) { return absl::StatusOr<int>(i); },
      [](const absl::StatusOr<int>& s, int i) { EXPECT_EQ(*s, i); });
}

TEST_F(ElementTest, SmallAndOddSizes) {
  RoundTrip<bool>([](int i) { return i % 2 == 0; },
                  [](bool b, int i) { EXPECT_EQ(b, i % 2 == 0); });
  RoundTrip<char>([](int i) { return static_cast<char>('a' + i); },
                  [](char c, int i) { EXPECT_EQ(c, 'a' + i); });
  using Three = std::array<char, 3>;
  RoundTrip<Three>(
      [](int i) {
        const char c = static_cast<char>(i);
        return Three{c, c, c};
      },
      [](const Three& t, int i) {
        for (char c : t) EXPECT_EQ(c, i);
      });
  RoundTrip<__int128>([](int i) { return static_cast<__int128>(i) << 64; },
                      [](__int128 v, int i) {
                        EXPECT_TRUE(v == static_cast<__int128>(i) << 64);
                      });
}

TEST_F(ElementTest, BigElements) {
  using Big = std::array<int, 4096>;  // 16 KiB
  RoundTrip<Big>(
      [](int i) {
        Big big;
        big.fill(i);
        return big;
      },
      [](const Big& big, int i) {
        for (int value : big) ASSERT_EQ(value, i);
      });
  // Many of them: a ring of its own.
  auto ch = MakeChan<Big>(1000);
  Big big{};
  for (int i = 0; i < 10; ++i) {
    big[0] = i;
    ch.Send(big);
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ch.Recv().value[0], i);
}

template <std::size_t kAlign>
struct alignas(kAlign) Aligned {
  Aligned(int v = 0) : value(v) { Check(); }  // NOLINT: a value
  Aligned(const Aligned& other) noexcept : value(other.value) { Check(); }
  Aligned(Aligned&& other) noexcept : value(other.value) { Check(); }
  Aligned& operator=(const Aligned&) = default;
  void Check() const {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(this) % kAlign, 0u);
  }
  int value;
};

TEST_F(ElementTest, OverAlignedElements) {
  const auto check = []<typename T>(T) {
    RoundTrip<T>([](int i) { return T(i); },
                 [](const T& v, int i) {
                   v.Check();
                   EXPECT_EQ(v.value, i);
                 });
    // In a large ring as well.
    auto ch = MakeChan<T>(5000);
    for (int i = 0; i < 5000; ++i) ch.Send(T(i));
    for (int i = 0; i < 5000; ++i) ASSERT_EQ(ch.Recv().value.value, i);
  };
  check(Aligned<32>());
  check(Aligned<64>());
  check(Aligned<128>());
  check(Aligned<4096>());
}

TEST_F(ElementTest, UnitsOnlyCount) {
  auto ch = MakeChan<Unit>(1'000'000);
  for (int i = 0; i < 1000; ++i) ch.Send({});
  EXPECT_EQ(ch.Len(), 1000u);
  EXPECT_TRUE(ch.Recv().ok);
  EXPECT_TRUE(ch.TryRecv()->ok);
  EXPECT_TRUE(ch.RecvOptional().has_value());
  EXPECT_EQ(ch.Len(), 997u);
  ch.Close();
  int rest = 0;
  for ([[maybe_unused]] Unit unit : ch) ++rest;
  EXPECT_EQ(rest, 997);
  RoundTrip<Unit>([](int) { return Unit{}; }, [](Unit, int) {});
}

TEST_F(ElementTest, NoDefaultConstructorIsNeeded) {
  RoundTrip<test::NoDefaultCounted>(
      [](int i) { return test::NoDefaultCounted(i); },
      [](const test::NoDefaultCounted& v, int i) { EXPECT_EQ(v.value(), i); });
  auto ch = MakeChan<test::NoDefaultCounted>(2);
  ch.Send(test::NoDefaultCounted(1));
  EXPECT_EQ((*ch.TryRecvOptional())->value(), 1);
  EXPECT_FALSE(ch.TryRecvOptional().has_value());
  ch.Send(test::NoDefaultCounted(2));
  ch.Close();
  for (test::NoDefaultCounted value : ch) EXPECT_EQ(value.value(), 2);
  EXPECT_FALSE(ch.RecvOptional().has_value());
}

// Destroying an element may use the channel that held it.
TEST_F(ElementTest, DestructorsMayUseChannels) {
  struct Note {
    explicit Note(Chan<int> c) : ch(std::move(c)) {}
    Note(Note&& other) noexcept : ch(std::move(other.ch)) {}
    Note& operator=(Note&&) = delete;
    ~Note() {
      if (ch) ch.TrySend(1);
    }
    Chan<int> ch;
  };
  auto log = MakeChan<int>(10);
  {
    auto ch = MakeChan<Note>(3);
    for (int i = 0; i < 3; ++i) ch.Send(Note(log));
    ch.RecvOptional();
    EXPECT_EQ(log.Len(), 1u);
  }
  EXPECT_EQ(log.Len(), 3u);
}

#if GOCHAN_TEST_EXCEPTIONS

TEST_F(ElementTest, ACopyThatThrowsSendsNothing) {
  using test::CopyError;
  using test::ThrowingCounted;
  for (int cap : {0, 1, 2}) {
    auto ch = MakeChan<ThrowingCounted>(cap);
    const ThrowingCounted value(7);
    const auto refuse = [&](auto operation) {
      InstanceCounts::copies_left = 0;
      EXPECT_THROW(operation(), CopyError);
      InstanceCounts::copies_left = -1;
      EXPECT_EQ(value.value(), 7);
    };
    // Into the buffer, or with nobody there.
    refuse([&] { ch.Send(value); });
    if (cap > 0) {
      refuse([&] { ch.TrySend(value); });
    }
    EXPECT_EQ(ch.Len(), 0u);
    EXPECT_EQ(test::Parked(ch), 0u);

    // To a parked receiver: it stays parked.
    Threads threads;
    threads.Go([ch] { EXPECT_EQ(ch.RecvOptional()->value(), 7); });
    WaitUntilParked(ch, 1);
    refuse([&] { ch.Send(value); });
    refuse([&] { ch.TrySend(value); });
    EXPECT_EQ(test::Parked(ch), 1u);
    ch.Send(value);
    threads.Join();

    // On a full channel, where it would wait.
    for (int i = 0; i < cap; ++i) ch.Send(value);
    refuse([&] { ch.Send(value); });
    EXPECT_EQ(test::Parked(ch), 0u);
    EXPECT_EQ(ch.Len(), static_cast<std::size_t>(cap));
    // Rvalues are not copied.
    InstanceCounts::copies_left = 0;
    EXPECT_FALSE(ch.TrySend(ThrowingCounted(1)));
    InstanceCounts::copies_left = -1;
  }
}

TEST_F(ElementTest, AThrowingDefaultConstructorLeavesTheChannelAlone) {
  struct Refuses {
    Refuses() { throw std::string("no default"); }
    explicit Refuses(int v) : value(v) {}
    int value;
  };
  auto ch = MakeChan<Refuses>(1);
  ch.Send(Refuses(3));
  EXPECT_EQ(ch.Recv().value.value, 3);
  ch.Close();
  EXPECT_THROW(ch.Recv(), std::string);
  EXPECT_THROW(ch.TryRecv(), std::string);
  EXPECT_FALSE(ch.RecvOptional().has_value());
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// A try that fails, or a panic, leaves the value with the caller.
TEST_F(ElementTest, RefusedValuesStayWithTheCaller) {
  auto ch = MakeChan<std::unique_ptr<int>>();
  auto value = std::make_unique<int>(3);
  EXPECT_FALSE(ch.TrySend(std::move(value)));
  ASSERT_NE(value, nullptr);
  ch.Close();
  EXPECT_PANIC(ch.Send(std::move(value)), "send on closed channel");
  EXPECT_PANIC(ch.TrySend(std::move(value)), "send on closed channel");
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(*value, 3);
}

// Every hand-over is one copy or none, and few moves: the value goes from frame
// to frame.
TEST_F(ElementTest, MovesAndCopiesAreFew) {
  using test::Counted;
  auto ch = MakeChan<Counted>(1);
  const Counted constant(4);
  InstanceCounts::copies = 0;
  InstanceCounts::moves = 0;
  ch.Send(constant);
  EXPECT_EQ(InstanceCounts::copies, 1);
  EXPECT_LE(InstanceCounts::moves, 1);
  EXPECT_EQ(ch.Recv().value.value(), 4);
  EXPECT_EQ(InstanceCounts::copies, 1);
  EXPECT_LE(InstanceCounts::moves, 3);
}

}  // namespace
}  // namespace gochan

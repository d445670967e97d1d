// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours CL: close.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "chan/chan.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/counted.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Counted;
using test::MoveOnlyCounted;
using test::Parties;
using test::PartyScaled;
using test::WaitUntilParked;

using CloseConformance = test::WithParties<test::CountedTest>;
GOCHAN_FOR_ALL_PARTIES(CloseConformance);

PARTY_TEST(CloseConformance, CL01ClosingNilOrTwicePanics) {
  EXPECT_PANIC(Chan<int>().Close(), "close of nil channel");
  EXPECT_PANIC(SendChan<int>().Close(), "close of nil channel");
  EXPECT_PANIC(Chan<int>().TryClose(), "close of nil channel");

  for (int cap : {0, 3}) {
    auto ch = MakeChan<int>(cap);
    for (int i = 0; i < cap; ++i) ch.Send(i);
    ch.Close();
    EXPECT_PANIC(ch.Close(), "close of closed channel");
    EXPECT_PANIC(SendChan<int>(ch).Close(), "close of closed channel");
    EXPECT_FALSE(ch.TryClose());
    for (int i = 0; i < cap; ++i) {
      auto [value, ok] = ch.Recv();
      EXPECT_TRUE(ok);
      EXPECT_EQ(value, i);
    }
    EXPECT_FALSE(ch.Recv().ok);
    EXPECT_PANIC(ch.Close(), "close of closed channel");
  }
  auto ch = MakeChan<int>();
  EXPECT_TRUE(ch.TryClose());
  EXPECT_FALSE(ch.TryClose());
  EXPECT_FALSE(SendChan<int>(ch).TryClose());
}

PARTY_TEST(CloseConformance, CL02SendOnClosedPanicsAndKeepsTheValue) {
  for (int cap : {0, 1, 3}) {
    auto ch = MakeChan<MoveOnlyCounted>(cap);
    ch.Close();
    MoveOnlyCounted value(42);
    EXPECT_PANIC(ch.Send(std::move(value)), "send on closed channel");
    EXPECT_EQ(value.value(), 42);
    EXPECT_PANIC(ch.TrySend(std::move(value)), "send on closed channel");
    EXPECT_EQ(value.value(), 42);
    EXPECT_PANIC(Select(SendCase(ch, std::move(value))),
                 "send on closed channel");
    EXPECT_EQ(value.value(), 42);
    EXPECT_PANIC(Select(SendFrom(ch, &value)), "send on closed channel");
    EXPECT_EQ(value.value(), 42);
    EXPECT_EQ(ch.Len(), 0u);
    auto [received, ok] = ch.Recv();
    EXPECT_FALSE(ok);
    EXPECT_EQ(received.value(), 0);

    auto copied = MakeChan<Counted>(cap);
    copied.Close();
    const Counted constant(7);
    EXPECT_PANIC(copied.Send(constant), "send on closed channel");
    EXPECT_PANIC(copied.TrySend(constant), "send on closed channel");
    EXPECT_EQ(constant.value(), 7);
    EXPECT_FALSE(copied.RecvOptional().has_value());
  }
}

PARTY_TEST(CloseConformance, CL06BufferedValuesSurviveTheClose) {
  for (int cap = 1; cap <= 200; cap += cap < 5 ? 1 : 13) {
    for (int form = 0; form < 5; ++form) {
      auto ch = MakeChan<int>(cap);
      for (int i = 0; i < cap; ++i) ch.Send(i);
      ch.Close();
      int next = 0;
      const auto check = [&](int value) {
        ASSERT_EQ(value, next);
        ++next;
        ASSERT_EQ(ch.Len(), static_cast<std::size_t>(cap - next));
        ASSERT_EQ(ch.Cap(), static_cast<std::size_t>(cap));
      };
      switch (form) {
        case 0:
          while (RecvResult<int> result = ch.Recv()) check(result.value);
          break;
        case 1:
          while (auto value = ch.RecvOptional()) check(*value);
          break;
        case 2:
          for (auto result = ch.TryRecv();; result = ch.TryRecv()) {
            ASSERT_TRUE(result.has_value());
            if (!result->ok) break;
            check(result->value);
          }
          break;
        case 3:
          for (int value : ch) check(value);
          break;
        default:
          for (bool open = true; open;) {
            Select(RecvCase(ch,
                            [&](int value, bool ok) {
                              open = ok;
                              if (ok) check(value);
                            }),
                   DefaultCase([] { FAIL() << "a closed channel is ready"; }));
          }
      }
      EXPECT_EQ(next, cap);
      auto [value, ok] = ch.Recv();
      EXPECT_FALSE(ok);
      EXPECT_EQ(value, 0);
    }
  }
}

PARTY_TEST(CloseConformance, CL07CloseWakesEveryReceiver) {
  const int receivers = test::kSanitized ? 100 : 1000;
  for (int cap : {0, 2}) {
    auto ch = MakeChan<int>(cap);
    auto idle = MakeChan<int>();
    std::atomic<int> ended{0};
    Parties parties;
    parties.GoEach(receivers, [&, ch](int i) {
      bool ok = true;
      int value = 42;
      switch (i % 6) {
        case 0: {
          RecvResult<int> result = ch.Recv();
          ok = result.ok;
          value = result.value;
          break;
        }
        case 1:
          ok = ch.RecvOptional().has_value();
          value = 0;
          break;
        case 2:
          for ([[maybe_unused]] int received : ch) ADD_FAILURE();
          ok = false;
          value = 0;
          break;
        case 3:
          Select(RecvCase(ch, &value, &ok));
          break;
        case 4:
          Select(RecvCase(idle), RecvCase(ch, [&](int v, bool o) {
                   value = v;
                   ok = o;
                 }));
          break;
        default:
          std::vector<AnyCase> cases;
          cases.push_back(RecvCase(ch, &value, &ok));
          cases.push_back(RecvCase(idle));
          EXPECT_EQ(Select(absl::MakeSpan(cases)), 0u);
      }
      EXPECT_FALSE(ok);
      EXPECT_EQ(value, 0);
      ended.fetch_add(1);
    });
    WaitUntilParked(ch, static_cast<std::size_t>(receivers));
    EXPECT_EQ(ended.load(), 0);
    ch.Close();
    parties.Join();
    EXPECT_EQ(ended.load(), receivers);
    EXPECT_EQ(test::Parked(ch), 0u);
    EXPECT_EQ(test::Parked(idle), 0u);
  }
}

#if GOCHAN_TEST_EXCEPTIONS
PARTY_TEST(CloseConformance, CL08CloseMakesEveryParkedSenderPanic) {
  for (int cap : {0, 1, 2}) {
    auto ch = MakeChan<Counted>(cap);
    auto idle = MakeChan<Counted>();
    for (int i = 0; i < cap; ++i) ch.Send(Counted(i + 1));
    std::atomic<int> panics{0};
    Parties parties;
    parties.GoEach(5, [&, ch](int i) {
      Counted value(100 + i);
      const std::string text = test::PanicText([&] {
        if (i < 3) {
          ch.Send(std::move(value));
        } else if (i == 3) {
          Select(SendCase(ch, std::move(value)));
        } else {
          Select(RecvCase(idle), SendFrom(ch, &value));
        }
      });
      EXPECT_TRUE(test::TextContains(text, "send on closed channel"));
      EXPECT_EQ(value.value(), 100 + i);
      panics.fetch_add(1);
    });
    WaitUntilParked(ch, 5);
    ch.Close();
    parties.Join();
    EXPECT_EQ(panics.load(), 5);
    EXPECT_EQ(ch.Len(), static_cast<std::size_t>(cap));
    for (int i = 0; i < cap; ++i) {
      auto [value, ok] = ch.Recv();
      EXPECT_TRUE(ok);
      EXPECT_EQ(value.value(), i + 1);
    }
    auto [value, ok] = ch.Recv();
    EXPECT_FALSE(ok);
    EXPECT_EQ(value.value(), 0);
    EXPECT_EQ(test::Parked(idle), 0u);
  }
}
#endif

PARTY_TEST(CloseConformance, CL09ClosedReceiveOverwritesTheDestination) {
  auto ch = MakeChan<Counted>();
  ch.Close();
  Counted value(42);
  bool ok = true;
  std::tie(value, ok) = [&] {
    auto result = ch.Recv();
    return std::pair(std::move(result.value), result.ok);
  }();
  EXPECT_EQ(value.value(), 0);
  EXPECT_FALSE(ok);

  value = Counted(42);
  ok = true;
  EXPECT_EQ(Select(RecvCase(ch, &value, &ok)), 0u);
  EXPECT_EQ(value.value(), 0);
  EXPECT_FALSE(ok);

  value = Counted(42);
  EXPECT_EQ(Select(RecvCase(ch, &value)), 0u);
  EXPECT_EQ(value.value(), 0);

  value = Counted(42);
  Select(RecvCase(ch, [&](Counted received) { value = std::move(received); }));
  EXPECT_EQ(value.value(), 0);

  value = Counted(42);
  std::vector<AnyCase> cases;
  cases.push_back(RecvCase(ch, &value));
  Select(absl::MakeSpan(cases));
  EXPECT_EQ(value.value(), 0);

  value = Counted(42);
  ok = true;
  Selector selector{RecvCase(ch, &value, &ok)};
  selector.Next();
  EXPECT_EQ(value.value(), 0);
  EXPECT_FALSE(ok);

  // The same when the close finds the receiver parked.
  for (int form = 0; form < 3; ++form) {
    auto later = MakeChan<Counted>();
    Parties parties;
    parties.Go([form, later] {
      Counted destination(42);
      bool open = true;
      switch (form) {
        case 0:
          Select(RecvCase(later, &destination, &open));
          break;
        case 1:
          Select(RecvCase(MakeChan<int>()),
                 RecvCase(later, &destination, &open));
          break;
        default:
          auto result = later.Recv();
          destination = std::move(result.value);
          open = result.ok;
      }
      EXPECT_EQ(destination.value(), 0);
      EXPECT_FALSE(open);
    });
    WaitUntilParked(later, 1);
    later.Close();
  }
}

PARTY_TEST(CloseConformance, CL11OneOfManyClosersSucceeds) {
  constexpr int kClosers = 16;
  const int64_t rounds = PartyScaled(500);
  Chan<int> ch;
  std::atomic<int> closed{0};
  std::atomic<int> refused{0};
  int64_t round = 0;
  test::Meeting meet(kClosers, [&]() noexcept {
    if (round++ > 0) {
      EXPECT_EQ(closed.load(), 1);
      EXPECT_EQ(refused.load(), kClosers - 1);
    }
    closed = 0;
    refused = 0;
    ch = MakeChan<int>(static_cast<std::ptrdiff_t>(round % 3));
  });
  Parties parties(test::ScaledLimit());
  parties.GoEach(kClosers, [&](int i) {
    for (int64_t r = 0; r < rounds; ++r) {
      meet.Arrive();
      bool mine = false;
#if GOCHAN_TEST_EXCEPTIONS
      if (i % 4 != 0) {
        const std::string text = test::PanicText([&] { ch.Close(); });
        mine = text.empty();
        if (!mine) {
          EXPECT_TRUE(test::TextContains(text, "close of closed channel"));
        }
      } else {
        mine = ch.TryClose();
      }
#else
      mine = ch.TryClose();
      (void)i;
#endif
      (mine ? closed : refused).fetch_add(1);
    }
    meet.Arrive();
  });
}

#if GOCHAN_TEST_EXCEPTIONS
PARTY_TEST(CloseConformance, CL14ACloseGuardClosesOnceWhileUnwinding) {
  for (int cap : {0, 2}) {
    auto ch = MakeChan<int>(cap);
    std::vector<int> received;
    Parties parties;
    parties.Go([&, ch] {
      for (int value : ch) received.push_back(value);
    });
    bool caught = false;
    try {
      absl::Cleanup close = [ch] { ch.Close(); };
      for (int i = 0;; ++i) {
        if (i == 3) throw std::runtime_error("mid-stream");
        ch.Send(i);
      }
    } catch (const std::runtime_error& error) {
      caught = std::string(error.what()) == "mid-stream";
    }
    EXPECT_TRUE(caught);
    parties.Join();
    EXPECT_EQ(received, (std::vector<int>{0, 1, 2}));
    EXPECT_PANIC(ch.Close(), "close of closed channel");
  }
}
#endif

}  // namespace
}  // namespace gochan

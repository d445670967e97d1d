// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours SR: send and receive, blocking and order.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::BlocksForEver;
using test::Parked;
using test::Parties;
using test::PartyScaled;
using test::WaitUntilParked;

using SendRecvConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(SendRecvConformance);

PARTY_TEST(SendRecvConformance, SR01ReceiveFromEmptyBlocksSendToFullBlocks) {
  for (int cap = 0; cap <= 200; cap += cap < 4 ? 1 : 49) {
    {
      auto ch = MakeChan<int>(cap);
      std::atomic<bool> received{false};
      Parties parties;
      parties.Go([&, ch] {
        EXPECT_EQ(ch.Recv().value, 5);
        received = true;
      });
      WaitUntilParked(ch, 1);
      EXPECT_FALSE(received);
      ch.Send(5);
    }
    {
      auto ch = MakeChan<int>(cap);
      // Nobody receives: with free space a send returns.
      for (int i = 0; i < cap; ++i) ch.Send(i);
      std::atomic<bool> sent{false};
      Parties parties;
      parties.Go([&, ch] {
        ch.Send(cap);
        sent = true;
      });
      WaitUntilParked(ch, 1);
      EXPECT_FALSE(sent);
      for (int i = 0; i <= cap; ++i) EXPECT_EQ(ch.Recv().value, i);
      parties.Join();
      EXPECT_TRUE(sent);
      EXPECT_FALSE(ch.TryRecv().has_value());
    }
  }
}

PARTY_TEST(SendRecvConformance, SR02UnbufferedSendReturnsAfterTheReceive) {
  auto ch = MakeChan<int>();
  std::atomic<bool> marker{false};
  Parties parties;
  parties.Go([&, ch] {
    test::PauseFor(std::chrono::milliseconds(20));
    marker = true;
    EXPECT_EQ(ch.Recv().value, 1);
  });
  ch.Send(1);
  EXPECT_TRUE(marker);
}

PARTY_TEST(SendRecvConformance, SR06ParkedReceiversAreServedInOrder) {
  constexpr int kReceivers = 100;
  for (int cap : {0, 1, 3}) {
    auto ch = MakeChan<int>(cap);
    std::vector<int> got(kReceivers, -1);
    Parties parties;
    for (int i = 0; i < kReceivers; ++i) {
      parties.Go([&, ch, i] {
        // Every third one waits in a select: all stand in one line.
        auto& mine = got[static_cast<std::size_t>(i)];
        if (i % 3 == 2) {
          Select(RecvCase(ch, [&](int value) { mine = value; }));
        } else {
          mine = ch.Recv().value;
        }
      });
      WaitUntilParked(ch, static_cast<std::size_t>(i + 1));
    }
    for (int i = 0; i < kReceivers; ++i) ch.Send(i);
    parties.Join();
    for (int i = 0; i < kReceivers; ++i) {
      EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
    }
  }
}

PARTY_TEST(SendRecvConformance, SR08ParkedSendersAreServedInOrder) {
  constexpr int kSenders = 50;
  for (int cap : {0, 1, 3}) {
    auto ch = MakeChan<int>(cap);
    Parties parties;
    for (int i = 0; i < kSenders; ++i) {
      parties.Go([ch, i] {
        if (i % 3 == 2) {
          Select(SendCase(ch, i));
        } else {
          ch.Send(i);
        }
      });
      if (i < cap) {
        // In the buffer: it must be there before the next one starts.
        parties.Join();
        EXPECT_EQ(ch.Len(), static_cast<std::size_t>(i + 1));
      } else {
        WaitUntilParked(ch, static_cast<std::size_t>(i + 1 - cap));
      }
    }
    for (int i = 0; i < kSenders; ++i) EXPECT_EQ(ch.Recv().value, i);
    EXPECT_EQ(ch.Len(), 0u);
  }
}

PARTY_TEST(SendRecvConformance, SR09NilChannelsBlockForEver) {
  EXPECT_TRUE(BlocksForEver([] { Chan<int>().Send(1); }));
  EXPECT_TRUE(BlocksForEver([] { SendChan<int>().Send(1); }));
  EXPECT_TRUE(BlocksForEver([] { Chan<int>().Recv(); }));
  EXPECT_TRUE(BlocksForEver([] { RecvChan<int>().RecvOptional(); }));
  EXPECT_TRUE(BlocksForEver([] {
    for ([[maybe_unused]] int value : RecvChan<int>()) ADD_FAILURE();
  }));
  Chan<int> nil;
  EXPECT_FALSE(nil.TrySend(1));
  EXPECT_FALSE(nil.TryRecv().has_value());
  EXPECT_FALSE(nil.TryRecvOptional().has_value());
}

PARTY_TEST(SendRecvConformance, SR10TryRecvTellsItsThreeOutcomesApart) {
  for (int cap : {0, 1, 4}) {
    auto ch = MakeChan<int>(cap);
    EXPECT_FALSE(ch.TryRecv().has_value());
    EXPECT_FALSE(ch.TryRecvOptional().has_value());

    Parties parties;
    parties.Go([ch, cap] {
      for (int i = 0; i <= cap; ++i) ch.Send(i + 10);
    });
    WaitUntilParked(ch, 1);
    for (int i = 0; i <= cap; ++i) {
      auto result = ch.TryRecv();
      ASSERT_TRUE(result.has_value());
      EXPECT_TRUE(result->ok);
      EXPECT_TRUE(static_cast<bool>(*result));
      EXPECT_EQ(result->value, i + 10);
    }
    EXPECT_FALSE(ch.TryRecv().has_value());

    ch.Close();
    auto result = ch.TryRecv();
    ASSERT_TRUE(result.has_value());
    EXPECT_FALSE(result->ok);
    EXPECT_EQ(result->value, 0);
    auto optional = ch.TryRecvOptional();
    ASSERT_TRUE(optional.has_value());
    EXPECT_FALSE(optional->has_value());
  }
}

PARTY_TEST(SendRecvConformance, SR11TrySendOnUnbufferedNeedsAReceiver) {
  auto ch = MakeChan<int>();
  EXPECT_FALSE(ch.TrySend(1));
  {
    Parties parties;
    parties.Go([ch] { EXPECT_EQ(ch.Recv().value, 2); });
    WaitUntilParked(ch, 1);
    EXPECT_TRUE(ch.TrySend(2));
    // It serves one send, and not a second one.
    EXPECT_FALSE(ch.TrySend(3));
  }
  // The same with the receiver in a select.
  Parties parties;
  parties.Go([ch] {
    Select(RecvCase(ch, [](int value) { EXPECT_EQ(value, 4); }),
           RecvCase(MakeChan<int>()));
  });
  WaitUntilParked(ch, 1);
  EXPECT_TRUE(ch.TrySend(4));
  EXPECT_FALSE(ch.TrySend(5));
}

PARTY_TEST(SendRecvConformance, SR12TryRecvNeverMissesAValue) {
  const int64_t rounds = PartyScaled(10'000);
  Chan<int> ch;
  std::optional<RecvResult<int>> mine;
  std::optional<RecvResult<int>> theirs;
  test::Meeting meet(2);
  Parties parties(test::ScaledLimit());
  parties.Go([&] {
    for (int64_t i = 0; i < rounds; ++i) {
      meet.Arrive();
      theirs = ch.TryRecv();
      meet.Arrive();
    }
  });
  for (int64_t i = 0; i < rounds; ++i) {
    ch = MakeChan<int>(1);
    ch.Send(1);
    meet.Arrive();
    ch.Close();
    mine = ch.TryRecv();
    meet.Arrive();
    ASSERT_TRUE(mine.has_value()) << "round " << i;
    ASSERT_TRUE(theirs.has_value()) << "round " << i;
    ASSERT_EQ(int{mine->ok} + int{theirs->ok}, 1) << "round " << i;
  }
}

PARTY_TEST(SendRecvConformance, SR14OneSendWakesOneReceiver) {
  for (int cap : {0, 2}) {
    auto ch = MakeChan<int>(cap);
    std::atomic<int> woken{0};
    Parties parties;
    parties.GoEach(50, [&, ch](int i) {
      bool got = false;
      if (i % 2 == 0) {
        got = ch.RecvOptional().has_value();
      } else {
        Select(RecvCase(ch, [&](int, bool ok) { got = ok; }));
      }
      EXPECT_EQ(got, woken.fetch_add(1) == 0);
    });
    WaitUntilParked(ch, 50);
    ch.Send(1);
    while (woken.load() == 0) Yield();
    EXPECT_EQ(Parked(ch), 49u);
    test::PauseFor(test::kPause);
    EXPECT_EQ(Parked(ch), 49u);
    EXPECT_EQ(woken.load(), 1);
    ch.Close();
  }
}

// --- SR15: every style of sending with every style of receiving.

enum Style { kPlain, kTry, kSelect, kSelectDefault, kStyles };

void SendBy(Style style, const Chan<int>& ch, const Chan<int>& idle, int v) {
  switch (style) {
    case kPlain:
      ch.Send(v);
      return;
    case kTry:
      while (!ch.TrySend(v)) Yield();
      return;
    case kSelect:
      EXPECT_EQ(Select(RecvCase(idle), SendCase(ch, v)), 1u);
      return;
    default:
      while (Select(SendCase(ch, v), DefaultCase()) != 0) {
        Yield();
      }
  }
}

int RecvBy(Style style, const Chan<int>& ch, const Chan<int>& idle) {
  int v = -1;
  switch (style) {
    case kPlain:
      return ch.Recv().value;
    case kTry:
      for (;;) {
        if (auto result = ch.TryRecv()) return result->value;
        Yield();
      }
    case kSelect:
      EXPECT_EQ(Select(RecvCase(ch, &v), RecvCase(idle)), 0u);
      return v;
    default:
      while (Select(DefaultCase(), RecvCase(ch, &v)) != 1) {
        Yield();
      }
      return v;
  }
}

PARTY_TEST(SendRecvConformance, SR15AllStylesPairAtAllSizes) {
  const int64_t values = PartyScaled(200);
  for (int cap : {0, 1, 10, 100}) {
    for (int channels = 1; channels <= 4; ++channels) {
      for (int s = 0; s < kStyles; ++s) {
        for (int r = 0; r < kStyles; ++r) {
          // Two parties that only try would meet by luck on one processor.
          if (cap == 0 && (s == kTry || s == kSelectDefault) &&
              (r == kTry || r == kSelectDefault)) {
            continue;
          }
          if (channels > 1 && (s + r + channels) % 3 != 0) continue;
          auto idle = MakeChan<int>();
          std::vector<Chan<int>> chs;
          for (int i = 0; i < channels; ++i) chs.push_back(MakeChan<int>(cap));
          std::atomic<int64_t> sum{0};
          Parties parties(test::ScaledLimit());
          for (const Chan<int>& ch : chs) {
            parties.Go([&, ch, s] {
              for (int64_t i = 0; i < values; ++i) {
                SendBy(static_cast<Style>(s), ch, idle, static_cast<int>(i));
              }
            });
            parties.Go([&, ch, r] {
              int64_t last = -1;
              for (int64_t i = 0; i < values; ++i) {
                const int v = RecvBy(static_cast<Style>(r), ch, idle);
                EXPECT_EQ(v, last + 1);
                last = v;
                sum += v;
              }
            });
          }
          parties.Join();
          EXPECT_EQ(sum.load(), channels * (values * (values - 1) / 2));
          EXPECT_EQ(Parked(idle), 0u);
        }
      }
    }
  }
}

}  // namespace
}  // namespace gochan

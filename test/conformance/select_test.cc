// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours SE: select.

#include "select/select.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/backoff.h"
#include "test/util/counted.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using test::BigCounted;
using test::BlocksForEver;
using test::Counted;
using test::MoveOnlyCounted;
using test::Parked;
using test::Parties;
using test::PartyScaled;
using test::WaitUntilParked;

using SelectConformance = test::WithParties<test::CountedTest>;
GOCHAN_FOR_ALL_PARTIES(SelectConformance);

std::size_t SelectList(std::vector<AnyCase>& cases) {
  return Select(absl::MakeSpan(cases));
}

template <typename List>
concept Selectable = requires(List& list) {
  Select(list);
  SelectBiased(list);
};

// A channel on which a send blocks.
Chan<int> Full() {
  auto ch = MakeChan<int>(1);
  ch.Send(0);
  return ch;
}

Chan<int> Closed() {
  auto ch = MakeChan<int>();
  ch.Close();
  return ch;
}

PARTY_TEST(SelectConformance, SE01TheOnlyReadyCaseRuns) {
  for (std::size_t n = 1; n <= 8; ++n) {
    for (std::size_t ready = 0; ready < n; ++ready) {
      for (bool send : {false, true}) {
        for (bool parked : {false, true}) {
          for (int cap : {0, 1}) {
            // An unbuffered channel is ready only with a party on it.
            if (!parked && cap == 0) continue;
            auto ch = MakeChan<int>(cap);
            if (cap == 1 && send && parked) ch.Send(-7);
            int ran = -1;
            int received = 0;
            std::vector<AnyCase> cases;
            for (std::size_t i = 0; i < n; ++i) {
              const auto mark = [&ran, i] { ran = static_cast<int>(i); };
              if (i == ready) {
                if (send) {
                  cases.push_back(SendCase(ch, 5, mark));
                } else {
                  cases.push_back(RecvCase(ch, [&, mark](int value) {
                    received = value;
                    mark();
                  }));
                }
              } else if (i % 2 == 0) {
                cases.push_back(RecvCase(MakeChan<int>(), mark));
              } else {
                cases.push_back(SendCase(Full(), 1, mark));
              }
            }
            Parties parties;
            if (parked) {
              parties.Go([&, ch] {
                WaitUntilParked(ch, 1);
                if (send) {
                  if (cap == 1) {
                    EXPECT_EQ(ch.Recv().value, -7);
                  }
                  EXPECT_EQ(ch.Recv().value, 5);
                } else {
                  ch.Send(-7);
                }
              });
            } else if (!send) {
              ch.Send(-7);
            }
            ASSERT_EQ(SelectList(cases), ready);
            parties.Join();
            ASSERT_EQ(ran, static_cast<int>(ready));
            if (!send) {
              ASSERT_EQ(received, -7);
            }
            if (send && !parked) {
              ASSERT_EQ(ch.Recv().value, 5);
            }
            ASSERT_EQ(ch.Len(), 0u);
            ASSERT_EQ(Parked(ch), 0u);
          }
        }
      }
    }
  }
  // The variadic form.
  auto idle = MakeChan<int>();
  auto full = Full();
  auto free = MakeChan<int>(1);
  EXPECT_EQ(Select(SendCase(free, 1)), 0u);
  EXPECT_EQ(Select(RecvCase(free)), 0u);
  EXPECT_EQ(Select(RecvCase(idle), SendCase(free, 1)), 1u);
  EXPECT_EQ(Select(SendCase(full, 1), RecvCase(free), RecvCase(idle)), 1u);
  EXPECT_EQ(Select(SendCase(full, 1), RecvCase(free), RecvCase(idle),
                   SendCase(full, 2), RecvCase(full)),
            4u);
}

PARTY_TEST(SelectConformance, SE02DefaultRunsOnlyIfNothingIsReady) {
  auto idle = MakeChan<int>();
  auto full = Full();
  int ran = 0;
  const auto mark = [&] { ++ran; };
  EXPECT_EQ(Select(DefaultCase(mark), RecvCase(idle), SendCase(full, 1)), 0u);
  EXPECT_EQ(Select(RecvCase(idle), DefaultCase(mark), SendCase(full, 1)), 1u);
  EXPECT_EQ(Select(RecvCase(idle), SendCase(full, 1), DefaultCase(mark)), 2u);
  EXPECT_EQ(Select(DefaultCase(mark)), 0u);
  EXPECT_EQ(SelectBiased(RecvCase(idle), DefaultCase(mark)), 1u);
  EXPECT_EQ(ran, 5);
  // The first in written order, and a default is not ready while others are.
  EXPECT_EQ(SelectBiased(DefaultCase(mark), RecvCase(Closed())), 1u);
  EXPECT_EQ(ran, 5);
  EXPECT_EQ(full.Len(), 1u);

  const auto closed = Closed();
  std::vector<AnyCase> list;
  for (std::size_t position = 0; position < 3; ++position) {
    list.clear();
    for (std::size_t i = 0; i < 3; ++i) {
      if (i == position) {
        list.push_back(DefaultCase(mark));
      } else {
        list.push_back(RecvCase(idle));
      }
    }
    ran = 0;
    EXPECT_EQ(SelectList(list), position);
    EXPECT_EQ(ran, 1);
  }

  const int64_t rounds = PartyScaled(100'000);
  for (int64_t i = 0; i < rounds; ++i) {
    ASSERT_EQ(Select(DefaultCase(), RecvCase(closed)), 1u);
    ASSERT_EQ(Select(RecvCase(idle), DefaultCase(), RecvCase(closed)), 2u);
    ASSERT_EQ(Select(RecvCase(closed), SendCase(full, 1), DefaultCase()), 0u);
  }
}

// One of two channels is ready at every instant, but neither for long: a
// default that looked at one after the other would find both unready.
PARTY_TEST(SelectConformance, SE02DefaultNeedsOneInstant) {
  const int64_t rounds = PartyScaled(20'000);
  Chan<int> a;
  Chan<int> b;
  std::atomic<bool> taken{false};
  test::Meeting meet(2);
  Parties parties(test::ScaledLimit());
  parties.Go([&] {
    int64_t steps = 0;
    for (int64_t i = 0; i < rounds; ++i) {
      meet.Arrive();
      // Puts a value into the empty one before it takes the other's.
      for (bool in_a = true; !taken; in_a = !in_a) {
        (in_a ? b : a).TrySend(1);
        (in_a ? a : b).TryRecv();
        // A goroutine is not interrupted: a lone worker is given up at times.
        if (++steps % 16 == 0) Yield();
      }
      meet.Arrive();
    }
  });
  int64_t from_a = 0;
  for (int64_t i = 0; i < rounds; ++i) {
    a = MakeChan<int>(1);
    b = MakeChan<int>(1);
    a.Send(1);
    taken = false;
    meet.Arrive();
    // A few pauses, so that all phases of the other one are met.
    for (int64_t pause = 0; pause < i % 64; ++pause) runtime::CpuRelax();
    const std::size_t k = Select(RecvCase(a), DefaultCase(), RecvCase(b));
    taken = true;
    meet.Arrive();
    ASSERT_NE(k, 1u) << "round " << i;
    from_a += k == 0 ? 1 : 0;
  }
  EXPECT_GT(from_a, 0);
}

PARTY_TEST(SelectConformance, SE03NilCasesAreNeverChosen) {
  EXPECT_TRUE(BlocksForEver([] { Select(); }));
  EXPECT_TRUE(BlocksForEver([] { Select(absl::Span<AnyCase>()); }));
  EXPECT_TRUE(BlocksForEver([] { Select(RecvCase(Chan<int>())); }));
  EXPECT_TRUE(BlocksForEver([] { Select(SendCase(Chan<int>(), 1)); }));
  EXPECT_TRUE(BlocksForEver(
      [] { Select(SendCase(SendChan<int>(), 1), RecvCase(RecvChan<int>())); }));
  // Reachable, for it is never destroyed.
  static std::vector<Selector*> kept;
  static int value = 0;
  kept.push_back(new Selector{RecvCase(Chan<int>(), &value)});
  EXPECT_TRUE(BlocksForEver([selector = kept.back()] { selector->Next(); }));

  EXPECT_EQ(Select(DefaultCase()), 0u);
  EXPECT_EQ(Select(RecvCase(Chan<int>()), DefaultCase()), 1u);
  EXPECT_EQ(Select(SendCase(Chan<int>(), 1), DefaultCase()), 1u);
  EXPECT_EQ(
      Select(DefaultCase(), SendCase(Chan<int>(), 1), RecvCase(Chan<int>())),
      0u);
  const auto closed = Closed();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Select(RecvCase(Chan<int>()), RecvCase(closed),
                     SendCase(Chan<int>(), 1)),
              1u);
  }
}

// Half the width of an interval that holds the mean of n fair coin throws but
// once in a million runs.
double Tolerance(int64_t n) {
  return 4.9 / (2 * std::sqrt(static_cast<double>(n)));
}

PARTY_TEST(SelectConformance, SE04TheChoiceIsUniform) {
  constexpr int64_t n = 10'000;
  const auto fraction = [](int64_t count) {
    return static_cast<double>(count) / static_cast<double>(n);
  };
  const auto a = Closed();
  const auto b = Closed();
  int64_t first = 0;
  for (int64_t i = 0; i < n; ++i) {
    first += Select(RecvCase(a), RecvCase(b)) == 0 ? 1 : 0;
  }
  EXPECT_NEAR(fraction(first), 0.5, Tolerance(n));

  // Per case, not per channel.
  std::array<int64_t, 4> counts{};
  for (int64_t i = 0; i < n; ++i) {
    ++counts[Select(RecvCase(a), RecvCase(a), RecvCase(a), RecvCase(b))];
  }
  for (int64_t count : counts) EXPECT_NEAR(fraction(count), 0.25, Tolerance(n));

  // A list of ten, and not a rotation: what follows what is uniform too.
  std::vector<AnyCase> cases;
  for (int i = 0; i < 10; ++i) cases.push_back(RecvCase(i % 2 == 0 ? a : b));
  std::array<int64_t, 10> tens{};
  int64_t neighbours = 0;
  std::size_t last = 0;
  for (int64_t i = 0; i < n; ++i) {
    const std::size_t k = SelectList(cases);
    ++tens[k];
    neighbours += k == (last + 1) % 10 ? 1 : 0;
    last = k;
  }
  for (int64_t count : tens) EXPECT_NEAR(fraction(count), 0.1, Tolerance(n));
  EXPECT_NEAR(fraction(neighbours), 0.1, Tolerance(n));

  // A prepared select draws again each time.
  Selector selector{RecvCase(a), RecvCase(b)};
  first = 0;
  for (int64_t i = 0; i < n; ++i) first += selector.Next() == 0 ? 1 : 0;
  EXPECT_NEAR(fraction(first), 0.5, Tolerance(n));
}

PARTY_TEST(SelectConformance, SE06UnreadyCasesDoNotChangeTheOdds) {
  constexpr int64_t n = 10'000;
  const auto a = Closed();
  const auto b = Closed();
  const Chan<int> nil;
  const auto idle = MakeChan<int>();
  std::array<int64_t, 5> counts{};
  for (int64_t i = 0; i < n; ++i) {
    ++counts[Select(RecvCase(nil), RecvCase(a), RecvCase(nil), RecvCase(b),
                    RecvCase(idle))];
  }
  EXPECT_EQ(counts[0], 0);
  EXPECT_EQ(counts[2], 0);
  EXPECT_EQ(counts[4], 0);
  EXPECT_NEAR(static_cast<double>(counts[1]) / n, 0.5, Tolerance(n));
  EXPECT_NEAR(static_cast<double>(counts[3]) / n, 0.5, Tolerance(n));
}

PARTY_TEST(SelectConformance, SE07AClosedReceiveIsAlwaysReady) {
  const auto closed = Closed();
  for (int i = 0; i < 100; ++i) {
    int value = 42;
    bool ok = true;
    EXPECT_EQ(Select(RecvCase(closed, &value, &ok), DefaultCase()), 0u);
    EXPECT_EQ(value, 0);
    EXPECT_FALSE(ok);
    value = 42;
    EXPECT_EQ(Select(RecvCase(closed, &value)), 0u);
    EXPECT_EQ(value, 0);
    EXPECT_EQ(Select(RecvCase(closed)), 0u);
    bool ran = false;
    Select(RecvCase(closed, [&] { ran = true; }));
    EXPECT_TRUE(ran);
    Select(RecvCase(closed, [&](int v) { value = v + 1; }));
    EXPECT_EQ(value, 1);
    Select(RecvCase(closed, [&](int v, bool o) {
      value = v;
      ok = o;
    }));
    EXPECT_EQ(value, 0);
    EXPECT_FALSE(ok);
  }
}

PARTY_TEST(SelectConformance, SE08AChosenSendOnClosedPanics) {
  auto ch = MakeChan<int>(2);
  ch.Send(1);
  ch.Close();
  bool ran = false;
  EXPECT_PANIC(Select(SendCase(ch, 2, [&] { ran = true; })),
               "send on closed channel");
  EXPECT_PANIC(Select(SendCase(ch, 2), DefaultCase([&] { ran = true; })),
               "send on closed channel");
  EXPECT_PANIC(SelectBiased(SendCase(ch, 2), DefaultCase()),
               "send on closed channel");
  std::vector<AnyCase> cases;
  cases.push_back(RecvCase(MakeChan<int>()));
  cases.push_back(SendCase(ch, 2));
  cases.push_back(DefaultCase());
  EXPECT_PANIC(SelectList(cases), "send on closed channel");
  EXPECT_FALSE(ran);
  // Still usable.
  EXPECT_EQ(ch.Recv().value, 1);
  EXPECT_FALSE(ch.Recv().ok);
  // Not chosen, no panic.
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(SelectBiased(RecvCase(ch), SendCase(ch, 1)), 0u);
  }
}

PARTY_TEST(SelectConformance, SE10ASelectNeverPairsWithItself) {
  const auto both = [](const Chan<int>& ch, std::atomic<int>& sent,
                       std::atomic<int>& received) {
    Select(SendCase(ch, 1, [&] { sent.fetch_add(1); }),
           RecvCase(ch, [&](int value) {
             EXPECT_EQ(value, 2);
             received.fetch_add(1);
           }));
  };
  for (int form = 0; form < 5; ++form) {
    auto ch = MakeChan<int>();
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    Parties parties;
    parties.Go([&, ch] { both(ch, sent, received); });
    while (Parked(ch) == 0) Yield();
    test::PauseFor(test::kPause);
    EXPECT_EQ(sent + received, 0);
    switch (form) {
      case 0:
        EXPECT_EQ(ch.Recv().value, 1);
        break;
      case 1:
        ch.Send(2);
        break;
      case 2:
        EXPECT_TRUE(ch.TrySend(2));
        break;
      case 3: {
        auto result = ch.TryRecv();
        ASSERT_TRUE(result.has_value());
        EXPECT_EQ(result->value, 1);
        break;
      }
      default:
        EXPECT_EQ(Select(RecvCase(ch), DefaultCase()), 0u);
    }
    parties.Join();
    EXPECT_EQ(sent + received, 1);
    EXPECT_EQ(Parked(ch), 0u);
    EXPECT_FALSE(ch.TrySend(1));
    EXPECT_FALSE(ch.TryRecv().has_value());
  }

  // With default it is not ready for itself.
  auto ch = MakeChan<int>();
  EXPECT_EQ(Select(SendCase(ch, 1), RecvCase(ch), DefaultCase()), 2u);

  // Two of them pair with each other, one way or the other.
  for (int64_t i = 0, n = PartyScaled(2000); i < n; ++i) {
    std::atomic<int> sent{0};
    std::atomic<int> received{0};
    const auto party = [&, ch] {
      Select(SendCase(ch, 1, [&] { sent.fetch_add(1); }),
             RecvCase(ch, [&](int value) {
               EXPECT_EQ(value, 1);
               received.fetch_add(1);
             }));
    };
    Parties parties;
    parties.Go(party);
    party();
    parties.Join();
    ASSERT_EQ(sent, 1);
    ASSERT_EQ(received, 1);
  }
}

PARTY_TEST(SelectConformance, SE13ManySendCasesOnOneChannelSendOne) {
  for (int cap : {0, 1}) {
    for (bool parked : {false, true}) {
      auto ch = MakeChan<Counted>(cap);
      if (cap == 1 && parked) ch.Send(Counted(-1));
      std::size_t chosen = 99;
      int ran = 0;
      Parties parties;
      parties.Go([&, ch, parked] {
        if (!parked && ch.Cap() == 0) WaitUntilParked(ch, 1);
        std::vector<AnyCase> cases;
        for (int i = 0; i < 8; ++i) {
          cases.push_back(SendCase(ch, Counted(100 + i), [&] { ++ran; }));
        }
        chosen = SelectList(cases);
      });
      if (parked) {
        while (Parked(ch) == 0) Yield();
        if (cap == 1) {
          EXPECT_EQ(ch.Recv().value.value(), -1);
        }
      }
      const int64_t received = ch.Recv().value.value();
      parties.Join();
      EXPECT_EQ(received, 100 + static_cast<int64_t>(chosen));
      EXPECT_EQ(ran, 1);
      EXPECT_FALSE(ch.TryRecvOptional().has_value());
      EXPECT_EQ(Parked(ch), 0u);
    }
  }
}

PARTY_TEST(SelectConformance, SE14OperandsAreEvaluatedOnceEach) {
  std::vector<std::string> trace;
  const auto channel = [&](const char* name, Chan<int> ch) {
    trace.push_back(name);
    return ch;
  };
  const auto number = [&](const char* name, int value) {
    trace.push_back(name);
    return value;
  };
  const auto pointer = [&](const char* name, int* p) {
    trace.push_back(name);
    return p;
  };
  const auto ready = MakeChan<int>(1);
  const auto idle = MakeChan<int>();
  const auto sorted = [&] {
    std::sort(trace.begin(), trace.end());
    return trace;
  };
  const std::vector<std::string> all{"c1", "c2", "c3", "c4", "v1", "v3"};

  Select(SendCase(channel("c1", nullptr), number("v1", 1)),
         RecvCase(channel("c2", nullptr)),
         SendCase(channel("c3", ready), number("v3", 3)),
         RecvCase(channel("c4", idle)));
  EXPECT_EQ(sorted(), all);
  EXPECT_EQ(ready.Recv().value, 3);

  trace.clear();
  EXPECT_EQ(Select(SendCase(channel("c1", nullptr), number("v1", 1)),
                   RecvCase(channel("c2", nullptr)),
                   SendCase(channel("c3", idle), number("v3", 3)),
                   RecvCase(channel("c4", idle)), DefaultCase()),
            4u);
  EXPECT_EQ(sorted(), all);

  // Braces keep the order in which the operands are written.
  trace.clear();
  int v1 = 1;
  int v2 = 0;
  int v3 = 3;
  Selector selector{RecvCase(channel("c1", nullptr), pointer("p1", &v1)),
                    RecvCase(channel("c2", ready), pointer("p2", &v2)),
                    SendFrom(channel("c3", idle), pointer("p3", &v3))};
  ASSERT_EQ(trace.size(), 6u);
  // The two arguments of one call have no order.
  for (std::size_t i = 0; i < 6; i += 2) {
    std::sort(trace.begin() + static_cast<std::ptrdiff_t>(i),
              trace.begin() + static_cast<std::ptrdiff_t>(i + 2));
  }
  const std::vector<std::string> in_order{"c1", "p1", "c2", "p2", "c3", "p3"};
  EXPECT_EQ(trace, in_order);
  ready.Send(7);
  EXPECT_EQ(selector.Next(), 1u);
  ready.Send(8);
  EXPECT_EQ(selector.Next(), 1u);
  EXPECT_EQ(v2, 8);
  EXPECT_EQ(trace, in_order);
}

template <typename T>
void CheckOtherDestinations() {
  for (bool parked : {false, true}) {
    auto ready = MakeChan<T>(1);
    auto idle = MakeChan<T>();
    T a(int64_t{11});
    T b(int64_t{12});
    T c(int64_t{13});
    bool ok_a = true;
    bool ok_b = false;
    bool ok_c = true;
    Parties parties;
    if (parked) {
      parties.Go([ready] {
        WaitUntilParked(ready, 1);
        ready.Send(T(int64_t{5}));
      });
    } else {
      ready.Send(T(int64_t{5}));
    }
    EXPECT_EQ(Select(RecvCase(idle, &a, &ok_a), RecvCase(ready, &b, &ok_b),
                     RecvCase(idle, &c, &ok_c)),
              1u);
    EXPECT_EQ(a.value(), 11);
    EXPECT_EQ(b.value(), 5);
    EXPECT_EQ(c.value(), 13);
    EXPECT_TRUE(ok_a);
    EXPECT_TRUE(ok_b);
    EXPECT_TRUE(ok_c);
    EXPECT_EQ(Select(RecvCase(idle, &a, &ok_a), DefaultCase()), 1u);
    EXPECT_EQ(a.value(), 11);
    EXPECT_TRUE(ok_a);
  }
}

PARTY_TEST(SelectConformance, SE15OnlyTheChosenDestinationIsWritten) {
  CheckOtherDestinations<Counted>();
  CheckOtherDestinations<MoveOnlyCounted>();
  CheckOtherDestinations<BigCounted>();

  // A handler evaluates its destination only if its case was chosen.
  std::vector<int> evaluated;
  std::array<int, 2> values{};
  const auto place = [&](int i) -> int& {
    evaluated.push_back(i);
    return values[static_cast<std::size_t>(i)];
  };
  auto ready = MakeChan<int>(1);
  ready.Send(6);
  Select(RecvCase(MakeChan<int>(), [&](int value) { place(0) = value; }),
         RecvCase(ready, [&](int value) { place(1) = value; }));
  EXPECT_EQ(evaluated, std::vector<int>{1});
  EXPECT_EQ(values[1], 6);
}

// "The value of a send case that was not chosen is unchanged."
PARTY_TEST(SelectConformance, SE15LosingSendsKeepTheirValues) {
  auto free = MakeChan<MoveOnlyCounted>(1);
  auto idle = MakeChan<MoveOnlyCounted>();
  MoveOnlyCounted a(1);
  MoveOnlyCounted b(2);
  EXPECT_EQ(Select(SendCase(idle, std::move(a)), SendCase(free, std::move(b))),
            1u);
  EXPECT_EQ(a.value(), 1);
  EXPECT_TRUE(b.moved_from());
  EXPECT_EQ(
      Select(SendCase(idle, std::move(a)), SendFrom(idle, &a), DefaultCase()),
      2u);
  EXPECT_EQ(a.value(), 1);
  // After a wait.
  Parties parties;
  parties.Go([idle, free] {
    WaitUntilParked(idle, 1);
    EXPECT_EQ(free.RecvOptional()->value(), 2);
  });
  MoveOnlyCounted c(3);
  EXPECT_EQ(Select(SendFrom(free, &a), SendCase(idle, std::move(c))), 0u);
  EXPECT_EQ(c.value(), 3);
  EXPECT_TRUE(a.moved_from());
}

PARTY_TEST(SelectConformance, SE17SendValuesAreCapturedOnEntry) {
  for (bool parked : {false, true}) {
    auto ch = MakeChan<int>(parked ? 0 : 1);
    auto idle = MakeChan<int>();
    int x = 1;
    AnyCase cases[] = {SendCase(ch, x), RecvCase((x = 99, idle))};
    Parties parties;
    parties.Go([ch] { EXPECT_EQ(ch.Recv().value, 1); });
    if (parked) WaitUntilParked(ch, 1);
    EXPECT_EQ(Select(absl::MakeSpan(cases)), 0u);
    EXPECT_EQ(x, 99);
  }
  // The handle is captured as well.
  auto first = MakeChan<int>(1);
  auto second = MakeChan<int>(1);
  auto ch = first;
  AnyCase cases[] = {SendCase(ch, 1), RecvCase((ch = second, Chan<int>()))};
  EXPECT_EQ(Select(absl::MakeSpan(cases)), 0u);
  EXPECT_EQ(first.Len(), 1u);
  // And SendFrom is the form that reads the value when the select runs.
  int x = 1;
  auto late = SendFrom(second, &x);
  x = 5;
  EXPECT_EQ(Select(std::move(late)), 0u);
  EXPECT_EQ(second.Recv().value, 5);
}

// "Every case holds a copy of its handle": a later operand that drops the last
// other handle takes nothing from under an earlier case.
PARTY_TEST(SelectConformance, SE17ACaseHoldsItsChannel) {
  auto only = MakeChan<int>(1);
  only.Send(4);
  auto on_it = RecvCase(only, [](int value) { EXPECT_EQ(value, 4); });
  only = nullptr;
  EXPECT_EQ(Select(std::move(on_it), DefaultCase()), 0u);

  auto out = MakeChan<int>(1);
  const int one = 1;
  auto sending = SendCase(out, one);
  RecvChan<int> in = out;
  out = nullptr;
  EXPECT_EQ(Select(sending, RecvCase(MakeChan<int>())), 0u);
  EXPECT_EQ(in.Recv().value, 1);
}

PARTY_TEST(SelectConformance, SE21MixedChaosEndsWithExactCounts) {
  const int64_t n = PartyScaled(4'000);
  std::array<Chan<int>, 4> c{MakeChan<int>(), MakeChan<int>(), MakeChan<int>(2),
                             MakeChan<int>(3)};
  std::atomic<int64_t> received{0};
  Parties parties(test::ScaledLimit());
  for (const Chan<int>& ch : c) {
    parties.Go([ch, n] {
      for (int64_t i = 0; i < n; ++i) ch.Send(0);
    });
    parties.Go([ch, n, &received] {
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_TRUE(ch.Recv().ok);
        received.fetch_add(1);
      }
    });
  }
  parties.Go([c, n]() mutable {
    std::array<int64_t, 4> sent{};
    for (int left = 4; left > 0;) {
      const auto count = [&](std::size_t i) {
        return [&, i] {
          if (++sent[i] == n) {
            c[i] = nullptr;
            --left;
          }
        };
      };
      Select(SendCase(c[3], 0, count(3)), SendCase(c[2], 0, count(2)),
             SendCase(c[0], 0, count(0)), SendCase(c[1], 0, count(1)));
    }
  });
  parties.Go([c, n, &received]() mutable {
    std::array<int64_t, 4> got{};
    for (int left = 4; left > 0;) {
      const auto count = [&](std::size_t i) {
        return [&, i] {
          received.fetch_add(1);
          if (++got[i] == n) {
            c[i] = nullptr;
            --left;
          }
        };
      };
      Select(RecvCase(c[0], count(0)), RecvCase(c[1], count(1)),
             RecvCase(c[2], count(2)), RecvCase(c[3], count(3)));
    }
  });
  parties.Join();
  EXPECT_EQ(received.load(), 8 * n);
  for (const Chan<int>& ch : c) {
    EXPECT_EQ(ch.Len(), 0u);
    EXPECT_EQ(Parked(ch), 0u);
    EXPECT_FALSE(ch.TryRecv().has_value());
  }
}

PARTY_TEST(SelectConformance, SE22OppositeOrdersNeverDeadlock) {
  constexpr std::size_t kChannels = 8;
  const int64_t rounds = PartyScaled(1'000);
  std::vector<Chan<int>> c;
  for (std::size_t i = 0; i < kChannels; ++i) {
    c.push_back(MakeChan<int>(i % 4 == 3 ? 1 : 0));
  }
  std::atomic<int64_t> sum{0};
  Parties parties(test::ScaledLimit());  // the watchdog
  parties.GoEach(16, [&](int i) {
    std::mt19937 random(static_cast<unsigned>(i));
    std::vector<std::size_t> order(kChannels);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (int64_t r = 0; r < rounds; ++r) {
      std::shuffle(order.begin(), order.end(), random);
      std::vector<AnyCase> cases;
      for (std::size_t k : order) {
        if (i % 2 == 0) {
          cases.push_back(SendCase(c[k], 1, [&] { sum.fetch_add(1); }));
        } else {
          cases.push_back(
              RecvCase(c[k], [&](int value) { sum.fetch_sub(value); }));
        }
      }
      SelectList(cases);
    }
  });
  parties.Join();
  EXPECT_EQ(sum.load(), 0);
  for (const Chan<int>& ch : c) {
    EXPECT_EQ(Parked(ch), 0u);
    EXPECT_EQ(ch.Len(), 0u);
  }
}

// Two selects that each send on one channel and receive on the other.
PARTY_TEST(SelectConformance, SE22CrossedSelectsMeet) {
  const int64_t rounds = PartyScaled(20'000);
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  Parties parties(test::ScaledLimit());
  int64_t sent = 0;
  parties.Go([&, a, b] {
    for (int64_t i = 0; i < rounds; ++i) {
      sent += Select(SendCase(a, 1), RecvCase(b)) == 0 ? 1 : 0;
    }
  });
  int64_t received = 0;
  for (int64_t i = 0; i < rounds; ++i) {
    received += Select(SendCase(b, 1), RecvCase(a)) == 1 ? 1 : 0;
  }
  parties.Join();
  EXPECT_EQ(sent, received);
}

PARTY_TEST(SelectConformance, SE24AVectorOrASpanIsAList) {
  EXPECT_TRUE(Selectable<std::vector<AnyCase>>);
  EXPECT_TRUE(Selectable<absl::Span<AnyCase>>);
}

PARTY_TEST(SelectConformance, SE24DynamicSelectReportsIndexValueAndOk) {
  auto ready = MakeChan<int>(1);
  auto idle = MakeChan<int>();
  ready.Send(5);
  int value = 42;
  bool ok = false;
  {
    std::vector<AnyCase> cases;
    cases.push_back(RecvCase(idle, &value, &ok));
    cases.push_back(RecvCase(Chan<int>(), &value, &ok));  // an empty handle
    cases.push_back(SendCase(Chan<int>(), 1));
    cases.push_back(RecvCase(ready, &value, &ok));
    EXPECT_EQ(SelectList(cases), 3u);
    EXPECT_EQ(value, 5);
    EXPECT_TRUE(ok);
    // A list may be selected on again.
    ready.Send(6);
    EXPECT_EQ(SelectList(cases), 3u);
    EXPECT_EQ(value, 6);
    ready.Close();
    EXPECT_EQ(SelectList(cases), 3u);
    EXPECT_EQ(value, 0);
    EXPECT_FALSE(ok);
    cases.push_back(DefaultCase());
    cases.erase(cases.begin() + 3);
    EXPECT_EQ(SelectList(cases), 3u);
  }
  {
    // A send case is replaced once its value was sent.
    auto out = MakeChan<Counted>(2);
    std::vector<AnyCase> cases;
    cases.push_back(SendCase(out, Counted(1)));
    EXPECT_EQ(SelectList(cases), 0u);
    cases[0] = SendCase(out, Counted(2));
    EXPECT_EQ(SelectList(cases), 0u);
    EXPECT_EQ(out.Recv().value.value(), 1);
    EXPECT_EQ(out.Recv().value.value(), 2);
  }
  {
    std::vector<AnyCase> cases;
    cases.push_back(DefaultCase());
    cases.push_back(RecvCase(idle));
    cases.push_back(DefaultCase());
    EXPECT_PANIC(SelectList(cases), "multiple default cases");
  }
  {
    // Its value has been sent: the case has none.
    auto out = MakeChan<int>(2);
    std::vector<AnyCase> cases;
    cases.push_back(SendCase(out, 1));
    EXPECT_EQ(SelectList(cases), 0u);
    EXPECT_PANIC(SelectList(cases), "SendDir case missing Send value");
    EXPECT_EQ(out.Len(), 1u);
  }
  {
    // A default-made case is one on a nil channel.
    std::vector<AnyCase> cases(3);
    cases[1] = DefaultCase();
    EXPECT_EQ(SelectList(cases), 1u);
    EXPECT_TRUE(BlocksForEver([] {
      std::vector<AnyCase> empty(2);
      SelectList(empty);
    }));
  }
  {
    // As long as Go allows.
    std::vector<AnyCase> cases;
    for (int i = 0; i < 65535; ++i) cases.push_back(RecvCase(idle));
    auto last = MakeChan<int>(1);
    last.Send(8);
    cases.push_back(RecvCase(last, &value));
    EXPECT_EQ(SelectList(cases), 65535u);
    EXPECT_EQ(value, 8);
    cases.push_back(RecvCase(last));
    EXPECT_PANIC(SelectList(cases), "too many cases");
  }
}

PARTY_TEST(SelectConformance, SE26AHandlersReturnLeavesOnlyTheSelect) {
  auto ch = MakeChan<int>(3);
  for (int i = 0; i < 3; ++i) ch.Send(i);
  int loops = 0;
  for (int i = 0; i < 3; ++i) {
    Select(RecvCase(ch, [&](int value) {
      if (value == 1) return;
      ++loops;
    }));
    ++loops;
  }
  EXPECT_EQ(loops, 5);
  // The pointer form ports bodies that leave the loop.
  for (int i = 0; i < 5; ++i) ch.TrySend(i);
  ch.Close();
  int value = 0;
  int sum = 0;
  for (bool ok = true;;) {
    switch (Select(RecvCase(MakeChan<int>()), RecvCase(ch, &value, &ok))) {
      case 0:
        ADD_FAILURE();
        continue;
      case 1:
        if (!ok) break;
        sum += value;
        continue;
    }
    break;
  }
  EXPECT_EQ(sum, 3);
}

PARTY_TEST(SelectConformance, SE28EveryPairingWorks) {
  auto idle = MakeChan<int>();
  const auto send = [&](int form, const Chan<int>& ch, int value) {
    switch (form) {
      case 0:
        ch.Send(value);
        break;
      case 1:
        EXPECT_EQ(Select(SendCase(ch, value)), 0u);
        break;
      default:
        EXPECT_EQ(Select(RecvCase(idle), SendCase(ch, value), RecvCase(idle)),
                  1u);
    }
  };
  const auto receive = [&](int form, const Chan<int>& ch) {
    int value = -1;
    switch (form) {
      case 0:
        value = ch.Recv().value;
        break;
      case 1:
        EXPECT_EQ(Select(RecvCase(ch, &value)), 0u);
        break;
      default:
        EXPECT_EQ(Select(SendCase(idle, 1), RecvCase(ch, &value)), 1u);
    }
    return value;
  };
  // `idle` must stay idle: the two multi-case forms would meet there.
  auto idle_send = MakeChan<int>();
  const auto receive_apart = [&](int form, const Chan<int>& ch) {
    if (form < 2) return receive(form, ch);
    int value = -1;
    EXPECT_EQ(Select(SendCase(idle_send, 1), RecvCase(ch, &value)), 1u);
    return value;
  };
  for (int cap : {0, 1}) {
    for (int s = 0; s < 3; ++s) {
      for (int r = 0; r < 3; ++r) {
        for (int first = 0; first < 3; ++first) {
          auto ch = MakeChan<int>(cap);
          if (first == 0 && cap == 1) ch.Send(-1);  // so that the sender parks
          Parties parties;
          parties.Go([&, ch] {
            if (first == 1) WaitUntilParked(ch, 1);
            send(s, ch, 10 * s + r);
          });
          if (first == 0) {
            WaitUntilParked(ch, 1);
            if (cap == 1) {
              EXPECT_EQ(ch.Recv().value, -1);
            }
          }
          EXPECT_EQ(receive_apart(r, ch), 10 * s + r);
          parties.Join();
          EXPECT_EQ(Parked(ch), 0u);
        }
      }
    }
  }
  EXPECT_EQ(Parked(idle), 0u);
  EXPECT_EQ(Parked(idle_send), 0u);
}

PARTY_TEST(SelectConformance, SE29AWokenSelectLosesItsPlace) {
  for (int cap : {0, 1}) {
    auto a = MakeChan<int>(cap);
    auto b = MakeChan<int>(cap);
    std::atomic<int> from_b{0};
    std::atomic<int> looper_got{-1};
    std::atomic<int> plain_got{-1};
    Parties parties;
    parties.Go([&, a, b] {
      for (bool more = true; more;) {
        Select(RecvCase(a,
                        [&](int value) {
                          looper_got = value;
                          more = false;
                        }),
               RecvCase(b, [&] { from_b.fetch_add(1); }));
      }
    });
    WaitUntilParked(a, 1);
    WaitUntilParked(b, 1);
    parties.Go([&, a] { plain_got = a.Recv().value; });
    WaitUntilParked(a, 2);
    b.Send(0);
    while (from_b == 0) Yield();
    WaitUntilParked(b, 1);
    WaitUntilParked(a, 2);
    a.Send(1);
    while (plain_got == -1 && looper_got == -1) Yield();
    a.Send(2);
    parties.Join();
    EXPECT_EQ(plain_got, 1);
    EXPECT_EQ(looper_got, 2);
    EXPECT_EQ(Parked(b), 0u);
  }
}

PARTY_TEST(SelectConformance, SE30NilSwitchesACaseOff) {
  const auto merge = [](RecvChan<int> a, RecvChan<int> b, SendChan<int> out) {
    while (a || b) {
      Select(RecvCase(a,
                      [&](int value, bool ok) {
                        if (ok) {
                          out.Send(value);
                        } else {
                          a = nullptr;
                        }
                      }),
             RecvCase(b, [&](int value, bool ok) {
               if (ok) {
                 out.Send(value);
               } else {
                 b = nullptr;
               }
             }));
    }
    out.Close();
  };
  auto a = MakeChan<int>();
  auto b = MakeChan<int>(2);
  auto out = MakeChan<int>();
  Parties parties;
  parties.Go([a] {
    for (int i = 0; i < 100; ++i) a.Send(i);
    a.Close();
  });
  parties.Go([b] {
    for (int i = 1000; i < 1010; ++i) b.Send(i);
    b.Close();
  });
  parties.Go([=] { merge(a, b, out); });
  std::vector<int> small;
  std::vector<int> large;
  for (int value : out) (value < 1000 ? small : large).push_back(value);
  EXPECT_EQ(small.size(), 100u);
  EXPECT_EQ(large.size(), 10u);
  EXPECT_TRUE(std::is_sorted(small.begin(), small.end()));
  EXPECT_TRUE(std::is_sorted(large.begin(), large.end()));

  // The same with one prepared select.
  auto x = MakeChan<int>(1);
  auto y = MakeChan<int>(1);
  x.Send(1);
  y.Send(2);
  x.Close();
  y.Close();
  int value = 0;
  bool ok = false;
  int sum = 0;
  int closed = 0;
  Selector selector{RecvCase(x, &value, &ok), RecvCase(y, &value, &ok),
                    DefaultCase()};
  for (;;) {
    const std::size_t i = selector.Next();
    if (i == 2) break;
    if (ok) {
      sum += value;
    } else {
      ++closed;
      selector.Set(i, Chan<int>());
    }
  }
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(closed, 2);
  // And on again.
  auto z = MakeChan<int>(1);
  z.Send(9);
  selector.Set(0, z);
  EXPECT_EQ(selector.Next(), 0u);
  EXPECT_EQ(value, 9);
}

PARTY_TEST(SelectConformance,
           SE31BusyTrafficDoesNotStarveTimersAndCancellation) {
  auto a = MakeChan<int>();
  auto b = MakeChan<int>(4);
  std::atomic<bool> stop{false};
  Parties parties;
  for (const Chan<int>& ch : {a, b}) {
    parties.Go([&, ch] {
      while (!stop) Select(SendCase(ch, 1), TimeoutCase(absl::Milliseconds(5)));
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  int64_t busy = 0;
  // One deadline for the whole loop, as a Go timer outside of it.
  const absl::Time deadline = absl::Now() + absl::Milliseconds(20);
  for (bool expired = false; !expired;) {
    Select(RecvCase(a, [&] { ++busy; }), RecvCase(b, [&] { ++busy; }),
           DeadlineCase(deadline, [&] { expired = true; }));
  }
  const std::chrono::duration<double> expiry =
      std::chrono::steady_clock::now() - begin;
  EXPECT_GE(expiry.count(), 0.019);
  if (!test::kSanitized) {
    EXPECT_LT(expiry.count(), 2.0);
  }
  EXPECT_GT(busy, 0);

  auto [ctx, cancel] = WithCancel(Background());
  parties.Go([cancel = cancel] {
    test::PauseFor(std::chrono::milliseconds(20));
    cancel();
  });
  for (bool cancelled = false; !cancelled;) {
    Select(RecvCase(a), RecvCase(b), DoneCase(ctx, [&] { cancelled = true; }));
  }
  stop = true;
}

#if GOCHAN_TEST_EXCEPTIONS
PARTY_TEST(SelectConformance, SE33AThrowingHandlerComesAfterTheCommunication) {
  struct Thrown {
    int64_t value;
  };
  for (bool parked : {false, true}) {
    auto in = MakeChan<Counted>(1);
    auto idle = MakeChan<Counted>();
    Parties parties;
    if (parked) {
      parties.Go([in] {
        WaitUntilParked(in, 1);
        in.Send(Counted(5));
      });
    } else {
      in.Send(Counted(5));
    }
    int64_t caught = 0;
    try {
      Select(RecvCase(idle), SendCase(idle, Counted(1)),
             RecvCase(in, [](Counted value) { throw Thrown{value.value()}; }));
    } catch (const Thrown& thrown) {
      caught = thrown.value;
    }
    parties.Join();
    EXPECT_EQ(caught, 5);
    EXPECT_EQ(in.Len(), 0u);
    EXPECT_EQ(Parked(idle), 0u);
    EXPECT_EQ(Parked(in), 0u);

    auto out = MakeChan<Counted>(parked ? 0 : 1);
    if (parked) {
      parties.Go([out] {
        WaitUntilParked(out, 1);
        EXPECT_EQ(out.Recv().value.value(), 6);
      });
    }
    Counted value(6);
    caught = 0;
    try {
      Select(RecvCase(idle),
             SendCase(out, std::move(value), [] { throw Thrown{7}; }));
    } catch (const Thrown& thrown) {
      caught = thrown.value;
    }
    parties.Join();
    EXPECT_EQ(caught, 7);
    EXPECT_TRUE(value.moved_from());
    if (!parked) {
      EXPECT_EQ(out.Recv().value.value(), 6);
    }
    EXPECT_EQ(Parked(idle), 0u);
    EXPECT_EQ(Parked(out), 0u);
    // Everything is usable as before.
    EXPECT_EQ(Select(RecvCase(idle), RecvCase(in), DefaultCase()), 2u);
  }
}
#endif

}  // namespace
}  // namespace gochan

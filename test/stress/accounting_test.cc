// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Every value accounted for: P producers and C consumers on channels of several
// capacities, by every form of sending and receiving, with time-outs,
// cancellation and close mixed in. Nothing is lost, doubled, or reordered per
// sender. Built twice: as it ships, and with the instrumented libraries, whose
// segments are tiny and whose parties pause at random steps
// (test/util/noise.h).

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "select/bounded.h"
#include "select/select.h"
#include "test/util/noise.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using test::Parked;
using test::Scaled;
using test::Threads;

// { producer:16 seq:48 }
uint64_t Value(int producer, int64_t seq) {
  return static_cast<uint64_t>(producer) << 48 | static_cast<uint64_t>(seq);
}
int ProducerOf(uint64_t value) { return static_cast<int>(value >> 48); }
int64_t SeqOf(uint64_t value) {
  return static_cast<int64_t>(value & ((uint64_t{1} << 48) - 1));
}

// A bit per value; setting one twice fails.
class Marks {
 public:
  Marks(int producers, int64_t per_producer)
      : per_producer_(static_cast<std::size_t>(per_producer)),
        words_(static_cast<std::size_t>(producers) * per_producer_ / 64 + 1) {}

  void Set(uint64_t value) {
    const std::size_t bit =
        static_cast<std::size_t>(ProducerOf(value)) * per_producer_ +
        static_cast<std::size_t>(SeqOf(value));
    const uint64_t mask = uint64_t{1} << (bit % 64);
    ASSERT_LT(bit / 64, words_.size());
    // Relaxed: compared at rest only, and an edge here would hide a missing
    // one.
    ASSERT_EQ(words_[bit / 64].fetch_or(mask, std::memory_order_relaxed) & mask,
              0u)
        << "value " << SeqOf(value) << " of producer " << ProducerOf(value)
        << " came twice";
  }
  int64_t Differences(const Marks& other) const {
    int64_t count = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      count += __builtin_popcountll(words_[i].load() ^ other.words_[i].load());
    }
    return count;
  }
  int64_t Count() const {
    int64_t count = 0;
    for (const auto& word : words_) count += __builtin_popcountll(word.load());
    return count;
  }

 private:
  const std::size_t per_producer_;
  std::vector<std::atomic<uint64_t>> words_;
};

// What one party has received: the values of one sender must come in order.
class Inbox {
 public:
  Inbox(int producers, Marks& got)
      : last_(static_cast<std::size_t>(producers), -1), got_(got) {}
  void Take(uint64_t value) {
    int64_t& last = last_[static_cast<std::size_t>(ProducerOf(value))];
    ASSERT_GT(SeqOf(value), last)
        << "producer " << ProducerOf(value) << " was reordered";
    last = SeqOf(value);
    got_.Set(value);
  }

 private:
  std::vector<int64_t> last_;
  Marks& got_;
};

using Ch = Chan<uint64_t>;

std::string Describe(const Ch& ch) {
  return internal::CoreAccess::Get(ch)->DebugString() + "\n";
}

// What all parties of one run share.
struct World {
  World(int cap, int producers, int64_t per_producer)
      : ch(MakeChan<uint64_t>(cap)),
        idle(MakeChan<uint64_t>()),
        sent(producers, per_producer),
        got(producers, per_producer) {}
  Ch ch;
  Ch idle;
  Marks sent;
  Marks got;
};

enum class Mix {
  kPlain,    // Send, Recv, range
  kTry,      // Try forms, then blocking ones
  kSelect,   // selects of several cases, with and without default
  kBounded,  // time-outs and cancellation
  kAll,
};
constexpr const char* kMixNames[] = {"Plain", "Try", "Select", "Bounded",
                                     "All"};

// Sends `value` by some form; false if the channel was closed.
bool SendSomehow(World& world, Mix mix, std::mt19937_64& random, Inbox& inbox,
                 uint64_t value) {
  const Ch& ch = world.ch;
  const auto receive = [&](uint64_t v, bool ok) {
    if (ok) inbox.Take(v);
  };
  const Mix now = mix == Mix::kAll ? static_cast<Mix>(random() % 4) : mix;
  switch (now) {
    case Mix::kPlain:
      ch.Send(value);
      return true;
    case Mix::kTry:
      for (int i = 0; i < 4; ++i) {
        if (ch.TrySend(value)) return true;
        std::this_thread::yield();
      }
      ch.Send(value);
      return true;
    case Mix::kSelect:
      for (;;) {
        switch (random() % 4) {
          case 0:
            Select(SendCase(ch, value), RecvCase(world.idle));
            return true;
          case 1:
            // May receive instead: this producer is a consumer as well.
            if (Select(RecvCase(ch, receive), SendCase(ch, value)) == 1) {
              return true;
            }
            break;
          case 2:
            if (Select(SendFrom(ch, &value), DefaultCase()) == 0) return true;
            std::this_thread::yield();
            break;
          default:
            // Twice the same case: only one takes effect.
            Select(SendCase(ch, value), SendCase(ch, value), RecvCase(Ch()));
            return true;
        }
      }
    case Mix::kBounded:
    default:
      for (;;) {
        switch (random() % 3) {
          case 0:
            if (Select(SendCase(ch, value),
                       TimeoutCase(absl::Microseconds(
                           static_cast<int64_t>(random() % 50)))) == 0) {
              return true;
            }
            break;
          case 1: {
            const absl::Status status = SendFor(
                ch, value,
                absl::Microseconds(static_cast<int64_t>(random() % 50)));
            if (status.ok()) return true;
            if (absl::IsFailedPrecondition(status)) return false;
            break;
          }
          default: {
            auto [ctx, cancel] = WithTimeout(
                Background(),
                absl::Microseconds(static_cast<int64_t>(random() % 100)));
            const absl::Status status = SendOr(ctx, ch, value);
            if (status.ok()) return true;
            if (absl::IsFailedPrecondition(status)) return false;
          }
        }
      }
  }
}

// Receives once, or gives up; false once the channel is closed and drained.
bool RecvSomehow(World& world, Mix mix, std::mt19937_64& random, Inbox& inbox) {
  const Ch& ch = world.ch;
  bool open = true;
  const auto receive = [&](uint64_t v, bool ok) {
    open = ok;
    if (ok) inbox.Take(v);
  };
  const auto result = [&](const RecvResult<uint64_t>& r) {
    receive(r.value, r.ok);
  };
  const Mix now = mix == Mix::kAll ? static_cast<Mix>(random() % 4) : mix;
  switch (now) {
    case Mix::kPlain:
      if (random() % 2 == 0) {
        result(ch.Recv());
      } else {
        const auto value = ch.RecvOptional();
        receive(value.value_or(0), value.has_value());
      }
      break;
    case Mix::kTry:
      if (auto tried = ch.TryRecv()) {
        result(*tried);
      } else {
        result(ch.Recv());
      }
      break;
    case Mix::kSelect:
      switch (random() % 3) {
        case 0:
          Select(RecvCase(world.idle), RecvCase(ch, receive));
          break;
        case 1: {
          uint64_t value = 0;
          bool ok = false;
          Select(RecvCase(ch, &value, &ok), RecvCase(ch, &value, &ok));
          receive(value, ok);
          break;
        }
        default:
          if (Select(RecvCase(ch, receive), DefaultCase()) == 1) {
            std::this_thread::yield();
          }
      }
      break;
    case Mix::kBounded:
    default:
      switch (random() % 3) {
        case 0:
          Select(RecvCase(ch, receive),
                 TimeoutCase(
                     absl::Microseconds(static_cast<int64_t>(random() % 50))));
          break;
        case 1: {
          auto received = RecvFor(
              ch, absl::Microseconds(static_cast<int64_t>(random() % 50)));
          if (received.ok()) result(*received);
          break;
        }
        default: {
          // Cancelled already, now and then: a value may win, or the context.
          auto [ctx, cancel] = WithCancel(Background());
          if (random() % 2 == 0) {
            cancel();
            Select(RecvCase(ch, receive), DoneCase(ctx));
          } else {
            auto received = RecvOr(ctx, ch);
            if (received.ok()) result(*received);
          }
        }
      }
  }
  return open;
}

// With `early`, the channel is closed while producers are still at it.
void RunWorld(int cap, int producers, int consumers, Mix mix, bool early,
              int64_t total) {
  const int64_t per_producer = total / producers + 1;
  World world(cap, producers, per_producer);
  std::atomic<int> producers_left{producers};
  std::atomic<int64_t> sends{0};
  Threads threads(test::ScaledLimit());
  threads.GoEach(producers, [&](int p) {
    test::Noise noise(static_cast<uint64_t>(p) + 1);
    std::mt19937_64 random(static_cast<uint64_t>(p) * 7919 + 1);
    Inbox inbox(producers, world.got);
    const auto produce = [&] {
      for (int64_t seq = 0; seq < per_producer; ++seq) {
        if (!SendSomehow(world, mix, random, inbox, Value(p, seq))) return;
        world.sent.Set(Value(p, seq));
        if (early) sends.fetch_add(1, std::memory_order_relaxed);
      }
    };
#if GOCHAN_TEST_EXCEPTIONS
    try {
      produce();
    } catch (const Panic& panic) {
      EXPECT_TRUE(early) << panic.what();
    }
#else
    produce();
#endif
    if (producers_left.fetch_sub(1) == 1) world.ch.TryClose();
  });
  threads.GoEach(consumers, [&](int c) {
    test::Noise noise(static_cast<uint64_t>(c) + 1001);
    std::mt19937_64 random(static_cast<uint64_t>(c) * 104729 + 2);
    Inbox inbox(producers, world.got);
    while (RecvSomehow(world, mix, random, inbox)) {
    }
  });
  if (early) {
    while (sends.load(std::memory_order_relaxed) < total / 2 &&
           producers_left > 0) {
      std::this_thread::yield();
    }
    world.ch.TryClose();
  }
  threads.Join();
  EXPECT_EQ(world.sent.Differences(world.got), 0);
  if (!early) {
    EXPECT_EQ(world.sent.Count(), per_producer * producers);
  }
  EXPECT_EQ(world.ch.Len(), 0u);
  EXPECT_EQ(Parked(world.ch), 0u);
  EXPECT_EQ(Parked(world.idle), 0u);
}

class AccountingTest : public ::testing::TestWithParam<std::tuple<int, Mix>> {};

// The counts of all tests of this file add up to about 10^6 in the short run.
TEST_P(AccountingTest, NothingIsLostDoubledOrReordered) {
  const auto [cap, mix] = GetParam();
  // Time-outs cost a timer each, and many sends come to nothing.
  const int64_t total = Scaled(mix == Mix::kBounded ? 3'000 : 15'000);
  for (const auto& [producers, consumers] :
       {std::pair(1, 1), std::pair(4, 1), std::pair(1, 4), std::pair(3, 3)}) {
    SCOPED_TRACE(std::to_string(producers) + " producers, " +
                 std::to_string(consumers) + " consumers");
    RunWorld(cap, producers, consumers, mix, false, total);
    if (HasFatalFailure()) return;
  }
}

#if GOCHAN_TEST_EXCEPTIONS
TEST_P(AccountingTest, NothingIsLostInAnEarlyClose) {
  const auto [cap, mix] = GetParam();
  const int64_t runs = Scaled(10);
  for (int64_t i = 0; i < runs; ++i) {
    RunWorld(cap, 3, 2, mix, true, mix == Mix::kBounded ? 100 : 500);
    if (HasFatalFailure()) return;
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(
    All, AccountingTest,
    ::testing::Combine(::testing::Values(0, 1, 2, 128),
                       ::testing::Values(Mix::kPlain, Mix::kTry, Mix::kSelect,
                                         Mix::kBounded, Mix::kAll)),
    [](const auto& info) {
      return "Cap" + std::to_string(std::get<0>(info.param)) +
             kMixNames[static_cast<int>(std::get<1>(info.param))];
    });

// A pipeline of selects in both directions over several channels, cancelled in
// the middle: what is not delivered is still in the producers' hands.
TEST(Accounting, ACancelledPipelineLosesNothing) {
  const int64_t runs = Scaled(40);
  for (int64_t run = 0; run < runs; ++run) {
    constexpr int kProducers = 3;
    constexpr int64_t kEach = 2'000;
    const int cap = static_cast<int>(run % 3);
    std::array<Ch, 2> in{MakeChan<uint64_t>(cap), MakeChan<uint64_t>(cap)};
    auto out = MakeChan<uint64_t>(cap);
    Marks sent(kProducers, kEach);
    Marks got(kProducers, kEach);
    auto [ctx, cancel] = WithCancel(Background());
    Threads threads(test::ScaledLimit());
    threads.GoEach(kProducers, [&, ctx = ctx](int p) {
      test::Noise noise(static_cast<uint64_t>(run * 10 + p));
      for (int64_t seq = 0; seq < kEach; ++seq) {
        const std::size_t k =
            Select(SendCase(in[0], Value(p, seq)),
                   SendCase(in[1], Value(p, seq)), DoneCase(ctx));
        if (k == 2) return;
        sent.Set(Value(p, seq));
      }
    });
    // Relays hold one value at a time: a select that receives when it has none
    // and sends when it has one.
    threads.GoEach(2, [&, ctx = ctx](int relay) {
      test::Noise noise(static_cast<uint64_t>(run * 10 + 5 + relay));
      bool holding = false;
      uint64_t held = 0;
      const auto take = [&](uint64_t value) {
        held = value;
        holding = true;
      };
      for (;;) {
        const std::size_t k = Select(
            RecvCase(holding ? Ch() : in[0], take),
            RecvCase(holding ? Ch() : in[1], take),
            SendCase(holding ? out : Ch(), held, [&] { holding = false; }),
            DoneCase(ctx));
        if (k == 3) break;
      }
      if (holding) got.Set(held);
    });
    threads.GoEach(2, [&, ctx = ctx](int) {
      for (bool more = true; more;) {
        Select(RecvCase(out, [&](uint64_t value) { got.Set(value); }),
               DoneCase(ctx, [&] { more = false; }));
      }
    });
    const auto deadline =
        std::chrono::steady_clock::now() + test::ScaledLimit();
    while (got.Count() < 200 + run % 40 * 10) {
      if (std::chrono::steady_clock::now() > deadline) {
        test::Die("the pipeline stands still\n" + Describe(in[0]) +
                  Describe(in[1]) + Describe(out));
      }
      std::this_thread::yield();
    }
    cancel();
    threads.Join();
    for (const Ch& ch : {in[0], in[1], out}) {
      EXPECT_EQ(Parked(ch), 0u);
      while (auto value = ch.TryRecv()) got.Set(value->value);
    }
    ASSERT_EQ(sent.Differences(got), 0) << "run " << run;
  }
}

}  // namespace
}  // namespace gochan

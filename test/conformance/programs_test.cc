// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours GP: whole programs of goroutines, on 1, 2, 4 and 16 workers. Every
// program ends all its goroutines; the fixture looks.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/conformance/power_series.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::Patience;
using test::Scaled;
using test::ScaledLimit;

using ProgramsConformance = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(ProgramsConformance);

// A send and a receive that end when the program does. False: it has ended.
template <typename T>
bool Put(const Context& ctx, const Chan<T>& ch, T value) {
  return Select(SendCase(ch, std::move(value)), DoneCase(ctx)) == 0;
}
template <typename T>
bool Get(const Context& ctx, const Chan<T>& ch, T* value) {
  bool ok;
  return Select(RecvCase(ch, value, &ok), DoneCase(ctx)) == 0 && ok;
}

// -----------------------------------------------------------------------------
// Prime sieves
// -----------------------------------------------------------------------------

// The primes up to `limit`: a chain of goroutines, one for each prime, that let
// pass what their prime does not divide. The end comes down the chain as Close.
std::vector<int> DaisyChainSieve(int limit) {
  auto source = MakeChan<int>();
  Go([source, limit] {
    for (int i = 2; i <= limit; ++i) source.Send(i);
    source.Close();
  });
  std::vector<int> primes;
  for (RecvChan<int> in = source;;) {
    auto [prime, ok] = in.Recv();
    if (!ok) return primes;
    primes.push_back(prime);
    auto out = MakeChan<int>();
    Go([in, out, prime = prime] {
      for (int i : in) {
        if (i % prime != 0) out.Send(i);
      }
      out.Close();
    });
    in = out;
  }
}

std::vector<int> PrimesByDivision(int limit) {
  std::vector<int> primes;
  for (int i = 2; i <= limit; ++i) {
    if (std::none_of(primes.begin(), primes.end(),
                     [&](int prime) { return i % prime == 0; })) {
      primes.push_back(i);
    }
  }
  return primes;
}

PARTY_TEST(ProgramsConformance, GP01TheDaisyChainSieveYieldsThePrimes) {
  const std::vector<int> first = {2,  3,  5,  7,  11, 13, 17, 19, 23,
                                  29, 31, 37, 41, 43, 47, 53, 59, 61,
                                  67, 71, 73, 79, 83, 89, 97};
  EXPECT_EQ(DaisyChainSieve(100), first);
  // The thousandth prime is 7919. The work grows with the square.
  const std::vector<int> many = DaisyChainSieve(test::kSanitized ? 1000 : 7919);
  EXPECT_EQ(many.size(), test::kSanitized ? 168u : 1000u);
  EXPECT_EQ(many, PrimesByDivision(test::kSanitized ? 1000 : 7919));
}

// A stream of numbers in ascending order, of which the first is known already.
struct Stream {
  int head;
  Chan<int> rest;
};
struct LaterHead {
  bool operator()(const Stream& a, const Stream& b) const {
    return a.head > b.head;
  }
};
using Streams = std::priority_queue<Stream, std::vector<Stream>, LaterHead>;

// Takes values from the result without bound, so that its sender never waits
// for its receiver.
Chan<int> WithoutBound(const Context& ctx, const Chan<int>& out) {
  auto in = MakeChan<int>(10);
  Go([ctx, in, out] {
    std::queue<int> waiting;
    for (;;) {
      // A nil channel switches the send off while there is nothing to send.
      const Chan<int> to = waiting.empty() ? nullptr : out;
      const int next = waiting.empty() ? 0 : waiting.front();
      int value;
      switch (Select(RecvCase(in, &value), SendCase(to, next), DoneCase(ctx))) {
        case 0:
          waiting.push(value);
          break;
        case 1:
          waiting.pop();
          break;
        default:
          return;
      }
    }
  });
  return in;
}

Chan<int> OddMultiples(const Context& ctx, int prime) {
  auto out = MakeChan<int>(10);
  Go([ctx, out, prime] {
    for (int i = prime * prime; Put(ctx, out, i); i += 2 * prime) {
    }
  });
  return out;
}

// Merges the multiples of all primes, in ascending order and each once.
void MergeComposites(const Context& ctx, const Chan<int>& primes,
                     const Chan<int>& composites) {
  Streams streams;
  // Takes the next composite: all streams that have it move on.
  const auto pop = [&](int composite) {
    while (!streams.empty() && streams.top().head == composite) {
      Stream stream = streams.top();
      streams.pop();
      if (!Get(ctx, stream.rest, &stream.head)) return false;
      streams.push(std::move(stream));
    }
    return true;
  };
  for (int prime; Get(ctx, primes, &prime);) {
    Stream next{0, OddMultiples(ctx, prime)};
    if (!Get(ctx, next.rest, &next.head)) return;
    // No composite below its square is new with this prime, and the primes that
    // lie below the square are known only after it.
    const int square = next.head;
    while (!streams.empty() && streams.top().head < square) {
      const int composite = streams.top().head;
      if (!Put(ctx, composites, composite) || !pop(composite)) return;
    }
    if (!Put(ctx, composites, square) || !Get(ctx, next.rest, &next.head)) {
      return;
    }
    streams.push(std::move(next));
  }
}

// Sends the candidates that are no composite, and feeds them back.
void SiftOdds(const Context& ctx, const Chan<int>& composites,
              const Chan<int>& primes, const Chan<int>& out) {
  int candidate = 5;
  for (int composite; Get(ctx, composites, &composite); candidate += 2) {
    for (; candidate < composite; candidate += 2) {
      if (!Put(ctx, primes, candidate) || !Put(ctx, out, candidate)) return;
    }
    // Composites come in ascending order and are odd: this is one of them.
    EXPECT_EQ(candidate, composite);
  }
}

PARTY_TEST(ProgramsConformance, GP02TheMergingSieveGivesTheSamePrimes) {
  const int limit = test::kSanitized ? 1000 : 10'000;
  const std::vector<int> expected = DaisyChainSieve(limit);
  auto [ctx, cancel] = WithCancel(Background());
  auto out = MakeChan<int>(10);
  auto composites = MakeChan<int>(50);
  auto primes = MakeChan<int>(10);
  out.Send(2);
  out.Send(3);
  primes.Send(3);
  Go([ctx = ctx, primes, composites] {
    MergeComposites(ctx, primes, composites);
  });
  Go([ctx = ctx, composites, out, feedback = WithoutBound(ctx, primes)] {
    SiftOdds(ctx, composites, feedback, out);
  });
  std::vector<int> found;
  for (int prime : out) {
    if (prime > limit) break;
    found.push_back(prime);
  }
  EXPECT_EQ(found, expected);
}

// -----------------------------------------------------------------------------
// Power series
// -----------------------------------------------------------------------------

using test::PowerSeries;
using test::Rational;
using Coefficients = std::vector<Rational>;

TEST(PowerSeriesTest, RationalsAreReduced) {
  EXPECT_EQ(Rational(2, 4), Rational(1, 2));
  EXPECT_EQ(Rational(1, -2), Rational(-1, 2));
  EXPECT_EQ(Rational(1, 2) + Rational(1, 3), Rational(5, 6));
  EXPECT_EQ(Rational(2, 3) * Rational(3, 4), Rational(1, 2));
  EXPECT_EQ(Rational(0, 5), Rational(0));
}

PARTY_TEST(ProgramsConformance, GP03PowerSeriesHaveExactCoefficients) {
  auto [ctx, cancel] = WithCancel(Background());
  const PowerSeries world(ctx);
  // 1/(1-x) = 1 + x + x^2 + …
  const auto ones = [&] { return world.Constants(1); };
  // Sums and scaled ones.
  EXPECT_EQ(world.Take(world.Add(ones(), ones()), 12), Coefficients(12, 2));
  EXPECT_EQ(world.Take(world.Scale(Rational(1, 3), ones()), 12),
            Coefficients(12, Rational(1, 3)));
  // 1/(1-x)^2 = 1 + 2x + 3x^2 + …, which is also the derivative.
  Coefficients counting;
  for (int i = 1; i <= 12; ++i) counting.push_back(i);
  EXPECT_EQ(world.Take(world.Multiply(ones(), ones()), 12), counting);
  EXPECT_EQ(world.Take(world.Derivative(ones()), 12), counting);
  // Its integral is -log(1-x) = x + x^2/2 + …
  Coefficients log = {0};
  for (int i = 1; i < 12; ++i) log.push_back(Rational(1, i));
  EXPECT_EQ(world.Take(world.Integral(0, ones()), 12), log);
  // 1/(1-x) with x+x^2+… for x is 1 + x + 2x^2 + 4x^3 + …
  Coefficients doubling = {1};
  for (int i = 1; i < 12; ++i) doubling.push_back(int64_t{1} << (i - 1));
  EXPECT_EQ(world.Take(world.Substitute(ones(), world.Shift(0, ones())), 12),
            doubling);
  // e^x, from x = 0 + 1x.
  Coefficients exponential = {1};
  for (int i = 1; i < 12; ++i) {
    exponential.push_back(exponential.back() * Rational(1, i));
  }
  const auto x = [&] { return world.Polynomial({0, 1}); };
  EXPECT_EQ(world.Take(world.Exp(x()), 12), exponential);
  // e^(-log(1-x)) = 1/(1-x).
  EXPECT_EQ(world.Take(world.Exp(world.Integral(0, ones())), 12),
            Coefficients(12, 1));
  // tan x, from tan' = 1 + tan^2.
  const Coefficients tangent = {0, 1,
                                0, Rational(1, 3),
                                0, Rational(2, 15),
                                0, Rational(17, 315),
                                0, Rational(62, 2835),
                                0, Rational(1382, 155925)};
  EXPECT_EQ(world.Take(world.Tan(), 12), tangent);
}

// -----------------------------------------------------------------------------
// Pipelines and barriers
// -----------------------------------------------------------------------------

PARTY_TEST(ProgramsConformance, GP05APipelineEndsByCascadingClose) {
  const int64_t n = Scaled(100'000);
  for (int cap : {0, 1, 100}) {
    auto numbers = MakeChan<int64_t>(cap);
    auto squares = MakeChan<int64_t>(cap);
    auto sum = MakeChan<int64_t>();
    Go([=] {
      for (int64_t i = 1; i <= n; ++i) numbers.Send(i);
      numbers.Close();
    });
    Go([=] {
      for (int64_t i : numbers) squares.Send(i * i);
      squares.Close();
    });
    Go([=] {
      int64_t total = 0;
      int64_t next = 1;
      for (int64_t square : squares) {
        EXPECT_EQ(square, next * next);
        ++next;
        total += square;
      }
      sum.Send(total);
      sum.Close();
    });
    EXPECT_EQ(sum.Recv().value, n * (n + 1) * (2 * n + 1) / 6);
    EXPECT_FALSE(sum.Recv().ok);
  }
}

// A barrier for `parties`, made of two channels and a goroutine: nobody is
// heard again before all have been let go.
class ChannelBarrier {
 public:
  explicit ChannelBarrier(int parties) {
    Go([arrive = arrive_, leave = leave_, parties] {
      for (;;) {
        for (int i = 0; i < parties; ++i) {
          if (!arrive.Recv().ok) return;
        }
        for (int i = 0; i < parties; ++i) leave.Send({});
      }
    });
  }
  ~ChannelBarrier() { arrive_.Close(); }
  void Wait() {
    arrive_.Send({});
    leave_.Recv();
  }

 private:
  const Chan<Unit> arrive_ = MakeChan<Unit>();
  const Chan<Unit> leave_ = MakeChan<Unit>();
};

PARTY_TEST(ProgramsConformance, GP07ABarrierOfChannelsKeepsRoundsApart) {
  constexpr std::size_t kParties = 32;
  const int64_t rounds = Scaled(1000);
  ChannelBarrier barrier(kParties);
  // Plain variables: the barrier orders the accesses.
  std::vector<int64_t> round(kParties, 0);
  Parties parties(ScaledLimit());
  parties.GoEach(kParties, [&](int self) {
    int64_t wrong = 0;
    for (int64_t i = 1; i <= rounds; ++i) {
      round[static_cast<std::size_t>(self)] = i;
      barrier.Wait();
      for (int64_t other : round) wrong += other == i ? 0 : 1;
      barrier.Wait();
    }
    EXPECT_EQ(wrong, 0);
  });
  parties.Join();
}

// -----------------------------------------------------------------------------
// Sharing a worker
// -----------------------------------------------------------------------------

PARTY_TEST(ProgramsConformance, GP09LightAndHeavyPairsShareAWorker) {
  if (SetMaxProcs(0) != 1) return;  // processors that are free tell nothing
  const int64_t rounds = Scaled(10'000);
  // Relaxed: counters.
  std::atomic<int64_t> light{0};
  std::atomic<int64_t> heavy{0};
  std::atomic<bool> stop{false};
  auto light_ball = MakeChan<Unit>();
  auto heavy_ball = MakeChan<Unit>();
  Parties parties(ScaledLimit());
  const auto player = [&](const Chan<Unit>& ball, std::atomic<int64_t>& hits,
                          int work) {
    return [&, ball, work] {
      volatile int sink = 0;
      while (ball.Recv().ok) {
        hits.fetch_add(1, std::memory_order_relaxed);
        for (int i = 0; i < work; ++i) sink = i;
        (void)sink;
        if (stop) {
          (void)ball.TryClose();
          return;
        }
        // The partner may have closed it.
        if (Select(SendCase(ball, Unit{}), RecvCase(ball)) == 1) return;
      }
    };
  };
  for (int i = 0; i < 2; ++i) {
    parties.Go(player(light_ball, light, 0));
    parties.Go(player(heavy_ball, heavy, 1000));
  }
  light_ball.Send({});
  heavy_ball.Send({});
  Patience patience(ScaledLimit());
  while (light < rounds || heavy < rounds / 100) {
    patience.Wait([&] {
      return "light " + std::to_string(light) + ", heavy " +
             std::to_string(heavy);
    });
  }
  const double ratio = static_cast<double>(light) / static_cast<double>(heavy);
  EXPECT_LT(ratio, 100);
  EXPECT_GT(ratio, 0.01);
  stop = true;
  parties.Join();
}

// -----------------------------------------------------------------------------
// Tree walkers
// -----------------------------------------------------------------------------

struct Tree {
  std::unique_ptr<Tree> left;
  int value;
  std::unique_ptr<Tree> right;
};

void Insert(std::unique_ptr<Tree>& tree, int value) {
  if (tree == nullptr) {
    tree = std::make_unique<Tree>(Tree{nullptr, value, nullptr});
  } else {
    Insert(value < tree->value ? tree->left : tree->right, value);
  }
}

// The same values in another shape for each step that has no divisor in common
// with n.
std::unique_ptr<Tree> MakeTree(int n, int step) {
  std::unique_ptr<Tree> tree;
  for (int i = 0; i < n; ++i) Insert(tree, (i * step + n / 2) % n);
  return tree;
}

// False: nobody wants more.
bool Walk(const Context& ctx, const Tree* tree, const Chan<int>& out) {
  return tree == nullptr ||
         (Walk(ctx, tree->left.get(), out) && Put(ctx, out, tree->value) &&
          Walk(ctx, tree->right.get(), out));
}

// The walkers hold the trees: an early return does not wait for them.
bool Same(std::shared_ptr<const Tree> a, std::shared_ptr<const Tree> b) {
  auto [ctx, cancel] = WithCancel(Background());
  const auto walk = [&ctx = ctx](std::shared_ptr<const Tree> tree) {
    auto out = MakeChan<int>();
    Go([ctx, tree, out] {
      Walk(ctx, tree.get(), out);
      out.Close();
    });
    return out;
  };
  const auto values_a = walk(std::move(a));
  const auto values_b = walk(std::move(b));
  for (;;) {
    const auto [x, more_a] = values_a.Recv();
    const auto [y, more_b] = values_b.Recv();
    if (more_a != more_b || x != y) return false;
    if (!more_a) return true;
  }
}

PARTY_TEST(ProgramsConformance, GP10TreeWalkersStopEarlyWithoutLeaking) {
  const int before = NumGoroutine();
  constexpr int n = 1000;
  const std::shared_ptr<const Tree> tree = MakeTree(n, 7);
  const std::shared_ptr<const Tree> other_shape = MakeTree(n, 333);
  std::unique_ptr<Tree> changed = MakeTree(n, 7);
  changed->left = nullptr;  // differs at once
  std::unique_ptr<Tree> longer = MakeTree(n, 7);
  Insert(longer, n);  // differs at the end
  const std::shared_ptr<const Tree> early = std::move(changed);
  const std::shared_ptr<const Tree> late = std::move(longer);
  for (int64_t i = 0, rounds = Scaled(20); i < rounds; ++i) {
    EXPECT_TRUE(Same(tree, tree));
    EXPECT_TRUE(Same(tree, other_shape));
    EXPECT_FALSE(Same(tree, early));
    EXPECT_FALSE(Same(late, tree));
    EXPECT_FALSE(Same(tree, nullptr));
    EXPECT_TRUE(Same(nullptr, nullptr));
  }
  Patience patience;
  while (NumGoroutine() > before) patience.Wait("walkers were left");
  EXPECT_EQ(tree.use_count(), 1);
}

// -----------------------------------------------------------------------------
// Publish and subscribe
// -----------------------------------------------------------------------------

// A subscriber joins with its inbox and is told the number of the first message
// that it will get; when it leaves, that of the first that it will not.
struct Request {
  Chan<int64_t> inbox;
  Chan<int64_t> reply;
};

// Owns all its state; only its channels are shared.
void Hub(const Chan<Request>& join, const Chan<Request>& leave,
         const Chan<Unit>& publish) {
  std::vector<Chan<int64_t>> members;
  int64_t next = 0;
  for (bool going_on = true; going_on;) {
    Select(RecvCase(join,
                    [&](Request request) {
                      members.push_back(request.inbox);
                      request.reply.Send(next);
                    }),
           RecvCase(leave,
                    [&](Request request) {
                      EXPECT_EQ(std::erase(members, request.inbox), 1u);
                      request.inbox.Close();
                      request.reply.Send(next);
                    }),
           RecvCase(publish, [&](Unit, bool ok) {
             if (!ok) {
               going_on = false;
               return;
             }
             // Members receive for as long as they are.
             for (const auto& inbox : members) inbox.Send(next);
             ++next;
           }));
  }
  EXPECT_TRUE(members.empty());
}

PARTY_TEST(ProgramsConformance, GP11AHubServesJoinsLeavesAndBroadcasts) {
  constexpr int kSubscribers = 100;
  const int64_t visits = Scaled(20);
  auto join = MakeChan<Request>();
  auto leave = MakeChan<Request>();
  auto publish = MakeChan<Unit>();
  auto quit = MakeChan<Unit>();

  Parties hub(ScaledLimit());
  hub.Go([=] { Hub(join, leave, publish); });
  Parties publisher(ScaledLimit());
  publisher.Go([=] {
    while (Select(SendCase(publish, Unit{}), RecvCase(quit)) == 0) {
    }
  });

  Parties subscribers(ScaledLimit());
  subscribers.GoEach(kSubscribers, [=](int self) {
    for (int64_t visit = 0; visit < visits; ++visit) {
      // Some inboxes have room and some have none.
      const Request me{MakeChan<int64_t>(self % 3), MakeChan<int64_t>(1)};
      join.Send(me);
      int64_t expected = me.reply.Recv().value;
      const int64_t enough = expected + self % 7;
      for (bool member = true; member;) {
        const Chan<Request> may_leave = expected >= enough ? leave : nullptr;
        Select(RecvCase(me.inbox,
                        [&](int64_t message) {
                          EXPECT_EQ(message, expected);
                          ++expected;
                        }),
               SendCase(may_leave, me, [&] { member = false; }));
      }
      // What was sent before we left may be in the inbox still.
      for (int64_t message : me.inbox) {
        EXPECT_EQ(message, expected);
        ++expected;
      }
      EXPECT_EQ(expected, me.reply.Recv().value);
    }
  });
  subscribers.Join();
  quit.Close();
  publisher.Join();
  publish.Close();
  hub.Join();
}

}  // namespace
}  // namespace gochan

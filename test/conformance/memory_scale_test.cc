// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours ME, the rows about goroutines: memory and scale.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/allocations.h"
#include "test/util/child.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::Parties;
using test::Patience;
using test::ResidentBytes;
using test::Scaled;
using test::ScaledLimit;
using test::WaitUntilParked;

using MemoryScaleConformance = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(MemoryScaleConformance);

// -----------------------------------------------------------------------------
// Many goroutines
// -----------------------------------------------------------------------------

// ThreadSanitizer cannot hold more.
int64_t InAWave(int64_t n) {
  return test::kSanitized ? std::min<int64_t>(n, 1000) : n;
}

PARTY_TEST(MemoryScaleConformance, ME07WavesOfGoroutinesLeaveNothing) {
  const int64_t n = InAWave(Scaled(10'000));
  const int base = NumGoroutine();
  const auto wave = [&] {
    auto gate = MakeChan<Unit>();
    std::atomic<int64_t> ended{0};
    for (int64_t i = 0; i < n; ++i) {
      Go([gate, &ended] {
        gate.Recv();
        // Release: pairs with the acquire below.
        ended.fetch_add(1, std::memory_order_release);
      });
    }
    Patience patience(ScaledLimit());
    // All at once, so that memory is needed for all.
    while (test::Parked(gate) != static_cast<std::size_t>(n)) {
      patience.Wait("not all goroutines came to the gate");
    }
    EXPECT_GE(NumGoroutine(), base + n);
    gate.Close();
    while (ended.load(std::memory_order_acquire) != n ||
           NumGoroutine() != base) {
      patience.Wait("not all goroutines ended");
    }
  };
  wave();  // touches for the first time what is kept for later
  wave();
  const int64_t before = ResidentBytes();
  for (int i = 2; i < 10; ++i) wave();
  const int64_t growth = ResidentBytes() - before;
  if (!test::kSanitized) {
    // Less than a page for ten of one wave's goroutines; nothing of the others.
    EXPECT_LT(growth, 400 * n + 1'000'000);
  }
}

// Short ones, a few at a time: the same stacks serve them all.
PARTY_TEST(MemoryScaleConformance, ME07StacksAreReused) {
  const auto run = [](int64_t n) {
    auto done = MakeChan<Unit>();
    for (int64_t i = 0; i < n; ++i) {
      for (int j = 0; j < 10; ++j) {
        Go([done] { done.Send({}); });
      }
      for (int j = 0; j < 10; ++j) done.Recv();
    }
  };
  run(100);
  const int64_t before = ResidentBytes();
  run(Scaled(5'000));
  if (!test::kSanitized) {
    EXPECT_LT(ResidentBytes() - before, 2'000'000);
  }
}

// -----------------------------------------------------------------------------
// Deep recursion
// -----------------------------------------------------------------------------

constexpr std::size_t kDefaultStack = std::size_t{256} << 10;

// Recurses until `depth` bytes of stack are in use, and blocks down there.
// Returns the number of calls.
[[gnu::noinline]] int Descend(const char* top, std::size_t depth) {
  // A sanitizer keeps variables elsewhere, so it is the frame that counts.
  const char* const here = static_cast<const char*>(__builtin_frame_address(0));
  char used[256];
  used[0] = 1;
  // All of it, lest the frame is made smaller: ThreadSanitizer ends at 65,536
  // nested calls.
  __asm__ __volatile__("" : : "r"(used) : "memory");
  if (static_cast<std::size_t>(top - here) >= depth) {
    Yield();
    return used[0];
  }
  const int below = Descend(top, depth);
  return below + used[0];  // not a tail call
}

int DescendFromHere(std::size_t depth) {
  return Descend(static_cast<const char*>(__builtin_frame_address(0)), depth);
}

// What a goroutine may use of its stack: all but its control block, the frames
// of the runtime, and a page for the calls of the last function.
constexpr std::size_t Usable(std::size_t stack_size) {
  return stack_size - (std::size_t{24} << 10);
}

PARTY_TEST(MemoryScaleConformance, ME11RecursionWorksToTheDocumentedDepth) {
  constexpr std::size_t kLarge = std::size_t{8} << 20;
  std::atomic<int> ended{0};
  Patience patience;
  for (int i = 0; i < 4; ++i) {
    Go([&ended] {
      EXPECT_GT(DescendFromHere(Usable(kDefaultStack)), 100);
      ++ended;
    });
    Go(GoOptions{.stack_size = kLarge}, [&ended] {
      EXPECT_GT(DescendFromHere(Usable(kLarge)), 1000);
      ++ended;
    });
  }
  while (ended != 8) patience.Wait("a goroutine did not end");
}

int Recurse(std::size_t depth, bool named) {
  return RunMain([=] {
    auto never = MakeChan<int>();
    Go([=] { never.Recv(); });
    const auto descend = [depth] {
      DescendFromHere(depth);
      std::puts("came back");
      std::fflush(stdout);
      std::_Exit(0);
    };
    if (named) {
      Go(GoOptions{.name = "digger"}, descend);
    } else {
      Go(descend);
    }
    never.Recv();
  });
}

SCENARIO(AtTheLimit) { return Recurse(Usable(kDefaultStack), false); }
SCENARIO(BeyondTheLimit) { return Recurse(kDefaultStack, true); }
SCENARIO(WithoutEnd) { return Recurse(std::size_t{1} << 40, true); }

PARTY_TEST(MemoryScaleConformance, ME11OverflowEndsTheProgramWithAReport) {
  const int workers = test::current_setting.workers;
  ChildResult child;
  Blocking([&] { child = test::RunChild("AtTheLimit", workers); });
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(child.out, "came back\n") << child;
  for (const char* scenario : {"BeyondTheLimit", "WithoutEnd"}) {
    Blocking([&] { child = test::RunChild(scenario, workers); });
    EXPECT_EQ(child.signal, SIGABRT) << child;
    EXPECT_EQ(child.out, "") << child;
    EXPECT_NE(child.err.find("goroutine stack overflow"), std::string::npos)
        << child;
    EXPECT_NE(child.err.find("digger"), std::string::npos) << child;
    EXPECT_NE(child.err.find("memory_scale_test.cc:"), std::string::npos)
        << child;
  }
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// After golang.org/x/sync's semaphore_test.go, and what is ours.

#include "go/semaphore.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/random.h"
#include "test/util/panics.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::Parties;
using test::PartyScaled;
using test::ScaledLimit;

using SemaphoreTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(SemaphoreTest);

const absl::Status& Canceled() {
  static const absl::Status status = absl::CancelledError("context canceled");
  return status;
}

// Waits until nothing can be had, though there is some: somebody waits.
void WaitUntilSomebodyWaits(Semaphore& semaphore) {
  test::Patience patience;
  while (semaphore.TryAcquire(0)) patience.Wait("nobody waits");
}

PARTY_TEST(SemaphoreTest, BoundsWhatIsHeld) {
  constexpr int64_t kSize = 5;
  constexpr int kParties = 8;
  const int64_t rounds = PartyScaled(4000);
  Semaphore semaphore(kSize);
  std::atomic<int64_t> held{0};
  Parties parties(ScaledLimit());
  parties.GoEach(kParties, [&](int party) {
    runtime::Random random(static_cast<uint64_t>(party));
    for (int64_t i = 0; i < rounds; ++i) {
      const int64_t n = random.Below(kSize + 1);
      if (random.Below(4) == 0) {
        if (!semaphore.TryAcquire(n)) continue;
      } else {
        EXPECT_TRUE(semaphore.Acquire(Background(), n).ok());
      }
      EXPECT_LE(held += n, kSize);
      if (random.Below(4) == 0) Yield();
      held -= n;
      semaphore.Release(n);
    }
  });
  parties.Join();
  EXPECT_TRUE(semaphore.TryAcquire(kSize));
}

TEST(SemaphorePanicTest, Misuse) {
  EXPECT_PANIC(Semaphore(-1), "semaphore: size < 0");
  EXPECT_PANIC(Semaphore(1).Release(1), "semaphore: released more than held");
  EXPECT_PANIC((void)Semaphore(1).Acquire(Background(), -1),
               "semaphore: n < 0");
  EXPECT_PANIC((void)Semaphore(1).TryAcquire(-1), "semaphore: n < 0");
  EXPECT_PANIC(Semaphore(1).Release(-1), "semaphore: n < 0");
}

#if GOCHAN_TEST_EXCEPTIONS
// It left the semaphore locked.
PARTY_TEST(SemaphoreTest, ANilContextPanicsAndChangesNothing) {
  auto semaphore = std::make_shared<Semaphore>(1);
  const bool blocks = test::BlocksForEver([semaphore] {
    EXPECT_PANIC((void)semaphore->Acquire(Context()), "nil");
    EXPECT_TRUE(semaphore->TryAcquire());
    EXPECT_PANIC((void)semaphore->Acquire(Context()), "nil");
    semaphore->Release();
    EXPECT_TRUE(semaphore->TryAcquire());
  });
  EXPECT_FALSE(blocks);
}
#endif

// The user's code ran in the critical section, and this waited for itself.
PARTY_TEST(SemaphoreTest, AContextMayUseTheSemaphore) {
  struct Ended final : ContextInterface {
    explicit Ended(Semaphore& semaphore) : semaphore(semaphore) {
      done.Close();
    }
    RecvChan<Unit> Done() const override {
      EXPECT_TRUE(semaphore.TryAcquire(0));
      return done;
    }
    absl::Status Err() const override {
      EXPECT_TRUE(semaphore.TryAcquire(0));
      return Canceled();
    }
    Semaphore& semaphore;
    Chan<Unit> done = MakeChan<Unit>();
  };
  auto semaphore = std::make_shared<Semaphore>(1);
  const bool blocks = test::BlocksForEver([semaphore] {
    EXPECT_EQ(
        semaphore->Acquire(FromInterface(std::make_shared<Ended>(*semaphore))),
        Canceled());
    EXPECT_TRUE(semaphore->TryAcquire());
  });
  EXPECT_FALSE(blocks);
}

PARTY_TEST(SemaphoreTest, ZeroSize) {
  Semaphore semaphore(0);
  EXPECT_TRUE(semaphore.Acquire(Background(), 0).ok());
  EXPECT_TRUE(semaphore.TryAcquire(0));
  EXPECT_FALSE(semaphore.TryAcquire());
  semaphore.Release(0);
}

PARTY_TEST(SemaphoreTest, TryAcquire) {
  Semaphore semaphore(2);
  EXPECT_TRUE(semaphore.Acquire(Background()).ok());
  EXPECT_TRUE(semaphore.TryAcquire(1));
  EXPECT_FALSE(semaphore.TryAcquire(1));
  semaphore.Release(2);
  EXPECT_TRUE(semaphore.TryAcquire(1));
  EXPECT_FALSE(semaphore.TryAcquire(2));
}

PARTY_TEST(SemaphoreTest, ADoneContextWinsOverFreeWeight) {
  Semaphore semaphore(2);
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  EXPECT_EQ(semaphore.Acquire(ctx, 1), Canceled());
  EXPECT_EQ(semaphore.Acquire(ctx, 3), Canceled());
  EXPECT_TRUE(semaphore.TryAcquire(2)) << "nothing was taken";
}

PARTY_TEST(SemaphoreTest, MoreThanThereWillEverBe) {
  Semaphore semaphore(2);
  auto [ctx, cancel] = WithCancel(Background());
  std::atomic<bool> over{false};
  Parties parties;
  parties.Go([&, ctx = ctx] {
    EXPECT_EQ(semaphore.Acquire(ctx, 3), Canceled());
    over = true;
  });
  // It is in nobody's way.
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(semaphore.Acquire(Background(), 2).ok());
    semaphore.Release(2);
    Yield();
  }
  EXPECT_FALSE(over);
  cancel();
  parties.Join();
  EXPECT_EQ(
      semaphore
          .Acquire(WithTimeout(Background(), absl::ZeroDuration()).first, 3)
          .code(),
      absl::StatusCode::kDeadlineExceeded);
}

PARTY_TEST(SemaphoreTest, FirstInFirstOut) {
  constexpr int kParties = 10;
  Semaphore semaphore(1);
  std::vector<int> order;
  EXPECT_TRUE(semaphore.TryAcquire());
  Parties parties;
  Chan<Unit> waits = MakeChan<Unit>();
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] {
      EXPECT_TRUE(semaphore.Acquire(Background()).ok());
      order.push_back(i);
      semaphore.Release();
    });
    test::Patience patience;
    while (semaphore.WaitersForTest() != i + 1) patience.Wait("it waits not");
  }
  semaphore.Release();
  parties.Join();
  ASSERT_EQ(order.size(), static_cast<std::size_t>(kParties));
  for (int i = 0; i < kParties; ++i) EXPECT_EQ(order[i], i);
}

// Go's TestLargeAcquireDoesntStarve.
PARTY_TEST(SemaphoreTest, WhoWantsMuchDoesNotStarve) {
  constexpr int kParties = 4;
  Semaphore semaphore(kParties);
  std::atomic<bool> stop{false};
  Parties parties(ScaledLimit());
  for (int i = 0; i < kParties; ++i) {
    EXPECT_TRUE(semaphore.Acquire(Background()).ok());
    parties.Go([&] {
      while (!stop.load()) {
        Yield();
        semaphore.Release();
        EXPECT_TRUE(semaphore.Acquire(Background()).ok());
      }
      semaphore.Release();
    });
  }
  EXPECT_TRUE(semaphore.Acquire(Background(), kParties).ok());
  stop = true;
  semaphore.Release(kParties);
}

// Go's TestAllocCancelDoesntStarve: one that gives up lets those behind it
// pass.
PARTY_TEST(SemaphoreTest, WhoGivesUpIsInNobodysWay) {
  Semaphore semaphore(10);
  EXPECT_TRUE(semaphore.Acquire(Background(), 1).ok());
  auto [ctx, cancel] = WithCancel(Background());
  Parties parties;
  parties.Go(
      [&, ctx = ctx] { EXPECT_EQ(semaphore.Acquire(ctx, 10), Canceled()); });
  WaitUntilSomebodyWaits(semaphore);
  parties.Go([&] {
    // Behind the other one; two at once, then.
    EXPECT_TRUE(semaphore.Acquire(Background(), 5).ok());
  });
  test::Patience patience;
  while (semaphore.WaitersForTest() != 2) patience.Wait("it waits not");
  cancel();
  parties.Join();
  EXPECT_TRUE(semaphore.TryAcquire(4));
  EXPECT_FALSE(semaphore.TryAcquire(1));
  semaphore.Release(10);
}

// Go's TestWeightedAcquireCanceled: nothing is lost or doubled, whatever comes
// first.
PARTY_TEST(SemaphoreTest, CancelledBesideARelease) {
  const int64_t rounds = PartyScaled(2000);
  for (int64_t round = 0; round < rounds; ++round) {
    Semaphore semaphore(2);
    EXPECT_TRUE(semaphore.TryAcquire(2));
    auto [ctx, cancel] = WithCancel(Background());
    Parties parties;
    parties.Go([&, ctx = ctx] {
      if (semaphore.Acquire(ctx, 2).ok()) semaphore.Release(2);
    });
    parties.Go([&, cancel = cancel] { cancel(); });
    parties.Go([&] { semaphore.Release(2); });
    parties.Join();
    EXPECT_TRUE(semaphore.TryAcquire(2));
    EXPECT_EQ(semaphore.WaitersForTest(), 0);
  }
}

}  // namespace
}  // namespace gochan

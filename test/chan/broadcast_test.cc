// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/broadcast.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "chan/internal/callback.h"
#include "chan/internal/core.h"
#include "chan/internal/slot_tree.h"
#include "chan/internal/waiter.h"
#include "gtest/gtest.h"
#include "runtime/barrier.h"
#include "runtime/park.h"
#include "runtime/source_location.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

namespace gochan::internal {
namespace {

using test::Scaled;
using test::Threads;

// A broadcast and the reference to it.
class Shared {
 public:
  Shared() : broadcast_(Broadcast::Make()) {}
  Shared(const Shared& other) : broadcast_(other.broadcast_) {
    broadcast_->Ref();
  }
  Shared& operator=(const Shared&) = delete;
  ~Shared() { broadcast_->Unref(); }
  Broadcast* operator->() const { return broadcast_; }
  Broadcast& operator*() const { return *broadcast_; }

 private:
  Broadcast* broadcast_;
};

// A select's record without a select: opens waits and is woken by nobody but
// the broadcast.
class Waiter {
 public:
  Waiter() : record_(AllocateRecord()) {}
  ~Waiter() { FreeRecord(record_); }

  void Open() {
    gen_ = NextGeneration(record_);
    record_.park.Prepare(nullptr);
    OpenClaim(record_, gen_);
  }
  Subscribed Subscribe(Broadcast& broadcast, uint32_t k) {
    return broadcast.Subscribe(record_, gen_, k);
  }
  // The case for which the wait was claimed, or -1.
  int Chosen() const {
    const Claim claim(record_.claim.load(std::memory_order_acquire));
    if (claim.gen() != gen_ || claim.state() != Claim::kTaken) return -1;
    EXPECT_EQ(claim.mode(), ClaimMode::kDirect);
    return static_cast<int>(claim.k());
  }
  bool WokenClosed() const {
    return record_.park.Result() == static_cast<uint32_t>(WakeResult::kClosed);
  }
  // Ends a wait as a select does that is served by something else.
  bool TryEndOtherwise() { return TryClaimSelf(record_, gen_); }
  void EndOtherwise() { ASSERT_TRUE(TryEndOtherwise()); }
  int Linked() const { return LinkedSubscriptionsForTest(record_); }

 private:
  Node& record_;
  uint32_t gen_ = 0;
};

TEST(BroadcastTest, FireClosesOnceAndStaysClosed) {
  Shared b;
  EXPECT_FALSE(b->Closed());
  EXPECT_FALSE(b->IsClosed());
  b->Fire();
  EXPECT_TRUE(b->Closed());
  EXPECT_TRUE(b->IsClosed());
  EXPECT_FALSE(b->Close());
  b->Fire();
  b->Wait(SourceLocation::current());  // returns at once
  EXPECT_EQ(b->kind(), Core::Kind::kBroadcast);
}

TEST(BroadcastTest, FireClaimsTheWaitForItsCase) {
  Shared b;
  Waiter w;
  w.Open();
  EXPECT_EQ(w.Subscribe(*b, 7), Subscribed::kWaiting);
  EXPECT_EQ(b->WaitersForTest(), 1);
  EXPECT_EQ(w.Chosen(), -1);
  b->Fire();
  EXPECT_EQ(w.Chosen(), 7);
  EXPECT_TRUE(w.WokenClosed());
  EXPECT_EQ(b->WaitersForTest(), 0);
  w.Open();
  EXPECT_EQ(w.Subscribe(*b, 3), Subscribed::kFired);
}

// L31: what is left behind by a wait that ended otherwise wakes nobody.
TEST(BroadcastTest, L31StaleClaimsWakeNobody) {
  Shared a;
  Shared b;
  Waiter w;
  w.Open();
  EXPECT_EQ(w.Subscribe(*a, 0), Subscribed::kWaiting);
  w.EndOtherwise();
  w.Open();
  EXPECT_EQ(w.Subscribe(*b, 1), Subscribed::kWaiting);
  a->Fire();
  EXPECT_EQ(w.Chosen(), -1);
  b->Fire();
  EXPECT_EQ(w.Chosen(), 1);
}

TEST(BroadcastTest, OneSubscriptionIsUsedAgainAndAgain) {
  Shared b;
  Waiter w;
  const uint32_t made = SubscriptionsMadeForTest();
  for (int i = 0; i < 1000; ++i) {
    w.Open();
    EXPECT_EQ(w.Subscribe(*b, 0), Subscribed::kWaiting);
    w.EndOtherwise();
  }
  EXPECT_EQ(b->SubscriptionsForTest(), 1);
  EXPECT_LE(SubscriptionsMadeForTest(), made + 64);  // one batch of the arena
}

TEST(BroadcastTest, SameBroadcastTwiceInOneWaitIsTwoSubscriptions) {
  Shared b;
  Waiter w;
  for (int round = 0; round < 3; ++round) {
    w.Open();
    EXPECT_EQ(w.Subscribe(*b, 0), Subscribed::kWaiting);
    EXPECT_EQ(w.Subscribe(*b, 1), Subscribed::kWaiting);
    EXPECT_EQ(b->SubscriptionsForTest(), 2);
    if (round < 2) w.EndOtherwise();
  }
  b->Fire();
  EXPECT_GE(w.Chosen(), 0);
}

// A wait on a thousand broadcasts leaves all of them linked; the next wait on
// others brings it back to the few that are kept.
TEST(BroadcastTest, WideWaitsAreServedAndTrimmed) {
  constexpr int kWide = 1000;
  std::vector<Shared> all(kWide);
  Waiter w;
  for (int round = 0; round < 3; ++round) {
    w.Open();
    for (int k = 0; k < kWide; ++k) {
      ASSERT_EQ(w.Subscribe(*all[k], k), Subscribed::kWaiting);
    }
    EXPECT_GE(w.Linked(), kWide);  // and a few that the record had before
    EXPECT_LE(w.Linked(), kWide + 4);
    w.EndOtherwise();
  }
  for (int k = 0; k < kWide; ++k) ASSERT_EQ(all[k]->SubscriptionsForTest(), 1);
  const uint32_t made = SubscriptionsMadeForTest();
  {
    Shared other;
    w.Open();
    EXPECT_EQ(w.Subscribe(*other, 0), Subscribed::kWaiting);
    EXPECT_LE(w.Linked(), 5);
    w.EndOtherwise();
  }
  int linked = 0;
  for (int k = 0; k < kWide; ++k) linked += all[k]->SubscriptionsForTest();
  EXPECT_LE(linked, 4);
  w.Open();
  for (int k = 0; k < kWide; ++k) {
    ASSERT_EQ(w.Subscribe(*all[k], k), Subscribed::kWaiting);
  }
  EXPECT_EQ(SubscriptionsMadeForTest(), made);  // the spare ones
  all[617]->Fire();
  EXPECT_EQ(w.Chosen(), 617);
}

TEST(BroadcastTest, IdleSubscriptionsPerRecordAreFew) {
  Waiter w;
  std::vector<Shared> all(100);
  for (Shared& b : all) {
    w.Open();
    EXPECT_EQ(w.Subscribe(*b, 0), Subscribed::kWaiting);
    w.EndOtherwise();
    EXPECT_LE(w.Linked(), 5);
  }
}

// L42: a broadcast at the address of one that died is another one.
TEST(BroadcastTest, L42MemoryReusedByAnotherBroadcast) {
  Waiter w;
  for (int i = 0; i < 100; ++i) {
    Shared b;  // the allocator gives the same address again
    w.Open();
    EXPECT_EQ(w.Subscribe(*b, i), Subscribed::kWaiting);
    EXPECT_EQ(b->SubscriptionsForTest(), 1);
    if (i % 2 == 0) {
      w.EndOtherwise();
      continue;
    }
    b->Fire();
    EXPECT_EQ(w.Chosen(), i);
  }
}

TEST(BroadcastTest, NoBarrierIfNobodyEverWaited) {
  const uint64_t before = runtime::HeavyBarriersForTest();
  {
    Shared b;
    b->Fire();
  }
  EXPECT_EQ(runtime::HeavyBarriersForTest(), before);
}

// One that has waited here often stores without a fence.
TEST(BroadcastTest, BarrierIfSomebodyIsLight) {
  for (const int uses : {1, 15, 16, 100}) {
    SCOPED_TRACE(uses);
    const uint64_t before = runtime::HeavyBarriersForTest();
    Shared b;
    Waiter w;
    for (int i = 0; i < uses; ++i) {
      if (i > 0) w.EndOtherwise();
      w.Open();
      EXPECT_EQ(w.Subscribe(*b, 7), Subscribed::kWaiting);
    }
    EXPECT_EQ(b->HasLight(), uses >= 16);
    b->Fire();
    EXPECT_EQ(w.Chosen(), 7);
    EXPECT_EQ(runtime::HeavyBarriersForTest(), before + (uses >= 16 ? 1 : 0));
  }
}

// Who comes to another broadcast starts anew.
TEST(BroadcastTest, LightnessIsNotTakenAlong) {
  Waiter w;
  for (int round = 0; round < 10; ++round) {
    Shared b;
    for (int i = 0; i < 5; ++i) {
      w.Open();
      EXPECT_EQ(w.Subscribe(*b, 1), Subscribed::kWaiting);
      w.EndOtherwise();
    }
    EXPECT_FALSE(b->HasLight());
  }
}

TEST(BroadcastTest, ThreadsWaitUntilItIsFired) {
  constexpr int kThreads = 50;
  Shared b;
  std::atomic<int> returned{0};
  Threads threads;
  threads.GoEach(kThreads, [&](int) {
    b->Wait(SourceLocation::current());
    EXPECT_TRUE(b->Closed());
    returned.fetch_add(1);
  });
  while (b->WaitersForTest() < kThreads) std::this_thread::yield();
  EXPECT_EQ(returned.load(), 0);
  b->Fire();
  threads.Join();
  EXPECT_EQ(returned.load(), kThreads);
}

// L31: whatever the order of subscribing and firing, nobody sleeps on.
TEST(BroadcastTest, L31WaitRacesFire) {
  for (int64_t round = Scaled(1000); round > 0; --round) {
    Shared b;
    std::atomic<int> ready{0};
    Threads threads;
    threads.GoEach(2, [&](int i) {
      ready.fetch_add(1);
      while (ready.load() < 2) std::this_thread::yield();
      if (i == 0) {
        b->Fire();
      } else {
        b->Wait(SourceLocation::current());
      }
    });
  }
}

// L41: subscriptions move between broadcasts while others fire; a claim that
// comes from a broadcast names a case that waits on that one.
TEST(BroadcastTest, L41SubscriptionsMoveWhileOthersFire) {
  constexpr int kBroadcasts = 12;  // more than a record keeps
  constexpr int kWaiters = 2;
  std::atomic<int64_t> claims{0};
  for (int64_t round = Scaled(200); round > 0; --round) {
    std::vector<Shared> all(kBroadcasts);
    std::atomic<int> running{0};
    std::atomic<bool> stop{false};
    Threads threads;
    threads.GoEach(kWaiters, [&](int seed) {
      Waiter w;
      uint32_t next = static_cast<uint32_t>(seed);
      running.fetch_add(1);
      while (!stop.load()) {
        w.Open();
        std::vector<int> cases;
        for (int k = 0; k < 3; ++k) {
          next = next * 1664525 + 1013904223;
          cases.push_back(static_cast<int>((next >> 16) % kBroadcasts));
          if (w.Subscribe(*all[cases.back()], k) == Subscribed::kFired) break;
        }
        if (w.TryEndOtherwise()) continue;
        const int k = w.Chosen();
        ASSERT_GE(k, 0);
        ASSERT_LT(k, static_cast<int>(cases.size()));
        ASSERT_TRUE(all[cases[k]]->Closed());
        while (!w.WokenClosed()) std::this_thread::yield();
        claims.fetch_add(1);
      }
    });
    while (running.load() < kWaiters) std::this_thread::yield();
    for (Shared& b : all) b->Fire();
    stop.store(true);
  }
  RecordProperty("claims", static_cast<int>(claims.load()));
}

// -----------------------------------------------------------------------------
// SlotTree
// -----------------------------------------------------------------------------

TEST(SlotTreeTest, EntriesAreFoundAndRemovedAndBlocksUsedAgain) {
  SlotTree tree;
  EXPECT_TRUE(tree.Untouched());
  EXPECT_FALSE(tree.First());
  uint32_t blocks = 0;
  for (int round = 0; round < 5; ++round) {
    constexpr uint64_t kEntries = 10000;
    std::vector<Atomic<uint64_t>> positions(kEntries);
    for (uint64_t i = 0; i < kEntries; ++i) {
      tree.Insert({i + 1, 99}, i * 0x9e3779b97f4a7c15, positions[i]);
    }
    std::vector<bool> found(kEntries);
    for (SlotRef slot = tree.First(); slot; slot = SlotTree::Next(slot)) {
      const Pair64 entry = SlotTree::At(slot).Load();
      if (entry.lo == 0) continue;
      ASSERT_EQ(entry.hi, 99u);
      ASSERT_FALSE(found[entry.lo - 1]);
      found[entry.lo - 1] = true;
    }
    for (uint64_t i = 0; i < kEntries; ++i) {
      ASSERT_TRUE(found[i]);
      Pair64 entry{i + 1, 99};
      const SlotRef slot(positions[i].load(std::memory_order_relaxed));
      ASSERT_TRUE(SlotTree::At(slot).CompareExchange(entry, {}));
    }
    if (round == 0) blocks = SlotTree::BlocksForTest();
  }
  EXPECT_EQ(SlotTree::BlocksForTest(), blocks);
  tree.Release();
  EXPECT_TRUE(tree.Untouched());
}

TEST(SlotTreeTest, ThreadsInsertAndRemoveAtOnce) {
  SlotTree tree;
  {
    Threads threads;
    threads.GoEach(4, [&](int t) {
      Atomic<uint64_t> position;
      for (int64_t i = Scaled(20000); i > 0; --i) {
        Pair64 entry{static_cast<uint64_t>(t + 1), static_cast<uint64_t>(i)};
        tree.Insert(entry, static_cast<uint64_t>(i), position);
        const SlotRef slot(position.load(std::memory_order_relaxed));
        ASSERT_TRUE(SlotTree::At(slot).CompareExchange(entry, {}));
      }
    });
  }
  for (SlotRef slot = tree.First(); slot; slot = SlotTree::Next(slot)) {
    EXPECT_EQ(SlotTree::At(slot).Load().lo, 0u);
  }
  tree.Release();
}

// -----------------------------------------------------------------------------
// Callback
// -----------------------------------------------------------------------------

struct Calls {
  std::atomic<int> ready{0};
  std::atomic<int> stopped{0};
  static void Function(void* arg, bool ready) {
    auto* calls = static_cast<Calls*>(arg);
    (ready ? calls->ready : calls->stopped).fetch_add(1);
  }
};

Core* NewChannel(std::ptrdiff_t capacity) {
  static constexpr ElementOps kOps = {
      .size = 1,
      .align = 1,
      .counted_only = true,
      .move = [](void*, void*) {},
      .destroy = [](void*) {},
      .name = [] { return std::string_view("nothing"); },
  };
  return Core::Make(kOps, capacity);
}

TEST(CallbackTest, RunsWhenTheChannelIsClosed) {
  for (const std::ptrdiff_t capacity : {0, 1, -1}) {
    Calls calls;
    Core* core = capacity < 0 ? Broadcast::Make() : NewChannel(capacity);
    Callback* callback = Callback::Start(*core, &Calls::Function, &calls);
    EXPECT_EQ(calls.ready.load(), 0);
    if (capacity < 0) {
      static_cast<Broadcast*>(core)->Fire();
    } else {
      core->Close();
    }
    EXPECT_EQ(calls.ready.load(), 1);
    callback->Stop();
    Callback::Start(*core, &Calls::Function, &calls)->Stop();
    EXPECT_EQ(calls.ready.load(), 2);  // ready at once
    EXPECT_EQ(calls.stopped.load(), 0);
    core->Unref();
  }
}

TEST(CallbackTest, StoppedOneLeavesTheChannel) {
  for (const std::ptrdiff_t capacity : {0, 1, -1}) {
    Calls calls;
    Core* core = capacity < 0 ? Broadcast::Make() : NewChannel(capacity);
    Callback* first = Callback::Start(*core, &Calls::Function, &calls);
    Callback* second = Callback::Start(*core, &Calls::Function, &calls);
    second->Stop();
    first->Stop();
    EXPECT_EQ(calls.stopped.load(), 2);
    EXPECT_EQ(calls.ready.load(), 0);
    if (capacity >= 0) {
      EXPECT_EQ(core->WaitersForTest(), 0);
      std::string why;
      EXPECT_TRUE(core->CheckInvariants(&why)) << why;
    }
    core->Unref();
  }
}

TEST(CallbackTest, StopRacesClose) {
  for (const std::ptrdiff_t capacity : {0, 1, -1}) {
    for (int64_t round = Scaled(300); round > 0; --round) {
      Calls calls;
      Core* core = capacity < 0 ? Broadcast::Make() : NewChannel(capacity);
      Callback* callback = Callback::Start(*core, &Calls::Function, &calls);
      std::atomic<int> ready{0};
      Threads threads;
      threads.GoEach(2, [&](int i) {
        ready.fetch_add(1);
        while (ready.load() < 2) std::this_thread::yield();
        if (i == 0) {
          callback->Stop();
        } else if (capacity < 0) {
          static_cast<Broadcast*>(core)->Fire();
        } else {
          core->Close();
        }
      });
      threads.Join();
      ASSERT_EQ(calls.ready.load() + calls.stopped.load(), 1);
      core->Unref();
    }
  }
}

}  // namespace
}  // namespace gochan::internal

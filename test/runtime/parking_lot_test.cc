// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/parking_lot.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/wait_reason.h"
#include "test/util/asleep.h"
#include "test/util/parties.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

using test::Asleep;
using test::Parties;
using test::WaitUntilAsleep;

using ParkingLotTest = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(ParkingLotTest);

struct Object {
  Atomic<uint32_t> word;
};

ParkRequest On(Object& object, unsigned queue = 0) {
  ParkRequest request;
  request.object = &object;
  request.queue = queue;
  return request;
}

bool WakeFirst(Object& object, unsigned queue, uint32_t token) {
  Sleeper* sleeper;
  {
    LotGuard lot(&object);
    sleeper = lot.TakeFirst(queue);
  }
  if (sleeper != nullptr) sleeper->Wake(token);
  return sleeper != nullptr;
}

PARTY_TEST(ParkingLotTest, ACheckThatSaysNoEndsTheWait) {
  Object object;
  ParkRequest request = On(object);
  request.check = [](void*) { return false; };
  request.parked = [](void*) { ADD_FAILURE() << "it is not parked"; };
  EXPECT_EQ(Park(request), kNotParked);
  EXPECT_EQ(Asleep(object), 0u);
}

PARTY_TEST(ParkingLotTest, WakesWithATokenFirstInFirstOut) {
  constexpr int kParties = 10;
  Object object;
  std::vector<uint32_t> tokens(kParties);
  Parties parties;
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] { tokens[i] = Park(On(object)); });
    WaitUntilAsleep(object, i + 1);
  }
  for (int i = 0; i < kParties; ++i) {
    EXPECT_TRUE(WakeFirst(object, 0, kFirstToken + i));
  }
  EXPECT_FALSE(WakeFirst(object, 0, kFirstToken));
  parties.Join();
  for (int i = 0; i < kParties; ++i) EXPECT_EQ(tokens[i], kFirstToken + i);
}

PARTY_TEST(ParkingLotTest, WhoComesFirstOfAllIsWokenFirst) {
  Object object;
  std::vector<uint32_t> tokens(4);
  Parties parties;
  for (int i = 0; i < 4; ++i) {
    parties.Go([&, i] {
      ParkRequest request = On(object);
      request.first = i >= 2;
      request.since = 100 + i;
      tokens[i] = Park(request);
    });
    WaitUntilAsleep(object, i + 1);
  }
  const int order[] = {3, 2, 0, 1};
  for (int i = 0; i < 4; ++i) {
    {
      LotGuard lot(&object);
      EXPECT_EQ(lot.First(0)->since(), 100 + order[i]);
    }
    EXPECT_TRUE(WakeFirst(object, 0, kFirstToken + i));
  }
  parties.Join();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(tokens[order[i]], kFirstToken + i);
}

PARTY_TEST(ParkingLotTest, ParkedRunsWhenItCanBeFound) {
  Object object;
  struct Witness {
    Object* object;
    std::atomic<bool> called{false};
  } witness{&object};
  ParkRequest request = On(object);
  request.parked = [](void* arg) {
    auto* witness = static_cast<Witness*>(arg);
    EXPECT_EQ(Asleep(*witness->object), 1u);
    witness->called = true;
    EXPECT_TRUE(WakeFirst(*witness->object, 0, kFirstToken + 7));
  };
  request.arg = &witness;
  EXPECT_EQ(Park(request), kFirstToken + 7);
  EXPECT_TRUE(witness.called);
}

PARTY_TEST(ParkingLotTest, QueuesOfOneObjectAreApart) {
  Object object;
  std::vector<uint32_t> tokens(2 * LotGuard::kQueues);
  Parties parties;
  for (unsigned i = 0; i < tokens.size(); ++i) {
    parties.Go([&, i] { tokens[i] = Park(On(object, i % LotGuard::kQueues)); });
    WaitUntilAsleep(object, i + 1);
  }
  for (unsigned queue = 0; queue < LotGuard::kQueues; ++queue) {
    SleeperList sleepers;
    {
      LotGuard lot(&object);
      EXPECT_EQ(lot.Count(queue), 2u);
      sleepers = lot.TakeAll(queue);
      EXPECT_TRUE(lot.Empty(queue));
    }
    EXPECT_EQ(sleepers.size(), 2u);
    sleepers.WakeAll(kFirstToken + queue);
    EXPECT_TRUE(sleepers.empty());
  }
  parties.Join();
  for (unsigned i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i], kFirstToken + i % LotGuard::kQueues);
  }
}

// Many objects, so that each bucket's tree is deep, and queues that lose their
// first, their last and all, in a random order.
PARTY_TEST(ParkingLotTest, ManyObjects) {
  const bool threads =
      test::current_setting.kind != test::PartyKind::kGoroutines;
  const int kObjects = threads ? 40 : static_cast<int>(test::Scaled(4000));
  constexpr int kEach = 3;
  auto objects = std::make_unique<Object[]>(kObjects);
  std::vector<uint32_t> tokens(kObjects * kEach);
  Parties parties(test::ScaledLimit());
  for (int i = 0; i < kObjects * kEach; ++i) {
    parties.Go([&, i] { tokens[i] = Park(On(objects[i % kObjects])); });
  }
  for (int i = 0; i < kObjects; ++i) WaitUntilAsleep(objects[i], kEach);

  std::vector<int> order(kObjects);
  std::iota(order.begin(), order.end(), 0);
  Random random(42);
  for (int i = kObjects - 1; i > 0; --i) {
    std::swap(order[i], order[random.Below(static_cast<uint32_t>(i) + 1)]);
  }
  for (const int i : order) {
    switch (random.Below(3)) {
      case 0:
        EXPECT_TRUE(WakeFirst(objects[i], 0, kFirstToken + i));
        break;
      case 1: {
        SleeperList all;
        {
          LotGuard lot(&objects[i]);
          all = lot.TakeAll(0);
        }
        EXPECT_EQ(all.size(), static_cast<std::size_t>(kEach));
        all.WakeAll(kFirstToken + i);
        break;
      }
      default:
        break;
    }
  }
  for (const int i : order) {
    while (WakeFirst(objects[i], 0, kFirstToken + i)) {
    }
    EXPECT_EQ(Asleep(objects[i]), 0u);
  }
  parties.Join();
  for (int i = 0; i < kObjects * kEach; ++i) {
    EXPECT_EQ(tokens[i], kFirstToken + i % kObjects);
  }
}

// As RunMain() does with goroutines that are left; here they are woken after
// all, so that the test can end.
PARTY_TEST(ParkingLotTest, WithdrawSleepersTakesWhomItIsTold) {
  constexpr int kParties = 60;
  constexpr int kObjects = 5;
  Object objects[kObjects];
  std::vector<uint32_t> tokens(kParties);
  std::vector<const Party*> gone(kParties);
  Parties parties;
  for (int i = 0; i < kParties; ++i) {
    parties.Go([&, i] {
      gone[i] = i % 3 == 0 ? &CurrentParty() : nullptr;
      tokens[i] = Park(On(objects[i % kObjects], i % 2));
    });
    WaitUntilAsleep(objects[i % kObjects], i / kObjects + 1);
  }
  SleeperList withdrawn = WithdrawSleepers(
      [](const Party& party, void* arg) {
        const auto& all = *static_cast<std::vector<const Party*>*>(arg);
        return std::find(all.begin(), all.end(), &party) != all.end();
      },
      &gone);
  EXPECT_EQ(withdrawn.size(), static_cast<std::size_t>(kParties / 3));
  withdrawn.WakeAll(kFirstToken);
  // The others are where they were, in their order.
  for (int i = 0; i < kParties; ++i) {
    if (i % 3 != 0) {
      EXPECT_TRUE(WakeFirst(objects[i % kObjects], i % 2, kFirstToken + i));
    }
  }
  for (Object& object : objects) EXPECT_EQ(Asleep(object), 0u);
  parties.Join();
  for (int i = 0; i < kParties; ++i) {
    EXPECT_EQ(tokens[i], kFirstToken + (i % 3 == 0 ? 0 : i));
  }
}

// A binary semaphore made of a word and the lot, used by all at once: no
// wake-up is lost, and the word excludes.
struct Gate {
  static constexpr uint32_t kFree = 0, kHeld = 1, kWanted = 2;

  void Enter() {
    for (;;) {
      uint32_t state = kFree;
      if (word.compare_exchange(state, kHeld, std::memory_order_acquire)) {
        return;
      }
      if (state == kHeld &&
          !word.compare_exchange(state, kWanted, std::memory_order_relaxed)) {
        continue;
      }
      ParkRequest request;
      request.object = this;
      request.check = [](void* gate) {
        return static_cast<Gate*>(gate)->word.load(std::memory_order_relaxed) ==
               kWanted;
      };
      if (Park(request) == kFirstToken) return;
    }
  }
  void Leave() {
    uint32_t state = kHeld;
    if (word.compare_exchange(state, kFree, std::memory_order_release)) return;
    Sleeper* next;
    {
      LotGuard lot(this);
      next = lot.TakeFirst(0);
      word.store(next == nullptr ? kFree
                 : lot.Empty(0)  ? kHeld
                                 : kWanted,
                 std::memory_order_release);
    }
    if (next != nullptr) next->Wake(kFirstToken);
  }

  Atomic<uint32_t> word;
};

PARTY_TEST(ParkingLotTest, NoWakeUpIsLost) {
  constexpr int kParties = 6;
  constexpr int kGates = 3;
  const int64_t rounds = test::PartyScaled(20000);
  Gate gates[kGates];
  int64_t entered[kGates] = {};
  Parties parties(test::ScaledLimit());
  parties.GoEach(kParties, [&](int party) {
    Random random(static_cast<uint64_t>(party));
    for (int64_t i = 0; i < rounds; ++i) {
      const uint32_t g = random.Below(kGates);
      gates[g].Enter();
      ++entered[g];
      if (random.Below(16) == 0) Yield();
      gates[g].Leave();
    }
  });
  parties.Join();
  EXPECT_EQ(entered[0] + entered[1] + entered[2], kParties * rounds);
}

}  // namespace
}  // namespace gochan::runtime

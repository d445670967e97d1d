// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/run_queue.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

struct Item {
  Item* next_runnable = nullptr;
  int number = 0;
  std::atomic<int> taken{0};
};
using Queue = RunQueue<Item>;

class RunQueueTest : public ::testing::Test {
 protected:
  explicit RunQueueTest() : items_(2'000) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      items_[i].number = static_cast<int>(i);
    }
  }
  Item* At(int i) { return &items_[static_cast<std::size_t>(i)]; }
  static int Number(const Item* item) {
    return item == nullptr ? -1 : item->number;
  }

  std::vector<Item> items_;
  Queue queue_, other_;
};

TEST_F(RunQueueTest, IsFirstInFirstOut) {
  EXPECT_TRUE(queue_.Empty());
  EXPECT_EQ(queue_.Take(), nullptr);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(queue_.Push(At(i), false));
  EXPECT_FALSE(queue_.Empty());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Number(queue_.Take()), i);
  EXPECT_EQ(queue_.Take(), nullptr);
  EXPECT_TRUE(queue_.Empty());
}

// Private ones, ring and backlog keep their order, refilled or not.
TEST_F(RunQueueTest, KeepsItsOrderWhenItOverflows) {
  for (const bool hide : {false, true}) {
    int in = 0, out = 0;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 600; ++i) queue_.Push(At(in++), hide);
      for (int i = 0; i < 200; ++i) ASSERT_EQ(Number(queue_.Take()), out++);
    }
    while (out < in) ASSERT_EQ(Number(queue_.Take()), out++);
    EXPECT_EQ(queue_.Take(), nullptr);
    EXPECT_TRUE(queue_.Empty());
  }
}

// New ones that do not fit: the newest first, and in turns with those woken.
TEST_F(RunQueueTest, WalksInDepthBehindTheRing) {
  const int ring = static_cast<int>(Queue::kRing);
  for (int i = 0; i < ring; ++i) queue_.Push(At(i), false, true);
  for (int i = 0; i < 100; ++i) {
    queue_.Push(At(1000 + i), false, true);
    queue_.Push(At(1500 + i), false, false);
  }
  for (int i = 0; i < ring; ++i) ASSERT_EQ(Number(queue_.Take()), i);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(Number(queue_.Take()), 1099 - i);
    ASSERT_EQ(Number(queue_.Take()), 1500 + i);
  }
  EXPECT_EQ(queue_.Take(), nullptr);
  EXPECT_TRUE(queue_.Empty());
}

// However many come after them, those that have aged get their turn.
TEST_F(RunQueueTest, NewOnesDoNotWaitForEver) {
  const int ring = static_cast<int>(Queue::kRing);
  for (int i = 0; i < ring + 10; ++i) queue_.Push(At(i), false, true);
  queue_.Age();
  const int oldest = ring + 9;  // was first in the list of new ones
  int in = 1000;
  int taken = -1;
  for (int i = 0; i < 2 * ring && taken != oldest; ++i) {
    queue_.Push(At(in++), false, true);
    queue_.Push(At(in++), false, true);
    taken = Number(queue_.Take());
    queue_.Age();  // the first ones come first
  }
  EXPECT_EQ(taken, oldest);
}

TEST_F(RunQueueTest, NextIsDisplaced) {
  EXPECT_EQ(queue_.TakeNext(), nullptr);
  EXPECT_EQ(queue_.PushNext(At(1)), nullptr);
  EXPECT_EQ(Number(queue_.PushNext(At(2))), 1);
  EXPECT_FALSE(queue_.Empty());
  EXPECT_EQ(Number(queue_.TakeNext()), 2);
  EXPECT_TRUE(queue_.Empty());
}

TEST_F(RunQueueTest, InboxComesLastAndInOrder) {
  for (int i = 10; i < 15; ++i) queue_.Send(At(i));
  queue_.Push(At(1), false);
  EXPECT_FALSE(queue_.InboxLooksEmpty());
  EXPECT_EQ(Number(queue_.Take()), 1);
  for (int i = 10; i < 15; ++i) EXPECT_EQ(Number(queue_.Take()), i);
  EXPECT_EQ(queue_.Take(), nullptr);
}

TEST_F(RunQueueTest, StealsTheOlderHalf) {
  for (int i = 0; i < 9; ++i) queue_.Push(At(i), false);
  EXPECT_EQ(Number(queue_.StealHalf(other_)), 0);
  for (int i = 1; i < 5; ++i) EXPECT_EQ(Number(other_.Take()), i);
  EXPECT_EQ(other_.Take(), nullptr);
  for (int i = 5; i < 9; ++i) EXPECT_EQ(Number(queue_.Take()), i);
  EXPECT_EQ(queue_.StealHalf(other_), nullptr);
}

TEST_F(RunQueueTest, StealsTheInbox) {
  EXPECT_EQ(queue_.StealInbox(other_), nullptr);
  for (int i = 0; i < 3; ++i) queue_.Send(At(i));
  EXPECT_EQ(Number(queue_.StealInbox(other_)), 0);
  EXPECT_EQ(Number(other_.Take()), 1);
  EXPECT_EQ(Number(other_.Take()), 2);
  EXPECT_TRUE(queue_.Empty());
}

// What is hidden, what waits behind the ring, and who was woken last.
TEST_F(RunQueueTest, StealsThePrivatePart) {
  EXPECT_EQ(queue_.StealPrivate(other_), nullptr);
  EXPECT_FALSE(queue_.Push(At(0), true));
  EXPECT_FALSE(queue_.Push(At(1), true));
  EXPECT_EQ(queue_.PushNext(At(2)), nullptr);
  EXPECT_TRUE(queue_.PrivateLooksFull());
  EXPECT_EQ(queue_.StealHalf(other_), nullptr);
  EXPECT_EQ(Number(queue_.StealPrivate(other_)), 0);
  EXPECT_EQ(Number(other_.Take()), 1);
  EXPECT_EQ(Number(other_.Take()), 2);
  EXPECT_TRUE(queue_.Empty());
  for (int i = 0; i < 300; ++i) queue_.Push(At(i), false);
  EXPECT_EQ(Number(queue_.StealPrivate(other_)), 256);
  for (int i = 257; i < 300; ++i) ASSERT_EQ(Number(other_.Take()), i);
  for (int i = 0; i < 256; ++i) ASSERT_EQ(Number(queue_.Take()), i);
  EXPECT_TRUE(queue_.Empty());
}

// New ones stay new ones: newest first, in turns with those woken.
TEST_F(RunQueueTest, StealsTheBacklogAsItIs) {
  constexpr int kRing = static_cast<int>(Queue::kRing);
  for (int i = 0; i < kRing + 2; ++i) queue_.Push(At(i), false);
  for (int i = kRing + 2; i < kRing + 5; ++i) {
    queue_.Push(At(i), false, /*fresh=*/true);
  }
  ASSERT_EQ(Number(queue_.StealPrivate(other_)), kRing + 4);
  for (const int i : {kRing, kRing + 3, kRing + 1, kRing + 2}) {
    EXPECT_EQ(Number(other_.Take()), i);
  }
  EXPECT_TRUE(other_.Empty());
  for (int i = 0; i < kRing; ++i) ASSERT_EQ(Number(queue_.Take()), i);
  EXPECT_TRUE(queue_.Empty());
}

// What was hidden is found by thieves, in its order.
TEST_F(RunQueueTest, UnhidesTheBatch) {
  EXPECT_FALSE(queue_.Unhide());
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(queue_.Push(At(i), true));
  EXPECT_EQ(queue_.Length(), 100u);
  EXPECT_EQ(queue_.StealHalf(other_), nullptr);
  EXPECT_TRUE(queue_.Unhide());
  EXPECT_FALSE(queue_.Unhide());
  EXPECT_EQ(queue_.Length(), 100u);
  EXPECT_EQ(Number(queue_.StealHalf(other_)), 0);
  for (int i = 50; i < 100; ++i) ASSERT_EQ(Number(queue_.Take()), i);
  EXPECT_TRUE(queue_.Empty());
}

// Not before those that are in the ring already.
TEST_F(RunQueueTest, UnhidesOnlyIntoAnEmptyRing) {
  queue_.Push(At(0), true);
  queue_.Push(At(1), false);
  EXPECT_FALSE(queue_.Unhide());
  for (int i = 0; i < 2; ++i) ASSERT_EQ(Number(queue_.Take()), i);
}

// An owner that is inside keeps thieves out, and one who rotates is inside
// until the end.
TEST_F(RunQueueTest, TheOwnerInsideRefuses) {
  queue_.Push(At(0), true);
  Item* const oldest = queue_.Rotate(At(1));
  EXPECT_EQ(Number(oldest), 0);
  EXPECT_EQ(queue_.StealPrivate(other_), nullptr);
  queue_.rotate_lock().store(0, std::memory_order_release);
  EXPECT_EQ(Number(queue_.StealPrivate(other_)), 1);
  EXPECT_EQ(queue_.Rotate(At(0)), nullptr);  // nobody to take turns with
  EXPECT_TRUE(queue_.Empty());
}

// One owner, two thieves with queues of their own, one who sends: each item is
// taken once.
TEST(RunQueueStress, EachIsTakenOnce) {
  const auto n = static_cast<std::size_t>(test::Scaled(100'000));
  std::vector<Item> items(2 * n);
  Queue queue;
  std::atomic<std::size_t> taken{0};
  const auto take = [&](Item* item) {
    if (item == nullptr) return;
    ++item->taken;
    ++taken;
  };
  std::vector<std::thread> threads;
  threads.emplace_back([&] {  // the owner
    for (std::size_t i = 0; i < n; ++i) {
      Item* item = &items[i];
      if (i % 3 == 0) item = queue.PushNext(item);
      if (item != nullptr) queue.Push(item, i % 2 == 0);
      if (i % 5 == 0) take(queue.TakeNext());
      if (i % 4 != 0) take(queue.Take());
      if (i % 7 == 0) (void)queue.Unhide();
    }
    while (taken != 2 * n) {
      take(queue.TakeNext());
      take(queue.Take());
      std::this_thread::yield();
    }
  });
  threads.emplace_back([&] {
    for (std::size_t i = n; i < 2 * n; ++i) queue.Send(&items[i]);
  });
  for (int k = 0; k < 2; ++k) {
    threads.emplace_back([&, k] {
      auto mine = std::make_unique<Queue>();
      for (int i = k; taken != 2 * n; ++i) {
        take(i % 3 == 0   ? queue.StealHalf(*mine)
             : i % 3 == 1 ? queue.StealPrivate(*mine)
                          : queue.StealInbox(*mine));
        while (Item* const item = mine->Take()) take(item);
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Item& item : items) ASSERT_EQ(item.taken, 1);
  EXPECT_TRUE(queue.Empty());
}

}  // namespace
}  // namespace gochan::runtime

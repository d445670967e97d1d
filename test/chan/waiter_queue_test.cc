// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The queue's segments by themselves: the test plays the channel and keeps the
// counters. What interleavings do is for test/model.

#include "chan/internal/waiter_queue.h"

#include <cstdint>
#include <deque>
#include <string>

#include "gtest/gtest.h"

namespace gochan::internal {
namespace {

constexpr uint32_t kCells = Segment::kCells;

class WaiterQueueTest : public testing::Test {
 protected:
  void SetUp() override { state_.Init(Word::Preset(0, true, 0)); }
  void TearDown() override {
    std::string why;
    EXPECT_TRUE(queue_.CheckInvariants(word(), &why)) << why;
  }

  Word word() const { return state_.ReadExact(); }

  // Installs the next waiter and counts it.
  Place Enter() {
    Place place;
    Cell cell = Cell::Void();
    const WaiterId id = WaiterId::Make(++last_, 1, true, Dir::kRecv, false);
    EXPECT_EQ(queue_.FindTail(word().tail(), state_, &place, &cell),
              WaiterQueue::Found::kPlace);
    EXPECT_EQ(cell.tag(), Cell::kEmpty);
    EXPECT_TRUE(queue_.Install(place, id, state_));
    EXPECT_FALSE(queue_.Install(place, id, state_)) << "a place is taken once";
    EXPECT_TRUE(state_.Swap(word(), word().Count(Dir::kRecv)));
    return place;
  }

  // The head moves to `position`, as any skip or pop does it.
  void PassTo(uint64_t position) {
    const uint32_t counter =
        static_cast<uint32_t>(position) & Word::kCounterMask;
    const bool last =
        counter == word().tail() && queue_.EndsAt(position, word().tail());
    EXPECT_TRUE(state_.Swap(word(), word().PassTo(counter, last)));
  }

  // Who stands at the head; passes gaps and dead places on the way.
  Place Head() {
    for (;;) {
      Place place;
      Cell cell = Cell::Void();
      switch (queue_.FindHead(word().head(), &place, &cell)) {
        case WaiterQueue::Found::kPlace:
          if (!cell.done()) return place;
          PassTo(place.position() + 1);
          break;
        case WaiterQueue::Found::kGap:
          EXPECT_TRUE(queue_.MayJumpTo(place.base));
          PassTo(place.base);
          queue_.Clean(state_);  // the head hint follows
          break;
        case WaiterQueue::Found::kStale:
          ADD_FAILURE() << "nothing changes here";
          return place;
      }
    }
  }

  void Serve(const Place& place) {
    PassTo(place.position() + 1);
    queue_.Finish(place, state_);
  }

  StateWord state_;
  WaiterQueue queue_;
  uint32_t last_ = 0;
};

TEST_F(WaiterQueueTest, ServesInOrderAndKeepsTwoSegments) {
  std::deque<uint64_t> waiting;
  for (uint32_t i = 0; i < 10 * kCells; ++i) {
    waiting.push_back(Enter().position());
    waiting.push_back(Enter().position());
    const Place head = Head();
    EXPECT_EQ(head.position(), waiting.front());
    waiting.pop_front();
    Serve(head);
  }
  while (!waiting.empty()) {
    const Place head = Head();
    EXPECT_EQ(head.position(), waiting.front());
    waiting.pop_front();
    Serve(head);
  }
  EXPECT_FALSE(word().busy());
  queue_.Clean(state_);
  EXPECT_LE(queue_.SegmentsForTest(), 2);
}

TEST_F(WaiterQueueTest, LeaversBehindAParkedHeadCostNoMemory) {
  const Place parked = Enter();
  for (uint32_t i = 0; i < 1000 * kCells; ++i) queue_.Void(Enter(), state_);
  EXPECT_LE(queue_.SegmentsForTest(), 4);
  EXPECT_EQ(Head().position(), parked.position());
  Serve(parked);
  const Place next = Enter();
  EXPECT_EQ(Head().position(), next.position()) << "the gap is passed";
  Serve(next);
  EXPECT_FALSE(word().busy());
}

TEST_F(WaiterQueueTest, ALongQueueIsNotWalkedForEveryAppend) {
  for (uint32_t i = 0; i < 300 * kCells; ++i) Enter();
  EXPECT_EQ(queue_.SegmentsForTest(), 300);
  while (word().busy()) Serve(Head());
  queue_.Clean(state_);
  EXPECT_LE(queue_.SegmentsForTest(), 1);
}

// 31 bits of the tail come round to the head's while its waiter is still
// parked.
TEST_F(WaiterQueueTest, L37TwoBillionRoundsBehindAParkedHead) {
  const Place parked = Enter();
  uint64_t end = queue_.SkipPlacesForTest((uint64_t{1} << 31) - kCells);
  state_.Init(word().SkipForTest(end - word().tail()));
  // Until the tail's counter is the one behind the parked place.
  Place last;
  while (word().tail() != ((parked.counter() + 1) & Word::kCounterMask)) {
    last = Enter();
    ++end;
  }
  EXPECT_TRUE(queue_.EndsAt(end, word().tail()));
  EXPECT_FALSE(queue_.EndsAt(parked.position() + 1, word().tail()));
  Serve(parked);
  EXPECT_TRUE(word().busy()) << "those who came later are still there";
  while (word().busy()) {
    const Place head = Head();
    EXPECT_GT(head.position(), uint64_t{1} << 30);
    Serve(head);
  }
  EXPECT_EQ(word().head(), word().tail());
}

// The counters start just below their wrap.
TEST(WaiterQueueWrapTest, L35CountersNearTheirWrap) {
  StateWord state;
  WaiterQueue queue;
  state.Init(Word::Preset(0, true, Word::kCounterMask - kCells));
  for (uint32_t i = 0; i < 3 * kCells; ++i) {
    Place place, head;
    Cell cell = Cell::Void();
    const Word word = state.ReadExact();
    ASSERT_EQ(queue.FindTail(word.tail(), state, &place, &cell),
              WaiterQueue::Found::kPlace);
    ASSERT_TRUE(queue.Install(
        place, WaiterId::Make(i + 1, 1, false, Dir::kRecv, false), state));
    ASSERT_TRUE(state.Swap(word, word.Count(Dir::kRecv)));
    const Word counted = state.ReadExact();
    ASSERT_EQ(queue.FindHead(counted.head(), &head, &cell),
              WaiterQueue::Found::kPlace);
    ASSERT_EQ(head.position(), place.position());
    ASSERT_TRUE(queue.EndsAt(head.position() + 1, counted.tail()));
    ASSERT_TRUE(state.Swap(
        counted, counted.PassTo(static_cast<uint32_t>(head.position() + 1),
                                /*last=*/true)));
    queue.Finish(head, state);
  }
  std::string why;
  EXPECT_TRUE(queue.CheckInvariants(state.ReadExact(), &why)) << why;
}

}  // namespace
}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The timers of a worker. The test's threads play the workers: each says that a
// queue is its own, as the scheduler does.

#include "runtime/timer_queue.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/timers.h"

namespace gochan::runtime {
namespace {

constexpr MonotonicNanos kHour = 3'600'000'000'000;

// Queues outlive all timers, as those of workers do.
TimerQueue& NewQueue() {
  static auto* const queues = new std::vector<std::unique_ptr<TimerQueue>>;
  queues->push_back(std::make_unique<TimerQueue>());
  return *queues->back();
}

// The calling thread is the worker that owns `queue`, for as long as this
// lives.
class AsOwner {
 public:
  explicit AsOwner(TimerQueue& queue)
      : saved_(std::exchange(CurrentParty().timers, &queue)) {}
  ~AsOwner() { CurrentParty().timers = saved_; }

 private:
  TimerQueue* const saved_;
};

void MustNotRun(void*) { ADD_FAILURE() << "a stopped timer's callback ran"; }
void Nothing(void*) {}

struct Letter {
  char letter;
  std::string* out;
  static void Append(void* self) {
    auto* letter = static_cast<Letter*>(self);
    *letter->out += letter->letter;
  }
};

// Holds the lock of `queue`, as a worker that fires its timers and is slow,
// while it is alive. Needs a queue without timers.
class Busy {
 public:
  explicit Busy(TimerQueue& queue) : queue_(queue) {
    {
      AsOwner owner(queue);
      timer_.Start(
          1,
          [](void* self) {
            auto* busy = static_cast<Busy*>(self);
            busy->entered_.store(true);
            busy->entered_.notify_all();
            busy->leave_.wait(false);
          },
          this);
    }
    thread_ = std::thread([this] { EXPECT_EQ(queue_.RunDue(1), 1u); });
    entered_.wait(false);
  }
  ~Busy() {
    leave_.store(true);
    leave_.notify_all();
    thread_.join();
  }

 private:
  TimerQueue& queue_;
  std::atomic<bool> entered_{false}, leave_{false};
  Timer timer_;
  std::thread thread_;
};

TEST(TimerQueueTest, FiresWhatIsDueInOrderOfDeadlines) {
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  EXPECT_EQ(queue.NextDeadline(), kNever);
  EXPECT_EQ(queue.PrepareToSleep(), kNever);
  std::string out;
  Letter a{'a', &out}, b{'b', &out}, c{'c', &out};
  Timer ta, tb, tc;
  tc.Start(300, &Letter::Append, &c);
  EXPECT_EQ(queue.NextDeadline(), 300);
  ta.Start(100, &Letter::Append, &a);
  tb.Start(200, &Letter::Append, &b);
  EXPECT_EQ(queue.NextDeadline(), 100);
  EXPECT_EQ(PendingTimers(), 3u);
  EXPECT_EQ(queue.RunDue(99), 0u);
  EXPECT_EQ(queue.RunDue(200), 2u);
  EXPECT_EQ(out, "ab");
  EXPECT_EQ(queue.NextDeadline(), 300);
  EXPECT_EQ(queue.PrepareToSleep(), 300);
  EXPECT_FALSE(ta.Stop());
  EXPECT_EQ(queue.RunDue(1000), 1u);
  EXPECT_EQ(out, "abc");
  EXPECT_EQ(queue.NextDeadline(), kNever);
  EXPECT_EQ(FindTimerThatWakes(1), TimersLeft::kNoneWakes);
}

TEST(TimerQueueTest, AStoppedTimerIsNoReasonToWakeUp) {
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  Timer early, late;
  early.Start(100, &MustNotRun, nullptr);
  late.Start(200, &Nothing, nullptr);
  EXPECT_TRUE(early.Stop());
  EXPECT_EQ(queue.NextDeadline(), 100);  // a lower bound
  EXPECT_EQ(queue.PrepareToSleep(), 200);
  EXPECT_EQ(queue.NextDeadline(), 200);
  EXPECT_TRUE(late.Stop());
  EXPECT_EQ(queue.RunDue(1000), 0u);
  EXPECT_EQ(queue.NextDeadline(), kNever);
}

TEST(TimerQueueTest, AThreadThatIsNoWorkerLeavesTheQueueAlone) {
  TimerQueue& queue = NewQueue();
  Timer timer;
  timer.Start(MonotonicNow() + kHour, &MustNotRun, nullptr);
  EXPECT_EQ(queue.NextDeadline(), kNever);
  EXPECT_TRUE(timer.Stop());
  // Until the timer thread has emptied its inbox, whoever gets the entry next
  // finds it there.
  std::atomic<bool> emptied{false};
  Timer last;
  last.Start(
      MonotonicNow(),
      [](void* flag) { static_cast<std::atomic<bool>*>(flag)->store(true); },
      &emptied);
  while (!emptied.load()) std::this_thread::yield();
}

TEST(TimerQueueTest, WhatACallbackStartsWaitsForTheNextCall) {
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  struct Ticker {
    Timer timer;
    int ticks = 0;
    static void Tick(void* self) {
      auto* ticker = static_cast<Ticker*>(self);
      ++ticker->ticks;
      ticker->timer.Start(1, &Tick, ticker);
    }
  } ticker;
  ticker.timer.Start(1, &Ticker::Tick, &ticker);
  EXPECT_EQ(queue.RunDue(10), 1u);
  EXPECT_LE(queue.NextDeadline(), 1);
  EXPECT_EQ(queue.RunDue(10), 1u);
  EXPECT_EQ(ticker.ticks, 2);
  EXPECT_TRUE(ticker.timer.Stop());
  EXPECT_EQ(queue.PrepareToSleep(), kNever);
}

TEST(TimerQueueTest, ACallbackMayDestroyItsOwnTimer) {
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  struct Owner {
    Timer timer;
    static void Drop(void* self) { delete static_cast<Owner*>(self); }
  };
  auto* const object = new Owner;
  object->timer.Start(1, &Owner::Drop, object);
  EXPECT_EQ(queue.RunDue(1), 1u);
  EXPECT_EQ(PendingTimers(), 0u);
}

// While another worker fires the owner's timers, the owner goes on.
TEST(TimerQueueTest, NobodyWaitsForWhoIsFiring) {
  TimerQueue& queue = NewQueue();
  std::string out;
  Letter a{'a', &out}, b{'b', &out};
  Timer ta, tb, stopped;
  {
    Busy busy(queue);
    AsOwner owner(queue);
    ta.Start(200, &Letter::Append, &a);
    tb.Start(100, &Letter::Append, &b);
    stopped.Start(50, &MustNotRun, nullptr);
    EXPECT_TRUE(stopped.Stop());
    EXPECT_EQ(PendingTimers(), 2u);
    // It cannot look into the inbox, so it does not know.
    EXPECT_EQ(queue.NextDeadline(), TimerQueue::kLookNow);
    EXPECT_EQ(queue.RunDue(1000), 0u);
    const MonotonicNanos now = MonotonicNow();
    const MonotonicNanos soon = queue.PrepareToSleep();
    EXPECT_GT(soon, now);
    EXPECT_LT(soon, MonotonicNow() + 1'000'000);
    TimerQueue& other = NewQueue();
    EXPECT_FALSE(queue.MoveTo(other));
    EXPECT_EQ(other.NextDeadline(), kNever);
  }
  // The other worker has looked once more when it was done.
  AsOwner owner(queue);
  EXPECT_EQ(queue.PrepareToSleep(), 100);
  EXPECT_EQ(queue.RunDue(1000), 2u);
  EXPECT_EQ(out, "ba");
}

// An entry is left in the inbox by its stop; whoever starts it next, on another
// worker or on none, finds it there.
TEST(TimerQueueTest, RestartedInTheInboxOfAnotherWorker) {
  TimerQueue& queue = NewQueue();
  TimerQueue& other = NewQueue();
  std::string out;
  Letter a{'a', &out}, b{'b', &out};
  Timer to_other, to_none;
  {
    Busy busy(queue);
    AsOwner owner(queue);
    for (Timer* timer : {&to_other, &to_none}) {
      timer->Start(50, &MustNotRun, nullptr);
      EXPECT_TRUE(timer->Stop());
    }
    {
      AsOwner worker(other);
      to_other.Start(300, &Letter::Append, &a);
    }
    CurrentParty().timers = nullptr;
    to_none.Start(200, &Letter::Append, &b);
    CurrentParty().timers = &queue;
    EXPECT_EQ(other.NextDeadline(), kNever);
    EXPECT_EQ(PendingTimers(), 2u);
  }
  EXPECT_EQ(queue.NextDeadline(), 200);
  EXPECT_EQ(queue.RunDue(1000), 2u);
  EXPECT_EQ(out, "ba");
  // From now on they go where they are started.
  AsOwner worker(other);
  to_none.Start(400, &MustNotRun, nullptr);
  EXPECT_EQ(other.NextDeadline(), 400);
  EXPECT_TRUE(to_none.Stop());
}

TEST(TimerQueueTest, MoveTo) {
  TimerQueue& queue = NewQueue();
  TimerQueue& other = NewQueue();
  std::string out;
  Letter a{'a', &out}, b{'b', &out}, c{'c', &out};
  Timer ta, tb, tc, stopped_before, stopped_after;
  {
    AsOwner owner(other);
    tb.Start(200, &Letter::Append, &b);
  }
  AsOwner owner(queue);
  tc.Start(300, &Letter::Append, &c);
  ta.Start(100, &Letter::Append, &a);
  stopped_before.Start(150, &MustNotRun, nullptr);
  EXPECT_TRUE(stopped_before.Stop());
  stopped_after.Start(170, &MustNotRun, nullptr);
  ASSERT_TRUE(queue.MoveTo(other));
  EXPECT_TRUE(stopped_after.Stop());
  EXPECT_EQ(queue.NextDeadline(), kNever);
  EXPECT_EQ(queue.PrepareToSleep(), kNever);
  EXPECT_EQ(other.NextDeadline(), 100);
  EXPECT_EQ(other.RunDue(1000), 3u);
  EXPECT_EQ(out, "abc");
  // The queue can be used again.
  ta.Start(100, &Letter::Append, &a);
  EXPECT_EQ(queue.RunDue(100), 1u);
  EXPECT_EQ(out, "abca");
  ASSERT_TRUE(queue.MoveTo(other));  // nothing
}

// What a stopped timer leaves behind is bounded, whoever stops it.
TEST(TimerQueueTest, StartAndStopLeaveNothing) {
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  const TimerMemory before = GetTimerMemory();
  const MonotonicNanos base = MonotonicNow() + kHour;
  for (int i = 0; i < 1'000'000; ++i) {
    Timer timer;
    // Every other one is the earliest of all.
    timer.Start(base + (i % 2 == 0 ? i : -i), &MustNotRun, nullptr);
    ASSERT_TRUE(timer.Stop());
  }
  EXPECT_LE(queue.slots(), 1000u);
  EXPECT_LE(GetTimerMemory().entries, before.entries + 256);
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(TimerQueueTest, AMillionStoppedByOthersLeaveNothing) {
  constexpr size_t kTimers = 1'000'000;
  TimerQueue& queue = NewQueue();
  AsOwner owner(queue);
  const MonotonicNanos base = MonotonicNow() + kHour;
  std::vector<Timer> timers(kTimers);
  for (size_t i = 0; i < kTimers; ++i) {
    timers[i].Start(base + static_cast<MonotonicNanos>(i), &MustNotRun,
                    nullptr);
  }
  EXPECT_EQ(PendingTimers(), kTimers);
  EXPECT_EQ(queue.slots(), kTimers);
  // The owner, asleep or busy, does nothing meanwhile.
  std::thread([&timers] {
    for (Timer& timer : timers) ASSERT_TRUE(timer.Stop());
  }).join();
  EXPECT_EQ(PendingTimers(), 0u);
  EXPECT_LE(queue.slots(), 10'000u);
}

// Slots that have moved are swept too when their timers are stopped.
TEST(TimerQueueTest, WhatHasMovedIsSweptToo) {
  constexpr int kTimers = 20'000;
  TimerQueue& queue = NewQueue();
  TimerQueue& other = NewQueue();
  const MonotonicNanos base = MonotonicNow() + kHour;
  for (int round = 0; round < 20; ++round) {
    AsOwner owner(queue);
    std::vector<Timer> timers(kTimers);
    for (Timer& timer : timers) timer.Start(base, &MustNotRun, nullptr);
    ASSERT_TRUE(queue.MoveTo(other));
  }
  EXPECT_LE(other.slots(), size_t{5} * kTimers);
  EXPECT_EQ(other.PrepareToSleep(), kNever);
}

// Two workers start, stop and restart each other's timers, and fire what is due
// in both queues, with two stoppers beside them: of each start, exactly one of
// callback and stopper is told that it was the one.
TEST(TimerQueueTest, EverybodyAtOnce) {
  struct Shot {
    Timer timer;
    std::atomic<int> outcomes{0};
    static void Fire(void* self) {
      static_cast<Shot*>(self)->outcomes.fetch_add(1);
    }
  };
  constexpr int kShots = 20'000;
  TimerQueue* const queues[2] = {&NewQueue(), &NewQueue()};
  std::vector<Shot> shots[2] = {std::vector<Shot>(kShots),
                                std::vector<Shot>(kShots)};
  std::atomic<int> started[2] = {0, 0};
  auto own = [&](int w) {
    AsOwner owner(*queues[w]);
    Random random(w + 1);
    std::vector<std::unique_ptr<Timer>> decoys(8);
    for (int i = 0; i < kShots; ++i) {
      // Entries wander from timer to timer.
      auto& decoy = decoys[random.Below(8)];
      decoy = std::make_unique<Timer>();
      decoy->Start(kNever, &MustNotRun, nullptr);
      shots[w][i].timer.Start(MonotonicNow() + random.Below(10'000),
                              &Shot::Fire, &shots[w][i]);
      started[w].store(i + 1);
      for (TimerQueue* queue : queues) {
        const MonotonicNanos now = MonotonicNow();
        if (queue->NextDeadline() <= now) queue->RunDue(now);
      }
    }
    decoys.clear();
    while (queues[w]->PrepareToSleep() != kNever) {
      queues[w]->RunDue(MonotonicNow());
    }
  };
  auto stop = [&](int w) {
    for (int i = 0; i < kShots; ++i) {
      while (started[w].load() <= i) std::this_thread::yield();
      if (shots[w][i].timer.Stop()) shots[w][i].outcomes.fetch_add(1);
    }
  };
  std::thread threads[] = {std::thread(own, 0), std::thread(own, 1),
                           std::thread(stop, 0), std::thread(stop, 1)};
  for (std::thread& thread : threads) thread.join();
  for (TimerQueue* queue : queues) queue->RunDue(kNever - 1);
  for (const auto& of_worker : shots) {
    for (const Shot& shot : of_worker) ASSERT_EQ(shot.outcomes.load(), 1);
  }
  EXPECT_EQ(PendingTimers(), 0u);
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/park.h"

#include <atomic>
#include <cstdint>
#include <thread>

#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/futex.h"

namespace gochan::runtime {
namespace {

constexpr uint32_t kHello = ParkSlot::kFirstResult + 5;

TEST(ParkTest, SleepReturnsWhatWakeBrought) {
  for (int round = 0; round < 1000; ++round) {
    ParkSlot slot;
    slot.Prepare(nullptr);
    slot.ClearLeft();
    std::atomic<ParkSlot*> published{nullptr};
    int written = 0;
    std::thread waker([&] {
      ParkSlot* found;
      while ((found = published.load()) == nullptr) std::this_thread::yield();
      written = round;
      found->Wake(kHello);
    });
    struct Arg {
      std::atomic<ParkSlot*>* published;
      ParkSlot* slot;
    } arg{&published, &slot};
    const uint32_t result = Sleep(slot,
                                  [](void* a) {
                                    const Arg copy = *static_cast<Arg*>(a);
                                    copy.published->store(copy.slot);
                                    copy.slot->SetLeft();
                                  },
                                  &arg, {});
    slot.AwaitLeft();
    EXPECT_EQ(result, kHello);
    EXPECT_EQ(written, round) << "what the waker did is visible";
    waker.join();
  }
}

TEST(ParkTest, ADeadlineEndsTheSleepButNotTheWait) {
  ParkSlot slot;
  slot.Prepare(nullptr);
  EXPECT_EQ(Sleep(slot, nullptr, nullptr, {}, MonotonicNow()),
            ParkSlot::kPending);
  // Still findable: a later wake is not lost.
  std::thread waker([&slot] { slot.Wake(kHello); });
  EXPECT_EQ(Sleep(slot, nullptr, nullptr, {}), kHello);
  waker.join();
}

TEST(ParkTest, SomebodyWhoIsNoThreadIsResumed) {
  struct Callback : Resumer {
    int resumed = 0;
    uint32_t result = 0;
    ParkSlot slot;
  } callback;
  callback.resume = [](Resumer* self) {
    auto* c = static_cast<Callback*>(self);
    ++c->resumed;
    c->result = c->slot.Result();
  };
  callback.slot.Prepare(&callback);
  callback.slot.Wake(kHello);
  EXPECT_EQ(callback.resumed, 1);
  EXPECT_EQ(callback.result, kHello) << "the result is there before the resume";
}

TEST(ParkTest, EachThreadIsAPartyOfItsOwn) {
  Party* here = &CurrentParty();
  EXPECT_EQ(&CurrentParty(), here);
  Party* there = nullptr;
  std::thread([&there] { there = &CurrentParty(); }).join();
  EXPECT_NE(there, here);
}

// A record is given back when its thread ends, also if a later thread_local
// destructor uses the party again.
TEST(ParkTest, AThreadGivesItsWaiterBack) {
  static std::atomic<int> released{0};
  released = 0;
  std::thread([] {
    Party& party = CurrentParty();
    party.waiter = &released;
    party.release_waiter = [](void* waiter) {
      EXPECT_EQ(waiter, &released);
      ++released;
    };
  }).join();
  EXPECT_EQ(released, 1);
}

TEST(FutexTest, WaitReturnsAtOnceIfTheWordIsAnother) {
  std::atomic<uint32_t> word{1};
  EXPECT_EQ(FutexWait(&word, 0), FutexResult::kWoken);
}

TEST(FutexTest, WaitTimesOutNotBeforeItsDeadline) {
  std::atomic<uint32_t> word{1};
  const MonotonicNanos deadline = MonotonicNow() + 2'000'000;
  while (FutexWait(&word, 1, deadline) != FutexResult::kTimedOut) {
  }
  EXPECT_GE(MonotonicNow(), deadline);
}

TEST(ClockTest, TimeoutsSaturate) {
  EXPECT_EQ(MonotonicAfter(absl::InfiniteDuration()), kNever);
  EXPECT_EQ(MonotonicAfter(absl::Hours(24 * 365 * 1000)), kNever);
  EXPECT_EQ(MonotonicAt(absl::InfiniteFuture()), kNever);
  const MonotonicNanos before = MonotonicNow();
  const MonotonicNanos past[] = {MonotonicAfter(-absl::InfiniteDuration()),
                                 MonotonicAt(absl::InfinitePast()),
                                 MonotonicAfter(absl::ZeroDuration())};
  const MonotonicNanos rounded_up = MonotonicAfter(absl::Nanoseconds(1) / 2);
  const MonotonicNanos after = MonotonicNow();
  for (MonotonicNanos instant : past) {
    EXPECT_GE(instant, before);
    EXPECT_LE(instant, after);
  }
  EXPECT_GT(rounded_up, before) << "half a nanosecond is one";
  EXPECT_GT(MonotonicAtUnixNanos(kNever - 1), after);
}

}  // namespace
}  // namespace gochan::runtime

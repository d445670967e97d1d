// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/park.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/futex.h"

namespace gochan::runtime {

constinit thread_local Party* current_party = nullptr;

#if GOCHAN_INSTRUMENT
constinit thread_local SleepHook sleep_hook = nullptr;
#endif

namespace {

void DetachThread(void* arg) {
  std::unique_ptr<Party> party(static_cast<Party*>(arg));
  current_party = nullptr;
  if (party->waiter != nullptr) party->release_waiter(party->waiter);
}

// A pthread key, not a thread_local object: its destructor runs after those of
// all thread_local objects, which may still use channels, and runs again if a
// later destructor attaches the thread anew.
pthread_key_t ThreadKey() {
  static const pthread_key_t key = [] {
    pthread_key_t k;
    pthread_key_create(&k, &DetachThread);
    return k;
  }();
  return key;
}

}  // namespace

Party& AttachThread() {
  static std::atomic<uint64_t> threads{0};
  // Relaxed: only distinct seeds are wanted; the clock varies them between
  // runs.
  const uint64_t seed =
      threads.fetch_add(0x9e3779b97f4a7c15, std::memory_order_relaxed) +
      static_cast<uint64_t>(MonotonicNow());
  current_party = new Party(seed);
  pthread_setspecific(ThreadKey(), current_party);
  return *current_party;
}

void ParkSlot::Wake(uint32_t result) {
  Resumer* const resumer = resumer_;
  if (resumer != nullptr) {
    // P1 release: all that this waker did; pairs with P1 in Result().
    result_.store(result, std::memory_order_release);
    resumer->resume(resumer);
    return;
  }
  // P1 release as above; acquire because kAsleep decides about the system call
  // and costs nothing in an exchange.
  if (result_.exchange(result, std::memory_order_acq_rel) == kAsleep) {
    // The sleeper may be gone by now, its slot reused: a spurious wake-up.
    FutexWake(result_.word(), 1);
  }
}

// A partner that is already on its way is met without a system call: pauses
// first, then a few turns for whoever shares this processor.
uint32_t SleepThread(ParkSlot& slot, MonotonicNanos deadline) {
  constexpr int kPauses = 64;
  constexpr int kYields = 4;
  for (int i = 0; i < kPauses + kYields; ++i) {
    const uint32_t result = slot.Result();
    if (result >= ParkSlot::kFirstResult) return result;
    if (i < kPauses) {
      CpuRelax();
    } else {
      sched_yield();
    }
  }
  uint32_t found = ParkSlot::kPending;
  // P1 acquire on failure: the result is there. On success it only announces
  // the sleep to the waker's exchange.
  if (!slot.result_.compare_exchange(found, ParkSlot::kAsleep,
                                     std::memory_order_acq_rel) &&
      found != ParkSlot::kAsleep) {
    return found;
  }
  for (;;) {
    const FutexResult woken =
        FutexWait(slot.result_.word(), ParkSlot::kAsleep, deadline);
    const uint32_t result = slot.Result();
    if (result >= ParkSlot::kFirstResult) return result;
    if (woken == FutexResult::kTimedOut) return ParkSlot::kPending;
  }
}

uint32_t Sleep(ParkSlot& slot, Publish publish, void* arg,
               MonotonicNanos deadline) {
#if GOCHAN_INSTRUMENT
  if (sleep_hook != nullptr) return sleep_hook(slot, publish, arg, deadline);
#endif
  if (publish != nullptr) publish(arg);
  return SleepThread(slot, deadline);
}

}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/park.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/cpu_count.h"
#include "runtime/futex.h"

namespace gochan::runtime {

[[gnu::tls_model("initial-exec")]] constinit thread_local Party* current_party =
    nullptr;
[[gnu::tls_model(
    "initial-exec")]] constinit thread_local Worker* current_worker = nullptr;

#if GOCHAN_INSTRUMENT
constinit thread_local SleepHook sleep_hook = nullptr;
#endif

namespace {

void DetachThread(void* arg) {
  std::unique_ptr<Party> party(static_cast<Party*>(arg));
  SetCurrentParty(nullptr);
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

uint64_t PartySeed() {
  static std::atomic<uint64_t> parties{0};
  // Relaxed: only distinct seeds are wanted; the clock varies them between
  // runs.
  return parties.fetch_add(0x9e3779b97f4a7c15, std::memory_order_relaxed) +
         static_cast<uint64_t>(MonotonicNow());
}

Party& AttachThread() {
  auto* const party = new Party(PartySeed());
  SetCurrentParty(party);
  pthread_setspecific(ThreadKey(), party);
  return *party;
}

void ParkSlot::AwaitLeftSlow() const {
  Backoff backoff;
  // P2 acquire, as in AwaitLeft().
  while (left_.load(std::memory_order_acquire) == 0) backoff.Wait(&left_);
}

void ParkSlot::WakeThread(uint32_t result) {
  // P1 release: all that this waker did, as in Wake(); acquire because kAsleep
  // decides about the system call and costs nothing in an exchange.
  if (result_.exchange(result, std::memory_order_acq_rel) == kAsleep) {
    // The sleeper may be gone by now, its slot reused: a spurious wake-up.
    FutexWake(result_.word(), 1);
  }
}

namespace {

// A partner that is already on its way is met without a system call: by a few
// microseconds of pauses if he may be on another processor, then by a few turns
// for whoever shares this one. Returns the result, or one that is none.
uint32_t AwaitPartner(const ParkSlot& slot) {
  constexpr int kYields = 4;
  uint32_t result = slot.Result();
  if (HasSeveralCpus()) {
    PauseUntil<3, 512>([&] {
      result = slot.Result();
      return result >= ParkSlot::kFirstResult;
    });
  }
  for (int i = 0; i < kYields && result < ParkSlot::kFirstResult; ++i) {
    sched_yield();
    result = slot.Result();
  }
  return result;
}

}  // namespace

uint32_t SleepThread(ParkSlot& slot, MonotonicNanos deadline) {
  const uint32_t early = AwaitPartner(slot);
  if (early >= ParkSlot::kFirstResult) return early;
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

uint32_t Sleep(ParkSlot& slot, Publish publish, void* arg, const WaitInfo& why,
               MonotonicNanos deadline) {
#if GOCHAN_INSTRUMENT
  if (sleep_hook != nullptr) return sleep_hook(slot, publish, arg, deadline);
#endif
  Party& me = CurrentParty();
  if (me.resumer == nullptr) {
    if (publish != nullptr) publish(arg);
    return SleepThread(slot, deadline);
  }
  Publication publication{publish, arg};
  Fiber& next = me.resumer->leave(me.resumer, why);
  RunPublication(SwitchFibers(*me.fiber, next,
                              publish == nullptr ? nullptr : &publication));
  return slot.Result();
}

void BeginSleepSlow(ParkSlot& slot, Publish publish, void* arg) {
#if GOCHAN_INSTRUMENT
  if (sleep_hook != nullptr) {
    sleep_hook(slot, publish, arg, kNever);
    return;
  }
#endif
  publish(arg);
  SleepThread(slot, kNever);
}

}  // namespace gochan::runtime

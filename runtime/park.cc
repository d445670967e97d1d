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
#include "runtime/wait_history.h"

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

// A wait of a thread, and how long it stays awake for it. A partner that is
// already on its way is met without a system call: by a microsecond of pauses
// if he may be on another processor, then by turns for whoever shares this one.
// There are more of these if the thread's waits are short, for it would sleep
// for less than it costs to fall asleep and to be woken. Where there is one
// processor, who has it decides when the wait is over, and nothing is measured.
class Wait {
 public:
  Wait(WaitHistory& history, MonotonicNanos deadline)
      : history_(history), deadline_(deadline) {}
  ~Wait() {
    if (several_) history_.NoteWait(IsShort());
  }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  // Returns the result, or one that is none.
  uint32_t Awake(const ParkSlot& slot) {
    const auto is_over = [&slot] {
      return slot.Result() >= ParkSlot::kFirstResult;
    };
    if (several_ && history_.MayPause()) {
      PauseUntil<1, 512>(is_over);
      history_.NotePauses(is_over());
    }
    for (int turns = 0; !is_over() && StaysAwake(turns); ++turns) sched_yield();
    return slot.Result();
  }

 private:
  static constexpr uint64_t kShortMicros = 20;
  static constexpr int kFewTurns = 4;
  static constexpr int kTurns = 256;  // for there may be no clock

  bool IsShort() const {
    return Ticks() - begun_ < TicksOfMicros(kShortMicros);
  }
  // After so many turns.
  bool StaysAwake(int turns) const {
    if (turns < kFewTurns) return true;
    return several_ && turns < kTurns && history_.AreShort() && IsShort() &&
           (deadline_ == kNever || MonotonicNow() < deadline_);
  }

  WaitHistory& history_;
  const MonotonicNanos deadline_;
  const bool several_ = HasSeveralCpus();
  const uint64_t begun_ = several_ ? Ticks() : 0;
};

}  // namespace

uint32_t SleepThread(ParkSlot& slot, MonotonicNanos deadline) {
  Wait wait(CurrentParty().waits, deadline);
  const uint32_t early = wait.Awake(slot);
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

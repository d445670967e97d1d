// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workers that get in each other's way; see Scheduler.

#include "runtime/contention.h"

#include <time.h>

#include <atomic>
#include <cstdint>

#include "runtime/backoff.h"
#include "runtime/barrier.h"
#include "runtime/clock.h"
#include "runtime/instrument.h"
#include "runtime/scheduler_internal.h"
#include "runtime/scheduler_state.h"

namespace gochan::runtime {

#if !GOCHAN_INSTRUMENT
void NoteLostSwap() {
  if (Worker* const w = Get_current_worker()) Scheduler::NoteLostSwap(*w);
}

void ContentionPause() {
  PauseUntil<1, 64>([] { return false; });
  NoteLostSwap();
}
#endif

void Scheduler::NoteLostSwap(Worker& w) {
  // Where it pauses each time, that is for a fifth of the time, at least.
  constexpr int kLost = 8;
  constexpr uint64_t kWithinMicros = 40;
  if (++w.lost_swaps_ < kLost) return;
  const uint64_t now = Ticks();
  if (now - w.lost_since_ < TicksOfMicros(kWithinMicros)) {
    w.is_tired_ = true;
    // It looks around at its next switch.
    w.budget_then_ -= w.Budget();
    w.SetBudget(0);
  }
  w.lost_swaps_ = 0;
  w.lost_since_ = now;
}

// The others run what the worker has, if they can find it, and have the words
// to themselves. To them it looks like one whose thread has lost its processor.
void Scheduler::Rest(Worker& w) {
  w.is_tired_ = false;
  if (Runnable* const r = w.queue_.TakeNext()) w.PushBack(r);
  const bool shown = w.queue_.Unhide();
  // It is shown, then this load; against Sleep(), as in NoticePush(). If nobody
  // works who would take it, it has lost to plain threads, who would not.
  LightBarrier();
  const uint64_t now = counts.load(kLightLoad);
  // Relaxed, both: a number, in which each one counts itself.
  const int rest = resting.fetch_add(1, std::memory_order_relaxed) + 1;
  const bool may_rest = rest < Active(now) - Idle(now);
  if (may_rest) {
    Bump(w.rests_);
    const timespec pause{0, 50'000};
    nanosleep(&pause, nullptr);
  }
  resting.fetch_sub(1, std::memory_order_relaxed);
  if (!may_rest && shown) w.NoticePush();
  w.lost_swaps_ = 0;
  w.lost_since_ = Ticks();
}

}  // namespace gochan::runtime

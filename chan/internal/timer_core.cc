// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/timer_core.h"

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "chan/internal/element.h"
#include "chan/internal/mutation.h"
#include "runtime/pool.h"
#include "runtime/timers.h"

namespace gochan::internal {

using runtime::kNever;
using runtime::MonotonicNanos;

// -----------------------------------------------------------------------------
// Making and ending
// -----------------------------------------------------------------------------

using TimerPool = runtime::Pool<sizeof(TimerCore), alignof(TimerCore)>;

void* TimerCore::operator new(std::size_t) { return TimerPool::Take(); }
void TimerCore::operator delete(void* memory) { TimerPool::Give(memory); }

TimerCore* TimerCore::Make(MonotonicNanos deadline, int64_t period,
                           MonotonicNanos now) {
  auto* const core = new TimerCore(deadline, period);
  // Nobody waits yet, and who comes later fires what is due by himself.
  if (deadline > now || period != kOnce) core->Follow();
  return core;
}

TimerCore::TimerCore(MonotonicNanos deadline, int64_t period)
    : Core(Kind::kTimer, kElementOps<absl::Time>, 1), ticks_(period != kOnce) {
  slots_ = slot_;
  stride_ = sizeof(slot_);
  slot_offset_ = static_cast<uint32_t>(SlotOffset(alignof(absl::Time)));
  timer_.due().Init({0, deadline});
  period_.Init({0, period});
  state_.Init(Word().Arm());
}

// A Time that is left in the slot needs no end.
TimerCore::~TimerCore() { slots_ = nullptr; }

// No handle is left: the timer must not go off any more, unless somebody is
// blocked here, whose handle was assigned over meanwhile.
void TimerCore::Destroy() {
  // Relaxed: released by Follow() to whoever does it (F1).
  dead_.store(1, std::memory_order_relaxed);
  Follow();
  if (timer_.Release()) delete this;
}

// -----------------------------------------------------------------------------
// Setting
// -----------------------------------------------------------------------------

bool TimerCore::Stop() { return Change(false, kNever, kOnce, 0); }

bool TimerCore::Set(MonotonicNanos deadline, int64_t period,
                    MonotonicNanos now) {
  return Change(true, deadline, period, now);
}

bool TimerCore::Change(bool arm, MonotonicNanos deadline, int64_t period,
                       MonotonicNanos now) {
  Word word, next;
  bool full, armed;
  do {
    word = Settled();
    full = word.size() != 0;
    armed = word.armed();
    if (!arm && !armed && !full) return false;
    next = word;
    if (full) next = next.Take();
    if (armed && !Mutated(Mutant::kNoBurn)) next = next.Put().Take();
    next = arm ? next.Arm() : next.Disarm();
    // The linearization point.
  } while (!state_.Swap(word, next));
  // Both slots' turns are passed before this returns: who is told so may start
  // a new setting and expects it to find room.
  if (full) {
    absl::Time dropped;
    Read(word.recv(), &dropped);
  }
  if (armed && !Mutated(Mutant::kNoBurn)) Burn(word.send());
  if (arm) {
    if (ticks_) period_.Set({next.send(), period});
    timer_.due().Set({next.send(), deadline});
    if (deadline <= now) Fire();
  }
  Follow();
  return armed || full;
}

// Makes the runtime's timer what the state says. A setting whose deadline is
// not there yet is left to its setter, who comes here next.
void TimerCore::Follow() {
  timer_.Follow(
      [this] {
        const Word word = state_.Read();
        // Relaxed: F1.
        if (dead_.load(std::memory_order_relaxed) != 0 && !word.busy()) {
          return kNever;
        }
        const runtime::SharedTimer::Setting due = timer_.due().Get();
        return word.armed() && due.ticket == word.send() ? due.value : kNever;
      },
      &OnTimer, this);
}

// -----------------------------------------------------------------------------
// Firing
// -----------------------------------------------------------------------------

void TimerCore::OnTimer(void* self) {
  auto* const core = static_cast<TimerCore*>(self);
  if (!core->Fire()) core->Follow();
  if (core->timer_.Release()) delete core;
}

// The word alone, in memory that is type-stable: the core may be gone by now.
// A place whose waiter has left without passing it counts, too.
bool TimerCore::IsIdle(runtime::TimerCallback fn, void* arg) {
  return fn == &OnTimer &&
         (static_cast<TimerCore*>(arg)->state_.GlimpseLo() & Word::kBusy) == 0;
}

// False: it was too early.
bool TimerCore::Fire() {
  for (bool changed = false;; changed = true) {
    const Word word = Settled();
    if (!word.armed()) return true;
    // Who has changed it meanwhile calls Follow().
    if (!FireIfDue(word)) return changed;
  }
}

bool TimerCore::FireIfDue(const Word& word) {
  const MonotonicNanos now = runtime::TimerNow();
  MonotonicNanos deadline;
  // The deadline is read after the state: with that ticket it is its own.
  const uint32_t ticket =
      Mutated(Mutant::kNoTicket) ? timer_.due().Get().ticket : word.send();
  if (!timer_.IsDue(ticket, now, &deadline)) return false;
  if (!ticks_) {
    if (state_.Swap(word, word.Put().Disarm())) {
      Deliver(word.send(), deadline, now);
    }
    return true;
  }
  const MonotonicNanos next = NextDeadline(deadline, now);
  if (word.size() != 0) {
    // The receiver is slow: this tick is dropped, the older one stays.
    timer_.due().Replace({word.send(), deadline}, next);
  } else {
    const Word put = word.Put();
    if (!state_.Swap(word, put)) return true;
    timer_.due().Set({put.send(), next});
    Deliver(word.send(), deadline, now);
  }
  Follow();
  return true;
}

// The first tick after `now`; the phase is kept. The period may be that of a
// later setting by now: then this one is over, and its ticket with it.
MonotonicNanos TimerCore::NextDeadline(MonotonicNanos deadline,
                                       MonotonicNanos now) const {
  const int64_t period = period_.Get().value;
  const MonotonicNanos last = deadline + (now - deadline) / period * period;
  return period >= kNever - last ? kNever : last + period;
}

// The value is when it was due, whoever comes how late.
void TimerCore::Deliver(uint32_t ticket, MonotonicNanos deadline,
                        MonotonicNanos now) {
  absl::Time expiry = runtime::WallTimeOf(deadline, now);
  Write(ticket, &expiry, ops().move);
  Settled();
}

// Passes both turns of a ticket that has no value.
void TimerCore::Burn(uint32_t ticket) {
  Slot slot = SlotFor(ticket);
  slot.AwaitWriterTurn(held_up_);
  slot.SetRead();
}

}  // namespace gochan::internal

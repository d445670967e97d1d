// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// TimerCore: the channel of a timer or a ticker, and what sets it.
//
//   Make       armed, for a deadline
//   Set        Reset: armed anew
//   Stop       not armed
//   FireIfDue  by a receiver that comes when the time has come
//
// It is a channel of one slot that holds the expiry until somebody receives it.
// To others it looks unbuffered: Len and Cap are 0, and no value that came of
// an earlier setting is received once Set() or Stop() has returned. All that
// must be agreed on is in the channel's own state word, where `closed` says
// that it is *armed*, with the next ticket to be sent:
//
//   armed, ticket S ──due──► put: S + 1, not armed (a ticker: armed with S + 1)
//                   ──Stop─► burn: S + 1 and R + 1, not armed
//                   ──Set──► burn, armed with S + 1
//   a value is there ─Stop, Set─► taken in the same swap
//
// So a ticket is armed once, and a firing that comes late, of a setting that is
// over, fails. Firing is always a put, also when receivers wait; they are
// served by settling, in their order. The deadline lies beside the word
// (runtime/shared_timer.h) and counts only with its ticket.
//
// Who keeps it: the handles of the channel and of the Timer are counted as
// those of any channel. When the last of them has gone nobody can receive any
// more, but who is blocked in it already: then, or else once these are served,
// the runtime's timer is stopped, and the memory freed; if it is going off
// right now, by its callback.
//
// Memory ordering: as a channel's. Progress: lock-free but for a neighbour at
// the slot, as on every buffered channel.
//
// Source: Go 1.23's synchronous timer channels (runtime/time.go); that it can
// be done without a lock is shown in docs/design/timers.md.

#ifndef GOCHAN_CHAN_INTERNAL_TIMER_CORE_H_
#define GOCHAN_CHAN_INTERNAL_TIMER_CORE_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "chan/internal/core.h"
#include "chan/internal/ring.h"
#include "chan/internal/state_word.h"
#include "runtime/clock.h"
#include "runtime/shared_timer.h"
#include "runtime/timers.h"

namespace gochan::internal {

class TimerCore final : public Core {
 public:
  // What a timer that fires once has for a period.
  static constexpr int64_t kOnce = 0;

  // One that is armed for `deadline` and, with a period, ticks from then on.
  // The caller owns one reference. Throws std::bad_alloc. `now`, here and
  // below: what the caller has just read from the clock.
  static TimerCore* Make(runtime::MonotonicNanos deadline, int64_t period,
                         runtime::MonotonicNanos now = runtime::TimerNow());

  // TimerCore::Set() / TimerCore::Stop()
  //
  // Arms it anew, or not at all. True if it was armed, or its value had not
  // been received: of one setting either somebody receives the value, or one
  // Set() or Stop() is told true. Receivers that wait go on waiting. A ticker
  // stays a ticker: kOnce only for one that was made so.
  bool Set(runtime::MonotonicNanos deadline, int64_t period,
           runtime::MonotonicNanos now = runtime::TimerNow());
  bool Stop();

  // TimerCore::FireIfDue()
  //
  // In the settled state `word`, which is armed: puts the value if the deadline
  // has passed. True: the state is another one by now, look again.
  bool FireIfDue(const Word& word);

  // TimerCore::IsIdle()
  //
  // For runtime::SetTimerIsIdle(): it is the timer of a channel on which nobody
  // waits.
  static bool IsIdle(runtime::TimerCallback fn, void* arg);

  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory);

 private:
  TimerCore(runtime::MonotonicNanos deadline, int64_t period);
  ~TimerCore() override;
  void Destroy() override;

  bool Change(bool arm, runtime::MonotonicNanos deadline, int64_t period,
              runtime::MonotonicNanos now);
  bool Fire();
  void Follow();
  runtime::MonotonicNanos NextDeadline(runtime::MonotonicNanos deadline,
                                       runtime::MonotonicNanos now) const;
  void Deliver(uint32_t ticket, runtime::MonotonicNanos deadline,
               runtime::MonotonicNanos now);
  void Burn(uint32_t ticket);
  static void OnTimer(void* self);

  const bool ticks_;
  // 0  (start)    1        the last handle
  // 1  Destroy()  (final)  whoever follows: stop the timer, if nobody waits
  Atomic<uint8_t> dead_{0};
  runtime::SharedTimer timer_;
  // With the ticket that the setting began with; of a ticker.
  runtime::SharedTimer::Latest period_;
  alignas(absl::Time)
      std::byte slot_[SlotStride(sizeof(absl::Time), alignof(absl::Time))] = {};
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_TIMER_CORE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// SharedTimer: a Timer that several parties set at once, for an object that has
// the last word on what it is set to.
//
//   Get, Set, Advance   the setting: a ticket and its deadline
//   Follow              makes the timer what the object wants it to be
//   Hold, Release       who keeps the object's memory
//
// The object has a word in which each setting begins and ends, and numbers its
// settings by *tickets*. Whoever has begun one there publishes its deadline
// here afterwards. So what is read here counts only if its ticket is the one in
// the word: a deadline is never taken for that of another setting.
//
// The callback looks at the word and the setting by itself, so it may come
// late, or for a setting that is over. It comes early, too: a timer that is set
// to a later time goes off at the earlier one, as most that are set again and
// again never go off at all, and the callback calls Follow() then.
//
// Memory ordering: what happened before Set() is visible to who finds that
// setting by Get().
//
// Progress: lock-free; of several who call Follow() at once one does it for
// all, and nobody waits for it. (A thread that is frozen there keeps later
// settings of this timer from going off.)

#ifndef GOCHAN_RUNTIME_SHARED_TIMER_H_
#define GOCHAN_RUNTIME_SHARED_TIMER_H_

#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/clock.h"
#include "runtime/timers.h"

namespace gochan::runtime {

class SharedTimer {
 public:
  // Tickets count modulo 2^31.
  static constexpr uint32_t kTicketMask = (uint32_t{1} << 31) - 1;

  // A ticket with what belongs to it.
  struct Setting {
    uint32_t ticket;
    int64_t value;  // a deadline, or a period
  };

  // Two words that belong to the latest of the settings that were published.
  class Latest {
   public:
    // Before anybody else can see it.
    void Init(Setting setting) { word_.Init(Bits(setting)); }

    Setting Get() const { return Of(word_.Load()); }

    // Publishes `setting`, unless a later one is there.
    void Set(Setting setting) {
      Pair64 found = word_.Load();
      while (!IsBefore(setting.ticket, Of(found).ticket)) {
        // seq_cst, as all of Atomic128.
        if (word_.CompareExchange(found, Bits(setting))) return;
      }
    }

    // Another value for the ticket, if it has still this one.
    void Replace(Setting setting, int64_t value) {
      Pair64 found = Bits(setting);
      (void)word_.CompareExchange(found, Bits({setting.ticket, value}));
    }

   private:
    static constexpr Pair64 Bits(Setting setting) {
      return {setting.ticket, static_cast<uint64_t>(setting.value)};
    }
    static constexpr Setting Of(Pair64 bits) {
      return {static_cast<uint32_t>(bits.lo), static_cast<int64_t>(bits.hi)};
    }
    // Less than 2^30 apart.
    static constexpr bool IsBefore(uint32_t a, uint32_t b) {
      const uint32_t distance = (b - a) & kTicketMask;
      return distance != 0 && distance < (uint32_t{1} << 30);
    }

    Atomic128 word_;
  };

  // Has one hold, the maker's, and the memory that it will need. Throws
  // std::bad_alloc.
  SharedTimer() { timer_.Prepare(); }
  SharedTimer(const SharedTimer&) = delete;
  SharedTimer& operator=(const SharedTimer&) = delete;

  Latest& due() { return due_; }
  const Latest& due() const { return due_; }

  // Is `ticket` the setting that was published last, and its deadline over at
  // `now`? `*deadline` is that.
  bool IsDue(uint32_t ticket, MonotonicNanos now,
             MonotonicNanos* deadline) const {
    const Setting setting = due_.Get();
    *deadline = setting.value;
    return setting.ticket == ticket && setting.value <= now;
  }

  // SharedTimer::Follow()
  //
  // Sees to it that the timer goes off at the deadline that `wanted()` returns,
  // or before it, or not at all for kNever. To be called after each change of
  // what that would be, and by a callback that came too early; `wanted` is
  // called by one thread at a time, perhaps another one, and once after the
  // last change. `callback(arg)` has a hold of its own, which it must release.
  template <typename Wanted>
  void Follow(Wanted wanted, Timer::Callback callback, void* arg) {
    // F1 acq_rel: the change that led here is seen by who follows it.
    if (followers_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
    uint32_t seen = 1;
    do {
      const MonotonicNanos deadline = wanted();
      // If it goes off meanwhile, its callback comes here next.
      if (deadline != kNever && timer_.GoesOff() <= deadline) continue;
      const bool held = timer_.Stop();
      if (deadline == kNever) {
        // The caller has a hold of its own, so this is not the last one.
        // Relaxed: as in Hold().
        if (held) holds_.fetch_sub(1, std::memory_order_relaxed);
      } else {
        if (!held) Hold();
        timer_.Start(deadline, callback, arg);
      }
      // F1 acq_rel: pairs with F1 above. Fails if others came meanwhile.
    } while (!followers_.compare_exchange(seen, 0, std::memory_order_acq_rel));
  }

  void Hold() {
    // Relaxed: who holds on has a hold already.
    holds_.fetch_add(1, std::memory_order_relaxed);
  }
  // True: it was the last one, and the caller destroys the object.
  [[nodiscard]] bool Release() {
    // F2 acq_rel: the last one sees what all others did.
    return holds_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

 private:
  Latest due_;
  Timer timer_;  // started and stopped by the one who follows
  // How many have called Follow() since somebody began to.
  //   0      (start)                  1    anybody
  //   n > 0  Follow(), one for each   n+1  anybody: nothing more to do
  //                                   0    the one who made it 1, when it has
  //                                        followed since it became n
  Atomic<uint32_t> followers_{0};
  Atomic<uint32_t> holds_{1};
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SHARED_TIMER_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/time.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/time/time.h"
#include "chan/internal/core.h"
#include "chan/internal/timer_core.h"
#include "chan/internal/waiter.h"
#include "chan/panic.h"
#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/park.h"
#include "runtime/pool.h"
#include "runtime/shared_timer.h"
#include "runtime/spawn.h"
#include "runtime/timers.h"
#include "select/select.h"

namespace gochan {

namespace {

using internal::TimerCore;
using runtime::Atomic;
using runtime::kNever;
using runtime::MonotonicNanos;

// The instant at which `d` from `now` has passed, by the clock of timers.
MonotonicNanos DeadlineAfter(MonotonicNanos now, absl::Duration d) {
  if (d <= absl::ZeroDuration()) return now;
  const int64_t nanos = runtime::CeilNanos(d);
  return nanos >= kNever - now ? kNever : now + nanos;
}

RecvChan<absl::Time> MakeChannel(absl::Duration d, int64_t period) {
  const MonotonicNanos now = runtime::TimerNow();
  return internal::CoreAccess::Adopt<RecvChan<absl::Time>>(
      TimerCore::Make(DeadlineAfter(now, d), period, now));
}

TimerCore& CoreOf(const RecvChan<absl::Time>& channel) {
  return *static_cast<TimerCore*>(internal::CoreAccess::Get(channel));
}

}  // namespace

// -----------------------------------------------------------------------------
// FuncTimer
// -----------------------------------------------------------------------------

namespace internal {

// What AfterFunc() makes. Held by the handles, by the runtime's timer while
// that is pending, and by every run. What the function has captured is
// destroyed by whoever drops the last handle or by a goroutine, never in the
// context of timers, where it must not block: a run takes over the hold of the
// timer that went off.
class FuncTimer {
 public:
  static FuncTimer* Make(MonotonicNanos deadline,
                         absl::AnyInvocable<void()>&& fn) {
    auto* const made = new FuncTimer(deadline, std::move(fn));
    made->Follow();
    return made;
  }

  // Pooled: a process may have a million, and the C library asks the system for
  // memory by the page.
  static void* operator new(std::size_t);
  static void operator delete(void* timer);

  void Hold() { timer_.Hold(); }
  void Release() {
    if (timer_.Release()) delete this;
  }

  // True if a run was to come, which will not now.
  bool Stop() {
    // Relaxed: validated by the swap.
    uint32_t word = word_.load(std::memory_order_relaxed);
    do {
      if (!IsArmed(word)) return false;
      // G1 acq_rel: one of Stop(), Set() and Fire() ends a setting.
    } while (!word_.compare_exchange(word, word & ~kArmed,
                                     std::memory_order_acq_rel));
    Follow();
    return true;
  }

  bool Set(MonotonicNanos deadline) {
    uint32_t word = word_.load(std::memory_order_relaxed);  // as above
    uint32_t next;
    do {
      next = ((word + 1) & kTicket) | kArmed;
      // G1 acq_rel.
    } while (!word_.compare_exchange(word, next, std::memory_order_acq_rel));
    timer_.due().Set({next & kTicket, deadline});
    Follow();
    return IsArmed(word);
  }

 private:
  // word_ = { ticket:31 armed:1 }: the latest setting, and is its run to come?
  //   state      set by        next              who may act
  //   armed, t   Set()         armed, t + 1      anybody: Set()
  //                            t                 anybody: Stop()
  //                            t                 the runtime's timer: Fire()
  //   t          Stop(), Fire  armed, t + 1      anybody: Set()
  static constexpr uint32_t kTicket = runtime::SharedTimer::kTicketMask;
  static constexpr uint32_t kArmed = uint32_t{1} << 31;
  static constexpr bool IsArmed(uint32_t word) { return (word & kArmed) != 0; }

  FuncTimer(MonotonicNanos deadline, absl::AnyInvocable<void()>&& fn)
      : fn_(std::move(fn)) {
    timer_.due().Init({0, deadline});
  }

  // As TimerCore::Follow().
  void Follow() {
    timer_.Follow(
        [this] {
          // G1 acquire: not needed for what follows, whose tickets agree.
          const uint32_t word = word_.load(std::memory_order_acquire);
          const runtime::SharedTimer::Setting due = timer_.due().Get();
          return IsArmed(word) && due.ticket == (word & kTicket) ? due.value
                                                                 : kNever;
        },
        [](void* self) {
          auto* const timer = static_cast<FuncTimer*>(self);
          if (timer->Fire()) return;
          // Too early, or stopped at this moment and perhaps dropped as well.
          timer->Follow();
          if (timer->timer_.Release()) {
            runtime::Spawn([timer] { delete timer; });
          }
        },
        this);
  }

  // True: it runs, and the caller's hold is the run's now.
  [[nodiscard]] bool Fire() {
    // G1 acquire.
    uint32_t word = word_.load(std::memory_order_acquire);
    MonotonicNanos deadline;
    if (!IsArmed(word) ||
        !timer_.IsDue(word & kTicket, runtime::TimerNow(), &deadline)) {
      return false;
    }
    // G1 acq_rel. Lost: somebody has stopped or set it at this moment.
    if (!word_.compare_exchange(word, word & ~kArmed,
                                std::memory_order_acq_rel)) {
      return false;
    }
    if (!fn_) RaiseFatal("go of nil func value");
    runtime::Spawn([this] {
      struct End {
        FuncTimer* timer;
        ~End() { timer->Release(); }
      } end{this};
      fn_();
    });
    return true;
  }

  absl::AnyInvocable<void()> fn_;
  Atomic<uint32_t> word_{kArmed};
  runtime::SharedTimer timer_;
};

using FuncTimerPool = runtime::Pool<sizeof(FuncTimer), alignof(FuncTimer)>;

void* FuncTimer::operator new(std::size_t) { return FuncTimerPool::Take(); }

void FuncTimer::operator delete(void* timer) { FuncTimerPool::Give(timer); }

}  // namespace internal

// -----------------------------------------------------------------------------
// Timer and Ticker
// -----------------------------------------------------------------------------

Timer::Timer(absl::Duration d) : channel_(MakeChannel(d, TimerCore::kOnce)) {}

Timer::Timer(const Timer& other)
    : channel_(other.channel_), func_(other.func_) {
  if (func_ != nullptr) func_->Hold();
}

Timer::~Timer() {
  if (func_ != nullptr) func_->Release();
}

bool Timer::Stop() const {
  if (func_ != nullptr) return func_->Stop();
  if (channel_ == nullptr) {
    RaisePanic("time: Stop called on uninitialized Timer");
  }
  return CoreOf(channel_).Stop();
}

bool Timer::Reset(absl::Duration d) const {
  const MonotonicNanos now = runtime::TimerNow();
  if (func_ != nullptr) return func_->Set(DeadlineAfter(now, d));
  if (channel_ == nullptr) {
    RaisePanic("time: Reset called on uninitialized Timer");
  }
  return CoreOf(channel_).Set(DeadlineAfter(now, d), TimerCore::kOnce, now);
}

Ticker::Ticker(absl::Duration d) {
  if (d <= absl::ZeroDuration()) {
    RaisePanic("non-positive interval for NewTicker");
  }
  channel_ = MakeChannel(d, runtime::CeilNanos(d));
}

void Ticker::Stop() const {
  // Go does not panic here either if there is none.
  if (channel_ != nullptr) CoreOf(channel_).Stop();
}

void Ticker::Reset(absl::Duration d) const {
  if (d <= absl::ZeroDuration()) {
    RaisePanic("non-positive interval for Ticker.Reset");
  }
  if (channel_ == nullptr) {
    RaisePanic("time: Reset called on uninitialized Ticker");
  }
  const MonotonicNanos now = runtime::TimerNow();
  CoreOf(channel_).Set(DeadlineAfter(now, d), runtime::CeilNanos(d), now);
}

Timer AfterFunc(absl::Duration d, absl::AnyInvocable<void()> fn) {
  Timer timer;
  timer.func_ = internal::FuncTimer::Make(DeadlineAfter(runtime::TimerNow(), d),
                                          std::move(fn));
  return timer;
}

RecvChan<absl::Time> After(absl::Duration d) {
  return MakeChannel(d, TimerCore::kOnce);
}

RecvChan<absl::Time> Tick(absl::Duration d) {
  if (d <= absl::ZeroDuration()) return nullptr;
  return MakeChannel(d, runtime::CeilNanos(d));
}

absl::Time Now() { return absl::FromUnixNanos(runtime::UnixNanosNow()); }

// -----------------------------------------------------------------------------
// Sleep
// -----------------------------------------------------------------------------

namespace {

constexpr uint32_t kWoken = runtime::ParkSlot::kFirstResult;

// A sleeping goroutine. Lies in its frame.
struct Sleeper {
  runtime::Timer timer;
  runtime::ParkSlot* slot;
  MonotonicNanos deadline;

  // By the publisher. The timer object is not touched any more once it may
  // fire, and the slot's memory is a waiter record's, which is never freed.
  static void Publish(void* arg) noexcept {
    auto* const self = static_cast<Sleeper*>(arg);
    runtime::ParkSlot* const slot = self->slot;
    self->timer.Start(
        self->deadline,
        [](void* woken) {
          static_cast<runtime::ParkSlot*>(woken)->Wake(kWoken);
        },
        slot);
  }
};

}  // namespace

void Sleep(absl::Duration d, const SourceLocation& site) {
  if (d <= absl::ZeroDuration()) return;
  const MonotonicNanos deadline = runtime::MonotonicAfter(d);
  runtime::Party& me = runtime::CurrentParty();
  runtime::ParkSlot& slot = internal::WaiterRecord(me).park;
  const runtime::WaitInfo why{runtime::WaitReason::kSleep, &site};
  slot.Prepare();
  if (me.resumer == nullptr) {
    // Nobody wakes a thread.
    (void)runtime::Sleep(slot, nullptr, nullptr, why, deadline);
    return;
  }
  Sleeper sleeper{{}, &slot, deadline};
  sleeper.timer.Prepare();
  (void)runtime::Sleep(slot, &Sleeper::Publish, &sleeper, why);
}

absl::Status Sleep(const Context& ctx, absl::Duration d,
                   const SourceLocation& site) {
  if (absl::Status ended = ctx.Err(); !ended.ok()) return ended;
  if (d <= absl::ZeroDuration()) return absl::OkStatus();
  if (Select(TimeoutCase(d, site), DoneCase(ctx, site)) == 0) {
    return absl::OkStatus();
  }
  return ctx.Err();
}

}  // namespace gochan

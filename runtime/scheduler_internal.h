// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the scheduler is made of, for scheduler.cc; and its hot paths, for those
// who expand them.
//
//   Thread                an OS thread of the runtime
//   Worker                has a queue, and runs one goroutine at a time
//   BeginGoroutineSleep   BeginSleep() for the hottest callers

#ifndef GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_
#define GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/brief_calls.h"
#include "runtime/cache_line.h"
#include "runtime/clock.h"
#include "runtime/eh_globals.h"
#include "runtime/fiber.h"
#include "runtime/goroutine.h"
#include "runtime/lock_check.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/registry.h"
#include "runtime/restartable.h"
#include "runtime/run_queue.h"
#include "runtime/scheduler.h"
#include "runtime/timer_queue.h"
#include "runtime/worker_counts.h"

namespace gochan::runtime {

class Worker;

// -----------------------------------------------------------------------------
// Thread
// -----------------------------------------------------------------------------

// An OS thread of the runtime. Its own stack is where it looks for work.
//
// Thread::wake: where it sleeps, with a worker that is kAsleep or as a spare.
//   state    set by                     next    who may act
//   kSleeps  the thread, before others  kWorks  who has claimed its worker, or
//            can claim its worker               popped it from the spares
//   kWorks   that one                   kSleeps the thread: goes to work
struct alignas(kCacheLine) Thread : Fiber {
  static constexpr uint32_t kSleeps = 0;
  static constexpr uint32_t kWorks = 1;

  // Of what others look at, by its number, perhaps before it is made: as the
  // arena gives it, which is zero, and nothing that a constructor writes.
  struct Shown {
    // In Blocking(), with or without a worker to come back to. For the
    // detection of deadlocks. Written by the thread.
    Atomic<uint32_t> in_blocking;
    Atomic<int32_t> tid;  // the kernel's number; written once, by the thread
  };

  explicit Thread(uint64_t seed) : party(seed) {}

  // Of the party that runs on this thread's own stack.
  Party party;
  EhGlobals* eh_globals = nullptr;
  // Whose work it does; nullptr: nobody's. Its own, but for a spare thread's,
  // which belongs to who has popped it.
  Worker* worker = nullptr;
  Atomic<uint32_t> wake{0};
  Atomic<uint32_t> free_next;
  union {
    Shown shown;
  };
  // How often it has lent its worker; the guard compares. Written by the
  // thread. Relaxed.
  Atomic<uint32_t> lends{0};
  // Its own stack: the low end, and where it is the runtime's from there on
  // down. Written once, `mark` last and released.
  uintptr_t stack_low = 0;
  bool punctual = false;  // see Scheduler::SetPunctual(); the thread's own
  Atomic<uintptr_t> mark{0};

  Atomic<uint32_t>& free_link() { return free_next; }
};

// -----------------------------------------------------------------------------
// Worker
// -----------------------------------------------------------------------------

// Worker::state_: who runs it.
//   state      set by                    next       who may act
//   kRetired   SetMaxProcs, itself       kDetached  SetMaxProcs
//   kDetached  SetMaxProcs,              kRunning   a waker, who finds it a
//              EnterBlocking                        thread; LeaveBlocking
//                                        kRetired   SetMaxProcs
//   kAsleep    its thread                kRunning   a waker, by futex; its own
//                                                   thread, after a time-out
//                                        kRetired   (never: it is woken first)
//   kRunning   who took it               kAsleep    its thread
//                                        kDetached  its thread: EnterBlocking
//                                        kRetired   its thread
// kDetached and kAsleep are *idle*: counted in Scheduler::counts, and its bit
// is set in Scheduler::idle.
//
// Worker::lent_: whose it is while kRunning.
//   lent_      set by                    next      who may act
//   nullptr    (start)                   a thread  its thread
//   a thread   that one, which is in a   nullptr   by swap: that thread, back
//              call: Scheduler::Lend               from the call, or the guard
class alignas(kCacheLine) Worker {
 public:
  enum State : uint32_t { kRetired, kDetached, kAsleep, kRunning };

  explicit Worker(int number)
      : number_(number), random_(0x1357u + static_cast<unsigned>(number)) {}

  // --- by the code that runs on it

  // `r` was woken: it runs next.
  [[gnu::always_inline]] inline void Ready(Runnable* r);
  // To the end of the queue.
  void PushBack(Runnable* r);

  // See BeginYield().
  [[gnu::always_inline]] inline Fiber* Yield(Goroutine& g, Yielding& yielding);

  // `g` waits, for the reason `why`: who runs after it? Tells the thread. The
  // caller then leaves the stack of `g`.
  [[gnu::always_inline]] inline Fiber& Leave(Goroutine& g, const WaitInfo& why);
  // The same for a Runnable that was chosen; nullptr: the thread's own stack.
  [[gnu::always_inline]] inline Fiber& Enter(Fiber& from, Runnable* r);
  // nullptr: nothing at hand, or time to look around.
  inline Runnable* Pick();

  // Will all that wait here have had their turn within so many nanoseconds?
  bool IsBrief(MonotonicNanos limit) const;

  MonotonicNanos coarse_now() const {
    // Relaxed: a clock for dumps.
    return now_.load(std::memory_order_relaxed);
  }

 private:
  friend class Scheduler;
  friend class WorkersProgress;

  int32_t Budget() const { return budget_.load(std::memory_order_relaxed); }
  void SetBudget(int32_t budget) {
    budget_.store(budget, std::memory_order_relaxed);
  }
  // One switch more: true, unless it is time to look around.
  [[gnu::always_inline]] inline bool Tick();
  [[gnu::always_inline]] inline Fiber& EnterGoroutine(Fiber& from,
                                                      Goroutine& g);
  // Unusual cases. `r` was taken out, or is nullptr.
  Fiber& ChooseSlow(Fiber& from, Runnable* r);
  Fiber* YieldSlow(Goroutine& g, Yielding& yielding);
  // `g` has changed places with `r`, which is no goroutine yet or never again.
  Fiber* YieldTo(Goroutine& g, Runnable* r, Yielding& yielding);
  void ReadySlow(Runnable* r);
  // Somebody runs next; `displaced`, or nobody, had been woken before.
  void LookAfter(Runnable* displaced);
  void NoticePush();
  // See quiet_: is it still so?
  bool IsQuiet() const;

  // Looks around on every so many switches, or after about kSlice.
  static constexpr int32_t kMaxBudget = 61;
  static constexpr MonotonicNanos kSlice = 200'000;
  // Less work than this, in nanoseconds, is not shared with an idle worker; nor
  // was that found longer ago than kQuietFor.
  static constexpr MonotonicNanos kWorthSharing = 20'000;
  static constexpr MonotonicNanos kQuietFor = 50'000;
  // For so long new goroutines that do not fit into the queue may overtake each
  // other.
  static constexpr MonotonicNanos kFreshFor = 10'000'000;

  const int number_;
  const uint8_t mark_ = MarkOf(number_);  // see restartable.h
  // Written by the worker, watched by the watcher: has it switched since? 0
  // without a switch, too: so that it looks around at its next one. Relaxed.
  Atomic<int32_t> budget_{kMaxBudget};
  int32_t budget_size_ = kMaxBudget;
  // As found when it last looked around, or was woken: what waits here will
  // soon have had its turn, sooner than another worker would be awake and have
  // it in its cache. So it is kept private, and nobody is woken for it; should
  // the worker stop switching, the watcher comes for it.
  bool quiet_ = false;
  // How long a turn took on average, then or before it last slept; 0: it has
  // run nothing yet.
  MonotonicNanos turn_ = 0;
  int32_t budget_then_ = kMaxBudget;
  uint64_t looked_ = 0;  // then; in Ticks()
  // Since one found something that was not there at its first look.
  uint32_t vain_searches_ = 0;
  MonotonicNanos aged_ = 0;   // when the queue was, see RunQueue
  Thread* thread_ = nullptr;  // while kRunning or kAsleep
  Random random_;
  Atomic<MonotonicNanos> now_{0};
  uint64_t next_id_ = 0;
  uint64_t last_id_ = 0;
  uint32_t spare_tasks_ = ~0u;  // list of free tasks, through free_next
  uint32_t spare_task_count_ = 0;
  Atomic<uint64_t> spawned_{0};
  Atomic<uint64_t> finished_{0};
  Atomic<uint64_t> steals_{0};
  Atomic<uint64_t> wake_ups_{0};
  Atomic<uint64_t> handoffs_{0};
  Atomic<uint64_t> rests_{0};

  // By the watcher alone.
  int32_t watched_budget_ = 0;
  MonotonicNanos watched_now_ = 0;
  bool watched_full_ = false;

  // Lost swaps since then (in Ticks()); were they too many? See Rest().
  uint64_t lost_since_ = 0;
  int lost_swaps_ = 0;
  bool is_tired_ = false;

  // Brief calls since the last one after which it looked around.
  int32_t calls_ = 0;
  BriefCalls brief_calls_;
  BriefCalls::Index lent_for_ = 0;
  Atomic<Thread*> lent_{nullptr};
  // By the guard alone: to whom, and for which of his calls, when it last
  // looked.
  const Thread* guarded_ = nullptr;
  uint32_t guarded_lends_ = 0;

  alignas(kCacheLine) Atomic<uint32_t> state_{kRetired};
  RunQueue<Runnable> queue_;
  TimerQueue timers_;
};

// -----------------------------------------------------------------------------
// BeginGoroutineSleep
// -----------------------------------------------------------------------------

// BeginSleep() for a goroutine, with the choice of who runs next expanded in
// it. So for very few callers. No call is in its usual way, lest they save
// registers for that.
[[gnu::always_inline]] inline Fiber& BeginGoroutineSleep(Sleeping& sleeping,
                                                         Party& me,
                                                         Publish publish,
                                                         void* arg,
                                                         const WaitInfo& why) {
  sleeping.publication = {publish, arg};
  sleeping.from = &static_cast<Goroutine&>(me);
  return Get_current_worker()->Leave(static_cast<Goroutine&>(me), why);
}

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

// In debug builds: it is about to leave its thread.
[[gnu::always_inline]] inline void CheckNoLocksOf(
    [[maybe_unused]] const Goroutine& g, [[maybe_unused]] const char* verb,
    [[maybe_unused]] const SourceLocation* site) {
#if GOCHAN_LOCK_CHECK
  // Relaxed: written before it began.
  CheckNoLocks(g.task->id.load(std::memory_order_relaxed), verb, site,
               g.task->site.Load());
#endif
}

// One more, in a counter that one writes at a time. Relaxed: only sums are
// read.
template <typename T>
[[gnu::always_inline]] inline void Bump(Atomic<T>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1,
                std::memory_order_relaxed);
}

inline void Worker::Ready(Runnable* r) {
  Runnable* displaced;
  if (!queue_.TryPushNext(r, &displaced)) [[unlikely]] {
    ReadySlow(r);
    return;
  }
  // Relaxed: see LookAfter().
  const uint64_t counts = WorkerCounts::counts.load(std::memory_order_relaxed);
  if (displaced != nullptr || WorkerCounts::NeedsWatcher(counts)) [[unlikely]] {
    LookAfter(displaced);
  }
}

inline bool Worker::Tick() {
  const int32_t budget = Budget() - 1;
  SetBudget(budget);
  return budget > 0;
}

inline Runnable* Worker::Pick() {
  if (!Tick()) [[unlikely]]
    return nullptr;
  Runnable* const r = queue_.TakeNext();
  return r != nullptr ? r : queue_.Take();
}

inline Fiber& Worker::EnterGoroutine(Fiber& from, Goroutine& g) {
  if constexpr (GOCHAN_REGISTRY) g.note.Run();
  if (g.worker != this) {
    g.worker = this;
    g.timers = &timers_;
  }
  SetCurrentParty(&g);
  SwitchEhGlobals(*thread_->eh_globals, from.eh, g.eh);
  return g;
}

inline Fiber& Worker::Enter(Fiber& from, Runnable* r) {
  if (r != nullptr && !r->IsAbandoned()) [[likely]] {
    return EnterGoroutine(from, *static_cast<Goroutine*>(r));
  }
  SetCurrentParty(&thread_->party);
  SwitchEhGlobals(*thread_->eh_globals, from.eh, thread_->eh);
  return *thread_;
}

inline Fiber& Worker::Leave(Goroutine& g, const WaitInfo& why) {
  CheckNoLocksOf(g, "blocks", why.site);
  if constexpr (GOCHAN_REGISTRY) {
    // Until the switch has saved it: for onlookers, see stack_copy.h.
    g.context.sp = nullptr;
    g.note.Wait(why, coarse_now());
  }
  Runnable* r = nullptr;
  if (Tick() && queue_.TryTakeNext(&r)) [[likely]] {
    if (r != nullptr && r->MayGoOn()) [[likely]] {
      return EnterGoroutine(g, *static_cast<Goroutine*>(r));
    }
  }
  return ChooseSlow(g, r);
}

// Nothing is to be done for who is alone: its worker looks around now and then.
inline Fiber* Worker::Yield(Goroutine& g, Yielding& yielding) {
  CheckNoLocksOf(g, "yields", nullptr);
  yielding.from = &g;
  // Relaxed: as in PushBack().
  if (Tick() && WorkerCounts::MayHide(
                    WorkerCounts::counts.load(std::memory_order_relaxed),
                    quiet_)) [[likely]] {
    Runnable* const r = queue_.Rotate(&g);
    if (r != nullptr && r->MayGoOn()) [[likely]] {
      yielding.carried = Unlock(queue_.rotate_lock()).carried();
      return &EnterGoroutine(g, *static_cast<Goroutine*>(r));
    }
    if (r != nullptr) return YieldTo(g, r, yielding);
  }
  return YieldSlow(g, yielding);
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SCHEDULER_INTERNAL_H_

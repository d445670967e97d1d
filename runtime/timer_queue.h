// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// TimerQueue: the timers that one worker has started; runtime/timers.h is what
// starts them.
//
// For the scheduler, which owns one per worker and says in Party::timers whose
// turn it is:
//
//   NextDeadline     when is there something to do here?     anybody
//   RunDue           does it                                 anybody
//   PrepareToSleep   the exact answer, before a sleep        the owner
//   MoveTo           hands all over, before it retires       the owner
//
// The *owner* is the code that runs on the worker, one thread at a time. Only
// it starts timers here; they are stopped from anywhere. The heap is guarded by
// a lock that is only ever tried: the owner finds it taken when another worker
// is firing its timers, and then leaves the new one in the inbox.
//
//   worker: Timer::Start ──lock free──► heap ──due──► callbacks, by RunDue()
//                        ──lock taken──► inbox ──drain──► heap
//
// A worker's loop:
//
//   now and then, while it is busy:  if (q.NextDeadline() <= now) q.RunDue(now)
//   with nothing to run:             the same for its own, then for the others
//   before it sleeps:                until = q.PrepareToSleep(); if that has
//                                    passed, RunDue() again; else sleep till
//                                    then at most
// A worker that finds all others busy for long lets nobody down if it looks at
// their NextDeadline() as well before it sleeps.
//
// Memory ordering: what thread X did before Timer::Start() is visible in the
// callback, whichever thread runs it.
//
// Never destroyed while a timer that was started here is pending, or may be
// stopped; queues of workers live as long as the process.

#ifndef GOCHAN_RUNTIME_TIMER_QUEUE_H_
#define GOCHAN_RUNTIME_TIMER_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <limits>

#include "runtime/atomic.h"
#include "runtime/cache_line.h"
#include "runtime/clock.h"
#include "runtime/timer_entry.h"

namespace gochan::runtime {

class alignas(kCacheLine) TimerQueue {
 public:
  // What NextDeadline() says when it cannot tell: look now.
  static constexpr MonotonicNanos kLookNow =
      std::numeric_limits<MonotonicNanos>::min();

  constexpr TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // TimerQueue::NextDeadline()
  //
  // Not later than the earliest deadline that is pending here; kNever if none
  // is. It may be too early: kLookNow while timers wait in the inbox, or the
  // deadline of one that has been stopped. Thread-safe; two loads of one cache
  // line.
  MonotonicNanos NextDeadline() const {
    // Relaxed, both: a hint to callers other than the owner, who has written
    // what it reads here, or takes the lock to know for sure.
    if (inbox_.load(std::memory_order_relaxed) != nullptr) return kLookNow;
    return next_.load(std::memory_order_relaxed);
  }

  // TimerQueue::RunDue()
  //
  // Calls back what is due at `now`, in the order of deadlines, on the calling
  // thread; returns how many. Does nothing if another thread is at it. What the
  // callbacks start is left for the next call, even if it is due. Thread-safe;
  // O(log n) for each.
  size_t RunDue(MonotonicNanos now) noexcept;

  // TimerQueue::PrepareToSleep()
  //
  // Until when may the owner sleep at most? As long as it starts nothing, and
  // nobody calls MoveTo(), no earlier deadline appears here. kNever: nothing is
  // pending. If another thread holds the lock it cannot be told, and the answer
  // is a few microseconds from now, more each time. Owner only.
  MonotonicNanos PrepareToSleep() noexcept;

  // TimerQueue::MoveTo()
  //
  // Hands everything that is pending over to `other`, whose owner must be woken
  // afterwards if it may sleep. False, and nothing has changed: another thread
  // is using one of the two; try again. Owner only; O(n + m).
  [[nodiscard]] bool MoveTo(TimerQueue& other) noexcept;

  // Slots in the heap, stale ones included; 24 bytes each. A statistic.
  size_t slots() const { return heap_size_.load(std::memory_order_relaxed); }

  // ---------------------------------------------------------------------------
  // For Timer.

  // Begins a life of an idle entry; returns where it is kept: here, or in
  // another queue, in whose inbox it still was. Owner only, but for a queue
  // that is `shared`, where it goes to the inbox in any case.
  TimerQueue* Start(TimerEntry* entry, MonotonicNanos deadline,
                    TimerCallback fn, void* arg, bool shared) noexcept;

  // A slot of this heap has become stale; `own`: by the owner's doing. True if
  // a sweep is worth while and the owner may not come by for long.
  [[nodiscard]] bool NoteStale(bool own);
  // Sweeps if that is still so and nobody else holds the lock.
  void TrySweep() noexcept;

  // S seq_cst: see TimerService in timers.cc. For a shared queue.
  bool InboxIsEmpty() const {
    return inbox_.load(std::memory_order_seq_cst) == nullptr;
  }

  // Idle entries that the owner keeps for the next Timer. nullptr: none.
  TimerEntry* TakeSpare();
  // False: enough are kept.
  bool KeepSpare(TimerEntry* entry);

  // TimerQueue::IsBeingFired()
  //
  // By anybody: does somebody hold the lock, as it is while callbacks run? If
  // not, what those before have done is visible; also of one whose entry the
  // caller has found not pending any more, before an acquire fence.
  bool IsBeingFired() const {
    // Q1 acquire.
    return lock_.load(std::memory_order_acquire) != 0;
  }

#if GOCHAN_INSTRUMENT
  // Takes the earliest one out; false if there is none.
  bool TakeEarliest(TimerCallback* fn, void** arg, MonotonicNanos* deadline);
#endif

 private:
  // Fewer stale slots than this are not worth a sweep, or a visit.
  static constexpr size_t kSweep = 256;
  static constexpr size_t kVisitToSweep = 4096;
  static constexpr uint32_t kMaxSpare = 64;

  // TimerQueue::lock_: who may touch heap_ and drain the inbox.
  //   state  set by    next  who may act
  //   0      Unlock()  1     anybody: TryLock()
  //   1      TryLock() 0     its holder: Unlock()
  // Q1: what a holder did is visible to the next one.
  bool TryLock() {
    // Relaxed: only spares others the exchange. Q1 acquire.
    return lock_.load(std::memory_order_relaxed) == 0 &&
           lock_.exchange(1, std::memory_order_acquire) == 0;
  }
  void Unlock() {
    // Q1 release.
    lock_.store(0, std::memory_order_release);
  }

  void Push(TimerEntry* entry);

  // By the holder of the lock.
  void Drain();
  void DropStaleTops();
  [[nodiscard]] bool TakeTop(TimerCallback* fn, void** arg);
  void SweepIfMany();
  void NoteHeap();

  size_t Stale() const {
    // Relaxed, both: they only decide when to sweep.
    return own_stale_.load(std::memory_order_relaxed) +
           others_stale_.load(std::memory_order_relaxed);
  }
  // More than half of the heap.
  bool IsMany(size_t stale) const { return 2 * stale > slots(); }

  // Of the heap; kNever if it is empty. Written by the holder of the lock.
  Atomic<MonotonicNanos> next_{kNever};
  // Entries whose starters have pushed them, newest first; a Treiber stack,
  // only ever emptied as a whole.
  //   state    set by        next     who may act
  //   nullptr  drain         entry    the owner, of a shared queue anybody
  //   entry    Push()        entry    the same
  //                          nullptr  the holder of the lock: Drain()
  Atomic<TimerEntry*> inbox_{nullptr};
  Atomic<uint32_t> lock_{0};
  uint32_t contended_ = 0;  // PrepareToSleep() in vain, in a row; the owner's
  TimerHeap heap_;
  Atomic<size_t> heap_size_{0};  // for who does not hold the lock
  // Slots that have become stale since the last sweep, roughly.
  Atomic<size_t> own_stale_{0};  // by the owner, without an exchange

  alignas(kCacheLine) Atomic<size_t> others_stale_{0};
  size_t sweep_at_ = kVisitToSweep;  // slots that call for a look in any case
  uint32_t spare_ = 0;               // the owner's; index + 1
  uint32_t spares_ = 0;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_TIMER_QUEUE_H_

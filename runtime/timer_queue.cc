// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/timer_queue.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Starting and stopping
// -----------------------------------------------------------------------------

TimerQueue* TimerQueue::Start(TimerEntry* entry, MonotonicNanos deadline,
                              TimerCallback fn, void* arg,
                              bool shared) noexcept {
  if (entry->IsPosted()) [[unlikely]] {
    TimerQueue* const where = entry->ArmInPlace(deadline, fn, arg);
    if (where != nullptr) return where;
  }
  if (shared || !TryLock()) {
    (void)entry->Arm(deadline, fn, arg, this, /*posted=*/true);
    Push(entry);
    return this;
  }
  const uint64_t life = entry->Arm(deadline, fn, arg, this, /*posted=*/false);
  heap_.Push({deadline, life, entry});
  SweepIfMany();
  NoteHeap();
  Unlock();
  return this;
}

void TimerQueue::Push(TimerEntry* entry) {
  // Relaxed: validated by the swap.
  TimerEntry* head = inbox_.load(std::memory_order_relaxed);
  do {
    // Relaxed: released by the swap, acquired by Drain() (Q2).
    entry->inbox_link().store(head, std::memory_order_relaxed);
    // Q2 release; S. Only ever emptied as a whole, so no ABA.
  } while (!inbox_.compare_exchange(head, entry, std::memory_order_seq_cst));
}

bool TimerQueue::NoteStale(bool own) {
  // Relaxed, all: see Stale(). An increment is lost when a sweep resets the
  // count at that moment.
  if (own) {
    own_stale_.store(own_stale_.load(std::memory_order_relaxed) + 1,
                     std::memory_order_relaxed);
    return false;
  }
  others_stale_.fetch_add(1, std::memory_order_relaxed);
  const size_t stale = Stale();
  return stale >= kVisitToSweep && IsMany(stale);
}

void TimerQueue::TrySweep() noexcept {
  if (!TryLock()) return;
  SweepIfMany();
  NoteHeap();
  Unlock();
}

TimerEntry* TimerQueue::TakeSpare() {
  if (spare_ == 0) return nullptr;
  TimerEntry& entry = TimerArena::At(spare_ - 1);
  // Relaxed: the owner's own.
  spare_ = entry.free_link().load(std::memory_order_relaxed);
  --spares_;
  return &entry;
}

bool TimerQueue::KeepSpare(TimerEntry* entry) {
  if (spares_ >= kMaxSpare) return false;
  entry->free_link().store(spare_, std::memory_order_relaxed);  // as above
  spare_ = TimerArena::IndexOf(entry) + 1;
  ++spares_;
  return true;
}

// -----------------------------------------------------------------------------
// By the holder of the lock
// -----------------------------------------------------------------------------

// Moves what is armed in the inbox to the heap.
void TimerQueue::Drain() {
  // Relaxed: what the owner has pushed it sees; others may be late.
  if (inbox_.load(std::memory_order_relaxed) == nullptr) return;
  // Q2 acquire: the links; pairs with Push().
  TimerEntry* entry = inbox_.exchange(nullptr, std::memory_order_acq_rel);
  while (entry != nullptr) {
    // Before Unpost(), which allows the next Push(). Relaxed: Q2.
    TimerEntry* const next =
        entry->inbox_link().load(std::memory_order_relaxed);
    const TimerEntry::Drained drained = entry->Unpost();
    // Also if it has been stopped since: its stopper has counted the slot.
    if (drained.armed) heap_.Push({drained.deadline, drained.life, entry});
    entry = next;
  }
}

void TimerQueue::DropStaleTops() {
  while (!heap_.empty() && heap_.top().IsStale()) heap_.Pop();
}

// Takes the top slot out; false if it was stale.
bool TimerQueue::TakeTop(TimerCallback* fn, void** arg) {
  const TimerHeap::Slot slot = heap_.top();
  heap_.Pop();
  return slot.entry->Fire(slot.life, fn, arg);
}

// Stale slots that leave by the top are not counted back, so this comes a bit
// early at times; but not before half of the heap has been stopped since the
// last one, which pays for it. The size alone is a reason too, for slots that
// came by MoveTo() are counted elsewhere when they become stale.
void TimerQueue::SweepIfMany() {
  const size_t stale = Stale();
  const size_t size = heap_.size();
  if (size < sweep_at_ && (stale < kSweep || 2 * stale <= size)) [[likely]] {
    return;
  }
  heap_.Sweep();
  sweep_at_ = std::max(kVisitToSweep, 4 * heap_.size());
  // Relaxed: see Stale().
  own_stale_.store(0, std::memory_order_relaxed);
  others_stale_.store(0, std::memory_order_relaxed);
}

// Tells others what the heap is like.
void TimerQueue::NoteHeap() {
  // Relaxed, both: see NextDeadline() and slots().
  next_.store(heap_.empty() ? kNever : heap_.top().deadline,
              std::memory_order_relaxed);
  heap_size_.store(heap_.size(), std::memory_order_relaxed);
}

// -----------------------------------------------------------------------------
// For the scheduler
// -----------------------------------------------------------------------------

size_t TimerQueue::RunDue(MonotonicNanos now) noexcept {
  if (NextDeadline() > now || !TryLock()) return 0;
  Drain();
  SweepIfMany();
  size_t fired = 0;
  while (!heap_.empty() && heap_.top().deadline <= now) {
    TimerCallback fn;
    void* arg;
    if (!TakeTop(&fn, &arg)) continue;
    NoteHeap();
    ++fired;
    fn(arg);
  }
  Drain();
  DropStaleTops();
  NoteHeap();
  Unlock();
  return fired;
}

MonotonicNanos TimerQueue::PrepareToSleep() noexcept {
  if (!TryLock()) {
    constexpr MonotonicNanos kFirstPause = 16'000;
    constexpr uint32_t kMaxDoublings = 6;  // a millisecond
    if (contended_ < kMaxDoublings) ++contended_;
    return MonotonicNow() + (kFirstPause << contended_) / 2;
  }
  contended_ = 0;
  Drain();
  SweepIfMany();
  DropStaleTops();
  NoteHeap();
  const MonotonicNanos next = heap_.empty() ? kNever : heap_.top().deadline;
  Unlock();
  return next;
}

bool TimerQueue::MoveTo(TimerQueue& other) noexcept {
  if (!TryLock()) return false;
  const bool both = other.TryLock();
  if (both) {
    Drain();
    other.heap_.Absorb(heap_);
    NoteHeap();
    other.SweepIfMany();
    other.NoteHeap();
    other.Unlock();
  }
  Unlock();
  while (TimerEntry* const entry = both ? TakeSpare() : nullptr) {
    TimerArena::Free(TimerArena::IndexOf(entry));
  }
  return both;
}

#if GOCHAN_INSTRUMENT
bool TimerQueue::TakeEarliest(TimerCallback* fn, void** arg,
                              MonotonicNanos* deadline) {
  Drain();
  for (;;) {
    DropStaleTops();
    if (heap_.empty()) return false;
    *deadline = heap_.top().deadline;
    if (TakeTop(fn, arg)) return true;
  }
}
#endif

}  // namespace gochan::runtime

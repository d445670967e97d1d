// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What a pending timer consists of, for timers.cc and timer_queue.cc.
//
//   TimerEntry   one Timer's place in the source: its life, what it will call
//   TimerHeap    a queue's pending timers, the earliest deadline first
//
// docs/design/timers.md has the whole picture.

#ifndef GOCHAN_RUNTIME_TIMER_ENTRY_H_
#define GOCHAN_RUNTIME_TIMER_ENTRY_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/cache_line.h"
#include "runtime/clock.h"

namespace gochan::runtime {

class TimerQueue;

// A function that a timer calls, with the argument it was started with.
using TimerCallback = void (*)(void* arg);

// Type-stable (runtime/arena.h): an inbox and heaps may refer to an entry whose
// Timer has been stopped, restarted or destroyed, or that belongs to another
// Timer by now; its life tells.
//
// word_ = { life:63 posted:1 }. The life grows by one with every transition
// between idle and armed: odd is armed. posted: the entry is in an inbox, or
// the Start() that set it is about to put it there. Zero is a valid entry.
//   state         set by      next                             who may act
//   idle          fire, Stop, armed (has a slot in the heap)   owner: Start
//                 drain       armed+posted                     owner: Start
//   idle+posted   Stop        armed+posted    owner: Start, in place
//                             idle                             holder: drain
//   armed+posted  Start       idle+posted                      owner: Stop
//                             armed (has a slot in the heap)   holder: drain
//   armed         Start,      idle (the slot is stale)         owner: Stop
//                 drain       idle (the slot is gone)          holder: fire
//
// "owner" is whoever may call the Timer's functions, "holder" whoever holds
// the lock of the queue that has the entry.
//
// Edges:
//   T1  an armed entry's deadline_, fn_, arg_, and what its starter did before:
//       released by Arm(), acquired by Unpost(); or, if the starter puts the
//       slot into the heap itself, by the queue's lock.
//   T2  the end of a life: released by Disarm(), Unpost() and Fire(), acquired
//       by Disarm(), Arm() and ArmInPlace(). The next Start() overwrites the
//       fields only after a holder has read what it is going to use.
struct alignas(kCacheLine) TimerEntry {
 public:
  struct Drained {
    bool armed;
    uint64_t life;
    MonotonicNanos deadline;
  };

  // By the owner, of an idle entry: is it still in an inbox? Then try
  // ArmInPlace() first.
  [[nodiscard]] bool IsPosted() const {
    // Relaxed: only Start() sets it, which the caller has ordered; and what
    // ArmInPlace() finds is what counts.
    return Posted(word_.load(std::memory_order_relaxed));
  }

  // By the owner, of an idle entry: begins a life where it lies; the queue in
  // whose inbox that is, or nullptr (and no life has begun): it is in none.
  [[nodiscard]] TimerQueue* ArmInPlace(MonotonicNanos deadline,
                                       TimerCallback fn, void* arg) {
    // T2 acquire.
    uint64_t word = word_.load(std::memory_order_acquire);
    SetFields(deadline, fn, arg);
    while (Posted(word)) {
      // Relaxed: written by a Start() before this one.
      TimerQueue* const queue = queue_.load(std::memory_order_relaxed);
      // Fails only because the entry has been taken off the inbox.
      // T1 release; T2 acquire.
      if (word_.compare_exchange(word, Word(Life(word) + 1, true),
                                 std::memory_order_acq_rel)) {
        return queue;
      }
    }
    return nullptr;
  }

  // By the owner, of an idle entry that is in no inbox: begins a life and
  // returns its number. The caller puts it into the inbox of `queue` if
  // `posted`, else, under its lock, into its heap.
  uint64_t Arm(MonotonicNanos deadline, TimerCallback fn, void* arg,
               TimerQueue* queue, bool posted) {
    // T2 acquire.
    const uint64_t life = Life(word_.load(std::memory_order_acquire)) + 1;
    SetFields(deadline, fn, arg);
    queue_.store(queue, std::memory_order_relaxed);  // as the fields
    // A store, for nobody else changes an entry in this state. T1 release.
    word_.store(Word(life, posted), std::memory_order_release);
    return life;
  }

  // By the owner: of the life that it has begun last.
  MonotonicNanos deadline() const {
    // Relaxed: only the owner sets it.
    return deadline_.load(std::memory_order_relaxed);
  }

  enum class Disarmed { kNotArmed, kInInbox, kInHeap };

  // By the owner; the linearization point of Stop() is its swap, or the load
  // that finds the entry idle. `queue`: where the entry was.
  [[nodiscard]] Disarmed Disarm(TimerQueue** queue) {
    // Acquire: queue_ as this life's starter has set it (T1).
    uint64_t word = word_.load(std::memory_order_acquire);
    while (Armed(word)) {
      // Relaxed: believed only if the swap succeeds.
      *queue = queue_.load(std::memory_order_relaxed);
      // T2 release and acquire.
      if (word_.compare_exchange(word, Word(Life(word) + 1, Posted(word)),
                                 std::memory_order_acq_rel)) {
        return Posted(word) ? Disarmed::kInInbox : Disarmed::kInHeap;
      }
    }
    return Disarmed::kNotArmed;
  }

  // By a holder, once it has taken the entry off the inbox. The caller of
  // Start() may push it again from then on.
  [[nodiscard]] Drained Unpost() {
    // T1 acquire; pairs with Arm().
    uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
      const MonotonicNanos deadline = deadline_.load(std::memory_order_relaxed);
      // T1 acquire on failure; T2 release on success, for the read above.
      if (word_.compare_exchange(word, Word(Life(word), false),
                                 std::memory_order_acq_rel)) {
        return {Armed(word), Life(word), deadline};
      }
    }
  }

  // By a holder: whether `life` is still armed.
  [[nodiscard]] bool Lives(uint64_t life) const {
    // Relaxed: a hint, or followed by Fire().
    return Life(word_.load(std::memory_order_relaxed)) == life;
  }

  // By a holder: ends `life` for its callback to run; false if the owner was
  // faster. The entry is not touched afterwards.
  [[nodiscard]] bool Fire(uint64_t life, TimerCallback* fn, void** arg) {
    // Relaxed: seen because of T1.
    *fn = fn_.load(std::memory_order_relaxed);
    *arg = arg_.load(std::memory_order_relaxed);
    uint64_t word = Word(life, false);
    // T2 release: the reads above come before the next Start().
    return word_.compare_exchange(word, Word(life + 1, false),
                                  std::memory_order_acq_rel);
  }

  [[nodiscard]] bool IsPending() const {
    // Relaxed: a statistic; who has seen a call return has an edge of his own.
    return Armed(word_.load(std::memory_order_relaxed));
  }

  // By anybody: is it armed, and with what? It was so at one moment.
  [[nodiscard]] bool IsPending(TimerCallback* fn, void** arg) {
    // T1 acquire.
    uint64_t word = word_.load(std::memory_order_acquire);
    do {
      if (!Armed(word)) return false;
      // Relaxed: as in Fire().
      *fn = fn_.load(std::memory_order_relaxed);
      *arg = arg_.load(std::memory_order_relaxed);
      // T2 release: the reads above come before the next Start(). Changes
      // nothing, so no swap of others fails that would not have.
    } while (!word_.compare_exchange(word, word, std::memory_order_acq_rel));
    return true;
  }

  Atomic<uint32_t>& free_link() { return free_link_; }
  Atomic<TimerEntry*>& inbox_link() { return inbox_link_; }

 private:
  static constexpr uint64_t Word(uint64_t life, bool posted) {
    return life << 1 | uint64_t{posted};
  }
  static constexpr uint64_t Life(uint64_t word) { return word >> 1; }
  static constexpr bool Posted(uint64_t word) { return (word & 1) != 0; }
  static constexpr bool Armed(uint64_t word) { return (word & 2) != 0; }

  void SetFields(MonotonicNanos deadline, TimerCallback fn, void* arg) {
    // Relaxed: holders read these at any time and believe them only if the
    // word has not changed.
    deadline_.store(deadline, std::memory_order_relaxed);
    fn_.store(fn, std::memory_order_relaxed);
    arg_.store(arg, std::memory_order_relaxed);
  }

  Atomic<uint64_t> word_;
  Atomic<MonotonicNanos> deadline_;
  Atomic<TimerCallback> fn_;
  Atomic<void*> arg_;
  // Where its latest life began: whose inbox, if posted; who is told of a slot
  // that has become stale. (TimerQueue::MoveTo() does not change it.)
  Atomic<TimerQueue*> queue_;
  // An entry can be in an inbox and free at once, hence two links.
  Atomic<TimerEntry*> inbox_link_;  // by whoever has set posted
  Atomic<uint32_t> free_link_;
};
static_assert(sizeof(TimerEntry) == kCacheLine);

// 16 million timers at once: a gigabyte of address space, reserved at first
// use.
inline constexpr uint32_t kMaxTimerEntries = 1u << 24;
inline constexpr uint32_t kTimerEntryBatch = 256;
using TimerArena = Arena<TimerEntry, kMaxTimerEntries, kTimerEntryBatch>;

// A 4-ary heap is half as deep as a binary one, and the four children that are
// compared lie beside each other. For one thread at a time. Without a
// destructor, for queues that outlive static objects; zero is an empty heap.
class TimerHeap {
 public:
  struct Slot {
    MonotonicNanos deadline;
    uint64_t life;
    TimerEntry* entry;

    bool IsStale() const { return !entry->Lives(life); }
  };

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  const Slot& top() const { return slots_[0]; }

  void Push(const Slot& slot) {
    if (size_ == capacity_) Resize(std::max<size_t>(2 * size_, 16));
    SiftUp(size_++, slot);
  }

  void Pop() {
    --size_;
    if (size_ != 0) SiftDown(0, Slot(slots_[size_]));
  }

  // Drops the stale slots and the memory they took.
  void Sweep() {
    size_ = std::remove_if(slots_, slots_ + size_,
                           [](const Slot& slot) { return slot.IsStale(); }) -
            slots_;
    if (capacity_ > 4 * size_ + 1024) Resize(size_ + 16);
    Heapify();
  }

  // Takes over all slots of `other`.
  void Absorb(TimerHeap& other) {
    if (other.size_ == 0) return;
    if (size_ + other.size_ > capacity_) Resize(size_ + other.size_);
    std::copy_n(other.slots_, other.size_, slots_ + size_);
    size_ += other.size_;
    other.size_ = 0;
    other.Resize(0);
    Heapify();
  }

 private:
  static constexpr size_t kArity = 4;

  void Resize(size_t capacity) {
    if (capacity == 0) {
      std::free(slots_);
      slots_ = nullptr;
    } else {
      void* const slots = std::realloc(slots_, capacity * sizeof(Slot));
      if (slots == nullptr) OutOfMemory("timers");
      slots_ = static_cast<Slot*>(slots);
    }
    capacity_ = capacity;
  }

  // Floyd's construction: from the last slot's parent down to the root.
  void Heapify() {
    for (size_t i = size_ / kArity + 1; i-- > 0;) {
      if (i < size_) SiftDown(i, Slot(slots_[i]));
    }
  }

  void SiftUp(size_t hole, const Slot& slot) {
    while (hole > 0) {
      const size_t parent = (hole - 1) / kArity;
      if (slots_[parent].deadline <= slot.deadline) break;
      slots_[hole] = slots_[parent];
      hole = parent;
    }
    slots_[hole] = slot;
  }

  void SiftDown(size_t hole, const Slot& slot) {
    for (;;) {
      const size_t first = hole * kArity + 1;
      if (first >= size_) break;
      size_t least = first;
      const size_t end = std::min(first + kArity, size_);
      for (size_t i = first + 1; i < end; ++i) {
        if (slots_[i].deadline < slots_[least].deadline) least = i;
      }
      if (slot.deadline <= slots_[least].deadline) break;
      slots_[hole] = slots_[least];
      hole = least;
    }
    slots_[hole] = slot;
  }

  Slot* slots_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_TIMER_ENTRY_H_

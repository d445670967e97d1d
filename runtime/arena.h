// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Arena<T>: type-stable memory with small numbers for addresses.
//
// One reserved address range per T; a unit's index becomes its address by a
// multiplication and an addition; memory is committed as it is first used,
// given out again after Free(), and never unmapped. So a thread that comes late
// with an old index reads a T, perhaps of another life, never something else:
// what it does with it must be validated by a generation or a serial.
//
//   At(index), IndexOf(unit)
//   Allocate()   a unit: fresh ones are zero, others as Free() left them
//   Free(index)
//
// Lock-free: the free list is Treiber's stack with a tag against ABA
// (R. K. Treiber, "Systems programming: coping with parallelism", 1986).
// T offers `Atomic<uint32_t>& free_link()`, which the arena uses while the unit
// is free and which late readers do not mind.

#ifndef GOCHAN_RUNTIME_ARENA_H_
#define GOCHAN_RUNTIME_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <new>

#include "runtime/atomic.h"

namespace gochan::runtime {

struct DebugLayout;

// There is no memory for `what`: throws std::bad_alloc; without exceptions says
// so and aborts.
[[noreturn]] void OutOfMemory(const char* what);

namespace arena_internal {

struct Range {
  void* base;
  uint32_t units;
};

// Reserves address space for `max_units`, or as many as the process may have
// (a limit on address space halves it). Aborts with a message below 2^12 units.
Range Reserve(std::size_t unit_size, uint32_t max_units);

// How much of a range is usable. It grows in steps of many units, each of which
// is two system calls.
class Usable {
 public:
  // Makes the first `bytes` of the range usable, which is `limit` bytes long;
  // throws std::bad_alloc if it cannot.
  void Ensure(char* base, std::size_t bytes, std::size_t limit) {
    // U1 acquire: the calls that made it usable; pairs with U1 in Grow().
    const std::size_t usable = bytes_.load(std::memory_order_acquire);
    if (bytes > usable) [[unlikely]]
      Grow(base, bytes, limit, usable);
  }

  std::size_t Bytes() const {
    return bytes_.load(std::memory_order_acquire);  // U1, as in Ensure()
  }

 private:
  void Grow(char* base, std::size_t bytes, std::size_t limit,
            std::size_t usable);

  // Usable::bytes_: all below are usable.
  //   state   set by                      next     who may act
  //   bytes   who has made them so, when  a later  anybody who needs more:
  //           all below were already      one      make the next step usable
  Atomic<std::size_t> bytes_{0};
};

}  // namespace arena_internal

// A stack of free units, which are linked through their own free_link().
template <typename ArenaT>
class FreeStack {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // A hint, unless nobody pushes or pops meanwhile.
  bool Empty() const {
    return Index(head_.load(std::memory_order_relaxed)) == kNone;
  }

  // kNone if it is empty.
  uint32_t Pop() {
    NoSteps one_step;
    // A1 acquire: the unit as it was pushed; pairs with A1 in Push(). Acquire
    // also keeps the read of the link behind it.
    uint64_t head = head_.load(std::memory_order_acquire);
    while (Index(head) != kNone) {
      // Relaxed: a stale link is refused by the tag.
      const uint32_t next =
          ArenaT::At(Index(head)).free_link().load(std::memory_order_relaxed);
      if (head_.compare_exchange(head, Head(next, Tag(head) + 1),
                                 std::memory_order_acq_rel)) {
        break;
      }
    }
    return Index(head);
  }

  // Pushes the units `first`..`last`, which are linked already.
  void Push(uint32_t first, uint32_t last) {
    NoSteps one_step;
    // Relaxed: the swap below validates it.
    uint64_t head = head_.load(std::memory_order_relaxed);
    do {
      ArenaT::At(last).free_link().store(Index(head),
                                         std::memory_order_relaxed);
      // A1 release: the units' content; pairs with A1 in Pop(). acq_rel, so
      // that the chain of swaps stays one release sequence for every popper.
    } while (!head_.compare_exchange(head, Head(first, Tag(head) + 1),
                                     std::memory_order_acq_rel));
  }

 private:
  // { index:32 tag:32 }; the tag counts the changes of the head.
  static constexpr uint64_t Head(uint32_t index, uint32_t tag) {
    return uint64_t{tag} << 32 | index;
  }
  static constexpr uint32_t Index(uint64_t head) {
    return static_cast<uint32_t>(head);
  }
  static constexpr uint32_t Tag(uint64_t head) {
    return static_cast<uint32_t>(head >> 32);
  }

  Atomic<uint64_t> head_{Head(kNone, 0)};
};

template <typename T, uint32_t kMaxUnits, uint32_t kBatch>
class Arena {
 public:
  static constexpr uint32_t kNone = FreeStack<Arena>::kNone;

  static T& At(uint32_t index) { return base_[index]; }
  static uint32_t IndexOf(const T* unit) {
    return static_cast<uint32_t>(unit - base_);
  }

  // Throws std::bad_alloc when the range is used up.
  static uint32_t Allocate() {
    const uint32_t index = free_.Pop();
    return index != kNone ? index : AllocateBatch();
  }

  static void Free(uint32_t index) { free_.Push(index, index); }

  // kBatch units that nobody has used, from the one returned on; not linked.
  // For those who keep a free list of their own; T then needs no free_link().
  static uint32_t AllocateFresh() {
    NoSteps one_step;
    const uint32_t limit = Limit();
    // Relaxed: only who gets which numbers; the memory is fresh.
    const uint32_t first = used_.fetch_add(kBatch, std::memory_order_relaxed);
    if (first > limit - kBatch) {
      used_.fetch_sub(kBatch, std::memory_order_relaxed);
      OutOfMemory("an arena");
    }
    usable_.Ensure(reinterpret_cast<char*>(base_),
                   sizeof(T) * (std::size_t{first} + kBatch),
                   sizeof(T) * std::size_t{limit});
    return first;
  }

  // Units taken from the range so far, used or free: a high-water mark, for
  // tests and metrics.
  static uint32_t HighWater() {
    return used_.load(std::memory_order_relaxed);  // a statistic
  }

  // For onlookers, by number: so many, from the first one, have memory. Fewer
  // than HighWater() while somebody makes more of it usable.
  static uint32_t Readable() {
    const std::size_t there = usable_.Bytes() / sizeof(T);
    const uint32_t used = HighWater();
    return there < used ? static_cast<uint32_t>(there) : used;
  }

  // For onlookers: where they lie.
  static const void* Begin() { return base_; }

 private:
  // Takes fresh units from the end of the range: returns the first one and
  // gives the others to the free list.
  static uint32_t AllocateBatch() {
    NoSteps one_step;
    const uint32_t first = AllocateFresh();
    if constexpr (kBatch > 1) {
      for (uint32_t i = first + 1; i + 1 < first + kBatch; ++i) {
        At(i).free_link().store(i + 1, std::memory_order_relaxed);
      }
      free_.Push(first + 1, first + kBatch - 1);
    }
    return first;
  }

  // Reserves the range at the first call; thread-safe.
  static uint32_t Limit() {
    static const uint32_t limit = [] {
      const arena_internal::Range range =
          arena_internal::Reserve(sizeof(T), kMaxUnits);
      base_ = static_cast<T*>(range.base);
      return range.units;
    }();
    return limit;
  }

  friend struct DebugLayout;  // in runtime/goroutine.cc

  // Written once, before the first index is handed out; whoever holds an index
  // got it from there.
  static inline constinit T* base_ = nullptr;
  static inline constinit FreeStack<Arena> free_;
  static inline constinit Atomic<uint32_t> used_{0};
  static inline constinit arena_internal::Usable usable_;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_ARENA_H_

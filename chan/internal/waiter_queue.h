// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The places where waiters stand: an endless array of 8-byte cells, in
// segments.
//
//   FindHead(D)      the place at which D points
//   FindTail(E)      the place at which E points; makes a segment if need be
//   Install          an id into an empty place
//   Void, Finish     a place is left; a place is served
//   EndsAt           is this position, in 64 bits, the end of the queue?
//   Clean            unlinks segments that nobody needs
//
// Which places count is for the channel's state word to say (head D, tail E,
// both modulo 2^31); this class knows cells, segments and 64-bit positions.
//
//   head hint ──► segment ──next──► segment ──next──► ... ──next──► segment
//                 base 0            base K                          the last
//   tail hint ──► the last one, or one that was
//
//   always: base(last) <= E <= base(last) + K;   base(head hint) <= D
//
// Segments are type-stable and pooled. Each life has a fresh serial, which is
// part of every empty cell, of every hint and of every link, so that what
// belongs to an earlier life fails. A reader checks the serial again after it
// has read a cell; then the cell was this channel's.
//
// 31-bit counters, 64-bit positions. The tail is found from the end of the
// list, which is never far. The head is found from the head hint: base(head
// hint) <= D < base(head hint) + 2^31. To keep that, an unlinked run is at most
// kMaxGap long, and the head jumps over one only if it stays that near to the
// hint (else the cleaner has to go first; a queue must have seen 2^30 places
// behind one parked waiter for that to matter).
//
// Sources: the segment list of Koval, Khalanskiy, Alistarh, "Fast and Scalable
// Channels in Kotlin Coroutines" (PPoPP'23), without their per-cell states and
// without a garbage collector; serials instead.

#ifndef GOCHAN_CHAN_INTERNAL_WAITER_QUEUE_H_
#define GOCHAN_CHAN_INTERNAL_WAITER_QUEUE_H_

#include <cstdint>
#include <string>

#include "chan/internal/state_word.h"
#include "chan/internal/waiter.h"
#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"

// Cells per segment. 27 makes a segment four cache lines; model tests use 2.
#ifndef GOCHAN_SEGMENT_CELLS
#define GOCHAN_SEGMENT_CELLS 27
#endif

namespace gochan::internal {

using runtime::Atomic128;
using runtime::Pair64;

// What a place holds. struct { payload:62 tag:2 }, from the lowest bit up.
//   tag        payload           set by                  next
//   kEmpty     segment's serial  who takes the segment   kId
//   kId        WaiterId          an enroller (Install)   kVoid, kFinished
//   kVoid      -                 the owner, withdrawing  (the next life)
//   kFinished  -                 who served the waiter   (the next life)
// A skip changes no cell. A kId whose wait is over is dead, and passed like a
// void.
class Cell {
 public:
  enum Tag : uint8_t { kEmpty, kId, kVoid, kFinished };

  constexpr explicit Cell(uint64_t bits) : bits_(bits) {}
  static constexpr Cell Empty(uint64_t serial) {
    return Cell(serial & ((uint64_t{1} << 62) - 1));
  }
  static constexpr Cell Of(WaiterId id) {
    return Cell(id.bits() | uint64_t{kId} << 62);
  }
  static constexpr Cell Void() { return Cell(uint64_t{kVoid} << 62); }
  static constexpr Cell Finished() { return Cell(uint64_t{kFinished} << 62); }

  constexpr uint64_t bits() const { return bits_; }
  constexpr Tag tag() const { return static_cast<Tag>(bits_ >> 62); }
  constexpr WaiterId id() const { return WaiterId(bits_); }
  constexpr bool done() const { return tag() >= kVoid; }

 private:
  uint64_t bits_;
};

// A segment, in one of its lives. `serial` changes first when a life ends.
struct alignas(64) Segment {
  static constexpr uint32_t kCells = GOCHAN_SEGMENT_CELLS;

  Atomic<uint64_t> serial;  // of this life; 0: never used
  // Position of cells[0], in 64 bits. While the segment is pooled: the free
  // list's link (late readers of it are refused by the serial).
  Atomic<uint64_t> base;
  // {serial, index + 1} of the next one. At the end of the list {own serial,
  // 0}, so that an append that comes a life too late fails.
  Atomic128 next;
  Atomic<uint64_t> cells[kCells];  // Cell

  Atomic<uint32_t> free_next;
  Atomic<uint32_t>& free_link() { return free_next; }
};

using SegmentArena = runtime::Arena<Segment, (1u << 25), 16>;

// A place that was found: cell `offset` of a life of a segment.
struct Place {
  Segment* segment = nullptr;
  uint64_t serial = 0;
  uint64_t base = 0;
  uint32_t offset = 0;

  uint64_t position() const { return base + offset; }
  uint32_t counter() const {  // as D and E count
    return static_cast<uint32_t>(position()) & Word::kCounterMask;
  }
  Atomic<uint64_t>& cell() const { return segment->cells[offset]; }
};

class WaiterQueue {
 public:
  WaiterQueue() = default;
  // Nobody else may know the queue any more. Pools all segments.
  ~WaiterQueue() {
    if (!empty()) [[unlikely]]
      PoolAll();
  }
  WaiterQueue(const WaiterQueue&) = delete;
  WaiterQueue& operator=(const WaiterQueue&) = delete;

  enum class Found {
    kPlace,  // *place is it
    kGap,    // the place was unlinked: everything before place->base is void
    kStale,  // the counter is old by now: read the state again
  };

  // The place that the head counter means, and its content; a content that is
  // returned was in this queue at that place.
  Found FindHead(uint32_t head, Place* place, Cell* cell);

  // The place that the tail counter means, and its content; appends a segment
  // if it lies at the end of the last one. Never kGap. May throw
  // std::bad_alloc; nothing has changed then.
  Found FindTail(uint32_t tail, const StateWord& state, Place* place,
                 Cell* cell);

  // empty(serial) -> id. False: somebody else took the place, or the segment
  // has begun another life.
  [[nodiscard]] static bool Install(const Place& place, WaiterId id,
                                    const StateWord& state) {
    // Q3 release: the node, the frame's slots, the open claim; pairs with Q3
    // where cells are read. seq_cst: whoever counts this place afterwards and
    // whoever does not see it agree with the order of the state word's swaps.
    return state.SwapBeside(place.cell(), Cell::Empty(place.serial).bits(),
                            Cell::Of(id).bits());
  }

  // The owner leaves its place / whoever served the waiter says so, before it
  // wakes it. Cleans up behind if that was the segment's last place.
  void Void(const Place& place, const StateWord& state);
  void Finish(const Place& place, const StateWord& state);

  // Is `position` the queue's end, when the tail counter says `tail`? Exact
  // while `tail` is current.
  bool EndsAt(uint64_t position, uint32_t tail);

  // May the head jump to `position`, or is the head hint too far behind?
  bool MayJumpTo(uint64_t position) const;

  // Unlinks and pools what is passed or void, unless somebody else is doing it.
  // Never waits.
  void Clean(const StateWord& state);

  bool empty() const { return head_.LoadLo(std::memory_order_acquire) == 0; }

  // --- at rest only, for tests and dumps
  template <typename F>  // f(position, Cell)
  void ForEachCell(F f) const {
    runtime::NoSteps no_steps;
    for (Pair64 hint = head_.Load(); hint.hi != 0;) {
      const Segment& segment = SegmentAt(hint);
      const uint64_t base = segment.base.load(std::memory_order_acquire);
      for (uint32_t i = 0; i < Segment::kCells; ++i) {
        f(base + i, Cell(segment.cells[i].load(std::memory_order_acquire)));
      }
      hint = segment.next.Load();
    }
  }
  std::string DebugString() const;
  bool CheckInvariants(const Word& word, std::string* why) const;
  int SegmentsForTest() const;
  // Appends void places until the end has moved on by `places`, as if selects
  // had come and gone; returns the position of the end. An unused queue starts
  // at `tail`.
  uint64_t SkipPlacesForTest(uint64_t places, uint32_t tail = 0);
  static uint32_t SegmentsInArena() { return SegmentArena::HighWater(); }

 private:
  // {serial, index + 1}; {0, 0}: none yet.
  static Segment& SegmentAt(const Pair64& hint) {
    return SegmentArena::At(static_cast<uint32_t>(hint.hi - 1));
  }

  static Pair64 TakeSegment(uint64_t base);
  static void PoolSegment(const Pair64& hint);
  static bool AllDone(const Segment& segment);

  void PoolAll();
  void Start(uint32_t tail);
  bool FindLast(Pair64* last, uint64_t* base);
  static bool LeaveCell(const Place& place, Cell cell, const StateWord& state);
  void CleanHead(const StateWord& state);
  void CleanMiddle();
  void Unhinge(const Pair64& segment, const Pair64& successor);

  // The longest run of places without a segment, and the farthest that the head
  // may be beyond the head hint.
  static constexpr uint64_t kMaxGap = uint64_t{1} << 29;
  static constexpr uint64_t kMaxLag = (uint64_t{1} << 31) - kMaxGap;

  // Hints to segments: read exactly, compared whole. The head hint is moved by
  // the cleaner alone, and never beyond D; the tail hint by whoever walks from
  // it, and may name a life that is over: then the walk starts at the head.
  Atomic128 head_;
  Atomic128 tail_;

  // cleaner_: who may unlink, move the head hint and pool.
  //   state     set by           next           who may act
  //   kIdle     the cleaner      kRunning       anybody: become the cleaner
  //   kRunning  the new cleaner  kAgain, kIdle  the cleaner alone
  //   kAgain    anybody else     kRunning       the cleaner: one more pass
  enum Cleaner : uint32_t { kIdle, kRunning, kAgain };
  Atomic<uint32_t> cleaner_;
  // Segments that became wholly done since the last walk through the middle,
  // and how many that walk met: it is worth its cost only in proportion.
  Atomic<uint32_t> done_segments_;
  uint32_t walked_ = 0;  // the cleaner's
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_WAITER_QUEUE_H_

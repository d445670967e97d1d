// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/waiter_queue.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "chan/internal/mutation.h"

namespace gochan::internal {

namespace {

// Relaxed: only distinct numbers are wanted. One addition per life of a
// segment.
uint64_t NewSerial() {
  static constinit Atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

constexpr uint32_t Low31(uint64_t position) {
  return static_cast<uint32_t>(position) & Word::kCounterMask;
}

// The first position at or after `base` that the 31-bit counter can mean.
constexpr uint64_t PositionFrom(uint64_t base, uint32_t counter) {
  return base + ((counter - Low31(base)) & Word::kCounterMask);
}

// Q1: a segment's lives. The serial is stored (release) before anything of the
// next life; whoever reads a later life's base, link or cell (acquire)
// therefore reads another serial afterwards.
bool SameLife(const Segment& segment, uint64_t serial) {
  if (Mutated(Mutant::kNoSerialInHint)) return true;
  return segment.serial.load(std::memory_order_acquire) == serial;  // Q1
}

}  // namespace

void WaiterQueue::PoolAll() {
  for (Pair64 hint = head_.Load(); hint.hi != 0;) {
    const Pair64 next = SegmentAt(hint).next.Load();
    PoolSegment(hint);
    hint = next;
  }
}

// -----------------------------------------------------------------------------
// Segments
// -----------------------------------------------------------------------------

Pair64 WaiterQueue::TakeSegment(uint64_t base) {
  const uint32_t index = SegmentArena::Allocate();
  Segment& segment = SegmentArena::At(index);
  // Relaxed: set when the last life ended, or never.
  uint64_t serial = segment.serial.load(std::memory_order_relaxed);
  if (serial == 0) {
    serial = NewSerial();
    segment.serial.store(serial, std::memory_order_release);  // Q1
  }
  segment.base.store(base, std::memory_order_release);  // Q1
  segment.next.Store({serial, 0});
  for (Atomic<uint64_t>& cell : segment.cells) {
    cell.store(Cell::Empty(serial).bits(), std::memory_order_release);  // Q1
  }
  return {serial, uint64_t{index} + 1};
}

void WaiterQueue::PoolSegment(const Pair64& hint) {
  SegmentAt(hint).serial.store(NewSerial(), std::memory_order_release);  // Q1
  SegmentArena::Free(static_cast<uint32_t>(hint.hi - 1));
}

// Backwards: in a queue that is served in order, the last cell is the last to
// be done, so most calls read one.
inline bool WaiterQueue::AllDone(const Segment& segment) {
  for (uint32_t i = Segment::kCells; i-- > 0;) {
    // Q2 seq_cst: of two that finish the last two cells, at least one sees both
    // done; pairs with the stores in LeaveCell().
    if (!Cell(segment.cells[i].load(std::memory_order_seq_cst)).done()) {
      return false;
    }
  }
  return true;
}

// -----------------------------------------------------------------------------
// Finding places
// -----------------------------------------------------------------------------

WaiterQueue::Found WaiterQueue::FindHead(uint32_t head, Place* place,
                                         Cell* cell) {
  Pair64 hint = head_.Load();
  uint64_t position = 0;
  for (bool first = true; hint.hi != 0; first = false) {
    Segment& segment = SegmentAt(hint);
    const uint64_t base = segment.base.load(std::memory_order_acquire);  // Q1
    if (!SameLife(segment, hint.lo)) return Found::kStale;
    if (first) position = PositionFrom(base, head);
    *place = {&segment, hint.lo, base, 0};
    if (position < base) return Found::kGap;
    if (position < base + Segment::kCells) {
      place->offset = static_cast<uint32_t>(position - base);
      // Q3 acquire: what the waiter wrote before it was installed; pairs with
      // Q3 in Install().
      *cell = Cell(place->cell().load(std::memory_order_acquire));
      if (!Mutated(Mutant::kNoSerialReread) && !SameLife(segment, hint.lo)) {
        return Found::kStale;
      }
      return cell->tag() == Cell::kEmpty ? Found::kStale : Found::kPlace;
    }
    const Pair64 next = segment.next.Load();
    if (!SameLife(segment, hint.lo)) return Found::kStale;
    hint = next;
  }
  return Found::kStale;
}

// The end of the list. False: there is no segment at all.
inline bool WaiterQueue::FindLast(Pair64* last, uint64_t* base) {
  const Pair64 start = tail_.Load();
  Pair64 hint = start.hi != 0 ? start : head_.Load();
  while (hint.hi != 0) {
    Segment& segment = SegmentAt(hint);
    *base = segment.base.load(std::memory_order_acquire);  // Q1
    const Pair64 next = segment.next.Load();
    if (!SameLife(segment, hint.lo)) {
      // Whichever hint it came from: only the head hint names a living segment,
      // and that has moved if it does not.
      hint = Mutated(Mutant::kNoTailFallback) ? tail_.Load() : head_.Load();
      continue;
    }
    if (next.hi == 0) {
      *last = hint;
      if (hint != start) {
        // A failure means that somebody else has moved it on.
        Pair64 expected = start;
        (void)tail_.CompareExchange(expected, hint);
      }
      return true;
    }
    hint = next;
  }
  return false;
}

// The first segment: no place has ever been taken, so the end is at `tail`.
void WaiterQueue::Start(uint32_t tail) {
  const Pair64 fresh = TakeSegment(tail);
  Pair64 expected;
  if (!head_.CompareExchange(expected, fresh)) PoolSegment(fresh);
}

WaiterQueue::Found WaiterQueue::FindTail(uint32_t tail, const StateWord& state,
                                         Place* place, Cell* cell) {
  for (;;) {
    Pair64 last;
    uint64_t base;
    if (!FindLast(&last, &base)) {
      Start(tail);
      continue;
    }
    Segment& segment = SegmentAt(last);
    const uint64_t offset = PositionFrom(base, tail) - base;
    if (offset < Segment::kCells) {
      *place = {&segment, last.lo, base, static_cast<uint32_t>(offset)};
      *cell = Cell(place->cell().load(std::memory_order_acquire));  // Q3
      return SameLife(segment, last.lo) ? Found::kPlace : Found::kStale;
    }
    if (offset != Segment::kCells) return Found::kStale;
    const Pair64 fresh = TakeSegment(base + Segment::kCells);
    Pair64 expected{last.lo, 0};
    if (segment.next.CompareExchange(expected, fresh)) {
      Clean(state);
    } else {
      PoolSegment(fresh);
    }
  }
}

bool WaiterQueue::EndsAt(uint64_t position, uint32_t tail) {
  Pair64 last;
  uint64_t base;
  // The tail is in the last segment or at its end; so `position` is the tail
  // iff it is the one position there that the counter can mean.
  return FindLast(&last, &base) && position == PositionFrom(base, tail);
}

bool WaiterQueue::MayJumpTo(uint64_t position) const {
  for (;;) {
    const Pair64 hint = head_.Load();
    const Segment& segment = SegmentAt(hint);
    const uint64_t base = segment.base.load(std::memory_order_acquire);  // Q1
    if (SameLife(segment, hint.lo)) return position - base < kMaxLag;
  }
}

// -----------------------------------------------------------------------------
// Taking and leaving a place
// -----------------------------------------------------------------------------

// Nobody else writes an installed cell, so a store is enough. True: that was
// the segment's last one, perhaps.
inline bool WaiterQueue::LeaveCell(const Place& place, Cell cell,
                                   const StateWord& state) {
  // Q2 seq_cst: see AllDone(). An owner makes no fence: whoever else comes
  // restarts it first. Either that makes this store fail, and one with a fence
  // follows; or he finds it done.
  state.StoreBeside(place.cell(), cell.bits());
  return AllDone(*place.segment);
}

void WaiterQueue::Void(const Place& place, const StateWord& state) {
  if (!LeaveCell(place, Cell::Void(), state)) return;
  // Relaxed: a hint to the cleaner.
  done_segments_.fetch_add(1, std::memory_order_relaxed);
  Clean(state);
}

// Places are served at the head, so this segment is no middle one.
void WaiterQueue::Finish(const Place& place, const StateWord& state) {
  if (LeaveCell(place, Cell::Finished(), state)) Clean(state);
}

// -----------------------------------------------------------------------------
// The cleaner
// -----------------------------------------------------------------------------

void WaiterQueue::Clean(const StateWord& state) {
  uint32_t found = kIdle;
  // Q4 acq_rel: hands the cleaner's plain fields and links from one to the
  // next.
  while (!cleaner_.compare_exchange(found, found == kIdle ? kRunning : kAgain,
                                    std::memory_order_acq_rel)) {
    if (found == kAgain) return;  // somebody has left the message already
  }
  if (found != kIdle) return;  // left it: the one who is at it passes once more
  for (;;) {
    CleanHead(state);
    CleanMiddle();
    found = kRunning;
    if (cleaner_.compare_exchange(found, kIdle, std::memory_order_acq_rel)) {
      return;  // Q4
    }
    cleaner_.store(kRunning, std::memory_order_release);  // Q4; it was kAgain
  }
}

// Segments that the head has left behind. The hint goes on only once the head
// has reached the successor, so that it is never beyond the head.
void WaiterQueue::CleanHead(const StateWord& state) {
  for (;;) {
    const Pair64 hint = head_.Load();
    if (hint.hi == 0) return;
    const Segment& segment = SegmentAt(hint);
    const Pair64 next = segment.next.Load();
    if (next.hi == 0) return;
    // Relaxed: only cleaners pool, and this is the one; both segments live.
    const uint64_t base = segment.base.load(std::memory_order_relaxed);
    const uint64_t next_base =
        SegmentAt(next).base.load(std::memory_order_relaxed);
    const uint32_t head = state.HeadOf(state.ReadExact());
    if (PositionFrom(base, head) < next_base) return;
    if (!AllDone(segment)) return;
    head_.Store(next);
    Unhinge(hint, next);
  }
}

// Segments behind the head that are void from end to end. The last one stays:
// it marks the queue's end.
void WaiterQueue::CleanMiddle() {
  // Relaxed: both are hints. A walk costs as much as there are segments, so it
  // waits until a fair share of them can be expected to go.
  const uint32_t done = done_segments_.load(std::memory_order_relaxed);
  if (done == 0 || done * 4 < walked_) return;
  done_segments_.store(0, std::memory_order_relaxed);
  walked_ = 0;
  Pair64 previous = head_.Load();
  if (previous.hi == 0) return;
  for (;;) {
    Segment& before = SegmentAt(previous);
    const Pair64 current = before.next.Load();
    if (current.hi == 0) return;
    const Segment& segment = SegmentAt(current);
    const Pair64 next = segment.next.Load();
    if (next.hi == 0) return;
    ++walked_;
    // Relaxed: as in CleanHead().
    const uint64_t gap = SegmentAt(next).base.load(std::memory_order_relaxed) -
                         before.base.load(std::memory_order_relaxed);
    if (gap > kMaxGap || !AllDone(segment)) {
      previous = current;
      continue;
    }
    before.next.Store(next);
    Unhinge(current, next);
  }
}

// The segment is out of the list: nor may the tail hint lead to it. (A walker
// may put it back there a moment later; its serial is over then.)
void WaiterQueue::Unhinge(const Pair64& segment, const Pair64& successor) {
  Pair64 expected = segment;
  (void)tail_.CompareExchange(expected, successor);
  PoolSegment(segment);
}

// -----------------------------------------------------------------------------
// At rest
// -----------------------------------------------------------------------------

std::string WaiterQueue::DebugString() const {
  std::string out;
  uint64_t expected = 0;
  ForEachCell([&](uint64_t position, Cell cell) {
    if (position % Segment::kCells == 0 || position != expected) {
      absl::StrAppend(&out, " @", position, ":");
    }
    expected = position + 1;
    switch (cell.tag()) {
      case Cell::kEmpty:
        out += " .";
        break;
      case Cell::kVoid:
        out += " v";
        break;
      case Cell::kFinished:
        out += " f";
        break;
      case Cell::kId:
        absl::StrAppend(&out, " ", cell.id().is_select() ? "s" : "p",
                        cell.id().node(), "#", cell.id().gen());
        break;
    }
  });
  return out;
}

bool WaiterQueue::CheckInvariants(const Word& word, std::string* why) const {
  runtime::NoSteps no_steps;
  const Pair64 head = head_.Load();
  // Relaxed: at rest.
  if (cleaner_.word()->load(std::memory_order_relaxed) != kIdle) {
    *why = "the cleaner is not idle";
    return false;
  }
  if (head.hi == 0) {
    if (word.busy()) {
      *why = "busy without a segment";
      return false;
    }
    return true;
  }
  uint64_t head_position = 0;
  uint64_t end_position = 0;
  uint64_t end_of_previous = 0;
  bool first = true;
  for (Pair64 hint = head; hint.hi != 0;) {
    const Segment& segment = SegmentAt(hint);
    const uint64_t base = segment.base.load(std::memory_order_relaxed);
    if (!SameLife(segment, hint.lo)) {
      *why = "a link leads to a pooled segment";
      return false;
    }
    if (first) {
      head_position = PositionFrom(base, word.head());
    } else if (base < end_of_previous) {
      *why = "segments overlap";
      return false;
    }
    first = false;
    end_of_previous = base + Segment::kCells;
    const Pair64 next = segment.next.Load();
    if (next.hi == 0) end_position = PositionFrom(base, word.tail());
    if (next.hi == 0 && end_position > base + Segment::kCells) {
      *why = "the tail is beyond the last segment";
      return false;
    }
    hint = next;
  }
  if (head_position > end_position) {
    *why = "the head is beyond the tail";
    return false;
  }
  if ((head_position != end_position) != word.busy()) {
    *why = "busy does not say whether there are places";
    return false;
  }
  bool ok = true;
  ForEachCell([&](uint64_t position, Cell cell) {
    const bool counted = position < end_position;
    if (counted == (cell.tag() == Cell::kEmpty)) {
      *why = absl::StrCat(
          "place ", position,
          counted ? " is counted and empty" : " is taken and not counted");
      ok = false;
    }
  });
  return ok;
}

int WaiterQueue::SegmentsForTest() const {
  int segments = 0;
  ForEachCell([&](uint64_t, Cell) { ++segments; });
  return segments / static_cast<int>(Segment::kCells);
}

uint64_t WaiterQueue::SkipPlacesForTest(uint64_t places, uint32_t tail) {
  runtime::NoSteps no_steps;
  Pair64 last;
  uint64_t base;
  while (!FindLast(&last, &base)) Start(tail);
  auto append = [&](uint64_t at, bool done) {
    // The list's last segment is done by now; what follows is a gap.
    for (Atomic<uint64_t>& cell : SegmentAt(last).cells) {
      if (Cell(cell.load(std::memory_order_relaxed)).tag() == Cell::kEmpty) {
        cell.store(Cell::Void().bits(), std::memory_order_relaxed);
      }
    }
    const Pair64 fresh = TakeSegment(at);
    if (done) {
      for (Atomic<uint64_t>& cell : SegmentAt(fresh).cells) {
        cell.store(Cell::Void().bits(), std::memory_order_relaxed);
      }
    }
    SegmentAt(last).next.Store(fresh);
    last = fresh;
    base = at;
  };
  const uint64_t end = base + places;
  while (end - base > kMaxGap) append(base + kMaxGap / 2, true);
  append(end, false);
  tail_.Store(last);
  return end;
}

}  // namespace gochan::internal

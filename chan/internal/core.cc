// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/core.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "chan/internal/broadcast.h"
#include "chan/internal/mutation.h"
#include "chan/internal/timer_core.h"
#include "chan/panic.h"
#include "runtime/arena.h"
#include "runtime/contention.h"
#include "runtime/park.h"
#include "runtime/pool.h"
#include "runtime/scheduler_internal.h"
#include "runtime/self_pointer.h"

namespace gochan::internal {

// -----------------------------------------------------------------------------
// Making and dropping
// -----------------------------------------------------------------------------

namespace {

// Rings up to this size lie behind the core, in one allocation; larger ones
// come zeroed from the system and cost only the pages that are touched.
constexpr std::size_t kInlineSlots = 4096;

// More than any machine has; the addresses below are computed in size_t.
constexpr std::size_t kMaxSlotBytes = std::size_t{1} << 46;

constexpr int Index(Dir dir) { return static_cast<int>(dir); }

// calloc with an alignment: the pointer that calloc gave lies before the
// result.
std::byte* AllocateZeroed(std::size_t bytes, std::size_t align) {
  const std::size_t room =
      (align > alignof(std::max_align_t) ? align : alignof(std::max_align_t));
  void* raw = std::calloc(1, bytes + 2 * room);
  if (raw == nullptr) return nullptr;
  const auto begin =
      (reinterpret_cast<uintptr_t>(raw) + 2 * room - 1) & ~(room - 1);
  auto* result = reinterpret_cast<std::byte*>(begin);
  std::memcpy(result - sizeof(void*), &raw, sizeof(void*));
  return result;
}

void FreeZeroed(std::byte* memory) {
  void* raw;
  std::memcpy(&raw, memory - sizeof(void*), sizeof(void*));
  std::free(raw);
}

// Cores without a ring, or with a small one, come and go by the million: they
// are pooled by size. The others are large, or strangely aligned.
template <std::size_t kRing>
using CorePool = runtime::Pool<sizeof(Core) + kRing, alignof(Core)>;
enum : uint8_t { kUnpooled, kNoRing, kRing64, kRing256 };

uint8_t PoolFor(std::size_t bytes, std::size_t align) {
  if (align != alignof(Core) || bytes > sizeof(Core) + 256) return kUnpooled;
  if (bytes > sizeof(Core) + 64) return kRing256;
  return bytes > sizeof(Core) ? kRing64 : kNoRing;
}

void* TakeMemory(uint8_t pool, std::size_t bytes, std::size_t align) {
  switch (pool) {
    case kNoRing:
      return CorePool<0>::Take();
    case kRing64:
      return CorePool<64>::Take();
    case kRing256:
      return CorePool<256>::Take();
    default:
      return ::operator new(bytes, std::align_val_t{align});
  }
}

void GiveMemory(uint8_t pool, void* memory, std::size_t align) {
  switch (pool) {
    case kNoRing:
      return CorePool<0>::Give(memory);
    case kRing64:
      return CorePool<64>::Give(memory);
    case kRing256:
      return CorePool<256>::Give(memory);
    default:
      ::operator delete(memory, std::align_val_t{align});
  }
}

}  // namespace

Core::Core(Kind kind, const ElementOps& ops, uint32_t capacity)
    : capacity_(capacity), kind_(kind), ops_(&ops) {}

Core* Core::Make(const ElementOps& ops, std::ptrdiff_t capacity) {
  if (capacity < 0 || capacity > kMaxCapacity) RaisePanic(panics::kChanSize);
  const auto cap = static_cast<uint32_t>(capacity);
  const std::size_t stride = SlotStride(ops.size, ops.align);
  const std::size_t slots =
      cap == 0 || ops.counted_only ? 0 : std::bit_ceil(cap);
  std::size_t bytes;
  if (__builtin_mul_overflow(slots, stride, &bytes) || bytes > kMaxSlotBytes) {
    RaisePanic(panics::kChanSize);
  }
  const std::size_t align =
      ops.align > alignof(Core) ? ops.align : alignof(Core);
  const std::size_t head = (sizeof(Core) + align - 1) & ~(align - 1);
  const bool inline_slots = bytes <= kInlineSlots;
  const std::size_t total = inline_slots ? head + bytes : sizeof(Core);

  const uint8_t pool = PoolFor(total, align);
  void* memory = TakeMemory(pool, total, align);
  std::byte* ring = nullptr;
  if (bytes != 0) {
    if (inline_slots) {
      ring = static_cast<std::byte*>(memory) + head;
      for (std::size_t at = 0; at < bytes; at += stride) Slot::Init(ring + at);
    } else {
      ring = AllocateZeroed(bytes, ops.align);
      if (ring == nullptr) {
        GiveMemory(pool, memory, align);
        runtime::OutOfMemory("a channel's buffer");
      }
    }
  }
  Core* core = new (memory) Core(Kind::kChannel, ops, cap);
  core->slots_ = ring;
  core->mask_ = cap == 0 ? 0 : std::bit_ceil(cap) - 1;
  core->stride_ = static_cast<uint32_t>(stride);
  core->slot_offset_ = static_cast<uint32_t>(SlotOffset(ops.align));
  core->pool_ = pool;
  core->state_.BeginYoung();
  return core;
}

Core::~Core() {
  runtime::NoSteps alone;
  if (slots_ == nullptr) return;
  Word word = state_.ReadStill();
  // Somebody who will never run again.
  if (word.busy() && word.seated()) word = WithoutSeat<true>(word);
  for (uint32_t p = word.recv(); p != word.send();
       p = (p + 1) & Word::kCounterMask) {
    ops_->destroy(SlotFor(p).element(slot_offset_));
  }
  if (std::size_t{stride_} * (mask_ + std::size_t{1}) > kInlineSlots) {
    FreeZeroed(slots_);  // it was allocated apart
  }
}

// The last reference is gone, so no wait begins any more.
void Core::DropHandles() {
  references_.store(0, std::memory_order_relaxed);  // for onlookers
  // C1 acquire: what those who waited did; pairs with their Unpin().
  if (pins_.load(std::memory_order_acquire) == kHandles ||
      state_.Add(pins_, kHandles)) {
    Drop();
  }
}

// Nobody keeps it.
void Core::Drop() {
  runtime::Party* const party = runtime::current_party;
  if (party == nullptr || party->borrows == 0) {
    Destroy();
    return;
  }
  next_buried_ = static_cast<Core*>(party->buried);
  party->buried = this;
}

void Core::DestroyBuried(runtime::Party& party) {
  // Destroying one may drop others, which finds no borrow any more.
  while (party.buried != nullptr) {
    Core* const core = static_cast<Core*>(party.buried);
    party.buried = core->next_buried_;
    core->Destroy();
  }
}

void Core::Destroy() {
  const std::size_t align =
      ops_->align > alignof(Core) ? ops_->align : alignof(Core);
  const auto pool = static_cast<uint8_t>(pool_);
  this->~Core();
  GiveMemory(pool, this, align);
}

// -----------------------------------------------------------------------------
// What a state means
// -----------------------------------------------------------------------------

// Settles until nothing is amiss; the state in which that was so.
Word Core::Settled() {
  for (;;) {
    const Word word = state_.Read();
    const Mismatch mismatch = MismatchOf(word);
    if (mismatch == Mismatch::kNone) return word;
    Settle(word, mismatch);
  }
}

// -----------------------------------------------------------------------------
// Slots
// -----------------------------------------------------------------------------

void Core::Write(uint32_t ticket, void* value, Mover move) {
  if (slots_ == nullptr) return;
  Slot slot = SlotFor(ticket);
  slot.AwaitWriterTurn(held_up_);
  move(slot.element(slot_offset_), value);
  slot.SetWritten();
}

void Core::Read(uint32_t ticket, void* room) {
  if (slots_ == nullptr) return;
  Slot slot = SlotFor(ticket);
  slot.AwaitReaderTurn(held_up_);
  void* element = slot.element(slot_offset_);
  ops_->move(room, element);
  ops_->destroy(element);
  slot.SetRead();
}

// For the swap of a full `word`: takes its oldest value, and puts `value`. The
// slot is read before it is written: in a ring of C slots it is the same.
inline void Core::Swap(const Word& word, void* room, void* value) {
  if (!Mutated(Mutant::kSlotBeforeRead)) Read(word.recv(), room);
  Write(word.send(), value, ops_->move);
  if (Mutated(Mutant::kSlotBeforeRead)) Read(word.recv(), room);
}

// -----------------------------------------------------------------------------
// The head of the queue
// -----------------------------------------------------------------------------

// Who stands at the head. False: it was a dead place, now passed, or the word
// is old; look again.
bool Core::HeadPlace(const Word& word, Place* place, WaiterId* id) {
  Cell cell = Cell::Void();
  switch (queue_.FindHead(word.head(), place, &cell)) {
    case WaiterQueue::Found::kStale:
      return false;
    case WaiterQueue::Found::kGap:
      if (!queue_.MayJumpTo(place->base) || PassTo(word, word, place->base)) {
        queue_.Clean(state_);
      }
      return false;
    case WaiterQueue::Found::kPlace:
      break;
  }
  if (cell.done()) {
    SkipRun(word, *place);
    return false;
  }
  *id = cell.id();
  if (id->dir() != word.dir() && !Mutated(Mutant::kServeBounced)) {
    SkipRun(word, *place);  // somebody bounces it
    return false;
  }
  if (!id->is_select() && IsWithdrawn(*id)) [[unlikely]] {
    if (PassTo(word, word, place->position() + 1)) {
      queue_.Finish(*place, state_);
    }
    return false;
  }
  return true;
}

// The second look before a claim: as long as the head has not moved since the
// place was read, the place is this channel's and its turn has come. `now` may
// be `&word`.
bool Core::HeadUnchanged(const Word& word, Word* now) const {
  const uint32_t head = word.head();
  *now = state_.ReadExact();
  return Mutated(Mutant::kNoReread) ||
         (now->busy() && !now->seated() && now->head() == head);
}

// Swaps `word` for `with`, its head moved on to `position`. The 31 bits of the
// tail may say "the end" 2^31 places too early, hence the positions.
bool Core::PassTo(const Word& word, const Word& with, uint64_t position) {
  const uint32_t counter = static_cast<uint32_t>(position) & Word::kCounterMask;
  const bool last =
      counter == word.tail() && (Mutated(Mutant::kNoPositionCheck) ||
                                 queue_.EndsAt(position, word.tail()));
  return state_.Swap(word, with.PassTo(counter, last));
}

// Passes a dead place and the done ones behind it, within its segment. The
// cells may be of a later life by now; then the swap fails, or all of them were
// void.
void Core::SkipRun(const Word& word, const Place& place) {
  const uint64_t end = place.base + Segment::kCells;
  Place next = place;
  ++next.offset;
  while (next.position() < end && next.counter() != word.tail() &&
         Cell(next.cell().load(std::memory_order_acquire)).done()) {
    ++next.offset;
  }
  if (PassTo(word, word, next.position()) && next.position() == end) {
    queue_.Clean(state_);
  }
}

// Passes dead places until somebody stands at the head, or nobody waits.
void Core::PassDead() {
  for (;;) {
    const Word word = state_.ReadExact();
    if (!word.busy() || word.seated()) return;
    Place place;
    WaiterId id;
    if (!HeadPlace(word, &place, &id)) continue;
    if (!id.is_select() || IsOpen(id)) return;
    SkipRun(word, place);
  }
}

// -----------------------------------------------------------------------------
// Settle
// -----------------------------------------------------------------------------

// Repairs one step of what is amiss in `word`, whoever left it.
void Core::Settle(const Word& word_read, Mismatch mismatch) {
  Word word = word_read;
  if (capacity_ == 0) {
    if (word.taken()) return SettleSeat<false>(word);
  } else if (word.seated()) {
    return SettleSeat<true>(word);
  }
  Place place;
  WaiterId id;
  if (!HeadPlace(word, &place, &id)) return;
  Node& node = NodeOf(id);
  Node& record = RecordOf(id);
  const Dir dir = mismatch == Mismatch::kAdmit   ? Dir::kSend
                  : mismatch == Mismatch::kServe ? Dir::kRecv
                                                 : id.dir();
  auto with = [mismatch](const Word& w) {
    if (mismatch == Mismatch::kAdmit) return w.Put();
    if (mismatch == Mismatch::kServe) return w.Take();
    return w;
  };
  const uint64_t behind = place.position() + 1;

  if (!id.is_select()) {
    if (!PassTo(word, with(word), behind)) return;
  } else {
    if (!HeadUnchanged(word, &word) || MismatchOf(word) != mismatch) return;
    const bool swap_first =
        Mutated(Mutant::kSwapBeforeClaim) && mismatch != Mismatch::kDismiss;
    if (swap_first && !PassTo(word, with(word), behind)) return;
    // Relaxed: a number of another generation is refused by the claim.
    const uint32_t k = node.k[Index(dir)].load(std::memory_order_relaxed);
    if (mismatch == Mismatch::kDismiss) {
      if (!TryClaim(record, id.gen(), k, ClaimMode::kClosed)) {
        return SkipRun(word, place);
      }
      (void)PassTo(word, word, behind);
    } else {
      // Claim, then swap: a mismatch at the head stays until it is settled, so
      // everybody who finds this claim can do the swap that it stands for.
      Claim found(0);
      if (!TryClaim(record, id.gen(), k, ClaimMode::kPlace, &found) &&
          (Mutated(Mutant::kNoHelpPlace) ||
           found != Claim::Taken(id.gen(), k, ClaimMode::kPlace))) {
        if (!swap_first) SkipRun(word, place);
        return;
      }
      if (!swap_first && !PassTo(word, with(word), behind)) return;
    }
  }

  // This party owns the waiter now.
  if (mismatch == Mismatch::kAdmit) {
    Write(word.send(), node.slot[Index(Dir::kSend)], ops_->move);
  } else if (mismatch == Mismatch::kServe) {
    Read(word.recv(), node.slot[Index(Dir::kRecv)]);
  }
  queue_.Finish(place, state_);
  Wake(record,
       mismatch == Mismatch::kDismiss ? WakeResult::kClosed : WakeResult::kOk);
}

// Dismisses the seat of a closed channel. A waiter for both directions
// receives.
template <bool kRing>
void Core::SettleSeat(const Word& word_read) {
  Word word = word_read;
  const WaiterId id = SeatOf<kRing>(word);
  Node& record = RecordOf(id);
  if (!id.is_select()) {
    if (state_.Swap(word, WithoutSeat<kRing>(word)) && !IsWithdrawn(id)) {
      Wake(record, WakeResult::kClosed);
    }
    return;
  }
  word = state_.Read();
  if (!SeatHolds<kRing>(word, id)) return;
  const uint32_t k =
      NodeOf(id).k[Index(id.dir())].load(std::memory_order_relaxed);
  const bool won = TryClaim(record, id.gen(), k, ClaimMode::kClosed);
  SkipSeat<kRing>(word);
  if (won) Wake(record, WakeResult::kClosed);
}

// -----------------------------------------------------------------------------
// Serving a waiter of the other direction
// -----------------------------------------------------------------------------

// The owner of a waiter gives it `mine`, or takes its value into the room
// `mine`, and lets it go.
void Core::Handover(WaiterId id, Dir partner, void* mine, Mover move) {
  Node& node = NodeOf(id);
  if (partner == Dir::kSend) {
    move(node.slot[Index(Dir::kRecv)], mine);
  } else {
    move(mine, node.slot[Index(Dir::kSend)]);
  }
  Wake(RecordOf(id), WakeResult::kOk);
}

template <bool kRing>
bool Core::ServeSeat(Word word, Dir partner, void* mine, Mover move) {
  const WaiterId id = SeatOf<kRing>(word);
  if (!id.is_select()) {
    if (!state_.Swap(word, WithoutSeat<kRing>(word))) return false;
    if (IsWithdrawn(id)) [[unlikely]]
      return false;
  } else {
    word = state_.Read();
    if (!SeatHolds<kRing>(word, id)) return false;
    if (Mutated(Mutant::kPopBeforeClaim) &&
        !state_.Swap(word, WithoutSeat<kRing>(word))) {
      return false;
    }
    const uint32_t k = NodeOf(id).k[Index(Opposite(partner))].load(
        std::memory_order_relaxed);  // as in Settle()
    const bool won = TryClaim(RecordOf(id), id.gen(), k, ClaimMode::kDirect);
    // Claimed or dead: the place is to be passed either way. If that fails,
    // others have done it or will.
    SkipSeat<kRing>(word);
    if (!won) return false;
  }
  Handover(id, partner, mine, move);
  return true;
}

bool Core::ServeHead(Word word, Dir partner, void* mine, Mover move) {
  Place place;
  WaiterId id;
  if (!HeadPlace(word, &place, &id)) return false;
  const uint64_t behind = place.position() + 1;
  if (!id.is_select()) {
    if (!PassTo(word, word, behind)) return false;
  } else {
    if (!HeadUnchanged(word, &word)) return false;
    if (Mutated(Mutant::kPopBeforeClaim) && !PassTo(word, word, behind)) {
      return false;
    }
    const uint32_t k = NodeOf(id).k[Index(Opposite(partner))].load(
        std::memory_order_relaxed);  // as in Settle()
    if (!TryClaim(RecordOf(id), id.gen(), k, ClaimMode::kDirect)) {
      SkipRun(word, place);
      return false;
    }
    // Before the waiter goes on: a TrySend that comes next must not meet it.
    (void)PassTo(word, word, behind);
  }
  queue_.Finish(place, state_);
  Handover(id, partner, mine, move);
  return true;
}

// A full channel with senders waiting: takes the oldest value and lets the
// first sender's in. A plain sender in one swap; a select by Settle, after the
// take.
bool Core::TakeAndAdmit(const Word& word, void* room) {
  Place place;
  WaiterId id;
  if (word.seated()) {  // it is plain: selects that send stand in the queue
    id = word.guest();
    const Word left = WithoutSeat<true>(word);
    if (IsWithdrawn(id)) [[unlikely]] {
      (void)state_.Swap(word, left);
      return false;
    }
    if (!state_.Swap(word, left.Take().Put())) return false;
    Swap(left, room, NodeOf(id).slot[Index(Dir::kSend)]);
    Wake(RecordOf(id), WakeResult::kOk);
    return true;
  }
  if (!HeadPlace(word, &place, &id)) return false;
  if (id.is_select()) {
    if (!state_.Swap(word, word.Take())) return false;
    Read(word.recv(), room);
    Settled();
    return true;
  }
  if (!PassTo(word, word.Take().Put(), place.position() + 1)) return false;
  Swap(word, room, NodeOf(id).slot[Index(Dir::kSend)]);
  queue_.Finish(place, state_);
  Wake(RecordOf(id), WakeResult::kOk);
  return true;
}

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

// Before the ticket that comes next in `word` is taken, on a channel where
// somebody was held up: is it the turn of its holder? Else waits a little, and
// the word is to be read again.
bool Core::IsTurn(Dir dir, const Word& word, runtime::Backoff& backoff) {
  const bool put = dir == Dir::kSend;
  const uint32_t ticket = word.seated() ? word.ticket()
                          : put         ? word.send()
                                        : word.recv();
  if (!held_up_.At(ticket) || slots_ == nullptr) [[likely]]
    return true;
  const Slot slot = SlotFor(ticket);
  const uint32_t seen = slot.Look();
  if (put ? slot.MayWrite(seen) : slot.MayRead(seen)) [[likely]]
    return true;
  // If both are as before, somebody is at the slot, and will change it.
  if (state_.ReadLo() == word.lo() && slot.Look() == seen) slot.Wait(backoff);
  return false;
}

// `*found`: the state in which the channel was unready; read with both halves
// if `exact`.
Outcome Core::TrySendIn(void* value, Mover move, Word* found, bool exact) {
  runtime::Backoff backoff;
  for (;;) {
    const Word word = exact ? state_.ReadExact() : state_.Read();
    if (const Mismatch m = MismatchOf(word); m != Mismatch::kNone) {
      Settle(word, m);
      continue;
    }
    switch (ReadyFor(Dir::kSend, word)) {
      case Ready::kNo:
        *found = word;
        return Outcome::kWouldBlock;
      case Ready::kClosed:
        return Outcome::kClosed;
      case Ready::kPut:
        if (!IsTurn(Dir::kSend, word, backoff)) continue;
        if (!state_.Swap(word, word.Put())) break;
        Write(word.send(), value, move);
        return Outcome::kDone;
      case Ready::kSeat:
        if (capacity_ == 0 ? ServeSeat<false>(word, Dir::kSend, value, move)
                           : ServeSeat<true>(word, Dir::kSend, value, move)) {
          return Outcome::kDone;
        }
        continue;
      case Ready::kQueue:
        if (ServeHead(word, Dir::kSend, value, move)) return Outcome::kDone;
        break;
      case Ready::kTake:
      case Ready::kSwap:
        continue;  // for receivers only
    }
    runtime::NoteLostSwap();
  }
}

Outcome Core::TryRecvIn(void* room, Word* found, bool exact) {
  runtime::Backoff backoff;
  for (;;) {
    const Word word = exact ? state_.ReadExact() : state_.Read();
    if (const Mismatch m = MismatchOf(word); m != Mismatch::kNone) {
      Settle(word, m);
      continue;
    }
    switch (ReadyFor(Dir::kRecv, word)) {
      case Ready::kNo:
        // Unready and `closed` is only a timer's channel that is armed.
        if (word.armed() && static_cast<TimerCore*>(this)->FireIfDue(word)) {
          continue;
        }
        *found = word;
        return Outcome::kWouldBlock;
      case Ready::kClosed:
        return Outcome::kClosed;
      case Ready::kTake:
        if (!IsTurn(Dir::kRecv, word, backoff)) continue;
        if (!state_.Swap(word, word.Take())) break;
        Read(word.recv(), room);
        return Outcome::kDone;
      case Ready::kSwap:
        if (!IsTurn(Dir::kRecv, word, backoff)) continue;
        if (TakeAndAdmit(word, room)) return Outcome::kDone;
        break;
      case Ready::kSeat:
        // Of an unbuffered channel; else it is kSwap.
        if (ServeSeat<false>(word, Dir::kRecv, room, ops_->move)) {
          return Outcome::kDone;
        }
        continue;
      case Ready::kQueue:
        if (ServeHead(word, Dir::kRecv, room, ops_->move)) {
          return Outcome::kDone;
        }
        break;
      case Ready::kPut:
        continue;  // for senders only
    }
    runtime::NoteLostSwap();
  }
}

// The usual case first: somebody sits alone on an unbuffered channel.
Outcome Core::TrySend(void* value, Mover move) {
  state_.Enter();
  const Word word(state_.ReadLo(), 0);
  if (capacity_ == 0 && word.SeatHoldsAny(Dir::kRecv) &&
      ServeSeat<false>(word, Dir::kSend, value, move)) {
    return Outcome::kDone;
  }
  Word found;
  return TrySendIn(value, move, &found, false);
}

Outcome Core::TryRecv(void* room) {
  state_.Enter();
  const Word word(state_.ReadLo(), 0);
  if (capacity_ == 0 && word.SeatHoldsAny(Dir::kSend) &&
      ServeSeat<false>(word, Dir::kRecv, room, ops_->move)) {
    return Outcome::kDone;
  }
  Word found;
  return TryRecvIn(room, &found, false);
}

Outcome Core::TrySend(void* value, Mover move, Word* unready) {
  state_.Enter();
  return TrySendIn(value, move, unready, true);
}

Outcome Core::TryRecv(void* room, Word* unready) {
  state_.Enter();
  return TryRecvIn(room, unready, true);
}

// The most frequent cases of an unbuffered channel come first: one plain
// partner in the seat, or nobody at all. They are in functions of their own, so
// that each saves no more registers than it needs.
template <Dir kDir, bool kLocked>
inline Core::Begun Core::TryOrBegin(void* value, Mover move,
                                    const SourceLocation& site, Wait& wait) {
  if (capacity_ == 0) [[likely]] {
    const Word word(state_.ReadLo(), 0);
    if (word.SeatIsFree()) {
      if (kLocked) state_.CountYoung();
      return BeginSeat<kDir, &PublishSeat<kLocked>>(value, word.lo(), site,
                                                    wait);
    }
    if (word.SeatHoldsSelect(Opposite(kDir))) {
      if (ServeSeat<false>(word, kDir, value,
                           kDir == Dir::kSend ? move : ops_->move)) {
        return Outcome::kDone;
      }
    } else if (word.SeatHoldsPlain(Opposite(kDir))) [[likely]] {
      // As ServeSeat() and Handover(); a plain waiter has one node.
      Node& record = NodeOf(word.seat());
      if (!IsWithdrawn(word.seat()) &&
          state_.SwapLoAs<kLocked>(word.lo(), word.EmptySeat().lo()))
          [[likely]] {
        if constexpr (kDir == Dir::kSend) {
          move(record.slot[Index(Dir::kRecv)], value);
        } else {
          ops_->move(value, record.slot[Index(Dir::kSend)]);
        }
        Wake(record, WakeResult::kOk);
        return Outcome::kDone;
      }
    }
    return TryOrBeginSlow<kDir>(value, move, site, wait);
  }
  return TryOrBeginRing<kDir>(value, move, site, wait);
}

// The word is owned, or somebody else's (state_word.h).
template <Dir kDir>
Core::Begun Core::TryOrBeginUnlocked(void* value, Mover move,
                                     const SourceLocation& site, Wait& wait) {
  state_.Enter();
  return TryOrBegin<kDir, false>(value, move, site, wait);
}

// The same of a buffered channel. What FastPath has tried already is rare here.
template <Dir kDir>
Core::Begun Core::TryOrBeginRing(void* value, Mover move,
                                 const SourceLocation& site, Wait& wait) {
  const Word word = state_.Read();
  if (!word.busy()) {
    if (word.size() == (kDir == Dir::kSend ? capacity_ : 0) && !word.closed() &&
        kind_ == Kind::kChannel && MayUseRingSeat()) {
      return BeginSeat<kDir, &PublishRingSeat>(value, 0, site, wait);
    }
  } else if (word.GuestIsPlain(Opposite(kDir))) [[likely]] {
    // As ServeSeat() and TakeAndAdmit(); a plain waiter has one node.
    Node& record = NodeOf(word.guest());
    if (!IsWithdrawn(word.guest())) [[likely]] {
      if constexpr (kDir == Dir::kSend) {
        if (state_.Swap(word, word.Unseat(state_.Noted(), 0))) {
          move(record.slot[Index(Dir::kRecv)], value);
          Wake(record, WakeResult::kOk);
          return Outcome::kDone;
        }
      } else {
        const Word left = word.Unseat(state_.Noted(), capacity_);
        if (state_.Swap(word, left.Take().Put())) {
          Swap(left, value, record.slot[Index(Dir::kSend)]);
          Wake(record, WakeResult::kOk);
          return Outcome::kDone;
        }
      }
    }
  }
  return TryOrBeginSlow<kDir>(value, move, site, wait);
}

template <Dir kDir>
Core::Begun Core::TryOrBeginSlow(void* value, Mover move,
                                 const SourceLocation& site, Wait& wait) {
  if (kDir == Dir::kRecv && kind_ == Kind::kBroadcast) {
    static_cast<Broadcast*>(this)->Wait(site);
    return Outcome::kClosed;
  }
  Word word;
  const Outcome outcome = kDir == Dir::kSend
                              ? TrySendIn(value, move, &word, false)
                              : TryRecvIn(value, &word, false);
  if (outcome != Outcome::kWouldBlock) return outcome;
  runtime::Party& party = runtime::CurrentParty();
  Node& record = BeginWait<kDir>(party, value, wait);
  record.park.ClearLeft();
  return Begun::Waiting(runtime::BeginSleep(wait.sleeping, party, record.park,
                                            &PublishPlain, &wait,
                                            Why<kDir>(site)));
}

// `lo`: C = 0: the word, in which the seat is empty. The usual way through this
// has no call.
template <Dir kDir, runtime::Publish kPublish>
Core::Begun Core::BeginSeat(void* slot, uint64_t lo, const SourceLocation& site,
                            Wait& wait) {
  runtime::Party* const party = runtime::CurrentPartyOrNull();
  if (GOCHAN_INSTRUMENT || party == nullptr || party->waiter == nullptr ||
      party->resumer == nullptr) [[unlikely]] {
    return BeginSeatSlow<kDir, kPublish>(slot, lo, site, wait);
  }
  Node& record = BeginWait<kDir>(*party, slot, wait);
  // The publisher's swap is its last act, so it has left before. Nobody looks
  // before that.
  record.park.SetLeft();
  wait.lo = lo;
  return Begun::Waiting(runtime::BeginGoroutineSleep(
      wait.sleeping, *party, kPublish, &wait, Why<kDir>(site)));
}

template <Dir kDir, runtime::Publish kPublish>
Core::Begun Core::BeginSeatSlow(void* slot, uint64_t lo,
                                const SourceLocation& site, Wait& wait) {
  runtime::Party& party = runtime::CurrentParty();
  Node& record = BeginWait<kDir>(party, slot, wait);
  record.park.SetLeft();  // as above
  wait.lo = lo;
  return Begun::Waiting(runtime::BeginSleep(wait.sleeping, party, record.park,
                                            kPublish, &wait, Why<kDir>(site)));
}

Core::Begun Core::BeginSend(void* value, Mover move, const SourceLocation& site,
                            Wait& wait) {
  return state_.IsLocked()
             ? TryOrBegin<Dir::kSend, true>(value, move, site, wait)
             : TryOrBeginUnlocked<Dir::kSend>(value, move, site, wait);
}

Core::Begun Core::BeginRecv(void* room, const SourceLocation& site,
                            Wait& wait) {
  return state_.IsLocked()
             ? TryOrBegin<Dir::kRecv, true>(room, nullptr, site, wait)
             : TryOrBeginUnlocked<Dir::kRecv>(room, nullptr, site, wait);
}

// The rare rest of Send() and Recv(). Each kRetry comes with a reference, which
// is kept here as a handle would keep it.
Outcome Core::RetrySend(void* value, Mover move, const SourceLocation& site) {
  for (;;) {
    runtime::SelfPointer<Core> kept(this);
    Wait wait;
    const Begun begun = BeginSend(value, move, site, wait);
    const Outcome outcome =
        begun.over() ? begun.outcome() : FinishWait(wait, begun);
    kept.Release();
    Unref();
    if (outcome != Outcome::kWouldBlock) return outcome;
  }
}

Outcome Core::RetryRecv(void* room, const SourceLocation& site) {
  for (;;) {
    runtime::SelfPointer<Core> kept(this);
    Wait wait;
    const Begun begun = BeginRecv(room, site, wait);
    const Outcome outcome =
        begun.over() ? begun.outcome() : FinishWait(wait, begun);
    kept.Release();
    Unref();
    if (outcome != Outcome::kWouldBlock) return outcome;
  }
}

bool Core::Close() {
  state_.Enter();
  for (;;) {
    const Word word = Settled();
    if (word.closed()) return false;
    if (!state_.Swap(word, word.Close())) continue;
    if (!Mutated(Mutant::kNoCloseSettle)) Settled();
    return true;
  }
}

bool Core::SetClosed() {
  for (;;) {
    const Word word = state_.Read();
    if (word.closed()) return false;
    if (state_.Swap(word, word.Close())) return true;
  }
}

std::size_t Core::LenSlow() { return SizeOf(Settled()); }

// -----------------------------------------------------------------------------
// Waiting
// -----------------------------------------------------------------------------

// May the waiter sit on the exact `word` of a buffered channel? A select that
// sends stands in the queue: a receiver that finds it takes first and admits it
// then, and a seated word cannot say that one value is missing. One that would
// do either never waits here.
bool Core::MaySit(WaiterId id, const Word& word) const {
  if (capacity_ == 0 || kind_ != Kind::kChannel || word.busy() ||
      word.closed() || id.bi() || !MayUseRingSeat()) {
    return false;
  }
  return id.dir() == Dir::kRecv ? word.size() == 0
                                : word.size() == capacity_ && !id.is_select();
}

// On the exact `word` of an unbuffered channel, is there nothing to do for the
// waiter but to stand behind others of its direction?
inline bool Core::StandsBehind(WaiterId id, const Word& word) const {
  if (capacity_ != 0 || word.closed() || id.bi()) return false;
  if (word.taken()) return !word.seat().Serves(id.dir());
  return word.busy() && word.dir() == id.dir();
}

// Sits down, which may be the caller's last act. False: it may not, or lost.
bool Core::TrySit(WaiterId id) {
  const uint64_t note = state_.Note();  // before the word, see StateWord
  const Word word = state_.ReadExact();
  return MaySit(id, word) && state_.MakeNote(note, word) &&
         state_.Swap(word, word.Seat(id));
}

// Stands in the queue, at the place that the exact `word` calls the tail, and
// is counted. False: somebody else was there first (and is counted now), or the
// word is old.
inline bool Core::Stand(const Word& word, WaiterId id, Place* place) {
  uint32_t tail;
  if (!state_.TailOf(word, &tail)) return false;
  Cell cell = Cell::Void();
  if (queue_.FindTail(tail, state_, place, &cell) !=
      WaiterQueue::Found::kPlace) {
    return false;
  }
  if (cell.tag() == Cell::kId && !Mutated(Mutant::kNoHelpCount)) {
    (void)Count(word, cell.id(), *place);  // for a slower owner
  }
  if (cell.tag() != Cell::kEmpty) return false;
  // The cell is empty in a life of this queue's segment; is it still the tail?
  // If not, its segment may be gone, and the cell somebody else's.
  uint32_t now;
  if (!Mutated(Mutant::kNoReread) &&
      (!state_.TailOf(state_.ReadExact(), &now) || now != tail)) {
    return false;
  }
  if (!queue_.Install(*place, id, state_)) return false;
  for (;;) {
    const Word now = state_.ReadExact();
    if (!state_.TailOf(now, &tail)) continue;
    if (PlaceBefore(place->counter(), tail)) return true;  // by a helper
    if (Count(now, id, *place)) return true;
    runtime::NoteLostSwap();
  }
}

// Makes the place at the exact `word`'s tail, which holds `id`, a place of the
// queue. If the seat waits for the other direction, the queue (empty then) must
// not hold it: it is bounced, to start over and meet the seat. Behind the seat
// of a buffered channel its place is counted as a dead one.
bool Core::Count(const Word& word, WaiterId id, const Place& place) {
  bool conflict;
  if (capacity_ == 0) {
    conflict = word.taken() &&
               (word.seat().bi() || word.seat().dir() != id.dir()) &&
               !Mutated(Mutant::kNoBounce);
    if (conflict && word.busy()) return false;  // old: they never differ
  } else {
    conflict =
        word.busy() && word.dir() != id.dir() && !Mutated(Mutant::kNoBounce);
  }
  if (!state_.Swap(word, conflict && capacity_ == 0 ? word.Bounce()
                                                    : word.Count(id.dir()))) {
    return false;
  }
  if (!conflict) return true;
  Node& record = RecordOf(id);
  if (id.is_select()) {
    // Lost: somebody has served it elsewhere.
    if (TryClaim(record, id.gen(), 0, ClaimMode::kRetry)) {
      Wake(record, WakeResult::kRetry);
    }
  } else {
    queue_.Finish(place, state_);
    Ref();  // the waiter's
    Wake(record, WakeResult::kRetry);
  }
  return true;
}

// A blocked plain operation holds no reference of its own: who serves it, or
// closes the channel, has one, and it touches the channel no more once it is
// woken. Only who must start over needs one, and gets it with the wake-up.
template <Dir kDir>
inline Node& Core::BeginWait(runtime::Party& party, void* slot, Wait& wait) {
  Node& record = WaiterRecord(party);
  record.slot[Index(kDir)] = slot;
  record.park.Prepare(party.resumer);
  wait.core = this;
  wait.record = &record;
  wait.id = WaiterId::Make(record.record, NextGeneration(record),
                           /*select=*/false, kDir, /*bi=*/false)
                .bits();
  return record;
}

template <Dir kDir>
inline runtime::WaitInfo Core::Why(const SourceLocation& site) const {
  return {kDir == Dir::kSend ? runtime::WaitReason::kChanSend
                             : runtime::WaitReason::kChanReceive,
          &site, this, capacity_, ops_};
}

template <bool kLocked>
void Core::PublishSeat(void* arg) noexcept {
  // Copies: the waiter's frame may be gone once it is visible.
  const Wait& wait = *static_cast<Wait*>(arg);
  Core& core = *wait.core;
  Node& record = *wait.record;
  const WaiterId id(wait.id);
  const Word word(wait.lo, 0);
  if (core.state_.SwapLoAs<kLocked>(word.lo(), word.Sit(id).lo())) [[likely]]
    return;
  runtime::NoteLostSwap();
  record.park.ClearLeft();
  Publish(core, record, id);
}

void Core::PublishRingSeat(void* arg) noexcept {
  // Copies, as above.
  const Wait& wait = *static_cast<Wait*>(arg);
  Core& core = *wait.core;
  Node& record = *wait.record;
  const WaiterId id(wait.id);
  if (core.TrySit(id)) [[likely]]
    return;
  record.park.ClearLeft();
  Publish(core, record, id);
}

void Core::PublishPlain(void* arg) noexcept {
  // Copies, as above.
  const Wait& wait = *static_cast<Wait*>(arg);
  Publish(*wait.core, *wait.record, WaiterId(wait.id));
}

void Core::Publish(Core& core, Node& record, WaiterId id) {
  runtime::ParkSlot& park = record.park;
  for (;;) {
    const Word word = core.state_.ReadExact();
    if (!core.StandsBehind(id, word)) {
      if (const Mismatch m = core.MismatchOf(word); m != Mismatch::kNone) {
        core.Settle(word, m);
        continue;
      }
      if (core.ReadyFor(id.dir(), word) != Ready::kNo) {
        core.Ref();  // the waiter's
        park.SetLeft();
        Wake(record, WakeResult::kRetry);
        return;
      }
      const bool seat = core.capacity_ == 0 && !word.taken() && !word.busy();
      if (seat || core.MaySit(id, word)) {
        // The swap is the last act, as above.
        park.SetLeft();
        if (seat ? core.state_.Swap(word, word.Sit(id)) : core.TrySit(id)) {
          return;
        }
        park.ClearLeft();
        continue;
      }
    }
    // Once it stands in the queue it may be served, and the channel dropped
    // before this has settled.
    core.Pin();
    Place place;
    const bool stands = core.Stand(word, id, &place);
    if (!stands) {
      runtime::NoteLostSwap();
    } else if (!Mutated(Mutant::kNoSettleAfterCount)) {
      core.Settled();
    }
    core.Unpin();
    if (stands) {
      park.SetLeft();
      return;
    }
  }
}

// Is it right for the enrolment to wait, in the exact settled `*word`? False:
// `*ready` says that one of its cases could run; else a dead place was passed
// and the word is old.
bool Core::WaitIsRight(const Enrolment& enrolment, Word* word, bool* ready) {
  *ready = false;
  for (const Dir dir : {Dir::kSend, Dir::kRecv}) {
    if (!enrolment.WaitsTo(dir)) continue;
    switch (ReadyFor(dir, *word)) {
      case Ready::kNo:
        continue;
      case Ready::kSeat: {
        const bool ring = capacity_ != 0;
        const WaiterId id = ring ? SeatOf<true>(*word) : SeatOf<false>(*word);
        *ready = !id.is_select() || IsOpen(id);
        if (!*ready) ring ? SkipSeat<true>(*word) : SkipSeat<false>(*word);
        return false;
      }
      case Ready::kQueue: {
        Place place;
        WaiterId id;
        if (!HeadPlace(*word, &place, &id)) return false;
        *ready = !id.is_select() || IsOpen(id);
        if (!*ready) SkipRun(*word, place);
        return false;
      }
      default:
        *ready = true;
        return false;
    }
  }
  return true;
}

bool Core::Enrol(Enrolment& enrolment) {
  state_.Enter();
  state_.CountYoung();
  const WaiterId id = enrolment.id;
  if (capacity_ == 0) {
    // The usual case, as below.
    const Word word(state_.ReadLo(), 0);
    if (word.SeatIsFree() && state_.SwapLo(word.lo(), word.Sit(id).lo())) {
      enrolment.at = Enrolment::At::kSeat;
      return true;
    }
  } else if (TrySit(id)) {
    enrolment.at = Enrolment::At::kRingSeat;
    return true;
  }
  for (;;) {
    Word word = state_.ReadExact();
    if (!StandsBehind(id, word)) {
      if (const Mismatch m = MismatchOf(word); m != Mismatch::kNone) {
        Settle(word, m);
        continue;
      }
      bool ready;
      if (!WaitIsRight(enrolment, &word, &ready)) {
        if (ready) return false;
        continue;
      }
      if (capacity_ == 0 && !word.taken() && !word.busy()) {
        if (!state_.Swap(word, word.Sit(id))) continue;
        enrolment.at = Enrolment::At::kSeat;
        return true;
      }
      if (MaySit(id, word)) {
        if (!TrySit(id)) continue;
        enrolment.at = Enrolment::At::kRingSeat;
        return true;
      }
    }
    // A waiter for both directions never comes here: whoever is in the seat or
    // the queue would serve it.
    if (!Stand(word, id, &enrolment.place)) {
      runtime::NoteLostSwap();
      continue;
    }
    enrolment.at = Enrolment::At::kPlace;
    if (!Mutated(Mutant::kNoSettleAfterCount)) Settled();
    return true;
  }
}

template <bool kRing>
inline void Core::LeaveSeat(WaiterId id) {
  for (;;) {
    const Word word = state_.Read();
    if (!SeatHolds<kRing>(word, id)) return;
    if (!state_.Swap(word, WithoutSeat<kRing>(word))) continue;
    // Those behind who have left already could not pass their places.
    if (kRing && word.queued()) PassDead();
    return;
  }
}

void Core::Withdraw(Enrolment& enrolment, bool served) {
  state_.Enter();
  const Enrolment::At at = std::exchange(enrolment.at, Enrolment::At::kNowhere);
  if (at == Enrolment::At::kSeat) return LeaveSeat<false>(enrolment.id);
  if (at == Enrolment::At::kRingSeat) return LeaveSeat<true>(enrolment.id);
  if (served) return;  // its partner has passed and finished the place
  const Place& place = enrolment.place;
  queue_.Void(place, state_);
  // At the head? Then nobody else may come to pass it before the next
  // operation, which would find a queue that is not empty. 31 bits first, then
  // all.
  for (;;) {
    const Word word = state_.ReadExact();
    if (!word.busy() || word.seated() || word.head() != place.counter()) {
      return;
    }
    Place head;
    Cell cell = Cell::Void();
    switch (queue_.FindHead(word.head(), &head, &cell)) {
      case WaiterQueue::Found::kPlace:
        if (!Mutated(Mutant::kNoPositionCheck) &&
            head.position() != place.position()) {
          return;
        }
        SkipRun(word, place);
        break;
      case WaiterQueue::Found::kGap: {
        WaiterId id;
        (void)HeadPlace(word, &head, &id);
        break;
      }
      case WaiterQueue::Found::kStale:
        break;
    }
  }
}

void BlockForever(const runtime::WaitInfo& why) {
  Node& record = WaiterRecord(runtime::CurrentParty());
  record.park.Prepare();
  for (;;) {
    (void)runtime::Sleep(record.park, [](void*) {}, nullptr, why);
  }
}

}  // namespace gochan::internal

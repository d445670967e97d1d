// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Core: a channel without its T.
//
//   Send, TrySend, Recv, TryRecv      the operations, for plain waiters
//   Close, Len, Cap
//   Enrol, Withdraw                   one case of a select
//
// Everything that parties must agree on is one swap of the state word
// (state_word.h) or of a select's claim word (waiter.h); what a party won
// there, nobody else touches. The order of business of every operation is
//     settle what is amiss ─► serve or be served ─► wait
// docs/design/channel.md has the transitions, who owes what after each, and the
// interleavings that the rules forbid.
//
// Progress: lock-free but for two bounded waits: a ticket's holder waits for
// the neighbour that holds the same slot (ring.h), a woken waiter for its own
// publisher. Not wait-free.
//
// Source: see waiter_queue.h and ring.h; the one-word state, helping by
// mismatch and claims before swaps are described in docs/design/channel.md.

#ifndef GOCHAN_CHAN_INTERNAL_CORE_H_
#define GOCHAN_CHAN_INTERNAL_CORE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "chan/internal/element.h"
#include "chan/internal/ring.h"
#include "chan/internal/state_word.h"
#include "chan/internal/waiter.h"
#include "chan/internal/waiter_queue.h"
#include "runtime/cache_line.h"
#include "runtime/park.h"
#include "runtime/source_location.h"

namespace gochan::runtime {
class MemoryReader;
}  // namespace gochan::runtime

namespace gochan::internal {

// What an operation came to.
enum class Outcome : uint8_t {
  kDone,
  kClosed,      // a send: nothing was sent; a receive: closed and drained
  kWouldBlock,  // try-forms only; true at one instant
};

// One case of a waiting select on one channel: what the publisher enrolled and
// the owner withdraws. Both directions of one unbuffered channel share one.
struct Enrolment {
  enum class At : uint8_t { kNowhere, kPlace, kSeat, kRingSeat };

  bool enrolled() const { return at != At::kNowhere; }
  bool WaitsTo(Dir dir) const { return id.bi() || id.dir() == dir; }

  WaiterId id;
  At at = At::kNowhere;
  Place place;  // if kPlace
};

class alignas(runtime::kCacheLine) Core {
 public:
  enum class Kind : uint8_t {
    kChannel,
    kBroadcast,  // close-only, see broadcast.h
    kTimer,      // of a timer or ticker, see timer_core.h
  };

  static constexpr std::ptrdiff_t kMaxCapacity = (std::ptrdiff_t{1} << 30) - 1;

  // Panics if `capacity` is out of range for such elements; may throw
  // std::bad_alloc. The caller owns one reference.
  static Core* Make(const ElementOps& ops, std::ptrdiff_t capacity);

  void Ref() {
    // Relaxed: who copies a handle has one already.
    references_.fetch_add(1, std::memory_order_relaxed);
  }
  void Unref() {
    // C1 acq_rel: the last one sees everything that all others did. Acquire,
    // for the same: nobody can make another of the only one.
    if (references_.load(std::memory_order_acquire) == 1 ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      DropHandles();
    }
  }
  // The same for a wait, which begins while there is a reference: cheap on an
  // owned channel.
  void Pin() { (void)state_.Add(pins_, 1); }
  void Unpin() {
    if (state_.Add(pins_, ~uint32_t{0})) Drop();
  }

  // A case of a select looks at its channel without a reference, so that a
  // select touches no shared count. Should the same party drop the last handle
  // meanwhile
  // (`Select(SendCase(ch, v), RecvCase((ch = other, a)))`), the channel is
  // destroyed only when the party's last borrow has ended.
  static void Borrow() { ++runtime::CurrentParty().borrows; }
  static void EndBorrow() {
    runtime::Party& party = runtime::CurrentParty();
    // Not so if a case was made by one party and ends in another.
    if (party.borrows == 0) return;
    if (--party.borrows == 0 && party.buried != nullptr) DestroyBuried(party);
  }

  Kind kind() const { return kind_; }
  const ElementOps& ops() const { return *ops_; }
  // For onlookers: handles, and what else keeps it.
  uint32_t references() const {
    return references_.load(std::memory_order_relaxed) +
           (pins_.load(std::memory_order_relaxed) & ~kHandles);
  }

  // --- operations. `value` is moved from by `move` (which may copy) only if it
  // was handed over; `room` then holds a new element if a receive is kDone.

  Outcome TrySend(void* value, Mover move);
  Outcome TryRecv(void* room);
  // Never kWouldBlock. Expanded where they are called, for the switch to the
  // next goroutine is in them (runtime/park.h).
  [[gnu::always_inline]] inline Outcome Send(void* value, Mover move,
                                             const SourceLocation& site);
  [[gnu::always_inline]] inline Outcome Recv(void* room,
                                             const SourceLocation& site);

  // False if it was closed already.
  bool Close();
  bool IsClosed() const {
    state_.Enter();
    return state_.Read().closed();
  }

  std::size_t Len() {
    if (Cap() == 0) return 0;
    state_.Enter();
    const Word word = state_.Read();
    return word.busy() ? LenSlow() : word.size();
  }
  std::size_t Cap() const { return kind_ == Kind::kChannel ? capacity_ : 0; }

  // --- for select

  // The try-forms, telling also in which exact state the channel was unready.
  Outcome TrySend(void* value, Mover move, Word* unready);
  Outcome TryRecv(void* room, Word* unready);
  // The state, both halves if `exact`; and does it say that a party going in
  // direction `dir` finds nothing to do? False also if that is not plain from
  // the low word: then try.
  [[gnu::always_inline]] Word Look(bool exact) const {
    if (!exact) return Word(state_.PeekLo(), 0);
    state_.Enter();
    return state_.ReadExact();
  }
  // After Look(false): its low half.
  uint64_t LookAgain() const { return state_.PeekLoAgain(); }
  [[gnu::always_inline]] bool IsIdleFor(Dir dir, const Word& word) const {
    if (word.busy() || word.closed()) return false;
    if (capacity_ == 0) return !word.taken() || !word.seat().Serves(dir);
    return word.size() == (dir == Dir::kSend ? capacity_ : 0);
  }
  // Is the channel in that very state? If all channels of a select are, there
  // was an instant at which none was ready.
  bool IsStill(const Word& unready) const {
    return state_.ReadExact() == unready;
  }

  // For onlookers, in memory that nobody changes: is there nothing that a party
  // going in direction `dir` could do, nor is it about to be told of something?
  bool IsStuckFor(Dir dir) const {
    const Word word = state_.ReadStill();
    if (MismatchOf(word) != Mismatch::kNone) return false;
    // A select that waits for both directions would serve everybody but itself.
    if (capacity_ == 0 && !word.closed() && word.taken() && word.seat().bi()) {
      return true;
    }
    return ReadyFor(dir, word) == Ready::kNo;
  }

  // By the publisher: the select waits here from now on (true), or it need not,
  // because a case is ready (false; nothing has changed). Linearization point
  // of waiting: the swap that seats or counts the node.
  [[nodiscard]] bool Enrol(Enrolment& enrolment);

  // By the owner, once the claim is decided. `served`: a partner finished this
  // enrolment's place.
  void Withdraw(Enrolment& enrolment, bool served);

  // For onlookers, while it may come and go: what never changes in a life of
  // it. False: there is no such memory. Whether it was a core, the caller finds
  // out.
  struct Glimpse {
    Kind kind = Kind::kChannel;
    uint32_t capacity = 0;
    const ElementOps* ops = nullptr;
  };
  static bool Glance(runtime::MemoryReader& memory, const Core* core,
                     Glimpse* glimpse);

  // --- at rest only, for tests and dumps
  std::string DebugString() const;
  bool CheckInvariants(std::string* why) const;
  int WaitersForTest() const;
  bool IsOwnedForTest() const { return state_.IsOwnedForTest(); }
  int SegmentsForTest() const { return queue_.SegmentsForTest(); }
  // Before first use: counters as they are after `ticket` values and `place`
  // waiters.
  void PresetForTest(uint32_t ticket, uint32_t place);
  void PresetNoteForTest(uint32_t place) {
    runtime::NoSteps alone;
    state_.PresetNoteForTest(place);
  }
  // As if `places` selects had come and gone behind those who wait.
  void SkipPlacesForTest(uint64_t places);

 protected:
  Core(Kind kind, const ElementOps& ops, uint32_t capacity);
  virtual ~Core();

  // Nobody has a reference any more: destroys the object and frees its memory.
  virtual void Destroy();

  // open -> closed; true if this call did it. For broadcasts, which have no
  // waiters in the word.
  bool SetClosed();
  const StateWord& state() const { return state_; }

 private:
  template <typename>
  friend struct FastPath;  // typed_core.h: put and take, inline
  friend class TimerCore;  // timer_core.h: its own transitions

  // The waiter ahead of the queue; `kRing`: of a buffered channel.
  template <bool kRing>
  static WaiterId SeatOf(const Word& word) {
    return kRing ? word.guest() : word.seat();
  }
  template <bool kRing>
  static bool SeatHolds(const Word& word, WaiterId id) {
    return kRing ? word.GuestIs(id) : word.SeatHolds(id);
  }
  // Right if `word`, which has a seated waiter, is then swapped for it.
  template <bool kRing>
  Word WithoutSeat(const Word& word) const {
    return kRing ? word.Unseat(state_.Noted(), SizeOf(word)) : word.EmptySeat();
  }
  uint32_t SizeOf(const Word& word) const {
    if (!word.busy() || !word.seated()) return word.size();
    return word.guest().dir() == Dir::kRecv ? 0 : capacity_;
  }

  // What is amiss in a state, so that it must be settled first.
  enum class Mismatch : uint8_t { kNone, kAdmit, kServe, kDismiss };
  // What a party that goes in some direction finds in a settled state.
  enum class Ready : uint8_t {
    kNo,
    kClosed,
    kPut,
    kTake,
    kSwap,
    kSeat,
    kQueue
  };

  // How an operation went on: one of these, or the Fiber to switch to, for it
  // waits. In one register, see BeginSleep().
  //   kDone, kClosed   it is over
  //   kSlept           it has waited, as a thread
  class Begun {
   public:
    Begun(Outcome outcome)
        : bits_(static_cast<uintptr_t>(outcome)) {}  // NOLINT
    static Begun Waiting(runtime::Fiber* to) {
      return Begun(to == nullptr ? kSlept : reinterpret_cast<uintptr_t>(to));
    }
    bool over() const { return bits_ < kSlept; }
    Outcome outcome() const { return static_cast<Outcome>(bits_); }
    static Begun Waiting(runtime::Fiber& to) {
      return Begun(reinterpret_cast<uintptr_t>(&to));
    }
    runtime::Fiber* to() const {
      return bits_ == kSlept ? nullptr
                             : reinterpret_cast<runtime::Fiber*>(bits_);
    }

   private:
    static constexpr uintptr_t kSlept = 2;
    explicit Begun(uintptr_t bits) : bits_(bits) {}
    uintptr_t bits_;
  };

  // A plain wait, in the frame of its operation.
  struct Wait {
    Core* core;
    Node* record;
    uint64_t id;  // WaiterId
    uint64_t lo;  // C = 0: of the word in which the seat was empty
    runtime::Sleeping sleeping;
  };

  bool IsTurn(Dir dir, const Word& word, runtime::Backoff& backoff);
  Outcome TrySendIn(void* value, Mover move, Word* found, bool exact);
  Outcome TryRecvIn(void* room, Word* found, bool exact);

  Mismatch MismatchOf(const Word& word) const;
  Ready ReadyFor(Dir dir, const Word& word) const;

  std::size_t LenSlow();
  void DropHandles();
  void Drop();
  static void DestroyBuried(runtime::Party& party);

  void Settle(const Word& word, Mismatch mismatch);
  template <bool kRing>
  void SettleSeat(const Word& word);
  Word Settled();

  // Serves whoever waits in the seat or at the head; false: lost, or skipped a
  // dead place; look again.
  template <bool kRing>
  bool ServeSeat(Word word, Dir partner, void* mine, Mover move);
  bool ServeHead(Word word, Dir partner, void* mine, Mover move);
  bool TakeAndAdmit(const Word& word, void* room);
  void Handover(WaiterId id, Dir partner, void* mine, Mover move);

  bool HeadPlace(const Word& word, Place* place, WaiterId* id);
  bool HeadUnchanged(const Word& word, Word* now) const;
  bool PassTo(const Word& word, const Word& with, uint64_t position);
  template <bool kRing>
  void SkipSeat(const Word& word) {
    (void)state_.Swap(word, WithoutSeat<kRing>(word));
  }
  template <bool kRing>
  void LeaveSeat(WaiterId id);
  void SkipRun(const Word& word, const Place& place);
  void PassDead();

  void Write(uint32_t ticket, void* value, Mover move);
  void Read(uint32_t ticket, void* room);
  void Swap(const Word& word, void* room, void* value);

  bool MaySit(WaiterId id, const Word& word) const;
  bool StandsBehind(WaiterId id, const Word& word) const;
  bool TrySit(WaiterId id);
  bool Stand(const Word& word, WaiterId id, Place* place);
  bool Count(const Word& word, WaiterId id, const Place& place);
  bool WaitIsRight(const Enrolment& enrolment, Word* word, bool* ready);

  // If it is not over, `wait` is prepared, and the caller owes a FinishWait().
  Begun BeginSend(void* value, Mover move, const SourceLocation& site,
                  Wait& wait);
  Begun BeginRecv(void* room, const SourceLocation& site, Wait& wait);
  // How the wait ended: kWouldBlock is kRetry, after which the caller owns a
  // reference, and calls one of the other two, which give it back.
  [[gnu::always_inline]] inline static Outcome FinishWait(Wait& wait,
                                                          Begun begun);
  Outcome RetrySend(void* value, Mover move, const SourceLocation& site);
  Outcome RetryRecv(void* room, const SourceLocation& site);

  template <Dir kDir, bool kLocked>
  [[gnu::always_inline]] inline Begun TryOrBegin(void* value, Mover move,
                                                 const SourceLocation& site,
                                                 Wait& wait);
  template <Dir kDir>
  [[gnu::noinline]] Begun TryOrBeginUnlocked(void* value, Mover move,
                                             const SourceLocation& site,
                                             Wait& wait);
  template <Dir kDir>
  [[gnu::noinline]] Begun TryOrBeginRing(void* value, Mover move,
                                         const SourceLocation& site,
                                         Wait& wait);
  template <Dir kDir>
  [[gnu::noinline]] Begun TryOrBeginSlow(void* value, Mover move,
                                         const SourceLocation& site,
                                         Wait& wait);
  template <Dir kDir, runtime::Publish kPublish>
  [[gnu::noinline]] Begun BeginSeat(void* slot, uint64_t lo,
                                    const SourceLocation& site, Wait& wait);
  template <Dir kDir, runtime::Publish kPublish>
  [[gnu::noinline]] Begun BeginSeatSlow(void* slot, uint64_t lo,
                                        const SourceLocation& site, Wait& wait);
  template <Dir kDir>
  [[gnu::always_inline]] inline Node& BeginWait(runtime::Party& party,
                                                void* slot, Wait& wait);
  template <Dir kDir>
  [[gnu::always_inline]] inline runtime::WaitInfo Why(
      const SourceLocation& site) const;
  template <bool kLocked>
  static void PublishSeat(void* wait) noexcept;
  static void PublishRingSeat(void* wait) noexcept;
  static void PublishPlain(void* wait) noexcept;
  static void Publish(Core& core, Node& record, WaiterId id);

  Slot SlotFor(uint32_t ticket) const {
    return Slot(slots_, stride_, mask_, ticket);
  }

  // First cache line, behind the virtual table's pointer: what every operation
  // reads, and the count of handles.
  Atomic<uint32_t> references_{1};
  uint32_t capacity_;  // 0 for an unbuffered kChannel alone
  [[no_unique_address]] StateWord state_;
  Kind kind_;
  HeldUp held_up_;
  uint32_t mask_ = 0;           // ring size - 1
  std::byte* slots_ = nullptr;  // behind this object, or of its own if large
  const ElementOps* ops_;

  // Second: who waits, and what is needed rarely.
  uint32_t stride_ = 0;
  uint32_t slot_offset_ : 28 = 0;  // of the element in its slot
  uint32_t pool_ : 4 = 0;          // whose memory this is, see core.cc
  // Core::pins_: waits that keep it, and kHandles. Belongs to the state word,
  // see StateWord::Add().
  //   state         set by                 next      who may act
  //   kHandles + n  the start; who waits   n' or 0   whoever begins or ends a
  //                                                  wait; who drops the last
  //                                                  reference: n
  //   n             that one               n - 1     whoever ends a wait
  //   0             whoever has made it 0  (final)   that one: drops it
  // kHandles and no reference is the same as 0: nobody can begin a wait.
  static constexpr uint32_t kHandles = uint32_t{1} << 31;
  union {
    Atomic<uint32_t> pins_{kHandles};
    Core* next_buried_;  // then, of the party that has dropped it
  };
  WaiterQueue queue_;
};
static_assert(sizeof(Core) == 2 * runtime::kCacheLine);

// Blocks the caller for ever: send or receive on nil, select without cases.
[[noreturn]] void BlockForever(const runtime::WaitInfo& why);

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

// A state in which somebody waits who need not. It comes from an install that
// was counted, or a close, after the party had last looked; whoever meets it
// repairs it first, so that nobody overtakes and a frozen thread leaves nothing
// undone.
inline Core::Mismatch Core::MismatchOf(const Word& word) const {
  if (capacity_ == 0) {
    return word.closed() && (word.taken() || word.busy()) ? Mismatch::kDismiss
                                                          : Mismatch::kNone;
  }
  if (!word.busy()) return Mismatch::kNone;
  if (word.seated()) {
    return word.closed() ? Mismatch::kDismiss : Mismatch::kNone;
  }
  if (word.dir() == Dir::kSend) {
    if (word.closed()) return Mismatch::kDismiss;
    return word.size() < capacity_ ? Mismatch::kAdmit : Mismatch::kNone;
  }
  if (word.size() > 0) return Mismatch::kServe;
  return word.closed() && kind_ != Kind::kTimer ? Mismatch::kDismiss
                                                : Mismatch::kNone;
}

// For a settled state.
inline Core::Ready Core::ReadyFor(Dir dir, const Word& word) const {
  if (capacity_ == 0) {
    if (word.closed()) return Ready::kClosed;
    if (word.taken()) {
      return word.seat().Serves(dir) ? Ready::kSeat : Ready::kNo;
    }
    return word.busy() && word.dir() != dir ? Ready::kQueue : Ready::kNo;
  }
  if (word.busy() && word.seated()) {
    if (!word.guest().Serves(dir)) return Ready::kNo;
    return dir == Dir::kSend ? Ready::kSeat : Ready::kSwap;
  }
  if (dir == Dir::kSend) {
    if (word.closed()) return Ready::kClosed;
    if (Mutated(Mutant::kOvertake) && word.size() < capacity_) {
      return Ready::kPut;
    }
    if (word.busy() && word.dir() == Dir::kRecv) return Ready::kQueue;
    return word.size() < capacity_ ? Ready::kPut : Ready::kNo;
  }
  if (word.size() > 0) return word.busy() ? Ready::kSwap : Ready::kTake;
  return word.closed() && kind_ != Kind::kTimer ? Ready::kClosed : Ready::kNo;
}

inline Outcome Core::FinishWait(Wait& wait, Begun begun) {
  runtime::FinishSleep(wait.sleeping, begun.to());
  if (!Mutated(Mutant::kNoLeft)) wait.record->park.AwaitLeft();
  switch (static_cast<WakeResult>(wait.record->park.Result())) {
    case WakeResult::kOk:
      return Outcome::kDone;
    case WakeResult::kClosed:
      return Outcome::kClosed;
    case WakeResult::kRetry:
      break;
  }
  return Outcome::kWouldBlock;
}

inline Outcome Core::Send(void* value, Mover move, const SourceLocation& site) {
  Wait wait;
  const Begun begun = BeginSend(value, move, site, wait);
  if (begun.over()) return begun.outcome();
  const Outcome outcome = FinishWait(wait, begun);
  if (outcome != Outcome::kWouldBlock) [[likely]]
    return outcome;
  return RetrySend(value, move, site);
}

inline Outcome Core::Recv(void* room, const SourceLocation& site) {
  Wait wait;
  const Begun begun = BeginRecv(room, site, wait);
  if (begun.over()) return begun.outcome();
  const Outcome outcome = FinishWait(wait, begun);
  if (outcome != Outcome::kWouldBlock) [[likely]]
    return outcome;
  return RetryRecv(room, site);
}

// Reaches a handle's core, for select, context and tests.
struct CoreAccess {
  template <typename Handle>
  static Core* Get(const Handle& handle) {
    return handle.core_.get();
  }
  // The handle's reference becomes the caller's.
  template <typename Handle>
  static Core* Release(Handle& handle) {
    return handle.core_.Release();
  }
  // A handle that takes over the caller's reference.
  template <typename Handle>
  static Handle Adopt(Core* core) {
    Handle handle;
    handle.core_.Set(core);
    return handle;
  }
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_CORE_H_

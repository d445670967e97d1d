// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The state of a channel: one 128-bit word, the only truth about it.
//
// From the lowest bit up:
//
//   lo, C=0   seat{node:28 gen:30 select:1 dir:1 bi:1} taken:1 closed:1 busy:1
//   lo, C>0   send:31    recv:31  closed:1  busy:1
//   hi        head:31    tail:31  dir:1     -:1
//   or, C>0, with a waiter in the seat:
//   lo        ticket:31  more:31  closed:1  busy:1 (set)
//   hi        id:61               queued:1  -:1  seated:1
//
//   send recv  tickets given out; n = send - recv elements, 0 <= n <= C
//   seat, id   the first waiter, ahead of the queue. C = 0: once emptied (taken
//              = 0) it keeps node and generation: a version
//   ticket     says both counters: while a receiver sits, send = recv = ticket;
//              while a sender sits, recv = ticket and send = ticket + C
//   more       places of the queue behind the seat; queued: one was counted
//   closed     no more sends; of a timer's channel (timer_core.h): armed
//   busy       somebody is seated (C > 0), or the queue has places that are not
//              yet passed, dead ones included
//   head tail  the queue's places; all in it wait for the direction `dir`
//   dir        while busy = 0 and C > 0: `moved`, see below
//
// Everything but closed, busy, taken, seated, moved and dir only grows (modulo
// 2^31), and an id never repeats. So the word has no ABA, but that of a full or
// an empty buffer on which somebody sat and was served: it was full or empty
// all the while. While busy = 0 the low word decides alone: it is read alone,
// and swapped alone if hi stays as it is. Otherwise both are read and swapped
// as one (runtime/atomic128.h). tail - head counts places, not waiters, and
// wraps: empty is busy = 0, nothing else. `more` wraps, too: hence `queued`.
//
// A seated word has no room for the place at which its queue begins. That place
// is the end of the empty queue on which somebody sat, so it is *noted* beside
// the word, and noted anew only if the queue has moved on since (`moved`).
//
// The transitions below are pure; StateWord::Swap() makes one happen. Each is
// named as in docs/design/channel.md, which says who owes what after winning
// it.
//
//   transition        lo                   hi               swap
//   Put               send+1                                8 (16 if busy)
//   Take              recv+1                                8 (16 if busy)
//   Sit               seat = id, taken                      8
//   EmptySeat         taken = 0                             8 (16 if busy)
//   Seat              ticket, busy         id, seated       16
//   Unseat            busy = 0 if alone    head, tail, dir  16
//   Count             busy                 tail+1, dir      16
//     while seated    more+1               queued           16
//   Bounce                                 tail+1, head+1   16
//   PassTo            busy = 0 if last     head, moved      16
//   Close, Arm        closed                                8 (16 if busy)
//   Disarm            closed = 0                            8 (16 if busy)
// Swap, admit and serve are PassTo, or Unseat, together with Put and Take.

#ifndef GOCHAN_CHAN_INTERNAL_STATE_WORD_H_
#define GOCHAN_CHAN_INTERNAL_STATE_WORD_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "chan/internal/mutation.h"
#include "chan/internal/waiter.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/ownership.h"
#include "runtime/restartable.h"
#include "runtime/sanitizers.h"

namespace gochan::internal {

// One value of the state. `hi` is meaningless if the word was read with busy =
// 0 by Read().
class Word {
 public:
  static constexpr uint32_t kCounterMask = (uint32_t{1} << 31) - 1;
  static constexpr uint64_t kTaken = uint64_t{1} << 61;
  static constexpr uint64_t kClosed = uint64_t{1} << 62;
  static constexpr uint64_t kBusy = uint64_t{1} << 63;
  // In hi.
  static constexpr uint64_t kQueued = uint64_t{1} << 61;
  static constexpr uint64_t kMoved = uint64_t{1} << 62;
  static constexpr uint64_t kSeated = uint64_t{1} << 63;

  constexpr Word() = default;
  constexpr explicit Word(runtime::Pair64 bits) : bits_(bits) {}
  constexpr Word(uint64_t lo, uint64_t hi) : bits_{lo, hi} {}

  // --- what it says
  constexpr runtime::Pair64 bits() const { return bits_; }
  constexpr uint64_t lo() const { return bits_.lo; }
  constexpr uint64_t hi() const { return bits_.hi; }
  constexpr bool closed() const { return (bits_.lo & kClosed) != 0; }
  constexpr bool armed() const { return closed(); }
  constexpr bool busy() const { return (bits_.lo & kBusy) != 0; }

  constexpr uint32_t send() const {
    return static_cast<uint32_t>(bits_.lo) & kCounterMask;
  }
  constexpr uint32_t recv() const {
    return static_cast<uint32_t>(bits_.lo >> 31) & kCounterMask;
  }
  constexpr uint32_t size() const { return (send() - recv()) & kCounterMask; }

  constexpr bool taken() const { return (bits_.lo & kTaken) != 0; }
  constexpr WaiterId seat() const { return WaiterId(bits_.lo); }
  // Of an open channel whose queue is empty: the seat is, too; it holds a plain
  // waiter that goes in direction `dir`.
  constexpr bool SeatIsFree() const {
    return (bits_.lo & (kBusy | kClosed | kTaken)) == 0;
  }
  constexpr bool SeatHoldsPlain(Dir dir) const {
    constexpr uint64_t kKind = WaiterId::kSelect | WaiterId::kDir;
    return (bits_.lo & (kBusy | kClosed | kTaken | kKind)) ==
           (kTaken | (dir == Dir::kRecv ? WaiterId::kDir : 0));
  }
  // The same of a select, which may wait for the other direction, too.
  constexpr bool SeatHoldsSelect(Dir dir) const {
    return (bits_.lo & (kBusy | kClosed | kTaken | WaiterId::kSelect)) ==
               (kTaken | WaiterId::kSelect) &&
           seat().Serves(dir == Dir::kRecv ? Dir::kSend : Dir::kRecv);
  }
  // Either.
  constexpr bool SeatHoldsAny(Dir dir) const {
    return (bits_.lo & (kBusy | kClosed | kTaken)) == kTaken &&
           seat().Serves(Opposite(dir));
  }
  constexpr bool SeatHolds(WaiterId id) const {
    return taken() && seat() == id;
  }

  // Of an exact word of a buffered channel, if busy; the next four if seated.
  constexpr bool seated() const { return (bits_.hi & kSeated) != 0; }
  constexpr WaiterId guest() const { return WaiterId(bits_.hi); }
  constexpr uint32_t ticket() const { return send(); }
  constexpr uint32_t more() const { return recv(); }
  constexpr bool queued() const { return (bits_.hi & kQueued) != 0; }
  constexpr bool GuestIs(WaiterId id) const {
    return busy() && seated() && guest() == id;
  }
  // The channel is open, and a plain waiter that goes in direction `dir` sits.
  constexpr bool GuestIsPlain(Dir dir) const {
    constexpr uint64_t kKind = WaiterId::kSelect | WaiterId::kDir | kSeated;
    return (bits_.lo & (kBusy | kClosed)) == kBusy &&
           (bits_.hi & kKind) ==
               (kSeated | (dir == Dir::kRecv ? WaiterId::kDir : 0));
  }

  // The queue's, if nobody is seated: StateWord::HeadOf() and TailOf() know
  // them else.
  constexpr uint32_t head() const {
    return static_cast<uint32_t>(bits_.hi) & kCounterMask;
  }
  constexpr uint32_t tail() const {
    return static_cast<uint32_t>(bits_.hi >> 31) & kCounterMask;
  }
  constexpr Dir dir() const {
    return seated() ? guest().dir() : static_cast<Dir>(bits_.hi >> 62 & 1);
  }
  // Of an exact word that is not busy: the end of the queue is not noted yet.
  constexpr bool moved() const { return (bits_.hi & kMoved) != 0; }

  // --- what may follow
  constexpr Word Put() const {
    return Word(
        (bits_.lo & ~uint64_t{kCounterMask}) | ((send() + 1) & kCounterMask),
        bits_.hi);
  }
  constexpr Word Take() const {
    return Word((bits_.lo & ~(uint64_t{kCounterMask} << 31)) |
                    uint64_t{(recv() + 1) & kCounterMask} << 31,
                bits_.hi);
  }
  constexpr Word Sit(WaiterId id) const {
    return Word((bits_.lo & (kClosed | kBusy)) | id.bits() | kTaken, bits_.hi);
  }
  constexpr Word EmptySeat() const {
    return Word(bits_.lo & ~kTaken, bits_.hi);
  }
  // From an exact word that is not busy, in which the buffer is empty or full.
  constexpr Word Seat(WaiterId id) const {
    return Word(recv() | kBusy | (bits_.lo & kClosed), id.bits() | kSeated);
  }
  // With the head at `place`, as it is noted, and `size` elements. The queue
  // behind has not been passed, so if there was one it is not empty.
  constexpr Word Unseat(uint32_t place, uint32_t size) const {
    const uint64_t lo = ((ticket() + size) & kCounterMask) |
                        uint64_t{ticket()} << 31 | (bits_.lo & kClosed);
    if (!queued() || Mutated(Mutant::kSeatAlone)) {
      return Word(lo, Hi(place, place, Dir::kSend));
    }
    return Word(lo | kBusy,
                Hi(place, (place + more()) & kCounterMask, guest().dir()));
  }
  // One more place at the tail; in an empty queue `dir` becomes its direction.
  constexpr Word Count(Dir dir) const {
    if (seated()) {
      return Word((bits_.lo & ~(uint64_t{kCounterMask} << 31)) |
                      uint64_t{(more() + 1) & kCounterMask} << 31,
                  bits_.hi | kQueued);
    }
    const Dir now = busy() ? this->dir() : dir;
    return Word(bits_.lo | kBusy, Hi(head(), (tail() + 1) & kCounterMask, now));
  }
  // One place at the tail of an empty queue, passed at once.
  constexpr Word Bounce() const {
    return Word(bits_.lo, Hi((head() + 1) & kCounterMask,
                             (tail() + 1) & kCounterMask, dir()));
  }
  // The head moves on to place `head`; `last`: that is the end of the queue.
  constexpr Word PassTo(uint32_t head, bool last) const {
    const uint64_t hi = Hi(head & kCounterMask, tail(), dir());
    return last ? Word(bits_.lo & ~kBusy, hi | kMoved) : Word(bits_.lo, hi);
  }
  constexpr Word Close() const { return Word(bits_.lo | kClosed, bits_.hi); }
  constexpr Word Arm() const { return Close(); }
  constexpr Word Disarm() const { return Word(bits_.lo & ~kClosed, bits_.hi); }

  // For tests that start near the counters' wrap.
  static constexpr Word Preset(uint32_t ticket, bool buffered, uint32_t place) {
    const uint64_t t = ticket & kCounterMask;
    return Word(buffered ? t | t << 31 : 0,
                Hi(place & kCounterMask, place & kCounterMask, Dir::kSend));
  }

  // `places` dead ones are added.
  constexpr Word SkipForTest(uint64_t places) const {
    const auto n = static_cast<uint32_t>(places) & kCounterMask;
    if (seated()) {
      return Word((bits_.lo & ~(uint64_t{kCounterMask} << 31)) |
                      uint64_t{(more() + n) & kCounterMask} << 31,
                  bits_.hi | kQueued);
    }
    return Word(bits_.lo, Hi(head(), (tail() + n) & kCounterMask, dir()));
  }

  friend constexpr bool operator==(const Word&, const Word&) = default;

 private:
  static constexpr uint64_t Hi(uint32_t head, uint32_t tail, Dir dir) {
    return uint64_t{head} | uint64_t{tail} << 31 |
           static_cast<uint64_t>(dir) << 62;
  }

  runtime::Pair64 bits_;
};

// Is place `a` before place `b`? Both modulo 2^31 and less than 2^30 apart.
constexpr bool PlaceBefore(uint32_t a, uint32_t b) {
  const uint32_t distance = (b - a) & Word::kCounterMask;
  return distance != 0 && distance < (uint32_t{1} << 30);
}

// Memory ordering: every access is seq_cst (S1). The edge that needs it is
//     thread X: send on A; try B            thread Y: send on B; try A
// where at least one of the two must see the other's send, though neither
// writes what the other wrote.
//
// A word may be *owned*: one thread swaps it without a lock
// (runtime/ownership.h), which makes no fence. So whoever else comes makes it
// shared first, by Enter(), once and for ever. In the example, if X owns A: Y's
// try of A begins with RestartAll(), after Y's send. Either X's store on A was
// before that, and Y sees it; or it fails, and X sends with a lock, after which
// it sees B.
class StateWord {
 public:
  // Every operation begins with this, on the thread that goes on with it: the
  // word is shared or the calling thread's from now on. What follows in this
  // class may be used behind it alone, if nothing else is said.
  void Enter() const {
    if (!IsMineOrShared()) [[unlikely]] {
      Share();
    }
  }
  // It is that already: Enter() would do nothing.
  bool IsMineOrShared() const { return owner_.IsMineOrShared(); }

  // Enough for every decision: hi is read only when it means something.
  Word Read() const {
    const uint64_t lo = ReadLo();
    if ((lo & Word::kBusy) == 0) [[likely]] {
      return Word(lo, 0);
    }
    return ReadExact();
  }

  // Both halves as they were at one moment.
  Word ReadExact() const {
    CheckEntered();
    if (const uint8_t mine = owner_.MarkIfMine(); mine != 0) {
      // Not as one: the processor would wait for a store of either half. Mine
      // still, so nobody else has swapped before these loads.
      const runtime::Pair64 found = word_.LoadApart();
      // O1 acquire: looked at after them.
      if (owner_.owner().load(std::memory_order_acquire) == mine) [[likely]] {
        return Word(found);
      }
    }
    return Word(word_.Load());
  }

  uint64_t ReadLo() const {
    CheckEntered();
    return word_.LoadLo(std::memory_order_seq_cst);  // S1
  }

  // Linearization point of every transition. `from` was read exactly if busy,
  // or if hi is to change.
  [[nodiscard]] bool Swap(const Word& from, const Word& to) {
    if (!from.busy() && !to.busy() && from.hi() == to.hi()) {
      return SwapLo(from.lo(), to.lo());
    }
    CheckEntered();
    if (owner_.TrySwap(word_, from.bits(), to.bits())) return true;
    runtime::Pair64 expected = from.bits();
    return word_.CompareExchange(expected, to.bits());
  }

  // Without a lock, if it is the calling thread's own; with one, if that fails.
  [[nodiscard]] bool SwapLo(uint64_t from, uint64_t to) {
    CheckEntered();
    if (owner_.TrySwap(word_, from, to)) return true;
    return SwapLoLocked(from, to);
  }
  [[nodiscard]] bool SwapLoLocked(uint64_t from, uint64_t to) {
    CheckEntered();
    return word_.CompareExchangeLo(from, to);
  }
  // Whichever of both, as the caller has found.
  template <bool kLocked>
  [[nodiscard]] bool SwapLoAs(uint64_t from, uint64_t to) {
    return kLocked ? SwapLoLocked(from, to) : SwapLo(from, to);
  }

  // Adds to a number that belongs to the word: whoever may swap that without a
  // lock may change this without one. True: it has become 0. Acquire and
  // release.
  bool Add(runtime::Atomic<uint32_t>& number, uint32_t delta) const {
    if (const uint8_t mine = owner_.MarkIfMine(); mine != 0) {
      bool zero;
      if (runtime::RestartableAdd(number, delta, owner_.owner(), mine, &zero))
          [[likely]] {
        return zero;
      }
    }
    Enter();
    return number.fetch_add(delta, std::memory_order_acq_rel) + delta == 0;
  }

  // The same of other words that belong to it. seq_cst, or the owner's order,
  // as for the state.
  [[nodiscard]] bool SwapBeside(runtime::Atomic<uint64_t>& word, uint64_t from,
                                uint64_t to) const {
    if (owner_.TrySwap(word, from, to)) return true;
    return word.compare_exchange(from, to, std::memory_order_seq_cst);
  }
  // By the only one who may change it now.
  void StoreBeside(runtime::Atomic<uint64_t>& word, uint64_t to) const {
    if (const uint8_t mine = owner_.MarkIfMine(); mine != 0) {
      // Relaxed: nobody else changes it.
      const uint64_t found = word.word()->load(std::memory_order_relaxed);
      if (runtime::RestartableSwap(word, found, to, owner_.owner(), mine))
          [[likely]] {
        return;
      }
    }
    word.store(to, std::memory_order_seq_cst);
  }

  // --- without Enter()

  // Both halves, if nobody changes them meanwhile.
  Word ReadStill() const { return Word(word_.Load()); }

  // The low half for those who only want to know whether they need not come: of
  // a word that is owned by somebody else it says busy, which is not plain.
  uint64_t PeekLo() const {
    if (owner_.IsOthers()) return Word::kBusy;
    return PeekLoAgain();
  }
  // For those who have peeked just now. Who owns it since then has swapped the
  // owner after that look, so will see what the caller did before.
  uint64_t PeekLoAgain() const {
    return word_.LoadLo(std::memory_order_seq_cst);  // S1
  }

  // What lies there now, in memory that may be somebody else's.
  GOCHAN_UNCHECKED uint64_t GlimpseLo() const {
    return *const_cast<const volatile uint64_t*>(
        const_cast<runtime::Atomic128&>(word_).low());
  }

  // See Ownership.
  bool IsLocked() const { return owner_.IsLocked(); }

  bool IsOwnedForTest() const { return owner_.IsOwned(); }

  // Before anybody else can see it: it may be owned.
  void BeginYoung() {
    if (!MayBeFresh() && runtime::CurrentMark() == 0) return;
    owner_.Begin(/*at_once=*/OwnedAfter() == 0);
  }
  void EndYoung() { owner_.EndYouth(); }
  // Before somebody waits, of which the word keeps no count. The caller has
  // entered.
  void CountYoung() { owner_.CountUse(OwnedAfter()); }

  // Before anybody else can see it.
  void Init(const Word& word) {
    word_.Init(word.bits());
    if (word.seated()) return;  // at the place that is noted
    place_.word()->store(word.head(), std::memory_order_relaxed);
  }
  // The queue has moved on since the note was made.
  void PresetNoteForTest(uint32_t place) {
    word_.Init({ReadExact().lo(), ReadExact().hi() | Word::kMoved});
    place_.word()->store(place, std::memory_order_relaxed);
  }

  // --- the noted place

  // Where the queue of `word`, exact, begins. Of a seated word it is right if
  // the word still was the same afterwards (or is swapped); in any case the
  // head of today is not before it.
  uint32_t HeadOf(const Word& word) const {
    return word.seated() ? Noted() : word.head();
  }
  // Where it ends. False: a seated word that is old by now.
  [[nodiscard]] bool TailOf(const Word& word, uint32_t* tail) const {
    if (!word.seated()) {
      *tail = word.tail();
      return true;
    }
    *tail = (Noted() + word.more()) & Word::kCounterMask;
    return Mutated(Mutant::kNoNoteCheck) || ReadExact() == word;
  }
  uint32_t Noted() const {
    return static_cast<uint32_t>(Note()) & Word::kCounterMask;
  }

  // Before somebody sits: to be read before the word, which then has its end
  // noted. False: not so, look again.
  uint64_t Note() const {
    // N1 acquire: it is read before the word that is read next; pairs with N1
    // in MakeNote().
    return place_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool MakeNote(uint64_t note, const Word& word) {
    if (!word.moved() || Mutated(Mutant::kNoNote)) return true;
    if (Mutated(Mutant::kKeepNote) &&
        (note & Word::kCounterMask) == word.head())
      return true;
    const uint64_t next = ((note >> 31) + 1) << 31 | word.head();
    if (Mutated(Mutant::kBlindNote)) {
      place_.store(next, std::memory_order_release);
      return true;
    }
    // N1 acq_rel: the swap that seats somebody comes after it.
    return place_.compare_exchange(note, next, std::memory_order_acq_rel);
  }

 private:
  runtime::Atomic128 word_;
  // The note: {place:31 version:33}. Written by whoever is about to sit on a
  // word that has moved, with a version of its own.
  //
  // While somebody is seated, and until `moved` is set again, it is the place P
  // of the empty queue on which he sat. For the sitter S read the note, then
  // the word (moved, at P), then replaced that note, then swapped that word.
  // Whoever replaces S's note before P is left has read it, so after it was
  // made, and the word after that, so it writes P again. Whoever read an older
  // note fails: its version is over.
  runtime::Atomic<uint64_t> place_;

  // The explorer finds operations that have forgotten to enter.
  void CheckEntered() const {
#if GOCHAN_INSTRUMENT
    if (!owner_.IsEntered()) std::abort();
#endif
  }
  [[gnu::cold, gnu::noinline]] void Share() const {
    owner_.Share({.no_restart = Mutated(Mutant::kNoRestart),
                  .share_at_once = Mutated(Mutant::kShareAtOnce)});
  }

  // Who may swap the word without a lock. mutable: who only reads makes it
  // shared as well.
  mutable runtime::Ownership owner_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_STATE_WORD_H_

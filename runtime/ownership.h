// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Ownership: who may change a word without a lock.
//
// Of a word that one worker, or thread, alone uses, that one becomes the owner,
// which changes it by restartable sequences (restartable.h). Whoever else comes
// makes it shared first, once and for ever, and nobody waits for anybody.
//
//   every operation
//     Enter()        it is shared, or mine, from now on
//     MarkIfMine()   not 0: RestartableSwap(), and if that fails a locked swap;
//                    0: a locked swap
//
// How it all fits together: docs/design/channel.md, "owned words".

#ifndef GOCHAN_RUNTIME_OWNERSHIP_H_
#define GOCHAN_RUNTIME_OWNERSHIP_H_

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "runtime/atomic.h"
#include "runtime/restartable.h"

namespace gochan::runtime {

// Ownership::owner_. A mark m is odd, from 3 on.
//   state      set by                  next          who may act
//   kFresh     the start               young(m)      nobody: who comes first
//                                      kShared       makes it its own, or, with
//                                                    no mark, shares it
//   young(m)   m: who makes the word,  m, kShared    m, with a lock; others:
//              or comes first                        share it first
//   m          m, after many uses      kRevoking     m, restartable or with a
//                                                    lock; others: revoke it
//   kRevoking  whoever else comes      kShared       whoever comes, m too:
//                                                    restart all, share it
//   kShared    those; or the start     (final)       everybody, with a lock
// A young word is changed with locks only, so there is nothing to restart.
// Nobody else changes it in kRevoking: until somebody has restarted all, m may
// be about to store.
class Ownership {
 public:
  // Shared from the start.
  constexpr Ownership() = default;
  // Nobody's yet: the young one of the calling worker, or of whoever comes
  // first if it is made by the compiler, or a thread.
  struct Fresh {};
  constexpr explicit Ownership(Fresh) : owner_(kHasMarks ? kFresh : kShared) {
    if (!std::is_constant_evaluated()) Begin();
  }

  // See above.
  void Enter() {
    if (!IsMineOrShared()) [[unlikely]] {
      Share();
    }
  }

  // The calling thread's mark if it is the owner; else 0. No step for tools:
  // what relies on it looks again.
  [[gnu::always_inline]] uint8_t MarkIfMine() const {
    if (!kHasMarks) return 0;
    const uint8_t mine = CurrentMark();
    // Relaxed: what this thread has stored, or not its mark.
    const uint8_t owner = owner_.word()->load(std::memory_order_relaxed);
    return mine != 0 && owner == mine ? mine : 0;
  }
  // `word`: `from` -> `to`, without a lock, if the calling thread is the owner
  // (RestartableSwap()). False: swap with a lock.
  template <typename Word, typename Value>
  [[nodiscard, gnu::always_inline]] bool TrySwap(Word& word, Value from,
                                                 Value to) const {
    if (const uint8_t mine = MarkIfMine(); mine != 0) {
      if (RestartableSwap(word, from, to, owner_, mine)) [[likely]] {
        return true;
      }
    }
    return false;
  }
  // For RestartableSwap() and RestartableAdd(), beside it.
  const Atomic<uint8_t>& owner() const { return owner_; }
  bool IsShared() const { return Load() == kShared; }
  bool IsMineOrShared() const { return IsMineOrShared(Load()); }
  // Is it shared, or the calling thread's young one? It stays one of both, and
  // need not be entered.
  bool IsLocked() const {
    const uint8_t owner = Load();
    return owner == kShared || owner == Young(CurrentMark());
  }
  // Somebody else's own.
  bool IsOthers() const {
    const uint8_t owner = Load();
    return (owner & 1) != 0 && owner != CurrentMark();
  }
  // Of whomever. Relaxed: for tests.
  bool IsOwned() const {
    return (owner_.word()->load(std::memory_order_relaxed) & 1) != 0;
  }
  // May the calling thread use it? For tools; no step. kRevoking: the owner
  // goes on in an operation that has entered before; it is not about to store.
  bool IsEntered() const {
    const uint8_t owner = owner_.word()->load(std::memory_order_relaxed);
    return owner == kRevoking || IsMineOrShared(owner);
  }

  // Before anybody else can see it: it may become the calling worker's own;
  // `at_once`: is so already. A plain thread's: of whoever comes first, for
  // threads make things for goroutines.
  void Begin(bool at_once = false) {
    if (!kHasMarks) return;
    const uint8_t mine = CurrentMark();
    const uint8_t nobodys = MarksExist() ? kFresh : kShared;
    // Relaxed: released by whatever makes it visible.
    owner_.word()->store(!IsWorkersMark(mine) ? nobodys
                         : at_once            ? mine
                                              : Young(mine),
                         std::memory_order_relaxed);
  }
  // From time to time, when the word has been used so often that, if it is
  // young still, it was one thread's for so long that a revocation is no great
  // loss.
  void EndYouth() {
    uint8_t young = Load();
    const uint8_t mine = CurrentMark();
    if (mine == 0 || young != Young(mine)) return;
    // O1 acq_rel. Lost: somebody has shared it.
    (void)owner_.compare_exchange(young, mine, std::memory_order_acq_rel);
  }
  // One use more, by who has entered: the `limit`th ends its youth.
  void CountUse(uint32_t limit) {
    if (Load() == kShared || ++uses_ != limit) [[likely]] {
      return;
    }
    EndYouth();
  }

  // What a test may leave out of Share().
  struct Faults {
    bool no_restart = false;
    bool share_at_once = false;
  };
  // For who is not the owner. Never waits: whoever finds it being revoked
  // restarts all himself.
  [[gnu::cold, gnu::noinline]] void Share() { Share(Faults{}); }
  void Share(Faults faults);

 private:
  static constexpr uint8_t kShared = 0;
  static constexpr uint8_t kRevoking = 1;
  static constexpr uint8_t kFresh = 254;
  static constexpr uint8_t Young(uint8_t mark) {
    return static_cast<uint8_t>(mark - 1);  // of no mark: 255, which is nobody
  }
  static_assert(MarkNumber(kMarks - 1) < kFresh);

  uint8_t Load() const {
    if (!kHasMarks) return kShared;
    // O1 acquire: who finds it shared is behind the restart; pairs with O1 in
    // Share().
    return owner_.load(std::memory_order_acquire);
  }
  static bool IsMineOrShared(uint8_t owner) {
    if (owner == kShared) return true;
    const uint8_t mine = CurrentMark();
    return owner == mine || owner == Young(mine);
  }

  Atomic<uint8_t> owner_{kShared};
  uint8_t uses_ = 0;  // m's, while it is young
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_OWNERSHIP_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// OwnedWord: four bytes of state that one worker changes without a lock, until
// somebody else comes (ownership.h). Starts with nobody's, and 0.
//
//   uint32_t state = 0;  // a guess
//   if (!word.TrySwapFast(state, kLocked, acquire)) {  // else the slow path:
//     ... word.Swap(state, state | kLocked, acquire) ...
//
// A word of a mutex, say: a swap is an acquire or a release, as the caller
// says; by the owner both come for nothing on the only processor where there
// are owners.

#ifndef GOCHAN_RUNTIME_OWNED_WORD_H_
#define GOCHAN_RUNTIME_OWNED_WORD_H_

#include <atomic>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/ownership.h"
#include "runtime/restartable.h"

namespace gochan::runtime {

class OwnedWord {
 public:
  constexpr OwnedWord() : owner_(Ownership::Fresh()) {}
  OwnedWord(const OwnedWord&) = delete;
  OwnedWord& operator=(const OwnedWord&) = delete;

  // Of whomever it is. What it is used for must be decided by a swap.
  uint32_t Load(std::memory_order order) const { return word_.load(order); }

  // `state` -> `to`, the usual way. False: it is something else, or not that
  // simple: go on with Swap(), from what `state` is now. Does not touch the
  // word once it has changed it.
  [[nodiscard, gnu::always_inline]] bool TrySwapFast(uint32_t& state,
                                                     uint32_t to,
                                                     std::memory_order order) {
    // Not a load of the word first: another processor that wants it would have
    // more time to take it away.
    if (owner_.IsShared()) return word_.compare_exchange(state, to, order);
    if (owner_.TrySwap(word_, state, to)) return true;
    state = word_.load(std::memory_order_relaxed);  // a swap decides
    return false;
  }

  // `state` -> `to`; on failure `state` is what was found.
  [[nodiscard]] bool Swap(uint32_t& state, uint32_t to,
                          std::memory_order order) {
    if (!owner_.IsShared()) [[unlikely]] {
      owner_.Enter();
      owner_.CountUse(kYoungUses);
    }
    return word_.compare_exchange(state, to, order);
  }

  bool IsOwnedForTest() const { return owner_.IsOwned(); }

 private:
  // After so many uses by one worker it is that one's.
  static constexpr uint32_t kYoungUses = 128;

  Atomic<uint32_t> word_;
  Ownership owner_;
};
static_assert(sizeof(OwnedWord) == 8);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_OWNED_WORD_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/state_word.h"

#include <atomic>
#include <cstdint>

#include "chan/internal/mutation.h"
#include "runtime/restartable.h"

namespace gochan::internal {

// Never waits: whoever finds it being revoked restarts all himself.
void StateWord::Share() const {
  uint8_t owner = Owner();
  while (owner != kShared) {
    const bool young = (owner & 1) == 0;
    if (young || owner == kRevoking) {
      if (!young && !Mutated(Mutant::kNoRestart)) runtime::RestartAll();
      // O1 acq_rel: the restart comes before it; pairs with O1 in Owner().
      if (owner_.compare_exchange(owner, kShared, std::memory_order_acq_rel)) {
        return;
      }
    } else if (Mutated(Mutant::kShareAtOnce)) {
      owner_.store(kShared, std::memory_order_release);
      runtime::RestartAll();
      return;
    } else if (owner_.compare_exchange(owner, kRevoking,
                                       std::memory_order_acq_rel)) {
      owner = kRevoking;
    }
  }
}

}  // namespace gochan::internal

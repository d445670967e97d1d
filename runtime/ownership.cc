// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/ownership.h"

#include <atomic>
#include <cstdint>

#include "runtime/restartable.h"

namespace gochan::runtime {

void Ownership::Share(Faults faults) {
  uint8_t mine = CurrentMark();
  uint8_t owner = Load();
  if (owner == kFresh && mine == 0) mine = TakeThreadMark();
  while (owner != kShared) {
    const bool young = (owner & 1) == 0;
    if (owner == kFresh && mine != 0) {
      // O1 acq_rel, here and below: the restart comes before it; pairs with O1
      // in Load().
      if (owner_.compare_exchange(owner, Young(mine),
                                  std::memory_order_acq_rel)) {
        return;
      }
    } else if (young || owner == kRevoking) {
      if (!young && !faults.no_restart) RestartAll();
      if (owner_.compare_exchange(owner, kShared, std::memory_order_acq_rel)) {
        return;
      }
    } else if (faults.share_at_once) {
      owner_.store(kShared, std::memory_order_release);
      RestartAll();
      return;
    } else if (owner_.compare_exchange(owner, kRevoking,
                                       std::memory_order_acq_rel)) {
      owner = kRevoking;
    }
  }
}

}  // namespace gochan::runtime

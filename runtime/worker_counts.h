// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// WorkerCounts: how many workers do what, in one word. Of the scheduler and of
// its miniature in the model tests.

#ifndef GOCHAN_RUNTIME_WORKER_COUNTS_H_
#define GOCHAN_RUNTIME_WORKER_COUNTS_H_

#include <cstdint>

#include "runtime/atomic.h"

namespace gochan::runtime {

// counts: { idle:12 searching:12 active:12 watcher:1 epoch:27 }
//   idle       workers that are kAsleep or kDetached
//   searching  workers that look for work, or were woken to do so
//   active     workers that are not kRetired
//   watcher    one of the idle ones sleeps by the clock and looks after those
//              that run
//   epoch      counts claims of idle workers, and mains
// So that a push needs one load to know that nobody is to be woken.
struct WorkerCounts {
  static constexpr uint64_t kIdle = 1;
  static constexpr uint64_t kIdleMask = 0xfff;
  static constexpr uint64_t kSearching = uint64_t{1} << 12;
  static constexpr uint64_t kSearchingMask = uint64_t{0xfff} << 12;
  static constexpr uint64_t kActive = uint64_t{1} << 24;
  static constexpr uint64_t kWatcher = uint64_t{1} << 36;
  static constexpr uint64_t kEpoch = uint64_t{1} << 37;

  static int Idle(uint64_t counts) {
    return static_cast<int>(counts & kIdleMask);
  }
  static int Searching(uint64_t counts) {
    return static_cast<int>(counts >> 12 & 0xfff);
  }
  static int Active(uint64_t counts) {
    return static_cast<int>(counts >> 24 & 0xfff);
  }

  // Somebody is idle, and nobody searches or watches.
  static bool NeedsWatcher(uint64_t counts) {
    return (counts & kIdleMask) != 0 &&
           (counts & (kWatcher | kSearchingMask)) == 0;
  }

  // Need nobody find what is pushed? Either there is nobody idle, or who pushes
  // is `quiet`, and somebody looks after him.
  static bool MayHide(uint64_t counts, bool quiet) {
    return (counts & kIdleMask) == 0 || (quiet && (counts & kWatcher) != 0);
  }

  static constinit Atomic<uint64_t> counts;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_WORKER_COUNTS_H_

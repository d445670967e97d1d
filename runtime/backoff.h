// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Backoff: a bounded wait for a neighbour that is between two adjacent
// instructions: a few pauses, then the processor goes to whoever else wants it.

#ifndef GOCHAN_RUNTIME_BACKOFF_H_
#define GOCHAN_RUNTIME_BACKOFF_H_

#include <sched.h>

#include "runtime/instrument.h"

namespace gochan::runtime {

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

class Backoff {
 public:
  // One round. The first kSpins are pauses; then sched_yield, because the
  // neighbour may have been preempted on this very processor.
  void Wait(const void* address) {
    Step(StepKind::kSpin, address);
    if (rounds_ < kSpins) {
      ++rounds_;
      for (int i = 0; i < (1 << rounds_); ++i) CpuRelax();
    } else {
      sched_yield();
    }
  }

 private:
  static constexpr int kSpins = 6;
  int rounds_ = 0;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_BACKOFF_H_

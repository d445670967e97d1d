// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
//   Backoff          a bounded wait for a neighbour between two adjacent
//                    instructions: a few pauses, then the processor goes to
//                    whoever else wants it
//   PauseUntil       a few microseconds for somebody on another processor
//   ContentionPause  after a lost swap of a word that many change

#ifndef GOCHAN_RUNTIME_BACKOFF_H_
#define GOCHAN_RUNTIME_BACKOFF_H_

#include <sched.h>

#include <cstdint>

#include "runtime/clock.h"
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

// Pauses until `is_over()`, but not longer than that many microseconds by the
// clock, for a pause is 10 to 150 cycles, by model; and not more often than
// that many times, for there may be no clock. `is_over` is asked at least once.
template <uint64_t kMicros, int kPauses, typename IsOver>
void PauseUntil(IsOver is_over) {
  const uint64_t start = Ticks();
  const uint64_t limit = TicksPerSecond() / 1'000'000 * kMicros;
  for (int i = 0; !is_over() && i < kPauses && Ticks() - start < limit; ++i) {
    CpuRelax();
  }
}

// Somebody else was quicker at a word that both change all the time: leaves it
// to him for about a microsecond. A line that goes to and fro between two
// processors costs each of them more than an operation does; so he gets dozens
// of operations done meanwhile, and then we do. Bounded, so what is lock-free
// stays so.
[[gnu::noinline, gnu::cold]] inline void ContentionPause() {
#if GOCHAN_INSTRUMENT
  // A tool decides who goes first.
#else
  PauseUntil<1, 64>([] { return false; });
#endif
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_BACKOFF_H_

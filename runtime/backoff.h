// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
//   Backoff      a bounded wait for a neighbour between two adjacent
//                instructions: a few pauses, then the processor goes to whoever
//                else wants it
//   PauseUntil   a few microseconds for somebody on another processor

#ifndef GOCHAN_RUNTIME_BACKOFF_H_
#define GOCHAN_RUNTIME_BACKOFF_H_

#include <sched.h>
#include <time.h>

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
  // neighbour may have been preempted on this very processor; but not often,
  // for some schedulers put who yields behind everybody else's time slice. Then
  // it sleeps.
  void Wait(const void* address) {
    Step(StepKind::kSpin, address);
    if (rounds_ < kSpins + kYields) ++rounds_;
    if (rounds_ <= kSpins) {
      for (int i = 0; i < (1 << rounds_); ++i) CpuRelax();
    } else if (rounds_ < kSpins + kYields) {
      sched_yield();
    } else {
      const timespec pause{0, 20'000};
      nanosleep(&pause, nullptr);
    }
  }

  // Several microseconds have gone: the neighbour is not just about to come.
  bool IsLong() const { return rounds_ > kSpins; }

 private:
  static constexpr int kSpins = 6;
  static constexpr int kYields = 4;
  int rounds_ = 0;
};

// Pauses until `is_over()`, but not longer than that many microseconds by the
// clock, for a pause is 10 to 150 cycles, by model; and not more often than
// that many times, for there may be no clock. `is_over` is asked at least once.
template <uint64_t kMicros, int kPauses, typename IsOver>
void PauseUntil(IsOver is_over) {
  const uint64_t start = Ticks();
  const uint64_t limit = TicksOfMicros(kMicros);
  for (int i = 0; !is_over() && i < kPauses && Ticks() - start < limit; ++i) {
    CpuRelax();
  }
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_BACKOFF_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Monotonic time in nanoseconds: what timeouts and timers are judged by.

#ifndef GOCHAN_RUNTIME_CLOCK_H_
#define GOCHAN_RUNTIME_CLOCK_H_

#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace gochan::runtime {

using MonotonicNanos = int64_t;
inline constexpr MonotonicNanos kNever =
    std::numeric_limits<MonotonicNanos>::max();

// CLOCK_MONOTONIC: does not jump when the wall clock is set.
MonotonicNanos MonotonicNow();

// The processor's own clock, in a few nanoseconds; its rate is
// TicksPerSecond(), or an underestimate of it. Of one processor only grows; 0
// where there is none.
inline uint64_t Ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}
inline uint64_t TicksPerSecond() {
#if defined(__aarch64__)
  uint64_t hertz;
  __asm__ __volatile__("mrs %0, cntfrq_el0" : "=r"(hertz));
  return hertz;
#else
  return 2'000'000'000;
#endif
}
inline uint64_t TicksOfMicros(uint64_t micros) {
  return TicksPerSecond() / 1'000'000 * micros;
}

// In nanoseconds, rounded up: a time-out never comes early. Saturates.
inline int64_t CeilNanos(absl::Duration d) {
  const int64_t nanos = absl::ToInt64Nanoseconds(d);  // towards zero
  return nanos != std::numeric_limits<int64_t>::max() &&
                 absl::Nanoseconds(nanos) < d
             ? nanos + 1
             : nanos;
}

// Now + d, saturating: kNever if d is infinite or too far away; not later than
// now if d <= 0.
MonotonicNanos MonotonicAfter(absl::Duration d);
MonotonicNanos MonotonicAfterNanos(int64_t nanos);

// The monotonic instant at which the wall clock will show `time`, if nobody
// sets it meanwhile.
MonotonicNanos MonotonicAt(absl::Time time);
MonotonicNanos MonotonicAtUnixNanos(int64_t unix_nanos);

// The wall clock, in nanoseconds since the Unix epoch.
int64_t UnixNanosNow();

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_CLOCK_H_

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

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace gochan::runtime {

MonotonicNanos MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

MonotonicNanos MonotonicAfterNanos(int64_t nanos) {
  const MonotonicNanos now = MonotonicNow();
  if (nanos <= 0) return now;
  return nanos >= kNever - now ? kNever : now + nanos;
}

MonotonicNanos MonotonicAfter(absl::Duration d) {
  return MonotonicAfterNanos(CeilNanos(d));
}

MonotonicNanos MonotonicAt(absl::Time time) {
  return MonotonicAfter(time - absl::Now());
}

MonotonicNanos MonotonicAtUnixNanos(int64_t unix_nanos) {
  const int64_t now = UnixNanosNow();
  if (unix_nanos <= now) return MonotonicNow();
  // The difference overflows only for a wall clock before 1970.
  return now < 0 && unix_nanos > kNever + now
             ? kNever
             : MonotonicAfterNanos(unix_nanos - now);
}

// Not absl::GetCurrentTimeNanos(), which takes twice as long where it cannot
// use the processor's clock.
int64_t UnixNanosNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace gochan::runtime

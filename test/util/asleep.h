// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// "Wait until n parties sleep in this object": a mutex, a wait group, ...
//
//   Asleep(object)               how many sleep there now
//   WaitUntilAsleep(object, n)   until there are n; ends the program after
//                                kLimit
//
// For channels there is parked.h.

#ifndef GOCHAN_TEST_UTIL_ASLEEP_H_
#define GOCHAN_TEST_UTIL_ASLEEP_H_

#include <cstddef>
#include <string>

#include "runtime/parking_lot.h"
#include "test/util/patience.h"

namespace gochan::test {

// In all queues.
template <typename T>
std::size_t Asleep(const T& object) {
  const runtime::LotGuard lot(&object);
  std::size_t n = 0;
  for (unsigned q = 0; q < runtime::LotGuard::kQueues; ++q) n += lot.Count(q);
  return n;
}

template <typename T>
void WaitUntilAsleep(const T& object, std::size_t n) {
  Patience patience;
  while (Asleep(object) != n) {
    patience.Wait([&] {
      return std::to_string(Asleep(object)) + " parties sleep where " +
             std::to_string(n) + " were expected";
    });
  }
}

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_ASLEEP_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// "Wait until n parties are parked on this channel."
//
//   Parked(ch)               how many are visible on ch now
//   WaitUntilParked(ch, n)   until there are n; ends the program after kLimit
//
// Counted are live waiters: plain ones, and selects that nobody has chosen yet.

#ifndef GOCHAN_TEST_UTIL_PARKED_H_
#define GOCHAN_TEST_UTIL_PARKED_H_

#include <cstddef>
#include <string>

#include "chan/chan.h"
#include "chan/internal/core.h"
#include "test/util/patience.h"

namespace gochan::test {

template <typename ChanT>
std::size_t Parked(const ChanT& ch) {
  return static_cast<std::size_t>(
      internal::CoreAccess::Get(ch)->WaitersForTest());
}

template <typename ChanT>
void WaitUntilParked(const ChanT& ch, std::size_t n) {
  Patience patience;
  while (Parked(ch) != n) {
    patience.Wait([&] {
      return std::to_string(Parked(ch)) + " parties are parked where " +
             std::to_string(n) + " were expected";
    });
  }
}

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_PARKED_H_

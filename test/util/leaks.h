// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// ExpectLeaks(n): the running test leaves up to n goroutines behind, on
// purpose. leak_listener.cc, which is in every test program, fails a test that
// leaves more.

#ifndef GOCHAN_TEST_UTIL_LEAKS_H_
#define GOCHAN_TEST_UTIL_LEAKS_H_

#include <atomic>

namespace gochan::test {

// Of the running test.
inline std::atomic<int> expected_leaks{0};

// A negative n takes earlier ones back.
inline void ExpectLeaks(int n = 1) { expected_leaks += n; }

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_LEAKS_H_

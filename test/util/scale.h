// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// How long the tests run, and how long they wait for what must happen.
//
//   Scaled(n)   n rounds, times the environment variable GOCHAN_STRESS
//   Stride()    a test of many like steps takes one out of that many
//   kLimit      the limit for whatever "does not block"
//   Die()       ends the program when a wait has passed its limit
//
// A party that hangs still refers to the test's variables, so no test can go on
// after one: the program ends, with a message that names the running test.

#ifndef GOCHAN_TEST_UTIL_SCALE_H_
#define GOCHAN_TEST_UTIL_SCALE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "runtime/sanitizers.h"

namespace gochan::test {

inline constexpr bool kSanitized = GOCHAN_TSAN != 0 || GOCHAN_ASAN != 0;

// Is this the processor on which the tests run mostly by an emulator?
#if defined(__aarch64__)
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

// Generous, because it only decides how fast a failure is reported.
inline constexpr std::chrono::seconds kLimit{kSanitized || kEmulated ? 60 : 10};

// The pause after which something that has not happened counts as "blocks".
inline constexpr std::chrono::milliseconds kPause{25};

// GOCHAN_STRESS: 1 by default, 100 in the long run.
inline double StressFactor() {
  static const double factor = [] {
    const char* text = std::getenv("GOCHAN_STRESS");
    const double value = text == nullptr ? 1.0 : std::strtod(text, nullptr);
    return value > 0 ? value : 1.0;
  }();
  return factor;
}

// Sanitized programs do a part of the work.
inline double ScaleFactor() {
  return StressFactor() * (kSanitized ? 0.1 : 1.0);
}

// `n` is the count of the short run.
inline int64_t Scaled(int64_t n) {
  return std::max<int64_t>(
      1, static_cast<int64_t>(static_cast<double>(n) * ScaleFactor()));
}

// 1 in a run of full size or longer.
inline int Stride() {
  return static_cast<int>(std::max(1.0, 1.0 / ScaleFactor()));
}

// The limit for work that grows with Scaled().
inline std::chrono::seconds ScaledLimit() {
  const double seconds =
      static_cast<double>(kLimit.count()) * 6 * std::max(1.0, StressFactor());
  return std::chrono::seconds(static_cast<int64_t>(seconds));
}

[[noreturn]] inline void Die(const std::string& why) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::fprintf(stderr, "FATAL: %s.%s: %s\n",
               test == nullptr ? "?" : test->test_suite_name(),
               test == nullptr ? "?" : test->name(), why.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_SCALE_H_

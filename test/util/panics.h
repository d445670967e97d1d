// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// EXPECT_PANIC(statement, text): the statement panics, and Go's text is in the
// message. Without exceptions a panic ends the program, so the statement runs
// in a child process there; what it did to its operands is then not visible,
// which suits tests that a refused value is unchanged.
//
// PanicText(fn): the message of the panic that fn() ends with; empty if it
// returns. With exceptions only (GOCHAN_TEST_EXCEPTIONS).

#ifndef GOCHAN_TEST_UTIL_PANICS_H_
#define GOCHAN_TEST_UTIL_PANICS_H_

#include <string>

#include "chan/panic.h"
#include "gtest/gtest.h"

#if defined(__cpp_exceptions)
#define GOCHAN_TEST_EXCEPTIONS 1
#else
#define GOCHAN_TEST_EXCEPTIONS 0
#endif

#if GOCHAN_TEST_EXCEPTIONS

namespace gochan::test {

template <typename Fn>
std::string PanicText(Fn&& fn) {
  try {
    fn();
  } catch (const Panic& panic) {
    return panic.what();
  }
  return "";
}

inline ::testing::AssertionResult TextContains(const std::string& message,
                                               const std::string& text) {
  if (message.find(text) != std::string::npos) {
    return ::testing::AssertionSuccess();
  }
  if (message.empty()) {
    return ::testing::AssertionFailure() << "no panic; expected: " << text;
  }
  return ::testing::AssertionFailure()
         << "the panic says: " << message << "; expected: " << text;
}

}  // namespace gochan::test

#define EXPECT_PANIC(statement, text)       \
  EXPECT_TRUE(::gochan::test::TextContains( \
      ::gochan::test::PanicText([&]() -> void { (void)(statement); }), text))

#else

#define EXPECT_PANIC(statement, text) EXPECT_DEATH((void)(statement), text)

#endif  // GOCHAN_TEST_EXCEPTIONS

#endif  // GOCHAN_TEST_UTIL_PANICS_H_

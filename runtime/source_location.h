// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// SourceLocation: std::source_location, or the same where the compiler has
// C++20 but not that part of its library (Clang 14 and 15 with libstdc++).

#ifndef GOCHAN_RUNTIME_SOURCE_LOCATION_H_
#define GOCHAN_RUNTIME_SOURCE_LOCATION_H_

#include <cstdint>
#include <version>

#ifdef __cpp_lib_source_location
#include <source_location>
#endif

namespace gochan {

#ifdef __cpp_lib_source_location

using SourceLocation = std::source_location;

#else

class SourceLocation {
 public:
  static constexpr SourceLocation current(
      const char* file = __builtin_FILE(),
      const char* function = __builtin_FUNCTION(),
      uint_least32_t line = __builtin_LINE()) noexcept {
    SourceLocation here;
    here.file_ = file;
    here.function_ = function;
    here.line_ = line;
    return here;
  }
  constexpr SourceLocation() noexcept = default;

  constexpr uint_least32_t line() const noexcept { return line_; }
  constexpr uint_least32_t column() const noexcept { return 0; }
  constexpr const char* file_name() const noexcept { return file_; }
  constexpr const char* function_name() const noexcept { return function_; }

 private:
  const char* file_ = "";
  const char* function_ = "";
  uint_least32_t line_ = 0;
};

#endif

}  // namespace gochan

#endif  // GOCHAN_RUNTIME_SOURCE_LOCATION_H_

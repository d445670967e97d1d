// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Reads profiles as `go tool pprof` does, for tests.
//
//   Profile profile = ReadProfile(GoroutineProfilePprof());
//   profile.samples[0].stack[0].line

#ifndef GOCHAN_TEST_UTIL_PPROF_H_
#define GOCHAN_TEST_UTIL_PPROF_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gochan::test {

struct Profile {
  struct Frame {
    std::string function;
    std::string file;
    int64_t line = 0;
  };
  struct Sample {
    std::vector<Frame> stack;  // innermost first
    std::vector<int64_t> values;
    std::multimap<std::string, std::string> labels;
  };
  using ValueType = std::pair<std::string, std::string>;  // type, unit

  std::vector<ValueType> sample_types;
  std::vector<Sample> samples;
  std::vector<std::string> mappings;  // their files
  ValueType period_type;
  int64_t period = 0;
  int64_t time_nanos = 0;
  int64_t duration_nanos = 0;
  std::string default_sample_type;
};

// The content of a gzip file with stored blocks only; a test failure, and what
// there was, if it is none.
std::string Gunzip(const std::string& file);

// A gzip'ed profile. A reference to nothing is a test failure.
Profile ReadProfile(const std::string& file);

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_PPROF_H_

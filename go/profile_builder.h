// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Builds profiles that `go tool pprof` and its like open: gzip'ed protocol
// buffers, written by hand, so that neither library is needed.
//
//   ProfileBuilder profile({{"goroutine", "count"}});
//   profile.Add({{"main()", "main.cc", 7}}, {{"tenant", "a"}}, {1});
//   std::string file = profile.Encode();
//
// Source: github.com/google/pprof, proto/profile.proto; RFC 1951 and 1952.

#ifndef GOCHAN_GO_PROFILE_BUILDER_H_
#define GOCHAN_GO_PROFILE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gochan::internal {

class ProfileBuilder {
 public:
  struct ValueType {
    std::string type;
    std::string unit;
  };
  struct Frame {
    std::string_view function;
    std::string_view file;
    int line = 0;
  };
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // What is counted; tools show the first one, unless they are told.
  // `period` of `period_type`: how far apart samples were taken.
  ProfileBuilder(std::vector<ValueType> sample_types, ValueType period_type,
                 int64_t period);

  // A sample: the stack, innermost frame first, and one value for each type.
  // Samples of like stack and labels add up.
  void Add(const std::vector<Frame>& stack, Labels labels,
           const std::vector<int64_t>& values);

  // Which one tools show.
  void SetDefaultType(std::string_view type) { default_type_ = type; }
  // For how long was it taken?
  void SetDuration(int64_t nanos) { duration_nanos_ = nanos; }

  // The file. Cost: linear in it.
  std::string Encode() const;

 private:
  using Key = std::vector<uint64_t>;

  uint64_t String(std::string_view text);
  uint64_t Function(std::string_view name, std::string_view file);
  uint64_t Location(const Frame& frame);

  const std::vector<ValueType> sample_types_;
  const ValueType period_type_;
  const int64_t period_;
  std::string default_type_;
  int64_t duration_nanos_ = 0;

  // The profile's tables. A string is known by its index, functions and
  // locations by their index + 1.
  std::vector<std::string> strings_;
  std::unordered_map<std::string, uint64_t> string_index_;
  std::vector<std::pair<uint64_t, uint64_t>> functions_;  // name, file
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> function_index_;
  std::vector<std::pair<uint64_t, int>> locations_;  // function, line
  std::map<std::pair<uint64_t, int>, uint64_t> location_index_;
  // By { number of locations, locations, keys and values of labels }.
  std::map<Key, std::vector<int64_t>> samples_;
};

// `data` as a gzip file, not compressed: 5 bytes more per 64 KiB, and 18.
std::string Gzip(std::string_view data);

}  // namespace gochan::internal

#endif  // GOCHAN_GO_PROFILE_BUILDER_H_

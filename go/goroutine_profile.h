// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Goroutines as profiles: grouped by stack and labels.
//
//   GoroutineProfileBuilder   for `go tool pprof`
//   StackGroups               for people

#ifndef GOCHAN_GO_GOROUTINE_PROFILE_H_
#define GOCHAN_GO_GOROUTINE_PROFILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/profile_builder.h"
#include "runtime/source_location.h"

namespace gochan::internal {

SourceSite ToSourceSite(const SourceLocation& site);

// The stack as it is shown: of a goroutine of which none is known, its state
// alone.
std::vector<ProfileBuilder::Frame> ShownStack(const GoroutineInfo& info);

class GoroutineProfileBuilder {
 public:
  // `type`: what a sample is, "goroutine" or "goroutineleak", in Go's words.
  explicit GoroutineProfileBuilder(std::string_view type);

  void Add(const GoroutineInfo& info);
  std::string Encode() const { return profile_.Encode(); }

 private:
  ProfileBuilder profile_;
};

// Goroutines of one stack and the same labels.
struct StackGroup {
  int64_t count = 0;
  std::size_t stack_bytes = 0;
  absl::Duration oldest;
  GoroutineInfo first;        // one of them
  std::vector<uint64_t> ids;  // the first few
};

class StackGroups {
 public:
  // Keeps the ids of `max_ids` in each.
  explicit StackGroups(std::size_t max_ids) : max_ids_(max_ids) {}

  void Add(const GoroutineInfo& info);
  int64_t total() const { return total_; }
  // The largest first.
  std::vector<const StackGroup*> Ranked() const;

 private:
  const std::size_t max_ids_;
  int64_t total_ = 0;
  std::map<std::string, StackGroup> groups_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_GO_GOROUTINE_PROFILE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The page for people: what /debug/ shows, and how.
//
//   DebugView         all that is on the page
//   RenderDebugPage   the page, in HTML

#ifndef GOCHAN_GO_DEBUG_PAGE_H_
#define GOCHAN_GO_DEBUG_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/profile.h"
#include "go/stats.h"

namespace gochan::internal {

// Goroutines that look the same, and one of them.
struct DebugStack {
  int64_t count = 0;
  GoroutineInfo one;
  std::vector<uint64_t> ids;  // the first few
};

// Those that do the same at the same place.
struct DebugGroup {
  std::string what;  // a wait reason, or a state
  SourceSite place;  // where they block; of others, where they were started
  int64_t count = 0;
  std::size_t stack_bytes = 0;
  absl::Duration oldest;
  int64_t examined = 0;  // so many of them stand in `stacks`
  std::vector<DebugStack> stacks;
  std::string proof;  // of leaks: why they are
};

struct DebugPoint {
  absl::Time time;
  int64_t goroutines = 0;
  int64_t blocked = 0;
  std::size_t stack_bytes = 0;
  int64_t leaked = -1;  // -1: nobody had looked
};

struct DebugView {
  std::string program;
  int pid = 0;
  absl::Time now;
  RuntimeStats stats;
  std::vector<DebugPoint> history;  // oldest first
  std::vector<DebugGroup> leaks;    // largest first, as the others
  int64_t leaked = 0;
  std::vector<DebugGroup> blocked;
  std::vector<DebugGroup> others;  // running, runnable, in blocking calls
  BlockTotals block_profile;
  int refresh_seconds = 0;  // the page reloads itself; 0: it does not
};

std::string RenderDebugPage(const DebugView& view);

}  // namespace gochan::internal

#endif  // GOCHAN_GO_DEBUG_PAGE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/leak_search.h"
#include "go/time.h"
#include "runtime/scheduler.h"

namespace gochan {

namespace {

using internal::FoundHold;
using internal::FoundLeak;
using internal::LeakSearch;

constexpr absl::Duration kLimit = absl::Seconds(30);

// Who runs may have a pointer in registers alone. Once it has switched, it is
// in memory, so a second look some time later finds it. Whoever has not, after
// so long, computes, and does not live on a register.
constexpr absl::Duration kPatience = absl::Milliseconds(10);
constexpr absl::Duration kNap = absl::Microseconds(200);

// On the stack below this frame is nothing of the program's.
[[gnu::noinline]] LeakGraph FindBelow(bool holds) {
  const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  LeakSearch search(frame);
  LeakGraph graph;
  if (!search.Run(kLimit) || search.leaks().empty()) return graph;
  if (search.needs_second_look()) {
    runtime::WorkersProgress progress;
    progress.Begin();
    for (absl::Duration waited; waited < kPatience && !progress.Done();
         waited += kNap) {
      Sleep(kNap);
    }
    if (!search.Run(kLimit)) return graph;
  }
  std::vector<uint64_t> ids;
  ids.reserve(search.leaks().size());
  for (const FoundLeak& leak : search.leaks()) ids.push_back(leak.id);
  graph.goroutines = internal::DescribeGoroutines(ids);
  if (!holds) return graph;
  std::vector<FoundHold> found = search.holds();
  const auto key = [](const FoundHold& hold) {
    return std::tuple(hold.id, hold.object);
  };
  std::sort(
      found.begin(), found.end(),
      [&](const FoundHold& a, const FoundHold& b) { return key(a) < key(b); });
  found.erase(std::unique(found.begin(), found.end(),
                          [&](const FoundHold& a, const FoundHold& b) {
                            return key(a) == key(b);
                          }),
              found.end());
  graph.holds.reserve(found.size());
  for (const FoundHold& hold : found) {
    graph.holds.push_back({hold.id, ObjectId::OfComplement(hold.object)});
  }
  return graph;
}

// Has the caller's registers in the frame that it is expanded in.
#define GOCHAN_SPILL_REGISTERS() __builtin_unwind_init()

}  // namespace

std::vector<GoroutineInfo> FindLeaks() {
  GOCHAN_SPILL_REGISTERS();
  LeakGraph graph = FindBelow(/*holds=*/false);
  internal::WipeStackBelow();
  return std::move(graph.goroutines);
}

LeakGraph FindLeakGraph() {
  GOCHAN_SPILL_REGISTERS();
  LeakGraph graph = FindBelow(/*holds=*/true);
  internal::WipeStackBelow();
  return graph;
}

}  // namespace gochan

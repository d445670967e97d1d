// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Profiles of goroutines.
//
//   GoroutineProfilePprof       who there is (go/inspect.h)
//   GoroutineProfileText        the same for people, grouped by stack
//   GoroutineLeakProfilePprof   who can never run again
//   SetBlockProfileRate         begins to sample where goroutines are blocked
//   BlockProfilePprof           and for how long they have been, so far
//
// Those in Pprof are files for `go tool pprof`, gzip'ed:
//
//   SetBlockProfileRate(1'000'000);                    // every millisecond
//   ...
//   std::ofstream("block.pb.gz") << BlockProfilePprof();
//   $ go tool pprof -top block.pb.gz
//
// Their samples have the labels of the goroutine, and "wait_reason" and
// "created_by" for tagfocus. All is thread-safe.

#ifndef GOCHAN_GO_PROFILE_H_
#define GOCHAN_GO_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "go/inspect.h"  // IWYU pragma: export

namespace gochan {

// Go's debug=1: goroutines of like stacks together, the largest groups first.
// Cost: as Goroutines().
std::string GoroutineProfileText();

// FindLeaks() as a profile, of the type "goroutineleak" as in Go. Cost: as
// FindLeaks().
std::string GoroutineLeakProfilePprof();

// SetBlockProfileRate()
//
// Go's runtime.SetBlockProfileRate: from now on a thread looks every `rate`
// nanoseconds at who is blocked, and adds that time to the place where it is:
// for a channel, a select, a mutex, a wait group, ..., not in Sleep() or
// Blocking(). `rate` 0 or less: no longer; what is known stays. It looks once a
// millisecond at most, and less often if a look takes long, so that it uses
// about a twentieth of a processor.
//
// Blocks for as long as a look takes at most. Costs nothing when it is off, and
// goroutines nothing when it is on.
void SetBlockProfileRate(int rate);

// What has been sampled, with Go's two values: "contentions", the waits that
// were seen, which those shorter than `rate` often are not; and "delay", the
// nanoseconds spent there, which is right on average however short they are.
// Waits count as they go on, not only when they have ended.
std::string BlockProfilePprof();

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

// A line of the block profile.
struct BlockedTotal {
  SourceSite blocked_at;
  SourceSite created_at;
  const char* wait_reason = nullptr;
  int64_t contentions = 0;
  int64_t delay_nanos = 0;
};

struct BlockTotals {
  std::vector<BlockedTotal> totals;  // most delay first
  absl::Duration sampled;            // for how long it has been on
  int rate = 0;                      // 0: it is off
};
BlockTotals GetBlockTotals();

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_PROFILE_H_

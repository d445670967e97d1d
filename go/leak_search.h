// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// LeakSearch: which goroutines can never run again? Asked of a snapshot of the
// process's memory (runtime/snapshot.h), where nobody moves.
//
// A set S of goroutines that wait is leaked if nobody outside of S can wake one
// of them. The search begins with all who wait and takes out who can be woken,
// and then whoever those could wake, until nothing changes:
//
//   1  who waits for a time, or does not wait
//   2  who waits for something that somebody else can reach by a handle: some
//      of the references, or copies, are not in the memory of S
//   3  who waits for something that others can reach by its address: somewhere
//      in the process, outside of the memory of S, is a pointer into it
//
// The memory of S is what belongs to its members alone: the live parts of their
// stacks, and their closures. docs/design/leaks.md has the proof, and what is
// missed.

#ifndef GOCHAN_GO_LEAK_SEARCH_H_
#define GOCHAN_GO_LEAK_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace gochan::internal {

// A goroutine that can never run again.
struct FoundLeak {
  uint64_t id;
  uint64_t word;  // of its note, which never changes again
};

// Goroutine `id`, one of them, has a handle of what another one waits for.
struct FoundHold {
  uint64_t id;
  uintptr_t object;  // complemented, so that nobody takes it for a pointer
};

class LeakSearch {
 public:
  // By the caller of FindLeaks(), on whose stack nothing below `own_frame` is
  // the program's.
  explicit LeakSearch(uintptr_t own_frame) : own_frame_(own_frame) {}

  // LeakSearch::Run()
  //
  // One search; the first looks at all goroutines, each later one at those
  // that the last has found. False: it could not be done here, or not now, and
  // leaks() is empty.
  bool Run(absl::Duration limit);

  // By ascending id.
  const std::vector<FoundLeak>& leaks() const { return leaks_; }
  const std::vector<FoundHold>& holds() const { return holds_; }
  // Is there one of which it was to be proved that nobody points to what it
  // waits for?
  bool needs_second_look() const { return needs_second_look_; }

 private:
  const uintptr_t own_frame_;
  bool again_ = false;
  bool needs_second_look_ = false;
  std::vector<FoundLeak> leaks_;
  std::vector<FoundHold> holds_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_GO_LEAK_SEARCH_H_

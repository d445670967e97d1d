// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Goroutines that can never run again.
//
//   FindLeaks         those of which that can be proved
//   LeakReport        as text: grouped by where they block, the most first
//   FindLeakGraph     with who has what the others wait for
//   WaitForGraphText, WaitForGraphDot   that as text, and for Graphviz
//   LeakCheck, VerifyNone, ...   in tests: go/leak_check.h, included here
//
//   for (const gochan::GoroutineInfo& leak : gochan::FindLeaks()) {
//     LOG(ERROR) << "leaked: " << leak.name << " at " << leak.blocked_at.file;
//   }
//
// A goroutine is leaked if whatever could wake it is out of everybody's reach:
// every handle of its channels lies on the stacks or in the closures of
// goroutines that are leaked themselves, and no pointer leads there; its
// context has no deadline and all copies of its cancel function, and those of
// the contexts above, lie there as well; its WaitGroup does. A nil channel, or
// a select without cases, nobody can reach.
//
// Who is reported will never run again; nothing else is needed to believe it
// than that pointers look like pointers (docs/design/leaks.md: neither
// scrambled nor known to the kernel or to a sleeping thread's registers alone).
// Not everybody who is leaked is reported: a handle in memory of the heap, in a
// vector, say, in a shared object or in a channel's buffer, counts as somebody
// who can still act.
//
// Nobody is stopped for it: the search looks at a snapshot of the memory.

#ifndef GOCHAN_GO_LEAK_H_
#define GOCHAN_GO_LEAK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "go/inspect.h"
#include "go/leak_check.h"  // IWYU pragma: export

namespace gochan {

// FindLeaks()
//
// The goroutines that can never run again, by ascending id, as Goroutines()
// tells of them. Empty where there is no proof to be had: on other systems than
// Linux, if the system lets no process make a copy of itself, or after half a
// minute.
//
// Thread-safe, callable from anywhere but a signal handler and a timer's
// callback. A goroutine that calls it lets others run meanwhile.
//
// Cost: nothing until it is called. Then a fork(2), about ten milliseconds for
// each gigabyte in use, in which page faults wait; in the copy, on a thread of
// its own, some tenths of a microsecond for each goroutine. Only if some look
// leaked, all memory of the process is read there too, some gigabytes a second,
// and the whole is done once more, ten milliseconds later at most.
std::vector<GoroutineInfo> FindLeaks();

// LeakReport()
//
// What was found, for people: one paragraph for each place where goroutines
// block that were created in the same place, with how many they are, their
// memory, and how long the oldest has waited; those with the most first. Ends
// with a line about the rest after the first 50 places. Empty if there are
// none.
std::string LeakReport(absl::Span<const GoroutineInfo> leaks);

// -----------------------------------------------------------------------------
// Who waits for whom
// -----------------------------------------------------------------------------

struct LeakGraph {
  // Goroutine `goroutine` has a handle of `object`, as in WaitTarget.
  struct Hold {
    uint64_t goroutine = 0;
    ObjectId object;
  };

  std::vector<GoroutineInfo> goroutines;  // what FindLeaks() returns
  // What they wait for is held by these, themselves among them, and by nobody
  // else. Channels and contexts; ascending.
  std::vector<Hold> holds;
};

// As FindLeaks().
LeakGraph FindLeakGraph();

// A paragraph for each of the first 1,000 goroutines:
//
//   goroutine 7 "reader" waits at server.cc:21 (chan receive)
//           to receive from channel 1 (int, 0 of 0), held by goroutine 9
std::string WaitForGraphText(const LeakGraph& graph);

// The same for Graphviz's dot: ellipses are goroutines, boxes what they wait
// for; a broken line leads to who holds it.
std::string WaitForGraphDot(const LeakGraph& graph);

namespace internal {

// What LeakReport() says of each place, of any goroutines.
std::string GroupedText(absl::Span<const GoroutineInfo> goroutines);

}  // namespace internal

}  // namespace gochan

#endif  // GOCHAN_GO_LEAK_H_

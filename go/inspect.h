// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What goroutines are there, and what they do.
//
//   Goroutines       all of them
//   GoroutineDump    the same as text, in the shape of Go's
//   GoroutineInfo, SourceSite, WaitTarget   what is told of one
//
//   goroutine 7 [chan receive, 3 minutes] "reader":
//   Reader()
//           server.cc:21
//   created by Serve() in goroutine 1
//           server.cc:40
//
// Nothing is stopped for it: goroutines start, block and end meanwhile. Each
// one that lives all the while is listed once, and what is told of it was true
// at one moment; different ones are told at different moments. What the caller
// knows to have happened before the call shows.
//
// What it does not know: where a running goroutine is; that a goroutine has
// called Yield() and waits for its turn (it is "running" then); that one was
// woken from a mutex, a WaitGroup or a Cond and waits for its turn ("waiting");
// the channels of a select, which lie in its frame.

#ifndef GOCHAN_GO_INSPECT_H_
#define GOCHAN_GO_INSPECT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace gochan {

// A place in the program. `function` has neither result type nor parameters:
// "main()::<lambda>". Line 0: none.
struct SourceSite {
  std::string function;
  std::string file;
  int line = 0;
};

// What a goroutine waits for.
struct WaitTarget {
  // Its identity: the same for two who wait for the same channel, mutex, ...
  // It may be gone. nullptr: a nil channel.
  const void* object = nullptr;
  // "send", "receive"; empty: no channel, and so is the rest.
  std::string direction;
  std::string element_type;  // in C++'s words; empty: not known
  std::size_t capacity = 0;
  std::size_t length =
      0;  // a blocked sender's channel is full, a receiver's empty
};

struct GoroutineInfo {
  uint64_t id = 0;
  std::string name;                                         // GoOptions::name
  std::vector<std::pair<std::string, std::string>> labels;  // none yet

  // "running", "runnable" (not begun, or woken and not resumed), "waiting", or
  // "blocking call" (in Blocking()).
  std::string state;
  // In Go's words: "chan receive", "select (no cases)", "sync.Mutex.Lock", ...;
  // "blocking call"; empty while it runs.
  std::string wait_reason;
  // Empty for a select and for whoever waits for no object.
  std::vector<WaitTarget> waits_on;
  // Coarse: since the last look that its worker had at the clock.
  absl::Duration waiting_for;

  SourceSite created_at;
  // Who has started it, and who has started that one, ... as far as they still
  // live; at most 16. Empty: it was started outside of goroutines.
  std::vector<uint64_t> ancestors;

  SourceSite blocked_at;          // while it waits
  std::vector<SourceSite> stack;  // blocked_at alone, so far
  std::size_t stack_bytes = 0;    // of memory; 0: not begun
};

// Every goroutine, by ascending id, the caller's too. Thread-safe, and callable
// from anywhere but a signal handler; blocks for moments at most. Cost: for
// each some microseconds, most of them a system call about its stack, and up to
// a kilobyte.
std::vector<GoroutineInfo> Goroutines();

// The same as text, in the shape of Go's. Minutes are told from one on. Ends
// with a line that says how many more there are after the first 10,000.
// Thread-safe as Goroutines().
std::string GoroutineDump();

namespace internal {

// One goroutine of a dump, without an empty line.
void AppendGoroutine(const GoroutineInfo& info, std::string* out);

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_INSPECT_H_

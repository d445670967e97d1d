// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What goroutines are there, and what they do.
//
//   Goroutines         all of them
//   ForEachGoroutine   the same one by one
//   GoroutineDump      the same as text, in the shape of Go's
//   DumpOnSignal       that text on SIGQUIT
//   GoroutineProfilePprof   the same for `go tool pprof`
//   Stats, PrometheusText   numbers (go/stats.h)
//   GoroutineInfo, SourceSite, WaitTarget   what is told of one
//
//   goroutine 7 [chan receive, 3 minutes] "reader" {request: 42}:
//   Reader()
//           server.cc:21
//   Session()
//           server+0x3a1c
//   created by Serve() in goroutine 1
//           server.cc:40
//
// Where it blocks and where it was created is known by file and line. In
// between are the functions that have called, by the program's symbols; the
// line is what `addr2line -e server 0x3a1c` finds in the debug information.
//
// Nothing is stopped for it: goroutines start, block and end meanwhile. Each
// one that lives all the while is listed once, and what is told of it was true
// at one moment; different ones are told at different moments. What the caller
// knows to have happened before the call shows.
//
// What it does not know: where a running goroutine is; that a goroutine has
// called Yield() and waits for its turn (it is "running" then); that one was
// woken from a mutex, a WaitGroup or a Cond and waits for its turn ("waiting");
// who has called in a goroutine that runs or is in Blocking().

#ifndef GOCHAN_GO_INSPECT_H_
#define GOCHAN_GO_INSPECT_H_

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "go/object_id.h"
#include "go/stats.h"  // IWYU pragma: export

namespace gochan {

// A place in the program. `function` has neither result type nor parameters:
// "main()::<lambda>". Line 0: it is not known, and `file` is the program or
// library and the place in it, "server+0x3a1c", or empty.
struct SourceSite {
  std::string function;
  std::string file;
  int line = 0;
};

// What a goroutine waits for.
struct WaitTarget {
  // Its identity: the same for two who wait for the same channel, mutex, ...
  // It may be gone. nullptr: a nil channel.
  ObjectId object;
  // "send", "receive"; empty: no channel, and so is the rest.
  std::string direction;
  std::string element_type;  // in C++'s words; empty: not known
  std::size_t capacity = 0;
  std::size_t length =
      0;  // a blocked sender's channel is full, a receiver's empty
};

struct GoroutineInfo {
  uint64_t id = 0;
  std::string name;  // GoOptions::name
  // Its own and those that it has inherited (go/labels.h), by ascending key.
  std::vector<std::pair<std::string, std::string>> labels;

  // "running", "runnable" (not begun, or woken and not resumed), "waiting", or
  // "blocking call" (in Blocking()).
  std::string state;
  // In Go's words: "chan receive", "select (no cases)", "sync.Mutex.Lock", ...;
  // "blocking call"; empty while it runs.
  std::string wait_reason;
  // Empty for whoever waits for no object. For a select the cases with a
  // channel, in order, of the first 100; empty if it went on meanwhile.
  std::vector<WaitTarget> waits_on;
  // Coarse: since the last look that its worker had at the clock.
  absl::Duration waiting_for;

  SourceSite created_at;
  // Who has started it, and who has started that one, ... as far as they still
  // live; at most 16. Empty: it was started outside of goroutines.
  std::vector<uint64_t> ancestors;
  // Where each of these was started; empty for one that has ended.
  std::vector<SourceSite> ancestor_sites;

  SourceSite blocked_at;  // while it waits
  // blocked_at, and who has called, up to the function of the goroutine: of one
  // that is parked, and was so while its stack was read. What a compiler has
  // drawn into its caller is missing, and so are the library's own functions.
  // In Blocking() blocked_at alone.
  std::vector<SourceSite> stack;
  std::size_t stack_bytes = 0;  // of memory; 0: not begun
};

// Every goroutine, by ascending id, the caller's too. Thread-safe, and callable
// from anywhere but a signal handler; blocks for moments at most. Cost: for
// each some microseconds, most of them system calls about its stack, and one to
// two kilobytes; for each place in the program that occurs in a stack up to
// some milliseconds, to find out its name.
std::vector<GoroutineInfo> Goroutines();

// The same, one by one, in little memory: calls visit(info) for each, which may
// move from it and returns whether to go on. Nothing is held meanwhile, so
// `visit` may block.
void ForEachGoroutine(absl::FunctionRef<bool(GoroutineInfo& info)> visit);

// The same as text, in the shape of Go's. Minutes are told from one on. Ends
// with a line that says how many more there are after the first 10,000.
// Thread-safe as Goroutines().
std::string GoroutineDump();

// What DumpOnSignal() does afterwards: what Go does, or nothing.
enum class AfterDump { kExit, kGoOn };

// DumpOnSignal()
//
// From now on a dump of all goroutines goes to standard error when `signal`
// arrives, from a thread of its own, so also when all workers are stuck in a
// loop. Then the process ends with status 2, without any clean-up, or goes on.
// Further calls for the same signal change that. A channel that is notified of
// the signal still is (go/signal.h); ResetSignals() undoes the call.
// Thread-safe.
void DumpOnSignal(int signal = SIGQUIT, AfterDump then = AfterDump::kExit);

// The same as a file for `go tool pprof`, grouped by stack and labels; more of
// this is in go/profile.h. Thread-safe as Goroutines(), and takes as long, but
// memory only for different stacks.
std::string GoroutineProfilePprof();

namespace internal {

// Those of the goroutines `ids`, which are ascending, that still live.
std::vector<GoroutineInfo> DescribeGoroutines(absl::Span<const uint64_t> ids);

// Who looks at parked stacks leaves addresses of them in frames that are dead
// by then. To FindLeaks() each of them looks like somebody who may still act on
// what lies there, so they are wiped: 64 KiB of the caller's stack below its
// frame, as far as there are so many.
[[gnu::noinline]] void WipeStackBelow();

// All of `text`, whoever interrupts.
void WriteToStderr(std::string_view text);

// One goroutine of a dump, without an empty line.
void AppendGoroutine(const GoroutineInfo& info, std::string* out);

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_INSPECT_H_

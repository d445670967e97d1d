// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Pages about the goroutines of a running program, for any HTTP server to
// serve.
//
//   HandleDebug    from a request's path to what to answer
//   DebugHistory   keeps the graphs going between requests
//
//   server.Get("/debug/.*|/metrics", [](const Request& q, Response& r) {
//     const DebugResponse response = HandleDebug(q.target);
//     r.status = response.status;
//     r.set_content(response.body, response.content_type);
//   });
//
//   /debug/                      for people: who is there, where it waits, what
//                                is leaked and why
//   /metrics                     for Prometheus
//   /debug/pprof/goroutine       for `go tool pprof`; ?debug=1 and 2 as text
//   /debug/pprof/goroutineleak   the leaked ones; ?debug=1 as text
//   /debug/leaks.dot             who waits for what, for Graphviz
//   /debug/pprof/block           where time is spent blocked, once
//                                SetBlockProfileRate() was called
//
// They tell much about a program: serve them to those who may know.

#ifndef GOCHAN_GO_DEBUG_H_
#define GOCHAN_GO_DEBUG_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace gochan {

struct DebugResponse {
  int status = 200;
  std::string content_type;
  std::string body;
};

// HandleDebug()
//
// Answers a GET request for `target`: the path and, perhaps, what stands after
// a "?". Status 404 if the path is none of the above. The pages need no script
// and nothing else from anywhere.
//
// Thread-safe; by goroutines and threads. Blocks for moments. Costs: /metrics
// as Stats(); /debug/ as Stats() and FindLeaks(), and a few microseconds each
// for at most some thousand goroutines, however many there are; a profile as
// many microseconds as there are goroutines, or more.
DebugResponse HandleDebug(std::string_view target);

// Adds a point to the graphs of /debug/ every `interval`, on a thread of its
// own, as long as it lives; each costs as Stats(). The last 720 are kept.
// Without it only requests for /metrics and /debug/ do that.
class DebugHistory {
 public:
  explicit DebugHistory(absl::Duration interval = absl::Seconds(5));
  ~DebugHistory();
  DebugHistory(const DebugHistory&) = delete;
  DebugHistory& operator=(const DebugHistory&) = delete;

 private:
  struct Thread;
  const std::unique_ptr<Thread> thread_;
};

}  // namespace gochan

#endif  // GOCHAN_GO_DEBUG_H_

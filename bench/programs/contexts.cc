// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: contexts.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/programs/workload.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "select/select.h"

namespace gochan::bench {

namespace {

// A tree of n contexts, ten children each, made and cancelled at its root.
void CancelTree(Run& run) {
  std::vector<std::pair<Context, CancelFunc>> nodes;
  nodes.reserve(static_cast<std::size_t>(run.n()));
  run.Start();
  const Instant start = Instant::Now();
  nodes.push_back(WithCancel(Background()));
  for (int64_t i = 1; i < run.n(); ++i) {
    nodes.push_back(
        WithCancel(nodes[static_cast<std::size_t>(i - 1) / 10].first));
  }
  const Instant made = Instant::Now();
  nodes[0].second();
  const Instant cancelled = Instant::Now();
  run.Stop();
  for (const auto& [ctx, cancel] : nodes) {
    run.Check(absl::IsCancelled(ctx.Err()), "a context is not cancelled");
  }
  const auto n = static_cast<double>(run.n());
  run.Report("make_ns",
             static_cast<double>(made.wall_nanos - start.wall_nanos) / n);
  run.Report("cancel_ns",
             static_cast<double>(cancelled.wall_nanos - made.wall_nanos) / n);
}

// A request with a time limit of its own: its context, a select on the work and
// the context, the end.
void WithTimeoutPerRequest(Run& run) {
  auto [parent, cancel_parent] = WithCancel(Background());
  const Chan<int64_t> work = MakeChan<int64_t>(1);
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    auto [ctx, cancel] = WithTimeout(parent, absl::Minutes(1));
    work.Send(i);
    int64_t v;
    if (Select(RecvCase(work, &v), DoneCase(ctx)) == 0) sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

constexpr Workload kWorkloads[] = {
    {"cancel_tree", 100'000, &CancelTree},
    {"with_timeout", 500'000, &WithTimeoutPerRequest},
};

}  // namespace

std::span<const Workload> ContextWorkloads() { return kWorkloads; }

}  // namespace gochan::bench

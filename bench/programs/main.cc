// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Runs one workload and prints what it took:
//
//   gochan_programs [--threads] NAME [N] [--procs=P]
//       NAME OPS WALL_NS_PER_OP CPU_NS_PER_OP [FIGURE=VALUE ...]
//   gochan_programs [--threads] --list
//       NAME N MIN_PROCS                            (a line each)
//
// With P workers; with --threads no goroutines but OS threads, on P processors.
// Other peers' programs take and print the same; bench/compare.py runs them.

#include <sched.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "bench/programs/workload.h"
#include "go/go.h"

namespace {

using gochan::bench::Run;
using gochan::bench::Workload;

template <typename F>
void ForEachWorkload(F f) {
  for (const auto& area :
       {gochan::bench::ChannelWorkloads(), gochan::bench::SelectWorkloads()}) {
    for (const Workload& workload : area) f(workload);
  }
  if (gochan::bench::parties_are_threads) return;
  for (const auto& area :
       {gochan::bench::ContextWorkloads(), gochan::bench::TimerWorkloads(),
        gochan::bench::GoroutineWorkloads(),
        gochan::bench::WholeProgramWorkloads()}) {
    for (const Workload& workload : area) f(workload);
  }
}

// Leaves this process `n` processors, or all that it has if these are fewer.
void UseProcessors(int n) {
  cpu_set_t usable, chosen;
  if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return;
  CPU_ZERO(&chosen);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&chosen) < n; ++cpu) {
    if (CPU_ISSET(cpu, &usable)) CPU_SET(cpu, &chosen);
  }
  sched_setaffinity(0, sizeof(chosen), &chosen);
}

void RunWorkload(const Workload& workload, int64_t n) {
  if (workload.warm_up && n >= 20) {
    Run warm_up(n / 20);
    workload.run(warm_up);
    gochan::bench::JoinThreads();
  }
  Run run(n);
  workload.run(run);
  gochan::bench::JoinThreads();
  std::printf("%s %s\n", workload.name, run.Result().c_str());
  std::fflush(stdout);
}

int Usage() {
  std::fprintf(
      stderr,
      "usage: gochan_programs [--threads] NAME [N] [--procs=P] | --list\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name;
  int64_t n = 0;
  int procs = 0;
  bool list = false;
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    if (arg == "--list") {
      list = true;
    } else if (arg == "--threads") {
      gochan::bench::parties_are_threads = true;
    } else if (absl::ConsumePrefix(&arg, "--procs=")) {
      if (!absl::SimpleAtoi(arg, &procs) || procs < 1) return Usage();
    } else if (name.empty() && !absl::StartsWith(arg, "-")) {
      name = argv[i];
    } else if (!absl::SimpleAtoi(arg, &n) || n < 1) {
      return Usage();
    }
  }

  if (list) {
    ForEachWorkload([](const Workload& w) {
      std::printf("%s %lld %d\n", w.name, static_cast<long long>(w.n),
                  w.min_procs);
    });
    return 0;
  }
  const Workload* workload = nullptr;
  ForEachWorkload([&](const Workload& w) {
    if (name == w.name) workload = &w;
  });
  if (workload == nullptr) return Usage();
  if (n == 0) n = workload->n;
  if (gochan::bench::parties_are_threads) {
    if (procs != 0) UseProcessors(procs);
    RunWorkload(*workload, n);
    return 0;
  }

  if (procs == 0) procs = gochan::SetMaxProcs(0);
  if (procs < workload->min_procs) {
    std::fprintf(stderr, "%s needs %d workers\n", workload->name,
                 workload->min_procs);
    return 1;
  }
  gochan::SetMaxProcs(procs);
  return gochan::RunMain([&] { RunWorkload(*workload, n); });
}

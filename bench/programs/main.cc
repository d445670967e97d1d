// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Runs one workload and prints what it took:
//
//   gochan_programs NAME [N] [--procs=P]
//       NAME OPS WALL_NS_PER_OP CPU_NS_PER_OP [FIGURE=VALUE ...]
//   gochan_programs --list
//       NAME N MIN_PROCS                            (a line each)
//
// Other peers' programs take and print the same; bench/compare.py runs them.

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
       {gochan::bench::ChannelWorkloads(), gochan::bench::SelectWorkloads(),
        gochan::bench::ContextWorkloads(), gochan::bench::TimerWorkloads(),
        gochan::bench::GoroutineWorkloads()}) {
    for (const Workload& workload : area) f(workload);
  }
}

int Usage() {
  std::fprintf(stderr,
               "usage: gochan_programs NAME [N] [--procs=P] | --list\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name;
  int64_t n = 0;
  int procs = gochan::SetMaxProcs(0);
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    if (arg == "--list") {
      ForEachWorkload([](const Workload& w) {
        std::printf("%s %lld %d\n", w.name, static_cast<long long>(w.n),
                    w.min_procs);
      });
      return 0;
    }
    if (absl::ConsumePrefix(&arg, "--procs=")) {
      if (!absl::SimpleAtoi(arg, &procs) || procs < 1) return Usage();
    } else if (name.empty() && !absl::StartsWith(arg, "-")) {
      name = argv[i];
    } else if (!absl::SimpleAtoi(arg, &n) || n < 1) {
      return Usage();
    }
  }

  const Workload* workload = nullptr;
  ForEachWorkload([&](const Workload& w) {
    if (name == w.name) workload = &w;
  });
  if (workload == nullptr) return Usage();
  if (n == 0) n = workload->n;
  if (procs < workload->min_procs) {
    std::fprintf(stderr, "%s needs %d workers\n", workload->name,
                 workload->min_procs);
    return 1;
  }

  gochan::SetMaxProcs(procs);
  return gochan::RunMain([&] {
    if (workload->warm_up && n >= 20) {
      Run warm_up(n / 20);
      workload->run(warm_up);
    }
    Run run(n);
    workload->run(run);
    std::printf("%s %s\n", workload->name, run.Result().c_str());
    std::fflush(stdout);
  });
}

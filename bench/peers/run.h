// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What peers written in C++ share: one run of a workload, as class Run of
// bench/programs/workload.h, and the command line, as bench/programs/main.cc.
// Uses nothing of gochan.

#ifndef GOCHAN_BENCH_PEERS_RUN_H_
#define GOCHAN_BENCH_PEERS_RUN_H_

#include <sched.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace peer {

// A point in time: the wall's and this process's processors'.
struct Instant {
  static Instant Now() {
    const int64_t wall =
        std::chrono::nanoseconds(
            std::chrono::steady_clock::now().time_since_epoch())
            .count();
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    return {wall, Nanos(used.ru_utime) + Nanos(used.ru_stime)};
  }
  static int64_t Nanos(const timeval& t) {
    return int64_t{t.tv_sec} * 1'000'000'000 + int64_t{t.tv_usec} * 1000;
  }
  int64_t wall_nanos;
  int64_t cpu_nanos;
};

class Run {
 public:
  explicit Run(int64_t n) : n_(n), ops_(n) {}

  int64_t n() const { return n_; }
  // How many of the n things the k-th of `parts` parties does.
  int64_t Share(int64_t k, int64_t parts) const {
    return n_ / parts + (k < n_ % parts ? 1 : 0);
  }
  void Start() { start_ = Instant::Now(); }
  void Stop() { stop_ = Instant::Now(); }
  void SetOps(int64_t ops) { ops_ = ops; }
  void Check(bool ok, const char* what) const {
    if (ok) return;
    std::fprintf(stderr, "wrong result: %s\n", what);
    std::_Exit(1);
  }
  void CheckSum(int64_t sum) const {
    Check(sum == n_ * (n_ - 1) / 2, "the sum of all values");
  }
  void Print(const char* name) const {
    const auto ops = static_cast<double>(ops_);
    std::printf("%s %lld %.3f %.3f\n", name, static_cast<long long>(ops_),
                static_cast<double>(stop_.wall_nanos - start_.wall_nanos) / ops,
                static_cast<double>(stop_.cpu_nanos - start_.cpu_nanos) / ops);
    std::fflush(stdout);
  }

 private:
  const int64_t n_;
  int64_t ops_;
  Instant start_{};
  Instant stop_{};
};

struct Workload {
  const char* name;
  int64_t n;  // as in bench/workloads.md
  void (*run)(Run&);
  int min_procs = 1;
  // False: no smaller run goes before the measured one.
  bool warm_up = true;
};

// Leaves this process `n` processors, or all that it has if these are fewer.
inline void UseProcessors(int n) {
  cpu_set_t usable, chosen;
  if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return;
  CPU_ZERO(&chosen);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&chosen) < n; ++cpu) {
    if (CPU_ISSET(cpu, &usable)) CPU_SET(cpu, &chosen);
  }
  sched_setaffinity(0, sizeof(chosen), &chosen);
}

// NAME [N] [--procs=P], or --list. `execute` is called with what is to be run
// and with P, and runs it.
inline int Main(int argc, char** argv, const std::vector<Workload>& workloads,
                void (*execute)(std::function<void()>, int)) {
  const char* name = "";
  int64_t n = 0;
  int procs = static_cast<int>(std::thread::hardware_concurrency());
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--list") == 0) {
      for (const Workload& w : workloads) {
        std::printf("%s %lld %d\n", w.name, static_cast<long long>(w.n),
                    w.min_procs);
      }
      return 0;
    }
    if (std::strncmp(argv[i], "--procs=", 8) == 0) {
      procs = std::atoi(argv[i] + 8);
    } else if (*name == '\0') {
      name = argv[i];
    } else {
      n = std::atoll(argv[i]);
    }
  }
  for (const Workload& w : workloads) {
    if (std::strcmp(name, w.name) != 0 || procs < w.min_procs || n < 0)
      continue;
    if (n == 0) n = w.n;
    execute(
        [&w, n] {
          if (w.warm_up && n >= 20) {
            Run warm_up(n / 20);
            w.run(warm_up);
          }
          Run run(n);
          w.run(run);
          run.Print(w.name);
        },
        procs);
    return 0;
  }
  std::fprintf(stderr, "usage: %s NAME [N] [--procs=P] | --list\n", argv[0]);
  return 2;
}

}  // namespace peer

#endif  // GOCHAN_BENCH_PEERS_RUN_H_

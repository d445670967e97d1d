// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the workloads that compare gochan with others have in common.
//
//   Run        one run: its size, the clock, the check, what it reports
//   Spawn      starts a party: a goroutine, or a thread if --threads was given
//   Workload   a name, its size, the function
//
//   void SendAndReceive(Run& run) {
//     gochan::Chan<int64_t> ch = gochan::MakeChan<int64_t>(1);
//     int64_t sum = 0;
//     run.Start();
//     for (int64_t i = 0; i < run.n(); ++i) {
//       ch.Send(i);
//       sum += ch.Recv().value;
//     }
//     run.Stop();
//     run.CheckSum(sum);
//   }
//
// bench/workloads.md says what each does; the same programs in other languages
// are in bench/peers, and work, sizes and names are to stay equal.

#ifndef GOCHAN_BENCH_PROGRAMS_WORKLOAD_H_
#define GOCHAN_BENCH_PROGRAMS_WORKLOAD_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "go/go.h"

namespace gochan::bench {

// A point in time: the wall's and this process's processors'.
struct Instant {
  static Instant Now();
  int64_t wall_nanos;
  int64_t cpu_nanos;
};

// Bytes of this process that are in memory.
int64_t ResidentBytes();

// Used by one goroutine.
class Run {
 public:
  explicit Run(int64_t n) : n_(n), ops_(n) {}

  int64_t n() const { return n_; }
  // How many of the n things the k-th of `parts` parties does; the first ones
  // do one more if it does not come out even.
  int64_t Share(int64_t k, int64_t parts) const {
    return n_ / parts + (k < n_ % parts ? 1 : 0);
  }

  // The timed part, once a run.
  void Start() { start_ = Instant::Now(); }
  void Stop() { stop_ = Instant::Now(); }

  // Everything below is for after Stop().

  // How often the measured thing was done, if that is not n.
  void SetOps(int64_t ops) { ops_ = ops; }
  // A further figure.
  void Report(std::string name, double value) {
    figures_.emplace_back(std::move(name), value);
  }
  // Ends the program with a message if `ok` is false.
  void Check(bool ok, const char* what) const;
  // The same for the sum of 0 to n - 1.
  void CheckSum(int64_t sum) const;

  // "ops wall_ns_per_op cpu_ns_per_op [name=value ...]"
  std::string Result() const;

 private:
  const int64_t n_;
  int64_t ops_;
  Instant start_{};
  Instant stop_{};
  std::vector<std::pair<std::string, double>> figures_;
};

// Whether parties are OS threads, to be compared with libraries for threads.
// main() sets it before anything runs.
inline bool parties_are_threads = false;

// Starts an OS thread that runs `f`.
void SpawnThread(absl::AnyInvocable<void()> f);
// Waits until all of them have ended.
void JoinThreads();

// Starts a party of a workload, in the workloads that can have either kind.
template <typename F>
void Spawn(F f) {
  if (parties_are_threads) {
    SpawnThread(std::move(f));
  } else {
    Go(std::move(f));
  }
}

struct Workload {
  const char* name;
  int64_t n;          // as in bench/workloads.md
  void (*run)(Run&);  // on a party
  int min_procs = 1;
  // False: no smaller run goes before the measured one.
  bool warm_up = true;
};

// Whose workloads start parties by Spawn() alone, so that they may be threads.

std::span<const Workload> ChannelWorkloads();
std::span<const Workload> SelectWorkloads();

std::span<const Workload> ContextWorkloads();
std::span<const Workload> GoroutineWorkloads();
std::span<const Workload> TimerWorkloads();
std::span<const Workload> WholeProgramWorkloads();

}  // namespace gochan::bench

#endif  // GOCHAN_BENCH_PROGRAMS_WORKLOAD_H_

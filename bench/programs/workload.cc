// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "bench/programs/workload.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace gochan::bench {

namespace {

int64_t Nanos(const timespec& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
int64_t Nanos(const timeval& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + int64_t{t.tv_usec} * 1000;
}

// Of the party that runs the workload.
std::vector<std::thread> threads;

}  // namespace

void SpawnThread(absl::AnyInvocable<void()> f) {
  threads.emplace_back(std::move(f));
}

void JoinThreads() {
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

Instant Instant::Now() {
  timespec wall;
  clock_gettime(CLOCK_MONOTONIC, &wall);
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return {Nanos(wall), Nanos(used.ru_utime) + Nanos(used.ru_stime)};
}

int64_t ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  long long size, resident;
  if (file == nullptr ||
      std::fscanf(file, "%lld %lld", &size, &resident) != 2) {
    std::fprintf(stderr, "cannot read /proc/self/statm\n");
    std::exit(1);
  }
  std::fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

void Run::Check(bool ok, const char* what) const {
  if (ok) return;
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::exit(1);
}

void Run::CheckSum(int64_t sum) const {
  Check(sum == n_ * (n_ - 1) / 2, "the sum of all values");
}

std::string Run::Result() const {
  const double ops = static_cast<double>(ops_);
  const auto wall = static_cast<double>(stop_.wall_nanos - start_.wall_nanos);
  const auto cpu = static_cast<double>(stop_.cpu_nanos - start_.cpu_nanos);
  std::string text =
      absl::StrFormat("%d %.3f %.3f", ops_, wall / ops, cpu / ops);
  for (const auto& [name, value] : figures_) {
    absl::StrAppend(&text, absl::StrFormat(" %s=%.3f", name, value));
  }
  return text;
}

}  // namespace gochan::bench

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Stacks: the pool, fresh ones, deep use, and what a blocked goroutine costs.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "runtime/stack.h"

namespace {

using gochan::runtime::GetStackStats;
using gochan::runtime::Stack;

// What a goroutine does at least: its control block is written.
void Touch(const Stack& stack) {
  benchmark::DoNotOptimize(std::memset(stack.ReserveTop(64, 64), 1, 64));
}

// Spawn and join, as far as the stack goes.
void BM_Stack_AllocateFree(benchmark::State& state) {
  Stack::Free(Stack::Allocate(state.range(0) << 10));
  const uint64_t before = GetStackStats().system_calls;
  for (auto _ : state) {
    const Stack stack = Stack::Allocate(state.range(0) << 10);
    Touch(stack);
    Stack::Free(stack);
  }
  if (state.threads() == 1 && GetStackStats().system_calls != before) {
    state.SkipWithError("made system calls");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Stack_AllocateFree)->ArgName("KiB")->Arg(256)->UseRealTime();
BENCHMARK(BM_Stack_AllocateFree)->ArgName("KiB")->Arg(64)->UseRealTime();
BENCHMARK(BM_Stack_AllocateFree)
    ->ArgName("KiB")
    ->Arg(256)
    ->Threads(2)
    ->UseRealTime();

// More than the cache holds: batches go to the shared pool and come back.
void BM_Stack_Burst(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  std::vector<Stack> stacks(n);
  for (auto _ : state) {
    for (Stack& stack : stacks) {
      stack = Stack::Allocate();
      Touch(stack);
    }
    for (const Stack& stack : stacks) Stack::Free(stack);
  }
  state.SetItemsProcessed(state.iterations() * n);
}
BENCHMARK(BM_Stack_Burst)
    ->ArgName("stacks")
    ->Arg(32)
    ->Arg(1000)
    ->Arg(10'000)
    ->UseRealTime();
BENCHMARK(BM_Stack_Burst)
    ->ArgName("stacks")
    ->Arg(1000)
    ->Threads(2)
    ->UseRealTime();

// Uses `KiB` of each stack. Alone, it stays in the cache and keeps its memory;
// many are shrunk each time.
void BM_Stack_DeepUse(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const auto depth = static_cast<std::size_t>(state.range(1)) << 10;
  std::vector<Stack> stacks(n);
  for (auto _ : state) {
    for (Stack& stack : stacks) {
      stack = Stack::Allocate();
      for (std::size_t at = 512; at <= depth; at += 512) stack.top()[-at] = 1;
    }
    for (const Stack& stack : stacks) Stack::Free(stack);
  }
  Stack::TrimCache();
  state.SetItemsProcessed(state.iterations() * n);
}
BENCHMARK(BM_Stack_DeepUse)
    ->ArgNames({"stacks", "KiB"})
    ->Args({1, 10})
    ->Args({1, 200})
    ->Args({1000, 10})
    ->Args({1000, 32})
    ->Args({1000, 200})
    ->UseRealTime();

// The value of a line of /proc/self/status, in bytes.
double Status(const char* key) {
  std::FILE* const file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  char line[256];
  long kib = 0;
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, key, std::strlen(key)) == 0) {
      std::sscanf(line + std::strlen(key), ": %ld", &kib);
    }
  }
  std::fclose(file);
  return static_cast<double>(kib) * 1024;
}

// Stacks that no pool has yet, all alive at once: one page each. Last, because
// they are in the pool from then on.
void BM_Stack_Fresh(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::size_t size = state.range(1) << 10;
  std::vector<Stack> stacks;
  const uint64_t pooled = GetStackStats().stacks;
  std::vector<Stack> drained;
  if (size == Stack::kDefaultSize) {
    while (drained.size() < pooled && GetStackStats().stacks == pooled) {
      drained.push_back(Stack::Allocate());
    }
  }
  stacks.reserve(n);
  const double resident = Status("VmRSS");
  const double tables = Status("VmPTE");
  for (auto _ : state) {
    for (std::size_t i = 0; i < n; ++i) {
      stacks.push_back(Stack::Allocate(size));
      Touch(stacks.back());
    }
  }
  const auto count = static_cast<double>(n);
  state.counters["resident"] = (Status("VmRSS") - resident) / count;
  state.counters["tables"] = (Status("VmPTE") - tables) / count;
  state.counters["unguarded"] = static_cast<double>(GetStackStats().unguarded);
  state.SetItemsProcessed(static_cast<int64_t>(n));
  for (const Stack& stack : stacks) Stack::Free(stack);
  for (const Stack& stack : drained) Stack::Free(stack);
}
BENCHMARK(BM_Stack_Fresh)
    ->ArgNames({"stacks", "KiB"})
    ->Args({100'000, 64})
    ->Args({100'000, 256})
    ->Iterations(1)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();

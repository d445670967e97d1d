// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What one context switch costs, one way, for each implementation.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "benchmark/benchmark.h"
#include "runtime/eh_globals.h"
#include "runtime/switch.h"
#include "runtime/thread_local.h"

namespace gochan::runtime {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;

struct Pair {
  Context main;
  Context fiber;
  EhGlobals main_globals;
  EhGlobals fiber_globals;
  EhGlobals* thread_globals = ThreadEhGlobals();
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
};

// There and back: two switches an iteration, each from a call site of its own,
// as two goroutines in a loop have it.
template <typename Switch>
void BM_Switch_OneWay(benchmark::State& state) {
  Pair pair;
  Switch::Make(
      pair.fiber, pair.stack.get(), kStackBytes,
      [](void* arg, void* carried) {
        auto* const p = static_cast<Pair*>(arg);
        for (;;) carried = Switch::Switch(p->fiber, p->main, carried);
      },
      &pair);
  uintptr_t i = 0;
  for (auto _ : state) {
    ++i;
    void* const carried = reinterpret_cast<void*>(i);
    if (Switch::Switch(pair.main, pair.fiber, carried) != carried) {
      state.SkipWithError("a wrong word came back");
      break;
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 2);
}

// With the exception state exchanged, as the scheduler does it.
template <typename Switch>
void BM_Switch_OneWayWithExceptionState(benchmark::State& state) {
  Pair pair;
  Switch::Make(
      pair.fiber, pair.stack.get(), kStackBytes,
      [](void* arg, void* carried) {
        auto* const p = static_cast<Pair*>(arg);
        for (;;) {
          SwitchEhGlobals(*p->thread_globals, p->fiber_globals,
                          p->main_globals);
          carried = Switch::Switch(p->fiber, p->main, carried);
        }
      },
      &pair);
  for (auto _ : state) {
    SwitchEhGlobals(*pair.thread_globals, pair.main_globals,
                    pair.fiber_globals);
    benchmark::DoNotOptimize(Switch::Switch(pair.main, pair.fiber, &pair));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 2);
}

#if GOCHAN_SWITCH_ASSEMBLY
BENCHMARK(BM_Switch_OneWay<InlineSwitch>);
BENCHMARK(BM_Switch_OneWayWithExceptionState<InlineSwitch>);
BENCHMARK(BM_Switch_OneWay<AssemblySwitch>);
#endif
BENCHMARK(BM_Switch_OneWay<UcontextSwitch>);

void BM_Switch_MakeContext(benchmark::State& state) {
  Pair pair;
  for (auto _ : state) {
    MakeContext(
        pair.fiber, pair.stack.get(), kStackBytes, [](void*, void*) {}, &pair);
    benchmark::DoNotOptimize(pair.fiber);
  }
}
BENCHMARK(BM_Switch_MakeContext);

struct Tag {};
void BM_ThreadLocal_Get(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(ThreadLocal<Tag, void*>::Get());
  }
}
BENCHMARK(BM_ThreadLocal_Get);

}  // namespace
}  // namespace gochan::runtime

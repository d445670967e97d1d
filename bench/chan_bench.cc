// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Channels between OS threads. Sums are checked outside the timed part.

#include <cstdint>

#include "benchmark/benchmark.h"
#include "chan/chan.h"

namespace {

// One thread sends and receives: the price of the operations themselves.
void BM_Chan_SendRecv(benchmark::State& state) {
  gochan::Chan<uint64_t> ch = gochan::MakeChan<uint64_t>(state.range(0));
  uint64_t next = 0, sum = 0;
  for (auto _ : state) {
    ch.Send(next++);
    sum += ch.Recv().value;
  }
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Chan_SendRecv)->ArgName("cap")->Arg(1)->Arg(128);

// The same with the try-forms.
void BM_Chan_TrySendTryRecv(benchmark::State& state) {
  gochan::Chan<uint64_t> ch = gochan::MakeChan<uint64_t>(1);
  uint64_t next = 0, sum = 0;
  for (auto _ : state) {
    (void)ch.TrySend(next++);
    sum += ch.TryRecv()->value;
  }
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Chan_TrySendTryRecv);

// Nothing ready: TryRecv on an empty channel.
void BM_Chan_TryRecvEmpty(benchmark::State& state) {
  gochan::Chan<uint64_t> ch = gochan::MakeChan<uint64_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(ch.TryRecv());
}
BENCHMARK(BM_Chan_TryRecvEmpty)->ArgName("cap")->Arg(0)->Arg(1);

// One thread sends, the other receives.
gochan::Chan<uint64_t>* shared = nullptr;

void BM_Chan_Spsc(benchmark::State& state) {
  // Both threads pass a barrier at the start and at the end of the loop, which
  // is after this and before the deletion.
  if (state.thread_index() == 0) {
    shared =
        new gochan::Chan<uint64_t>(gochan::MakeChan<uint64_t>(state.range(0)));
  }
  uint64_t next = 0;
  bool ordered = true;
  for (auto _ : state) {
    if (state.thread_index() == 0) {
      shared->Send(next++);
    } else {
      ordered &= shared->Recv().value == next++;
    }
  }
  if (!ordered) state.SkipWithError("values came out of order");
  if (state.thread_index() == 0) {
    state.SetItemsProcessed(state.iterations());
    delete shared;
  }
}
BENCHMARK(BM_Chan_Spsc)
    ->ArgName("cap")
    ->Arg(0)
    ->Arg(1)
    ->Arg(128)
    ->Arg(1024)
    ->Threads(2)
    ->UseRealTime();

// What a reply channel costs.
void BM_Chan_MakeUseDrop(benchmark::State& state) {
  for (auto _ : state) {
    gochan::Chan<uint64_t> ch = gochan::MakeChan<uint64_t>(1);
    ch.Send(1);
    benchmark::DoNotOptimize(ch.Recv());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Chan_MakeUseDrop);

}  // namespace

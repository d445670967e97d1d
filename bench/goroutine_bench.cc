// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Goroutines: the price of the operations themselves. The benchmarks are the
// main goroutine, so it is one of those that take part. What others need for
// the same work is in compare.py.

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "benchmark/benchmark.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"

namespace {

using gochan::Chan;
using gochan::MakeChan;

int Workers(const benchmark::State& state) {
  return static_cast<int>(state.range(0));
}

// A goroutine that does nothing, until it has ended.
void BM_Go_SpawnJoin(benchmark::State& state) {
  gochan::SetMaxProcs(Workers(state));
  int64_t ended = 0;
  for (auto _ : state) {
    gochan::WaitGroup wg;
    wg.Go([&ended] { ++ended; });
    wg.Wait();
  }
  if (ended != state.iterations()) state.SkipWithError("one did not run");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_SpawnJoin)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// Nobody else wants to run.
void BM_Go_YieldAlone(benchmark::State& state) {
  gochan::SetMaxProcs(1);
  for (auto _ : state) gochan::Yield();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_YieldAlone)->UseRealTime();

// Two take turns on one worker; an item is one yield.
void BM_Go_Yield(benchmark::State& state) {
  gochan::SetMaxProcs(1);
  std::atomic<bool> stop{false};
  int64_t others = 0;
  gochan::WaitGroup wg;
  wg.Go([&] {
    for (; !stop; ++others) gochan::Yield();
  });
  for (auto _ : state) gochan::Yield();
  stop = true;
  wg.Wait();
  state.SetItemsProcessed(state.iterations() + others);
}
BENCHMARK(BM_Go_Yield)->UseRealTime();

// To another goroutine and back, unbuffered; an item is a round trip.
void BM_Go_PingPong(benchmark::State& state) {
  gochan::SetMaxProcs(Workers(state));
  const Chan<int64_t> ping = MakeChan<int64_t>(), pong = MakeChan<int64_t>();
  gochan::Go([ping, pong] {
    for (int64_t v : ping) pong.Send(v);
  });
  int64_t next = 0, sum = 0;
  for (auto _ : state) {
    ping.Send(next++);
    sum += pong.Recv().value;
  }
  ping.Close();
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_PingPong)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// The same to an OS thread and back.
void BM_Go_PingPongThread(benchmark::State& state) {
  gochan::SetMaxProcs(Workers(state));
  const Chan<int64_t> ping = MakeChan<int64_t>(), pong = MakeChan<int64_t>();
  std::thread thread([ping, pong] {
    for (int64_t v : ping) pong.Send(v);
  });
  int64_t next = 0, sum = 0;
  for (auto _ : state) {
    ping.Send(next++);
    sum += pong.Recv().value;
  }
  ping.Close();
  gochan::Blocking([&thread] { thread.join(); });
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_PingPongThread)
    ->ArgName("workers")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();

// A worker that is kept busy wakes a goroutine, which another worker runs;
// until that has answered.
void BM_Go_CrossWake(benchmark::State& state) {
  gochan::SetMaxProcs(2);
  const Chan<int64_t> ch = MakeChan<int64_t>(1);
  std::atomic<int64_t> answer{-1};
  gochan::WaitGroup wg;
  wg.Go([ch, &answer] {
    for (int64_t v : ch) answer.store(v, std::memory_order_release);
  });
  int64_t next = 0;
  for (auto _ : state) {
    ch.Send(next);
    while (answer.load(std::memory_order_acquire) != next) {
    }
    ++next;
  }
  ch.Close();
  wg.Wait();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_CrossWake)->UseRealTime();

// Hand-over of the worker's queue and back, around nothing.
void BM_Go_Blocking(benchmark::State& state) {
  gochan::SetMaxProcs(Workers(state));
  int64_t calls = 0;
  for (auto _ : state) gochan::Blocking([&calls] { ++calls; });
  if (calls != state.iterations()) state.SkipWithError("a call is missing");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Go_Blocking)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// Lock and unlock, nobody else.
void BM_Mutex_LockUnlock(benchmark::State& state) {
  gochan::Mutex mutex;
  for (auto _ : state) {
    mutex.lock();
    benchmark::ClobberMemory();
    mutex.unlock();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Mutex_LockUnlock);

// A timer started and stopped while `pending` others are running.
void BM_Timer_StartStop(benchmark::State& state) {
  std::vector<gochan::Timer> pending;
  for (int64_t i = 0; i < state.range(0); ++i) {
    pending.push_back(
        gochan::AfterFunc(absl::Hours(1) + absl::Microseconds(i), [] {}));
  }
  int64_t stopped = 0;
  for (auto _ : state) {
    gochan::Timer timer = gochan::AfterFunc(absl::Minutes(90), [] {});
    stopped += timer.Stop() ? 1 : 0;
  }
  if (stopped != state.iterations()) state.SkipWithError("a timer fired");
  state.SetItemsProcessed(state.iterations());
  for (gochan::Timer& timer : pending) timer.Stop();
}
BENCHMARK(BM_Timer_StartStop)->ArgName("pending")->Arg(0)->Arg(1'000'000);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  return gochan::RunMain([] {
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
  });
}

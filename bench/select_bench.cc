// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Selects on one thread: the price of the operations themselves.

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "select/select.h"

namespace {

using gochan::Chan;
using gochan::MakeChan;
using gochan::RecvCase;
using gochan::Select;

// Two cases, nothing ready, default.
void BM_Select_TwoWithDefault(benchmark::State& state) {
  Chan<uint64_t> a = MakeChan<uint64_t>(), b = MakeChan<uint64_t>();
  uint64_t value, defaults = 0;
  for (auto _ : state) {
    defaults += Select(RecvCase(a, &value), RecvCase(b, &value),
                       gochan::DefaultCase()) == 2;
  }
  if (defaults != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("a case was ready");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Select_TwoWithDefault);

// Two cases, one ready, and the send that makes it so.
void BM_Select_OneReady(benchmark::State& state) {
  Chan<uint64_t> a = MakeChan<uint64_t>(1), b = MakeChan<uint64_t>(1);
  uint64_t value = 0, next = 0, sum = 0;
  for (auto _ : state) {
    a.Send(next++);
    Select(RecvCase(a, &value), RecvCase(b, &value));
    sum += value;
  }
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Select_OneReady);

// A worker's loop: work is ready, the context is not done.
void BM_Select_WorkOrDone(benchmark::State& state) {
  Chan<uint64_t> work = MakeChan<uint64_t>(1);
  auto [ctx, cancel] = gochan::WithCancel(gochan::Background());
  uint64_t value = 0, next = 0, sum = 0;
  for (auto _ : state) {
    work.Send(next++);
    Select(RecvCase(work, &value), gochan::DoneCase(ctx));
    sum += value;
  }
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Select_WorkOrDone);

// A list of many cases, one ready, and the send that makes it so.
void BM_Select_List(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  std::vector<Chan<uint64_t>> channels;
  std::vector<gochan::AnyCase> cases;
  uint64_t value = 0, next = 0, sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    channels.push_back(MakeChan<uint64_t>(1));
    cases.push_back(RecvCase(channels.back(), &value));
  }
  for (auto _ : state) {
    channels[next % n].Send(next);
    ++next;
    Select(absl::MakeSpan(cases));
    sum += value;
  }
  if (sum != next * (next - 1) / 2) state.SkipWithError("a value is wrong");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Select_List)->ArgName("cases")->Arg(4)->Arg(100);

}  // namespace

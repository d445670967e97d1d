// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: select.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "bench/programs/workload.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "select/select.h"

namespace gochan::bench {

namespace {

// Two cases, one of them ready, and the send that makes it so.
void TwoReady(Run& run) {
  const Chan<int64_t> a = MakeChan<int64_t>(1), b = MakeChan<int64_t>(1);
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    (i % 2 == 0 ? a : b).Send(i);
    int64_t v;
    Select(RecvCase(a, &v), RecvCase(b, &v));
    sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

// Two cases and a default, nothing ready.
void WithDefault(Run& run) {
  const Chan<int64_t> a = MakeChan<int64_t>(), b = MakeChan<int64_t>();
  int64_t defaults = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    int64_t v;
    if (Select(RecvCase(a, &v), RecvCase(b, &v), DefaultCase()) == 2) {
      ++defaults;
    }
  }
  run.Stop();
  run.Check(defaults == run.n(), "the number of defaults");
}

// Four goroutines send on a channel each; one selects from all.
template <std::ptrdiff_t kCapacity>
void FanIn4(Run& run) {
  Chan<int64_t> ch[4];
  for (Chan<int64_t>& c : ch) c = MakeChan<int64_t>(kCapacity);
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < 4; ++k) {
    Spawn([ch = ch[k], k, n = run.n()] {
      for (int64_t i = k; i < n; i += 4) ch.Send(i);
    });
  }
  for (int64_t i = 0; i < run.n(); ++i) {
    int64_t v;
    Select(RecvCase(ch[0], &v), RecvCase(ch[1], &v), RecvCase(ch[2], &v),
           RecvCase(ch[3], &v));
    sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

// Four goroutines select where to send to, four where to receive from, among
// four channels.
template <std::ptrdiff_t kCapacity>
void BothSides4x4(Run& run) {
  Chan<int64_t> ch[4];
  for (Chan<int64_t>& c : ch) c = MakeChan<int64_t>(kCapacity);
  const Chan<int64_t> sums = MakeChan<int64_t>(4);
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < 4; ++k) {
    Spawn([ch, k, n = run.n()] {
      for (int64_t i = k; i < n; i += 4) {
        Select(SendCase(ch[0], i), SendCase(ch[1], i), SendCase(ch[2], i),
               SendCase(ch[3], i));
      }
    });
    Spawn([ch, sums, share = run.Share(k, 4)] {
      int64_t mine = 0;
      for (int64_t i = 0; i < share; ++i) {
        int64_t v;
        Select(RecvCase(ch[0], &v), RecvCase(ch[1], &v), RecvCase(ch[2], &v),
               RecvCase(ch[3], &v));
        mine += v;
      }
      sums.Send(mine);
    });
  }
  for (int k = 0; k < 4; ++k) sum += sums.Recv().value;
  run.Stop();
  run.CheckSum(sum);
}

// A worker that takes work until its context is cancelled.
template <std::ptrdiff_t kCapacity>
void WorkerCtx(Run& run) {
  const Chan<int64_t> work = MakeChan<int64_t>(kCapacity);
  const Chan<int64_t> result = MakeChan<int64_t>();
  run.Start();
  auto [ctx, cancel] = WithCancel(Background());
  Spawn([ctx = ctx, work, result, last = run.n() - 1] {
    int64_t sum = 0, v;
    while (Select(RecvCase(work, &v), DoneCase(ctx)) == 0) {
      sum += v;
      if (v == last) result.Send(sum);
    }
    result.Close();
  });
  for (int64_t i = 0; i < run.n(); ++i) work.Send(i);
  const int64_t sum = result.Recv().value;
  cancel();
  const bool open = result.Recv().ok;
  run.Stop();
  run.CheckSum(sum);
  run.Check(!open, "the worker's end");
}

// A thousand workers with a work channel each, which share a done channel.
void SharedDone1000(Run& run) {
  constexpr int kWorkers = 1000;
  std::vector<Chan<int64_t>> work(kWorkers);
  for (Chan<int64_t>& ch : work) ch = MakeChan<int64_t>();
  const Chan<Unit> done = MakeChan<Unit>();
  const Chan<int64_t> sums = MakeChan<int64_t>(kWorkers);
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < kWorkers; ++k) {
    Spawn([work = work[k], done, sums] {
      int64_t mine = 0, v;
      while (Select(RecvCase(work, &v), RecvCase(done)) == 0) mine += v;
      sums.Send(mine);
    });
  }
  for (int64_t i = 0; i < run.n(); ++i) work[i % kWorkers].Send(i);
  done.Close();
  for (int k = 0; k < kWorkers; ++k) sum += sums.Recv().value;
  run.Stop();
  run.CheckSum(sum);
}

// A list of a hundred cases made at run time, one of them ready, and the send
// that makes it so.
void Dynamic100(Run& run) {
  constexpr int kCases = 100;
  std::vector<Chan<int64_t>> channels;
  std::vector<AnyCase> cases;
  int64_t v;
  for (int k = 0; k < kCases; ++k) {
    channels.push_back(MakeChan<int64_t>(1));
    cases.push_back(RecvCase(channels.back(), &v));
  }
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    channels[i % kCases].Send(i);
    Select(cases);
    sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

// A receive with a time-out that never fires.
void Timeout(Run& run) {
  const Chan<int64_t> ch = MakeChan<int64_t>();
  int64_t sum = 0;
  run.Start();
  Spawn([ch, n = run.n()] {
    for (int64_t i = 0; i < n; ++i) ch.Send(i);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    int64_t v;
    if (Select(RecvCase(ch, &v), TimeoutCase(absl::Minutes(1))) == 0) sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

constexpr Workload kWorkloads[] = {
    {"select_2_ready", 3'000'000, &TwoReady},
    {"select_default", 5'000'000, &WithDefault},
    {"fan_in_4_0", 1'000'000, &FanIn4<0>},
    {"fan_in_4_128", 2'000'000, &FanIn4<128>},
    {"select_both_4x4_0", 1'000'000, &BothSides4x4<0>},
    {"select_both_4x4_128", 1'000'000, &BothSides4x4<128>},
    {"worker_ctx_0", 1'000'000, &WorkerCtx<0>},
    {"worker_ctx_128", 2'000'000, &WorkerCtx<128>},
    {"shared_done_1000", 500'000, &SharedDone1000},
    {"select_dynamic_100", 50'000, &Dynamic100},
    {"select_timeout", 500'000, &Timeout},
};

}  // namespace

std::span<const Workload> SelectWorkloads() { return kWorkloads; }

}  // namespace gochan::bench

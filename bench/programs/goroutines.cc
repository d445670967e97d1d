// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: goroutines.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "bench/programs/workload.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"
#include "select/select.h"

namespace gochan::bench {

namespace {

// n goroutines that each do nearly nothing, started kBatch at a time (0: all at
// once) and waited for.
template <int64_t kBatch>
void SpawnJoin(Run& run) {
  std::vector<int64_t> slots(static_cast<std::size_t>(run.n()));
  run.Start();
  for (int64_t i = 0; i < run.n();) {
    const int64_t end = kBatch == 0 ? run.n() : std::min(run.n(), i + kBatch);
    WaitGroup wg;
    for (; i < end; ++i) {
      wg.Add(1);
      Go([&wg, &slot = slots[static_cast<std::size_t>(i)], i] {
        slot = i;
        wg.Done();
      });
    }
    wg.Wait();
  }
  run.Stop();
  int64_t sum = 0;
  for (int64_t slot : slots) sum += slot;
  run.CheckSum(sum);
}

// Goroutines, two for each worker, that let the others go first, n times in
// all.
void Yielding(Run& run) {
  const int parties = 2 * SetMaxProcs(0);
  std::vector<int64_t> yields(static_cast<std::size_t>(parties));
  WaitGroup wg;
  run.Start();
  for (int k = 0; k < parties; ++k) {
    wg.Go([&mine = yields[static_cast<std::size_t>(k)],
           share = run.Share(k, parties)] {
      int64_t done = 0;
      for (; done < share; ++done) Yield();
      mine = done;
    });
  }
  wg.Wait();
  run.Stop();
  int64_t sum = 0;
  for (int64_t count : yields) sum += count;
  run.Check(sum == run.n(), "the number of yields");
}

int64_t NthPrime(int64_t n) {
  std::vector<int64_t> primes;
  for (int64_t i = 2; static_cast<int64_t>(primes.size()) < n; ++i) {
    bool is_prime = true;
    for (int64_t p : primes) {
      if (p * p > i) break;
      if (i % p == 0) {
        is_prime = false;
        break;
      }
    }
    if (is_prime) primes.push_back(i);
  }
  return primes.back();
}

// The prime sieve: a chain of goroutines, one for each of n primes.
void Sieve(Run& run) {
  int64_t prime = 0;
  run.Start();
  Chan<int64_t> ch = MakeChan<int64_t>();
  Go([ch] {
    for (int64_t i = 2;; ++i) ch.Send(i);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    prime = ch.Recv().value;
    const Chan<int64_t> next = MakeChan<int64_t>();
    Go([in = ch, out = next, prime] {
      for (;;) {
        const int64_t v = in.Recv().value;
        if (v % prime != 0) out.Send(v);
      }
    });
    ch = next;
  }
  run.Stop();
  run.Check(prime == NthPrime(run.n()), "the last prime");
}

// The same, where each goroutine can be told to end.
void SieveSelect(Run& run) {
  int64_t prime = 0;
  const Chan<Unit> done = MakeChan<Unit>();
  WaitGroup filters;
  run.Start();
  Chan<int64_t> ch = MakeChan<int64_t>();
  filters.Go([ch, done] {
    for (int64_t i = 2; Select(SendCase(ch, i), RecvCase(done)) == 0; ++i) {
    }
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    prime = ch.Recv().value;
    const Chan<int64_t> next = MakeChan<int64_t>();
    filters.Go([in = ch, out = next, done, prime] {
      for (int64_t v;;) {
        if (Select(RecvCase(in, &v), RecvCase(done)) == 1) return;
        if (v % prime == 0) continue;
        if (Select(SendCase(out, v), RecvCase(done)) == 1) return;
      }
    });
    ch = next;
  }
  done.Close();
  filters.Wait();
  run.Stop();
  run.Check(prime == NthPrime(run.n()), "the last prime");
}

// A chain of n goroutines that each pass on what they get from the right, plus
// one, to the left.
void DaisyChain(Run& run) {
  run.Start();
  const Chan<int64_t> leftmost = MakeChan<int64_t>();
  Chan<int64_t> left = leftmost;
  for (int64_t i = 0; i < run.n(); ++i) {
    const Chan<int64_t> right = MakeChan<int64_t>();
    Go([left, right] { left.Send(1 + right.Recv().value); });
    left = right;
  }
  Go([right = left] { right.Send(1); });
  const int64_t count = leftmost.Recv().value;
  run.Stop();
  run.Check(count == run.n() + 1, "the length of the chain");
}

// A counter under a mutex.
template <int kParties>
void Locking(Run& run) {
  Mutex mutex;
  int64_t counter = 0;
  WaitGroup wg;
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    wg.Go([&mutex, &counter, share = run.Share(k, kParties)] {
      for (int64_t i = 0; i < share; ++i) {
        mutex.lock();
        ++counter;
        mutex.unlock();
      }
    });
  }
  wg.Wait();
  run.Stop();
  run.Check(counter == run.n(), "the counter");
}

// A goroutine that keeps its worker busy wakes another, which therefore runs on
// another worker, and waits for its answer.
void CrossWake(Run& run) {
  const Chan<int64_t> ch = MakeChan<int64_t>(1);
  std::atomic<int64_t> answer{-1};
  int64_t sum = 0;
  WaitGroup wg;
  run.Start();
  wg.Go([ch, &answer, &sum] {
    for (int64_t v : ch) {
      sum += v;
      answer.store(v, std::memory_order_release);
    }
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    ch.Send(i);
    while (answer.load(std::memory_order_acquire) != i) {
    }
  }
  ch.Close();
  wg.Wait();
  run.Stop();
  run.CheckSum(sum);
}

// n goroutines that all block on one channel, and are woken by its Close.
void Blocked(Run& run) {
  const Chan<Unit> gate = MakeChan<Unit>();
  WaitGroup begun, ended;
  std::vector<char> closed(static_cast<std::size_t>(run.n()));
  const int64_t resident = ResidentBytes();
  run.Start();
  const Instant start = Instant::Now();
  begun.Add(static_cast<int>(run.n()));
  ended.Add(static_cast<int>(run.n()));
  for (int64_t i = 0; i < run.n(); ++i) {
    Go([gate, &begun, &ended, &slot = closed[static_cast<std::size_t>(i)]] {
      begun.Done();
      slot = gate.Recv().ok ? 0 : 1;
      ended.Done();
    });
  }
  begun.Wait();
  const Instant blocked = Instant::Now();
  const int64_t grown = ResidentBytes() - resident;
  const Instant close = Instant::Now();
  gate.Close();
  ended.Wait();
  const Instant woken = Instant::Now();
  run.Stop();
  int64_t count = 0;
  for (char slot : closed) count += slot;
  run.Check(count == run.n(), "the number of those woken");
  const auto n = static_cast<double>(run.n());
  run.Report("create_ns",
             static_cast<double>(blocked.wall_nanos - start.wall_nanos) / n);
  run.Report("wake_ns",
             static_cast<double>(woken.wall_nanos - close.wall_nanos) / n);
  run.Report("resident_bytes", static_cast<double>(grown) / n);
}

// 10,000 blocked goroutines for n milliseconds: what the processors do.
void Idle(Run& run) {
  constexpr int kBlocked = 10'000;
  const Chan<Unit> gate = MakeChan<Unit>();
  WaitGroup begun, ended;
  begun.Add(kBlocked);
  for (int k = 0; k < kBlocked; ++k) {
    ended.Go([gate, &begun] {
      begun.Done();
      gate.Recv();
    });
  }
  begun.Wait();
  Sleep(absl::Milliseconds(100));  // whoever winds down does so now
  run.Start();
  Sleep(absl::Milliseconds(run.n()));
  run.Stop();
  run.SetOps(1);
  gate.Close();
  ended.Wait();
}

constexpr Workload kWorkloads[] = {
    {"spawn_join_1m", 1'000'000, &SpawnJoin<0>},
    {"spawn_join_100", 1'000'000, &SpawnJoin<100>},
    {"spawn_join_1", 500'000, &SpawnJoin<1>},
    {"yield", 5'000'000, &Yielding},
    {"sieve", 1'000, &Sieve, 1, false},
    {"sieve_select", 1'000, &SieveSelect},
    {"daisy_chain", 100'000, &DaisyChain},
    {"mutex_1", 10'000'000, &Locking<1>},
    {"mutex_4", 10'000'000, &Locking<4>},
    {"cross_wake", 50'000, &CrossWake, 2},
    {"blocked_1m", 1'000'000, &Blocked, 1, false},
    {"idle_10k", 10'000, &Idle, 1, false},
};

}  // namespace

std::span<const Workload> GoroutineWorkloads() { return kWorkloads; }

}  // namespace gochan::bench

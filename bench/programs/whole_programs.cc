// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads: whole programs, as one writes them in Go.

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/programs/workload.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "go/go.h"
#include "go/sync.h"
#include "select/select.h"

namespace gochan::bench {

namespace {

// Numbers that look random, the same in every language.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 33;
  }

 private:
  uint64_t state_;
};

// Sorts n numbers, each half on a goroutine of its own down to 256 of them.
void SortHalves(std::span<int64_t> numbers, std::span<int64_t> room) {
  if (numbers.size() <= 256) {
    std::sort(numbers.begin(), numbers.end());
    return;
  }
  const std::size_t half = numbers.size() / 2;
  WaitGroup wg;
  wg.Go([=] { SortHalves(numbers.first(half), room.first(half)); });
  SortHalves(numbers.subspan(half), room.subspan(half));
  wg.Wait();
  std::merge(numbers.begin(), numbers.begin() + static_cast<int64_t>(half),
             numbers.begin() + static_cast<int64_t>(half), numbers.end(),
             room.begin());
  std::copy(room.begin(), room.end(), numbers.begin());
}

void MergeSort(Run& run) {
  std::vector<int64_t> numbers(static_cast<std::size_t>(run.n()));
  std::vector<int64_t> room(numbers.size());
  Numbers random(1);
  for (int64_t& number : numbers) number = static_cast<int64_t>(random.Next());
  run.Start();
  SortHalves(numbers, room);
  run.Stop();
  run.Check(std::is_sorted(numbers.begin(), numbers.end()), "the order");
}

// Fibonacci's numbers, each call a goroutine that answers over a channel.
void Fib(int64_t k, const SendChan<int64_t>& answer) {
  if (k < 2) {
    answer.Send(k);
    return;
  }
  const Chan<int64_t> parts = MakeChan<int64_t>();
  Go([k, parts] { Fib(k - 1, parts); });
  Go([k, parts] { Fib(k - 2, parts); });
  answer.Send(parts.Recv().value + parts.Recv().value);
}

int64_t FibPlain(int64_t k) {
  int64_t a = 0;
  int64_t b = 1;
  for (; k > 0; --k) a = std::exchange(b, a + b);
  return a;
}

void FibTree(Run& run) {
  const Chan<int64_t> answer = MakeChan<int64_t>();
  run.Start();
  Go([k = run.n(), answer] { Fib(k, answer); });
  const int64_t number = answer.Recv().value;
  run.Stop();
  run.Check(number == FibPlain(run.n()), "Fibonacci's number");
  run.SetOps(2 * FibPlain(run.n() + 1) - 1);  // calls
}

// A token goes round 503 goroutines, n times handed on.
void ThreadRing(Run& run) {
  constexpr int64_t kParties = 503;
  const Chan<int64_t> result = MakeChan<int64_t>();
  run.Start();
  const Chan<int64_t> first = MakeChan<int64_t>();
  Chan<int64_t> in = first;
  for (int64_t k = 1; k <= kParties; ++k) {
    const Chan<int64_t> out = k == kParties ? first : MakeChan<int64_t>();
    Go([in, out, result, k] {
      for (;;) {
        const auto [token, ok] = in.Recv();
        if (!ok) break;
        if (token == 0) {
          result.Send(k);
          break;
        }
        out.Send(token - 1);
      }
      out.Close();
    });
    in = out;
  }
  first.Send(run.n());
  const int64_t last = result.Recv().value;
  run.Stop();
  run.Check(last == run.n() % kParties + 1, "who had the token last");
}

// n values go through 8 stages, each a goroutine with a channel of 16.
void Pipeline(Run& run) {
  run.Start();
  Chan<int64_t> ch = MakeChan<int64_t>(16);
  Go([out = ch, n = run.n()] {
    for (int64_t i = 0; i < n; ++i) out.Send(i);
    out.Close();
  });
  for (int k = 0; k < 8; ++k) {
    const Chan<int64_t> out = MakeChan<int64_t>(16);
    Go([in = ch, out] {
      for (int64_t v : in) out.Send(v + 1);
      out.Close();
    });
    ch = out;
  }
  int64_t sum = 0;
  for (int64_t v : ch) sum += v - 8;
  run.Stop();
  run.CheckSum(sum);
}

// Work as of a job: some hundred nanoseconds.
uint64_t Chew(uint64_t seed) {
  Numbers random(seed);
  uint64_t sum = 0;
  for (int i = 0; i < 100; ++i) sum += random.Next();
  return sum;
}

uint64_t ChewAll(int64_t n) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += Chew(static_cast<uint64_t>(i));
  return sum;
}

// n jobs for 8 workers, over channels of 100.
void WorkerPool(Run& run) {
  const Chan<int64_t> jobs = MakeChan<int64_t>(100);
  const Chan<uint64_t> results = MakeChan<uint64_t>(100);
  WaitGroup workers;
  run.Start();
  for (int k = 0; k < 8; ++k) {
    workers.Go([jobs, results] {
      for (int64_t job : jobs) results.Send(Chew(static_cast<uint64_t>(job)));
    });
  }
  Go([jobs, n = run.n()] {
    for (int64_t i = 0; i < n; ++i) jobs.Send(i);
    jobs.Close();
  });
  Go([&workers, results] {
    workers.Wait();
    results.Close();
  });
  uint64_t sum = 0;
  for (uint64_t result : results) sum += result;
  run.Stop();
  run.Check(sum == ChewAll(run.n()), "the sum of the results");
}

// n jobs, a goroutine each, at most 8 at once by a channel's slots.
void BoundedSpawn(Run& run) {
  const Chan<Unit> slots = MakeChan<Unit>(8);
  std::vector<uint64_t> results(static_cast<std::size_t>(run.n()));
  WaitGroup wg;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    slots.Send({});
    wg.Go([slots, &result = results[static_cast<std::size_t>(i)], i] {
      result = Chew(static_cast<uint64_t>(i));
      slots.Recv();
    });
  }
  wg.Wait();
  run.Stop();
  uint64_t sum = 0;
  for (uint64_t result : results) sum += result;
  run.Check(sum == ChewAll(run.n()), "the sum of the results");
}

// Requests that ask 4 shards each, in a group that the first error would
// cancel.
void FanOutRequests(Run& run) {
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    auto [group, ctx] = ErrGroup::WithContext(Background());
    const Chan<int64_t> answers = MakeChan<int64_t>(4);
    for (int64_t shard = 0; shard < 4; ++shard) {
      group.Go([ctx = ctx, answers, i, shard] {
        if (!ctx.Err().ok()) return ctx.Err();
        answers.Send(shard == 0 ? i : 0);
        return absl::OkStatus();
      });
    }
    run.Check(group.Wait().ok(), "a group's status");
    answers.Close();
    for (int64_t v : answers) sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

// A hub sends n messages to each of 100 subscribers, who may leave.
void PubSub(Run& run) {
  constexpr int64_t kSubscribers = 100;
  auto [ctx, cancel] = WithCancel(Background());
  std::vector<Chan<int64_t>> inboxes;
  std::vector<int64_t> sums(kSubscribers);
  WaitGroup wg;
  const int64_t rounds = run.n() / kSubscribers;
  run.Start();
  for (int64_t k = 0; k < kSubscribers; ++k) {
    inboxes.push_back(MakeChan<int64_t>(16));
    wg.Go([ctx = ctx, inbox = inboxes.back(),
           &sum = sums[static_cast<std::size_t>(k)]] {
      int64_t mine = 0;
      int64_t v = 0;
      for (bool ok = true; ok;) {
        if (Select(RecvCase(inbox, &v, &ok), DoneCase(ctx)) == 1) break;
        mine += v;
      }
      sum = mine;
    });
  }
  for (int64_t i = 0; i < rounds; ++i) {
    for (const Chan<int64_t>& inbox : inboxes) {
      if (Select(SendCase(inbox, i), DoneCase(ctx)) == 1) return;
    }
  }
  for (const Chan<int64_t>& inbox : inboxes) inbox.Close();
  wg.Wait();
  run.Stop();
  run.SetOps(rounds * kSubscribers);
  for (int64_t sum : sums) {
    run.Check(sum == rounds * (rounds - 1) / 2, "a subscriber's sum");
  }
}

// A cache under a read-write lock: 8 goroutines, one write for 15 reads.
void SharedCache(Run& run) {
  RWMutex mutex;
  absl::flat_hash_map<int64_t, int64_t> cache;
  for (int64_t key = 0; key < 1024; ++key) cache[key] = 0;
  std::array<int64_t, 8> found{};
  WaitGroup wg;
  run.Start();
  for (int k = 0; k < 8; ++k) {
    wg.Go([&, k, share = run.Share(k, 8)] {
      Numbers random(static_cast<uint64_t>(k));
      int64_t mine = 0;
      for (int64_t i = 0; i < share; ++i) {
        const auto key = static_cast<int64_t>(random.Next() & 1023);
        if (i % 16 == 0) {
          mutex.lock();
          ++cache[key];
          mutex.unlock();
        } else {
          mutex.lock_shared();
          mine += cache.contains(key) ? 1 : 0;
          mutex.unlock_shared();
        }
      }
      found[static_cast<std::size_t>(k)] = mine;
    });
  }
  wg.Wait();
  run.Stop();
  int64_t reads = 0;
  int64_t writes = 0;
  for (int64_t count : found) reads += count;
  for (const auto& [key, count] : cache) writes += count;
  run.Check(reads + writes == run.n(), "reads and writes");
}

// A bounded queue of a mutex and two conditions; 2 put, 2 take.
void CondQueue(Run& run) {
  constexpr std::size_t kBound = 64;
  Mutex mutex;
  Cond not_empty(mutex), not_full(mutex);
  std::array<int64_t, kBound> ring{};
  std::size_t size = 0;
  std::size_t head = 0;
  std::array<int64_t, 2> sums{};
  WaitGroup wg;
  run.Start();
  for (int64_t k = 0; k < 2; ++k) {
    wg.Go([&, k] {
      for (int64_t i = k; i < run.n(); i += 2) {
        mutex.lock();
        while (size == kBound) not_full.Wait();
        ring[(head + size++) % kBound] = i;
        mutex.unlock();
        not_empty.Signal();
      }
    });
    wg.Go([&, k, share = run.Share(k, 2)] {
      int64_t sum = 0;
      for (int64_t i = 0; i < share; ++i) {
        mutex.lock();
        while (size == 0) not_empty.Wait();
        sum += ring[head++ % kBound];
        --size;
        mutex.unlock();
        not_full.Signal();
      }
      sums[static_cast<std::size_t>(k)] = sum;
    });
  }
  wg.Wait();
  run.Stop();
  run.CheckSum(sums[0] + sums[1]);
}

// A goroutine that owns a map; 8 others ask it over a channel, each with a
// channel for the answers.
void MapOwner(Run& run) {
  struct Request {
    int64_t key;
    SendChan<int64_t> answer;
  };
  const Chan<Request> requests = MakeChan<Request>();
  std::array<int64_t, 8> sums{};
  WaitGroup clients;
  run.Start();
  Go([requests] {
    absl::flat_hash_map<int64_t, int64_t> map;
    for (const Request& request : requests)
      request.answer.Send(++map[request.key]);
  });
  for (int64_t k = 0; k < 8; ++k) {
    clients.Go([requests, k, share = run.Share(k, 8),
                &sum = sums[static_cast<std::size_t>(k)]] {
      const Chan<int64_t> answer = MakeChan<int64_t>();
      int64_t mine = 0;
      for (int64_t i = 0; i < share; ++i) {
        requests.Send({k, answer});
        mine += answer.Recv().value;
      }
      sum = mine;
    });
  }
  clients.Wait();
  requests.Close();
  run.Stop();
  for (int64_t k = 0; k < 8; ++k) {
    const int64_t share = run.Share(k, 8);
    run.Check(sums[static_cast<std::size_t>(k)] == share * (share + 1) / 2,
              "a client's sum");
  }
}

// Calls with a time limit: a goroutine for each, which answers over a channel;
// the caller waits for it or for its context.
void CallWithLimit(Run& run) {
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(10));
    const Chan<int64_t> answer = MakeChan<int64_t>(1);
    Go([answer, i] { answer.Send(i); });
    int64_t v = 0;
    if (Select(RecvCase(answer, &v), DoneCase(ctx)) == 0) sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

// 64 goroutines that wait for a start of their own and say when they are ready,
// in n / 64 rounds.
void Rounds(Run& run) {
  constexpr int64_t kParties = 64;
  const int64_t rounds = run.n() / kParties;
  const Chan<int64_t> ready = MakeChan<int64_t>();
  std::vector<Chan<Unit>> go;
  WaitGroup wg;
  run.Start();
  for (int64_t k = 0; k < kParties; ++k) {
    go.push_back(MakeChan<Unit>());
    wg.Go([ready, start = go.back(), k] {
      while (start.Recv().ok) ready.Send(k);
    });
  }
  int64_t sum = 0;
  for (int64_t i = 0; i < rounds; ++i) {
    for (const Chan<Unit>& start : go) start.Send({});
    for (int64_t k = 0; k < kParties; ++k) sum += ready.Recv().value;
  }
  for (const Chan<Unit>& start : go) start.Close();
  wg.Wait();
  run.Stop();
  run.SetOps(rounds * kParties);
  run.Check(sum == rounds * kParties * (kParties - 1) / 2, "who took part");
}

// 8 goroutines make system calls that take no time.
void BriefCalls(Run& run) {
  std::array<int64_t, 8> calls{};
  const pid_t parent = getppid();
  WaitGroup wg;
  run.Start();
  for (int k = 0; k < 8; ++k) {
    wg.Go([&count = calls[static_cast<std::size_t>(k)], parent,
           share = run.Share(k, 8)] {
      for (int64_t i = 0; i < share; ++i) {
        count += Blocking([] { return getppid(); }) == parent ? 1 : 0;
      }
    });
  }
  wg.Wait();
  run.Stop();
  int64_t sum = 0;
  for (int64_t count : calls) sum += count;
  run.Check(sum == run.n(), "the number of calls");
}

// 64 goroutines take one of 16 buffers and give it back.
void FreeList(Run& run) {
  constexpr int kParties = 64;
  const Chan<int64_t> free = MakeChan<int64_t>(16);
  for (int64_t i = 0; i < 16; ++i) free.Send(i);
  WaitGroup wg;
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    wg.Go([free, share = run.Share(k, kParties)] {
      for (int64_t i = 0; i < share; ++i) free.Send(free.Recv().value);
    });
  }
  wg.Wait();
  run.Stop();
  int64_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += free.Recv().value;
  run.Check(sum == 15 * 16 / 2, "the buffers");
}

#if defined(__cpp_exceptions)
// A send on a closed channel, whose panic is caught.
void Panics(Run& run) {
  const Chan<int64_t> closed = MakeChan<int64_t>();
  closed.Close();
  int64_t caught = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    try {
      closed.Send(i);
    } catch (const Panic&) {
      ++caught;
    }
  }
  run.Stop();
  run.Check(caught == run.n(), "the number of panics");
}
#endif

constexpr Workload kWorkloads[] = {
    {"merge_sort", 1'000'000, &MergeSort},
    {"fib_tree", 24, &FibTree},
    {"thread_ring", 5'000'000, &ThreadRing},
    {"pipeline_8", 1'000'000, &Pipeline},
    {"worker_pool_8", 1'000'000, &WorkerPool},
    {"bounded_spawn_8", 1'000'000, &BoundedSpawn},
    {"fan_out_requests", 200'000, &FanOutRequests},
    {"pub_sub_100", 2'000'000, &PubSub},
    {"shared_cache", 5'000'000, &SharedCache},
    {"cond_queue", 2'000'000, &CondQueue},
    {"map_owner", 1'000'000, &MapOwner},
    {"call_with_limit", 500'000, &CallWithLimit},
    {"rounds_64", 1'000'000, &Rounds},
    {"brief_calls_8", 1'000'000, &BriefCalls},
    {"free_list_64", 2'000'000, &FreeList},
#if defined(__cpp_exceptions)
    {"panics", 200'000, &Panics},
#endif
};

}  // namespace

std::span<const Workload> WholeProgramWorkloads() { return kWorkloads; }

}  // namespace gochan::bench

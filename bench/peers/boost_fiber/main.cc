// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Workloads with Boost.Fiber. With one worker fibers are scheduled round robin,
// with more by work stealing, as the library has it.
//
// A buffered channel of size 2^k holds 2^k - 1 values here: 1 where 1 is asked
// for, 127 for 128, 1023 for 1024. There is no select. A reply is a promise.

#include <algorithm>
#include <barrier>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "run.h"

namespace {

using boost::fibers::channel_op_status;
using boost::fibers::fiber;
using boost::fibers::promise;
using peer::Run;
using peer::Workload;
using Unbuffered = boost::fibers::unbuffered_channel<int64_t>;

int workers = 1;

// A buffered channel for at most `kCapacity` values, or an unbuffered one.
template <typename T, std::size_t kCapacity>
struct Channel : boost::fibers::buffered_channel<T> {
  Channel()
      : boost::fibers::buffered_channel<T>(kCapacity == 1 ? 2 : kCapacity) {}
};
template <typename T>
struct Channel<T, 0> : boost::fibers::unbuffered_channel<T> {};

void Join(std::vector<fiber>& fibers) {
  for (fiber& f : fibers) f.join();
}

void Sequential(Run& run) {
  Channel<int64_t, 1> ch;
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    ch.push(i);
    sum += ch.value_pop();
  }
  run.Stop();
  run.CheckSum(sum);
}

void PingPong(Run& run) {
  Unbuffered ping, pong;
  int64_t sum = 0;
  run.Start();
  fiber echo([&] {
    for (int64_t v : ping) pong.push(v);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    ping.push(i);
    sum += pong.value_pop();
  }
  ping.close();
  run.Stop();
  echo.join();
  run.CheckSum(sum);
}

template <std::size_t kCapacity>
void Spsc(Run& run) {
  Channel<int64_t, kCapacity> ch;
  int64_t sum = 0;
  run.Start();
  fiber sender([&] {
    for (int64_t i = 0; i < run.n(); ++i) ch.push(i);
    ch.close();
  });
  for (int64_t v : ch) sum += v;
  run.Stop();
  sender.join();
  run.CheckSum(sum);
}

template <int kParties, std::size_t kCapacity>
void Mpmc(Run& run) {
  Channel<int64_t, kCapacity> ch;
  std::vector<int64_t> sums(kParties);
  std::vector<fiber> senders, receivers;
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    receivers.emplace_back([&ch, &slot = sums[static_cast<std::size_t>(k)]] {
      int64_t mine = 0;
      for (int64_t v : ch) mine += v;
      slot = mine;
    });
  }
  for (int k = 0; k < kParties; ++k) {
    senders.emplace_back([&ch, &run, k] {
      for (int64_t i = k; i < run.n(); i += kParties) ch.push(i);
    });
  }
  Join(senders);
  ch.close();
  Join(receivers);
  run.Stop();
  for (int64_t mine : sums) sum += mine;
  run.CheckSum(sum);
}

void Burst(Run& run) {
  constexpr int kReceivers = 4;
  Unbuffered ch;
  // Of size 8, since one of size 4 holds 3.
  Channel<int64_t, 2 * kReceivers> got;
  std::vector<fiber> receivers;
  int64_t sum = 0;
  run.Start();
  for (int k = 0; k < kReceivers; ++k) {
    receivers.emplace_back([&] {
      for (int64_t v : ch) got.push(v);
    });
  }
  for (int64_t i = 0; i < run.n();) {
    int sent = 0;
    for (; sent < kReceivers && i < run.n(); ++sent) ch.push(i++);
    for (; sent > 0; --sent) sum += got.value_pop();
  }
  ch.close();
  run.Stop();
  Join(receivers);
  run.CheckSum(sum);
}

void Payload64(Run& run) {
  struct Block {
    int64_t words[8];
  };
  Channel<Block, 128> ch;
  int64_t sum = 0;
  run.Start();
  fiber sender([&] {
    for (int64_t i = 0; i < run.n(); ++i) {
      ch.push(Block{{i, 0, 0, 0, 0, 0, 0, i}});
    }
    ch.close();
  });
  for (const Block& block : ch) sum += (block.words[0] + block.words[7]) / 2;
  run.Stop();
  sender.join();
  run.CheckSum(sum);
}

void PayloadString(Run& run) {
  Channel<std::string, 128> ch;
  int64_t sum = 0;
  run.Start();
  fiber sender([&] {
    char buffer[32] = {};
    for (int64_t i = 0; i < run.n(); ++i) {
      buffer[0] = static_cast<char>('a' + i % 26);
      ch.push(std::string(buffer, sizeof(buffer)));
    }
    ch.close();
  });
  for (const std::string& text : ch) {
    sum += static_cast<int64_t>(text.size()) + text[0] - 'a';
  }
  run.Stop();
  sender.join();
  int64_t expected = 0;
  for (int64_t i = 0; i < run.n(); ++i) expected += 32 + i % 26;
  run.Check(sum == expected, "the strings");
}

void MakeDrop(Run& run) {
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    Channel<int64_t, 1> ch;
    ch.push(i);
    sum += ch.value_pop();
  }
  run.Stop();
  run.CheckSum(sum);
}

void Reply(Run& run) {
  struct Request {
    int64_t value;
    promise<int64_t> reply;
  };
  Channel<Request, 0> requests;
  int64_t sum = 0;
  run.Start();
  fiber server([&] {
    Request request;
    while (requests.pop(request) == channel_op_status::success) {
      request.reply.set_value(request.value);
    }
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    promise<int64_t> reply;
    auto answer = reply.get_future();
    requests.push(Request{i, std::move(reply)});
    sum += answer.get();
  }
  requests.close();
  run.Stop();
  server.join();
  run.CheckSum(sum);
}

void Timeout(Run& run) {
  Unbuffered ch;
  int64_t sum = 0;
  run.Start();
  fiber sender([&] {
    for (int64_t i = 0; i < run.n(); ++i) ch.push(i);
  });
  for (int64_t i = 0; i < run.n(); ++i) {
    int64_t v;
    if (ch.pop_wait_for(v, std::chrono::minutes(1)) ==
        channel_op_status::success) {
      sum += v;
    }
  }
  run.Stop();
  sender.join();
  run.CheckSum(sum);
}

void SleepChurn(Run& run) {
  constexpr int kSleepers = 1000;
  std::vector<int64_t> slept(kSleepers);
  std::vector<fiber> sleepers;
  run.Start();
  for (int k = 0; k < kSleepers; ++k) {
    sleepers.emplace_back(
        [&run, &slept = slept[static_cast<std::size_t>(k)], k] {
          uint64_t random = static_cast<uint64_t>(k);
          for (const int64_t share = run.Share(k, kSleepers); slept < share;
               ++slept) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            boost::this_fiber::sleep_for(
                std::chrono::microseconds(100 + (random >> 33) % 900));
          }
        });
  }
  Join(sleepers);
  run.Stop();
  int64_t sum = 0;
  for (int64_t count : slept) sum += count;
  run.Check(sum == run.n(), "the number of sleeps");
}

template <int64_t kBatch>
void SpawnJoin(Run& run) {
  std::vector<int64_t> slots(static_cast<std::size_t>(run.n()));
  std::vector<fiber> fibers;
  run.Start();
  for (int64_t i = 0; i < run.n();) {
    const int64_t end = std::min(run.n(), i + kBatch);
    fibers.clear();
    for (; i < end; ++i) {
      fibers.emplace_back(
          [&slot = slots[static_cast<std::size_t>(i)], i] { slot = i; });
    }
    Join(fibers);
  }
  run.Stop();
  int64_t sum = 0;
  for (int64_t slot : slots) sum += slot;
  run.CheckSum(sum);
}

void Yielding(Run& run) {
  const int parties = 2 * workers;
  std::vector<int64_t> yields(static_cast<std::size_t>(parties));
  std::vector<fiber> fibers;
  run.Start();
  for (int k = 0; k < parties; ++k) {
    fibers.emplace_back([&mine = yields[static_cast<std::size_t>(k)],
                         share = run.Share(k, parties)] {
      int64_t done = 0;
      for (; done < share; ++done) boost::this_fiber::yield();
      mine = done;
    });
  }
  Join(fibers);
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
      is_prime = is_prime && i % p != 0;
    }
    if (is_prime) primes.push_back(i);
  }
  return primes.back();
}

// Its fibers wait for ever in the end, as in the other languages, and their
// channels stay.
void Sieve(Run& run) {
  int64_t prime = 0;
  auto& channels = *new std::deque<Unbuffered>;
  run.Start();
  Unbuffered* ch = &channels.emplace_back();
  fiber([ch] {
    for (int64_t i = 2;; ++i) ch->push(i);
  }).detach();
  for (int64_t i = 0; i < run.n(); ++i) {
    prime = ch->value_pop();
    Unbuffered* const next = &channels.emplace_back();
    fiber([ch, next, prime] {
      for (;;) {
        const int64_t v = ch->value_pop();
        if (v % prime != 0) next->push(v);
      }
    }).detach();
    ch = next;
  }
  run.Stop();
  run.Check(prime == NthPrime(run.n()), "the last prime");
}

// 16 KiB of stack each: 100,000 of the usual size are too much for many
// machines.
constexpr std::size_t kSmallStack = 16 * 1024;

void DaisyChain(Run& run) {
  std::deque<Unbuffered> channels;
  std::vector<fiber> fibers;
  run.Start();
  Unbuffered* left = &channels.emplace_back();
  for (int64_t i = 0; i < run.n(); ++i) {
    Unbuffered* const right = &channels.emplace_back();
    fibers.emplace_back(std::allocator_arg,
                        boost::fibers::fixedsize_stack(kSmallStack),
                        [left, right] { left->push(1 + right->value_pop()); });
    left = right;
  }
  fibers.emplace_back([left] { left->push(1); });
  const int64_t count = channels.front().value_pop();
  run.Stop();
  run.Check(count == run.n() + 1, "the length of the chain");
  Join(fibers);
}

template <int kParties>
void Locking(Run& run) {
  boost::fibers::mutex mutex;
  int64_t counter = 0;
  std::vector<fiber> fibers;
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    fibers.emplace_back([&mutex, &counter, share = run.Share(k, kParties)] {
      for (int64_t i = 0; i < share; ++i) {
        mutex.lock();
        ++counter;
        mutex.unlock();
      }
    });
  }
  Join(fibers);
  run.Stop();
  run.Check(counter == run.n(), "the counter");
}

void Idle(Run& run) {
  Unbuffered gate;
  std::vector<fiber> fibers;
  for (int k = 0; k < 10'000; ++k) {
    fibers.emplace_back(std::allocator_arg,
                        boost::fibers::fixedsize_stack(kSmallStack), [&gate] {
                          int64_t v;
                          gate.pop(v);
                        });
  }
  // All block, whoever winds down does so now.
  boost::this_fiber::sleep_for(std::chrono::milliseconds(100));
  run.Start();
  boost::this_fiber::sleep_for(std::chrono::milliseconds(run.n()));
  run.Stop();
  run.SetOps(1);
  gate.close();
  Join(fibers);
}

// Runs `f` on a fiber; as many threads as there are workers run fibers. Ends
// the process, whatever still waits.
void Execute(std::function<void()> f, int procs) {
  workers = procs;
  if (procs > 1) {
    auto& all_there = *new std::barrier<>(procs);
    auto join_in = [&all_there, procs] {
      boost::fibers::use_scheduling_algorithm<
          boost::fibers::algo::work_stealing>(static_cast<uint32_t>(procs));
      all_there.arrive_and_wait();
    };
    for (int k = 1; k < procs; ++k) {
      std::thread([join_in] {
        join_in();
        promise<void> never;
        never.get_future().wait();
      }).detach();
    }
    join_in();
  }
  fiber(f).join();
  std::_Exit(0);
}

const std::vector<Workload> kWorkloads = {
    {"seq_1", 5'000'000, &Sequential},
    {"ping_pong", 1'000'000, &PingPong},
    {"spsc_0", 2'000'000, &Spsc<0>},
    {"spsc_1", 2'000'000, &Spsc<1>},
    {"spsc_128", 5'000'000, &Spsc<128>},
    {"spsc_1024", 5'000'000, &Spsc<1024>},
    {"mpmc_4x4_0", 2'000'000, &Mpmc<4, 0>},
    {"mpmc_4x4_128", 5'000'000, &Mpmc<4, 128>},
    {"mpmc_64x64_128", 5'000'000, &Mpmc<64, 128>},
    {"burst_4", 2'000'000, &Burst},
    {"payload_64", 3'000'000, &Payload64},
    {"payload_string", 2'000'000, &PayloadString},
    {"make_drop", 3'000'000, &MakeDrop},
    {"reply", 1'000'000, &Reply},
    {"select_timeout", 500'000, &Timeout},
    {"sleep_churn", 100'000, &SleepChurn},
    {"spawn_join_100", 1'000'000, &SpawnJoin<100>},
    {"spawn_join_1", 500'000, &SpawnJoin<1>},
    {"yield", 5'000'000, &Yielding},
    {"sieve", 1'000, &Sieve, 1, false},
    {"daisy_chain", 100'000, &DaisyChain},
    {"mutex_1", 10'000'000, &Locking<1>},
    {"mutex_4", 10'000'000, &Locking<4>},
    {"idle_10k", 10'000, &Idle, 1, false},
};

}  // namespace

int main(int argc, char** argv) {
  return peer::Main(argc, argv, kWorkloads, &Execute);
}

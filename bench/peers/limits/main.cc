// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Limits rather than peers: what the machine takes for the least that channels
// are made of, and a raw queue. moodycamel's ConcurrentQueue cannot block, be
// closed or selected from, has no bound, and keeps only each sender's values in
// order. Here senders never wait, and who finds it empty yields the processor
// and tries again.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "run.h"
#include "runtime/switch.h"

#if __has_include(<concurrentqueue.h>)
#include <concurrentqueue.h>
#endif

namespace {

using peer::Run;
using peer::Workload;

// One context switch of gochan's own, one way.
void Switch(Run& run) {
  struct {
    gochan::runtime::Context main, fiber;
  } pair;
  constexpr std::size_t kStackBytes = 64 * 1024;
  const auto stack = std::make_unique<char[]>(kStackBytes);
  gochan::runtime::MakeContext(
      pair.fiber, stack.get(), kStackBytes,
      [](void* arg, void* carried) {
        auto* const p = static_cast<decltype(pair)*>(arg);
        for (;;) {
          carried = gochan::runtime::SwitchContext(p->fiber, p->main, carried);
        }
      },
      &pair);
  int64_t sum = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); i += 2) {
    void* const carried = reinterpret_cast<void*>(i);
    sum += reinterpret_cast<int64_t>(
        gochan::runtime::SwitchContext(pair.main, pair.fiber, carried));
  }
  run.Stop();
  const int64_t rounds = (run.n() + 1) / 2;
  run.Check(sum == rounds * (rounds - 1), "what the switches carried");
}

// A compare-exchange of 8 bytes that nobody else uses.
void ReadModifyWrite(Run& run) {
  std::atomic<int64_t> word{0};
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    int64_t expected = i;
    word.compare_exchange_strong(expected, i + 1);
  }
  run.Stop();
  run.Check(word == run.n(), "the word");
}

// A word goes to another thread and back, both spinning: a round trip.
void LineExchange(Run& run) {
  struct alignas(64) {
    std::atomic<int64_t> word{0};
  } to, fro;
  run.Start();
  std::thread other([&, n = run.n()] {
    for (int64_t i = 1; i <= n; ++i) {
      while (to.word.load(std::memory_order_acquire) != i) {
      }
      fro.word.store(i, std::memory_order_release);
    }
  });
  for (int64_t i = 1; i <= run.n(); ++i) {
    to.word.store(i, std::memory_order_release);
    while (fro.word.load(std::memory_order_acquire) != i) {
    }
  }
  run.Stop();
  other.join();
  run.Check(fro.word == run.n(), "the last word");
}

#if __has_include(<concurrentqueue.h>)

template <typename T>
class Queue {
 public:
  class Sender {
   public:
    explicit Sender(Queue& q) : q_(q.queue_), token_(q.queue_) {}
    void Send(T v) { q_.enqueue(token_, std::move(v)); }

   private:
    moodycamel::ConcurrentQueue<T>& q_;
    moodycamel::ProducerToken token_;
  };

  // False if it is empty, and `done`.
  bool Recv(T& v, const std::atomic<bool>& done) {
    while (!queue_.try_dequeue(v)) {
      if (done.load(std::memory_order_acquire)) return queue_.try_dequeue(v);
      std::this_thread::yield();
    }
    return true;
  }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
};

void Sequential(Run& run) {
  Queue<int64_t> queue;
  Queue<int64_t>::Sender sender(queue);
  const std::atomic<bool> done{false};
  int64_t sum = 0, v = 0;
  run.Start();
  for (int64_t i = 0; i < run.n(); ++i) {
    sender.Send(i);
    queue.Recv(v, done);
    sum += v;
  }
  run.Stop();
  run.CheckSum(sum);
}

template <int kParties>
void Mpmc(Run& run) {
  Queue<int64_t> queue;
  std::vector<int64_t> sums(kParties);
  std::vector<std::thread> senders, receivers;
  std::atomic<bool> done{false};
  run.Start();
  for (int k = 0; k < kParties; ++k) {
    receivers.emplace_back([&, k] {
      int64_t mine = 0;
      for (int64_t v; queue.Recv(v, done);) mine += v;
      sums[static_cast<std::size_t>(k)] = mine;
    });
  }
  for (int k = 0; k < kParties; ++k) {
    senders.emplace_back([&, k] {
      Queue<int64_t>::Sender sender(queue);
      for (int64_t i = k; i < run.n(); i += kParties) sender.Send(i);
    });
  }
  for (std::thread& thread : senders) thread.join();
  done.store(true, std::memory_order_release);
  for (std::thread& thread : receivers) thread.join();
  run.Stop();
  int64_t sum = 0;
  for (int64_t mine : sums) sum += mine;
  run.CheckSum(sum);
}

template <typename T, typename Make, typename Read>
int64_t Stream(Run& run, Make make, Read read) {
  Queue<T> queue;
  std::atomic<bool> done{false};
  int64_t sum = 0;
  run.Start();
  std::thread thread([&] {
    typename Queue<T>::Sender sender(queue);
    for (int64_t i = 0; i < run.n(); ++i) sender.Send(make(i));
    done.store(true, std::memory_order_release);
  });
  for (T v; queue.Recv(v, done);) sum += read(v);
  run.Stop();
  thread.join();
  return sum;
}

void Spsc(Run& run) {
  run.CheckSum(Stream<int64_t>(
      run, [](int64_t i) { return i; }, [](int64_t v) { return v; }));
}

void Payload64(Run& run) {
  struct Block {
    int64_t words[8];
  };
  run.CheckSum(Stream<Block>(
      run, [](int64_t i) { return Block{{i, 0, 0, 0, 0, 0, 0, i}}; },
      [](const Block& b) { return (b.words[0] + b.words[7]) / 2; }));
}

void PayloadString(Run& run) {
  char buffer[32] = {};
  const int64_t sum = Stream<std::string>(
      run,
      [&buffer](int64_t i) {
        buffer[0] = static_cast<char>('a' + i % 26);
        return std::string(buffer, sizeof(buffer));
      },
      [](const std::string& text) {
        return static_cast<int64_t>(text.size()) + text[0] - 'a';
      });
  int64_t expected = 0;
  for (int64_t i = 0; i < run.n(); ++i) expected += 32 + i % 26;
  run.Check(sum == expected, "the strings");
}

#endif  // __has_include(<concurrentqueue.h>)

const std::vector<Workload> kWorkloads = {
    {"switch", 50'000'000, &Switch},
    {"read_modify_write", 50'000'000, &ReadModifyWrite},
    {"line_exchange", 5'000'000, &LineExchange, 2},
#if __has_include(<concurrentqueue.h>)
    {"seq_1", 5'000'000, &Sequential},
    {"spsc_128", 5'000'000, &Spsc},
    {"mpmc_4x4_128", 5'000'000, &Mpmc<4>},
    {"mpmc_64x64_128", 5'000'000, &Mpmc<64>},
    {"payload_64", 3'000'000, &Payload64},
    {"payload_string", 2'000'000, &PayloadString},
#endif
};

}  // namespace

int main(int argc, char** argv) {
  return peer::Main(argc, argv, kWorkloads,
                    [](std::function<void()> f, int procs) {
                      peer::UseProcessors(procs);
                      f();
                    });
}

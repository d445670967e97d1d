// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Threads: OS threads that must come to an end.
//
//   Threads threads;
//   threads.Go([&] { … });
//   threads.Join();       // the destructor does it too
//
// Join() ends the program if a thread is still running after the limit. With
// the environment variable GOCHAN_NOISE every thread makes noise (noise.h).
//
// BlocksForEver(fn) starts fn on a thread of its own that is never joined, and
// says whether it was still in there after a pause; fn owns what it uses.

#ifndef GOCHAN_TEST_UTIL_THREADS_H_
#define GOCHAN_TEST_UTIL_THREADS_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "test/util/noise.h"
#include "test/util/scale.h"

namespace gochan::test {

class Threads {
 public:
  explicit Threads(std::chrono::seconds limit = kLimit) : limit_(limit) {}
  ~Threads() { Join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  template <typename Fn>
  void Go(Fn fn) {
    {
      std::unique_lock lock(mutex_);
      ++running_;
    }
    const uint64_t seed = threads_.size() + 1;
    threads_.emplace_back([this, seed, fn = std::move(fn)]() mutable {
      {
        std::optional<Noise> noise;
        if (NoiseWanted()) noise.emplace(seed);
        fn();
      }
      // The lock is held while notifying, so that Join() cannot return, and
      // the object end, in between.
      std::unique_lock lock(mutex_);
      --running_;
      ended_.notify_all();
    });
  }

  // Starts n threads with their numbers.
  template <typename Fn>
  void GoEach(int n, Fn fn) {
    for (int i = 0; i < n; ++i) {
      Go([fn, i]() mutable { fn(i); });
    }
  }

  void Join() {
    {
      std::unique_lock lock(mutex_);
      if (!ended_.wait_for(lock, limit_, [&] { return running_ == 0; })) {
        Die(std::to_string(running_) + " of " +
            std::to_string(threads_.size()) + " threads did not end");
      }
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  const std::chrono::seconds limit_;
  std::mutex mutex_;
  std::condition_variable ended_;
  int running_ = 0;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

inline bool BlocksForEver(std::function<void()> fn) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool entered = false;
    bool returned = false;
  };
  auto state = std::make_shared<State>();
  std::thread([state, fn = std::move(fn)] {
    {
      std::unique_lock lock(state->mutex);
      state->entered = true;
      state->changed.notify_all();
    }
    fn();
    std::unique_lock lock(state->mutex);
    state->returned = true;
    state->changed.notify_all();
  }).detach();
  std::unique_lock lock(state->mutex);
  if (!state->changed.wait_for(lock, kLimit, [&] { return state->entered; })) {
    Die("a thread did not start");
  }
  return !state->changed.wait_for(lock, kPause,
                                  [&] { return state->returned; });
}

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_THREADS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Sequence: the order of steps in different threads, by hand-shake.
//
//   Sequence order;
//   thread A: order.Step(1);                 order.Step(3);
//   thread B:                 order.Step(2);
//
// Step(n) waits until steps 1..n-1 have been done, then does step n. Await(n)
// only waits until step n has been done. A wait of more than kLimit ends the
// program.

#ifndef GOCHAN_TEST_UTIL_SEQUENCE_H_
#define GOCHAN_TEST_UTIL_SEQUENCE_H_

#include <condition_variable>
#include <mutex>
#include <string>

#include "test/util/scale.h"

namespace gochan::test {

class Sequence {
 public:
  void Step(int n) {
    std::unique_lock lock(mutex_);
    Wait(lock, n - 1);
    if (done_ != n - 1) Die("step " + std::to_string(n) + " done twice");
    done_ = n;
    changed_.notify_all();
  }

  void Await(int n) {
    std::unique_lock lock(mutex_);
    Wait(lock, n);
  }

  bool Done(int n) {
    std::unique_lock lock(mutex_);
    return done_ >= n;
  }

 private:
  void Wait(std::unique_lock<std::mutex>& lock, int n) {
    if (!changed_.wait_for(lock, kLimit, [&] { return done_ >= n; })) {
      Die("step " + std::to_string(n) + " was not reached; the last one was " +
          std::to_string(done_));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int done_ = 0;
};

// A one-shot flag that can be waited for.
class Event {
 public:
  void Set() { sequence_.Step(1); }
  void Await() { sequence_.Await(1); }
  bool IsSet() { return sequence_.Done(1); }

 private:
  Sequence sequence_;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_SEQUENCE_H_

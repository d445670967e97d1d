// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Sequence: the order of steps in different parties, by hand-shake.
//
//   Sequence order;
//   one:     order.Step(1);                 order.Step(3);
//   another:                 order.Step(2);
//
// Step(n) waits until steps 1..n-1 have been done, then does step n. Await(n)
// only waits until step n has been done. Goroutines that wait do not hold up
// others. A wait of more than kLimit ends the program.

#ifndef GOCHAN_TEST_UTIL_SEQUENCE_H_
#define GOCHAN_TEST_UTIL_SEQUENCE_H_

#include <atomic>
#include <string>

#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::test {

class Sequence {
 public:
  void Step(int n) {
    Await(n - 1);
    int expected = n - 1;
    // Release: what was done before the step; pairs with the acquire in Done().
    if (!done_.compare_exchange_strong(expected, n, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
      Die("step " + std::to_string(n) + " done twice");
    }
  }

  void Await(int n) {
    Patience patience;
    while (!Done(n)) {
      patience.Wait([&] {
        return "step " + std::to_string(n) +
               " was not reached; the last one was " +
               std::to_string(done_.load());
      });
    }
  }

  bool Done(int n) const {
    // Acquire: pairs with the release in Step().
    return done_.load(std::memory_order_acquire) >= n;
  }

 private:
  std::atomic<int> done_{0};  // the last step done; counts up
};

// A one-shot flag that can be waited for.
class Event {
 public:
  void Set() { sequence_.Step(1); }
  void Await() { sequence_.Await(1); }
  bool IsSet() const { return sequence_.Done(1); }

 private:
  Sequence sequence_;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_SEQUENCE_H_

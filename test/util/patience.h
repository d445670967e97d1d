// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Waiting for something that nobody announces, in a goroutine or a thread.
//
//   Patience patience;                      // or Patience patience(limit)
//   while (!flag) patience.Wait("the flag was not set");
//
//   PauseFor(kPause);                       // for "it has not happened"
//
// Neither holds up other goroutines, even with one worker. A wait of more than
// the limit ends the program.
//
// Whoever waits for longer than a moment looks for leaks (leak_listener.cc):
// goroutines of a test that goes on are blocked then, and none of them for
// ever.

#ifndef GOCHAN_TEST_UTIL_PATIENCE_H_
#define GOCHAN_TEST_UTIL_PATIENCE_H_

#include <chrono>
#include <string>
#include <thread>
#include <type_traits>

#include "go/go.h"
#include "test/util/scale.h"

namespace gochan::test {

template <typename Rep, typename Period>
void PauseFor(std::chrono::duration<Rep, Period> duration) {
  Blocking([duration] { std::this_thread::sleep_for(duration); });
}

// Called once in each long wait. Set before main(), if at all.
inline void (*in_long_wait)() = nullptr;

class Patience {
 public:
  explicit Patience(std::chrono::nanoseconds limit = kLimit)
      : deadline_(std::chrono::steady_clock::now() + limit) {}

  // Lets others run for a moment. `why`, a text or a function that returns one,
  // is what to say when the limit has passed.
  template <typename Why>
  void Wait(const Why& why) {
    if (std::chrono::steady_clock::now() > deadline_) {
      if constexpr (std::is_invocable_v<const Why&>) {
        Die(why());
      } else {
        Die(why);
      }
    }
    // Soon the processor is better left to those whom we wait for.
    if (++waits_ <= kYields) {
      Yield();
    } else if (waits_ == kYields + 1 && in_long_wait != nullptr) {
      in_long_wait();
    } else {
      PauseFor(std::chrono::microseconds(20));
    }
  }

 private:
  static constexpr int kYields = 16;

  const std::chrono::steady_clock::time_point deadline_;
  int waits_ = 0;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_PATIENCE_H_

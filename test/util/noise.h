// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Noise: while one lives, its thread gives up the processor at random atomic
// steps, so that a stress test meets interleavings that a quiet machine never
// shows. With the instrumented libraries only; else it does nothing.

#ifndef GOCHAN_TEST_UTIL_NOISE_H_
#define GOCHAN_TEST_UTIL_NOISE_H_

#include <sched.h>

#include <cstdint>
#include <cstdlib>

#include "runtime/instrument.h"
#include "runtime/random.h"

namespace gochan::test {

// The environment variable GOCHAN_NOISE: all threads of a test make noise.
inline bool NoiseWanted() {
  static const bool wanted = std::getenv("GOCHAN_NOISE") != nullptr;
  return wanted;
}

#if GOCHAN_INSTRUMENT

class Noise {
 public:
  explicit Noise(uint64_t seed) : random_(seed), saved_(runtime::step_hook) {
    current_ = this;
    runtime::step_hook = &Step;
  }
  ~Noise() {
    runtime::step_hook = saved_;
    current_ = nullptr;
  }
  Noise(const Noise&) = delete;
  Noise& operator=(const Noise&) = delete;

 private:
  static void Step(runtime::StepKind, const void*) {
    // Long quiet stretches and long pauses both: a mean of 32 steps between two
    // pauses, which are one turn of the processor or, now and then, several.
    const uint32_t dice = current_->random_.Below(1024);
    if (dice >= 32) return;
    for (uint32_t i = 0; i <= (dice < 4 ? 8 * dice : 0); ++i) sched_yield();
  }

  static inline thread_local Noise* current_ = nullptr;

  runtime::Random random_;
  runtime::StepHook saved_;
};

#else

class Noise {
 public:
  explicit Noise(uint64_t) {}
  ~Noise() {}  // NOLINT: not defaulted, so that an unused object is no warning
};

#endif  // GOCHAN_INSTRUMENT

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_NOISE_H_

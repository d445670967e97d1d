// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The seam between the shipping sources and the tools that control them: with
// GOCHAN_INSTRUMENT every atomic operation calls a hook of the calling thread
// first. The schedule explorer switches parties there, the stall test freezes
// a thread there, the benchmark counts there. Without it, nothing is compiled.

#ifndef GOCHAN_RUNTIME_INSTRUMENT_H_
#define GOCHAN_RUNTIME_INSTRUMENT_H_

#include <cstdint>

#ifndef GOCHAN_INSTRUMENT
#define GOCHAN_INSTRUMENT 0
#endif

namespace gochan::runtime {

// What the next step is. kRmw is a locked read-modify-write (also one that
// fails to swap). kSpin is one round of a bounded wait for another party:
// nothing is touched, and nothing can go on until somebody else has moved.
enum class StepKind : uint8_t { kLoad, kStore, kRmw, kRmw16, kLoad16, kSpin };

#if GOCHAN_INSTRUMENT

// Called before the operation on `address` (nullptr for kSpin). May block, may
// switch to another party; may not throw.
using StepHook = void (*)(StepKind kind, const void* address);

// The calling thread's hook; nullptr when nobody listens.
extern constinit thread_local StepHook step_hook;

inline void Step(StepKind kind, const void* address) {
  if (StepHook hook = step_hook) hook(kind, address);
}

// While one of these is alive the calling thread takes no steps: for what a
// tool treats as one (memory pools, debug output).
class NoSteps {
 public:
  NoSteps() : saved_(step_hook) { step_hook = nullptr; }
  ~NoSteps() { step_hook = saved_; }
  NoSteps(const NoSteps&) = delete;
  NoSteps& operator=(const NoSteps&) = delete;

 private:
  StepHook saved_;
};

#else

inline void Step(StepKind, const void*) {}
class NoSteps {
 public:
  NoSteps() {}  // NOLINT: not defaulted, so that an unused object is no warning
  ~NoSteps() {}
};

#endif  // GOCHAN_INSTRUMENT

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_INSTRUMENT_H_

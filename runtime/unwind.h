// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Who has called whom on a stack that was left.
//
//   Unwinder unwinder;                      // one for many stacks
//   uintptr_t pcs[64];
//   std::size_t n = unwinder.Unwind(copy, pcs);
//
// Reads the call frame information that every ELF program carries for the sake
// of exceptions (.eh_frame), and of the stack only a copy of it. So the stack
// may be used by its goroutine meanwhile, and whatever the copy says, nothing
// outside of it is read: neither a function without that information nor a
// wrong one can lead astray, the walk just ends there. The platform's own
// unwinder would follow every pointer that it finds.
//
// What a compiler has made of a place in the program is worked out once: a
// thousand goroutines that wait at the same place cost a look-up for each
// frame.
//
// Only x86-64 and AArch64 with ELF, and not where <ucontext.h> switches: there
// no frame is found.
//
// Source: DWARF 5, section 6.4; LSB 5.0, chapter 10.6; "DWARF for the Arm
// 64-bit Architecture".

#ifndef GOCHAN_RUNTIME_UNWIND_H_
#define GOCHAN_RUNTIME_UNWIND_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "runtime/stack_copy.h"
#include "runtime/switch.h"

// Whether a stack that was left can be unwound.
#if GOCHAN_SWITCH_ASSEMBLY && GOCHAN_FORCE_SWITCH != 3
#define GOCHAN_UNWIND 1
#else
#define GOCHAN_UNWIND 0
#endif

namespace gochan::runtime {

// Not thread-safe. Holds what it has worked out, some hundred bytes for each
// place: not longer than a dump takes, lest a library that has been unloaded
// meanwhile be remembered.
class Unwinder {
 public:
  Unwinder();
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;

  // Fills `pcs` in with return addresses, the innermost frame's first: where it
  // will go on. Each lies behind the instruction that has called or left, so
  // one less is inside of it. Ends with the function at the bottom of the
  // goroutine, where the walk is lost, or when `pcs` is full; returns how many.
  // Not in a signal handler: may allocate, and asks the dynamic linker.
  std::size_t Unwind(const StackCopy& copy, absl::Span<uintptr_t> pcs);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_UNWIND_H_

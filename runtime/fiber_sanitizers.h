// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Tells the sanitizers which stack runs. Empty without them.
//
//   FiberAnnotations    one for each fiber, and one for each thread's own stack
//
//   annotations.BeginFiber(stack, bytes);         // before MakeContext
//   ...
//   from.annotations.Leave(to.annotations);
//   SwitchContext(from.context, to.context, carried);
//   from.annotations.Arrive();                    // also first thing in an
//   entry
//   ...
//   last.annotations.LeaveForever(to.annotations);  // and never resume `last`
//   last.annotations.EndFiber();                  // by whoever runs then
//
// AddressSanitizer knows one stack for each thread: its bounds, and the fake
// stack where it puts frames to catch uses after return. Leave() puts the fake
// stack into the fiber's record and announces the next bounds to the thread it
// runs on; Arrive(), on the same thread but another stack, takes that fiber's
// fake stack out. So both belong to the fiber, and migration does no harm, as
// long as nothing but the switch is between the two. A fiber that ends leaves
// frames behind from which nobody returned, hence poisoned; the stack is
// cleaned when the next life begins on it.
//
// ThreadSanitizer has a state for each fiber, call stack and clock included;
// Leave() makes the thread use another. Calls and returns must stay paired
// within a state, so all of this is expanded in the function that switches.
// Creating a fiber orders it after its creator, and a switch orders the fiber
// that is reached after the one that is left: fibers of one thread share the
// scheduler's data without locks. The price is that races between fibers which
// happened to run on one thread are not reported. At most some 8,000 fibers can
// be alive at once; beyond that ThreadSanitizer gives up, loudly.

#ifndef GOCHAN_RUNTIME_FIBER_SANITIZERS_H_
#define GOCHAN_RUNTIME_FIBER_SANITIZERS_H_

#include <cstddef>
#include <cstdint>

#include "runtime/sanitizers.h"

#if GOCHAN_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if GOCHAN_TSAN
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

namespace gochan::runtime {

class FiberAnnotations {
 public:
  FiberAnnotations() = default;
  FiberAnnotations(const FiberAnnotations&) = delete;
  FiberAnnotations& operator=(const FiberAnnotations&) = delete;

  // A life begins on the stack [stack, stack + bytes), which nobody runs on.
  // Before anything is written there.
  void BeginFiber([[maybe_unused]] void* stack,
                  [[maybe_unused]] std::size_t bytes) {
#if GOCHAN_ASAN
    __asan_unpoison_memory_region(stack, bytes);
    stack_ = stack;
    bytes_ = bytes;
    fake_stack_ = nullptr;
#endif
#if GOCHAN_TSAN
    fiber_ = __tsan_create_fiber(0);
#endif
  }

  // The calling thread's own stack, on which it runs now. Must not outlive the
  // thread, nor be given to EndFiber().
  void AdoptThread() {
#if GOCHAN_ASAN
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &stack_, &bytes_);
      pthread_attr_destroy(&attributes);
    }
#endif
#if GOCHAN_TSAN
    fiber_ = __tsan_get_current_fiber();
#endif
  }

  // After LeaveForever(), on another stack; or for a fiber that never ran.
  // Before the stack is used again.
  void EndFiber() {
#if GOCHAN_TSAN
    __tsan_destroy_fiber(fiber_);
    fiber_ = nullptr;
#endif
  }

  // For onlookers, while the stack is left: the frame that AddressSanitizer
  // keeps elsewhere and in which `address` lies; false if there is none.
  bool FindFakeFrame([[maybe_unused]] uintptr_t address,
                     [[maybe_unused]] uintptr_t* begin,
                     [[maybe_unused]] uintptr_t* end) const {
#if GOCHAN_ASAN
    void* first = nullptr;
    void* last = nullptr;
    if (fake_stack_ == nullptr ||
        __asan_addr_is_in_fake_stack(fake_stack_,
                                     reinterpret_cast<void*>(address), &first,
                                     &last) == nullptr) {
      return false;
    }
    *begin = reinterpret_cast<uintptr_t>(first);
    *end = reinterpret_cast<uintptr_t>(last);
    return true;
#else
    return false;
#endif
  }

  // On this stack, the last thing before the switch to `to`.
  [[gnu::always_inline]] inline void Leave(
      [[maybe_unused]] const FiberAnnotations& to) {
#if GOCHAN_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, to.stack_, to.bytes_);
#endif
#if GOCHAN_TSAN
    __tsan_switch_to_fiber(to.fiber_, 0);
#endif
  }

  // The same, but this stack is not resumed: its fake frames are freed.
  [[gnu::always_inline]] inline void LeaveForever(
      [[maybe_unused]] const FiberAnnotations& to) {
#if GOCHAN_ASAN
    __sanitizer_start_switch_fiber(nullptr, to.stack_, to.bytes_);
#endif
#if GOCHAN_TSAN
    __tsan_switch_to_fiber(to.fiber_, 0);
#endif
  }

  // On this stack, the first thing after a switch to it.
  [[gnu::always_inline]] inline void Arrive() {
#if GOCHAN_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
  }

 private:
#if GOCHAN_ASAN
  // Written while no switch is under way, read by whoever switches.
  void* stack_ = nullptr;
  std::size_t bytes_ = 0;
  void* fake_stack_ = nullptr;  // while the stack is left
#endif
#if GOCHAN_TSAN
  void* fiber_ = nullptr;
#endif
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_FIBER_SANITIZERS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the C++ runtime keeps for each thread about exceptions, kept for each
// fiber: which exceptions are being handled (`throw;` and
// std::current_exception() look there) and how many are being thrown
// (std::uncaught_exceptions()).
//
//   EhGlobals            those two words
//   ThreadEhGlobals      where the calling thread has them
//   SwitchEhGlobals      puts one fiber's words away and another's in place
//
// With it a fiber may block in a catch block, or in a destructor during
// unwinding, and resume on another thread. All else that an exception needs on
// its way is in the exception object and on the stack.
//
// SwitchEhGlobals runs before the switch, on the thread that makes it: a fiber
// that resumes finds its words in place, and nobody needs to know, after a
// switch, where it landed. The address is the same for as long as the thread
// lives, so a scheduler asks once for each of its threads.
//
// Without exceptions there is nothing to switch, but what is linked in may have
// been compiled with them.

#ifndef GOCHAN_RUNTIME_EH_GLOBALS_H_
#define GOCHAN_RUNTIME_EH_GLOBALS_H_

#include <cxxabi.h>

#include <cstdint>

#include "runtime/thread_local.h"

namespace gochan::runtime {

// The layout that the Itanium C++ ABI prescribes for __cxa_eh_globals, which is
// opaque in the headers. (32-bit ARM has a third word; neither has a stack
// switch of ours.) A fresh fiber starts with zeroes.
struct EhGlobals {
  void* caught_exceptions = nullptr;
  unsigned uncaught_exceptions = 0;
};
#if defined(__ARM_EABI_UNWINDER__)
#error "__cxa_eh_globals has another layout here."
#endif

// The calling thread's own. The declaration of __cxa_get_globals() promises the
// compiler that it always returns the same, hence the detour.
GOCHAN_UNCACHEABLE inline EhGlobals* ThreadEhGlobals() {
  UncacheableCall();
  return reinterpret_cast<EhGlobals*>(abi::__cxa_get_globals());
}

// By the calling thread, whose words `thread` are, before a switch that leaves
// `from` and resumes `to`.
//
// While a fiber runs, its own record is zero. So in the usual case, that
// neither side has to do with exceptions, there is nothing to store: loads
// alone, which nothing waits for. Storing always makes each switch wait for the
// one before.
[[gnu::always_inline]] inline void SwitchEhGlobals(EhGlobals& thread,
                                                   EhGlobals& from,
                                                   EhGlobals& to) {
  const uintptr_t any = reinterpret_cast<uintptr_t>(thread.caught_exceptions) |
                        reinterpret_cast<uintptr_t>(to.caught_exceptions) |
                        thread.uncaught_exceptions | to.uncaught_exceptions;
  if (any != 0) [[unlikely]] {
    // In this order `from` and `to` may be the same.
    from = thread;
    thread = to;
    to = EhGlobals{};
  }
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_EH_GLOBALS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "runtime/switch.h"

namespace gochan::runtime {
namespace {

// Where Context::sp points: in the frame of the Switch() that left a stack, or
// at the end of a fresh stack.
struct Suspended {
  ucontext_t context;
  // Written by the switch that resumes it, on the thread that then reads it.
  void* carried = nullptr;
  ContextEntry entry = nullptr;
  void* arg = nullptr;
};

// makecontext() passes ints, so the pointer to the Suspended comes in halves.
void Start(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<Suspended*>(
      static_cast<uintptr_t>(static_cast<uint64_t>(high) << 32 | low));
  self->entry(self->arg, self->carried);
  std::abort();
}

}  // namespace

void UcontextSwitch::Make(Context& context, void* stack, std::size_t bytes,
                          ContextEntry entry, void* arg) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(stack);
  const uintptr_t at =
      (begin + bytes - sizeof(Suspended)) & ~uintptr_t{alignof(Suspended) - 1};
  auto* fresh = new (reinterpret_cast<void*>(at)) Suspended;
  fresh->entry = entry;
  fresh->arg = arg;
  if (getcontext(&fresh->context) != 0) std::abort();
  fresh->context.uc_stack.ss_sp = stack;
  fresh->context.uc_stack.ss_size = at - begin;
  fresh->context.uc_link = nullptr;
  const uint64_t address = at;
  makecontext(&fresh->context, reinterpret_cast<void (*)()>(&Start), 2,
              static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
  context.sp = fresh;
}

void* UcontextSwitch::Switch(Context& from, const Context& to, void* carried) {
  Suspended self;
  auto* target = static_cast<Suspended*>(to.sp);
  // `from` and `to` may be the same: nothing is left then.
  if (&from == &to) return carried;
  from.sp = &self;
  target->carried = carried;
  if (swapcontext(&self.context, &target->context) != 0) std::abort();
  return self.carried;
}

}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/fiber.h"

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "runtime/sanitizers.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if GOCHAN_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace gochan::model {

namespace {

// The two ends of the switch under way: how a fiber that runs for the first
// time finds itself.
constinit thread_local Fiber* leaving = nullptr;
constinit thread_local Fiber* arriving = nullptr;

}  // namespace

#if defined(__x86_64__)

// Pushes what the ABI says a call preserves, changes stacks, pops the same. The
// floating-point control words are not saved: nobody here changes them.
extern "C" void gochan_model_switch(void** save, void* to);
__asm__(
    ".text\n"
    ".globl gochan_model_switch\n"
    ".hidden gochan_model_switch\n"
    ".type gochan_model_switch, @function\n"
    "gochan_model_switch:\n"
    "  .cfi_startproc\n"
    "  endbr64\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    "  .cfi_endproc\n"
    ".size gochan_model_switch, .-gochan_model_switch\n");

#endif

Fiber::Fiber(std::size_t stack_size)
    : stack_(static_cast<char*>(std::malloc(stack_size))), size_(stack_size) {
  if (stack_ == nullptr) std::abort();
}

Fiber::~Fiber() {
#if GOCHAN_ASAN
  if (stack_ != nullptr) __asan_unpoison_memory_region(stack_, size_);
#endif
#if !defined(__x86_64__)
  delete static_cast<ucontext_t*>(context_);
#endif
  std::free(stack_);
}

void Fiber::Start(void (*body)(void*), void* arg) {
  body_ = body;
  arg_ = arg;
  exceptions_ = {};
  fake_stack_ = nullptr;
#if GOCHAN_ASAN
  // The frames that an earlier life left behind.
  __asan_unpoison_memory_region(stack_, size_);
  asan_bottom_ = stack_;
  asan_size_ = size_;
#endif
#if defined(__x86_64__)
  // A frame that the switch "returns" through: six registers, Enter, and a zero
  // where its return address would be, which also ends backtraces. At its entry
  // the stack pointer is 8 beyond a multiple of 16, as after a call.
  auto top = reinterpret_cast<uintptr_t>(stack_ + size_) & ~uintptr_t{15};
  void** frame = reinterpret_cast<void**>(top) - 8;
  std::memset(frame, 0, 8 * sizeof(void*));
  frame[6] = reinterpret_cast<void*>(&Fiber::Enter);
  context_ = frame;
#else
  if (context_ == nullptr) context_ = new ucontext_t;
  auto* context = static_cast<ucontext_t*>(context_);
  getcontext(context);
  context->uc_stack.ss_sp = stack_;
  context->uc_stack.ss_size = size_;
  context->uc_link = nullptr;
  makecontext(context, &Fiber::Enter, 0);
#endif
}

void Fiber::Switch(Fiber& from, Fiber& to) {
  void* const globals = abi::__cxa_get_globals();
  std::memcpy(&from.exceptions_, globals, sizeof(Exceptions));
  std::memcpy(globals, &to.exceptions_, sizeof(Exceptions));
  leaving = &from;
  arriving = &to;
#if GOCHAN_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.asan_bottom_,
                                 to.asan_size_);
#endif
#if defined(__x86_64__)
  gochan_model_switch(&from.context_, to.context_);
#else
  if (from.context_ == nullptr) from.context_ = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from.context_),
              static_cast<ucontext_t*>(to.context_));
#endif
  Arrive(from);
}

void Fiber::Arrive([[maybe_unused]] Fiber& fiber) {
#if GOCHAN_ASAN
  // Tells also where the stack lies that was left: nobody else knows it of the
  // thread's own.
  __sanitizer_finish_switch_fiber(fiber.fake_stack_, &leaving->asan_bottom_,
                                  &leaving->asan_size_);
#endif
}

void Fiber::Enter() {
  Fiber* const self = arriving;
  Arrive(*self);
  self->body_(self->arg_);
  std::abort();
}

}  // namespace gochan::model

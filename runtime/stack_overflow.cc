// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack_overflow.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/atomic.h"
#include "runtime/stack.h"

#ifndef MAP_STACK
#define MAP_STACK 0
#endif

namespace gochan::runtime {

namespace {

constinit Atomic<DescribeOverflow> describe_overflow{nullptr};

// The handlers before ours. Written before ours is installed, then constant.
struct Previous {
  int signal;
  struct sigaction action;
};
constinit Previous previous[] = {{SIGSEGV, {}}, {SIGBUS, {}}};

// Linux reports a guard with SIGSEGV, other systems with SIGBUS.
#if defined(__linux__)
constexpr int kSignals = 1;
#else
constexpr int kSignals = 2;
#endif

// Text in a fixed buffer: nothing else is safe in a signal handler.
class Line {
 public:
  Line& Add(std::string_view text) {
    for (char c : text) {
      if (length_ < sizeof(text_)) text_[length_++] = c;
    }
    return *this;
  }
  Line& Add(uint64_t value, unsigned base) {
    char digits[20];
    std::size_t n = 0;
    do {
      digits[n++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (n != 0) Add({&digits[--n], 1});
    return *this;
  }
  void Print() const { stack_internal::Say({text_, length_}); }

 private:
  char text_[256];
  std::size_t length_ = 0;
};

[[noreturn]] void Die(const void* address, const Stack& stack) {
  static constinit Atomic<uint8_t> dying{0};
  // Relaxed: one thread reports, those that overflow meanwhile wait for the
  // end.
  if (dying.exchange(1, std::memory_order_relaxed) != 0) {
    for (;;) pause();
  }
  const auto number = [](const void* p) {
    return uint64_t{reinterpret_cast<uintptr_t>(p)};
  };
  Line()
      .Add("gochan: goroutine stack overflow: 0x")
      .Add(number(address), 16)
      .Add(" is below the stack 0x")
      .Add(number(stack.limit()), 16)
      .Add("-0x")
      .Add(number(stack.top()), 16)
      .Add(" (")
      .Add(stack.size >> 10, 10)
      .Add(" KiB)\n")
      .Print();
  // D1 acquire: what the hook relies on; pairs with D1 in
  // SetDescribeOverflow().
  const DescribeOverflow describe =
      describe_overflow.load(std::memory_order_acquire);
  if (describe != nullptr) describe(STDERR_FILENO, stack);
  std::abort();
}

// Acts as if `action` had been installed and ours had not, except that we are
// on the alternate stack.
void PassOn(const struct sigaction& action, int signal, siginfo_t* info,
            void* context) {
  const bool sent = info->si_code <= 0;  // by kill(2) and the like
  const bool handled =
      (action.sa_flags & SA_SIGINFO) != 0 ||
      (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  if (!handled) {
    if (sent && action.sa_handler == SIG_IGN) return;
    // The instruction that faulted runs again, and the kernel ends the process
    // there; a signal that was sent has to be sent again.
    struct sigaction fallback{};
    fallback.sa_handler = SIG_DFL;
    sigaction(signal, &fallback, nullptr);
    if (sent) raise(signal);
    return;
  }
  if ((action.sa_flags & SA_RESETHAND) != 0) {
    struct sigaction fallback{};
    fallback.sa_handler = SIG_DFL;
    sigaction(signal, &fallback, nullptr);
  }
  // The kernel restores the mask on return.
  pthread_sigmask(SIG_BLOCK, &action.sa_mask, nullptr);
  if ((action.sa_flags & SA_NODEFER) != 0) {
    sigset_t self;
    sigemptyset(&self);
    sigaddset(&self, signal);
    pthread_sigmask(SIG_UNBLOCK, &self, nullptr);
  }
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

void HandleFault(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  Stack stack;
  if (info->si_code > 0 && stack_internal::FindGuard(info->si_addr, &stack)) {
    Die(info->si_addr, stack);
  }
  for (int i = 0; i < kSignals; ++i) {
    if (previous[i].signal == signal) {
      PassOn(previous[i].action, signal, info, context);
    }
  }
  errno = saved_errno;
}

std::size_t SignalStackSize() {
  // Room for the handlers before ours too: a sanitizer's symbolizes.
  std::size_t size = std::size_t{64} << 10;
#if defined(__linux__) && defined(AT_MINSIGSTKSZ)
  size += getauxval(AT_MINSIGSTKSZ);  // wide vector registers
#endif
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) & ~(page - 1);
}

// The thread's own, until it ends.
struct SignalStack {
  void* begin = nullptr;
  std::size_t bytes = 0;
};
constinit thread_local SignalStack signal_stack;

void FreeSignalStack(void* arg) {
  auto& self = *static_cast<SignalStack*>(arg);
  stack_t current{};
  sigaltstack(nullptr, &current);
  if (current.ss_sp == self.begin) {
    current.ss_flags = SS_DISABLE;
    sigaltstack(&current, nullptr);
    munmap(self.begin, self.bytes);
  }
  self = SignalStack{};
}

// By a pthread key, as for parties (park.cc).
void FreeAtThreadEnd(SignalStack& self) {
  static const pthread_key_t key = [] {
    pthread_key_t k;
    pthread_key_create(&k, &FreeSignalStack);
    return k;
  }();
  pthread_setspecific(key, &self);
}

}  // namespace

void SetDescribeOverflow(DescribeOverflow hook) {
  // D1 release: what the hook relies on; pairs with D1 in Die().
  describe_overflow.store(hook, std::memory_order_release);
}

void InstallOverflowHandler() {
  static const bool installed = [] {
    for (int i = 0; i < kSignals; ++i) {
      struct sigaction ours{};
      ours.sa_sigaction = &HandleFault;
      ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigemptyset(&ours.sa_mask);
      // Asked for beforehand: ours may run as soon as it is there.
      sigaction(previous[i].signal, nullptr, &previous[i].action);
      sigaction(previous[i].signal, &ours, nullptr);
    }
    return true;
  }();
  static_cast<void>(installed);
}

void AttachOverflowStack() {
  SignalStack& self = signal_stack;
  stack_t current{};
  // Somebody else's (a sanitizer's, a language runtime's) is as good.
  if (sigaltstack(nullptr, &current) != 0 ||
      (current.ss_flags & SS_DISABLE) == 0) {
    return;
  }
  if (self.begin == nullptr) {
    const std::size_t bytes = SignalStackSize();
    void* const begin = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    // Without one an overflow still ends the process, only without a word.
    if (begin == MAP_FAILED) return;
    self = {begin, bytes};
    FreeAtThreadEnd(self);
  }
  stack_t ours{};
  ours.ss_sp = self.begin;
  ours.ss_size = self.bytes;
  sigaltstack(&ours, nullptr);
}

}  // namespace gochan::runtime

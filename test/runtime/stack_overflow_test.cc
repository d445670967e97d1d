// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack_overflow.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/sanitizers.h"
#include "runtime/stack.h"
#include "test/util/stacks.h"

namespace gochan::runtime {
namespace {

using test::KernelInstallsGuards;
using test::Page;
using test::Use;

constexpr std::size_t kKiB = 1024;

[[gnu::noinline]] uint64_t Recurse(uint64_t depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : Recurse(depth - 1) + frame[0];
}

// Recurses with `stack` under its feet.
void RecurseOn(const Stack& stack, uint64_t depth) {
  static thread_local uint64_t argument;
  argument = depth;
  AttachOverflowStack();
  ucontext_t here;
  ucontext_t there;
  ASSERT_EQ(getcontext(&there), 0);
  there.uc_stack.ss_sp = stack.limit();
  there.uc_stack.ss_size = stack.size - stack.guard;
  there.uc_link = &here;
  makecontext(&there, [] { argument = Recurse(argument); }, 0);
  ASSERT_EQ(swapcontext(&here, &there), 0);
}

void OverflowWith(StackGuard guard, std::size_t size) {
  stack_internal::ForceGuardForTest(guard);
  InstallOverflowHandler();
  SetDescribeOverflow([](int fd, const Stack& stack) {
    const char* const text =
        stack.size == 1024 * kKiB ? "big one\n" : "goroutine 7 [x]\n";
    if (write(fd, text, std::strlen(text)) < 0) _exit(1);
  });
  RecurseOn(Stack::Allocate(size), 1'000'000'000);
}

class StackOverflowDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    testing::GTEST_FLAG(death_test_style) = "threadsafe";
  }
};

constexpr char kReport[] =
    "goroutine stack overflow: 0x[0-9a-f]+ is below the stack "
    "0x[0-9a-f]+-0x[0-9a-f]+ \\([0-9]+ KiB\\)\n(goroutine 7|big one)";

TEST_F(StackOverflowDeathTest, InstalledGuard) {
  if (!KernelInstallsGuards()) GTEST_SKIP() << "not on this kernel";
  EXPECT_EXIT(OverflowWith(StackGuard::kInstall, Stack::kDefaultSize),
              testing::KilledBySignal(SIGABRT), kReport);
}

TEST_F(StackOverflowDeathTest, ProtectedGuard) {
  EXPECT_EXIT(OverflowWith(StackGuard::kProtect, Stack::kDefaultSize),
              testing::KilledBySignal(SIGABRT), kReport);
}

TEST_F(StackOverflowDeathTest, OddSize) {
  EXPECT_EXIT(OverflowWith(StackGuard::kInstall, 1024 * kKiB),
              testing::KilledBySignal(SIGABRT), kReport);
}

TEST_F(StackOverflowDeathTest, ProtectedByEnvironment) {
  setenv("GOCHAN_STACK_GUARD", "mprotect", 1);
  const auto run = [] {
    const Stack stack = Stack::Allocate();
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      const auto begin = std::strtoull(line.c_str(), nullptr, 16);
      if (begin == reinterpret_cast<uintptr_t>(stack.base) &&
          line.find("---p") != std::string::npos) {
        InstallOverflowHandler();
        AttachOverflowStack();
        static_cast<volatile char*>(stack.base)[0] = 1;
      }
    }
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGABRT), "stack overflow");
  unsetenv("GOCHAN_STACK_GUARD");
}

TEST_F(StackOverflowDeathTest, WithoutAHook) {
  const auto run = [] {
    InstallOverflowHandler();
    RecurseOn(Stack::Allocate(), 1'000'000'000);
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGABRT), "stack overflow");
}

// Two threads at once: one report, one abort.
TEST_F(StackOverflowDeathTest, TwoAtOnce) {
  const auto run = [] {
    InstallOverflowHandler();
    std::thread other([] { RecurseOn(Stack::Allocate(), 1'000'000'000); });
    RecurseOn(Stack::Allocate(), 1'000'000'000);
    other.join();
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGABRT), "stack overflow");
}

TEST_F(StackOverflowDeathTest, AReusedStackIsStillGuarded) {
  const auto run = [] {
    InstallOverflowHandler();
    const Stack stack = Stack::Allocate();
    Use(stack, stack.size - stack.guard);
    Stack::Free(stack);
    Stack::TrimCache();
    RecurseOn(Stack::Allocate(), 1'000'000'000);
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGABRT), "stack overflow");
}

TEST(StackOverflowTest, DeepButNotTooDeep) {
  InstallOverflowHandler();
  InstallOverflowHandler();
  const Stack stack = Stack::Allocate();
  RecurseOn(stack, 100);
  Stack::Free(stack);
}

// -----------------------------------------------------------------------------
// Other people's faults and handlers
// -----------------------------------------------------------------------------

void FaultElsewhere() {
  AttachOverflowStack();
  // Not nullptr, which compilers take for a promise never to get here.
  volatile uintptr_t address = 64;
  *reinterpret_cast<volatile int*>(address) = 1;
}

// What ends the process when nobody handles a fault: the kernel, or the handler
// that a sanitizer has installed.
bool EndedByFault(int status) {
#if GOCHAN_ASAN || GOCHAN_TSAN
  return WIFEXITED(status) && WEXITSTATUS(status) != 0;
#else
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
#endif
}
#if GOCHAN_ASAN
constexpr char kFault[] = "AddressSanitizer: SEGV";
#elif GOCHAN_TSAN
constexpr char kFault[] = "ThreadSanitizer: SEGV";
#else
constexpr char kFault[] = "";
#endif

TEST_F(StackOverflowDeathTest, OtherFaultsEndTheProcessAsBefore) {
  const auto run = [] {
    Stack::Free(Stack::Allocate());
    InstallOverflowHandler();
    FaultElsewhere();
  };
  EXPECT_EXIT(run(), EndedByFault, kFault);
}

void InstallFirst(int signal, struct sigaction action) {
  sigaction(signal, &action, nullptr);
  Stack::Free(Stack::Allocate());
  InstallOverflowHandler();
}

TEST_F(StackOverflowDeathTest, OtherFaultsGoToTheHandlerBefore) {
  const auto run = [] {
    struct sigaction action{};
    action.sa_flags = SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGUSR1);
    action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      const bool as_asked = sigismember(&mask, SIGUSR1) == 1 &&
                            sigismember(&mask, SIGSEGV) == 1 &&
                            info->si_addr == reinterpret_cast<void*>(64);
      _exit(signal == SIGSEGV && context != nullptr && as_asked ? 42 : 1);
    };
    InstallFirst(SIGSEGV, action);
    FaultElsewhere();
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(42), "");
}

TEST_F(StackOverflowDeathTest, OtherFaultsGoToAPlainHandlerBefore) {
  const auto run = [] {
    struct sigaction action{};
    action.sa_flags = SA_NODEFER;
    action.sa_handler = [](int) {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      _exit(sigismember(&mask, SIGSEGV) == 0 ? 43 : 1);
    };
    InstallFirst(SIGSEGV, action);
    FaultElsewhere();
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(43), "");
}

// A handler that repairs the fault and returns.
TEST_F(StackOverflowDeathTest, AHandlerBeforeMayReturn) {
  static char* page;
  const auto run = [] {
    page = static_cast<char*>(
        mmap(nullptr, Page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    struct sigaction action{};
    action.sa_handler = [](int) {
      mprotect(page, Page(), PROT_READ | PROT_WRITE);
    };
    InstallFirst(SIGSEGV, action);
    AttachOverflowStack();
    static_cast<volatile char*>(page)[0] = 9;
    _exit(page[0]);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(9), "");
}

TEST_F(StackOverflowDeathTest, AHandlerForOnceRunsOnce) {
  const auto run = [] {
    struct sigaction action{};
    action.sa_flags = SA_RESETHAND;
    action.sa_handler = [](int) {};
    InstallFirst(SIGSEGV, action);
    FaultElsewhere();  // again and again, until nobody handles it
  };
  EXPECT_EXIT(run(), testing::KilledBySignal(SIGSEGV), "");
}

#if !GOCHAN_TSAN  // which keeps signals that were sent for later
TEST_F(StackOverflowDeathTest, ASignalThatWasSentIsNoFault) {
  const auto ignored = [] {
    struct sigaction action{};
    action.sa_handler = SIG_IGN;
    InstallFirst(SIGSEGV, action);
    raise(SIGSEGV);
    _exit(5);
  };
  EXPECT_EXIT(ignored(), testing::ExitedWithCode(5), "");
  const auto fatal = [] {
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    InstallFirst(SIGSEGV, action);
    raise(SIGSEGV);
    _exit(5);
  };
  EXPECT_EXIT(fatal(), testing::KilledBySignal(SIGSEGV), "");
}
#endif

TEST(SignalStackTest, IsThereUntilTheThreadEnds) {
  stack_t before{};
  stack_t attached{};
  std::thread([&] {
    sigaltstack(nullptr, &before);
    AttachOverflowStack();
    AttachOverflowStack();
    sigaltstack(nullptr, &attached);
  }).join();
  EXPECT_EQ(attached.ss_flags & SS_DISABLE, 0);
  if ((before.ss_flags & SS_DISABLE) == 0) {
    EXPECT_EQ(attached.ss_sp, before.ss_sp) << "the sanitizer's is respected";
    return;
  }
  EXPECT_GE(attached.ss_size, 64 * kKiB);
  unsigned char resident;
  EXPECT_NE(mincore(attached.ss_sp, Page(), &resident), 0) << "still mapped";
}

TEST(SignalStackTest, SomebodyElsesIsRespected) {
  std::thread([] {
    std::vector<char> mine(64 * kKiB);
    stack_t before{};
    stack_t wanted{};
    wanted.ss_sp = mine.data();
    wanted.ss_size = mine.size();
    ASSERT_EQ(sigaltstack(&wanted, &before), 0);
    AttachOverflowStack();
    stack_t now{};
    sigaltstack(nullptr, &now);
    EXPECT_EQ(now.ss_sp, mine.data());
    sigaltstack(&before, nullptr);
  }).join();
}

}  // namespace
}  // namespace gochan::runtime

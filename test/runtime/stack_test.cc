// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/sanitizers.h"
#include "test/util/stacks.h"

#if GOCHAN_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace gochan::runtime {
namespace {

using test::KernelInstallsGuards;
using test::Page;
using test::Use;

constexpr std::size_t kKiB = 1024;
// Sizes of their own, so that a test meets no stacks of another.
constexpr std::size_t kProtectedSize = 2048 * kKiB;
constexpr std::size_t kUnguardedSize = 64 * kKiB;
constexpr std::size_t kInstalledSize = 128 * kKiB;

std::size_t ResidentPages(const Stack& stack) {
  std::vector<unsigned char> resident((stack.size - stack.guard) / Page());
  EXPECT_EQ(mincore(stack.limit(), stack.size - stack.guard, resident.data()),
            0);
  std::size_t pages = 0;
  for (unsigned char page : resident) pages += page & 1;
  return pages;
}

std::size_t Mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

std::vector<Stack> AllocateMany(std::size_t n,
                                std::size_t size = Stack::kDefaultSize) {
  std::vector<Stack> stacks;
  stacks.reserve(n);
  while (stacks.size() < n) stacks.push_back(Stack::Allocate(size));
  return stacks;
}

void FreeAll(const std::vector<Stack>& stacks) {
  for (const Stack& stack : stacks) Stack::Free(stack);
}

// -----------------------------------------------------------------------------
// Layout
// -----------------------------------------------------------------------------

TEST(StackTest, DefaultIs256KiBWithAGuardPage) {
  const Stack stack = Stack::Allocate();
  EXPECT_EQ(stack.size, 256 * kKiB);
  EXPECT_EQ(stack.guard, Page());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(stack.base) % Page(), 0u);
  Use(stack, stack.size - stack.guard);
  Stack::Free(stack);
}

TEST(StackTest, SizesAreRoundedUpToPowersOfTwo) {
  const std::size_t least = std::max(Stack::kMinSize, 4 * Page());
  for (std::size_t wanted :
       {std::size_t{0}, std::size_t{1}, 16 * kKiB, 16 * kKiB + 1, 100 * kKiB,
        256 * kKiB - 1, 256 * kKiB, 1024 * kKiB, 65'000 * kKiB}) {
    const Stack stack = Stack::Allocate(wanted);
    EXPECT_GE(stack.size, std::max(wanted, least));
    EXPECT_LT(stack.size / 2, std::max(wanted, least)) << wanted;
    EXPECT_EQ(stack.size & (stack.size - 1), 0u);
    stack.limit()[0] = 1;
    stack.top()[-1] = 1;
    Stack::Free(stack);
    EXPECT_EQ(Stack::Allocate(wanted).id, stack.id) << "pooled";
    Stack::Free(stack);
  }
}

TEST(StackTest, ReserveTopAligns) {
  const Stack stack = Stack::Allocate();
  for (std::size_t align : {16, 64, 128}) {
    for (std::size_t bytes : {1, 16, 100, 640}) {
      char* const place = static_cast<char*>(stack.ReserveTop(bytes, align));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(place) % align, 0u);
      EXPECT_LE(place + bytes, stack.top());
      EXPECT_GT(place + bytes + align, stack.top());
    }
  }
  Stack::Free(stack);
}

TEST(StackTest, StacksAreDisjoint) {
  const std::vector<Stack> stacks = AllocateMany(300);
  std::set<char*> bases;
  std::set<uint32_t> ids;
  for (const Stack& stack : stacks) {
    EXPECT_TRUE(ids.insert(stack.id).second);
    const auto next = bases.insert(stack.base).first;
    if (next != bases.begin()) {
      EXPECT_GE(stack.base, *std::prev(next) + stack.size);
    }
    if (std::next(next) != bases.end()) {
      EXPECT_LE(stack.top(), *std::next(next));
    }
  }
  FreeAll(stacks);
}

// -----------------------------------------------------------------------------
// The pool
// -----------------------------------------------------------------------------

TEST(StackTest, TheLastOneFreedIsTheNextOneAllocated) {
  const Stack stack = Stack::Allocate();
  Use(stack, 100);
  Stack::Free(stack);
  EXPECT_EQ(Stack::Allocate().id, stack.id);
  Stack::Free(stack);
}

TEST(StackTest, FreedStacksAreReusedBeforeNewOnesAreMade) {
  FreeAll(AllocateMany(500));
  const uint64_t made = GetStackStats().stacks;
  for (int round = 0; round < 10; ++round) FreeAll(AllocateMany(500));
  EXPECT_EQ(GetStackStats().stacks, made);
}

TEST(StackTest, EachStackOfANewSlabIsGivenOut) {
  for (std::size_t size : {Stack::kDefaultSize, 16 * kKiB}) {
    // Until the pool is empty and a slab is made for the last one.
    std::vector<Stack> stacks;
    const uint64_t before = GetStackStats().stacks;
    do {
      stacks.push_back(Stack::Allocate(size));
    } while (GetStackStats().stacks == before);
    const uint64_t made = GetStackStats().stacks;
    for (uint64_t i = 1; i < made - before; ++i) {
      stacks.push_back(Stack::Allocate(size));
    }
    EXPECT_EQ(GetStackStats().stacks, made);
    FreeAll(stacks);
  }
}

TEST(StackTest, AThreadGivesItsCacheBackWhenItEnds) {
  FreeAll(AllocateMany(200));
  const uint64_t made = GetStackStats().stacks;
  std::vector<Stack> stacks;
  std::thread([&stacks] {
    stacks = AllocateMany(168);
    FreeAll(stacks);
  }).join();
  // All 200 or more are within reach of this thread.
  stacks = AllocateMany(200);
  EXPECT_EQ(GetStackStats().stacks, made);
  FreeAll(stacks);
}

TEST(StackTest, AThreadMayFreeWhatItNeverAllocated) {
  const std::vector<Stack> stacks = AllocateMany(100);
  std::thread([&stacks] { FreeAll(stacks); }).join();
  const uint64_t made = GetStackStats().stacks;
  FreeAll(AllocateMany(100));
  EXPECT_EQ(GetStackStats().stacks, made);
}

// Later destructors of thread-local objects may still use the pool.
TEST(StackTest, StacksCanBeUsedWhileAThreadEnds) {
  struct AtExit {
    Stack stack;
    ~AtExit() { Stack::Free(stack); }
  };
  FreeAll(AllocateMany(100));
  const uint64_t made = GetStackStats().stacks;
  for (int i = 0; i < 200; ++i) {
    std::thread([] {
      static pthread_key_t key = [] {
        pthread_key_t k;
        pthread_key_create(&k, [](void* p) {
          Stack::Free(Stack::Allocate());
          delete static_cast<AtExit*>(p);
        });
        return k;
      }();
      pthread_setspecific(key, new AtExit{Stack::Allocate()});
    }).join();
  }
  EXPECT_LE(GetStackStats().stacks, made) << "stacks got lost";
}

// No two threads hold one stack; writes of one owner are visible to the next.
// Stacks are handed to another thread to be freed there.
void Churn(std::size_t size) {
  struct Control {
    Atomic<uint64_t> owner;
    uint64_t plain;  // TSan sees a missing edge here
  };
  constexpr int kThreads = 4;
  constexpr int kHeld = 40;
  constexpr int kRounds = 600;
  Atomic<uint64_t> clashes{0};
  Atomic<Stack*> mailbox{nullptr};
  std::vector<std::thread> threads;
  for (int t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        std::vector<Stack> held;
        for (int i = 0; i < kHeld; ++i) {
          const Stack stack = Stack::Allocate(size);
          auto* const control =
              new (stack.ReserveTop(sizeof(Control), alignof(Control)))
                  Control{};
          // Relaxed: the pool's own edges are what is tested.
          control->owner.store(t, std::memory_order_relaxed);
          control->plain = round;
          held.push_back(stack);
        }
        for (const Stack& stack : held) {
          auto* const control = static_cast<Control*>(
              stack.ReserveTop(sizeof(Control), alignof(Control)));
          if (control->owner.load(std::memory_order_relaxed) !=
              static_cast<uint64_t>(t)) {
            clashes.fetch_add(1, std::memory_order_relaxed);
          }
        }
        auto* const parcel = new Stack(held.back());
        held.pop_back();
        Stack* const received =
            mailbox.exchange(parcel, std::memory_order_acq_rel);
        if (received != nullptr) {
          Stack::Free(*received);
          delete received;
        }
        FreeAll(held);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Stack* const last = mailbox.load(std::memory_order_relaxed);
  Stack::Free(*last);
  delete last;
  EXPECT_EQ(clashes.load(std::memory_order_relaxed), 0u);
}

TEST(StackTest, ManyThreadsShareThePool) {
  const uint64_t made = GetStackStats().stacks;
  Churn(Stack::kDefaultSize);
  // Held, cached, and a slab that each thread may make when it finds nothing.
  EXPECT_LE(GetStackStats().stacks - made, 4u * (40 + 32 + 3 * 64));
}

TEST(StackTest, ManyThreadsShareAnOddSize) { Churn(16 * kKiB); }

// -----------------------------------------------------------------------------
// Memory
// -----------------------------------------------------------------------------

#if !GOCHAN_ASAN  // where every Free() forgets the stack's content

TEST(StackMemoryTest, ShallowUseMakesNoSystemCall) {
  FreeAll(AllocateMany(1000));
  const uint64_t before = GetStackStats().system_calls;
  for (int round = 0; round < 20; ++round) {
    const std::vector<Stack> stacks = AllocateMany(1000);
    for (const Stack& stack : stacks) Use(stack, 3 * kKiB);
    FreeAll(stacks);
  }
  EXPECT_EQ(GetStackStats().system_calls, before);
}

// One about what came into the pool, none if nothing has.
TEST(StackMemoryTest, TrimmingMakesAtMostOneSystemCall) {
  FreeAll(AllocateMany(1000));
  Stack::TrimCache();
  const uint64_t before = GetStackStats().system_calls;
  for (int i = 0; i < 3; ++i) Stack::TrimCache();
  EXPECT_EQ(GetStackStats().system_calls, before);
  FreeAll(AllocateMany(1000));
  for (int i = 0; i < 3; ++i) Stack::TrimCache();
  EXPECT_LE(GetStackStats().system_calls, before + 1);
}

// The first use that goes deeper costs calls, the later ones do not: also if it
// ends on the edge of a page, where the mark is.
TEST(StackMemoryTest, UseOfAFewPagesMakesNoSystemCallInTheLongRun) {
  // The pool is a stack of batches: it is the same thousand every time.
  const auto use = [](std::size_t bytes) {
    const std::vector<Stack> stacks = AllocateMany(1000);
    for (const Stack& stack : stacks) Use(stack, bytes);
    FreeAll(stacks);
  };
  Stack::TrimCache();
  for (std::size_t kib = 1; kib < 16; ++kib) {
    for (int round = 0; round < 2; ++round) use(kib * kKiB);
    const uint64_t settled = GetStackStats().system_calls;
    for (int round = 0; round < 3; ++round) use(kib * kKiB);
    EXPECT_EQ(GetStackStats().system_calls, settled) << kib;
  }
}

TEST(StackMemoryTest, ADeepStackThatIsReusedAtOnceMakesNoSystemCall) {
  Stack stack = Stack::Allocate();
  Use(stack, 200 * kKiB);
  const uint64_t before = GetStackStats().system_calls;
  for (int round = 0; round < 100; ++round) {
    Stack::Free(stack);
    stack = Stack::Allocate();
    Use(stack, 200 * kKiB);
  }
  EXPECT_EQ(GetStackStats().system_calls, before);
  Stack::Free(stack);
  Stack::TrimCache();
}

#endif  // !GOCHAN_ASAN

void ExpectShrunk(int value, std::size_t size) {
  const std::vector<Stack> stacks = AllocateMany(1000, size);
  std::size_t in_use = 0;
  for (const Stack& stack : stacks) {
    Use(stack, 200 * kKiB, value);
    in_use += ResidentPages(stack);
  }
  EXPECT_GE(in_use, 1000 * 200 * kKiB / Page());
  FreeAll(stacks);
  Stack::TrimCache();
  std::size_t pooled = 0;
  for (const Stack& stack : stacks) pooled += ResidentPages(stack);
  EXPECT_LE(pooled, 1000 * std::max(16 * kKiB / Page(), std::size_t{1}));
}

TEST(StackMemoryTest, DeepStacksGiveTheirMemoryBack) {
  ExpectShrunk(0x5a, Stack::kDefaultSize);
}

TEST(StackMemoryTest, DeepStacksFullOfZerosGiveTheirMemoryBack) {
  ExpectShrunk(0, Stack::kDefaultSize);
}

TEST(StackMemoryTest, DeepStacksOfOddSizeGiveTheirMemoryBack) {
  ExpectShrunk(0x5a, 512 * kKiB);
}

TEST(StackMemoryTest, AThreadsCacheKeepsNoDeepStackWhenItEnds) {
  Stack stack;
  std::thread([&stack] {
    stack = Stack::Allocate();
    Use(stack, 200 * kKiB);
    Stack::Free(stack);
  }).join();
  EXPECT_LE(ResidentPages(stack), std::max(16 * kKiB / Page(), std::size_t{1}));
}

// Frames that step over the mark: the owner knows how deep they were, or
// nobody.
TEST(StackMemoryTest, TheOwnersWordCounts) {
  // Twice: saying it again must not undo it.
  for (int times : {1, 2}) {
    Stack stack;
    for (int i = 0; i < times; ++i) {
      stack = Stack::Allocate();
      char* const deepest = stack.top() - 200 * kKiB;
      std::memset(deepest, 1, 100 * kKiB);
      Stack::Free(stack, deepest);
    }
    Stack::TrimCache();
    EXPECT_LE(ResidentPages(stack),
              std::max(16 * kKiB / Page(), std::size_t{1}));
  }
}

#if defined(__linux__) && !GOCHAN_ASAN
// Frames that touch a word in each page, but not the one where the mark is,
// left all of their memory in the pool.
TEST(StackMemoryTest, SparseUseGivesItsMemoryBack) {
  const std::size_t pages = 200 * kKiB / Page();
  // Enough of them beside those that earlier tests have made.
  const std::size_t n = 500 + GetStackStats().stacks / 4;
  const std::vector<Stack> stacks = AllocateMany(n);
  for (const Stack& stack : stacks) {
    for (std::size_t page = 1; page <= pages; ++page) {
      stack.top()[64 - static_cast<std::ptrdiff_t>(page * Page())] = 1;
    }
  }
  FreeAll(stacks);
  Stack::TrimCache();
  std::size_t pooled = 0;
  for (const Stack& stack : stacks) pooled += ResidentPages(stack);
  // What is still in this thread's cache has not been looked at.
  EXPECT_LE(pooled, n * (16 * kKiB / Page() + 1) + 32 * pages);
  // The pool is whole: all of it is given out before a stack is made.
  const uint64_t made = GetStackStats().stacks;
  FreeAll(AllocateMany(n));
  EXPECT_EQ(GetStackStats().stacks, made);
}

// A sweep took the whole pool apart, and who wanted a stack meanwhile made one.
TEST(StackMemoryTest, WhoSweepsDoesNotKeepThePool) {
  constexpr std::size_t kMany = 1000;
  const auto use = [] { FreeAll(AllocateMany(kMany)); };
  use();
  const uint64_t before = GetStackStats().stacks;
  std::atomic<bool> over{false};
  std::thread sweeper([&] {
    // So many faults call for a sweep.
    const std::size_t bytes = 5 * before * Page();
    for (int i = 0; i < 10; ++i) {
      void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) std::abort();
      for (std::size_t at = 0; at < bytes; at += Page()) {
        static_cast<volatile char*>(memory)[at] = 1;
      }
      munmap(memory, bytes);
      Stack::TrimCache();
    }
    over = true;
  });
  while (!over) use();
  sweeper.join();
  // A batch may be in its hands.
  EXPECT_LE(GetStackStats().stacks, before + 2 * 64);
}
#endif

TEST(StackMemoryTest, ABlockedGoroutineCostsOnePage) {
  // Many, so that fresh ones are among them; those have touched one page.
  const uint64_t made = GetStackStats().stacks;
  const std::vector<Stack> stacks = AllocateMany(made + 640);
  std::size_t one_page = 0;
  for (const Stack& stack : stacks) {
    std::memset(stack.ReserveTop(640, 64), 1, 640);
    Use(stack, 3 * kKiB);
    one_page += ResidentPages(stack) == 1;
  }
  EXPECT_GE(one_page, 640u);
  FreeAll(stacks);
}

#if defined(__cpp_exceptions) && !GOCHAN_ASAN && !GOCHAN_TSAN
// The sanitizers need address space of their own.
TEST(StackDeathTest, RunningOutThrowsAndBreaksNothing) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto run = [] {
    Stack::Free(Stack::Allocate());
    const rlimit limit{rlim_t{1} << 30, rlim_t{1} << 30};
    setrlimit(RLIMIT_AS, &limit);
    std::vector<Stack> stacks;
    stacks.reserve(20'000);  // beforehand: later there is no memory left
    std::vector<std::size_t> sizes;
    sizes.reserve(20'000);
    for (std::size_t size : {Stack::kDefaultSize, 64 * kKiB}) {
      try {
        while (stacks.size() < stacks.capacity()) {
          stacks.push_back(Stack::Allocate(size));
          Use(stacks.back(), 100);
        }
        _exit(1);
      } catch (const std::bad_alloc&) {
      }
    }
    try {
      Stack::Allocate(std::size_t{1} << 50);
      _exit(2);
    } catch (const std::bad_alloc&) {
    }
    if (stacks.size() < 2000) _exit(3);  // most of 1 GiB
    // Twice all of them: those that were freed are there again, no more.
    for (int round = 0; round < 2; ++round) {
      const std::size_t had = stacks.size();
      sizes.clear();
      for (const Stack& stack : stacks) sizes.push_back(stack.size);
      FreeAll(stacks);
      stacks.clear();
      for (std::size_t size : sizes) stacks.push_back(Stack::Allocate(size));
      if (stacks.size() != had) _exit(4);
    }
    _exit(0);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}
#endif

// -----------------------------------------------------------------------------
// Guards
// -----------------------------------------------------------------------------

TEST(StackGuardTest, FindGuardKnowsGuardsOnly) {
  const std::vector<Stack> stacks = AllocateMany(130);
  for (const Stack& stack : stacks) {
    Stack found;
    ASSERT_GT(stack.guard, 0u);
    EXPECT_TRUE(stack_internal::FindGuard(stack.base, &found));
    EXPECT_EQ(found.id, stack.id);
    EXPECT_EQ(found.base, stack.base);
    EXPECT_TRUE(stack_internal::FindGuard(stack.limit() - 1, &found));
    EXPECT_FALSE(stack_internal::FindGuard(stack.limit(), &found));
    EXPECT_FALSE(stack_internal::FindGuard(stack.top() - 1, &found));
  }
  Stack found;
  EXPECT_FALSE(stack_internal::FindGuard(nullptr, &found));
  EXPECT_FALSE(stack_internal::FindGuard(&found, &found));
  FreeAll(stacks);
}

#if defined(__linux__)
TEST(StackGuardTest, InstalledGuardsCostNoMappings) {
  if (!KernelInstallsGuards()) GTEST_SKIP() << "not on this kernel";
  stack_internal::ForceGuardForTest(StackGuard::kInstall);
  const std::size_t before = Mappings();
  const uint64_t unguarded = GetStackStats().unguarded;
  const std::vector<Stack> stacks = AllocateMany(20'000, kInstalledSize);
  // TSan maps shadow for each slab.
  EXPECT_LE(Mappings(), before + (GOCHAN_TSAN ? 1000 : 100));
  EXPECT_EQ(GetStackStats().unguarded, unguarded);
  FreeAll(stacks);
}
#endif

TEST(StackGuardTest, ProtectedGuardsKeepToTheirBudget) {
  static bool ran = false;
  if (ran) GTEST_SKIP() << "the message comes once per process";
  ran = true;
  stack_internal::ForceGuardForTest(StackGuard::kProtect, 2 * 100);
  testing::internal::CaptureStderr();
  const uint64_t before = GetStackStats().unguarded;
  const std::vector<Stack> stacks = AllocateMany(300, kProtectedSize);
  const std::string said = testing::internal::GetCapturedStderr();
  const std::size_t first = said.find("without guard pages");
  EXPECT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("without guard pages", first + 1), std::string::npos)
      << "said once only";
  std::size_t guarded = 0;
  Stack found;
  for (const Stack& stack : stacks) {
    guarded += stack.guard != 0;
    EXPECT_EQ(stack_internal::FindGuard(stack.base, &found), stack.guard != 0);
    stack.limit()[0] = 1;
  }
  EXPECT_EQ(guarded, 100u);
  EXPECT_GE(GetStackStats().unguarded, before + 200);
  FreeAll(stacks);
  stack_internal::ForceGuardForTest(StackGuard::kInstall);
}

TEST(StackGuardTest, NoneOnRequest) {
  stack_internal::ForceGuardForTest(StackGuard::kNone);
  const Stack stack = Stack::Allocate(kUnguardedSize);
  EXPECT_EQ(stack.guard, 0u);
  stack.base[0] = 1;
  Stack::Free(stack);
  stack_internal::ForceGuardForTest(StackGuard::kInstall);
}

// -----------------------------------------------------------------------------
// AddressSanitizer and LeakSanitizer
// -----------------------------------------------------------------------------

#if GOCHAN_ASAN

TEST(StackAsanTest, PooledStacksArePoisonedReusedOnesAreNot) {
  for (std::size_t size : {Stack::kDefaultSize, 16 * kKiB}) {
    const Stack stack = Stack::Allocate(size);
    // As the red zones of frames that were left by a switch, not by a return.
    ASAN_POISON_MEMORY_REGION(stack.top() - 1024, 512);
    Stack::Free(stack);
    EXPECT_TRUE(__asan_address_is_poisoned(stack.top() - 1));
    EXPECT_TRUE(__asan_address_is_poisoned(stack.limit()));
    ASSERT_EQ(Stack::Allocate(size).id, stack.id);
    EXPECT_EQ(
        __asan_region_is_poisoned(stack.limit(), stack.size - stack.guard),
        nullptr);
    Stack::Free(stack);
  }
}

TEST(StackAsanDeathTest, StacksInUseAreRootsAndPooledOnesAreNot) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const char* const options = std::getenv("ASAN_OPTIONS");
  if (options != nullptr && std::strstr(options, "detect_leaks=0") != nullptr) {
    GTEST_SKIP() << "the search for leaks is off";
  }
  const auto run = [] {
    const Stack stack = Stack::Allocate();
    auto** const slot = static_cast<void**>(stack.ReserveTop(64, 64));
    // Another thread: nothing stays behind in this one's registers and frames.
    std::thread([slot] { *slot = std::malloc(1234); }).join();
    const int in_use = __lsan_do_recoverable_leak_check();
    Stack::Free(stack);
    const int pooled = __lsan_do_recoverable_leak_check();
    _exit(in_use == 0 && pooled != 0 ? 6 : 1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(6), "leak of 1234 byte");
}

#endif  // GOCHAN_ASAN

}  // namespace
}  // namespace gochan::runtime

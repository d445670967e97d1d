// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The context switch and what goes with it (exception state, sanitizers,
// thread-locals), for all the implementations that the target has.

#include "runtime/switch.h"

#include <alloca.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/eh_globals.h"
#include "runtime/fiber_sanitizers.h"
#include "runtime/sanitizers.h"
#include "runtime/thread_local.h"

namespace gochan::runtime {
namespace {

void* Word(intptr_t value) { return reinterpret_cast<void*>(value); }
intptr_t Number(void* word) { return reinterpret_cast<intptr_t>(word); }

class Stack {
 public:
  Stack() {
    void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin_ = memory;
  }
  ~Stack() { munmap(begin_, kBytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void* begin() const { return begin_; }
  std::size_t bytes() const { return kBytes; }
  bool Contains(const void* address) const {
    return reinterpret_cast<uintptr_t>(address) -
               reinterpret_cast<uintptr_t>(begin_) <
           kBytes;
  }

 private:
  static constexpr std::size_t kBytes = 256 * 1024;
  void* begin_;
};

// Whoever resumes fibers. Made on the stack that does.
struct Home {
  // A thread.
  Home() : annotations(own) { own.AdoptThread(); }
  // A fiber that has these annotations.
  explicit Home(FiberAnnotations& fiber) : annotations(fiber) {}

  Context context;
  EhGlobals& thread_globals = *ThreadEhGlobals();
  EhGlobals globals;
  FiberAnnotations own;
  FiberAnnotations& annotations;
};

// A function on a stack of its own, put together as a scheduler will do it.
template <typename Switch>
class Fiber {
 public:
  using Body = std::function<void(Fiber& self, void* carried)>;

  explicit Fiber(Body body) : Fiber(std::move(body), nullptr) {}
  Fiber(Body body, Stack& stack) : Fiber(std::move(body), &stack) {}
  ~Fiber() {
    EXPECT_TRUE(ended_);
    annotations_.EndFiber();
  }

  // On `home`'s thread. Returns what the fiber carried when it suspended or
  // ended.
  [[gnu::always_inline]] void* Resume(Home& home, void* carried = nullptr) {
    home_ = &home;
    SwitchEhGlobals(home.thread_globals, home.globals, globals_);
    home.annotations.Leave(annotations_);
    void* const result = Switch::Switch(home.context, context_, carried);
    home.annotations.Arrive();
    return result;
  }

  // In the fiber: back to whoever resumed it.
  [[gnu::always_inline]] void* Suspend(void* carried = nullptr) {
    Home& home = *home_;
    SwitchEhGlobals(home.thread_globals, globals_, home.globals);
    annotations_.Leave(home.annotations);
    void* const result = Switch::Switch(context_, home.context, carried);
    annotations_.Arrive();
    return result;
  }

  // In the fiber, from any depth: the frames that are left are forgotten.
  [[noreturn]] void End(void* carried = nullptr) {
    ended_ = true;
    Home& home = *home_;
    SwitchEhGlobals(home.thread_globals, globals_, home.globals);
    annotations_.LeaveForever(home.annotations);
    Switch::Switch(context_, home.context, carried);
    std::abort();
  }

  bool ended() const { return ended_; }
  FiberAnnotations& annotations() { return annotations_; }
  const Stack& stack() const { return *stack_; }

 private:
  Fiber(Body body, Stack* stack)
      : body_(std::move(body)), stack_(stack != nullptr ? stack : &own_stack_) {
    annotations_.BeginFiber(stack_->begin(), stack_->bytes());
    Switch::Make(context_, stack_->begin(), stack_->bytes(), &Run, this);
  }

  static void Run(void* arg, void* carried) {
    auto* const self = static_cast<Fiber*>(arg);
    self->annotations_.Arrive();
    self->body_(*self, carried);
    self->End();
  }

  Body body_;
  Stack own_stack_;
  Stack* stack_;
  Context context_;
  EhGlobals globals_;
  FiberAnnotations annotations_;
  Home* home_ = nullptr;
  bool ended_ = false;
};

template <typename Switch>
class SwitchTest : public testing::Test {};

#if GOCHAN_SWITCH_ASSEMBLY
using Implementations =
    testing::Types<InlineSwitch, AssemblySwitch, UcontextSwitch>;
#else
using Implementations = testing::Types<UcontextSwitch>;
#endif

struct ImplementationNames {
  template <typename Switch>
  static std::string GetName(int) {
#if GOCHAN_SWITCH_ASSEMBLY
    if (std::is_same_v<Switch, InlineSwitch>) return "Inline";
    if (std::is_same_v<Switch, AssemblySwitch>) return "Assembly";
#endif
    return "Ucontext";
  }
};

TYPED_TEST_SUITE(SwitchTest, Implementations, ImplementationNames);

// Two threads take turns.
class Turns {
 public:
  void Await(int me) const {
    while (turn_.load(std::memory_order_acquire) != me) {
      std::this_thread::yield();
    }
  }
  void Give(int next) { turn_.store(next, std::memory_order_release); }

 private:
  std::atomic<int> turn_{0};
};

// Resumes `fiber` on two threads in turn until it ends. `around`, if any, makes
// the call; it is told on which thread.
template <typename Switch>
void RunOnTwoThreads(
    Fiber<Switch>& fiber,
    const std::function<void(int, const std::function<void()>&)>& around =
        [](int, const std::function<void()>& resume) { resume(); }) {
  Turns turns;
  auto run = [&](int me) {
    Home home;
    for (;;) {
      turns.Await(me);
      const bool ended = fiber.ended();
      if (!ended) around(me, [&] { fiber.Resume(home, Word(me)); });
      turns.Give(1 - me);
      if (ended) return;
    }
  };
  std::thread other(run, 1);
  run(0);
  other.join();
}

// -----------------------------------------------------------------------------
// Control and values
// -----------------------------------------------------------------------------

TYPED_TEST(SwitchTest, CarriesAWordBothWays) {
  Home home;
  Fiber<TypeParam> fiber([](Fiber<TypeParam>& self, void* carried) {
    EXPECT_EQ(Number(carried), 1);
    EXPECT_EQ(Number(self.Suspend(Word(2))), 3);
    EXPECT_EQ(Number(self.Suspend(Word(-4))), 5);
    self.End(Word(6));
  });
  EXPECT_EQ(Number(fiber.Resume(home, Word(1))), 2);
  EXPECT_EQ(Number(fiber.Resume(home, Word(3))), -4);
  EXPECT_FALSE(fiber.ended());
  EXPECT_EQ(Number(fiber.Resume(home, Word(5))), 6);
  EXPECT_TRUE(fiber.ended());
}

TYPED_TEST(SwitchTest, RunsOnTheGivenStackWithAnAlignedFrame) {
  struct Seen {
    Context main;
    Context fiber;
    FiberAnnotations main_annotations;
    FiberAnnotations fiber_annotations;
    void* carried = nullptr;
    void* frame = nullptr;
    double sum = 0;
  };
  // The end of a stack need not be aligned.
  for (std::size_t odd = 0; odd < 16; odd += 8) {
    Stack stack;
    Seen seen;
    seen.main_annotations.AdoptThread();
    seen.fiber_annotations.BeginFiber(stack.begin(), stack.bytes() - odd);
    TypeParam::Make(
        seen.fiber, stack.begin(), stack.bytes() - odd,
        [](void* arg, void* carried) {
          auto* const s = static_cast<Seen*>(arg);
          s->fiber_annotations.Arrive();
          s->carried = carried;
          s->frame = __builtin_frame_address(0);
          // Aligned vector stores, if the compiler makes any, fault otherwise.
          alignas(16) volatile double numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
          for (const volatile double& number : numbers) s->sum += number;
          EXPECT_EQ(reinterpret_cast<uintptr_t>(&numbers) % 16, 0u);
          s->fiber_annotations.LeaveForever(s->main_annotations);
          TypeParam::Switch(s->fiber, s->main, nullptr);
        },
        &seen);
    seen.main_annotations.Leave(seen.fiber_annotations);
    TypeParam::Switch(seen.main, seen.fiber, &stack);
    seen.main_annotations.Arrive();
    seen.fiber_annotations.EndFiber();
    EXPECT_EQ(seen.carried, &stack);
    EXPECT_EQ(seen.sum, 36);
    EXPECT_TRUE(stack.Contains(seen.frame));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(seen.frame) % 16, 0u);
  }
}

TYPED_TEST(SwitchTest, SwitchingToOneselfIsANoOp) {
  Context self;
  for (intptr_t i = 0; i < 100; ++i) {
    EXPECT_EQ(Number(TypeParam::Switch(self, self, Word(i))), i);
  }
}

TYPED_TEST(SwitchTest, AMillionSwitches) {
  constexpr intptr_t kRounds = 500'000;  // two switches each
  Home home;
  Fiber<TypeParam> fiber([](Fiber<TypeParam>& self, void* carried) {
    while (Number(carried) >= 0) carried = self.Suspend(Word(~Number(carried)));
  });
  intptr_t wrong = 0;
  for (intptr_t i = 0; i < kRounds; ++i) {
    wrong += Number(fiber.Resume(home, Word(i))) != ~i;
  }
  fiber.Resume(home, Word(-1));
  EXPECT_EQ(wrong, 0);
}

TYPED_TEST(SwitchTest, ManyFibersInTurn) {
  Home home;
  std::vector<std::unique_ptr<Fiber<TypeParam>>> fibers;
  int sum = 0;
  for (int i = 0; i < 100; ++i) {
    fibers.push_back(std::make_unique<Fiber<TypeParam>>(
        [i, &sum](Fiber<TypeParam>& self, void*) {
          for (int round = 0; round < 10; ++round) {
            sum += i;
            self.Suspend();
          }
        }));
  }
  for (int round = 0; round < 11; ++round) {
    for (auto& fiber : fibers) fiber->Resume(home);
  }
  EXPECT_EQ(sum, 10 * 99 * 100 / 2);
}

// A fiber may resume another: to that one it is what a thread is.
TYPED_TEST(SwitchTest, FibersResumeFibers) {
  Home home;
  std::vector<int> order;
  Fiber<TypeParam> inner([&](Fiber<TypeParam>& self, void*) {
    order.push_back(2);
    self.Suspend();
    order.push_back(4);
  });
  Fiber<TypeParam> outer([&](Fiber<TypeParam>& self, void*) {
    order.push_back(1);
    Home here(self.annotations());
    inner.Resume(here);
    order.push_back(3);
    self.Suspend();
    inner.Resume(here);
    order.push_back(5);
  });
  outer.Resume(home);
  outer.Resume(home);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5}));
}

#if GOCHAN_SWITCH_ASSEMBLY
TEST(SwitchTest, InlineAndFunctionResumeEachOther) {
  struct Both {
    Context main;
    Context fiber;
    FiberAnnotations main_annotations;
    FiberAnnotations fiber_annotations;
  };
  Stack stack;
  Both both;
  both.main_annotations.AdoptThread();
  both.fiber_annotations.BeginFiber(stack.begin(), stack.bytes());
  InlineSwitch::Make(
      both.fiber, stack.begin(), stack.bytes(),
      [](void* arg, void* carried) {
        auto* const b = static_cast<Both*>(arg);
        b->fiber_annotations.Arrive();
        for (int i = 0;; ++i) {
          b->fiber_annotations.Leave(b->main_annotations);
          carried = i % 2 == 0
                        ? InlineSwitch::Switch(b->fiber, b->main, carried)
                        : AssemblySwitch::Switch(b->fiber, b->main, carried);
          b->fiber_annotations.Arrive();
        }
      },
      &both);
  for (intptr_t i = 0; i < 12; ++i) {
    both.main_annotations.Leave(both.fiber_annotations);
    void* const back =
        i % 3 == 0 ? InlineSwitch::Switch(both.main, both.fiber, Word(i))
                   : AssemblySwitch::Switch(both.main, both.fiber, Word(i));
    both.main_annotations.Arrive();
    EXPECT_EQ(Number(back), i);
  }
  both.fiber_annotations.EndFiber();
}
#endif

TEST(SwitchTest, TheDefaultIsWhatTheMacroSays) {
  Stack stack;
  struct Two {
    Context main, fiber;
    FiberAnnotations main_annotations, fiber_annotations;
  } two;
  two.main_annotations.AdoptThread();
  two.fiber_annotations.BeginFiber(stack.begin(), stack.bytes());
  MakeContext(
      two.fiber, stack.begin(), stack.bytes(),
      [](void* arg, void* carried) {
        auto* const t = static_cast<Two*>(arg);
        t->fiber_annotations.Arrive();
        t->fiber_annotations.LeaveForever(t->main_annotations);
        SwitchContext(t->fiber, t->main, carried);
      },
      &two);
  two.main_annotations.Leave(two.fiber_annotations);
  EXPECT_EQ(Number(SwitchContext(two.main, two.fiber, Word(7))), 7);
  two.main_annotations.Arrive();
  two.fiber_annotations.EndFiber();
#if GOCHAN_FORCE_SWITCH == 1
  EXPECT_TRUE((std::is_same_v<DefaultSwitch, InlineSwitch>));
#elif GOCHAN_FORCE_SWITCH == 2
  EXPECT_TRUE((std::is_same_v<DefaultSwitch, AssemblySwitch>));
#elif GOCHAN_FORCE_SWITCH == 3
  EXPECT_TRUE((std::is_same_v<DefaultSwitch, UcontextSwitch>));
#endif
}

// -----------------------------------------------------------------------------
// Registers
// -----------------------------------------------------------------------------

// More live values of each kind than there are registers, all unknown to the
// compiler, across a switch in the same frame. `seed` differs on the two sides,
// so that each spoils what the other would have left in registers.
template <typename Real, typename Swap>
[[gnu::always_inline]] inline Real Juggle(volatile Real* seed, Swap swap) {
  Real a0 = seed[0], a1 = seed[1], a2 = seed[2], a3 = seed[3], a4 = seed[4];
  Real a5 = seed[5], a6 = seed[6], a7 = seed[7], a8 = seed[8], a9 = seed[9];
  Real b0 = a0 * 3, b1 = a1 * 5, b2 = a2 * 7, b3 = a3 * 9, b4 = a4 * 11;
  Real b5 = a5 * 3, b6 = a6 * 5, b7 = a7 * 7, b8 = a8 * 9, b9 = a9 * 11;
  Real c0 = b0 + a9, c1 = b1 + a8, c2 = b2 + a7, c3 = b3 + a6, c4 = b4 + a5;
  Real c5 = b5 + a4, c6 = b6 + a3, c7 = b7 + a2, c8 = b8 + a1, c9 = b9 + a0;
  Real d0 = c0 - b9, d1 = c1 - b8, d2 = c2 - b7, d3 = c3 - b6, d4 = c4 - b5;
  swap();
  Real sum = 0;
  for (Real x :
       {a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7,
        b8, b9, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, d0, d1, d2, d3, d4}) {
    sum = sum * 2 + x;
  }
  return sum;
}

template <typename Switch, typename Real>
[[gnu::noinline]] void RegistersSurvive() {
  Home home;
  auto nothing = [] {};
  volatile Real theirs[10];
  volatile Real ours[10];
  for (int i = 0; i < 10; ++i) {
    theirs[i] = static_cast<Real>(i + 1);
    ours[i] = static_cast<Real>(100 - i);
  }
  Fiber<Switch> fiber([&](Fiber<Switch>& self, void*) {
    const Real expected = Juggle<Real>(theirs, nothing);
    for (int round = 0; round < 1000; ++round) {
      const Real got = Juggle<Real>(theirs, [&] { self.Suspend(); });
      EXPECT_EQ(got, expected);
    }
  });
  const Real expected = Juggle<Real>(ours, nothing);
  while (!fiber.ended()) {
    const Real got = Juggle<Real>(ours, [&] { fiber.Resume(home); });
    EXPECT_EQ(got, expected);
  }
}

TYPED_TEST(SwitchTest, IntegersSurvive) {
  RegistersSurvive<TypeParam, uint64_t>();
}
TYPED_TEST(SwitchTest, FloatsSurvive) { RegistersSurvive<TypeParam, float>(); }
TYPED_TEST(SwitchTest, DoublesSurvive) {
  RegistersSurvive<TypeParam, double>();
}
// The x87 stack, where there is one.
TYPED_TEST(SwitchTest, LongDoublesSurvive) {
  RegistersSurvive<TypeParam, long double>();
}

// Vectors as wide as the target's.
template <typename Switch>
[[gnu::noinline]] void VectorsSurvive() {
  constexpr int kCount = 512;
  Home home;
  auto work = [](const double* in, double* out, auto swap) {
    double held[kCount / 8];
    for (int i = 0; i < kCount / 8; ++i) held[i] = in[i] * 3 + 1;
    swap();
    for (int i = 0; i < kCount; ++i)
      out[i] = in[i] * 2 + held[i % (kCount / 8)];
  };
  std::vector<double> ours(kCount), theirs(kCount);
  for (int i = 0; i < kCount; ++i) {
    ours[i] = i;
    theirs[i] = -i * 0.5;
  }
  auto expect = [](const std::vector<double>& in,
                   const std::vector<double>& out) {
    for (int i = 0; i < kCount; ++i) {
      ASSERT_EQ(out[i], in[i] * 2 + (in[i % (kCount / 8)] * 3 + 1));
    }
  };
  Fiber<Switch> fiber([&](Fiber<Switch>& self, void*) {
    std::vector<double> out(kCount);
    for (int round = 0; round < 20; ++round) {
      work(theirs.data(), out.data(), [&] { self.Suspend(); });
      expect(theirs, out);
    }
  });
  std::vector<double> out(kCount);
  while (!fiber.ended()) {
    work(ours.data(), out.data(), [&] { fiber.Resume(home); });
    expect(ours, out);
  }
}

TYPED_TEST(SwitchTest, VectorsSurvive) { VectorsSurvive<TypeParam>(); }

#if defined(__x86_64__)
// A function compiled for more than the file is. With AVX-512 a compiler likes
// to keep values in registers 16 to 31 and comparisons in mask registers.
using Wide = double __attribute__((vector_size(64), aligned(8)));

template <typename Switch>
[[gnu::noinline, gnu::target("avx512f,avx512dq,avx512vl,avx512bw")]]
bool WideRegistersSurvive(Context& from, const Context& to,
                          FiberAnnotations& from_annotations,
                          const FiberAnnotations& to_annotations,
                          const double* in) {
  Wide v[24];
  Wide less[4];
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    std::memcpy(&v[i], in + i, sizeof(Wide));
    v[i] = v[i] * 3.0 + in[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) less[i] = v[i] < v[i + 4] ? v[i + 8] : v[i + 12];
  from_annotations.Leave(to_annotations);
  Switch::Switch(from, to, nullptr);
  from_annotations.Arrive();
  bool same = true;
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    Wide again;
    std::memcpy(&again, in + i, sizeof(Wide));
    again = again * 3.0 + in[i];
    for (int j = 0; j < 8; ++j) same = same && again[j] == v[i][j];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    Wide again = v[i] < v[i + 4] ? v[i + 8] : v[i + 12];
    for (int j = 0; j < 8; ++j) same = same && again[j] == less[i][j];
  }
  return same;
}

TYPED_TEST(SwitchTest, WideRegistersSurvive) {
#if !defined(__clang__) && !defined(__AVX512F__)
  if (std::is_same_v<TypeParam, InlineSwitch>) {
    GTEST_SKIP() << "GCC does not let the switch name these registers";
  }
#endif
  if (!__builtin_cpu_supports("avx512f") ||
      !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512bw")) {
    GTEST_SKIP() << "no AVX-512 here";
  }
  struct Two {
    Context main, fiber;
    FiberAnnotations main_annotations, fiber_annotations;
    double theirs[32];
    bool same = true;
  } two;
  double ours[32];
  for (int i = 0; i < 32; ++i) {
    two.theirs[i] = i * 1.5;
    ours[i] = 77 - i;
  }
  Stack stack;
  two.main_annotations.AdoptThread();
  two.fiber_annotations.BeginFiber(stack.begin(), stack.bytes());
  TypeParam::Make(
      two.fiber, stack.begin(), stack.bytes(),
      [](void* arg, void*) {
        auto* const t = static_cast<Two*>(arg);
        t->fiber_annotations.Arrive();
        for (;;) {
          const bool same = WideRegistersSurvive<TypeParam>(
              t->fiber, t->main, t->fiber_annotations, t->main_annotations,
              t->theirs);
          t->same = t->same && same;
        }
      },
      &two);
  for (int round = 0; round < 100; ++round) {
    EXPECT_TRUE(WideRegistersSurvive<TypeParam>(two.main, two.fiber,
                                                two.main_annotations,
                                                two.fiber_annotations, ours));
  }
  EXPECT_TRUE(two.same);
  two.fiber_annotations.EndFiber();
}
#endif  // __x86_64__

// A frame that is both over-aligned and of unknown size: what is in it is
// addressed from a third register, which the assembly cannot name as changed.
template <typename Swap>
[[gnu::noinline]] void AwkwardFrame(std::size_t bytes, int value, Swap swap) {
  alignas(128) volatile int aligned[32];
  auto* const dynamic = static_cast<volatile unsigned char*>(alloca(bytes));
  for (std::size_t i = 0; i < bytes; ++i) {
    dynamic[i] = static_cast<unsigned char>(value + i);
  }
  for (int i = 0; i < 32; ++i) aligned[i] = value * i;
  swap();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&aligned) % 128, 0u);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(aligned[i], value * i);
  for (std::size_t i = 0; i < bytes; ++i) {
    EXPECT_EQ(dynamic[i], static_cast<unsigned char>(value + i));
  }
}

TYPED_TEST(SwitchTest, AwkwardFramesSurvive) {
  Home home;
  Fiber<TypeParam> fiber([](Fiber<TypeParam>& self, void*) {
    for (int round = 0; round < 100; ++round) {
      AwkwardFrame(100 + round, round, [&] { self.Suspend(); });
    }
  });
  for (int round = 0; !fiber.ended(); ++round) {
    AwkwardFrame(300 - round, -round, [&] { fiber.Resume(home); });
  }
}

// A signal may come at each instruction of a switch, on either stack, and must
// not find anything of ours below the stack pointer.
TYPED_TEST(SwitchTest, SignalsDuringSwitches) {
#if GOCHAN_TSAN
  GTEST_SKIP() << "ThreadSanitizer defers signals to the next system call";
#endif
  static volatile sig_atomic_t signals;
  signals = 0;
  struct sigaction action = {};
  struct sigaction old_action;
  action.sa_handler = [](int) {
    volatile char spoil[2048];
    for (volatile char& c : spoil) c = 0x55;
    signals = signals + 1;
  };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGALRM, &action, &old_action), 0);
  itimerval period = {{0, 200}, {0, 200}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &period, nullptr), 0);
  Home home;
  Fiber<TypeParam> fiber([](Fiber<TypeParam>& self, void* carried) {
    while (Number(carried) >= 0) carried = self.Suspend(carried);
  });
  intptr_t wrong = 0;
  for (intptr_t i = 0; signals < 100; ++i) {
    wrong += Number(fiber.Resume(home, Word(i))) != i;
  }
  period = {};
  setitimer(ITIMER_REAL, &period, nullptr);
  sigaction(SIGALRM, &old_action, nullptr);
  fiber.Resume(home, Word(-1));
  EXPECT_EQ(wrong, 0);
}

// -----------------------------------------------------------------------------
// Threads
// -----------------------------------------------------------------------------

struct ThreadNumberTag {};
using ThreadNumber = ThreadLocal<ThreadNumberTag, int>;

// Where other processes compute on all processors a hop takes a millisecond.
TYPED_TEST(SwitchTest, MigratesBetweenThreads) {
  constexpr int kHops = 100'000;
  const auto enough =
      std::chrono::steady_clock::now() + std::chrono::seconds(2);
  int hops = 0;
  intptr_t wrong = 0;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void* carried) {
    std::array<int, 16> local{};
    for (; hops < kHops; ++hops) {
      if (hops >= 100 && std::chrono::steady_clock::now() > enough) break;
      wrong += Number(carried) != hops % 2;
      local[hops % 16] += 1;
      carried = self.Suspend();
    }
    int sum = 0;
    for (int l : local) sum += l;
    EXPECT_EQ(sum, hops);
  });
  RunOnTwoThreads(fiber);
  EXPECT_GE(hops, 100);
  EXPECT_EQ(wrong, 0);
}

// With the address kept from before the switch, the fiber would go on using the
// first thread's variable. Straight-line code, where a compiler that may keep
// an address does: this fails with thread_locals that are accessed in place, if
// they are addressed at all (position-independent code, AArch64).
TYPED_TEST(SwitchTest, ThreadLocalsAreTheNewThreads) {
  constexpr int kRounds = 500;
  int wrong = 0;
  int set = 0;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    for (int i = 0; i < kRounds; ++i) {
      const int first = ThreadNumber::Get();
      ThreadNumber::Set(set = 200 + i);
      const intptr_t carried = Number(self.Suspend());
      const int second = ThreadNumber::Get();
      ThreadNumber::Set(set = 300 + i);
      wrong += first != 100 + 1 - carried;
      wrong += second != 100 + carried;
      self.Suspend();
    }
  });
  RunOnTwoThreads(fiber, [&](int me, const std::function<void()>& resume) {
    ThreadNumber::Set(100 + me);
    set = 100 + me;
    resume();
    wrong += ThreadNumber::Get() != set;
  });
  EXPECT_EQ(wrong, 0);
}

TYPED_TEST(SwitchTest, ExceptionStateIsTheThreadsOwn) {
  std::array<EhGlobals*, 2> seen{};
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    seen[0] = ThreadEhGlobals();
    self.Suspend();
    seen[1] = ThreadEhGlobals();
  });
  RunOnTwoThreads(fiber);
  EXPECT_NE(seen[0], nullptr);
  EXPECT_NE(seen[0], seen[1]);
}

// -----------------------------------------------------------------------------
// Life on a stack
// -----------------------------------------------------------------------------

// Frames from which nobody returned are left on a stack that is used again, and
// the next life, on another thread, lays its frames out differently.
TYPED_TEST(SwitchTest, StacksAreUsedAgain) {
  struct Frames {
    [[gnu::noinline]] static void Dive(int depth, std::size_t bytes,
                                       const std::function<void()>& bottom) {
      char local[40];
      auto* const dynamic = static_cast<volatile char*>(alloca(bytes));
      for (std::size_t i = 0; i < bytes; ++i) dynamic[i] = 1;
      if (depth == 0) {
        bottom();
      } else {
        Dive(depth - 1, bytes, bottom);
      }
      __asm__ __volatile__("" : : "r"(local) : "memory");
    }
  };
  Stack stack;
  Turns turns;
  constexpr int kLives = 100;
  auto live = [&](int me) {
    Home home;
    for (int i = me; i < kLives; i += 2) {
      turns.Await(me);
      {
        Fiber<TypeParam> fiber(
            [i](Fiber<TypeParam>& self, void*) {
              Frames::Dive(i % 7, 8 + i * 5, [&self] {
                self.Suspend();
                self.End();
              });
            },
            stack);
        fiber.Resume(home);
        fiber.Resume(home);
      }
      turns.Give(1 - me);
    }
  };
  std::thread other(live, 1);
  live(0);
  other.join();
}

struct Frames {
  std::vector<uintptr_t> pcs;
  static _Unwind_Reason_Code Visit(_Unwind_Context* context, void* arg) {
    auto* const frames = static_cast<Frames*>(arg);
    frames->pcs.push_back(_Unwind_GetIP(context));
    return frames->pcs.size() < 200 ? _URC_NO_REASON : _URC_NORMAL_STOP;
  }
};

TYPED_TEST(SwitchTest, UnwindingEndsAtTheBottom) {
  Home home;
  Frames frames;
  _Unwind_Reason_Code reason = _URC_NO_REASON;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    self.Suspend();
    reason = _Unwind_Backtrace(&Frames::Visit, &frames);
  });
  fiber.Resume(home);
  fiber.Resume(home);
  EXPECT_EQ(reason, _URC_END_OF_STACK);
  ASSERT_GE(frames.pcs.size(), 3u);
  EXPECT_LT(frames.pcs.size(), 30u);
  // Some unwinders report the end as one more frame, at address 0.
  if (frames.pcs.back() == 0) frames.pcs.pop_back();
#if GOCHAN_SWITCH_ASSEMBLY
  if (!std::is_same_v<TypeParam, UcontextSwitch>) {
    const uintptr_t bottom = reinterpret_cast<uintptr_t>(&gochan_context_entry);
    EXPECT_GT(frames.pcs.back(), bottom);
    EXPECT_LT(frames.pcs.back(), bottom + 48);
  }
#endif
}

// Those who follow frame pointers stop as well.
#if GOCHAN_SWITCH_ASSEMBLY && !defined(__OPTIMIZE__)
TYPED_TEST(SwitchTest, FramePointersEndInZero) {
  Home home;
  int frames = 0;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    void** fp = static_cast<void**>(__builtin_frame_address(0));
    while (fp != nullptr && frames < 100 && self.stack().Contains(fp)) {
      ++frames;
      fp = static_cast<void**>(*fp);
    }
    if (!std::is_same_v<TypeParam, UcontextSwitch>) {
      EXPECT_EQ(fp, nullptr);
    }
  });
  fiber.Resume(home);
  EXPECT_GE(frames, 2);
  EXPECT_LT(frames, 100);
}
#endif

template <typename Switch>
void RunRaw(ContextEntry entry) {
  Stack stack;
  Context main, fiber;
  Switch::Make(fiber, stack.begin(), stack.bytes(), entry, nullptr);
  Switch::Switch(main, fiber, nullptr);
}

TYPED_TEST(SwitchTest, ReturningFromTheEntryAborts) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(RunRaw<TypeParam>([](void*, void*) {}), "");
}

// -----------------------------------------------------------------------------
// Exceptions
// -----------------------------------------------------------------------------

#if defined(__cpp_exceptions)

[[gnu::noinline]] int ThrowAt(int depth) {
  if (depth == 0) throw std::runtime_error("from below");
  return ThrowAt(depth - 1) + 1;
}

TYPED_TEST(SwitchTest, AnExceptionOutOfTheEntryTerminates) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(RunRaw<TypeParam>([](void*, void*) { ThrowAt(3); }), "");
}

TYPED_TEST(SwitchTest, ThrownAndCaughtInside) {
  Home home;
  int caught = 0;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    for (int i = 0; i < 100; ++i) {
      try {
        self.Suspend();
        ThrowAt(i % 10);
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "from below");
        ++caught;
      }
    }
  });
  while (!fiber.ended()) {
    // The resumer has some of its own meanwhile.
    try {
      fiber.Resume(home);
      ThrowAt(2);
    } catch (const std::runtime_error&) {
    }
  }
  EXPECT_EQ(caught, 100);
  EXPECT_EQ(std::uncaught_exceptions(), 0);
}

std::string CurrentWhat() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  }
}

// Resumes the fiber while the thread handles exceptions of its own: they must
// still be there afterwards, and the fiber must not see them.
void InsideACatchBlock(int me, const std::function<void()>& resume) {
  const std::string mine = "thread " + std::to_string(me);
  try {
    throw std::runtime_error(mine);
  } catch (const std::exception&) {
    resume();
    EXPECT_EQ(CurrentWhat(), mine);
  }
  EXPECT_EQ(std::current_exception(), nullptr);
}

TYPED_TEST(SwitchTest, BlockedInACatchBlock) {
  constexpr int kRounds = 200;
  int finished = 0;
  Fiber<TypeParam> fiber([&](Fiber<TypeParam>& self, void*) {
    EXPECT_EQ(std::current_exception(), nullptr);
    for (int i = 0; i < kRounds; ++i) {
      const std::string outer = "outer " + std::to_string(i);
      const std::string inner = "inner " + std::to_string(i);
      try {
        try {
          throw std::runtime_error(outer);
        } catch (const std::exception&) {
          self.Suspend();
          EXPECT_EQ(CurrentWhat(), outer);
          try {
            self.Suspend();
            throw std::logic_error(inner);
          } catch (const std::logic_error& e) {
            EXPECT_EQ(e.what(), inner);
            self.Suspend();
            EXPECT_EQ(CurrentWhat(), inner);
          }
          self.Suspend();
          EXPECT_EQ(CurrentWhat(), outer);
          throw;
        }
      } catch (const std::runtime_error& e) {
        EXPECT_EQ(e.what(), outer);
        self.Suspend();
        ++finished;
      }
      EXPECT_EQ(std::current_exception(), nullptr);
      self.Suspend();
    }
  });
  RunOnTwoThreads(fiber, &InsideACatchBlock);
  EXPECT_EQ(finished, kRounds);
}

// Resumes the fiber while the thread unwinds, from a destructor.
void DuringUnwinding(int, const std::function<void()>& resume) {
  struct Resumer {
    const std::function<void()>& resume;
    ~Resumer() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      resume();
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  try {
    Resumer resumer{resume};
    ThrowAt(1);
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(std::uncaught_exceptions(), 0);
}

TYPED_TEST(SwitchTest, BlockedInADestructorDuringUnwinding) {
  using F = Fiber<TypeParam>;
  struct Blocker {
    F& self;
    int expected;
    ~Blocker() {
      EXPECT_EQ(std::uncaught_exceptions(), expected);
      self.Suspend();
      EXPECT_EQ(std::uncaught_exceptions(), expected);
      if (expected < 3) {
        // One more, thrown and caught while the first is under way.
        try {
          Blocker nested{self, expected + 1};
          ThrowAt(2);
        } catch (const std::runtime_error& e) {
          self.Suspend();
          EXPECT_STREQ(e.what(), "from below");
        }
      }
      EXPECT_EQ(std::uncaught_exceptions(), expected);
    }
  };
  constexpr int kRounds = 100;
  int finished = 0;
  F fiber([&](F& self, void*) {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      try {
        Blocker blocker{self, 1};
        throw std::logic_error(std::to_string(i));
      } catch (const std::logic_error& e) {
        self.Suspend();
        EXPECT_EQ(e.what(), std::to_string(i));
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        ++finished;
      }
    }
  });
  RunOnTwoThreads(fiber, &DuringUnwinding);
  EXPECT_EQ(finished, kRounds);
}

// Many fibers stand in catch blocks at once; a thread's list of caught
// exceptions alone would be left in any order but the one it needs.
TYPED_TEST(SwitchTest, CatchBlocksLeftInAnyOrder) {
  Home home;
  constexpr int kFibers = 20;
  std::vector<std::unique_ptr<Fiber<TypeParam>>> fibers;
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(
        std::make_unique<Fiber<TypeParam>>([i](Fiber<TypeParam>& self, void*) {
          const std::string mine = std::to_string(i);
          try {
            throw std::runtime_error(mine);
          } catch (const std::exception&) {
            self.Suspend();
            EXPECT_EQ(CurrentWhat(), mine);
            self.Suspend();
          }
        }));
  }
  for (auto& fiber : fibers) fiber->Resume(home);
  for (int i = 0; i < kFibers; ++i) fibers[i * 7 % kFibers]->Resume(home);
  for (int i = 0; i < kFibers; ++i) fibers[i * 3 % kFibers]->Resume(home);
  for (auto& fiber : fibers) EXPECT_TRUE(fiber->ended());
}

#endif  // __cpp_exceptions

}  // namespace
}  // namespace gochan::runtime

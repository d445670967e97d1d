// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/unwind.h"

#include <unwind.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "runtime/random.h"
#include "runtime/stack_copy.h"
#include "runtime/switch.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

#if GOCHAN_UNWIND

// A stack of its own, on which functions call each other and the last one
// leaves. Sanitizers do not know of it, so nothing is thrown there.
class Left {
 public:
  static constexpr std::size_t kBytes = std::size_t{1} << 18;

  explicit Left(void (*fn)(Left& left)) : fn_(fn), memory_(new char[kBytes]) {
    MakeContext(there_, memory_.get(), kBytes, &Run, this);
    SwitchContext(here_, there_, nullptr);
  }
  // Lets it come to its end.
  ~Left() { SwitchContext(here_, there_, nullptr); }

  // At the bottom of the stack.
  static void Run(void* arg, void*) {
    auto& left = *static_cast<Left*>(arg);
    left.fn_(left);
    SwitchContext(left.there_, left.here_, nullptr);
  }
  // By fn, where it is to be looked at.
  [[gnu::always_inline]] void Leave() { SwitchContext(there_, here_, nullptr); }

  StackCopy Copy() const {
    StackCopy copy;
    copy.low = reinterpret_cast<uintptr_t>(there_.sp);
    copy.frame = reinterpret_cast<uintptr_t>(there_.fp);
    copy.base = reinterpret_cast<uintptr_t>(there_.base);
    copy.resume = reinterpret_cast<uintptr_t>(there_.pc);
    const uintptr_t end =
        (reinterpret_cast<uintptr_t>(memory_.get()) + kBytes) & ~uintptr_t{15};
    copy.words.resize((end - copy.low) / sizeof(uintptr_t));
    CopyWords(copy.low, end, copy.words.data());
    return copy;
  }

 private:
  void (*const fn_)(Left& left);
  const std::unique_ptr<char[]> memory_;
  Context here_;
  Context there_;
};

// The functions of a stack by where they begin, which says more than symbols
// do: they are not to be had everywhere.
std::vector<const void*> Functions(const StackCopy& copy,
                                   std::size_t limit = 64) {
  Unwinder unwinder;
  std::vector<uintptr_t> pcs(limit);
  pcs.resize(unwinder.Unwind(copy, absl::MakeSpan(pcs)));
  std::vector<const void*> functions;
  for (const uintptr_t pc : pcs) {
    functions.push_back(
        _Unwind_FindEnclosingFunction(reinterpret_cast<void*>(pc - 1)));
  }
  return functions;
}

template <typename... Fs>
std::vector<const void*> List(Fs*... functions) {
  return {reinterpret_cast<const void*>(functions)...};
}

// Neither drawn into its caller nor replaced by a clone.
#if defined(__clang__)
#define KEPT [[gnu::noinline]]
#else
#define KEPT [[gnu::noipa]]
#endif

// What follows a call, so that it is none at the end of its function, which
// leaves no frame.
[[gnu::always_inline]] inline void Return() { __asm__ __volatile__(""); }

KEPT void Inner(Left& left) {
  left.Leave();
  Return();
}
KEPT void Middle(Left& left) {
  Inner(left);
  Return();
}
KEPT void Outer(Left& left) {
  Middle(left);
  Return();
}

TEST(UnwindTest, WhoHasCalledWhom) {
  Left left(&Outer);
  EXPECT_EQ(Functions(left.Copy()),
            List(&Inner, &Middle, &Outer, &Left::Run, &gochan_context_entry));
}

TEST(UnwindTest, AsManyAsThereIsRoomFor) {
  Left left(&Outer);
  EXPECT_EQ(Functions(left.Copy(), 2), List(&Inner, &Middle));
  EXPECT_TRUE(Functions(left.Copy(), 0).empty());
}

// Frames of a size that only the run tells, and of more alignment than a stack
// has: compilers describe them by a frame pointer, or by an expression.
KEPT void Variable(Left& left) {
  volatile std::size_t bytes = 1000;
  volatile char* const room = static_cast<char*>(__builtin_alloca(bytes));
  room[0] = 1;
  Inner(left);
  room[1] = room[0];
}
KEPT void Aligned(Left& left) {
  alignas(128) volatile char room[256];
  room[0] = 1;
  Variable(left);
  room[1] = room[0];
}
KEPT void AlignedAndVariable(Left& left) {
  alignas(64) volatile char room[64];
  volatile std::size_t bytes = 3000;
  volatile char* const more = static_cast<char*>(__builtin_alloca(bytes));
  room[0] = 1;
  more[0] = 1;
  Aligned(left);
  more[1] = room[0];
}

TEST(UnwindTest, UnusualFrames) {
  Left left(&AlignedAndVariable);
  EXPECT_EQ(Functions(left.Copy()),
            List(&Inner, &Variable, &Aligned, &AlignedAndVariable, &Left::Run,
                 &gochan_context_entry));
}

// Uses all registers that a function keeps for its caller, which the frame
// pointer then is one of.
KEPT long Busy(Left& left, const long* v) {
  long a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6];
  Inner(left);
  __asm__ __volatile__("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
  return a * b + c * d + e * f + g * a;
}
KEPT void CallsBusy(Left& left) {
  const long values[] = {1, 2, 3, 4, 5, 6, 7};
  volatile long result = Busy(left, values);
  (void)result;
}

TEST(UnwindTest, AllRegistersInUse) {
  Left left(&CallsBusy);
  EXPECT_EQ(Functions(left.Copy()),
            List(&Inner, &Busy, &CallsBusy, &Left::Run, &gochan_context_entry));
}

KEPT void Deeper(Left& left, int n) {
  if (n == 0) {
    left.Leave();
  } else {
    Deeper(left, n - 1);
  }
  Return();
}

TEST(UnwindTest, DeepOnes) {
  Left left([](Left& l) {
    Deeper(l, 500);
    Return();
  });
  EXPECT_EQ(Functions(left.Copy(), 100),
            std::vector<const void*>(100, List(&Deeper)[0]));
  const std::vector<const void*> all = Functions(left.Copy(), 1000);
  EXPECT_GE(all.size(), 503u);
  EXPECT_EQ(all.back(), List(&gochan_context_entry)[0]);
}

// The same one is asked about another stack.
TEST(UnwindTest, OneForMany) {
  Unwinder unwinder;
  Left a(&Outer);
  Left b(&CallsBusy);
  uintptr_t pcs[64];
  const std::size_t n = unwinder.Unwind(a.Copy(), absl::MakeSpan(pcs));
  EXPECT_EQ(n, 5u);
  EXPECT_EQ(unwinder.Unwind(b.Copy(), absl::MakeSpan(pcs)), 5u);
  EXPECT_EQ(unwinder.Unwind(a.Copy(), absl::MakeSpan(pcs)), n);
}

// -----------------------------------------------------------------------------
// Whatever a copy says
// -----------------------------------------------------------------------------

TEST(UnwindTest, NoCodeThere) {
  Left left(&Outer);
  const StackCopy good = left.Copy();
  for (const uintptr_t pc :
       {uintptr_t{0}, uintptr_t{1}, uintptr_t{4096}, ~uintptr_t{0},
        reinterpret_cast<uintptr_t>(&good), good.low}) {
    StackCopy copy = good;
    copy.resume = pc;
    EXPECT_TRUE(Functions(copy).empty()) << pc;
  }
}

TEST(UnwindTest, CutOff) {
  Left left(&AlignedAndVariable);
  const StackCopy good = left.Copy();
  const std::size_t whole = Functions(good).size();
  std::size_t before = 0;
  for (std::size_t n = 0; n <= good.words.size(); ++n) {
    StackCopy copy = good;
    copy.words.resize(n);
    Unwinder unwinder;
    uintptr_t pcs[64];
    const std::size_t frames = unwinder.Unwind(copy, absl::MakeSpan(pcs));
    EXPECT_GE(frames, std::size_t{1});
    EXPECT_GE(frames, before);
    EXPECT_LE(frames, whole);
    before = frames;
  }
  EXPECT_EQ(before, whole);
}

// Nothing outside of the copy is read, so nothing faults.
TEST(UnwindTest, Garbage) {
  Left left(&AlignedAndVariable);
  const StackCopy good = left.Copy();
  Random random(1);
  Unwinder unwinder;
  const int64_t rounds = test::Scaled(20'000);
  uint64_t frames = 0;
  for (int64_t round = 0; round < rounds; ++round) {
    StackCopy copy = good;
    const uint32_t changes = 1 + random.Below(20);
    for (uint32_t i = 0; i < changes; ++i) {
      const auto at = random.Below(static_cast<uint32_t>(copy.words.size()));
      uintptr_t value = random.Next();
      // Another word of it, one nearby, some number, a bit.
      switch (random.Below(4)) {
        case 0:
          value = copy.words[value % copy.words.size()];
          break;
        case 1:
          value = copy.low + value % (2 * Left::kBytes) - Left::kBytes / 2;
          break;
        case 2:
          value = copy.words[at] ^ uintptr_t { 1 } << value % 64;
          break;
        default:
          break;
      }
      switch (random.Below(16)) {
        case 0:
          copy.frame = value;
          break;
        case 1:
          copy.base = value;
          break;
        case 2:
          copy.resume = value;
          break;
        case 3:
          copy.low = value & ~uintptr_t{7};
          break;
        default:
          copy.words[at] = value;
          break;
      }
    }
    uintptr_t pcs[64];
    frames += unwinder.Unwind(copy, absl::MakeSpan(pcs));
  }
  EXPECT_GT(frames, 0u);
}

#else

TEST(UnwindTest, FindsNothing) {
  Unwinder unwinder;
  uintptr_t pcs[64];
  EXPECT_EQ(unwinder.Unwind(StackCopy(), absl::MakeSpan(pcs)), 0u);
}

#endif

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The context switch: leaves one stack and goes on where another was left.
//
//   Context          where a stack was left; empty while the stack runs
//   MakeContext      a context that will run a function on a fresh stack
//   SwitchContext    saves the caller in one context, resumes another
//
//   void Echo(void* arg, void* carried) {        // runs on its own stack
//     auto* pair = static_cast<Pair*>(arg);
//     for (;;) carried = SwitchContext(pair->echo, pair->main, carried);
//   }
//   MakeContext(pair.echo, stack, bytes, &Echo, &pair);
//   void* back = SwitchContext(pair.main, pair.echo, value);  // == value
//
// SwitchContext is expanded where it is called, also through every function in
// between that is marked always_inline. The compiler is told that it changes
// all registers, so it keeps what is live in the frame, and nothing that is
// dead is saved. It saves four words: stack pointer, frame pointer, resume
// address, and the register that a compiler may reserve as a base pointer (and
// could not be told about). It ends in an indirect jump of its own at each call
// site, never in a return, which the processor would mispredict.
// docs/design/fibers.md has the figures and what was rejected.
//
// Not carried over: floating-point control (mxcsr, the x87 control word, FPCR),
// the signal mask, errno, and everything that is bound to the thread: see
// runtime/eh_globals.h, runtime/thread_local.h, runtime/fiber_sanitizers.h.
//
// Memory ordering: a switch is a step of one thread and orders nothing between
// threads. Whoever lets another thread resume a context does so after the
// switch that saved it, from the other side (that is what the carried pointer
// is for), by a release that the other thread acquires.
//
// Three implementations, one type of context. GOCHAN_FORCE_SWITCH chooses, the
// same for the whole program: 0 the best there is, 1 inline assembly, 2
// assembly in a function, 3 <ucontext.h>. All that the target has are there to
// be called by name.

#ifndef GOCHAN_RUNTIME_SWITCH_H_
#define GOCHAN_RUNTIME_SWITCH_H_

#include <cstddef>
#include <cstdint>

#ifndef GOCHAN_FORCE_SWITCH
#define GOCHAN_FORCE_SWITCH 0
#endif

// Whether switch_<architecture>.S and the assembly below fit the target.
#if defined(__ELF__) && defined(__LP64__) && \
    (defined(__x86_64__) || defined(__aarch64__))
#define GOCHAN_SWITCH_ASSEMBLY 1
#else
#define GOCHAN_SWITCH_ASSEMBLY 0
#endif

#if (GOCHAN_FORCE_SWITCH == 1 || GOCHAN_FORCE_SWITCH == 2) && \
    !GOCHAN_SWITCH_ASSEMBLY
#error "GOCHAN_FORCE_SWITCH asks for assembly that this target does not have."
#endif

namespace gochan::runtime {

// Written by the switch that leaves a stack, read by the switch that resumes
// it. Nobody else looks inside, but debuggers: these are the registers from
// which the suspended stack is unwound. UcontextSwitch uses `sp` alone.
// The assembly knows the offsets.
struct Context {
  void* sp = nullptr;
  void* fp = nullptr;
  void* pc = nullptr;
  void* base = nullptr;  // rbx, x19
};
static_assert(sizeof(Context) == 4 * sizeof(void*));

// What a fresh context runs: with the argument it was made with, and with what
// the first switch to it carried. Must not return and must let no exception
// out: there is nothing below it (the first aborts, the second terminates).
using ContextEntry = void (*)(void* arg, void* carried);

#if GOCHAN_SWITCH_ASSEMBLY

extern "C" {
// In switch_<architecture>.S. First code on a fresh stack; not callable.
void gochan_context_entry();
// A switch as an ordinary function.
void* gochan_switch_context(void* carried, Context* from, const Context* to);
}

// -----------------------------------------------------------------------------
// Inline assembly
// -----------------------------------------------------------------------------

class InlineSwitch {
 public:
  static void Make(Context& context, void* stack, std::size_t bytes,
                   ContextEntry entry, void* arg) {
    const uintptr_t end = reinterpret_cast<uintptr_t>(stack) + bytes;
    context.sp = reinterpret_cast<void*>(end & ~uintptr_t{15});
    // gochan_context_entry finds both in registers, so no memory of the stack
    // is touched before it runs.
    context.fp = arg;
    context.base = reinterpret_cast<void*>(entry);
    context.pc = reinterpret_cast<void*>(&gochan_context_entry);
  }

  // All operands are in registers that the assembly names, so that no operand
  // can be addressed by a register which has already been changed. Nothing is
  // pushed: below the stack pointer may lie the caller's red zone.
  // `from` and `to` may be the same.
  [[gnu::always_inline]] static inline void* Switch(Context& from,
                                                    const Context& to,
                                                    void* carried);
};

// -----------------------------------------------------------------------------
// Assembly in a function
// -----------------------------------------------------------------------------

// Saves what the calling convention says a function preserves, on the stack
// that is left. Its contexts and InlineSwitch's are interchangeable.
class AssemblySwitch {
 public:
  static void Make(Context& context, void* stack, std::size_t bytes,
                   ContextEntry entry, void* arg) {
    InlineSwitch::Make(context, stack, bytes, entry, arg);
  }
  [[gnu::always_inline]] static inline void* Switch(Context& from,
                                                    const Context& to,
                                                    void* carried) {
    return gochan_switch_context(carried, &from, &to);
  }
};

#endif  // GOCHAN_SWITCH_ASSEMBLY

// -----------------------------------------------------------------------------
// <ucontext.h>
// -----------------------------------------------------------------------------

// For all other targets. Two system calls a switch, because it exchanges signal
// masks too. The context proper lies on the stack that was left.
class UcontextSwitch {
 public:
  // Uses about a kilobyte at the end of the stack.
  static void Make(Context& context, void* stack, std::size_t bytes,
                   ContextEntry entry, void* arg);
  static void* Switch(Context& from, const Context& to, void* carried);
};

// -----------------------------------------------------------------------------
// The one to use
// -----------------------------------------------------------------------------

#if GOCHAN_FORCE_SWITCH == 3 || !GOCHAN_SWITCH_ASSEMBLY
using DefaultSwitch = UcontextSwitch;
#elif GOCHAN_FORCE_SWITCH == 2
using DefaultSwitch = AssemblySwitch;
#else
using DefaultSwitch = InlineSwitch;
#endif

// Makes `context` such that the first switch to it calls entry(arg, carried) on
// the stack [stack, stack + bytes).
inline void MakeContext(Context& context, void* stack, std::size_t bytes,
                        ContextEntry entry, void* arg) {
  DefaultSwitch::Make(context, stack, bytes, entry, arg);
}

// Leaves the running stack in `from` and resumes `to`, whose SwitchContext
// returns `carried`. Returns what is carried by the switch that resumes `from`,
// possibly on another thread: the caller must not rely on anything it knew
// about the thread.
[[gnu::always_inline]] inline void* SwitchContext(Context& from,
                                                  const Context& to,
                                                  void* carried) {
  return DefaultSwitch::Switch(from, to, carried);
}

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

#if GOCHAN_SWITCH_ASSEMBLY && defined(__x86_64__)

// Indirect branch tracking: the resume address is reached by `jmp *`.
#if defined(__CET__) && (__CET__ & 1)
#define GOCHAN_SWITCH_LANDING_ "endbr64\n\t"
#else
#define GOCHAN_SWITCH_LANDING_ ""
#endif

#if defined(__APX_F__) || defined(__EGPR__)
#define GOCHAN_SWITCH_EGPR_                                               \
  , "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", \
      "r26", "r27", "r28", "r29", "r30", "r31"
#else
#define GOCHAN_SWITCH_EGPR_
#endif

// Vector registers 16 to 31 and the masks. A single function may be compiled
// for AVX-512 in a file that is not, so they are named always where the
// compiler lets us. GCC does not: a GCC program that switches inside such a
// function compiles that file for AVX-512, or forces implementation 2.
#if defined(__AVX512F__) || defined(__clang__)
#define GOCHAN_SWITCH_AVX512_                                                 \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",   \
      "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", \
      "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define GOCHAN_SWITCH_AVX512_
#endif

// Naming the low part of a vector register names all of it.
inline void* InlineSwitch::Switch(Context& from, const Context& to,
                                  void* carried) {
  Context* leave = &from;
  const Context* enter = &to;
  __asm__ __volatile__(
      "leaq 1f(%%rip), %%rdx\n\t"
      "movq %%rsp, (%%rdi)\n\t"
      "movq %%rbp, 8(%%rdi)\n\t"
      "movq %%rdx, 16(%%rdi)\n\t"
      "movq %%rbx, 24(%%rdi)\n\t"
      "movq 8(%%rsi), %%rbp\n\t"
      "movq 24(%%rsi), %%rbx\n\t"
      "movq (%%rsi), %%rsp\n\t"
      "jmpq *16(%%rsi)\n"
      "1:\n\t" GOCHAN_SWITCH_LANDING_
      : "+a"(carried), "+D"(leave), "+S"(enter)
      :
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "mm0",
        "mm1", "mm2", "mm3", "mm4", "mm5", "mm6", "mm7", "st", "st(1)", "st(2)",
        "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc",
        "memory" GOCHAN_SWITCH_AVX512_ GOCHAN_SWITCH_EGPR_);
  return carried;
}

#undef GOCHAN_SWITCH_LANDING_
#undef GOCHAN_SWITCH_AVX512_
#undef GOCHAN_SWITCH_EGPR_

#elif GOCHAN_SWITCH_ASSEMBLY && defined(__aarch64__)

// Branch target identification: the resume address is reached by `br`. As a
// hint (it is `bti j`) it assembles for every target.
#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define GOCHAN_SWITCH_LANDING_ "hint #36\n\t"
#else
#define GOCHAN_SWITCH_LANDING_ ""
#endif

// With SVE a vector register is more than its low part, to some compilers. The
// first-fault register is not among them: only GCC knows it by name, and nobody
// keeps it across a statement.
#if defined(__ARM_FEATURE_SVE)
#define GOCHAN_SWITCH_SVE_                                                    \
  , "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9", "z10", "z11", \
      "z12", "z13", "z14", "z15", "z16", "z17", "z18", "z19", "z20", "z21",   \
      "z22", "z23", "z24", "z25", "z26", "z27", "z28", "z29", "z30", "z31",   \
      "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10",      \
      "p11", "p12", "p13", "p14", "p15"
#else
#define GOCHAN_SWITCH_SVE_
#endif

// Signed return addresses stay valid: a frame keeps its stack pointer, and the
// keys are the process's.
inline void* InlineSwitch::Switch(Context& from, const Context& to,
                                  void* carried) {
  register void* x0 __asm__("x0") = carried;
  register Context* x1 __asm__("x1") = &from;
  register const Context* x2 __asm__("x2") = &to;
  __asm__ __volatile__(
      "adr x3, 1f\n\t"
      "mov x4, sp\n\t"
      "stp x4, x29, [x1]\n\t"
      "stp x3, x19, [x1, #16]\n\t"
      "ldp x4, x29, [x2]\n\t"
      "ldp x16, x19, [x2, #16]\n\t"
      "mov sp, x4\n\t"
      "br x16\n"
      "1:\n\t" GOCHAN_SWITCH_LANDING_
      : "+r"(x0), "+r"(x1), "+r"(x2)
      :
      : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
        "x14", "x15", "x16", "x17", "x18", "x20", "x21", "x22", "x23", "x24",
        "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5",
        "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
        "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
        "v27", "v28", "v29", "v30", "v31", "cc", "memory" GOCHAN_SWITCH_SVE_);
  return x0;
}

#undef GOCHAN_SWITCH_LANDING_
#undef GOCHAN_SWITCH_SVE_

#endif  // GOCHAN_SWITCH_ASSEMBLY

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SWITCH_H_

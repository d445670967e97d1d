// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Swaps without a lock, by the one thread that may, until others take that
// right away.
//
//   the owner                              who wants it, too
//     RestartableSwap(word, from, to,        owner = somebody else's
//                     owner, mine)           RestartAll()
//       owner == mine?                       ... may swap, with a lock
//       word == from?
//       word = to
//
// The three lines on the left are a restartable sequence: if the thread is
// interrupted in it, the kernel does not resume it but makes it fail (rseq(2)).
// RestartAll() interrupts all threads that run right now and are in one
// (membarrier(2)). So when it returns, no sequence that has read an older owner
// will store any more, what others stored is visible, and nobody has waited for
// anybody: an owner that was stopped in between fails when it goes on.
//
//   without RestartAll():
//     owner                                  other
//       owner == mine, word == from
//                                            owner = 0
//                                            word: from -> x   (locked)
//       word = to                            x is lost
//
// Threads are told apart by their mark: an odd number from 3 to 253, of which
// each belongs to one thread at a time (who does a worker's work, or a plain
// one); 0: it has none.
//
// Linux on x86-64 with glibc 2.35 or newer, which registers each thread, and a
// kernel from 5.10 on. Elsewhere, and under ThreadSanitizer, which would not
// see the stores, nobody gets a mark. A schedule explorer gives out its own.
//
// Source: Mathieu Desnoyers' restartable sequences in Linux; ownership that
// others revoke: Kawachiya, Koseki, Onodera, "Lock Reservation" (OOPSLA'02).

#ifndef GOCHAN_RUNTIME_RESTARTABLE_H_
#define GOCHAN_RUNTIME_RESTARTABLE_H_

#include <cstddef>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/atomic128.h"
#include "runtime/instrument.h"
#include "runtime/sanitizers.h"
#include "runtime/thread_local.h"

#ifndef GOCHAN_RESTARTABLE
#if defined(__linux__) && defined(__x86_64__) && defined(__LP64__) && \
    defined(__GLIBC__) && !GOCHAN_TSAN && !GOCHAN_INSTRUMENT
#define GOCHAN_RESTARTABLE 1
#else
#define GOCHAN_RESTARTABLE 0
#endif
#endif

namespace gochan::runtime {

inline constexpr bool kHasMarks = GOCHAN_RESTARTABLE || GOCHAN_INSTRUMENT;

// The calling thread's mark, as a pointer for want of another type there.
GOCHAN_HOT_THREAD_LOCAL(void, current_mark, "gochan_current_mark");

[[gnu::always_inline]] inline uint8_t CurrentMark() {
  if (!kHasMarks) return 0;
  return static_cast<uint8_t>(reinterpret_cast<uintptr_t>(Get_current_mark()));
}

// The mark of the thread that does the work of worker `number`, from 0 on; 0 if
// it gets none.
uint8_t MarkOf(int number);
// Gives the calling thread, which does no worker's work, a mark until it ends,
// and returns it; 0: there is none left, or it has refused. At the end all that
// it has stored is visible to whoever gets the mark next, who so inherits what
// it has owned.
uint8_t TakeThreadMark();
// By a thread that will be a worker's, or nobody's.
void RefuseThreadMark();
// Does anybody get one? False also before that is known.
#if GOCHAN_RESTARTABLE
extern constinit bool marks_exist;
inline bool MarksExist() { return marks_exist; }
#else
constexpr bool MarksExist() { return kHasMarks; }
#endif
inline constexpr int kMarks = 126;
// The last of them are for threads.
inline constexpr int kThreadMarks = 32;
constexpr uint8_t MarkNumber(int i) { return static_cast<uint8_t>(2 * i + 3); }
constexpr bool IsWorkersMark(uint8_t mark) {
  return mark != 0 && mark < MarkNumber(kMarks - kThreadMarks);
}
inline void SetCurrentMark(uint8_t mark) {
  Set_current_mark(reinterpret_cast<void*>(uintptr_t{mark}));
}

// RestartAll()
//
// See above. About two microseconds. Aborts if the kernel, which knew it when
// the process began, refuses it now.
void RestartAll();

#if GOCHAN_RESTARTABLE

namespace restartable_internal {
// From the thread pointer to the kernel's area; valid if there are marks.
extern constinit std::ptrdiff_t area;
}  // namespace restartable_internal

// A sequence in assembly: first what describes it to the kernel; then, if
// %[owner] is %[mine] and all of `checks` pass (they jump to 5 otherwise), the
// instruction `store`; then `after`. Without interruption from 2 to 3, or else
// the kernel goes on at 4, behind its signature.
#define GOCHAN_RESTARTABLE_SEQUENCE(checks, store, after) \
  ".pushsection __rseq_cs, \"aw?\", @progbits\n\t"        \
  ".balign 32\n"                                          \
  "1:\t.long 0, 0\n\t"                                    \
  ".quad 2f, 3f - 2f, 4f\n\t"                             \
  ".popsection\n\t"                                       \
  "leaq 1b(%%rip), %[scratch]\n\t"                        \
  "movq %[scratch], %%fs:8(%[area])\n"                    \
  "2:\tcmpb %[mine], %[owner]\n\t"                        \
  "jne 5f\n\t" checks store                               \
  "\n"                                                    \
  "3:\tmovb $1, %b[stored]\n\t" after                     \
  "5:\n\t"                                                \
  ".pushsection __rseq_failure, \"ax?\", @progbits\n\t"   \
  ".byte 0x0f, 0xb9, 0x3d\n\t"                            \
  ".long 0x53053053\n"                                    \
  "4:\tjmp 5b\n\t"                                        \
  ".popsection"

namespace restartable_internal {
// Eight bytes of whatever type.
template <typename Memory>
[[nodiscard, gnu::always_inline]] inline bool Swap8(
    Memory& memory, uint64_t from, uint64_t to, const Atomic<uint8_t>& owner,
    uint8_t mine) {
  static_assert(sizeof(Memory) == 8);
  bool stored = false;
  uintptr_t scratch;
  // (Inline: it is short, though the compiler counts its lines.)
  asm volatile inline(
      GOCHAN_RESTARTABLE_SEQUENCE("cmpq %[from], %[word]\n\t"
                                  "jne 5f\n\t",
                                  "movq %[to], %[word]", "")
      : [stored] "+&q"(stored), [scratch] "=&r"(scratch), [word] "+m"(memory)
      : [owner] "m"(*owner.word()), [mine] "q"(mine), [from] "r"(from),
        [to] "r"(to), [area] "r"(area)
      : "memory", "cc");
  return stored;
}
}  // namespace restartable_internal

// RestartableSwap()
//
// `word`'s low half, or both: `from` -> `to`, if `owner` is `mine`. False also
// if it was interrupted: look again.
//
// Memory ordering: release and acquire, as every store and load of this
// processor; the owner's own order is the program's. No fence: what the owner
// reads next may be older than its store is visible. Others read `word` after
// RestartAll() only, which is one.
[[nodiscard, gnu::always_inline]] inline bool RestartableSwap(
    Atomic128& word, uint64_t from, uint64_t to, const Atomic<uint8_t>& owner,
    uint8_t mine) {
  return restartable_internal::Swap8(*word.low(), from, to, owner, mine);
}

[[nodiscard, gnu::always_inline]] inline bool RestartableSwap(
    Atomic128& word, Pair64 from, Pair64 to, const Atomic<uint8_t>& owner,
    uint8_t mine) {
  bool stored = false;
  uintptr_t scratch;
  const __m128i both = _mm_set_epi64x(static_cast<long long>(to.hi),
                                      static_cast<long long>(to.lo));
  Pair64& pair = *word.both();
  asm volatile inline(
      GOCHAN_RESTARTABLE_SEQUENCE("cmpq %[lo], %[word_lo]\n\t"
                                  "jne 5f\n\t"
                                  "cmpq %[hi], %[word_hi]\n\t"
                                  "jne 5f\n\t",
                                  "movdqa %[both], %[word]", "")
      : [stored] "+&q"(stored), [scratch] "=&r"(scratch), [word] "+m"(pair)
      : [owner] "m"(*owner.word()), [mine] "q"(mine), [word_lo] "m"(pair.lo),
        [word_hi] "m"(pair.hi), [lo] "r"(from.lo), [hi] "r"(from.hi),
        [both] "x"(both), [area] "r"(restartable_internal::area)
      : "memory", "cc");
  return stored;
}

// The same of a plain word.
[[nodiscard, gnu::always_inline]] inline bool RestartableSwap(
    Atomic<uint64_t>& word, uint64_t from, uint64_t to,
    const Atomic<uint8_t>& owner, uint8_t mine) {
  return restartable_internal::Swap8(*word.word(), from, to, owner, mine);
}

[[nodiscard, gnu::always_inline]] inline bool RestartableSwap(
    Atomic<uint32_t>& word, uint32_t from, uint32_t to,
    const Atomic<uint8_t>& owner, uint8_t mine) {
  bool stored = false;
  uintptr_t scratch;
  asm volatile inline(
      GOCHAN_RESTARTABLE_SEQUENCE("cmpl %[from], %[word]\n\t"
                                  "jne 5f\n\t",
                                  "movl %[to], %[word]", "")
      : [stored] "+&q"(stored), [scratch] "=&r"(scratch),
        [word] "+m"(*word.word())
      : [owner] "m"(*owner.word()), [mine] "q"(mine), [from] "ri"(from),
        [to] "ri"(to), [area] "r"(restartable_internal::area)
      : "memory", "cc");
  return stored;
}

// RestartableAdd()
//
// Adds to a number that others change as they change such a word: with a lock,
// once the owner is nobody any more. `*zero`: it has become 0. False: nothing
// was added.
[[nodiscard, gnu::always_inline]] inline bool RestartableAdd(
    Atomic<uint32_t>& number, uint32_t delta, const Atomic<uint8_t>& owner,
    uint8_t mine, bool* zero) {
  bool stored = false;
  bool is_zero = false;
  uintptr_t scratch;
  asm volatile inline(
      GOCHAN_RESTARTABLE_SEQUENCE("", "addl %[delta], %[number]",
                                  "sete %b[is_zero]\n\t")
      : [stored] "+&q"(stored), [is_zero] "+&q"(is_zero),
        [scratch] "=&r"(scratch), [number] "+m"(*number.word())
      : [owner] "m"(*owner.word()), [mine] "q"(mine), [delta] "ri"(delta),
        [area] "r"(restartable_internal::area)
      : "memory", "cc");
  *zero = is_zero;
  return stored;
}

#undef GOCHAN_RESTARTABLE_SEQUENCE

#elif GOCHAN_INSTRUMENT

// How often RestartAll() has been called.
extern constinit Atomic<uint64_t> restarts;

// The same in steps that a schedule explorer can order; who was interrupted
// between two of them fails before it stores.
template <typename Value>
[[nodiscard]] inline bool RestartableSwap(Atomic128& word, Value from, Value to,
                                          const Atomic<uint8_t>& owner,
                                          uint8_t mine) {
  const uint64_t before = restarts.load(std::memory_order_relaxed);
  if (owner.load(std::memory_order_relaxed) != mine || !word.Holds(from)) {
    return false;
  }
  return word.StoreIf(to, [before] {
    return restarts.word()->load(std::memory_order_relaxed) == before;
  });
}

template <typename T>
[[nodiscard]] inline bool RestartableSwap(Atomic<T>& word, T from, T to,
                                          const Atomic<uint8_t>& owner,
                                          uint8_t mine) {
  const uint64_t before = restarts.load(std::memory_order_relaxed);
  if (owner.load(std::memory_order_relaxed) != mine ||
      word.load(std::memory_order_relaxed) != from) {
    return false;
  }
  Step(StepKind::kStore, &word);
  if (restarts.word()->load(std::memory_order_relaxed) != before) return false;
  word.word()->store(to, std::memory_order_relaxed);
  return true;
}

[[nodiscard]] inline bool RestartableAdd(Atomic<uint32_t>& number,
                                         uint32_t delta,
                                         const Atomic<uint8_t>& owner,
                                         uint8_t mine, bool* zero) {
  const uint64_t before = restarts.load(std::memory_order_relaxed);
  if (owner.load(std::memory_order_relaxed) != mine) return false;
  Step(StepKind::kRmw, &number);
  if (restarts.word()->load(std::memory_order_relaxed) != before) return false;
  *zero =
      number.word()->fetch_add(delta, std::memory_order_relaxed) + delta == 0;
  return true;
}

#else

// Never called, for nobody has a mark.
template <typename Word, typename Value>
[[nodiscard]] inline bool RestartableSwap(Word&, Value, Value,
                                          const Atomic<uint8_t>&, uint8_t) {
  return false;
}
[[nodiscard]] inline bool RestartableAdd(Atomic<uint32_t>&, uint32_t,
                                         const Atomic<uint8_t>&, uint8_t,
                                         bool*) {
  return false;
}

#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_RESTARTABLE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Atomic128: two 64-bit words that can be swapped together, or the low one
// alone. The one file with 16-byte assembly.
//
//   LoadLo                 the low word
//   LoadApart              both words, not as they were at one moment
//   Load                   both words as they were at one moment
//   CompareExchangeLo      swaps the low word (8 bytes)
//   CompareExchange        swaps both (16 bytes)
//   Store                  a loop of CompareExchange
//
// Memory ordering: every operation here is seq_cst but LoadLo, which takes an
// order, and LoadApart: acquire. Operations of both sizes on one object agree
// on one total order: each swap of 16 bytes expects the low word too, so a swap
// of 8 bytes in between makes it fail.
//
// Mixing access sizes is outside the C++ memory model; it is defined by the
// instruction sets this file is written for, and the compiler sees opaque
// volatile assembly. ThreadSanitizer cannot see into it, hence the annotations:
// they use the clock of the low word's address, as the 8-byte accesses do.
//
// x86-64: `lock cmpxchg16b`, and for Load `vmovdqa`, which Intel and AMD
// guarantee to be one access on processors with AVX; else cmpxchg16b again.
// AArch64: LDAXP/STLXP, or CASPAL where the target has LSE; a pair that was
// loaded is exact only once the store of the pair has succeeded, so a failed
// comparison stores back what it found. Both are ordered as release and
// acquire; the DMB closes the gap to seq_cst against the LDAR of LoadLo.
//
// 16-byte Load needs writable memory.

#ifndef GOCHAN_RUNTIME_ATOMIC128_H_
#define GOCHAN_RUNTIME_ATOMIC128_H_

#include <atomic>
#include <cstdint>

#include "runtime/instrument.h"
#include "runtime/sanitizers.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#elif !defined(__aarch64__)
#error "gochan needs a 16-byte compare-and-swap: x86-64 or AArch64."
#endif

namespace gochan::runtime {

struct Pair64 {
  uint64_t lo = 0;
  uint64_t hi = 0;
  friend bool operator==(const Pair64&, const Pair64&) = default;
};

#if defined(__x86_64__)
// True once start-up has found that an aligned 16-byte vector load is one
// access. False (also before that) falls back to cmpxchg16b, which is always
// right, so the order of static initializers does not matter.
extern constinit bool vector_load_is_atomic;
#endif

class alignas(16) Atomic128 {
 public:
  constexpr Atomic128() = default;
  constexpr explicit Atomic128(Pair64 value) : pair_(value) {}
  Atomic128(const Atomic128&) = delete;
  Atomic128& operator=(const Atomic128&) = delete;

  uint64_t LoadLo(std::memory_order order) const {
    Step(StepKind::kLoad, this);
    return __atomic_load_n(&pair_.lo, static_cast<int>(order));
  }

  [[nodiscard]] bool CompareExchangeLo(uint64_t& expected, uint64_t desired) {
    Step(StepKind::kRmw, this);
    return __atomic_compare_exchange_n(&pair_.lo, &expected, desired,
                                       /*weak=*/false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
  }

  Pair64 Load() const {
    Step(StepKind::kLoad16, this);
    return LoadNow();
  }
  // In two pieces: for who knows that nobody has changed them in between.
  Pair64 LoadApart() const {
    Step(StepKind::kLoad16, this);
    return {__atomic_load_n(&pair_.lo, __ATOMIC_ACQUIRE),
            __atomic_load_n(&pair_.hi, __ATOMIC_ACQUIRE)};
  }

  [[nodiscard]] bool CompareExchange(Pair64& expected, Pair64 desired) {
    Step(StepKind::kRmw16, this);
    AnnotateRelease(&pair_.lo);
    const bool swapped = Swap(&pair_, expected, desired);
    AnnotateAcquire(&pair_.lo);
    return swapped;
  }

  void Store(Pair64 value) {
    Pair64 found = Load();
    while (!CompareExchange(found, value)) {
    }
  }

  // For assembly of others (runtime/restartable.h).
  uint64_t* low() { return &pair_.lo; }
  Pair64* both() { return &pair_; }
#if GOCHAN_INSTRUMENT
  // Its steps: a load; and a store if `still()`, release.
  bool Holds(uint64_t lo) const {
    return LoadLo(std::memory_order_relaxed) == lo;
  }
  bool Holds(Pair64 pair) const { return Load() == pair; }
  template <typename F>
  bool StoreIf(uint64_t lo, F still) {
    Step(StepKind::kStore, this);
    if (!still()) return false;
    __atomic_store_n(&pair_.lo, lo, __ATOMIC_RELEASE);
    return true;
  }
  template <typename F>
  bool StoreIf(Pair64 pair, F still) {
    Step(StepKind::kStore, this);
    if (!still()) return false;
    pair_ = pair;
    return true;
  }
#endif

  // Before anybody else can see the object.
  void Init(Pair64 value) { pair_ = value; }

 private:
  Pair64 LoadNow() const {
    Pair64 found;
#if defined(__x86_64__)
    if (vector_load_is_atomic) [[likely]] {
      __m128i both;
      __asm__ __volatile__("vmovdqa %1, %0"
                           : "=x"(both)
                           : "m"(pair_)
                           : "memory");
      found.lo = static_cast<uint64_t>(_mm_cvtsi128_si64(both));
      found.hi = static_cast<uint64_t>(
          _mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)));
    } else {
      Swap(const_cast<Pair64*>(&pair_), found, found);
    }
#else
    Swap(const_cast<Pair64*>(&pair_), found, found);
#endif
    AnnotateAcquire(&pair_.lo);
    return found;
  }

#if defined(__x86_64__)
  static bool Swap(Pair64* pair, Pair64& expected, Pair64 desired) {
    bool swapped;
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(swapped), "+m"(*pair), "+a"(expected.lo),
                           "+d"(expected.hi)
                         : "b"(desired.lo), "c"(desired.hi)
                         : "memory");
    return swapped;
  }
#elif defined(__ARM_FEATURE_ATOMICS)
  static bool Swap(Pair64* pair, Pair64& expected, Pair64 desired) {
    register uint64_t lo __asm__("x0") = expected.lo;
    register uint64_t hi __asm__("x1") = expected.hi;
    register uint64_t new_lo __asm__("x2") = desired.lo;
    register uint64_t new_hi __asm__("x3") = desired.hi;
    __asm__ __volatile__("caspal %0, %1, %3, %4, [%5]\n\tdmb ish"
                         : "+r"(lo), "+r"(hi), "+m"(*pair)
                         : "r"(new_lo), "r"(new_hi), "r"(pair)
                         : "memory");
    const bool swapped = lo == expected.lo && hi == expected.hi;
    expected = {lo, hi};
    return swapped;
  }
#else
  static bool Swap(Pair64* pair, Pair64& expected, Pair64 desired) {
    uint64_t lo, hi, put_lo, put_hi;
    uint32_t failed;
    bool swapped;
    do {
      __asm__ __volatile__("ldaxp %0, %1, %2"
                           : "=&r"(lo), "=&r"(hi)
                           : "Q"(*pair)
                           : "memory");
      swapped = lo == expected.lo && hi == expected.hi;
      put_lo = swapped ? desired.lo : lo;
      put_hi = swapped ? desired.hi : hi;
      __asm__ __volatile__("stlxp %w0, %2, %3, %1"
                           : "=&r"(failed), "=Q"(*pair)
                           : "r"(put_lo), "r"(put_hi)
                           : "memory");
    } while (failed != 0);
    __asm__ __volatile__("dmb ish" ::: "memory");
    expected = {lo, hi};
    return swapped;
  }
#endif

  Pair64 pair_;
};

static_assert(sizeof(Atomic128) == 16 && alignof(Atomic128) == 16);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_ATOMIC128_H_

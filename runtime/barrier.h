// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// An asymmetric barrier between one frequent side and one rare side, each of
// which writes a word and then reads the other's:
//
//   frequent side                          rare side
//     mine.store(1, kLightStore)             theirs: a seq_cst swap
//     LightBarrier()                         HeavyBarrier()
//     theirs.load(kLightLoad)                mine.load(kHeavyLoad)
//
// Memory ordering: at least one of the two loads sees the other side's write.
// Without a barrier this may happen, on x86-64 too:
//
//   waiter                                 firer
//     1. word = claim   (store buffer)
//     2. reads closed = 0
//                                            3. closed = 1
//                                            4. reads word: no claim
//     5. (the store arrives)
//     sleeps for ever                        has woken everybody it saw
//
// A full fence between 1 and 2 forbids it and costs the waiter more than all
// the rest. With membarrier(2) the waiter's side is free: HeavyBarrier() makes
// every running thread of the process execute a full fence somewhere, so either
// that fence lies after 1, and 4 sees the word; or before 1, and so before 2,
// which then sees closed = 1. LightBarrier() only keeps the compiler from
// swapping 1 and 2.
//
// Where the kernel offers no membarrier, both are fences. ThreadSanitizer knows
// neither fences nor membarrier, and a schedule explorer has no store buffers:
// under these the accesses themselves are seq_cst. GOCHAN_FORCE_BARRIER selects
// by hand: 1 membarrier, 2 fences, 3 seq_cst accesses; 0 is automatic.
//
// Cost: LightBarrier() a load of a word that never changes; HeavyBarrier()
// about a microsecond.

#ifndef GOCHAN_RUNTIME_BARRIER_H_
#define GOCHAN_RUNTIME_BARRIER_H_

#include <atomic>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/instrument.h"
#include "runtime/sanitizers.h"

#ifndef GOCHAN_FORCE_BARRIER
#define GOCHAN_FORCE_BARRIER 0
#endif

namespace gochan::runtime {

// Whether the accesses carry the order, so that there is no barrier at all.
inline constexpr bool kOrderedAccesses =
    GOCHAN_FORCE_BARRIER == 3 ||
    (GOCHAN_FORCE_BARRIER == 0 && (GOCHAN_TSAN || GOCHAN_INSTRUMENT));

inline constexpr std::memory_order kLightStore =
    kOrderedAccesses ? std::memory_order_seq_cst : std::memory_order_release;
inline constexpr std::memory_order kLightLoad =
    kOrderedAccesses ? std::memory_order_seq_cst : std::memory_order_acquire;
inline constexpr std::memory_order kHeavyLoad =
    kOrderedAccesses ? std::memory_order_seq_cst : std::memory_order_acquire;

namespace barrier_internal {

// How barriers are made in this process.
//   state        set by            next                        who may act
//   kUnknown     (start)           kMembarrier | kFence        first user: ask
//   kMembarrier  first user        (final)                     everybody
//   kFence       first user        (final)                     everybody
enum Mode : uint8_t { kUnknown, kMembarrier, kFence };
extern constinit Atomic<uint8_t> mode;

// kUnknown -> one of the others, by asking the kernel; returns what it is now.
Mode Decide();

void LightBarrierSlow();

}  // namespace barrier_internal

// LightBarrier() if that takes no call: nothing for the processor to do.
inline bool TryLightBarrier() {
  if constexpr (!kOrderedAccesses) {
    // B1 acquire: who sees kMembarrier comes after the registration; pairs with
    // B1 in Decide().
    if (barrier_internal::mode.load(std::memory_order_acquire) !=
        barrier_internal::kMembarrier) [[unlikely]] {
      return false;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  return true;
}

inline void LightBarrier() {
  if (!TryLightBarrier()) [[unlikely]]
    barrier_internal::LightBarrierSlow();
}

void HeavyBarrier();

// Calls of HeavyBarrier() so far, for tests.
uint64_t HeavyBarriersForTest();

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_BARRIER_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/barrier.h"

#include <cstdio>
#include <cstdlib>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gochan::runtime {

namespace {

constinit std::atomic<uint64_t> heavy_barriers{0};

#if defined(__linux__) && defined(__NR_membarrier) && GOCHAN_FORCE_BARRIER != 2
bool Membarrier(int command) {
  return syscall(__NR_membarrier, command, 0, 0) == 0;
}
bool Register() {
  return Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}
bool Expedite() { return Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); }
#else
bool Register() { return false; }
bool Expedite() { return false; }
#endif

// A function of its own, because ThreadSanitizer's compilers refuse fences; it
// is never called there.
void Fence() {
#if !GOCHAN_TSAN
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

namespace barrier_internal {

constinit Atomic<uint8_t> mode{kUnknown};

Mode Decide() {
  uint8_t found = kUnknown;
  const Mode wish = Register() ? kMembarrier : kFence;
  // B1 release: the registration; pairs with B1 in LightBarrier(). A swap, so
  // that all threads agree should the kernel answer them differently.
  if (mode.compare_exchange(found, wish, std::memory_order_acq_rel)) {
    return wish;
  }
  return static_cast<Mode>(found);
}

void LightBarrierSlow() {
  if (mode.load(std::memory_order_acquire) == kUnknown) Decide();  // B1
  Fence();
}

namespace {
// While the process has one thread, registering is quick; later it waits for
// all of them. Whoever runs before this initializer decides for itself.
[[maybe_unused]] const Mode decided_at_start =
    kOrderedAccesses ? kUnknown : Decide();
}  // namespace

}  // namespace barrier_internal

void HeavyBarrier() {
  heavy_barriers.fetch_add(1, std::memory_order_relaxed);  // a statistic
  if constexpr (kOrderedAccesses) return;
  using barrier_internal::Decide;
  using barrier_internal::kFence;
  auto mode = static_cast<barrier_internal::Mode>(
      barrier_internal::mode.load(std::memory_order_acquire));  // B1
  if (mode == barrier_internal::kUnknown) mode = Decide();
  if (mode == kFence) {
    Fence();
    return;
  }
  // A process that was forked may have to register again.
  if (!Expedite() && !(Register() && Expedite())) {
    std::fputs("gochan: membarrier(2) was taken away\n", stderr);
    std::abort();
  }
}

uint64_t HeavyBarriersForTest() {
  return heavy_barriers.load(std::memory_order_relaxed);
}

}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/restartable.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if GOCHAN_RESTARTABLE
#include <sys/syscall.h>
#include <unistd.h>

// From glibc 2.35 on; not declared, so that older ones will do.
extern "C" {
extern const std::ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
}
#endif

namespace gochan::runtime {

[[gnu::tls_model("initial-exec")]] constinit thread_local void* current_mark =
    nullptr;

#if GOCHAN_RESTARTABLE

constinit bool marks_exist = false;

namespace restartable_internal {
constinit std::ptrdiff_t area = 0;
}  // namespace restartable_internal

namespace {

// Of membarrier(2); the kernel's headers may be older than the kernel.
constexpr int kRestartAll = 1 << 7;
constexpr int kRegisterRestartAll = 1 << 8;

bool Membarrier(int command) {
  return syscall(__NR_membarrier, command, 0, 0) == 0;
}

// Is the area there, and was this thread, as all are, registered? (Not so under
// valgrind, or where it was switched off.)
bool FindArea() {
  if (&__rseq_offset == nullptr || &__rseq_size == nullptr ||
      __rseq_size == 0) {
    return false;
  }
  restartable_internal::area = __rseq_offset;
  // struct rseq { cpu_id_start, cpu_id, … }: negative if that failed.
  int32_t cpu;
  std::memcpy(&cpu,
              static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset +
                  sizeof(int32_t),
              sizeof(cpu));
  return cpu >= 0;
}

// Workers start after static initializers, or in one: then whoever asks first
// decides. While the process has one thread, registering is quick.
bool Supported() {
  static const bool supported = [] {
    marks_exist = FindArea() && Membarrier(kRegisterRestartAll);
    return marks_exist;
  }();
  return supported;
}
[[maybe_unused]] const bool supported_at_start = Supported();

}  // namespace

uint8_t MarkOf(int number) {
  if (number >= kMarks - kThreadMarks || !Supported()) return 0;
  return MarkNumber(number);
}

namespace {

// Threads' marks that are taken, a bit each.
constinit Atomic<uint32_t> taken{0};
static_assert(kThreadMarks == 32);

constinit thread_local bool refused = false;

struct ThreadMark {
  ~ThreadMark() {
    refused = true;  // what other destructors use is shared
    if (bit == 0) return;
    SetCurrentMark(0);
    // M1 release: what the thread has stored; pairs with M1 in Take().
    taken.fetch_and(~bit, std::memory_order_release);
  }

  uint8_t Take() {
    // Relaxed: the swap decides.
    uint32_t found = taken.load(std::memory_order_relaxed);
    while (bit == 0 && found != ~uint32_t{0}) {
      const uint32_t lowest = ~found & (found + 1);
      // M1 acquire: what its last owner has stored.
      if (taken.compare_exchange(found, found | lowest,
                                 std::memory_order_acquire)) {
        bit = lowest;
      }
    }
    return bit == 0 ? 0 : MarkNumber(kMarks - 1 - __builtin_ctz(bit));
  }

  uint32_t bit = 0;
};

}  // namespace

uint8_t TakeThreadMark() {
  if (refused || !Supported()) return 0;
  static thread_local ThreadMark mark;
  SetCurrentMark(mark.Take());
  return CurrentMark();
}

void RefuseThreadMark() { refused = true; }

void RestartAll() {
  // A process that was forked may have to register again.
  if (!Membarrier(kRestartAll) &&
      !(Membarrier(kRegisterRestartAll) && Membarrier(kRestartAll))) {
    std::fputs("gochan: membarrier(2) was taken away\n", stderr);
    std::abort();
  }
}

#else

uint8_t MarkOf(int) { return 0; }
uint8_t TakeThreadMark() { return 0; }
void RefuseThreadMark() {}

#if GOCHAN_INSTRUMENT
constinit Atomic<uint64_t> restarts{0};
void RestartAll() {
  restarts.fetch_add(1, std::memory_order_seq_cst);  // one step
}
#else
void RestartAll() {}
#endif

#endif

}  // namespace gochan::runtime

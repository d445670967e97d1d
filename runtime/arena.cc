// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "runtime/sanitizers.h"

namespace gochan::runtime {

void OutOfMemory([[maybe_unused]] const char* what) {
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::fprintf(stderr, "gochan: out of memory for %s\n", what);
  std::abort();
#endif
}

namespace arena_internal {

Range Reserve(std::size_t unit_size, uint32_t max_units) {
  for (uint32_t units = max_units; units >= (1u << 12); units /= 2) {
    // PROT_NONE: address space only, also under strict overcommit accounting.
    void* base = mmap(nullptr, unit_size * units, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base != MAP_FAILED) {
      madvise(base, unit_size * units, MADV_DONTDUMP);
      return {base, units};
    }
  }
  std::fputs("gochan: cannot reserve address space for an arena\n", stderr);
  std::abort();
}

namespace {

// Address space is made usable so many bytes at a time. Costs no memory.
constexpr std::size_t kStep = std::size_t{256} << 10;

// From here on a step gets its memory at once as well: little beside what is
// in use, and a third of the time that a fault for each page takes.
constexpr std::size_t kLarge = std::size_t{2} << 20;

// Makes the pages [begin, begin + bytes) usable.
void Commit(char* begin, std::size_t bytes) {
  if (mprotect(begin, bytes, PROT_READ | PROT_WRITE) != 0) {
    OutOfMemory("an arena");
  }
  AnnotateRoot(begin, bytes);
  // A core dump without it would hide who waits for what.
  madvise(begin, bytes, MADV_DODUMP);
}

// Puts memory under the pages, in one call rather than a fault for each.
void Populate([[maybe_unused]] char* begin,
              [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14
  madvise(begin, bytes, kPopulateWrite);
#endif
}

}  // namespace

void Usable::Grow(char* base, std::size_t bytes, std::size_t limit,
                  std::size_t usable) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  limit = (limit + page - 1) & ~(page - 1);
  while (usable < bytes) {
    const std::size_t next = std::min(usable + kStep, limit);
    // Several may do the same step at once, which does no harm. Nobody skips
    // one that another has begun.
    Commit(base + usable, next - usable);
    // U1 release: the calls; pairs with U1 in Ensure(). Acquire on failure.
    if (bytes_.compare_exchange(usable, next, std::memory_order_acq_rel)) {
      // By one of those who did the step: it is as good if the others do not
      // wait for it.
      if (usable >= kLarge) Populate(base + usable, next - usable);
      usable = next;
    }
  }
}

}  // namespace arena_internal
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/arena.h"

#include <sys/mman.h>
#include <unistd.h>

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

void Commit(void* begin, std::size_t bytes) {
  // Whole pages: a page shared by two batches is made usable twice.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(begin) & ~(page - 1);
  const auto last =
      (reinterpret_cast<uintptr_t>(begin) + bytes + page - 1) & ~(page - 1);
  if (mprotect(reinterpret_cast<void*>(first), last - first,
               PROT_READ | PROT_WRITE) != 0) {
    OutOfMemory("an arena");
  }
  AnnotateRoot(reinterpret_cast<void*>(first), last - first);
  // A core dump without it would hide who waits for what.
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DODUMP);
}

}  // namespace arena_internal
}  // namespace gochan::runtime

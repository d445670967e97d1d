// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/util/allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "runtime/sanitizers.h"

#if GOCHAN_TSAN || GOCHAN_ASAN
// As in <sanitizer/allocator_interface.h>, which not every compiler package
// has.
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void*, std::size_t),
    void (*free_hook)(const volatile void*));
#endif

namespace {

// Relaxed: counts only; tests read them when the counted threads are at rest.
constinit std::atomic<int64_t> made{0};
constinit std::atomic<int64_t> freed{0};

#if GOCHAN_TSAN || GOCHAN_ASAN

// The sanitizers have an operator new of their own, and hooks into it. They see
// malloc too; that only makes the tests stricter.
[[maybe_unused]] const int hooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) {
      made.fetch_add(1, std::memory_order_relaxed);
    },
    [](const volatile void*) {
      freed.fetch_add(1, std::memory_order_relaxed);
    });

}  // namespace

#else

void* Make(std::size_t size, std::size_t alignment) {
  if (size == 0) size = 1;
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    memory = std::malloc(size);
  } else {
    // aligned_alloc wants a multiple of the alignment.
    memory = std::aligned_alloc(alignment,
                                (size + alignment - 1) / alignment * alignment);
  }
  if (memory != nullptr) made.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* MakeOrThrow(std::size_t size, std::size_t alignment) {
  void* const memory = Make(size, alignment);
  if (memory == nullptr) {
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
  }
  return memory;
}

void Free(void* memory) {
  if (memory == nullptr) return;
  freed.fetch_add(1, std::memory_order_relaxed);
  std::free(memory);
}

constexpr std::size_t kPlain = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t size) { return MakeOrThrow(size, kPlain); }
void* operator new[](std::size_t size) { return MakeOrThrow(size, kPlain); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return MakeOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return MakeOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return Make(size, kPlain);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return Make(size, kPlain);
}
void* operator new(std::size_t size, std::align_val_t alignment,
                   const std::nothrow_t&) noexcept {
  return Make(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return Make(size, static_cast<std::size_t>(alignment));
}

void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  Free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  Free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  Free(memory);
}
void operator delete(void* memory, std::align_val_t,
                     const std::nothrow_t&) noexcept {
  Free(memory);
}
void operator delete[](void* memory, std::align_val_t,
                       const std::nothrow_t&) noexcept {
  Free(memory);
}

#endif

namespace gochan::test {

int64_t Allocations() { return made.load(std::memory_order_relaxed); }

int64_t LiveAllocations() {
  return made.load(std::memory_order_relaxed) -
         freed.load(std::memory_order_relaxed);
}

// Not statm: the kernel counts that one in batches for each thread.
int64_t ResidentBytes() {
  long kilobytes = 0;
  if (std::FILE* file = std::fopen("/proc/self/smaps_rollup", "r")) {
    char line[256];
    while (std::fgets(line, sizeof(line), file) != nullptr) {
      if (std::sscanf(line, "Rss: %ld kB", &kilobytes) == 1) break;
    }
    std::fclose(file);
  }
  return int64_t{kilobytes} * 1024;
}

}  // namespace gochan::test

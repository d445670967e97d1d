// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/core_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/sanitizers.h"

#if GOCHAN_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gochan::model {

namespace {

constexpr std::size_t kBytes = 64 * 1024;
constexpr unsigned char kFreed = 0xdf;

struct Block {
  std::size_t offset;
  std::size_t size;
  bool freed;
};

// At one address in every process that lets us, because some of the library's
// hashes are of addresses and decide where a step finds what.
unsigned char* Memory() {
  static unsigned char* const memory = [] {
    void* const wanted = reinterpret_cast<void*>(uintptr_t{0x3d0000000000});
    void* const got = mmap(wanted, kBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) std::abort();
    return static_cast<unsigned char*>(got);
  }();
  return memory;
}

constinit Block blocks[64] = {};
constinit int block_count = 0;
constinit std::size_t used = 0;
constinit bool active = false;
constinit bool reusing = false;

bool IsOurs(const void* pointer) {
  const auto at = reinterpret_cast<uintptr_t>(pointer);
  const auto begin = reinterpret_cast<uintptr_t>(Memory());
  return at >= begin && at < begin + kBytes;
}

void* Allocate(std::size_t size, std::size_t align) {
  for (int i = 0; i < block_count && active && reusing; ++i) {
    Block& block = blocks[i];
    if (!block.freed || block.size != size) continue;
    block.freed = false;
#if GOCHAN_ASAN
    __asan_unpoison_memory_region(Memory() + block.offset, size);
#endif
    return Memory() + block.offset;
  }
  if (active && block_count < 64) {
    const std::size_t offset = (used + align - 1) / align * align;
    if (offset + size <= kBytes) {
      used = offset + size;
      blocks[block_count++] = {offset, size, false};
      return Memory() + offset;
    }
  }
  size = (size + align - 1) / align * align;
  void* const pointer = std::aligned_alloc(align, size);
  if (pointer == nullptr) std::abort();  // out of memory
  return pointer;
}

void Free(void* pointer) {
  if (!IsOurs(pointer)) {
    std::free(pointer);
    return;
  }
  for (int i = 0; i < block_count; ++i) {
    Block& block = blocks[i];
    if (Memory() + block.offset != pointer) continue;
    if (block.freed) std::abort();  // freed twice
    block.freed = true;
    std::memset(pointer, kFreed, block.size);
#if GOCHAN_ASAN
    __asan_poison_memory_region(pointer, block.size);
#endif
    return;
  }
  std::abort();
}

}  // namespace

CoreMemory::CoreMemory(bool reuse) {
  reusing = reuse;
#if GOCHAN_ASAN
  __asan_unpoison_memory_region(Memory(), kBytes);
#endif
  block_count = 0;
  used = 0;
  active = true;
}

CoreMemory::~CoreMemory() { active = false; }

bool CoreMemory::AllIsFreed() {
  return std::all_of(blocks, blocks + block_count,
                     [](const Block& block) { return block.freed; });
}

bool CoreMemory::FreedIsUntouched() {
#if !GOCHAN_ASAN  // which has seen to it
  for (int i = 0; i < block_count; ++i) {
    const unsigned char* const begin = Memory() + blocks[i].offset;
    if (blocks[i].freed &&
        std::any_of(begin, begin + blocks[i].size,
                    [](unsigned char byte) { return byte != kFreed; })) {
      return false;
    }
  }
#endif
  return true;
}

}  // namespace gochan::model

void* operator new(std::size_t size, std::align_val_t align) {
  return gochan::model::Allocate(size, static_cast<std::size_t>(align));
}
void operator delete(void* pointer, std::align_val_t) noexcept {
  gochan::model::Free(pointer);
}
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept {
  gochan::model::Free(pointer);
}

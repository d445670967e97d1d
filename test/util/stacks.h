// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the tests of stacks share.

#ifndef GOCHAN_TEST_UTIL_STACKS_H_
#define GOCHAN_TEST_UTIL_STACKS_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "runtime/stack.h"

namespace gochan::test {

inline std::size_t Page() {
  return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

inline bool KernelInstallsGuards() {
#if defined(__linux__)
  void* const page = mmap(nullptr, Page(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool can = madvise(page, Page(), 102) == 0 &&
                   access(static_cast<char*>(page), F_OK) != 0 &&
                   errno == EFAULT;
  munmap(page, Page());
  return can;
#else
  return false;
#endif
}

// Writes `bytes` from the top down, as a goroutine would.
inline void Use(const runtime::Stack& stack, std::size_t bytes,
                int value = 0x5a) {
  std::memset(stack.top() - bytes, value, bytes);
}

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_STACKS_H_

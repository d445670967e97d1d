// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/atomic128.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstring>
#endif

namespace gochan::runtime {

#if defined(__x86_64__)

constinit bool vector_load_is_atomic = false;

namespace {

// Intel's manual (volume 3, 8.1.1) and AMD's (volume 2, 7.3.2) promise that
// aligned 16-byte vector loads are single accesses on processors with AVX.
// OSXSAVE says that the kernel saves the registers AVX uses.
bool VectorLoadIsAtomic() {
#if defined(GOCHAN_FORCE_CMPXCHG16B_LOAD)
  return false;
#else
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0, &a, &b, &c, &d)) return false;
  char vendor[12];
  std::memcpy(vendor, &b, 4);
  std::memcpy(vendor + 4, &d, 4);
  std::memcpy(vendor + 8, &c, 4);
  if (std::memcmp(vendor, "GenuineIntel", 12) != 0 &&
      std::memcmp(vendor, "AuthenticAMD", 12) != 0) {
    return false;
  }
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  return (c & bit_AVX) != 0 && (c & bit_OSXSAVE) != 0;
#endif
}

[[maybe_unused]] const bool initialized =
    (vector_load_is_atomic = VectorLoadIsAtomic());

}  // namespace
#endif

}  // namespace gochan::runtime

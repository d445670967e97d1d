// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the program has allocated. A program that links this library has its
// global operator new and delete replaced by counting ones (under a sanitizer:
// its allocator hooked).

#ifndef GOCHAN_TEST_UTIL_ALLOCATIONS_H_
#define GOCHAN_TEST_UTIL_ALLOCATIONS_H_

#include <cstdint>

namespace gochan::test {

// Calls of operator new so far, by all threads.
int64_t Allocations();

// Those not given back yet.
int64_t LiveAllocations();

// The process's resident memory, in bytes.
int64_t ResidentBytes();

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_ALLOCATIONS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The size that keeps two words out of each other's cache line.

#ifndef GOCHAN_RUNTIME_CACHE_LINE_H_
#define GOCHAN_RUNTIME_CACHE_LINE_H_

#include <cstddef>

namespace gochan::runtime {

// A constant, not std::hardware_destructive_interference_size: that one may
// differ between translation units built with other tuning flags, and the
// layouts that use it cross them.
inline constexpr std::size_t kCacheLine = 64;

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_CACHE_LINE_H_

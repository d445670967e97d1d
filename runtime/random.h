// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Random: a small fast generator, one per party. Not for secrets.
//
// Source: Sebastiano Vigna, "splitmix64" (the generator of Java's
// SplittableRandom): every state yields, the period is 2^64, and one
// multiplication chain per number is all that a select's shuffle needs.

#ifndef GOCHAN_RUNTIME_RANDOM_H_
#define GOCHAN_RUNTIME_RANDOM_H_

#include <cstdint>

namespace gochan::runtime {

class Random {
 public:
  constexpr explicit Random(uint64_t seed) : state_(seed) {}

  constexpr uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // A number in [0, bound), bound > 0. The bias is below bound / 2^32 (the
  // multiply-shift of Lemire, without the rejection step).
  constexpr uint32_t Below(uint32_t bound) {
    return static_cast<uint32_t>(((Next() >> 32) * bound) >> 32);
  }

 private:
  uint64_t state_;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_RANDOM_H_

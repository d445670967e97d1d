// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Counted: values whose instances are counted, so that a lost, doubled or
// forgotten one shows.
//
//   Counted             copyable, default-constructible
//   MoveOnlyCounted     no copies
//   NoDefaultCounted    made from an int only
//   ThrowingCounted     its copy constructor throws CopyError when armed
//   BigCounted          200 bytes, all of them checked
//   CountedTest         fixture: fails if not every instance was destroyed once
//
// A moved-from instance has the value kMovedFrom, a default-made one 0.

#ifndef GOCHAN_TEST_UTIL_COUNTED_H_
#define GOCHAN_TEST_UTIL_COUNTED_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "gtest/gtest.h"
#include "test/util/scale.h"

namespace gochan::test {

inline constexpr int64_t kMovedFrom = -0x6d6f766564;

// Of all kinds together. Relaxed everywhere: read at rest.
struct InstanceCounts {
  static inline std::atomic<int64_t> live{0};
  static inline std::atomic<int64_t> copies{0};
  static inline std::atomic<int64_t> moves{0};
  // ThrowingCounted: the copies that may still succeed; < 0 is no limit.
  static inline std::atomic<int64_t> copies_left{-1};
};

struct CopyError : std::runtime_error {
  CopyError() : std::runtime_error("copy refused") {}
};

struct CountedTraits {
  bool copyable = true;
  bool default_made = true;
  bool throwing_copy = false;
  std::size_t padding = 0;
};

template <CountedTraits kTraits>
class BasicCounted {
 public:
  BasicCounted()
    requires(kTraits.default_made)
      : BasicCounted(0) {}
  BasicCounted(int64_t value) : value_(value) { Born(); }  // NOLINT: a value
  BasicCounted(const BasicCounted& other)
    requires(kTraits.copyable)
  {
    if constexpr (kTraits.throwing_copy) {
      if (InstanceCounts::copies_left.load(std::memory_order_relaxed) >= 0 &&
          InstanceCounts::copies_left.fetch_sub(1, std::memory_order_relaxed) <=
              0) {
#if defined(__cpp_exceptions)
        throw CopyError();
#endif
      }
    }
    other.CheckAlive();
    value_ = other.value_;
    InstanceCounts::copies.fetch_add(1, std::memory_order_relaxed);
    Born();
  }
  BasicCounted(BasicCounted&& other) noexcept {
    other.CheckAlive();
    value_ = other.value_;
    other.Set(kMovedFrom);
    InstanceCounts::moves.fetch_add(1, std::memory_order_relaxed);
    Born();
  }
  BasicCounted& operator=(const BasicCounted& other)
    requires(kTraits.copyable)
  {
    return *this = BasicCounted(other);
  }
  BasicCounted& operator=(BasicCounted&& other) noexcept {
    CheckAlive();
    other.CheckAlive();
    const int64_t value = other.value_;
    other.Set(kMovedFrom);
    Set(value);
    return *this;
  }
  ~BasicCounted() {
    CheckAlive();
    tag_ = kDead;
    InstanceCounts::live.fetch_sub(1, std::memory_order_relaxed);
  }

  int64_t value() const {
    CheckAlive();
    return value_;
  }
  bool moved_from() const { return value() == kMovedFrom; }

  friend bool operator==(const BasicCounted& a, const BasicCounted& b) {
    return a.value() == b.value();
  }

 private:
  static constexpr uint32_t kAlive = 0xa11feed5;
  static constexpr uint32_t kDead = 0xdeaddead;

  void Born() {
    tag_ = kAlive;
    self_ = this;
    Fill();
    InstanceCounts::live.fetch_add(1, std::memory_order_relaxed);
  }
  void Set(int64_t value) {
    value_ = value;
    Fill();
  }
  void Fill() {
    if constexpr (kTraits.padding > 0) {
      std::memset(padding_, static_cast<unsigned char>(value_),
                  kTraits.padding);
    }
  }
  // Neither destroyed already, nor never made, nor moved by memcpy, nor torn.
  void CheckAlive() const {
    if (tag_ != kAlive || self_ != this) Die("a dead Counted was used");
    if constexpr (kTraits.padding > 0) {
      for (std::size_t i = 0; i < kTraits.padding; ++i) {
        if (padding_[i] != static_cast<unsigned char>(value_)) {
          Die("a big Counted was torn");
        }
      }
    }
  }

  uint32_t tag_ = 0;
  const BasicCounted* self_ = nullptr;
  int64_t value_ = 0;
  unsigned char padding_[kTraits.padding > 0 ? kTraits.padding : 1] = {};
};

using Counted = BasicCounted<CountedTraits{}>;
using MoveOnlyCounted = BasicCounted<CountedTraits{.copyable = false}>;
using NoDefaultCounted = BasicCounted<CountedTraits{.default_made = false}>;
using ThrowingCounted = BasicCounted<CountedTraits{.throwing_copy = true}>;
using BigCounted = BasicCounted<CountedTraits{.padding = 176}>;
static_assert(sizeof(BigCounted) == 200);

class CountedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    live_ = InstanceCounts::live.load(std::memory_order_relaxed);
    InstanceCounts::copies_left.store(-1, std::memory_order_relaxed);
  }
  void TearDown() override {
    InstanceCounts::copies_left.store(-1, std::memory_order_relaxed);
    EXPECT_EQ(InstanceCounts::live.load(std::memory_order_relaxed), live_)
        << "instances made and not destroyed, or destroyed twice";
  }

 private:
  int64_t live_ = 0;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_COUNTED_H_

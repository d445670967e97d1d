// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Working memory of a select.

#ifndef GOCHAN_SELECT_INTERNAL_SCRATCH_H_
#define GOCHAN_SELECT_INTERNAL_SCRATCH_H_

#include <cstddef>
#include <memory>
#include <utility>

namespace gochan::internal {

// Working memory for n cases: on the stack for a few, else a block that the
// thread keeps for its next large select.
template <typename T, std::size_t kInline>
class Scratch {
 public:
  explicit Scratch(std::size_t n) {
    if (n <= kInline) {
      data_ = reinterpret_cast<T*>(inline_);
      return;
    }
    Block block = std::exchange(Kept(), Block{});
    if (block.capacity < n) {
      block.memory = std::make_unique<std::byte[]>(n * sizeof(T));
      block.capacity = n;
    }
    block_ = std::move(block);
    data_ = reinterpret_cast<T*>(block_.memory.get());
  }
  ~Scratch() {
    if (block_.memory != nullptr) Kept() = std::move(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity = 0;
  };
  // Not inlined: a party may have moved to another thread between two calls.
  [[gnu::noinline]] static Block& Kept() {
    static thread_local Block kept;
    return kept;
  }

  alignas(T) std::byte inline_[kInline * sizeof(T)];
  Block block_;
  T* data_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_SELECT_INTERNAL_SCRATCH_H_

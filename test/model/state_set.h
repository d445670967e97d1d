// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// StateSet: the states that a search has been in, by 64-bit name, each with the
// largest allowance (of preemptions and freezes) that it was entered with. A
// collision of names, 1 in 2^60 per pair, would hide schedules, never an error.

#ifndef GOCHAN_TEST_MODEL_STATE_SET_H_
#define GOCHAN_TEST_MODEL_STATE_SET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gochan::model {

class StateSet {
 public:
  StateSet() { Clear(); }

  void Clear() {
    table_.assign(std::size_t{1} << 14, 0);
    size_ = 0;
  }
  std::size_t size() const { return size_; }

  // True if `name` was entered with at least `allowance` (0..15) already.
  bool Enter(uint64_t name, unsigned allowance) {
    const uint64_t key = (name & ~uint64_t{15}) | (name == 0 ? 16 : 0);
    uint64_t& entry = Find(key);
    if (entry != 0) {
      if ((entry & 15) >= allowance) return true;
      entry = key | allowance;
      return false;
    }
    entry = key | allowance;
    if (++size_ * 2 > table_.size()) Grow();
    return false;
  }

 private:
  uint64_t& Find(uint64_t key) {
    const std::size_t mask = table_.size() - 1;
    std::size_t i = (key >> 4) * 0x9e3779b97f4a7c15 >> 20 & mask;
    while (table_[i] != 0 && (table_[i] & ~uint64_t{15}) != key) {
      i = (i + 1) & mask;
    }
    return table_[i];
  }

  void Grow() {
    std::vector<uint64_t> old(table_.size() * 2, 0);
    old.swap(table_);
    for (const uint64_t entry : old) {
      if (entry != 0) Find(entry & ~uint64_t{15}) = entry;
    }
  }

  std::vector<uint64_t> table_;
  std::size_t size_ = 0;
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_STATE_SET_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/slot_tree.h"

namespace gochan::internal {

uint32_t SlotTree::NextBlock(uint32_t index) {
  uint32_t branch = 0;
  while (index != 0) {
    const Block& block = BlockAt(index);
    for (; branch < kBranches; ++branch) {
      // T2 acquire: the block's links; pairs with T2 in Grow().
      const uint32_t below =
          block.below[branch].load(std::memory_order_acquire);
      if (below != 0) return below;
    }
    branch = block.branch + 1;
    index = block.above;
  }
  return 0;
}

// Returns the block at `link`, which it makes if there is none yet.
uint32_t SlotTree::Grow(Atomic<uint32_t>& link, uint32_t above,
                        uint32_t branch) {
  const uint32_t made = BlockArena::Allocate() + 1;
  Block& block = BlockAt(made);
  block.above = above;
  block.branch = branch;
  uint32_t found = 0;
  // T2 release: the block's links; pairs with T2 in NextBlock() and Insert().
  // seq_cst for Untouched() (T1): who inserts and then finds the owner open is
  // found by the owner that closes and then looks.
  if (link.compare_exchange(found, made, std::memory_order_seq_cst)) {
    return made;
  }
  BlockArena::Free(made - 1);
  return found;
}

void SlotTree::Insert(Pair64 entry, uint64_t hash, Atomic<uint64_t>& position) {
  Atomic<uint32_t>* link = &root_;
  uint32_t above = 0;
  uint32_t branch = 0;
  for (;;) {
    uint32_t index = link->load(std::memory_order_acquire);  // T2
    if (index == 0) index = Grow(*link, above, branch);
    Block& block = BlockAt(index);
    const uint32_t start = static_cast<uint32_t>(hash >> 32) % kSlots;
    for (uint32_t i = 0; i < kSlots; ++i) {
      const uint32_t place = (start + i) % kSlots;
      Atomic128& slot = block.slots[place];
      // Relaxed: a hint; the swap decides.
      if (slot.LoadLo(std::memory_order_relaxed) != 0) continue;
      // Relaxed: released by the swap to those who find the entry; the owner's
      // own order is enough for itself.
      position.store(SlotRef::Make(index, place).bits(),
                     std::memory_order_relaxed);
      Pair64 empty;
      if (slot.CompareExchange(empty, entry)) return;
    }
    branch = hash % kBranches;
    hash = hash >> 2 | hash << 62;
    link = &block.below[branch];
    above = index;
  }
}

SlotRef SlotTree::First() const {
  const uint32_t root = root_.load(std::memory_order_seq_cst);  // T1, T2
  return root == 0 ? SlotRef() : SlotRef::Make(root, 0);
}

void SlotTree::Release() {
  // Relaxed throughout: nobody else knows the tree any more, and the arena
  // hands the blocks over with an edge of its own.
  uint32_t index = root_.load(std::memory_order_relaxed);
  root_.store(0, std::memory_order_relaxed);
  while (index != 0) {
    Block& block = BlockAt(index);
    uint32_t below = 0;
    for (const auto& link : block.below) {
      if (below == 0) below = link.load(std::memory_order_relaxed);
    }
    if (below != 0) {
      index = below;
      continue;
    }
    for (Atomic128& slot : block.slots) {
      // A swap: the entry's owner may be removing it at this moment.
      Pair64 found{slot.LoadLo(std::memory_order_relaxed), 0};
      while (found.lo != 0 && !slot.CompareExchange(found, {})) {
      }
    }
    const uint32_t above = block.above;
    if (above != 0) {
      BlockAt(above).below[block.branch].store(0, std::memory_order_relaxed);
    }
    BlockArena::Free(index - 1);
    index = above;
  }
}

uint32_t SlotTree::BlocksForTest() { return BlockArena::HighWater(); }

}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// SlotTree: a bag of 16-byte entries to which many threads add at once, which
// removes an entry by swapping its slot back, and which is read by visitors.
//
//   Insert     takes an empty slot near the root
//   First, Next
//              every slot in turn, empty ones too, with no memory of its own
//   Release    when the owner dies: gives all blocks back
//
// Blocks of 14 slots form a tree with four branches each; an entry goes to the
// first empty slot on the path that its hash takes, starting in each block
// where the hash says. So threads that insert at once meet on few slots, a bag
// of one is one block, and emptied slots are found again, which bounds the
// number of blocks by the most entries there ever were at a time (times the
// unevenness of the hash).
//
// Blocks are type-stable (runtime/arena.h): a thread that comes late with the
// position of an entry reads a slot, perhaps in another owner's tree. It must
// compare the whole entry, and entries must never repeat: here they are
// {subscription, serial of its context} or {child, …} whose memory is in use.
//
// Memory ordering: slots are swapped and read seq_cst. What a thread did before
// Insert() is visible to whoever reads the entry.
//
// Progress: lock-free; a failed swap means that somebody else inserted or
// removed.

#ifndef GOCHAN_CHAN_INTERNAL_SLOT_TREE_H_
#define GOCHAN_CHAN_INTERNAL_SLOT_TREE_H_

#include <cstdint>

#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/atomic128.h"

namespace gochan::internal {

using runtime::Atomic;
using runtime::Atomic128;
using runtime::Pair64;

// Where an entry is: struct { place:32 block+1:32 }; 0 is nowhere. It stays
// valid memory for ever.
class SlotRef {
 public:
  constexpr SlotRef() = default;
  constexpr explicit SlotRef(uint64_t bits) : bits_(bits) {}
  static constexpr SlotRef Make(uint32_t block, uint32_t place) {
    return SlotRef(uint64_t{block} << 32 | place);
  }
  constexpr uint64_t bits() const { return bits_; }
  constexpr uint32_t block() const {
    return static_cast<uint32_t>(bits_ >> 32);
  }
  constexpr uint32_t place() const { return static_cast<uint32_t>(bits_); }
  constexpr explicit operator bool() const { return bits_ != 0; }

 private:
  uint64_t bits_ = 0;
};

class SlotTree {
 public:
  constexpr SlotTree() = default;
  SlotTree(const SlotTree&) = delete;
  SlotTree& operator=(const SlotTree&) = delete;

  // Adds `entry`, whose lo is not 0. Before each attempt the slot about to be
  // tried is stored in `position`, so that whoever finds the entry finds its
  // position too; it is right once Insert() has returned. May throw
  // std::bad_alloc.
  void Insert(Pair64 entry, uint64_t hash, Atomic<uint64_t>& position);

  // Nothing was ever inserted.
  bool Untouched() const {
    // T1 seq_cst: against the swap in Grow(), for owners that close something
    // and then ask whether anybody must be told.
    return root_.load(std::memory_order_seq_cst) == 0;
  }

  // All slots, in an order that stays while the tree grows; what is inserted
  // meanwhile may be missed. The tree's owner is alive.
  SlotRef First() const;
  static SlotRef Next(SlotRef slot);
  static Atomic128& At(SlotRef slot);

  // By the last one who knows the tree: every slot becomes empty.
  void Release();

  static uint32_t BlocksForTest();

 private:
  static constexpr uint32_t kBranches = 4;
  static constexpr uint32_t kSlots = 14;

  struct alignas(64) Block {
    // The blocks below, index + 1, 0 for none yet.
    //   state   set by            next            who may act
    //   0       Release, fresh    a block         any inserter: Grow
    //   block   one inserter      0 (Release)     nobody
    Atomic<uint32_t> below[kBranches];
    // The block above, index + 1, and which of its branches this is. Written
    // before the block is linked; read by those who came through that link.
    uint32_t above;
    uint32_t branch;
    Atomic<uint32_t> free_next;  // the arena's
    // An entry, or {0, 0}. Entries are the user's; see there for their tables.
    Atomic128 slots[kSlots];

    Atomic<uint32_t>& free_link() { return free_next; }
  };
  static_assert(sizeof(Block) == 256, "four cache lines");
  using BlockArena = runtime::Arena<Block, (1u << 24), 16>;

  static Block& BlockAt(uint32_t index_plus_1) {
    return BlockArena::At(index_plus_1 - 1);
  }

  static uint32_t Grow(Atomic<uint32_t>& link, uint32_t above, uint32_t branch);
  // The block after this one in preorder, 0 after the last.
  static uint32_t NextBlock(uint32_t index);

  // The root block's index + 1, 0 for none. Set once, until Release().
  Atomic<uint32_t> root_{0};
};

inline SlotRef SlotTree::Next(SlotRef slot) {
  if (slot.place() + 1 < kSlots) {
    return SlotRef::Make(slot.block(), slot.place() + 1);
  }
  const uint32_t next = NextBlock(slot.block());
  return next == 0 ? SlotRef() : SlotRef::Make(next, 0);
}

inline Atomic128& SlotTree::At(SlotRef slot) {
  return BlockAt(slot.block()).slots[slot.place()];
}

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_SLOT_TREE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/waiter.h"

namespace gochan::internal {

namespace {

// The end of a record's nodes. Fresh memory is zero and 0 is a node's number,
// so `next` is set when the node is made.
constexpr uint32_t kNoNode = NodeArena::kNone;

// Records that nobody uses, each with the nodes that it has made. A node
// belongs to one record for ever, so the arena's own free list holds fresh
// units only.
constinit runtime::FreeStack<NodeArena> free_records;

Node& MakeNode(uint32_t record) {
  const uint32_t index = NodeArena::Allocate();
  Node& node = NodeArena::At(index);
  node.record = record == kNoNode ? index : record;
  node.next = kNoNode;
  return node;
}

void ReleaseWaiter(void* waiter) { FreeRecord(*static_cast<Node*>(waiter)); }

// The party never runs again: nobody may give it anything. Its frame stays, so
// who is serving it right now does no harm.
void WithdrawWaiter(void* waiter) {
  Node& record = *static_cast<Node*>(waiter);
  // The claim word is of the present wait if that is a select's.
  uint64_t found = record.claim.load(std::memory_order_acquire);
  if (Claim(found).gen() == record.gen &&
      Claim(found).state() != Claim::kIdle) {
    // W1 acq_rel, as in TryClaim(). False: somebody has chosen already.
    (void)TryClaimSelf(record, record.gen);
    return;
  }
  // Relaxed: see IsWithdrawn().
  record.claim.store(Claim::Withdrawn().bits(), std::memory_order_relaxed);
}

}  // namespace

Node& AllocateRecord() {
  const uint32_t index = free_records.Pop();
  return index != kNoNode ? NodeArena::At(index) : MakeNode(kNoNode);
}

void FreeRecord(Node& record) {
  const uint32_t index = NodeArena::IndexOf(&record);
  free_records.Push(index, index);
}

Node& WaiterRecordSlow(runtime::Party& party) {
  Node& record = AllocateRecord();
  party.waiter = &record;
  party.release_waiter = &ReleaseWaiter;
  party.withdraw_waiter = &WithdrawWaiter;
  return record;
}

Node& MakeNextNode(Node& record, Node& node) {
  Node& made = MakeNode(NodeArena::IndexOf(&record));
  node.next = NodeArena::IndexOf(&made);
  return made;
}

}  // namespace gochan::internal

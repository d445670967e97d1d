// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// One blocked party, whoever it is: its record, its nodes, their ids, and the
// claim word that decides how a select's wait ends.
//
//   WaiterId      names one enrolment of one waiter in one queue
//   Claim         the claim word, and its transitions
//   Node          one enrolment; node 0 of a waiter is its record
//   WaiterRecord  the calling party's record
//
// Nodes are type-stable (runtime/arena.h) and belong to one record for ever. A
// node's generation is its waiter's enrolment number: new for every wait, the
// same in the claim word and in all nodes of one select. An id whose generation
// is over is dead; limits: 2^28 nodes, 2^30 enrolments of one waiter between a
// read of an id and the swap that trusts it.

#ifndef GOCHAN_CHAN_INTERNAL_WAITER_H_
#define GOCHAN_CHAN_INTERNAL_WAITER_H_

#include <cstddef>
#include <cstdint>

#include "chan/internal/mutation.h"
#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/park.h"

namespace gochan::internal {

using runtime::Atomic;

enum class Dir : uint8_t { kSend = 0, kRecv = 1 };

constexpr Dir Opposite(Dir dir) {
  return dir == Dir::kSend ? Dir::kRecv : Dir::kSend;
}

// -----------------------------------------------------------------------------
// WaiterId
// -----------------------------------------------------------------------------

// struct { node:28  gen:30  select:1  dir:1  bi:1 }, from the lowest bit up.
// A channel's seat holds all of it; a queue cell, and the seat of a buffered
// channel, never have `bi`.
//   select  the waiter can leave, and is won by claim; else it is plain, and
//           whoever passes its place owns it
//   bi      it waits to send and to receive; `dir` is kRecv then
class WaiterId {
 public:
  static constexpr uint64_t kNodeMask = (uint64_t{1} << 28) - 1;
  static constexpr uint64_t kGenMask = (uint64_t{1} << 30) - 1;
  static constexpr uint64_t kMask = (uint64_t{1} << 61) - 1;
  static constexpr uint64_t kSelect = uint64_t{1} << 58;
  static constexpr uint64_t kDir = uint64_t{1} << 59;  // set: kRecv

  constexpr WaiterId() = default;
  constexpr explicit WaiterId(uint64_t bits) : bits_(bits & kMask) {}
  static constexpr WaiterId Make(uint32_t node, uint32_t gen, bool select,
                                 Dir dir, bool bi) {
    return WaiterId(node | (gen & kGenMask) << 28 | uint64_t{select} << 58 |
                    static_cast<uint64_t>(dir) << 59 | uint64_t{bi} << 60);
  }

  constexpr uint64_t bits() const { return bits_; }
  constexpr uint32_t node() const {
    return static_cast<uint32_t>(bits_ & kNodeMask);
  }
  constexpr uint32_t gen() const {
    return static_cast<uint32_t>(bits_ >> 28 & kGenMask);
  }
  constexpr bool is_select() const { return (bits_ >> 58 & 1) != 0; }
  constexpr Dir dir() const { return static_cast<Dir>(bits_ >> 59 & 1); }
  constexpr bool bi() const { return (bits_ >> 60 & 1) != 0; }

  // Would this waiter be served by a party that goes in direction `partner`?
  constexpr bool Serves(Dir partner) const { return bi() || dir() != partner; }

  friend constexpr bool operator==(WaiterId, WaiterId) = default;

 private:
  uint64_t bits_ = 0;
};

// -----------------------------------------------------------------------------
// Claim
// -----------------------------------------------------------------------------

// What a claim is for.
//   kDirect   the claimer serves the waiter itself; the claim is the moment
//   kPlace    claim, then swap: whoever finds this claim does the same swap of
//             the channel's word, and the one that wins serves the waiter
//   kClosed   the channel is closed; the claimer wakes the waiter
//   kRetry    the waiter must start over (bounced)
//   kTimeout  the select's own deadline
enum class ClaimMode : uint8_t { kDirect, kPlace, kClosed, kRetry, kTimeout };

// The claim word of a select's waiter: who decides how this wait ends.
// struct { gen:30  state:2  mode:3  k:17 }, from the lowest bit up.
//   state   set by            next             who may act
//   kIdle   (fresh memory)    kOpen            the owner: open a wait
//   kOpen   publisher         kTaken, kSelf    any partner, timer, context
//   kTaken  one partner       kOpen, next gen  that partner: finish k and wake;
//                                              kPlace: any helper of the swap
//   kSelf   publisher, owner  kOpen, next gen  the owner: withdraw, start over
// Of a waiter that will never run again an open one becomes kSelf; if it waits
// in a plain operation, the word is Withdrawn() for ever.
// A new generation opens only after the owner has withdrawn every node.
class Claim {
 public:
  enum State : uint8_t { kIdle, kOpen, kSelf, kTaken };

  constexpr explicit Claim(uint64_t bits) : bits_(bits) {}
  static constexpr Claim Open(uint32_t gen) {
    return Claim((gen & WaiterId::kGenMask) | uint64_t{kOpen} << 30);
  }
  static constexpr Claim Self(uint32_t gen) {
    return Claim((gen & WaiterId::kGenMask) | uint64_t{kSelf} << 30);
  }
  static constexpr Claim Taken(uint32_t gen, uint32_t k, ClaimMode mode) {
    return Claim((gen & WaiterId::kGenMask) | uint64_t{kTaken} << 30 |
                 static_cast<uint64_t>(mode) << 32 | uint64_t{k} << 35);
  }

  constexpr uint64_t bits() const { return bits_; }
  constexpr uint32_t gen() const {
    return static_cast<uint32_t>(bits_ & WaiterId::kGenMask);
  }
  constexpr State state() const { return static_cast<State>(bits_ >> 30 & 3); }
  constexpr ClaimMode mode() const {
    return static_cast<ClaimMode>(bits_ >> 32 & 7);
  }
  constexpr uint32_t k() const { return static_cast<uint32_t>(bits_ >> 35); }

  // The plain waiter will never run again: a claim that is in no wait of a
  // select.
  static constexpr Claim Withdrawn() { return Claim(~uint64_t{0}); }

  friend constexpr bool operator==(Claim, Claim) = default;

 private:
  uint64_t bits_;
};

// How a waiter is woken.
enum class WakeResult : uint32_t {
  kOk = runtime::ParkSlot::kFirstResult,  // its operation has taken place
  kClosed,                                // the channel was closed
  kRetry,                                 // nothing happened; start over
};

// -----------------------------------------------------------------------------
// Node
// -----------------------------------------------------------------------------

struct Node;
using NodeArena = runtime::Arena<Node, (1u << 28), 256>;

// One cache line. The fields of the record are used in node 0 alone.
struct alignas(64) Node {
  // --- the record (node 0 only)
  Atomic<uint64_t> claim;  // Claim; for plain waiters Withdrawn() or anything
  runtime::ParkSlot park;  // where the party sleeps

  // --- every node
  uint32_t record;  // index of node 0; written once, before first use
  uint32_t gen;     // node 0: enrolments so far; touched by the owner

  // Where the value comes from (kSend) or goes to (kRecv), by direction, in the
  // waiter's frame, which stays put because the waiter sleeps until its partner
  // is finished. Written before the install; read by whoever owns the waiter.
  void* slot[2];
  // The number of the select's case, by direction. Atomic because a partner
  // reads it before its claim, perhaps from a later life; the claim's
  // generation then refuses.
  Atomic<uint16_t> k[2];
  // Node 0: the record's subscriptions (broadcast.h), index + 1, 0 for none;
  // owner only.
  uint32_t subscriptions;

  Atomic<uint32_t> free_next;  // the arena's
  uint32_t next;  // the record's next node, kNone at the end; owner

  Atomic<uint32_t>& free_link() { return free_next; }
};
static_assert(sizeof(Node) == 64, "a node is one cache line");

inline Node& NodeOf(WaiterId id) { return NodeArena::At(id.node()); }
inline Node& RecordOf(WaiterId id) { return NodeArena::At(NodeOf(id).record); }

// Is the select that `id` names still waiting for anybody?
inline bool IsOpen(WaiterId id) {
  // W1 acquire: pairs with the release of Open() and of the claims, so that who
  // sees a claim taken sees what led to it.
  const Claim claim(RecordOf(id).claim.load(std::memory_order_acquire));
  if (Mutated(Mutant::kNoGeneration)) return claim.state() == Claim::kOpen;
  return claim == Claim::Open(id.gen());
}

// kOpen -> kTaken(k, mode). The winner owns the waiter: it, and nobody else,
// finishes case k and wakes the record. On failure `*found` is the claim word.
[[nodiscard]] inline bool TryClaim(Node& record, uint32_t gen, uint32_t k,
                                   ClaimMode mode, Claim* found = nullptr) {
  if (Mutated(Mutant::kNoGeneration)) {
    gen = Claim(record.claim.load(std::memory_order_acquire)).gen();
  }
  uint64_t expected = Claim::Open(gen).bits();
  // W1 acq_rel: acquires what the publisher wrote (the frame's slots) before it
  // opened the claim; releases what the claimer saw to whoever finds it taken.
  if (record.claim.compare_exchange(expected, Claim::Taken(gen, k, mode).bits(),
                                    std::memory_order_acq_rel)) {
    return true;
  }
  if (found != nullptr) *found = Claim(expected);
  return false;
}

// kOpen -> kSelf: the select itself starts over. False: somebody has chosen.
[[nodiscard]] inline bool TryClaimSelf(Node& record, uint32_t gen) {
  uint64_t expected = Claim::Open(gen).bits();
  // W1 acq_rel, as in TryClaim().
  return record.claim.compare_exchange(expected, Claim::Self(gen).bits(),
                                       std::memory_order_acq_rel);
}

// Will the plain waiter `id` never run again? No step for tools: it does not
// change while a world runs.
inline bool IsWithdrawn(WaiterId id) {
  // Relaxed: who has it before it was withdrawn may serve it still.
  return NodeOf(id).claim.word()->load(std::memory_order_relaxed) ==
         Claim::Withdrawn().bits();
}

inline void Wake(Node& record, WakeResult result) {
  record.park.Wake(static_cast<uint32_t>(result));
}

// -----------------------------------------------------------------------------
// Records
// -----------------------------------------------------------------------------

// The record of `party`, made at first use and given back when the party ends.
Node& WaiterRecordSlow(runtime::Party& party);

inline Node& WaiterRecord(runtime::Party& party) {
  if (party.waiter == nullptr) [[unlikely]] {
    return WaiterRecordSlow(party);
  }
  return *static_cast<Node*>(party.waiter);
}

// A record for somebody who is no party (a callback), and back. Owner only; a
// record is given back with no node of it enrolled.
Node& AllocateRecord();
void FreeRecord(Node& record);

// The next enrolment number of `record`; owner only.
inline uint32_t NextGeneration(Node& record) {
  record.gen = (record.gen + 1) & WaiterId::kGenMask;
  return record.gen;
}

// kIdle | kTaken | kSelf -> kOpen(gen), by the publisher.
inline void OpenClaim(Node& record, uint32_t gen) {
  // W1 release: the frame's slots and cases are written; pairs with the acquire
  // in TryClaim(). seq_cst is not needed: nodes are installed by swaps after
  // it.
  record.claim.store(Claim::Open(gen).bits(), std::memory_order_release);
}

// Walks the record's nodes from node 0 on, making new ones at the end; each
// stays with the record for ever. Owner (or its publisher) only. May throw
// std::bad_alloc, so selects reserve their nodes before anything is published.
Node& MakeNextNode(Node& record, Node& node);

inline Node& NextNode(Node& record, Node& node) {
  if (node.next == NodeArena::kNone) [[unlikely]] {
    return MakeNextNode(record, node);
  }
  return NodeArena::At(node.next);
}

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_WAITER_H_

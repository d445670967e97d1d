// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Mutation: switches that take out one guard of the algorithm each, so that the
// model tests can show that the guard is needed (test/model/mutants_test.cc).
//
//   if (!Mutated(Mutant::kNoReread) && WordHasMoved()) return Again();
//
// Constant false, and so compiled away, unless GOCHAN_INSTRUMENT is set.

#ifndef GOCHAN_CHAN_INTERNAL_MUTATION_H_
#define GOCHAN_CHAN_INTERNAL_MUTATION_H_

#include <cstdint>

#include "runtime/instrument.h"

namespace gochan::internal {

enum class Mutant : uint8_t {
  kNone,
  // --- the queue and the state word
  kNoBounce,  // count, although the seat waits for the other direction
  kNoSettleAfterCount,  // an enqueuer leaves the mismatch that it has made
  kNoReread,            // claim or pop without reading the word again
  kNoSerialReread,      // ... without reading the segment's serial again
  kSwapBeforeClaim,     // admit and serve swap first and claim then
  kPopBeforeClaim,      // a select is popped first and claimed then
  kOvertake,            // put although senders wait
  kNoHelpCount,         // wait for a slower owner instead of counting for it
  kNoHelpPlace,         // do not finish another's claim for this place
  kNoCloseSettle,       // close leaves the waiters to others
  kNoGeneration,        // claims ignore the enrolment number
  kNoPositionCheck,     // the queue is empty when the 31 low bits say so
  kNoSerialInHint,      // hints are compared by index alone
  kNoTailFallback,      // a lost walker starts again from the tail hint
  // --- the seat of a buffered channel
  kSeatAlone,     // who leaves the seat ignores the queue behind it
  kNoNote,        // sit without noting where the queue begins
  kBlindNote,     // a note replaces a newer one
  kKeepNote,      // a note that happens to be right is not replaced
  kNoNoteCheck,   // trust a note without reading the word again
  kServeBounced,  // a place of the other direction is a waiter like any other
  // --- words that are owned
  kNoRestart,    // who shares an owned word does not restart its owner
  kShareAtOnce,  // ... says that it is shared before he has
  // --- select
  kNoDefaultConfirm,  // default after one look at each channel
  kNoLeft,            // go on before the publisher has left
  kNoEnrolStop,       // go on enrolling after the claim is taken
  kRandomEnrolOrder,  // enrol in the order of the cases
  kSlotBeforeRead,    // swap writes the new value before it reads the old one
  // --- contexts
  kNoParentReread,  // a child does not look at its parent after attaching
  kNoEndReread,     // who makes a Done channel does not look at its context
  kNoVisitorCheck,  // a context dies although its parent is being walked
  kNoDoneReread,    // a subscriber does not look again after subscribing
  kNoSubscriptionSerial,  // firing ignores the subscription's serial
  // --- timer channels
  kNoBurn,    // Stop and Reset do not use up the armed ticket
  kNoTicket,  // a deadline is taken for that of any setting
};

inline constexpr int kMutants = static_cast<int>(Mutant::kNoTicket) + 1;

#if GOCHAN_INSTRUMENT
// Set by a test while nothing else runs.
inline constinit Mutant active_mutant = Mutant::kNone;
inline bool Mutated(Mutant mutant) { return active_mutant == mutant; }
// Likewise: on buffered channels nobody sits, all wait in the queue. No error,
// but a way to reach the queue in fewer operations.
inline constinit bool no_ring_seat = false;
inline bool MayUseRingSeat() { return !no_ring_seat; }
// So often a young word is used by one thread, and it is owned by it; 0: from
// the start.
inline constinit uint32_t owned_after = 128;
inline uint32_t OwnedAfter() { return owned_after; }
// Does a word that is made by one who has no mark belong to whoever comes
// first?
inline constinit bool fresh_words = false;
inline bool MayBeFresh() { return fresh_words; }
// Is every channel one where somebody was held up at a slot?
inline constinit bool slots_are_looked_at = true;
inline bool SlotsAreLookedAt() { return slots_are_looked_at; }
inline bool IsTimeToOwn(uint32_t uses) {
  return owned_after != 0 && (uses + 1) % owned_after == 0;
}
#else
constexpr bool Mutated(Mutant) { return false; }
constexpr bool MayUseRingSeat() { return true; }
constexpr uint32_t OwnedAfter() { return 128; }
constexpr bool MayBeFresh() { return true; }
constexpr bool IsTimeToOwn(uint32_t uses) { return (uses + 1) % 128 == 0; }
#endif

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_MUTATION_H_

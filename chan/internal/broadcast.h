// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Broadcast: a channel that carries nothing and is only ever closed; what a
// context's Done() is. Thousands of parties may wait on it without contending.
//
//   Closed      has it been closed?
//   Wait        blocks the caller until then
//   Subscribe   one case of a select waits (a store and a load, when the record
//               has waited here often)
//   Fire        closes it and wakes everybody
//
// Nobody queues: whoever waits leaves its claim in a *subscription* of its own,
// and firing visits them all. Nothing is undone when the wait ends otherwise:
// the claim's generation is over then, and the visitor's swap fails.
//
//   waiter record ──► subscription ──► subscription …    (owner only)
//                        ▲ word {gen, k}, serial
//                        │
//   broadcast ──► tree of slots {subscription, serial of the broadcast}
//
// A subscription belongs to one record for ever and its memory is type-stable,
// so a visitor that comes late reads one, though perhaps on another broadcast
// by now. Hence the order: the owner changes `serial` only when no wait uses
// the subscription, and before it writes the next word; the visitor reads the
// word and *then* the serial. Is that its own, the word was meant for it, or is
// over.
//
//   owner (moves S from A to B)            A's visitor
//     1. serial = B                          i.  w = word
//     2. slot of B = S                       ii. serial == A ? claim by w
//     3. word = {gen, k}
//   If w is from 3, then ii comes after 1 and refuses. If it is older, its
//   generation was over before 1, and the claim fails.
//
// (docs/design/context.md has what an exhaustive search says about that.)
//
// Memory ordering: what happened before Fire() in thread X is visible to thread
// Y once Closed() is true, Wait() has returned, or a claim has come from here.
//
// Subscribing against firing: the owner stores the word, then reads closed; who
// fires closes, then reads the words. The first uses of a subscription on a
// broadcast do that seq_cst, so a context that ends with its request, after a
// few selects, is closed without a system call, and disturbs no other
// processor. From then on the subscription is *light*: see runtime/barrier.h,
// where `mine` is the word and `theirs` is closed. Before that it says so:
//
//   owner                              who fires
//     1. light_ = 1         seq_cst      i.   closed          seq_cst
//     2. word = {gen, k}    light        ii.  light_ == 1 ? HeavyBarrier()
//     3. reads closed                    iii. reads the word
//   If ii finds 0, then i comes before 1, and 3 sees closed.
//
// Progress: lock-free. Closing is one step; a visitor that is frozen leaves its
// waiters asleep until somebody else fires too, which every further Fire()
// does.

#ifndef GOCHAN_CHAN_INTERNAL_BROADCAST_H_
#define GOCHAN_CHAN_INTERNAL_BROADCAST_H_

#include <cstdint>

#include "chan/internal/core.h"
#include "chan/internal/slot_tree.h"
#include "chan/internal/waiter.h"
#include "runtime/atomic.h"
#include "runtime/source_location.h"

namespace gochan::internal {

enum class Subscribed : uint8_t {
  kWaiting,  // the claim can be taken from here
  kFired,    // it is closed: the select claims itself
};

struct Subscription;

class Broadcast : public Core {
 public:
  // One for itself, with one reference.
  static Broadcast* Make();

  bool Closed() const {
    // S1 seq_cst (state_word.h).
    return (state().ReadLo() & Word::kClosed) != 0;
  }

  // Blocks the caller, goroutine or thread, until it is closed.
  void Wait(const SourceLocation& site);

  // Broadcast::Subscribe()
  //
  // By the publisher of the select `record`, whose claim is open in generation
  // `gen`: from now on firing may claim it for case `k` (kDirect) and wake it
  // with WakeResult::kClosed. Ends the program if there is no memory left for
  // waiters. Lock-free.
  Subscribed Subscribe(Node& record, uint32_t gen, uint32_t k);

  // Closes and wakes everybody; returns when all who were waiting are on their
  // way. May be called any number of times by anybody who holds a reference.
  void Fire();

  // The parts of Fire(), for those who close many at once.
  //   Close     true if this call did it
  //   Watched   somebody has waited here, ever: asked after Close(), false
  //             means that nobody need be woken
  //   HasLight  asked after Close(), true means that a HeavyBarrier() has to
  //             come before
  //   Visit     wakes them
  bool Close() { return SetClosed(); }
  bool Watched() const {
    // D1 seq_cst, after the swap of Close(): pairs with D1 in Serial(). Either
    // this sees the serial, or its owner, who reads closed later, sees that.
    return serial_.load(std::memory_order_seq_cst) != 0;
  }
  bool HasLight() const {
    // D4 seq_cst, after the swap of Close(): pairs with D4 in Lighten().
    return light_.load(std::memory_order_seq_cst) != 0;
  }
  void Visit();

  // True for one that is a context; who asks knows which class that is.
  virtual bool IsContext() const { return false; }

  // Slots in use, and those whose record is waiting now; exact at rest.
  int SubscriptionsForTest() const;
  int WaitersForTest() const;

 protected:
  Broadcast();
  ~Broadcast() override;
  void Destroy() override;

 private:
  struct Waiting;

  template <typename Function>
  void ForEachWaiter(Function function) const;
  uint64_t Serial();
  Subscription& Take(Node& record, uint32_t gen);
  void Link(Subscription& subscription);
  void Lighten();
  static void Publish(void* waiting);

  // Broadcast::serial_: never that of another broadcast, so that a subscription
  // cannot take this one for one that died at the same address.
  //   state   set by           next       who may act
  //   0       (start)          a serial   the first to wait here
  //   serial  that waiter      (final)    everybody
  Atomic<uint64_t> serial_{0};

  // Broadcast::light_: whether somebody may subscribe without a fence.
  //   state   set by                next      who may act
  //   0       (start)               1         any owner, before it does
  //   1       the first such owner  (final)   everybody
  Atomic<uint8_t> light_{0};

  // Who has subscribed: {subscription + 1, serial_}.
  //   entry   set by           next   who may act
  //   {0, 0}  the tree         entry  any record: link one of its own
  //   entry   its record       {0, 0} that record, to use it elsewhere; or
  //                                   Release()
  SlotTree subscribers_;
};

// Subscriptions ever made, and those of `record` that are linked somewhere.
uint32_t SubscriptionsMadeForTest();
int LinkedSubscriptionsForTest(const Node& record);
// All spare, lowest number first: what a record's next life looks like does not
// depend on the one before. Nobody may wait.
void ResetSubscriptionsForTest(Node& record);

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_BROADCAST_H_

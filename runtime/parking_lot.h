// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The parking lot: queues of sleeping parties, found by the address of the
// object that they wait for. So an object that can be waited for needs no queue
// of its own: a word with a bit that says "somebody sleeps" is enough.
//
//   Park       sleeps on an object, unless a check says that it need not
//   LotGuard   an object's sleepers, while nobody else can come or go
//   Sleeper    one of them, to be woken with a token
//   WithdrawSleepers   for those who will never run again
//   ForEachFrozenSleeper   for onlookers
//
// Who changes the object's word so that somebody must be woken does it while it
// holds a LotGuard, and takes the sleepers there as well; Park() checks the
// word under the same lock. So word and queues never disagree for whoever holds
// the lock, nobody is forgotten, and nobody is woken for another object that
// has come to lie at the same address. Once the guard is gone the object is
// touched no more, and its memory may be anybody's.
//
//   // Wait:
//   while (!Ready(word)) {
//     SetSleeperBit(word);
//     Park({.object = this, .check = &StillToWait, ...});
//   }
//   // Release, if the bit is set:
//   SleeperList sleepers;
//   {
//     LotGuard lot(this);
//     word = ready;
//     sleepers = lot.TakeAll(0);
//   }
//   sleepers.WakeAll(token);
//
// An object has up to four queues, numbered; each is first in, first out.
//
// Memory ordering: what X did before Wake() is visible to Y after Park() has
// returned in Y. What was done under a LotGuard is visible under each later one
// for that object.
//
// Complexity: O(log n) in the number of objects that are waited for, O(1) in
// the number of sleepers on one. Nothing is allocated: a sleeper lies in the
// frame of who sleeps. The lock is one of 256, held for some instructions.
//
// Source of the idea: WebKit's ParkingLot (Filip Pizlo, "Locking in WebKit",
// 2016) and Go's runtime/sema.go.

#ifndef GOCHAN_RUNTIME_PARKING_LOT_H_
#define GOCHAN_RUNTIME_PARKING_LOT_H_

#include <cstddef>
#include <cstdint>

#include "runtime/clock.h"
#include "runtime/park.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Sleepers
// -----------------------------------------------------------------------------

class SleeperList;

// A party asleep in the lot. Its fields belong to whoever holds the lock of its
// bucket; once it is taken out, to who took it; once woken, to the party.
class Sleeper {
 public:
  // By who has taken it out, with the lock given back. `token` is at least
  // kFirstToken; it is what Park() returns.
  void Wake(uint32_t token) { slot_.Wake(token); }

  // ParkRequest::since.
  MonotonicNanos since() const { return since_; }

 private:
  friend class LotGuard;
  friend class SleeperList;
  friend SleeperList WithdrawSleepers(bool (*)(const Party&, void*), void*);
  friend void ForEachFrozenSleeper(void (*)(const Sleeper&, const Party&,
                                            void*),
                                   void*);
  friend uint32_t Park(const struct ParkRequest& request);

  ParkSlot slot_;
  const Party* party_ = nullptr;
  MonotonicNanos since_ = 0;
  uintptr_t key_ = 0;  // object and queue
  // The queue, a ring: the first one's previous is the last.
  Sleeper* next_ = nullptr;
  Sleeper* previous_ = nullptr;
  // Of the first of a queue alone: the tree of queues.
  Sleeper* child_[2] = {nullptr, nullptr};
};

// Sleepers that were taken out together, in the order in which they came.
class SleeperList {
 public:
  SleeperList() = default;

  bool empty() const { return first_ == nullptr; }
  std::size_t size() const;  // O(n)

  // Wakes all; the list is empty then.
  void WakeAll(uint32_t token);

 private:
  friend class LotGuard;
  friend SleeperList WithdrawSleepers(bool (*)(const Party&, void*), void*);

  Sleeper* first_ = nullptr;
};

// -----------------------------------------------------------------------------
// LotGuard
// -----------------------------------------------------------------------------

struct LotBucket;

// The lock over an object's queues (and those of some other objects). Hold it
// for a few instructions, do not block, wake nobody and take no second one
// meanwhile. `queue` is less than kQueues.
class LotGuard {
 public:
  static constexpr unsigned kQueues = 4;

  // `object` is a multiple of 4.
  explicit LotGuard(const void* object);
  ~LotGuard();
  LotGuard(const LotGuard&) = delete;
  LotGuard& operator=(const LotGuard&) = delete;

  bool Empty(unsigned queue) const { return First(queue) == nullptr; }

  // How many sleep there. O(n).
  std::size_t Count(unsigned queue) const;

  // The one that has waited longest; nullptr if there is none.
  const Sleeper* First(unsigned queue) const;

  // The same, taken out. The caller must wake it, after this guard's end.
  [[nodiscard]] Sleeper* TakeFirst(unsigned queue);

  // All of them, taken out.
  [[nodiscard]] SleeperList TakeAll(unsigned queue);

 private:
  friend uint32_t Park(const struct ParkRequest& request);
  friend SleeperList WithdrawSleepers(bool (*)(const Party&, void*), void*);

  explicit LotGuard(LotBucket& bucket);

  uintptr_t Key(unsigned queue) const;
  // The link that refers to the first of `key`, or where it would hang.
  Sleeper** Find(uintptr_t key) const;
  void Insert(Sleeper& sleeper, bool first);
  void Remove(Sleeper** link);
  // Takes out the whole queue, as a list that ends with *last.
  Sleeper* RemoveAll(Sleeper** link, Sleeper** last);

  const void* const object_;  // nullptr: of a whole bucket
  LotBucket& bucket_;
};

// Takes out everybody of whom `leaves` says so, wherever they sleep: goroutines
// that will never run again. The caller need not wake them. One bucket after
// the other, O(n) in all that sleep.
SleeperList WithdrawSleepers(bool (*leaves)(const Party& party, void* arg),
                             void* arg);

// -----------------------------------------------------------------------------
// For onlookers
// -----------------------------------------------------------------------------

// In memory that nobody changes (runtime/snapshot.h): everybody who sleeps in
// the lot, but for those in buckets that somebody was about to change.
void ForEachFrozenSleeper(void (*found)(const Sleeper& sleeper,
                                        const Party& party, void* arg),
                          void* arg);

// Where the lot keeps its queues' heads.
struct LotMemory {
  const void* begin;
  std::size_t bytes;
};
LotMemory GetLotMemory();

// -----------------------------------------------------------------------------
// Park
// -----------------------------------------------------------------------------

// Park() returns this if the check said no.
inline constexpr uint32_t kNotParked = ParkSlot::kFirstResult;
// What wakers may give.
inline constexpr uint32_t kFirstToken = kNotParked + 1;

struct ParkRequest {
  void* object = nullptr;
  unsigned queue = 0;
  // Under the lock: is there still something to wait for? nullptr: yes.
  bool (*check)(void* object) = nullptr;
  // When the caller is in its queue and the lock has been given back; it may
  // have been woken by then.
  void (*parked)(void* arg) = nullptr;
  void* arg = nullptr;
  // Sleeps before all others, because it has been among them before.
  bool first = false;
  // For whoever looks at Sleeper::since().
  MonotonicNanos since = 0;

  WaitReason reason = WaitReason::kSemacquire;
  const SourceLocation* site = nullptr;
};

// Sleeps, as a goroutine or a thread, until it is woken; returns the token, or
// kNotParked. `check` and `parked` run when the caller has left its stack: they
// must not block, and `parked` must not touch the caller's frame.
uint32_t Park(const ParkRequest& request);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_PARKING_LOT_H_

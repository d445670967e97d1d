// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/broadcast.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "chan/internal/element.h"
#include "chan/internal/mutation.h"
#include "runtime/arena.h"
#include "runtime/barrier.h"
#include "runtime/park.h"

namespace gochan::internal {

// -----------------------------------------------------------------------------
// Subscription
// -----------------------------------------------------------------------------

// What a subscription's word says: struct { gen:30  -:2  k:16  -:15  set:1 }.
class OpenCase {
 public:
  constexpr explicit OpenCase(uint64_t bits) : bits_(bits) {}
  static constexpr OpenCase Make(uint32_t gen, uint32_t k) {
    return OpenCase(uint64_t{gen} | uint64_t{k} << 32 | uint64_t{1} << 63);
  }
  constexpr uint64_t bits() const { return bits_; }
  constexpr bool set() const { return bits_ >> 63 != 0; }
  constexpr uint32_t gen() const {
    return static_cast<uint32_t>(bits_ & WaiterId::kGenMask);
  }
  constexpr uint32_t k() const {
    return static_cast<uint32_t>(bits_ >> 32 & 0xffff);
  }

 private:
  uint64_t bits_;
};

// A cache line of its own: waiters share none with each other.
struct alignas(64) Subscription {
  // The record's wait that may be claimed from here.
  //   state      set by          next        who may act
  //   0          owner, fresh    {gen, k}    nobody
  //   {gen, k}   the publisher   {gen', k'}  visitors, while gen is open in the
  //                              | 0         record's claim word
  Atomic<uint64_t> word;
  // The broadcast on which it is linked; 0 for none. Changed by the owner while
  // no wait uses the subscription.
  Atomic<uint64_t> serial;
  // Its slot there (SlotRef). Atomic for SlotTree's sake only; the owner's.
  Atomic<uint64_t> slot;
  // Node 0 of its record. Written before it is linked for the first time, and
  // never again.
  uint32_t record;

  // The owner's. Numbers are index + 1.
  uint32_t uses;     // since it was linked, up to kFencedUses
  uint32_t gen;      // the wait that used it last
  uint32_t next;     // in the ring, or among the spare ones (0 at the end)
  uint32_t current;  // the record's first one: the ring's latest
  uint32_t spare;    // the record's first one: those that are linked nowhere

  Atomic<uint32_t> free_next;  // the arena's
  Atomic<uint32_t>& free_link() { return free_next; }
};
static_assert(sizeof(Subscription) == 64);

namespace {

using SubscriptionArena = runtime::Arena<Subscription, (1u << 26), 64>;

// So often a subscription is used before it becomes light: each time costs some
// nanoseconds, the barrier that is saved if the broadcast fires hundreds.
constexpr uint32_t kFencedUses = 16;

// How many a record leaves linked that its present wait does not use.
constexpr uint32_t kIdleKept = 4;

constinit Atomic<uint64_t> serials{0};

Subscription& At(uint32_t number) { return SubscriptionArena::At(number - 1); }

uint32_t NumberOf(const Subscription& subscription) {
  return SubscriptionArena::IndexOf(&subscription) + 1;
}

Subscription& MakeSubscription(const Node& record) {
  Subscription& made = SubscriptionArena::At(SubscriptionArena::Allocate());
  made.record = NodeArena::IndexOf(&record);
  return made;
}

// Off whatever broadcast it is on; owner only, and no wait uses it.
void Unlink(Subscription& subscription) {
  // Relaxed, all three: only the owner writes them, and a visitor that still
  // reads the old ones finds a generation that is over.
  const uint64_t serial = subscription.serial.load(std::memory_order_relaxed);
  if (serial == 0) return;
  subscription.word.store(0, std::memory_order_relaxed);
  const SlotRef slot(subscription.slot.load(std::memory_order_relaxed));
  Pair64 entry{NumberOf(subscription), serial};
  // If that broadcast is gone, so is the entry; serials do not come again.
  (void)SlotTree::At(slot).CompareExchange(entry, {});
  subscription.serial.store(0, std::memory_order_relaxed);
}

// A record's subscriptions form a ring, in order of use: those of the present
// wait are the last ones before `current`, inclusive, and the idle ones follow
// it, the one unused for longest first. A loop that selects on the same
// contexts in the same order therefore finds each at the first look.
class Ring {
 public:
  explicit Ring(Node& record) : record_(record) {
    if (record.subscriptions == 0) {
      Subscription& first = MakeSubscription(record);
      first.next = 0;
      first.current = 0;
      first.spare = 0;
      record.subscriptions = NumberOf(first);
      Spare(first);
    }
    first_ = &At(record.subscriptions);
  }

  // An idle one that is linked on the broadcast `serial`, or nullptr; counts
  // the idle ones that it has passed.
  Subscription* Find(uint32_t gen, uint64_t serial) {
    idle_ = 0;
    if (first_->current == 0) return nullptr;
    Subscription& current = At(first_->current);
    Subscription* before = &current;
    for (;;) {
      Subscription& found = At(before->next);
      if (found.gen == gen) return nullptr;
      // Relaxed: the owner's own.
      if (found.serial.load(std::memory_order_relaxed) == serial &&
          serial != 0) {
        if (&found != &current && before != &current) {
          before->next = found.next;
          found.next = current.next;
          current.next = NumberOf(found);
        }
        Use(found, gen);
        return &found;
      }
      ++idle_;
      if (&found == &current) return nullptr;
      before = &found;
    }
  }

  // After Find() has found none: one that is linked nowhere.
  Subscription& Provide(uint32_t gen) {
    Subscription* provided = nullptr;
    if (idle_ >= kIdleKept) {
      while (idle_ > kIdleKept) {
        Spare(RemoveOldest());
        --idle_;
      }
      provided = &RemoveOldest();
    } else if (At(record_.subscriptions).spare != 0) {
      provided = &At(first_->spare);
      first_->spare = provided->next;
    } else {
      provided = &MakeSubscription(record_);
    }
    Insert(*provided);
    Use(*provided, gen);
    return *provided;
  }

 private:
  void Use(Subscription& used, uint32_t gen) {
    used.gen = gen;
    first_->current = NumberOf(used);
  }

  void Insert(Subscription& added) {
    if (first_->current == 0) {
      added.next = NumberOf(added);
    } else {
      Subscription& current = At(first_->current);
      added.next = current.next;
      current.next = NumberOf(added);
    }
  }

  // The one after `current`, which is idle: off its broadcast and off the ring.
  Subscription& RemoveOldest() {
    Subscription& current = At(first_->current);
    Subscription& oldest = At(current.next);
    Unlink(oldest);
    if (&oldest == &current) {
      first_->current = 0;
    } else {
      current.next = oldest.next;
    }
    return oldest;
  }

  void Spare(Subscription& spare) {
    Subscription& first = At(record_.subscriptions);
    spare.next = first.spare;
    first.spare = NumberOf(spare);
  }

  Node& record_;
  Subscription* first_;
  uint32_t idle_ = 0;
};

// Splits neighbouring numbers far apart.
uint64_t Mix(uint64_t x) {
  x *= 0x9e3779b97f4a7c15;
  return x ^ x >> 29;
}

// gochan::Unit is declared above this layer, and no element is ever made here.
constexpr ElementOps kNoElements = {
    .size = 1,
    .align = 1,
    .counted_only = true,
    .move = [](void*, void*) {},
    .destroy = [](void*) {},
    .name = [] { return std::string_view("gochan::Unit"); },
};

}  // namespace

// -----------------------------------------------------------------------------
// Making and ending
// -----------------------------------------------------------------------------

Broadcast* Broadcast::Make() { return new Broadcast; }

Broadcast::Broadcast() : Core(Kind::kBroadcast, kNoElements, 1) {}

Broadcast::~Broadcast() { subscribers_.Release(); }

void Broadcast::Destroy() { delete this; }

// -----------------------------------------------------------------------------
// Waiting
// -----------------------------------------------------------------------------

uint64_t Broadcast::Serial() {
  uint64_t serial = serial_.load(std::memory_order_relaxed);  // a number only
  if (serial == 0) {
    // Relaxed: only who gets which number.
    const uint64_t fresh = serials.fetch_add(1, std::memory_order_relaxed) + 1;
    // D1 seq_cst: pairs with D1 in Watched().
    if (serial_.compare_exchange(serial, fresh, std::memory_order_seq_cst)) {
      serial = fresh;
    }
  }
  return serial;
}

void Broadcast::Link(Subscription& subscription) {
  const uint64_t serial = Serial();
  // Relaxed: the release of the word comes after it, and a visitor reads the
  // word first (see the class comment).
  subscription.serial.store(serial, std::memory_order_relaxed);
  subscription.uses = 0;
  const uint64_t number = NumberOf(subscription);
  subscribers_.Insert({number, serial}, Mix(number), subscription.slot);
}

// An idle subscription of `record` on this broadcast, or one made so.
Subscription& Broadcast::Take(Node& record, uint32_t gen) {
  Ring ring(record);
  Subscription* found = ring.Find(gen, serial_.load(std::memory_order_relaxed));
  if (found != nullptr) [[likely]] {
    return *found;
  }
  Subscription& provided = ring.Provide(gen);
  Link(provided);
  return provided;
}

// To be called by an owner before its first light use.
void Broadcast::Lighten() {
  // D4 seq_cst, both: before the load of closed that follows; pairs with D4 in
  // HasLight(). What another owner has stored counts as well.
  if (light_.load(std::memory_order_seq_cst) == 0) {
    light_.store(1, std::memory_order_seq_cst);
  }
}

Subscribed Broadcast::Subscribe(Node& record, uint32_t gen, uint32_t k) {
  Subscription& subscription = Take(record, gen);
  const uint64_t open = OpenCase::Make(gen, k).bits();
  // D2 release: the open claim, the serial and the entry come before it; pairs
  // with D2 in Visit(). And D3, against Close(): seq_cst, or with the barrier.
  if (subscription.uses < kFencedUses) {
    if (++subscription.uses == kFencedUses) Lighten();
    subscription.word.store(open, std::memory_order_seq_cst);
  } else {
    subscription.word.store(open, runtime::kLightStore);
    runtime::LightBarrier();
  }
  if (Mutated(Mutant::kNoDoneReread)) return Subscribed::kWaiting;
  // D3: this load, or the load of the word in Visit(), sees the other's store.
  return Closed() ? Subscribed::kFired : Subscribed::kWaiting;
}

struct Broadcast::Waiting {
  Broadcast* broadcast;
  Node* record;
  uint32_t gen;
};

void Broadcast::Publish(void* arg) {
  // A copy: the sleeper's frame is gone as soon as somebody wakes it.
  const Waiting waiting = *static_cast<Waiting*>(arg);
  OpenClaim(*waiting.record, waiting.gen);
  const bool over = waiting.broadcast->Subscribe(*waiting.record, waiting.gen,
                                                 0) == Subscribed::kFired &&
                    TryClaimSelf(*waiting.record, waiting.gen);
  waiting.record->park.SetLeft();
  if (over) Wake(*waiting.record, WakeResult::kRetry);
}

void Broadcast::Wait(const SourceLocation& site) {
  if (Closed()) return;
  Ref();  // a blocked call keeps its channel alive
  Node& record = WaiterRecord(runtime::CurrentParty());
  Waiting waiting{this, &record, NextGeneration(record)};
  record.park.ClearLeft();
  record.park.Prepare();
  runtime::Sleep(record.park, &Publish, &waiting,
                 {runtime::WaitReason::kChanReceive, &site, this});
  record.park.AwaitLeft();
  Unref();
}

// -----------------------------------------------------------------------------
// Firing
// -----------------------------------------------------------------------------

void Broadcast::Fire() {
  Close();
  if (!Watched()) return;
  if (HasLight()) runtime::HeavyBarrier();
  Visit();
}

// Calls function(record, open case) for each subscription whose claim is open.
template <typename Function>
void Broadcast::ForEachWaiter(Function function) const {
  // Relaxed: a number only; see Watched().
  const uint64_t serial = serial_.load(std::memory_order_relaxed);
  for (SlotRef slot = subscribers_.First(); slot; slot = SlotTree::Next(slot)) {
    // seq_cst, as all of slot_tree.h.
    const uint64_t number =
        SlotTree::At(slot).LoadLo(std::memory_order_seq_cst);
    if (number == 0) continue;
    const Subscription& subscription = At(static_cast<uint32_t>(number));
    // D2 acquire: pairs with D2 in Subscribe(). D3 seq_cst: after the swap of
    // Close(), against who stores seq_cst; against a light one, the barrier.
    const OpenCase open(subscription.word.load(std::memory_order_seq_cst));
    // Relaxed: ordered behind the acquire of the word, which is all that the
    // argument in the class comment needs.
    if (!open.set() ||
        (subscription.serial.load(std::memory_order_relaxed) != serial &&
         !Mutated(Mutant::kNoSubscriptionSerial))) {
      continue;
    }
    Node& record = NodeArena::At(subscription.record);
    // Most subscriptions are idle: a load saves their records' lines a swap. W1
    // acquire, as in IsOpen().
    if (Claim(record.claim.load(std::memory_order_acquire)) ==
        Claim::Open(open.gen())) {
      function(record, open);
    }
  }
}

void Broadcast::Visit() {
  ForEachWaiter([](Node& record, OpenCase open) {
    if (TryClaim(record, open.gen(), open.k(), ClaimMode::kDirect)) {
      Wake(record, WakeResult::kClosed);
    }
  });
}

// -----------------------------------------------------------------------------
// Looking, for tests
// -----------------------------------------------------------------------------

int Broadcast::SubscriptionsForTest() const {
  int used = 0;
  for (SlotRef slot = subscribers_.First(); slot; slot = SlotTree::Next(slot)) {
    used += SlotTree::At(slot).LoadLo(std::memory_order_seq_cst) != 0;
  }
  return used;
}

int Broadcast::WaitersForTest() const {
  int waiting = 0;
  ForEachWaiter([&](Node&, OpenCase) { ++waiting; });
  return waiting;
}

uint32_t SubscriptionsMadeForTest() { return SubscriptionArena::HighWater(); }

int LinkedSubscriptionsForTest(const Node& record) {
  if (record.subscriptions == 0) return 0;
  const uint32_t current = At(record.subscriptions).current;
  int linked = 0;
  for (uint32_t number = current; number != 0;) {
    linked += At(number).serial.load(std::memory_order_relaxed) != 0;
    number = At(number).next;
    if (number == current) break;
  }
  return linked;
}

void ResetSubscriptionsForTest(Node& record) {
  runtime::NoSteps alone;
  if (record.subscriptions == 0) return;
  Subscription& first = At(record.subscriptions);
  std::vector<uint32_t> all;
  if (first.current != 0) {
    uint32_t number = first.current;
    do {
      all.push_back(number);
      number = At(number).next;
    } while (number != first.current);
  }
  for (uint32_t number = first.spare; number != 0; number = At(number).next) {
    all.push_back(number);
  }
  std::sort(all.begin(), all.end(), std::greater<>());
  first.current = 0;
  first.spare = 0;
  for (const uint32_t number : all) {
    Subscription& subscription = At(number);
    subscription.word.store(0, std::memory_order_relaxed);
    subscription.serial.store(0, std::memory_order_relaxed);
    subscription.next = first.spare;
    first.spare = number;
  }
}

}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/parking_lot.h"

#include <cstddef>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/backoff.h"
#include "runtime/cache_line.h"
#include "runtime/futex.h"
#include "runtime/instrument.h"
#include "runtime/park.h"

namespace gochan::runtime {

namespace {

// A lock of a few instructions. Its holder runs no foreign code and never
// switches, but may be preempted by the system, so who waits long sleeps.
//
// state_:
//   state    set by            next             who may act
//   kFree    holder            kHeld, kWanted   anybody: take it
//   kHeld    who took it       kFree, kWanted   holder: free; others: mark
//   kWanted  who will sleep    kFree, kWanted   holder: free it and wake one
// Who has slept takes it as kWanted, for it does not know of others.
//
// Source: Ulrich Drepper, "Futexes Are Tricky", mutex 2.
class LotLock {
 public:
  void Lock() {
    uint32_t state = kFree;
    // L1 acquire: all that was done under the lock; pairs with L1 in Unlock().
    if (state_.compare_exchange(state, kHeld, std::memory_order_acquire)) {
      return;
    }
    LockSlow();
  }

  void Unlock() {
    // L1 release: pairs with L1 in Lock() and LockSlow().
    if (state_.exchange(kFree, std::memory_order_release) == kWanted) {
      FutexWake(state_.word(), 1);
    }
  }

  // In memory that nobody changes. Acquire: as in Lock().
  bool IsFree() const {
    return state_.load(std::memory_order_acquire) == kFree;
  }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kWanted = 2;

  void LockSlow() {
#if GOCHAN_INSTRUMENT
    // Tools that decide who runs must see the wait.
    constexpr bool kMaySleep = false;
#else
    constexpr bool kMaySleep = true;
#endif
    constexpr int kRounds = 8;
    Backoff backoff;
    for (int i = 0; i < kRounds || !kMaySleep; ++i) {
      backoff.Wait(&state_);
      // Relaxed: a look before the exchange, which makes the edge.
      if (state_.load(std::memory_order_relaxed) != kFree) continue;
      uint32_t state = kFree;
      // L1 acquire, as in Lock().
      if (state_.compare_exchange(state, kHeld, std::memory_order_acquire)) {
        return;
      }
    }
    // L1 acquire, as in Lock().
    while (state_.exchange(kWanted, std::memory_order_acquire) != kFree) {
      (void)FutexWait(state_.word(), kWanted);
    }
  }

  Atomic<uint32_t> state_;
};

// A bijection, so that two keys differ somewhere in their bits, which are as
// good as random. Source: splitmix64's finalizer (see runtime/random.h).
uint64_t Mix(uintptr_t key) {
  uint64_t z = key;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

constexpr std::size_t kBuckets = 256;

}  // namespace

// The queues whose keys fall into it, as a digital search tree: the first of a
// queue is its node; to find a key, go from the root by the bits of Mix(key),
// lowest first, comparing keys on the way. It needs no balance, for the bits
// are random and there are 64 of them. A node that leaves is replaced by any
// leaf below it, whose way leads through the same place.
struct alignas(kCacheLine) LotBucket {
  LotLock lock;
  Sleeper* root = nullptr;  // guarded by lock, as all below it
};

namespace {

constinit LotBucket buckets[kBuckets];

LotBucket& BucketOf(const void* object) {
  return buckets[Mix(reinterpret_cast<uintptr_t>(object)) >> 56];
}
static_assert(kBuckets == 1 << 8);

}  // namespace

// -----------------------------------------------------------------------------
// LotGuard
// -----------------------------------------------------------------------------

LotGuard::LotGuard(const void* object)
    : object_(object), bucket_(BucketOf(object)) {
  bucket_.lock.Lock();
}

LotGuard::LotGuard(LotBucket& bucket) : object_(nullptr), bucket_(bucket) {
  bucket_.lock.Lock();
}

LotGuard::~LotGuard() { bucket_.lock.Unlock(); }

uintptr_t LotGuard::Key(unsigned queue) const {
  return reinterpret_cast<uintptr_t>(object_) | queue;
}

Sleeper** LotGuard::Find(uintptr_t key) const {
  Sleeper** link = &bucket_.root;
  uint64_t bits = Mix(key);
  while (*link != nullptr && (*link)->key_ != key) {
    link = &(*link)->child_[bits & 1];
    bits >>= 1;
  }
  return link;
}

void LotGuard::Insert(Sleeper& sleeper, bool first) {
  Sleeper** const link = Find(sleeper.key_);
  Sleeper* const head = *link;
  if (head == nullptr) {
    sleeper.next_ = sleeper.previous_ = &sleeper;
    sleeper.child_[0] = sleeper.child_[1] = nullptr;
    *link = &sleeper;
    return;
  }
  // Between the last and the first of the ring: it is either.
  sleeper.next_ = head;
  sleeper.previous_ = head->previous_;
  head->previous_->next_ = &sleeper;
  head->previous_ = &sleeper;
  if (first) {
    sleeper.child_[0] = head->child_[0];
    sleeper.child_[1] = head->child_[1];
    *link = &sleeper;
  }
}

void LotGuard::Remove(Sleeper** link) {
  Sleeper* const head = *link;
  Sleeper* const second = head->next_;
  if (second != head) {  // which takes its place
    head->previous_->next_ = second;
    second->previous_ = head->previous_;
    second->child_[0] = head->child_[0];
    second->child_[1] = head->child_[1];
    *link = second;
    return;
  }
  Sleeper** leaf = link;
  for (;;) {
    Sleeper* const at = *leaf;
    if (at->child_[0] != nullptr) {
      leaf = &at->child_[0];
    } else if (at->child_[1] != nullptr) {
      leaf = &at->child_[1];
    } else {
      break;
    }
  }
  Sleeper* const instead = *leaf;
  *leaf = nullptr;
  if (instead == head) return;  // it was a leaf itself
  instead->child_[0] = head->child_[0];
  instead->child_[1] = head->child_[1];
  *link = instead;
}

Sleeper* LotGuard::RemoveAll(Sleeper** link, Sleeper** last) {
  Sleeper* const head = *link;
  *last = head->previous_;
  Sleeper* const second = head->next_;
  // Alone, as far as the tree can see.
  head->next_ = head;
  Remove(link);
  if (second != head) head->next_ = second;
  (*last)->next_ = nullptr;
  return head;
}

const Sleeper* LotGuard::First(unsigned queue) const {
  return *Find(Key(queue));
}

std::size_t LotGuard::Count(unsigned queue) const {
  const Sleeper* const head = First(queue);
  if (head == nullptr) return 0;
  std::size_t n = 1;
  for (const Sleeper* s = head->next_; s != head; s = s->next_) ++n;
  return n;
}

Sleeper* LotGuard::TakeFirst(unsigned queue) {
  Sleeper** const link = Find(Key(queue));
  Sleeper* const head = *link;
  if (head != nullptr) Remove(link);
  return head;
}

SleeperList LotGuard::TakeAll(unsigned queue) {
  SleeperList list;
  Sleeper** const link = Find(Key(queue));
  Sleeper* last;
  if (*link != nullptr) list.first_ = RemoveAll(link, &last);
  return list;
}

// Takes all out, and puts back who stays; each queue keeps its order.
SleeperList WithdrawSleepers(bool (*leaves)(const Party& party, void* arg),
                             void* arg) {
  SleeperList withdrawn;
  Sleeper** end = &withdrawn.first_;
  for (LotBucket& bucket : buckets) {
    LotGuard lot(bucket);
    Sleeper* all = nullptr;
    while (bucket.root != nullptr) {
      Sleeper* last;
      Sleeper* const first = lot.RemoveAll(&bucket.root, &last);
      last->next_ = all;
      all = first;
    }
    while (all != nullptr) {
      Sleeper& sleeper = *all;
      all = sleeper.next_;
      if (leaves(*sleeper.party_, arg)) {
        sleeper.next_ = nullptr;
        *end = &sleeper;
        end = &sleeper.next_;
      } else {
        lot.Insert(sleeper, /*first=*/false);
      }
    }
  }
  return withdrawn;
}

std::size_t SleeperList::size() const {
  std::size_t n = 0;
  for (const Sleeper* s = first_; s != nullptr; s = s->next_) ++n;
  return n;
}

void SleeperList::WakeAll(uint32_t token) {
  Sleeper* sleeper = first_;
  first_ = nullptr;
  while (sleeper != nullptr) {
    // Woken, it is gone.
    Sleeper* const next = sleeper->next_;
    sleeper->Wake(token);
    sleeper = next;
  }
}

// -----------------------------------------------------------------------------
// For onlookers
// -----------------------------------------------------------------------------

// The tree is at most as deep as a key has bits, so this many wait for their
// turn at most.
void ForEachFrozenSleeper(void (*found)(const Sleeper& sleeper,
                                        const Party& party, void* arg),
                          void* arg) {
  for (const LotBucket& bucket : buckets) {
    if (bucket.root == nullptr || !bucket.lock.IsFree()) continue;
    const Sleeper* open[64 + 1];
    int n = 0;
    open[n++] = bucket.root;
    while (n > 0) {
      const Sleeper* const head = open[--n];
      const Sleeper* at = head;
      do {
        found(*at, *at->party_, arg);
        at = at->next_;
      } while (at != head);
      for (const Sleeper* const child : head->child_) {
        if (child != nullptr) open[n++] = child;
      }
    }
  }
}

LotMemory GetLotMemory() { return {buckets, sizeof(buckets)}; }

// -----------------------------------------------------------------------------
// Park
// -----------------------------------------------------------------------------

uint32_t Park(const ParkRequest& request) {
  struct Publication {
    ParkRequest request;
    Sleeper* sleeper;

    static void Run(void* arg) {
      // A copy: the sleeper's frame may be gone once the lock is free.
      const Publication copy = *static_cast<const Publication*>(arg);
      const ParkRequest& request = copy.request;
      bool parks;
      {
        LotGuard lot(request.object);
        parks = request.check == nullptr || request.check(request.object);
        if (parks) {
          copy.sleeper->key_ = lot.Key(request.queue);
          lot.Insert(*copy.sleeper, request.first);
        }
      }
      if (!parks) {
        copy.sleeper->Wake(kNotParked);
      } else if (request.parked != nullptr) {
        request.parked(request.arg);
      }
    }
  };

  Sleeper sleeper;
  sleeper.since_ = request.since;
  Party& party = CurrentParty();
  sleeper.party_ = &party;
  sleeper.slot_.Prepare(party.resumer);
  Publication publication{request, &sleeper};
  const WaitInfo why{request.reason, request.site, request.object, 0};
  return Sleep(sleeper.slot_, &Publication::Run, &publication, why);
}

}  // namespace gochan::runtime

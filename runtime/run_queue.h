// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// RunQueue: what one worker has to run, and others may take from it.
//
//   next      the one that was woken last; runs next, stays hot in the cache
//   batch     up to 128 that nobody else needs to find: pushed while nobody was
//             idle, or taken out of the ring, 16 in one swap
//   ring      256 places, from which idle workers steal half
//   backlog   what did not fit: a list of those woken, oldest first, and a list
//             of new ones, newest first, some of which have aged
//   inbox     what others have sent here, newest first
//
//   PushNext, Push, Take, Age, Empty  the worker that owns it
//   Send                              anybody
//   StealHalf, StealInbox             other workers: ring, inbox
//   StealPrivate                      other workers: next, batch and backlog of
//                                     a worker that has not switched for long
//
// First in, first out but for `next`, and for new ones that did not fit: a tree
// of goroutines that start others and wait for them is walked in depth, as far
// as it does not fit, so that few have begun and hold a stack at any time.
// Age() sees to it that none of them waits for ever. T has a member `T*
// next_runnable`, which belongs to whoever holds the T.
//
// Source: the ring is that of Go's scheduler (runtime/proc.go, runqput and
// runqgrab; Vyukov). The private part, without which each Take() would be a
// locked instruction, is ours: an owner that announces itself by a plain store
// and a thief that uses the asymmetric barrier (barrier.h).
//
// Lock-free: the owner waits for nobody, not even for a thief that is frozen in
// the middle of a theft.

#ifndef GOCHAN_RUNTIME_RUN_QUEUE_H_
#define GOCHAN_RUNTIME_RUN_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/atomic.h"
#include "runtime/barrier.h"
#include "runtime/cache_line.h"

namespace gochan::runtime {

template <typename T>
class RunQueue {
 public:
  static constexpr uint32_t kRing = 256;
  static constexpr uint32_t kBatch = 128;
  static constexpr uint32_t kRefill = 16;
  // So many in the ring while there is a backlog: few, for the sake of depth,
  // but enough to be stolen from.
  static constexpr uint32_t kRefilledRing = 64;
  // One in so many of the backlog is an aged one.
  static constexpr uint32_t kAgedTurn = 64;

  // A singly linked list, first to last.
  struct List {
    T* first = nullptr;
    T* last = nullptr;

    void Append(T* t) {
      t->next_runnable = nullptr;
      (last == nullptr ? first : last->next_runnable) = t;
      last = t;
    }
    T* Pop() {
      T* const t = first;
      if (t == nullptr) return nullptr;
      first = t->next_runnable;
      if (first == nullptr) last = nullptr;
      return t;
    }
    void Prepend(T* t) {
      t->next_runnable = first;
      if (first == nullptr) last = t;
      first = t;
    }
    void Append(List&& other) {
      if (other.first == nullptr) return;
      (last == nullptr ? first : last->next_runnable) = other.first;
      last = other.last;
      other = List{};
    }
  };

  // What did not fit into the ring.
  struct Backlog {
    List woken;
    List fresh;
    List aged;

    bool empty() const {
      return woken.first == nullptr && fresh.first == nullptr &&
             aged.first == nullptr;
    }
    void Append(Backlog&& other) {
      woken.Append(static_cast<List&&>(other.woken));
      fresh.Append(static_cast<List&&>(other.fresh));
      aged.Append(static_cast<List&&>(other.aged));
    }
    // Of those woken and of the new ones in turns, now and then of the aged
    // ones.
    T* Pop(uint32_t turn) {
      if (turn % kAgedTurn == 0) {
        if (T* const t = aged.Pop(); t != nullptr) return t;
      }
      const bool of_fresh = turn % 2 != 0;
      T* t = (of_fresh ? fresh : woken).Pop();
      if (t == nullptr) t = (of_fresh ? woken : fresh).Pop();
      return t != nullptr ? t : aged.Pop();
    }
  };

  // --- by the owner

  // `t` runs next. Returns who was to run next until now, or nullptr: the
  // caller Push()es that.
  [[nodiscard]] T* PushNext(T* t) {
    if (!Enter()) [[unlikely]] {
      // `t` itself is displaced.
      return t;
    }
    T* const displaced = next_;
    next_ = t;
    Leave();
    return displaced;
  }

  // The same and TakeNext(), for hot paths: false if it is not that simple, and
  // then nothing has changed: call the other one. (No call is in them, so that
  // the caller need not save registers.)
  [[nodiscard]] [[gnu::always_inline]] bool TryPushNext(T* t, T** displaced) {
    if (!TryEnter()) [[unlikely]]
      return false;
    *displaced = next_;
    next_ = t;
    Leave();
    return true;
  }
  [[nodiscard]] [[gnu::always_inline]] bool TryTakeNext(T** t) {
    if (!TryEnter()) [[unlikely]]
      return false;
    *t = next_;
    next_ = nullptr;
    Leave();
    return true;
  }

  // To the end. `hide`: nobody is there to steal it, so it may become private,
  // which is cheaper. `fresh`: it has not begun. Returns false if it became
  // private.
  bool Push(T* t, bool hide, bool fresh = false) {
    // Relaxed: the owner's own.
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    // Relaxed: thieves only make it emptier.
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (hide || tail - head == kRing || backlogged_) {
      if (Enter()) {
        if (tail == head && backlog_.empty() && hide &&
            batch_end_ - batch_begin_ < kBatch) {
          batch_[batch_end_ % kBatch] = t;
          batch_end_ = batch_end_ + 1;
          Leave();
          return false;
        }
        if (tail - head == kRing || !backlog_.empty()) {
          fresh ? backlog_.fresh.Prepend(t) : backlog_.woken.Append(t);
          backlogged_ = true;
          Leave();
          return true;
        }
        backlogged_ = false;
        Leave();
      } else if (tail - head == kRing) {
        Send(t);  // a thief is at the backlog: this once, the other entrance
        return true;
      }
    }
    Place(tail, t);
    return true;
  }

  // Who was woken last, if there is one.
  T* TakeNext() {
    if (!Enter()) [[unlikely]]
      return nullptr;
    T* const t = next_;
    next_ = nullptr;
    Leave();
    return t;
  }

  // The oldest of batch, ring and backlog. Refills from the inbox only if
  // these are empty.
  T* Take() {
    for (;;) {
      const bool mine = Enter();
      if (mine && batch_begin_ != batch_end_) {
        const uint32_t begin = batch_begin_;
        T* const t = batch_[begin % kBatch];
        batch_begin_ = begin + 1;
        if (batch_end_ - begin > 2) Prefetch(batch_[(begin + 2) % kBatch]);
        Leave();
        return t;
      }
      T* taken[kRefill];
      const uint32_t n = TakeFromRing(taken, mine ? kRefill : 1);
      if (n > 0) {
        if (mine) {
          batch_begin_ = 0;
          batch_end_ = n - 1;
          for (uint32_t i = 1; i < n; ++i) batch_[i - 1] = taken[i];
          if (!backlog_.empty()) RefillRing();
          Leave();
        }
        return taken[0];
      }
      if (mine && backlogged_) {
        if (T* const t = backlog_.Pop(++turn_); t != nullptr) {
          RefillRing();
          Leave();
          return t;
        }
        backlogged_ = false;
      }
      if (mine) Leave();
      if (!DrainInbox()) return nullptr;
    }
  }

  // The owner's own `t` goes to the end, the oldest is returned: for the usual
  // case that all is in the batch and nobody looks for work; else nullptr, and
  // nothing has changed. `t` still runs: thieves are kept out until the one who
  // runs next sets rotate_lock() to 0, with
  // release.
  [[gnu::always_inline]] T* Rotate(T* t) {
    if (!TryEnter()) [[unlikely]] {
      Leave();
      return nullptr;
    }
    const uint32_t begin = batch_begin_;
    const uint32_t end = batch_end_;
    if (end - begin - 1 < kBatch - 1 && next_ == nullptr && !backlogged_ &&
        // Relaxed: the owner's own; thieves only make it emptier.
        tail_.load(std::memory_order_relaxed) ==
            head_.load(std::memory_order_relaxed)) [[likely]] {
      T* const oldest = batch_[begin % kBatch];
      batch_begin_ = begin + 1;
      batch_[end % kBatch] = t;
      batch_end_ = end + 1;
      return oldest;
    }
    Leave();
    return nullptr;
  }
  // To end a Rotate(): 0, released, into this.
  Atomic<uint32_t>& rotate_lock() { return inside_; }

  // To be called now and then: new ones that wait behind the ring are not
  // overtaken by all that come after them any more.
  void Age() {
    if (!backlogged_ || !Enter()) return;
    if (backlog_.aged.first == nullptr) {
      backlog_.aged.Append(static_cast<List&&>(backlog_.fresh));
    }
    Leave();
  }

  // Inbox to the end of the queue. False: it was empty.
  bool DrainInbox() {
    // Relaxed: a hint; DrainInbox() is called again.
    if (inbox_.load(std::memory_order_relaxed) == nullptr) return false;
    List list = TakeInbox();
    if (list.first == nullptr) return false;
    while (T* t = list.Pop()) Push(t, false);
    return true;
  }

  // For the owner; others get a hint.
  bool Empty() const {
    // While a thief holds the private part, what is in there is the thief's: an
    // owner that waited for it would spin as long as that one is preempted.
    // Q4 acquire: pairs with the theft's end, after which it is empty.
    return RingLooksEmpty() && InboxLooksEmpty() &&
           (!PrivateLooksFull() ||
            thief_.load(std::memory_order_acquire) == kTaken);
  }

  // What is in the batch goes to where others find it. False: nothing did.
  bool Unhide() {
    if (!Enter()) return false;
    // Relaxed: the owner's own; thieves only make it emptier.
    uint32_t tail = tail_.load(std::memory_order_relaxed);
    // The oldest are in the batch: only an empty ring keeps the order.
    if (tail != head_.load(std::memory_order_relaxed) ||
        batch_begin_ == batch_end_) {
      Leave();
      return false;
    }
    for (uint32_t i = batch_begin_; i != batch_end_; ++i) {
      ring_[tail++ % kRing].store(batch_[i % kBatch],
                                  std::memory_order_relaxed);  // Q3
    }
    batch_begin_ = 0;
    batch_end_ = 0;
    tail_.store(tail, kLightStore);  // Q3 release, as in Place()
    Leave();
    return true;
  }

  // How many there are but for `next` and the inbox; more than kRing: many.
  uint32_t Length() const {
    // Relaxed: a hint, and the owner's own.
    return batch_end_ - batch_begin_ + (backlogged_ ? 2 * kRing : 0) +
           tail_.load(std::memory_order_relaxed) -
           head_.load(std::memory_order_relaxed);
  }

  // --- by anybody

  // seq_cst: with the load of the idle count that follows, against a worker
  // that announces its sleep and then looks here.
  void Send(T* t) {
    // Relaxed: validated by the swap.
    T* head = inbox_.load(std::memory_order_relaxed);
    do {
      t->next_runnable = head;
      // Q2 release: t itself; pairs with Q2 in TakeInbox().
    } while (!inbox_.compare_exchange(head, t, std::memory_order_seq_cst));
  }

  // All of the inbox, oldest first. There is no ABA problem: all or nothing.
  List TakeInbox() {
    // Q2 acquire: what was sent; pairs with Q2 in Send().
    T* newest = inbox_.exchange(nullptr, std::memory_order_acquire);
    List list;
    list.last = newest;
    while (newest != nullptr) {
      T* const older = newest->next_runnable;
      newest->next_runnable = list.first;
      list.first = newest;
      newest = older;
    }
    return list;
  }

  bool RingLooksEmpty() const {
    // seq_cst, or after a heavy barrier: see Send().
    return tail_.load(kHeavyLoad) == head_.load(kHeavyLoad);
  }
  bool InboxLooksEmpty() const {
    return inbox_.load(std::memory_order_seq_cst) == nullptr;
  }
  // Is there anything for StealPrivate()? Racy, of course.
  bool PrivateLooksFull() const {
    return next_ != nullptr || batch_begin_ != batch_end_ || backlogged_;
  }

  // How many are in `next`, batch and ring: some number between those of
  // moments during the call, as a statistic wants.
  uint32_t LengthHint() const {
    // Relaxed: a hint. In this order `head` is not beyond `tail`, mostly.
    const uint32_t head = head_.load(std::memory_order_relaxed);
    const uint32_t ring = tail_.load(std::memory_order_relaxed) - head;
    const uint32_t batch = batch_end_ - batch_begin_;
    return (next_ != nullptr ? 1 : 0) + (batch <= kBatch ? batch : 0) +
           (ring <= kRing ? ring : 0);
  }

  // --- by other workers

  // Half of the ring, rounded up, into the caller's own queue, which is empty;
  // returns the first of them, or nullptr.
  T* StealHalf(RunQueue& mine) {
    for (;;) {
      // Q1 acquire: pairs with Q1 of the thief or owner that moved it on, so
      // that the places read below are those of this head or younger.
      uint32_t head = head_.load(std::memory_order_acquire);
      // Q3 acquire: what was pushed; pairs with Q3 in Place().
      const uint32_t tail = tail_.load(std::memory_order_acquire);
      const uint32_t size = tail - head;
      if (size == 0) return nullptr;
      if (size > kRing) continue;  // head and tail of different moments
      const uint32_t n = size - size / 2;
      T* first = nullptr;
      const uint32_t to = mine.tail_.load(std::memory_order_relaxed);  // own
      for (uint32_t i = 0; i < n; ++i) {
        // Relaxed: only believed if the swap succeeds.
        T* const t = ring_[(head + i) % kRing].load(std::memory_order_relaxed);
        if (i == 0) {
          first = t;
        } else {
          mine.ring_[(to + i - 1) % kRing].store(t, std::memory_order_relaxed);
        }
      }
      // Q1 release: the reads above are done before anybody reuses the places;
      // acquire on failure.
      if (!head_.compare_exchange(head, head + n, std::memory_order_acq_rel)) {
        continue;
      }
      // Q3 release: pairs with the acquire above, in another thief.
      if (n > 1) mine.tail_.store(to + n - 1, std::memory_order_release);
      return first;
    }
  }

  // All of the inbox, which a busy owner has not looked at.
  T* StealInbox(RunQueue& mine) {
    if (InboxLooksEmpty()) return nullptr;
    List list = TakeInbox();
    T* const first = list.Pop();
    while (T* t = list.Pop()) mine.Push(t, false);
    return first;
  }

  // All of the private part, into the caller's own queue; returns the first of
  // them. nullptr: nothing, or the owner was in there. O(what is in the batch):
  // of a long backlog not one is touched.
  T* StealPrivate(RunQueue& mine) {
    // A number of its own, lest it takes another thief's request for its own
    // after the owner has refused that.
    const uintptr_t mark = reinterpret_cast<uintptr_t>(&mine) | kRequest;
    uintptr_t idle = kNone;
    // Q4: one thief at a time; acquire what the one before has left.
    if (!thief_.compare_exchange(idle, mark, std::memory_order_seq_cst)) {
      return nullptr;
    }
    HeavyBarrier();
    uintptr_t request = mark;
    // Q5 acquire: what the owner did in there; pairs with Leave().
    if (inside_.load(kHeavyLoad) != 0 ||
        !thief_.compare_exchange(request, kTaken, std::memory_order_seq_cst)) {
      // Relaxed on failure: the owner has cancelled the request.
      request = mark;
      (void)thief_.compare_exchange(request, kNone, std::memory_order_seq_cst);
      return nullptr;
    }
    List batch;
    for (uint32_t i = batch_begin_; i != batch_end_; ++i) {
      batch.Append(batch_[i % kBatch]);
    }
    batch_begin_ = 0;
    batch_end_ = 0;
    Backlog backlog = std::exchange(backlog_, Backlog{});
    backlogged_ = false;
    T* const next = next_;
    next_ = nullptr;
    // Q4 release: the emptied part; pairs with the acquire in Enter().
    thief_.store(kNone, std::memory_order_release);
    T* const first = batch.Pop();
    while (T* const t = batch.Pop()) mine.Push(t, false);
    mine.Adopt(static_cast<Backlog&&>(backlog));
    if (next != nullptr) mine.Push(next, false);
    return first != nullptr ? first : mine.Take();
  }

 private:
  // By the owner, behind its own backlog.
  void Adopt(Backlog&& backlog) {
    if (Enter()) {
      backlog_.Append(static_cast<Backlog&&>(backlog));
      RefillRing();
      Leave();
      return;
    }
    for (uint32_t turn = 1; T* const t = backlog.Pop(turn); ++turn) {
      Push(t, false);
    }
  }

  // Written by who may touch the private part, glimpsed by others. All relaxed:
  // those others decide nothing by it.
  template <typename U>
  class Glimpsed {
   public:
    operator U() const {  // NOLINT: reads like a variable
      return value_.load(std::memory_order_relaxed);
    }
    Glimpsed& operator=(U value) {
      value_.store(value, std::memory_order_relaxed);
      return *this;
    }

   private:
    Atomic<U> value_{};
  };

  // thief_: who may touch the private part.
  //   kNone      the owner may        thief: kRequest
  //   kRequest   the owner may        owner: kNone (refused); thief: kTaken,
  //                                   after it has seen inside_ = 0 since
  //   kTaken     the thief alone      thief: kNone
  // inside_: 1 while the owner is in there or about to look at thief_.
  //
  //     owner                         thief
  //     1. inside_ = 1                3. thief_: kNone -> kRequest
  //        light barrier                 heavy barrier
  //     2. load thief_                4. load inside_
  // Either 2 sees the request (and refuses it), or 4 sees the owner.
  static constexpr uintptr_t kNone = 0;
  static constexpr uintptr_t kRequest = 1;  // and whose
  static constexpr uintptr_t kTaken = 2;

  // Enter() if that takes no call. False: `inside_` may be set, as in the
  // middle of Enter(), which must follow.
  [[gnu::always_inline]] bool TryEnter() {
    inside_.store(1, kLightStore);  // 1
    if (!TryLightBarrier()) [[unlikely]]
      return false;
    // Q4 acquire. (2)
    return thief_.load(kLightLoad) == kNone;
  }
  // False: a thief holds the private part.
  [[gnu::always_inline]] bool Enter() {
    inside_.store(1, kLightStore);  // 1
    LightBarrier();
    // Q4 acquire: as a thief has left it. (2)
    if (thief_.load(kLightLoad) == kNone) [[likely]]
      return true;
    return EnterSlow();
  }
  [[gnu::noinline]] bool EnterSlow() {
    for (;;) {
      // Q4 acquire.
      uintptr_t found = thief_.load(std::memory_order_seq_cst);
      if (found == kNone) return true;
      if (found == kTaken) break;
      if (thief_.compare_exchange(found, kNone, std::memory_order_seq_cst)) {
        return true;
      }
    }
    Leave();
    return false;
  }
  void Leave() {
    // Q5 release: what was done; pairs with Q5 in StealPrivate().
    inside_.store(0, std::memory_order_release);
  }

  // It runs soon, and many have run since it last did: a goroutine's control
  // block is here, its frames are below.
  static void Prefetch(const T* t) {
    constexpr int kLines = 4;
    const auto* const around = reinterpret_cast<const std::byte*>(t);
    for (int i = -kLines; i <= kLines; ++i) {
      __builtin_prefetch(around + i * static_cast<int>(kCacheLine));
    }
  }

  void Place(uint32_t tail, T* t) {
    ring_[tail % kRing].store(t, std::memory_order_relaxed);  // Q3
    // Q3 release: t itself; pairs with Q3 in StealHalf(). kLightStore: before
    // the load of the idle count that follows a push.
    tail_.store(tail + 1, kLightStore);
  }

  // Up to `limit` from the ring's head, by the owner.
  uint32_t TakeFromRing(T** taken, uint32_t limit) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);  // own
    // Q1 acquire, as in StealHalf().
    uint32_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      uint32_t n = tail - head;
      if (n == 0) return 0;
      // Leave half to thieves.
      if (n > 1) n -= n / 2;
      if (n > limit) n = limit;
      for (uint32_t i = 0; i < n; ++i) {
        taken[i] = ring_[(head + i) % kRing].load(std::memory_order_relaxed);
      }
      // Q1 acq_rel, as in StealHalf().
      if (head_.compare_exchange(head, head + n, std::memory_order_acq_rel)) {
        return n;
      }
    }
  }

  // While inside:

  // Backlog to ring.
  void RefillRing() {
    uint32_t tail = tail_.load(std::memory_order_relaxed);  // own
    // Q1 acquire: who moved it has read the places.
    const uint32_t size = tail - head_.load(std::memory_order_acquire);
    if (size <= kRefilledRing / 2) {
      const uint32_t full = tail - size + kRefilledRing;
      while (tail != full) {
        T* const t = backlog_.Pop(++turn_);
        if (t == nullptr) break;
        ring_[tail++ % kRing].store(t, std::memory_order_relaxed);
      }
      // Q3 release, as in Place().
      tail_.store(tail, kLightStore);
    }
    backlogged_ = !backlog_.empty();
  }

  // First line: the owner's, and read by thieves now and then.
  alignas(kCacheLine) Atomic<uint32_t> inside_{0};
  Atomic<uintptr_t> thief_{kNone};
  Glimpsed<T*> next_;
  Glimpsed<uint32_t> batch_begin_;
  Glimpsed<uint32_t> batch_end_;
  Glimpsed<bool> backlogged_;  // false: the lists are empty
  uint32_t turn_ = 0;
  Backlog backlog_;
  T* batch_[kBatch] = {};
  // Second: shared.
  alignas(kCacheLine) Atomic<uint32_t> head_{0};  // owner, thieves: up
  Atomic<uint32_t> tail_{0};                      // owner: up
  Atomic<T*> inbox_{nullptr};
  alignas(kCacheLine) Atomic<T*> ring_[kRing];
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_RUN_QUEUE_H_

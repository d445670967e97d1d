// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/timers.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "runtime/arena.h"
#include "runtime/cache_line.h"
#include "runtime/futex.h"

namespace gochan::runtime {

// One Timer's place in the source. Type-stable (runtime/arena.h): the inbox and
// the heap may refer to an entry whose Timer has been stopped, restarted or
// destroyed, or that belongs to another Timer by now; its life tells.
//
// word_ = { life:63 posted:1 }. The life grows by one with every transition
// between idle and armed: odd is armed. posted: the entry is in the inbox, or
// the Start() that set it is about to put it there. Zero is a valid entry.
//   state          set by    next                           who may act
//   idle           fire,     armed+posted                   owner: Start
//                  drain
//   idle+posted    Stop      armed+posted                   owner: Start in
//   place
//                            idle                           service: drain
//   armed+posted   Start     idle+posted                    owner: Stop
//                            armed (has a slot in the heap) service: drain
//   armed          drain     idle (the slot is stale)       owner: Stop
//                            idle (the slot is gone)        service: fire
//
// "owner" is whoever may call the Timer's functions, "service" the timer
// thread.
//
// Edges:
//   T1  an armed entry's deadline_, fn_, arg_, and what its starter did before:
//       released by Arm(), acquired by Unpost().
//   T2  the end of a life: released by Disarm() and Unpost(), acquired by
//       Disarm() and Arm(). The next Start() overwrites the fields only after
//       the service has read what it is going to use.
struct alignas(kCacheLine) TimerEntry {
 public:
  struct Drained {
    bool armed;
    uint64_t life;
    MonotonicNanos deadline;
  };

  // By the owner, of an idle entry. True if the entry must now be pushed; false
  // if it still is in the inbox.
  [[nodiscard]] bool Arm(MonotonicNanos deadline, Timer::Callback fn,
                         void* arg) {
    // Relaxed: the service reads these at any time and believes them only if
    // the word has not changed.
    deadline_.store(deadline, std::memory_order_relaxed);
    fn_.store(fn, std::memory_order_relaxed);
    arg_.store(arg, std::memory_order_relaxed);
    uint64_t word = word_.load(std::memory_order_relaxed);
    // Fails at most once: when the service takes the entry off the inbox.
    // T1 release; T2 acquire.
    while (!word_.compare_exchange(word, Word(Life(word) + 1, true),
                                   std::memory_order_acq_rel)) {
    }
    return !Posted(word);
  }

  enum class Disarmed { kNotArmed, kInInbox, kInHeap };

  // By the owner; the linearization point of Stop() is its swap, or the load
  // that finds the entry idle.
  [[nodiscard]] Disarmed Disarm() {
    // Relaxed: nothing is read on the strength of it but by the swap.
    uint64_t word = word_.load(std::memory_order_relaxed);
    while (Armed(word)) {
      // T2 release and acquire.
      if (word_.compare_exchange(word, Word(Life(word) + 1, Posted(word)),
                                 std::memory_order_acq_rel)) {
        return Posted(word) ? Disarmed::kInInbox : Disarmed::kInHeap;
      }
    }
    return Disarmed::kNotArmed;
  }

  // By the service, once it has taken the entry off the inbox. The caller of
  // Start() may push it again from then on.
  [[nodiscard]] Drained Unpost() {
    // T1 acquire; pairs with Arm().
    uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
      const MonotonicNanos deadline = deadline_.load(std::memory_order_relaxed);
      // T1 acquire on failure; T2 release on success, for the read above.
      if (word_.compare_exchange(word, Word(Life(word), false),
                                 std::memory_order_acq_rel)) {
        return {Armed(word), Life(word), deadline};
      }
    }
  }

  // By the service: whether `life` is still armed.
  [[nodiscard]] bool Lives(uint64_t life) const {
    // Relaxed: a hint, or followed by Fire().
    return Life(word_.load(std::memory_order_relaxed)) == life;
  }

  // By the service: ends `life` for its callback to run; false if the owner was
  // faster. The entry is not touched afterwards.
  [[nodiscard]] bool Fire(uint64_t life, Timer::Callback* fn, void** arg) {
    // Relaxed: seen because of T1, acquired by Unpost() of this life.
    *fn = fn_.load(std::memory_order_relaxed);
    *arg = arg_.load(std::memory_order_relaxed);
    uint64_t word = Word(life, false);
    // T2 release: the reads above come before the next Arm().
    return word_.compare_exchange(word, Word(life + 1, false),
                                  std::memory_order_acq_rel);
  }

  Atomic<uint32_t>& free_link() { return free_link_; }
  Atomic<TimerEntry*>& inbox_link() { return inbox_link_; }

 private:
  static constexpr uint64_t Word(uint64_t life, bool posted) {
    return life << 1 | uint64_t{posted};
  }
  static constexpr uint64_t Life(uint64_t word) { return word >> 1; }
  static constexpr bool Posted(uint64_t word) { return (word & 1) != 0; }
  static constexpr bool Armed(uint64_t word) { return (word & 2) != 0; }

  Atomic<uint64_t> word_;
  Atomic<MonotonicNanos> deadline_;
  Atomic<Timer::Callback> fn_;
  Atomic<void*> arg_;
  // An entry can be in the inbox and free at once, hence two links.
  Atomic<TimerEntry*> inbox_link_;  // by whoever has set posted
  Atomic<uint32_t> free_link_;
};
static_assert(sizeof(TimerEntry) == kCacheLine);

namespace {

// 16 million timers at once: a gigabyte of address space, reserved at first
// use.
using TimerArena = Arena<TimerEntry, 1u << 24, 256>;

// The earliest deadline first. A 4-ary heap is half as deep as a binary one,
// and four children share one or two cache lines.
class TimerHeap {
 public:
  struct Slot {
    MonotonicNanos deadline;
    uint64_t life;
    TimerEntry* entry;

    bool IsStale() const { return !entry->Lives(life); }
  };

  bool empty() const { return slots_.empty(); }
  size_t size() const { return slots_.size(); }
  const Slot& top() const { return slots_.front(); }

  void Push(const Slot& slot) {
    slots_.push_back(slot);
    SiftUp(slots_.size() - 1, slot);
  }

  void Pop() {
    const Slot last = slots_.back();
    slots_.pop_back();
    if (!slots_.empty()) SiftDown(0, last);
  }

  // Drops the stale slots and the memory they took; returns how many.
  size_t Sweep() {
    const size_t before = slots_.size();
    std::erase_if(slots_, [](const Slot& slot) { return slot.IsStale(); });
    if (slots_.capacity() > 4 * slots_.size() + 1024) slots_.shrink_to_fit();
    // Floyd's construction: the last slot's parent down to the root.
    for (size_t i = slots_.size() / kArity + 1; i-- > 0;) {
      if (i < slots_.size()) SiftDown(i, Slot(slots_[i]));
    }
    return before - slots_.size();
  }

 private:
  static constexpr size_t kArity = 4;

  void SiftUp(size_t hole, const Slot& slot) {
    while (hole > 0) {
      const size_t parent = (hole - 1) / kArity;
      if (slots_[parent].deadline <= slot.deadline) break;
      slots_[hole] = slots_[parent];
      hole = parent;
    }
    slots_[hole] = slot;
  }

  void SiftDown(size_t hole, const Slot& slot) {
    for (;;) {
      const size_t first = hole * kArity + 1;
      if (first >= slots_.size()) break;
      size_t least = first;
      const size_t end = std::min(first + kArity, slots_.size());
      for (size_t i = first + 1; i < end; ++i) {
        if (slots_[i].deadline < slots_[least].deadline) least = i;
      }
      if (slot.deadline <= slots_[least].deadline) break;
      slots_[hole] = slots_[least];
      hole = least;
    }
    slots_[hole] = slot;
  }

  std::vector<Slot> slots_;
};

// What callers and the timer thread share. Never destroyed: the thread runs,
// and static objects' destructors may use timers, until the process is gone.
//
// The service sleeps only if it has found the inbox empty after it had said
// until when, and a starter looks at that only after its entry is in the inbox:
//
//   Start                            service
//   push            (inbox_)         wake_at_ = next
//   load wake_at_                    load inbox_
//
// All four are seq_cst, so that not both loads can miss the other side's store
// (S). An entry that is armed in place was pushed by an earlier Start(), which
// happened before this one, so the same holds.
class TimerSource {
 public:
  void Start(TimerEntry* entry, MonotonicNanos deadline, Timer::Callback fn,
             void* arg) {
    // Counted first, so that the count never falls below zero. Relaxed: a
    // statistic; who has seen the call return has an edge of his own.
    Pending(entry).fetch_add(1, std::memory_order_relaxed);
    if (entry->Arm(deadline, fn, arg)) Push(entry);
    EnsureService();
    // S, see above.
    if (deadline < wake_at_.load(std::memory_order_seq_cst)) WakeService();
  }

  bool Stop(TimerEntry* entry) {
    const TimerEntry::Disarmed disarmed = entry->Disarm();
    if (disarmed == TimerEntry::Disarmed::kNotArmed) return false;
    Pending(entry).fetch_sub(1, std::memory_order_relaxed);  // a statistic
    if (disarmed == TimerEntry::Disarmed::kInHeap) {
      // Relaxed: it only decides when to sweep. May come after the service's
      // fetch_sub for the same slot, hence signed.
      const int64_t stale = stale_.fetch_add(1, std::memory_order_relaxed) + 1;
      if (stale >= kWakeToSweep && IsMany(stale)) WakeService();
    }
    return true;
  }

  size_t CountPending() const {
    int64_t sum = 0;
    for (const Shard& shard : pending_) {
      sum += shard.count.load(std::memory_order_relaxed);  // a statistic
    }
    return static_cast<size_t>(std::max<int64_t>(sum, 0));
  }

  TimerMemory Memory() const {
    return {.entries = TimerArena::HighWater(),
            // A statistic.
            .slots = heap_size_.load(std::memory_order_relaxed)};
  }

#if GOCHAN_INSTRUMENT
  bool FireNext() {
    Timer::Callback fn;
    void* arg;
    {
      Step(StepKind::kRmw, &inbox_);
      NoSteps one_step;
      Drain();
      do {
        DropStaleTops();
        if (heap_->empty()) return false;
      } while (!TakeTop(&fn, &arg));
    }
    fn(arg);
    return true;
  }
#endif

 private:
  static constexpr MonotonicNanos kAwake =
      std::numeric_limits<MonotonicNanos>::min();
  // Fewer stale slots than this are not worth a sweep, or a wake-up.
  static constexpr int64_t kSweep = 256;
  static constexpr int64_t kWakeToSweep = 4096;

  // ---------------------------------------------------------------------------
  // Callers
  // ---------------------------------------------------------------------------

  void Push(TimerEntry* entry) {
    // Relaxed: validated by the swap.
    TimerEntry* head = inbox_.load(std::memory_order_relaxed);
    do {
      // Relaxed: released by the swap, acquired by Drain() (T3).
      entry->inbox_link().store(head, std::memory_order_relaxed);
      // T3 release; S. Only ever emptied as a whole, so no ABA.
    } while (!inbox_.compare_exchange(head, entry, std::memory_order_seq_cst));
  }

  void WakeService() {
    // Relaxed: not a 1 that the service has taken back before it went to sleep,
    // because wake_at_ was acquired after that. For Stop() a hint.
    if (signal_.load(std::memory_order_relaxed) != 0) return;
    // T4 release: the push; pairs with T4 in Run().
    if (signal_.exchange(1, std::memory_order_acq_rel) == 0) {
      FutexWake(signal_.word(), 1);
    }
  }

  // More than half of the heap.
  bool IsMany(int64_t stale) const {
    // Relaxed: exact in the service, a hint elsewhere.
    return 2 * stale >
           static_cast<int64_t>(heap_size_.load(std::memory_order_relaxed));
  }

  void EnsureService() {
#if !GOCHAN_INSTRUMENT
    // Relaxed: only one may create the thread; nobody waits for it.
    if (started_.load(std::memory_order_relaxed) == 0 &&
        started_.exchange(1, std::memory_order_relaxed) == 0) {
      CreateService();
    }
#endif
  }

  [[maybe_unused]] void CreateService() {
    // Signals are for the program's own threads.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    const int error = pthread_create(
        &thread, nullptr,
        [](void* self) -> void* {
          static_cast<TimerSource*>(self)->Run();
          return nullptr;
        },
        this);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    if (error != 0) {
      std::fputs("gochan: cannot create the timer thread\n", stderr);
      std::abort();
    }
#if defined(__linux__)
    pthread_setname_np(thread, "gochan-timers");
#endif
    pthread_detach(thread);
  }

  // ---------------------------------------------------------------------------
  // The service
  // ---------------------------------------------------------------------------

  [[noreturn]] void Run() {
    for (;;) {
      // T4 acquire: the pushes of those who asked for a wake-up that this takes
      // back; Drain() sees them.
      signal_.exchange(0, std::memory_order_acq_rel);
      Drain();
      // Relaxed: see Stop().
      const int64_t stale = stale_.load(std::memory_order_relaxed);
      if (stale >= kSweep && IsMany(stale)) {
        Dropped(heap_->Sweep());
      }
      // One reading for the whole round: what callbacks start waits for the
      // next one, so no timer that restarts itself can keep others out.
      const MonotonicNanos now = MonotonicNow();
      while (!heap_->empty() && heap_->top().deadline <= now) {
        Timer::Callback fn;
        void* arg;
        if (TakeTop(&fn, &arg)) fn(arg);
      }
      DropStaleTops();
      const MonotonicNanos next =
          heap_->empty() ? kNever : heap_->top().deadline;
      // S, both; see above.
      wake_at_.store(next, std::memory_order_seq_cst);
      if (inbox_.load(std::memory_order_seq_cst) == nullptr) {
        FutexWait(signal_.word(), 0, next);
      }
      // Relaxed: who sees the old value wakes in vain; who sees this one has
      // pushed before the inbox is looked at again, by S.
      wake_at_.store(kAwake, std::memory_order_relaxed);
    }
  }

  // Moves what is armed in the inbox to the heap.
  void Drain() {
    if (heap_ == nullptr) heap_ = new TimerHeap;
    // T3 acquire: the links; pairs with Push().
    TimerEntry* entry = inbox_.exchange(nullptr, std::memory_order_acq_rel);
    while (entry != nullptr) {
      // Before Unpost(), which allows the next Push(). Relaxed: T3.
      TimerEntry* const next =
          entry->inbox_link().load(std::memory_order_relaxed);
      const TimerEntry::Drained drained = entry->Unpost();
      // Also if it has been stopped since: its stopper has counted the slot.
      if (drained.armed) {
        heap_->Push({drained.deadline, drained.life, entry});
      }
      entry = next;
    }
    Dropped(0);
  }

  void DropStaleTops() {
    size_t dropped = 0;
    while (!heap_->empty() && heap_->top().IsStale()) {
      heap_->Pop();
      ++dropped;
    }
    Dropped(dropped);
  }

  // Takes the top slot out; false if it was stale.
  [[nodiscard]] bool TakeTop(Timer::Callback* fn, void** arg) {
    const TimerHeap::Slot slot = heap_->top();
    heap_->Pop();
    if (!slot.entry->Fire(slot.life, fn, arg)) {
      Dropped(1);
      return false;
    }
    Pending(slot.entry).fetch_sub(1, std::memory_order_relaxed);  // a statistic
    return true;
  }

  // Keeps account after stale slots have left the heap.
  void Dropped(size_t stale) {
    // Relaxed, both: see Stop() and IsMany().
    if (stale != 0) {
      stale_.fetch_sub(static_cast<int64_t>(stale), std::memory_order_relaxed);
    }
    heap_size_.store(heap_->size(), std::memory_order_relaxed);
  }

  // ---------------------------------------------------------------------------

  // By entry, so that Start() and Stop() of one timer meet in the same line and
  // different timers mostly do not.
  static constexpr size_t kShards = 8;
  struct alignas(kCacheLine) Shard {
    Atomic<int64_t> count;
  };
  Atomic<int64_t>& Pending(const TimerEntry* entry) {
    return pending_[TimerArena::IndexOf(entry) % kShards].count;
  }

  // Entries whose starters have pushed them, newest first; a Treiber stack.
  alignas(kCacheLine) Atomic<TimerEntry*> inbox_;
  // Until when the service sleeps, at most; kAwake while it does not.
  alignas(kCacheLine) Atomic<MonotonicNanos> wake_at_{kAwake};
  // What the service sleeps on. 0: let it sleep; 1: a wake-up is under way.
  Atomic<uint32_t> signal_;
  Atomic<uint32_t> started_;  // 1 once somebody creates the thread
  // Slots of the heap whose timers have been stopped; heap_size_ counts all.
  alignas(kCacheLine) Atomic<int64_t> stale_;
  Atomic<size_t> heap_size_;
  Shard pending_[kShards];
  TimerHeap* heap_ = nullptr;  // the service's alone
};

constinit TimerSource source;

}  // namespace

Timer::~Timer() {
  Step(StepKind::kRmw, &entry_);
  NoSteps one_step;
  // Relaxed: whoever destroys it is ordered after its last user.
  TimerEntry* const entry = entry_.load(std::memory_order_relaxed);
  if (entry == nullptr) return;
  source.Stop(entry);
  // The service may still have it in its inbox or heap; that is no obstacle.
  TimerArena::Free(TimerArena::IndexOf(entry));
}

void Timer::Start(MonotonicNanos deadline, Callback fn, void* arg) {
  Step(StepKind::kRmw, &entry_);
  NoSteps one_step;  // others can only tell whether it is armed
  // Relaxed: written by Start() only, which the caller has ordered.
  TimerEntry* entry = entry_.load(std::memory_order_relaxed);
  if (entry == nullptr) {
    entry = &TimerArena::At(TimerArena::Allocate());
    // T5 release: the entry as it was taken over; pairs with T5 in Stop().
    entry_.store(entry, std::memory_order_release);
  } else {
    source.Stop(entry);
  }
  source.Start(entry, deadline, fn, arg);
}

bool Timer::Stop() {
  Step(StepKind::kRmw, &entry_);
  NoSteps one_step;
  // T5 acquire; pairs with T5 in Start().
  TimerEntry* const entry = entry_.load(std::memory_order_acquire);
  return entry != nullptr && source.Stop(entry);
}

size_t PendingTimers() { return source.CountPending(); }

TimerMemory GetTimerMemory() { return source.Memory(); }

#if GOCHAN_INSTRUMENT
bool FireNextTimerForTest() { return source.FireNext(); }
#endif

}  // namespace gochan::runtime

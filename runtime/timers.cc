// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/timers.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/cache_line.h"
#include "runtime/futex.h"
#include "runtime/park.h"
#include "runtime/timer_entry.h"
#include "runtime/timer_queue.h"

namespace gochan::runtime {

namespace {

// -----------------------------------------------------------------------------
// Instrumented builds
// -----------------------------------------------------------------------------

#if GOCHAN_INSTRUMENT
// What FireNextTimerForTest() has made of the time.
MonotonicNanos virtual_now = 0;

// All operations on timers are steps on this word, and change it: whether one
// comes before another shows in the history of both.
constinit Atomic<uint64_t> steps{0};

class OneStep {
 private:
  const uint64_t step_ = steps.fetch_add(1, std::memory_order_relaxed);
  NoSteps rest_;
};
#else
class OneStep {
 public:
  OneStep() {}  // NOLINT: not defaulted, so that an unused object is no warning
};
#endif

// -----------------------------------------------------------------------------
// Entries
// -----------------------------------------------------------------------------

// Which batches of entries have been used, one bit each: PendingTimers() must
// not look at memory that the arena has not made usable yet.
//   bit  set by                                        who may act
//   0    (start)                                       nobody looks
//   1    who was given an entry of it: NoteInUse()     PendingTimers()
constinit Atomic<uint64_t>
    batches_in_use[kMaxTimerEntries / kTimerEntryBatch / 64];

void NoteInUse(uint32_t index) {
  const uint32_t batch = index / kTimerEntryBatch;
  Atomic<uint64_t>& word = batches_in_use[batch / 64];
  const uint64_t bit = uint64_t{1} << (batch % 64);
  // Relaxed, both: only who was given the entry must see it counted, and
  // whoever has that from him.
  if ((word.load(std::memory_order_relaxed) & bit) == 0) {
    word.fetch_or(bit, std::memory_order_relaxed);
  }
}

// True once `stop_at` is true for one.
template <typename Function>
bool ForEachPending(Function stop_at) {
  NoSteps alone;
  const uint32_t words = (TimerArena::HighWater() / kTimerEntryBatch + 63) / 64;
  for (uint32_t i = 0; i < words; ++i) {
    uint64_t bits = batches_in_use[i].load(std::memory_order_relaxed);
    for (; bits != 0; bits &= bits - 1) {
      const uint32_t first =
          (i * 64 + static_cast<uint32_t>(__builtin_ctzll(bits))) *
          kTimerEntryBatch;
      for (uint32_t k = 0; k < kTimerEntryBatch; ++k) {
        TimerEntry& entry = TimerArena::At(first + k);
        if (entry.IsPending() && stop_at(entry)) return true;
      }
    }
  }
  return false;
}

// -----------------------------------------------------------------------------
// The service
// -----------------------------------------------------------------------------

// The thread for timers that are not started on a worker, and what it shares
// with those who start them. Never destroyed: the thread runs, and static
// objects' destructors may use timers, until the process is gone.
//
// The service sleeps only if it has found the inbox empty after it had said
// until when, and a starter looks at that only after its entry is in the inbox:
//
//   Start                            service
//   push            (inbox)          wake_at_ = next
//   load wake_at_                    load inbox
//
// All four are seq_cst, so that not both loads can miss the other side's store
// (S). An entry that is armed in place was pushed by an earlier Start(), which
// happened before this one, so the same holds.
class TimerService {
 public:
  TimerQueue& queue() { return queue_; }

  int32_t thread_id() const {
    return thread_id_.load(std::memory_order_relaxed);  // a number
  }

  bool IsAsleep() const {
    // Whoever has seen an entry that is not pending any more sees that the
    // thread had been awake before it took that.
    std::atomic_thread_fence(std::memory_order_acquire);
    // Relaxed: none has been started that the caller could have seen pending.
    if (started_.load(std::memory_order_relaxed) == 0) return true;
    // S acquire: what callbacks have done; pairs with the store in Run().
    return wake_at_.load(std::memory_order_seq_cst) != kAwake;
  }

  // After a start that has come to rest in this queue's inbox.
  void Started(MonotonicNanos deadline) {
    EnsureThread();
    // S, see above.
    if (deadline < wake_at_.load(std::memory_order_seq_cst)) Wake();
  }

  void Wake() {
    // Relaxed: not a 1 that the service has taken back before it went to sleep,
    // because wake_at_ was acquired after that. For Stop() a hint.
    if (signal_.load(std::memory_order_relaxed) != 0) return;
    // T3 release: the push; pairs with T3 in Run().
    if (signal_.exchange(1, std::memory_order_acq_rel) == 0) {
      FutexWake(signal_.word(), 1);
    }
  }

 private:
  static constexpr MonotonicNanos kAwake =
      std::numeric_limits<MonotonicNanos>::min();

  void EnsureThread() {
#if !GOCHAN_INSTRUMENT
    // Relaxed: only one may create the thread; nobody waits for it.
    if (started_.load(std::memory_order_relaxed) == 0 &&
        started_.exchange(1, std::memory_order_relaxed) == 0) {
      CreateThread();
    }
#endif
  }

  [[maybe_unused]] void CreateThread() {
    // Signals are for the program's own threads.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    const int error = pthread_create(
        &thread, nullptr,
        [](void* self) -> void* {
          static_cast<TimerService*>(self)->Run();
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

  [[noreturn]] void Run() {
    // Relaxed: a number.
    thread_id_.store(static_cast<int32_t>(syscall(SYS_gettid)),
                     std::memory_order_relaxed);
    for (;;) {
      // T3 acquire: the pushes of those who asked for a wake-up that this takes
      // back; the drain below sees them.
      signal_.exchange(0, std::memory_order_acq_rel);
      // One reading for the whole round: what callbacks start waits for the
      // next one, so no timer that restarts itself can keep others out.
      queue_.RunDue(MonotonicNow());
      // Nobody else takes the lock of this queue, so this is exact.
      const MonotonicNanos next = queue_.PrepareToSleep();
      // S, both; see above.
      wake_at_.store(next, std::memory_order_seq_cst);
      if (queue_.InboxIsEmpty()) FutexWait(signal_.word(), 0, next);
      // Relaxed: who sees the old value wakes in vain; who sees this one has
      // pushed before the inbox is looked at again, by S.
      wake_at_.store(kAwake, std::memory_order_relaxed);
    }
  }

  TimerQueue queue_;
  // Until when the service sleeps, at most; kAwake while it does not.
  //   kAwake    the service, awake        a deadline
  //   deadline  the service, to sleep     kAwake; starters: wake it if earlier
  alignas(kCacheLine) Atomic<MonotonicNanos> wake_at_{kAwake};
  // What the service sleeps on. 0: let it sleep; 1: a wake-up is under way.
  Atomic<uint32_t> signal_{0};
  Atomic<uint32_t> started_{0};   // 1 once somebody creates the thread
  Atomic<int32_t> thread_id_{0};  // the system's
};

constinit TimerService service;

constinit Atomic<TimerIsIdle> timer_is_idle{nullptr};

// The queue on which the caller is the one to start timers; nullptr: none.
TimerQueue* CallersQueue() {
#if GOCHAN_INSTRUMENT
  return nullptr;
#else
  const Party* const party = CurrentPartyOrNull();
  return party == nullptr ? nullptr : party->timers;
#endif
}

// `mine`: the caller's queue.
bool StopEntry(TimerEntry* entry, TimerQueue* mine) {
  TimerQueue* queue;
  switch (entry->Disarm(&queue)) {
    case TimerEntry::Disarmed::kNotArmed:
      return false;
    case TimerEntry::Disarmed::kInInbox:
      return true;
    case TimerEntry::Disarmed::kInHeap:
      break;
  }
  if (queue->NoteStale(queue == mine)) {
    if (queue == &service.queue()) {
      service.Wake();
    } else {
      queue->TrySweep();
    }
  }
  return true;
}

void FreeEntry(TimerEntry* entry, TimerQueue* mine) {
  if (mine != nullptr && mine->KeepSpare(entry)) return;
  TimerArena::Free(TimerArena::IndexOf(entry));
}

}  // namespace

// -----------------------------------------------------------------------------
// Timer
// -----------------------------------------------------------------------------

Timer::~Timer() {
  OneStep one_step;
  // Relaxed: whoever destroys it is ordered after its last user.
  TimerEntry* const entry = entry_.load(std::memory_order_relaxed);
  if (entry == nullptr) return;
  TimerQueue* const mine = CallersQueue();
  StopEntry(entry, mine);
  // It may still be in an inbox or a heap; that is no obstacle.
  FreeEntry(entry, mine);
}

TimerEntry* Timer::Entry(TimerQueue* mine) {
  // Relaxed: written by Start() only, which the caller has ordered.
  TimerEntry* entry = entry_.load(std::memory_order_relaxed);
  if (entry != nullptr) return entry;
  if (mine != nullptr) entry = mine->TakeSpare();
  if (entry == nullptr) {
    const uint32_t index = TimerArena::Allocate();
    NoteInUse(index);
    entry = &TimerArena::At(index);
  }
  // T4 release: the entry as it was taken over; pairs with T4 in Stop().
  entry_.store(entry, std::memory_order_release);
  return entry;
}

void Timer::Prepare() {
  NoSteps private_yet;
  Entry(CallersQueue());
}

void Timer::Start(MonotonicNanos deadline, Callback fn, void* arg) {
  OneStep one_step;  // others can only tell whether it is armed
  TimerQueue* const mine = CallersQueue();
  TimerEntry* const entry = Entry(mine);
  StopEntry(entry, mine);
  TimerQueue* const queue = mine != nullptr ? mine : &service.queue();
  TimerQueue* const where =
      queue->Start(entry, deadline, fn, arg, /*shared=*/mine == nullptr);
  if (where == &service.queue()) service.Started(deadline);
}

MonotonicNanos Timer::GoesOff() const {
  OneStep one_step;
  // Relaxed: as in Entry().
  const TimerEntry* const entry = entry_.load(std::memory_order_relaxed);
  return entry != nullptr && entry->IsPending() ? entry->deadline() : kNever;
}

bool Timer::Stop() {
  OneStep one_step;
  // T4 acquire; pairs with T4 in Entry().
  TimerEntry* const entry = entry_.load(std::memory_order_acquire);
  return entry != nullptr && StopEntry(entry, CallersQueue());
}

int32_t Timer::ThreadId() { return service.thread_id(); }
bool Timer::ThreadIsAsleep() { return service.IsAsleep(); }

// -----------------------------------------------------------------------------

size_t PendingTimers() {
  size_t pending = 0;
  ForEachPending([&pending](TimerEntry&) {
    ++pending;
    return false;
  });
  return pending;
}

TimersLeft FindTimerThatWakes(size_t limit) {
  // Relaxed: a function; nothing is passed on with it.
  const TimerIsIdle is_idle = timer_is_idle.load(std::memory_order_relaxed);
  TimersLeft left = TimersLeft::kNoneWakes;
  ForEachPending([&](TimerEntry& entry) {
    TimerCallback fn;
    void* arg;
    if (!entry.IsPending(&fn, &arg)) return false;
    if (limit-- == 0) {
      left = TimersLeft::kTooMany;
    } else if (is_idle == nullptr || !is_idle(fn, arg)) {
      left = TimersLeft::kOneWakes;
    }
    return left != TimersLeft::kNoneWakes;
  });
  return left;
}

void SetTimerIsIdle(TimerIsIdle is_idle) {
  timer_is_idle.store(is_idle, std::memory_order_relaxed);
}

TimerMemory GetTimerMemory() {
  return {.entries = TimerArena::HighWater(), .slots = service.queue().slots()};
}

#if GOCHAN_INSTRUMENT
bool FireNextTimerForTest() {
  TimerCallback fn;
  void* arg;
  {
    OneStep one_step;
    MonotonicNanos deadline;
    if (!service.queue().TakeEarliest(&fn, &arg, &deadline)) return false;
    virtual_now = std::max(virtual_now, deadline);
  }
  fn(arg);
  return true;
}

void AdvanceTimerNowForTest(MonotonicNanos now) {
  OneStep one_step;
  virtual_now = std::max(virtual_now, now);
}

void ResetTimersForTest() {
  ForEachPending([](TimerEntry& entry) {
    StopEntry(&entry, nullptr);
    return false;
  });
  virtual_now = 0;
}

MonotonicNanos TimerNow() {
  Step(StepKind::kLoad, &steps);
  return virtual_now;
}

absl::Time WallTimeOf(MonotonicNanos when, MonotonicNanos) {
  return absl::FromUnixNanos(when);
}
#else
absl::Time WallTimeOf(MonotonicNanos when, MonotonicNanos now) {
  return absl::Now() - absl::Nanoseconds(now - when);
}
#endif

}  // namespace gochan::runtime

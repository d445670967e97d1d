// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/scheduler.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "runtime/backoff.h"
#include "runtime/barrier.h"
#include "runtime/clock.h"
#include "runtime/cpu_count.h"
#include "runtime/futex.h"
#include "runtime/goexit.h"
#include "runtime/goroutine_text.h"
#include "runtime/park.h"
#include "runtime/restartable.h"
#include "runtime/scheduler_internal.h"
#include "runtime/scheduler_state.h"
#include "runtime/spawn.h"
#include "runtime/stack.h"
#include "runtime/stack_overflow.h"

namespace gochan::runtime {

namespace {

// For onlookers (ForEachFrozenThread()).
[[gnu::noinline]] void MarkStack(Thread& self) {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  void* low = nullptr;
  std::size_t bytes = 0;
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  self.stack_low = reinterpret_cast<uintptr_t>(low);
  // Release: stack_low.
  self.mark.store(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)),
                  std::memory_order_release);
}

}  // namespace

constinit Atomic<uint64_t> WorkerCounts::counts{0};

// -----------------------------------------------------------------------------
// Choosing who runs
// -----------------------------------------------------------------------------

void Worker::ReadySlow(Runnable* r) { LookAfter(queue_.PushNext(r)); }

// Nobody steals who runs next at once, but somebody must look after it: its
// worker may compute for long. Who searches becomes the watcher, or sees to it
// that there is one.
void Worker::LookAfter(Runnable* displaced) {
  if (displaced != nullptr) {
    PushBack(displaced);
    return;
  }
  // Relaxed: a watcher that has just gone comes back on the next push; it goes
  // only if it saw no worker running.
  const uint64_t counts = Scheduler::counts.load(std::memory_order_relaxed);
  if (Scheduler::NeedsWatcher(counts)) Scheduler::NotifyOne();
}

Fiber& Worker::ChooseSlow(Fiber& from, Runnable* r) {
  if (r == nullptr && Budget() > 0) r = queue_.TakeNext();
  if (r == nullptr && Budget() > 0) r = queue_.Take();
  return Enter(from, Scheduler::WithStack(*this, r));
}

bool Worker::IsBrief(MonotonicNanos limit) const {
  return turn_ * queue_.Length() < limit;
}

bool Worker::IsQuiet() const {
  return Ticks() - looked_ < TicksOfMicros(kQuietFor / 1'000);
}

void Worker::PushBack(Runnable* r) {
  // Relaxed: who goes to sleep after this looks at all queues first.
  const uint64_t counts = Scheduler::counts.load(std::memory_order_relaxed);
  const bool hide = Scheduler::MayHide(counts, quiet_) &&
                    ((counts & Scheduler::kIdleMask) == 0 || IsQuiet());
  if (queue_.Push(r, hide, r->IsTask())) NoticePush();
}

// Something stands where others find it: is somebody to be woken for it?
void Worker::NoticePush() {
  // The push, then this load; against Sleep()'s count, then its look at the
  // queues.
  LightBarrier();
  const uint64_t counts = Scheduler::counts.load(kLightLoad);
  if ((counts & Scheduler::kIdleMask) != 0 &&
      (counts & Scheduler::kSearchingMask) == 0) [[unlikely]] {
    Scheduler::NotifyOne();
  }
}

// -----------------------------------------------------------------------------
// Waking workers
// -----------------------------------------------------------------------------

// kAsleep or kDetached -> kRunning. Returns which of the two it was: the caller
// has it, and must Wake() it or run it; else kRunning: no. Without `asleep`
// only kDetached will do.
uint32_t Scheduler::Claim(Worker& w, bool search, bool asleep) {
  // Relaxed: the swap decides.
  uint32_t state = w.state_.load(std::memory_order_relaxed);
  do {
    if (state != Worker::kDetached && (!asleep || state != Worker::kAsleep)) {
      return Worker::kRunning;
    }
    // S2 acq_rel: as its last runner left it; pairs with S2 in GoIdle().
  } while (!w.state_.compare_exchange(state, Worker::kRunning,
                                      std::memory_order_acq_rel));
  const auto n = static_cast<unsigned>(w.number_);
  // seq_cst, both: with GoIdle(), which has set them before the state.
  idle[n / kBits].fetch_and(~(uint64_t{1} << n % kBits),
                            std::memory_order_seq_cst);
  const uint64_t before = counts.fetch_add(
      kEpoch - kIdle + (search ? kSearching : 0), std::memory_order_seq_cst);
  // From now on there may be no watcher. seq_cst: see `guard`.
  if (Idle(before) == 1) RaiseGuard(kForTimers);
  return state;
}

// kRunning -> kAsleep or kDetached, by who runs it. From then on others may
// claim it; the caller looks at the queues after this. True: it is the watcher.
// That in the same swap, for those who run wake somebody as soon as nobody
// searches or watches: it would be woken again before it has looked.
bool Scheduler::GoIdle(Worker& w, uint32_t state, bool searching,
                       bool may_watch) {
  const auto n = static_cast<unsigned>(w.number_);
  // In this order: who claims it undoes these two. seq_cst: the count, then the
  // caller's look; against a push, then its load of the count.
  uint64_t now = counts.load(std::memory_order_relaxed);  // the swap decides
  uint64_t next;
  bool watching;
  do {
    next = now + kIdle - (searching ? kSearching : 0);
    watching = may_watch && (next & kWatcher) == 0 && Idle(next) < Active(next);
    if (watching) next |= kWatcher;
  } while (!counts.compare_exchange(now, next, std::memory_order_seq_cst));
  idle[n / kBits].fetch_or(uint64_t{1} << n % kBits, std::memory_order_seq_cst);
  // S2 release: the worker; pairs with S2 in Claim(). seq_cst: against Send().
  w.state_.store(state, std::memory_order_seq_cst);
  return watching;
}

// A claimed worker gets going: `was` kAsleep, its thread wakes up; kDetached,
// it is given one.
void Scheduler::Wake(Worker& w, uint32_t was) {
  Bump(w.wake_ups_);
  if (was == Worker::kAsleep) {
    Thread& thread = *w.thread_;
    // S3 release: the claim; pairs with S3 in Sleep().
    thread.wake.store(Thread::kWorks, std::memory_order_release);
    FutexWake(thread.wake.word(), 1);
  } else {
    GiveThread(w);
  }
}

// Some idle worker, if there is one, starts to search.
void Scheduler::NotifyOne() {
  const int words = (Procs() + kBits - 1) / kBits;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < words; ++i) {
      uint64_t bits = idle[i].load(std::memory_order_seq_cst);
      while (bits != 0) {
        const int n = i * kBits + __builtin_ctzll(bits);
        bits &= bits - 1;
        Worker& w = *At(n);
        // Relaxed: Claim() decides.
        const uint32_t was = w.state_.load(std::memory_order_relaxed);
        // First those that have a thread.
        if (pass == 0 && was != Worker::kAsleep) continue;
        const uint32_t claimed = Claim(w, /*search=*/true);
        if (claimed != Worker::kRunning) {
          Wake(w, claimed);
          return;
        }
      }
    }
  }
}

// What was sent to a worker that has retired goes to the first one, which never
// does.
void Scheduler::ForwardInbox(Worker& w) {
  auto list = w.queue_.TakeInbox();
  while (Runnable* const r = list.Pop()) Send(*At(0), r);
}

// From a thread that runs no worker.
void Scheduler::Send(Worker& home, Runnable* r) {
  Worker* w = &home;
  if (w->number_ >= Procs()) w = At(0);
  // The push (seq_cst), then the load of the state; against Sleep().
  w->queue_.Send(r);
  const uint32_t state = w->state_.load(std::memory_order_seq_cst);
  if (state == Worker::kRetired) [[unlikely]] {
    // It has retired since Procs() was read and looks there no more.
    ForwardInbox(*w);
    return;
  }
  if (state != Worker::kRunning) {
    const uint32_t claimed = Claim(*w, /*search=*/true);
    if (claimed != Worker::kRunning) {
      Wake(*w, claimed);
      return;
    }
  }
  const uint64_t now = counts.load(std::memory_order_seq_cst);
  if (Idle(now) != 0 && Searching(now) == 0) NotifyOne();
}

void Scheduler::SendAnywhere(Runnable* r) {
  // Relaxed: any distribution will do. An idle worker gets it before the others
  // in any case, see Send().
  const uint64_t n = next_home.fetch_add(1, std::memory_order_relaxed);
  Send(*At(static_cast<int>(n % static_cast<unsigned>(Procs()))), r);
}

// -----------------------------------------------------------------------------
// Threads
// -----------------------------------------------------------------------------

// A claimed worker without a thread gets a spare one, or a new one.
void Scheduler::GiveThread(Worker& w) {
  const uint32_t spare = spares.Pop();
  if (spare != FreeStack<ThreadArena>::kNone) {
    Thread& thread = ThreadArena::At(spare);
    thread.worker = &w;
    // S3 release: `worker`; pairs with S3 in BecomeSpare().
    thread.wake.store(Thread::kWorks, std::memory_order_release);
    FutexWake(thread.wake.word(), 1);
    return;
  }
  auto* const thread =
      new (&ThreadArena::At(ThreadArena::Allocate())) Thread(PartySeed());
  thread->worker = &w;
  threads.fetch_add(1, std::memory_order_relaxed);  // a number
  StartThread(&ThreadMain, thread);
}

void Scheduler::StartThread(void* (*main)(void*), void* arg) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t id;
  const int error = pthread_create(&id, &attributes, main, arg);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    std::fprintf(stderr, "gochan: cannot start a thread: %s\n",
                 std::strerror(error));
    std::abort();
  }
}

void* Scheduler::ThreadMain(void* arg) {
  Thread& self = *static_cast<Thread*>(arg);
  prctl(PR_SET_NAME, "gochan-worker");
  RefuseThreadMark();
  AttachOverflowStack();
  self.annotations.AdoptThread();
  self.eh_globals = ThreadEhGlobals();
  self.shown.tid.store(CurrentThreadId(), std::memory_order_relaxed);
  MarkStack(self);
  SetCurrentParty(&self.party);
  Loop(self);
  return nullptr;
}

// The calling thread does the work of `w` from now on; nullptr: of nobody.
void Scheduler::BeWorker(Worker* w) {
  Set_current_worker(w);
  SetCurrentMark(w == nullptr ? 0 : w->mark_);
}

// Never returns: runtime threads are reused, and end with the process.
void Scheduler::Loop(Thread& self) {
  // Counted so by who has claimed the worker that it was given.
  bool searching = true;
  for (;;) {
    if (self.worker == nullptr) {
      BecomeSpare(self);
      searching = true;
    }
    Worker& w = *self.worker;
    w.thread_ = &self;
    self.party.worker = &w;
    self.party.timers = &w.timers_;
    BeWorker(&w);
    Runnable* const r = WithStack(w, Find(w, searching));
    searching = false;
    // Relaxed: as in Enter().
    if (r == nullptr || r->IsAbandoned()) {
      continue;
    }
    Fiber& to = w.Enter(self, r);
    RunPublication(SwitchFibers(self, to, nullptr));
  }
}

void Scheduler::BecomeSpare(Thread& self) {
  self.party.worker = nullptr;
  self.party.timers = nullptr;
  BeWorker(nullptr);
  if (self.shown.in_blocking.load(std::memory_order_relaxed) != 0) {  // own
    // D1 release: who came back from Blocking() is in a queue now; pairs with
    // D1 in CheckDeadlock(). If that was not reported because of this thread,
    // somebody must look again: seq_cst, this store, then the counts; there the
    // count, then in_blocking.
    self.shown.in_blocking.store(0, std::memory_order_seq_cst);
    const uint64_t now = counts.load(std::memory_order_seq_cst);
    if (Idle(now) == Active(now)) NotifyOne();
  }
  Stack::TrimCache();
  // Relaxed: nobody has this thread yet; released by the push.
  self.wake.store(Thread::kSleeps, std::memory_order_relaxed);
  const uint32_t index = ThreadArena::IndexOf(&self);
  spares.Push(index, index);
  TellOfSpare();
  // S3 acquire: `worker`; pairs with S3 in GiveThread().
  while (self.wake.load(std::memory_order_acquire) == Thread::kSleeps) {
    FutexWait(self.wake.word(), Thread::kSleeps);
  }
}

// -----------------------------------------------------------------------------
// Looking for work
// -----------------------------------------------------------------------------

// On the thread's own stack. nullptr: look at the thread again. `searching`:
// the worker is counted so; it is not afterwards.
Runnable* Scheduler::Find(Worker& w, bool searching) {
  MonotonicNanos now = MonotonicNow();
  const bool looked_around = w.Budget() > 0;  // out of work, not of budget
  const MonotonicNanos last = w.now_.load(std::memory_order_relaxed);  // own
  w.now_.store(now, std::memory_order_relaxed);
  const int32_t turns = w.budget_then_ - w.Budget();
  if (turns > 0) w.turn_ = (now - last) / turns;
  if (!looked_around) {
    w.quiet_ = w.IsBrief(Worker::kWorthSharing);
    w.looked_ = Ticks();
    if (now - w.aged_ > Worker::kFreshFor) {
      w.aged_ = now;
      w.queue_.Age();
    }
    // Long turns: look around more often.
    if (now - last > Worker::kSlice) {
      w.budget_size_ = std::max(1, w.budget_size_ / 2);
    } else if (now - last < Worker::kSlice / 4) {
      w.budget_size_ = std::min(Worker::kMaxBudget, w.budget_size_ * 2);
    }
    w.SetBudget(w.budget_size_);
  }
  w.budget_then_ = w.Budget();
  if (MustStop()) {
    if (searching) counts.fetch_sub(kSearching, std::memory_order_seq_cst);
    Park();
    return nullptr;
  }
  if (w.number_ >= Procs() && resize_mutex.try_lock()) {
    const bool retire = w.number_ >= Procs();
    if (retire) {
      if (searching) counts.fetch_sub(kSearching, std::memory_order_seq_cst);
      w.thread_->worker = nullptr;
      Retire(w);
    }
    resize_mutex.unlock();
    if (retire) return nullptr;
  }
  if (w.is_tired_ && !searching) [[unlikely]] {
    Rest(w);
    now = MonotonicNow();
    w.now_.store(now, std::memory_order_relaxed);
  }
  if (w.timers_.NextDeadline() <= now) w.timers_.RunDue(now);
  w.queue_.DrainInbox();
  if (starving.load(std::memory_order_relaxed) != 0) RetryStarved(w);
  Runnable* r = w.queue_.TakeNext();
  if (r == nullptr) {
    r = w.queue_.Take();
  } else if (!looked_around) {
    // Nobody keeps the others waiting by waking each other all the time. Where
    // there are no others, nobody is told of work: a pair would be pulled
    // apart.
    if (Runnable* const other = w.queue_.Take()) {
      w.PushBack(r);
      r = other;
    }
  }
  if (r == nullptr) return Search(w, searching);
  if (searching) EndSearch(w);
  // Somebody has become idle, and there is work for him.
  if (!looked_around && !w.quiet_ &&
      (counts.load(std::memory_order_relaxed) & kIdleMask) != 0 &&
      w.queue_.Unhide()) {
    w.NoticePush();
  }
  return r;
}

// From others, also those in excess that have not switched yet: their rings
// first; `all`: also what they have not looked at.
Runnable* Scheduler::StealFor(Worker& w, bool all) {
  const int n = Made();
  const int start = static_cast<int>(w.random_.Below(static_cast<uint32_t>(n)));
  for (int i = 0; i < n; ++i) {
    Worker* const victim = At((start + i) % n);
    if (victim == &w) continue;
    Runnable* r = victim->queue_.StealHalf(w.queue_);
    if (r == nullptr && all) r = victim->queue_.StealInbox(w.queue_);
    if (r != nullptr) {
      Bump(w.steals_);
      return r;
    }
  }
  return nullptr;
}

// Found something: if it was the last that searched, and there is more or
// nobody looks after those who run, another one goes on searching. So as long
// as somebody runs and somebody is idle, there is one who searches or a
// watcher; pushes that met a search and woke nobody rely on it.
void Scheduler::EndSearch(Worker& w) {
  const uint64_t before =
      counts.fetch_sub(kSearching, std::memory_order_seq_cst);
  if (Searching(before) == 1 && Idle(before) != 0 &&
      ((before & kWatcher) == 0 || !w.queue_.RingLooksEmpty())) {
    NotifyOne();
  }
}

Runnable* Scheduler::Search(Worker& w, bool searching) {
  constexpr int kRounds = 4;
  constexpr int kPauses = 32;
  constexpr uint32_t kVain = 4;
  constexpr uint32_t kTryAgain = 16;
  for (;;) {
    // No more than half of those that are awake.
    const uint64_t now = counts.load(std::memory_order_relaxed);
    if (!searching && Procs() > 1 &&
        2 * Searching(now) < Active(now) - Idle(now)) {
      counts.fetch_add(kSearching, std::memory_order_seq_cst);
      searching = true;
    }
    if (searching) {
      // Who has lingered in vain so often only looks, for most of the time.
      const uint32_t vain = w.vain_searches_++;
      const bool lingers = vain < kVain || vain % kTryAgain == 0;
      for (int round = 0; round < (lingers ? kRounds : 2); ++round) {
        Runnable* r = StealFor(w, round > 0);
        if (r == nullptr && w.queue_.DrainInbox()) r = w.queue_.Take();
        if (r != nullptr) {
          if (round > 0) w.vain_searches_ = 0;
          EndSearch(w);
          return r;
        }
        for (int i = 0; lingers && i < kPauses; ++i) CpuRelax();
      }
    }
    Sleep(w, searching);
    // Awake, and counted as searching by who has woken it.
    searching = true;
    if (MustStop() || w.number_ >= Procs()) {
      counts.fetch_sub(kSearching, std::memory_order_seq_cst);
      return nullptr;
    }
    const MonotonicNanos time = MonotonicNow();
    w.now_.store(time, std::memory_order_relaxed);
    // How much the timers wake is known behind them.
    w.quiet_ = w.turn_ > 0;
    w.looked_ = Ticks();
    if (w.timers_.NextDeadline() <= time) w.timers_.RunDue(time);
    w.queue_.DrainInbox();
    w.quiet_ = w.quiet_ && w.IsBrief(Worker::kWorthSharing);
    if (!w.quiet_) (void)w.queue_.Unhide();  // EndSearch() tells of it
    Runnable* r = w.queue_.TakeNext();
    if (r == nullptr) r = w.queue_.Take();
    if (r != nullptr) {
      EndSearch(w);
      return r;
    }
  }
}

// Is there anything for an idle worker to do?
bool Scheduler::AnyWork(Worker& w) {
  if (!w.queue_.Empty()) return true;
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    Worker* const other = At(i);
    if (other == &w) continue;
    if (!other->queue_.RingLooksEmpty() || !other->queue_.InboxLooksEmpty()) {
      return true;
    }
  }
  return false;
}

// Until woken, or there is something to do. The worker is kRunning then, and
// counted as searching.
//
//     push                                   sleep
//     1. to a ring (light barrier) or        3. counts.idle + 1
//        inbox (seq_cst)                        heavy barrier
//     2. load counts, state                  4. look at all rings and inboxes
// Either 2 sees the count, and wakes somebody, or 4 sees the push. The watcher
// needs no barrier: it looks again within kWatchMin, and if nobody runs any
// more, so that it does not, there is no push that its worker has not run.
void Scheduler::Sleep(Worker& w, bool searching) {
  Thread& self = *w.thread_;
  Stack::TrimCache();
  // Relaxed: released by the state.
  self.wake.store(Thread::kSleeps, std::memory_order_relaxed);
  bool watching = GoIdle(w, Worker::kAsleep, searching, /*may_watch=*/true);
  MonotonicNanos interval = kWatchMin;
  bool soon = false;
  const uint64_t first = counts.load(std::memory_order_seq_cst);
  if (!watching && Idle(first) < Active(first)) HeavyBarrier();
  for (;;) {
    const MonotonicNanos now = MonotonicNow();
    const MonotonicNanos due = w.timers_.PrepareToSleep();
    MonotonicNanos until = due;
    bool wanted = until <= now || AnyWork(w) || w.number_ >= Procs();
    if (!wanted) {
      // Somebody runs? Then one of those who sleep looks after them.
      const uint64_t found = counts.load(std::memory_order_seq_cst);
      // Not while StopAll() waits for the watcher to go: the bit, then this
      // look; there: `stop`, then the look at the bit.
      const bool others_run = Idle(found) < Active(found) && !MustStop();
      if (others_run && !watching && (found & kWatcher) == 0) {
        watching = (counts.fetch_or(kWatcher, std::memory_order_seq_cst) &
                    kWatcher) == 0;
        interval = kWatchMin;
        if (watching && stop.load(std::memory_order_seq_cst) != 0) continue;
      } else if (!others_run && watching) {
        counts.fetch_and(~kWatcher, std::memory_order_seq_cst);
        watching = false;
        continue;  // one more look: a push that saw a watcher woke nobody
      }
      if (watching) {
        bool suspects = false;
        wanted = Watch(w, now, &until, &suspects);
        // A second look soon, but not for those who were seen to switch.
        soon = suspects && !soon;
        until = std::min(until, now + (soon ? kWatchAgain : interval));
        if (!soon) interval = std::min(2 * interval, kWatchMax);
      } else if (!others_run && CheckDeadlock(found)) {
        until = std::min(until, now + kWatchMax);
      }
    }
    if (wanted && Claim(w, /*search=*/true) != Worker::kRunning) break;
    SetPunctual(self, watching && until < due && until - now <= kWatchMin);
    // If it was wanted, somebody else has claimed it and is about to say so.
    FutexWait(self.wake.word(), Thread::kSleeps, wanted ? kNever : until);
    // S3 acquire: pairs with who has claimed it.
    if (self.wake.load(std::memory_order_acquire) != Thread::kSleeps) break;
  }
  if (watching) counts.fetch_and(~kWatcher, std::memory_order_seq_cst);
}

// The kernel may wake a thread up to 50 us late, to wake others with it: too
// much for a watcher's first looks. Timers may be late like that, and are many.
void Scheduler::SetPunctual(Thread& self, bool punctual) {
#if defined(__linux__)
  if (self.punctual == punctual) return;
  self.punctual = punctual;
  prctl(PR_SET_TIMERSLACK, punctual ? 1'000 : 0);  // ns; 0: the usual
#endif
}

// The watcher's look at those who run, or have no thread: true if there is
// something to do now. Lowers `*until` to the first timer of these.
bool Scheduler::Watch(Worker& w, MonotonicNanos now, MonotonicNanos* until,
                      bool* suspects) {
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    Worker* const other = At(i);
    if (other == &w) continue;
    const uint32_t state = other->state_.load(std::memory_order_relaxed);
    if (state == Worker::kAsleep || state == Worker::kRetired) continue;
    const MonotonicNanos due = other->timers_.NextDeadline();
    // A worker that runs gets a little time to do it itself.
    if (due <= now - kTimerGrace ||
        (due <= now && state == Worker::kDetached)) {
      if (other->timers_.RunDue(now) > 0 && !w.queue_.Empty()) return true;
    } else if (due != kNever) {
      *until = std::min(*until, std::max(due, now) + kTimerGrace);
    }
    // No switch since the last look, and something private to run?
    const int32_t budget = other->Budget();
    const MonotonicNanos looked = other->coarse_now();
    const bool full = other->queue_.PrivateLooksFull();
    if (full && other->watched_full_ && budget == other->watched_budget_ &&
        looked == other->watched_now_) {
      other->watched_full_ = false;
      if (Runnable* const r = other->queue_.StealPrivate(w.queue_)) {
        if (Runnable* const next = w.queue_.PushNext(r)) w.PushBack(next);
        return true;
      }
    }
    *suspects |= full;
    other->watched_full_ = full;
    other->watched_budget_ = budget;
    other->watched_now_ = looked;
  }
  return false;
}

// A worker in excess, which the caller runs or has claimed, gives all that it
// has to the first one.
void Scheduler::Retire(Worker& w) {
  Worker& heir = *At(0);
  Backoff backoff;
  // A third thread may be at either one's timers for a moment.
  while (!w.timers_.MoveTo(heir.timers_)) backoff.Wait(&w);
  while (Runnable* const r = w.queue_.TakeNext()) Send(heir, r);
  while (Runnable* const r = w.queue_.Take()) Send(heir, r);
  // S2 release: the worker; pairs with S2 in SetMaxProcs(). seq_cst: the state,
  // then the look at the inbox; against Send().
  w.state_.store(Worker::kRetired, std::memory_order_seq_cst);
  if (!w.queue_.InboxLooksEmpty()) ForwardInbox(w);
  // Only now, for what is on its way to another queue is in none.
  counts.fetch_sub(kActive, std::memory_order_seq_cst);
  // The timers that came along may be due before the heir would wake up.
  const uint32_t was = Claim(heir, /*search=*/true);
  if (was != Worker::kRunning) Wake(heir, was);
}

// -----------------------------------------------------------------------------
// For the running goroutine
// -----------------------------------------------------------------------------

namespace {

void PushYielder(void* arg) {
  auto* const g = static_cast<Goroutine*>(arg);
  // The worker that it has left is the one that runs this.
  Get_current_worker()->PushBack(g);
}

}  // namespace

[[gnu::noinline]] static Fiber* YieldThread() {
  sched_yield();
  return nullptr;
}

Fiber* BeginYield(Yielding& yielding) {
  Worker* const w = Get_current_worker();
  if (w == nullptr) [[unlikely]]
    return YieldThread();
  Goroutine* const g = CurrentGoroutine();
  // The worker's own thread, in a timer's callback.
  if (g == nullptr) [[unlikely]]
    return YieldThread();
  return w->Yield(*g, yielding);
}

bool YieldBriefly(int64_t limit) {
  Worker* const w = Get_current_worker();
  if (w == nullptr || CurrentGoroutine() == nullptr || !w->IsBrief(limit)) {
    return false;
  }
  Yielding yielding;
  Fiber* const to = BeginYield(yielding);
  if (to == nullptr) return false;
  FinishYield(yielding, to);
  return true;
}

Fiber* Worker::YieldTo(Goroutine& g, Runnable* r, Yielding& yielding) {
  // A task gets its stack while thieves are out.
  yielding.carried = Unlock(queue_.rotate_lock()).carried();
  return &Enter(g, Scheduler::WithStack(*this, r));
}

Fiber* Worker::YieldSlow(Goroutine& g, Yielding& yielding) {
  if (Budget() > 0 && queue_.Empty()) return nullptr;
  Runnable* const r =
      Scheduler::WithStack(*this, Budget() > 0 ? Pick() : nullptr);
  yielding.publication = {&PushYielder, &g};
  yielding.carried = &yielding.publication;
  return &Enter(g, r);
}

// -----------------------------------------------------------------------------
// How many workers
// -----------------------------------------------------------------------------

void Scheduler::Start() {
  // S1 acquire: the first workers; pairs with S1 in Resize().
  if (procs.load(std::memory_order_acquire) != 0) [[likely]]
    return;
  std::lock_guard lock(resize_mutex);
  if (procs.load(std::memory_order_relaxed) != 0) return;
  InstallOverflowHandler();
  SetDescribeOverflow(&PrintOverflowed);
  int n = ParseMaxProcs(std::getenv("GOCHAN_MAXPROCS"));
  if (n == 0) n = UsableCpus();
  SetSpawner(&SpawnGoroutine);
  std::atexit(&AtExit);
  Resize(std::min(n, kMaxProcs));
}

void Scheduler::Resize(int n) {
  const int before = Procs();
  for (int i = before; i < n; ++i) {
    Worker* w = At(i);
    if (w == nullptr) {
      w = new Worker(i);
      // S1 release: the worker.
      workers[i].store(w, std::memory_order_release);
      made.store(i + 1, std::memory_order_release);
    }
    // It may have been told to retire and not have got there yet.
    // S2 acquire: pairs with Retire().
    if (w->state_.load(std::memory_order_acquire) == Worker::kRetired) {
      counts.fetch_add(kActive, std::memory_order_seq_cst);
      (void)GoIdle(*w, Worker::kDetached, /*searching=*/false,
                   /*may_watch=*/false);
    }
  }
  // S1 release.
  procs.store(n, std::memory_order_release);
  for (int i = n; i < before; ++i) {
    Worker& w = *At(i);
    const uint32_t was = Claim(w, /*search=*/true);
    if (was == Worker::kAsleep) {
      Wake(w, was);  // it retires by itself
    } else if (was == Worker::kDetached) {
      counts.fetch_sub(kSearching, std::memory_order_seq_cst);
      Retire(w);
    }
    // kRunning: it retires at its next look around.
  }
  // There may be work for those that are new; nobody has told them.
  const uint64_t now = counts.load(std::memory_order_seq_cst);
  if (before != 0 && n > before && Searching(now) == 0) NotifyOne();
}

int SetMaxProcs(int n) {
  Scheduler::Start();
  return Scheduler::SetProcs(n);
}

int Scheduler::SetProcs(int n) {
  std::lock_guard lock(resize_mutex);
  const int before = Procs();
  if (n > 0) Resize(std::min(n, kMaxProcs));
  return before;
}

// What is spawned from below: AfterFunc and the like.
void Scheduler::SpawnGoroutine(absl::AnyInvocable<void()> fn) {
  using Fn = absl::AnyInvocable<void()>;
  static_assert(sizeof(Fn) <= Task::kStorage);
  Task& task = NewTask(nullptr, SourceLocation::current());
  task.closure = new (task.storage) Fn(std::move(fn));
  task.run = [](Task& t) {
    auto* const closure = static_cast<Fn*>(t.closure);
    RunGuarded([](void* f) { (*static_cast<Fn*>(f))(); }, closure);
    closure->~Fn();
  };
  StartTask(task);
}

}  // namespace gochan::runtime

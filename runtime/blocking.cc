// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Around a system call, see Scheduler.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

#include "runtime/clock.h"
#include "runtime/futex.h"
#include "runtime/lock_check.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"
#include "runtime/scheduler_internal.h"
#include "runtime/scheduler_state.h"
#include "runtime/source_location.h"

namespace gochan::runtime {

namespace {

// Who came back from a blocking call and found no worker.
void SendYielder(void* arg) {
  Scheduler::SendAnywhere(static_cast<Goroutine*>(arg));
}

// Does the thread run, or could it, if there were a processor for it? False if
// nobody knows.
bool IsRunnable(int32_t tid) {
  char path[48];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[64];  // "<tid> (<name, up to 15>) <state> ..."
  const ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  if (size <= 0) return false;
  text[size] = '\0';
  const char* const end = std::strrchr(text, ')');
  return end != nullptr && end[1] == ' ' && end[2] == 'R';
}

}  // namespace

void EnterBlocking(const SourceLocation& site) {
  Goroutine* const g = CurrentGoroutine();
  if (g == nullptr || g->blocking_depth++ != 0) return;
  while (Scheduler::ThreadsAreShort()) Scheduler::AwaitSpare(site);
  Scheduler::EnterCall(*g, site);
}

void LeaveBlocking() {
  Goroutine* const g = CurrentGoroutine();
  if (g == nullptr || --g->blocking_depth != 0) return;
  Scheduler::LeaveCall(*g);
}

// Has one of the other workers something to run besides what it runs?
bool Scheduler::OthersAreBusy(const Worker& w) {
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    if (At(i) != &w && !At(i)->queue_.Empty()) return true;
  }
  return false;
}

// Would the worker find no thread if the caller's blocked?
bool Scheduler::ThreadsAreShort() {
  // Relaxed, all: the limit need not be exact.
  return threads.load(std::memory_order_relaxed) >=
             max_threads.load(std::memory_order_relaxed) &&
         spares.Empty();
}

// Sleeps, as a goroutine, until some thread is spare, perhaps taken again.
//
//     AwaitSpare                        TellOfSpare
//     1. spares_wanted + 1              3. the thread is among the spares
//     2. spares empty?                  4. load spares_wanted
// with a fence on either side: either 2 sees the thread, or 4 sees the wish.
void Scheduler::AwaitSpare(const SourceLocation& site) {
  spares_wanted.fetch_add(1, std::memory_order_relaxed);
  ParkRequest request;
  request.object = &spares_wanted;
  request.queue = 0;
  request.check = [](void*) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return spares.Empty();
  };
  request.reason = WaitReason::kBlocking;
  request.site = &site;
  (void)runtime::Park(request);
  spares_wanted.fetch_sub(1, std::memory_order_relaxed);
}

// One who wants a spare thread goes on, if there is one. By who becomes spare,
// and by who did not use one up although he might have: so as long as there is
// one, and somebody who wants it, somebody is on his way to it.
void Scheduler::TellOfSpare() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (spares_wanted.load(std::memory_order_relaxed) == 0) [[likely]]
    return;
  if (spares.Empty()) return;  // whoever becomes spare tells
  Sleeper* sleeper;
  {
    LotGuard lot(&spares_wanted);
    sleeper = lot.TakeFirst(0);
  }
  if (sleeper != nullptr) sleeper->Wake(kFirstToken);
}

// Until LeaveCall() the caller counts as a plain thread, and the worker is lent
// or let go.
void Scheduler::EnterCall(Goroutine& g, const SourceLocation& site) {
  Worker& w = *g.worker;
  if constexpr (GOCHAN_REGISTRY) {
    g.note.Wait({WaitReason::kBlocking, &site}, w.coarse_now());
  }
  Thread& thread = *w.thread_;
  g.blocking = &thread;
  g.blocking_worker = &w;
  g.blocking_index = BriefCalls::IndexOf(site);
  g.blocking_lent = w.brief_calls_.Expects(g.blocking_index);
  // What it waits for in there blocks the thread.
  g.resumer = nullptr;
  g.worker = nullptr;
  BeWorker(nullptr);
  g.timers = nullptr;
  thread.worker = nullptr;
  // Relaxed: the detection of deadlocks reads it after it has seen the count.
  thread.shown.in_blocking.store(1, std::memory_order_relaxed);
  if (g.blocking_lent) {
    w.lent_for_ = g.blocking_index;
    Lend(w, thread);
  } else {
    LetGo(w);
  }
  TellOfSpare();
  if (!g.blocking_lent) g.blocking_since = Ticks();
}

// For a call that is likely to be over sooner than another thread would be
// awake. The worker counts as running; if it lasts, the guard lets it go.
void Scheduler::Lend(Worker& w, Thread& thread) {
  // Relaxed: a thread's own count.
  thread.lends.store(thread.lends.load(std::memory_order_relaxed) + 1,
                     std::memory_order_relaxed);
  // S4 release: the worker; pairs with S4 in LeaveCall() and LookAtCall().
  // seq_cst: then the look at the guard.
  w.lent_.store(&thread, std::memory_order_seq_cst);
  RaiseGuard(kForCalls);
}

// The worker, which the caller runs and runs no more, stays without a thread
// until somebody needs it, or its goroutine comes back; it gets another thread
// at once if there is something to do.
void Scheduler::LetGo(Worker& w) {
  const MonotonicNanos due = w.timers_.PrepareToSleep();
  const bool busy = !w.queue_.Empty() ||
                    (due != kNever && due <= MonotonicNow() + kTimerGrace);
  (void)GoIdle(w, Worker::kDetached, /*searching=*/false, /*may_watch=*/false);
  // The state, then this look; against Send(). If all others run, this worker
  // is wanted as soon as one of them has more than it can run.
  const uint64_t now = counts.load(std::memory_order_seq_cst);
  if (busy || !w.queue_.InboxLooksEmpty() ||
      (Idle(now) == 1 && Searching(now) == 0 && OthersAreBusy(w))) {
    const uint32_t was = Claim(w, /*search=*/true);
    if (was != Worker::kRunning) {
      Bump(w.handoffs_);
      Wake(w, was);
    }
  } else if (due != kNever) {
    // The state, then this; see `guard`.
    RaiseGuard(kForTimers, /*anew=*/true);
  }
}

// Back from the call: its own worker if nobody took it, else another one that
// is without a thread, else into a queue.
void Scheduler::LeaveCall(Goroutine& g) {
  Worker* w = g.blocking_worker;
  if (!g.blocking_lent) {
    const uint64_t limit = TicksOfMicros(kBriefCall / 1'000);
    w->brief_calls_.Note(g.blocking_index, Ticks() - g.blocking_since < limit);
  }
  Thread& thread = *g.blocking;
  g.blocking = nullptr;
  g.resumer = &g;
  if (g.IsAbandoned(std::memory_order_acquire) || MustStop()) {
    thread.shown.in_blocking.store(0, std::memory_order_relaxed);
    Forget();
  }
  if (g.blocking_lent) {
    Thread* borrower = &thread;
    // S4 acquire: as it was lent; pairs with S4 in Lend().
    if (w->lent_.compare_exchange(borrower, nullptr,
                                  std::memory_order_acquire)) {
      Attach(g, thread, *w);
      // Who calls all the time does not keep others from their turn. A call is
      // not counted in the budget, which says who has switched; for the length
      // of a turn so many calls count as the turns that were left.
      if (++w->calls_ >= w->budget_size_) {
        w->calls_ = 0;
        w->SetBudget(0);
        YieldBriefly(kNever);
      }
      return;
    }
  }
  // A worker whose thread sleeps is not taken over: the thread may be looking
  // around on its behalf.
  uint32_t was = w->number_ < Procs() ? Claim(*w, /*search=*/false, false)
                                      : uint32_t{Worker::kRunning};
  if (was == Worker::kRunning) {
    const uint64_t now = counts.load(std::memory_order_relaxed);
    const int words = (Procs() + kBits - 1) / kBits;
    for (int i = 0; Idle(now) != 0 && i < words; ++i) {
      const uint64_t bits = idle[i].load(std::memory_order_seq_cst);
      if (bits == 0) continue;
      w = At(i * kBits + __builtin_ctzll(bits));
      was = Claim(*w, /*search=*/false, false);
      break;
    }
  }
  if (was == Worker::kRunning) {
    // The thread's own stack sends the goroutine on its way, and is spare then.
    CheckNoLocksOf(g, "comes back from Blocking()", nullptr);
    if constexpr (GOCHAN_REGISTRY) g.note.Run();
    SetCurrentParty(&thread.party);
    SwitchEhGlobals(*thread.eh_globals, g.eh, thread.eh);
    Publication publication{&SendYielder, &g};
    RunPublication(SwitchFibers(g, thread, &publication));
    return;
  }
  w->thread_ = &thread;
  Attach(g, thread, *w);
  // As in EndSearch(): if all others are idle, nobody looks after it.
  const uint64_t now = counts.load(std::memory_order_relaxed);
  if (Idle(now) != 0 && (now & (kWatcher | kSearchingMask)) == 0) NotifyOne();
  TellOfSpare();
}

// The goroutine runs on the worker, which is its thread's, again.
void Scheduler::Attach(Goroutine& g, Thread& thread, Worker& w) {
  thread.worker = &w;
  BeWorker(&w);
  thread.party.worker = &w;
  thread.party.timers = &w.timers_;
  g.worker = &w;
  g.timers = &w.timers_;
  if constexpr (GOCHAN_REGISTRY) g.note.Run();
  // D1 release: the claim; pairs with D1 in CheckDeadlock().
  thread.shown.in_blocking.store(0, std::memory_order_release);
}

// -----------------------------------------------------------------------------
// The guard
// -----------------------------------------------------------------------------

// At least to `mode`. `anew`: it looks around, whatever it is at.
void Scheduler::RaiseGuard(uint32_t mode, bool anew) {
  uint32_t found = guard.load(std::memory_order_seq_cst);
  uint32_t next;
  do {
    if (!anew && ModeOf(found) >= mode) return;
    next = (found & ~kModeMask) + kModeMask + 1 + std::max(ModeOf(found), mode);
  } while (!guard.compare_exchange(found, next, std::memory_order_seq_cst));
  uint32_t none = kNoGuard;
  if (guard_thread.compare_exchange(none, kGuardStarts,
                                    std::memory_order_seq_cst)) {
    StartThread(&GuardMain, nullptr);
  } else {
    FutexWake(guard.word(), 1);
  }
}

void* Scheduler::GuardMain(void*) {
  constexpr MonotonicNanos kMinForCalls = 50'000;
  constexpr MonotonicNanos kMaxForCalls = 400'000;
  constexpr MonotonicNanos kTimersPause = 10'000'000;
  constexpr int kLooksInVain = 16;
  constexpr int kLooksForTimersInVain = 4;
  // Signals are for the program's own threads.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "gochan-guard");
  RefuseThreadMark();
  // So that the detection of deadlocks knows it.
  auto* const self =
      new (&ThreadArena::At(ThreadArena::Allocate())) Thread(PartySeed());
  self->shown.tid.store(CurrentThreadId(), std::memory_order_relaxed);
  // D2 release: `tid`; pairs with D2 in CheckDeadlock().
  guard_thread.store(kGuardIsThere, std::memory_order_release);
  MonotonicNanos interval = kMinForCalls;
  int in_vain = 0;
  for (;;) {
    // The mode, then the look around; see `guard`.
    uint32_t found = guard.load(std::memory_order_seq_cst);
    const uint32_t mode = ModeOf(found);
    MonotonicNanos until = kNever;
    const Seen seen = GuardLooks(&until);
    const uint32_t needed = seen >= Seen::kCalls  ? kForCalls
                            : seen == Seen::kBusy ? kForTimers
                                                  : kRests;
    if (needed >= mode) {
      in_vain = 0;
      if (needed > mode) RaiseGuard(needed);
    } else if (++in_vain >=
               (mode == kForCalls ? kLooksInVain : kLooksForTimersInVain)) {
      in_vain = 0;
      // Failure: somebody has raised it meanwhile.
      (void)guard.compare_exchange(found, found - 1, std::memory_order_seq_cst);
      continue;
    }
    MonotonicNanos pause = kNever;
    if (mode == kForCalls) {
      interval = seen == Seen::kNewCall ? kMinForCalls
                                        : std::min(2 * interval, kMaxForCalls);
      pause = interval;
    } else if (mode == kForTimers) {
      pause = kTimersPause;
    }
    if (pause != kNever) until = std::min(until, MonotonicNow() + pause);
    FutexWait(guard.word(), found, until);
  }
}

// Lowers `*until` to the first timer of a worker that has no thread.
Scheduler::Seen Scheduler::GuardLooks(MonotonicNanos* until) {
  // So late nobody is who switches now and then.
  constexpr MonotonicNanos kLate = 5'000'000;
  const uint64_t count = counts.load(std::memory_order_seq_cst);
  Seen seen = Idle(count) == 0 ? Seen::kBusy : Seen::kNothing;
  const MonotonicNanos now = MonotonicNow();
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    Worker& w = *At(i);
    seen = std::max(seen, LookAtCall(w));
    const MonotonicNanos due = w.timers_.NextDeadline();
    if (w.state_.load(std::memory_order_seq_cst) == Worker::kDetached) {
      if (due > now) {
        *until = std::min(*until, due);
      } else if (const uint32_t was = Claim(w, /*search=*/true);
                 was != Worker::kRunning) {
        Wake(w, was);
      }
    } else if (Idle(count) == 0 && due <= now - kLate) {
      w.timers_.RunDue(now);
    }
  }
  return seen;
}

// Lets the worker go if it found it in the same call when it last looked.
Scheduler::Seen Scheduler::LookAtCall(Worker& w) {
  // seq_cst: see `guard`.
  Thread* borrower = w.lent_.load(std::memory_order_seq_cst);
  if (borrower == nullptr) {
    w.guarded_ = nullptr;
    return Seen::kNothing;
  }
  // Relaxed: if it is another call by the time of the swap, that is let go.
  const uint32_t lends = borrower->lends.load(std::memory_order_relaxed);
  if (borrower != w.guarded_ || lends != w.guarded_lends_) {
    w.guarded_ = borrower;
    w.guarded_lends_ = lends;
    return Seen::kNewCall;
  }
  w.guarded_ = nullptr;
  // S4 acquire: as it was lent; pairs with S4 in Lend().
  Thread& thread = *borrower;
  if (w.lent_.compare_exchange(borrower, nullptr, std::memory_order_acquire)) {
    // It computes, or has been interrupted, which says nothing of the call.
    if (IsRunnable(thread.shown.tid.load(std::memory_order_relaxed))) {
      w.brief_calls_.Note(w.lent_for_, /*brief=*/false);
    } else {
      w.brief_calls_.NoteWrong(w.lent_for_);
    }
    LetGo(w);
  }
  return Seen::kCalls;
}

void SetMaxThreadsForTest(int n) {
  Scheduler::max_threads.store(n > 0 ? n : Scheduler::kMaxThreads,
                               std::memory_order_relaxed);
}

}  // namespace gochan::runtime

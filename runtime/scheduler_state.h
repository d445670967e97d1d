// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the parts of the scheduler share: all workers, all threads.
//
//   scheduler.cc   choosing who runs; waking workers, looking for work,
//                  sleeping; how many workers
//   blocking.cc    around a system call; the guard
//   lifecycle.cc   goroutines begin and end; main, the end, deadlock

#ifndef GOCHAN_RUNTIME_SCHEDULER_STATE_H_
#define GOCHAN_RUNTIME_SCHEDULER_STATE_H_

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

#include "absl/functional/any_invocable.h"
#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/clock.h"
#include "runtime/goroutine.h"
#include "runtime/run_queue.h"
#include "runtime/scheduler.h"
#include "runtime/scheduler_internal.h"
#include "runtime/source_location.h"
#include "runtime/worker_counts.h"

namespace gochan::runtime {

// The kernel's number of the calling thread.
inline int32_t CurrentThreadId() {
  return static_cast<int32_t>(syscall(SYS_gettid));
}

using ThreadArena = Arena<Thread, 1u << 15, 1>;

class Scheduler : public WorkerCounts {
 public:
  static constexpr int kBits = 64;
  static constexpr int kWords = kMaxProcs / kBits;
  // As Go has it; but here the next Blocking() waits, instead of a fatal error.
  static constexpr int kMaxThreads = 10'000;
  // How long the watcher sleeps between two looks: less at first.
  static constexpr MonotonicNanos kWatchMin = 50'000;
  static constexpr MonotonicNanos kWatchMax = 1'000'000;
  static constexpr MonotonicNanos kWatchAgain = 10'000;
  // By so much a running worker may be late with its timers before the watcher
  // helps.
  static constexpr MonotonicNanos kTimerGrace = 100'000;
  // A call that takes less is brief.
  static constexpr MonotonicNanos kBriefCall = 3'000;
  // After how long a doubt about a deadlock is looked into.
  static constexpr MonotonicNanos kLookAgain = 1'000'000'000;
  // How many timers a worker looks at for that before it sleeps.
  static constexpr std::size_t kFewTimers = 64;

  static void Start();
  static int Procs() {
    // Relaxed: a number; workers are found by index through an acquire.
    return procs.load(std::memory_order_relaxed);
  }
  // How many there have been at the same time: those at 0..n-1.
  static int Made() {
    // S1 acquire: the workers.
    return made.load(std::memory_order_acquire);
  }
  static Worker* At(int i) {
    // S1 acquire: the worker; pairs with S1 in Resize().
    return workers[i].load(std::memory_order_acquire);
  }

  // --- going to sleep and being woken
  static uint32_t Claim(Worker& w, bool search, bool asleep = true);
  static bool GoIdle(Worker& w, uint32_t state, bool searching, bool may_watch);
  static void Wake(Worker& w, uint32_t was);
  static void NotifyOne();
  static void Send(Worker& w, Runnable* r);
  static void SendAnywhere(Runnable* r);
  static void ForwardInbox(Worker& w);

  // --- the life of a thread
  static void StartThread(void* (*main)(void*), void* arg);
  static void* ThreadMain(void* arg);
  static void Loop(Thread& self);
  static void BecomeSpare(Thread& self);
  static void BeWorker(Worker* w);
  static bool ThreadsAreShort();
  static void AwaitSpare(const SourceLocation& site);
  static void TellOfSpare();
  static void GiveThread(Worker& w);

  // --- looking for work
  static Runnable* Find(Worker& w, bool searching);
  static Runnable* Search(Worker& w, bool searching);
  static Runnable* StealFor(Worker& w, bool all);
  static bool AnyWork(Worker& w);
  static void Sleep(Worker& w, bool searching);
  static void SetPunctual(Thread& self, bool punctual);
  static bool Watch(Worker& w, MonotonicNanos now, MonotonicNanos* until,
                    bool* suspects);
  static void Retire(Worker& w);
  static void EndSearch(Worker& w);

  // --- getting in each other's way
  static void NoteLostSwap(Worker& w);
  static void Rest(Worker& w);

  // --- goroutines
  static Goroutine* Begin(Worker& w, Task& task);
  // A goroutine as it is; a task, once it has a stack, or nullptr.
  [[gnu::always_inline]] static inline Runnable* WithStack(Worker& w,
                                                           Runnable* r) {
    if (r != nullptr && r->IsTask()) [[unlikely]] {
      return Begin(w, *static_cast<Task*>(r));
    }
    return r;
  }
  static void Bind(Goroutine& g, Task& task);
  static void Run(void* arg, void* carried);
  static void FreeGoroutine(void* arg);
  static void FreeTask(Worker* w, Task& task);
  static void Starve(Task& task);
  static void RetryStarved(Worker& w);

  static Task& MakeTask(GoroutineOptions* options, const SourceLocation& site);
  static void Launch(Task& task, uint64_t id = 0);
  static void SpawnGoroutine(absl::AnyInvocable<void()> fn);
  static int64_t Count();
  static void AddUp(SchedulerStats& stats);
  static int QueueLength(int i);
  static void EnterCall(Goroutine& g, const SourceLocation& site);
  static void Lend(Worker& w, Thread& thread);
  static void LetGo(Worker& w);
  static void LeaveCall(Goroutine& g);
  static void Attach(Goroutine& g, Thread& thread, Worker& w);
  static void RaiseGuard(uint32_t mode, bool anew = false);
  static void* GuardMain(void* arg);
  enum class Seen { kNothing, kBusy, kCalls, kNewCall };
  static Seen GuardLooks(MonotonicNanos* until);
  static Seen LookAtCall(Worker& w);
  static bool OthersAreBusy(const Worker& w);
  [[noreturn]] static void Forget();

  // --- how many workers
  static void Resize(int n);
  static int SetProcs(int n);

  // --- the end
  static void RunMain(Task& task, const int* status);
  static void AwaitMain();
  static void LookAgain();
  static bool StopAll(MonotonicNanos limit);
  static void Resume();
  static void AbandonAll();
  static void AtExit();
  static void Park();
  static bool MustStop() {
    // Relaxed: the one who stops waits for the answer.
    return stop.load(std::memory_order_relaxed) != 0;
  }
  static bool CheckDeadlock(uint64_t seen, std::size_t timers = kFewTimers);
  static bool ForeignThreads();
  static bool IsKnownThread(int32_t tid);
  static void SetQuiet(int32_t tid, bool is_quiet);
  static bool IsQuietThread(int32_t tid);

  // --- state
  static inline constinit Atomic<uint64_t> idle[kWords] = {};
  static inline constinit Atomic<Worker*> workers[kMaxProcs] = {};
  static inline constinit Atomic<int> procs{0};
  static inline constinit Atomic<int> made{0};
  static inline constinit FreeStack<ThreadArena> spares;
  static inline constinit Atomic<int> threads{0};
  static inline constinit Atomic<int> max_threads{kMaxThreads};
  // How many are in Rest().
  static inline constinit Atomic<int> resting{0};
  // How many wait for a thread to become spare.
  static inline constinit Atomic<int> spares_wanted{0};
  static inline constinit Atomic<uint64_t> ids{2};  // 1 is main's
  static inline constinit Atomic<uint64_t> foreign_spawned{0};
  static inline constinit Atomic<uint64_t> next_home{0};
  // The guard is a thread that looks after calls that were to be brief, after
  // the timers of workers that run when none is idle and so could watch, and of
  // those without a thread.
  //   { version:30 mode:2 }
  //   mode        set by                            the guard looks around
  //   kRests      (start); the guard                when a timer of a worker
  //                                                 without a thread is due
  //   kForTimers  who claims the last idle worker,  and every 10 ms
  //               or lets one go that has timers
  //   kForCalls   who lends a worker                and every 50 to 400 us
  // Others raise it, and wake the guard; it lowers it by one when it has found
  // nothing of the kind for some looks, and looks once more then.
  //
  //     Lend, Claim, LetGo              GuardMain
  //     1. lent_, counts, state         3. load guard, or make it lower
  //     2. load guard, or change it     4. look at each lent_, counts, states
  // seq_cst, all: either 2 sees that it is too low, and raises it, or 4 sees
  // what it is wanted for.
  static constexpr uint32_t kRests = 0;
  static constexpr uint32_t kForTimers = 1;
  static constexpr uint32_t kForCalls = 2;
  static constexpr uint32_t kModeMask = 3;
  static uint32_t ModeOf(uint32_t guard) { return guard & kModeMask; }
  static inline constinit Atomic<uint32_t> guard{kRests};
  // kNoGuard, by who raises the guard first: kGuardStarts, by itself:
  // kGuardIsThere, and known to ForeignThreads().
  static constexpr uint32_t kNoGuard = 0;
  static constexpr uint32_t kGuardStarts = 1;
  static constexpr uint32_t kGuardIsThere = 2;
  static inline constinit Atomic<uint32_t> guard_thread{kNoGuard};
  // There was no stack for a task: it waits in `starved`, and Go() throws until
  // there is one again.
  static inline constinit Atomic<uint32_t> starving{0};
  static inline constinit RunQueue<Runnable> starved;
  static inline constinit std::mutex resize_mutex;

  // 0 run, 1 stop at the next switch.
  static inline constinit Atomic<uint32_t> stop{0};
  static inline constinit Atomic<int> stopped{0};
  // Is there a RunMain(), and may a deadlock be reported?
  //   kNotInMain  RunMain, at its end             kStarting
  //   kStarting   RunMain                         kInMain
  //   kInMain     RunMain: main is in some queue  kNotInMain
  static constexpr uint32_t kNotInMain = 0;
  static constexpr uint32_t kStarting = 1;
  static constexpr uint32_t kInMain = 2;
  static inline constinit Atomic<uint32_t> in_main{kNotInMain};
  // What the thread in RunMain() sleeps on.
  //   kRuns     RunMain; itself, before   kDoubted  who finds that this may
  //             it looks for a deadlock             become a deadlock unseen
  //                                       kEnded    main
  //   kDoubted  that one                  kRuns     the thread, after a while
  //                                       kEnded    main
  //   kEnded    main, at its end          kRuns     the next RunMain
  static constexpr uint32_t kRuns = 0;
  static constexpr uint32_t kDoubted = 1;
  static constexpr uint32_t kEnded = 2;
  static inline constinit Atomic<uint32_t> main_state{kRuns};
  static inline constinit Atomic<uint32_t> main_exited{0};
  static inline constinit Atomic<DeadlockHook> deadlock_hook{nullptr};
  static inline constinit Atomic<int32_t> main_tid{0};
  // SetQuietThread(); 0: nobody. Relaxed: who changes them runs, so there is no
  // deadlock at that moment.
  static inline constinit Atomic<int32_t> quiet[8] = {};
  static inline constinit Atomic<uint64_t> abandoned{0};
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SCHEDULER_STATE_H_

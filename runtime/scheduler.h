// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The scheduler: goroutines on threads, M:N.
//
//   NewTask, StartTask     start a goroutine
//   BeginYield             lets others run
//   EnterBlocking, LeaveBlocking   around a system call
//   SetMaxProcs            how many workers
//   RunMainTask, ...       a program's main goroutine, and the end of it
//   Worker                 a run queue, timers, and the right to run goroutines
//   Thread                 an OS thread of the runtime
//
//   Go()  ─►  Task  ─►  run queue of a Worker  ─►  runs on its Thread's time
//                          │ steal half               │ blocks: the next one
//                          ▼                          ▼ runs at once
//                       other Workers             publication, then asleep
//
// Nothing is initialised: the first use starts what is needed. All functions
// are thread-safe. Design, and both sides of each race: docs/design/runtime.md.
//
// Source: the shape is Go's (D. Vyukov, "Scalable Go Scheduler Design", 2012):
// Worker is its P, Thread its M.

#ifndef GOCHAN_RUNTIME_SCHEDULER_H_
#define GOCHAN_RUNTIME_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/goroutine.h"
#include "runtime/source_location.h"

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Starting goroutines
// -----------------------------------------------------------------------------

// A task without closure, for the caller to fill in `run` and `closure`.
// `options` may be nullptr and is taken over. Throws std::bad_alloc if there is
// no memory for it or, lately, for stacks.
Task& NewTask(GoroutineOptions* options, const SourceLocation& site);

// Gives up a task that was not started; its closure is gone already.
void DropTask(Task& task);

// Makes it a goroutine. What the caller did before is visible in it.
void StartTask(Task& task);

// -----------------------------------------------------------------------------
// For the running goroutine
// -----------------------------------------------------------------------------

// The caller goes to the end of its worker's queue and owes a FinishYield().
// nullptr: nobody else was there, or it is a plain thread, for which this is
// sched_yield().
Fiber* BeginYield(Yielding& yielding);
// The same if the goroutine's turn is likely to come again within `limit`
// nanoseconds, and somebody else is there: it has been so when this returns
// true. Else, and on a plain thread, false, and nothing has happened.
bool YieldBriefly(int64_t limit);

// Around a call that may block the thread: meanwhile another thread runs the
// caller's worker. Nothing on a plain thread.
void EnterBlocking(const SourceLocation& site);
void LeaveBlocking();

// 0 on a plain thread.
uint64_t CurrentGoroutineId();

// -----------------------------------------------------------------------------
// The whole
// -----------------------------------------------------------------------------

inline constexpr int kMaxProcs = 1024;

// Sets the number of workers if n > 0 (at most kMaxProcs); returns the number
// before. A worker in excess stops at its next switch.
int SetMaxProcs(int n);

// Goroutines that were started and have not ended. Exact when nothing starts or
// ends meanwhile.
int64_t NumGoroutines();

// Goroutines that RunMainTask() has left behind, in all. They never run again.
int64_t NumAbandoned();

// Runs `task`, made by NewTask(), as goroutine 1 and waits for its end. Then
// stops all workers; what still lives never runs again. `*status`: with what to
// end the process if some worker reaches no switch within a second.
void RunMainTask(Task& task, const int* status);
// Is the caller's process in RunMainTask()?
bool InRunMain();
// By goroutine 1, at its end.
void MainHasEnded();
// By goroutine 1, when it ends by Goexit(): the others go on, and when all have
// ended or block, that is a deadlock of its own wording.
void MainHasExited();

// Told that all goroutines are asleep for ever, or (`main_exited`) that main
// has left and the others too; ends the process.
using DeadlockHook = void (*)(bool main_exited);
void SetDeadlockHook(DeadlockHook hook);

// The thread with that number, which the runtime has not started, wakes nobody
// for the time being (or may again), so it does not keep deadlocks from being
// seen. To be called by somebody who keeps them from being seen himself. Up to
// eight; more count as any other.
void SetQuietThread(int32_t tid, bool quiet);

// -----------------------------------------------------------------------------
// For onlookers
// -----------------------------------------------------------------------------

// Has everybody who runs gone on? A goroutine that has switched since has all
// that it goes on with in memory.
class WorkersProgress {
 public:
  // From now on.
  void Begin();
  // Has every worker, but for the caller's, switched since, or is it idle? May
  // say no for a while where it is so.
  bool Done();

 private:
  // By a worker's number: what it had left until it looks around; kSwitched.
  static constexpr int32_t kSwitched = INT32_MAX;
  std::vector<int32_t> budgets_;
};

// The runtime's own threads, in memory that nobody changes: calls found(low,
// mark) for each. On its stack between the two is nothing but the scheduler's,
// unless it is in the middle of a step of that.
void ForEachFrozenThread(void (*found)(uintptr_t low, uintptr_t mark,
                                       void* arg),
                         void* arg);

// The counters are sums since the start of the process.
struct SchedulerStats {
  int workers;
  int idle;
  int searching;
  int threads;
  uint64_t spawned;
  uint64_t finished;  // and those that RunMain() has left behind
  uint64_t steals;
  uint64_t wake_ups;
  uint64_t handoffs;
  uint64_t rests;  // of workers that got in each other's way
};
SchedulerStats GetSchedulerStats();

// How many stand in the run queue of worker `i`, but for its overflow and what
// others have sent; -1: there is no such worker. A hint while it works.
int RunQueueLength(int i);

// How many threads there may be before Blocking() waits for one; 0: as before.
void SetMaxThreadsForTest(int n);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SCHEDULER_H_

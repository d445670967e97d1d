// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Goroutines begin and end; main, and what comes after it; see Scheduler.

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

#include "runtime/arena.h"
#include "runtime/clock.h"
#include "runtime/futex.h"
#include "runtime/goroutine.h"
#include "runtime/labels.h"
#include "runtime/lock_check.h"
#include "runtime/parking_lot.h"
#include "runtime/sanitizers.h"
#include "runtime/scheduler.h"
#include "runtime/scheduler_internal.h"
#include "runtime/scheduler_state.h"
#include "runtime/stack.h"
#include "runtime/timers.h"

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// The life of a goroutine
// -----------------------------------------------------------------------------

namespace {

constexpr uint64_t kMagic = 0x676f726f7574696eu;
constexpr uint32_t kMaxSpareTasks = 512;
constexpr uint64_t kIdBlock = 64;

void ResumeGoroutine(Resumer* resumer) {
  Goroutine& g = Goroutine::From(resumer);
  Worker* const w = Get_current_worker();
  if (w != nullptr) [[likely]] {
    w->Ready(&g);
  } else {
    Scheduler::Send(*g.worker, &g);
  }
}

Fiber& LeaveGoroutine(Resumer* resumer, const WaitInfo& why) {
  Goroutine& g = Goroutine::From(resumer);
  return Get_current_worker()->Leave(g, why);
}

}  // namespace

void Scheduler::Bind(Goroutine& g, Task& task) {
  g.task = &task;
  // Relaxed: released by the state.
  task.goroutine.store(&g, std::memory_order_relaxed);
  // T1 release: for onlookers, see TaskReader.
  task.state.store(Task::kStarted, std::memory_order_release);
  g.note.Begin();
}

// Gives a task a stack. nullptr if there is none (the task waits for one), or
// the task was abandoned.
Goroutine* Scheduler::Begin(Worker& w, Task& task) {
  // Relaxed: as in Worker::Enter().
  if (task.IsAbandoned()) return nullptr;
  const std::size_t size =
      task.options == nullptr || task.options->stack_size == 0
          ? Stack::kDefaultSize
          : task.options->stack_size;
  Stack stack;
#if defined(__cpp_exceptions)
  try {
    stack = Stack::Allocate(size);
  } catch (const std::bad_alloc&) {
    Starve(task);
    return nullptr;
  }
#else
  stack = Stack::Allocate(size);
#endif
  Goroutine* const g = GoroutineOn(stack);
  FiberAnnotations annotations;
  (void)annotations;
#if GOCHAN_ASAN
  // Also the place of the control block, before it is written.
  annotations.BeginFiber(stack.limit(),
                         static_cast<std::size_t>(stack.top() - stack.limit()));
  new (g) Goroutine(w.random_.Next());
  g->stack = stack;
#else
  // A stack that has carried a goroutine has its control block still, and with
  // it a waiter's record, which is dear to make. Its fields that never change
  // are not written again: a dump may be reading them.
  if (g->magic != kMagic) {
    new (g) Goroutine(w.random_.Next());
    g->stack = stack;
    g->magic = kMagic;
  }
#endif
  g->eh = EhGlobals{};
  g->resume = &ResumeGoroutine;
  g->leave = &LeaveGoroutine;
  g->resumer = g;
  g->fiber = g;
  g->annotations.BeginFiber(
      stack.limit(),
      static_cast<std::size_t>(reinterpret_cast<char*>(g) - stack.limit()));
  MakeContext(
      g->context, stack.limit(),
      static_cast<std::size_t>(reinterpret_cast<char*>(g) - stack.limit()),
      &Run, g);
  Bind(*g, task);
  return g;
}

// The bottom of every goroutine's stack.
void Scheduler::Run(void* arg, void* carried) {
  Goroutine& g = *static_cast<Goroutine*>(arg);
  g.annotations.Arrive();
  RunPublication(carried);
  for (;;) {
    Task& task = *g.task;
    task.run(task);
    CheckNoLocksOf(g, "ends", nullptr);
    Worker& w = *g.worker;
    Bump(w.finished_);
    g.note.End();
    FreeTask(&w, task);
    Runnable* r = w.Pick();
    if (r != nullptr && r->IsTask()) {
      Task& next = *static_cast<Task*>(r);
      if (!GOCHAN_TSAN && !next.IsAbandoned() &&
          (next.options == nullptr || next.options->stack_size == 0) &&
          g.stack.size == Stack::kDefaultSize) {
        Bind(g, next);  // runs at once, on this warm stack
        continue;
      }
      r = Begin(w, next);
    }
#if GOCHAN_ASAN
    // The memory of a pooled stack is not kept.
    if (g.waiter != nullptr) g.release_waiter(g.waiter);
    g.waiter = nullptr;
#endif
    Fiber& to = w.Enter(g, r);
    Publication publication{&FreeGoroutine, &g};
    g.annotations.LeaveForever(to.annotations);
    SwitchContext(g.context, to.context, &publication);
    std::abort();  // nobody comes back here
  }
}

// On the stack of who runs next.
void Scheduler::FreeGoroutine(void* arg) {
  auto* const g = static_cast<Goroutine*>(arg);
  g->annotations.EndFiber();
  const Stack stack = g->stack;
  Stack::Free(stack);
}

void Scheduler::FreeTask(Worker* w, Task& task) {
  if (task.options != nullptr) [[unlikely]] {
    // A dump may be reading the name.
    std::lock_guard lock(OptionsMutex(task));
    delete task.options;
    task.options = nullptr;
  }
  // T1 release: for onlookers.
  task.state.store(Task::kFree, std::memory_order_release);
  const uint32_t index = TaskArena::IndexOf(&task);
  if (w == nullptr) {
    TaskArena::Free(index);
    return;
  }
  if (w->spare_task_count_ == kMaxSpareTasks) {
    for (uint32_t i = 0; i < kMaxSpareTasks / 2; ++i) {
      const uint32_t spare = w->spare_tasks_;
      // Relaxed: the worker's own list.
      w->spare_tasks_ =
          TaskArena::At(spare).free_next.load(std::memory_order_relaxed);
      TaskArena::Free(spare);
    }
    w->spare_task_count_ -= kMaxSpareTasks / 2;
  }
  task.free_next.store(w->spare_tasks_, std::memory_order_relaxed);
  w->spare_tasks_ = index;
  ++w->spare_task_count_;
}

// No stack is to be had: the task waits for one, and Go() is told.
void Scheduler::Starve(Task& task) {
  starved.Send(&task);
  starving.store(1, std::memory_order_seq_cst);
}

void Scheduler::RetryStarved(Worker& w) {
  auto list = starved.TakeInbox();
  Task* const task = static_cast<Task*>(list.Pop());
  // The others wait for the next look.
  while (Runnable* const r = list.Pop()) starved.Send(r);
  if (task == nullptr) {
    starving.store(0, std::memory_order_seq_cst);
    if (!starved.InboxLooksEmpty())
      starving.store(1, std::memory_order_seq_cst);
    return;
  }
  w.PushBack(task);
}

Task& NewTask(GoroutineOptions* options, const SourceLocation& site) {
  Scheduler::Start();
  return Scheduler::MakeTask(options, site);
}

Task& Scheduler::MakeTask(GoroutineOptions* options,
                          const SourceLocation& site) {
  Worker* const w = Get_current_worker();
  if (starving.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    // Throws if there is still none; else it waits in the pool.
    Stack::Free(Stack::Allocate());
  }
  uint64_t creator = 0;
  if (const Goroutine* const g = CurrentGoroutine()) [[likely]] {
    // Relaxed: written before it began.
    creator = g->task->id.load(std::memory_order_relaxed);
    const GoroutineOptions* const its = g->task->options;
    if (its != nullptr) [[unlikely]]
      options = InheritLabels(options, its->labels);
  } else if (w == nullptr) {
    options = InheritThreadLabels(options);
  }
  Task* task;
  if (w != nullptr && w->spare_task_count_ != 0) [[likely]] {
    task = &TaskArena::At(w->spare_tasks_);
    w->spare_tasks_ = task->free_next.load(std::memory_order_relaxed);
    --w->spare_task_count_;
  } else {
    task = &TaskArena::At(TaskArena::Allocate());
  }
  // Relaxed: nobody sees it yet.
  task->flags.store(Runnable::kTask, std::memory_order_relaxed);
  task->options = options;
  task->site.Store(site);
  task->creator.store(creator, std::memory_order_relaxed);
  return *task;
}

void DropTask(Task& task) { Scheduler::FreeTask(Get_current_worker(), task); }

void StartTask(Task& task) { Scheduler::Launch(task); }

// `id` 0: the next number.
void Scheduler::Launch(Task& task, uint64_t id) {
  Worker* const w = Get_current_worker();
  if (id != 0) {
    foreign_spawned.fetch_add(1, std::memory_order_relaxed);
  } else if (w != nullptr) [[likely]] {
    if (w->next_id_ == w->last_id_) [[unlikely]] {
      // Relaxed: only distinct numbers are wanted.
      w->next_id_ = ids.fetch_add(kIdBlock, std::memory_order_relaxed);
      w->last_id_ = w->next_id_ + kIdBlock;
    }
    id = w->next_id_++;
    Bump(w->spawned_);
  } else {
    id = ids.fetch_add(1, std::memory_order_relaxed);
    foreign_spawned.fetch_add(1, std::memory_order_relaxed);
  }
  task.id.store(id, std::memory_order_relaxed);  // released by the state
  // T1 release: for onlookers.
  task.state.store(Task::kPending, std::memory_order_release);
  if (w != nullptr) [[likely]] {
    w->Ready(&task);
  } else {
    SendAnywhere(&task);
  }
}

uint64_t CurrentGoroutineId() {
  Goroutine* const g = CurrentGoroutine();
  // Relaxed: written before it began.
  return g == nullptr ? 0 : g->task->id.load(std::memory_order_relaxed);
}

int64_t NumGoroutines() { return Scheduler::Count(); }
int64_t NumAbandoned() {
  // Relaxed: grows only while no goroutine runs.
  return static_cast<int64_t>(
      Scheduler::abandoned.load(std::memory_order_relaxed));
}

int64_t Scheduler::Count() {
  // Relaxed, all: exact at rest.
  uint64_t live = foreign_spawned.load(std::memory_order_relaxed) -
                  abandoned.load(std::memory_order_relaxed);
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    const Worker& w = *At(i);
    live -= w.finished_.load(std::memory_order_relaxed);
    live += w.spawned_.load(std::memory_order_relaxed);
  }
  return static_cast<int64_t>(live);
}

// -----------------------------------------------------------------------------
// The main goroutine, and the end
// -----------------------------------------------------------------------------

void RunMainTask(Task& task, const int* status) {
  Scheduler::RunMain(task, status);
}
bool InRunMain() {
  // Relaxed: changes only while no goroutine runs.
  return Scheduler::in_main.load(std::memory_order_relaxed) !=
         Scheduler::kNotInMain;
}
void MainHasEnded() {
  // M1 release: all that main did; pairs with M1 in AwaitMain().
  Scheduler::main_state.store(Scheduler::kEnded, std::memory_order_release);
  FutexWake(Scheduler::main_state.word(), 1);
}
void MainHasExited() {
  // Relaxed: read when all workers are asleep.
  Scheduler::main_exited.store(1, std::memory_order_relaxed);
}
void SetDeadlockHook(DeadlockHook hook) {
  Scheduler::deadlock_hook.store(hook, std::memory_order_release);
}

void SetQuietThread(int32_t tid, bool quiet) {
  Scheduler::SetQuiet(tid, quiet);
}

void Scheduler::SetQuiet(int32_t tid, bool is_quiet) {
  if (is_quiet == IsQuietThread(tid)) return;
  for (Atomic<int32_t>& one : quiet) {
    int32_t from = is_quiet ? 0 : tid;
    if (one.compare_exchange(from, is_quiet ? tid : 0,
                             std::memory_order_relaxed)) {
      return;
    }
  }
}

bool Scheduler::IsQuietThread(int32_t tid) {
  for (const Atomic<int32_t>& one : quiet) {
    if (one.load(std::memory_order_relaxed) == tid) return true;
  }
  return false;
}

namespace {

// As exit() would, but for one that somebody has locked, who may never unlock
// it.
void FlushUnlessLocked(FILE* file) {
  if (ftrylockfile(file) != 0) return;
  std::fflush(file);  // the lock is recursive
  funlockfile(file);
}

}  // namespace

void Scheduler::RunMain(Task& task, const int* status) {
  in_main.store(kStarting, std::memory_order_relaxed);
  // Who looks for a deadlock of the last main until now finds another epoch;
  // who reads this one finds no main. seq_cst: the mode, then this, then the
  // state; there the other way round, see CheckDeadlock().
  counts.fetch_add(kEpoch, std::memory_order_seq_cst);
  // M3 release: the epoch; pairs with M3 in CheckDeadlock().
  main_state.store(kRuns, std::memory_order_release);
  main_exited.store(0, std::memory_order_relaxed);
  main_tid.store(CurrentThreadId(), std::memory_order_relaxed);
  Launch(task, /*id=*/1);  // releases the above
  // Who went to sleep before this did not look for a deadlock. seq_cst: this
  // store, then the counts; there the count, then in_main.
  in_main.store(kInMain, std::memory_order_seq_cst);
  const uint64_t now = counts.load(std::memory_order_seq_cst);
  if (Idle(now) == Active(now)) NotifyOne();
  AwaitMain();
  if (!StopAll(1'000'000'000)) {
    FlushUnlessLocked(stdout);
    FlushUnlessLocked(stderr);
    std::_Exit(*status);
  }
  in_main.store(kNotInMain, std::memory_order_relaxed);
  AbandonAll();
  Resume();
}

// Sleeps until main has ended, and looks for a deadlock when asked to.
void Scheduler::AwaitMain() {
  for (;;) {
    // M1 acquire: pairs with MainHasEnded().
    uint32_t state = main_state.load(std::memory_order_acquire);
    if (state == kEnded) return;
    if (state == kRuns) {
      FutexWait(main_state.word(), kRuns);
      continue;
    }
    const MonotonicNanos until = MonotonicNow() + kLookAgain;
    while (FutexWait(main_state.word(), kDoubted, until) ==
               FutexResult::kWoken &&
           main_state.load(std::memory_order_relaxed) == kDoubted) {
    }
    // seq_cst: this, then the counts; against LookAgain().
    if (!main_state.compare_exchange(state, kRuns, std::memory_order_seq_cst)) {
      continue;
    }
    const uint64_t now = counts.load(std::memory_order_seq_cst);
    if (Idle(now) == Active(now) && CheckDeadlock(now, SIZE_MAX)) LookAgain();
  }
}

// By the last worker to sleep, which has found that this may become a deadlock
// by something that wakes nobody. seq_cst: its count, then the state; so if the
// wish comes too late for one look of AwaitMain(), that look sees all asleep.
void Scheduler::LookAgain() {
  uint32_t state = main_state.load(std::memory_order_seq_cst);
  if (state == kRuns &&
      main_state.compare_exchange(state, kDoubted, std::memory_order_seq_cst)) {
    FutexWake(main_state.word(), 1);
  }
}

// Every worker stops at its next look around; false: some did not within
// `limit`.
bool Scheduler::StopAll(MonotonicNanos limit) {
  const MonotonicNanos deadline = MonotonicNow() + limit;
  const int self = Get_current_worker() == nullptr ? 0 : 1;
  stop.store(1, std::memory_order_seq_cst);
  for (int round = 0;; ++round) {
    // St1 acquire: what the worker did; pairs with St1 in Park().
    const int parked = stopped.load(std::memory_order_acquire);
    const uint64_t now = counts.load(std::memory_order_seq_cst);
    if (Active(now) - Idle(now) <= parked + self && (now & kWatcher) == 0) {
      return true;
    }
    if (MonotonicNow() > deadline) return false;
    if (round < 100) {
      sched_yield();
    } else {
      usleep(200);
    }
  }
}

void Scheduler::Park() {
  // St1 release.
  stopped.fetch_add(1, std::memory_order_acq_rel);
  while (stop.load(std::memory_order_acquire) != 0) FutexWait(stop.word(), 1);
  stopped.fetch_sub(1, std::memory_order_acq_rel);
}

void Scheduler::Resume() {
  stop.store(0, std::memory_order_release);
  FutexWake(stop.word(), 1 << 30);
}

// All workers have stopped: what lives never runs again. Nothing of it is
// unwound or freed, for others may point to it.
void Scheduler::AbandonAll() {
  // Of goroutines alone.
  (void)WithdrawSleepers(
      [](const Party& party, void*) { return party.fiber != nullptr; },
      nullptr);
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    Worker& w = *At(i);
    while (w.queue_.TakeNext() != nullptr) {
    }
    while (w.queue_.Take() != nullptr) {
    }
  }
  auto list = starved.TakeInbox();
  while (list.Pop() != nullptr) {
  }
  uint64_t lost = 0;
  TaskReader::ForEach([&lost](uint32_t index, uint64_t, uint64_t) {
    Task& task = TaskArena::At(index);
    const uint32_t state = task.state.load(std::memory_order_acquire);
    ++lost;
    if (state == Task::kStarted) {
      Goroutine& g = *task.goroutine.load(std::memory_order_relaxed);
      g.Abandon();
      if (g.waiter != nullptr && g.withdraw_waiter != nullptr) {
        g.withdraw_waiter(g.waiter);
      }
      g.note.End();
    } else {
      task.Abandon();
    }
    // The memory is not used again, as the closure still lies there.
    task.state.store(Task::kFree, std::memory_order_release);
  });
  abandoned.fetch_add(lost, std::memory_order_relaxed);
}

void Scheduler::AtExit() { (void)StopAll(100'000'000); }

// A goroutine that never runs again, in a thread of which nobody knows whether
// it holds something.
void Scheduler::Forget() {
  for (;;) pause();
}

// -----------------------------------------------------------------------------
// Deadlock
// -----------------------------------------------------------------------------

namespace {

// Of a directory in /proc, which has the caller's thread at least; less than 1:
// the system does not count.
int64_t CountEntries(DIR* dir) {
  struct stat found;
  if (fstat(dirfd(dir), &found) != 0) return 0;
  return static_cast<int64_t>(found.st_nlink) - 2;
}

}  // namespace

// Is there a thread that the runtime has not started? Or nobody knows.
//
// The kernel walks its list of threads, and ends the walk early if the one that
// it stands at exits. So a walk counts only if it has met as many as there were
// before it and after it. Threads come at the end of the list: if one was
// passed over for another that exited, and the number is right all the same,
// then somebody has started a new one, and is or was in the list himself.
bool Scheduler::ForeignThreads() {
  constexpr int kWalks = 4;
  // ThreadSanitizer has a thread of its own.
  constexpr int kStrangers = GOCHAN_TSAN ? 1 : 0;
  DIR* const dir = opendir("/proc/self/task");
  if (dir == nullptr) return true;
  bool all_met = false;
  int strangers = 0;
  for (int i = 0; i < kWalks && !all_met && strangers <= kStrangers; ++i) {
    if (i > 0) rewinddir(dir);
    const int64_t before = CountEntries(dir);
    int64_t met = 0;
    strangers = 0;
    while (const dirent* const entry = readdir(dir)) {
      const auto tid =
          static_cast<int32_t>(std::strtol(entry->d_name, nullptr, 10));
      if (tid == 0) continue;
      ++met;
      if (!IsKnownThread(tid) && ++strangers > kStrangers) break;
    }
    all_met = before < 1 || (met == before && met == CountEntries(dir));
  }
  closedir(dir);
  return !all_met || strangers > kStrangers;
}

bool Scheduler::IsKnownThread(int32_t tid) {
  if (tid == main_tid.load(std::memory_order_relaxed) ||
      tid == Timer::ThreadId() || IsQuietThread(tid)) {
    return true;
  }
  const uint32_t end = ThreadArena::Readable();
  for (uint32_t i = 0; i < end; ++i) {
    if (ThreadArena::At(i).shown.tid.load(std::memory_order_relaxed) == tid) {
      return true;
    }
  }
  return false;
}

// All workers are idle, as `seen` says. Reports if that is for ever. All that
// could wake a goroutine is looked at, and after that `seen` once more: if
// nobody was woken in between, all of it was true at one moment. True: it will
// be known in a moment. If more than `timers` are pending, somebody else looks
// later.
bool Scheduler::CheckDeadlock(uint64_t seen, std::size_t timers) {
  // seq_cst: see RunMain().
  if (in_main.load(std::memory_order_seq_cst) != kInMain) return false;
  // M2 acquire: pairs with SetDeadlockHook().
  const DeadlockHook hook = deadlock_hook.load(std::memory_order_acquire);
  if (hook == nullptr || MustStop()) return false;
  // It would be taken for a thread of the program's. D2 acquire: its number;
  // pairs with D2 in GuardMain().
  if (guard_thread.load(std::memory_order_acquire) == kGuardStarts) return true;
  // A watcher may be about to run somebody's timers, and looks itself later.
  if ((seen & kWatcher) != 0) return false;
  // The usual reason, so before what costs more.
  TimersLeft left = FindTimerThatWakes(timers);
  if (left == TimersLeft::kOneWakes) {
    // What goes off on a worker leads back here; on the timer thread, only if
    // it wakes somebody. Asleep, that has all its timers in its heap, or wakes
    // up for the others.
    if (!Timer::ThreadIsAsleep() || GetTimerMemory().slots != 0) LookAgain();
    return false;
  }
  const uint32_t end = ThreadArena::Readable();
  for (uint32_t i = 0; i < end; ++i) {
    // D1 acquire: where who came back has gone; pairs with D1 in Attach() and
    // BecomeSpare().
    if (ThreadArena::At(i).shown.in_blocking.load(std::memory_order_seq_cst) !=
        0) {
      return false;
    }
  }
  if (left == TimersLeft::kTooMany || ForeignThreads()) {
    // The last of the threads may end without a word to anybody.
    LookAgain();
    return false;
  }
  // What those threads have started before they ended, too. Then, because it
  // has not woken anybody yet, what is going off: on the timer thread, or by
  // the guard, which fires the timers of workers that run and may be late.
  left = FindTimerThatWakes(timers);
  if (left == TimersLeft::kOneWakes) return false;
  if (left == TimersLeft::kTooMany || !Timer::ThreadIsAsleep()) return true;
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    // Behind the fence in ThreadIsAsleep().
    if (At(i)->timers_.IsBeingFired()) return true;
    if (!At(i)->queue_.Empty()) return false;
  }
  if (!starved.InboxLooksEmpty()) return false;
  // M3 acquire: the epoch, if this is the state of another main already.
  if (main_state.load(std::memory_order_acquire) == kEnded) return false;
  if (counts.load(std::memory_order_seq_cst) != seen) return false;
  // One of those who find it out reports it.
  static constinit Atomic<uint32_t> reported{0};
  if (reported.exchange(1, std::memory_order_acq_rel) != 0) return false;
  hook(main_exited.load(std::memory_order_relaxed) != 0);
  return false;
}

}  // namespace gochan::runtime

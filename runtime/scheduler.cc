// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/scheduler.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "runtime/arena.h"
#include "runtime/backoff.h"
#include "runtime/barrier.h"
#include "runtime/clock.h"
#include "runtime/cpu_count.h"
#include "runtime/futex.h"
#include "runtime/goexit.h"
#include "runtime/goroutine_text.h"
#include "runtime/labels.h"
#include "runtime/lock_check.h"
#include "runtime/memory_reader.h"
#include "runtime/parking_lot.h"
#include "runtime/sanitizers.h"
#include "runtime/scheduler_internal.h"
#include "runtime/spawn.h"
#include "runtime/stack.h"
#include "runtime/timers.h"

namespace gochan::runtime {

namespace {

constexpr int kBits = 64;
constexpr int kWords = kMaxProcs / kBits;
constexpr uint32_t kMaxSpareTasks = 512;
constexpr uint64_t kIdBlock = 64;
// As Go has it; but here the next Blocking() waits, instead of a fatal error.
constexpr int kMaxThreads = 10'000;

using ThreadArena = Arena<Thread, 1u << 15, 1>;

int32_t ThreadId() { return static_cast<int32_t>(syscall(SYS_gettid)); }

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

// -----------------------------------------------------------------------------
// Scheduler
// -----------------------------------------------------------------------------

constinit Atomic<uint64_t> WorkerCounts::counts{0};

class Scheduler : public WorkerCounts {
 public:
  // How long the watcher sleeps between two looks: less at first.
  static constexpr MonotonicNanos kWatchMin = 50'000;
  static constexpr MonotonicNanos kWatchMax = 1'000'000;
  static constexpr MonotonicNanos kWatchAgain = 10'000;
  // By so much a running worker may be late with its timers before the watcher
  // helps.
  static constexpr MonotonicNanos kTimerGrace = 100'000;

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
  static void Detach(Goroutine& g, const SourceLocation& site);
  static void Attach(Goroutine& g);
  static bool OthersAreBusy(const Worker& w);
  [[noreturn]] static void Forget();

  // --- how many workers
  static void Resize(int n);
  static int SetProcs(int n);

  // --- the end
  static void RunMain(Task& task, const int* status);
  static bool StopAll(MonotonicNanos limit);
  static void Resume();
  static void AbandonAll();
  static void AtExit();
  static void Park();
  static bool MustStop() {
    // Relaxed: the one who stops waits for the answer.
    return stop.load(std::memory_order_relaxed) != 0;
  }
  static bool CheckDeadlock(uint64_t seen);
  static bool ForeignThreads();
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
  // How many wait for a thread to become spare.
  static inline constinit Atomic<int> spares_wanted{0};
  static inline constinit Atomic<uint64_t> ids{2};  // 1 is main's
  static inline constinit Atomic<uint64_t> foreign_spawned{0};
  static inline constinit Atomic<uint64_t> next_home{0};
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
  static inline constinit Atomic<uint32_t> main_done{0};
  static inline constinit Atomic<uint32_t> main_exited{0};
  static inline constinit Atomic<DeadlockHook> deadlock_hook{nullptr};
  static inline constinit Atomic<int32_t> main_tid{0};
  // SetQuietThread(); 0: nobody. Relaxed: who changes them runs, so there is no
  // deadlock at that moment.
  static inline constinit Atomic<int32_t> quiet[8] = {};
  static inline constinit Atomic<uint64_t> abandoned{0};
};

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

namespace {

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

Runnable* Worker::Pick() {
  if (!Tick()) [[unlikely]]
    return nullptr;
  Runnable* const r = queue_.TakeNext();
  return r != nullptr ? r : queue_.Take();
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
  return Ticks() - looked_ < TicksPerSecond() / 1'000'000 * (kQuietFor / 1'000);
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
  counts.fetch_add(kEpoch - kIdle + (search ? kSearching : 0),
                   std::memory_order_seq_cst);
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
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t id;
  threads.fetch_add(1, std::memory_order_relaxed);  // a number
  const int error = pthread_create(&id, &attributes, &ThreadMain, thread);
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
  self.tid.store(ThreadId(), std::memory_order_relaxed);
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
  if (self.in_blocking.load(std::memory_order_relaxed) != 0) {  // own
    // D1 release: who came back from Blocking() is in a queue now; pairs with
    // D1 in CheckDeadlock(). If that was not reported because of this thread,
    // somebody must look again: seq_cst, this store, then the counts; there the
    // count, then in_blocking.
    self.in_blocking.store(0, std::memory_order_seq_cst);
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
  const MonotonicNanos now = MonotonicNow();
  const bool looked_around = w.Budget() > 0;  // out of work, not of budget
  const MonotonicNanos last = w.now_.load(std::memory_order_relaxed);  // own
  w.now_.store(now, std::memory_order_relaxed);
  if (!looked_around) {
    w.turn_ = (now - last) / w.budget_size_;
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
  for (;;) {
    // No more than half of those that are awake.
    const uint64_t now = counts.load(std::memory_order_relaxed);
    if (!searching && Procs() > 1 &&
        2 * Searching(now) < Active(now) - Idle(now)) {
      counts.fetch_add(kSearching, std::memory_order_seq_cst);
      searching = true;
    }
    if (searching) {
      for (int round = 0; round < kRounds; ++round) {
        Runnable* r = StealFor(w, round > 0);
        if (r == nullptr && w.queue_.DrainInbox()) r = w.queue_.Take();
        if (r != nullptr) {
          EndSearch(w);
          return r;
        }
        for (int i = 0; i < kPauses; ++i) CpuRelax();
      }
    }
    Sleep(w, searching);
    w.quiet_ = false;
    // Awake, and counted as searching by who has woken it.
    searching = true;
    if (MustStop() || w.number_ >= Procs()) {
      counts.fetch_sub(kSearching, std::memory_order_seq_cst);
      return nullptr;
    }
    const MonotonicNanos time = MonotonicNow();
    w.now_.store(time, std::memory_order_relaxed);
    if (w.timers_.NextDeadline() <= time) w.timers_.RunDue(time);
    w.queue_.DrainInbox();
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
// Either 2 sees the count, and wakes somebody, or 4 sees the push.
void Scheduler::Sleep(Worker& w, bool searching) {
  Thread& self = *w.thread_;
  Stack::TrimCache();
  // Relaxed: released by the state.
  self.wake.store(Thread::kSleeps, std::memory_order_relaxed);
  bool watching = GoIdle(w, Worker::kAsleep, searching, /*may_watch=*/true);
  MonotonicNanos interval = kWatchMin;
  bool soon = false;
  const uint64_t first = counts.load(std::memory_order_seq_cst);
  if (Idle(first) < Active(first)) HeavyBarrier();
  for (;;) {
    const MonotonicNanos now = MonotonicNow();
    MonotonicNanos until = w.timers_.PrepareToSleep();
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
    SetPunctual(self, watching && until - now <= kWatchMin);
    // If it was wanted, somebody else has claimed it and is about to say so.
    FutexWait(self.wake.word(), Thread::kSleeps, wanted ? kNever : until);
    // S3 acquire: pairs with who has claimed it.
    if (self.wake.load(std::memory_order_acquire) != Thread::kSleeps) break;
  }
  if (watching) counts.fetch_and(~kWatcher, std::memory_order_seq_cst);
}

// The kernel may wake a thread up to 50 us late, to wake others with it: too
// much for a watcher's first looks.
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
        w.queue_.Push(r, false);
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
  counts.fetch_sub(kActive, std::memory_order_seq_cst);
  // S2 release: the worker; pairs with S2 in SetMaxProcs(). seq_cst: the state,
  // then the look at the inbox; against Send().
  w.state_.store(Worker::kRetired, std::memory_order_seq_cst);
  if (!w.queue_.InboxLooksEmpty()) ForwardInbox(w);
  // The timers that came along may be due before the heir would wake up.
  const uint32_t was = Claim(heir, /*search=*/true);
  if (was != Worker::kRunning) Wake(heir, was);
}

// -----------------------------------------------------------------------------
// The life of a goroutine
// -----------------------------------------------------------------------------

namespace {

constexpr uint64_t kMagic = 0x676f726f7574696eu;

// The worker that the caller runs on, or nullptr.
Worker* CurrentWorker() { return Get_current_worker(); }

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
  Worker* const w = CurrentWorker();
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

void DropTask(Task& task) { Scheduler::FreeTask(CurrentWorker(), task); }

void StartTask(Task& task) { Scheduler::Launch(task); }

// `id` 0: the next number.
void Scheduler::Launch(Task& task, uint64_t id) {
  Worker* const w = CurrentWorker();
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
// For the running goroutine
// -----------------------------------------------------------------------------

namespace {

void PushYielder(void* arg) {
  auto* const g = static_cast<Goroutine*>(arg);
  // The worker that it has left is the one that runs this.
  CurrentWorker()->PushBack(g);
}

// Who came back from a blocking call and found no worker.
void SendYielder(void* arg) {
  Scheduler::SendAnywhere(static_cast<Goroutine*>(arg));
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

void EnterBlocking(const SourceLocation& site) {
  Goroutine* const g = CurrentGoroutine();
  if (g == nullptr || g->blocking_depth++ != 0) return;
  while (Scheduler::ThreadsAreShort()) Scheduler::AwaitSpare(site);
  Scheduler::Detach(*g, site);
}

void LeaveBlocking() {
  Goroutine* const g = CurrentGoroutine();
  if (g == nullptr || --g->blocking_depth != 0) return;
  Scheduler::Attach(*g);
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

// The worker stays without a thread until somebody needs it, or its goroutine
// comes back; it gets another thread at once if there is something to do.
void Scheduler::Detach(Goroutine& g, const SourceLocation& site) {
  Worker& w = *g.worker;
  if constexpr (GOCHAN_REGISTRY) {
    g.note.Wait({WaitReason::kBlocking, &site}, w.coarse_now());
  }
  Thread& thread = *w.thread_;
  g.blocking = &thread;
  g.blocking_worker = &w;
  // What it waits for in there blocks the thread.
  g.resumer = nullptr;
  g.worker = nullptr;
  BeWorker(nullptr);
  g.timers = nullptr;
  thread.worker = nullptr;
  // Relaxed: the detection of deadlocks reads it after it has seen the count.
  thread.in_blocking.store(1, std::memory_order_relaxed);
  const bool busy = !w.queue_.Empty() || w.timers_.PrepareToSleep() != kNever;
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
  }
  TellOfSpare();
}

// Back from the call: its own worker if nobody took it, else another one that
// is without a thread, else into a queue.
void Scheduler::Attach(Goroutine& g) {
  Thread& thread = *g.blocking;
  g.blocking = nullptr;
  g.resumer = &g;
  if (g.IsAbandoned(std::memory_order_acquire) || MustStop()) {
    thread.in_blocking.store(0, std::memory_order_relaxed);
    Forget();
  }
  Worker* w = g.blocking_worker;
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
  thread.worker = w;
  BeWorker(w);
  thread.party.worker = w;
  thread.party.timers = &w->timers_;
  g.worker = w;
  g.timers = &w->timers_;
  if constexpr (GOCHAN_REGISTRY) g.note.Run();
  // D1 release: the claim; pairs with D1 in CheckDeadlock().
  thread.in_blocking.store(0, std::memory_order_release);
  // As in EndSearch(): if all others are idle, nobody looks after it.
  const uint64_t now = counts.load(std::memory_order_relaxed);
  if (Idle(now) != 0 && (now & (kWatcher | kSearchingMask)) == 0) NotifyOne();
  TellOfSpare();
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
  // M1 release: all that main did; pairs with M1 in RunMain().
  Scheduler::main_done.store(1, std::memory_order_release);
  FutexWake(Scheduler::main_done.word(), 1);
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

void Scheduler::RunMain(Task& task, const int* status) {
  main_done.store(0, std::memory_order_relaxed);
  main_exited.store(0, std::memory_order_relaxed);
  main_tid.store(ThreadId(), std::memory_order_relaxed);
  in_main.store(kStarting, std::memory_order_relaxed);
  Launch(task, /*id=*/1);  // releases the above
  // Who went to sleep before this did not look for a deadlock. seq_cst: this
  // store, then the counts; there the count, then in_main.
  in_main.store(kInMain, std::memory_order_seq_cst);
  const uint64_t now = counts.load(std::memory_order_seq_cst);
  if (Idle(now) == Active(now)) NotifyOne();
  // M1 acquire.
  while (main_done.load(std::memory_order_acquire) == 0) {
    FutexWait(main_done.word(), 0);
  }
  if (!StopAll(1'000'000'000)) std::_Exit(*status);
  in_main.store(kNotInMain, std::memory_order_relaxed);
  AbandonAll();
  Resume();
}

// Every worker stops at its next look around; false: some did not within
// `limit`.
bool Scheduler::StopAll(MonotonicNanos limit) {
  const MonotonicNanos deadline = MonotonicNow() + limit;
  const int self = CurrentWorker() == nullptr ? 0 : 1;
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

// Is there a thread that the runtime has not started? Or nobody knows.
bool Scheduler::ForeignThreads() {
  DIR* const dir = opendir("/proc/self/task");
  if (dir == nullptr) return true;
  int unknown = 0;
  while (const dirent* const entry = readdir(dir)) {
    const auto tid =
        static_cast<int32_t>(std::strtol(entry->d_name, nullptr, 10));
    if (tid == 0 || tid == main_tid.load(std::memory_order_relaxed) ||
        tid == Timer::ThreadId() || IsQuietThread(tid)) {
      continue;
    }
    const uint32_t end = ThreadArena::HighWater();
    bool known = false;
    for (uint32_t i = 0; i < end && !known; ++i) {
      known = ThreadArena::At(i).tid.load(std::memory_order_relaxed) == tid;
    }
    if (!known) ++unknown;
  }
  closedir(dir);
  // ThreadSanitizer has a thread of its own.
  return unknown > (GOCHAN_TSAN ? 1 : 0);
}

// All workers are idle, as `seen` says. Reports if it is for ever. All that
// could wake a goroutine is looked at, and after that `seen` once more: if
// nobody was woken in between, all of it was true at one moment. True: it will
// be known in a moment.
bool Scheduler::CheckDeadlock(uint64_t seen) {
  // seq_cst: see RunMain().
  if (in_main.load(std::memory_order_seq_cst) != kInMain) return false;
  // M2 acquire: pairs with SetDeadlockHook().
  const DeadlockHook hook = deadlock_hook.load(std::memory_order_acquire);
  if (hook == nullptr || MustStop()) return false;
  // A watcher may be about to run somebody's timers, and looks itself later.
  if ((seen & kWatcher) != 0) return false;
  // None is pending, and none is going off.
  if (AnyPendingTimers()) return false;
  if (!Timer::ThreadIsAsleep()) return true;
  const uint32_t end = ThreadArena::HighWater();
  for (uint32_t i = 0; i < end; ++i) {
    // D1 acquire: where who came back has gone; pairs with D1 in Attach() and
    // BecomeSpare().
    if (ThreadArena::At(i).in_blocking.load(std::memory_order_seq_cst) != 0) {
      return false;
    }
  }
  if (ForeignThreads()) return false;
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    if (!At(i)->queue_.Empty()) return false;
  }
  if (AnyPendingTimers() || !starved.InboxLooksEmpty()) return false;
  if (main_done.load(std::memory_order_acquire) != 0) return false;
  if (counts.load(std::memory_order_seq_cst) != seen) return false;
  // One of those who find it out reports it.
  static constinit Atomic<uint32_t> reported{0};
  if (reported.exchange(1, std::memory_order_acq_rel) != 0) return false;
  hook(main_exited.load(std::memory_order_relaxed) != 0);
  return false;
}

void Scheduler::AddUp(SchedulerStats& stats) {
  stats.spawned = foreign_spawned.load(std::memory_order_relaxed);
  stats.finished = abandoned.load(std::memory_order_relaxed);
  const int n = Made();
  for (int i = 0; i < n; ++i) {
    // Relaxed: statistics.
    const Worker& w = *At(i);
    stats.spawned += w.spawned_.load(std::memory_order_relaxed);
    stats.finished += w.finished_.load(std::memory_order_relaxed);
    stats.steals += w.steals_.load(std::memory_order_relaxed);
    stats.wake_ups += w.wake_ups_.load(std::memory_order_relaxed);
    stats.handoffs += w.handoffs_.load(std::memory_order_relaxed);
  }
}

int Scheduler::QueueLength(int i) {
  if (i < 0 || i >= std::min(Procs(), Made())) return -1;
  return static_cast<int>(At(i)->queue_.LengthHint());
}

int RunQueueLength(int i) { return Scheduler::QueueLength(i); }

void SetMaxThreadsForTest(int n) {
  Scheduler::max_threads.store(n > 0 ? n : kMaxThreads,
                               std::memory_order_relaxed);
}

// -----------------------------------------------------------------------------
// For onlookers
// -----------------------------------------------------------------------------

// Relaxed, all: a switch is noticed some time.
void WorkersProgress::Begin() {
  budgets_.clear();
  const int n = Scheduler::Made();
  for (int i = 0; i < n; ++i) {
    Worker* const w = Scheduler::At(i);
    budgets_.push_back(w == Get_current_worker() ? kSwitched : w->Budget());
  }
}

bool WorkersProgress::Done() {
  bool done = true;
  for (std::size_t i = 0; i < budgets_.size(); ++i) {
    const Worker& w = *Scheduler::At(static_cast<int>(i));
    if (w.state_.load(std::memory_order_relaxed) != Worker::kRunning ||
        w.Budget() != budgets_[i]) {
      budgets_[i] = kSwitched;
    }
    done = done && budgets_[i] == kSwitched;
  }
  return done;
}

void ForEachFrozenThread(void (*found)(uintptr_t low, uintptr_t mark,
                                       void* arg),
                         void* arg) {
  MemoryReader memory;
  const uint32_t end = ThreadArena::HighWater();
  for (uint32_t i = 0; i < end; ++i) {
    // One may be counted before it has memory.
    const Thread& thread = ThreadArena::At(i);
    uintptr_t mark = 0;
    if (memory.Read(thread.mark.word(), &mark, sizeof(mark)) && mark != 0) {
      found(thread.stack_low, mark, arg);
    }
  }
}

SchedulerStats GetSchedulerStats() {
  SchedulerStats stats{};
  const uint64_t now = Scheduler::counts.load(std::memory_order_seq_cst);
  stats.workers = Scheduler::Active(now);
  stats.idle = Scheduler::Idle(now);
  stats.searching = Scheduler::Searching(now);
  stats.threads = Scheduler::threads.load(std::memory_order_relaxed);
  Scheduler::AddUp(stats);
  return stats;
}

}  // namespace gochan::runtime

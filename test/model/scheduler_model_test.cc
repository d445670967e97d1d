// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The scheduler under every schedule.
//
//   QueueWorld     the run queue as it is: its owner, thieves and senders
//   MiniScheduler  a small scheduler around real run queues, step for step what
//                  runtime/scheduler.cc does to sleep, to wake and to hand a
//                  worker over around a blocking call. (The real one is static,
//                  with threads and futexes.) Its mutants must fail, or this
//                  world could not see what it is for.
//   ResumerWorld   a goroutine that is woken and run by others before its
//                  publisher has finished

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/instrument.h"
#include "runtime/park.h"
#include "runtime/run_queue.h"
#include "runtime/worker_counts.h"
#include "test/model/explorer.h"
#include "test/model/model_test_util.h"

namespace gochan::model {
namespace {

using runtime::Atomic;
using runtime::StepKind;
using runtime::WorkerCounts;

constexpr auto kSeqCst = std::memory_order_seq_cst;

// -----------------------------------------------------------------------------
// The run queue
// -----------------------------------------------------------------------------

struct Item {
  Item* next_runnable = nullptr;
  int number = 0;
  int producer = -1;     // who pushed it
  bool ordered = false;  // first in, first out is promised for it
  int taken = 0;
};

using Queue = runtime::RunQueue<Item>;

// Parties that are words of letters. Party 0 owns the queue:
//   n  PushNext (and pushes what that displaces)
//   p  Push                    h  Push, hidden
//   t  Take                    T  TakeNext, else Take
//   y  Rotate what it took last; f  its end
//   d  DrainInbox
// The others have a queue each, into which they steal:
//   s  StealHalf               S  StealHalf, from the party before it
//   i  StealInbox              v  StealPrivate
//   x  Send                   u  Unhide
//   t  Take from its own queue
// Before it starts, party 0 has done what `before` says, which knows also
//   F  255 pushes              m  Send by somebody else
//   E  party 1 empties the ring by StealHalf
class QueueWorld : public Scenario {
 public:
  QueueWorld(std::string before, std::vector<std::string> words,
             bool ordered = true)
      : before_(std::move(before)),
        words_(std::move(words)),
        ordered_(ordered) {}

  std::string name() const {
    std::string name = absl::StrCat("queue [", before_, "]");
    for (const std::string& word : words_) absl::StrAppend(&name, " ", word);
    return name;
  }

  int parties() const override { return static_cast<int>(words_.size()); }

  void SetUp(Explorer&) override {
    for (int p = 0; p < parties(); ++p) {
      queues_[p].emplace();
      last_of_[p].assign(kProducers, -1);
    }
    used_ = 0;
    held_ = nullptr;
    running_ = nullptr;
    error_.clear();
    for (const char letter : before_) {
      if (letter == 'F') {
        for (int i = 0; i < 255; ++i) queues_[0]->Push(New(0, true), false);
      } else if (letter == 'm') {
        queues_[0]->Send(New(kProducers - 1, true));
      } else if (letter == 'E') {
        while (Item* const item = queues_[0]->StealHalf(*queues_[1])) {
          Took(1, item, true);
          while (Item* const more = queues_[1]->Take()) Took(1, more, true);
        }
      } else {
        Act(0, letter);
      }
    }
  }

  void Run(Explorer& explorer, int p) override {
    for (const char letter : words_[p]) {
      explorer.BeginOperation(std::string(1, letter));
      const int taken = Act(p, letter);
      explorer.Observed(static_cast<uint64_t>(taken + 1));
      if (!error_.empty()) explorer.Fail(error_);
    }
    if (p == 0 && running_ != nullptr) {
      Act(0, 'f');
    }
  }

  void AtRest(Explorer& explorer, bool complete) override {
    explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
    if (!complete || explorer.failed()) return;
    for (int p = 0; p < parties(); ++p) {
      if (explorer.ConditionOf(p) != Explorer::Condition::kEnded) {
        return explorer.Fail(absl::StrCat("p", p, " waits for somebody"));
      }
    }
    // Nothing may be out of the reach of those who own the queues.
    for (int p = 0; p < parties(); ++p) {
      Took(p, queues_[p]->TakeNext(), false);
      while (Item* const item = queues_[p]->Take()) Took(p, item, true);
      if (!queues_[p]->Empty()) {
        explorer.Fail(absl::StrCat("something is left with p", p));
      }
    }
    for (int i = 0; i < used_; ++i) {
      // Who rotated has it in the queue: it was taken and given back.
      if (items_[i].taken != 1) {
        error_ =
            absl::StrCat("item ", i, " was taken ", items_[i].taken, " times");
      }
    }
    if (!error_.empty()) explorer.Fail(error_);
  }

  std::string NameOf(const void* address) override {
    for (int p = 0; p < parties(); ++p) {
      const auto offset = reinterpret_cast<uintptr_t>(address) -
                          reinterpret_cast<uintptr_t>(&*queues_[p]);
      if (offset < sizeof(Queue)) return absl::StrCat("q", p, "+", offset);
    }
    return "";
  }

 private:
  static constexpr int kProducers = kMaxParties + 1;
  static constexpr int kItems = 300;

  Item* New(int producer, bool ordered) {
    Item& item = items_[used_];
    item = Item{};
    item.number = used_++;
    item.producer = producer;
    item.ordered = ordered && ordered_;
    return &item;
  }

  // `in_order`: it came out of where order is promised.
  void Took(int p, Item* item, bool in_order) {
    if (item == nullptr) return;
    if (++item->taken != 1) {
      error_ = absl::StrCat("item ", item->number, " was taken twice");
    }
    if (item == running_) {
      error_ = absl::StrCat("item ", item->number, " was taken while it runs");
    }
    if (!in_order || !item->ordered) return;
    int& last = last_of_[p][item->producer];
    if (item->number < last) {
      error_ = absl::StrCat("item ", item->number, " came after ", last);
    }
    last = item->number;
  }

  // Returns the number of what it took, or -1.
  int Act(int p, char letter) {
    Queue& mine = *queues_[p];
    Queue& victim = *queues_[letter == 'S' ? p - 1 : 0];
    Item* got = nullptr;
    bool in_order = true;
    switch (letter) {
      case 'n':
        if (Item* const displaced = mine.PushNext(New(p, false))) {
          mine.Push(displaced, false);
        }
        break;
      case 'p':
      case 'h':
        (void)mine.Push(New(p, true), letter == 'h');
        break;
      case 'T':
        got = mine.TakeNext();
        in_order = got == nullptr;
        if (got == nullptr) got = mine.Take();
        break;
      case 't':
        got = mine.Take();
        break;
      case 'y': {
        if (held_ == nullptr) break;
        // It becomes findable in there, while it still runs.
        Item* const leaver = held_;
        running_ = leaver;
        --leaver->taken;
        leaver->ordered = false;  // it is at the end now
        got = mine.Rotate(leaver);
        if (got == nullptr) {
          running_ = nullptr;
          ++leaver->taken;
        }
        break;
      }
      case 'f':
        if (running_ == nullptr) break;
        running_ = nullptr;
        mine.rotate_lock().store(0, std::memory_order_release);
        break;
      case 'u':
        (void)mine.Unhide();
        break;
      case 'd':
        (void)mine.DrainInbox();
        break;
      case 's':
      case 'S':
        got = victim.StealHalf(mine);
        break;
      case 'i':
        got = victim.StealInbox(mine);
        break;
      case 'v':
        got = victim.StealPrivate(mine);
        break;
      case 'x':
        victim.Send(New(p, true));
        break;
    }
    Took(p, got, in_order);
    if (p == 0 && got != nullptr) held_ = got;
    return got == nullptr ? -1 : got->number;
  }

  const std::string before_;
  const std::vector<std::string> words_;
  const bool ordered_;

  std::optional<Queue> queues_[kMaxParties];
  Item items_[kItems];
  int used_ = 0;
  Item* held_ = nullptr;                   // the owner's last
  Item* running_ = nullptr;                // between Rotate and its end
  std::vector<int> last_of_[kMaxParties];  // the youngest taken, by producer
  std::string error_;
};

void CheckQueue(const std::string& before, std::vector<std::string> words,
                const Effort& effort, bool ordered = true) {
  QueueWorld world(before, std::move(words), ordered);
  CheckScenario(world.name(), world, effort);
}

const Effort kQueue = {.preemptions = 2, .seconds = 0.4};
const Effort kDeepQueue = {.preemptions = 3, .seconds = 0.6};

TEST(SchedulerModel, RingOfOwnerAndThieves) {
  CheckQueue("", {"pptt", "s"}, kDeepQueue);
  CheckQueue("ppp", {"tpt", "s", "s"}, kQueue);
  CheckQueue("pppp", {"tt", "s", "S"}, kQueue);
  CheckQueue("hpp", {"ttt", "st"}, kDeepQueue);
}

TEST(SchedulerModel, InboxOfOwnerThievesAndSenders) {
  CheckQueue("", {"tt", "xx"}, kDeepQueue);
  CheckQueue("m", {"dt", "i", "xx"}, kQueue);
  CheckQueue("p", {"tt", "xx", "s"}, kQueue);
  CheckQueue("", {"t", "x", "xx", "i"}, kQueue);
}

TEST(SchedulerModel, PrivatePartOfOwnerAndThief) {
  CheckQueue("n", {"T", "v"}, kDeepQueue);
  CheckQueue("hh", {"tnT", "v"}, kDeepQueue);
  CheckQueue("hn", {"nTT", "v"}, kDeepQueue);
  CheckQueue("hh", {"ht", "vt"}, kDeepQueue);
  CheckQueue("hhn", {"Tp", "v", "s"}, kQueue);
}

// The owner refuses the first one's request; what the second one asks for then
// must not be taken by the first.
TEST(SchedulerModel, TwoThievesAtThePrivatePart) {
  CheckQueue("hn", {"T", "v", "v"}, kDeepQueue);
  CheckQueue("hh", {"tt", "v", "v"}, kDeepQueue);
  CheckQueue("hhn", {"nT", "v", "v"}, kQueue);
  CheckQueue("h", {"ht", "vv", "v"}, kQueue);
}

// The owner comes while a thief holds the private part, and does without.
TEST(SchedulerModel, OwnerPushesAndTakesDuringATheft) {
  CheckQueue("hh", {"hpt", "v"}, kDeepQueue);
  CheckQueue("hhp", {"nnt", "v"}, kDeepQueue);
  CheckQueue("hp", {"tTh", "v", "s"}, kQueue);
}

TEST(SchedulerModel, WhatWasHiddenIsFound) {
  CheckQueue("hhh", {"ut", "s"}, kDeepQueue);
  CheckQueue("hh", {"uht", "v"}, kDeepQueue);
  CheckQueue("hhh", {"utt", "s", "v"}, kQueue);
}

TEST(SchedulerModel, RotationKeepsThievesOut) {
  CheckQueue("hht", {"yf", "v"}, kDeepQueue);
  CheckQueue("hht", {"yfyf", "v"}, kDeepQueue);
  CheckQueue("hht", {"yft", "v", "v"}, kQueue);
  CheckQueue("hht", {"yf", "v", "x"}, kQueue);
}

// A full ring: what does not fit goes into the backlog, or, while a thief is
// there, into the inbox; that once, order is not kept.
TEST(SchedulerModel, BacklogOfAFullRing) {
  const Effort effort = {.preemptions = 2, .seconds = 0.4};
  CheckQueue("Fp", {"pp", "v"}, effort, /*ordered=*/false);
  CheckQueue("Fpp", {"tp", "v"}, effort, /*ordered=*/false);
  CheckQueue("Fppp", {"pt", "v", "v"}, effort, /*ordered=*/false);
  CheckQueue("Fppn", {"nT", "v"}, effort, /*ordered=*/false);
  // Thieves have emptied the ring since.
  CheckQueue("FpppE", {"pt", "v"}, kDeepQueue);
  CheckQueue("FpppE", {"tpt", "v", "s"}, kQueue);
  CheckQueue("FppE", {"ht", "v", "v"}, kQueue);
}

// -----------------------------------------------------------------------------
// Sleeping, waking and handing over
// -----------------------------------------------------------------------------

// What is done wrong.
enum class Mutant {
  kNone,
  kLookBeforeCount,     // Sleep: looks at the queues, then counts itself
  kNoEndSearchNotice,   // EndSearch: wakes nobody
  kStateBeforeCount,    // GoIdle: the state before count and bit
  kLoadBeforePush,      // Send: loads the state before it pushes
  kNoSelfClaim,         // Sleep: goes on without a claim
  kWatcherGoesBlindly,  // Sleep: the watcher gives up without one more look
  kNoNoticeOfPush,      // PushBack: wakes nobody
  kNoLookAtInbox,       // LetGo: does not look again
  kAttachWithoutClaim,  // Attach: takes the worker by a store
  kNoLookAtGuard,       // Lend: does not look whether the guard rests
  kGuardRestsBlindly,   // the guard: rests without one more look
  kTakeBackByStore,     // back from a call: takes the lent worker by a store
};

// Goroutines are programs of letters:
//   b<n>  starts goroutine n, to the end of the queue (Worker::PushBack)
//   n<n>  starts goroutine n, which runs next (Worker::Ready)
//   c     computes for ever: no further switch on this worker
//   B     makes a blocking call
//   N     makes a blocking call that never returns
//   L     the same as B, expected to be brief; lends its worker
//   M     the same as N, expected to be brief
// and so are foreign threads:
//   s<w><n>  sends goroutine n to worker w
struct MiniSpec {
  std::string name;
  std::vector<std::string> goroutines;
  // One letter for each worker: r runs goroutine 0 (on the thread of the same
  // number), e has nothing to run, s sleeps (on that thread), d is detached.
  std::string workers;
  int spares = 0;  // threads besides
  std::vector<std::string> senders = {};
  // Nothing may have to wait until the watcher's time comes.
  bool prompt = false;
  bool quiet = false;  // those who push are
  bool guard = false;  // there is one
  Mutant mutant = Mutant::kNone;
};

// As in scheduler_internal.h, what matters here.
struct Goroutine {
  Goroutine* next_runnable = nullptr;
  int number = 0;
  std::size_t at = 0;  // in its program
  bool started = false;
  bool runs = false;
  bool ended = false;
  bool blocked = false;  // for ever, in a call
};

struct Thread;
struct Worker {
  int number = 0;
  Thread* thread = nullptr;
  int runner = -1;  // the thread that runs it, for the check
  Atomic<uint32_t> state;
  Atomic<uint32_t> lent;  // to a thread: its number + 1
  Atomic<uint32_t> ticks;
  uint32_t watched_ticks = 0;
  bool watched_full = false;
  runtime::RunQueue<Goroutine> queue;
};
struct Thread {
  int number = 0;
  Worker* worker = nullptr;
  Atomic<uint32_t> wake;
};

class MiniScheduler : public Scenario {
 public:
  explicit MiniScheduler(MiniSpec spec) : spec_(std::move(spec)) {
    workers_count_ = static_cast<int>(spec_.workers.size());
    threads_count_ = spec_.spares;
    for (const char state : spec_.workers) {
      // Threads 0.. are those of workers 0..; a detached one has none.
      if (state != 'd') ++threads_count_;
    }
  }

  int parties() const override {
    return threads_count_ + static_cast<int>(spec_.senders.size()) +
           (spec_.guard ? 1 : 0);
  }

  void SetUp(Explorer& explorer) override {
    explorer_ = &explorer;
    over_ = false;
    uint64_t counts = 0;
    uint64_t bits = 0;
    for (int i = 0; i < workers_count_; ++i) {
      workers_[i].emplace();
      Worker& w = *workers_[i];
      w.number = i;
      counts += kActive;
      const char state = spec_.workers[i];
      w.state.word()->store(state == 's'   ? kAsleep
                            : state == 'd' ? kDetached
                                           : kRunning);
      if (state == 's' || state == 'd') {
        counts += kIdle;
        bits |= uint64_t{1} << i;
      }
    }
    uint64_t spares = 0;
    for (int t = 0; t < threads_count_; ++t) {
      threads_[t].emplace();
      threads_[t]->number = t;
      threads_[t]->wake.word()->store(kSleeps);
      if (t < workers_count_ && spec_.workers[t] != 'd') {
        threads_[t]->worker = &*workers_[t];
        workers_[t]->thread = &*threads_[t];
        if (spec_.workers[t] != 's') workers_[t]->runner = t;
      } else {
        spares |= uint64_t{1} << t;
      }
    }
    counts_.word()->store(counts);
    idle_.word()->store(bits);
    spares_.word()->store(spares);
    next_home_.word()->store(0);
    guard_.word()->store(kRests);
    clock_.word()->store(0);
    for (std::size_t i = 0; i < spec_.goroutines.size(); ++i) {
      goroutines_[i].emplace();
      goroutines_[i]->number = static_cast<int>(i);
    }
  }

  void Run(Explorer&, int p) override {
    if (spec_.guard && p == parties() - 1) {
      RunGuard();
      return;
    }
    if (p >= threads_count_) {
      RunSender(spec_.senders[p - threads_count_]);
      return;
    }
    Thread& self = *threads_[p];
    Goroutine* first = nullptr;
    bool searching = false;
    if (p >= workers_count_ || spec_.workers[p] == 'd') {
      AwaitWork(self);
      searching = true;
    } else if (spec_.workers[p] == 's') {
      SleepOn(*self.worker, /*watching=*/false,
              /*look=*/spec_.workers.find('r') != std::string::npos);
      searching = true;
    } else if (spec_.workers[p] == 'r') {
      first = &*goroutines_[0];
      first->started = true;
    }
    Loop(self, searching, first);
  }

  void AtRest(Explorer& explorer, bool complete) override {
    if (complete) {
      if (spec_.prompt) CheckNothingIsLeft(explorer);
      if (explorer.failed()) return;
      // The watcher's clock goes on.
      for (int i = 0; i < 4; ++i) {
        explorer.Observe([this] { clock_.fetch_add(1, kSeqCst); });
        explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
      }
      if (explorer.failed()) return;
      CheckAtRest(explorer);
      if (explorer.failed()) return;
    }
    over_ = true;
    for (int i = 0; i < 3; ++i) {
      explorer.Observe([this] {
        clock_.fetch_add(1, kSeqCst);
        guard_.store(kLooks, kSeqCst);
        for (int t = 0; t < threads_count_; ++t) {
          threads_[t]->wake.store(kWorks, kSeqCst);
        }
      });
      explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
    }
  }

  std::string Describe() override {
    const uint64_t counts = counts_.word()->load();
    std::string out =
        absl::StrCat("idle ", Idle(counts), " searching ", Searching(counts),
                     (counts & kWatcher) != 0 ? " watcher" : "");
    for (int i = 0; i < workers_count_; ++i) {
      static constexpr const char* kNames[] = {"detached", "asleep", "running"};
      absl::StrAppend(&out, "; w", i, " ",
                      kNames[workers_[i]->state.word()->load()]);
    }
    return out;
  }

  std::string NameOf(const void* address) override {
    if (address == &counts_) return "counts";
    if (address == &idle_) return "idle";
    if (address == &spares_) return "spares";
    if (address == &clock_) return "clock";
    if (address == &guard_) return "guard";
    for (int t = 0; t < threads_count_; ++t) {
      if (address == &threads_[t]->wake) return absl::StrCat("wake", t);
    }
    for (int i = 0; i < workers_count_; ++i) {
      if (address == &workers_[i]->state) return absl::StrCat("state", i);
      if (address == &workers_[i]->lent) return absl::StrCat("lent", i);
      const auto offset = reinterpret_cast<uintptr_t>(address) -
                          reinterpret_cast<uintptr_t>(&workers_[i]->queue);
      if (offset < sizeof(workers_[i]->queue)) {
        return absl::StrCat("q", i, "+", offset);
      }
    }
    return "";
  }

 private:
  // As in scheduler.cc. Worker::state: nobody retires here.
  static constexpr uint32_t kDetached = 0;
  static constexpr uint32_t kAsleep = 1;
  static constexpr uint32_t kRunning = 2;
  static constexpr uint32_t kSleeps = 0;
  static constexpr uint32_t kWorks = 1;
  static constexpr uint32_t kRests = 0;
  static constexpr uint32_t kLooks = 1;
  static constexpr uint64_t kIdle = WorkerCounts::kIdle;
  static constexpr uint64_t kIdleMask = WorkerCounts::kIdleMask;
  static constexpr uint64_t kSearching = WorkerCounts::kSearching;
  static constexpr uint64_t kSearchingMask = WorkerCounts::kSearchingMask;
  static constexpr uint64_t kActive = WorkerCounts::kActive;
  static constexpr uint64_t kWatcher = WorkerCounts::kWatcher;
  static constexpr uint64_t kEpoch = WorkerCounts::kEpoch;

  static int Idle(uint64_t counts) { return WorkerCounts::Idle(counts); }
  static int Searching(uint64_t counts) {
    return WorkerCounts::Searching(counts);
  }
  static int Active(uint64_t counts) { return WorkerCounts::Active(counts); }

  enum class Left { kEnded, kForever, kNoWorker };

  bool Is(Mutant mutant) const { return spec_.mutant == mutant; }

  void RunsNow(Worker& w, Thread& self) {
    if (w.runner != -1 && !over_) {
      explorer_->Fail("two threads run one worker");
    }
    w.runner = self.number;
  }

  // --- Worker::Ready, PushBack, Pick

  void Ready(Worker& w, Goroutine* g) {
    Goroutine* const displaced = w.queue.PushNext(g);
    if (displaced != nullptr) {
      PushBack(w, displaced);
      return;
    }
    const uint64_t counts = counts_.load(std::memory_order_relaxed);
    if (WorkerCounts::NeedsWatcher(counts)) NotifyOne();
  }

  void PushBack(Worker& w, Goroutine* g) {
    uint64_t counts = counts_.load(std::memory_order_relaxed);
    if (!w.queue.Push(g, WorkerCounts::MayHide(counts, spec_.quiet))) return;
    counts = counts_.load(kSeqCst);
    if ((counts & kIdleMask) != 0 && (counts & kSearchingMask) == 0 &&
        !Is(Mutant::kNoNoticeOfPush)) {
      NotifyOne();
    }
  }

  Goroutine* Pick(Worker& w) {
    w.ticks.store(w.ticks.load(std::memory_order_relaxed) + 1,
                  std::memory_order_relaxed);
    Goroutine* const g = w.queue.TakeNext();
    return g != nullptr ? g : w.queue.Take();
  }

  // --- waking workers

  uint32_t Claim(Worker& w, bool search, bool asleep = true) {
    uint32_t state = w.state.load(std::memory_order_relaxed);
    do {
      if (state != kDetached && (!asleep || state != kAsleep)) return kRunning;
    } while (!w.state.compare_exchange(state, kRunning, kSeqCst));
    idle_.fetch_and(~(uint64_t{1} << w.number), kSeqCst);
    counts_.fetch_add(kEpoch - kIdle + (search ? kSearching : 0), kSeqCst);
    return state;
  }

  bool GoIdle(Worker& w, uint32_t state, bool searching, bool may_watch) {
    if (Is(Mutant::kStateBeforeCount)) {
      w.runner = -1;
      w.state.store(state, kSeqCst);
    }
    uint64_t now = counts_.load(std::memory_order_relaxed);
    uint64_t next;
    bool watching;
    do {
      next = now + kIdle - (searching ? kSearching : 0);
      watching =
          may_watch && (next & kWatcher) == 0 && Idle(next) < Active(next);
      if (watching) next |= kWatcher;
    } while (!counts_.compare_exchange(now, next, kSeqCst));
    idle_.fetch_or(uint64_t{1} << w.number, kSeqCst);
    if (Is(Mutant::kStateBeforeCount)) return watching;
    w.runner = -1;  // before the step: who claims it comes after
    w.state.store(state, kSeqCst);
    return watching;
  }

  void Wake(Worker& w, uint32_t was) {
    if (was == kAsleep) {
      w.thread->wake.store(kWorks, kSeqCst);
    } else {
      GiveThread(w);
    }
  }

  void NotifyOne() {
    for (int pass = 0; pass < 2; ++pass) {
      uint64_t bits = idle_.load(kSeqCst);
      while (bits != 0) {
        Worker& w = *workers_[__builtin_ctzll(bits)];
        bits &= bits - 1;
        const uint32_t was = w.state.load(std::memory_order_relaxed);
        if (pass == 0 && was != kAsleep) continue;
        const uint32_t claimed = Claim(w, /*search=*/true);
        if (claimed != kRunning) {
          Wake(w, claimed);
          return;
        }
      }
    }
  }

  void Send(Worker& w, Goroutine* g) {
    uint32_t state = kRunning;
    if (Is(Mutant::kLoadBeforePush)) {
      state = w.state.load(kSeqCst);
      const uint64_t now = counts_.load(kSeqCst);
      w.queue.Send(g);
      if (state == kRunning && Idle(now) == 0) return;
    } else {
      w.queue.Send(g);
      state = w.state.load(kSeqCst);
    }
    if (state != kRunning) {
      const uint32_t claimed = Claim(w, /*search=*/true);
      if (claimed != kRunning) {
        Wake(w, claimed);
        return;
      }
    }
    const uint64_t now = counts_.load(kSeqCst);
    if (Idle(now) != 0 && Searching(now) == 0) NotifyOne();
  }

  void SendAnywhere(Goroutine* g) {
    const uint64_t n = next_home_.fetch_add(1, std::memory_order_relaxed);
    Send(*workers_[n % static_cast<unsigned>(workers_count_)], g);
  }

  // --- threads

  void GiveThread(Worker& w) {
    uint64_t spares = spares_.load(kSeqCst);
    do {
      if (spares == 0) {
        if (over_) return;
        explorer_->Fail("this world needs one more thread");
      }
    } while (!spares_.compare_exchange(spares, spares & (spares - 1), kSeqCst));
    Thread& thread = *threads_[__builtin_ctzll(spares)];
    thread.worker = &w;
    thread.wake.store(kWorks, kSeqCst);
  }

  // A futex has no time-out here: nothing but a wake-up ends it.
  void AwaitWork(Thread& self) {
    while (self.wake.load(kSeqCst) == kSleeps) {
      Step(StepKind::kSpin, &self.wake);
    }
  }

  void BecomeSpare(Thread& self) {
    self.wake.store(kSleeps, std::memory_order_relaxed);
    spares_.fetch_or(uint64_t{1} << self.number, kSeqCst);
    AwaitWork(self);
  }

  void Loop(Thread& self, bool searching, Goroutine* first) {
    for (;;) {
      if (over_) return;
      if (self.worker == nullptr) {
        BecomeSpare(self);
        if (over_) return;
        searching = true;
      }
      Worker& w = *self.worker;
      if (first == nullptr && w.runner != self.number) {
        RunsNow(w, self);
      }
      w.thread = &self;
      Goroutine* g = first != nullptr ? first : Find(w, searching);
      first = nullptr;
      searching = false;
      while (g != nullptr) {
        const Left left = RunGoroutine(self, *g);
        if (left == Left::kForever) return;
        if (left == Left::kNoWorker) break;
        g = Pick(*self.worker);
      }
    }
  }

  // --- looking for work

  Goroutine* Find(Worker& w, bool searching) {
    w.queue.DrainInbox();
    Goroutine* g = w.queue.TakeNext();
    if (g == nullptr) g = w.queue.Take();
    if (g == nullptr) return Search(w, searching);
    if (searching) EndSearch(w);
    return g;
  }

  Goroutine* StealFor(Worker& w, bool all) {
    for (int i = 1; i < workers_count_; ++i) {
      Worker& victim = *workers_[(w.number + i) % workers_count_];
      Goroutine* g = victim.queue.StealHalf(w.queue);
      if (g == nullptr && all) g = victim.queue.StealInbox(w.queue);
      if (g != nullptr) return g;
    }
    return nullptr;
  }

  void EndSearch(Worker& w) {
    const uint64_t before = counts_.fetch_sub(kSearching, kSeqCst);
    if (Is(Mutant::kNoEndSearchNotice)) return;
    if (Searching(before) == 1 && Idle(before) != 0 &&
        ((before & kWatcher) == 0 || !w.queue.RingLooksEmpty())) {
      NotifyOne();
    }
  }

  // The rounds are fewer than in the original.
  Goroutine* Search(Worker& w, bool searching) {
    for (;;) {
      const uint64_t now = counts_.load(std::memory_order_relaxed);
      if (!searching && workers_count_ > 1 &&
          2 * Searching(now) < Active(now) - Idle(now)) {
        counts_.fetch_add(kSearching, kSeqCst);
        searching = true;
      }
      if (searching) {
        Goroutine* g = StealFor(w, /*all=*/true);
        if (g == nullptr && w.queue.DrainInbox()) g = w.queue.Take();
        if (g != nullptr) {
          EndSearch(w);
          return g;
        }
      }
      Sleep(w, searching);
      if (over_) return nullptr;
      searching = true;
      w.queue.DrainInbox();
      Goroutine* g = w.queue.TakeNext();
      if (g == nullptr) g = w.queue.Take();
      if (g != nullptr) {
        EndSearch(w);
        return g;
      }
    }
  }

  bool AnyWork(Worker& w) {
    if (!w.queue.Empty()) return true;
    for (int i = 0; i < workers_count_; ++i) {
      Worker& other = *workers_[i];
      if (&other != &w &&
          (!other.queue.RingLooksEmpty() || !other.queue.InboxLooksEmpty())) {
        return true;
      }
    }
    return false;
  }

  void Sleep(Worker& w, bool searching) {
    w.thread->wake.store(kSleeps, std::memory_order_relaxed);
    const bool early = Is(Mutant::kLookBeforeCount) && AnyWork(w);
    const bool watching = GoIdle(w, kAsleep, searching, /*may_watch=*/true);
    if (early && Claim(w, /*search=*/true) != kRunning) {
      if (watching) counts_.fetch_and(~kWatcher, kSeqCst);
      RunsNow(w, *w.thread);
      return;
    }
    SleepOn(w, watching, /*look=*/!Is(Mutant::kLookBeforeCount));
  }

  // From where the worker is kAsleep. Without `look` it has looked already, for
  // the first time.
  void SleepOn(Worker& w, bool watching, bool look) {
    Thread& self = *w.thread;
    while (!over_) {
      bool wanted = look && AnyWork(w);
      look = true;
      if (!wanted) {
        const uint64_t found = counts_.load(kSeqCst);
        const bool others_run = Idle(found) < Active(found);
        if (others_run && !watching && (found & kWatcher) == 0) {
          watching = (counts_.fetch_or(kWatcher, kSeqCst) & kWatcher) == 0;
        } else if (!others_run && watching) {
          counts_.fetch_and(~kWatcher, kSeqCst);
          watching = false;
          if (!Is(Mutant::kWatcherGoesBlindly)) continue;
        }
        if (watching) wanted = Watch(w);
      }
      if (wanted) {
        if (Is(Mutant::kNoSelfClaim)) {
          w.state.store(kRunning, kSeqCst);
          idle_.fetch_and(~(uint64_t{1} << w.number), kSeqCst);
          counts_.fetch_add(kEpoch - kIdle + kSearching, kSeqCst);
          break;
        }
        if (Claim(w, /*search=*/true) != kRunning) break;
      }
      if (watching && !wanted) {
        // By the clock: after anybody else's step it may be time.
        do {
          if (self.wake.load(kSeqCst) != kSleeps) break;
          Step(StepKind::kSpin, nullptr);
        } while (spec_.prompt && clock_.load(kSeqCst) == 0);
      } else {
        AwaitWork(self);
      }
      if (self.wake.load(kSeqCst) != kSleeps) break;
    }
    if (watching) counts_.fetch_and(~kWatcher, kSeqCst);
    RunsNow(w, self);
  }

  bool Watch(Worker& w) {
    for (int i = 0; i < workers_count_; ++i) {
      Worker& other = *workers_[i];
      if (&other == &w) continue;
      const uint32_t state = other.state.load(std::memory_order_relaxed);
      if (state == kAsleep) continue;
      const uint32_t ticks = other.ticks.load(std::memory_order_relaxed);
      const bool full = other.queue.PrivateLooksFull();
      if (full && other.watched_full && ticks == other.watched_ticks) {
        other.watched_full = false;
        if (Goroutine* const g = other.queue.StealPrivate(w.queue)) {
          if (Goroutine* const next = w.queue.PushNext(g)) PushBack(w, next);
          return true;
        }
      }
      other.watched_full = full;
      other.watched_ticks = ticks;
    }
    return false;
  }

  // --- around a blocking call

  void LetGo(Worker& w) {
    const bool busy = !w.queue.Empty();
    (void)GoIdle(w, kDetached, /*searching=*/false, /*may_watch=*/false);
    const uint64_t now = counts_.load(kSeqCst);
    if (busy || (!Is(Mutant::kNoLookAtInbox) && !w.queue.InboxLooksEmpty()) ||
        (Idle(now) == 1 && Searching(now) == 0 && OthersAreBusy(w))) {
      const uint32_t was = Claim(w, /*search=*/true);
      if (was != kRunning) Wake(w, was);
    }
  }

  bool OthersAreBusy(const Worker& w) {
    for (int i = 0; i < workers_count_; ++i) {
      if (&*workers_[i] != &w && !workers_[i]->queue.Empty()) return true;
    }
    return false;
  }

  void Lend(Worker& w, Thread& self) {
    w.runner = -1;  // before the step, as in GoIdle()
    w.lent.store(static_cast<uint32_t>(self.number) + 1, kSeqCst);
    if (Is(Mutant::kNoLookAtGuard)) return;
    if (guard_.load(kSeqCst) == kRests) guard_.exchange(kLooks, kSeqCst);
  }

  bool TakeBack(Worker& w, Thread& self) {
    uint32_t borrower = static_cast<uint32_t>(self.number) + 1;
    if (Is(Mutant::kTakeBackByStore)) {
      if (w.lent.load(kSeqCst) != borrower) return false;
      w.lent.store(0, kSeqCst);
    } else if (!w.lent.compare_exchange(borrower, 0, kSeqCst)) {
      return false;
    }
    RunsNow(w, self);
    self.worker = &w;
    return true;
  }

  // Never patient: it lets go whom it finds in a call. As it looks again and
  // again, it is one who looks once for each step of somebody else's.
  void RunGuard() {
    bool looks = false;
    while (!over_) {
      bool calls = false;
      for (int i = 0; i < workers_count_; ++i) {
        Worker& w = *workers_[i];
        uint32_t borrower = w.lent.load(kSeqCst);
        if (borrower == 0) continue;
        calls = true;
        if (w.lent.compare_exchange(borrower, 0, kSeqCst)) LetGo(w);
      }
      if (!calls && looks) {
        looks = false;
        guard_.store(kRests, kSeqCst);
        if (!Is(Mutant::kGuardRestsBlindly)) continue;  // one more look
      }
      if (calls) continue;
      while (guard_.load(kSeqCst) == kRests) {
        Step(StepKind::kSpin, &guard_);
        if (over_) return;
      }
      looks = true;
    }
  }

  // False: the goroutine is in a queue, and the thread has no worker.
  bool Attach(Thread& self, Worker& own, Goroutine& g) {
    Worker* w = &own;
    uint32_t was;
    if (Is(Mutant::kAttachWithoutClaim)) {
      was = w->state.load(kSeqCst);
      if (was == kAsleep) was = kRunning;
      if (was == kDetached) {
        w->state.store(kRunning, kSeqCst);
        idle_.fetch_and(~(uint64_t{1} << w->number), kSeqCst);
        counts_.fetch_add(kEpoch - kIdle, kSeqCst);
      }
    } else {
      was = Claim(*w, /*search=*/false, /*asleep=*/false);
    }
    if (was == kRunning) {
      const uint64_t now = counts_.load(std::memory_order_relaxed);
      const uint64_t bits = Idle(now) == 0 ? 0 : idle_.load(kSeqCst);
      if (bits != 0) {
        w = &*workers_[__builtin_ctzll(bits)];
        was = Claim(*w, /*search=*/false, /*asleep=*/false);
      }
    }
    if (was == kRunning) {
      g.runs = false;
      SendAnywhere(&g);
      return false;
    }
    RunsNow(*w, self);
    w->thread = &self;
    self.worker = w;
    const uint64_t now = counts_.load(std::memory_order_relaxed);
    if (Idle(now) != 0 && (now & (kWatcher | kSearchingMask)) == 0) {
      NotifyOne();
    }
    return true;
  }

  // --- programs

  Goroutine* Start(char number) {
    Goroutine& g = *goroutines_[number - '0'];
    g.started = true;
    return &g;
  }

  Left RunGoroutine(Thread& self, Goroutine& g) {
    if (g.runs || g.ended) explorer_->Fail("a goroutine runs twice");
    explorer_->Observed(static_cast<uint64_t>(g.number) + 1);
    g.runs = true;
    const std::string& program = spec_.goroutines[g.number];
    while (g.at < program.size()) {
      const char letter = program[g.at++];
      switch (letter) {
        case 'b':
          PushBack(*self.worker, Start(program[g.at++]));
          break;
        case 'n':
          Ready(*self.worker, Start(program[g.at++]));
          break;
        case 'c':
          g.ended = true;
          return Left::kForever;
        case 'B':
        case 'N':
        case 'L':
        case 'M': {
          Worker& own = *self.worker;
          self.worker = nullptr;
          const bool lend = letter == 'L' || letter == 'M';
          if (lend) {
            Lend(own, self);
          } else {
            LetGo(own);
          }
          if (letter == 'N' || letter == 'M') {
            g.blocked = true;
            return Left::kForever;
          }
          if (lend && TakeBack(own, self)) break;
          if (!Attach(self, own, g)) return Left::kNoWorker;
          break;
        }
      }
    }
    g.runs = false;
    g.ended = true;
    return Left::kEnded;
  }

  void RunSender(const std::string& program) {
    for (std::size_t i = 0; i + 2 < program.size(); i += 3) {
      explorer_->BeginOperation(program.substr(i, 3));
      Send(*workers_[program[i + 1] - '0'], Start(program[i + 2]));
    }
  }

  // Somebody may compute on each worker; else one of them should have run it.
  void CheckNothingIsLeft(Explorer& explorer) {
    bool free = idle_.word()->load() != 0;
    for (int i = 0; i < workers_count_; ++i) {
      free |= workers_[i]->lent.word()->load() != 0;
    }
    if (!free) return;
    for (std::size_t i = 0; i < spec_.goroutines.size(); ++i) {
      const Goroutine& g = *goroutines_[i];
      if (g.started && !g.ended && !g.blocked) {
        return explorer.Fail(absl::StrCat(
            "goroutine ", i, " is left behind, and a worker is idle or lent"));
      }
    }
  }

  // Whoever could go on has done so.
  void CheckAtRest(Explorer& explorer) {
    const uint64_t counts = counts_.word()->load();
    int idle = 0;
    uint64_t bits = 0;
    for (int i = 0; i < workers_count_; ++i) {
      if (workers_[i]->state.word()->load() != kRunning) {
        ++idle;
        bits |= uint64_t{1} << i;
      }
    }
    CheckNothingIsLeft(explorer);
    if (explorer.failed()) return;
    if (Idle(counts) != idle || idle_.word()->load() != bits) {
      return explorer.Fail("the idle workers are miscounted");
    }
    if (Searching(counts) != 0) {
      return explorer.Fail("somebody is counted as searching, and nobody is");
    }
    const bool watched = (counts & kWatcher) != 0;
    if (watched && idle == workers_count_) {
      return explorer.Fail("there is nobody to be watched");
    }
  }

  const MiniSpec spec_;
  int workers_count_ = 0;
  int threads_count_ = 0;
  Explorer* explorer_ = nullptr;
  bool over_ = false;  // only brought to their end

  Atomic<uint64_t> counts_;
  Atomic<uint64_t> idle_;
  Atomic<uint64_t> spares_;
  Atomic<uint64_t> next_home_;
  Atomic<uint64_t> clock_;
  Atomic<uint32_t> guard_;
  std::optional<Worker> workers_[3];
  std::optional<Thread> threads_[kMaxParties];
  std::optional<Goroutine> goroutines_[8];
};

// One that runs starts others and goes on to compute, or ends; a thread sends.
MiniSpec PushToASleeper() {
  return {"mini push | asleep", {"b1c", ""}, "rs", 0, {}, /*prompt=*/true};
}
MiniSpec PushAgainstSleep() { return {"mini push | sleep", {"b1c", ""}, "re"}; }
MiniSpec NextAgainstSleep() { return {"mini next | sleep", {"n1c", ""}, "re"}; }
MiniSpec SendAgainstSleep() {
  return {"mini send | sleep", {"c"}, "e", 0, {"s00"}};
}
MiniSpec SendAgainstTwoWhoSleep() {
  return {"mini send | sleep sleep", {"", ""}, "rs", 0, {"s01"}};
}
MiniSpec SendsAgainstSleepers() {
  return {"mini send send | asleep asleep", {"", ""}, "ss", 0, {"s00s11"}};
}
MiniSpec TwoSendersOneWorker() {
  return {"mini send | send | asleep", {"", ""}, "s", 0, {"s00", "s01"}};
}
// All are idle, the watcher sees it, and the other one is woken again: it
// believes that it is watched, starts something private, and computes.
MiniSpec WokenAsTheWatcherGoes() {
  return {"mini woken as the watcher goes", {"", "n2c", ""}, "rs", 0, {"s01"}};
}
// Two are woken. One of them starts something while the other one still counts
// as searching, and both compute. The third must run it.
MiniSpec LastSearcher() {
  return {"mini last searcher", {"b2c", "c", ""}, "sss", 0, {"s00s11"}};
}
// The call never returns; what was sent meanwhile must be run.
MiniSpec SendAgainstDetach() {
  return {"mini send | detach", {"N", ""}, "r", 1, {"s01"}};
}
MiniSpec DetachWithWork() {
  return {"mini push, detach", {"b1N", "", ""}, "r", 1, {"s02"}};
}
// It returns: its worker is taken back, or was given to another thread.
MiniSpec SendAgainstAttach() {
  return {"mini send | detach attach", {"B", ""}, "r", 1, {"s01"}};
}
MiniSpec AttachToAnother() {
  return {"mini attach to another", {"Bb2", "c", ""}, "rd", 2, {"s01"}};
}

// A call was expected to be brief, and never returns: what waits must be run.
MiniSpec LentForEver() {
  return {.name = "mini push, lent for ever",
          .goroutines = {"b1M", "", ""},
          .workers = "r",
          .spares = 1,
          .senders = {"s02"},
          .guard = true};
}
// It returns, and is taken back or was let go; then one that does not.
MiniSpec LentTwice() {
  return {.name = "mini push, lent twice",
          .goroutines = {"b1LM", ""},
          .workers = "r",
          .spares = 2,
          .guard = true};
}

MiniSpec With(Mutant mutant, MiniSpec spec) {
  spec.mutant = mutant;
  return spec;
}

void CheckMini(MiniSpec spec, const Effort& effort) {
  const std::string name = spec.name;
  MiniScheduler world(std::move(spec));
  CheckScenario(name, world, effort);
}

// The mutant is found within so many preemptions.
void ExpectCaught(MiniSpec spec, int preemptions = 2) {
  Explorer explorer;
  const std::string name = spec.name;
  MiniScheduler world(std::move(spec));
  const Outcome outcome =
      explorer.Search(world, {.preemptions = preemptions, .max_seconds = 10});
  EXPECT_FALSE(outcome.ok()) << name << ": " << outcome.Summary();
  EXPECT_EQ(outcome.error.find("needs one more thread"), std::string::npos)
      << outcome.Report();
}

const Effort kMini = {.preemptions = 2, .seconds = 1};

TEST(SchedulerModel, NothingIsLeftWhileAWorkerSleeps) {
  CheckMini(PushToASleeper(), kMini);
  CheckMini(PushAgainstSleep(), kMini);
  CheckMini(NextAgainstSleep(), kMini);
  CheckMini(SendAgainstSleep(), kMini);
  CheckMini(SendAgainstTwoWhoSleep(), kMini);
  CheckMini(SendsAgainstSleepers(), kMini);
  CheckMini(TwoSendersOneWorker(), kMini);
  CheckMini(WokenAsTheWatcherGoes(), kMini);
  CheckMini(LastSearcher(), kMini);
}

TEST(SchedulerModel, WhatAQuietOneHidesIsNotLeft) {
  for (MiniSpec spec :
       {PushAgainstSleep(), NextAgainstSleep(), SendsAgainstSleepers(),
        WokenAsTheWatcherGoes(), LastSearcher(), DetachWithWork(),
        MiniSpec{"mini pushes as the watcher goes",
                 {"", "b2b3c", "", ""},
                 "rs",
                 0,
                 {"s01"}}}) {
    spec.quiet = true;
    spec.name += ", quiet";
    CheckMini(spec, kMini);
  }
}

TEST(SchedulerModel, NothingIsLeftAroundABlockingCall) {
  CheckMini(SendAgainstDetach(), kMini);
  CheckMini(DetachWithWork(), kMini);
  CheckMini(SendAgainstAttach(), kMini);
  CheckMini(AttachToAnother(), kMini);
}

TEST(SchedulerModel, NothingIsLeftWithALentWorker) {
  CheckMini(LentForEver(), kMini);
  CheckMini(LentTwice(), kMini);
}

TEST(SchedulerModel, LargerWorldsAtRandom) {
  for (const MiniSpec& spec :
       {MiniSpec{"mini blocking at random",
                 {"b1n2Bb3", "B", "n4", "", "", "b6B", ""},
                 "re",
                 3,
                 {"s05"}},
        MiniSpec{.name = "mini lending at random",
                 .goroutines = {"b1LLM", "Lb2", ""},
                 .workers = "re",
                 .spares = 3,
                 .guard = true},
        MiniSpec{"mini sends at random",
                 {"b4c", "n5", "c", "b6n7", "", "", "", ""},
                 "sss",
                 0,
                 {"s00s11", "s12", "s23"}}}) {
    Explorer explorer;
    MiniScheduler world(spec);
    const Outcome outcome =
        explorer.Sample(world, {.schedules = Full() ? 1'000'000u : 20'000u,
                                .max_seconds = Full() ? 60.0 : 1.5});
    EXPECT_TRUE(outcome.ok()) << spec.name << ": " << outcome.Report();
  }
}

TEST(SchedulerModel, MutantsOfSleepingAreCaught) {
  ExpectCaught(With(Mutant::kLookBeforeCount, SendAgainstSleep()));
  ExpectCaught(With(Mutant::kNoEndSearchNotice, LastSearcher()));
  ExpectCaught(With(Mutant::kStateBeforeCount, SendAgainstSleep()));
  ExpectCaught(With(Mutant::kLoadBeforePush, SendAgainstSleep()));
  ExpectCaught(With(Mutant::kNoSelfClaim, TwoSendersOneWorker()));
  ExpectCaught(With(Mutant::kNoNoticeOfPush, PushToASleeper()));
  ExpectCaught(With(Mutant::kWatcherGoesBlindly, WokenAsTheWatcherGoes()));
}

TEST(SchedulerModel, MutantsOfBlockingAreCaught) {
  ExpectCaught(With(Mutant::kNoLookAtInbox, SendAgainstDetach()));
  ExpectCaught(With(Mutant::kLoadBeforePush, SendAgainstDetach()));
  ExpectCaught(With(Mutant::kAttachWithoutClaim, SendAgainstAttach()));
}

TEST(SchedulerModel, MutantsOfLendingAreCaught) {
  ExpectCaught(With(Mutant::kNoLookAtGuard, LentForEver()));
  ExpectCaught(With(Mutant::kGuardRestsBlindly, LentTwice()));
  ExpectCaught(With(Mutant::kTakeBackByStore, LentTwice()));
}

// -----------------------------------------------------------------------------
// Publication, and who resumes
// -----------------------------------------------------------------------------

class ResumerWorld;

struct Sleeper : runtime::Resumer {
  Sleeper* next_runnable = nullptr;
  ResumerWorld* world = nullptr;
};

// A goroutine (party 0) sleeps twice in the same slot. Its publisher puts the
// slot into a mailbox and writes to the record once more; worker 1 finds it
// there, wakes it into its own queue, and runs it unless worker 2 steals it.
// `next`: it is woken to run next, and stolen as the private part.
class ResumerWorld : public Scenario {
 public:
  ResumerWorld(bool next, bool await_left)
      : next_(next), await_left_(await_left) {}

  int parties() const override { return 3; }

  void SetUp(Explorer& explorer) override {
    explorer_ = &explorer;
    mine_.emplace();
    stolen_.emplace();
    slot_.emplace();
    goroutine_.emplace();
    goroutine_->resume = &Resume;
    goroutine_->world = this;
    mailbox_.word()->store(nullptr);
    record_.word()->store(0);
    runs_.word()->store(0);
    lent_ = false;
  }

  void Run(Explorer& explorer, int p) override {
    for (int round = 1; round <= kRounds; ++round) {
      if (p == 0) {
        SleepOnce(round);
      } else if (p == 1) {
        WakeOne();
      } else {
        explorer.BeginOperation("steals");
        Switch(next_ ? mine_->StealPrivate(*stolen_)
                     : mine_->StealHalf(*stolen_));
      }
    }
  }

  void AtRest(Explorer& explorer, bool complete) override {
    explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
    if (!complete || explorer.failed()) return;
    for (int p = 0; p < parties(); ++p) {
      if (explorer.ConditionOf(p) != Explorer::Condition::kEnded) {
        return explorer.Fail(absl::StrCat("p", p, " does not come back"));
      }
    }
    if (runs_.word()->load() != kRounds) {
      explorer.Fail("it was run too often");
    }
  }

 private:
  static constexpr int kRounds = 2;

  struct Args {
    ResumerWorld* world;
    int round;
  };

  void SleepOnce(int round) {
    slot_->ClearLeft();
    slot_->Prepare(&*goroutine_);
    lent_ = true;
    Args args{this, round};
    const uint32_t result =
        runtime::Sleep(*slot_, &Publish, &args,
                       {runtime::WaitReason::kChanReceive, nullptr, nullptr});
    args.world = nullptr;  // the frame is used for other things
    // It goes on when somebody runs it, not when it is woken.
    while (runs_.load(kSeqCst) < round) Step(StepKind::kSpin, &runs_);
    if (await_left_) slot_->AwaitLeft();
    lent_ = false;
    if (result != runtime::ParkSlot::kFirstResult) {
      explorer_->Fail("woken with another result");
    }
  }

  static void Publish(void* arg) {
    const Args args = *static_cast<Args*>(arg);
    ResumerWorld& world = *args.world;
    world.mailbox_.store(&*world.slot_, kSeqCst);
    // From here on the sleeper may run.
    world.record_.store(args.round, kSeqCst);
    if (!world.lent_) {
      world.explorer_->Fail("a publisher wrote to what was reused");
    }
    world.slot_->SetLeft();
  }

  static void Resume(runtime::Resumer* resumer) {
    Sleeper& sleeper = *static_cast<Sleeper*>(resumer);
    ResumerWorld& world = *sleeper.world;
    if (!world.next_) {
      (void)world.mine_->Push(&sleeper, /*hide=*/false);
    } else if (Sleeper* const displaced = world.mine_->PushNext(&sleeper)) {
      (void)world.mine_->Push(displaced, /*hide=*/false);
    }
  }

  void WakeOne() {
    explorer_->BeginOperation("wakes");
    runtime::ParkSlot* slot;
    while ((slot = mailbox_.exchange(nullptr, kSeqCst)) == nullptr) {
      Step(StepKind::kSpin, &mailbox_);
    }
    slot->Wake(runtime::ParkSlot::kFirstResult);
    Sleeper* sleeper = mine_->TakeNext();
    if (sleeper == nullptr) sleeper = mine_->Take();
    Switch(sleeper);
  }

  void Switch(Sleeper* sleeper) {
    explorer_->Observed(sleeper != nullptr);
    if (sleeper != nullptr) runs_.fetch_add(1, kSeqCst);
  }

  const bool next_;
  const bool await_left_;
  Explorer* explorer_ = nullptr;
  std::optional<runtime::RunQueue<Sleeper>> mine_;    // worker 1's
  std::optional<runtime::RunQueue<Sleeper>> stolen_;  // worker 2's
  std::optional<runtime::ParkSlot> slot_;
  std::optional<Sleeper> goroutine_;
  Atomic<runtime::ParkSlot*> mailbox_;
  Atomic<int> record_;
  Atomic<int> runs_;
  bool lent_ = false;  // to the publisher
};

TEST(SchedulerModel, RunElsewhereBeforeThePublisherHasLeft) {
  for (const bool next : {false, true}) {
    ResumerWorld world(next, /*await_left=*/true);
    CheckScenario(next ? "resumed next" : "resumed", world,
                  {.preemptions = 3, .seconds = 1});
    ResumerWorld mutant(next, /*await_left=*/false);
    Explorer explorer;
    const Outcome outcome = explorer.Search(mutant, {.preemptions = 2});
    EXPECT_FALSE(outcome.ok()) << outcome.Summary();
  }
}

}  // namespace
}  // namespace gochan::model

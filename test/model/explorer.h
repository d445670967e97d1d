// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Explorer: runs the shipping sources under every schedule of a small world.
//
// All parties of a world are fibers of one thread. The library is compiled with
// GOCHAN_INSTRUMENT, so it calls the explorer before each atomic operation;
// there the explorer decides who takes the next step. A schedule is replayed
// from its list of decisions, from scratch, so nothing of the library's state
// is ever saved.
//
//   class Mailbox : public Scenario { ... };
//   Explorer explorer;
//   Outcome outcome = explorer.Search(mailbox, {.preemptions = 2});
//   if (!outcome.ok()) puts(outcome.Report().c_str());
//
// Two ways to search:
//   Search   depth first through all schedules with at most so many preemptions
//            (switches away from a party that could go on), by increasing
//            bound, so that a failure is found with the fewest. Musuvathi &
//            Qadeer, "Iterative context bounding" (PLDI 2007).
//   Sample   random schedules: random walks, random priorities with a few
//            random changes (Burckhardt et al., PCT, ASPLOS 2010), and all in
//            turn with an equal number of steps each, which is where livelocks
//            are.
//
// Two schedules that order all conflicting steps alike lead to the same state,
// and Search goes on from each such state once. A state is named by a hash of
// its history: each step's hash covers the step before it in its party and the
// write that it saw or replaced. (As in CHESS; a step that left its word as it
// was counts as a read.) So a state is known without looking at memory. The
// memory pools are one step each (runtime::NoSteps) and are taken to be
// neutral: which unit an allocation got does not count.
//
// Sleeping. Sleep() parks the party's fiber, and the publication runs on a
// fiber of its own, the *publisher*, as it does for goroutines: the party may
// be found and woken while its publisher still runs. With `self_publish` the
// party publishes itself first, as OS threads do.
//
// Freezing. With `freezes` = 1 a schedule may stop one party or publisher for
// ever, before any step that writes. The scenario then says who may be stuck.

#ifndef GOCHAN_TEST_MODEL_EXPLORER_H_
#define GOCHAN_TEST_MODEL_EXPLORER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/instrument.h"
#include "runtime/park.h"
#include "test/model/fiber.h"
#include "test/model/state_set.h"

namespace gochan::model {

inline constexpr int kMaxParties = 6;

class Explorer;

// What is explored. One object serves many schedules; all it does must be
// determined by the decisions, so that a schedule can be replayed.
class Scenario {
 public:
  virtual ~Scenario() = default;

  // How many parties; constant.
  virtual int parties() const = 0;
  // Before each schedule, with no steps taken.
  virtual void SetUp(Explorer& explorer) = 0;
  // The body of party `p`, on its fiber.
  virtual void Run(Explorer& explorer, int p) = 0;
  // Everybody has ended, sleeps, or cannot go on. May run more with
  // Explorer::Observe() and Explorer::Continue(). Reports by Explorer::Fail().
  // Ends with nothing left asleep, so that no stack is left with live objects;
  // `complete` is false if the schedule was cut short and need not be checked.
  virtual void AtRest(Explorer& explorer, bool complete) = 0;
  // The state of the world for a trace, one line; no steps are taken.
  virtual std::string Describe() { return ""; }
  // A name for an address, or "".
  virtual std::string NameOf(const void*) { return ""; }
};

struct SearchOptions {
  int preemptions = 2;
  int freezes = 0;
  uint64_t max_schedules = 1'000'000;
  double max_seconds = 60;
  bool self_publish = false;
  bool merge_states = true;  // false: go on from equal states every time
};

struct SampleOptions {
  uint64_t seed = 1;
  uint64_t schedules = 1000;
  int freezes = 0;
  double max_seconds = 60;
  bool self_publish = false;
};

struct Outcome {
  std::string error;      // empty: none found
  std::string decisions;  // replays the failure
  std::string trace;      // of the failure
  uint64_t schedules = 0;
  uint64_t states = 0;   // that were told apart by their history
  int preemptions = 0;   // Search: the largest bound that was begun
  bool complete = true;  // Search: every schedule within the bound was tried
  bool ok() const { return error.empty(); }
  std::string Report() const;   // of a failure
  std::string Summary() const;  // one line of figures
};

class Explorer {
 public:
  Explorer();
  ~Explorer();
  Explorer(const Explorer&) = delete;
  Explorer& operator=(const Explorer&) = delete;

  Outcome Search(Scenario& scenario, const SearchOptions& options);
  Outcome Sample(Scenario& scenario, const SampleOptions& options);
  // Runs the one schedule of `decisions`, with a trace.
  Outcome Replay(Scenario& scenario, absl::string_view decisions);

  // --- for scenarios, on a party's fiber

  // A step of its own (an operation begins): others may go first. The first
  // atomic operation after it belongs to it.
  void BeginOperation(absl::string_view what);
  // A line of the trace.
  void Note(absl::string_view what);
  // One of 0..n-1, each explored.
  int Choose(int n);
  // What the calling party has learned in another way than by atomic steps. A
  // state's name covers it.
  void Observed(uint64_t fact);
  // What later observations may depend on, but no atomic step shows.
  void SetGlobalFact(uint64_t fact) { global_fact_ = fact; }
  // Ends the schedule with an error.
  void Fail(absl::string_view error);
  bool failed() const { return !error_.empty(); }

  // --- for scenarios, at rest

  enum class Condition {
    kIdle,      // a publisher that nobody needs
    kRunnable,  // could go on
    kSpinning,  // waits for a write to a word that nobody writes
    kAsleep,    // waits to be woken
    kFrozen,
    kEnded,
  };
  Condition ConditionOf(int party);
  Condition ConditionOfPublisher(int party);
  bool Woken(int party) const;  // is there a result for this sleeper?
  // What it spins on; publishers too.
  const void* SpinsOn(int fiber) const { return fibers_[fiber].address; }
  // Does it sleep, published, and was it unwoken when its publication ended?
  bool Parked(int party) const { return fibers_[party].parked; }
  // What each of its sleeps so far in this schedule has ended with.
  const std::vector<uint32_t>& SleepResults(int party) const {
    return fibers_[party].sleep_results;
  }
  // -1, or the party (publisher: kMaxParties + party) that is frozen.
  int frozen() const { return frozen_; }
  void Thaw();
  // Runs `body` as one more party, alone; false if it cannot end. If somebody
  // is frozen, it may have begun what others wait for: once nobody is, it is to
  // go on by FinishObserving(), which is false if it still cannot end.
  bool Observe(const std::function<void()>& body);
  bool FinishObserving();
  // Runs those fibers that are in the mask (bit p: party, bit kMaxParties + p:
  // publisher), without preemption, until none of them can go on. Deadlines
  // pass only if `deadlines`. With `one_operation`, until one of them begins
  // another operation.
  void Continue(uint32_t mask, bool deadlines, bool one_operation = false);
  // The same until `stop` is true before some step, which is not taken.
  void ContinueUntil(uint32_t mask, bool deadlines, std::function<bool()> stop);
  static constexpr uint32_t kEverybody = ~uint32_t{0};

  runtime::Party& PartyOf(int p) { return *fibers_[p].party; }

  // In Scenario::SetUp(): the parties are threads with marks of their own
  // (runtime/restartable.h). A publisher has that of its party, which goes on
  // with another if it is woken before that has ended.
  void GiveMarks();

 private:
  static constexpr int kFibers = 2 * kMaxParties + 1;
  static constexpr int kObserver = 2 * kMaxParties;
  static constexpr int kNobody = -1;

  enum class State : uint8_t { kIdle, kReady, kSpinning, kAsleep, kEnded };
  enum class Action : uint8_t { kRun, kDeadline, kFreeze, kChoose };
  enum class Mode : uint8_t { kSearch, kWalk, kPriorities, kTurns, kDrain };

  struct FiberState {
    explicit FiberState(std::size_t stack) : fiber(stack) {}
    Fiber fiber;
    std::unique_ptr<runtime::Party> party;
    State state = State::kIdle;
    // The step that is to come.
    runtime::StepKind kind = runtime::StepKind::kLoad;
    const void* address = nullptr;
    const char* pseudo = nullptr;  // what it is if it is no atomic operation
    bool merge_next = false;       // the next step belongs to the last one
    uint32_t spin_stamp = 0;       // writes to `address` when it began to spin
    uint64_t spin_writes = 0;      // all writes then
    // Asleep.
    runtime::ParkSlot* slot = nullptr;
    bool has_deadline = false;
    bool deadline_passed = false;
    bool parked = false;
    std::vector<uint32_t> sleep_results;
    // Publisher.
    runtime::Publish publish = nullptr;
    void* publish_arg = nullptr;
    uint64_t history = 0;  // the hash of its last step
    int priority = 0;
    uint8_t mark = 0;
  };

  struct Alternative {
    Action action;
    uint8_t fiber;  // kChoose: the choice
    friend bool operator==(const Alternative&, const Alternative&) = default;
  };

  struct Decision {
    uint16_t chosen;
    uint16_t count;
  };

  // What is known of a word.
  struct Word {
    const void* address = nullptr;
    uint32_t run = 0;
    uint32_t writes = 0;
    uint64_t last_write = 0;
  };

  // The hooks, and what they call.
  static void OnStep(runtime::StepKind kind, const void* address);
  static uint32_t OnSleep(runtime::ParkSlot& slot, runtime::Publish publish,
                          void* arg, runtime::MonotonicNanos deadline);
  static void FiberMain(void* arg);
  void Step(runtime::StepKind kind, const void* address);
  uint32_t SleepHere(runtime::ParkSlot& slot, runtime::Publish publish,
                     void* arg, bool has_deadline);
  void Reschedule();
  int PickNext();
  int PickDraining();
  int Decide(int count);
  int DecideRandomly(int count);
  int ChooseFrom(int count);
  void BeginStep(int f);
  void EndStep();
  bool CanContinue(int f) const;
  bool Enabled(int f);
  bool CanTimeOut(int f) const;
  void CollectAlternatives();
  bool SeenBefore();
  void SwitchTo(int f);
  uint8_t NextMark();
  void LeaveToMain();
  void RunFibers();
  [[noreturn]] void EndFiber();
  Word& WordAt(const void* address);
  void TraceLine(int f, const std::string& what);
  std::string NameOf(const void* address);

  // One schedule.
  void RunSchedule(Scenario& scenario);
  void Reset(Scenario& scenario);
  void Forget();
  bool Backtrack();
  void Diagnose(Scenario& scenario, Outcome& outcome);
  std::string Encode() const;
  bool Decode(absl::string_view decisions);

  std::deque<FiberState> fibers_;
  Fiber main_;
  runtime::Party main_party_{1};
  int current_ = kNobody;
  Scenario* scenario_ = nullptr;

  // The schedule.
  std::vector<Decision> decisions_;
  std::size_t position_ = 0;  // in decisions_
  std::size_t replay_ = 0;    // as many are given
  std::vector<Alternative> alternatives_;
  Mode mode_ = Mode::kSearch;
  int preemption_bound_ = 0;
  int preemptions_left_ = 0;
  int freeze_bound_ = 0;
  int freezes_left_ = 0;
  bool self_publish_ = false;
  int frozen_ = kNobody;
  int marks_ = 0;  // given in this schedule
  uint32_t mask_ = kEverybody;
  bool drain_deadlines_ = true;
  bool one_operation_ = false;
  std::function<bool()> stop_;
  bool pruned_ = false;
  bool use_states_ = false;
  bool in_schedule_ = false;
  uint64_t steps_ = 0;
  std::string error_;
  std::function<void()> observer_;

  // Random schedules.
  runtime::Random random_{1};
  std::vector<uint64_t> change_points_;
  int switch_odds_ = 2;
  uint64_t typical_steps_ = 100;
  int lowest_priority_ = 0;
  uint64_t turn_ = 1;        // steps
  uint64_t turn_began_ = 0;  // at that step

  // Histories.
  std::vector<Word> words_;
  uint32_t run_ = 0;
  uint64_t writes_ = 0;
  uint64_t global_fact_ = 0;
  int stepping_ = kNobody;  // whose step is under way
  uint64_t before_[2] = {0, 0};
  StateSet states_;

  // The trace.
  bool tracing_ = false;
  std::string trace_;
  std::string last_description_;
  int trace_lines_ = 0;
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_EXPLORER_H_

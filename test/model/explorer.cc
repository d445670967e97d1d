// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/explorer.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "runtime/restartable.h"
#include "runtime/sanitizers.h"

namespace gochan::model {

namespace {

using runtime::StepKind;

constexpr std::size_t kStackSize = GOCHAN_ASAN ? 512 * 1024 : 128 * 1024;

// A schedule of a small world takes some hundred steps. One that takes so many
// will not end.
constexpr uint64_t kMaxSteps = 20'000;

constexpr int kUnbounded = 1 << 20;  // preemptions of a random schedule

constinit thread_local Explorer* exploring = nullptr;

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t z =
      (a ^ (b + 0x9e3779b97f4a7c15 + (a << 6) + (a >> 2))) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 30)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

bool IsWrite(StepKind kind) {
  return kind == StepKind::kStore || kind == StepKind::kRmw ||
         kind == StepKind::kRmw16;
}

const char* NameOfKind(StepKind kind) {
  switch (kind) {
    case StepKind::kLoad:
      return "load";
    case StepKind::kStore:
      return "store";
    case StepKind::kRmw:
      return "rmw";
    case StepKind::kRmw16:
      return "rmw16";
    case StepKind::kLoad16:
      return "load16";
    case StepKind::kSpin:
      return "spin";
  }
  return "?";
}

// The aligned words around `address`. Also after the step, when the word may
// have been freed: it is still mapped, and whatever is found there will do.
#if defined(__GNUC__)
__attribute__((no_sanitize("address")))
#endif
void ReadWords(const void* address, bool two, uint64_t out[2]) {
  const auto* words = reinterpret_cast<const volatile uint64_t*>(
      reinterpret_cast<uintptr_t>(address) & ~uintptr_t{7});
  out[0] = words[0];
  out[1] = two ? words[1] : 0;
}

uint32_t ResultOf(const runtime::ParkSlot& slot) {
  runtime::NoSteps look;
  return slot.Result();
}

double Seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// -----------------------------------------------------------------------------
// Outcome
// -----------------------------------------------------------------------------

std::string Outcome::Summary() const {
  return absl::StrFormat("%d schedules, %d states, %d preemptions%s", schedules,
                         states, preemptions, complete ? "" : ", INCOMPLETE");
}

std::string Outcome::Report() const {
  return absl::StrCat("error: ", error, "\n  replay: ", decisions, "\n", trace);
}

// -----------------------------------------------------------------------------
// Fibers
// -----------------------------------------------------------------------------

Explorer::Explorer() : words_(1024) {
  for (int f = 0; f < kFibers; ++f) fibers_.emplace_back(kStackSize);
  Forget();
}

Explorer::~Explorer() = default;

// A schedule that failed leaves records enrolled and stacks half-way: nothing
// of it is used again.
void Explorer::Forget() {
  for (FiberState& fiber : fibers_) {
    // Reachable for ever, for what looks for leaks.
    static auto* const forgotten =
        new std::vector<std::unique_ptr<runtime::Party>>;
    if (fiber.party != nullptr) forgotten->push_back(std::move(fiber.party));
    fiber.party = std::make_unique<runtime::Party>(1);
  }
}

void Explorer::OnStep(StepKind kind, const void* address) {
  exploring->Step(kind, address);
}

uint32_t Explorer::OnSleep(runtime::ParkSlot& slot, runtime::Publish publish,
                           void* arg, runtime::MonotonicNanos deadline) {
  return exploring->SleepHere(slot, publish, arg, deadline != runtime::kNever);
}

void Explorer::FiberMain(void* arg) {
  Explorer& self = *static_cast<Explorer*>(arg);
  const int f = self.current_;
  FiberState& fiber = self.fibers_[f];
  if (f == kObserver) {
    self.observer_();
  } else if (f < kMaxParties) {
    self.scenario_->Run(self, f);
  } else {
    fiber.publish(fiber.publish_arg);
    self.EndStep();
    FiberState& sleeper = self.fibers_[f - kMaxParties];
    sleeper.parked =
        sleeper.state == State::kAsleep && !self.Woken(f - kMaxParties);
    fiber.state = State::kIdle;
    self.EndFiber();
  }
  self.EndStep();
  fiber.state = State::kEnded;
  self.EndFiber();
}

void Explorer::EndFiber() {
  const int next = PickNext();
  if (next != kNobody) SwitchTo(next);
  LeaveToMain();
  std::abort();
}

void Explorer::SwitchTo(int f) {
  Fiber& from = current_ == kNobody ? main_ : fibers_[current_].fiber;
  current_ = f;
  runtime::current_party = fibers_[f].party.get();
  runtime::SetCurrentMark(fibers_[f].mark);
  Fiber::Switch(from, fibers_[f].fiber);
}

void Explorer::GiveMarks() {
  for (int p = 0; p < kMaxParties; ++p) fibers_[p].mark = NextMark();
}

uint8_t Explorer::NextMark() {
  return marks_ < runtime::kMarks ? runtime::MarkNumber(marks_++) : 0;
}

void Explorer::LeaveToMain() {
  Fiber& from = fibers_[current_].fiber;
  current_ = kNobody;
  runtime::SetCurrentMark(0);
  Fiber::Switch(from, main_);
}

// From the thread's own stack: until nobody can go on.
void Explorer::RunFibers() {
  exploring = this;
  runtime::Party* const party = runtime::current_party;
  runtime::step_hook = &OnStep;
  runtime::sleep_hook = &OnSleep;
  steps_ = 0;
  if (const int next = PickNext(); next != kNobody) SwitchTo(next);
  runtime::step_hook = nullptr;
  runtime::sleep_hook = nullptr;
  runtime::current_party = party;
}

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

void Explorer::Step(StepKind kind, const void* address) {
  FiberState& self = fibers_[current_];
  EndStep();
  self.kind = kind;
  self.address = address;
  self.pseudo = nullptr;
  const bool merge = self.merge_next;
  self.merge_next = false;
  if (kind == StepKind::kSpin) {
    self.state = State::kSpinning;
    self.spin_stamp = address == nullptr ? 0 : WordAt(address).writes;
    self.spin_writes = writes_;
  } else {
    self.state = State::kReady;
    if (merge) {
      BeginStep(current_);
      return;
    }
  }
  Reschedule();
}

void Explorer::Reschedule() {
  const int next = PickNext();
  if (next == kNobody) {
    LeaveToMain();
  } else if (next != current_) {
    SwitchTo(next);
  }
}

void Explorer::BeginStep(int f) {
  FiberState& fiber = fibers_[f];
  if (fiber.state == State::kAsleep) {
    if (fiber.deadline_passed) {
      fiber.history = Mix(fiber.history, 0xdead);
    } else {
      // As if it had loaded the result. That is there to stay, so its next step
      // needs no decision.
      fiber.history = Mix(fiber.history, WordAt(fiber.slot).last_write);
      fiber.merge_next = true;
    }
    if (tracing_) TraceLine(f, fiber.deadline_passed ? "deadline" : "wakes up");
    fiber.state = State::kReady;
    return;
  }
  fiber.state = State::kReady;
  if (fiber.pseudo != nullptr) {
    fiber.history = Mix(fiber.history, 0x0b);
    return;
  }
  if (fiber.kind == StepKind::kSpin) {
    if (tracing_) TraceLine(f, absl::StrCat("spins ", NameOf(fiber.address)));
    return;
  }
  stepping_ = f;
  ReadWords(fiber.address, fiber.kind == StepKind::kRmw16, before_);
}

// The step has been taken; its party is on its way to the next one.
void Explorer::EndStep() {
  if (stepping_ == kNobody) return;
  const int f = stepping_;
  stepping_ = kNobody;
  FiberState& fiber = fibers_[f];
  uint64_t after[2];
  ReadWords(fiber.address, fiber.kind == StepKind::kRmw16, after);
  const bool wrote =
      IsWrite(fiber.kind) && (after[0] != before_[0] || after[1] != before_[1]);
  Word& word = WordAt(fiber.address);
  fiber.history = Mix(fiber.history, word.last_write);
  if (wrote) {
    ++writes_;
    ++word.writes;
    word.last_write = fiber.history;
  }
  if (!tracing_) return;
  std::string line =
      absl::StrFormat("%-6s %s", NameOfKind(fiber.kind), NameOf(fiber.address));
  if (wrote) {
    absl::StrAppendFormat(&line, ": %x -> %x", before_[0], after[0]);
    if (fiber.kind == StepKind::kRmw16) {
      absl::StrAppendFormat(&line, ", %x -> %x", before_[1], after[1]);
    }
  } else if (IsWrite(fiber.kind)) {
    absl::StrAppendFormat(&line, ": leaves %x", after[0]);
  } else {
    absl::StrAppendFormat(&line, ": %x", before_[0]);
  }
  TraceLine(f, line);
}

Explorer::Word& Explorer::WordAt(const void* address) {
  const std::size_t mask = words_.size() - 1;
  const auto key = reinterpret_cast<uintptr_t>(address);
  std::size_t i = (key >> 2) * 0x9e3779b97f4a7c15 >> 40 & mask;
  for (std::size_t probes = 0; probes <= mask; ++probes) {
    Word& word = words_[i];
    if (word.run != run_) {
      word = {address, run_, 0, 0};
      return word;
    }
    if (word.address == address) return word;
    i = (i + 1) & mask;
  }
  std::fprintf(stderr, "model: more words than a small world has\n");
  std::abort();
}

uint32_t Explorer::SleepHere(runtime::ParkSlot& slot, runtime::Publish publish,
                             void* arg, bool has_deadline) {
  const int p = current_;
  EndStep();
  if (p >= kMaxParties) {
    Fail(p == kObserver ? "what must not block went to sleep"
                        : "a publisher went to sleep");
  }
  FiberState& self = fibers_[p];
  self.slot = &slot;
  self.has_deadline = has_deadline;
  self.deadline_passed = false;
  self.parked = false;
  if (publish != nullptr && self_publish_) {
    publish(arg);
    EndStep();
    self.merge_next = false;
  } else if (publish != nullptr) {
    const int q = p + kMaxParties;
    FiberState& publisher = fibers_[q];
    if (publisher.state != State::kIdle) {
      Fail("a party sleeps again while its publisher still runs");
    }
    publisher.state = State::kReady;
    publisher.pseudo = "publishes";
    publisher.merge_next = true;
    publisher.publish = publish;
    publisher.publish_arg = arg;
    publisher.history = Mix(self.history, 0x9b);
    publisher.mark = self.mark;
    publisher.fiber.Start(&FiberMain, this);
  }
  self.state = State::kAsleep;
  self.parked = (publish == nullptr || self_publish_) && !Woken(p);
  Reschedule();
  if (self.mark != 0 && fibers_[p + kMaxParties].state != State::kIdle) {
    self.mark = NextMark();  // it goes on elsewhere
    runtime::SetCurrentMark(self.mark);
  }
  self.parked = false;
  const uint32_t result =
      Woken(p) ? ResultOf(slot) : runtime::ParkSlot::kPending;
  self.sleep_results.push_back(result);
  return result;
}

// -----------------------------------------------------------------------------
// Who goes on
// -----------------------------------------------------------------------------

bool Explorer::Woken(int party) const {
  return ResultOf(*fibers_[party].slot) >= runtime::ParkSlot::kFirstResult;
}

bool Explorer::CanContinue(int f) const {
  return f != kNobody && f != frozen_ && fibers_[f].state == State::kReady;
}

bool Explorer::Enabled(int f) {
  if (f == frozen_ || (mask_ >> f & 1) == 0) return false;
  const FiberState& fiber = fibers_[f];
  switch (fiber.state) {
    case State::kReady:
      return true;
    case State::kAsleep:
      return Woken(f);
    case State::kSpinning:
      return fiber.address == nullptr
                 ? writes_ != fiber.spin_writes
                 : WordAt(fiber.address).writes != fiber.spin_stamp;
    case State::kIdle:
    case State::kEnded:
      return false;
  }
  return false;
}

bool Explorer::CanTimeOut(int f) const {
  const FiberState& fiber = fibers_[f];
  // A thread's deadline passes only once it has published itself; a
  // goroutine's timer may fire earlier, but claims like a partner.
  return f < kMaxParties && f != frozen_ && (mask_ >> f & 1) != 0 &&
         fiber.state == State::kAsleep && fiber.has_deadline && !Woken(f) &&
         fibers_[f + kMaxParties].state == State::kIdle;
}

void Explorer::CollectAlternatives() {
  alternatives_.clear();
  const bool can_continue = CanContinue(current_);
  if (can_continue) {
    alternatives_.push_back({Action::kRun, static_cast<uint8_t>(current_)});
  }
  if (!can_continue || preemptions_left_ > 0) {
    for (int f = 0; f < kFibers; ++f) {
      if (f != current_ || !can_continue) {
        if (Enabled(f)) {
          alternatives_.push_back({Action::kRun, static_cast<uint8_t>(f)});
        } else if (CanTimeOut(f)) {
          alternatives_.push_back({Action::kDeadline, static_cast<uint8_t>(f)});
        }
      }
    }
  }
  if (alternatives_.empty()) {
    // A spinner may have been told the wrong address.
    for (int f = 0; f < kFibers; ++f) {
      if (fibers_[f].state == State::kSpinning && f != frozen_ &&
          (mask_ >> f & 1) != 0 && writes_ != fibers_[f].spin_writes) {
        alternatives_.push_back({Action::kRun, static_cast<uint8_t>(f)});
      }
    }
  }
  // To be stopped before a read is to be stopped after the write before it.
  if (can_continue && freezes_left_ > 0 &&
      fibers_[current_].pseudo == nullptr && IsWrite(fibers_[current_].kind)) {
    alternatives_.push_back({Action::kFreeze, static_cast<uint8_t>(current_)});
  }
}

int Explorer::PickNext() {
  for (;;) {
    if (!error_.empty()) return kNobody;
    if (++steps_ > kMaxSteps) {
      error_ = "no end in sight: livelock";
      return kNobody;
    }
    if (mode_ == Mode::kDrain) {
      if (stop_ != nullptr) {
        runtime::NoSteps look;
        if (stop_()) return kNobody;
      }
      return PickDraining();
    }
    CollectAlternatives();
    if (alternatives_.empty()) return kNobody;
    const int i = alternatives_.size() == 1
                      ? 0
                      : Decide(static_cast<int>(alternatives_.size()));
    if (pruned_ || !error_.empty()) return kNobody;
    const Alternative chosen = alternatives_[i];
    const int f = chosen.fiber;
    if (chosen.action == Action::kFreeze) {
      --freezes_left_;
      frozen_ = f;
      if (tracing_) TraceLine(f, "is frozen");
      continue;
    }
    if (f != current_ && CanContinue(current_)) --preemptions_left_;
    fibers_[f].deadline_passed = chosen.action == Action::kDeadline;
    BeginStep(f);
    return f;
  }
}

int Explorer::PickDraining() {
  int next = kNobody;
  if (CanContinue(current_) && Enabled(current_)) {
    next = current_;
  } else {
    for (int f = kFibers - 1; f >= 0 && next == kNobody; --f) {
      if (Enabled(f)) next = f;
    }
    for (int f = 0; f < kFibers && next == kNobody; ++f) {
      if (fibers_[f].state == State::kSpinning && f != frozen_ &&
          (mask_ >> f & 1) != 0 && writes_ != fibers_[f].spin_writes) {
        next = f;
      }
    }
    if (next != kNobody) {
      fibers_[next].deadline_passed = false;
    } else if (drain_deadlines_) {
      for (int f = 0; f < kFibers && next == kNobody; ++f) {
        if (CanTimeOut(f)) next = f;
      }
      if (next != kNobody) fibers_[next].deadline_passed = true;
    }
  }
  if (next != kNobody) BeginStep(next);
  return next;
}

// -----------------------------------------------------------------------------
// Decisions
// -----------------------------------------------------------------------------

int Explorer::Decide(int count) {
  if (position_ >= replay_ && use_states_ && SeenBefore()) {
    pruned_ = true;
    return 0;
  }
  return ChooseFrom(count);
}

int Explorer::ChooseFrom(int count) {
  if (position_ < replay_) {
    Decision& decision = decisions_[position_++];
    if (decision.count == 0) decision.count = static_cast<uint16_t>(count);
    if (decision.count != count || decision.chosen >= count) {
      error_ = "the replay went another way: something is not deterministic";
      return 0;
    }
    return decision.chosen;
  }
  const int chosen = mode_ == Mode::kSearch ? 0 : DecideRandomly(count);
  decisions_.push_back(
      {static_cast<uint16_t>(chosen), static_cast<uint16_t>(count)});
  ++position_;
  return chosen;
}

int Explorer::DecideRandomly(int count) {
  if (alternatives_.empty()) {  // Choose()
    return static_cast<int>(random_.Below(count));
  }
  // Deadlines and freezes are rare events.
  int runs = 0;
  for (int i = 0; i < count; ++i) {
    if (alternatives_[i].action == Action::kRun) {
      ++runs;
    } else if (random_.Below(
                   alternatives_[i].action == Action::kFreeze ? 64 : 16) == 0) {
      return i;
    }
  }
  if (runs == 0) return static_cast<int>(random_.Below(count));
  const bool can_continue = CanContinue(current_);
  if (mode_ == Mode::kWalk) {
    if (can_continue && random_.Below(switch_odds_) != 0) return 0;
    for (;;) {
      const int i = static_cast<int>(random_.Below(count));
      if (alternatives_[i].action == Action::kRun) return i;
    }
  }
  if (mode_ == Mode::kTurns) {
    if (can_continue && steps_ - turn_began_ < turn_) return 0;
    turn_began_ = steps_;
    // The next one, cyclically.
    int best = -1;
    const auto distance = [&](int i) {
      return (alternatives_[i].fiber - current_ - 1 + 2 * kFibers) % kFibers;
    };
    for (int i = 0; i < count; ++i) {
      if (alternatives_[i].action == Action::kRun &&
          (best < 0 || distance(i) < distance(best))) {
        best = i;
      }
    }
    return best;
  }
  if (can_continue && std::find(change_points_.begin(), change_points_.end(),
                                steps_) != change_points_.end()) {
    fibers_[current_].priority = --lowest_priority_;
  }
  int best = -1;
  for (int i = 0; i < count; ++i) {
    if (alternatives_[i].action == Action::kRun &&
        (best < 0 || fibers_[alternatives_[i].fiber].priority >
                         fibers_[alternatives_[best].fiber].priority)) {
      best = i;
    }
  }
  return best;
}

bool Explorer::SeenBefore() {
  uint64_t name = Mix(global_fact_, CanContinue(current_) ? current_ + 1 : 0);
  name = Mix(name, static_cast<uint64_t>(freezes_left_) << 8 | (frozen_ + 1));
  for (const FiberState& fiber : fibers_) {
    // Parked() may be asked, and no step shows it.
    name = Mix(name, (fiber.state == State::kIdle ? 1 : fiber.history) +
                         (fiber.parked ? 1 : 0));
  }
  return states_.Enter(name, std::min(preemptions_left_, 15));
}

bool Explorer::Backtrack() {
  while (!decisions_.empty() &&
         decisions_.back().chosen + 1 >= decisions_.back().count) {
    decisions_.pop_back();
  }
  if (decisions_.empty()) return false;
  ++decisions_.back().chosen;
  return true;
}

// "p<preemptions>f<freezes>[s]:" and the choices, a run of n zeros as "zn".
std::string Explorer::Encode() const {
  std::string out = absl::StrCat("p", preemption_bound_, "f", freeze_bound_,
                                 self_publish_ ? "s" : "", ":");
  std::size_t last = decisions_.size();
  while (last > 0 && decisions_[last - 1].chosen == 0) --last;
  for (std::size_t i = 0; i < last;) {
    std::size_t zeros = i;
    while (decisions_[zeros].chosen == 0) ++zeros;
    if (zeros > i) {
      absl::StrAppend(&out, "z", zeros - i, ".");
      i = zeros;
    }
    absl::StrAppend(&out, static_cast<int>(decisions_[i++].chosen), ".");
  }
  return out;
}

bool Explorer::Decode(absl::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return false;
  const std::string head(text.substr(0, colon));
  char self = ' ';
  if (std::sscanf(head.c_str(), "p%df%d%c", &preemption_bound_, &freeze_bound_,
                  &self) < 2) {
    return false;
  }
  self_publish_ = self == 's';
  decisions_.clear();
  for (absl::string_view token :
       absl::StrSplit(text.substr(colon + 1), '.', absl::SkipEmpty())) {
    const bool zeros = token[0] == 'z';
    int number;
    if (!absl::SimpleAtoi(token.substr(zeros ? 1 : 0), &number)) return false;
    for (int i = 0; i < (zeros ? number : 1); ++i) {
      decisions_.push_back(
          {static_cast<uint16_t>(zeros ? 0 : number), uint16_t{0}});
    }
  }
  return true;
}

// -----------------------------------------------------------------------------
// For scenarios
// -----------------------------------------------------------------------------

void Explorer::BeginOperation(absl::string_view what) {
  FiberState& self = fibers_[current_];
  EndStep();
  if (!self.merge_next) {
    self.pseudo = "begins";
    self.state = State::kReady;
    if (mode_ == Mode::kDrain && one_operation_) {
      LeaveToMain();
    } else {
      Reschedule();
    }
  }
  self.merge_next = true;
  if (tracing_) TraceLine(current_, absl::StrCat("BEGINS ", what));
}

void Explorer::Note(absl::string_view what) {
  if (!tracing_) return;
  EndStep();
  TraceLine(current_, std::string(what));
}

int Explorer::Choose(int n) {
  if (n == 1 || mode_ == Mode::kDrain) return 0;
  alternatives_.clear();
  const int chosen = ChooseFrom(n);
  Observed(chosen);
  return chosen;
}

void Explorer::Observed(uint64_t fact) {
  EndStep();
  fibers_[current_].history = Mix(fibers_[current_].history, fact);
}

void Explorer::Fail(absl::string_view error) {
  if (error_.empty()) error_ = std::string(error);
  // A party's stack is left where it is, for ever.
  if (current_ != kNobody) {
    LeaveToMain();
    std::abort();
  }
}

Explorer::Condition Explorer::ConditionOf(int party) {
  if (party == frozen_) return Condition::kFrozen;
  switch (fibers_[party].state) {
    case State::kIdle:
      return Condition::kIdle;
    case State::kReady:
      return Condition::kRunnable;
    case State::kSpinning:
      return Enabled(party) ? Condition::kRunnable : Condition::kSpinning;
    case State::kAsleep:
      return Woken(party) ? Condition::kRunnable : Condition::kAsleep;
    case State::kEnded:
      return Condition::kEnded;
  }
  return Condition::kIdle;
}

Explorer::Condition Explorer::ConditionOfPublisher(int party) {
  return ConditionOf(party + kMaxParties);
}

void Explorer::Thaw() { frozen_ = kNobody; }

void Explorer::Continue(uint32_t mask, bool deadlines, bool one_operation) {
  if (!error_.empty()) return;
  one_operation_ = one_operation;
  const Mode mode = mode_;
  mode_ = Mode::kDrain;
  mask_ = mask;
  drain_deadlines_ = deadlines;
  RunFibers();
  mode_ = mode;
  mask_ = kEverybody;
  one_operation_ = false;
}

void Explorer::ContinueUntil(uint32_t mask, bool deadlines,
                             std::function<bool()> stop) {
  stop_ = std::move(stop);
  Continue(mask, deadlines);
  stop_ = nullptr;
}

bool Explorer::Observe(const std::function<void()>& body) {
  if (!error_.empty()) return false;
  FiberState& observer = fibers_[kObserver];
  observer_ = body;
  observer.state = State::kReady;
  observer.pseudo = "observes";
  observer.merge_next = true;
  observer.fiber.Start(&FiberMain, this);
  Continue(uint32_t{1} << kObserver, /*deadlines=*/false);
  const bool ended = observer.state == State::kEnded;
  if (ended || frozen_ == kNobody) observer.state = State::kIdle;
  return ended;
}

bool Explorer::FinishObserving() {
  FiberState& observer = fibers_[kObserver];
  if (observer.state == State::kIdle) return true;
  Continue(uint32_t{1} << kObserver, /*deadlines=*/false);
  const bool ended = observer.state == State::kEnded;
  observer.state = State::kIdle;
  return ended;
}

// -----------------------------------------------------------------------------
// Schedules
// -----------------------------------------------------------------------------

void Explorer::Reset(Scenario& scenario) {
  scenario_ = &scenario;
  if (++run_ == 0) {
    for (Word& word : words_) word = {};
    run_ = 1;
  }
  position_ = 0;
  replay_ = decisions_.size();
  preemptions_left_ = preemption_bound_;
  freezes_left_ = freeze_bound_;
  frozen_ = kNobody;
  marks_ = 0;
  pruned_ = false;
  error_.clear();
  current_ = kNobody;
  stepping_ = kNobody;
  writes_ = 0;
  global_fact_ = 0;
  trace_.clear();
  trace_lines_ = 0;
  last_description_.clear();
  if (scenario.parties() > kMaxParties) std::abort();
  for (int f = 0; f < kFibers; ++f) {
    FiberState& fiber = fibers_[f];
    fiber.state = State::kIdle;
    fiber.pseudo = nullptr;
    fiber.merge_next = false;
    fiber.parked = false;
    fiber.deadline_passed = false;
    fiber.sleep_results.clear();
    fiber.history = Mix(0x5eed, f);
    fiber.mark = 0;
    fiber.party->random = runtime::Random(f + 1);
    if (f < scenario.parties()) {
      fiber.state = State::kReady;
      fiber.pseudo = "starts";
      fiber.merge_next = true;
      fiber.fiber.Start(&FiberMain, this);
    }
  }
}

void Explorer::RunSchedule(Scenario& scenario) {
  Reset(scenario);
  runtime::Party* const party = runtime::current_party;
  runtime::current_party = &main_party_;
  scenario.SetUp(*this);
  const Mode mode = mode_;
  RunFibers();
  typical_steps_ = (typical_steps_ * 7 + steps_) / 8 + 1;
  if (error_.empty()) {
    scenario.AtRest(*this, !pruned_);
    if (error_.empty()) {
      for (int f = 0; f < kFibers; ++f) {
        if (fibers_[f].state != State::kIdle &&
            fibers_[f].state != State::kEnded) {
          error_ = absl::StrCat("fiber ", f, " never ends");
        }
      }
    }
  }
  mode_ = mode;
  if (!error_.empty()) Forget();
  runtime::current_party = party;
}

// Runs the failing schedule again to see it.
void Explorer::Diagnose(Scenario& scenario, Outcome& outcome) {
  outcome.error = error_;
  outcome.decisions = Encode();
  decisions_.resize(position_);
  tracing_ = true;
  use_states_ = false;
  const Mode mode = mode_;
  mode_ = Mode::kSearch;
  RunSchedule(scenario);
  mode_ = mode;
  tracing_ = false;
  outcome.trace = trace_;
  if (error_ != outcome.error) {
    absl::StrAppend(&outcome.trace, "  (the replay ended with: ",
                    error_.empty() ? "no error" : error_, ")\n");
  }
}

Outcome Explorer::Search(Scenario& scenario, const SearchOptions& options) {
  Outcome outcome;
  const double end = Seconds() + options.max_seconds;
  states_.Clear();
  self_publish_ = options.self_publish;
  freeze_bound_ = options.freezes;
  for (int bound = 0; bound <= options.preemptions; ++bound) {
    preemption_bound_ = bound;
    outcome.preemptions = bound;
    decisions_.clear();
    do {
      mode_ = Mode::kSearch;
      use_states_ = options.merge_states;
      ++outcome.schedules;
      RunSchedule(scenario);
      outcome.states = states_.size();
      if (!error_.empty()) {
        Diagnose(scenario, outcome);
        return outcome;
      }
      if (outcome.schedules >= options.max_schedules ||
          (outcome.schedules % 64 == 0 && Seconds() > end)) {
        outcome.complete = false;
        return outcome;
      }
    } while (Backtrack());
  }
  return outcome;
}

Outcome Explorer::Sample(Scenario& scenario, const SampleOptions& options) {
  Outcome outcome;
  const double end = Seconds() + options.max_seconds;
  self_publish_ = options.self_publish;
  preemption_bound_ = kUnbounded;
  freeze_bound_ = options.freezes;
  use_states_ = false;
  typical_steps_ = 100;
  outcome.preemptions = kUnbounded;
  for (uint64_t i = 0; i < options.schedules; ++i) {
    random_ = runtime::Random(Mix(options.seed, i));
    mode_ = i % 8 == 7   ? Mode::kTurns
            : i % 2 == 0 ? Mode::kWalk
                         : Mode::kPriorities;
    turn_ = 1 + random_.Below(48);
    turn_began_ = 0;
    switch_odds_ = 2 << random_.Below(3);
    lowest_priority_ = 0;
    for (FiberState& fiber : fibers_) {
      fiber.priority = 1 + static_cast<int>(random_.Below(1 << 20));
    }
    change_points_.clear();
    for (int changes = static_cast<int>(random_.Below(5)); changes > 0;
         --changes) {
      change_points_.push_back(1 + random_.Below(typical_steps_));
    }
    decisions_.clear();
    ++outcome.schedules;
    RunSchedule(scenario);
    if (!error_.empty()) {
      Diagnose(scenario, outcome);
      return outcome;
    }
    if (i % 64 == 0 && Seconds() > end) {
      outcome.complete = false;
      return outcome;
    }
  }
  return outcome;
}

Outcome Explorer::Replay(Scenario& scenario, absl::string_view decisions) {
  Outcome outcome;
  outcome.schedules = 1;
  if (!Decode(decisions)) {
    outcome.error = "these are no decisions";
    return outcome;
  }
  mode_ = Mode::kSearch;
  use_states_ = false;
  tracing_ = true;
  RunSchedule(scenario);
  tracing_ = false;
  outcome.error = error_;
  outcome.decisions = std::string(decisions);
  outcome.trace = trace_;
  return outcome;
}

// -----------------------------------------------------------------------------
// The trace
// -----------------------------------------------------------------------------

std::string Explorer::NameOf(const void* address) {
  if (address == nullptr) return "";
  const std::string name = scenario_->NameOf(address);
  return name.empty() ? absl::StrFormat("%p", address) : name;
}

void Explorer::TraceLine(int f, const std::string& what) {
  constexpr int kMaxLines = 2000;
  if (++trace_lines_ > kMaxLines) return;
  const std::string who = f == kObserver ? "observer"
                          : f >= kMaxParties
                              ? absl::StrCat("pub", f - kMaxParties)
                              : absl::StrCat("p", f);
  absl::StrAppendFormat(&trace_, "  %4d %-5s %s\n", trace_lines_, who, what);
  runtime::NoSteps look;
  std::string description = scenario_->Describe();
  if (description != last_description_) {
    absl::StrAppend(&trace_, "             ", description, "\n");
    last_description_ = std::move(description);
  }
}

}  // namespace gochan::model

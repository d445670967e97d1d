// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// TimerWorld: a timer's channel, and parties that receive, set and stop it.

#ifndef GOCHAN_TEST_MODEL_TIMER_WORLDS_H_
#define GOCHAN_TEST_MODEL_TIMER_WORLDS_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/internal/timer_core.h"
#include "runtime/clock.h"
#include "runtime/instrument.h"
#include "runtime/timers.h"
#include "select/select.h"
#include "test/model/core_memory.h"
#include "test/model/explorer.h"

namespace gochan::model {

// A timer, armed, and parties that are words of these letters:
//   S  Stop                            r  receives
//   R  Reset                           t  tries to receive
//   F  the earliest timer goes off     s  receives, with a time-out
//   D  the next deadline passes, but the timer does not go off yet
//   X  drops its handle; then nobody has one but parties with an X
// The setting that a timer starts with is number 0, that of the k-th R in the
// text number k. Setting k is due at 10 (k + 1), so a value tells its setting.
class TimerWorld : public Scenario {
  using CoreAccess = internal::CoreAccess;
  using TimerCore = internal::TimerCore;

 public:
  explicit TimerWorld(std::vector<std::string> words, bool ticks = false)
      : words_(std::move(words)), ticks_(ticks) {
    for (const std::string& word : words_) {
      first_reset_.push_back(resets_ + 1);
      resets_ += static_cast<int>(std::count(word.begin(), word.end(), 'R'));
      drops_ |= word.find('X') != std::string::npos;
    }
  }

  int parties() const override { return static_cast<int>(words_.size()); }

  void SetUp(Explorer&) override {
    runtime::NoSteps no_steps;
    // What a failed schedule has left behind is not fit to be destroyed.
    auto* const lost = new std::vector<RecvChan<absl::Time>>;
    lost->swap(handles_);
    if (lost->empty()) delete lost;
    runtime::ResetTimersForTest();
    CoreMemory memory;
    auto timer = CoreAccess::Adopt<RecvChan<absl::Time>>(
        TimerCore::Make(DeadlineOf(0), period()));
    handles_.assign(words_.size() + 1, timer);
    for (int p = 0; p <= parties() && drops_; ++p) {
      const bool has_one =
          p < parties() && words_[p].find('X') != std::string::npos;
      if (!has_one) handles_[p] = nullptr;
    }
    told_ = 0;
    begun_ = 1;
    reset_ = 1;
    stale_ = 0;
    received_ = 0;
    passed_ = 0;
  }

  void Run(Explorer& explorer, int p) override {
    int reset = first_reset_[p];
    for (const char letter : words_[p]) {
      explorer.BeginOperation(std::string(1, letter));
      const uint32_t stale = stale_;
      const uint32_t ended = begun_ & reset_;
      explorer.Observed(uint64_t{stale} << 32 | ended);
      switch (letter) {
        case 'S':
          if (core(p).Stop()) ++told_;
          stale_ |= ended;
          break;
        case 'R':
          begun_ |= 1u << reset;
          if (core(p).Set(DeadlineOf(reset), period())) {
            ++told_;
          }
          reset_ |= 1u << reset++;
          stale_ |= ended;
          break;
        case 'F':
          (void)runtime::FireNextTimerForTest();
          break;
        case 'D':
          runtime::AdvanceTimerNowForTest(DeadlineOf(passed_++));
          break;
        case 'X':
          handles_[p] = nullptr;
          break;
        case 'r':
          Received(explorer, handles_[p].Recv().value, stale);
          break;
        case 't':
          if (auto got = handles_[p].TryRecv()) {
            Received(explorer, got->value, stale);
          }
          break;
        case 's': {
          absl::Time when;
          if (gochan::Select(RecvCase(handles_[p], &when),
                             TimeoutCase(absl::Hours(1))) == 0) {
            Received(explorer, when, stale);
          }
          break;
        }
      }
      explorer.SetGlobalFact(uint64_t{stale_} << 48 | uint64_t{begun_} << 32 |
                             uint64_t{reset_} << 16 | uint64_t{received_} << 4 |
                             static_cast<uint64_t>(told_));
    }
  }

  void AtRest(Explorer& explorer, bool complete) override {
    if (drops_) {
      if (complete && runtime::PendingTimers() != 0) {
        explorer.Fail("a timer that nobody refers to is pending");
      }
      explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
    } else {
      // A schedule that was cut short is only brought to its end.
      explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
      // All deadlines pass. Then nobody sleeps while there is a value.
      explorer.Observe([&] {
        for (int i = 0; i < (ticks_ ? 3 : 100); ++i) {
          if (!runtime::FireNextTimerForTest()) break;
        }
      });
      explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
      if (explorer.failed()) return;
      std::string why;
      if (complete && !CoreAccess::Get(handles_[0])->CheckInvariants(&why)) {
        return explorer.Fail(why);
      }
      bool left = false;
      explorer.Observe([&] { left = core(0).Stop(); });
      bool asleep = false;
      for (int p = 0; p < parties(); ++p) {
        asleep |= explorer.ConditionOf(p) == Explorer::Condition::kAsleep &&
                  words_[p].find('r') != std::string::npos;
      }
      if (complete && left && asleep && !ticks_) {
        explorer.Fail("a receiver sleeps, and there is a value");
      }
      const int settings = __builtin_popcount(begun_);
      const int ended = told_ + int{left} + __builtin_popcount(received_);
      if (complete && !ticks_ && ended != settings) {
        explorer.Fail(
            absl::StrCat(settings, " settings have ended ", ended, " times"));
      }
      // Those who wait for ever get a value each.
      explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
      for (int i = 0; i < 8; ++i) {
        received_ = 0;
        explorer.Observe([&] { core(0).Set(0, period()); });
        explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
      }
      explorer.Observe([&] { core(0).Stop(); });
    }
    if (explorer.failed()) return;
    for (int p = 0; p < parties(); ++p) {
      if (explorer.ConditionOf(p) != Explorer::Condition::kEnded) {
        return explorer.Fail(absl::StrCat("p", p, " does not come back"));
      }
    }
    handles_.clear();
    if (!CoreMemory::AllIsFreed()) explorer.Fail("the timer was not freed");
    if (!CoreMemory::FreedIsUntouched()) {
      explorer.Fail("the timer was written to after it was destroyed");
    }
  }

  std::string Describe() override {
    if (drops_ || handles_.empty()) return "";
    return CoreAccess::Get(handles_[0])->DebugString();
  }

 private:
  static constexpr int64_t kPeriod = 1000;

  static runtime::MonotonicNanos DeadlineOf(int setting) {
    return 10 * (setting + 1);
  }

  int64_t period() const { return ticks_ ? kPeriod : TimerCore::kOnce; }

  TimerCore& core(int p) {
    return *static_cast<TimerCore*>(CoreAccess::Get(handles_[p]));
  }

  void Received(Explorer& explorer, absl::Time when, uint32_t stale) {
    const int64_t due = absl::ToUnixNanos(when);
    if (due % kPeriod == 0) return;  // at rest
    int64_t now;
    {
      runtime::NoSteps no_steps;
      now = runtime::TimerNow();
    }
    explorer.Observed(static_cast<uint64_t>(due));
    if (due > now) explorer.Fail("a timer has fired early");
    const int setting = static_cast<int>(due % kPeriod / 10 - 1);
    const uint32_t bit = 1u << setting;
    if ((stale & bit) != 0) {
      explorer.Fail(absl::StrCat("a value of setting ", setting,
                                 " was received after Stop or Reset"));
    }
    if ((received_ & bit) != 0 && !ticks_) {
      explorer.Fail(absl::StrCat("setting ", setting, " has given two values"));
    }
    received_ |= bit;
  }

  const std::vector<std::string> words_;
  const bool ticks_;
  std::vector<int> first_reset_;
  int resets_ = 0;
  bool drops_ = false;

  // Of this schedule.
  std::vector<RecvChan<absl::Time>> handles_;  // of each party, and the world's
  int told_;           // Stop and Reset that returned true
  uint32_t begun_;     // settings whose Reset has begun
  uint32_t reset_;     // and returned
  uint32_t stale_;     // those that a Stop or a Reset has ended since
  uint32_t received_;  // those whose value was received
  int passed_;         // deadlines that have passed by D
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_TIMER_WORLDS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The explorer itself, on toys: it must find what is wrong with the broken
// ones, and end with nothing found on the others.

#include "test/model/explorer.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/atomic.h"
#include "runtime/backoff.h"
#include "runtime/park.h"

namespace gochan::model {
namespace {

using runtime::Atomic;
using runtime::ParkSlot;
using Condition = Explorer::Condition;

constexpr auto kSeqCst = std::memory_order_seq_cst;

// Two parties (or more) add one each.
class Counter : public Scenario {
 public:
  Counter(int parties, bool atomic) : parties_(parties), atomic_(atomic) {}
  int parties() const override { return parties_; }
  void SetUp(Explorer&) override { count_.word()->store(0); }
  void Run(Explorer&, int) override {
    if (atomic_) {
      count_.fetch_add(1, kSeqCst);
    } else {
      count_.store(count_.load(kSeqCst) + 1, kSeqCst);
    }
  }
  void AtRest(Explorer& explorer, bool complete) override {
    if (complete && count_.word()->load() != parties_) {
      explorer.Fail("an update was lost");
    }
    explorer.Continue(Explorer::kEverybody, true);
  }

 private:
  int parties_;
  bool atomic_;
  Atomic<int> count_;
};

TEST(ExplorerTest, FindsALostUpdateWithOnePreemption) {
  Explorer explorer;
  Counter counter(2, /*atomic=*/false);
  EXPECT_TRUE(explorer.Search(counter, {.preemptions = 0}).ok());
  const Outcome outcome = explorer.Search(counter, {.preemptions = 3});
  EXPECT_EQ(outcome.error, "an update was lost");
  EXPECT_EQ(outcome.preemptions, 1);
}

TEST(ExplorerTest, FindsNothingWrongWithAtomicUpdates) {
  Explorer explorer;
  Counter counter(3, /*atomic=*/true);
  const Outcome outcome = explorer.Search(counter, {.preemptions = 9});
  EXPECT_TRUE(outcome.ok()) << outcome.Report();
  EXPECT_TRUE(outcome.complete);
}

TEST(ExplorerTest, AFailureReplays) {
  Explorer explorer;
  Counter counter(2, /*atomic=*/false);
  const Outcome found = explorer.Search(counter, {.preemptions = 3});
  Explorer other;
  const Outcome again = other.Replay(counter, found.decisions);
  EXPECT_EQ(again.error, found.error);
  EXPECT_NE(again.trace.find("p0"), std::string::npos) << again.trace;
  EXPECT_FALSE(other.Replay(counter, "nonsense").ok());
}

TEST(ExplorerTest, RandomSchedulesFindItAndReplay) {
  Explorer explorer;
  Counter counter(3, /*atomic=*/false);
  const Outcome found =
      explorer.Sample(counter, {.seed = 7, .schedules = 1000});
  EXPECT_EQ(found.error, "an update was lost");
  EXPECT_EQ(explorer.Replay(counter, found.decisions).error, found.error);
  EXPECT_EQ(explorer.Sample(counter, {.seed = 7, .schedules = 1000}).decisions,
            found.decisions);
}

// Each party has words of its own; they meet at the end. All orders of the
// steps before are one.
class Strangers : public Scenario {
 public:
  explicit Strangers(int steps) : steps_(steps) {}
  int parties() const override { return 3; }
  void SetUp(Explorer&) override {}
  void Run(Explorer&, int p) override {
    for (int i = 0; i < steps_; ++i) own_[p].fetch_add(1, kSeqCst);
    shared_.fetch_add(1, kSeqCst);
  }
  void AtRest(Explorer& explorer, bool) override {
    explorer.Continue(Explorer::kEverybody, true);
  }

 private:
  int steps_;
  Atomic<int> own_[3];
  Atomic<int> shared_;
};

TEST(ExplorerTest, IndependentStepsAreNotReordered) {
  Explorer explorer;
  Strangers strangers(4);
  const Outcome outcome =
      explorer.Search(strangers, {.preemptions = 12, .max_schedules = 100'000});
  EXPECT_TRUE(outcome.complete);
  // 15 steps of three parties have 756,756 orders. The states are the corners
  // of a small box, times the orders of the last steps.
  EXPECT_LT(outcome.states, 1000u) << outcome.Summary();
  EXPECT_LT(outcome.schedules, 20'000u) << outcome.Summary();
}

// A mailbox for one value with one waiting receiver. `bug` takes one guard out.
enum class Bug { kNone, kNoSecondLook, kNoAwaitLeft };

class Mailbox : public Scenario {
 public:
  explicit Mailbox(Bug bug) : bug_(bug) {}
  int parties() const override { return 2; }

  void SetUp(Explorer&) override {
    mail_.word()->store(0);
    waiting_.word()->store(nullptr);
  }

  void Run(Explorer& explorer, int p) override {
    for (int round = 0; round < 2; ++round) {
      explorer.BeginOperation(p == 0 ? "put" : "get");
      if (p == 0) {
        Put();
      } else {
        Get();
      }
    }
  }

  void AtRest(Explorer& explorer, bool complete) override {
    if (complete) {
      for (int p = 0; p < 2; ++p) {
        if (explorer.ConditionOf(p) != Condition::kEnded) {
          explorer.Fail("somebody waits for ever");
        }
      }
    }
    explorer.Continue(Explorer::kEverybody, true);
  }

 private:
  void Put() {
    mail_.fetch_add(1, kSeqCst);
    WakeReceiver();
  }

  void WakeReceiver() {
    ParkSlot* slot = waiting_.load(kSeqCst);
    if (slot == nullptr) return;
    if (!waiting_.compare_exchange(slot, nullptr, kSeqCst)) return;
    slot->Wake(ParkSlot::kFirstResult);
  }

  void Get() {
    for (;;) {
      int mail = mail_.load(kSeqCst);
      while (mail > 0) {
        if (mail_.compare_exchange(mail, mail - 1, kSeqCst)) return;
      }
      slot_.Prepare(nullptr);
      slot_.ClearLeft();
      runtime::Sleep(slot_, &Publish, this, {});
      if (bug_ != Bug::kNoAwaitLeft) slot_.AwaitLeft();
    }
  }

  static void Publish(void* arg) {
    auto& self = *static_cast<Mailbox*>(arg);
    self.waiting_.store(&self.slot_, kSeqCst);
    if (self.bug_ != Bug::kNoSecondLook && self.mail_.load(kSeqCst) > 0) {
      self.WakeReceiver();
    }
    self.slot_.SetLeft();
  }

  Bug bug_;
  Atomic<int> mail_;
  Atomic<ParkSlot*> waiting_;
  ParkSlot slot_;
};

class MailboxTest : public testing::TestWithParam<bool> {
 protected:
  Outcome Search(Bug bug) {
    Explorer explorer;
    Mailbox mailbox(bug);
    return explorer.Search(mailbox,
                           {.preemptions = 4, .self_publish = GetParam()});
  }
};
INSTANTIATE_TEST_SUITE_P(WhoPublishes, MailboxTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "TheParty" : "ItsPublisher";
                         });

TEST_P(MailboxTest, ACorrectOnePasses) {
  const Outcome outcome = Search(Bug::kNone);
  EXPECT_TRUE(outcome.ok()) << outcome.Report();
  EXPECT_TRUE(outcome.complete);
}

TEST_P(MailboxTest, ALostWakeUpIsFound) {
  EXPECT_EQ(Search(Bug::kNoSecondLook).error, "somebody waits for ever");
}

TEST(ExplorerTest, AWaiterThatOutrunsItsPublisherIsFound) {
  Explorer explorer;
  Mailbox mailbox(Bug::kNoAwaitLeft);
  EXPECT_EQ(explorer.Search(mailbox, {.preemptions = 4}).error,
            "a party sleeps again while its publisher still runs");
}

// Party 0 raises a flag, in three steps, and party 1 waits for it. (Frozen
// before its first step, party 0 might as well not have begun.)
class Handshake : public Scenario {
 public:
  int parties() const override { return 2; }
  void SetUp(Explorer&) override { flag_.word()->store(0); }
  void Run(Explorer&, int p) override {
    if (p == 0) {
      flag_.store(1, kSeqCst);
      flag_.store(2, kSeqCst);
      flag_.store(3, kSeqCst);
    } else {
      runtime::Backoff backoff;
      while (flag_.load(kSeqCst) != 3) backoff.Wait(&flag_);
    }
  }
  void AtRest(Explorer& explorer, bool) override {
    if (explorer.ConditionOf(1) == Condition::kSpinning) {
      ++stuck[flag_.word()->load()];
      EXPECT_EQ(explorer.frozen(), 0);
      explorer.Thaw();
      explorer.Continue(1, false);
      EXPECT_EQ(explorer.ConditionOf(0), Condition::kEnded);
      EXPECT_EQ(explorer.ConditionOf(1), Condition::kRunnable);
    }
    explorer.Continue(Explorer::kEverybody, true);
    EXPECT_EQ(explorer.ConditionOf(1), Condition::kEnded);
  }
  int stuck[4] = {0, 0, 0, 0};

 private:
  Atomic<int> flag_;
};

TEST(ExplorerTest, FreezesBeforeEachWrite) {
  Explorer explorer;
  Handshake handshake;
  const Outcome outcome =
      explorer.Search(handshake, {.preemptions = 3, .freezes = 1});
  EXPECT_TRUE(outcome.ok()) << outcome.Report();
  EXPECT_GT(handshake.stuck[1], 0);
  EXPECT_GT(handshake.stuck[2], 0);
  EXPECT_EQ(handshake.stuck[3], 0);
}

// A sleeper with a deadline, and one who may wake it.
class Alarm : public Scenario {
 public:
  int parties() const override { return 2; }
  void SetUp(Explorer&) override {}
  void Run(Explorer&, int p) override {
    if (p == 1) {
      slot_.Wake(ParkSlot::kFirstResult);
      return;
    }
    slot_.Prepare(nullptr);
    ++results[runtime::Sleep(slot_, [](void*) {}, nullptr, {}, 12345)];
  }
  void AtRest(Explorer& explorer, bool) override {
    explorer.Continue(Explorer::kEverybody, true);
  }
  int results[3] = {0, 0, 0};

 private:
  ParkSlot slot_;
};

TEST(ExplorerTest, ADeadlineMayPassOrNot) {
  Explorer explorer;
  Alarm alarm;
  EXPECT_TRUE(explorer.Search(alarm, {.preemptions = 2}).ok());
  EXPECT_GT(alarm.results[ParkSlot::kPending], 0);
  EXPECT_GT(alarm.results[ParkSlot::kFirstResult], 0);
}

// Exceptions in flight belong to a fiber, not to the thread.
class Thrower : public Scenario {
 public:
  int parties() const override { return 2; }
  void SetUp(Explorer&) override {}
  void Run(Explorer& explorer, int p) override {
    struct StepOnExit {
      Atomic<int>& word;
      ~StepOnExit() { word.fetch_add(1, kSeqCst); }
    };
    for (int i = 0; i < 2; ++i) {
      try {
        StepOnExit step{word_};
        throw p;
      } catch (int thrown) {
        word_.fetch_add(1, kSeqCst);
        if (thrown != p) explorer.Fail("caught another party's exception");
        if (std::uncaught_exceptions() != 0) explorer.Fail("miscounted");
      }
    }
  }
  void AtRest(Explorer& explorer, bool) override {
    explorer.Continue(Explorer::kEverybody, true);
  }

 private:
  Atomic<int> word_;
};

#if defined(__cpp_exceptions)
TEST(ExplorerTest, PartiesThrowIndependently) {
  Explorer explorer;
  Thrower thrower;
  const Outcome outcome = explorer.Search(thrower, {.preemptions = 4});
  EXPECT_TRUE(outcome.ok()) << outcome.Report();
}
#endif

}  // namespace
}  // namespace gochan::model

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Timer channels under every schedule: receivers, Stop and Reset against each
// other and against the timer that goes off; L numbers as in
// channel_model_test.cc.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "test/model/model_test_util.h"
#include "test/model/timer_worlds.h"

namespace gochan::model {
namespace {

void CheckTimers(std::vector<std::vector<std::string>> worlds,
                 const Effort& effort, bool ticks = false) {
  for (std::vector<std::string>& words : worlds) {
    std::string name = ticks ? "ticker" : "timer";
    for (const std::string& word : words) absl::StrAppend(&name, " ", word);
    TimerWorld world(std::move(words), ticks);
    CheckScenario(name, world, effort);
  }
}

const Effort kDeep = {.preemptions = 3, .seconds = 4};

TEST(Model, TimerGoesOffAmongReceivers) {
  CheckTimers({{"r", "F"},
               {"r", "t", "F"},
               {"s", "t", "DF"},
               {"r", "r", "FF"},
               {"s", "s", "F"}},
              kDeep);
}

// L47: a firing has read "armed" when Stop comes.
TEST(Model, L47StopAgainstFiring) {
  CheckTimers({{"S", "F"},
               {"S", "F", "t"},
               {"S", "D", "tt"},
               {"S", "S", "F"},
               {"S", "s", "F"},
               {"St", "r", "F"},
               {"SR", "t", "DF"},
               {"SRt", "F"}},
              kDeep);
}

// L46: a receiver takes the value, the timer is set anew, and the first
// setting's firing comes late.
TEST(Model, L46ResetAgainstALateFiring) {
  CheckTimers({{"R", "F", "t"},
               {"Rt", "F"},
               {"R", "r", "DF"},
               {"R", "r", "DFF"},
               {"RS", "st", "FF"},
               {"tR", "D", "FF"},
               {"R", "s", "DDF"},
               {"SRR", "t", "FF"}},
              kDeep);
}

TEST(Model, TwoSetATimerAtOnce) {
  CheckTimers({{"R", "S", "F"},
               {"R", "R", "F"},
               {"R", "R", "r", "FF"},
               {"R", "S", "s", "F"}},
              kDeep);
}

TEST(Model, TheLastHandleOfATimerGoes) {
  CheckTimers({{"X", "F"}, {"tX", "X", "F"}, {"RX", "X", "FF"}, {"SX", "tX"}},
              kDeep);
  CheckTimers({{"X", "FF"}, {"tX", "X", "F"}, {"RX", "X", "F"}}, kDeep,
              /*ticks=*/true);
}

TEST(Model, TickersTickAndStop) {
  CheckTimers(
      {{"tt", "FF"}, {"S", "r", "F"}, {"Rt", "t", "FF"}, {"S", "D", "Ft"}},
      kDeep, /*ticks=*/true);
}

}  // namespace
}  // namespace gochan::model

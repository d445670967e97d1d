// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Timers as the schedule explorer sees them: no thread, and deadlines pass when
// the test says so. For an instrumented build.

#include <string>

#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/timers.h"

namespace gochan::runtime {
namespace {

struct Letter {
  char letter;
  std::string* out;
  static void Append(void* self) {
    auto* letter = static_cast<Letter*>(self);
    *letter->out += letter->letter;
  }
};

TEST(VirtualTimersTest, FiresByHandInOrderOfDeadlines) {
  std::string out;
  Letter a{'a', &out}, b{'b', &out}, c{'c', &out};
  Timer ta, tb, tc;
  tc.Start(300, &Letter::Append, &c);
  ta.Start(100, &Letter::Append, &a);
  tb.Start(200, &Letter::Append, &b);
  EXPECT_EQ(PendingTimers(), 3u);
  EXPECT_TRUE(FireNextTimerForTest());
  EXPECT_EQ(out, "a");
  EXPECT_TRUE(tb.Stop());
  EXPECT_TRUE(FireNextTimerForTest());
  EXPECT_EQ(out, "ac");
  EXPECT_FALSE(FireNextTimerForTest());
  EXPECT_EQ(PendingTimers(), 0u);
}

TEST(VirtualTimersTest, NothingFiresByItself) {
  std::string out;
  Letter a{'a', &out};
  Timer timer;
  timer.Start(MonotonicNow() - 1, &Letter::Append, &a);
  EXPECT_EQ(out, "");
  EXPECT_TRUE(timer.Stop());
  EXPECT_FALSE(FireNextTimerForTest());
}

TEST(VirtualTimersTest, RestartAfterAndBeforeFiring) {
  std::string out;
  Letter a{'a', &out}, b{'b', &out};
  Timer timer;
  timer.Start(1, &Letter::Append, &a);
  timer.Start(2, &Letter::Append, &b);
  EXPECT_EQ(PendingTimers(), 1u);
  EXPECT_TRUE(FireNextTimerForTest());
  EXPECT_EQ(out, "b");
  timer.Start(1, &Letter::Append, &a);
  EXPECT_TRUE(FireNextTimerForTest());
  EXPECT_EQ(out, "ba");
  EXPECT_FALSE(FireNextTimerForTest());
}

int steps = 0;

TEST(VirtualTimersTest, OneStepEach) {
  std::string out;
  Letter a{'a', &out};
  step_hook = [](StepKind, const void*) { ++steps; };
  {
    Timer timer;
    timer.Start(1, &Letter::Append, &a);
    EXPECT_EQ(steps, 1);
    timer.Stop();
    EXPECT_EQ(steps, 2);
    timer.Start(1, &Letter::Append, &a);
    FireNextTimerForTest();
    EXPECT_EQ(steps, 4);
  }
  EXPECT_EQ(steps, 5);
  step_hook = nullptr;
}

}  // namespace
}  // namespace gochan::runtime

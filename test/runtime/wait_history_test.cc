// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/wait_history.h"

#include "gtest/gtest.h"

namespace gochan::runtime {
namespace {

// How many of so many waits may pause, none of which helps.
int Pauses(WaitHistory& history, int waits) {
  int pauses = 0;
  for (int i = 0; i < waits; ++i) {
    if (!history.MayPause()) continue;
    ++pauses;
    history.NotePauses(false);
  }
  return pauses;
}

TEST(WaitHistoryTest, BeginsAsIfAllHadGoneWell) {
  WaitHistory history;
  EXPECT_TRUE(history.MayPause());
  EXPECT_TRUE(history.AreShort());
}

TEST(WaitHistoryTest, PausesThatDoNotHelpBecomeRare) {
  WaitHistory history;
  EXPECT_LT(Pauses(history, 32), 32);
  const int rare = Pauses(history, 320);
  EXPECT_GT(rare, 0);
  EXPECT_LE(rare, 32);
}

TEST(WaitHistoryTest, PausesThatHelpComeBack) {
  WaitHistory history;
  Pauses(history, 320);
  while (!history.MayPause()) {
  }
  history.NotePauses(true);
  EXPECT_TRUE(history.MayPause());
  // One in two helps: all are worth it.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(history.MayPause());
    history.NotePauses(i % 2 == 0);
  }
}

TEST(WaitHistoryTest, WaitsAreShortIfMoreThanTwoInThreeWere) {
  WaitHistory history;
  for (int i = 0; i < 300; ++i) history.NoteWait(i % 3 != 0 || i % 2 == 0);
  EXPECT_TRUE(history.AreShort());
  for (int i = 0; i < 300; ++i) history.NoteWait(i % 2 == 0);
  EXPECT_FALSE(history.AreShort());
  for (int i = 0; i < 300; ++i) history.NoteWait(true);
  EXPECT_TRUE(history.AreShort());
}

TEST(WaitHistoryTest, OneWaitChangesNothing) {
  WaitHistory history;
  history.NoteWait(false);
  EXPECT_TRUE(history.AreShort());
  for (int i = 0; i < 300; ++i) history.NoteWait(false);
  EXPECT_FALSE(history.AreShort());
  history.NoteWait(true);
  EXPECT_FALSE(history.AreShort());
}

}  // namespace
}  // namespace gochan::runtime

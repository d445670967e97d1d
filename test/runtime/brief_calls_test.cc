// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/brief_calls.h"

#include "gtest/gtest.h"
#include "runtime/source_location.h"

namespace gochan::runtime {
namespace {

BriefCalls::Index Here(const SourceLocation& site = SourceLocation::current()) {
  return BriefCalls::IndexOf(site);
}

TEST(BriefCallsTest, ExpectsWhatWasTwiceInARow) {
  BriefCalls calls;
  const auto here = Here();
  EXPECT_FALSE(calls.Expects(here));
  calls.Note(here, true);
  calls.Note(here, false);
  calls.Note(here, true);
  EXPECT_FALSE(calls.Expects(here));
  calls.Note(here, true);
  EXPECT_TRUE(calls.Expects(here));
}

TEST(BriefCallsTest, EntriesAreKeptApart) {
  BriefCalls calls;
  const BriefCalls::Index here = 0, there = 63;
  for (int i = 0; i < 2; ++i) calls.Note(here, true);
  EXPECT_TRUE(calls.Expects(here));
  EXPECT_FALSE(calls.Expects(there));
}

// Two places may share an entry: where the file's name lies decides that, and
// it lies elsewhere in each run. Three neighbours never share one.
TEST(BriefCallsTest, NeighboursDoNotAllShareAnEntry) {
  const auto first = Here();
  const auto second = Here();
  const auto third = Here();
  EXPECT_FALSE(first == second && second == third);
}

// What goes wrong every time costs less and less often, and is given up at last
// but for one time in thousands.
TEST(BriefCallsTest, EachWrongGuessMakesItMoreCautious) {
  BriefCalls calls;
  const auto here = Here();
  int last = 0;
  for (int wrong = 0; wrong < 20; ++wrong) {
    int needed = 0;
    for (; !calls.Expects(here); ++needed) calls.Note(here, true);
    EXPECT_EQ(needed, wrong == 0 ? 2 : wrong <= 6 ? 4 * last : last);
    last = needed;
    calls.NoteWrong(here);
  }
  EXPECT_EQ(last, 8192);
}

}  // namespace
}  // namespace gochan::runtime

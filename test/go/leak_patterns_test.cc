// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// LK12: each of the usual shapes of leaks is found, with exact count and
// places, and its fixed form is not.

#include "test/go/leak_patterns.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ctx/context.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/leak_check.h"
#include "gtest/gtest.h"
#include "test/util/leaks.h"
#include "test/util/patience.h"
#include "test/util/scale.h"
#include "test/util/sequence.h"

namespace gochan {
namespace {

using leak_patterns::Lines;
using test::Patience;
namespace broken = leak_patterns::broken;
namespace fixed = leak_patterns::fixed;

LeakOptions AtOnce() { return LeakOptions().MaxWait(absl::ZeroDuration()); }

std::vector<uint64_t> Ids(const std::vector<GoroutineInfo>& infos) {
  std::vector<uint64_t> ids;
  for (const GoroutineInfo& info : infos) ids.push_back(info.id);
  return ids;
}

// Those of `ids` that FindLeaks() reports.
std::vector<uint64_t> LeakedOf(const std::vector<uint64_t>& ids) {
  std::vector<uint64_t> leaked = Ids(FindLeaks());
  std::erase_if(leaked, [&ids](uint64_t id) {
    return std::find(ids.begin(), ids.end(), id) == ids.end();
  });
  return leaked;
}

// Leaks `n` goroutines by broken(), which block for that reason.
template <typename Fn>
void ExpectLeaked(int n, const std::string& reason, const Lines& lines,
                  Fn broken_form) {
  test::ExpectLeaks(n);
  LeakCheck check(AtOnce());
  check.Cancel();
  broken_form();
  // Until all that end have ended, and the others are blocked.
  std::vector<GoroutineInfo> found;
  const auto is_blocked = [](const GoroutineInfo& info) {
    return info.state == "waiting";
  };
  Patience patience;
  for (;;) {
    found = check.Find();
    if (static_cast<int>(found.size()) == n &&
        std::all_of(found.begin(), found.end(), is_blocked)) {
      break;
    }
    patience.Wait([&] { return internal::UnexpectedText(found); });
  }
  for (const GoroutineInfo& info : found) {
    EXPECT_EQ(info.wait_reason, reason);
    for (const SourceSite* site : {&info.created_at, &info.blocked_at}) {
      EXPECT_NE(site->file.find("leak_patterns.cc"), std::string::npos)
          << site->file;
    }
    EXPECT_EQ(info.created_at.line, lines.created);
    EXPECT_EQ(info.blocked_at.line, lines.blocked);
  }
  EXPECT_EQ(LeakedOf(Ids(found)), Ids(found))
      << internal::UnexpectedText(found);
}

// Nobody outlives it, and nobody is reported meanwhile.
template <typename Fn>
void ExpectFixed(Fn fixed_form) {
  const std::vector<uint64_t> before = Ids(FindLeaks());
  LeakCheck check(LeakOptions().MaxWait(absl::FromChrono(test::kLimit)));
  fixed_form();
  EXPECT_EQ(Ids(FindLeaks()), before);
  EXPECT_TRUE(check.Find().empty());
}

TEST(LeakPatternsTest, LK12RangeWithoutClose) {
  ExpectLeaked(3, "chan receive", broken::kSumOfSquares,
               [] { EXPECT_EQ(broken::SumOfSquares(5, 3), 55); });
  ExpectFixed([] { EXPECT_EQ(fixed::SumOfSquares(5, 3), 55); });
}

TEST(LeakPatternsTest, LK12StartWithoutStop) {
  ExpectLeaked(1, "select", broken::kUseMailbox, &broken::UseMailbox);
  ExpectFixed(&fixed::UseMailbox);
}

TEST(LeakPatternsTest, LK12DoubleSend) {
  const absl::Status no_page = absl::UnavailableError("no page");
  ExpectLeaked(1, "chan send", broken::kFetch,
               [&] { EXPECT_EQ(broken::Fetch(true).status(), no_page); });
  ExpectFixed([] { EXPECT_EQ(*broken::Fetch(false), 42); });
  ExpectFixed([&] {
    EXPECT_EQ(fixed::Fetch(true).status(), no_page);
    EXPECT_EQ(*fixed::Fetch(false), 42);
  });
}

TEST(LeakPatternsTest, LK12EarlyReturn) {
  ExpectLeaked(1, "chan send", broken::kHandle,
               [] { EXPECT_FALSE(broken::Handle(-1).ok()); });
  ExpectFixed([] { EXPECT_EQ(*broken::Handle(4), 8); });
  ExpectFixed([] {
    EXPECT_FALSE(fixed::Handle(-1).ok());
    EXPECT_EQ(*fixed::Handle(4), 8);
  });
}

TEST(LeakPatternsTest, LK12FirstOfN) {
  ExpectLeaked(9, "chan send", broken::kFirstAnswer,
               [] { EXPECT_LT(broken::FirstAnswer(10), 10); });
  ExpectFixed([] { EXPECT_LT(fixed::FirstAnswer(10), 10); });
}

TEST(LeakPatternsTest, LK12TimeOut) {
  const auto [over, cancel] = WithCancel(Background());
  cancel();
  // The answer comes after the caller has given up.
  const auto late = [ctx = over](auto ask) {
    test::Event given_up;
    test::Event answered;
    const absl::StatusOr<int> found = ask(ctx, [&] {
      given_up.Await();
      answered.Set();
      return 1;
    });
    EXPECT_EQ(found.status(), ctx.Err());
    given_up.Set();
    answered.Await();
  };
  ExpectLeaked(1, "chan send", broken::kAsk, [&] { late(&broken::Ask); });
  ExpectFixed([&] { late(&fixed::Ask); });
  ExpectFixed(
      [] { EXPECT_EQ(*broken::Ask(Background(), [] { return 2; }), 2); });
}

}  // namespace
}  // namespace gochan

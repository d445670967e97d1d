// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours LK: LeakCheck, and what is goleak's. The usual shapes of leaks
// (LK12) are in leak_patterns_test.cc.

#include "go/leak_check.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/leak_gtest.h"
#include "go/time.h"
#include "go/wait_group.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/child.h"
#include "test/util/leaks.h"
#include "test/util/parked.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::Patience;
using test::RunChild;
using test::WaitUntilParked;

// Some tests leave goroutines behind, by this name.
LeakOptions ButLost() { return LeakOptions().IgnoreName("lost"); }
// For goroutines that will not end anyway.
LeakOptions Shortly() { return ButLost().MaxWait(absl::Milliseconds(1)); }

std::vector<uint64_t> Ids(const std::vector<GoroutineInfo>& infos) {
  std::vector<uint64_t> ids;
  for (const GoroutineInfo& info : infos) ids.push_back(info.id);
  return ids;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool IsIn(const SourceSite& site, const std::string& function, int line) {
  EXPECT_TRUE(Has(site.file, "leak_check_test.cc")) << site.file;
  EXPECT_TRUE(Has(site.function, function)) << site.function;
  EXPECT_EQ(site.line, line);
  return site.line == line;
}

// Goroutines that block until it is told otherwise.
class Blocked {
 public:
  Blocked() = default;
  ~Blocked() { LetGo(); }

  // Starts n of them, and returns when all are blocked.
  void Start(int n = 1) {
    started_ += n;
    for (int i = 0; i < n; ++i) {
      ended_.Go([gate = gate_] { gate.Recv(); });
    }
    WaitUntilParked(gate_, static_cast<std::size_t>(started_));
  }
  static constexpr int kLine = __LINE__ - 4;

  // Returns when all have been told to end.
  void LetGo() {
    (void)gate_.TryClose();
    ended_.Wait();
  }

 private:
  const Chan<Unit> gate_ = MakeChan<Unit>();
  WaitGroup ended_;
  int started_ = 0;
};

// -----------------------------------------------------------------------------
// LeakCheck
// -----------------------------------------------------------------------------

TEST(LeakCheckTest, LK01NothingLeftPasses) {
  LeakCheck check;
  EXPECT_TRUE(check.Find().empty());
  EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus());
  Blocked blocked;
  blocked.Start(3);
  blocked.LetGo();
  EXPECT_TRUE(check.Find().empty());
  EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus());
}

TEST(LeakCheckTest, LK02ABlockedGoroutineIsReported) {
  LeakCheck check(Shortly());
  Blocked blocked;
  blocked.Start();
  const std::vector<GoroutineInfo> found = check.Find();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(IsIn(found[0].created_at, "Start()", Blocked::kLine));
  EXPECT_TRUE(IsIn(found[0].blocked_at, "Start()::<lambda>", Blocked::kLine));
  EXPECT_EQ(found[0].wait_reason, "chan receive");

  const absl::Status status = FindUnexpected(Shortly());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  const std::string text(status.message());
  EXPECT_TRUE(Has(text,
                  "found 1 unexpected goroutine:\n\n"
                  "1 goroutine [chan receive]"))
      << text;
  const std::string line = absl::StrCat(":", Blocked::kLine, "\n");
  EXPECT_TRUE(Has(text, "Start()::<lambda>\n\t")) << text;
  EXPECT_TRUE(Has(text, "leak_check_test.cc" + line + "created by ")) << text;
  EXPECT_TRUE(Has(text, "leak_check_test.cc" + line + "goroutine " +
                            std::to_string(found[0].id) + "\n"))
      << text;

  blocked.LetGo();
  EXPECT_TRUE(check.Find().empty());
  EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus());
}

TEST(LeakCheckTest, LK03WhoIsJustEndingIsNotReported) {
  for (const int milliseconds : {0, 1, 50}) {
    LeakCheck check(LeakOptions().MaxWait(absl::Seconds(60)));
    Go([milliseconds] { Sleep(absl::Milliseconds(milliseconds)); });
  }
  // Seen from a goroutine, which lets the others run while it waits.
  WaitGroup group;
  group.Go([] {
    LeakCheck check(LeakOptions().MaxWait(absl::Seconds(60)));
    for (int i = 0; i < 100; ++i) Go([] { Yield(); });
  });
  group.Wait();
}

TEST(LeakCheckTest, WaitsForTheEndAndNoLonger) {
  LeakCheck check(LeakOptions().MaxWait(absl::Milliseconds(60)));
  Blocked blocked;
  blocked.Start();
  const absl::Time before = Now();
  EXPECT_EQ(check.Find().size(), 1u);
  EXPECT_GE(Now() - before, absl::Milliseconds(60));
  blocked.LetGo();
}

TEST(LeakCheckTest, IgnoresWhoWasThereBefore) {
  Blocked before;
  before.Start(3);
  LeakCheck check(Shortly());
  EXPECT_TRUE(check.Find().empty());
  Blocked after;
  after.Start();
  EXPECT_EQ(check.Find().size(), 1u);
  after.LetGo();
  EXPECT_TRUE(check.Find().empty());
}

TEST(LeakCheckTest, CancelledLooksNoMore) {
  Blocked blocked;
  LeakCheck check(
      Shortly().Cleanup([](int) { ADD_FAILURE() << "it must not be called"; }));
  blocked.Start();
  check.Cancel();
}

// -----------------------------------------------------------------------------
// Whose goroutines they are
// -----------------------------------------------------------------------------

// "Tests" that run at the same time. Each has children, a grandchild whose
// parent has ended, and sees those alone.
TEST(LeakCheckTest, ParallelTestsSeeTheirOwn) {
  constexpr int kTests = 8;
  auto leave = MakeChan<Unit>();
  std::atomic<int> started{0};
  std::atomic<int> looked{0};
  const auto body = [&](int number) {
    // With time for one of the others that is not marked as such any more.
    LeakCheck check(ButLost().MaxWait(absl::Seconds(10)));
    std::vector<std::atomic<uint64_t>> ids(static_cast<std::size_t>(number) +
                                           1);
    std::atomic<int> ready{0};
    const auto block = [&ids, &ready, leave](std::size_t i) {
      ids[i] = GoroutineId();
      ++ready;
      leave.Recv();
    };
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) Go(block, i);
    Go([&block, &ids] { Go([&block, &ids] { block(ids.size() - 1); }); });
    Patience patience;
    while (ready != static_cast<int>(ids.size())) patience.Wait("children");
    ++started;
    while (started != kTests) patience.Wait("the other tests");
    // The child that has started a grandchild may be about to end.
    std::vector<uint64_t> found;
    while ((found = Ids(check.Find())).size() > ids.size()) {
      patience.Wait("somebody else's goroutine is found");
    }
    std::vector<uint64_t> own(ids.begin(), ids.end());
    std::sort(own.begin(), own.end());
    EXPECT_EQ(found, own) << "test " << number;
    if (++looked == kTests) leave.Close();
    leave.Recv();
    while (!check.Find().empty()) patience.Wait("they do not end");
  };
  std::vector<std::thread> threads;
  WaitGroup goroutines;
  for (int i = 0; i < kTests; ++i) {
    if (i % 2 == 0) {
      threads.emplace_back(body, i);
    } else {
      goroutines.Go([&body, i] { body(i); });
    }
  }
  goroutines.Wait();
  for (std::thread& thread : threads) thread.join();
}

TEST(LeakCheckTest, OneInsideOfAnotherCountsForBoth) {
  Blocked blocked;
  LeakCheck outer(Shortly());
  {
    LeakCheck inner(Shortly());
    blocked.Start();
    EXPECT_EQ(inner.Find().size(), 1u);
    EXPECT_EQ(outer.Find().size(), 1u);
    inner.Cancel();
  }
  // The outer one's label is back.
  Blocked more;
  more.Start();
  EXPECT_EQ(outer.Find().size(), 2u);
  more.LetGo();
  blocked.LetGo();
}

// Nobody knows whose they are.
TEST(LeakCheckTest, OthersCountUnlessOnlyOwn) {
  Blocked theirs;
  Blocked own;
  LeakCheck all(Shortly());
  LeakCheck only_own(Shortly().OnlyOwn());
  std::thread([&theirs] { theirs.Start(); }).join();
  EXPECT_EQ(all.Find().size(), 1u);
  EXPECT_TRUE(only_own.Find().empty());
  own.Start();
  EXPECT_EQ(all.Find().size(), 2u);
  EXPECT_EQ(only_own.Find().size(), 1u);
  own.LetGo();
  theirs.LetGo();
}

TEST(LeakCheckTest, LabelsTellWhichCheck) {
  Blocked blocked;
  LeakCheck check(Shortly());
  const int line = __LINE__ - 1;
  blocked.Start();
  const std::vector<GoroutineInfo> found = check.Find();
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].labels.size(), 1u);
  EXPECT_EQ(found[0].labels[0].first.rfind("gochan.leak_check.", 0), 0u);
  EXPECT_TRUE(Has(found[0].labels[0].second,
                  "leak_check_test.cc:" + std::to_string(line)));
  blocked.LetGo();
}

// The caller; the threads of the runtime, with timers and blocking calls at
// work; who has started the caller.
TEST(LeakCheckTest, LK09TheCallerAndTheRuntimeAreNotReported) {
  WaitGroup group;
  group.Go([] {
    Timer timer = AfterFunc(absl::Hours(1), [] {});
    Ticker ticker(absl::Microseconds(10));
    ticker.C().Recv();
    Blocking([] { std::this_thread::yield(); });
    LeakCheck check;
    EXPECT_TRUE(check.Find().empty());
    EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus());
    WaitGroup child;
    child.Go([] { EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus()); });
    child.Wait();
    ticker.Stop();
    timer.Stop();
  });
  group.Wait();
  EXPECT_EQ(FindUnexpected(ButLost()), absl::OkStatus());
}

// What the library runs for itself.
TEST(LeakCheckTest, LK09NorWhatTheLibraryRuns) {
  auto gate = MakeChan<Unit>();
  Go(GoOptions{.name = "gochan.watchdog"}, [gate] { gate.Recv(); });
  WaitUntilParked(gate, 1);
  EXPECT_EQ(FindUnexpected(Shortly()), absl::OkStatus());
  gate.Close();
}

TEST(LeakCheckTest, LK16NilChannelsAndEmptySelects) {
  LeakCheck check(LeakOptions().MaxWait(absl::ZeroDuration()));
  check.Cancel();
  test::ExpectLeaks(3);
  const GoOptions lost{.name = "lost"};
  Go(lost, [] { Chan<int>().Send(1); });
  Go(lost, [] { Chan<int>().Recv(); });
  Go(lost, [] { Select(); });
  const int line = __LINE__ - 1;
  std::vector<std::string> reasons;
  Patience patience;
  do {
    reasons.clear();
    for (const GoroutineInfo& info : check.Find()) {
      if (info.state != "waiting") continue;
      reasons.push_back(info.wait_reason);
      if (info.wait_reason == "select (no cases)") {
        EXPECT_TRUE(IsIn(info.blocked_at, "LK16", line));
      }
    }
    patience.Wait("they do not block");
  } while (reasons.size() != 3);
  std::sort(reasons.begin(), reasons.end());
  EXPECT_EQ(reasons, (std::vector<std::string>{"chan receive (nil chan)",
                                               "chan send (nil chan)",
                                               "select (no cases)"}));
}

TEST(LeakCheckTest, LK17TenThousandAreReportedQuickly) {
  constexpr int kMany = 10'000;
  LeakCheck check(Shortly());
  Blocked blocked;
  blocked.Start(kMany);
  const absl::Time before = Now();
  const std::vector<GoroutineInfo> found = check.Find();
  const std::string text = internal::UnexpectedText(found);
  EXPECT_EQ(found.size(), std::size_t{kMany});
  EXPECT_LT(Now() - before, absl::FromChrono(test::kLimit) / 2);
  EXPECT_LT(text.size(), 4000u) << text;
  EXPECT_TRUE(Has(text,
                  "found 10000 unexpected goroutines:\n\n"
                  "10000 goroutines [chan receive], "))
      << text;
  EXPECT_TRUE(Has(text, ", ...\n")) << text;
  blocked.LetGo();
}

// -----------------------------------------------------------------------------
// Filters
// -----------------------------------------------------------------------------

[[gnu::noinline]] void BlockHere(const Chan<Unit>& gate) { gate.Recv(); }
[[gnu::noinline]] int Around(const Chan<Unit>& gate) {
  BlockHere(gate);
  return 1;  // so that this is no tail call
}
[[gnu::noinline]] void Create(const Chan<Unit>& gate) {
  Go([gate] {
    volatile int kept = Around(gate);
    (void)kept;
  });
}

TEST(LeakFilterTest, LK06TopAnyAndCreatorAreSeparate) {
  auto gate = MakeChan<Unit>();
  Create(gate);
  WaitUntilParked(gate, 1);
  const auto is_found = [](LeakOptions options) {
    return !FindUnexpected(options.MaxWait(absl::ZeroDuration())).ok();
  };
  ASSERT_TRUE(is_found(ButLost()));
  EXPECT_FALSE(is_found(ButLost().IgnoreTopFunction("BlockHere")));
  EXPECT_TRUE(is_found(ButLost().IgnoreTopFunction("Around")));
  EXPECT_TRUE(is_found(ButLost().IgnoreTopFunction("Create")));

  EXPECT_FALSE(is_found(ButLost().IgnoreAnyFunction("BlockHere")));
  EXPECT_FALSE(is_found(ButLost().IgnoreAnyFunction("Around")));
  EXPECT_TRUE(is_found(ButLost().IgnoreAnyFunction("Create")));

  EXPECT_TRUE(is_found(ButLost().IgnoreCreatedBy("BlockHere")));
  EXPECT_TRUE(is_found(ButLost().IgnoreCreatedBy("Around")));
  EXPECT_FALSE(is_found(ButLost().IgnoreCreatedBy("Create")));
  gate.Close();
}

TEST(LeakFilterTest, ByPlaceNameAndIdentity) {
  auto gate = MakeChan<Unit>();
  const std::string here = "leak_check_test.cc:";
  const std::string created = here + std::to_string(__LINE__ + 1);
  Go(GoOptions{.name = "reader"}, [gate] {
    const bool open = gate.Recv().ok;
    EXPECT_FALSE(open);
  });
  const std::string blocked = here + std::to_string(__LINE__ - 3);
  WaitUntilParked(gate, 1);
  const auto is_found = [](LeakOptions options) {
    return !FindUnexpected(options.MaxWait(absl::ZeroDuration())).ok();
  };
  EXPECT_FALSE(is_found(ButLost().IgnoreCreatedBy(created)));
  EXPECT_TRUE(is_found(ButLost().IgnoreCreatedBy(blocked)));
  EXPECT_FALSE(is_found(ButLost().IgnoreTopFunction(blocked)));
  EXPECT_TRUE(is_found(ButLost().IgnoreTopFunction(created)));
  EXPECT_FALSE(is_found(ButLost().IgnoreAnyFunction(blocked)));
  EXPECT_FALSE(is_found(ButLost().IgnoreName("reader")));
  EXPECT_TRUE(is_found(ButLost().IgnoreName("read")));
  const LeakOptions current = ButLost().IgnoreCurrent();
  EXPECT_FALSE(is_found(current));
  Blocked later;
  later.Start();
  EXPECT_TRUE(is_found(current));
  later.LetGo();
  EXPECT_FALSE(is_found(ButLost()
                            .IgnoreTopFunction("nobody")
                            .IgnoreName("reader")
                            .IgnoreCreatedBy("nobody")));
  gate.Close();
}

TEST(LeakFilterTest, WhatATextNames) {
  const SourceSite site{"app::{anonymous}::Pool<int>::Start()::<lambda>",
                        "/src/app/pool.cc", 40};
  for (const char* text :
       {"app::{anonymous}::Pool<int>::Start()::<lambda>", "Start()::<lambda>",
        "<lambda>", "pool.cc:40", "app/pool.cc:40", "/src/app/pool.cc:40"}) {
    EXPECT_TRUE(internal::NamesSite(text, site)) << text;
  }
  for (const char* text :
       {"", "Start", "Start()", "Pool", "tart()::<lambda>", "pool.cc",
        "pool.cc:4", "pool.cc:401", "ool.cc:40", "p/pool.cc:40"}) {
    EXPECT_FALSE(internal::NamesSite(text, site)) << text;
  }
  const SourceSite plain{"app::Serve()", "serve.cc", 7};
  for (const char* text :
       {"Serve", "Serve()", "app::Serve", "app::Serve()", "serve.cc:7"}) {
    EXPECT_TRUE(internal::NamesSite(text, plain)) << text;
  }
  for (const char* text : {"erve", "app", "Serve()()", "x/serve.cc:7"}) {
    EXPECT_FALSE(internal::NamesSite(text, plain)) << text;
  }
}

// -----------------------------------------------------------------------------
// As in goleak
// -----------------------------------------------------------------------------

TEST(GoleakTest, LK07CleanupRunsAfterTheCheck) {
  std::vector<int> codes;
  const auto cleanup = [&codes](int code) { codes.push_back(code); };
  VerifyNone(ButLost().Cleanup(cleanup));
  EXPECT_EQ(codes, std::vector<int>{0});
  {
    LeakCheck check(ButLost().Cleanup(cleanup));
  }
  EXPECT_EQ(codes, (std::vector<int>{0, 0}));

  const absl::Status status = FindUnexpected(LeakOptions().Cleanup(cleanup));
  EXPECT_EQ(status,
            absl::InvalidArgumentError(
                "Cleanup can only be passed to VerifyNone or VerifyTestMain"));
  EXPECT_EQ(codes.size(), 2u);

  // Also after a check that has failed.
  Blocked blocked;
  blocked.Start();
  EXPECT_NONFATAL_FAILURE(VerifyNone(Shortly().Cleanup(cleanup)),
                          "found 1 unexpected goroutine");
  EXPECT_EQ(codes.size(), 3u);
}

TEST(GoleakTest, LK08TheWholeRun) {
  Blocked blocked;
  const auto run = [](int code, LeakOptions options) {
    int cleaned_up = -1;
    ::testing::internal::CaptureStderr();
    const int status = VerifyTestMain(
        [code] { return code; },
        options.MaxWait(absl::ZeroDuration()).Cleanup([&](int c) {
          cleaned_up = c;
        }));
    EXPECT_EQ(cleaned_up, status);
    return std::pair(status, ::testing::internal::GetCapturedStderr());
  };
  using Result = std::pair<int, std::string>;
  EXPECT_EQ(run(0, ButLost()), Result(0, ""));
  EXPECT_EQ(run(7, ButLost()), Result(7, ""));
  EXPECT_EQ(run(7, ButLost().RunOnFailure()), Result(7, ""));

  blocked.Start();
  Result result = run(0, ButLost());
  EXPECT_EQ(result.first, 1);
  EXPECT_TRUE(Has(result.second,
                  "leaks after a successful test run: found 1 unexpected "
                  "goroutine:\n\n1 goroutine [chan receive]"))
      << result.second;
  EXPECT_EQ(run(7, ButLost()), Result(7, ""));
  result = run(7, ButLost().RunOnFailure());
  EXPECT_EQ(result.first, 7);
  EXPECT_TRUE(Has(result.second, "leaks after an unsuccessful test run: "))
      << result.second;
}

// -----------------------------------------------------------------------------
// How a check fails
// -----------------------------------------------------------------------------

TEST(LeakGtestTest, ACheckFailsTheTest) {
  Blocked blocked;
  EXPECT_NONFATAL_FAILURE(
      {
        LeakCheck check(Shortly());
        blocked.Start();
      },
      "found 1 unexpected goroutine:\n\n1 goroutine [chan receive]");
}

TEST(LeakGtestTest, TheListenerFailsTheTest) {
  const ::testing::TestInfo& test =
      *::testing::UnitTest::GetInstance()->current_test_info();
  int cleaned_up = 0;
  LeakListener listener(Shortly().Cleanup([&](int) { ++cleaned_up; }));
  Blocked before;
  before.Start();
  listener.OnTestStart(test);
  listener.OnTestEnd(test);
  EXPECT_EQ(cleaned_up, 1);

  Blocked blocked;
  listener.OnTestStart(test);
  blocked.Start();
  EXPECT_NONFATAL_FAILURE(listener.OnTestEnd(test),
                          "found 1 unexpected goroutine");
  EXPECT_EQ(cleaned_up, 2);

  // Only what the next test leaves.
  listener.OnTestStart(test);
  listener.OnTestEnd(test);
}

// In these programs GoogleTest does not run.

SCENARIO(CheckFails) {
  internal::SetLeakFailure(nullptr);
  LeakCheck check(Shortly());
  Go(GoOptions{.name = "forgotten"}, [] { Chan<int>().Recv(); });
  return 0;
}

SCENARIO(CheckFailsInMain) {
  internal::SetLeakFailure(nullptr);
  return RunMain([] {
    Go(GoOptions{.name = "forgotten"}, [] { Chan<int>().Recv(); });
    Yield();
    VerifyNone(Shortly());
  });
}

SCENARIO(CheckPasses) {
  internal::SetLeakFailure(nullptr);
  return RunMain([] {
    LeakCheck check;
    WaitGroup group;
    group.Go([] { VerifyNone(); });
    group.Wait();
    VerifyNone();
    return 3;
  });
}

TEST(LeakFailureTest, WithoutGoogleTestTheProgramEnds) {
  for (const char* scenario : {"CheckFails", "CheckFailsInMain"}) {
    const ChildResult child = RunChild(scenario);
    EXPECT_EQ(child.signal, SIGABRT) << child;
    EXPECT_TRUE(
        Has(child.err, "found 1 unexpected goroutine:\n\n1 goroutine ["))
        << child;
    EXPECT_TRUE(Has(child.err, "leak_check_test.cc:")) << child;
    EXPECT_TRUE(Has(child.err, "\"forgotten\"")) << child;
  }
  const ChildResult child = RunChild("CheckPasses");
  EXPECT_EQ(child.status, 3) << child;
  EXPECT_EQ(child.err, "");
}

}  // namespace
}  // namespace gochan

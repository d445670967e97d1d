// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/leak_watchdog.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "chan/chan.h"
#include "go/debug.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/profile.h"
#include "go/stats.h"
#include "gtest/gtest.h"
#include "test/util/child.h"
#include "test/util/leaks.h"
#include "test/util/patience.h"

namespace gochan {
namespace {

// What a watchdog has told.
class Told {
 public:
  LeakWatchdogOptions Options(absl::Duration interval) {
    return {.interval = interval,
            .callback = [this](absl::Span<const GoroutineInfo> leaks) {
              EXPECT_FALSE(leaks.empty());
              std::lock_guard lock(mutex_);
              for (const GoroutineInfo& leak : leaks) {
                names_.push_back(leak.name);
              }
            }};
  }
  int Times(const std::string& name) {
    std::lock_guard lock(mutex_);
    return static_cast<int>(std::count(names_.begin(), names_.end(), name));
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> names_;
};

// Blocks for ever on a channel that nobody else has.
void Leak(const std::string& name) {
  test::ExpectLeaks();
  Go(GoOptions{.name = name}, [] { MakeChan<int>().Recv(); });
}

// Until it shows as a leak.
void AwaitLeak(const std::string& name) {
  test::Patience patience;
  for (;;) {
    for (const GoroutineInfo& leak : FindLeaks()) {
      if (leak.name == name) return;
    }
    patience.Wait([] { return "it is no leak:\n" + GoroutineDump(); });
  }
}

TEST(LeakWatchdogTest, TellsOfEachOnce) {
  Told told;
  LeakWatchdog watchdog(told.Options(absl::Hours(1)));
  Leak("first");
  AwaitLeak("first");
  watchdog.Check();
  EXPECT_EQ(told.Times("first"), 1);
  watchdog.Check();
  EXPECT_EQ(told.Times("first"), 1);
  Leak("second");
  AwaitLeak("second");
  watchdog.Check();
  EXPECT_EQ(told.Times("first"), 1);
  EXPECT_EQ(told.Times("second"), 1);
  EXPECT_EQ(internal::LeakedGoroutines(),
            static_cast<int64_t>(FindLeaks().size()));
  EXPECT_NE(PrometheusText().find("\ngochan_leaked_goroutines "),
            std::string::npos);
}

TEST(LeakWatchdogTest, LooksByItself) {
  Told told;
  {
    LeakWatchdog watchdog(told.Options(absl::Milliseconds(1)));
    Leak("third");
    test::Patience patience;
    while (told.Times("third") == 0) patience.Wait("nothing was told");
  }
  EXPECT_EQ(told.Times("third"), 1);
  // It has ended.
  EXPECT_EQ(internal::LeakedGoroutines(), -1);
}

TEST(LeakWatchdogTest, EndsAtOnceThoughItsIntervalIsLong) {
  Told told;
  LeakWatchdog watchdog(told.Options(absl::InfiniteDuration()));
}

TEST(LeakWatchdogTest, WhoMayStillBeWokenIsNone) {
  Told told;
  LeakWatchdog watchdog(told.Options(absl::Hours(1)));
  auto ch = MakeChan<int>();
  std::atomic<bool> ended = false;
  Go(GoOptions{.name = "waits"}, [ch, &ended] {
    ch.Recv();
    ended = true;
  });
  test::Patience patience;
  for (bool blocked = false; !blocked; patience.Wait("it does not block")) {
    for (const GoroutineInfo& info : Goroutines()) {
      blocked = blocked || (info.name == "waits" && info.state == "waiting");
    }
  }
  watchdog.Check();
  EXPECT_EQ(told.Times("waits"), 0);
  ch.Send(1);
  while (!ended) patience.Wait("it was not woken");
}

SCENARIO(LogsToStderr) {
  Leak("lost");
  AwaitLeak("lost");
  LeakWatchdog watchdog({.interval = absl::Hours(1)});
  watchdog.Check();
  return 0;
}

TEST(LeakWatchdogTest, WithoutCallbackItWritesToStderr) {
  const test::ChildResult child = test::RunChild("LogsToStderr");
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(child.err.rfind("gochan: 1 new leaked goroutine\n", 0), 0u)
      << child;
  EXPECT_NE(child.err.find("leak_watchdog_test.cc"), std::string::npos)
      << child;
  // Once, by whoever came first.
  EXPECT_EQ(child.err.find("new leaked", 20), std::string::npos) << child;
}

// Threads that only look on used to keep it from being seen.
SCENARIO(Deadlock) {
  SetBlockProfileRate(1'000'000);
  const DebugHistory history(absl::Milliseconds(1));
  const LeakWatchdog watchdog({.interval = absl::Hours(1)});
  return RunMain([] { MakeChan<int>().Recv(); });
}

TEST(LeakWatchdogTest, ADeadlockIsSeenWhileThreadsLookOn) {
  const test::ChildResult child = test::RunChild("Deadlock");
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_NE(child.err.find("all goroutines are asleep - deadlock!"),
            std::string::npos)
      << child;
}

}  // namespace
}  // namespace gochan

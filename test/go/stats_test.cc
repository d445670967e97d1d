// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/stats.h"

// GCC 12 with AddressSanitizer takes std::regex for uninitialized.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using StatsTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(StatsTest);

std::map<std::string, int64_t> ByReason(const RuntimeStats& stats) {
  return {stats.blocked_by_reason.begin(), stats.blocked_by_reason.end()};
}

// The first numbers that `is_right` accepts.
template <typename IsRight>
RuntimeStats Await(IsRight is_right) {
  test::Patience patience;
  for (;;) {
    const RuntimeStats stats = Stats();
    if (is_right(stats)) return stats;
    patience.Wait(
        [] { return "the numbers are not right:\n" + PrometheusText(); });
  }
}

// -----------------------------------------------------------------------------
// Stats()
// -----------------------------------------------------------------------------

PARTY_TEST(StatsTest, BlockedOnesByReason) {
  const RuntimeStats before = Stats();
  auto never = MakeChan<Unit>();
  auto other = MakeChan<Unit>();
  auto full = MakeChan<int>();
  Mutex mutex;
  WaitGroup group;
  group.Add(1);
  mutex.lock();
  test::Parties parties;
  parties.GoEach(3, [&](int) { never.Recv(); });
  parties.GoEach(2, [&](int) { full.Send(1); });
  parties.Go([&] { Select(RecvCase(never), RecvCase(other)); });
  parties.Go([&] {
    mutex.lock();
    mutex.unlock();
  });
  parties.Go([&] { group.Wait(); });
  const RuntimeStats stats = Await([&](const RuntimeStats& now) {
    return now.blocked == before.blocked + 8;
  });
  std::map<std::string, int64_t> by_reason = ByReason(stats);
  EXPECT_EQ(by_reason["chan receive"], ByReason(before)["chan receive"] + 3);
  EXPECT_EQ(by_reason["chan send"], 2);
  EXPECT_EQ(by_reason["select"], 1);
  EXPECT_EQ(by_reason["sync.Mutex.Lock"], 1);
  EXPECT_EQ(by_reason["sync.WaitGroup.Wait"], 1);
  // Those that are at 0 are there too, and each once.
  EXPECT_EQ(by_reason.count("sync.Cond.Wait"), 1u);
  EXPECT_EQ(by_reason.size(), stats.blocked_by_reason.size());
  EXPECT_EQ(by_reason.count("running"), 0u);
  EXPECT_EQ(by_reason.count("blocking call"), 0u);
  EXPECT_EQ(stats.live, before.live + 8);
  mutex.unlock();
  group.Done();
  EXPECT_EQ(full.Recv().value, 1);
  EXPECT_EQ(full.Recv().value, 1);
  never.Close();
}

PARTY_TEST(StatsTest, EveryGoroutineIsInOneState) {
  auto never = MakeChan<Unit>();
  std::atomic<bool> stop = false;
  test::Parties parties;
  parties.GoEach(10, [&](int) { never.Recv(); });
  parties.Go([&] {
    while (!stop) Yield();
  });
  const auto sum = [](const RuntimeStats& stats) {
    return stats.running + stats.runnable + stats.blocked +
           stats.in_blocking_calls;
  };
  Await([&](const RuntimeStats& stats) {
    EXPECT_EQ(stats.live, sum(stats));
    EXPECT_LE(stats.running, stats.workers);
    int64_t by_reason = 0;
    for (const auto& [reason, count] : stats.blocked_by_reason) {
      by_reason += count;
    }
    EXPECT_EQ(stats.blocked, by_reason);
    return stats.blocked >= 10;
  });
  stop = true;
  never.Close();
}

PARTY_TEST(StatsTest, BlockingCalls) {
  std::atomic<bool> stop = false;
  test::Parties parties;
  parties.Go([&] {
    Blocking([&] {
      while (!stop) std::this_thread::yield();
    });
  });
  Await([](const RuntimeStats& stats) { return stats.in_blocking_calls == 1; });
  stop = true;
}

PARTY_TEST(StatsTest, CountersGrow) {
  const RuntimeStats before = Stats();
  {
    test::Parties parties;
    parties.GoEach(100, [](int) {});
  }
  const RuntimeStats after = Await([&](const RuntimeStats& now) {
    return now.finished >= before.finished + 100;
  });
  EXPECT_EQ(after.spawned, before.spawned + 100);
  EXPECT_EQ(after.finished, before.finished + 100);
  EXPECT_GE(after.steals, before.steals);
  EXPECT_GE(after.wake_ups, before.wake_ups);
  EXPECT_GE(after.handoffs, before.handoffs);
  EXPECT_EQ(after.workers, SetMaxProcs(0));
  EXPECT_EQ(after.run_queues.size(), static_cast<std::size_t>(after.workers));
}

PARTY_TEST(StatsTest, TheOldestIsTheFirstThatWasBlocked) {
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> first = 0;
  test::Parties parties;
  parties.Go([&] {
    first = GoroutineId();
    never.Recv();
  });
  // Others of an earlier test may be blocked for ever.
  const RuntimeStats stats =
      Await([](const RuntimeStats& now) { return now.oldest_blocked_id != 0; });
  if (stats.oldest_blocked_id == first) {
    const RuntimeStats later = Await([&](const RuntimeStats& now) {
      return now.oldest_blocked_for > stats.oldest_blocked_for;
    });
    EXPECT_EQ(later.oldest_blocked_id, first);
  }
  never.Close();
}

// With one worker nobody else runs while the caller looks.
PARTY_TEST(StatsTest, RunQueuesAndOverflow) {
  if (test::current_setting.workers != 1) return;
  constexpr int kGoroutines = 1000;  // more than a queue has places
  test::Parties parties;
  parties.GoEach(kGoroutines, [](int) {});
  const RuntimeStats stats = Stats();
  EXPECT_EQ(stats.runnable, kGoroutines);
  EXPECT_EQ(stats.running, 1);
  ASSERT_EQ(stats.run_queues.size(), 1u);
  EXPECT_GE(stats.run_queues[0], 200);
  EXPECT_LE(stats.run_queues[0], 400);
  EXPECT_EQ(stats.run_queues[0] + stats.run_queue_overflow, kGoroutines);
}

PARTY_TEST(StatsTest, Stacks) {
  const RuntimeStats before = Stats();
  constexpr int kGoroutines = 200;  // more than are measured
  auto never = MakeChan<Unit>();
  test::Parties parties;
  parties.GoEach(kGoroutines, [&](int) {
    // Three pages at least, of whatever size a page is.
    volatile char touched[12 << 10];
    for (std::size_t i = 0; i < sizeof(touched); i += 1024) touched[i] = 1;
    never.Recv();
    (void)touched[0];
  });
  const RuntimeStats stats = Await([&](const RuntimeStats& now) {
    return now.blocked >= before.blocked + kGoroutines;
  });
  EXPECT_GE(stats.stacks_in_use, before.stacks_in_use + kGoroutines);
  EXPECT_GE(stats.stacks, stats.stacks_in_use);
  // AddressSanitizer keeps the array elsewhere.
  const std::size_t each = test::kSanitized ? 4 << 10 : 12 << 10;
  EXPECT_GE(stats.stack_resident_bytes, kGoroutines * each);
  EXPECT_GE(stats.stack_reserved_bytes, stats.stack_resident_bytes);
  never.Close();
  parties.Join();
  const RuntimeStats after = Await([&](const RuntimeStats& now) {
    return now.stacks_in_use <= before.stacks_in_use;
  });
  // They stay, for who comes next.
  EXPECT_EQ(after.stack_reserved_bytes, stats.stack_reserved_bytes);
  EXPECT_GT(after.stack_pooled_bytes, stats.stack_pooled_bytes);
}

PARTY_TEST(StatsTest, Timers) {
  const int64_t before = Stats().timers;
  Timer timer(absl::Hours(1));
  EXPECT_EQ(Stats().timers, before + 1);
  EXPECT_TRUE(timer.Stop());
  EXPECT_EQ(Stats().timers, before);
}

PARTY_TEST(StatsTest, WhileAllGoesOn) {
  std::atomic<bool> stop = false;
  auto ch = MakeChan<int>(1);
  test::Parties parties;
  parties.GoEach(4, [&](int i) {
    while (!stop) {
      if (i % 2 == 0) {
        Select(SendCase(ch, i), RecvCase(ch), DefaultCase());
      } else {
        WaitGroup group;
        group.Go([] { Yield(); });
        group.Wait();
      }
      Yield();
    }
  });
  const int64_t looks = test::Scaled(300);
  for (int64_t look = 0; look < looks; ++look) {
    const RuntimeStats stats = Stats();
    EXPECT_EQ(stats.live, stats.running + stats.runnable + stats.blocked +
                              stats.in_blocking_calls);
    EXPECT_GE(stats.live, 1);
    Yield();
  }
  stop = true;
}

// -----------------------------------------------------------------------------
// PrometheusText()
// -----------------------------------------------------------------------------

struct Metric {
  std::string type;
  std::map<std::string, double> values;  // by labels, as they are written
};

// Reads the text as Prometheus does, and refuses what its linter does.
std::map<std::string, Metric> Parse(const std::string& text) {
  static const std::regex kHelp("# HELP ([a-z_]+) ([A-Z].*\\.)");
  static const std::regex kType("# TYPE ([a-z_]+) (counter|gauge)");
  static const std::regex kSample(
      "([a-z_]+)(\\{([a-z_]+=\"[^\"\\\\\\n]*\")\\})? "
      "(-?[0-9]+(\\.[0-9]+)?(e[+-]?[0-9]+)?)");
  std::map<std::string, Metric> metrics;
  std::string name;
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(text.back(), '\n');
  std::istringstream lines(text);
  bool has_help = false;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) {
      // All of a metric stands together.
      EXPECT_EQ(metrics.count(match[1]), 0u) << line;
      name = match[1];
      has_help = true;
    } else if (std::regex_match(line, match, kType)) {
      EXPECT_TRUE(has_help) << line;
      EXPECT_EQ(match[1], name);
      metrics[name].type = match[2];
      has_help = false;
      EXPECT_EQ(name.ends_with("_total"), match[2] == "counter") << line;
      EXPECT_EQ(name.rfind("gochan_", 0), 0u) << line;
    } else if (std::regex_match(line, match, kSample)) {
      EXPECT_EQ(match[1], name) << line;
      EXPECT_FALSE(has_help) << line;
      EXPECT_TRUE(
          metrics[name].values.emplace(match[3], std::stod(match[4])).second)
          << "twice: " << line;
    } else {
      ADD_FAILURE() << "not in the format: " << line;
    }
  }
  for (const auto& [of, metric] : metrics) {
    EXPECT_FALSE(metric.values.empty()) << of;
  }
  return metrics;
}

PARTY_TEST(StatsTest, PrometheusFormat) {
  auto never = MakeChan<Unit>();
  test::Parties parties;
  parties.GoEach(5, [&](int) { never.Recv(); });
  const RuntimeStats stats =
      Await([](const RuntimeStats& now) { return now.blocked >= 5; });
  const auto metrics = Parse(internal::ToPrometheusText(stats));
  const auto value = [&](const std::string& name, const std::string& labels) {
    const auto at = metrics.find(name);
    if (at == metrics.end() || at->second.values.count(labels) == 0) {
      ADD_FAILURE() << "no " << name << "{" << labels << "}";
      return -1.0;
    }
    return at->second.values.at(labels);
  };
  EXPECT_EQ(value("gochan_goroutines", ""), static_cast<double>(stats.live));
  EXPECT_EQ(value("gochan_goroutines_spawned_total", ""),
            static_cast<double>(stats.spawned));
  EXPECT_EQ(value("gochan_goroutines_finished_total", ""),
            static_cast<double>(stats.finished));
  EXPECT_EQ(value("gochan_goroutines_state", "state=\"waiting\""),
            static_cast<double>(stats.blocked));
  for (const auto& [reason, count] : stats.blocked_by_reason) {
    EXPECT_EQ(value("gochan_goroutines_blocked", "reason=\"" + reason + "\""),
              static_cast<double>(count));
  }
  for (std::size_t i = 0; i < stats.run_queues.size(); ++i) {
    EXPECT_EQ(value("gochan_run_queue_length",
                    "worker=\"" + std::to_string(i) + "\""),
              static_cast<double>(stats.run_queues[i]));
  }
  EXPECT_EQ(value("gochan_stack_reserved_bytes", ""),
            static_cast<double>(stats.stack_reserved_bytes));
  EXPECT_EQ(value("gochan_timers", ""), static_cast<double>(stats.timers));
  // Nobody looks for leaks.
  EXPECT_EQ(metrics.count("gochan_leaked_goroutines"), 0u);
  Parse(PrometheusText());
  never.Close();
}

TEST(PrometheusTest, LeaksWhileAWatchdogLooks) {
  EXPECT_EQ(internal::LeakedGoroutines(), -1);
  internal::AddLeakWatchdog(1);
  // It has not looked yet.
  EXPECT_EQ(Parse(PrometheusText()).count("gochan_leaked_goroutines"), 0u);
  internal::SetLeakedGoroutines(7);
  EXPECT_EQ(Parse(PrometheusText())["gochan_leaked_goroutines"].values[""], 7);
  internal::AddLeakWatchdog(-1);
  EXPECT_EQ(Parse(PrometheusText()).count("gochan_leaked_goroutines"), 0u);
}

}  // namespace
}  // namespace gochan

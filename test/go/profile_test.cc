// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/profile.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/profile_builder.h"
#include "go/sync.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/leaks.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/pprof.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using internal::ProfileBuilder;
using test::Profile;
using test::ReadProfile;
using ValueType = Profile::ValueType;

// -----------------------------------------------------------------------------
// Gzip(), ProfileBuilder
// -----------------------------------------------------------------------------

TEST(GzipTest, OfAllSizes) {
  // 65535 is what a block may hold.
  for (const std::size_t size :
       {0, 1, 100, 65534, 65535, 65536, 131070, 200000}) {
    std::string data(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
      data[i] = static_cast<char>(i * i >> 3);
    }
    EXPECT_EQ(test::Gunzip(internal::Gzip(data)), data) << size;
  }
}

TEST(ProfileBuilderTest, LikeSamplesAddUp) {
  ProfileBuilder profile({{"apples", "count"}, {"weight", "grams"}},
                         {"apples", "count"}, 3);
  const ProfileBuilder::Frame leaf = {"leaf()", "tree.cc", 7};
  const ProfileBuilder::Frame other_line = {"leaf()", "tree.cc", 8};
  const ProfileBuilder::Frame root = {"root()", "tree.cc", 300};
  profile.Add({leaf, root}, {}, {1, 100});
  profile.Add({leaf, root}, {}, {2, int64_t{1} << 40});
  profile.Add({other_line, root}, {}, {4, 1});
  profile.Add({leaf}, {}, {8, 1});
  profile.Add({leaf, root}, {{"kind", "red"}}, {16, 1});
  profile.Add({leaf, root}, {{"kind", "green"}}, {32, 1});
  profile.SetDuration(55);
  profile.SetDefaultType("weight");
  const Profile read = ReadProfile(profile.Encode());
  EXPECT_EQ(read.sample_types,
            (std::vector<ValueType>{{"apples", "count"}, {"weight", "grams"}}));
  EXPECT_EQ(read.period_type, ValueType("apples", "count"));
  EXPECT_EQ(read.period, 3);
  EXPECT_EQ(read.duration_nanos, 55);
  EXPECT_GT(read.time_nanos, 1'700'000'000'000'000'000);
  EXPECT_EQ(read.default_sample_type, "weight");
  ASSERT_EQ(read.mappings.size(), 1u);
#if defined(__linux__)
  EXPECT_NE(read.mappings[0].find("profile_test"), std::string::npos);
#endif
  ASSERT_EQ(read.samples.size(), 5u);
  const auto find = [&](int64_t first_value) {
    const auto at = std::find_if(
        read.samples.begin(), read.samples.end(),
        [&](const auto& sample) { return sample.values[0] == first_value; });
    EXPECT_NE(at, read.samples.end()) << first_value;
    return at == read.samples.end() ? Profile::Sample() : *at;
  };
  const Profile::Sample both = find(3);
  EXPECT_EQ(both.values[1], (int64_t{1} << 40) + 100);
  ASSERT_EQ(both.stack.size(), 2u);
  EXPECT_EQ(both.stack[0].function, "leaf()");
  EXPECT_EQ(both.stack[0].file, "tree.cc");
  EXPECT_EQ(both.stack[0].line, 7);
  EXPECT_EQ(both.stack[1].line, 300);
  EXPECT_TRUE(both.labels.empty());
  EXPECT_EQ(find(4).stack[0].line, 8);
  EXPECT_EQ(find(8).stack.size(), 1u);
  EXPECT_EQ(find(16).labels.find("kind")->second, "red");
  EXPECT_EQ(find(32).labels.find("kind")->second, "green");
}

TEST(ProfileBuilderTest, Empty) {
  const Profile read =
      ReadProfile(ProfileBuilder({{"a", "b"}}, {"a", "b"}, 1).Encode());
  EXPECT_TRUE(read.samples.empty());
  EXPECT_EQ(read.sample_types.size(), 1u);
}

// -----------------------------------------------------------------------------
// Of goroutines
// -----------------------------------------------------------------------------

using ProfileTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(ProfileTest);

// Those of the samples with that line of this file on top.
std::vector<Profile::Sample> At(const Profile& profile, int line) {
  std::vector<Profile::Sample> found;
  for (const Profile::Sample& sample : profile.samples) {
    const bool is_there = std::any_of(
        sample.stack.begin(), sample.stack.end(), [&](const auto& frame) {
          return frame.line == line &&
                 frame.file.find("profile_test.cc") != std::string::npos;
        });
    if (is_there) found.push_back(sample);
  }
  return found;
}

template <typename IsRight>
void Await(IsRight is_right) {
  test::Patience patience;
  while (!is_right()) {
    patience.Wait([] { return "not yet so:\n" + GoroutineDump(); });
  }
}

int64_t BlockedAt(int line) {
  int64_t count = 0;
  for (const GoroutineInfo& info : Goroutines()) {
    count += info.state == "waiting" && info.blocked_at.line == line ? 1 : 0;
  }
  return count;
}

PARTY_TEST(ProfileTest, GoroutinesByStack) {
  auto never = MakeChan<Unit>();
  auto full = MakeChan<int>();
  test::Parties parties;
  constexpr int kReceive = __LINE__ + 1;
  parties.GoEach(5, [&](int) { never.Recv(); });
  constexpr int kSend = __LINE__ + 1;
  parties.GoEach(2, [&](int) { full.Send(1); });
  Await([] { return BlockedAt(kReceive) == 5 && BlockedAt(kSend) == 2; });
  const Profile profile = ReadProfile(GoroutineProfilePprof());
  EXPECT_EQ(
      profile.sample_types,
      (std::vector<ValueType>{{"goroutine", "count"}, {"stack", "bytes"}}));
  EXPECT_EQ(profile.period_type, ValueType("goroutine", "count"));
  EXPECT_EQ(profile.default_sample_type, "goroutine");
  const std::vector<Profile::Sample> receivers = At(profile, kReceive);
  ASSERT_EQ(receivers.size(), 1u);
  EXPECT_EQ(receivers[0].values[0], 5);
  EXPECT_GE(receivers[0].values[1], 5 * 4096);
  EXPECT_EQ(receivers[0].labels.find("wait_reason")->second, "chan receive");
  EXPECT_NE(receivers[0].labels.find("created_by")->second.find("parties.h:"),
            std::string::npos);
  const std::vector<Profile::Sample> senders = At(profile, kSend);
  ASSERT_EQ(senders.size(), 1u);
  EXPECT_EQ(senders[0].values[0], 2);
  // The caller is there too.
  int64_t total = 0;
  int64_t running = 0;
  for (const Profile::Sample& sample : profile.samples) {
    total += sample.values[0];
    if (sample.stack[0].function == "[running]") running += sample.values[0];
  }
  EXPECT_EQ(total, NumGoroutine());
  EXPECT_GE(running, 1);

  const std::string text = GoroutineProfileText();
  EXPECT_EQ(text.rfind("goroutine profile: total ", 0), 0u);
  const std::size_t five = text.find("5 @ [chan receive]\n#\t");
  const std::size_t two = text.find("2 @ [chan send]\n#\t");
  ASSERT_NE(five, std::string::npos) << text;
  ASSERT_NE(two, std::string::npos) << text;
  EXPECT_LT(five, two);
  EXPECT_NE(text.find("profile_test.cc:" + std::to_string(kReceive), five),
            std::string::npos);
  EXPECT_NE(text.find("# created by ", five), std::string::npos);
  full.Recv();
  full.Recv();
  never.Close();
}

// They stay, so this is no PARTY_TEST.
TEST(LeakProfileTest, WhoCanNeverRunAgain) {
  test::ExpectLeaks(3);
  constexpr int kLeak = __LINE__ + 2;
  for (int i = 0; i < 3; ++i) {
    Go([] { MakeChan<int>().Recv(); });
  }
  auto ch = MakeChan<int>();
  std::atomic<bool> ended = false;
  constexpr int kHonest = __LINE__ + 2;
  Go([ch, &ended] {
    ch.Recv();
    ended = true;
  });
  Await([] { return BlockedAt(kLeak) == 3 && BlockedAt(kHonest) == 1; });
  Profile profile;
  Await([&] {
    profile = ReadProfile(GoroutineLeakProfilePprof());
    const auto leaks = At(profile, kLeak);
    return !leaks.empty() && leaks[0].values[0] == 3;
  });
  EXPECT_EQ(profile.default_sample_type, "goroutineleak");
  EXPECT_EQ(profile.sample_types[0], ValueType("goroutineleak", "count"));
  EXPECT_TRUE(At(profile, kHonest).empty());
  ch.Send(1);
  Await([&] { return ended.load(); });
}

// A loop over a channel used to block "in the iterator".
PARTY_TEST(ProfileTest, LoopsOverChannelsBlockWhereTheyStand) {
  auto never = MakeChan<int>();
  test::Parties parties;
  constexpr int kFirst = __LINE__ + 2;
  parties.Go([never] {
    for (const int value : never) (void)value;
  });
  constexpr int kSecond = __LINE__ + 2;
  parties.Go([never = RecvChan<int>(never)] {
    for (const int value : never) (void)value;
  });
  Await([] { return BlockedAt(kFirst) == 1 && BlockedAt(kSecond) == 1; });
  // A round later, too.
  never.Send(1);
  never.Send(2);
  Await([] { return BlockedAt(kFirst) == 1 && BlockedAt(kSecond) == 1; });
  never.Close();
}

// -----------------------------------------------------------------------------
// The blocking profile
// -----------------------------------------------------------------------------

struct Blocked {
  int64_t contentions = 0;
  int64_t delay_nanos = 0;
  std::string wait_reason;
};

Blocked BlockProfileAt(int line) {
  Blocked sum;
  for (const auto& total : internal::GetBlockTotals().totals) {
    if (total.blocked_at.line != line ||
        total.blocked_at.file.find("profile_test.cc") == std::string::npos) {
      continue;
    }
    sum.contentions += total.contentions;
    sum.delay_nanos += total.delay_nanos;
    sum.wait_reason = total.wait_reason;
  }
  return sum;
}

PARTY_TEST(ProfileTest, BlockProfile) {
  constexpr int64_t kLong = 20'000'000;
  auto never = MakeChan<Unit>();
  Mutex mutex;
  mutex.lock();
  test::Parties parties;
  SetBlockProfileRate(1'000'000);
  // The instances of this test add up.
  constexpr int kReceive = __LINE__ + 2;
  const Blocked receive_before = BlockProfileAt(kReceive);
  parties.GoEach(3, [&](int) { never.Recv(); });
  constexpr int kLock = __LINE__ + 2;
  parties.Go([&] {
    mutex.lock();
    mutex.unlock();
  });
  constexpr int kSleep = __LINE__ + 1;
  parties.Go([&] { Sleep(absl::Nanoseconds(2 * kLong)); });
  Await([&] {
    return BlockProfileAt(kReceive).delay_nanos >=
               receive_before.delay_nanos + 3 * kLong &&
           BlockProfileAt(kLock).delay_nanos >= kLong;
  });
  const Blocked receive = BlockProfileAt(kReceive);
  EXPECT_EQ(receive.wait_reason, "chan receive");
  // Each wait once, however often it was seen.
  EXPECT_EQ(receive.contentions, receive_before.contentions + 3);
  EXPECT_EQ(BlockProfileAt(kLock).wait_reason, "sync.Mutex.Lock");
  EXPECT_EQ(BlockProfileAt(kSleep).delay_nanos, 0);

  const Profile profile = ReadProfile(BlockProfilePprof());
  EXPECT_EQ(profile.sample_types,
            (std::vector<ValueType>{{"contentions", "count"},
                                    {"delay", "nanoseconds"}}));
  EXPECT_EQ(profile.default_sample_type, "delay");
  EXPECT_GE(profile.duration_nanos, kLong);
  const std::vector<Profile::Sample> samples = At(profile, kReceive);
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].values[0], receive.contentions);
  EXPECT_GE(samples[0].values[1], 3 * kLong);

  SetBlockProfileRate(0);
  EXPECT_EQ(internal::GetBlockTotals().rate, 0);
  const Blocked off = BlockProfileAt(kReceive);
  const absl::Duration sampled = internal::GetBlockTotals().sampled;
  test::PauseFor(test::kPause);
  EXPECT_EQ(BlockProfileAt(kReceive).delay_nanos, off.delay_nanos);
  EXPECT_EQ(internal::GetBlockTotals().sampled, sampled);
  mutex.unlock();
  never.Close();
}

PARTY_TEST(ProfileTest, TurnedOnAndOffByMany) {
  test::Parties parties;
  parties.GoEach(4, [](int i) {
    for (int round = 0; round < 20; ++round) {
      SetBlockProfileRate(i % 2 == 0 ? 1'000'000 : 0);
      ReadProfile(BlockProfilePprof());
    }
  });
  parties.Join();
  SetBlockProfileRate(0);
}

// -----------------------------------------------------------------------------
// go tool pprof
// -----------------------------------------------------------------------------

struct CommandResult {
  int status = -1;
  std::string out;
};

CommandResult RunCommand(const std::string& command) {
  CommandResult result;
  std::FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  while (const std::size_t n =
             std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.out.append(buffer.data(), n);
  }
  result.status = pclose(pipe);
  return result;
}

TEST(PprofToolTest, OpensWhatWeWrite) {
  if (RunCommand("command -v go").status != 0) {
    GTEST_SKIP() << "Go is not installed";
  }
  // Newer versions of Go build pprof when it is first used, which takes a
  // minute, and Bazel keeps nothing.
  const char* const cache = std::getenv("GOCACHE");
  if (std::getenv("TEST_TMPDIR") != nullptr && cache == nullptr) {
    GTEST_SKIP() << "no GOCACHE under Bazel";
  }
  // Nothing is downloaded, and nothing written outside of this folder, but for
  // that.
  const std::string dir =
      RunCommand("pwd -P | tr -d '\\n'").out + "/pprof_test.tmp";
  const std::string pprof =
      "mkdir -p " + dir + " && cd " + dir + " && HOME=" + dir +
      " GOCACHE=" + (cache != nullptr ? std::string(cache) : dir + "/cache") +
      " GOPATH=" + dir + "/path PPROF_TMPDIR=" + dir +
      " GOTOOLCHAIN=local GOPROXY=off GOFLAGS= GOENV=off timeout 300 go tool "
      "pprof ";
  if (RunCommand(pprof + "-h").out.find("-top") == std::string::npos) {
    GTEST_SKIP() << "this Go has no pprof";
  }
  test::current_setting = {test::PartyKind::kGoroutines, 0};
  auto never = MakeChan<Unit>();
  {
    test::Parties parties;
    constexpr int kLine = __LINE__ + 1;
    parties.GoEach(7, [&](int) { never.Recv(); });
    Await([] { return BlockedAt(kLine) == 7; });
    SetBlockProfileRate(1'000'000);
    Await([] { return BlockProfileAt(kLine).delay_nanos > 0; });
    std::ofstream(dir + "/goroutine.pb.gz") << GoroutineProfilePprof();
    std::ofstream(dir + "/block.pb.gz") << BlockProfilePprof();
    SetBlockProfileRate(0);
    never.Close();
    parties.Join();
    const std::string place = "profile_test.cc:" + std::to_string(kLine);

    const CommandResult top = RunCommand(pprof + "-top -lines goroutine.pb.gz");
    EXPECT_EQ(top.status, 0) << top.out;
    EXPECT_NE(top.out.find("Type: goroutine"), std::string::npos) << top.out;
    EXPECT_NE(top.out.find("File: profile_test"), std::string::npos) << top.out;
    EXPECT_NE(top.out.find(place), std::string::npos) << top.out;

    const CommandResult raw = RunCommand(pprof + "-raw goroutine.pb.gz");
    EXPECT_EQ(raw.status, 0) << raw.out;
    EXPECT_NE(raw.out.find("wait_reason:[chan receive]"), std::string::npos)
        << raw.out;
    EXPECT_NE(raw.out.find(place), std::string::npos) << raw.out;

    const CommandResult block = RunCommand(pprof + "-top -lines block.pb.gz");
    EXPECT_EQ(block.status, 0) << block.out;
    EXPECT_NE(block.out.find("Type: delay"), std::string::npos) << block.out;
    EXPECT_NE(block.out.find(place), std::string::npos) << block.out;
  }
  test::current_setting = {};
}

}  // namespace
}  // namespace gochan

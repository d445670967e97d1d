// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The leak check of our own tests: each test, and the whole run, fails if it
// leaves more goroutines behind than it has declared by ExpectLeaks(); and if
// FindLeaks() reports more while it runs. Linked into every test program by
// gochan_cc_test.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/leak_check.h"
#include "gtest/gtest.h"
#include "runtime/sanitizers.h"
#include "test/util/leaks.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::test {
namespace {

// Who is there when there are no more than `expected`, or after kLimit. Empty
// if there are no more.
std::string TooMany(const LeakOptions& options, int expected) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  std::chrono::microseconds pause{1};
  for (;;) {
    const std::vector<GoroutineInfo> left = internal::FindAll(options);
    if (static_cast<int>(left.size()) <= expected) return "";
    if (std::chrono::steady_clock::now() > deadline) {
      return std::to_string(expected) + " leaks were expected; " +
             internal::UnexpectedText(left);
    }
    PauseFor(pause);
    pause = std::min(2 * pause, std::chrono::microseconds{100'000});
  }
}

LeakOptions AtOnce() { return LeakOptions().MaxWait(absl::ZeroDuration()); }

// While a test waits for something.
//
// At most so often in each test, as a look may take many milliseconds.
constexpr int kMaxLooks = 3;
std::atomic<int> looks{0};
// Who is older than the running test. Written between tests.
LeakOptions before_test;

[[maybe_unused]] void LookForLeaks() {
  // Relaxed: a count.
  if (looks.fetch_add(1, std::memory_order_relaxed) >= kMaxLooks) return;
  std::vector<GoroutineInfo> leaks = FindLeaks();
  std::erase_if(leaks, [](const GoroutineInfo& leak) {
    const auto& before = internal::LeakAccess::Ids(before_test);
    return std::binary_search(before.begin(), before.end(), leak.id);
  });
  if (static_cast<int>(leaks.size()) > expected_leaks) {
    ADD_FAILURE() << "FindLeaks() reports those of a test that goes on, where "
                  << expected_leaks << " were expected:\n\n"
                  << LeakReport(leaks);
  }
}

class Listener : public ::testing::EmptyTestEventListener {
 public:
  void OnTestStart(const ::testing::TestInfo& /*test*/) override {
    expected_leaks = 0;
    looks = 0;
    before_test = AtOnce().IgnoreCurrent();
  }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    expected_in_all_ += expected_leaks;
    // Who has left a test by ASSERT may have left much else.
    if (!test.result()->Passed()) return;
    const std::string text = TooMany(before_test, expected_leaks);
    if (!text.empty()) ADD_FAILURE_AT(test.file(), test.line()) << text;
  }

  // Also of what was started beside the tests.
  void OnEnvironmentsTearDownStart(
      const ::testing::UnitTest& program) override {
    if (program.Failed()) return;
    const std::string text = TooMany(AtOnce(), expected_in_all_);
    if (!text.empty()) ADD_FAILURE() << "after all tests: " << text;
  }

 private:
  int expected_in_all_ = 0;
};

// Before main(). GoogleTest deletes the listener.
[[maybe_unused]] const bool kRegistered = [] {
#if !GOCHAN_TSAN && !GOCHAN_ASAN
  in_long_wait = &LookForLeaks;
#endif
  ::testing::UnitTest::GetInstance()->listeners().Append(new Listener);
  return true;
}();

}  // namespace
}  // namespace gochan::test

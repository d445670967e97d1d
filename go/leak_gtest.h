// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// LeakCheck with GoogleTest. To include this header is enough: whatever fails
// by go/leak_check.h in this program fails the running test, at the line where
// the check was made, and the program goes on.
//
//   int main(int argc, char** argv) {
//     ::testing::InitGoogleTest(&argc, argv);
//     gochan::CheckLeaksOfEachTest();      // a LeakCheck around every test
//     return gochan::VerifyTestMain([] { return RUN_ALL_TESTS(); });
//   }
//
// For test programs: not in gochan.h, as gochan itself does not need
// GoogleTest. All is in this header; the program brings a GoogleTest of its
// own.

#ifndef GOCHAN_GO_LEAK_GTEST_H_
#define GOCHAN_GO_LEAK_GTEST_H_

#include <string>
#include <utility>
#include <vector>

#include "go/inspect.h"
#include "go/leak_check.h"
#include "gtest/gtest.h"
#include "runtime/source_location.h"

namespace gochan {

// LeakListener
//
// Checks each test, its SetUp() and TearDown() included: ignores who lives when
// it starts, and fails it, at its own line, if others live when it has ended. A
// test that has failed is checked only with RunOnFailure(). The options are
// used for each test anew, the clean-up function too. It labels nobody:
// GoogleTest runs one test at a time.
class LeakListener : public ::testing::EmptyTestEventListener {
 public:
  explicit LeakListener(LeakOptions options = {})
      : options_(std::move(options)) {}

  void OnTestStart(const ::testing::TestInfo& test) override;
  void OnTestEnd(const ::testing::TestInfo& test) override;

 private:
  const LeakOptions options_;
  LeakOptions current_;  // of the test that runs
};

// CheckLeaksOfEachTest()
//
// Gives GoogleTest a LeakListener. To be called once, before RUN_ALL_TESTS().
void CheckLeaksOfEachTest(LeakOptions options = {});

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

inline void LeakListener::OnTestStart(const ::testing::TestInfo& /*test*/) {
  current_ = options_;
  current_.IgnoreCurrent();
}

inline void LeakListener::OnTestEnd(const ::testing::TestInfo& test) {
  using internal::LeakAccess;
  if (test.result()->Passed() || LeakAccess::RunOnFailure(options_)) {
    const std::vector<GoroutineInfo> found = internal::FindAll(current_);
    if (!found.empty()) {
      ADD_FAILURE_AT(test.file(), test.line())
          << internal::UnexpectedText(found);
    }
  }
  const auto& cleanup = LeakAccess::Cleanup(options_);
  if (cleanup != nullptr) cleanup(0);
}

inline void CheckLeaksOfEachTest(LeakOptions options) {
  // GoogleTest deletes it.
  ::testing::UnitTest::GetInstance()->listeners().Append(
      new LeakListener(std::move(options)));
}

namespace internal {

inline void FailTest(const std::string& report, const SourceLocation& site) {
  ADD_FAILURE_AT(site.file_name(), static_cast<int>(site.line())) << report;
}

// Before main().
[[maybe_unused]] inline const bool kLeaksFailTests = [] {
  SetLeakFailure(&FailTest);
  return true;
}();

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_LEAK_GTEST_H_

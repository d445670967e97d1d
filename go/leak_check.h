// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// LeakCheck: no goroutine outlives the test that has started it. For C++ what
// go.uber.org/goleak is for Go.
//
//   TEST(ServerTest, Stops) {
//     LeakCheck check;
//     Server server;
//     server.Start();
//     server.Stop();
//   }                           // fails if a goroutine of it is still there
//
//   LeakCheck        a test's scope: who has been started in it has ended
//   VerifyNone       goleak's: nobody at all is there but the caller
//   VerifyTestMain   goleak's: the same at the end of a whole test program
//   FindUnexpected   goleak's Find: the same as a status
//   LeakOptions      whom to ignore, how long to wait
//
// All of them look again and again, with growing pauses, until nobody is left
// or the time is over, so who is just about to end is not reported. What is
// left then is a failure. A program with GoogleTest includes go/leak_gtest.h,
// and the running test fails; otherwise the report goes to stderr and the
// program is aborted.
//
// Never reported: the caller, the main goroutine, goroutines that the library
// runs for itself. Threads of the runtime are no goroutines.
//
// FindLeaks() (go/leak.h) asks another question, who can never run again, and
// so needs no test that ends; here a goroutine that still works counts too.

#ifndef GOCHAN_GO_LEAK_CHECK_H_
#define GOCHAN_GO_LEAK_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/labels.h"
#include "runtime/source_location.h"

namespace gochan {

namespace internal {
struct LeakAccess;
}  // namespace internal

// -----------------------------------------------------------------------------
// LeakOptions
// -----------------------------------------------------------------------------

// What a check ignores, and how it ends. Every member returns the object:
//
//   VerifyNone(LeakOptions().IgnoreCurrent().IgnoreCreatedBy("StartPool"));
//
// A function is named as reports name it. Leading namespaces and classes may be
// left out, and so may "()" at the end: "Pool::Start" is "app::Pool::Start()",
// and not "app::Pool::Start()::<lambda>". Or a place is: "pool.cc:40"; leading
// folders may be left out. Of a goroutine that runs nobody knows the stack:
// only its creator and its name are known then.
class LeakOptions {
 public:
  LeakOptions() = default;

  // Who is blocked in that function: the innermost of the program's own.
  LeakOptions& IgnoreTopFunction(std::string function);

  // Who has that function anywhere on its stack. Who has created it is not
  // there.
  LeakOptions& IgnoreAnyFunction(std::string function);

  // Whom that function has started.
  LeakOptions& IgnoreCreatedBy(std::string function);

  // Who has that name (GoOptions::name).
  LeakOptions& IgnoreName(std::string name);

  // Who lives now. A LeakCheck does so by itself.
  LeakOptions& IgnoreCurrent();

  // For a LeakCheck: counts only goroutines that its own party has started, or
  // those have, and so on. Without it, one that comes from a plain thread, or
  // from a goroutine older than the check, counts as well, for nobody knows
  // whose it is; see LeakCheck.
  LeakOptions& OnlyOwn();

  // How long to wait for goroutines to end: a second unless set here.
  LeakOptions& MaxWait(absl::Duration wait);

  // Calls fn(code) after the check: with the program's status from
  // VerifyTestMain(), else with 0.
  LeakOptions& Cleanup(std::function<void(int code)> fn);

  // For VerifyTestMain(): looks for leaks also when the tests have failed.
  LeakOptions& RunOnFailure();

 private:
  friend struct internal::LeakAccess;

  std::vector<std::string> top_;
  std::vector<std::string> any_;
  std::vector<std::string> creators_;
  std::vector<std::string> names_;
  std::vector<uint64_t> ids_;  // ascending
  absl::Duration max_wait_ = absl::Seconds(1);
  std::function<void(int)> cleanup_;
  bool only_own_ = false;
  bool run_on_failure_ = false;
};

// -----------------------------------------------------------------------------
// LeakCheck
// -----------------------------------------------------------------------------

// Ignores those that live when it is made.
//
// Tests may run at the same time, each with a LeakCheck: who is started while
// one lives, by its party (the goroutine or thread that has made it) or by
// somebody whom that party has started, bears its label, "gochan.leak_check.N".
// A goroutine with such labels counts for those checks and for no other. One
// without any counts for every check that is younger, unless that has
// OnlyOwn(). One check inside of another: both count.
//
// To be made and destroyed by the same party, in the reverse order like labels
// (go/labels.h). Making it costs some nanoseconds for each living goroutine.
class [[nodiscard]] LeakCheck {
 public:
  explicit LeakCheck(LeakOptions options = {},
                     const SourceLocation& site = SourceLocation::current());
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;

  // Fails, as said above, with a report of what Find() finds, by place. Then
  // calls the clean-up function.
  ~LeakCheck();

  // LeakCheck::Find()
  //
  // Those that count and have not ended; waits for them as said above, in the
  // caller: a goroutine is parked. The result is empty, or came after
  // MaxWait(). By ascending id.
  [[nodiscard]] std::vector<GoroutineInfo> Find() const;

  // LeakCheck::Cancel()
  //
  // The destructor will neither look nor clean up.
  void Cancel() { cancelled_ = true; }

 private:
  LeakOptions options_;
  const SourceLocation site_;
  const std::string label_;
  const LabelScope scope_;
  bool cancelled_ = false;
};

// -----------------------------------------------------------------------------
// As in goleak
// -----------------------------------------------------------------------------

// VerifyNone()
//
// Fails if there are goroutines but the caller, those that have started it, and
// those that the options ignore. Then calls the clean-up function with 0. Waits
// like LeakCheck::Find(). Not for use beside other tests in the same process.
void VerifyNone(LeakOptions options = {},
                const SourceLocation& site = SourceLocation::current());

// VerifyTestMain()
//
// Calls run(), which runs the tests and returns the program's status, and
// returns that. If it is 0, or with RunOnFailure(), it then looks for
// goroutines like VerifyNone(); if there are any it prints a report to stderr,
// and returns 1 instead of 0. The clean-up function is called with what it
// returns.
//
//   int main(int argc, char** argv) {
//     ::testing::InitGoogleTest(&argc, argv);
//     return gochan::VerifyTestMain([] { return RUN_ALL_TESTS(); });
//   }
[[nodiscard]] int VerifyTestMain(absl::FunctionRef<int()> run,
                                 LeakOptions options = {});

// FindUnexpected()
//
// VerifyNone() as a status: FailedPrecondition with the report. InvalidArgument
// if there is a clean-up function, which belongs to the other two.
[[nodiscard]] absl::Status FindUnexpected(LeakOptions options = {});

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

// How a failed check fails from now on, in the whole program; `report` ends
// with a line feed. nullptr: prints it and aborts.
using LeakFailure = void (*)(const std::string& report,
                             const SourceLocation& site);
void SetLeakFailure(LeakFailure fail);

// What the checks read of options.
struct LeakAccess {
  static bool Ignores(const LeakOptions& options, const GoroutineInfo& info);
  static const std::vector<uint64_t>& Ids(const LeakOptions& options) {
    return options.ids_;
  }
  static bool OnlyOwn(const LeakOptions& options) { return options.only_own_; }
  static absl::Duration MaxWait(const LeakOptions& options) {
    return options.max_wait_;
  }
  static const std::function<void(int)>& Cleanup(const LeakOptions& options) {
    return options.cleanup_;
  }
  static bool RunOnFailure(const LeakOptions& options) {
    return options.run_on_failure_;
  }
};

// VerifyNone()'s: those that are there but the caller and who has started it.
std::vector<GoroutineInfo> FindAll(const LeakOptions& options);
// What a failed check says of them.
std::string UnexpectedText(const std::vector<GoroutineInfo>& found);

// Does a filter's text name this place? See LeakOptions.
bool NamesSite(const std::string& text, const SourceSite& site);

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_LEAK_CHECK_H_

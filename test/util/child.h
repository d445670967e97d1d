// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Scenarios that end the program, run in a child process: the test program
// starts itself again and looks at how that ended.
//
//   SCENARIO(Deadlock) { return RunMain([] { MakeChan<int>().Recv(); }); }
//
//   TEST(…) {
//     ChildResult child = RunChild("Deadlock");
//     EXPECT_EQ(child.status, 2);
//     EXPECT_THAT(child.err, HasSubstr("deadlock"));
//   }
//
// A scenario is the child's main(); nothing of GoogleTest has started there.
// The program links this library instead of gtest_main.

#ifndef GOCHAN_TEST_UTIL_CHILD_H_
#define GOCHAN_TEST_UTIL_CHILD_H_

#include <ostream>
#include <string>

namespace gochan::test {

struct ChildResult {
  int status = -1;  // what it returned to the system; -1 if it was killed
  int signal = 0;   // what killed it; SIGKILL is the time limit's
  std::string out;
  std::string err;
};

// For EXPECT_…() << child.
std::ostream& operator<<(std::ostream& out, const ChildResult& child);

// Runs the scenario with that many workers (0: as many as usual) for at most
// kLimit. May be called by any number of parties at once.
ChildResult RunChild(const std::string& scenario, int workers = 0);

using ScenarioFunction = int (*)();
bool RegisterScenario(const char* name, ScenarioFunction function);

}  // namespace gochan::test

#define SCENARIO(name)                                             \
  static int Scenario##name();                                     \
  [[maybe_unused]] static const bool kScenario##name##Registered = \
      ::gochan::test::RegisterScenario(#name, &Scenario##name);    \
  static int Scenario##name()

#endif  // GOCHAN_TEST_UTIL_CHILD_H_

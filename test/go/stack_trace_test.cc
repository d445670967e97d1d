// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/stack_trace.h"

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::internal {
namespace {

TEST(FunctionKeyTest, WithoutWhatIsWrittenDifferently) {
  EXPECT_EQ(FunctionKey("main()"), "main");
  EXPECT_EQ(FunctionKey("ns::Box<T>::Put()"), "ns::Box::Put");
  EXPECT_EQ(FunctionKey("ns::Box<>::Put()"), "ns::Box::Put");
  EXPECT_EQ(FunctionKey("ns::Box<std::function<int (int)> >::Put()"),
            "ns::Box::Put");
  EXPECT_EQ(FunctionKey("ns::{anonymous}::F()"), "ns::{anonymous}::F");
  EXPECT_EQ(FunctionKey("ns::(anonymous namespace)::F()"),
            "ns::{anonymous}::F");
  EXPECT_EQ(FunctionKey("main()::<lambda>"), "main::<lambda>");
  EXPECT_EQ(FunctionKey("Run<>()::<lambda>::<lambda>"),
            "Run::<lambda>::<lambda>");
  EXPECT_EQ(FunctionKey("Less<auto (int) -> int>::Ask()"), "Less::Ask");
  EXPECT_EQ(FunctionKey("ns::F::operator()()"), "ns::F::operator()");
  EXPECT_EQ(FunctionKey("operator()"), "operator()");
  EXPECT_EQ(FunctionKey(""), "");
}

// What is shown of `functions`, where `blocked_in` blocks.
std::vector<std::string> Shown(const std::vector<std::string>& functions,
                               std::string_view blocked_in) {
  std::deque<NamedFrame> named;
  std::vector<const NamedFrame*> frames;
  for (const std::string& function : functions) {
    frames.push_back(&named.emplace_back(function, "program+0x1"));
  }
  const VisibleFrames visible = FindVisible(frames, FunctionKey(blocked_in));
  return std::vector<std::string>(
      functions.begin() + static_cast<std::ptrdiff_t>(visible.begin),
      functions.begin() + static_cast<std::ptrdiff_t>(visible.end));
}

using List = std::vector<std::string>;

TEST(FindVisibleTest, WithoutTheLibrary) {
  const List frames = {"gochan::runtime::Park()",
                       "gochan::internal::Core::Receive()",
                       "gochan::Chan<>::Recv()",
                       "Inner()",
                       "Outer()",
                       "main()::<lambda>",
                       "std::__invoke<>()",
                       "gochan::internal::Closure<>::Call()",
                       "gochan::runtime::Scheduler::Run()",
                       "gochan_context_entry()"};
  EXPECT_EQ(Shown(frames, "Inner()"), (List{"Outer()", "main()::<lambda>"}));
  // A compiler has drawn "Leaf" into Inner.
  EXPECT_EQ(Shown(frames, "Leaf()"),
            (List{"Inner()", "Outer()", "main()::<lambda>"}));
  EXPECT_EQ(Shown(frames, ""),
            (List{"Inner()", "Outer()", "main()::<lambda>"}));
}

// A function that calls itself is taken off once.
TEST(FindVisibleTest, Recursion) {
  EXPECT_EQ(Shown({"F()", "F()", "F()", "gochan_context_entry()"}, "F()"),
            (List{"F()", "F()"}));
  EXPECT_EQ(Shown({"G()", "F()"}, "F()"), (List{"G()", "F()"}));
}

// Code in namespaces of ours is not ours; and the standard library is hidden at
// the bottom alone.
TEST(FindVisibleTest, OfThePrograms) {
  EXPECT_EQ(Shown({"gochan::Mutex::lock()", "std::lock_guard<>::lock_guard()",
                   "gochan::mine::F()", "std::sort<>()", "gochan::Chandler()",
                   "gochan::{anonymous}::G()", "std::invoke<>()"},
                  "std::lock_guard<T>::lock_guard()"),
            (List{"gochan::mine::F()", "std::sort<>()", "gochan::Chandler()",
                  "gochan::{anonymous}::G()"}));
}

TEST(FindVisibleTest, NoNames) {
  EXPECT_EQ(Shown({"", "", "gochan_context_entry()"}, "F()"), (List{"", ""}));
  EXPECT_EQ(Shown({"gochan::runtime::Park()", "gochan_context_entry()"}, "F()"),
            List{});
  EXPECT_EQ(Shown({}, "F()"), List{});
}

// Where source locations have the last part of a name alone.
TEST(FindVisibleTest, ShortNames) {
  EXPECT_EQ(Shown({"ns::Inner()", "ns::Outer()"}, "Inner"),
            (List{"ns::Outer()"}));
  EXPECT_EQ(Shown({"ns::F()::<lambda>", "ns::Outer()"}, "operator()"),
            (List{"ns::Outer()"}));
  EXPECT_EQ(Shown({"ns::NotInner()", "ns::Outer()"}, "Inner"),
            (List{"ns::NotInner()", "ns::Outer()"}));
}

}  // namespace
}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/goroutine_text.h"

#include <cstddef>
#include <string>

#include "gtest/gtest.h"
#include "runtime/source_location.h"

namespace gochan::runtime {
namespace {

std::string Short(const char* function, std::size_t room = 512) {
  std::string out(room, 'x');
  const std::size_t length = ShortFunction(function, out.data(), room);
  EXPECT_LT(length, room);
  EXPECT_EQ(out[length], '\0');
  return out.substr(0, length);
}

// As g++ writes them.
TEST(ShortFunctionTest, Plain) {
  EXPECT_EQ(Short("int main()"), "main()");
  EXPECT_EQ(Short("int main(int, char**)"), "main()");
  EXPECT_EQ(Short("static void ns::Box::Put(int) const"), "ns::Box::Put()");
  EXPECT_EQ(Short("std::map<int, long> ns::Count(std::vector<int>&)"),
            "ns::Count()");
  EXPECT_EQ(Short("const char* Name(void (*)(int))"), "Name()");
  EXPECT_EQ(Short("ns::Box::~Box()"), "ns::Box::~Box()");
}

TEST(ShortFunctionTest, Lambdas) {
  EXPECT_EQ(Short("main()::<lambda()>"), "main()::<lambda>");
  EXPECT_EQ(Short("main(int, char**)::<lambda(int, auto:1)> mutable"),
            "main()::<lambda>");
  EXPECT_EQ(Short("virtual void ns::A_B_Test::TestBody()::<lambda()>"),
            "ns::A_B_Test::TestBody()::<lambda>");
  EXPECT_EQ(Short("ns::Box::Put(int) const::<lambda()>::<lambda(int*)>"),
            "ns::Box::Put()::<lambda>::<lambda>");
}

TEST(ShortFunctionTest, Templates) {
  EXPECT_EQ(Short("void ns::Box<T>::Put(T) const [with T = int]"),
            "ns::Box<T>::Put()");
  EXPECT_EQ(Short("auto Run(F&&) [with F = main()::<lambda()>&]"), "Run()");
  EXPECT_EQ(Short("Run(F) [with F = int]::<lambda()>"), "Run()::<lambda>");
  EXPECT_EQ(Short("bool Less<std::function<auto (int) -> int> >::Ask(int)"),
            "Less<std::function<auto (int) -> int> >::Ask()");
  EXPECT_EQ(Short("std::string ns::Text[abi:cxx11](int)"), "ns::Text()");
}

TEST(ShortFunctionTest, Operators) {
  EXPECT_EQ(Short("void ns::F::operator()(int) const"), "ns::F::operator()()");
  EXPECT_EQ(Short("std::ostream& ns::operator<<(std::ostream&, int)"),
            "ns::operator<<()");
  EXPECT_EQ(Short("ns::F::operator bool() const"), "ns::F::operator bool()");
  EXPECT_EQ(Short("int operators(int)"), "operators()");
}

// As Clang writes them, and what is none at all.
TEST(ShortFunctionTest, Others) {
  EXPECT_EQ(Short("main"), "main");
  EXPECT_EQ(Short("operator()"), "operator()");
  EXPECT_EQ(Short("void ns::{anonymous}::F(int)"), "ns::{anonymous}::F()");
  EXPECT_EQ(Short("auto (anonymous namespace)::F()::(anonymous class)::"
                  "operator()(int) const"),
            "{anonymous}::F()::<lambda>");
  EXPECT_EQ(Short(""), "");
  EXPECT_EQ(Short(nullptr), "");
  EXPECT_EQ(Short("f(((((<<<<[[[["), "f()");
  EXPECT_EQ(Short("<lambda("), "<lambda>");
  EXPECT_EQ(Short("operator"), "operator");
}

TEST(ShortFunctionTest, CutsWhatDoesNotFit) {
  EXPECT_EQ(Short("int main()", 5), "main");
  EXPECT_EQ(Short("int main()", 1), "");
  char untouched = 'x';
  EXPECT_EQ(ShortFunction("f", &untouched, 0), 0u);
  EXPECT_EQ(untouched, 'x');
}

// This compiler's own.
TEST(ShortFunctionTest, OfThisFunction) {
  const std::string name = Short(SourceLocation::current().function_name());
  EXPECT_NE(name.find("TestBody"), std::string::npos) << name;
  EXPECT_EQ(name.find(' '), std::string::npos) << name;
}

}  // namespace
}  // namespace gochan::runtime

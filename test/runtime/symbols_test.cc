// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/symbols.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace gochan::runtime {
namespace {

TEST(ShortSymbolTest, AsShortFunction) {
  EXPECT_EQ(ShortSymbol("main"), "main()");
  EXPECT_EQ(ShortSymbol("ns::Box::Put()"), "ns::Box::Put()");
  EXPECT_EQ(ShortSymbol("ns::Box<>::Put()"), "ns::Box<>::Put()");
  EXPECT_EQ(ShortSymbol("ns::(anonymous namespace)::F()"),
            "ns::{anonymous}::F()");
  EXPECT_EQ(ShortSymbol("ns::Box::~Box()"), "ns::Box::~Box()");
  EXPECT_EQ(ShortSymbol("ns::Box<>::operator bool()"),
            "ns::Box<>::operator bool()");
  EXPECT_EQ(ShortSymbol("ns::Box<>::operator()()"), "ns::Box<>::operator()()");
}

TEST(ShortSymbolTest, Lambdas) {
  EXPECT_EQ(ShortSymbol("main::{lambda()#1}::operator()()"),
            "main()::<lambda>");
  EXPECT_EQ(ShortSymbol("ns::F()::{lambda()#12}::operator()()"),
            "ns::F()::<lambda>");
  EXPECT_EQ(ShortSymbol("ns::Box<>::Put()::{lambda()#2}::operator()<>()::"
                        "{lambda()#1}::operator()()"),
            "ns::Box<>::Put()::<lambda>::<lambda>");
  EXPECT_EQ(ShortSymbol("main::$_0::operator()()"), "main()::<lambda>");
  EXPECT_EQ(ShortSymbol("ns::F()::$_12::operator()()"), "ns::F()::<lambda>");
  // As the C++ library's demangler has them.
  EXPECT_EQ(ShortSymbol("ns::F(int)::{lambda(int)#1}::operator()(int) const"),
            "ns::F()::<lambda>");
  EXPECT_EQ(ShortSymbol("ns::F(int)::'lambda'(int)::operator()(int) const"),
            "ns::F()::<lambda>");
}

TEST(ShortSymbolTest, Clones) {
  EXPECT_EQ(ShortSymbol("ns::F() [clone .cold]"), "ns::F()");
  EXPECT_EQ(ShortSymbol("F(int) [clone .part.0] [clone .cold]"), "F()");
}

[[gnu::noinline]] uintptr_t WhereItIsCalled() {
  return reinterpret_cast<uintptr_t>(__builtin_return_address(0));
}
template <typename T>
[[gnu::noinline]] uintptr_t Here(T) {
  const uintptr_t here = WhereItIsCalled();
  __asm__ __volatile__("");
  return here;
}

TEST(SymbolizerTest, FunctionAndPlace) {
  Symbolizer symbolizer;
  const uintptr_t here = Here(1) - 1;
  const Symbol& symbol = symbolizer.Find(here);
  // An emulator does not say where it has put the program's code.
  if (std::getenv("GOCHAN_TEST_EMULATOR") == nullptr) {
    EXPECT_EQ(symbol.function, "gochan::runtime::{anonymous}::Here<>()");
  }
  EXPECT_NE(symbol.module.find("symbols_test"), std::string::npos)
      << symbol.module;
  EXPECT_EQ(symbol.module.find('/'), std::string::npos) << symbol.module;
  EXPECT_GT(symbol.offset, 0u);
  EXPECT_LE(symbol.offset, here);
  EXPECT_EQ(&symbolizer.Find(here), &symbol);
}

TEST(SymbolizerTest, NoCode) {
  Symbolizer symbolizer;
  const int here = 0;
  const Symbol& symbol = symbolizer.Find(reinterpret_cast<uintptr_t>(&here));
  EXPECT_EQ(symbol.function, "");
  EXPECT_EQ(symbol.module, "");
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Which function an address belongs to.
//
//   Symbolizer    finds names, each one once
//   ShortSymbol   a demangled name in the shape of ShortFunction()'s
//
// Names come from absl::Symbolize(), which reads the symbol tables of the
// program and its libraries: there is no need for debug information, nor for
// absl::InitializeSymbolizer(). A stripped program has no names but those that
// it exports; module and offset are told always.

#ifndef GOCHAN_RUNTIME_SYMBOLS_H_
#define GOCHAN_RUNTIME_SYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gochan::runtime {

struct Symbol {
  std::string function;  // "ns::Box<>::Put()"; empty: not known
  // File name of the program or library, without folders, and the address in it
  // by the count of its own tools: addr2line -e module offset. Empty: not
  // known.
  std::string module;
  uint64_t offset = 0;
};

// Not thread-safe. For one dump: it knows the libraries that were there when it
// was made.
class Symbolizer {
 public:
  Symbolizer();

  // The first time up to some milliseconds for an address, as symbol tables are
  // read from one end to the other. Not in a signal handler.
  const Symbol& Find(uintptr_t address);

 private:
  struct Module {
    uintptr_t begin;  // of a part that has code
    uintptr_t end;
    uintptr_t base;
    std::string name;
  };

  std::vector<Module> modules_;
  std::unordered_map<uintptr_t, Symbol> symbols_;
};

// `name` is as absl::Symbolize() or __cxa_demangle() writes it:
//
//   main                                   main()
//   main::{lambda()#1}::operator()()       main()::<lambda>
//   ns::(anonymous namespace)::F()         ns::{anonymous}::F()
std::string ShortSymbol(std::string_view name);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SYMBOLS_H_

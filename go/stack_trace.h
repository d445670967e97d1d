// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What is shown of a parked goroutine's stack.
//
//   StackTracer   for one dump of many goroutines
//   VisibleFrames   what is left of a stack without the library's own frames

#ifndef GOCHAN_GO_STACK_TRACE_H_
#define GOCHAN_GO_STACK_TRACE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"
#include "runtime/stack_copy.h"
#include "runtime/symbols.h"
#include "runtime/unwind.h"

namespace gochan {

struct SourceSite;

namespace internal {

// A function's name without what compilers and demanglers write differently:
// no parameters, no template arguments.
std::string FunctionKey(std::string_view function);

// A function in whose frame a goroutine may be, and where in it.
struct NamedFrame {
  NamedFrame() = default;
  NamedFrame(std::string function_name, std::string place_in_it);

  std::string function;  // empty: not known
  std::string place;     // "program+0x1234"
  std::string key;       // FunctionKey(function)
  bool library = false;  // one of ours, by its name
  // Of the libraries below us: may be how the goroutine's function is called.
  bool adapter = false;
};

// Which of `frames`, the innermost first, are shown below the place where the
// goroutine blocks: [begin, end). The library's own are not, at either end, as
// Go does not show its runtime's; nor is that of the function in which it
// blocks, if that has one of its own (`blocked_in` is its key).
struct VisibleFrames {
  std::size_t begin = 0;
  std::size_t end = 0;
};
VisibleFrames FindVisible(absl::Span<const NamedFrame* const> frames,
                          std::string_view blocked_in);

// Not thread-safe.
class StackTracer {
 public:
  // Appends to `stack` the frames below `blocked_at`, which the caller has told
  // already, of the goroutine `id`, which was waiting as the word of its note
  // says. Nothing if that is over, or its stack cannot be read.
  void Trace(uint32_t index, uint64_t id, uint64_t word,
             const SourceSite& blocked_at, std::vector<SourceSite>* stack);

 private:
  static constexpr std::size_t kMaxFrames = 100;  // as Go

  const NamedFrame& Look(uintptr_t pc);
  const std::string& Key(const std::string& function);

  runtime::Unwinder unwinder_;
  runtime::Symbolizer symbolizer_;
  runtime::StackCopy copy_;
  std::unordered_map<uintptr_t, NamedFrame> known_;
  std::unordered_map<std::string, std::string> keys_;
};

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_STACK_TRACE_H_

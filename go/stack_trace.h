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

// A frame as it was found, by the name of its function.
struct NamedFrame {
  std::string_view function;  // empty: not known
  std::string_view key;       // FunctionKey(function)
};

// Which of `frames`, the innermost first, are shown below the place where the
// goroutine blocks: [begin, end). The library's own are not, at either end, as
// Go does not show its runtime's; nor is that of the function in which it
// blocks, if that has one of its own (`blocked_in` is its key).
struct VisibleFrames {
  std::size_t begin = 0;
  std::size_t end = 0;
};
VisibleFrames FindVisible(absl::Span<const NamedFrame> frames,
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

  struct Known {
    std::string function;
    std::string key;
    std::string place;  // "program+0x1234"
  };
  const Known& Look(uintptr_t pc);
  const std::string& Key(const std::string& function);

  runtime::Unwinder unwinder_;
  runtime::Symbolizer symbolizer_;
  runtime::StackCopy copy_;
  std::unordered_map<uintptr_t, Known> known_;
  std::unordered_map<std::string, std::string> keys_;
};

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_STACK_TRACE_H_

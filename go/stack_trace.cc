// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/stack_trace.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "go/inspect.h"
#include "runtime/goroutine.h"

namespace gochan::internal {

namespace {

bool EndsWithOperator(std::string_view text) {
  return text == "operator" || text.ends_with("::operator");
}

// Is it one of the library's functions, so that who calls it is more
// interesting? By name: a program may have namespaces inside of gochan.
bool IsLibrary(std::string_view key) {
  constexpr std::string_view kRoot = "gochan::";
  if (!key.starts_with(kRoot)) return key == "gochan_context_entry";
  key.remove_prefix(kRoot.size());
  // Namespaces, classes, and functions that block or run something.
  for (const std::string_view name :
       {"runtime",  "internal",  "Chan",       "SendChan",
        "RecvChan", "Context",   "CancelFunc", "CancelCauseFunc",
        "StopFunc", "Selector",  "Mutex",      "RWMutex",
        "Cond",     "Once",      "Semaphore",  "WaitGroup",
        "ErrGroup", "Scope",     "Timer",      "Ticker",
        "Go",       "RunMain",   "Blocking",   "Yield",
        "Select",   "SelectFor", "SelectOr",   "SendOr",
        "SendFor",  "RecvOr",    "RecvFor",    "Sleep",
        "OnceFunc", "OnceValue", "OnceValues", "AfterFunc"}) {
    if (!key.starts_with(name)) continue;
    const std::string_view rest = key.substr(name.size());
    if (rest.empty() || rest.starts_with("::")) return true;
  }
  return false;
}

// Helpers of the standard library through which a goroutine's function is
// called.
bool IsAdapter(std::string_view key) {
  return key.starts_with("std::") || key.starts_with("absl::");
}

// Compilers without std::source_location name no more than the last part.
bool SameFunction(std::string_view frame, std::string_view blocked_in) {
  if (frame == blocked_in) return true;
  if (blocked_in.empty() || blocked_in.find("::") != blocked_in.npos) {
    return false;
  }
  if (blocked_in == "operator()") return frame.ends_with("<lambda>");
  return frame.size() > blocked_in.size() + 2 && frame.ends_with(blocked_in) &&
         frame.substr(0, frame.size() - blocked_in.size()).ends_with("::");
}

}  // namespace

std::string FunctionKey(std::string_view function) {
  std::string key;
  for (std::size_t i = 0; i < function.size();) {
    const std::string_view rest = function.substr(i);
    constexpr std::string_view kLambda = "<lambda>";
    constexpr std::string_view kAnonymous = "(anonymous namespace)";
    if (rest.starts_with(kLambda)) {
      key += kLambda;
      i += kLambda.size();
    } else if (rest.starts_with(kAnonymous)) {
      key += "{anonymous}";
      i += kAnonymous.size();
    } else if ((rest[0] == '<' || rest[0] == '(') && !EndsWithOperator(key)) {
      // To the bracket that closes it; "->" is none.
      int depth = 0;
      for (; i < function.size(); ++i) {
        const char c = function[i];
        if (c == '<' || c == '(') ++depth;
        if (c == '>' && function[i - 1] == '-') continue;
        if ((c == '>' || c == ')') && --depth == 0) break;
      }
      ++i;
    } else if (rest[0] == '(') {  // operator()
      key += "()";
      i += std::min<std::size_t>(2, rest.size());
    } else {
      if (rest[0] != ' ') key += rest[0];
      ++i;
    }
  }
  return key;
}

NamedFrame::NamedFrame(std::string function_name, std::string place_in_it)
    : function(std::move(function_name)),
      place(std::move(place_in_it)),
      key(FunctionKey(function)),
      library(IsLibrary(key)),
      adapter(IsAdapter(key)) {}

VisibleFrames FindVisible(absl::Span<const NamedFrame* const> frames,
                          std::string_view blocked_in) {
  VisibleFrames visible{0, frames.size()};
  // Up to the first one that is not the library's. It may be that of the
  // function that blocks; or one into which a compiler has drawn that in.
  while (visible.begin < frames.size()) {
    const NamedFrame& frame = *frames[visible.begin];
    const bool same = SameFunction(frame.key, blocked_in);
    if (!same && !frame.library) break;
    ++visible.begin;
    if (same) break;
  }
  // The bottom: who has called the goroutine's function.
  while (visible.end > visible.begin) {
    const NamedFrame& frame = *frames[visible.end - 1];
    if (!frame.library && !frame.adapter) break;
    --visible.end;
  }
  return visible;
}

const NamedFrame& StackTracer::Look(uintptr_t pc) {
  const auto [at, fresh] = known_.try_emplace(pc);
  if (fresh) {
    const runtime::Symbol& symbol = symbolizer_.Find(pc);
    at->second = NamedFrame(
        symbol.function,
        symbol.module.empty()
            ? absl::StrCat("0x", absl::Hex(pc))
            : absl::StrCat(symbol.module, "+0x", absl::Hex(symbol.offset)));
  }
  return at->second;
}

const std::string& StackTracer::Key(const std::string& function) {
  const auto [at, fresh] = keys_.try_emplace(function);
  if (fresh) at->second = FunctionKey(function);
  return at->second;
}

void StackTracer::Trace(uint32_t index, uint64_t id, uint64_t word,
                        const SourceSite& blocked_at,
                        std::vector<SourceSite>* stack) {
  if (!runtime::CopyStack(index, id, &copy_)) return;
  if (!runtime::TaskReader::IsStill(index, id, word)) return;
  uintptr_t pcs[kMaxFrames];
  const std::size_t n = unwinder_.Unwind(copy_, absl::MakeSpan(pcs));
  const NamedFrame* frames[kMaxFrames];
  for (std::size_t i = 0; i < n; ++i) {
    // One less: inside of the instruction that has called.
    frames[i] = &Look(pcs[i] - 1);
  }
  const VisibleFrames visible =
      FindVisible(absl::MakeConstSpan(frames, n), Key(blocked_at.function));
  for (std::size_t i = visible.begin; i < visible.end; ++i) {
    const NamedFrame& frame = *frames[i];
    stack->push_back(
        {frame.function.empty() ? "??" : frame.function, frame.place, 0});
  }
}

}  // namespace gochan::internal

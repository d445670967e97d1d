// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/inspect.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "chan/internal/element.h"
#include "chan/internal/waiter.h"
#include "go/select_targets.h"
#include "go/signal.h"
#include "go/stack_trace.h"
#include "runtime/clock.h"
#include "runtime/goroutine.h"
#include "runtime/goroutine_text.h"
#include "runtime/park.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {

namespace {

using runtime::TaskReader;
using runtime::WaitReason;

constexpr std::size_t kMaxAncestors = 16;
constexpr std::size_t kMaxDumped = 10'000;

// One that was there when all were looked at.
struct Found {
  uint64_t id;
  uint64_t creator;
  uint32_t index;
};

// Has its partner woken it? Records are type-stable.
bool IsWoken(void* waiter) {
  return static_cast<internal::Node*>(waiter)->park.Result() >=
         runtime::ParkSlot::kFirstResult;
}

void AddTarget(const runtime::GoroutineNote::Snapshot& note,
               std::vector<WaitTarget>* targets) {
  WaitTarget target;
  target.object = note.object;
  switch (note.reason) {
    case WaitReason::kChanSend:
    case WaitReason::kChanSendNil:
      target.direction = "send";
      break;
    case WaitReason::kChanReceive:
    case WaitReason::kChanReceiveNil:
      target.direction = "receive";
      break;
    case WaitReason::kSelect:
    case WaitReason::kSelectNoCases:
      return;  // see AppendSelectTargets()
    default:
      if (note.object != nullptr) targets->push_back(std::move(target));
      return;
  }
  if (note.detail != nullptr) {
    const auto& ops = *static_cast<const internal::ElementOps*>(note.detail);
    target.element_type = std::string(ops.name());
  }
  target.capacity = note.count;
  if (note.reason == WaitReason::kChanSend) target.length = target.capacity;
  targets->push_back(std::move(target));
}

// -----------------------------------------------------------------------------
// One dump
// -----------------------------------------------------------------------------

struct WipesStackBelow {
  ~WipesStackBelow() { internal::WipeStackBelow(); }
};

// Those that were there when it was made, and what is worth finding out once
// for all of them.
class Dump {
 public:
  Dump();

  const std::vector<Found>& all() const { return all_; }
  // nullptr: it is not there.
  const Found* Find(uint64_t id) const;

  // False: it has ended.
  bool Describe(const Found& found, bool with_bytes, GoroutineInfo* info);

 private:
  // A SourceLocation by what it consists of, which is constant.
  using SiteKey = std::tuple<const char*, const char*, uint_least32_t>;

  const SourceSite& Site(const SourceLocation& site);
  void AddAncestors(uint64_t creator, GoroutineInfo* info);

  std::vector<Found> all_;
  std::map<SiteKey, SourceSite> sites_;
  runtime::ResidentPages pages_;
  internal::StackTracer tracer_;
};

Dump::Dump() {
  TaskReader::ForEach([this](uint32_t index, uint64_t id, uint64_t creator) {
    all_.push_back({id, creator, index});
  });
  std::sort(all_.begin(), all_.end(),
            [](const Found& a, const Found& b) { return a.id < b.id; });
}

const SourceSite& Dump::Site(const SourceLocation& site) {
  const auto [at, fresh] = sites_.try_emplace(
      SiteKey(site.file_name(), site.function_name(), site.line()));
  if (fresh && site.line() != 0) {
    char function[512];
    runtime::ShortFunction(site.function_name(), function, sizeof(function));
    at->second = {function, site.file_name(), static_cast<int>(site.line())};
  }
  return at->second;
}

const Found* Dump::Find(uint64_t id) const {
  const auto at = std::lower_bound(
      all_.begin(), all_.end(), id,
      [](const Found& found, uint64_t wanted) { return found.id < wanted; });
  return at == all_.end() || at->id != id ? nullptr : &*at;
}

// Who has started whom, by those that were found.
void Dump::AddAncestors(uint64_t creator, GoroutineInfo* info) {
  while (creator != 0 && info->ancestors.size() < kMaxAncestors) {
    info->ancestors.push_back(creator);
    SourceLocation site;
    const Found* const found = Find(creator);
    const bool lives =
        found != nullptr && TaskReader::ReadSite(found->index, creator, &site);
    info->ancestor_sites.push_back(lives ? Site(site) : SourceSite{});
    if (found == nullptr) return;
    creator = found->creator;
  }
}

bool Dump::Describe(const Found& found, bool with_bytes, GoroutineInfo* info) {
  TaskReader::Snapshot task;
  bool woken = false;
  if (!TaskReader::Read(found.index, found.id, with_bytes, &IsWoken, &task,
                        &woken, &pages_)) {
    return false;
  }
  *info = {};
  info->id = task.id;
  info->name = std::move(task.name);
  if (task.labels != nullptr) info->labels = *task.labels;
  info->created_at = Site(task.site);
  AddAncestors(task.creator, info);
  info->stack_bytes = task.stack_bytes;
  const runtime::GoroutineNote::Snapshot& note = task.note;
  if (note.reason == WaitReason::kNone) {
    info->state = task.started ? "running" : "runnable";
    return true;
  }
  const bool parked = note.reason != WaitReason::kBlocking;
  info->state = !parked ? "blocking call" : woken ? "runnable" : "waiting";
  info->wait_reason = runtime::WaitReasonName(note.reason);
  info->blocked_at = Site(note.site);
  AddTarget(note, &info->waits_on);
  if (note.reason == WaitReason::kSelect) {
    internal::AppendSelectTargets(note, found.index, found.id, &info->waits_on);
  }
  if (note.since != 0) {
    info->waiting_for =
        std::max(absl::ZeroDuration(),
                 absl::Nanoseconds(runtime::MonotonicNow() - note.since));
  }
  if (info->blocked_at.line != 0) info->stack.push_back(info->blocked_at);
  if (parked) {
    tracer_.Trace(found.index, found.id, note.word, info->blocked_at,
                  &info->stack);
  }
  return true;
}

void AppendSite(const SourceSite& site, std::string* out) {
  absl::StrAppend(out, site.function, "\n\t", site.file);
  if (site.line != 0) absl::StrAppend(out, ":", site.line);
  *out += '\n';
}

void DumpAndGoOn(int signal) {
  std::string text = "signal " + std::to_string(signal);
  if (signal == SIGQUIT) text = "SIGQUIT: quit";
  internal::WriteToStderr(absl::StrCat(text, "\n\n", GoroutineDump()));
}

void DumpAndExit(int signal) {
  DumpAndGoOn(signal);
  _exit(2);
}

}  // namespace

void ForEachGoroutine(absl::FunctionRef<bool(GoroutineInfo& info)> visit) {
  const WipesStackBelow afterwards;
  Dump dump;
  for (const Found& found : dump.all()) {
    GoroutineInfo info;
    if (dump.Describe(found, /*with_bytes=*/true, &info) && !visit(info)) {
      return;
    }
  }
}

std::vector<GoroutineInfo> Goroutines() {
  std::vector<GoroutineInfo> infos;
  ForEachGoroutine([&infos](GoroutineInfo& info) {
    infos.push_back(std::move(info));
    return true;
  });
  return infos;
}

std::string GoroutineDump() {
  const WipesStackBelow afterwards;
  Dump dump;
  std::string out;
  std::size_t dumped = 0;
  std::size_t seen = 0;
  for (; seen < dump.all().size() && dumped < kMaxDumped; ++seen) {
    GoroutineInfo info;
    if (!dump.Describe(dump.all()[seen], /*with_bytes=*/false, &info)) continue;
    if (dumped++ != 0) out += '\n';
    internal::AppendGoroutine(info, &out);
  }
  if (seen < dump.all().size()) {
    absl::StrAppend(&out, "\n... and ", dump.all().size() - seen,
                    " more goroutines\n");
  }
  return out;
}

void DumpOnSignal(int signal, AfterDump then) {
  internal::CallOnSignal(
      signal, then == AfterDump::kExit ? &DumpAndExit : &DumpAndGoOn);
}

namespace internal {

void WipeStackBelow() {
#if defined(__linux__)
  constexpr std::size_t kDeepest = 65'536;
  constexpr std::size_t kReserve = 8'192;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  uintptr_t end;
  if (const runtime::Goroutine* const g = runtime::CurrentGoroutine()) {
    end = reinterpret_cast<uintptr_t>(g->stack.base) + g->stack.guard;
  } else {
    pthread_attr_t attributes;
    void* base;
    std::size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    const int error = pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
    if (error != 0) return;
    end = reinterpret_cast<uintptr_t>(base);
  }
  if (here < end + kReserve) return;
  const std::size_t bytes = std::min(kDeepest, here - end - kReserve);
  void* const below = __builtin_alloca(bytes);
  std::memset(below, 0, bytes);
  __asm__ __volatile__("" : : "r"(below) : "memory");  // it is really done
#endif
}

std::vector<GoroutineInfo> DescribeGoroutines(absl::Span<const uint64_t> ids) {
  const WipesStackBelow afterwards;
  Dump dump;
  std::vector<GoroutineInfo> infos;
  infos.reserve(ids.size());
  for (const uint64_t id : ids) {
    const Found* const found = dump.Find(id);
    GoroutineInfo info;
    if (found != nullptr && dump.Describe(*found, /*with_bytes=*/true, &info)) {
      infos.push_back(std::move(info));
    }
  }
  return infos;
}

void WriteToStderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      return;
    }
  }
}

void AppendGoroutine(const GoroutineInfo& info, std::string* out) {
  absl::StrAppend(out, "goroutine ", info.id, " [",
                  info.state == "waiting" ? info.wait_reason : info.state);
  const int64_t minutes = absl::ToInt64Minutes(info.waiting_for);
  if (minutes >= 1 && info.state != "runnable") {
    absl::StrAppend(out, ", ", minutes, " minutes");
  }
  *out += ']';
  if (!info.name.empty()) absl::StrAppend(out, " \"", info.name, "\"");
  if (!info.labels.empty()) {
    *out += ' ';
    runtime::FormatLabels(
        info.labels,
        [](void* text, std::string_view piece) {
          static_cast<std::string*>(text)->append(piece);
        },
        out);
  }
  *out += ":\n";
  for (const SourceSite& site : info.stack) AppendSite(site, out);
  *out += "created by ";
  if (info.ancestors.empty()) {
    AppendSite(info.created_at, out);
    return;
  }
  SourceSite site = info.created_at;
  absl::StrAppend(&site.function, " in goroutine ", info.ancestors[0]);
  AppendSite(site, out);
}

}  // namespace internal
}  // namespace gochan

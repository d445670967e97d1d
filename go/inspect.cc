// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/inspect.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "chan/internal/element.h"
#include "chan/internal/waiter.h"
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

std::vector<Found> FindAll() {
  std::vector<Found> all;
  TaskReader::ForEach([&all](uint32_t index, uint64_t id, uint64_t creator) {
    all.push_back({id, creator, index});
  });
  std::sort(all.begin(), all.end(),
            [](const Found& a, const Found& b) { return a.id < b.id; });
  return all;
}

SourceSite ToSite(const SourceLocation& site) {
  if (site.line() == 0) return {};
  char function[512];
  runtime::ShortFunction(site.function_name(), function, sizeof(function));
  return {function, site.file_name(), static_cast<int>(site.line())};
}

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
      return;
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

// Who has started whom, by those that were found.
std::vector<uint64_t> Ancestors(const std::vector<Found>& all, uint64_t id) {
  std::vector<uint64_t> ancestors;
  while (id != 0 && ancestors.size() < kMaxAncestors) {
    ancestors.push_back(id);
    const auto at = std::lower_bound(
        all.begin(), all.end(), id,
        [](const Found& found, uint64_t wanted) { return found.id < wanted; });
    if (at == all.end() || at->id != id) break;
    id = at->creator;
  }
  return ancestors;
}

// False: it has ended.
bool Describe(const std::vector<Found>& all, const Found& found,
              bool with_stack, GoroutineInfo* info) {
  TaskReader::Snapshot task;
  bool woken = false;
  if (!TaskReader::Read(found.index, found.id, with_stack, &IsWoken, &task,
                        &woken)) {
    return false;
  }
  *info = {};
  info->id = task.id;
  info->name = std::move(task.name);
  info->created_at = ToSite(task.site);
  info->ancestors = Ancestors(all, task.creator);
  info->stack_bytes = task.stack_bytes;
  const runtime::GoroutineNote::Snapshot& note = task.note;
  if (note.reason == WaitReason::kNone) {
    info->state = task.started ? "running" : "runnable";
    return true;
  }
  info->state = note.reason == WaitReason::kBlocking ? "blocking call"
                : woken                              ? "runnable"
                                                     : "waiting";
  info->wait_reason = runtime::WaitReasonName(note.reason);
  info->blocked_at = ToSite(note.site);
  info->stack = {info->blocked_at};
  AddTarget(note, &info->waits_on);
  if (note.since != 0) {
    info->waiting_for =
        std::max(absl::ZeroDuration(),
                 absl::Nanoseconds(runtime::MonotonicNow() - note.since));
  }
  return true;
}

void AppendSite(const SourceSite& site, std::string* out) {
  absl::StrAppend(out, site.function, "\n\t", site.file, ":", site.line, "\n");
}

}  // namespace

std::vector<GoroutineInfo> Goroutines() {
  const std::vector<Found> all = FindAll();
  std::vector<GoroutineInfo> infos;
  infos.reserve(all.size());
  for (const Found& found : all) {
    GoroutineInfo info;
    if (Describe(all, found, /*with_stack=*/true, &info)) {
      infos.push_back(std::move(info));
    }
  }
  return infos;
}

std::string GoroutineDump() {
  const std::vector<Found> all = FindAll();
  std::string out;
  std::size_t dumped = 0;
  std::size_t seen = 0;
  for (; seen < all.size() && dumped < kMaxDumped; ++seen) {
    GoroutineInfo info;
    if (!Describe(all, all[seen], /*with_stack=*/false, &info)) continue;
    if (dumped++ != 0) out += '\n';
    internal::AppendGoroutine(info, &out);
  }
  if (seen < all.size()) {
    absl::StrAppend(&out, "\n... and ", all.size() - seen,
                    " more goroutines\n");
  }
  return out;
}

namespace internal {

void AppendGoroutine(const GoroutineInfo& info, std::string* out) {
  absl::StrAppend(out, "goroutine ", info.id, " [",
                  info.state == "waiting" ? info.wait_reason : info.state);
  const int64_t minutes = absl::ToInt64Minutes(info.waiting_for);
  if (minutes >= 1 && info.state != "runnable") {
    absl::StrAppend(out, ", ", minutes, " minutes");
  }
  *out += ']';
  if (!info.name.empty()) absl::StrAppend(out, " \"", info.name, "\"");
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

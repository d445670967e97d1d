// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/goroutine_profile.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "go/inspect.h"
#include "go/profile_builder.h"
#include "runtime/goroutine_text.h"
#include "runtime/source_location.h"

namespace gochan {

namespace internal {

namespace {

std::string ToText(const SourceSite& site) {
  return absl::StrCat(site.function, " ", site.file, ":", site.line);
}

}  // namespace

SourceSite ToSourceSite(const SourceLocation& site) {
  if (site.line() == 0) return {};
  char function[512];
  runtime::ShortFunction(site.function_name(), function, sizeof(function));
  return {function, site.file_name(), static_cast<int>(site.line())};
}

std::vector<ProfileBuilder::Frame> ShownStack(const GoroutineInfo& info) {
  std::vector<ProfileBuilder::Frame> stack;
  for (const SourceSite& site : info.stack) {
    stack.push_back({site.function, site.file, site.line});
  }
  if (stack.empty()) {
    stack.push_back(
        {info.state == "running" ? "[running]" : "[runnable]", "", 0});
  }
  return stack;
}

// -----------------------------------------------------------------------------
// GoroutineProfileBuilder
// -----------------------------------------------------------------------------

GoroutineProfileBuilder::GoroutineProfileBuilder(std::string_view type)
    : profile_({{std::string(type), "count"}, {"stack", "bytes"}},
               {std::string(type), "count"}, 1) {}

void GoroutineProfileBuilder::Add(const GoroutineInfo& info) {
  ProfileBuilder::Labels labels = info.labels;
  if (!info.wait_reason.empty()) {
    labels.emplace_back("wait_reason", info.wait_reason);
  }
  labels.emplace_back("created_by", ToText(info.created_at));
  profile_.Add(ShownStack(info), std::move(labels),
               {1, static_cast<int64_t>(info.stack_bytes)});
}

// -----------------------------------------------------------------------------
// StackGroups
// -----------------------------------------------------------------------------

void StackGroups::Add(const GoroutineInfo& info) {
  std::string key = absl::StrCat(info.state, "\n", info.wait_reason, "\n",
                                 ToText(info.created_at));
  for (const ProfileBuilder::Frame& frame : ShownStack(info)) {
    key.append("\n").append(frame.function).append("\n").append(frame.file);
    absl::StrAppend(&key, ":", frame.line);
  }
  for (const auto& [name, value] : info.labels) {
    absl::StrAppend(&key, "\n", name, "\n", value);
  }
  StackGroup& group = groups_[std::move(key)];
  if (group.count == 0) group.first = info;
  ++group.count;
  ++total_;
  group.stack_bytes += info.stack_bytes;
  group.oldest = std::max(group.oldest, info.waiting_for);
  if (group.ids.size() < max_ids_) group.ids.push_back(info.id);
}

std::vector<const StackGroup*> StackGroups::Ranked() const {
  std::vector<const StackGroup*> ranked;
  ranked.reserve(groups_.size());
  for (const auto& [key, group] : groups_) ranked.push_back(&group);
  std::sort(ranked.begin(), ranked.end(),
            [](const StackGroup* a, const StackGroup* b) {
              return a->count > b->count;
            });
  return ranked;
}

}  // namespace internal

std::string GoroutineProfilePprof() {
  internal::GoroutineProfileBuilder profile("goroutine");
  ForEachGoroutine([&](GoroutineInfo& info) {
    profile.Add(info);
    return true;
  });
  return profile.Encode();
}

}  // namespace gochan

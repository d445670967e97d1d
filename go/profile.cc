// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/profile.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "go/goroutine_profile.h"
#include "go/inspect.h"
#include "go/leak.h"

namespace gochan {

std::string GoroutineProfileText() {
  internal::StackGroups groups(/*max_ids=*/0);
  ForEachGoroutine([&](GoroutineInfo& info) {
    groups.Add(info);
    return true;
  });
  std::string out =
      absl::StrCat("goroutine profile: total ", groups.total(), "\n");
  for (const internal::StackGroup* group : groups.Ranked()) {
    const GoroutineInfo& one = group->first;
    absl::StrAppend(&out, group->count, " @ [",
                    one.state == "waiting" ? one.wait_reason : one.state,
                    "]\n");
    if (!one.labels.empty()) {
      out += "# labels: {";
      const char* separator = "";
      for (const auto& [name, value] : one.labels) {
        absl::StrAppend(&out, separator, "\"", name, "\":\"", value, "\"");
        separator = ", ";
      }
      out += "}\n";
    }
    for (const SourceSite& site : one.stack) {
      absl::StrAppend(&out, "#\t", site.function, "\t", site.file, ":",
                      site.line, "\n");
    }
    absl::StrAppend(&out, "# created by ", one.created_at.function, "\t",
                    one.created_at.file, ":", one.created_at.line, "\n\n");
  }
  return out;
}

std::string GoroutineLeakProfilePprof() {
  internal::GoroutineProfileBuilder profile("goroutineleak");
  for (const GoroutineInfo& info : FindLeaks()) profile.Add(info);
  return profile.Encode();
}

}  // namespace gochan

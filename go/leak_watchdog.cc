// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/leak_watchdog.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "go/leak.h"
#include "go/stats.h"

namespace gochan {

LeakWatchdog::Registration::Registration() { internal::AddLeakWatchdog(1); }
LeakWatchdog::Registration::~Registration() { internal::AddLeakWatchdog(-1); }

LeakWatchdog::LeakWatchdog(Options options)
    : options_(std::move(options)),
      thread_("gochan-leaks",
              options_.callback ? internal::BackgroundThread::kMayWake
                                : internal::BackgroundThread::kWakesNobody,
              [this] {
                Check();
                return options_.interval;
              }) {}

LeakWatchdog::~LeakWatchdog() = default;

void LeakWatchdog::Check() {
  std::vector<GoroutineInfo> leaks;
  {
    // Looks one after the other: what an older one has found must not replace
    // what a newer one knows.
    std::lock_guard lock(mutex_);
    leaks = FindLeaks();
    internal::SetLeakedGoroutines(static_cast<int64_t>(leaks.size()));
    std::vector<uint64_t> ids;
    for (const GoroutineInfo& leak : leaks) ids.push_back(leak.id);
    std::sort(ids.begin(), ids.end());
    std::erase_if(leaks, [this](const GoroutineInfo& leak) {
      return std::binary_search(known_.begin(), known_.end(), leak.id);
    });
    known_ = std::move(ids);
  }
  if (leaks.empty()) return;
  if (options_.callback) {
    options_.callback(absl::MakeConstSpan(leaks));
    return;
  }
  const std::string text =
      absl::StrCat("gochan: ", leaks.size(), " new leaked goroutine",
                   leaks.size() == 1 ? "" : "s", "\n", LeakReport(leaks));
  // One call, so that it stays together.
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace gochan

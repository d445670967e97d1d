// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The blocking profile.
//
// Go measures in the waits themselves; here somebody looks on, and a wait pays
// nothing. A wait of length d is seen by d / p of looks that are p apart, on
// average, each of which adds p: the sum has the right mean for any d.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "go/background_thread.h"
#include "go/goroutine_profile.h"
#include "go/goroutine_walk.h"
#include "go/inspect.h"
#include "go/profile.h"
#include "go/profile_builder.h"
#include "runtime/clock.h"
#include "runtime/goroutine.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {

namespace {

using runtime::MonotonicNanos;
using runtime::WaitReason;

constexpr MonotonicNanos kMinPeriod = 1'000'000;
// It sleeps for so many times the length of a look.
constexpr MonotonicNanos kRest = 20;

class BlockSampler {
 public:
  void SetRate(int rate) {
    std::unique_ptr<internal::BackgroundThread> thread;
    if (rate > 0) {
      thread = std::make_unique<internal::BackgroundThread>(
          "gochan-blocked", internal::BackgroundThread::kWakesNobody,
          [this, rate] { return Look(rate); });
    }
    {
      std::lock_guard lock(mutex_);
      if (rate_ == 0) last_ = runtime::MonotonicNow();
      rate_ = std::max(0, rate);
      thread_.swap(thread);
    }
    // The one before may look once more; `thread` waits for that.
  }

  internal::BlockTotals Totals() {
    internal::BlockTotals all;
    std::lock_guard lock(mutex_);
    for (const auto& [key, total] : totals_) all.totals.push_back(total);
    std::sort(all.totals.begin(), all.totals.end(),
              [](const auto& a, const auto& b) {
                return a.delay_nanos > b.delay_nanos;
              });
    all.sampled = absl::Nanoseconds(sampled_);
    all.rate = rate_;
    return all;
  }

 private:
  // Where it blocks, where it was started, and why it waits. The words are
  // constants of the program; one place may have several copies of them.
  using Key =
      std::tuple<std::string_view, unsigned, std::string_view, unsigned, int>;
  struct Seen {
    runtime::TaskReader::Snapshot one;
    int64_t waits = 0;
    int64_t new_waits = 0;  // since the last look
  };

  // Adds the time since the last look to who is blocked now; returns when to
  // look again. By the thread.
  absl::Duration Look(int rate) {
    std::lock_guard one_at_a_time(look_mutex_);
    const MonotonicNanos begin = runtime::MonotonicNow();
    int64_t elapsed;
    {
      std::lock_guard lock(mutex_);
      // Somebody has turned it off, or not quite on yet.
      if (rate_ == 0) return absl::Nanoseconds(kMinPeriod);
      elapsed = std::max<int64_t>(0, begin - last_);
      last_ += elapsed;
      sampled_ += elapsed;
    }
    std::map<Key, Seen> seen;
    internal::WalkGoroutines([&](const internal::Glimpse& glimpse) {
      const auto& note = glimpse.task.note;
      if (!glimpse.IsBlocked() || note.reason == WaitReason::kSleep) return;
      const SourceLocation& created = glimpse.task.site;
      Seen& at =
          seen[Key(note.site.file_name(), note.site.line(), created.file_name(),
                   created.line(), static_cast<int>(note.reason))];
      if (at.waits++ == 0) at.one = glimpse.task;
      if (glimpse.index >= waits_.size()) waits_.resize(glimpse.index + 1);
      const uint64_t wait = WaitOf(glimpse.task);
      at.new_waits += waits_[glimpse.index] != wait ? 1 : 0;
      waits_[glimpse.index] = wait;
    });
    {
      std::lock_guard lock(mutex_);
      for (const auto& [key, at] : seen) {
        const auto [total, is_new] = totals_.try_emplace(key);
        if (is_new) {
          total->second.blocked_at = internal::ToSourceSite(at.one.note.site);
          total->second.created_at = internal::ToSourceSite(at.one.site);
          total->second.wait_reason =
              runtime::WaitReasonName(at.one.note.reason);
        }
        total->second.contentions += at.new_waits;
        total->second.delay_nanos += at.waits * elapsed;
      }
    }
    const MonotonicNanos took = runtime::MonotonicNow() - begin;
    return absl::Nanoseconds(
        std::max({kMinPeriod, MonotonicNanos{rate}, kRest * took}) - took);
  }

  // A number for this wait of this goroutine, which no other is likely to have.
  static uint64_t WaitOf(const runtime::TaskReader::Snapshot& task) {
    return task.note.word ^ task.id * 0x9e3779b97f4a7c15;
  }

  // By the thread; the one before it may not have ended yet.
  std::mutex look_mutex_;        // before mutex_
  std::vector<uint64_t> waits_;  // WaitOf() at the last look, by task

  std::mutex mutex_;  // guards all that follows
  std::unique_ptr<internal::BackgroundThread> thread_;
  int rate_ = 0;             // 0: off
  MonotonicNanos last_ = 0;  // look
  int64_t sampled_ = 0;      // nanoseconds
  std::map<Key, internal::BlockedTotal> totals_;
};

// Lives as long as the process, as the thread may.
BlockSampler& Sampler() {
  static BlockSampler& sampler = *new BlockSampler;
  return sampler;
}

}  // namespace

void SetBlockProfileRate(int rate) { Sampler().SetRate(rate); }

std::string BlockProfilePprof() {
  const internal::BlockTotals totals = internal::GetBlockTotals();
  internal::ProfileBuilder profile(
      {{"contentions", "count"}, {"delay", "nanoseconds"}},
      {"contentions", "count"}, 1);
  profile.SetDefaultType("delay");
  profile.SetDuration(absl::ToInt64Nanoseconds(totals.sampled));
  for (const internal::BlockedTotal& total : totals.totals) {
    const SourceSite& at = total.blocked_at;
    const SourceSite& by = total.created_at;
    profile.Add(
        {{at.function, at.file, at.line}},
        {{"wait_reason", total.wait_reason},
         {"created_by", absl::StrCat(by.function, " ", by.file, ":", by.line)}},
        {total.contentions, total.delay_nanos});
  }
  return profile.Encode();
}

namespace internal {

BlockTotals GetBlockTotals() { return Sampler().Totals(); }

}  // namespace internal
}  // namespace gochan

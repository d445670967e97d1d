// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/debug.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "go/background_thread.h"
#include "go/debug_page.h"
#include "go/goroutine_profile.h"
#include "go/goroutine_walk.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/profile.h"
#include "go/stats.h"
#include "runtime/clock.h"
#include "runtime/source_location.h"
#include "runtime/wait_reason.h"

namespace gochan {

namespace {

using internal::DebugGroup;
using internal::DebugPoint;
using internal::DebugStack;
using internal::DebugView;
using runtime::WaitReason;

// -----------------------------------------------------------------------------
// History
// -----------------------------------------------------------------------------

// The points of the graphs, of the whole process.
class History {
 public:
  static History& Get() {
    static History& history = *new History;
    return history;
  }

  void Add(const RuntimeStats& stats) {
    const absl::Time now = absl::Now();
    std::lock_guard lock(mutex_);
    // Requests come as they like. The last point is of now, as long as it is
    // close to the one before: else those who ask all the time would push one
    // point along.
    if (points_.size() >= 2 &&
        now - points_[points_.size() - 2].time < kClosest) {
      points_.pop_back();
    }
    points_.push_back({now, stats.live, stats.blocked,
                       stats.stack_resident_bytes,
                       internal::LeakedGoroutines()});
    if (points_.size() > kMaxPoints) points_.pop_front();
  }

  std::vector<DebugPoint> Points() {
    std::lock_guard lock(mutex_);
    return {points_.begin(), points_.end()};
  }

 private:
  static constexpr std::size_t kMaxPoints = 720;
  static constexpr absl::Duration kClosest = absl::Milliseconds(100);

  std::mutex mutex_;
  std::deque<DebugPoint> points_;  // by mutex_
};

// -----------------------------------------------------------------------------
// Groups
// -----------------------------------------------------------------------------

// Of a group so many are looked at closely, and so many of their stacks shown.
constexpr std::size_t kExamined = 32;
constexpr std::size_t kStacks = 8;
constexpr std::size_t kIds = 8;
// And of so many groups.
constexpr std::size_t kGroups = 200;

// A group before any text is made of it.
struct Draft {
  int64_t count = 0;
  runtime::MonotonicNanos since = runtime::kNever;
  internal::EvenSample sample{kExamined};
  SourceLocation place;
  const char* what = nullptr;
};
// Where, and what. The words are constants of the program; one place may have
// several copies of them.
using DraftKey = std::tuple<std::string_view, unsigned, std::string_view>;
using Drafts = std::map<DraftKey, Draft>;

void AddToDraft(const internal::Glimpse& glimpse, const char* what,
                const SourceLocation& place, Drafts* drafts) {
  Draft& draft = (*drafts)[DraftKey(place.file_name(), place.line(), what)];
  if (draft.count++ == 0) {
    draft.place = place;
    draft.what = what;
  }
  if (glimpse.task.note.since != 0) {
    draft.since = std::min(draft.since, glimpse.task.note.since);
  }
  draft.sample.Offer(glimpse.index, glimpse.task.id);
}

void SetStacks(const internal::StackGroups& groups, DebugGroup* group) {
  group->examined = groups.total();
  for (const internal::StackGroup* of : groups.Ranked()) {
    if (group->stacks.size() == kStacks) break;
    group->stacks.push_back({of->count, of->first, of->ids});
  }
}

// The largest ones first.
std::vector<const Draft*> Rank(const Drafts& drafts) {
  std::vector<const Draft*> ranked;
  for (const auto& [key, draft] : drafts) ranked.push_back(&draft);
  std::sort(ranked.begin(), ranked.end(),
            [](const Draft* a, const Draft* b) { return a->count > b->count; });
  return ranked;
}

// By id.
using Examined = std::unordered_map<uint64_t, GoroutineInfo>;

// All at once, for what is found out about one's stack serves the next.
Examined Examine(const std::vector<const Draft*>& blocked,
                 const std::vector<const Draft*>& others) {
  std::vector<uint64_t> ids;
  for (const auto* drafts : {&blocked, &others}) {
    for (std::size_t i = 0; i < drafts->size() && i < kGroups; ++i) {
      for (const auto& member : (*drafts)[i]->sample.members()) {
        ids.push_back(member.id);
      }
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  Examined examined;
  for (GoroutineInfo& info : internal::DescribeGoroutines(ids)) {
    examined.emplace(info.id, std::move(info));
  }
  return examined;
}

std::vector<DebugGroup> ToGroups(const std::vector<const Draft*>& drafts,
                                 const Examined& examined) {
  const runtime::MonotonicNanos now = runtime::MonotonicNow();
  std::vector<DebugGroup> groups;
  for (const Draft* draft : drafts) {
    DebugGroup group;
    group.what = draft->what;
    group.place = internal::ToSourceSite(draft->place);
    group.count = draft->count;
    if (draft->since != runtime::kNever) {
      group.oldest = absl::Nanoseconds(now - draft->since);
    }
    internal::StackGroups stacks(kIds);
    double bytes = 0;
    for (const auto& member : draft->sample.members()) {
      const auto at = examined.find(member.id);
      if (at == examined.end()) continue;
      bytes += static_cast<double>(at->second.stack_bytes);
      stacks.Add(at->second);
    }
    if (stacks.total() != 0) {
      group.stack_bytes =
          static_cast<std::size_t>(bytes / static_cast<double>(stacks.total()) *
                                   static_cast<double>(group.count));
    }
    SetStacks(stacks, &group);
    groups.push_back(std::move(group));
  }
  return groups;
}

void AddGoroutines(DebugView* view) {
  Drafts blocked;
  Drafts others;
  internal::WalkGoroutines([&](const internal::Glimpse& glimpse) {
    const auto& task = glimpse.task;
    if (glimpse.IsBlocked()) {
      AddToDraft(glimpse, runtime::WaitReasonName(task.note.reason),
                 task.note.site, &blocked);
    } else if (!task.started || glimpse.is_woken) {
      AddToDraft(glimpse, "runnable", task.site, &others);
    } else if (task.note.reason == WaitReason::kBlocking) {
      AddToDraft(glimpse, "blocking call", task.note.site, &others);
    } else {
      AddToDraft(glimpse, "running", task.site, &others);
    }
  });
  const std::vector<const Draft*> ranked_blocked = Rank(blocked);
  const std::vector<const Draft*> ranked_others = Rank(others);
  const Examined examined = Examine(ranked_blocked, ranked_others);
  view->blocked = ToGroups(ranked_blocked, examined);
  view->others = ToGroups(ranked_others, examined);
}

// Leaks that block at one place for one reason.
struct LeakGroup {
  DebugGroup group;
  internal::StackGroups stacks{kIds};
  std::vector<const GoroutineInfo*> some;
};

// What some of them wait for, and who has that.
std::string Proof(const LeakGroup& of, const LeakGraph& graph) {
  LeakGraph part;
  for (const GoroutineInfo* leak : of.some) part.goroutines.push_back(*leak);
  for (const LeakGraph::Hold& hold : graph.holds) {
    const auto is_wanted = [&](const GoroutineInfo& leak) {
      return std::any_of(leak.waits_on.begin(), leak.waits_on.end(),
                         [&](const WaitTarget& target) {
                           return target.object == hold.object;
                         });
    };
    if (std::any_of(part.goroutines.begin(), part.goroutines.end(),
                    is_wanted)) {
      part.holds.push_back(hold);
    }
  }
  return WaitForGraphText(part);
}

void AddLeaks(DebugView* view) {
  constexpr std::size_t kProofs = 3;
  const LeakGraph graph = FindLeakGraph();
  view->leaked = static_cast<int64_t>(graph.goroutines.size());
  std::map<std::string, LeakGroup> groups;
  for (const GoroutineInfo& leak : graph.goroutines) {
    const SourceSite& at = leak.blocked_at;
    LeakGroup& of =
        groups[absl::StrCat(leak.wait_reason, "\n", at.file, ":", at.line)];
    if (of.group.count++ == 0) {
      of.group.what = leak.wait_reason;
      of.group.place = at;
    }
    of.group.stack_bytes += leak.stack_bytes;
    of.group.oldest = std::max(of.group.oldest, leak.waiting_for);
    of.stacks.Add(leak);
    if (of.some.size() < kProofs) of.some.push_back(&leak);
  }
  for (auto& [key, of] : groups) {
    SetStacks(of.stacks, &of.group);
    of.group.proof = Proof(of, graph);
    view->leaks.push_back(std::move(of.group));
  }
  std::sort(view->leaks.begin(), view->leaks.end(),
            [](const DebugGroup& a, const DebugGroup& b) {
              return a.count > b.count;
            });
}

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

std::string ProgramName() {
#if defined(__linux__)
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length > 0) {
    const std::string_view all(path, static_cast<std::size_t>(length));
    return std::string(all.substr(all.rfind('/') + 1));
  }
#endif
  return "gochan";
}

// The number after `name` in "name=1&other=2", or 0.
int Parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    int value;
    if (part.size() > name.size() && part[name.size()] == '=' &&
        part.substr(0, name.size()) == name &&
        absl::SimpleAtoi(std::string(part.substr(name.size() + 1)), &value)) {
      return value;
    }
  }
  return 0;
}

DebugResponse Text(std::string body) {
  return {200, "text/plain; charset=utf-8", std::move(body)};
}

DebugResponse Profile(std::string body) {
  return {200, "application/octet-stream", std::move(body)};
}

DebugResponse Page(std::string_view query) {
  DebugView view;
  view.program = ProgramName();
  view.pid = static_cast<int>(getpid());
  view.now = absl::Now();
  view.refresh_seconds = std::max(0, Parameter(query, "refresh"));
  view.stats = Stats();
  History::Get().Add(view.stats);
  view.history = History::Get().Points();
  AddLeaks(&view);
  AddGoroutines(&view);
  view.block_profile = internal::GetBlockTotals();
  return {200, "text/html; charset=utf-8", internal::RenderDebugPage(view)};
}

}  // namespace

DebugResponse HandleDebug(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query =
      target.substr(std::min(target.size(), path.size() + 1));
  const int debug = Parameter(query, "debug");
  if (path == "/metrics") {
    const RuntimeStats stats = Stats();
    History::Get().Add(stats);
    return {200, "text/plain; version=0.0.4; charset=utf-8",
            internal::ToPrometheusText(stats)};
  }
  if (path == "/debug" || path == "/debug/" || path == "/debug/pprof/") {
    return Page(query);
  }
  if (path == "/debug/pprof/goroutine") {
    if (debug == 1) return Text(GoroutineProfileText());
    if (debug >= 2) return Text(GoroutineDump());
    return Profile(GoroutineProfilePprof());
  }
  if (path == "/debug/pprof/goroutineleak") {
    if (debug >= 1) return Text(LeakReport(FindLeaks()));
    return Profile(GoroutineLeakProfilePprof());
  }
  if (path == "/debug/leaks.dot") return Text(WaitForGraphDot(FindLeakGraph()));
  if (path == "/debug/pprof/block") return Profile(BlockProfilePprof());
  return {404, "text/plain; charset=utf-8",
          "404: there are /metrics, /debug/, /debug/pprof/goroutine, "
          "/debug/pprof/goroutineleak and /debug/pprof/block\n"};
}

// -----------------------------------------------------------------------------
// DebugHistory
// -----------------------------------------------------------------------------

struct DebugHistory::Thread {
  explicit Thread(absl::Duration interval)
      : thread("gochan-history", internal::BackgroundThread::kWakesNobody,
               [interval] {
                 History::Get().Add(Stats());
                 return interval;
               }) {}

  internal::BackgroundThread thread;
};

DebugHistory::DebugHistory(absl::Duration interval)
    : thread_(std::make_unique<Thread>(interval)) {}

DebugHistory::~DebugHistory() = default;

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "go/inspect.h"
#include "go/leak.h"

namespace gochan {

namespace {

constexpr std::size_t kMaxGroups = 50;
constexpr std::size_t kMaxIds = 8;
constexpr std::size_t kMaxFrames = 16;
constexpr std::size_t kMaxInGraph = 1000;

// Leaks that block in one place for one reason, and were created in one.
struct Group {
  const GoroutineInfo* first = nullptr;  // the lowest id
  std::size_t count = 0;
  std::size_t bytes = 0;
  absl::Duration oldest;
  std::vector<const GoroutineInfo*> some;  // the first kMaxIds
};

// As a dump has it in its brackets.
const std::string& Doing(const GoroutineInfo& info) {
  return info.state == "waiting" ? info.wait_reason : info.state;
}

auto KeyOf(const SourceSite& site) {
  return std::tuple<std::string_view, int, std::string_view>(
      site.file, site.line, site.function);
}

std::vector<Group> GroupAll(absl::Span<const GoroutineInfo> leaks) {
  using Key = decltype(std::tuple(KeyOf(SourceSite()), std::string_view(),
                                  KeyOf(SourceSite())));
  std::map<Key, Group> by_site;
  for (const GoroutineInfo& leak : leaks) {
    Group& group =
        by_site[{KeyOf(leak.blocked_at), Doing(leak), KeyOf(leak.created_at)}];
    if (group.count++ == 0) group.first = &leak;
    group.bytes += leak.stack_bytes;
    group.oldest = std::max(group.oldest, leak.waiting_for);
    if (group.some.size() < kMaxIds) group.some.push_back(&leak);
  }
  std::vector<Group> groups;
  groups.reserve(by_site.size());
  for (auto& [key, group] : by_site) groups.push_back(std::move(group));
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    return std::tuple(b.count, b.bytes, b.oldest, a.first->id) <
           std::tuple(a.count, a.bytes, a.oldest, b.first->id);
  });
  return groups;
}

std::string Goroutines(std::size_t n) {
  return absl::StrCat(n, n == 1 ? " goroutine" : " goroutines");
}

std::string Bytes(std::size_t bytes) {
  if (bytes < 10 << 10) return absl::StrCat(bytes, " bytes");
  if (bytes < std::size_t{10} << 20) return absl::StrCat(bytes >> 10, " KiB");
  return absl::StrCat(bytes >> 20, " MiB");
}

// Without more digits than mean anything.
std::string Age(absl::Duration age) {
  const absl::Duration unit = age >= absl::Minutes(1) ? absl::Seconds(1)
                              : age >= absl::Seconds(1)
                                  ? absl::Milliseconds(100)
                                  : absl::Milliseconds(1);
  return absl::FormatDuration(absl::Trunc(age, unit));
}

void AppendSite(const SourceSite& site, std::string* out) {
  absl::StrAppend(out, site.function, "\n\t", site.file);
  if (site.line != 0) absl::StrAppend(out, ":", site.line);
  *out += '\n';
}

std::string Place(const SourceSite& site) {
  const std::size_t slash = site.file.rfind('/');
  return absl::StrCat(
      slash == std::string::npos ? site.file : site.file.substr(slash + 1), ":",
      site.line);
}

// What they wait for, numbered as it comes.
class Objects {
 public:
  explicit Objects(const LeakGraph& graph) {
    for (const GoroutineInfo& g : graph.goroutines) {
      for (const WaitTarget& target : g.waits_on) {
        const void* const object = target.object;
        if (object == nullptr) continue;
        if (numbers_.try_emplace(target.object, list_.size() + 1).second) {
          list_.push_back(&target);
        }
      }
    }
    for (const LeakGraph::Hold& hold : graph.holds) {
      holders_[hold.object].push_back(hold.goroutine);
    }
  }

  const std::vector<const WaitTarget*>& list() const { return list_; }
  std::size_t Number(ObjectId object) const { return numbers_.at(object); }
  std::string Name(const WaitTarget& target) const {
    const void* const object = target.object;
    if (object == nullptr) return "a nil channel";
    if (target.direction.empty()) {
      return absl::StrCat("object ", Number(target.object));
    }
    return absl::StrCat(
        "channel ", Number(target.object), " (",
        target.element_type.empty() ? "" : target.element_type + ", ",
        target.length, " of ", target.capacity, ")");
  }
  // Ascending ids.
  const std::vector<uint64_t>& Holders(ObjectId object) const {
    static const std::vector<uint64_t>& none = *new std::vector<uint64_t>;
    const auto at = holders_.find(object);
    return at == holders_.end() ? none : at->second;
  }

 private:
  struct Hash {
    std::size_t operator()(ObjectId object) const { return object.hash(); }
  };
  std::vector<const WaitTarget*> list_;
  std::unordered_map<ObjectId, std::size_t, Hash> numbers_;
  std::unordered_map<ObjectId, std::vector<uint64_t>, Hash> holders_;
};

const char* Verb(const WaitTarget& target) {
  if (target.direction == "send") return "to send to ";
  if (target.direction == "receive") return "to receive from ";
  return "for ";
}

std::string DotText(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? ' ' : c;
  }
  return quoted;
}

void AppendGroup(const Group& group, std::string* out) {
  const GoroutineInfo& first = *group.first;
  absl::StrAppend(out, Goroutines(group.count), " [", Doing(first), "]");
  if (group.bytes != 0) absl::StrAppend(out, ", ", Bytes(group.bytes));
  if (group.oldest > absl::ZeroDuration()) {
    absl::StrAppend(out, group.count == 1 ? ", for " : ", the oldest for ",
                    Age(group.oldest));
  }
  *out += ":\n";
  if (first.stack.empty() && first.blocked_at.line != 0) {
    AppendSite(first.blocked_at, out);
  }
  for (std::size_t i = 0; i < first.stack.size() && i < kMaxFrames; ++i) {
    AppendSite(first.stack[i], out);
  }
  *out += "created by ";
  AppendSite(first.created_at, out);
  *out += group.count == 1 ? "goroutine " : "goroutines ";
  for (std::size_t k = 0; k < group.some.size(); ++k) {
    absl::StrAppend(out, k == 0 ? "" : ", ", group.some[k]->id);
    if (!group.some[k]->name.empty()) {
      absl::StrAppend(out, " \"", group.some[k]->name, "\"");
    }
  }
  *out += group.count > group.some.size() ? ", ...\n" : "\n";
}

}  // namespace

std::string LeakReport(absl::Span<const GoroutineInfo> leaks) {
  if (leaks.empty()) return "";
  std::size_t bytes = 0;
  for (const GoroutineInfo& leak : leaks) bytes += leak.stack_bytes;
  return absl::StrCat(Goroutines(leaks.size()),
                      " can never run again; their stacks hold ", Bytes(bytes),
                      "\n\n", internal::GroupedText(leaks));
}

namespace internal {

std::string GroupedText(absl::Span<const GoroutineInfo> goroutines) {
  const std::vector<Group> groups = GroupAll(goroutines);
  std::string out;
  std::size_t told = 0;
  for (std::size_t i = 0; i < groups.size() && i < kMaxGroups; ++i) {
    told += groups[i].count;
    if (i != 0) out += '\n';
    AppendGroup(groups[i], &out);
  }
  if (groups.size() > kMaxGroups) {
    absl::StrAppend(&out, "\n... and ", Goroutines(goroutines.size() - told),
                    " in ", groups.size() - kMaxGroups, " more places\n");
  }
  return out;
}

}  // namespace internal

std::string WaitForGraphText(const LeakGraph& graph) {
  const Objects objects(graph);
  std::string out;
  std::size_t told = 0;
  for (const GoroutineInfo& g : graph.goroutines) {
    if (told++ == kMaxInGraph) break;
    // Not the header of a dump: who reads a report finds each of those once.
    absl::StrAppend(&out, "goroutine ", g.id,
                    g.name.empty() ? "" : " \"" + g.name + "\"", " waits at ",
                    Place(g.blocked_at), " (", g.wait_reason, ")\n");
    if (g.waits_on.empty()) out += "\tfor nothing\n";
    for (const WaitTarget& target : g.waits_on) {
      absl::StrAppend(&out, "\t", Verb(target), objects.Name(target));
      const std::vector<uint64_t>& holders = objects.Holders(target.object);
      for (std::size_t i = 0; i < holders.size() && i < kMaxIds; ++i) {
        absl::StrAppend(&out, i == 0 ? ", held by goroutine " : ", ",
                        holders[i]);
      }
      out += holders.size() > kMaxIds ? ", ...\n" : "\n";
    }
  }
  if (graph.goroutines.size() > kMaxInGraph) {
    absl::StrAppend(&out, "... and ",
                    Goroutines(graph.goroutines.size() - kMaxInGraph), "\n");
  }
  return out;
}

std::string WaitForGraphDot(const LeakGraph& graph) {
  const Objects objects(graph);
  std::string out = "digraph leaks {\n";
  for (const GoroutineInfo& g : graph.goroutines) {
    absl::StrAppend(&out, "  g", g.id, " [label=\"goroutine ", g.id);
    if (!g.name.empty()) absl::StrAppend(&out, "\\n", DotText(g.name));
    absl::StrAppend(&out, "\\n", DotText(g.wait_reason), "\\n",
                    DotText(Place(g.blocked_at)), "\"];\n");
    for (const WaitTarget& target : g.waits_on) {
      const void* const object = target.object;
      if (object == nullptr) continue;
      absl::StrAppend(&out, "  g", g.id, " -> o", objects.Number(target.object),
                      " [label=\"", DotText(target.direction), "\"];\n");
    }
  }
  for (const WaitTarget* target : objects.list()) {
    const std::size_t number = objects.Number(target->object);
    absl::StrAppend(&out, "  o", number, " [shape=box, label=\"",
                    DotText(objects.Name(*target)), "\"];\n");
    for (const uint64_t holder : objects.Holders(target->object)) {
      absl::StrAppend(&out, "  o", number, " -> g", holder,
                      " [style=dashed, label=\"held by\"];\n");
    }
  }
  out += "}\n";
  return out;
}

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/cpu_count.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gochan::runtime {

namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();
constexpr int kMaxProcs = 1024;

// ---- Small text ------------------------------------------------------------

std::optional<std::string> ReadFile(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text;
  char buffer[4096];
  std::size_t n;
  while ((n = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    text.append(buffer, n);
  }
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) return std::nullopt;
  return text;
}

// Cuts `text` at the first `delimiter`: returns what is before it and leaves
// what is behind it. All of it and nothing if there is none.
std::string_view Cut(std::string_view& text, std::string_view delimiter) {
  const std::size_t at = text.find(delimiter);
  const std::string_view before = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view()
                                      : text.substr(at + delimiter.size());
  return before;
}

std::optional<int64_t> ParseInt(std::string_view text) {
  int64_t value;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

bool ListHas(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    if (Cut(list, ",") == item) return true;
  }
  return false;
}

// Undoes the kernel's escapes of blanks and backslashes: '\' and three octal
// digits.
std::string Unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3 && is_octal(text[i + 1]) &&
        is_octal(text[i + 2]) && is_octal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 +
                                      (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// Whether `path` is `prefix` or below it.
bool IsWithin(std::string_view path, std::string_view prefix) {
  if (prefix == "/") return true;
  return path.substr(0, prefix.size()) == prefix &&
         (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// ---- Cgroups ---------------------------------------------------------------

struct Cgroup {
  bool v2;
  std::string path;  // within its hierarchy; starts with '/'
};

// The cgroup that limits this process's CPU time, out of /proc/self/cgroup.
// Lines are "hierarchy:controllers:path". A v1 hierarchy with the controller
// "cpu" takes precedence over v2, which is hierarchy 0: a controller is in one
// of them only.
std::optional<Cgroup> FindCgroup(std::string_view text) {
  std::optional<Cgroup> found;
  while (!text.empty()) {
    std::string_view path = Cut(text, "\n");
    const std::string_view hierarchy = Cut(path, ":");
    const std::string_view controllers = Cut(path, ":");
    if (path.empty() || path[0] != '/') continue;
    if (hierarchy == "0") {
      found = Cgroup{true, std::string(path)};
    } else if (ListHas(controllers, "cpu")) {
      return Cgroup{false, std::string(path)};
    }
  }
  return found;
}

// A place where the cgroup can be seen.
struct Mount {
  std::string point;     // the folder that shows the mount's root
  std::string relative;  // the cgroup below that: "" or "/..."
};

// The mounts that show `cgroup`, out of /proc/self/mountinfo. Fields are
//
//   36 35 98:0 /root /point rw,noatime master:1 - cgroup source rw,cpu
//   id parent device        options    optional   type          super options
//
// with any number of optional ones. The root is the folder of the hierarchy
// that the mount shows; in a container often the container's own cgroup.
std::vector<Mount> FindMounts(std::string_view text, const Cgroup& cgroup) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    std::string_view tail = Cut(text, "\n");
    std::string_view head = Cut(tail, " - ");
    for (int skipped = 0; skipped < 3; ++skipped) Cut(head, " ");
    const std::string root = Unescape(Cut(head, " "));
    const std::string point = Unescape(Cut(head, " "));
    const std::string_view type = Cut(tail, " ");
    Cut(tail, " ");  // the source says nothing
    if (cgroup.v2 ? type != "cgroup2"
                  : type != "cgroup" || !ListHas(tail, "cpu")) {
      continue;
    }
    if (root.empty() || point.empty() || !IsWithin(cgroup.path, root)) continue;
    std::string relative = cgroup.path.substr(root == "/" ? 0 : root.size());
    if (relative == "/") relative.clear();
    // In a cgroup namespace, what is above its root reads "/..": the process is
    // outside of what this mount shows, and the names there are unknown.
    if (IsWithin(relative, "/..")) continue;
    mounts.push_back({point, std::move(relative)});
  }
  return mounts;
}

// "QUOTA PERIOD", in microseconds; the quota may be "max".
double V2Limit(const std::string& folder) {
  const std::optional<std::string> text = ReadFile(folder + "/cpu.max");
  if (!text) return kNoLimit;
  std::string_view rest = *text;
  const std::optional<int64_t> quota = ParseInt(Cut(rest, " "));
  const std::optional<int64_t> period = ParseInt(Cut(rest, "\n"));
  if (!quota || !period || *quota < 0 || *period <= 0) return kNoLimit;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<int64_t> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadFile(path);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  return ParseInt(Cut(rest, "\n"));
}

// A quota of -1 is none.
double V1Limit(const std::string& folder) {
  const std::optional<int64_t> quota = ReadNumber(folder + "/cpu.cfs_quota_us");
  const std::optional<int64_t> period =
      ReadNumber(folder + "/cpu.cfs_period_us");
  if (!quota || !period || *quota < 0 || *period <= 0) return kNoLimit;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// The tightest limit from the cgroup up to the mount's root. A folder that is
// not there, because the process has moved or the mount shows another
// namespace, does not keep those above from counting.
double MountLimit(const std::string& root, const Mount& mount, bool v2) {
  double limit = kNoLimit;
  std::string relative = mount.relative;
  for (;;) {
    const std::string folder = root + mount.point + relative;
    limit = std::min(limit, v2 ? V2Limit(folder) : V1Limit(folder));
    if (relative.empty()) return limit;
    relative.resize(relative.rfind('/'));
  }
}

}  // namespace

double CgroupCpuLimit(const std::string& root) {
  const std::optional<std::string> cgroups =
      ReadFile(root + "/proc/self/cgroup");
  const std::optional<std::string> mounts =
      ReadFile(root + "/proc/self/mountinfo");
  if (!cgroups || !mounts) return kNoLimit;
  const std::optional<Cgroup> cgroup = FindCgroup(*cgroups);
  if (!cgroup) return kNoLimit;
  double limit = kNoLimit;
  // Several mounts may show the cgroup, some of them more of its ancestors.
  for (const Mount& mount : FindMounts(*mounts, *cgroup)) {
    limit = std::min(limit, MountLimit(root, mount, cgroup->v2));
  }
  return limit;
}

int CpusWithin(int cpus, double limit) {
  const double allowed = std::max(std::ceil(limit), 2.0);
  return allowed < cpus ? static_cast<int>(allowed) : cpus;
}

int NumCpu() {
#if defined(__linux__)
  // The system call itself: glibc's cpu_set_t ends at 1024 processors.
  uint64_t mask[1024];  // 65,536 processors, as Go has it
  const long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), &mask[0]);
  if (bytes > 0) {
    int cpus = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(bytes) / 8; ++i) {
      cpus += __builtin_popcountll(mask[i]);
    }
    if (cpus > 0) return cpus;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int UsableCpus() { return CpusWithin(NumCpu(), CgroupCpuLimit("")); }

int ParseMaxProcs(const char* text) {
  if (text == nullptr) return 0;
  const std::optional<int64_t> value = ParseInt(text);
  return value && *value >= 1 && *value <= kMaxProcs ? static_cast<int>(*value)
                                                     : 0;
}

}  // namespace gochan::runtime

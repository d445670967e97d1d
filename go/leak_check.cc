// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/leak_check.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "go/time.h"
#include "runtime/atomic.h"
#include "runtime/goroutine.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"

namespace gochan {
namespace {

using internal::FindAll;
using internal::LeakAccess;
using internal::UnexpectedText;

constexpr absl::string_view kLabel = "gochan.leak_check.";
// What the library runs for itself has a name that begins so.
constexpr absl::string_view kOwnName = "gochan.";
// RunMain()'s: its end is the program's.
constexpr uint64_t kMainId = 1;

constexpr absl::Duration kFirstPause = absl::Microseconds(1);
constexpr absl::Duration kLongestPause = absl::Milliseconds(100);

// -----------------------------------------------------------------------------
// Who is there
// -----------------------------------------------------------------------------

// Ascending.
std::vector<uint64_t> LivingIds() {
  std::vector<uint64_t> ids;
  runtime::TaskReader::ForEach(
      [&ids](uint32_t, uint64_t id, uint64_t) { ids.push_back(id); });
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool Contains(const std::vector<uint64_t>& ascending, uint64_t id) {
  return std::binary_search(ascending.begin(), ascending.end(), id);
}

// The caller and who has started it, and who has started that one, as far as
// they live. Ascending.
std::vector<uint64_t> CallerAndAncestors() {
  std::map<uint64_t, uint64_t> creators;
  runtime::TaskReader::ForEach(
      [&creators](uint32_t, uint64_t id, uint64_t creator) {
        creators.emplace(id, creator);
      });
  std::vector<uint64_t> ids;
  for (uint64_t id = runtime::CurrentGoroutineId(); id != 0;) {
    ids.push_back(id);
    const auto found = creators.find(id);
    id = found == creators.end() ? 0 : found->second;
    // A creator is older, but for the main goroutine of a later RunMain().
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) break;
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

// Whose is it, by its labels?
enum class Owner { kUnknown, kThisCheck, kOtherCheck };
Owner OwnerOf(const GoroutineInfo& info, const std::string& label) {
  Owner owner = Owner::kUnknown;
  for (const auto& [key, value] : info.labels) {
    if (key == label) return Owner::kThisCheck;
    if (absl::StartsWith(key, kLabel)) owner = Owner::kOtherCheck;
  }
  return owner;
}

// -----------------------------------------------------------------------------
// Looking for who should not be there
// -----------------------------------------------------------------------------

class Finder {
 public:
  // `label`: of a LeakCheck, else empty. `excused`, ascending, are not counted.
  Finder(const LeakOptions& options, std::string label,
         std::vector<uint64_t> excused)
      : options_(options),
        label_(std::move(label)),
        excused_(std::move(excused)) {}

  // Those that are left when the time is over.
  std::vector<GoroutineInfo> Find() const {
    const absl::Time deadline = absl::Now() + LeakAccess::MaxWait(options_);
    for (absl::Duration pause = kFirstPause;;
         pause = std::min(2 * pause, kLongestPause)) {
      std::vector<GoroutineInfo> found = Look();
      const absl::Duration left = deadline - absl::Now();
      if (found.empty() || left <= absl::ZeroDuration()) return found;
      Sleep(std::min(pause, left));
    }
  }

 private:
  bool IsExcused(uint64_t id) const {
    return id == kMainId || id == runtime::CurrentGoroutineId() ||
           Contains(excused_, id) || Contains(LeakAccess::Ids(options_), id);
  }

  bool Counts(const GoroutineInfo& info) const {
    if (absl::StartsWith(info.name, kOwnName)) return false;
    if (!label_.empty()) {
      const Owner owner = OwnerOf(info, label_);
      if (owner == Owner::kOtherCheck) return false;
      if (owner == Owner::kUnknown && LeakAccess::OnlyOwn(options_)) {
        return false;
      }
    }
    return !LeakAccess::Ignores(options_, info);
  }

  std::vector<GoroutineInfo> Look() const {
    std::vector<uint64_t> ids = LivingIds();
    std::erase_if(ids, [this](uint64_t id) { return IsExcused(id); });
    if (ids.empty()) return {};
    std::vector<GoroutineInfo> found = internal::DescribeGoroutines(ids);
    std::erase_if(found,
                  [this](const GoroutineInfo& info) { return !Counts(info); });
    return found;
  }

  const LeakOptions& options_;
  const std::string label_;
  const std::vector<uint64_t> excused_;
};

// -----------------------------------------------------------------------------
// Failing
// -----------------------------------------------------------------------------

void Print(const std::string& text) {
  std::fflush(stdout);
  internal::WriteToStderr(text);
}

[[noreturn]] void PrintAndAbort(const std::string& report,
                                const SourceLocation& site) {
  Print(absl::StrCat(site.file_name(), ":", site.line(), ": ", report));
  std::abort();
}

// SetLeakFailure() writes it.
constinit runtime::Atomic<internal::LeakFailure> failure{nullptr};

void Fail(const std::vector<GoroutineInfo>& found, const SourceLocation& site) {
  // L1 acquire: what the function relies on; pairs with L1 in SetLeakFailure().
  const internal::LeakFailure fail = failure.load(std::memory_order_acquire);
  (fail != nullptr ? fail : &PrintAndAbort)(UnexpectedText(found), site);
}

void CallCleanup(const LeakOptions& options, int code) {
  const std::function<void(int)>& cleanup = LeakAccess::Cleanup(options);
  if (cleanup != nullptr) cleanup(code);
}

}  // namespace

// -----------------------------------------------------------------------------
// LeakOptions
// -----------------------------------------------------------------------------

LeakOptions& LeakOptions::IgnoreTopFunction(std::string function) {
  top_.push_back(std::move(function));
  return *this;
}
LeakOptions& LeakOptions::IgnoreAnyFunction(std::string function) {
  any_.push_back(std::move(function));
  return *this;
}
LeakOptions& LeakOptions::IgnoreCreatedBy(std::string function) {
  creators_.push_back(std::move(function));
  return *this;
}
LeakOptions& LeakOptions::IgnoreName(std::string name) {
  names_.push_back(std::move(name));
  return *this;
}
LeakOptions& LeakOptions::IgnoreCurrent() {
  const std::vector<uint64_t> living = LivingIds();
  ids_.insert(ids_.end(), living.begin(), living.end());
  std::sort(ids_.begin(), ids_.end());
  return *this;
}
LeakOptions& LeakOptions::OnlyOwn() {
  only_own_ = true;
  return *this;
}
LeakOptions& LeakOptions::MaxWait(absl::Duration wait) {
  max_wait_ = wait;
  return *this;
}
LeakOptions& LeakOptions::Cleanup(std::function<void(int)> fn) {
  cleanup_ = std::move(fn);
  return *this;
}
LeakOptions& LeakOptions::RunOnFailure() {
  run_on_failure_ = true;
  return *this;
}

// -----------------------------------------------------------------------------
// LeakCheck
// -----------------------------------------------------------------------------

namespace {

std::string NewLabel() {
  // Relaxed: a number that nobody else has.
  static constinit runtime::Atomic<uint64_t> checks{0};
  return absl::StrCat(kLabel,
                      checks.fetch_add(1, std::memory_order_relaxed) + 1);
}

std::string ToString(const SourceLocation& site) {
  return absl::StrCat(site.file_name(), ":", site.line());
}

}  // namespace

LeakCheck::LeakCheck(LeakOptions options, const SourceLocation& site)
    : options_(std::move(options)),
      site_(site),
      label_(NewLabel()),
      scope_(label_, ToString(site)) {
  options_.IgnoreCurrent();
}

std::vector<GoroutineInfo> LeakCheck::Find() const {
  return Finder(options_, label_, {}).Find();
}

LeakCheck::~LeakCheck() {
  if (cancelled_) return;
  const std::vector<GoroutineInfo> found = Find();
  if (!found.empty()) Fail(found, site_);
  CallCleanup(options_, 0);
}

// -----------------------------------------------------------------------------
// As in goleak
// -----------------------------------------------------------------------------

void VerifyNone(LeakOptions options, const SourceLocation& site) {
  const std::vector<GoroutineInfo> found = FindAll(options);
  if (!found.empty()) Fail(found, site);
  CallCleanup(options, 0);
}

int VerifyTestMain(absl::FunctionRef<int()> run, LeakOptions options) {
  int code = run();
  if (code == 0 || LeakAccess::RunOnFailure(options)) {
    const std::vector<GoroutineInfo> found = FindAll(options);
    if (!found.empty()) {
      Print(absl::StrCat("leaks after ",
                         code == 0 ? "a successful" : "an unsuccessful",
                         " test run: ", UnexpectedText(found)));
      if (code == 0) code = 1;
    }
  }
  CallCleanup(options, code);
  return code;
}

absl::Status FindUnexpected(LeakOptions options) {
  if (LeakAccess::Cleanup(options) != nullptr) {
    return absl::InvalidArgumentError(
        "Cleanup can only be passed to VerifyNone or VerifyTestMain");
  }
  const std::vector<GoroutineInfo> found = FindAll(options);
  if (found.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(UnexpectedText(found));
}

// -----------------------------------------------------------------------------
// Details
// -----------------------------------------------------------------------------

namespace internal {
namespace {

// Does `whole` end with `part`, which begins there behind `separator`?
bool EndsWithPart(absl::string_view whole, absl::string_view part,
                  absl::string_view separator) {
  if (!absl::ConsumeSuffix(&whole, part)) return false;
  return whole.empty() || absl::EndsWith(whole, separator);
}

bool NamesAny(const std::vector<std::string>& texts, const SourceSite& site) {
  return std::any_of(
      texts.begin(), texts.end(),
      [&site](const std::string& text) { return NamesSite(text, site); });
}

}  // namespace

bool NamesSite(const std::string& text, const SourceSite& site) {
  if (text.empty()) return false;
  if (EndsWithPart(absl::StrCat(site.file, ":", site.line), text, "/")) {
    return true;
  }
  return EndsWithPart(site.function, text, "::") ||
         EndsWithPart(site.function, absl::StrCat(text, "()"), "::");
}

bool LeakAccess::Ignores(const LeakOptions& options,
                         const GoroutineInfo& info) {
  const auto is_any = [&options](const SourceSite& site) {
    return NamesAny(options.any_, site);
  };
  return NamesAny(options.creators_, info.created_at) ||
         NamesAny(options.top_, info.blocked_at) || is_any(info.blocked_at) ||
         std::any_of(info.stack.begin(), info.stack.end(), is_any) ||
         std::find(options.names_.begin(), options.names_.end(), info.name) !=
             options.names_.end();
}

std::vector<GoroutineInfo> FindAll(const LeakOptions& options) {
  return Finder(options, "", CallerAndAncestors()).Find();
}

std::string UnexpectedText(const std::vector<GoroutineInfo>& found) {
  return absl::StrCat("found ", found.size(), " unexpected ",
                      found.size() == 1 ? "goroutine" : "goroutines", ":\n\n",
                      GroupedText(found));
}

void SetLeakFailure(LeakFailure fail) {
  // L1 release.
  failure.store(fail, std::memory_order_release);
}

}  // namespace internal
}  // namespace gochan

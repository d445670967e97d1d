// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/model_test_util.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace gochan::model {

namespace {

absl::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// One explorer for all: its stacks are worth keeping.
Explorer& TheExplorer() {
  static auto* const explorer = new Explorer;
  return *explorer;
}

SearchOptions OptionsFor(const Effort& effort) {
  SearchOptions options;
  options.preemptions = effort.preemptions + (Full() ? 1 : 0);
  options.freezes = effort.freezes;
  options.self_publish = effort.self_publish;
  options.max_schedules = Full() ? 50'000'000 : 5'000'000;
  options.max_seconds = effort.seconds * (Full() ? 20 : 1);
  return options;
}

// Replays if the environment asks for this scenario; true if it names another,
// or has been replayed: nothing else to do then.
bool HandledByReplay(const std::string& name, Scenario& scenario) {
  const absl::string_view replay = Environment("GOCHAN_MODEL_REPLAY");
  if (replay.empty()) return false;
  const std::size_t at = replay.rfind('@');
  if (at == absl::string_view::npos || replay.substr(0, at) != name)
    return true;
  const Outcome outcome = TheExplorer().Replay(scenario, replay.substr(at + 1));
  std::printf("%s\n%s=> %s\n", name.c_str(), outcome.trace.c_str(),
              outcome.ok() ? "no error" : outcome.error.c_str());
  EXPECT_TRUE(outcome.ok());
  return true;
}

bool Judge(const std::string& name, const Outcome& outcome, double seconds) {
  if (!Environment("GOCHAN_MODEL_VERBOSE").empty()) {
    std::printf("  %-60s %s, %.2f s\n", name.c_str(), outcome.Summary().c_str(),
                seconds);
    std::fflush(stdout);
  }
  if (!outcome.ok()) {
    ADD_FAILURE() << "world: " << name << "\n"
                  << outcome.Report() << "Again: GOCHAN_MODEL_REPLAY='" << name
                  << "@" << outcome.decisions << "'";
  }
  return outcome.ok();
}

}  // namespace

bool Full() { return Environment("GOCHAN_MODEL") == "full"; }

bool CheckScenario(const std::string& name, Scenario& scenario,
                   const Effort& effort) {
  if (HandledByReplay(name, scenario)) return true;
  const double begin = Now();
  const Outcome outcome = TheExplorer().Search(scenario, OptionsFor(effort));
  if (effort.must_complete && outcome.ok()) {
    EXPECT_TRUE(outcome.complete) << name << ": " << outcome.Summary();
  } else if (!outcome.complete) {
    std::printf("  INCOMPLETE: %s: %s\n", name.c_str(),
                outcome.Summary().c_str());
  }
  return Judge(name, outcome, Now() - begin);
}

bool Check(WorldSpec spec, const Effort& effort) {
  if (spec.name.empty()) spec.name = ShortName(spec.parties);
  World world(std::move(spec));
  return CheckScenario(world.name(), world, effort);
}

bool CheckRandomly(WorldSpec spec, uint64_t schedules, int freezes) {
  if (spec.name.empty()) spec.name = ShortName(spec.parties);
  World world(std::move(spec));
  if (HandledByReplay(world.name(), world)) return true;
  SampleOptions options;
  options.schedules = schedules * (Full() ? 50 : 1);
  options.freezes = freezes;
  options.max_seconds = Full() ? 300 : 10;
  const double begin = Now();
  const Outcome outcome = TheExplorer().Sample(world, options);
  return Judge(world.name(), outcome, Now() - begin);
}

// -----------------------------------------------------------------------------
// Families
// -----------------------------------------------------------------------------

Family::Family(std::string name, double seconds)
    : name_(std::move(name)), end_(Now() + seconds * (Full() ? 20 : 1)) {}

Family::~Family() {
  std::printf("  %s: %llu worlds, %llu schedules, %llu states", name_.c_str(),
              static_cast<unsigned long long>(worlds_),
              static_cast<unsigned long long>(schedules_),
              static_cast<unsigned long long>(states_));
  if (incomplete_ > 0) {
    std::printf(", %llu INCOMPLETE",
                static_cast<unsigned long long>(incomplete_));
  }
  if (not_run_ > 0) {
    std::printf(", %llu NOT RUN", static_cast<unsigned long long>(not_run_));
  }
  std::printf("\n");
  std::fflush(stdout);
}

bool Family::Add(WorldSpec spec, const Effort& effort) {
  if (failed_ || Now() > end_) {
    ++not_run_;
    return false;
  }
  if (spec.name.empty()) spec.name = ShortName(spec.parties);
  World world(std::move(spec));
  if (HandledByReplay(world.name(), world)) return true;
  const double begin = Now();
  const Outcome outcome = TheExplorer().Search(world, OptionsFor(effort));
  ++worlds_;
  schedules_ += outcome.schedules;
  states_ += outcome.states;
  if (!outcome.complete) ++incomplete_;
  failed_ = !Judge(world.name(), outcome, Now() - begin);
  return !failed_;
}

void ForEachMix(int programs, int parties,
                const std::function<void(const std::vector<int>&)>& f) {
  std::vector<int> mix;
  const std::function<void(int)> extend = [&](int from) {
    if (static_cast<int>(mix.size()) == parties) {
      f(mix);
      return;
    }
    for (int i = from; i < programs; ++i) {
      mix.push_back(i);
      extend(i);
      mix.pop_back();
    }
  };
  extend(0);
}

std::vector<std::vector<Op>> Programs(const std::vector<Op>& alphabet,
                                      int length) {
  std::vector<std::vector<Op>> all;
  std::vector<std::vector<Op>> last = {{}};
  for (int n = 1; n <= length; ++n) {
    std::vector<std::vector<Op>> longer;
    for (const std::vector<Op>& program : last) {
      for (const Op& op : alphabet) {
        longer.push_back(program);
        longer.back().push_back(op);
      }
    }
    all.insert(all.end(), longer.begin(), longer.end());
    last = std::move(longer);
  }
  return all;
}

std::string ShortName(const std::vector<std::vector<Op>>& parties) {
  std::string out;
  for (const std::vector<Op>& program : parties) {
    if (!out.empty()) out += " | ";
    const char* space = "";
    for (const Op& op : program) {
      out += space;
      space = " ";
      static constexpr const char* kNames[] = {"S",  "R",  "TS", "TR",
                                               "CL", "LN", "",   "CX"};
      out += kNames[static_cast<int>(op.kind)];
      if (!op.is_select()) {
        if (!op.cases.empty()) absl::StrAppend(&out, int{op.cases[0].chan});
        for (const uint8_t chan : op.chans) absl::StrAppend(&out, int{chan});
        continue;
      }
      const char* comma = "{";
      for (const CaseSpec& c : op.cases) {
        absl::StrAppend(&out, comma, c.recv ? "r" : "s", int{c.chan});
        comma = ",";
      }
      if (op.has_default) absl::StrAppend(&out, comma, "def");
      if (op.has_timeout) absl::StrAppend(&out, comma, "time");
      out += "}";
    }
  }
  return out;
}

WorldSpec MakeWorld(const std::vector<int>& capacities,
                    std::vector<std::vector<Op>> parties) {
  WorldSpec spec;
  spec.name = "C=";
  for (const int capacity : capacities) {
    absl::StrAppend(&spec.name, spec.name.size() > 2 ? "/" : "", capacity);
  }
  absl::StrAppend(&spec.name, " ", ShortName(parties));
  spec.chans = Capacities(capacities);
  spec.parties = std::move(parties);
  return spec;
}

WorldSpec QueueOnly(WorldSpec spec) {
  spec.name += " queue";
  spec.queue_only = true;
  return spec;
}

WorldSpec Owned(WorldSpec spec) {
  spec.name += " owned";
  spec.owned_after = 0;
  return spec;
}

WorldSpec Young(WorldSpec spec) {
  spec.name += " young";
  spec.owned_after = 1;
  return spec;
}

WorldSpec Hasty(WorldSpec spec) {
  spec.name += " hasty";
  spec.hasty = true;
  return spec;
}

WorldSpec Fresh(WorldSpec spec) {
  spec.name += " fresh";
  spec.owned_after = 1;
  spec.fresh = true;
  return spec;
}

WorldSpec RecycledUnderTheHead() {
  WorldSpec spec =
      QueueOnly(MakeWorld({1, 1}, {{Recv(0), Recv(1)},
                                   {Recv(0)},
                                   {SelectTimeout({R(0)})},
                                   {SelectTimeout({R(0)}), TrySend(0)},
                                   {Recv(0)},
                                   {TrySend(0), TrySend(0)}}));
  spec.prologue = {{0}, {1}, {2}, {3}, {4}, {5}, {5, " head 2 "}, {3}};
  return spec;
}

WorldSpec NotedTwice() {
  WorldSpec spec = MakeWorld({1}, {{Recv(0), Recv(0), Recv(0)},
                                   {Recv(0), Recv(0)},
                                   {Send(0), Send(0), Send(0), Send(0)},
                                   {Recv(0)}});
  spec.prologue = {{0}, {1}, {2}, {2}};
  return spec;
}

WorldSpec NotedLongAgo() {
  WorldSpec spec = MakeWorld(
      {1}, {{Send(0)}, {Send(0)}, {SelectTimeout({S(0)})}, {Send(0)}});
  spec.name += " noted long ago";
  spec.chans[0].preset_note = 1;
  spec.prologue = {{0}};
  return spec;
}

}  // namespace gochan::model

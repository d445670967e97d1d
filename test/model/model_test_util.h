// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the model tests share: how deep to search, how to report, and families
// of worlds.
//
//   GOCHAN_MODEL=quick|full   how deep (default: quick, minutes; full: an hour)
//   GOCHAN_MODEL_REPLAY='name@decisions'   runs that one schedule of that world
//                             (filter for its test) and prints its trace

#ifndef GOCHAN_TEST_MODEL_MODEL_TEST_UTIL_H_
#define GOCHAN_TEST_MODEL_MODEL_TEST_UTIL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "test/model/explorer.h"
#include "test/model/world.h"

namespace gochan::model {

bool Full();

// How one world is searched.
struct Effort {
  int preemptions = 2;  // one more in the full form
  int freezes = 0;
  bool self_publish = false;
  double seconds = 2;  // per world; 20 times as much in the full form
  // The search must come to its end within the bound: asserted.
  bool must_complete = false;
};

// Searches the world; false, and a test failure with the trace, if there is an
// error. Prints a line of figures with GOCHAN_MODEL_VERBOSE.
bool Check(WorldSpec spec, const Effort& effort = {});
bool CheckScenario(const std::string& name, Scenario& scenario,
                   const Effort& effort = {});

// Random schedules of a larger world.
bool CheckRandomly(WorldSpec spec, uint64_t schedules, int freezes = 0);

// Counts and times the worlds of a family and prints one line at its end.
class Family {
 public:
  explicit Family(std::string name, double seconds);
  ~Family();
  // False once the family's time is over (the worlds left are counted, and said
  // to be not run) or after an error.
  bool Add(WorldSpec spec, const Effort& effort = {});

 private:
  std::string name_;
  double end_;
  uint64_t worlds_ = 0;
  uint64_t incomplete_ = 0;
  uint64_t not_run_ = 0;
  uint64_t schedules_ = 0;
  uint64_t states_ = 0;
  bool failed_ = false;
};

// All worlds of `parties` parties, each with one of `programs`, regardless of
// their order.
void ForEachMix(int programs, int parties,
                const std::function<void(const std::vector<int>&)>& f);
// All programs of 1..`length` operations.
std::vector<std::vector<Op>> Programs(const std::vector<Op>& alphabet,
                                      int length);
// "S0 R0 | TS1": for names.
std::string ShortName(const std::vector<std::vector<Op>>& parties);
WorldSpec MakeWorld(const std::vector<int>& capacities,
                    std::vector<std::vector<Op>> parties);
// The same world with the seat of buffered channels out of use.
WorldSpec QueueOnly(WorldSpec spec);
// Channels that are party 0's own, or become so when it has used them; or that
// become the own ones of whoever comes first.
WorldSpec Owned(WorldSpec spec);
WorldSpec Young(WorldSpec spec);
WorldSpec Fresh(WorldSpec spec);
WorldSpec Hasty(WorldSpec spec);

// L44: party 5 has passed the first segment of channel 0 but not finished with
// it, so the next one is unlinked, and given to channel 1, with the head still
// in it. Party 3 then looks at the head.
WorldSpec RecycledUnderTheHead();

// L52: the queue was used and is empty again, so who sits next makes a note;
// meanwhile others do, and the queue moves on once more.
WorldSpec NotedTwice();
// L52, too: the note is 2^31 - 1 places old, so after one more it is right.
WorldSpec NotedLongAgo();

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_MODEL_TEST_UTIL_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// World: a small program over the public API, as a scenario for the explorer.
//
//   World world({.name = "L03",
//                .chans = Capacities({0}),
//                .parties = {{Send(0)}, {Recv(0)}, {Send(0)}}});
//   Outcome outcome = explorer.Search(world, {});
//
// Channels are numbered in address order, values are numbered 1, 2, ... in the
// order of the program. After each schedule the world checks: the history (see
// history.h), the channels' invariants, that nobody waits for a word that
// nobody writes, that a value was moved from only if it was sent, and that
// every T was destroyed once.

#ifndef GOCHAN_TEST_MODEL_WORLD_H_
#define GOCHAN_TEST_MODEL_WORLD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chan/chan.h"
#include "chan/internal/broadcast.h"
#include "test/model/explorer.h"
#include "test/model/history.h"

namespace gochan::model {

// The elements of all channels here: move-only, and counted.
class Token {
 public:
  Token() : Token(0) {}
  explicit Token(int value) : value_(value) { ++live_; }
  Token(Token&& other) noexcept : value_(other.value_) {
    if (other.magic_ != kAlive) ++errors_;
    other.value_ = 0;
    ++live_;
  }
  Token& operator=(Token&& other) noexcept {
    if (magic_ != kAlive || other.magic_ != kAlive) ++errors_;
    value_ = other.value_;
    other.value_ = 0;
    return *this;
  }
  ~Token() {
    if (magic_ != kAlive) ++errors_;
    magic_ = kDead;
    --live_;
  }
  int value() const { return value_; }  // 0: moved from

  static int live() { return live_; }
  // Uses of what was dead, or never alive.
  static int errors() { return errors_; }
  static void ResetCounts() { live_ = errors_ = 0; }

 private:
  static constexpr uint32_t kAlive = 0xa11fe;
  static constexpr uint32_t kDead = 0xdead;
  static inline int live_ = 0;
  static inline int errors_ = 0;

  uint32_t magic_ = kAlive;
  int value_;
};

struct ChanSpec {
  int capacity = 0;
  bool done = false;  // what a context's Done() is: only ever closed, by Cancel
  // Before the first operation: as if so many values and waiters had gone by.
  uint32_t preset_ticket = 0;
  uint32_t preset_place = 0;
  int64_t preset_note = -1;  // a note that was made there, long ago
};
std::vector<ChanSpec> Capacities(const std::vector<int>& capacities);
ChanSpec DoneChan();

// A record keeps its idle subscriptions, and which it has would depend on the
// schedules before: makes them all alike.
void ForgetSubscriptions(Explorer& explorer, int parties);

struct WorldSpec {
  std::string name;
  std::vector<ChanSpec> chans;
  std::vector<std::vector<Op>> parties;
  // Before the search, one after the other: a party has done one operation, or
  // is parked in it. With `until`, it has gone on only until its channel 0
  // prints that. Its deadline has passed if nothing else lets it go on.
  struct Before {
    int party;
    const char* until = nullptr;
  };
  std::vector<Before> prologue = {};
  // And then selects have come and gone behind those who wait in channel 0.
  uint64_t skip_places = 0;
  // Nobody sits on a buffered channel: all wait in the queue.
  bool queue_only = false;
  // From 0 on: channels are made by party 0, whose own they become after so
  // many uses; or they are whoever's who comes first.
  int owned_after = -1;
  bool fresh = false;
  // Nobody looks at a slot before he takes its ticket.
  bool hasty = false;
};

class World : public Scenario {
 public:
  // Numbers the values.
  explicit World(WorldSpec spec);
  ~World() override;

  const WorldSpec& spec() const { return spec_; }
  const std::string& name() const { return spec_.name; }
  std::size_t histories() const { return checker_->distinct(); }

  int parties() const override {
    return static_cast<int>(spec_.parties.size());
  }
  void SetUp(Explorer& explorer) override;
  void Run(Explorer& explorer, int p) override;
  void AtRest(Explorer& explorer, bool complete) override;
  std::string Describe() override;
  std::string NameOf(const void* address) override;

 private:
  // "Operation `other` was parked when `op` began": true unless that very sleep
  // turns out to have ended with kRetry, as if it had never been.
  struct ParkedFact {
    int op;
    int other;
    int party;  // of other
    std::size_t sleep;
  };

  void Abandon();
  void MakeChannels();
  Result Execute(Explorer& explorer, int p, const Op& op);
  Result ExecuteSelect(Explorer& explorer, int p, const Op& op);
  Result ExecuteSend(Explorer& explorer, const Op& op);
  void Begin(Explorer& explorer, int p, int op);
  void End(Explorer& explorer, int p, int op, const Result& result);

  void Check(Explorer& explorer);
  void CheckFrozen(Explorer& explorer);
  void CheckHistory(Explorer& explorer);
  void KeepFinalState(Explorer& explorer);
  void KeepParkedFacts(Explorer& explorer);
  bool MayWaitForTheFrozen(Explorer& explorer, int fiber);
  void CleanUp(Explorer& explorer);
  internal::Core* CoreOf(int chan) const;
  int OpOf(int p) const { return first_op_[p] + current_[p]; }

  WorldSpec spec_;
  std::vector<Op> ops_;
  std::vector<int> first_op_;  // by party
  std::unique_ptr<HistoryChecker> checker_;

  // Of this schedule.
  std::vector<Chan<Token>> chans_;     // nil for done channels
  std::vector<RecvChan<Unit>> dones_;  // nil for others
  std::vector<int> current_;           // by party: its operation; -1: none yet
  History history_;
  std::vector<ParkedFact> parked_facts_;
  uint16_t ended_ = 0;
  bool recording_ = false;
  bool left_over_ = false;  // the last schedule was not cleaned up
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_WORLD_H_

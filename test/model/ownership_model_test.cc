// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Ownership (runtime/ownership.h) with a store buffer, which the explorer has
// not: every interleaving of an owner, whose plain stores become visible late,
// and of visitors, who make the word shared. A sequential search of all states;
// the steps are those of StateWord::ReadExact() and Swap(), and of
// Ownership::Share().

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "gtest/gtest.h"

namespace gochan {
namespace {

// What is left out.
enum class Fault {
  kNone,
  kNoRestart,         // nobody is restarted, but stores become visible
  kNoFlush,           // whoever is restarted keeps his stores to himself
  kShareAtOnce,       // shared first, restarted then
  kNoOwnerInSwap,     // the sequence does not ask for the owner
  kNoOwnerAfter,      // the owner believes what it has read in two pieces
  kVisitorsDoNotAsk,  // visitors swap with a lock, and that is all
};

constexpr int kVisitors = 2;

enum Owner : uint8_t { kShared, kRevoking, kMine };

// Bytes only, so that states can be compared as they lie.
struct State {
  // Memory: the word, in two halves, whose it is, and what a visitor has done.
  uint8_t lo = 0, hi = 0;
  uint8_t owner = kMine;
  uint8_t flag = 0;
  // The owner's store buffer: swaps, which are visible as one.
  uint8_t buffered = 0;
  std::array<uint8_t, 3> buffer = {};

  // The owner.
  uint8_t pc = 0;
  uint8_t a = 0, b = 0;
  uint8_t in_sequence = 0;
  uint8_t left = 0;      // additions
  uint8_t saw_flag = 0;  // after the last one
  std::array<uint8_t, kVisitors> visitor_pc = {};
  std::array<uint8_t, kVisitors> visitor_left = {};
  std::array<uint8_t, kVisitors> visitor_saw = {};  // at first; plus 1

  std::string Key() const {
    return std::string(reinterpret_cast<const char*>(this), sizeof(*this));
  }
};

// The owner's steps.
enum : uint8_t {
  kEnter,
  kReadLo,
  kReadHi,
  kStillMine,
  kSequence,  // three comparisons, and the store
  kSameLo,
  kSameHi,
  kStore,
  kHelp,
  kLocked,
  kLookAtFlag,
  kEnd,
};
// A visitor's.
enum : uint8_t { kFlag, kAsk, kRestart, kShare, kAdd, kGone };

class Search {
 public:
  Search(Fault fault, int own, int visitors, int each)
      : fault_(fault), own_(own), visitors_(visitors), each_(each) {}

  // The states that were met; 0: one of them is wrong.
  std::size_t Run() {
    State start;
    start.left = static_cast<uint8_t>(own_);
    for (int v = 0; v < kVisitors; ++v) {
      start.visitor_left[v] = static_cast<uint8_t>(v < visitors_ ? each_ : 0);
      start.visitor_pc[v] = v < visitors_ ? kFlag : kGone;
    }
    Visit(start);
    while (!todo_.empty() && !wrong_) {
      const State state = todo_.back();
      todo_.pop_back();
      Expand(state);
    }
    return wrong_ ? 0 : seen_.size();
  }

 private:
  void Visit(const State& state) {
    if (seen_.insert(state.Key()).second) todo_.push_back(state);
  }
  void Expect(bool right) { wrong_ = wrong_ || !right; }

  static uint8_t Newest(const State& s, uint8_t in_memory) {
    return s.buffered == 0 ? in_memory : s.buffer[s.buffered - 1];
  }
  static void FlushOne(State& s) {
    s.lo = s.hi = s.buffer[0];
    for (int i = 1; i < s.buffered; ++i) s.buffer[i - 1] = s.buffer[i];
    s.buffer[--s.buffered] = 0;
  }
  static void Flush(State& s) {
    while (s.buffered > 0) FlushOne(s);
  }
  void RestartOwner(State& s) const {
    if (fault_ != Fault::kNoFlush) Flush(s);
    if (s.in_sequence != 0 && fault_ != Fault::kNoRestart) {
      s.in_sequence = 0;
      s.pc = kEnter;
    }
  }

  void Expand(const State& state) {
    bool over = true;
    if (state.buffered > 0) {
      over = false;
      State s = state;
      FlushOne(s);
      Visit(s);
    }
    if (state.pc != kEnd) {
      over = false;
      State s = state;
      OwnerStep(s);
      Visit(s);
    }
    for (int v = 0; v < kVisitors; ++v) {
      if (state.visitor_pc[v] == kGone) continue;
      over = false;
      State s = state;
      VisitorStep(s, v);
      Visit(s);
    }
    if (!over) return;
    Expect(state.lo == own_ + visitors_ * each_ && state.hi == state.lo);
    // "Add to it, look at the flag" against "raise the flag, look at it".
    for (int v = 0; v < visitors_; ++v) {
      Expect(state.saw_flag != 0 || state.visitor_saw[v] > own_);
    }
  }

  void Added(State& s) const {
    s.a = s.b = 0;
    s.pc = --s.left > 0 ? kEnter : kLookAtFlag;
  }

  void OwnerStep(State& s) {
    switch (s.pc) {
      case kEnter:
        s.pc = s.owner == kMine       ? kReadLo
               : s.owner == kRevoking ? kHelp
                                      : kLocked;
        break;
      case kReadLo:
        s.a = Newest(s, s.lo);
        s.pc = kReadHi;
        break;
      case kReadHi:
        s.b = Newest(s, s.hi);
        s.pc = kStillMine;
        break;
      case kStillMine:
        if (s.owner == kMine || fault_ == Fault::kNoOwnerAfter) {
          Expect(s.a == s.b);
          s.pc = kSequence;
        } else {
          s.pc = kEnter;
        }
        break;
      case kSequence:
        s.in_sequence = 1;
        s.pc = s.owner == kMine || fault_ == Fault::kNoOwnerInSwap ? kSameLo
                                                                   : kEnter;
        if (s.pc == kEnter) s.in_sequence = 0;
        break;
      case kSameLo:
        s.pc = Newest(s, s.lo) == s.a ? kSameHi : kEnter;
        if (s.pc == kEnter) s.in_sequence = 0;
        break;
      case kSameHi:
        s.pc = Newest(s, s.hi) == s.b ? kStore : kEnter;
        if (s.pc == kEnter) s.in_sequence = 0;
        break;
      case kStore:
        if (s.buffered == s.buffer.size()) FlushOne(s);
        s.buffer[s.buffered++] = static_cast<uint8_t>(s.a + 1);
        s.in_sequence = 0;
        Added(s);
        break;
      case kHelp:  // the owner itself restarts all, which is a fence, and
                   // shares
        Flush(s);
        if (s.owner == kRevoking) s.owner = kShared;
        s.pc = kEnter;
        break;
      case kLocked:
        Flush(s);
        Expect(s.lo == s.hi);
        s.lo = s.hi = static_cast<uint8_t>(s.lo + 1);
        Added(s);
        break;
      case kLookAtFlag:
        s.saw_flag = s.flag;
        s.pc = kEnd;
        break;
      default:
        break;
    }
  }

  void VisitorStep(State& s, int v) {
    uint8_t& pc = s.visitor_pc[v];
    switch (pc) {
      case kFlag:
        s.flag = 1;
        pc = fault_ == Fault::kVisitorsDoNotAsk ? kAdd : kAsk;
        break;
      case kAsk:
        if (s.owner == kShared) {
          pc = kAdd;
        } else {
          if (s.owner == kMine) {
            s.owner = fault_ == Fault::kShareAtOnce ? kShared : kRevoking;
          }
          pc = kRestart;
        }
        break;
      case kRestart:
        RestartOwner(s);
        pc = kShare;
        break;
      case kShare:
        if (s.owner == kRevoking) s.owner = kShared;
        pc = kAsk;
        break;
      case kAdd:
        if (s.visitor_saw[v] == 0) {
          s.visitor_saw[v] = static_cast<uint8_t>(s.lo + 1);
        }
        Expect(s.lo == s.hi);
        s.lo = s.hi = static_cast<uint8_t>(s.lo + 1);
        pc = --s.visitor_left[v] > 0 ? kAsk : kGone;
        break;
      default:
        break;
    }
  }

  const Fault fault_;
  const int own_;
  const int visitors_;
  const int each_;
  bool wrong_ = false;
  std::unordered_set<std::string> seen_;
  std::vector<State> todo_;
};

std::size_t States(Fault fault, int own, int visitors, int each) {
  return Search(fault, own, visitors, each).Run();
}

TEST(OwnershipModel, NothingIsLostAndOneOfTwoSeesTheOther) {
  EXPECT_GT(States(Fault::kNone, 3, 1, 2), 100u);
  EXPECT_GT(States(Fault::kNone, 2, 2, 1), 100u);
  EXPECT_GT(States(Fault::kNone, 5, 2, 3), 10'000u);
}

TEST(OwnershipModel, EachPartOfItIsNeeded) {
  for (const Fault fault : {Fault::kNoRestart, Fault::kNoFlush,
                            Fault::kShareAtOnce, Fault::kNoOwnerInSwap,
                            Fault::kNoOwnerAfter, Fault::kVisitorsDoNotAsk}) {
    EXPECT_EQ(States(fault, 3, 2, 2), 0u) << static_cast<int>(fault);
  }
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A case of a select without its T and its handler.

#ifndef GOCHAN_SELECT_INTERNAL_CASE_H_
#define GOCHAN_SELECT_INTERNAL_CASE_H_

#include <cstddef>
#include <cstdint>

#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "runtime/park.h"
#include "runtime/source_location.h"

namespace gochan::internal {

struct Case {
  enum class Kind : uint8_t {  // those with a channel first
    kSend,                     // from `slot`, by `move`
    kRecv,                     // to `slot`, which is room for a T
    kTimeout,   // `time` nanoseconds after the select began to wait
    kDeadline,  // `time` nanoseconds after the Unix epoch
    kDefault,
  };
  static constexpr int64_t kNever = INT64_MAX;  // of `time`

  Case(Kind k, Core* c, void* s, Mover m, const SourceLocation& where)
      : kind(k), core(c), slot(s), move(m), site(where) {}
  Case(Kind k, int64_t t, const SourceLocation& where)
      : kind(k), core(nullptr), time(t), move(nullptr), site(where) {}
  // A case on a nil channel.
  Case() : Case(Kind::kRecv, nullptr, nullptr, nullptr, SourceLocation()) {}

  Kind kind;
  Outcome outcome = Outcome::kWouldBlock;  // of the chosen case
  Core* core;                              // kSend, kRecv; nullptr: never ready
  union {
    void* slot;
    int64_t time;
  };
  Mover move;
  SourceLocation site;
};

// A case, as far as its readiness goes.
struct Watched {
  enum class What : uint8_t {
    kNever,    // not ready now, nor as long as the select does not wait
    kChannel,  // `core`, going in direction `dir`
    kDefault,
    kUnknown,  // the selector knows
  };

  static Watched Channel(Core* core, Dir dir) {
    return {core, dir, core == nullptr ? What::kNever : What::kChannel};
  }

  [[gnu::always_inline]] bool LooksIdle() const {
    return core->IsIdleFor(dir, core->Look(false));
  }
  // Is it not ready, for sure? `*seen`: the low word that says so, if there is
  // a channel. And is that the same still?
  bool SeesIdle(uint64_t* seen) const {
    if (what == What::kUnknown) return false;
    if (core == nullptr) return true;
    const Word word = core->Look(false);
    *seen = word.lo();
    return core->IsIdleFor(dir, word);
  }
  bool SeesTheSame(uint64_t seen) const {
    return core == nullptr || core->LookAgain() == seen;
  }

  Core* core;
  Dir dir;
  What what;
};

// Was there one instant at which none of these channels was ready? False if
// that is not plain from their low words.
//
// A low word that is not busy says whether its channel is idle. Once it has
// changed it does not come back: a buffered channel counts, and an empty seat
// keeps the number of who has left it. Or the channel was idle all the while:
// whoever stood behind a seat, or sat or stood at an empty or full buffer,
// waited in the direction in which it is idle. So if all are what they were,
// all were idle from the last of the first looks to the first of the second
// ones.
inline bool NoneReady(const Watched* cases, std::size_t n) {
  constexpr std::size_t kMost = 8;
  uint64_t seen[kMost];
  if (n > kMost) return false;
  for (std::size_t i = 0; i < n; ++i) {
    if (!cases[i].SeesIdle(&seen[i])) return false;
  }
  if (n < 2) return true;  // judged at one instant as it is
  for (std::size_t i = 0; i < n; ++i) {
    if (!cases[i].SeesTheSame(seen[i])) return false;
  }
  return true;
}

// How ready cases are chosen among.
enum class Order : uint8_t {
  kRandom,   // uniformly
  kWritten,  // the first one
};

inline constexpr std::size_t kMaxCases = 65536;
inline constexpr std::size_t kNoCase = ~std::size_t{0};

// RunSelect()
//
// Runs the select over cases[0, n) and returns the index of the chosen case,
// whose `outcome` says what it came to: kDone, or kClosed (a receive: closed
// and drained; a send: the caller panics). Values of other cases are unchanged.
// Blocks while no case is ready and there is no default. Panics if there are
// more than kMaxCases or two defaults. The channels must live until it returns.
// O(n) if a case is ready, else O(n log n).
std::size_t RunSelect(Case* cases, std::size_t n, Order order);

// A select without cases.
[[noreturn]] void SelectNothing(const SourceLocation& site);

// SelectFrame
//
// RunSelect() in pieces, so that a goroutine which waits is left and resumed in
// the frame of who called Select(), and no return is mispredicted
// (runtime/park.h):
//
//   SelectFrame frame;
//   std::size_t chosen = frame.Begin(cases, n, order);
//   while (chosen == SelectFrame::kWaits) {
//     runtime::FinishSleep(frame.sleeping, frame.to);
//     chosen = frame.Finish();
//   }
//
// Who is no goroutine, has many cases or a time limit waits inside Begin() or
// Finish(). Stays where it is; once.
class SelectFrame {
 public:
  static constexpr std::size_t kWaits = ~std::size_t{1};

  SelectFrame() {}  // NOLINT: `room_` is left as it is
  SelectFrame(const SelectFrame&) = delete;
  SelectFrame& operator=(const SelectFrame&) = delete;

  // `polled`: the caller has just found no case ready.
  std::size_t Begin(Case* cases, std::size_t n, Order order, bool polled);
  std::size_t Finish();

  runtime::Sleeping sleeping;
  runtime::Fiber* to;

 private:
  static constexpr std::size_t kRoom = 608;
  alignas(16) std::byte room_[kRoom];  // of a Selecting (selector.cc)
};

}  // namespace gochan::internal

#endif  // GOCHAN_SELECT_INTERNAL_CASE_H_

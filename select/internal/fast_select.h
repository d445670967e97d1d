// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What a select of a few cases that are known by type does first: it polls
// them, which puts or takes on a buffered channel in line. Only if nothing is
// ready, the selector is called (case.h).

#ifndef GOCHAN_SELECT_INTERNAL_FAST_SELECT_H_
#define GOCHAN_SELECT_INTERNAL_FAST_SELECT_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "runtime/park.h"
#include "runtime/random.h"
#include "select/internal/case.h"
#include "select/internal/typed_case.h"

namespace gochan::internal {

// What TryTyped() came to. One word, put together in a register: what is stored
// in pieces cannot be loaded as one soon after.
class Tried {
 public:
  // It is over: this case has run.
  static Tried Chose(unsigned k, Outcome outcome) {
    return Tried(k << 8 | static_cast<unsigned>(outcome));
  }
  // No case was ready, each at a moment of its own.
  static Tried Polled() { return Tried(kPolled); }
  // The selector knows.
  static Tried Unknown() { return Tried(kUnknown); }

  bool over() const { return bits_ < kPolled; }
  bool polled() const { return bits_ == kPolled; }
  std::size_t chosen() const { return bits_ >> 8; }
  Outcome outcome() const { return static_cast<Outcome>(bits_ & 0xff); }

 private:
  explicit Tried(unsigned bits) : bits_(bits) {}
  static constexpr unsigned kPolled = 1u << 30;
  static constexpr unsigned kUnknown = 1u << 31;

  unsigned bits_;
};

// More cases than this, or others than these, go to the selector at once.
inline constexpr std::size_t kFewTyped = 4;
template <typename... Cases>
inline constexpr bool kPolledByType =
    sizeof...(Cases) <= kFewTyped &&
    (... && requires { std::remove_cvref_t<Cases>::kTyped; });

template <typename... Cases>
inline constexpr bool kHasDefault =
    (... || kIsDefault<std::remove_cvref_t<Cases>>);

// The number of the default if no other case is ready, as NoneReady() in case.h
// finds out; else kNoCase. No call: this is all that a loop costs which looks
// now and then whether it is to end.
template <typename... Cases>
[[gnu::always_inline]] inline std::size_t DefaultIfIdle(Cases&... cases) {
  uint64_t seen[sizeof...(Cases)] = {};
  std::size_t i = 0;
  if (!(... && cases.Watch().SeesIdle(&seen[i++]))) return kNoCase;
  if constexpr (sizeof...(Cases) > 2) {  // else it is one, as in NoneReady()
    i = 0;
    if (!(... && cases.Watch().SeesTheSame(seen[i++]))) return kNoCase;
  }
  i = 0;
  (void)(... || (kIsDefault<std::remove_cvref_t<Cases>> || (++i, false)));
  return i;
}

// One of the bits that are set, each as likely as the others. (Counted by hand:
// without a flag for it, the compiler calls a library to count bits.)
inline int AnyBit(uint32_t bits, runtime::Random& random) {
  uint32_t rest = bits & (bits - 1);
  if (rest != 0) {
    uint32_t count = 2;
    while ((rest &= rest - 1) != 0) ++count;
    uint32_t skipped = count == 2 ? static_cast<uint32_t>(random.Next() >> 63)
                                  : random.Below(count);
    for (; skipped > 0; --skipped) bits &= bits - 1;
  }
  return std::countr_zero(bits);
}

// What was seen of the cases.
struct Looks {
  [[gnu::always_inline]] void At(const Watched& watched, uint32_t bit) {
    if (watched.what == Watched::What::kUnknown) unknown = true;
    if (watched.what != Watched::What::kChannel) return;
    may_wait = true;
    if (!watched.LooksIdle()) ready |= bit;
  }

  uint32_t ready = 0;     // a bit for each that is not idle, for sure
  bool may_wait = false;  // for a channel
  bool unknown = false;   // of some only the selector knows
};

// First each case is looked at, as written, so that the processor can foresee
// what it finds; then those that looked ready are tried, in random order or as
// written. Not inlined: it is called once, and what it saves is the rest.
template <Order kOrder, typename... Cases>
[[gnu::noinline]] Tried TryTyped(Cases&... cases) {
  Looks looks;
  [&]<std::size_t... kI>(std::index_sequence<kI...>) {
    (looks.At(cases.Watch(), 1u << kI), ...);
  }(std::index_sequence_for<Cases...>());
  if (looks.unknown) return Tried::Unknown();
  uint32_t ready = looks.ready;
  runtime::Party* const party = runtime::CurrentPartyOrNull();
  if (party == nullptr) return Tried::Unknown();
  while (ready != 0) {
    const int k = kOrder == Order::kRandom ? AnyBit(ready, party->random)
                                           : std::countr_zero(ready);
    ready &= ~(1u << k);
    Outcome outcome = Outcome::kWouldBlock;
    int i = 0;
    (void)(... || (i++ == k && (outcome = cases.Try(), true)));
    if (outcome != Outcome::kWouldBlock) {
      return Tried::Chose(static_cast<unsigned>(k), outcome);
    }
  }
  return !kHasDefault<Cases...> && looks.may_wait ? Tried::Polled()
                                                  : Tried::Unknown();
}

// Runs the select; the caller finishes the case that is returned, which came to
// `outcome`. Expanded where it is called, for the switch to the next goroutine
// is in it (runtime/park.h).
template <Order kOrder, typename... Cases>
[[gnu::always_inline]] inline std::size_t SelectByType(Outcome& outcome,
                                                       Cases&... cases) {
  bool polled = false;
  if constexpr (kPolledByType<Cases...>) {
    if constexpr (kHasDefault<Cases...>) {
      const std::size_t chosen = DefaultIfIdle(cases...);
      if (chosen != kNoCase) return chosen;
    }
    const Tried tried = TryTyped<kOrder>(cases...);
    if (tried.over()) {
      outcome = tried.outcome();
      return tried.chosen();
    }
    polled = tried.polled();
  }
  Case bound[sizeof...(Cases)] = {cases.Bind()...};
  SelectFrame frame;
  std::size_t chosen = frame.Begin(bound, sizeof...(Cases), kOrder, polled);
  while (chosen == SelectFrame::kWaits) {
    runtime::FinishSleep(frame.sleeping, frame.to);
    chosen = frame.Finish();
  }
  outcome = bound[chosen].outcome;
  return chosen;
}

}  // namespace gochan::internal

#endif  // GOCHAN_SELECT_INTERNAL_FAST_SELECT_H_

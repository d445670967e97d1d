// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Select: waits until one of several channel operations can proceed, and runs
// it.
//
//   Select(cases...)         one of the ready cases, uniformly; else waits
//   Select(list of AnyCase)  the same, made at run time (reflect.Select)
//   SelectBiased(cases...)   the first ready case as written; else waits
//   Selector                 a select prepared once for a loop
//
//   RecvCase SendCase SendFrom DoneCase TimeoutCase DeadlineCase DefaultCase
//
//   gochan::Select(
//       gochan::RecvCase(requests, [&](Request r, bool ok) { Serve(r); }),
//       gochan::SendCase(results, result, [&] { ++sent; }),
//       gochan::DoneCase(ctx, [&] { stop = true; }),
//       gochan::TimeoutCase(absl::Seconds(1), [&] { Report(); }));
//
// Each returns the index of the case that ran, so bodies that return, break or
// continue port as `switch (Select(RecvCase(ch, &v, &ok), ...))`. Handlers run
// after the choice, on the caller, when every other case is withdrawn; an
// exception from one reaches the caller, and the communication has taken place.
//
// If several cases are ready, one is chosen uniformly at random; the chance is
// per case, not per channel. DefaultCase runs only if there was an instant at
// which no other case was ready. Exactly one case takes effect. The value of a
// send case that was not chosen is unchanged. Cases on nil channels are never
// ready; with no case that can ever be ready, Select blocks for ever. A send
// case on a closed channel is ready, and panics with "send on closed channel"
// if it is chosen. Channel operands and values are evaluated once, when the
// case is made.
//
// A case holds its channel; the handle that it was made from may be assigned
// over, also by a handler. If made from an rvalue, it refers to the value,
// which must live until the select returns. To keep a case, or to hand it to
// somebody else, convert it to AnyCase, which owns both.
//
// What a blocking select is not: one instant for all channels. It is offered to
// them one after the other, each when it was not ready; a partner may take it
// before it has been offered to the last (docs/design/select.md). With a
// default, it is one instant.
//
// Memory ordering: as for the operation that took place (chan/chan.h).
// Complexity: O(n) if a case is ready, else O(n log n); nothing is allocated in
// steady state. Lock-free. Thread-safe; a Selector or AnyCase object is not.

#ifndef GOCHAN_SELECT_SELECT_H_
#define GOCHAN_SELECT_SELECT_H_

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "runtime/park.h"
#include "runtime/source_location.h"
#include "select/internal/case.h"
#include "select/internal/fast_select.h"
#include "select/internal/typed_case.h"

namespace gochan {

// -----------------------------------------------------------------------------
// Cases
// -----------------------------------------------------------------------------

// RecvCase()
//
// Receives from `ch`. The value goes to the handler (void(), void(T) or void(T,
// bool ok)), or to *value and *ok, which are written only if this case is
// chosen; a closed channel gives T{} and false. Panics with Go's "invalid
// memory address" if `value` is null.
template <internal::AnyChannel Ch, internal::HandlerArg Handler>
  requires(!std::is_convertible_v<Handler, internal::ElementOf<Ch>*>)
[[nodiscard]] auto RecvCase(
    Ch&& ch, Handler&& handler,
    const SourceLocation& site = SourceLocation::current()) {
  internal::CheckReceives<Ch>();
  return internal::RecvCaseOf<internal::ElementOf<Ch>, internal::Kept<Handler>>(
      std::forward<Ch>(ch), std::forward<Handler>(handler), site);
}
template <internal::AnyChannel Ch>
[[nodiscard]] auto RecvCase(
    Ch&& ch, std::type_identity_t<internal::ElementOf<Ch>>* value,
    bool* ok = nullptr,
    const SourceLocation& site = SourceLocation::current()) {
  internal::CheckReceives<Ch>();
  return internal::RecvToCaseOf<internal::ElementOf<Ch>>(std::forward<Ch>(ch),
                                                         value, ok, site);
}
template <internal::AnyChannel Ch>
[[nodiscard]] auto RecvCase(
    Ch&& ch, const SourceLocation& site = SourceLocation::current()) {
  internal::CheckReceives<Ch>();
  return internal::RecvCaseOf<internal::ElementOf<Ch>, internal::NoHandler>(
      std::forward<Ch>(ch), {}, site);
}

// SendCase()
//
// Sends `value`, which converts as in Send: an lvalue is copied now, an rvalue
// is moved from only if this case is chosen. handler: void().
template <internal::AnyChannel Ch, typename V = internal::ElementOf<Ch>,
          internal::HandlerArg Handler>
[[nodiscard]] auto SendCase(
    Ch&& ch, V&& value, Handler&& handler,
    const SourceLocation& site = SourceLocation::current()) {
  internal::CheckSends<Ch>();
  using T = internal::ElementOf<Ch>;
  return internal::SendCaseOf<T, internal::Sent<T, V>, internal::Kept<Handler>>(
      std::forward<Ch>(ch), std::forward<V>(value),
      std::forward<Handler>(handler), site);
}
template <internal::AnyChannel Ch, typename V = internal::ElementOf<Ch>>
[[nodiscard]] auto SendCase(
    Ch&& ch, V&& value,
    const SourceLocation& site = SourceLocation::current()) {
  internal::CheckSends<Ch>();
  using T = internal::ElementOf<Ch>;
  return internal::SendCaseOf<T, internal::Sent<T, V>, internal::NoHandler>(
      std::forward<Ch>(ch), std::forward<V>(value), internal::NoHandler(),
      site);
}

// SendFrom()
//
// Sends what *value is when the select runs; moved from only if this case is
// chosen. For a Selector or a list. Panics as RecvCase if `value` is null.
template <internal::AnyChannel Ch, internal::HandlerArg Handler>
[[nodiscard]] auto SendFrom(
    Ch&& ch, std::type_identity_t<internal::ElementOf<Ch>>* value,
    Handler&& handler, const SourceLocation& site = SourceLocation::current()) {
  internal::CheckSends<Ch>();
  using T = internal::ElementOf<Ch>;
  return internal::SendCaseOf<T, internal::SentFrom<T>,
                              internal::Kept<Handler>>(
      std::forward<Ch>(ch), value, std::forward<Handler>(handler), site);
}
template <internal::AnyChannel Ch>
[[nodiscard]] auto SendFrom(
    Ch&& ch, std::type_identity_t<internal::ElementOf<Ch>>* value,
    const SourceLocation& site = SourceLocation::current()) {
  return SendFrom(std::forward<Ch>(ch), value, internal::NoHandler(), site);
}

// DoneCase()
//
// Ready once `ctx` is done: `case <-ctx.Done():`. Costs about a store and a
// load while it is not, and many selects on one context do not contend.
template <internal::HandlerArg Handler>
[[nodiscard]] auto DoneCase(
    const Context& ctx, Handler&& handler,
    const SourceLocation& site = SourceLocation::current()) {
  return internal::DoneCaseOf<internal::Kept<Handler>>(
      internal::ContextAccess::Done(ctx), std::forward<Handler>(handler), site);
}
[[nodiscard]] inline auto DoneCase(
    const Context& ctx,
    const SourceLocation& site = SourceLocation::current()) {
  return DoneCase(ctx, internal::NoHandler(), site);
}

// TimeoutCase()
//
// Ready when the select has waited for `timeout`: at once if that is not
// positive, never if it is infinite.
template <internal::HandlerArg Handler>
[[nodiscard]] auto TimeoutCase(
    absl::Duration timeout, Handler&& handler,
    const SourceLocation& site = SourceLocation::current()) {
  return internal::PlainCaseOf<internal::Case::Kind::kTimeout,
                               internal::Kept<Handler>>(
      internal::CeilNanos(timeout), std::forward<Handler>(handler), site);
}
[[nodiscard]] inline auto TimeoutCase(
    absl::Duration timeout,
    const SourceLocation& site = SourceLocation::current()) {
  return TimeoutCase(timeout, internal::NoHandler(), site);
}

// DeadlineCase()
//
// Ready at `deadline`, by the wall clock.
template <internal::HandlerArg Handler>
[[nodiscard]] auto DeadlineCase(
    absl::Time deadline, Handler&& handler,
    const SourceLocation& site = SourceLocation::current()) {
  return internal::PlainCaseOf<internal::Case::Kind::kDeadline,
                               internal::Kept<Handler>>(
      internal::CeilNanos(deadline - absl::UnixEpoch()),
      std::forward<Handler>(handler), site);
}
[[nodiscard]] inline auto DeadlineCase(
    absl::Time deadline,
    const SourceLocation& site = SourceLocation::current()) {
  return DeadlineCase(deadline, internal::NoHandler(), site);
}

// DefaultCase()
//
// Runs if no other case is ready. At most one.
template <internal::HandlerArg Handler>
[[nodiscard]] auto DefaultCase(
    Handler&& handler, const SourceLocation& site = SourceLocation::current()) {
  return internal::PlainCaseOf<internal::Case::Kind::kDefault,
                               internal::Kept<Handler>>(
      internal::Case::kNever, std::forward<Handler>(handler), site);
}
[[nodiscard]] inline auto DefaultCase() {
  return DefaultCase(internal::NoHandler());
}

// AnyCase
//
// Any of the above, owning its channel, its handler and its value; for lists. A
// default- made one is a case on a nil channel. A list may be selected on
// again; a send case whose value was sent must be replaced first (else: panic
// "SendDir case missing Send value"). A copy is the same case: handler and
// value are shared, so that lists can be written in braces.
class AnyCase {
 public:
  AnyCase() = default;
  template <internal::SelectCase C>
    requires(!std::is_same_v<std::remove_cvref_t<C>, AnyCase> &&
             !std::is_reference_v<C>)
  AnyCase(C&& c)  // NOLINT: implicit; taken, not forwarded
      : owned_(std::make_shared<Owned<C>>(std::move(c))) {}

 private:
  friend class Selector;
  friend struct internal::AnyCaseAccess;
  template <internal::Order, internal::SelectCase... Cases>
  friend std::size_t SelectTyped(Cases&... cases);

  template <typename C>
  struct Owned final : internal::OwnedCase {
    explicit Owned(C&& other) : c(std::move(other)) { c.Own(); }
    internal::Case Bind() override { return c.Bind(); }
    void Finish(internal::Outcome outcome) override { c.Finish(outcome); }
    const internal::ElementOps* Ops() const override {
      if constexpr (requires { typename C::Element; }) {
        return &internal::kElementOps<typename C::Element>;
      } else {
        return nullptr;
      }
    }
    void SetChannel(internal::ChannelRef ch) override {
      if constexpr (requires { typename C::Element; }) {
        c.SetChannel(std::move(ch));
      }
    }
    C c;
  };

  internal::Case Bind() {
    return owned_ == nullptr ? internal::Case() : owned_->Bind();
  }
  void Finish(internal::Outcome outcome) { owned_->Finish(outcome); }

  std::shared_ptr<internal::OwnedCase> owned_;
};

// -----------------------------------------------------------------------------
// Select
// -----------------------------------------------------------------------------

// Select(cases...)
//
// Runs one case and returns its index. See above.
template <internal::SelectCase... Cases>
std::size_t Select(Cases&&... cases);
// Without cases: blocks for ever.
[[noreturn]] inline std::size_t Select(
    const SourceLocation& site = SourceLocation::current()) {
  internal::SelectNothing(site);
}

// Select(list)
//
// The same for 0 to 65,536 cases in a span, vector or array. Panics if there
// are more, or two defaults.
std::size_t Select(absl::Span<AnyCase> cases);
template <internal::CaseList List>
std::size_t Select(List&& cases) {
  return Select(absl::Span<AnyCase>(cases));
}

// SelectBiased()
//
// Runs the first ready case in written order; if none is, waits like Select.
template <internal::SelectCase... Cases>
std::size_t SelectBiased(Cases&&... cases);
std::size_t SelectBiased(absl::Span<AnyCase> cases);
template <internal::CaseList List>
std::size_t SelectBiased(List&& cases) {
  return SelectBiased(absl::Span<AnyCase>(cases));
}

// Selector
//
// A select prepared once and run many times:
//
//   int value;
//   gochan::Selector sel{gochan::RecvCase(in, &value), gochan::DoneCase(ctx)};
//   while (sel.Next() == 0) Use(value);
//
// Channels and destinations are bound when it is made, in the order written.
// Values to be sent are given by pointer (SendFrom).
class Selector {
 public:
  template <internal::SelectCase... Cases>
  explicit Selector(Cases&&... cases);
  Selector(Selector&&) = default;
  Selector& operator=(Selector&&) = default;

  // Runs the select; returns the index of the case that ran.
  std::size_t Next();

  // Case `i` uses channel `ch` from now on; nil (also nullptr) switches it off.
  // Panics if there is no such case with a channel, or the element type is
  // another.
  template <internal::AnyChannel Ch>
  void Set(std::size_t i, Ch&& ch) {
    using T = internal::ElementOf<Ch>;
    SetChannel(i, &internal::kElementOps<T>,
               internal::ChannelRef(std::forward<Ch>(ch)));
  }
  void Set(std::size_t i, std::nullptr_t);

 private:
  void SetChannel(std::size_t i, const internal::ElementOps* ops,
                  internal::ChannelRef ch);

  std::vector<AnyCase> cases_;
  std::vector<internal::Case> bound_;
};

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

template <internal::Order kOrder, internal::SelectCase... Cases>
[[gnu::always_inline]] inline std::size_t SelectTyped(Cases&... cases) {
  internal::CheckDefaults<Cases...>();
  if constexpr (sizeof...(Cases) == 0) {
    return internal::RunSelect(nullptr, 0, kOrder);
  } else {
    internal::Outcome outcome;
    const std::size_t chosen =
        internal::SelectByType<kOrder>(outcome, cases...);
    std::size_t i = 0;
    (void)((i++ == chosen && (cases.Finish(outcome), true)) || ...);
    return chosen;
  }
}

template <internal::SelectCase... Cases>
[[gnu::always_inline]] inline std::size_t Select(Cases&&... cases) {
  return SelectTyped<internal::Order::kRandom>(cases...);
}

template <internal::SelectCase... Cases>
[[gnu::always_inline]] inline std::size_t SelectBiased(Cases&&... cases) {
  return SelectTyped<internal::Order::kWritten>(cases...);
}

template <internal::SelectCase... Cases>
Selector::Selector(Cases&&... cases) {
  internal::CheckDefaults<Cases...>();
  cases_.reserve(sizeof...(Cases));
  (cases_.emplace_back(std::move(cases)), ...);
  bound_.resize(cases_.size());
}

}  // namespace gochan

#endif  // GOCHAN_SELECT_SELECT_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "select/select.h"

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "chan/panic.h"
#include "select/internal/case.h"
#include "select/internal/scratch.h"

namespace gochan {

namespace internal {

struct AnyCaseAccess {
  static Case Bind(AnyCase& c) { return c.Bind(); }
  static void Finish(AnyCase& c, Outcome outcome) { c.Finish(outcome); }
};

namespace {

// Each is made where it lies: one that was stored in pieces and then copied as
// a whole would cost more than all the rest.
void BindTo(Case* bound, absl::Span<AnyCase> cases) {
  static_assert(std::is_trivially_destructible_v<Case>);
  for (AnyCase& c : cases) new (bound++) Case(AnyCaseAccess::Bind(c));
}

std::size_t SelectList(absl::Span<AnyCase> cases, Order order) {
  if (cases.size() > kMaxCases) RaisePanic(panics::kTooManyCases);
  std::size_t chosen;
  Outcome outcome;
  {
    Scratch<Case, 1> bound(cases.size());
    BindTo(bound.data(), cases);
    chosen = RunSelect(bound.data(), cases.size(), order);
    outcome = bound[chosen].outcome;
  }
  // The handler may select again, or change the list.
  AnyCaseAccess::Finish(cases[chosen], outcome);
  return chosen;
}

}  // namespace
}  // namespace internal

std::size_t Select(absl::Span<AnyCase> cases) {
  return internal::SelectList(cases, internal::Order::kRandom);
}

std::size_t SelectBiased(absl::Span<AnyCase> cases) {
  return internal::SelectList(cases, internal::Order::kWritten);
}

std::size_t Selector::Next() {
  internal::BindTo(bound_.data(), absl::MakeSpan(cases_));
  const std::size_t chosen = internal::RunSelect(bound_.data(), bound_.size(),
                                                 internal::Order::kRandom);
  cases_[chosen].Finish(bound_[chosen].outcome);
  return chosen;
}

void Selector::Set(std::size_t i, std::nullptr_t) {
  SetChannel(i, nullptr, internal::ChannelRef(RecvChan<Unit>()));
}

void Selector::SetChannel(std::size_t i, const internal::ElementOps* ops,
                          internal::ChannelRef ch) {
  const internal::ElementOps* now =
      i < cases_.size() && cases_[i].owned_ != nullptr ? cases_[i].owned_->Ops()
                                                       : nullptr;
  if (now == nullptr)
    RaisePanic("gochan: Selector::Set of a case without a channel");
  if (ops != nullptr && ops != now) {
    RaisePanic("gochan: Selector::Set with another element type");
  }
  ch.Keep();
  cases_[i].owned_->SetChannel(std::move(ch));
}

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "select/select.h"

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "chan/panic.h"

namespace gochan {

namespace internal {

struct AnyCaseAccess {
  static Case Bind(AnyCase& c) { return c.Bind(); }
  static void Finish(AnyCase& c, Outcome outcome) { c.Finish(outcome); }
};

namespace {

// A list's bound cases. The thread keeps the room of its last list.
class Bound {
 public:
  Bound() : cases_(std::exchange(Kept(), {})) {}
  ~Bound() {
    cases_.clear();
    Kept() = std::move(cases_);
  }
  std::vector<Case>& operator*() { return cases_; }

 private:
  // Not inlined: the party may be on another thread by the second call.
  [[gnu::noinline]] static std::vector<Case>& Kept() {
    static thread_local std::vector<Case> kept;
    return kept;
  }
  std::vector<Case> cases_;
};

std::size_t SelectList(absl::Span<AnyCase> cases, Order order) {
  if (cases.size() > kMaxCases) RaisePanic(panics::kTooManyCases);
  std::size_t chosen;
  Outcome outcome;
  {
    Bound bound;
    for (AnyCase& c : cases) (*bound).push_back(AnyCaseAccess::Bind(c));
    chosen = RunSelect((*bound).data(), (*bound).size(), order);
    outcome = (*bound)[chosen].outcome;
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
  for (std::size_t i = 0; i < cases_.size(); ++i) bound_[i] = cases_[i].Bind();
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

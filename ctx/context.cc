// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "ctx/context.h"

#include <utility>

#include "absl/time/clock.h"
#include "chan/internal/core.h"
#include "chan/panic.h"
#include "ctx/internal/foreign.h"
#include "runtime/clock.h"

namespace gochan {

namespace {

using internal::CancelNode;
using internal::ContextAccess;
using internal::ContextNode;
using internal::Core;
using internal::DeadlineNode;
using internal::Reason;

constinit internal::RootNode background(ContextNode::Kind::kBackground);
constinit internal::RootNode todo(ContextNode::Kind::kTodo);

ContextNode& Checked(ContextNode* node) {
  if (node == nullptr) ContextAccess::RaiseNil();
  return *node;
}

class FunctionCanceller final : public internal::Canceller {
 public:
  explicit FunctionCanceller(absl::AnyInvocable<void() const> fn)
      : fn_(std::move(fn)) {}
  void CancelNow() override { fn_(); }

 private:
  void NoCopies(bool cancel) override {
    if (cancel) fn_();
    delete this;
  }

  const absl::AnyInvocable<void() const> fn_;
};

class FunctionStopper final : public internal::Stopper {
 public:
  explicit FunctionStopper(absl::AnyInvocable<bool()> fn)
      : fn_(std::move(fn)) {}
  bool Stop() override { return fn_(); }

 private:
  absl::AnyInvocable<bool()> fn_;
};

// A user's context as a node.
class InterfaceNode final : public internal::ForeignNode {
 public:
  InterfaceNode(std::shared_ptr<const ContextInterface> context, Core* done)
      : ForeignNode(done), context_(std::move(context)) {}

  bool ForeignDeadline(absl::Time* deadline) const override {
    const std::optional<absl::Time> found = context_->Deadline();
    if (!found.has_value()) return false;
    *deadline = *found;
    return true;
  }
  absl::Status ForeignErr() const override { return context_->Err(); }
  const void* ForeignValue(const void* key) const override {
    return context_->Value(key);
  }
  std::string ForeignString() const override { return context_->String(); }
  absl::AnyInvocable<bool()> ForeignAfterFunc(
      absl::AnyInvocable<void()> fn) const override {
    std::optional<StopFunc> stop = context_->AfterFunc(std::move(fn));
    if (!stop.has_value()) return nullptr;
    return [stop = *std::move(stop)] { return stop(); };
  }

 private:
  const std::shared_ptr<const ContextInterface> context_;
};

// Hands a new node over to its two handles, then attaches it: should that
// throw, they take it down.
std::pair<Context, CancelFunc> Handles(CancelNode* node) {
  std::pair<Context, CancelFunc> handles(
      ContextAccess::Make(static_cast<ContextNode*>(node)),
      ContextAccess::Make(static_cast<internal::Canceller*>(node)));
  node->Attach();
  return handles;
}

std::pair<Context, CancelFunc> Arm(DeadlineNode* node, bool passed) {
  std::pair<Context, CancelFunc> handles = Handles(node);
  if (passed) {
    node->Expire();
  } else {
    node->Arm();
  }
  return handles;
}

const Reason& Expiry(absl::Status cause) {
  return Reason::WithCause(Reason::DeadlineExceeded(), std::move(cause));
}

std::pair<Context, CancelFunc> MakeDeadline(const Context& parent,
                                            absl::Time deadline,
                                            absl::Status cause) {
  ContextNode& above = ContextAccess::Parent(parent);
  absl::Time earlier;
  if (deadline == absl::InfiniteFuture() ||
      (above.Deadline(&earlier) && earlier < deadline)) {
    return Handles(new CancelNode(above));
  }
  const absl::Duration left = deadline - absl::Now();
  return Arm(new DeadlineNode(above, deadline, runtime::MonotonicAfter(left),
                              Expiry(std::move(cause))),
             left <= absl::ZeroDuration());
}

// As the time of day, computed when somebody asks for it: the clock that shows
// it need not be read for each request.
std::pair<Context, CancelFunc> MakeTimeout(const Context& parent,
                                           absl::Duration timeout,
                                           absl::Status cause) {
  ContextNode& above = ContextAccess::Parent(parent);
  const ContextNode* const bound = above.DeadlineScope();
  const runtime::MonotonicNanos when = runtime::MonotonicAfter(timeout);
  // Beyond what that clock can show, or compared with a time of day.
  if (when == runtime::kNever ||
      (bound != nullptr && bound->kind() == ContextNode::Kind::kForeign)) {
    return MakeDeadline(parent, absl::Now() + timeout, std::move(cause));
  }
  if (bound != nullptr &&
      static_cast<const DeadlineNode*>(bound)->when() < when) {
    return Handles(new CancelNode(above));
  }
  return Arm(new DeadlineNode(above, when, Expiry(std::move(cause))),
             timeout <= absl::ZeroDuration());
}

}  // namespace

// -----------------------------------------------------------------------------
// Context
// -----------------------------------------------------------------------------

Context::Context(const Context& other) : node_(other.node_) {
  if (node_ != nullptr) node_->Ref();
}

Context& Context::operator=(const Context& other) {
  return *this = Context(other);
}

Context& Context::operator=(Context&& other) noexcept {
  std::swap(node_, other.node_);
  return *this;
}

Context::~Context() {
  if (node_ != nullptr) node_->Unref();
}

RecvChan<Unit> Context::Done() const {
  Core* done = Checked(node_).Done();
  if (done == nullptr) return nullptr;
  done->Ref();
  return internal::CoreAccess::Adopt<RecvChan<Unit>>(done);
}

absl::Status Context::Err() const { return Checked(node_).Err(); }

absl::Status Context::Cause() const { return Checked(node_).Cause(); }

std::optional<absl::Time> Context::Deadline() const {
  absl::Time deadline;
  if (!Checked(node_).Deadline(&deadline)) return std::nullopt;
  return deadline;
}

const void* Context::Value(const void* key) const {
  return Checked(node_).Value(key);
}

std::string Context::String() const {
  return node_ == nullptr ? "nil" : node_->String();
}

// As Go when a method of a nil interface is called.
void internal::ContextAccess::RaiseNil() {
  RaisePanic("invalid memory address or nil pointer dereference");
}

ContextNode& internal::ContextAccess::Parent(const Context& ctx) {
  if (ctx.node_ == nullptr) RaisePanic(panics::kNilParent);
  return *ctx.node_;
}

// -----------------------------------------------------------------------------
// CancelFunc, CancelCauseFunc, StopFunc
// -----------------------------------------------------------------------------

CancelFunc::CancelFunc(absl::AnyInvocable<void() const> fn)
    : canceller_(new FunctionCanceller(std::move(fn))) {}

CancelFunc::CancelFunc(const CancelFunc& other) {
  internal::Canceller* const shared = other.canceller_.get();
  if (shared == nullptr) return;
  shared->AddCopy();
  canceller_.Set(shared);
}

CancelFunc& CancelFunc::operator=(const CancelFunc& other) {
  return *this = CancelFunc(other);
}

// What is assigned over goes now, not when `other` does.
CancelFunc& CancelFunc::operator=(CancelFunc&& other) noexcept {
  internal::Canceller* const given = other.canceller_.Release();
  internal::Canceller* const mine = canceller_.Release();
  canceller_.Set(given);
  if (mine != nullptr) mine->DropCopy(/*cancel=*/true);
  return *this;
}

CancelFunc::~CancelFunc() {
  if (internal::Canceller* const mine = canceller_.Release()) {
    mine->DropCopy(/*cancel=*/true);
  }
}

void CancelFunc::operator()() const {
  if (internal::Canceller* const shared = canceller_.get()) shared->CancelNow();
}

void CancelFunc::Release() {
  if (internal::Canceller* const mine = canceller_.Release()) {
    mine->DropCopy(/*cancel=*/false);
  }
}

void CancelCauseFunc::operator()(absl::Status cause) const {
  if (!cancel_) return;
  const Reason& reason =
      Reason::WithCause(Reason::Canceled(), std::move(cause));
  node_->Cancel(reason);
  reason.Unref();
}

StopFunc::StopFunc(absl::AnyInvocable<bool()> fn)
    : stopper_(new FunctionStopper(std::move(fn))) {}

StopFunc::StopFunc(const StopFunc& other) : stopper_(other.stopper_) {
  if (stopper_ != nullptr) stopper_->Ref();
}

StopFunc& StopFunc::operator=(const StopFunc& other) {
  return *this = StopFunc(other);
}

StopFunc& StopFunc::operator=(StopFunc&& other) noexcept {
  std::swap(stopper_, other.stopper_);
  return *this;
}

StopFunc::~StopFunc() {
  if (stopper_ != nullptr) stopper_->Unref();
}

bool StopFunc::operator()() const {
  return stopper_ != nullptr && stopper_->Stop();
}

// -----------------------------------------------------------------------------
// Making contexts
// -----------------------------------------------------------------------------

Context Background() { return ContextAccess::Make(&background); }

Context TODO() { return ContextAccess::Make(&todo); }

std::pair<Context, CancelFunc> WithCancel(const Context& parent) {
  return Handles(new CancelNode(ContextAccess::Parent(parent)));
}

std::pair<Context, CancelCauseFunc> WithCancelCause(const Context& parent) {
  auto* node = new CancelNode(ContextAccess::Parent(parent));
  auto [ctx, cancel] = Handles(node);
  return {std::move(ctx), ContextAccess::Make(node, std::move(cancel))};
}

std::pair<Context, CancelFunc> WithDeadline(const Context& parent,
                                            absl::Time deadline) {
  return WithDeadlineCause(parent, deadline, absl::OkStatus());
}

std::pair<Context, CancelFunc> WithDeadlineCause(const Context& parent,
                                                 absl::Time deadline,
                                                 absl::Status cause) {
  return MakeDeadline(parent, deadline, std::move(cause));
}

std::pair<Context, CancelFunc> WithTimeout(const Context& parent,
                                           absl::Duration timeout) {
  return WithTimeoutCause(parent, timeout, absl::OkStatus());
}

std::pair<Context, CancelFunc> WithTimeoutCause(const Context& parent,
                                                absl::Duration timeout,
                                                absl::Status cause) {
  return MakeTimeout(parent, timeout, std::move(cause));
}

Context WithoutCancel(const Context& parent) {
  return ContextAccess::Make(new internal::PlainNode(
      ContextNode::Kind::kWithoutCancel, ContextAccess::Parent(parent)));
}

Context FromInterface(std::shared_ptr<const ContextInterface> context) {
  if (context == nullptr) return Context();
  const RecvChan<Unit> done = context->Done();
  Core* core = internal::CoreAccess::Get(done);
  if (core != nullptr) core->Ref();
  return ContextAccess::Make(
      static_cast<ContextNode*>(new InterfaceNode(std::move(context), core)));
}

// -----------------------------------------------------------------------------
// Using contexts
// -----------------------------------------------------------------------------

StopFunc AfterFunc(const Context& ctx, absl::AnyInvocable<void()> fn) {
  ContextNode& node = ContextAccess::Parent(ctx);
  auto* after = new internal::AfterFuncNode(std::move(fn));
  StopFunc stop = ContextAccess::Make(static_cast<internal::Stopper*>(after));
  after->Attach(node);
  return stop;
}

absl::Status Cause(const Context& ctx) { return ctx.Cause(); }

}  // namespace gochan

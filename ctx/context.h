// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Cancellation, deadlines and request-scoped values: Go's package context.
//
//   Background, TODO           the roots, which never end
//   WithCancel, WithDeadline, WithTimeout (and …Cause)
//                              a child that ends with its parent, or earlier
//   WithValue, Key             a child with a value
//   WithoutCancel              the values alone
//   AfterFunc                  runs a function when a context ends
//   FromInterface              a context of your own kind
//
//   auto [ctx, cancel] = gochan::WithTimeout(gochan::Background(),
//                                            absl::Seconds(5));
//   std::thread worker([ctx = ctx, jobs] {
//     for (bool more = true; more;) {
//       gochan::Select(gochan::RecvCase(jobs, [&](Job job) { Run(ctx, job); }),
//                      gochan::DoneCase(ctx, [&] { more = false; }));
//     }
//   });
//
// `cancel` ends the context when it is called, and also when its last copy is
// destroyed: there is nothing to defer, but whoever returns the context must
// return `cancel` with it, or call cancel.Release().
//
// All functions and all members may be called by any number of threads at once;
// one handle object is not to be assigned while others use it. A Context costs
// a pointer and keeps its parents alive. The destructors of values and of
// functions run where the last reference goes, perhaps inside a cancel call,
// which waits for them if they block; if a deadline or a signal cancels, in a
// goroutine of their own.
//
// Memory ordering: what thread X did before it cancelled a context is visible
// to thread Y once Y has received from Done(), or Err() or Cause() was not OK.
//
// Cancelling is linear in the number of contexts below and needs no stack or
// memory for them; when it returns they all are done. Making a child is O(log
// n) in its living siblings, all else O(1) but for Value(), which walks
// outwards. Everything is lock-free. docs/design/context.md says how.

#ifndef GOCHAN_CTX_CONTEXT_H_
#define GOCHAN_CTX_CONTEXT_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "ctx/internal/node.h"
#include "runtime/self_pointer.h"

namespace gochan {

class Context;

namespace internal {
struct ContextAccess;
}  // namespace internal

// -----------------------------------------------------------------------------
// Key
// -----------------------------------------------------------------------------

// Names a value of type T in contexts. Compared by identity: two keys are
// different even if they have the same type and name. Usually a constant,
//
//   inline constexpr gochan::Key<User> kUser("user");
//
// which must outlive the contexts that use it. The name is for printing alone,
// and must live as long.
template <typename T>
class Key {
 public:
  constexpr Key() = default;
  constexpr explicit Key(const char* name) : name_(name) {}
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  constexpr const char* name() const { return name_; }

 private:
  const char* name_ = nullptr;
};

// -----------------------------------------------------------------------------
// Context
// -----------------------------------------------------------------------------

class Context {
 public:
  // A nil context, as Go's: only good for being assigned to and compared. All
  // else that needs one panics ("invalid memory address or nil pointer
  // dereference"), a DoneCase too.
  Context() = default;
  Context(const Context& other);
  Context(Context&& other) noexcept
      : node_(std::exchange(other.node_, nullptr)) {}
  Context& operator=(const Context& other);
  Context& operator=(Context&& other) noexcept;
  ~Context();

  // Context::Done()
  //
  // A channel that is closed when the context ends; the same one every time,
  // also that of the contexts made from it by WithValue(). Nil if it never
  // ends. Made when it is first asked for, which may throw std::bad_alloc.
  RecvChan<Unit> Done() const;

  // Context::Err()
  //
  // OK while Done() is open; then always CancelledError("context canceled") or
  // DeadlineExceededError("context deadline exceeded").
  absl::Status Err() const;

  // Context::Cause()
  //
  // OK while Done() is open; then why: the status that the first cancellation
  // gave, here or above, or else Err(). Of a context of the user's own kind: OK
  // while Err() is; then the cause of the context within it that its Value()
  // passes on to, or else Err().
  absl::Status Cause() const;

  // Context::Deadline()
  //
  // When it will end at the latest, if that is known. A time-out is kept by the
  // monotonic clock: what this tells of it is computed by the first call, and
  // stays.
  std::optional<absl::Time> Deadline() const;

  // Context::Value()
  //
  // The nearest value for `key`, looking outwards from this context; nullptr if
  // there is none. It lives as long as this context.
  template <typename T>
  const T* Value(const Key<T>& key) const {
    return static_cast<const T*>(Value(static_cast<const void*>(&key)));
  }
  // The same by the key's address, for a ContextInterface that wraps a context.
  const void* Value(const void* key) const;

  // Context::String()
  //
  // As Go prints it: "context.Background.WithCancel"; "nil" for a nil one. A
  // deadline is shown in the local time zone.
  std::string String() const;

  bool IsNil() const { return node_ == nullptr; }
  explicit operator bool() const { return node_ != nullptr; }

  // By identity.
  friend bool operator==(const Context& a, const Context& b) {
    return a.node_ == b.node_;
  }
  friend std::ostream& operator<<(std::ostream& out, const Context& ctx) {
    return out << ctx.String();
  }
  template <typename Sink>
  friend void AbslStringify(Sink& sink, const Context& ctx) {
    sink.Append(ctx.String());
  }

 private:
  friend struct internal::ContextAccess;

  // Takes over a reference.
  explicit Context(internal::ContextNode* node) : node_(node) {}

  internal::ContextNode* node_ = nullptr;
};

// -----------------------------------------------------------------------------
// CancelFunc, StopFunc
// -----------------------------------------------------------------------------

// Ends a context. Copyable, callable many times from anywhere; does not wait
// for the work to stop. **When the last copy is destroyed, or assigned over,
// the context is cancelled**. One that is default-made or released does
// nothing.
class CancelFunc {
 public:
  CancelFunc() = default;
  // From a function of one's own, for those who make contexts that take more to
  // end: it is called by every call, and once more for the last copy.
  explicit CancelFunc(absl::AnyInvocable<void() const> fn);
  CancelFunc(const CancelFunc& other);
  CancelFunc(CancelFunc&& other) noexcept
      : canceller_(other.canceller_.Release()) {}
  CancelFunc& operator=(const CancelFunc& other);
  CancelFunc& operator=(CancelFunc&& other) noexcept;
  ~CancelFunc();

  // CancelFunc::operator()
  //
  // Cancels; when it returns the context and all below it are done.
  void operator()() const;

  // CancelFunc::Release()
  //
  // This copy will never cancel. If it was the last one, only the parent or the
  // deadline ends the context from now on.
  void Release();

  explicit operator bool() const { return static_cast<bool>(canceller_); }

 private:
  friend struct internal::ContextAccess;

  explicit CancelFunc(internal::Canceller* canceller) : canceller_(canceller) {}

  // A copy. Read where it lies, so that FindLeaks() can tell who has one.
  runtime::SelfPointer<internal::Canceller> canceller_;
};

// The same with a cause.
class CancelCauseFunc {
 public:
  CancelCauseFunc() = default;

  // CancelCauseFunc::operator()
  //
  // Cancels; Err() is "context canceled" and Cause() is `cause`, unless the
  // context had ended before. OK (Go's nil) means no cause but the
  // cancellation.
  void operator()(absl::Status cause) const;

  // As CancelFunc's.
  void Release() { cancel_.Release(); }
  explicit operator bool() const { return node_ != nullptr && cancel_; }

 private:
  friend struct internal::ContextAccess;

  CancelCauseFunc(internal::CancelNode* node, CancelFunc cancel)
      : node_(node), cancel_(std::move(cancel)) {}

  internal::CancelNode* node_ = nullptr;  // kept alive by cancel_
  CancelFunc cancel_;
};

// Takes an AfterFunc back. Copyable; destroying it stops nothing.
class StopFunc {
 public:
  StopFunc() = default;
  // Implicit, for ContextInterface::AfterFunc().
  template <typename F>
    requires(!std::same_as<std::remove_cvref_t<F>, StopFunc> &&
             std::is_invocable_r_v<bool, F&>)
  StopFunc(F&& fn)  // NOLINT: see above
      : StopFunc(absl::AnyInvocable<bool()>(std::forward<F>(fn))) {}
  explicit StopFunc(absl::AnyInvocable<bool()> fn);
  StopFunc(const StopFunc& other);
  StopFunc(StopFunc&& other) noexcept
      : stopper_(std::exchange(other.stopper_, nullptr)) {}
  StopFunc& operator=(const StopFunc& other);
  StopFunc& operator=(StopFunc&& other) noexcept;
  ~StopFunc();

  // StopFunc::operator()
  //
  // True: the function will not run, because of this call. False: it has been
  // started, perhaps still runs, or it was stopped before (or this is
  // default-made). Never waits.
  bool operator()() const;

  explicit operator bool() const { return stopper_ != nullptr; }

 private:
  friend struct internal::ContextAccess;

  explicit StopFunc(internal::Stopper* stopper) : stopper_(stopper) {}

  internal::Stopper* stopper_ = nullptr;
};

// -----------------------------------------------------------------------------
// Making contexts
// -----------------------------------------------------------------------------
//
// All of these panic with "cannot create context from nil parent" if it is one.

// Never end, no values. TODO() is for code that does not know its context yet.
Context Background();
Context TODO();

// WithCancel() / WithCancelCause()
//
// A child that ends when it is cancelled or its parent ends. Made from a parent
// that has ended, it has ended.
[[nodiscard]] std::pair<Context, CancelFunc> WithCancel(const Context& parent);
[[nodiscard]] std::pair<Context, CancelCauseFunc> WithCancelCause(
    const Context& parent);

// WithDeadline() / WithTimeout()
//
// The same that also ends by itself, with DeadlineExceeded: at a time, or after
// a duration on the monotonic clock. At once if that has passed. If the parent
// ends earlier, or the time is infinite, these are WithCancel(). The …Cause
// forms say what Cause() is when the deadline has passed (OK:
// DeadlineExceeded).
[[nodiscard]] std::pair<Context, CancelFunc> WithDeadline(const Context& parent,
                                                          absl::Time deadline);
[[nodiscard]] std::pair<Context, CancelFunc> WithDeadlineCause(
    const Context& parent, absl::Time deadline, absl::Status cause);
[[nodiscard]] std::pair<Context, CancelFunc> WithTimeout(
    const Context& parent, absl::Duration timeout);
[[nodiscard]] std::pair<Context, CancelFunc> WithTimeoutCause(
    const Context& parent, absl::Duration timeout, absl::Status cause);

// WithValue()
//
// A child in which `key` means `value`, which is moved in. It shares its
// parent's Done channel.
template <typename T>
[[nodiscard]] Context WithValue(const Context& parent, const Key<T>& key,
                                std::type_identity_t<T> value);

// WithoutCancel()
//
// A child that has its parent's values and nothing else: it never ends.
[[nodiscard]] Context WithoutCancel(const Context& parent);

// -----------------------------------------------------------------------------
// Using contexts
// -----------------------------------------------------------------------------

// AfterFunc()
//
// Runs `fn` once when `ctx` has ended, at once if it has already; always beside
// whoever ends it and the caller (a goroutine, or a thread), never inside. The
// result takes it back. A context whose parent or deadline can still end it is
// kept for `fn`, even if no handle is left. An empty `fn` ends the program when
// it is to run: "go of nil func value".
StopFunc AfterFunc(const Context& ctx, absl::AnyInvocable<void()> fn);

// As ctx.Cause().
absl::Status Cause(const Context& ctx);

// -----------------------------------------------------------------------------
// Contexts of one's own kind
// -----------------------------------------------------------------------------

// What a context is, for those who bring their own. The defaults never end and
// have no values. Members are called by any thread at any time.
struct ContextInterface {
  virtual ~ContextInterface() = default;

  virtual std::optional<absl::Time> Deadline() const { return std::nullopt; }
  // Asked once. To be closed when the context ends; nil if it never does.
  virtual RecvChan<Unit> Done() const { return nullptr; }
  // Not OK once Done() is closed.
  virtual absl::Status Err() const { return absl::OkStatus(); }
  // By the key's address: usually `return wrapped.Value(key);`, which is also
  // how children find a context within this one, and Cause() its cause. For
  // keys that it does not know, nullptr.
  virtual const void* Value(const void*) const { return nullptr; }
  // Runs a function when the context ends. Children are registered here, if it
  // is offered, and take themselves back when they end first; the function is
  // short and does not block. Else Done() is watched, and children are ended by
  // a goroutine that asks Err() soon after Done() has been closed.
  virtual std::optional<StopFunc> AfterFunc(absl::AnyInvocable<void()>) const {
    return std::nullopt;
  }
  // For printing.
  virtual std::string String() const { return "context.Interface"; }
};

// A nil pointer makes a nil context.
Context FromInterface(std::shared_ptr<const ContextInterface> context);

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

struct ContextAccess {
  // The node, not referenced; nullptr for nil.
  static ContextNode* Node(const Context& ctx) { return ctx.node_; }
  // The Done channel, not referenced, so that thousands of selects on one
  // context do not contend for its count; nullptr if it never ends. Panics for
  // nil.
  static Core* Done(const Context& ctx) {
    if (ctx.node_ == nullptr) [[unlikely]]
      RaiseNil();
    return ctx.node_->Done();
  }
  [[noreturn]] static void RaiseNil();
  // The parent of a new context; panics for nil.
  static ContextNode& Parent(const Context& ctx);

  // These take over a reference.
  static Context Make(ContextNode* node) { return Context(node); }
  static CancelFunc Make(Canceller* canceller) { return CancelFunc(canceller); }
  static StopFunc Make(Stopper* stopper) { return StopFunc(stopper); }
  static CancelCauseFunc Make(CancelNode* node, CancelFunc cancel) {
    return CancelCauseFunc(node, std::move(cancel));
  }
};

// As Go does it: a Stringer's string, a string itself, else the type.
template <typename T>
std::string PrintForContext(const T& value) {
  if constexpr (requires {
                  { value.String() } -> std::convertible_to<std::string>;
                }) {
    return value.String();
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return std::string(std::string_view(value));
  } else {
    return std::string(TypeName<T>());
  }
}

template <typename T>
class TypedValueNode final : public ValueNode {
 public:
  TypedValueNode(ContextNode& parent, const Key<T>& key, T&& value)
      : ValueNode(parent, &key, std::addressof(value_)),
        name_(key.name()),
        value_(std::move(value)) {
    HoldParent();
  }

  void Print(std::string* text) const override {
    *text += ".WithValue(" +
             (name_ != nullptr ? name_ : std::string(TypeName<Key<T>>())) +
             ", " + PrintForContext(value_) + ")";
  }

 private:
  const char* const name_;
  const T value_;
};

}  // namespace internal

template <typename T>
Context WithValue(const Context& parent, const Key<T>& key,
                  std::type_identity_t<T> value) {
  return internal::ContextAccess::Make(new internal::TypedValueNode<T>(
      internal::ContextAccess::Parent(parent), key, std::move(value)));
}

}  // namespace gochan

#endif  // GOCHAN_CTX_CONTEXT_H_

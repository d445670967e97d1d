// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The typed half of a case: its channel, its handler, where its value lies.
// Each binds itself to a Case for the selector, and finishes what it was chosen
// for.

#ifndef GOCHAN_SELECT_INTERNAL_TYPED_CASE_H_
#define GOCHAN_SELECT_INTERNAL_TYPED_CASE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "chan/internal/typed_core.h"
#include "chan/panic.h"
#include "runtime/clock.h"
#include "runtime/self_pointer.h"
#include "runtime/source_location.h"
#include "select/internal/case.h"

namespace gochan {

class AnyCase;

namespace internal {

// --- what the makers below accept

template <typename Ch>
struct ChannelTraits {
  static constexpr bool kSends = false;
  static constexpr bool kReceives = false;
};
template <typename T>
struct ChannelTraits<Chan<T>> {
  using Element = T;
  static constexpr bool kSends = true;
  static constexpr bool kReceives = true;
};
template <typename T>
struct ChannelTraits<SendChan<T>> {
  using Element = T;
  static constexpr bool kSends = true;
  static constexpr bool kReceives = false;
};
template <typename T>
struct ChannelTraits<RecvChan<T>> {
  using Element = T;
  static constexpr bool kSends = false;
  static constexpr bool kReceives = true;
};

template <typename Ch>
using Traits = ChannelTraits<std::remove_cvref_t<Ch>>;
template <typename Ch>
using ElementOf = typename Traits<Ch>::Element;

template <typename Ch>
concept AnyChannel = Traits<Ch>::kSends || Traits<Ch>::kReceives;

// A channel as a case refers to it: an lvalue handle is only borrowed from (so
// a select touches no reference count), a temporary one is kept.
class ChannelRef {
 public:
  template <typename H>
  explicit ChannelRef(const H& handle) : ChannelRef(CoreAccess::Get(handle)) {}
  template <typename H>
    requires(!std::is_reference_v<H> && !std::is_const_v<H>)
  explicit ChannelRef(H&& handle)  // NOLINT: taken, not forwarded
      : core_(CoreAccess::Release(handle)), owner_(core_) {}
  explicit ChannelRef(Core* core) : core_(core) {
    if (core != nullptr) Core::Borrow();
  }
  ChannelRef(ChannelRef&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)) {
    if (other.owner_) {
      other.owner_.Clear();
      owner_.Set(core_);
    }
  }
  ChannelRef& operator=(ChannelRef&& other) noexcept {
    const bool mine = static_cast<bool>(owner_);
    std::swap(core_, other.core_);
    owner_.Set(other.owner_ ? core_ : nullptr);
    other.owner_.Set(mine ? other.core_ : nullptr);
    return *this;
  }
  ~ChannelRef() {
    if (core_ == nullptr) return;
    if (owner_) {
      owner_.Clear();
      core_->Unref();
    } else {
      Core::EndBorrow();
    }
  }

  Core* get() const { return core_; }
  // Makes it an owner.
  void Keep() {
    if (owner_ || core_ == nullptr) return;
    core_->Ref();
    Core::EndBorrow();
    owner_.Set(core_);
  }

 private:
  Core* core_;
  // The same again, as a handle keeps it, if this owns a reference; else
  // nullptr.
  runtime::SelfPointer<Core> owner_;
};

[[noreturn]] inline void RaiseNilPointer() {
  RaisePanic(
      "runtime error: invalid memory address or nil pointer dereference");
}

struct AnyCaseAccess;

struct NoHandler {
  void operator()() const {}
};

// A case of whatever type, once it is owned by an AnyCase.
struct OwnedCase {
  virtual ~OwnedCase() = default;
  virtual Case Bind() = 0;
  virtual void Finish(Outcome outcome) = 0;
  // The element's operations, for Selector::Set; nullptr if there is no
  // channel.
  virtual const ElementOps* Ops() const { return nullptr; }
  virtual void SetChannel(ChannelRef) {}
};

// What every typed case offers: Bind() says what is to be done, Finish() does
// what remains of the chosen one (deliver the value, run the handler), Own()
// moves what it refers to into itself. `ch`: a handle, of which it makes its
// ChannelRef in place. For fast_select.h: Watch() says what its
// readiness depends on, Try() does it if it is ready.

// A receive whose value goes to a handler.
template <typename T, typename Handler>
class RecvCaseOf {
 public:
  using Element = T;

  template <typename Ch>
  RecvCaseOf(Ch&& ch, Handler handler, const SourceLocation& site)
      : ch_(std::forward<Ch>(ch)),
        handler_(std::forward<Handler>(handler)),
        site_(site) {}

  Case Bind() {
    return Case(Case::Kind::kRecv, ch_.get(), &room_.value, nullptr, site_);
  }

  static constexpr bool kTyped = true;
  Watched Watch() const { return Watched::Channel(ch_.get(), Dir::kRecv); }
  Outcome Try() { return Ops<T>::TryRecv(ch_.get(), room_); }

  void Finish(Outcome outcome) {
    if (outcome == Outcome::kDone) {
      Ops<T>::Extract(room_, [this](T&& value) { Received(std::move(value)); });
    } else {
      Closed();
    }
  }

  void Own() { ch_.Keep(); }
  void SetChannel(ChannelRef ch) { ch_ = std::move(ch); }

  RecvCaseOf(RecvCaseOf&& other) noexcept(
      std::is_nothrow_move_constructible_v<Handler>)
      : ch_(std::move(other.ch_)),
        handler_(std::forward<Handler>(other.handler_)),
        site_(other.site_) {}

 private:
  using H = std::remove_reference_t<Handler>;
  static constexpr bool kTakesBoth = std::is_invocable_v<H&, T, bool>;
  static constexpr bool kTakesValue = std::is_invocable_v<H&, T>;
  static_assert(kTakesBoth || kTakesValue || std::is_invocable_v<H&>,
                "gochan: a receive case's handler is void(), void(T) or "
                "void(T, bool ok)");
  static_assert(
      std::is_default_constructible_v<T> || !(kTakesBoth || kTakesValue),
      "gochan: a handler gets T{} when the channel is closed; for a T "
      "without a default constructor take no value");

  void Received(T&& value) {
    if constexpr (kTakesBoth) {
      handler_(std::move(value), true);
    } else if constexpr (kTakesValue) {
      handler_(std::move(value));
    } else {
      handler_();
    }
  }

  void Closed() {
    if constexpr (kTakesBoth) {
      handler_(T(), false);
    } else if constexpr (kTakesValue) {
      handler_(T());
    } else {
      handler_();
    }
  }

  ChannelRef ch_;
  Handler handler_;
  Room<T> room_;
  SourceLocation site_;
};

// A receive whose value goes to a variable.
template <typename T>
class RecvToCaseOf {
 public:
  using Element = T;

  template <typename Ch>
  RecvToCaseOf(Ch&& ch, T* value, bool* ok, const SourceLocation& site)
      : ch_(std::forward<Ch>(ch)), value_(value), ok_(ok), site_(site) {
    if (value == nullptr) RaiseNilPointer();
  }

  Case Bind() {
    return Case(Case::Kind::kRecv, ch_.get(), &room_.value, nullptr, site_);
  }

  static constexpr bool kTyped = true;
  Watched Watch() const { return Watched::Channel(ch_.get(), Dir::kRecv); }
  Outcome Try() { return Ops<T>::TryRecv(ch_.get(), room_); }

  void Finish(Outcome outcome) {
    const bool ok = outcome == Outcome::kDone;
    if (ok) {
      Ops<T>::Extract(room_, [this](T&& value) { *value_ = std::move(value); });
    } else {
      *value_ = T();
    }
    if (ok_ != nullptr) *ok_ = ok;
  }

  void Own() { ch_.Keep(); }
  void SetChannel(ChannelRef ch) { ch_ = std::move(ch); }

  RecvToCaseOf(RecvToCaseOf&& other) noexcept
      : ch_(std::move(other.ch_)),
        value_(other.value_),
        ok_(other.ok_),
        site_(other.site_) {}

 private:
  ChannelRef ch_;
  T* value_;
  bool* ok_;
  Room<T> room_;
  SourceLocation site_;
};

// Where a send case's value lies.
//   SentValue<T>    in the case: copied or converted when the case was made
//   SentRef<T>      with the caller, who gave an rvalue; in the case once owned
//   SentFrom<T>     with the caller, who keeps it; read each time
template <typename T>
class SentValue {
 public:
  template <typename V>
  explicit SentValue(V&& value)
      : value_(std::in_place, std::forward<V>(value)) {}
  T* get() { return value_.has_value() ? &*value_ : nullptr; }
  void Own() {}
  void Sent() { value_.reset(); }

 private:
  std::optional<T> value_;
};

template <typename T>
class SentRef {
 public:
  explicit SentRef(T&& value) : value_(&value) {}
  SentRef(SentRef&& other) noexcept
      : value_(other.value_), owned_(std::move(other.owned_)) {
    if (owned_.has_value()) value_ = &*owned_;
  }
  T* get() { return value_; }
  void Own() {
    if (owned_.has_value() || value_ == nullptr) return;
    owned_.emplace(std::move(*value_));
    value_ = &*owned_;
  }
  void Sent() {
    owned_.reset();
    value_ = nullptr;
  }

 private:
  T* value_;
  std::optional<T> owned_;
};

template <typename T>
class SentFrom {
 public:
  explicit SentFrom(T* value) : value_(value) {
    if (value == nullptr) RaiseNilPointer();
  }
  T* get() { return value_; }
  void Own() {}
  void Sent() {}

 private:
  T* value_;
};

template <typename T, typename Value, typename Handler>
class SendCaseOf {
 public:
  using Element = T;

  template <typename Ch, typename V>
  SendCaseOf(Ch&& ch, V&& value, Handler handler, const SourceLocation& site)
      : ch_(std::forward<Ch>(ch)),
        value_(std::forward<V>(value)),
        handler_(std::forward<Handler>(handler)),
        site_(site) {}

  Case Bind() {
    T* value = value_.get();
    if (value == nullptr) RaisePanic(panics::kSendNoValue);
    return Case(Case::Kind::kSend, ch_.get(), value, &MoveElement<T>, site_);
  }

  static constexpr bool kTyped = true;
  Watched Watch() {
    Watched watched = Watched::Channel(ch_.get(), Dir::kSend);
    if (value_.get() == nullptr) watched.what = Watched::What::kUnknown;
    return watched;
  }
  Outcome Try() {
    T& value = *value_.get();
    if (FastPath<T>::Put(*ch_.get(), std::move(value))) return Outcome::kDone;
    return ch_.get()->TrySend(&value, &MoveElement<T>);
  }

  void Finish(Outcome outcome) {
    if (outcome == Outcome::kClosed) RaisePanic(panics::kSendOnClosed);
    value_.Sent();
    handler_();
  }

  void Own() {
    ch_.Keep();
    value_.Own();
  }
  void SetChannel(ChannelRef ch) { ch_ = std::move(ch); }

  SendCaseOf(SendCaseOf&& other) noexcept(
      std::is_nothrow_move_constructible_v<Handler>)
      : ch_(std::move(other.ch_)),
        value_(std::move(other.value_)),
        handler_(std::forward<Handler>(other.handler_)),
        site_(other.site_) {}

 private:
  ChannelRef ch_;
  Value value_;
  Handler handler_;
  SourceLocation site_;
};

// A receive of nothing: DoneCase.
template <typename Handler>
class DoneCaseOf {
 public:
  DoneCaseOf(Core* ch, Handler handler, const SourceLocation& site)
      : ch_(ch), handler_(std::forward<Handler>(handler)), site_(site) {}

  Case Bind() {
    return Case(Case::Kind::kRecv, ch_.get(), &room_, nullptr, site_);
  }

  static constexpr bool kTyped = true;
  Watched Watch() const { return Watched::Channel(ch_.get(), Dir::kRecv); }
  Outcome Try() { return ch_.get()->TryRecv(&room_); }
  void Finish(Outcome) { handler_(); }
  void Own() { ch_.Keep(); }

  DoneCaseOf(DoneCaseOf&& other) noexcept(
      std::is_nothrow_move_constructible_v<Handler>)
      : ch_(std::move(other.ch_)),
        handler_(std::forward<Handler>(other.handler_)),
        site_(other.site_) {}

 private:
  ChannelRef ch_;
  Handler handler_;
  Unit room_;
  SourceLocation site_;
};

// Timeout, deadline, default: no channel.
template <Case::Kind kKind, typename Handler>
class PlainCaseOf {
 public:
  PlainCaseOf(int64_t time, Handler handler, const SourceLocation& site)
      : time_(time), handler_(std::forward<Handler>(handler)), site_(site) {}

  Case Bind() { return Case(kKind, time_, site_); }

  static constexpr bool kTyped = true;
  Watched Watch() const {
    using What = Watched::What;
    const What what = kKind == Case::Kind::kDefault ? What::kDefault
                      : time_ == Case::kNever       ? What::kNever
                      : kKind == Case::Kind::kTimeout && time_ > 0
                          ? What::kNever  // it counts from when we wait
                          : What::kUnknown;
    return {nullptr, Dir::kRecv, what};
  }
  Outcome Try() { return Outcome::kWouldBlock; }
  void Finish(Outcome) { handler_(); }
  void Own() {}

 private:
  int64_t time_;
  Handler handler_;
  SourceLocation site_;
};

// Nanoseconds, rounded up: a timeout is never early. Saturates; only an
// infinite time is kNever.
inline int64_t CeilNanos(absl::Duration d) {
  if (d == absl::InfiniteDuration()) return Case::kNever;
  const int64_t nanos = runtime::CeilNanos(d);
  return nanos == Case::kNever ? nanos - 1 : nanos;
}

template <typename C>
inline constexpr bool kIsCase = false;
template <typename T, typename H>
inline constexpr bool kIsCase<RecvCaseOf<T, H>> = true;
template <typename T>
inline constexpr bool kIsCase<RecvToCaseOf<T>> = true;
template <typename T, typename V, typename H>
inline constexpr bool kIsCase<SendCaseOf<T, V, H>> = true;
template <typename H>
inline constexpr bool kIsCase<DoneCaseOf<H>> = true;
template <Case::Kind kKind, typename H>
inline constexpr bool kIsCase<PlainCaseOf<kKind, H>> = true;
template <>
inline constexpr bool kIsCase<AnyCase> = true;

template <typename C>
inline constexpr bool kIsDefault = false;
template <typename H>
inline constexpr bool kIsDefault<PlainCaseOf<Case::Kind::kDefault, H>> = true;

template <typename... Cases>
constexpr void CheckDefaults() {
  static_assert((0 + ... + int{kIsDefault<std::remove_cvref_t<Cases>>}) <= 1,
                "gochan: a select has at most one DefaultCase");
}

// Anything but a source location, which ends every maker's arguments.
template <typename H>
concept HandlerArg = !std::is_same_v<std::remove_cvref_t<H>, SourceLocation>;

template <typename C>
concept SelectCase = kIsCase<std::remove_cvref_t<C>>;

// A vector, array or span of AnyCase.
template <typename List>
concept CaseList =
    !SelectCase<List> &&
    !std::is_same_v<std::remove_cvref_t<List>, absl::Span<AnyCase>> &&
    std::is_constructible_v<absl::Span<AnyCase>,
                            std::remove_reference_t<List>&>;

// A handler as a case keeps it: by value, whatever it was given as, if the case
// may be owned; the reference would be cheaper, but an AnyCase would dangle.
template <typename H>
using Kept = std::decay_t<H>;

template <typename Ch>
constexpr void CheckReceives() {
  static_assert(
      Traits<Ch>::kReceives,
      "gochan: RecvCase needs a Chan or a RecvChan: a SendChan cannot "
      "be received from");
}
template <typename Ch>
constexpr void CheckSends() {
  static_assert(
      Traits<Ch>::kSends,
      "gochan: SendCase needs a Chan or a SendChan: a RecvChan cannot "
      "be sent to");
}

// How SendCase keeps a V that is to become a T.
template <typename T, typename V>
using Sent = std::conditional_t<std::is_same_v<V, T>, SentRef<T>, SentValue<T>>;

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_SELECT_INTERNAL_TYPED_CASE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Typed channels with Go's semantics.
//
//   MakeChan<T>(capacity)    make(chan T, capacity)
//   ch.Send(v)               ch <- v
//   auto [v, ok] = ch.Recv() v, ok := <-ch
//   for (T v : ch)           for v := range ch
//   ch.Close()               close(ch)
//   SendChan<T> RecvChan<T>  chan<- T, <-chan T: views of one direction
//
//   gochan::Chan<int> ch = gochan::MakeChan<int>();
//   std::thread producer([ch] {
//     for (int i = 0; i < 3; ++i) ch.Send(i);
//     ch.Close();
//   });
//   for (int v : ch) std::cout << v << '\n';
//   producer.join();
//
// Handles are cheap to copy and share ownership of one channel; a handle that
// is default-constructed, or made from or assigned nullptr, is nil: send and
// receive on it block for ever, and a select never chooses it. Handles compare
// and hash by the channel's identity. All operations on a channel are
// thread-safe; one handle object is not (copy it: capture by value). A handle
// must outlive the call that is made through it.
//
// T must be nothrow-move-constructible and nothrow-destructible. Its move may
// run on the stack of any party that uses the channel, and must not block.
//
// Memory ordering: what thread X did before it sent a value, or closed the
// channel, is visible to thread Y after Y received that value, or saw the
// close. On a channel of capacity C, what Y did before its k-th receive is
// visible to X after X's (k + C)-th send has returned. (Go memory model,
// "Channel communication".)
//
// Waiters are served first in, first out, whoever they are; a blocked sender's
// value takes its place among the others in the order of arrival. Send,
// receive, close and the Try forms are O(1), allocate nothing in steady state,
// and are lock-free but for the bounded waits that docs/design/channel.md
// states.

#ifndef GOCHAN_CHAN_CHAN_H_
#define GOCHAN_CHAN_CHAN_H_

#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "chan/internal/typed_core.h"
#include "chan/panic.h"
#include "runtime/self_pointer.h"
#include "runtime/source_location.h"

namespace gochan {

template <typename T>
class Chan;
template <typename T>
class SendChan;
template <typename T>
class RecvChan;

// Go's struct{}: a channel of Units only counts.
struct Unit {
  friend bool operator==(Unit, Unit) = default;
};

// What a receive gives: ok is false, and value is T{}, if the channel was
// closed and drained.
template <typename T>
struct RecvResult {
  T value;
  bool ok;
  explicit operator bool() const { return ok; }
};

// MakeChan()
//
// A channel that buffers up to `capacity` values; 0 makes it unbuffered: a send
// completes only when its value has been received. Panics with "makechan: size
// out of range" if the capacity is negative or absurd (2^30 or more). Memory
// for a large buffer is committed as it is first used.
template <typename T>
Chan<T> MakeChan(std::ptrdiff_t capacity = 0);

namespace internal {

// What all three handles share: ownership and identity.
template <typename T>
class Handle {
 public:
  // Handle::Len() / Handle::Cap()
  //
  // Elements in the buffer, and its size; 0 for nil and for unbuffered
  // channels. Len never counts blocked parties. Never block.
  std::size_t Len() const { return IsNil() ? 0 : core()->Len(); }
  std::size_t Cap() const { return IsNil() ? 0 : core()->Cap(); }

  bool IsNil() const { return !core_; }
  explicit operator bool() const { return !IsNil(); }

  friend bool operator==(const Handle& a, const Handle& b) {
    return a.core() == b.core();
  }
  friend bool operator==(const Handle& a, std::nullptr_t) { return a.IsNil(); }

  template <typename H>
  friend H AbslHashValue(H state, const Handle& handle) {
    return H::combine(std::move(state),
                      static_cast<const void*>(handle.core()));
  }

 protected:
  Handle() = default;
  Handle(const Handle& other) {
    Core* const shared = other.core();
    if (shared == nullptr) return;
    shared->Ref();
    core_.Set(shared);
  }
  Handle(Handle&& other) noexcept : core_(other.core_.Release()) {}
  Handle& operator=(const Handle& other) {
    Handle(other).Swap(*this);
    return *this;
  }
  Handle& operator=(Handle&& other) noexcept {
    Handle(std::move(other)).Swap(*this);
    return *this;
  }
  ~Handle() {
    if (Core* const mine = core_.Release()) mine->Unref();
  }

  void Swap(Handle& other) noexcept {
    Core* const mine = core();
    core_.Set(other.core());
    other.core_.Set(mine);
  }

  Core* core() const { return core_.get(); }

  friend struct CoreAccess;
  friend struct std::hash<Handle<T>>;

  // Owns a reference. Read where it lies, so that FindLeaks() can tell who has
  // a handle.
  runtime::SelfPointer<Core> core_;
};

}  // namespace internal

// -----------------------------------------------------------------------------
// SendChan: chan<- T
// -----------------------------------------------------------------------------

template <typename T>
class SendChan : public internal::Handle<T> {
 public:
  SendChan() = default;
  SendChan(std::nullptr_t) {}                               // NOLINT: implicit
  SendChan(const Chan<T>& ch) : internal::Handle<T>(ch) {}  // NOLINT
  SendChan(Chan<T>&& ch) : internal::Handle<T>(std::move(ch)) {}  // NOLINT

  // See Chan.
  void Send(const T& value,
            const SourceLocation& site = SourceLocation::current()) const;
  void Send(T&& value,
            const SourceLocation& site = SourceLocation::current()) const;
  bool TrySend(const T& value) const;
  bool TrySend(T&& value) const;
  void Close() const;
  bool TryClose() const;
};

// -----------------------------------------------------------------------------
// RecvChan: <-chan T
// -----------------------------------------------------------------------------

template <typename T>
class RecvChan : public internal::Handle<T> {
 public:
  class iterator;
  using sentinel = std::default_sentinel_t;

  RecvChan() = default;
  RecvChan(std::nullptr_t) {}                               // NOLINT: implicit
  RecvChan(const Chan<T>& ch) : internal::Handle<T>(ch) {}  // NOLINT
  RecvChan(Chan<T>&& ch) : internal::Handle<T>(std::move(ch)) {}  // NOLINT

  // See Chan.
  RecvResult<T> Recv(
      const SourceLocation& site = SourceLocation::current()) const;
  std::optional<T> RecvOptional(
      const SourceLocation& site = SourceLocation::current()) const;
  std::optional<RecvResult<T>> TryRecv() const;
  std::optional<std::optional<T>> TryRecvOptional() const;
  iterator begin(const SourceLocation& site = SourceLocation::current()) const;
  sentinel end() const { return {}; }
};

// -----------------------------------------------------------------------------
// Chan: chan T
// -----------------------------------------------------------------------------

template <typename T>
class Chan : public internal::Handle<T> {
 public:
  using iterator = typename RecvChan<T>::iterator;
  using sentinel = std::default_sentinel_t;

  Chan() = default;
  Chan(std::nullptr_t) {}  // NOLINT: implicit

  // Chan::Send()
  //
  // Sends `value`: hands it to the receiver that has waited longest, else
  // buffers it, else blocks until one of the two is possible; for ever on nil.
  // Panics with "send on closed channel" if the channel is closed, or is closed
  // while it blocks. After a panic, or an exception from copying T, `value` is
  // unchanged.
  void Send(const T& value,
            const SourceLocation& site = SourceLocation::current()) const;
  void Send(T&& value,
            const SourceLocation& site = SourceLocation::current()) const;

  // Chan::TrySend()
  //
  // The same if it need not block; else returns false, and `value` is
  // unchanged. False means that there was an instant at which no receiver
  // waited and the buffer was full (or the channel nil).
  bool TrySend(const T& value) const;
  bool TrySend(T&& value) const;

  // Chan::Recv()
  //
  // The oldest value; blocks while there is none and the channel is open; for
  // ever on nil. {T{}, false} once the channel is closed and drained.
  RecvResult<T> Recv(
      const SourceLocation& site = SourceLocation::current()) const;

  // Chan::RecvOptional()
  //
  // The same for any T: nullopt once the channel is closed and drained.
  std::optional<T> RecvOptional(
      const SourceLocation& site = SourceLocation::current()) const;

  // Chan::TryRecv() / Chan::TryRecvOptional()
  //
  // The same if it need not block, else nullopt: there was an instant at which
  // the channel was open and had no value and no sender (or is nil).
  std::optional<RecvResult<T>> TryRecv() const;
  std::optional<std::optional<T>> TryRecvOptional() const;

  // Chan::Close()
  //
  // No more values will be sent. Blocked receivers get {T{}, false}, blocked
  // senders panic; values in the buffer stay receivable. Panics with "close of
  // closed channel" if it is closed already, "close of nil channel" on nil.
  // Does not block.
  void Close() const;

  // Chan::TryClose()
  //
  // The same, but returns false if it is closed already.
  bool TryClose() const;

  // Chan::begin() / Chan::end()
  //
  // Receives until the channel is closed and drained. An input range; `*it` is
  // a T&&, so that `for (T v : ch)` moves. Holds the channel by itself.
  iterator begin(const SourceLocation& site = SourceLocation::current()) const;
  sentinel end() const { return {}; }
};

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

template <typename T>
Chan<T> MakeChan(std::ptrdiff_t capacity) {
  internal::CheckElement<T>();
  return internal::CoreAccess::Adopt<Chan<T>>(
      internal::Core::Make(internal::kElementOps<T>, capacity));
}

// --- receiving, for both RecvChan and Chan

namespace internal {

template <typename T>
struct RecvOps {
  [[gnu::always_inline]] static inline RecvResult<T> Recv(
      Core* core, const SourceLocation& site) {
    static_assert(std::is_default_constructible_v<T>,
                  "gochan: Recv gives T{} when the channel is closed; for a T "
                  "without a default constructor use RecvOptional");
    Room<T> room;
    if (!Ops<T>::Recv(core, room, site)) return {T(), false};
    return Ops<T>::Extract(
        room, [](T&& v) { return RecvResult<T>{std::move(v), true}; });
  }

  [[gnu::always_inline]] static inline std::optional<T> RecvOptional(
      Core* core, const SourceLocation& site) {
    Room<T> room;
    if (!Ops<T>::Recv(core, room, site)) return std::nullopt;
    return Ops<T>::Extract(room, [](T&& v) {
      return std::optional<T>(std::in_place, std::move(v));
    });
  }

  static std::optional<RecvResult<T>> TryRecv(Core* core) {
    static_assert(std::is_default_constructible_v<T>,
                  "gochan: TryRecv gives T{} when the channel is closed; for a "
                  "T without a default constructor use TryRecvOptional");
    Room<T> room;
    switch (Ops<T>::TryRecv(core, room)) {
      case Outcome::kWouldBlock:
        return std::nullopt;
      case Outcome::kClosed:
        return std::optional<RecvResult<T>>(RecvResult<T>{T(), false});
      case Outcome::kDone:
        break;
    }
    return Ops<T>::Extract(room, [](T&& v) {
      return std::optional<RecvResult<T>>(RecvResult<T>{std::move(v), true});
    });
  }

  static std::optional<std::optional<T>> TryRecvOptional(Core* core) {
    Room<T> room;
    switch (Ops<T>::TryRecv(core, room)) {
      case Outcome::kWouldBlock:
        return std::nullopt;
      case Outcome::kClosed:
        return std::optional<std::optional<T>>(std::in_place, std::nullopt);
      case Outcome::kDone:
        break;
    }
    return Ops<T>::Extract(room, [](T&& v) {
      return std::optional<std::optional<T>>(std::in_place, std::in_place,
                                             std::move(v));
    });
  }
};

}  // namespace internal

// The value that it points to is received when it is made and by ++.
template <typename T>
class RecvChan<T>::iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;

  iterator(iterator&&) = default;
  iterator& operator=(iterator&& other) {
    ch_ = std::move(other.ch_);
    site_ = other.site_;
    value_.reset();
    if (other.value_) value_.emplace(std::move(*other.value_));
    return *this;
  }

  T&& operator*() const { return std::move(*value_); }
  iterator& operator++() {
    Advance();
    return *this;
  }
  void operator++(int) { Advance(); }
  friend bool operator==(const iterator& it, std::default_sentinel_t) {
    return !it.value_.has_value();
  }

 private:
  friend class RecvChan<T>;
  friend class Chan<T>;

  iterator(RecvChan<T> ch, const SourceLocation& site)
      : ch_(std::move(ch)), site_(site) {
    Advance();
  }

  [[gnu::always_inline]] void Advance() {
    value_.reset();
    internal::Room<T> room;
    if (!internal::Ops<T>::Recv(internal::CoreAccess::Get(ch_), room, site_)) {
      return;
    }
    internal::Ops<T>::Extract(room,
                              [this](T&& v) { value_.emplace(std::move(v)); });
  }

  RecvChan<T> ch_;
  SourceLocation site_;             // of the loop
  mutable std::optional<T> value_;  // mutable: *it of a const iterator moves
};

// --- RecvChan

template <typename T>
[[gnu::always_inline]] inline RecvResult<T> RecvChan<T>::Recv(
    const SourceLocation& site) const {
  return internal::RecvOps<T>::Recv(this->core(), site);
}
template <typename T>
[[gnu::always_inline]] inline std::optional<T> RecvChan<T>::RecvOptional(
    const SourceLocation& site) const {
  return internal::RecvOps<T>::RecvOptional(this->core(), site);
}
template <typename T>
std::optional<RecvResult<T>> RecvChan<T>::TryRecv() const {
  return internal::RecvOps<T>::TryRecv(this->core());
}
template <typename T>
std::optional<std::optional<T>> RecvChan<T>::TryRecvOptional() const {
  return internal::RecvOps<T>::TryRecvOptional(this->core());
}
template <typename T>
typename RecvChan<T>::iterator RecvChan<T>::begin(
    const SourceLocation& site) const {
  return iterator(*this, site);
}

// --- SendChan

template <typename T>
[[gnu::always_inline]] inline void SendChan<T>::Send(
    const T& value, const SourceLocation& site) const {
  internal::Ops<T>::SendCopy(this->core(), value, site);
}
template <typename T>
[[gnu::always_inline]] inline void SendChan<T>::Send(
    T&& value, const SourceLocation& site) const {
  internal::Ops<T>::SendMove(this->core(), value, site);
}
template <typename T>
bool SendChan<T>::TrySend(const T& value) const {
  return internal::Ops<T>::TrySendCopy(this->core(), value);
}
template <typename T>
bool SendChan<T>::TrySend(T&& value) const {
  return internal::Ops<T>::TrySendMove(this->core(), value);
}
template <typename T>
void SendChan<T>::Close() const {
  internal::Ops<T>::Close(this->core());
}
template <typename T>
bool SendChan<T>::TryClose() const {
  return internal::Ops<T>::TryClose(this->core());
}

// --- Chan

template <typename T>
[[gnu::always_inline]] inline void Chan<T>::Send(
    const T& value, const SourceLocation& site) const {
  internal::Ops<T>::SendCopy(this->core(), value, site);
}
template <typename T>
[[gnu::always_inline]] inline void Chan<T>::Send(
    T&& value, const SourceLocation& site) const {
  internal::Ops<T>::SendMove(this->core(), value, site);
}
template <typename T>
bool Chan<T>::TrySend(const T& value) const {
  return internal::Ops<T>::TrySendCopy(this->core(), value);
}
template <typename T>
bool Chan<T>::TrySend(T&& value) const {
  return internal::Ops<T>::TrySendMove(this->core(), value);
}
template <typename T>
void Chan<T>::Close() const {
  internal::Ops<T>::Close(this->core());
}
template <typename T>
bool Chan<T>::TryClose() const {
  return internal::Ops<T>::TryClose(this->core());
}
template <typename T>
[[gnu::always_inline]] inline RecvResult<T> Chan<T>::Recv(
    const SourceLocation& site) const {
  return internal::RecvOps<T>::Recv(this->core(), site);
}
template <typename T>
[[gnu::always_inline]] inline std::optional<T> Chan<T>::RecvOptional(
    const SourceLocation& site) const {
  return internal::RecvOps<T>::RecvOptional(this->core(), site);
}
template <typename T>
std::optional<RecvResult<T>> Chan<T>::TryRecv() const {
  return internal::RecvOps<T>::TryRecv(this->core());
}
template <typename T>
std::optional<std::optional<T>> Chan<T>::TryRecvOptional() const {
  return internal::RecvOps<T>::TryRecvOptional(this->core());
}
template <typename T>
typename Chan<T>::iterator Chan<T>::begin(const SourceLocation& site) const {
  return iterator(RecvChan<T>(*this), site);
}

}  // namespace gochan

template <typename T>
struct std::hash<gochan::Chan<T>> {
  std::size_t operator()(const gochan::Chan<T>& ch) const {
    return std::hash<const void*>()(gochan::internal::CoreAccess::Get(ch));
  }
};
template <typename T>
struct std::hash<gochan::SendChan<T>> {
  std::size_t operator()(const gochan::SendChan<T>& ch) const {
    return std::hash<const void*>()(gochan::internal::CoreAccess::Get(ch));
  }
};
template <typename T>
struct std::hash<gochan::RecvChan<T>> {
  std::size_t operator()(const gochan::RecvChan<T>& ch) const {
    return std::hash<const void*>()(gochan::internal::CoreAccess::Get(ch));
  }
};

#endif  // GOCHAN_CHAN_CHAN_H_

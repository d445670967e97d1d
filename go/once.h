// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Doing something once: Go's sync.Once, OnceFunc, OnceValue and OnceValues.
//
//   Once                Do(fn) runs the first fn that it is given, and no other
//   OnceFunc(fn)        a function that runs fn at its first call
//   OnceValue(fn)       the same, which returns what fn returned, every time
//   OnceValues(fn)      the same for a pair or a tuple
//
//   static gochan::Once once;
//   once.Do([] { LoadTables(); });
//
//   auto config = gochan::OnceValue([] { return ReadConfig(); });
//   Use(config());
//
// Whoever comes while fn runs blocks, as a goroutine or a thread, until it is
// over. So an fn that calls itself through the same object deadlocks.
//
// Lifetime: a Once is constant-initialised, so a global works before main(); it
// may be destroyed as soon as all calls of Do() have returned. Four bytes. The
// functions that OnceFunc() and the others make are copyable; copies share one
// state, which is freed with the last.
//
// Memory ordering: the end of fn happens before every return from Do(), or from
// the function.
//
// All may be called by any number of parties at once. When fn has been run, a
// call is one load.

#ifndef GOCHAN_GO_ONCE_H_
#define GOCHAN_GO_ONCE_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "runtime/atomic.h"
#include "runtime/goexit.h"
#include "runtime/source_location.h"

namespace gochan {

// -----------------------------------------------------------------------------
// Once
// -----------------------------------------------------------------------------

class Once {
 public:
  constexpr Once() = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  // Once::Do()
  //
  // Calls fn() if this is the first call of Do(); else blocks until the first
  // call has ended. It has ended as well if fn threw or called Goexit(): there
  // is no second try, and only the first caller gets the exception.
  template <typename Fn>
  void Do(Fn&& fn, SourceLocation site = SourceLocation::current()) {
    // O1 acquire: what fn did; pairs with O1 in End().
    if (state_.load(std::memory_order_acquire) != kDone) [[unlikely]] {
      DoSlow(std::forward<Fn>(fn), site);
    }
  }

 private:
  // state_:
  //   state     set by           next              who may act
  //   kNew      constructor      kRunning          anybody: begin
  //   kRunning  the first caller kAwaited | kDone  it runs fn
  //   kAwaited  a later caller   kDone             the first runs fn, others
  //                                                sleep
  //   kDone     the first caller (final)           nobody
  static constexpr uint32_t kNew = 0;
  static constexpr uint32_t kRunning = 1;
  static constexpr uint32_t kAwaited = 2;
  static constexpr uint32_t kDone = 3;

  struct Ending {
    ~Ending() { once->End(); }
    Once* once;
  };

  // Out of line, and the place is passed by value: so Do() saves no registers
  // and writes nothing when it is done.
  template <typename Fn>
  [[gnu::noinline]] void DoSlow(Fn&& fn, SourceLocation site) {
    if (!Begin(site)) return;
    Ending ending{this};
    std::invoke(std::forward<Fn>(fn));
  }

  static bool StillRunning(void* once);

  // True: the caller is the first. False: fn has ended.
  [[nodiscard]] bool Begin(const SourceLocation& site);
  void End();

  runtime::Atomic<uint32_t> state_;
};

// -----------------------------------------------------------------------------
// OnceFunc, OnceValue, OnceValues
// -----------------------------------------------------------------------------

// OnceFunc()
//
// A copyable function of no arguments that calls fn() when it is called first.
// If fn throws, that call and every other one throws the same exception; if it
// calls Goexit(), later calls panic with Go's "panic called with nil argument".
// fn is destroyed when it has run.
template <typename Fn>
[[nodiscard]] auto OnceFunc(Fn&& fn);

// OnceValue() / OnceValues()
//
// The same, and each call returns a reference to what fn() returned, which
// lives as long as a copy of the function does. For OnceValues() that is a pair
// or a tuple: `auto [a, b] = values();`
template <typename Fn>
[[nodiscard]] auto OnceValue(Fn&& fn);
template <typename Fn>
[[nodiscard]] auto OnceValues(Fn&& fn);

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

// Panics as Go does when the function ended by Goexit().
[[noreturn]] void RaiseNoOnceResult();

// What the copies of one function share. All but `once` is written by the first
// call alone, and read when that is over.
template <typename Fn, typename Result>
class OnceState {
 public:
  template <typename F>
  explicit OnceState(F&& fn) : fn_(std::forward<F>(fn)) {}

  const Result& Get(SourceLocation site) {
    once_.Do([this] { Run(); }, site);
    if (!result_.has_value()) [[unlikely]] {
#if defined(__cpp_exceptions)
      if (exception_ != nullptr) std::rethrow_exception(exception_);
#endif
      RaiseNoOnceResult();
    }
    return *result_;
  }

 private:
  void Run() {
    // Not kept alive after its call.
    struct Reset {
      ~Reset() { fn->reset(); }
      std::optional<Fn>* fn;
    } reset{&fn_};
#if defined(__cpp_exceptions)
    try {
      Call();
    } catch (...) {
      if (!runtime::CaughtGoexit()) exception_ = std::current_exception();
      throw;
    }
#else
    Call();
#endif
  }

  void Call() {
    if constexpr (std::is_void_v<std::invoke_result_t<Fn&>>) {
      std::invoke(*fn_);
      result_.emplace();
    } else {
      result_.emplace(std::invoke(*fn_));
    }
  }

  Once once_;
  std::optional<Fn> fn_;
  std::optional<Result> result_;
#if defined(__cpp_exceptions)
  std::exception_ptr exception_;
#endif
};

struct NoResult {};

template <typename Result, typename Fn>
auto MakeOnceState(Fn&& fn) {
  return std::make_shared<OnceState<std::decay_t<Fn>, Result>>(
      std::forward<Fn>(fn));
}

}  // namespace internal

template <typename Fn>
auto OnceFunc(Fn&& fn) {
  return [state = internal::MakeOnceState<internal::NoResult>(std::forward<Fn>(
              fn))](SourceLocation site = SourceLocation::current()) -> void {
    (void)state->Get(site);
  };
}

template <typename Fn>
auto OnceValue(Fn&& fn) {
  using Result = std::remove_cvref_t<std::invoke_result_t<std::decay_t<Fn>&>>;
  static_assert(!std::is_void_v<Result>,
                "gochan: the function returns nothing; use OnceFunc");
  return [state = internal::MakeOnceState<Result>(std::forward<Fn>(fn))](
             SourceLocation site = SourceLocation::current()) -> const Result& {
    return state->Get(site);
  };
}

template <typename Fn>
auto OnceValues(Fn&& fn) {
  using Result = std::remove_cvref_t<std::invoke_result_t<std::decay_t<Fn>&>>;
  static_assert(
      requires { std::tuple_size<Result>::value; },
      "gochan: the function returns no pair or tuple");
  return OnceValue(std::forward<Fn>(fn));
}

}  // namespace gochan

#endif  // GOCHAN_GO_ONCE_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Goroutines.
//
//   Go(fn, args...)     starts one: Go's `go fn(args...)`
//   RunMain(fn)         runs a program's main goroutine
//   Yield, Goexit       Go's runtime.Gosched, runtime.Goexit
//   Blocking(fn)        for a call that blocks the thread
//   SetMaxProcs, NumCpu, NumGoroutine, GoroutineId
//
//   int main() {
//     return RunMain([] {
//       auto ch = MakeChan<int>();
//       Go([ch] { ch.Send(42); });
//       std::printf("%d\n", ch.Recv().value);
//     });
//   }
//
// Goroutines run on a few threads, as many as the process has processors, and
// are never interrupted between two blocking operations. They need no
// RunMain(): the runtime starts with the first Go() and ends with the process.
// After a blocking operation a goroutine may be on another thread:
// docs/design/runtime.md says what it must not hold across one.

#ifndef GOCHAN_GO_GO_H_
#define GOCHAN_GO_GO_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/goexit.h"
#include "runtime/goroutine.h"
#include "runtime/labels.h"
#include "runtime/park.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"

namespace gochan {

// How a goroutine is made.
struct GoOptions {
  // For dumps and reports.
  std::string name = {};
  // Address space for its stack in bytes, rounded up to a power of two; memory
  // is used as it is touched. 0: 256 KiB.
  std::size_t stack_size = 0;
  // Besides those that it inherits (go/labels.h), in place of those with the
  // same keys.
  std::vector<std::pair<std::string, std::string>> labels = {};
};

// -----------------------------------------------------------------------------
// Go()
// -----------------------------------------------------------------------------

namespace internal {

template <typename F>
concept NotOptions = !std::same_as<std::remove_cvref_t<F>, GoOptions>;

[[noreturn]] void GoOfNil();

template <typename F>
void CheckNotNil(const F& fn) {
  // A function itself is never nil, and GCC warns of the question.
  if constexpr (!std::is_function_v<F> &&
                requires { static_cast<bool>(fn == nullptr); }) {
    if (fn == nullptr) GoOfNil();
  }
}

template <typename... Ts>
void StartGoroutine(runtime::GoroutineOptions* options,
                    const SourceLocation& site, Ts&&... values);

}  // namespace internal

// Go()
//
// Starts `fn(args...)` as a goroutine and returns at once. `fn` and `args` are
// copied or moved as std::thread does it (std::ref for references); what they
// return is dropped. What the caller did before is visible in the goroutine.
// Throws std::bad_alloc if there is no memory for it, and what copying throws;
// nothing was started then. Ends the program if `fn` is an empty function
// ("fatal error: go of nil func value"). An exception that leaves `fn` ends it
// too, with a report in the shape of Go's. Thread-safe; callable from anywhere.
// Cost: some tens of nanoseconds. Up to six arguments; more: capture them.
//
// Source: The Go Programming Language Specification, "Go statements".
template <internal::NotOptions F>
void Go(F&& fn, const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn));
}
template <internal::NotOptions F, typename A1>
void Go(F&& fn, A1&& a1,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1));
}
template <internal::NotOptions F, typename A1, typename A2>
void Go(F&& fn, A1&& a1, A2&& a2,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1), std::forward<A2>(a2));
}
template <internal::NotOptions F, typename A1, typename A2, typename A3>
void Go(F&& fn, A1&& a1, A2&& a2, A3&& a3,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1), std::forward<A2>(a2),
                           std::forward<A3>(a3));
}
template <internal::NotOptions F, typename A1, typename A2, typename A3,
          typename A4>
void Go(F&& fn, A1&& a1, A2&& a2, A3&& a3, A4&& a4,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1), std::forward<A2>(a2),
                           std::forward<A3>(a3), std::forward<A4>(a4));
}
template <internal::NotOptions F, typename A1, typename A2, typename A3,
          typename A4, typename A5>
void Go(F&& fn, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1), std::forward<A2>(a2),
                           std::forward<A3>(a3), std::forward<A4>(a4),
                           std::forward<A5>(a5));
}
template <internal::NotOptions F, typename A1, typename A2, typename A3,
          typename A4, typename A5, typename A6>
void Go(F&& fn, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
        const SourceLocation& site = SourceLocation::current()) {
  internal::StartGoroutine(nullptr, site, std::forward<F>(fn),
                           std::forward<A1>(a1), std::forward<A2>(a2),
                           std::forward<A3>(a3), std::forward<A4>(a4),
                           std::forward<A5>(a5), std::forward<A6>(a6));
}

// The same with options.
template <typename F>
void Go(GoOptions options, F&& fn,
        const SourceLocation& site = SourceLocation::current());
template <typename F, typename A1>
void Go(GoOptions options, F&& fn, A1&& a1,
        const SourceLocation& site = SourceLocation::current());
template <typename F, typename A1, typename A2>
void Go(GoOptions options, F&& fn, A1&& a1, A2&& a2,
        const SourceLocation& site = SourceLocation::current());
template <typename F, typename A1, typename A2, typename A3>
void Go(GoOptions options, F&& fn, A1&& a1, A2&& a2, A3&& a3,
        const SourceLocation& site = SourceLocation::current());

// -----------------------------------------------------------------------------
// RunMain()
// -----------------------------------------------------------------------------

// RunMain()
//
// Runs `fn` as goroutine 1, while the calling thread waits; returns the int
// that `fn` returns, or 0. As in Go the program is over then: goroutines that
// are still alive never run again, their waits are withdrawn, and nothing of
// them is unwound. It returns once every worker has reached a switch; if one
// does not within a second, the process ends with that status, after stdout and
// stderr have been flushed, but without destructors and atexit().
//
// When all goroutines are blocked and nothing is left that could wake one (no
// timer but those of channels on which nobody waits, no Blocking() call, no
// thread that the runtime has not started), the process ends with status 2
// after "fatal error: all goroutines are asleep - deadlock!" and a dump of
// them, and who waits for whom; if it was such a thread that ended last, up to
// a second later. May be called again, one at a time, by a plain thread.
template <typename F>
int RunMain(F&& fn, const SourceLocation& site = SourceLocation::current());

// -----------------------------------------------------------------------------
// For the calling goroutine
// -----------------------------------------------------------------------------

// Lets other goroutines run; returns when it is the caller's turn again. On a
// plain thread: sched_yield(2). Expanded inline, for the switch is in it.
[[gnu::always_inline]] inline void Yield() {
  runtime::Yielding yielding;
  runtime::Fiber* const to = runtime::BeginYield(yielding);
  runtime::FinishYield(yielding, to);
}

// Ends the calling goroutine, after the destructors of all that lives on its
// stack. It is an exception that only `catch (...)` sees, which must rethrow.
// Goroutine 1 may exit too: the others go on, and if they end or block, that is
// a deadlock. On a plain thread: pthread_exit(3). Without exceptions: aborts.
[[noreturn]] void Goexit();

// The number of the calling goroutine, never used twice; 0 on a plain thread.
uint64_t GoroutineId();

// Blocking()
//
// Returns fn(), which may block the calling thread (a system call, a lock, a
// library that waits): meanwhile other goroutines run on another thread. After
// it the caller may be on another thread. On a plain thread just fn(). Inside
// of `fn` gochan's operations block the thread, as on a plain one. Threads are
// reused; from the 10,000th on the caller waits for one.
// Cost: some tens of nanoseconds if nobody else had anything to do, or if calls
// from the same place were brief, less than 3 us, the last times; else the
// wake-up of another thread. A call that was expected to be brief, and is not,
// keeps others from running for up to half a millisecond.
template <typename F>
auto Blocking(F&& fn, const SourceLocation& site = SourceLocation::current())
    -> std::invoke_result_t<F> {
  struct Away {
    explicit Away(const SourceLocation& s) { runtime::EnterBlocking(s); }
    ~Away() { runtime::LeaveBlocking(); }
  } away(site);
  return std::forward<F>(fn)();
}

// -----------------------------------------------------------------------------
// The whole
// -----------------------------------------------------------------------------

// Go's GOMAXPROCS: how many goroutines run at the same time. Sets it if n > 0
// (at most 1024), returns what it was. The default is the number of processors
// that the process may use, a container's CPU quota included; the environment
// variable GOCHAN_MAXPROCS, read once at the first use, overrides it. May be
// called at any time; workers in excess stop at their next switch.
int SetMaxProcs(int n);

// Processors in the process's affinity mask.
int NumCpu();

// Goroutines that have been started and have not ended, the main one included.
int NumGoroutine();

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

// A function and its arguments, decay-copied.
template <typename... Ts>
struct Closure {
  std::tuple<std::decay_t<Ts>...> values;

  static void Call(void* self) {
    std::apply([](auto&... v) { std::invoke(std::move(v)...); },
               static_cast<Closure*>(self)->values);
  }
};

// Not inlined: the caller's frame lives on, and a pointer to the closure that a
// compiler left there would keep FindLeaks() from finding the goroutine.
template <typename C, typename... Ts>
[[gnu::noinline]] void MakeClosureElsewhere(runtime::Task& task,
                                            Ts&&... values) {
  task.SetClosureElsewhere(new C{{std::forward<Ts>(values)...}}, sizeof(C));
}

template <typename C, typename... Ts>
void MakeClosure(runtime::Task& task, Ts&&... values) {
  constexpr bool kInTask =
      sizeof(C) <= runtime::Task::kStorage && alignof(C) <= 16;
  if constexpr (kInTask) {
    task.closure =
        new (static_cast<void*>(task.storage)) C{{std::forward<Ts>(values)...}};
  } else {
    MakeClosureElsewhere<C>(task, std::forward<Ts>(values)...);
  }
  task.run = [](runtime::Task& t) {
    C* const closure = static_cast<C*>(t.closure);
    (void)runtime::RunGuarded(&C::Call, closure);
    if constexpr (kInTask) {
      closure->~C();
    } else {
      delete closure;
    }
  };
}

// Gives a task back unless it was started.
class TaskHolder {
 public:
  explicit TaskHolder(runtime::Task& task) : task_(&task) {}
  ~TaskHolder() {
    if (task_ != nullptr) runtime::DropTask(*task_);
  }
  TaskHolder(const TaskHolder&) = delete;
  TaskHolder& operator=(const TaskHolder&) = delete;
  void Start() { runtime::StartTask(*std::exchange(task_, nullptr)); }

 private:
  runtime::Task* task_;
};

template <typename... Ts>
void StartGoroutine(runtime::GoroutineOptions* options,
                    const SourceLocation& site, Ts&&... values) {
  static_assert(std::is_invocable_v<std::decay_t<Ts>...>,
                "gochan: Go(fn, args...) calls fn with copies of args, as "
                "rvalues");
  CheckNotNil(std::get<0>(std::forward_as_tuple(values...)));
  runtime::Task& task = runtime::NewTask(options, site);
  TaskHolder holder(task);
  MakeClosure<Closure<Ts...>>(task, std::forward<Ts>(values)...);
  holder.Start();
}

inline runtime::GoroutineOptions* NewOptions(GoOptions&& options) {
  auto* const made = new runtime::GoroutineOptions;
  made->name = std::move(options.name);
  made->stack_size = options.stack_size;
  made->labels = runtime::MakeLabels(nullptr, std::move(options.labels));
  return made;
}

// Runs main and says how it ended.
int RunMainErased(void (*fn)(void* arg), void* arg, const int* status,
                  const SourceLocation& site);

}  // namespace internal

template <typename F>
void Go(GoOptions options, F&& fn, const SourceLocation& site) {
  internal::StartGoroutine(internal::NewOptions(std::move(options)), site,
                           std::forward<F>(fn));
}
template <typename F, typename A1>
void Go(GoOptions options, F&& fn, A1&& a1, const SourceLocation& site) {
  internal::StartGoroutine(internal::NewOptions(std::move(options)), site,
                           std::forward<F>(fn), std::forward<A1>(a1));
}
template <typename F, typename A1, typename A2>
void Go(GoOptions options, F&& fn, A1&& a1, A2&& a2,
        const SourceLocation& site) {
  internal::StartGoroutine(internal::NewOptions(std::move(options)), site,
                           std::forward<F>(fn), std::forward<A1>(a1),
                           std::forward<A2>(a2));
}
template <typename F, typename A1, typename A2, typename A3>
void Go(GoOptions options, F&& fn, A1&& a1, A2&& a2, A3&& a3,
        const SourceLocation& site) {
  internal::StartGoroutine(internal::NewOptions(std::move(options)), site,
                           std::forward<F>(fn), std::forward<A1>(a1),
                           std::forward<A2>(a2), std::forward<A3>(a3));
}

template <typename F>
int RunMain(F&& fn, const SourceLocation& site) {
  using Fn = std::remove_reference_t<F>;
  struct Main {
    Fn* fn;
    int status;
    static void Call(void* self) {
      Main& main = *static_cast<Main*>(self);
      if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
        std::forward<F> (*main.fn)();
      } else {
        main.status = static_cast<int>(std::forward<F>(*main.fn)());
      }
    }
  } main{&fn, 0};
  internal::CheckNotNil(fn);
  return internal::RunMainErased(&Main::Call, &main, &main.status, site);
}

}  // namespace gochan

#endif  // GOCHAN_GO_GO_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// ErrGroup: golang.org/x/sync/errgroup, a group of tasks of which the first
// error counts.
//
//   auto [group, ctx] = gochan::ErrGroup::WithContext(parent);
//   group.SetLimit(10);
//   for (const Url& url : urls) {
//     group.Go([ctx = ctx, url] { return Fetch(ctx, url); });
//   }
//   absl::Status status = group.Wait();
//
//   Go, TryGo     start a goroutine that calls a function
//   SetLimit      bounds how many run at a time
//   Wait          blocks until all are over; the first error
//   WithContext   a group whose first error cancels a context
//
// An ErrGroup is a handle: copies are the same group. A group that nobody waits
// for is a bug: see the destructor. Use a group for one set of tasks.
//
// Memory ordering: the end of each function happens before the return of every
// Wait() that waited for it.
//
// All members may be called by any number of parties at once, but SetLimit() by
// nobody beside any other; one handle object is not to be assigned while others
// use it.

#ifndef GOCHAN_GO_ERR_GROUP_H_
#define GOCHAN_GO_ERR_GROUP_H_

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "runtime/goexit.h"
#include "runtime/source_location.h"

namespace gochan {

class ErrGroup {
 public:
  // A group without a limit and without a context.
  ErrGroup();
  ErrGroup(const ErrGroup&) = default;
  ErrGroup& operator=(const ErrGroup& other);

  // ErrGroup::~ErrGroup()
  //
  // The last handle's ends the program, as an uncaught panic does, if tasks
  // still run, for nobody can wait for them any more: "panic: errgroup: last
  // handle destroyed with tasks not done: 2", also while an exception unwinds
  // the stack. The report lists those goroutines. Wait() first, or use a Scope
  // (go/scope.h), which does so on every way out.
  //
  // Not checked: handles with static storage duration, whose group then lives
  // on; tasks that RunMain() has abandoned at its end.
  ~ErrGroup();

  // ErrGroup::WithContext()
  //
  // A group, and a child of `parent` that is cancelled as soon as a function
  // has returned an error, which becomes its Cause(), or Wait() has returned,
  // whichever comes first; also when the group's last handle is gone. Panics as
  // WithCancel() does if `parent` is nil.
  [[nodiscard]] static std::pair<ErrGroup, Context> WithContext(Context parent);

  // ErrGroup::Go()
  //
  // Starts a goroutine that calls fn(), which returns a status. Blocks while as
  // many as the limit allows are running. The first status that is not OK
  // cancels the group's context, and is what Wait() returns. The goroutine's
  // end by Goexit() counts as OK; an exception that leaves fn ends the program,
  // as in every goroutine. As with a WaitGroup, the first Go() must happen
  // before Wait().
  template <typename Fn>
  void Go(Fn&& fn,
          const SourceLocation& site = SourceLocation::current()) const;

  // ErrGroup::TryGo()
  //
  // The same if the limit allows it now; else returns false, and fn is not
  // called. Never blocks.
  template <typename Fn>
  bool TryGo(Fn&& fn,
             const SourceLocation& site = SourceLocation::current()) const;

  // ErrGroup::SetLimit()
  //
  // From now on at most n functions run at a time; Go() blocks for ever if n is
  // 0. A negative n means no limit. Panics with "errgroup: modify limit while 3
  // goroutines in the group are still active" if that is so and there is a
  // limit already.
  void SetLimit(int n) const;

  // ErrGroup::Wait()
  //
  // Blocks until every function has returned; then cancels the context, if
  // there is one, and returns the first error, or OK.
  absl::Status Wait(
      const SourceLocation& site = SourceLocation::current()) const;

 private:
  struct State;

  // A place below the limit, and one task that the group counts. Its destructor
  // gives both back. The group outlives it, as the destructor sees to.
  class Place {
   public:
    Place() = default;
    Place(State* state, Chan<Unit> limit)
        : state_(state), limit_(std::move(limit)) {}
    Place(Place&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)),
          limit_(std::move(other.limit_)) {}
    ~Place();

    void Finish(absl::Status status) const;
    explicit operator bool() const { return state_ != nullptr; }

   private:
    State* state_ = nullptr;  // nullptr: none, or moved from
    Chan<Unit> limit_;        // nil: there was no limit
  };

  // A function that runs as a task. Its first word is the State, which reports
  // look for.
  template <typename Fn>
  struct Task {
    void operator()() {
      runtime::RunGuarded(&Call, this);
      fn.reset();  // what it owns ends before the task does
      const Place over = std::move(place);
    }
    static void Call(void* arg) {
      auto& task = *static_cast<Task*>(arg);
      task.place.Finish(std::invoke(*task.fn));
    }

    Place place;
    std::optional<Fn> fn;
  };

  explicit ErrGroup(std::shared_ptr<State> state) : state_(std::move(state)) {}

  // None if the limit is reached and the caller does not wait.
  Place Acquire(bool wait, const SourceLocation& site) const;
  template <typename Fn>
  static void Start(Place place, Fn&& fn, const SourceLocation& site);

  std::shared_ptr<State> state_;
};

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

template <typename Fn>
void ErrGroup::Start(Place place, Fn&& fn, const SourceLocation& site) {
  using Function = std::decay_t<Fn>;
  static_assert(std::is_invocable_r_v<absl::Status, Function&>,
                "gochan: a group's function returns absl::Status");
  internal::CheckNotNil(fn);
  gochan::Go(Task<Function>{std::move(place), std::forward<Fn>(fn)}, site);
}

template <typename Fn>
void ErrGroup::Go(Fn&& fn, const SourceLocation& site) const {
  Start(Acquire(/*wait=*/true, site), std::forward<Fn>(fn), site);
}

template <typename Fn>
bool ErrGroup::TryGo(Fn&& fn, const SourceLocation& site) const {
  Place place = Acquire(/*wait=*/false, site);
  if (!place) return false;
  Start(std::move(place), std::forward<Fn>(fn), site);
  return true;
}

}  // namespace gochan

#endif  // GOCHAN_GO_ERR_GROUP_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Scope: goroutines that do not outlive a scope of the program. On every way
// out of it, exceptions and Goexit() included, they are told to stop and
// waited for.
//
//   absl::Status Crawl(const Context& ctx, const std::vector<Url>& urls) {
//     Scope scope(ctx);
//     Chan<Page> pages = MakeChan<Page>();
//     for (const Url& url : urls) {
//       scope.Go([url, pages](const Context& ctx) {
//         return SendOr(ctx, pages, Fetch(ctx, url));
//       });
//     }
//     for (std::size_t i = 0; i < urls.size(); ++i) {
//       auto page = RecvOr(scope.ctx(), pages);
//       if (!page.ok()) return scope.Wait();   // what one of them returned
//       if (!Store(page->value)) return absl::InternalError("full");
//     }                                        // the others are stopped
//     return scope.Wait();
//   }
//
//   Go(fn)    starts a goroutine in it
//   ctx()     ends when one fails, when Cancel() is called, or with the parent
//   Cancel    tells them to stop
//   Wait      waits for all; the first error
//   ~Scope    Cancel() and Wait()
//
// It is an ErrGroup that cannot be forgotten: golang.org/x/sync/errgroup with
// defer. As goroutines end before the scope does, they may hold references to
// what was declared before it, never to what was declared after it.
//
// A goroutine must listen to its context; the destructor blocks as long as one
// does not, and FindLeaks() and dumps show where.

#ifndef GOCHAN_GO_SCOPE_H_
#define GOCHAN_GO_SCOPE_H_

#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "ctx/context.h"
#include "go/err_group.h"
#include "go/go.h"
#include "runtime/source_location.h"

namespace gochan {

// All members but the destructor may be called by any number of parties at
// once, also by goroutines of the scope (but Wait(), which would wait for its
// caller).
class [[nodiscard]] Scope {
 public:
  // A scope below `parent`. Panics with "cannot create context from nil parent"
  // if that is nil.
  explicit Scope(const Context& parent = Background());
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Cancels, and blocks until every goroutine of the scope has ended. What they
  // returned is dropped.
  ~Scope();

  // Scope::Go()
  //
  // Starts a goroutine that calls fn(ctx) or, if it takes none, fn(). It may
  // return an absl::Status, or nothing. The first status that is not OK cancels
  // the scope. An exception that leaves fn ends the program, as in every
  // goroutine. Never blocks. In a scope that has been cancelled it starts the
  // goroutine all the same, with a context that has ended.
  template <typename Fn>
  void Go(Fn&& fn, const SourceLocation& site = SourceLocation::current());

  // The context of its goroutines. Its Cause() is the first error.
  const Context& ctx() const { return group_.second; }

  // Ends ctx(). Does not wait.
  void Cancel() const { cancel_(); }

  // Scope::Wait()
  //
  // Blocks until every goroutine of the scope has ended; returns the first
  // error, or OK. Then ctx() has ended. The first Go() must happen before.
  absl::Status Wait(const SourceLocation& site = SourceLocation::current());

 private:
  explicit Scope(std::pair<Context, CancelFunc> own);

  template <typename Fn>
  static absl::Status Call(Fn& fn, const Context& ctx);

  CancelFunc cancel_;
  std::pair<ErrGroup, Context> group_;  // the context is below cancel_'s
};

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

template <typename Fn>
absl::Status Scope::Call(Fn& fn, const Context& ctx) {
  const auto call = [&]() -> decltype(auto) {
    if constexpr (std::is_invocable_v<Fn&, const Context&>) {
      return std::invoke(fn, ctx);
    } else {
      return std::invoke(fn);
    }
  };
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    return absl::OkStatus();
  } else {
    return call();
  }
}

template <typename Fn>
void Scope::Go(Fn&& fn, const SourceLocation& site) {
  using Function = std::decay_t<Fn>;
  static_assert(std::is_invocable_v<Function&, const Context&> ||
                    std::is_invocable_v<Function&>,
                "gochan: a scope's function takes a Context, or nothing");
  internal::CheckNotNil(fn);
  group_.first.Go([fn = Function(std::forward<Fn>(fn)),
                   ctx = ctx()]() mutable { return Call(fn, ctx); },
                  site);
}

}  // namespace gochan

#endif  // GOCHAN_GO_SCOPE_H_

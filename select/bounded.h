// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Channel operations bounded by a context or a time, for code that wants no
// select.
//
//   SendOr(ctx, ch, v)    sends unless ctx ends first
//   RecvOr(ctx, ch)       receives unless ctx ends first
//   SendFor(ch, v, d)     sends within d
//   RecvFor(ch, d)        receives within d
//
//   absl::StatusOr<gochan::RecvResult<Job>> job = gochan::RecvOr(ctx, jobs);
//   if (!job.ok()) return job.status();
//   if (!job->ok) return absl::OkStatus();  // closed and drained
//
// They report by status what Send and Recv panic for, so they suit code that is
// built without exceptions. Each is a Select of two cases (select/select.h): if
// both are ready, either may be chosen. Memory ordering and cost are Select's.

#ifndef GOCHAN_SELECT_BOUNDED_H_
#define GOCHAN_SELECT_BOUNDED_H_

#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "runtime/source_location.h"
#include "select/internal/case.h"
#include "select/internal/fast_select.h"
#include "select/select.h"

namespace gochan {

// SendOr()
//
// Sends `value`, which converts as in Send; blocks until it is sent or `ctx` is
// done. `ch` is a Chan or a SendChan; nil never takes it. Otherwise returns
//   ctx.Err() if the context ended first,
//   FailedPreconditionError("send on closed channel") if that was so,
// and the value has not been moved from (one of another type was converted
// first).
template <internal::AnyChannel Ch, typename V = internal::ElementOf<Ch>>
[[nodiscard]] absl::Status SendOr(
    const Context& ctx, const Ch& ch, V&& value,
    const SourceLocation& site = SourceLocation::current());

// RecvOr()
//
// Receives; blocks until there is a value, `ch` (a Chan or a RecvChan) is
// closed, or `ctx` is done, which gives ctx.Err(). A closed and drained channel
// gives {T{}, false}, as Recv does.
template <internal::AnyChannel Ch>
[[nodiscard]] absl::StatusOr<RecvResult<internal::ElementOf<Ch>>> RecvOr(
    const Context& ctx, const Ch& ch,
    const SourceLocation& site = SourceLocation::current());

// SendFor() / RecvFor()
//
// The same bounded by `timeout`, after which they give DeadlineExceededError.
// Zero or less: only what is possible at once; then an operation that is
// possible is done.
template <internal::AnyChannel Ch, typename V = internal::ElementOf<Ch>>
[[nodiscard]] absl::Status SendFor(
    const Ch& ch, V&& value, absl::Duration timeout,
    const SourceLocation& site = SourceLocation::current());
template <internal::AnyChannel Ch>
[[nodiscard]] absl::StatusOr<RecvResult<internal::ElementOf<Ch>>> RecvFor(
    const Ch& ch, absl::Duration timeout,
    const SourceLocation& site = SourceLocation::current());

// -----------------------------------------------------------------------------
// Implementation details follow.
// -----------------------------------------------------------------------------

namespace internal {

inline absl::Status SendOnClosed() {
  return absl::FailedPreconditionError(panics::kSendOnClosed);
}
inline absl::Status TimedOut() {
  return absl::DeadlineExceededError("channel operation timed out");
}

// Select, but the outcome is the caller's to judge: a send that is chosen
// because the channel is closed does not panic. True: the operation was chosen,
// not the limit. The operation comes first, which kWritten prefers.
template <Order kOrder, typename Operation, typename Limit>
[[gnu::always_inline]] inline bool SelectBounded(Operation& operation,
                                                 Limit& limit,
                                                 Outcome& outcome) {
  return SelectByType<kOrder>(outcome, operation, limit) == 0;
}

// `otherwise` says what it means that the limit came first.
template <Order kOrder, typename Ch, typename V, typename Limit,
          typename Otherwise>
absl::Status SendBounded(const Ch& ch, V&& value, Limit limit,
                         Otherwise otherwise, const SourceLocation& site) {
  auto send = SendCase(ch, std::forward<V>(value), site);
  Outcome outcome;
  if (!SelectBounded<kOrder>(send, limit, outcome)) return otherwise();
  if (outcome == Outcome::kClosed) return SendOnClosed();
  send.Finish(outcome);
  return absl::OkStatus();
}

template <Order kOrder, typename Ch, typename Limit, typename Otherwise>
absl::StatusOr<RecvResult<ElementOf<Ch>>> RecvBounded(
    const Ch& ch, Limit limit, Otherwise otherwise,
    const SourceLocation& site) {
  using T = ElementOf<Ch>;
  static_assert(
      std::is_default_constructible_v<T>,
      "gochan: RecvOr and RecvFor give T{} when the channel is closed; "
      "for a T without a default constructor use Select");
  std::optional<RecvResult<T>> result;
  auto receive = RecvCase(
      ch,
      [&result](T value, bool ok) {
        result.emplace(RecvResult<T>{std::move(value), ok});
      },
      site);
  Outcome outcome;
  if (!SelectBounded<kOrder>(receive, limit, outcome)) return otherwise();
  receive.Finish(outcome);
  return *std::move(result);
}

}  // namespace internal

template <internal::AnyChannel Ch, typename V>
absl::Status SendOr(const Context& ctx, const Ch& ch, V&& value,
                    const SourceLocation& site) {
  return internal::SendBounded<internal::Order::kRandom>(
      ch, std::forward<V>(value), DoneCase(ctx, site),
      [&ctx] { return ctx.Err(); }, site);
}

template <internal::AnyChannel Ch>
absl::StatusOr<RecvResult<internal::ElementOf<Ch>>> RecvOr(
    const Context& ctx, const Ch& ch, const SourceLocation& site) {
  return internal::RecvBounded<internal::Order::kRandom>(
      ch, DoneCase(ctx, site), [&ctx] { return ctx.Err(); }, site);
}

template <internal::AnyChannel Ch, typename V>
absl::Status SendFor(const Ch& ch, V&& value, absl::Duration timeout,
                     const SourceLocation& site) {
  return internal::SendBounded<internal::Order::kWritten>(
      ch, std::forward<V>(value), TimeoutCase(timeout, site),
      internal::TimedOut, site);
}

template <internal::AnyChannel Ch>
absl::StatusOr<RecvResult<internal::ElementOf<Ch>>> RecvFor(
    const Ch& ch, absl::Duration timeout, const SourceLocation& site) {
  return internal::RecvBounded<internal::Order::kWritten>(
      ch, TimeoutCase(timeout, site), internal::TimedOut, site);
}

}  // namespace gochan

#endif  // GOCHAN_SELECT_BOUNDED_H_

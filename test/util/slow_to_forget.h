// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#ifndef GOCHAN_TEST_UTIL_SLOW_TO_FORGET_H_
#define GOCHAN_TEST_UTIL_SLOW_TO_FORGET_H_

#include <optional>

#include "absl/functional/any_invocable.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "test/util/sequence.h"

namespace gochan::test {

// A foreign context whose stop function blocks until it may go on.
struct SlowToForget : ContextInterface {
  RecvChan<Unit> Done() const override { return done; }
  std::optional<StopFunc> AfterFunc(absl::AnyInvocable<void()>) const override {
    return StopFunc([this] {
      entered.Set();
      go_on.Await();
      left.Set();
      return true;
    });
  }
  Chan<Unit> done = MakeChan<Unit>();
  mutable Event entered;
  mutable Event go_on;
  mutable Event left;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_UTIL_SLOW_TO_FORGET_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/goroutine_walk.h"

#include "chan/internal/waiter.h"
#include "runtime/park.h"

namespace gochan::internal {

// Records are type-stable.
bool IsWokenWaiter(void* waiter) {
  return static_cast<Node*>(waiter)->park.Result() >=
         runtime::ParkSlot::kFirstResult;
}

}  // namespace gochan::internal

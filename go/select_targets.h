// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#ifndef GOCHAN_GO_SELECT_TARGETS_H_
#define GOCHAN_GO_SELECT_TARGETS_H_

#include <cstdint>
#include <vector>

#include "go/inspect.h"
#include "runtime/goroutine.h"

namespace gochan::internal {

// Appends what the waiting select that `note` tells of waits for: each case
// with a channel, in order, of the first 100. It is that of the task at `index`
// as long as this is the goroutine `id`; if it has gone on meanwhile, nothing
// is appended. By an onlooker; thread-safe.
void AppendSelectTargets(const runtime::GoroutineNote::Snapshot& note,
                         uint32_t index, uint64_t id,
                         std::vector<WaitTarget>* targets);

}  // namespace gochan::internal

#endif  // GOCHAN_GO_SELECT_TARGETS_H_

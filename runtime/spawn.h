// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Spawn: runs a function beside the caller, on whatever the process has for it:
// a detached thread, or a goroutine once that runtime has installed itself.

#ifndef GOCHAN_RUNTIME_SPAWN_H_
#define GOCHAN_RUNTIME_SPAWN_H_

#include "absl/functional/any_invocable.h"

namespace gochan::runtime {

// Starts `fn` and returns at once. What the caller did before is visible in
// `fn`. An exception that leaves `fn` ends the program. Aborts with a message
// if the system has no thread left, as nobody is there to be told.
void Spawn(absl::AnyInvocable<void()> fn);

// Who runs what is spawned from now on; nullptr is a thread each. For the layer
// above, which this one may not include.
using Spawner = void (*)(absl::AnyInvocable<void()> fn);
void SetSpawner(Spawner spawner);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SPAWN_H_

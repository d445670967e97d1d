// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// RunInSnapshot: looks at the memory of this process as it is at one instant,
// while everybody goes on.
//
//   struct Look {
//     Shared* shared;                          // a mapping of MAP_SHARED
//     static void Run(void* arg) { ... }       // reads what it likes
//   };
//   bool done = RunInSnapshot(&Look::Run, &look, absl::Seconds(1));
//
// The function runs in a child process that has a copy of the memory, which the
// kernel makes page by page as it is changed. It is a consistent one: what any
// thread had written before the instant is in it, what it wrote after is not.
// For while the kernel marks the pages it keeps page faults waiting, and before
// it lets them go on it makes all processors forget which pages could be
// written. What threads have in registers is not in it; nor are, exactly at
// that instant, pages that a device is writing to.
//
// In there is no thread but the caller's, and other threads' locks stay as they
// are for ever: the function must call nothing that may take one (no memory
// allocation, no stdio), and must not switch or block. All signals are blocked.
// Files are shared with the process, so that none is kept open by it. The
// child is no child that waitpid(-1) or SIGCHLD know of.
//
// Cost: what fork(2) costs, about ten milliseconds for each gigabyte that the
// process has in use, during which page faults wait; then a fault and a page
// for each page that is changed while the child lives.

#ifndef GOCHAN_RUNTIME_SNAPSHOT_H_
#define GOCHAN_RUNTIME_SNAPSHOT_H_

#include "absl/time/time.h"

namespace gochan::runtime {

// Returns when `fn` has returned; a goroutine lets others run meanwhile. False:
// there is no such thing here (Linux only), or not now; or it took longer than
// `limit`, or has crashed.
bool RunInSnapshot(void (*fn)(void* arg), void* arg, absl::Duration limit);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SNAPSHOT_H_

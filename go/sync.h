// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Go's package sync, with golang.org/x/sync's errgroup and semaphore: all that
// parks goroutines and threads besides channels.
//
//   Mutex, RWMutex, Cond                    go/mutex.h, rw_mutex.h, cond.h
//   Once, OnceFunc, OnceValue, OnceValues   go/once.h
//   WaitGroup                               go/wait_group.h
//   ErrGroup                                go/err_group.h
//   Semaphore                               go/semaphore.h
//
// This file only includes them.

#ifndef GOCHAN_GO_SYNC_H_
#define GOCHAN_GO_SYNC_H_

#include "go/cond.h"        // IWYU pragma: export
#include "go/err_group.h"   // IWYU pragma: export
#include "go/mutex.h"       // IWYU pragma: export
#include "go/once.h"        // IWYU pragma: export
#include "go/rw_mutex.h"    // IWYU pragma: export
#include "go/semaphore.h"   // IWYU pragma: export
#include "go/wait_group.h"  // IWYU pragma: export

#endif  // GOCHAN_GO_SYNC_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Everything public. Declares nothing itself.

#ifndef GOCHAN_GOCHAN_H_
#define GOCHAN_GOCHAN_H_

#include "chan/chan.h"         // IWYU pragma: export
#include "chan/panic.h"        // IWYU pragma: export
#include "ctx/context.h"       // IWYU pragma: export
#include "go/debug.h"          // IWYU pragma: export
#include "go/go.h"             // IWYU pragma: export
#include "go/inspect.h"        // IWYU pragma: export
#include "go/labels.h"         // IWYU pragma: export
#include "go/leak.h"           // IWYU pragma: export
#include "go/leak_watchdog.h"  // IWYU pragma: export
#include "go/profile.h"        // IWYU pragma: export
#include "go/scope.h"          // IWYU pragma: export
#include "go/signal.h"         // IWYU pragma: export
#include "go/stats.h"          // IWYU pragma: export
#include "go/sync.h"           // IWYU pragma: export
#include "go/time.h"           // IWYU pragma: export
#include "select/bounded.h"    // IWYU pragma: export
#include "select/select.h"     // IWYU pragma: export

#endif  // GOCHAN_GOCHAN_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Results that must not be dropped: Go's vet calls it a lost cancel.
//
// GOCHAN_WRONG=1: ignoring return value
// GOCHAN_WRONG=2: ignoring return value
// GOCHAN_WRONG=3: ignoring return value
// GOCHAN_WRONG=4: ignoring return value
// GOCHAN_WRONG=5: ignoring return value
// GOCHAN_WRONG=6: ignoring return value
// GOCHAN_WRONG=7: ignoring return value

#pragma GCC diagnostic error "-Wunused-result"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ctx/context.h"
#include "go/err_group.h"
#include "go/leak_check.h"
#include "go/signal.h"

void Discards(const gochan::Context& parent) {
#if GOCHAN_WRONG == 1
  gochan::WithCancel(parent);
#elif GOCHAN_WRONG == 2
  gochan::WithCancelCause(parent);
#elif GOCHAN_WRONG == 3
  gochan::WithTimeout(parent, absl::Seconds(1));
#elif GOCHAN_WRONG == 4
  gochan::WithDeadline(parent, absl::Now());
#elif GOCHAN_WRONG == 5
  gochan::ErrGroup::WithContext(parent);
#elif GOCHAN_WRONG == 6
  gochan::NotifyContext(parent, {2});
#elif GOCHAN_WRONG == 7
  gochan::VerifyTestMain([] { return 0; });
#endif
}

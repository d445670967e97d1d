// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/instrument.h"

namespace gochan::runtime {

#if GOCHAN_INSTRUMENT
constinit thread_local StepHook step_hook = nullptr;
#endif

}  // namespace gochan::runtime

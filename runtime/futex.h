// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Sleeping on a 32-bit word (Linux futex(2); elsewhere, or with
// GOCHAN_FORCE_STDCPP_FUTEX, a table of standard condition variables).
//
//   FutexWait   sleeps while *word == expected, at most until a deadline
//   FutexWake   wakes sleepers on the word
//
// Both may return or wake spuriously. FutexWake on a word whose waiter has gone
// is harmless as long as the memory stays mapped.

#ifndef GOCHAN_RUNTIME_FUTEX_H_
#define GOCHAN_RUNTIME_FUTEX_H_

#include <atomic>
#include <cstdint>

#include "runtime/clock.h"

namespace gochan::runtime {

enum class FutexResult { kWoken, kTimedOut };

// Returns at once if *word != expected; kTimedOut only once `deadline` has
// passed. Thread-safe.
FutexResult FutexWait(const std::atomic<uint32_t>* word, uint32_t expected,
                      MonotonicNanos deadline = kNever);

// Wakes up to `count` sleepers. Thread-safe.
void FutexWake(const std::atomic<uint32_t>* word, int count);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_FUTEX_H_

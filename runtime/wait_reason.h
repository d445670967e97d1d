// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Why a party sleeps, in Go's words, for dumps.
//
//   WaitReason   the reasons
//   WaitInfo     reason, place in the program, and what is waited for
//
// Source of the words: Go's runtime/runtime2.go, waitReasonStrings.

#ifndef GOCHAN_RUNTIME_WAIT_REASON_H_
#define GOCHAN_RUNTIME_WAIT_REASON_H_

#include <cstdint>

#include "runtime/source_location.h"

namespace gochan::runtime {

enum class WaitReason : uint8_t {
  kNone,
  kChanReceive,
  kChanReceiveNil,
  kChanSend,
  kChanSendNil,
  kSelect,
  kSelectNoCases,
  kSleep,
  kMutexLock,
  kRWMutexRLock,
  kRWMutexLock,
  kCondWait,
  kWaitGroupWait,
  kSemacquire,
  kBlocking,  // in Blocking(): not asleep, but off the workers
};

constexpr const char* WaitReasonName(WaitReason reason) {
  switch (reason) {
    case WaitReason::kNone:
      return "running";
    case WaitReason::kChanReceive:
      return "chan receive";
    case WaitReason::kChanReceiveNil:
      return "chan receive (nil chan)";
    case WaitReason::kChanSend:
      return "chan send";
    case WaitReason::kChanSendNil:
      return "chan send (nil chan)";
    case WaitReason::kSelect:
      return "select";
    case WaitReason::kSelectNoCases:
      return "select (no cases)";
    case WaitReason::kSleep:
      return "sleep";
    case WaitReason::kMutexLock:
      return "sync.Mutex.Lock";
    case WaitReason::kRWMutexRLock:
      return "sync.RWMutex.RLock";
    case WaitReason::kRWMutexLock:
      return "sync.RWMutex.Lock";
    case WaitReason::kCondWait:
      return "sync.Cond.Wait";
    case WaitReason::kWaitGroupWait:
      return "sync.WaitGroup.Wait";
    case WaitReason::kSemacquire:
      return "semacquire";
    case WaitReason::kBlocking:
      return "blocking call";
  }
  return "?";
}

struct WaitInfo {
  WaitReason reason = WaitReason::kNone;
  // Where in the program; must live until the sleep is over.
  const SourceLocation* site = nullptr;
  // What is waited for: a channel's core, a mutex, ...; its identity alone.
  // For a select, its cases (select/internal/case.h), `count` of them.
  const void* object = nullptr;
  uint32_t count = 0;            // a channel: its capacity
  const void* detail = nullptr;  // a channel: its ElementOps, a constant
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_WAIT_REASON_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/futex.h"

#if defined(__linux__) && !defined(GOCHAN_FORCE_STDCPP_FUTEX)
#define GOCHAN_LINUX_FUTEX 1
#else
#define GOCHAN_LINUX_FUTEX 0
#endif

#if GOCHAN_LINUX_FUTEX
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#else
#include <chrono>
#include <condition_variable>
#include <mutex>
#endif

namespace gochan::runtime {

#if GOCHAN_LINUX_FUTEX

FutexResult FutexWait(const std::atomic<uint32_t>* word, uint32_t expected,
                      MonotonicNanos deadline) {
  timespec absolute;
  timespec* until = nullptr;
  if (deadline != kNever) {
    absolute.tv_sec = deadline / 1'000'000'000;
    absolute.tv_nsec = deadline % 1'000'000'000;
    until = &absolute;
  }
  // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time.
  const long rc =
      syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
              until, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (rc != 0 && errno == ETIMEDOUT) return FutexResult::kTimedOut;
  return FutexResult::kWoken;
}

void FutexWake(const std::atomic<uint32_t>* word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr,
          nullptr, 0);
}

#else

namespace {

// Sleepers are hashed by address; one that is woken for another word of its
// bucket looks again (a spurious wake-up for its caller).
struct Bucket {
  std::mutex mutex;
  std::condition_variable changed;
};

Bucket& BucketOf(const void* word) {
  static constexpr int kBuckets = 256;
  static Bucket* buckets = new Bucket[kBuckets];
  return buckets[(reinterpret_cast<uintptr_t>(word) >> 6) % kBuckets];
}

}  // namespace

FutexResult FutexWait(const std::atomic<uint32_t>* word, uint32_t expected,
                      MonotonicNanos deadline) {
  Bucket& bucket = BucketOf(word);
  std::unique_lock<std::mutex> lock(bucket.mutex);
  if (word->load(std::memory_order_seq_cst) != expected) {
    return FutexResult::kWoken;
  }
  if (deadline == kNever) {
    bucket.changed.wait(lock);
    return FutexResult::kWoken;
  }
  const std::chrono::nanoseconds left(deadline - MonotonicNow());
  return bucket.changed.wait_for(lock, left) == std::cv_status::timeout &&
                 MonotonicNow() >= deadline
             ? FutexResult::kTimedOut
             : FutexResult::kWoken;
}

void FutexWake(const std::atomic<uint32_t>* word, int) {
  Bucket& bucket = BucketOf(word);
  // The lock orders the caller's store before the waiter's check.
  {
    std::lock_guard<std::mutex> lock(bucket.mutex);
  }
  bucket.changed.notify_all();
}

#endif

}  // namespace gochan::runtime

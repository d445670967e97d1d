// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/background_thread.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gochan::internal {

BackgroundThread::BackgroundThread(const char* name, Kind kind,
                                   std::function<absl::Duration()> work)
    : work_(std::move(work)) {
  // The new thread has the caller's mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, name, kind] { Run(name, kind); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // Who looks for a deadlock from now on knows of it.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return begun_; });
}

BackgroundThread::~BackgroundThread() {
  {
    std::lock_guard lock(mutex_);
    end_ = true;
  }
  changed_.notify_one();
  const SourceLocation site = SourceLocation::current();
  runtime::EnterBlocking(site);
  thread_.join();
  runtime::LeaveBlocking();
}

void BackgroundThread::Run(const char* name, Kind kind) {
#if defined(__linux__)
  prctl(PR_SET_NAME, name);
  const auto tid = static_cast<int32_t>(syscall(SYS_gettid));
  if (kind == kWakesNobody) runtime::SetQuietThread(tid, true);
#else
  (void)name;
  (void)kind;
#endif
  // More than a day says as much as never, and does not overflow the clock.
  constexpr absl::Duration kLongest = absl::Hours(24);
  std::unique_lock lock(mutex_);
  begun_ = true;
  changed_.notify_one();
  while (!end_) {
    lock.unlock();
    const absl::Duration pause =
        std::clamp(work_(), absl::ZeroDuration(), kLongest);
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoNanoseconds(pause),
                      [this] { return end_; });
  }
#if defined(__linux__)
  // The number may be another thread's soon.
  if (kind == kWakesNobody) runtime::SetQuietThread(tid, false);
#endif
}

}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// BackgroundThread: a thread that does something now and then.
//
//   BackgroundThread thread("name", BackgroundThread::kWakesNobody,
//                           [] { Look(); return absl::Seconds(1); });
//
// It is no goroutine, so that it works although every worker is busy, and is
// in no list of goroutines. It takes no signals.

#ifndef GOCHAN_GO_BACKGROUND_THREAD_H_
#define GOCHAN_GO_BACKGROUND_THREAD_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace gochan::internal {

class BackgroundThread {
 public:
  // May its work wake goroutines? One that does not stands in the way of no
  // deadlock.
  enum Kind { kWakesNobody, kMayWake };

  // Calls work() at once and then again after as long as it has said, each
  // time. `name` is for the system's lists; at most 15 characters. Returns when
  // the thread has begun.
  BackgroundThread(const char* name, Kind kind,
                   std::function<absl::Duration()> work);

  // Waits until work() has returned, if it runs; then it runs no more. By a
  // goroutine, too: in Blocking(), so to speak.
  ~BackgroundThread();

  BackgroundThread(const BackgroundThread&) = delete;
  BackgroundThread& operator=(const BackgroundThread&) = delete;

 private:
  void Run(const char* name, Kind kind);

  const std::function<absl::Duration()> work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false;  // guarded by mutex_
  bool end_ = false;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_GO_BACKGROUND_THREAD_H_

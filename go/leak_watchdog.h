// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// LeakWatchdog: looks for leaked goroutines now and then, and tells of each of
// them once.
//
//   int main() {
//     LeakWatchdog watchdog({.interval = absl::Minutes(5)});
//     ...
//   }
//
// with a log of one's own:
//
//   LeakWatchdog watchdog({.callback = [](absl::Span<const GoroutineInfo> l) {
//     LOG(ERROR) << LeakReport(l);
//   }});
//
// While one lives, PrometheusText() has gochan_leaked_goroutines.

#ifndef GOCHAN_GO_LEAK_WATCHDOG_H_
#define GOCHAN_GO_LEAK_WATCHDOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "go/background_thread.h"
#include "go/leak.h"
#include "go/mutex.h"

namespace gochan {

struct LeakWatchdogOptions {
  // Between two looks. Each costs as FindLeaks().
  absl::Duration interval = absl::Minutes(1);
  // Is told, on the watchdog's thread, of leaks that it was not told of before;
  // must not throw. Empty: LeakReport() goes to stderr.
  std::function<void(absl::Span<const GoroutineInfo>)> callback = {};
};

class LeakWatchdog {
 public:
  using Options = LeakWatchdogOptions;

  // Looks at once and then every `interval`, on a thread of its own. (With a
  // callback, which may wake somebody, it keeps a deadlock of the whole program
  // from being seen, as any other thread does; its goroutines are found as
  // leaks then.)
  explicit LeakWatchdog(Options options = {});
  // Waits for the callback to return, if it runs; then it is not called again.
  ~LeakWatchdog();

  LeakWatchdog(const LeakWatchdog&) = delete;
  LeakWatchdog& operator=(const LeakWatchdog&) = delete;

  // A look between two others: tells of new leaks before it returns, on the
  // calling thread. Thread-safe, but not for the callback to call.
  void Check();

 private:
  // For the metrics.
  struct Registration {
    Registration();
    ~Registration();
  };

  const Options options_;
  const Registration registration_;
  Mutex mutex_;                  // held while it looks, not while it tells
  std::vector<uint64_t> known_;  // ids of leaks, ascending; by mutex_
  internal::BackgroundThread thread_;
};

}  // namespace gochan

#endif  // GOCHAN_GO_LEAK_WATCHDOG_H_

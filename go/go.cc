// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/go.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "chan/internal/timer_core.h"
#include "go/inspect.h"
#include "go/leak.h"
#include "runtime/cpu_count.h"
#include "runtime/sanitizers.h"
#include "runtime/timers.h"

namespace gochan {

void Goexit() { runtime::ExitGoroutine(); }
uint64_t GoroutineId() { return runtime::CurrentGoroutineId(); }
int SetMaxProcs(int n) { return runtime::SetMaxProcs(n); }
int NumCpu() { return runtime::NumCpu(); }
int NumGoroutine() { return static_cast<int>(runtime::NumGoroutines()); }

namespace internal {

void GoOfNil() {
  std::fflush(stdout);
  dprintf(STDERR_FILENO, "fatal error: go of nil func value\n");
  runtime::PrintGoroutineHeader(STDERR_FILENO, "running");
  std::abort();
}

namespace {

[[noreturn]] void ReportDeadlock(bool main_exited) {
  std::fflush(stdout);
  const std::string dump = GoroutineDump();
  // Who has exited main and left nobody has no goroutines.
  std::string text = main_exited && dump.empty()
                         ? "fatal error: no goroutines (main called "
                           "runtime.Goexit) - deadlock!\n"
                         : "fatal error: all goroutines are asleep - "
                           "deadlock!\n";
  if (!dump.empty()) text += '\n' + dump;
  WriteToStderr(text);
#if !GOCHAN_TSAN
  // In a program of TSan's the snapshot may hang.
  if (!dump.empty()) {
    const LeakGraph graph = FindLeakGraph();
    if (!graph.holds.empty()) {
      WriteToStderr("\nwho waits for whom:\n" + WaitForGraphText(graph));
    }
  }
#endif
  _exit(2);
}

struct MainCall {
  void (*fn)(void* arg);
  void* arg;
};

}  // namespace

int RunMainErased(void (*fn)(void* arg), void* arg, const int* status,
                  const SourceLocation& site) {
  if (runtime::CurrentGoroutine() != nullptr || runtime::InRunMain()) {
    std::fflush(stdout);
    dprintf(STDERR_FILENO,
            "fatal error: RunMain called while another one runs\n");
    std::abort();
  }
  runtime::SetTimerIsIdle(&internal::TimerCore::IsIdle);
  runtime::SetDeadlockHook(&ReportDeadlock);
  MainCall call{fn, arg};
  runtime::Task& task = runtime::NewTask(nullptr, site);
  task.SetClosureElsewhere(&call, 0);
  task.run = [](runtime::Task& t) {
    const MainCall& main = *static_cast<MainCall*>(t.closure);
    if (runtime::RunGuarded(main.fn, main.arg) == runtime::Ended::kReturned) {
      runtime::MainHasEnded();
    } else {
      runtime::MainHasExited();
    }
  };
  runtime::RunMainTask(task, status);
  return *status;
}

}  // namespace internal
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/snapshot.h"

#if defined(__linux__)
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#endif

#include "absl/time/time.h"
#include "runtime/clock.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"

namespace gochan::runtime {

#if defined(__linux__)

namespace {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// As fork(2), but what is registered with pthread_atfork() does not run, for
// nothing of the program does in there; and nobody is told of the child's end.
pid_t Fork() {
  return static_cast<pid_t>(
      syscall(SYS_clone, CLONE_FILES | CLONE_FS, 0, 0, 0, 0));
}

// True: the child has ended by itself, with status 0.
bool Await(pid_t child, MonotonicNanos deadline) {
  constexpr int kFirstNap = 20;  // microseconds
  constexpr int kLastNap = 1000;
  int status = 0;
  for (int nap = kFirstNap;;) {
    const pid_t ended = waitpid(child, &status, __WALL | WNOHANG);
    if (ended == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended < 0 && errno != EINTR) return false;
    if (MonotonicNow() > deadline) break;
    const timespec time = {0, nap * 1000};
    nanosleep(&time, nullptr);
    nap = nap * 2 > kLastNap ? kLastNap : nap * 2;
  }
  kill(child, SIGKILL);
  while (waitpid(child, &status, __WALL) < 0 && errno == EINTR) {
  }
  return false;
}

}  // namespace

bool RunInSnapshot(void (*fn)(void* arg), void* arg, absl::Duration limit) {
  const MonotonicNanos deadline = MonotonicAfter(limit);
  pid_t child;
  {
    const SignalsBlocked blocked;
    const pid_t self = getpid();
    child = Fork();
    if (child == 0) {
      prctl(PR_SET_NAME, "gochan-snapshot");
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == self) fn(arg);
      syscall(SYS_exit_group, getppid() == self ? 0 : 1);
      __builtin_trap();
    }
  }
  if (child < 0) return false;
  EnterBlocking(SourceLocation::current());
  const bool done = Await(child, deadline);
  LeaveBlocking();
  return done;
}

#else

bool RunInSnapshot(void (*)(void*), void*, absl::Duration) { return false; }

#endif

}  // namespace gochan::runtime

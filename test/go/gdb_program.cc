// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What gdb_test.sh looks at: a program that ends by abort() when its goroutines
// wait for this and that. With an argument it returns whether there is anything
// to be seen: 0, or 77.

#include <cstdlib>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/sync.h"
#include "go/time.h"
#include "runtime/sanitizers.h"
#include "runtime/unwind.h"

namespace {

// What follows a call, so that it is none at the end of its function, which
// leaves no frame.
[[gnu::always_inline]] inline void Return() { __asm__ __volatile__(""); }

[[gnu::noinline]] void Inner(const gochan::Chan<int>& ch) {
  ch.Recv();
  Return();
}
[[gnu::noinline]] void Middle(const gochan::Chan<int>& ch) {
  Inner(ch);
  Return();
}
[[gnu::noinline]] void Outer(const gochan::Chan<int>& ch) {
  Middle(ch);
  Return();
}

int Waiting() {
  int n = 0;
  for (const gochan::GoroutineInfo& info : gochan::Goroutines()) {
    if (info.state == "waiting") ++n;
  }
  return n;
}

}  // namespace

int main(int argc, char**) {
  // The shadow of a sanitizer is too much for a core.
  const bool fit = GOCHAN_UNWIND != 0 && GOCHAN_ASAN == 0 && GOCHAN_TSAN == 0;
  if (argc > 1) return fit ? 0 : 77;
  return gochan::RunMain([] {
    auto never = gochan::MakeChan<int>();
    gochan::Mutex mutex;
    mutex.lock();
    gochan::Go(gochan::GoOptions{.name = "deep one"},
               [never] { Outer(never); });
    gochan::Go([] { gochan::Sleep(absl::Hours(1)); });
    gochan::Go([&mutex] { mutex.lock(); });
    while (Waiting() != 3) gochan::Yield();
    std::abort();
  });
}

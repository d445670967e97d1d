// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "gochan.h"

// Nothing else of ours: that one is enough is what is tested.
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace gochan {
namespace {

TEST(GochanTest, OneIncludeHasAllOfTheApi) {
  // chan/, select/, ctx/
  const Chan<int> ch = MakeChan<int>(1);
  EXPECT_EQ(Select(SendCase(ch, 7), DefaultCase()), 0u);
  auto [ctx, cancel] = WithTimeout(Background(), absl::Hours(1));
  EXPECT_EQ(RecvOr(ctx, ch)->value, 7);
  // go/go.h, go/sync.h, go/time.h, go/scope.h, go/labels.h
  WaitGroup group;
  group.Go([] { Sleep(absl::Nanoseconds(1)); });
  group.Wait();
  Mutex mutex;
  Cond cond(mutex);
  cond.Signal();
  RWMutex rw_mutex;
  EXPECT_TRUE(rw_mutex.try_lock_shared());
  rw_mutex.unlock_shared();
  Once once;
  Semaphore semaphore(1);
  once.Do([&] { EXPECT_TRUE(semaphore.TryAcquire()); });
  ErrGroup errors;
  EXPECT_TRUE(errors.Wait().ok());
  Scope scope;
  EXPECT_TRUE(scope.Wait().ok());
  Timer timer(absl::Hours(1));
  EXPECT_TRUE(timer.Stop());
  Ticker ticker(absl::Hours(1));
  ticker.Stop();
  EXPECT_EQ(After(absl::ZeroDuration()).Recv().ok, true);
  EXPECT_LT(Now(), absl::InfiniteFuture());
  // go/signal.h
  ResetSignals({});
  // go/inspect.h, go/leak.h, go/stats.h, go/profile.h, go/debug.h
  EXPECT_GE(Goroutines().size() + 1, 1u);
  EXPECT_NE(&FindLeaks, nullptr);
  const LeakCheck check;
  EXPECT_GE(Stats().live, 0);
  EXPECT_FALSE(PrometheusText().empty());
  EXPECT_FALSE(GoroutineProfilePprof().empty());
  cancel();
}

}  // namespace
}  // namespace gochan

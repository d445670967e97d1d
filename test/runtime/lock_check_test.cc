// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/lock_check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "gmock/gmock.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/child.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::RunChild;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

int Occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

constexpr char kReport[] = "which belongs to the thread\n";

// Receives what another goroutine sends once this one sleeps: there is one
// worker, so that runs while this one waits.
int WaitForOther(const Chan<int>& ch) {
  Go([ch] { ch.Send(1); });
  return ch.Recv().value;
}

// -----------------------------------------------------------------------------
// What is reported
// -----------------------------------------------------------------------------

class LockCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!runtime::LockCheckIsBuilt()) GTEST_SKIP() << "not a debug build";
  }
};

constexpr int kRecvLine = __LINE__ + 8;
SCENARIO(Recv) {
  return RunMain([] {
    std::mutex mutex;
    const auto ch = MakeChan<int>();
    for (int i = 0; i < 3; ++i) {
      std::lock_guard lock(mutex);
      Go([ch] { ch.Send(1); });
      ch.Recv();
    }
  });
}
TEST_F(LockCheckTest, ReceiveWithMutexIsReportedOncePerPlace) {
  const ChildResult child = RunChild("Recv", 1);
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 1) << child;
  EXPECT_THAT(child.err,
              ContainsRegex("gochan: goroutine 1 blocks at .*lock_check_test"
                            "\\.cc:" +
                            std::to_string(kRecvLine) +
                            " while it holds a mutex \\(0x[0-9a-f]+\\), "));
}

SCENARIO(Abort) {
  setenv("GOCHAN_LOCK_CHECK", "abort", 1);
  return RunMain([] {
    std::mutex mutex;
    std::lock_guard lock(mutex);
    WaitForOther(MakeChan<int>());
  });
}
TEST_F(LockCheckTest, AbortsIfTold) {
  const ChildResult child = RunChild("Abort", 1);
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 1) << child;
}

SCENARIO(AllWays) {
  return RunMain([] {
    std::mutex mutex;
    {
      std::unique_lock lock(mutex, std::try_to_lock);
      const auto ch = MakeChan<int>();
      Go([ch] { ch.Recv(); });
      ch.Send(1);
    }
    {
      std::lock_guard lock(mutex);
      const auto ch = MakeChan<int>();
      Go([ch] { ch.Send(1); });
      Select(RecvCase(ch, [](int) {}), RecvCase(MakeChan<int>(), [](int) {}));
    }
    {
      std::lock_guard lock(mutex);
      Sleep(absl::Milliseconds(1));
    }
    {
      std::lock_guard lock(mutex);
      Mutex ours;
      ours.lock();
      Go([&ours] { ours.unlock(); });
      ours.lock();
      ours.unlock();
    }
    {
      std::recursive_mutex recursive;
      std::lock_guard outer(recursive);
      {
        std::lock_guard inner(recursive);
      }
      WaitGroup group;
      group.Add(1);
      Go([&group] { group.Done(); });
      group.Wait();
    }
  });
}
TEST_F(LockCheckTest, EveryWayToBlockIsSeen) {
  const ChildResult child = RunChild("AllWays", 1);
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 5) << child;
  EXPECT_EQ(Occurrences(child.err, " blocks at "), 5) << child;
}

SCENARIO(Yielding) {
  return RunMain([] {
    std::mutex mutex;
    std::lock_guard lock(mutex);
    Yield();
  });
}
TEST_F(LockCheckTest, YieldIsSeen) {
  const ChildResult child = RunChild("Yielding", 1);
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 1) << child;
  EXPECT_THAT(child.err, HasSubstr("goroutine 1 yields, started at "));
}

// One worker: all goroutines run on one thread, which owns the mutex to its
// end.
SCENARIO(Ending) {
  return RunMain([] {
    static std::mutex mutex;
    const auto ch = MakeChan<int>();
    Go([ch] {
      mutex.lock();
      ch.Send(1);  // to somebody who waits: does not block
    });
    ch.Recv();
    Sleep(absl::Milliseconds(1));
    WaitForOther(ch);
  });
}
TEST_F(LockCheckTest, WhoEndsWithMutexIsBlamedAndNobodyElse) {
  const ChildResult child = RunChild("Ending", 1);
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 1) << child;
  EXPECT_THAT(child.err, HasSubstr(" ends, started at "));
}

// The second goroutine blocks while the thread still owns the first one's.
SCENARIO(Innocent) {
  return RunMain([] {
    std::mutex mutex;
    const auto ch = MakeChan<int>();
    Go([ch] {
      Sleep(absl::Milliseconds(1));
      ch.Send(1);
    });
    std::lock_guard lock(mutex);
    ch.Recv();
  });
}
TEST_F(LockCheckTest, WhoRunsNextIsNotBlamed) {
  const ChildResult child = RunChild("Innocent", 1);
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(Occurrences(child.err, kReport), 1) << child;
  EXPECT_THAT(child.err, HasSubstr("goroutine 1 blocks at "));
}

// -----------------------------------------------------------------------------
// What is not
// -----------------------------------------------------------------------------

class LockCheckSilentTest : public ::testing::TestWithParam<int> {
 protected:
  // TSan has a check of its own, which some of these programs do not pass.
  void SetUp() override {
    if (GOCHAN_TSAN) GTEST_SKIP() << "TSan brings these functions itself";
  }
  static void ExpectSilent(const char* scenario) {
    const ChildResult child = RunChild(scenario, GetParam());
    EXPECT_EQ(child.status, 0) << child;
    EXPECT_THAT(child.err, Not(HasSubstr("gochan:"))) << child;
  }
};
INSTANTIATE_TEST_SUITE_P(Workers, LockCheckSilentTest,
                         ::testing::Values(1, 2, 4));

SCENARIO(Released) {
  return RunMain([] {
    std::mutex mutex;
    std::recursive_mutex recursive;
    const auto ch = MakeChan<int>();
    for (int i = 0; i < 100; ++i) {
      mutex.lock();
      recursive.lock();
      recursive.lock();
      mutex.unlock();  // not the newest
      recursive.unlock();
      recursive.unlock();
      WaitForOther(ch);
      Yield();
    }
  });
}
TEST_P(LockCheckSilentTest, MutexThatWasReleased) { ExpectSilent("Released"); }

SCENARIO(TimedRelease) {
  return RunMain([] {
    std::timed_mutex mutex;
    if (!mutex.try_lock_for(std::chrono::seconds(60))) return 1;
    mutex.unlock();
    WaitForOther(MakeChan<int>());
    return 0;
  });
}
TEST_P(LockCheckSilentTest, MutexThatWasLockedWithLimit) {
  ExpectSilent("TimedRelease");
}

SCENARIO(OwnMutex) {
  return RunMain([] {
    Mutex ours;
    RWMutex shared;
    ours.lock();
    shared.lock();
    WaitForOther(MakeChan<int>());
    Yield();
    shared.unlock();
    ours.unlock();
  });
}
TEST_P(LockCheckSilentTest, MutexOfGoroutine) { ExpectSilent("OwnMutex"); }

SCENARIO(Condition) {
  return RunMain([] {
    std::mutex mutex;
    std::condition_variable condition;
    bool ready = false;
    std::thread thread;
    {
      std::unique_lock lock(mutex);
      thread = std::thread([&mutex, &condition, &ready] {
        std::lock_guard lock(mutex);
        ready = true;
        condition.notify_one();
      });
      condition.wait(lock, [&ready] { return ready; });
    }
    WaitForOther(MakeChan<int>());
    thread.join();
  });
}
TEST_P(LockCheckSilentTest, ConditionVariableLeavesCountAsItIs) {
  ExpectSilent("Condition");
}

// Nothing that C++ allows, but programs do it with a plain mutex.
SCENARIO(ByOther) {
  return RunMain([] {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    std::thread([] { pthread_mutex_unlock(&mutex); }).join();
    WaitForOther(MakeChan<int>());
  });
}
TEST_P(LockCheckSilentTest, MutexThatAnotherThreadHasUnlocked) {
  ExpectSilent("ByOther");
}

// Its memory is gone, and nobody has told us that it was unlocked.
SCENARIO(Gone) {
  return RunMain([] {
    constexpr std::size_t kPages = std::size_t{1} << 16;
    void* const memory = mmap(nullptr, kPages, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    auto* const mutex = static_cast<pthread_mutex_t*>(memory);
    pthread_mutex_init(mutex, nullptr);
    pthread_mutex_lock(mutex);
    munmap(memory, kPages);
    WaitForOther(MakeChan<int>());
  });
}
TEST_P(LockCheckSilentTest, MutexWithoutMemory) { ExpectSilent("Gone"); }

SCENARIO(Thread) {
  std::mutex mutex;
  std::lock_guard lock(mutex);
  return WaitForOther(MakeChan<int>()) == 1 ? 0 : 1;
}
TEST_P(LockCheckSilentTest, ThreadMayBlockWithMutex) { ExpectSilent("Thread"); }

// In Blocking() a goroutine has the thread for itself.
SCENARIO(InBlocking) {
  return RunMain([] {
    std::mutex mutex;
    const auto ch = MakeChan<int>();
    Go([ch] { ch.Send(1); });
    Blocking([&mutex, ch] {
      std::lock_guard lock(mutex);
      ch.Recv();
    });
    WaitForOther(ch);
  });
}
TEST_P(LockCheckSilentTest, MutexWithinBlocking) { ExpectSilent("InBlocking"); }

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// go/go.h: Go() with all that can be given to it, Blocking(), Goexit(),
// RunMain() and what is left after it.

#include "go/go.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/mutex.h"
#include "go/semaphore.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "runtime/sanitizers.h"
#include "runtime/timers.h"
#include "select/select.h"
#include "test/util/asleep.h"
#include "test/util/child.h"
#include "test/util/panics.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::Parties;
using test::PartyKind;
using test::Patience;
using test::RunChild;
using test::Scaled;

using GoTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(GoTest);

// With one worker.
class OneWorker : public ::testing::Test {
 protected:
  void SetUp() override { before_ = SetMaxProcs(1); }
  void TearDown() override { SetMaxProcs(before_); }

 private:
  int before_ = 0;
};
using BlockingTest = OneWorker;

void WaitFor(const std::atomic<bool>& flag) {
  Patience patience;
  while (!flag) patience.Wait("the flag was not set");
}

// -----------------------------------------------------------------------------
// What can be started
// -----------------------------------------------------------------------------

int AddTo(std::atomic<int>& sum, int a, int b) { return sum += a + b; }

TEST_P(GoTest, FunctionsAndArguments) {
  std::atomic<int> sum{0};
  struct Adder {
    std::atomic<int>* sum;
    void Add(int n) { *sum += n; }
  } adder{&sum};
  Go(AddTo, std::ref(sum), 1, 2);
  Go(&AddTo, std::ref(sum), 10, 20);
  Go(&Adder::Add, &adder, 100);
  Go(std::function<void(int)>([&sum](int n) { sum += n; }), 1000);
  Go([&sum](int a, int b, int c, int d, int e,
            int f) { sum += a + b + c + d + e + f; },
     1, 2, 3, 4, 5, 9985);
  Patience patience;
  while (sum != 11133) patience.Wait([&] { return std::to_string(sum); });
}

TEST_P(GoTest, ArgumentsAreCopiedBeforeGoReturns) {
  std::string text = "as it was when Go() was called";
  auto heard = MakeChan<std::string>();
  Go([heard](const std::string& t) { heard.Send(t); }, text);
  text = "changed";
  EXPECT_EQ(heard.Recv().value, "as it was when Go() was called");
}

TEST_P(GoTest, MoveOnlyFunctionAndArguments) {
  auto heard = MakeChan<int>(2);
  Go([heard, p = std::make_unique<int>(1)] { heard.Send(*p); });
  EXPECT_EQ(heard.Recv().value, 1);
  Go([heard](std::unique_ptr<int> p) { heard.Send(*p); },
     std::make_unique<int>(2));
  EXPECT_EQ(heard.Recv().value, 2);
}

// Too large for the task, and aligned more strictly than it.
TEST_P(GoTest, LargeAndOverAlignedClosures) {
  auto heard = MakeChan<int>(1);
  std::array<int, 1000> numbers{};
  numbers.back() = 3;
  Go([heard, numbers] { heard.Send(numbers.back()); });
  EXPECT_EQ(heard.Recv().value, 3);
  struct alignas(128) Aligned {
    int value = 4;
  };
  Go([heard, aligned = Aligned{}] {
    const bool right = reinterpret_cast<uintptr_t>(&aligned) % 128 == 0;
    heard.Send(right ? aligned.value : -1);
  });
  EXPECT_EQ(heard.Recv().value, 4);
}

// The closure is destroyed once, and before the goroutine counts as ended.
TEST_P(GoTest, ClosuresAreDestroyedOnce) {
  struct Tracked {
    explicit Tracked(std::atomic<int>* n) : alive(n) { ++*alive; }
    Tracked(const Tracked& other) : alive(other.alive) { ++*alive; }
    ~Tracked() { --*alive; }
    std::atomic<int>* alive;
    char padding[200] = {};
  };
  std::atomic<int> alive{0};
  const int before = NumGoroutine();
  for (int i = 0; i < 100; ++i) {
    Go([t = Tracked(&alive)] { Yield(); });
    Go([](const Tracked&) {}, Tracked(&alive));
  }
  Patience patience;
  while (NumGoroutine() != before) patience.Wait("goroutines are left");
  EXPECT_EQ(alive, 0);
}

#if GOCHAN_TEST_EXCEPTIONS
TEST_P(GoTest, NothingIsStartedIfACopyThrows) {
  struct Thrower {
    Thrower() = default;
    Thrower(const Thrower&) { throw std::runtime_error("no copy"); }
    void operator()() const { std::abort(); }
  };
  const int before = NumGoroutine();
  const Thrower thrower;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_THROW(Go(thrower), std::runtime_error);
    EXPECT_THROW(Go([](const Thrower&) { std::abort(); }, thrower),
                 std::runtime_error);
    EXPECT_THROW(Go(GoOptions{.name = "never"}, thrower), std::runtime_error);
  }
  EXPECT_EQ(NumGoroutine(), before);
  // The tasks are as good as new.
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(100, [](int) { Yield(); });
  parties.Join();
}
#endif

// -----------------------------------------------------------------------------
// Who am I
// -----------------------------------------------------------------------------

TEST_P(GoTest, IdsAreNeverUsedTwice) {
  EXPECT_EQ(GoroutineId(), 0u);
  std::mutex mutex;
  std::set<uint64_t> ids;
  const int64_t n = Scaled(4'000);
  Parties parties(PartyKind::kGoroutines);
  for (int64_t i = 0; i < n; ++i) {
    parties.Go([&] {
      const uint64_t id = GoroutineId();
      Yield();
      EXPECT_EQ(GoroutineId(), id);
      EXPECT_EQ(Blocking([] { return GoroutineId(); }), id);
      std::lock_guard lock(mutex);
      EXPECT_TRUE(ids.insert(id).second) << id;
    });
  }
  parties.Join();
  EXPECT_EQ(ids.count(0), 0u);
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(n));
}

TEST_P(GoTest, NumGoroutineIsExactAtRest) {
  const int before = NumGoroutine();
  auto gate = MakeChan<Unit>();
  for (int i = 1; i <= 100; ++i) {
    Go([gate] { gate.Recv(); });
    EXPECT_EQ(NumGoroutine(), before + i);
  }
  test::WaitUntilParked(gate, 100);
  EXPECT_EQ(NumGoroutine(), before + 100);
  gate.Close();
  Patience patience;
  while (NumGoroutine() != before) patience.Wait("goroutines are left");
}

// -----------------------------------------------------------------------------
// Stacks
// -----------------------------------------------------------------------------

[[gnu::noinline]] int UseStack(std::size_t bytes) {
  volatile char frame[1024];
  for (volatile char& c : frame) c = 1;
  if (bytes <= sizeof(frame) + 128) return frame[0] != 0 ? 1 : 0;
  return UseStack(bytes - sizeof(frame) - 128) + (frame[0] != 0 ? 1 : 0);
}

TEST_P(GoTest, StacksOfAllSizes) {
  // Sanitizers make frames larger.
  constexpr std::size_t kShare = test::kSanitized ? 8 : 2;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{16} << 10, std::size_t{0},
        std::size_t{1} << 20, std::size_t{8} << 20}) {
    const std::size_t usable = size == 0 ? 256 << 10 : size;
    std::atomic<int> ended{0};
    for (int i = 0; i < 8; ++i) {
      Go(GoOptions{.name = "deep", .stack_size = size}, [&ended, usable] {
        // What switching itself needs is left.
        if (usable >= 32 << 10) UseStack(usable / kShare);
        Yield();
        if (usable >= 32 << 10) UseStack(usable / kShare);
        ++ended;
      });
    }
    Patience patience;
    while (ended != 8) patience.Wait("a goroutine did not end");
  }
}

std::size_t ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  long total = 0, resident = 0;
  if (file != nullptr) {
    if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<std::size_t>(resident) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// A wave of deeply used stacks does not stay in memory.
TEST_P(GoTest, DeepStacksGiveTheirMemoryBack) {
  if (test::kSanitized) GTEST_SKIP() << "sanitizers keep memory";
  constexpr int kWave = 500;
  const auto wave = [] {
    auto gate = MakeChan<Unit>();
    Parties parties(PartyKind::kGoroutines);
    parties.GoEach(kWave, [gate](int) {
      UseStack(100 << 10);
      gate.Recv();
    });
    test::WaitUntilParked(gate, kWave);
    gate.Close();
    parties.Join();
  };
  wave();
  const std::size_t before = ResidentBytes();
  for (int i = 0; i < 4; ++i) wave();
  EXPECT_LT(ResidentBytes(), before + (kWave * 100 << 10) / 2);
}

// -----------------------------------------------------------------------------
// Blocking()
// -----------------------------------------------------------------------------

TEST_F(BlockingTest, OthersRunMeanwhile) {
  std::atomic<bool> ran{false};
  Parties parties(PartyKind::kGoroutines);
  parties.Go([&] {
    Blocking([&] {
      while (!ran) std::this_thread::yield();
    });
  });
  parties.Go([&] { ran = true; });
  parties.Join();
}

TEST_F(BlockingTest, ReturnsWhatTheFunctionReturns) {
  Parties parties(PartyKind::kGoroutines);
  parties.Go([] {
    EXPECT_EQ(Blocking([] { return 42; }), 42);
    auto p = Blocking([] { return std::make_unique<int>(7); });
    EXPECT_EQ(*p, 7);
    Blocking([] {});
  });
  parties.Join();
  EXPECT_EQ(Blocking([] { return 1; }), 1);  // on a plain thread
}

// What it waits for in there blocks its thread: the goroutine had no worker.
TEST_F(BlockingTest, ChannelsSelectAndLocksInside) {
  auto ch = MakeChan<int>(), other = MakeChan<int>();
  Mutex mutex;
  std::atomic<bool> locked{false};
  Parties parties(PartyKind::kGoroutines);
  parties.Go([&] {
    const int first = Blocking([&] {
      const int v = ch.Recv().value;
      ch.Send(v + 1);
      int w = 0;
      EXPECT_EQ(Select(RecvCase(other), RecvCase(ch, &w)), 1u);
      Yield();
      std::lock_guard lock(mutex);
      EXPECT_TRUE(locked);
      return v + w;
    });
    EXPECT_EQ(first, 40);
    ch.Send(first);  // as a goroutine again
  });
  parties.Go([&] {
    ch.Send(10);
    EXPECT_EQ(ch.Recv().value, 11);
    mutex.lock();
    ch.Send(30);
    test::WaitUntilAsleep(mutex, 1);
    locked = true;
    mutex.unlock();
    EXPECT_EQ(ch.Recv().value, 40);
  });
  parties.Join();
}

TEST_F(BlockingTest, GoroutinesStartedInsideRun) {
  Parties parties(PartyKind::kGoroutines);
  parties.Go([] {
    Blocking([] {
      auto ch = MakeChan<int>();
      Go([ch] { ch.Send(5); });
      EXPECT_EQ(ch.Recv().value, 5);
      Sleep(absl::Milliseconds(1));
    });
  });
  parties.Join();
}

// The worker came back at the end of the inner one.
TEST_F(BlockingTest, BlockingInsideOfBlocking) {
  std::atomic<bool> ran{false};
  Parties parties(PartyKind::kGoroutines);
  parties.Go([&] {
    Blocking([&] {
      EXPECT_EQ(Blocking([] { return 1; }), 1);
      Go([&ran] { ran = true; });
      while (!ran) std::this_thread::yield();
    });
    auto ch = MakeChan<int>(1);
    ch.Send(1);
    EXPECT_EQ(ch.Recv().value, 1);
    Yield();
  });
  parties.Join();
}

// Expected to be brief, for it was so every time, it lasts until somebody else
// has run.
TEST_F(BlockingTest, ABriefCallThatLasts) {
  Parties parties(PartyKind::kGoroutines);
  parties.Go([] {
    for (int round = 0; round < 3; ++round) {
      std::atomic<bool> ran{false};
      for (int i = 200; i >= 0; --i) {
        if (i == 0) Go([&ran] { ran = true; });
        Blocking([&] {
          while (i == 0 && !ran) std::this_thread::yield();
        });
      }
      while (!ran) Yield();
    }
  });
  parties.Join();
}

// Who makes brief calls all the time takes turns with others.
TEST_F(BlockingTest, BriefCallsKeepNobodyOut) {
  std::atomic<bool> ran{false};
  Parties parties(PartyKind::kGoroutines);
  parties.Go([&] {
    Go([&ran] { ran = true; });
    while (!ran) Blocking([] {});
  });
  parties.Join();
}

// Nobody is idle and looks after timers: the guard does.
TEST_F(BlockingTest, TimersGoOffWhileAllCompute) {
  Parties parties(PartyKind::kGoroutines);
  parties.Go([] {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
    while (ctx.Err().ok()) {
    }
    EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Err()));
    // The same for a thread that waits.
    std::tie(ctx, cancel) = WithTimeout(Background(), absl::Milliseconds(1));
    std::atomic<bool> seen{false};
    std::thread thread([&, ctx = ctx] {
      ctx.Done().Recv();
      seen = true;
    });
    while (!seen) {
    }
    thread.join();
  });
  parties.Join();
}

TEST_P(GoTest, ManyInBlockingAtOnce) {
  constexpr int kMany = 40;
  std::atomic<int> inside{0};
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(kMany, [&](int) {
    Blocking([&] {
      ++inside;
      while (inside < kMany) std::this_thread::yield();
    });
  });
  parties.Join();
}

// More calls at once than there may be threads: they wait for each other's, and
// the goroutine that ends them still runs.
TEST_F(BlockingTest, ThreadsAreCapped) {
  constexpr int kMany = 32;
  const int limit = runtime::GetSchedulerStats().threads + 2;
  runtime::SetMaxThreadsForTest(limit);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  auto done = MakeChan<char>();
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(kMany, [&](int) {
    char byte = 0;
    EXPECT_EQ(Blocking([&] { return read(ends[0], &byte, 1); }), 1);
    done.Send(byte);
  });
  parties.Go([&] {
    for (int i = 0; i < kMany; ++i) {
      EXPECT_EQ(write(ends[1], "x", 1), 1);
      EXPECT_EQ(done.Recv().value, 'x');
    }
  });
  parties.Join();
  // Each of the workers may need one more to go on.
  EXPECT_LE(runtime::GetSchedulerStats().threads, limit + 1);
  runtime::SetMaxThreadsForTest(0);
  close(ends[0]);
  close(ends[1]);
}

// In and out all the time, with others that switch.
TEST_P(GoTest, BlockingAmongOthers) {
  const int64_t rounds = Scaled(1'000);
  auto ch = MakeChan<int64_t>();
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(4, [&](int) {
    for (int64_t i = 0; i < rounds; ++i) {
      ch.Send(Blocking([i] { return i; }));
    }
  });
  parties.GoEach(4, [&](int) {
    for (int64_t i = 0; i < rounds; ++i) {
      ch.Recv();
      if (i % 16 == 0) test::PauseFor(std::chrono::microseconds(1));
    }
  });
  parties.Join();
}

#if GOCHAN_TEST_EXCEPTIONS
TEST_P(GoTest, ExceptionsLeaveBlocking) {
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(8, [](int i) {
    for (int k = 0; k < 50; ++k) {
      try {
        Blocking([&] {
          if (k % 2 == 0) std::this_thread::yield();
          throw std::runtime_error(std::to_string(i));
        });
        ADD_FAILURE() << "it did not throw";
      } catch (const std::runtime_error& e) {
        Yield();  // with the exception in hand
        EXPECT_EQ(e.what(), std::to_string(i));
      }
    }
  });
  parties.Join();
}

// A destructor during unwinding blocks, and the goroutine goes on elsewhere.
TEST_P(GoTest, BlockingWhileUnwinding) {
  struct Blocker {
    ~Blocker() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      Blocking([] { std::this_thread::yield(); });
      Yield();
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      try {
        Blocking([] { throw 1; });
      } catch (int) {
        EXPECT_EQ(std::uncaught_exceptions(), 1);
        Yield();
      }
    }
  };
  Parties parties(PartyKind::kGoroutines);
  parties.GoEach(8, [](int i) {
    for (int k = 0; k < 20; ++k) {
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      try {
        Blocker blocker;
        throw i;
      } catch (int caught) {
        EXPECT_EQ(caught, i);
      }
    }
  });
  parties.Join();
}

// -----------------------------------------------------------------------------
// Goexit()
// -----------------------------------------------------------------------------

struct AtEnd {
  std::atomic<int>* count;
  ~AtEnd() {
    Yield();  // deferred functions may block
    ++*count;
  }
};

[[gnu::noinline]] void ExitDeep(std::atomic<int>* count, int depth) {
  AtEnd at_end{count};
  if (depth > 0) ExitDeep(count, depth - 1);
  if (depth == 0) Goexit();
}

TEST_P(GoTest, GoexitRunsDestructors) {
  std::atomic<int> count{0};
  std::atomic<bool> after{false};
  const int before = NumGoroutine();
  for (int i = 0; i < 50; ++i) {
    Go([&] {
      AtEnd at_end{&count};
      try {
        ExitDeep(&count, 9);
      } catch (const std::exception&) {
        after = true;  // it is no std::exception
      } catch (...) {
        ++count;
        throw;
      }
      after = true;
    });
  }
  Patience patience;
  while (NumGoroutine() != before) patience.Wait("goroutines are left");
  EXPECT_EQ(count, 50 * 12);
  EXPECT_FALSE(after);
}

TEST_P(GoTest, GoexitOutOfBlocking) {
  std::atomic<int> count{0};
  const int before = NumGoroutine();
  for (int i = 0; i < 10; ++i) {
    Go([&] {
      AtEnd at_end{&count};
      Blocking([] { Goexit(); });
      count += 1000;
    });
  }
  Patience patience;
  while (NumGoroutine() != before) patience.Wait("goroutines are left");
  EXPECT_EQ(count, 10);
}
#endif

// -----------------------------------------------------------------------------
// RunMain()
// -----------------------------------------------------------------------------

TEST_P(GoTest, RunMainReturnsWhatMainReturns) {
  EXPECT_EQ(RunMain([] { return 7; }), 7);
  EXPECT_EQ(RunMain([] {}), 0);
  EXPECT_EQ(RunMain([]() -> short { return 3; }), 3);
  EXPECT_EQ(RunMain([] { return static_cast<int>(GoroutineId()); }), 1);
  auto ch = MakeChan<int>();
  EXPECT_EQ(RunMain([ch] {
              Go([ch] { ch.Send(9); });
              return ch.Recv().value;
            }),
            9);
}

// Who is left alive when main returns never runs again, not even when the next
// one runs.
TEST_P(GoTest, WhoIsLeftNeverRunsAgain) {
  std::atomic<bool> over{false};
  std::atomic<int> late{0};
  const int before = NumGoroutine();
  for (int round = 0; round < 5; ++round) {
    over = false;
    auto ch = MakeChan<int>();
    RunMain([&, ch] {
      for (int i = 0; i < 4; ++i) {
        Go([&] {
          for (;;) {
            Yield();
            if (over) ++late;
          }
        });
        Go([&, ch] {
          ch.Recv();
          ++late;
        });
      }
      test::WaitUntilParked(ch, 4);
    });
    over = true;
    EXPECT_EQ(NumGoroutine(), before);
    ch.Close();
    std::atomic<bool> ran{false};
    Go([&ran] { ran = true; });
    WaitFor(ran);
  }
  EXPECT_EQ(late, 0);
}

// The value went to a goroutine that was not there any more.
TEST_P(GoTest, NothingIsGivenToThoseWhoAreLeft) {
  auto plain = MakeChan<int>(), full = MakeChan<int>(1),
       chosen = MakeChan<int>();
  auto sent = MakeChan<int>(), queue = MakeChan<int>(), wide = MakeChan<int>(2);
  auto alone = MakeChan<int>(), alone_sent = MakeChan<int>();
  RunMain([&] {
    Go([&] { alone.Recv(); });
    Go([&] { alone_sent.Send(1); });
    for (int i = 0; i < 3; ++i) {
      Go([&] { plain.Recv(); });
      Go([&] { sent.Send(1); });
      Go([&] { wide.Recv(); });
    }
    full.Send(1);
    for (int i = 0; i < 3; ++i) {
      Go([&] { full.Send(2); });
      Go([&] { Select(RecvCase(chosen), RecvCase(MakeChan<int>())); });
    }
    Go([&] { queue.Recv(); });
    Go([&] { Select(RecvCase(queue)); });
    Go([&] { queue.Recv(); });
    test::WaitUntilParked(alone, 1);
    test::WaitUntilParked(alone_sent, 1);
    test::WaitUntilParked(plain, 3);
    test::WaitUntilParked(sent, 3);
    test::WaitUntilParked(wide, 3);
    test::WaitUntilParked(full, 3);
    test::WaitUntilParked(chosen, 3);
    test::WaitUntilParked(queue, 3);
  });
  EXPECT_FALSE(plain.TrySend(1));
  EXPECT_FALSE(chosen.TrySend(1));
  EXPECT_FALSE(sent.TryRecv().has_value());
  EXPECT_EQ(full.Recv().value, 1);
  EXPECT_EQ(full.Len(), 0u);
  EXPECT_FALSE(full.TryRecv().has_value());
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(wide.TrySend(i));
  EXPECT_FALSE(wide.TrySend(2));
  EXPECT_EQ(wide.Recv().value, 0);
  // One who is there stands behind them, and is served.
  Parties parties(PartyKind::kThreads);
  parties.Go([&] { EXPECT_EQ(queue.Recv().value, 5); });
  queue.Send(5);
  EXPECT_FALSE(queue.TrySend(6));
  parties.Go([&] { sent.Send(6); });
  EXPECT_EQ(sent.Recv().value, 6);
  // Those who block take another way in than those who try.
  parties.Go([&] { alone.Send(7); });
  EXPECT_EQ(alone.Recv().value, 7);
  parties.Go([&] { alone_sent.Send(8); });
  EXPECT_EQ(alone_sent.Recv().value, 8);
  parties.Join();
  for (auto& ch : {plain, sent, wide, full, chosen, queue}) ch.Close();
}

// The lock was given to a goroutine that was not there any more.
TEST_P(GoTest, LocksAreNotGivenToThoseWhoAreLeft) {
  Mutex mutex;
  mutex.lock();
  RunMain([&] {
    for (int i = 0; i < 3; ++i) {
      Go([&] {
        mutex.lock();
        ADD_FAILURE() << "it ran again";
      });
    }
    test::WaitUntilAsleep(mutex, 3);
  });
  Parties parties(PartyKind::kThreads);
  parties.GoEach(2, [&](int) { std::lock_guard lock(mutex); });
  test::WaitUntilAsleep(mutex, 2);
  mutex.unlock();
  parties.Join();
}

// Weight was given to a goroutine that was not there any more, and others stood
// behind it for ever.
TEST_P(GoTest, SemaphoresDoNotServeThoseWhoAreLeft) {
  Semaphore semaphore(2);
  EXPECT_TRUE(semaphore.TryAcquire());
  RunMain([&] {
    for (int i = 0; i < 3; ++i) {
      Go([&] {
        (void)semaphore.Acquire(Background(), 2);
        ADD_FAILURE() << "it ran again";
      });
    }
    Patience patience;
    while (semaphore.WaitersForTest() != 3) patience.Wait("they do not wait");
  });
  EXPECT_EQ(semaphore.WaitersForTest(), 0);
  // They are in nobody's way, and get nothing.
  EXPECT_TRUE(semaphore.TryAcquire());
  Parties parties(PartyKind::kThreads);
  parties.GoEach(2, [&](int) {
    EXPECT_TRUE(semaphore.Acquire(Background(), 2).ok());
    semaphore.Release(2);
  });
  Patience patience;
  while (semaphore.WaitersForTest() != 2) patience.Wait("they do not wait");
  semaphore.Release(2);
  parties.Join();
  EXPECT_TRUE(semaphore.TryAcquire(2));
}

// Who comes back from a blocking call after the end of main stays away.
TEST_P(GoTest, WhoIsInBlockingAtTheEndDoesNotComeBack) {
  struct Shared {
    std::atomic<bool> inside{false};
    std::atomic<bool> over{false};
    std::atomic<bool> back{false};
  };
  auto shared = std::make_shared<Shared>();
  const int before = NumGoroutine();
  RunMain([&] {
    Go([shared] {
      Blocking([&] {
        shared->inside = true;
        while (!shared->over) std::this_thread::yield();
      });
      shared->back = true;
    });
    WaitFor(shared->inside);
  });
  EXPECT_EQ(NumGoroutine(), before);
  shared->over = true;
  EXPECT_EQ(RunMain([] {
              test::PauseFor(test::kPause);
              return 1;
            }),
            1);
  EXPECT_FALSE(shared->back);
}

// Main ends while others run, wake each other, and threads wake them.
TEST_P(GoTest, MainEndsInTheMiddleOfEverything) {
  for (int64_t i = 0; i < Scaled(40); ++i) {
    auto ch = MakeChan<int>(static_cast<std::ptrdiff_t>(i % 3));
    std::atomic<bool> stop{false};
    Parties threads(PartyKind::kThreads);
    threads.Go([&] {
      while (!stop) {
        (void)ch.TrySend(1);
        (void)ch.TryRecv();
      }
    });
    RunMain([&] {
      for (int k = 0; k < 3; ++k) {
        // With the thread on the other side they might never block.
        Go([ch] {
          for (;; Yield()) ch.Send(1);
        });
        Go([ch] {
          for (;; Yield()) {
            Select(RecvCase(ch), TimeoutCase(absl::Milliseconds(1)));
          }
        });
        Go([ch] {
          for (;;) {
            Blocking([] { std::this_thread::yield(); });
            (void)ch.TryRecv();
          }
        });
      }
      for (int k = 0; k < 50; ++k) {
        ch.Send(2);
        ch.Recv();
      }
    });
    stop = true;
    threads.Join();
  }
}

// -----------------------------------------------------------------------------
// The end of the process, in child processes
// -----------------------------------------------------------------------------

void StartABusyWorld() {
  auto ch = MakeChan<int>();
  for (int i = 0; i < 8; ++i) {
    Go([ch] {
      for (;;) ch.Send(1);
    });
    Go([ch] {
      for (;;) ch.Recv();
    });
    Go([] {
      for (;;) Yield();
    });
    Go([] {
      for (;;) Blocking([] { std::this_thread::yield(); });
    });
  }
  Go([] {
    for (;;) Sleep(absl::Microseconds(50));
  });
}

SCENARIO(EndsWhileGoroutinesRun) {
  StartABusyWorld();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return 0;
}

SCENARIO(ExitsFromAGoroutine) {
  StartABusyWorld();
  Go([] { std::exit(3); });
  for (;;) pause();
}

SCENARIO(MainReturnsWhileGoroutinesRun) {
  return RunMain([] {
    StartABusyWorld();
    for (int i = 0; i < 20; ++i) Yield();
    return 5;
  });
}

// `begin` runs before it spins.
int ReturnWhileAnotherNeverSwitches(void (*begin)()) {
  const int status = RunMain([begin] {
    std::atomic<bool> runs{false};
    Go([&runs, begin] {
      begin();
      runs = true;
      for (;;) std::this_thread::yield();
    });
    WaitFor(runs);
    return 6;
  });
  std::puts("it returned");  // it must not
  return status;
}

SCENARIO(MainReturnsAndAnotherNeverSwitches) {
  return ReturnWhileAnotherNeverSwitches([] { std::puts("printed before"); });
}

SCENARIO(MainReturnsAndAnotherNeverUnlocksStdout) {
  return ReturnWhileAnotherNeverSwitches([] { flockfile(stdout); });
}

TEST(EndOfProcess, WithGoroutinesRunning) {
  for (const int workers : {1, 2, 4}) {
    ChildResult child = RunChild("EndsWhileGoroutinesRun", workers);
    EXPECT_EQ(child.status, 0) << child;
    EXPECT_EQ(child.err, "") << child;
    child = RunChild("ExitsFromAGoroutine", workers);
    EXPECT_EQ(child.status, 3) << child;
    EXPECT_EQ(child.err, "") << child;
    child = RunChild("MainReturnsWhileGoroutinesRun", workers);
    EXPECT_EQ(child.status, 5) << child;
    EXPECT_EQ(child.err, "") << child;
  }
}

TEST(EndOfProcess, AWorkerThatDoesNotSwitchIsNotWaitedForForEver) {
  ChildResult child = RunChild("MainReturnsAndAnotherNeverSwitches", 2);
  EXPECT_EQ(child.status, 6) << child;
  // It was lost.
  EXPECT_EQ(child.out, "printed before\n") << child;
  child = RunChild("MainReturnsAndAnotherNeverUnlocksStdout", 2);
  EXPECT_EQ(child.status, 6) << child;
  EXPECT_EQ(child.out, "") << child;
}

// -----------------------------------------------------------------------------
// Deadlocks, and what is none
// -----------------------------------------------------------------------------

SCENARIO(AllAsleep) {
  return RunMain([] {
    auto ch = MakeChan<int>();
    for (int i = 0; i < 100; ++i) {
      Go([ch] {
        Yield();
        ch.Recv();
      });
    }
    ch.Recv();
  });
}

[[gnu::noinline]] void StartTwoWhoWaitForEachOther() {
  auto a = MakeChan<int>(), b = MakeChan<int>();
  Go(GoOptions{.name = "left"}, [a, b] { b.Send(a.Recv().value); });
  Go(GoOptions{.name = "right"}, [a, b] { a.Send(b.Recv().value); });
}

SCENARIO(TwoWaitForEachOther) {
  return RunMain([] {
    StartTwoWhoWaitForEachOther();
    MakeChan<int>().Recv();
  });
}

// A timer goes off on its own thread, a blocking call ends, and after that
// nothing is left.
SCENARIO(AllAsleepAfterTimersAndCalls) {
  auto fired = After(absl::Milliseconds(2));  // on the timer thread
  return RunMain([fired] {
    fired.Recv();
    Go([] { test::PauseFor(std::chrono::milliseconds(3)); });
    Sleep(absl::Milliseconds(1));
    MakeChan<int>().Recv();
  });
}

SCENARIO(MainExits) {
  return RunMain([] {
    Go([] { Sleep(absl::Milliseconds(1)); });
    Goexit();
  });
}

// Never a deadlock: somebody comes back from a call or a timer all the time.
SCENARIO(NoDeadlock) {
  return RunMain([] {
    auto ch = MakeChan<int>();
    Go([ch] {
      for (int i = 0; i < 3'000; ++i) {
        ch.Send(Blocking([i] {
          if (i % 8 == 0) std::this_thread::yield();
          return i;
        }));
      }
      for (int i = 0; i < 100; ++i) {
        Sleep(absl::Microseconds(20));
        ch.Send(i);
      }
      for (int i = 0; i < 100; ++i) {
        Blocking([] { Sleep(absl::Microseconds(20)); });  // the timer thread's
        ch.Send(i);
      }
      ch.Close();
    });
    int n = 0;
    for ([[maybe_unused]] int v : ch) ++n;
    return n == 3'200 ? 0 : 1;
  });
}

// Others have just ended when main begins.
SCENARIO(NoDeadlockAtTheBeginning) {
  for (int i = 0; i < 300; ++i) {
    for (int k = 0; k < 3; ++k) Go([] { Yield(); });
    RunMain([] {
      auto ch = MakeChan<int>();
      Go([ch] { ch.Send(1); });
      ch.Recv();
    });
  }
  return 0;
}

// A worker that looks for a deadlock when main has ended goes on with that
// while the next main begins.
SCENARIO(NoDeadlockBetweenMains) {
  // Where others want the processors, each takes some milliseconds.
  const absl::Time end = absl::Now() + absl::Seconds(3);
  for (int64_t i = 0; i < test::Scaled(20'000) && absl::Now() < end; ++i) {
    RunMain([] {});
  }
  return 0;
}

// Never a deadlock: main is woken by a thread that stands, in the system's
// list, behind one that ends at any moment. The list seemed to end there.
SCENARIO(ThreadsComeAndGo) {
  return RunMain([] {
    auto ch = MakeChan<bool>();
    const auto run_for = [](int64_t micros, auto step) {
      const absl::Time end = absl::Now() + absl::Microseconds(micros);
      while (absl::Now() < end) step();
    };
    runtime::Random random(1);
    for (int64_t i = 0; i < test::Scaled(2000); ++i) {
      std::thread(run_for, random.Below(150), [] {}).detach();
      std::thread([=] {
        run_for(150, [&] { ch.Send(true); });
        ch.Send(false);
      }).detach();
      while (ch.Recv().value) {
      }
    }
  });
}

// The last thread that could wake main ends when all goroutines are asleep.
SCENARIO(AllAsleepAndTheLastThreadEnds) {
  return RunMain([] {
    auto ch = MakeChan<int>();
    std::thread([ch] {
      test::WaitUntilParked(ch, 1);
      std::this_thread::sleep_for(test::kPause);
    }).detach();
    ch.Recv();
  });
}

// No deadlock: a timer that is going off wakes main, which has gone to sleep
// meanwhile. It is fired by the guard, as its worker does not switch, or by the
// watcher.
SCENARIO(AllAsleepWhileATimerGoesOff) {
  return RunMain([] {
    struct Shared {
      Chan<int> ch = MakeChan<int>();
      std::atomic<bool> fires{false};
    } shared;
    runtime::Timer timer;
    timer.Start(
        runtime::MonotonicNow(),
        [](void* arg) {
          auto& shared = *static_cast<Shared*>(arg);
          shared.fires = true;
          const Chan<int> ch = shared.ch;
          test::WaitUntilParked(ch, 1);
          std::this_thread::sleep_for(test::kPause);
          (void)ch.TrySend(8);
        },
        &shared);
    while (!shared.fires) {
    }
    return shared.ch.Recv().value;
  });
}

// As far as it can be proved; sanitizers are in the way of that.
#if !GOCHAN_TSAN && !GOCHAN_ASAN
TEST(Deadlock, TellsWhoWaitsForWhom) {
  const ChildResult child = RunChild("TwoWaitForEachOther", 2);
  EXPECT_EQ(child.status, 2) << child;
  const std::size_t at = child.err.find("\nwho waits for whom:\n");
  ASSERT_NE(at, std::string::npos) << child;
  EXPECT_NE(child.err.find("\"left\" waits at go_test.cc:", at),
            std::string::npos)
      << child;
  // Who reads the dump finds the header of each goroutine once.
  EXPECT_EQ(child.err.find("[chan receive]", at), std::string::npos) << child;
  EXPECT_NE(child.err.find("held by goroutine", at), std::string::npos)
      << child;
}
#endif

TEST(Deadlock, IsReported) {
  for (const int workers : {1, 2, 4}) {
    for (const char* scenario : {"AllAsleep", "AllAsleepAfterTimersAndCalls",
                                 "AllAsleepAndTheLastThreadEnds"}) {
      const ChildResult child = RunChild(scenario, workers);
      EXPECT_EQ(child.status, 2) << scenario << child;
      EXPECT_NE(child.err.find("all goroutines are asleep - deadlock!"),
                std::string::npos)
          << scenario << child;
    }
#if GOCHAN_TEST_EXCEPTIONS
    const ChildResult child = RunChild("MainExits", workers);
    EXPECT_EQ(child.status, 2) << child;
    EXPECT_NE(child.err.find("no goroutines (main called runtime.Goexit)"),
              std::string::npos)
        << child;
#endif
  }
}

TEST(Deadlock, IsNoFalseAlarm) {
  for (const int workers : {1, 2, 4, 16}) {
    for (const char* scenario :
         {"NoDeadlock", "NoDeadlockAtTheBeginning", "NoDeadlockBetweenMains"}) {
      const ChildResult child = RunChild(scenario, workers);
      EXPECT_EQ(child.status, 0) << scenario << child;
      EXPECT_EQ(child.err, "") << scenario << child;
    }
  }
}

TEST(Deadlock, IsNoFalseAlarmWhileATimerGoesOff) {
  for (const int workers : {1, 2}) {
    const ChildResult child = RunChild("AllAsleepWhileATimerGoesOff", workers);
    EXPECT_EQ(child.status, 8) << child;
    EXPECT_EQ(child.err, "") << child;
  }
}

TEST(Deadlock, IsNoFalseAlarmWhileThreadsComeAndGo) {
  for (const int workers : {1, 2}) {
    const ChildResult child = RunChild("ThreadsComeAndGo", workers);
    EXPECT_EQ(child.status, 0) << child;
    EXPECT_EQ(child.err, "") << child;
  }
}

}  // namespace
}  // namespace gochan

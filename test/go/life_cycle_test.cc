// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What is destroyed while goroutines still count on it: groups end the program,
// cancel functions cancel.

#include <signal.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/err_group.h"
#include "go/go.h"
#include "go/wait_group.h"
#include "gtest/gtest.h"
#include "runtime/static_storage.h"
#include "test/util/child.h"
#include "test/util/panics.h"
#include "test/util/parked.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::RunChild;
using test::WaitUntilParked;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;
       at += part.size()) {
    ++count;
  }
  return count;
}

// The program has ended as by an uncaught panic, in goroutine 1.
void ExpectPanic(const ChildResult& child, const std::string& text) {
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(
      child.err.rfind("panic: " + text + "\n\ngoroutine 1 [running]:\n", 0), 0u)
      << child;
}

// Of the report, without the goroutine that has destroyed the group.
std::string Tasks(const ChildResult& child) {
  const std::size_t first = child.err.find("\n\n");
  const std::size_t second = child.err.find("\n\n", first + 1);
  return second == std::string::npos ? "" : child.err.substr(second);
}

// -----------------------------------------------------------------------------
// WaitGroup
// -----------------------------------------------------------------------------

SCENARIO(WaitGroupInUse) {
  return RunMain([] {
    auto never = MakeChan<Unit>();
    WaitGroup group;
    group.Go([never] { never.Recv(); });
    group.Go([] {});
    group.Add(1);
    Go(GoOptions{.name = "worker"}, [never, &group] {
      never.Recv();
      group.Done();
    });
    Go(GoOptions{.name = "stranger"}, [never] { never.Recv(); });
    WaitUntilParked(never, 3);
  });
}

TEST(WaitGroupLifeTest, DestroyedInUse) {
  for (const int workers : {1, 2}) {
    const ChildResult child = RunChild("WaitGroupInUse", workers);
    ExpectPanic(child, "sync: WaitGroup destroyed with tasks not done: 2");
    const std::string tasks = Tasks(child);
    EXPECT_EQ(Count(tasks, "[chan receive]"), 2) << child;
    EXPECT_GE(Count(tasks, "life_cycle_test.cc:"), 4) << child;
    EXPECT_TRUE(Has(tasks, "[chan receive] \"worker\":\n")) << child;
    EXPECT_FALSE(Has(tasks, "stranger")) << child;
  }
}

// The closure of a task may be too large for where closures usually are.
SCENARIO(LargeTaskInUse) {
  return RunMain([] {
    struct Large {
      Chan<Unit> never = MakeChan<Unit>();
      char bytes[1000] = {};
      void operator()() { never.Recv(); }
    } large;
    auto group = std::make_unique<WaitGroup>();
    group->Go(large);
    WaitUntilParked(large.never, 1);
    group = nullptr;
  });
}

TEST(WaitGroupLifeTest, LargeTasksAreListed) {
  const ChildResult child = RunChild("LargeTaskInUse");
  ExpectPanic(child, "sync: WaitGroup destroyed with tasks not done: 1");
  EXPECT_EQ(Count(Tasks(child), "[chan receive]"), 1) << child;
}

// Tasks that nobody can name: a thread's.
SCENARIO(ForeignTaskInUse) {
  return RunMain([] {
    WaitGroup group;
    group.Add(3);
  });
}

TEST(WaitGroupLifeTest, TasksOfThreads) {
  const ChildResult child = RunChild("ForeignTaskInUse");
  ExpectPanic(child, "sync: WaitGroup destroyed with tasks not done: 3");
  EXPECT_EQ(Tasks(child), "") << child;
}

#if GOCHAN_TEST_EXCEPTIONS

SCENARIO(UnwoundWaitGroup) {
  return RunMain([] {
    auto never = MakeChan<Unit>();
    try {
      WaitGroup group;
      group.Go([never] { never.Recv(); });
      throw std::runtime_error("oops");
    } catch (const std::runtime_error&) {
    }
  });
}

TEST(WaitGroupLifeTest, DestroyedByAnException) {
  const ChildResult child = RunChild("UnwoundWaitGroup", 1);
  ExpectPanic(child,
              "sync: WaitGroup destroyed with tasks not done: 1 [while an "
              "exception unwinds the stack]");
  EXPECT_EQ(Count(Tasks(child), "created by "), 1) << child;
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// At the end of a program nobody waits.
WaitGroup global_group;

SCENARIO(StaticWaitGroup) {
  static WaitGroup local_group;
  auto never = MakeChan<Unit>();
  global_group.Go([never] { never.Recv(); });
  local_group.Go([never] { never.Recv(); });
  WaitUntilParked(never, 2);
  return 7;
}

// RunMain() has left the task behind; it never runs again.
SCENARIO(AbandonedWaitGroup) {
  WaitGroup group;
  ErrGroup errors;
  return RunMain([&group, &errors] {
    auto never = MakeChan<Unit>();
    group.Go([never] { never.Recv(); });
    errors.Go([never] {
      never.Recv();
      return absl::OkStatus();
    });
    WaitUntilParked(never, 2);
    return 7;
  });
}

TEST(WaitGroupLifeTest, TheEndOfTheProgramIsNoBug) {
  for (const char* scenario : {"StaticWaitGroup", "AbandonedWaitGroup"}) {
    const ChildResult child = RunChild(scenario);
    EXPECT_EQ(child.status, 7) << scenario << ": " << child;
    EXPECT_EQ(child.err, "") << scenario;
  }
}

TEST(StaticStorageTest, IsStatic) {
  static int local = 0;
  static const int constant = 1;
  thread_local int of_thread = 0;
  int on_stack = 0;
  const auto on_heap = std::make_unique<int>(0);
  EXPECT_TRUE(runtime::IsStatic(&global_group));
  EXPECT_TRUE(runtime::IsStatic(&local));
  EXPECT_TRUE(runtime::IsStatic(&constant));
  EXPECT_FALSE(runtime::IsStatic(&of_thread));
  EXPECT_FALSE(runtime::IsStatic(&on_stack));
  EXPECT_FALSE(runtime::IsStatic(on_heap.get()));
  EXPECT_FALSE(runtime::IsStatic(nullptr));
}

// -----------------------------------------------------------------------------
// ErrGroup
// -----------------------------------------------------------------------------

SCENARIO(ErrGroupInUse) {
  return RunMain([] {
    auto never = MakeChan<Unit>();
    ErrGroup group;
    {
      ErrGroup copy = group;
      copy.Go([never] {
        never.Recv();
        return absl::OkStatus();
      });
    }
    group.Go([] { return absl::OkStatus(); });
    WaitUntilParked(never, 1);
  });
}

SCENARIO(ErrGroupAssignedOver) {
  return RunMain([] {
    auto never = MakeChan<Unit>();
    ErrGroup group;
    group.Go([never] {
      never.Recv();
      return absl::OkStatus();
    });
    WaitUntilParked(never, 1);
    group = ErrGroup();
  });
}

TEST(ErrGroupLifeTest, LastHandleDestroyedInUse) {
  for (const char* scenario : {"ErrGroupInUse", "ErrGroupAssignedOver"}) {
    const ChildResult child = RunChild(scenario);
    ExpectPanic(child,
                "errgroup: last handle destroyed with tasks not done: 1");
    EXPECT_EQ(Count(Tasks(child), "[chan receive]"), 1) << child;
  }
}

SCENARIO(StaticErrGroup) {
  static ErrGroup group;
  auto never = MakeChan<Unit>();
  group.Go([never] {
    never.Recv();
    return absl::OkStatus();
  });
  WaitUntilParked(never, 1);
  return 7;
}

TEST(ErrGroupLifeTest, TheEndOfTheProgramIsNoBug) {
  const ChildResult child = RunChild("StaticErrGroup");
  EXPECT_EQ(child.status, 7) << child;
  EXPECT_EQ(child.err, "");
}

// -----------------------------------------------------------------------------
// CancelFunc
// -----------------------------------------------------------------------------

TEST(CancelFuncLifeTest, TheLastCopyCancels) {
  Context ctx;
  {
    CancelFunc cancel;
    std::tie(ctx, cancel) = WithCancel(Background());
    {
      const CancelFunc copy = cancel;
      EXPECT_TRUE(ctx.Err().ok());
    }
    EXPECT_TRUE(ctx.Err().ok());
    CancelFunc moved = std::move(cancel);
    cancel = CancelFunc();
    EXPECT_TRUE(ctx.Err().ok());
  }
  EXPECT_EQ(ctx.Err(), absl::CancelledError("context canceled"));
}

// Held by a goroutine: at its end, also by Goexit().
TEST(CancelFuncLifeTest, OfAGoroutineThatEnds) {
  auto [ctx, cancel] = WithCancel(Background());
  auto gate = MakeChan<Unit>();
  Go([cancel = std::exchange(cancel, CancelFunc()), gate] { gate.Recv(); });
  EXPECT_TRUE(ctx.Err().ok());
  gate.Close();
  ctx.Done().Recv();
  EXPECT_FALSE(ctx.Err().ok());
#if GOCHAN_TEST_EXCEPTIONS
  std::tie(ctx, cancel) = WithCancel(Background());
  Go([cancel = std::exchange(cancel, CancelFunc())] { Goexit(); });
  ctx.Done().Recv();
  EXPECT_FALSE(ctx.Err().ok());
#endif
}

TEST(CancelFuncLifeTest, ReleasedDoesNot) {
  Context ctx;
  {
    CancelFunc cancel;
    std::tie(ctx, cancel) = WithCancel(Background());
    cancel.Release();
  }
  EXPECT_TRUE(ctx.Err().ok());
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "test/util/sequence.h"
#include "test/util/slow_to_forget.h"

namespace gochan {
namespace {

using Handler = void (*)(int);

Handler HandlerOf(int signal) {
  struct sigaction action;
  EXPECT_EQ(sigaction(signal, nullptr, &action), 0);
  return action.sa_handler;
}

void SetHandler(int signal, Handler handler) {
  struct sigaction action = {};
  action.sa_handler = handler;
  EXPECT_EQ(sigaction(signal, &action, nullptr), 0);
}

std::atomic<int> counted{0};
void Count(int) { counted.fetch_add(1); }

class SignalTest : public testing::Test {
 protected:
  void SetUp() override {
    // Death tests start afresh, since there are threads.
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    counted = 0;
    ExpectUntouched();
  }
  void TearDown() override {
    ResetSignals({});
    ExpectUntouched();
  }
  static void ExpectUntouched() {
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
      EXPECT_EQ(HandlerOf(signal), SIG_DFL) << strsignal(signal);
    }
  }
};

TEST_F(SignalTest, Relays) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
  StopNotify(ch);
}

TEST_F(SignalTest, UnbufferedChannelWithAReceiverInWaiting) {
  Chan<int> ch = MakeChan<int>();
  Chan<int> witness = MakeChan<int>(1);
  Notify(ch, {SIGUSR1});
  Notify(witness, {SIGUSR1});
  std::atomic<bool> received{false};
  std::thread receiver([&] {
    EXPECT_EQ(ch.Recv().value, SIGUSR1);
    received.store(true);
  });
  // A signal that comes before it waits is missed, so there may be several.
  while (!received.load()) {
    raise(SIGUSR1);
    witness.Recv();
    std::this_thread::yield();
  }
  receiver.join();
}

TEST_F(SignalTest, EveryChannelGetsIt) {
  std::vector<Chan<int>> channels;
  for (int i = 0; i < 5; ++i) {
    channels.push_back(MakeChan<int>(1));
    Notify(channels.back(), {SIGUSR1, SIGUSR2});
  }
  for (const int signal : {SIGUSR2, SIGUSR1}) {
    raise(signal);
    for (const Chan<int>& ch : channels) EXPECT_EQ(ch.Recv().value, signal);
  }
}

TEST_F(SignalTest, FullChannelMissesTheSignal) {
  Chan<int> full = MakeChan<int>(1);
  full.Send(-1);
  Chan<int> witness = MakeChan<int>(1);
  Notify(full, {SIGUSR1});
  Notify(witness, {SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(witness.Recv().value, SIGUSR1);
  StopNotify(full);
  EXPECT_EQ(full.Recv().value, -1);
  EXPECT_FALSE(full.TryRecv().has_value());
}

TEST_F(SignalTest, OnlyWhatWasAskedFor) {
  SetHandler(SIGUSR2, &Count);
  Chan<int> ch = MakeChan<int>(4);
  Notify(ch, {SIGUSR1});
  raise(SIGUSR2);
  EXPECT_EQ(counted.load(), 1);
  raise(SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
  StopNotify(ch);
  EXPECT_EQ(ch.Len(), 0u);
  SetHandler(SIGUSR2, SIG_DFL);
}

TEST_F(SignalTest, NotifyAgainAdds) {
  Chan<int> ch = MakeChan<int>(4);
  Notify(ch, {SIGUSR1});
  Notify(ch, {SIGUSR2});
  raise(SIGUSR2);
  EXPECT_EQ(ch.Recv().value, SIGUSR2);
  raise(SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
  StopNotify(ch);
  EXPECT_EQ(ch.Len(), 0u);  // once each, though asked for twice
}

TEST_F(SignalTest, NoListMeansAll) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch);
  for (const int signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM, SIGCHLD, SIGPIPE, SIGWINCH,
        SIGTSTP, SIGSEGV, SIGRTMIN, SIGRTMAX}) {
    kill(getpid(), signal);
    EXPECT_EQ(ch.Recv().value, signal);
  }
}

TEST_F(SignalTest, StopNotifyRestoresWhatWasBefore) {
  for (const Handler before :
       {SIG_DFL, SIG_IGN, static_cast<Handler>(&Count)}) {
    SetHandler(SIGUSR1, before);
    Chan<int> a = MakeChan<int>(1), b = MakeChan<int>(1);
    Notify(a, {SIGUSR1});
    Notify(b, {SIGUSR1});
    StopNotify(a);
    raise(SIGUSR1);
    EXPECT_EQ(b.Recv().value, SIGUSR1);
    EXPECT_EQ(a.Len(), 0u);
    StopNotify(b);
    EXPECT_EQ(HandlerOf(SIGUSR1), before);
  }
  raise(SIGUSR1);
  EXPECT_EQ(counted.load(), 1);
  SetHandler(SIGUSR1, SIG_DFL);
}

TEST_F(SignalTest, StopNotifySendsWhatHasArrived) {
  Chan<int> ch = MakeChan<int>(64);
  for (int i = 0; i < 50; ++i) {
    Notify(ch, {SIGUSR1});
    raise(SIGUSR1);
    StopNotify(ch);
    EXPECT_EQ(ch.Len(), 1u);
    ch.TryRecv();
  }
}

TEST_F(SignalTest, StopNotifyOfAChannelThatNeverWas) {
  StopNotify(MakeChan<int>());
  StopNotify(nullptr);
}

TEST_F(SignalTest, NilChannelPanics) {
#if defined(__cpp_exceptions)
  try {
    Notify(nullptr, {SIGUSR1});
    ADD_FAILURE() << "no panic";
  } catch (const Panic& panic) {
    EXPECT_STREQ(panic.what(), "os/signal: Notify using nil channel");
  }
#endif
}

TEST_F(SignalTest, NumbersThatAreNoSignalsHaveNoEffect) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {0, -1, 65, 1000, SIGKILL, SIGSTOP, SIGUSR1});
  IgnoreSignals({0, -1, 65, 1000, SIGKILL, SIGSTOP});
  ResetSignals({0, -1, 65, 1000, SIGKILL, SIGSTOP});
  raise(SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
}

TEST_F(SignalTest, IgnoreTakesItFromEverybody) {
  Chan<int> ch = MakeChan<int>(4);
  Notify(ch, {SIGUSR1, SIGUSR2});
  IgnoreSignals({SIGUSR1});
  EXPECT_EQ(HandlerOf(SIGUSR1), SIG_IGN);
  raise(SIGUSR1);
  raise(SIGUSR2);
  EXPECT_EQ(ch.Recv().value, SIGUSR2);
  StopNotify(ch);
  EXPECT_EQ(ch.Len(), 0u);
  EXPECT_EQ(HandlerOf(SIGUSR1), SIG_IGN);
  // Notify takes an ignored signal up again, and gives back what was before
  // both.
  Notify(ch, {SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(ch.Recv().value, SIGUSR1);
  StopNotify(ch);
  EXPECT_EQ(HandlerOf(SIGUSR1), SIG_DFL);
}

TEST_F(SignalTest, ResetTakesItFromEverybody) {
  SetHandler(SIGUSR1, &Count);
  Chan<int> ch = MakeChan<int>(4);
  Notify(ch, {SIGUSR1, SIGUSR2});
  ResetSignals({SIGUSR1});
  EXPECT_EQ(HandlerOf(SIGUSR1), &Count);
  raise(SIGUSR1);
  EXPECT_EQ(counted.load(), 1);
  raise(SIGUSR2);
  EXPECT_EQ(ch.Recv().value, SIGUSR2);
  ResetSignals({});
  EXPECT_EQ(HandlerOf(SIGUSR2), SIG_DFL);
  IgnoreSignals({SIGUSR1});
  ResetSignals({SIGUSR1});
  EXPECT_EQ(HandlerOf(SIGUSR1), &Count);
  SetHandler(SIGUSR1, SIG_DFL);
}

TEST_F(SignalTest, ErrnoIsKept) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGUSR1});
  errno = 1234;
  raise(SIGUSR1);
  EXPECT_EQ(errno, 1234);
}

// EINTR would be news to a program whose signals had never interrupted a read;
// and a goroutine's stack may be too small for a handler.
TEST_F(SignalTest, SystemCallsAreRestartedAndAlternateStacksUsed) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGUSR1});
  struct sigaction action;
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &action), 0);
  EXPECT_NE(action.sa_flags & SA_RESTART, 0);
  EXPECT_NE(action.sa_flags & SA_ONSTACK, 0);
}

using SignalDeathTest = SignalTest;

TEST_F(SignalDeathTest, AfterStopNotifyTheDefaultKillsAgain) {
  EXPECT_EXIT(
      {
        Chan<int> ch = MakeChan<int>(1);
        Notify(ch, {SIGTERM});
        raise(SIGTERM);
        ch.Recv();
        StopNotify(ch);
        raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

// It used to be easy to write a handler that returns to the faulting
// instruction for ever.
TEST_F(SignalDeathTest, FaultsStillKill) {
  EXPECT_DEATH(
      {
        Chan<int> ch = MakeChan<int>(1);
        Notify(ch);
        volatile int* volatile nowhere = nullptr;
        *nowhere = 1;
      },
      "");
}

#if defined(__x86_64__)
TEST_F(SignalDeathTest, BreakpointsStillKill) {
  EXPECT_EXIT(
      {
        Chan<int> ch = MakeChan<int>(1);
        Notify(ch);
        __asm__ volatile("int3");
      },
      testing::KilledBySignal(SIGTRAP), "");
}
#endif

TEST_F(SignalDeathTest, AbortStillKills) {
  EXPECT_EXIT(
      {
        Chan<int> ch = MakeChan<int>(1);
        Notify(ch);
        abort();
      },
      testing::KilledBySignal(SIGABRT), "");
}

// -----------------------------------------------------------------------------
// NotifyContext
// -----------------------------------------------------------------------------

TEST_F(SignalTest, ContextIsCancelledByTheFirstSignal) {
  auto [ctx, stop] = NotifyContext(Background(), {SIGINT, SIGTERM});
  EXPECT_TRUE(ctx.Err().ok());
  raise(SIGTERM);
  EXPECT_FALSE(ctx.Done().Recv().ok);
  EXPECT_EQ(ctx.Err(), absl::CancelledError("context canceled"));
  EXPECT_EQ(ctx.Cause(), absl::CancelledError("terminated signal received"));
  // Until stop() a further one is swallowed.
  raise(SIGINT);
  stop();
  EXPECT_EQ(HandlerOf(SIGINT), SIG_DFL);
  EXPECT_EQ(ctx.Cause(), absl::CancelledError("terminated signal received"));
}

TEST_F(SignalTest, StopCancelsAndRestores) {
  auto [ctx, stop] = NotifyContext(Background(), {SIGINT});
  EXPECT_NE(HandlerOf(SIGINT), SIG_DFL);
  stop();
  EXPECT_EQ(ctx.Err(), absl::CancelledError("context canceled"));
  EXPECT_EQ(ctx.Cause(), ctx.Err());
  EXPECT_EQ(HandlerOf(SIGINT), SIG_DFL);
  stop();
}

TEST_F(SignalTest, LastCopyOfStopCancelsAndRestores) {
  auto [ctx, stop] = NotifyContext(Background(), {SIGINT});
  CancelFunc other = stop;
  stop = CancelFunc();
  EXPECT_TRUE(ctx.Err().ok());
  EXPECT_NE(HandlerOf(SIGINT), SIG_DFL);
  other = CancelFunc();
  EXPECT_FALSE(ctx.Err().ok());
  EXPECT_EQ(HandlerOf(SIGINT), SIG_DFL);
}

TEST_F(SignalTest, ParentEndsTheContext) {
  auto [parent, cancel] = WithCancel(Background());
  auto [ctx, stop] = NotifyContext(parent, {SIGINT});
  cancel();
  EXPECT_FALSE(ctx.Err().ok());
  auto [late, stop_late] = NotifyContext(parent, {SIGINT});
  EXPECT_FALSE(late.Err().ok());
  stop();
  EXPECT_NE(HandlerOf(SIGINT), SIG_DFL);
  stop_late();
  EXPECT_EQ(HandlerOf(SIGINT), SIG_DFL);
}

TEST_F(SignalTest, ContextAndChannelGetTheSameSignal) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGINT});
  auto [ctx, stop] = NotifyContext(Background(), {SIGINT});
  raise(SIGINT);
  EXPECT_EQ(ch.Recv().value, SIGINT);
  EXPECT_FALSE(ctx.Done().Recv().ok);
}

// A context's callbacks may call back.
TEST_F(SignalTest, AfterFuncOfTheContextMayStopNotifying) {
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGINT});
  auto [ctx, stop] = NotifyContext(Background(), {SIGINT});
  Chan<Unit> stopped = MakeChan<Unit>();
  AfterFunc(ctx, [ch, stopped] {
    StopNotify(ch);
    stopped.Close();
  });
  raise(SIGINT);
  stopped.Recv();
}

// Names were strsignal()'s, with their first letter in lower case.
TEST_F(SignalTest, CausesNameSignalsAsGoDoes) {
  const std::pair<int, const char*> names[] = {
      {SIGUSR1, "user defined signal 1"},
      {SIGXCPU, "CPU time limit exceeded"},
      {SIGIO, "I/O possible"},
      {SIGTRAP, "trace/breakpoint trap"},
      {SIGTSTP, "stopped"},
      {40, "signal 40"},
  };
  for (const auto& [signal, name] : names) {
    auto [ctx, stop] = NotifyContext(Background(), {signal});
    kill(getpid(), signal);
    EXPECT_FALSE(ctx.Done().Recv().ok);
    EXPECT_EQ(ctx.Cause().message(), std::string(name) + " signal received");
  }
}

TEST_F(SignalTest, ContextPrintsAsGo) {
  auto [ctx, stop] = NotifyContext(Background(), {SIGUSR1});
  EXPECT_EQ(
      ctx.String(),
      "signal.NotifyContext(context.Background, [user defined signal 1])");
  auto [two, stop_two] = NotifyContext(ctx, {SIGINT, SIGTERM});
  EXPECT_EQ(two.String(), "signal.NotifyContext(" + ctx.String() +
                              ", [interrupt terminated])");
  auto [all, stop_all] = NotifyContext(TODO(), {});
  auto [child, cancel] = WithCancel(all);
  EXPECT_EQ(child.String(), "signal.NotifyContext(context.TODO).WithCancel");
}

// It was called by the thread that sends signals, which had to wait for it.
TEST_F(SignalTest, ForeignParentDoesNotBlockSignals) {
  auto foreign = std::make_shared<test::SlowToForget>();
  auto [ctx, stop] = NotifyContext(FromInterface(foreign), {SIGUSR1});
  Chan<int> ch = MakeChan<int>(1);
  Notify(ch, {SIGUSR2});
  raise(SIGUSR1);
  EXPECT_FALSE(ctx.Done().Recv().ok);
  foreign->entered.Await();
  raise(SIGUSR2);
  EXPECT_EQ(ch.Recv().value, SIGUSR2);
  foreign->go_on.Set();
  foreign->left.Await();
}

TEST_F(SignalTest, EmptyListMeansAllForAContextToo) {
  auto [ctx, stop] = NotifyContext(Background(), {});
  raise(SIGHUP);
  EXPECT_FALSE(ctx.Done().Recv().ok);
  EXPECT_EQ(ctx.Cause(), absl::CancelledError("hangup signal received"));
}

// -----------------------------------------------------------------------------

// Signals from all sides while listeners come and go: each arrival is seen by a
// listener or by the earlier handler, and nothing hangs or breaks.
TEST_F(SignalTest, ListenersComeAndGoUnderFire) {
  SetHandler(SIGUSR1, &Count);
  std::atomic<bool> stop{false};
  std::vector<std::thread> shooters;
  for (int i = 0; i < 2; ++i) {
    shooters.emplace_back([&] {
      while (!stop.load()) raise(SIGUSR1);
    });
  }
  std::vector<std::thread> listeners;
  for (int i = 0; i < 2; ++i) {
    listeners.emplace_back([] {
      for (int round = 0; round < 200; ++round) {
        Chan<int> ch = MakeChan<int>(1);
        Notify(ch, {SIGUSR1});
        EXPECT_EQ(ch.Recv().value, SIGUSR1);
        auto [ctx, cancel] = NotifyContext(Background(), {SIGUSR1});
        EXPECT_FALSE(ctx.Done().Recv().ok);
        StopNotify(ch);
      }
    });
  }
  for (std::thread& thread : listeners) thread.join();
  stop.store(true);
  for (std::thread& thread : shooters) thread.join();
  EXPECT_EQ(HandlerOf(SIGUSR1), &Count);
  SetHandler(SIGUSR1, SIG_DFL);
}

}  // namespace
}  // namespace gochan

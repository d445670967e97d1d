// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Behaviours PD: what ends the whole program. Each scenario is a program of its
// own, run in a child process with 1, 2, 4 and 16 workers.

#include "test/util/panics.h"

#include <signal.h>

#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/panic.h"
#include "ctx/context.h"
#include "go/go.h"
#include "go/sync.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/child.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::RunChild;

class PanicsConformance : public ::testing::TestWithParam<int> {
 protected:
  static ChildResult Run(const std::string& scenario) {
    return RunChild(scenario, GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Workers, PanicsConformance,
                         ::testing::Values(1, 2, 4, 16));

constexpr char kAsleep[] = "fatal error: all goroutines are asleep - deadlock!";

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A line of its own on stdout, at once.
void Say(const char* text) {
  std::puts(text);
  std::fflush(stdout);
}

// Says so when it is destroyed.
struct CleanUp {
  const char* text;
  ~CleanUp() { Say(text); }
};

// -----------------------------------------------------------------------------
// Panics
// -----------------------------------------------------------------------------

// A bystander is blocked, with a clean-up of its own; main waits for it.
template <typename Fn>
int RunBesideBystander(Fn fn) {
  return RunMain([fn] {
    auto ready = MakeChan<Unit>();
    auto never = MakeChan<int>();
    Go([=] {
      const CleanUp clean_up{"bystander"};
      ready.Send({});
      never.Recv();
    });
    ready.Recv();
    Go(GoOptions{.name = "culprit"}, fn);
    never.Recv();
  });
}

SCENARIO(PanicInGoroutine) {
  return RunBesideBystander([] {
    const CleanUp clean_up{"culprit"};
    RaisePanic("boom");
  });
}

SCENARIO(PanicOfTheLibrary) {
  return RunBesideBystander([] { Chan<int>().Close(); });
}

SCENARIO(PanicInMain) {
  return RunMain([] { RaisePanic("main boom"); });
}

void ExpectPanicReport(const ChildResult& child, const std::string& message) {
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_TRUE(Contains(child.err, "panic: " + message + "\n")) << child;
  EXPECT_FALSE(Contains(child.out, "bystander")) << child;
  EXPECT_FALSE(Contains(child.err, "deadlock")) << child;
}

TEST_P(PanicsConformance, PD01AnUncaughtPanicEndsTheProgram) {
  const ChildResult child = Run("PanicInGoroutine");
  ExpectPanicReport(child, "boom");
#if GOCHAN_TEST_EXCEPTIONS
  EXPECT_EQ(child.out, "culprit\n") << child;
#endif
  ExpectPanicReport(Run("PanicOfTheLibrary"), "close of nil channel");
  ExpectPanicReport(Run("PanicInMain"), "main boom");
}

SCENARIO(PanicOfTwoLines) {
  return RunMain([] { RaisePanic("first\ngoroutine 7 [running]:"); });
}

SCENARIO(FatalErrorOfTwoLines) {
  return RunMain([] { RaiseFatal("first\nsecond"); });
}

// The second line looked like one of the report's own.
TEST_P(PanicsConformance, PD11ATabFollowsEachNewlineInTheMessage) {
  ExpectPanicReport(Run("PanicOfTwoLines"), "first\n\tgoroutine 7 [running]:");
  const ChildResult child = Run("FatalErrorOfTwoLines");
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(child.err.rfind("fatal error: first\n\tsecond\n\n", 0), 0u)
      << child;
}

#if GOCHAN_TEST_EXCEPTIONS

SCENARIO(ExceptionInGoroutine) {
  return RunBesideBystander([] {
    const CleanUp clean_up{"culprit"};
    throw std::runtime_error("not a panic");
  });
}

SCENARIO(NumberInGoroutine) {
  return RunBesideBystander([] {
    const CleanUp clean_up{"culprit"};
    throw 42;
  });
}

SCENARIO(NullInGoroutine) {
  return RunBesideBystander([] {
    const CleanUp clean_up{"culprit"};
    throw nullptr;
  });
}

// It blocks while it unwinds and is on another worker afterwards, perhaps.
SCENARIO(PanicWhileCleaningUpBlocks) {
  return RunBesideBystander([] {
    struct Blocks {
      ~Blocks() {
        auto ch = MakeChan<int>();
        Go([ch] { ch.Send(1); });
        ch.Recv();
      }
    };
    const CleanUp clean_up{"culprit"};
    const Blocks blocks;
    throw Panic("boom");
  });
}

TEST_P(PanicsConformance, PD01SoDoesAnyUncaughtException) {
  ChildResult child = Run("ExceptionInGoroutine");
  ExpectPanicReport(child, "not a panic");
  EXPECT_EQ(child.out, "culprit\n") << child;
  for (const char* scenario : {"NumberInGoroutine", "NullInGoroutine"}) {
    child = Run(scenario);
    EXPECT_EQ(child.signal, SIGABRT) << child;
    EXPECT_TRUE(Contains(child.err, "panic: ")) << child;
    EXPECT_TRUE(Contains(child.err, "culprit")) << child;
    EXPECT_EQ(child.out, "culprit\n") << child;
  }
  child = Run("PanicWhileCleaningUpBlocks");
  ExpectPanicReport(child, "boom");
  EXPECT_EQ(child.out, "culprit\n") << child;
}

// Of the goroutine's own, and caught there: nothing ends.
struct CustomPanic {
  int code;
  std::string text;
};

using RecoverConformance = test::WithParties<>;
GOCHAN_FOR_ALL_PARTIES(RecoverConformance);

PARTY_TEST(RecoverConformance, PD13TheRecoveredPanicIsTheObjectThrown) {
  test::Parties parties;
  parties.GoEach(8, [](int self) {
    // The object itself, through a blocking call in between.
    const void* thrown = nullptr;
    try {
      try {
        throw CustomPanic{self, "custom"};
      } catch (CustomPanic& panic) {
        thrown = &panic;
        Yield();
        throw;
      }
    } catch (const CustomPanic& panic) {
      EXPECT_EQ(&panic, thrown);
      EXPECT_EQ(panic.code, self);
      EXPECT_EQ(panic.text, "custom");
    }
    // A panic of the library has its own type.
    bool caught = false;
    try {
      Chan<int>().Close();
    } catch (const Panic& panic) {
      caught = true;
      EXPECT_STREQ(panic.what(), "close of nil channel");
    }
    EXPECT_TRUE(caught);
    // Null is a panic as well.
    caught = false;
    try {
      throw nullptr;
    } catch (std::nullptr_t) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
  });
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// -----------------------------------------------------------------------------
// The end of main
// -----------------------------------------------------------------------------

SCENARIO(MainReturns) {
  return RunMain([] {
    for (int i = 0; i < 100; ++i) {
      Go([] { MakeChan<int>().Recv(); });
    }
    Go([] {
      for (;;) Yield();
    });
    Yield();
  });
}

SCENARIO(MainReturnsSeven) {
  return RunMain([] {
    Go([] { Select(); });
    return 7;
  });
}

TEST_P(PanicsConformance, PD03TheProgramEndsWhenMainReturns) {
  ChildResult child = Run("MainReturns");
  EXPECT_EQ(child.status, 0) << child;
  EXPECT_EQ(child.err, "") << child;
  child = Run("MainReturnsSeven");
  EXPECT_EQ(child.status, 7) << child;
  EXPECT_EQ(child.err, "") << child;
}

// -----------------------------------------------------------------------------
// Deadlock
// -----------------------------------------------------------------------------

// Status and message of a deadlock in which main waits for `reason`.
void ExpectDeadlock(const ChildResult& child, const std::string& reason) {
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_TRUE(Contains(child.err, std::string(kAsleep) + "\n")) << child;
  EXPECT_TRUE(Contains(child.err, "goroutine 1 [" + reason + "]:\n")) << child;
}

SCENARIO(ChanReceive) {
  return RunMain([] { MakeChan<int>().Recv(); });
}

SCENARIO(AllWaitForEachOther) {
  return RunMain([] {
    auto a = MakeChan<int>();
    auto b = MakeChan<int>();
    for (int i = 0; i < 10; ++i) {
      Go([=] { b.Send(a.Recv().value); });
    }
    a.Send(b.Recv().value);
  });
}

TEST_P(PanicsConformance, PD04ADeadlockIsReported) {
  ExpectDeadlock(Run("ChanReceive"), "chan receive");
  ExpectDeadlock(Run("AllWaitForEachOther"), "chan receive");
}

SCENARIO(ChanSend) {
  return RunMain([] { MakeChan<int>().Send(1); });
}
SCENARIO(ChanSendFull) {
  return RunMain([] {
    auto ch = MakeChan<int>(1);
    ch.Send(1);
    ch.Send(2);
  });
}
SCENARIO(ChanRange) {
  return RunMain([] {
    for (int value : MakeChan<int>()) (void)value;
  });
}
SCENARIO(ChanReceiveNil) {
  return RunMain([] { Chan<int>().Recv(); });
}
SCENARIO(ChanSendNil) {
  return RunMain([] { Chan<int>().Send(1); });
}
SCENARIO(SelectOfTwo) {
  return RunMain([] {
    auto a = MakeChan<int>();
    auto b = MakeChan<int>();
    Select(RecvCase(a), SendCase(b, 1));
  });
}
SCENARIO(SelectOfNil) {
  return RunMain([] {
    const Chan<int> nil;
    Select(RecvCase(nil), SendCase(nil, 1));
  });
}
SCENARIO(SelectOfNothing) {
  return RunMain([] { Select(); });
}
SCENARIO(WaitGroupWait) {
  return RunMain([] {
    WaitGroup group;
    group.Add(1);
    group.Wait();
  });
}
SCENARIO(MutexLock) {
  return RunMain([] {
    Mutex mutex;
    mutex.lock();
    mutex.lock();
  });
}
SCENARIO(RWMutexLock) {
  return RunMain([] {
    RWMutex mutex;
    mutex.lock_shared();
    mutex.lock();
  });
}
SCENARIO(RWMutexRLock) {
  return RunMain([] {
    RWMutex mutex;
    mutex.lock();
    mutex.lock_shared();
  });
}
SCENARIO(CondWait) {
  return RunMain([] {
    Mutex mutex;
    Cond cond(mutex);
    mutex.lock();
    cond.Wait();
  });
}

TEST_P(PanicsConformance, PD05TheReportNamesTheReason) {
  ExpectDeadlock(Run("ChanSend"), "chan send");
  ExpectDeadlock(Run("ChanSendFull"), "chan send");
  ExpectDeadlock(Run("ChanReceive"), "chan receive");
  ExpectDeadlock(Run("ChanRange"), "chan receive");
  ExpectDeadlock(Run("ChanSendNil"), "chan send (nil chan)");
  ExpectDeadlock(Run("ChanReceiveNil"), "chan receive (nil chan)");
  ExpectDeadlock(Run("SelectOfTwo"), "select");
  ExpectDeadlock(Run("SelectOfNil"), "select");
  ExpectDeadlock(Run("SelectOfNothing"), "select (no cases)");
  ExpectDeadlock(Run("WaitGroupWait"), "sync.WaitGroup.Wait");
  ExpectDeadlock(Run("MutexLock"), "sync.Mutex.Lock");
  ExpectDeadlock(Run("RWMutexLock"), "sync.RWMutex.Lock");
  ExpectDeadlock(Run("RWMutexRLock"), "sync.RWMutex.RLock");
  ExpectDeadlock(Run("CondWait"), "sync.Cond.Wait");
}

SCENARIO(TimerThenDeadlock) {
  return RunMain([] {
    AfterFunc(absl::Milliseconds(30), [] { Say("fired"); });
    MakeChan<int>().Recv();
  });
}

// Each wake-up comes from a timer, and the last wait has none.
SCENARIO(SleepersThenDeadlock) {
  return RunMain([] {
    Sleep(absl::Milliseconds(5));
    After(absl::Milliseconds(5)).Recv();
    auto never = MakeChan<int>();
    Select(RecvCase(never), TimeoutCase(absl::Milliseconds(5)));
    Say("fired");
    never.Recv();
  });
}

TEST_P(PanicsConformance, PD06NoReportWhileATimerIsPending) {
  ChildResult child = Run("TimerThenDeadlock");
  ExpectDeadlock(child, "chan receive");
  EXPECT_EQ(child.out, "fired\n") << child;
  child = Run("SleepersThenDeadlock");
  ExpectDeadlock(child, "chan receive");
  EXPECT_EQ(child.out, "fired\n") << child;
}

// Nobody waits on their channels, or not any more.
SCENARIO(TimerUnused) {
  return RunMain([] {
    const Timer timer(absl::Hours(1));
    const RecvChan<absl::Time> after = After(absl::Hours(1));
    MakeChan<int>().Recv();
  });
}
SCENARIO(TickerUsedAndTimerLeft) {
  return RunMain([] {
    const Ticker ticker(absl::Milliseconds(5));
    for (int i = 0; i < 3; ++i) ticker.C().Recv();
    const Timer timer(absl::Hours(1));
    auto ready = MakeChan<int>(1);
    Go([ready] { ready.Send(1); });
    Select(RecvCase(timer.C()), RecvCase(ready));
    MakeChan<int>().Recv();
  });
}
SCENARIO(ManyTimersUnused) {
  return RunMain([] {
    std::vector<Timer> timers;
    for (int i = 0; i < 1000; ++i) timers.emplace_back(absl::Hours(1));
    MakeChan<int>().Recv();
  });
}
// Of a thread, so on a queue of their own.
SCENARIO(TimersOfAThreadUnused) {
  const Timer timer(absl::Hours(1));
  const Timer passed(absl::Milliseconds(1));
  return RunMain([] { MakeChan<int>().Recv(); });
}
SCENARIO(DeadlineOfAThreadPasses) {
  const auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(20));
  return RunMain([] { MakeChan<int>().Recv(); });
}

TEST_P(PanicsConformance, PD06ATimerThatNobodyWaitsForIsNoHope) {
  for (const char* scenario :
       {"TimerUnused", "TickerUsedAndTimerLeft", "ManyTimersUnused",
        "TimersOfAThreadUnused", "DeadlineOfAThreadPasses"}) {
    ExpectDeadlock(Run(scenario), "chan receive");
  }
}

// Among many that nobody waits for there is one that somebody does.
template <typename Fn>
int RunBesideUnusedTimers(Fn fn) {
  return RunMain([fn] {
    std::vector<Timer> timers;
    for (int i = 0; i < 1000; ++i) timers.emplace_back(absl::Hours(1));
    fn();
    return 5;
  });
}

SCENARIO(TimerAwaited) {
  return RunBesideUnusedTimers([] {
    // Longer than it takes to look again.
    After(absl::Milliseconds(1500)).Recv();
    for (int i = 0; i < 100; ++i) {
      const Ticker ticker(absl::Microseconds(200));
      ticker.C().Recv();
      Select(RecvCase(ticker.C()), RecvCase(MakeChan<int>()));
      Sleep(absl::Microseconds(200));
    }
  });
}
SCENARIO(TimerOfAThreadAwaited) {
  const Timer timer(absl::Milliseconds(20));
  return RunBesideUnusedTimers([&timer] { timer.C().Recv(); });
}

TEST_P(PanicsConformance, PD06NoReportBecauseOfTimersThatNobodyWaitsFor) {
  for (const char* scenario : {"TimerAwaited", "TimerOfAThreadAwaited"}) {
    const ChildResult child = Run(scenario);
    EXPECT_EQ(child.status, 5) << child;
    EXPECT_EQ(child.err, "") << child;
  }
}

// What could still wake main when it blocks: a thread of the program's, which
// is no goroutine, or a call outside.
SCENARIO(ThreadWakesMain) {
  return RunMain([] {
    auto ch = MakeChan<int>();
    std::thread thread([ch] {
      std::this_thread::sleep_for(test::kPause);
      ch.Send(3);
    });
    const int value = ch.Recv().value;
    Blocking([&] { thread.join(); });
    return value;
  });
}
SCENARIO(BlockingCallWakesMain) {
  return RunMain([] {
    auto ch = MakeChan<int>();
    Go([ch] {
      test::PauseFor(test::kPause);
      ch.Send(4);
    });
    return ch.Recv().value;
  });
}

TEST_P(PanicsConformance, PD06NoReportWhileSomebodyOutsideMayWake) {
  ChildResult child = Run("ThreadWakesMain");
  EXPECT_EQ(child.status, 3) << child;
  EXPECT_EQ(child.err, "") << child;
  child = Run("BlockingCallWakesMain");
  EXPECT_EQ(child.status, 4) << child;
  EXPECT_EQ(child.err, "") << child;
}

#if GOCHAN_TEST_EXCEPTIONS

SCENARIO(DeadlockInHandler) {
  return RunMain([] {
    const CleanUp clean_up{"cleaned up"};
    try {
      MakeChan<int>().Recv();
    } catch (...) {
      Say("recovered");
    }
  });
}

TEST_P(PanicsConformance, PD08ADeadlockCannotBeRecovered) {
  const ChildResult child = Run("DeadlockInHandler");
  ExpectDeadlock(child, "chan receive");
  EXPECT_EQ(child.out, "") << child;
}

SCENARIO(MainGoexits) {
  return RunMain([] {
    auto main_has_gone = MakeChan<Unit>();
    Go([=] {
      main_has_gone.Recv();
      Yield();
      Say("other");
    });
    struct Closes {
      Chan<Unit> ch;
      ~Closes() { ch.Close(); }
    } const closes{main_has_gone};
    const CleanUp clean_up{"main"};  // goes first
    Goexit();
  });
}

SCENARIO(MainGoexitsAndOthersBlock) {
  return RunMain([] {
    Go([] { MakeChan<int>().Send(1); });
    Goexit();
  });
}

TEST_P(PanicsConformance, PD09MainMayLeaveByGoexit) {
  ChildResult child = Run("MainGoexits");
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_EQ(child.out, "main\nother\n") << child;
  EXPECT_TRUE(Contains(child.err,
                       "fatal error: no goroutines (main called "
                       "runtime.Goexit) - deadlock!\n"))
      << child;
  child = Run("MainGoexitsAndOthersBlock");
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_TRUE(Contains(child.err, std::string(kAsleep) + "\n")) << child;
  EXPECT_TRUE(Contains(child.err, " [chan send]:\n")) << child;
  EXPECT_FALSE(Contains(child.err, "goroutine 1 [")) << child;
}

#endif  // GOCHAN_TEST_EXCEPTIONS

// -----------------------------------------------------------------------------
// What the reports say
// -----------------------------------------------------------------------------

// Tells the test its id, and the lines where it was started and where it will
// block.
void Tell(int created, int blocked) {
  std::printf("%" PRIu64 " %d %d\n", GoroutineId(), created, blocked);
  std::fflush(stdout);
}

void Reader(const Chan<int>& ch, int created) {
  Tell(created, __LINE__ + 1);
  ch.Recv();
}
void Writer(const Chan<int>& ch, int created) {
  Tell(created, __LINE__ + 1);
  ch.Send(1);
}
void Selector(const Chan<int>& ch, int created) {
  Tell(created, __LINE__ + 1);
  Select(RecvCase(ch));
}
void Waiter(WaitGroup* group, int created) {
  Tell(created, __LINE__ + 1);
  group->Wait();
}

void Culprit(int created) {
  Tell(created, 0);
  RaisePanic("boom");
}

SCENARIO(FiveGoroutines) {
  return RunMain([] {
    WaitGroup group;
    group.Add(1);
    Go(GoOptions{.name = "reader"}, Reader, MakeChan<int>(), __LINE__);
    Go(GoOptions{.name = "writer"}, Writer, MakeChan<int>(), __LINE__);
    Go(GoOptions{.name = "selector"}, Selector, MakeChan<int>(), __LINE__);
    Go(Waiter, &group, __LINE__);
    Tell(0, __LINE__ + 1);
    group.Wait();
  });
}

SCENARIO(PanicBesideFour) {
  return RunMain([] {
    WaitGroup group;
    group.Add(1);
    Go(GoOptions{.name = "reader"}, Reader, MakeChan<int>(), __LINE__);
    Go(GoOptions{.name = "writer"}, Writer, MakeChan<int>(), __LINE__);
    Go(Waiter, &group, __LINE__);
    Yield();
    Go(GoOptions{.name = "culprit"}, Culprit, __LINE__);
    group.Wait();
  });
}

// "goroutine 7 [chan receive]:", perhaps with a name, and what follows it up to
// an empty line.
struct Entry {
  std::string state;
  std::string text;
};
std::map<int, Entry> ParseDump(const std::string& text) {
  std::map<int, Entry> entries;
  Entry* entry = nullptr;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    int id = 0;
    char state[100] = "";
    if (std::sscanf(line.c_str(), "goroutine %d [%99[^]]]:", &id, state) == 2) {
      EXPECT_EQ(entries.count(id), 0u) << "listed twice: " << line;
      entry = &entries[id];
      entry->state = state;
      entry->text = line + '\n';
    } else if (line.empty()) {
      entry = nullptr;
    } else if (entry != nullptr) {
      entry->text += line + '\n';
    }
  }
  return entries;
}

std::string Here(int line) { return "panics_test.cc:" + std::to_string(line); }

TEST_P(PanicsConformance, PD11ADeadlockListsEveryGoroutine) {
  const ChildResult child = Run("FiveGoroutines");
  ExpectDeadlock(child, "sync.WaitGroup.Wait");
  const std::map<int, Entry> entries = ParseDump(child.err);
  EXPECT_EQ(entries.size(), 5u) << child;

  std::map<std::string, int> states;
  std::istringstream told(child.out);
  int n = 0;
  for (int id, created, blocked; told >> id >> created >> blocked; ++n) {
    ASSERT_EQ(entries.count(id), 1u) << id << child;
    const Entry& entry = entries.at(id);
    ++states[entry.state];
    EXPECT_TRUE(Contains(entry.text, Here(blocked)))
        << Here(blocked) << " is not in\n"
        << entry.text;
    if (id == 1) continue;
    EXPECT_TRUE(Contains(entry.text, "created by ")) << entry.text;
    EXPECT_TRUE(Contains(entry.text, " in goroutine 1\n")) << entry.text;
    EXPECT_TRUE(Contains(entry.text, Here(created)))
        << Here(created) << " is not in\n"
        << entry.text;
  }
  EXPECT_EQ(n, 5);
  EXPECT_EQ(states["chan receive"], 1);
  EXPECT_EQ(states["chan send"], 1);
  EXPECT_EQ(states["select"], 1);
  EXPECT_EQ(states["sync.WaitGroup.Wait"], 2);
  for (const char* name : {"reader", "writer", "selector"}) {
    EXPECT_TRUE(Contains(child.err, name)) << child;
  }
}

TEST_P(PanicsConformance, PD11APanicSaysWhoAndWhereCreated) {
  const ChildResult child = Run("PanicBesideFour");
  EXPECT_EQ(child.signal, SIGABRT) << child;
  const std::size_t panic = child.err.find("panic: boom\n\ngoroutine ");
  ASSERT_NE(panic, std::string::npos) << child;
#if GOCHAN_TEST_EXCEPTIONS
  int culprit = 0;
  int line = 0;
  std::istringstream told(child.out);
  for (int id, created, at; told >> id >> created >> at;) {
    if (at != 0) continue;
    culprit = id;
    line = created;
  }
  const std::map<int, Entry> entries = ParseDump(child.err.substr(panic));
  ASSERT_EQ(entries.count(culprit), 1u) << child;
  const Entry& entry = entries.at(culprit);
  EXPECT_EQ(entry.state, "running");
  EXPECT_TRUE(Contains(entry.text, "culprit")) << child;
  EXPECT_TRUE(Contains(entry.text, "created by ")) << child;
  EXPECT_TRUE(Contains(entry.text, " in goroutine 1\n")) << child;
  EXPECT_TRUE(Contains(entry.text, Here(line))) << child;
#endif
}

// -----------------------------------------------------------------------------
// More misuse that Go ends a program for
// -----------------------------------------------------------------------------

SCENARIO(GoOfNothing) {
  return RunMain([] {
    void (*nothing)() = nullptr;
    Go(nothing);
  });
}

TEST_P(PanicsConformance, PD01GoOfNothingEndsTheProgram) {
  const ChildResult child = Run("GoOfNothing");
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_TRUE(Contains(child.err, "fatal error: go of nil func value"))
      << child;
}

SCENARIO(ContextAfterFuncOfNothing) {
  return RunMain([] {
    auto [stopped, cancel_stopped] = WithCancel(Background());
    if (AfterFunc(stopped, nullptr)()) Say("stopped");
    cancel_stopped();
    auto [ctx, cancel] = WithCancel(Background());
    AfterFunc(ctx, nullptr);
    Say("registered");
    cancel();
  });
}

// The function was started, and its goroutine jumped to nowhere.
TEST_P(PanicsConformance, PD01ContextAfterFuncOfNothingEndsTheProgram) {
  const ChildResult child = Run("ContextAfterFuncOfNothing");
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_EQ(child.out, "stopped\nregistered\n") << child;
  EXPECT_TRUE(Contains(child.err, "fatal error: go of nil func value"))
      << child;
}

}  // namespace
}  // namespace gochan

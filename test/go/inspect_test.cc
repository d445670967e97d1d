// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/inspect.h"

// GCC 12 with AddressSanitizer takes std::regex for uninitialized.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/panic.h"
#include "go/go.h"
#include "go/labels.h"
#include "go/signal.h"
#include "go/sync.h"
#include "go/time.h"
#include "gtest/gtest.h"
#include "runtime/unwind.h"
#include "select/select.h"
#include "test/util/child.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

using test::ChildResult;
using test::RunChild;

using InspectTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(InspectTest);

std::optional<GoroutineInfo> Find(uint64_t id) {
  std::optional<GoroutineInfo> found;
  for (GoroutineInfo& info : Goroutines()) {
    if (info.id != id) continue;
    EXPECT_FALSE(found.has_value()) << id << " is listed twice";
    found = std::move(info);
  }
  return found;
}

// That goroutine once it is in `state` for `reason`.
GoroutineInfo Await(const std::atomic<uint64_t>& id, const std::string& state,
                    const std::string& reason) {
  test::Patience patience;
  for (;;) {
    const std::optional<GoroutineInfo> info = id == 0 ? std::nullopt : Find(id);
    if (info.has_value() && info->state == state &&
        info->wait_reason == reason) {
      return *info;
    }
    patience.Wait([&] {
      return "goroutine " + std::to_string(id) + " is not [" + reason + "]:\n" +
             GoroutineDump();
    });
  }
}

bool IsHere(const SourceSite& site, int line) {
  EXPECT_NE(site.file.find("inspect_test.cc"), std::string::npos) << site.file;
  EXPECT_NE(site.function, "");
  EXPECT_EQ(site.line, line);
  return site.line == line;
}

// -----------------------------------------------------------------------------
// Who they are
// -----------------------------------------------------------------------------

PARTY_TEST(InspectTest, NamesSitesAndAncestors) {
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> child = 0;
  std::atomic<uint64_t> grandchild = 0;
  std::atomic<int> line = 0;
  test::Parties parties;
  parties.Go([&] {
    child = GoroutineId();
    WaitGroup group;
    group.Add(1);
    line = __LINE__ + 1;
    Go(GoOptions{.name = "the grandchild"}, [&] {
      grandchild = GoroutineId();
      never.Recv();
      group.Done();
    });
    never.Recv();
    group.Wait();
  });
  const GoroutineInfo low = Await(grandchild, "waiting", "chan receive");
  EXPECT_EQ(low.name, "the grandchild");
  EXPECT_TRUE(IsHere(low.created_at, line));
  ASSERT_GE(low.ancestors.size(), 2u);
  EXPECT_EQ(low.ancestors[0], child);
  EXPECT_EQ(low.ancestors[1], GoroutineId());
  ASSERT_EQ(low.ancestor_sites.size(), low.ancestors.size());
  // Both were started by a party.
  EXPECT_EQ(low.ancestor_sites[0].function, low.ancestor_sites[1].function);
  EXPECT_NE(low.ancestor_sites[0].file.find("parties.h"), std::string::npos);
  EXPECT_GT(low.ancestor_sites[0].line, 0);
  EXPECT_TRUE(low.labels.empty());

  const GoroutineInfo middle = Await(child, "waiting", "chan receive");
  EXPECT_EQ(middle.name, "party");
  ASSERT_GE(middle.ancestors.size(), 1u);
  EXPECT_EQ(middle.ancestors[0], GoroutineId());
  never.Close();
}

// Only who still lives can say who has started it.
PARTY_TEST(InspectTest, AncestorsEndWithTheFirstThatHasEnded) {
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> child = 0;
  std::atomic<uint64_t> grandchild = 0;
  test::Parties parties;
  parties.Go([&] {
    child = GoroutineId();
    Go([&grandchild, never] {
      grandchild = GoroutineId();
      never.Recv();
    });
  });
  test::Patience patience;
  while (child == 0 || Find(child).has_value()) patience.Wait("it lives on");
  const GoroutineInfo info = Await(grandchild, "waiting", "chan receive");
  EXPECT_EQ(info.ancestors, std::vector<uint64_t>{child});
  ASSERT_EQ(info.ancestor_sites.size(), 1u);
  EXPECT_EQ(info.ancestor_sites[0].line, 0);
  never.Close();
  while (Find(grandchild).has_value()) patience.Wait("it lives on");
}

PARTY_TEST(InspectTest, AscendingAndComplete) {
  auto never = MakeChan<Unit>();
  std::atomic<int> blocked = 0;
  constexpr int kGoroutines = 300;  // several batches of tasks
  std::vector<std::atomic<uint64_t>> ids(kGoroutines);
  test::Parties parties;
  parties.GoEach(kGoroutines, [&](int i) {
    ids[static_cast<std::size_t>(i)] = GoroutineId();
    ++blocked;
    never.Recv();
  });
  test::Patience patience;
  while (blocked != kGoroutines) patience.Wait("they did not start");
  std::vector<uint64_t> listed;
  for (const GoroutineInfo& info : Goroutines()) listed.push_back(info.id);
  EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
  EXPECT_EQ(std::adjacent_find(listed.begin(), listed.end()), listed.end());
  for (const uint64_t id : ids) {
    EXPECT_TRUE(std::binary_search(listed.begin(), listed.end(), id));
  }
  EXPECT_TRUE(std::binary_search(listed.begin(), listed.end(), GoroutineId()));
  never.Close();
}

// -----------------------------------------------------------------------------
// What they do
// -----------------------------------------------------------------------------

PARTY_TEST(InspectTest, TheCallerRuns) {
  const std::optional<GoroutineInfo> self = Find(GoroutineId());
  ASSERT_TRUE(self.has_value());
  EXPECT_EQ(self->state, "running");
  EXPECT_EQ(self->wait_reason, "");
  EXPECT_EQ(self->blocked_at.line, 0);
  EXPECT_TRUE(self->stack.empty());
  EXPECT_EQ(self->waiting_for, absl::ZeroDuration());
  EXPECT_GT(self->stack_bytes, 0u);
}

// With one worker nobody else runs while the caller looks.
PARTY_TEST(InspectTest, WhoHasNotBegunIsRunnable) {
  if (test::current_setting.workers != 1) return;
  std::atomic<uint64_t> id = 0;
  test::Parties parties;
  parties.Go([&] { id = GoroutineId(); });
  std::vector<GoroutineInfo> infos = Goroutines();
  std::erase_if(infos, [](const GoroutineInfo& info) {
    return info.state != "runnable" || info.ancestors.empty() ||
           info.ancestors[0] != GoroutineId();
  });
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].wait_reason, "");
  EXPECT_EQ(infos[0].stack_bytes, 0u);
  EXPECT_EQ(infos[0].name, "party");
  EXPECT_EQ(id, 0u);
  parties.Join();
  EXPECT_EQ(infos[0].id, id);
}

PARTY_TEST(InspectTest, WhoWasWokenIsRunnable) {
  if (test::current_setting.workers != 1) return;
  auto ch = MakeChan<int>();
  auto other = MakeChan<int>();
  std::atomic<uint64_t> receiver = 0;
  std::atomic<uint64_t> selector = 0;
  test::Parties parties;
  parties.Go([&] {
    receiver = GoroutineId();
    ch.Recv();
  });
  parties.Go([&] {
    selector = GoroutineId();
    Select(RecvCase(other));
  });
  Await(receiver, "waiting", "chan receive");
  Await(selector, "waiting", "select");
  ch.Send(1);
  other.Send(2);
  for (const std::atomic<uint64_t>* id : {&receiver, &selector}) {
    const std::optional<GoroutineInfo> info = Find(*id);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->state, "runnable");
    EXPECT_GT(info->blocked_at.line, 0);
  }
}

PARTY_TEST(InspectTest, BlockingCalls) {
  std::atomic<uint64_t> id = 0;
  std::atomic<bool> end = false;
  std::atomic<int> line = 0;
  test::Parties parties;
  parties.Go([&] {
    id = GoroutineId();
    line = __LINE__ + 1;
    Blocking([&] {
      while (!end) std::this_thread::yield();
    });
  });
  const GoroutineInfo info = Await(id, "blocking call", "blocking call");
  EXPECT_TRUE(IsHere(info.blocked_at, line));
  end = true;
}

// Blocks in `wait`, which says on which line; `wake` lets it go. What was told
// of it meanwhile.
GoroutineInfo InfoWhile(const std::string& reason,
                        const std::function<int(std::atomic<int>*)>& wait,
                        const std::function<void()>& wake) {
  std::atomic<uint64_t> id = 0;
  std::atomic<int> line = 0;
  test::Parties parties;
  parties.Go([&] {
    id = GoroutineId();
    wait(&line);
  });
  GoroutineInfo info = Await(id, "waiting", reason);
  EXPECT_TRUE(IsHere(info.blocked_at, line)) << reason;
  if (info.stack.empty()) {
    ADD_FAILURE() << "no stack";
  } else {
    EXPECT_EQ(info.stack[0].line, info.blocked_at.line);
  }
  EXPECT_GE(info.waiting_for, absl::ZeroDuration());
  EXPECT_LT(info.waiting_for, absl::Hours(24));
  wake();
  return info;
}

PARTY_TEST(InspectTest, ChanReceive) {
  auto ch = MakeChan<std::string>(3);
  const GoroutineInfo info = InfoWhile(
      "chan receive",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        ch.Recv();
        return 0;
      },
      [&] { ch.Send("x"); });
  ASSERT_EQ(info.waits_on.size(), 1u);
  const WaitTarget& target = info.waits_on[0];
  EXPECT_EQ(target.object, internal::CoreAccess::Get(ch));
  EXPECT_EQ(target.direction, "receive");
  EXPECT_NE(target.element_type.find("string"), std::string::npos)
      << target.element_type;
  EXPECT_EQ(target.capacity, 3u);
  EXPECT_EQ(target.length, 0u);
}

PARTY_TEST(InspectTest, ChanSend) {
  auto ch = MakeChan<int>(2);
  ch.Send(1);
  ch.Send(2);
  const GoroutineInfo info = InfoWhile(
      "chan send",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        ch.Send(3);
        return 0;
      },
      [&] { ch.Recv(); });
  ASSERT_EQ(info.waits_on.size(), 1u);
  const WaitTarget& target = info.waits_on[0];
  EXPECT_EQ(target.object, internal::CoreAccess::Get(ch));
  EXPECT_EQ(target.direction, "send");
  EXPECT_EQ(target.element_type, "int");
  EXPECT_EQ(target.capacity, 2u);
  EXPECT_EQ(target.length, 2u);
}

PARTY_TEST(InspectTest, SelectAndSleep) {
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  GoroutineInfo info = InfoWhile(
      "select",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        Select(RecvCase(a), SendCase(b, 1));
        return 0;
      },
      [&] { a.Send(1); });
  ASSERT_EQ(info.waits_on.size(), 2u);
  EXPECT_EQ(info.waits_on[0].object, internal::CoreAccess::Get(a));
  EXPECT_EQ(info.waits_on[0].direction, "receive");
  EXPECT_EQ(info.waits_on[0].element_type, "int");
  EXPECT_EQ(info.waits_on[1].object, internal::CoreAccess::Get(b));
  EXPECT_EQ(info.waits_on[1].direction, "send");

  info = InfoWhile(
      "sleep",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        Sleep(absl::Milliseconds(200));
        return 0;
      },
      [] {});
  EXPECT_TRUE(info.waits_on.empty());
}

PARTY_TEST(InspectTest, Sync) {
  Mutex mutex;
  mutex.lock();
  GoroutineInfo info = InfoWhile(
      "sync.Mutex.Lock",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        mutex.lock();
        mutex.unlock();
        return 0;
      },
      [&] { mutex.unlock(); });
  ASSERT_EQ(info.waits_on.size(), 1u);
  EXPECT_EQ(info.waits_on[0].object, &mutex);
  EXPECT_EQ(info.waits_on[0].direction, "");

  RWMutex rw;
  rw.lock();
  InfoWhile(
      "sync.RWMutex.RLock",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        rw.lock_shared();
        rw.unlock_shared();
        return 0;
      },
      [&] { rw.unlock(); });
  rw.lock_shared();
  InfoWhile(
      "sync.RWMutex.Lock",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        rw.lock();
        rw.unlock();
        return 0;
      },
      [&] { rw.unlock_shared(); });

  WaitGroup group;
  group.Add(1);
  InfoWhile(
      "sync.WaitGroup.Wait",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        group.Wait();
        return 0;
      },
      [&] { group.Done(); });

  Cond cond(mutex);
  InfoWhile(
      "sync.Cond.Wait",
      [&](std::atomic<int>* line) {
        mutex.lock();
        *line = __LINE__ + 1;
        cond.Wait();
        mutex.unlock();
        return 0;
      },
      [&] {
        mutex.lock();
        cond.Signal();
        mutex.unlock();
      });
}

// Those that block for ever stay behind, and the fixture is told so.
PARTY_TEST(InspectTest, ForEver) {
  static std::atomic<uint64_t> id;
  id = 0;
  EXPECT_TRUE(test::BlocksForEver([] {
    id = GoroutineId();
    Chan<int>().Recv();
  }));
  GoroutineInfo info = Await(id, "waiting", "chan receive (nil chan)");
  ASSERT_EQ(info.waits_on.size(), 1u);
  EXPECT_EQ(info.waits_on[0].object, nullptr);
  EXPECT_EQ(info.waits_on[0].direction, "receive");

  id = 0;
  EXPECT_TRUE(test::BlocksForEver([] {
    id = GoroutineId();
    Chan<int>().Send(1);
  }));
  info = Await(id, "waiting", "chan send (nil chan)");
  ASSERT_EQ(info.waits_on.size(), 1u);
  EXPECT_EQ(info.waits_on[0].direction, "send");

  id = 0;
  EXPECT_TRUE(test::BlocksForEver([] {
    id = GoroutineId();
    Select();
  }));
  info = Await(id, "waiting", "select (no cases)");
  EXPECT_TRUE(info.waits_on.empty());
}

// One that goes on to wait for another thing is told anew.
PARTY_TEST(InspectTest, OneThingAfterTheOther) {
  auto a = MakeChan<int>(1);
  auto b = MakeChan<char>();
  std::atomic<uint64_t> id = 0;
  test::Parties parties;
  parties.Go([&] {
    id = GoroutineId();
    a.Recv();
    b.Send('x');
    a.Recv();
  });
  GoroutineInfo info = Await(id, "waiting", "chan receive");
  EXPECT_EQ(info.waits_on.at(0).object, internal::CoreAccess::Get(a));
  a.Send(1);
  info = Await(id, "waiting", "chan send");
  EXPECT_EQ(info.waits_on.at(0).object, internal::CoreAccess::Get(b));
  EXPECT_EQ(info.waits_on.at(0).element_type, "char");
  EXPECT_EQ(info.waits_on.at(0).length, 0u);
  b.Recv();
  info = Await(id, "waiting", "chan receive");
  EXPECT_EQ(info.waits_on.at(0).object, internal::CoreAccess::Get(a));
  EXPECT_EQ(info.waits_on.at(0).capacity, 1u);
  a.Send(2);
}

[[gnu::noinline]] void UseDeeply(const Chan<Unit>& ch) {
  volatile char bytes[100'000];
  for (std::size_t i = 0; i < sizeof(bytes); i += 1024) bytes[i] = 1;
  ch.Recv();
  bytes[0] = 2;
}

PARTY_TEST(InspectTest, StackBytesAreThoseInUse) {
  auto ch = MakeChan<Unit>();
  std::atomic<uint64_t> id = 0;
  test::Parties parties;
  parties.Go([&] {
    id = GoroutineId();
    UseDeeply(ch);
  });
  const GoroutineInfo info = Await(id, "waiting", "chan receive");
  EXPECT_LT(info.stack_bytes, test::kPartyStack);
#if !defined(__SANITIZE_ADDRESS__)  // which has the frame somewhere else
  EXPECT_GE(info.stack_bytes, 100'000u);
#endif
  ch.Close();
}

// -----------------------------------------------------------------------------
// Who has called
// -----------------------------------------------------------------------------

// So that a call is none at the end of its function, which leaves no frame.
[[gnu::always_inline]] inline void Return() { __asm__ __volatile__(""); }

template <typename F>
[[gnu::noinline]] void Inner(F& wait) {
  wait();
  Return();
}
template <typename F>
[[gnu::noinline]] void Middle(F& wait) {
  Inner(wait);
  Return();
}
template <typename F>
[[gnu::noinline]] void Outer(F& wait) {
  Middle(wait);
  Return();
}

// "Inner, Middle, Outer" if they are there in this order, one right after the
// other, and nothing of the library's is above or below.
std::string ThreeOf(const GoroutineInfo& info) {
  std::string found;
  for (const SourceSite& site : info.stack) {
    std::string_view name = site.function;
    constexpr std::string_view kHere = "gochan::{anonymous}::";
    EXPECT_FALSE(name.starts_with("gochan::runtime::")) << name;
    EXPECT_FALSE(name.starts_with("gochan::internal::")) << name;
    EXPECT_NE(name, "gochan_context_entry()");
    if (site.line == 0) {
      EXPECT_NE(site.file.find("inspect_test+0x"), std::string::npos)
          << site.file;
    }
    if (!name.starts_with(kHere)) continue;
    name.remove_prefix(kHere.size());
    for (const std::string_view one : {"Inner", "Middle", "Outer"}) {
      // blocked_at may be of Inner, by another way to write it.
      if (name.starts_with(one) && !found.ends_with(one)) {
        if (!found.empty()) found += ", ";
        found += one;
      }
    }
  }
  return found;
}

// What ThreeOf() has to find. An emulator does not say where it has put the
// program's code, so there are no names.
std::string Three() {
  return GOCHAN_UNWIND && std::getenv("GOCHAN_TEST_EMULATOR") == nullptr
             ? "Inner, Middle, Outer"
             : "";
}

// The stack of one that waits in `wait`, three functions deep.
template <typename F>
void ExpectThree(const std::string& reason, F wait,
                 const std::function<void()>& wake) {
  const GoroutineInfo info = InfoWhile(
      reason,
      [&](std::atomic<int>* line) {
        const auto go_on = [&] { wait(line); };
        Outer(go_on);
        return 0;
      },
      wake);
  EXPECT_EQ(ThreeOf(info), Three()) << reason << "\n"
                                    << [&] {
                                         std::string text;
                                         internal::AppendGoroutine(info, &text);
                                         return text;
                                       }();
}

PARTY_TEST(InspectTest, StackWhileItReceives) {
  auto ch = MakeChan<int>();
  ExpectThree(
      "chan receive",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        ch.Recv();
      },
      [&] { ch.Send(1); });
}

PARTY_TEST(InspectTest, StackWhileItSends) {
  auto ch = MakeChan<std::string>();
  ExpectThree(
      "chan send",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        ch.Send("x");
      },
      [&] { ch.Recv(); });
}

PARTY_TEST(InspectTest, StackWhileItSelects) {
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  ExpectThree(
      "select",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        Select(RecvCase(a), RecvCase(b));
      },
      [&] { b.Send(1); });
}

PARTY_TEST(InspectTest, StackWhileItSleeps) {
  ExpectThree(
      "sleep",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        Sleep(absl::Milliseconds(200));
      },
      [] {});
}

PARTY_TEST(InspectTest, StackWhileItLocks) {
  Mutex mutex;
  mutex.lock();
  ExpectThree(
      "sync.Mutex.Lock",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        mutex.lock();
        mutex.unlock();
      },
      [&] { mutex.unlock(); });
  WaitGroup group;
  group.Add(1);
  ExpectThree(
      "sync.WaitGroup.Wait",
      [&](std::atomic<int>* line) {
        *line = __LINE__ + 1;
        group.Wait();
      },
      [&] { group.Done(); });
}

#if defined(__cpp_exceptions)
PARTY_TEST(InspectTest, StackInACatchBlock) {
  auto ch = MakeChan<int>();
  ExpectThree(
      "chan receive",
      [&](std::atomic<int>* line) {
        try {
          throw std::string("x");
        } catch (const std::string&) {
          *line = __LINE__ + 1;
          ch.Recv();
        }
      },
      [&] { ch.Send(1); });
}
#endif

template <typename F>
[[gnu::noinline]] void Elsewhere(F& wait) {
  wait();
  Return();
}

// Whoever is off its stack for moments only is told with the stack of that very
// wait, or with none.
TEST(InspectStackTest, WhileAllRunWildly) {
  std::atomic<bool> end = false;
  auto never = MakeChan<Unit>();
  auto a = MakeChan<int>();
  auto b = MakeChan<int>();
  constexpr int kWild = 1000;
  std::atomic<uint64_t> still = 0;
  WaitGroup group;
  group.Go([&] {
    still = GoroutineId();
    const auto wait = [&] { never.Recv(); };
    Outer(wait);
  });
  for (int i = 0; i < kWild; ++i) {
    group.Go([&, i] {
      // "Inner, Middle, Outer" for a, "Elsewhere" for b.
      const auto on_a = [&] {
        if (i % 2 == 0) {
          a.Send(i);
        } else {
          a.Recv();
        }
      };
      const auto on_b = [&] {
        if (i % 2 == 0) {
          b.Send(i);
        } else {
          b.Recv();
        }
      };
      while (!end) {
        Outer(on_a);
        Elsewhere(on_b);
        if (i % 16 == 0) Yield();
      }
    });
  }
  test::Patience patience(test::ScaledLimit());
  while (still == 0 || Find(still)->state != "waiting") {
    patience.Wait("it does not wait");
  }
  const int64_t rounds = test::Scaled(test::kSanitized ? 30 : 100);
  int64_t on_a = 0;
  int64_t on_b = 0;
  for (int64_t round = 0; round < rounds && !::testing::Test::HasFailure();
       ++round) {
    for (const GoroutineInfo& info : Goroutines()) {
      if (info.id == still) {
        EXPECT_EQ(ThreeOf(info), Three());
      }
      // One frame: it had gone on when its stack was to be read.
      if (info.waits_on.empty() || info.stack.size() < 2) continue;
      if (info.waits_on[0].object == internal::CoreAccess::Get(a)) {
        EXPECT_EQ(ThreeOf(info), Three());
        ++on_a;
      } else if (info.waits_on[0].object == internal::CoreAccess::Get(b)) {
        EXPECT_EQ(ThreeOf(info), "");
        EXPECT_EQ(info.stack.back().function.find("Outer"), std::string::npos);
        ++on_b;
      }
    }
  }
  end = true;
  never.Close();
  // Both halves may wait for each other now; nobody does any more.
  std::atomic<bool> gone = false;
  Go([&] {
    group.Wait();
    gone = true;
  });
  while (!gone) {
    (void)a.TrySend(1);
    (void)a.TryRecv();
    (void)b.TrySend(1);
    (void)b.TryRecv();
    patience.Wait("they do not end");
  }
#if GOCHAN_UNWIND
  EXPECT_GT(on_a, 0);
  EXPECT_GT(on_b, 0);
#endif
}

// -----------------------------------------------------------------------------
// Labels
// -----------------------------------------------------------------------------

using LabelList = std::vector<std::pair<std::string, std::string>>;

PARTY_TEST(InspectTest, LabelsAreInherited) {
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> child = 0;
  std::atomic<uint64_t> grandchild = 0;
  std::atomic<uint64_t> stranger = 0;
  WaitGroup group;
  {
    LabelScope job("job", "7");
    LabelScope user("user", "ann");
    group.Add(2);
    Go(GoOptions{.name = "child", .labels = {{"user", "bob"}, {"at", "x"}}},
       [&] {
         child = GoroutineId();
         {
           LabelScope job("job", "8");
           Go([&] {
             grandchild = GoroutineId();
             never.Recv();
             group.Done();
           });
         }
         never.Recv();
         group.Done();
       });
  }
  group.Go([&] {
    stranger = GoroutineId();
    never.Recv();
  });
  EXPECT_EQ(Await(child, "waiting", "chan receive").labels,
            (LabelList{{"at", "x"}, {"job", "7"}, {"user", "bob"}}));
  EXPECT_EQ(Await(grandchild, "waiting", "chan receive").labels,
            (LabelList{{"at", "x"}, {"job", "8"}, {"user", "bob"}}));
  EXPECT_EQ(Await(stranger, "waiting", "chan receive").labels, LabelList{});
  never.Close();
  group.Wait();
}

PARTY_TEST(InspectTest, LabelScopesNest) {
  EXPECT_EQ(GoroutineLabels(), LabelList{});
  {
    LabelScope outer("key", "1");
    EXPECT_EQ(GoroutineLabels(), (LabelList{{"key", "1"}}));
    {
      LabelScope inner("key", "2");
      LabelScope other("a", "");
      EXPECT_EQ(GoroutineLabels(), (LabelList{{"a", ""}, {"key", "2"}}));
      // It may be on another thread now.
      Yield();
      EXPECT_EQ(GoroutineLabels(), (LabelList{{"a", ""}, {"key", "2"}}));
      EXPECT_EQ(Find(GoroutineId())->labels,
                (LabelList{{"a", ""}, {"key", "2"}}));
    }
    EXPECT_EQ(GoroutineLabels(), (LabelList{{"key", "1"}}));
  }
  EXPECT_EQ(GoroutineLabels(), LabelList{});
  EXPECT_EQ(Find(GoroutineId())->labels, LabelList{});
}

TEST(LabelTest, OfThreads) {
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> ids[2] = {};
  WaitGroup group;
  const auto start = [&](int i) {
    group.Go([&, i] {
      ids[i] = GoroutineId();
      never.Recv();
    });
  };
  LabelScope here("where", "main");
  std::thread([&] {
    EXPECT_EQ(GoroutineLabels(), LabelList{});
    LabelScope there("where", "thread");
    EXPECT_EQ(GoroutineLabels(), (LabelList{{"where", "thread"}}));
    start(0);
  }).join();
  EXPECT_EQ(GoroutineLabels(), (LabelList{{"where", "main"}}));
  start(1);
  EXPECT_EQ(Await(ids[0], "waiting", "chan receive").labels,
            (LabelList{{"where", "thread"}}));
  EXPECT_EQ(Await(ids[1], "waiting", "chan receive").labels,
            (LabelList{{"where", "main"}}));
  never.Close();
  group.Wait();
}

// A goroutine's labels change and it ends while dumps read them.
TEST(LabelTest, NeverTorn) {
  std::atomic<bool> end = false;
  WaitGroup group;
  for (int i = 0; i < 4; ++i) {
    group.Go([&] {
      while (!end) {
        LabelScope a("a", std::string(100, 'a'));
        Yield();
        Go(GoOptions{.name = "short"}, [] {
          LabelScope b("b", std::string(100, 'b'));
          Yield();
        });
        Yield();
      }
    });
  }
  const int64_t rounds = test::Scaled(2000);
  for (int64_t round = 0; round < rounds && !::testing::Test::HasFailure();
       ++round) {
    for (const GoroutineInfo& info : Goroutines()) {
      for (const auto& [key, value] : info.labels) {
        ASSERT_TRUE(key == "a" || key == "b") << key;
        ASSERT_EQ(value, std::string(100, key[0]));
      }
    }
    if (round % 8 == 0) Yield();
  }
  end = true;
  group.Wait();
  test::Patience patience;
  while (GoroutineDump().find("\"short\"") != std::string::npos) {
    patience.Wait("they do not end");
  }
}

// -----------------------------------------------------------------------------
// As text
// -----------------------------------------------------------------------------

TEST(DumpTest, Shape) {
  GoroutineInfo info;
  info.id = 7;
  info.state = "waiting";
  info.wait_reason = "chan receive";
  info.created_at = {"main()", "main.cc", 12};
  info.blocked_at = {"main()::<lambda>", "main.cc", 13};
  info.stack = {info.blocked_at};
  info.ancestors = {3, 1};
  const auto text = [&] {
    std::string out;
    internal::AppendGoroutine(info, &out);
    return out;
  };
  const std::string rest =
      "main()::<lambda>\n\tmain.cc:13\n"
      "created by main() in goroutine 3\n\tmain.cc:12\n";
  EXPECT_EQ(text(), "goroutine 7 [chan receive]:\n" + rest);
  info.waiting_for = absl::Seconds(59.9);
  EXPECT_EQ(text(), "goroutine 7 [chan receive]:\n" + rest);
  info.waiting_for = absl::Seconds(60);
  EXPECT_EQ(text(), "goroutine 7 [chan receive, 1 minutes]:\n" + rest);
  info.waiting_for = absl::Minutes(239.9);
  EXPECT_EQ(text(), "goroutine 7 [chan receive, 239 minutes]:\n" + rest);
  info.name = "reader";
  EXPECT_EQ(text(),
            "goroutine 7 [chan receive, 239 minutes] \"reader\":\n" + rest);
  info.labels = {{"job", "7"}, {"path", "GET /x"}, {"q", "a\"b\\\n"}};
  EXPECT_EQ(text(),
            "goroutine 7 [chan receive, 239 minutes] \"reader\" "
            "{job: 7, path: \"GET /x\", q: \"a\\\"b\\\\\\x0a\"}:\n" +
                rest);
  info.labels.clear();
  info.state = "runnable";
  EXPECT_EQ(text(), "goroutine 7 [runnable] \"reader\":\n" + rest);
  info.state = "blocking call";
  EXPECT_EQ(text(),
            "goroutine 7 [blocking call, 239 minutes] \"reader\":\n" + rest);
  info.state = "running";
  info.waiting_for = absl::ZeroDuration();
  info.name = "";
  info.stack.clear();
  info.ancestors.clear();
  EXPECT_EQ(text(),
            "goroutine 7 [running]:\ncreated by main()\n\tmain.cc:12\n");
  info.stack = {{"F()", "f.cc", 3}, {"G()", "program+0x12ab", 0}};
  EXPECT_EQ(text(),
            "goroutine 7 [running]:\nF()\n\tf.cc:3\nG()\n\tprogram+0x12ab\n"
            "created by main()\n\tmain.cc:12\n");
}

PARTY_TEST(InspectTest, DumpListsThem) {
  auto ch = MakeChan<int>();
  std::atomic<uint64_t> id = 0;
  test::Parties parties;
  parties.Go([&] {
    id = GoroutineId();
    ch.Recv();
  });
  const GoroutineInfo info = Await(id, "waiting", "chan receive");
  std::string entry;
  internal::AppendGoroutine(info, &entry);
  const std::string dump = GoroutineDump();
  EXPECT_NE(dump.find(entry), std::string::npos) << entry << "\n\n" << dump;
  EXPECT_NE(dump.find("goroutine " + std::to_string(GoroutineId()) +
                      " [running] \"party\":\ncreated by "),
            std::string::npos)
      << dump;
  EXPECT_NE(dump[0], '\n');
  EXPECT_EQ(dump.find("\n\n\n"), std::string::npos) << dump;
  EXPECT_EQ(dump.back(), '\n');
  ch.Close();
}

TEST(DumpTest, OfVeryMany) {
  constexpr int kMany = 12'000;
  auto never = MakeChan<Unit>();
  WaitGroup group;
  for (int i = 0; i < kMany; ++i) {
    group.Go([never] { never.Recv(); });
  }
  const std::string dump = GoroutineDump();
  std::size_t entries = 0;
  for (std::size_t at = 0;
       (at = dump.find("created by ", at)) != std::string::npos; ++at) {
    ++entries;
  }
  EXPECT_EQ(entries, 10'000u);
  const std::size_t last = dump.rfind("\n\n... and ");
  ASSERT_NE(last, std::string::npos);
  const int more = std::stoi(dump.substr(last + 10));
  EXPECT_GE(more, kMany - 10'000);
  EXPECT_EQ(dump.substr(last),
            "\n\n... and " + std::to_string(more) + " more goroutines\n");
  EXPECT_GE(Goroutines().size(), std::size_t{kMany});
  never.Close();
  group.Wait();
}

// -----------------------------------------------------------------------------
// Consistency
// -----------------------------------------------------------------------------

// While goroutines of two kinds start, block and end, nothing of one kind is
// told of the other, and those that stay are listed every time.
TEST(InspectChurnTest, NothingIsTorn) {
  std::atomic<bool> end = false;
  std::atomic<int> line_a = 0;
  std::atomic<int> line_b = 0;
  auto never = MakeChan<Unit>();
  auto empty = MakeChan<int>(5);
  auto full = MakeChan<char>(7);
  for (int i = 0; i < 7; ++i) full.Send('x');
  constexpr std::size_t kStay = 100;
  std::vector<std::atomic<uint64_t>> staying(kStay);
  std::atomic<std::size_t> stay = 0;
  WaitGroup group;
  for (std::size_t i = 0; i < kStay; ++i) {
    group.Go([&, i] {
      staying[i] = GoroutineId();
      ++stay;
      never.Recv();
    });
  }
  // Without a name: of kind "", which may wait for either.
  group.Go([&] {
    while (!end) {
      WaitGroup round;
      round.Add(40);
      for (int i = 0; i < 20; ++i) {
        line_a = __LINE__ + 1;
        Go(GoOptions{.name = "a"}, [&] { empty.Recv(), round.Done(); });
        line_b = __LINE__ + 1;
        Go(GoOptions{.name = "b"}, [&] { full.Send('y'), round.Done(); });
      }
      for (int i = 0; i < 20; ++i) {
        Yield();
        empty.Send(1);
        full.Recv();
      }
      round.Wait();
    }
  });
  // These end all the time, without a stack of their own or with one.
  group.Go([&] {
    while (!end) {
      for (int i = 0; i < 50; ++i) Go([] { Yield(); });
      Yield();
    }
  });
  test::Patience patience(test::ScaledLimit());
  while (stay != kStay || line_b == 0) patience.Wait("they did not start");

  const int64_t rounds = test::Scaled(test::kSanitized ? 100 : 400);
  int64_t named = 0;
  // A function: what fails in it must not leave the others alone.
  const auto look = [&] {
    const std::vector<GoroutineInfo> infos = Goroutines();
    std::vector<uint64_t> ids;
    for (const GoroutineInfo& info : infos) {
      ids.push_back(info.id);
      ASSERT_TRUE(info.state == "running" || info.state == "runnable" ||
                  info.state == "waiting" || info.state == "blocking call")
          << info.state;
      ASSERT_GT(info.created_at.line, 0);
      if (info.state == "waiting") {
        ASSERT_GT(info.blocked_at.line, 0);
      }
      if (info.name == "a") {
        ++named;
        ASSERT_EQ(info.created_at.line, line_a);
        ASSERT_EQ(info.ancestors.size(), 1u);
        if (info.wait_reason != "") {
          ASSERT_EQ(info.wait_reason, "chan receive");
          ASSERT_EQ(info.blocked_at.line, line_a);
          ASSERT_EQ(info.waits_on.at(0).object,
                    internal::CoreAccess::Get(empty));
          ASSERT_EQ(info.waits_on.at(0).element_type, "int");
          ASSERT_EQ(info.waits_on.at(0).capacity, 5u);
        }
      } else if (info.name == "b") {
        ++named;
        ASSERT_EQ(info.created_at.line, line_b);
        if (info.wait_reason != "") {
          ASSERT_EQ(info.wait_reason, "chan send");
          ASSERT_EQ(info.blocked_at.line, line_b);
          ASSERT_EQ(info.waits_on.at(0).object,
                    internal::CoreAccess::Get(full));
          ASSERT_EQ(info.waits_on.at(0).element_type, "char");
          ASSERT_EQ(info.waits_on.at(0).length, 7u);
        }
      }
    }
    ASSERT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    ASSERT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
    for (const uint64_t id : staying) {
      ASSERT_TRUE(std::binary_search(ids.begin(), ids.end(), id)) << id;
    }
  };
  for (int64_t round = 0; (round < rounds || named < rounds) && !HasFailure();
       ++round) {
    look();
    if (round % 16 == 0) {
      EXPECT_NE(GoroutineDump(), "");
    }
    // The processor may have been with us alone.
    if (round >= rounds) patience.Wait("those with names do not show");
  }
  end = true;
  never.Close();
  group.Wait();
}

// -----------------------------------------------------------------------------
// Reports at the end of a program
// -----------------------------------------------------------------------------

constexpr char kSite[] = "\\n\\t\\S*inspect_test\\.cc:\\d+\\n";

// Functions that have called, without a line.
constexpr char kCallers[] = "(\\S[^\\n]*\\n\\t\\S+\\+0x[0-9a-f]+\\n)*";

testing::AssertionResult Matches(const ChildResult& child,
                                 const std::string& pattern) {
  if (std::regex_match(child.err, std::regex(pattern))) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << child << "is not\n" << pattern;
}

SCENARIO(OverflowOfANamedOne) {
  return RunMain([] {
    struct Deep {
      static int Sink(volatile char* bytes, int n) {
        volatile char more[1000];
        more[0] = bytes[0];
        return n == 0 ? 0 : Sink(more, n - 1) + more[0];
      }
    };
    auto never = MakeChan<int>();
    Go(GoOptions{.name = "deep"}, [] {
      volatile char bytes[1] = {1};
      volatile int depth = 1'000'000;
      (void)Deep::Sink(bytes, depth);
    });
    never.Recv();
  });
}

TEST(ReportTest, OverflowSaysWho) {
  const ChildResult child = RunChild("OverflowOfANamedOne", 2);
  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_TRUE(
      Matches(child, std::string("gochan: goroutine stack overflow: .*\\n"
                                 "goroutine \\d+ \\[running\\] \"deep\":\\n"
                                 "created by \\S+ in goroutine 1") +
                         kSite));
}

SCENARIO(PanicOfANamedOne) {
  return RunMain([] {
    auto never = MakeChan<int>();
    Go(GoOptions{.name = "culprit", .labels = {{"path", "GET /"}}},
       [] { RaisePanic("boom"); });
    never.Recv();
  });
}

TEST(ReportTest, PanicSaysWho) {
  const ChildResult child = RunChild("PanicOfANamedOne", 2);
  EXPECT_EQ(child.signal, SIGABRT) << child;
#if defined(__cpp_exceptions)
  EXPECT_TRUE(
      Matches(child, std::string("panic: boom\\n\\n"
                                 "goroutine \\d+ \\[running\\] \"culprit\" "
                                 "\\{path: \"GET /\"\\}:\\n"
                                 "created by \\S+ in goroutine 1") +
                         kSite + "[^]*"));
#else
  EXPECT_NE(child.err.find("panic: boom"), std::string::npos) << child;
#endif
}

SCENARIO(DeadlockOfTwo) {
  return RunMain([] {
    auto a = MakeChan<int>();
    Go(GoOptions{.name = "sender"}, [] { Chan<int>().Send(1); });
    a.Recv();
  });
}

TEST(ReportTest, DeadlockListsAll) {
  const ChildResult child = RunChild("DeadlockOfTwo", 2);
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_TRUE(Matches(
      child,
      std::string("fatal error: all goroutines are asleep - deadlock!\\n\\n"
                  "goroutine 1 \\[chan receive\\]:\\n\\S+") +
          kSite + kCallers + "created by \\S+" + kSite +
          "\\ngoroutine \\d+ \\[chan send \\(nil chan\\)\\] "
          "\"sender\":\\n\\S+" +
          kSite + kCallers + "created by \\S+ in goroutine 1" + kSite +
          "(\\nwho waits for whom:\\n([^\\n]*\\n)*)?"));
}

// -----------------------------------------------------------------------------
// On a signal
// -----------------------------------------------------------------------------

SCENARIO(QuitDumps) {
  return RunMain([] {
    DumpOnSignal();
    auto never = MakeChan<int>();
    LabelScope label("kind", "test");
    Go(GoOptions{.name = "quitter"}, [] {
      raise(SIGQUIT);
      Sleep(absl::Hours(1));  // else it is a deadlock as well
    });
    never.Recv();
  });
}

TEST(DumpOnSignalTest, EndsAsGoDoes) {
  const ChildResult child = RunChild("QuitDumps", 2);
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_TRUE(
      Matches(child, std::string("SIGQUIT: quit\\n\\n"
                                 "goroutine 1 \\[[a-z ]+\\] \\{kind: test\\}:"
                                 "\\n[^]*created by \\S+") +
                         kSite + "[^]*"));
}

// All workers are stuck, and so is the main thread.
SCENARIO(QuitWhileStuck) {
  return RunMain([] {
    DumpOnSignal(SIGUSR1);
    raise(SIGUSR1);
    volatile bool stuck = true;
    while (stuck) {
    }
  });
}

TEST(DumpOnSignalTest, WhileAllAreStuck) {
  const ChildResult child = RunChild("QuitWhileStuck", 1);
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_TRUE(Matches(child, "signal " + std::to_string(SIGUSR1) +
                                 "\\n\\ngoroutine 1 \\[running\\]:"
                                 "\\ncreated by [^]*"));
}

// Standard error is a pipe to itself, to know when the dump has been written.
SCENARIO(DumpAndGoOn) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return 1;
  dup2(pipe_ends[1], STDERR_FILENO);
  DumpOnSignal(SIGQUIT, AfterDump::kExit);
  DumpOnSignal(SIGQUIT, AfterDump::kGoOn);
  auto ch = MakeChan<int>(1);
  Notify(ch, {SIGQUIT});
  raise(SIGQUIT);
  std::string text;
  while (text.find("SIGQUIT: quit\n") == std::string::npos) {
    char c;
    if (read(pipe_ends[0], &c, 1) != 1) return 2;
    text += c;
  }
  return ch.Recv().value == SIGQUIT ? 7 : 3;
}

TEST(DumpOnSignalTest, GoesOn) {
  const ChildResult child = RunChild("DumpAndGoOn", 2);
  EXPECT_EQ(child.status, 7) << child;
}

// The thread that waits for the signal does not stand in the way.
SCENARIO(DeadlockWithDumpOnSignal) {
  return RunMain([] {
    DumpOnSignal();
    MakeChan<int>().Recv();
  });
}

TEST(DumpOnSignalTest, DeadlocksAreSeen) {
  const ChildResult child = RunChild("DeadlockWithDumpOnSignal", 2);
  EXPECT_EQ(child.status, 2) << child;
  EXPECT_EQ(child.err.rfind("fatal error: all goroutines are asleep", 0), 0u)
      << child;
}

}  // namespace
}  // namespace gochan

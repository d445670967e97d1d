// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A thread frozen anywhere inside an operation stops nobody else.
//
// One thread, the victim, is frozen before its n-th atomic step of one
// operation, for every n until the operation is over; from every initial
// situation that makes it go another way. While it is frozen two helpers send
// and receive on the same channel, in all forms, and then the channel is closed
// under them: all that must end. Afterwards the victim is released, and every
// value accounted for.
//
// The one exception (docs/design/channel.md, "Progress"): a victim that holds
// the ticket of a buffered channel's slot may be waited for at that slot. It is
// known by the address of its next step; a helper that is stuck then must be
// spinning on a slot. Parties that wait since before the victim started may be
// matched with it, and are joined only after its release.
//
// Built with GOCHAN_INSTRUMENT=1.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "chan/internal/core.h"
#include "chan/panic.h"
#include "gtest/gtest.h"
#include "runtime/instrument.h"
#include "runtime/park.h"
#include "select/select.h"
#include "test/util/parked.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

#if !GOCHAN_INSTRUMENT
#error "the stall test needs the instrumented libraries"
#endif

namespace gochan {
namespace {

using runtime::StepKind;
using test::Parked;
using test::Stride;
using test::Threads;
using test::WaitUntilParked;

// --- what is done

enum class Op {
  kSend,
  kRecv,
  kTrySend,
  kTryRecv,
  kSelectSend,
  kSelectRecv,
  kSelectBoth,
  kSelectFiveCases,
  kSelectDefault,
  kClose,
  kLen,
};
constexpr Op kOps[] = {
    Op::kSend,          Op::kRecv,       Op::kTrySend,    Op::kTryRecv,
    Op::kSelectSend,    Op::kSelectRecv, Op::kSelectBoth, Op::kSelectFiveCases,
    Op::kSelectDefault, Op::kClose,      Op::kLen};

const char* Name(Op op) {
  constexpr const char* kNames[] = {
      "Send",          "Recv",       "TrySend",    "TryRecv",
      "SelectSend",    "SelectRecv", "SelectBoth", "SelectFiveCases",
      "SelectDefault", "Close",      "Len"};
  return kNames[static_cast<int>(op)];
}

// What a round has sent and received, by everybody.
class Ledger {
 public:
  void Sent(int value) {
    std::unique_lock lock(mutex_);
    ++balance_[value];
    EXPECT_LE(balance_[value], 1) << value << " sent twice";
  }
  void Received(int value) {
    std::unique_lock lock(mutex_);
    --balance_[value];
  }
  // Sent and received must be the same. (A receiver may be ahead of the
  // sender's own note, hence only at the end.)
  void Check(const std::string& round) {
    for (const auto& [value, balance] : balance_) {
      EXPECT_EQ(balance, 0) << round << ": value " << value
                            << (balance > 0 ? " was lost" : " came twice");
    }
  }

 private:
  std::mutex mutex_;
  std::map<int, int> balance_;
};

// Does `op`; false if the channel turned out to be closed.
bool Do(Op op, const Chan<int>& ch, const Chan<int>& other, int value,
        Ledger& ledger) {
  bool open = true;
  const auto sent = [&] { ledger.Sent(value); };
  const auto received = [&](int v, bool ok) {
    open = ok;
    if (ok) ledger.Received(v);
  };
  try {
    switch (op) {
      case Op::kSend:
        ch.Send(value);
        sent();
        break;
      case Op::kRecv: {
        auto [v, ok] = ch.Recv();
        received(v, ok);
        break;
      }
      case Op::kTrySend:
        if (ch.TrySend(value)) sent();
        break;
      case Op::kTryRecv:
        if (auto result = ch.TryRecv()) received(result->value, result->ok);
        break;
      case Op::kSelectSend:
        Select(RecvCase(other), SendCase(ch, value, sent));
        break;
      case Op::kSelectRecv:
        Select(RecvCase(ch, received), RecvCase(other));
        break;
      case Op::kSelectBoth:
        Select(RecvCase(ch, received), SendCase(ch, value, sent),
               RecvCase(other));
        break;
      case Op::kSelectFiveCases: {
        // Two channels that nobody else has, at whatever addresses, and one
        // twice.
        auto a = MakeChan<int>();
        auto b = MakeChan<int>();
        Select(SendCase(a, -1), RecvCase(ch, received),
               SendCase(ch, value, sent), RecvCase(ch, received), RecvCase(b));
        break;
      }
      case Op::kSelectDefault:
        Select(RecvCase(ch, received), SendCase(ch, value, sent),
               DefaultCase());
        break;
      case Op::kClose:
        ch.Close();
        break;
      case Op::kLen:
        EXPECT_LE(ch.Len(), ch.Cap());
        break;
    }
  } catch (const Panic&) {
    open = false;
  }
  return open;
}

// --- who does it

// The slots of a small ring lie right behind the core.
bool InRing(const Chan<int>& ch, const void* address) {
  const auto* core =
      reinterpret_cast<const char*>(internal::CoreAccess::Get(ch));
  const auto* at = static_cast<const char*>(address);
  return ch.Cap() > 0 && at >= core + sizeof(internal::Core) &&
         at < core + sizeof(internal::Core) + 4096;
}

class Victim {
 public:
  enum State { kRunning, kFrozen, kAsleep, kDone };

  Victim(int freeze_at, std::function<void()> fn)
      : freeze_at_(freeze_at), thread_([this, fn = std::move(fn)] {
          // The thread's record is made before its steps are counted.
          runtime::CurrentParty();
          current_ = this;
          runtime::step_hook = &Step;
          runtime::sleep_hook = &Sleep;
          fn();
          runtime::step_hook = nullptr;
          runtime::sleep_hook = nullptr;
          Become(kDone);
        }) {}
  ~Victim() {
    Release();
    AwaitDone();
    thread_.join();
  }

  // Until it is over, or asleep.
  void AwaitStop() {
    AwaitNot([](State state) { return state == kRunning || state == kFrozen; },
             "stop after its release");
  }
  // Until it can go no further by itself.
  State Await() {
    return AwaitNot([](State state) { return state == kRunning; }, "stop");
  }
  void AwaitDone() {
    AwaitNot([](State state) { return state != kDone; }, "end");
  }
  bool was_frozen() {
    std::unique_lock lock(mutex_);
    return was_frozen_;
  }
  // The address of the step before which it is frozen; nullptr if it is not.
  const void* FrozenAt() {
    std::unique_lock lock(mutex_);
    return state_ == kFrozen ? address_ : nullptr;
  }

  void Release() {
    std::unique_lock lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  static void Step(StepKind kind, const void* address) {
    Victim& self = *current_;
    // A neighbour cannot be on its way: nobody else runs before the freeze.
    if (kind == StepKind::kSpin) return;
    if (self.steps_++ != self.freeze_at_) return;
    std::unique_lock lock(self.mutex_);
    if (self.released_) return;
    self.address_ = address;
    self.was_frozen_ = true;
    self.state_ = kFrozen;
    self.changed_.notify_all();
    self.changed_.wait(lock, [&] { return self.released_; });
    self.state_ = kRunning;
  }

  // Publishes step by step; how it looks at its own result while it falls
  // asleep is nobody else's business, and not counted.
  static uint32_t Sleep(runtime::ParkSlot& slot, runtime::Publish publish,
                        void* arg, runtime::MonotonicNanos deadline) {
    Victim& self = *current_;
    if (publish != nullptr) publish(arg);
    const runtime::SleepHook sleep_hook = runtime::sleep_hook;
    runtime::sleep_hook = nullptr;
    self.Become(kAsleep);
    uint32_t result;
    {
      runtime::NoSteps no_steps;
      result = runtime::Sleep(slot, nullptr, nullptr, {}, deadline);
    }
    self.Become(kRunning);
    runtime::sleep_hook = sleep_hook;
    return result;
  }

  void Become(State state) {
    std::unique_lock lock(mutex_);
    state_ = state;
    changed_.notify_all();
  }

  template <typename Condition>
  State AwaitNot(Condition condition, const char* what) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, test::kLimit,
                           [&] { return !condition(state_); })) {
      test::Die(std::string("the victim did not ") + what);
    }
    return state_;
  }

  static inline thread_local Victim* current_ = nullptr;

  const int freeze_at_;
  int steps_ = 0;  // the victim's own
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = kRunning;         // guarded by mutex_
  bool was_frozen_ = false;        // guarded by mutex_
  bool released_ = false;          // guarded by mutex_
  const void* address_ = nullptr;  // guarded by mutex_
  std::thread thread_;
};

// Counts its operations, and tells whether it is stuck at a slot.
class Helper {
 public:
  // `round(i)` does one operation and says whether to go on.
  Helper(Threads& threads, std::function<bool(int)> round) {
    threads.Go([this, round = std::move(round)] {
      runtime::step_hook = &Step;
      current_ = this;
      for (int i = 0; round(i); ++i) done_.fetch_add(1);
      ended_ = true;
      runtime::step_hook = nullptr;
    });
  }
  bool Reached(int n) const { return ended_ || done_ >= n; }
  bool ended() const { return ended_; }
  // Spins so often in one operation that it is certainly waiting for somebody.
  const void* StuckAt() const { return stuck_at_; }

 private:
  static void Step(StepKind kind, const void* address) {
    Helper& self = *current_;
    if (kind != StepKind::kSpin) return;
    if (self.done_ != self.spins_in_) {
      self.spins_in_ = self.done_;
      self.spins_ = 0;
      self.stuck_at_ = nullptr;
    }
    if (++self.spins_ > 200) self.stuck_at_ = address;
  }

  static inline thread_local Helper* current_ = nullptr;

  std::atomic<int> done_{0};
  std::atomic<bool> ended_{false};
  std::atomic<const void*> stuck_at_{nullptr};
  int spins_ = 0;     // in one operation,
  int spins_in_ = 0;  // the one after so many
};

// --- from where it starts

enum class Start {
  kEmpty,
  kFull,
  kHalf,
  kReceivers,
  kSelectReceivers,
  kSenders,
  kSelectSenders,
  kMixedSenders,
  kBothWays,
  kDeadPlaces,
  kClosedEmpty,
  kClosedFull,
};
constexpr Start kStarts[] = {Start::kEmpty,
                             Start::kFull,
                             Start::kHalf,
                             Start::kReceivers,
                             Start::kSelectReceivers,
                             Start::kSenders,
                             Start::kSelectSenders,
                             Start::kMixedSenders,
                             Start::kBothWays,
                             Start::kDeadPlaces,
                             Start::kClosedEmpty,
                             Start::kClosedFull};

const char* Name(Start start) {
  constexpr const char* kNames[] = {
      "Empty",           "Full",       "Half",          "Receivers",
      "SelectReceivers", "Senders",    "SelectSenders", "MixedSenders",
      "BothWays",        "DeadPlaces", "ClosedEmpty",   "ClosedFull"};
  return kNames[static_cast<int>(start)];
}

bool MakesSense(Start start, int cap) {
  switch (start) {
    case Start::kFull:
    case Start::kClosedFull:
      return cap > 0;
    case Start::kHalf:
      return cap > 1;
    case Start::kBothWays:
      return cap == 0;
    default:
      return true;
  }
}

class StallTest : public ::testing::TestWithParam<std::tuple<int, Start, Op>> {
 protected:
  // One round; false once the operation was over before its n-th step. With
  // `refill` the victim goes on when others have moved everything on: what it
  // had read before the freeze is old then, and must not be acted upon.
  bool Round(int cap, Start start, Op op, int n, bool refill);
};

bool StallTest::Round(int cap, Start start, Op op, int n, bool refill) {
  const std::string round = std::string(Name(op)) + " on " + Name(start) +
                            ", capacity " + std::to_string(cap) +
                            ", frozen at step " + std::to_string(n);
  SCOPED_TRACE(round);
  auto ch = MakeChan<int>(cap);
  auto other = MakeChan<int>();
  Ledger ledger;
  Threads waiters;  // joined last: they may be matched with the victim
  int next_value = 1;

  // The initial situation.
  const auto fill = [&](int count) {
    for (int i = 0; i < count; ++i) {
      ledger.Sent(next_value);
      ch.Send(next_value++);
    }
  };
  const auto park = [&](Op what) {
    const std::size_t before = Parked(ch);
    const int value = next_value++;
    waiters.Go(
        [&, ch, other, what, value] { Do(what, ch, other, value, ledger); });
    WaitUntilParked(ch, before + 1);
  };
  // A select that has come and gone behind somebody: its place is dead.
  const auto leave = [&] {
    auto way_out = MakeChan<int>();
    Threads leaver;
    const std::size_t before = Parked(ch);
    leaver.Go([&] { Select(RecvCase(ch), RecvCase(way_out)); });
    WaitUntilParked(ch, before + 1);
    way_out.Send(0);
  };
  switch (start) {
    case Start::kEmpty:
      break;
    case Start::kFull:
      fill(cap);
      break;
    case Start::kHalf:
      fill(cap / 2);
      break;
    case Start::kReceivers:
      for (int i = 0; i < 3; ++i) park(Op::kRecv);
      break;
    case Start::kSelectReceivers:
      for (int i = 0; i < 3; ++i) park(Op::kSelectRecv);
      break;
    case Start::kSenders:
      fill(cap);
      for (int i = 0; i < 3; ++i) park(Op::kSend);
      break;
    case Start::kSelectSenders:
      fill(cap);
      for (int i = 0; i < 3; ++i) park(Op::kSelectSend);
      break;
    case Start::kMixedSenders:
      fill(cap);
      park(Op::kSelectSend);
      park(Op::kSend);
      park(Op::kSelectSend);
      break;
    case Start::kBothWays:
      park(Op::kSelectBoth);
      break;
    case Start::kDeadPlaces:
      park(Op::kRecv);
      for (int i = 0; i < 3; ++i) leave();
      park(Op::kRecv);
      leave();
      break;
    case Start::kClosedEmpty:
      ch.Close();
      break;
    case Start::kClosedFull:
      fill(cap);
      ch.Close();
      break;
  }

  const int victims_value = next_value++;
  Victim victim(n, [&] { Do(op, ch, other, victims_value, ledger); });
  Victim::State state = victim.Await();
  for (int i = 0; state == Victim::kAsleep && i < 4; ++i) {
    // Wake it: its later steps are to be frozen as well. Whatever waits in
    // front of it is served first.
    const int value = next_value++;
    if (ch.TrySend(value)) {
      ledger.Sent(value);
    } else if (auto result = ch.TryRecv()) {
      if (result->ok) ledger.Received(result->value);
    }
    if (i % 2 == 1) std::this_thread::yield();
    // A waker has stored the result before it returned; give the victim the
    // time to notice. If it still sleeps it was not its turn.
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(500);
    while ((state = victim.Await()) == Victim::kAsleep &&
           std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
  }

  if (refill && !InRing(ch, victim.FrozenAt())) {
    // Serves all who wait, then lets as many wait again.
    for (int i = 0; i < 8; ++i) {
      Do(Op::kTrySend, ch, other, next_value++, ledger);
      Do(Op::kTryRecv, ch, other, 0, ledger);
    }
    const auto wait_again = [&](Op what) {
      const std::size_t before = Parked(ch);
      const int value = next_value++;
      auto over = std::make_shared<std::atomic<bool>>(false);
      waiters.Go([&, ch, other, what, value, over] {
        Do(what, ch, other, value, ledger);
        *over = true;
      });
      while (Parked(ch) <= before && !*over) std::this_thread::yield();
    };
    const bool senders = start == Start::kSenders ||
                         start == Start::kSelectSenders ||
                         start == Start::kMixedSenders;
    for (int i = 0; i < 4 + (senders ? cap : 0); ++i) {
      wait_again(senders ? (i % 2 == 0 ? Op::kSelectSend : Op::kSend)
                         : (i % 2 == 0 ? Op::kSelectRecv : Op::kRecv));
    }
    victim.Release();
    victim.AwaitStop();
  }

  // Waits for what the others do. If they get stuck at the slot whose ticket
  // the victim holds, it is released: that they may wait for.
  const auto wait = [&](auto over, auto stuck_at, const char* what) {
    const auto deadline = std::chrono::steady_clock::now() + test::kLimit;
    while (!over()) {
      if (InRing(ch, victim.FrozenAt()) && InRing(ch, stuck_at())) {
        victim.Release();
      }
      if (std::chrono::steady_clock::now() > deadline) {
        test::Die(round + ": " + what + "\n" +
                  internal::CoreAccess::Get(ch)->DebugString());
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  };

  // Two helpers that begin after the freeze.
  constexpr int kRounds = 12;
  constexpr Op kSends[] = {Op::kSend, Op::kTrySend, Op::kSelectSend};
  constexpr Op kRecvs[] = {Op::kRecv, Op::kTryRecv, Op::kSelectRecv, Op::kLen};
  Threads threads;
  Helper sender(threads, [&](int i) {
    return Do(kSends[i % 3], ch, other, 1000 + i, ledger);
  });
  Helper receiver(
      threads, [&](int i) { return Do(kRecvs[i % 4], ch, other, 0, ledger); });
  const auto stuck_helper = [&] {
    const void* at = sender.StuckAt();
    return InRing(ch, at) ? at : receiver.StuckAt();
  };
  wait([&] { return sender.Reached(kRounds) && receiver.Reached(kRounds); },
       stuck_helper, "the helpers do not go on");

  // Close while it is frozen; then both helpers end.
  Helper closer(threads, [&](int) {
    ch.TryClose();
    return false;
  });
  wait([&] { return sender.ended() && receiver.ended() && closer.ended(); },
       [&] {
         const void* at = closer.StuckAt();
         return InRing(ch, at) ? at : stuck_helper();
       },
       "the helpers do not end after the close");
  threads.Join();
  victim.Release();
  waiters.Join();
  victim.AwaitDone();
  while (auto value = ch.RecvOptional()) ledger.Received(*value);
  ledger.Check(round);
  EXPECT_EQ(Parked(ch), 0u);
  EXPECT_EQ(Parked(other), 0u);
  EXPECT_EQ(ch.Len(), 0u);
  std::string why;
  EXPECT_TRUE(internal::CoreAccess::Get(ch)->CheckInvariants(&why)) << why;
  return victim.was_frozen();
}

// A short run tries other steps for each situation.
int FirstStep() {
  const std::string name =
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
  return static_cast<int>(std::hash<std::string>()(name) %
                          static_cast<std::size_t>(Stride()));
}

TEST_P(StallTest, AFrozenThreadStopsNobody) {
  const auto [cap, start, op] = GetParam();
  if (!MakesSense(start, cap)) GTEST_SKIP();
  for (int n = FirstStep(); Round(cap, start, op, n, false); n += Stride()) {
    ASSERT_FALSE(HasFailure());
    ASSERT_LT(n, 5000) << "the operation does not end";
  }
}

// What used to go wrong: a party that was frozen between its read of the head's
// cell and its claim moved the head back when it went on.
TEST_P(StallTest, AThreadThatGoesOnActsOnNothingOld) {
  const auto [cap, start, op] = GetParam();
  switch (start) {
    case Start::kReceivers:
    case Start::kSelectReceivers:
    case Start::kDeadPlaces:
    case Start::kSenders:
    case Start::kSelectSenders:
    case Start::kMixedSenders:
      break;
    default:
      GTEST_SKIP();
  }
  for (int n = FirstStep(); Round(cap, start, op, n, true); n += Stride()) {
    ASSERT_FALSE(HasFailure());
    ASSERT_LT(n, 5000) << "the operation does not end";
  }
}

INSTANTIATE_TEST_SUITE_P(All, StallTest,
                         ::testing::Combine(::testing::Values(0, 1, 2),
                                            ::testing::ValuesIn(kStarts),
                                            ::testing::ValuesIn(kOps)),
                         [](const auto& info) {
                           return "Cap" +
                                  std::to_string(std::get<0>(info.param)) +
                                  Name(std::get<1>(info.param)) +
                                  Name(std::get<2>(info.param));
                         });

}  // namespace
}  // namespace gochan

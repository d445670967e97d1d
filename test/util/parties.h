// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Parties: goroutines or threads that must come to an end. A test over them
// runs with each kind, with one and with many workers, and with both mixed.
//
//   using CloseConformance = test::WithParties<>;
//   GOCHAN_FOR_ALL_PARTIES(CloseConformance);
//
//   PARTY_TEST(CloseConformance, CL07CloseWakesEveryReceiver) {
//     Parties parties;
//     parties.Go([&] { … });
//     parties.Join();       // the destructor does it too
//   }
//
//   Parties          goroutines, threads, or one of each in turn
//   BlocksForEver    whether fn() is still running after a pause
//   Meeting          std::barrier for parties
//   WithParties      fixture; its parameter is the Setting
//   PARTY_TEST       TEST_P with its body run by a party of the setting
//
// The body of a PARTY_TEST is a goroutine itself where the parties are, else a
// thread. So it must not hold up its worker: it waits by Patience, Yield() and
// PauseFor() (patience.h), not by the functions of std::this_thread, and holds
// no std::mutex while it blocks. SCOPED_TRACE belongs to a thread and cannot be
// used across a blocking call.
//
// TearDown fails if goroutines are left, those of BlocksForEver aside.

#ifndef GOCHAN_TEST_UTIL_PARTIES_H_
#define GOCHAN_TEST_UTIL_PARTIES_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/scheduler.h"
#include "test/util/leaks.h"
#include "test/util/noise.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::test {

// -----------------------------------------------------------------------------
// Settings
// -----------------------------------------------------------------------------

enum class PartyKind { kThreads, kGoroutines, kMixed };

struct Setting {
  PartyKind kind = PartyKind::kThreads;
  int workers = 0;  // 0: as many as there are
};

// The name of a parameterised test ends with it.
inline std::string Name(const Setting& setting) {
  switch (setting.kind) {
    case PartyKind::kThreads:
      return "Threads";
    case PartyKind::kGoroutines:
      return "Workers" + std::to_string(setting.workers);
    case PartyKind::kMixed:
      return "Mixed" + std::to_string(setting.workers);
  }
  return "";
}

inline void PrintTo(const Setting& setting, std::ostream* out) {
  *out << Name(setting);
}

inline constexpr Setting kAllParties[] = {
    {PartyKind::kThreads, 0},     {PartyKind::kGoroutines, 1},
    {PartyKind::kGoroutines, 2},  {PartyKind::kGoroutines, 4},
    {PartyKind::kGoroutines, 16}, {PartyKind::kMixed, 2},
};

inline constexpr Setting kAllWorkers[] = {
    {PartyKind::kGoroutines, 1},
    {PartyKind::kGoroutines, 2},
    {PartyKind::kGoroutines, 4},
    {PartyKind::kGoroutines, 16},
};

// That of the running test; threads outside of WithParties.
inline Setting current_setting;

// A random or repeated test of WithParties runs several times. In the short run
// each does a part of `n`, so that they do about `n` together.
inline int64_t PartyScaled(int64_t n) { return Scaled(n / 4 + 1); }

// -----------------------------------------------------------------------------
// Parties
// -----------------------------------------------------------------------------

inline constexpr std::size_t kPartyStack = std::size_t{1} << 20;

template <typename Fn>
void StartGoroutine(Fn fn) {
  gochan::Go(GoOptions{.name = "party", .stack_size = kPartyStack},
             std::move(fn));
}

// Not for use by several parties at once.
class Parties {
 public:
  explicit Parties(std::chrono::seconds limit = kLimit)
      : Parties(current_setting.kind, limit) {}
  explicit Parties(PartyKind kind, std::chrono::seconds limit = kLimit)
      : kind_(kind), limit_(limit) {}
  ~Parties() { Join(); }
  Parties(const Parties&) = delete;
  Parties& operator=(const Parties&) = delete;

  template <typename Fn>
  void Go(Fn fn) {
    const int number = started_++;
    const bool goroutine = kind_ == PartyKind::kGoroutines ||
                           (kind_ == PartyKind::kMixed && number % 2 == 0);
    // Shared: the last party may still be in fetch_add() when Join() returns.
    auto party = [ended = ended_, goroutine, number,
                  fn = std::move(fn)]() mutable {
      {
        // What fn owns ends before the party does.
        Fn function = std::move(fn);
        // Noise belongs to a thread, and goroutines move between threads.
        std::optional<Noise> noise;
        if (!goroutine && NoiseWanted()) noise.emplace(number + 1);
        function();
      }
      // Release: what fn did; pairs with the acquire in Join().
      ended->fetch_add(1, std::memory_order_release);
    };
    if (goroutine) {
      StartGoroutine(std::move(party));
    } else {
      threads_.emplace_back(std::move(party));
    }
  }

  // Starts n parties with their numbers.
  template <typename Fn>
  void GoEach(int n, Fn fn) {
    for (int i = 0; i < n; ++i) {
      Go([fn, i]() mutable { fn(i); });
    }
  }

  void Join() {
    Patience patience(limit_);
    // Acquire: what the parties did; pairs with the release in Go().
    while (ended_->load(std::memory_order_acquire) != started_) {
      patience.Wait([&] {
        return std::to_string(started_ - ended_->load()) + " of " +
               std::to_string(started_) + " parties did not end (" +
               Name(current_setting) + ")";
      });
    }
    for (std::thread& thread : threads_) Blocking([&] { thread.join(); });
    threads_.clear();
  }

 private:
  const PartyKind kind_;
  const std::chrono::seconds limit_;
  int started_ = 0;
  std::vector<std::thread> threads_;
  // How many have ended; counts up only.
  const std::shared_ptr<std::atomic<int>> ended_ =
      std::make_shared<std::atomic<int>>(0);
};

// Goroutines that BlocksForEver() has left behind.
inline std::atomic<int> abandoned{0};

// Starts fn on a party of its own that is never joined, and says whether it was
// still in there after a pause; fn owns what it uses.
inline bool BlocksForEver(std::function<void()> fn) {
  struct State {
    std::atomic<bool> entered{false};
    std::atomic<bool> returned{false};
  };
  auto state = std::make_shared<State>();
  const bool goroutine = current_setting.kind != PartyKind::kThreads;
  auto party = [state, fn = std::move(fn)] {
    state->entered = true;
    fn();
    state->returned = true;
  };
  if (goroutine) {
    ExpectLeaks();
    StartGoroutine(std::move(party));
  } else {
    std::thread(std::move(party)).detach();
  }
  Patience patience;
  while (!state->entered) patience.Wait("a party did not start");
  PauseFor(kPause);
  const bool blocks = !state->returned;
  if (goroutine && blocks) ++abandoned;
  if (goroutine && !blocks) ExpectLeaks(-1);
  return blocks;
}

// A fixed number of parties meet again and again; the last one of each round
// calls `complete` before the others go on.
class Meeting {
 public:
  explicit Meeting(int parties, std::function<void()> complete = nullptr)
      : parties_(parties), complete_(std::move(complete)) {}

  // Blocks until all have arrived.
  void Arrive() {
    // Acquire: what the others did before they arrived in earlier rounds.
    const int round = round_.load(std::memory_order_acquire);
    // Acquire and release: the last one sees what all have done, and passes it
    // on with the round.
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
      if (complete_ != nullptr) complete_();
      // Relaxed: released by the round.
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    Patience patience(ScaledLimit());
    while (round_.load(std::memory_order_acquire) == round) {
      patience.Wait("not all parties came to the meeting");
    }
  }

 private:
  const int parties_;
  const std::function<void()> complete_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

// -----------------------------------------------------------------------------
// The fixture
// -----------------------------------------------------------------------------

template <typename Base = ::testing::Test>
class WithParties : public Base, public ::testing::WithParamInterface<Setting> {
 protected:
  void SetUp() override {
    Base::SetUp();
    current_setting = GetParam();
    if (current_setting.workers > 0) {
      saved_procs_ = SetMaxProcs(current_setting.workers);
      // A worker in excess may still be on its way out, and run something.
      Patience patience;
      while (runtime::GetSchedulerStats().workers > current_setting.workers) {
        patience.Wait([] { return "a worker in excess does not retire"; });
      }
    }
    goroutines_ = NumGoroutine() - abandoned;
  }

  void TearDown() override {
    // A party is counted for a moment after it has told that it ends.
    Patience patience;
    while (NumGoroutine() - abandoned > goroutines_) {
      patience.Wait([&] {
        return std::to_string(NumGoroutine() - abandoned - goroutines_) +
               " goroutines were left";
      });
    }
    if (saved_procs_ > 0) SetMaxProcs(saved_procs_);
    current_setting = Setting{};
    Base::TearDown();
  }

 private:
  int saved_procs_ = 0;
  int goroutines_ = 0;
};

// Runs fn, by a goroutine if the setting has nothing else.
inline void RunAsParty(void (*fn)()) {
  if (current_setting.kind != PartyKind::kGoroutines) {
    fn();
    return;
  }
  // Each wait inside has a limit of its own; this one says what they do not.
  Parties parties(PartyKind::kGoroutines, 4 * ScaledLimit());
  parties.Go(fn);
}

}  // namespace gochan::test

#define PARTY_TEST(suite, name)                                               \
  static void suite##_##name##_Body();                                        \
  TEST_P(suite, name) { ::gochan::test::RunAsParty(&suite##_##name##_Body); } \
  static void suite##_##name##_Body()

#define GOCHAN_FOR_SETTINGS(suite, settings)  \
  INSTANTIATE_TEST_SUITE_P(                   \
      , suite, ::testing::ValuesIn(settings), \
      [](const auto& info) { return ::gochan::test::Name(info.param); })

// Threads; goroutines on 1, 2, 4 and 16 workers; both, on 2.
#define GOCHAN_FOR_ALL_PARTIES(suite) \
  GOCHAN_FOR_SETTINGS(suite, ::gochan::test::kAllParties)

// Goroutines on 1, 2, 4 and 16 workers.
#define GOCHAN_FOR_ALL_WORKERS(suite) \
  GOCHAN_FOR_SETTINGS(suite, ::gochan::test::kAllWorkers)

#endif  // GOCHAN_TEST_UTIL_PARTIES_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Every guard is needed: with one of them taken out (chan/internal/mutation.h),
// the explorer finds an error in one of the worlds listed here.
//
// Each mutant runs in a child process: what it breaks may be memory.
//
// Two are not caught, by any world that was tried:
//   kNoEnrolStop     enrolling after the claim is taken leaves dead nodes,
//                    which the withdrawal removes: the stop saves work
//   kNoTailFallback  the cleaner moves the tail hint off a segment before it
//                    pools it, so a walker that loads the tail hint again finds
//                    a living one

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "chan/internal/mutation.h"
#include "gtest/gtest.h"
#include "test/model/context_worlds.h"
#include "test/model/model_test_util.h"
#include "test/model/timer_worlds.h"

namespace gochan::model {
namespace {

using internal::Mutant;
using Parties = std::vector<std::vector<Op>>;

WorldSpec Prologue(WorldSpec spec, std::vector<WorldSpec::Before> prologue) {
  spec.prologue = std::move(prologue);
  return spec;
}

// L49: party 1 means to stand behind a receiver in the seat, and is installed
// when a sender sits there.
WorldSpec TurnedRound(Op op) {
  return Prologue(MakeWorld({1}, {{Recv(0)},
                                  {std::move(op)},
                                  {Send(0), Send(0), Send(0)},
                                  {Recv(0), TryRecv(0)}}),
                  {{0}});
}

struct Hunt {
  WorldSpec world;
  int preemptions = 3;
  int freezes = 0;
  uint64_t samples = 0;  // random schedules instead
};

// The first error found, or "".
std::string Run(const Hunt& hunt) {
  Explorer explorer;
  World world(hunt.world);
  Outcome outcome;
  if (hunt.samples > 0) {
    outcome = explorer.Sample(world, {.schedules = hunt.samples,
                                      .freezes = hunt.freezes,
                                      .max_seconds = 300});
  } else {
    outcome = explorer.Search(world, {.preemptions = hunt.preemptions,
                                      .freezes = hunt.freezes,
                                      .max_schedules = 50'000'000,
                                      .max_seconds = 300});
  }
  if (outcome.ok()) return "";
  std::string line = outcome.error.substr(0, outcome.error.find('\n'));
  return world.name() + ": " + line + " (" + outcome.Summary() + ")";
}

void ExpectCaught(Mutant mutant, const std::function<std::string()>& hunt) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    internal::active_mutant = mutant;
    const std::string error = hunt();
    const ssize_t written = write(pipe_ends[1], error.data(), error.size());
    _exit(written < 0 ? 1 : 0);
  }
  close(pipe_ends[1]);
  std::string error;
  char buffer[512];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) {
    error.append(buffer, static_cast<std::size_t>(n));
  }
  close(pipe_ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) {
    error = std::string("it crashes: ") + strsignal(WTERMSIG(status));
  }
  EXPECT_NE(error, "") << "nothing wrong was found";
  std::printf("    %s\n", error.c_str());
}

void ExpectCaught(Mutant mutant, const std::vector<Hunt>& hunts) {
  ExpectCaught(mutant, [&] {
    for (const Hunt& hunt : hunts) {
      std::string error = Run(hunt);
      if (!error.empty()) return error;
    }
    return std::string();
  });
}

// The worlds are sound without a mutant: their own tests say so.

TEST(Mutants, NoBounce) {
  ExpectCaught(
      Mutant::kNoBounce,
      {{MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Send(0)}})},
       {MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Send(0)}, {Recv(0)}})}});
  ExpectCaught(Mutant::kNoBounce, {{TurnedRound(Recv(0))}});
  ExpectCaught(Mutant::kNoBounce, {{TurnedRound(SelectTimeout({R(0)}))}});
}
TEST(Mutants, ServeBounced) {
  ExpectCaught(Mutant::kServeBounced,
               {{TurnedRound(Recv(0))}, {TurnedRound(SelectTimeout({R(0)}))}});
}
// L53.
WorldSpec Visited() {
  return Owned(
      MakeWorld({2}, {{Send(0), TrySend(0), TrySend(0)}, {TryRecv(0)}}));
}
TEST(Mutants, NoRestart) {
  ExpectCaught(Mutant::kNoRestart, {{Visited()}});
  ExpectCaught(
      Mutant::kNoRestart,
      {{Owned(MakeWorld({0}, {{Send(0), Send(0)}, {Recv(0), Recv(0)}}))}});
}
TEST(Mutants, ShareAtOnce) {
  ExpectCaught(Mutant::kShareAtOnce,
               {{Owned(MakeWorld({2}, {{Send(0), TrySend(0), TrySend(0)},
                                       {TryRecv(0)},
                                       {TryRecv(0)}}))}});
}
TEST(Mutants, SeatAlone) {
  ExpectCaught(Mutant::kSeatAlone,
               {{MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}})}});
}
TEST(Mutants, NoNote) { ExpectCaught(Mutant::kNoNote, {{NotedTwice()}}); }
TEST(Mutants, BlindNote) {
  ExpectCaught(Mutant::kBlindNote, {{NotedTwice(), 2}});
}
TEST(Mutants, KeepNote) {
  ExpectCaught(Mutant::kKeepNote, {{NotedLongAgo(), 2}});
}
TEST(Mutants, NoNoteCheck) {
  ExpectCaught(Mutant::kNoNoteCheck,
               {{Prologue(MakeWorld({1}, {{Recv(0)},
                                          {Recv(0)},
                                          {Recv(0)},
                                          {Send(0), Send(0)},
                                          {Recv(0)}}),
                          {{0}, {1}}),
                 2}});
}
TEST(Mutants, NoSettleAfterCount) {
  ExpectCaught(Mutant::kNoSettleAfterCount,
               {{QueueOnly(MakeWorld({1}, {{Send(0)}, {Recv(0)}}))}});
}
TEST(Mutants, NoReread) {
  ExpectCaught(
      Mutant::kNoReread,
      {{Prologue(QueueOnly(MakeWorld({1, 1}, {{SelectTimeout({R(0)}), Recv(1)},
                                              {SelectTimeout({R(0)})},
                                              {Recv(0)},
                                              {TrySend(0)}})),
                 {{0}, {1}, {2}})}});
}
TEST(Mutants, NoSerialReread) {
  ExpectCaught(Mutant::kNoSerialReread, {{RecycledUnderTheHead(), 2}});
}
TEST(Mutants, SwapBeforeClaim) {
  ExpectCaught(Mutant::kSwapBeforeClaim,
               {{Prologue(MakeWorld({1, 0}, {{Send(0), Select({S(0), S(1)})},
                                             {Recv(0)},
                                             {Recv(1)}}),
                          {{0}, {0}})}});
}
TEST(Mutants, PopBeforeClaim) {
  ExpectCaught(
      Mutant::kPopBeforeClaim,
      {{MakeWorld({0, 1}, {{Select({S(0), R(1)})}, {Send(1), TryRecv(0)}})},
       {Prologue(MakeWorld({0, 0}, {{Select({R(0), R(1)})},
                                    {Send(0)},
                                    {TrySend(0), Send(1)}}),
                 {{0}})}});
}
TEST(Mutants, Overtake) {
  ExpectCaught(
      Mutant::kOvertake,
      {{QueueOnly(MakeWorld({1}, {{Recv(0)}, {Send(0)}, {TryRecv(0)}}))},
       {Prologue(
           MakeWorld({1}, {{Send(0), Select({S(0)})}, {Recv(0)}, {TrySend(0)}}),
           {{0}, {0}})},
       {QueueOnly(
           MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0)}, {TrySend(0)}}))}});
}
TEST(Mutants, NoHelpCount) {
  ExpectCaught(Mutant::kNoHelpCount,
               {{MakeWorld({0}, {{Send(0)}, {Send(0)}, {Send(0)}}), 2, 1}});
}
TEST(Mutants, NoHelpPlace) {
  ExpectCaught(Mutant::kNoHelpPlace,
               {{Prologue(MakeWorld({1, 0}, {{Send(0), Select({S(0), S(1)})},
                                             {Recv(0)},
                                             {Recv(0)}}),
                          {{0}, {0}}),
                 2, 1}});
}
TEST(Mutants, NoCloseSettle) {
  ExpectCaught(Mutant::kNoCloseSettle,
               {{MakeWorld({0}, {{Recv(0)}, {Close(0)}})}});
}
TEST(Mutants, NoGeneration) {
  ExpectCaught(
      Mutant::kNoGeneration,
      {{Prologue(MakeWorld({0, 0}, {{Select({R(0), R(1)}), Select({R(1)})},
                                    {Send(0)},
                                    {TrySend(0)}}),
                 {{0}})},
       {MakeWorld({0, 0}, {{Select({R(0), R(1)}), Select({R(1), R(0)})},
                           {Send(0)},
                           {Send(1)},
                           {TrySend(0)}}),
        3, 0, 2'000'000}});
}
TEST(Mutants, NoPositionCheck) {
  WorldSpec spec =
      QueueOnly(MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}}));
  spec.prologue = {{0}};
  spec.skip_places = uint64_t{1} << 31;
  ExpectCaught(Mutant::kNoPositionCheck, {{spec, 2}});
}

TEST(Mutants, NoSerialInHint) {
  ExpectCaught(Mutant::kNoSerialInHint, {{RecycledUnderTheHead(), 2}});
}
TEST(Mutants, NoDefaultConfirm) {
  ExpectCaught(Mutant::kNoDefaultConfirm,
               {{Prologue(MakeWorld({1, 1}, {{Send(0), Recv(0)},
                                             {SelectDefault({R(0), R(1)})},
                                             {Send(1)}}),
                          {{0}})},
                {MakeWorld({1, 1}, {{SelectDefault({R(0), R(1)})},
                                    {Send(0), Recv(1)},
                                    {Send(1)}})}});
}
TEST(Mutants, NoLeft) {
  ExpectCaught(
      Mutant::kNoLeft,
      {{MakeWorld({0}, {{Recv(0), Recv(0)}, {Send(0), Send(0)}})},
       {MakeWorld({0, 0}, {{Select({R(0), R(1)}), TryRecv(1)}, {Send(0)}})}});
}
TEST(Mutants, RandomEnrolOrder) {
  ExpectCaught(
      Mutant::kRandomEnrolOrder,
      {{MakeWorld({0, 0}, {{Select({S(0), R(1)})}, {Select({S(1), R(0)})}}), 0,
        0, 100'000},
       {MakeWorld({0, 0}, {{Select({S(0), R(1)})}, {Select({S(1), R(0)})}})}});
}
TEST(Mutants, SlotBeforeRead) {
  ExpectCaught(Mutant::kSlotBeforeRead,
               {{Prologue(MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0)}}),
                          {{0}, {0}})}});
}

TEST(Mutants, NoParentReread) {
  ExpectCaught(Mutant::kNoParentReread, [] {
    Explorer explorer;
    ChildOfACancelledParent world;
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}
TEST(Mutants, NoEndReread) {
  ExpectCaught(Mutant::kNoEndReread, [] {
    Explorer explorer;
    FirstDone world;
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}
TEST(Mutants, NoVisitorCheck) {
  ExpectCaught(Mutant::kNoVisitorCheck, [] {
    Explorer explorer;
    DroppedChild world;
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}
TEST(Mutants, NoDoneReread) {
  WorldSpec spec = MakeWorld({0, 0}, {{Select({R(0), R(1)})}, {Cancel({1})}});
  spec.chans[1] = DoneChan();
  ExpectCaught(Mutant::kNoDoneReread, {{spec}});
}
TEST(Mutants, NoSubscriptionSerial) {
  ExpectCaught(Mutant::kNoSubscriptionSerial, [] {
    Explorer explorer;
    MovedSubscription world;
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}

TEST(Mutants, NoBurn) {
  ExpectCaught(Mutant::kNoBurn, [] {
    Explorer explorer;
    TimerWorld world({"SRt", "F"});
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}
TEST(Mutants, NoTicket) {
  ExpectCaught(Mutant::kNoTicket, [] {
    Explorer explorer;
    TimerWorld world({"Rt", "F"});
    return explorer.Search(world, {.preemptions = 3}).error;
  });
}

}  // namespace
}  // namespace gochan::model

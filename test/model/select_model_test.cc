// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Selects under every schedule; L numbers as in channel_model_test.cc.

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "test/model/model_test_util.h"

namespace gochan::model {
namespace {

using Parties = std::vector<std::vector<Op>>;

const Effort kDeep = {.preemptions = 3};
const Effort kFreezing = {.preemptions = 1, .freezes = 1};

WorldSpec WithPrologue(WorldSpec spec,
                       std::vector<WorldSpec::Before> prologue) {
  spec.prologue = std::move(prologue);
  return spec;
}

// Channel 1 is a context's.
WorldSpec WithDone(int capacity, Parties parties) {
  WorldSpec spec = MakeWorld({capacity, 0}, std::move(parties));
  spec.name += " done";
  spec.chans[1] = DoneChan();
  return spec;
}

// -----------------------------------------------------------------------------
// Interleavings with a number
// -----------------------------------------------------------------------------

TEST(Model, L10AdmitOfASelectWithTheClaimerFrozen) {
  Check(WithPrologue(
            MakeWorld({1, 0},
                      {{Send(0), Select({S(0), S(1)})}, {Recv(0)}, {Recv(0)}}),
            {{0}, {0}}),
        kFreezing);
}

TEST(Model, L11AdmitAgainstAnotherCaseWinning) {
  Check(WithPrologue(
      MakeWorld(
          {1, 1},
          {{Send(0), Send(1), Select({S(0), S(1)})}, {Recv(0)}, {Recv(1)}}),
      {{0}, {0}, {0}}));
  Check(WithPrologue(
      MakeWorld({1, 0},
                {{Send(0), Select({S(0), S(1)})}, {Recv(0)}, {Recv(1)}}),
      {{0}, {0}}));
}

TEST(Model, L12ServeAgainstAnotherCaseWinning) {
  for (const int other : {0, 1}) {
    Check(WithPrologue(
        MakeWorld({1, other}, {{Select({R(0), R(1)})}, {Send(0)}, {Send(1)}}),
        {{0}}));
    Check(
        MakeWorld({1, other}, {{Select({R(0), R(1)})}, {Send(0)}, {Send(1)}}));
  }
}

TEST(Model, L13DismissAgainstClaim) {
  for (const int capacity : {0, 1}) {
    Check(MakeWorld({capacity, capacity},
                    {{Select({R(0), R(1)})}, {Close(0)}, {Send(1)}}));
    Check(
        WithPrologue(MakeWorld({capacity, capacity},
                               {{Select({R(0), R(1)})}, {Close(0)}, {Send(0)}}),
                     {{0}}),
        kDeep);
  }
}

TEST(Model, L14ClaimOfASelectThatHasJustLost) {
  Check(WithPrologue(
            MakeWorld({0, 0}, {{Select({R(0), R(1)})}, {Send(0)}, {Send(1)}}),
            {{0}}),
        kDeep);
  Check(WithPrologue(
      MakeWorld({0, 0},
                {{Select({R(0), R(1)}), Recv(0)}, {Send(0)}, {Send(1)}}),
      {{0}}));
}

TEST(Model, L15SelectSeesItsPartnerWhileItIsClaimed) {
  Check(MakeWorld({0, 0}, {{Select({S(0), R(1)})}, {Send(1)}, {Recv(0)}}));
  Check(MakeWorld({0, 1}, {{Select({S(0), R(1)})}, {Send(1), TryRecv(0)}}),
        kDeep);
}

TEST(Model, L16TwoSelectsInOppositeDirections) {
  Check(MakeWorld({0, 0}, {{Select({S(0), R(1)})}, {Select({R(0), S(1)})}}),
        {.preemptions = 3, .seconds = 3});
  Check(MakeWorld({0, 1}, {{Select({S(0), R(1)})}, {Select({R(0), S(1)})}}));
  Check(MakeWorld({0, 0}, {{Select({S(0), R(1)})}, {Select({R(0), S(1)})}}),
        kFreezing);
}

TEST(Model, L17ThreeSelectsInACycle) {
  Check(MakeWorld({0, 0, 0}, {{Select({S(0), R(1)})},
                              {Select({S(1), R(2)})},
                              {Select({S(2), R(0)})}}),
        {.preemptions = 1, .seconds = 3});
}

TEST(Model, L18SelectIsClaimedWhileItsPublisherStillEnrols) {
  Check(MakeWorld({0, 0}, {{Select({R(0), R(1)}), TryRecv(1)}, {Send(0)}}),
        kDeep);
  Check(MakeWorld({0, 0}, {{Select({R(0), R(1)})}, {Send(0)}, {Send(1)}}));
}

TEST(Model, L20DefaultWhileOneTurnsReadyAndAnotherUnready) {
  for (const int capacity : {0, 1}) {
    Check(MakeWorld(
        {1, capacity},
        {{SelectDefault({R(0), R(1)})}, {Send(0), Recv(1)}, {Send(1)}}));
    Check(WithPrologue(MakeWorld({1, capacity}, {{Send(0), Recv(0)},
                                                 {SelectDefault({R(0), R(1)})},
                                                 {Send(1)}}),
                       {{0}}));
  }
}

TEST(Model, L25LateReaderOfARecycledSegment) {
  // Party 3 stops on the first place of channel 0, which then is given up, with
  // its segment; channel 1 takes that one over.
  WorldSpec spec = MakeWorld({1, 1}, {{SelectTimeout({R(0)}), Recv(1)},
                                      {SelectTimeout({R(0)})},
                                      {Recv(0)},
                                      {TrySend(0)}});
  spec = WithPrologue(std::move(spec), {{0}, {1}, {2}});
  Check(QueueOnly(spec));
  Check(std::move(spec));
}

TEST(Model, L26VoidRunAcrossASegmentBorder) {
  WorldSpec spec = MakeWorld({1}, {{SelectTimeout({R(0)})},
                                   {SelectTimeout({R(0)})},
                                   {SelectTimeout({R(0)})},
                                   {Recv(0)},
                                   {TrySend(0)}});
  spec = WithPrologue(std::move(spec), {{0}, {1}, {2}, {3}});
  Check(QueueOnly(spec));
  Check(std::move(spec));
}

TEST(Model, L27CleanerUnlinksWhileTheHeadEntersTheGap) {
  WorldSpec spec = MakeWorld({1}, {{Recv(0)},
                                   {SelectTimeout({R(0)}), Recv(0)},
                                   {SelectTimeout({R(0)})},
                                   {SelectTimeout({R(0)})},
                                   {Send(0), Send(0)}});
  spec = WithPrologue(std::move(spec), {{0}, {1}, {2}, {3}});
  Check(QueueOnly(spec));
  Check(std::move(spec));
}

TEST(Model, L28TwoLeaversAtTheHead) {
  for (const int capacity : {0, 1}) {
    const WorldSpec spec = WithPrologue(
        MakeWorld(
            {capacity},
            {{SelectTimeout({R(0)})}, {SelectTimeout({R(0)})}, {TrySend(0)}}),
        {{0}, {1}});
    Check(spec, kDeep);
    if (capacity > 0) Check(QueueOnly(spec), kDeep);
  }
}

TEST(Model, L29BothDirectionsOfOneChannel) {
  const Op both = Select({S(0), R(0)});
  const Op both_send = Select({S(0), R(0), S(0)});
  const Op both_recv = Select({S(0), R(0), R(0)});
  const Op both_default = SelectDefault({S(0), R(0)});
  Family family("L29", 20);
  for (const Parties& parties : std::vector<Parties>{
           {{both}},
           {{both}, {both}},
           {{both}, {Send(0)}},
           {{both}, {Recv(0)}},
           {{both}, {Recv(0)}, {Recv(0)}},
           {{both}, {Send(0)}, {Recv(0)}},
           {{both}, {Send(0)}, {Send(0)}},
           {{both}, {TrySend(0)}, {TryRecv(0)}},
           {{both}, {Close(0)}},
           {{both}, {both}, {Close(0)}},
           {{both}, {both}, {Send(0)}},
           {{both}, {both}, {Recv(0)}},
           {{both}, {both}, {both}},
           {{both_send}},
           {{both_send}, {Recv(0)}},
           {{both_send}, {Send(0)}},
           {{both_send}, {both_send}},
           {{both_send}, {both}},
           {{both_send}, {Close(0)}},
           {{both_recv}},
           {{both_recv}, {both_send}},
           {{both_recv}, {Send(0)}},
           {{both_recv}, {Recv(0)}},
           {{both_recv}, {both_recv}},
           {{both_default}, {both}},
           {{both_default}, {both_default}},
           {{both, both}, {both, both}},
           {{both, both}, {Send(0), Recv(0)}},
       }) {
    for (const int capacity : {0, 1}) {
      if (!family.Add(MakeWorld({capacity}, parties), {.seconds = 0.3})) return;
    }
  }
}

TEST(Model, L30TimeoutPartnerAndCancellationClaimAtOnce) {
  for (const int capacity : {0, 1}) {
    Check(WithDone(capacity,
                   {{SelectTimeout({R(0), R(1)})}, {Send(0)}, {Cancel({1})}}));
    Check(WithPrologue(WithDone(capacity, {{SelectTimeout({R(0), R(1)})},
                                           {TrySend(0)},
                                           {Cancel({1})}}),
                       {{0}}),
          kDeep);
  }
}

TEST(Model, L31ContextFiresWhileASelectSubscribes) {
  Check(WithDone(0, {{Select({R(0), R(1)})}, {Cancel({1})}}), kDeep);
  Check(WithDone(0, {{Select({R(1)}), Select({R(0), R(1)})}, {Cancel({1})}}));
  Check(WithDone(0, {{Recv(1)}, {Recv(1)}, {Cancel({1})}}));
}

TEST(Model, L36SeatFilledAndEmptiedBetweenTwoLooks) {
  Check(MakeWorld({0, 0}, {{SelectDefault({R(0), R(1)})},
                           {SelectTimeout({S(0)}), TrySend(1)}}),
        kDeep);
  Check(MakeWorld(
      {0, 0},
      {{SelectDefault({R(0), R(1)})}, {TrySend(0), Send(1)}, {Recv(1)}}));
}

TEST(Model, L38ATryMustNotMissAWaitingSelect) {
  for (const int capacity : {0, 1}) {
    Check(MakeWorld({0, capacity},
                    {{Select({S(0), R(1)})}, {Send(1), TryRecv(0)}}),
          kDeep);
  }
  Check(WithPrologue(
      MakeWorld({0, 0},
                {{Select({R(0), R(1)})}, {Send(0)}, {TrySend(0), Send(1)}}),
      {{0}}));
}

TEST(Model, L40PartnerFindsASelectInAChannelThatHasClosedSince) {
  for (const int capacity : {0, 1}) {
    Check(WithPrologue(
        MakeWorld(
            {capacity, capacity},
            {{Select({R(0), R(1)})}, {Close(0)}, {TrySend(0), TrySend(1)}}),
        {{0}}));
  }
}

TEST(Model, L41ASubscriptionMovesWhileItsFiringHoldsIt) {
  // Channels 1 and 2 are contexts'.
  WorldSpec spec = MakeWorld(
      {0, 0, 0}, {{SelectTimeout({R(1)}), SelectTimeout({R(2), R(0)})},
                  {Cancel({1})},
                  {TrySend(0)}});
  spec.name += " done";
  spec.chans[1] = spec.chans[2] = DoneChan();
  Check(WithPrologue(std::move(spec), {{0}}));
}

TEST(Model, L44TheHeadsSegmentIsAnothersByNow) {
  Check(RecycledUnderTheHead(), {.seconds = 8});
}

// -----------------------------------------------------------------------------
// Families
// -----------------------------------------------------------------------------

// Selects over two channels, with and without default, beside plain parties.
void SelectFamily(int capacity0, int capacity1, int selects, int plain,
                  int stride, const Effort& effort,
                  const std::string& suffix = "") {
  std::vector<Op> choices;
  for (int x = 0; x < 8; ++x) {
    const std::vector<CaseSpec> cases = {(x & 1) != 0 ? R(0) : S(0),
                                         (x & 2) != 0 ? R(1) : S(1)};
    choices.push_back((x & 4) != 0 ? SelectDefault(cases) : Select(cases));
  }
  std::vector<Op> others;
  for (const int chan : {0, 1}) {
    for (const Op& op : {Send(chan), Recv(chan), TrySend(chan), TryRecv(chan),
                         Close(chan), Len(chan)}) {
      others.push_back(op);
    }
  }
  Family family("select " + std::to_string(capacity0) + "/" +
                    std::to_string(capacity1) + " x" + std::to_string(selects) +
                    " + " + std::to_string(plain) + suffix,
                30);
  int n = 0;
  ForEachMix(8, selects, [&](const std::vector<int>& mix) {
    ForEachMix(static_cast<int>(others.size()), plain,
               [&](const std::vector<int>& rest) {
                 Parties parties;
                 bool blocks = false;
                 int closes = 0;
                 for (const int i : mix) {
                   parties.push_back({choices[i]});
                   blocks |= choices[i].blocks();
                 }
                 for (const int i : rest) {
                   parties.push_back({others[i]});
                   closes += others[i].kind == OpKind::kClose;
                 }
                 if (closes > 1 || (!blocks && plain == 0)) return;
                 if (n++ % (Full() ? 1 : stride) != 0) return;
                 WorldSpec spec = MakeWorld({capacity0, capacity1}, parties);
                 spec.name += suffix;
                 family.Add(std::move(spec), effort);
               });
  });
}

TEST(ModelFamily, OneSelectAndTwoOthers) {
  for (const auto& [c0, c1] : {std::pair(0, 0), {0, 1}, {1, 0}, {1, 1}}) {
    SelectFamily(c0, c1, 1, 2, 41, {.preemptions = 1, .seconds = 0.4});
  }
}
TEST(ModelFamily, TwoSelects) {
  for (const auto& [c0, c1] : {std::pair(0, 0), {0, 1}, {1, 1}}) {
    SelectFamily(c0, c1, 2, 0, 3, {.preemptions = 2, .seconds = 0.4});
  }
}
TEST(ModelFamily, TwoSelectsAndAnother) {
  for (const auto& [c0, c1] : {std::pair(0, 0), {0, 1}, {1, 1}}) {
    SelectFamily(c0, c1, 2, 1, 43, {.preemptions = 1, .seconds = 0.4});
  }
}
TEST(ModelFamily, SelectsFrozen) {
  for (const auto& [c0, c1] : {std::pair(0, 0), {0, 1}, {1, 1}}) {
    SelectFamily(c0, c1, 1, 1, 5,
                 {.preemptions = 1, .freezes = 1, .seconds = 0.4}, " frozen");
    SelectFamily(c0, c1, 2, 0, 5,
                 {.preemptions = 1, .freezes = 1, .seconds = 0.4}, " frozen");
  }
}

TEST(ModelFamily, SelectsAtRandom) {
  for (const int capacity : {0, 1}) {
    for (const Parties& parties : std::vector<Parties>{
             {{Select({R(0), R(1)}), Select({R(1), R(0)})},
              {Send(0)},
              {Send(1)},
              {TrySend(0)}},
             {{Select({S(0), R(1)})},
              {Select({R(0), S(1)})},
              {Select({S(0), R(1)})},
              {TryRecv(0)}},
             {{Select({S(0), S(1)}), Select({R(0), R(1)})},
              {Recv(0), Send(1)},
              {Recv(1), Send(0)}},
             {{SelectTimeout({R(0), R(1)}), SelectTimeout({R(0), R(1)})},
              {SelectTimeout({R(0)}), Recv(0)},
              {Send(0), Send(1)},
              {TrySend(0)}},
             {{SelectTimeout({R(0)}), SelectTimeout({R(0)})},
              {SelectTimeout({R(0)}), SelectTimeout({R(0)})},
              {Recv(0)},
              {Recv(1), SelectTimeout({R(1)})},
              {TrySend(0), TrySend(1), Send(0)}},
             {{Select({R(0), R(1)})}, {Send(0), Send(1)}, {Close(0)}},
         }) {
      WorldSpec spec = MakeWorld({capacity, 1}, parties);
      spec.name += " random";
      CheckRandomly(std::move(spec), 4'000);
      spec = MakeWorld({capacity, 1}, parties);
      spec.name += " random frozen";
      CheckRandomly(std::move(spec), 2'000, /*freezes=*/1);
      spec = Owned(MakeWorld({capacity, 1}, parties));
      spec.name += " random";
      CheckRandomly(std::move(spec), 4'000);
      spec = Young(MakeWorld({capacity, 1}, parties));
      spec.name += " random frozen";
      CheckRandomly(std::move(spec), 2'000, /*freezes=*/1);
    }
  }
}

}  // namespace
}  // namespace gochan::model

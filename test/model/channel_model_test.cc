// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Channels under every schedule. The L numbers are those of the interleavings
// that broke earlier drafts of the design; docs/design/channel.md lists them.

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "test/model/model_test_util.h"

namespace gochan::model {
namespace {

using Parties = std::vector<std::vector<Op>>;

const Effort kDeep = {.preemptions = 3};
const Effort kExhaustive = {
    .preemptions = 12, .seconds = 20, .must_complete = true};
const Effort kFreezing = {.preemptions = 1, .freezes = 1};

// -----------------------------------------------------------------------------
// The explorer on the real thing
// -----------------------------------------------------------------------------

// Going on from each state once must not lose a history.
TEST(Model, MergingStatesLosesNoHistory) {
  Explorer explorer;
  for (const WorldSpec& spec :
       {MakeWorld({0}, {{Send(0), Len(0)}, {Recv(0)}, {Close(0)}}),
        MakeWorld({0}, {{TrySend(0), TrySend(0)}, {Recv(0)}, {TryRecv(0)}}),
        MakeWorld({1}, {{Send(0)}, {Recv(0)}, {TryRecv(0)}})}) {
    World merged(spec);
    World plain(spec);
    ASSERT_TRUE(explorer.Search(merged, {.preemptions = 2}).ok());
    ASSERT_TRUE(
        explorer.Search(plain, {.preemptions = 2, .merge_states = false}).ok());
    EXPECT_EQ(merged.histories(), plain.histories()) << spec.name;
  }
}

// -----------------------------------------------------------------------------
// Interleavings with a number
// -----------------------------------------------------------------------------

TEST(Model, L01PutAgainstEnqueueOfAReceiver) {
  Check(MakeWorld({1}, {{Send(0)}, {Recv(0)}}), kExhaustive);
  Check(MakeWorld({1}, {{Send(0)}, {Recv(0)}, {TryRecv(0)}}), kDeep);
}

TEST(Model, L02TakeAgainstEnqueueOfASenderAtFull) {
  Check(MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0)}}), kDeep);
  Check(MakeWorld({2}, {{Send(0), Send(0), Send(0)}, {Recv(0)}}), kDeep);
}

TEST(Model, L03SenderAndReceiverMeetInOneCell) {
  Check(MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Send(0)}}), kDeep);
  Check(MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Recv(0)}}), kDeep);
}

TEST(Model, L04CountByAHelperThenByTheOwner) {
  Check(MakeWorld({0}, {{Send(0)}, {Send(0)}, {Send(0)}}), kDeep);
  Check(MakeWorld({0}, {{Recv(0)}, {Recv(0)}, {Recv(0)}, {Send(0)}}));
}

TEST(Model, L05FrozenBetweenInstallAndCount) {
  Check(MakeWorld({0}, {{Send(0)}, {Send(0)}, {Recv(0), Recv(0)}}), kFreezing);
  Check(MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}}), kFreezing);
}

TEST(Model, L06ReceiverCountedWhileThereAreElements) {
  Check(MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0)}}), kDeep);
  Check(MakeWorld({2}, {{Recv(0)}, {Send(0), Send(0)}}), kDeep);
}

TEST(Model, L07SenderCountedWhileThereIsRoom) {
  Check(MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0), Recv(0)}}), kDeep);
  Check(MakeWorld({1}, {{Send(0), Send(0)}, {Send(0)}, {Recv(0)}}));
}

TEST(Model, L08CountedAfterClose) {
  for (const int capacity : {0, 1}) {
    Check(MakeWorld({capacity}, {{Recv(0)}, {Recv(0)}, {Close(0)}}), kDeep);
    Check(MakeWorld({capacity}, {{Send(0), Send(0)}, {Send(0)}, {Close(0)}}));
  }
}

TEST(Model, L09TwoReceiversSwapWithTwoWaitingSenders) {
  WorldSpec spec =
      MakeWorld({1}, {{Send(0), Send(0)}, {Send(0)}, {Recv(0)}, {Recv(0)}});
  spec.prologue = {{0}, {0}, {1}};
  Check(std::move(spec), kDeep);
}

TEST(Model, L19WokenBeforeThePublisherHasLeft) {
  Check(MakeWorld({0}, {{Recv(0), Recv(0)}, {Send(0), Send(0)}}), kDeep);
}

TEST(Model, L21ReaderAndWriterMeetAtAnUnpublishedSlot) {
  Check(MakeWorld({1}, {{Send(0)}, {Recv(0)}, {TryRecv(0), TryRecv(0)}}),
        kDeep);
  Check(MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0), Recv(0)}}), kFreezing);
}

TEST(Model, L22SwapReadsAndWritesTheSameSlot) {
  for (const int capacity : {1, 2}) {
    WorldSpec spec = MakeWorld(
        {capacity},
        {{Send(0), Send(0), Send(0)}, {Recv(0), Recv(0)}, {TryRecv(0)}});
    spec.prologue = {{0}, {0}};
    Check(std::move(spec));
  }
}

TEST(Model, L23LenWithAPendingAdmit) {
  WorldSpec spec =
      MakeWorld({1}, {{Send(0), Send(0)}, {Recv(0)}, {Len(0), Len(0)}});
  spec.prologue = {{0}};
  Check(std::move(spec), kDeep);
}

TEST(Model, L24CloseWithValuesWaitingSendersAndAPendingAdmit) {
  WorldSpec spec = MakeWorld(
      {1}, {{Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0)}, {Close(0)}});
  spec.prologue = {{0}};
  Check(std::move(spec));
}

TEST(Model, L33SeatTurnsRoundWhileAThirdIsInstalled) {
  Check(MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Send(0)}, {Recv(0)}}),
        {.preemptions = 2, .seconds = 4});
  Check(MakeWorld({0}, {{Send(0)}, {Recv(0)}, {Send(0)}, {Close(0)}}),
        {.preemptions = 2, .seconds = 3});
}

TEST(Model, L34CloseAgainstClose) {
  for (const int capacity : {0, 1}) {
    Check(MakeWorld({capacity}, {{Close(0)}, {Close(0)}, {Recv(0)}}), kDeep);
  }
}

TEST(Model, L35CountersNearTheirWrap) {
  constexpr uint32_t kLast = (uint32_t{1} << 31) - 1;
  for (const int capacity : {0, 1, 2}) {
    for (const Parties& parties :
         {Parties{{Send(0), Send(0), Send(0)}, {Recv(0), Recv(0), Recv(0)}},
          Parties{{Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0)}},
          Parties{{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}},
          Parties{{Send(0), Len(0)}, {Send(0)}, {Close(0)}}}) {
      for (const uint32_t place : {kLast, kLast - 1}) {
        WorldSpec spec = MakeWorld({capacity}, parties);
        spec.name += place == kLast ? " at the wrap" : " before the wrap";
        spec.chans[0].preset_ticket = capacity == 0 ? 0 : kLast;
        spec.chans[0].preset_place = place;
        Check(std::move(spec), {.preemptions = 1});
      }
    }
  }
}

TEST(Model, L37HeadParkedAndALongRunOfRoundsBehindIt) {
  for (const uint64_t places :
       {uint64_t{1} << 29, uint64_t{1} << 31, (uint64_t{1} << 31) + 1,
        (uint64_t{1} << 33) - 2}) {
    WorldSpec spec = MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}});
    spec.name += " behind " + std::to_string(places);
    spec.prologue = {{0}};
    spec.skip_places = places;
    Check(QueueOnly(spec));
    Check(std::move(spec));
  }
}

// -----------------------------------------------------------------------------
// The seat of a buffered channel
// -----------------------------------------------------------------------------

TEST(Model, L48OneSitsAndAnotherStandsBehind) {
  for (const int capacity : {1, 2}) {
    Check(MakeWorld({capacity}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}}),
          kDeep);
    Check(MakeWorld({capacity},
                    {{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}, {TrySend(0)}}));
    WorldSpec spec =
        MakeWorld({capacity},
                  {{Send(0), Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0)}});
    if (capacity == 1) spec.parties[0].pop_back();
    spec.prologue.assign(capacity, {0});
    Check(spec, kDeep);
    spec.parties.push_back({TryRecv(0)});
    spec.name += " | TR0";
    Check(std::move(spec));
  }
}

// Party 1 means to stand behind the seat; by the time it is installed, somebody
// of the other direction sits there.
TEST(Model, L49TheSeatTurnsRoundWhileAThirdIsInstalled) {
  WorldSpec receivers =
      MakeWorld({1}, {{Recv(0)}, {Recv(0)}, {Send(0), Send(0), Send(0)}});
  receivers.prologue = {{0}};
  Check(receivers, kDeep);
  Check(receivers, kFreezing);
  receivers.parties[1] = {SelectTimeout({R(0)})};
  receivers.name += " select";
  Check(receivers, kDeep);
  receivers.parties.push_back({Recv(0)});
  receivers.name += " | R0";
  Check(std::move(receivers));

  WorldSpec senders = MakeWorld(
      {1}, {{Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0), Recv(0)}});
  senders.prologue = {{0}, {0}};
  Check(senders, kDeep);
  Check(senders, kFreezing);
  senders.parties[1] = {SelectTimeout({S(0)})};
  senders.name += " select";
  Check(senders, kDeep);
  senders.parties.push_back({Send(0)});
  senders.name += " | S0";
  Check(std::move(senders));
}

TEST(Model, L50CloseAgainstTheSeat) {
  for (const int capacity : {1, 2}) {
    Check(MakeWorld({capacity}, {{Recv(0)}, {Close(0)}, {TrySend(0)}}), kDeep);
    Check(MakeWorld({capacity}, {{Recv(0)}, {Recv(0)}, {Close(0)}}), kDeep);
    Check(
        MakeWorld({capacity}, {{SelectTimeout({R(0)})}, {Close(0)}, {Recv(0)}}),
        kDeep);
    WorldSpec spec = MakeWorld(
        {capacity},
        {{Send(0), Send(0), Send(0)}, {Send(0)}, {Close(0)}, {Recv(0)}});
    if (capacity == 1) spec.parties[0].pop_back();
    spec.prologue.assign(capacity + 1, {0});
    Check(std::move(spec));
  }
}

TEST(Model, L51WithdrawAgainstServe) {
  for (const int capacity : {1, 2}) {
    for (const Parties& parties :
         {Parties{{SelectTimeout({R(0)})}, {Send(0)}, {Recv(0)}},
          Parties{{SelectTimeout({R(0)})}, {Send(0)}, {SelectTimeout({R(0)})}},
          Parties{{SelectTimeout({R(0)}), Recv(0)}, {Send(0)}, {TrySend(0)}}}) {
      WorldSpec spec = MakeWorld({capacity}, parties);
      Check(spec);
      spec.name += " seated";
      spec.prologue = {{0}};
      Check(spec, kDeep);
      spec.name += " frozen";
      Check(std::move(spec), kFreezing);
    }
  }
}

TEST(Model, L52ANoteIsMadeWhileTheQueueMovesOn) {
  Check(NotedTwice(), {.preemptions = 2, .seconds = 6});
  CheckRandomly(NotedTwice(), 20'000);
  Check(NotedLongAgo());
  // Party 2 is installed behind two, and looks whether it is counted.
  WorldSpec spec = MakeWorld(
      {1}, {{Recv(0)}, {Recv(0)}, {Recv(0)}, {Send(0), Send(0)}, {Recv(0)}});
  spec.prologue = {{0}, {1}};
  Check(std::move(spec));
}

TEST(Model, L53OthersComeWhileItsOwnerIsAboutToStore) {
  for (const int capacity : {0, 1, 2}) {
    for (const Parties& parties :
         {Parties{{TrySend(0), TrySend(0), TrySend(0)}, {TryRecv(0)}},
          Parties{{Send(0), Send(0)}, {Recv(0), Recv(0)}},
          Parties{{Recv(0), Recv(0)}, {Send(0)}, {Send(0)}},
          Parties{{TrySend(0), TryRecv(0)}, {TrySend(0)}, {Len(0)}}}) {
      Check(Owned(MakeWorld({capacity}, parties)), {.seconds = 0.4});
      Check(Owned(MakeWorld({capacity}, parties)),
            {.preemptions = 1, .freezes = 1, .seconds = 0.4});
      Check(Fresh(MakeWorld({capacity}, parties)), {.seconds = 0.3});
    }
  }
}

// A ticket is taken without a look at its slot, as on a channel where nobody
// was held up yet.
TEST(Model, L54TicketsTakenInHaste) {
  for (const int capacity : {1, 2}) {
    for (const Parties& parties :
         {Parties{
              {Send(0), Send(0), Send(0)}, {Recv(0), Recv(0)}, {TryRecv(0)}},
          Parties{{TrySend(0), TryRecv(0)}, {TrySend(0)}, {TryRecv(0)}},
          Parties{{Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0), Recv(0)}},
          Parties{{Send(0), Close(0)}, {Recv(0), Recv(0)}, {TrySend(0)}}}) {
      Check(Hasty(MakeWorld({capacity}, parties)), {.seconds = 0.4});
      Check(Hasty(MakeWorld({capacity}, parties)),
            {.preemptions = 1, .freezes = 1, .seconds = 0.4});
    }
  }
}

// -----------------------------------------------------------------------------
// Threads publish themselves
// -----------------------------------------------------------------------------

TEST(Model, PartiesThatPublishThemselves) {
  Family family("threads", 10);
  const Effort effort = {.self_publish = true};
  for (const int capacity : {0, 1}) {
    for (const Parties& parties :
         {Parties{{Send(0)}, {Recv(0)}, {Send(0)}},
          Parties{{Send(0), Recv(0)}, {Recv(0), Send(0)}},
          Parties{{Send(0), Send(0)}, {Recv(0)}, {Recv(0)}},
          Parties{{Send(0), Send(0)}, {Recv(0)}, {Close(0)}}}) {
      WorldSpec spec = MakeWorld({capacity}, parties);
      spec.name += " threads";
      family.Add(std::move(spec), effort);
    }
  }
}

// -----------------------------------------------------------------------------
// Families
// -----------------------------------------------------------------------------

// Every mix of programs over the alphabet of plain operations; each `stride`-th
// of them in the quick form.
void PlainFamily(int capacity, int parties, int length, int stride,
                 const Effort& effort, const std::string& suffix = "",
                 WorldSpec (*form)(WorldSpec) = nullptr) {
  const std::vector<std::vector<Op>> programs = Programs(
      {Send(0), Recv(0), TrySend(0), TryRecv(0), Close(0), Len(0)}, length);
  Family family("plain " + std::to_string(capacity) + " x" +
                    std::to_string(parties) + " of " + std::to_string(length) +
                    suffix,
                40);
  int n = 0;
  ForEachMix(static_cast<int>(programs.size()), parties,
             [&](const std::vector<int>& mix) {
               Parties chosen;
               int closes = 0, blocking = 0, ops = 0;
               for (const int i : mix) {
                 chosen.push_back(programs[i]);
                 for (const Op& op : programs[i]) {
                   closes += op.kind == OpKind::kClose;
                   blocking += op.blocks();
                   ++ops;
                 }
               }
               if (closes > 1 || blocking == 0 || ops > 8) return;
               if (n++ % (Full() ? 1 : stride) != 0) return;
               WorldSpec spec = MakeWorld({capacity}, chosen);
               if (form != nullptr) {
                 spec = form(std::move(spec));
               } else {
                 spec.name += suffix;
               }
               family.Add(std::move(spec), effort);
             });
}

TEST(ModelFamily, PlainTwoPartiesUnbuffered) {
  PlainFamily(0, 2, 2, 7, {.preemptions = 2});
}
TEST(ModelFamily, PlainTwoPartiesOfOne) {
  PlainFamily(1, 2, 2, 7, {.preemptions = 2});
}
TEST(ModelFamily, PlainTwoPartiesOfTwo) {
  PlainFamily(2, 2, 2, 11, {.preemptions = 2});
}
TEST(ModelFamily, PlainThreePartiesUnbuffered) {
  PlainFamily(0, 3, 1, 1, {.preemptions = 2});
}
TEST(ModelFamily, PlainThreePartiesOfOne) {
  PlainFamily(1, 3, 1, 1, {.preemptions = 2});
}
TEST(ModelFamily, PlainThreePartiesInTheQueue) {
  PlainFamily(1, 3, 1, 2, {.preemptions = 2}, " queue", &QueueOnly);
  PlainFamily(2, 3, 1, 3, {.preemptions = 1, .freezes = 1}, " queue frozen",
              &QueueOnly);
}
TEST(ModelFamily, PlainThreePartiesOfTwoOperations) {
  for (const int capacity : {0, 1, 2}) {
    PlainFamily(capacity, 3, 2, 997, {.preemptions = 1});
  }
}
TEST(ModelFamily, PlainFrozen) {
  for (const int capacity : {0, 1, 2}) {
    PlainFamily(capacity, 3, 1, 2, {.preemptions = 1, .freezes = 1}, " frozen");
  }
}

TEST(ModelFamily, PlainOwned) {
  for (const int capacity : {0, 1, 2}) {
    PlainFamily(capacity, 2, 2, 7, {.preemptions = 3}, " owned", &Owned);
    PlainFamily(capacity, 2, 2, 7, {.preemptions = 2}, " young", &Young);
    PlainFamily(capacity, 3, 1, 3, {.preemptions = 2}, " owned", &Owned);
    PlainFamily(capacity, 3, 1, 3, {.preemptions = 1, .freezes = 1},
                " owned frozen", &Owned);
  }
}

TEST(ModelFamily, FourPartiesAtRandom) {
  for (const int capacity : {0, 1, 2}) {
    for (const Parties& parties :
         {Parties{{Send(0), Send(0)}, {Recv(0), Recv(0)}, {Send(0)}, {Recv(0)}},
          Parties{{Send(0)}, {Recv(0)}, {Send(0), Recv(0)}, {Recv(0)}},
          Parties{
              {Send(0), Send(0)}, {Send(0)}, {Recv(0), Recv(0)}, {TryRecv(0)}},
          Parties{{Send(0), Send(0)}, {Send(0)}, {Recv(0)}, {Close(0)}},
          Parties{{Recv(0)}, {Recv(0)}, {Send(0), Send(0)}, {Close(0)}},
          Parties{{Send(0), TrySend(0)},
                  {Send(0)},
                  {Recv(0), TryRecv(0)},
                  {Recv(0)}},
          Parties{
              {Send(0), Send(0)}, {Send(0)}, {Recv(0)}, {Len(0), Len(0)}}}) {
      WorldSpec spec = MakeWorld({capacity}, parties);
      spec.name += " random";
      CheckRandomly(std::move(spec), 4'000);
      spec = MakeWorld({capacity}, parties);
      spec.name += " random frozen";
      CheckRandomly(std::move(spec), 2'000, /*freezes=*/1);
      spec = Owned(MakeWorld({capacity}, parties));
      spec.name += " random";
      CheckRandomly(std::move(spec), 4'000);
      spec = Young(MakeWorld({capacity}, parties));
      spec.name += " random frozen";
      CheckRandomly(std::move(spec), 2'000, /*freezes=*/1);
      spec = Fresh(MakeWorld({capacity}, parties));
      spec.name += " random frozen";
      CheckRandomly(std::move(spec), 2'000, /*freezes=*/1);
    }
  }
}

}  // namespace
}  // namespace gochan::model

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/internal/state_word.h"

#include <cstdint>

#include "chan/internal/mutation.h"
#include "gtest/gtest.h"
#include "runtime/restartable.h"

namespace gochan::internal {
namespace {

constexpr uint32_t kTop = Word::kCounterMask;

TEST(WordTest, TicketsWrapWithoutTouchingTheirNeighbours) {
  Word word = Word::Preset(kTop, /*buffered=*/true, 0);
  EXPECT_EQ(word.size(), 0u);
  word = word.Put();
  EXPECT_EQ(word.send(), 0u);
  EXPECT_EQ(word.recv(), kTop);
  EXPECT_EQ(word.size(), 1u);
  word = word.Take();
  EXPECT_EQ(word.recv(), 0u);
  EXPECT_EQ(word.size(), 0u);
  EXPECT_FALSE(word.closed());
  EXPECT_FALSE(word.busy());
}

TEST(WordTest, PlacesWrapWithoutTouchingTheirNeighbours) {
  Word word = Word::Preset(0, /*buffered=*/true, kTop);
  word = word.Count(Dir::kRecv);
  EXPECT_TRUE(word.busy());
  EXPECT_EQ(word.head(), kTop);
  EXPECT_EQ(word.tail(), 0u);
  EXPECT_EQ(word.dir(), Dir::kRecv);
  word = word.Count(Dir::kSend);
  EXPECT_EQ(word.dir(), Dir::kRecv) << "the first one gives the direction";
  word = word.PassTo(0, /*last=*/false);
  EXPECT_TRUE(word.busy());
  word = word.PassTo(1, /*last=*/true);
  EXPECT_FALSE(word.busy());
  EXPECT_EQ(word.head(), word.tail());
  const Word bounced = Word::Preset(0, false, kTop).Bounce();
  EXPECT_EQ(bounced.head(), 0u);
  EXPECT_EQ(bounced.tail(), 0u);
  EXPECT_FALSE(bounced.busy());
}

TEST(WordTest, TheSeatKeepsItsIdAsAVersion) {
  const WaiterId first =
      WaiterId::Make(7, 1, /*select=*/true, Dir::kRecv, /*bi=*/true);
  const WaiterId second =
      WaiterId::Make(7, 2, /*select=*/true, Dir::kRecv, /*bi=*/true);
  const Word empty = Word::Preset(0, /*buffered=*/false, 0);
  const Word left = empty.Sit(first).EmptySeat();
  EXPECT_FALSE(left.taken());
  EXPECT_NE(left, empty) << "a default must see that somebody was here";
  EXPECT_NE(left, empty.Sit(second).EmptySeat());
  EXPECT_TRUE(empty.Sit(first).SeatHolds(first));
  EXPECT_FALSE(empty.Sit(first).SeatHolds(second));
  EXPECT_FALSE(left.SeatHolds(first));
}

TEST(WordTest, SeatedSaysBothCountersByOneTicket) {
  constexpr uint32_t kC = 3;
  const WaiterId receiver = WaiterId::Make(
      WaiterId::kNodeMask, WaiterId::kGenMask, true, Dir::kRecv, false);
  const WaiterId sender = WaiterId::Make(7, 1, false, Dir::kSend, false);
  const Word empty = Word::Preset(kTop, /*buffered=*/true, 5);
  const Word full = empty.Put().Put().Put();
  for (const bool recv : {false, true}) {
    const Word from = recv ? empty : full;
    const Word word = from.Seat(recv ? receiver : sender);
    EXPECT_TRUE(word.busy());
    EXPECT_TRUE(word.seated());
    EXPECT_FALSE(word.closed());
    EXPECT_FALSE(word.queued());
    EXPECT_EQ(word.guest(), recv ? receiver : sender);
    EXPECT_EQ(word.dir(), recv ? Dir::kRecv : Dir::kSend);
    EXPECT_EQ(word.ticket(), kTop);
    EXPECT_TRUE(word.GuestIs(recv ? receiver : sender));
    EXPECT_FALSE(word.GuestIs(recv ? sender : receiver));
    EXPECT_FALSE(word.GuestIsPlain(Dir::kRecv)) << "the receiver is a select";
    EXPECT_EQ(word.GuestIsPlain(Dir::kSend), !recv);
    EXPECT_EQ(word.Unseat(5, recv ? 0 : kC), from);
    EXPECT_FALSE(word.Close().GuestIsPlain(Dir::kSend));
    EXPECT_TRUE(word.Close().Unseat(5, recv ? 0 : kC).closed());
  }
}

TEST(WordTest, PlacesBehindTheSeatBecomeTheQueue) {
  const WaiterId id = WaiterId::Make(7, 1, true, Dir::kRecv, false);
  Word word = Word::Preset(9, true, kTop).Seat(id);
  word = word.Count(Dir::kRecv).Count(Dir::kSend);
  EXPECT_EQ(word.more(), 2u);
  EXPECT_TRUE(word.queued());
  EXPECT_EQ(word.guest(), id);
  EXPECT_EQ(word.ticket(), 9u);
  const Word left = word.Unseat(kTop, 0);
  EXPECT_TRUE(left.busy());
  EXPECT_FALSE(left.seated());
  EXPECT_EQ(left.head(), kTop);
  EXPECT_EQ(left.tail(), 1u);
  EXPECT_EQ(left.dir(), Dir::kRecv) << "whoever was counted";
  EXPECT_EQ(left.size(), 0u);
  // So many that they look like none.
  const Word many = word.SkipForTest((uint64_t{1} << 31) - 2);
  EXPECT_EQ(many.more(), 0u);
  EXPECT_TRUE(many.Unseat(kTop, 0).busy());
}

TEST(WordTest, MovedSaysThatTheEndIsNotNoted) {
  const Word start = Word::Preset(0, true, 4);
  EXPECT_FALSE(start.moved());
  const Word drained = start.Count(Dir::kSend).PassTo(5, /*last=*/true);
  EXPECT_TRUE(drained.moved());
  const WaiterId id = WaiterId::Make(7, 1, false, Dir::kRecv, false);
  EXPECT_FALSE(drained.Seat(id).Unseat(5, 0).moved());
}

TEST(WordTest, ClosedAndBusyStay) {
  const WaiterId id = WaiterId::Make(WaiterId::kNodeMask, WaiterId::kGenMask,
                                     true, Dir::kRecv, true);
  const Word word =
      Word::Preset(kTop, true, 0).Count(Dir::kSend).Close().Put().Take();
  EXPECT_TRUE(word.closed());
  EXPECT_TRUE(word.busy());
  EXPECT_FALSE(Word().Sit(id).closed()) << "a full id reaches no other bit";
  EXPECT_FALSE(Word().Sit(id).busy());
  EXPECT_EQ(Word().Sit(id).seat(), id);
}

TEST(WaiterIdTest, SaysWhatItWasMadeOf) {
  const WaiterId id = WaiterId::Make(123456, 789, true, Dir::kSend, false);
  EXPECT_EQ(id.node(), 123456u);
  EXPECT_EQ(id.gen(), 789u);
  EXPECT_TRUE(id.is_select());
  EXPECT_EQ(id.dir(), Dir::kSend);
  EXPECT_FALSE(id.bi());
  EXPECT_TRUE(id.Serves(Dir::kRecv));
  EXPECT_FALSE(id.Serves(Dir::kSend));
  EXPECT_TRUE(WaiterId::Make(1, 1, true, Dir::kRecv, true).Serves(Dir::kRecv));
}

TEST(ClaimTest, StatesDiffer) {
  EXPECT_NE(Claim::Open(5), Claim::Self(5));
  EXPECT_NE(Claim::Open(5), Claim::Open(6));
  const Claim taken =
      Claim::Taken(WaiterId::kGenMask, 65535, ClaimMode::kTimeout);
  EXPECT_EQ(taken.gen(), WaiterId::kGenMask);
  EXPECT_EQ(taken.k(), 65535u);
  EXPECT_EQ(taken.mode(), ClaimMode::kTimeout);
  EXPECT_EQ(taken.state(), Claim::kTaken);
}

TEST(PlaceBeforeTest, LooksAroundTheWrap) {
  EXPECT_TRUE(PlaceBefore(0, 1));
  EXPECT_FALSE(PlaceBefore(1, 1));
  EXPECT_FALSE(PlaceBefore(1, 0));
  EXPECT_TRUE(PlaceBefore(kTop, 0));
  EXPECT_FALSE(PlaceBefore(0, kTop));
}

TEST(StateWordTest, ANoteIsMadeOnceAndByTheOldOne) {
  StateWord state;
  state.Init(Word::Preset(0, true, 4));
  EXPECT_EQ(state.Noted(), 4u);
  const Word start = state.ReadExact();
  const uint64_t old = state.Note();
  EXPECT_TRUE(state.MakeNote(old, start));
  EXPECT_EQ(state.Note(), old) << "the word has not moved";
  const Word five = start.Count(Dir::kSend).PassTo(5, true);
  EXPECT_TRUE(state.MakeNote(old, five));
  EXPECT_EQ(state.Noted(), 5u);
  EXPECT_FALSE(state.MakeNote(old, five)) << "a late one";
  // The same place again is another note.
  EXPECT_TRUE(state.MakeNote(state.Note(), five));
  EXPECT_EQ(state.Noted(), 5u);
  uint32_t tail = 0;
  const WaiterId id = WaiterId::Make(7, 1, false, Dir::kRecv, false);
  ASSERT_TRUE(state.Swap(start, five.Seat(id)));
  const Word seated = state.ReadExact();
  EXPECT_EQ(state.HeadOf(seated), 5u);
  ASSERT_TRUE(state.Swap(seated, seated.Count(Dir::kRecv)));
  EXPECT_FALSE(state.TailOf(seated, &tail)) << "it is old";
  EXPECT_TRUE(state.TailOf(state.ReadExact(), &tail));
  EXPECT_EQ(tail, 6u);
}

// Whoever comes second shares it; who has no mark never owns one.
TEST(StateWordTest, IsOwnedUntilSomebodyElseEnters) {
  const uint8_t mark = runtime::MarkOf(3);
  runtime::SetCurrentMark(mark);
  StateWord state;
  state.Init(Word::Preset(5, true, 9));
  state.BeginYoung();
  EXPECT_TRUE(state.IsLocked());
  EXPECT_FALSE(state.IsOwnedForTest());
  state.EndYoung();
  EXPECT_EQ(state.IsOwnedForTest(), mark != 0);
  EXPECT_EQ(state.IsLocked(), mark == 0);
  const Word start(state.ReadLo(), 0);
  EXPECT_TRUE(state.SwapLo(start.lo(), start.Put().lo()));
  EXPECT_FALSE(state.SwapLo(start.lo(), start.Put().lo()));
  EXPECT_EQ(state.Read().send(), 6u);
  state.Enter();
  EXPECT_EQ(state.IsOwnedForTest(), mark != 0) << "it is mine already";

  runtime::SetCurrentMark(runtime::MarkOf(4));
  EXPECT_EQ(Word(state.PeekLo(), 0).busy(), mark != 0) << "not plain";
  state.Enter();
  EXPECT_FALSE(state.IsOwnedForTest());
  EXPECT_TRUE(state.IsLocked());
  EXPECT_EQ(Word(state.PeekLo(), 0).send(), 6u);

  runtime::SetCurrentMark(mark);
  state.EndYoung();
  EXPECT_FALSE(state.IsOwnedForTest()) << "once and for ever";
  const Word shared(state.ReadLo(), 0);
  EXPECT_TRUE(state.SwapLo(shared.lo(), shared.Take().lo()));
  runtime::SetCurrentMark(0);
}

TEST(StateWordTest, ItsOwnersYoungOneIsSharedByOthersWithoutMore) {
  const uint8_t mark = runtime::MarkOf(3);
  runtime::SetCurrentMark(mark);
  StateWord state;
  state.BeginYoung();
  for (uint32_t i = 1; i < OwnedAfter(); ++i) state.CountYoung();
  EXPECT_FALSE(state.IsOwnedForTest());
  state.CountYoung();
  EXPECT_EQ(state.IsOwnedForTest(), mark != 0);
  StateWord young;
  young.BeginYoung();
  runtime::SetCurrentMark(0);
  EXPECT_EQ(young.IsLocked(), mark == 0);
  young.Enter();
  EXPECT_TRUE(young.IsLocked());
  EXPECT_FALSE(young.IsOwnedForTest());
}

TEST(StateWordTest, SwapFailsIfEitherHalfHasChanged) {
  StateWord state;
  const Word start = Word::Preset(5, true, 9);
  state.Init(start);
  // Not busy before or after, same hi: the low word alone decides.
  EXPECT_TRUE(state.Swap(Word(start.lo(), 0), Word(start.lo(), 0).Put()));
  const Word put = state.ReadExact();
  EXPECT_EQ(put.send(), 6u);
  EXPECT_EQ(put.hi(), start.hi());
  EXPECT_TRUE(state.Swap(put, put.Count(Dir::kRecv)));
  EXPECT_FALSE(state.Swap(put, put.Count(Dir::kRecv)));
  const Word counted = state.Read();
  EXPECT_TRUE(counted.busy());
  EXPECT_TRUE(state.Swap(counted, counted.Count(Dir::kRecv)));
  // The low word is the same as in `counted`; hi is not.
  EXPECT_FALSE(state.Swap(counted, counted.Take()));
}

}  // namespace
}  // namespace gochan::internal

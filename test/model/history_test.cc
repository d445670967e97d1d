// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The specification itself: histories that Go allows, and their neighbours that
// it does not.

#include "test/model/history.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::model {
namespace {

constexpr Result kOk{Result::kOk, 0, 0};
constexpr Result kPanic{Result::kPanic, 0, 0};
constexpr Result kClosed{Result::kClosed, 0, 0};
constexpr Result kWouldBlock{Result::kWouldBlock, 0, 0};
constexpr Result kTimeout{Result::kTimeout, 0, 0};
constexpr Result kPending{};

Result Got(int value, int k = 0) {
  return {Result::kOk, static_cast<uint8_t>(k), static_cast<uint8_t>(value)};
}
Result Length(int n) { return {Result::kLength, 0, static_cast<uint8_t>(n)}; }

// A history in the making. Operations overlap unless they are ordered.
class Case {
 public:
  explicit Case(std::vector<int> capacities)
      : capacities_(std::move(capacities)) {}

  // Sends get the values 1, 2, ... in the order of the calls.
  Case& Do(Op op, Result result) {
    for (CaseSpec& c : op.cases) {
      if (!c.recv) c.value = next_value_++;
    }
    History::Entry& entry = history_.ops[ops_.size()];
    entry.begun = true;
    entry.result = result;
    ops_.push_back(std::move(op));
    return *this;
  }
  // The last operation began after the end (or the parking) of operation j.
  Case& After(int j) {
    history_.ops[ops_.size() - 1].before |= 1 << j;
    return *this;
  }
  Case& AfterParking(int j) {
    history_.ops[ops_.size() - 1].parked_before |= 1 << j;
    return *this;
  }
  Case& Free() {
    history_.ops[ops_.size() - 1].free = true;
    return *this;
  }
  Case& Holds(int chan, std::vector<uint8_t> values, bool closed = false) {
    history_.final_known = true;
    history_.final_count[chan] = static_cast<uint8_t>(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      history_.final_buffer[chan][i] = values[i];
    }
    history_.final_closed[chan] = closed;
    return *this;
  }
  bool Allowed() const {
    return HistoryChecker(capacities_, ops_).Linearizable(history_);
  }

 private:
  std::vector<int> capacities_;
  std::vector<Op> ops_;
  History history_;
  uint8_t next_value_ = 1;
};

TEST(HistoryTest, BufferedValuesComeOutInOrder) {
  const auto both = [](int first, int second) {
    return Case({2})
        .Do(Send(0), kOk)
        .Do(Send(0), kOk)
        .After(0)
        .Do(Recv(0), Got(first))
        .After(1)
        .Do(Recv(0), Got(second))
        .After(2)
        .Allowed();
  };
  EXPECT_TRUE(both(1, 2));
  EXPECT_FALSE(both(2, 1));
  EXPECT_FALSE(both(1, 1));
}

TEST(HistoryTest, ConcurrentSendsMayComeOutEitherWay) {
  EXPECT_TRUE(Case({2})
                  .Do(Send(0), kOk)
                  .Do(Send(0), kOk)
                  .Do(Recv(0), Got(2))
                  .Do(Recv(0), Got(1))
                  .After(2)
                  .Allowed());
}

TEST(HistoryTest, WaitingReceiversAreServedInTheOrderOfParking) {
  const auto served = [](Result first, Result second) {
    return Case({0})
        .Do(Recv(0), first)
        .Do(Recv(0), second)
        .AfterParking(0)
        .Do(Send(0), kOk)
        .AfterParking(1)
        .Allowed();
  };
  EXPECT_TRUE(served(Got(1), kPending));
  EXPECT_FALSE(served(kPending, Got(1)));
}

TEST(HistoryTest, NobodySleepsWhoCouldBeServed) {
  EXPECT_TRUE(Case({0}).Do(Recv(0), kPending).Allowed());
  EXPECT_FALSE(Case({0}).Do(Recv(0), kPending).Do(Send(0), kPending).Allowed());
  EXPECT_FALSE(Case({1}).Do(Send(0), kPending).Allowed());
  EXPECT_FALSE(Case({0}).Do(Recv(0), kPending).Do(Close(0), kOk).Allowed());
}

TEST(HistoryTest, WhatAFrozenPartyDidIsOpen) {
  EXPECT_TRUE(
      Case({0}).Do(Recv(0), Got(1)).Do(Send(0), kPending).Free().Allowed());
  EXPECT_TRUE(
      Case({0}).Do(Recv(0), kPending).Do(Send(0), kPending).Free().Allowed());
}

TEST(HistoryTest, TryFormsAreExact) {
  EXPECT_FALSE(Case({1})
                   .Do(Send(0), kOk)
                   .Do(TryRecv(0), kWouldBlock)
                   .After(0)
                   .Allowed());
  EXPECT_TRUE(Case({1}).Do(Send(0), kOk).Do(TryRecv(0), kWouldBlock).Allowed());
  EXPECT_FALSE(Case({0})
                   .Do(Recv(0), kPending)
                   .Do(TrySend(0), kWouldBlock)
                   .AfterParking(0)
                   .Allowed());
}

TEST(HistoryTest, LenIsTheBuffer) {
  EXPECT_TRUE(
      Case({1}).Do(Send(0), kOk).Do(Len(0), Length(1)).After(0).Allowed());
  EXPECT_FALSE(
      Case({1}).Do(Send(0), kOk).Do(Len(0), Length(0)).After(0).Allowed());
}

TEST(HistoryTest, CloseWakesWhoWaitsAndKeepsWhatIsBuffered) {
  EXPECT_TRUE(Case({1})
                  .Do(Send(0), kOk)
                  .Do(Send(0), kPanic)
                  .After(0)
                  .Do(Close(0), kOk)
                  .AfterParking(1)
                  .Do(Recv(0), Got(1))
                  .After(2)
                  .Do(Recv(0), kClosed)
                  .After(3)
                  .Allowed());
  EXPECT_FALSE(Case({1})
                   .Do(Send(0), kOk)
                   .Do(Close(0), kOk)
                   .After(0)
                   .Do(Recv(0), kClosed)
                   .After(1)
                   .Allowed());
}

TEST(HistoryTest, OneCloseWins) {
  EXPECT_TRUE(Case({0}).Do(Close(0), kOk).Do(Close(0), kPanic).Allowed());
  EXPECT_FALSE(Case({0}).Do(Close(0), kOk).Do(Close(0), kOk).Allowed());
  EXPECT_FALSE(Case({0}).Do(Close(0), kPanic).Do(Close(0), kPanic).Allowed());
}

TEST(HistoryTest, TheBufferAtTheEndCounts) {
  EXPECT_TRUE(Case({2}).Do(Send(0), kOk).Holds(0, {1}).Allowed());
  EXPECT_FALSE(Case({2}).Do(Send(0), kOk).Holds(0, {}).Allowed());
  EXPECT_FALSE(Case({2}).Do(Send(0), kOk).Holds(0, {1}, true).Allowed());
}

TEST(HistoryTest, DefaultNeedsAnInstant) {
  // c0 was full of value 1 until it was received, and c1 has held value 2 since
  // before that.
  const auto history = [](bool sent_before_received) {
    Case c({1, 1});
    c.Do(Send(0), kOk).Do(SelectDefault({R(0), R(1)}), kWouldBlock).After(0);
    c.Do(Send(1), kOk).After(0);
    c.Do(Recv(0), Got(1)).After(0);
    if (sent_before_received) c.After(2);
    return c.Allowed();
  };
  EXPECT_TRUE(history(false));
  EXPECT_FALSE(history(true));
}

TEST(HistoryTest, ASelectHasOneEffect) {
  EXPECT_TRUE(Case({1, 1})
                  .Do(Select({S(0), S(1)}), Got(0, 1))
                  .Holds(0, {})
                  .Holds(1, {2})
                  .Allowed());
  EXPECT_FALSE(Case({1, 1})
                   .Do(Select({S(0), S(1)}), Got(0, 1))
                   .Holds(0, {1})
                   .Holds(1, {2})
                   .Allowed());
}

TEST(HistoryTest, ASelectMaySeeItsChannelsOneByOne) {
  // The documented case: select {c0 <- v; <-c1} against c1 <- w; TryRecv(c0)
  // can pair on c0 although c1 has a value.
  const auto pairs = [](int lower, int higher) {
    return Case({0, 1})
        .Do(Select({S(lower), R(higher)}), kOk)
        .Do(Send(higher), kOk)
        .Do(TryRecv(lower), Got(1))
        .After(1)
        .Holds(higher, {2})
        .Allowed();
  };
  EXPECT_TRUE(pairs(0, 1));
}

TEST(HistoryTest, AParkedSelectSeesAllItsChannels) {
  EXPECT_FALSE(Case({0, 1})
                   .Do(Select({S(0), R(1)}), kOk)
                   .Do(Send(1), kOk)
                   .AfterParking(0)
                   .Do(TryRecv(0), Got(1))
                   .After(1)
                   .Allowed());
}

TEST(HistoryTest, BothDirectionsOfOneChannelDoNotMeetThemselves) {
  EXPECT_TRUE(Case({0}).Do(Select({S(0), R(0)}), kPending).Allowed());
  EXPECT_FALSE(Case({0}).Do(Select({S(0), R(0)}), kOk).Allowed());
  EXPECT_TRUE(Case({0})
                  .Do(Select({S(0), R(0)}), kOk)
                  .Do(Select({S(0), R(0)}), Got(1, 1))
                  .Allowed());
}

TEST(HistoryTest, ATimeoutMayEndASelectButDoesNothingElse) {
  EXPECT_TRUE(Case({0})
                  .Do(SelectTimeout({S(0)}), kTimeout)
                  .Do(Recv(0), kPending)
                  .Allowed());
  EXPECT_FALSE(Case({0})
                   .Do(SelectTimeout({S(0)}), kTimeout)
                   .Do(Recv(0), Got(1))
                   .Allowed());
}

TEST(HistoryTest, CancellingClosesOneByOne) {
  // c0 is the parent's channel, c1 the child's.
  const auto seen = [](Result parent, Result child) {
    return Case({0, 0})
        .Do(Cancel({0, 1}), kOk)
        .Do(TryRecv(0), parent)
        .Do(TryRecv(1), child)
        .After(1)
        .Allowed();
  };
  EXPECT_TRUE(seen(kClosed, kWouldBlock));
  EXPECT_TRUE(seen(kWouldBlock, kClosed));
  EXPECT_TRUE(seen(kClosed, kClosed));
  EXPECT_FALSE(Case({0, 0})
                   .Do(Cancel({0, 1}), kOk)
                   .Do(TryRecv(1), kWouldBlock)
                   .After(0)
                   .Allowed());
}

}  // namespace
}  // namespace gochan::model

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Idle cases stay cheap for ever: four threads select on a busy channel, an
// idle one and a context, with another party parked on the idle channel all the
// time. Resident memory does not grow, and a send on the idle channel costs
// what it costs on a fresh one. (Its steps are counted in test/stall/.)

#include <cstddef>
#include <cstdint>

#include "chan/chan.h"
#include "chan/internal/core.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "select/select.h"
#include "test/util/allocations.h"
#include "test/util/parked.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

namespace gochan {
namespace {

using test::Scaled;
using test::Threads;
using test::WaitUntilParked;

constexpr int kSelecters = 4;

void RunSelects(const Chan<int>& busy, const Chan<int>& idle,
                const Context& ctx, int64_t rounds) {
  Threads threads(test::ScaledLimit());
  threads.GoEach(kSelecters, [&](int) {
    for (int64_t i = 0; i < rounds / kSelecters; ++i) {
      const std::size_t k =
          Select(RecvCase(busy), RecvCase(idle), DoneCase(ctx));
      ASSERT_EQ(k, 0u);
    }
  });
  for (int64_t i = 0; i < rounds / kSelecters * kSelecters; ++i) busy.Send(0);
}

// One parked receiver, one send to it.
void SendToOneParked(const Chan<int>& ch) {
  Threads threads;
  threads.Go([ch] { EXPECT_EQ(ch.Recv().value, 1); });
  WaitUntilParked(ch, 1);
  ch.Send(1);
}

TEST(IdleCase, ManyRoundsLeaveNothingBehind) {
  const int64_t rounds = Scaled(1'000'000);
  // A busy channel with a buffer is mostly ready; one without makes most
  // selects wait on all their cases.
  for (int cap : {16, 0}) {
    auto idle = MakeChan<int>();
    auto busy = MakeChan<int>(cap);
    auto [ctx, cancel] = WithCancel(Background());
    Threads threads(test::ScaledLimit());
    threads.Go([idle] { EXPECT_EQ(idle.Recv().value, 1); });
    WaitUntilParked(idle, 1);
    RunSelects(busy, idle, ctx, 10'000);
    const int64_t live = test::LiveAllocations();
    const int64_t resident = test::ResidentBytes();

    // Of each half, the one with a buffer does more: it is faster.
    RunSelects(busy, idle, ctx, cap > 0 ? rounds * 9 / 10 : rounds / 10);

    EXPECT_LE(test::LiveAllocations() - live, 8);
    if (!test::kSanitized) {
      EXPECT_LT(test::ResidentBytes() - resident, int64_t{1} << 20);
    }
    WaitUntilParked(idle, 1);
    EXPECT_LE(internal::CoreAccess::Get(idle)->SegmentsForTest(), 8);

    // What a send costs now is counted in test/stall/idle_case_steps_test.cc.
    idle.Send(1);
    threads.Join();
    // And it serves on.
    for (int i = 0; i < 3; ++i) SendToOneParked(idle);
  }
}

}  // namespace
}  // namespace gochan

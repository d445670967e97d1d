// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What a send costs in atomic steps, on a channel that has been an idle case of
// selects for a long time. Counted, because time on a shared machine says
// little.
//
// Built with GOCHAN_INSTRUMENT=1.

#include <cstddef>
#include <cstdint>

#include "chan/chan.h"
#include "chan/internal/core.h"
#include "ctx/context.h"
#include "gtest/gtest.h"
#include "runtime/instrument.h"
#include "select/select.h"
#include "test/util/parked.h"
#include "test/util/scale.h"
#include "test/util/threads.h"

#if !GOCHAN_INSTRUMENT
#error "this test needs the instrumented libraries"
#endif

namespace gochan {
namespace {

using test::Scaled;
using test::Threads;
using test::WaitUntilParked;

thread_local int64_t steps = 0;

// The atomic steps of a send to the one party that is parked on `ch`.
int64_t StepsOfSend(const Chan<int>& ch) {
  steps = 0;
  runtime::step_hook = [](runtime::StepKind, const void*) { ++steps; };
  ch.Send(1);
  runtime::step_hook = nullptr;
  return steps;
}

int64_t FreshCost(int cap) {
  auto ch = MakeChan<int>(cap);
  Threads threads;
  threads.Go([ch] { EXPECT_EQ(ch.Recv().value, 1); });
  WaitUntilParked(ch, 1);
  return StepsOfSend(ch);
}

TEST(IdleCaseSteps, ASendOnAnIdleChannelStaysCheap) {
  const int64_t rounds = Scaled(20'000);
  for (int cap : {0, 1, 8}) {
    auto idle = MakeChan<int>(cap);
    auto busy = MakeChan<int>(1);
    auto [ctx, cancel] = WithCancel(Background());
    Threads threads(test::ScaledLimit());
    threads.Go([idle] { EXPECT_EQ(idle.Recv().value, 1); });
    WaitUntilParked(idle, 1);
    Threads selects(test::ScaledLimit());
    selects.GoEach(4, [&, ctx = ctx](int) {
      for (int64_t i = 0; i < rounds; ++i) {
        ASSERT_EQ(Select(RecvCase(busy), RecvCase(idle), DoneCase(ctx)), 0u);
      }
    });
    for (int64_t i = 0; i < 4 * rounds; ++i) busy.Send(0);
    selects.Join();
    WaitUntilParked(idle, 1);
    EXPECT_LE(internal::CoreAccess::Get(idle)->SegmentsForTest(), 8);
    const int64_t fresh = FreshCost(cap);
    const int64_t aged = StepsOfSend(idle);
    EXPECT_LE(aged, 2 * fresh);
    threads.Join();
    // The next one passes the dead places that are left behind the first
    // waiter: a few segments, however many rounds there were.
    threads.Go([idle] { EXPECT_EQ(idle.Recv().value, 1); });
    WaitUntilParked(idle, 1);
    EXPECT_LE(StepsOfSend(idle), 2 * fresh + 120);
    // And then all is as it was.
    threads.Join();
    threads.Go([idle] { EXPECT_EQ(idle.Recv().value, 1); });
    WaitUntilParked(idle, 1);
    EXPECT_LE(StepsOfSend(idle), 2 * fresh);
  }
}

}  // namespace
}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "select/bounded.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "gtest/gtest.h"

namespace gochan {
namespace {

// Nobody waits this long: the test is over before.
constexpr absl::Duration kLong = absl::Hours(1);

bool IsSendOnClosed(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) &&
         std::string(status.message()) == "send on closed channel";
}

class BoundedTest : public testing::TestWithParam<int> {
 protected:
  // A channel of the capacity under test on which a send blocks.
  template <typename T>
  static Chan<T> Full() {
    Chan<T> ch = MakeChan<T>(GetParam());
    while (ch.TrySend(T())) {
    }
    return ch;
  }
};

TEST_P(BoundedTest, SendOrSends) {
  Chan<int> ch = MakeChan<int>(GetParam());
  auto [ctx, cancel] = WithCancel(Background());
  int received = 0;
  std::thread receiver([ch, &received] { received = ch.Recv().value; });
  EXPECT_TRUE(SendOr(ctx, ch, 7).ok());
  receiver.join();
  EXPECT_EQ(received, 7);
}

TEST_P(BoundedTest, RecvOrReceives) {
  Chan<int> ch = MakeChan<int>(GetParam());
  auto [ctx, cancel] = WithCancel(Background());
  std::thread sender([ch] { ch.Send(7); });
  absl::StatusOr<RecvResult<int>> result = RecvOr(ctx, ch);
  sender.join();
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->ok);
  EXPECT_EQ(result->value, 7);
}

TEST_P(BoundedTest, SendForAndRecvForMeet) {
  Chan<int> ch = MakeChan<int>(GetParam());
  for (const absl::Duration d : {kLong, absl::InfiniteDuration()}) {
    std::thread sender([ch, d] { EXPECT_TRUE(SendFor(ch, 7, d).ok()); });
    absl::StatusOr<RecvResult<int>> result = RecvFor(ch, d);
    sender.join();
    ASSERT_TRUE(result.ok());
    EXPECT_TRUE(result->ok);
    EXPECT_EQ(result->value, 7);
  }
}

TEST_P(BoundedTest, DoneContextEndsASend) {
  Chan<std::string> ch = Full<std::string>();
  auto [ctx, cancel] = WithCancel(Background());
  std::string value = "mine";
  std::thread canceller([cancel = cancel] { cancel(); });
  const absl::Status status = SendOr(ctx, ch, std::move(value));
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(status, ctx.Err());
  EXPECT_EQ(value, "mine");
}

TEST_P(BoundedTest, DoneContextEndsAReceive) {
  Chan<int> ch = MakeChan<int>(GetParam());
  auto [ctx, cancel] = WithCancel(Background());
  std::thread canceller([cancel = cancel] { cancel(); });
  EXPECT_TRUE(absl::IsCancelled(RecvOr(ctx, ch).status()));
  canceller.join();
}

TEST_P(BoundedTest, DeadlineOfTheContext) {
  auto [ctx, cancel] = WithTimeout(Background(), absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(SendOr(ctx, Full<int>(), 1)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(RecvOr(ctx, MakeChan<int>()).status()));
}

TEST_P(BoundedTest, TimesOut) {
  Chan<std::string> full = Full<std::string>();
  Chan<std::string> empty = MakeChan<std::string>(GetParam());
  std::string value = "mine";
  for (const absl::Duration d :
       {absl::Milliseconds(1), absl::ZeroDuration(), -kLong}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(SendFor(full, std::move(value), d)));
    EXPECT_EQ(value, "mine");
    EXPECT_TRUE(absl::IsDeadlineExceeded(RecvFor(empty, d).status()));
  }
}

// A limit that has passed already does not win over what is possible.
TEST_P(BoundedTest, NoTimeStillDoesWhatIsPossible) {
  if (GetParam() == 0) GTEST_SKIP() << "needs a buffer";
  Chan<int> ch = MakeChan<int>(GetParam());
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(SendFor(ch, i, absl::ZeroDuration()).ok());
    absl::StatusOr<RecvResult<int>> result = RecvFor(ch, -kLong);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->value, i);
  }
}

TEST_P(BoundedTest, ClosedBefore) {
  Chan<std::string> ch = MakeChan<std::string>(GetParam());
  ch.Close();
  std::string value = "mine";
  EXPECT_TRUE(IsSendOnClosed(SendOr(Background(), ch, std::move(value))));
  EXPECT_TRUE(IsSendOnClosed(SendFor(ch, std::move(value), kLong)));
  EXPECT_TRUE(
      IsSendOnClosed(SendFor(ch, std::move(value), absl::ZeroDuration())));
  EXPECT_EQ(value, "mine");
  absl::StatusOr<RecvResult<std::string>> result = RecvOr(Background(), ch);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->ok);
  EXPECT_EQ(result->value, "");
  result = RecvFor(ch, kLong);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->ok);
}

TEST_P(BoundedTest, ClosedMeanwhile) {
  {
    Chan<std::string> ch = Full<std::string>();
    std::string value = "mine";
    std::thread closer([ch] { ch.Close(); });
    EXPECT_TRUE(IsSendOnClosed(SendOr(Background(), ch, std::move(value))));
    closer.join();
    EXPECT_EQ(value, "mine");
  }
  {
    Chan<std::string> ch = Full<std::string>();
    std::string value = "mine";
    std::thread closer([ch] { ch.Close(); });
    EXPECT_TRUE(IsSendOnClosed(SendFor(ch, std::move(value), kLong)));
    closer.join();
    EXPECT_EQ(value, "mine");
  }
  {
    Chan<int> ch = MakeChan<int>(GetParam());
    std::thread closer([ch] { ch.Close(); });
    absl::StatusOr<RecvResult<int>> result = RecvOr(Background(), ch);
    closer.join();
    ASSERT_TRUE(result.ok());
    EXPECT_FALSE(result->ok);
  }
}

TEST_P(BoundedTest, NilNeverTakesPart) {
  auto [ctx, cancel] = WithCancel(Background());
  cancel();
  EXPECT_TRUE(absl::IsCancelled(SendOr(ctx, Chan<int>(), 1)));
  EXPECT_TRUE(absl::IsCancelled(RecvOr(ctx, RecvChan<int>()).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      SendFor(SendChan<int>(), 1, absl::Milliseconds(1))));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      RecvFor(Chan<int>(), absl::Milliseconds(1)).status()));
}

TEST_P(BoundedTest, Views) {
  Chan<int> ch = MakeChan<int>(1);
  const SendChan<int> out = ch;
  const RecvChan<int> in = ch;
  EXPECT_TRUE(SendOr(Background(), out, 1).ok());
  EXPECT_EQ(RecvOr(Background(), in)->value, 1);
  EXPECT_TRUE(SendFor(out, 2, kLong).ok());
  EXPECT_EQ(RecvFor(in, kLong)->value, 2);
}

TEST_P(BoundedTest, MoveOnly) {
  Chan<std::unique_ptr<int>> ch = MakeChan<std::unique_ptr<int>>(1);
  auto value = std::make_unique<int>(7);
  EXPECT_TRUE(SendOr(Background(), ch, std::move(value)).ok());
  EXPECT_EQ(value, nullptr);
  value = std::make_unique<int>(8);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      SendFor(ch, std::move(value), absl::Milliseconds(1))));
  ASSERT_NE(value, nullptr);  // not sent, not moved
  EXPECT_EQ(*value, 8);
  absl::StatusOr<RecvResult<std::unique_ptr<int>>> result =
      RecvOr(Background(), ch);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result->value, 7);
}

TEST_P(BoundedTest, ValuesConvertAndLvaluesAreCopied) {
  Chan<std::string> ch = MakeChan<std::string>(3);
  const std::string kept = "kept";
  EXPECT_TRUE(SendOr(Background(), ch, "literal").ok());
  EXPECT_TRUE(SendFor(ch, kept, kLong).ok());
  EXPECT_TRUE(SendOr(Background(), ch, {"abc", 2}).ok());
  EXPECT_EQ(RecvOr(Background(), ch)->value, "literal");
  EXPECT_EQ(RecvFor(ch, kLong)->value, "kept");
  EXPECT_EQ(RecvFor(ch, kLong)->value, "ab");
  EXPECT_EQ(kept, "kept");
}

INSTANTIATE_TEST_SUITE_P(Capacities, BoundedTest, testing::Values(0, 1, 2, 64));

}  // namespace
}  // namespace gochan

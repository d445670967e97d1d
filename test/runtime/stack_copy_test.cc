// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack_copy.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "chan/chan.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "runtime/goroutine.h"
#include "runtime/sanitizers.h"
#include "test/util/parked.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

using test::Parties;
using test::Patience;

using StackCopyTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(StackCopyTest);

std::optional<uint32_t> IndexOf(uint64_t id) {
  std::optional<uint32_t> found;
  TaskReader::ForEach([&](uint32_t index, uint64_t other, uint64_t) {
    if (other == id) found = index;
  });
  return found;
}

// Words that the compiler must keep in the frame.
struct Marks {
  volatile uint64_t words[8] = {};

  void Set(uint64_t value) {
    for (int i = 0; i < 8; ++i) words[i] = value;
  }
};

bool Copy(uint64_t id, StackCopy* copy) {
  const std::optional<uint32_t> index = IndexOf(id);
  return index.has_value() && CopyStack(*index, id, copy);
}

PARTY_TEST(StackCopyTest, HoldsTheFramesOfWhoWaits) {
  if (!kStacksAreReadable) GTEST_SKIP() << "stacks cannot be read here";
  auto never = MakeChan<Unit>();
  std::atomic<uint64_t> id = 0;
  std::atomic<uintptr_t> place = 0;
  constexpr uint64_t kMark = 0x123456789abcdef1;
  Parties parties;
  parties.Go([&, never] {
    Marks marks;
    marks.Set(kMark);
    place = reinterpret_cast<uintptr_t>(&marks);
    id = GoroutineId();
    never.Recv();
    EXPECT_EQ(marks.words[0], kMark);
  });
  test::WaitUntilParked(never, 1);
  StackCopy copy;
  // Visible to its partner it is when it has left, so this cannot fail.
  ASSERT_TRUE(Copy(id, &copy));
  EXPECT_NE(copy.resume, 0u);
  const uintptr_t end = copy.low + copy.words.size() * sizeof(uintptr_t);
  if (place >= copy.low && place < end) {  // else it is in a fake frame (ASan)
    EXPECT_EQ(copy.words[(place - copy.low) / sizeof(uintptr_t)], kMark);
  } else {
    EXPECT_TRUE(GOCHAN_ASAN);
  }
  never.Close();
}

PARTY_TEST(StackCopyTest, NobodyElse) {
  StackCopy copy;
  EXPECT_FALSE(Copy(GoroutineId(), &copy));  // it runs
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> blocking = 0;
  Parties parties;
  parties.Go([&] {
    blocking = GoroutineId();
    Blocking([&] {
      Patience patience;
      while (!stop) patience.Wait("nobody stops this");
    });
  });
  Patience patience;
  while (blocking == 0) patience.Wait("it does not begin");
  EXPECT_FALSE(Copy(blocking, &copy));
  stop = true;
  parties.Join();
  while (IndexOf(blocking).has_value()) patience.Wait("it does not end");
  EXPECT_FALSE(CopyStack(0, blocking, &copy));
}

// Whoever is copied was parked all the while: on its stack stands the number
// that it has written there last before it told others.
PARTY_TEST(StackCopyTest, IsOfOnePiece) {
  if (!kStacksAreReadable) GTEST_SKIP() << "stacks cannot be read here";
  auto turns = MakeChan<uint64_t>();
  std::atomic<uint64_t> id = 0;
  std::atomic<uintptr_t> place = 0;
  const auto rounds = static_cast<uint64_t>(test::PartyScaled(40'000));
  Parties parties;
  parties.Go([&, turns] {
    Marks marks;
    place = reinterpret_cast<uintptr_t>(&marks);
    id = GoroutineId();
    for (uint64_t i = 1; i <= rounds; ++i) {
      marks.Set(i);
      turns.Recv();
    }
  });
  std::atomic<bool> over = false;
  parties.Go([&, turns] {
    for (uint64_t i = 1; i <= rounds; ++i) turns.Send(i);
    over = true;
  });
  Patience patience;
  while (id == 0) patience.Wait("it does not begin");
  const uint32_t index = *IndexOf(id);
  StackCopy copy;
  uint64_t copies = 0;
  uint64_t last = 0;
  while (!over) {
    if (!CopyStack(index, id, &copy)) {
      patience.Wait("it does not end");
      continue;
    }
    const uintptr_t end = copy.low + copy.words.size() * sizeof(uintptr_t);
    if (place < copy.low || place >= end) {  // a fake frame
      EXPECT_TRUE(GOCHAN_ASAN);
      ++copies;
      continue;
    }
    const std::size_t at = (place - copy.low) / sizeof(uintptr_t);
    for (std::size_t i = 0; i < 8; ++i) {
      ASSERT_EQ(copy.words[at + i], copy.words[at]);
    }
    ASSERT_GE(copy.words[at], last);
    last = copy.words[at];
    ++copies;
    Yield();
  }
  // Not for sure in a short run.
  if (rounds >= 40'000) {
    EXPECT_GT(copies, 0u);
  }
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/snapshot.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "go/go.h"
#include "gtest/gtest.h"
#include "test/util/patience.h"
#include "test/util/scale.h"

namespace gochan::runtime {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(20);

// Memory that the snapshot shares with the process.
template <typename T>
class Shared {
 public:
  Shared()
      : value_(new(mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T()) {}
  ~Shared() { munmap(value_, sizeof(T)); }
  T* operator->() const { return value_; }
  T* get() const { return value_; }

 private:
  T* const value_;
};

class SnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RunInSnapshot([](void*) {}, nullptr, kLimit)) {
      GTEST_SKIP() << "the system makes no snapshots";
    }
  }
};

// Two counters, of which the second follows the first, on pages apart: no
// snapshot shows the second one ahead.
struct Counters {
  alignas(4096) volatile uint64_t first = 0;
  alignas(4096) volatile uint64_t second = 0;
};

struct Seen {
  uint64_t first;
  uint64_t second;
};

TEST_F(SnapshotTest, IsOfOneInstant) {
  const auto counters = std::make_unique<Counters>();
  const Shared<Seen> seen;
  std::atomic<bool> stop = false;
  std::thread counting([&] {
    for (uint64_t i = 1; !stop; ++i) {
      counters->first = i;
      std::atomic_signal_fence(std::memory_order_seq_cst);
      counters->second = i;
    }
  });
  struct Look {
    const Counters* counters;
    Seen* seen;
  } look{counters.get(), seen.get()};
  uint64_t last = 0;
  const auto rounds = test::Scaled(300);
  for (int64_t i = 0; i < rounds; ++i) {
    ASSERT_TRUE(RunInSnapshot(
        [](void* arg) {
          const Look& l = *static_cast<Look*>(arg);
          // As long as it takes, it stays as it is.
          *l.seen = {l.counters->first, l.counters->second};
          for (int k = 0; k < 1000; ++k) {
            if (l.counters->first != l.seen->first) l.seen->first = 0;
          }
        },
        &look, kLimit));
    EXPECT_TRUE(seen->first == seen->second || seen->first == seen->second + 1)
        << seen->first << " " << seen->second;
    EXPECT_GE(seen->second, last);
    last = seen->second;
  }
  stop = true;
  counting.join();
  EXPECT_GT(last, 0u);
}

TEST_F(SnapshotTest, TellsOfFailure) {
  EXPECT_FALSE(RunInSnapshot([](void*) { _exit(3); }, nullptr, kLimit));
  EXPECT_FALSE(RunInSnapshot([](void*) { abort(); }, nullptr, kLimit));
  EXPECT_FALSE(RunInSnapshot(
      [](void*) {
        for (;;) pause();
      },
      nullptr, absl::Milliseconds(20)));
}

// Nobody who waits for children of his own is told of it.
TEST_F(SnapshotTest, IsNoChildOfTheProgram) {
  ASSERT_TRUE(RunInSnapshot(
      [](void*) {
        errno = 0;
        if (waitpid(-1, nullptr, 0) != -1 || errno != ECHILD) _exit(1);
      },
      nullptr, kLimit));
  errno = 0;
  EXPECT_EQ(waitpid(-1, nullptr, 0), -1);
  EXPECT_EQ(errno, ECHILD);
}

// A file that it closes is closed, one that it opens as well.
TEST_F(SnapshotTest, SharesFiles) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(RunInSnapshot([](void* arg) { close(static_cast<int*>(arg)[1]); },
                            ends, kLimit));
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

TEST_F(SnapshotTest, GoroutinesGoOn) {
  const int before = SetMaxProcs(1);
  std::atomic<int> state = 0;
  gochan::Go([&] {
    std::atomic<bool> stop = false;
    gochan::Go([&] {
      ++state;
      test::Patience patience;
      while (!stop) patience.Wait("it does not end");
      ++state;
    });
    // The child ends when the other one has run.
    const Shared<std::atomic<bool>> ran;
    struct Both {
      std::atomic<bool>* ran;
    } both{ran.get()};
    std::thread telling([&] {
      test::Patience patience;
      while (state == 0) patience.Wait("it does not run");
      *ran.get() = true;
    });
    EXPECT_TRUE(RunInSnapshot(
        [](void* arg) {
          while (!*static_cast<Both*>(arg)->ran) usleep(100);
        },
        &both, kLimit));
    telling.join();
    stop = true;
    test::Patience patience;
    while (state != 2) patience.Wait("it does not end");
    ++state;
  });
  test::Patience patience;
  while (state != 3) patience.Wait("it does not end");
  SetMaxProcs(before);
}

}  // namespace
}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Counts what does not depend on how busy the machine is: atomic
// read-modify-writes, loads and stores of one operation on each path. Built
// with GOCHAN_INSTRUMENT.

#include <cstdint>
#include <cstdio>
#include <thread>

#include "chan/chan.h"
#include "ctx/context.h"
#include "runtime/instrument.h"
#include "select/select.h"

namespace {

using gochan::Chan;
using gochan::MakeChan;
using gochan::runtime::StepKind;

struct Counts {
  double rmw8 = 0, rmw16 = 0, loads = 0, stores = 0;
};
thread_local Counts counts;

void Count(StepKind kind, const void*) {
  switch (kind) {
    case StepKind::kLoad:
    case StepKind::kLoad16:
      ++counts.loads;
      break;
    case StepKind::kStore:
      ++counts.stores;
      break;
    case StepKind::kRmw:
      ++counts.rmw8;
      break;
    case StepKind::kRmw16:
      ++counts.rmw16;
      break;
    case StepKind::kSpin:
      break;
  }
}

template <typename F>
Counts Of(F operation) {
  counts = {};
  gochan::runtime::step_hook = &Count;
  operation();
  gochan::runtime::step_hook = nullptr;
  return counts;
}

void Print(const char* path, const Counts& c, double n) {
  std::printf("| %s | %.1f | %.1f | %.1f | %.1f |\n", path, c.rmw8 / n,
              c.rmw16 / n, c.loads / n, c.stores / n);
}

constexpr int kRounds = 1000;

template <typename F>
void Measure(const char* path, F round) {
  round();  // warm-up
  Print(path, Of([&] {
          for (int i = 0; i < kRounds; ++i) round();
        }),
        kRounds);
}

// Both sides of a hand-over between two threads. The receiver is parked before
// each send, so that the path is the same every time.
void MeasureHandover() {
  Chan<uint64_t> ch = MakeChan<uint64_t>();
  Counts receiver;
  auto* core = gochan::internal::CoreAccess::Get(ch);
  std::thread thread([&] {
    (void)ch.Recv();
    receiver = Of([&] {
      for (int i = 0; i < kRounds; ++i) (void)ch.Recv();
    });
  });
  auto send = [&] {
    while (core->WaitersForTest() == 0) std::this_thread::yield();
    ch.Send(1);
  };
  send();
  Counts sender;
  for (int i = 0; i < kRounds; ++i) {
    while (core->WaitersForTest() == 0) std::this_thread::yield();
    const Counts one = Of([&] { ch.Send(1); });
    sender.rmw8 += one.rmw8;
    sender.rmw16 += one.rmw16;
    sender.loads += one.loads;
    sender.stores += one.stores;
  }
  thread.join();
  Print("unbuffered send to a parked receiver", sender, kRounds);
  Print("the receive that was parked (a thread: one more to sleep)", receiver,
        kRounds);
}

}  // namespace

int main() {
  std::printf(
      "| operation | 8-byte RMW | 16-byte RMW | loads | stores |\n"
      "|---|---|---|---|---|\n");
  Chan<uint64_t> ch = MakeChan<uint64_t>(1);
  Chan<uint64_t> idle = MakeChan<uint64_t>(), idle2 = MakeChan<uint64_t>();
  auto [ctx, cancel] = gochan::WithCancel(gochan::Background());
  uint64_t value = 0;
  Measure("send + receive, capacity 1", [&, ch = ch] {
    ch.Send(1);
    (void)ch.Recv();
  });
  Measure("TryRecv on an empty channel", [&] { (void)idle.TryRecv(); });
  Measure("select of 2 with default, nothing ready", [&] {
    gochan::Select(gochan::RecvCase(idle, &value),
                   gochan::RecvCase(idle2, &value), gochan::DefaultCase());
  });
  Measure("send + select of 2, one ready", [&] {
    ch.Send(1);
    gochan::Select(gochan::RecvCase(ch, &value),
                   gochan::RecvCase(idle, &value));
  });
  Measure("send + select {work, ctx.done}", [&, ctx = ctx] {
    ch.Send(1);
    gochan::Select(gochan::RecvCase(ch, &value), gochan::DoneCase(ctx));
  });
  MeasureHandover();
  return 0;
}

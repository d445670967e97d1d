// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/wait_group.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "chan/panic.h"
#include "go/inspect.h"
#include "runtime/goexit.h"
#include "runtime/goroutine.h"
#include "runtime/memory_reader.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"
#include "runtime/source_location.h"
#include "runtime/static_storage.h"
#include "runtime/wait_reason.h"

namespace gochan {
namespace {

constexpr unsigned kQueue = 0;
constexpr uint32_t kDone = runtime::kFirstToken;

// Does the closure of the goroutine at `index` hold `value` among its first
// words? Whatever happens to it meanwhile.
bool ClosureHolds(runtime::MemoryReader& memory, uint32_t index,
                  const void* value) {
  constexpr std::size_t kWords = 6;  // all that fit into a Task
  const runtime::Task& task = runtime::TaskArena::At(index);
  const void* closure = nullptr;
  if (!memory.Read(&task.closure, &closure, sizeof(closure))) return false;
  const void* words[kWords] = {};
  if (!memory.Read(closure, words, sizeof(words)) &&
      !memory.Read(closure, words, sizeof(words[0]))) {
    return false;
  }
  return std::find(words, words + kWords, value) != words + kWords;
}

// The goroutines that were started with `group`, as far as they can be told.
std::vector<GoroutineInfo> TasksOf(const WaitGroup* group) {
  runtime::MemoryReader memory;
  std::vector<uint64_t> ids;
  runtime::TaskReader::ForEach([&](uint32_t index, uint64_t id, uint64_t) {
    if (ClosureHolds(memory, index, group)) ids.push_back(id);
  });
  std::sort(ids.begin(), ids.end());
  return internal::DescribeGoroutines(ids);
}

}  // namespace

void WaitGroup::DestroyedInUse() const {
  if (runtime::IsStatic(this)) return;
  EndInUse(panics::kWaitGroupInUse);
}

void WaitGroup::EndInUse(const char* text) const {
  const std::vector<GoroutineInfo> tasks = TasksOf(this);
  if (tasks.empty() && runtime::NumAbandoned() != 0) return;
  constexpr std::size_t kMaxTold = 100;
  std::string told;
  for (std::size_t i = 0; i < std::min(tasks.size(), kMaxTold); ++i) {
    told += '\n';
    internal::AppendGoroutine(tasks[i], &told);
  }
  if (tasks.size() > kMaxTold) {
    told += "\n... and " + std::to_string(tasks.size() - kMaxTold) +
            " more goroutines\n";
  }
  std::fflush(stdout);
  dprintf(STDERR_FILENO, "panic: %s%d%s\n", text,
          Count(state_.load(std::memory_order_relaxed)),
          std::uncaught_exceptions() > 0
              ? " [while an exception unwinds the stack]"
              : "");
  runtime::PrintGoroutineHeader(STDERR_FILENO, "running");
  internal::WriteToStderr(told);
  std::terminate();
}

void WaitGroup::Add(int delta) {
  const uint64_t added = static_cast<uint64_t>(static_cast<int64_t>(delta))
                         << kCountShift;
  // G1 release: what this task did; pairs with G1 in Wait(). G1 acquire: what
  // the other tasks did, if this is the last one, which passes it on by Wake().
  const uint64_t state =
      state_.fetch_add(added, std::memory_order_acq_rel) + added;
  const int32_t count = Count(state);
  const uint32_t waiters = Waiters(state);
  if (count < 0) RaisePanic(panics::kNegativeWaitGroup);
  if (waiters != 0 && delta > 0 && count == delta) {
    RaisePanic(panics::kAddBesideWait);
  }
  // If nobody waits, the group may be gone from here on.
  if (count > 0 || waiters == 0) return;

  // Those who wait keep it alive, and nobody changes it but by misuse: Add()
  // must not be called beside Wait(), and Wait() does not count itself now.
  runtime::SleeperList sleepers;
  bool misused = false;
  {
    runtime::LotGuard lot(this);
    // Relaxed: a check for misuse.
    misused = state_.load(std::memory_order_relaxed) != state;
    if (!misused) {
      sleepers = lot.TakeAll(kQueue);
      // G1 release: all tasks, for who comes now; pairs with G1 in Wait().
      state_.store(0, std::memory_order_release);
    }
  }
  if (misused) RaisePanic(panics::kAddBesideWait);
  sleepers.WakeAll(kDone);
}

// Relaxed: the lot's lock orders it after the change to 0.
bool WaitGroup::StillWaiting(void* group) {
  return Waiters(static_cast<WaitGroup*>(group)->state_.load(
             std::memory_order_relaxed)) != 0;
}

void WaitGroup::Wait(const SourceLocation& site) {
  // G1 acquire, here and below: what the tasks did; pairs with G1 in Add().
  uint64_t state = state_.load(std::memory_order_acquire);
  do {
    if (Count(state) == 0) return;
  } while (!state_.compare_exchange(state, state + kWaiter,
                                    std::memory_order_acquire));
  runtime::ParkRequest request;
  request.object = this;
  request.queue = kQueue;
  request.check = &StillWaiting;
  request.reason = runtime::WaitReason::kWaitGroupWait;
  request.site = &site;
  // Either way the count has been zero since.
  (void)runtime::Park(request);
  if (state_.load(std::memory_order_acquire) != 0) {
    RaisePanic(panics::kReusedWaitGroup);
  }
}

}  // namespace gochan

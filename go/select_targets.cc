// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/select_targets.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "go/inspect.h"
#include "runtime/goroutine.h"
#include "runtime/memory_reader.h"
#include "runtime/stack_copy.h"
#include "select/internal/case.h"

namespace gochan::internal {

namespace {

constexpr uint32_t kMost = 100;

}  // namespace

void AppendSelectTargets(const runtime::GoroutineNote::Snapshot& note,
                         uint32_t index, uint64_t id,
                         std::vector<WaitTarget>* targets) {
  const uint32_t n = std::min(note.count, kMost);
  if (n == 0 || note.object == nullptr) return;
  // What the goroutine has in its frame, or on the heap, may be gone by now;
  // its channels, which its wait keeps, then as well. The copy has pointers to
  // that frame: no one is to find them later (WipingAllocator).
  static_assert(sizeof(Case) % sizeof(uintptr_t) == 0);
  runtime::MemoryReader memory;
  std::vector<uintptr_t, runtime::WipingAllocator<uintptr_t>> words(
      n * (sizeof(Case) / sizeof(uintptr_t)));
  if (!memory.Read(note.object, words.data(), n * sizeof(Case))) return;
  const auto* const cases = reinterpret_cast<const Case*>(words.data());
  std::vector<Core::Glimpse> cores(n);
  for (uint32_t i = 0; i < n; ++i) {
    const Case& c = cases[i];
    if (c.kind <= Case::Kind::kRecv && c.core != nullptr &&
        !Core::Glance(memory, c.core, &cores[i])) {
      return;
    }
  }
  runtime::TaskReader::Snapshot now;
  bool woken = false;
  if (!runtime::TaskReader::Read(index, id, /*with_stack=*/false, nullptr, &now,
                                 &woken) ||
      now.note.word != note.word) {
    return;
  }
  // So it is all true.
  for (uint32_t i = 0; i < n; ++i) {
    const Case& c = cases[i];
    if (c.kind > Case::Kind::kRecv) continue;
    const bool send = c.kind == Case::Kind::kSend;
    WaitTarget target;
    target.object = c.core;
    target.direction = send ? "send" : "receive";
    if (c.core != nullptr && cores[i].kind == Core::Kind::kChannel) {
      target.element_type = std::string(cores[i].ops->name());
      target.capacity = cores[i].capacity;
      target.length = send ? target.capacity : 0;
    }
    targets->push_back(std::move(target));
  }
}

}  // namespace gochan::internal

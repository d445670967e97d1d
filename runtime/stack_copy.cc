// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack_copy.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/barrier.h"
#include "runtime/goroutine.h"
#include "runtime/sanitizers.h"
#include "runtime/wait_reason.h"

namespace gochan::runtime {

namespace {

template <typename T>
GOCHAN_UNCHECKED __attribute__((noinline)) T Load(const T* from) {
  // One access, as an atomic one; which TSan would see, and object to.
  return *static_cast<const volatile T*>(from);
}

uintptr_t LoadRegister(void* const& field) {
  return reinterpret_cast<uintptr_t>(Load(&field));
}

}  // namespace

GOCHAN_UNCHECKED __attribute__((noinline)) void CopyWords(uintptr_t begin,
                                                          uintptr_t end,
                                                          uintptr_t* to) {
  const auto* from = reinterpret_cast<const uintptr_t*>(begin);
  const auto n = static_cast<std::size_t>((end - begin) / sizeof(uintptr_t));
  for (std::size_t i = 0; i < n; ++i) {
    to[i] = *static_cast<const volatile uintptr_t*>(from + i);
  }
}

bool ParkedStack::Find(const Goroutine& g, ParkedStack* found) {
  if constexpr (!kStacksAreReadable) return false;
  GoroutineNote::Snapshot note;
  if (!g.note.Read(&note)) return false;
  // In Blocking() it is still on its stack.
  if (note.reason == WaitReason::kNone ||
      note.reason == WaitReason::kBlocking) {
    return false;
  }
  found->word = note.word;
  found->low = LoadRegister(g.context.sp);
  found->end = reinterpret_cast<uintptr_t>(&g);
  // Of another life, if it is not so.
  return found->low > reinterpret_cast<uintptr_t>(Load(&g.stack.base)) &&
         found->low < found->end && found->low % sizeof(uintptr_t) == 0;
}

void ParkedStack::LoadRegisters(const Goroutine& g) {
  frame = LoadRegister(g.context.fp);
  base = LoadRegister(g.context.base);
  resume = LoadRegister(g.context.pc);
}

void ParkedStack::Settle() {
#if defined(__x86_64__)
  // Loads stay in their order, and so do stores; the compiler has to be told.
  std::atomic_thread_fence(std::memory_order_acquire);
#else
  HeavyBarrier();
#endif
}

bool CopyStack(uint32_t index, uint64_t id, StackCopy* copy) {
  const Task& task = TaskArena::At(index);
  // Acquire: the fields (T1 in goroutine.h), or that they are not of this life.
  const auto is_alive = [&] {
    return task.state.load(std::memory_order_acquire) == Task::kStarted &&
           task.id.load(std::memory_order_relaxed) == id;
  };
  if (!is_alive()) return false;
  // Relaxed: came with the state.
  const Goroutine& g = *task.goroutine.load(std::memory_order_relaxed);
  ParkedStack stack;
  if (!ParkedStack::Find(g, &stack)) return false;
  ParkedStack::Settle();
  stack.LoadRegisters(g);
  const std::size_t n = (stack.end - stack.low) / sizeof(uintptr_t);
  copy->low = stack.low;
  copy->frame = stack.frame;
  copy->base = stack.base;
  copy->resume = stack.resume;
  copy->words.resize(n);
  CopyWords(stack.low, stack.low + n * sizeof(uintptr_t), copy->words.data());
  ParkedStack::Settle();
  // And it was this one that waited: another could not have had its number.
  return stack.StillParked(g) && is_alive();
}

}  // namespace gochan::runtime

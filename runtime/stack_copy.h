// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The stacks of goroutines that wait, for onlookers.
//
//   ParkedStack   where the live part of one lies, as long as it waits
//   CopyStack     a copy of it
//
// Nobody is stopped. A goroutine notes that it waits, then leaves its stack,
// and notes that it runs before it is resumed (GoroutineNote). So what an
// onlooker reads of its stack is of one piece, if before that it had left and
// afterwards the note is still the same:
//
//   goroutine                        onlooker
//     1. sp = nullptr                  i.   word?  waiting
//     2. word = waiting(n)             ii.  sp?    not null: 3 has been done
//     3. the switch saves sp, ...      iii. reads the stack
//     4. word = running(n)             iv.  word?  the same: 4 comes later
//     5. the switch resumes
//
// 3 and 5 are plain stores of the goroutine and its waker. They are ordered for
// the onlooker by what the processor does anyway (x86), or else by a barrier on
// his side that reaches all threads (runtime/barrier.h).

#ifndef GOCHAN_RUNTIME_STACK_COPY_H_
#define GOCHAN_RUNTIME_STACK_COPY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "runtime/goroutine.h"
#include "runtime/registry.h"
#include "runtime/switch.h"

namespace gochan::runtime {

// Whether a switch saves registers where an onlooker finds them.
inline constexpr bool kStacksAreReadable =
    GOCHAN_REGISTRY && !std::is_same_v<DefaultSwitch, UcontextSwitch>;

// -----------------------------------------------------------------------------
// ParkedStack
// -----------------------------------------------------------------------------

struct ParkedStack {
  uintptr_t low = 0;     // its stack pointer
  uintptr_t end = 0;     // the end of its frames
  uintptr_t frame = 0;   // its frame pointer (rbp, x29)
  uintptr_t base = 0;    // the other register that a switch keeps (rbx, x19)
  uintptr_t resume = 0;  // where it will go on
  uint64_t word = 0;     // its note's

  // ParkedStack::Find()
  //
  // Of `g`, on whose stack anybody may run by now: `low`, `end` and `word`.
  // False: it does not wait, or has not left its stack yet.
  static bool Find(const Goroutine& g, ParkedStack* found);

  // Between Find() and the reads, and between these and StillParked(); once for
  // any number of stacks.
  static void Settle();

  // The registers: as the stack, to be read after Settle().
  void LoadRegisters(const Goroutine& g);

  // Has `g`, if it is the goroutine that it was, waited all the time since
  // Find()?
  bool StillParked(const Goroutine& g) const { return g.note.Word() == word; }
};

// -----------------------------------------------------------------------------
// CopyStack
// -----------------------------------------------------------------------------

// For words of stacks. They are wiped when they are given back: else memory
// that nobody uses would refer to frames, as FindLeaks() sees it.
template <typename T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT: implicit

  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* memory, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      reinterpret_cast<volatile T*>(memory)[i] = T{};
    }
    std::allocator<T>().deallocate(memory, n);
  }
  friend bool operator==(WipingAllocator, WipingAllocator) { return true; }
};

// The live part of a parked goroutine's stack, as it was at one moment.
struct StackCopy {
  uintptr_t low = 0;    // address of words[0]: its stack pointer
  uintptr_t frame = 0;  // as in ParkedStack
  uintptr_t base = 0;
  uintptr_t resume = 0;
  std::vector<uintptr_t, WipingAllocator<uintptr_t>> words;  // to the end
};

// CopyStack()
//
// By an onlooker, of the task at `index` as long as it is the goroutine `id`
// (TaskReader). False: it does not wait, or went on meanwhile, or it cannot be
// read. Thread-safe; never blocks. Cost: that of the copy; where processors
// order less, two barriers, of a microsecond or so each.
bool CopyStack(uint32_t index, uint64_t id, StackCopy* copy);

// The words of [begin, end) as they are now, whoever owns them. The memory is
// there: a stack's always is.
void CopyWords(uintptr_t begin, uintptr_t end, uintptr_t* to);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_STACK_COPY_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Stacks for goroutines: address space with a guard page at its low end, which
// the kernel fills with memory as it is touched.
//
//   Stack::Allocate(size)    one from the pool, or a new one
//   Stack::Free(stack)       back into the pool; shrinks it if it was deep
//   stack.ReserveTop(n, a)   room for the control block in the first page
//
//   const Stack stack = Stack::Allocate();
//   void* control = stack.ReserveTop(sizeof(Control), alignof(Control));
//   ... run below `control`, end, switch away ...
//   Stack::Free(stack);
//
// Memory ordering: what was done on a stack before Free() happens before what
// is done on it after the Allocate() that hands it out again.
//
// Allocate() and Free() of default size touch the calling thread's cache only,
// 15 times out of 16 or more; then a shard of the shared pool, lock-free. No
// lock anywhere but in the kernel. Design and figures: docs/design/stacks.md.

#ifndef GOCHAN_RUNTIME_STACK_H_
#define GOCHAN_RUNTIME_STACK_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gochan::runtime {

// -----------------------------------------------------------------------------
// Stacks
// -----------------------------------------------------------------------------

// A value: whoever allocated it owns the memory until it calls Free().
//
//   base        base + guard                                  base + size
//   | guard     | untouched: no memory   ... <- sp | in use | control block |
struct Stack {
  static constexpr std::size_t kDefaultSize = std::size_t{256} << 10;
  // Of address space; on machines with larger pages at least 4 pages.
  static constexpr std::size_t kMinSize = std::size_t{16} << 10;

  char* base = nullptr;  // the low end
  std::size_t size = 0;  // a power of two; includes the guard
  uint32_t guard = 0;    // inaccessible bytes at `base`; 0: goes unguarded
  uint32_t id = 0;       // the pool's number for it

  // `size` is rounded up to a power of two, at least kMinSize. The content is
  // arbitrary. Throws std::bad_alloc when there is no memory or address space;
  // nothing else changes then. Without exceptions: says so and aborts.
  static Stack Allocate(std::size_t size = kDefaultSize);

  // Ends the use of `stack`. `deepest`, if known, is the lowest address that
  // the owner has seen in use; the pool finds out about most deep use by
  // itself. The memory of a deep one goes back when it leaves this thread's
  // cache, which holds up to 32. Callable from any thread, not while running on
  // `stack`.
  static void Free(const Stack& stack, const void* deepest = nullptr);

  // Gives back what deeply used stacks in the calling thread's cache hold: for
  // a thread that is about to sleep for long. Costs 32 loads if there are none,
  // and a system call if stacks have come into the shared pool since the last
  // one. If that tells of many more page faults than stacks explain, also looks
  // through that pool for deep ones that were not noticed (Linux only).
  static void TrimCache();

  char* top() const { return base + size; }
  char* limit() const { return base + guard; }

  // The highest place for `bytes` bytes, aligned to `align` (a power of two, at
  // least 16 so that the result can be the first stack pointer as well).
  void* ReserveTop(std::size_t bytes, std::size_t align) const {
    const auto high = reinterpret_cast<uintptr_t>(top());
    return top() - (high - ((high - bytes) & ~(uintptr_t{align} - 1)));
  }
};

// Sums since the start of the process; each is exact for itself.
struct StackStats {
  uint64_t stacks;        // made so far, in use or pooled
  uint64_t unguarded;     // of these, without a guard
  uint64_t reserved;      // bytes of address space
  uint64_t releases;      // how often a deeply used one gave memory back
  uint64_t system_calls;  // made by all of the above
};
StackStats GetStackStats();

// All memory that stacks are made of, guards and all, in pieces.
// Async-signal-safe.
void ForEachStackArea(void (*found)(const char* begin, std::size_t bytes,
                                    void* arg),
                      void* arg);

// -----------------------------------------------------------------------------
// How stacks are guarded
// -----------------------------------------------------------------------------

// Decided at the first allocation by what the kernel can do, unless the
// variable GOCHAN_STACK_GUARD is "install", "mprotect" or "none" in the
// environment.
//   kInstall   madvise(MADV_GUARD_INSTALL), Linux 6.13: costs no mapping
//   kProtect   mprotect(2): two mappings per stack, hence only as many as leave
//              a quarter of vm.max_map_count to the rest of the process; then
//              says once on stderr that more stacks go unguarded
//   kNone      on request only
enum class StackGuard : uint8_t { kUndecided, kInstall, kProtect, kNone };

namespace stack_internal {

// For new stacks from now on; `mappings` is what kProtect may use up, if > 0.
void ForceGuardForTest(StackGuard guard, int64_t mappings = 0);

// The stack in whose guard `address` lies: true and fills `stack` in.
// Async-signal-safe.
bool FindGuard(const void* address, Stack* stack);

// On standard error, by write(2): where stdio's locks may be held.
void Say(std::string_view text);

}  // namespace stack_internal

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_STACK_H_

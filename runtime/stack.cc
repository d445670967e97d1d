// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/stack.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#endif

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/cache_line.h"
#include "runtime/instrument.h"
#include "runtime/sanitizers.h"

#if GOCHAN_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

namespace gochan::runtime {

using stack_internal::Say;

namespace {

// -----------------------------------------------------------------------------
// The kernel
// -----------------------------------------------------------------------------

constinit Atomic<uint64_t> system_calls{0};
constinit Atomic<uint64_t> stacks_made{0};
constinit Atomic<uint64_t> stacks_unguarded{0};
constinit Atomic<uint64_t> bytes_reserved{0};
constinit Atomic<uint64_t> releases{0};
constinit Atomic<uint64_t> first_touches{0};  // stacks no longer fresh

void Count(Atomic<uint64_t>& statistic, uint64_t n = 1) {
  statistic.fetch_add(n, std::memory_order_relaxed);  // orders nothing
}

std::size_t PageSize() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// nullptr if there is no address space, or too many mappings.
char* Map(std::size_t bytes) {
  Count(system_calls);
  void* const begin =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
#if defined(MADV_NOHUGEPAGE)
  // A huge page would commit eight stacks at the first touch of one. Newer
  // kernels take MAP_STACK for this, older ones need to be told.
  Count(system_calls);
  madvise(begin, bytes, MADV_NOHUGEPAGE);
#endif
  return static_cast<char*>(begin);
}

// Gives the memory of [begin, begin + bytes) back; it may be touched again.
void Release(char* begin, std::size_t bytes) {
  Count(system_calls);
  Count(releases);
#if defined(__linux__) || !defined(MADV_FREE)
  madvise(begin, bytes, MADV_DONTNEED);
#else
  // Elsewhere MADV_DONTNEED is a hint about paging.
  madvise(begin, bytes, MADV_FREE);
#endif
}

// How many of the `pages` pages below `top` reach down to the lowest one that
// has memory; all of them where the kernel does not say.
uint32_t TouchedPages(char* top, uint32_t pages) {
#if defined(__linux__)
  constexpr uint32_t kMost = 64;
  unsigned char resident[kMost];
  if (pages > kMost) return pages;
  Count(system_calls);
  if (mincore(top - pages * PageSize(), pages * PageSize(), resident) != 0) {
    return pages;
  }
  uint32_t lowest = 0;
  while (lowest + 1 < pages && (resident[lowest] & 1) == 0) ++lowest;
  return pages - lowest;
#else
  static_cast<void>(top);
  return pages;
#endif
}

// -----------------------------------------------------------------------------
// Guards
// -----------------------------------------------------------------------------

constinit Atomic<StackGuard> guard_form{StackGuard::kUndecided};

// How many more mappings guards may cost. Meaningful once guard_form is set.
constinit Atomic<int64_t> mappings_left{0};

int64_t MappingBudget() {
  int64_t limit = INT64_MAX;
#if defined(__linux__)
  limit = 65530;  // the kernel's default, if /proc is missing
  const int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    char text[32] = {};
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n > 0) limit = std::strtoll(text, nullptr, 10);
  }
#endif
  return limit - limit / 4;
}

#if defined(__linux__)
constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL; old headers lack it
#endif

// False if this kernel cannot do it here: too old, or all memory is locked.
// Tries it out, because there are emulators that agree to any advice.
bool CanInstallGuards() {
#if defined(__linux__)
  char* const page = Map(PageSize());
  if (page == nullptr) return false;
  const bool works = madvise(page, PageSize(), kGuardInstall) == 0 &&
                     access(page, F_OK) != 0 && errno == EFAULT;
  munmap(page, PageSize());
  Count(system_calls, 3);
  return works;
#else
  return false;
#endif
}

StackGuard Guard() {
  // G1 acquire: the budget; pairs with G1 below.
  StackGuard form = guard_form.load(std::memory_order_acquire);
  if (form != StackGuard::kUndecided) return form;
  const char* const wish = std::getenv("GOCHAN_STACK_GUARD");
  const std::string_view text = wish == nullptr ? "" : wish;
  StackGuard chosen = StackGuard::kProtect;
  if (text == "none") {
    chosen = StackGuard::kNone;
  } else if (text != "mprotect" && CanInstallGuards()) {
    chosen = StackGuard::kInstall;
  }
  // Relaxed: released by the swap below. Threads that race here store the same.
  mappings_left.store(MappingBudget(), std::memory_order_relaxed);
  // G1 release: the budget; pairs with G1 above.
  if (guard_form.compare_exchange(form, chosen, std::memory_order_acq_rel)) {
    return chosen;
  }
  return form;
}

// Puts guards at `base` and every `distance` bytes: returns for how many of the
// `count` it succeeded, from the first one on.
uint32_t InstallGuards([[maybe_unused]] char* base,
                       [[maybe_unused]] std::size_t distance,
                       [[maybe_unused]] uint32_t count) {
  uint32_t done = 0;
#if defined(__linux__)
#if defined(SYS_process_madvise)
  // All in one call, since Linux 6.15.
  constexpr int kPidfdSelf = -10001;  // PIDFD_SELF_THREAD_GROUP
  constexpr uint32_t kMost = 64;
  if (count > 1 && count <= kMost) {
    iovec ranges[kMost];
    for (uint32_t i = 0; i < count; ++i) {
      ranges[i] = {base + i * distance, PageSize()};
    }
    Count(system_calls);
    const long bytes = syscall(SYS_process_madvise, kPidfdSelf, ranges, count,
                               kGuardInstall, 0);
    if (bytes > 0) done = static_cast<uint32_t>(bytes / PageSize());
  }
#endif
  for (; done < count; ++done) {
    Count(system_calls);
    if (madvise(base + done * distance, PageSize(), kGuardInstall) != 0) break;
  }
#endif
  return done;
}

bool ProtectGuard(char* begin) {
  constexpr int64_t kCost = 2;  // what is below and what is above
  // Relaxed: a count of its own.
  if (mappings_left.fetch_sub(kCost, std::memory_order_relaxed) < kCost) {
    mappings_left.fetch_add(kCost, std::memory_order_relaxed);
    return false;
  }
  Count(system_calls);
  return mprotect(begin, PageSize(), PROT_NONE) == 0;
}

// As InstallGuards(), in whatever way there is; the stacks beyond the number
// returned have to go without.
uint32_t PlaceGuards(char* base, std::size_t distance, uint32_t count) {
  const StackGuard form = Guard();
  if (form == StackGuard::kNone) return 0;
  uint32_t done = 0;
  if (form == StackGuard::kInstall) done = InstallGuards(base, distance, count);
  while (done < count && ProtectGuard(base + done * distance)) ++done;
  static constinit Atomic<uint8_t> said{0};
  // Relaxed: who is first is all that matters.
  if (done < count && said.exchange(1, std::memory_order_relaxed) == 0) {
    Say("gochan: more goroutine stacks go without guard pages: "
        "vm.max_map_count does not allow for them\n");
  }
  return done;
}

// -----------------------------------------------------------------------------
// Slabs: stacks come from the kernel in groups
// -----------------------------------------------------------------------------

constexpr uint32_t kSlabStacks = 64;
constexpr std::size_t kSlabBytes = kSlabStacks * Stack::kDefaultSize;
constexpr uint32_t kMaxSlabs = 1u << 17;
constexpr uint32_t kNone = ~uint32_t{0};

// What the pool knows about one stack. Owned by whoever owns the stack; but
// free_next is the pool's, and late poppers may look at it at any time.
struct Record {
  Atomic<uint32_t> free_next;  // head of the next batch in the same pool
  uint32_t next;               // the next stack in this batch, or kNone
  uint32_t marked_pages;       // where its mark lies; 0: has none, is fresh
  Atomic<uint32_t>& free_link() { return free_next; }
};

// Starts as zeros; complete and constant, apart from the records, once it is in
// the list of newest_slab. Never unmapped.
struct alignas(kCacheLine) Slab {
  char* base;
  uint32_t size_log2;
  uint32_t count;
  uint32_t guarded;  // the first so many have guards
  Slab* older;
  Atomic<uint32_t> free_next;  // while the arena has it
  // Not in the line of what every Allocate() reads.
  alignas(kCacheLine) Record records[kSlabStacks];
  Atomic<uint32_t>& free_link() { return free_next; }
};

using Slabs = Arena<Slab, kMaxSlabs, 8>;

// A stack's id is { slab, number in the slab:6 }.
struct Records {
  static Record& At(uint32_t id) {
    return Slabs::At(id / kSlabStacks).records[id % kSlabStacks];
  }
};
static_assert(uint64_t{kMaxSlabs} * kSlabStacks < kNone);

// All slabs, newest first: the overflow handler walks it.
constinit Atomic<Slab*> newest_slab{nullptr};

Stack StackOf(const Slab& slab, uint32_t id) {
  const uint32_t i = id % kSlabStacks;
  Stack stack;
  stack.base = slab.base + (std::size_t{i} << slab.size_log2);
  stack.size = std::size_t{1} << slab.size_log2;
  stack.guard = i < slab.guarded ? static_cast<uint32_t>(PageSize()) : 0;
  stack.id = id;
  return stack;
}

// Makes a slab of stacks of size 2^size_log2 and returns its number. Throws.
uint32_t MakeSlab(uint32_t size_log2) {
  const uint32_t number = Slabs::Allocate();
  const std::size_t wanted = std::clamp<std::size_t>(kSlabBytes >> size_log2, 1,
                                                     std::size_t{kSlabStacks});
  // Under a limit on address space a smaller slab may still fit.
  auto count = static_cast<uint32_t>(wanted);
  char* base = Map(std::size_t{count} << size_log2);
  while (base == nullptr && count > 1) {
    count = std::max(count / 8, 1u);
    base = Map(std::size_t{count} << size_log2);
  }
  if (base == nullptr) {
    Slabs::Free(number);
    OutOfMemory("stacks");
  }
  // Zeros so far: a slab goes back to the arena only before it is written.
  Slab* const slab = &Slabs::At(number);
  slab->base = base;
  slab->size_log2 = size_log2;
  slab->count = count;
  slab->guarded = PlaceGuards(base, std::size_t{1} << size_log2, count);
  for (uint32_t i = 0; i < count; ++i) {
    // Without the guard: it is readable by its mapping's flags, which is what
    // LSan goes by.
    const Stack stack = StackOf(*slab, number * kSlabStacks + i);
    AnnotateRoot(stack.limit(), stack.size - stack.guard);
  }
  Count(stacks_made, count);
  Count(stacks_unguarded, count - slab->guarded);
  Count(bytes_reserved, uint64_t{count} << size_log2);
  // Relaxed: validated by the swap.
  slab->older = newest_slab.load(std::memory_order_relaxed);
  // R1 release: the slab's fields; pairs with R1 in FindGuard(). acq_rel, so
  // that the older ones are released along.
  while (!newest_slab.compare_exchange(slab->older, slab,
                                       std::memory_order_acq_rel)) {
  }
  return number;
}

// -----------------------------------------------------------------------------
// Marks: who was deep?
// -----------------------------------------------------------------------------

// The mark of a stack is a word at the low end of the deepest page that it is
// known to have touched. Whoever goes deeper writes over it. It costs no
// memory, because that page has some already; Record::marked_pages says where
// it is, counted from the top. A stack that keeps to the same few pages keeps
// its mark, and so it is pooled without a system call. (A frame may step over
// the mark without writing to it: see the limits in docs/design/stacks.md.)
uint64_t MarkValue(const char* place) {
  return reinterpret_cast<uintptr_t>(place) ^ 0x6f63686e'7374616bu;
}

void SetMark(const Stack& stack, Record& record, uint32_t pages) {
  char* const place = stack.top() - pages * PageSize();
  const uint64_t value = MarkValue(place);
  std::memcpy(place, &value, sizeof(value));
  record.marked_pages = pages;
}

bool HasMark(const Stack& stack, const Record& record) {
  const char* const place = stack.top() - record.marked_pages * PageSize();
  uint64_t found;
  std::memcpy(&found, place, sizeof(found));
  return found == MarkValue(place);
}

// How much memory a pooled stack may keep.
uint32_t KeptPages(const Stack& stack) {
  constexpr std::size_t kKept = std::size_t{16} << 10;
  const std::size_t usable = stack.size - stack.guard;
  return static_cast<uint32_t>(std::min(std::max(kKept, PageSize()), usable) /
                               PageSize());
}

// Gives back all memory but that of the top pages, and marks the stack anew.
[[gnu::noinline]] void Shrink(const Stack& stack, Record& record) {
  const uint32_t kept = KeptPages(stack);
  char* const keep = stack.top() - kept * PageSize();
  if (keep > stack.limit()) {
    Release(stack.limit(), static_cast<std::size_t>(keep - stack.limit()));
  }
  // One page lower at least: use that ends just where the mark was would break
  // it every time.
  const uint32_t touched = TouchedPages(stack.top(), kept);
  SetMark(stack, record,
          std::max(touched, std::min(record.marked_pages + 1, kept)));
}

void ShrinkIfDeep(uint32_t id) {
  const Slab& slab = Slabs::At(id / kSlabStacks);
  Record& record = Records::At(id);
  if (record.marked_pages == 0) return;
  const Stack stack = StackOf(slab, id);
  if (!HasMark(stack, record)) Shrink(stack, record);
}

// -----------------------------------------------------------------------------
// The ends of a use
// -----------------------------------------------------------------------------

// The owner's last act.
void Retire(const Stack& stack, [[maybe_unused]] const void* deepest) {
#if GOCHAN_ASAN
  // What dead frames point to is leaked, so a root must not show it; and nobody
  // may look at a pooled stack.
  madvise(stack.limit(), stack.size - stack.guard, MADV_DONTNEED);
  Records::At(stack.id).marked_pages = 0;
  ASAN_POISON_MEMORY_REGION(stack.limit(), stack.size - stack.guard);
#else
  if (deepest != nullptr) {
    const char* const keep = stack.top() - KeptPages(stack) * PageSize();
    const Record& record = Records::At(stack.id);
    // As if the mark had been met; it is never 0.
    if (deepest < keep) {
      std::memset(stack.top() - record.marked_pages * PageSize(), 0,
                  sizeof(uint64_t));
    }
  }
#endif
}

// The next owner's first act.
Stack Revive(uint32_t id) {
  Slab& slab = Slabs::At(id / kSlabStacks);
  const Stack stack = StackOf(slab, id);
#if GOCHAN_ASAN
  ASAN_UNPOISON_MEMORY_REGION(stack.limit(), stack.size - stack.guard);
#endif
  Record& record = slab.records[id % kSlabStacks];
  // The page fault that the control block would have caused.
  if (record.marked_pages == 0) [[unlikely]] {
    SetMark(stack, record, 1);
    Count(first_touches);
  }
  return stack;
}

// -----------------------------------------------------------------------------
// The shared pool
// -----------------------------------------------------------------------------

constexpr uint32_t kBatch = 16;
constexpr uint32_t kCached = 2 * kBatch;
constexpr uint32_t kShards = 64;

// Stacks of default size, in batches: a list of lists, so that one swap moves
// 16 of them.
//   fresh  came back since the last Sweep()
//   swept  have been looked at by it, and lain here since then
struct alignas(kCacheLine) Shard {
  runtime::FreeStack<Records> fresh;
  runtime::FreeStack<Records> swept;
};
constinit Shard shards[kShards];

// The others, one by one: a pool for each power of two.
constexpr uint32_t kDefaultLog2 = std::bit_width(Stack::kDefaultSize) - 1;
constexpr uint32_t kLargestLog2 = sizeof(void*) == 8 ? 36 : 28;
constinit runtime::FreeStack<Records> odd_sizes[kLargestLog2 + 1];

// Threads that ever had a cache; their number modulo kShards is their shard.
constinit Atomic<uint32_t> threads_seen{0};

// Has a batch come into the pool since the last Sweep() was considered?
//   state  set by               next  who may act
//   0      SweepIfManyFaults()  1     who puts a batch in
//   1      PushBatch()          0     one that has time: considers a sweep
constinit Atomic<uint8_t> pool_has_grown{0};

void PushBatch(uint32_t shard, const uint32_t* ids, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    ShrinkIfDeep(ids[i]);
    Records::At(ids[i]).next = i + 1 < n ? ids[i + 1] : kNone;
  }
  // Relaxed: a hint. Read first, for all threads share it.
  if (pool_has_grown.load(std::memory_order_relaxed) == 0) {
    pool_has_grown.store(1, std::memory_order_relaxed);
  }
  shards[shard].fresh.Push(ids[0], ids[0]);
}

// Fills `ids` with one batch; 0 if all shards are found empty, each at its
// time.
uint32_t PopBatch(uint32_t shard, uint32_t* ids) {
  // Relaxed: a shard missed is a slab made too early.
  const uint32_t used =
      std::min(threads_seen.load(std::memory_order_relaxed), kShards);
  for (uint32_t i = 0; i < used; ++i) {
    Shard& from = shards[(shard + i) % used];
    uint32_t id = from.fresh.Pop();
    if (id == kNone) id = from.swept.Pop();
    uint32_t n = 0;
    for (; id != kNone; id = Records::At(id).next) ids[n++] = id;
    if (n != 0) return n;
  }
  return 0;
}

#if defined(__linux__)

// Page faults that no stack's first page explains, as of the last sweep.
//   state   set by         next  who may act
//   faults  (0), a sweeper more  who finds many more: swap it, then sweep
constinit Atomic<uint64_t> faults_at_sweep{0};

// How many more there must have been for a sweep, for each stack ever made: as
// many pages as a pooled one may keep anyway. So all that may escape is as much
// again, and a sweep costs a fraction of the faults that called for it.
constexpr uint64_t kFaultsPerStack = 4;

// Looks at the stacks of default size that have come into the pool since last
// time, and gives back what frames that stepped over the marks have left. Takes
// a batch at a time: threads that want a stack meanwhile find all the others.
void Sweep() {
  const uint32_t used =
      std::min(threads_seen.load(std::memory_order_relaxed), kShards);
  // As many as there can be: others may bring more all the time.
  uint64_t batches = stacks_made.load(std::memory_order_relaxed) / kBatch + 1;
  for (uint32_t shard = 0; shard < used; ++shard) {
    for (; batches > 0; --batches) {
      const uint32_t head = shards[shard].fresh.Pop();
      if (head == kNone) break;
      for (uint32_t id = head; id != kNone; id = Records::At(id).next) {
        const Stack stack = StackOf(Slabs::At(id / kSlabStacks), id);
        const auto pages =
            static_cast<uint32_t>((stack.size - stack.guard) / PageSize());
        if (Records::At(id).marked_pages != 0 &&
            TouchedPages(stack.top(), pages) > KeptPages(stack)) {
          Shrink(stack, Records::At(id));
        }
      }
      shards[shard].swept.Push(head, head);
    }
  }
}

// The kernel does not tell whose pages were touched unless it is asked for each
// stack, but it counts all that were. By a thread that has time.
void SweepIfManyFaults() {
  // Relaxed, all of it: who does it is all that matters; the pool has edges of
  // its own.
  if (pool_has_grown.load(std::memory_order_relaxed) == 0 ||
      pool_has_grown.exchange(0, std::memory_order_relaxed) == 0) {
    return;
  }
  Count(system_calls);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const uint64_t made = stacks_made.load(std::memory_order_relaxed);
  const uint64_t faults = static_cast<uint64_t>(usage.ru_minflt) -
                          first_touches.load(std::memory_order_relaxed);
  uint64_t before = faults_at_sweep.load(std::memory_order_relaxed);
  // Signed: the two are not read at one instant.
  if (static_cast<int64_t>(faults - before) <
      static_cast<int64_t>(kFaultsPerStack * made)) {
    return;
  }
  if (faults_at_sweep.compare_exchange(before, faults,
                                       std::memory_order_relaxed)) {
    Sweep();
  }
}

#else
void SweepIfManyFaults() {}
#endif

// -----------------------------------------------------------------------------
// The thread's cache
// -----------------------------------------------------------------------------

// Touched by its thread alone.
struct ThreadState {
  uint32_t count = 0;
  uint32_t capacity = 0;  // 0: has not registered for its end
  uint32_t shard = 0;
  uint32_t ids[kCached] = {};  // the last one was used most recently
};
constinit thread_local ThreadState thread_state;

void LeaveThread(void* arg) {
  auto& self = *static_cast<ThreadState*>(arg);
  NoSteps one_step;
  for (uint32_t i = 0; i < self.count; i += kBatch) {
    PushBatch(self.shard, self.ids + i, std::min(kBatch, self.count - i));
  }
  self.count = self.capacity = 0;
}

// A pthread key, as for parties (park.cc): later destructors may still free
// stacks, and then this one runs again.
void RegisterThread(ThreadState& self) {
  static const pthread_key_t key = [] {
    pthread_key_t k;
    pthread_key_create(&k, &LeaveThread);
    return k;
  }();
  pthread_setspecific(key, &self);
  if (self.capacity != 0) return;
  self.capacity = kCached;
  // Relaxed: only spreads threads over the shards.
  self.shard = threads_seen.fetch_add(1, std::memory_order_relaxed) % kShards;
}

// The cache is empty: from the shared pool, else from a new slab. Throws.
[[gnu::noinline]] void Refill(ThreadState& self) {
  if (self.capacity == 0) RegisterThread(self);
  self.count = PopBatch(self.shard, self.ids);
  if (self.count != 0) return;
  const uint32_t slab = MakeSlab(kDefaultLog2);
  const uint32_t count = Slabs::At(slab).count;
  uint32_t ids[kSlabStacks];
  // Lowest address last: given out first, then upwards.
  for (uint32_t i = 0; i < count; ++i) {
    ids[i] = slab * kSlabStacks + (count - 1 - i);
  }
  uint32_t shared = 0;
  for (; count - shared > kBatch; shared += kBatch) {
    PushBatch(self.shard, ids + shared, kBatch);
  }
  self.count = count - shared;
  std::copy(ids + shared, ids + count, self.ids);
}

// The cache is full: the half that was used longest ago goes to the pool.
[[gnu::noinline]] void Overflow(ThreadState& self) {
  if (self.capacity == 0) {
    RegisterThread(self);
    return;
  }
  PushBatch(self.shard, self.ids, kBatch);
  std::copy(self.ids + kBatch, self.ids + self.count, self.ids);
  self.count -= kBatch;
}

Stack AllocateOdd(std::size_t size) {
  size = std::max({size, Stack::kMinSize, 4 * PageSize()});
  if (size > std::size_t{1} << kLargestLog2) OutOfMemory("stacks");
  const auto size_log2 = static_cast<uint32_t>(std::bit_width(size - 1));
  // A page size that makes the default size the smallest one leads here.
  if (size_log2 == kDefaultLog2) return Stack::Allocate();
  uint32_t id = odd_sizes[size_log2].Pop();
  if (id == kNone) {
    const uint32_t slab = MakeSlab(size_log2);
    id = slab * kSlabStacks;
    for (uint32_t i = Slabs::At(slab).count - 1; i > 0; --i) {
      odd_sizes[size_log2].Push(id + i, id + i);
    }
  }
  return Revive(id);
}

}  // namespace

// Not inlined, whatever the optimizer sees: the caller may have moved to
// another thread since it last computed the address of a thread-local.
[[gnu::noinline]] Stack Stack::Allocate(std::size_t size) {
  NoSteps one_step;
  if (size != kDefaultSize) [[unlikely]]
    return AllocateOdd(size);
  ThreadState& self = thread_state;
  if (self.count == 0) [[unlikely]]
    Refill(self);
  return Revive(self.ids[--self.count]);
}

[[gnu::noinline]] void Stack::Free(const Stack& stack, const void* deepest) {
  NoSteps one_step;
  Retire(stack, deepest);
  if (stack.size != kDefaultSize) [[unlikely]] {
    ShrinkIfDeep(stack.id);
    odd_sizes[std::bit_width(stack.size) - 1].Push(stack.id, stack.id);
    return;
  }
  ThreadState& self = thread_state;
  if (self.count == self.capacity) [[unlikely]]
    Overflow(self);
  self.ids[self.count++] = stack.id;
}

void Stack::TrimCache() {
  NoSteps one_step;
  const ThreadState& self = thread_state;
  for (uint32_t i = 0; i < self.count; ++i) ShrinkIfDeep(self.ids[i]);
  SweepIfManyFaults();
}

StackStats GetStackStats() {
  // Relaxed: statistics.
  constexpr auto kOrder = std::memory_order_relaxed;
  return {stacks_made.load(kOrder), stacks_unguarded.load(kOrder),
          bytes_reserved.load(kOrder), releases.load(kOrder),
          system_calls.load(kOrder)};
}

// -----------------------------------------------------------------------------
// For onlookers
// -----------------------------------------------------------------------------

bool stack_internal::FindGuard(const void* address, Stack* stack) {
  const auto* const byte = static_cast<const char*>(address);
  // R1 acquire: the slabs' fields; pairs with R1 in MakeSlab().
  for (Slab* slab = newest_slab.load(std::memory_order_acquire);
       slab != nullptr; slab = slab->older) {
    const auto offset = reinterpret_cast<uintptr_t>(byte) -
                        reinterpret_cast<uintptr_t>(slab->base);
    if (offset >= uintptr_t{slab->count} << slab->size_log2) continue;
    const auto i = static_cast<uint32_t>(offset >> slab->size_log2);
    *stack = StackOf(*slab, Slabs::IndexOf(slab) * kSlabStacks + i);
    return byte < stack->limit();
  }
  return false;
}

void ForEachStackArea(void (*found)(const char* begin, std::size_t bytes,
                                    void* arg),
                      void* arg) {
  // R1 acquire, as above.
  for (const Slab* slab = newest_slab.load(std::memory_order_acquire);
       slab != nullptr; slab = slab->older) {
    found(slab->base, std::size_t{slab->count} << slab->size_log2, arg);
  }
}

void stack_internal::ForceGuardForTest(StackGuard guard, int64_t mappings) {
  Guard();
  if (mappings > 0) mappings_left.store(mappings, std::memory_order_relaxed);
  guard_form.store(guard, std::memory_order_release);  // G1
}

void stack_internal::Say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace gochan::runtime

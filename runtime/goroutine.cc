// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/goroutine.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <mutex>
#include <string>

namespace gochan::runtime {

std::mutex& OptionsMutex(const Task& task) {
  static constinit std::mutex mutexes[16];
  return mutexes[TaskArena::IndexOf(&task) % 16];
}

// -----------------------------------------------------------------------------
// GoroutineNote
// -----------------------------------------------------------------------------

namespace {

// A control block that has ended may lie in the pool when it is read, where
// AddressSanitizer wants nobody to look.
#define GOCHAN_NO_ASAN __attribute__((no_sanitize_address))

template <typename T>
GOCHAN_NO_ASAN T LoadAnywhere(const Atomic<T>& atomic,
                              std::memory_order order) {
  // A builtin, so that nothing is called that is checked.
  return order == std::memory_order_acquire
             ? __atomic_load_n(reinterpret_cast<const T*>(atomic.word()),
                               __ATOMIC_ACQUIRE)
             : __atomic_load_n(reinterpret_cast<const T*>(atomic.word()),
                               __ATOMIC_RELAXED);
}

}  // namespace

uint64_t GoroutineNote::Word() const {
  // N2 acquire: the fields, and what the goroutine did before; pairs with N2 in
  // Wait().
  return LoadAnywhere(word_, std::memory_order_acquire);
}

bool GoroutineNote::Read(Snapshot* snapshot) const {
  const uint64_t word = Word();
  *snapshot = Snapshot{};
  snapshot->word = word;
  if (word == 0) return true;
  snapshot->live = true;
  if ((word & 0xff) != kWaiting) return true;
  snapshot->reason = static_cast<WaitReason>(word >> 8 & 0xff);
  uint64_t site[SharedSite::kWords];
  for (std::size_t i = 0; i < SharedSite::kWords; ++i) {
    site[i] = LoadAnywhere(site_.words_[i], std::memory_order_relaxed);
  }
  snapshot->object = LoadAnywhere(object_, std::memory_order_relaxed);
  snapshot->detail = LoadAnywhere(detail_, std::memory_order_relaxed);
  snapshot->count = LoadAnywhere(count_, std::memory_order_relaxed);
  snapshot->since = LoadAnywhere(since_, std::memory_order_relaxed);
  // N1: if one of these was of a later wait, the word has changed by now; pairs
  // with the fence in Wait().
  std::atomic_thread_fence(std::memory_order_acquire);
  if (LoadAnywhere(word_, std::memory_order_relaxed) != word) return false;
  std::memcpy(static_cast<void*>(&snapshot->site), site,
              sizeof(snapshot->site));
  return true;
}

// -----------------------------------------------------------------------------
// TaskReader
// -----------------------------------------------------------------------------

namespace {

// A field of a control block that is no atomic. `stack` is the same in every
// life, as the place of the control block decides it; `waiter` is written once,
// before the first wait that it is read for. (A sanitized build gives it back
// at the end, and then says nullptr.)
template <typename T>
GOCHAN_NO_ASAN __attribute__((no_sanitize_thread)) T LoadField(const T* field) {
  return __atomic_load_n(field, __ATOMIC_RELAXED);
}

bool IsReadable(const void* address) {
  // A system call that reads 8 bytes at `address` and then refuses to do what
  // it is told, as nobody knows how.
  return syscall(SYS_rt_sigprocmask, ~0, address, nullptr, 8) == 0 ||
         errno != EFAULT;
}

std::size_t PageSize() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// [begin, begin + bytes) that have memory, by system calls about it alone.
std::size_t CountResident(const char* begin, std::size_t bytes) {
  const std::size_t page = PageSize();
  constexpr std::size_t kPages = 1024;
  unsigned char resident[kPages];
  std::size_t pages = 0;
  for (std::size_t at = 0; at < bytes; at += kPages * page) {
    const std::size_t length = std::min(kPages * page, bytes - at);
    if (mincore(const_cast<char*>(begin) + at, length, resident) != 0) return 0;
    for (std::size_t i = 0; i < length / page; ++i) pages += resident[i] & 1;
  }
  return pages * page;
}

// Is its record the one that it sleeps in?
bool SleepsInRecord(WaitReason reason) {
  switch (reason) {
    case WaitReason::kChanReceive:
    case WaitReason::kChanSend:
    case WaitReason::kSelect:
    case WaitReason::kSleep:
      return true;
    default:
      return false;
  }
}

}  // namespace

const ResidentPages::Window& ResidentPages::Look(uintptr_t begin) {
  Window& window = windows_[begin / kWindow % std::size(windows_)];
  if (window.begin == begin) return window;
  window.begin = begin;
  window.resident.resize(kWindow / PageSize());
  if (mincore(reinterpret_cast<void*>(begin), kWindow,
              window.resident.data()) != 0) {
    window.resident.clear();
  }
  return window;
}

std::size_t ResidentPages::Bytes(const char* begin, std::size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t low = first & ~uintptr_t{kWindow - 1};
  if (first + bytes > low + kWindow) return CountResident(begin, bytes);
  const Window& window = Look(low);
  if (window.resident.empty()) return CountResident(begin, bytes);
  const std::size_t page = PageSize();
  std::size_t pages = 0;
  for (std::size_t i = 0; i < bytes / page; ++i) {
    pages += window.resident[(first - low) / page + i] & 1;
  }
  // Its first goroutine has begun since.
  if (pages == 0) return CountResident(begin, bytes);
  return pages * page;
}

bool TaskReader::IsCommitted(uint32_t first) {
  // Up to here all are. Relaxed: a hint that only grows; the memory itself is
  // asked else.
  static constinit Atomic<uint32_t> known{0};
  const uint32_t so_far = known.load(std::memory_order_relaxed);
  if (first < so_far) return true;
  // A batch's last page may be the first one of the next.
  const char* const begin =
      reinterpret_cast<const char*>(&TaskArena::At(first));
  if (!IsReadable(begin) ||
      !IsReadable(begin + kTaskBatch * sizeof(Task) - sizeof(uint64_t))) {
    return false;
  }
  if (first == so_far) {
    known.store(first + kTaskBatch, std::memory_order_relaxed);
  }
  return true;
}

bool TaskReader::ReadSite(uint32_t index, uint64_t id, SourceLocation* site) {
  const Task& task = TaskArena::At(index);
  const auto is_it = [&] {
    // Acquire: the fields (T1), or that they are not of this life.
    return task.state.load(std::memory_order_acquire) != Task::kFree &&
           task.id.load(std::memory_order_relaxed) == id;
  };
  if (!is_it()) return false;
  const SourceLocation found = task.site.Load();
  // T2: as in Read().
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!is_it()) return false;
  *site = found;
  return true;
}

bool TaskReader::IsStill(uint32_t index, uint64_t id, uint64_t word) {
  // What the caller has read comes before all of this; pairs with the fences in
  // Wait() and SharedOptions.
  std::atomic_thread_fence(std::memory_order_acquire);
  const Task& task = TaskArena::At(index);
  // Acquire: the goroutine (T1). The same id before and after: its own word.
  if (task.state.load(std::memory_order_acquire) != Task::kStarted ||
      task.id.load(std::memory_order_relaxed) != id) {
    return false;
  }
  if (task.goroutine.load(std::memory_order_relaxed)->note.Word() != word) {
    return false;
  }
  // Relaxed, both: after the word, which was acquired.
  return task.state.load(std::memory_order_relaxed) == Task::kStarted &&
         task.id.load(std::memory_order_relaxed) == id;
}

bool TaskReader::Read(uint32_t index, uint64_t id, bool with_stack,
                      bool (*woken)(void* waiter), Snapshot* snapshot,
                      bool* is_woken, ResidentPages* pages) {
  const Task& task = TaskArena::At(index);
  // Is it `id` in that state? Acquire: the fields (T1), or that they are not of
  // this life.
  const auto is = [&](uint32_t state) {
    return task.state.load(std::memory_order_acquire) == state &&
           task.id.load(std::memory_order_relaxed) == id;
  };
  constexpr int kPatience = 32;
  for (int round = 0;; ++round) {
    *snapshot = Snapshot{};
    *is_woken = false;
    const uint32_t state = task.state.load(std::memory_order_acquire);
    if (state == Task::kFree || !is(state)) {
      // Or it has begun right now.
      if (is(Task::kStarted)) continue;
      return false;
    }
    snapshot->id = id;
    snapshot->creator = task.creator.load(std::memory_order_relaxed);
    snapshot->site = task.site.Load();
    if (state == Task::kStarted) {
      snapshot->started = true;
      // Relaxed: came with the state.
      const Goroutine& g = *task.goroutine.load(std::memory_order_relaxed);
      bool steady = g.note.Read(&snapshot->note);
      if (steady && SleepsInRecord(snapshot->note.reason)) {
        snapshot->waiter = LoadField(&g.waiter);
        if (snapshot->waiter != nullptr && woken != nullptr) {
          *is_woken = woken(snapshot->waiter);
          // The answer is about this wait if that goes on.
          steady = g.note.Word() == snapshot->note.word;
        }
      }
      if (!steady) {
        if (round < kPatience) continue;
        snapshot->note = GoroutineNote::Snapshot{};
        snapshot->waiter = nullptr;
        *is_woken = false;
      }
      if (with_stack) {
        const char* const base = LoadField(&g.stack.base);
        const std::size_t guard = LoadField(&g.stack.guard);
        const std::size_t bytes = LoadField(&g.stack.size) - guard;
        snapshot->stack_bytes = pages == nullptr
                                    ? CountResident(base + guard, bytes)
                                    : pages->Bytes(base + guard, bytes);
      }
    }
    // T2: if one of these was of a later goroutine, the state or the id has
    // changed by now; pairs with the fence in SharedOptions.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!is(state)) continue;
    {
      std::lock_guard lock(OptionsMutex(task));
      const GoroutineOptions* const options = task.options.LoadShared();
      if (!is(state)) continue;
      if (options != nullptr) {
        snapshot->name = options->name;
        snapshot->labels = options->labels;
      }
    }
    return true;
  }
}

// -----------------------------------------------------------------------------
// For debuggers
// -----------------------------------------------------------------------------

// Of classes with bases, which all compilers lay out so.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

static constexpr const char* kWaitReasons[] = {
    WaitReasonName(WaitReason{0}),  WaitReasonName(WaitReason{1}),
    WaitReasonName(WaitReason{2}),  WaitReasonName(WaitReason{3}),
    WaitReasonName(WaitReason{4}),  WaitReasonName(WaitReason{5}),
    WaitReasonName(WaitReason{6}),  WaitReasonName(WaitReason{7}),
    WaitReasonName(WaitReason{8}),  WaitReasonName(WaitReason{9}),
    WaitReasonName(WaitReason{10}), WaitReasonName(WaitReason{11}),
    WaitReasonName(WaitReason{12}), WaitReasonName(WaitReason{13}),
    WaitReasonName(WaitReason{14}),
};
static_assert(std::size(kWaitReasons) ==
              static_cast<std::size_t>(WaitReason::kBlocking) + 1);

// Where goroutines are found: for go/gdb.py, in a program without debug
// information too, and in a core. Nobody else reads it. Words of the size of a
// pointer, in the order in which gdb.py names them.
struct DebugLayout {
  uintptr_t version = 1;
  const void* arena_base = &TaskArena::base_;
  const void* arena_used = &TaskArena::used_;
  uintptr_t task_size = sizeof(Task);
  uintptr_t task_state = offsetof(Task, state);
  uintptr_t task_id = offsetof(Task, id);
  uintptr_t task_creator = offsetof(Task, creator);
  uintptr_t task_options = offsetof(Task, options);
  uintptr_t task_goroutine = offsetof(Task, goroutine);
  uintptr_t task_site = offsetof(Task, site);
  // One: a pointer to file, function and line; three: these themselves.
  uintptr_t site_words = sizeof(SharedSite) / sizeof(uint64_t);
  uintptr_t options_name = offsetof(GoroutineOptions, name);
#if defined(__GLIBCXX__)
  uintptr_t string_is_pointer_and_length = 1;
#else
  uintptr_t string_is_pointer_and_length = 0;
#endif
  uintptr_t context = offsetof(Goroutine, context);  // sp, fp, pc, base
  uintptr_t note_word =
      offsetof(Goroutine, note) + offsetof(GoroutineNote, word_);
  uintptr_t note_site =
      offsetof(Goroutine, note) + offsetof(GoroutineNote, site_);
  uintptr_t note_object =
      offsetof(Goroutine, note) + offsetof(GoroutineNote, object_);
  uintptr_t stack_base = offsetof(Goroutine, stack) + offsetof(Stack, base);
  uintptr_t stack_size = offsetof(Goroutine, stack) + offsetof(Stack, size);
  const void* reasons = kWaitReasons;
  uintptr_t reason_count = std::size(kWaitReasons);
};

#if defined(__has_attribute) && __has_attribute(retain)
#define GOCHAN_RETAIN __attribute__((used, retain))
#else
#define GOCHAN_RETAIN __attribute__((used))
#endif

extern "C" {
extern const DebugLayout gochan_debug_layout;
GOCHAN_RETAIN constinit const DebugLayout gochan_debug_layout = {};
}

#pragma GCC diagnostic pop

}  // namespace gochan::runtime

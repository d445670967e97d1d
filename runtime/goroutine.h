// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A goroutine, before and while it has a stack.
//
//   Task         one that was started and has not run yet: closure, id, site
//   Goroutine    the control block at the top of its stack, once it runs
//   GoroutineNote   what it waits for, readable from outside
//   TaskReader   reads tasks and notes from outside
//
// A Task is two cache lines from a pool; a goroutine that ends before the next
// one begins leaves it a warm stack. So a million goroutines may be started in
// a row without a million stacks. The closure stays in the Task until the end.
// A blocked goroutine costs the first page of its stack, with the control block
// in it, and the Task.

#ifndef GOCHAN_RUNTIME_GOROUTINE_H_
#define GOCHAN_RUNTIME_GOROUTINE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/cache_line.h"
#include "runtime/fiber.h"
#include "runtime/park.h"
#include "runtime/source_location.h"
#include "runtime/stack.h"
#include "runtime/wait_reason.h"

namespace gochan::runtime {

struct Thread;

// What stands in a run queue: a Task, or a Goroutine.
struct Runnable {
  Runnable* next_runnable = nullptr;  // of whoever holds it

  // 0: a goroutine that may go on; so the usual question is one comparison.
  //   kTask        constant
  //   kAbandoned   never to run again. Set while no worker runs; who finds it
  //                in a queue after that drops it.
  // Relaxed, but for who comes back from Blocking(): it was abandoned, if so,
  // before it was put into a queue that has been emptied since.
  static constexpr uint8_t kTask = 1;
  static constexpr uint8_t kAbandoned = 2;
  Atomic<uint8_t> flags{0};

  bool MayGoOn() const { return flags.load(std::memory_order_relaxed) == 0; }
  bool IsTask() const {
    return (flags.load(std::memory_order_relaxed) & kTask) != 0;
  }
  bool IsAbandoned(std::memory_order order = std::memory_order_relaxed) const {
    return (flags.load(order) & kAbandoned) != 0;
  }
  void Abandon() {
    flags.fetch_or(kAbandoned, std::memory_order_release);  // as above
  }
};

// A place in the program that may be read while it changes; whether what was
// read is of one piece, the reader finds out otherwise. All relaxed.
class SharedSite {
 public:
  void Store(const SourceLocation& site) {
    uint64_t words[kWords] = {};
    std::memcpy(words, &site, sizeof(site));
    for (std::size_t i = 0; i < kWords; ++i) {
      words_[i].store(words[i], std::memory_order_relaxed);
    }
  }
  SourceLocation Load() const {
    uint64_t words[kWords];
    for (std::size_t i = 0; i < kWords; ++i) {
      words[i] = words_[i].load(std::memory_order_relaxed);
    }
    SourceLocation site;
    std::memcpy(static_cast<void*>(&site), words, sizeof(site));
    return site;
  }

 private:
  friend class GoroutineNote;  // which reads it where nobody else may
  friend struct DebugLayout;

  static_assert(std::is_trivially_copyable_v<SourceLocation>);
  static constexpr std::size_t kWords = (sizeof(SourceLocation) + 7) / 8;
  Atomic<uint64_t> words_[kWords];
};

// -----------------------------------------------------------------------------
// Task
// -----------------------------------------------------------------------------

// Keys and values, by ascending key; each key once.
using Labels = std::vector<std::pair<std::string, std::string>>;
using SharedLabels = std::shared_ptr<const Labels>;

// Rare things that a goroutine may have.
struct Goroutine;
struct GoroutineOptions {
  std::string name;
  std::size_t stack_size = 0;  // 0: the default
  // nullptr: none. Replaced by the goroutine itself, under OptionsMutex().
  SharedLabels labels;
};

// Task::options: a pointer that onlookers may read while it changes.
class SharedOptions {
 public:
  SharedOptions& operator=(GoroutineOptions* options) {
    // T2: an onlooker who sees this, or what is stored after it, must not see
    // the state of an earlier goroutine afterwards; pairs with the fence in
    // TaskReader.
    std::atomic_thread_fence(std::memory_order_release);
    // T3 release: what it points to; pairs with T3 in LoadShared().
    pointer_.store(options, std::memory_order_release);
    return *this;
  }
  // Relaxed: by who owns the task.
  operator GoroutineOptions*() const {  // NOLINT: stands for the pointer
    return pointer_.load(std::memory_order_relaxed);
  }
  GoroutineOptions* operator->() const { return *this; }

  // By an onlooker, under OptionsMutex(): if the task is still the same one
  // after this, what it returns lives as long as the mutex is held.
  const GoroutineOptions* LoadShared() const {
    // T3 acquire.
    return pointer_.load(std::memory_order_acquire);
  }

 private:
  Atomic<GoroutineOptions*> pointer_;
};

// Task::state: is this piece of memory a goroutine?
//   state     set by              next       who may act
//   kFree     the end; the pool   kPending   the starter
//   kPending  the starter         kStarted   the worker that runs it first
//   kStarted  that worker         kFree      the goroutine, at its end
// Onlookers (dumps) look at state and id, read the rest, and look again; names
// under OptionsMutex().
struct alignas(kCacheLine) Task : Runnable {
  enum State : uint32_t { kFree, kPending, kStarted };

  Atomic<uint32_t> state;
  Atomic<uint32_t> free_next;  // the pool's

  // Runs the closure and destroys it; lets no exception out.
  void (*run)(Task& task);
  void* closure;  // in `storage`, or memory of its own
  Atomic<uint64_t> id;
  Atomic<uint64_t> creator;      // id of who started it; 0: no goroutine
  SharedOptions options;         // nullptr: none
  Atomic<Goroutine*> goroutine;  // once kStarted
  SharedSite site;               // where it was started

  static constexpr std::size_t kStorage = sizeof(SharedSite) > 8 ? 96 : 48;
  alignas(16) std::byte storage[kStorage];

  Atomic<uint32_t>& free_link() { return free_next; }

  // A closure elsewhere. Onlookers take `bytes` bytes there for the
  // goroutine's own memory, but for 0.
  void SetClosureElsewhere(void* place, std::size_t bytes) {
    closure = place;
    std::memcpy(storage, &bytes, sizeof(bytes));
  }
  std::size_t ClosureBytes() const {
    if (closure == storage) return kStorage;
    std::size_t bytes;
    std::memcpy(&bytes, storage, sizeof(bytes));
    return bytes;
  }
};
static_assert(sizeof(Task) == (sizeof(SharedSite) > 8 ? 192 : 128));
inline constexpr uint32_t kTaskBatch = 64;
using TaskArena = Arena<Task, (1u << 27), kTaskBatch>;

// Guards the options of tasks that have any, against dumps.
std::mutex& OptionsMutex(const Task& task);

// -----------------------------------------------------------------------------
// Goroutine
// -----------------------------------------------------------------------------

// What a goroutine waits for, written by itself before it leaves its stack and
// read by whoever makes a dump.
//   word          set by               next
//   0             the end, fresh       running(n)
//   running(n)    the goroutine        waiting(n + 1), 0
//   waiting(n)    the goroutine        running(n)
// { n:48 reason:8 waiting:8 }. The fields belong to waiting(n) as long as the
// word says so: read the word, the fields, and the word again.
class GoroutineNote {
 public:
  struct Snapshot {
    bool live = false;
    WaitReason reason = WaitReason::kNone;
    SourceLocation site;
    const void* object = nullptr;
    const void* detail = nullptr;
    uint32_t count = 0;
    MonotonicNanos since = 0;  // coarse; 0: not waiting, or nobody knows
    uint64_t word = 0;         // to compare with Word()
  };

  // By the goroutine. Relaxed: pairs with the release in Wait().
  void Begin() { word_.store(kRunning, std::memory_order_release); }
  void End() { word_.store(0, std::memory_order_release); }

  [[gnu::always_inline]] void Wait(const WaitInfo& why, MonotonicNanos now) {
    // Relaxed: the owner's own.
    const uint64_t word = word_.load(std::memory_order_relaxed);
    // N1: an onlooker who sees one of these fields must not see the word of an
    // earlier wait afterwards; pairs with the fence in Read(). The word said
    // "running" (or this wait's predecessor) since then.
    std::atomic_thread_fence(std::memory_order_release);
    if (why.site != nullptr) site_.Store(*why.site);
    object_.store(why.object, std::memory_order_relaxed);
    detail_.store(why.detail, std::memory_order_relaxed);
    count_.store(why.count, std::memory_order_relaxed);
    since_.store(now, std::memory_order_relaxed);
    // N2 release: the fields; pairs with N2 in Read().
    word_.store(((word & ~uint64_t{0xffff}) + 0x10000) |
                    static_cast<uint64_t>(why.reason) << 8 | kWaiting,
                std::memory_order_release);
  }

  // By the goroutine, once it runs again.
  [[gnu::always_inline]] void Run() {
    // Relaxed: the fields stay as they are until Wait().
    word_.store(
        (word_.load(std::memory_order_relaxed) & ~uint64_t{0xffff}) | kRunning,
        std::memory_order_relaxed);
  }

  // By anybody, also on a stack that is in the pool by now. False: it changed
  // meanwhile.
  bool Read(Snapshot* snapshot) const;
  // The word: as long as it is the same, so is what was read. Acquire: what the
  // goroutine did before it began to wait.
  uint64_t Word() const;

 private:
  static constexpr uint64_t kRunning = 1;
  static constexpr uint64_t kWaiting = 2;

  friend struct DebugLayout;

  Atomic<uint64_t> word_{0};
  SharedSite site_;
  Atomic<const void*> object_{nullptr};
  Atomic<const void*> detail_{nullptr};
  Atomic<MonotonicNanos> since_{0};
  Atomic<uint32_t> count_{0};
};

struct Noted {
  GoroutineNote note;
};

// At the top of its stack. Owned by who runs on the stack; while it is left, by
// who will resume it. It is a Party, and not one that has one, so that a switch
// which knows the party knows the rest by arithmetic; in the order in which a
// switch touches them.
struct alignas(kCacheLine) Goroutine : Fiber, Resumer, Runnable, Noted, Party {
  // Once for each stack: the control block stays for those who come after.
  explicit Goroutine(uint64_t seed) : Party(seed) {}

  static Goroutine& From(Resumer* resumer) {
    return static_cast<Goroutine&>(*resumer);
  }

  Task* task = nullptr;
  Stack stack;
  // In Blocking(): the thread it is on, and the worker that it has left, or
  // lent; since when, in Ticks(), if it has left it.
  Thread* blocking = nullptr;
  Worker* blocking_worker = nullptr;
  uint64_t blocking_since = 0;
  uint32_t blocking_depth = 0;  // Blocking() inside of Blocking()
  uint8_t blocking_index = 0;   // BriefCalls::Index
  bool blocking_lent = false;
  uint64_t magic = 0;  // the control block was constructed
};

// Where the control block of `stack` is. All stacks lie alike in the cache, so
// the tops of many would share few of its sets: they are spread over 16 cache
// lines, within the first page.
inline Goroutine* GoroutineOn(const Stack& stack) {
  const std::size_t spread = stack.id * 7 % 16 * kCacheLine;
  return static_cast<Goroutine*>(
      stack.ReserveTop(sizeof(Goroutine) + spread, alignof(Goroutine)));
}

// The calling goroutine, in Blocking() too, or nullptr on a plain thread.
[[gnu::always_inline]] inline Goroutine* CurrentGoroutine() {
  Party* const party = CurrentPartyOrNull();
  if (party == nullptr || party->fiber == nullptr) return nullptr;
  return static_cast<Goroutine*>(party);
}

// -----------------------------------------------------------------------------
// For dumps
// -----------------------------------------------------------------------------

// How much of stacks has memory, with few system calls for many stacks that lie
// side by side. What it has found out is not found out again: for one dump. Not
// thread-safe.
class ResidentPages {
 public:
  // Of [begin, begin + bytes), whole pages.
  std::size_t Bytes(const char* begin, std::size_t bytes);

 private:
  static constexpr std::size_t kWindow = std::size_t{16} << 20;
  struct Window {
    uintptr_t begin = 0;  // 0: none yet
    // By page; empty: some of it is no memory at all.
    std::vector<unsigned char> resident;
  };
  const Window& Look(uintptr_t begin);

  Window windows_[8];
};

// Reads goroutines that start, block and end meanwhile. Takes nothing from them
// but a lock that those with a name take when they end.
//
// Memory ordering: who did something before it started a goroutine, or before
// that blocked, sees in the snapshot what comes of it. What is read of one
// goroutine was true at one moment.
class TaskReader {
 public:
  struct Snapshot {
    uint64_t id = 0;
    uint64_t creator = 0;  // 0: none
    std::string name;
    SharedLabels labels;
    SourceLocation site;
    bool started = false;
    GoroutineNote::Snapshot note;
    void* waiter = nullptr;  // its Party's, if it waits for a channel or a time
    std::size_t stack_bytes = 0;  // if asked for: resident ones
  };

  // Every task that is pending or started: calls found(index, id, creator).
  // Those that are all the while come exactly once. O(tasks at the same time,
  // ever); no allocation.
  template <typename Found>
  static void ForEach(Found found) {
    const uint32_t end = TaskArena::HighWater();
    for (uint32_t first = 0; first < end; first += kTaskBatch) {
      if (!IsCommitted(first)) continue;
      for (uint32_t i = first; i < first + kTaskBatch; ++i) {
        const Task& task = TaskArena::At(i);
        // T1 acquire: the fields; pairs with T1 in StartTask().
        if (task.state.load(std::memory_order_acquire) == Task::kFree) continue;
        const uint64_t creator = task.creator.load(std::memory_order_relaxed);
        found(i, task.id.load(std::memory_order_relaxed), creator);
      }
    }
  }

  // The task at `index` as long as it is the goroutine `id`; false: it has
  // ended. `woken(waiter)` is asked whether a waiter has been woken and may be
  // nullptr. One of which the note changes all the time is told as running.
  // `pages` may be nullptr, or is of use where many are asked for their stacks.
  static bool Read(uint32_t index, uint64_t id, bool with_stack,
                   bool (*woken)(void* waiter), Snapshot* snapshot,
                   bool* is_woken, ResidentPages* pages = nullptr);

  // Where it was started, if it lives.
  static bool ReadSite(uint32_t index, uint64_t id, SourceLocation* site);

  // Is it still in the wait that was read as GoroutineNote::Snapshot::word? So
  // what was read of it in between is of that wait too.
  static bool IsStill(uint32_t index, uint64_t id, uint64_t word);

 private:
  // Batches are counted before they have memory, for a moment.
  static bool IsCommitted(uint32_t first);
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_GOROUTINE_H_

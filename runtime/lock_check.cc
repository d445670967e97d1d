// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/lock_check.h"

#if GOCHAN_LOCK_CHECK
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>

#include "runtime/thread_local.h"
#endif

namespace gochan::runtime {

bool LockCheckIsBuilt() { return GOCHAN_LOCK_CHECK != 0; }

#if GOCHAN_LOCK_CHECK

namespace {

// The newest mutexes that this thread has locked and not unlocked. Trivial, so
// that it is there from a thread's first moment to its last.
class HeldLocks {
 public:
  void Add(pthread_mutex_t* mutex) {
    if (size_ == kSize) {
      std::copy(std::begin(held_) + 1, std::end(held_), std::begin(held_));
      --size_;
    }
    held_[size_++] = mutex;
  }
  // The newest first: that is nearly always the one.
  void Remove(const pthread_mutex_t* mutex) {
    for (int i = size_; i-- > 0;) {
      if (held_[i] == mutex) {
        std::copy(held_ + i + 1, held_ + size_, held_ + i);
        --size_;
        return;
      }
    }
  }
  bool empty() const { return size_ == 0; }
  // nullptr: there is none left.
  pthread_mutex_t* RemoveNewest() {
    return size_ == 0 ? nullptr : held_[--size_];
  }

 private:
  static constexpr int kSize = 8;
  pthread_mutex_t* held_[kSize];
  int size_;
};

// Only used in functions that are called and contain no switch of stacks.
// initial-exec: its address is had without a call, which might allocate, and
// an allocator may use a mutex.
[[gnu::tls_model(
    "initial-exec")]] constinit thread_local HeldLocks held_locks{};

// A mutex of which nobody has told us that it was unlocked may be gone. This
// system call reads 8 bytes and then refuses, as nobody knows what ~0 means.
bool IsReadable(const void* address) {
  return syscall(SYS_rt_sigprocmask, ~0, address, nullptr, 8) == 0 ||
         errno != EFAULT;
}

bool IsOwn(const pthread_mutex_t* mutex) {
  const int* const owner = &mutex->__data.__owner;
  if (!IsReadable(mutex) || !IsReadable(owner)) return false;
  // Relaxed: only the owner writes its number there, and this is about whether
  // that is the caller.
  return __atomic_load_n(owner, __ATOMIC_RELAXED) ==
         static_cast<int>(syscall(SYS_gettid));
}

// Is it the first time there? When the table is full, no more.
//   reported[i]   set by      next
//   0             fresh       a key
//   a key         a reporter  it stays
bool IsNew(const char* verb, const SourceLocation& site) {
  static constinit std::atomic<uintptr_t> reported[256] = {};
  // By their letters: the same words have several addresses in a program of
  // several files.
  uintptr_t key = site.line();
  for (const char* text : {site.file_name(), verb}) {
    for (; *text != '\0'; ++text) {
      key = key * 31 + static_cast<unsigned char>(*text);
    }
  }
  key |= uintptr_t{1} << (sizeof(key) * 8 - 1);  // never 0
  for (std::atomic<uintptr_t>& entry : reported) {
    uintptr_t found = 0;
    // Relaxed: nothing but the key itself is handed over.
    if (entry.compare_exchange_strong(found, key, std::memory_order_relaxed)) {
      return true;
    }
    if (found == key) return false;
  }
  return false;
}

void Report(uint64_t id, const char* verb, const SourceLocation* site,
            const SourceLocation& started, const pthread_mutex_t* mutex) {
  char text[1024];
  const SourceLocation& place = site != nullptr ? *site : started;
  const int length = std::snprintf(
      text, sizeof(text),
      site != nullptr
          ? "gochan: goroutine %" PRIu64
            " %s at %.800s:%u while it holds a mutex (%p), which belongs to "
            "the thread\n"
          : "gochan: goroutine %" PRIu64
            " %s, started at %.800s:%u, while it holds a mutex (%p), which "
            "belongs to the thread\n",
      id, verb, place.file_name(), static_cast<unsigned>(place.line()),
      static_cast<const void*>(mutex));
  // One call, so that lines do not mix. There is nobody to tell of a failure.
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, text, static_cast<std::size_t>(length));
}

}  // namespace

GOCHAN_UNCACHEABLE void CheckNoLocks(uint64_t id, const char* verb,
                                     const SourceLocation* site,
                                     const SourceLocation& started) {
  UncacheableCall();
  if (held_locks.empty()) [[likely]]
    return;
  const int saved_errno = errno;
  bool reported = false;
  while (pthread_mutex_t* const mutex = held_locks.RemoveNewest()) {
    if (!reported && IsOwn(mutex) &&
        IsNew(verb, site != nullptr ? *site : started)) {
      Report(id, verb, site, started, mutex);
      reported = true;
    }
  }
  if (reported) {
    const char* const setting = std::getenv("GOCHAN_LOCK_CHECK");
    if (setting != nullptr && std::strcmp(setting, "abort") == 0) std::abort();
  }
  errno = saved_errno;
}

#endif  // GOCHAN_LOCK_CHECK

}  // namespace gochan::runtime

// -----------------------------------------------------------------------------
// The functions that everybody calls
// -----------------------------------------------------------------------------

#if GOCHAN_LOCK_CHECK

extern "C" {
// glibc's own names, for programs that are linked statically, where there is no
// "next" one. (A shared glibc has them for old programs only.)
[[gnu::weak]] int __pthread_mutex_lock(pthread_mutex_t* mutex);
[[gnu::weak]] int __pthread_mutex_trylock(pthread_mutex_t* mutex);
[[gnu::weak]] int __pthread_mutex_unlock(pthread_mutex_t* mutex);
}

namespace gochan::runtime {
namespace {

using MutexFunction = int (*)(pthread_mutex_t* mutex);

// What a static program links of trylock if nothing in the C library wants it.
int TryLockByTime(pthread_mutex_t* mutex) {
  const timespec past = {};
  const int error = pthread_mutex_timedlock(mutex, &past);
  return error == ETIMEDOUT || error == EDEADLK ? EBUSY : error;
}

// The C library's function, or that of whoever else stands between. Looked up
// at the first call, which may come before anything was initialised.
//   cache     set by     next
//   nullptr   fresh      the function, by each caller that finds none
MutexFunction Next(std::atomic<MutexFunction>& cache, const char* name,
                   MutexFunction fallback) {
  // Relaxed: code does not change.
  MutexFunction function = cache.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<MutexFunction>(dlsym(RTLD_NEXT, name));
    if (function == nullptr) function = fallback;
    if (function == nullptr) {
      std::fprintf(
          stderr,
          "gochan: there is no %s(); build with -DGOCHAN_LOCK_CHECK=0\n", name);
      std::abort();
    }
    cache.store(function, std::memory_order_relaxed);
  }
  return function;
}

}  // namespace
}  // namespace gochan::runtime

extern "C" {

[[gnu::weak, gnu::visibility("default")]] int pthread_mutex_lock(
    pthread_mutex_t* mutex) noexcept {
  using namespace gochan::runtime;  // NOLINT: this function is ours
  static constinit std::atomic<MutexFunction> cache{nullptr};
  const int error =
      Next(cache, "pthread_mutex_lock", &__pthread_mutex_lock)(mutex);
  if (error == 0 || error == EOWNERDEAD) held_locks.Add(mutex);
  return error;
}

[[gnu::weak, gnu::visibility("default")]] int pthread_mutex_trylock(
    pthread_mutex_t* mutex) noexcept {
  using namespace gochan::runtime;  // NOLINT: this function is ours
  static constinit std::atomic<MutexFunction> cache{nullptr};
  const int error =
      Next(cache, "pthread_mutex_trylock",
           &__pthread_mutex_trylock != nullptr ? &__pthread_mutex_trylock
                                               : &TryLockByTime)(mutex);
  if (error == 0 || error == EOWNERDEAD) held_locks.Add(mutex);
  return error;
}

[[gnu::weak, gnu::visibility("default")]] int pthread_mutex_unlock(
    pthread_mutex_t* mutex) noexcept {
  using namespace gochan::runtime;  // NOLINT: this function is ours
  static constinit std::atomic<MutexFunction> cache{nullptr};
  // First: once it is unlocked, another thread may destroy it.
  held_locks.Remove(mutex);
  return Next(cache, "pthread_mutex_unlock", &__pthread_mutex_unlock)(mutex);
}

}  // extern "C"

#endif  // GOCHAN_LOCK_CHECK

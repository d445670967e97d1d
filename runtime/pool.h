// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Pool<kBytes>: memory for objects that programs make and drop by the million,
// a channel or a context for each request, say.
//
//   Take   memory for one; may throw std::bad_alloc
//   Give   back
//
// Each thread keeps up to 60 free units in two magazines, last in first out, so
// that in steady state neither costs more than a few loads and stores. Filled
// magazines are in a list that all threads share, lock-free; fresh units come
// from an arena (runtime/arena.h). Memory is used again for objects of the same
// size, and never returned to the system.
//
// Tools that must see every object come and go (ASan, the schedule explorer)
// get operator new instead.

#ifndef GOCHAN_RUNTIME_POOL_H_
#define GOCHAN_RUNTIME_POOL_H_

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "runtime/arena.h"
#include "runtime/atomic.h"
#include "runtime/instrument.h"
#include "runtime/sanitizers.h"

namespace gochan::runtime {

#if !GOCHAN_INSTRUMENT && !GOCHAN_ASAN

// Numbers of free units. Owned by one thread, or in a list, whose edges (A1 in
// runtime/arena.h) hand the units over as well.
struct alignas(64) Magazine {
  static constexpr uint32_t kSize = 30;

  Atomic<uint32_t> free_next;  // the arena's, or the list's
  uint32_t count;
  uint32_t units[kSize];

  Atomic<uint32_t>& free_link() { return free_next; }
};
static_assert(sizeof(Magazine) == 128);

using Magazines = Arena<Magazine, (1u << 22), 32>;

template <std::size_t kBytes, std::size_t kAlign>
class Pool {
 public:
  // Not inlined: the caller may have moved to another thread since it last
  // computed the address of a thread-local.
  [[gnu::noinline]] static void* Take() {
    Cache& cache = cache_;
    if (cache.now == nullptr || cache.now->count == 0) [[unlikely]]
      Refill(cache);
    return &Units::At(cache.now->units[--cache.now->count]);
  }

  [[gnu::noinline]] static void Give(void* unit) {
    Cache& cache = cache_;
    if (cache.now == nullptr || cache.now->count == Magazine::kSize)
        [[unlikely]] {
      MakeRoom(cache);
    }
    cache.now->units[cache.now->count++] =
        Units::IndexOf(static_cast<Unit*>(unit));
  }

  // Units in use or not.
  static uint32_t MadeForTest() { return Units::HighWater(); }

 private:
  struct alignas(kAlign) Unit {
    std::byte bytes[kBytes];
  };
  static_assert(sizeof(Unit) == kBytes);

  using Units = Arena<Unit, (1u << 26), Magazine::kSize>;

  // The thread's own. Both are set or none is.
  struct Cache {
    Magazine* now;    // what is taken from and given to
    Magazine* other;  // empty or full
  };

  static void Refill(Cache& cache) {
    if (cache.now == nullptr) Attach(cache);
    if (cache.other->count != 0) {
      std::swap(cache.now, cache.other);
      return;
    }
    const uint32_t filled = filled_.Pop();
    if (filled != Magazines::kNone) {
      Magazines::Free(Magazines::IndexOf(cache.now));
      cache.now = &Magazines::At(filled);
      return;
    }
    // The lowest number on top, so that neighbours are used one after another.
    uint32_t unit = Units::AllocateFresh() + Magazine::kSize;
    for (uint32_t& place : cache.now->units) place = --unit;
    cache.now->count = Magazine::kSize;
  }

  static void MakeRoom(Cache& cache) {
    if (cache.now == nullptr) {
      Attach(cache);
      return;
    }
    if (cache.other->count != 0) {
      const uint32_t empty = Magazines::Allocate();
      const uint32_t full = Magazines::IndexOf(cache.other);
      filled_.Push(full, full);
      cache.other = &Magazines::At(empty);
      cache.other->count = 0;
    }
    std::swap(cache.now, cache.other);
  }

  static void Attach(Cache& cache) {
    Magazine& now = Magazines::At(Magazines::Allocate());
    Magazine& other = Magazines::At(Magazines::Allocate());
    now.count = 0;
    other.count = 0;
    cache = {&now, &other};
    // By a pthread key, as in runtime/park.cc, because handles may die in the
    // destructors of thread_local objects.
    static const pthread_key_t key = [] {
      pthread_key_t k;
      pthread_key_create(&k, &Detach);
      return k;
    }();
    pthread_setspecific(key, &cache);
  }

  // A thread that ends gives back what it keeps.
  static void Detach(void* arg) {
    Cache& cache = *static_cast<Cache*>(arg);
    for (const Magazine* magazine : {cache.now, cache.other}) {
      const uint32_t index = Magazines::IndexOf(magazine);
      if (magazine->count == 0) {
        Magazines::Free(index);
      } else {
        filled_.Push(index, index);
      }
    }
    cache = {};
  }

  static inline constinit thread_local Cache cache_{};
  static inline constinit FreeStack<Magazines> filled_;
};

#else

template <std::size_t kBytes, std::size_t kAlign>
class Pool {
 public:
  static void* Take() { return ::operator new(kBytes, kAligned); }
  static void Give(void* unit) { ::operator delete(unit, kAligned); }

 private:
  // The explorer looks after memory that is asked for with an alignment.
  static constexpr std::align_val_t kAligned{kAlign < 64 ? 64 : kAlign};
};

#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_POOL_H_

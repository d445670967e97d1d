// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A stack that can be left and resumed, with all that must go along.
//
//   Fiber            a goroutine's stack, or a worker thread's own
//   Publication      what is to be done once a stack has been left
//   SwitchFibers     leaves one, resumes another
//   RunPublication   first thing after every switch
//
// Publish after the switch: a party that goes to sleep must not be found, and
// resumed elsewhere, while it still runs. So it hands a publication over to
// whoever runs next on this thread, which makes the sleeper visible.

#ifndef GOCHAN_RUNTIME_FIBER_H_
#define GOCHAN_RUNTIME_FIBER_H_

#include <atomic>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/eh_globals.h"
#include "runtime/fiber_sanitizers.h"
#include "runtime/switch.h"

namespace gochan::runtime {

// Owned by who runs on it; while it is left, by who will resume it.
struct Fiber {
  Context context;
  EhGlobals eh;
  [[no_unique_address]] FiberAnnotations annotations;
};

// Lies in the frame that is left: `run` copies what it needs from `arg` before
// the frame's owner can be resumed, and then touches it no more.
struct Publication {
  void (*run)(void* arg);
  void* arg;
};

// The shortest publication: a word becomes 0, released.
class Unlock {
 public:
  explicit Unlock(Atomic<uint32_t>& word)
      : carried_(reinterpret_cast<char*>(&word) + kMark) {}
  void* carried() const { return carried_; }

  static bool Is(void* carried) {
    return (reinterpret_cast<uintptr_t>(carried) & kMark) != 0;
  }
  static void Run(void* carried) {
    // Release: what was done under it; for who acquires the word.
    reinterpret_cast<Atomic<uint32_t>*>(static_cast<char*>(carried) - kMark)
        ->store(0, std::memory_order_release);
  }

 private:
  static constexpr uintptr_t kMark = 1;  // no Publication has such an address
  void* carried_;
};

// `carried` is what SwitchFibers() returned: a Publication, an Unlock, or
// nullptr.
[[gnu::always_inline]] inline void RunPublication(void* carried) {
  if (Unlock::Is(carried)) {
    Unlock::Run(carried);
  } else if (carried != nullptr) {
    const Publication publication = *static_cast<Publication*>(carried);
    publication.run(publication.arg);
  }
}

// Leaves `from`, which runs, for `to`. Returns when `from` is resumed, perhaps
// on another thread, with the publication of who was left for it; the caller
// runs that next. The exception state has been exchanged before. Expanded where
// it is called (switch.h).
[[gnu::always_inline]] inline void* SwitchFibers(Fiber& from, Fiber& to,
                                                 void* publication) {
  from.annotations.Leave(to.annotations);
  void* const carried = SwitchContext(from.context, to.context, publication);
  from.annotations.Arrive();
  return carried;
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_FIBER_H_

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

// `carried` is what SwitchFibers() returned: a Publication, or nullptr.
[[gnu::always_inline]] inline void RunPublication(void* carried) {
  if (carried != nullptr) {
    const Publication publication = *static_cast<Publication*>(carried);
    publication.run(publication.arg);
  }
}

// Leaves `from`, which runs, for `to`. Returns when `from` is resumed, perhaps
// on another thread, with the publication of who was left for it; the caller
// runs that next. The exception state has been exchanged before. Expanded where
// it is called (switch.h).
[[gnu::always_inline]] inline void* SwitchFibers(Fiber& from, Fiber& to,
                                                 Publication* publication) {
  from.annotations.Leave(to.annotations);
  void* const carried = SwitchContext(from.context, to.context, publication);
  from.annotations.Arrive();
  return carried;
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_FIBER_H_

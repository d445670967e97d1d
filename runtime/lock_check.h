// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A debugging aid: reports goroutines that leave their thread while they hold a
// std::mutex, which belongs to the thread.
//
//   CheckNoLocks       reports, if there is something to report
//   LockCheckIsBuilt   whether the library was built so that it does
//
//   gochan: goroutine 7 blocks at main.cc:12 while it holds a mutex
//   (0x5581c0a3), which belongs to the thread
//
// Once per place in the program, on stderr, in one line. With
// GOCHAN_LOCK_CHECK=abort in the environment the process aborts after it.
//
// Who blocks with a std::mutex resumes on some thread, and unlocks there a
// mutex that another thread owns; meanwhile other goroutines on the first
// thread meet a mutex that seems to be theirs, or wait for it in the kernel
// and keep from running the one that holds it. gochan::Mutex belongs to the
// goroutine and may be held.
//
// How: this file's .cc defines pthread_mutex_lock(), _trylock() and _unlock(),
// which note the mutex in a list of the calling thread and go on to the C
// library's. The scheduler's reference to CheckNoLocks() brings them into the
// program, so nobody needs to ask for them. What makes that harmless:
//
//   - They are weak: a program that has such functions of its own, or is linked
//     statically, links as before.
//   - The list is only a hint. A mutex is reported if its own owner field names
//     the calling thread, which the C library keeps. So a mutex that was
//     unlocked where this file cannot see it (by another thread, by a library
//     that does not look names up in the usual way) causes no false alarm. A
//     condition variable's wait unlocks and locks inside of the C library and
//     leaves the list as it is, which is right.
//   - What was reported is forgotten, so that who runs next on that thread is
//     not blamed for it.
//
// Not seen: pthread_mutex_timedlock() and _clocklock() (a std::timed_mutex that
// was locked with a time limit), reader-writer locks, spin locks, absl::Mutex,
// which does not come from pthreads, and locks within the C library.
//
// Only in debug builds of the library: GOCHAN_LOCK_CHECK is 1 if NDEBUG is not
// defined; nothing of it is compiled else. Needs glibc, for the owner field;
// not with TSan, which brings those functions itself.

#ifndef GOCHAN_RUNTIME_LOCK_CHECK_H_
#define GOCHAN_RUNTIME_LOCK_CHECK_H_

#include <cstdint>

#include "runtime/sanitizers.h"
#include "runtime/source_location.h"

#if defined(NDEBUG) || !defined(__GLIBC__) || GOCHAN_TSAN
#undef GOCHAN_LOCK_CHECK
#define GOCHAN_LOCK_CHECK 0
#elif !defined(GOCHAN_LOCK_CHECK)
#define GOCHAN_LOCK_CHECK 1
#endif

namespace gochan::runtime {

// The library's own setting, whatever that of the includer is. Thread-safe.
bool LockCheckIsBuilt();

#if GOCHAN_LOCK_CHECK

// By goroutine `id`, which is about to do what `verb` says ("blocks") at
// `site`; nullptr: not known, so where it was `started` is reported.
// Thread-safe; O(1); keeps errno.
void CheckNoLocks(uint64_t id, const char* verb, const SourceLocation* site,
                  const SourceLocation& started);

#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_LOCK_CHECK_H_

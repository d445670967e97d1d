// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What the sanitizers cannot see for themselves: edges made by inline
// assembly, and memory that is reserved once and reused.

#ifndef GOCHAN_RUNTIME_SANITIZERS_H_
#define GOCHAN_RUNTIME_SANITIZERS_H_

#include <cstddef>

#if defined(__SANITIZE_THREAD__)
#define GOCHAN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GOCHAN_TSAN 1
#endif
#endif
#ifndef GOCHAN_TSAN
#define GOCHAN_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GOCHAN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GOCHAN_ASAN 1
#endif
#endif
#ifndef GOCHAN_ASAN
#define GOCHAN_ASAN 0
#endif

// For a function that looks at memory of others, where a sanitizer wants nobody
// to look.
#define GOCHAN_UNCHECKED \
  __attribute__((no_sanitize_address, no_sanitize_thread))

#if GOCHAN_TSAN
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

#if GOCHAN_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace gochan::runtime {

// What [begin, begin + bytes) points to is in use, as far as LSan is concerned.
inline void AnnotateRoot([[maybe_unused]] const void* begin,
                         [[maybe_unused]] std::size_t bytes) {
#if GOCHAN_ASAN
  __lsan_register_root_region(begin, bytes);
#endif
}

// Tell TSan that an access it cannot see acquired or released `address`. It
// keeps one clock per address, shared with the std::atomic that lives there.
inline void AnnotateAcquire([[maybe_unused]] const void* address) {
#if GOCHAN_TSAN
  __tsan_acquire(const_cast<void*>(address));
#endif
}
inline void AnnotateRelease([[maybe_unused]] const void* address) {
#if GOCHAN_TSAN
  __tsan_release(const_cast<void*>(address));
#endif
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SANITIZERS_H_

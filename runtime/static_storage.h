// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// IsStatic: whether an object is a global, or a static of some function. Such
// ones are destroyed when the program ends, where other rules hold.

#ifndef GOCHAN_RUNTIME_STATIC_STORAGE_H_
#define GOCHAN_RUNTIME_STATIC_STORAGE_H_

namespace gochan::runtime {

// Does `object` lie in the data of the program or of a shared library? False
// for the heap, for stacks, and for thread_local objects. Slow: walks the list
// of loaded files. Thread-safe.
bool IsStatic(const void* object);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_STATIC_STORAGE_H_

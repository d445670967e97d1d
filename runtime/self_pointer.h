// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// SelfPointer: a pointer that is only readable where it lies. Whoever searches
// memory for the owners of an object finds exactly those that live: a copy of
// the bits elsewhere, or what is left of an owner that has gone, does not point
// there.
//
//   word = -1 - address of the word - pointer, or 0 for nullptr
//
// So no address looks like one (the top bits are set), and whether a word at an
// address is an owner of an object is one comparison. The class owns nothing;
// its user takes the pointer out again, by Release(), before it counts the
// reference off, so that there are never more words than references.
//
// Cost: two or three instructions more than a plain pointer to read; the word
// is really in memory, and really erased, even where a compiler sees that
// nobody reads it. With GOCHAN_REGISTRY=0 it is a plain pointer;
// under ASan, too, whose own search for leaks would not know it.

#ifndef GOCHAN_RUNTIME_SELF_POINTER_H_
#define GOCHAN_RUNTIME_SELF_POINTER_H_

#include <cstdint>

#include "runtime/registry.h"
#include "runtime/sanitizers.h"

namespace gochan::runtime {

template <typename T>
class SelfPointer {
 public:
  constexpr SelfPointer() = default;
  explicit SelfPointer(T* pointer) {
    if (pointer != nullptr) Set(pointer);
  }
  SelfPointer(const SelfPointer&) = delete;
  SelfPointer& operator=(const SelfPointer&) = delete;

#if GOCHAN_REGISTRY && !GOCHAN_ASAN
  T* get() const {
    if (word_ == 0) return nullptr;
    T* const pointer = reinterpret_cast<T*>(~Here() - word_);
    if (pointer == nullptr) __builtin_unreachable();  // so ask only once
    return pointer;
  }
  void Set(T* pointer) {
    word_ =
        pointer == nullptr ? 0 : ~Here() - reinterpret_cast<uintptr_t>(pointer);
    Keep();
  }
  // Takes the pointer out.
  T* Release() {
    T* const pointer = get();
    if (pointer != nullptr) Clear();
    return pointer;
  }
  void Clear() {
    word_ = 0;
    Keep();
  }

  explicit operator bool() const { return word_ != 0; }

 private:
  uintptr_t Here() const { return reinterpret_cast<uintptr_t>(this); }
  // The store is not left out.
  void Keep() { __asm__ __volatile__("" : : "m"(word_)); }

  uintptr_t word_ = 0;
#else
  T* get() const { return pointer_; }
  void Set(T* pointer) { pointer_ = pointer; }
  T* Release() {
    T* const pointer = pointer_;
    pointer_ = nullptr;
    return pointer;
  }
  void Clear() { pointer_ = nullptr; }

  explicit operator bool() const { return pointer_ != nullptr; }

 private:
  T* pointer_ = nullptr;
#endif
};

static_assert(sizeof(SelfPointer<int>) == sizeof(int*));

// What a SelfPointer at `address` that holds `word` would point to.
inline uintptr_t SelfPointed(uintptr_t word, uintptr_t address) {
  return ~address - word;
}

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SELF_POINTER_H_

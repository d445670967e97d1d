// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// How the untyped core handles a T: move it, destroy it, name it.

#ifndef GOCHAN_CHAN_INTERNAL_ELEMENT_H_
#define GOCHAN_CHAN_INTERNAL_ELEMENT_H_

#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace gochan {

struct Unit;

namespace internal {

// Makes a T at `to` from the one at `from`, which stays alive (moved from, or
// unchanged if the mover copies). May not throw and may not block: it runs
// between two steps of the channel, on whoever's stack does them.
using Mover = void (*)(void* to, void* from);

struct ElementOps {
  std::size_t size;
  std::size_t align;
  bool counted_only;  // T is Unit: tickets are the channel, there are no slots
  Mover move;
  void (*destroy)(void* element);
  std::string_view (*name)();
};

// The name of T as the compiler writes it; no RTTI needed.
template <typename T>
std::string_view TypeName() {
  const std::string_view all = __PRETTY_FUNCTION__;
  const std::size_t begin = all.find("T = ") + 4;
  const std::size_t end = all.find_first_of(";]", begin);
  return all.substr(begin, end - begin);
}

template <typename T>
void MoveElement(void* to, void* from) {
  ::new (to) T(std::move(*static_cast<T*>(from)));
}

template <typename T>
void CopyElement(void* to, void* from) {
  ::new (to) T(*static_cast<const T*>(from));
}

template <typename T>
void DestroyElement(void* element) {
  std::destroy_at(static_cast<T*>(element));
}

template <typename T>
inline constexpr ElementOps kElementOps = {
    sizeof(T),       alignof(T),         std::is_same_v<T, Unit>,
    &MoveElement<T>, &DestroyElement<T>, &TypeName<T>,
};

// Room for a T that is perhaps never made.
template <typename T>
union Room {
  Room() {}
  ~Room() {}
  T value;
};

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_CHAN_INTERNAL_ELEMENT_H_

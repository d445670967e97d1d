// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#ifndef GOCHAN_GO_OBJECT_ID_H_
#define GOCHAN_GO_OBJECT_ID_H_

#include <cstddef>
#include <cstdint>
#include <functional>

namespace gochan {

// Which object something waits for: its address, which may be nobody's by now.
// Kept so that it does not look like a pointer: else a list of what was found
// would keep FindLeaks() from finding it once more.
class ObjectId {
 public:
  ObjectId() = default;
  ObjectId(const void* object)  // NOLINT: stands for the pointer
      : complement_(~reinterpret_cast<uintptr_t>(object)) {}
  static ObjectId OfComplement(uintptr_t complement) {
    ObjectId id;
    id.complement_ = complement;
    return id;
  }

  operator const void*() const {  // NOLINT: see above
    return reinterpret_cast<const void*>(~complement_);
  }
  std::size_t hash() const { return std::hash<uintptr_t>()(complement_); }

 private:
  uintptr_t complement_ = ~uintptr_t{0};  // of nullptr
};

}  // namespace gochan

#endif  // GOCHAN_GO_OBJECT_ID_H_

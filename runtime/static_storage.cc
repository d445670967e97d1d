// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/static_storage.h"

#if __has_include(<link.h>)
#include <link.h>
#else
#include <dlfcn.h>
#endif

#include <cstddef>
#include <cstdint>

namespace gochan::runtime {

#if __has_include(<link.h>)

namespace {

// Non-zero ends the walk: the segment that holds *static_cast<uintptr_t*>(arg).
int Holds(dl_phdr_info* file, std::size_t /*size*/, void* arg) {
  const uintptr_t address = *static_cast<const uintptr_t*>(arg);
  for (int i = 0; i < file->dlpi_phnum; ++i) {
    const auto& segment = file->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    const uintptr_t begin = file->dlpi_addr + segment.p_vaddr;
    if (address - begin < segment.p_memsz) return 1;
  }
  return 0;
}

}  // namespace

bool IsStatic(const void* object) {
  auto address = reinterpret_cast<uintptr_t>(object);
  return dl_iterate_phdr(&Holds, &address) != 0;
}

#else

bool IsStatic(const void* object) {
  Dl_info info;
  return dladdr(object, &info) != 0;
}

#endif

}  // namespace gochan::runtime

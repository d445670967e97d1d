// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// MemoryScan: reads all memory that the program can write, in a snapshot
// (runtime/snapshot.h).
//
//   MemoryScan scan(pages, &Look, &it);
//   scan.Exclude(...);
//   scan.ScanAll();
//
// Memory that was never touched is not read. What is mapped but out of reach (a
// guard, a device) is left out.

#ifndef GOCHAN_RUNTIME_MEMORY_SCAN_H_
#define GOCHAN_RUNTIME_MEMORY_SCAN_H_

#include <cstddef>
#include <cstdint>

#include "runtime/memory_reader.h"
#include "runtime/snapshot_tables.h"

namespace gochan::runtime {

class MemoryScan {
 public:
  // Gets `n` words that lie in a row somewhere, in a copy.
  using Words = void (*)(const uintptr_t* words, std::size_t n, void* arg);

  MemoryScan(Pages& pages, Words words, void* arg);
  ~MemoryScan();
  MemoryScan(const MemoryScan&) = delete;
  MemoryScan& operator=(const MemoryScan&) = delete;

  // Not to be read by ScanAll(). Spans may overlap.
  void Exclude(Span span) { excluded_.Add(span); }

  // All that is mapped for reading and writing, but for what is excluded, the
  // tables in `pages`, and mappings of a TiB and more, which are a sanitizer's.
  // False: the system does not say what is mapped.
  [[nodiscard]] bool ScanAll();

  // What lies in `span`. `shared`: others may have written it, too.
  void ScanSpan(Span span, bool shared = false);

 private:
  struct Mapping {
    Span span;
    bool shared = false;
  };

  bool ReadMappings();
  std::size_t FindResident(uintptr_t at, std::size_t pages, bool shared);
  void ScanCopied(Span span);

  static constexpr std::size_t kChunk = std::size_t{256} << 10;
  static constexpr std::size_t kMostPages = kChunk / 4096;

  Pages& pages_;
  const Words words_;
  void* const arg_;
  const std::size_t page_;
  MemoryReader memory_;
  Table<Mapping> mappings_{pages_};
  Table<Span> excluded_{pages_};
  uintptr_t* const chunk_;  // kChunk bytes
  int page_map_;
  uint64_t entries_[kMostPages];
  unsigned char resident_[kMostPages];
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_MEMORY_SCAN_H_

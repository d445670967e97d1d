// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/memory_scan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/snapshot_tables.h"

namespace gochan::runtime {

namespace {

constexpr uintptr_t kWord = sizeof(uintptr_t);
constexpr uintptr_t kSanitizers = uintptr_t{1} << (kWord == 8 ? 40 : 31);

// Hexadecimal, and the character behind it.
uintptr_t ReadNumber(const Table<char>& text, uint32_t* at) {
  uintptr_t value = 0;
  for (; *at < text.size(); ++*at) {
    const char c = text[*at];
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uintptr_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<uintptr_t>(c - 'a' + 10);
    } else {
      break;
    }
  }
  ++*at;
  return value;
}

}  // namespace

MemoryScan::MemoryScan(Pages& pages, Words words, void* arg)
    : pages_(pages),
      words_(words),
      arg_(arg),
      page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
      chunk_(static_cast<uintptr_t*>(pages.Allocate(kChunk))),
      page_map_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
  Exclude(pages.span());
}

MemoryScan::~MemoryScan() {
  if (page_map_ >= 0) close(page_map_);
}

bool MemoryScan::ReadMappings() {
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  Table<char> text(pages_);
  const auto* const buffer = reinterpret_cast<const char*>(chunk_);
  ssize_t n;
  while ((n = read(file, chunk_, kChunk)) > 0) {
    for (ssize_t i = 0; i < n; ++i) text.Add(buffer[i]);
  }
  close(file);
  if (n < 0) return false;
  // begin-end rw-p ...
  for (uint32_t at = 0; at < text.size(); ++at) {
    Mapping mapping;
    mapping.span.begin = ReadNumber(text, &at);
    mapping.span.end = ReadNumber(text, &at);
    if (at + 4 > text.size()) return false;
    mapping.shared = text[at + 3] == 's';
    if (text[at] == 'r' && text[at + 1] == 'w' &&
        mapping.span.end - mapping.span.begin < kSanitizers) {
      mappings_.Add(mapping);
    }
    while (at < text.size() && text[at] != '\n') ++at;
  }
  return true;
}

bool MemoryScan::ScanAll() {
  if (!ReadMappings()) return false;
  std::sort(excluded_.begin(), excluded_.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  uint32_t e = 0;
  for (const Mapping& mapping : mappings_) {
    uintptr_t at = mapping.span.begin;
    while (at < mapping.span.end) {
      while (e < excluded_.size() && excluded_[e].end <= at) ++e;
      Span next = {mapping.span.end, mapping.span.end};
      if (e < excluded_.size() && excluded_[e].begin < mapping.span.end) {
        next = excluded_[e];
      }
      // It may have begun before, within the one before it.
      if (at < next.begin) ScanSpan({at, next.begin}, mapping.shared);
      at = std::min(next.end, mapping.span.end);
    }
  }
  return true;
}

// Sets resident_ for up to kMostPages pages from `at` on; returns how many.
std::size_t MemoryScan::FindResident(uintptr_t at, std::size_t pages,
                                     bool shared) {
  constexpr uint64_t kPresent = uint64_t{3} << 62;  // or swapped out
  pages = std::min(pages, kMostPages);
  // What is shared with others is not in the snapshot's page tables yet.
  if (!shared && page_map_ >= 0) {
    const std::size_t bytes = pages * sizeof(uint64_t);
    if (pread(page_map_, entries_, bytes,
              static_cast<off_t>(at / page_ * sizeof(uint64_t))) ==
        static_cast<ssize_t>(bytes)) {
      for (std::size_t i = 0; i < pages; ++i) {
        resident_[i] = (entries_[i] & kPresent) != 0;
      }
      return pages;
    }
  }
  if (mincore(reinterpret_cast<void*>(at), pages * page_, resident_) != 0) {
    std::memset(resident_, 1, pages);
  }
  return pages;
}

void MemoryScan::ScanSpan(Span span, bool shared) {
  const uintptr_t mask = page_ - 1;
  const uintptr_t end = (span.end + mask) & ~mask;
  for (uintptr_t at = span.begin & ~mask; at < end;) {
    const std::size_t pages = FindResident(at, (end - at) / page_, shared);
    for (std::size_t i = 0; i < pages; ++i) {
      if ((resident_[i] & 1) == 0) continue;
      const std::size_t first = i;
      while (i < pages && (resident_[i] & 1) != 0) ++i;
      ScanCopied({std::max(span.begin, at + first * page_),
                  std::min(span.end, at + i * page_)});
    }
    at += pages * page_;
  }
}

// By a copy: what is mapped may be out of reach all the same.
void MemoryScan::ScanCopied(Span span) {
  span.begin = (span.begin + kWord - 1) & ~(kWord - 1);
  while (span.begin < span.end) {
    const std::size_t bytes =
        std::min<std::size_t>(kChunk, span.end - span.begin);
    if (memory_.Read(reinterpret_cast<const void*>(span.begin), chunk_,
                     bytes)) {
      words_(chunk_, bytes / kWord, arg_);
    } else if (bytes > page_) {
      // Those of its pages that can be read.
      for (uintptr_t at = span.begin; at < span.begin + bytes;) {
        const uintptr_t next =
            std::min(span.begin + bytes, (at & ~(page_ - 1)) + page_);
        ScanCopied({at, next});
        at = next;
      }
    }
    span.begin += bytes;
  }
}

}  // namespace gochan::runtime

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// BriefCalls: is a blocking call likely to be over before another thread would
// be awake?
//
// A guess by the call's place in the program, as a processor guesses branches:
// yes, if it was brief twice in a row. A guess that was wrong costs much, so
// after each it takes four times as many. Places may share an entry.

#ifndef GOCHAN_RUNTIME_BRIEF_CALLS_H_
#define GOCHAN_RUNTIME_BRIEF_CALLS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "runtime/atomic.h"
#include "runtime/source_location.h"

namespace gochan::runtime {

// Any number of parties may use it; of two notes at the same moment one may be
// lost.
class BriefCalls {
 public:
  using Index = uint8_t;

  static Index IndexOf(const SourceLocation& site) {
    const uintptr_t place = reinterpret_cast<uintptr_t>(site.file_name()) +
                            site.line() * uintptr_t{64} + site.column();
    return static_cast<Index>((place ^ place >> 6 ^ place >> 12) % kEntries);
  }
  bool Expects(Index index) const {
    const Entry entry = entries_[index].Load();
    return entry.in_a_row >= entry.needed;
  }
  // Nobody had guessed, and this is how it was.
  void Note(Index index, bool brief) {
    Entry entry = entries_[index].Load();
    if (!brief) {
      entry.in_a_row = 0;
    } else if (entry.in_a_row < kMost) {
      ++entry.in_a_row;
    }
    entries_[index].Store(entry);
  }
  // It was expected to be brief, and is not.
  void NoteWrong(Index index) {
    Entry entry = entries_[index].Load();
    entry.in_a_row = 0;
    entry.needed = std::min<uint16_t>(entry.needed, kMost / 4) * 4;
    entries_[index].Store(entry);
  }

 private:
  static constexpr unsigned kEntries = 64;
  static constexpr uint16_t kMost = 8192;

  struct Entry {
    uint16_t in_a_row = 0;
    uint16_t needed = 2;
  };
  // Relaxed: guesses.
  class SharedEntry {
   public:
    Entry Load() const {
      const uint32_t bits = bits_.load(std::memory_order_relaxed);
      return {static_cast<uint16_t>(bits), static_cast<uint16_t>(bits >> 16)};
    }
    void Store(const Entry& entry) {
      bits_.store(entry.in_a_row | uint32_t{entry.needed} << 16,
                  std::memory_order_relaxed);
    }

   private:
    Atomic<uint32_t> bits_{uint32_t{Entry{}.needed} << 16};
  };
  SharedEntry entries_[kEntries];
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_BRIEF_CALLS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// MemoryReader: reads memory of this process that may vanish meanwhile. Where
// nothing is, a read says no; there is no fault.
//
//   MemoryReader memory;
//   Node node;
//   if (memory.Read(address, &node, sizeof(node))) ...
//
// What was read was there at some moment during the call, each aligned word by
// itself; the reader finds out by other means whether it belongs together.
//
// Cost: a system call, about a microsecond; ReadAll() makes one for many.

#ifndef GOCHAN_RUNTIME_MEMORY_READER_H_
#define GOCHAN_RUNTIME_MEMORY_READER_H_

#include <cstddef>
#include <cstdint>

namespace gochan::runtime {

class MemoryReader {
 public:
  struct Piece {
    const void* from = nullptr;
    void* to = nullptr;
    std::size_t bytes = 0;
    bool read = false;  // set by ReadAll()
  };

  MemoryReader() = default;
  ~MemoryReader();
  MemoryReader(const MemoryReader&) = delete;
  MemoryReader& operator=(const MemoryReader&) = delete;

  // Copies `bytes` bytes at `from`. False: they are not all readable (`to` may
  // have been written in part), or the system offers no way; errno is kept. By
  // one party at a time.
  bool Read(const void* from, void* to, std::size_t bytes);

  // Read() for each of them; sets Piece::read.
  void ReadAll(Piece* pieces, std::size_t n);

 private:
  // By /proc/self/mem, where the call for it is not to be had.
  bool ReadFile(const void* from, void* to, std::size_t bytes);

  bool refused_ = false;  // the call is, so use the file
  int file_ = -1;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_MEMORY_READER_H_

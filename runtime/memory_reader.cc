// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/memory_reader.h"

#include <fcntl.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/uio.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace gochan::runtime {

namespace {

class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }

 private:
  const int saved_;
};

}  // namespace

MemoryReader::~MemoryReader() {
  if (file_ >= 0) close(file_);
}

bool MemoryReader::ReadFile(const void* from, void* to, std::size_t bytes) {
#if defined(__linux__)
  if (file_ < 0) file_ = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (file_ < 0) return false;
  auto* at = static_cast<char*>(to);
  auto place = static_cast<off_t>(reinterpret_cast<uintptr_t>(from));
  while (bytes > 0) {
    const ssize_t n = pread(file_, at, bytes, place);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    place += n;
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
#else
  static_cast<void>(from), static_cast<void>(to);
  return bytes == 0;
#endif
}

bool MemoryReader::Read(const void* from, void* to, std::size_t bytes) {
  Piece piece{from, to, bytes};
  ReadAll(&piece, 1);
  return piece.read;
}

void MemoryReader::ReadAll(Piece* pieces, std::size_t n) {
  const KeepErrno keep;
  std::size_t done = 0;
#if defined(__linux__)
  constexpr std::size_t kMost = 256;  // of IOV_MAX
  iovec from[kMost];
  iovec to[kMost];
  while (done < n && !refused_) {
    const std::size_t count = std::min(n - done, kMost);
    for (std::size_t i = 0; i < count; ++i) {
      const Piece& piece = pieces[done + i];
      from[i] = {const_cast<void*>(piece.from), piece.bytes};
      to[i] = {piece.to, piece.bytes};
    }
    const ssize_t bytes = process_vm_readv(getpid(), to, count, from, count, 0);
    if (bytes < 0 && errno != EFAULT) {
      if (errno == EINTR || errno == ENOMEM) continue;
      refused_ = true;
      break;
    }
    // It stops in the first piece that it cannot read.
    auto left = bytes < 0 ? std::size_t{0} : static_cast<std::size_t>(bytes);
    std::size_t i = 0;
    for (; i < count && left >= pieces[done + i].bytes; ++i) {
      left -= pieces[done + i].bytes;
      pieces[done + i].read = true;
    }
    if (i < count) pieces[done + i++].read = false;
    done += i;
  }
#endif
  for (; done < n; ++done) {
    Piece& piece = pieces[done];
    piece.read = ReadFile(piece.from, piece.to, piece.bytes);
  }
}

}  // namespace gochan::runtime

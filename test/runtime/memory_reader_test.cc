// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/memory_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::runtime {
namespace {

// Two pages, of which the second is not there.
class Edge {
 public:
  Edge() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    base_ = static_cast<char*>(mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(base_ + page_, page_);
  }
  ~Edge() { munmap(base_, page_); }
  char* end() const { return base_ + page_; }

 private:
  const std::size_t page_;
  char* base_;
};

TEST(MemoryReaderTest, ReadsWhatIsThere) {
  const uint64_t here[3] = {1, 2, 3};
  uint64_t copy[3] = {};
  MemoryReader memory;
  ASSERT_TRUE(memory.Read(here, copy, sizeof(here)));
  EXPECT_EQ(0, std::memcmp(here, copy, sizeof(here)));
  EXPECT_TRUE(memory.Read(nullptr, copy, 0));
}

TEST(MemoryReaderTest, SaysNoWhereNothingIs) {
  const Edge edge;
  MemoryReader memory;
  uint64_t copy = 0;
  errno = EAGAIN;
  EXPECT_FALSE(memory.Read(nullptr, &copy, sizeof(copy)));
  EXPECT_FALSE(memory.Read(edge.end(), &copy, sizeof(copy)));
  EXPECT_FALSE(memory.Read(edge.end() - 4, &copy, sizeof(copy)));
  EXPECT_TRUE(memory.Read(edge.end() - 8, &copy, sizeof(copy)));
  EXPECT_EQ(errno, EAGAIN);
}

// More than one call may take, with gaps at every place.
TEST(MemoryReaderTest, ReadsAllThatIsThere) {
  const Edge edge;
  constexpr std::size_t kPieces = 2000;
  std::vector<uint64_t> here(kPieces);
  std::vector<uint64_t> copy(kPieces);
  std::vector<MemoryReader::Piece> pieces(kPieces);
  const auto is_gap = [](std::size_t i) { return i % 7 == 3 || i % 256 == 0; };
  for (std::size_t i = 0; i < kPieces; ++i) {
    here[i] = i + 1;
    pieces[i] = {is_gap(i) ? static_cast<const void*>(edge.end()) : &here[i],
                 &copy[i], sizeof(uint64_t)};
  }
  MemoryReader memory;
  memory.ReadAll(pieces.data(), kPieces);
  for (std::size_t i = 0; i < kPieces; ++i) {
    EXPECT_EQ(pieces[i].read, !is_gap(i)) << i;
    EXPECT_EQ(copy[i], is_gap(i) ? 0 : i + 1) << i;
  }
}

}  // namespace
}  // namespace gochan::runtime

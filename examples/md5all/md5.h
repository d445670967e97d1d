// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// MD5 (RFC 1321), for examples/md5all. Broken for security since 2004; good
// enough to compare files that nobody forged.
//
//   Md5 md5;
//   md5.Update(chunk);
//   std::array<uint8_t, 16> digest = md5.Finish();

#ifndef GOCHAN_EXAMPLES_MD5ALL_MD5_H_
#define GOCHAN_EXAMPLES_MD5ALL_MD5_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace gochan::md5all {

class Md5 {
 public:
  using Digest = std::array<uint8_t, 16>;

  void Update(const void* data, std::size_t size);
  void Update(absl::string_view data) { Update(data.data(), data.size()); }

  // The digest of all updates; the object is as new afterwards.
  Digest Finish();

 private:
  static constexpr std::size_t kBlock = 64;

  void Blocks(const uint8_t* data, std::size_t count);

  std::array<uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe,
                                    0x10325476};
  uint64_t size_ = 0;
  // The first size_ % kBlock bytes wait for the rest of their block.
  std::array<uint8_t, kBlock> rest_;
};

// 32 lower-case digits.
std::string ToHex(const Md5::Digest& digest);

}  // namespace gochan::md5all

#endif  // GOCHAN_EXAMPLES_MD5ALL_MD5_H_

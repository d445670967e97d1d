// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "examples/md5all/md5.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace gochan::md5all {

namespace {

uint32_t LoadLittle32(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 |
         uint32_t{p[3]} << 24;
}

void StoreLittle32(uint32_t value, uint8_t* p) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

// The RFC's four functions, as sums of a part that does not need the step
// before (which made b) and one that does: the chain through b is what limits
// MD5's speed. G's two halves share no bit, so its "or" may be a sum.
struct F {
  static uint32_t Early(uint32_t, uint32_t) { return 0; }
  static uint32_t Late(uint32_t b, uint32_t c, uint32_t d) {
    return d ^ (b & (c ^ d));
  }
};
struct G {
  static uint32_t Early(uint32_t c, uint32_t d) { return c & ~d; }
  static uint32_t Late(uint32_t b, uint32_t, uint32_t d) { return b & d; }
};
struct H {
  static uint32_t Early(uint32_t, uint32_t) { return 0; }
  static uint32_t Late(uint32_t b, uint32_t c, uint32_t d) {
    return b ^ (c ^ d);
  }
};
struct I {
  static uint32_t Early(uint32_t, uint32_t) { return 0; }
  static uint32_t Late(uint32_t b, uint32_t c, uint32_t d) {
    return c ^ (b | ~d);
  }
};

template <typename Function, int kRotate>
inline void Step(uint32_t& a, uint32_t b, uint32_t c, uint32_t d, uint32_t x,
                 uint32_t sine) {
  a += x + sine + Function::Early(c, d);
  // Keeps compilers from adding in another order, which costs a quarter.
  __asm__("" : "+r"(a));
  a = b + std::rotl(a + Function::Late(b, c, d), kRotate);
}

}  // namespace

void Md5::Blocks(const uint8_t* data, std::size_t count) {
  auto [a, b, c, d] = state_;
  for (; count > 0; --count, data += kBlock) {
    uint32_t x[16];
    for (int i = 0; i < 16; ++i) x[i] = LoadLittle32(data + 4 * i);
    const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;

    Step<F, 7>(a, b, c, d, x[0], 0xd76aa478);
    Step<F, 12>(d, a, b, c, x[1], 0xe8c7b756);
    Step<F, 17>(c, d, a, b, x[2], 0x242070db);
    Step<F, 22>(b, c, d, a, x[3], 0xc1bdceee);
    Step<F, 7>(a, b, c, d, x[4], 0xf57c0faf);
    Step<F, 12>(d, a, b, c, x[5], 0x4787c62a);
    Step<F, 17>(c, d, a, b, x[6], 0xa8304613);
    Step<F, 22>(b, c, d, a, x[7], 0xfd469501);
    Step<F, 7>(a, b, c, d, x[8], 0x698098d8);
    Step<F, 12>(d, a, b, c, x[9], 0x8b44f7af);
    Step<F, 17>(c, d, a, b, x[10], 0xffff5bb1);
    Step<F, 22>(b, c, d, a, x[11], 0x895cd7be);
    Step<F, 7>(a, b, c, d, x[12], 0x6b901122);
    Step<F, 12>(d, a, b, c, x[13], 0xfd987193);
    Step<F, 17>(c, d, a, b, x[14], 0xa679438e);
    Step<F, 22>(b, c, d, a, x[15], 0x49b40821);

    Step<G, 5>(a, b, c, d, x[1], 0xf61e2562);
    Step<G, 9>(d, a, b, c, x[6], 0xc040b340);
    Step<G, 14>(c, d, a, b, x[11], 0x265e5a51);
    Step<G, 20>(b, c, d, a, x[0], 0xe9b6c7aa);
    Step<G, 5>(a, b, c, d, x[5], 0xd62f105d);
    Step<G, 9>(d, a, b, c, x[10], 0x02441453);
    Step<G, 14>(c, d, a, b, x[15], 0xd8a1e681);
    Step<G, 20>(b, c, d, a, x[4], 0xe7d3fbc8);
    Step<G, 5>(a, b, c, d, x[9], 0x21e1cde6);
    Step<G, 9>(d, a, b, c, x[14], 0xc33707d6);
    Step<G, 14>(c, d, a, b, x[3], 0xf4d50d87);
    Step<G, 20>(b, c, d, a, x[8], 0x455a14ed);
    Step<G, 5>(a, b, c, d, x[13], 0xa9e3e905);
    Step<G, 9>(d, a, b, c, x[2], 0xfcefa3f8);
    Step<G, 14>(c, d, a, b, x[7], 0x676f02d9);
    Step<G, 20>(b, c, d, a, x[12], 0x8d2a4c8a);

    Step<H, 4>(a, b, c, d, x[5], 0xfffa3942);
    Step<H, 11>(d, a, b, c, x[8], 0x8771f681);
    Step<H, 16>(c, d, a, b, x[11], 0x6d9d6122);
    Step<H, 23>(b, c, d, a, x[14], 0xfde5380c);
    Step<H, 4>(a, b, c, d, x[1], 0xa4beea44);
    Step<H, 11>(d, a, b, c, x[4], 0x4bdecfa9);
    Step<H, 16>(c, d, a, b, x[7], 0xf6bb4b60);
    Step<H, 23>(b, c, d, a, x[10], 0xbebfbc70);
    Step<H, 4>(a, b, c, d, x[13], 0x289b7ec6);
    Step<H, 11>(d, a, b, c, x[0], 0xeaa127fa);
    Step<H, 16>(c, d, a, b, x[3], 0xd4ef3085);
    Step<H, 23>(b, c, d, a, x[6], 0x04881d05);
    Step<H, 4>(a, b, c, d, x[9], 0xd9d4d039);
    Step<H, 11>(d, a, b, c, x[12], 0xe6db99e5);
    Step<H, 16>(c, d, a, b, x[15], 0x1fa27cf8);
    Step<H, 23>(b, c, d, a, x[2], 0xc4ac5665);

    Step<I, 6>(a, b, c, d, x[0], 0xf4292244);
    Step<I, 10>(d, a, b, c, x[7], 0x432aff97);
    Step<I, 15>(c, d, a, b, x[14], 0xab9423a7);
    Step<I, 21>(b, c, d, a, x[5], 0xfc93a039);
    Step<I, 6>(a, b, c, d, x[12], 0x655b59c3);
    Step<I, 10>(d, a, b, c, x[3], 0x8f0ccc92);
    Step<I, 15>(c, d, a, b, x[10], 0xffeff47d);
    Step<I, 21>(b, c, d, a, x[1], 0x85845dd1);
    Step<I, 6>(a, b, c, d, x[8], 0x6fa87e4f);
    Step<I, 10>(d, a, b, c, x[15], 0xfe2ce6e0);
    Step<I, 15>(c, d, a, b, x[6], 0xa3014314);
    Step<I, 21>(b, c, d, a, x[13], 0x4e0811a1);
    Step<I, 6>(a, b, c, d, x[4], 0xf7537e82);
    Step<I, 10>(d, a, b, c, x[11], 0xbd3af235);
    Step<I, 15>(c, d, a, b, x[2], 0x2ad7d2bb);
    Step<I, 21>(b, c, d, a, x[9], 0xeb86d391);

    a += a0;
    b += b0;
    c += c0;
    d += d0;
  }
  state_ = {a, b, c, d};
}

void Md5::Update(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  const std::size_t waiting = size_ % kBlock;
  size_ += size;
  if (waiting != 0) {
    const std::size_t taken = std::min(size, kBlock - waiting);
    std::copy_n(bytes, taken, rest_.begin() + waiting);
    if (waiting + taken < kBlock) return;
    Blocks(rest_.data(), 1);
    bytes += taken;
    size -= taken;
  }
  Blocks(bytes, size / kBlock);
  std::copy_n(bytes + size / kBlock * kBlock, size % kBlock, rest_.begin());
}

Md5::Digest Md5::Finish() {
  const uint64_t bits = size_ * 8;
  // A one, zeros up to 8 bytes before the end of a block, the length.
  uint8_t padding[kBlock + 8] = {0x80};
  const std::size_t zeros = (2 * kBlock - 8 - 1 - size_ % kBlock) % kBlock;
  StoreLittle32(static_cast<uint32_t>(bits), padding + 1 + zeros);
  StoreLittle32(static_cast<uint32_t>(bits >> 32), padding + 1 + zeros + 4);
  Update(padding, 1 + zeros + 8);

  Digest digest;
  for (int i = 0; i < 4; ++i) StoreLittle32(state_[i], &digest[4 * i]);
  *this = Md5();
  return digest;
}

std::string ToHex(const Md5::Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const uint8_t byte : digest) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace gochan::md5all

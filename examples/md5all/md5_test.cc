// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "examples/md5all/md5.h"

#include <cstddef>
#include <string>

#include "gtest/gtest.h"

namespace gochan::md5all {
namespace {

std::string Hash(absl::string_view data) {
  Md5 md5;
  md5.Update(data);
  return ToHex(md5.Finish());
}

// RFC 1321, A.5.
TEST(Md5Test, VectorsOfTheRfc) {
  EXPECT_EQ(Hash(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Hash("a"), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(Hash("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(Hash("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(Hash("abcdefghijklmnopqrstuvwxyz"),
            "c3fcd3d76192e4007dfb496cca67e13b");
  EXPECT_EQ(
      Hash("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
      "d174ab98d277d9f5a5611c2c9f419d9f");
  EXPECT_EQ(Hash("1234567890123456789012345678901234567890123456789012345678901"
                 "2345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

TEST(Md5Test, AMillionTimesA) {
  EXPECT_EQ(Hash(std::string(1'000'000, 'a')),
            "7707d6ae4e027c70eea2a935c2296f21");
}

TEST(Md5Test, CutsBetweenUpdatesDoNotMatter) {
  std::string data;
  for (int i = 0; i < 200; ++i) data += static_cast<char>(i * 7);
  for (std::size_t size = 0; size <= data.size(); ++size) {
    const std::string whole = Hash(absl::string_view(data).substr(0, size));
    for (std::size_t cut = 0; cut <= size; cut += 13) {
      Md5 md5;
      md5.Update(data.data(), cut);
      md5.Update(data.data() + cut, size - cut);
      EXPECT_EQ(ToHex(md5.Finish()), whole) << size << " cut at " << cut;
    }
    Md5 md5;
    for (std::size_t i = 0; i < size; ++i) md5.Update(&data[i], 1);
    EXPECT_EQ(ToHex(md5.Finish()), whole) << size << " byte by byte";
  }
}

TEST(Md5Test, AsNewAfterFinish) {
  Md5 md5;
  md5.Update("something");
  md5.Finish();
  md5.Update("abc");
  EXPECT_EQ(ToHex(md5.Finish()), "900150983cd24fb0d6963f7d28e17f72");
}

}  // namespace
}  // namespace gochan::md5all

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/util/pprof.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace gochan::test {

namespace {

// -----------------------------------------------------------------------------
// gzip
// -----------------------------------------------------------------------------

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

// Bit by bit, as the standard has it.
uint32_t Crc32(std::string_view data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
  }
  return crc ^ 0xffffffff;
}

// -----------------------------------------------------------------------------
// Protocol buffers
// -----------------------------------------------------------------------------

uint64_t TakeVarint(std::string_view* in) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in->empty()) break;
    const auto byte = static_cast<unsigned char>(in->front());
    in->remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a number without end";
  in->remove_prefix(in->size());
  return 0;
}

struct Message {
  std::map<int, std::vector<uint64_t>> numbers;
  std::map<int, std::vector<std::string>> bytes;

  explicit Message(std::string_view in) {
    while (!in.empty()) {
      const uint64_t tag = TakeVarint(&in);
      const int field = static_cast<int>(tag >> 3);
      if ((tag & 7) == 0) {
        numbers[field].push_back(TakeVarint(&in));
      } else if ((tag & 7) == 2) {
        const uint64_t size = TakeVarint(&in);
        if (size > in.size()) {
          ADD_FAILURE() << "field " << field << " is cut off";
          return;
        }
        bytes[field].emplace_back(in.substr(0, size));
        in.remove_prefix(size);
      } else {
        ADD_FAILURE() << "a field of type " << (tag & 7);
        return;
      }
    }
  }

  uint64_t Number(int field) const {
    const auto at = numbers.find(field);
    return at == numbers.end() ? 0 : at->second.back();
  }
  std::vector<uint64_t> Packed(int field) const {
    std::vector<uint64_t> values;
    for (std::string_view in : Strings(field)) {
      while (!in.empty()) values.push_back(TakeVarint(&in));
    }
    return values;
  }
  std::vector<std::string> Strings(int field) const {
    const auto at = bytes.find(field);
    return at == bytes.end() ? std::vector<std::string>() : at->second;
  }
  std::vector<Message> Messages(int field) const {
    std::vector<Message> messages;
    for (const std::string& in : Strings(field)) messages.emplace_back(in);
    return messages;
  }
};

}  // namespace

std::string Gunzip(const std::string& file) {
  std::string_view in = file;
  std::string out;
  if (in.size() < 18 ||
      in.substr(0, 4) != std::string_view("\x1f\x8b\x08\0", 4)) {
    ADD_FAILURE() << "no gzip file, or one with extras";
    return out;
  }
  in.remove_prefix(10);
  for (bool last = false; !last;) {
    if (in.size() < 5 || (in[0] & ~1) != 0) {
      ADD_FAILURE() << "no stored block at " << in.data() - file.data();
      return out;
    }
    last = in[0] == 1;
    const uint32_t size = LittleEndian(in.substr(1, 2));
    EXPECT_EQ(LittleEndian(in.substr(3, 2)), size ^ 0xffff);
    in.remove_prefix(5);
    out += in.substr(0, size);
    in.remove_prefix(std::min<std::size_t>(size, in.size()));
  }
  if (in.size() != 8) {
    ADD_FAILURE() << "a trailer of " << in.size() << " bytes";
    return out;
  }
  EXPECT_EQ(LittleEndian(in.substr(0, 4)), Crc32(out));
  EXPECT_EQ(LittleEndian(in.substr(4, 4)), out.size());
  return out;
}

Profile ReadProfile(const std::string& file) {
  const Message message(Gunzip(file));
  const std::vector<std::string> strings = message.Strings(6);
  if (strings.empty() || !strings[0].empty()) {
    ADD_FAILURE() << "the first string is not the empty one";
    return {};
  }
  const auto string = [&](uint64_t index) {
    EXPECT_LT(index, strings.size());
    return index < strings.size() ? strings[index] : std::string();
  };
  const auto value_type = [&](const Message& type) {
    return Profile::ValueType(string(type.Number(1)), string(type.Number(2)));
  };

  Profile profile;
  for (const Message& type : message.Messages(1)) {
    profile.sample_types.push_back(value_type(type));
  }
  std::map<uint64_t, std::string> mappings;
  for (const Message& mapping : message.Messages(3)) {
    profile.mappings.push_back(string(mapping.Number(5)));
    mappings[mapping.Number(1)] = profile.mappings.back();
  }
  std::map<uint64_t, Profile::Frame> functions;
  for (const Message& function : message.Messages(5)) {
    EXPECT_NE(function.Number(1), 0u);
    const bool is_new =
        functions
            .emplace(function.Number(1),
                     Profile::Frame{string(function.Number(2)),
                                    string(function.Number(4)), 0})
            .second;
    EXPECT_TRUE(is_new) << "function " << function.Number(1);
  }
  std::map<uint64_t, Profile::Frame> locations;
  for (const Message& location : message.Messages(4)) {
    EXPECT_NE(location.Number(1), 0u);
    EXPECT_EQ(mappings.count(location.Number(2)), 1u);
    const std::vector<Message> lines = location.Messages(4);
    if (lines.size() != 1 || functions.count(lines[0].Number(1)) == 0) {
      ADD_FAILURE() << "location " << location.Number(1);
      continue;
    }
    Profile::Frame frame = functions[lines[0].Number(1)];
    frame.line = static_cast<int64_t>(lines[0].Number(2));
    const bool is_new = locations.emplace(location.Number(1), frame).second;
    EXPECT_TRUE(is_new) << "location " << location.Number(1);
  }
  for (const Message& sample : message.Messages(2)) {
    Profile::Sample read;
    for (const uint64_t id : sample.Packed(1)) {
      EXPECT_EQ(locations.count(id), 1u) << "location " << id;
      read.stack.push_back(locations[id]);
    }
    for (const uint64_t value : sample.Packed(2)) {
      read.values.push_back(static_cast<int64_t>(value));
    }
    EXPECT_EQ(read.values.size(), profile.sample_types.size());
    for (const Message& label : sample.Messages(3)) {
      read.labels.emplace(string(label.Number(1)), string(label.Number(2)));
    }
    profile.samples.push_back(std::move(read));
  }
  profile.time_nanos = static_cast<int64_t>(message.Number(9));
  profile.duration_nanos = static_cast<int64_t>(message.Number(10));
  for (const Message& type : message.Messages(11)) {
    profile.period_type = value_type(type);
  }
  profile.period = static_cast<int64_t>(message.Number(12));
  profile.default_sample_type = string(message.Number(14));
  return profile;
}

}  // namespace gochan::test

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/profile_builder.h"

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/clock.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace gochan::internal {

namespace {

// -----------------------------------------------------------------------------
// Protocol buffers
// -----------------------------------------------------------------------------

// A message being written. Fields that are 0 or empty are left out, as proto3
// wants it.
class Message {
 public:
  void Int(int field, uint64_t value) {
    if (value == 0) return;
    Tag(field, 0);
    Varint(value);
  }
  void Bytes(int field, std::string_view bytes) {
    Tag(field, 2);
    Varint(bytes.size());
    bytes_ += bytes;
  }
  void Sub(int field, const Message& message) { Bytes(field, message.bytes_); }
  template <typename Range>
  void Packed(int field, const Range& values) {
    Message packed;
    for (const auto value : values) {
      packed.Varint(static_cast<uint64_t>(value));
    }
    if (!packed.bytes_.empty()) Sub(field, packed);
  }
  std::string_view bytes() const { return bytes_; }

 private:
  void Tag(int field, int wire_type) {
    Varint(static_cast<uint64_t>(field) << 3 |
           static_cast<uint64_t>(wire_type));
  }
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      bytes_ += static_cast<char>(value | 0x80);
    }
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// -----------------------------------------------------------------------------
// gzip
// -----------------------------------------------------------------------------

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    table[i] = crc;
  }
  return table;
}();

uint32_t Crc32(std::string_view data) {
  uint32_t crc = ~0u;
  for (const char c : data) {
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

void AppendLittleEndian(uint32_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i, value >>= 8) {
    *out += static_cast<char>(value);
  }
}

// -----------------------------------------------------------------------------
// The program
// -----------------------------------------------------------------------------

struct Mapping {
  uint64_t start = 0;
  uint64_t limit = 0;
  uint64_t offset = 0;
  std::string file;
};

// Where the program's code lies, as far as the system tells.
Mapping MainMapping() {
  Mapping mapping;
#if defined(__linux__)
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) return mapping;
  mapping.file.assign(path, static_cast<std::size_t>(length));
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return mapping;
  char line[4096 + 128];
  while (std::fgets(line, sizeof(line), maps) != nullptr) {
    uint64_t start;
    uint64_t limit;
    uint64_t offset;
    char rights[8];
    int name = 0;
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n",
                    &start, &limit, rights, &offset, &name) < 4 ||
        rights[2] != 'x' || mapping.file + "\n" != line + name) {
      continue;
    }
    mapping.start = start;
    mapping.limit = limit;
    mapping.offset = offset;
    break;
  }
  std::fclose(maps);
#endif
  return mapping;
}

}  // namespace

std::string Gzip(std::string_view data) {
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  const uint32_t crc = Crc32(data);
  const auto size = static_cast<uint32_t>(data.size());
  do {
    const std::string_view block = data.substr(0, 0xffff);
    data.remove_prefix(block.size());
    out += data.empty() ? '\1' : '\0';  // stored; is it the last one?
    const auto length = static_cast<uint32_t>(block.size());
    AppendLittleEndian(length, 2, &out);
    AppendLittleEndian(~length, 2, &out);
    out += block;
  } while (!data.empty());
  AppendLittleEndian(crc, 4, &out);
  AppendLittleEndian(size, 4, &out);
  return out;
}

// -----------------------------------------------------------------------------
// ProfileBuilder
// -----------------------------------------------------------------------------

ProfileBuilder::ProfileBuilder(std::vector<ValueType> sample_types,
                               ValueType period_type, int64_t period)
    : sample_types_(std::move(sample_types)),
      period_type_(std::move(period_type)),
      period_(period),
      default_type_(sample_types_.front().type) {
  String("");  // 0 by definition
  for (const ValueType& type : sample_types_) {
    String(type.type);
    String(type.unit);
  }
  String(period_type_.type);
  String(period_type_.unit);
}

uint64_t ProfileBuilder::String(std::string_view text) {
  const auto [at, is_new] =
      string_index_.try_emplace(std::string(text), strings_.size());
  if (is_new) strings_.emplace_back(text);
  return at->second;
}

uint64_t ProfileBuilder::Function(std::string_view name,
                                  std::string_view file) {
  const std::pair<uint64_t, uint64_t> function(String(name), String(file));
  const auto [at, is_new] =
      function_index_.try_emplace(function, functions_.size() + 1);
  if (is_new) functions_.push_back(function);
  return at->second;
}

uint64_t ProfileBuilder::Location(const Frame& frame) {
  const std::pair<uint64_t, int> location(Function(frame.function, frame.file),
                                          frame.line);
  const auto [at, is_new] =
      location_index_.try_emplace(location, locations_.size() + 1);
  if (is_new) locations_.push_back(location);
  return at->second;
}

void ProfileBuilder::Add(const std::vector<Frame>& stack, Labels labels,
                         const std::vector<int64_t>& values) {
  Key key = {stack.size()};
  for (const Frame& frame : stack) key.push_back(Location(frame));
  for (const auto& [name, value] : labels) {
    key.push_back(String(name));
    key.push_back(String(value));
  }
  std::vector<int64_t>& sums = samples_[std::move(key)];
  sums.resize(sample_types_.size());
  for (std::size_t i = 0; i < sums.size() && i < values.size(); ++i) {
    sums[i] += values[i];
  }
}

std::string ProfileBuilder::Encode() const {
  Message profile;
  const auto index = [this](const std::string& text) {
    return string_index_.at(text);
  };
  const auto value_type = [&](const ValueType& type) {
    Message message;
    message.Int(1, index(type.type));
    message.Int(2, index(type.unit));
    return message;
  };
  for (const ValueType& type : sample_types_) {
    profile.Sub(1, value_type(type));
  }
  for (const auto& [key, values] : samples_) {
    const auto locations = key.begin() + 1;
    auto label = locations + static_cast<std::ptrdiff_t>(key.front());
    Message sample;
    sample.Packed(1, std::vector<uint64_t>(locations, label));
    sample.Packed(2, values);
    for (; label != key.end(); label += 2) {
      Message message;
      message.Int(1, label[0]);
      message.Int(2, label[1]);
      sample.Sub(3, message);
    }
    profile.Sub(2, sample);
  }
  // The strings that this adds stand behind all others.
  const Mapping main = MainMapping();
  Message mapping;
  mapping.Int(1, 1);
  mapping.Int(2, main.start);
  mapping.Int(3, main.limit);
  mapping.Int(4, main.offset);
  mapping.Int(5, strings_.size());
  for (int has = 7; has <= 9; ++has) {  // functions, files, lines
    mapping.Int(has, 1);
  }
  profile.Sub(3, mapping);
  for (std::size_t i = 0; i < locations_.size(); ++i) {
    Message line;
    line.Int(1, locations_[i].first);
    line.Int(2, static_cast<uint64_t>(locations_[i].second));
    Message location;
    location.Int(1, i + 1);
    location.Int(2, 1);
    location.Sub(4, line);
    profile.Sub(4, location);
  }
  for (std::size_t i = 0; i < functions_.size(); ++i) {
    Message function;
    function.Int(1, i + 1);
    function.Int(2, functions_[i].first);
    // No system name: tools would take the name for one to be demangled, and
    // cut off "<lambda>".
    function.Int(4, functions_[i].second);
    profile.Sub(5, function);
  }
  for (const std::string& text : strings_) profile.Bytes(6, text);
  profile.Bytes(6, main.file);
  profile.Int(9, static_cast<uint64_t>(runtime::UnixNanosNow()));
  profile.Int(10, static_cast<uint64_t>(duration_nanos_));
  profile.Sub(11, value_type(period_type_));
  profile.Int(12, static_cast<uint64_t>(period_));
  profile.Int(14, index(default_type_));
  return Gzip(profile.bytes());
}

}  // namespace gochan::internal

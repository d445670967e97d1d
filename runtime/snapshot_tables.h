// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Containers for code that runs in a snapshot (runtime/snapshot.h), where
// nobody may call malloc.
//
//   Pages       memory, all of it in one range
//   Table       a vector
//   AddressMap  numbers by address
//
// Nothing is given back; the snapshot ends soon.

#ifndef GOCHAN_RUNTIME_SNAPSHOT_TABLES_H_
#define GOCHAN_RUNTIME_SNAPSHOT_TABLES_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace gochan::runtime {

// Addresses.
struct Span {
  uintptr_t begin = 0;
  uintptr_t end = 0;

  bool empty() const { return begin >= end; }
  bool Contains(uintptr_t address) const {
    return address >= begin && address < end;
  }
};

// Ends the snapshot: its maker is told that it has failed.
[[noreturn]] inline void GiveUpSnapshot() { _exit(1); }

// Memory of zeros; as much address space as there is, used as it is needed.
class Pages {
 public:
  Pages() {
    for (std::size_t size = std::size_t{1} << 38; size >= (1u << 26);
         size /= 4) {
      void* const memory =
          mmap(nullptr, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) continue;
      begin_ = next_ = static_cast<char*>(memory);
      end_ = begin_ + size;
      return;
    }
    GiveUpSnapshot();
  }

  void* Allocate(std::size_t bytes) {
    bytes = (bytes + 63) & ~std::size_t{63};
    if (bytes > static_cast<std::size_t>(end_ - next_)) GiveUpSnapshot();
    return std::exchange(next_, next_ + bytes);
  }

  Span span() const {
    return {reinterpret_cast<uintptr_t>(begin_),
            reinterpret_cast<uintptr_t>(end_)};
  }

 private:
  char* begin_ = nullptr;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

// A vector of things that can be copied bit by bit.
template <typename T>
class Table {
 public:
  explicit Table(Pages& pages) : pages_(pages) {}

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  T& back() { return data_[size_ - 1]; }
  void pop_back() { --size_; }

  // The number of the new one.
  uint32_t Add(const T& value) {
    if (size_ == capacity_) Reserve(capacity_ == 0 ? 64 : capacity_ * 2);
    std::memcpy(static_cast<void*>(data_ + size_), &value, sizeof(T));
    return size_++;
  }
  void Fill(uint32_t n, const T& value) {
    Reserve(n);
    while (size_ < n) Add(value);
  }

 private:
  void Reserve(uint32_t capacity) {
    if (capacity <= capacity_) return;
    void* const memory = pages_.Allocate(sizeof(T) * capacity);
    if (size_ != 0) std::memcpy(memory, data_, sizeof(T) * size_);
    data_ = static_cast<T*>(memory);
    capacity_ = capacity;
  }

  Pages& pages_;
  T* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

// Numbers by address.
class AddressMap {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  explicit AddressMap(Pages& pages) : pages_(pages) { Resize(256); }

  // kNone if there is none.
  uint32_t Find(uintptr_t key) const {
    for (uint32_t i = Start(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].value;
      if (slots_[i].key == 0) return kNone;
    }
  }
  void Insert(uintptr_t key, uint32_t value) {
    if (++size_ * 2 > mask_) Resize((mask_ + 1) * 2);
    Put(key, value);
  }

 private:
  struct Slot {
    uintptr_t key;  // 0: empty
    uint32_t value;
  };

  uint32_t Start(uintptr_t key) const {
    return static_cast<uint32_t>((key * 0x9e3779b97f4a7c15) >> 32) & mask_;
  }
  void Put(uintptr_t key, uint32_t value) {
    uint32_t i = Start(key);
    while (slots_[i].key != 0) i = (i + 1) & mask_;
    slots_[i] = {key, value};
  }
  void Resize(uint32_t n) {
    const Slot* const old = slots_;
    const uint32_t old_n = old == nullptr ? 0 : mask_ + 1;
    slots_ = static_cast<Slot*>(pages_.Allocate(n * sizeof(Slot)));  // zeros
    mask_ = n - 1;
    for (uint32_t i = 0; i < old_n; ++i) {
      if (old[i].key != 0) Put(old[i].key, old[i].value);
    }
  }

  Pages& pages_;
  Slot* slots_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t size_ = 0;
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_SNAPSHOT_TABLES_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The slots of a buffered channel: a ring of 2^k >= C slots with turn numbers.
// The state word hands out the tickets; ticket p uses slot p mod 2^k.
//
//   turn of slot, for ticket p     set by           next        who may act
//   lap(p)                         reader of p-2^k  lap(p)+1    the writer of p
//   lap(p) + 1                     writer of p      lap(p+2^k)  the reader of p
//
// lap(p) = 2 * (p without its low k bits), modulo 2^32: so zeroed memory is a
// ring before its first ticket. A ticket's holder waits here for one neighbour
// that is between its swap of the state word and its step of the turn, two
// adjacent actions; it never waits for a partner.
//
// Memory ordering: the writer's element is visible to the reader, and the
// reader's move out of the slot to the next lap's writer (R1: release in Set,
// acquire in Await).
//
// Source: the bounded queue of Dmitry Vyukov (1024cores.net), with the tickets
// taken out of it.

#ifndef GOCHAN_CHAN_INTERNAL_RING_H_
#define GOCHAN_CHAN_INTERNAL_RING_H_

#include <cstddef>
#include <cstdint>
#include <new>

#include "runtime/atomic.h"
#include "runtime/backoff.h"

namespace gochan::internal {

// Where the element lies behind the slot's turn, and the distance of two slots.
constexpr std::size_t SlotOffset(std::size_t align) {
  return align > sizeof(uint32_t) ? align : sizeof(uint32_t);
}
constexpr std::size_t SlotStride(std::size_t size, std::size_t align) {
  const std::size_t a = align > alignof(uint32_t) ? align : alignof(uint32_t);
  return (SlotOffset(align) + size + a - 1) & ~(a - 1);
}

// A view of one slot for one ticket.
class Slot {
 public:
  Slot(std::byte* slots, std::size_t stride, uint32_t mask, uint32_t ticket)
      : address_(slots + stride * (ticket & mask)),
        lap_((ticket & ~mask) << 1),
        next_lap_(((ticket & ~mask) + mask + 1) << 1) {}

  void* element(std::size_t offset) const { return address_ + offset; }

  void AwaitWriterTurn() const { Await(lap_); }
  void AwaitReaderTurn() const { Await(lap_ + 1); }
  void SetWritten() { Set(lap_ + 1); }
  void SetRead() { Set(next_lap_); }

  // Before anybody else can see it: as it is for the first ticket.
  static void Init(std::byte* address) {
    ::new (address) runtime::Atomic<uint32_t>(0);
  }

  // At rest only.
  bool IsWritten() const {
    return turn().load(std::memory_order_acquire) == lap_ + 1;
  }
  void PresetForTest() { Set(lap_); }

 private:
  runtime::Atomic<uint32_t>& turn() const {
    return *reinterpret_cast<runtime::Atomic<uint32_t>*>(address_);
  }
  void Await(uint32_t turn_of_ticket) const {
    // R1 acquire: the neighbour is done with the slot; pairs with R1 in Set().
    if (turn().load(std::memory_order_acquire) == turn_of_ticket) [[likely]] {
      return;
    }
    AwaitSlow(turn_of_ticket);
  }
  [[gnu::noinline]] void AwaitSlow(uint32_t turn_of_ticket) const {
    runtime::Backoff backoff;
    do {
      backoff.Wait(&turn());
    } while (turn().load(std::memory_order_acquire) != turn_of_ticket);  // R1
  }
  void Set(uint32_t value) {
    // R1 release: the element is in the slot, or out of it.
    turn().store(value, std::memory_order_release);
  }

  std::byte* address_;
  uint32_t lap_;
  uint32_t next_lap_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_RING_H_

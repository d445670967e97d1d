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

#include "chan/internal/mutation.h"
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

// Of a channel: has somebody waited for long with a ticket in hand, a few
// thousand tickets ago at most? Then slots are looked at before their tickets
// are taken.
//   0      nobody yet
//   epoch  at a ticket of that epoch; set by the one who has waited
class HeldUp {
 public:
  bool At(uint32_t ticket) const {
#if GOCHAN_INSTRUMENT
    (void)ticket;
    return SlotsAreLookedAt();
#else
    // Relaxed, both: a hint.
    const uint8_t epoch = epoch_.load(std::memory_order_relaxed);
    return epoch != 0 && ((EpochOf(ticket) - epoch) & kEpochs) <= 1;
#endif
  }
  void Note(uint32_t ticket) {
    epoch_.store(EpochOf(ticket), std::memory_order_relaxed);
  }

 private:
  static constexpr uint8_t kEpochs = 0x7f;
  static uint8_t EpochOf(uint32_t ticket) {
    return static_cast<uint8_t>(0x80 | (ticket >> 12 & kEpochs));
  }
  runtime::Atomic<uint8_t> epoch_{0};
};

// A view of one slot for one ticket.
class Slot {
 public:
  Slot(std::byte* slots, std::size_t stride, uint32_t mask, uint32_t ticket)
      : address_(slots + stride * (ticket & mask)),
        ticket_(ticket),
        lap_((ticket & ~mask) << 1),
        next_lap_(((ticket & ~mask) + mask + 1) << 1) {}

  void* element(std::size_t offset) const { return address_ + offset; }

  // By the ticket's holder. It may take long if the neighbour at the slot is
  // interrupted, and who waits with a ticket holds up the next one at this
  // slot, who holds up the next one, and so on: a convoy. `held_up` is told of
  // it.
  void AwaitWriterTurn(HeldUp& held_up) const { Await(lap_, held_up); }
  void AwaitReaderTurn(HeldUp& held_up) const { Await(lap_ + 1, held_up); }
  // Without the ticket: would its holder have to wait? If not, and the ticket
  // is taken after this, he has not.
  bool IsWriterTurn() const { return MayWrite(Look()); }
  bool IsReaderTurn() const { return MayRead(Look()); }
  // The same in two steps.
  uint32_t Look() const {
    // R1 acquire: the neighbour is done with the slot; pairs with R1 in Set().
    return turn().load(std::memory_order_acquire);
  }
  bool MayWrite(uint32_t seen) const { return seen == lap_; }
  bool MayRead(uint32_t seen) const { return seen == lap_ + 1; }
  // One round of waiting for somebody to change that.
  void Wait(runtime::Backoff& backoff) const { backoff.Wait(&turn()); }
  void SetWritten() const { Set(lap_ + 1); }
  void SetRead() const { Set(next_lap_); }

  // Before anybody else can see it: as it is for the first ticket.
  static void Init(std::byte* address) {
    ::new (address) runtime::Atomic<uint32_t>(0);
  }

  // At rest only.
  bool IsWritten() const { return IsReaderTurn(); }
  void PresetForTest() const { Set(lap_); }

 private:
  runtime::Atomic<uint32_t>& turn() const {
    return *reinterpret_cast<runtime::Atomic<uint32_t>*>(address_);
  }
  void Await(uint32_t turn_of_ticket, HeldUp& held_up) const {
    if (Look() != turn_of_ticket) [[unlikely]] {
      AwaitSlow(turn(), turn_of_ticket, ticket_, held_up);
    }
  }
  // No member: the view stays in registers.
  [[gnu::noinline]] static void AwaitSlow(const runtime::Atomic<uint32_t>& turn,
                                          uint32_t turn_of_ticket,
                                          uint32_t ticket, HeldUp& held_up) {
    runtime::Backoff backoff;
    do {
      backoff.Wait(&turn);
      if (backoff.IsLong()) held_up.Note(ticket);
      // R1 acquire, as in Look().
    } while (turn.load(std::memory_order_acquire) != turn_of_ticket);
  }
  void Set(uint32_t value) const {
    // R1 release: the element is in the slot, or out of it.
    turn().store(value, std::memory_order_release);
  }

  std::byte* address_;
  uint32_t ticket_;
  uint32_t lap_;
  uint32_t next_lap_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_RING_H_

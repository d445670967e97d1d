// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A core that knows its T again: the fast paths that are worth inlining, and
// the operations with their panics.

#ifndef GOCHAN_CHAN_INTERNAL_TYPED_CORE_H_
#define GOCHAN_CHAN_INTERNAL_TYPED_CORE_H_

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "chan/internal/core.h"
#include "chan/internal/element.h"
#include "chan/internal/ring.h"
#include "chan/internal/state_word.h"
#include "chan/panic.h"
#include "runtime/contention.h"
#include "runtime/park.h"
#include "runtime/source_location.h"

namespace gochan::internal {

template <typename T>
constexpr void CheckElement() {
  static_assert(std::is_same_v<T, std::remove_cvref_t<T>>,
                "gochan: a channel's element type must be an object type "
                "without const, volatile or &");
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "gochan: a channel's element type must be "
                "nothrow-move-constructible: its move happens after the party "
                "has been committed to");
  static_assert(std::is_nothrow_destructible_v<T>,
                "gochan: a channel's element type must be "
                "nothrow-destructible");
}

// Put and take on a buffered channel with nobody waiting: one swap of eight
// bytes and one slot, inlined into the caller. False: not so, or somebody was
// quicker; the core decides.
template <typename T>
struct FastPath {
  static constexpr std::size_t kOffset = SlotOffset(alignof(T));
  static constexpr std::size_t kStride = SlotStride(sizeof(T), alignof(T));
  static constexpr bool kHasSlots = !std::is_same_v<T, Unit>;

  template <typename U>
  static bool Put(Core& core, U&& value) {
    if (core.capacity_ == 0) return false;
    return core.state_.IsLocked()
               ? PutIn<true>(core, std::forward<U>(value))
               : PutUnlocked<U>(core, std::forward<U>(value));
  }

  static bool Take(Core& core, void* room) {
    if (core.capacity_ == 0) return false;
    return core.state_.IsLocked() ? TakeIn<true>(core, room)
                                  : TakeUnlocked(core, room);
  }

 private:
  // What is rare is a tail call, so that the usual way saves no registers.

  // The word is owned, or somebody else's (state_word.h).
  template <typename U>
  [[gnu::noinline]] static bool PutUnlocked(Core& core, U&& value) {
    if (!core.state_.IsMineOrShared()) [[unlikely]] {
      return PutOthers<U>(core, std::forward<U>(value));
    }
    return PutIn<false>(core, std::forward<U>(value));
  }
  [[gnu::noinline]] static bool TakeUnlocked(Core& core, void* room) {
    if (!core.state_.IsMineOrShared()) [[unlikely]] {
      return TakeOthers(core, room);
    }
    return TakeIn<false>(core, room);
  }
  // It is somebody else's: behind Enter() it is shared.
  template <typename U>
  [[gnu::noinline, gnu::cold]] static bool PutOthers(Core& core, U&& value) {
    core.state_.Enter();
    return Put(core, std::forward<U>(value));
  }
  [[gnu::noinline, gnu::cold]] static bool TakeOthers(Core& core, void* room) {
    core.state_.Enter();
    return Take(core, room);
  }

  template <bool kLocked, typename U>
  [[gnu::always_inline]] static inline bool PutIn(Core& core, U&& value) {
    static_assert(noexcept(T(std::forward<U>(value))));
    StateWord& state = core.state_;
    const Word word(state.ReadLo(), 0);
    if (word.closed() || word.busy() || word.size() >= core.capacity_) {
      return false;
    }
    const Slot slot = SlotOf(core, word.send());
    if (kLocked && kHasSlots && core.held_up_.At(word.send()) &&
        !slot.IsWriterTurn()) [[unlikely]] {
      return false;
    }
    if (!state.SwapLoAs<kLocked>(word.lo(), word.Put().lo())) [[unlikely]] {
      return Lost();
    }
    if (kLocked && IsTimeToOwn(word.send())) [[unlikely]] {
      state.EndYoung();
    }
    if constexpr (kHasSlots) {
      if (!slot.IsWriterTurn()) [[unlikely]] {
        return WriteLate<U>(core, word.send(), std::forward<U>(value));
      }
      Write<U>(slot, std::forward<U>(value));
    }
    return true;
  }

  template <bool kLocked>
  [[gnu::always_inline]] static inline bool TakeIn(Core& core, void* room) {
    StateWord& state = core.state_;
    const Word word(state.ReadLo(), 0);
    if (word.busy() || word.size() == 0) return false;
    const Slot slot = SlotOf(core, word.recv());
    if (kLocked && kHasSlots && core.held_up_.At(word.recv()) &&
        !slot.IsReaderTurn()) [[unlikely]] {
      return false;
    }
    if (!state.SwapLoAs<kLocked>(word.lo(), word.Take().lo())) [[unlikely]] {
      return Lost();
    }
    if constexpr (!kHasSlots) {
      ::new (room) T;
    } else {
      if (!slot.IsReaderTurn()) [[unlikely]] {
        return ReadLate(core, word.recv(), room);
      }
      Read(slot, room);
    }
    return true;
  }

  [[gnu::always_inline]] static Slot SlotOf(const Core& core, uint32_t ticket) {
    return Slot(core.slots_, kStride, core.mask_, ticket);
  }
  template <typename U>
  [[gnu::always_inline]] static void Write(const Slot& slot, U&& value) {
    ::new (slot.element(kOffset)) T(std::forward<U>(value));
    slot.SetWritten();
  }
  [[gnu::always_inline]] static void Read(const Slot& slot, void* room) {
    T* const element = static_cast<T*>(slot.element(kOffset));
    ::new (room) T(std::move(*element));
    std::destroy_at(element);
    slot.SetRead();
  }

  // Somebody else was quicker.
  [[gnu::noinline]] static bool Lost() {
    runtime::ContentionPause();
    return false;
  }
  // With the ticket in hand, before the neighbour at the slot is done with it.
  template <typename U>
  [[gnu::noinline]] static bool WriteLate(Core& core, uint32_t ticket,
                                          U&& value) {
    const Slot slot = SlotOf(core, ticket);
    slot.AwaitWriterTurn(core.held_up_);
    Write<U>(slot, std::forward<U>(value));
    return true;
  }
  [[gnu::noinline]] static bool ReadLate(Core& core, uint32_t ticket,
                                         void* room) {
    const Slot slot = SlotOf(core, ticket);
    slot.AwaitReaderTurn(core.held_up_);
    Read(slot, room);
    return true;
  }
};

template <typename T>
struct Ops {
  static void Finish(Outcome outcome) {
    if (outcome == Outcome::kClosed) [[unlikely]] {
      RaisePanic(panics::kSendOnClosed);
    }
  }

  [[gnu::always_inline]] static inline void SendMove(
      Core* core, T& value, const SourceLocation& site) {
    CheckElement<T>();
    if (core == nullptr) [[unlikely]] {
      BlockForever({runtime::WaitReason::kChanSendNil, &site});
    }
    if (FastPath<T>::Put(*core, std::move(value))) return;
    Finish(core->Send(&value, &MoveElement<T>, site));
  }

  [[gnu::always_inline]] static inline void SendCopy(
      Core* core, const T& value, const SourceLocation& site) {
    CheckElement<T>();
    if (core == nullptr) [[unlikely]] {
      BlockForever({runtime::WaitReason::kChanSendNil, &site});
    }
    if constexpr (std::is_nothrow_copy_constructible_v<T>) {
      if (FastPath<T>::Put(*core, value)) return;
    }
    T copy(value);
    SendMove(core, copy, site);
  }

  static bool TrySendMove(Core* core, T& value) {
    CheckElement<T>();
    if (core == nullptr) return false;
    if (FastPath<T>::Put(*core, std::move(value))) return true;
    const Outcome outcome = core->TrySend(&value, &MoveElement<T>);
    Finish(outcome);
    return outcome == Outcome::kDone;
  }

  static bool TrySendCopy(Core* core, const T& value) {
    CheckElement<T>();
    if (core == nullptr) return false;
    if constexpr (std::is_nothrow_copy_constructible_v<T>) {
      if (FastPath<T>::Put(*core, value)) return true;
      const Outcome outcome =
          core->TrySend(const_cast<T*>(&value), &CopyElement<T>);
      Finish(outcome);
      return outcome == Outcome::kDone;
    } else {
      T copy(value);
      return TrySendMove(core, copy);
    }
  }

  // True: `room` holds a T now.
  [[gnu::always_inline]] static inline bool Recv(Core* core, Room<T>& room,
                                                 const SourceLocation& site) {
    CheckElement<T>();
    if (core == nullptr) [[unlikely]] {
      BlockForever({runtime::WaitReason::kChanReceiveNil, &site});
    }
    if (FastPath<T>::Take(*core, &room.value)) return true;
    return core->Recv(&room.value, site) == Outcome::kDone;
  }

  static Outcome TryRecv(Core* core, Room<T>& room) {
    CheckElement<T>();
    if (core == nullptr) return Outcome::kWouldBlock;
    if (FastPath<T>::Take(*core, &room.value)) return Outcome::kDone;
    return core->TryRecv(&room.value);
  }

  static void Close(Core* core) {
    if (core == nullptr) RaisePanic(panics::kCloseOfNil);
    if (!core->Close()) RaisePanic(panics::kCloseOfClosed);
  }

  static bool TryClose(Core* core) {
    if (core == nullptr) RaisePanic(panics::kCloseOfNil);
    return core->Close();
  }

  // Moves the T out of a room and ends its life there, also if `make` throws.
  template <typename F>
  static auto Extract(Room<T>& room, F make) {
    struct Destroy {
      T* value;
      ~Destroy() { std::destroy_at(value); }
    } destroy{&room.value};
    return make(std::move(room.value));
  }
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_TYPED_CORE_H_

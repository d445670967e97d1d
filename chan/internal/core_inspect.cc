// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What tests and dumps ask of a core at rest.

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "chan/internal/core.h"
#include "runtime/instrument.h"
#include "runtime/memory_reader.h"

namespace gochan::internal {

bool Core::Glance(runtime::MemoryReader& memory, const Core* core,
                  Glimpse* glimpse) {
  runtime::MemoryReader::Piece pieces[] = {
      {&core->kind_, &glimpse->kind, sizeof(glimpse->kind)},
      {&core->capacity_, &glimpse->capacity, sizeof(glimpse->capacity)},
      {&core->ops_, &glimpse->ops, sizeof(glimpse->ops)},
  };
  memory.ReadAll(pieces, 3);
  return pieces[0].read && pieces[1].read && pieces[2].read;
}

std::string Core::DebugString() const {
  runtime::NoSteps no_steps;
  const Word word = state_.ReadStill();
  std::string out = absl::StrCat("chan(cap ", Cap(), ") ");
  const auto append_waiter = [&](WaiterId id) {
    absl::StrAppend(&out, id.is_select() ? "s" : "p", id.node(), "#", id.gen(),
                    id.bi() ? " both" : "",
                    id.dir() == Dir::kSend ? " sends" : " receives");
  };
  if (word.seated()) {
    out += "seat ";
    append_waiter(word.guest());
    absl::StrAppend(&out, " at ", word.ticket(), word.closed() ? " closed" : "",
                    " more ", word.more(), word.queued() ? " queued" : "",
                    " from ", state_.Noted());
    return out + queue_.DebugString();
  }
  if (capacity_ > 0) {
    absl::StrAppend(&out, "send ", word.send(), " recv ", word.recv());
  } else {
    out += word.taken() ? "seat " : "empty seat ";
    append_waiter(word.seat());
  }
  const char* const closed = kind_ == Kind::kTimer ? " armed" : " closed";
  absl::StrAppend(&out, word.closed() ? closed : "", word.busy() ? " busy" : "",
                  " head ", word.head(), " tail ", word.tail());
  if (word.busy()) {
    out += word.dir() == Dir::kSend ? " senders" : " receivers";
  }
  return out + queue_.DebugString();
}

bool Core::CheckInvariants(std::string* why) const {
  runtime::NoSteps no_steps;
  Word word = state_.ReadStill();
  if (MismatchOf(word) != Mismatch::kNone) {
    *why = "a mismatch was left unsettled";
    return false;
  }
  if (word.seated()) {
    word = WithoutSeat<true>(word);
  } else if (capacity_ > 0 && !word.busy() && !word.moved() &&
             word.head() != state_.Noted()) {
    *why = "the end of the queue is not as noted";
    return false;
  }
  if (capacity_ > 0 && word.size() > capacity_) {
    *why = "more elements than the capacity";
    return false;
  }
  if (slots_ != nullptr) {
    for (uint32_t p = word.recv(); p != word.send();
         p = (p + 1) & Word::kCounterMask) {
      if (!SlotFor(p).IsWritten()) {
        *why = absl::StrCat("the slot of ticket ", p, " is not full");
        return false;
      }
    }
  }
  return queue_.CheckInvariants(word, why);
}

int Core::WaitersForTest() const {
  runtime::NoSteps no_steps;
  Word word = state_.ReadStill();
  int waiters = 0;
  if (word.seated()) {
    waiters += !word.guest().is_select() || IsOpen(word.guest());
    word = WithoutSeat<true>(word);
  }
  if (capacity_ == 0 && word.taken()) {
    waiters += !word.seat().is_select() || IsOpen(word.seat());
  }
  if (!word.busy()) return waiters;
  uint64_t first = 0;
  bool found = false;
  queue_.ForEachCell([&](uint64_t position, Cell cell) {
    if (!found) {
      found = true;
      first = position + ((word.head() - static_cast<uint32_t>(position)) &
                          Word::kCounterMask);
    }
    if (position < first || cell.tag() != Cell::kId ||
        cell.id().dir() != word.dir()) {
      return;
    }
    waiters += !cell.id().is_select() || IsOpen(cell.id());
  });
  return waiters;
}

void Core::PresetForTest(uint32_t ticket, uint32_t place) {
  runtime::NoSteps alone;
  state_.Init(Word::Preset(ticket, capacity_ > 0, place));
  if (slots_ == nullptr) return;
  for (uint32_t i = 0; i <= mask_; ++i) {
    SlotFor((ticket + i) & Word::kCounterMask).PresetForTest();
  }
}

void Core::SkipPlacesForTest(uint64_t places) {
  runtime::NoSteps alone;
  const Word word = state_.ReadStill();
  uint32_t tail;
  if (!state_.TailOf(word, &tail)) return;
  const uint64_t end = queue_.SkipPlacesForTest(places, tail);
  state_.Init(word.SkipForTest(end - tail));
}

}  // namespace gochan::internal

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The select: poll, confirm the default, enrol, sleep, withdraw.
//
//   poll ──ready──────────────────────────────────────────────► chosen
//    │ ▲
//    │ └─changed── confirm ──all as they were──► default
//    ▼ none ready, no default
//   enrol, channel by channel in address order (by the publisher)
//    │   a case became ready: claim oneself ──────────► withdraw ──► poll
//    ▼
//   sleep ──woken: kOk, kClosed──► withdraw the other nodes ──► chosen
//         ──woken: kRetry────────► withdraw ──► poll
//         ──deadline: claim the timeout's case──► withdraw ──► chosen
//
// Exactly one effect: the claim word is swapped from kOpen once per enrolment,
// and only who swapped it moves a value. Progress: enrolling in address order,
// a select that claims itself saw its partner on a higher channel than any on
// which it was itself seen, so a chain of such selects ends at one that is
// served.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "chan/internal/broadcast.h"
#include "chan/internal/core.h"
#include "chan/internal/mutation.h"
#include "chan/internal/waiter.h"
#include "chan/panic.h"
#include "runtime/clock.h"
#include "runtime/park.h"
#include "runtime/random.h"
#include "runtime/timers.h"
#include "runtime/wait_reason.h"
#include "select/internal/case.h"

namespace gochan::internal {

namespace {

using runtime::MonotonicNanos;

constexpr std::size_t kNone = kNoCase;

// Up to so many cases, working memory is on the stack.
constexpr std::size_t kFew = 16;
// That of a wait, which takes more room.
constexpr std::size_t kFewEntries = 6;

constexpr int Index(Dir dir) { return static_cast<int>(dir); }

// Working memory for n cases: on the stack for a few, else a block that the
// thread keeps for its next large select.
template <typename T, std::size_t kInline>
class Scratch {
 public:
  explicit Scratch(std::size_t n) {
    if (n <= kInline) {
      data_ = reinterpret_cast<T*>(inline_);
      return;
    }
    Block block = std::exchange(Kept(), Block{});
    if (block.capacity < n) {
      block.memory = std::make_unique<std::byte[]>(n * sizeof(T));
      block.capacity = n;
    }
    block_ = std::move(block);
    data_ = reinterpret_cast<T*>(block_.memory.get());
  }
  ~Scratch() {
    if (block_.memory != nullptr) Kept() = std::move(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity = 0;
  };
  // Not inlined: a party may have moved to another thread between two calls.
  [[gnu::noinline]] static Block& Kept() {
    static thread_local Block kept;
    return kept;
  }

  alignas(T) std::byte inline_[kInline * sizeof(T)];
  Block block_;
  T* data_;
};

bool CanEverBeReady(const Case& c) {
  if (c.kind <= Case::Kind::kRecv) return c.core != nullptr;
  return c.kind != Case::Kind::kDefault && c.time != Case::kNever;
}

class Selecting {
 public:
  // With a `frame`, which holds this: Run() may return SelectFrame::kWaits.
  Selecting(Case* cases, std::size_t n, Order order, SelectFrame* frame,
            bool polled)
      : cases_(cases), n_(n), order_(order), frame_(frame), polled_(polled) {}

  std::size_t Run();
  // After a wait in `frame`: as Run().
  std::size_t Resume();

 private:
  // One enrolment, or one subscription, of the wait.
  struct Entry {
    Core* core;
    Enrolment enrolment = {};
    std::size_t chosen[2] = {kNone, kNone};  // the case that waits, by Dir
  };
  // A case with a channel.
  struct Key {
    Core* core;
    uint32_t k;
    friend bool operator<(const Key& a, const Key& b) {
      return std::less<Core*>()(a.core, b.core);
    }
  };

  template <typename I>
  std::size_t RunOver(I* live);
  template <typename I>
  bool SurelyNoneReady(const I* live) const;
  template <typename I>
  std::size_t Poll(I* live, Word* unready);
  bool TryCase(Case& c, Word* unready);
  template <typename I>
  bool Confirm(const I* live, const Word* unready) const;
  void FixDeadlines();
  bool Expired(const Case& c) const;
  std::size_t Wait();
  bool WaitInFrame();
  runtime::WaitInfo Enter(Entry* entries);
  std::size_t Leave(uint32_t result);
  std::size_t Sort(Key* keys) const;
  static void Publish(void* self) noexcept;
  static void TimedOut(void* select);

  Case* const cases_;
  const std::size_t n_;
  const Order order_;
  SelectFrame* const frame_;
  bool polled_;           // see SelectFrame::Begin()
  std::size_t live_ = 0;  // cases that can ever be ready, without the default

  // Once the select has begun to wait: when its earliest timeout is due.
  bool timed_ = false;
  MonotonicNanos due_ = runtime::kNever;
  std::size_t due_case_ = kNone;

  // For the publisher, which may use this frame until it has left.
  Entry* entries_ = nullptr;
  std::size_t entry_count_ = 0;
  Node* record_ = nullptr;
  uint32_t gen_ = 0;
  runtime::Timer* timer_ = nullptr;  // a goroutine's, if timed

  alignas(Entry) std::byte few_[kFewEntries * sizeof(Entry)];
};

std::size_t Selecting::Run() {
  live_ = 0;
  if (n_ > kMaxCases) RaisePanic(panics::kTooManyCases);
  if (n_ <= kFew) {
    uint8_t live[kFew];
    return RunOver(live);
  }
  Scratch<uint32_t, 1> live(n_);
  return RunOver(live.data());
}

// `live`: room for the numbers of the cases that can ever be ready.
template <typename I>
std::size_t Selecting::RunOver(I* live) {
  std::size_t default_case = kNone;
  for (std::size_t i = 0; i < n_; ++i) {
    if (CanEverBeReady(cases_[i])) {
      live[live_++] = static_cast<I>(i);
    } else if (cases_[i].kind == Case::Kind::kDefault) {
      if (default_case != kNone) RaisePanic(panics::kTwoDefaults);
      default_case = i;
    }
  }
  if (default_case != kNone) {
    if (SurelyNoneReady(live)) return default_case;
    // One case is judged at one instant as it is; more need a second look.
    const bool confirm = live_ > 1 && !Mutated(Mutant::kNoDefaultConfirm);
    Scratch<Word, kFew> unready(confirm ? n_ : 0);
    for (;;) {
      const std::size_t chosen = Poll(live, confirm ? unready.data() : nullptr);
      if (chosen != kNone) return chosen;
      if (!confirm || Confirm(live, unready.data())) return default_case;
    }
  }
  if (live_ == 0) {
    const SourceLocation nowhere = SourceLocation::current();
    BlockForever({n_ == 0 ? runtime::WaitReason::kSelectNoCases
                          : runtime::WaitReason::kSelect,
                  n_ == 0 ? &nowhere : &cases_[0].site, cases_,
                  static_cast<uint32_t>(n_)});
  }
  for (;;) {
    std::size_t chosen =
        std::exchange(polled_, false) ? kNone : Poll(live, nullptr);
    if (chosen != kNone) return chosen;
    if (!timed_) FixDeadlines();
    if (WaitInFrame()) return SelectFrame::kWaits;
    chosen = Wait();
    if (chosen != kNone) return chosen;
  }
}

template <typename I>
bool Selecting::SurelyNoneReady(const I* live) const {
  if (live_ > kFew) return false;
  Watched watched[kFew];
  for (std::size_t i = 0; i < live_; ++i) {
    const Case& c = cases_[live[i]];
    if (c.kind > Case::Kind::kRecv) return false;
    watched[i] = Watched::Channel(
        c.core, c.kind == Case::Kind::kSend ? Dir::kSend : Dir::kRecv);
  }
  return NoneReady(watched, live_);
}

// Tries the live cases once: as written, or in a fresh random permutation,
// drawn as far as it is needed (Fisher and Yates), which is uniform among the
// ready ones, whatever the others do. `unready[i]` becomes the state in which
// case i was found unready.
template <typename I>
std::size_t Selecting::Poll(I* live, Word* unready) {
  auto try_case = [this, unready](std::size_t i) {
    return TryCase(cases_[i], unready == nullptr ? nullptr : unready + i);
  };
  if (live_ == 1) return try_case(live[0]) ? live[0] : kNone;
  if (order_ == Order::kWritten) {
    for (std::size_t i = 0; i < live_; ++i) {
      if (try_case(live[i])) return live[i];
    }
    return kNone;
  }
  runtime::Random& random = runtime::CurrentParty().random;
  if (live_ == 2) {
    const std::size_t first = random.Next() >> 63;
    if (try_case(live[first])) return live[first];
    return try_case(live[1 - first]) ? live[1 - first] : kNone;
  }
  for (std::size_t left = live_; left > 0; --left) {
    const std::size_t pick = random.Below(static_cast<uint32_t>(left));
    std::swap(live[pick], live[left - 1]);
    if (try_case(live[left - 1])) return live[left - 1];
  }
  return kNone;
}

bool Selecting::TryCase(Case& c, Word* unready) {
  if (c.kind > Case::Kind::kRecv) {
    c.outcome = Outcome::kDone;
    return Expired(c);
  }
  const bool send = c.kind == Case::Kind::kSend;
  const Word word = c.core->Look(unready != nullptr);
  if (c.core->IsIdleFor(send ? Dir::kSend : Dir::kRecv, word)) {
    if (unready != nullptr) *unready = word;
    return false;
  }
  if (unready == nullptr) {
    c.outcome =
        send ? c.core->TrySend(c.slot, c.move) : c.core->TryRecv(c.slot);
  } else {
    c.outcome = send ? c.core->TrySend(c.slot, c.move, unready)
                     : c.core->TryRecv(c.slot, unready);
  }
  return c.outcome != Outcome::kWouldBlock;
}

// Was there one instant at which no case was ready? Each channel is still in
// the state in which it was found unready, and a state never comes back: so
// they all were unready between the last of those looks and the first of these.
template <typename I>
bool Selecting::Confirm(const I* live, const Word* unready) const {
  for (std::size_t i = 0; i < live_; ++i) {
    const Case& c = cases_[live[i]];
    if (c.kind <= Case::Kind::kRecv && !c.core->IsStill(unready[live[i]])) {
      return false;
    }
  }
  return true;
}

// A timeout counts from the moment at which the select begins to wait, so that
// the clock is not read when a case is ready anyway.
void Selecting::FixDeadlines() {
  timed_ = true;
  for (std::size_t i = 0; i < n_; ++i) {
    const Case& c = cases_[i];
    MonotonicNanos due;
    if (!CanEverBeReady(c)) continue;
    if (c.kind == Case::Kind::kTimeout) {
      due = runtime::MonotonicAfterNanos(c.time);
    } else if (c.kind == Case::Kind::kDeadline) {
      due = runtime::MonotonicAtUnixNanos(c.time);
    } else {
      continue;
    }
    if (due < due_) {
      due_ = due;
      due_case_ = i;
    }
  }
}

bool Selecting::Expired(const Case& c) const {
  if (c.kind == Case::Kind::kTimeout) {
    if (c.time <= 0) return true;
    if (!timed_ || due_case_ == kNone || &c != &cases_[due_case_]) return false;
  } else if (!timed_) {
    return c.time <= runtime::UnixNanosNow();
  }
  return due_case_ != kNone && &c == &cases_[due_case_] &&
         due_ <= runtime::MonotonicNow();
}

// The cases with a channel, by the channel's address; returns how many.
std::size_t Selecting::Sort(Key* keys) const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    const Case& c = cases_[i];
    if (c.kind > Case::Kind::kRecv || c.core == nullptr) continue;
    const Key key{c.core, static_cast<uint32_t>(i)};
    std::size_t at = count++;
    if (n_ <= kFew && !Mutated(Mutant::kRandomEnrolOrder)) {
      for (; at > 0 && key < keys[at - 1]; --at) keys[at] = keys[at - 1];
    }
    keys[at] = key;
  }
  if (n_ > kFew && !Mutated(Mutant::kRandomEnrolOrder)) {
    std::sort(keys, keys + count);
  }
  return count;
}

// The first half of a wait: makes all that the publisher needs. One entry for
// each channel, in address order; of several cases for one channel and
// direction, one is drawn, since whoever serves the channel would take the
// first of them anyway. Both directions of an unbuffered channel share a node.
// Nothing is visible to others yet.
runtime::WaitInfo Selecting::Enter(Entry* entries) {
  runtime::Party& party = runtime::CurrentParty();
  Node& record = WaiterRecord(party);
  entries_ = entries;
  record_ = &record;
  gen_ = NextGeneration(record);
  Scratch<Key, kFew> keys(n_);
  const std::size_t count = Sort(keys.data());
  Node* node = nullptr;  // the last one used
  std::size_t n = 0;
  std::size_t i = 0;
  while (i < count) {
    Core* const core = keys[i].core;
    Entry& entry = *new (&entries[n++]) Entry{core};
    uint32_t seen[2] = {0, 0};  // cases so far, by Dir
    for (; i < count && keys[i].core == core; ++i) {
      const int d = cases_[keys[i].k].kind == Case::Kind::kSend
                        ? Index(Dir::kSend)
                        : Index(Dir::kRecv);
      if (seen[d]++ == 0 || party.random.Below(seen[d]) == 0) {
        entry.chosen[d] = keys[i].k;
      }
    }
    if (core->kind() == Core::Kind::kBroadcast) continue;
    node = node == nullptr ? &record : &NextNode(record, *node);
    Enrolment& enrolment = entry.enrolment;
    enrolment.node = node;
    for (const Dir dir : {Dir::kSend, Dir::kRecv}) {
      const std::size_t k = entry.chosen[Index(dir)];
      if (k == kNone) continue;
      enrolment.waits_to[Index(dir)] = true;
      node->slot[Index(dir)] = cases_[k].slot;
      // Relaxed: released by the install of the node.
      node->k[Index(dir)].store(static_cast<uint16_t>(k),
                                std::memory_order_relaxed);
    }
    enrolment.id = WaiterId::Make(
        NodeArena::IndexOf(node), gen_, /*select=*/true,
        enrolment.waits_to[Index(Dir::kRecv)] ? Dir::kRecv : Dir::kSend,
        /*bi=*/enrolment.waits_to[0] && enrolment.waits_to[1]);
  }
  entry_count_ = n;
  // A blocked operation holds its channels itself; a context outlives its
  // selects, and thousands of them would contend for its count. After the last
  // thing that may throw.
  for (i = 0; i < n; ++i) {
    if (entries[i].enrolment.node != nullptr) entries[i].core->Ref();
  }
  record.park.Prepare(party.resumer);
  record.park.ClearLeft();
  return {runtime::WaitReason::kSelect, &cases_[0].site, cases_,
          static_cast<uint32_t>(n_)};
}

// The other half: leaves all channels. Returns the chosen case, or kNone: poll
// again.
std::size_t Selecting::Leave(uint32_t result) {
  Node& record = *record_;
  if (!Mutated(Mutant::kNoLeft)) record.park.AwaitLeft();
  // W1 acquire: the claim that decided; pairs with TryClaim().
  const Claim claim(record.claim.load(std::memory_order_acquire));
  const auto woken = static_cast<WakeResult>(result);
  const bool chosen = woken != WakeResult::kRetry;
  const bool timed_out = chosen && claim.mode() == ClaimMode::kTimeout;
  const std::size_t k = timed_out ? due_case_ : claim.k();
  for (std::size_t i = 0; i < entry_count_; ++i) {
    Entry& entry = entries_[i];
    if (entry.enrolment.node == nullptr) continue;
    if (entry.enrolment.enrolled) {
      const bool served = chosen && !timed_out &&
                          (entry.chosen[0] == k || entry.chosen[1] == k);
      entry.core->Withdraw(entry.enrolment, served);
    }
    entry.core->Unref();
  }
  if (!chosen) return kNone;
  cases_[k].outcome = !timed_out && woken == WakeResult::kClosed
                          ? Outcome::kClosed
                          : Outcome::kDone;
  return k;
}

// Returns the chosen case, or kNone: poll again.
std::size_t Selecting::Wait() {
  Scratch<Entry, 1> many(n_ > kFewEntries ? n_ : 0);
  const runtime::WaitInfo why =
      Enter(n_ > kFewEntries ? many.data() : reinterpret_cast<Entry*>(few_));
  Node& record = *record_;
  uint32_t result;
  if (due_ == runtime::kNever || runtime::CurrentParty().resumer == nullptr) {
    result = runtime::Sleep(record.park, &Selecting::Publish, this, why, due_);
    if (result < runtime::ParkSlot::kFirstResult) {
      if (TryClaim(record, gen_, 0, ClaimMode::kTimeout)) {
        result = static_cast<uint32_t>(WakeResult::kOk);
      } else {
        // Lost: whoever has claimed this select is about to wake it.
        result = runtime::Sleep(record.park, nullptr, nullptr, why);
      }
    }
  } else {
    // A goroutine's timeout is a partner like any other.
    runtime::Timer timer;
    timer_ = &timer;
    result = runtime::Sleep(record.park, &Selecting::Publish, this, why);
    timer.Stop();
    timer_ = nullptr;
  }
  return Leave(result);
}

// True: the caller is to switch in its frame, then to call Resume().
bool Selecting::WaitInFrame() {
  if (frame_ == nullptr || GOCHAN_INSTRUMENT || n_ > kFewEntries ||
      due_ != runtime::kNever) {
    return false;
  }
  runtime::Party& party = runtime::CurrentParty();
  if (party.resumer == nullptr) return false;
  const runtime::WaitInfo why = Enter(reinterpret_cast<Entry*>(few_));
  frame_->to = runtime::BeginSleep(frame_->sleeping, party, record_->park,
                                   &Selecting::Publish, this, why);
  return true;
}

std::size_t Selecting::Resume() {
  const std::size_t chosen = Leave(record_->park.Result());
  return chosen != kNone ? chosen : Run();
}

// Out of memory for a waiter's place ends the program: the select is visible
// already, and this may not be the stack of the party that could catch it.
void Selecting::Publish(void* arg) noexcept {
  Selecting& self = *static_cast<Selecting*>(arg);
  Node& record = *self.record_;
  const uint32_t gen = self.gen_;
  OpenClaim(record, gen);
  if (self.timer_ != nullptr) {
    self.timer_->Start(self.due_, &Selecting::TimedOut,
                       reinterpret_cast<void*>(
                           uint64_t{NodeArena::IndexOf(&record)} << 30 | gen));
  }
  for (std::size_t i = 0; i < self.entry_count_; ++i) {
    Entry& entry = self.entries_[i];
    // Claimed already? The rest need not be enrolled.
    if (i > 0 && !Mutated(Mutant::kNoEnrolStop) &&
        Claim(record.claim.load(std::memory_order_acquire)) !=
            Claim::Open(gen)) {
      break;
    }
    bool waits;
    if (entry.core->kind() == Core::Kind::kBroadcast) {
      waits = static_cast<Broadcast*>(entry.core)
                  ->Subscribe(
                      record, gen,
                      static_cast<uint32_t>(entry.chosen[Index(Dir::kRecv)])) ==
              Subscribed::kWaiting;
    } else {
      waits = entry.core->Enrol(entry.enrolment);
    }
    if (waits) continue;
    // Ready by now: start over, unless somebody has chosen meanwhile.
    if (!TryClaimSelf(record, gen)) break;
    record.park.SetLeft();
    Wake(record, WakeResult::kRetry);
    return;
  }
  record.park.SetLeft();
}

// The select may be over, and its frame gone: the generation says so.
void Selecting::TimedOut(void* arg) {
  const auto bits = reinterpret_cast<uintptr_t>(arg);
  Node& record = NodeArena::At(static_cast<uint32_t>(bits >> 30));
  const auto gen = static_cast<uint32_t>(bits & WaiterId::kGenMask);
  if (TryClaim(record, gen, 0, ClaimMode::kTimeout)) {
    Wake(record, WakeResult::kOk);
  }
}

}  // namespace

void SelectNothing(const SourceLocation& site) {
  BlockForever({runtime::WaitReason::kSelectNoCases, &site, nullptr, 0});
}

std::size_t RunSelect(Case* cases, std::size_t n, Order order) {
  return Selecting(cases, n, order, nullptr, /*polled=*/false).Run();
}

std::size_t SelectFrame::Begin(Case* cases, std::size_t n, Order order,
                               bool polled) {
  static_assert(sizeof(Selecting) <= kRoom && alignof(Selecting) <= 16);
  static_assert(std::is_trivially_destructible_v<Selecting>);
  return (new (room_) Selecting(cases, n, order, this, polled))->Run();
}

std::size_t SelectFrame::Finish() {
  return std::launder(reinterpret_cast<Selecting*>(room_))->Resume();
}

}  // namespace gochan::internal

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
#include "select/internal/scratch.h"

namespace gochan::internal {

namespace {

using runtime::MonotonicNanos;

constexpr std::size_t kNone = kNoCase;

// Up to so many cases, working memory is on the stack.
constexpr std::size_t kFew = 16;
// That of a wait, which takes more room.
constexpr std::size_t kFewEntries = 6;

constexpr int Index(Dir dir) { return static_cast<int>(dir); }

Dir DirOf(const Case& c) {
  return c.kind == Case::Kind::kSend ? Dir::kSend : Dir::kRecv;
}

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
  static constexpr uint32_t kNobody = ~uint32_t{0};
  // One enrolment, or one subscription, of the wait.
  struct Entry {
    bool WaitsFor(std::size_t k) const {
      return chosen[0] == k || chosen[1] == k;
    }

    // Holds a reference to the channel, and may be enrolled there: not a
    // subscription to a context.
    bool holds() const { return enrolment.id != WaiterId(); }

    Core* core;
    uint32_t chosen[2] = {kNobody, kNobody};  // the case that waits, by Dir
    Enrolment enrolment = {};
  };
  // A case with a channel, by which they are sorted.
  class Key {
   public:
    Key() = default;
    Key(Core* core, std::size_t k)
        : core_(core), k_(static_cast<uint32_t>(k)) {}
    Core* core() const { return core_; }
    uint32_t k() const { return k_; }
    friend bool operator<(const Key& a, const Key& b) {
      return std::less<Core*>()(a.core_, b.core_);
    }

   private:
    Core* core_;
    uint32_t k_;
  };
  // The same in one word, for a few: what is stored in two pieces cannot be
  // loaded as one soon after.
  class FewKey {
   public:
    FewKey() = default;
    FewKey(Core* core, std::size_t k)
        : bits_(reinterpret_cast<uintptr_t>(core) | k) {}
    Core* core() const { return reinterpret_cast<Core*>(bits_ & ~kMask); }
    uint32_t k() const { return static_cast<uint32_t>(bits_ & kMask); }
    friend bool operator<(FewKey a, FewKey b) { return a.bits_ < b.bits_; }

   private:
    static constexpr uintptr_t kMask = alignof(Core) - 1;
    static_assert(kFewEntries <= alignof(Core));
    uintptr_t bits_;
  };

  template <typename I>
  std::size_t RunOver(I* live, bool polled);
  template <typename I>
  bool SurelyNoneReady(const I* live) const;
  template <bool kExact, typename I>
  std::size_t Poll(I* live, Word* unready);
  template <bool kExact>
  bool LooksReady(std::size_t k, Word* unready) const;
  bool TryCase(Case& c, Word* unready);
  template <typename I>
  bool Confirm(const I* live, const Word* unready) const;
  void FixDeadlines();
  bool Expired(const Case& c) const;
  std::size_t Wait();
  bool WaitInFrame();
  template <typename K>
  runtime::WaitInfo Enter(Entry* entries, K* keys);
  runtime::WaitInfo EnterFew();
  runtime::WaitInfo EnterMany(Entry* entries);
  template <typename K>
  std::size_t Draw(Entry& entry, const K* keys, std::size_t count);
  void SetCase(Node& node, Dir dir, uint32_t k);
  std::size_t Leave(uint32_t result);
  template <typename K>
  std::size_t Sort(K* keys) const;
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
  // Who has polled has no default, but something to wait for.
  const bool polled = std::exchange(polled_, false);
  if (polled) {
    FixDeadlines();
    if (WaitInFrame()) return SelectFrame::kWaits;
  }
  live_ = 0;
  if (n_ > kMaxCases) RaisePanic(panics::kTooManyCases);
  if (n_ <= kFew) {
    uint8_t live[kFew];
    return RunOver(live, polled);
  }
  Scratch<uint32_t, 1> live(n_);
  return RunOver(live.data(), polled);
}

// `live`: room for the numbers of the cases that can ever be ready.
template <typename I>
std::size_t Selecting::RunOver(I* live, bool polled) {
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
      const std::size_t chosen = confirm ? Poll<true>(live, unready.data())
                                         : Poll<false>(live, nullptr);
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
        std::exchange(polled, false) ? kNone : Poll<false>(live, nullptr);
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
    watched[i] = Watched::Channel(c.core, DirOf(c));
  }
  return NoneReady(watched, live_);
}

// Tries the live cases once: as written, or those that look ready in a fresh
// random permutation, drawn as far as it is needed (Fisher and Yates), which is
// uniform among them, whatever the others do. If kExact, `unready[k]` becomes
// the state in which case k was found unready.
template <bool kExact, typename I>
std::size_t Selecting::Poll(I* live, Word* unready) {
  auto try_case = [&](std::size_t k) {
    return TryCase(cases_[k], kExact ? unready + k : nullptr);
  };
  if (order_ == Order::kWritten || live_ == 1) {
    for (std::size_t i = 0; i < live_; ++i) {
      const std::size_t k = live[i];
      if (LooksReady<kExact>(k, unready) && try_case(k)) return k;
    }
    return kNone;
  }
  // The looks go straight on, so that the processor foresees what they find.
  std::size_t ready = 0;
  for (std::size_t i = 0; i < live_; ++i) {
    const I k = live[i];
    if (LooksReady<kExact>(k, unready)) {
      live[i] = live[ready];
      live[ready++] = k;
    }
  }
  if (ready == 0) return kNone;
  runtime::Random& random = runtime::CurrentParty().random;
  for (; ready > 0; --ready) {
    const std::size_t pick =
        ready == 1 ? 0 : random.Below(static_cast<uint32_t>(ready));
    const std::size_t k = live[pick];
    if (try_case(k)) return k;
    std::swap(live[pick], live[ready - 1]);
  }
  return kNone;
}

// False: it is unready, for sure.
template <bool kExact>
inline bool Selecting::LooksReady(std::size_t k, Word* unready) const {
  const Case& c = cases_[k];
  if (c.kind > Case::Kind::kRecv) [[unlikely]] {
    return Expired(c);
  }
  const Word word = c.core->Look(kExact);
  if (!c.core->IsIdleFor(DirOf(c), word)) return true;
  if (kExact) unready[k] = word;
  return false;
}

// What looks ready; false: it was not. Of one that was ready, c.outcome.
bool Selecting::TryCase(Case& c, Word* unready) {
  if (c.kind > Case::Kind::kRecv) {
    c.outcome = Outcome::kDone;
    return true;
  }
  const bool send = c.kind == Case::Kind::kSend;
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
    if (c.kind <= Case::Kind::kRecv || !CanEverBeReady(c)) continue;
    const MonotonicNanos due = c.kind == Case::Kind::kTimeout
                                   ? runtime::MonotonicAfterNanos(c.time)
                                   : runtime::MonotonicAtUnixNanos(c.time);
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
template <typename K>
std::size_t Selecting::Sort(K* keys) const {
  const bool sorted = !Mutated(Mutant::kRandomEnrolOrder);
  constexpr bool kOneByOne = std::is_same_v<K, FewKey>;
  std::size_t count = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    const Case& c = cases_[i];
    if (c.kind > Case::Kind::kRecv || c.core == nullptr) continue;
    const K key(c.core, i);
    std::size_t at = count++;
    if (kOneByOne && sorted) {
      for (; at > 0 && key < keys[at - 1]; --at) keys[at] = keys[at - 1];
    }
    keys[at] = key;
  }
  if (!kOneByOne && sorted) std::sort(keys, keys + count);
  return count;
}

// Of all cases on the channel of keys[0], draws one for each direction; returns
// how many they are.
template <typename K>
std::size_t Selecting::Draw(Entry& entry, const K* keys, std::size_t count) {
  runtime::Random& random = runtime::CurrentParty().random;
  uint32_t seen[2] = {0, 0};  // cases so far, by Dir
  std::size_t i = 0;
  for (; i < count && keys[i].core() == entry.core; ++i) {
    const int d = Index(DirOf(cases_[keys[i].k()]));
    if (seen[d]++ == 0 || random.Below(seen[d]) == 0) {
      entry.chosen[d] = keys[i].k();
    }
  }
  return i;
}

void Selecting::SetCase(Node& node, Dir dir, uint32_t k) {
  node.slot[Index(dir)] = cases_[k].slot;
  // Relaxed: released by the install of the node.
  node.k[Index(dir)].store(static_cast<uint16_t>(k), std::memory_order_relaxed);
}

// The first half of a wait: makes all that the publisher needs. One entry for
// each channel, in address order; of several cases for one channel and
// direction, one is drawn, since whoever serves the channel would take the
// first of them anyway. Both directions of an unbuffered channel share a node.
// Nothing is visible to others yet.
// `keys`: room for them.
template <typename K>
runtime::WaitInfo Selecting::Enter(Entry* entries, K* keys) {
  runtime::Party& party = runtime::CurrentParty();
  Node& record = WaiterRecord(party);
  entries_ = entries;
  record_ = &record;
  gen_ = NextGeneration(record);
  const std::size_t count = Sort(keys);
  Node* node = nullptr;  // the last one used
  std::size_t n = 0;
  for (std::size_t i = 0; i < count;) {
    Core* const core = keys[i].core();
    Entry& entry = *new (&entries[n++]) Entry{core};
    Dir dir = DirOf(cases_[keys[i].k()]);
    bool both = false;
    if (i + 1 < count && keys[i + 1].core() == core) [[unlikely]] {
      i += Draw(entry, keys + i, count - i);
      both = entry.chosen[0] != kNobody && entry.chosen[1] != kNobody;
      if (both) dir = Dir::kRecv;
    } else {
      entry.chosen[Index(dir)] = keys[i++].k();
    }
    if (core->kind() == Core::Kind::kBroadcast) continue;
    node = node == nullptr ? &record : &NextNode(record, *node);
    SetCase(*node, dir, entry.chosen[Index(dir)]);
    if (both) SetCase(*node, Dir::kSend, entry.chosen[Index(Dir::kSend)]);
    entry.enrolment.id = WaiterId::Make(NodeArena::IndexOf(node), gen_,
                                        /*select=*/true, dir, both);
  }
  entry_count_ = n;
  // A blocked operation holds its channels itself; a context outlives its
  // selects, and thousands of them would contend for its count. After the last
  // thing that may throw.
  for (std::size_t i = 0; i < n; ++i) {
    if (entries[i].holds()) entries[i].core->Pin();
  }
  record.park.Prepare(party.resumer);
  record.park.ClearLeft();
  return {runtime::WaitReason::kSelect, &cases_[0].site, cases_,
          static_cast<uint32_t>(n_)};
}

runtime::WaitInfo Selecting::EnterFew() {
  FewKey keys[kFewEntries];
  return Enter(reinterpret_cast<Entry*>(few_), keys);
}

runtime::WaitInfo Selecting::EnterMany(Entry* entries) {
  Scratch<Key, kFew> keys(n_);
  return Enter(entries, keys.data());
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
    if (!entry.holds()) continue;
    if (entry.enrolment.enrolled()) {
      const bool served = chosen && !timed_out && entry.WaitsFor(k);
      entry.core->Withdraw(entry.enrolment, served);
    }
    entry.core->Unpin();
  }
  if (!chosen) return kNone;
  cases_[k].outcome = !timed_out && woken == WakeResult::kClosed
                          ? Outcome::kClosed
                          : Outcome::kDone;
  return k;
}

// Returns the chosen case, or kNone: poll again.
std::size_t Selecting::Wait() {
  const bool few = n_ <= kFewEntries;
  Scratch<Entry, 1> many(few ? 0 : n_);
  const runtime::WaitInfo why = few ? EnterFew() : EnterMany(many.data());
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
  const runtime::WaitInfo why = EnterFew();
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

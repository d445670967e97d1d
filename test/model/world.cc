// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/world.h"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "chan/internal/broadcast.h"
#include "chan/internal/core.h"
#include "chan/internal/waiter.h"
#include "chan/internal/waiter_queue.h"
#include "chan/panic.h"
#include "runtime/restartable.h"
#include "test/model/core_memory.h"

namespace gochan::model {

namespace {

using Condition = Explorer::Condition;
using internal::Broadcast;
using internal::Core;
using internal::CoreAccess;

}  // namespace

std::vector<ChanSpec> Capacities(const std::vector<int>& capacities) {
  std::vector<ChanSpec> chans;
  for (const int capacity : capacities) {
    ChanSpec chan;
    chan.capacity = capacity;
    chans.push_back(chan);
  }
  return chans;
}

ChanSpec DoneChan() {
  ChanSpec chan;
  chan.done = true;
  return chan;
}

void ForgetSubscriptions(Explorer& explorer, int parties) {
  for (int p = 0; p < parties; ++p) {
    void* const record = explorer.PartyOf(p).waiter;
    if (record != nullptr) {
      internal::ResetSubscriptionsForTest(
          *static_cast<internal::Node*>(record));
    }
  }
}

World::World(WorldSpec spec) : spec_(std::move(spec)) {
  uint8_t value = 1;
  std::vector<int> capacities;
  for (const ChanSpec& chan : spec_.chans) capacities.push_back(chan.capacity);
  for (std::vector<Op>& program : spec_.parties) {
    first_op_.push_back(static_cast<int>(ops_.size()));
    for (Op& op : program) {
      for (CaseSpec& c : op.cases) {
        const bool sends = op.kind == OpKind::kSend ||
                           op.kind == OpKind::kTrySend ||
                           (op.is_select() && !c.recv);
        if (sends) c.value = value++;
      }
      ops_.push_back(op);
    }
  }
  if (ops_.size() > kMaxOps || spec_.chans.size() > kMaxChans ||
      spec_.parties.size() > kMaxParties) {
    std::abort();  // a larger world than the checker was made for
  }
  checker_ = std::make_unique<HistoryChecker>(std::move(capacities), ops_);
}

World::~World() { Abandon(); }

// What a failed schedule leaves is not fit to be destroyed.
void World::Abandon() {
  if (!left_over_) return;
  using LeftOver =
      std::pair<std::vector<Chan<Token>>, std::vector<RecvChan<Unit>>>;
  static auto* const left_overs = new std::vector<LeftOver>;
  left_overs->emplace_back(std::move(chans_), std::move(dones_));
  left_over_ = false;
}

// -----------------------------------------------------------------------------
// Setting up
// -----------------------------------------------------------------------------

Core* World::CoreOf(int chan) const {
  return spec_.chans[chan].done ? CoreAccess::Get(dones_[chan])
                                : CoreAccess::Get(chans_[chan]);
}

// In address order, because selects enrol in that order.
void World::MakeChannels() {
  CoreMemory in_order;
  for (std::size_t i = 0; i < spec_.chans.size(); ++i) {
    const ChanSpec& chan = spec_.chans[i];
    if (chan.done) {
      dones_[i] = CoreAccess::Adopt<RecvChan<Unit>>(Broadcast::Make());
      continue;
    }
    chans_[i] = MakeChan<Token>(chan.capacity);
    if (chan.preset_ticket != 0 || chan.preset_place != 0) {
      CoreOf(static_cast<int>(i))
          ->PresetForTest(chan.preset_ticket, chan.preset_place);
    }
    if (chan.preset_note >= 0) {
      CoreOf(static_cast<int>(i))
          ->PresetNoteForTest(static_cast<uint32_t>(chan.preset_note));
    }
  }
}

void World::SetUp(Explorer& explorer) {
  Abandon();
  left_over_ = true;
  chans_.assign(spec_.chans.size(), nullptr);
  dones_.assign(spec_.chans.size(), nullptr);
  Token::ResetCounts();
  internal::no_ring_seat = spec_.queue_only;
  internal::fresh_words = spec_.fresh;
  internal::slots_are_looked_at = !spec_.hasty;
  if (spec_.owned_after >= 0) {
    internal::owned_after = static_cast<uint32_t>(spec_.owned_after);
    explorer.GiveMarks();
    if (!spec_.fresh) runtime::SetCurrentMark(runtime::MarkNumber(0));
  }
  MakeChannels();
  runtime::SetCurrentMark(0);
  ForgetSubscriptions(explorer, parties());
  current_.assign(spec_.parties.size(), -1);
  history_ = History();
  parked_facts_.clear();
  ended_ = 0;
  recording_ = true;
  explorer.SetGlobalFact(0);
  for (const WorldSpec::Before& before : spec_.prologue) {
    const int p = before.party;
    const uint32_t mask = uint32_t{1} << p | uint32_t{1} << (p + kMaxParties);
    // One that is parked already can only time out.
    const bool deadlines = explorer.Parked(p);
    if (before.until == nullptr) {
      explorer.Continue(mask, deadlines, /*one_operation=*/true);
    } else {
      explorer.ContinueUntil(mask, deadlines, [&] {
        return CoreOf(0)->DebugString().find(before.until) != std::string::npos;
      });
    }
  }
  if (spec_.skip_places > 0) CoreOf(0)->SkipPlacesForTest(spec_.skip_places);
}

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

void World::Run(Explorer& explorer, int p) {
  for (std::size_t i = 0; i < spec_.parties[p].size(); ++i) {
    const int op = first_op_[p] + static_cast<int>(i);
    Begin(explorer, p, op);
    const Result result = Execute(explorer, p, ops_[op]);
    End(explorer, p, op, result);
  }
}

void World::Begin(Explorer& explorer, int p, int op) {
  explorer.BeginOperation(model::ToString(ops_[op]));
  current_[p] = op - first_op_[p];
  if (!recording_) return;
  History::Entry& entry = history_.ops[op];
  entry.begun = true;
  entry.before = ended_;
  uint16_t parked = 0;
  for (int q = 0; q < parties(); ++q) {
    if (q == p || current_[q] < 0 || !explorer.Parked(q)) continue;
    parked_facts_.push_back({op, OpOf(q), q, explorer.SleepResults(q).size()});
    parked |= static_cast<uint16_t>(1 << OpOf(q));
  }
  explorer.Observed(uint64_t{entry.before} << 16 | parked);
}

void World::End(Explorer& explorer, int p, int op, const Result& result) {
  explorer.Note(absl::StrCat("ENDS ", model::ToString(ops_[op]), ": ",
                             model::ToString(ops_[op], result)));
  if (explorer.ConditionOfPublisher(p) != Condition::kIdle) {
    explorer.Fail("an operation returned while its publisher still runs");
  }
  if (!recording_) return;
  history_.ops[op].result = result;
  ended_ |= static_cast<uint16_t>(1 << op);
  explorer.SetGlobalFact(ended_);
}

Result World::Execute(Explorer& explorer, int p, const Op& op) {
  // A blocked call keeps the channel alive by itself; this handle is the
  // caller's.
  const int chan = op.cases.empty() ? 0 : op.cases[0].chan;
  const bool done = spec_.chans[chan].done;
  switch (op.kind) {
    case OpKind::kSend:
    case OpKind::kTrySend:
      return ExecuteSend(explorer, op);
    case OpKind::kRecv: {
      if (done) {
        dones_[chan].Recv();
        return {Result::kClosed, 0, 0};
      }
      const std::optional<Token> got = chans_[chan].RecvOptional();
      if (!got.has_value()) return {Result::kClosed, 0, 0};
      return {Result::kOk, 0, static_cast<uint8_t>(got->value())};
    }
    case OpKind::kTryRecv: {
      if (done) {
        return {dones_[chan].TryRecv().has_value() ? Result::kClosed
                                                   : Result::kWouldBlock,
                0, 0};
      }
      const auto got = chans_[chan].TryRecvOptional();
      if (!got.has_value()) return {Result::kWouldBlock, 0, 0};
      if (!got->has_value()) return {Result::kClosed, 0, 0};
      return {Result::kOk, 0, static_cast<uint8_t>((*got)->value())};
    }
    case OpKind::kClose:
      try {
        chans_[chan].Close();
      } catch (const Panic&) {
        return {Result::kPanic, 0, 0};
      }
      return {Result::kOk, 0, 0};
    case OpKind::kLen:
      return {Result::kLength, 0, static_cast<uint8_t>(chans_[chan].Len())};
    case OpKind::kSelect:
      return ExecuteSelect(explorer, p, op);
    case OpKind::kCancel:
      for (const uint8_t c : op.chans) {
        static_cast<Broadcast*>(CoreAccess::Get(dones_[c]))->Fire();
      }
      return {Result::kOk, 0, 0};
  }
  return {};
}

Result World::ExecuteSend(Explorer& explorer, const Op& op) {
  const CaseSpec& c = op.cases[0];
  Token token(c.value);
  Result result{Result::kOk, 0, 0};
  try {
    if (op.kind == OpKind::kSend) {
      chans_[c.chan].Send(std::move(token));
    } else if (!chans_[c.chan].TrySend(std::move(token))) {
      result.kind = Result::kWouldBlock;
    }
  } catch (const Panic&) {
    result.kind = Result::kPanic;
  }
  if (token.value() != (result.kind == Result::kOk ? 0 : c.value)) {
    explorer.Fail("a value was moved from if and only if it was not sent");
  }
  return result;
}

// -----------------------------------------------------------------------------
// Checks
// -----------------------------------------------------------------------------

void World::AtRest(Explorer& explorer, bool complete) {
  if (complete) {
    if (explorer.frozen() >= 0) {
      CheckFrozen(explorer);
    } else {
      Check(explorer);
    }
  }
  if (!explorer.failed()) CleanUp(explorer);
}

void World::KeepParkedFacts(Explorer& explorer) {
  constexpr auto kRetry = static_cast<uint32_t>(internal::WakeResult::kRetry);
  for (const ParkedFact& fact : parked_facts_) {
    const std::vector<uint32_t>& ends = explorer.SleepResults(fact.party);
    if (fact.sleep < ends.size() && ends[fact.sleep] == kRetry) continue;
    if (history_.ops[fact.other].free) continue;
    history_.ops[fact.op].parked_before |=
        static_cast<uint16_t>(1 << fact.other);
  }
}

void World::CheckHistory(Explorer& explorer) {
  KeepParkedFacts(explorer);
  if (!checker_->Linearizable(history_)) {
    explorer.Fail("no sequential channel explains this history:\n" +
                  checker_->ToString(history_));
  }
}

void World::Check(Explorer& explorer) {
  for (int p = 0; p < parties(); ++p) {
    const Condition condition = explorer.ConditionOf(p);
    if (condition != Condition::kEnded && condition != Condition::kAsleep) {
      return explorer.Fail(
          absl::StrCat("p", p, " waits for a write that nobody makes"));
    }
    if (explorer.ConditionOfPublisher(p) != Condition::kIdle) {
      return explorer.Fail(
          absl::StrCat("pub", p, " waits for a write that nobody makes"));
    }
  }
  recording_ = false;
  for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
    std::string why;
    if (!CoreOf(static_cast<int>(c))->CheckInvariants(&why)) {
      return explorer.Fail(absl::StrCat("c", c, " at rest: ", why));
    }
  }
  KeepFinalState(explorer);
  if (!explorer.failed()) CheckHistory(explorer);
}

// What the channels hold: taken out, which lets waiting senders in behind, and
// then closed.
void World::KeepFinalState(Explorer& explorer) {
  const bool ended = explorer.Observe([&] {
    for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
      if (spec_.chans[c].done) {
        history_.final_closed[c] = dones_[c].TryRecv().has_value();
        continue;
      }
      const std::size_t n = chans_[c].Len();
      history_.final_count[c] = static_cast<uint8_t>(n);
      for (std::size_t i = 0; i < n && i < kMaxBuffer; ++i) {
        const auto got = chans_[c].TryRecvOptional();
        if (!got.has_value() || !got->has_value()) {
          explorer.Fail("fewer elements than Len said");
        }
        history_.final_buffer[c][i] = static_cast<uint8_t>((*got)->value());
      }
      history_.final_closed[c] = !chans_[c].TryClose();
    }
  });
  if (!ended && !explorer.failed()) {
    explorer.Fail("at rest, an operation that never blocks does not return");
  }
  history_.final_known = true;
}

// Section 7 of the design: with one of them stopped for ever, the others
// complete their operations. One may wait for the frozen one only where they
// are matched:
//   - a sleeper that the frozen one owns, or whose publisher it is
//   - who needs the slot that the frozen one is busy with
//   - a woken party whose own publisher is frozen
// Who that is shows when the frozen one finishes the operation it was in: those
// go on then. All others that sleep must be waiting rightly.
void World::CheckFrozen(Explorer& explorer) {
  const int frozen = explorer.frozen();
  // A sleeper may depend on the next operation that settles its channel.
  explorer.Observe([&] {
    for (const Chan<Token>& chan : chans_) (void)chan.Len();
  });
  explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
  if (explorer.failed()) return;
  recording_ = false;

  uint32_t justified = uint32_t{1} << frozen;
  if (current_[frozen % kMaxParties] >= 0) {
    history_.ops[OpOf(frozen % kMaxParties)].free = true;
  }
  std::vector<int> asleep, stuck;
  for (int p = 0; p < parties(); ++p) {
    if (explorer.ConditionOf(p) == Condition::kAsleep) asleep.push_back(p);
    for (const int f : {p, p + kMaxParties}) {
      if (f == frozen || explorer.ConditionOf(f) != Condition::kSpinning) {
        continue;
      }
      if (!MayWaitForTheFrozen(explorer, f)) {
        return explorer.Fail(absl::StrCat("with fiber ", frozen, " frozen, ", f,
                                          " cannot go on"));
      }
      history_.ops[OpOf(p)].free = true;
      stuck.push_back(f);
    }
  }
  // Thaw it, then those that it lets go on, each until its operation has ended.
  explorer.Thaw();
  uint32_t next = justified;
  while (next != 0 && !explorer.failed()) {
    explorer.Continue(next, /*deadlines=*/false, /*one_operation=*/true);
    next = 0;
    for (const int f : stuck) {
      if ((justified >> f & 1) == 0 &&
          explorer.ConditionOf(f) != Condition::kSpinning) {
        next |= uint32_t{1} << f;
      }
    }
    justified |= next;
  }
  if (!explorer.failed() && !explorer.FinishObserving()) {
    return explorer.Fail("who settles waits, but not for the frozen one");
  }
  for (const int f : stuck) {
    if ((justified >> f & 1) == 0) {
      return explorer.Fail(
          absl::StrCat("fiber ", f, " waits, but not for the frozen one"));
    }
  }
  for (const int p : asleep) {
    if (explorer.ConditionOf(p) != Condition::kAsleep) {
      history_.ops[OpOf(p)].free = true;
    }
  }
  if (!explorer.failed()) CheckHistory(explorer);
}

bool World::MayWaitForTheFrozen(Explorer& explorer, int fiber) {
  const auto* address = static_cast<const char*>(explorer.SpinsOn(fiber));
  const int p = fiber % kMaxParties;
  const auto* record = static_cast<const char*>(explorer.PartyOf(p).waiter);
  if (record != nullptr && address >= record &&
      address < record + sizeof(internal::Node)) {
    return explorer.frozen() == p + kMaxParties ||
           explorer.ConditionOfPublisher(p) == Condition::kSpinning;
  }
  // Slots lie behind their core.
  for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
    const auto* core =
        reinterpret_cast<const char*>(CoreOf(static_cast<int>(c)));
    if (spec_.chans[c].capacity > 0 && address >= core + sizeof(Core) &&
        address < core + sizeof(Core) + 4096) {
      return true;
    }
  }
  return false;
}

// Ends everybody: with all channels closed nobody blocks.
void World::CleanUp(Explorer& explorer) {
  recording_ = false;
  explorer.Thaw();
  explorer.Continue(Explorer::kEverybody, /*deadlines=*/false);
  explorer.Observe([&] {
    for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
      if (spec_.chans[c].done) {
        static_cast<Broadcast*>(CoreAccess::Get(dones_[c]))->Fire();
      } else {
        (void)chans_[c].TryClose();
      }
    }
  });
  explorer.Continue(Explorer::kEverybody, /*deadlines=*/true);
  if (explorer.failed()) return;
  for (int p = 0; p < parties(); ++p) {
    if (explorer.ConditionOf(p) != Condition::kEnded) {
      return explorer.Fail(absl::StrCat("all channels are closed, but p", p,
                                        " does not come back"));
    }
  }
  left_over_ = false;
  chans_.assign(spec_.chans.size(), nullptr);
  dones_.assign(spec_.chans.size(), nullptr);
  if (!CoreMemory::FreedIsUntouched()) {
    explorer.Fail("a channel was written to after it was destroyed");
  }
  if (Token::errors() != 0) explorer.Fail("a dead element was used");
  if (Token::live() != 0) {
    explorer.Fail(absl::StrCat(Token::live(), " elements too many are alive"));
  }
}

// -----------------------------------------------------------------------------
// Traces
// -----------------------------------------------------------------------------

std::string World::Describe() {
  std::string out;
  for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
    if (CoreOf(static_cast<int>(c)) == nullptr) continue;
    absl::StrAppend(
        &out, c == 0 ? "" : "\n             ", "c", c, ": ",
        absl::StrReplaceAll(CoreOf(static_cast<int>(c))->DebugString(),
                            {{"\n", " "}}));
  }
  return out;
}

std::string World::NameOf(const void* address) {
  const auto* const at = static_cast<const char*>(address);
  for (std::size_t c = 0; c < spec_.chans.size(); ++c) {
    const auto* core =
        reinterpret_cast<const char*>(CoreOf(static_cast<int>(c)));
    if (core == nullptr || at < core || at >= core + sizeof(Core) + 4096)
      continue;
    const std::ptrdiff_t offset = at - core;
    if (offset < static_cast<std::ptrdiff_t>(sizeof(Core))) {
      if (offset == 16) return absl::StrCat("c", c, ".word");
      if (offset == 32) return absl::StrCat("c", c, ".note");
      return absl::StrCat("c", c, "+", offset);
    }
    return absl::StrCat("c", c, ".slots+",
                        offset - static_cast<std::ptrdiff_t>(sizeof(Core)));
  }
  const auto unit = [&]<typename Arena, typename T>(const char* name) {
    const uint32_t used = Arena::HighWater();
    if (used == 0) return std::string();
    const auto* base = reinterpret_cast<const char*>(&Arena::At(0));
    if (at < base || at >= base + std::size_t{used} * sizeof(T)) {
      return std::string();
    }
    const std::size_t offset = at - base;
    return absl::StrCat(name, offset / sizeof(T), "+", offset % sizeof(T));
  };
  runtime::NoSteps look;
  std::string name =
      unit.operator()<internal::NodeArena, internal::Node>("node");
  if (name.empty()) {
    name =
        unit.operator()<internal::SegmentArena, internal::Segment>("segment");
  }
  const auto friendly = [&](const char* suffix, const char* field) {
    if (name.size() > 4 && name.starts_with("node") && name.ends_with(suffix)) {
      name.replace(name.size() - std::char_traits<char>::length(suffix),
                   std::string::npos, field);
    }
  };
  friendly("+0", ".claim");
  friendly("+8", ".result");
  friendly("+12", ".left");
  return name;
}

}  // namespace gochan::model

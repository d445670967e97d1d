// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/leak_search.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "chan/internal/broadcast.h"
#include "chan/internal/core.h"
#include "chan/internal/waiter.h"
#include "ctx/internal/node.h"
#include "runtime/goroutine.h"
#include "runtime/memory_scan.h"
#include "runtime/park.h"
#include "runtime/parking_lot.h"
#include "runtime/sanitizers.h"
#include "runtime/scheduler.h"
#include "runtime/self_pointer.h"
#include "runtime/snapshot.h"
#include "runtime/snapshot_tables.h"
#include "runtime/stack.h"
#include "runtime/stack_copy.h"
#include "runtime/wait_reason.h"
#include "select/internal/case.h"

#if GOCHAN_ASAN
extern "C" int __asan_option_detect_stack_use_after_return;
#endif

namespace gochan::internal {

namespace {

using runtime::AddressMap;
using runtime::Goroutine;
using runtime::GoroutineNote;
using runtime::Pages;
using runtime::ParkedStack;
using runtime::Span;
using runtime::Table;
using runtime::Task;
using runtime::TaskArena;
using runtime::WaitReason;

constexpr uint32_t kNone = ~uint32_t{0};
constexpr std::size_t kWord = sizeof(uintptr_t);

// -----------------------------------------------------------------------------
// What the snapshot gives back
// -----------------------------------------------------------------------------

// In a mapping that is shared with the snapshot: this, then the arrays.
struct Answer {
  uint64_t leak_count;
  uint64_t hold_count;
  uint64_t needs_second_look;
};

// As much as there may be; memory that is not used costs nothing.
class SharedAnswer {
 public:
  SharedAnswer(std::size_t leaks, std::size_t holds)
      : leak_room(leaks),
        hold_room(holds),
        bytes_(sizeof(Answer) + leaks * sizeof(FoundLeak) +
               holds * sizeof(FoundHold)) {
    void* const memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) memory_ = memory;
  }
  ~SharedAnswer() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  SharedAnswer(const SharedAnswer&) = delete;
  SharedAnswer& operator=(const SharedAnswer&) = delete;

  bool ok() const { return memory_ != nullptr; }
  Answer& operator*() const { return *static_cast<Answer*>(memory_); }
  Answer* operator->() const { return static_cast<Answer*>(memory_); }
  FoundLeak* leaks() const {
    return reinterpret_cast<FoundLeak*>(static_cast<Answer*>(memory_) + 1);
  }
  FoundHold* holds() const {
    return reinterpret_cast<FoundHold*>(leaks() + leak_room);
  }

  const std::size_t leak_room;
  const std::size_t hold_room;

 private:
  const std::size_t bytes_;
  void* memory_ = nullptr;
};

struct Question {
  uintptr_t own_frame = 0;
  uintptr_t own_stack = 0;  // a plain thread's: its low end; else 0
  uint64_t own_id = 0;      // 0: a plain thread
  // Look at these alone; nullptr: at all.
  const std::vector<FoundLeak>* among = nullptr;
  const SharedAnswer* answer = nullptr;
};

// -----------------------------------------------------------------------------
// Search
// -----------------------------------------------------------------------------

// A goroutine. In S as long as it is `in`.
struct Member {
  const Task* task = nullptr;
  const Goroutine* g = nullptr;  // nullptr: not begun
  uint64_t id = 0;
  uint64_t word = 0;          // of its note
  Span stack = {0, 0};        // if it has left it: the live part
  Span closure = {0, 0};      // empty: not known
  uintptr_t sleeper = 0;      // its place in the parking lot
  uint32_t first_handle = 0;  // in handles_
  uint32_t handle_count = 0;
  uint32_t first_pointer = 0;  // in pointers_
  uint32_t pointer_count = 0;
  uint32_t first_owned = kNone;  // sync objects in its memory
  uint32_t first_frame = 0;      // in frames_
  uint32_t frame_count = 0;
  bool parked = false;
  bool in = false;
  bool waits = false;  // for something that there is
};

// What members wait for, or what could end that.
struct Thing {
  enum class Kind : uint8_t { kChannel, kContext, kSync };

  uintptr_t key = 0;    // core, canceller, object
  uintptr_t shown = 0;  // as WaitTarget::object
  Kind kind = Kind::kChannel;
  bool live = false;            // somebody outside of S can act
  uint32_t expected = 0;        // references, copies
  uint32_t inside = 0;          // of these, in the memory of S
  uint32_t first_wait = kNone;  // in waits_
  uint32_t last_select =
      kNone;  // the member whose references were counted last
  uint32_t first_child = kNone;  // contexts
  uint32_t next_child = kNone;
  uint32_t owner = kNone;  // kSync: the member in whose memory it lies
  uint32_t next_owned = kNone;
};

// A frame of a member that AddressSanitizer keeps apart.
struct Frame {
  Span span;
};

struct Wait {
  uint32_t member;
  uint32_t next;  // for the same thing
};

// A handle in a member's memory; 0: one that its select has by itself.
struct Held {
  uint32_t thing;
  uintptr_t address;
};

// A piece of a member's memory.
struct Range {
  Span span;
  uint32_t member;
  uintptr_t pinned_from;  // by pointers from outside of S; ~0: none
};

// A pointer in a member's memory to another one's.
struct Pointer {
  uint32_t range;
  uintptr_t to;
};

class Search {
 public:
  explicit Search(const Question& question) : question_(question) {}

  static void Run(void* question);

 private:
  [[gnu::noinline]] static void FindAndTell(const Question& question);
  void Find();

  // --- who waits for what
  void Collect();
  void AddTask(uint32_t index, uint64_t id);
  bool IsAskedFor(uint64_t id) const;
  void Classify(uint32_t m);
  bool WaitsForCases(uint32_t m, const GoroutineNote::Snapshot& note);
  bool WaitsForChannel(uint32_t m, const Core& core, Dir dir);
  bool WaitsForContext(uint32_t m, const Core& core);
  bool WaitsForSync(uint32_t m, const void* object);
  uint32_t ContextThing(const CancelNode& node);
  void AddWait(uint32_t m, uint32_t thing);

  // --- handles
  void FindFrames(uint32_t m);
  void ScanHandles(uint32_t m);
  void ScanSpan(Span span);
  void MakeRanges();
  uint32_t RangeOf(uintptr_t address) const;
  void FindOwners();

  // --- taking out
  void Revive(uint32_t thing);
  void TakeOut(uint32_t m);
  void Settle();
  void Pin(uint32_t range, uintptr_t from);

  // --- pointers
  void ScanPointers();
  void MakeFilter();
  bool MayPoint(uintptr_t word) const {
    if (word - all_.begin >= all_.end - all_.begin) return false;
    const uint64_t bit = FilterBit(word);
    return (filter_[bit / 64] >> bit % 64 & 1) != 0;
  }
  uint64_t FilterBit(uintptr_t word) const {
    return (word >> kPageShift) * 0x9e3779b97f4a7c15 >> filter_shift_;
  }
  void Consider(uintptr_t word, uint32_t source);
  static void Outside(const uintptr_t* words, std::size_t n, void* search);
  void ScanWords(Span span, uint32_t source);
  void ScanTasks(runtime::MemoryScan& scan);
  void ExcludeOurs(runtime::MemoryScan& scan);

  void Tell();

  static constexpr int kPageShift = 12;

  const Question& question_;
  Pages pages_;
  Table<Member> members_{pages_};
  Table<uint32_t> member_of_{pages_};  // by the task's index
  Table<Thing> things_{pages_};
  AddressMap thing_of_{pages_};   // channels, contexts
  AddressMap object_of_{pages_};  // sync objects
  Table<Wait> waits_{pages_};
  Table<Held> handles_{pages_};
  Table<Frame> frames_{pages_};
  Table<Range> ranges_{pages_};
  Table<Pointer> pointers_{pages_};
  Table<uint32_t> revived_{pages_};    // things: who waits there goes
  Table<uint32_t> taken_out_{pages_};  // members: what they have is outside

  Span all_ = {~uintptr_t{0}, 0};
  uint64_t* filter_ = nullptr;
  int filter_shift_ = 0;
};

void Search::Run(void* question) {
#if GOCHAN_ASAN
  // The frames of the search would be searched, were they not on the stack.
  __asan_option_detect_stack_use_after_return = 0;
#endif
  FindAndTell(*static_cast<const Question*>(question));
}

void Search::FindAndTell(const Question& question) { Search(question).Find(); }

void Search::Find() {
  Collect();
  for (uint32_t m = 0; m < members_.size(); ++m) {
    if (members_[m].in) Classify(m);
  }
  for (uint32_t m = 0; m < members_.size(); ++m) {
    if (!members_[m].in) continue;
    if (GOCHAN_ASAN) FindFrames(m);
    ScanHandles(m);
  }
  MakeRanges();
  FindOwners();
  for (uint32_t t = 0; t < things_.size(); ++t) {
    const Thing& thing = things_[t];
    if (thing.live ||
        (thing.kind == Thing::Kind::kSync ? thing.owner == kNone
                                          : thing.inside != thing.expected)) {
      things_[t].live = false;
      Revive(t);
    }
  }
  Settle();
  bool needed = false;
  for (Member& member : members_)
    needed = needed || (member.in && member.waits);
  if (needed) {
    ScanPointers();
    for (uint32_t r = 0; r < ranges_.size(); ++r) {
      if (ranges_[r].pinned_from != ~uintptr_t{0})
        Pin(r, ranges_[r].pinned_from);
    }
    Settle();
  }
  Tell();
}

// -----------------------------------------------------------------------------
// Who waits for what
// -----------------------------------------------------------------------------

void Search::Collect() {
  member_of_.Fill(TaskArena::HighWater(), kNone);
  runtime::TaskReader::ForEach(
      [this](uint32_t index, uint64_t id, uint64_t) { AddTask(index, id); });
  runtime::ForEachFrozenSleeper(
      [](const runtime::Sleeper& sleeper, const runtime::Party& party,
         void* arg) {
        if (party.fiber == nullptr) return;  // a thread
        Search& self = *static_cast<Search*>(arg);
        const auto& g = static_cast<const Goroutine&>(party);
        const uint32_t m = self.member_of_[TaskArena::IndexOf(g.task)];
        if (m == kNone || self.members_[m].g != &g) return;
        self.members_[m].sleeper = reinterpret_cast<uintptr_t>(&sleeper);
      },
      this);
}

void Search::AddTask(uint32_t index, uint64_t id) {
  if (index >= member_of_.size()) runtime::GiveUpSnapshot();
  const Task& task = TaskArena::At(index);
  Member member;
  member.task = &task;
  member.id = id;
  const auto closure = reinterpret_cast<uintptr_t>(task.closure);
  member.closure = {closure, closure + task.ClosureBytes()};
  // Relaxed, all: nobody moves.
  if (task.state.load(std::memory_order_relaxed) == Task::kStarted) {
    member.g = task.goroutine.load(std::memory_order_relaxed);
    ParkedStack stack;
    if (ParkedStack::Find(*member.g, &stack)) {
      member.parked = true;
      member.stack = {stack.low, stack.end};
      member.word = stack.word;
      member.in = id != question_.own_id && IsAskedFor(id);
    }
  }
  member_of_[index] = members_.Add(member);
}

bool Search::IsAskedFor(uint64_t id) const {
  if (question_.among == nullptr) return true;
  return std::binary_search(
      question_.among->begin(), question_.among->end(), FoundLeak{id, 0},
      [](const FoundLeak& a, const FoundLeak& b) { return a.id < b.id; });
}

// Has its partner chosen it, so that it will go on? `claimed`: it is won by
// claim.
bool IsChosen(const Goroutine& g, bool claimed) {
  const Node* const record = static_cast<const Node*>(g.waiter);
  return record == nullptr ||
         record->park.Result() >= runtime::ParkSlot::kFirstResult ||
         (claimed &&
          Claim(record->claim.load(std::memory_order_relaxed)).state() !=
              Claim::kOpen);
}

void Search::Classify(uint32_t m) {
  Member& member = members_[m];
  GoroutineNote::Snapshot note;
  if (!member.g->note.Read(&note)) runtime::GiveUpSnapshot();
  bool may_be = true;
  switch (note.reason) {
    case WaitReason::kChanReceiveNil:
    case WaitReason::kChanSendNil:
    case WaitReason::kSelectNoCases:
      break;
    case WaitReason::kChanReceive:
    case WaitReason::kChanSend: {
      const auto& core = *static_cast<const Core*>(note.object);
      may_be =
          !IsChosen(*member.g, core.kind() == Core::Kind::kBroadcast) &&
          WaitsForChannel(
              m, core,
              note.reason == WaitReason::kChanSend ? Dir::kSend : Dir::kRecv);
      break;
    }
    case WaitReason::kSelect:
      may_be = WaitsForCases(m, note);
      break;
    case WaitReason::kMutexLock:
    case WaitReason::kRWMutexRLock:
    case WaitReason::kRWMutexLock:
    case WaitReason::kCondWait:
    case WaitReason::kWaitGroupWait:
    case WaitReason::kSemacquire:
      may_be = WaitsForSync(m, note.object);
      break;
    default:
      may_be = false;  // a time, a call
  }
  if (!may_be) members_[m].in = false;
}

bool Search::WaitsForCases(uint32_t m, const GoroutineNote::Snapshot& note) {
  const auto* const cases = static_cast<const Case*>(note.object);
  bool never = true;  // with nil channels only it does not even wait
  for (uint32_t i = 0; i < note.count; ++i) {
    const Case& c = cases[i];
    if (c.kind > Case::Kind::kRecv) {
      if (c.kind != Case::Kind::kDefault && c.time != Case::kNever)
        return false;
    } else if (c.core != nullptr) {
      never = false;
    }
  }
  if (never) return true;
  if (IsChosen(*members_[m].g, /*claimed=*/true)) return false;
  for (uint32_t i = 0; i < note.count; ++i) {
    const Case& c = cases[i];
    if (c.kind > Case::Kind::kRecv || c.core == nullptr) continue;
    if (!WaitsForChannel(
            m, *c.core,
            c.kind == Case::Kind::kSend ? Dir::kSend : Dir::kRecv)) {
      return false;
    }
  }
  return true;
}

bool Search::WaitsForChannel(uint32_t m, const Core& core, Dir dir) {
  switch (core.kind()) {
    case Core::Kind::kTimer:
      return false;
    case Core::Kind::kBroadcast:
      return WaitsForContext(m, core);
    case Core::Kind::kChannel:
      break;
  }
  if (!core.IsStuckFor(dir)) return false;
  const auto key = reinterpret_cast<uintptr_t>(&core);
  uint32_t t = thing_of_.Find(key);
  if (t == kNone) {
    Thing thing;
    thing.key = thing.shown = key;
    thing.expected = core.references();
    t = things_.Add(thing);
    thing_of_.Insert(key, t);
  }
  AddWait(m, t);
  return true;
}

bool Search::WaitsForContext(uint32_t m, const Core& core) {
  const auto& done = static_cast<const Broadcast&>(core);
  if (done.Closed() || !done.IsContext()) return false;
  const uint32_t t = ContextThing(static_cast<const DoneChannel&>(done).node());
  things_[t].shown = reinterpret_cast<uintptr_t>(&core);
  AddWait(m, t);
  return true;
}

// And of those above, each of which ends this one too.
uint32_t Search::ContextThing(const CancelNode& node) {
  uint32_t first = kNone;
  uint32_t below = kNone;
  for (const CancelNode* n = &node; n != nullptr;
       n = n->linked ? nullptr : n->above) {
    const Canceller* const canceller = n;
    const auto key = reinterpret_cast<uintptr_t>(canceller);
    uint32_t t = thing_of_.Find(key);
    const bool known = t != kNone;
    if (!known) {
      Thing thing;
      thing.key = thing.shown = key;
      thing.kind = Thing::Kind::kContext;
      const uint32_t copies = canceller->copies();
      const bool released = copies == Canceller::kReleased;
      thing.expected = released ? 0 : copies;
      // Of no copy, the last one's end is cancelling right now.
      thing.live = n->Closed() || n->has_deadline() || n->linked || copies == 0;
      t = things_.Add(thing);
      thing_of_.Insert(key, t);
    }
    if (first == kNone) first = t;
    if (below != kNone) {
      things_[below].next_child = things_[t].first_child;
      things_[t].first_child = below;
    }
    if (known) break;
    below = t;
  }
  return first;
}

bool Search::WaitsForSync(uint32_t m, const void* object) {
  // Taken out of the lot, it has been woken.
  if (members_[m].sleeper == 0) return false;
  const auto key = reinterpret_cast<uintptr_t>(object);
  uint32_t t = object_of_.Find(key);
  if (t == kNone) {
    Thing thing;
    thing.key = thing.shown = key;
    thing.kind = Thing::Kind::kSync;
    t = things_.Add(thing);
    object_of_.Insert(key, t);
  }
  AddWait(m, t);
  return true;
}

void Search::AddWait(uint32_t m, uint32_t t) {
  members_[m].waits = true;
  things_[t].first_wait = waits_.Add({m, things_[t].first_wait});
}

// -----------------------------------------------------------------------------
// Handles
// -----------------------------------------------------------------------------

void Search::ScanHandles(uint32_t m) {
  members_[m].first_handle = handles_.size();
  ScanSpan(members_[m].stack);
  ScanSpan(members_[m].closure);
  for (uint32_t i = 0; i < members_[m].frame_count; ++i) {
    ScanSpan(frames_[members_[m].first_frame + i].span);
  }
  GoroutineNote::Snapshot note;
  if (!members_[m].g->note.Read(&note)) runtime::GiveUpSnapshot();
  if (note.reason == WaitReason::kSelect) {
    const auto* const cases = static_cast<const Case*>(note.object);
    // A waiting select has one reference to each of its channels, but to none
    // of a context's.
    for (uint32_t i = 0; i < note.count; ++i) {
      const Case& c = cases[i];
      if (c.kind > Case::Kind::kRecv || c.core == nullptr) continue;
      const uint32_t t = thing_of_.Find(reinterpret_cast<uintptr_t>(c.core));
      if (t == kNone || things_[t].last_select == m) continue;
      things_[t].last_select = m;
      ++things_[t].inside;
      handles_.Add({t, 0});
    }
  }
  members_[m].handle_count = handles_.size() - members_[m].first_handle;
}

// Of memory that belongs to others, who are checked elsewhere.
GOCHAN_UNCHECKED uintptr_t WordAt(uintptr_t address) {
  return __atomic_load_n(reinterpret_cast<const uintptr_t*>(address),
                         __ATOMIC_RELAXED);
}

// Each is known by the pointers to it on the stack proper.
void Search::FindFrames(uint32_t m) {
  Member& member = members_[m];
  member.first_frame = frames_.size();
  for (uintptr_t at = member.stack.begin; at < member.stack.end; at += kWord) {
    Frame frame;
    if (!member.g->annotations.FindFakeFrame(WordAt(at), &frame.span.begin,
                                             &frame.span.end)) {
      continue;
    }
    bool known = false;
    for (uint32_t i = member.first_frame; i < frames_.size(); ++i) {
      known = known || frames_[i].span.begin == frame.span.begin;
    }
    if (!known) frames_.Add(frame);
  }
  member.frame_count = frames_.size() - member.first_frame;
}

void Search::ScanSpan(Span span) {
  constexpr uintptr_t kTop = ~(~uintptr_t{0} >> 1);
  for (uintptr_t at = span.begin; at + kWord <= span.end; at += kWord) {
    const uintptr_t word = WordAt(at);
    if ((word & kTop) == 0) continue;
    const uintptr_t to = runtime::SelfPointed(word, at);
    if (to % kWord != 0 || to == 0) continue;
    const uint32_t t = thing_of_.Find(to);
    if (t == kNone) continue;
    ++things_[t].inside;
    handles_.Add({t, at});
  }
}

void Search::MakeRanges() {
  for (uint32_t m = 0; m < members_.size(); ++m) {
    const Member& member = members_[m];
    if (!member.in) continue;
    ranges_.Add({member.stack, m, ~uintptr_t{0}});
    for (uint32_t i = 0; i < member.frame_count; ++i) {
      ranges_.Add({frames_[member.first_frame + i].span, m, ~uintptr_t{0}});
    }
    if (member.closure.empty()) continue;
    ranges_.Add({member.closure, m, ~uintptr_t{0}});
  }
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
    return a.span.begin < b.span.begin;
  });
}

// The one in which `address` lies, or kNone.
uint32_t Search::RangeOf(uintptr_t address) const {
  uint32_t low = 0;
  uint32_t high = ranges_.size();
  while (low < high) {  // the first that begins behind it
    const uint32_t middle = low + (high - low) / 2;
    if (ranges_[middle].span.begin <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low != 0 && address < ranges_[low - 1].span.end ? low - 1 : kNone;
}

void Search::FindOwners() {
  for (uint32_t t = 0; t < things_.size(); ++t) {
    Thing& thing = things_[t];
    if (thing.kind != Thing::Kind::kSync) continue;
    const uint32_t r = RangeOf(thing.key);
    if (r == kNone) continue;
    thing.owner = ranges_[r].member;
    thing.next_owned = members_[thing.owner].first_owned;
    members_[thing.owner].first_owned = t;
  }
}

// -----------------------------------------------------------------------------
// Taking out
// -----------------------------------------------------------------------------

// Somebody outside of S can act on it.
void Search::Revive(uint32_t t) {
  if (std::exchange(things_[t].live, true)) return;
  revived_.Add(t);
}

void Search::TakeOut(uint32_t m) {
  if (std::exchange(members_[m].in, false)) taken_out_.Add(m);
}

// Until nothing changes. Everybody is taken out once, everything revived once.
void Search::Settle() {
  while (!revived_.empty() || !taken_out_.empty()) {
    if (!revived_.empty()) {
      const uint32_t t = revived_.back();
      revived_.pop_back();
      for (uint32_t w = things_[t].first_wait; w != kNone; w = waits_[w].next) {
        TakeOut(waits_[w].member);
      }
      for (uint32_t c = things_[t].first_child; c != kNone;
           c = things_[c].next_child) {
        Revive(c);
      }
      continue;
    }
    const Member member = members_[taken_out_.back()];
    taken_out_.pop_back();
    for (uint32_t i = 0; i < member.handle_count; ++i) {
      Revive(handles_[member.first_handle + i].thing);
    }
    for (uint32_t t = member.first_owned; t != kNone;
         t = things_[t].next_owned) {
      Revive(t);
    }
    for (uint32_t i = 0; i < member.pointer_count; ++i) {
      const Pointer& pointer = pointers_[member.first_pointer + i];
      Pin(pointer.range, pointer.to);
    }
  }
}

// Somebody outside of S has a pointer to `from`, and so can reach what lies
// there and above, up to the end of the stack or closure: an object is known by
// where it begins.
void Search::Pin(uint32_t r, uintptr_t from) {
  const Range& range = ranges_[r];
  const Member& member = members_[range.member];
  if (!member.in) return;  // all that it has counts as outside already
  const Span pinned = {from, range.span.end};
  for (uint32_t i = 0; i < member.handle_count; ++i) {
    const Held& handle = handles_[member.first_handle + i];
    if (pinned.Contains(handle.address)) Revive(handle.thing);
  }
  for (uint32_t t = member.first_owned; t != kNone; t = things_[t].next_owned) {
    if (pinned.Contains(things_[t].key)) Revive(t);
  }
}

// -----------------------------------------------------------------------------
// Pointers
// -----------------------------------------------------------------------------

// A word that is not in the filter points to no range.
void Search::MakeFilter() {
  uint64_t pages = 0;
  for (const Range& range : ranges_) {
    all_.begin = std::min(all_.begin, range.span.begin);
    all_.end = std::max(all_.end, range.span.end);
    pages += ((range.span.end - 1) >> kPageShift) -
             (range.span.begin >> kPageShift) + 1;
  }
  constexpr int kLeastBits = 13;
  constexpr int kMostBits = 26;
  int bits = kLeastBits;
  while (bits < kMostBits && (uint64_t{1} << bits) < pages * 16) ++bits;
  filter_shift_ = 64 - bits;
  filter_ =
      static_cast<uint64_t*>(pages_.Allocate((std::size_t{1} << bits) / 8));
  for (const Range& range : ranges_) {
    for (uintptr_t page = range.span.begin >> kPageShift;
         page <= (range.span.end - 1) >> kPageShift; ++page) {
      const uint64_t bit = FilterBit(page << kPageShift);
      filter_[bit / 64] |= uint64_t{1} << bit % 64;
    }
  }
}

// `word` was found in the memory of the member `source`, or outside (kNone).
void Search::Consider(uintptr_t word, uint32_t source) {
  const uint32_t r = RangeOf(word);
  if (r == kNone) return;
  Range& range = ranges_[r];
  if (range.member == source) return;
  // By this the lot finds who sleeps in it, and nobody anything else.
  if (word == members_[range.member].sleeper) return;
  if (source == kNone) {
    range.pinned_from = std::min(range.pinned_from, word);
  } else {
    pointers_.Add({r, word});
  }
}

void Search::ScanWords(Span span, uint32_t source) {
  const uintptr_t begin = (span.begin + kWord - 1) & ~(kWord - 1);
  for (uintptr_t at = begin; at + kWord <= span.end; at += kWord) {
    const uintptr_t word = WordAt(at);
    if (MayPoint(word)) [[unlikely]]
      Consider(word, source);
  }
}

void Search::Outside(const uintptr_t* words, std::size_t n, void* search) {
  Search& self = *static_cast<Search*>(search);
  for (std::size_t i = 0; i < n; ++i) {
    if (self.MayPoint(words[i])) [[unlikely]]
      self.Consider(words[i], kNone);
  }
}

void Search::ScanPointers() {
  // Who was taken out is no target any more.
  uint32_t kept = 0;
  for (const Range& range : ranges_) {
    if (members_[range.member].in) ranges_[kept++] = range;
  }
  while (ranges_.size() > kept) ranges_.pop_back();
  MakeFilter();
  runtime::MemoryScan scan(pages_, &Outside, this);
  ScanTasks(scan);
  ExcludeOurs(scan);
  if (!scan.ScanAll()) runtime::GiveUpSnapshot();
}

// Stacks and closures. Closures elsewhere that belong to nobody in S are found
// in the mappings.
void Search::ScanTasks(runtime::MemoryScan& scan) {
  for (uint32_t m = 0; m < members_.size(); ++m) {
    const Member member = members_[m];
    const uint32_t source = member.in ? m : kNone;
    const bool elsewhere = member.closure.begin !=
                           reinterpret_cast<uintptr_t>(member.task->storage);
    members_[m].first_pointer = pointers_.size();
    if (member.in || !elsewhere) ScanWords(member.closure, source);
    if (member.in && elsewhere) scan.Exclude(member.closure);
    for (uint32_t i = 0; member.in && i < member.frame_count; ++i) {
      const Span frame = frames_[member.first_frame + i].span;
      ScanWords(frame, source);
      scan.Exclude(frame);
    }
    const auto end = reinterpret_cast<uintptr_t>(member.g);
    if (member.id == question_.own_id) {
      ScanWords({question_.own_frame, end}, kNone);
    } else if (member.parked) {
      ScanWords(member.stack, source);
    } else if (member.g != nullptr) {
      // It runs, nobody knows how deep; or it waits for its turn.
      scan.ScanSpan(
          {reinterpret_cast<uintptr_t>(member.g->stack.limit()), end});
    }
    members_[m].pointer_count = pointers_.size() - members_[m].first_pointer;
  }
}

// What is looked at elsewhere, or refers to stacks in the course of the
// runtime's business.
void Search::ExcludeOurs(runtime::MemoryScan& scan) {
  const auto exclude = [&scan](const void* begin, std::size_t bytes) {
    const auto from = reinterpret_cast<uintptr_t>(begin);
    scan.Exclude({from, from + bytes});
  };
  runtime::ForEachStackArea(
      [](const char* begin, std::size_t bytes, void* to) {
        const auto from = reinterpret_cast<uintptr_t>(begin);
        static_cast<runtime::MemoryScan*>(to)->Exclude({from, from + bytes});
      },
      &scan);
  exclude(TaskArena::Begin(),
          std::size_t{TaskArena::HighWater()} * sizeof(Task));
  exclude(NodeArena::Begin(),
          std::size_t{NodeArena::HighWater()} * sizeof(Node));
  const runtime::LotMemory lot = runtime::GetLotMemory();
  exclude(lot.begin, lot.bytes);
  // The stack on which this runs; and those of the runtime's threads.
  if (question_.own_stack != 0) {
    scan.Exclude({question_.own_stack, question_.own_frame});
  }
  runtime::ForEachFrozenThread(
      [](uintptr_t low, uintptr_t mark, void* to) {
        static_cast<runtime::MemoryScan*>(to)->Exclude({low, mark});
      },
      &scan);
}

// -----------------------------------------------------------------------------
// The answer
// -----------------------------------------------------------------------------

void Search::Tell() {
  const SharedAnswer& answer = *question_.answer;
  for (const Member& member : members_) {
    if (!member.in || answer->leak_count == answer.leak_room) continue;
    answer.leaks()[answer->leak_count++] = {member.id, member.word};
    if (member.waits) answer->needs_second_look = 1;
    for (uint32_t i = 0; i < member.handle_count; ++i) {
      const Thing& thing = things_[handles_[member.first_handle + i].thing];
      if (thing.first_wait == kNone || answer->hold_count == answer.hold_room) {
        continue;
      }
      answer.holds()[answer->hold_count++] = {member.id, ~thing.shown};
    }
  }
}

// The low end of the calling thread's stack; 0: not known.
uintptr_t ThreadStack() {
#if defined(__linux__)
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  void* begin = nullptr;
  std::size_t bytes = 0;
  pthread_attr_getstack(&attributes, &begin, &bytes);
  pthread_attr_destroy(&attributes);
  return reinterpret_cast<uintptr_t>(begin);
#else
  return 0;
#endif
}

}  // namespace

// -----------------------------------------------------------------------------
// LeakSearch
// -----------------------------------------------------------------------------

bool LeakSearch::Run(absl::Duration limit) {
  std::vector<FoundLeak> among;
  among.swap(leaks_);
  holds_.clear();
  needs_second_look_ = false;
  if (!runtime::kStacksAreReadable) return false;
  constexpr std::size_t kMore = 4096;  // started meanwhile
  const std::size_t tasks = TaskArena::HighWater() + kMore;
  const SharedAnswer answer(tasks, tasks * 4);
  if (!answer.ok()) return false;
  Question question;
  question.own_frame = own_frame_;
  question.own_id = runtime::CurrentGoroutineId();
  if (question.own_id == 0) {
    question.own_stack = ThreadStack();
    if (question.own_stack == 0) return false;
  }
  question.among = again_ ? &among : nullptr;
  question.answer = &answer;
  if (!runtime::RunInSnapshot(&Search::Run, &question, limit)) return false;
  again_ = true;
  needs_second_look_ = answer->needs_second_look != 0;
  leaks_.assign(answer.leaks(), answer.leaks() + answer->leak_count);
  holds_.assign(answer.holds(), answer.holds() + answer->hold_count);
  std::sort(leaks_.begin(), leaks_.end(),
            [](const FoundLeak& a, const FoundLeak& b) { return a.id < b.id; });
  return true;
}

}  // namespace gochan::internal

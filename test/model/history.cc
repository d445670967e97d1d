// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "test/model/history.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace gochan::model {

// -----------------------------------------------------------------------------
// Operations and results
// -----------------------------------------------------------------------------

namespace {

Op Simple(OpKind kind, int chan, bool recv) {
  Op op;
  op.kind = kind;
  op.cases = {{static_cast<uint8_t>(chan), recv, 0}};
  return op;
}

const char* NameOf(OpKind kind) {
  switch (kind) {
    case OpKind::kSend:
      return "Send";
    case OpKind::kRecv:
      return "Recv";
    case OpKind::kTrySend:
      return "TrySend";
    case OpKind::kTryRecv:
      return "TryRecv";
    case OpKind::kClose:
      return "Close";
    case OpKind::kLen:
      return "Len";
    case OpKind::kSelect:
      return "Select";
    case OpKind::kCancel:
      return "Cancel";
  }
  return "?";
}

}  // namespace

Op Send(int chan) { return Simple(OpKind::kSend, chan, false); }
Op Recv(int chan) { return Simple(OpKind::kRecv, chan, true); }
Op TrySend(int chan) { return Simple(OpKind::kTrySend, chan, false); }
Op TryRecv(int chan) { return Simple(OpKind::kTryRecv, chan, true); }
Op Close(int chan) { return Simple(OpKind::kClose, chan, false); }
Op Len(int chan) { return Simple(OpKind::kLen, chan, false); }
CaseSpec S(int chan) { return {static_cast<uint8_t>(chan), false, 0}; }
CaseSpec R(int chan) { return {static_cast<uint8_t>(chan), true, 0}; }
Op Select(std::vector<CaseSpec> cases) {
  Op op;
  op.kind = OpKind::kSelect;
  op.cases = std::move(cases);
  return op;
}
Op SelectDefault(std::vector<CaseSpec> cases) {
  Op op = Select(std::move(cases));
  op.has_default = true;
  return op;
}
Op SelectTimeout(std::vector<CaseSpec> cases) {
  Op op = Select(std::move(cases));
  op.has_timeout = true;
  return op;
}
Op Cancel(std::vector<int> chans) {
  Op op;
  op.kind = OpKind::kCancel;
  for (const int chan : chans) op.chans.push_back(static_cast<uint8_t>(chan));
  return op;
}

std::string ToString(const Op& op) {
  std::string out = absl::StrCat(NameOf(op.kind), "(");
  const char* comma = "";
  for (const CaseSpec& c : op.cases) {
    const char* dir = !op.is_select() ? "" : c.recv ? "recv " : "send ";
    absl::StrAppend(&out, comma, dir, "c", static_cast<int>(c.chan));
    const bool sends = op.kind == OpKind::kSend ||
                       op.kind == OpKind::kTrySend ||
                       (op.is_select() && !c.recv);
    if (sends) absl::StrAppend(&out, "<-", static_cast<int>(c.value));
    comma = ", ";
  }
  for (const uint8_t chan : op.chans) {
    absl::StrAppend(&out, comma, "c", static_cast<int>(chan));
    comma = ", ";
  }
  if (op.has_default) absl::StrAppend(&out, comma, "default");
  if (op.has_timeout) absl::StrAppend(&out, comma, "timeout");
  return out + ")";
}

std::string ToString(const Op& op, const Result& result) {
  const std::string which =
      op.is_select() ? absl::StrCat("case ", static_cast<int>(result.k), " ")
                     : "";
  switch (result.kind) {
    case Result::kPending:
      return "pending";
    case Result::kOk:
      if (!op.cases.empty() && op.cases[result.k].recv) {
        return absl::StrCat(which, "got ", static_cast<int>(result.value));
      }
      return which + "ok";
    case Result::kClosed:
      return which + "closed";
    case Result::kPanic:
      return "panic";
    case Result::kWouldBlock:
      return op.is_select() ? "default" : "would block";
    case Result::kTimeout:
      return "timeout";
    case Result::kLength:
      return absl::StrCat("len ", static_cast<int>(result.value));
  }
  return "?";
}

// -----------------------------------------------------------------------------
// The sequential channel
// -----------------------------------------------------------------------------

namespace {

// Where an operation is in the order that is being built.
//   kNew         not begun, or starting over
//   kEnrolling   a select on its way through its channels; `progress` of its
//                groups are enrolled. kCancel: `progress` channels are closed
//   kWaiting     in the queues of all its channels
//   kDone
enum class Place : uint8_t { kNew, kEnrolling, kWaiting, kDone };

// Plain bytes, so that it can be a key.
struct World {
  Place place[kMaxOps];
  uint8_t progress[kMaxOps];
  uint8_t count[kMaxChans];
  uint8_t buffer[kMaxChans][kMaxBuffer];
  uint8_t closed[kMaxChans];
  uint8_t queued[kMaxChans];
  uint8_t queue[kMaxChans][kMaxOps];
};

// The cases that a select enrols together: one, or the two directions of one
// unbuffered channel.
struct Group {
  int first = 0;
  int second = -1;
  bool Has(int k) const { return first == k || second == k; }
};

class Linearizer {
 public:
  Linearizer(const std::vector<int>& capacities, const std::vector<Op>& ops,
             const History& history)
      : capacities_(capacities), ops_(ops), history_(history) {
    for (const Op& op : ops) groups_.push_back(GroupsOf(op));
  }

  bool Run() {
    World world;
    std::memset(&world, 0, sizeof(world));
    return Extend(world);
  }

 private:
  std::vector<Group> GroupsOf(const Op& op) const {
    std::vector<Group> groups;
    if (!op.is_select()) return groups;
    const int n = static_cast<int>(op.cases.size());
    std::vector<int> order(n);
    for (int k = 0; k < n; ++k) order[k] = k;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return op.cases[a].chan < op.cases[b].chan;
    });
    std::vector<bool> used(n, false);
    for (const int k : order) {
      if (used[k]) continue;
      used[k] = true;
      Group group{k, -1};
      if (capacities_[op.cases[k].chan] == 0) {
        for (const int other : order) {
          if (!used[other] && op.cases[other].chan == op.cases[k].chan &&
              op.cases[other].recv != op.cases[k].recv) {
            group.second = other;
            used[other] = true;
            break;
          }
        }
      }
      groups.push_back(group);
    }
    std::stable_sort(groups.begin(), groups.end(),
                     [&](const Group& a, const Group& b) {
                       const int chan_a = op.cases[a.first].chan;
                       const int chan_b = op.cases[b.first].chan;
                       if (chan_a != chan_b) return chan_a < chan_b;
                       return (a.second >= 0) > (b.second >= 0);
                     });
    return groups;
  }

  // --- results

  bool Allows(int i, const Result& result) const {
    const History::Entry& entry = history_.ops[i];
    if (entry.result.kind == Result::kPending) return entry.free;
    return entry.result == result;
  }
  Result Sent(int i, int k) const {
    return {Result::kOk, static_cast<uint8_t>(ops_[i].is_select() ? k : 0), 0};
  }
  Result Got(int i, int k, uint8_t value) const {
    return {Result::kOk, static_cast<uint8_t>(ops_[i].is_select() ? k : 0),
            value};
  }
  Result Closed(int i, int k) const {
    if (!ops_[i].cases[k].recv) return {Result::kPanic, 0, 0};
    return {Result::kClosed, static_cast<uint8_t>(ops_[i].is_select() ? k : 0),
            0};
  }
  Result Exchanged(int i, int k, uint8_t value) const {
    return ops_[i].cases[k].recv ? Got(i, k, value) : Sent(i, k);
  }

  // --- queues

  void Enqueue(World& world, int i, int chan) const {
    uint8_t* const queue = world.queue[chan];
    uint8_t& queued = world.queued[chan];
    if (std::find(queue, queue + queued, i) != queue + queued) return;
    queue[queued++] = static_cast<uint8_t>(i);
  }

  void Dequeue(World& world, int i) const {
    for (int chan = 0; chan < kMaxChans; ++chan) {
      uint8_t* const queue = world.queue[chan];
      uint8_t* const end = queue + world.queued[chan];
      uint8_t* const kept = std::remove(queue, end, static_cast<uint8_t>(i));
      std::fill(kept, end, uint8_t{0});
      world.queued[chan] = static_cast<uint8_t>(kept - queue);
    }
    world.progress[i] = 0;
  }

  // The first in the queue that waits in this direction, and by which cases;
  // not `self`. -1: nobody.
  int Waiter(const World& world, int chan, bool recv, int self,
             std::vector<int>* by) const {
    by->clear();
    for (int a = 0; a < world.queued[chan]; ++a) {
      const int i = world.queue[chan][a];
      if (i == self) continue;
      for (int k = 0; k < static_cast<int>(ops_[i].cases.size()); ++k) {
        const CaseSpec& c = ops_[i].cases[k];
        if (c.chan != chan || c.recv != recv) continue;
        if (world.place[i] == Place::kEnrolling) {
          bool enrolled = false;
          for (int g = 0; g < world.progress[i]; ++g) {
            enrolled |= groups_[i][g].Has(k);
          }
          if (!enrolled) continue;
        }
        by->push_back(k);
      }
      if (!by->empty()) return i;
    }
    return -1;
  }

  // --- steps of the order

  bool Finish(World world, int i, const Result& result) {
    if (!Allows(i, result)) return false;
    Dequeue(world, i);
    world.place[i] = Place::kDone;
    return Extend(world);
  }

  bool Ready(const World& world, int i, int k) const {
    const CaseSpec& c = ops_[i].cases[k];
    std::vector<int> by;
    if (world.closed[c.chan]) return true;
    if (Waiter(world, c.chan, !c.recv, i, &by) >= 0) return true;
    return c.recv ? world.count[c.chan] > 0
                  : world.count[c.chan] < capacities_[c.chan];
  }

  // Case k of operation i takes place now, if it is ready and all that follows
  // can be ordered.
  bool Take(const World& world, int i, int k) {
    return ops_[i].cases[k].recv ? TakeRecv(world, i, k)
                                 : TakeSend(world, i, k);
  }

  bool TakeSend(const World& world, int i, int k) {
    const CaseSpec& c = ops_[i].cases[k];
    if (world.closed[c.chan]) return Finish(world, i, Closed(i, k));
    std::vector<int> by;
    const int receiver = Waiter(world, c.chan, /*recv=*/true, i, &by);
    if (receiver >= 0) return Meet(world, i, k, receiver, by);
    if (world.count[c.chan] >= capacities_[c.chan]) return false;
    World next = world;
    Push(next, c);
    return Finish(next, i, Sent(i, k));
  }

  bool TakeRecv(const World& world, int i, int k) {
    const CaseSpec& c = ops_[i].cases[k];
    std::vector<int> by;
    const int sender = Waiter(world, c.chan, /*recv=*/false, i, &by);
    if (world.count[c.chan] > 0) {
      World next = world;
      uint8_t* const buffer = next.buffer[c.chan];
      const uint8_t value = buffer[0];
      std::copy(buffer + 1, buffer + kMaxBuffer, buffer);
      buffer[--next.count[c.chan]] = 0;
      if (sender < 0) return Finish(next, i, Got(i, k, value));
      // The first waiting sender's value takes the place that became free.
      for (const int other : by) {
        if (!Allows(sender, Sent(sender, other))) continue;
        World served = next;
        Push(served, ops_[sender].cases[other]);
        Dequeue(served, sender);
        served.place[sender] = Place::kDone;
        if (Finish(served, i, Got(i, k, value))) return true;
      }
      return false;
    }
    if (sender >= 0) return Meet(world, i, k, sender, by);
    return world.closed[c.chan] && Finish(world, i, Closed(i, k));
  }

  bool Meet(const World& world, int i, int k, int partner,
            const std::vector<int>& by) {
    for (const int other : by) {
      const CaseSpec& mine = ops_[i].cases[k];
      const CaseSpec& theirs = ops_[partner].cases[other];
      if (!Allows(partner, Exchanged(partner, other, mine.value))) continue;
      World next = world;
      Dequeue(next, partner);
      next.place[partner] = Place::kDone;
      if (Finish(next, i, Exchanged(i, k, theirs.value))) return true;
    }
    return false;
  }

  static void Push(World& world, const CaseSpec& c) {
    world.buffer[c.chan][world.count[c.chan]++] = c.value;
  }

  // Closes an open channel: all who wait there go.
  bool CloseChannel(World& world, int chan) const {
    world.closed[chan] = 1;
    while (world.queued[chan] > 0) {
      const int i = world.queue[chan][0];
      bool allowed = false;
      for (int k = 0; k < static_cast<int>(ops_[i].cases.size()); ++k) {
        allowed |= ops_[i].cases[k].chan == chan && Allows(i, Closed(i, k));
      }
      if (!allowed) return false;
      Dequeue(world, i);
      world.place[i] = Place::kDone;
    }
    return true;
  }

  bool MayBegin(const World& world, int i) const {
    const History::Entry& entry = history_.ops[i];
    for (int j = 0; j < static_cast<int>(ops_.size()); ++j) {
      if ((entry.before >> j & 1) != 0 && world.place[j] != Place::kDone) {
        return false;
      }
      if ((entry.parked_before >> j & 1) != 0 &&
          world.place[j] != Place::kDone && world.place[j] != Place::kWaiting) {
        return false;
      }
    }
    return true;
  }

  bool Complete(const World& world) const {
    for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
      const History::Entry& entry = history_.ops[i];
      if (!entry.begun) continue;
      if (entry.result.kind != Result::kPending) {
        if (world.place[i] != Place::kDone) return false;
      } else if (!entry.free && world.place[i] != Place::kWaiting) {
        return false;
      }
    }
    if (!history_.final_known) return true;
    for (int chan = 0; chan < static_cast<int>(capacities_.size()); ++chan) {
      if (world.count[chan] != history_.final_count[chan] ||
          (world.closed[chan] != 0) != history_.final_closed[chan] ||
          std::memcmp(world.buffer[chan], history_.final_buffer[chan],
                      world.count[chan]) != 0) {
        return false;
      }
    }
    return true;
  }

  // Can the order so far be extended to one that explains the history?
  bool Extend(const World& world) {
    if (Complete(world)) return true;
    if (!dead_ends_
             .emplace(reinterpret_cast<const char*>(&world), sizeof(world))
             .second) {
      return false;
    }
    for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
      if (history_.ops[i].begun && world.place[i] != Place::kDone &&
          ExtendBy(world, i)) {
        return true;
      }
    }
    return false;
  }

  bool ExtendBy(const World& world, int i) {
    const Op& op = ops_[i];
    if (op.has_timeout && world.place[i] != Place::kNew &&
        Finish(world, i, {Result::kTimeout, 0, 0})) {
      return true;
    }
    if (world.place[i] == Place::kWaiting) return false;
    if (world.place[i] == Place::kEnrolling) {
      return op.kind == OpKind::kCancel ? GoOnCancelling(world, i)
                                        : GoOnEnrolling(world, i);
    }
    if (!MayBegin(world, i)) return false;
    switch (op.kind) {
      case OpKind::kClose: {
        const int chan = op.cases[0].chan;
        if (world.closed[chan]) {
          return Finish(world, i, {Result::kPanic, 0, 0});
        }
        World next = world;
        return CloseChannel(next, chan) && Finish(next, i, {Result::kOk, 0, 0});
      }
      case OpKind::kLen:
        return Finish(world, i,
                      {Result::kLength, 0, world.count[op.cases[0].chan]});
      case OpKind::kCancel:
        return GoOnCancelling(world, i);
      default:
        return BeginExchange(world, i);
    }
  }

  bool BeginExchange(const World& world, int i) {
    const Op& op = ops_[i];
    if (op.has_timeout && Finish(world, i, {Result::kTimeout, 0, 0})) {
      return true;
    }
    bool any_ready = false;
    for (int k = 0; k < static_cast<int>(op.cases.size()); ++k) {
      if (!Ready(world, i, k)) continue;
      any_ready = true;
      if (Take(world, i, k)) return true;
    }
    if (!any_ready) {
      if (!op.blocks()) {
        if (Finish(world, i, {Result::kWouldBlock, 0, 0})) return true;
      } else {
        World next = world;
        next.place[i] = Place::kWaiting;
        for (int chan = 0; chan < kMaxChans; ++chan) {
          for (const CaseSpec& c : op.cases) {
            if (c.chan == chan) Enqueue(next, i, chan);
          }
        }
        if (Extend(next)) return true;
      }
    }
    if (op.blocks() && groups_[i].size() > 1) {
      World next = world;
      next.place[i] = Place::kEnrolling;
      return GoOnEnrolling(next, i);
    }
    return false;
  }

  bool GoOnEnrolling(const World& world, int i) {
    const Op& op = ops_[i];
    if (world.progress[i] > 0) {
      World again = world;
      Dequeue(again, i);
      again.place[i] = Place::kNew;
      if (Extend(again)) return true;
    }
    const Group& group = groups_[i][world.progress[i]];
    if (Ready(world, i, group.first) ||
        (group.second >= 0 && Ready(world, i, group.second))) {
      return false;
    }
    World next = world;
    Enqueue(next, i, op.cases[group.first].chan);
    if (++next.progress[i] == groups_[i].size()) {
      next.progress[i] = 0;
      next.place[i] = Place::kWaiting;
    }
    return Extend(next);
  }

  bool GoOnCancelling(const World& world, int i) {
    const Op& op = ops_[i];
    World next = world;
    next.place[i] = Place::kEnrolling;
    if (next.progress[i] == op.chans.size()) {
      return Finish(next, i, {Result::kOk, 0, 0});
    }
    const int chan = op.chans[next.progress[i]++];
    return (next.closed[chan] || CloseChannel(next, chan)) && Extend(next);
  }

  const std::vector<int>& capacities_;
  const std::vector<Op>& ops_;
  const History& history_;
  std::vector<std::vector<Group>> groups_;
  std::unordered_set<std::string> dead_ends_;
};

}  // namespace

// -----------------------------------------------------------------------------
// Histories
// -----------------------------------------------------------------------------

std::string History::Key() const {
  std::string key;
  for (const Entry& entry : ops) {
    const uint8_t bytes[] = {entry.begun,
                             entry.free,
                             entry.result.kind,
                             entry.result.k,
                             entry.result.value,
                             static_cast<uint8_t>(entry.before),
                             static_cast<uint8_t>(entry.before >> 8),
                             static_cast<uint8_t>(entry.parked_before),
                             static_cast<uint8_t>(entry.parked_before >> 8)};
    key.append(reinterpret_cast<const char*>(bytes), sizeof(bytes));
  }
  key.push_back(static_cast<char>(final_known));
  key.append(reinterpret_cast<const char*>(final_count), sizeof(final_count));
  key.append(reinterpret_cast<const char*>(final_buffer), sizeof(final_buffer));
  key.append(reinterpret_cast<const char*>(final_closed), sizeof(final_closed));
  return key;
}

HistoryChecker::HistoryChecker(std::vector<int> capacities, std::vector<Op> ops)
    : capacities_(std::move(capacities)), ops_(std::move(ops)) {}

bool HistoryChecker::Linearizable(const History& history) {
  std::string key = history.Key();
  if (accepted_.contains(key)) return true;
  if (!Linearizer(capacities_, ops_, history).Run()) return false;
  accepted_.insert(std::move(key));
  return true;
}

std::string HistoryChecker::ToString(const History& history) const {
  std::string out;
  for (int i = 0; i < static_cast<int>(ops_.size()); ++i) {
    const History::Entry& entry = history.ops[i];
    absl::StrAppend(&out, "    op", i, " ", model::ToString(ops_[i]), ": ");
    if (!entry.begun) {
      absl::StrAppend(&out, "not begun\n");
      continue;
    }
    absl::StrAppend(&out, model::ToString(ops_[i], entry.result),
                    entry.free ? " (free)" : "");
    const auto list = [&](const char* title, uint16_t bits) {
      if (bits == 0) return;
      absl::StrAppend(&out, ", ", title);
      for (int j = 0; j < kMaxOps; ++j) {
        if ((bits >> j & 1) != 0) absl::StrAppend(&out, " op", j);
      }
    };
    list("after the end of", entry.before);
    list("after the parking of",
         static_cast<uint16_t>(entry.parked_before & ~entry.before));
    absl::StrAppend(&out, "\n");
  }
  if (!history.final_known) return out;
  for (int chan = 0; chan < static_cast<int>(capacities_.size()); ++chan) {
    absl::StrAppend(&out, "    c", chan, " of ", capacities_[chan], " holds");
    for (int i = 0; i < history.final_count[chan]; ++i) {
      absl::StrAppend(&out, " ",
                      static_cast<int>(history.final_buffer[chan][i]));
    }
    if (history.final_count[chan] == 0) absl::StrAppend(&out, " nothing");
    absl::StrAppend(&out, history.final_closed[chan] ? ", closed\n" : "\n");
  }
  return out;
}

}  // namespace gochan::model

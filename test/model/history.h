// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Histories of a small world, and what Go allows.
//
// A history is linearizable if its operations can be put in an order, each at
// one moment between its beginning and its end, in which a sequential channel
// gives the same results. The specification is that channel with its waiting
// parties: a blocking operation that is not ready joins the queues of its
// channels, and is served later by a partner's operation, first in first out.
//
// Three deviations from "one moment per operation", all promised to users:
//   - A blocking select is offered channel by channel, in address order, each
//     at an instant when that channel was not ready (docs/design/select.md). A
//     partner may take it before the later ones; it may also start over.
//     Channels are numbered in address order here.
//   - Cancelling a context closes its subtree one by one.
//   - A timeout may end its select at any moment.
//
// Beside "A ended before B began" a history knows "A was parked before B
// began": A waited, visibly and completely, at some moment before.

#ifndef GOCHAN_TEST_MODEL_HISTORY_H_
#define GOCHAN_TEST_MODEL_HISTORY_H_

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace gochan::model {

inline constexpr int kMaxOps = 16;
inline constexpr int kMaxChans = 4;
inline constexpr int kMaxBuffer = 6;
inline constexpr int kMaxCases = 4;

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

enum class OpKind : uint8_t {
  kSend,
  kRecv,
  kTrySend,
  kTryRecv,
  kClose,
  kLen,
  kSelect,
  kCancel,  // closes `chans` one after the other, those that are open
};

struct CaseSpec {
  uint8_t chan = 0;
  bool recv = false;
  uint8_t value = 0;  // to send; given by World
};

struct Op {
  OpKind kind = OpKind::kSend;
  std::vector<CaseSpec> cases;  // one, but for kSelect
  bool has_default = false;     // selects
  bool has_timeout = false;
  std::vector<uint8_t> chans;  // kCancel
  bool is_select() const { return kind == OpKind::kSelect; }
  bool blocks() const {
    return kind == OpKind::kSend || kind == OpKind::kRecv ||
           (is_select() && !has_default);
  }
};

Op Send(int chan);
Op Recv(int chan);
Op TrySend(int chan);
Op TryRecv(int chan);
Op Close(int chan);
Op Len(int chan);
CaseSpec S(int chan);  // a case that sends
CaseSpec R(int chan);  // a case that receives
Op Select(std::vector<CaseSpec> cases);
Op SelectDefault(std::vector<CaseSpec> cases);
Op SelectTimeout(std::vector<CaseSpec> cases);
Op Cancel(std::vector<int> chans);

std::string ToString(const Op& op);

// -----------------------------------------------------------------------------
// Results
// -----------------------------------------------------------------------------

struct Result {
  enum Kind : uint8_t {
    kPending,
    kOk,          // sent, closed, cancelled; received `value`
    kClosed,      // receive: closed and drained
    kPanic,       // send or close on a closed channel; which case is not known
    kWouldBlock,  // a try-form; a select's default
    kTimeout,
    kLength,  // `value`
  };
  Kind kind = kPending;
  uint8_t k = 0;      // selects: the case, for kOk and kClosed
  uint8_t value = 0;  // received; or the length
  friend bool operator==(const Result&, const Result&) = default;
};

std::string ToString(const Op& op, const Result& result);

// -----------------------------------------------------------------------------
// Histories
// -----------------------------------------------------------------------------

// Operations are numbered through the world, party by party.
struct History {
  struct Entry {
    bool begun = false;
    // Its result is open and it may or may not have taken effect (a party that
    // is frozen, or that waits for one). Else a pending operation waits.
    bool free = false;
    Result result;
    uint16_t before = 0;         // bit j: operation j ended before this began
    uint16_t parked_before = 0;  // bit j: ... was parked before this began
  };
  Entry ops[kMaxOps];
  // What is in the channels at the end, if that is known.
  bool final_known = false;
  uint8_t final_count[kMaxChans] = {};
  uint8_t final_buffer[kMaxChans][kMaxBuffer] = {};
  bool final_closed[kMaxChans] = {};

  std::string Key() const;
};

// Decides histories of one world; remembers those that it has accepted.
class HistoryChecker {
 public:
  HistoryChecker(std::vector<int> capacities, std::vector<Op> ops);

  bool Linearizable(const History& history);
  std::string ToString(const History& history) const;
  std::size_t distinct() const { return accepted_.size(); }

 private:
  std::vector<int> capacities_;
  std::vector<Op> ops_;
  std::unordered_set<std::string> accepted_;
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_HISTORY_H_

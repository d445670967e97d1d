// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What a thread's last waits were like, so how it had better wait next: by
// pauses, by turns for others, or asleep (runtime/park.cc).
//
//   history.MayPause()     before a wait: is it worth a few pauses?
//   history.NotePauses()   behind them: did the partner come meanwhile?
//   history.AreShort()     is it worth to stay awake for longer than that?
//   history.NoteWait()     after a wait: was it a short one?
//
// Each is a counter that saturates, as in a processor's prediction of jumps:
// one wait that is unlike the others does not change what comes next. It begins
// as if all had gone well. Owned and touched by the thread alone; O(1).

#ifndef GOCHAN_RUNTIME_WAIT_HISTORY_H_
#define GOCHAN_RUNTIME_WAIT_HISTORY_H_

#include <algorithm>
#include <cstdint>

namespace gochan::runtime {

class WaitHistory {
 public:
  // Pauses help if the partner runs on another processor, and are lost if it
  // waits for this one. Where they did not help they are tried now and then.
  bool MayPause() { return pauses_ > 0 || ++waits_ % kTryEvery == 0; }
  void NotePauses(bool helped) { pauses_ = Moved(pauses_, helped ? 4 : -1); }

  // More than two in three of the last ones were.
  bool AreShort() const { return short_waits_ > kMost / 2; }
  void NoteWait(bool is_short) {
    short_waits_ = Moved(short_waits_, is_short ? 1 : -2);
  }

 private:
  static constexpr int kMost = 16;
  static constexpr uint8_t kTryEvery = 16;

  static uint8_t Moved(uint8_t counter, int by) {
    return static_cast<uint8_t>(std::clamp(counter + by, 0, kMost));
  }

  uint8_t pauses_ = kMost;
  uint8_t short_waits_ = kMost;
  uint8_t waits_ = 0;  // without pauses; modulo 256
};

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_WAIT_HISTORY_H_

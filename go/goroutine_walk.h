// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Looks at every goroutine, cheaply: neither its stack nor text is made of it.
//
//   WalkGoroutines(fn)     fn(const Glimpse&) for each one that lives
//   EvenSample             some of them, for what costs more

#ifndef GOCHAN_GO_GOROUTINE_WALK_H_
#define GOCHAN_GO_GOROUTINE_WALK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/goroutine.h"
#include "runtime/wait_reason.h"

namespace gochan::internal {

struct Glimpse {
  uint32_t index = 0;  // for TaskReader::Read()
  // Of a wait that is over its partner has told it so, and it waits for its
  // turn.
  bool is_woken = false;
  runtime::TaskReader::Snapshot task;  // without what it waits for

  // Does it wait for somebody, or for a time?
  bool IsBlocked() const {
    return task.note.reason != runtime::WaitReason::kNone &&
           task.note.reason != runtime::WaitReason::kBlocking && !is_woken;
  }
};

// Has whoever waits in this record been woken? For TaskReader::Read().
bool IsWokenWaiter(void* waiter);

// In no particular order. Those that live during the whole call come once.
// Thread-safe; never blocks for long; no allocation but for long names. Cost:
// some 0.1 us each while it is in the cache, up to 1 us else.
template <typename Fn>
void WalkGoroutines(Fn fn) {
  Glimpse glimpse;
  runtime::TaskReader::ForEach(
      [&](uint32_t index, uint64_t id, uint64_t /*creator*/) {
        if (!runtime::TaskReader::Read(index, id, /*with_stack=*/false,
                                       &IsWokenWaiter, &glimpse.task,
                                       &glimpse.is_woken)) {
          return;
        }
        glimpse.index = index;
        // FindLeaks() believes that whoever has a pointer may use it.
        glimpse.task.note.object = nullptr;
        glimpse.task.note.detail = nullptr;
        glimpse.task.waiter = nullptr;
        fn(static_cast<const Glimpse&>(glimpse));
      });
}

// Evenly spread members of a sequence whose length is not known before.
class EvenSample {
 public:
  struct Member {
    uint32_t index;
    uint64_t id;
  };

  // Of a sequence no longer than `max` all, else at least half as many.
  explicit EvenSample(std::size_t max) : max_(max) {}

  void Offer(uint32_t index, uint64_t id) {
    if (offered_++ % stride_ != 0) return;
    members_.push_back({index, id});
    if (members_.size() <= max_) return;
    // Every other one leaves.
    std::size_t kept = 0;
    for (std::size_t i = 0; i < members_.size(); i += 2) {
      members_[kept++] = members_[i];
    }
    members_.resize(kept);
    stride_ *= 2;
  }
  const std::vector<Member>& members() const { return members_; }

 private:
  const std::size_t max_;
  uint64_t offered_ = 0;
  uint64_t stride_ = 1;
  std::vector<Member> members_;
};

}  // namespace gochan::internal

#endif  // GOCHAN_GO_GOROUTINE_WALK_H_

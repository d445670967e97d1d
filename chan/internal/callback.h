// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Callback: a waiter without a stack. It waits on one channel as a select with
// one receive case would, and where a select resumes it runs a function.
//
// The function runs on the stack of whoever closes the channel (or sends on
// it), inside that call, or in Start() if the channel is ready already; so it
// must be short and must not block.
//
// Memory ordering: what happened before the close is visible in the function.

#ifndef GOCHAN_CHAN_INTERNAL_CALLBACK_H_
#define GOCHAN_CHAN_INTERNAL_CALLBACK_H_

#include <cstddef>
#include <cstdint>

#include "chan/internal/core.h"
#include "chan/internal/waiter.h"
#include "runtime/atomic.h"
#include "runtime/park.h"

namespace gochan::internal {

class Callback final : private runtime::Resumer {
 public:
  // `ready`: the channel is closed or has given a value; else Stop() came
  // first.
  using Function = void (*)(void* arg, bool ready);

  // Callback::Start()
  //
  // Waits for `core`, which it keeps alive, to be closed (or to give a value,
  // which is dropped), and calls `function(arg, …)` exactly once. The caller
  // owes one Stop(). May throw std::bad_alloc.
  static Callback* Start(Core& core, Function function, void* arg);

  // Callback::Stop()
  //
  // Nothing need be waited for any more. The function is called soon if it has
  // not been, by this call or by another thread, perhaps still with ready =
  // true. Once, after Start() has returned; never waits.
  void Stop();

 private:
  Callback(Core& core, Function function, void* arg);
  ~Callback() = default;

  static void Resume(runtime::Resumer* self);

  void Wait();
  bool Enrol();
  bool TakeReady();
  void Join();
  void End(bool ready);
  void Unref();

  Core& core_;
  const Function function_;
  void* const arg_;
  Node& record_;

  // Of the present wait; touched by the publisher, then by the last to join.
  Enrolment enrolment_;
  std::byte room_{};  // where a partner moves the Unit that it sends

  // The wait that Stop() may claim. Set after the claim has been opened.
  Atomic<uint32_t> gen_{0};
  //   0  (start)  1        Stop()
  //   1  Stop()   (final)  whoever would wait (again): end instead
  Atomic<uint8_t> stopped_{0};

  // How many of two are done with the present wait: its publisher, and whoever
  // has decided it. The second one goes on, so neither waits for the other.
  //   0  the publisher  1              both
  //   1  the first      2 | 0 (again)  the other
  Atomic<uint32_t> joined_{0};

  Atomic<uint32_t> references_{2};  // the owner's until Stop(), and the wait's
};

}  // namespace gochan::internal

#endif  // GOCHAN_CHAN_INTERNAL_CALLBACK_H_

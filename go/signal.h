// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Signals as channel messages and as cancellation: Go's os/signal.
//
//   Notify(ch, {SIGHUP})         relays these signals to ch
//   StopNotify(ch)               no more to ch
//   NotifyContext(ctx, {SIGINT}) a context that the first of them cancels
//   IgnoreSignals, ResetSignals  ignore; back to what was before
//
//   auto [ctx, stop] = gochan::NotifyContext(gochan::Background(), {SIGINT});
//   Serve(ctx);  // Ctrl-C cancels ctx
//
// A program that calls none of these keeps every disposition that it had. While
// somebody is notified of a signal, a handler of ours is installed for it
// (SA_RESTART, SA_ONSTACK); afterwards what had been there before. The handler
// only takes a note; a thread that is started by the first call sends. Notes of
// one signal merge until they are sent, as the kernel's own do.
//
// All functions are thread-safe; none may be called in a signal handler.
// Numbers that are no signals, and SIGKILL and SIGSTOP, have no effect. A
// signal that the processor raises (SIGSEGV and the like) is not relayed, only
// one that somebody sent: the first goes to whoever would have had it without
// us. At least one thread of the program must leave the signals unblocked.

#ifndef GOCHAN_GO_SIGNAL_H_
#define GOCHAN_GO_SIGNAL_H_

#include <initializer_list>
#include <utility>

#include "chan/chan.h"
#include "ctx/context.h"

namespace gochan {

// Notify()
//
// From now on each of `signals` (no list: every signal that can be caught) is
// sent to `ch` when it arrives, instead of having its default effect. Sending
// never blocks: a signal that finds the channel full is missed, so give it room
// for the signals that you expect; one is enough for a single kind. A further
// call for the same channel adds to its signals. Several channels may be
// notified of one signal, each of them gets it. Panics with "os/signal: Notify
// using nil channel". The channel is kept alive; closing it before StopNotify()
// is a bug that ends the program with "send on closed channel".
void Notify(SendChan<int> ch, std::initializer_list<int> signals = {});

// StopNotify()
//
// `ch` will receive no more signals once this has returned; those that had
// arrived before the call have been sent. Signals that nobody else is notified
// of get their earlier disposition back.
void StopNotify(SendChan<int> ch);

// IgnoreSignals()
//
// `signals` (an empty list: all) have no effect from now on, and nobody is
// notified of them.
void IgnoreSignals(std::initializer_list<int> signals);

// ResetSignals()
//
// Undoes Notify() and IgnoreSignals() for `signals` (an empty list: all):
// nobody is notified of them, and their earlier disposition is back.
void ResetSignals(std::initializer_list<int> signals);

// NotifyContext()
//
// A child of `parent` that is done also when one of `signals` (an empty list:
// any) arrives; its Cause() then names it as Go does, "interrupt signal
// received". Calling the CancelFunc, or dropping its last copy, cancels the
// context and undoes the notification, so do it as soon as signals need no
// longer be caught: until then a second Ctrl-C is swallowed.
[[nodiscard]] std::pair<Context, CancelFunc> NotifyContext(
    Context parent, std::initializer_list<int> signals);

namespace internal {

// fn(signal) is called when `signal` arrives, by a thread of ours, in place of
// the function of an earlier call for it. It may block, but then nobody is
// notified of other signals.
void CallOnSignal(int signal, void (*fn)(int signal));

}  // namespace internal
}  // namespace gochan

#endif  // GOCHAN_GO_SIGNAL_H_

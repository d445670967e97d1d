// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// What happens when a goroutine has used up its stack: it runs into the guard
// (stack.h), and the process says so and aborts.
//
//   InstallOverflowHandler()   once per process
//   AttachOverflowStack()      once per thread that runs goroutines
//   SetDescribeOverflow(hook)  who was it?

#ifndef GOCHAN_RUNTIME_STACK_OVERFLOW_H_
#define GOCHAN_RUNTIME_STACK_OVERFLOW_H_

#include "runtime/stack.h"

namespace gochan::runtime {

// Takes over SIGSEGV (where guards raise it, SIGBUS). A fault in the guard of
// one of our stacks prints "goroutine stack overflow" and what the hook has to
// say, then aborts; every other one goes to the handler that was there before.
// Thread-safe; later calls do nothing.
void InstallOverflowHandler();

// Gives the calling thread an alternate signal stack until it ends, unless it
// has one already: a handler cannot run on the stack that has overflowed.
void AttachOverflowStack();

// Describes who ran on `stack`. Called in a signal handler: only
// async-signal-safe functions, no locks. nullptr: nobody knows.
using DescribeOverflow = void (*)(int fd, const Stack& stack);
void SetDescribeOverflow(DescribeOverflow hook);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_STACK_OVERFLOW_H_

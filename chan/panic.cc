// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/panic.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/goexit.h"

namespace gochan {

namespace {

// As Go ends a program: what happened, and to which goroutine.
[[noreturn]] void End(const char* what, const char* message) {
  std::fflush(stdout);
  runtime::PrintHeadline(STDERR_FILENO, what, message);
  runtime::PrintGoroutineHeader(STDERR_FILENO, "running");
  std::abort();
}

}  // namespace

Panic::~Panic() = default;

void RaisePanic(const char* message) {
#if defined(__cpp_exceptions)
  throw Panic(message);
#else
  End("panic", message);
#endif
}

void RaisePanic(const std::string& message) { RaisePanic(message.c_str()); }

void RaiseFatal(const char* message) { End("fatal error", message); }

}  // namespace gochan

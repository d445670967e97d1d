// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "chan/panic.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace gochan {

Panic::~Panic() = default;

void RaisePanic(const char* message) {
#if defined(__cpp_exceptions)
  throw Panic(message);
#else
  std::fprintf(stderr, "panic: %s\n", message);
  std::abort();
#endif
}

void RaisePanic(const std::string& message) { RaisePanic(message.c_str()); }

}  // namespace gochan

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The usual ways to leak a goroutine, as requests to a small shop. Each comes
// broken and mended.
//
//   orders    workers range over a channel that nobody closes
//   session   an object with a goroutine is started and never stopped
//   upload    two sends where one is received
//   report    an early return before the receive
//   search    N goroutines send, the first answer is taken
//   quote     a time-out walks away from a sender
//
// Source of the list: G. Saioc, D. Shirchenko, M. Chabbi, "Unveiling and
// Vanquishing Goroutine Leaks in Enterprise Microservices", CGO 2024.

#ifndef GOCHAN_EXAMPLES_LEAKY_SERVICE_PATTERNS_H_
#define GOCHAN_EXAMPLES_LEAKY_SERVICE_PATTERNS_H_

#include <string>
#include <vector>

namespace leaky {

struct Pattern {
  const char* name;
  const char* what;  // goes wrong, if it does
  int leaks;         // goroutines, with each request
  // Answers a request; `broken`: and leaks.
  std::string (*handle)(bool broken);
};

const std::vector<Pattern>& Patterns();

}  // namespace leaky

#endif  // GOCHAN_EXAMPLES_LEAKY_SERVICE_PATTERNS_H_

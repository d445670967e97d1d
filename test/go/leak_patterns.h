// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// The six usual shapes of leaks, each broken and fixed, as docs/leaks.md shows
// them.
//
// Source: G. Saioc et al., "Unveiling and Vanquishing Goroutine Leaks in
// Enterprise Microservices" (CGO 2024), and Go's own tests of its leak profile,
// src/runtime/testdata/testgoroutineleakprofile/commonpatterns.go (Go 1.26).

#ifndef GOCHAN_TEST_GO_LEAK_PATTERNS_H_
#define GOCHAN_TEST_GO_LEAK_PATTERNS_H_

#include <functional>

#include "absl/status/statusor.h"
#include "ctx/context.h"

namespace gochan::leak_patterns {

// Lines of leak_patterns.cc: where the leaked goroutines are created and where
// they are blocked for ever.
struct Lines {
  int created = 0;
  int blocked = 0;
};

// Workers range over a channel that is never closed: all of them leak.
namespace broken {
int SumOfSquares(int n, int workers);
extern const Lines kSumOfSquares;
}  // namespace broken
namespace fixed {
int SumOfSquares(int n, int workers);
}

// An object that is started and not stopped: one leaks.
namespace broken {
void UseMailbox();
extern const Lines kUseMailbox;
}  // namespace broken
namespace fixed {
void UseMailbox();
}

// After an error, which is sent, the `return` is missing: one leaks.
namespace broken {
absl::StatusOr<int> Fetch(bool fails);
extern const Lines kFetch;
}  // namespace broken
namespace fixed {
absl::StatusOr<int> Fetch(bool fails);
}

// A return before the receive: one leaks.
namespace broken {
absl::StatusOr<int> Handle(int request);
extern const Lines kHandle;
}  // namespace broken
namespace fixed {
absl::StatusOr<int> Handle(int request);
}

// N ask, and the first answer is taken: n - 1 leak.
namespace broken {
int FirstAnswer(int replicas);
extern const Lines kFirstAnswer;
}  // namespace broken
namespace fixed {
int FirstAnswer(int replicas);
}

// Who waits gives up: one leaks if the context ends before the answer.
namespace broken {
absl::StatusOr<int> Ask(const Context& ctx, std::function<int()> answer);
extern const Lines kAsk;
}  // namespace broken
namespace fixed {
absl::StatusOr<int> Ask(const Context& ctx, std::function<int()> answer);
}

}  // namespace gochan::leak_patterns

#endif  // GOCHAN_TEST_GO_LEAK_PATTERNS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// After a lost swap of a word that many change:
//
//   NoteLostSwap      tells the scheduler
//   ContentionPause   leaves the word alone for a moment, besides

#ifndef GOCHAN_RUNTIME_CONTENTION_H_
#define GOCHAN_RUNTIME_CONTENTION_H_

#include "runtime/instrument.h"

namespace gochan::runtime {

// NoteLostSwap()
//
// If the caller's worker loses swaps all the time, another one does the work of
// both sooner: it rests at its next switch (docs/design/runtime.md, *Rest*).
//
// ContentionPause()
//
// The same, and: somebody else was quicker at a word that both change all the
// time: leaves it to him for about a microsecond. A line that goes to and fro
// between two processors costs each of them more than an operation does; so he
// gets dozens of operations done meanwhile, and then we do. Bounded, so what is
// lock-free stays so.
#if GOCHAN_INSTRUMENT
inline void NoteLostSwap() {}
inline void ContentionPause() {}  // a tool decides who goes first
#else
void NoteLostSwap();
void ContentionPause();
#endif

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_CONTENTION_H_

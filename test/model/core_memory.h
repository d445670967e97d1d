// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// CoreMemory: where the channels of a world lie, so that they come in address
// order and at the same addresses in every schedule (selects enrol by address).
// The program's aligned operator new is replaced for this; all other uses of it
// get what they always got.

#ifndef GOCHAN_TEST_MODEL_CORE_MEMORY_H_
#define GOCHAN_TEST_MODEL_CORE_MEMORY_H_

namespace gochan::model {

class CoreMemory {
 public:
  // While one is alive, channels are made one after the other from the
  // beginning; with `reuse` where one of their size has died, if any has.
  explicit CoreMemory(bool reuse = false);
  ~CoreMemory();
  CoreMemory(const CoreMemory&) = delete;
  CoreMemory& operator=(const CoreMemory&) = delete;

  // Of those made since then: are all destroyed?
  static bool AllIsFreed();
  // Has nobody written to a channel after it was destroyed?
  static bool FreedIsUntouched();
};

}  // namespace gochan::model

#endif  // GOCHAN_TEST_MODEL_CORE_MEMORY_H_

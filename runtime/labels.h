// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Labels of goroutines and threads (go/labels.h): how they are passed on.
//
//   MakeLabels      a set from another one and some more
//   LabelBinding    the caller has these labels as long as it lives
//   CurrentLabels   the caller's
//   InheritLabels   by who starts a goroutine
//
// A set never changes and is shared by all who have it. A goroutine's hangs on
// the options of its Task, where dumps read it; a thread's lies in the
// innermost LabelBinding. So who has none pays nothing for them but, when it
// starts a goroutine, one load.

#ifndef GOCHAN_RUNTIME_LABELS_H_
#define GOCHAN_RUNTIME_LABELS_H_

#include "runtime/goroutine.h"

namespace gochan::runtime {

// Those of `outer`, which may be nullptr, and `more`; where both have a key,
// or `more` has it twice, the later one counts.
SharedLabels MakeLabels(const SharedLabels& outer, Labels more);

// To be destroyed by who has made it, innermost first.
class LabelBinding {
 public:
  explicit LabelBinding(Labels more);
  ~LabelBinding();
  LabelBinding(const LabelBinding&) = delete;
  LabelBinding& operator=(const LabelBinding&) = delete;

 private:
  friend SharedLabels CurrentLabels();
  friend GoroutineOptions* InheritThreadLabels(GoroutineOptions* options);

  // The calling thread's innermost one that no goroutine has made.
  static thread_local constinit const LabelBinding* innermost_;

  const LabelBinding* outer_ = nullptr;  // a thread's
  // A goroutine's: what it had before; a thread's: what it has.
  SharedLabels labels_;
};

// Of the calling goroutine, or thread; nullptr: none.
SharedLabels CurrentLabels();

// Adds `labels`, which may be nullptr, to the options of a goroutine that is
// about to be started, under those that it has already. `options` may be
// nullptr and is taken over; returns what to use instead. Throws
// std::bad_alloc.
GoroutineOptions* InheritLabels(GoroutineOptions* options,
                                const SharedLabels& labels);
// The same with those of the calling thread, which is no goroutine.
GoroutineOptions* InheritThreadLabels(GoroutineOptions* options);

}  // namespace gochan::runtime

#endif  // GOCHAN_RUNTIME_LABELS_H_

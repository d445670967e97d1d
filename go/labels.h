// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Labels: what goroutines work for, for dumps, profiles and leak reports. Go's
// runtime/pprof labels.
//
//   LabelScope        the caller has one more label until the end of a scope
//   GoroutineLabels   the caller's
//   GoOptions::labels (go/go.h) those of one goroutine, from its start on
//
//   void Handle(const Request& request) {
//     LabelScope label("request", request.id());
//     Go([] { ... });                        // has it too, and whom it starts
//   }
//
// A goroutine inherits the labels that whoever starts it has at that moment,
// goroutine or thread, for its whole life. What timers start (AfterFunc) has
// none.

#ifndef GOCHAN_GO_LABELS_H_
#define GOCHAN_GO_LABELS_H_

#include <string>
#include <utility>
#include <vector>

#include "runtime/labels.h"

namespace gochan {

// The calling goroutine, or thread, has the label `key` with `value` until the
// end of the scope; a label with the same key is back then. To be destroyed by
// who has made it, the innermost first. What others are told of labels is never
// torn. Never blocks but for a dump that reads them. Throws std::bad_alloc.
// Cost: the copies of what labels there are.
class [[nodiscard]] LabelScope {
 public:
  explicit LabelScope(std::string key, std::string value)
      : binding_({{std::move(key), std::move(value)}}) {}
  LabelScope(const LabelScope&) = delete;
  LabelScope& operator=(const LabelScope&) = delete;

 private:
  runtime::LabelBinding binding_;
};

// Those of the calling goroutine, or thread, by ascending key.
inline std::vector<std::pair<std::string, std::string>> GoroutineLabels() {
  const runtime::SharedLabels labels = runtime::CurrentLabels();
  return labels == nullptr ? runtime::Labels() : *labels;
}

}  // namespace gochan

#endif  // GOCHAN_GO_LABELS_H_

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "runtime/labels.h"

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace gochan::runtime {

thread_local constinit const LabelBinding* LabelBinding::innermost_ = nullptr;

SharedLabels MakeLabels(const SharedLabels& outer, Labels more) {
  if (more.empty()) return outer;
  // Of those with one key the last stays.
  std::map<std::string, std::string> by_key;
  if (outer != nullptr) by_key.insert(outer->begin(), outer->end());
  for (auto& [key, value] : more) by_key[std::move(key)] = std::move(value);
  Labels all(by_key.begin(), by_key.end());
  return std::make_shared<const Labels>(std::move(all));
}

namespace {

// Gives the calling goroutine `labels`; returns what it had. Only itself
// changes them, so only dumps are kept away.
SharedLabels Exchange(Task& task, SharedLabels labels) {
  std::unique_ptr<GoroutineOptions> fresh;
  if (task.options == nullptr) {
    if (labels == nullptr) return nullptr;
    fresh = std::make_unique<GoroutineOptions>();
  }
  std::lock_guard lock(OptionsMutex(task));
  if (fresh != nullptr) task.options = fresh.release();
  task.options->labels.swap(labels);
  return labels;
}

}  // namespace

LabelBinding::LabelBinding(Labels more) {
  if (Goroutine* const g = CurrentGoroutine()) {
    labels_ = Exchange(*g->task, MakeLabels(CurrentLabels(), std::move(more)));
  } else {
    labels_ = MakeLabels(CurrentLabels(), std::move(more));
    outer_ = std::exchange(innermost_, this);
  }
}

LabelBinding::~LabelBinding() {
  if (Goroutine* const g = CurrentGoroutine()) {
    (void)Exchange(*g->task, std::move(labels_));
  } else {
    innermost_ = outer_;
  }
}

SharedLabels CurrentLabels() {
  if (const Goroutine* const g = CurrentGoroutine()) {
    const GoroutineOptions* const options = g->task->options;
    return options == nullptr ? nullptr : options->labels;
  }
  const LabelBinding* const binding = LabelBinding::innermost_;
  return binding == nullptr ? nullptr : binding->labels_;
}

GoroutineOptions* InheritLabels(GoroutineOptions* options,
                                const SharedLabels& labels) {
  if (labels == nullptr) return options;
  std::unique_ptr<GoroutineOptions> owned(options);
  if (owned == nullptr) owned = std::make_unique<GoroutineOptions>();
  owned->labels = owned->labels == nullptr
                      ? labels
                      : MakeLabels(labels, Labels(*owned->labels));
  return owned.release();
}

GoroutineOptions* InheritThreadLabels(GoroutineOptions* options) {
  const LabelBinding* const binding = LabelBinding::innermost_;
  return binding == nullptr ? options
                            : InheritLabels(options, binding->labels_);
}

}  // namespace gochan::runtime

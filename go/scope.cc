// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/scope.h"

#include <utility>

#include "absl/status/status.h"
#include "ctx/context.h"
#include "go/err_group.h"
#include "runtime/source_location.h"

namespace gochan {

Scope::Scope(const Context& parent) : Scope(WithCancel(parent)) {}

Scope::Scope(std::pair<Context, CancelFunc> own)
    : cancel_(std::move(own.second)),
      group_(ErrGroup::WithContext(std::move(own.first))) {}

Scope::~Scope() {
  cancel_();
  (void)group_.first.Wait();
}

absl::Status Scope::Wait(const SourceLocation& site) {
  return group_.first.Wait(site);
}

}  // namespace gochan

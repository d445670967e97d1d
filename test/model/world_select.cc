// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// World's selects: the run-time list form, with cases that take their values by
// pointer, so that it shows what was moved.

#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "chan/panic.h"
#include "runtime/random.h"
#include "select/select.h"
#include "test/model/world.h"

namespace gochan::model {

namespace {

// Parties draw their order of polling from their own generator; two seeds are
// enough to see each order of two cases.
uint64_t SeedFor(uint32_t first) {
  for (uint64_t seed = 1;; ++seed) {
    if (runtime::Random(seed).Below(2) == first) return seed;
  }
}

}  // namespace

Result World::ExecuteSelect(Explorer& explorer, int p, const Op& op) {
  static const uint64_t kSeeds[2] = {SeedFor(0), SeedFor(1)};
  const int n = static_cast<int>(op.cases.size());
  explorer.PartyOf(p).random =
      runtime::Random(kSeeds[explorer.Choose(n > 1 ? 2 : 1)]);
  std::vector<Token> tokens(n);
  std::vector<char> oks(n, 2);
  std::vector<AnyCase> cases;
  for (int k = 0; k < n; ++k) {
    const CaseSpec& c = op.cases[k];
    if (spec_.chans[c.chan].done) {
      cases.push_back(RecvCase(dones_[c.chan]));
    } else if (c.recv) {
      cases.push_back(RecvCase(chans_[c.chan], &tokens[k],
                               reinterpret_cast<bool*>(&oks[k])));
    } else {
      tokens[k] = Token(c.value);
      cases.push_back(SendFrom(chans_[c.chan], &tokens[k]));
    }
  }
  if (op.has_default) cases.push_back(DefaultCase());
  if (op.has_timeout) cases.push_back(TimeoutCase(absl::Hours(1)));
  Result result{Result::kPanic, 0, 0};
  int chosen = -1;
  try {
    chosen = static_cast<int>(Select(absl::MakeSpan(cases)));
  } catch (const Panic&) {
  }
  if (chosen == n) {
    result.kind = op.has_default ? Result::kWouldBlock : Result::kTimeout;
  } else if (chosen >= 0) {
    result.k = static_cast<uint8_t>(chosen);
    result.kind = Result::kOk;
    if (spec_.chans[op.cases[chosen].chan].done) {
      result.kind = Result::kClosed;
    } else if (op.cases[chosen].recv) {
      if (oks[chosen] != 0) {
        result.value = static_cast<uint8_t>(tokens[chosen].value());
      } else {
        result.kind = Result::kClosed;
      }
    }
  }
  for (int k = 0; k < n; ++k) {
    const CaseSpec& c = op.cases[k];
    if (k == chosen && !c.recv && tokens[k].value() != 0) {
      explorer.Fail("a select did not move from the value that it sent");
    }
    if (k != chosen && tokens[k].value() != (c.recv ? 0 : c.value)) {
      explorer.Fail(
          "a select touched the value of a case that it did not take");
    }
  }
  return result;
}

}  // namespace gochan::model

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Selects that are refused at compile time (see compile_fail_test.sh).
//
// GOCHAN_WRONG=1: a select has at most one DefaultCase
// GOCHAN_WRONG=2: a select has at most one DefaultCase
// GOCHAN_WRONG=3: RecvCase needs a Chan or a RecvChan
// GOCHAN_WRONG=4: SendCase needs a Chan or a SendChan
// GOCHAN_WRONG=5: handler is void(), void(T) or void(T, bool ok)
// GOCHAN_WRONG=6: SelectCase
// GOCHAN_WRONG=7: take no value
// GOCHAN_WRONG=8: SendCase needs a Chan or a SendChan

#include <string>

#include "chan/chan.h"
#include "select/select.h"

#ifndef GOCHAN_WRONG
#define GOCHAN_WRONG 0
#endif

using gochan::DefaultCase;
using gochan::RecvCase;
using gochan::Select;
using gochan::SelectBiased;
using gochan::SendCase;
using gochan::SendFrom;

struct NoDefault {
  explicit NoDefault(int) {}
};

void Use(gochan::Chan<int> ch, gochan::SendChan<int> send,
         gochan::RecvChan<int> recv, gochan::Chan<NoDefault> odd) {
  int value = 0;
  Select(RecvCase(recv, &value), SendCase(send, 1), DefaultCase());
  Select(RecvCase(ch, [](int, bool) {}), SendFrom(ch, &value));
  Select(RecvCase(odd, [] {}), RecvCase(odd));
#if GOCHAN_WRONG == 1
  Select(DefaultCase(), RecvCase(ch), DefaultCase());
#elif GOCHAN_WRONG == 2
  SelectBiased(DefaultCase([] {}), DefaultCase());
#elif GOCHAN_WRONG == 3
  Select(RecvCase(send));
#elif GOCHAN_WRONG == 4
  Select(SendCase(recv, 1));
#elif GOCHAN_WRONG == 5
  Select(RecvCase(ch, [](std::string) {}));
#elif GOCHAN_WRONG == 6
  Select(1);
#elif GOCHAN_WRONG == 7
  Select(RecvCase(odd, [](NoDefault) {}));
#elif GOCHAN_WRONG == 8
  Select(SendFrom(recv, &value));
#endif
}

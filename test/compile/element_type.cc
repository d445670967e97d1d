// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Element types that a channel refuses (see compile_fail_test.sh).
//
// GOCHAN_WRONG=1: must be nothrow-move-constructible
// GOCHAN_WRONG=2: must be nothrow-destructible
// GOCHAN_WRONG=3: must be an object type
// GOCHAN_WRONG=4: must be an object type
// GOCHAN_WRONG=5: use RecvOptional
// GOCHAN_WRONG=6: use TryRecvOptional
// GOCHAN_WRONG=7: must be nothrow-move-constructible

#include "chan/chan.h"

#ifndef GOCHAN_WRONG
#define GOCHAN_WRONG 0
#endif

struct ThrowingMove {
  ThrowingMove() = default;
  ThrowingMove(ThrowingMove&&) noexcept(GOCHAN_WRONG != 1) {}
};
struct CopyOnly {  // its "move" is a copy that may throw
  CopyOnly() = default;
  CopyOnly(const CopyOnly&) noexcept(GOCHAN_WRONG != 7) {}
};
struct ThrowingEnd {
  ThrowingEnd() = default;
  ThrowingEnd(ThrowingEnd&&) noexcept {}
  ~ThrowingEnd() noexcept(GOCHAN_WRONG != 2) {}
};
struct NoDefault {
  explicit NoDefault(int) {}
};

void Use() {
  auto a = gochan::MakeChan<ThrowingMove>();
  auto b = gochan::MakeChan<CopyOnly>();
  auto c = gochan::MakeChan<ThrowingEnd>();
  auto d = gochan::MakeChan<NoDefault>();
  d.RecvOptional();
  d.TryRecvOptional();
#if GOCHAN_WRONG == 3
  gochan::MakeChan<const int>();
#elif GOCHAN_WRONG == 4
  gochan::MakeChan<int&>();
#elif GOCHAN_WRONG == 5
  d.Recv();
#elif GOCHAN_WRONG == 6
  d.TryRecv();
#endif
}

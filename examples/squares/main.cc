// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// squares: the program of the README's first screen, kept compiling.

#include <cstdio>

#include "gochan.h"

int main() {
  using namespace gochan;
  return RunMain([] {
    auto [ctx, cancel] = WithTimeout(Background(), absl::Seconds(60));
    Chan<int> work = MakeChan<int>(), squares = MakeChan<int>(16);

    Go([ctx = ctx, work, squares] {
      int n;
      bool ok;
      while (Select(RecvCase(work, &n, &ok), DoneCase(ctx)) == 0 && ok) {
        squares.Send(n * n);  // blocks while 16 are waiting
      }
      squares.Close();  // ends the range below
    });
    Go([ctx = ctx, work] {
      for (int i = 1; i <= 10; ++i) {
        if (Select(SendCase(work, i), DoneCase(ctx)) == 1) return;  // bounded
      }
      work.Close();
    });

    for (int n : squares) std::printf("%d\n", n);
  });
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// A program outside the library that touches each of its public parts.

#include <iostream>
#include <thread>

#include "chan/chan.h"
#include "ctx/context.h"
#include "gochan.h"
#include "select/select.h"

int main() {
  auto ch = gochan::MakeChan<int>();
  auto [ctx, cancel] = gochan::WithCancel(gochan::Background());
  std::thread sender([ch] {
    for (int i = 1; i <= 3; ++i) ch.Send(i);
    ch.Close();
  });

  int sum = 0;
  for (bool open = true; open;) {
    gochan::Select(gochan::RecvCase(ch,
                                    [&](int v, bool ok) {
                                      sum += v;
                                      open = ok;
                                    }),
                   gochan::DoneCase(ctx));
  }
  sender.join();
  cancel();
  const size_t chosen =
      gochan::Select(gochan::DoneCase(ctx),
                     gochan::RecvCase(ch.IsNil() ? ch : decltype(ch)()));
  std::cout << "sum " << sum << ", " << ctx.Err() << "\n";
  return sum == 6 && chosen == 0 && !ctx.Err().ok() ? 0 : 1;
}

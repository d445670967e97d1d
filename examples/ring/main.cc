// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// ring: a ball goes round a ring of 100,000 goroutines, or as many as the
// argument says; main.go is the same program in Go.
//
//   main ----> player ----> player ----> … ----> player ----.
//     ^                                                     |
//     '-----------------------------------------------------'
//
// A blocked goroutine costs a page of memory and a pass some nanoseconds, so
// this is nothing that a program need be shy of.

#include <cstdio>
#include <cstdlib>

#include "chan/chan.h"
#include "go/go.h"

namespace {

using gochan::Chan;
using gochan::Go;
using gochan::MakeChan;
using gochan::RecvChan;
using gochan::SendChan;

// Passes the ball on until its neighbour has no more, and says so to the next.
void Player(RecvChan<int> from, SendChan<int> to) {
  for (int hits : from) to.Send(hits + 1);
  to.Close();
}

void Main(int players) {
  const Chan<int> first = MakeChan<int>();
  Chan<int> last = first;
  for (int i = 0; i < players; ++i) {
    Chan<int> next = MakeChan<int>();
    Go(Player, last, next);
    last = next;
  }
  int hits = 0;
  for (int round = 1; round <= 3; ++round) {
    first.Send(hits);
    hits = last.Recv().value;
    std::printf("round %d: %d hits\n", round, hits);
  }
  first.Close();
  while (last.Recv().ok) {
  }
  std::printf("all have left\n");
}

}  // namespace

int main(int argc, char** argv) {
  const int players = argc > 1 ? std::atoi(argv[1]) : 100'000;
  return gochan::RunMain([players] { Main(players); });
}

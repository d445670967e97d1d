// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// sieve: the first primes, found by a chain of goroutines; main.go is the same
// program in Go.
//
//   numbers ----> multiples of 2 ----> multiples of 3 ----> … ----> main
//   2 3 4 5 …     are held back        are held back
//
// What comes out of the chain is divided by no prime so far, so it is one; a
// goroutine for it is added to the end. The idea is D. McIlroy's.

#include <cstdio>

#include "chan/chan.h"
#include "go/go.h"

namespace {

using gochan::Chan;
using gochan::Go;
using gochan::MakeChan;
using gochan::RecvChan;
using gochan::SendChan;

// Sends 2, 3, 4, …
void Generate(SendChan<int> out) {
  for (int i = 2;; ++i) out.Send(i);
}

// Lets pass what `prime` does not divide.
void Filter(RecvChan<int> in, SendChan<int> out, int prime) {
  for (int i : in) {
    if (i % prime != 0) out.Send(i);
  }
}

void Main() {
  Chan<int> ch = MakeChan<int>();
  Go(Generate, ch);
  for (int n = 0; n < 100; ++n) {
    const int prime = ch.Recv().value;
    std::printf("%d\n", prime);
    Chan<int> next = MakeChan<int>();
    Go(Filter, ch, next, prime);
    ch = next;
  }
  // The program ends with main, whatever the others wait for.
}

}  // namespace

int main() { return gochan::RunMain(Main); }

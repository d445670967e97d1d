// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Views offer one direction, and there is no way back (see
// compile_fail_test.sh). The texts are those of the compilers; what counts is
// that it does not compile.
//
// GOCHAN_WRONG=1: Send
// GOCHAN_WRONG=2: Close
// GOCHAN_WRONG=3: Recv
// GOCHAN_WRONG=4: RecvChan
// GOCHAN_WRONG=5: SendChan
// GOCHAN_WRONG=6: Chan
// GOCHAN_WRONG=7: Chan

#include "chan/chan.h"

#ifndef GOCHAN_WRONG
#define GOCHAN_WRONG 0
#endif

void Use(gochan::Chan<int> ch) {
  gochan::SendChan<int> send = ch;
  gochan::RecvChan<int> recv = ch;
  send.Send(1);
  recv.Recv();
#if GOCHAN_WRONG == 1
  recv.Send(1);
#elif GOCHAN_WRONG == 2
  recv.Close();
#elif GOCHAN_WRONG == 3
  send.Recv();
#elif GOCHAN_WRONG == 4
  gochan::SendChan<int> from_recv = recv;
#elif GOCHAN_WRONG == 5
  gochan::RecvChan<int> from_send = send;
#elif GOCHAN_WRONG == 6
  gochan::Chan<int> back = send;
#elif GOCHAN_WRONG == 7
  ch = recv;
#endif
}

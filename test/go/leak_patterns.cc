// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// docs/leaks.md quotes what stands between "// [name]" and "// [end]";
// `./run lint` compares the two.

#include "test/go/leak_patterns.h"

#include <functional>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "select/bounded.h"
#include "select/select.h"

namespace gochan::leak_patterns {

// -----------------------------------------------------------------------------
// Range without close
// -----------------------------------------------------------------------------

namespace broken {

// [range, broken]
int SumOfSquares(int n, int workers) {
  Chan<int> numbers = MakeChan<int>();
  Chan<int> squares = MakeChan<int>();
  for (int i = 0; i < workers; ++i) {
    Go([numbers, squares] {
      for (int number : numbers) squares.Send(number * number);
    });
  }
  Go([numbers, n] {
    for (int i = 1; i <= n; ++i) numbers.Send(i);
  });
  int sum = 0;
  for (int i = 1; i <= n; ++i) sum += squares.Recv().value;
  return sum;
}
// [end]
const Lines kSumOfSquares = {__LINE__ - 12, __LINE__ - 11};

}  // namespace broken

namespace fixed {

// [range, fixed]
int SumOfSquares(int n, int workers) {
  Chan<int> numbers = MakeChan<int>();
  Chan<int> squares = MakeChan<int>();
  for (int i = 0; i < workers; ++i) {
    Go([numbers, squares] {
      for (int number : numbers) squares.Send(number * number);
    });
  }
  Go([numbers, n] {
    for (int i = 1; i <= n; ++i) numbers.Send(i);
    numbers.Close();  // who sends closes
  });
  int sum = 0;
  for (int i = 1; i <= n; ++i) sum += squares.Recv().value;
  return sum;
}
// [end]

}  // namespace fixed

// -----------------------------------------------------------------------------
// Start without Stop
// -----------------------------------------------------------------------------

namespace broken {

// [stop, broken]
class Mailbox {
 public:
  void Start() {
    Go([mail = mail_, stop = stop_] {
      while (Select(RecvCase(mail), RecvCase(stop)) == 0) {
      }
    });
  }
  void Stop() { stop_.Close(); }
  void Post(int letter) { mail_.Send(letter); }

 private:
  Chan<int> mail_ = MakeChan<int>();
  Chan<Unit> stop_ = MakeChan<Unit>();
};

void UseMailbox() {
  Mailbox mailbox;
  mailbox.Start();
  mailbox.Post(1);
}  // and nobody has called Stop()
// [end]
const Lines kUseMailbox = {__LINE__ - 19, __LINE__ - 18};

}  // namespace broken

namespace fixed {

// [stop, fixed]
class Mailbox {
 public:
  Mailbox() {
    Context ctx;
    std::tie(ctx, stop_) = WithCancel(Background());
    Go([mail = mail_, ctx] {
      while (Select(RecvCase(mail), DoneCase(ctx)) == 0) {
      }
    });
  }
  void Post(int letter) { mail_.Send(letter); }

 private:
  Chan<int> mail_ = MakeChan<int>();
  CancelFunc stop_;  // cancels when the mailbox ends
};

void UseMailbox() {
  Mailbox mailbox;
  mailbox.Post(1);
}
// [end]

}  // namespace fixed

// -----------------------------------------------------------------------------
// Double send
// -----------------------------------------------------------------------------

namespace broken {

// [double send, broken]
absl::StatusOr<int> Fetch(bool fails) {
  Chan<absl::StatusOr<int>> result = MakeChan<absl::StatusOr<int>>();
  Go([result, fails] {
    if (fails) result.Send(absl::UnavailableError("no page"));
    result.Send(42);  // nobody receives a second time
  });
  return *result.RecvOptional();
}
// [end]
const Lines kFetch = {__LINE__ - 7, __LINE__ - 5};

}  // namespace broken

namespace fixed {

// [double send, fixed]
absl::StatusOr<int> Fetch(bool fails) {
  Chan<absl::StatusOr<int>> result = MakeChan<absl::StatusOr<int>>();
  Go([result, fails] {
    if (fails) {
      result.Send(absl::UnavailableError("no page"));
      return;
    }
    result.Send(42);
  });
  return *result.RecvOptional();
}
// [end]

}  // namespace fixed

// -----------------------------------------------------------------------------
// Early return
// -----------------------------------------------------------------------------

namespace broken {

// [early return, broken]
absl::StatusOr<int> Handle(int request) {
  Chan<int> answer = MakeChan<int>();
  Go([answer, request] { answer.Send(2 * request); });
  if (request < 0) return absl::InvalidArgumentError("negative");
  return answer.Recv().value;
}
// [end]
const Lines kHandle = {__LINE__ - 5, __LINE__ - 5};

}  // namespace broken

namespace fixed {

// [early return, fixed]
absl::StatusOr<int> Handle(int request) {
  Chan<int> answer = MakeChan<int>(1);  // the sender needs nobody
  Go([answer, request] { answer.Send(2 * request); });
  if (request < 0) return absl::InvalidArgumentError("negative");
  return answer.Recv().value;
}
// [end]

}  // namespace fixed

// -----------------------------------------------------------------------------
// The first of n
// -----------------------------------------------------------------------------

namespace broken {

// [first of n, broken]
int FirstAnswer(int replicas) {
  Chan<int> answers = MakeChan<int>();
  for (int replica = 0; replica < replicas; ++replica) {
    Go([answers, replica] { answers.Send(replica); });
  }
  return answers.Recv().value;
}
// [end]
const Lines kFirstAnswer = {__LINE__ - 5, __LINE__ - 5};

}  // namespace broken

namespace fixed {

// [first of n, fixed]
int FirstAnswer(int replicas) {
  Chan<int> answers = MakeChan<int>(replicas);  // room for all
  for (int replica = 0; replica < replicas; ++replica) {
    Go([answers, replica] { answers.Send(replica); });
  }
  return answers.Recv().value;
}
// [end]

}  // namespace fixed

// -----------------------------------------------------------------------------
// Time-out
// -----------------------------------------------------------------------------

namespace broken {

// [time-out, broken]
absl::StatusOr<int> Ask(const Context& ctx, std::function<int()> answer) {
  Chan<int> answers = MakeChan<int>();
  Go([answers, answer] {
    const int found = answer();
    answers.Send(found);
  });
  int found = 0;
  if (Select(RecvCase(answers, &found), DoneCase(ctx)) == 1) return ctx.Err();
  return found;
}
// [end]
const Lines kAsk = {__LINE__ - 9, __LINE__ - 7};

}  // namespace broken

namespace fixed {

// [time-out, fixed]
absl::StatusOr<int> Ask(const Context& ctx, std::function<int()> answer) {
  Chan<int> answers = MakeChan<int>();
  Go([answers, answer, ctx] {
    const int found = answer();
    (void)SendOr(ctx, answers, found);  // gives up when the caller does
  });
  int found = 0;
  if (Select(RecvCase(answers, &found), DoneCase(ctx)) == 1) return ctx.Err();
  return found;
}
// [end]

}  // namespace fixed

}  // namespace gochan::leak_patterns

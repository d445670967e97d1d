// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "examples/leaky_service/patterns.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "go/time.h"
#include "gochan.h"

namespace leaky {

namespace {

using gochan::Chan;
using gochan::Go;
using gochan::GoOptions;
using gochan::MakeChan;
using gochan::Select;

constexpr int kWorkers = 3;
constexpr int kReplicas = 3;

// -----------------------------------------------------------------------------
// orders: workers range over a channel that nobody closes
// -----------------------------------------------------------------------------

std::string Orders(bool broken) {
  auto orders = MakeChan<int>();
  auto prices = MakeChan<int>();
  for (int i = 0; i < kWorkers; ++i) {
    Go(GoOptions{.name = "order worker"}, [orders, prices] {
      for (int order : orders) prices.Send(10 * order);
    });
  }
  int total = 0;
  for (int order = 1; order <= 5; ++order) {
    orders.Send(std::move(order));
    total += prices.Recv().value;
  }
  // The line that is missing: now the workers wait for more.
  if (!broken) orders.Close();
  return "that makes " + std::to_string(total);
}

// -----------------------------------------------------------------------------
// session: Start() without Stop()
// -----------------------------------------------------------------------------

class Session {
 public:
  void Start() {
    Go(GoOptions{.name = "session"}, [events = events_, stop = stop_] {
      for (bool stopped = false; !stopped;) {
        Select(RecvCase(events, [](int) {}),
               RecvCase(stop, [&] { stopped = true; }));
      }
    });
  }
  void Stop() { stop_.Close(); }
  void Click(int what) { events_.Send(what); }

 private:
  Chan<int> events_ = MakeChan<int>();
  Chan<gochan::Unit> stop_ = MakeChan<gochan::Unit>();
};

std::string OneSession(bool broken) {
  Session session;
  session.Start();
  session.Click(1);
  if (!broken) session.Stop();
  return "clicked";
}

// -----------------------------------------------------------------------------
// upload: two sends where one is received
// -----------------------------------------------------------------------------

std::string Upload(bool broken) {
  auto result = MakeChan<std::string>();
  Go(GoOptions{.name = "upload"}, [result, broken] {
    const bool disk_is_full = true;
    if (disk_is_full) {
      result.Send("the disk is full");
      // The line that is missing.
      if (!broken) return;
    }
    result.Send("uploaded");
  });
  return result.Recv().value;
}

// -----------------------------------------------------------------------------
// report: an early return before the receive
// -----------------------------------------------------------------------------

std::string Report(bool broken) {
  // Room for the row, whether somebody takes it or not, mends it.
  auto rows = MakeChan<int>(broken ? 0 : 1);
  Go(GoOptions{.name = "report query"}, [rows] { rows.Send(42); });
  const bool may_read_reports = false;
  if (!may_read_reports) return "you may not read reports";
  return std::to_string(rows.Recv().value);
}

// -----------------------------------------------------------------------------
// search: N send, the first answer is taken
// -----------------------------------------------------------------------------

std::string Search(bool broken) {
  auto answers = MakeChan<std::string>(broken ? 0 : kReplicas);
  for (int replica = 0; replica < kReplicas; ++replica) {
    Go(GoOptions{.name = "search replica"}, [answers, replica] {
      answers.Send("found by replica " + std::to_string(replica));
    });
  }
  return answers.Recv().value;
}

// -----------------------------------------------------------------------------
// quote: a time-out walks away from a sender
// -----------------------------------------------------------------------------

std::string Quote(bool broken) {
  auto quote = MakeChan<int>(broken ? 0 : 1);
  Go(GoOptions{.name = "quote backend"}, [quote] {
    gochan::Sleep(absl::Milliseconds(50));
    quote.Send(99);
  });
  std::string answer;
  Select(RecvCase(quote, [&](int price) { answer = std::to_string(price); }),
         gochan::TimeoutCase(absl::Milliseconds(5),
                             [&] { answer = "no quote in time"; }));
  return answer;
}

}  // namespace

const std::vector<Pattern>& Patterns() {
  static const std::vector<Pattern>& patterns = *new std::vector<Pattern>{
      {"orders", "workers range over a channel that nobody closes", kWorkers,
       &Orders},
      {"session", "started and never stopped", 1, &OneSession},
      {"upload", "two sends where one is received", 1, &Upload},
      {"report", "an early return before the receive", 1, &Report},
      {"search", "three replicas answer, one answer is taken", kReplicas - 1,
       &Search},
      {"quote", "a time-out walks away from a sender", 1, &Quote},
  };
  return patterns;
}

}  // namespace leaky

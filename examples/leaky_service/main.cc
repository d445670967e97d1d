// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// leaky_service [--port=8080] [--leak=all|NAME,...]
//
// A small HTTP service that leaks goroutines on request, to look at with
// /debug/, /metrics and `go tool pprof`. README.md says what to try.
//
// Its requests come in on the HTTP library's own threads, which use channels
// and start goroutines as any thread may.

#include <httplib.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "examples/leaky_service/patterns.h"
#include "go/time.h"
#include "gochan.h"

namespace {

struct Flags {
  int port = 8080;
  std::set<std::string> broken;
};

[[noreturn]] void Usage() {
  std::fputs(
      "usage: leaky_service [--port=8080] [--leak=all|NAME,...]\n"
      "  --port=0   some port that is free\n"
      "names:\n",
      stderr);
  for (const leaky::Pattern& pattern : leaky::Patterns()) {
    std::fprintf(stderr, "  %-10s %s\n", pattern.name, pattern.what);
  }
  std::exit(2);
}

Flags ParseFlags(int argc, char** argv) {
  Flags flags;
  std::set<std::string> names;
  for (const leaky::Pattern& pattern : leaky::Patterns()) {
    names.insert(pattern.name);
  }
  for (int i = 1; i < argc; ++i) {
    const std::vector<std::string> flag =
        absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    if (flag.size() == 2 && flag[0] == "--port") {
      if (!absl::SimpleAtoi(flag[1], &flags.port)) Usage();
    } else if (flag.size() == 2 && flag[0] == "--leak") {
      for (const auto name : absl::StrSplit(flag[1], ',')) {
        if (name == "all") {
          flags.broken = names;
        } else if (names.count(std::string(name)) != 0) {
          flags.broken.emplace(name);
        } else {
          Usage();
        }
      }
    } else {
      Usage();
    }
  }
  return flags;
}

std::string IndexPage(const Flags& flags) {
  std::string page =
      "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>leaky "
      "service</title><style>:root{color-scheme:light dark}body{font:15px/1.6 "
      "system-ui,sans-serif;max-width:640px;margin:40px auto;padding:0 20px}"
      "td{padding:3px 16px 3px 0}b{color:#c02b33}</style><h1>Leaky "
      "service</h1><p>Each request to one of these leaks goroutines, if its "
      "name was given to <code>--leak</code>.</p><table>";
  for (const leaky::Pattern& pattern : leaky::Patterns()) {
    const bool broken = flags.broken.count(pattern.name) != 0;
    absl::StrAppend(
        &page, "<tr><td><a href=\"/", pattern.name, "\">/", pattern.name,
        "</a> <a href=\"/", pattern.name, "?n=100\">×100</a><td>",
        broken ? absl::StrCat("<b>leaks ", pattern.leaks, "</b>") : "mended",
        "<td>", pattern.what, "</tr>");
  }
  return page +
         "</table><p>Then look at <a href=\"/debug/\">/debug/</a>.</p></html>";
}

// What an honest service has: goroutines that wait for what may yet come.
class Background {
 public:
  Background() {
    for (int i = 0; i < 2; ++i) {
      gochan::Go(gochan::GoOptions{.name = "mailer"}, [jobs = jobs_] {
        for (const std::string& mail : jobs) (void)mail;
      });
    }
    gochan::Go(gochan::GoOptions{.name = "cache refresher"},
               [ticker = ticker_, stop = stop_] {
                 for (bool stopped = false; !stopped;) {
                   gochan::Select(RecvCase(ticker.C(), [](absl::Time) {}),
                                  RecvCase(stop, [&] { stopped = true; }));
                 }
               });
  }
  ~Background() {
    jobs_.Close();
    stop_.Close();
  }
  void Mail(std::string text) { jobs_.Send(std::move(text)); }

 private:
  gochan::Chan<std::string> jobs_ = gochan::MakeChan<std::string>(16);
  gochan::Chan<gochan::Unit> stop_ = gochan::MakeChan<gochan::Unit>();
  gochan::Ticker ticker_{absl::Seconds(1)};
};

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  Background background;
  httplib::Server server;

  server.Get("/", [&](const httplib::Request&, httplib::Response& response) {
    response.set_content(IndexPage(flags), "text/html; charset=utf-8");
  });
  for (const leaky::Pattern& pattern : leaky::Patterns()) {
    const bool broken = flags.broken.count(pattern.name) != 0;
    server.Get(absl::StrCat("/", pattern.name),
               [&background, &pattern, broken](const httplib::Request& request,
                                               httplib::Response& response) {
                 int times = 1;
                 if (request.has_param("n") &&
                     !absl::SimpleAtoi(request.get_param_value("n"), &times)) {
                   times = 1;
                 }
                 std::string answer;
                 for (int i = 0; i < times; ++i) {
                   answer = pattern.handle(broken);
                 }
                 background.Mail(answer);
                 response.set_content(answer + "\n", "text/plain");
               });
  }

  // All that production needs: the pages, a history for their graphs, somebody
  // who looks for leaks, and a profile of where time is spent blocked.
  server.Get("/metrics|/debug.*", [](const httplib::Request& request,
                                     httplib::Response& response) {
    const gochan::DebugResponse answer = gochan::HandleDebug(request.target);
    response.status = answer.status;
    response.set_content(answer.body, answer.content_type.c_str());
  });
  const gochan::DebugHistory history(absl::Seconds(1));
  const gochan::LeakWatchdog watchdog({.interval = absl::Seconds(2)});
  gochan::SetBlockProfileRate(1'000'000);

  auto signals = gochan::MakeChan<int>(1);
  gochan::Notify(signals, {SIGINT, SIGTERM});
  gochan::Go(gochan::GoOptions{.name = "signals"}, [signals, &server] {
    signals.Recv();
    gochan::Blocking([&] { server.stop(); });
  });

  const int port =
      flags.port != 0 && server.bind_to_port("localhost", flags.port)
          ? flags.port
      : flags.port == 0 ? server.bind_to_any_port("localhost")
                        : -1;
  if (port <= 0) {
    std::fprintf(stderr, "leaky_service: cannot listen on port %d\n",
                 flags.port);
    return 1;
  }
  std::printf("http://localhost:%d/  then  http://localhost:%d/debug/\n", port,
              port);
  std::fflush(stdout);
  return server.listen_after_bind() ? 0 : 1;
}

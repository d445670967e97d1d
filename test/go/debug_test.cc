// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/debug.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "chan/chan.h"
#include "go/debug_page.h"
#include "go/go.h"
#include "go/inspect.h"
#include "go/profile.h"
#include "gtest/gtest.h"
#include "test/util/parties.h"
#include "test/util/patience.h"
#include "test/util/pprof.h"
#include "test/util/scale.h"

namespace gochan {
namespace {

// -----------------------------------------------------------------------------
// HTML
// -----------------------------------------------------------------------------

// Every element that begins also ends, in order, and no bare "<" or "&" is in a
// text; nothing is loaded from anywhere.
void CheckPage(const std::string& html) {
  static constexpr std::string_view kVoid[] = {"meta", "br", "path", "circle"};
  std::vector<std::string> open;
  std::string_view in = html;
  ASSERT_EQ(in.substr(0, 16), "<!DOCTYPE html>\n");
  in.remove_prefix(16);
  while (!in.empty()) {
    const std::size_t next = in.find_first_of("<&");
    if (next == std::string_view::npos) break;
    in.remove_prefix(next);
    if (in[0] == '&') {
      const std::string_view entity = in.substr(0, in.find(';') + 1);
      EXPECT_TRUE(entity == "&amp;" || entity == "&lt;" || entity == "&gt;" ||
                  entity == "&quot;" || entity == "&#39;")
          << in.substr(0, 20);
      in.remove_prefix(1);
      continue;
    }
    const std::size_t end = in.find('>');
    ASSERT_NE(end, std::string_view::npos) << in.substr(0, 40);
    std::string_view tag = in.substr(1, end - 1);
    in.remove_prefix(end + 1);
    const bool closes = tag.front() == '/';
    if (closes) tag.remove_prefix(1);
    const std::string name(tag.substr(0, tag.find_first_of(" /\n")));
    ASSERT_NE(name, "") << tag;
    if (closes) {
      ASSERT_FALSE(open.empty()) << name;
      ASSERT_EQ(open.back(), name);
      open.pop_back();
    } else if (tag.back() != '/' &&
               std::find(std::begin(kVoid), std::end(kVoid), name) ==
                   std::end(kVoid)) {
      open.push_back(name);
      if (name == "style") in.remove_prefix(in.find("</style>"));
    }
  }
  EXPECT_TRUE(open.empty()) << open.back();
  for (const char* foreign : {"<script", "<link", "<img", "@import", "url(",
                              "src=", "://cdn", "href=\"http"}) {
    EXPECT_EQ(html.find(foreign), std::string::npos) << foreign;
  }
}

int Occurrences(std::string_view text, std::string_view of) {
  int n = 0;
  for (std::size_t at = text.find(of); at != std::string_view::npos;
       at = text.find(of, at + of.size())) {
    ++n;
  }
  return n;
}

internal::DebugView SomeView() {
  internal::DebugView view;
  view.program = "server";
  view.pid = 17;
  view.now = absl::FromUnixSeconds(1'800'000'000);
  view.stats.live = 1'234'567;
  return view;
}

TEST(DebugPageTest, Empty) {
  const std::string page = internal::RenderDebugPage(SomeView());
  CheckPage(page);
  EXPECT_NE(page.find("pid 17"), std::string::npos);
  EXPECT_NE(page.find("1,234,567"), std::string::npos);
  EXPECT_NE(page.find("None: whoever is blocked may still be woken."),
            std::string::npos);
  EXPECT_EQ(page.find("http-equiv"), std::string::npos);
}

TEST(DebugPageTest, EscapesWhatProgramsName) {
  internal::DebugView view = SomeView();
  view.program = "<b>&\"'";
  internal::DebugGroup group;
  group.what = "chan receive";
  group.place = {"Box<int>::Get()", "a<b>.cc", 3};
  group.count = 2;
  group.proof = "<proof>";
  internal::DebugStack stack;
  stack.count = 2;
  stack.ids = {8, 9};
  stack.one.name = "<script>alert(1)</script>";
  stack.one.labels = {{"<key>", "\"><script>"}};
  stack.one.waits_on = {{.object = &view,
                         .direction = "receive",
                         .element_type = "std::vector<int>",
                         .capacity = 4,
                         .length = 0}};
  stack.one.stack = {group.place, {"main()", "server+0x12<", 0}};
  stack.one.created_at = {"std::map<a, b>::f()", "c.cc", 1};
  group.stacks = {stack};
  view.blocked = {group};
  view.leaks = {group};
  view.leaked = 2;
  const std::string page = internal::RenderDebugPage(view);
  CheckPage(page);
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;alert(1)"), std::string::npos);
  EXPECT_NE(page.find("std::vector&lt;int&gt;"), std::string::npos);
  EXPECT_NE(page.find(">&lt;proof&gt;</pre>"), std::string::npos);
  EXPECT_NE(page.find("0 of 4 buffered"), std::string::npos);
  // Without a line number none is shown.
  EXPECT_NE(page.find(">server+0x12&lt;</span>"), std::string::npos);
}

TEST(DebugPageTest, GraphsOfManyPoints) {
  internal::DebugView view = SomeView();
  for (int i = 0; i < 720; ++i) {
    view.history.push_back({view.now - absl::Seconds(5 * (719 - i)), 1000 + i,
                            i, std::size_t(i) << 20, i < 500 ? -1 : i - 500});
  }
  view.refresh_seconds = 5;
  const std::string page = internal::RenderDebugPage(view);
  CheckPage(page);
  EXPECT_EQ(Occurrences(page, "<svg "), 2);
  // All, blocked, leaked; bytes.
  EXPECT_EQ(Occurrences(page, "<path class=\"line "), 4);
  EXPECT_EQ(Occurrences(page, "<path class=\"area "), 2);
  EXPECT_NE(page.find(">2,000</text>"), std::string::npos);  // the axes
  EXPECT_NE(page.find(">768 MiB</text>"), std::string::npos);
  EXPECT_NE(page.find(">59 min ago</text>"), std::string::npos);
  EXPECT_NE(page.find("http-equiv=\"refresh\" content=\"5\""),
            std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find("inf"), std::string::npos);
}

TEST(DebugPageTest, NoMoreThanSomePlaces) {
  internal::DebugView view = SomeView();
  for (int i = 0; i < 1000; ++i) {
    internal::DebugGroup group;
    group.what = "select";
    group.place = {"F()", "f.cc", i + 1};
    group.count = 1;
    view.blocked.push_back(group);
  }
  const std::string page = internal::RenderDebugPage(view);
  CheckPage(page);
  EXPECT_EQ(Occurrences(page, "<details>"), 200);
  EXPECT_NE(page.find("and 800 more places"), std::string::npos);
}

// -----------------------------------------------------------------------------
// HandleDebug()
// -----------------------------------------------------------------------------

using DebugTest = test::WithParties<>;
GOCHAN_FOR_ALL_WORKERS(DebugTest);

void AwaitBlocked(int line, int64_t n) {
  test::Patience patience;
  for (;;) {
    int64_t blocked = 0;
    for (const GoroutineInfo& info : Goroutines()) {
      blocked +=
          info.state == "waiting" && info.blocked_at.line == line ? 1 : 0;
    }
    if (blocked == n) return;
    patience.Wait([] { return "not all are blocked:\n" + GoroutineDump(); });
  }
}

PARTY_TEST(DebugTest, Paths) {
  const DebugResponse metrics = HandleDebug("/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics.body.find("\ngochan_goroutines "), std::string::npos);

  for (const char* path : {"/debug", "/debug/", "/debug/?x=1"}) {
    const DebugResponse page = HandleDebug(path);
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
    CheckPage(page.body);
  }
  EXPECT_NE(HandleDebug("/debug/?refresh=7").body.find("content=\"7\""),
            std::string::npos);

  const DebugResponse goroutine = HandleDebug("/debug/pprof/goroutine");
  EXPECT_EQ(goroutine.status, 200);
  EXPECT_EQ(goroutine.content_type, "application/octet-stream");
  EXPECT_EQ(test::ReadProfile(goroutine.body).default_sample_type, "goroutine");
  const DebugResponse groups = HandleDebug("/debug/pprof/goroutine?debug=1");
  EXPECT_EQ(groups.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(groups.body.rfind("goroutine profile: total ", 0), 0u);
  const DebugResponse all =
      HandleDebug("/debug/pprof/goroutine?seconds=0&debug=2");
  EXPECT_EQ(all.body.rfind("goroutine ", 0), 0u);
  EXPECT_NE(all.body.find("created by "), std::string::npos);

  EXPECT_EQ(test::ReadProfile(HandleDebug("/debug/pprof/goroutineleak").body)
                .default_sample_type,
            "goroutineleak");
  EXPECT_EQ(HandleDebug("/debug/pprof/goroutineleak?debug=1").content_type,
            "text/plain; charset=utf-8");
  EXPECT_EQ(test::ReadProfile(HandleDebug("/debug/pprof/block").body)
                .default_sample_type,
            "delay");

  for (const char* path :
       {"", "/", "/debugger", "/debug/pprof/heap", "/metrics/", "?"}) {
    const DebugResponse none = HandleDebug(path);
    EXPECT_EQ(none.status, 404) << path;
    EXPECT_NE(none.body.find("/debug/pprof/goroutine"), std::string::npos);
  }
}

PARTY_TEST(DebugTest, GroupsByWhereTheyBlock) {
  auto never = MakeChan<std::string>(3);
  test::Parties parties;
  constexpr int kLine = __LINE__ + 1;
  parties.GoEach(40, [&](int) { never.RecvOptional(); });
  AwaitBlocked(kLine, 40);
  const std::string page = HandleDebug("/debug/").body;
  CheckPage(page);
  const std::string place = "debug_test.cc:" + std::to_string(kLine);
  const std::size_t at = page.find(place, page.find("id=\"blocked\""));
  ASSERT_NE(at, std::string::npos) << page;
  // In its line: how many they are, and why. Below: one of their stacks.
  const std::size_t begin = page.rfind("<details>", at);
  const std::string group =
      page.substr(begin, page.find("</details>", at) - begin);
  EXPECT_NE(group.find("<b>40</b>"), std::string::npos) << group;
  EXPECT_NE(group.find(">chan receive<"), std::string::npos) << group;
  EXPECT_NE(group.find("0 of 3 buffered"), std::string::npos) << group;
  EXPECT_NE(group.find("like goroutine"), std::string::npos) << group;
  EXPECT_NE(group.find("<ol><li>"), std::string::npos) << group;
  EXPECT_NE(group.find("“party”"), std::string::npos) << group;
  EXPECT_NE(group.find("Stacks of "), std::string::npos) << group;
  never.Close();
}

PARTY_TEST(DebugTest, APageOfManyIsSmall) {
  auto never = MakeChan<Unit>();
  const int n = static_cast<int>(test::Scaled(5000));
  test::Parties parties(test::ScaledLimit());
  constexpr int kLine = __LINE__ + 1;
  parties.GoEach(n, [&](int) { never.Recv(); });
  AwaitBlocked(kLine, n);
  const std::string page = HandleDebug("/debug/").body;
  CheckPage(page);
  EXPECT_LT(page.size(), 200u << 10);
  never.Close();
}

// The graphs have a point for each request that is not too close to another,
// and for each tick of a DebugHistory.
PARTY_TEST(DebugTest, HistoryGoesOnByItself) {
  HandleDebug("/debug/");
  const DebugHistory history(absl::Milliseconds(120));
  test::Patience patience;
  // A line has two points at least.
  for (;;) {
    const std::string page = HandleDebug("/debug/").body;
    const std::size_t line = page.find("<path class=\"line blue\"");
    if (line != std::string::npos) {
      const std::string d = page.substr(line, page.find("/>", line) - line);
      if (Occurrences(d, "L") >= 3) break;
    }
    patience.Wait("the graph does not grow");
  }
}

PARTY_TEST(DebugTest, ByManyAtATime) {
  std::atomic<bool> stop = false;
  test::Parties parties;
  parties.GoEach(3, [&](int i) {
    static constexpr const char* kPaths[] = {"/debug/", "/metrics",
                                             "/debug/pprof/goroutine?debug=1"};
    for (int round = 0; round < 10; ++round) {
      EXPECT_EQ(HandleDebug(kPaths[(i + round) % 3]).status, 200);
    }
  });
  parties.Go([&] {
    while (!stop) {
      test::Parties inner;
      inner.GoEach(10, [](int) { Yield(); });
    }
  });
  for (int round = 0; round < 10; ++round) {
    CheckPage(HandleDebug("/debug/").body);
  }
  stop = true;
}

}  // namespace
}  // namespace gochan

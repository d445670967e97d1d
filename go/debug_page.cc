// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

#include "go/debug_page.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace gochan::internal {

namespace {

constexpr std::size_t kMaxGroups = 200;

// -----------------------------------------------------------------------------
// Text
// -----------------------------------------------------------------------------

std::string Escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// 1234567 as 1,234,567.
std::string Count(int64_t n) {
  std::string digits = absl::StrCat(n);
  const std::size_t sign = n < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string Bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit < std::size(kUnits) - 1) {
    bytes /= 1024;
    ++unit;
  }
  const bool whole = unit == 0 || bytes >= 100 || bytes == std::floor(bytes);
  return absl::StrFormat("%.*f %s", whole ? 0 : 1, bytes, kUnits[unit]);
}

std::string Bytes(std::size_t bytes) {
  return Bytes(static_cast<double>(bytes));
}

std::string Age(absl::Duration age) {
  const double seconds = absl::ToDoubleSeconds(age);
  if (seconds < 0.001) return "now";
  if (seconds < 0.9995) return absl::StrFormat("%.0f ms", seconds * 1e3);
  if (seconds < 9.95) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 120) return absl::StrCat(whole, " s");
  if (whole < 120 * 60) return absl::StrCat(whole / 60, " min");
  if (whole < 48 * 3600) return absl::StrCat(whole / 3600, " h");
  return absl::StrCat(Count(whole / 86400), " days");
}

std::string Plural(int64_t n, const char* noun) {
  return absl::StrCat(Count(n), " ", noun, n == 1 ? "" : "s");
}

// The last two parts of the path: the rest is the same for most.
std::string_view ShortFile(std::string_view file) {
  std::size_t at = file.size();
  for (int parts = 0; parts < 2; ++parts) {
    at = at == 0 ? std::string_view::npos : file.rfind('/', at - 1);
    if (at == std::string_view::npos) return file;
  }
  return file.substr(at + 1);
}

// The one name that everybody writes in another way than compilers do.
std::string ShortType(std::string type) {
  constexpr std::string_view kLong = "std::__cxx11::basic_string<char>";
  for (std::size_t at; (at = type.find(kLong)) != std::string::npos;) {
    type.replace(at, kLong.size(), "std::string");
  }
  return type;
}

// -----------------------------------------------------------------------------
// Parts
// -----------------------------------------------------------------------------

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;
--bg:#f5f6f8;--card:#fff;--ink:#1c2127;--soft:#5f6b78;--line:#e3e7ec;--code:#f0f2f5;
--blue:#2563eb;--teal:#0f8a7e;--red:#c02b33;--redbg:#fdf1f1;--green:#1a7f4b;--fill:.13}
@media(prefers-color-scheme:dark){:root{
--bg:#0e1217;--card:#161b22;--ink:#e5e9ef;--soft:#94a0ae;--line:#28303a;--code:#1d242d;
--blue:#74a8ff;--teal:#4ac7b8;--red:#ff8085;--redbg:#261a1e;--green:#58c78c;--fill:.2}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 56px}
a{color:var(--blue);text-decoration:none}a:hover{text-decoration:underline}
header{display:flex;flex-wrap:wrap;gap:8px 24px;align-items:end;justify-content:space-between}
h1{font-size:24px;line-height:1.25;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:17px;margin:34px 0 4px;letter-spacing:-.005em}
.soft{color:var(--soft)}p{margin:2px 0 12px}
nav{display:flex;flex-wrap:wrap;gap:4px 16px}
.num{font-variant-numeric:tabular-nums}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:20px 0 12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 16px}
.tile b{display:block;font-size:25px;line-height:1.3;font-weight:620;letter-spacing:-.015em}
.tile.bad{border-color:var(--red);background:var(--redbg)}.tile.bad b{color:var(--red)}
.tile.good b{color:var(--green)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:12px}
figure{margin:0;padding:12px 16px 8px}
figcaption{display:flex;justify-content:space-between;gap:12px;font-weight:600}
figcaption span{font-weight:400;color:var(--soft)}
svg{display:block;width:100%;height:auto;margin-top:6px}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}
.red{stroke:var(--red)}.blue{stroke:var(--blue)}.teal{stroke:var(--teal)}
path.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
path.dash{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:4 4}
path.blue.area{fill:var(--blue)}path.teal.area{fill:var(--teal)}path.area{stroke:none;opacity:var(--fill)}
circle{stroke:none}circle.blue{fill:var(--blue)}circle.teal{fill:var(--teal)}
.key{display:inline-block;width:16px;vertical-align:middle;border-top:2px solid var(--blue);margin:0 5px 2px 10px}
.key.leaked{border-color:var(--red)}
.key.dashed{border-top:2px dashed var(--soft)}
.list{overflow:hidden;margin-top:8px}
.head,summary{display:grid;grid-template-columns:96px minmax(0,1fr) 190px 84px 76px;gap:14px;align-items:center;padding:9px 16px 9px 34px}
.head{color:var(--soft);font-size:12px;border-bottom:1px solid var(--line);padding-top:7px;padding-bottom:7px}
.head>:nth-child(n+4),summary>:nth-child(n+4){text-align:right}
details+details{border-top:1px solid var(--line)}
summary{cursor:pointer;list-style:none;position:relative}
summary::-webkit-details-marker{display:none}
summary::before{content:"";position:absolute;left:16px;top:calc(50% - 4px);border:4px solid transparent;
border-left:6px solid var(--soft);transition:transform .12s;transform-origin:3px 4px}
details[open]>summary::before{transform:rotate(90deg)}
summary:hover,details[open]>summary{background:var(--code)}
summary:focus-visible{outline:2px solid var(--blue);outline-offset:-2px}
.count b{display:block;font-weight:620}
.bar{display:block;height:4px;border-radius:2px;background:var(--blue);opacity:.75;margin-top:2px;min-width:2px}
.leak .bar{background:var(--red)}
.fn{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.at{display:block;color:var(--soft);font-size:12.5px;overflow-wrap:anywhere}
.chip{display:inline-block;padding:1px 9px;border-radius:999px;background:var(--code);font-size:12.5px}
summary:hover .chip,details[open]>summary .chip{background:var(--card)}
.leak{border-color:var(--red)}.leak .chip{background:var(--redbg);color:var(--red)}
.body{padding:4px 16px 14px 34px;border-top:1px solid var(--line)}
.stack{margin-top:12px}
.stack ol{margin:6px 0 0;padding:8px 14px 8px 38px;background:var(--code);border-radius:8px}
.stack li{margin:1px 0}.stack li::marker{color:var(--soft);font-size:11.5px}
.stack .at{display:inline;margin-left:10px}
.kv{color:var(--soft);font-size:13px}.kv b{color:var(--ink);font-weight:600}
pre{margin:12px 0 0;padding:10px 14px;background:var(--code);border-radius:8px;overflow-x:auto;white-space:pre-wrap;
font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.note{padding:12px 16px;margin-top:8px}
table{border-collapse:collapse;width:100%}td,th{padding:6px 16px;text-align:left;font-weight:400}
th{color:var(--soft);font-size:12px}tr+tr>*{border-top:1px solid var(--line)}
td.num,th.num{text-align:right;white-space:nowrap}
.cols{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:2px 32px;padding:10px 16px}
.cols div{display:flex;justify-content:space-between;gap:12px;padding:3px 0}
.cols div span:first-child{color:var(--soft)}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--code);padding:1px 5px;border-radius:4px}
@media(max-width:760px){.head{display:none}
summary{grid-template-columns:72px minmax(0,1fr);gap:4px 12px}
summary>:nth-child(n+3){grid-column:2;text-align:left}}
)css";

class Page {
 public:
  explicit Page(const DebugView& view) : view_(view) {}

  std::string Render() {
    Head();
    Tiles();
    Charts();
    Leaks();
    Blocked();
    Others();
    Scheduler();
    BlockProfile();
    Add("</main>\n</body>\n</html>\n");
    return std::move(out_);
  }

 private:
  template <typename... Ts>
  void Add(const Ts&... parts) {
    (AddOne(parts), ...);
  }
  // Abseil's older versions know no std::string_view.
  void AddOne(std::string_view text) { out_ += text; }
  template <std::integral T>
  void AddOne(T number) {
    absl::StrAppend(&out_, number);
  }

  void Head() {
    const DebugView& v = view_;
    Add("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta "
        "charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, "
        "initial-scale=1\">\n");
    if (v.refresh_seconds > 0) {
      Add("<meta http-equiv=\"refresh\" content=\"", v.refresh_seconds,
          "\">\n");
    }
    Add("<title>", Escape(v.program), ": goroutines</title>\n<style>", kStyle,
        "</style>\n</head>\n<body>\n<main>\n<header><div><h1>",
        Escape(v.program), "</h1><div class=\"soft\">pid ", v.pid, " · ",
        absl::FormatTime("%e %b %Y, %H:%M:%S UTC", v.now, absl::UTCTimeZone()),
        "</div></div>\n<nav>");
    if (v.refresh_seconds > 0) {
      Add("<a href=\"/debug/\">stop reloading</a>");
    } else {
      Add("<a href=\"/debug/?refresh=5\">reload every 5 s</a>");
    }
    Add("<a href=\"/metrics\">metrics</a>"
        "<a href=\"/debug/pprof/goroutine?debug=1\">stacks</a>"
        "<a href=\"/debug/pprof/goroutine?debug=2\">all goroutines</a>"
        "<a href=\"/debug/pprof/goroutineleak?debug=1\">leaks</a></nav>"
        "</header>\n");
  }

  void Tile(std::string_view kind, std::string_view name,
            std::string_view value, std::string_view more) {
    Add("<div class=\"card tile", kind, "\"><span class=\"soft\">", name,
        "</span><b class=\"num\">", value, "</b><span class=\"soft num\">",
        more, "</span></div>\n");
  }

  void Tiles() {
    const RuntimeStats& s = view_.stats;
    Add("<section class=\"tiles\" aria-label=\"Summary\">\n");
    Tile("", "Goroutines", Count(s.live),
         absl::StrCat(Count(static_cast<int64_t>(s.spawned)), " ever"));
    Tile(view_.leaked > 0 ? " bad" : " good", "Leaked",
         view_.leaked > 0 ? Count(view_.leaked) : "none",
         view_.leaked > 0
             ? absl::StrCat(
                   "at ",
                   Plural(static_cast<int64_t>(view_.leaks.size()), "place"))
             : "proved by who could wake whom");
    Tile("", "Blocked", Count(s.blocked),
         s.oldest_blocked_id == 0
             ? std::string("nobody for long")
             : absl::StrCat("oldest ", Age(s.oldest_blocked_for),
                            ", goroutine ", s.oldest_blocked_id));
    Tile("", "Ready to run", Count(s.runnable),
         absl::StrCat(Count(s.running), " running on ",
                      Plural(s.workers, "worker")));
    Tile(
        "", "Stack memory", Bytes(s.stack_resident_bytes),
        s.stacks_in_use == 0
            ? std::string("no stack in use")
            : absl::StrCat(
                  Bytes(std::round(static_cast<double>(s.stack_resident_bytes) /
                                   static_cast<double>(s.stacks_in_use))),
                  " each"));
    Add("</section>\n");
  }

  // --- Graphs

  static constexpr double kWidth = 520;
  static constexpr double kHeight = 170;
  static constexpr double kLeft = 58;
  static constexpr double kRight = 10;
  static constexpr double kTop = 10;
  static constexpr double kBottom = 22;
  static constexpr absl::Duration kShortest = absl::Seconds(20);

  // The next of 1, 2, 5, 10, ... (of bytes: powers of two).
  static double Nice(double least, bool bytes) {
    if (least <= 1) return 1;
    if (bytes) return std::exp2(std::ceil(std::log2(least)));
    const double power = std::pow(10, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (power * factor >= least) return power * factor;
    }
    return power * 10;
  }

  // A graph of something, and the classes of its line.
  struct Line {
    const char* classes;
    std::function<double(const DebugPoint&)> value;
  };

  // The first line has the area below it; none is higher.
  void Chart(const char* caption, std::string_view note, bool bytes,
             const std::vector<Line>& lines) {
    const std::vector<DebugPoint>& points = view_.history;
    Add("<figure class=\"card\"><figcaption>", caption, "<span>", note,
        "</span></figcaption>\n<svg viewBox=\"0 0 ", static_cast<int>(kWidth),
        " ", static_cast<int>(kHeight), "\" role=\"img\" aria-label=\"",
        caption, " over time\">\n");
    double highest = 0;
    for (const DebugPoint& point : points) {
      highest = std::max(highest, lines.front().value(point));
    }
    const double step = Nice(std::max(highest, 1.0) / 3.5, bytes);
    const double top = step * std::max(1.0, std::ceil(highest / step));
    const auto y = [&](double v) {
      return kHeight - kBottom - v / top * (kHeight - kTop - kBottom);
    };
    for (double tick = 0; tick <= top; tick += step) {
      const std::string label =
          bytes ? Bytes(tick) : Count(static_cast<int64_t>(tick));
      absl::StrAppendFormat(
          &out_,
          "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/>"
          "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
          kLeft, y(tick), kWidth - kRight, kLeft - 8, y(tick) + 4, label);
    }
    const absl::Time end = points.empty() ? view_.now : points.back().time;
    const absl::Duration span =
        points.empty() ? kShortest
                       : std::max(kShortest, end - points.front().time);
    const auto x = [&](const DebugPoint& point) {
      const double share = absl::FDivDuration(end - point.time, span);
      return kWidth - kRight - share * (kWidth - kLeft - kRight);
    };
    absl::StrAppendFormat(
        &out_,
        "<text x=\"%.0f\" y=\"%.0f\">%s ago</text>"
        "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">now</text>\n",
        kLeft, kHeight - 5, Age(span), kWidth - kRight, kHeight - 5);
    for (const Line& line : lines) {
      std::string d;
      for (const DebugPoint& point : points) {
        absl::StrAppendFormat(&d, "%s%.1f %.1f", d.empty() ? "M" : "L",
                              x(point), y(line.value(point)));
      }
      if (points.size() > 1 && &line == &lines.front()) {
        absl::StrAppendFormat(&out_,
                              "<path class=\"area %s\" d=\"%sV%.1fH%.1fZ\"/>\n",
                              line.classes, d, y(0), x(points.front()));
      }
      if (points.size() > 1) {
        Add("<path class=\"line ", line.classes, "\" d=\"", d, "\"/>\n");
      }
    }
    if (!points.empty()) {
      absl::StrAppendFormat(
          &out_, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
          lines.front().classes, x(points.back()),
          y(lines.front().value(points.back())));
    }
    Add("</svg></figure>\n");
  }

  void Charts() {
    std::vector<Line> lines = {
        {"blue",
         [](const DebugPoint& point) {
           return static_cast<double>(point.goroutines);
         }},
        {"dash",
         [](const DebugPoint& point) {
           return static_cast<double>(point.blocked);
         }},
    };
    std::string key =
        "<i class=\"key\"></i>all<i class=\"key dashed\"></i>blocked";
    if (std::any_of(
            view_.history.begin(), view_.history.end(),
            [](const DebugPoint& point) { return point.leaked >= 0; })) {
      lines.push_back({"red", [](const DebugPoint& point) {
                         return std::max(0.0,
                                         static_cast<double>(point.leaked));
                       }});
      key += "<i class=\"key leaked\"></i>leaked";
    }
    Add("<section class=\"charts\" aria-label=\"Over time\">\n");
    Chart("Goroutines", key, false, lines);
    Chart("Stack memory", "", true,
          {{"teal", [](const DebugPoint& point) {
              return static_cast<double>(point.stack_bytes);
            }}});
    Add("</section>\n");
  }

  // --- Groups

  // The place as a span, or nothing. Without a line it is a place in a binary.
  static std::string At(const SourceSite& site) {
    if (site.file.empty()) return "";
    const std::string line =
        site.line == 0 ? std::string() : absl::StrCat(":", site.line);
    return absl::StrCat("<span class=\"at\" title=\"", Escape(site.file), line,
                        "\">", Escape(ShortFile(site.file)), line, "</span>");
  }

  static std::string_view FunctionOf(const SourceSite& site) {
    return site.function.empty() ? "unknown place"
                                 : std::string_view(site.function);
  }

  void Target(const WaitTarget& target) {
    const void* const object = target.object;
    if (target.direction.empty()) {
      Add("waits for <b>", absl::StrFormat("%p", object), "</b>");
      return;
    }
    Add(target.direction == "send" ? "sends to" : "receives from");
    if (object == nullptr) {
      Add(" a <b>nil channel</b>");
      return;
    }
    Add(" channel <b>", absl::StrFormat("%p", object), "</b>");
    if (!target.element_type.empty()) {
      Add(" of <b>", Escape(ShortType(target.element_type)), "</b>");
    }
    if (target.capacity == 0) {
      Add(", unbuffered");
    } else {
      Add(", ", Count(static_cast<int64_t>(target.length)), " of ",
          Count(static_cast<int64_t>(target.capacity)), " buffered");
    }
  }

  void Stack(const DebugStack& stack) {
    const GoroutineInfo& one = stack.one;
    Add("<div class=\"stack\"><div class=\"kv\"><b>", Count(stack.count),
        "</b> like goroutine");
    for (std::size_t i = 0; i < stack.ids.size(); ++i) {
      Add(i == 0 ? " <b>" : ", <b>", stack.ids[i], "</b>");
    }
    if (stack.count > static_cast<int64_t>(stack.ids.size())) Add(", …");
    if (!one.name.empty()) Add(" “", Escape(one.name), "”");
    for (const auto& [name, value] : one.labels) {
      Add(" · ", Escape(name), "=<b>", Escape(value), "</b>");
    }
    Add("</div>\n");
    for (const WaitTarget& target : one.waits_on) {
      Add("<div class=\"kv\">");
      Target(target);
      Add("</div>\n");
    }
    Add("<ol>");
    for (const SourceSite& site : one.stack) {
      Add("<li><span class=\"fn\">", Escape(FunctionOf(site)), "</span>",
          At(site), "</li>");
    }
    if (one.stack.empty()) {
      Add("<li class=\"soft\">its stack is its own while it is ", one.state,
          "</li>");
    }
    Add("</ol><div class=\"kv\" style=\"margin-top:6px\">created by "
        "<span class=\"fn\">",
        Escape(FunctionOf(one.created_at)), "</span>",
        At(one.created_at).empty() ? "" : " ", At(one.created_at));
    if (!one.ancestors.empty()) {
      Add(" in goroutine <b>", one.ancestors[0], "</b>");
    }
    Add("</div></div>\n");
  }

  void Group(const DebugGroup& group, int64_t largest) {
    const double share = largest <= 0 ? 0
                                      : static_cast<double>(group.count) /
                                            static_cast<double>(largest);
    Add("<details><summary><span class=\"count num\"><b>", Count(group.count),
        "</b><span class=\"bar\" style=\"width:",
        absl::StrFormat("%.1f", std::max(2.0, share * 100)),
        "%\"></span></span><span><span class=\"fn\">",
        Escape(FunctionOf(group.place)), "</span>", At(group.place),
        "</span><span><span class=\"chip\">", Escape(group.what),
        "</span></span><span class=\"num\">", Bytes(group.stack_bytes),
        "</span><span class=\"num\">",
        group.oldest <= absl::ZeroDuration() ? "–" : Age(group.oldest),
        "</span></summary>\n<div class=\"body\">");
    if (!group.proof.empty()) {
      Add("<div class=\"kv\" style=\"margin-top:12px\">Who has what they wait "
          "for, and waits as well:</div>\n<pre style=\"margin-top:6px\">",
          Escape(ShortType(group.proof)), "</pre>\n");
    }
    if (group.examined < group.count) {
      Add("<p class=\"soft\" style=\"margin:10px 0 0\">Stacks of ",
          Count(group.examined), " of them:</p>\n");
    }
    for (const DebugStack& stack : group.stacks) Stack(stack);
    Add("</div></details>\n");
  }

  void Groups(std::string_view kind, std::string_view place,
              const std::vector<DebugGroup>& groups) {
    Add("<div class=\"card list", kind,
        "\">\n<div class=\"head\"><span>Goroutines</span><span>", place,
        "</span><span></span><span>Memory</span><span>Oldest</span></div>\n");
    const int64_t largest = groups.empty() ? 0 : groups.front().count;
    for (std::size_t i = 0; i < groups.size() && i < kMaxGroups; ++i) {
      Group(groups[i], largest);
    }
    Add("</div>\n");
    if (groups.size() > kMaxGroups) {
      Add("<p class=\"soft\">… and ", groups.size() - kMaxGroups,
          " more places</p>\n");
    }
  }

  void Leaks() {
    Add("<section><h2 id=\"leaks\">Leaked</h2>\n");
    if (view_.leaks.empty()) {
      Add("<p class=\"soft\">None: whoever is blocked may still be "
          "woken.</p></section>\n");
      return;
    }
    Add("<p class=\"soft\">",
        view_.leaked == 1 ? "One goroutine that"
                          : Count(view_.leaked) + " goroutines that",
        " can never run again: nobody who still can holds what would wake "
        "it. <a href=\"/debug/leaks.dot\">Who waits for whom</a>, for "
        "Graphviz.</p>\n");
    Groups(" leak", "Where it blocks", view_.leaks);
    Add("</section>\n");
  }

  void Blocked() {
    Add("<section><h2 id=\"blocked\">Blocked</h2>\n");
    if (view_.blocked.empty()) {
      Add("<p class=\"soft\">Nobody.</p></section>\n");
      return;
    }
    Add("<p class=\"soft\">",
        Plural(static_cast<int64_t>(view_.blocked.size()), "place"),
        " where goroutines wait. Open one for its stacks.</p>\n");
    Groups("", "Where they block", view_.blocked);
    Add("</section>\n");
  }

  void Others() {
    if (view_.others.empty()) return;
    Add("<section><h2 id=\"running\">Running, ready, or in blocking "
        "calls</h2>\n");
    Groups("", "Where they were started", view_.others);
    Add("</section>\n");
  }

  void Number(std::string_view name, std::string_view value) {
    Add("<div><span>", name, "</span><span class=\"num\">", value,
        "</span></div>\n");
  }

  void Scheduler() {
    const RuntimeStats& s = view_.stats;
    Add("<section><h2 id=\"scheduler\">Scheduler</h2>\n<div class=\"card "
        "cols\" "
        "style=\"margin-top:8px\">\n");
    Number("Workers", absl::StrCat(s.workers, ", ", s.idle_workers, " idle"));
    Number("Threads", Count(s.threads));
    std::string queues;
    for (const int64_t length : s.run_queues) {
      absl::StrAppend(&queues, queues.empty() ? "" : " + ", length);
    }
    if (s.run_queue_overflow != 0) {
      absl::StrAppend(&queues, " + ", Count(s.run_queue_overflow), " more");
    }
    Number("Run queues", queues);
    Number("In blocking calls", Count(s.in_blocking_calls));
    Number("Timers", Count(s.timers));
    Number("Started", Count(static_cast<int64_t>(s.spawned)));
    Number("Ended", Count(static_cast<int64_t>(s.finished)));
    Number("Steals", Count(static_cast<int64_t>(s.steals)));
    Number("Wake-ups", Count(static_cast<int64_t>(s.wake_ups)));
    Number("Hand-offs", Count(static_cast<int64_t>(s.handoffs)));
    Number("Stacks in use",
           absl::StrCat(Count(s.stacks_in_use), " of ", Count(s.stacks)));
    Number("Reserved for stacks", Bytes(s.stack_reserved_bytes));
    Add("</div></section>\n");
  }

  void BlockProfile() {
    const BlockTotals& profile = view_.block_profile;
    Add("<section><h2 id=\"block\">Where time is spent blocked</h2>\n");
    if (profile.totals.empty()) {
      Add("<p class=\"soft\">",
          profile.rate == 0 ? "Not sampled: see <code>SetBlockProfileRate("
                              "1'000'000)</code>."
                            : "Nothing seen yet.",
          "</p></section>\n");
      return;
    }
    Add("<p class=\"soft\">Sampled for ", Age(profile.sampled),
        profile.rate == 0 ? ", until it was turned off" : "",
        ". <code>go tool pprof -top http://…/debug/pprof/block</code></p>\n"
        "<div class=\"card list\"><table><tr><th class=\"num\">Blocked for</th>"
        "<th class=\"num\">Waits</th><th>Where</th><th>Why</th></tr>\n");
    constexpr std::size_t kRows = 20;
    for (std::size_t i = 0; i < profile.totals.size() && i < kRows; ++i) {
      const BlockedTotal& total = profile.totals[i];
      Add("<tr><td class=\"num\">", Age(absl::Nanoseconds(total.delay_nanos)),
          "</td><td class=\"num\">", Count(total.contentions),
          "</td><td><span class=\"fn\">", Escape(FunctionOf(total.blocked_at)),
          "</span> ", At(total.blocked_at), "</td><td><span class=\"chip\">",
          total.wait_reason, "</span></td></tr>\n");
    }
    Add("</table></div></section>\n");
  }

  const DebugView& view_;
  std::string out_;
};

}  // namespace

std::string RenderDebugPage(const DebugView& view) {
  return Page(view).Render();
}

}  // namespace gochan::internal

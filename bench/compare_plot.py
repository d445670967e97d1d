# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Dot plots as SVG: a row for each workload, a mark for each peer."""

import math
from html import escape

WIDTH = 880
ROW = 26
TOP = 118         # where the rows begin
GAP = 24          # between two panels

# Colours that differ for colour-blind eyes too; shapes differ as well.
MARKS = [("#0072b2", "#56b4e9", "circle"), ("#d55e00", "#ff9045", "square"),
         ("#00855f", "#2fc79a", "diamond"), ("#a8478a", "#e79bcc", "triangle")]

# The figure brings its own background, so it can be read on any page.
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial,
      sans-serif; }
.card { fill: #ffffff; stroke: #d0d7de; }
.text { fill: #1f2328; } .soft { fill: #59636e; }
.title { font-size: 16px; font-weight: 600; } .end { text-anchor: end; }
.mid { text-anchor: middle; } .code { font-family: ui-monospace, Consolas,
      "Liberation Mono", monospace; font-size: 12px; }
.grid { stroke: #d8dee4; } .band { fill: #f6f8fa; }
.one { stroke: #1f2328; stroke-width: 1.5; }
"""
DARK = """
.card { fill: #0d1117; stroke: #3d444d; }
.text { fill: #f0f6fc; } .soft { fill: #9198a1; }
.grid { stroke: #30363d; } .band { fill: #151b23; }
.one { stroke: #f0f6fc; }
"""


def shape(kind, x, y, css):
    if kind == "circle":
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    points = {
        "square": [(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)],
        "diamond": [(0, -6), (6, 0), (0, 6), (-6, 0)],
        "triangle": [(0, -5.5), (5.5, 4.5), (-5.5, 4.5)],
    }[kind]
    text = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in points)
    return f'<polygon class="{css}" points="{text}"/>'


def ticks(low, high):
    """1, 2 and 5 times powers of ten, or these alone if that were too many."""
    for steps in ((1, 2, 5), (1,)):
        found = [s * 10.0**e for e in range(-5, 6) for s in steps
                 if low <= s * 10.0**e * 1.001 and s * 10.0**e <= high * 1.001]
        if len(found) <= 7:
            return found
    return found


def svg(title, rows, panels, peers):
    """panels: [(title, {row: {peer: (smallest, median, largest)}})]."""
    values = [v for _, marks in panels for found in marks.values()
              for three in found.values() for v in three if v > 0]
    low = min(values + [0.5]) / 1.2
    high = max(values + [1.5]) * 1.2
    labels = 40 + 7.4 * max(map(len, rows))
    height = TOP + ROW * len(rows) + 44
    width = (WIDTH - labels - 20 - GAP * (len(panels) - 1)) / len(panels)
    style = STYLE
    dark = DARK
    for index, (light, darker, _) in enumerate(MARKS):
        style += (f".m{index} {{ fill: {light}; }} "
                  f".w{index} {{ stroke: {light}; stroke-width: 1.5; }}\n")
        dark += (f".m{index} {{ fill: {darker}; }} "
                 f".w{index} {{ stroke: {darker}; }}\n")
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
        f'{height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}@media (prefers-color-scheme: dark) {{{dark}}}"
        "</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" '
        f'height="{height - 1}" rx="8"/>',
        f'<text class="text title" x="16" y="28">{escape(title)}</text>',
    ]
    x = 22
    for index, (_, name) in enumerate(peers):
        out.append(shape(MARKS[index % 4][2], x, 49, f"m{index % 4}"))
        out.append(f'<text class="text" x="{x + 12:.0f}" y="54">'
                   f"{escape(name)}</text>")
        x += 42 + 7.4 * len(name)

    def place(value, left):
        share = math.log(value / low) / math.log(high / low)
        return left + share * width

    for k, row in enumerate(rows):
        y = TOP + ROW * k
        if k % 2 == 0:
            out.append(f'<rect class="band" x="8" y="{y}" width="{WIDTH - 16}" '
                       f'height="{ROW}"/>')
        out.append(f'<text class="text code end" x="{labels - 10:.0f}" '
                   f'y="{y + 17}">{escape(row)}</text>')

    bottom = TOP + ROW * len(rows)
    for number, (panel, marks) in enumerate(panels):
        left = labels + number * (width + GAP)
        one = place(1, left)
        out.append(f'<text class="text mid" x="{left + width / 2:.0f}" y="82">'
                   f"{escape(panel)}</text>")
        out.append(f'<text class="soft end" x="{one - 7:.0f}" y="104">'
                   "gochan faster ◂</text>")
        if left + width - one > 60:
            out.append(f'<text class="soft" x="{one + 7:.0f}" y="104">'
                       "▸ slower</text>")
        for tick in ticks(low, high):
            x = place(tick, left)
            css = "one" if tick == 1 else "grid"
            out.append(f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" '
                       f'y1="{TOP - 6}" y2="{bottom + 4}"/>')
            out.append(f'<text class="soft mid" x="{x:.1f}" y="{bottom + 22}">'
                       f"{tick:g}</text>")
        for k, row in enumerate(rows):
            found = marks.get(row, {})
            shown = [(i, found[name]) for i, (name, _) in enumerate(peers)
                     if name in found]
            for place_in_row, (index, (least, median, most)) in enumerate(
                    shown):
                # Marks of one row lie a little apart.
                y = TOP + ROW * (k + 0.5) + 4 * (place_in_row
                                                 - (len(shown) - 1) / 2)
                if most > least:
                    out.append(
                        f'<line class="w{index % 4}" y1="{y:.1f}" '
                        f'y2="{y:.1f}" x1="{place(least, left):.1f}" '
                        f'x2="{place(most, left):.1f}"/>')
                out.append(shape(MARKS[index % 4][2], place(median, left), y,
                                 f"m{index % 4}"))
    return "\n".join(out) + "\n</svg>\n"

# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""What a comparison says: README.md, details.md, results.csv and plots."""

import csv
import math
import statistics

import compare_plot
from compare_peers import LIMITS, OUR_THREADS, OURS, TASKS, THREADS


# Whose wall time is waiting; what counts is what the processors did.
WAITING = {"idle_10k", "sleep_churn"}


def time_of(workload):
    """The figure that a workload is about."""
    return "cpu_ns" if workload in WAITING else "wall_ns"


def counterpart(peer):
    """Which of ours a peer is compared with first."""
    return OURS if peer.group == TASKS or peer.name == OUR_THREADS else (
        OUR_THREADS)


def middle(values):
    return statistics.median(values)


def nanos(value):
    """A number of three digits, with a unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def quantity(figure, value):
    if figure.endswith("_ns"):
        return nanos(value)
    return f"{value:.0f} B" if figure.endswith("_bytes") else f"{value:.3g}"


def workers(procs, group=TASKS):
    noun = "worker" if group == TASKS else "processor"
    return f"{procs} {noun}{'' if procs == 1 else 's'}"


class Result:
    """All figures of all runs."""

    def __init__(self, known, families, procs):
        self.known = known  # the peers, ours first
        self.families = families
        self.procs = procs
        self.about = []
        self.rows = []  # of the CSV
        self.samples = {}  # {(procs, workload, peer): {round: figures}}

    def add(self, procs, workload, peer, number, n, figures):
        key = (procs, workload, peer)
        self.samples.setdefault(key, {})[number] = figures
        if isinstance(figures, dict):
            for figure, value in figures.items():
                self.rows.append([procs, workload, n, number + 1, peer, figure,
                                  value])

    def peers(self, group):
        """Those of a group that were run, without ours."""
        return [p for p in self.known if p.group == group and not p.missing
                and p.name not in (OURS, OUR_THREADS)]

    def workloads(self, procs, names):
        """In order, those that one of the names has figures of."""
        return [w for family in self.families.values() for w in family
                if any((procs, w, name) in self.samples for name in names)]

    def figures(self, procs, workload, name):
        """The names of what was measured, in order."""
        found = []
        for run in self.samples.get((procs, workload, name), {}).values():
            if isinstance(run, dict):
                found += [f for f in run if f not in found]
        return found

    def values(self, procs, workload, name, figure):
        """{round: value}."""
        runs = self.samples.get((procs, workload, name), {})
        return {r: run[figure] for r, run in runs.items()
                if isinstance(run, dict) and figure in run}

    def median(self, procs, workload, name, figure):
        values = self.values(procs, workload, name, figure)
        return middle(values.values()) if values else None

    def ratios(self, procs, workload, ours, peer, figure):
        """Ours to the peer's in each round that both have."""
        a = self.values(procs, workload, ours, figure)
        b = self.values(procs, workload, peer, figure)
        return [a[r] / b[r] for r in sorted(a) if b.get(r, 0) > 0]

    def medians(self, procs, ours, peer, figure=None):
        """{workload: median ratio}, of what a mean is taken of: not of
        idle_10k, where one does nothing and another next to nothing."""
        found = {}
        for workload in self.workloads(procs, [ours]):
            ratios = self.ratios(procs, workload, ours, peer,
                                 figure or time_of(workload))
            if ratios and workload != "idle_10k":
                found[workload] = middle(ratios)
        return found

    def failures(self):
        return [(procs, workload, name, run)
                for (procs, workload, name), runs in self.samples.items()
                for run in runs.values() if isinstance(run, str)]


def mean(ratios):
    """The geometric mean, of positive ratios."""
    logs = [math.log(r) for r in ratios if r > 0]
    return math.exp(statistics.mean(logs)) if logs else None


def short(ratio):
    """Two digits, or two after the point."""
    if ratio < 0.001:
        return "<0.001"
    return f"{ratio:.2f}" if ratio >= 0.0995 else f"{ratio:.2g}"


def cell(ratios):
    """A median, and what it was taken from; bold where ours is slower."""
    if not ratios:
        return "–"
    median = short(middle(ratios))
    if float(median.lstrip("<")) > 1:
        median = f"**{median}**"
    if len(ratios) == 1:
        return median
    return f"{median} ({short(min(ratios))}–{short(max(ratios))})"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


# ---- The parts ---------------------------------------------------------------


def pairs(result):
    """Each peer with those of ours that it is compared with."""
    return [(peer, ours, on)
            for group, ours, on in ((TASKS, OURS, "goroutines"),
                                    (THREADS, OUR_THREADS, "OS threads"),
                                    (THREADS, OURS, "goroutines"))
            for peer in result.peers(group)]


def summary(result):
    """A row for each peer: who wins."""
    rows = []
    for peer, ours, on in pairs(result):
        row = [f"{peer.title}, gochan on {on}"]
        for procs in result.procs:
            ratios = result.medians(procs, ours, peer.name)
            if not ratios:
                row += ["–", "–", "–"]
                continue
            worst = max(ratios, key=ratios.get)
            row += [cell([mean(ratios.values())]),
                    f"{sum(r < 1 for r in ratios.values())} of {len(ratios)}",
                    f"{short(ratios[worst])} `{worst}`"]
        rows.append(row)
    head = ["beside"]
    for procs in result.procs:
        head += [f"{workers(procs)}: geometric mean", "faster in", "worst"]
    return table(head, rows)


def ratio_table(result, procs, group, ours, figure=None):
    """Of that figure, or of those that the workloads are about."""
    others = result.peers(group)
    names = [ours] + [p.name for p in others]
    workloads = [w for w in result.workloads(procs, names[1:])
                 if result.median(procs, w, ours, "wall_ns") is not None]
    if not workloads:
        return []
    rows = []
    for workload in workloads:
        first = figure or time_of(workload)
        more = [] if figure else [f for f in
                                  result.figures(procs, workload, ours)
                                  if f not in ("wall_ns", "cpu_ns")]
        for f in [first] + more:
            label = f"`{workload}`"
            if f in more:
                label += f" {f}"
            elif not figure and workload in WAITING:
                label += " CPU"
            rows.append([label, quantity(f, result.median(procs, workload,
                                                          ours, f))]
                        + [cell(result.ratios(procs, workload, ours, p.name, f))
                           for p in others])
    row = ["geometric mean", ""]
    for peer in others:
        average = mean(result.medians(procs, ours, peer.name, figure).values())
        row.append("–" if average is None else cell([average]))
    title = "gochan" + (" on threads" if ours == OUR_THREADS else "")
    return table(["workload", title] + [p.title for p in others], rows + [row])


def limits_table(result):
    """What the machine takes, beside what ours take."""
    lines = []
    for peer in result.peers(LIMITS):
        for procs in result.procs:
            rows = []
            for workload in result.workloads(procs, [peer.name]):
                row = [f"`{workload}`"]
                for name in (peer.name, OUR_THREADS, OURS):
                    value = result.median(procs, workload, name, "wall_ns")
                    row.append("–" if value is None else nanos(value))
                rows.append(row)
            if rows:
                lines += [f"### {workers(procs, LIMITS).capitalize()}", ""]
                lines += table(["", "limit", "gochan on threads",
                                "gochan"], rows)
    return lines


def readme(result, plots):
    lines = [
        "# gochan beside others", "",
        "Each figure is **our time divided by theirs**: 0.25 means that gochan "
        "takes a quarter of the time. Below 1 gochan is",
        "faster; above 1, in bold, it is slower. Medians of the rounds; in "
        "parentheses the smallest and the largest ratio of a round.",
        "What the workloads are: [workloads.md](../workloads.md). Written by "
        "`bench/compare.py`, not by hand.", "",
    ]
    if plots:
        lines += [f"![{plots[0][1]}]({plots[0][0]})", ""] + summary(result)
    missing = [p for p in result.known if p.missing]
    if missing:
        lines += ["Missing here: " + "; ".join(
            f"{p.title} ({p.missing})" for p in missing) + ".", ""]
    lines += [f"- {what}: {text}" for what, text in result.about]
    lines += [f"- {p.title}: {p.versions()}" for p in result.known
              if not p.missing]
    lines += ["", "Every figure of every run is in "
              "[results.csv](results.csv); processor time, nanoseconds and the "
              "bounds of what is here in", "[details.md](details.md).", ""]
    failures = result.failures()
    if failures:
        lines += ["Runs that failed:", ""]
        lines += [f"- {name}, `{workload}`, {workers(procs)}: {text}"
                  for procs, workload, name, text in failures] + [""]

    if plots[1:]:
        lines += ["## In pictures", ""]
    for path, title in plots[1:]:
        lines += [f"![{title}]({path})", ""]

    lines += ["## Goroutines beside goroutines, tasks, coroutines, fibers", ""]
    for procs in result.procs:
        part = ratio_table(result, procs, TASKS, OURS)
        if part:
            lines += [f"### {workers(procs).capitalize()}", ""] + part
    part = []
    for procs in result.procs:
        rows = ratio_table(result, procs, THREADS, OUR_THREADS)
        if rows:
            part += [f"### {workers(procs, THREADS).capitalize()}", ""] + rows
    if part:
        lines += ["## OS threads beside OS threads", ""] + part
    part = limits_table(result)
    if part:
        lines += ["## Limits", "",
                  "What the machine takes for the least that channels are made "
                  "of, and a raw queue that cannot block, be closed",
                  "or selected from. Time for one operation.", ""] + part
    return lines


def details(result):
    lines = ["# Details", "",
             "Processor time is that of the whole process, garbage collection "
             "included. [README.md](README.md) says how to read the ratios.",
             ""]
    for procs in result.procs:
        lines += [f"## Processor time, {workers(procs)}", ""]
        lines += ratio_table(result, procs, TASKS, OURS, "cpu_ns")
        lines += [f"## Processor time, threads on {workers(procs, THREADS)}",
                  ""]
        lines += ratio_table(result, procs, THREADS, OUR_THREADS, "cpu_ns")
    for procs in result.procs:
        lines += [f"## Our goroutines beside others' OS threads, "
                  f"{workers(procs)}", ""]
        lines += ratio_table(result, procs, THREADS, OURS)
    for procs in result.procs:
        lines += [f"## Time of one operation, {workers(procs)}", ""]
        present = [p for p in result.known if not p.missing]
        rows = []
        for workload in result.workloads(procs, [p.name for p in present]):
            row = [f"`{workload}`"]
            for peer in present:
                value = result.median(procs, workload, peer.name, "wall_ns")
                row.append("–" if value is None else nanos(value))
            rows.append(row)
        lines += table(["workload"] + [p.title for p in present], rows)
    return lines


def overview(result, folder):
    """All peers at a glance: each one's geometric mean, and its range."""
    rows, panels = [], [(workers(procs), {}) for procs in result.procs]
    for peer, ours, _ in pairs(result):
        row = peer.title + (" (threads)" if ours == OUR_THREADS else
                            " (goroutines)" if peer.group == THREADS else "")
        rows.append(row)
        for procs, (_, marks) in zip(result.procs, panels):
            ratios = result.medians(procs, ours, peer.name).values()
            if ratios:
                marks[row] = {"mean": (min(ratios), mean(ratios), max(ratios))}
    if not rows:
        return []
    text = compare_plot.svg(
        "Time of gochan ÷ time of others", rows, panels,
        [("mean", "geometric mean, best to worst workload")])
    (folder / "overview.svg").write_text(text)
    return [("overview.svg", "Time of gochan divided by others'")]


def draw(result, folder):
    """A plot for each family, and one for threads: [(file, title)]."""
    plots = overview(result, folder)
    tasks, threads = result.peers(TASKS), result.peers(THREADS)
    jobs = [(family, names, tasks, OURS)
            for family, names in result.families.items()]
    jobs.append(("OS threads", sum(result.families.values(), []), threads,
                 OUR_THREADS))
    for title, names, others, ours in jobs:
        panels = []
        for procs in result.procs:
            marks = {}
            for workload in names:
                found = {}
                for peer in others:
                    ratios = result.ratios(procs, workload, ours, peer.name,
                                           time_of(workload))
                    if ratios and workload != "idle_10k":
                        found[peer.name] = (min(ratios), middle(ratios),
                                            max(ratios))
                if found:
                    marks[workload] = found
            panels.append((workers(procs, others[0].group if others else TASKS),
                           marks))
        rows = [w for w in names if any(w in marks for _, marks in panels)]
        if not rows:
            continue
        path = title.lower().replace(" ", "_") + ".svg"
        heading = f"{title}: time of gochan ÷ time of others"
        (folder / path).write_text(compare_plot.svg(
            heading, rows, panels, [(p.name, p.title) for p in others]))
        plots.append((path, f"{title}: time of gochan divided by others'"))
    return plots


def write(result, folder):
    """Writes everything; returns the paths."""
    plots = draw(result, folder)
    texts = {"README.md": readme(result, plots), "details.md": details(result)}
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines).rstrip() + "\n")
    with open(folder / "results.csv", "w", newline="",
              encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["procs", "workload", "n", "round", "peer", "figure",
                      "value"])
        out.writerows(result.rows)
    return [folder / name for name in list(texts) + ["results.csv"]
            + [path for path, _ in plots]]

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Runs the same workloads in gochan and in others, and says how they compare.

  bench/compare.py [--quick] [--only GLOB,...] [--procs 1,2] [--rounds 5]

Builds every peer's program, runs them in turns (A B A B ...), a process for
each run of each workload, and takes the ratio of ours to the other's in each
round. Published are the medians of the ratios, with the smallest and the
largest. Writes OUTPUT.md, a table for people, and OUTPUT.csv, every figure of
every run. What the workloads are: bench/workloads.md.

A peer's program is run as

  RUN... NAME N --procs=P    prints "NAME OPS WALL_NS CPU_NS [FIGURE=VALUE ...]"
  RUN... --list              prints "NAME N MIN_PROCS", a line for each

where the two times are nanoseconds per operation; it fails if a result is
wrong. It may lack workloads. To add one, add a Peer below.
"""

import argparse
import csv
import dataclasses
import fnmatch
import math
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
OURS = "gochan"
TIME_LIMIT = 300  # seconds, for one run


@dataclasses.dataclass
class Peer:
    name: str
    needs: list  # commands; without them the peer is left out
    build: list  # commands, run in `cwd`
    run: list
    versions: list  # commands; the first line of what each prints is quoted
    cwd: pathlib.Path = ROOT


def peers(build_dir):
    tree = build_dir / "cmake"
    return [
        Peer(
            name=OURS,
            needs=["cmake", "ninja"],
            build=[
                ["cmake", "-S", ".", "-B", tree, "-G", "Ninja",
                 "-DCMAKE_BUILD_TYPE=Release", "-DGOCHAN_BUILD_TESTS=OFF",
                 "-DGOCHAN_BUILD_EXAMPLES=OFF"],
                ["cmake", "--build", tree, "--target",
                 "gochan_bench_programs_gochan_programs"],
            ],
            run=[tree / "bench/programs/gochan_programs"],
            versions=[[cmake_compiler(tree), "--version"]],
        ),
        Peer(
            name="go",
            needs=["go"],
            build=[["go", "build", "-o", build_dir / "go_programs", "."]],
            run=[build_dir / "go_programs"],
            versions=[["go", "version"]],
            cwd=BENCH / "peers/go",
        ),
    ]


def cmake_compiler(tree):
    """The C++ compiler that a build tree uses, or will use."""
    try:
        cache = (tree / "CMakeCache.txt").read_text()
        return re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache, re.M)[1]
    except (OSError, TypeError):
        return os.environ.get("CXX", "c++")


# ---- Running things ---------------------------------------------------------


def environment():
    """Ours, without what would change how one of the peers runs."""
    env = dict(os.environ)
    for name in ("GOCHAN_MAXPROCS", "GOMAXPROCS", "GODEBUG", "GOGC",
                 "GOMEMLIMIT"):
        env.pop(name, None)
    return env


def say(text):
    print(text, flush=True)


def build(peer):
    """Whether the peer can be run now."""
    missing = [c for c in peer.needs if shutil.which(c) is None]
    if missing:
        say(f"{peer.name}: left out, no {' '.join(missing)}")
        return False
    for command in peer.build:
        done = subprocess.run([str(c) for c in command], cwd=peer.cwd,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode != 0:
            say(done.stdout)
            sys.exit(f"{peer.name}: could not be built")
    say(f"{peer.name}: built")
    return True


def first_line(command, cwd=ROOT):
    try:
        done = subprocess.run([str(c) for c in command], cwd=cwd, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
        return done.stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def listed(peer):
    """The peer's workloads: {name: (n, min_procs)}."""
    text = subprocess.run([str(c) for c in peer.run] + ["--list"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    rows = (line.split() for line in text.splitlines())
    return {name: (int(n), int(procs)) for name, n, procs in rows}


def measure(peer, workload, n, procs):
    """One run: {figure: value}, or a text that says what went wrong."""
    command = [str(c) for c in peer.run]
    command += [workload, str(n), f"--procs={procs}"]
    try:
        done = subprocess.run(command, env=environment(), timeout=TIME_LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors="replace", check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {TIME_LIMIT} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return f"status {done.returncode}: {lines[0]}"
    fields = done.stdout.split()
    if len(fields) < 4 or fields[0] != workload:
        return f"printed {done.stdout!r}"
    figures = {"wall_ns": float(fields[2]), "cpu_ns": float(fields[3])}
    for field in fields[4:]:
        name, value = field.split("=")
        figures[name] = float(value)
    return figures


# ---- Workloads ---------------------------------------------------------------


def documented():
    """The workloads of workloads.md, in its order: {name: n}."""
    found = {}
    for line in (BENCH / "workloads.md").read_text().splitlines():
        row = re.match(r"\| `(\w+)` \| ([\d,]+) \|", line)
        if row:
            found[row[1]] = int(row[2].replace(",", ""))
    return found


def check_lists(workloads, lists):
    """A program and workloads.md must not drift apart."""
    for name, theirs in lists.items():
        for workload, (n, _) in theirs.items():
            if workloads.get(workload) != n:
                sys.exit(f"{name} has {workload} with N = {n}, "
                         "bench/workloads.md has not")
    for workload in workloads.keys() - lists[OURS].keys():
        sys.exit(f"{OURS} lacks {workload}")


# ---- Figures -----------------------------------------------------------------


def number(value):
    if value >= 1e6:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


class Table:
    """All figures of one number of workers."""

    def __init__(self, procs, names):
        self.procs = procs
        self.names = names  # of the peers, ours first
        self.samples = {}  # {workload: {peer: [figures of each round]}}

    def add(self, workload, peer, figures):
        self.samples.setdefault(workload, {}).setdefault(peer, []).append(
            figures)

    def ratios(self, workload, peer, figure):
        """Ours to the peer's in each round in which both have it."""
        runs = self.samples.get(workload, {})
        pairs = zip(runs.get(OURS, []), runs.get(peer, []))
        return [ours[figure] / theirs[figure] for ours, theirs in pairs
                if isinstance(ours, dict) and isinstance(theirs, dict)
                and figure in ours and theirs.get(figure, 0) > 0]

    def median(self, workload, peer, figure):
        values = [run[figure] for run in self.samples[workload].get(peer, [])
                  if isinstance(run, dict) and figure in run]
        return number(statistics.median(values)) if values else "–"

    def ratio_cell(self, workload, peer, figure):
        ratios = self.ratios(workload, peer, figure)
        if not ratios:
            return "–"
        median = f"{statistics.median(ratios):.2f}"
        if statistics.median(ratios) > 1:
            median = f"**{median}**"
        return f"{median} ({min(ratios):.2f}–{max(ratios):.2f})"

    def markdown(self):
        others = self.names[1:]
        title = ("1 worker" if self.procs == 1 else f"{self.procs} workers")
        head = ["workload", f"{OURS} ns"]
        for peer in others:
            head += [f"{peer} ns", f"{OURS} / {peer}, time",
                     f"{OURS} / {peer}, CPU"]
        lines = [f"## {title}", "", "| " + " | ".join(head) + " |",
                 "|---" * len(head) + "|"]
        for workload, runs in self.samples.items():
            figures = []
            for run in sum(runs.values(), []):
                if isinstance(run, dict):
                    figures += [f for f in run if f not in figures]
            for figure in figures:
                if figure == "cpu_ns":
                    continue  # beside the wall's
                label = f"`{workload}`"
                if figure != "wall_ns":
                    label += f" {figure}"
                row = [label, self.median(workload, OURS, figure)]
                for peer in others:
                    row += [self.median(workload, peer, figure),
                            self.ratio_cell(workload, peer, figure),
                            self.ratio_cell(workload, peer, "cpu_ns")
                            if figure == "wall_ns" else ""]
                lines.append("| " + " | ".join(row) + " |")
            for peer, results in runs.items():
                for text in sorted({r for r in results if isinstance(r, str)}):
                    lines.append(f"| `{workload}` | {peer} failed: {text} |"
                                 + " |" * (len(head) - 2))
        for peer in others:
            logs = []
            for workload in self.samples:
                ratios = self.ratios(workload, peer, "wall_ns")
                if ratios:
                    logs.append(math.log(statistics.median(ratios)))
            if logs:
                mean = math.exp(statistics.mean(logs))
                lines += ["", f"Geometric mean of {OURS} / {peer}, time: "
                          f"{mean:.2f} over {len(logs)} workloads."]
        return "\n".join(lines) + "\n"


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists(
        "/proc/cpuinfo") else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model[1] if model else os.uname().machine}, "
            f"{len(os.sched_getaffinity(0))} processors, {memory:.0f} GiB, "
            f"{os.uname().sysname} {os.uname().release}")


def commit():
    text = first_line(["git", "rev-parse", "--short=12", "HEAD"])
    changed = first_line(["git", "status", "--porcelain"])
    return text + (" with changes" if changed not in ("", "?") else "")


def load():
    return "%.2f %.2f %.2f" % os.getloadavg()


# ---- All ---------------------------------------------------------------------


def main():
    cpus = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="What the workloads are: bench/workloads.md.")
    parser.add_argument("--quick", action="store_true",
                        help="a twentieth of the work, 3 rounds: a look, not a "
                        "measurement")
    parser.add_argument("--only", default="*", metavar="GLOB,...",
                        help="only workloads with such names")
    parser.add_argument("--peers", metavar="NAME,...",
                        help="only these beside ours")
    parser.add_argument("--procs", metavar="P,...",
                        default=",".join(map(str, sorted({1, cpus}))),
                        help="numbers of workers (%(default)s)")
    parser.add_argument("--rounds", type=int, help="(5)")
    parser.add_argument("--build-dir", type=pathlib.Path,
                        default=ROOT / "build/compare")
    parser.add_argument("--output", type=pathlib.Path, metavar="STEM",
                        help="(bench/results/compare; with --quick, --only, "
                        "--peers or --procs in the build folder)")
    args = parser.parse_args()
    rounds = args.rounds or (3 if args.quick else 5)
    part = args.quick or args.only != "*" or args.peers or args.procs != (
        parser.get_default("procs"))
    build_dir = args.build_dir.resolve()
    folder = build_dir if part else BENCH / "results"
    output = args.output or folder / "compare"
    build_dir.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)

    known = peers(build_dir)
    if args.peers:
        wanted = args.peers.split(",")
        unknown = set(wanted) - {p.name for p in known}
        if unknown:
            sys.exit(f"no peer {' '.join(sorted(unknown))}")
        known = [p for p in known if p.name in [OURS] + wanted]
    present = [peer for peer in known if build(peer)]
    if not present or present[0].name != OURS:
        sys.exit(f"{OURS} itself is missing")
    names = [peer.name for peer in present]

    workloads = documented()
    lists = {peer.name: listed(peer) for peer in present}
    check_lists(workloads, lists)
    chosen = [w for w in workloads
              if any(fnmatch.fnmatch(w, g) for g in args.only.split(","))]
    if not chosen:
        sys.exit(f"no workload is called {args.only}")
    jobs = [(procs, w) for procs in map(int, args.procs.split(","))
            for w in chosen if procs >= lists[OURS][w][1]]

    started = time.time()
    load_before = load()
    if os.getloadavg()[0] > cpus / 2:
        say(f"this machine is busy: load {load_before}")
    tables = {}
    rows = []
    failed = False
    for done, (procs, workload) in enumerate(jobs):
        n = workloads[workload]
        if args.quick:
            n = max(1, n // 20)
        table = tables.setdefault(procs, Table(procs, names))
        for number_of_round in range(rounds):
            for peer in present:
                if workload not in lists[peer.name]:
                    continue
                figures = measure(peer, workload, n, procs)
                table.add(workload, peer.name, figures)
                if isinstance(figures, str):
                    failed = True
                    say(f"{peer.name} {workload}: {figures}")
                    continue
                for figure, value in figures.items():
                    rows.append([procs, workload, n, number_of_round + 1,
                                 peer.name, figure, value])
        parts = [f"{OURS} {table.median(workload, OURS, 'wall_ns')}"]
        parts += [f"{peer} {table.median(workload, peer, 'wall_ns')} "
                  f"-> {table.ratio_cell(workload, peer, 'wall_ns')}"
                  for peer in names[1:]]
        say(f"[{done + 1}/{len(jobs)}] procs {procs} {workload}: "
            + ", ".join(parts))

    versions = {p.name: [first_line(c, p.cwd) for c in p.versions]
                for p in known if p.name in names}
    text = ["# " + " and ".join(names), ""]
    text += [f"- machine: {machine()}", f"- commit: {commit()}"]
    text += [f"- {name}: {', '.join(v)}" for name, v in versions.items()]
    text += [
        f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(started))}, "
        f"{(time.time() - started) / 60:.0f} minutes; load before "
        f"{load_before}, after {load()}",
        f"- {rounds} rounds" + (", a twentieth of the work" if args.quick
                                else ""),
        "",
        "Nanoseconds are medians, an operation each (bench/workloads.md). "
        "Ratios are medians of the rounds' ratios",
        "(smallest–largest); below 1 ours is faster, or uses less. CPU is that "
        "of the whole process.",
        "",
    ]
    text = "\n".join(text) + "\n" + "\n".join(
        table.markdown() for table in tables.values())
    output.with_suffix(".md").write_text(text)
    with open(output.with_suffix(".csv"), "w", newline="",
              encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["procs", "workload", "n", "round", "peer", "figure",
                         "value"])
        writer.writerows(rows)
    say(f"written: {output.with_suffix('.md')}, {output.with_suffix('.csv')}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

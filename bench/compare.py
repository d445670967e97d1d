#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Runs the same workloads in gochan and in others, and says how they compare.

  bench/compare.py                    all: bench/results, about an hour
  bench/compare.py --quick            a look, in about two minutes
  bench/compare.py --only 'spsc_*' --peers go,kanal --procs 1 --rounds 9
  bench/compare.py --count            our work in numbers that do not depend on
                                      how busy the machine is

Builds every program (a peer whose tools are not here is listed as missing),
runs them in turns, a process for each run of each workload, and takes the
ratio of our time to the other's in each round. Published are the medians of
the ratios, with the smallest and the largest. Nothing is asserted.

What the workloads are: bench/workloads.md. Who is compared, and how a program
is to be run: compare_peers.py.
"""

import argparse
import fnmatch
import os
import pathlib
import re
import sys
import time

import compare_count
import compare_report
from compare_peers import (BENCH, OUR_THREADS, OURS, ROOT, THREADS,
                           build, commit, measure, peers)


# Workloads whose N is not how often, but how large: not divided, but for a look.
LARGE = {"sieve", "sieve_select", "daisy_chain", "cancel_tree", "spawn_join_1m",
         "timers_1m", "blocked_1m", "fib_tree"}
QUICK = 50


def say(text):
    print(text, flush=True)


def documented():
    """workloads.md: {name: n}, and {family: [names]}, in its order."""
    sizes, families, family = {}, {}, None
    for line in (BENCH / "workloads.md").read_text().splitlines():
        if line.startswith("## "):
            family = line[3:]
        row = re.match(r"\| `(\w+)` \| ([\d,]+) \|", line)
        if row:
            sizes[row[1]] = int(row[2].replace(",", ""))
            families.setdefault(family, []).append(row[1])
    return sizes, families


def check_lists(sizes, limits, present):
    """The programs and workloads.md must not drift apart."""
    for peer in present:
        for name, (n, _) in peer.workloads.items():
            if sizes.get(name) != n:
                sys.exit(f"{peer.name} has {name} with N = {n}, "
                         "bench/workloads.md has not")
    for name in sizes:
        if name not in present[0].workloads and name not in limits:
            sys.exit(f"{OURS} lacks {name}")


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists(
        "/proc/cpuinfo") else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model[1] if model else os.uname().machine}, "
            f"{len(os.sched_getaffinity(0))} processors, {memory:.0f} GiB, "
            f"{os.uname().sysname} {os.uname().release}")


def load():
    return "%.2f %.2f %.2f" % os.getloadavg()


def arguments():
    cpus = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="What the workloads are: bench/workloads.md.")
    parser.add_argument("--quick", action="store_true",
                        help="a fiftieth of the work, 2 rounds: a look, not a "
                        "measurement")
    parser.add_argument("--only", default="*", metavar="GLOB,...",
                        help="only workloads with such names")
    parser.add_argument("--peers", metavar="NAME,...",
                        help="only these beside ours")
    parser.add_argument("--procs", metavar="P,...",
                        default=",".join(map(str, sorted({1, cpus}))),
                        help="numbers of workers (%(default)s)")
    parser.add_argument("--rounds", type=int, help="(5)")
    parser.add_argument("--fraction", type=int, default=1, metavar="K",
                        help="a K-th of the operations in each run, but for "
                        "workloads whose N is a size: where an hour is too long")
    parser.add_argument("--count", action="store_true",
                        help="instructions, allocations and system calls of "
                        "ours instead: counted.md")
    parser.add_argument("--build-dir", type=pathlib.Path,
                        default=ROOT / "build/compare")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR",
                        help="(bench/results; with --quick, --only, --peers or "
                        "--procs BUILD_DIR/results)")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    if args.quick:
        args.fraction = QUICK
    part = args.quick or args.only != "*" or args.peers or args.procs != (
        parser.get_default("procs"))
    args.procs = [int(p) for p in args.procs.split(",")]
    args.build_dir = args.build_dir.resolve()
    args.output = args.output or (args.build_dir / "results" if part
                                  else BENCH / "results")
    return args


def build_all(args):
    """All peers, ours first; those that cannot be run say why."""
    known = peers(args.build_dir)
    if args.peers is None:
        known = [p for p in known if not p.on_demand]
    else:
        wanted = set(args.peers.split(","))
        if wanted - {p.name for p in known}:
            sys.exit("no peer " + " ".join(wanted - {p.name for p in known})
                     + "; there are " + " ".join(p.name for p in known))
        threads = any(p.name in wanted and p.group == THREADS for p in known)
        known = [p for p in known if p.name in wanted | {OURS}
                 or threads and p.name == OUR_THREADS]
    built = {}
    for peer in known:
        started = time.time()
        build(peer, args.build_dir, built)
        say(f"{peer.name}: " + (f"missing: {peer.missing}" if peer.missing
                                else f"built, {time.time() - started:.0f} s"))
    if any("built" in peer.missing for peer in known):
        say(f"logs are in {args.build_dir}")
    if known[0].missing:
        sys.exit(f"{OURS} itself is missing")
    return known


def progress(result, present, procs, workload):
    """Our time, and our ratio to each peer."""
    parts = []
    for peer in present:
        ours = compare_report.counterpart(peer)
        median = result.median(procs, workload, peer.name, "wall_ns")
        if median is None:
            continue
        text = f"{peer.name} {compare_report.nanos(median)}"
        ratios = result.ratios(procs, workload, ours, peer.name, "wall_ns")
        if ratios and peer.name not in (OURS, OUR_THREADS):
            text += f" ({compare_report.middle(ratios):.2f})"
        parts.append(text)
    return ", ".join(parts)


def run_all(args, present, jobs, sizes, result):
    started = time.time()
    broken = set()  # what failed is not tried again
    for done, (procs, workload) in enumerate(jobs):
        whole = workload in LARGE and not args.quick
        n = max(1, sizes[workload] // (1 if whole else args.fraction))
        taking_part = [p for p in present if workload in p.workloads
                       and procs >= p.workloads[workload][1]]
        for number in range(args.rounds):
            # To and fro, so that a machine that becomes slower or faster
            # treats all alike.
            for peer in taking_part[::-1 if number % 2 else 1]:
                key = (procs, workload, peer.name)
                if key in broken:
                    continue
                size = peer.size(workload, n)
                figures = measure(peer, workload, size, procs)
                if isinstance(figures, str):
                    broken.add(key)
                    say(f"{peer.name} {workload}: {figures}")
                result.add(procs, workload, peer.name, number, size, figures)
        left = (time.time() - started) / (done + 1) * (len(jobs) - done - 1)
        say(f"[{done + 1}/{len(jobs)}, {left / 60:.0f} min left] "
            f"{procs}x {workload}: "
            + progress(result, taking_part, procs, workload))
    return OURS in {name for _, _, name in broken}


def main():
    args = arguments()
    args.build_dir.mkdir(parents=True, exist_ok=True)
    args.output.mkdir(parents=True, exist_ok=True)
    if args.count:
        return compare_count.count(args, say)

    known = build_all(args)
    present = [peer for peer in known if not peer.missing]
    sizes, families = documented()
    limits = families.get("Limits", [])
    check_lists(sizes, limits, present)
    chosen = [w for w in sizes
              if any(fnmatch.fnmatch(w, g) for g in args.only.split(","))]
    jobs = [(procs, w) for procs in args.procs for w in chosen
            if any(w in p.workloads and procs >= p.workloads[w][1]
                   for p in present)]
    if not jobs:
        sys.exit(f"no workload is called {args.only}")

    started = time.time()
    load_before = load()
    if os.getloadavg()[0] > len(os.sched_getaffinity(0)) / 2:
        say(f"this machine is busy: load {load_before}")
    result = compare_report.Result(known, families, args.procs)
    failed = run_all(args, present, jobs, sizes, result)
    result.about = [
        ("machine", machine()),
        ("commit", commit()),
        ("when", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started))
         + f", {(time.time() - started) / 60:.0f} minutes"),
        ("load", f"before {load_before}, after {load()} (this run's own "
         "included)"),
        ("rounds", f"{args.rounds}"
         + (", a fiftieth of the work: a look, not a measurement"
            if args.quick else "")
         + (f", each of 1/{args.fraction} of the operations in workloads.md"
            if 1 < args.fraction < QUICK else "")),
    ]
    for path in compare_report.write(result, args.output):
        say(f"written: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Counts our work for an operation of each workload, on one worker.

Instructions (by valgrind), allocations (by counting/allocations.c), system
calls (by strace): each is the difference between a run of few operations and
one of more, divided by how many more, so that start and end do not count.
"""

import re
import shutil
import subprocess

from compare_peers import BENCH, OURS, ROOT, build, commit, environment, peers

# The sizes of the two runs; workloads whose operation is long do less.
FEW, MORE = 2_000, 22_000
LONG = {"shared_done_1000": (10_000, 30_000), "sieve": (20, 60),
        "sieve_select": (20, 60), "cross_wake": None, "idle_10k": None,
        "sleep_churn": (10_000, 30_000), "line_exchange": None,
        "fib_tree": None}  # its N is not how often


def run(command, extra=None):
    env = environment()
    env.update(extra or {})
    done = subprocess.run([str(c) for c in command], env=env, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, cwd=ROOT,
                          errors="replace", timeout=300)
    return done.stdout, done.stderr


def instructions(command):
    _, err = run(["valgrind", "--tool=cachegrind", "--cache-sim=no",
                  "--cachegrind-out-file=/dev/null"] + command)
    found = re.search(r"I\s+refs:\s+([\d,]+)", err)
    return int(found[1].replace(",", "")) if found else None


def allocations(command, library):
    _, err = run(command, {"LD_PRELOAD": str(library)})
    found = re.search(r"^allocations (\d+)$", err, re.M)
    return int(found[1]) if found else None


def system_calls(command):
    _, err = run(["strace", "-f", "-c", "-qq"] + command)
    found = re.search(r"^100\.00\s+\S+\s+\S*\s+(\d+)(\s+\d+)?\s+total", err,
                      re.M)
    return int(found[1]) if found else None


def count(args, say):
    """Writes counted.md; the status to end with."""
    known = peers(args.build_dir)
    ours = next(p for p in known if p.name == OURS)
    build(ours, args.build_dir, {})
    if ours.missing:
        say(f"{OURS}: {ours.missing}")
        return 1
    library = args.build_dir / "allocations.so"
    made = subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", library,
         BENCH / "counting/allocations.c"], check=False)
    ways = [
        ("instructions", "valgrind", instructions),
        ("allocations", "cc", lambda c: allocations(c, library)
         if made.returncode == 0 else None),
        ("system calls", "strace", system_calls),
    ]
    absent = [f"{what} ({tool} is not here)" for what, tool, _ in ways
              if shutil.which(tool) is None]
    ways = [way for way in ways if shutil.which(way[1]) is not None]

    lines = ["# Counted work", "",
             "What one operation of a workload ([workloads.md](../workloads.md)"
             ") costs gochan on one worker, in numbers that do not",
             "depend on how busy the machine is. Differences between a long "
             "and a short run. Written by `bench/compare.py --count`.", "",
             f"- commit: {commit()}",
             f"- compiler: {ours.versions()}",
             "- valgrind has no restartable sequences, so channels are counted "
             "as if shared by several workers"]
    lines += [f"- not counted: {text}" for text in absent]
    lines += ["", "| workload | " + " | ".join(w for w, _, _ in ways) + " |",
              "|---" + "|--:" * len(ways) + "|"]
    for workload in ours.workloads:
        sizes = LONG.get(workload, (FEW, MORE))
        if sizes is None:
            continue
        row = [f"`{workload}`"]
        for _, _, way in ways:
            counts = [way(ours.run + [workload, n, "--procs=1"])
                      for n in sizes]
            if None in counts:
                row.append("–")
                continue
            # The warm-up before the run counts as well.
            done = [n + n // 20 for n in sizes]
            if workload in ("timers_1m", "sieve", "blocked_1m"):
                done = sizes
            each = (counts[1] - counts[0]) / (done[1] - done[0])
            row.append(f"{each:.0f}" if each >= 100 else f"{each + 0:.3g}"
                       if each >= 0.01 else "0")
        say(" ".join(row))
        lines.append("| " + " | ".join(row) + " |")

    tree = args.build_dir / "cmake"
    subprocess.run(["cmake", "--build", tree, "--target",
                    "gochan_bench_count_steps"], check=False,
                   stdout=subprocess.DEVNULL)
    steps, _ = run([tree / "bench/count_steps"])
    if steps:
        lines += ["", "## Atomic operations", "",
                  "By a build of the library that counts them.", "",
                  steps.strip()]
    path = args.output / "counted.md"
    path.write_text("\n".join(lines) + "\n")
    say(f"written: {path}")
    return 0

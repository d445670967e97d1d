# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The gochan authors.
"""Who is compared: how each program is built and run, and what it prints.

  RUN... NAME N --procs=P    prints "NAME OPS WALL_NS CPU_NS [FIGURE=VALUE ...]"
  RUN... --list              prints "NAME N MIN_PROCS", a line for each

The two times are nanoseconds per operation; the program fails if a result is
wrong. It may lack workloads. A new peer is an entry in peers().
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
OURS = "gochan"
OUR_THREADS = "gochan_threads"
TIME_LIMIT = 300  # seconds, for one run

# Groups, which decide what a peer is compared with.
TASKS = "tasks"      # ours on goroutines
THREADS = "threads"  # ours on OS threads, and ours on goroutines
LIMITS = "limits"    # a figure to look at

# The workloads that one thread does alone, at full size also on OS threads.
ALONE = {"seq_1", "make_drop", "select_2_ready", "select_default",
         "select_dynamic_100", "switch", "read_modify_write", "line_exchange"}


@dataclasses.dataclass
class Peer:
    name: str
    title: str
    group: str
    build: list          # commands, run in `cwd`
    run: list
    versions: object     # a function that returns a text
    needs: tuple = ()    # commands; without them the peer is left out
    cwd: pathlib.Path = ROOT
    on_demand: bool = False  # takes part only if it is named
    missing: str = ""    # why it cannot be run
    workloads: dict = dataclasses.field(default_factory=dict)

    def size(self, workload, n):
        """How often the peer does the operation where others do it n times."""
        if self.group == TASKS or workload in ALONE:
            return n
        return max(1, n // 10)


def peers(build_dir):
    tree = build_dir / "cmake"
    bare = build_dir / "no_registry"
    fiber = build_dir / "boost_fiber"
    limits = build_dir / "limits"
    rust = build_dir / "rust"
    kotlin = build_dir / "kotlin"
    ours = tree / "bench/programs/gochan_programs"

    def build_ours(into, *options):
        return [
            cmake(ROOT, into) + ["-DGOCHAN_BUILD_TESTS=OFF",
                                 "-DGOCHAN_BUILD_EXAMPLES=OFF", *options],
            ["cmake", "--build", into, "--target",
             "gochan_bench_programs_gochan_programs"],
        ]

    build_rust = [["cargo", "build", "--release", "--locked", "--target-dir",
                   rust]]

    def crate(name, title, group=THREADS, packages=()):
        return Peer(name, title, group, build_rust,
                    [rust / "release/rust_programs", name],
                    lambda: locked(packages or (title,)) + "; "
                    + first_line(["rustc", "--version"]),
                    ("cargo",), BENCH / "peers/rust")

    return [
        Peer(OURS, "gochan", TASKS, build_ours(tree), [ours],
             lambda: first_line([cmake_compiler(tree), "--version"])
             + ", Release", ("cmake", "ninja")),
        Peer(OUR_THREADS, "gochan on threads", THREADS, [],
             [ours, "--threads"], lambda: "the same program"),
        Peer("go", "Go", TASKS,
             [["go", "build", "-o", build_dir / "go_programs", "."]],
             [build_dir / "go_programs"],
             lambda: first_line(["go", "version"]), ("go",),
             BENCH / "peers/go"),
        crate("tokio", "tokio", TASKS, ("tokio", "tokio-util")),
        Peer("kotlin", "Kotlin", TASKS,
             [["mvn", "-B", "-q", f"-Dout={kotlin}", "process-classes"]],
             ["java", "-cp", f"{kotlin}/classes:{kotlin}/lib/*", "MainKt"],
             kotlin_versions, ("java", "mvn"), BENCH / "peers/kotlin"),
        Peer("boost_fiber", "Boost.Fiber", TASKS,
             [cmake(BENCH / "peers/boost_fiber", fiber),
              ["cmake", "--build", fiber]],
             [fiber / "boost_fiber_programs"],
             lambda: first_line(["cat", fiber / "version.txt"]),
             ("cmake", "ninja")),
        # What knowing of every goroutine costs: it is compiled out.
        Peer("no_registry", "gochan without its registry", TASKS,
             build_ours(bare, "-DGOCHAN_REGISTRY=OFF"),
             [bare / "bench/programs/gochan_programs"],
             lambda: "the same, -DGOCHAN_REGISTRY=OFF", ("cmake", "ninja"),
             on_demand=True),
        crate("crossbeam", "crossbeam", packages=("crossbeam-channel",)),
        crate("kanal", "kanal"),
        crate("flume", "flume"),
        Peer("limits", "limits", LIMITS,
             [cmake(BENCH / "peers/limits", limits),
              ["cmake", "--build", limits]],
             [limits / "limits_programs"],
             lambda: "moodycamel ConcurrentQueue, Debian's "
             + first_line(["dpkg-query", "-W", "-f", "${Version}",
                           "libconcurrentqueue-dev"]), ("cmake", "ninja")),
    ]


# ---- Versions ----------------------------------------------------------------


def cmake(source, tree):
    return ["cmake", "-S", source, "-B", tree, "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release"]


def cmake_compiler(tree):
    """The C++ compiler that a build tree uses."""
    try:
        cache = (tree / "CMakeCache.txt").read_text()
        return re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache, re.M)[1]
    except (OSError, TypeError):
        return os.environ.get("CXX", "c++")


def first_line(command, cwd=ROOT):
    try:
        done = subprocess.run([str(c) for c in command], cwd=cwd, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
        return done.stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def commit():
    """Ours, and whether there is more than that (results do not count)."""
    text = first_line(["git", "rev-parse", "--short=12", "HEAD"])
    changed = first_line(["git", "status", "--porcelain", "--", ".",
                          ":!bench/results"])
    return text + (" with changes" if changed not in ("", "?") else "")


def locked(packages):
    """The versions of these crates in the lock file."""
    text = (BENCH / "peers/rust/Cargo.lock").read_text()
    return ", ".join(
        f"{name} " + re.search(rf'name = "{name}"\nversion = "(.+)"', text)[1]
        for name in packages)


def kotlin_versions():
    text = (BENCH / "peers/kotlin/pom.xml").read_text()
    found = dict(re.findall(r"<(kotlin|coroutines)\.version>(.+?)<", text))
    return (f"Kotlin {found['kotlin']}, kotlinx.coroutines "
            f"{found['coroutines']}; {first_line(['java', '--version'])}")


# ---- Building and running ----------------------------------------------------


def environment():
    """Ours, without what would change how one of the peers runs."""
    env = dict(os.environ)
    for name in ("GOCHAN_MAXPROCS", "GOMAXPROCS", "GODEBUG", "GOGC",
                 "GOMEMLIMIT", "TOKIO_WORKER_THREADS", "JAVA_TOOL_OPTIONS",
                 "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "LD_PRELOAD"):
        env.pop(name, None)
    return env


def build(peer, log_dir, built):
    """Builds the peer and lists its workloads, or says why it is missing.

    `built` remembers what happened to commands that several peers share.
    """
    absent = [c for c in peer.needs if shutil.which(c) is None]
    if absent:
        peer.missing = "no " + " and no ".join(absent) + " here"
        return
    key = str(peer.build)
    if key not in built:
        built[key] = ""
        log = log_dir / f"{peer.name}.log"
        with open(log, "w", encoding="utf-8") as out:
            for command in peer.build:
                done = subprocess.run([str(c) for c in command], cwd=peer.cwd,
                                      stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, check=False)
                if done.returncode != 0:
                    built[key] = f"could not be built, see {log.name}"
                    break
    peer.missing = built[key]
    if not peer.missing:
        try:
            text = subprocess.run(
                [str(c) for c in peer.run] + ["--list"], check=True,
                stdout=subprocess.PIPE, text=True, env=environment()).stdout
            rows = (line.split() for line in text.splitlines())
            peer.workloads = {name: (int(n), int(procs))
                              for name, n, procs in rows}
        except (OSError, subprocess.CalledProcessError) as error:
            peer.missing = f"does not run: {error}"


def measure(peer, workload, n, procs):
    """One run: {figure: value}, or a text that says what went wrong."""
    command = [str(c) for c in peer.run]
    command += [workload, str(n), f"--procs={procs}"]
    try:
        done = subprocess.run(command, env=environment(), timeout=TIME_LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True,
                              errors="replace", check=False)
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

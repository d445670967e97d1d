// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! Runs one workload of bench/workloads.md with one of Rust's libraries, and
//! prints what it took, as bench/programs/main.cc does:
//!
//!     rust_programs PEER NAME [N] [--procs=P]
//!     rust_programs PEER --list
//!
//! PEER is crossbeam, flume or kanal, with OS threads on P processors, or tokio,
//! with tasks on P workers.

mod crossbeam;
mod flume;
mod kanal;
mod run;
mod threads;
mod tokio;

use run::Run;

/// Name, N, the function; whether a smaller run goes before the measured one.
pub struct Workload<F> {
    name: &'static str,
    n: i64,
    run: F,
    warm_up: bool,
}

pub const fn workload<F: Copy>(name: &'static str, n: i64, run: F) -> Workload<F> {
    Workload { name, n, run, warm_up: true }
}
pub const fn cold<F: Copy>(name: &'static str, n: i64, run: F) -> Workload<F> {
    Workload { name, n, run, warm_up: false }
}

fn usage() -> ! {
    eprintln!("usage: rust_programs crossbeam|flume|kanal|tokio NAME [N] [--procs=P] | --list");
    std::process::exit(2);
}

struct Arguments {
    name: String,
    n: Option<i64>,
    procs: usize,
    list: bool,
}

fn arguments(args: impl Iterator<Item = String>) -> Option<Arguments> {
    let procs = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut parsed = Arguments { name: String::new(), n: None, procs, list: false };
    for arg in args {
        if arg == "--list" {
            parsed.list = true;
        } else if let Some(value) = arg.strip_prefix("--procs=") {
            parsed.procs = value.parse().ok().filter(|&p| p > 0)?;
        } else if parsed.name.is_empty() && !arg.starts_with('-') {
            parsed.name = arg;
        } else {
            parsed.n = Some(arg.parse().ok().filter(|&n| n > 0)?);
        }
    }
    Some(parsed)
}

/// Lists workloads, or runs the chosen one, each time by `execute`.
fn list_or_run<F: Copy>(
    args: &Arguments,
    workloads: Vec<Workload<F>>,
    execute: impl Fn(F, Run) -> Run,
) {
    if args.list {
        for w in &workloads {
            println!("{} {} 1", w.name, w.n);
        }
        return;
    }
    let Some(w) = workloads.iter().find(|w| w.name == args.name) else { usage() };
    let n = args.n.unwrap_or(w.n);
    if w.warm_up && n >= 20 {
        execute(w.run, Run::new(n / 20));
    }
    println!("{} {}", w.name, execute(w.run, Run::new(n)).result());
}

fn main() {
    let mut args = std::env::args().skip(1);
    let peer = args.next().unwrap_or_default();
    let Some(args) = arguments(args) else { usage() };
    let workloads = match peer.as_str() {
        "crossbeam" => crossbeam::workloads(),
        "flume" => flume::workloads(),
        "kanal" => kanal::workloads(),
        "tokio" => return list_or_run(&args, tokio::workloads(), tokio::executor(args.procs)),
        _ => usage(),
    };
    if !args.list {
        threads::use_processors(args.procs);
    }
    list_or_run(&args, workloads, threads::execute);
}

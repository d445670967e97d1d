// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! One run of a workload: what class Run of bench/programs/workload.h is.

use std::time::Instant;

pub struct Run {
    pub n: i64,
    ops: i64,
    start: (Instant, i64),
    stop: (Instant, i64),
    figures: String,
}

/// This process's processor time.
fn cpu_nanos() -> i64 {
    let mut used = std::mem::MaybeUninit::<libc::rusage>::uninit();
    let used = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, used.as_mut_ptr()), 0);
        used.assume_init()
    };
    let nanos = |t: libc::timeval| t.tv_sec * 1_000_000_000 + t.tv_usec * 1000;
    nanos(used.ru_utime) + nanos(used.ru_stime)
}

/// Bytes of this process that are in memory.
pub fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: i64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

impl Run {
    pub fn new(n: i64) -> Run {
        let now = (Instant::now(), cpu_nanos());
        Run { n, ops: n, start: now, stop: now, figures: String::new() }
    }

    /// How many of the n things the k-th of some parties does.
    pub fn share(&self, k: i64, parties: i64) -> i64 {
        self.n / parties + i64::from(k < self.n % parties)
    }

    pub fn start(&mut self) {
        self.start = (Instant::now(), cpu_nanos());
    }
    pub fn stop(&mut self) {
        self.stop = (Instant::now(), cpu_nanos());
    }

    pub fn set_ops(&mut self, ops: i64) {
        self.ops = ops;
    }

    pub fn report(&mut self, name: &str, value: f64) {
        self.figures += &format!(" {name}={value:.3}");
    }
    /// Nanoseconds from one instant to the other, for each of the n.
    pub fn report_nanos(&mut self, name: &str, from: Instant, to: Instant) {
        self.report(name, (to - from).as_nanos() as f64 / self.n as f64);
    }

    pub fn check(&self, ok: bool, what: &str) {
        if !ok {
            eprintln!("wrong result: {what}");
            std::process::exit(1);
        }
    }
    pub fn check_sum(&self, sum: i64) {
        self.check(sum == self.n * (self.n - 1) / 2, "the sum of all values");
    }

    pub fn result(&self) -> String {
        let ops = self.ops as f64;
        let wall = (self.stop.0 - self.start.0).as_nanos() as f64;
        let cpu = (self.stop.1 - self.start.1) as f64;
        format!("{} {:.3} {:.3}{}", self.ops, wall / ops, cpu / ops, self.figures)
    }
}

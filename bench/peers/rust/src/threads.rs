// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! What the workloads on OS threads have in common.

use crate::run::Run;
use std::thread::JoinHandle;

/// A workload gets its run, and where to put the threads that it starts.
pub type Function = fn(&mut Run, &mut Threads);

#[derive(Default)]
pub struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    pub fn spawn(&mut self, f: impl FnOnce() + Send + 'static) {
        self.0.push(std::thread::spawn(f));
    }
}

/// A run, until its threads have ended.
pub fn execute(function: Function, mut run: Run) -> Run {
    let mut threads = Threads::default();
    function(&mut run, &mut threads);
    for thread in threads.0 {
        thread.join().unwrap();
    }
    run
}

/// Leaves this process `n` processors, or all that it has if these are fewer.
pub fn use_processors(n: usize) {
    let size = std::mem::size_of::<libc::cpu_set_t>();
    unsafe {
        let mut usable: libc::cpu_set_t = std::mem::zeroed();
        let mut chosen: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size, &mut usable) != 0 {
            return;
        }
        for cpu in 0..libc::CPU_SETSIZE as usize {
            if libc::CPU_ISSET(cpu, &usable) && (libc::CPU_COUNT(&chosen) as usize) < n {
                libc::CPU_SET(cpu, &mut chosen);
            }
        }
        libc::sched_setaffinity(0, size, &chosen);
    }
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! flume: channels as in channels.rs, and its Selector, which is made anew for
//! each choice and has no default. A channel that is closed by dropping its
//! sender stands for a context. Where several selectors share their channels,
//! 0.11.1 loses values (sums are wrong, or the run never ends): those workloads
//! are not here.

#[path = "channels.rs"]
mod channels;

mod peer {
    pub use flume::{bounded, Sender};
}

use crate::run::Run;
use crate::threads::{Function, Threads};
use crate::{workload, Workload};
use flume::{bounded, Receiver, Selector, Sender};

pub fn workloads() -> Vec<Workload<Function>> {
    let mut all = channels::workloads();
    all.extend([
        workload("select_2_ready", 3_000_000, two_ready as Function),
        workload("fan_in_4_0", 1_000_000, fan_in_4::<0>),
        workload("fan_in_4_128", 2_000_000, fan_in_4::<128>),
        workload("worker_ctx_0", 1_000_000, worker_ctx::<0>),
        workload("worker_ctx_128", 2_000_000, worker_ctx::<128>),
        workload("shared_done_1000", 500_000, shared_done_1000),
        workload("select_dynamic_100", 50_000, dynamic_100),
    ]);
    all
}

/// A select over all of them. One whose senders are gone is still ready.
fn recv_any(rx: &[Receiver<i64>]) -> i64 {
    loop {
        let select = rx.iter().fold(Selector::new(), |s, rx| s.recv(rx, |v| v));
        if let Ok(v) = select.wait() {
            return v;
        }
    }
}

fn two_ready(run: &mut Run, _: &mut Threads) {
    let (a_tx, a) = bounded(1);
    let (b_tx, b) = bounded(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        if i % 2 == 0 { &a_tx } else { &b_tx }.send(i).unwrap();
        sum += Selector::new().recv(&a, |v| v).recv(&b, |v| v).wait().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn make_4(capacity: usize) -> (Vec<Sender<i64>>, Vec<Receiver<i64>>) {
    (0..4).map(|_| bounded(capacity)).unzip()
}

fn fan_in_4<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = make_4(CAPACITY);
    let n = run.n;
    let mut sum = 0;
    run.start();
    for (k, tx) in tx.iter().cloned().enumerate() {
        threads.spawn(move || {
            for i in (k as i64..n).step_by(4) {
                tx.send(i).unwrap();
            }
        });
    }
    for _ in 0..n {
        sum += recv_any(&rx);
    }
    run.stop();
    run.check_sum(sum);
}

/// Work, or nothing when the context is done.
fn recv_or_done(work: &Receiver<i64>, done: &Receiver<()>) -> Option<i64> {
    Selector::new().recv(work, |v| v.ok()).recv(done, |_| None).wait()
}

fn worker_ctx<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, work) = bounded(CAPACITY);
    let (result_tx, result) = bounded(0);
    let last = run.n - 1;
    run.start();
    let (cancel, done) = bounded::<()>(0);
    threads.spawn(move || {
        let mut sum = 0;
        while let Some(v) = recv_or_done(&work, &done) {
            sum += v;
            if v == last {
                result_tx.send(sum).unwrap();
            }
        }
    });
    for i in 0..run.n {
        tx.send(i).unwrap();
    }
    let sum = result.recv().unwrap();
    drop(cancel);
    let open = result.recv().is_ok();
    run.stop();
    run.check_sum(sum);
    run.check(!open, "the worker's end");
}

fn shared_done_1000(run: &mut Run, threads: &mut Threads) {
    const WORKERS: usize = 1000;
    let channels: Vec<_> = (0..WORKERS).map(|_| bounded::<i64>(0)).collect();
    let (close, done) = bounded::<()>(0);
    let (sums_tx, sums) = bounded(WORKERS);
    let mut sum = 0;
    run.start();
    for (_, work) in &channels {
        let (work, done, sums_tx) = (work.clone(), done.clone(), sums_tx.clone());
        threads.spawn(move || {
            let mut mine = 0;
            while let Some(v) = recv_or_done(&work, &done) {
                mine += v;
            }
            sums_tx.send(mine).unwrap();
        });
    }
    for i in 0..run.n {
        channels[i as usize % WORKERS].0.send(i).unwrap();
    }
    drop(close);
    for _ in 0..WORKERS {
        sum += sums.recv().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn dynamic_100(run: &mut Run, _: &mut Threads) {
    const CASES: usize = 100;
    let (tx, rx): (Vec<_>, Vec<_>) = (0..CASES).map(|_| bounded::<i64>(1)).unzip();
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        tx[i as usize % CASES].send(i).unwrap();
        sum += recv_any(&rx);
    }
    run.stop();
    run.check_sum(sum);
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! crossbeam-channel: channels as in channels.rs, and its own select. A channel
//! that is closed by dropping its sender stands for a context.

#[path = "channels.rs"]
mod channels;

mod peer {
    pub use crossbeam_channel::{bounded, Sender};
}

use crate::run::Run;
use crate::threads::{Function, Threads};
use crate::{workload, Workload};
use crossbeam_channel::{bounded, never, select, Receiver, Select, Sender};

pub fn workloads() -> Vec<Workload<Function>> {
    let mut all = channels::workloads();
    all.extend([
        workload("select_2_ready", 3_000_000, two_ready as Function),
        workload("select_default", 5_000_000, with_default),
        workload("fan_in_4_0", 1_000_000, fan_in_4::<0>),
        workload("fan_in_4_128", 2_000_000, fan_in_4::<128>),
        workload("select_both_4x4_0", 1_000_000, both_sides_4x4::<0>),
        workload("select_both_4x4_128", 1_000_000, both_sides_4x4::<128>),
        workload("worker_ctx_0", 1_000_000, worker_ctx::<0>),
        workload("worker_ctx_128", 2_000_000, worker_ctx::<128>),
        workload("shared_done_1000", 500_000, shared_done_1000),
        workload("select_dynamic_100", 50_000, dynamic_100),
    ]);
    all
}

fn two_ready(run: &mut Run, _: &mut Threads) {
    let (a_tx, a) = bounded(1);
    let (b_tx, b) = bounded(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        if i % 2 == 0 { &a_tx } else { &b_tx }.send(i).unwrap();
        select! {
            recv(a) -> v => sum += v.unwrap(),
            recv(b) -> v => sum += v.unwrap(),
        }
    }
    run.stop();
    run.check_sum(sum);
}

fn with_default(run: &mut Run, _: &mut Threads) {
    let (_a_tx, a) = bounded::<i64>(0);
    let (_b_tx, b) = bounded::<i64>(0);
    let mut defaults = 0;
    run.start();
    for _ in 0..run.n {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
            default => defaults += 1,
        }
    }
    run.stop();
    run.check(defaults == run.n, "the number of defaults");
}

fn make_4(capacity: usize) -> ([Sender<i64>; 4], [Receiver<i64>; 4]) {
    let channels = [(); 4].map(|_| bounded(capacity));
    (channels.each_ref().map(|c| c.0.clone()), channels.map(|c| c.1))
}

/// A select over all; a channel whose senders are gone is switched off.
fn recv_any(rx: &mut [Receiver<i64>; 4]) -> i64 {
    loop {
        let (k, received) = select! {
            recv(rx[0]) -> v => (0, v),
            recv(rx[1]) -> v => (1, v),
            recv(rx[2]) -> v => (2, v),
            recv(rx[3]) -> v => (3, v),
        };
        match received {
            Ok(v) => return v,
            Err(_) => rx[k] = never(),
        }
    }
}

fn fan_in_4<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, mut rx) = make_4(CAPACITY);
    let n = run.n;
    let mut sum = 0;
    run.start();
    for (k, tx) in tx.into_iter().enumerate() {
        threads.spawn(move || {
            for i in (k as i64..n).step_by(4) {
                tx.send(i).unwrap();
            }
        });
    }
    for _ in 0..n {
        sum += recv_any(&mut rx);
    }
    run.stop();
    run.check_sum(sum);
}

fn both_sides_4x4<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = make_4(CAPACITY);
    let (sums_tx, sums) = bounded(4);
    let n = run.n;
    let mut sum = 0;
    run.start();
    for k in 0..4 {
        let tx = tx.clone();
        threads.spawn(move || {
            for i in (k..n).step_by(4) {
                select! {
                    send(tx[0], i) -> sent => sent.unwrap(),
                    send(tx[1], i) -> sent => sent.unwrap(),
                    send(tx[2], i) -> sent => sent.unwrap(),
                    send(tx[3], i) -> sent => sent.unwrap(),
                }
            }
        });
        let (mut rx, sums_tx, share) = (rx.clone(), sums_tx.clone(), run.share(k, 4));
        threads.spawn(move || {
            let mine = (0..share).map(|_| recv_any(&mut rx)).sum::<i64>();
            sums_tx.send(mine).unwrap();
        });
    }
    for _ in 0..4 {
        sum += sums.recv().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn worker_ctx<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, work) = bounded(CAPACITY);
    let (result_tx, result) = bounded(0);
    let last = run.n - 1;
    run.start();
    let (cancel, done) = bounded::<()>(0);
    threads.spawn(move || {
        let mut sum = 0;
        loop {
            select! {
                recv(work) -> v => {
                    let v = v.unwrap();
                    sum += v;
                    if v == last {
                        result_tx.send(sum).unwrap();
                    }
                }
                recv(done) -> _ => return,
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
            loop {
                select! {
                    recv(work) -> v => mine += v.unwrap(),
                    recv(done) -> _ => break,
                }
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
    let channels: Vec<_> = (0..CASES).map(|_| bounded::<i64>(1)).collect();
    let mut select = Select::new();
    for (_, rx) in &channels {
        select.recv(rx);
    }
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        channels[i as usize % CASES].0.send(i).unwrap();
        let case = select.select();
        let rx = &channels[case.index()].1;
        sum += case.recv(rx).unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

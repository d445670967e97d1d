// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! Workloads with channels on OS threads. Crossbeam's, flume's and kanal's
//! channels are used in the same way; the module above says whose these are.

use super::peer::{bounded, Sender};
use crate::run::Run;
use crate::threads::{Function, Threads};
use crate::{workload, Workload};
use std::time::Duration;

pub fn workloads() -> Vec<Workload<Function>> {
    vec![
        workload("seq_1", 5_000_000, sequential as Function),
        workload("ping_pong", 1_000_000, ping_pong),
        workload("spsc_0", 2_000_000, spsc::<0>),
        workload("spsc_1", 2_000_000, spsc::<1>),
        workload("spsc_128", 5_000_000, spsc::<128>),
        workload("spsc_1024", 5_000_000, spsc::<1024>),
        workload("mpmc_4x4_0", 2_000_000, mpmc::<4, 0>),
        workload("mpmc_4x4_128", 5_000_000, mpmc::<4, 128>),
        workload("mpmc_64x64_128", 5_000_000, mpmc::<64, 128>),
        workload("burst_4", 2_000_000, burst),
        workload("payload_64", 3_000_000, payload_64),
        workload("payload_string", 2_000_000, payload_string),
        workload("make_drop", 3_000_000, make_drop),
        workload("reply", 1_000_000, reply),
        workload("select_timeout", 500_000, timeout),
    ]
}

fn sequential(run: &mut Run, _: &mut Threads) {
    let (tx, rx) = bounded(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        tx.send(i).unwrap();
        sum += rx.recv().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn ping_pong(run: &mut Run, threads: &mut Threads) {
    let (ping, pinged) = bounded::<i64>(0);
    let (pong, ponged) = bounded::<i64>(0);
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        while let Ok(v) = pinged.recv() {
            pong.send(v).unwrap();
        }
    });
    for i in 0..run.n {
        ping.send(i).unwrap();
        sum += ponged.recv().unwrap();
    }
    drop(ping);
    run.stop();
    run.check_sum(sum);
}

fn spsc<const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded(CAPACITY);
    let n = run.n;
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        for i in 0..n {
            tx.send(i).unwrap();
        }
    });
    while let Ok(v) = rx.recv() {
        sum += v;
    }
    run.stop();
    run.check_sum(sum);
}

fn mpmc<const PARTIES: usize, const CAPACITY: usize>(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded(CAPACITY);
    let (sums_tx, sums) = bounded(PARTIES);
    let n = run.n;
    let mut sum = 0;
    run.start();
    for _ in 0..PARTIES {
        let (rx, sums_tx) = (rx.clone(), sums_tx.clone());
        threads.spawn(move || {
            let mut mine = 0;
            while let Ok(v) = rx.recv() {
                mine += v;
            }
            sums_tx.send(mine).unwrap();
        });
    }
    for k in 0..PARTIES {
        let tx = tx.clone();
        threads.spawn(move || {
            for i in (k as i64..n).step_by(PARTIES) {
                tx.send(i).unwrap();
            }
        });
    }
    drop(tx);
    for _ in 0..PARTIES {
        sum += sums.recv().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn burst(run: &mut Run, threads: &mut Threads) {
    const RECEIVERS: usize = 4;
    let (tx, rx) = bounded(0);
    let (got_tx, got) = bounded(RECEIVERS);
    let mut sum = 0;
    run.start();
    for _ in 0..RECEIVERS {
        let (rx, got_tx) = (rx.clone(), got_tx.clone());
        threads.spawn(move || {
            while let Ok(v) = rx.recv() {
                got_tx.send(v).unwrap();
            }
        });
    }
    let mut i = 0;
    while i < run.n {
        let end = run.n.min(i + RECEIVERS as i64);
        for v in i..end {
            tx.send(v).unwrap();
        }
        for _ in i..end {
            sum += got.recv().unwrap();
        }
        i = end;
    }
    drop(tx);
    run.stop();
    run.check_sum(sum);
}

fn payload_64(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded::<[i64; 8]>(128);
    let n = run.n;
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        for i in 0..n {
            tx.send([i, 0, 0, 0, 0, 0, 0, i]).unwrap();
        }
    });
    while let Ok(block) = rx.recv() {
        sum += (block[0] + block[7]) / 2;
    }
    run.stop();
    run.check_sum(sum);
}

fn payload_string(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded::<String>(128);
    let n = run.n;
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        let mut buffer = [0; 32];
        for i in 0..n {
            buffer[0] = b'a' + (i % 26) as u8;
            tx.send(String::from_utf8_lossy(&buffer).into_owned()).unwrap();
        }
    });
    while let Ok(text) = rx.recv() {
        sum += text.len() as i64 + i64::from(text.as_bytes()[0] - b'a');
    }
    run.stop();
    run.check(sum == (0..n).map(|i| 32 + i % 26).sum(), "the strings");
}

fn make_drop(run: &mut Run, _: &mut Threads) {
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        let (tx, rx) = bounded(1);
        tx.send(i).unwrap();
        sum += rx.recv().unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

fn reply(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded::<(i64, Sender<i64>)>(0);
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        while let Ok((value, reply)) = rx.recv() {
            reply.send(value).unwrap();
        }
    });
    for i in 0..run.n {
        let (reply_tx, reply) = bounded(1);
        tx.send((i, reply_tx)).unwrap();
        sum += reply.recv().unwrap();
    }
    drop(tx);
    run.stop();
    run.check_sum(sum);
}

fn timeout(run: &mut Run, threads: &mut Threads) {
    let (tx, rx) = bounded(0);
    let n = run.n;
    let mut sum = 0;
    run.start();
    threads.spawn(move || {
        for i in 0..n {
            tx.send(i).unwrap();
        }
    });
    for _ in 0..n {
        sum += rx.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    run.stop();
    run.check_sum(sum);
}

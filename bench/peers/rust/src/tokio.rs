// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

//! tokio: tasks, its mpsc channels (oneshot for replies), a CancellationToken for
//! a context.
//!
//! An mpsc channel has one receiver and at least one place. Workloads with many
//! receivers, and those that are about unbuffered channels, are not here; where
//! a workload merely uses an unbuffered channel, it has one place here.

use crate::run::{resident_bytes, Run};
use crate::{cold, workload, Workload};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, Mutex, Notify};
use tokio::task::{yield_now, JoinSet};
use tokio_util::sync::CancellationToken;

pub type Function = fn(Run) -> Pin<Box<dyn Future<Output = Run> + Send>>;

macro_rules! function {
    ($f:expr) => {
        (|run| Box::pin($f(run))) as Function
    };
}

pub fn workloads() -> Vec<Workload<Function>> {
    vec![
        workload("seq_1", 5_000_000, function!(sequential)),
        workload("ping_pong", 1_000_000, function!(ping_pong)),
        workload("spsc_1", 2_000_000, function!(spsc::<1>)),
        workload("spsc_128", 5_000_000, function!(spsc::<128>)),
        workload("spsc_1024", 5_000_000, function!(spsc::<1024>)),
        workload("payload_64", 3_000_000, function!(payload_64)),
        workload("payload_string", 2_000_000, function!(payload_string)),
        workload("make_drop", 3_000_000, function!(make_drop)),
        workload("reply", 1_000_000, function!(reply)),
        workload("select_2_ready", 3_000_000, function!(two_ready)),
        workload("select_default", 5_000_000, function!(with_default)),
        workload("fan_in_4_128", 2_000_000, function!(fan_in_4_128)),
        workload("worker_ctx_128", 2_000_000, function!(worker_ctx_128)),
        workload("shared_done_1000", 500_000, function!(shared_done_1000)),
        workload("select_timeout", 500_000, function!(timeout)),
        workload("cancel_tree", 100_000, function!(cancel_tree)),
        workload("with_timeout", 500_000, function!(with_timeout)),
        workload("spawn_join_1m", 1_000_000, function!(spawn_join::<0>)),
        workload("spawn_join_100", 1_000_000, function!(spawn_join::<100>)),
        workload("spawn_join_1", 500_000, function!(spawn_join::<1>)),
        workload("yield", 5_000_000, function!(yielding)),
        cold("sieve", 1_000, function!(sieve)),
        workload("sieve_select", 1_000, function!(sieve_select)),
        workload("daisy_chain", 100_000, function!(daisy_chain)),
        workload("mutex_1", 10_000_000, function!(locking::<1>)),
        workload("mutex_4", 10_000_000, function!(locking::<4>)),
        cold("blocked_1m", 1_000_000, function!(blocked)),
        cold("idle_10k", 10_000, function!(idle)),
    ]
}

/// Runs workloads as tasks of a runtime with so many workers.
pub fn executor(workers: usize) -> impl Fn(Function, Run) -> Run {
    let mut builder =
        if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(workers).enable_time().build().unwrap();
    move |function, run| runtime.block_on(async { tokio::spawn(function(run)).await.unwrap() })
}

async fn sequential(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        tx.send(i).await.unwrap();
        sum += rx.recv().await.unwrap();
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn ping_pong(mut run: Run) -> Run {
    let (ping, mut pinged) = mpsc::channel(1);
    let (pong, mut ponged) = mpsc::channel(1);
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        while let Some(v) = pinged.recv().await {
            pong.send(v).await.unwrap();
        }
    });
    for i in 0..run.n {
        ping.send(i).await.unwrap();
        sum += ponged.recv().await.unwrap();
    }
    drop(ping);
    run.stop();
    run.check_sum(sum);
    run
}

async fn spsc<const CAPACITY: usize>(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel(CAPACITY);
    let n = run.n;
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    });
    while let Some(v) = rx.recv().await {
        sum += v;
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn payload_64(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel::<[i64; 8]>(128);
    let n = run.n;
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        for i in 0..n {
            tx.send([i, 0, 0, 0, 0, 0, 0, i]).await.unwrap();
        }
    });
    while let Some(block) = rx.recv().await {
        sum += (block[0] + block[7]) / 2;
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn payload_string(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel::<String>(128);
    let n = run.n;
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        let mut buffer = [0; 32];
        for i in 0..n {
            buffer[0] = b'a' + (i % 26) as u8;
            tx.send(String::from_utf8_lossy(&buffer).into_owned()).await.unwrap();
        }
    });
    while let Some(text) = rx.recv().await {
        sum += text.len() as i64 + i64::from(text.as_bytes()[0] - b'a');
    }
    run.stop();
    run.check(sum == (0..n).map(|i| 32 + i % 26).sum(), "the strings");
    run
}

async fn make_drop(mut run: Run) -> Run {
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        let (tx, mut rx) = mpsc::channel(1);
        tx.send(i).await.unwrap();
        sum += rx.recv().await.unwrap();
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn reply(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel::<(i64, oneshot::Sender<i64>)>(1);
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        while let Some((value, reply)) = rx.recv().await {
            reply.send(value).unwrap();
        }
    });
    for i in 0..run.n {
        let (reply_tx, reply) = oneshot::channel();
        tx.send((i, reply_tx)).await.unwrap();
        sum += reply.await.unwrap();
    }
    drop(tx);
    run.stop();
    run.check_sum(sum);
    run
}

async fn two_ready(mut run: Run) -> Run {
    let (a_tx, mut a) = mpsc::channel(1);
    let (b_tx, mut b) = mpsc::channel(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        if i % 2 == 0 { &a_tx } else { &b_tx }.send(i).await.unwrap();
        tokio::select! {
            v = a.recv() => sum += v.unwrap(),
            v = b.recv() => sum += v.unwrap(),
        }
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn with_default(mut run: Run) -> Run {
    let (_a_tx, mut a) = mpsc::channel::<i64>(1);
    let (_b_tx, mut b) = mpsc::channel::<i64>(1);
    let mut defaults = 0;
    run.start();
    for _ in 0..run.n {
        tokio::select! {
            biased;
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = std::future::ready(()) => defaults += 1,
        }
    }
    run.stop();
    run.check(defaults == run.n, "the number of defaults");
    run
}

async fn fan_in_4_128(mut run: Run) -> Run {
    let (tx, mut rx): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel(128)).unzip();
    let n = run.n;
    let mut sum = 0;
    run.start();
    for (k, tx) in tx.into_iter().enumerate() {
        tokio::spawn(async move {
            for i in (k as i64..n).step_by(4) {
                tx.send(i).await.unwrap();
            }
        });
    }
    let [a, b, c, d] = &mut rx[..] else { unreachable!() };
    for _ in 0..n {
        sum += tokio::select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            Some(v) = c.recv() => v,
            Some(v) = d.recv() => v,
            else => break,
        };
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn worker_ctx_128(mut run: Run) -> Run {
    let (tx, mut work) = mpsc::channel(128);
    let (result_tx, mut result) = mpsc::channel(1);
    let last = run.n - 1;
    run.start();
    let cancel = CancellationToken::new();
    let ctx = cancel.clone();
    tokio::spawn(async move {
        let mut sum = 0;
        let done = ctx.cancelled();
        tokio::pin!(done);
        loop {
            tokio::select! {
                v = work.recv() => {
                    let v = v.unwrap();
                    sum += v;
                    if v == last {
                        result_tx.send(sum).await.unwrap();
                    }
                }
                _ = &mut done => return,
            }
        }
    });
    for i in 0..run.n {
        tx.send(i).await.unwrap();
    }
    let sum = result.recv().await.unwrap();
    cancel.cancel();
    let open = result.recv().await.is_some();
    run.stop();
    run.check_sum(sum);
    run.check(!open, "the worker's end");
    run
}

async fn shared_done_1000(mut run: Run) -> Run {
    const WORKERS: usize = 1000;
    let (tx, rx): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel::<i64>(1)).unzip();
    let (sums_tx, mut sums) = mpsc::channel(WORKERS);
    let close = CancellationToken::new();
    let mut sum = 0;
    run.start();
    for mut work in rx {
        let (close, sums_tx) = (close.clone(), sums_tx.clone());
        tokio::spawn(async move {
            let mut mine = 0;
            let done = close.cancelled();
            tokio::pin!(done);
            loop {
                tokio::select! {
                    biased; // an item may lie there when all is over
                    v = work.recv() => mine += v.unwrap(),
                    _ = &mut done => break,
                }
            }
            sums_tx.send(mine).await.unwrap();
        });
    }
    for i in 0..run.n {
        tx[i as usize % WORKERS].send(i).await.unwrap();
    }
    close.cancel();
    for _ in 0..WORKERS {
        sum += sums.recv().await.unwrap();
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn timeout(mut run: Run) -> Run {
    let (tx, mut rx) = mpsc::channel(1);
    let n = run.n;
    let mut sum = 0;
    run.start();
    tokio::spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    });
    for _ in 0..n {
        let received = tokio::time::timeout(Duration::from_secs(60), rx.recv()).await;
        sum += received.unwrap().unwrap();
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn cancel_tree(mut run: Run) -> Run {
    let mut nodes = Vec::with_capacity(run.n as usize);
    run.start();
    let start = Instant::now();
    nodes.push(CancellationToken::new());
    for i in 1..run.n as usize {
        nodes.push(nodes[(i - 1) / 10].child_token());
    }
    let made = Instant::now();
    nodes[0].cancel();
    let cancelled = Instant::now();
    run.stop();
    run.check(nodes.iter().all(|node| node.is_cancelled()), "a token is not cancelled");
    run.report_nanos("make_ns", start, made);
    run.report_nanos("cancel_ns", made, cancelled);
    run
}

async fn with_timeout(mut run: Run) -> Run {
    let parent = CancellationToken::new();
    let (tx, mut work) = mpsc::channel(1);
    let mut sum = 0;
    run.start();
    for i in 0..run.n {
        let ctx = parent.child_token();
        tx.send(i).await.unwrap();
        tokio::select! {
            v = work.recv() => sum += v.unwrap(),
            _ = ctx.cancelled() => {}
            _ = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        ctx.cancel();
    }
    run.stop();
    run.check_sum(sum);
    run
}

async fn spawn_join<const BATCH: i64>(mut run: Run) -> Run {
    let slots: Arc<Vec<_>> = Arc::new((0..run.n).map(|_| AtomicI64::new(0)).collect());
    run.start();
    let mut i = 0;
    while i < run.n {
        let end = if BATCH == 0 { run.n } else { run.n.min(i + BATCH) };
        let handles: Vec<_> = (i..end)
            .map(|i| {
                let slots = slots.clone();
                tokio::spawn(async move { slots[i as usize].store(i, Ordering::Relaxed) })
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
        i = end;
    }
    run.stop();
    run.check_sum(slots.iter().map(|slot| slot.load(Ordering::Relaxed)).sum());
    run
}

async fn yielding(mut run: Run) -> Run {
    let parties = 2 * tokio::runtime::Handle::current().metrics().num_workers() as i64;
    let mut tasks = JoinSet::new();
    run.start();
    for k in 0..parties {
        let share = run.share(k, parties);
        tasks.spawn(async move {
            let mut done = 0;
            while done < share {
                yield_now().await;
                done += 1;
            }
            done
        });
    }
    let yields = tasks.join_all().await;
    run.stop();
    run.check(yields.iter().sum::<i64>() == run.n, "the number of yields");
    run
}

fn nth_prime(n: i64) -> i64 {
    let mut primes: Vec<i64> = Vec::new();
    let mut i = 2;
    while (primes.len() as i64) < n {
        if primes.iter().take_while(|&p| p * p <= i).all(|p| i % p != 0) {
            primes.push(i);
        }
        i += 1;
    }
    primes[n as usize - 1]
}

async fn sieve(mut run: Run) -> Run {
    let mut prime = 0;
    run.start();
    let (tx, mut rx) = mpsc::channel::<i64>(1);
    tokio::spawn(async move {
        let mut i = 2;
        while tx.send(i).await.is_ok() {
            i += 1;
        }
    });
    for _ in 0..run.n {
        prime = rx.recv().await.unwrap();
        let (out, next) = mpsc::channel(1);
        let mut input = std::mem::replace(&mut rx, next);
        tokio::spawn(async move {
            while let Some(v) = input.recv().await {
                if v % prime != 0 && out.send(v).await.is_err() {
                    return;
                }
            }
        });
    }
    run.stop();
    run.check(prime == nth_prime(run.n), "the last prime");
    run
}

async fn sieve_select(mut run: Run) -> Run {
    let mut prime = 0;
    let done = CancellationToken::new();
    let mut filters = JoinSet::new();
    run.start();
    let (tx, mut rx) = mpsc::channel::<i64>(1);
    let ctx = done.clone();
    filters.spawn(async move {
        let end = ctx.cancelled();
        tokio::pin!(end);
        for i in 2.. {
            tokio::select! {
                sent = tx.send(i) => if sent.is_err() { return },
                _ = &mut end => return,
            }
        }
    });
    for _ in 0..run.n {
        prime = rx.recv().await.unwrap();
        let (out, next) = mpsc::channel(1);
        let mut input = std::mem::replace(&mut rx, next);
        let ctx = done.clone();
        filters.spawn(async move {
            let end = ctx.cancelled();
            tokio::pin!(end);
            loop {
                let v = tokio::select! {
                    received = input.recv() => match received {
                        Some(v) => v,
                        None => return,
                    },
                    _ = &mut end => return,
                };
                if v % prime == 0 {
                    continue;
                }
                tokio::select! {
                    sent = out.send(v) => if sent.is_err() { return },
                    _ = &mut end => return,
                }
            }
        });
    }
    done.cancel();
    filters.join_all().await;
    run.stop();
    run.check(prime == nth_prime(run.n), "the last prime");
    run
}

async fn daisy_chain(mut run: Run) -> Run {
    run.start();
    let (mut left, mut leftmost) = mpsc::channel::<i64>(1);
    for _ in 0..run.n {
        let (tx, mut right) = mpsc::channel(1);
        let to = std::mem::replace(&mut left, tx);
        tokio::spawn(async move {
            let v = right.recv().await.unwrap();
            to.send(1 + v).await.unwrap();
        });
    }
    tokio::spawn(async move { left.send(1).await.unwrap() });
    let count = leftmost.recv().await.unwrap();
    run.stop();
    run.check(count == run.n + 1, "the length of the chain");
    run
}

async fn locking<const PARTIES: i64>(mut run: Run) -> Run {
    let counter = Arc::new(Mutex::new(0));
    let mut tasks = JoinSet::new();
    run.start();
    for k in 0..PARTIES {
        let (counter, share) = (counter.clone(), run.share(k, PARTIES));
        tasks.spawn(async move {
            for _ in 0..share {
                *counter.lock().await += 1;
            }
        });
    }
    tasks.join_all().await;
    run.stop();
    run.check(*counter.lock().await == run.n, "the counter");
    run
}

async fn blocked(mut run: Run) -> Run {
    let gate = CancellationToken::new();
    let begun = Arc::new((AtomicI64::new(0), Notify::new()));
    let mut tasks = Vec::with_capacity(run.n as usize);
    let n = run.n;
    let resident = resident_bytes();
    run.start();
    let start = Instant::now();
    for _ in 0..run.n {
        let (gate, begun) = (gate.clone(), begun.clone());
        tasks.push(tokio::spawn(async move {
            if begun.0.fetch_add(1, Ordering::AcqRel) + 1 == n {
                begun.1.notify_one();
            }
            gate.cancelled().await;
            1
        }));
    }
    begun.1.notified().await;
    let blocked = Instant::now();
    let grown = resident_bytes() - resident;
    let mut count = 0;
    let close = Instant::now();
    gate.cancel();
    for task in tasks {
        count += task.await.unwrap();
    }
    let woken = Instant::now();
    run.stop();
    run.check(count == run.n, "the number of those woken");
    run.report_nanos("create_ns", start, blocked);
    run.report_nanos("wake_ns", close, woken);
    run.report("resident_bytes", grown as f64 / run.n as f64);
    run
}

async fn idle(mut run: Run) -> Run {
    const BLOCKED: usize = 10_000;
    let gate = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for _ in 0..BLOCKED {
        let gate = gate.clone();
        tasks.spawn(async move { gate.cancelled().await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await; // all block
    run.start();
    tokio::time::sleep(Duration::from_millis(run.n as u64)).await;
    run.stop();
    run.set_ops(1);
    gate.cancel();
    tasks.join_all().await;
    run
}

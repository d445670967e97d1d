// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

import java.util.concurrent.atomic.AtomicLong
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.selects.select
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.yield

val coroutineWorkloads = listOf(
    Workload("spawn_join_1m", 1_000_000) { spawnJoin(it, it.n) },
    Workload("spawn_join_100", 1_000_000) { spawnJoin(it, 100) },
    Workload("spawn_join_1", 500_000) { spawnJoin(it, 1) },
    Workload("yield", 5_000_000) { yielding(it) },
    Workload("sieve", 1_000, warmUp = false) { sieve(it) },
    Workload("sieve_select", 1_000) { sieveSelect(it) },
    Workload("daisy_chain", 100_000) { daisyChain(it) },
    Workload("mutex_1", 10_000_000) { locking(it, 1) },
    Workload("mutex_4", 10_000_000) { locking(it, 4) },
    Workload("cross_wake", 50_000, minProcs = 2) { crossWake(it) },
    Workload("blocked_1m", 1_000_000, warmUp = false) { blocked(it) },
    Workload("idle_10k", 10_000, warmUp = false) { idle(it) },
)

suspend fun spawnJoin(run: Run, batch: Long) {
    val slots = LongArray(run.n.toInt())
    run.start()
    for (i in 0 until run.n step batch) {
        coroutineScope {
            for (k in i until minOf(run.n, i + batch)) launch { slots[k.toInt()] = k }
        }
    }
    run.stop()
    run.checkSum(slots.sum())
}

suspend fun yielding(run: Run) {
    val parties = 2 * procs
    val yields = LongArray(parties)
    run.start()
    coroutineScope {
        for (k in 0 until parties) {
            launch {
                val share = run.share(k, parties)
                var done = 0L
                while (done < share) {
                    yield()
                    ++done
                }
                yields[k] = done
            }
        }
    }
    run.stop()
    run.check(yields.sum() == run.n, "the number of yields")
}

fun nthPrime(n: Long): Long {
    val primes = ArrayList<Long>()
    var i = 2L
    while (primes.size < n) {
        if (primes.asSequence().takeWhile { it * it <= i }.all { i % it != 0L }) primes.add(i)
        ++i
    }
    return primes.last()
}

suspend fun sieve(run: Run) = coroutineScope {
    var prime = 0L
    run.start()
    var ch = Channel<Long>()
    val first = ch
    launch {
        var i = 2L
        while (true) first.send(i++)
    }
    for (k in 0 until run.n) {
        prime = ch.receive()
        val input = ch
        val out = Channel<Long>()
        val divisor = prime
        launch {
            while (true) {
                val v = input.receive()
                if (v % divisor != 0L) out.send(v)
            }
        }
        ch = out
    }
    run.stop()
    run.check(prime == nthPrime(run.n), "the last prime")
    coroutineContext.cancelChildren()
}

suspend fun sieveSelect(run: Run) {
    var prime = 0L
    val done = Job()
    run.start()
    coroutineScope {
        var ch = Channel<Long>()
        val first = ch
        launch {
            var i = 2L
            while (select<Boolean> {
                    first.onSend(i) { true }
                    done.onJoin { false }
                }) ++i
        }
        for (k in 0 until run.n) {
            prime = ch.receive()
            val input = ch
            val out = Channel<Long>()
            val divisor = prime
            launch {
                while (true) {
                    val v = receiveOrDone(input, done)
                    if (v < 0) break
                    if (v % divisor == 0L) continue
                    if (!select<Boolean> {
                            out.onSend(v) { true }
                            done.onJoin { false }
                        }) break
                }
            }
            ch = out
        }
        done.cancel()
    }
    run.stop()
    run.check(prime == nthPrime(run.n), "the last prime")
}

suspend fun daisyChain(run: Run) = coroutineScope {
    run.start()
    val leftmost = Channel<Long>()
    var left = leftmost
    for (i in 0 until run.n) {
        val to = left
        val right = Channel<Long>()
        launch { to.send(1 + right.receive()) }
        left = right
    }
    val last = left
    launch { last.send(1) }
    val count = leftmost.receive()
    run.stop()
    run.check(count == run.n + 1, "the length of the chain")
}

suspend fun locking(run: Run, parties: Int) {
    val mutex = Mutex()
    var counter = 0L
    run.start()
    coroutineScope {
        for (k in 0 until parties) {
            launch {
                for (i in 0 until run.share(k, parties)) mutex.withLock { ++counter }
            }
        }
    }
    run.stop()
    run.check(counter == run.n, "the counter")
}

suspend fun crossWake(run: Run) {
    val ch = Channel<Long>(1)
    val answer = AtomicLong(-1)
    var sum = 0L
    run.start()
    coroutineScope {
        launch {
            for (v in ch) {
                sum += v
                answer.set(v)
            }
        }
        for (i in 0 until run.n) {
            ch.send(i)
            while (answer.get() != i) Thread.onSpinWait()
        }
        ch.close()
    }
    run.stop()
    run.checkSum(sum)
}

suspend fun blocked(run: Run) {
    val gate = Channel<Unit>()
    val begun = AtomicLong()
    val allBegun = CompletableDeferred<Unit>()
    val closed = ByteArray(run.n.toInt())
    val resident = residentBytes()
    run.start()
    val start = Instant()
    var close = start
    coroutineScope {
        for (i in 0 until run.n.toInt()) {
            launch {
                if (begun.incrementAndGet() == run.n) allBegun.complete(Unit)
                closed[i] = if (gate.receiveCatching().isClosed) 1 else 0
            }
        }
        allBegun.await()
        run.reportNanos("create_ns", start, Instant())
        run.report("resident_bytes", (residentBytes() - resident).toDouble() / run.n)
        close = Instant()
        gate.close()
    }
    run.stop()
    run.reportNanos("wake_ns", close, Instant())
    run.check(closed.sum().toLong() == run.n, "the number of those woken")
}

suspend fun idle(run: Run) = coroutineScope {
    val gate = Channel<Unit>()
    repeat(10_000) { launch { gate.receiveCatching() } }
    delay(100) // all block, whoever winds down does so now
    run.start()
    delay(run.n)
    run.stop()
    run.ops = 1
    gate.close()
}

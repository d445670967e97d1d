// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// select here takes the first ready clause in written order. A Job stands for a
// context.

import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.selects.onTimeout
import kotlinx.coroutines.selects.select

val selectWorkloads = listOf(
    Workload("select_2_ready", 3_000_000) { twoReady(it) },
    Workload("select_default", 5_000_000) { withDefault(it) },
    Workload("fan_in_4_0", 1_000_000) { fanIn4(it, 0) },
    Workload("fan_in_4_128", 2_000_000) { fanIn4(it, 128) },
    Workload("select_both_4x4_0", 1_000_000) { bothSides4x4(it, 0) },
    Workload("select_both_4x4_128", 1_000_000) { bothSides4x4(it, 128) },
    Workload("worker_ctx_0", 1_000_000) { workerCtx(it, 0) },
    Workload("worker_ctx_128", 2_000_000) { workerCtx(it, 128) },
    Workload("shared_done_1000", 500_000) { sharedDone1000(it) },
    Workload("select_dynamic_100", 50_000) { dynamic100(it) },
    Workload("select_timeout", 500_000) { timeout(it) },
)

suspend fun twoReady(run: Run) {
    val a = Channel<Long>(1)
    val b = Channel<Long>(1)
    var sum = 0L
    run.start()
    for (i in 0 until run.n) {
        (if (i % 2 == 0L) a else b).send(i)
        sum += select<Long> {
            a.onReceive { it }
            b.onReceive { it }
        }
    }
    run.stop()
    run.checkSum(sum)
}

@OptIn(ExperimentalCoroutinesApi::class)
suspend fun withDefault(run: Run) {
    val a = Channel<Long>()
    val b = Channel<Long>()
    var defaults = 0L
    run.start()
    for (i in 0 until run.n) {
        select<Unit> {
            a.onReceive { }
            b.onReceive { }
            onTimeout(0) { ++defaults }
        }
    }
    run.stop()
    run.check(defaults == run.n, "the number of defaults")
}

suspend fun receiveAny(ch: List<ReceiveChannel<Long>>) = select<Long> {
    ch[0].onReceive { it }
    ch[1].onReceive { it }
    ch[2].onReceive { it }
    ch[3].onReceive { it }
}

suspend fun fanIn4(run: Run, capacity: Int) = coroutineScope {
    val ch = List(4) { Channel<Long>(capacity) }
    var sum = 0L
    run.start()
    for (k in 0 until 4) {
        launch { for (i in k until run.n step 4) ch[k].send(i) }
    }
    for (i in 0 until run.n) sum += receiveAny(ch)
    run.stop()
    run.checkSum(sum)
}

suspend fun bothSides4x4(run: Run, capacity: Int) = coroutineScope {
    val ch = List(4) { Channel<Long>(capacity) }
    val sums = Channel<Long>(4)
    var sum = 0L
    run.start()
    for (k in 0 until 4) {
        launch {
            for (i in k until run.n step 4) {
                select<Unit> {
                    ch[0].onSend(i) {}
                    ch[1].onSend(i) {}
                    ch[2].onSend(i) {}
                    ch[3].onSend(i) {}
                }
            }
        }
        launch {
            var mine = 0L
            for (i in 0 until run.share(k, 4)) mine += receiveAny(ch)
            sums.send(mine)
        }
    }
    repeat(4) { sum += sums.receive() }
    run.stop()
    run.checkSum(sum)
}

/** Work, or -1 when the context is done. */
suspend fun receiveOrDone(work: ReceiveChannel<Long>, done: Job) = select<Long> {
    work.onReceive { it }
    done.onJoin { -1 }
}

suspend fun workerCtx(run: Run, capacity: Int) = coroutineScope {
    val work = Channel<Long>(capacity)
    val result = Channel<Long>()
    run.start()
    val ctx = Job()
    launch {
        var sum = 0L
        while (true) {
            val v = receiveOrDone(work, ctx)
            if (v < 0) break
            sum += v
            if (v == run.n - 1) result.send(sum)
        }
        result.close()
    }
    for (i in 0 until run.n) work.send(i)
    val sum = result.receive()
    ctx.cancel()
    val open = result.receiveCatching().isSuccess
    run.stop()
    run.checkSum(sum)
    run.check(!open, "the worker's end")
}

suspend fun sharedDone1000(run: Run) = coroutineScope {
    val workers = 1000
    val work = List(workers) { Channel<Long>() }
    val done = Job()
    val sums = Channel<Long>(workers)
    var sum = 0L
    run.start()
    for (ch in work) {
        launch {
            var mine = 0L
            while (true) {
                val v = receiveOrDone(ch, done)
                if (v < 0) break
                mine += v
            }
            sums.send(mine)
        }
    }
    for (i in 0 until run.n) work[(i % workers).toInt()].send(i)
    done.cancel()
    repeat(workers) { sum += sums.receive() }
    run.stop()
    run.checkSum(sum)
}

suspend fun dynamic100(run: Run) {
    val ch = List(100) { Channel<Long>(1) }
    var sum = 0L
    run.start()
    for (i in 0 until run.n) {
        ch[(i % 100).toInt()].send(i)
        sum += select<Long> { for (c in ch) c.onReceive { it } }
    }
    run.stop()
    run.checkSum(sum)
}

@OptIn(ExperimentalCoroutinesApi::class)
suspend fun timeout(run: Run) = coroutineScope {
    val ch = Channel<Long>()
    var sum = 0L
    run.start()
    launch { for (i in 0 until run.n) ch.send(i) }
    for (i in 0 until run.n) {
        sum += select<Long> {
            ch.onReceive { it }
            onTimeout(60_000) { 0 }
        }
    }
    run.stop()
    run.checkSum(sum)
}

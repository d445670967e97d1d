// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Contexts are Jobs here. Not here: timers by the million and sleeps of less
// than a millisecond, which the library does not have.

import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.withTimeout

val jobWorkloads = listOf(
    Workload("cancel_tree", 100_000) { cancelTree(it) },
    Workload("with_timeout", 500_000) { withTimeoutPerRequest(it) },
)

fun cancelTree(run: Run) {
    val nodes = ArrayList<Job>(run.n.toInt())
    run.start()
    val start = Instant()
    nodes.add(Job())
    for (i in 1 until run.n.toInt()) nodes.add(Job(nodes[(i - 1) / 10]))
    val made = Instant()
    nodes[0].cancel()
    val cancelled = Instant()
    run.stop()
    run.check(nodes.all { it.isCancelled }, "a job is not cancelled")
    run.reportNanos("make_ns", start, made)
    run.reportNanos("cancel_ns", made, cancelled)
}

suspend fun withTimeoutPerRequest(run: Run) {
    val work = Channel<Long>(1)
    var sum = 0L
    run.start()
    for (i in 0 until run.n) {
        withTimeout(60_000) {
            work.send(i)
            sum += work.receive()
        }
    }
    run.stop()
    run.checkSum(sum)
}

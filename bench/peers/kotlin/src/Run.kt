// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

import com.sun.management.OperatingSystemMXBean
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.system.exitProcess

private val system = ManagementFactory.getOperatingSystemMXBean() as OperatingSystemMXBean

/** A point in time: the wall's and this process's processors'. */
class Instant {
    val wallNanos = System.nanoTime()
    val cpuNanos = system.processCpuTime
}

/** Bytes of this process that are in memory. */
fun residentBytes() = File("/proc/self/statm").readText().split(" ")[1].toLong() * 4096

/** One run of a workload: what class Run of bench/programs/workload.h is. */
class Run(val n: Long) {
    var ops = n
    private var start = Instant()
    private var stop = start
    private val figures = StringBuilder()

    /** How many of the n things the k-th of some parties does. */
    fun share(k: Int, parties: Int) = n / parties + if (k < n % parties) 1 else 0

    fun start() { start = Instant() }
    fun stop() { stop = Instant() }

    fun report(name: String, value: Double) {
        figures.append(" %s=%.3f".format(name, value))
    }
    fun reportNanos(name: String, from: Instant, to: Instant) =
        report(name, (to.wallNanos - from.wallNanos).toDouble() / n)

    fun check(ok: Boolean, what: String) {
        if (ok) return
        System.err.println("wrong result: $what")
        exitProcess(1)
    }
    fun checkSum(sum: Long) = check(sum == n * (n - 1) / 2, "the sum of all values")

    fun result() = "%d %.3f %.3f%s".format(
        ops, (stop.wallNanos - start.wallNanos).toDouble() / ops,
        (stop.cpuNanos - start.cpuNanos).toDouble() / ops, figures)
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// Runs one workload of bench/workloads.md with Kotlin's coroutines, and prints
// what it took, as bench/programs/main.cc does:
//
//     java ... MainKt NAME [N] [--procs=P]
//     java ... MainKt --list

import java.util.Locale
import kotlin.system.exitProcess
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runBlocking

/** Coroutines run on Dispatchers.Default, which has `procs` threads. */
class Workload(val name: String, val n: Long, val minProcs: Int = 1, val warmUp: Boolean = true,
               val run: suspend (Run) -> Unit)

/** What the dispatcher's threads are. */
var procs = Runtime.getRuntime().availableProcessors()

/** The virtual machine compiles what it has run a while: runs of N / 20 before the measured one. */
const val WARM_UPS = 8

private fun usage(): Nothing {
    System.err.println("usage: MainKt NAME [N] [--procs=P] | --list")
    exitProcess(2)
}

fun main(args: Array<String>) {
    Locale.setDefault(Locale.ROOT)
    val all = channelWorkloads + selectWorkloads + jobWorkloads + coroutineWorkloads
    var name = ""
    var n = 0L
    for (arg in args) {
        if (arg == "--list") {
            for (w in all) println("${w.name} ${w.n} ${w.minProcs}")
            return
        } else if (arg.startsWith("--procs=")) {
            procs = arg.substringAfter("=").toIntOrNull()?.takeIf { it > 0 } ?: usage()
        } else if (name == "" && !arg.startsWith("-")) {
            name = arg
        } else {
            n = arg.toLongOrNull()?.takeIf { it > 0 } ?: usage()
        }
    }
    val workload = all.find { it.name == name } ?: usage()
    if (n == 0L) n = workload.n
    if (procs < workload.minProcs) {
        System.err.println("$name needs ${workload.minProcs} workers")
        exitProcess(1)
    }

    // Read by the library when Dispatchers.Default is first used.
    System.setProperty("kotlinx.coroutines.scheduler.core.pool.size", "$procs")
    System.setProperty("kotlinx.coroutines.scheduler.max.pool.size", "$procs")
    runBlocking(Dispatchers.Default) {
        if (workload.warmUp && n >= 20) repeat(WARM_UPS) { workload.run(Run(n / 20)) }
        val run = Run(n)
        workload.run(run)
        println("$name ${run.result()}")
    }
    exitProcess(0) // whatever still waits
}

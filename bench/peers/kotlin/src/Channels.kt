// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

val channelWorkloads = listOf(
    Workload("seq_1", 5_000_000) { sequential(it) },
    Workload("ping_pong", 1_000_000) { pingPong(it) },
    Workload("spsc_0", 2_000_000) { spsc(it, 0) },
    Workload("spsc_1", 2_000_000) { spsc(it, 1) },
    Workload("spsc_128", 5_000_000) { spsc(it, 128) },
    Workload("spsc_1024", 5_000_000) { spsc(it, 1024) },
    Workload("mpmc_4x4_0", 2_000_000) { mpmc(it, 4, 0) },
    Workload("mpmc_4x4_128", 5_000_000) { mpmc(it, 4, 128) },
    Workload("mpmc_64x64_128", 5_000_000) { mpmc(it, 64, 128) },
    Workload("burst_4", 2_000_000) { burst(it) },
    Workload("payload_64", 3_000_000) { payload64(it) },
    Workload("payload_string", 2_000_000) { payloadString(it) },
    Workload("make_drop", 3_000_000) { makeDrop(it) },
    Workload("reply", 1_000_000) { reply(it) },
)

suspend fun sequential(run: Run) {
    val ch = Channel<Long>(1)
    var sum = 0L
    run.start()
    for (i in 0 until run.n) {
        ch.send(i)
        sum += ch.receive()
    }
    run.stop()
    run.checkSum(sum)
}

suspend fun pingPong(run: Run) = coroutineScope {
    val ping = Channel<Long>()
    val pong = Channel<Long>()
    var sum = 0L
    run.start()
    launch { for (v in ping) pong.send(v) }
    for (i in 0 until run.n) {
        ping.send(i)
        sum += pong.receive()
    }
    ping.close()
    run.stop()
    run.checkSum(sum)
}

suspend fun spsc(run: Run, capacity: Int) = coroutineScope {
    val ch = Channel<Long>(capacity)
    var sum = 0L
    run.start()
    launch {
        for (i in 0 until run.n) ch.send(i)
        ch.close()
    }
    for (v in ch) sum += v
    run.stop()
    run.checkSum(sum)
}

suspend fun mpmc(run: Run, parties: Int, capacity: Int) = coroutineScope {
    val ch = Channel<Long>(capacity)
    val sums = Channel<Long>(parties)
    var sum = 0L
    run.start()
    repeat(parties) {
        launch {
            var mine = 0L
            for (v in ch) mine += v
            sums.send(mine)
        }
    }
    coroutineScope {
        for (k in 0 until parties) {
            launch { for (i in k until run.n step parties.toLong()) ch.send(i) }
        }
    }
    ch.close()
    repeat(parties) { sum += sums.receive() }
    run.stop()
    run.checkSum(sum)
}

suspend fun burst(run: Run) = coroutineScope {
    val receivers = 4
    val ch = Channel<Long>()
    val got = Channel<Long>(receivers)
    var sum = 0L
    run.start()
    repeat(receivers) {
        launch { for (v in ch) got.send(v) }
    }
    for (i in 0 until run.n step receivers.toLong()) {
        val end = minOf(run.n, i + receivers)
        for (v in i until end) ch.send(v)
        for (v in i until end) sum += got.receive()
    }
    ch.close()
    run.stop()
    run.checkSum(sum)
}

/** The virtual machine passes a reference, whatever the size. */
class Block(val words: LongArray)

suspend fun payload64(run: Run) = coroutineScope {
    val ch = Channel<Block>(128)
    var sum = 0L
    run.start()
    launch {
        for (i in 0 until run.n) {
            val words = LongArray(8)
            words[0] = i
            words[7] = i
            ch.send(Block(words))
        }
        ch.close()
    }
    for (block in ch) sum += (block.words[0] + block.words[7]) / 2
    run.stop()
    run.checkSum(sum)
}

suspend fun payloadString(run: Run) = coroutineScope {
    val ch = Channel<String>(128)
    var sum = 0L
    run.start()
    launch {
        val buffer = ByteArray(32)
        for (i in 0 until run.n) {
            buffer[0] = ('a'.code + i % 26).toByte()
            ch.send(String(buffer, Charsets.ISO_8859_1))
        }
        ch.close()
    }
    for (text in ch) sum += text.length + (text[0] - 'a')
    run.stop()
    var expected = 0L
    for (i in 0 until run.n) expected += 32 + i % 26
    run.check(sum == expected, "the strings")
}

suspend fun makeDrop(run: Run) {
    var sum = 0L
    run.start()
    for (i in 0 until run.n) {
        val ch = Channel<Long>(1)
        ch.send(i)
        sum += ch.receive()
    }
    run.stop()
    run.checkSum(sum)
}

suspend fun reply(run: Run) = coroutineScope {
    class Request(val value: Long, val reply: Channel<Long>)
    val requests = Channel<Request>()
    var sum = 0L
    run.start()
    launch { for (request in requests) request.reply.send(request.value) }
    for (i in 0 until run.n) {
        val reply = Channel<Long>(1)
        requests.send(Request(i, reply))
        sum += reply.receive()
    }
    requests.close()
    run.stop()
    run.checkSum(sum)
}

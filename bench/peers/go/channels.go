// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import "sync"

var channelWorkloads = []workload{
	{name: "seq_1", n: 5_000_000, run: sequential},
	{name: "ping_pong", n: 1_000_000, run: pingPong},
	{name: "spsc_0", n: 2_000_000, run: spsc(0)},
	{name: "spsc_1", n: 2_000_000, run: spsc(1)},
	{name: "spsc_128", n: 5_000_000, run: spsc(128)},
	{name: "spsc_1024", n: 5_000_000, run: spsc(1024)},
	{name: "mpmc_4x4_0", n: 2_000_000, run: mpmc(4, 0)},
	{name: "mpmc_4x4_128", n: 5_000_000, run: mpmc(4, 128)},
	{name: "mpmc_64x64_128", n: 5_000_000, run: mpmc(64, 128)},
	{name: "burst_4", n: 2_000_000, run: burst},
	{name: "payload_64", n: 3_000_000, run: payload64},
	{name: "payload_string", n: 2_000_000, run: payloadString},
	{name: "make_drop", n: 3_000_000, run: makeDrop},
	{name: "reply", n: 1_000_000, run: reply},
}

// One goroutine sends and receives.
func sequential(r *run) {
	ch := make(chan int64, 1)
	var sum int64
	r.begin()
	for i := range r.n {
		ch <- i
		sum += <-ch
	}
	r.end()
	r.checkSum(sum)
}

// Two goroutines, to and fro.
func pingPong(r *run) {
	ping, pong := make(chan int64), make(chan int64)
	var sum int64
	r.begin()
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	for i := range r.n {
		ping <- i
		sum += <-pong
	}
	close(ping)
	r.end()
	r.checkSum(sum)
}

// One goroutine sends, another receives.
func spsc(capacity int) func(*run) {
	return func(r *run) {
		ch := make(chan int64, capacity)
		var sum int64
		r.begin()
		go func() {
			for i := range r.n {
				ch <- i
			}
			close(ch)
		}()
		for v := range ch {
			sum += v
		}
		r.end()
		r.checkSum(sum)
	}
}

// Some goroutines send, as many receive, on one channel.
func mpmc(parties, capacity int) func(*run) {
	return func(r *run) {
		ch := make(chan int64, capacity)
		sums := make(chan int64, parties)
		var senders sync.WaitGroup
		var sum int64
		r.begin()
		for range parties {
			go func() {
				var mine int64
				for v := range ch {
					mine += v
				}
				sums <- mine
			}()
		}
		for k := range parties {
			senders.Add(1)
			go func() {
				defer senders.Done()
				for i := int64(k); i < r.n; i += int64(parties) {
					ch <- i
				}
			}()
		}
		senders.Wait()
		close(ch)
		for range parties {
			sum += <-sums
		}
		r.end()
		r.checkSum(sum)
	}
}

// One goroutine sends four values to four receivers that are queued, and waits
// until all have said that they got theirs.
func burst(r *run) {
	const receivers = 4
	ch := make(chan int64)
	got := make(chan int64, receivers)
	var sum int64
	r.begin()
	for range receivers {
		go func() {
			for v := range ch {
				got <- v
			}
		}()
	}
	for i := int64(0); i < r.n; {
		sent := 0
		for ; sent < receivers && i < r.n; sent++ {
			ch <- i
			i++
		}
		for ; sent > 0; sent-- {
			sum += <-got
		}
	}
	close(ch)
	r.end()
	r.checkSum(sum)
}

// Elements of 64 bytes.
func payload64(r *run) {
	type block struct{ words [8]int64 }
	ch := make(chan block, 128)
	var sum int64
	r.begin()
	go func() {
		for i := range r.n {
			ch <- block{[8]int64{0: i, 7: i}}
		}
		close(ch)
	}()
	for b := range ch {
		sum += (b.words[0] + b.words[7]) / 2
	}
	r.end()
	r.checkSum(sum)
}

// A new string of 32 characters each.
func payloadString(r *run) {
	ch := make(chan string, 128)
	var sum int64
	r.begin()
	go func() {
		var buffer [32]byte
		for i := range r.n {
			buffer[0] = byte('a' + i%26)
			ch <- string(buffer[:])
		}
		close(ch)
	}()
	for s := range ch {
		sum += int64(len(s)) + int64(s[0]) - 'a'
	}
	r.end()
	var expected int64
	for i := range r.n {
		expected += 32 + i%26
	}
	r.check(sum == expected, "the strings")
}

// A channel made, used once and dropped.
func makeDrop(r *run) {
	var sum int64
	r.begin()
	for i := range r.n {
		ch := make(chan int64, 1)
		ch <- i
		sum += <-ch
	}
	r.end()
	r.checkSum(sum)
}

// Requests to a server goroutine, each with a reply channel of its own.
func reply(r *run) {
	type request struct {
		value int64
		reply chan int64
	}
	requests := make(chan request)
	var sum int64
	r.begin()
	go func() {
		for req := range requests {
			req.reply <- req.value
		}
	}()
	for i := range r.n {
		reply := make(chan int64, 1)
		requests <- request{i, reply}
		sum += <-reply
	}
	close(requests)
	r.end()
	r.checkSum(sum)
}

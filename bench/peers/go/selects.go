// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import (
	"context"
	"reflect"
	"time"
)

var selectWorkloads = []workload{
	{name: "select_2_ready", n: 3_000_000, run: twoReady},
	{name: "select_default", n: 5_000_000, run: withDefault},
	{name: "fan_in_4_0", n: 1_000_000, run: fanIn4(0)},
	{name: "fan_in_4_128", n: 2_000_000, run: fanIn4(128)},
	{name: "select_both_4x4_0", n: 1_000_000, run: bothSides4x4(0)},
	{name: "select_both_4x4_128", n: 1_000_000, run: bothSides4x4(128)},
	{name: "worker_ctx_0", n: 1_000_000, run: workerCtx(0)},
	{name: "worker_ctx_128", n: 2_000_000, run: workerCtx(128)},
	{name: "shared_done_1000", n: 500_000, run: sharedDone1000},
	{name: "select_dynamic_100", n: 50_000, run: dynamic100},
	{name: "select_timeout", n: 500_000, run: timeout},
}

// Two cases, one of them ready, and the send that makes it so.
func twoReady(r *run) {
	a, b := make(chan int64, 1), make(chan int64, 1)
	var sum int64
	r.begin()
	for i := range r.n {
		if i%2 == 0 {
			a <- i
		} else {
			b <- i
		}
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	r.end()
	r.checkSum(sum)
}

// Two cases and a default, nothing ready.
func withDefault(r *run) {
	a, b := make(chan int64), make(chan int64)
	var defaults int64
	r.begin()
	for range r.n {
		select {
		case <-a:
		case <-b:
		default:
			defaults++
		}
	}
	r.end()
	r.check(defaults == r.n, "the number of defaults")
}

func make4(capacity int) (ch [4]chan int64) {
	for k := range ch {
		ch[k] = make(chan int64, capacity)
	}
	return ch
}

// Four goroutines send on a channel each; one selects from all.
func fanIn4(capacity int) func(*run) {
	return func(r *run) {
		ch := make4(capacity)
		var sum int64
		r.begin()
		for k := range ch {
			go func() {
				for i := int64(k); i < r.n; i += 4 {
					ch[k] <- i
				}
			}()
		}
		for range r.n {
			select {
			case v := <-ch[0]:
				sum += v
			case v := <-ch[1]:
				sum += v
			case v := <-ch[2]:
				sum += v
			case v := <-ch[3]:
				sum += v
			}
		}
		r.end()
		r.checkSum(sum)
	}
}

// Four goroutines select where to send to, four where to receive from, among
// four channels.
func bothSides4x4(capacity int) func(*run) {
	return func(r *run) {
		ch := make4(capacity)
		sums := make(chan int64, 4)
		var sum int64
		r.begin()
		for k := range int64(4) {
			go func() {
				for i := k; i < r.n; i += 4 {
					select {
					case ch[0] <- i:
					case ch[1] <- i:
					case ch[2] <- i:
					case ch[3] <- i:
					}
				}
			}()
			go func() {
				var mine int64
				for range r.share(k, 4) {
					select {
					case v := <-ch[0]:
						mine += v
					case v := <-ch[1]:
						mine += v
					case v := <-ch[2]:
						mine += v
					case v := <-ch[3]:
						mine += v
					}
				}
				sums <- mine
			}()
		}
		for range 4 {
			sum += <-sums
		}
		r.end()
		r.checkSum(sum)
	}
}

// A worker that takes work until its context is cancelled.
func workerCtx(capacity int) func(*run) {
	return func(r *run) {
		work := make(chan int64, capacity)
		result := make(chan int64)
		last := r.n - 1
		r.begin()
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer close(result)
			var sum int64
			for {
				select {
				case v := <-work:
					sum += v
					if v == last {
						result <- sum
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		for i := range r.n {
			work <- i
		}
		sum := <-result
		cancel()
		_, open := <-result
		r.end()
		r.checkSum(sum)
		r.check(!open, "the worker's end")
	}
}

// A thousand workers with a work channel each, which share a done channel.
func sharedDone1000(r *run) {
	const workers = 1000
	work := make([]chan int64, workers)
	for k := range work {
		work[k] = make(chan int64)
	}
	done := make(chan struct{})
	sums := make(chan int64, workers)
	var sum int64
	r.begin()
	for _, work := range work {
		go func() {
			var mine int64
			for {
				select {
				case v := <-work:
					mine += v
				case <-done:
					sums <- mine
					return
				}
			}
		}()
	}
	for i := range r.n {
		work[i%workers] <- i
	}
	close(done)
	for range workers {
		sum += <-sums
	}
	r.end()
	r.checkSum(sum)
}

// A list of a hundred cases made at run time, one of them ready, and the send
// that makes it so.
func dynamic100(r *run) {
	const n = 100
	channels := make([]chan int64, n)
	cases := make([]reflect.SelectCase, n)
	for k := range channels {
		channels[k] = make(chan int64, 1)
		cases[k] = reflect.SelectCase{
			Dir: reflect.SelectRecv, Chan: reflect.ValueOf(channels[k])}
	}
	var sum int64
	r.begin()
	for i := range r.n {
		channels[i%n] <- i
		_, v, _ := reflect.Select(cases)
		sum += v.Int()
	}
	r.end()
	r.checkSum(sum)
}

// A receive with a time-out that never fires.
func timeout(r *run) {
	ch := make(chan int64)
	var sum int64
	r.begin()
	go func() {
		for i := range r.n {
			ch <- i
		}
	}()
	for range r.n {
		select {
		case v := <-ch:
			sum += v
		case <-time.After(time.Minute):
		}
	}
	r.end()
	r.checkSum(sum)
}

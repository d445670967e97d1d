// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var goroutineWorkloads = []workload{
	{name: "spawn_join_1m", n: 1_000_000, run: spawnJoin(0)},
	{name: "spawn_join_100", n: 1_000_000, run: spawnJoin(100)},
	{name: "spawn_join_1", n: 500_000, run: spawnJoin(1)},
	{name: "yield", n: 5_000_000, run: yielding},
	{name: "sieve", n: 1_000, run: sieve, cold: true},
	{name: "sieve_select", n: 1_000, run: sieveSelect},
	{name: "daisy_chain", n: 100_000, run: daisyChain},
	{name: "mutex_1", n: 10_000_000, run: locking(1)},
	{name: "mutex_4", n: 10_000_000, run: locking(4)},
	{name: "cross_wake", n: 50_000, run: crossWake, minProcs: 2},
	{name: "blocked_1m", n: 1_000_000, run: blocked, cold: true},
	{name: "idle_10k", n: 10_000, run: idle, cold: true},
}

// n goroutines that each do nearly nothing, started some at a time (0: all at
// once) and waited for.
func spawnJoin(batch int64) func(*run) {
	return func(r *run) {
		slots := make([]int64, r.n)
		r.begin()
		for i := int64(0); i < r.n; {
			end := r.n
			if batch != 0 {
				end = min(r.n, i+batch)
			}
			var wg sync.WaitGroup
			for ; i < end; i++ {
				wg.Add(1)
				go func(i int64) {
					slots[i] = i
					wg.Done()
				}(i)
			}
			wg.Wait()
		}
		r.end()
		var sum int64
		for _, slot := range slots {
			sum += slot
		}
		r.checkSum(sum)
	}
}

// Goroutines, two for each worker, that let the others go first, n times in
// all.
func yielding(r *run) {
	parties := 2 * runtime.GOMAXPROCS(0)
	yields := make([]int64, parties)
	var wg sync.WaitGroup
	r.begin()
	for k := range parties {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var done int64
			for share := r.share(int64(k), int64(parties)); done < share; done++ {
				runtime.Gosched()
			}
			yields[k] = done
		}()
	}
	wg.Wait()
	r.end()
	var sum int64
	for _, count := range yields {
		sum += count
	}
	r.check(sum == r.n, "the number of yields")
}

func nthPrime(n int64) int64 {
	var primes []int64
	for i := int64(2); int64(len(primes)) < n; i++ {
		isPrime := true
		for _, p := range primes {
			if p*p > i {
				break
			}
			if i%p == 0 {
				isPrime = false
				break
			}
		}
		if isPrime {
			primes = append(primes, i)
		}
	}
	return primes[n-1]
}

// The prime sieve: a chain of goroutines, one for each of n primes.
func sieve(r *run) {
	var prime int64
	r.begin()
	ch := make(chan int64)
	go func(out chan<- int64) {
		for i := int64(2); ; i++ {
			out <- i
		}
	}(ch)
	for range r.n {
		prime = <-ch
		next := make(chan int64)
		go func(in <-chan int64, out chan<- int64, prime int64) {
			for {
				v := <-in
				if v%prime != 0 {
					out <- v
				}
			}
		}(ch, next, prime)
		ch = next
	}
	r.end()
	r.check(prime == nthPrime(r.n), "the last prime")
}

// The same, where each goroutine can be told to end.
func sieveSelect(r *run) {
	var prime int64
	done := make(chan struct{})
	var filters sync.WaitGroup
	r.begin()
	ch := make(chan int64)
	filters.Add(1)
	go func(out chan<- int64) {
		defer filters.Done()
		for i := int64(2); ; i++ {
			select {
			case out <- i:
			case <-done:
				return
			}
		}
	}(ch)
	for range r.n {
		prime = <-ch
		next := make(chan int64)
		filters.Add(1)
		go func(in <-chan int64, out chan<- int64, prime int64) {
			defer filters.Done()
			for {
				var v int64
				select {
				case v = <-in:
				case <-done:
					return
				}
				if v%prime == 0 {
					continue
				}
				select {
				case out <- v:
				case <-done:
					return
				}
			}
		}(ch, next, prime)
		ch = next
	}
	close(done)
	filters.Wait()
	r.end()
	r.check(prime == nthPrime(r.n), "the last prime")
}

// A chain of n goroutines that each pass on what they get from the right, plus
// one, to the left.
func daisyChain(r *run) {
	r.begin()
	leftmost := make(chan int64)
	left := leftmost
	for range r.n {
		right := make(chan int64)
		go func(left chan<- int64, right <-chan int64) {
			left <- 1 + <-right
		}(left, right)
		left = right
	}
	go func(right chan<- int64) { right <- 1 }(left)
	count := <-leftmost
	r.end()
	r.check(count == r.n+1, "the length of the chain")
}

// A counter under a mutex.
func locking(parties int64) func(*run) {
	return func(r *run) {
		var mutex sync.Mutex
		var counter int64
		var wg sync.WaitGroup
		r.begin()
		for k := range parties {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range r.share(k, parties) {
					mutex.Lock()
					counter++
					mutex.Unlock()
				}
			}()
		}
		wg.Wait()
		r.end()
		r.check(counter == r.n, "the counter")
	}
}

// A goroutine that keeps its worker busy wakes another, which therefore runs on
// another worker, and waits for its answer.
func crossWake(r *run) {
	ch := make(chan int64, 1)
	var answer atomic.Int64
	answer.Store(-1)
	var sum int64
	var wg sync.WaitGroup
	r.begin()
	wg.Add(1)
	go func() {
		defer wg.Done()
		for v := range ch {
			sum += v
			answer.Store(v)
		}
	}()
	for i := range r.n {
		ch <- i
		for answer.Load() != i {
		}
	}
	close(ch)
	wg.Wait()
	r.end()
	r.checkSum(sum)
}

// n goroutines that all block on one channel, and are woken by its close.
func blocked(r *run) {
	gate := make(chan struct{})
	var begun, ended sync.WaitGroup
	closed := make([]bool, r.n)
	resident := residentBytes()
	r.begin()
	start := now()
	begun.Add(int(r.n))
	ended.Add(int(r.n))
	for i := range r.n {
		go func() {
			begun.Done()
			_, ok := <-gate
			closed[i] = !ok
			ended.Done()
		}()
	}
	begun.Wait()
	blocked := now()
	grown := residentBytes() - resident
	closing := now()
	close(gate)
	ended.Wait()
	woken := now()
	r.end()
	var count int64
	for _, closed := range closed {
		if closed {
			count++
		}
	}
	r.check(count == r.n, "the number of those woken")
	r.report("create_ns", start.wallNanosTo(blocked)/float64(r.n))
	r.report("wake_ns", closing.wallNanosTo(woken)/float64(r.n))
	r.report("resident_bytes", float64(grown)/float64(r.n))
}

// 10,000 blocked goroutines for n milliseconds: what the processors do.
func idle(r *run) {
	const n = 10_000
	gate := make(chan struct{})
	var begun, ended sync.WaitGroup
	begun.Add(n)
	ended.Add(n)
	for range n {
		go func() {
			defer ended.Done()
			begun.Done()
			<-gate
		}()
	}
	begun.Wait()
	time.Sleep(100 * time.Millisecond) // whoever winds down does so now
	r.begin()
	time.Sleep(time.Duration(r.n) * time.Millisecond)
	r.end()
	r.ops = 1
	close(gate)
	ended.Wait()
}

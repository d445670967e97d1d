// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import (
	"sync"
	"sync/atomic"
	"time"
)

var timerWorkloads = []workload{
	{name: "timers_1m", n: 1_000_000, run: pendingTimers, cold: true},
	{name: "sleep_churn", n: 100_000, run: sleepChurn},
}

// A pseudo-random sequence that is the same for every peer.
func next(state *uint64) uint64 {
	*state = *state*6364136223846793005 + 1442695040888963407
	return *state >> 33
}

// n pending timers, started and stopped.
func pendingTimers(r *run) {
	timers := make([]*time.Timer, 0, r.n)
	var fired atomic.Int64
	random := uint64(1)
	var stopped int64
	resident := residentBytes()
	r.begin()
	start := now()
	for range r.n {
		later := time.Duration(next(&random)%1_000_000_000) * time.Microsecond
		timers = append(timers,
			time.AfterFunc(time.Hour+later, func() { fired.Add(1) }))
	}
	started := now()
	grown := residentBytes() - resident
	stop := now()
	for _, timer := range timers {
		if timer.Stop() {
			stopped++
		}
	}
	end := now()
	r.end()
	r.check(stopped == r.n && fired.Load() == 0, "the number of timers stopped")
	r.report("start_ns", start.wallNanosTo(started)/float64(r.n))
	r.report("stop_ns", stop.wallNanosTo(end)/float64(r.n))
	r.report("resident_bytes", float64(grown)/float64(r.n))
}

// A thousand goroutines that sleep for 0.1 to 1 ms again and again, n times in
// all.
func sleepChurn(r *run) {
	const n = 1000
	slept := make([]int64, n)
	var sleepers sync.WaitGroup
	r.begin()
	for k := range n {
		sleepers.Add(1)
		go func() {
			defer sleepers.Done()
			random := uint64(k)
			for share := r.share(int64(k), n); slept[k] < share; slept[k]++ {
				time.Sleep(time.Duration(100+next(&random)%900) * time.Microsecond)
			}
		}()
	}
	sleepers.Wait()
	r.end()
	var sum int64
	for _, count := range slept {
		sum += count
	}
	r.check(sum == r.n, "the number of sleeps")
}

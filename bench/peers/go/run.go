// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// One run of a workload: class Run of bench/programs/workload.h.
type run struct {
	n, ops      int64
	start, stop instant
	figures     strings.Builder
}

func newRun(n int64) *run { return &run{n: n, ops: n} }

// A point in time: the wall's and this process's processors'.
type instant struct {
	wall time.Time
	cpu  int64
}

func now() instant {
	wall := time.Now()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return instant{wall, used.Utime.Nano() + used.Stime.Nano()}
}

func (from instant) wallNanosTo(to instant) float64 {
	return float64(to.wall.Sub(from.wall).Nanoseconds())
}

// Bytes of this process that are in memory.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		panic(err)
	}
	return resident * int64(os.Getpagesize())
}

// How many of the n things the k-th of some parties does.
func (r *run) share(k, parties int64) int64 {
	if k < r.n%parties {
		return r.n/parties + 1
	}
	return r.n / parties
}

func (r *run) begin() { r.start = now() }
func (r *run) end()   { r.stop = now() }

func (r *run) report(name string, value float64) {
	fmt.Fprintf(&r.figures, " %s=%.3f", name, value)
}

func (r *run) check(ok bool, what string) {
	if !ok {
		fmt.Fprintln(os.Stderr, "wrong result:", what)
		os.Exit(1)
	}
}

func (r *run) checkSum(sum int64) {
	r.check(sum == r.n*(r.n-1)/2, "the sum of all values")
}

func (r *run) result() string {
	return fmt.Sprintf("%d %.3f %.3f%s", r.ops,
		r.start.wallNanosTo(r.stop)/float64(r.ops),
		float64(r.stop.cpu-r.start.cpu)/float64(r.ops), r.figures.String())
}

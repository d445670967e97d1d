// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

package main

import (
	"context"
	"time"
)

var contextWorkloads = []workload{
	{name: "cancel_tree", n: 100_000, run: cancelTree},
	{name: "with_timeout", n: 500_000, run: withTimeout},
}

// A tree of n contexts, ten children each, made and cancelled at its root.
func cancelTree(r *run) {
	type node struct {
		ctx    context.Context
		cancel context.CancelFunc
	}
	nodes := make([]node, 0, r.n)
	r.begin()
	start := now()
	ctx, cancel := context.WithCancel(context.Background())
	nodes = append(nodes, node{ctx, cancel})
	for i := int64(1); i < r.n; i++ {
		ctx, cancel := context.WithCancel(nodes[(i-1)/10].ctx)
		nodes = append(nodes, node{ctx, cancel})
	}
	made := now()
	cancel()
	cancelled := now()
	r.end()
	for _, node := range nodes {
		r.check(node.ctx.Err() == context.Canceled, "a context is not cancelled")
	}
	r.report("make_ns", start.wallNanosTo(made)/float64(r.n))
	r.report("cancel_ns", made.wallNanosTo(cancelled)/float64(r.n))
}

// A request with a time limit of its own: its context, a select on the work and
// the context, the end.
func withTimeout(r *run) {
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	work := make(chan int64, 1)
	var sum int64
	r.begin()
	for i := range r.n {
		ctx, cancel := context.WithTimeout(parent, time.Minute)
		work <- i
		select {
		case v := <-work:
			sum += v
		case <-ctx.Done():
		}
		cancel()
	}
	r.end()
	r.checkSum(sum)
}

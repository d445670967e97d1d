// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

// Runs one workload and prints what it took, as bench/programs/main.cc does:
//
//	go_programs NAME [N] [--procs=P]
//	go_programs --list
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type workload struct {
	name string
	n    int64
	run  func(*run)
	// Zero is one.
	minProcs int
	// No smaller run goes before the measured one.
	cold bool
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go_programs NAME [N] [--procs=P] | --list")
	os.Exit(2)
}

func main() {
	var all []workload
	for _, area := range [][]workload{channelWorkloads, selectWorkloads,
		contextWorkloads, timerWorkloads, goroutineWorkloads,
		wholeProgramWorkloads} {
		all = append(all, area...)
	}

	var name string
	var n int64
	procs := runtime.GOMAXPROCS(0)
	for _, arg := range os.Args[1:] {
		var err error
		if arg == "--list" {
			for _, w := range all {
				fmt.Println(w.name, w.n, max(1, w.minProcs))
			}
			return
		} else if value, ok := strings.CutPrefix(arg, "--procs="); ok {
			procs, err = strconv.Atoi(value)
			if procs < 1 {
				usage()
			}
		} else if name == "" && !strings.HasPrefix(arg, "-") {
			name = arg
		} else {
			n, err = strconv.ParseInt(arg, 10, 64)
			if n < 1 {
				usage()
			}
		}
		if err != nil {
			usage()
		}
	}

	for _, w := range all {
		if w.name != name {
			continue
		}
		if n == 0 {
			n = w.n
		}
		if procs < w.minProcs {
			fmt.Fprintf(os.Stderr, "%s needs %d workers\n", name, w.minProcs)
			os.Exit(1)
		}
		runtime.GOMAXPROCS(procs)
		if !w.cold && n >= 20 {
			w.run(newRun(n / 20))
		}
		r := newRun(n)
		w.run(r)
		fmt.Println(name, r.result())
		return
	}
	usage()
}

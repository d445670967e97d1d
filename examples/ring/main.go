// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

// ring: a ball goes round a ring of 100,000 goroutines, or as many as the
// argument says.
package main

import (
	"fmt"
	"os"
	"strconv"
)

// player passes the ball on until its neighbour has no more, and says so to the
// next.
func player(from <-chan int, to chan<- int) {
	for hits := range from {
		to <- hits + 1
	}
	close(to)
}

func main() {
	players := 100000
	if len(os.Args) > 1 {
		players, _ = strconv.Atoi(os.Args[1])
	}
	first := make(chan int)
	last := first
	for i := 0; i < players; i++ {
		next := make(chan int)
		go player(last, next)
		last = next
	}
	hits := 0
	for round := 1; round <= 3; round++ {
		first <- hits
		hits = <-last
		fmt.Printf("round %d: %d hits\n", round, hits)
	}
	close(first)
	for range last {
	}
	fmt.Println("all have left")
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

// sieve: the first primes, found by a chain of goroutines.
package main

import "fmt"

// generate sends 2, 3, 4, …
func generate(out chan<- int) {
	for i := 2; ; i++ {
		out <- i
	}
}

// filter lets pass what prime does not divide.
func filter(in <-chan int, out chan<- int, prime int) {
	for i := range in {
		if i%prime != 0 {
			out <- i
		}
	}
}

func main() {
	ch := make(chan int)
	go generate(ch)
	for n := 0; n < 100; n++ {
		prime := <-ch
		fmt.Println(prime)
		next := make(chan int)
		go filter(ch, next, prime)
		ch = next
	}
	// The program ends with main, whatever the others wait for.
}

// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

// chat: a chat room with 200 guests who come, talk and go as they like.
package main

import (
	"fmt"
	"sync"
)

const (
	nguests    = 200
	nsentences = 5 // by each guest
)

const theRoom = -1 // speaks as well

type message struct {
	number  int // of this one; from the room: of the next
	speaker int
}

type guest struct {
	id    int
	inbox chan message
}

type room struct {
	join       chan guest
	leave, say chan int
}

// run runs the room until the last guest has gone; then sends how much was said.
func (r room) run(said chan<- int) {
	guests := map[int]chan message{}
	next := 0
	for gone := 0; gone < nguests; {
		select {
		case g := <-r.join:
			guests[g.id] = g.inbox
			g.inbox <- message{next, theRoom}
		case id := <-r.leave:
			guests[id] <- message{next, theRoom}
			close(guests[id])
			delete(guests, id)
			gone++
		case speaker := <-r.say:
			for _, inbox := range guests {
				inbox <- message{next, speaker}
			}
			next++
		}
	}
	said <- next
}

// visit comes, says all its sentences, each after it has heard the one before,
// and goes. It returns whether it heard exactly what was said meanwhile.
func (r room) visit(id int) bool {
	inbox := make(chan message, 8)
	r.join <- guest{id, inbox}
	next := (<-inbox).number
	sentences := 0
	exact := true
	// Nil while there is nothing to send, which switches the case off. The guest
	// listens all the time, so that the room never waits for it in vain.
	say := r.say
	var leave chan int
	for {
		select {
		case m, ok := <-inbox:
			if !ok {
				return exact
			}
			exact = exact && m.number == next
			if m.speaker != theRoom {
				next++
			}
			if m.speaker == id {
				sentences++
				if sentences < nsentences {
					say = r.say
				} else {
					leave = r.leave
				}
			}
		case say <- id:
			say = nil
		case leave <- id:
			leave = nil
		}
	}
}

func main() {
	r := room{make(chan guest), make(chan int), make(chan int)}
	said := make(chan int)
	go r.run(said)

	results := make(chan bool, nguests)
	var guests sync.WaitGroup
	for id := 0; id < nguests; id++ {
		guests.Add(1)
		go func(id int) {
			defer guests.Done()
			results <- r.visit(id)
		}(id)
	}
	guests.Wait()
	close(results)

	exact := 0
	for result := range results {
		if result {
			exact++
		}
	}
	fmt.Printf("%d guests said %d sentences\n", nguests, <-said)
	fmt.Printf("%d heard exactly what was said while they were there\n", exact)
}

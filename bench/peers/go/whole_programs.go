// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.

// Workloads: bench/programs/whole_programs.cc in Go.

package main

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Numbers that look random, the same in every language.
type numbers uint64

func newNumbers(seed uint64) numbers { return numbers(seed*2 + 1) }

func (state *numbers) next() uint64 {
	*state = *state*6364136223846793005 + 1442695040888963407
	return uint64(*state) >> 33
}

// Sorts numbers, each half on a goroutine of its own down to 256 of them.
func sortHalves(numbers, room []int64) {
	if len(numbers) <= 256 {
		slices.Sort(numbers)
		return
	}
	half := len(numbers) / 2
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		sortHalves(numbers[:half], room[:half])
	}()
	sortHalves(numbers[half:], room[half:])
	wg.Wait()
	merge(numbers[:half], numbers[half:], room)
	copy(numbers, room)
}

func merge(a, b, out []int64) {
	i, j := 0, 0
	for k := range out {
		if j == len(b) || i < len(a) && a[i] <= b[j] {
			out[k] = a[i]
			i++
		} else {
			out[k] = b[j]
			j++
		}
	}
}

func mergeSort(r *run) {
	numbers := make([]int64, r.n)
	room := make([]int64, r.n)
	random := newNumbers(1)
	for i := range numbers {
		numbers[i] = int64(random.next())
	}
	r.begin()
	sortHalves(numbers, room)
	r.end()
	r.check(slices.IsSorted(numbers), "the order")
}

// Fibonacci's numbers, each call a goroutine that answers over a channel.
func fib(k int64, answer chan<- int64) {
	if k < 2 {
		answer <- k
		return
	}
	parts := make(chan int64)
	go fib(k-1, parts)
	go fib(k-2, parts)
	answer <- <-parts + <-parts
}

func fibPlain(k int64) int64 {
	a, b := int64(0), int64(1)
	for ; k > 0; k-- {
		a, b = b, a+b
	}
	return a
}

func fibTree(r *run) {
	answer := make(chan int64)
	r.begin()
	go fib(r.n, answer)
	number := <-answer
	r.end()
	r.check(number == fibPlain(r.n), "Fibonacci's number")
	r.ops = 2*fibPlain(r.n+1) - 1 // calls
}

// A token goes round 503 goroutines, n times handed on.
func threadRing(r *run) {
	const parties = 503
	result := make(chan int64)
	r.begin()
	first := make(chan int64)
	in := first
	for k := range int64(parties) {
		out := first
		if k+1 < parties {
			out = make(chan int64)
		}
		go func(in <-chan int64, out chan<- int64) {
			defer close(out)
			for token := range in {
				if token == 0 {
					result <- k + 1
					return
				}
				out <- token - 1
			}
		}(in, out)
		in = out
	}
	first <- r.n
	last := <-result
	r.end()
	r.check(last == r.n%parties+1, "who had the token last")
}

// n values go through 8 stages, each a goroutine with a channel of 16.
func pipeline(r *run) {
	r.begin()
	ch := make(chan int64, 16)
	go func(out chan<- int64) {
		for i := range r.n {
			out <- i
		}
		close(out)
	}(ch)
	for range 8 {
		out := make(chan int64, 16)
		go func(in <-chan int64) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(ch)
		ch = out
	}
	var sum int64
	for v := range ch {
		sum += v - 8
	}
	r.end()
	r.checkSum(sum)
}

// Work as of a job: some hundred nanoseconds.
func chew(seed uint64) uint64 {
	random := newNumbers(seed)
	var sum uint64
	for range 100 {
		sum += random.next()
	}
	return sum
}

func chewAll(n int64) uint64 {
	var sum uint64
	for i := range n {
		sum += chew(uint64(i))
	}
	return sum
}

// n jobs for 8 workers, over channels of 100.
func workerPool(r *run) {
	jobs := make(chan int64, 100)
	results := make(chan uint64, 100)
	var workers sync.WaitGroup
	r.begin()
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for job := range jobs {
				results <- chew(uint64(job))
			}
		}()
	}
	go func() {
		for i := range r.n {
			jobs <- i
		}
		close(jobs)
	}()
	go func() {
		workers.Wait()
		close(results)
	}()
	var sum uint64
	for result := range results {
		sum += result
	}
	r.end()
	r.check(sum == chewAll(r.n), "the sum of the results")
}

// n jobs, a goroutine each, at most 8 at once by a channel's slots.
func boundedSpawn(r *run) {
	slots := make(chan struct{}, 8)
	results := make([]uint64, r.n)
	var wg sync.WaitGroup
	r.begin()
	for i := range r.n {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i] = chew(uint64(i))
			<-slots
		}()
	}
	wg.Wait()
	r.end()
	var sum uint64
	for _, result := range results {
		sum += result
	}
	r.check(sum == chewAll(r.n), "the sum of the results")
}

// golang.org/x/sync/errgroup, as far as it is needed.
type errGroup struct {
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

func newErrGroup(parent context.Context) (*errGroup, context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	return &errGroup{cancel: cancel}, ctx
}

func (g *errGroup) Go(f func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel(err)
			})
		}
	}()
}

func (g *errGroup) Wait() error {
	g.wg.Wait()
	g.cancel(g.err)
	return g.err
}

// Requests that ask 4 shards each, in a group that the first error would
// cancel.
func fanOutRequests(r *run) {
	var sum int64
	r.begin()
	for i := range r.n {
		group, ctx := newErrGroup(context.Background())
		answers := make(chan int64, 4)
		for shard := range 4 {
			group.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				if shard == 0 {
					answers <- i
				} else {
					answers <- 0
				}
				return nil
			})
		}
		r.check(group.Wait() == nil, "a group's status")
		close(answers)
		for v := range answers {
			sum += v
		}
	}
	r.end()
	r.checkSum(sum)
}

// A hub sends n messages to each of 100 subscribers, who may leave.
func pubSub(r *run) {
	const subscribers = 100
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var inboxes []chan int64
	sums := make([]int64, subscribers)
	var wg sync.WaitGroup
	rounds := r.n / subscribers
	r.begin()
	for k := range subscribers {
		inbox := make(chan int64, 16)
		inboxes = append(inboxes, inbox)
		wg.Add(1)
		go func() {
			defer wg.Done()
			var mine int64
			defer func() { sums[k] = mine }()
			for {
				select {
				case v, ok := <-inbox:
					if !ok {
						return
					}
					mine += v
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	for i := range rounds {
		for _, inbox := range inboxes {
			select {
			case inbox <- i:
			case <-ctx.Done():
				return
			}
		}
	}
	for _, inbox := range inboxes {
		close(inbox)
	}
	wg.Wait()
	r.end()
	r.ops = rounds * subscribers
	for _, sum := range sums {
		r.check(sum == rounds*(rounds-1)/2, "a subscriber's sum")
	}
}

// A cache under a read-write lock: 8 goroutines, one write for 15 reads.
func sharedCache(r *run) {
	var mutex sync.RWMutex
	cache := map[int64]int64{}
	for key := range int64(1024) {
		cache[key] = 0
	}
	var found [8]int64
	var wg sync.WaitGroup
	r.begin()
	for k := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			random := newNumbers(uint64(k))
			var mine int64
			for i := range r.share(int64(k), 8) {
				key := int64(random.next() & 1023)
				if i%16 == 0 {
					mutex.Lock()
					cache[key]++
					mutex.Unlock()
				} else {
					mutex.RLock()
					if _, ok := cache[key]; ok {
						mine++
					}
					mutex.RUnlock()
				}
			}
			found[k] = mine
		}()
	}
	wg.Wait()
	r.end()
	var reads, writes int64
	for _, count := range found {
		reads += count
	}
	for _, count := range cache {
		writes += count
	}
	r.check(reads+writes == r.n, "reads and writes")
}

// A bounded queue of a mutex and two conditions; 2 put, 2 take.
func condQueue(r *run) {
	const bound = 64
	var mutex sync.Mutex
	notEmpty, notFull := sync.NewCond(&mutex), sync.NewCond(&mutex)
	var ring [bound]int64
	var size, head int
	var sums [2]int64
	var wg sync.WaitGroup
	r.begin()
	for k := range int64(2) {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for i := k; i < r.n; i += 2 {
				mutex.Lock()
				for size == bound {
					notFull.Wait()
				}
				ring[(head+size)%bound] = i
				size++
				mutex.Unlock()
				notEmpty.Signal()
			}
		}()
		go func() {
			defer wg.Done()
			var sum int64
			for range r.share(k, 2) {
				mutex.Lock()
				for size == 0 {
					notEmpty.Wait()
				}
				sum += ring[head%bound]
				head++
				size--
				mutex.Unlock()
				notFull.Signal()
			}
			sums[k] = sum
		}()
	}
	wg.Wait()
	r.end()
	r.checkSum(sums[0] + sums[1])
}

// A goroutine that owns a map; 8 others ask it over a channel, each with a
// channel for the answers.
func mapOwner(r *run) {
	type request struct {
		key    int64
		answer chan<- int64
	}
	requests := make(chan request)
	var sums [8]int64
	var clients sync.WaitGroup
	r.begin()
	go func() {
		counts := map[int64]int64{}
		for request := range requests {
			counts[request.key]++
			request.answer <- counts[request.key]
		}
	}()
	for k := range int64(8) {
		clients.Add(1)
		go func() {
			defer clients.Done()
			answer := make(chan int64)
			var mine int64
			for range r.share(k, 8) {
				requests <- request{k, answer}
				mine += <-answer
			}
			sums[k] = mine
		}()
	}
	clients.Wait()
	close(requests)
	r.end()
	for k := range int64(8) {
		share := r.share(k, 8)
		r.check(sums[k] == share*(share+1)/2, "a client's sum")
	}
}

// Calls with a time limit: a goroutine for each, which answers over a channel;
// the caller waits for it or for its context.
func callWithLimit(r *run) {
	var sum int64
	r.begin()
	for i := range r.n {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		answer := make(chan int64, 1)
		go func() { answer <- i }()
		select {
		case v := <-answer:
			sum += v
		case <-ctx.Done():
		}
		cancel()
	}
	r.end()
	r.checkSum(sum)
}

// 64 goroutines that wait for a start of their own and say when they are ready,
// in n / 64 rounds.
func rounds(r *run) {
	const parties = 64
	rounds := r.n / parties
	ready := make(chan int64)
	var starts []chan struct{}
	var wg sync.WaitGroup
	r.begin()
	for k := range int64(parties) {
		start := make(chan struct{})
		starts = append(starts, start)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range start {
				ready <- k
			}
		}()
	}
	var sum int64
	for range rounds {
		for _, start := range starts {
			start <- struct{}{}
		}
		for range parties {
			sum += <-ready
		}
	}
	for _, start := range starts {
		close(start)
	}
	wg.Wait()
	r.end()
	r.ops = rounds * parties
	r.check(sum == rounds*parties*(parties-1)/2, "who took part")
}

// 8 goroutines make system calls that take no time.
func briefCalls(r *run) {
	var calls [8]int64
	parent := uintptr(syscall.Getppid())
	var wg sync.WaitGroup
	r.begin()
	for k := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range r.share(int64(k), 8) {
				// Getppid() does not tell the scheduler; other calls do.
				if id, _, _ := syscall.Syscall(syscall.SYS_GETPPID, 0, 0, 0); id == parent {
					calls[k]++
				}
			}
		}()
	}
	wg.Wait()
	r.end()
	var sum int64
	for _, count := range calls {
		sum += count
	}
	r.check(sum == r.n, "the number of calls")
}

// 64 goroutines take one of 16 buffers and give it back.
func freeList(r *run) {
	const parties = 64
	free := make(chan int64, 16)
	for i := range int64(16) {
		free <- i
	}
	var wg sync.WaitGroup
	r.begin()
	for k := range int64(parties) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range r.share(k, parties) {
				free <- <-free
			}
		}()
	}
	wg.Wait()
	r.end()
	var sum int64
	for range 16 {
		sum += <-free
	}
	r.check(sum == 15*16/2, "the buffers")
}

// A send on a closed channel, whose panic is recovered.
func panics(r *run) {
	closed := make(chan int64)
	close(closed)
	var caught int64
	r.begin()
	for i := range r.n {
		func() {
			defer func() {
				if recover() != nil {
					caught++
				}
			}()
			closed <- i
		}()
	}
	r.end()
	r.check(caught == r.n, "the number of panics")
}

var wholeProgramWorkloads = []workload{
	{name: "merge_sort", n: 1_000_000, run: mergeSort},
	{name: "fib_tree", n: 24, run: fibTree},
	{name: "thread_ring", n: 5_000_000, run: threadRing},
	{name: "pipeline_8", n: 1_000_000, run: pipeline},
	{name: "worker_pool_8", n: 1_000_000, run: workerPool},
	{name: "bounded_spawn_8", n: 1_000_000, run: boundedSpawn},
	{name: "fan_out_requests", n: 200_000, run: fanOutRequests},
	{name: "pub_sub_100", n: 2_000_000, run: pubSub},
	{name: "shared_cache", n: 5_000_000, run: sharedCache},
	{name: "cond_queue", n: 2_000_000, run: condQueue},
	{name: "map_owner", n: 1_000_000, run: mapOwner},
	{name: "call_with_limit", n: 500_000, run: callWithLimit},
	{name: "rounds_64", n: 1_000_000, run: rounds},
	{name: "brief_calls_8", n: 1_000_000, run: briefCalls},
	{name: "free_list_64", n: 2_000_000, run: freeList},
	{name: "panics", n: 200_000, run: panics},
}

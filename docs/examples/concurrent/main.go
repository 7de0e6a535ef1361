// Concurrent: a handler is called for one message at a time and in order,
// unless Concurrency allows more. The order is then lost.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("concurrent"))
	if err != nil {
		return err
	}
	defer nc.Close()

	const limit, messages = 4, 40
	var running meter
	// Each handler waits until three others are at work beside it. One at a
	// time could not do that.
	var together sync.WaitGroup
	together.Add(limit)
	sub, err := nc.Subscribe("pictures", func(m nats.Msg) {
		n := running.enter()
		defer running.leave()
		if n <= limit {
			together.Done()
		}
		together.Wait()
	}, nats.Concurrency(limit))
	if err != nil {
		return err
	}
	for range messages {
		if err := nc.Publish("pictures", []byte("a picture to scale")); err != nil {
			return err
		}
	}
	if err := sub.Drain(ctx); err != nil {
		return err
	}
	fmt.Printf("%d messages, at most %d at a time\n", running.total, running.most)
	return nc.Drain(ctx)
}

// A meter counts calls.
type meter struct {
	mu               sync.Mutex
	now, most, total int
}

// enter returns the number of this call.
func (m *meter) enter() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	m.most = max(m.most, m.now)
	m.total++
	return m.total
}

func (m *meter) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now--
}

// Queue groups: the members of a group share the messages of a subject. Each
// message goes to one of them, and to everybody outside the group as usual.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("queue-groups"))
	if err != nil {
		return err
	}
	defer nc.Close()

	// In real life each member is a process of its own.
	var byMember [3]atomic.Int64
	for i := range byMember {
		_, err := nc.Subscribe("jobs", func(nats.Msg) { byMember[i].Add(1) }, nats.Queue("workers"))
		if err != nil {
			return err
		}
	}
	var audited atomic.Int64
	if _, err := nc.Subscribe("jobs", func(nats.Msg) { audited.Add(1) }); err != nil {
		return err
	}

	const jobs = 300
	for range jobs {
		if err := nc.Publish("jobs", []byte("a job")); err != nil {
			return err
		}
	}
	// Drain returns when all of them are handled.
	if err := nc.Drain(ctx); err != nil {
		return err
	}

	sum, idle := int64(0), 0
	for i := range byMember {
		n := byMember[i].Load()
		sum += n
		if n == 0 {
			idle++
		}
	}
	fmt.Printf("%d jobs: the workers did %d, of whom %d had nothing to do\n", jobs, sum, idle)
	fmt.Printf("the auditor saw %d\n", audited.Load())
	return nil
}

// Slow consumer: what a handler has not taken yet waits in a queue with limits.
// What does not fit is dropped, and that is told and counted: nothing vanishes
// in silence, and nobody else has to wait.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("slow-consumer"))
	if err != nil {
		return err
	}
	defer nc.Close()

	// Ten messages may wait, of any size. An EventHandler given to Subscribe
	// hears what concerns this subscription; without one it would be logged.
	told := make(chan nats.SlowConsumer, 2)
	feed, err := nc.SubscribeSync("feed", nats.PendingLimits(10, -1), nats.EventHandler(func(_ *nats.Conn, e nats.Event) {
		if e, ok := e.(nats.SlowConsumer); ok {
			told <- e
		}
	}))
	if err != nil {
		return err
	}
	for i := range 25 {
		if err := nc.Publish("feed", fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	if err := nc.Flush(ctx); err != nil { // all 25 have come back
		return err
	}
	if e := <-told; !e.Over {
		fmt.Println("told: slow on", e.Subscription.Subject())
	}

	// Next says it once, and goes on. (A loop over Messages does not.)
	_, err = feed.Next(ctx)
	var slow *nats.SlowConsumerError
	if !errors.As(err, &slow) {
		return fmt.Errorf("the drop was not reported: %w", err)
	}
	fmt.Println("Next:", slow.Dropped, "dropped")
	for range 10 {
		m, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s ", m.Data)
	}
	fmt.Println()
	if e := <-told; e.Over {
		fmt.Println("told: caught up,", e.Dropped, "dropped in all")
	}
	stats := feed.Stats()
	fmt.Printf("received %d = delivered %d + dropped %d + pending %d\n",
		stats.Received, stats.Delivered, stats.Dropped, stats.PendingMsgs)

	// For the latest, whatever is lost: drop the oldest instead.
	latest, err := nc.SubscribeSync("feed", nats.PendingLimits(3, -1), nats.Overflow(nats.OverflowDropOldest),
		nats.EventHandler(func(*nats.Conn, nats.Event) {})) // expected, so no log
	if err != nil {
		return err
	}
	if err := feed.Unsubscribe(); err != nil {
		return err
	}
	for i := range 25 {
		if err := nc.Publish("feed", fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	if err := nc.Flush(ctx); err != nil {
		return err
	}
	n := 0
	for m, err := range latest.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s ", m.Data)
		if n++; n == 3 {
			break
		}
	}
	fmt.Println()
	return nc.Drain(ctx)
}

// Drain: a shutdown that loses nothing. Ctrl-C ends the subscriptions, lets
// handlers finish what has arrived, sends what they published, and closes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("drain"))
	if err != nil {
		return err
	}
	defer nc.Close() // for the early returns; after Drain it does nothing

	var handled atomic.Int64
	_, err = nc.Subscribe("jobs", func(nats.Msg) {
		<-ctx.Done() // a long job: all of them wait when Ctrl-C comes
		handled.Add(1)
	})
	if err != nil {
		return err
	}
	// Helpers take part in the shutdown with a hook.
	nc.OnDrain(func(context.Context) error {
		fmt.Println("draining")
		return nil
	})
	for range 10 {
		if err := nc.Publish("jobs", nil); err != nil {
			return err
		}
	}
	if err := nc.Flush(ctx); err != nil {
		return err
	}

	fmt.Println("at work, Ctrl-C ends it")
	<-ctx.Done()

	// ctx has ended, so Drain gets one that has not. DrainTimeout, 30 s by
	// default, bounds it. Where its error does not matter, all of this is one
	// line after Connect: defer nc.Drain(context.WithoutCancel(ctx))
	if err := nc.Drain(context.WithoutCancel(ctx)); err != nil {
		return err // a *nats.LossError says what was lost
	}
	fmt.Println("handled:", handled.Load())
	fmt.Println("the connection is", nc.Status())
	return nil
}

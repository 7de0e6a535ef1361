// Events and reconnect: a connection outlives its links. What happens to it is
// told as events, in order, each a struct of its own.
//
// This program drops its link itself. Restart the server instead to see the
// other events: ConnectFailed while it is away, Disconnected with an error.
package main

import (
	"context"
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
	over := make(chan struct{})
	nc, err := nats.Connect(ctx, url, nats.Name("events"), nats.EventHandler(func(nc *nats.Conn, e nats.Event) {
		switch e := e.(type) {
		case nats.Connected:
			fmt.Println("event: connected to", e.Server.URL)
		case nats.Disconnected:
			// Unknown counts what was written and not confirmed: it may have
			// arrived or not.
			fmt.Println("event: disconnected, error:", e.Err, "unknown:", e.Unknown)
		case nats.ConnectFailed:
			fmt.Println("event: attempt", e.Attempt, "failed:", e.Err)
		case nats.Reconnected:
			fmt.Println("event: reconnected to", e.Server.URL)
		case nats.SlowConsumer, nats.SubscriptionEnded, nats.AsyncError:
			fmt.Println("event:", e)
		case nats.Closed:
			fmt.Println("event: closed, error:", e.Err)
			close(over) // the last event
		default:
			// New kinds may come.
		}
	}))
	if err != nil {
		return err
	}
	defer nc.Close()

	sub, err := nc.SubscribeSync("news")
	if err != nil {
		return err
	}
	// Another server of the list, if there is one; here it is the same again.
	if err := nc.Reconnect(ctx); err != nil {
		return err
	}

	// The subscription is on the new link.
	if err := nc.Publish("news", []byte("we are back")); err != nil {
		return err
	}
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	if err := sub.Unsubscribe(); err != nil {
		return err
	}
	if err := nc.Drain(ctx); err != nil {
		return err
	}
	<-over // handlers run on a goroutine of their own
	fmt.Printf("message: %s\n", m.Data)
	fmt.Println("reconnects:", nc.Stats().Reconnects)
	return nil
}

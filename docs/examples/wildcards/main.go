// Wildcards: subjects are tokens with dots between. In a subscription, * stands
// for one token and > for one or more at the end.
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
	nc, err := nats.Connect(ctx, url, nats.Name("wildcards"))
	if err != nil {
		return err
	}
	defer nc.Close()

	patterns := []string{"orders.eu.new", "orders.*.new", "orders.eu.*", "orders.eu.>", "*.*", ">"}
	subs := make([]*nats.Subscription, len(patterns))
	for i, pattern := range patterns {
		if subs[i], err = nc.SubscribeSync(pattern); err != nil {
			return err
		}
	}
	for _, subject := range []string{"orders", "orders.eu.new", "orders.us.new", "orders.eu.paid", "orders.eu.berlin.new"} {
		if err := nc.Publish(subject, nil); err != nil {
			return err
		}
	}

	for _, sub := range subs {
		// A drained subscription has everything that was on its way, and its
		// loop ends with the last message. Drain waits until that was taken.
		drained := make(chan error, 1)
		go func() { drained <- sub.Drain(ctx) }()
		fmt.Printf("%s\n", sub.Subject())
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				return err
			}
			fmt.Printf("\t%s\n", m.Subject)
		}
		if err := <-drained; err != nil {
			return err
		}
	}

	// Published subjects have no wildcards.
	fmt.Println(nc.Publish("orders.*.new", nil))
	return nc.Drain(ctx)
}

// Publish-subscribe: a message goes to everybody who listens at that moment.
// Core NATS keeps nothing: what nobody listens to is gone.
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
	nc, err := nats.Connect(ctx, url, nats.Name("publish-subscribe")) // "" is nats.DefaultURL
	if err != nil {
		return err
	}
	defer nc.Close() // for the early returns; after Drain it does nothing

	// Nobody hears this.
	if err := nc.Publish("greet.joe", []byte("hello, is anybody here?")); err != nil {
		return err
	}

	sub, err := nc.Subscribe("greet.*", func(m nats.Msg) {
		fmt.Printf("%s: %s\n", m.Subject, m.Data)
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"joe", "pam", "sue"} {
		if err := nc.Publish("greet."+name, []byte("hello")); err != nil {
			return err
		}
	}

	// The handler runs on a goroutine of its own. Drain ends the subscription
	// and returns when everything that was on its way is handled.
	if err := sub.Drain(ctx); err != nil {
		return err
	}
	fmt.Println("received:", sub.Stats().Delivered)
	return nc.Drain(ctx)
}

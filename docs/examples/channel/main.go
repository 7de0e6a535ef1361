// Channel: several subscriptions feed one loop, which has other things to wait
// for as well.
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
	nc, err := nats.Connect(ctx, url, nats.Name("channel"))
	if err != nil {
		return err
	}
	defer nc.Close()

	// The channel may be small: what does not fit waits in the queue of its
	// subscription, within the pending limits. It is never closed.
	messages := make(chan nats.Msg, 1)
	for _, subject := range []string{"weather.*", "news.*"} {
		if _, err := nc.SubscribeChan(subject, messages); err != nil {
			return err
		}
	}
	stop := make(chan nats.Msg)
	if _, err := nc.SubscribeChan("stop", stop); err != nil {
		return err
	}

	published := []string{"weather.paris", "news.sport", "weather.oslo"}
	for _, subject := range published {
		if err := nc.Publish(subject, nil); err != nil {
			return err
		}
	}

	count := map[string]int{}
	for n := 0; ; {
		select {
		case m := <-messages:
			count[m.Sub().Subject()]++
			if n++; n == len(published) {
				if err := nc.Publish("stop", []byte("enough")); err != nil {
					return err
				}
			}
		case m := <-stop:
			fmt.Println("weather.*:", count["weather.*"])
			fmt.Println("news.*:", count["news.*"])
			fmt.Printf("%s: %s\n", m.Subject, m.Data)
			return nc.Drain(ctx)
		case <-nc.Done():
			return nc.Err()
		}
	}
}

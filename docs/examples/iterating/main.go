// Iterating: messages are taken when the program wants them, one with Next or
// in a range loop over Messages.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("iterating"))
	if err != nil {
		return err
	}
	defer nc.Close()

	sub, err := nc.SubscribeSync("numbers")
	if err != nil {
		return err
	}
	for i := range 5 {
		if err := nc.Publish("numbers", fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	if err := nc.Flush(ctx); err != nil { // all five have come back
		return err
	}

	// One. Next waits until the context ends.
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("next: %s\n", m.Data)

	// Some. break leaves the subscription open.
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("loop: %s\n", m.Data)
		if string(m.Data) == "2" {
			break
		}
	}

	// The rest: as long as a message comes within the time. The end of the
	// context is the last error of a loop.
	patience, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	for m, err := range sub.Messages(patience) {
		if errors.Is(err, context.DeadlineExceeded) {
			fmt.Println("nothing more came in time")
			break
		}
		if err != nil {
			return err
		}
		fmt.Printf("rest: %s\n", m.Data)
	}

	// A loop over a subscription that was drained or unsubscribed ends without
	// an error.
	if err := sub.Unsubscribe(); err != nil {
		return err
	}
	for range sub.Messages(ctx) {
		return errors.New("a message after the end")
	}
	fmt.Println("the subscription is over")
	return nc.Drain(ctx)
}

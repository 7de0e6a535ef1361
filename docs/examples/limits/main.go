// Limits: how large a message may be, how much may wait, how many messages a
// subscription gets. Each has an error of its own.
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
	nc, err := nats.Connect(ctx, url, nats.Name("limits"))
	if err != nil {
		return err
	}
	defer nc.Close()

	// The server says how large a message may be: header and payload.
	max := nc.ServerInfo().MaxPayload
	err = nc.Publish("big", make([]byte, max+1))
	fmt.Println("payload of max+1 bytes refused:", errors.Is(err, nats.ErrMaxPayload))

	// A subscription that ends after three messages; the server counts too.
	three, err := nc.SubscribeSync("numbers", nats.AutoUnsubscribe(3))
	if err != nil {
		return err
	}
	// And one that ends when more than two wait, for a consumer that must not
	// miss any. Without Overflow, what does not fit is dropped.
	strict, err := nc.SubscribeSync("numbers", nats.PendingLimits(2, 1<<20), nats.Overflow(nats.OverflowEnd),
		nats.EventHandler(func(*nats.Conn, nats.Event) {})) // Next tells enough
	if err != nil {
		return err
	}
	for i := range 5 {
		if err := nc.Publish("numbers", fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	for m, err := range three.Messages(ctx) { // ends silently when used up
		if err != nil {
			return err
		}
		fmt.Printf("three: %s\n", m.Data)
	}
	if err := nc.Flush(ctx); err != nil {
		return err
	}
	for m, err := range strict.Messages(ctx) { // ends with the reason
		if err != nil {
			fmt.Println("strict: ended by overflow:", errors.Is(err, nats.ErrSlowConsumer))
			break
		}
		fmt.Printf("strict: %s\n", m.Data)
	}

	// While no link is up, publishes wait in the client, up to this size.
	small, err := nats.Connect(ctx, "nats://127.0.0.1:1", nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(1024), nats.Logger(nil))
	if err != nil {
		return err
	}
	for err == nil {
		err = small.Publish("numbers", make([]byte, 100))
	}
	fmt.Println("buffer full:", errors.Is(err, nats.ErrReconnectBufExceeded), "and safe to retry:", nats.SafeToRetry(err))
	var loss *nats.LossError
	if errors.As(small.Close(), &loss) {
		fmt.Println("lost at Close:", loss.Unsent > 0)
	}
	return nc.Drain(ctx)
}

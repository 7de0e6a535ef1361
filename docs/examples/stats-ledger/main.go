// Stats are a ledger: every message that was accepted or received is counted in
// exactly one place, so the lines add up, and you can check.
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
	nc, err := nats.Connect(ctx, url, nats.Name("stats-ledger"))
	if err != nil {
		return err
	}
	defer nc.Close()

	if _, err := nc.Subscribe("echo", func(m nats.Msg) {
		if err := m.Respond(m.Data); err != nil {
			log.Print(err)
		}
	}); err != nil {
		return err
	}
	for range 10 {
		if _, err := nc.Request(ctx, "echo", []byte("hello")); err != nil {
			return err
		}
	}
	if _, err := nc.Request(ctx, "nobody", nil); !errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("no responders expected: %w", err)
	}
	for range 5 {
		if err := nc.Publish("unheard", nil); err != nil {
			return err
		}
	}

	// Flush confirms what was published, Barrier waits for the handlers. At
	// rest the sums are exact.
	if err := errors.Join(nc.Flush(ctx), nc.Barrier(ctx)); err != nil {
		return err
	}
	s := nc.Stats()
	fmt.Printf("out %d = confirmed %d + in flight %d + buffered %d + dropped %d + unknown %d\n",
		s.OutMsgs, s.OutConfirmed, s.OutInFlight, s.OutBuffered, s.OutDropped, s.OutUnknown)
	fmt.Printf("in %d = delivered %d + replies %d + dropped %d + orphaned %d + pending %d\n",
		s.InMsgs, s.InDelivered, s.InReplies, s.InDropped, s.InOrphaned, s.InPending)
	fmt.Printf("requests %d = answered %d + no responders %d + timed out %d + cancelled %d + unknown %d + open %d\n",
		s.Requests, s.Answered, s.NoResponders, s.TimedOut, s.Cancelled, s.RequestsUnknown, s.RequestsOpen)

	if s.OutMsgs != s.OutConfirmed+s.OutInFlight+s.OutBuffered+s.OutDropped+s.OutUnknown ||
		s.InMsgs != s.InDelivered+s.InReplies+s.InDropped+s.InOrphaned+s.InPending ||
		s.Requests != s.Answered+s.NoResponders+s.TimedOut+s.Cancelled+s.RequestsUnknown+s.RequestsOpen {
		return errors.New("it does not add up")
	}
	fmt.Println("it adds up")
	return nc.Drain(ctx)
}

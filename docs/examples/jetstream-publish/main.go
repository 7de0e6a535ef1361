// Publishing to a stream: receipts, duplicates, expectations, and what the three
// outcomes are.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("jetstream-publish"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name:     "ORDERS",
		Subjects: []string{"orders.>"},
		Storage:  jetstream.MemoryStorage,
	})
	if err != nil {
		return err
	}

	// The receipt says where it is.
	ack, err := js.Publish(ctx, "orders.new", []byte("a bicycle"))
	if err != nil {
		return err
	}
	fmt.Printf("stored in %s as %d\n", ack.Stream, ack.Sequence)

	// A message with an id is stored once, however often it is sent.
	for range 2 {
		ack, err = js.Publish(ctx, "orders.new", []byte("a bell"), jetstream.MsgID("order-2"))
		if err != nil {
			return err
		}
		fmt.Printf("stored as %d, a duplicate: %v\n", ack.Sequence, ack.Duplicate)
	}

	// A message that is good only if nothing has come in between.
	_, err = js.Publish(ctx, "orders.new", []byte("lights"), jetstream.ExpectLastSequence(1))
	fmt.Println("somebody was faster:", errors.Is(err, jetstream.ErrWrongLastSequence))

	// Nobody listens: that is known, after two more attempts.
	_, err = js.Publish(ctx, "invoices.new", nil)
	fmt.Println("no stream has this subject:", errors.Is(err, jetstream.ErrNoStreamResponse))

	// The third outcome is that nobody knows. With an id it would be harmless to
	// send it again; AutoMsgID lets Publish do so itself when a link is lost.
	careful, err := jetstream.New(nc, jetstream.AutoMsgID())
	if err != nil {
		return err
	}
	ack, err = careful.Publish(ctx, "orders.new", []byte("lights"))
	switch {
	case errors.Is(err, nats.ErrOutcomeUnknown):
		fmt.Println("it may be stored, or not")
	case err != nil:
		return err
	default:
		fmt.Printf("stored as %d\n", ack.Sequence)
	}
	return nc.Drain(ctx)
}

// Publishing to a stream without waiting for each receipt: a window of open
// publishes, futures, and one handler for all.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

func main() {
	if err := run(context.Background(), os.Getenv("NATS_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("jetstream-publish-async"))
	if err != nil {
		return err
	}
	defer nc.Close()
	failed := 0
	js, err := jetstream.New(nc,
		jetstream.AutoMsgID(), // a lost link costs time, and nothing else
		jetstream.PublishAsyncMaxPending(256),
		jetstream.AckTimeout(10*time.Second),
		jetstream.PublishAsyncHandler(func(m nats.Msg, _ jetstream.PubAck, err error) {
			if err != nil {
				failed++ // one at a time
				fmt.Printf("%s to %s is not stored\n", m.Data, m.Subject)
			}
		}))
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

	// It waits for nothing but room in the window.
	var last *jetstream.PubAckFuture
	for i := range 10_000 {
		last, err = js.PublishAsync(ctx, "orders.new", fmt.Append(nil, i))
		if err != nil {
			return err
		}
	}
	ack, err := last.Wait(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("the last one is stored as %d\n", ack.Sequence)

	// A refusal comes by the future, and by the handler.
	refused, err := js.PublishAsync(ctx, "orders.new", []byte("late"), jetstream.ExpectLastSequence(1))
	if err != nil {
		return err
	}
	if err := js.WaitPublished(ctx); err != nil {
		return err
	}
	_, err, _ = refused.Result()
	fmt.Println("somebody was faster:", errors.Is(err, jetstream.ErrWrongLastSequence))
	fmt.Printf("%d open, %d failed\n", js.PublishAsyncPending(), failed)
	return nc.Drain(ctx)
}

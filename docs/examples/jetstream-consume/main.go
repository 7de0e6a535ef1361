// Consuming from a stream: a batch, a loop, a handler, and what the server is
// told of each message.
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
	nc, err := nats.Connect(ctx, url, nats.Name("jetstream-consume"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	cons, err := prepare(ctx, js, 9)
	if err != nil {
		return err
	}

	// A batch: what comes within a time.
	for msg, err := range cons.Fetch(ctx, 2, jetstream.MaxWait(time.Second)) {
		if err != nil {
			return err
		}
		fmt.Printf("fetched %s\n", msg.Data)
		if err := msg.Ack(); err != nil {
			return err
		}
	}

	// A loop reads ahead. What it has not taken at its end is handed back.
	for msg, err := range cons.Messages(ctx) {
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		fmt.Printf("%s is number %d of the stream\n", msg.Data, meta.Sequence.Stream)
		if err := msg.AckSync(ctx); err != nil { // confirmed
			return err
		}
		if meta.Sequence.Stream == 4 {
			break
		}
	}

	// A handler. One order is refused the first time, and comes again.
	done := make(chan string, 5)
	refused := false
	run, err := cons.Consume(func(msg *jetstream.Msg) {
		order := string(msg.Data)
		if order == "order 7" && !refused {
			refused = true
			if err := msg.NakWithDelay(50 * time.Millisecond); err != nil {
				log.Print(err)
			}
			return
		}
		if err := msg.Ack(); err != nil {
			log.Print(err)
		}
		done <- order
	})
	if err != nil {
		return err
	}
	last := ""
	for range 5 {
		last = <-done
	}
	if err := run.Drain(ctx); err != nil {
		return err
	}
	fmt.Println("the last one was", last)

	// Nothing there is one thing, nobody there another.
	_, err = cons.Next(ctx, jetstream.NoWait())
	fmt.Println("no messages:", errors.Is(err, jetstream.ErrNoMessages))
	if err := js.DeleteConsumer(ctx, "ORDERS", "worker"); err != nil {
		return err
	}
	_, err = cons.Next(ctx, jetstream.NoWait())
	fmt.Println("no consumer:", errors.Is(err, jetstream.ErrConsumerDeleted))
	return nil
}

// prepare makes a stream with messages, and a consumer.
func prepare(ctx context.Context, js *jetstream.JetStream, orders int) (*jetstream.Consumer, error) {
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:     "ORDERS",
		Subjects: []string{"orders.>"},
		Storage:  jetstream.MemoryStorage,
	})
	if err != nil {
		return nil, err
	}
	for i := range orders {
		if _, err := js.Publish(ctx, "orders.new", fmt.Appendf(nil, "order %d", i+1)); err != nil {
			return nil, err
		}
	}
	return stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker"})
}

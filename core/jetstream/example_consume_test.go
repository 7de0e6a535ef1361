package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

var consumer *jetstream.Consumer // what CreateConsumer has returned

func ExampleConsumer_Messages() {
	for msg, err := range consumer.Messages(ctx) {
		if err != nil {
			log.Print(err) // ctx has ended, or there is no such consumer any more
			return
		}
		fmt.Println(msg.Subject)
		if err := msg.Ack(); err != nil {
			log.Print(err)
		}
	}
}

func ExampleConsumer_Consume() {
	run, err := consumer.Consume(func(msg *jetstream.Msg) {
		if err := msg.Ack(); err != nil {
			log.Print(err)
		}
	}, jetstream.Concurrency(8), jetstream.MaxMessages(100))
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-ctx.Done():
		err = run.Drain(context.WithoutCancel(ctx))
	case <-run.Done():
		err = run.Err()
	}
	if err != nil {
		log.Print(err)
	}
}

func ExampleConsumer_Fetch() {
	for msg, err := range consumer.Fetch(ctx, 100, jetstream.MaxWait(time.Second)) {
		switch {
		case errors.Is(err, jetstream.ErrNoLeader):
			log.Print("nobody answers: ", err)
			return
		case err != nil:
			log.Fatal(err)
		}
		if err := msg.Ack(); err != nil {
			log.Print(err)
		}
	}
}

func ExampleConsumer_Receiver() {
	receiver, err := consumer.Receiver(jetstream.MaxBytes(1 << 20))
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Stop() // hands back what was read ahead
	for {
		msg, err := receiver.Next(ctx)
		if err != nil {
			log.Print(err)
			return
		}
		if err := msg.AckSync(ctx); err != nil {
			log.Print(err)
		}
	}
}

func ExampleNewMsg() {
	handler := func(msg *jetstream.Msg) {
		if meta, err := msg.Metadata(); err == nil && meta.NumDelivered > 3 {
			_ = msg.TermWithReason("tried often enough")
			return
		}
		_ = msg.NakWithDelay(time.Second)
	}
	for _, delivered := range []uint64{1, 4} {
		msg := jetstream.NewMsg(nats.Msg{Subject: "orders.new"}, jetstream.MsgMetadata{NumDelivered: delivered},
			func(_ context.Context, _ jetstream.AckKind, body []byte) error {
				fmt.Printf("%s\n", body)
				return nil
			})
		handler(msg)
	}
	// Output:
	// -NAK {"delay":1000000000}
	// +TERM tried often enough
}

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

// What the examples below have in common.
var (
	ctx    = context.Background()
	nc     *nats.Conn            // what nats.Connect has returned
	js     *jetstream.JetStream  // what New has returned
	stream *jetstream.Stream     // what CreateStream has returned
	cutOff = 30 * 24 * time.Hour // what is older is of no use
)

func Example() {
	nc, err := nats.Connect(ctx, nats.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
	js, err := jetstream.New(nc)
	if err != nil {
		log.Print(err)
		return
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:     "ORDERS",
		Subjects: []string{"orders.>"},
		MaxAge:   cutOff,
	})
	if err != nil {
		log.Print(err)
		return
	}
	ack, err := js.Publish(ctx, "orders.new", []byte("a bicycle"))
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Printf("%s has it as number %d\n", ack.Stream, ack.Sequence)
}

func ExampleNew() {
	// JetStream of a hub, from a leaf node that has its own.
	hub, err := jetstream.New(nc,
		jetstream.Domain("hub"),
		jetstream.DefaultTimeout(10*time.Second),
		jetstream.AutoMsgID(),
	)
	if err != nil {
		log.Fatal(err)
	}
	info, err := hub.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		log.Fatal("there is none, or it cannot be reached: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d streams, %d bytes\n", info.Streams, info.Store)
}

func ExampleJetStream_CreateStream() {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:              "PRICES",
		Subjects:          []string{"prices.*"},
		MaxMsgsPerSubject: 1, // the last one counts
		Replicas:          3,
		AllowDirect:       true,
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		log.Print("somebody made it otherwise")
	case errors.Is(err, jetstream.ErrInvalidConfig):
		log.Print("it cannot be: ", err) // each field that is wrong
	case err != nil:
		log.Print(err)
	}
}

func ExampleJetStream_Publish() {
	ack, err := js.Publish(ctx, "orders.new", []byte("a bicycle"), jetstream.MsgID("order-42"))
	switch {
	case err == nil && ack.Duplicate:
		fmt.Println("it was there already")
	case err == nil:
		fmt.Println("stored as", ack.Sequence)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		log.Print("no stream listens: ", err)
	case errors.Is(err, nats.ErrOutcomeUnknown):
		log.Print("it may be stored; with the same id it can be sent again: ", err)
	default:
		log.Print("it was not stored: ", err)
	}
}

func ExampleExpectLastSequencePerSubject() {
	// Change what is stored, unless somebody else was faster.
	for {
		last, err := stream.GetLastMsgForSubject(ctx, "stock.bicycles", jetstream.FromLeader())
		if err != nil {
			log.Print(err)
			return
		}
		_, err = js.Publish(ctx, last.Subject, append(last.Data, '!'), jetstream.ExpectLastSequencePerSubject(last.Sequence))
		if !errors.Is(err, jetstream.ErrWrongLastSequence) {
			return
		}
	}
}

func ExampleScheduleAt() {
	// A reminder tomorrow. The stream has AllowMsgSchedules.
	_, err := js.Publish(ctx, "schedules.reminder.42", []byte("call back"),
		jetstream.ScheduleAt(time.Now().Add(24*time.Hour)),
		jetstream.ScheduleTarget("reminders.42"),
	)
	if err != nil {
		log.Print(err)
	}
}

func ExampleJetStream_Streams() {
	for info, err := range js.Streams(ctx, jetstream.FilterSubject("orders.>")) {
		if err != nil {
			log.Print(err) // the end: what came before is good
			break
		}
		fmt.Printf("%-10s %d messages\n", info.Config.Name, info.State.Msgs)
	}
}

func ExampleStream_GetMsg() {
	// The first order that was placed today.
	midnight := time.Now().Truncate(24 * time.Hour)
	m, err := stream.GetMsg(ctx, 0, jetstream.StartTime(midnight), jetstream.FilterSubject("orders.new"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		fmt.Println("none yet")
		return
	}
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Printf("%d at %v: %s\n", m.Sequence, m.Time, m.Data)
}

func ExampleStream_Purge() {
	purged, err := stream.Purge(ctx, jetstream.FilterSubject("orders.test.>"), jetstream.PurgeKeep(10))
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(purged, "messages are gone")
}

func ExampleStream_CreateOrUpdateConsumer() {
	_, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       "invoices",
		FilterSubject: "orders.new",
		AckWait:       time.Minute,
		MaxDeliver:    5,
	})
	if err != nil {
		log.Print(err)
	}
}

func ExampleDecodeAdvisory() {
	_, err := nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", func(m nats.Msg) {
		a, err := jetstream.DecodeAdvisory(m)
		if err != nil {
			log.Print(err)
			return
		}
		if a, ok := a.(jetstream.MaxDeliveriesAdvisory); ok {
			log.Printf("%s gave up message %d of %s after %d deliveries", a.Consumer, a.StreamSeq, a.Stream, a.Deliveries)
		}
	})
	if err != nil {
		log.Print(err)
	}
}

func ExampleJetStream_Request() {
	// An API that has no method here.
	if err := js.Request(ctx, "STREAM.LEADER.STEPDOWN.ORDERS", nil, nil); err != nil {
		log.Print(err)
	}
}

func ExampleJetStream_PublishAsync() {
	for i := range 1000 {
		// Waits for room in the window, and for nothing else.
		if _, err := js.PublishAsync(ctx, "orders.new", fmt.Append(nil, i)); err != nil {
			log.Print(err) // it did not leave
			return
		}
	}
	if err := js.WaitPublished(ctx); err != nil {
		log.Print(err)
	}
}

func ExamplePubAckFuture() {
	future, err := js.PublishAsync(ctx, "orders.new", []byte("a bicycle"), jetstream.MsgID("order-42"))
	if err != nil {
		log.Print(err)
		return
	}
	ack, err := future.Wait(ctx)
	switch {
	case err == nil:
		fmt.Println("stored as", ack.Sequence)
	case errors.Is(err, nats.ErrOutcomeUnknown):
		fmt.Println("it may be stored; with the same id it can be published again")
	default:
		fmt.Println("not stored:", err)
	}
}

func ExamplePublishAsyncHandler() {
	js, err := jetstream.New(nc, jetstream.PublishAsyncHandler(func(m nats.Msg, _ jetstream.PubAck, err error) {
		if err != nil {
			log.Printf("%s: %v", m.Subject, err)
		}
	}))
	if err != nil {
		log.Print(err)
		return
	}
	_, err = js.PublishAsync(ctx, "orders.new", nil)
	if err != nil {
		log.Print(err)
	}
}

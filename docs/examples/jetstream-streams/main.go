// Streams: making, changing, listing and purging them, and reading what they
// hold without a consumer.
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
	nc, err := nats.Connect(ctx, url, nats.Name("jetstream-streams"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}

	// What cannot be is told before anything is sent, all of it.
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORD.ERS", Replicas: 9})
	fmt.Println(err)

	cfg := jetstream.StreamConfig{
		Name:        "ORDERS",
		Subjects:    []string{"orders.*"},
		Storage:     jetstream.MemoryStorage,
		AllowDirect: true,
	}
	if _, err := js.CreateOrUpdateStream(ctx, cfg); err != nil {
		return err
	}
	cfg.Description = "what people want"
	if _, err := js.CreateStream(ctx, cfg); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("a stream of that name was expected: %w", err)
	}
	stream, err := js.UpdateStream(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println("description:", stream.CachedInfo().Config.Description)

	for i := range 6 {
		if _, err := js.Publish(ctx, fmt.Sprintf("orders.shop-%d", i%2), fmt.Appendf(nil, "order %d", i)); err != nil {
			return err
		}
	}
	for info, err := range js.Streams(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s has %d messages\n", info.Config.Name, info.State.Msgs)
	}
	info, err := stream.Info(ctx, jetstream.FilterSubject("orders.shop-0"))
	if err != nil {
		return err
	}
	fmt.Println("by subject:", info.State.Subjects)

	last, err := stream.GetLastMsgForSubject(ctx, "orders.shop-1")
	if err != nil {
		return err
	}
	fmt.Printf("last of shop 1: %d, %s\n", last.Sequence, last.Data)
	next, err := stream.GetMsg(ctx, 2, jetstream.FilterSubject("orders.shop-0"))
	if err != nil {
		return err
	}
	fmt.Printf("next of shop 0, from 2 on: %d, %s\n", next.Sequence, next.Data)

	purged, err := stream.Purge(ctx, jetstream.FilterSubject("orders.shop-0"), jetstream.PurgeKeep(1))
	if err != nil {
		return err
	}
	fmt.Println("purged:", purged)
	_, err = stream.GetMsg(ctx, 1)
	fmt.Println("the first one is gone:", errors.Is(err, jetstream.ErrMsgNotFound))
	return nc.Drain(ctx)
}

// Headers: fields beside the payload. A Header is a value: a copy never sees the
// other's changes. Names keep their case and match exactly.
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
	nc, err := nats.Connect(ctx, url, nats.Name("headers"))
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("parcels")
	if err != nil {
		return err
	}

	// A header that is made once can be sent with any number of messages.
	header, err := nats.NewHeader("Trace-Id", "42", "Via", "berlin", "Via", "paris")
	if err != nil {
		return err
	}
	parcel := nats.Msg{Subject: "parcels", Header: header, Data: []byte("contents")}
	if err := nc.PublishMsg(ctx, parcel); err != nil {
		return err
	}
	m, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Println("Trace-Id:", m.Header.Get("Trace-Id"))
	fmt.Println("Via:", m.Header.Values("Via"))
	if _, ok := m.Header.Lookup("trace-id"); !ok {
		fmt.Println("trace-id is another name")
	}

	// Handed on, with one more station.
	onward := m.Header
	onward.Add("Via", "madrid")
	for name, value := range onward.All() {
		fmt.Printf("  %s: %s\n", name, value)
	}
	fmt.Println("fields that arrived:", m.Header.Len())

	// Set and Add return nothing: what is illegal is refused at the publish.
	onward.Set("Trace-Id", "two\nlines")
	err = nc.PublishMsg(ctx, nats.Msg{Subject: "parcels", Header: onward})
	var bad *nats.HeaderError
	if !errors.As(err, &bad) {
		return fmt.Errorf("a value of two lines was taken: %w", err)
	}
	fmt.Println("refused:", bad.Name)
	return nc.Drain(ctx)
}

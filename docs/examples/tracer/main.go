// Tracer: told of the start and end of every operation, it can carry a trace
// from the publisher to the subscriber in the header. Without one, nothing is
// spent on it.
package main

import (
	"context"
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

// traceKey finds the trace of a context.
type traceKey struct{}

// A printer is a Tracer that prints. One for OpenTelemetry starts a span in
// Start, injects it into op.Header or extracts it, and ends it in End.
type printer struct{}

func (printer) Start(ctx context.Context, op *nats.Operation) context.Context {
	switch op.Kind {
	case nats.OpPublish, nats.OpRequest:
		if trace, ok := ctx.Value(traceKey{}).(string); ok {
			op.Header.Set("Trace-Id", trace)
		}
	case nats.OpDeliver:
		if trace, ok := op.Header.Lookup("Trace-Id"); ok {
			ctx = context.WithValue(ctx, traceKey{}, trace)
		}
	}
	return ctx
}

func (printer) End(ctx context.Context, op *nats.Operation, err error) {
	trace, _ := ctx.Value(traceKey{}).(string)
	switch op.Kind {
	case nats.OpConnect:
		fmt.Printf("connect %s, error: %v\n", op.Subject, err)
	case nats.OpPublish:
		fmt.Printf("publish to %s, %d bytes, trace %q, error: %v\n", op.Subject, op.Size, trace, err)
	case nats.OpDeliver:
		fmt.Printf("deliver from %s, trace %q\n", op.Subject, trace)
	default:
		// Kinds are added.
	}
}

func run(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.Name("tracer"), nats.UseTracer(printer{}))
	if err != nil {
		return err
	}
	defer nc.Close()
	orders, err := nc.SubscribeSync("orders")
	if err != nil {
		return err
	}
	bills, err := nc.SubscribeSync("bills")
	if err != nil {
		return err
	}

	// The context of PublishMsg and Request carries the trace. Publish has none.
	ctx = context.WithValue(ctx, traceKey{}, "trace-42")
	if err := nc.PublishMsg(ctx, nats.Msg{Subject: "orders", Data: []byte("tea")}); err != nil {
		return err
	}
	order, err := orders.Next(ctx)
	if err != nil {
		return err
	}
	// What is sent because of a message belongs to its trace.
	if err := nc.PublishMsg(order.Context(), nats.Msg{Subject: "bills", Data: []byte("12 coins")}); err != nil {
		return err
	}
	bill, err := bills.Next(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s for %s, header %q\n", bill.Data, order.Data, bill.Header.Get("Trace-Id"))
	return nc.Drain(ctx)
}

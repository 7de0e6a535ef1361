package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// What the examples below have in common.
var (
	ctx = context.Background()
	nc  *nats.Conn // what Connect has returned
)

func Example() {
	nc, err := nats.Connect(ctx, nats.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))

	_, err = nc.Subscribe("greet.*", func(m nats.Msg) {
		if err := m.Respond([]byte("hello from " + m.Subject)); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		log.Print(err)
		return
	}
	reply, err := nc.Request(ctx, "greet.joe", nil)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Printf("%s\n", reply.Data)
}

func ExampleConnect() {
	nc, err := nats.Connect(ctx, "nats://a.example.com:4222,nats://b.example.com:4222",
		nats.Name("billing"),
		nats.UserInfo("billing", os.Getenv("NATS_PASSWORD")),
		nats.Timeout(2*time.Second),
	)
	var failed *nats.ConnectError
	if errors.As(err, &failed) {
		for _, server := range failed.Attempts {
			fmt.Println(server.URL, server.LastErr)
		}
		return
	}
	if err != nil {
		log.Fatal(err) // a bad option, for instance
	}
	defer nc.Drain(context.WithoutCancel(ctx))
	fmt.Println("connected to", nc.ConnectedURL())
}

func ExampleRetryOnFailedConnect() {
	// Connect returns at once. What is published before a server is there waits
	// in the client.
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.RetryOnFailedConnect(true))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nc.Status()) // connecting
}

func ExampleCompression() {
	// The server is behind a gateway of HTTP.
	nc, err := nats.Connect(ctx, "wss://gateway.example.com",
		nats.ProxyPath("/nats"), // for servers that are discovered too
		nats.Compression(true),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleWebSocketConnectionHeaders() {
	nc, err := nats.Connect(ctx, "wss://gateway.example.com/nats",
		nats.WebSocketConnectionHeaders(http.Header{"Authorization": {"Bearer " + os.Getenv("GATEWAY_TOKEN")}}),
	)
	if errors.Is(err, nats.ErrAuthorization) {
		log.Print("the gateway or the server does not know us: ", err)
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleWebSocketConnectionHeadersHandler() {
	// Asked before each attempt, so the token may be short-lived.
	nc, err := nats.Connect(ctx, "wss://gateway.example.com/nats",
		nats.WebSocketConnectionHeadersHandler(func(ctx context.Context) (http.Header, error) {
			token, err := os.ReadFile("/run/secrets/gateway-token")
			if err != nil {
				return nil, err
			}
			return http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}}, nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleRootCAs() {
	nc, err := nats.Connect(ctx, "tls://nats.example.com:4222",
		nats.RootCAs("ca.pem"),
		nats.ClientCert("client.pem", "client-key.pem"), // only if the server asks
	)
	if errors.Is(err, nats.ErrTLS) {
		log.Fatal("TLS failed: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleConn_Publish() {
	if err := nc.Publish("orders.new", []byte("tea")); err != nil {
		log.Fatal(err)
	}
	// Publish hands over bytes. Flush returns when the server has them.
	if err := nc.Flush(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleConn_PublishMsg() {
	header, err := nats.NewHeader("Trace-Id", "42")
	if err != nil {
		log.Fatal(err)
	}
	// ctx bounds the wait for room, if there is none.
	err = nc.PublishMsg(ctx, nats.Msg{Subject: "orders.new", Header: header, Data: []byte("tea")})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleConn_Subscribe() {
	// * stands for one token of a subject, > for all that follow.
	sub, err := nc.Subscribe("orders.*", func(m nats.Msg) {
		fmt.Printf("%s: %s\n", m.Subject, m.Data)
	})
	if err != nil {
		log.Fatal(err)
	}

	// Later: handle what has arrived, and end.
	if err := sub.Drain(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleQueue() {
	// Each job goes to one member of the group, wherever the members run.
	_, err := nc.Subscribe("jobs", func(m nats.Msg) {
		fmt.Printf("working on %s\n", m.Data)
	}, nats.Queue("workers"))
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleConcurrency() {
	// Up to eight calls of the handler at a time, and no order.
	_, err := nc.Subscribe("pictures", func(m nats.Msg) {
		fmt.Printf("scaling %s\n", m.Data)
	}, nats.Concurrency(8))
	if err != nil {
		log.Fatal(err)
	}
}

func ExamplePendingLimits() {
	// Only the latest counts: ten may wait, and older ones are dropped for newer.
	_, err := nc.Subscribe("temperature", func(m nats.Msg) {
		fmt.Printf("%s\n", m.Data)
	}, nats.PendingLimits(10, 1<<20), nats.Overflow(nats.OverflowDropOldest))
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleConn_SubscribeSync() {
	sub, err := nc.SubscribeSync("orders.>")
	if err != nil {
		log.Fatal(err)
	}
	m, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Subject, len(m.Data))
}

func ExampleSubscription_Next() {
	sub, err := nc.SubscribeSync("orders.>")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := sub.Next(ctx)
	switch {
	case err == nil:
		fmt.Println(m.Subject)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("nothing came within two seconds")
	case errors.Is(err, nats.ErrSlowConsumer):
		fmt.Println("some were dropped; the next call goes on")
	default:
		log.Fatal(err) // the subscription is over, or was refused
	}
}

func ExampleSubscription_Messages() {
	sub, err := nc.SubscribeSync("orders.>")
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			log.Print(err) // the last one: ctx has ended, or the subscription
			break
		}
		fmt.Println(m.Subject)
		if m.Subject == "orders.last" {
			break // the subscription stays open
		}
	}
}

func ExampleConn_SubscribeChan() {
	messages := make(chan nats.Msg, 64)
	sub, err := nc.SubscribeChan("orders.>", messages)
	if err != nil {
		log.Fatal(err)
	}
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case m := <-messages:
			fmt.Println(m.Subject)
		case <-tick.C:
			fmt.Println("still here")
		case <-sub.Done(): // the channel is not closed
			return
		}
	}
}

func ExampleConn_Request() {
	reply, err := nc.Request(ctx, "prices.get", []byte("tea"))
	switch {
	case err == nil:
		fmt.Printf("%s\n", reply.Data)
	case errors.Is(err, nats.ErrNoResponders):
		fmt.Println("nobody has prices at the moment")
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("no answer within the default timeout")
	case errors.Is(err, nats.ErrOutcomeUnknown):
		fmt.Println("the link was lost after the request had left")
	default:
		log.Fatal(err)
	}
}

func ExampleMsg_Respond() {
	_, err := nc.Subscribe("prices.get", func(m nats.Msg) {
		if err := m.Respond([]byte("4 coins")); err != nil {
			log.Print(err) // ErrMsgNoReply, if it was no request
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleConn_Drain() {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()

	nc, err := nats.Connect(ctx, nats.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := nc.Subscribe("jobs", func(nats.Msg) {}); err != nil {
		log.Print(err)
	}

	<-ctx.Done() // Ctrl-C
	// ctx has ended, so Drain gets one that has not.
	err = nc.Drain(context.WithoutCancel(ctx))
	var loss *nats.LossError
	if errors.As(err, &loss) {
		log.Printf("not handled: %d, not sent: %d, unknown: %d", loss.Undelivered, loss.Unsent, loss.Unknown)
	}
}

func ExampleEventHandler() {
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.EventHandler(func(_ *nats.Conn, e nats.Event) {
		switch e := e.(type) {
		case nats.Disconnected:
			log.Printf("lost %s: %v; the fate of %d messages is unknown", e.Server.URL, e.Err, e.Unknown)
		case nats.Reconnected:
			log.Printf("back at %s", e.Server.URL)
		case nats.SlowConsumer:
			log.Printf("%s: %d dropped", e.Subscription.Subject(), e.Dropped)
		case nats.AsyncError:
			log.Print(e.Err)
		}
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleConn_Events() {
	for e, err := range nc.Events(ctx) {
		if err != nil {
			log.Print(err) // ctx has ended
			break
		}
		fmt.Println(e)
	}
}

func ExampleLogger() {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	nc, err := nats.Connect(ctx, nats.DefaultURL, nats.Logger(logger))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Drain(context.WithoutCancel(ctx))
}

func ExampleHeader() {
	var h nats.Header // ready for use
	h.Set("Trace-Id", "42")
	h.Add("Via", "berlin")

	onward := h // a copy never sees the other's changes
	onward.Add("Via", "paris")

	fmt.Println(h.Get("Trace-Id"), h.Values("Via"), onward.Values("Via"))
	for name, value := range onward.All() {
		fmt.Printf("%s: %s\n", name, value)
	}
	_, ok := h.Lookup("trace-id") // names keep their case
	fmt.Println(ok)
	// Output:
	// 42 [berlin] [berlin paris]
	// Trace-Id: 42
	// Via: berlin
	// Via: paris
	// false
}

func ExampleNewHeader() {
	h, err := nats.NewHeader("Trace-Id", "42", "Via", "berlin", "Via", "paris")
	fmt.Println(h.Len(), err)

	_, err = nats.NewHeader("Trace Id", "42")
	fmt.Println(errors.Is(err, nats.ErrBadHeader))
	// Output:
	// 3 <nil>
	// true
}

// A handler is tested without a server: Bind takes what it answers.
func ExampleMsg_Bind() {
	greet := func(m nats.Msg) { // the handler to be tested
		if err := m.Respond([]byte("hello, " + string(m.Data))); err != nil {
			log.Print(err)
		}
	}

	var answer nats.Msg
	request := nats.Msg{Subject: "greet", Reply: "inbox", Data: []byte("joe")}
	greet(request.Bind(func(m nats.Msg) error {
		answer = m
		return nil
	}))
	fmt.Printf("%s: %s\n", answer.Subject, answer.Data)
	// Output: inbox: hello, joe
}

func ExampleMsg_Equal() {
	a := nats.Msg{Subject: "orders", Data: []byte("tea")}
	b := a.Clone() // with memory of its own
	b.Data[0] = 's'
	fmt.Printf("%s %s %t\n", a.Data, b.Data, a.Equal(b))
	// Output: tea sea false
}

func ExampleSafeToRetry() {
	order := func() error {
		_, err := nc.Request(ctx, "orders.new", []byte("tea"))
		return err
	}
	err := order()
	for tries := 1; tries < 3 && nats.SafeToRetry(err); tries++ {
		err = order() // not a byte had left, so this cannot make it two cups
	}
	switch {
	case err == nil:
		fmt.Println("ordered")
	case errors.Is(err, nats.ErrOutcomeUnknown):
		fmt.Println("perhaps ordered: ask before ordering again")
	default:
		log.Print(err)
	}
}

func ExampleConn_Stats() {
	s := nc.Stats()
	fmt.Println(s.OutMsgs == s.OutConfirmed+s.OutInFlight+s.OutBuffered+s.OutDropped+s.OutUnknown)
	fmt.Println(s.InMsgs == s.InDelivered+s.InReplies+s.InDropped+s.InOrphaned+s.InPending)
	fmt.Println("lost with a link, perhaps:", s.OutUnknown)
}

func ExampleConn_Barrier() {
	if err := nc.Publish("orders.new", nil); err != nil {
		log.Fatal(err)
	}
	// The server has it, and what it sends back to our own subscriptions is
	// handled when both have returned.
	if err := nc.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	if err := nc.Barrier(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleConn_OnDrain() {
	// A helper on top takes part in the shutdown.
	remove := nc.OnDrain(func(ctx context.Context) error {
		return nc.PublishMsg(ctx, nats.Msg{Subject: "workers.gone", Data: []byte("worker-7")})
	})
	defer remove()
}

package basic

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// A subscription is drained while others publish to it without a pause: it ends
// without a gap in what it got, nobody else notices, and the subject can be
// subscribed to again.
func TestSubscriptionDrainUnderLoad(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc, pub := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("pub"))
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := pub.Publish("busy", fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
			if i%100 == 99 { // in step with the server, so that no one is slow
				if err := pub.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	defer publishing.Wait()
	defer close(stop)
	for range 20 {
		sub, err := nc.SubscribeSync("busy")
		if err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan error, 1)
		go func() { drained <- sub.Drain(t.Context()) }()
		last := number(t, m)
		for m, err := range sub.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n := number(t, m); n != last+1 {
				t.Errorf("%d came after %d", n, last)
			}
			last++
		}
		if err := recv(t, drained); err != nil {
			t.Error(err)
		}
		if st := sub.Stats(); st.Received != st.Delivered || st.Active {
			t.Errorf("%+v", st)
		}
	}
	ledger.SameSubscriptions(t, srv, nc)
}

func number(t testing.TB, m nats.Msg) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(string(m.Data), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A subscription that ends after a number of messages is drained before they
// have come: it gives what it has, and ends.
func TestDrainBeforeTheLimit(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	sub, err := nc.SubscribeSync("few", nats.AutoUnsubscribe(120))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		if err := nc.Publish("few", []byte(want[i])); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
	drained := make(chan error, 1)
	go func() { drained <- sub.Drain(t.Context()) }()
	msgs, err := nats.Collect(sub.Messages(t.Context()))
	var got []string
	for _, m := range msgs {
		got = append(got, string(m.Data))
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if err := recv(t, drained); err != nil || sub.Err() != nil {
		t.Errorf("%v, %v", err, sub.Err())
	}
	// And one that has had them all by then.
	sub, err = nc.SubscribeSync("few", nats.AutoUnsubscribe(2))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := nc.Publish("few", nil); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
	go func() { drained <- sub.Drain(t.Context()) }()
	if msgs, err := nats.Collect(sub.Messages(t.Context())); err != nil || len(msgs) != 2 {
		t.Errorf("%d messages, %v", len(msgs), err)
	}
	if err := recv(t, drained); err != nil && !errors.Is(err, nats.ErrSubscriptionClosed) {
		t.Error(err)
	}
	ledger.SameSubscriptions(t, srv, nc)
}

// An idle subscription has nothing to wait for, least of all the next PING.
func TestIdleSubscriptionDrainsAtOnce(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.PingInterval(time.Hour, 2))
	nc := ledger.Connect(t, srv.URL(), nats.PingInterval(time.Hour))
	handled, err := nc.Subscribe("a", func(nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := nc.SubscribeSync("b")
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*nats.Subscription{handled, pulled} {
		start := time.Now()
		if err := sub.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		<-sub.Done()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", sub.Subject(), d)
		}
	}
	works(t, nc)
}

// Drain ends one connection and no other.
func TestDrainEndsOneConn(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc, other := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("other"))
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	if err := nc.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, nats.ErrSubscriptionClosed) && !errors.Is(err, nats.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	_, subscribeErr := nc.SubscribeSync("y")
	_, requestErr := nc.Request(t.Context(), "y", nil)
	for call, err := range map[string]error{
		"Publish": nc.Publish("y", nil), "Subscribe": subscribeErr, "Request": requestErr,
		"Flush": nc.Flush(t.Context()), "Reconnect": nc.Reconnect(t.Context()),
	} {
		if !errors.Is(err, nats.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
	works(t, other)
	works(t, ledger.Connect(t, srv.URL(), nats.Name("next")))
}

// Package ledger checks, at the end of a test, that a connection's counters add
// up and that the server knows the same subscriptions as the client.
package ledger

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Connect makes a connection that is checked and closed at the end of the test.
// If its server is one of Run, it has to agree with the server on what is
// subscribed.
func Connect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{nats.Logger(nil), nats.Name(t.Name())}, opts...)
	nc, err := nats.Connect(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		Agreed(t, nc)
		_ = nc.Close() // what it loses is in the ledger
		Closed(t, nc)
	})
	return nc
}

// Closed checks the ledger of a connection that is closed. Handlers may still
// be on their way out.
func Closed(t testing.TB, nc *nats.Conn) {
	t.Helper()
	st := settled(nc)
	Sums(t, st)
	if st.OutInFlight+st.OutBuffered+st.InPending+st.RequestsOpen != 0 {
		t.Errorf("something is open after Close: %+v", st)
	}
}

// settled waits until no handler is at work any more.
func settled(nc *nats.Conn) nats.Stats {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		st := nc.Stats()
		if st.InPending == 0 {
			return st
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return st
		}
	}
}

// Sums checks that the lines of a ledger add up.
func Sums(t testing.TB, st nats.Stats) {
	t.Helper()
	if sum := st.OutConfirmed + st.OutInFlight + st.OutBuffered + st.OutDropped + st.OutUnknown; sum != st.OutMsgs {
		t.Errorf("out: %d accepted, %d accounted for: %+v", st.OutMsgs, sum, st)
	}
	if sum := st.InDelivered + st.InDropped + st.InOrphaned + st.InReplies + st.InPending; sum != st.InMsgs {
		t.Errorf("in: %d received, %d accounted for: %+v", st.InMsgs, sum, st)
	}
	sum := st.Answered + st.NoResponders + st.TimedOut + st.Cancelled + st.RequestsUnknown + st.RequestsOpen
	if sum != st.Requests {
		t.Errorf("requests: %d begun, %d accounted for: %+v", st.Requests, sum, st)
	}
}

// SameSubscriptions checks that the server's list for the connections of this
// test is want, each entry "subject" or "subject queue".
func SameSubscriptions(t testing.TB, srv *natstest.Server, nc *nats.Conn, want ...string) {
	t.Helper()
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	// An older link of the connection may still be on its way out there.
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := srv.Subscriptions(nc.Name())
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Errorf("the server knows subscriptions %q, the client has %q", got, want)
			return
		}
	}
}

// Events collects what happens to a connection.
type Events struct {
	mu   sync.Mutex
	all  []nats.Event
	more chan struct{}
}

// NewEvents returns a collector, and the option that feeds it.
func NewEvents() (*Events, nats.ConnSubOption) {
	e := &Events{more: make(chan struct{})}
	return e, nats.EventHandler(func(_ *nats.Conn, ev nats.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, ev)
		close(e.more)
		e.more = make(chan struct{})
	})
}

// Wait returns the first event of type T, now or within ten seconds.
func Wait[T nats.Event](t testing.TB, e *Events) T {
	t.Helper()
	return WaitN[T](t, e, 1)
}

// WaitN returns the nth event of type T.
func WaitN[T nats.Event](t testing.TB, e *Events, n int) T {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		e.mu.Lock()
		more, left := e.more, n
		for _, ev := range e.all {
			if ev, ok := ev.(T); ok {
				if left--; left == 0 {
					e.mu.Unlock()
					return ev
				}
			}
		}
		e.mu.Unlock()
		select {
		case <-more:
		case <-limit.C:
			var zero T
			t.Fatalf("no event %T came; there were: %v", zero, e.All())
		}
	}
}

// All returns what has come so far.
func (e *Events) All() []nats.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// Cuts publishes on nc while its link is cut, again and again, and watches from
// another connection what arrives: nothing twice, and no more is missing than
// the ledger calls unknown. events are nc's. All that is published has to fit
// into the reconnect buffer of nc: the next cut may come before any of it is
// written.
func Cuts(t testing.TB, nc, watcher *nats.Conn, events *Events, subject string, data []byte, cuts ...func()) {
	t.Helper()
	const apart = 2000 // messages
	sub, err := watcher.SubscribeSync(subject+".>", nats.PendingLimits(-1, -1))
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := apart * (len(cuts) + 1)
	for i := range count {
		if n := i / apart; i%apart == 0 && n > 0 {
			if n > 1 {
				WaitN[nats.Reconnected](t, events, n-1)
			}
			cuts[n-1]()
		}
		if err := nc.Publish(subject+"."+strconv.Itoa(i), data); err != nil {
			t.Fatal(err)
		}
	}
	WaitN[nats.Reconnected](t, events, len(cuts))
	for nc.Flush(t.Context()) != nil {
	}
	if err := watcher.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { _ = sub.Drain(context.Background()) }()
	seen := make(map[string]int)
	for m, err := range sub.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.Subject]++; seen[m.Subject] > 1 {
			t.Errorf("%s came again", m.Subject)
		}
	}
	st := nc.Stats()
	Sums(t, st)
	if missing := uint64(count - len(seen)); missing > st.OutUnknown {
		t.Errorf("%d missing, only %d unknown", missing, st.OutUnknown)
	}
	t.Logf("%d confirmed, %d unknown, %d arrived", st.OutConfirmed, st.OutUnknown, len(seen))
}

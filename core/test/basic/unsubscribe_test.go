package basic

import (
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// publish sends n messages and waits until what they cause has arrived.
func publish(t testing.TB, nc *nats.Conn, subject string, n int) {
	t.Helper()
	for range n {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
}

// The end of one subscription is nothing to the others, those to the same
// subject included.
func TestUnsubscribeLeavesTheOthers(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	var subs []*nats.Subscription
	for _, subject := range []string{"a", "a", "*", "b"} {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	publish(t, nc, "a", 1)
	if err := subs[0].Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	publish(t, nc, "a", 2)
	publish(t, nc, "b", 1)
	for i, want := range []uint64{1, 3, 4, 1} {
		if st := subs[i].Stats(); st.Received != want || st.Active != (i > 0) {
			t.Errorf("subscription %d to %q, want %d: %+v", i, subs[i].Subject(), want, st)
		}
	}
	ledger.SameSubscriptions(t, srv, nc, "a", "*", "b")
}

// A limit that is set when messages are there already counts those too.
func TestLimitAfterTheFirstMessages(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	for name, tc := range map[string]struct{ before, limit, want int }{
		"more may come": {2, 3, 3},
		"just reached":  {2, 2, 2},
		"passed":        {2, 1, 2}, // what has arrived is not taken away
	} {
		t.Run(name, func(t *testing.T) {
			sub, err := nc.SubscribeSync("few")
			if err != nil {
				t.Fatal(err)
			}
			publish(t, nc, "few", tc.before)
			if err := sub.AutoUnsubscribe(tc.limit); err != nil {
				t.Fatal(err)
			}
			publish(t, nc, "few", 5)
			got, err := nats.Collect(sub.Messages(t.Context()))
			if err != nil || len(got) != tc.want {
				t.Errorf("%d messages, want %d: %v", len(got), tc.want, err)
			}
			<-sub.Done()
			ledger.SameSubscriptions(t, srv, nc)
		})
	}
}

package faults

import (
	"bytes"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// After a reconnect the server itself keeps the rest of a limit: it sends no
// message beyond it, as the bytes on the wire show.
func TestServerKeepsTheRestOfALimit(t *testing.T) {
	t.Parallel()
	for name, byOption := range map[string]bool{"option": true, "method": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := ledger.Run(t)
			proxy := natstest.RunProxy(t, srv.Addr())
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, proxy.URL(), handler)
			pub := ledger.Connect(t, srv.URL(), nats.Name("publisher"))
			var opts []nats.SubOption
			if byOption {
				opts = append(opts, nats.AutoUnsubscribe(5))
			}
			sub, err := nc.SubscribeSync("few", opts...)
			if err != nil {
				t.Fatal(err)
			}
			if !byOption {
				if err := sub.AutoUnsubscribe(5); err != nil {
					t.Fatal(err)
				}
			}
			publish := func(n int) {
				for range n {
					if err := pub.Publish("few", nil); err != nil {
						t.Fatal(err)
					}
				}
				for _, nc := range []*nats.Conn{pub, nc} {
					if err := nc.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := nc.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			publish(2)
			proxy.Record(natstest.ServerToClient)
			proxy.CutNow()
			ledger.Wait[nats.Reconnected](t, events)
			publish(10)
			if n := bytes.Count(proxy.Recorded(natstest.ServerToClient), []byte("MSG few ")); n != 3 {
				t.Errorf("the server sent %d messages on the new link, 3 were left", n)
			}
			if got, err := nats.Collect(sub.Messages(t.Context())); err != nil || len(got) != 5 {
				t.Errorf("%d messages, %v", len(got), err)
			}
			ledger.SameSubscriptions(t, srv, nc)
		})
	}
}

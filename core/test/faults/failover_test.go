package faults

import (
	"fmt"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Servers that know nothing of each other die one after the other. After each
// death the connection is at one that lives, with its subscription.
func TestServersDieInTurn(t *testing.T) {
	t.Parallel()
	servers := make(map[string]*natstest.Server)
	var urls []string
	for range 3 {
		srv := ledger.Run(t)
		servers[srv.URL()] = srv
		urls = append(urls, srv.URL())
	}
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, urls[0], nats.Servers(urls[1:]...), nats.DontRandomize(), handler)
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := nc.ConnectedURL(); got != urls[0] {
		t.Fatalf("first at %s, want the first of %v", got, urls)
	}
	var dead *natstest.Server
	for i := range 6 {
		at := nc.ConnectedURL()
		if i >= 2 { // two are dead: one comes back before the last one goes
			if err := dead.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		dead = servers[at]
		dead.Kill()
		e := ledger.WaitN[nats.Reconnected](t, events, i+1)
		if now := nc.ConnectedURL(); nc.Status() != nats.StatusConnected || now == at || now != e.Server.URL {
			t.Errorf("death %d of %s: %v at %q, event %+v", i+1, at, nc.Status(), now, e)
		}
		want := fmt.Sprint(i)
		if err := nc.Publish("x", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != want {
			t.Fatalf("after death %d: %q, %v", i+1, m.Data, err)
		}
		ledger.SameSubscriptions(t, servers[nc.ConnectedURL()], nc, "x")
	}
}

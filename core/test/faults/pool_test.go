package faults

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// works publishes to a subscription that is there already.
func works(t testing.TB, nc *nats.Conn, sub *nats.Subscription, data string) {
	t.Helper()
	if err := nc.Publish(sub.Subject(), []byte(data)); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != data {
		t.Fatalf("%q, %v; want %q", m.Data, err, data)
	}
}

// A new list of servers and Reconnect move the connection, with everything on
// it, and as often as wanted.
func TestSetServersAndReconnect(t *testing.T) {
	t.Parallel()
	servers := []*natstest.Server{ledger.Run(t), ledger.Run(t), ledger.Run(t)}
	nc := ledger.Connect(t, servers[0].URL())
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	for i, to := range []int{1, 2, 0, 1} {
		srv := servers[to]
		if err := nc.SetServers([]string{srv.URL()}); err != nil {
			t.Fatal(err)
		}
		if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if nc.ConnectedURL() != srv.URL() || nc.ServerInfo().ID != srv.ID() {
			t.Fatalf("move %d: at %s, want %s", i, nc.ConnectedURL(), srv.URL())
		}
		works(t, nc, sub, srv.Name())
		ledger.SameSubscriptions(t, srv, nc, "x")
		pool := nc.Servers()
		if len(pool) != 1 || !pool[0].Current || pool[0].Discovered || pool[0].Attempts != 0 || pool[0].LastErr != nil {
			t.Errorf("move %d: %+v", i, pool)
		}
	}
	if st := nc.Stats(); st.Connects != 5 || st.OutUnknown != 0 {
		t.Errorf("%+v", st)
	}
}

// Servers that cannot be reached are tried as often as MaxReconnects says, each
// attempt is told, and the connection ends.
func TestSetServersOutOfReach(t *testing.T) {
	t.Parallel()
	const rounds = 5
	srv, gone := ledger.Run(t), ledger.Run(t)
	gone.Shutdown() // its port stays its own
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.MaxReconnects(rounds), nats.ReconnectBackoff(0, time.Millisecond))
	if err := nc.SetServers([]string{gone.URL()}); err != nil {
		t.Fatal(err)
	}
	srv.Shutdown()
	if e := ledger.Wait[nats.Closed](t, events); !errors.Is(e.Err, nats.ErrNoServers) || !errors.Is(nc.Err(), nats.ErrNoServers) {
		t.Errorf("closed with %v, Err %v", e.Err, nc.Err())
	}
	failed := 0
	for _, e := range events.All() {
		if f, ok := e.(nats.ConnectFailed); ok {
			if failed++; f.Server.URL != gone.URL() || f.Err == nil {
				t.Errorf("%v", f)
			}
		}
	}
	if failed != rounds || nc.Status() != nats.StatusClosed {
		t.Errorf("%d attempts failed of %d; status %v", failed, rounds, nc.Status())
	}
}

// The function that chooses a server is asked at each loss, sees all servers of
// the cluster and whom the connection was with, and is obeyed.
func TestChosenServer(t *testing.T) {
	cluster := ledger.RunCluster(t, 3, natstest.NoJetStream())
	var mu sync.Mutex
	var choice string
	var lasts []string
	var pools [][]nats.Server
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, cluster.Server(0).URL(), handler,
		nats.ReconnectToServer(func(pool []nats.Server, last nats.ServerInfo) (string, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			pools, lasts = append(pools, pool), append(lasts, last.ID)
			return choice, 0
		}))
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.ServersDiscovered](t, events); len(e.Added) != 2 {
		t.Fatalf("%+v", e)
	}
	at := 0
	for i, to := range []int{2, 1, 2, 0} {
		mu.Lock()
		choice, pools, lasts = cluster.Server(to).URL(), nil, nil
		mu.Unlock()
		if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id := nc.ServerInfo().ID; id != cluster.Server(to).ID() {
			t.Fatalf("move %d: at %s, want %s", i, nc.ConnectedURL(), cluster.Server(to).URL())
		}
		works(t, nc, sub, cluster.Server(to).Name())
		mu.Lock()
		if len(lasts) != 1 || lasts[0] != cluster.Server(at).ID() || len(pools[0]) != 3 {
			t.Errorf("move %d: asked with last %q, want %q; %+v", i, lasts, cluster.Server(at).ID(), pools)
		}
		mu.Unlock()
		if !slices.ContainsFunc(nc.Servers(), func(s nats.Server) bool { return s.Current && s.URL == cluster.Server(to).URL() }) {
			t.Errorf("move %d: %+v", i, nc.Servers())
		}
		at = to
	}
}

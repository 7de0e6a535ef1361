package ledger

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

// servers are those that Run and RunCluster have started and not yet stopped.
var servers struct {
	mu  sync.Mutex
	all map[*natstest.Server]struct{}
}

// Run is natstest.Run, with a server whose list of subscriptions is held against
// that of each connection at the end of the test.
func Run(t testing.TB, opts ...natstest.Option) *natstest.Server {
	t.Helper()
	srv := natstest.Run(t, opts...)
	know(t, srv)
	return srv
}

// RunCluster is natstest.RunCluster with such servers.
func RunCluster(t testing.TB, n int, opts ...natstest.Option) *natstest.Cluster {
	t.Helper()
	c := natstest.RunCluster(t, n, opts...)
	know(t, c.Servers()...)
	return c
}

func know(t testing.TB, list ...*natstest.Server) {
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.all == nil {
		servers.all = map[*natstest.Server]struct{}{}
	}
	for _, srv := range list {
		servers.all[srv] = struct{}{}
	}
	t.Cleanup(func() {
		servers.mu.Lock()
		defer servers.mu.Unlock()
		for _, srv := range list {
			delete(servers.all, srv)
		}
	})
}

// serverOf is the server that nc is connected to, nil if it is none of ours.
func serverOf(nc *nats.Conn) *natstest.Server {
	id := nc.ServerInfo().ID
	servers.mu.Lock()
	defer servers.mu.Unlock()
	for srv := range servers.all {
		if srv.Running() && srv.ID() == id {
			return srv
		}
	}
	return nil
}

// Agreed checks that the server has as many subscriptions of the connection as
// the client has. It checks nothing of a connection that has no link.
func Agreed(t testing.TB, nc *nats.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if nc.Status() != nats.StatusConnected || nc.Flush(ctx) != nil {
			return // and has nothing to agree about, or a peer that does not answer
		}
		srv := serverOf(nc)
		if srv == nil {
			return
		}
		list := ofUser(nc, srv.SubscriptionsByID(nc.ServerInfo().ClientID))
		if len(list) == nc.NumSubscriptions() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("the client has %d subscriptions, the server knows %q", nc.NumSubscriptions(), list)
			return
		}
	}
}

// ofUser leaves out what takes the replies to requests: a wildcard below the
// prefix of inboxes and a random token.
func ofUser(nc *nats.Conn, list []string) (own []string) {
	inbox := strings.Split(nc.NewInbox(), ".")
	prefix := strings.Join(inbox[:len(inbox)-2], ".") + "."
	for _, s := range list {
		if !strings.HasPrefix(s, prefix) || !strings.HasSuffix(s, ".*") {
			own = append(own, s)
		}
	}
	return own
}

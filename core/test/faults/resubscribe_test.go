package faults

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// writeCounter dials, and counts the writes on the last connection.
type writeCounter struct {
	writes atomic.Int64
	dialed atomic.Value // when, a time.Time
}

func (d *writeCounter) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.writes.Store(0)
	d.dialed.Store(time.Now())
	return &countedConn{conn, d}, nil
}

type countedConn struct {
	net.Conn
	of *writeCounter
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.of.writes.Add(1)
	return c.Conn.Write(b)
}

// A great many subscriptions are made again in few writes and in short time, and
// the server knows them all when the connection says that it is back.
func TestFigure22Resubscribe(t *testing.T) {
	srv := ledger.Run(t)
	count := figure.Size(10_000, 100_000)
	events, handler := ledger.NewEvents()
	dialer := &writeCounter{}
	nc := ledger.Connect(t, srv.URL(), handler, nats.UseDialer(dialer))
	for i := range count {
		if _, err := nc.Subscribe(fmt.Sprintf("orders.%d.created", i), func(nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Disconnect(nc.Name())
	ledger.Wait[nats.Reconnected](t, events)
	took, writes := time.Since(dialer.dialed.Load().(time.Time)), dialer.writes.Load()
	if n := srv.NumSubscriptions(); n != count {
		t.Errorf("the server knows %d of %d subscriptions", n, count)
	}
	if took > 10*time.Second || writes > 200 {
		t.Errorf("%d subscriptions made again after %v with %d writes", count, took, writes)
	}
	figure.Print(t, 22, "1s, 200 writes", "%d subscriptions made again in %v with %d writes", count, took.Round(time.Millisecond), writes)
}

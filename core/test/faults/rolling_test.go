package faults

import (
	"context"
	"errors"

	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// load is work on a cluster: publishers, queue workers that take it, requesters
// and those that answer them.
type load struct {
	t       *testing.T
	conns   []*nats.Conn
	workers []*nats.Conn
	stop    chan struct{}
	wg      sync.WaitGroup

	published, requests, failed atomic.Int64
	mu                          sync.Mutex
	got                         map[string]int // by message
	errs                        []error
}

func (l *load) connect(name, url string, opts ...nats.Option) *nats.Conn {
	nc := ledger.Connect(l.t, url, append(opts, nats.Name(name))...)
	l.conns = append(l.conns, nc)
	return nc
}

// startLoad puts the load on the cluster. Each of its members starts at a
// server of its own.
func startLoad(t *testing.T, c *natstest.Cluster, opts ...nats.Option) *load {
	l := &load{t: t, stop: make(chan struct{}), got: map[string]int{}}
	for i := range 3 {
		url := c.Server(i).URL()
		w := l.connect(fmt.Sprint("worker", i), url, opts...)
		_, err := w.Subscribe("work", func(m nats.Msg) {
			l.mu.Lock()
			l.got[string(m.Data)]++
			l.mu.Unlock()
		}, nats.Queue("workers"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Subscribe("svc", func(m nats.Msg) { _ = m.Respond(m.Data) }, nats.Queue("svc")); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.workers = append(l.workers, w)
	}
	// All servers know of all subscriptions when each finds a responder thrice.
	for i := range 3 {
		probe := ledger.Connect(t, c.Server(i).URL())
		for range 3 {
			if _, err := probe.Request(t.Context(), "svc", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 3 {
		l.publisher(i, l.connect(fmt.Sprint("publisher", i), c.Server(i).URL(), opts...))
		l.requester(l.connect(fmt.Sprint("requester", i), c.Server(i).URL(), opts...))
	}
	return l
}

// every calls f each millisecond or so until stop.
func (l *load) every(f func(i int)) {
	l.wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				f(i)
			}
		}
	})
}

func (l *load) publisher(k int, nc *nats.Conn) {
	l.every(func(i int) {
		if err := nc.Publish("work", fmt.Appendf(nil, "%d.%d", k, i)); err != nil {
			l.t.Errorf("publish: %v", err)
			return
		}
		l.published.Add(1)
	})
}

func (l *load) requester(nc *nats.Conn) {
	l.every(func(int) {
		l.requests.Add(1)
		_, err := nc.Request(l.t.Context(), "svc", []byte("x"))
		if err != nil {
			l.failed.Add(1)
			l.mu.Lock()
			l.errs = append(l.errs, err)
			l.mu.Unlock()
		}
	})
}

// end stops the load.
func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
	for _, nc := range l.conns {
		if err := nc.Flush(l.t.Context()); err != nil {
			l.t.Error(err)
		}
	}
}

// awaitAll waits until all that was published has been handled.
func (l *load) awaitAll() {
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for l.handled() < int(l.published.Load()) && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (l *load) handled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// TestRollingRestartMigrates is figure C17: a cluster is restarted under load,
// one lame duck after the other, and with MigrateOnLameDuck nobody notices.
func TestRollingRestartMigrates(t *testing.T) {
	c := ledger.RunCluster(t, 3, natstest.NoJetStream(), natstest.LameDuck(3*time.Second, 2500*time.Millisecond))
	l := startLoad(t, c, nats.MigrateOnLameDuck())
	if err := c.RollingRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.end()
	l.awaitAll()
	if l.failed.Load() != 0 || l.requests.Load() < 1000 {
		t.Errorf("%d of %d requests failed: %v", l.failed.Load(), l.requests.Load(), l.errs)
	}
	if n := l.handled(); n != int(l.published.Load()) {
		t.Errorf("%d of %d messages were handled", n, l.published.Load())
	}
	for m, n := range l.got {
		if n != 1 {
			t.Errorf("message %s was handled %d times", m, n)
		}
	}
	moves := uint64(0)
	for _, nc := range l.conns {
		st := nc.Stats()
		moves += st.Reconnects
		if st.OutConfirmed != st.OutMsgs || st.RequestsUnknown+st.TimedOut+st.NoResponders != 0 {
			t.Errorf("%s: %+v", nc.Name(), st)
		}
	}
	if moves < 9 {
		t.Errorf("%d moves of 9 connections", moves)
	}
	t.Logf("%d requests, %d messages, %d moves: none failed, none lost, none twice", l.requests.Load(), l.published.Load(), moves)
}

// TestRollingRestartReconnects: without it, requests fail while there is no
// link, and at no other time.
func TestRollingRestartReconnects(t *testing.T) {
	c := ledger.RunCluster(t, 3, natstest.NoJetStream(), natstest.LameDuck(500*time.Millisecond, 100*time.Millisecond))
	l := startLoad(t, c)
	if err := c.RollingRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.end()
	links, lost := uint64(0), uint64(0)
	for _, nc := range l.conns {
		st := nc.Stats()
		links += st.Reconnects
		lost += st.OutUnknown
		if st.OutDropped != st.Cancelled || st.OutConfirmed+st.OutUnknown+st.OutDropped != st.OutMsgs {
			t.Errorf("%s: %+v", nc.Name(), st)
		}
	}
	// One requester has one request open: it can fail once a link. Besides,
	// those who answer lose their links, too: one had the request, or all are
	// on their way.
	own := uint64(0)
	for _, err := range l.errs {
		switch {
		case errors.Is(err, nats.ErrDisconnected):
			own++
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
		default:
			t.Errorf("failed with a link: %v", err)
		}
	}
	if own > links || links < 9 {
		t.Errorf("%d requests lost with %d links", own, links)
	}
	for m, n := range l.got {
		if n != 1 {
			t.Errorf("message %s was handled %d times", m, n)
		}
	}
	t.Logf("%d of %d requests failed, with %d lost links; %d of %d messages were handled, %d have an unknown fate",
		l.failed.Load(), l.requests.Load(), links, l.handled(), l.published.Load(), lost)
}

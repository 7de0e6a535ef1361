package faults

import (
	"sync"
	"sync/atomic"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// group is the members of a queue group, which come and go.
type group struct {
	t       *testing.T
	srv     *natstest.Server
	members []*nats.Conn
	handled atomic.Int64
	sum     nats.Stats // of those that have gone
}

func (g *group) join() *nats.Conn {
	g.t.Helper()
	nc, err := nats.Connect(g.t.Context(), g.srv.URL(), nats.Logger(nil), nats.Name("member"))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := nc.Subscribe("work", func(nats.Msg) { g.handled.Add(1) }, nats.Queue("q")); err != nil {
		g.t.Fatal(err)
	}
	if err := nc.Flush(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	return nc
}

// leave drains a member and adds what it counted.
func (g *group) leave(nc *nats.Conn) {
	g.t.Helper()
	if err := nc.Drain(g.t.Context()); err != nil {
		g.t.Error(err)
	}
	ledger.Closed(g.t, nc)
	st := nc.Stats()
	g.sum.InMsgs += st.InMsgs
	g.sum.InDropped += st.InDropped
	g.sum.InOrphaned += st.InOrphaned
}

// Members of a queue group are drained and replaced, one after the other without
// a pause, while messages flow: every message that the server delivered is
// handled. What the server counts is the measure, because it drops about one
// message in 150 UNSUBs of its own when they meet a publisher at full speed; two
// raw sockets show the same.
func TestFigure32DrainLosesNone(t *testing.T) {
	t.Parallel()
	total := figure.Size(200_000, 5_000_000)
	g := &group{t: t, srv: ledger.Run(t)}
	for range 8 {
		g.members = append(g.members, g.join())
	}
	pub := ledger.Connect(t, g.srv.URL())
	var publishing sync.WaitGroup
	done := make(chan struct{})
	publishing.Go(func() {
		defer close(done)
		for i := range total {
			if err := pub.Publish("work", make([]byte, 16)); err != nil {
				t.Error(err)
				return
			}
			if i%500 == 499 { // in step with the server, so that no member is slow
				if err := pub.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	rotations := 0
	for over := false; !over; rotations++ {
		i := rotations % len(g.members)
		fresh := g.join()
		g.leave(g.members[i])
		g.members[i] = fresh
		select {
		case <-done:
			over = true
		default:
		}
	}
	publishing.Wait()
	for _, nc := range g.members {
		g.leave(nc)
	}
	vz, err := g.srv.Embedded().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := vz.OutMsgs - g.handled.Load()
	if lost != 0 || g.sum.InDropped+g.sum.InOrphaned != 0 || int64(g.sum.InMsgs) != vz.OutMsgs {
		t.Errorf("handled %d of %d that the server delivered: %+v", g.handled.Load(), vz.OutMsgs, g.sum)
	}
	if short := int64(total) - vz.OutMsgs; short > int64(rotations)/10 {
		t.Errorf("the server delivered %d of %d", vz.OutMsgs, total)
	}
	figure.Print(t, 32, "0", "%d messages lost by %d drains of a group of 8; %d published, %d delivered by the server",
		lost, rotations, total, vz.OutMsgs)
}

func TestDrainWhileDisconnected(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler)
	sub, err := nc.SubscribeSync("work", nats.Queue("q"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	restart(t, srv, events, func() {
		if err := sub.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
	ledger.SameSubscriptions(t, srv, nc) // no dead member is left
}

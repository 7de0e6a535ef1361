package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// interest is a subscription and how the server lists it.
type interest struct {
	sub  *nats.Subscription
	list string
}

// subscriber subscribes and ends subscriptions by chance.
type subscriber struct {
	t      *testing.T
	nc     *nats.Conn
	random *rand.Rand
	open   []interest
	made   int
}

// act does one thing, with a link or without.
func (s *subscriber) act() {
	s.t.Helper()
	if len(s.open) == 0 || s.random.IntN(5) < 3 {
		s.subscribe()
		return
	}
	i := s.random.IntN(len(s.open))
	sub := s.open[i].sub
	var err error
	switch s.random.IntN(3) {
	case 0:
		err = sub.Unsubscribe()
	case 1:
		err = sub.Drain(s.t.Context())
	default: // it has had none yet: it stays, with a limit
		if err := sub.AutoUnsubscribe(1000); err != nil {
			s.t.Error(err)
		}
		return
	}
	if err != nil {
		s.t.Error(err)
	}
	s.open = slices.Delete(s.open, i, i+1)
}

func (s *subscriber) subscribe() {
	s.t.Helper()
	s.made++
	in := interest{list: fmt.Sprintf("some.%d", s.random.IntN(50))}
	subject := in.list
	var opts []nats.SubOption
	if s.random.IntN(3) == 0 {
		queue := fmt.Sprintf("q%d", s.random.IntN(3))
		opts = append(opts, nats.Queue(queue))
		in.list += " " + queue
	}
	var err error
	switch s.random.IntN(3) {
	case 0:
		in.sub, err = s.nc.Subscribe(subject, func(nats.Msg) {}, opts...)
	case 1:
		in.sub, err = s.nc.SubscribeSync(subject, opts...)
	default:
		in.sub, err = s.nc.SubscribeChan(subject, make(chan nats.Msg), opts...)
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	s.open = append(s.open, in)
}

// agreed holds the server's list against the client's, entry by entry.
func (s *subscriber) agreed(srv *natstest.Server) {
	s.t.Helper()
	var want []string
	for _, in := range s.open {
		want = append(want, in.list)
	}
	if n := s.nc.NumSubscriptions(); n != len(want) {
		s.t.Errorf("there are %d subscriptions, NumSubscriptions says %d", len(want), n)
	}
	ledger.SameSubscriptions(s.t, srv, s.nc, want...)
}

// Subscriptions are made, drained and ended while links come and go. After each
// reconnect the server's list is the client's.
func TestFigure26SubscriptionsAgree(t *testing.T) {
	srv := ledger.Run(t)
	const conns = 4
	links, each, seed := atomic.Int64{}, figure.Size(25, 500), figure.Seed(26)
	t.Run("connections", func(t *testing.T) {
		for i := range conns {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				events, handler := ledger.NewEvents()
				nc := ledger.Connect(t, srv.URL(), handler, nats.ReconnectBackoff(0, time.Millisecond))
				s := &subscriber{t: t, nc: nc, random: rand.New(rand.NewPCG(seed, uint64(i)))}
				for n := range each {
					for range s.random.IntN(20) {
						s.act()
					}
					srv.Disconnect(nc.Name())
					for range s.random.IntN(20) {
						s.act()
					}
					ledger.WaitN[nats.Reconnected](t, events, n+1)
					links.Add(1)
					s.agreed(srv)
				}
			})
		}
	})
	if !t.Failed() {
		figure.Print(t, 26, "equal after every reconnect", "the server's list of subscriptions was the client's after %d of %d reconnects", links.Load(), conns*each)
	}
}

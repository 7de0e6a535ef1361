package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/wire"
)

// TestChaos lets everything happen at once, by seed: publishers, requesters,
// subscriptions that come and go, and faults of every kind. Then the faults stop
// and everything must converge: the server's list is the client's, and the books
// close.
func TestChaos(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { chaos(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func chaos(t *testing.T, rnd *rand.Rand) {
	n := fakeserver.New()
	t.Cleanup(n.Wait)
	hosts := []*fakeserver.Server{n.Host("a:1"), n.Host("b:2")}
	for _, s := range hosts {
		s.Capacity(20_000)
		s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			if o.Subject == "svc" && o.Reply != "" {
				s.Deliver(o.Reply, "", "", string(o.Data))
				return true
			}
			return false
		})
	}
	log := &eventLog{}
	nc := connectTo(t, n, "a:1,b:2", log.option(), Timeout(time.Second), WriteTimeout(2*time.Second), WriteBufferSize(30_000),
		ReconnectBufSize(100_000), ReconnectBackoff(0, 200*time.Millisecond))

	var stop atomic.Bool
	var wg sync.WaitGroup
	worker := func(f func(r *rand.Rand, i int)) {
		r := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				f(r, i)
				<-time.After(time.Duration(r.IntN(5_000)) * time.Microsecond)
			}
		})
	}
	for range 3 {
		worker(func(r *rand.Rand, i int) {
			err := nc.Publish("data."+fmt.Sprint(r.IntN(3)), make([]byte, r.IntN(3000)))
			if err != nil && !SafeToRetry(err) {
				t.Errorf("publish: %v", err)
			}
		})
	}
	var answered atomic.Int64
	for k := range 3 {
		worker(func(r *rand.Rand, i int) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+r.IntN(300))*time.Millisecond)
			defer cancel()
			m, err := nc.Request(ctx, "svc", fmt.Append(nil, k, i))
			switch {
			case err == nil:
				answered.Add(1)
				if string(m.Data) != fmt.Sprint(k, i) {
					t.Errorf("request %d %d was answered %q", k, i, m.Data)
				}
			case !errors.Is(err, errDeadline) && !errors.Is(err, ErrDisconnected):
				t.Errorf("request: %v", err)
			}
		})
	}
	for k := range 3 {
		worker(func(r *rand.Rand, i int) { // subscriptions that come and go
			var opts []SubOption
			if r.IntN(2) == 0 {
				opts = append(opts, AutoUnsubscribe(1+r.IntN(20)))
			}
			if r.IntN(2) == 0 {
				opts = append(opts, PendingLimits(1+r.IntN(10), -1), Overflow(OverflowPolicy(r.IntN(3))))
			}
			sub, err := nc.Subscribe("data."+fmt.Sprint(k), func(Msg) { <-time.After(time.Millisecond) }, opts...)
			if err != nil {
				t.Errorf("subscribe: %v", err)
				return
			}
			<-time.After(time.Duration(r.IntN(50)) * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			switch r.IntN(3) {
			case 0:
				_ = sub.Unsubscribe()
			case 1:
				_ = sub.Drain(ctx)
			case 2:
				_ = sub.AutoUnsubscribe(1)
			}
			checkSub(t, sub)
		})
	}
	keep, err := nc.SubscribeSync("data.>", PendingLimits(50, -1))
	must(t, err)
	worker(func(r *rand.Rand, i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_, _ = keep.Next(ctx)
	})

	for range 40 {
		<-time.After(time.Duration(rnd.IntN(100)) * time.Millisecond)
		s := hosts[rnd.IntN(2)]
		p := s.Peer()
		switch f := rnd.IntN(9); {
		case f == 0:
			s.Refuse(rnd.IntN(3) == 0)
		case p == nil:
		case f == 1:
			p.Cut()
		case f == 2:
			p.Close()
		case f == 3:
			p.CutAfter(rnd.IntN(5000), rnd.IntN(2) == 0)
		case f == 4:
			p.StallReads(rnd.IntN(2) == 0)
		case f == 5:
			p.StallWrites(rnd.IntN(2) == 0)
		case f == 6:
			p.Err("odd")
		case f == 7:
			p.Send("NONSENSE\r\n")
		case f == 8:
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			_ = nc.Reconnect(ctx)
			cancel()
		}
	}
	for _, s := range hosts {
		s.Refuse(false)
	}
	stop.Store(true)
	wg.Wait()
	// Converge: a stalled link is found within 30 s, then all is as it should be.
	pass(35 * time.Second)
	must(t, nc.Flush(in(t, 5*time.Second)))
	pass(2 * time.Second)
	var peer *fakeserver.Peer
	for _, s := range hosts {
		if s.Peer() != nil && s.Peer().Open() {
			peer = s.Peer()
		}
	}
	for _, s := range nc.reg.activeSubs() {
		if s != keep && s.kind == kindHandler && s.max.Load() == 0 {
			t.Errorf("a subscription to %q is left", s.subject)
		}
	}
	if got, want := len(peer.Subs()), len(nc.reg.activeSubs()); got != want {
		t.Errorf("the server has %d subscriptions, the client %d: %+v", got, want, peer.Subs())
	}
	checkLedger(t, nc)
	st := nc.Stats()
	if st.OutInFlight+st.OutBuffered+st.RequestsOpen != 0 || answered.Load() == 0 || st.Answered != uint64(answered.Load()) {
		t.Errorf("%d answered; %+v", answered.Load(), st)
	}
	unknown := 0
	for _, e := range of[Disconnected](log) {
		unknown += e.Unknown
	}
	if uint64(unknown) != st.OutUnknown {
		t.Errorf("events tell of %d unknown messages, the books of %d", unknown, st.OutUnknown)
	}
}

// TestFlappingServer: Connect comes back though the link is gone at once.
func TestFlappingServer(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			s.Script(func(p *fakeserver.Peer) {
				p.SendInfo(nil)
				_, _ = p.Expect("PING")
				p.Send("PONG\r\n")
			})
			start := time.Now()
			nc, err := Connect(t.Context(), "server", options(n, nil)...)
			if err == nil {
				finish(t, nc)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			pass(time.Minute)
			if dials := len(n.Dials()); dials > 600 {
				t.Errorf("%d dials in a minute", dials)
			}
		})
	}
}

func TestInProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("tls_required", nil).SetInfo("tls_available", true).SetInfo("connect_urls", []string{"other:1"})
		nc, err := Connect(t.Context(), "nats://u:p@nowhere", InProcess(provider{n}), Logger(nil))
		must(t, err)
		finish(t, nc)
		must(t, nc.Publish("a", nil))
		flush(t, nc)
		if doc := s.Peer().Doc(); doc["user"] != "u" || len(nc.Servers()) != 1 || len(s.Payloads("a")) != 1 {
			t.Errorf("CONNECT %v, servers %v", doc, nc.Servers())
		}
		lose(s)
		must(t, nc.Flush(in(t, time.Minute)))
	})
}

type provider struct{ net *fakeserver.Net }

func (p provider) InProcessConn() (net.Conn, error) {
	return p.net.DialContext(context.Background(), "tcp", "server:4222")
}

// TestRegistry holds the directory of subscriptions against a simple model.
func TestRegistry(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var r registry
	r.init()
	live := make(map[uint64]*Subscription)
	for range 50_000 {
		if rnd.IntN(100) < 50 {
			s := &Subscription{nc: &Conn{}, max: atomic.Uint64{}}
			r.add(s)
			if live[s.sid] != nil {
				t.Fatalf("id %d is used twice", s.sid)
			}
			live[s.sid] = s
		} else {
			for sid, s := range live {
				if removed := r.remove(s); !removed {
					t.Fatalf("%d is not there", sid)
				}
				if removed := r.remove(s); removed {
					t.Fatalf("%d was removed twice", sid)
				}
				r.retire(s)
				delete(live, sid)
				break
			}
		}
	}
	d := r.dir.Load()
	for sid := range r.lastSID + 1000 {
		if d.find(sid) != live[sid] {
			t.Fatalf("id %d leads to %v", sid, d.find(sid))
		}
	}
	if got := len(r.activeSubs()); got != len(live) || r.active != len(live) || len(r.ending) != 0 {
		t.Errorf("%d active, %d in the model", got, len(live))
	}
	for _, s := range live {
		r.remove(s)
		r.retire(s)
	}
	if got := len(r.dir.Load().pages); got > 1 {
		t.Errorf("%d pages without a subscription", got)
	}
}

// What is done to all subscriptions is done in the order in which they were made.
func TestRegistryOrder(t *testing.T) {
	var r registry
	r.init()
	var told []uint64
	for range 100 {
		s := &Subscription{nc: &Conn{}}
		s.onEvent = func(*Conn, Event) { told = append(told, s.sid) }
		r.add(s)
		if s.sid%3 == 0 {
			r.remove(s)
		}
	}
	var all []uint64
	for _, s := range r.all() {
		all = append(all, s.sid)
	}
	for _, h := range r.eventHandlers() {
		h(nil, nil)
	}
	if len(all) != 100 || !slices.IsSorted(all) || len(told) != 100 || !slices.IsSorted(told) {
		t.Errorf("all: %v, told: %v", all, told)
	}
}

// Subscriptions come and go while a link gets them all: what it is told, line by
// line, makes the list that the client has.
func TestAttachMissesNothing(t *testing.T) {
	for range 1000 {
		out := outbox.New(outbox.Config{})
		r := registry{out: out}
		r.init()
		add := func() *Subscription {
			s := &Subscription{nc: &Conn{}, subject: "a"}
			r.add(s)
			return s
		}
		var subs []*Subscription
		for range 100 {
			subs = append(subs, add())
		}
		var changing sync.WaitGroup
		var steps atomic.Int64
		for half := range slices.Chunk(subs, 50) {
			changing.Go(func() {
				for _, s := range half {
					r.remove(s)
					r.tell(s, wire.AppendUnsub(nil, s.sid, 0))
					s = add()
					r.tell(s, wire.AppendSub(nil, s.subject, "", s.sid))
					steps.Add(1)
				}
			})
		}
		for steps.Load() < 10 {
			runtime.Gosched()
		}
		r.attach(1, make(chan outbox.Pong, 1))
		changing.Wait()
		told := make(map[uint64]bool)
		for line := range strings.Lines(string(out.Take(0))) {
			var name, subject string
			var sid uint64
			if _, err := fmt.Sscan(line, &name, &subject, &sid); err == nil {
				told[sid] = true // SUB subject sid
			} else if _, err := fmt.Sscan(line, &name, &sid); err == nil {
				delete(told, sid) // UNSUB sid
			}
		}
		active := r.activeSubs()
		for _, s := range active {
			if !told[s.sid] {
				t.Errorf("the link was not told of %d", s.sid)
			}
			delete(told, s.sid)
		}
		if len(told) > 0 || len(active) != len(subs) {
			t.Fatalf("the link has %d subscriptions that are over: %v", len(told), told)
		}
	}
}

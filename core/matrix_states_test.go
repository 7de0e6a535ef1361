package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// stage is what a state of a Conn is made with.
type stage struct {
	t     *testing.T
	net   *fakeserver.Net
	srv   *fakeserver.Server
	other *fakeserver.Server
	opts  []Option
	nc    *Conn
	sub   *Subscription
	subs  map[string]*Subscription // of each kind, sub among them
	block chan struct{}            // closed when the call under test is over
}

func (s *stage) connect(opts ...Option) {
	nc, err := Connect(s.t.Context(), "nats://server:4222", options(s.net, append(s.opts, opts...))...)
	must(s.t, err)
	s.nc = nc
	s.subs = make(map[string]*Subscription)
	add := func(kind string, sub *Subscription, err error) {
		must(s.t, err)
		s.subs[kind] = sub
	}
	sub, err := nc.SubscribeSync("open")
	add("sync", sub, err)
	s.sub = sub
	sub, err = nc.Subscribe("h", func(Msg) {}, Queue("q"))
	add("handler", sub, err)
	sub, err = nc.Subscribe("r", func(Msg) {}, OnReader())
	add("reader", sub, err)
	sub, err = nc.SubscribeChan("c", make(chan Msg))
	add("channel", sub, err)
	sub, err = nc.SubscribeSync("ended")
	add("ended", sub, err)
	must(s.t, sub.Unsubscribe())
	synctest.Wait()
}

// matrixStates are the states of a Conn that the methods are called in.
var matrixStates = []struct {
	name   string
	status Status
	make   func(s *stage)
}{
	{"connecting, a dial hangs", StatusConnecting, func(s *stage) {
		s.srv.Hang(true)
		s.connect(RetryOnFailedConnect(true))
	}},
	{"connecting, a wait", StatusConnecting, func(s *stage) {
		s.srv.Refuse(true)
		s.connect(RetryOnFailedConnect(true))
	}},
	{"connected", StatusConnected, func(s *stage) { s.connect() }},
	{"connected, the peer stopped reading", StatusConnected, (*stage).stall},
	{"connected, the peer stopped writing", StatusConnected, func(s *stage) {
		s.connect()
		s.srv.Peer().StallWrites(true)
	}},
	{"connected, a handler blocks", StatusConnected, func(s *stage) {
		s.connect()
		s.handler()
	}},
	{"connected, a handler on the reader blocks", StatusConnected, func(s *stage) {
		s.connect()
		s.handler(OnReader())
	}},
	{"connected, an event handler blocks", StatusConnected, func(s *stage) {
		s.connect(EventHandler(func(*Conn, Event) { <-s.block }))
	}},
	{"connected, migrating to a server that hangs", StatusConnected, func(s *stage) {
		s.other.Hang(true)
		s.connect(MigrateOnLameDuck(), Servers("other:4222"))
		s.srv.Peer().SendInfo(map[string]any{"ldm": true})
		pass(5 * time.Second)
	}},
	{"reconnecting, a dial hangs", StatusReconnecting, func(s *stage) {
		s.connect()
		s.srv.Hang(true)
		lose(s.srv)
	}},
	{"reconnecting, a dialer blocks", StatusReconnecting, func(s *stage) {
		var deaf atomic.Bool
		s.connect(UseDialer(dialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			if deaf.Load() {
				<-s.block
				return nil, errors.New("no")
			}
			return s.net.DialContext(ctx, network, address)
		})))
		deaf.Store(true)
		lose(s.srv)
	}},
	{"reconnecting, a handshake hangs", StatusReconnecting, func(s *stage) {
		s.connect()
		s.srv.Script(func(p *fakeserver.Peer) { <-s.block })
		lose(s.srv)
	}},
	{"reconnecting, no PONG behind the subscriptions", StatusReconnecting, func(s *stage) {
		s.connect()
		s.srv.Script(func(p *fakeserver.Peer) {
			p.SendInfo(nil)
			_, _ = p.Expect("PING")
			p.Send("PONG\r\n")
			<-s.block
		})
		lose(s.srv)
	}},
	{"reconnecting, a wait", StatusReconnecting, func(s *stage) {
		s.connect(CustomReconnectDelay(func(int) time.Duration { return time.Hour }))
		s.srv.Refuse(true)
		lose(s.srv)
	}},
	{"reconnecting, asking for the delay blocks", StatusReconnecting, func(s *stage) {
		s.connect(CustomReconnectDelay(func(int) time.Duration { <-s.block; return 0 }))
		s.srv.Refuse(true)
		lose(s.srv)
	}},
	{"reconnecting, asking for the server blocks", StatusReconnecting, func(s *stage) {
		s.connect(ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { <-s.block; return "", 0 }))
		lose(s.srv)
	}},
	{"draining, a handler blocks", StatusDraining, func(s *stage) {
		s.connect()
		s.handler()
		s.drain()
	}},
	{"draining, a hook blocks", StatusConnected, func(s *stage) {
		s.connect()
		s.nc.OnDrain(func(context.Context) error { <-s.block; return nil })
		s.drain()
	}},
	{"draining, without a link", StatusDraining, func(s *stage) {
		s.connect()
		s.srv.Hang(true)
		lose(s.srv)
		s.drain()
	}},
	{"closing, the peer stopped reading", StatusConnected, func(s *stage) {
		s.stall()
		go func() { _ = s.nc.Close() }()
		pass(time.Millisecond)
	}},
	{"closed", StatusClosed, func(s *stage) {
		s.connect()
		must(s.t, s.nc.Close())
	}},
	{"closed after a drain that failed", StatusClosed, func(s *stage) {
		s.connect()
		s.handler()
		_ = s.nc.Drain(in(s.t, time.Second))
	}},
	{"closed by itself", StatusClosed, func(s *stage) {
		s.connect(NoReconnect())
		lose(s.srv)
	}},
}

// stall makes a peer that stopped reading, with all buffers on the way full.
func (s *stage) stall() {
	s.srv.Capacity(4096)
	s.connect(WriteBufferSize(64<<10), ReconnectBufSize(64<<10))
	s.srv.Peer().StallReads(true)
	big := make([]byte, 8192)
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		err := s.nc.PublishMsg(ctx, Msg{Subject: "fill", Data: big})
		cancel()
		if err != nil {
			isErr(s.t, err, errDeadline)
			return
		}
	}
	s.t.Error("the buffers are not full")
}

// handler makes a handler that blocks until the call is over.
func (s *stage) handler(opts ...SubOption) {
	_, err := s.nc.Subscribe("block", func(Msg) { <-s.block }, opts...)
	must(s.t, err)
	must(s.t, s.nc.Flush(in(s.t, time.Second)))
	s.srv.Deliver("block", "", "", "x")
	synctest.Wait()
}

func (s *stage) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	go func() {
		defer cancel()
		_ = s.nc.Drain(ctx)
	}()
	synctest.Wait()
}

// TestFigure11EveryMethodInEveryState calls every method in every state: none is
// held up by what the Conn waits for at the time, and Close, Unsubscribe and
// Drain end things from everywhere. reliability C8, D15, D16
func TestFigure11EveryMethodInEveryState(t *testing.T) {
	realWatchdog(t)
	var x matrix
	var worst time.Duration
	closes := 0
	for _, state := range matrixStates {
		t.Run(state.name, func(t *testing.T) {
			for _, call := range matrixCalls() {
				m, sub := call.m, call.sub
				for _, kind := range contextKinds {
					if !m.takesContext() && kind.name != "deadline" {
						continue
					}
					bubble(t, func(t *testing.T) {
						n := fakeserver.New()
						s := &stage{t: t, net: n, srv: n.Host("server:4222"), other: n.Host("other:4222"), block: make(chan struct{})}
						state.make(s)
						if got := s.nc.Status(); got != state.status {
							t.Errorf("the state is %v, should be %v", got, state.status)
						}
						ctx, cancel := kind.make()
						defer cancel()
						where := fmt.Sprintf("%s, context %s, subscription %s", state.name, kind.name, sub)
						err := x.call(t, where, newTarget(s.nc, s.subs[sub]), m, ctx, kind.within)
						if kind.name == "ended" && m.takesContext() && err == nil && waits(m) && state.status != StatusClosed {
							t.Errorf("%s: %v works", where, m)
						}
						start := time.Now()
						closed := time.AfterFunc(time.Hour, func() { panic(where + ": Close hangs after " + m.String()) })
						_ = s.nc.Close()
						closed.Stop()
						if took := time.Since(start) - closeFlush; took > pastEnd {
							t.Errorf("%s: Close took %v beyond its flushing after %v", where, took, m)
						} else if took > worst {
							worst = took
						}
						closes++
						if s.nc.Status() != StatusClosed {
							t.Errorf("%s: %v after Close", where, s.nc.Status())
						}
						close(s.block)
						s.srv.Hang(false)
						pass(time.Minute)
						checkLedger(t, s.nc)
					})
				}
			}
		})
	}
	worst = max(worst, x.worstEnd)
	figure.Print(t, 11, "100 ms; Close beyond its 2 s of flushing",
		"Close and Unsubscribe took at most %v too long, of %d calls of Close and %d of all %d methods in %d states (%s)",
		worst, closes, x.calls, len(matrixMethods()), len(matrixStates), x.worstEndBy)
	figure.Print(t, 10, "50 ms", "%d calls with a context in %d states outlived it by at most %v (%s)",
		x.contexts, len(matrixStates), x.worst, x.worstBy)
}

// matrixCall is a method, and on what kind of subscription it is called.
type matrixCall struct {
	m   method
	sub string
}

func matrixCalls() []matrixCall {
	var out []matrixCall
	for _, m := range matrixMethods() {
		out = append(out, matrixCall{m, "sync"})
		if m.recv != "Subscription" {
			continue
		}
		for _, kind := range []string{"handler", "reader", "channel", "ended"} {
			out = append(out, matrixCall{m, kind})
		}
	}
	return out
}

// waits reports whether a call always waits for somebody, so that an ended
// context ends it; PublishMsg only waits for room, and there may be nothing to
// drain any more.
func waits(m method) bool {
	switch m.String() {
	case "Conn.PublishMsg", "Conn.Barrier", "Subscription.Drain":
		return false
	}
	return true
}

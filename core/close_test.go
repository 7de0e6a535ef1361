package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestLossesOnTheWayOut: what becomes unknown while Drain or Close wait is in
// their LossError.
func TestLossesOnTheWayOut(t *testing.T) {
	for name, end := range map[string]func(*Conn, context.Context) error{
		"Close": func(nc *Conn, _ context.Context) error { return nc.Close() },
		"Drain": (*Conn).Drain,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				nc := connect(t, n)
				s.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { return true })
				for range 3 {
					must(t, nc.Publish("a", nil))
				}
				done := make(chan error, 1)
				go func() { done <- end(nc, t.Context()) }()
				pass(100 * time.Millisecond)
				s.On("PING", nil)
				lose(s)
				l := loss(t, <-done)
				if l.Unknown != 3 || l.Unsent+l.Undelivered != 0 {
					t.Errorf("%+v; %+v", l, nc.Stats())
				}
			})
		})
	}
}

// TestClose: idempotent and quick in every state.
func TestClose(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn{
		"connected": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn { return connect(t, n) },
		"connecting": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			s.Hang(true)
			return connect(t, n, RetryOnFailedConnect(true))
		},
		"shaking hands": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			s.Script(func(p *fakeserver.Peer) { _, _ = p.Next() })
			return connect(t, n, RetryOnFailedConnect(true))
		},
		"in a back-off": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			nc := connect(t, n, ReconnectBackoff(time.Hour, time.Hour))
			s.Refuse(true)
			lose(s)
			return nc
		},
		"subscribing again": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			nc := connect(t, n)
			_, err := nc.SubscribeSync("a")
			must(t, err)
			flush(t, nc)
			s.On("SUB", func(*fakeserver.Peer, *fakeserver.Op) bool {
				s.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { return true })
				return false
			})
			pass(2 * time.Second)
			lose(s)
			return nc
		},
		"draining": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			nc := connect(t, n)
			_, err := nc.SubscribeSync("a")
			must(t, err)
			flush(t, nc)
			send(s, "a", 0, 1)
			go func() { _ = nc.Drain(context.Background()) }()
			synctest.Wait()
			return nc
		},
		"closed": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			nc := connect(t, n)
			must(t, nc.Close())
			return nc
		},
		"given up": func(t *testing.T, n *fakeserver.Net, s *fakeserver.Server) *Conn {
			nc := connect(t, n, NoReconnect())
			lose(s)
			return nc
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				nc := prepare(t, n, s)
				start := time.Now()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { _ = nc.Close() })
				}
				wg.Wait()
				must(t, nc.Close())
				if d := time.Since(start); d > 100*time.Millisecond {
					t.Errorf("it took %v", d)
				}
				<-nc.Done()
				if nc.Status() != StatusClosed || (nc.Err() == nil) != (name != "given up") {
					t.Errorf("status %v, Err %v", nc.Status(), nc.Err())
				}
				for what, err := range map[string]error{
					"Publish": nc.Publish("a", nil), "Flush": nc.Flush(t.Context()), "Drain": nc.Drain(t.Context()),
					"Reconnect": nc.Reconnect(t.Context()), "SetServers": nc.SetServers([]string{"a"}),
				} {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if nc.ConnectedURL() != "" || nc.RemoteAddr() != nil || nc.NumSubscriptions() != 0 || nc.Buffered() != 0 {
					t.Error("there is still something")
				}
			})
		})
	}
}

func TestCloseCountsLosses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 4)
		s.Peer().StallWrites(true)
		must(t, nc.Publish("p", nil))
		must(t, nc.Publish("p", nil))
		start := time.Now()
		l := loss(t, nc.Close())
		if l.Undelivered != 4 || l.Unsent != 0 || l.Unknown != 2 || l.Err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %+v", time.Since(start), l)
		}
		isErr(t, sub.Err(), ErrClosed)
	})
}

// TestBarrier waits for what had arrived, not for what comes.
func TestBarrier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		var got collector
		_, err := nc.Subscribe("a", func(m Msg) {
			<-time.After(time.Second)
			got.handle(m)
		})
		must(t, err)
		_, err = nc.SubscribeSync("unread")
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 3)
		send(s, "unread", 0, 3)
		time.AfterFunc(500*time.Millisecond, func() {
			sid := s.Peer().SID("a")
			for range 10 {
				s.Peer().Msg("a", sid, "", "", "later")
			}
		})
		must(t, nc.Barrier(t.Context()))
		if got.data() != "0 1 2" {
			t.Errorf("after the barrier: %q", got.data())
		}
		isErr(t, nc.Barrier(in(t, 5*time.Second)), errDeadline)
		must(t, nc.Barrier(in(t, time.Minute)))
		if got.len() != 13 {
			t.Errorf("%d handled", got.len())
		}
	})
}

func TestReconnectByTheUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		log := &eventLog{}
		nc := connectTo(t, n, "a:1,b:2", log.option())
		sub, err := nc.SubscribeSync("s")
		must(t, err)
		for i := range 100 {
			must(t, nc.Publish("p", fmt.Append(nil, i)))
		}
		must(t, nc.Reconnect(t.Context()))
		if nc.ConnectedURL() != "nats://b:2" || len(a.Payloads("p")) != 100 {
			t.Errorf("at %s; %d arrived", nc.ConnectedURL(), len(a.Payloads("p")))
		}
		synctest.Wait()
		if e := one[Disconnected](t, log); e.Err != nil || e.Unknown != 0 {
			t.Errorf("event %+v", e)
		}
		send(b, "s", 0, 1)
		_, err = sub.Next(t.Context())
		must(t, err)
		// It is no failure: at once again, and without back-off.
		start := time.Now()
		for range 10 {
			must(t, nc.Reconnect(t.Context()))
		}
		if time.Since(start) != 0 {
			t.Errorf("10 times took %v", time.Since(start))
		}
		a.Hang(true)
		b.Hang(true)
		isErr(t, nc.Reconnect(in(t, time.Second)), errDeadline)
	})
}

// TestCloseEndsRequests: they hear that it was Close, and what may have become
// of them.
func TestCloseEndsRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		swallow(s, "svc")
		nc := connect(t, n)
		done := request(t, nc, t.Context(), "svc")
		must(t, nc.Close())
		r := <-done
		isErr(t, r.err, ErrClosed, ErrOutcomeUnknown)
		if SafeToRetry(r.err) || errors.Is(r.err, ErrDisconnected) {
			t.Errorf("error %v", r.err)
		}
	})
}

// TestCloseAndHandlersOnTheReader: one that blocks, or closes the Conn itself,
// does not hold up the end. reliability D16
func TestCloseAndHandlersOnTheReader(t *testing.T) {
	for name, end := range map[string]func(nc *Conn) error{
		"Close": (*Conn).Close,
		"Drain": func(nc *Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), closeFlush)
			defer cancel()
			return nc.Drain(ctx)
		},
	} {
		for _, inHandler := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/in the handler %v", name, inHandler), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n, s := fakeserver.One()
					nc := connect(t, n)
					block, took := make(chan struct{}), make(chan time.Duration, 1)
					doEnd := func() {
						start := time.Now()
						_ = end(nc)
						took <- time.Since(start)
					}
					_, err := nc.Subscribe("a", func(Msg) {
						if inHandler {
							doEnd()
							return
						}
						<-block
					}, OnReader())
					must(t, err)
					flush(t, nc)
					// Two in one read: the second meets a Conn that is closed.
					s.Peer().Send(fakeserver.Frame("a", s.Peer().SID("a"), "", "", "1") + fakeserver.Frame("a", s.Peer().SID("a"), "", "", "2"))
					pass(time.Millisecond)
					if !inHandler {
						go doEnd()
					}
					select {
					case d := <-took:
						if d > closeFlush+100*time.Millisecond {
							t.Errorf("it took %v", d)
						}
					case <-time.After(time.Hour):
						panic("it hangs")
					}
					if nc.Status() != StatusClosed {
						t.Errorf("status %v", nc.Status())
					}
					close(block)
				})
			})
		}
	}
}

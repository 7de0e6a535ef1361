package nats

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestReconnectSubscribesFirst: subscriptions are sent in few writes, before
// user data, and the link counts as up only after the PONG behind the last.
func TestReconnectSubscribesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		const subs = 2000
		for i := range subs {
			_, err := nc.SubscribeSync(fmt.Sprintf("s.%d", i), Queue("q"))
			must(t, err)
		}
		flush(t, nc)
		s.Refuse(true)
		lose(s)
		must(t, nc.Publish("data", []byte("x")))
		pongs := 0
		s.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			pongs++
			return pongs == 2 // the first is the handshake's
		})
		s.Refuse(false)
		pass(4 * time.Second)
		if nc.Status() != StatusReconnecting || len(of[Reconnected](log)) != 0 {
			t.Errorf("status %v without the PONG; events %v", nc.Status(), log.kinds())
		}
		p := s.Peer()
		if got := len(p.Subs()); got != subs || p.Reads() > 10 {
			t.Errorf("%d subscriptions in %d reads", got, p.Reads())
		}
		if got := s.Payloads("data"); len(got) != 0 {
			t.Errorf("user data came before: %q", got)
		}
		p.Send("PONG\r\n")
		synctest.Wait()
		if nc.Status() != StatusConnected || nc.ConnectedURL() == "" {
			t.Errorf("status %v after the PONG", nc.Status())
		}
		if got := s.Payloads("data"); len(got) != 1 {
			t.Errorf("user data: %q", got)
		}
		if e := one[Reconnected](t, log); e.Server.URL != "nats://server:4222" {
			t.Errorf("event %+v", e)
		}
		raw := p.Raw()
		if strings.Index(raw, "PUB data") < strings.LastIndex(raw, "SUB s.") {
			t.Error("the publish stands before a SUB")
		}
	})
}

// TestReconnectSyncFails loses the link at each point of the re-subscribing.
func TestReconnectSyncFails(t *testing.T) {
	for k := range 130 {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			log := &eventLog{}
			nc := connect(t, n, log.option())
			for i := range 5 {
				_, err := nc.SubscribeSync(fmt.Sprintf("s.%d", i))
				must(t, err)
			}
			flush(t, nc)
			s.On("CONNECT", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
				p.CutAfter(k, false) // from here on: PING was read with CONNECT or not
				s.On("CONNECT", nil)
				return false
			})
			lose(s)
			must(t, nc.Publish("data", nil))
			if nc.Flush(in(t, time.Minute)) != nil { // the link was up before the cut
				flush(t, nc)
			}
			if got := len(s.Peer().Subs()); got != 5 {
				t.Errorf("cut after %d: %d subscriptions", k, got)
			}
			st := nc.Stats()
			if got := len(s.Payloads("data")); got > 1 || got == 0 && st.OutUnknown == 0 {
				t.Errorf("cut after %d: published %d times; %+v", k, got, st)
			}
		})
	}
}

// TestReconnectNoSyncPong: a link that never answers the re-subscribes is given
// up after Timeout.
func TestReconnectNoSyncPong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		_, err := nc.SubscribeSync("s")
		must(t, err)
		flush(t, nc)
		s.On("SUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool { p.StallReads(true); return false })
		s.On("PING", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			for _, q := range p.Subs() {
				if q.Subject == "s" {
					return true
				}
			}
			return false
		})
		lose(s)
		pass(5100 * time.Millisecond)
		if e := of[ConnectFailed](log); len(e) != 1 || !errors.Is(e[0].Err, ErrStaleConnection) {
			t.Errorf("events %v", log.all())
		}
		s.On("SUB", nil).On("PING", nil)
		must(t, nc.Flush(in(t, time.Minute)))
	})
}

// TestServerErrorWhileSyncing: what the server says against a new link is the
// attempt's error, not the end of file that follows.
func TestServerErrorWhileSyncing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		_, err := nc.SubscribeSync("s")
		must(t, err)
		flush(t, nc)
		s.On("SUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			p.Err("maximum connections exceeded")
			p.Close()
			s.On("SUB", nil)
			return true
		})
		lose(s)
		must(t, nc.Flush(in(t, time.Minute)))
		synctest.Wait()
		if e := one[ConnectFailed](t, log); !errors.Is(e.Err, ErrMaxConnections) {
			t.Errorf("event %v", e)
		}
	})
}

// TestReconnectForever: by default nothing ends the trying.
func TestReconnectForever(t *testing.T) {
	for name, fault := range map[string]func(*fakeserver.Server, bool){
		"refused": func(s *fakeserver.Server, on bool) { s.Refuse(on) },
		"authorization": func(s *fakeserver.Server, on bool) {
			s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
				if on {
					p.Err("Authorization Violation")
					p.Close()
				}
				return on
			})
		},
		"unknown error": func(s *fakeserver.Server, on bool) {
			s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
				if on {
					p.Err("The moon is in the wrong house")
					p.Close()
				}
				return on
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				fault(s, true)
				lose(s)
				hours := 1
				if name == "refused" {
					hours = 24
				}
				pass(time.Duration(hours) * time.Hour)
				if nc.Status() != StatusReconnecting {
					t.Fatalf("status %v: %v", nc.Status(), nc.Err())
				}
				fails := of[ConnectFailed](log)
				if len(fails) < hours*60/2 || len(fails) > hours*3600 {
					t.Errorf("%d attempts in %d hours", len(fails), hours)
				}
				if name == "authorization" && !errors.Is(fails[0].Err, ErrAuthorization) {
					t.Errorf("error %v", fails[0].Err)
				}
				fault(s, false)
				must(t, nc.Flush(in(t, 61*time.Second)))
			})
		})
	}
}

func TestReconnectBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var at []time.Duration
		start := time.Now()
		log := &eventLog{hook: func(_ *Conn, e Event) {
			if _, ok := e.(ConnectFailed); ok {
				at = append(at, time.Since(start))
			}
		}}
		nc := connect(t, n, log.option(), ReconnectBackoff(time.Second, 3*time.Second))
		pass(2 * time.Second)
		s.Refuse(true)
		start = time.Now()
		lose(s)
		pass(time.Minute)
		if len(at) < 20 || at[0] != 0 {
			t.Fatalf("attempts at %v", at)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < time.Second || d > 3*time.Second {
				t.Errorf("attempt %d came after %v", i, d)
			}
		}
		// Reconnect ends the back-off.
		s.Refuse(false)
		now := time.Now()
		must(t, nc.Reconnect(t.Context()))
		if time.Since(now) != 0 {
			t.Errorf("Reconnect took %v", time.Since(now))
		}
	})
}

func TestCustomReconnectDelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var rounds []int
		nc := connect(t, n, CustomReconnectDelay(func(round int) time.Duration {
			rounds = append(rounds, round)
			return time.Duration(round) * time.Second
		}))
		pass(2 * time.Second)
		s.Refuse(true)
		lose(s)
		pass(6500 * time.Millisecond) // 1 + 2 + 3, and 4 has begun
		if fmt.Sprint(rounds) != "[1 2 3 4]" {
			t.Errorf("asked for rounds %v", rounds)
		}
		if got := len(n.Dials()); got != 5 {
			t.Errorf("%d dials", got)
		}
		_ = nc
	})
}

// TestCustomReconnectDelayMayCallAnything: the function is a user's, and a
// user may close the connection in it.
func TestCustomReconnectDelayMayCallAnything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var nc *Conn
		closed := make(chan error, 1)
		nc = connect(t, n, CustomReconnectDelay(func(int) time.Duration {
			select {
			case closed <- nc.Close():
			default:
			}
			return time.Second
		}))
		s.Refuse(true)
		lose(s)
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Fatal("Close in CustomReconnectDelay never returned")
		}
	})
}

func TestMaxReconnects(t *testing.T) {
	for _, c := range []struct {
		name  string
		opt   Option
		dials int
	}{
		{"NoReconnect", NoReconnect(), 1}, {"0", MaxReconnects(0), 1}, {"3", MaxReconnects(3), 1 + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, c.opt, log.option())
				pass(2 * time.Second)
				must(t, nc.Publish("a", nil))
				s.Refuse(true)
				lose(s)
				pass(time.Minute)
				if nc.Status() != StatusClosed || len(n.Dials()) != c.dials {
					t.Fatalf("status %v after %d dials", nc.Status(), len(n.Dials()))
				}
				select {
				case <-nc.Done():
				default:
					t.Error("Done is not closed")
				}
				if c.dials == 1 {
					isErr(t, nc.Err(), ErrDisconnected)
				} else {
					isErr(t, nc.Err(), ErrNoServers)
				}
				events := log.all()
				last, ok := events[len(events)-1].(Closed)
				if !ok || last.Err != nc.Err() {
					t.Errorf("events %v", events)
				}
				isErr(t, nc.Publish("a", nil), ErrClosed)
			})
		})
	}
}

func TestAbortOnAuthError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, AbortOnAuthError(3), log.option())
		s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Err("User Authentication Expired")
			p.Close()
			return true
		})
		lose(s)
		pass(time.Minute)
		if nc.Status() != StatusClosed || len(of[ConnectFailed](log)) != 3 {
			t.Fatalf("status %v, events %v", nc.Status(), log.kinds())
		}
		isErr(t, nc.Err(), ErrAuthExpired)
	})
}

// TestDisconnectReason: the first cause is reported.
func TestDisconnectReason(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*fakeserver.Peer)
		want []error
	}{
		{"end of file", func(p *fakeserver.Peer) { p.Close() }, []error{ErrDisconnected, io.EOF}},
		{"stale", func(p *fakeserver.Peer) { p.Err("Stale Connection"); p.Close() }, []error{ErrStaleConnection}},
		{"case", func(p *fakeserver.Peer) { p.Err("authorization violation"); p.Close() }, []error{ErrAuthorization}},
		{"expired", func(p *fakeserver.Peer) { p.Err("User Authentication Expired"); p.Close() }, []error{ErrAuthExpired}},
		{"revoked", func(p *fakeserver.Peer) { p.Err("User Authentication Revoked"); p.Close() }, []error{ErrAuthRevoked}},
		{"account", func(p *fakeserver.Peer) { p.Err("Account Authentication Expired"); p.Close() }, []error{ErrAccountAuthExpired}},
		{"limit", func(p *fakeserver.Peer) { p.Err("maximum account active connections exceeded"); p.Close() }, []error{ErrMaxAccountConnections}},
		{"protocol", func(p *fakeserver.Peer) { p.Send("NONSENSE\r\n") }, []error{ErrProtocol}},
		{"size", func(p *fakeserver.Peer) { p.Send("MSG a 1 9223372036854775807\r\n") }, []error{ErrProtocol}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				c.do(s.Peer())
				synctest.Wait()
				isErr(t, one[Disconnected](t, log).Err, c.want...)
				must(t, nc.Flush(in(t, time.Minute)))
			})
		})
	}
}

// TestServerErrorsThatLeaveTheLink: the connection lives on, and says what came.
func TestServerErrorsThatLeaveTheLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		s.Peer().Err("The moon is in the wrong house")
		s.Peer().Err("Invalid Subject")
		s.Peer().Err(`Permissions Violation for Publish to "a b"`)
		flush(t, nc)
		es := of[AsyncError](log)
		if len(es) != 3 || len(of[Disconnected](log)) != 0 {
			t.Fatalf("events %v", log.all())
		}
		var se *ServerError
		if !errors.As(es[0].Err, &se) || se.Text != "The moon is in the wrong house" {
			t.Errorf("first error %v", es[0].Err)
		}
		var pe *PermissionError
		if !errors.As(es[2].Err, &pe) || pe.Operation != "publish" || pe.Subject != "a b" {
			t.Errorf("third error %v", es[2].Err)
		}
		if nc.LastError() != es[2].Err {
			t.Errorf("LastError is %v", nc.LastError())
		}
	})
}

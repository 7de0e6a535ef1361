package nats

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// document is the CONNECT of the last connection, in the server's order.
func document(t *testing.T, s *fakeserver.Server) string {
	t.Helper()
	ops := s.Ops("CONNECT")
	if len(ops) == 0 {
		t.Fatal("no CONNECT came")
	}
	return strings.TrimPrefix(ops[len(ops)-1].Line, "CONNECT ")
}

const plainDocument = `{"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true,` +
	`"tls_required":false,"protocol":1,"lang":"go","version":"` + Version + `"`

// TestConnectDocument holds CONNECT against the whole document, so that no
// option can ever bring anything else to the wire.
func TestConnectDocument(t *testing.T) {
	for _, c := range []struct {
		name, url, want string
		opts            []Option
	}{
		{"plain", "", `}`, nil},
		{"name", "", `,"name":"bill"}`, []Option{Name("bill")}},
		{"user", "", `,"user":"u","pass":"p"}`, []Option{UserInfo("u", "p")}},
		{"user handler", "", `,"user":"u","pass":"p"}`,
			[]Option{UserInfoHandler(func() (string, string) { return "u", "p" })}},
		{"token", "", `,"auth_token":"t"}`, []Option{Token("t")}},
		{"token handler", "", `,"auth_token":"t"}`, []Option{TokenHandler(func() string { return "t" })}},
		{"user in URL", "nats://u:p@server", `,"user":"u","pass":"p"}`, nil},
		{"token in URL", "nats://t@server", `,"auth_token":"t"}`, nil},
		{"URL wins", "nats://u:p@server", `,"user":"u","pass":"p"}`, []Option{Token("t")}},
		{"escapes in URL", "nats://u%40x:p%2Fp%25@server", `,"user":"u@x","pass":"p/p%"}`, nil},
		{"all that stays here", "", `}`, []Option{
			Timeout(time.Second), MaxReconnects(3), ReconnectBackoff(1, 2), ReconnectBufSize(1), WriteBufferSize(1000),
			WhenDisconnected(DisconnectedFail), WriteTimeout(time.Second), PingInterval(time.Second),
			MaxPingsOutstanding(3), RequestTimeout(time.Second), DrainTimeout(time.Second), CustomInboxPrefix("_X"),
			MaxInboundPayload(1000), PendingLimits(1, 1), Overflow(OverflowEnd), AbortOnAuthError(2), IgnoreDiscoveredServers(),
			Servers("nats://secret:word@other:1"),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				url := c.url
				if url == "" {
					url = "nats://server:4222"
				}
				connectTo(t, n, url, c.opts...)
				if got := document(t, s); got != plainDocument+c.want {
					t.Errorf("CONNECT is\n%s, want\n%s", got, plainDocument+c.want)
				}
			})
		})
	}
}

func TestConnectFlags(t *testing.T) {
	for _, c := range []struct {
		opt   Option
		field string
		want  any
	}{
		{NoEcho(), "echo", false}, {Verbose(), "verbose", true}, {Pedantic(), "pedantic", true},
	} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			connect(t, n, c.opt)
			var doc map[string]any
			must(t, json.Unmarshal([]byte(document(t, s)), &doc))
			if doc[c.field] != c.want {
				t.Errorf("%s is %v", c.field, doc[c.field])
			}
		})
	}
}

func TestConnectWithoutHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("headers", nil)
		nc := connect(t, n)
		if doc := document(t, s); !strings.Contains(doc, `"headers":false,"no_responders":false`) {
			t.Errorf("CONNECT is %s", doc)
		}
		m := Msg{Subject: "a"}
		m.Header.Set("A", "b")
		isErr(t, nc.PublishMsg(t.Context(), m), ErrHeadersNotSupported)
		must(t, nc.PublishMsg(t.Context(), Msg{Subject: "a"}))
	})
}

func TestConnectURLs(t *testing.T) {
	for url, host := range map[string]string{
		"": "127.0.0.1:4222", "server": "server:4222", "server:1": "server:1", "nats://server": "server:4222",
		"nats://server/": "server:4222", "nats://[::1]:5": "[::1]:5", "NATS://Server:9": "Server:9",
		" server:1 ": "server:1", "u:p@server": "server:4222",
	} {
		t.Run(url, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := fakeserver.New()
				n.Host(host)
				nc := connectTo(t, n, url)
				if got := nc.ConnectedURL(); got != "nats://"+host {
					t.Errorf("connected to %q", got)
				}
				if nc.RemoteAddr().String() != host || nc.LocalAddr() == nil {
					t.Errorf("addresses %v and %v", nc.RemoteAddr(), nc.LocalAddr())
				}
			})
		})
	}
}

func TestConnectTriesEachServerOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		n.Host("a:1").Refuse(true)
		n.Host("b:2").On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Err("Authorization Violation")
			p.Close()
			return true
		})
		n.Host("c:3").Script(func(p *fakeserver.Peer) { p.Send("HELLO\r\n") })
		n.Host("d:4").Hang(true)
		start := time.Now()
		_, err := Connect(t.Context(), "a:1,b:2", options(n, []Option{Servers("c:3", "d:4", "nats://e:5,a:1")})...)
		var ce *ConnectError
		if !errors.As(err, &ce) || len(ce.Attempts) != 5 {
			t.Fatalf("error is %v", err)
		}
		isErr(t, err, ErrNoServers, ErrAuthorization, ErrProtocol, context.DeadlineExceeded)
		for i, url := range []string{"nats://a:1", "nats://b:2", "nats://c:3", "nats://d:4", "nats://e:5"} {
			if a := ce.Attempts[i]; a.URL != url || a.LastErr == nil || a.Attempts != 1 || !strings.Contains(err.Error(), url) {
				t.Errorf("attempt %d is %+v", i, a)
			}
		}
		if got := strings.Join(n.Dials(), " "); got != "a:1 b:2 c:3 d:4 e:5" {
			t.Errorf("dialed %s", got)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestConnectTakesTheFirstThatAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		n.Host("a:1").Refuse(true)
		n.Host("b:2")
		n.Host("c:3")
		log := &eventLog{}
		nc := connectTo(t, n, "a:1,b:2,c:3", log.option())
		if nc.ConnectedURL() != "nats://b:2" || nc.Status() != StatusConnected {
			t.Errorf("connected to %q, %v", nc.ConnectedURL(), nc.Status())
		}
		if e := one[Connected](t, log); e.Server.URL != "nats://b:2" || !e.Server.Current {
			t.Errorf("event %+v", e)
		}
	})
}

func TestConnectShuffles(t *testing.T) {
	first := make(map[string]bool)
	for range 64 {
		bubble(t, func(t *testing.T) {
			n := fakeserver.New()
			n.Host("a:1")
			n.Host("b:2")
			nc, err := Connect(t.Context(), "a:1,b:2", UseDialer(n), Logger(nil))
			must(t, err)
			finish(t, nc)
			first[n.Dials()[0]] = true
		})
	}
	if len(first) != 2 {
		t.Errorf("64 times the first was %v", first)
	}
}

// stubborn is a dialer that never returns, and does not look at its context.
type stubborn struct{ stop chan struct{} }

func (d stubborn) DialContext(context.Context, string, string) (net.Conn, error) {
	<-d.stop
	return nil, errors.New("stopped")
}

func TestConnectEndsWithItsContext(t *testing.T) {
	hanging := func(n *fakeserver.Net, s *fakeserver.Server) Dialer { s.Hang(true); return n }
	silent := func(n *fakeserver.Net, s *fakeserver.Server) Dialer {
		s.Script(func(p *fakeserver.Peer) { _, _ = p.Next() })
		return n
	}
	for name, dialer := range map[string]func(*fakeserver.Net, *fakeserver.Server) Dialer{
		"dial hangs": hanging, "no INFO": silent,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				d := dialer(n, s)
				start := time.Now()
				ctx, cancel := context.WithCancelCause(t.Context())
				cause := errors.New("enough")
				time.AfterFunc(time.Second, func() { cancel(cause) })
				_, err := Connect(ctx, "server", UseDialer(d), Logger(nil))
				isErr(t, err, cause)
				if took := time.Since(start); took > 1100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				_, err = Connect(in(t, time.Second), "server", UseDialer(d), Logger(nil))
				isErr(t, err, context.DeadlineExceeded)
			})
		})
	}
	t.Run("dial never returns", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			d := stubborn{make(chan struct{})}
			defer close(d.stop)
			start := time.Now()
			_, err := Connect(in(t, time.Second), "server", UseDialer(d), Logger(nil))
			isErr(t, err, context.DeadlineExceeded)
			if took := time.Since(start); took > 1100*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			start = time.Now()
			_, err = Connect(t.Context(), "server", UseDialer(d), Logger(nil), Timeout(time.Second))
			isErr(t, err, context.DeadlineExceeded, ErrNoServers)
			if took := time.Since(start); took > 1100*time.Millisecond {
				t.Errorf("with Timeout it took %v", took)
			}
		})
	})
}

// TestHandshakeStages stops the server after each step: an attempt ends at its
// Timeout whatever it waits for, on the first connect and on a reconnect.
func TestHandshakeStages(t *testing.T) {
	wait := func(p *fakeserver.Peer) {
		for {
			if _, err := p.Next(); err != nil {
				return
			}
		}
	}
	stages := map[string]func(*fakeserver.Peer){
		"silence":   wait,
		"half INFO": func(p *fakeserver.Peer) { p.Send("INFO {\"server_id\":"); wait(p) },
		"INFO":      func(p *fakeserver.Peer) { p.SendInfo(nil); wait(p) },
		"trickle": func(p *fakeserver.Peer) {
			p.Send("INFO {\"server_id\":\"")
			for p.Send("x") {
				<-time.After(100 * time.Millisecond)
			}
		},
		"half PONG": func(p *fakeserver.Peer) { p.SendInfo(nil); p.Send("PO"); wait(p) },
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				t.Cleanup(n.Wait)
				s.Script(stage)
				start := time.Now()
				_, err := Connect(t.Context(), "server", options(n, nil)...)
				isErr(t, err, context.DeadlineExceeded, ErrNoServers)
				if took := time.Since(start); took > 5100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				s.Script(nil)
				log := &eventLog{}
				nc := connect(t, n, log.option())
				s.Script(stage)
				lose(s)
				pass(5100 * time.Millisecond)
				if e := of[ConnectFailed](log); len(e) != 1 || !errors.Is(e[0].Err, context.DeadlineExceeded) {
					t.Errorf("events %v", log.all())
				}
				s.Script(nil)
				must(t, nc.Flush(in(t, time.Minute)))
			})
		})
	}
}

func TestRetryOnFailedConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Refuse(true)
		log := &eventLog{}
		nc := connect(t, n, RetryOnFailedConnect(true), log.option())
		if nc.Status() != StatusConnecting || nc.ConnectedURL() != "" || nc.LocalAddr() != nil || nc.RemoteAddr() != nil {
			t.Errorf("status %v, URL %q", nc.Status(), nc.ConnectedURL())
		}
		var got collector
		_, err := nc.Subscribe("a", got.handle)
		must(t, err)
		must(t, nc.Publish("a", []byte("early")))
		pass(time.Hour)
		if len(of[ConnectFailed](log)) < 100 {
			t.Errorf("only %d attempts in an hour", len(of[ConnectFailed](log)))
		}
		s.Refuse(false)
		must(t, nc.Flush(in(t, 10*time.Second)))
		synctest.Wait()
		if got.data() != "early" || nc.Status() != StatusConnected {
			t.Errorf("got %q, status %v", got.data(), nc.Status())
		}
		one[Connected](t, log)
		if len(of[Reconnected](log)) != 0 {
			t.Error("the first link is no Reconnected")
		}
	})
}

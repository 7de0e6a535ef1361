package faults

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// mute is a peer that takes connections, says greeting, and nothing more.
type mute struct {
	address string
	reached chan struct{} // gets one for each client that is where it hangs
}

// newMute makes one whose clients hang when they are connected or, if they speak,
// when they have said something.
func newMute(t *testing.T, greeting string, speak bool) *mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{address: l.Addr().String(), reached: make(chan struct{}, 1000)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.serve(conn, greeting, speak) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return m
}

func (m *mute) serve(conn net.Conn, greeting string, speak bool) {
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(greeting))
	if !speak {
		m.reached <- struct{}{}
	}
	for b := make([]byte, 1024); ; {
		if _, err := conn.Read(b); err != nil {
			return // the client has gone
		}
		if speak {
			m.reached <- struct{}{}
			speak = false
		}
	}
}

// DialContext never comes back before its context ends.
func (m *mute) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	m.reached <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// state is one that a connection can be in when it is closed.
type state struct {
	name string
	make func(*testing.T) *nats.Conn
}

// states are all that a client can get into, and those that a peer can keep it
// in.
func states(t *testing.T) []state {
	srv := ledger.Run(t)
	secret := ledger.Run(t, natstest.Token("secret"))
	dead := &mute{address: "example.invalid", reached: make(chan struct{}, 1000)}
	silent := newMute(t, "", false)
	listens := newMute(t, "", true)
	greets := newMute(t, `INFO {"max_payload":1048576,"headers":true}`+"\r\n", true)
	wantsTLS := newMute(t, `INFO {"max_payload":1048576,"tls_required":true}`+"\r\n", true)
	connected := func(t *testing.T) *nats.Conn { return open(t, srv.URL()) }
	hanging := func(m *mute, scheme string, opts ...nats.Option) func(*testing.T) *nats.Conn {
		return func(t *testing.T) *nats.Conn {
			nc := open(t, scheme+"://"+m.address, append(opts, nats.RetryOnFailedConnect(true))...)
			<-m.reached
			return nc
		}
	}
	return []state{
		{"connected", connected},
		{"in a dial that hangs", hanging(dead, "nats", nats.UseDialer(dead))},
		{"waiting for INFO", hanging(silent, "nats")},
		{"waiting for the first PONG", hanging(greets, "nats")},
		{"in a TLS handshake that hangs", hanging(wantsTLS, "tls")},
		{"in TLS first that hangs", hanging(listens, "nats", nats.TLSHandshakeFirst())},
		{"in an upgrade that hangs", hanging(listens, "ws")},
		{"in TLS below a WebSocket that hangs", hanging(listens, "wss")},
		{"refused", func(t *testing.T) *nats.Conn {
			events, handler := ledger.NewEvents()
			nc := open(t, secret.URL(), nats.RetryOnFailedConnect(true), handler)
			ledger.Wait[nats.ConnectFailed](t, events)
			return nc
		}},
		{"reconnecting", func(t *testing.T) *nats.Conn {
			proxy := proxyFor(t, srv)
			events, handler := ledger.NewEvents()
			nc := open(t, proxy.URL(), handler)
			proxy.Stop()
			ledger.Wait[nats.ConnectFailed](t, events)
			return nc
		}},
		{"draining", func(t *testing.T) *nats.Conn { return draining(t, connected(t)) }},
		{"before a peer that takes nothing", func(t *testing.T) *nats.Conn {
			proxy := proxyFor(t, srv)
			nc := open(t, proxy.URL())
			proxy.Stall(natstest.Both)
			for range 8 { // more than the kernel takes
				if err := nc.PublishMsg(t.Context(), nats.Msg{Subject: "x", Data: make([]byte, 1<<20)}); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				<-nc.Done()
				proxy.Stop()
			}()
			return nc
		}},
		{"full of subscriptions and requests", func(t *testing.T) *nats.Conn { return busy(t, connected(t)) }},
	}
}

func open(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(t.Context(), url, append(opts, nats.Logger(nil), nats.WriteBufferSize(64*mib))...)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// proxyFor is a proxy that is stopped by who asks for it: it has goroutines and
// sockets, too.
func proxyFor(t *testing.T, srv *natstest.Server) *natstest.Proxy {
	t.Helper()
	proxy, err := natstest.StartProxy(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

// draining is a connection whose drain waits for a handler, which comes back
// when the connection has been closed.
func draining(t *testing.T, nc *nats.Conn) *nats.Conn {
	t.Helper()
	stuck := make(chan struct{})
	if _, err := nc.Subscribe("stuck", func(nats.Msg) { <-stuck }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("stuck", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { _ = nc.Drain(t.Context()) }() // it loses to Close
	go func() {
		<-nc.Done()
		close(stuck)
	}()
	for nc.Status() != nats.StatusDraining {
		runtime.Gosched()
	}
	return nc
}

// busy is a connection with one of everything.
func busy(t *testing.T, nc *nats.Conn) *nats.Conn {
	t.Helper()
	for _, how := range []func() error{
		func() error { _, err := nc.Subscribe("a", func(nats.Msg) {}); return err },
		func() error { _, err := nc.SubscribeSync("a"); return err },
		func() error { _, err := nc.SubscribeChan("a", make(chan nats.Msg)); return err },
		func() error { return nc.Publish("a", nil) },
	} {
		if err := how(); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = nc.Request(t.Context(), "a", nil) }()
	return nc
}

// Whatever a connection is at, nothing of it is left when it has been closed:
// neither goroutines nor sockets.
func TestFigure12NothingLeft(t *testing.T) {
	all := states(t)
	each := figure.Size(20, 200)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	conns := 0
	for _, s := range all {
		var closing sync.WaitGroup
		for range each {
			nc := s.make(t)
			conns++
			closing.Go(func() {
				_ = nc.Close() // what is lost is in the ledger
				<-nc.Done()
				ledger.Closed(t, nc)
			})
		}
		closing.Wait()
		closed := time.Now()
		g, f := left(t, goroutines, files)
		if g > 0 || f > 0 {
			stacks := make([]byte, 1<<20)
			t.Errorf("closed %s: %d goroutines and %d descriptors are left of %d connections\n%s",
				s.name, g, f, each, stacks[:runtime.Stack(stacks, true)])
			return
		}
		t.Logf("closed %s: nothing left after %v", s.name, time.Since(closed).Round(time.Millisecond))
	}
	g, f := left(t, goroutines, files)
	figure.Print(t, 12, "0 after 1s", "%d goroutines and %d descriptors left of %d connections closed in %d states", g, f, conns, len(all))
}

// left is what there is more than before, within ten seconds as soon as there
// is nothing. Servers notice the end of a connection after we do.
func left(t *testing.T, goroutines, files int) (g, f int) {
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		g, f = max(runtime.NumGoroutine()-goroutines, 0), max(descriptors(t)-files, 0)
		if g+f == 0 {
			return 0, 0
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return g, f
		}
	}
}

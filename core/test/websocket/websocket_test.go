package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// compressing is a server that agrees to compression.
func compressing(t *testing.T, opts ...natstest.Option) *natstest.Server {
	t.Helper()
	return ledger.Run(t, append(opts, natstest.Config("websocket { port: -1, no_tls: true, compression: true }"))...)
}

// both runs f without and with compression.
func both(t *testing.T, f func(t *testing.T, compress nats.Option)) {
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprintf("compression %v", on), func(t *testing.T) {
			t.Parallel()
			f(t, nats.Compression(on))
		})
	}
}

// random does not compress, text does.
func random(n int) []byte {
	b, x := make([]byte, n), uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func text(n int) []byte { return bytes.Repeat([]byte("to be or not to be. "), n/20+1)[:n] }

func next(t *testing.T, sub *nats.Subscription) nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := sub.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPublishSubscribeRequest(t *testing.T) {
	t.Parallel()
	srv := compressing(t)
	both(t, func(t *testing.T, compress nats.Option) {
		nc := ledger.Connect(t, srv.WebSocketURL(), compress)
		echo := "echo." + strconv.Itoa(len(t.Name()))
		if _, err := nc.Subscribe(echo, func(m nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 100, 511, 512, 513, 65_535, 65_536, 300_000} {
			for _, data := range [][]byte{random(size), text(size)} {
				m, err := nc.Request(t.Context(), echo, data)
				if err != nil || !bytes.Equal(m.Data, data) {
					t.Fatalf("%d bytes: %d came back, %v", size, len(m.Data), err)
				}
			}
		}
		if _, err := nc.Request(t.Context(), "nobody", nil); !errors.Is(err, nats.ErrNoResponders) {
			t.Error(err)
		}
	})
}

// Messages of max_payload pass, however they compress, and the server never
// closes: it takes no compressed frame that inflates to more than max_payload.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	for _, max := range []int{1 << 20, 3 << 20, 2000} {
		srv := compressing(t, natstest.MaxPayload(max))
		both(t, func(t *testing.T, compress nats.Option) {
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, srv.WebSocketURL(), compress, handler)
			subject := "large." + strconv.Itoa(len(t.Name())) // both run at a time
			sub, err := nc.SubscribeSync(subject, nats.PendingLimits(-1, -1))
			if err != nil {
				t.Fatal(err)
			}
			all := [][]byte{random(max), text(max), random(max - 1), text(max / 2), make([]byte, max)}
			for _, data := range all {
				if err := nc.Publish(subject, data); err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.Publish(subject, make([]byte, max+1)); !errors.Is(err, nats.ErrMaxPayload) {
				t.Errorf("too large: %v", err)
			}
			for i, data := range all {
				if m := next(t, sub); !bytes.Equal(m.Data, data) {
					t.Errorf("message %d: %d bytes of %d, or others", i, len(m.Data), len(data))
				}
			}
			for _, e := range events.All() {
				if d, ok := e.(nats.Disconnected); ok {
					t.Errorf("the link was lost: %v", d.Err)
				}
			}
		})
	}
}

// Many small messages go in few frames, and come back from a server that
// batches too.
func TestManySmallMessages(t *testing.T) {
	t.Parallel()
	srv := compressing(t)
	both(t, func(t *testing.T, compress nats.Option) {
		proxy := natstest.RunProxy(t, strings.TrimPrefix(srv.WebSocketURL(), "ws://"))
		nc := ledger.Connect(t, "ws://"+proxy.Addr(), compress)
		subject := "small." + strconv.Itoa(len(t.Name()))
		sub, err := nc.SubscribeSync(subject, nats.PendingLimits(-1, -1))
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := proxy.Forwarded(natstest.ClientToServer)
		const count = 1000
		for i := range count {
			if err := nc.Publish(subject, []byte(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range count {
			if m := next(t, sub); string(m.Data) != strconv.Itoa(i) {
				t.Fatalf("message %d is %q", i, m.Data)
			}
		}
		plain := count * len("PUB "+subject+" 3\r\n123\r\n")
		sent := proxy.Forwarded(natstest.ClientToServer) - before
		if sent > int64(plain+plain/5) {
			t.Errorf("%d bytes sent for %d", sent, plain)
		}
		t.Logf("%d bytes sent for %d", sent, plain)
	})
}

// A slow reader finds frames that hold all that waited: far more than
// max_payload, and than MaxInboundPayload.
func TestFramesLargerThanMessages(t *testing.T) {
	t.Parallel()
	srv := compressing(t)
	both(t, func(t *testing.T, compress nats.Option) {
		proxy := natstest.RunProxy(t, strings.TrimPrefix(srv.WebSocketURL(), "ws://"))
		nc := ledger.Connect(t, "ws://"+proxy.Addr(), compress, nats.MaxInboundPayload(20_000))
		subject := "much." + strconv.Itoa(len(t.Name()))
		sub, err := nc.SubscribeSync(subject, nats.PendingLimits(-1, -1))
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		proxy.Stall(natstest.ServerToClient)
		other := ledger.Connect(t, srv.URL())
		data := random(10_000)
		const count = 3000
		for range count {
			if err := other.Publish(subject, data); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		proxy.Resume(natstest.ServerToClient)
		for range count {
			if m := next(t, sub); !bytes.Equal(m.Data, data) {
				t.Fatal("another message")
			}
		}
	})
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	srv := compressing(t)
	both(t, func(t *testing.T, compress nats.Option) {
		proxy := natstest.RunProxy(t, strings.TrimPrefix(srv.WebSocketURL(), "ws://"))
		events, handler := ledger.NewEvents()
		nc := ledger.Connect(t, "ws://"+proxy.Addr(), compress, handler)
		ledger.Cuts(t, nc, ledger.Connect(t, srv.URL()), events, "re."+strconv.Itoa(len(t.Name())), text(1000),
			func() { proxy.CutIn(natstest.ClientToServer, 2_000) }, proxy.CutNow)
	})
}

// Servers of a cluster name each other's WebSockets, and a client moves there.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	c := ledger.RunCluster(t, 3, natstest.NoJetStream(), natstest.WebSocket())
	first := c.Server(0)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, first.WebSocketURL(), handler)
	for len(nc.Servers()) < 3 { // INFO may follow
		ledger.Wait[nats.ServersDiscovered](t, events)
	}
	want := map[string]bool{}
	for _, s := range c.Servers() {
		want[s.WebSocketURL()] = true
	}
	for _, s := range nc.Servers() {
		if !want[s.URL] {
			t.Errorf("%s is not one of %v", s.URL, want)
		}
	}
	first.Shutdown()
	ledger.Wait[nats.Reconnected](t, events)
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := nc.ConnectedURL(); u == "ws://"+first.Addr() || !strings.HasPrefix(u, "ws://") {
		t.Errorf("connected to %s", u)
	}
	// It said why it closed.
	if d := ledger.Wait[nats.Disconnected](t, events); !strings.Contains(d.Err.Error(), "1001") {
		t.Errorf("the end was %v", d.Err)
	}
}

// What the server says before its closing frame is the reason.
func TestErrorBeforeClose(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.WebSocket(), natstest.Token("secret"))
	_, err := nats.Connect(t.Context(), srv.WebSocketURL(), nats.Logger(nil), nats.Token("wrong"))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Error(err)
	}
	nc := ledger.Connect(t, srv.WebSocketURL(), nats.Token("secret"))
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	u := strings.Replace(srv.WebSocketURL(), "ws://", "ws://secret@", 1)
	nc = ledger.Connect(t, u)
	if err := nc.Flush(t.Context()); err != nil || strings.Contains(nc.ConnectedURL(), "secret") {
		t.Error(err, nc.ConnectedURL())
	}
}

// The server sees a normal end, not a broken connection.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	var log logBuffer
	srv := ledger.Run(t, natstest.WebSocket(), natstest.Debug(), natstest.LogTo(&log))
	proxy := natstest.RunProxy(t, strings.TrimPrefix(srv.WebSocketURL(), "ws://"))
	proxy.Record(natstest.ClientToServer)
	nc := ledger.Connect(t, "ws://"+proxy.Addr())
	if err := nc.Close(); err != nil {
		t.Error(err)
	}
	await(t, func() bool { return proxy.Connections() == 0 })
	b := proxy.Recorded(natstest.ClientToServer)
	if frame := b[len(b)-8:]; frame[0] != 0x88 || frame[1] != 0x82 {
		t.Errorf("the last bytes are % x", frame)
	}
	await(t, func() bool { return strings.Contains(log.String(), "Client Closed") })
}

// A peer that takes no more bytes holds up Close only shortly.
func TestStalledPeer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.WebSocket())
	proxy := natstest.RunProxy(t, strings.TrimPrefix(srv.WebSocketURL(), "ws://"))
	nc := ledger.Connect(t, "ws://"+proxy.Addr(), nats.WriteBufferSize(64<<20))
	proxy.Stall(natstest.Both)
	for range 60 {
		if err := nc.Publish("a", make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	var loss *nats.LossError
	if err := nc.Close(); !errors.As(err, &loss) || loss.Unknown+loss.Unsent != 60 {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("Close took %v", took)
	if took > 20*time.Second {
		t.Error("that is too long")
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits for what only others can see.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("it does not happen")
		}
	}
}

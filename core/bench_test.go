package nats

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// pit is a connection for measuring: it takes everything, answers PINGs and,
// if told to, requests, and says what is fed to it. It allocates next to
// nothing, and works on real time.
type pit struct {
	mu     sync.Mutex
	cond   sync.Cond
	out    []byte // to the client
	at     int    // what it has of that
	echo   bool
	closed bool

	answers [4096]byte // memory for what Write says
}

func newPit() *pit {
	p := &pit{out: []byte("INFO {\"headers\":true,\"max_payload\":1048576}\r\n")}
	p.cond.L = &p.mu
	return p
}

func (p *pit) DialContext(context.Context, string, string) (net.Conn, error) { return p, nil }

// feed gives b to the client, which has everything that was fed before.
func (p *pit) feed(b []byte) {
	p.mu.Lock()
	p.out, p.at = b, 0
	p.mu.Unlock()
	p.cond.Broadcast()
}

func (p *pit) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.at == len(p.out) && !p.closed {
		p.cond.Wait()
	}
	if p.closed {
		return 0, io.EOF
	}
	n := copy(b, p.out[p.at:])
	p.at += n
	return n, nil
}

// Write looks only at the end of what comes, where a PING or a request stands.
func (p *pit) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == len(p.out) {
		p.out, p.at = p.answers[:0], 0
	}
	for rest := b; len(rest) > 0; {
		i := strings.Index(string(rest[:min(len(rest), 4)]), "PING")
		eol := indexByte(rest, '\n')
		if i == 0 {
			p.out = append(p.out, "PONG\r\n"...)
		}
		if p.echo && rest[0] == 'P' && rest[1] == 'U' {
			line := rest[:eol]
			at := 4 + indexByte(line[4:], ' ') + 1
			end := at + indexByte(line[at:], ' ')
			p.out = append(p.out, "MSG "...)
			p.out = append(p.out, line[at:end]...)
			p.out = append(p.out, " 1 0\r\n\r\n"...)
			eol += 2
		} else if !p.echo && i != 0 {
			break // a stream of publishes
		}
		rest = rest[eol+1:]
	}
	if len(b) >= 6 && string(b[len(b)-6:]) == "PING\r\n" && len(p.out) == 0 {
		p.out = append(p.out, "PONG\r\n"...)
	}
	p.cond.Broadcast()
	return len(b), nil
}

func indexByte(b []byte, c byte) int {
	for i := range b {
		if b[i] == c {
			return i
		}
	}
	return len(b)
}

func (p *pit) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cond.Broadcast()
	return nil
}

func (p *pit) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *pit) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *pit) SetDeadline(time.Time) error      { return nil }
func (p *pit) SetReadDeadline(time.Time) error  { return nil }
func (p *pit) SetWriteDeadline(time.Time) error { return nil }

func connectPit(tb testing.TB, opts ...Option) (*pit, *Conn) {
	tb.Helper()
	p := newPit()
	nc, err := Connect(context.Background(), "pit", append([]Option{UseDialer(p), Logger(nil), PingInterval(time.Hour)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	return p, nc
}

// counter counts what a handler gets.
type counter struct {
	n, want atomic.Int64
	done    chan struct{}
}

func (c *counter) handle(Msg) {
	if c.n.Add(1) == c.want.Load() {
		c.done <- struct{}{}
	}
}

// subscribePit makes the subscription that pump feeds.
func subscribePit(tb testing.TB, nc *Conn) *counter {
	tb.Helper()
	c := &counter{done: make(chan struct{}, 1)}
	if _, err := nc.Subscribe("a", c.handle); err != nil {
		tb.Fatal(err)
	}
	if err := nc.Flush(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return c
}

// frames is as many messages of size bytes as fit into a megabyte.
func frames(size int) (block []byte, each int) {
	frame := fakeserver.Frame("a", 1, "", "", strings.Repeat("x", size))
	return []byte(strings.Repeat(frame, (1<<20)/len(frame))), len(frame)
}

// pump feeds n messages, a block after the other, and waits until the handler
// had them.
func (c *counter) pump(p *pit, n int, block []byte, each int) {
	for n > 0 {
		k := min(n, len(block)/each)
		c.want.Add(int64(k))
		p.feed(block[:k*each])
		<-c.done
		n -= k
	}
}

// TestAllocations holds the hot paths to what they may allocate.
func TestAllocations(t *testing.T) {
	ctx := context.Background()
	data := make([]byte, 128)
	h := header(t, "A", "1", "B", "2")
	_, nc := connectPit(t)
	for _, c := range []struct {
		name string
		max  float64
		f    func()
	}{
		{"Publish", 0, func() { _ = nc.Publish("subject", data) }},
		{"PublishMsg with a ready header", 0, func() { _ = nc.PublishMsg(ctx, Msg{Subject: "subject", Header: h, Data: data}) }},
		{"PublishRequest", 0, func() { _ = nc.PublishRequest("subject", "reply", data) }},
		{"Header.Get", 0, func() { _ = h.Get("B") }},
		{"Header.All", 0, func() {
			for range h.All() {
			}
		}},
		{"NewHeader", 1, func() { _, _ = NewHeader("A", "1", "B", "2") }},
		{"Status", 0, func() { _ = nc.Status() }},
	} {
		if got := testing.AllocsPerRun(10_000, c.f); got > c.max {
			t.Errorf("%s allocates %v times, may %v", c.name, got, c.max)
		}
	}

	t.Run("request", func(t *testing.T) {
		p, nc := connectPit(t)
		p.mu.Lock()
		p.echo = true
		p.mu.Unlock()
		ask := func() {
			if _, err := nc.Request(ctx, "svc", data[:0]); err != nil {
				t.Error(err)
			}
		}
		if got := testing.AllocsPerRun(1000, ask); got > 4 {
			t.Errorf("a request allocates %v times", got)
		}
	})
	t.Run("receive", func(t *testing.T) {
		p, nc := connectPit(t)
		c := subscribePit(t, nc)
		block, each := frames(16)
		const msgs = 50_000
		per := testing.AllocsPerRun(3, func() { c.pump(p, msgs, block, each) }) / msgs
		t.Logf("%.4f allocations a received message", per)
		if per > 0.1 {
			t.Errorf("a received message allocates %.3f times", per)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{16, 128, 1024} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			_, nc := connectPit(b)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := nc.Publish("bench.subject", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPublishMsg(b *testing.B) {
	_, nc := connectPit(b)
	h, err := NewHeader("Nats-Msg-Id", "12345", "Content-Type", "application/json")
	if err != nil {
		b.Fatal(err)
	}
	m := Msg{Subject: "bench.subject", Header: h, Data: make([]byte, 128)}
	b.ReportAllocs()
	for b.Loop() {
		if err := nc.PublishMsg(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{16, 128, 1024} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p, nc := connectPit(b)
			c := subscribePit(b, nc)
			block, each := frames(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			c.pump(p, b.N, block, each)
		})
	}
}

func BenchmarkNext(b *testing.B) {
	ctx := context.Background()
	for _, size := range []int{16, 128} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p, nc := connectPit(b)
			sub, err := nc.SubscribeSync("a", PendingLimits(-1, -1))
			if err != nil {
				b.Fatal(err)
			}
			block, each := frames(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for n := b.N; n > 0; {
				k := min(n, len(block)/each)
				p.feed(block[:k*each])
				for range k {
					if _, err := sub.Next(ctx); err != nil {
						b.Fatal(err)
					}
				}
				n -= k
			}
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	p, nc := connectPit(b)
	p.mu.Lock()
	p.echo = true
	p.mu.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Request(context.Background(), "svc", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHeader(b *testing.B) {
	h, err := NewHeader("Nats-Stream", "ORDERS", "Nats-Subject", "orders.1", "Nats-Sequence", "12345", "Last", "x")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = h.Get("Nats-Sequence")
		}
	})
	b.Run("New", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = NewHeader("Nats-Msg-Id", "12345", "Content-Type", "application/json")
		}
	})
	b.Run("Set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := h
			c.Set("Nats-Sequence", "12346")
		}
	})
}

package jetstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	nats "github.com/perigee-go/nats/core"
)

// frugal is a stream that allocates nothing for a message, on a loopback socket:
// it stores nothing, and sends receipts.
func frugal(t testing.TB) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, `INFO {"server_id":"S","version":"2.15.0","headers":true,"max_payload":1048576}`+"\r\n")
		r := bufio.NewReaderSize(c, 64<<10)
		var out []byte
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			switch {
			case bytes.HasPrefix(line, []byte("PING")):
				out = append(out, "PONG\r\n"...)
			case bytes.HasPrefix(line, []byte("PUB ")): // PUB s REPLY 128
				reply := line[len("PUB s "):]
				reply = reply[:bytes.IndexByte(reply, ' ')]
				out = append(out, "MSG "...)
				out = append(out, reply...)
				out = append(out, " 1 25\r\n{\"stream\":\"S\", \"seq\": 77}\r\n"...)
				if _, err := r.Discard(128 + 2); err != nil {
					return
				}
			}
			if r.Buffered() == 0 || len(out) > 32<<10 {
				if _, err := c.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
		}
	}()
	return "nats://" + l.Addr().String()
}

func frugally(t testing.TB, opts ...Option) (js *JetStream, publish func()) {
	t.Helper()
	nc, err := nats.Connect(t.Context(), frugal(t), nats.Logger(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if js, err = New(nc, opts...); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 128)
	ctx := context.Background()
	return js, func() {
		if _, err := js.PublishAsync(ctx, "s", data); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPublishAsyncAllocations: a publish and its receipt share memory with others.
func TestPublishAsyncAllocations(t *testing.T) {
	js, publish := frugally(t, PublishAsyncMaxPending(256))
	for range 5000 { // until the window has been full
		publish()
	}
	n := testing.AllocsPerRun(20000, publish)
	t.Logf("%.3f allocations a publish", n)
	if n > 0.5 { // AllocsPerRun rounds down
		t.Errorf("%.0f allocations a publish", n)
	}
	if err := js.WaitPublished(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkPublishAsync(b *testing.B) {
	for name, window := range map[string]int{"w256": 256, "w4096": 4096} {
		b.Run(name, func(b *testing.B) {
			js, publish := frugally(b, PublishAsyncMaxPending(window))
			b.ReportAllocs()
			for b.Loop() {
				publish()
			}
			if err := js.WaitPublished(b.Context()); err != nil {
				b.Error(err)
			}
		})
	}
}

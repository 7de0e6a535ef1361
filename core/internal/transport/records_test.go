package transport

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/simnet"
)

// counting counts the calls of a connection.
type counting struct {
	net.Conn
	reads, writes atomic.Int64
}

func (c *counting) Read(p []byte) (int, error)  { c.reads.Add(1); return c.Conn.Read(p) }
func (c *counting) Write(p []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(p) }

// tlsPair is a client whose connection is counted, and its server. Reads of the
// client get at most chunk bytes, 0 for as many as there are.
func tlsPair(t *testing.T, chunk int) (*TLSConn, *counting, *tls.Conn) {
	t.Helper()
	ca, err := fakeserver.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := ca.Server("sim")
	if err != nil {
		t.Fatal(err)
	}
	a, b := simnet.PipeSize(2 << 20)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	if chunk > 0 {
		a.Chunk(chunk)
	}
	server := tls.Server(b, srv)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	cfg := ca.Client()
	cfg.ServerName = "sim"
	count := &counting{Conn: a}
	client, err := Handshake(t.Context(), count, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, count, server
}

// Every cut of the stream gives the same bytes, read the plain way or with
// what has arrived behind.
func TestRecordsRead(t *testing.T) {
	want := make([]byte, 300_000)
	_, _ = rand.Read(want)
	for _, chunk := range []int{0, 1, 4, 5, 6, 1000, 16 << 10, 17 << 10} {
		client, count, server := tlsPair(t, chunk)
		go func() {
			for n, size := 0, 1; n < len(want); size = size*3 + 1 {
				end := min(n+size, len(want))
				if _, err := server.Write(want[n:end]); err != nil {
					return
				}
				n = end
			}
			_ = server.CloseWrite()
		}()
		count.reads.Store(0)
		var got []byte
		buf := make([]byte, 40_000)
		for {
			n, err := client.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("chunks of %d: %v", chunk, err)
			}
			for {
				n, err := client.ReadMore(buf)
				got = append(got, buf[:n]...)
				if err != nil && err != io.EOF {
					t.Fatalf("chunks of %d: %v", chunk, err)
				}
				if n == 0 {
					break
				}
			}
			client.Shrink()
		}
		if !bytes.Equal(got, want) {
			t.Errorf("chunks of %d: %d bytes, not the same", chunk, len(got))
		}
	}
}

// Many records take few system calls, both ways.
func TestRecordsSaveCalls(t *testing.T) {
	client, count, server := tlsPair(t, 0)
	data := make([]byte, 256<<10)
	// The first records of a TLS connection are small.
	go func() { _, _ = io.CopyN(io.Discard, server, 2*int64(len(data))) }()
	if _, err := client.WriteAll(data); err != nil {
		t.Fatal(err)
	}
	count.writes.Store(0)
	if n, err := client.WriteAll(data); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	if w := count.writes.Load(); w != 1 {
		t.Errorf("%d writes", w)
	}
	if _, err := server.Write(data); err != nil {
		t.Fatal(err)
	}
	count.reads.Store(0)
	if _, err := io.ReadFull(client, data); err != nil {
		t.Fatal(err)
	}
	if r := count.reads.Load(); r > 8 {
		t.Errorf("%d reads", r)
	}
}

// ReadMore does not wait behind a record of TLS's own, and a deadline that
// passed once does not spoil the connection.
func TestReadMoreDoesNotWait(t *testing.T) {
	client, _, server := tlsPair(t, 0)
	buf := make([]byte, 100)
	if n, err := client.ReadMore(buf); n != 0 || err != nil {
		t.Fatal(n, err) // nothing there, or session tickets
	}
	if _, err := server.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	n, err := client.Read(buf)
	if string(buf[:n]) != "hello" || err != nil {
		t.Fatalf("%q %v", buf[:n], err)
	}
	for range 3 {
		if n, err := client.ReadMore(buf); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	_ = client.SetReadDeadline(time.Unix(1, 0))
	if _, err := client.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_ = client.SetReadDeadline(time.Time{})
	if _, err := server.Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(buf); string(buf[:n]) != "again" || err != nil {
		t.Errorf("%q %v", buf[:n], err)
	}
}

// A write that fails fails for good, with nothing said of how much left.
func TestRecordsWriteFails(t *testing.T) {
	client, count, _ := tlsPair(t, 0)
	_ = count.Close()
	if n, err := client.WriteAll([]byte("x")); n != 0 || err == nil {
		t.Error(n, err)
	}
}

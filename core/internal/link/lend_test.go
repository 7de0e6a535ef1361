//go:build unix

package link

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/wire"
)

// tcpLink is a running link over the kernel's TCP, with buffers that are soon
// full, and the server's side of it after the handshake.
func tcpLink(t *testing.T) (l *Link, out *outbox.Outbox, srv *bufio.Reader) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	conn, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
	srv = bufio.NewReader(peer)
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		_, _ = io.WriteString(peer, infoLine)
		for line := ""; line != "PING\r\n"; {
			var err error
			if line, err = srv.ReadString('\n'); err != nil {
				return
			}
		}
		_, _ = io.WriteString(peer, "PONG\r\n")
	}()
	out = outbox.New(outbox.Config{Limit: 8 << 20, DownLimit: 8 << 20})
	l, err = Open(t.Context(), conn, Config{
		Outbox: out, Sink: &sink{}, KeepAlive: keepalive.Config{Interval: time.Minute, MaxOutstanding: 2},
		WriteTimeout: time.Minute,
		Connect:      func(*wire.Info, bool) ([]byte, error) { return []byte(`{}`), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-greeted
	out.Attach(1, nil, nil)
	l.Start(1)
	out.Open(1)
	t.Cleanup(func() {
		l.End(io.ErrClosedPipe)
		_ = l.Wait()
		_ = peer.Close()
	})
	return l, out, srv
}

// until waits for what the writer does in a moment.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(start) > 20*time.Second {
			t.Fatal(what)
		}
	}
}

// lendUntil asks until the writer sleeps and its place is lent.
func lendUntil(t *testing.T, l *Link, subj string, data []byte) (batch []byte) {
	t.Helper()
	until(t, "never lent", func() bool {
		var retry <-chan struct{}
		var err error
		if !l.Borrow() {
			t.Fatal("not lent")
		}
		if _, batch, retry, err = l.Lend(subj, "r", "", data); err != nil || retry != nil {
			t.Fatal(retry, err)
		}
		if batch == nil {
			l.Return(nil)
			until(t, "the writer is stuck", func() bool { return l.cfg.Outbox.Buffered() == 0 })
		}
		return batch != nil
	})
	return batch
}

// What the kernel does not take at once, the writer goes on with.
func TestLentPartly(t *testing.T) {
	l, out, srv := tcpLink(t)
	read := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(srv)
		read <- b
	}()
	data := bytes.Repeat([]byte("x"), 60_000)
	for range 20 {
		l.Return(lendUntil(t, l, "large", data))
	}
	until(t, "the rest does not leave", func() bool { return out.Counts().Buffered == 0 })
	_ = l.conn.(*net.TCPConn).CloseWrite()
	whole := "PUB large r 60000\r\n" + string(data) + "\r\n"
	if b := <-read; strings.Count(string(b), whole) < 20 || strings.Trim(strings.ReplaceAll(strings.ReplaceAll(string(b), whole, ""), wire.PingLine, ""), "") != "" {
		t.Errorf("%d whole requests of at least 20 in %d bytes", strings.Count(string(b), whole), len(b))
	}
}

// A peer that reads nothing holds no borrower, and the link's end decides about
// a whole batch: what left, what did not.
func TestLentToAStalledPeer(t *testing.T) {
	l, out, _ := tcpLink(t)
	data := bytes.Repeat([]byte("x"), 60_000)
	held := 0
	for ; held < 1000; held++ { // until the kernel is full
		if !l.Borrow() {
			t.Fatal("not lent")
		}
		_, batch, _, err := l.Lend("large", "r", "", data)
		if err != nil {
			t.Fatal(err)
		}
		l.Return(batch)
		if out.Buffered() > 1<<20 {
			break
		}
	}
	if held == 1000 {
		t.Fatal("the kernel is never full")
	}
	l.End(io.ErrClosedPipe)
	out.Halt(1)
	_ = l.Wait()
	if l.Borrow() {
		t.Error("lent after the end")
	}
	_, unknown := out.Detach(true, nil)
	if c := out.Counts(); c.Buffered == 0 || c.Unknown != unknown || c.Accepted != c.Buffered+c.Unknown {
		t.Errorf("%+v", c)
	}
}

// Links end at any moment of many borrowers.
func TestLentAtTheEnd(t *testing.T) {
	for range 30 {
		l, out, srv := tcpLink(t)
		go func() { _, _ = io.Copy(io.Discard, srv) }()
		var wg sync.WaitGroup
		started := make(chan struct{}, 4)
		for range 4 {
			wg.Go(func() {
				started <- struct{}{}
				for {
					var err error
					if l.Borrow() {
						var batch []byte
						_, batch, _, err = l.Lend("a", "r", "", []byte("x"))
						l.Return(batch)
					}
					select {
					case <-l.Ended():
						return
					default:
					}
					if err != nil {
						return
					}
				}
			})
		}
		for range 4 {
			<-started
		}
		l.End(io.ErrClosedPipe)
		out.Halt(1)
		_ = l.Wait()
		_, unknown := out.Detach(true, nil)
		if c := out.Counts(); c.InFlight != 0 || c.Unknown != unknown || c.Accepted != c.Buffered+c.Unknown+c.Confirmed {
			t.Fatalf("%+v, %d unknown", c, unknown)
		}
		wg.Wait()
	}
}

package natstest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

const (
	up   = natstest.ClientToServer
	down = natstest.ServerToClient
)

// pair is a connection through a proxy, seen from both ends.
type pair struct {
	client, server *net.TCPConn
}

// station is a listener behind a proxy.
type station struct {
	t     *testing.T
	l     net.Listener
	proxy *natstest.Proxy
}

func newStation(t *testing.T) *station {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &station{t: t, l: l, proxy: natstest.RunProxy(t, l.Addr().String())}
}

func (s *station) open() pair {
	s.t.Helper()
	client, err := net.Dial("tcp", s.proxy.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	server, err := s.l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		s.t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			s.t.Fatal(err)
		}
	}
	return pair{client.(*net.TCPConn), server.(*net.TCPConn)}
}

// establish makes sure that the proxy knows the connection.
func (s *station) establish(p pair) pair {
	s.t.Helper()
	s.send(p.server, "hello")
	s.receive(p.client, "hello")
	return p
}

func (s *station) send(conn net.Conn, text string) {
	s.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *station) receive(conn net.Conn, want string) {
	s.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		s.t.Fatalf("received %q, %v; want %q", got[:n], err, want)
	}
}

// silent makes sure that nothing arrives for a moment.
func (s *station) silent(conn net.Conn) {
	s.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	n, err := conn.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatalf("%d bytes, %v; want silence", n, err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
}

func TestProxyIsTransparent(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	sent := make(chan error, 2)
	go func() { _, err := p.client.Write(big); sent <- errors.Join(err, p.client.CloseWrite()) }()
	go func() { _, err := p.server.Write(big); sent <- errors.Join(err, p.server.CloseWrite()) }()
	for _, conn := range []net.Conn{p.server, p.client} {
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if err := errors.Join(<-sent, <-sent); err != nil {
		t.Error(err)
	}
	if got := s.proxy.Forwarded(natstest.Both); got != int64(2*len(big)) {
		t.Errorf("forwarded %d", got)
	}
	eventually(t, func() bool { return s.proxy.Connections() == 0 })
	if s.proxy.Accepted() != 1 {
		t.Errorf("accepted %d", s.proxy.Accepted())
	}
}

func TestProxyPassesAResetOn(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	s.send(p.client, "hi")
	s.receive(p.server, "hi")
	_ = p.server.SetLinger(0)
	p.server.Close()
	if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func TestProxyCutsAtExactBytes(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for n := range int64(9) {
		first := s.proxy.CutAfter(up, n)
		p := s.open()
		_, _ = io.WriteString(p.client, "12345678")
		<-first
		if got, err := io.ReadAll(p.server); int64(len(got)) != n {
			t.Errorf("cut after %d: %q, %v", n, got, err)
		}
	}
	s.send(s.establish(s.open()).client, "not cut")

	p := s.open()
	s.send(p.server, "before")
	s.receive(p.client, "before")
	cut := s.proxy.CutIn(down, 3)
	_, _ = io.WriteString(p.server, "after")
	<-cut
	if got, _ := io.ReadAll(p.client); string(got) != "aft" {
		t.Errorf("cut in 3 bytes: %q", got)
	}
	<-s.proxy.CutIn(natstest.Both, 0) // the one that was not cut
	eventually(t, func() bool { return s.proxy.Connections() == 0 })
}

func TestProxyCutNowAndWithReset(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p, q := s.establish(s.open()), s.establish(s.open())
	s.proxy.CutNow()
	if n := s.proxy.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
	for _, conn := range []net.Conn{p.client, q.server} {
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	}
	s.proxy.CutWithReset(true)
	r := s.establish(s.open())
	s.proxy.CutNow()
	for _, conn := range []net.Conn{r.client, r.server} {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}
}

func TestProxyStallIsDeafOneWayOnly(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	s.proxy.Stall(up)
	s.send(p.client, "held")
	s.silent(p.server)
	s.send(p.server, "passes")
	s.receive(p.client, "passes")
	if n := s.proxy.Forwarded(up); n != 0 {
		t.Errorf("forwarded %d", n)
	}
	s.proxy.Resume(up)
	s.receive(p.server, "held")

	// The sender's buffers fill, because nobody reads.
	s.proxy.Stall(down)
	_ = p.server.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	var wrote int64
	for {
		n, err := p.server.Write(make([]byte, 1<<20))
		wrote += int64(n)
		if err != nil {
			break
		}
		if wrote > 1<<30 {
			t.Fatal("a stalled direction takes everything")
		}
	}
	s.proxy.Resume(down)
	if _, err := io.CopyN(io.Discard, p.client, wrote); err != nil {
		t.Error(err)
	}

	// A stalled link can still be cut, and one made meanwhile is deaf as well.
	s.proxy.Stall(up)
	q := s.establish(s.open())
	s.send(q.client, "x")
	s.silent(q.server)
	<-s.proxy.CutIn(up, 0)
}

// TestProxyStallDuringTransfer stalls and resumes while bytes flow: none is lost
// and none is counted wrongly.
func TestProxyStallDuringTransfer(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	s.proxy.Record(up)
	const size = 8 << 20
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i * 7 >> 3)
	}
	go func() { _, _ = p.client.Write(sent); _ = p.client.CloseWrite() }()
	var received atomic.Int64
	var got bytes.Buffer
	end := make(chan error, 1)
	go func() {
		buf := make([]byte, 10000)
		for {
			n, err := p.server.Read(buf)
			got.Write(buf[:n])
			received.Add(int64(n))
			if err != nil {
				end <- err
				return
			}
		}
	}()
	for range 20 {
		s.proxy.Stall(up)
		n := s.proxy.Forwarded(up)
		eventually(t, func() bool { return received.Load() == n })
		s.proxy.Resume(up)
	}
	if err := <-end; err != io.EOF {
		t.Error(err)
	}
	if !bytes.Equal(got.Bytes(), sent) || !bytes.Equal(s.proxy.Recorded(up), sent) {
		t.Errorf("%d bytes received, %d recorded, %d sent", got.Len(), len(s.proxy.Recorded(up)), size)
	}
}

func TestProxyHalfClose(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	s.send(p.client, "said")
	s.receive(p.server, "said")
	s.proxy.HalfClose(up)
	if _, err := p.server.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	s.send(p.client, "to nobody")
	s.send(p.server, "still there")
	s.receive(p.client, "still there")
	if n := s.proxy.Forwarded(up); n != 4 {
		t.Errorf("forwarded %d", n)
	}
}

func TestProxyRefuseRejectAndSetUpstream(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	if err := s.proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", s.proxy.Addr()); err == nil {
		conn.Close()
		t.Error("connected to a proxy that refuses")
	}
	s.send(p.client, "goes on")
	s.receive(p.server, "goes on")
	if err := s.proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	s.open()

	s.proxy.Reject(true)
	conn, err := net.Dial("tcp", s.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	s.proxy.Reject(false)

	srv := natstest.Run(t)
	if err := s.proxy.SetUpstream(srv.URL()); err != nil {
		t.Fatal(err)
	}
	if got := connect(t, s.proxy.Addr()).info.ID; got != srv.ID() {
		t.Errorf("server %s", got)
	}
	if err := s.proxy.SetUpstream("nowhere"); err == nil {
		t.Error("SetUpstream takes anything")
	}
}

func TestProxyDelayAndThrottle(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.open()
	const delay = 60 * time.Millisecond
	s.proxy.Delay(up, delay)
	start := time.Now()
	for _, word := range []string{"one", "two"} {
		s.send(p.client, word)
	}
	s.receive(p.server, "onetwo")
	if took := time.Since(start); took < delay {
		t.Errorf("took %v with a delay of %v", took, delay)
	}
	s.proxy.Delay(up, 0)

	s.proxy.Throttle(down, 10_000)
	start = time.Now()
	s.send(p.server, string(make([]byte, 1000)))
	s.receive(p.client, string(make([]byte, 1000)))
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("1000 bytes at 10000 per second took %v", took)
	}
}

func TestProxyHeal(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	p := s.establish(s.open())
	s.proxy.Stall(natstest.Both)
	s.proxy.Delay(natstest.Both, time.Hour)
	s.proxy.Throttle(natstest.Both, 1)
	s.proxy.CutIn(up, 3)
	s.proxy.CutAfter(down, 0)
	s.proxy.Reject(true)
	if err := errors.Join(s.proxy.Refuse(true), s.proxy.Heal()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []pair{p, s.open()} {
		s.send(q.client, "all is well")
		s.receive(q.server, "all is well")
		s.send(q.server, "here too")
		s.receive(q.client, "here too")
	}
}

func TestProxyRecordsWhatAServerHears(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t)
	proxy := natstest.RunProxy(t, srv.URL())
	if want := "nats://" + proxy.Addr(); proxy.URL() != want {
		t.Errorf("URL %s", proxy.URL())
	}
	p := connect(t, proxy.Addr())
	proxy.Record(up)
	p.say("PUB x 2\r\nhi\r\n")
	p.ping()
	if got := string(proxy.Recorded(up)); got != "PUB x 2\r\nhi\r\nPING\r\n" {
		t.Errorf("recorded %q", got)
	}
	if proxy.Recorded(natstest.Both) != nil {
		t.Error("Both is recorded")
	}
}

func TestProxyWithoutUpstreamClosesConnections(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.l.Close()
	conn, err := net.Dial("tcp", s.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}

	proxy, err := natstest.StartProxy("nats://user:secret@" + s.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	proxy.Stop()
	proxy.Stop()
	if err := proxy.Refuse(false); !errors.Is(err, natstest.ErrStopped) {
		t.Error(err)
	}
	if _, err := natstest.StartProxy("nats://user:secret@ x"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

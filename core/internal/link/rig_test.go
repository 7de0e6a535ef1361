package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/leakcheck"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/simnet"
	"github.com/perigee-go/nats/core/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

const infoDoc = `{"server_id":"N","max_payload":1048576,"headers":true,"connect_urls":["a:1"]}`
const infoLine = "INFO " + infoDoc + " \r\n"
const infoTLS = `INFO {"server_id":"N","tls_required":true,"host":"evil","port":1,"connect_urls":["evil:1"],"ws_connect_urls":["evil:2"]} ` + "\r\n"

// sink writes down what a link tells it.
type sink struct {
	mu     sync.Mutex
	events []string
	open   [][2][]byte // messages since the last Batch: where they lie, what they were

	onBatch func()
	reason  func(text string) error
	large   int
	asked   int // calls of Room
	extra   int // the answer of the last one
}

func show(b []byte, f *wire.Frame) string {
	body := b[f.Body : f.Body+f.Size]
	return fmt.Sprintf("MSG %s %d %s %q %s", b[f.Subject:f.Subject+f.SubjectLen], f.SID, b[f.Reply:f.Reply+f.ReplyLen],
		body[:f.HeaderLen], digest(body[f.HeaderLen:]))
}

func digest(b []byte) string {
	if len(b) <= 100 {
		return string(b)
	}
	sum := uint32(0)
	for _, c := range b {
		sum = sum*31 + uint32(c)
	}
	return fmt.Sprintf("%d bytes %08x", len(b), sum)
}

func (s *sink) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *sink) Message(buf []byte, pos int, f *wire.Frame) {
	frame := buf[pos : pos+f.Len]
	s.open = append(s.open, [2][]byte{frame, bytes.Clone(frame)})
	s.add("%s", show(buf[pos:], f))
}

func (s *sink) Batch(buf []byte) {
	if len(s.open) == 0 {
		s.add("an empty batch")
	}
	for _, m := range s.open {
		if !bytes.Equal(m[0], m[1]) {
			s.add("the bytes changed before Batch")
		}
		if &buf[0] != &m[0][:1][0] && cap(m[0]) > cap(buf) {
			s.add("another buffer")
		}
	}
	s.open = nil
	if s.onBatch != nil {
		s.onBatch()
	}
}

// Room takes every second large message on the usual way.
func (s *sink) Room(buf []byte, pos int, f *wire.Frame) (extra int, own bool) {
	s.asked++
	s.extra = s.asked % 3 * 20
	return s.extra, s.asked%4 != 0
}

func (s *sink) Large(line, body []byte, f *wire.Frame) {
	s.large++
	if len(line) != f.Body || len(body) != f.Size+s.extra {
		s.add("a line of %d bytes, a body of %d", len(line), len(body))
	}
	s.add("%s", show(append(bytes.Clone(line), body[:f.Size]...), f))
}

func (s *sink) Info(info *wire.Info) { s.add("INFO %s %v", info.ID, info.ConnectURLs) }

func (s *sink) ServerError(text string) error {
	s.add("-ERR %s", text)
	if s.reason != nil {
		return s.reason(text)
	}
	return nil
}

func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.events
	s.events = nil
	return e
}

// server is the other end.
type server struct {
	t    *testing.T
	sim  *simnet.Conn
	conn net.Conn // sim, or TLS over it
	r    *bufio.Reader
	raw  recorder
}

// recorder keeps all bytes that came in clear.
type recorder struct {
	io.Reader
	seen bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.seen.Write(b[:n])
	return n, err
}

func (s *server) send(text string) { _, _ = io.WriteString(s.conn, text) }

// line reads one line; an empty one is the end.
func (s *server) line() string {
	l, _ := s.r.ReadString('\n')
	return strings.TrimRight(l, "\r\n")
}

// greet does the usual handshake.
func (s *server) greet() {
	s.send(infoLine)
	s.await("PING")
	s.send("PONG\r\n")
}

func (s *server) await(line string) {
	for {
		switch l := s.line(); l {
		case line:
			return
		case "":
			return
		}
	}
}

func (s *server) startTLS(names ...string) error {
	ca, cfg := authority()
	_ = ca
	c := tls.Server(s.sim, cfg)
	if err := c.Handshake(); err != nil {
		return err
	}
	s.conn, s.r = c, bufio.NewReader(c)
	return nil
}

var authority = sync.OnceValues(func() (*fakeserver.CA, *tls.Config) {
	ca, err := fakeserver.NewCA()
	if err != nil {
		panic(err)
	}
	cfg, err := ca.Server("sim")
	if err != nil {
		panic(err)
	}
	return ca, cfg
})

func clientTLS() (*tls.Config, error) {
	ca, _ := authority()
	cfg := ca.Client()
	cfg.ServerName = "sim"
	return cfg, nil
}

// counted counts the writes.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// rig is a link and all around it, inside a bubble.
type rig struct {
	t    *testing.T
	sim  *simnet.Conn
	conn *counted
	srv  *server
	sink *sink
	out  *outbox.Outbox
	cfg  Config
	l    *Link
	took time.Duration // of Open
}

func newRig(t *testing.T) *rig {
	client, srv := simnet.PipeSize(64 << 10)
	r := &rig{t: t, sim: client, conn: &counted{Conn: client}, sink: &sink{}}
	r.srv = &server{t: t, sim: srv, conn: srv}
	r.srv.raw.Reader = srv
	r.srv.r = bufio.NewReader(&r.srv.raw)
	r.out = outbox.New(outbox.Config{Limit: 8 << 20, DownLimit: 8 << 20})
	r.cfg = Config{
		Outbox: r.out, Sink: r.sink,
		KeepAlive:    keepalive.Config{Interval: 10 * time.Second, MaxOutstanding: 2},
		WriteTimeout: 10 * time.Second,
		TLSConfig:    clientTLS,
		Connect:      func(*wire.Info, bool) ([]byte, error) { return []byte(`{"verbose":false}`), nil },
	}
	return r
}

// open runs a script on the server's side and the handshake on the client's.
func (r *rig) open(script func(s *server)) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		script(r.srv)
	}()
	start := time.Now()
	l, err := Open(ctx, r.conn, r.cfg)
	r.l, r.took = l, time.Since(start)
	if err != nil {
		if _, werr := r.sim.Write([]byte("x")); !errors.Is(werr, net.ErrClosed) {
			r.t.Errorf("the connection of a failed handshake is open: %v", werr)
		}
	}
	<-done
	return err
}

// start opens and starts a link with a live outbox.
func (r *rig) start() {
	r.t.Helper()
	if err := r.open((*server).greet); err != nil {
		r.t.Fatal(err)
	}
	r.out.Attach(1, nil, nil)
	r.l.Start(1)
	r.out.Open(1)
	r.conn.writes.Store(0)
}

// live runs f with a running link in a bubble and ends everything.
func live(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		f(t, r)
		r.l.End(io.ErrClosedPipe)
		_ = r.l.Wait()
		_ = r.srv.sim.Close()
	})
}

// reason waits for the end.
func (r *rig) reason() error {
	r.t.Helper()
	select {
	case <-r.l.Ended():
	case <-time.After(10 * time.Minute):
		r.t.Fatal("the link does not end")
	}
	r.out.Halt(1)
	return r.l.Wait()
}

func (r *rig) publish(subject, data string) {
	r.t.Helper()
	retry, err := r.out.Publish(subject, "", "", []byte(data))
	if retry != nil || err != nil {
		r.t.Fatal(retry != nil, err)
	}
}

func failTLS(err error) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return nil, err }
}

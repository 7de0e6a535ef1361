package fakeserver

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Op is one operation that a client sent.
type Op struct {
	Peer    *Peer
	Name    string // in capitals; HPUB is a PUB with a Header
	Line    string // the control line, as it came, without CR LF
	Subject string
	Queue   string
	Reply   string
	SID     uint64
	Max     uint64
	Header  string
	Data    []byte
}

// String is the control line and the payload.
func (o Op) String() string {
	if o.Name == "PUB" {
		return fmt.Sprintf("%s %q", o.Line, o.Header+string(o.Data))
	}
	return o.Line
}

// Sub is one subscription of a peer.
type Sub struct {
	Subject, Queue string
	SID            uint64
	Max            uint64 // total, as UNSUB said; 0: none
	Delivered      uint64
}

// Peer is the server's end of one connection.
type Peer struct {
	Server *Server

	raw  *conn
	conn net.Conn // raw, or TLS over it
	in   *bufio.Reader
	done chan struct{}

	mu       sync.Mutex // guards all below
	doc      map[string]any
	received []byte
	reads    int
	subs     []*Sub
	request  *http.Request
	ws       *wsConn

	out sync.Mutex // held while something is sent
}

func (s *Server) accept(c *conn) {
	p := &Peer{Server: s, raw: c, conn: c, done: make(chan struct{})}
	p.in = bufio.NewReaderSize(recorder{p}, 64<<10)
	s.mu.Lock()
	s.peers = append(s.peers, p)
	script := s.script
	s.mu.Unlock()
	go func() {
		defer close(p.done)
		defer func() { _ = p.conn.Close() }()
		if script != nil {
			script(p)
			return
		}
		p.Serve()
	}()
}

// recorder keeps what was read in clear, that is inside TLS.
type recorder struct{ p *Peer }

func (r recorder) Read(b []byte) (int, error) {
	n, err := r.p.conn.Read(b)
	r.p.mu.Lock()
	r.p.received = append(r.p.received, b[:n]...)
	r.p.reads++
	r.p.mu.Unlock()
	return n, err
}

// Raw is every byte received, inside TLS if there is any.
func (p *Peer) Raw() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.received)
}

// Doc is the client's CONNECT, nil before it came.
func (p *Peer) Doc() map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doc
}

func (p *Peer) flag(name string) (value, ok bool) {
	value, ok = p.Doc()[name].(bool)
	return value, ok
}

// Reads is how many reads Raw took.
func (p *Peer) Reads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads
}

// Done is closed when the connection has ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Open reports whether the connection still is.
func (p *Peer) Open() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Subs lists the peer's subscriptions.
func (p *Peer) Subs() []Sub {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Sub
	for _, s := range p.subs {
		out = append(out, *s)
	}
	return out
}

// SID is that of the peer's first subscription to subject; 0: there is none.
func (p *Peer) SID(subject string) uint64 {
	for _, s := range p.Subs() {
		if s.Subject == subject {
			return s.SID
		}
	}
	return 0
}

// Send writes text to the client. It reports whether it could.
func (p *Peer) Send(text string) bool {
	p.out.Lock()
	defer p.out.Unlock()
	_, err := io.WriteString(p.conn, text)
	return err == nil
}

// Sendf is Send with a format.
func (p *Peer) Sendf(format string, args ...any) { p.Send(fmt.Sprintf(format, args...)) }

// Err sends an -ERR.
func (p *Peer) Err(text string) { p.Sendf("-ERR '%s'\r\n", text) }

// Msg sends a message for the peer's subscription sid.
func (p *Peer) Msg(subject string, sid uint64, reply, header, data string) {
	p.Send(Frame(subject, sid, reply, header, data))
}

// Frame renders MSG, or HMSG if header, a whole block, is not empty.
func Frame(subject string, sid uint64, reply, header, data string) string {
	name, sizes := "MSG", strconv.Itoa(len(data))
	if header != "" {
		name, sizes = "HMSG", fmt.Sprintf("%d %d", len(header), len(header)+len(data))
	}
	if reply != "" {
		reply += " "
	}
	return fmt.Sprintf("%s %s %d %s%s\r\n%s%s\r\n", name, subject, sid, reply, sizes, header, data)
}

// SendInfo sends INFO with the server's fields and those of extra.
func (p *Peer) SendInfo(extra map[string]any) {
	p.Server.mu.Lock()
	info := make(map[string]any)
	for k, v := range p.Server.info {
		info[k] = v
	}
	p.Server.mu.Unlock()
	for k, v := range extra {
		info[k] = v
	}
	doc, err := json.Marshal(info)
	if err != nil {
		doc = []byte(err.Error())
	}
	p.Sendf("INFO %s \r\n", doc)
}

// Close ends the connection as a server does: what was sent arrives.
func (p *Peer) Close() { _ = p.raw.Close() }

// Cut ends the connection at once.
func (p *Peer) Cut() { p.raw.reset() }

// CutAfter lets n more bytes of the client through, then the connection breaks:
// the write that goes beyond fails after those. With swallow it succeeds, and
// the bytes are lost.
func (p *Peer) CutAfter(n int, swallow bool) {
	p.raw.in.update(func() {
		p.raw.in.cut, p.raw.in.swallow = n, swallow
		p.raw.in.onCut = p.raw.reset
	})
}

// StallReads makes the server take no bytes: the client's writes block when the
// connection's capacity is used up.
func (p *Peer) StallReads(on bool) { p.raw.in.update(func() { p.raw.in.frozen = on }) }

// StallWrites keeps what the server sends from arriving.
func (p *Peer) StallWrites(on bool) { p.raw.out.update(func() { p.raw.out.frozen = on }) }

// StartTLS lays TLS over the connection.
func (p *Peer) StartTLS(cfg *tls.Config) error {
	c := tls.Server(bufferedConn{p.raw, p.in}, cfg)
	if err := c.Handshake(); err != nil {
		return err
	}
	p.out.Lock()
	p.conn = c
	p.out.Unlock()
	p.in = bufio.NewReaderSize(recorder{p}, 64<<10)
	p.mu.Lock()
	p.received = nil
	p.mu.Unlock()
	return nil
}

// bufferedConn reads what a bufio.Reader holds already.
type bufferedConn struct {
	net.Conn
	in *bufio.Reader
}

func (c bufferedConn) Read(b []byte) (int, error) {
	if c.in.Buffered() > 0 {
		return c.in.Read(b)
	}
	return c.Conn.Read(b)
}

// ErrTooLarge is what NextUnless found.
var ErrTooLarge = errors.New("fakeserver: payload is too large")

// NextUnless is Next, but fails as soon as a control line announces more than
// max bytes.
func (p *Peer) NextUnless(max int) (*Op, error) {
	line, err := p.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	f := strings.Fields(line)
	if strings.HasSuffix(f[0], "PUB") && atoi(f[len(f)-1]) > max {
		return nil, ErrTooLarge
	}
	return p.record(line)
}

// Next reads one operation and records it.
func (p *Peer) Next() (*Op, error) {
	line, err := p.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	return p.record(line)
}

func (p *Peer) record(line string) (*Op, error) {
	o, err := p.parse(line)
	if err != nil {
		return nil, err
	}
	p.Server.mu.Lock()
	p.Server.ops = append(p.Server.ops, *o)
	p.Server.mu.Unlock()
	return o, nil
}

var errSyntax = errors.New("fakeserver: the client broke the protocol")

func (p *Peer) parse(line string) (*Op, error) {
	if !strings.HasSuffix(line, "\r\n") {
		return nil, errSyntax
	}
	o := &Op{Peer: p, Line: strings.TrimSuffix(line, "\r\n")}
	name, rest, _ := strings.Cut(o.Line, " ")
	o.Name = strings.ToUpper(name)
	args := strings.Fields(rest)
	num := func(i int) uint64 {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	switch {
	case o.Name == "CONNECT":
		var doc map[string]any
		if err := json.Unmarshal([]byte(rest), &doc); err != nil {
			return nil, errSyntax
		}
		p.mu.Lock()
		p.doc = doc
		p.mu.Unlock()
	case o.Name == "SUB" && (len(args) == 2 || len(args) == 3):
		o.Subject, o.SID = args[0], num(len(args)-1)
		if len(args) == 3 {
			o.Queue = args[1]
		}
	case o.Name == "UNSUB" && (len(args) == 1 || len(args) == 2):
		o.SID = num(0)
		if len(args) == 2 {
			o.Max = num(1)
		}
	case o.Name == "PUB" && (len(args) == 2 || len(args) == 3),
		o.Name == "HPUB" && (len(args) == 3 || len(args) == 4):
		o.Subject = args[0]
		hlen, size := 0, int(num(len(args)-1))
		numbers := 1
		if o.Name == "HPUB" {
			hlen = int(num(len(args) - 2))
			numbers = 2
		}
		if len(args) == 2+numbers {
			o.Reply = args[1]
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(p.in, b); err != nil {
			return nil, err
		}
		if string(b[size:]) != "\r\n" || hlen > size {
			return nil, errSyntax
		}
		o.Name, o.Header, o.Data = "PUB", string(b[:hlen]), b[hlen:size]
	case (o.Name == "PING" || o.Name == "PONG") && rest == "":
	default:
		return nil, errSyntax
	}
	return o, nil
}

// Expect reads operations until one of that name.
func (p *Peer) Expect(name string) (*Op, error) {
	for {
		o, err := p.Next()
		if err != nil || o.Name == name {
			return o, err
		}
	}
}

func (p *Peer) addSub(s *Sub) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.subs {
		if o.SID == s.SID {
			return // a server ignores it silently
		}
	}
	p.subs = append(p.subs, s)
}

// RemoveSub ends a subscription, as a refusal by the server does.
func (p *Peer) RemoveSub(sid uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subs = slices.DeleteFunc(p.subs, func(s *Sub) bool { return s.SID == sid })
}

func (p *Peer) limitSub(sid, max uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subs = slices.DeleteFunc(p.subs, func(s *Sub) bool {
		if s.SID != sid {
			return false
		}
		s.Max = max
		return max == 0 || s.Delivered >= max
	})
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

package sim

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/wire"
)

// Cluster is model servers that share subjects, without a delay between them.
type Cluster struct {
	Servers []*Server
	// Published is told of each whole message that reached a server.
	Published func(p *Peer, m *Message)
	// Routed is told of each message of a consumer that leaves for a peer.
	Routed func(p *Peer, m *Message)
	// NoJetStream says that it is off.
	NoJetStream bool

	w         *World
	conns     int
	consumers []*Consumer
}

// Message is one that a client published, or a consumer sends.
type Message struct {
	Subject, Reply, Header string
	Data                   []byte
	To                     string // where it goes, if not to Subject
}

// DenyPrefix starts the subjects that nobody may publish or subscribe to.
const DenyPrefix = "deny."

// NewCluster makes n servers.
func NewCluster(w *World, n int) *Cluster {
	c := &Cluster{w: w}
	for range n {
		c.Join()
	}
	return c
}

// Join adds a server; the others tell their clients.
func (c *Cluster) Join() *Server {
	s := &Server{c: c, ID: len(c.Servers), Up: true, MaxPayload: 1 << 20}
	s.Address = "s" + strconv.Itoa(s.ID) + ":4222"
	c.Servers = append(c.Servers, s)
	c.announce()
	return s
}

// Leave takes a server out for good, and its connections with it.
func (c *Cluster) Leave(s *Server) {
	s.Gone = true
	s.Stop()
	c.announce()
}

func (c *Cluster) announce() {
	for _, s := range c.Servers {
		for _, p := range s.peers {
			p.sendInfo()
		}
	}
}

// Addresses are those that INFO names.
func (c *Cluster) Addresses() (all []string) {
	for _, s := range c.Servers {
		if !s.Gone && !s.LameDuck {
			all = append(all, s.Address)
		}
	}
	return all
}

// Find returns the server of an address, or nil.
func (c *Cluster) Find(address string) *Server {
	for _, s := range c.Servers {
		if s.Address == address {
			return s
		}
	}
	return nil
}

// Dial connects who. done is told, unless the server is a black hole.
func (c *Cluster) Dial(address string, who int, done func(*Peer, error)) {
	s := c.Find(address)
	latency := c.w.Between(50*time.Microsecond, 3*time.Millisecond)
	if s != nil && s.Hole {
		return
	}
	c.w.After(2*latency, func() {
		if s == nil || !s.Up || s.Refuse {
			done(nil, ErrRefused)
			return
		}
		c.conns++
		conn := NewConn(c.w, c.conns, latency)
		p := &Peer{Server: s, Conn: conn, Who: who}
		s.peers = append(s.peers, p)
		conn.Up.Receive = p.receive
		conn.Up.Closed = func(error) { p.gone() }
		conn.Down.Writable = p.flush
		wait := s.SlowInfo
		if wait > 0 {
			c.w.After(wait, p.sendInfo)
		} else {
			p.sendInfo()
		}
		done(p, nil)
	})
}

// Deliver routes a message to whoever is subscribed, and returns how many get it.
func (c *Cluster) Deliver(m *Message) (n int) {
	type target struct {
		p *Peer
		s *Sub
	}
	var plain []target
	var groups []string
	to := cmp.Or(m.To, m.Subject)
	members := make(map[string][]target) // looked up only, never ranged over
	for _, srv := range c.Servers {
		for _, p := range srv.peers {
			for _, s := range p.subs {
				if !subject.Match(s.Subject, to) {
					continue
				}
				if s.Queue == "" {
					plain = append(plain, target{p, s})
					continue
				}
				if members[s.Queue] == nil {
					groups = append(groups, s.Queue)
				}
				members[s.Queue] = append(members[s.Queue], target{p, s})
			}
		}
	}
	for _, g := range groups {
		plain = append(plain, members[g][c.w.rng.IntN(len(members[g]))])
	}
	for _, t := range plain {
		if m.To != "" && m.Reply != "" && c.Routed != nil {
			c.Routed(t.p, m)
		}
		t.p.deliver(t.s, m)
	}
	return len(plain)
}

// Server is one model server and the trouble it has.
type Server struct {
	ID         int
	Address    string
	MaxPayload int64

	Up         bool
	Gone       bool          // it left the cluster
	Refuse     bool          // dials
	Hole       bool          // dials get no answer
	AuthRefuse bool          // credentials
	SlowInfo   time.Duration // how long INFO takes
	Mute       bool          // it answers no PING after the first of a connection
	HangUp     bool          // it answers the second one and closes
	LameDuck   bool

	c     *Cluster
	peers []*Peer
}

// Peers are the server's connections.
func (s *Server) Peers() []*Peer { return s.peers }

// Stop ends all connections and takes no more.
func (s *Server) Stop() {
	s.Up = false
	s.c.serverChanged(s)
	for _, p := range slices.Clone(s.peers) {
		if s.c.w.Chance(2) {
			p.Conn.Reset()
			p.gone()
		} else {
			p.Close()
		}
	}
}

// Start takes connections again.
func (s *Server) Start() {
	s.Up, s.LameDuck = !s.Gone, false
	s.c.serverChanged(s)
}

// EnterLameDuck asks clients to leave, and closes the connections of those that
// did not within grace.
func (s *Server) EnterLameDuck(grace time.Duration) {
	s.LameDuck, s.Refuse = true, true
	s.c.announce()
	s.c.w.After(grace, func() {
		s.Refuse = false
		if s.LameDuck {
			s.Stop()
		}
	})
}

func (s *Server) info() []byte {
	b := []byte(`INFO {"server_id":"S` + strconv.Itoa(s.ID) + `","version":"2.15.2","proto":1,"headers":true,"max_payload":`)
	b = strconv.AppendInt(b, s.MaxPayload, 10)
	b = append(b, `,"connect_urls":[`...)
	for i, a := range s.c.Addresses() {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, a)
	}
	b = append(b, ']')
	if s.LameDuck {
		b = append(b, `,"ldm":true`...)
	}
	return append(b, "}\r\n"...)
}

// Sub is a subscription as the server knows it.
type Sub struct {
	Subject, Queue string
	SID            uint64
	Max, Delivered uint64
}

// Peer is one connection as its server sees it.
type Peer struct {
	Server *Server
	Conn   *Conn
	Who    int // the client
	// Left is set by the client when it has done with the connection: what
	// arrives after that is late.
	Left bool

	greeted, connected, closed bool

	pings int

	in, out []byte
	flushes bool
	subs    []*Sub
}

// Subs are its subscriptions in the order in which they were made.
func (p *Peer) Subs() []*Sub { return p.subs }

// Connected reports whether CONNECT was accepted.
func (p *Peer) Connected() bool { return p.connected && !p.closed }

func (p *Peer) gone() {
	if p.closed {
		return
	}
	p.closed = true
	p.subs = nil
	p.Conn.Down.Close()
	if i := slices.Index(p.Server.peers, p); i >= 0 {
		p.Server.peers = slices.Delete(p.Server.peers, i, i+1)
	}
}

// Close ends the connection behind what was sent.
func (p *Peer) Close() {
	if p.closed {
		return
	}
	p.flush()
	p.Conn.Up.Break(ErrReset)
	p.gone()
}

// Send sends bytes, some of them together.
func (p *Peer) Send(b ...byte) {
	if p.closed {
		return
	}
	p.out = append(p.out, b...)
	if !p.flushes {
		p.flushes = true
		p.Server.c.w.After(p.Server.c.w.Between(0, 50*time.Microsecond), p.flush)
	}
}

func (p *Peer) send(s string) { p.Send([]byte(s)...) }

func (p *Peer) flush() {
	p.flushes = false
	n, err := p.Conn.Down.Write(p.out)
	if p.out = p.out[n:]; err != nil || len(p.out) == 0 {
		p.out = nil
	}
}

// Err sends an -ERR.
func (p *Peer) Err(text string) { p.send("-ERR '" + text + "'\r\n") }

func (p *Peer) sendInfo() {
	if !p.greeted || p.connected {
		p.greeted = true
		p.Send(p.Server.info()...)
	}
}

func (p *Peer) deliver(s *Sub, m *Message) {
	s.Delivered++
	if s.Max > 0 && s.Delivered >= s.Max {
		p.remove(s)
	}
	op := "MSG "
	if m.Header != "" {
		op = "HMSG "
	}
	b := append([]byte(op), m.Subject...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, s.SID, 10)
	b = append(b, ' ')
	if m.Reply != "" {
		b = append(b, m.Reply...)
		b = append(b, ' ')
	}
	if m.Header != "" {
		b = strconv.AppendInt(b, int64(len(m.Header)), 10)
		b = append(b, ' ')
	}
	b = strconv.AppendInt(b, int64(len(m.Header)+len(m.Data)), 10)
	b = append(b, "\r\n"...)
	b = append(b, m.Header...)
	b = append(b, m.Data...)
	p.Send(append(b, "\r\n"...)...)
}

func (p *Peer) remove(s *Sub) {
	if i := slices.Index(p.subs, s); i >= 0 {
		p.subs = slices.Delete(p.subs, i, i+1)
	}
}

// receive is bytes of the client.
func (p *Peer) receive(b []byte) {
	if p.closed {
		return
	}
	p.in = append(p.in, b...)
	for !p.closed && len(p.in) > 0 {
		kind, n := wire.ScanClient(p.in)
		if n == 0 {
			return
		}
		frame := p.in[:n]
		if kind == wire.ClientPub {
			p.publish(frame)
		} else {
			p.control(frame)
		}
		p.in = p.in[n:]
	}
	if len(p.in) == 0 {
		p.in = nil
	}
}

package fakeserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Net is a network of named hosts. It is a dialer.
type Net struct {
	mu    sync.Mutex
	hosts map[string]*Server
	dials []string
	n     int
}

// New makes a network without hosts.
func New() *Net { return &Net{hosts: make(map[string]*Server)} }

// One makes a network with one host, "server:4222".
func One() (*Net, *Server) {
	n := New()
	return n, n.Host("server:4222")
}

// Host makes a server that listens on address, host:port.
func (n *Net) Host(address string) *Server {
	s := &Server{
		net: n, address: address, capacity: 1 << 20,
		hooks: make(map[string]func(*Peer, *Op) bool),
	}
	s.info = map[string]any{
		"server_id": "ID-" + address, "server_name": address, "version": "2.15.2", "go": "go1.26", "proto": 1,
		"headers": true, "max_payload": 1 << 20, "jetstream": false,
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		s.info["host"] = host
		s.info["port"] = atoi(port)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[address] = s
	return s
}

// Dials lists the addresses that were dialed, in order.
func (n *Net) Dials() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

// DialContext connects to the host of that address.
func (n *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr(address), Err: err}
	}
	n.mu.Lock()
	n.dials = append(n.dials, address)
	s := n.hosts[address]
	n.n++
	client := fmt.Sprintf("client:%d", n.n)
	n.mu.Unlock()
	if s == nil {
		return fail(errors.New("no such host"))
	}
	s.mu.Lock()
	refuse, hang, delay, capacity := s.refuse, s.hang, s.delay, s.capacity
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
	switch {
	case hang:
		<-ctx.Done()
		return fail(ctx.Err())
	case refuse:
		return fail(syscall.ECONNREFUSED)
	case ctx.Err() != nil:
		return fail(ctx.Err())
	}
	c, sc := connect(client, address, capacity)
	s.accept(sc)
	return c, nil
}

// Server is one host. Methods may be called at any time.
type Server struct {
	net     *Net
	address string

	mu         sync.Mutex // guards all below
	info       map[string]any
	hooks      map[string]func(*Peer, *Op) bool
	script     func(*Peer)
	refuse     bool
	hang       bool
	delay      time.Duration
	capacity   int
	tls        *tls.Config
	tlsFirst   bool
	ws         bool
	wsCompress bool
	wsSplit    func([]byte) [][]byte
	peers      []*Peer
	ops        []Op
	turn       int // of queue groups
}

// Address is host:port.
func (s *Server) Address() string { return s.address }

// URL is its nats URL.
func (s *Server) URL() string { return "nats://" + s.address }

// SetInfo changes a field of INFO, for connections to come; nil removes it.
func (s *Server) SetInfo(field string, value any) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.info, field)
	} else {
		s.info[field] = value
	}
	return s
}

// On calls f for each operation of that name ("CONNECT", "SUB", "UNSUB", "PUB",
// "PING", "PONG") on the peer's goroutine, before the default behaviour, which
// is left out if f returns true. PUB includes HPUB. nil removes the hook.
func (s *Server) On(op string, f func(p *Peer, op *Op) bool) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		delete(s.hooks, op)
	} else {
		s.hooks[op] = f
	}
	return s
}

// Script replaces everything for connections to come: f has the connection from
// its first byte, which is closed when f returns. nil restores the broker.
func (s *Server) Script(f func(p *Peer)) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = f
	return s
}

// Refuse makes dials fail, or work again.
func (s *Server) Refuse(on bool) { s.set(func() { s.refuse = on }) }

// Hang makes dials wait for the end of their context.
func (s *Server) Hang(on bool) { s.set(func() { s.hang = on }) }

// Delay makes dials take that long.
func (s *Server) Delay(d time.Duration) { s.set(func() { s.delay = d }) }

// Capacity is what a client can write that the server has not read.
func (s *Server) Capacity(bytes int) { s.set(func() { s.capacity = bytes }) }

// TLS makes the server speak TLS, after INFO or, with first, before it.
func (s *Server) TLS(cfg *tls.Config, first bool) {
	s.set(func() { s.tls, s.tlsFirst = cfg, first })
	s.SetInfo("tls_required", true)
}

func (s *Server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Peers lists all connections, the oldest first.
func (s *Server) Peers() []*Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// Peer is the connection made last; nil without any.
func (s *Server) Peer() *Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.peers) == 0 {
		return nil
	}
	return s.peers[len(s.peers)-1]
}

// Stop cuts all connections and refuses new ones.
func (s *Server) Stop() {
	s.Refuse(true)
	for _, p := range s.Peers() {
		p.Cut()
	}
}

// Start accepts connections again.
func (s *Server) Start() { s.Refuse(false) }

// Ops lists all operations received on all connections; names picks some.
func (s *Server) Ops(names ...string) []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Op
	for _, o := range s.ops {
		if len(names) == 0 || slices.Contains(names, o.Name) {
			out = append(out, o)
		}
	}
	return out
}

// Payloads lists the payloads published to subject, on all connections.
func (s *Server) Payloads(subject string) []string {
	var out []string
	for _, o := range s.Ops("PUB") {
		if o.Subject == subject {
			out = append(out, string(o.Data))
		}
	}
	return out
}

// Broadcast sends text to all open connections.
func (s *Server) Broadcast(text string) {
	for _, p := range s.Peers() {
		p.Send(text)
	}
}

// Wait returns when all connections of all hosts have ended.
func (n *Net) Wait() {
	n.mu.Lock()
	var peers []*Peer
	for _, s := range n.hosts {
		peers = append(peers, s.Peers()...)
	}
	n.mu.Unlock()
	for _, p := range peers {
		<-p.Done()
	}
}

package fakeserver

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/perigee-go/nats/core/internal/subject"
)

// Serve is the default behaviour of a connection.
func (p *Peer) Serve() {
	if p.Greet() != nil {
		return
	}
	for {
		o, err := p.Next()
		if err != nil {
			if errors.Is(err, errSyntax) {
				p.Err("Unknown Protocol Operation")
			}
			return
		}
		p.Do(o)
	}
}

// Greet sends INFO and does TLS as the server is told to.
func (p *Peer) Greet() error {
	s := p.Server
	s.mu.Lock()
	cfg, first, ws := s.tls, s.tlsFirst, s.ws
	s.mu.Unlock()
	start := func(cfg *tls.Config) error {
		if cfg == nil {
			return nil
		}
		return p.StartTLS(cfg)
	}
	if ws {
		if err := start(cfg); err != nil {
			return err
		}
		if err := p.Upgrade(); err != nil {
			return err
		}
		p.SendInfo(nil)
		return nil
	}
	if first {
		if err := start(cfg); err != nil {
			return err
		}
		p.SendInfo(nil)
		return nil
	}
	p.SendInfo(nil)
	return start(cfg)
}

// Do deals with one operation: the hook, then the default.
func (p *Peer) Do(o *Op) {
	s := p.Server
	s.mu.Lock()
	hook := s.hooks[o.Name]
	s.mu.Unlock()
	if hook != nil && hook(p, o) {
		return
	}
	if v, ok := p.flag("verbose"); ok && v && o.Name != "PING" && o.Name != "PONG" {
		p.Send("+OK\r\n")
	}
	switch o.Name {
	case "PING":
		p.Send("PONG\r\n")
	case "SUB":
		p.addSub(&Sub{Subject: o.Subject, Queue: o.Queue, SID: o.SID})
	case "UNSUB":
		p.limitSub(o.SID, o.Max)
	case "PUB":
		if n := s.deliver(p, o.Subject, o.Reply, o.Header, string(o.Data)); n == 0 && o.Reply != "" {
			p.noResponders(o)
		}
	}
}

// Deliver routes a message as if another client had published it, and returns
// how many subscriptions got it.
func (s *Server) Deliver(subj, reply, header, data string) int {
	return s.deliver(nil, subj, reply, header, data)
}

func (s *Server) deliver(from *Peer, subj, reply, header, data string) int {
	type target struct {
		p   *Peer
		sid uint64
	}
	var plain []target
	groups := make(map[string][]target)
	var order []string
	for _, p := range s.Peers() {
		if !p.Open() {
			continue
		}
		if echo, ok := p.flag("echo"); p == from && ok && !echo {
			continue
		}
		for _, sub := range p.Subs() {
			if !subject.Match(sub.Subject, subj) {
				continue
			}
			t := target{p, sub.SID}
			if sub.Queue == "" {
				plain = append(plain, t)
				continue
			}
			if groups[sub.Queue] == nil {
				order = append(order, sub.Queue)
			}
			groups[sub.Queue] = append(groups[sub.Queue], t)
		}
	}
	for _, g := range order {
		s.mu.Lock()
		s.turn++
		turn := s.turn
		s.mu.Unlock()
		plain = append(plain, groups[g][turn%len(groups[g])])
	}
	n := 0
	for _, t := range plain {
		if t.p.count(t.sid) {
			t.p.Msg(subj, t.sid, reply, header, data)
			n++
		}
	}
	return n
}

// count counts a message for a subscription, which may end with it.
func (p *Peer) count(sid uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.subs {
		if s.SID != sid {
			continue
		}
		s.Delivered++
		if s.Max > 0 && s.Delivered >= s.Max {
			p.subs = append(p.subs[:i:i], p.subs[i+1:]...)
		}
		return true
	}
	return false
}

func (p *Peer) noResponders(o *Op) {
	if on, ok := p.flag("no_responders"); !ok || !on {
		return
	}
	for _, sub := range p.Subs() {
		if sub.Queue == "" && subject.Match(sub.Subject, o.Reply) && p.count(sub.SID) {
			p.Msg(o.Reply, sub.SID, "", fmt.Sprintf("NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", o.Subject), "")
			return
		}
	}
}

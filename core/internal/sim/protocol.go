package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/wire"
)

// control acts on a line that is no message. Any that a server would not take is
// a violation: a client that is right never sends one.
func (p *Peer) control(frame []byte) {
	w := p.Server.c.w
	if !bytes.HasSuffix(frame, []byte("\r\n")) {
		w.Fail("client %d sent a line without CR LF: %.80q", p.Who, frame)
		return
	}
	f := strings.Fields(string(frame))
	if len(f) == 0 || !p.connected && f[0] != "CONNECT" {
		w.Fail("client %d sent %.80q before CONNECT", p.Who, frame)
		return
	}
	switch f[0] {
	case "CONNECT":
		p.connect()
	case "PING":
		p.ping()
	case "PONG":
	case "SUB":
		p.subscribe(f[1:])
	case "UNSUB":
		p.unsubscribe(f[1:])
	default:
		w.Fail("client %d sent %.80q", p.Who, frame)
	}
}

func (p *Peer) ping() {
	p.pings++
	if p.Server.Mute && p.pings > 1 {
		return
	}
	p.send(wire.PongLine)
	if p.Server.HangUp && p.pings == 2 {
		p.Close()
	}
}

func (p *Peer) connect() {
	if p.connected {
		p.Server.c.w.Fail("client %d sent CONNECT twice", p.Who)
		return
	}
	if p.Server.AuthRefuse {
		p.Err("Authorization Violation")
		p.Close()
		return
	}
	p.connected = true
	if p.Server.c.w.Chance(2) { // as real ones do after the first PONG, or before
		p.sendInfo()
	}
}

func (p *Peer) subscribe(args []string) {
	w := p.Server.c.w
	s := &Sub{}
	switch len(args) {
	case 2:
		s.Subject = args[0]
	case 3:
		s.Subject, s.Queue = args[0], args[1]
	default:
		w.Fail("client %d sent SUB %q", p.Who, args)
		return
	}
	sid, err := strconv.ParseUint(args[len(args)-1], 10, 64)
	if err != nil || slices.ContainsFunc(p.subs, func(o *Sub) bool { return o.SID == sid }) {
		w.Fail("client %d subscribes with the id %s again", p.Who, args[len(args)-1])
		return
	}
	s.SID = sid
	if strings.HasPrefix(s.Subject, DenyPrefix) {
		text := fmt.Sprintf("Permissions Violation for Subscription to %q", s.Subject)
		if s.Queue != "" {
			text += fmt.Sprintf(" using queue %q", s.Queue)
		}
		p.Err(text + fmt.Sprintf(" (sid %q)", strconv.FormatUint(sid, 10)))
		return
	}
	p.subs = append(p.subs, s)
}

func (p *Peer) unsubscribe(args []string) {
	w := p.Server.c.w
	var n [2]uint64
	if len(args) < 1 || len(args) > 2 {
		w.Fail("client %d sent UNSUB %q", p.Who, args)
		return
	}
	for i, a := range args {
		v, err := strconv.ParseUint(a, 10, 64)
		if err != nil {
			w.Fail("client %d sent UNSUB %q", p.Who, args)
			return
		}
		n[i] = v
	}
	for _, s := range p.subs {
		if s.SID != n[0] {
			continue
		}
		if n[1] > s.Delivered {
			s.Max = n[1]
		} else {
			p.remove(s)
		}
		return
	}
}

// publish acts on a PUB or HPUB frame.
func (p *Peer) publish(frame []byte) {
	c := p.Server.c
	m, err := parsePub(frame)
	switch {
	case err != nil:
		c.w.Fail("client %d sent %.80q: %v", p.Who, frame, err)
		return
	case !p.connected:
		c.w.Fail("client %d publishes before CONNECT", p.Who)
		return
	case int64(len(m.Header)+len(m.Data)) > p.Server.MaxPayload:
		c.w.Fail("client %d published %d bytes, the server takes %d", p.Who, len(m.Data), p.Server.MaxPayload)
		return
	}
	if c.Published != nil {
		c.Published(p, m)
	}
	if strings.HasPrefix(m.Subject, DenyPrefix) {
		p.Err(fmt.Sprintf("Permissions Violation for Publish to %q", m.Subject))
		return
	}
	if c.serve(p, m) {
		return
	}
	if c.Deliver(m) == 0 && m.Reply != "" {
		p.noResponders(m)
	}
}

func (p *Peer) noResponders(m *Message) {
	for _, s := range p.subs {
		if s.Queue == "" && subject.Match(s.Subject, m.Reply) {
			p.deliver(s, &Message{Subject: m.Reply, Header: "NATS/1.0 503\r\nNats-Subject: " + m.Subject + "\r\n\r\n"})
			return
		}
	}
}

// parsePub reads a whole frame, with an eye of its own.
func parsePub(frame []byte) (*Message, error) {
	line, rest, _ := bytes.Cut(frame, []byte("\r\n"))
	f := strings.Fields(string(line))
	header := f[0] == "HPUB"
	numbers := 1
	if header {
		numbers = 2
	}
	if len(f) != 2+numbers && len(f) != 3+numbers {
		return nil, fmt.Errorf("%d arguments", len(f)-1)
	}
	m := &Message{Subject: f[1]}
	if len(f) == 3+numbers {
		m.Reply = f[2]
	}
	size, err := strconv.Atoi(f[len(f)-1])
	if err != nil {
		return nil, err
	}
	hlen := 0
	if header {
		if hlen, err = strconv.Atoi(f[len(f)-2]); err != nil {
			return nil, err
		}
	}
	if hlen > size || len(rest) != size+2 || string(rest[size:]) != "\r\n" {
		return nil, fmt.Errorf("sizes %d and %d, %d bytes", hlen, size, len(rest))
	}
	m.Header, m.Data = string(rest[:hlen]), bytes.Clone(rest[hlen:size])
	return m, nil
}

package reconnect

import (
	"net"
	"slices"
)

// maxDiscovered bounds how many servers INFO can add.
const maxDiscovered = 1024

// Pool is the set of known servers in the order of trying. The last one in use
// stands at the end.
type Pool struct {
	servers []*Server
	current *Server
}

// NewPool makes a pool of the servers in their order; equal addresses once.
func NewPool(servers []*Server) *Pool {
	p := new(Pool)
	for _, s := range servers {
		if p.find(s) == nil {
			p.servers = append(p.servers, s)
		}
	}
	return p
}

// Shuffle changes the order; swap is fed by the caller's randomness.
func (p *Pool) Shuffle(shuffle func(n int, swap func(i, j int))) {
	shuffle(len(p.servers), func(i, j int) { p.servers[i], p.servers[j] = p.servers[j], p.servers[i] })
}

// Servers returns the members in order; not to be changed.
func (p *Pool) Servers() []*Server { return p.servers }

// Current returns the server in use, or nil.
func (p *Pool) Current() *Server { return p.current }

// Find returns the member that s stands for, or nil. Without a query it may be
// one that has a query: those are not shown to anybody.
func (p *Pool) Find(s *Server) *Server {
	if found := p.find(s); found != nil {
		return found
	}
	for _, o := range p.servers {
		if o.same(s) && o.Path == s.Path && s.Query == "" {
			return o
		}
	}
	return nil
}

func (p *Pool) find(s *Server) *Server {
	for _, o := range p.servers {
		if o.equal(s) {
			return o
		}
	}
	return nil
}

// Replace makes servers the members. Those that stay keep their history.
func (p *Pool) Replace(servers []*Server) {
	next := NewPool(servers)
	for i, s := range next.servers {
		if old := p.find(s); old != nil {
			old.Discovered, old.Scheme, old.User, old.TLSName = false, s.Scheme, s.User, s.TLSName
			next.servers[i] = old
		}
	}
	p.servers = next.servers
}

// Discover replaces the discovered members by the addresses that INFO named.
// Members that the user named stay, and the one in use. An address that is no
// host:port is passed over. from is the server whose INFO it was: its scheme,
// user and demand for TLS are taken over, and its name if the address is a bare
// IP, which no certificate may have. If the pool is of the other kind by now,
// with or without WebSocket, the addresses are no use.
func (p *Pool) Discover(addresses []string, from *Server) (added, removed []*Server) {
	if len(p.servers) > 0 && p.servers[0].WebSocket() != from.WebSocket() {
		return nil, nil
	}
	var named []*Server
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || !validPort(port) || len(named) == maxDiscovered {
			continue
		}
		s := &Server{Scheme: from.Scheme, Host: host, Port: port, User: from.User, TLSName: host, Discovered: true, Upgraded: from.Upgraded}
		if net.ParseIP(host) != nil {
			s.TLSName = from.TLSName
		}
		named = append(named, s)
	}
	same := func(a *Server) func(*Server) bool {
		return func(b *Server) bool { return a.same(b) }
	}
	p.servers = slices.DeleteFunc(p.servers, func(s *Server) bool {
		gone := s.Discovered && s != p.current && !slices.ContainsFunc(named, same(s))
		if gone {
			removed = append(removed, s)
		}
		return gone
	})
	for _, s := range named {
		if !slices.ContainsFunc(p.servers, same(s)) {
			// New ones go before the server in use, which stays the last.
			at := len(p.servers)
			if at > 0 && p.servers[at-1] == p.current {
				at--
			}
			p.servers = slices.Insert(p.servers, at, s)
			added = append(added, s)
		}
	}
	return added, removed
}

// use makes s the server in use and the last to be tried again.
func (p *Pool) use(s *Server) {
	p.current = s
	if i := slices.Index(p.servers, s); i >= 0 {
		p.servers = append(slices.Delete(p.servers, i, i+1), s)
	}
}

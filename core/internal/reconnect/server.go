// Package reconnect decides which server a connection tries next, when, and
// when it gives up.
//
// The pool and the policy are pure: no I/O, no goroutine, no lock, no clock and
// no randomness of their own. A supervisor tells them what happened and does
// what they say.
package reconnect

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Server is one member of the pool. The pool owns it.
type Server struct {
	Scheme     string // nats, tls, ws or wss
	Host, Port string // Host without brackets
	Path       string // of a WebSocket, escaped; "" for none
	Query      string // of a WebSocket; may be a secret
	User       *url.Userinfo
	TLSName    string // the name its certificate must have
	Discovered bool   // named by INFO, not by the user
	Upgraded   bool   // it asked for TLS once, or the one that named it did

	Attempts int   // failed ones since the last success
	LastErr  error // of the last failed attempt

	refusals    int    // authentication refused in a row
	refusal     string // what it said
	sameRefusal int
	notBefore   time.Duration
}

// Address is host:port for a dialer.
func (s *Server) Address() string { return net.JoinHostPort(s.Host, s.Port) }

// URL is the address, with the path, without secrets.
func (s *Server) URL() string { return s.Scheme + "://" + s.Address() + s.Path }

// same reports whether two stand for one address. Host names know no case.
func (s *Server) same(o *Server) bool { return strings.EqualFold(s.Host, o.Host) && s.Port == o.Port }

// equal reports whether two are one: a gateway may lead to several servers.
func (s *Server) equal(o *Server) bool { return s.same(o) && s.Path == o.Path && s.Query == o.Query }

// Secure reports whether TLS is a must: the URL says so, or the server did once.
// Whoever stands on the path later could take the demand out of an INFO.
func (s *Server) Secure() bool { return s.Scheme == "tls" || s.Scheme == "wss" || s.Upgraded }

// WebSocket reports whether the server is reached through a WebSocket.
func (s *Server) WebSocket() bool { return s.Scheme == "ws" || s.Scheme == "wss" }

// HTTPHost is what HTTP calls the server.
func (s *Server) HTTPHost() string {
	if s.Port != defaultPorts[s.Scheme] {
		return s.Address()
	}
	if strings.Contains(s.Host, ":") {
		return "[" + s.Host + "]"
	}
	return s.Host
}

// Target is what HTTP asks for: path and query. A path that is not "" replaces
// the server's.
func (s *Server) Target(path string) string {
	if path == "" {
		path = s.Path
	}
	if path == "" {
		path = "/"
	}
	if s.Query != "" {
		path += "?" + s.Query
	}
	return path
}

// Mixed reports whether some of the servers, but not all, are WebSockets.
func Mixed(servers []*Server) bool {
	for _, s := range servers {
		if s.WebSocket() != servers[0].WebSocket() {
			return true
		}
	}
	return false
}

// defaultPorts of the schemes there are.
var defaultPorts = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}

// ParseURLs reads a comma-separated list.
func ParseURLs(list string) ([]*Server, error) {
	var out []*Server
	for s := range strings.SplitSeq(list, ",") {
		srv, err := ParseURL(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		out = append(out, srv)
	}
	return out, nil
}

// ParseURL reads one server URL: a scheme (nats by default), user info, host
// and port, and of a WebSocket path and query. Errors never quote what may be a
// secret.
func ParseURL(s string) (*Server, error) {
	shown := showHost(s)
	fail := func(problem string) (*Server, error) {
		return nil, errors.New(strconv.Quote(shown) + " " + problem)
	}
	if s == "" {
		return fail("is empty")
	}
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return fail("is not a URL")
	}
	srv := &Server{Scheme: u.Scheme, Host: u.Hostname(), Port: u.Port(), User: u.User, TLSName: u.Hostname()}
	standard, known := defaultPorts[u.Scheme]
	if !known {
		return fail("has a scheme that is none of nats, tls, ws and wss")
	}
	if u.Hostname() == "" {
		return fail("has no host")
	}
	if strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' {
		return fail("has more than one port, or an IPv6 address without brackets")
	}
	if u.Path != "/" {
		srv.Path = u.EscapedPath()
	}
	srv.Query = u.RawQuery
	if u.Fragment != "" || !srv.WebSocket() && srv.Path+srv.Query != "" {
		return fail("has more than a scheme, user, host and port")
	}
	if strings.ContainsFunc(srv.Query, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fail("has a query with spaces")
	}
	if srv.Port == "" {
		srv.Port = standard
	}
	if !validPort(srv.Port) {
		return fail("has an impossible port")
	}
	return srv, nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// showHost is what an error may show of a URL, however broken it is: what stands
// where host and port should. Behind a colon only digits are a port; anything
// else may be a password that lacks its @.
func showHost(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	} else if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	from := 0
	if strings.HasPrefix(s, "[") {
		from = strings.IndexByte(s, ']') + 1
	}
	if i := strings.IndexByte(s[from:], ':'); i >= 0 {
		if i += from; strings.Trim(s[i+1:], "0123456789") != "" {
			s = s[:i]
		}
	}
	return s
}

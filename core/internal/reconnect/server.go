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
	Scheme     string // nats or tls
	Host, Port string // Host without brackets
	User       *url.Userinfo
	TLSName    string // the name its certificate must have
	Discovered bool   // named by INFO, not by the user

	Attempts int   // failed ones since the last success
	LastErr  error // of the last failed attempt

	refusals    int    // authentication refused in a row
	refusal     string // what it said
	sameRefusal int
	notBefore   time.Duration
}

// Address is host:port for a dialer.
func (s *Server) Address() string { return net.JoinHostPort(s.Host, s.Port) }

// URL is the address without secrets.
func (s *Server) URL() string { return s.Scheme + "://" + s.Address() }

// same reports whether two stand for one address. Host names know no case.
func (s *Server) same(o *Server) bool { return strings.EqualFold(s.Host, o.Host) && s.Port == o.Port }

// Secure reports whether the URL demands TLS.
func (s *Server) Secure() bool { return s.Scheme == "tls" }

// DefaultPort of the nats and tls schemes.
const DefaultPort = "4222"

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
// and port. Errors never quote what may be a secret.
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
	switch u.Scheme {
	case "nats", "tls":
	default:
		return fail("has a scheme that is neither nats nor tls")
	}
	if u.Hostname() == "" {
		return fail("has no host")
	}
	if strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' {
		return fail("has more than one port, or an IPv6 address without brackets")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return fail("has more than a scheme, user, host and port")
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	if !validPort(port) {
		return fail("has an impossible port")
	}
	return &Server{Scheme: u.Scheme, Host: u.Hostname(), Port: port, User: u.User, TLSName: u.Hostname()}, nil
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

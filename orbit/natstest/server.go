package natstest

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is a NATS server embedded in this process. It keeps its address, its
// name and its store from the first start until Stop, however often it goes
// down in between. All methods are safe for concurrent use; those that start
// and stop the server take turns.
type Server struct {
	certificates
	t testing.TB // nil if nobody but the caller stops it

	// turn holds one token: who starts or stops the server has it. What stands
	// below is the holder's.
	turn    chan struct{}
	set     *settings
	res     *resources
	ldmDone chan struct{} // closed when the lame duck goroutine of this life has ended
	stopped bool

	mu  sync.Mutex
	now life
}

// life is one start of the server and what it was seen to be; it stays in place
// when the server is down.
type life struct {
	srv   *server.Server
	addr  string
	url   string
	wsURL string
	// leafURL is where leaf nodes connect.
	leafURL string
	// routesPerPeer is how many connections lead to each other server of the
	// cluster: a pool, and one for each account with a route of its own.
	routesPerPeer int
}

// Run starts a server and stops it when the test and its subtests are done. It
// returns when the server takes connections, usually within a few milliseconds,
// and calls t.Fatal if that fails; so it must be called from the test's
// goroutine. Without options it is a bare server on a free port of 127.0.0.1
// without authentication.
func Run(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(s.Stop)
	return s
}

// Start is Run for programs: it returns the error instead, and the caller calls
// Stop.
func Start(opts ...Option) (*Server, error) {
	set := newSettings(opts)
	if err := set.err(); err != nil {
		return nil, fmt.Errorf("natstest: start: %w", err)
	}
	s, err := newServer(set)
	if err != nil {
		return nil, fmt.Errorf("natstest: start: %w", err)
	}
	if err := s.Restart(); err != nil {
		s.Stop()
		return nil, err
	}
	if err := waitHubs(s); err != nil {
		s.Stop()
		return nil, fmt.Errorf("natstest: start: %w", err)
	}
	return s, nil
}

// newServer makes a server that is down.
func newServer(set *settings) (*Server, error) {
	s := &Server{turn: make(chan struct{}, 1), set: set, res: &resources{}}
	err := s.res.provision(set)
	if err == nil {
		s.certificates, err = loadCerts(set.CertDir)
	}
	if err != nil {
		_ = s.res.release() // the first error is the one to report
		return nil, err
	}
	if set.operator != nil {
		set.operator.register(s)
	}
	return s, nil
}

// URL returns the URL for clients: nats://host:port, or tls://host:port if the
// server requires TLS. It holds no user name, password or token. An address
// such as 0.0.0.0 is given as 127.0.0.1. It is "" for a server that does not
// listen.
func (s *Server) URL() string { return s.life().url }

// WebSocketURL returns ws://host:port or wss://host:port, or "" without a
// WebSocket listener.
func (s *Server) WebSocketURL() string { return s.life().wsURL }

// Addr returns host:port of URL.
func (s *Server) Addr() string { return s.life().addr }

// Port returns the port of URL, or 0 for a server that does not listen.
func (s *Server) Port() int {
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port) // it was a port when it was joined
	return n
}

// ID returns the server's ID, which is new after each start.
func (s *Server) ID() string { return s.Embedded().ID() }

// Name returns the server's name, which stays the same.
func (s *Server) Name() string { return s.Embedded().Name() }

// StoreDir returns the directory of the JetStream store, or "" without
// JetStream.
func (s *Server) StoreDir() string { return s.Embedded().StoreDir() }

// Embedded returns the server itself, for its monitoring functions and all else
// it offers. Restart makes a new one; stop it only through this package.
func (s *Server) Embedded() *server.Server { return s.life().srv }

// Running reports whether the server is up: started and not shut down, killed,
// or gone in the end of lame duck mode.
func (s *Server) Running() bool { return s.Embedded().Running() }

// InProcessConn returns a connection to the server that uses no network: one
// end of a net.Pipe. The server offers TLS on it but does not require it. It
// fails if the server is down.
func (s *Server) InProcessConn() (net.Conn, error) {
	srv := s.Embedded()
	if !srv.Running() {
		return nil, fmt.Errorf("natstest: in-process connection to server %s: %w", srv.Name(), ErrDown)
	}
	conn, err := srv.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("natstest: in-process connection to server %s: %w", srv.Name(), err)
	}
	return conn, nil
}

func (s *Server) life() life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Server) setLife(l life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = l
}

// newLife reads where a server that is ready listens.
func newLife(srv *server.Server, o *server.Options) life {
	l := life{srv: srv, routesPerPeer: max(1, o.Cluster.PoolSize) + len(o.Cluster.PinnedAccounts)}
	if tcp, ok := srv.Addr().(*net.TCPAddr); ok {
		l.addr = reachable(tcp)
		l.url = scheme("nats", "tls", o.TLSConfig != nil && (!o.AllowNonTLS || o.TLSHandshakeFirst)) + l.addr
	}
	if o.Websocket.Port != 0 {
		addr := &net.TCPAddr{IP: net.ParseIP(o.Websocket.Host), Port: o.Websocket.Port}
		l.wsURL = scheme("ws", "wss", !o.Websocket.NoTLS) + reachable(addr)
	}
	if o.LeafNode.Port != 0 {
		addr := &net.TCPAddr{IP: net.ParseIP(o.LeafNode.Host), Port: o.LeafNode.Port}
		l.leafURL = scheme("nats-leaf", "tls", o.LeafNode.TLSConfig != nil) + reachable(addr)
	}
	return l
}

func scheme(plain, secure string, isSecure bool) string {
	if isSecure {
		return secure + "://"
	}
	return plain + "://"
}

// reachable is addr as a client should dial it.
func reachable(addr *net.TCPAddr) string {
	ip := addr.IP
	if ip == nil || ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(addr.Port))
}

package nats

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/transport"
	"github.com/perigee-go/nats/core/internal/wire"
)

// Conn is a connection that outlives its links. It is made by Connect. All
// methods are safe for concurrent use and at any time. One that Connect did not
// make, or nil, is closed: what can fail does, with an *OptionError, and the
// rest returns zero values.
type Conn struct {
	cfg       *config
	out       *outbox.Outbox
	reg       registry
	reqs      requests
	work      workers
	inbox     *inboxes
	in        counters
	rcv       *receiver // the supervisor's; what it holds is the reader's
	reqOrigin origin    // of replies to requests

	lender atomic.Pointer[link.Link] // the link in use, for requests
	events events
	last   atomic.Pointer[error] // LastError

	clock  func() time.Duration // see now
	chance func() float64       // in [0, 1), for the machine

	info       atomic.Pointer[wire.Info]
	maxPayload atomic.Int64 // of the present server; 0: not known yet

	ctx        context.Context // ends when the Conn is to close
	stop       context.CancelFunc
	poke       chan struct{} // one slot: the supervisor is to look again
	move       chan struct{} // one slot: the server asks to leave, and we migrate
	supervised chan struct{} // closed when the supervisor has ended
	done       chan struct{} // closed when Closed
	told       chan struct{} // closed when the last event was handled

	mu          sync.Mutex // guards all below
	machine     *reconnect.Machine
	link        *link.Link // the one in use; nil: none
	shared      *Link      // the same for helpers on top, until what left on it is known
	server      Server     // of the last link
	secured     bool       // the last link was protected by TLS
	lameDuck    bool       // its server asked to leave
	everUp      bool
	draining    bool
	drained     chan struct{} // set by the first Drain, closed when it is over
	drainErr    error         // what the first Drain returned
	closed      bool
	byUser      error         // why the link is being ended, if the user wants it
	err         error         // why Closed
	lostBy      error         // what ended the last link, if that is the end
	drainedWell bool          // Drain saw everything through
	changed     chan struct{} // closed at each change of status
	links       uint64        // links that were up
	epoch       uint64
	attempts    int // failed ones since the last link
	warned      bool
	hooks       []*hook
}

// counters of what came in, written by the reader.
type counters struct {
	msgs, bytes, orphaned, replies atomic.Uint64
}

// Status is the state of a Conn.
type Status int

const (
	// StatusConnecting: RetryOnFailedConnect, and no link was up yet.
	StatusConnecting Status = iota
	// StatusConnected: a link is up and has all subscriptions.
	StatusConnected
	// StatusReconnecting: the link was lost.
	StatusReconnecting
	// StatusDraining: Drain was called.
	StatusDraining
	// StatusClosed is final.
	StatusClosed
)

// String returns the state in words.
func (s Status) String() string {
	switch s {
	case StatusConnecting:
		return "connecting"
	case StatusConnected:
		return "connected"
	case StatusReconnecting:
		return "reconnecting"
	case StatusDraining:
		return "draining"
	case StatusClosed:
		return "closed"
	}
	return "status " + strconv.Itoa(int(s))
}

// made reports whether Connect made it.
func (nc *Conn) made() bool { return nc != nil && nc.cfg != nil }

// closedChan is the Done of what never was.
var closedChan = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Status returns the present state.
func (nc *Conn) Status() Status {
	if !nc.made() {
		return StatusClosed
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	switch {
	case nc.closed:
		return StatusClosed
	case nc.draining:
		return StatusDraining
	case nc.link != nil:
		return StatusConnected
	case nc.everUp:
		return StatusReconnecting
	}
	return StatusConnecting
}

// now is the time on the connection's own clock, which starts with it: a clock
// of the process would run before zero in a testing/synctest bubble.
func (nc *Conn) now() time.Duration { return nc.clock() }

// usable says why nothing can be begun any more; mu held. What drains may use
// it for itself.
func (nc *Conn) usable(internal bool) error {
	switch {
	case nc.closed:
		return ErrClosed
	case nc.draining && !internal:
		return ErrDraining
	}
	return nil
}

func (nc *Conn) isClosed() bool {
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.closed
}

// broadcast tells everybody who waits for a change of status; mu held.
func (nc *Conn) broadcast() {
	close(nc.changed)
	nc.changed = make(chan struct{})
}

// awaitLink returns when a link is up, with ErrClosed when there will be none,
// or with ctx's error.
func (nc *Conn) awaitLink(ctx context.Context) error {
	for {
		nc.mu.Lock()
		up, closed, changed := nc.link != nil, nc.closed, nc.changed
		nc.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case up:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// withTimeout gives ctx the default timeout if it has no deadline.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, timeoutAfter(d))
}

func timeoutAfter(d time.Duration) error {
	return defaultTimeout{"default timeout of " + d.String() + " exceeded"}
}

// Done is closed when the Conn is Closed.
func (nc *Conn) Done() <-chan struct{} {
	if !nc.made() {
		return closedChan
	}
	return nc.done
}

// Err says why the Conn is Closed: nil while it is not, and after Close and
// Drain.
func (nc *Conn) Err() error {
	if !nc.made() {
		return errNilConn
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.err
}

// LastError returns the last error that no call returned, or nil: for logs.
func (nc *Conn) LastError() error {
	if nc == nil {
		return nil
	}
	if p := nc.last.Load(); p != nil {
		return *p
	}
	return nil
}

func (nc *Conn) asyncError(err error) {
	nc.last.Store(&err)
	nc.emit(AsyncError{err})
}

// Name returns the name given with the option Name.
func (nc *Conn) Name() string {
	if !nc.made() {
		return ""
	}
	return nc.cfg.name
}

// RequestTimeout returns the timeout of a request whose ctx has no deadline: for
// helpers on top.
func (nc *Conn) RequestTimeout() time.Duration {
	if !nc.made() {
		return 0
	}
	return nc.cfg.requestTimeout
}

// Logger returns where what nobody handles is logged, or nil: for helpers on
// top.
func (nc *Conn) Logger() *slog.Logger {
	if !nc.made() {
		return nil
	}
	return nc.cfg.log()
}

// Tracer returns the Tracer, or nil: for helpers on top.
func (nc *Conn) Tracer() Tracer {
	if !nc.made() {
		return nil
	}
	return nc.cfg.tracer
}

// Buffered returns how many outgoing bytes were not yet given to the kernel.
func (nc *Conn) Buffered() int {
	if !nc.made() {
		return 0
	}
	return nc.out.Buffered()
}

// NumSubscriptions returns how many subscriptions may still get messages.
func (nc *Conn) NumSubscriptions() int {
	if !nc.made() {
		return 0
	}
	nc.reg.mu.Lock()
	defer nc.reg.mu.Unlock()
	return nc.reg.active - nc.reg.internal
}

// Server is one member of the pool.
type Server struct {
	URL        string // without user info and query
	Discovered bool   // from INFO, not from the user
	Current    bool   // the link in use is to it
	Attempts   int    // failed ones since the last success
	LastErr    error  // of the last failed one
}

func publicServer(s *reconnect.Server, current bool) Server {
	return Server{URL: s.URL(), Discovered: s.Discovered, Current: current, Attempts: s.Attempts, LastErr: s.LastErr}
}

// Servers returns a snapshot of the pool in the order of trying.
func (nc *Conn) Servers() []Server {
	if !nc.made() {
		return nil
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	pool := nc.machine.Pool()
	var out []Server
	for _, s := range pool.Servers() {
		out = append(out, publicServer(s, nc.link != nil && s == pool.Current()))
	}
	return out
}

// SetServers replaces the pool, for the next time a server is needed; the link
// in use stays, and a back-off that is under way ends. Servers that remain keep
// their history. A bad URL is an *OptionError, and a list with WebSocket and
// other URLs is ErrMixingWebsocketSchemes; both change nothing.
func (nc *Conn) SetServers(urls []string) error {
	if !nc.made() {
		return errNilConn
	}
	servers, err := reconnect.ParseURLs(strings.Join(urls, ","))
	if err != nil {
		return &OptionError{"servers", err.Error()}
	}
	if reconnect.Mixed(servers) {
		return errMixed
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if nc.closed {
		return ErrClosed
	}
	nc.machine.Replace(servers)
	if nc.link == nil {
		select {
		case nc.poke <- struct{}{}:
		default:
		}
	}
	return nil
}

// ServerInfo is the server's INFO.
type ServerInfo struct {
	ID, Name, Version          string
	Proto                      int
	Host                       string
	Port                       int
	Headers, AuthRequired      bool
	TLSRequired, TLSVerify     bool
	TLSAvailable               bool
	MaxPayload                 int64 // 0: not said
	ClientID                   uint64
	ClientIP, Nonce            string
	Cluster, Domain            string
	ConnectURLs, WSConnectURLs []string
	LameDuck, JetStream        bool
	APILevel                   int // of JetStream
	SystemAccount              bool
	RemoteAccount              string // the account the client is bound to
}

// ServerInfo returns the state of the last INFO; zero before the first.
func (nc *Conn) ServerInfo() ServerInfo {
	if !nc.made() {
		return ServerInfo{}
	}
	return publicInfo(nc.info.Load())
}

func publicInfo(i *wire.Info) ServerInfo {
	if i == nil {
		return ServerInfo{}
	}
	return ServerInfo{
		ID: i.ID, Name: i.Name, Version: i.Version, Proto: i.Proto, Host: i.Host, Port: i.Port,
		Headers: i.Headers, AuthRequired: i.AuthRequired, TLSRequired: i.TLSRequired,
		TLSVerify: i.TLSVerify, TLSAvailable: i.TLSAvailable, MaxPayload: i.MaxPayload,
		ClientID: i.ClientID, ClientIP: i.ClientIP, Nonce: i.Nonce, Cluster: i.Cluster, Domain: i.Domain,
		ConnectURLs:   append([]string(nil), i.ConnectURLs...),
		WSConnectURLs: append([]string(nil), i.WSConnectURLs...),
		LameDuck:      i.LameDuck, JetStream: i.JetStream, APILevel: i.APILevel,
		SystemAccount: i.SystemAccount, RemoteAccount: i.RemoteAccount,
	}
}

// AtLeast reports whether the server's version is v, as in "2.11.0", or newer.
// A pre-release counts as its release. Without a version on either side it is
// false.
func (i ServerInfo) AtLeast(v string) bool {
	have, ok1 := version(i.Version)
	want, ok2 := version(v)
	if !ok1 || !ok2 {
		return false
	}
	for k := range have {
		if have[k] != want[k] {
			return have[k] > want[k]
		}
	}
	return true
}

func version(s string) (v [3]int, ok bool) {
	s = strings.TrimPrefix(s, "v")
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		s = s[:i]
	}
	for i, part := range strings.SplitN(s, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// ConnectedURL returns the URL of the server in use without secrets; "" when
// not connected.
func (nc *Conn) ConnectedURL() string {
	if !nc.made() {
		return ""
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if nc.link == nil {
		return ""
	}
	return nc.server.URL
}

// LocalAddr returns the local address of the link; nil when not connected.
func (nc *Conn) LocalAddr() net.Addr {
	if l := nc.liveLink(); l != nil {
		return l.Conn().LocalAddr()
	}
	return nil
}

// RemoteAddr returns the server's address; nil when not connected.
func (nc *Conn) RemoteAddr() net.Addr {
	if l := nc.liveLink(); l != nil {
		return l.Conn().RemoteAddr()
	}
	return nil
}

// TLSConnectionState returns the state of the link's TLS; false without TLS or
// when not connected.
func (nc *Conn) TLSConnectionState() (tls.ConnectionState, bool) {
	if l := nc.liveLink(); l != nil {
		return transport.TLSState(l.Conn())
	}
	return tls.ConnectionState{}, false
}

func (nc *Conn) liveLink() *link.Link {
	if !nc.made() {
		return nil
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.link
}

// inboxes makes unique subjects: 130 random bits a connection, and a count.
type inboxes struct {
	prefix string // with the random token and a dot
	n      atomic.Uint64
}

func newInboxes(prefix string) *inboxes {
	return &inboxes{prefix: prefix + "." + rand.Text() + "."}
}

// NewInbox returns a unique subject to be replied to. It is never one of the
// request multiplexer's.
func (nc *Conn) NewInbox() string {
	if !nc.made() {
		return ""
	}
	return nc.inbox.prefix + strconv.FormatUint(nc.inbox.n.Add(1), 36)
}

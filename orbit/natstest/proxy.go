package natstest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Direction is one of the two ways that bytes take through a Proxy.
type Direction uint8

// The directions, seen from who opened the connection.
const (
	ClientToServer Direction = 1 << iota
	ServerToClient
	Both = ClientToServer | ServerToClient
)

// String returns the direction in words.
func (d Direction) String() string {
	switch d {
	case ClientToServer:
		return "client to server"
	case ServerToClient:
		return "server to client"
	case Both:
		return "both directions"
	}
	return "no direction"
}

// Proxy is a TCP proxy that does to connections what networks do: it cuts them
// at an exact byte, delays, throttles, goes deaf one way, refuses. It knows
// nothing of NATS and nothing of TLS. Until told otherwise it forwards all
// there is, ends of streams and resets included.
//
// What is set for a direction holds for the connections there are and those to
// come, unless it says otherwise. A connection is there for certain when a byte
// has come through it: before that, only the two systems may know of it. All methods are safe for concurrent use and
// none waits for the network, but where noted.
type Proxy struct {
	t      testing.TB // nil if nobody but the caller stops it
	scheme string     // of URL
	lease  *portLease
	lanes  [2]*lane // by direction

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the proxy

	// turn holds one token: who opens and closes the listener has it, and with
	// it the listener.
	turn     chan struct{}
	listener net.Listener // nil while refusing
	stopped  bool

	mu       sync.Mutex
	upstream string
	rejects  bool
	resets   bool
	accepted int
	links    map[*link]struct{} // nil after Stop
}

// RunProxy starts a proxy on a free port of 127.0.0.1 for the server at
// upstream, which is host:port or a URL, and stops it when the test and its
// subtests are done. It calls t.Fatal if that fails, so it must be called from
// the test's goroutine. Nobody need be at upstream yet.
func RunProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p, err := StartProxy(upstream)
	if err != nil {
		t.Fatal(err)
	}
	p.t = t
	t.Cleanup(p.Stop)
	return p
}

// StartProxy is RunProxy for programs: it returns the error instead, and the
// caller calls Stop.
func StartProxy(upstream string) (*Proxy, error) {
	scheme, addr, err := splitUpstream(upstream)
	if err != nil {
		return nil, fmt.Errorf("natstest: start proxy: %w", err)
	}
	lease, err := leasePort(defaultHost)
	if err != nil {
		return nil, fmt.Errorf("natstest: start proxy: %w", err)
	}
	p := &Proxy{
		scheme: scheme, lease: lease, upstream: addr,
		lanes: [2]*lane{newLane(), newLane()},
		turn:  make(chan struct{}, 1),
		links: map[*link]struct{}{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.Refuse(false); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// splitUpstream takes host:port or a URL. Whatever secret a URL holds is left
// behind.
func splitUpstream(upstream string) (scheme, addr string, err error) {
	scheme, addr = "nats", upstream
	if strings.Contains(upstream, "://") {
		u, err := url.Parse(upstream)
		if err != nil {
			return "", "", fmt.Errorf("upstream is not a URL") // url.Error would show it
		}
		scheme, addr = u.Scheme, u.Host
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", "", fmt.Errorf("upstream: %w", err)
	}
	return scheme, addr, nil
}

// URL returns the proxy's URL for clients. The scheme is that of the upstream
// URL, or nats.
func (p *Proxy) URL() string { return p.scheme + "://" + p.Addr() }

// Addr returns the proxy's host:port. It stays the same, refusing or not.
func (p *Proxy) Addr() string {
	return net.JoinHostPort(p.lease.host, fmt.Sprint(p.lease.port))
}

// SetUpstream makes connections to come go to upstream, host:port or a URL. It
// returns an error if it is neither.
func (p *Proxy) SetUpstream(upstream string) error {
	_, addr, err := splitUpstream(upstream)
	if err != nil {
		return fmt.Errorf("natstest: proxy %s: %w", p.Addr(), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = addr
	return nil
}

// Connections returns the number of open connections.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Accepted returns the number of connections there have been so far, open or
// not. Rejected ones do not count.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Refuse(true) closes the proxy's listener, so that connects are refused by the
// system; open connections go on. Refuse(false) listens again, at the same
// address; the error says why it cannot, and is also reported through t.Errorf
// if the proxy is from RunProxy.
func (p *Proxy) Refuse(on bool) error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	switch {
	case on && p.listener != nil:
		_ = p.listener.Close()
		p.listener = nil
	case !on && p.listener == nil:
		if err := p.listen(); err != nil {
			err = fmt.Errorf("natstest: proxy %s: %w", p.Addr(), err)
			if p.t != nil {
				p.t.Helper()
				p.t.Error(err)
			}
			return err
		}
	}
	return nil
}

// Reject(true) makes the proxy accept connections and close them at once.
func (p *Proxy) Reject(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejects = on
}

// CutWithReset(true) makes every cut and rejection end the connection with a
// reset (RST) to both sides instead of an end of stream (FIN). Bytes that were
// forwarded but not yet received by the other system may then be lost.
func (p *Proxy) CutWithReset(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resets = on
}

// CutNow cuts all connections. When it returns, not a byte is forwarded on them
// any more.
func (p *Proxy) CutNow() {
	links := p.currentLinks()
	for _, l := range links {
		l.end(p.cutEnding())
	}
	for _, l := range links {
		<-l.gone
	}
}

// CutAfter cuts the next connection that is made when exactly n bytes have been
// forwarded in this direction, counted from its start. Each call is for one
// connection: calls made before the connections are make a queue. For
// directions, Both is two cuts. The channel is closed when the cut (with Both,
// the first) is done, and stays open if the connection ends before that.
func (p *Proxy) CutAfter(d Direction, n int64) <-chan struct{} {
	c := &cut{at: n, done: make(chan struct{})}
	for _, lane := range p.lanesOf(d) {
		lane.arm(c)
	}
	return c.done
}

// CutIn cuts each of the connections there are when exactly n more bytes have
// been forwarded on it in this direction; with n = 0, now. It replaces an
// earlier cut that is not done. The channel is closed when the first is cut.
func (p *Proxy) CutIn(d Direction, n int64) <-chan struct{} {
	c := &cut{done: make(chan struct{})}
	for _, lane := range p.lanesOf(d) {
		lane.armCurrent(c, n)
	}
	return c.done
}

// Delay makes every byte in this direction arrive d later than it would, in
// order, without making the connection slower. 0 ends it. At most 1 MiB is on
// its way at a time.
func (p *Proxy) Delay(d Direction, delay time.Duration) {
	for _, lane := range p.lanesOf(d) {
		lane.change(func() { lane.delay = delay })
	}
}

// Throttle limits each connection to this rate in this direction. 0 or less
// ends it.
func (p *Proxy) Throttle(d Direction, bytesPerSecond int) {
	for _, lane := range p.lanesOf(d) {
		lane.change(func() { lane.rate = bytesPerSecond })
	}
}

// Stall stops reading and forwarding in this direction: when it returns, not a
// byte more is taken or given, and the sender finds its buffers full in the
// end. Nothing is lost: Resume goes on where it stopped. Cuts are still done.
func (p *Proxy) Stall(d Direction) {
	for _, lane := range p.lanesOf(d) {
		lane.stall()
	}
}

// Resume ends Stall.
func (p *Proxy) Resume(d Direction) {
	for _, lane := range p.lanesOf(d) {
		lane.resume()
	}
}

// HalfClose ends the stream to the receiver of this direction on all
// connections there are, as if the sender had no more to say; what the sender
// says from now on is thrown away. The other direction goes on.
func (p *Proxy) HalfClose(d Direction) {
	for _, lane := range p.lanesOf(d) {
		lane.halfClose()
	}
}

// Heal ends every fault: delays, throttles, stalls, refusals, and cuts that have
// not been made. What HalfClose did to a connection stays done. The error is
// that of Refuse(false).
func (p *Proxy) Heal() error {
	for _, lane := range p.lanes {
		lane.heal()
	}
	p.Reject(false)
	return p.Refuse(false)
}

// Record keeps what is forwarded in this direction from now on, for Recorded.
// What was recorded before is thrown away.
func (p *Proxy) Record(d Direction) {
	for _, lane := range p.lanesOf(d) {
		lane.quiesce(func() { lane.recording, lane.record = true, nil })
	}
}

// Recorded returns a copy of what was forwarded in this direction since Record,
// of all connections in the order of writing. It is nil for Both.
func (p *Proxy) Recorded(d Direction) []byte {
	lanes := p.lanesOf(d)
	if len(lanes) != 1 {
		return nil
	}
	return lanes[0].recorded()
}

// Forwarded returns how many bytes have been forwarded in this direction on all
// connections so far; for Both, the sum.
func (p *Proxy) Forwarded(d Direction) int64 {
	var n int64
	for _, lane := range p.lanesOf(d) {
		n += lane.forwarded()
	}
	return n
}

// Stop closes the listener and all connections and returns when nothing of the
// proxy is left. It may be called more than once, and RunProxy calls it.
func (p *Proxy) Stop() {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.stopped {
		return
	}
	p.stopped = true
	p.cancel()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for _, l := range p.retire() {
		l.end(withEOF)
	}
	p.wg.Wait()
	p.lease.release()
}

func (p *Proxy) lanesOf(d Direction) []*lane {
	var lanes []*lane
	if d&ClientToServer != 0 {
		lanes = append(lanes, p.lanes[0])
	}
	if d&ServerToClient != 0 {
		lanes = append(lanes, p.lanes[1])
	}
	return lanes
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Dialer opens the byte stream; *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects to address. A nil dialer is a plain TCP one, which tries the
// addresses of a name beside each other. If ctx's deadline ended it, ctx's cause
// is among the reasons.
func Dial(ctx context.Context, d Dialer, address string) (net.Conn, error) {
	if d == nil {
		d = &byName{lookup: net.DefaultResolver.LookupNetIP, dial: new(net.Dialer).DialContext}
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	switch {
	case err != nil:
		return nil, inTime(ctx, err)
	case conn == nil:
		return nil, ErrNoConnection
	}
	return conn, nil
}

// ErrNoConnection is what a dialer fails with that returned neither.
var ErrNoConnection = errors.New("the dialer returned no connection and no error")

// inTime adds ctx's cause to what a socket says at ctx's deadline. A net.Dialer
// hands the deadline on to the socket, which may notice it before ctx does, and
// whose error is no context.DeadlineExceeded.
func inTime(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	if !ok || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(deadline) {
		return err
	}
	<-ctx.Done() // its timer is due
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// stagger is how long an address is tried alone before the next is tried beside
// it, as RFC 8305 recommends.
const stagger = 250 * time.Millisecond

// byName dials all addresses of a name, each a little later than the one before.
// A net.Dialer tries those of one kind one after the other, and an address that
// does not answer takes the time of all.
type byName struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// DialContext implements Dialer.
func (d *byName) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return d.dial(ctx, network, address)
	}
	found, err := d.lookup(ctx, "ip", host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	r := race{dial: d.dial, network: network, results: make(chan attempt)}
	for _, ip := range alternate(found) {
		r.addresses = append(r.addresses, net.JoinHostPort(ip.String(), port))
	}
	return r.run(ctx)
}

// alternate orders addresses so that the kinds take turns: a network without
// a way for one of them must not hold up the other.
func alternate(found []netip.Addr) []netip.Addr {
	var kinds [2][]netip.Addr
	for _, ip := range found {
		ip = ip.Unmap()
		kind := 0
		if ip.Is4() != found[0].Unmap().Is4() {
			kind = 1
		}
		kinds[kind] = append(kinds[kind], ip)
	}
	out := make([]netip.Addr, 0, len(found))
	for i := range found {
		for _, k := range kinds {
			if i < len(k) {
				out = append(out, k[i])
			}
		}
	}
	return out
}

// race is one dialing of several addresses.
type race struct {
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	network   string
	addresses []string // not tried yet
	results   chan attempt
	running   int
}

type attempt struct {
	conn net.Conn
	err  error
}

// run returns the first connection, or the first error if there is none. It
// returns when all attempts have ended.
func (r *race) run(ctx context.Context) (winner net.Conn, first error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := time.NewTimer(stagger)
	defer next.Stop()
	for r.start(ctx); r.running > 0; {
		more := false
		select {
		case a := <-r.results:
			r.running--
			switch {
			case a.err == nil && winner == nil:
				winner = a.conn
				cancel()
			case a.err == nil:
				_ = a.conn.Close() // a moment too late
			case first == nil:
				first = a.err
			}
			more = a.err != nil
		case <-next.C:
			more = true
		}
		if more && ctx.Err() == nil && r.start(ctx) {
			next.Reset(stagger)
		}
	}
	if winner != nil {
		return winner, nil
	}
	return nil, first
}

// start begins the next attempt, if there is one.
func (r *race) start(ctx context.Context) bool {
	if len(r.addresses) == 0 {
		return false
	}
	address := r.addresses[0]
	r.addresses = r.addresses[1:]
	r.running++
	go func() {
		conn, err := r.dial(ctx, r.network, address)
		r.results <- attempt{conn, err}
	}()
	return true
}

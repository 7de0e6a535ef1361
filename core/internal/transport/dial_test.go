package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/simnet"
)

// addresses is a network for one dialing: what each address of the name does.
type addresses struct {
	does []string // "address what": live, late, dead (does not answer) or refused

	mu     sync.Mutex
	tried  []string
	opened []*closeNoted
}

type closeNoted struct {
	net.Conn
	closed bool
}

func (c *closeNoted) Close() error { c.closed = true; return c.Conn.Close() }

var errRefused = errors.New("refused")

func (a *addresses) dialer() *byName {
	return &byName{
		lookup: func(ctx context.Context, network, host string) (ips []netip.Addr, err error) {
			if host != "name" || network != "ip" {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			for _, d := range a.does {
				ip, _, _ := strings.Cut(d, " ")
				ips = append(ips, netip.MustParseAddr(ip))
			}
			return ips, nil
		},
		dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			a.mu.Lock()
			a.tried = append(a.tried, host)
			a.mu.Unlock()
			i := slices.IndexFunc(a.does, func(d string) bool { return strings.HasPrefix(d, host+" ") })
			_, what, _ := strings.Cut(a.does[i], " ")
			switch what {
			case "refused":
				return nil, errRefused
			case "dead":
				<-ctx.Done()
				return nil, ctx.Err()
			case "late":
				//perigee:allow fake time: dialer is called in bubbles only
				time.Sleep(300 * time.Millisecond) // whether anybody waits or not
			}
			c, other := simnet.Pipe()
			_ = other.Close()
			conn := &closeNoted{Conn: c}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.opened = append(a.opened, conn)
			return conn, nil
		},
	}
}

// Addresses of a name are tried beside each other: dead ones cost a quarter of
// a second each, and not the whole time.
func TestDialByName(t *testing.T) {
	for _, c := range []struct {
		name  string
		does  []string
		tried []string
		after time.Duration
		err   error
	}{
		{name: "the first answers", does: []string{"10.0.0.1 live", "10.0.0.2 live"}, tried: []string{"10.0.0.1"}},
		{
			name: "the last of ten", after: 7 * stagger,
			does: []string{
				"10.0.0.1 dead", "10.0.0.2 dead", "10.0.0.3 dead", "10.0.0.4 refused", "10.0.0.5 dead", "10.0.0.6 refused",
				"10.0.0.7 dead", "10.0.0.8 dead", "10.0.0.9 dead", "10.0.0.10 live",
			},
		},
		{
			name: "the kinds take turns", after: 3 * stagger,
			does:  []string{"2001:db8::1 dead", "2001:db8::2 dead", "10.0.0.1 dead", "10.0.0.2 live"},
			tried: []string{"2001:db8::1", "10.0.0.1", "2001:db8::2", "10.0.0.2"},
		},
		{
			name: "two of them answer", after: stagger + 300*time.Millisecond, // attempts end before Dial returns
			does: []string{"10.0.0.1 late", "10.0.0.2 late"}, tried: []string{"10.0.0.1", "10.0.0.2"},
		},
		{
			name: "the winner ends it", after: stagger, tried: []string{"10.0.0.1", "10.0.0.2"},
			does: []string{"10.0.0.1 dead", "10.0.0.2 live", "10.0.0.3 live"},
		},
		{name: "all refuse", does: []string{"10.0.0.1 refused", "10.0.0.2 refused"}, err: errRefused},
		{name: "all are dead", does: []string{"10.0.0.1 dead", "10.0.0.2 dead"}, err: context.DeadlineExceeded, after: 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				a := &addresses{does: c.does}
				start := time.Now()
				conn, err := a.dialer().DialContext(ctx, "tcp", "name:4222")
				if !errors.Is(err, c.err) || (conn == nil) != (err != nil) {
					t.Fatalf("%v, %v", conn, err)
				}
				if c.tried != nil && !slices.Equal(a.tried, c.tried) {
					t.Errorf("tried %v", a.tried)
				}
				if after := time.Since(start); after != c.after {
					t.Errorf("after %v", after)
				}
				for _, o := range a.opened {
					if net.Conn(o) != conn && !o.closed {
						t.Error("a connection that was too late is open")
					}
				}
				if conn != nil && conn.(*closeNoted).closed {
					t.Error("the connection is closed")
				}
			})
		})
	}
}

func TestDialByNameFails(t *testing.T) {
	d := new(addresses).dialer()
	var dns *net.DNSError
	if _, err := d.DialContext(t.Context(), "tcp", "nobody:1"); !errors.As(err, &dns) || !strings.HasPrefix(err.Error(), "dial tcp: ") {
		t.Errorf("%v", err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "name"); err == nil {
		t.Error("an address without a port")
	}
}

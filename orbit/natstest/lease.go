package natstest

import (
	"fmt"
	"net"
)

// portLease keeps a port for one server while the server is down. Without it
// the kernel may hand the port to another listener or to somebody's outgoing
// connection, and a restart fails, or, worse, a client under test reconnects
// to the server of another test.
//
// The lease is a socket that is bound and never listens: connects are refused,
// and because both sockets have SO_REUSEADDR the server may listen on the same
// address meanwhile. Where that cannot be done, see holdPort, the lease is only
// a port that was free a moment ago.
type portLease struct {
	host string
	port int
	hold func()
}

// leasePort leases a free port at host.
func leasePort(host string) (*portLease, error) {
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("lease a port: %w", err)
	}
	port, release, err := holdPort(addr)
	if err != nil {
		return nil, fmt.Errorf("lease a port at %s: %w", host, err)
	}
	return &portLease{host: host, port: port, hold: release}, nil
}

// release gives the port back. It may be called more than once.
func (l *portLease) release() {
	if l != nil && l.hold != nil {
		l.hold()
		l.hold = nil
	}
}

// Package transport makes the byte stream that a link lives on.
//
// It knows TCP, TLS and WebSocket, and nothing of the NATS protocol.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Dialer opens the byte stream; *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects to address. A nil dialer is a plain TCP one. If ctx's deadline
// ended it, ctx's cause is among the reasons.
func Dial(ctx context.Context, d Dialer, address string) (net.Conn, error) {
	if d == nil {
		d = new(net.Dialer)
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, inTime(ctx, err)
	}
	return conn, nil
}

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

// Bound makes I/O on conn end when ctx does. The returned function lifts that
// and must be called; it reports ctx's cause if ctx ended in the meantime.
func Bound(ctx context.Context, conn net.Conn) (release func() error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !stop() {
			return context.Cause(ctx)
		}
		_ = conn.SetDeadline(time.Time{})
		return nil
	}
}

// Handshake lays TLS over conn, as a client, until ctx ends.
func Handshake(ctx context.Context, conn net.Conn, cfg *tls.Config) (*TLSConn, error) {
	r := newRecords(conn)
	c := tls.Client(r, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return &TLSConn{c, r}, nil
}

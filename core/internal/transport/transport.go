// Package transport makes the byte stream that a link lives on.
//
// It knows TCP, TLS and WebSocket, and nothing of the NATS protocol.
package transport

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

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

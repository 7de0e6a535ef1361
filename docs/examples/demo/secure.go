package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/orbit/natstest"
)

// overTLS connects to a server that shows a certificate and wants to see one.
func overTLS(ctx context.Context, d *demo) error {
	srv, err := natstest.Start(natstest.TLSVerify())
	if err != nil {
		return err
	}
	defer srv.Stop()
	_, err = nats.Connect(ctx, srv.URL())
	if !errors.Is(err, nats.ErrTLS) {
		return fmt.Errorf("a certificate that nobody vouches for ended with: %w", err)
	}
	d.out.line("a stranger", "refused: its certificate is of an unknown authority")
	cert, key := srv.ClientCertFiles()
	return visit(ctx, d, srv.URL(), nats.RootCAs(srv.CAFile()), nats.ClientCert(cert, key))
}

// overWebSocket connects as a program behind an HTTP gateway does, inside TLS
// and compressed.
func overWebSocket(ctx context.Context, d *demo) error {
	srv, err := natstest.Start(natstest.TLS(), natstest.WebSocket())
	if err != nil {
		return err
	}
	defer srv.Stop()
	return visit(ctx, d, srv.WebSocketURL(), nats.RootCAs(srv.CAFile()), nats.Compression(true))
}

// visit sends messages over a connection of its own, and checks that they come
// back over TLS.
func visit(ctx context.Context, d *demo, url string, opts ...nats.Option) error {
	const messages = 10_000
	nc, err := nats.Connect(ctx, url, opts...)
	if err != nil {
		return err
	}
	defer nc.Close()
	state, ok := nc.TLSConnectionState()
	if !ok {
		return errors.New("the connection is not encrypted")
	}
	d.out.line("connected", "%s, %s", nc.ConnectedURL(), tls.VersionName(state.Version))
	sub, err := nc.SubscribeSync("echo")
	if err != nil {
		return err
	}
	begin := time.Now()
	for range messages {
		if err := nc.Publish("echo", []byte("hello")); err != nil {
			return err
		}
	}
	for range messages {
		if _, err := sub.Next(ctx); err != nil {
			return err
		}
	}
	d.out.line("echoed", "%s messages in %s", count(messages), duration(time.Since(begin)))
	if err := nc.Drain(ctx); err != nil {
		return err
	}
	return check(nc.Stats())
}

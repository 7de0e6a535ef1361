package nats

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/transport"
)

// dialWebSocket connects to the server and makes a WebSocket of the connection,
// with TLS below it if that is wanted. Whatever INFO says of TLS later concerns
// what lies below already.
func (nc *Conn) dialWebSocket(ctx context.Context, srv *reconnect.Server) (net.Conn, error) {
	ws := &nc.cfg.webSocket
	header, err := ws.headers(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := transport.Dial(ctx, nc.cfg.dialer, srv.Address())
	if err != nil {
		return nil, err
	}
	c, err := nc.upgrade(ctx, conn, srv, transport.WebSocketConfig{
		Host: srv.HTTPHost(), Target: srv.Target(ws.path), Header: header, Compress: ws.compress,
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (nc *Conn) upgrade(ctx context.Context, conn net.Conn, srv *reconnect.Server, cfg transport.WebSocketConfig) (net.Conn, error) {
	if !nc.cfg.secure && !srv.Secure() || tlsDone(nc.cfg.dialer) {
		return transport.Upgrade(ctx, conn, nil, cfg)
	}
	tc, err := nc.cfg.tlsConfig(srv.TLSName)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrTLS, err)
	}
	tc.NextProtos = []string{"http/1.1"}
	over, err := transport.Handshake(ctx, conn, tc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrTLS, err)
	}
	c, err := transport.Upgrade(ctx, conn, over, cfg)
	if link.HungUp(err) {
		// With TLS 1.3 this is how a server says that it does not like the
		// client's certificate.
		return nil, fmt.Errorf("%w: the server hung up right after it; does it want another client certificate? %w", link.ErrTLS, err)
	}
	return c, err
}

// headers returns the HTTP headers of one attempt.
func (ws *webSocketConfig) headers(ctx context.Context) (http.Header, error) {
	if ws.headerFunc == nil {
		return ws.header, nil
	}
	const by = "WebSocketConnectionHeadersHandler"
	h, err := ws.headerFunc(ctx)
	if err != nil {
		return nil, &credentialsError{by, err}
	}
	if problem := checkHTTPHeader(h); problem != "" {
		return nil, &OptionError{by, problem}
	}
	return h, nil
}

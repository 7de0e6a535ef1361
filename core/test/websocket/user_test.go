package websocket

import (
	"errors"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Over wss the server wants a user as it does elsewhere.
func TestUserOverTLS(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.WebSocket(), natstest.UserPassword("joe", "pw"))
	roots := nats.RootCAs(srv.CAFile())
	nc := ledger.Connect(t, srv.WebSocketURL(), roots, nats.UserInfo("joe", "pw"))
	if _, ok := nc.TLSConnectionState(); !ok {
		t.Error("no TLS")
	}
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, err := nc.Request(t.Context(), "echo", []byte("x")); err != nil || string(m.Data) != "x" {
			t.Errorf("%q, %v", m.Data, err)
		}
		if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, opts := range map[string][]nats.Option{
		"wrong password": {roots, nats.UserInfo("joe", "wrong")}, "nobody": {roots},
	} {
		_, err := nats.Connect(t.Context(), srv.WebSocketURL(), append(opts, nats.Logger(nil))...)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package websocket

import (
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// The next WebSocket is there before the old one ends, and no request fails.
func TestMigrate(t *testing.T) {
	t.Parallel()
	c := ledger.RunCluster(t, 2, natstest.NoJetStream(), natstest.WebSocket(), natstest.LameDuck(2*time.Second, 1500*time.Millisecond))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, c.Server(0).WebSocketURL(), nats.Compression(true), nats.MigrateOnLameDuck(), handler)
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }, nats.Queue("q")); err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if _, err := nc.Request(t.Context(), "echo", random(1000)); err != nil {
			t.Error(err)
		}
	}
	ask()
	over := c.Server(0).LameDuck()
	for moved := false; !moved; {
		ask()
		for _, e := range events.All() {
			_, ok := e.(nats.Reconnected)
			moved = moved || ok
		}
	}
	ask()
	if d := ledger.Wait[nats.Disconnected](t, events); d.Err != nil || d.Unknown != 0 {
		t.Errorf("%+v", d)
	}
	if nc.ConnectedURL() != c.Server(1).WebSocketURL() {
		t.Errorf("at %s", nc.ConnectedURL())
	}
	<-over
}

package secure

import (
	"errors"
	"fmt"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Permissions that are taken away under a connection: what is no longer allowed
// ends with its reason, the rest goes on, and what is given back works again.
func TestPermissionsChange(t *testing.T) {
	t.Parallel()
	config := func(deny string) string {
		return fmt.Sprintf(`authorization { users: [ { user: joe, password: pw, permissions: { publish: { deny: %q }, subscribe: { deny: %q } } } ] }`, deny, deny)
	}
	srv := ledger.Run(t, natstest.Config(config("nothing")))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), nats.UserInfo("joe", "pw"), handler)
	var subs []*nats.Subscription
	for _, subject := range []string{"secret", "open", "secret"} {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Reload(config("secret")); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*nats.Subscription{subs[0], subs[2]} {
		var pe *nats.PermissionError
		if _, err := sub.Next(t.Context()); !errors.As(err, &pe) || pe.Subject != "secret" || pe.Operation != "subscription" {
			t.Errorf("it ended with %v", err)
		}
	}
	ledger.WaitN[nats.SubscriptionEnded](t, events, 2)
	if err := nc.Publish("secret", nil); err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.AsyncError](t, events); !errors.Is(e.Err, nats.ErrPermission) {
		t.Errorf("%v", e)
	}
	if err := nc.Publish("open", []byte("on")); err != nil {
		t.Fatal(err)
	}
	if m, err := subs[1].Next(t.Context()); err != nil || string(m.Data) != "on" {
		t.Errorf("%v %v", m, err)
	}
	if err := srv.Reload(config("nothing")); err != nil {
		t.Fatal(err)
	}
	again, err := nc.SubscribeSync("secret")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("secret", []byte("back")); err != nil {
		t.Fatal(err)
	}
	if m, err := again.Next(t.Context()); err != nil || string(m.Data) != "back" {
		t.Errorf("%v %v", m, err)
	}
	if n := nc.Stats().Reconnects; n != 0 {
		t.Errorf("it reconnected %d times", n)
	}
	ledger.SameSubscriptions(t, srv, nc, "open", "secret")
}

// A user that moves to another account: the server closes the connection without
// a word, and on the next link the subscriptions are in the new account.
func TestAccountChanges(t *testing.T) {
	t.Parallel()
	config := func(of string) string {
		users := map[string]string{"A": "{ user: a, password: pw }", "B": "{ user: b, password: pw }"}
		users[of] += ", { user: joe, password: pw }"
		return fmt.Sprintf("accounts { A: { users: [ %s ] }, B: { users: [ %s ] } }", users["A"], users["B"])
	}
	srv := ledger.Run(t, natstest.Config(config("A")))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), nats.UserInfo("joe", "pw"), handler, nats.ReconnectBackoff(0, 50*time.Millisecond))
	a := ledger.Connect(t, srv.URL(), nats.UserInfo("a", "pw"), nats.Name("a"))
	b := ledger.Connect(t, srv.URL(), nats.UserInfo("b", "pw"), nats.Name("b"))
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Reload(config("B")); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Reconnected](t, events)
	for from, c := range map[string]*nats.Conn{"a": a, "b": b} {
		if err := c.Publish("x", []byte(from)); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "b" {
		t.Errorf("%q %v", m.Data, err)
	}
	if s := sub.Stats(); s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// A limit of the account that is lowered under its connections.
func TestAccountLimitChanges(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	srv := o.run()
	u := o.user()
	var all []*ledger.Events
	for range 2 {
		events, handler := ledger.NewEvents()
		ledger.Connect(t, srv.URL(), handler, nats.UserJWTAndSeed(u.jwt, u.seed), nats.NoReconnect())
		all = append(all, events)
	}
	o.account.Limits.Conn = 1
	o.reload(srv)
	if e := ledger.Wait[nats.Closed](t, all[1]); !errors.Is(e.Err, nats.ErrMaxAccountConnections) {
		t.Errorf("closed with %v", e.Err)
	}
	for _, e := range all[0].All() {
		if _, ok := e.(nats.Connected); !ok {
			t.Errorf("the older connection: %v", e)
		}
	}
	refused(t, srv.URL(), nats.ErrMaxAccountConnections, nats.UserJWTAndSeed(u.jwt, u.seed))
}

package secure

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// callout is a server that leaves the decision on each user to a service, and
// the service, which knows joe and a token.
type callout struct {
	t      *testing.T
	srv    *natstest.Server
	issuer nkeys.KeyPair
	asked  chan string // who, for each question
}

func runCallout(t *testing.T) *callout {
	t.Helper()
	issuer, public, _ := newKey(t, nkeys.PrefixByteAccount)
	srv := ledger.Run(t, natstest.Config(fmt.Sprintf(`
		accounts { AUTH { users: [ { user: service, password: pw } ] }, APP {} }
		authorization { timeout: 1, auth_callout { issuer: %s, account: AUTH, auth_users: [ service ] } }`, public)))
	return &callout{t, srv, issuer, make(chan string, 1000)}
}

// serve answers the server's questions on a connection of its own.
func (c *callout) serve() *nats.Conn {
	c.t.Helper()
	nc := ledger.Connect(c.t, c.srv.URL(), nats.UserInfo("service", "pw"), nats.Name("service"))
	if _, err := nc.Subscribe("$SYS.REQ.USER.AUTH", c.answer); err != nil {
		c.t.Fatal(err)
	}
	if err := nc.Flush(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return nc
}

func (c *callout) answer(m nats.Msg) {
	req, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		c.t.Error(err)
		return
	}
	who := req.ConnectOptions
	c.asked <- who.Username + who.Token
	res := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	res.Audience = req.Server.ID
	if who.Username == "joe" && who.Password == "right" || who.Token == "t0ken" {
		user := jwt.NewUserClaims(req.UserNkey)
		user.Audience = "APP" // the account
		user.Pub.Deny.Add("secret")
		if who.Token != "" {
			user.Expires = time.Now().Add(2 * time.Second).Unix()
		}
		res.Jwt, err = user.Encode(c.issuer)
	} else {
		res.Error = "not you"
	}
	text, encodeErr := res.Encode(c.issuer)
	if err := errors.Join(err, encodeErr, m.Respond([]byte(text))); err != nil {
		c.t.Error(err)
	}
}

// A service decides who may come in and what he may do: both sides of it are
// connections of ours.
func TestAuthCallout(t *testing.T) {
	t.Parallel()
	c := runCallout(t)
	refused(t, c.srv.URL(), nats.ErrAuthorization, nats.UserInfo("joe", "right")) // nobody is there to decide
	service := c.serve()
	refused(t, c.srv.URL(), nats.ErrAuthorization, nats.UserInfo("joe", "wrong"))
	refused(t, c.srv.URL(), nats.ErrAuthorization)

	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, c.srv.URL(), nats.UserInfo("joe", "right"), handler, nats.ReconnectBackoff(0, 50*time.Millisecond))
	echo(t, nc)
	if err := nc.Publish("secret", nil); err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.AsyncError](t, events); !errors.Is(e.Err, nats.ErrPermission) {
		t.Errorf("%v", e)
	}
	if nc.ServerInfo().RemoteAccount == service.ServerInfo().RemoteAccount {
		t.Error("the user is in the account of the service")
	}
	// Both lose their links at once. Until the service is back nobody comes in;
	// then the user is asked for again.
	c.srv.Disconnect()
	ledger.Wait[nats.Disconnected](t, events)
	for range 2 {
		if err := nc.Reconnect(t.Context()); err == nil { // ends the wait after a refusal
			break
		}
	}
	echoAgain(t, nc)
}

// What the service lets in for a time is out when it is over, and comes back by
// itself as often as the service says yes.
func TestAuthCalloutExpires(t *testing.T) {
	t.Parallel()
	c := runCallout(t)
	c.serve()
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, c.srv.URL(), nats.Token("t0ken"), handler)
	if e := ledger.Wait[nats.Disconnected](t, events); !errors.Is(e.Err, nats.ErrAuthExpired) {
		t.Errorf("disconnected by %v", e.Err)
	}
	ledger.Wait[nats.Reconnected](t, events)
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if who := <-c.asked; who != "t0ken" {
			t.Errorf("asked for %q", who)
		}
	}
}

// echoAgain asks a responder that is there already.
func echoAgain(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if m, err := nc.Request(t.Context(), "echo", []byte("again")); err != nil || string(m.Data) != "again" {
		t.Errorf("%q, %v", m.Data, err)
	}
}

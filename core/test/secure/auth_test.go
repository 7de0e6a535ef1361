package secure

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// withUser puts user info into a server's URL.
func withUser(t testing.TB, raw string, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	return u.String()
}

func TestUserPasswordAndToken(t *testing.T) {
	t.Parallel()
	const secret = "s3cret@:/?"
	user := ledger.Run(t, natstest.UserPassword("joe", secret))
	token := ledger.Run(t, natstest.Token(secret))
	for name, tc := range map[string]struct {
		url  string
		opts []nats.Option
	}{
		"user option":    {user.URL(), []nats.Option{nats.UserInfo("joe", secret)}},
		"user handler":   {user.URL(), []nats.Option{nats.UserInfoHandler(func() (string, string) { return "joe", secret })}},
		"user in URL":    {withUser(t, user.URL(), url.UserPassword("joe", secret)), nil},
		"URL wins":       {withUser(t, user.URL(), url.UserPassword("joe", secret)), []nats.Option{nats.UserInfo("joe", "wrong")}},
		"token option":   {token.URL(), []nats.Option{nats.Token(secret)}},
		"token handler":  {token.URL(), []nats.Option{nats.TokenHandler(func() string { return secret })}},
		"token in URL":   {withUser(t, token.URL(), url.User(secret)), nil},
		"token URL wins": {withUser(t, token.URL(), url.User(secret)), []nats.Option{nats.Token("wrong")}},
	} {
		t.Run(name, func(t *testing.T) {
			nc := ledger.Connect(t, tc.url, tc.opts...)
			if err := nc.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			if u := nc.ConnectedURL(); strings.Contains(u, "s3cret") || !strings.HasPrefix(u, "nats://127.0.0.1:") {
				t.Errorf("connected URL %q", u)
			}
		})
	}
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.UserPassword("joe", "right"))
	_, err := nats.Connect(t.Context(), srv.URL(), nats.UserInfo("joe", "wr0ng-s3cret"), nats.Logger(nil))
	var ce *nats.ConnectError
	if !errors.As(err, &ce) || !errors.Is(err, nats.ErrAuthorization) || !errors.Is(err, nats.ErrNoServers) {
		t.Fatalf("%v", err)
	}
	if len(ce.Attempts) != 1 || ce.Attempts[0].URL != srv.URL() || strings.Contains(fmt.Sprintf("%+v %v", ce, err), "wr0ng") {
		t.Errorf("%+v", ce)
	}
}

// A client survives a time in which its credentials are refused.
func TestCredentialsComeBack(t *testing.T) {
	t.Parallel()
	config := func(password string) string {
		return fmt.Sprintf(`authorization { user: joe, password: %q }`, password)
	}
	srv := ledger.Run(t, natstest.Config(config("old")))
	events, handler := ledger.NewEvents()
	var password atomic.Value
	password.Store("old")
	nc := ledger.Connect(t, srv.URL(), handler, nats.UserInfoHandler(func() (string, string) {
		return "joe", password.Load().(string)
	}))
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Reload(config("new")); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Disconnected](t, events)
	if e := ledger.Wait[nats.ConnectFailed](t, events); !errors.Is(e.Err, nats.ErrAuthorization) {
		t.Errorf("failed with %v", e.Err)
	}
	if err := nc.Publish("x", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	password.Store("new")
	if err := nc.Reconnect(t.Context()); err != nil { // ends the back-off
		t.Fatal(err)
	}
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "kept" {
		t.Errorf("%v %v", m, err)
	}
}

func TestAbortOnAuthError(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.UserPassword("joe", "right"))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), nats.UserInfo("joe", "wrong"), handler,
		nats.RetryOnFailedConnect(true), nats.AbortOnAuthError(2), nats.ReconnectBackoff(0, time.Millisecond))
	e := ledger.Wait[nats.Closed](t, events)
	if !errors.Is(e.Err, nats.ErrAuthorization) || !errors.Is(nc.Err(), nats.ErrAuthorization) || nc.Status() != nats.StatusClosed {
		t.Errorf("closed with %v, Err %v, status %v", e.Err, nc.Err(), nc.Status())
	}
	if err := nc.Publish("x", nil); !errors.Is(err, nats.ErrClosed) {
		t.Error(err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	const config = `authorization { users: [ { user: joe, password: pw, permissions: {
		publish: { deny: ["secret.>", "ask.denied"] }
		subscribe: { deny: ["secret.>", "jobs guarded"] }
	} } ] }`
	srv := ledger.Run(t, natstest.Config(config))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), nats.UserInfo("joe", "pw"), handler)

	sub, err := nc.SubscribeSync("secret.plans")
	if err != nil {
		t.Fatal(err)
	}
	_, err = sub.Next(t.Context())
	var pe *nats.PermissionError
	if !errors.Is(err, nats.ErrPermission) || !errors.As(err, &pe) || pe.Subject != "secret.plans" || pe.Operation != "subscription" {
		t.Errorf("%v", err)
	}
	if e := ledger.Wait[nats.SubscriptionEnded](t, events); e.Subscription != sub || !errors.Is(e.Err, nats.ErrPermission) {
		t.Errorf("%v", e)
	}
	q, err := nc.SubscribeSync("jobs", nats.Queue("guarded"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = q.Next(t.Context()); !errors.As(err, &pe) || pe.Queue != "guarded" {
		t.Errorf("%v", err)
	}

	if err := nc.Publish("secret.plans", nil); err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.AsyncError](t, events); !errors.As(e.Err, &pe) || pe.Operation != "publish" || pe.Subject != "secret.plans" {
		t.Errorf("%v", e)
	}
	if !errors.Is(nc.LastError(), nats.ErrPermission) {
		t.Errorf("last error %v", nc.LastError())
	}
	// A refused request fails at once, not at its timeout.
	if _, err := nc.Request(t.Context(), "ask.denied", nil); !errors.Is(err, nats.ErrPermission) {
		t.Errorf("%v", err)
	}
	if nc.Status() != nats.StatusConnected {
		t.Errorf("status %v", nc.Status())
	}
}

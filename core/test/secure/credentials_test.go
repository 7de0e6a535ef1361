package secure

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// handler answers with an nkey, or a JWT, and the signature that goes with it.
func (u user) handler(asJWT bool) nats.Option {
	return nats.AuthHandler(func(_ context.Context, r nats.AuthRequest) (nats.Auth, error) {
		sig, err := u.sign(r.Nonce)
		a := nats.Auth{Nkey: u.public, Signature: base64.RawURLEncoding.EncodeToString(sig)}
		if asJWT {
			a.JWT, a.Nkey = u.jwt, ""
		}
		return a, err
	})
}

// works connects, and once more by itself.
func works(t *testing.T, url string, opts ...nats.Option) {
	t.Helper()
	nc := ledger.Connect(t, url, opts...)
	echo(t, nc)
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Error(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// refused connects with what the server does not accept.
func refused(t *testing.T, url string, want error, opts ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(t.Context(), url, append(opts, nats.Logger(nil))...)
	if err == nil {
		_ = nc.Close()
	}
	if !errors.Is(err, want) || !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func TestJWT(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	srv := o.run()
	u := o.user()
	bearer := o.user(func(c *jwt.UserClaims) { c.BearerToken = true })
	stranger := newOperator(t).user()
	late := o.user(expires(-time.Hour))
	text := u.creds(t)
	jwtOnly := newFile(t, text[:strings.Index(text, "*****")])
	seedOnly := newFile(t, text[strings.Index(text, "*****"):])
	ourJWT := func() (string, error) { return u.jwt, nil }
	none := func([]byte) ([]byte, error) { return nil, nil }
	for name, opt := range map[string]nats.Option{
		"file":             nats.UserCredentials(newFile(t, text)),
		"file with CR LF":  nats.UserCredentials(newFile(t, strings.ReplaceAll(text, "\n", "\r\n"))),
		"file with CR":     nats.UserCredentials(newFile(t, strings.ReplaceAll(text, "\n", "\r"))),
		"two files":        nats.UserCredentials(jwtOnly, seedOnly),
		"two bare files":   nats.UserCredentials(newFile(t, u.jwt), newFile(t, u.seed)),
		"bytes":            nats.UserCredentialBytes([]byte(text)),
		"bytes, apart":     nats.UserCredentialBytes([]byte(u.jwt), []byte(u.seed)),
		"JWT and seed":     nats.UserJWTAndSeed(u.jwt, u.seed),
		"functions":        nats.UserJWT(ourJWT, u.sign),
		"AuthHandler":      u.handler(true),
		"bearer":           nats.UserJWT(func() (string, error) { return bearer.jwt, nil }, none),
		"bearer, AuthHand": nats.AuthHandler(func(context.Context, nats.AuthRequest) (nats.Auth, error) { return nats.Auth{JWT: bearer.jwt}, nil }),
		"bearer's file":    nats.UserCredentials(newFile(t, bearer.creds(t))),
	} {
		t.Run(name, func(t *testing.T) { works(t, srv.URL(), opt) })
	}
	for name, opt := range map[string]nats.Option{
		"nothing":           nats.Name("nobody"),
		"a stranger":        nats.UserJWTAndSeed(stranger.jwt, stranger.seed),
		"expired long ago":  nats.UserJWTAndSeed(late.jwt, late.seed),
		"no signature":      nats.UserJWT(ourJWT, none),
		"another signature": nats.UserJWT(ourJWT, bearer.sign),
		"not a JWT":         nats.UserJWT(func() (string, error) { return "hello", nil }, u.sign),
		"only an nkey":      nats.Nkey(u.public, u.sign),
	} {
		t.Run(name, func(t *testing.T) { refused(t, srv.URL(), nats.ErrAuthorization, opt) })
	}
	// A server that wants no credentials takes no offence.
	t.Run("server without", func(t *testing.T) { works(t, ledger.Run(t).URL(), nats.UserJWTAndSeed(u.jwt, u.seed)) })
}

func TestNkey(t *testing.T) {
	t.Parallel()
	_, public, seed := newKey(t, nkeys.PrefixByteUser)
	u := user{public: public, seed: seed}
	_, public, seed = newKey(t, nkeys.PrefixByteUser)
	other := user{public: public, seed: seed}
	srv := ledger.Run(t, natstest.Config(fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", u.public)))
	for name, opt := range map[string]nats.Option{
		"function": nats.Nkey(u.public, u.sign), "bare seed": nats.NkeyFromSeed(newFile(t, u.seed+"\r\n")),
		"decorated seed": nats.NkeyFromSeed(newFile(t, "-----BEGIN USER NKEY SEED-----\n"+u.seed+"\n------END USER NKEY SEED------\n")),
		"AuthHandler":    u.handler(false),
	} {
		t.Run(name, func(t *testing.T) { works(t, srv.URL(), opt) })
	}
	for name, opt := range map[string]nats.Option{
		"unknown": nats.NkeyFromSeed(newFile(t, other.seed)), "wrong signature": nats.Nkey(u.public, other.sign), "nothing": nats.Name("x"),
	} {
		t.Run(name, func(t *testing.T) { refused(t, srv.URL(), nats.ErrAuthorization, opt) })
	}
	t.Run("server without", func(t *testing.T) {
		refused(t, ledger.Run(t).URL(), nats.ErrAuthorization, nats.Nkey(u.public, u.sign))
	})
}

// What a server says of credentials that were good, and how they come back: the
// file is replaced, and the connection goes on.
func TestCredentialsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first  func(*operator) user
		end    func(*operator, *natstest.Server, user)
		repair func(*operator, *natstest.Server)
		want   error
	}{
		"user expires": {
			func(o *operator) user { return o.user(expires(2 * time.Second)) },
			func(*operator, *natstest.Server, user) {}, func(*operator, *natstest.Server) {}, nats.ErrAuthExpired,
		},
		"user is revoked": {
			func(o *operator) user { return o.user() },
			func(o *operator, srv *natstest.Server, u user) { o.account.Revoke(u.public); o.reload(srv) },
			func(*operator, *natstest.Server) {}, nats.ErrAuthRevoked,
		},
		"account expires": {
			func(o *operator) user { o.account.Expires = time.Now().Add(3 * time.Second).Unix(); return o.user() },
			func(*operator, *natstest.Server, user) {},
			func(o *operator, srv *natstest.Server) { o.account.Expires = 0; o.reload(srv) }, nats.ErrAccountAuthExpired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOperator(t)
			u := c.first(o)
			srv := o.run()
			file := newFile(t, u.creds(t))
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, srv.URL(), handler, nats.UserCredentials(file), nats.ReconnectBackoff(0, 50*time.Millisecond))
			sub, err := nc.SubscribeSync("x")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.end(o, srv, u)
			if e := ledger.Wait[nats.Disconnected](t, events); !errors.Is(e.Err, c.want) {
				t.Errorf("disconnected by %v, want %v", e.Err, c.want)
			}
			// A moment later the server gives no reason any more.
			e := ledger.Wait[nats.ConnectFailed](t, events)
			if !errors.Is(e.Err, nats.ErrAuthorization) && !errors.Is(e.Err, c.want) {
				t.Errorf("attempt failed with %v", e.Err)
			}
			if s := fmt.Sprintf("%+v", e); strings.Contains(s, u.seed) || strings.Contains(s, u.jwt) {
				t.Errorf("the event shows a secret: %s", s)
			}
			if err := nc.Publish("x", []byte("kept")); err != nil {
				t.Fatal(err)
			}
			c.repair(o, srv)
			put(t, file, o.user().creds(t))
			if err := nc.Reconnect(t.Context()); err != nil { // ends the wait after a refusal
				t.Fatal(err)
			}
			if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "kept" {
				t.Errorf("%v %v", m, err)
			}
		})
	}
}

// A JWT that expires during a connection is renewed by the handler that is asked
// for it: the next link comes at once, without a refusal, and nothing is lost.
func TestJWTIsRenewed(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	srv := o.run()
	u := o.user()
	var asked atomic.Int64
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.AuthHandler(func(_ context.Context, r nats.AuthRequest) (nats.Auth, error) {
		asked.Add(1)
		sig, err := u.sign(r.Nonce)
		return nats.Auth{JWT: o.issue(u, expires(2*time.Second)).jwt, Signature: base64.RawURLEncoding.EncodeToString(sig)}, err
	}))
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.Disconnected](t, events); !errors.Is(e.Err, nats.ErrAuthExpired) {
		t.Errorf("disconnected by %v", e.Err)
	}
	if err := nc.Publish("x", []byte("on")); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Reconnected](t, events)
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "on" {
		t.Errorf("%q %v", m.Data, err)
	}
	for _, e := range events.All() {
		if _, ok := e.(nats.ConnectFailed); ok {
			t.Errorf("%v", e)
		}
	}
	if asked.Load() < 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// AbortOnAuthError counts refusals of JWTs like others.
func TestAbortOnRevokedJWT(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	srv := o.run()
	u := o.user()
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.UserJWTAndSeed(u.jwt, u.seed), nats.AbortOnAuthError(1))
	o.account.Revoke(u.public)
	o.reload(srv)
	if e := ledger.Wait[nats.Disconnected](t, events); !errors.Is(e.Err, nats.ErrAuthRevoked) {
		t.Errorf("disconnected by %v", e.Err)
	}
	if e := ledger.Wait[nats.Closed](t, events); !errors.Is(e.Err, nats.ErrAuthorization) || !errors.Is(nc.Err(), nats.ErrAuthorization) {
		t.Errorf("closed with %v", e.Err)
	}
}

// A file that is not there, or half written, when a reconnect reads it.
func TestCredentialsFileIsMended(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	srv := o.run()
	file := newFile(t, o.user().creds(t))
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.UserCredentials(file), nats.ReconnectBackoff(0, 10*time.Millisecond))
	put(t, file, o.user().creds(t)[:60])
	srv.Disconnect(nc.Name())
	e := ledger.WaitN[nats.ConnectFailed](t, events, 2)
	var oe *nats.OptionError
	if !errors.As(e.Err, &oe) || oe.Option != "UserCredentials" || !strings.Contains(e.Err.Error(), file) {
		t.Errorf("%v", e.Err)
	}
	put(t, file, o.user().creds(t))
	ledger.Wait[nats.Reconnected](t, events)
	echo(t, nc)
}

// Several kinds at once: each server takes what it wants, so one set of
// credentials serves them all.
func TestSeveralKindsOfCredentials(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	u := o.user()
	servers := []*natstest.Server{
		o.run(),
		ledger.Run(t, natstest.Config(fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", u.public))),
		ledger.Run(t, natstest.UserPassword("joe", "pw")),
		ledger.Run(t, natstest.Token("t0ken")),
		ledger.Run(t),
	}
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	var asked atomic.Value
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, urls[0], nats.Servers(urls[1:]...), nats.DontRandomize(), handler,
		nats.AuthHandler(func(_ context.Context, r nats.AuthRequest) (nats.Auth, error) {
			asked.Store(r.Server.URL)
			sig, err := u.sign(r.Nonce)
			a := nats.Auth{User: "joe", Password: "pw", JWT: u.jwt, Nkey: u.public, Signature: base64.RawURLEncoding.EncodeToString(sig)}
			if r.Server.URL == urls[3] { // this one looks at the user first
				a = nats.Auth{Token: "t0ken"}
			}
			return a, err
		}))
	for i, s := range servers {
		if i > 0 {
			ledger.WaitN[nats.Reconnected](t, events, i)
		}
		if got := nc.ConnectedURL(); got != urls[i] || asked.Load() != urls[i] {
			t.Fatalf("at %s, asked for %s, want %s", got, asked.Load(), urls[i])
		}
		if err := nc.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if i < len(servers)-1 {
			s.Shutdown()
		}
	}
}

// A JWT that makes CONNECT longer than servers take by default.
func TestLongJWT(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	u := o.user(func(c *jwt.UserClaims) {
		for i := range 300 {
			c.Tags.Add(fmt.Sprintf("tag-%d-of-many", i))
		}
	})
	opt := nats.UserJWTAndSeed(u.jwt, u.seed)
	usual := o.run()
	for range 20 { // whatever the kernel does with the server's last words
		refused(t, usual.URL(), nats.ErrMaxControlLine, opt)
	}
	works(t, o.run("max_control_line: 64KB").URL(), opt)
}

// The longest CONNECT that a server takes by default, to the byte.
func TestLongestConnect(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	bytes := len(`{"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true,"tls_required":false,` +
		`"protocol":1,"lang":"go","version":"` + nats.Version + `","name":""}`)
	works(t, srv.URL(), nats.Name(strings.Repeat("n", 4096-bytes)))
	refused(t, srv.URL(), nats.ErrMaxControlLine, nats.Name(strings.Repeat("n", 4097-bytes)))
}

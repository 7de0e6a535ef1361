package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// testUser is a user with a JWT that nobody has signed: the fake server does not
// look.
type testUser struct{ jwt, seed, public string }

func newUser(t *testing.T) testUser {
	t.Helper()
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	jwt := b64([]byte(`{"typ":"JWT"}`)) + "." + b64([]byte(`{"sub":"`+public+`"}`)) + "." + b64([]byte("sig"))
	return testUser{jwt, string(seed), public}
}

// sign is a SignatureHandler.
func (u testUser) sign(nonce []byte) ([]byte, error) {
	pair, err := nkeys.FromSeed([]byte(u.seed))
	if err != nil {
		return nil, err
	}
	return pair.Sign(nonce)
}

// creds is the user's credentials file.
func (u testUser) creds() string {
	return "-----BEGIN NATS USER JWT-----\r\n" + u.jwt + "\r\n------END NATS USER JWT------\r\n\r\n# keep it secret\r\n" +
		"-----BEGIN USER NKEY SEED-----\r\n" + u.seed + "\r\n------END USER NKEY SEED------\r\n"
}

func (u testUser) file(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// signature is that of u over the nonce as it stands in CONNECT.
func (u testUser) signature(t *testing.T, nonce string) string {
	t.Helper()
	sig, err := u.sign([]byte(nonce))
	must(t, err)
	return base64.RawURLEncoding.EncodeToString(sig)
}

// TestAuthDocument holds CONNECT against the whole document for each way to say
// who we are: an nkey's signature is the same each time.
func TestAuthDocument(t *testing.T) {
	const nonce = "n0nce_-of+server"
	u := newUser(t)
	jwt := `,"jwt":"` + u.jwt + `","sig":"` + u.signature(t, nonce) + `"}`
	nkey := `,"nkey":"` + u.public + `","sig":"` + u.signature(t, nonce) + `"}`
	ourJWT := func() (string, error) { return u.jwt, nil }
	for _, c := range []struct {
		name, url, want string
		opts            []Option
	}{
		{"UserCredentials", "", jwt, []Option{UserCredentials(u.file(t, "joe.creds", u.creds()))}},
		{"UserCredentials, apart", "", jwt, []Option{UserCredentials(u.file(t, "jwt", u.jwt), u.file(t, "seed", u.seed))}},
		{"UserCredentialBytes", "", jwt, []Option{UserCredentialBytes([]byte(u.creds()))}},
		{"UserCredentialBytes, apart", "", jwt, []Option{UserCredentialBytes([]byte(u.jwt), []byte(u.seed))}},
		{"UserJWTAndSeed", "", jwt, []Option{UserJWTAndSeed(u.jwt, u.seed)}},
		{"UserJWT", "", jwt, []Option{UserJWT(ourJWT, u.sign)}},
		{"UserJWT of a bearer", "", `,"jwt":"` + u.jwt + `"}`,
			[]Option{UserJWT(ourJWT, func([]byte) ([]byte, error) { return nil, nil })}},
		{"Nkey", "", nkey, []Option{Nkey(u.public, u.sign)}},
		{"NkeyFromSeed", "", nkey, []Option{NkeyFromSeed(u.file(t, "joe.nk", u.seed))}},
		{"a later one of the same name wins", "", nkey, []Option{Nkey(newUser(t).public, u.sign), Nkey(u.public, u.sign)}},
		{"beside a user", "", `,"user":"u","pass":"p"` + jwt, []Option{UserInfo("u", "p"), UserJWTAndSeed(u.jwt, u.seed)}},
		{"beside a user in the URL", "nats://u:p@server", `,"user":"u","pass":"p"` + nkey, []Option{Nkey(u.public, u.sign)}},
		{"beside a token", "nats://t@server", `,"auth_token":"t"` + jwt, []Option{UserJWT(ourJWT, u.sign)}},
		{"AuthHandler, nothing", "nats://u:p@server", `}`, []Option{
			AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{}, nil }), Nkey(u.public, u.sign),
		}},
		{"AuthHandler, everything", "nats://u:p@server", `,"user":"a","pass":"b","auth_token":"c","jwt":"d","nkey":"e","sig":"f"}`, []Option{
			Token("t"), UserJWTAndSeed(u.jwt, u.seed),
			AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{"a", "b", "c", "d", "e", "f"}, nil }),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.SetInfo("nonce", nonce)
				url := c.url
				if url == "" {
					url = "nats://server:4222"
				}
				nc := connectTo(t, n, url, c.opts...)
				for range 2 {
					if got := document(t, s); got != plainDocument+c.want {
						t.Errorf("CONNECT is\n%s, want\n%s", got, plainDocument+c.want)
					}
					must(t, nc.Reconnect(t.Context()))
				}
			})
		})
	}
}

// TestNoNonce: there is nothing to sign. A JWT is sent all the same, because
// the server may pass it on to a callout, or not look at it; an nkey alone
// proves nothing.
func TestNoNonce(t *testing.T) {
	u := newUser(t)
	never := func([]byte) ([]byte, error) { return nil, errors.New("asked") }
	for name, o := range map[string]Option{
		"UserJWTAndSeed": UserJWTAndSeed(u.jwt, u.seed),
		"UserJWT":        UserJWT(func() (string, error) { return u.jwt, nil }, never),
	} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			connect(t, n, o)
			if got, want := document(t, s), plainDocument+`,"jwt":"`+u.jwt+`"}`; got != want {
				t.Errorf("%s: CONNECT is\n%s, want\n%s", name, got, want)
			}
		})
	}
	for name, o := range map[string]Option{"Nkey": Nkey(u.public, never), "NkeyFromSeed": NkeyFromSeed(u.file(t, "nk", u.seed))} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			_, err := Connect(t.Context(), "server", options(n, []Option{o})...)
			isErr(t, err, ErrAuthorization, ErrNoServers)
			if !strings.Contains(err.Error(), name) || len(s.Ops()) != 0 {
				t.Errorf("%v, sent %v", err, names(s.Ops()))
			}
		})
	}
}

// TestOneWayToProve: a JWT or an nkey, from one place.
func TestOneWayToProve(t *testing.T) {
	u := newUser(t)
	n := fakeserver.New()
	ways := map[string]Option{
		"UserCredentials": UserCredentials(u.file(t, "creds", u.creds())), "UserCredentialBytes": UserCredentialBytes([]byte(u.creds())),
		"UserJWTAndSeed": UserJWTAndSeed(u.jwt, u.seed), "UserJWT": UserJWT(func() (string, error) { return u.jwt, nil }, u.sign),
		"Nkey": Nkey(u.public, u.sign), "NkeyFromSeed": NkeyFromSeed(u.file(t, "seed", u.seed)),
	}
	for first, a := range ways {
		for second, b := range ways {
			_, err := Connect(t.Context(), "server", UseDialer(n), Logger(nil), a, b)
			var oe *OptionError
			if first == second {
				isErr(t, err, ErrNoServers)
			} else if !errors.As(err, &oe) || oe.Option != second || !strings.Contains(oe.Problem, first) {
				t.Errorf("%s and %s: %v", first, second, err)
			}
		}
	}
}

// TestCredentialBytesAreCopied, so the user may wipe them.
func TestCredentialBytesAreCopied(t *testing.T) {
	u := newUser(t)
	for name, split := range map[string]bool{"whole": false, "apart": true} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			s.SetInfo("nonce", "n")
			doc, seed := []byte(u.creds()), []byte(u.seed)
			o := UserCredentialBytes(doc)
			if split {
				o = UserCredentialBytes(doc, seed)
			}
			clear(doc)
			clear(seed)
			connect(t, n, o)
			if got := s.Peer().Doc()["sig"]; got != u.signature(t, "n") {
				t.Errorf("%s: sig %v", name, got)
			}
		})
	}
}

// TestCredentialsFileIsReadAgain: a file that is missing or half written fails
// the attempt, and the next one reads again.
func TestCredentialsFileIsReadAgain(t *testing.T) {
	old, now := newUser(t), newUser(t)
	for name, c := range map[string]struct {
		opt    func(file string) Option
		text   func(testUser) string
		field  string
		option string
	}{
		"UserCredentials": {func(f string) Option { return UserCredentials(f) }, testUser.creds, "jwt", "UserCredentials"},
		"NkeyFromSeed":    {NkeyFromSeed, func(u testUser) string { return u.seed }, "nkey", "NkeyFromSeed"},
	} {
		t.Run(name, func(t *testing.T) {
			file := old.file(t, "joe", c.text(old))
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.SetInfo("nonce", "n")
				log := &eventLog{}
				nc := connect(t, n, c.opt(file), log.option(), ReconnectBackoff(time.Second, time.Second))
				pass(2 * time.Second)
				must(t, os.WriteFile(file, []byte(c.text(now)[:20]), 0o600))
				lose(s)
				must(t, os.Remove(file))
				pass(1500 * time.Millisecond)
				must(t, os.WriteFile(file, []byte(c.text(now)), 0o600))
				must(t, nc.Flush(in(t, 10*time.Second)))
				failed := of[ConnectFailed](log)
				if len(failed) != 2 {
					t.Fatalf("events %v", log.all())
				}
				for i, e := range failed {
					var oe *OptionError
					if !errors.As(e.Err, &oe) || oe.Option != c.option || !strings.Contains(e.Err.Error(), file) ||
						errors.Is(e.Err, fs.ErrNotExist) != (i == 1) || errors.Is(e.Err, ErrDisconnected) {
						t.Errorf("attempt %d: %v", i+1, e.Err)
					}
					if text := fmt.Sprintf("%+v", e.Err); strings.Contains(text, now.seed[:20]) || strings.Count(text, "nats: ") != 1 {
						t.Errorf("attempt %d: %s", i+1, text)
					}
				}
				if got := s.Peer().Doc()["sig"]; got != now.signature(t, "n") {
					t.Errorf("the new user did not sign: %v", s.Peer().Doc())
				}
				if got := s.Peer().Doc()[c.field]; got != now.jwt && got != now.public {
					t.Errorf("%s is %v", c.field, got)
				}
			})
		})
	}
}

var errVault = errors.New("the vault is closed")

// TestCredentialHandlersFail: the attempt fails with their error, nothing is
// sent, and the next attempt asks again.
func TestCredentialHandlersFail(t *testing.T) {
	u := newUser(t)
	var fail atomic.Pointer[error]
	failing := func() error {
		if e := fail.Load(); e != nil {
			return *e
		}
		return nil
	}
	ourJWT := func() (string, error) { return u.jwt, failing() }
	sign := func(nonce []byte) ([]byte, error) {
		if err := failing(); err != nil {
			return nil, err
		}
		return u.sign(nonce)
	}
	for name, o := range map[string]Option{
		"UserJWT, JWT":   UserJWT(ourJWT, u.sign),
		"UserJWT, sign":  UserJWT(func() (string, error) { return u.jwt, nil }, sign),
		"Nkey":           Nkey(u.public, sign),
		"AuthHandler":    AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{User: "u"}, failing() }),
		"AuthHandler, 2": AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{}, failing() }),
	} {
		t.Run(name, func(t *testing.T) {
			// Errors that look like something else are the handler's all the same.
			for _, cause := range []error{errVault, io.EOF, ErrAuthorization, context.DeadlineExceeded, ErrTLS} {
				fail.Store(nil)
				bubble(t, func(t *testing.T) {
					n, s := fakeserver.One()
					s.SetInfo("nonce", "n")
					log := &eventLog{}
					nc := connect(t, n, o, log.option(), ReconnectBackoff(time.Second, time.Second))
					pass(2 * time.Second)
					fail.Store(&cause)
					lose(s)
					e := one[ConnectFailed](t, log)
					isErr(t, e.Err, cause)
					option, _, _ := strings.Cut(name, ",")
					if !strings.HasPrefix(e.Err.Error(), "nats: "+option+": ") || errors.Is(e.Err, ErrDisconnected) {
						t.Errorf("%v", e.Err)
					}
					if sent := s.Peer().Raw(); sent != "" {
						t.Errorf("sent %q", sent)
					}
					var ce *ConnectError
					_, err := Connect(t.Context(), "server", options(n, []Option{o})...)
					isErr(t, err, cause, ErrNoServers)
					if !errors.As(err, &ce) {
						t.Errorf("%v", err)
					}
					fail.Store(nil)
					must(t, nc.Flush(in(t, 10*time.Second)))
				})
			}
		})
	}
}

// TestAuthRequest: what an AuthHandler is told.
func TestAuthRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		a.SetInfo("nonce", "of a").SetInfo("connect_urls", []string{"b:2"})
		b.SetInfo("nonce", "of b")
		var asked []AuthRequest
		nc := connectTo(t, n, "nats://joe:pw@a:1", ReconnectBackoff(time.Second, time.Second),
			AuthHandler(func(ctx context.Context, r AuthRequest) (Auth, error) {
				if d, ok := ctx.Deadline(); !ok || time.Until(d) != 3*time.Second {
					t.Errorf("the context ends at %v", d)
				}
				asked = append(asked, r)
				clear(r.Nonce)
				return Auth{User: r.Server.URL, Token: r.Info.Name}, nil
			}), Timeout(3*time.Second))
		pass(2 * time.Second)
		a.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Err("User Authentication Expired")
			p.Close()
			return true
		})
		b.Refuse(true)
		lose(a)
		pass(1500 * time.Millisecond) // a has refused twice
		b.Refuse(false)
		a.Stop()
		must(t, nc.Flush(in(t, 10*time.Second)))
		var urls []string
		for _, r := range asked {
			urls = append(urls, r.Server.URL)
			if r.Info.Nonce != "of "+r.Server.URL[len("nats://"):][:1] || r.Secure || r.Server.Current {
				t.Errorf("%+v", r)
			}
		}
		if want := []string{"nats://a:1", "nats://a:1", "nats://a:1", "nats://b:2"}; !slices.Equal(urls, want) {
			t.Fatalf("asked for %q, want %q", urls, want)
		}
		if asked[0].Server.Attempts != 0 || asked[1].Server.Attempts != 0 || asked[2].Server.Attempts != 1 || asked[0].Server.Discovered {
			t.Errorf("%+v", asked)
		}
		isErr(t, asked[2].Server.LastErr, ErrAuthExpired)
		if last := asked[3]; !last.Server.Discovered || last.Server.Attempts == 0 {
			t.Errorf("%+v", last)
		}
		if doc := b.Peer().Doc(); doc["user"] != "nats://b:2" || doc["auth_token"] != "b:2" || doc["pass"] != nil {
			t.Errorf("sent %v", doc)
		}
	})
}

// TestAuthRequestInTLS: the handler sees that its answer is protected.
func TestAuthRequestInTLS(t *testing.T) {
	for _, first := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			secure(t, s, first, "server")
			inTLS := false
			opts := []Option{trust(), AuthHandler(func(_ context.Context, r AuthRequest) (Auth, error) {
				inTLS = r.Secure
				return Auth{}, nil
			})}
			if first {
				opts = append(opts, TLSHandshakeFirst())
			}
			connect(t, n, opts...)
			if !inTLS {
				t.Errorf("TLS first %v: not secure", first)
			}
		})
	}
}

// TestCredentialHandlersBlock: one that does not come back is left behind when
// the attempt's time is over; the next attempt asks again. What it answers in
// the end goes nowhere.
func TestCredentialHandlersBlock(t *testing.T) {
	u := newUser(t)
	for name, handler := range map[string]func(wait func()) Option{
		"UserJWT, JWT": func(wait func()) Option { return UserJWT(func() (string, error) { wait(); return u.jwt, nil }, u.sign) },
		"UserJWT, sign": func(wait func()) Option {
			return UserJWT(func() (string, error) { return u.jwt, nil }, func(n []byte) ([]byte, error) { wait(); return u.sign(n) })
		},
		"Nkey": func(wait func()) Option {
			return Nkey(u.public, func(n []byte) ([]byte, error) { wait(); return u.sign(n) })
		},
		"AuthHandler": func(wait func()) Option {
			return AuthHandler(func(context.Context, AuthRequest) (Auth, error) { wait(); return Auth{Token: "late"}, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.SetInfo("nonce", "n")
				hold := make(chan struct{})
				var blocked atomic.Int32
				o := handler(func() {
					if blocked.Add(1) == 1 {
						<-hold
					}
				})
				start := time.Now()
				_, err := Connect(t.Context(), "server", options(n, []Option{o, Timeout(time.Second)})...)
				isErr(t, err, context.DeadlineExceeded, ErrNoServers)
				if took := time.Since(start); took > time.Second+2*abandonAfter {
					t.Errorf("took %v", took)
				}
				connect(t, n, o, Timeout(time.Second))
				close(hold)
				synctest.Wait()
				if first := s.Peers()[0]; first.Open() || first.Raw() != "" {
					t.Errorf("the first connection: open %v, sent %q", first.Open(), first.Raw())
				}
			})
		})
	}
}

// TestAuthHandlerSeesTheEnd: its context ends with the attempt, and with Close.
func TestAuthHandlerSeesTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		var ended []error
		o := AuthHandler(func(ctx context.Context, _ AuthRequest) (Auth, error) {
			<-ctx.Done()
			ended = append(ended, ctx.Err())
			return Auth{}, ctx.Err()
		})
		_, err := Connect(t.Context(), "server", options(n, []Option{o, Timeout(time.Second)})...)
		isErr(t, err, context.DeadlineExceeded)
		nc := connectLazily(t, n, o, Timeout(time.Minute))
		pass(time.Second)
		must(t, nc.Close())
		synctest.Wait()
		if len(ended) != 2 || ended[0] != context.DeadlineExceeded || ended[1] != context.Canceled {
			t.Errorf("ended with %v", ended)
		}
	})
}

// connectLazily does not wait for a link.
func connectLazily(t *testing.T, n *fakeserver.Net, opts ...Option) *Conn {
	t.Helper()
	return connectTo(t, n, "nats://server:4222", append(opts, RetryOnFailedConnect(true))...)
}

// TestCredentialHandlersMayCallTheConn: no lock is held around them.
func TestCredentialHandlersMayCallTheConn(t *testing.T) {
	u := newUser(t)
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("nonce", "n")
		conn := make(chan *Conn, 1)
		use := func() {
			nc := <-conn
			defer func() { conn <- nc }()
			_, _, _ = nc.Servers(), nc.Status(), nc.Stats()
			must(t, nc.Publish("a", []byte("x")))
			must(t, nc.SetServers([]string{"server"}))
		}
		log := &eventLog{}
		nc := connectLazily(t, n, log.option(), UserJWT(func() (string, error) { use(); return u.jwt, nil },
			func(nonce []byte) ([]byte, error) { use(); return u.sign(nonce) }))
		conn <- nc
		flush(t, nc)
		must(t, nc.Reconnect(t.Context()))
		flush(t, nc)
		if got := s.Payloads("a"); len(got) != 4 || len(of[ConnectFailed](log)) != 0 {
			t.Errorf("%q arrived, %v", got, log.all())
		}
		must(t, nc.Close())
	})
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		conn := make(chan *Conn, 1)
		nc := connectLazily(t, n, AuthHandler(func(context.Context, AuthRequest) (Auth, error) {
			nc := <-conn
			return Auth{}, nc.Close() // waits for the supervisor
		}))
		conn <- nc
		pass(10 * time.Second)
		if nc.Status() != StatusClosed {
			t.Errorf("status %v", nc.Status())
		}
	})
}

// TestCredentialHandlersGoexit, as t.FailNow does: the attempt fails at once, and
// its connection is closed.
func TestCredentialHandlersGoexit(t *testing.T) {
	u := newUser(t)
	for name, o := range map[string]Option{
		"UserInfoHandler": UserInfoHandler(func() (string, string) { goexit(); return "", "" }),
		"Nkey":            Nkey(u.public, func([]byte) ([]byte, error) { goexit(); return nil, nil }),
		"AuthHandler":     AuthHandler(func(context.Context, AuthRequest) (Auth, error) { goexit(); return Auth{}, nil }),
	} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			s.SetInfo("nonce", "n")
			start := time.Now()
			_, err := Connect(t.Context(), "server", options(n, []Option{o})...)
			isErr(t, err, errGoexit, ErrNoServers)
			synctest.Wait()
			if time.Since(start) != 0 || s.Peer().Open() {
				t.Errorf("%s: took %v, open %v", name, time.Since(start), s.Peer().Open())
			}
		})
	}
}

// TestRefusalByAuthHandler counts like one by the server.
func TestRefusalByAuthHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		log := &eventLog{}
		asked := 0
		nc := connectLazily(t, n, log.option(), AbortOnAuthError(3), AuthHandler(func(context.Context, AuthRequest) (Auth, error) {
			asked++
			return Auth{}, fmt.Errorf("no entry: %w", ErrAuthorization)
		}))
		start := time.Now()
		<-nc.Done()
		if took := time.Since(start); asked != 3 || took < 3*time.Second {
			t.Errorf("asked %d times in %v", asked, took)
		}
		isErr(t, nc.Err(), ErrAuthorization)
	})
}

// TestPlainDiscoveryWarns, once, when there is something to protect.
func TestPlainDiscoveryWarns(t *testing.T) {
	u := newUser(t)
	for name, c := range map[string]struct {
		opts []Option
		want int
	}{
		"nothing": {nil, 0}, "JWT": {[]Option{UserJWTAndSeed(u.jwt, u.seed)}, 1}, "nkey": {[]Option{Nkey(u.public, u.sign)}, 1},
		"AuthHandler": {[]Option{AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{}, nil })}, 1},
	} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			s.SetInfo("nonce", "n")
			log := &eventLog{}
			connect(t, n, append(c.opts, log.option())...)
			for _, url := range []string{"b:2", "c:3"} {
				s.Peer().SendInfo(map[string]any{"connect_urls": []string{url}})
				synctest.Wait()
			}
			if got := of[AsyncError](log); len(got) != c.want || c.want > 0 && !errors.Is(got[0].Err, errPlainSecret) {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// TestLongCredentials: what happens to a CONNECT longer than the server takes.
func TestLongCredentials(t *testing.T) {
	long := UserJWT(func() (string, error) { return strings.Repeat("x", 5000), nil }, func([]byte) ([]byte, error) { return nil, nil })
	for name, refuse := range map[string]func(*fakeserver.Peer){
		"says so":      func(p *fakeserver.Peer) { p.Err("maximum control line exceeded"); p.Close() },
		"says nothing": func(p *fakeserver.Peer) { p.Close() },
		"resets":       func(p *fakeserver.Peer) { p.Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				connect(t, n, long) // a server with a larger max_control_line
				s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { refuse(p); return true })
				_, err := Connect(t.Context(), "server", options(n, []Option{long})...)
				isErr(t, err, ErrMaxControlLine, ErrNoServers)
				if errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "4096") {
					t.Errorf("%v", err)
				}
			})
		})
	}
	bubble(t, func(t *testing.T) { // a server with a smaller one
		n, s := fakeserver.One()
		s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Err("Maximum Control Line Exceeded")
			p.Close()
			return true
		})
		_, err := Connect(t.Context(), "server", options(n, nil)...)
		isErr(t, err, ErrMaxControlLine)
	})
}

// TestAuthIsNotPrinted, with whatever verb, and not logged.
func TestAuthIsNotPrinted(t *testing.T) {
	a := Auth{"s3cret-u", "s3cret-p", "s3cret-t", "s3cret-j", "s3cret-n", "s3cret-s"}
	var out strings.Builder
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, format+format+format+"\n", a, &a, []Auth{a})
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("auth", "auth", a)
	}
	if strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "signature") {
		t.Errorf("shown:\n%s", &out)
	}
	if got := fmt.Sprint(Auth{}, Auth{User: "u", JWT: "j"}); got != "no credentials credentials: user, JWT" {
		t.Errorf("%q", got)
	}
}

package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestNoSecretShows lets everything fail that can, with a secret in every place
// where there may be one, and searches all that is said.
func TestNoSecretShows(t *testing.T) {
	const secret, nonce = "s3cr3tw0rd", "n0nce"
	u := newUser(t)
	// A part is enough: what was cut off something shows it too.
	secrets := []string{secret, u.seed[:12], u.jwt[len(u.jwt)-30:], u.signature(t, nonce)[:20]}
	shows := func(text string) bool {
		return slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) })
	}
	check := func(t *testing.T, what string, v any) {
		t.Helper()
		for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)} {
			if shows(text) {
				t.Errorf("%s shows a secret: %s", what, text)
			}
		}
		if err, ok := v.(error); ok {
			for e := err; e != nil; e = errors.Unwrap(e) {
				if shows(e.Error()) {
					t.Errorf("%s shows a secret: %v", what, e)
				}
			}
		}
	}
	opts := map[string]Option{
		"UserInfo": UserInfo("user", secret), "Token": Token(secret),
		"UserInfoHandler": UserInfoHandler(func() (string, string) { return "user", secret }),
		"TokenHandler":    TokenHandler(func() string { return secret }),
		"UserCredentials": UserCredentials(u.file(t, "creds", u.creds())), "UserCredentialBytes": UserCredentialBytes([]byte(u.creds())),
		"UserJWTAndSeed": UserJWTAndSeed(u.jwt, u.seed), "UserJWT": UserJWT(func() (string, error) { return u.jwt, nil }, u.sign),
		"Nkey": Nkey(u.public, u.sign), "NkeyFromSeed": NkeyFromSeed(u.file(t, "seed", u.seed)),
		"AuthHandler": AuthHandler(func(_ context.Context, r AuthRequest) (Auth, error) {
			check(t, "AuthRequest", r)
			a := Auth{secret, secret, secret, u.jwt, u.seed, u.signature(t, string(r.Nonce))}
			check(t, "Auth", a)
			return a, nil
		}),
	}
	for name, o := range opts {
		check(t, name, o)
	}
	for _, url := range []string{
		"nats://user:" + secret + "@", "nats://user:" + secret + "%zz@server", "nats://user:" + secret, "http://user:" + secret + "@server",
		secret + "@", "nats://" + secret + "@:4222", "nats://user:" + secret + "@server:99999", "nats://user:" + secret + "@server/x",
		"user:" + secret + "@server?x=" + "y", "nats://user:pa," + secret + "@server", "nats://user:" + secret + ",x@server",
		"nats://us er:" + secret + "@server", "nats://user:" + secret + "@[::1", "nats://user:x@" + secret + "@",
		"nats://user:" + secret + "\n@server", "user:" + secret, "nats://user:" + secret + ":1",
		"ws://user:" + secret + "@server:0", "ws://server/?key=" + secret + "#f", "ws://server/?key=" + secret + " x", "wss://server:0/" + secret,
		"nats://server/?key=" + secret,
	} {
		n := fakeserver.New()
		_, err := Connect(t.Context(), url, UseDialer(n), Logger(nil))
		if err == nil {
			t.Errorf("%q works", url)
			continue
		}
		check(t, "URL", err)
		_, err = Connect(t.Context(), "server", UseDialer(n), Logger(nil), Servers(url))
		check(t, "Servers", err)
	}
	for name, o := range opts {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := fakeserver.New()
				s := n.Host("server:4222").SetInfo("nonce", nonce)
				url := "nats://server"
				var logged bytes.Buffer
				logger := Logger(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
				logs := connectTo(t, n, url, o, logger, Timeout(time.Second))
				if name == "UserInfo" {
					url = "nats://other:" + secret + "@server,nats://" + secret + "@server:5"
				}
				log := &eventLog{}
				nc := connectTo(t, n, url, o, log.option(), Timeout(time.Second))
				for _, v := range []any{nc.ConnectedURL(), nc.Servers(), nc.ServerInfo(), nc.Stats(), nc.Status()} {
					check(t, "accessor", v)
				}
				s.Peer().SendInfo(map[string]any{"connect_urls": []string{"c:3"}})
				synctest.Wait()
				for _, fault := range []func(p *fakeserver.Peer){
					func(p *fakeserver.Peer) { p.Send("INFO {]\r\n") },
					func(p *fakeserver.Peer) { p.SendInfo(nil) },
					func(p *fakeserver.Peer) { p.SendInfo(nil); _, _ = p.Expect("PING"); p.Err("Authorization Violation") },
					func(p *fakeserver.Peer) { p.SendInfo(nil); _, _ = p.Expect("PING"); p.Send("NONSENSE\r\n") },
				} {
					s.Script(fault)
					lose(s)
					pass(3 * time.Second)
				}
				must(t, nc.SetServers([]string{"nats://other:" + secret + "@server", "nats://" + secret + "@x:1"}))
				check(t, "servers", nc.Servers())
				check(t, "SetServers", nc.SetServers([]string{"nats://user:" + secret + "@:x"}))
				check(t, "Flush", nc.Flush(in(t, time.Second)))
				check(t, "LastError", nc.LastError())
				_, _ = nc.Close(), logs.Close()
				synctest.Wait()
				for _, conn := range []*Conn{nc, logs} {
					check(t, "Conn", conn)
					check(t, "config", conn.cfg)
				}
				check(t, "log", logged.String())
				if logged.Len() == 0 {
					t.Error("nothing was logged")
				}
				if len(log.all()) < 5 {
					t.Errorf("only %v happened", log.kinds())
				}
				for _, e := range log.all() {
					check(t, "event", e)
					check(t, "event", e.String())
				}
				_, err := Connect(t.Context(), url, options(n, []Option{o})...)
				check(t, "Connect", err)
			})
		})
	}
}

// TestNoWebSocketSecretShows: neither headers nor the query of a URL do, and the
// server cannot make us show them.
func TestNoWebSocketSecretShows(t *testing.T) {
	const secret = "s3cr3tw0rd"
	check := func(what string, v any) {
		t.Helper()
		for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret: %s", what, text)
			}
		}
		if err, ok := v.(error); ok {
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), secret) {
					t.Errorf("%s shows a secret: %v", what, e)
				}
			}
		}
	}
	headers := WebSocketConnectionHeaders(http.Header{"X-Key": {secret}})
	check("option", headers)
	for _, o := range []Option{
		WebSocketConnectionHeaders(http.Header{"X-Key": {secret + "\n"}}),
		WebSocketConnectionHeaders(http.Header{"X Key": {secret}}),
		WebSocketConnectionHeaders(http.Header{"Host": {secret}}),
		ProxyPath("/?key=" + secret),
	} {
		_, err := Connect(t.Context(), "ws://server", o)
		isErr(t, err, ErrInvalidOption)
		check("refusal", err)
	}
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		log := &eventLog{}
		nc := connectTo(t, n, "ws://user:"+secret+"@server/path?key="+secret, headers, log.option())
		for _, v := range []any{nc.ConnectedURL(), nc.Servers(), nc.ServerInfo()} {
			check("accessor", v)
		}
		for _, answer := range []func(key string) string{
			func(string) string { return "HTTP/1.1 401 " + secret + "\r\n\r\n" + secret },
			func(string) string { return "HTTP/1.1 302 Found\r\nLocation: /?key=" + secret + "\r\n\r\n" },
			func(string) string { return secret },
			func(string) string { return "HTTP/1.1 " + secret + "\r\n\r\n" },
			func(s string) string { return s + "Sec-WebSocket-Protocol: " + secret + "\r\n\r\n" },
			func(s string) string { return s + "Sec-WebSocket-Extensions: " + secret + "\r\n\r\n" },
		} {
			s.Script(func(p *fakeserver.Peer) {
				if r, err := p.Request(); err == nil {
					p.Send(answer(fakeserver.Accept(r)))
				}
				_, _ = p.Next()
			})
			lose(s)
			pass(2 * time.Minute)
		}
		_ = nc.Close()
		synctest.Wait()
		if n := len(of[ConnectFailed](log)); n < 6 {
			t.Errorf("only %d attempts failed", n)
		}
		for _, e := range log.all() {
			check("event", e)
			check("event", e.String())
			if e, ok := e.(ConnectFailed); ok {
				check("error", e.Err)
			}
		}
	})
}

// TestNoPayloadShows: errors about the stream hold none of its bytes.
func TestNoPayloadShows(t *testing.T) {
	const payload = "Xpassw0rd=hunter2"
	for _, frame := range []string{
		"MSG a 1 3\r\n" + payload + "\r\n", payload + "\r\n", "HMSG a 1 5 3\r\n" + payload + "\r\n",
		"MSG " + payload + "\r\n", "PING " + payload + "\r\n", "INFO " + payload + "\r\n", "+OK" + payload + "\r\n",
	} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			log := &eventLog{}
			connect(t, n, log.option())
			s.Peer().Send(frame)
			synctest.Wait()
			e := one[Disconnected](t, log)
			isErr(t, e.Err, ErrProtocol)
			if strings.Contains(fmt.Sprintf("%+v", e), "hunter2") {
				t.Errorf("event %+v", e)
			}
		})
	}
}

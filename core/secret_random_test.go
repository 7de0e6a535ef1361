package nats

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// vault makes random secrets and knows in which forms they would show.
type vault struct {
	rnd    *rand.Rand
	made   int
	hidden []hiddenSecret // of the round
}

type hiddenSecret struct {
	what  string
	forms []string
}

// letters of secrets: some mean something in a URL, in JSON, in a quoted string.
const secretLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%@:/?#&=+,;!$'\"\\<>{}[]()*~|^` é☃"

// plainLetters can stand anywhere in a URL.
const plainLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func (v *vault) random(letters string) string {
	alphabet := []rune(letters)
	var b strings.Builder
	for range 14 + v.rnd.IntN(12) {
		b.WriteRune(alphabet[v.rnd.IntN(len(alphabet))])
	}
	return b.String()
}

// secret makes one of any letters, plain one of letters and digits.
func (v *vault) secret(what string) string { return v.hide(what, v.random(secretLetters)) }
func (v *vault) plain(what string) string  { return v.hide(what, v.random(plainLetters)) }

// hide notes a secret. A part of 10 bytes shows it, too.
func (v *vault) hide(what, s string) string {
	v.made++
	quoted := strconv.Quote(s)
	document, _ := json.Marshal(s)
	h := hiddenSecret{what: what}
	part := func(s string) string { return s[:min(len(s), 10)] }
	for _, form := range []string{
		s, s[max(0, len(s)-10):], url.QueryEscape(s), url.PathEscape(s), strings.TrimPrefix(url.UserPassword("", s).String(), ":"),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)), fmt.Sprintf("%x", s),
		quoted[1 : len(quoted)-1], string(document[1 : len(document)-1]), html.EscapeString(s), fmt.Sprint([]byte(s))[1:40], strings.ToUpper(s), strings.ToLower(s),
	} {
		if f := part(form); !contains(h.forms, f) {
			h.forms = append(h.forms, f)
		}
	}
	v.hidden = append(v.hidden, h)
	return s
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// shown collects what is said in a round.
type shown struct {
	mu    sync.Mutex
	texts strings.Builder
	lines int
}

func (s *shown) text(what, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts.WriteString(what + ": " + text + "\n")
	s.lines++
}

// value says a value in every way that a program may: with fmt, as JSON, to both
// handlers of slog, alone and inside of others.
func (s *shown) value(what string, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if (verb == "%x" || verb == "%d") && !isAuth(v) {
			continue // of interest where a type formats itself
		}
		s.text(what+" "+verb, fmt.Sprintf(verb, v))
	}
	if b, err := json.Marshal(v); err == nil {
		s.text(what+" as JSON", string(b))
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("x", "v", v, "in", []any{v}, "of", map[string]any{"k": v})
	}
	s.text(what+" logged", log.String())
	if err, ok := v.(error); ok {
		s.chain(what, err)
	}
	if e, ok := v.(fmt.Stringer); ok {
		s.text(what+" String", e.String())
	}
}

func isAuth(v any) bool { _, ok := v.(Auth); return ok }

// chain says all errors of a tree.
func (s *shown) chain(what string, err error) {
	s.text(what+" in the chain", fmt.Sprintf("%v %+v %#v", err, err, err))
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if e := u.Unwrap(); e != nil {
			s.chain(what, e)
		}
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			s.chain(what, e)
		}
	}
}

// find looks for the secrets of the round in all that was said.
func (v *vault) find(t *testing.T, s *shown) (hits int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.texts.String()
	for _, h := range v.hidden {
		for _, form := range h.forms {
			i := strings.Index(all, form)
			if i < 0 {
				continue
			}
			hits++
			line := all[strings.LastIndexByte(all[:i], '\n')+1:]
			line, _, _ = strings.Cut(line, "\n")
			t.Errorf("%s shows as %q in %.400s", h.what, form, line)
			break
		}
	}
	return hits
}

// speakingTracer says all that a Tracer hears, but for headers: those are the
// user's.
type speakingTracer struct{ s *shown }

func (x speakingTracer) Start(ctx context.Context, op *Operation) context.Context {
	x.s.text("operation", fmt.Sprintf("%+v", Operation{Kind: op.Kind, Subject: op.Subject, Queue: op.Queue, Size: op.Size, Count: op.Count}))
	return ctx
}

func (x speakingTracer) End(_ context.Context, _ *Operation, err error) {
	if err != nil {
		x.s.value("operation's error", err)
	}
}

// proxyDialer is a user's dialer that holds a secret.
type proxyDialer struct {
	ProxyURL string
	net      *fakeserver.Net
}

func (d proxyDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.net.DialContext(ctx, network, address)
}

// wayIn puts secrets into a connection to a server; ws is one to a WebSocket.
type wayIn struct {
	name string
	ws   bool
	opts func(t *testing.T, v *vault, s *shown) (url string, opts []Option)
}

var waysIn = []wayIn{
	{"a password in the URL", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "nats://" + userInfoOf(url.UserPassword("u", v.secret("password in the URL"))) + "@server", nil
	}},
	{"a token in the URL", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "nats://" + userInfoOf(url.User(v.secret("token in the URL"))) + "@server", nil
	}},
	{"a password in Servers", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		other := "nats://" + userInfoOf(url.UserPassword("u", v.secret("password in Servers"))) + "@other:1"
		return "server", []Option{Servers(other)}
	}},
	{"UserInfo", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "server", []Option{UserInfo("u", v.secret("UserInfo"))}
	}},
	{"UserInfoHandler", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		p := v.secret("UserInfoHandler")
		return "server", []Option{UserInfoHandler(func() (string, string) { return "u", p })}
	}},
	{"Token", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "server", []Option{Token(v.secret("Token"))}
	}},
	{"TokenHandler", false, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		p := v.secret("TokenHandler")
		return "server", []Option{TokenHandler(func() string { return p })}
	}},
	{"AuthHandler", false, func(_ *testing.T, v *vault, s *shown) (string, []Option) {
		a := Auth{v.secret("user of Auth"), v.secret("password of Auth"), v.secret("token of Auth"), v.secret("JWT of Auth"), "", v.secret("signature of Auth")}
		return "server", []Option{AuthHandler(func(_ context.Context, r AuthRequest) (Auth, error) {
			s.value("Auth", a)
			s.value("AuthRequest", r)
			return a, nil
		})}
	}},
	{"credentials in bytes", false, func(t *testing.T, v *vault, _ *shown) (string, []Option) {
		u := v.user(t)
		return "server", []Option{UserCredentialBytes([]byte(u.creds()))}
	}},
	{"a credentials file", false, func(t *testing.T, v *vault, _ *shown) (string, []Option) {
		u := v.user(t)
		return "server", []Option{UserCredentials(u.file(t, "creds", u.creds()))}
	}},
	{"UserJWTAndSeed", false, func(t *testing.T, v *vault, _ *shown) (string, []Option) {
		u := v.user(t)
		return "server", []Option{UserJWTAndSeed(u.jwt, u.seed)}
	}},
	{"UserJWT", false, func(t *testing.T, v *vault, _ *shown) (string, []Option) {
		u := v.user(t)
		return "server", []Option{UserJWT(func() (string, error) { return u.jwt, nil }, u.sign)}
	}},
	{"NkeyFromSeed", false, func(t *testing.T, v *vault, _ *shown) (string, []Option) {
		u := v.user(t)
		return "server", []Option{NkeyFromSeed(u.file(t, "seed", u.seed))}
	}},
	{"WebSocketConnectionHeaders", true, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "ws://server/path", []Option{WebSocketConnectionHeaders(http.Header{"X-Key": {v.secret("HTTP header")}})}
	}},
	{"WebSocketConnectionHeadersHandler", true, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		h := http.Header{"X-Key": {v.secret("HTTP header of the handler")}}
		return "ws://server", []Option{WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return h, nil })}
	}},
	{"the query of a WebSocket", true, func(_ *testing.T, v *vault, _ *shown) (string, []Option) {
		return "ws://u:" + v.plain("password of a WebSocket") + "@server/path?key=" + url.QueryEscape(v.secret("query of a WebSocket")), nil
	}},
}

// userInfoOf is user info as it stands in a list of URLs: a comma ends a URL.
func userInfoOf(u *url.Userinfo) string { return strings.ReplaceAll(u.String(), ",", "%2C") }

// user is a user whose seed, JWT and signature must not show.
func (v *vault) user(t *testing.T) testUser {
	u := newUser(t)
	v.hide("seed", u.seed)
	v.hide("JWT", u.jwt[strings.IndexByte(u.jwt, '.')+20:]) // all begin alike
	v.hide("signature", u.signature(t, "n0nce"))
	return u
}

// brokenURLs are URLs that are none, around a secret.
var brokenURLs = []string{
	"nats://user:%s@", "nats://user:%s%%zz@server", "nats://user:%s", "http://user:%s@server", "%s@", "nats://%s@:4222",
	"nats://user:%s@server:99999", "nats://user:%s@server/x", "user:%s@server?x=y", "nats://user:pa,%s@server", "nats://user:%s,x@server",
	"nats://us er:%s@server", "nats://user:%s@[::1", "nats://user:x@%s@", "nats://user:%s\n@server", "user:%s", "nats://user:%s:1",
	"ws://user:%s@server:0", "ws://server/?key=%s#f", "ws://server/?key=%s x", "wss://server:0/%s", "nats://server/?key=%s",
	"tls://user:%s@server:x", "nats://user:%s@server,http://x", "%s:%[1]s@server:0", "nats://user:%s@ser ver",
}

// TestFigure17Secrets lets random secrets in by every way there is, lets happen
// what can, and searches all that is said for them. reliability A12, A13, A14, B7
func TestFigure17Secrets(t *testing.T) {
	realWatchdog(t)
	want := figure.Size(10_000, 100_000)
	v := &vault{rnd: rand.New(rand.NewPCG(figure.Seed(17), 0))}
	hits, said, rounds := 0, 0, 0
	for ; v.made < want && !t.Failed(); rounds++ {
		bubble(t, func(t *testing.T) {
			v.hidden = nil
			s := &shown{}
			v.round(t, waysIn[rounds%len(waysIn)], s)
			said += s.lines
			hits += v.find(t, s)
		})
	}
	figure.Print(t, 17, "0", "%d of %d random secrets were found in %d texts of %d connections", hits, v.made, said, rounds)
}

// round is the life of a connection that knows secrets.
func (v *vault) round(t *testing.T, way wayIn, s *shown) {
	u, opts := way.opts(t, v, s)
	v.optionsShown(t, s, opts)
	v.refusals(t, s)

	n := fakeserver.New()
	srv, bad := n.Host("server:4222"), "nats://server"
	if way.ws {
		srv, bad = n.Host("server:80"), "ws://server"
		srv.WebSocket(false)
	}
	srv.SetInfo("nonce", "n0nce").SetInfo("max_payload", 1000)
	var logged bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dialer := UseDialer(proxyDialer{"http://u:" + v.plain("proxy of a dialer") + "@proxy", n})
	s.value("dialer", dialer)
	more := append(opts, dialer, Timeout(time.Second), DontRandomize(), UseTracer(speakingTracer{s}))
	quiet, err := Connect(t.Context(), u, append(more, Logger(logger))...)
	must(t, err)
	log := &eventLog{}
	nc, err := Connect(t.Context(), u, append(more, log.option(), RecoverHandlers(func(m Msg, r any) { s.text("panic", fmt.Sprint(r)) }))...)
	must(t, err)
	synctest.Wait()

	v.messages(t, s, nc)
	for _, e := range []any{nc.ConnectedURL(), nc.Servers(), nc.ServerInfo(), nc.Stats(), nc.Status(), nc.Name()} {
		s.value("accessor", e)
	}
	srv.Peer().SendInfo(map[string]any{"connect_urls": []string{"c:3"}})
	srv.Peer().Err("Permissions Violation for Publish to \"x\"")
	synctest.Wait()
	for _, fault := range []func(p *fakeserver.Peer){
		func(p *fakeserver.Peer) { p.Send("INFO {]\r\n") },
		func(p *fakeserver.Peer) { p.SendInfo(nil); _, _ = p.Expect("PING"); p.Err("Authorization Violation") },
		func(p *fakeserver.Peer) { p.SendInfo(nil); _, _ = p.Expect("PING"); p.Send("NONSENSE\r\n") },
	} {
		srv.Script(fault)
		lose(srv)
		pass(3 * time.Second)
	}
	srv.Script(nil)
	s.value("Flush", nc.Flush(in(t, time.Millisecond)))
	s.value("SetServers", nc.SetServers([]string{bad, "nats://user:" + v.plain("a bad URL of SetServers") + "@:x"}))
	s.value("LastError", nc.LastError())
	s.value("server history", nc.Servers())
	s.value("Close", nc.Close())
	s.value("Close", quiet.Close())
	synctest.Wait()
	s.text("Conn", fmt.Sprintf("%v %+v %#v", nc, nc, nc))
	s.text("log", logged.String())
	if logged.Len() == 0 || len(of[ConnectFailed](log)) < 3 {
		t.Errorf("%s: logged %q, events %s", way.name, logged.String(), log.kinds())
	}
	for _, e := range log.all() {
		s.value("event", e)
	}
	_, err = Connect(t.Context(), u, append(more, Logger(nil), Timeout(time.Millisecond), UseDialer(fakeserver.New()))...)
	if err == nil {
		t.Error("nobody answered")
	}
	s.value("Connect", err)
}

// optionsShown says the options, those of the round and some of other kinds.
func (v *vault) optionsShown(t *testing.T, s *shown, opts []Option) {
	key := "-----BEGIN PRIVATE KEY-----\n" + v.plain("private key") + "\n-----END PRIVATE KEY-----\n"
	for _, o := range append(opts,
		UserInfo("u", v.secret("UserInfo that is not used")), Token(v.secret("Token that is not used")),
		WebSocketConnectionHeaders(http.Header{"A": {v.secret("HTTP header that is not used")}}),
		UserJWTAndSeed(v.plain("no JWT"), v.plain("no seed")), UserCredentialBytes([]byte(v.secret("no credentials"))),
		ClientCert(key, key), RootCAs(key), CustomInboxPrefix("i"), ProxyPath("/"+v.plain("path that is not used")),
	) {
		s.value("option", o)
	}
	for _, o := range []Option{ClientCert(key, key), RootCAs(key), UserCredentials(key), NkeyFromSeed(key), UserJWTAndSeed(v.plain("no JWT"), v.plain("no seed")),
		UserCredentialBytes([]byte(v.secret("no credentials"))), WebSocketConnectionHeaders(http.Header{"A": {v.secret("bad HTTP header") + "\n"}})} {
		_, err := Connect(t.Context(), "server", o)
		if err == nil {
			t.Fatal("a bad option works")
		}
		s.value("refused option", err)
	}
}

// refusals says what comes of broken URLs.
func (v *vault) refusals(t *testing.T, s *shown) {
	for range 3 {
		pattern := brokenURLs[v.rnd.IntN(len(brokenURLs))]
		secret := v.plain("URL " + pattern)
		u := fmt.Sprintf(pattern, secret)
		_, err := Connect(t.Context(), u, Logger(nil), UseDialer(fakeserver.New()))
		if err == nil {
			t.Errorf("%q works", u)
		}
		s.value("broken URL", err)
		_, err = Connect(t.Context(), "server", Servers(u), Logger(nil), UseDialer(fakeserver.New()))
		s.value("broken URL in Servers", err)
	}
}

// messages says what comes of messages whose payload and headers are secrets.
func (v *vault) messages(t *testing.T, s *shown, nc *Conn) {
	data, value := []byte(v.secret("payload")), v.plain("header value")
	for _, err := range []error{
		nc.Publish("a b", data), nc.PublishMsg(t.Context(), Msg{Subject: "", Data: data}),
		nc.Publish("a", bytes.Repeat(data, 100)), Msg{Data: data}.Respond(data),
		only(nc.Request(in(t, time.Second), "nobody", data)),
	} {
		if err == nil {
			t.Error("a bad message went out")
		}
		s.value("refused message", err)
	}
	_, err := NewHeader("A", value+"\r\n")
	s.value("refused header", err)
	m := Msg{Subject: "a"}
	m.Header.Set("A", value+"\x00")
	s.value("refused header", m.Header.Err())
	s.value("refused header", nc.PublishMsg(t.Context(), m))

	// What the server sends: a message is no part of what is said of the stream.
	sub, err := nc.Subscribe("boom", func(Msg) { panic(errors.New("boom")) }, PendingLimits(1, 1<<20))
	must(t, err)
	must(t, nc.Flush(in(t, time.Second)))
	for range 3 {
		must(t, nc.Publish("boom", data))
	}
	must(t, nc.Flush(in(t, time.Second)))
	s.value("subscription", sub.Stats())
	s.value("subscription's error", sub.Err())
	_ = sub.Unsubscribe()
}

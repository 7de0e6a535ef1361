package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// refuseConnect makes one case of Connect: it fails as expected and dials
// nobody.
func refuseConnect(t *testing.T, c *corpus, on, kind string, want expect, url string, opts ...Option) {
	t.Helper()
	c.add(t, on, kind)
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: %s: it panics: %v", on, kind, r)
		}
	}()
	n := fakeserver.New()
	nc, err := Connect(t.Context(), url, append([]Option{UseDialer(n), Logger(nil)}, opts...)...)
	switch {
	case err == nil || nc != nil:
		t.Errorf("%s: %s: it works: %v, %v", on, kind, nc, err)
	case !SafeToRetry(err):
		t.Errorf("%s: %s: not safe to retry: %v", on, kind, err)
	default:
		if p := want(err); p != "" {
			t.Errorf("%s: %s: the error %s: %v", on, kind, p, err)
		}
	}
	if got := n.Dials(); len(got) != 0 {
		t.Errorf("%s: %s: dialed %v", on, kind, got)
	}
}

// badOptions are options with values that make no sense, each alone.
func badOptions(t *testing.T, c *corpus) {
	durations := map[string]time.Duration{"zero": 0, "below zero": -1, "the least": math.MinInt64}
	for name, o := range map[string]func(time.Duration) Option{
		"Timeout": Timeout, "WriteTimeout": WriteTimeout, "RequestTimeout": RequestTimeout, "DrainTimeout": DrainTimeout,
	} {
		for kind, d := range durations {
			refuseConnect(t, c, name, kind, badOption(name), "server", o(d))
		}
	}
	numbers := map[string]int{"zero": 0, "below zero": -1, "the least": math.MinInt}
	for name, o := range map[string]func(int) Option{
		"MaxPingsOutstanding": MaxPingsOutstanding, "WriteBufferSize": WriteBufferSize, "MaxInboundPayload": MaxInboundPayload,
		"AbortOnAuthError": AbortOnAuthError,
	} {
		for kind, n := range numbers {
			refuseConnect(t, c, name, kind, badOption(name), "server", o(n))
		}
	}
	for name, values := range map[string][]Option{
		"MaxInboundPayload": {MaxInboundPayload(1_000_000_000), MaxInboundPayload(math.MaxInt)},
		"ReconnectBufSize":  {ReconnectBufSize(-1), ReconnectBufSize(math.MinInt)},
		"WhenDisconnected":  {WhenDisconnected(-1), WhenDisconnected(3), WhenDisconnected(math.MaxInt)},
		"Overflow":          {Overflow(-1), Overflow(3), Overflow(math.MinInt)},
		"PendingLimits":     {PendingLimits(0, 1), PendingLimits(1, 0), PendingLimits(0, 0), PendingLimits(0, -1)},
		"ReconnectBackoff": {
			ReconnectBackoff(2, 1), ReconnectBackoff(-1, 1), ReconnectBackoff(-2, -1), ReconnectBackoff(0, -1),
			ReconnectBackoff(math.MaxInt64, 1),
		},
		"UseDialer": {UseDialer(nil)}, "InProcess": {InProcess(nil)}, "UserInfoHandler": {UserInfoHandler(nil)},
		"TokenHandler": {TokenHandler(nil)}, "CustomReconnectDelay": {CustomReconnectDelay(nil)}, "AuthHandler": {AuthHandler(nil)},
		"ReconnectToServer": {ReconnectToServer(nil)}, "EventHandler": {EventHandler(nil)}, "RecoverHandlers": {RecoverHandlers(nil)},
		"ClientTLSConfig": {ClientTLSConfig(nil, nil)}, "WebSocketConnectionHeadersHandler": {WebSocketConnectionHeadersHandler(nil)},
		"Secure":    {Secure(nil, nil), Secure(&tls.Config{}, &tls.Config{}), Secure(nil, nil, nil)},
		"RootCAs":   {RootCAs()},
		"ProxyPath": {ProxyPath(""), ProxyPath("/a?b"), ProxyPath("a?"), ProxyPath("a#b"), ProxyPath("%zz"), ProxyPath("a\x00b"), ProxyPath("a\r\nHost: b")},
		"WebSocketConnectionHeaders": {
			WebSocketConnectionHeaders(nil), WebSocketConnectionHeaders(http.Header{"": {"a"}}), WebSocketConnectionHeaders(http.Header{"A B": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"A\r\nB": {"a"}}), WebSocketConnectionHeaders(http.Header{"A:": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"A": {"a\r\nB: c"}}), WebSocketConnectionHeaders(http.Header{"A": {"a\x00"}}),
			WebSocketConnectionHeaders(http.Header{"A": {"good", "bad\x7f"}}), WebSocketConnectionHeaders(http.Header{"Host": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"connection": {"a"}}), WebSocketConnectionHeaders(http.Header{"UPGRADE": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"Content-Length": {"5"}}), WebSocketConnectionHeaders(http.Header{"Transfer-Encoding": {"chunked"}}),
			WebSocketConnectionHeaders(http.Header{"Trailer": {"a"}}), WebSocketConnectionHeaders(http.Header{"Te": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"Nats-No-Masking": {"true"}}), WebSocketConnectionHeaders(http.Header{"Sec-WebSocket-Key": {"a"}}),
			WebSocketConnectionHeaders(http.Header{"sec-websocket-protocol": {"a"}}), WebSocketConnectionHeaders(http.Header{"Ä": {"a"}}),
		},
	} {
		for i, o := range values {
			refuseConnect(t, c, name, fmt.Sprintf("value %d", i), badOption(name), "server", o)
		}
	}
	refuseConnect(t, c, "Connect", "an option that is nil", badOption("nil"), "server", nil)
	refuseConnect(t, c, "Connect", "an option that is nil behind a good one", badOption("nil"), "server", Name("a"), nil)
	prefix := func(kind, value string, offset int) {
		want := all(badOption("CustomInboxPrefix"), says(fmt.Sprintf("%q", value)))
		if offset >= 0 {
			want = all(want, says(fmt.Sprintf(" at offset %d", offset)))
		}
		if len(value) > 1000 {
			want = badOption("CustomInboxPrefix")
		}
		refuseConnect(t, c, "CustomInboxPrefix", kind, want, "server", CustomInboxPrefix(value))
	}
	spoiled(func(b bad, first bool) {
		if first {
			prefix(b.kind, b.value, b.offset)
		}
	})
	for _, b := range append(misshapen, wild...) {
		prefix(b.kind, b.value, b.offset)
	}
	prefix("empty", "", -1)
	prefix("too long with what follows it", strings.Repeat("i", maxSubject/4+1), -1)
}

// badCombinations are good options that cannot stand beside each other, and bad
// ones of which each is told.
func badCombinations(t *testing.T, c *corpus) {
	u := newUser(t)
	user, secret := func() (string, string) { return "a", "b" }, func() string { return "t" }
	jwt := func() (string, error) { return u.jwt, nil }
	for kind, x := range map[string]struct {
		on   string
		opts []Option
	}{
		"UserInfo and UserInfoHandler":     {"UserInfoHandler", []Option{UserInfo("a", "b"), UserInfoHandler(user)}},
		"UserInfoHandler and UserInfo":     {"UserInfo", []Option{UserInfoHandler(user), UserInfo("a", "b")}},
		"Token and TokenHandler":           {"TokenHandler", []Option{Token("t"), TokenHandler(secret)}},
		"TokenHandler and Token":           {"Token", []Option{TokenHandler(secret), Token("t")}},
		"UserInfo and Token":               {"Token", []Option{UserInfo("a", "b"), Token("t")}},
		"TokenHandler and UserInfoHandler": {"Token", []Option{TokenHandler(secret), UserInfoHandler(user)}},
		"UserJWT and Nkey":                 {"Nkey", []Option{UserJWT(jwt, u.sign), Nkey(u.public, u.sign)}},
		"Nkey and UserJWTAndSeed":          {"UserJWTAndSeed", []Option{Nkey(u.public, u.sign), UserJWTAndSeed(u.jwt, u.seed)}},
		"UserJWTAndSeed and UserJWT":       {"UserJWT", []Option{UserJWTAndSeed(u.jwt, u.seed), UserJWT(jwt, u.sign)}},
		"UserJWT and UserCredentialBytes":  {"UserCredentialBytes", []Option{UserJWT(jwt, u.sign), UserCredentialBytes([]byte(u.creds()))}},
		"UserCredentialBytes and a file":   {"UserCredentials", []Option{UserCredentialBytes([]byte(u.creds())), UserCredentials(u.file(t, "both", u.creds()))}},
		"UserCredentials and NkeyFromSeed": {"NkeyFromSeed", []Option{UserCredentials(u.file(t, "one", u.creds())), NkeyFromSeed(u.file(t, "two", u.seed))}},
		"headers of a WebSocket, both kinds": {"WebSocketConnectionHeaders", []Option{
			WebSocketConnectionHeaders(http.Header{"A": {"b"}}), WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return nil, nil })}},
		"a WebSocket among the Servers": {"Servers", []Option{Servers("ws://a")}},
	} {
		refuseConnect(t, c, x.on, kind, badOption(x.on), "server", x.opts...)
	}
	// Any two bad ones of these: both are told.
	bads := []struct {
		name string
		o    Option
	}{
		{"Timeout", Timeout(0)}, {"UseDialer", UseDialer(nil)}, {"Servers", Servers("x://y")}, {"RootCAs", RootCAs()}, {"Overflow", Overflow(7)},
		{"CustomInboxPrefix", CustomInboxPrefix(">")}, {"ReconnectBackoff", ReconnectBackoff(2, 1)}, {"nil", nil},
		{"UserCredentials", UserCredentials("")}, {"ProxyPath", ProxyPath("")},
	}
	for i, a := range bads {
		for _, b := range bads[:i] {
			refuseConnect(t, c, "Connect", a.name+" beside "+b.name, all(badOption(a.name), badOption(b.name)), "server", a.o, b.o)
		}
		refuseConnect(t, c, "Connect", a.name+" beside a bad URL", all(badOption(a.name), badOption("url")), "http://x", a.o)
	}
}

// badURLs, through each of the ways in.
func badURLs(t *testing.T, c *corpus) {
	const secret = "s3cr3tw0rd"
	quiet := func(err error) string {
		if strings.Contains(err.Error(), secret) {
			return "shows the password"
		}
		return ""
	}
	urls := map[string]string{
		"a space": " ", "a line end": "\n", "no host": "nats://", "no host, a port": "nats://:4222", "a port only": ":4222", "port 0": "nats://a:0",
		"port 65536": "nats://a:65536", "port below zero": "nats://a:-1", "a word as port": "nats://a:b", "two ports": "a:1:2",
		"a port that ends in a letter": "a:4222x", "a huge port": "a:99999999999999999999", "http": "http://a", "https": "https://a:4222", "an unknown scheme": "x://y",
		"no scheme before ://": "://a", "a path": "nats://a/b", "a query": "nats://a?b=c", "a fragment": "nats://a#b", "an IPv6 address without brackets": "::1",
		"an IPv6 address and a port without brackets": "fe80::1:4222:5", "an open bracket": "nats://[::1", "a closing bracket": "nats://::1]:1",
		"a space inside": "a b", "a tab inside": "nats://a\tb", "a NUL": "nats://a\x00b", "a line end inside": "nats://a\r\nPING", "DEL": "nats://a\x7f",
		"a broken escape": "nats://%zz", "a password with a broken escape": "nats://u:" + secret + "%zz@a", "a password with a space": "nats://u:" + secret + " x@a",
		"a password with a line end": "nats://u:" + secret + "\n@a", "a password, and no host": "nats://u:" + secret + "@", "a password, and a port only": "nats://u:" + secret + "@:4222",
		"a password, and a bad scheme": "http://u:" + secret + "@a", "a password, and a bad port": "nats://u:" + secret + "@a:0", "a password with a slash": "nats://u:/" + secret + "@a/",
		"a password without a host behind it": "nats://u:" + secret, "a token without a host": "nats://" + secret + "@", "a WebSocket's fragment": "ws://a/b#c",
		"a WebSocket's query with a space": "ws://a/?b= c", "a WebSocket's port 0": "ws://a:0", "a good one and an empty one": "a,", "an empty one and a good one": ",a",
		"two commas": "a,,b", "the second is bad": "a,b:0", "the second has a secret": "a,nats://u:" + secret + "@b:0", "only a comma": ",",
	}
	nc, n := openConn(t)
	for kind, url := range urls {
		refuseConnect(t, c, "Connect", "URL: "+kind, all(badOption("url"), quiet), url)
		refuseConnect(t, c, "Servers", kind, all(badOption("Servers"), quiet), "server", Servers("good", url))
		before := fmt.Sprint(nc.Servers())
		c.add(t, "Conn.SetServers", kind)
		for _, list := range [][]string{{url}, {"good", url}} {
			if err := nc.SetServers(list); err == nil {
				t.Errorf("SetServers: %s: it works", kind)
			} else if p := all(badOption("servers"), quiet)(err); p != "" || !SafeToRetry(err) {
				t.Errorf("SetServers: %s: the error %s: %v", kind, p, err)
			}
		}
		if after := fmt.Sprint(nc.Servers()); after != before {
			t.Errorf("SetServers: %s: the pool is %s", kind, after)
		}
	}
	refuseConnect(t, c, "Servers", "an empty one", badOption("Servers"), "server", Servers(""))
	for kind, list := range map[string][]string{"none": nil, "an empty list": {}, "an empty one": {""}} {
		c.add(t, "Conn.SetServers", kind)
		if p := badOption("servers")(nc.SetServers(list)); p != "" {
			t.Errorf("SetServers: %s: the error %s", kind, p)
		}
	}
	for kind, list := range map[string]string{"a WebSocket last": "a,ws://b", "a WebSocket first": "wss://a,b", "tls and wss": "tls://a,wss://a"} {
		refuseConnect(t, c, "Connect", "URL: "+kind, all(is(ErrMixingWebsocketSchemes), badOption("Servers")), list)
		c.add(t, "Conn.SetServers", kind)
		if p := is(ErrMixingWebsocketSchemes)(nc.SetServers(strings.Split(list, ","))); p != "" {
			t.Errorf("SetServers: %s: the error %s", kind, p)
		}
	}
	if got := n.Dials(); len(got) != 1 {
		t.Errorf("dialed %v", got)
	}
}

// openConn is a Conn outside of a bubble.
func openConn(t *testing.T) (*Conn, *fakeserver.Net) {
	n, _ := fakeserver.One()
	nc, err := Connect(t.Context(), "server", options(n, nil)...)
	must(t, err)
	t.Cleanup(func() { _ = nc.Close(); n.Wait() })
	return nc, n
}

// badCredentials: files, bytes, seeds, JWTs and nkeys.
func badCredentials(t *testing.T, c *corpus) {
	u, other := newUser(t), newUser(t)
	ourJWT := func() (string, error) { return u.jwt, nil }
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	jwtOnly, seedOnly := u.file(t, "only.jwt", u.jwt), u.file(t, "only.seed", u.seed)
	empty := u.file(t, "empty", "")
	long := u.file(t, "long", strings.Repeat("a", 2<<20))
	zeros := u.file(t, "zeros", string(make([]byte, 1000)))
	secrets := []string{u.seed, u.jwt, other.seed, u.seed[5:30], u.jwt[len(u.jwt)-20:]}
	quiet := func(err error) string {
		for _, s := range secrets {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, optionErrors(err)), s) {
				return "quotes a secret"
			}
		}
		return ""
	}
	cases := map[string]map[string]Option{
		"UserCredentials": {
			"no name": UserCredentials(""), "no file": UserCredentials(none), "a folder": UserCredentials(dir), "no seed": UserCredentials(jwtOnly),
			"no JWT": UserCredentials(seedOnly), "no seed file": UserCredentials(jwtOnly, none), "an empty name of the seed file": UserCredentials(jwtOnly, ""),
			"two seed files": UserCredentials(jwtOnly, seedOnly, seedOnly), "the text": UserCredentials(u.creds()), "the JWT as a name": UserCredentials(u.jwt),
			"the seed as a name": UserCredentials(jwtOnly, u.seed), "another's seed": UserCredentials(jwtOnly, u.file(t, "other", other.seed)),
			"an empty file": UserCredentials(empty), "a file of zeros": UserCredentials(zeros), "a file without end": UserCredentials(long),
			"a device": UserCredentials("/dev/zero"), "a name with a NUL": UserCredentials("a\x00b"), "a variable that is not set": UserCredentials("$NATS_NOT_SET/creds"),
			"a seed file of zeros": UserCredentials(jwtOnly, zeros), "a seed that is cut": UserCredentials(jwtOnly, u.file(t, "cut", u.seed[:40])),
			"a seed with a wrong letter": UserCredentials(jwtOnly, u.file(t, "wrong", u.seed[:20]+"2"+u.seed[21:]+"A")),
			"an account's seed":          UserCredentials(jwtOnly, u.file(t, "account", "SA"+u.seed[2:])),
		},
		"UserCredentialBytes": {
			"nil": UserCredentialBytes(nil), "empty": UserCredentialBytes([]byte{}), "an empty seed": UserCredentialBytes([]byte(u.creds()), nil),
			"two seeds": UserCredentialBytes([]byte(u.creds()), []byte(u.seed), []byte(u.seed)), "no seed": UserCredentialBytes([]byte(u.jwt)),
			"no JWT": UserCredentialBytes([]byte(u.seed)), "another's seed": UserCredentialBytes([]byte(u.jwt), []byte(other.seed)),
			"zeros": UserCredentialBytes(make([]byte, 1000)), "the wrong way": UserCredentialBytes([]byte(u.seed), []byte(u.jwt)),
			"cut in the seed": UserCredentialBytes([]byte(u.creds()[:len(u.creds())-60])), "cut in the JWT": UserCredentialBytes([]byte(u.creds()[:60])),
		},
		"UserJWTAndSeed": {
			"nothing": UserJWTAndSeed("", ""), "no JWT": UserJWTAndSeed("", u.seed), "no seed": UserJWTAndSeed(u.jwt, ""),
			"the wrong way": UserJWTAndSeed(u.seed, u.jwt), "two JWTs": UserJWTAndSeed(u.jwt, u.jwt), "two seeds": UserJWTAndSeed(u.seed, u.seed),
			"another's seed": UserJWTAndSeed(u.jwt, other.seed), "a public key as seed": UserJWTAndSeed(u.jwt, u.public), "a seed that is cut": UserJWTAndSeed(u.jwt, u.seed[:50]),
		},
		"UserJWT": {"no JWT function": UserJWT(nil, u.sign), "no signing function": UserJWT(ourJWT, nil), "neither": UserJWT(nil, nil)},
		"Nkey": {
			"no signing function": Nkey(u.public, nil), "no key": Nkey("", u.sign), "a seed": Nkey(u.seed, u.sign), "cut": Nkey(u.public[:40], u.sign),
			"an account's": Nkey("A"+u.public[1:], u.sign), "a JWT": Nkey(u.jwt, u.sign), "a space behind": Nkey(u.public+" ", u.sign), "lower case": Nkey(strings.ToLower(u.public), u.sign),
			"a wrong letter": Nkey(u.public[:30]+"1"+u.public[31:], u.sign),
		},
		"NkeyFromSeed": {
			"no name": NkeyFromSeed(""), "the seed": NkeyFromSeed(u.seed), "no file": NkeyFromSeed(none), "a folder": NkeyFromSeed(dir), "no seed in the file": NkeyFromSeed(jwtOnly),
			"an empty file": NkeyFromSeed(empty), "a file of zeros": NkeyFromSeed(zeros), "a file without end": NkeyFromSeed(long), "a public key": NkeyFromSeed(u.file(t, "public", u.public)),
		},
	}
	for on, values := range cases {
		for kind, o := range values {
			refuseConnect(t, c, on, kind, all(badOption(on), quiet), "server", o)
		}
	}
	// What names the file is what helps.
	for kind, x := range map[string]struct {
		o    Option
		file string
	}{
		"no file is named": {UserCredentials(none), none}, "no seed is named": {UserCredentials(jwtOnly), jwtOnly},
		"no seed file is named": {UserCredentials(jwtOnly, none), none},
	} {
		refuseConnect(t, c, "UserCredentials", kind, says(x.file), "server", x.o)
	}
}

// badTLSFiles: certificates, keys and roots.
func badTLSFiles(t *testing.T, c *corpus) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	none, empty, text := filepath.Join(dir, "none"), file("empty", ""), file("text", "no PEM")
	wrong := file("wrong", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	key := file("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	for kind, files := range map[string][]string{
		"no file": {none}, "an empty name": {""}, "an empty file": {empty}, "text": {text}, "a folder": {dir}, "a broken certificate": {wrong}, "a key": {key},
		"the second is not there": {text, none}, "a name with a NUL": {"a\x00b"},
	} {
		refuseConnect(t, c, "RootCAs", kind, badOption("RootCAs"), "server", RootCAs(files...))
	}
	for kind, files := range map[string][2]string{
		"no files": {none, none}, "empty names": {"", ""}, "empty files": {empty, empty}, "text": {text, text}, "folders": {dir, dir},
		"a broken certificate": {wrong, key}, "the wrong way": {key, wrong}, "no key": {wrong, none}, "no certificate": {none, key},
	} {
		refuseConnect(t, c, "ClientCert", kind, badOption("ClientCert"), "server", ClientCert(files[0], files[1]))
	}
	const private = "MC4CAQAwBQYDK2VwBCIEIPrivateBytesOfAKey"
	pem := "-----BEGIN PRIVATE KEY-----\n" + private + "\n-----END PRIVATE KEY-----\n"
	quiet := func(err error) string {
		if strings.Contains(err.Error(), private) {
			return "shows the key"
		}
		return ""
	}
	refuseConnect(t, c, "ClientCert", "the key's text as its name", all(badOption("ClientCert"), quiet), "server", ClientCert(goodCert(t, dir), pem))
	refuseConnect(t, c, "ClientCert", "the key's text as both names", all(badOption("ClientCert"), quiet), "server", ClientCert(pem, pem))
	refuseConnect(t, c, "RootCAs", "the key's text as a name", all(badOption("RootCAs"), quiet), "server", RootCAs(pem))
	// These fail the attempt: they are asked then.
	broken := errors.New("broken")
	for kind, o := range map[string]Option{
		"the certificate fails": ClientTLSConfig(func() (tls.Certificate, error) { return tls.Certificate{}, broken }, nil),
		"the roots fail":        ClientTLSConfig(nil, func() (*x509.CertPool, error) { return nil, broken }),
	} {
		c.add(t, "ClientTLSConfig", kind)
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			secure(t, s, false, "server")
			_, err := Connect(t.Context(), "tls://server", options(n, []Option{o})...)
			isErr(t, err, broken, ErrNoServers)
			if strings.Contains(s.Peer().Raw(), "CONNECT") {
				t.Errorf("%s: CONNECT was sent", kind)
			}
		})
	}
}

// goodCert writes a file that a certificate can be read from.
func goodCert(t *testing.T, dir string) string {
	t.Helper()
	cfg, err := fakeserver.SharedCA().Server("server")
	must(t, err)
	return writePEM(t, dir, "CERTIFICATE", cfg.Certificates[0].Certificate[0])
}

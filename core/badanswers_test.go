package nats

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// writePEM writes a block to a file and returns its name.
func writePEM(t *testing.T, dir, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, strings.ToLower(kind))
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// badAnswers: what users' code may answer when it is asked. It fails the attempt
// with its error, before CONNECT is sent, and a later, better answer is taken.
func badAnswers(t *testing.T, c *corpus) {
	u := newUser(t)
	broken := errors.New("broken")
	jwt := func() (string, error) { return u.jwt, nil }
	var now struct { // what is answered
		jwt  string
		sig  []byte
		auth Auth
		h    http.Header
		url  string
		conn func() (net.Conn, error)
		err  error
	}
	cases := []struct {
		on, kind string
		want     expect
		ws       bool
		set      func(n *fakeserver.Net) Option // answers badly at first
		cure     func(n *fakeserver.Net)
	}{
		{"UserJWT", "the JWT: an error", all(is(broken), says("UserJWT")), false, func(*fakeserver.Net) Option {
			now.err = broken
			return UserJWT(func() (string, error) { return u.jwt, now.err }, u.sign)
		}, func(*fakeserver.Net) { now.err = nil }},
		{"UserJWT", "the JWT: empty", all(is(errNoJWT), says("UserJWT")), false, func(*fakeserver.Net) Option {
			now.jwt = ""
			return UserJWT(func() (string, error) { return now.jwt, nil }, u.sign)
		}, func(*fakeserver.Net) { now.jwt = u.jwt }},
		{"UserJWT", "the signature: an error", all(is(broken), says("UserJWT")), false, func(*fakeserver.Net) Option {
			now.err = broken
			return UserJWT(jwt, func(n []byte) ([]byte, error) { return nil, now.err })
		}, func(*fakeserver.Net) { now.err = nil }},
		{"Nkey", "the signature: an error", all(is(broken), says("Nkey")), false, func(*fakeserver.Net) Option {
			now.err = broken
			return Nkey(u.public, func(n []byte) ([]byte, error) { return []byte("sig"), now.err })
		}, func(*fakeserver.Net) { now.err = nil }},
		{"Nkey", "the signature: empty", all(is(errNoSignature), says("Nkey")), false, func(*fakeserver.Net) Option {
			now.sig = nil
			return Nkey(u.public, func(n []byte) ([]byte, error) { return now.sig, nil })
		}, func(*fakeserver.Net) { now.sig = []byte("sig") }},
		{"AuthHandler", "an error", all(is(broken), says("AuthHandler")), false, func(*fakeserver.Net) Option {
			now.err = broken
			return AuthHandler(func(context.Context, AuthRequest) (Auth, error) { return Auth{}, now.err })
		}, func(*fakeserver.Net) { now.err = nil }},
		{"WebSocketConnectionHeadersHandler", "an error", is(broken), true, func(*fakeserver.Net) Option {
			now.err = broken
			return WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return nil, now.err })
		}, func(*fakeserver.Net) { now.err = nil }},
		{"WebSocketConnectionHeadersHandler", "a line end in a value", badOption("WebSocketConnectionHeadersHandler"), true, func(*fakeserver.Net) Option {
			now.h = http.Header{"A": {"b\r\nC: d"}}
			return WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return now.h, nil })
		}, func(*fakeserver.Net) { now.h = nil }},
		{"WebSocketConnectionHeadersHandler", "a name that is none", badOption("WebSocketConnectionHeadersHandler"), true, func(*fakeserver.Net) Option {
			now.h = http.Header{"A B": {"b"}}
			return WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return now.h, nil })
		}, func(*fakeserver.Net) { now.h = nil }},
		{"WebSocketConnectionHeadersHandler", "a name that is ours", badOption("WebSocketConnectionHeadersHandler"), true, func(*fakeserver.Net) Option {
			now.h = http.Header{"Upgrade": {"b"}}
			return WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return now.h, nil })
		}, func(*fakeserver.Net) { now.h = nil }},
		{"UseDialer", "an error", is(broken), false, func(n *fakeserver.Net) Option {
			now.conn = func() (net.Conn, error) { return nil, broken }
			return UseDialer(dialerFunc(func(context.Context, string, string) (net.Conn, error) { return now.conn() }))
		}, func(n *fakeserver.Net) { now.conn = provider{n}.InProcessConn }},
		{"UseDialer", "neither connection nor error", says("no connection"), false, func(n *fakeserver.Net) Option {
			now.conn = func() (net.Conn, error) { return nil, nil }
			return UseDialer(dialerFunc(func(context.Context, string, string) (net.Conn, error) { return now.conn() }))
		}, func(n *fakeserver.Net) { now.conn = provider{n}.InProcessConn }},
		{"UseDialer", "neither connection nor error, for a WebSocket", says("no connection"), true, func(n *fakeserver.Net) Option {
			now.conn = func() (net.Conn, error) { return nil, nil }
			return UseDialer(dialerFunc(func(context.Context, string, string) (net.Conn, error) { return now.conn() }))
		}, func(n *fakeserver.Net) {
			now.conn = func() (net.Conn, error) { return n.DialContext(context.Background(), "tcp", "server:80") }
		}},
		{"InProcess", "an error", is(broken), false, func(n *fakeserver.Net) Option {
			now.conn = func() (net.Conn, error) { return nil, broken }
			return InProcess(providerFunc(func() (net.Conn, error) { return now.conn() }))
		}, func(n *fakeserver.Net) { now.conn = provider{n}.InProcessConn }},
		{"InProcess", "neither connection nor error", says("no connection"), false, func(n *fakeserver.Net) Option {
			now.conn = func() (net.Conn, error) { return nil, nil }
			return InProcess(providerFunc(func() (net.Conn, error) { return now.conn() }))
		}, func(n *fakeserver.Net) { now.conn = provider{n}.InProcessConn }},
	}
	for kind, url := range map[string]string{
		"not in the pool": "elsewhere:1", "not a URL": "nats://%zz", "a NUL": "server\x00", "two": "server:4222,server:4222", "a secret": "nats://u:s3cr3tw0rd@elsewhere",
	} {
		cases = append(cases, struct {
			on, kind string
			want     expect
			ws       bool
			set      func(n *fakeserver.Net) Option
			cure     func(n *fakeserver.Net)
		}{"ReconnectToServer", "the URL: " + kind, all(is(errNotInPool), func(err error) string {
			if strings.Contains(fmt.Sprint(err), "s3cr3t") {
				return "shows a secret"
			}
			return ""
		}), false, func(*fakeserver.Net) Option {
			now.url = url
			return ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { return now.url, 0 })
		}, func(*fakeserver.Net) { now.url = "" }})
	}
	for _, x := range cases {
		c.add(t, x.on, x.kind)
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			url := "server"
			if x.ws {
				n, s = webSocket(false)
				url = "ws://server"
			}
			s.SetInfo("nonce", "n0nce")
			o := x.set(n)
			log := &eventLog{}
			s.Delay(time.Millisecond)
			nc, err := Connect(t.Context(), url, options(n, []Option{log.option(), RetryOnFailedConnect(true), o})...)
			must(t, err)
			finish(t, nc)
			synctest.Wait()
			if x.on == "ReconnectToServer" {
				pass(time.Second)
				lose(s)
			}
			pass(time.Second)
			fails := of[ConnectFailed](log)
			if len(fails) == 0 {
				t.Fatalf("%s: %s: no attempt failed", x.on, x.kind)
			}
			if p := x.want(fails[0].Err); p != "" {
				t.Errorf("%s: %s: the error %s: %v", x.on, x.kind, p, fails[0].Err)
			}
			if x.on != "ReconnectToServer" {
				for _, p := range s.Peers() {
					if strings.Contains(p.Raw(), "CONNECT") {
						t.Errorf("%s: %s: CONNECT was sent", x.on, x.kind)
					}
				}
			}
			x.cure(n)
			must(t, nc.Flush(in(t, time.Minute)))
		})
	}
	for kind, d := range map[string]time.Duration{"below zero": -1, "the least": -1 << 63, "zero": 0} {
		c.add(t, "CustomReconnectDelay", "the delay: "+kind)
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n, CustomReconnectDelay(func(int) time.Duration { return d }))
			s.Refuse(true)
			lose(s)
			pass(time.Second)
			if got := len(n.Dials()); got > 22 { // no more than 20 in a second, and the first one
				t.Errorf("%s: %d attempts in a second", kind, got)
			}
			s.Refuse(false)
			must(t, nc.Flush(in(t, time.Minute)))
		})
	}
}

// badLines are what a server may say that is none of the protocol, by operation.
var badLines = map[string][]string{
	"server MSG": {
		"MSG\r\n", "MSG \r\n", "MSG a\r\n", "MSG a 1\r\n", "MSG a 1 b c d\r\n", "MSG a b 1\r\n", "MSG a -1 1\r\n", "MSG a 1 -1\r\n", "MSG a 1 x\r\n",
		"MSG a 1 1x\r\n", "MSG a 1 9223372036854775807\r\n", "MSG a 1 18446744073709551621\r\n", "MSG a 1 4611686018427387904\r\n", "MSG a 1 1099511627776\r\n",
		"MSG a 18446744073709551617 1\r\nx\r\n", "MSG a 1 3\r\nabcXYZ\r\n", "MSG a 1 3\r\nabc\n\n\r\n", "MSG a 1 3\r\nabc\r\r\n", "MSG a 1 0\r\nx\r\n",
		"MSG a 1 +1\r\nx\r\n", "MSG a 1 1.0\r\n", "MSG a 1 0x1\r\n", "MSG\x00a 1 1\r\n", "MSGa 1 1\r\n", "MSG a 1 " + strings.Repeat("1", 100) + "\r\n",
		"MSG " + strings.Repeat("a", 70_000) + " 1 1\r\n", "MSG a 1 67108865\r\n",
	},
	"server HMSG": {
		"HMSG\r\n", "HMSG a 1 5\r\n", "HMSG a 1 5 3\r\nabc\r\n", "HMSG a 1 x 3\r\n", "HMSG a 1 3 x\r\n", "HMSG a 1 -1 3\r\n", "HMSG a 1 3 -3\r\n",
		"HMSG a 1 9223372036854775807 9223372036854775807\r\n", "HMSG a 1 18446744073709551617 18446744073709551618\r\n", "HMSG a b 1 2 3 4\r\n",
		"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\nX\r\n", "HMSG a 1 12 67108865\r\n",
	},
	"server INFO": {
		"INFO\r\n", "INFO \r\n", "INFO {\r\n", "INFO {]\r\n", "INFO []\r\n", "INFO null x\r\n", "INFO \"a\"\r\n", "INFO 5\r\n", "INFO {\"max_payload\":-1}\r\n",
		"INFO {\"max_payload\":\"1\"}\r\n", "INFO {\"max_payload\":1e100}\r\n", "INFO {\"port\":\"x\"}\r\n", "INFO {\"connect_urls\":\"a\"}\r\n", "INFO {\"headers\":1}\r\n", "INFO {} {}\r\n",
		"INFO {\"a\":" + strings.Repeat("[", 20_000) + "\r\n",
	},
	"server PING":  {"PING x\r\n", "PINGx\r\n", "PIN\r\n", "PING\rx\r\n", "P\r\n"},
	"server PONG":  {"PONG x\r\n", "PONGx\r\n", "PONG\rx\r\n", "PO\r\n"},
	"server +OK":   {"+OKx\r\n", "+\r\n", "+NO\r\n", "+OK x\r\n"},
	"server -ERR":  {"-\r\n", "-ER\r\n", "-ERRx\r\n", "-OK\r\n", "-ERR '" + strings.Repeat("x", 70_000) + "'\r\n"},
	"server bytes": {"\r\n", "\n", "\x00", "nonsense\r\n", "PUB a 1\r\nx\r\n", "SUB a 1\r\n", "UNSUB 1\r\n", "CONNECT {}\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "\xff\xfe", " PING\r\n"},
}

// badServerLines: each ends the link with ErrProtocol, none the process, and the
// Conn makes another link. reliability B1, B2, B3, B4, B5, B6, B8
func badServerLines(t *testing.T, c *corpus) {
	for on, lines := range badLines {
		for i, line := range lines {
			c.add(t, on, fmt.Sprintf("line %d", i))
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				sub, err := nc.SubscribeSync("a")
				must(t, err)
				flush(t, nc)
				before := s.Peer().Raw()
				old := s.Peer()
				old.Send(line)
				synctest.Wait()
				pass(time.Millisecond)
				lost := of[Disconnected](log)
				if len(lost) != 1 || !errors.Is(lost[0].Err, ErrProtocol) {
					t.Errorf("%s: %.60q: events %v", on, line, log.all())
					return
				}
				if text := lost[0].Err.Error(); len(text) > 300 || len(line) > 20 && strings.Contains(text, line[5:15]) {
					t.Errorf("%s: %.60q: the error quotes it: %v", on, line, text)
				}
				if got := strings.TrimPrefix(old.Raw(), before); got != "" {
					t.Errorf("%s: %.60q: it was answered with %q", on, line, got)
				}
				must(t, nc.Flush(in(t, time.Minute)))
				if st := sub.Stats(); st.Received != 0 {
					t.Errorf("%s: %.60q: %d messages came of it", on, line, st.Received)
				}
			})
		}
	}
}

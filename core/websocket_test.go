package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// webSocket is a network with one host that speaks WebSocket.
func webSocket(compress bool) (*fakeserver.Net, *fakeserver.Server) {
	n := fakeserver.New()
	s := n.Host("server:80")
	s.WebSocket(compress)
	return n, s
}

// scripted has f play the server on connections to come, behind the upgrade and
// the handshake of NATS.
func scripted(s *fakeserver.Server, f func(p *fakeserver.Peer)) {
	s.Script(func(p *fakeserver.Peer) {
		if p.Upgrade() != nil {
			return
		}
		p.SendInfo(nil)
		if _, err := p.Expect("PING"); err != nil {
			return
		}
		p.Send("PONG\r\n")
		f(p)
	})
}

func TestWebSocket(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprint("compress ", compress), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(true)
				nc := connectTo(t, n, "ws://u:p@server", Compression(compress))
				got := &collector{}
				_, err := nc.Subscribe("a", got.handle)
				must(t, err)
				for range 1000 {
					must(t, nc.Publish("a", []byte("x")))
				}
				must(t, nc.Publish("a", make([]byte, 300_000)))
				flush(t, nc)
				if got.len() != 1001 {
					t.Errorf("%d messages", got.len())
				}
				frames := s.Peer().Frames()
				deflated := 0
				for _, f := range frames {
					if f.Op != fakeserver.WSBinary {
						t.Errorf("opcode %d", f.Op)
					}
					if f.Deflated {
						deflated++
					}
				}
				if len(frames) > 400 { // some dozen, as the goroutines happen to take turns
					t.Errorf("%d frames for 1,001 messages", len(frames))
				}
				if (deflated > 0) != compress {
					t.Errorf("%d frames are compressed", deflated)
				}
				if st := nc.ConnectedURL(); st != "ws://server:80" {
					t.Errorf("connected to %s", st)
				}
				if _, ok := nc.TLSConnectionState(); ok {
					t.Error("TLS")
				}
				if doc := document(t, s); !strings.Contains(doc, `"user":"u"`) || !strings.Contains(doc, `"tls_required":false`) {
					t.Errorf("CONNECT %s", doc)
				}
			})
		})
	}
}

// TestWebSocketRequest: what the HTTP request looks like.
func TestWebSocketRequest(t *testing.T) {
	asked := 0
	for _, c := range []struct {
		url    string
		opts   []Option
		target string
		header string // one that must be there, with its value
	}{
		{"ws://server", nil, "/", ""},
		{"ws://server/a%2Fb/c?q=1&r=%2C", nil, "/a%2Fb/c?q=1&r=%2C", ""},
		{"ws://server/a?q=1", []Option{ProxyPath("gate/way")}, "/gate/way?q=1", ""},
		{"ws://server", []Option{ProxyPath("/gate way")}, "/gate%20way", ""},
		{"ws://server", []Option{WebSocketConnectionHeaders(http.Header{"X-Key": {"s3cret"}, "Cookie": {"jwt=x"}})}, "/", "X-Key s3cret"},
		{"ws://server", []Option{WebSocketConnectionHeadersHandler(func(ctx context.Context) (http.Header, error) {
			asked++
			_, ok := ctx.Deadline()
			return http.Header{"X-Key": {fmt.Sprint(asked, ok)}}, nil
		})}, "/", "X-Key 1 true"},
		{"ws://server", []Option{Compression(true)}, "/", "Sec-Websocket-Extensions permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
	} {
		t.Run(c.url+c.header, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				nc := connectTo(t, n, c.url, c.opts...)
				check := func(header string) {
					t.Helper()
					r := s.Peer().LastRequest()
					if r.RequestURI != c.target || r.Host != "server" || r.Header.Get("Nats-No-Masking") != "" {
						t.Errorf("request for %s at %s: %v", r.RequestURI, r.Host, r.Header)
					}
					if name, value, ok := strings.Cut(header, " "); ok && r.Header.Get(name) != value {
						t.Errorf("%s is %q", name, r.Header.Get(name))
					}
				}
				check(c.header)
				lose(s)
				pass(time.Second)
				must(t, nc.Flush(t.Context()))
				check(strings.Replace(c.header, "1 true", "2 true", 1))
			})
		})
	}
}

func TestWebSocketOptionsRefused(t *testing.T) {
	for name, o := range map[string]Option{
		"empty path": ProxyPath(""), "query": ProxyPath("/a?b"), "fragment": ProxyPath("/a#b"), "escape": ProxyPath("/%zz"),
		"bare ?": ProxyPath("/a?"), "nil": WebSocketConnectionHeaders(nil), "nil function": WebSocketConnectionHeadersHandler(nil),
		"name":    WebSocketConnectionHeaders(http.Header{"a b": {"c"}}),
		"no name": WebSocketConnectionHeaders(http.Header{"": {"c"}}),
		"value":   WebSocketConnectionHeaders(http.Header{"A": {"c\r\nd"}}),
		"host":    WebSocketConnectionHeaders(http.Header{"host": {"c"}}),
		"upgrade": WebSocketConnectionHeaders(http.Header{"Upgrade": {"c"}}),
		"key":     WebSocketConnectionHeaders(http.Header{"Sec-Websocket-Key": {"c"}}),
		"masking": WebSocketConnectionHeaders(http.Header{"Nats-No-Masking": {"true"}}),
	} {
		n, s := webSocket(false)
		_, err := Connect(t.Context(), "ws://server", options(n, []Option{o})...)
		if oe := (*OptionError)(nil); !errors.As(err, &oe) || len(s.Peers()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	n, _ := webSocket(false)
	h := WebSocketConnectionHeaders(http.Header{})
	f := WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { return nil, nil })
	_, err := Connect(t.Context(), "ws://server", options(n, []Option{h, f})...)
	isErr(t, err, ErrInvalidOption)
}

// TestWebSocketHeadersHandler: one that fails, is wrong or does not come back.
func TestWebSocketHeadersHandler(t *testing.T) {
	own := errors.New("no token today")
	for name, c := range map[string]struct {
		f    func(context.Context) (http.Header, error)
		want error
	}{
		"fails":  {func(context.Context) (http.Header, error) { return nil, own }, own},
		"wrong":  {func(context.Context) (http.Header, error) { return http.Header{"Host": {"x"}}, nil }, ErrInvalidOption},
		"blocks": {func(ctx context.Context) (http.Header, error) { <-ctx.Done(); return nil, ctx.Err() }, errDeadline},
		"heedless": {func(context.Context) (http.Header, error) {
			<-time.After(time.Minute)
			return nil, nil
		}, errDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				began := time.Now()
				_, err := Connect(t.Context(), "ws://server", options(n, []Option{WebSocketConnectionHeadersHandler(c.f)})...)
				isErr(t, err, ErrNoServers, c.want)
				if len(s.Peers()) > 0 || time.Since(began) > 6*time.Second {
					t.Errorf("%d connections, after %v", len(s.Peers()), time.Since(began))
				}
				pass(time.Minute)
			})
		})
	}
}

func TestMixedSchemes(t *testing.T) {
	for _, opts := range [][]Option{{Servers("nats://b")}, {Servers("wss://c", "tls://b")}} {
		_, err := Connect(t.Context(), "ws://a", opts...)
		isErr(t, err, ErrMixingWebsocketSchemes, ErrInvalidOption)
		if !SafeToRetry(err) {
			t.Error("not safe to retry")
		}
	}
	_, err := Connect(t.Context(), "a,ws://b")
	isErr(t, err, ErrMixingWebsocketSchemes)
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		plain := n.Host("plain:4222")
		nc := connectTo(t, n, "ws://server")
		isErr(t, nc.SetServers([]string{"ws://server", "nats://plain"}), ErrMixingWebsocketSchemes)
		if got := nc.Servers(); len(got) != 1 {
			t.Errorf("servers %v", got)
		}
		// The other kind as a whole; what the old link discovers then is no use.
		must(t, nc.SetServers([]string{"nats://plain"}))
		s.Peer().SendInfo(map[string]any{"connect_urls": []string{"other:80"}})
		synctest.Wait()
		if got := nc.Servers(); len(got) != 1 || got[0].URL != "nats://plain:4222" {
			t.Errorf("servers %v", got)
		}
		lose(s)
		pass(time.Second)
		must(t, nc.Flush(t.Context()))
		if plain.Peer() == nil || nc.ConnectedURL() != "nats://plain:4222" {
			t.Errorf("connected to %s", nc.ConnectedURL())
		}
	})
}

// TestWebSocketDiscovery: servers that INFO names are reached the same way.
func TestWebSocketDiscovery(t *testing.T) {
	for _, field := range []string{"connect_urls", "ws_connect_urls"} {
		bubble(t, func(t *testing.T) {
			n, s := webSocket(false)
			b := n.Host("b:8080")
			b.WebSocket(false)
			info := map[string]any{"connect_urls": []string{"wrong:4222"}}
			info[field] = []string{"server:80", "b:8080"}
			for k, v := range info {
				s.SetInfo(k, v)
			}
			log := &eventLog{}
			nc := connectTo(t, n, "ws://server/path?key=s3cret", ProxyPath("/gate"), WebSocketConnectionHeaders(http.Header{"X": {"y"}}), log.option())
			if e := one[AsyncError](t, log); !errors.Is(e.Err, errPlainSecret) {
				t.Errorf("warning %v", e.Err)
			}
			s.Stop()
			pass(time.Second)
			if nc.ConnectedURL() != "ws://b:8080" {
				t.Fatalf("connected to %q, servers %v", nc.ConnectedURL(), nc.Servers())
			}
			r := b.Peer().LastRequest()
			if r.RequestURI != "/gate" || r.Host != "b:8080" || r.Header.Get("X") != "y" {
				t.Errorf("request for %s at %s: %v", r.RequestURI, r.Host, r.Header)
			}
		})
	}
}

// TestWebSocketTLS: TLS lies below the WebSocket, once.
func TestWebSocketTLS(t *testing.T) {
	for _, c := range []struct {
		name, url string
		opts      []Option
		want      error
	}{
		{"by the URL", "wss://server:80", []Option{ClientTLSConfig(nil, roots)}, nil},
		{"by an option", "ws://server", []Option{trust()}, nil},
		{"first", "wss://server:80", []Option{trust(), TLSHandshakeFirst()}, nil},
		{"with a config for HTTP/2", "wss://server:80", []Option{Secure(&tls.Config{RootCAs: fakeserver.SharedCA().Roots, NextProtos: []string{"h2"}})}, nil},
		{"unknown authority", "wss://server:80", nil, ErrTLS},
		{"wrong name", "wss://server:80", []Option{Secure(&tls.Config{RootCAs: fakeserver.SharedCA().Roots, ServerName: "other"})}, ErrTLS},
		{"no roots", "wss://server:80", []Option{ClientTLSConfig(func() (tls.Certificate, error) { return tls.Certificate{}, errors.New("gone") }, nil)}, ErrTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				t.Cleanup(n.Wait)
				cfg, err := fakeserver.SharedCA().Server("server")
				must(t, err)
				cfg.NextProtos = []string{"h2", "http/1.1"}
				s.TLS(cfg, false)
				s.SetInfo("connect_urls", []string{"b:81"})
				log := &eventLog{}
				opts := options(n, append([]Option{UserInfo("u", "s3cret"), log.option()}, c.opts...))
				nc, err := Connect(t.Context(), c.url, opts...)
				if c.want != nil {
					isErr(t, err, c.want)
					if strings.Contains(s.Peer().Raw(), "GET") {
						t.Errorf("sent %q", s.Peer().Raw())
					}
					return
				}
				must(t, err)
				finish(t, nc)
				flush(t, nc)
				st, ok := nc.TLSConnectionState()
				if !ok || st.ServerName != "server" || !strings.Contains(document(t, s), `"tls_required":true`) {
					t.Errorf("TLS %v, for %q", ok, st.ServerName)
				}
				// Inside TLS there is nothing to warn of.
				if len(of[AsyncError](log)) > 0 || len(nc.Servers()) != 2 {
					t.Errorf("events %v, servers %v", log.all(), nc.Servers())
				}
			})
		})
	}
}

// TestUpgradeRefused: answers that are no upgrade.
func TestUpgradeRefused(t *testing.T) {
	answer := func(text string) func(*fakeserver.Peer) {
		return func(p *fakeserver.Peer) { _, _ = p.Request(); p.Send(text); _, _ = p.Next() }
	}
	accept := func(change func(string) string) func(*fakeserver.Peer) {
		return func(p *fakeserver.Peer) {
			if r, err := p.Request(); err == nil {
				p.Send(change(fakeserver.Accept(r)) + "\r\n")
			}
			_, _ = p.Next()
		}
	}
	for name, c := range map[string]struct {
		script func(*fakeserver.Peer)
		opts   []Option
		want   error
		text   string
		slow   bool // ends by Timeout
	}{
		"401":          {answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), nil, ErrAuthorization, "401 Unauthorized", false},
		"403":          {answer("HTTP/1.1 403 s3cret\r\n\r\n"), nil, ErrAuthorization, "403 Forbidden", false},
		"404":          {answer("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"), nil, ErrDisconnected, "404 Not Found", false},
		"HTTP/1.0 503": {answer("HTTP/1.0 503 x\r\n\r\n"), nil, ErrDisconnected, "503", false},
		"redirect":     {answer("HTTP/1.1 302 Found\r\nLocation: ws://evil/\r\n\r\n"), nil, ErrDisconnected, "302 Found; redirects are not followed", false},
		"200":          {answer("HTTP/1.1 200 OK\r\n\r\nhello"), nil, ErrDisconnected, "200 OK", false},
		"NATS":         {answer("INFO {}\r\n"), nil, ErrProtocol, "", false},
		"garbage":      {answer("HTTP/1.1 x\r\n\r\n"), nil, ErrProtocol, "", false},
		"endless": {func(p *fakeserver.Peer) {
			p.Send("HTTP/1.1 101 S\r\nX: ")
			for p.Send(strings.Repeat("x", 1000)) {
			}
		}, nil, ErrProtocol, "", false},
		"silent":       {answer(""), nil, errDeadline, "", true},
		"half":         {answer("HTTP/1.1 101 Swi"), nil, errDeadline, "", true},
		"hangs up":     {func(p *fakeserver.Peer) { _, _ = p.Request() }, nil, ErrDisconnected, "", false},
		"no accept":    {answer("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), nil, ErrProtocol, "", false},
		"other accept": {accept(func(s string) string { return strings.Replace(s, "Accept: ", "Accept: s3cret", 1) }), nil, ErrProtocol, "", false},
		"no upgrade":   {accept(func(s string) string { return strings.Replace(s, "Upgrade: websocket", "X: y", 1) }), nil, ErrProtocol, "", false},
		"protocol":     {accept(func(s string) string { return s + "Sec-WebSocket-Protocol: mqtt\r\n" }), nil, ErrProtocol, "", false},
		"unasked": {accept(func(s string) string {
			return s + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
		}), nil, ErrProtocol, "", false},
		"with context": {accept(func(s string) string {
			return s + "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
		}), []Option{Compression(true)}, ErrProtocol, "", false},
		"other context": {accept(func(s string) string { return s + "Sec-WebSocket-Extensions: permessage-deflate\r\n" }), []Option{Compression(true)}, ErrProtocol, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				s.Script(c.script)
				began := time.Now()
				opts := append([]Option{WebSocketConnectionHeaders(http.Header{"X": {"s3cret"}})}, c.opts...)
				_, err := Connect(t.Context(), "ws://server/?key=s3cret", options(n, opts)...)
				isErr(t, err, ErrNoServers, c.want)
				if !strings.Contains(err.Error(), c.text) || strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cret") {
					t.Errorf("%v", err)
				}
				if took := time.Since(began); (took > 4*time.Second) != c.slow || took > 6*time.Second {
					t.Errorf("after %v", took)
				}
				if len(n.Dials()) != 1 {
					t.Errorf("dialed %v", n.Dials())
				}
			})
		})
	}
}

// TestUpgradeRefusedBacksOff: refused credentials are those of a gateway too.
func TestUpgradeRefusedBacksOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		nc := connectTo(t, n, "ws://server", AbortOnAuthError(2))
		s.Script(func(p *fakeserver.Peer) {
			_, _ = p.Request()
			p.Send("HTTP/1.1 401 Unauthorized\r\n\r\n")
		})
		lose(s)
		pass(10 * time.Minute)
		isErr(t, nc.Err(), ErrAuthorization)
	})
}

// TestHostileFrames: each ends the link, with the right kind of error, and the
// next one works.
func TestHostileFrames(t *testing.T) {
	raw := func(b ...byte) func(*fakeserver.Peer) { return func(p *fakeserver.Peer) { p.SendRaw(b...) } }
	for name, c := range map[string]struct {
		script func(*fakeserver.Peer)
		want   error
	}{
		"masked":                {raw(0x82, 0x80|6, 0, 0, 0, 0, 'P', 'I', 'N', 'G', '\r', '\n'), ErrProtocol},
		"RSV1 without deflate":  {raw(0xc2, 1, 0), ErrProtocol},
		"RSV2":                  {raw(0xa2, 1, 0), ErrProtocol},
		"opcode 3":              {raw(0x83, 0), ErrProtocol},
		"opcode 11":             {raw(0x8b, 0), ErrProtocol},
		"continues nothing":     {raw(0x80, 1, 'x'), ErrProtocol},
		"begins in a message":   {raw(0x02, 1, '+', 0x82, 1, 'O'), ErrProtocol},
		"text":                  {raw(fakeserver.WSData(fakeserver.WSText, true, []byte("PING\r\n"))...), ErrProtocol},
		"negative length":       {raw(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), ErrProtocol},
		"long ping":             {raw(fakeserver.WSData(fakeserver.WSPing, true, make([]byte, 126))...), ErrProtocol},
		"fragmented ping":       {raw(fakeserver.WSPing, 0), ErrProtocol},
		"close of one byte":     {raw(0x88, 1, 3), ErrProtocol},
		"close with a bad code": {raw(fakeserver.WSClosing(1005, "")...), ErrProtocol},
		"garbage inside":        {raw(fakeserver.WSData(fakeserver.WSBinary, true, []byte("NONSENSE\r\n"))...), ErrProtocol},
		"huge frame of nothing": {func(p *fakeserver.Peer) {
			p.SendRaw(fakeserver.WSHead(0x82, 1<<40)...)
			for p.SendRaw(make([]byte, 1<<16)...) {
			}
		}, ErrProtocol},
		"message too large": {func(p *fakeserver.Peer) { p.Send("MSG a 1 100000\r\n") }, ErrProtocol},
		"endless line": {func(p *fakeserver.Peer) {
			for p.SendRaw(fakeserver.WSData(fakeserver.WSBinary, true, []byte(strings.Repeat("x", 1000)))...) {
			}
		}, ErrProtocol},
		"close":          {raw(fakeserver.WSClosing(1001, "Server Shutdown")...), ErrDisconnected},
		"close, no code": {raw(0x88, 0), ErrDisconnected},
		"hangs up":       {func(*fakeserver.Peer) {}, ErrDisconnected},
		"-ERR and close": {func(p *fakeserver.Peer) {
			p.Err("User Authentication Expired")
			p.SendRaw(fakeserver.WSClosing(1008, "Authentication Expired")...)
		}, ErrAuthExpired},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				log := &eventLog{}
				scripted(s, func(p *fakeserver.Peer) {
					<-time.After(time.Second)
					s.Script(nil)
					c.script(p)
				})
				nc := connectTo(t, n, "ws://server", MaxInboundPayload(50_000), log.option())
				pass(10 * time.Second)
				d := one[Disconnected](t, log)
				isErr(t, d.Err, c.want)
				if strings.HasPrefix(name, "close") && c.want == ErrDisconnected {
					var frame websocket.CloseError
					if !errors.As(d.Err, &frame) || name == "close" && (frame.Code != 1001 || frame.Reason != "Server Shutdown" ||
						!strings.Contains(d.Err.Error(), `1001: "Server Shutdown"`)) {
						t.Errorf("%v", d.Err)
					}
				}
				must(t, nc.Flush(t.Context()))
			})
		})
	}
}

// TestErrorBeforeClosingFrame: during the handshake too.
func TestErrorBeforeClosingFrame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		s.Script(func(p *fakeserver.Peer) {
			_ = p.Upgrade()
			p.SendInfo(nil)
			_, _ = p.Expect("PING")
			p.Err("Authorization Violation")
			p.SendRaw(fakeserver.WSClosing(1008, "Authentication Failure")...)
		})
		_, err := Connect(t.Context(), "ws://server", options(n, nil)...)
		isErr(t, err, ErrAuthorization)
	})
}

// TestWebSocketControlFrames: pings are answered with their payload, among and
// inside messages; Close and Reconnect say goodbye.
func TestWebSocketControlFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		nc := connectTo(t, n, "ws://server")
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		p := s.Peer()
		frame := []byte(fakeserver.Frame("a", p.SID("a"), "", "", "hello"))
		p.SendRaw(fakeserver.WSData(fakeserver.WSPing, true, []byte("one"))...)
		p.SendRaw(fakeserver.WSData(fakeserver.WSPong, true, nil)...)
		p.SendRaw(fakeserver.WSData(fakeserver.WSBinary, false, frame[:10])...)
		p.SendRaw(fakeserver.WSData(fakeserver.WSPing, true, nil)...)
		p.SendRaw(fakeserver.WSData(fakeserver.WSContinue, true, frame[10:])...)
		m, err := sub.Next(in(t, time.Second))
		must(t, err)
		synctest.Wait()
		if string(m.Data) != "hello" || control(p) != "pong one, pong " {
			t.Errorf("got %q, control frames %q", m.Data, control(p))
		}
		must(t, nc.Reconnect(t.Context()))
		synctest.Wait()
		if got := control(p); got != "pong one, pong , close \x03\xe8" {
			t.Errorf("control frames %q", got)
		}
		p = s.Peer()
		must(t, nc.Close())
		synctest.Wait()
		if got := control(p); got != "close \x03\xe8" {
			t.Errorf("control frames %q", got)
		}
	})
}

// control names the control frames of a client.
func control(p *fakeserver.Peer) string {
	var out []string
	for _, f := range p.Frames() {
		switch f.Op {
		case fakeserver.WSPong:
			out = append(out, "pong "+string(f.Data))
		case fakeserver.WSPing:
			out = append(out, "ping "+string(f.Data))
		case fakeserver.WSClose:
			out = append(out, "close "+string(f.Data))
		}
	}
	return strings.Join(out, ", ")
}

// TestClosingFrameIsAnswered: as RFC 6455 wants.
func TestClosingFrameIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		connectTo(t, n, "ws://server")
		p := s.Peer()
		p.SendRaw(fakeserver.WSClosing(1001, "bye")...)
		synctest.Wait()
		if got := control(p); got != "close \x03\xe9bye" {
			t.Errorf("control frames %q", got)
		}
	})
}

// TestWebSocketStalledPeer: a peer that takes no bytes holds up nobody.
func TestWebSocketStalledPeer(t *testing.T) {
	for name, pings := range map[string]bool{"silent": false, "sends pings": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				s.Capacity(64 << 10)
				log := &eventLog{}
				nc := connectTo(t, n, "ws://server", log.option(), NoReconnect())
				p := s.Peer()
				p.StallReads(true)
				must(t, nc.Publish("a", make([]byte, 500_000)))
				if pings {
					go func() {
						for p.SendRaw(fakeserver.WSData(fakeserver.WSPing, true, make([]byte, 100))...) {
							<-time.After(time.Millisecond)
						}
					}()
				}
				pass(time.Second)
				began := time.Now()
				var loss *LossError
				if err := nc.Close(); !errors.As(err, &loss) || loss.Unknown != 1 {
					t.Errorf("Close: %v", err)
				}
				if took := time.Since(began); took > closeFlush+100*time.Millisecond {
					t.Errorf("Close took %v", took)
				}
				pass(time.Second)
			})
			bubble(t, func(t *testing.T) {
				n, s := webSocket(false)
				s.Capacity(64 << 10)
				log := &eventLog{}
				nc := connectTo(t, n, "ws://server", log.option())
				s.Peer().StallReads(true)
				must(t, nc.Publish("a", make([]byte, 500_000)))
				pass(11 * time.Second)
				isErr(t, one[Disconnected](t, log).Err, ErrStaleConnection)
				must(t, nc.Flush(t.Context()))
				// A part of a frame may have been read: it is not sent again.
				if st := nc.Stats(); st.OutUnknown != 1 || len(s.Payloads("a")) != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestWebSocketNotResumed: unlike in plain TCP, what was cut is unknown.
func TestWebSocketNotResumed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		nc := connectTo(t, n, "ws://server")
		s.Peer().CutAfter(100, false)
		must(t, nc.Publish("a", make([]byte, 1000)))
		pass(time.Second)
		must(t, nc.Flush(t.Context()))
		if st := nc.Stats(); st.OutUnknown != 1 || st.OutConfirmed != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCompressedFramesFit: what one frame inflates to is at most max_payload,
// however small that is.
func TestCompressedFramesFit(t *testing.T) {
	for _, max := range []int{600, 4096, 100_000, 1 << 20} {
		bubble(t, func(t *testing.T) {
			n, s := webSocket(true)
			s.SetInfo("max_payload", max)
			nc := connectTo(t, n, "ws://server", Compression(true), Name(strings.Repeat("n", 2000)))
			for range 10 {
				must(t, nc.Publish("a", make([]byte, max)))
			}
			flush(t, nc)
			if got := len(s.Payloads("a")); got != 10 {
				t.Errorf("%d messages arrived", got)
			}
			deflated := 0
			for _, f := range s.Peer().Frames() {
				if f.Deflated {
					deflated++
					if len(f.Data) > max {
						t.Errorf("max_payload %d: a frame inflates to %d", max, len(f.Data))
					}
				}
			}
			if deflated == 0 {
				t.Error("nothing was compressed")
			}
			// The server may lower it while the link is up.
			s.Peer().SendInfo(map[string]any{"max_payload": 550})
			synctest.Wait()
			seen := len(s.Peer().Frames())
			for range 100 {
				must(t, nc.Publish("a", make([]byte, 500)))
			}
			flush(t, nc)
			for _, f := range s.Peer().Frames()[seen:] {
				if f.Deflated && len(f.Data) > 550 {
					t.Errorf("a frame inflates to %d", len(f.Data))
				}
			}
		})
	}
}

// TestInflatedWithoutMemory: what a frame inflates to never lies in memory as a
// whole; what is wrong in it ends the link, what is right is taken.
func TestInflatedWithoutMemory(t *testing.T) {
	const big = 64 << 20
	bomb := fakeserver.WSDeflated(make([]byte, big))
	valid := fakeserver.WSDeflated([]byte(strings.Repeat("MSG x 999 10\r\n0123456789\r\n", big/26)))
	bubble(t, func(t *testing.T) {
		n, s := webSocket(true)
		log := &eventLog{}
		nc := connectTo(t, n, "ws://server", Compression(true), log.option())
		held := heldDuring(func() {
			s.Peer().SendRaw(valid...)
			synctest.Wait()
			must(t, nc.Flush(t.Context()))
		})
		if got := nc.Stats().InOrphaned; got != big/26 {
			t.Errorf("%d messages", got)
		}
		if held > 8<<20 {
			t.Errorf("%d bytes of memory", held)
		}
		s.Peer().SendRaw(bomb...)
		synctest.Wait()
		isErr(t, one[Disconnected](t, log).Err, ErrProtocol)
		pass(time.Second)
		must(t, nc.Flush(t.Context()))
	})
	// Before the handshake is through as well, in no time.
	bubble(t, func(t *testing.T) {
		n, s := webSocket(true)
		s.Script(func(p *fakeserver.Peer) { _ = p.Upgrade(); p.SendRaw(bomb...); _, _ = p.Next() })
		held := heldDuring(func() {
			_, err := Connect(t.Context(), "ws://server", options(n, []Option{Compression(true)})...)
			isErr(t, err, ErrProtocol)
		})
		if held > 8<<20 {
			t.Errorf("%d bytes of memory", held)
		}
	})
}

// heldDuring is how many bytes more were allocated, at most, than f's own
// messages need: those are not kept.
func heldDuring(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestWebSocketReconnectToServer: the user chooses by what he is shown, and that
// is without the query.
func TestWebSocketReconnectToServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		b := n.Host("b:80")
		b.WebSocket(false)
		var shown []string
		nc := connectTo(t, n, "ws://server,ws://b/one?key=s3cret,ws://b/two?key=s3cret", ReconnectToServer(func(pool []Server, _ ServerInfo) (string, time.Duration) {
			for _, s := range pool {
				shown = append(shown, s.URL)
			}
			return "ws://b:80/two", 0
		}))
		lose(s)
		pass(time.Second)
		must(t, nc.Flush(t.Context()))
		slices.Sort(shown)
		if got := strings.Join(shown, " "); got != "ws://b:80/one ws://b:80/two ws://server:80" {
			t.Errorf("shown %s", got)
		}
		if nc.ConnectedURL() != "ws://b:80/two" || b.Peer().LastRequest().RequestURI != "/two?key=s3cret" {
			t.Errorf("at %q", nc.ConnectedURL())
		}
	})
}

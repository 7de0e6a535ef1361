package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSVerify(), natstest.WebSocket())
	cert, key := srv.ClientCertFiles()
	good := []nats.Option{nats.RootCAs(srv.CAFile()), nats.ClientCert(cert, key)}
	for name, url := range map[string]string{
		"wss": srv.WebSocketURL(), "ws, and an option": strings.Replace(srv.WebSocketURL(), "wss://", "ws://", 1),
	} {
		t.Run(name, func(t *testing.T) {
			nc := ledger.Connect(t, url, good...)
			st, ok := nc.TLSConnectionState()
			if !ok || len(st.PeerCertificates) == 0 {
				t.Errorf("TLS: %v", ok)
			}
			sub, err := nc.SubscribeSync("a")
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if err := nc.Publish("a", random(100_000)); err != nil {
					t.Fatal(err)
				}
			}
			for range 20 {
				next(t, sub)
			}
			if err := nc.Reconnect(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	for name, opts := range map[string][]nats.Option{
		"unknown authority": nil,
		"no certificate":    {nats.RootCAs(srv.CAFile())},
		"wrong name":        append([]nats.Option{nats.Secure(&tls.Config{ServerName: "other"})}, good...),
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := nats.Connect(t.Context(), srv.WebSocketURL(), append(opts, nats.Logger(nil))...)
			if err == nil {
				_ = nc.Close()
			}
			if !errors.Is(err, nats.ErrTLS) {
				t.Error(err)
			}
		})
	}
	_, err := nats.Connect(t.Context(), strings.Replace(srv.WebSocketURL(), "wss://", "ws://", 1), nats.Logger(nil))
	if err == nil {
		t.Error("connected without TLS")
	}
}

// Behind a reverse proxy: a path, headers that it wants to see, and statuses of
// its own.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	srv := compressing(t)
	upstream := &url.URL{Scheme: "http", Host: strings.TrimPrefix(srv.WebSocketURL(), "ws://")}
	var mu sync.Mutex
	var asked []string
	forward := httputil.NewSingleHostReverseProxy(upstream)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.RequestURI+" "+r.Header.Get("X-Key"))
		mu.Unlock()
		switch {
		case r.URL.Path != "/gate/nats":
			http.NotFound(w, r)
		case r.Header.Get("X-Key") != "open":
			http.Error(w, "no", http.StatusUnauthorized)
		default:
			r.URL.Path = "/"
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(gate.Close)
	address := "ws://" + gate.Listener.Addr().String()
	key := nats.WebSocketConnectionHeaders(http.Header{"X-Key": {"open"}})

	both(t, func(t *testing.T, compress nats.Option) {
		for _, c := range []struct {
			url  string
			opts []nats.Option
		}{
			{address + "/gate/nats?q=1", []nats.Option{key}},
			{address + "?q=2", []nats.Option{nats.ProxyPath("/gate/nats"), key}},
			{address + "/other", []nats.Option{nats.ProxyPath("gate/nats"), nats.WebSocketConnectionHeadersHandler(
				func(context.Context) (http.Header, error) { return http.Header{"X-Key": {"open"}}, nil })}},
		} {
			nc := ledger.Connect(t, c.url, append(c.opts, compress)...)
			if err := nc.Publish("a", text(2<<19)); err != nil {
				t.Error(err)
			}
			if err := nc.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			if err := nc.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		_, err := nats.Connect(t.Context(), address, nats.Logger(nil), key)
		if !errors.Is(err, nats.ErrNoServers) || !strings.Contains(err.Error(), "404") {
			t.Error(err)
		}
		_, err = nats.Connect(t.Context(), address, nats.Logger(nil), nats.ProxyPath("/gate/nats"))
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if all := strings.Join(asked, "\n"); !strings.Contains(all, "/gate/nats?q=1 open") || !strings.Contains(all, "/gate/nats?q=2 open") {
			t.Errorf("asked for\n%s", all)
		}
	})
}

// connectDialer asks an HTTP proxy for connections.
type connectDialer struct{ proxy string }

func (d connectDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, d.proxy)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address)
	if err == nil {
		// Nothing comes behind the answer before something is sent.
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect}); err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New("proxy: " + resp.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// A proxy of HTTP is a dialer.
func TestThroughHTTPProxy(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.WebSocket())
	var tunnels sync.WaitGroup
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		server, err := net.Dial("tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		// Between sockets as such the kernel copies, with pipes that stay.
		relay := func(to, from net.Conn) {
			_, _ = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
			_ = to.Close()
		}
		tunnels.Go(func() { relay(server, client) })
		tunnels.Go(func() { relay(client, server) })
	}))
	t.Cleanup(func() { proxy.Close(); tunnels.Wait() })
	nc := ledger.Connect(t, srv.WebSocketURL(), nats.RootCAs(srv.CAFile()), nats.UseDialer(connectDialer{proxy.Listener.Addr().String()}))
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if _, ok := nc.TLSConnectionState(); !ok || asked.Load() != 1 {
		t.Errorf("TLS: %v; the proxy was asked %d times", ok, asked.Load())
	}
}

// A port that speaks NATS or another HTTP is told from a WebSocket at once.
func TestNotAWebSocket(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	_, err := nats.Connect(t.Context(), "ws://"+srv.Addr(), nats.Logger(nil))
	if !errors.Is(err, nats.ErrProtocol) {
		t.Error(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(web.Close)
	_, err = nats.Connect(t.Context(), "ws://"+web.Listener.Addr().String(), nats.Logger(nil))
	if !errors.Is(err, nats.ErrNoServers) || !strings.Contains(err.Error(), "200 OK") {
		t.Error(err)
	}
}

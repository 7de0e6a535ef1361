package natstest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

// dialWebSocket opens a WebSocket and reads INFO, which is one frame. config is
// nil without TLS.
func dialWebSocket(t *testing.T, rawURL string, config *tls.Config) info {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %s", resp.Status)
	}
	text, ok := strings.CutPrefix(readFrame(t, r), "INFO ")
	var i info
	if err := json.Unmarshal([]byte(text), &i); err != nil || !ok {
		t.Fatalf("%q: %v", text, err)
	}
	return i
}

func readFrame(t *testing.T, r io.Reader) string {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	size := uint16(head[1])
	if size == 126 {
		if err := binary.Read(r, binary.BigEndian, &size); err != nil {
			t.Fatal(err)
		}
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

func TestWebSocketWithMutualTLS(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.WebSocket(), natstest.TLSVerify())
	config := srv.ClientTLSConfig()
	config.ServerName = "localhost"
	if got := dialWebSocket(t, srv.WebSocketURL(), config); got.ID != srv.ID() {
		t.Errorf("INFO %+v", got)
	}
	config.Certificates = nil
	conn, err := tls.Dial("tcp", strings.TrimPrefix(srv.WebSocketURL(), "wss://"), config)
	if err != nil {
		return // refused in the handshake
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("no client certificate: %v", err)
	}
}

// TestWebSocketDiscovery wants clients to hear of the other servers' WebSocket
// listeners, not of those for TCP.
func TestWebSocketDiscovery(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		opts := []natstest.Option{natstest.WebSocket(), natstest.NoJetStream()}
		if secure {
			opts = append(opts, natstest.TLS())
		}
		c := natstest.RunCluster(t, 2, opts...)
		config := c.ClientTLSConfig()
		if config != nil {
			config.ServerName = "localhost"
		}
		urls := strings.Split(c.WebSocketURL(), ",")
		if len(urls) != 2 || urls[1] != c.Server(1).WebSocketURL() || strings.HasPrefix(urls[0], "wss://") != secure {
			t.Fatalf("URLs %s", urls)
		}
		var want []string
		for _, u := range urls {
			_, host, _ := strings.Cut(u, "://")
			want = append(want, host)
		}
		slices.Sort(want)
		got := dialWebSocket(t, urls[0], config).URLs
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("INFO has %s, want %s", got, want)
		}
	}
	if u := natstest.RunCluster(t, 2, natstest.NoJetStream()).WebSocketURL(); u != "" {
		t.Errorf("URL %q without a listener", u)
	}
}

func TestWebSocketOfProcess(t *testing.T) {
	t.Parallel()
	p := natstest.RunProcess(t, natstest.WebSocket(), natstest.TLS())
	config := p.ClientTLSConfig()
	config.ServerName = "localhost"
	if got := dialWebSocket(t, p.WebSocketURL(), config); got.ID != p.ID() {
		t.Errorf("INFO %+v", got)
	}
}

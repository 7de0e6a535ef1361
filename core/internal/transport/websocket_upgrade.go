package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder/websocket"
)

// maxAnswer bounds the head of the answer to the upgrade.
const maxAnswer = 64 << 10

// ErrNotWebSocket is an answer that no WebSocket server gives.
var ErrNotWebSocket = errors.New("this is not a WebSocket server")

// UpgradeError is an HTTP status instead of the upgrade.
type UpgradeError struct{ Status int }

func (e *UpgradeError) Error() string {
	s := "the WebSocket upgrade was answered with " + strconv.Itoa(e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Status/100 == 3 {
		s += "; redirects are not followed"
	}
	return s
}

// WebSocketConfig is what an upgrade asks for.
type WebSocketConfig struct {
	Host     string // of the Host header
	Target   string // escaped path, which starts with a slash, and query
	Header   http.Header
	Compress bool
}

// Upgrade makes a WebSocket of a connection until ctx ends. over is the TLS that
// lies on conn, if it is ours. The connection is not closed if it fails.
func Upgrade(ctx context.Context, conn net.Conn, over *TLSConn, cfg WebSocketConfig) (*WebSocket, error) {
	f := newFrames(conn, over)
	c := &WebSocket{Conn: f.under, f: f}
	c.SetMaxPayload(0)
	u := &upgrade{f: f}
	opts := &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: u}, HTTPHeader: cfg.Header, Host: cfg.Host,
		OnPingReceived: c.pinged,
	}
	if cfg.Compress {
		opts.CompressionMode = websocket.CompressionNoContextTakeover
	}
	release := Bound(ctx, conn)
	ws, _, err := websocket.Dial(ctx, "ws://server"+cfg.Target, opts)
	if cerr := release(); cerr != nil {
		if err != nil {
			err = fmt.Errorf("%w (%w)", cerr, reason(err))
		} else {
			_ = ws.CloseNow()
			err = cerr
		}
		return nil, err
	}
	if err != nil {
		return nil, reason(err)
	}
	ws.SetReadLimit(-1) // frames are passed on as they come, and never kept
	c.ws, c.deflate, f.upgraded = ws, u.deflate, true
	return c, nil
}

// reason is what made the upgrade fail. What the library says of it may quote
// the URL and the answer.
func reason(err error) error {
	var sent *url.Error
	if errors.As(err, &sent) {
		return sent.Err
	}
	return fmt.Errorf("%w: its answer to the upgrade is wrong", ErrNotWebSocket)
}

// upgrade does the HTTP of the upgrade on one connection.
type upgrade struct {
	f       *frames
	deflate bool // was agreed on
}

// RoundTrip implements http.RoundTripper.
func (u *upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return nil, err
	}
	if _, err := u.f.out.to(b.Bytes()); err != nil {
		return nil, err
	}
	head, err := u.answer()
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), req)
	if err != nil {
		return nil, ErrNotWebSocket
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, &UpgradeError{resp.StatusCode}
	}
	if agreed := resp.Header.Values("Sec-Websocket-Extensions"); len(agreed) > 0 {
		u.deflate = true
		if !withoutContext(agreed) {
			return nil, fmt.Errorf("%w: it does not compress each message by itself", ErrNotWebSocket)
		}
	}
	resp.Body = u.f
	return resp, nil
}

// withoutContext reports whether both sides compress each message by itself.
func withoutContext(extensions []string) bool {
	var client, server bool
	for p := range strings.SplitSeq(strings.Join(extensions, ","), ";") {
		switch strings.ToLower(strings.TrimSpace(p)) {
		case "client_no_context_takeover":
			client = true
		case "server_no_context_takeover":
			server = true
		}
	}
	return client && server
}

// answer reads the head of the answer. What came behind it stays where frames
// are read.
func (u *upgrade) answer() ([]byte, error) {
	const start, end = "HTTP/1.", "\r\n\r\n"
	f := u.f
	for {
		if err := f.fill(); err != nil {
			return nil, fmt.Errorf("no answer to the WebSocket upgrade: %w", err)
		}
		b := f.in[f.r:f.w]
		if n := min(len(b), len(start)); string(b[:n]) != start[:n] {
			return nil, ErrNotWebSocket
		}
		if i := bytes.Index(b, []byte(end)); i >= 0 {
			f.r += i + len(end)
			return b[:i+len(end)], nil
		}
		if len(b) > maxAnswer {
			return nil, fmt.Errorf("%w: its answer to the upgrade is too long", ErrNotWebSocket)
		}
	}
}

// closingFrame is a normal end of the connection, masked as a client has to.
func closingFrame() []byte {
	b := []byte{frameFin | opClose, frameMasked | 2, 0, 0, 0, 0, 0, 0}
	key, payload := b[2:6], b[6:]
	_, _ = rand.Read(key)
	payload[0] = byte(websocket.StatusNormalClosure>>8) ^ key[0]
	payload[1] = byte(websocket.StatusNormalClosure&0xff) ^ key[1]
	return b
}

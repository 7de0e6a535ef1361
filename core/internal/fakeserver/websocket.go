package fakeserver

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
)

// Opcodes of WebSocket frames.
const (
	WSContinue = 0
	WSText     = 1
	WSBinary   = 2
	WSClose    = 8
	WSPing     = 9
	WSPong     = 10
)

// WSFrame is one frame that a client sent.
type WSFrame struct {
	Op       byte
	Fin      bool
	Deflated bool
	Data     []byte // unmasked and inflated
}

// WebSocket makes the server expect WebSockets, over TLS if TLS was called. With
// compress it agrees to compression.
func (s *Server) WebSocket(compress bool) {
	s.set(func() { s.ws, s.wsCompress = true, compress })
}

// Split makes the server cut what it sends over a WebSocket: f gets the bytes of
// one Send and returns frames, ready to leave. nil is one frame a Send.
func (s *Server) Split(f func(b []byte) [][]byte) { s.set(func() { s.wsSplit = f }) }

// Upgrade reads a request and makes a WebSocket of the connection.
func (p *Peer) Upgrade() error {
	req, err := p.Request()
	if err != nil {
		return err
	}
	s := p.Server
	s.mu.Lock()
	compress := s.wsCompress && req.Header.Get("Sec-Websocket-Extensions") != ""
	s.mu.Unlock()
	extra := ""
	if compress {
		extra = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
	}
	if !p.Send(Accept(req) + extra + "\r\n") {
		return errReset
	}
	p.StartWebSocket(compress)
	return nil
}

// Request reads the HTTP request of an upgrade.
func (p *Peer) Request() (*http.Request, error) {
	req, err := http.ReadRequest(p.in)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.request = req
	p.mu.Unlock()
	return req, nil
}

// LastRequest is the request of the upgrade, nil before it came.
func (p *Peer) LastRequest() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.request
}

// Accept is the head of the answer that accepts an upgrade, without the empty
// line.
func Accept(req *http.Request) string {
	sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
}

// StartWebSocket reads and writes frames from now on.
func (p *Peer) StartWebSocket(compress bool) {
	p.out.Lock()
	c := &wsConn{Conn: p.conn, p: p, in: bufio.NewReaderSize(bufferedConn{p.conn, p.in}, 64<<10), compress: compress}
	p.conn = c
	p.out.Unlock()
	p.in = bufio.NewReaderSize(recorder{p}, 64<<10)
	p.mu.Lock()
	p.received, p.ws = nil, c
	p.mu.Unlock()
}

// Frames lists all frames of the client, control frames included.
func (p *Peer) Frames() []WSFrame {
	p.mu.Lock()
	c := p.ws
	p.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// SendRaw writes below the WebSocket.
func (p *Peer) SendRaw(b ...byte) bool {
	p.out.Lock()
	defer p.out.Unlock()
	p.mu.Lock()
	c := p.ws
	p.mu.Unlock()
	_, err := c.Conn.Write(b)
	return err == nil
}

// WSHead renders the head of a server's frame. first is its first byte.
func WSHead(first byte, size int64) []byte {
	switch {
	case size < 126:
		return []byte{first, byte(size)}
	case size < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(size))
	}
	return binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(size))
}

// WSData renders one frame.
func WSData(op byte, fin bool, data []byte) []byte {
	if fin {
		op |= 0x80
	}
	return append(WSHead(op, int64(len(data))), data...)
}

// WSDeflated renders one compressed message in one frame.
func WSDeflated(data []byte) []byte {
	b := Deflate(data)
	return append(WSHead(0xc0|WSBinary, int64(len(b))), b...)
}

// Deflate is the payload of a compressed message.
func Deflate(data []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, _ = w.Write(data)
		err = w.Flush()
	}
	if err != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// WSClosing renders a closing frame.
func WSClosing(code uint16, reason string) []byte {
	return WSData(WSClose, true, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// wsConn is the server's end of a WebSocket. It reads the payload of frames and
// writes frames.
type wsConn struct {
	net.Conn
	p        *Peer
	in       *bufio.Reader
	compress bool
	rest     []byte // read and not taken

	mu     sync.Mutex
	frames []WSFrame
}

func (c *wsConn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		f, err := c.frame()
		if err != nil {
			return 0, err
		}
		c.mu.Lock()
		c.frames = append(c.frames, f)
		c.mu.Unlock()
		switch f.Op {
		case WSBinary:
			c.rest = f.Data
		case WSClose:
			return 0, io.EOF
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

var errFrame = errors.New("fakeserver: the client sent a bad frame")

func (c *wsConn) frame() (f WSFrame, err error) {
	head := make([]byte, 2, 14)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return f, err
	}
	f = WSFrame{Op: head[0] & 0xf, Fin: head[0]&0x80 != 0, Deflated: head[0]&0x40 != 0}
	size := uint64(head[1] & 0x7f)
	// A client's frames are masked, and ours come whole.
	if head[1]&0x80 == 0 || head[0]&0x30 != 0 || !f.Fin || f.Deflated && !c.compress || f.Op >= WSClose && size > 125 {
		return f, fmt.Errorf("%w: % x", errFrame, head)
	}
	if more := map[uint64]int{126: 2, 127: 8}[size]; more > 0 {
		b := make([]byte, 8)
		if _, err := io.ReadFull(c.in, b[8-more:]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(b)
	}
	key := make([]byte, 4)
	if _, err := io.ReadFull(c.in, key); err != nil {
		return f, err
	}
	f.Data = make([]byte, size)
	if _, err := io.ReadFull(c.in, f.Data); err != nil {
		return f, err
	}
	for i := range f.Data {
		f.Data[i] ^= key[i%4]
	}
	if f.Deflated {
		f.Data, err = Inflate(f.Data)
	}
	return f, err
}

// Inflate undoes Deflate.
func Inflate(b []byte) ([]byte, error) {
	end := []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(b), bytes.NewReader(end))))
}

func (c *wsConn) Write(b []byte) (int, error) {
	s := c.p.Server
	s.mu.Lock()
	split := s.wsSplit
	s.mu.Unlock()
	frames := [][]byte{WSData(WSBinary, true, b)}
	switch {
	case split != nil:
		frames = split(b)
	case c.compress && len(b) > 64:
		frames = [][]byte{WSDeflated(b)}
	}
	for _, f := range frames {
		if _, err := c.Conn.Write(f); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

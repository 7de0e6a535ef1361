package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// maxDeflated is how much is compressed into one frame. The window of
	// deflate is 32 KiB: more at once compresses no better, and a server takes
	// only what inflates to its max_payload.
	maxDeflated = 64 << 10
	// farewell is how long a closing frame may take.
	farewell = 50 * time.Millisecond
	// maxPongs is how many answers to pings may wait for a peer that takes no
	// bytes.
	maxPongs = 100
)

// ClosedError is a closing frame of the server. It wraps the library's
// CloseError.
type ClosedError struct{ frame websocket.CloseError }

func (e *ClosedError) Error() string {
	s := "the server closed the WebSocket"
	if e.frame.Code != websocket.StatusNoStatusRcvd {
		s += " with code " + strconv.Itoa(int(e.frame.Code))
	}
	if e.frame.Reason != "" {
		s += ": " + strconv.Quote(e.frame.Reason)
	}
	return s
}

// Unwrap returns the library's error.
func (e *ClosedError) Unwrap() error { return e.frame }

// FrameError is a frame that no peer may send.
type FrameError struct{ err error }

func (e *FrameError) Error() string { return "WebSocket: " + e.err.Error() }

// Unwrap returns what was wrong.
func (e *FrameError) Unwrap() error { return e.err }

var (
	errText  = errors.New("a text message instead of a binary one")
	errExtra = errors.New("a compressed message goes on behind its end")
)

// WebSocket is a byte stream over a WebSocket: frames have no meaning in it. One
// goroutine may read and one write. Close ends the connection at once; Release
// must follow when nobody uses it any more.
type WebSocket struct {
	net.Conn // below: addresses and deadlines

	f        *frames
	ws       *websocket.Conn
	deflate  bool         // both sides compress
	deflated atomic.Int64 // the most to compress into one frame
	pongs    atomic.Int64 // that wait behind the write under way

	// The reader's.
	msg  io.Reader // the message that is being read; nil between two
	zip  bool      // it is compressed
	read int64     // payload taken of data frames that are not
}

// TLS returns the state of the TLS below; false if there is none.
func (c *WebSocket) TLS() (tls.ConnectionState, bool) { return TLSState(c.Conn) }

// TLSState returns the state of TLS on conn or below it; false if there is none.
func TLSState(conn net.Conn) (tls.ConnectionState, bool) {
	switch c := conn.(type) {
	case *WebSocket:
		return c.TLS()
	case interface{ ConnectionState() tls.ConnectionState }:
		return c.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// Read implements net.Conn. It returns what has arrived of one frame.
func (c *WebSocket) Read(p []byte) (int, error) {
	for len(p) > 0 {
		n, err := c.some(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// ReadMore is Read if there is something without waiting for the connection,
// and else returns 0. For the reader only.
func (c *WebSocket) ReadMore(p []byte) (int, error) {
	for len(p) > 0 && c.arrived() {
		n, err := c.some(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

func (c *WebSocket) arrived() bool {
	f := c.f
	switch {
	case c.msg == nil:
		return f.ready()
	case c.zip:
		return f.fin && f.left == f.buffered()
	case f.given > c.read:
		return true
	case f.left > 0:
		return f.buffered() > 0
	default:
		return f.fin || f.ready()
	}
}

// some reads of the present message, or goes to the next. At the end of one it
// returns nothing and no error.
func (c *WebSocket) some(p []byte) (int, error) {
	if c.msg == nil {
		typ, msg, err := c.ws.Reader(context.Background())
		switch {
		case err != nil:
			return 0, c.failed(err)
		case typ != websocket.MessageBinary:
			return 0, &FrameError{errText}
		}
		c.msg, c.zip = msg, c.f.zip
		return 0, nil
	}
	if !c.zip {
		// The library waits for all that is asked for. One byte brings it over
		// the head of the next frame.
		have := c.f.given - c.read + c.f.buffered()
		p = p[:min(int64(len(p)), max(have, 1))]
	}
	n, err := c.msg.Read(p)
	if !c.zip {
		c.read += int64(n)
	}
	if err == io.EOF {
		c.msg, err = nil, nil
		if c.f.left > 0 && c.f.err == nil {
			err = errExtra
		}
		c.read = c.f.given
	}
	if err != nil {
		err = c.failed(err)
	}
	return n, err
}

// failed says why reading ended.
func (c *WebSocket) failed(err error) error {
	var frame websocket.CloseError
	switch {
	case errors.As(err, &frame):
		return &ClosedError{frame}
	case c.f.err != nil:
		return c.f.err
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &FrameError{err}
}

// Write implements net.Conn.
func (c *WebSocket) Write(b []byte) (int, error) { return c.WriteAll(b) }

// WriteAll sends b in as few frames as can be and hands all to the kernel at
// once. After an error nobody knows what the peer has read.
func (c *WebSocket) WriteAll(b []byte) (int, error) {
	c.f.out.hold()
	var err error
	for rest := b; len(rest) > 0 && err == nil; {
		n := len(rest)
		if c.deflate {
			n = min(n, int(c.deflated.Load()))
		}
		err = c.ws.Write(context.Background(), websocket.MessageBinary, rest[:n])
		rest = rest[n:]
	}
	if ferr := c.f.out.flush(); ferr != nil {
		err = ferr
	}
	c.pongs.Store(0)
	if err != nil {
		return 0, fmt.Errorf("WebSocket: %w", err)
	}
	return len(b), nil
}

// SetMaxPayload tells what the server's max_payload is; 0: unknown.
func (c *WebSocket) SetMaxPayload(n int64) {
	if n <= 0 || n > maxDeflated {
		n = maxDeflated
	}
	c.deflated.Store(n)
}

// Shrink gives back memory that a quiet connection does not need. For the
// reader only, after a Read.
func (c *WebSocket) Shrink() { c.f.shrink() }

// pinged says whether a ping is answered. The library asks while it reads. Of
// pings that come faster than their answers leave, some may stay unanswered.
func (c *WebSocket) pinged(context.Context, []byte) bool {
	return c.f.out.idle() || c.pongs.Add(1) <= maxPongs
}

// Farewell sends a closing frame, unless that would have to wait for long: for a
// write under way, which may be stuck, and for its own.
func (c *WebSocket) Farewell() {
	if !c.f.out.idleWithin(farewell / 2) {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(farewell / 2))
	_, _ = c.f.out.to(closingFrame())
}

// Close ends the connection at once.
func (c *WebSocket) Close() error { return c.f.raw.Close() }

// Release gives back what the connection holds, after Close, when neither
// reader nor writer use it any more.
func (c *WebSocket) Release() { _ = c.ws.CloseNow() }

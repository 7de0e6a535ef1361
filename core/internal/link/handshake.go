package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/perigee-go/nats/core/internal/transport"
	"github.com/perigee-go/nats/core/internal/wire"
)

const (
	minRead = 8 << 10
	// longestLine is the most that an unfinished line needs; the parser refuses
	// longer ones. A message may need more.
	longestLine = wire.MaxInfoLine + minRead
)

// Refusals of a handshake.
var (
	ErrNoTLS     = errors.New("TLS is required, but the server does not offer it")
	ErrTLS       = errors.New("TLS handshake failed")
	ErrInjected  = errors.New("bytes arrived between INFO and the TLS handshake")
	ErrNoInfo    = errors.New("the server sent no INFO")
	ErrTooLong   = errors.New("the CONNECT line is longer than the server accepts")
	ErrHandshake = errors.New("the server ended the handshake")
)

// ServerError is an -ERR that came before the link was up.
type ServerError struct{ Text string }

func (e *ServerError) Error() string { return fmt.Sprintf("server: %.1024q", e.Text) }

// usualControlLine is what a server accepts by default between the name of an
// operation and the end of its line, CONNECT included.
const usualControlLine = 4096

// Open makes a link of a fresh connection: INFO, TLS, CONNECT, PING, PONG. ctx
// bounds all of it. The connection is closed if it fails.
func Open(ctx context.Context, conn net.Conn, cfg Config) (*Link, error) {
	l := &Link{
		cfg: cfg, conn: conn, raw: conn, base: time.Now(), plain: cfg.TLS != TLSDone,
		buf: make([]byte, minRead), piece: startWith, ended: make(chan struct{}),
	}
	if cfg.TLS == TLSDone {
		_, l.secure = transport.TLSState(conn)
	}
	if ws, ok := conn.(*transport.WebSocket); ok {
		l.ws, l.layer = ws, ws
	}
	l.parser.MaxPayload = cfg.MaxPayload
	release := transport.Bound(ctx, conn)
	err := l.handshake(ctx)
	if cerr := release(); cerr != nil {
		// Whatever failed, failed because time was up.
		if err != nil {
			err = fmt.Errorf("%w (%w)", cerr, err)
		} else {
			err = cerr
		}
	}
	if err != nil {
		l.Drop()
		return nil, err
	}
	return l, nil
}

func (l *Link) handshake(ctx context.Context) error {
	if l.cfg.TLS == TLSFirst {
		if err := l.startTLS(ctx); err != nil {
			return fmt.Errorf("%w; does the server expect TLS before INFO?", err)
		}
	}
	var f wire.Frame
	if err := l.next(&f); err != nil {
		return fmt.Errorf("%w: %w", ErrNoInfo, err)
	}
	if f.Kind == wire.KindErr {
		return l.serverError(&f)
	}
	if f.Kind != wire.KindInfo {
		return &wire.Error{Problem: "the first operation is not INFO"}
	}
	info, err := wire.ParseInfo(l.text(&f))
	if err != nil {
		return err
	}
	l.learn(info)
	if err := l.upgrade(ctx); err != nil {
		return err
	}
	doc, err := l.cfg.Connect(l.info, l.secure)
	if err != nil {
		return err
	}
	return l.introduce(doc)
}

// introduce sends CONNECT and waits for the server to like it.
func (l *Link) introduce(doc []byte) error {
	err := l.sendConnect(doc)
	if err == nil {
		err = l.awaitPong()
	}
	switch {
	case err == nil:
		return nil
	case len(doc) > usualControlLine && (HungUp(err) || isTooLong(err)):
		// A server that closes with bytes unread takes back what it said.
		return fmt.Errorf("%w: its document has %d bytes, and the server's max_control_line is %d unless configured otherwise: %w",
			ErrTooLong, len(doc), usualControlLine, err)
	case l.cfg.TLS != TLSDone && l.secure && HungUp(err):
		// With TLS 1.3 this is how a server says that it does not like the
		// client's certificate.
		return fmt.Errorf("%w: the server hung up right after it; does it want another client certificate? %w", ErrTLS, err)
	}
	return err
}

func isTooLong(err error) bool {
	var se *ServerError
	return errors.As(err, &se) && strings.HasPrefix(strings.ToLower(se.Text), "maximum control line exceeded")
}

// learn takes over an INFO.
func (l *Link) learn(info *wire.Info) {
	l.info = l.info.Merge(info)
	if l.ws != nil {
		l.ws.SetMaxPayload(l.info.MaxPayload)
	}
}

// HungUp reports whether err is the end of the connection, without a word.
func HungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// upgrade lays TLS over the connection if that is to be.
func (l *Link) upgrade(ctx context.Context) error {
	switch {
	case l.cfg.TLS == TLSFirst || l.cfg.TLS == TLSDone:
		return nil
	case l.cfg.TLS == TLSRequired && !l.info.TLSRequired && !l.info.TLSAvailable:
		return ErrNoTLS
	case l.cfg.TLS != TLSRequired && !l.info.TLSRequired:
		return nil
	}
	if l.r != l.w {
		// Somebody on the path may have put words into the server's mouth.
		return ErrInjected
	}
	if err := l.startTLS(ctx); err != nil {
		return err
	}
	// What was read in clear names no servers: anybody could have.
	info := *l.info
	info.ConnectURLs, info.WSConnectURLs = nil, nil
	info.Host, info.Port = "", 0
	l.info = &info
	return nil
}

func (l *Link) startTLS(ctx context.Context) error {
	cfg, err := l.cfg.TLSConfig()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	c, err := transport.Handshake(ctx, l.conn, cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	l.conn, l.layer, l.secure, l.plain = c, c, true, false
	return nil
}

// sendConnect does not hold the line against usualControlLine: INFO does not tell
// what this server accepts, and one that is used with large JWTs accepts more.
func (l *Link) sendConnect(doc []byte) error {
	_, err := l.conn.Write(append(wire.AppendConnect(nil, doc), wire.PingLine...))
	return err
}

// awaitPong takes any legal operation until the PONG that says that CONNECT was
// accepted. What comes behind it in the same read stays for the reader.
func (l *Link) awaitPong() error {
	var f wire.Frame
	for {
		if err := l.next(&f); err != nil {
			return fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		switch f.Kind {
		case wire.KindPong:
			return nil
		case wire.KindErr:
			return l.serverError(&f)
		case wire.KindInfo:
			info, err := wire.ParseInfo(l.text(&f))
			if err != nil {
				return err
			}
			l.learn(info)
		case wire.KindPing:
			if _, err := l.conn.Write([]byte(wire.PongLine)); err != nil {
				return err
			}
		}
	}
}

func (l *Link) serverError(f *wire.Frame) error { return &ServerError{string(l.text(f))} }

// text is what INFO or -ERR says; l.next moved past the frame.
func (l *Link) text(f *wire.Frame) []byte {
	start := l.r - f.Len + f.Body
	return l.buf[start : start+f.Size]
}

// next reads one frame and moves past it.
func (l *Link) next(f *wire.Frame) error {
	for {
		if l.r < l.w {
			ok, err := l.parser.Parse(l.buf[l.r:l.w], f)
			if err != nil {
				return err
			}
			if ok {
				l.r += f.Len
				return nil
			}
		}
		l.makeSpace(f.Len)
		n, err := l.conn.Read(l.buf[l.w:])
		l.w += n
		if n == 0 && err != nil {
			return err
		}
	}
}

// makeSpace moves what is unparsed to the front and lets the buffer grow if
// that leaves no room to read into, or to the length of the unfinished frame;
// but beyond maxAhead only as bytes arrive.
func (l *Link) makeSpace(need int) {
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	n := len(l.buf)
	if need > n {
		n = min(max(need, 2*n), maxAhead)
	}
	if l.w == len(l.buf) {
		n = max(n, min(2*len(l.buf), max(need, longestLine)))
	}
	if n > len(l.buf) {
		b := make([]byte, n)
		copy(b, l.buf[:l.w])
		l.buf = b
	}
}

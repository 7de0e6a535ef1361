// Package link is one life of one socket: handshake, reading, writing,
// keep-alive, and one error at its end. It does not reconnect and knows nothing
// of subscriptions: what arrives goes to a Sink, what leaves comes from an
// outbox.
package link

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/transport"
	"github.com/perigee-go/nats/core/internal/wire"
)

// Ends of a link that are nobody's error value yet.
var (
	ErrStale        = errors.New("no PONG in time: the link is dead")
	ErrWriteTimeout = errors.New("the peer took no bytes for the write timeout")

	errReaderGone = errors.New("a handler on the reader ended its goroutine")
)

// Sink takes what arrives. All calls are made by the link's reader, one at a
// time; a sink that blocks stops the link.
type Sink interface {
	// Message is told of each message: frame f starts at buf[pos]. The bytes
	// stay as they are until Batch returns.
	Message(buf []byte, pos int, f *wire.Frame)
	// Batch follows the last Message of buf.
	Batch(buf []byte)
	// Room is asked when a large message has begun: frame f at buf[pos], of
	// which the control line is there. If the sink wants to keep it, it says
	// how many bytes it needs behind header and payload; else own is false, and
	// Message and Batch follow.
	Room(buf []byte, pos int, f *wire.Frame) (extra int, own bool)
	// Large gives the sink the message of the last Room: line holds its control
	// line, body header and payload and the extra bytes. body is the sink's.
	Large(line, body []byte, f *wire.Frame)
	// Info is each INFO after the handshake.
	Info(info *wire.Info)
	// ServerError is each -ERR. A non-nil error becomes the reason of the
	// link's end if that comes next.
	ServerError(text string) error
}

// Config of a link. It is complete before Open and not changed after.
type Config struct {
	Outbox       *outbox.Outbox
	Sink         Sink
	KeepAlive    keepalive.Config
	WriteTimeout time.Duration
	MaxPayload   int // of a received message

	TLS TLSMode
	// TLSConfig is asked when TLS is used.
	TLSConfig func() (*tls.Config, error)
	// Connect renders the CONNECT document for the server that sent info.
	Connect func(info *wire.Info, secure bool) ([]byte, error)
}

// TLSMode says when TLS is laid over the connection.
type TLSMode uint8

const (
	TLSAuto     TLSMode = iota // if the server requires it
	TLSRequired                // always; an error if the server has none
	TLSFirst                   // before INFO
	TLSDone                    // never: it lies below already, or it is in-process
)

// layer is a stream over another that is read and written in pieces, and makes
// few system calls of many.
type layer interface {
	// ReadMore is Read if that does not have to wait, and else returns 0.
	ReadMore(p []byte) (int, error)
	WriteAll(b []byte) (int, error)
	Shrink()
}

// Link is made by Open, runs after Start and ends once.
type Link struct {
	cfg    Config
	conn   net.Conn
	raw    net.Conn             // closing it never waits
	layer  layer                // conn, if it is ours: TLS or WebSocket
	ws     *transport.WebSocket // conn, if it is one
	secure bool                 // TLS, ours or the dialer's
	plain  bool                 // nothing of ours between frames and the kernel
	base   time.Time
	epoch  uint64

	out      atomic.Pointer[outbox.Outbox] // changed by Adopt only
	adopting sync.Mutex                    // held while it changes, and when a PING or PONG is seen to

	// The reader's.
	parser wire.Parser
	buf    []byte
	r, w   int // buf[r:w] is read and not parsed
	frame  wire.Frame
	large  bool // the last message had a buffer of its own
	info   *wire.Info
	reason error // what the server said last, if it closes after that

	writeErr atomic.Pointer[error] // of the writer; the reader may go on for a moment

	piece int // the writer's: the length of one socket write

	prompt  *transport.Prompt // nil: the writer's place is not lent
	lending sync.Mutex        // held by who has borrowed it, and after the end
	lentAt  time.Duration     // the borrower's
	noMore  sync.Once         // of lending

	lastIn   atomic.Int64 // when bytes came last, on the link's clock
	writing  atomic.Int64 // when the write under way began; 0: none is
	watching atomic.Bool  // the write watchdog's timer runs
	watchdog *time.Timer

	endOnce sync.Once
	ended   chan struct{} // closed when the link must end
	err     error         // why; written before ended is closed
	writer  sync.WaitGroup
	read    chan struct{} // closed when the reader is gone
}

// Info is the state of the server's INFO after the handshake. If TLS was laid
// over the connection it holds no topology: that was read unprotected.
func (l *Link) Info() *wire.Info { return l.info }

// Secure reports whether the link is protected by TLS.
func (l *Link) Secure() bool { return l.secure }

// Resumable reports whether a frame that was handed over in part can be sent
// again on another link: the server cannot have acted on it.
func (l *Link) Resumable() bool { return l.plain }

// Conn is the connection, for its addresses and TLS state only.
func (l *Link) Conn() net.Conn { return l.conn }

// Start begins reading and writing in the outbox's epoch.
func (l *Link) Start(epoch uint64) {
	l.epoch = epoch
	l.out.Store(l.cfg.Outbox)
	l.watchdog = time.AfterFunc(time.Hour, l.bark)
	l.watchdog.Stop()
	if l.plain {
		l.prompt = transport.NewPrompt(l.conn)
	}
	l.lastIn.Store(int64(l.now()))
	l.read = make(chan struct{})
	go func() {
		defer close(l.read)
		err := errReaderGone // unless it returns
		defer func() { l.end(err) }()
		err = l.readLoop()
	}()
	l.writer.Go(func() {
		if err := l.writeLoop(); err != nil {
			l.writerFailed(err)
		}
	})
}

// Ended is closed when the link is at its end.
func (l *Link) Ended() <-chan struct{} { return l.ended }

// Wait returns when reader and writer are gone, with the reason.
func (l *Link) Wait() error {
	err := l.WaitWritten()
	<-l.read
	l.release()
	return err
}

// WaitWritten returns when nothing is written any more, with the reason of the
// end. The reader may still be in a sink that blocks, so Wait has to follow.
func (l *Link) WaitWritten() error {
	<-l.ended
	l.writer.Wait()
	l.noMore.Do(l.lending.Lock)
	if l.watchdog != nil {
		l.watchdog.Stop()
	}
	return l.err
}

// Read is closed when the reader is gone.
func (l *Link) Read() <-chan struct{} { return l.read }

// End ends the link for the given reason, if it has not ended yet. It does not
// wait, but for a WebSocket's closing frame, shortly.
func (l *Link) End(reason error) {
	l.finish(reason, func() {
		if l.ws != nil {
			l.ws.Farewell()
		}
	})
}

// Drop closes a link that was never started.
func (l *Link) Drop() {
	_ = l.raw.Close()
	l.release()
}

// release lets go of what is not gone with the connection. Nobody uses it.
func (l *Link) release() {
	if l.ws != nil {
		l.ws.Release()
	}
}

func (l *Link) end(reason error) { l.finish(reason, func() {}) }

func (l *Link) finish(reason error, farewell func()) {
	l.endOnce.Do(func() {
		l.err = reason
		close(l.ended)
		farewell()
		// Not the TLS connection: its Close may wait for a peer that takes no
		// bytes, to tell it what the end of the stream tells anyway.
		_ = l.raw.Close()
	})
}

// lingerForReason is how long a reader may go on after the writer failed: the
// server's -ERR, which tells why, may still lie in the socket.
const lingerForReason = 100 * time.Millisecond

func (l *Link) writerFailed(err error) {
	if errors.Is(err, ErrStale) || errors.Is(err, ErrWriteTimeout) {
		l.end(err)
		return
	}
	l.writeErr.Store(&err)
	_ = l.conn.SetReadDeadline(time.Now().Add(lingerForReason))
	// The reader ends by its deadline, unless the sink holds it.
	t := time.NewTimer(2 * lingerForReason)
	defer t.Stop()
	select {
	case <-l.ended:
	case <-t.C:
		l.end(err)
	}
}

// readFailed is why the link ends when a read ended with err: what the server
// said, else what the writer met before, else err. The reader's.
func (l *Link) readFailed(err error) error {
	if l.reason != nil {
		return l.reason
	}
	if told := (*transport.ClosedError)(nil); errors.As(err, &told) {
		return err
	}
	if w := l.writeErr.Load(); w != nil {
		return *w
	}
	return err
}

// now is the time on the link's clock.
func (l *Link) now() time.Duration { return time.Since(l.base) }

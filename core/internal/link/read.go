package link

import (
	"strings"
	"time"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/wire"
)

const (
	maxRead = 512 << 10 // the buffer grows to this while reads fill it
	// ownBuffer is the length from which an unfinished message is read
	// straight into a buffer of its own, which then needs no copy.
	ownBuffer = 16 << 10
	// maxAhead is how far ahead of the bytes that arrived a buffer is made: a
	// size that a server announces is not yet a message that it sends. The
	// largest message of a server's default configuration fits.
	maxAhead = 1<<20 + 16<<10
	// maxUnanswered is how many bytes may wait to leave when a PING is to be
	// answered and the writer is stuck: a peer cannot make us keep more.
	maxUnanswered = 64 << 20
	// quiet is how long reads must have been small before the buffer shrinks.
	quiet = 2 * time.Second
)

// readLoop reads until the connection ends. What was complete by then has been
// given to the sink.
func (l *Link) readLoop() error {
	if err := l.consume(); err != nil { // came with the handshake's PONG
		return err
	}
	full := 0
	var fullAt time.Duration
	for {
		limit := len(l.buf)
		if l.large {
			// Another one is likely. Read its head here and the rest straight
			// into its own buffer.
			limit = min(limit, l.w+ownBuffer)
		}
		n, err := l.conn.Read(l.buf[l.w:limit])
		now := l.now()
		if n > 0 {
			l.lastIn.Store(int64(now))
			l.w += n
			if err == nil && l.tls != nil {
				err = l.readRecords()
			}
			filled := l.w == len(l.buf)
			if perr := l.consume(); perr != nil {
				return perr
			}
			if filled {
				full++
				fullAt = now
			} else {
				full = 0
			}
		}
		if err != nil {
			return l.readFailed(err)
		}
		switch {
		case full >= 2 && len(l.buf) < maxRead:
			l.resize(2 * len(l.buf))
			full = 0
		case len(l.buf) > minRead && now-fullAt > quiet && l.w-l.r <= minRead/2:
			l.resize(minRead)
			if l.tls != nil {
				l.tls.Shrink()
			}
		}
	}
}

// readRecords reads what else has arrived: TLS gives one record a Read, and
// many are worth handing over at once.
func (l *Link) readRecords() error {
	for l.w < len(l.buf) {
		n, err := l.tls.ReadMore(l.buf[l.w:])
		l.w += n
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

func (l *Link) resize(n int) {
	b := make([]byte, n)
	l.w = copy(b, l.buf[l.r:l.w])
	l.r = 0
	l.buf = b
}

// consume gives the sink all whole frames and leaves room for the next read.
func (l *Link) consume() error {
	before := l.r
	need, err := l.parse(l.buf)
	if err != nil {
		return err
	}
	if l.r > before {
		l.large = false // there are others
	}
	switch {
	case l.r == l.w:
		l.r, l.w = 0, 0
	case need >= ownBuffer:
		l.large = true
		return l.readLarge(need)
	default:
		l.makeSpace(need)
	}
	return nil
}

// parse gives the sink the whole frames of buf[l.r:l.w]. It returns the length
// of the unfinished frame behind them, 0 if there is none or it is unknown.
func (l *Link) parse(buf []byte) (need int, err error) {
	f := &l.frame
	messages := false
	for l.r < l.w {
		ok, err := l.parser.Parse(buf[l.r:l.w], f)
		if err != nil || !ok {
			if messages {
				l.cfg.Sink.Batch(buf)
			}
			return f.Len, err
		}
		if f.Kind == wire.KindMsg {
			l.cfg.Sink.Message(buf, l.r, f)
			messages = true
			l.r += f.Len
			continue
		}
		// A PONG says that all before it has arrived: hand that over first.
		if messages {
			l.cfg.Sink.Batch(buf)
			messages = false
		}
		l.r += f.Len
		if err := l.control(buf[l.r-f.Len+f.Body:][:f.Size], f.Kind); err != nil {
			return 0, err
		}
	}
	if messages {
		l.cfg.Sink.Batch(buf)
	}
	return 0, nil
}

func (l *Link) control(text []byte, kind wire.Kind) error {
	switch kind {
	case wire.KindPing:
		if l.cfg.Outbox.Buffered() > maxUnanswered && l.writing.Load() != 0 {
			return &wire.Error{Problem: "the peer sends PINGs and takes no PONG"}
		}
		l.cfg.Outbox.Control(l.epoch, []byte(wire.PongLine))
	case wire.KindPong:
		l.cfg.Outbox.Pong(l.epoch, l.now())
	case wire.KindInfo:
		info, err := wire.ParseInfo(text)
		if err != nil {
			return err
		}
		l.info = l.info.Merge(info)
		l.cfg.Sink.Info(l.info)
	case wire.KindErr:
		if reason := l.cfg.Sink.ServerError(string(text)); reason != nil {
			l.reason = reason
		}
	}
	return nil
}

// readLarge reads the unfinished message of need bytes at l.buf[l.r] into a
// buffer of its own. The buffer grows with the bytes that arrive.
func (l *Link) readLarge(need int) error {
	f := &l.frame
	if _, err := l.parser.Parse(l.buf[l.r:l.w], f); err != nil {
		return err
	}
	extra := f.SubjectLen + f.ReplyLen
	big := uncleared(min(need+extra, max(maxAhead, l.w-l.r)))
	n := copy(big, l.buf[l.r:l.w])
	l.r, l.w = 0, 0
	for n < need {
		if n == len(big) {
			b := uncleared(min(need+extra, 2*len(big)))
			copy(b, big)
			big = b
		}
		k, err := l.conn.Read(big[n:min(len(big), need)])
		if k > 0 {
			l.lastIn.Store(int64(l.now()))
		}
		if n += k; err != nil && n < need {
			return l.readFailed(err)
		}
	}
	if len(big) < need+extra {
		big = append(big, make([]byte, need+extra-len(big))...)
	}
	ok, err := l.parser.Parse(big[:need], f)
	if err != nil || !ok {
		return err
	}
	l.cfg.Sink.Large(big, f)
	return nil
}

// uncleared returns n bytes that hold anything. Clearing the memory of a large
// message, which is then read into every byte of it, is a sixth of the cost of
// receiving it; strings.Builder is the one way to have memory that is not.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

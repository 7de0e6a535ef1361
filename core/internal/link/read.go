package link

import (
	"time"

	"github.com/perigee-go/nats/core/internal/memory"
	"github.com/perigee-go/nats/core/internal/wire"
)

const (
	maxRead = 512 << 10 // the buffer grows to this while reads fill it
	// ownBuffer is the length from which an unfinished message is read straight
	// into memory of its own. Shorter ones are copied out of the buffer: they
	// come many a read, and the kernel writes into memory that is in use faster
	// than into fresh pages.
	ownBuffer = 256 << 10
	// headRead is how much is read where another large message is likely to
	// begin.
	headRead = 16 << 10
	// maxAhead is how far ahead of the bytes that arrived a buffer is made: a
	// size that a server announces is not yet a message that it sends. The
	// largest message of a server's default configuration fits.
	maxAhead = 1<<20 + 16<<10
	// maxUnanswered is how many bytes may wait to leave when a PING is to be
	// answered and the writer is stuck: a peer cannot make us keep more.
	maxUnanswered = 64 << 20
	// maxBatch is how many messages are handed over at once at most. It bounds
	// what is kept to note them; fewer would wake their takers more often.
	maxBatch = 16384
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
			limit = min(limit, l.w+headRead)
		}
		n, err := l.conn.Read(l.buf[l.w:limit])
		now := l.now()
		if n > 0 {
			l.lastIn.Store(int64(now))
			l.w += n
			if err == nil && l.layer != nil {
				err = l.readRest()
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
			if l.layer != nil {
				l.layer.Shrink()
			}
		}
	}
}

// readRest reads what else has arrived: TLS gives one record a Read, WebSocket
// one frame, and many are worth handing over at once.
func (l *Link) readRest() error {
	for l.w < len(l.buf) {
		n, err := l.layer.ReadMore(l.buf[l.w:])
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
	for {
		before := l.r
		need, err := l.parse(l.buf)
		if err != nil {
			return err
		}
		if l.r > before {
			l.large = false // there are others
		}
		if l.r == l.w {
			l.r, l.w = 0, 0
			return nil
		}
		if need >= ownBuffer {
			if extra, own := l.cfg.Sink.Room(l.buf, l.r, &l.frame); own {
				l.large = true
				if err := l.readLarge(extra); err != nil {
					return err
				}
				continue
			}
		}
		l.makeSpace(need)
		return nil
	}
}

// parse gives the sink the whole frames of buf[l.r:l.w]. It returns the length
// of the unfinished frame behind them, 0 if there is none or it is unknown.
func (l *Link) parse(buf []byte) (need int, err error) {
	f := &l.frame
	messages := 0 // since the last Batch
	for l.r < l.w {
		ok, err := l.parser.Parse(buf[l.r:l.w], f)
		if err != nil || !ok {
			if messages > 0 {
				l.cfg.Sink.Batch(buf)
			}
			return f.Len, err
		}
		if f.Kind == wire.KindMsg {
			l.cfg.Sink.Message(buf, l.r, f)
			l.r += f.Len
			if messages++; messages == maxBatch {
				l.cfg.Sink.Batch(buf)
				messages = 0
			}
			continue
		}
		// A PONG says that all before it has arrived: hand that over first.
		if messages > 0 {
			l.cfg.Sink.Batch(buf)
			messages = 0
		}
		l.r += f.Len
		if err := l.control(buf[l.r-f.Len+f.Body:][:f.Size], f.Kind); err != nil {
			return 0, err
		}
	}
	if messages > 0 {
		l.cfg.Sink.Batch(buf)
	}
	return 0, nil
}

func (l *Link) control(text []byte, kind wire.Kind) error {
	switch kind {
	case wire.KindPing:
		return l.answer()
	case wire.KindPong:
		l.adopting.Lock()
		l.out.Load().Pong(l.epoch, l.now())
		l.adopting.Unlock()
	case wire.KindInfo:
		info, err := wire.ParseInfo(text)
		if err != nil {
			return err
		}
		l.learn(info)
		l.cfg.Sink.Info(l.info)
	case wire.KindErr:
		if reason := l.cfg.Sink.ServerError(string(text)); reason != nil {
			l.reason = reason
		}
	}
	return nil
}

// answer answers a PING.
func (l *Link) answer() error {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	out := l.out.Load()
	if out.Buffered() > maxUnanswered && l.writing.Load() != 0 {
		return &wire.Error{Problem: "the peer sends PINGs and takes no PONG"}
	}
	out.Control(l.epoch, []byte(wire.PongLine))
	return nil
}

// readLarge reads the rest of the unfinished message at l.buf[l.r], of which
// l.frame tells, into memory of its own with extra bytes behind. That is exactly
// as long as the message is, but grows only with the bytes that arrive. What
// follows the payload comes into l.buf, with what follows the message.
func (l *Link) readLarge(extra int) error {
	f := &l.frame
	size := f.Size
	have := l.buf[l.r+f.Body : l.w]
	body := memory.Uncleared(min(size+extra, max(maxAhead, len(have))))
	n := copy(body[:min(size, len(body))], have)
	line := copy(l.buf, l.buf[l.r:l.r+f.Body])
	l.r, l.w = 0, line+copy(l.buf[line:], have[n:])
	for n < size {
		if n == len(body) {
			body = grown(body, min(size+extra, 2*n))
		}
		k, err := l.conn.Read(body[n:min(size, len(body))])
		if n += k; k > 0 {
			l.lastIn.Store(int64(l.now()))
		} else if err != nil {
			return l.readFailed(err)
		}
	}
	if len(body) < size+extra {
		body = grown(body, size+extra)
	}
	end := line + len("\r\n")
	if len(l.buf) < end {
		l.resize(line + headRead)
	}
	for l.w < end {
		k, err := l.conn.Read(l.buf[l.w:min(len(l.buf), l.w+headRead)])
		if l.w += k; k > 0 {
			l.lastIn.Store(int64(l.now()))
		} else if err != nil {
			return l.readFailed(err)
		}
	}
	if l.buf[line] != '\r' || l.buf[line+1] != '\n' {
		return &wire.Error{Problem: "payload does not end where its size says"}
	}
	l.parser.Passed()
	l.cfg.Sink.Large(l.buf[:line], body, f)
	l.r = end
	return nil
}

func grown(b []byte, n int) []byte {
	g := memory.Uncleared(n)
	copy(g, b)
	return g
}

package nats

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/sim"
	"github.com/perigee-go/nats/core/internal/wire"
)

// simLeastTick is the link's leastTick.
const simLeastTick = 100 * time.Microsecond

// simLink is what a link.Link is in a simulation: one life of one connection.
// Parser, sink, outbox and keep-alive are the product's; what is here are the
// reader's and the writer's steps, in their order.
type simLink struct {
	c     *simClient
	conn  *sim.Conn
	peer  *sim.Peer
	epoch uint64
	stage simStage
	born  time.Duration

	// The reader's.
	parser wire.Parser
	in     []byte
	frame  wire.Frame
	info   *wire.Info
	reason error
	lastIn time.Duration

	// The writer's.
	hand    []byte // what Take gave
	sent    int    // how much of it the kernel has
	begun   uint64 // messages of a failed write that can have left
	failed  bool   // the write has
	pumping bool   // the writer is about to look
	began   time.Duration
	dog     *sim.Timer
	tick    *sim.Timer
	next    time.Duration // when tick is due
	ticked  bool          // it came during a write

	ended bool // it must end; err is why
	gone  bool // reader and writer have ended
	err   error
}

type simStage uint8

const (
	simInfo simStage = iota // waits for INFO
	simPong                 // waits for the PONG behind CONNECT
	simRuns
)

// simPiece is the most that one write hands over.
const simPiece = 64 << 10

func newSimLink(c *simClient, peer *sim.Peer) *simLink {
	conn := peer.Conn
	l := &simLink{c: c, conn: conn, peer: peer, born: c.now()}
	conn.Down.Receive = func(b []byte) { c.enter(func() { l.read(b) }) }
	conn.Down.Closed = func(err error) { c.enter(func() { l.readFailed(err) }) }
	conn.Up.Writable = func() { c.enter(l.goOn) }
	conn.Up.Broken = func(err error) { c.enter(func() { l.writeFailed(err) }) }
	return l
}

// start is link.Start.
func (l *simLink) start(epoch uint64) {
	l.epoch, l.stage = epoch, simRuns
	l.lastIn = l.c.now()
	l.keepAlive()
	l.wake()
}

func (l *simLink) read(b []byte) {
	if l.gone {
		l.c.w.Sometimes("bytes of an old link")
		return
	}
	if l.ended { // until the reader hears of it
		l.c.w.Sometimes("bytes after the end of a link")
	}
	l.lastIn = l.c.now()
	l.in = append(l.in, b...)
	if err := l.consume(); err != nil {
		l.end(err)
	}
}

// consume parses what is there, as link.parse does.
func (l *simLink) consume() error {
	sink := l.c.nc.rcv
	messages := 0
	batch := func() {
		if messages > 0 {
			sink.Batch(l.in)
			messages = 0
		}
	}
	at := 0
	defer func() { l.in = append(l.in[:0:0], l.in[at:]...) }()
	for at < len(l.in) && !l.gone {
		f := &l.frame
		ok, err := l.parser.Parse(l.in[at:], f)
		if err != nil {
			l.c.w.Fail("client %d: %v", l.c.id, err)
			return err
		}
		if !ok {
			break
		}
		if f.Kind == wire.KindMsg && l.stage == simRuns {
			sink.Message(l.in, at, f)
			at += f.Len
			messages++
			continue
		}
		batch()
		text := l.in[at+f.Body:][:f.Size]
		at += f.Len
		if err := l.control(f.Kind, text); err != nil {
			return err
		}
	}
	batch()
	return nil
}

func (l *simLink) control(kind wire.Kind, text []byte) error {
	if l.stage != simRuns {
		return l.greeting(kind, text)
	}
	switch kind {
	case wire.KindPing:
		l.c.nc.out.Control(l.epoch, []byte(wire.PongLine))
	case wire.KindPong:
		l.c.nc.out.Pong(l.epoch, l.c.now())
	case wire.KindInfo:
		if l.c.run.bug == simConfirmBug {
			l.c.nc.out.Pong(l.epoch, l.c.now())
		}
		if err := l.learn(text); err != nil {
			return err
		}
		l.c.nc.rcv.Info(l.info)
	case wire.KindErr:
		if reason := l.c.nc.rcv.ServerError(string(text)); reason != nil {
			l.reason = reason
		}
	}
	return nil
}

func (l *simLink) learn(text []byte) error {
	info, err := wire.ParseInfo(text)
	if err == nil {
		l.info = l.info.Merge(info)
	}
	return err
}

// greeting is the handshake's part of link.Open.
func (l *simLink) greeting(kind wire.Kind, text []byte) error {
	switch {
	case kind == wire.KindErr:
		return &link.ServerError{Text: string(text)}
	case kind == wire.KindInfo:
		if err := l.learn(text); err != nil {
			return err
		}
		if l.stage == simPong {
			l.c.w.Sometimes("INFO between CONNECT and PONG")
			return nil
		}
		doc, err := l.c.nc.cfg.connectDocument(l.c.nc.ctx, l.c.attempt.srv, l.info, false)
		if err != nil {
			return err
		}
		l.stage = simPong
		_, err = l.conn.Up.Write(append(wire.AppendConnect(nil, doc), wire.PingLine...))
		return err
	case l.stage == simInfo:
		return link.ErrNoInfo
	case kind == wire.KindPong:
		l.c.opened(l)
	case kind == wire.KindPing:
		_, err := l.conn.Up.Write([]byte(wire.PongLine))
		return err
	}
	return nil
}

// readFailed is the end of the stream.
func (l *simLink) readFailed(err error) {
	switch {
	case l.reason != nil:
		err = l.reason
	case errors.Is(err, sim.ErrEOF):
		err = io.EOF
	}
	if l.stage != simRuns {
		err = fmt.Errorf("%w: %w", link.ErrHandshake, err)
	}
	l.end(err)
}

// wake has the writer look soon: it is another goroutine.
func (l *simLink) wake() {
	if l.pumping || l.gone {
		return
	}
	l.pumping = true
	l.c.after(l.c.w.Between(0, 60*time.Microsecond), func() {
		l.pumping = false
		l.pump()
	})
}

// pump is a turn of the writer.
func (l *simLink) pump() {
	if l.gone || l.ended || l.failed || l.hand != nil {
		return
	}
	if l.ticked {
		l.ticked = false
		l.keepAlive()
	}
	if l.hand = l.c.nc.out.Take(l.c.now()); l.hand == nil {
		return // it sleeps
	}
	l.sent = 0
	l.begin()
	l.goOn()
}

// begin begins the write of a piece.
func (l *simLink) begin() {
	l.began = l.c.now()
	l.dog.Stop()
	l.watch(l.c.nc.cfg.writeTimeout)
}

// watch is link.watch, and what it sets is link.bark.
func (l *simLink) watch(left time.Duration) {
	if d := l.decide(); d.Next > 0 {
		left = min(left, d.Next-l.c.now())
	}
	l.dog = l.c.after(max(left, simLeastTick), func() {
		if l.ended || l.hand == nil || l.sent == len(l.hand) {
			return
		}
		left := l.began + l.c.nc.cfg.writeTimeout - l.c.now()
		switch {
		case left <= 0:
			l.c.w.Sometimes("a write timed out")
			l.end(link.ErrWriteTimeout)
		case l.decide().Dead:
			l.c.w.Sometimes("a link died while its writer was stuck")
			l.end(link.ErrStale)
		default:
			l.watch(left)
		}
	})
}

// goOn hands over what the kernel takes.
func (l *simLink) goOn() {
	if l.gone || l.ended || l.failed || l.hand == nil {
		return
	}
	for l.sent < len(l.hand) {
		piece := l.hand[l.sent:min(len(l.hand), l.sent+simPiece)]
		n, err := l.conn.Up.Write(piece)
		if l.sent += n; n > 0 {
			l.began = l.c.now()
		}
		if err != nil {
			l.writeFailed(err)
			return
		}
		if n < len(piece) {
			l.c.w.Sometimes("a write had to wait")
			return // Writable follows
		}
	}
	l.dog.Stop()
	// The writer comes back from its write a little later: the PONG may be here
	// before it.
	l.c.after(l.c.w.Between(0, 80*time.Microsecond), func() {
		if !l.gone && l.hand != nil && !l.failed {
			l.wrote()
			l.pump()
		}
	})
	if l.c.w.Chance(16) { // it is held up
		l.c.w.Sometimes("a write came back late")
	}
}

func (l *simLink) wrote() {
	now := l.c.now()
	l.hand = nil
	if l.epoch > 1 && l.c.w.Chance(8) {
		l.c.nc.out.Pong(l.epoch-1, now) // of a link before: it answers nobody here
	}
	if l.c.nc.out.Wrote(now) && l.next > now+keepalive.ConfirmAfter {
		l.setTick(now + keepalive.ConfirmAfter)
	}
}

// writeFailed is link.writerFailed: the reader may go on for a moment.
func (l *simLink) writeFailed(err error) {
	if l.gone || l.failed || l.hand == nil || l.sent == len(l.hand) {
		return // it is in no write; the next one will fail
	}
	l.failed = true
	l.tellFailed()
	l.c.after(100*time.Millisecond, func() { l.end(err) })
}

// tellFailed reports a write that was not taken whole.
func (l *simLink) tellFailed() {
	for b := l.hand; ; {
		kind, n := wire.ScanClient(b)
		if left := l.sent - (len(l.hand) - len(b)); n == 0 || left < n {
			if left > 0 && l.c.resume {
				l.c.w.Sometimes("a frame that had left in part is to be sent again")
			}
			break
		}
		if kind == wire.ClientPub {
			l.begun++
		}
		b = b[n:]
	}
	if !l.c.resume {
		l.begun = math.MaxUint32 // the write is lost whole
	}
	if !l.c.resume && l.sent > 0 {
		l.c.w.Sometimes("a failed write is lost whole")
	}
	if l.c.run.bug == simResumeBug {
		l.sent = 0
	}
	l.c.nc.out.Failed(l.sent)
}

// decide is link.decide.
func (l *simLink) decide() keepalive.Decision {
	live := l.c.nc.out.Liveness()
	return keepalive.Decide(l.c.nc.cfg.keepAlive(), keepalive.Input{
		Now: l.c.now(), LastInbound: l.lastIn,
		Outstanding: live.Outstanding, OldestPing: live.OldestPing,
		Unasked: live.Unasked, UnaskedAt: live.UnaskedAt,
	})
}

// keepAlive is link.keepAlive.
func (l *simLink) keepAlive() {
	if l.gone || l.ended {
		return
	}
	nc, now := l.c.nc, l.c.now()
	d := l.decide()
	if d.Dead {
		l.end(link.ErrStale)
		return
	}
	if d.Ping {
		nc.out.KeepAlive(l.epoch)
	}
	if d.Next == 0 {
		d.Next = now + time.Hour
	}
	l.setTick(max(d.Next, now+simLeastTick))
}

func (l *simLink) setTick(at time.Duration) {
	l.next = at
	l.tick.Stop()
	l.tick = l.c.at(at, func() {
		if l.hand != nil {
			l.ticked = true // it is in a write
			return
		}
		l.keepAlive()
	})
}

// end ends the link, once. The supervisor hears of it a little later, and later
// still reader and writer are gone.
func (l *simLink) end(reason error) {
	if l.ended {
		return
	}
	l.ended, l.err = true, reason
	l.tick.Stop()
	l.dog.Stop()
	if l.stage != simRuns {
		l.stop()
		l.c.failed(l, reason)
		return
	}
	l.c.after(l.c.w.Between(0, 200*time.Microsecond), l.heard)
}

// heard is when the supervisor has heard of the end.
func (l *simLink) heard() {
	c := l.c
	if a := c.attempt; a != nil && a.link == l && a.well {
		c.after(10*time.Microsecond, l.heard) // it has something else to do first
		return
	}
	asked := false
	if c.link == l {
		asked = c.halt()
	}
	c.after(c.w.Between(0, 200*time.Microsecond), func() {
		l.stop()
		c.down(l, asked)
	})
}

// stop is when the goroutines of a link are gone, and its socket is closed.
func (l *simLink) stop() {
	if l.gone {
		return
	}
	l.gone = true
	if l.hand != nil && !l.failed {
		if l.sent < len(l.hand) {
			l.tellFailed()
		} else {
			l.c.nc.out.Wrote(l.c.now())
		}
	}
	l.hand = nil
	l.peer.Left = true
	if l.c.w.Chance(4) {
		// Somebody is late with what was meant for this link. It changes nothing.
		l.c.after(l.c.w.Between(0, 2*time.Second), func() {
			l.c.nc.out.Pong(l.epoch, l.c.now())
			l.c.nc.out.Control(l.epoch, wire.AppendUnsub(nil, 1, 0))
			l.c.nc.out.KeepAlive(l.epoch)
			l.c.nc.out.Open(l.epoch)
			l.c.nc.out.Halt(l.epoch)
		})
	}
	l.conn.Up.Close()
	l.conn.Down.Close()
}

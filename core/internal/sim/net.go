package sim

import (
	"errors"
	"time"
)

// Errors of dialing and of connections.
var (
	ErrRefused = errors.New("sim: connection refused")
	ErrReset   = errors.New("sim: connection reset")
	ErrEOF     = errors.New("sim: end of stream")
)

// Conn is a simulated connection between a client and a model server. Each
// direction is a [Pipe]; bytes keep their order and take their time.
type Conn struct {
	ID   int
	w    *World
	Up   *Pipe // from the client
	Down *Pipe // to it
}

// NewConn makes a connection with the given latency.
func NewConn(w *World, id int, latency time.Duration) *Conn {
	return &Conn{ID: id, w: w, Up: newPipe(w, latency), Down: newPipe(w, latency)}
}

// Reset breaks both directions: what is in flight is lost, both ends hear of it.
func (c *Conn) Reset() {
	c.Up.fail(ErrReset)
	c.Down.fail(ErrReset)
}

// BlackHole makes both directions lose everything from now on, and nobody hears
// of it: the peer's machine, or the way to it, is gone.
func (c *Conn) BlackHole() {
	c.Up.hole, c.Down.hole = true, true
}

// Heal ends stalls, and cuts that are due. The way is there again after a black hole, but the peer does
// not know the connection any more: the next bytes are answered by a reset.
func (c *Conn) Heal() {
	for _, p := range []*Pipe{c.Up, c.Down} {
		p.Stall(false)
		if !p.deaf {
			p.cutAfter = -1
		}
	}
	if c.Up.hole {
		c.Up.resets, c.Down.resets = c.Reset, c.Reset
		if c.Up.flight > 0 { // which the kernel sends again
			c.Up.intoHole()
		}
	}
}

// Pipe is one direction. The sender writes as to a kernel: as many bytes are
// taken as there is room for.
type Pipe struct {
	w       *World
	latency time.Duration
	buffer  int // how many bytes the sender's kernel takes while the receiver takes none

	// Receive and Closed are the receiver's; they are called from events.
	Receive func(b []byte)
	Closed  func(err error)
	// Writable is the sender's: there is room again after a write that was not
	// taken whole. Broken is called instead if the connection ends.
	Writable func()
	Broken   func(err error)

	lastAt  time.Duration // of what is in flight
	flight  int           // bytes taken and not yet received
	queue   []segment     // in flight
	due     int           // arrivals that a stall keeps back
	stalled bool
	hole    bool
	resets  func()
	blocked bool // the sender waits for Writable
	ended   bool // the sender closed it
	broken  error
	deaf    bool // it was cut: nothing more arrives but its end
	told    bool

	arrived func() // arrive, made once

	cutAfter int // bytes that still arrive before a reset; < 0: no cut is due
	cut      func()
}

type segment struct {
	b   []byte
	end error
}

func newPipe(w *World, latency time.Duration) *Pipe {
	p := &Pipe{w: w, latency: latency, cutAfter: -1, buffer: 1 << (9 + w.rng.IntN(8))}
	p.arrived = p.arrive
	return p
}

// Write takes up to len(b) bytes and returns how many. Less than all means that
// Writable or Broken follows.
func (p *Pipe) Write(b []byte) (int, error) {
	if p.broken != nil {
		return 0, p.broken
	}
	if p.ended {
		return 0, ErrReset
	}
	n := min(len(b), p.buffer-p.flight)
	if n < len(b) {
		p.blocked = true
	}
	if n <= 0 {
		return 0, nil
	}
	p.flight += n
	if p.hole {
		p.intoHole()
		return n, nil
	}
	p.send(segment{b: append([]byte(nil), b[:n]...)})
	return n, nil
}

// intoHole is a write on the way to nowhere: nothing is acknowledged, so the
// bytes stay in the sender's buffer.
func (p *Pipe) intoHole() {
	if p.resets != nil {
		p.w.After(p.latency, p.resets)
	}
}

// Close ends the direction behind what was written.
func (p *Pipe) Close() {
	if p.ended || p.broken != nil {
		return
	}
	p.ended = true
	if !p.hole {
		p.send(segment{end: ErrEOF})
	}
}

func (p *Pipe) send(s segment) {
	p.queue = append(p.queue, s)
	p.schedule()
}

// schedule has the oldest segment without an arrival arrive.
func (p *Pipe) schedule() {
	at := p.w.now + p.latency
	if j := p.latency / 4; j > 0 {
		at += time.Duration(p.w.rng.Int64N(int64(j)))
	}
	p.lastAt = max(at, p.lastAt)
	p.w.At(p.lastAt, p.arrived)
}

// arrive is the arrival of the oldest segment.
func (p *Pipe) arrive() {
	if p.stalled {
		p.due++
		return
	}
	if p.broken != nil || p.hole || len(p.queue) == 0 {
		return
	}
	s := p.queue[0]
	p.queue = p.queue[1:]
	if s.end != nil {
		p.tell(s.end)
		return
	}
	b := s.b
	if p.cutAfter >= 0 && len(b) >= p.cutAfter {
		b = b[:p.cutAfter]
	}
	p.flight -= len(s.b)
	if len(b) > 0 && p.Receive != nil && !p.told && !p.deaf {
		p.Receive(b)
	}
	if p.cutAfter >= 0 {
		if p.cutAfter -= len(b); p.cutAfter == 0 {
			p.cutAfter, p.deaf = -1, true
			p.cut()
			return
		}
	}
	p.release()
}

func (p *Pipe) release() {
	if p.blocked && p.broken == nil && !p.hole && p.flight <= p.buffer/2 {
		p.blocked = false
		if p.Writable != nil {
			p.Writable()
		}
	}
}

// CutAfter has cut called once n more bytes have arrived: after it nothing does.
func (p *Pipe) CutAfter(n int, cut func()) { p.cutAfter, p.cut = n, cut }

// Stall keeps everything back, or lets it go on.
func (p *Pipe) Stall(on bool) {
	if p.stalled == on {
		return
	}
	p.stalled = on
	if on {
		return
	}
	for ; p.due > 0; p.due-- {
		p.schedule()
	}
}

// fail ends the direction at once.
func (p *Pipe) fail(err error) {
	if p.broken != nil {
		return
	}
	p.broken = err
	p.queue = nil
	p.tell(err)
	if p.Broken != nil {
		p.Broken(err)
	}
}

// Break is fail for the sender only: the receiver hears nothing, and what is in
// flight is lost.
func (p *Pipe) Break(err error) {
	if p.broken == nil {
		p.broken = err
		if p.Broken != nil {
			p.Broken(err)
		}
	}
}

func (p *Pipe) tell(err error) {
	if !p.told {
		p.told = true
		if p.Closed != nil {
			p.Closed(err)
		}
	}
}

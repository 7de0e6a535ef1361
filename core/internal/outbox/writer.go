package outbox

import (
	"time"

	"github.com/perigee-go/nats/core/internal/wire"
)

// Take hands out what is to be written next, or nil: then the writer sleeps
// until Wake. The bytes are the writer's until Wrote or Failed. now is the time
// on the link's clock.
func (o *Outbox) Take(now time.Duration) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lent {
		return nil // GiveBack will see to what waits
	}
	return o.take(now)
}

// take is Take for whoever is at the writer's place; lock held.
func (o *Outbox) take(now time.Duration) []byte {
	o.tookAt = now
	switch {
	case o.left && o.mode != Down && o.mode != Closed:
		o.left = false
		return o.out[o.begun:]
	case o.mode == Holding && o.cut > 0:
		return o.takeHeld()
	case len(o.ctl) > 0 && (o.mode == Live || o.mode == Syncing):
		o.out, o.ctl, o.outCtl = o.ctl, nil, true
		for i := range o.pings {
			p := &o.pings[i]
			p.ctlTaken = p.ctl
		}
		return o.out
	case len(o.buf) > 0 && o.mode == Live:
	default:
		o.parked = true
		return nil
	}
	if o.sincePing += len(o.buf); o.sincePing >= pingBytes {
		o.appendPing(ping{})
	}
	o.forget(o.pos)
	o.out, o.outCtl = o.buf, false
	o.pos += uint64(len(o.buf))
	o.buf, o.spare = o.spare[:0], nil
	o.ledger.before, o.ledger.taken = o.ledger.taken, o.ledger.appended
	o.releaseRoom()
	return o.out
}

// Wrote reports that all of what Take gave is with the kernel. It returns true
// when messages begin to wait for a PING that asks for their confirmation.
func (o *Outbox) Wrote(now time.Duration) (unasked bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wrote(now)
}

// wrote is Wrote for whoever is at the writer's place; lock held.
func (o *Outbox) wrote(now time.Duration) (unasked bool) {
	for i := range o.pings {
		if p := &o.pings[i]; p.sent == 0 && p.taken(o) {
			p.sent = max(now, 1)
		}
	}
	if !o.outCtl {
		if o.ledger.written < o.ledger.taken {
			o.ledger.written = o.ledger.taken
			if !o.unasked && o.ledger.written > o.asked() {
				o.unasked, o.writtenAt, unasked = true, now, true
			}
		}
		if cap(o.out) <= keepBuffer {
			o.spare = o.out[:0]
		}
	}
	o.out, o.begun = nil, 0
	return unasked
}

// asked is the count of the stream's messages that a PING was made behind; lock
// held.
func (o *Outbox) asked() uint64 {
	n := o.ledger.settled
	if i := len(o.pings) - 1; i >= 0 {
		n = max(n, o.pings[i].appended)
	}
	return n
}

// Failed reports that the write of what Take gave ended after n bytes. Nothing
// is taken any more until the next epoch.
func (o *Outbox) Failed(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = o.begun + n
}

// Shrink gives back buffers that a quiet connection does not need.
func (o *Outbox) Shrink() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(o.spare) > minBuffer {
		o.spare = nil
	}
	if len(o.buf) == 0 && cap(o.buf) > minBuffer {
		o.buf = nil
	}
}

// ping is one PING on its way: a PONG confirms the messages before it.
type ping struct {
	appended uint64        // messages of the stream before it
	at       uint64        // its offset in the stream
	ctl      bool          // it is among the control lines, not in the stream
	ctlTaken bool          // and the writer took them
	sent     time.Duration // when it was written; 0: not yet
	done     chan<- Pong   // who waits; nil: nobody
}

// Pong answers one Ping: Err is nil when the PONG came.
type Pong struct {
	RTT time.Duration // from the write of the PING; 0 with an error
	Err error
}

// taken reports whether the writer has it in hand, or had.
func (p *ping) taken(o *Outbox) bool {
	if p.ctl {
		return p.ctlTaken
	}
	return p.at < o.pos
}

// Ping appends a PING to the stream of the live link. done, which needs a slot,
// receives one Pong: when the PONG came, or when the link is gone (ErrDown).
func (o *Outbox) Ping(done chan<- Pong) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch o.mode {
	case Closed:
		return o.err
	case Down, Syncing:
		return ErrDown
	case Holding:
		return ErrHeld
	}
	o.appendPing(ping{done: done})
	o.wakeWriter()
	return nil
}

// appendPing appends a PING to buf; lock held, mode Live.
func (o *Outbox) appendPing(p ping) {
	p.appended = o.ledger.appended
	p.at = o.pos + uint64(len(o.buf))
	o.buf = append(o.buf, wire.PingLine...)
	o.pings = append(o.pings, p)
	o.sincePing, o.unasked = 0, false
}

// KeepAlive appends a PING for the link's own use.
func (o *Outbox) KeepAlive(epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epoch != epoch {
		return
	}
	switch o.mode {
	case Live:
		o.appendPing(ping{})
	case Syncing:
		o.ctl = append(o.ctl, wire.PingLine...)
		o.pings = append(o.pings, ping{ctl: true, appended: o.ledger.written})
	default:
		return
	}
	o.wakeWriter()
}

// Pong takes note of a PONG on the link of epoch: everything before the oldest
// open PING is confirmed. A PONG nobody asked for is passed over.
func (o *Outbox) Pong(epoch uint64, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epoch == epoch && o.foreign > 0 {
		o.foreign--
		return
	}
	if o.epoch != epoch || len(o.pings) == 0 || o.pings[0].sent == 0 && !o.pings[0].taken(o) {
		return
	}
	p := o.pings[0]
	o.pings = o.pings[1:]
	if len(o.pings) == 0 {
		o.pings = nil
	}
	// The PONG may be here before the writer came back from its write.
	o.ledger.confirm(p.appended)
	if p.done != nil {
		sent := p.sent
		if sent == 0 {
			sent = o.tookAt
		}
		p.done <- Pong{RTT: max(now-sent, 1)}
	}
}

// Liveness is what the keep-alive decision needs to know.
type Liveness struct {
	Outstanding bool          // a PING was made and is not answered
	OldestPing  time.Duration // when it was written; 0: not yet
	Unasked     bool          // messages were written and no PING followed them
	UnaskedAt   time.Duration // since when; valid if Unasked
}

// Liveness tells the state of the epoch's PINGs.
func (o *Outbox) Liveness() Liveness {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := Liveness{Unasked: o.unasked, UnaskedAt: o.writtenAt}
	if len(o.pings) > 0 {
		l.Outstanding, l.OldestPing = true, o.pings[0].sent
	}
	return l
}

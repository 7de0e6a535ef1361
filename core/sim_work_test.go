package nats

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simWork is what a program does with its Conn. A call that would wait is a
// value here that is looked at after each step.
type simWork struct {
	c       *simClient
	pubs    []*simPub
	subs    []*simSub
	reqs    []*simReq
	flushes []*simFlush
	drain   *simDrain
	reborn  bool

	sessions []*simSession
	hooks    []*simSessionsDrain
	draining bool // the hooks were called
}

func (k *simWork) poll() {
	for _, p := range k.pubs {
		p.poll()
	}
	for _, s := range k.subs {
		s.poll()
	}
	k.reqs = pollAll(k.reqs, (*simReq).poll)
	k.flushes = pollAll(k.flushes, (*simFlush).poll)
	if len(k.sessions) > 0 {
		k.sessions = pollSessions(k.sessions)
		k.hooks = pollAll(k.hooks, (*simSessionsDrain).poll)
	}
	if k.drain != nil {
		k.drain.poll()
	}
}

// pollAll keeps those that are not over.
func pollAll[T any](all []*T, poll func(*T) (over bool)) []*T {
	kept := all[:0]
	for _, x := range all {
		if !poll(x) {
			kept = append(kept, x)
		}
	}
	clear(all[len(kept):])
	return kept
}

// hasClosed reports whether a channel that is only ever closed is.
func hasClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// simPub publishes numbered messages in order.
type simPub struct {
	c     *simClient
	rec   *simRecord
	want  int
	size  int
	gap   time.Duration
	deny  bool
	busy  bool
	retry <-chan struct{} // it waits for room
}

// simRecord is what is known of a publisher's messages.
type simRecord struct {
	id      int
	next    int
	refused map[int]bool
	arrived []bool
	late    map[int]bool // arrived on a connection that had been left
	last    int          // number of the last one that arrived, not late
}

func (k *simWork) publish(o sim.Op) {
	n := o.Mode % 2
	for len(k.pubs) <= n {
		k.pubs = append(k.pubs, &simPub{c: k.c, rec: k.c.run.newRecord()})
	}
	p := k.pubs[n]
	p.want += o.N
	p.size = 1 << (o.Mode >> 1 % 10)
	p.gap = o.For / time.Duration(o.N*4)
	p.deny = o.Mode>>5%8 == 0
	if o.Kind == sim.PublishHuge {
		p.want, p.size = p.want-o.N+1, 3000
	}
	if !p.busy {
		p.busy = true
		p.step()
	}
}

func (p *simPub) step() {
	if p.c.closing {
		p.want = 0
	}
	for n := 1 + p.c.w.Rand().IntN(8); n > 0 && p.want > 0; n-- {
		if !p.one() {
			return
		}
	}
	if p.want == 0 {
		p.busy = false
		return
	}
	p.c.after(p.gap, p.step)
}

// one is Conn.Publish. It reports false if it has to wait.
func (p *simPub) one() bool {
	nc, seq := p.c.nc, p.rec.next
	subj := fmt.Sprintf("p.%d", p.rec.id)
	if p.deny {
		subj = sim.DenyPrefix + subj
	}
	data := fmt.Appendf(nil, "%d %s", seq, strings.Repeat("x", p.size))
	err := nc.checkSize(subj, 0, len(simHeader(seq))+len(data))
	if err == nil {
		p.retry, err = nc.out.Publish(subj, "", simHeader(seq), data)
		if p.retry != nil {
			p.c.w.Sometimes("a publisher waited for room")
			return false
		}
	}
	if err != nil {
		if errors.Is(err, outbox.ErrFull) {
			p.c.w.Sometimes("the reconnect buffer was full")
		}
		p.rec.refused[seq] = true
	}
	if err == nil && p.c.link != nil && p.c.link.ended {
		p.c.w.Sometimes("a message was taken between the end of a link and its halt")
	}
	p.rec.next++
	p.want--
	return true
}

// simHeader is the header of a publisher's message: every third has one.
func simHeader(seq int) string {
	if seq%3 > 0 {
		return ""
	}
	return fmt.Sprintf("NATS/1.0\r\nSeq: %d\r\n\r\n", seq)
}

func (p *simPub) poll() {
	if p.retry != nil && hasClosed(p.retry) {
		p.retry = nil
		p.step()
	}
}

// simFlush is a Conn.Flush.
type simFlush struct {
	c        *simClient
	done     chan outbox.Pong
	asked    bool
	accepted uint64 // when it was called
	limit    time.Duration
	then     func(err error)
}

func (k *simWork) flush(within time.Duration, then func(err error)) {
	f := &simFlush{
		c: k.c, done: make(chan outbox.Pong, 1), accepted: k.c.nc.out.Counts().Accepted,
		limit: k.c.now() + within, then: then,
	}
	k.c.after(within, func() {}) // somebody has to look then
	if !f.poll() {
		k.flushes = append(k.flushes, f)
	}
}

func (f *simFlush) poll() (over bool) {
	end := func(err error) bool {
		if f.then != nil {
			f.then(err)
		}
		return true
	}
	if f.asked {
		select {
		case p := <-f.done:
			if errors.Is(p.Err, outbox.ErrDown) {
				f.c.w.Sometimes("a PONG was lost with its link")
				return end(ErrDisconnected)
			}
			if p.Err == nil {
				f.c.checkFlushed(f.accepted)
			}
			return end(p.Err)
		default:
		}
	} else {
		switch err := f.c.nc.out.Ping(f.done); {
		case err == nil:
			f.asked = true
		case errors.Is(err, outbox.ErrDown):
			if f.c.nc.closed {
				return end(ErrClosed)
			}
		default:
			return end(err)
		}
	}
	if f.c.now() >= f.limit {
		return end(errSimLate)
	}
	return false
}

var errSimLate = errors.New("time is up")

// simDrain is a Conn.Drain.
type simDrain struct {
	c     *simClient
	phase drainPhase
	subs  []*Subscription
	all   []*Subscription // to be over
	limit time.Duration
	over  bool
}

func (k *simWork) drainConn() {
	c, nc := k.c, k.c.nc
	if c.closing || nc.draining || k.draining {
		return
	}
	k.draining = true
	limit := c.now() + nc.cfg.drainTimeout
	k.drainSessions(limit, func() { k.drainSubs(limit) })
}

// drainSubs is what follows the hooks.
func (k *simWork) drainSubs(limit time.Duration) {
	c, nc := k.c, k.c.nc
	if c.closing {
		return
	}
	if c.link == nil {
		c.w.Sometimes("drain while disconnected")
	}
	nc.mu.Lock()
	nc.draining = true
	nc.broadcast()
	nc.mu.Unlock()
	nc.emit(Draining{})
	d := &simDrain{c: c, limit: limit}
	k.drain = d
	c.at(limit, func() { d.end(false) })
	for _, s := range nc.reg.activeSubs() {
		if !s.internal() {
			s.beginDrain()
			d.subs = append(d.subs, s)
		}
	}
	d.flush()
}

func (d *simDrain) flush() {
	d.c.work.flush(d.limit-d.c.now(), func(err error) {
		phase, err := d.phase.flushed(err)
		if err != nil {
			d.end(false)
			return
		}
		if phase == drainLeaving && d.phase == drainLeaving {
			d.c.w.Sometimes("a drain flushed again on the next link")
		}
		switch d.phase = phase; phase {
		case drainHandling:
			for _, s := range d.subs {
				s.arrivedAll()
			}
			for _, s := range d.c.nc.reg.all() {
				if !s.internal() {
					d.all = append(d.all, s)
				}
			}
		case drainLeaving:
			d.c.after(0, d.flush)
		case drainOver:
			d.end(true)
		}
	})
}

func (d *simDrain) poll() {
	if d.over || d.phase != drainHandling {
		return
	}
	for _, s := range d.all {
		if !hasClosed(s.doneCh) {
			return
		}
	}
	d.phase = drainLeaving
	d.flush()
}

func (d *simDrain) end(well bool) {
	if d.over || d.c.closing {
		return
	}
	d.over = true
	if well {
		d.c.w.Sometimes("a drain ended well")
		d.c.checkDrained()
	}
	d.c.nc.drainedWell = well
	d.c.stop()
}

// closeConn is Conn.Close.
func (k *simWork) closeConn() {
	c := k.c
	if c.closing {
		return
	}
	if c.link == nil {
		c.stop()
		return
	}
	k.closeFlush(c.now() + closeFlush)
}

func (k *simWork) closeFlush(limit time.Duration) {
	c := k.c
	k.flush(limit-c.now(), func(err error) {
		if errors.Is(err, ErrDisconnected) && c.link != nil && c.now() < limit {
			c.after(0, func() { k.closeFlush(limit) })
			return
		}
		c.stop()
	})
}

// reconnect is what Conn.Reconnect does to a link.
func (k *simWork) reconnect() {
	c := k.c
	if l := c.link; l != nil {
		c.nc.mu.Lock()
		if c.nc.link != nil {
			c.nc.byUser = errReconnect
		}
		c.nc.mu.Unlock()
		c.dialled, c.turns = nil, nil
		l.end(errReconnect)
		return
	}
	c.poke()
}

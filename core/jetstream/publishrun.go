package jetstream

import (
	"context"
	"errors"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/window"
)

// linger is how long the runner stays when nothing is open.
const linger = time.Second

// run is the runner. It sends what was held up, in order, sees to what is overdue,
// and follows the links.
func (p *publisher) run() {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	q := quiet{}
	for {
		p.mu.Lock()
		if isClosed(p.js.nc.Done()) {
			p.close()
			p.mu.Unlock()
			return
		}
		turn := p.followLink()
		a := p.machine.Next(p.now())
		p.settleDone()
		if a.Send {
			p.mu.Unlock()
			p.send(a.Token)
			continue
		}
		now := p.now()
		if q.over(p.machine.Open() > 0 || p.up != nil, p.machine.NextOrder(), now) {
			p.running = false
			p.mu.Unlock()
			return
		}
		p.alarm = min(a.At, q.until)
		turn.sub = p.sub
		wait := p.alarm - now
		p.mu.Unlock()
		timer.Reset(wait)
		p.pause(turn, timer)
	}
}

// quiet tells when nothing was published for a while.
type quiet struct {
	order uint64
	until timeOf
}

func (q *quiet) over(busy bool, order uint64, now timeOf) bool {
	switch {
	case busy:
		*q = quiet{order, window.Never}
	case order != q.order || q.until == window.Never:
		*q = quiet{order, now + linger}
	default:
		return now >= q.until
	}
	return false
}

// turn is what the runner waits for beside its timer.
type turn struct {
	sub     *nats.Subscription
	changed <-chan struct{} // of the Conn, while there is no link
	ended   <-chan struct{} // of the link
}

func (p *publisher) pause(t turn, timer *time.Timer) {
	var done <-chan struct{}
	if t.sub != nil {
		done = t.sub.Done()
	}
	select {
	case <-p.wake:
	case <-timer.C:
	case <-t.changed:
	case <-t.ended:
	case <-p.js.nc.Done():
	case <-done:
		p.subscriptionEnded(t.sub)
	}
}

// wakeRunner lets the runner look again. The channel has a slot.
func (p *publisher) wakeRunner() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// wakeIfReady wakes it if something can be sent, or it has to wake earlier; mu
// held.
func (p *publisher) wakeIfReady() {
	if p.machine.Ready() || p.machine.Due() < p.alarm {
		p.wakeRunner()
	}
}

// followLink takes note of the end of a link, once all that it brought is dealt
// with, and of the next one; mu held.
func (p *publisher) followLink() turn {
	if p.link != nil {
		if !isClosed(p.link.Ended()) {
			return turn{ended: p.link.Ended()}
		}
		if p.sub != nil && !isClosed(p.sub.Done()) {
			if n := p.sub.Stats().Received; p.arrived < n {
				p.barrier = n // and answer wakes the runner
				return turn{}
			}
		}
		p.barrier = 0
		left, cause := p.link.Left()
		p.link, p.lostBy = nil, cause
		p.machine.LinkDown(left, cause != nil, p.now())
		p.settleDone()
	}
	link, changed := p.js.nc.Link()
	if link == nil {
		return turn{changed: changed}
	}
	p.link = link
	p.machine.LinkUp()
	open(&p.up)
	return turn{ended: link.Ended()}
}

// close is the end of the connection; mu held.
func (p *publisher) close() {
	p.failure = notSent{nats.ErrClosed}
	p.running = false
	p.machine.Close()
	p.settleDone()
	open(&p.up)
	open(&p.room)
	open(&p.told)
}

// send makes one attempt of a publish that was held up.
func (p *publisher) send(t window.Token) {
	p.mu.Lock()
	s := &p.slots[t.Slot()]
	link, f := p.link, s.future
	if link == nil {
		p.machine.Unhanded(t, true)
		p.mu.Unlock()
		return
	}
	m := f.msg
	m.Reply = s.replyFor(p.prefix, t)
	s.begun = p.js.sequences.begin()
	limit := p.machine.Due() - p.now()
	p.mu.Unlock()

	at, err := link.PublishMsg(hasEnded, m)
	if errors.Is(err, context.Canceled) {
		at, err = p.sendPatiently(link, m, limit)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	unknown := p.machine.Unknown(t.Slot())
	if err := p.handed(t, link, at, err, p.now(), false); err != nil && s.future == f {
		p.fail(s, verdict(unknown, nil, err))
	}
	p.settleDone()
}

// sendPatiently waits for room on the link, until something is due.
func (p *publisher) sendPatiently(link *nats.Link, m nats.Msg, limit timeOf) (at uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), max(limit, time.Millisecond), errNoRoom)
	defer cancel()
	return link.PublishMsg(ctx, m)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// open closes a channel that others wait for, if there is one.
func open(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

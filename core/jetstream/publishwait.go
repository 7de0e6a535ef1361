package jetstream

import (
	"context"
	"runtime"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// waits are those who wait for a publisher; its mu guards them.
type waits struct {
	low   int           // who waits for room is woken when so few are open
	eager bool          // or as soon as there is any, because somebody waited for long
	room  chan struct{} // closed when there is room; nil: nobody waits
	told  chan struct{} // closed when the handler was told of one
	up    chan struct{} // closed when there is a link
	ends  []*awaited
	cause error // of machine.FailAll
}

// hesitation is how long the window may fill up no further although there is some
// room: waking a publisher for each place would cost more than the publish.
const hesitation = time.Millisecond

// awaitRoom returns what to wait for when the window is full, and for how long.
func (p *publisher) awaitRoom() (<-chan struct{}, time.Duration) {
	if p.room == nil {
		p.room = make(chan struct{})
	}
	if p.eager {
		return p.room, 0
	}
	return p.room, hesitation
}

func await(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// waitFor waits for a channel, ctx, the Conn's end, and limit if it is not 0; mu
// held, and given up meanwhile.
func (p *publisher) waitFor(ctx context.Context, c <-chan struct{}, limit time.Duration) (late bool, err error) {
	p.mu.Unlock()
	defer p.mu.Lock()
	var timeout <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-c:
	case <-timeout:
		return true, nil
	case <-ctx.Done():
		return false, notSent{context.Cause(ctx)}
	case <-p.js.nc.Done():
		return false, notSent{nats.ErrClosed}
	}
	return false, nil
}

// changed is called when a publish has left the window; mu held.
func (p *publisher) changed() {
	n := p.machine.Open()
	if p.room != nil && (n <= p.low || p.eager && n < p.js.cfg.window) {
		p.eager = false
		open(&p.room)
	}
	if len(p.ends) > 0 {
		p.checkWaits()
	}
}

// awaited is one WaitPublished.
type awaited struct {
	order   uint64 // what comes before it has to be settled
	settled bool
	told    uint64 // and then so many told
	done    chan struct{}
}

// wait is WaitPublished.
func (p *publisher) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	w := &awaited{order: p.machine.NextOrder(), done: make(chan struct{})}
	p.ends = append(p.ends, w)
	p.checkWaits()
	p.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.ends {
		if other == w {
			p.ends = append(p.ends[:i:i], p.ends[i+1:]...)
			return context.Cause(ctx)
		}
	}
	return nil // it was faster
}

// checkWaits releases those whose wait is over; mu held.
func (p *publisher) checkWaits() {
	rest := p.ends[:0]
	for _, w := range p.ends {
		if !w.settled && p.machine.Oldest() >= w.order {
			w.settled, w.told = true, p.settledCount
		}
		if w.settled && p.toldCount >= w.told {
			close(w.done)
			continue
		}
		rest = append(rest, w)
	}
	clear(p.ends[len(rest):])
	p.ends = rest
}

// telling is what the handler is to be told; the publisher's mu guards it.
type telling struct {
	untold       []news
	at           bool // a goroutine is at it
	settledCount uint64
	toldCount    uint64
}

// news is a settled publish.
type news struct {
	future *PubAckFuture
	ack    PubAck
	err    error
	trace  *publishTrace
}

// backlog is how many settled publishes the handler was not told of; mu held.
func (t *telling) backlog() int { return int(t.settledCount - t.toldCount) }

// tell has the handler told; mu held.
func (p *publisher) tell(f *PubAckFuture, ack PubAck, err error, trace *publishTrace) {
	p.settledCount++
	if p.js.cfg.published == nil && trace == nil {
		p.toldCount++
		return
	}
	p.untold = append(p.untold, news{f, ack, err, trace})
	if !p.at {
		p.at = true
		go p.tellAll()
	}
}

// tellAll tells what there is, in order. A handler that ends its goroutine leaves
// the rest to another one.
func (p *publisher) tellAll() {
	over := false
	defer func() {
		if !over {
			p.toldOne()
			go p.tellAll()
		}
	}()
	for yielded := false; ; {
		p.mu.Lock()
		if len(p.untold) == 0 && !yielded {
			p.mu.Unlock()
			yielded = true
			runtime.Gosched() // under load there is more in a moment
			continue
		}
		if len(p.untold) == 0 {
			p.untold, p.at, over = nil, false, true
			p.mu.Unlock()
			return
		}
		yielded = false
		n := p.untold[0]
		p.untold[0] = news{}
		p.untold = p.untold[1:]
		p.mu.Unlock()
		n.trace.end(n.err)
		if h := p.js.cfg.published; h != nil {
			callPublished(h, n)
		}
		p.toldOne()
	}
}

func (p *publisher) toldOne() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toldCount++
	open(&p.told)
	if len(p.ends) > 0 {
		p.checkWaits()
	}
}

// callPublished calls the user's handler.
//
//go:noinline
func callPublished(h func(nats.Msg, PubAck, error), n news) { h(n.future.msg, n.ack, n.err) }

// inHandler reports whether the handler is the caller: then it must not wait for
// itself. It is asked only when there is something to wait for.
func inHandler() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if f.Function == handlerFrame {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// handlerFrame is the name of callPublished.
var handlerFrame = func() (name string) {
	callPublished(func(nats.Msg, PubAck, error) {
		pc, _, _, _ := runtime.Caller(1)
		name = runtime.FuncForPC(pc).Name()
	}, news{future: &PubAckFuture{}})
	return name
}()

// publishTrace is an operation that the Tracer was told the start of. A nil one
// is none.
type publishTrace struct {
	tracer nats.Tracer
	ctx    context.Context
	op     *nats.Operation
}

func beginTrace(ctx context.Context, tracer nats.Tracer, nc *nats.Conn, m nats.Msg) (nats.Msg, *publishTrace) {
	op := &nats.Operation{Kind: nats.OpPublishAck, Conn: nc, Subject: m.Subject, Header: &m.Header, Size: m.Size(), Count: 1}
	ctx = tracer.Start(ctx, op) // may change the header
	return m, &publishTrace{tracer, ctx, op}
}

// context is the Tracer's, or ctx without one.
func (t *publishTrace) context(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return t.ctx
}

func (t *publishTrace) end(err error) {
	if t != nil {
		t.tracer.End(t.ctx, t.op, err)
	}
}

package nats

import (
	"context"

	"github.com/perigee-go/nats/core/internal/queue"
	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/wire"
)

var (
	errNilContext = &OptionError{"ctx", "is nil"}
	errNilConn    = &OptionError{"Conn", "is nil or was not made by Connect"}
)

// Subscribe calls handler for each message of subject, which may have
// wildcards: one at a time and in order, unless Concurrency says otherwise. It
// does not wait for the server; a subscription that the server refuses ends
// with a *PermissionError, told by SubscriptionEnded. A handler that panics
// ends the process; see RecoverHandlers.
func (nc *Conn) Subscribe(subject string, handler func(Msg), opts ...SubOption) (*Subscription, error) {
	if handler == nil {
		return nil, &OptionError{"handler", "is nil"}
	}
	return nc.subscribe(subject, &Subscription{kind: kindHandler, handler: handler}, opts)
}

// SubscribeSync makes a subscription whose messages are taken with Next or
// Messages.
func (nc *Conn) SubscribeSync(subject string, opts ...SubOption) (*Subscription, error) {
	return nc.subscribe(subject, &Subscription{kind: kindSync, wake: make(chan struct{}, 1)}, opts)
}

// SubscribeChan sends each message of subject to ch, in order. While ch is full
// they wait in the subscription's queue, within its pending limits. ch is never
// closed: use Subscription.Done.
func (nc *Conn) SubscribeChan(subject string, ch chan<- Msg, opts ...SubOption) (*Subscription, error) {
	if ch == nil {
		return nil, &OptionError{"ch", "is nil"}
	}
	return nc.subscribe(subject, &Subscription{kind: kindChan, ch: ch, stopFeeds: make(chan struct{})}, opts)
}

// subscribe finishes s, makes it known and tells the server.
func (nc *Conn) subscribe(subj string, s *Subscription, opts []SubOption) (*Subscription, error) {
	if !nc.made() {
		return nil, errNilConn
	}
	c, err := nc.checkSubscribe(subj, s.kind, opts)
	if err != nil {
		return nil, opError("subscribe to", subj, err)
	}
	if c.onReader {
		s.kind = kindReader
	}
	s.subject, s.queue = subj, c.queue
	s.concurrency, s.overflow, s.onEvent = c.concurrency, c.overflow, c.onEvent
	s.max.Store(c.max)
	s.limitMsgs.Store(int64(c.limitMsgs))
	s.limitBytes.Store(int64(c.limitBytes))
	if s.handler != nil {
		s.handler = nc.wrapHandler(s, s.handler)
	}
	if err := nc.register(s, false); err != nil {
		return nil, opError("subscribe to", subj, err)
	}
	return s, nil
}

// checkSubscribe holds what a user asks for against the rules.
func (nc *Conn) checkSubscribe(subj string, kind subKind, opts []SubOption) (subConfig, error) {
	if p := subject.CheckSubscribe(subj); p != "" {
		return subConfig{}, &SubjectError{Subject: subj, Problem: p}
	}
	c, err := nc.cfg.sub.configure(opts)
	switch {
	case err != nil:
		return c, err
	case c.onReader && kind != kindHandler:
		return c, &OptionError{"OnReader", "needs a handler"}
	case c.concurrency > 1 && kind != kindHandler:
		return c, &OptionError{"Concurrency", "needs a handler"}
	}
	return c, checkLine(subj, len(c.queue))
}

// register makes s known and tells the server. internal ones may still be made
// while the connection drains.
func (nc *Conn) register(s *Subscription, internal bool) error {
	s.nc = nc
	s.origin = origin{nc: nc, sub: s}
	s.arrived, s.doneCh = make(chan struct{}), make(chan struct{})

	nc.mu.Lock()
	if err := nc.usable(internal); err != nil {
		nc.mu.Unlock()
		return err
	}
	nc.reg.add(s)
	nc.mu.Unlock()

	b := wire.AppendSub(make([]byte, 0, 64), s.subject, s.queue, s.sid)
	if max := s.max.Load(); max > 0 {
		b = wire.AppendUnsub(b, s.sid, max)
	}
	nc.reg.tell(s, b)
	return nil
}

// wrapHandler puts tracing and recovery around a user's handler, if asked for.
func (nc *Conn) wrapHandler(s *Subscription, h func(Msg)) func(Msg) {
	if rec := nc.cfg.recoverer; rec != nil {
		inner := h
		h = func(m Msg) {
			defer func() {
				if r := recover(); r != nil {
					rec(m, r)
				}
			}()
			inner(m)
		}
	}
	if t := nc.cfg.tracer; t != nil {
		inner := h
		h = func(m Msg) {
			op := deliverOperation(s, &m)
			ctx := t.Start(context.Background(), op)
			m.origin = &origin{nc: nc, sub: s, ctx: ctx}
			inner(m)
			t.End(ctx, op, nil)
		}
	}
	return h
}

func deliverOperation(s *Subscription, m *Msg) *Operation {
	return &Operation{
		Kind: OpDeliver, Conn: s.nc, Subject: m.Subject, Queue: s.queue,
		Header: &m.Header, Size: m.Size(), Count: 1,
	}
}

// traceNext is the trace of one message taken with Next.
func (nc *Conn) traceNext(s *Subscription, m Msg) Msg {
	op := deliverOperation(s, &m)
	ctx := nc.cfg.tracer.Start(context.Background(), op)
	m.origin = &origin{nc: nc, sub: s, ctx: ctx}
	nc.cfg.tracer.End(ctx, op, nil)
	return m
}

// feedNow sends to the user's channel what it takes at once, which saves the
// queue and a goroutine, and returns the rest; mu held, and the sends do not
// block.
func (s *Subscription) feedNow(es []queue.Entry, bytes int) (rest []queue.Entry, restB int) {
	if s.busy || s.nc.cfg.tracer != nil {
		return es, bytes // the pump keeps the order, and user code needs it unlocked
	}
	n, sent := 0, 0
	for more := true; more && n < len(es); {
		select {
		case s.ch <- s.msg(&es[n]):
			sent += es[n].Size()
			n++
		default:
			more = false
		}
	}
	s.popped += uint64(n)
	s.poppedB += uint64(sent)
	s.count(uint64(n), uint64(sent))
	s.notifySettled()
	return es[n:], bytes - sent
}

func (s *Subscription) popChan() queue.Entry {
	e := s.q.Pop()
	s.popped++
	s.poppedB += uint64(e.Size())
	return e
}

// pump feeds the user's channel while it is full; it ends when nothing waits.
func (s *Subscription) pump() {
	s.mu.Lock()
	for s.q.Len() > 0 {
		start := s.popped
		e := s.popChan()
		s.runs = append(s.runs, start)
		s.mu.Unlock()
		m := s.msg(&e)
		if s.nc.cfg.tracer != nil {
			m = s.nc.traceNext(s, m)
		}
		sent := false
		select {
		case s.ch <- m:
			sent = true
		case <-s.stopFeeds:
		}
		s.mu.Lock()
		if sent {
			s.count(1, uint64(e.Size()))
		}
		s.runEnds(start)
	}
	s.busy = false
	over := s.emptied()
	s.mu.Unlock()
	if over {
		s.finish()
	}
}

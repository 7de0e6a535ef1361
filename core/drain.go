package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perigee-go/nats/core/internal/wire"
)

// closeFlush is how long Close waits for what was published to arrive.
const closeFlush = 2 * time.Second

type hook struct{ f func(context.Context) error }

// OnDrain has f called at the start of Drain, before subscriptions are drained:
// the last registered first, each with Drain's context. One that has not returned
// when that ends is left behind. Helpers on top register their own shutdown here.
// remove takes it back. A nil f is none.
func (nc *Conn) OnDrain(f func(context.Context) error) (remove func()) {
	if !nc.made() || f == nil {
		return func() {}
	}
	h := &hook{f}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	nc.hooks = append(nc.hooks, h)
	return func() {
		nc.mu.Lock()
		defer nc.mu.Unlock()
		for i, other := range nc.hooks {
			if other == h {
				nc.hooks = append(nc.hooks[:i:i], nc.hooks[i+1:]...)
				return
			}
		}
	}
}

// Drain is the shutdown. It calls the OnDrain hooks, ends all subscriptions,
// waits until what had arrived was handled and what was published has arrived,
// and closes. It always ends Closed. A ctx without a deadline gets DrainTimeout;
// if it ends first, or a hook fails, Drain closes at once and *LossError says
// what was lost. A lost link is waited for. From a handler, call it in a
// goroutine: it waits for the handler. Messages that wait in a SubscribeSync
// subscription or for a channel wait for somebody who takes them, so
// unsubscribe one that is not read any more. A second call, even when all is
// over, waits for the first and returns what that returned.
func (nc *Conn) Drain(ctx context.Context) error {
	if !nc.made() {
		return errNilConn
	}
	if ctx == nil {
		return errNilContext
	}
	ctx, cancel := withTimeout(ctx, nc.cfg.drainTimeout)
	defer cancel()
	nc.mu.Lock()
	if done := nc.drained; done != nil {
		nc.mu.Unlock()
		return nc.awaitDrained(ctx, done)
	}
	if nc.closed {
		nc.mu.Unlock()
		return ErrClosed
	}
	done := make(chan struct{})
	nc.drained = done
	hooks := slices.Clone(nc.hooks)
	nc.mu.Unlock()

	err := nc.drainAll(ctx, hooks)
	nc.mu.Lock()
	nc.drainErr = err
	nc.mu.Unlock()
	close(done)
	return err
}

// awaitDrained waits for another call's Drain.
func (nc *Conn) awaitDrained(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		default:
			return opError("drain", nc.lastServer(), context.Cause(ctx))
		}
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.drainErr
}

// drainAll calls the hooks, drains and closes.
func (nc *Conn) drainAll(ctx context.Context, hooks []*hook) error {
	before := nc.Stats()
	hookErr := callHooks(ctx, hooks)
	nc.mu.Lock()
	nc.draining = true
	nc.broadcast()
	nc.mu.Unlock()
	nc.emit(Draining{})

	err := nc.drain(ctx)
	nc.mu.Lock()
	nc.drainedWell = err == nil
	nc.mu.Unlock()
	return nc.close(before, errors.Join(hookErr, err))
}

// callHooks calls the hooks, the last one first, and leaves them behind if they
// outlive ctx.
func callHooks(ctx context.Context, hooks []*hook) error {
	if len(hooks) == 0 {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		errs := []error{errGoexit}
		defer func() { done <- errors.Join(errs...) }()
		var all []error
		for _, h := range slices.Backward(hooks) {
			all = append(all, h.f(ctx))
		}
		errs = all
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	t := time.NewTimer(abandonAfter)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("nats: a function of OnDrain has not returned: %w", context.Cause(ctx))
	}
}

// drain sees everything through that is under way.
func (nc *Conn) drain(ctx context.Context) error {
	subs := nc.reg.activeSubs()
	for _, s := range subs {
		if !s.internal() {
			s.beginDrain()
		}
	}
	var err error
	for phase := drainArriving; phase != drainOver && err == nil; {
		if phase != drainHandling {
			phase, err = phase.flushed(nc.Flush(ctx))
			continue
		}
		for _, s := range subs {
			if !s.internal() {
				s.arrivedAll()
			}
		}
		for _, s := range nc.reg.all() {
			if s.internal() {
				continue
			}
			select {
			case <-s.doneCh:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		phase = drainLeaving
	}
	return err
}

// drainPhase is how far the drain of a Conn is, once its subscriptions are told
// to end.
type drainPhase uint8

const (
	drainArriving drainPhase = iota // one PONG says of all of them that nothing more comes
	drainHandling                   // what has come is being handled
	drainLeaving                    // what handlers published at the end is to arrive, too
	drainOver
)

// flushed is what comes after a flush that ended with err. What had been sent to
// a link that is lost cannot arrive any more; what is to leave still can.
func (p drainPhase) flushed(err error) (drainPhase, error) {
	lost := errors.Is(err, ErrDisconnected)
	switch {
	case err != nil && !lost:
		return p, err
	case p == drainArriving:
		return drainHandling, nil
	case p == drainLeaving && lost:
		return drainLeaving, nil
	}
	return drainOver, nil
}

// Close sends what was published, for at most 2 s, and ends everything: open
// requests fail, messages that wait are dropped. *LossError says what was lost;
// nil means nothing was. Handlers that run are not waited for. A second call
// returns nil.
func (nc *Conn) Close() error {
	if !nc.made() {
		return errNilConn
	}
	if nc.isClosed() {
		return nil
	}
	before := nc.Stats()
	ctx, cancel := context.WithTimeout(context.Background(), closeFlush)
	defer cancel()
	if nc.liveLink() != nil {
		for errors.Is(nc.Flush(ctx), ErrDisconnected) && nc.liveLink() != nil {
		}
	}
	return nc.close(before, nil)
}

// close ends the supervisor, which closes the rest, and says what was lost
// since before.
func (nc *Conn) close(before Stats, cause error) error {
	if nc.isClosed() {
		return cause // by somebody else, who was told of the losses
	}
	nc.stop()
	<-nc.supervised
	nc.awaitTold()
	after := nc.Stats()
	loss := &LossError{
		Undelivered: int(after.InDropped - before.InDropped),
		Unsent:      int(after.OutDropped - before.OutDropped),
		Unknown:     int(after.OutUnknown - before.OutUnknown),
		Err:         cause,
	}
	if cause == nil && loss.Undelivered+loss.Unsent+loss.Unknown == 0 {
		return nil
	}
	return loss
}

// lastEvents is how long the end of a connection is held up so that its last
// events are handled and logged. A handler that closes the Conn waits so long
// for itself.
const lastEvents = 25 * time.Millisecond

func (nc *Conn) awaitTold() {
	t := time.NewTimer(lastEvents)
	defer t.Stop()
	select {
	case <-nc.told:
	case <-t.C:
	}
}

// Drain ends the subscription without losing what has arrived: the server is
// told, and Drain returns when everything that was on its way has been handled,
// or taken with Next. A ctx without a deadline gets DrainTimeout; if it ends
// first its error is returned and the draining goes on.
func (s *Subscription) Drain(ctx context.Context) error {
	if !s.made() {
		return ErrSubscriptionClosed
	}
	if ctx == nil {
		return errNilContext
	}
	nc := s.nc
	if nc.isClosed() {
		return ErrClosed
	}
	ctx, cancel := withTimeout(ctx, nc.cfg.drainTimeout)
	defer cancel()
	fail := func(err error) error { return opError("drain subscription to", s.subject, err) }

	if s.beginDrain() {
		// It goes on without the caller if need be.
		ended := make(chan error, 1)
		go func() {
			bound, cancel := context.WithTimeoutCause(nc.ctx, nc.cfg.drainTimeout, timeoutAfter(nc.cfg.drainTimeout))
			defer cancel()
			var err error
			if nc.reg.linked() {
				err = nc.Flush(bound)
			}
			s.arrivedAll()
			ended <- err
		}()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, ErrDisconnected) {
				return fail(err)
			}
		case <-ctx.Done():
			return fail(context.Cause(ctx))
		}
	}
	select {
	case <-s.doneCh:
		return nil
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
}

// beginDrain tells the server that the subscription ends. It reports whether
// this call did. A link that is lost from here on does not subscribe it again:
// then everything has arrived.
func (s *Subscription) beginDrain() bool {
	s.mu.Lock()
	if s.closed || s.draining {
		s.mu.Unlock()
		return false
	}
	s.draining = true
	s.mu.Unlock()
	s.noResubscribe.Store(true)
	s.nc.reg.tell(s, wire.AppendUnsub(nil, s.sid, 0))
	s.nc.emit(Draining{s})
	return true
}

// arrivedAll notes that nothing more can arrive.
func (s *Subscription) arrivedAll() {
	s.nc.reg.remove(s)
	s.end(nil, false)
}

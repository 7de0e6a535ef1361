package nats

import (
	"context"
	"errors"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
)

// Flush returns when the server has answered a PING sent now: it has everything
// published before. A ctx without a deadline gets RequestTimeout. While no link
// is up it waits for one. If the link is lost meanwhile it fails with
// ErrDisconnected at once; other errors are ctx's and ErrClosed.
func (nc *Conn) Flush(ctx context.Context) error {
	_, err := nc.ping(ctx, "flush")
	return err
}

// RTT returns the time from the write of a PING to its PONG. It waits and fails
// as Flush does.
func (nc *Conn) RTT(ctx context.Context) (time.Duration, error) { return nc.ping(ctx, "rtt") }

func (nc *Conn) ping(ctx context.Context, op string) (time.Duration, error) {
	if !nc.made() {
		return 0, errNilConn
	}
	if ctx == nil {
		return 0, errNilContext
	}
	ctx, cancel := withTimeout(ctx, nc.cfg.requestTimeout)
	defer cancel()
	fail := func(err error) (time.Duration, error) { return 0, opError(op, nc.lastServer(), err) }

	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	done := make(chan outbox.Pong, 1)
	for {
		err := nc.out.Ping(done)
		if err == nil {
			break
		}
		if errors.Is(err, outbox.ErrHeld) {
			select {
			case <-nc.out.Flows():
				continue
			case <-ctx.Done():
				return fail(context.Cause(ctx))
			}
		}
		if !errors.Is(err, outbox.ErrDown) {
			return fail(err)
		}
		if err := nc.awaitLink(ctx); err != nil {
			return fail(err)
		}
	}
	select {
	case p := <-done:
		if errors.Is(p.Err, outbox.ErrDown) {
			return fail(ErrDisconnected)
		}
		if p.Err != nil {
			return fail(p.Err)
		}
		return p.RTT, nil
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
}

// lastServer names the server of the last link, for errors.
func (nc *Conn) lastServer() string {
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.server.URL
}

// Barrier returns when all handlers are done with what had arrived before the
// call. Messages for Next and channels are not waited for. A ctx without a
// deadline gets RequestTimeout. A handler that calls it waits for itself.
func (nc *Conn) Barrier(ctx context.Context) error {
	if !nc.made() {
		return errNilConn
	}
	if ctx == nil {
		return errNilContext
	}
	ctx, cancel := withTimeout(ctx, nc.cfg.requestTimeout)
	defer cancel()
	for _, s := range nc.reg.all() {
		if s.kind != kindHandler {
			continue
		}
		if err := s.awaitAll(ctx); err != nil {
			return opError("barrier", s.subject, err)
		}
	}
	return nil
}

// awaitAll waits until everything that has arrived by now is dealt with.
func (s *Subscription) awaitAll(ctx context.Context) error {
	done := s.awaitSettled()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reconnect sends what was published, drops the link and returns when the next
// one is up. It also ends a back-off that is under way. A ctx without a deadline
// gets RequestTimeout. Requests that are open fail as at any loss of the link.
func (nc *Conn) Reconnect(ctx context.Context) error {
	if !nc.made() {
		return errNilConn
	}
	if ctx == nil {
		return errNilContext
	}
	ctx, cancel := withTimeout(ctx, nc.cfg.requestTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return opError("reconnect", nc.lastServer(), context.Cause(ctx))
	}
	nc.mu.Lock()
	l, links, closed := nc.link, nc.links, nc.closed
	nc.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case l != nil:
		_ = nc.Flush(ctx) // what it cannot save is counted
		nc.mu.Lock()
		if nc.link == l {
			nc.byUser = errReconnect
		}
		nc.mu.Unlock()
		l.End(errReconnect)
	default:
		select {
		case nc.poke <- struct{}{}:
		default:
		}
	}
	for {
		nc.mu.Lock()
		up, changed, closed := nc.link != nil && nc.links > links, nc.changed, nc.closed
		nc.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case up:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return opError("reconnect", nc.lastServer(), context.Cause(ctx))
		}
	}
}

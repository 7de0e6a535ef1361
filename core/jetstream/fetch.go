package jetstream

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/perigee-go/nats/core/internal/pull"
)

// Fetch asks for n messages, when it is ranged, and yields what comes within
// MaxWait. Fewer than n, or none, is no error. What goes wrong in that time is
// healed if possible; if not, the error comes last, after the messages: nobody
// answered (ErrNoLeader, ErrNoHeartbeat), there is no link
// (nats.ErrDisconnected), the consumer is gone (ErrConsumerDeleted), or ctx
// ended. break hands back what came and was not taken.
//
//	for msg, err := range consumer.Fetch(ctx, 100, jetstream.MaxWait(time.Second)) {
func (c *Consumer) Fetch(ctx context.Context, n int, opts ...FetchOption) iter.Seq2[*Msg, error] {
	return func(yield func(*Msg, error) bool) {
		s, clipped, err := c.openFetch(ctx, "fetch from", n, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.stop()
		for taken := 0; taken < n; taken++ {
			m, err := s.next(ctx)
			if errors.Is(err, ErrConsumptionEnded) {
				if !clipped {
					return
				}
				// The server's clock was a little faster than that of ctx.
				<-ctx.Done()
				err = ctx.Err()
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// openFetch begins a session of one pull. clipped says that ctx bounds it, and
// not MaxWait.
func (c *Consumer) openFetch(ctx context.Context, op string, n int, opts []FetchOption) (s *session, clipped bool, err error) {
	fail := func(err error) (*session, bool, error) { return nil, false, c.failed(op, err) }
	if ctx == nil {
		return fail(errNilContext)
	}
	cfg, err := newPullConfig(opts)
	if problem := atLeast1(n); problem != "" {
		err = errors.Join(err, &OptionError{"n", problem})
	}
	if err = errors.Join(err, cfg.once()); err != nil {
		return fail(err)
	}
	if c.nobodys() {
		return fail(nil)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	wait := cfg.maxWait
	if cfg.noWait {
		wait = c.stream.js.cfg.timeout // for the answer
	}
	if end, ok := ctx.Deadline(); ok {
		if left := time.Until(end); left < wait {
			clipped = !cfg.noWait
			wait = left
		}
	}
	s, err = c.open(ctx, op, cfg, pull.Config{
		MaxMessages: n, StopAfter: n, MaxBytes: cfg.bytes, Heartbeat: max(cfg.heartbeat, 0),
		Once: true, NoWait: cfg.noWait, Deadline: max(wait, time.Millisecond),
	}, nil)
	return s, clipped, err
}

// Next asks for one message and waits for it until ctx ends, whatever happens to
// links and servers in between. With MaxWait or NoWait it waits for less, and
// fails with ErrNoMessages. It asks when it is called; Receiver pulls ahead.
func (c *Consumer) Next(ctx context.Context, opts ...FetchOption) (*Msg, error) {
	const op = "next of"
	fail := func(err error) (*Msg, error) { return nil, c.failed(op, err) }
	cfg, err := newPullConfig(opts)
	if err != nil {
		return fail(err)
	}
	var s *session
	clipped := false
	if cfg.maxWait > 0 || cfg.noWait {
		s, clipped, err = c.openFetch(ctx, op, 1, opts)
	} else {
		s, err = c.openNext(ctx, op, cfg)
	}
	if err != nil {
		return nil, err
	}
	defer s.stop()
	m, err := s.next(ctx)
	if errors.Is(err, ErrConsumptionEnded) {
		if clipped {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return fail(ErrNoMessages)
	}
	return m, err
}

// openNext begins a session for one message, without an end.
func (c *Consumer) openNext(ctx context.Context, op string, cfg pullConfig) (*session, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	cfg.messages, cfg.stopAfter = 1, 1
	if err := cfg.ahead(false); err != nil {
		return nil, c.failed(op, err)
	}
	return c.open(ctx, op, cfg, cfg.machine(), nil)
}

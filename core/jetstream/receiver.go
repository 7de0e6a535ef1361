package jetstream

import (
	"context"
	"errors"
	"iter"

	"github.com/perigee-go/nats/core/internal/pull"
)

// machine is the machine's part of the configuration of a session that pulls
// ahead.
func (c *pullConfig) machine() pull.Config {
	return pull.Config{
		MaxMessages: c.messages, MaxBytes: c.bytes, Threshold: c.threshold,
		Expiry: c.expiry, Heartbeat: max(c.heartbeat, 0),
		StopAfter: c.stopAfter, EndOnSilence: c.endOnSilence,
	}
}

// openAhead begins a session that pulls ahead.
func (c *Consumer) openAhead(op string, opts []PullOption, handler func(*Msg)) (*session, error) {
	cfg, err := newPullConfig(opts)
	if err == nil {
		err = cfg.ahead(handler != nil)
	}
	if err != nil {
		return nil, c.failed(op, err)
	}
	return c.open(context.Background(), op, cfg, cfg.machine(), handler)
}

// Receiver is an open session that pulls ahead, for loops that are not yours:
// Next takes one message after the other. Safe for concurrent use.
type Receiver struct{ s *session }

// Receiver begins to pull ahead. It goes on until Stop, Drain, or the end of the
// connection or the consumer, whatever happens to links and servers in between;
// ErrorHandler is told of that.
func (c *Consumer) Receiver(opts ...PullOption) (*Receiver, error) {
	s, err := c.openAhead("receiver of", opts, nil)
	if err != nil {
		return nil, err
	}
	return &Receiver{s}, nil
}

// Next takes the next message, and waits for it until ctx ends. When the session
// is over and everything was taken it returns why: ErrConsumerDeleted and its
// like, nats.ErrClosed, or ErrConsumptionEnded after Stop, Drain and StopAfter.
func (r *Receiver) Next(ctx context.Context) (*Msg, error) {
	switch {
	case r == nil || r.s == nil:
		return nil, errNoHandle
	case ctx == nil:
		return nil, errNilContext
	}
	return r.s.next(ctx)
}

// Messages is Next in a loop, until ctx ends, whose error comes last, or the
// session does: silently if it was stopped, drained, or is used up. break leaves
// the Receiver open.
func (r *Receiver) Messages(ctx context.Context) iter.Seq2[*Msg, error] {
	return func(yield func(*Msg, error) bool) {
		for {
			m, err := r.Next(ctx)
			if errors.Is(err, ErrConsumptionEnded) {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Drain asks for no more, and returns when everything that came was taken with
// Next. A ctx without a deadline gets the connection's DrainTimeout for what is
// on its way.
func (r *Receiver) Drain(ctx context.Context) error {
	if r == nil {
		return errNoHandle
	}
	return r.s.drain(ctx)
}

// Stop ends the session. What was read ahead and not taken is handed back, so
// that it is delivered again, here or elsewhere, without waiting for AckWait.
func (r *Receiver) Stop() {
	if r != nil && r.s != nil {
		r.s.stop()
	}
}

// Messages pulls ahead and yields messages: one session, from the beginning of
// the loop to its end. It ends with ctx, whose error comes last; with the
// consumer (ErrConsumerDeleted); and silently after StopAfter, or when the
// connection drains. break hands back what was read ahead.
//
//	for msg, err := range consumer.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		_ = msg.Ack()
//	}
func (c *Consumer) Messages(ctx context.Context, opts ...PullOption) iter.Seq2[*Msg, error] {
	return func(yield func(*Msg, error) bool) {
		r, err := c.Receiver(opts...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Stop()
		r.Messages(ctx)(yield)
	}
}

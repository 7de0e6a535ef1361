package jetstream

import "context"

var errNilHandler = &OptionError{"handler", "is nil"}

// Consumption is a running Consume. Safe for concurrent use.
type Consumption struct{ s *session }

// Consume pulls ahead and calls handler with each message, one at a time and in
// order unless Concurrency says otherwise. It goes on until Stop, Drain, or the
// end of the connection or the consumer, whatever happens to links and servers in
// between; ErrorHandler is told of that.
func (c *Consumer) Consume(handler func(*Msg), opts ...PullOption) (*Consumption, error) {
	const op = "consume"
	if handler == nil {
		return nil, c.failed(op, errNilHandler)
	}
	s, err := c.openAhead(op, opts, handler)
	if err != nil {
		return nil, err
	}
	return &Consumption{s}, nil
}

// Drain asks for no more, and returns when the handler is done with everything
// that came. Pulls that the server is answering are waited for, until it has been
// silent for a quarter of a second, at most for 2 s. A ctx without a deadline gets
// the connection's DrainTimeout; if it ends first its error is returned and the
// draining goes on. Not from the handler, which it waits for.
func (c *Consumption) Drain(ctx context.Context) error {
	if c == nil {
		return errNoHandle
	}
	return c.s.drain(ctx)
}

// Stop ends the session and does not wait for the handler. What was read ahead is
// handed back, so that it is delivered again, here or elsewhere, without waiting
// for AckWait; what stands behind a handler that runs, when that returns. It does
// not block, but while messages come, for at most a quarter of a second.
func (c *Consumption) Stop() {
	if c != nil && c.s != nil {
		c.s.stop()
	}
}

// Done is closed when it is over and the last handler has returned.
func (c *Consumption) Done() <-chan struct{} {
	if c == nil || c.s == nil {
		return alreadyOver
	}
	return c.s.sub.Done()
}

var alreadyOver = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Err says why it is over: ErrConsumerDeleted and its like, or nats.ErrClosed. It
// is nil before, and after Stop, Drain and StopAfter.
func (c *Consumption) Err() error {
	if c == nil || c.s == nil {
		return errNoHandle
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if !c.s.over {
		return c.s.failed(c.s.sub.Err())
	}
	return c.s.err
}

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// An eventLog keeps what the connection tells, in order.
type eventLog struct {
	mu      sync.Mutex
	events  []nats.Event
	changed chan struct{} // closed when there is more
}

func newEventLog() *eventLog { return &eventLog{changed: make(chan struct{})} }

// record is an EventHandler.
func (l *eventLog) record(_ *nats.Conn, e nats.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

// waitFor returns the last event of type E, and waits until there is one that
// fits.
func waitFor[E nats.Event](ctx context.Context, l *eventLog, fits func(E) bool) (E, error) {
	for {
		l.mu.Lock()
		for i := len(l.events) - 1; i >= 0; i-- {
			if e, ok := l.events[i].(E); ok && fits(e) {
				l.mu.Unlock()
				return e, nil
			}
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			var none E
			return none, fmt.Errorf("no event %T: %w", none, ctx.Err())
		}
	}
}

// slowConsumer blocks a handler whose queue takes 100 messages. The client
// says what it drops, and nobody else has to wait.
func slowConsumer(ctx context.Context, d *demo) error {
	const messages, limit = 1_000, 100
	gate := make(chan struct{})
	slow, err := d.nc.Subscribe(d.subject("feed"), func(nats.Msg) { <-gate }, nats.PendingLimits(limit, -1))
	if err != nil {
		return err
	}
	quick, err := d.nc.SubscribeSync(d.subject("feed"))
	if err != nil {
		return err
	}
	for range messages {
		if err := d.nc.Publish(d.subject("feed"), nil); err != nil {
			return err
		}
	}
	d.published += messages
	for range messages {
		if _, err := quick.Next(ctx); err != nil {
			return err
		}
	}
	told, err := waitFor(ctx, d.events, func(e nats.SlowConsumer) bool { return e.Subscription == slow })
	if err != nil {
		return err
	}
	stats := slow.Stats()
	d.out.line("told", "%T: %d dropped so far", told, told.Dropped)
	d.out.line("slow", "%s received = %s dropped + %s waiting", count(stats.Received), count(stats.Dropped), count(stats.PendingMsgs))
	d.out.line("quick", "%s received, all taken meanwhile", count(quick.Stats().Delivered))
	close(gate)
	if err := slow.Drain(ctx); err != nil {
		return err
	}
	stats = slow.Stats()
	d.out.line("in the end", "%s received = %s dropped + %s handled", count(stats.Received), count(stats.Dropped), count(stats.Delivered))
	if stats.Received != messages || stats.Dropped+stats.Delivered != messages || stats.Dropped == 0 {
		return fmt.Errorf("the counters are wrong: %+v", stats)
	}
	return quick.Unsubscribe()
}

// restart restarts what is ours to restart.
func restart(ctx context.Context, d *demo) error {
	switch {
	case d.cluster != nil:
		return rollingRestart(ctx, d)
	case d.server != nil:
		return serverRestart(ctx, d)
	}
	d.out.line("why", "a server of yours is not ours to stop; run without -url to see this")
	return errSkipped
}

// serverRestart stops the server under a publisher that goes on, and starts it
// again. What is published meanwhile waits in the client.
func serverRestart(ctx context.Context, d *demo) error {
	var arrived sync.Map // the numbers that came back
	sub, err := d.nc.Subscribe(d.subject("ticks"), func(m nats.Msg) { arrived.Store(string(m.Data), true) })
	if err != nil {
		return err
	}
	p := startPublisher(d.nc, d.subject("ticks"))
	defer p.stop()

	if err := p.wait(ctx, 100); err != nil {
		return err
	}
	// What is confirmed here can no longer become unknown.
	if err := d.nc.Flush(ctx); err != nil {
		return err
	}
	begin := time.Now()
	d.server.Shutdown()
	lost, err := waitFor(ctx, d.events, func(nats.Disconnected) bool { return true })
	if err != nil {
		return err
	}
	first := p.count() + 1 // surely published without a server
	if err := p.wait(ctx, 300); err != nil {
		return err
	}
	last, waiting := p.count()-1, d.nc.Stats().OutBuffered
	status := d.nc.Status()

	if err := d.server.Restart(); err != nil {
		return err
	}
	back, err := waitFor(ctx, d.events, func(nats.Reconnected) bool { return true })
	if err != nil {
		return err
	}
	down := time.Since(begin)
	if err := p.wait(ctx, 100); err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	total := p.count()
	d.published += total
	if err := sub.Drain(ctx); err != nil {
		return err
	}

	missing, missingDown := 0, 0
	for i := range total {
		if _, ok := arrived.Load(fmt.Sprint(i)); !ok {
			missing++
			if i >= first && i <= last {
				missingDown++
			}
		}
	}
	d.out.line("stopped", "%v", lost.Err)
	d.out.line("meanwhile", "%s, %s messages wait in the client", status, count(waiting))
	d.out.line("started", "%v", back)
	d.out.line("gone for", "%s", duration(down))
	d.out.line("published", "%s, at least %s of them without a server", count(total), count(last-first+1))
	d.out.line("arrived", "%s; under way when the server stopped: %d, of them lost: %d", count(total-missing), lost.Unknown, missing)
	switch {
	case missingDown > 0:
		return fmt.Errorf("%d messages published while the server was down did not arrive", missingDown)
	case missing > lost.Unknown:
		return fmt.Errorf("%d messages did not arrive, but only %d are reported as unknown", missing, lost.Unknown)
	}
	return nil
}

// A publisher sends numbers, a thousand a second.
type publisher struct {
	mu      sync.Mutex
	n       int
	err     error
	changed chan struct{}

	quit, done chan struct{}
	once       sync.Once
}

func startPublisher(nc *nats.Conn, subject string) *publisher {
	p := &publisher{changed: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			err := nc.Publish(subject, fmt.Append(nil, i))
			p.mu.Lock()
			if err == nil {
				p.n++
			}
			p.err = err
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-p.quit:
				return
			}
		}
	}()
	return p
}

// count returns how many numbers were published.
func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// wait returns when this many more numbers are published.
func (p *publisher) wait(ctx context.Context, more int) error {
	target := p.count() + more
	for {
		p.mu.Lock()
		n, err, changed := p.n, p.err, p.changed
		p.mu.Unlock()
		if err != nil || n >= target {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages published: %w", n, target, ctx.Err())
		}
	}
}

// stop ends the publisher and returns the error that ended it before.
func (p *publisher) stop() error {
	p.once.Do(func() { close(p.quit) })
	<-p.done
	return p.err
}

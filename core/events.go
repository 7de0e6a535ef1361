package nats

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"
)

// maxEvents is how many events may wait for their handlers.
const maxEvents = 4096

// events delivers in order, on one goroutine that exists while there is
// something to deliver.
type events struct {
	mu      sync.Mutex // guards all below; never held while a handler runs
	waiting []queuedEvent
	running bool
	closed  bool // the last event is queued
	warned  bool // a loss was logged that a reconnect ends; the deliverer's
	dropped uint64
	streams map[*eventStream]struct{}
}

type queuedEvent struct {
	event    Event
	handlers []func(*Conn, Event) // of subscriptions
}

// emit queues an event. It never blocks and calls nobody.
func (nc *Conn) emit(e Event) {
	q := queuedEvent{event: e}
	if s := subscriptionOf(e); s != nil {
		if s.onEvent != nil {
			q.handlers = append(q.handlers, s.onEvent)
		}
	} else {
		q.handlers = nc.reg.eventHandlers()
	}
	_, last := e.(Closed)

	ev := &nc.events
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.closed {
		return
	}
	ev.closed = last
	for s := range ev.streams {
		if !s.put(e, last) {
			ev.dropped++
		}
	}
	if len(ev.waiting) >= maxEvents && !last {
		ev.dropped++
		return
	}
	ev.waiting = append(ev.waiting, q)
	if !ev.running {
		ev.running = true
		go nc.deliverEvents()
	}
}

// close lets no event in.
func (ev *events) close() {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.closed = true
}

func (nc *Conn) deliverEvents() {
	ev := &nc.events
	for {
		ev.mu.Lock()
		batch := ev.waiting
		ev.waiting = nil
		if len(batch) == 0 {
			ev.running = false
			ev.mu.Unlock()
			return
		}
		ev.mu.Unlock()
		for _, q := range batch {
			if nc.cfg.onEvent != nil {
				nc.cfg.onEvent(nc, q.event)
			}
			for _, h := range q.handlers {
				h(nc, q.event)
			}
			if nc.cfg.onEvent == nil && (len(q.handlers) == 0 || subscriptionOf(q.event) == nil) {
				nc.logEvent(q.event)
			}
			if _, last := q.event.(Closed); last {
				close(nc.told)
			}
		}
	}
}

// logEvent writes what nobody handles: one line an episode. A subscription's
// handler handles what happens to the subscription, not to the connection.
func (nc *Conn) logEvent(e Event) {
	log := nc.cfg.log()
	if log == nil {
		return
	}
	level := slog.LevelDebug
	switch e := e.(type) {
	case Disconnected:
		if nc.events.warned = e.Err != nil; nc.events.warned {
			level = slog.LevelWarn
		}
	case Reconnected:
		if nc.events.warned { // the end of the episode
			level = slog.LevelInfo
		}
	case ConnectFailed:
		if e.Attempt == 1 {
			level = slog.LevelWarn
		}
	case SlowConsumer, AsyncError:
		level = slog.LevelWarn
	case SubscriptionEnded:
		if e.Err != nil && !errors.Is(e.Err, ErrClosed) { // Closed tells of that
			level = slog.LevelWarn
		}
	case Closed:
		if e.Err != nil {
			level = slog.LevelError
		}
	}
	log.LogAttrs(context.Background(), level, "nats: "+strings.TrimPrefix(e.String(), "nats: "), slog.String("connection", nc.cfg.name))
}

// eventStream is one range over Conn.Events.
type eventStream struct {
	mu      sync.Mutex
	waiting []Event
	over    bool
	wake    chan struct{} // one slot
}

func (s *eventStream) put(e Event, last bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= maxEvents && !last {
		return false
	}
	s.waiting = append(s.waiting, e)
	s.over = last
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

func (s *eventStream) take() (batch []Event, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, s.waiting = s.waiting, nil
	return batch, s.over
}

// Events yields what happens from the call of Events on. It ends with ctx,
// whose error comes last, or silently after Closed. At most 4,096 events wait
// for the loop; more are dropped and counted in Stats.
func (nc *Conn) Events(ctx context.Context) iter.Seq2[Event, error] {
	switch {
	case !nc.made():
		return failed[Event](errNilConn)
	case ctx == nil:
		return failed[Event](errNilContext)
	}
	s := &eventStream{wake: make(chan struct{}, 1)}
	ev := &nc.events
	ev.mu.Lock()
	if ev.closed {
		s.over = true
	} else {
		if ev.streams == nil {
			ev.streams = make(map[*eventStream]struct{})
		}
		ev.streams[s] = struct{}{}
	}
	ev.mu.Unlock()
	forget := func() {
		ev.mu.Lock()
		delete(ev.streams, s)
		ev.mu.Unlock()
	}
	stop := context.AfterFunc(ctx, forget) // for one that is never ranged
	return func(yield func(Event, error) bool) {
		defer stop()
		defer forget()
		for {
			batch, over := s.take()
			for _, e := range batch {
				if !yield(e, nil) {
					return
				}
			}
			if over {
				return
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// failed is a sequence that only fails.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}

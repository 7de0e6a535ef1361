package nats

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/perigee-go/nats/core/internal/queue"
	"github.com/perigee-go/nats/core/internal/wire"
)

type subKind uint8

const (
	kindHandler subKind = iota // a handler, called by workers
	kindSync                   // Next and Messages
	kindChan                   // the user's channel
	kindReader                 // a handler on the reader
	kindMux                    // replies to requests
	kindInbox                  // the reply to one request
)

// Subscription is one interest in a subject. It is over after Unsubscribe,
// Drain, AutoUnsubscribe's last message, or the end of its Conn. All methods are
// safe for concurrent use and at any time. One that no Conn made, or nil, is
// over: what can fail does, with ErrSubscriptionClosed, and the rest returns zero
// values.
type Subscription struct {
	// Fixed at the start.
	nc          *Conn
	sid         uint64
	subject     string
	queue       string
	kind        subKind
	concurrency int
	overflow    OverflowPolicy
	handler     func(Msg) // with tracing and recovery around it
	ch          chan<- Msg
	request     *pending // kindInbox
	onEvent     func(*Conn, Event)
	origin      origin

	max           atomic.Uint64 // AutoUnsubscribe; 0: none
	limitMsgs     atomic.Int64
	limitBytes    atomic.Int64
	noResubscribe atomic.Bool // draining: the next link is not told
	stopped       atomic.Bool // what waits is dropped; workers stop
	slow          atomic.Bool // the handler was seen to block; see workers

	received     atomic.Uint64 // arrived; written by the reader
	handled      atomic.Uint64 // handlers returned; kindHandler and kindReader
	handledBytes atomic.Uint64

	chain chain // the reader's

	linkBase int64 // received when the present link subscribed; guarded by registry.mu
	shadowed bool  // the link that is about to take over was told; guarded by registry.mu

	mu         sync.Mutex // guards all below
	q          queue.Queue
	pushed     uint64 // entries that ever came into q
	popped     uint64 // and that left it, to be delivered or dropped
	poppedB    uint64 // bytes of those
	discarded  uint64 // of popped: dropped when the subscription ended
	discardedB uint64
	dropped    uint64 // by overflow
	runs       []uint64
	slots      int  // workers that run it or stand in line for it
	busy       bool // kindChan: a goroutine feeds the channel; kindReader: the reader is at it
	waiting    int  // kindSync: calls of Next that wait
	closed     bool // nothing more arrives
	over       bool
	draining   bool
	err        error
	report     uint64 // drops that Next has not reported yet
	episode    uint64 // drops since the consumer was last in time
	maxMsgs    int
	maxBytes   int
	seen       uint64 // what a link that was about to take over brought
	settles    []settle

	wake      chan struct{} // kindSync: one slot
	arrived   chan struct{} // closed when nothing more arrives
	doneCh    chan struct{}
	stopFeeds chan struct{} // kindChan: closed when the pump must stop
}

// settle is somebody who waits until everything pushed before is dealt with.
type settle struct {
	target uint64
	done   chan struct{}
}

// Subject returns the subject as it was subscribed to.
func (s *Subscription) Subject() string {
	if s == nil {
		return ""
	}
	return s.subject
}

// made reports whether a Conn made it.
func (s *Subscription) made() bool { return s != nil && s.nc != nil }

// Queue returns the queue group, or "".
func (s *Subscription) Queue() string {
	if s == nil {
		return ""
	}
	return s.queue
}

// Conn returns the connection it belongs to.
func (s *Subscription) Conn() *Conn {
	if s == nil {
		return nil
	}
	return s.nc
}

// Done is closed when the subscription is over and its last handler has
// returned.
func (s *Subscription) Done() <-chan struct{} {
	if !s.made() {
		return closedChan
	}
	return s.doneCh
}

// Err says why nothing more arrives: nil while something may, and after
// Unsubscribe, Drain and AutoUnsubscribe's last message; ErrClosed when its Conn
// was closed.
func (s *Subscription) Err() error {
	if !s.made() {
		return ErrSubscriptionClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// msg makes the message of an entry.
func (s *Subscription) msg(e *queue.Entry) (m Msg) {
	s.fill(&m, e)
	return m
}

// fill makes the message of an entry in m.
func (s *Subscription) fill(m *Msg, e *queue.Entry) {
	m.Subject = e.Subject(s.subject)
	m.Reply = e.Reply()
	m.Header.wire = e.Header()
	m.Data = e.Data()
	m.origin = &s.origin
}

// Next returns the next message of a SubscribeSync subscription and waits for
// it until ctx ends. Its errors: ctx's; *SlowConsumerError, once after messages
// were dropped, and then it goes on; *PermissionError when the server refused
// the subscription; ErrSubscriptionClosed when it is over and everything was
// taken; ErrSyncSubRequired.
func (s *Subscription) Next(ctx context.Context) (Msg, error) {
	return s.next(ctx, true)
}

func (s *Subscription) next(ctx context.Context, reportSlow bool) (m Msg, err error) {
	if s == nil || s.kind != kindSync {
		return Msg{}, s.noNext()
	}
	if ctx == nil {
		return Msg{}, errNilContext
	}
	if err := ctx.Err(); err != nil {
		return Msg{}, err
	}
	s.mu.Lock()
	if s.report|uint64(s.waiting) == 0 && s.q.Len() > 1 && s.nc.cfg.tracer == nil {
		// Usual under load: another one is there, and nobody waits.
		e := s.q.Pop()
		s.popped++
		s.poppedB += uint64(e.Size())
		s.mu.Unlock()
		s.fill(&m, &e)
		return m, nil
	}
	for {
		if s.report > 0 && reportSlow {
			err := &SlowConsumerError{s.subject, s.report}
			s.report = 0
			s.mu.Unlock()
			return Msg{}, err
		}
		if s.q.Len() > 0 {
			break
		}
		if s.closed {
			err := s.endError()
			s.mu.Unlock()
			return Msg{}, err
		}
		s.waiting++
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-s.arrived:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if s.q.Len() == 0 {
			if err := ctx.Err(); err != nil {
				s.mu.Unlock()
				return Msg{}, err
			}
		}
	}
	e := s.q.Pop()
	s.popped++
	s.poppedB += uint64(e.Size())
	over := false
	if s.q.Len() == 0 {
		over = s.emptied()
	} else if s.waiting > 0 {
		s.signal()
	}
	s.mu.Unlock()
	if over {
		s.finish()
	}
	if s.nc.cfg.tracer != nil {
		return s.nc.traceNext(s, s.msg(&e)), nil
	}
	return s.msg(&e), nil
}

// noNext says why there is no Next.
func (s *Subscription) noNext() error {
	if !s.made() {
		return ErrSubscriptionClosed
	}
	return ErrSyncSubRequired
}

// endError says why there is nothing more to take; mu held.
func (s *Subscription) endError() error {
	if s.err != nil {
		return s.err
	}
	return ErrSubscriptionClosed
}

// signal wakes one call of Next; mu held. The channel has a slot.
func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Messages yields the messages of a SubscribeSync subscription until ctx ends,
// whose error comes last. It ends silently when the subscription was drained,
// unsubscribed or used up; with an error when it ended for another reason.
// break leaves the subscription open. Dropped messages are no error here: they
// are told by the SlowConsumer event and by Stats.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[Msg, error] {
	return func(yield func(Msg, error) bool) {
		for {
			m, err := s.next(ctx, false)
			switch {
			case err == nil:
				if !yield(m, nil) {
					return
				}
			case errors.Is(err, ErrSubscriptionClosed) && s.Err() == nil:
				return
			default:
				yield(Msg{}, err)
				return
			}
		}
	}
}

// Unsubscribe ends the subscription; messages that wait are dropped. A handler
// that runs is not waited for: see Done. A second call returns
// ErrSubscriptionClosed.
func (s *Subscription) Unsubscribe() error {
	if !s.made() {
		return ErrSubscriptionClosed
	}
	if s.nc.isClosed() {
		return ErrClosed
	}
	removed := s.nc.reg.remove(s)
	if removed {
		s.nc.reg.tell(s, wire.AppendUnsub(nil, s.sid, 0))
	}
	if !s.end(nil, true) && !removed {
		return ErrSubscriptionClosed
	}
	return nil
}

// AutoUnsubscribe ends the subscription after max messages, counted from its
// first one and over reconnects. If it has had as many already it ends at once;
// what waits is still delivered. The option of the same name has no race with
// messages that arrive before the call.
func (s *Subscription) AutoUnsubscribe(max int) error {
	if max < 1 {
		return &OptionError{"AutoUnsubscribe", "must be at least 1"}
	}
	if !s.made() {
		return ErrSubscriptionClosed
	}
	if s.nc.isClosed() {
		return ErrClosed
	}
	if !s.nc.reg.setMax(s, uint64(max)) {
		return ErrSubscriptionClosed
	}
	if s.received.Load() >= uint64(max) {
		s.nc.reg.remove(s)
		s.end(nil, false)
	}
	return nil
}

// setMax sets the limit and tells the present link what is left of it. A link
// that is about to take over is told when it does.
func (r *registry) setMax(s *Subscription, max uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir.Load().find(s.sid) != s {
		return false
	}
	s.max.Store(max)
	r.out.Control(r.epoch, s.appendMax(nil))
	return true
}

// appendMax renders what is left of the limit on the present link; registry.mu
// held.
func (s *Subscription) appendMax(b []byte) []byte {
	return wire.AppendUnsub(b, s.sid, uint64(max(int64(s.max.Load())-s.linkBase, 0)))
}

// end lets nothing more arrive; with discard, what waits is dropped too. It
// reports whether this call ended it. The registry was told before.
func (s *Subscription) end(err error, discard bool) bool {
	s.mu.Lock()
	first := !s.closed
	if first {
		s.closed = true
		s.err = err
		close(s.arrived)
	}
	if discard && !s.stopped.Load() {
		s.stopped.Store(true)
		if s.stopFeeds != nil {
			close(s.stopFeeds)
		}
		s.discardQueue()
	}
	over := s.checkOver()
	s.mu.Unlock()
	if over {
		s.finish()
	}
	return first
}

// discardQueue drops what waits; mu held.
func (s *Subscription) discardQueue() {
	n, b := s.q.Len(), s.q.Bytes()
	s.q.Clear()
	s.popped += uint64(n)
	s.poppedB += uint64(b)
	s.discarded += uint64(n)
	s.discardedB += uint64(b)
	// What workers have in hand will not be handled either, but for the one
	// message each that they are at. That is written off at once; runEnds
	// makes it exact.
	if msgs, bytes := s.pending(); msgs > uint64(len(s.runs)) {
		lost := msgs - uint64(len(s.runs))
		s.discarded += lost
		s.discardedB += bytes * lost / msgs
	}
	s.notifySettled()
}

// checkOver reports whether this is the moment at which it is over; mu held.
func (s *Subscription) checkOver() bool {
	if s.over || !s.closed || s.q.Len() > 0 || len(s.runs) > 0 || s.busy {
		return false
	}
	s.over = true
	return true
}

// internal reports whether no user made it.
func (s *Subscription) internal() bool { return s.kind >= kindMux }

// finish does what is due once, when the subscription is over; no lock held.
func (s *Subscription) finish() {
	s.nc.reg.retire(s)
	if !s.internal() {
		// First, so that who waits for Done and closes the Conn finds it told.
		s.nc.emit(SubscriptionEnded{s, s.Err()})
	}
	close(s.doneCh)
}

// emptied is called when the last waiting entry was taken, and reports whether
// the subscription is over; mu held.
func (s *Subscription) emptied() (over bool) {
	s.notifySettled()
	if s.episode > 0 {
		// emit takes no lock but its own for a subscription's event.
		s.nc.emit(SlowConsumer{s, s.episode, true})
		s.episode = 0
	}
	return s.checkOver()
}

// settled is how many entries, in order of arrival, are dealt with: delivered
// with the handler returned, or dropped; mu held.
func (s *Subscription) settled() uint64 {
	n := s.popped
	for _, start := range s.runs {
		n = min(n, start)
	}
	return n
}

// notifySettled releases those whose wait is over; mu held.
func (s *Subscription) notifySettled() {
	if len(s.settles) == 0 {
		return
	}
	n := s.settled()
	rest := s.settles[:0]
	for _, w := range s.settles {
		if n >= w.target {
			close(w.done)
		} else {
			rest = append(rest, w)
		}
	}
	s.settles = rest
}

// awaitSettled returns a channel that is closed when everything that has
// arrived by now is dealt with; nil if it is.
func (s *Subscription) awaitSettled() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled() >= s.pushed {
		return nil
	}
	w := settle{s.pushed, make(chan struct{})}
	s.settles = append(s.settles, w)
	return w.done
}

// SetPendingLimits changes the limits: messages, and bytes of header and
// payload; below 0 there is none, 0 is an *OptionError.
func (s *Subscription) SetPendingLimits(msgs, bytes int) error {
	if msgs == 0 || bytes == 0 {
		return &OptionError{"PendingLimits", "0 is no limit; use a value below 0 for none"}
	}
	if !s.made() {
		return ErrSubscriptionClosed
	}
	s.limitMsgs.Store(int64(msgs))
	s.limitBytes.Store(int64(bytes))
	return nil
}

// SubStats is the ledger of one subscription:
//
//	Received = Delivered + Dropped + PendingMsgs
//
// A message that a handler works on is pending until the handler has returned;
// under load that is counted in strides of at most 256 messages.
type SubStats struct {
	Received, Delivered, Dropped    uint64
	PendingMsgs, PendingBytes       int
	MaxPendingMsgs, MaxPendingBytes int
	LimitMsgs, LimitBytes           int
	Active                          bool // messages may still arrive
	Draining                        bool
}

// Stats returns the subscription's counters.
func (s *Subscription) Stats() SubStats {
	if !s.made() {
		return SubStats{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := SubStats{
		Dropped:        s.dropped + s.discarded,
		MaxPendingMsgs: s.maxMsgs, MaxPendingBytes: s.maxBytes,
		LimitMsgs: int(s.limitMsgs.Load()), LimitBytes: int(s.limitBytes.Load()),
		Active: !s.closed, Draining: s.draining,
	}
	msgs, bytes := s.pending()
	st.PendingMsgs, st.PendingBytes = int(msgs), int(bytes)
	if s.kind == kindReader {
		st.Delivered = s.handled.Load()
		st.Received = st.Delivered
		return st
	}
	st.Received = s.pushed + s.dropped
	st.Delivered = st.Received - st.Dropped - msgs
	return st
}

// pending is what waits or is being worked on; mu held.
func (s *Subscription) pending() (msgs, bytes uint64) {
	if s.kind == kindReader {
		return 0, 0
	}
	msgs, bytes = uint64(s.q.Len()), uint64(s.q.Bytes())
	if s.kind == kindHandler || s.kind == kindChan {
		msgs += s.popped - s.discarded - s.handled.Load()
		bytes += s.poppedB - s.discardedB - s.handledBytes.Load()
	}
	return msgs, bytes
}

// ClearMaxPending starts the high-water marks of Stats anew.
func (s *Subscription) ClearMaxPending() {
	if !s.made() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxMsgs, s.maxBytes = 0, 0
}

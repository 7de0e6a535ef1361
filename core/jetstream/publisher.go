package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/window"
)

// publisher is a handle's window of asynchronous publishes: one inbox
// subscription, one window.Machine that decides, and one goroutine, the runner,
// that exists while there is something to wait for. Publishes go to the link on
// their callers' goroutines, as long as all is well; the runner sends what was
// held up. Answers come on the connection's workers.
type publisher struct {
	js   *JetStream
	base time.Time

	opening sync.Mutex // held while the subscription is made; before mu

	mu      sync.Mutex // guards all below; never held across a publish or user code
	machine *window.Machine
	slots   []pubSlot // the machine's
	prefix  string    // of reply subjects; fixed once there is a subscription
	sub     *nats.Subscription
	unhook  func()     // of OnDrain
	link    *nats.Link // nil: none
	lostBy  error      // what ended the last one
	failure error      // nothing can be published any more
	arrived uint64     // what the subscription has brought
	barrier uint64     // the runner waits until that much has arrived; 0: it does not

	running bool          // there is a runner
	alarm   timeOf        // when it wakes by itself
	wake    chan struct{} // one slot

	futures []PubAckFuture // room for the next ones
	memory  []byte         // and for their data
	subject string         // of the last one

	waits
	telling
	last PubAck // the worker's: the last receipt, for its strings
}

type timeOf = time.Duration

// pubSlot is what the shell knows of a slot of the machine.
type pubSlot struct {
	future *PubAckFuture
	begun  uint64 // of the present attempt; see sequences
	reply  []byte // memory of its reply subject
	err    error  // of the last attempt that was answered
	trace  *publishTrace
}

func newPublisher(js *JetStream) *publisher {
	p := &publisher{js: js, machine: window.New()}
	p.low = js.cfg.window * 3 / 4
	return p
}

// now is the machine's time. It does not begin at 0.
func (p *publisher) now() timeOf { return time.Since(p.base) + time.Hour }

func (p *publisher) slot(i int) *pubSlot {
	for i >= len(p.slots) {
		p.slots = append(p.slots, pubSlot{})
	}
	return &p.slots[i]
}

const (
	futuresAtOnce = 64
	memoryAtOnce  = 8 << 10
	maxShared     = 2 << 10 // larger data has memory of its own
)

// newFuture makes the future of a publish, and the copy of what its caller may
// change; mu held.
func (p *publisher) newFuture(o *outgoing) *PubAckFuture {
	if len(p.futures) == 0 {
		p.futures = make([]PubAckFuture, futuresAtOnce)
	}
	f := &p.futures[0]
	p.futures = p.futures[1:]
	f.made, f.msg.Header = true, o.msg.Header
	if o.msg.Subject != p.subject {
		p.subject = strings.Clone(o.msg.Subject)
	}
	f.msg.Subject = p.subject
	if data := o.msg.Data; data != nil {
		f.msg.Data = p.keep(data)
	}
	return f
}

func (p *publisher) keep(data []byte) []byte {
	n := len(data)
	if n > maxShared {
		return append(make([]byte, 0, n), data...)
	}
	if n > len(p.memory) {
		p.memory = make([]byte, memoryAtOnce)
	}
	b := p.memory[:n:n]
	p.memory = p.memory[n:]
	copy(b, data)
	return b
}

// begin sees to it that there are a subscription and a runner; mu held, and given
// up meanwhile.
func (p *publisher) begin() error {
	p.mu.Unlock()
	p.opening.Lock()
	defer p.mu.Lock()
	defer p.opening.Unlock()
	if err := p.subscribe(); err != nil {
		return notSent{err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running {
		p.running = true
		p.alarm = window.Never
		p.followLink()
		go p.run()
	}
	return nil
}

// subscribe makes the subscription for receipts, unless it lives; opening held.
func (p *publisher) subscribe() error {
	p.mu.Lock()
	sub, prefix := p.sub, p.prefix
	p.mu.Unlock()
	if sub != nil {
		select {
		case <-sub.Done():
			p.subscriptionEnded(sub)
		default:
			return nil
		}
	}
	nc := p.js.nc
	if prefix == "" {
		prefix = nc.NewInbox() + "."
	}
	p.mu.Lock()
	if p.prefix == "" {
		p.prefix, p.base, p.wake = prefix, time.Now(), make(chan struct{}, 1)
	}
	p.mu.Unlock()
	// There are no more answers than publishes in the window.
	sub, err := nc.Subscribe(prefix+"*", p.answer, nats.PendingLimits(-1, -1), nats.Concurrency(1), nats.EventHandler(p.event))
	if err != nil {
		return err
	}
	unhook := nc.OnDrain(p.drain)
	p.mu.Lock()
	p.sub, p.unhook, p.arrived, p.barrier = sub, unhook, 0, 0
	p.mu.Unlock()
	return nil
}

// subscriptionEnded takes note that no more answers come.
func (p *publisher) subscriptionEnded(sub *nats.Subscription) {
	p.mu.Lock()
	if p.sub != sub {
		p.mu.Unlock()
		return
	}
	unhook := p.unhook
	p.sub, p.unhook = nil, nil
	p.cause = sub.Err()
	if p.cause == nil {
		p.cause = nats.ErrDraining
	}
	p.machine.FailAll()
	p.settleDone()
	p.mu.Unlock()
	unhook()
}

// drain is called when the connection drains.
func (p *publisher) drain(ctx context.Context) error {
	return opError(p.wait(ctx), "wait for receipts", "")
}

// answer is the subscription's handler.
func (p *publisher) answer(m nats.Msg) {
	var token window.Token
	ok := len(m.Subject) > len(p.prefix)
	if ok {
		token, ok = window.ParseToken(m.Subject[len(p.prefix):])
	}
	ack, err := p.read(m)
	p.mu.Lock()
	p.arrived++
	if p.arrived == p.barrier {
		p.wakeRunner()
	}
	if ok {
		p.take(token, ack, err)
	}
	p.settleDone()
	p.wakeIfReady()
	p.mu.Unlock()
}

// read is DecodePubAck, without allocating what the last receipt had, too.
func (p *publisher) read(m nats.Msg) (PubAck, error) {
	if m.Header.Len() == 0 {
		if ack, ok := parsePubAck(m.Data, &p.last); ok {
			p.last = ack
			return ack, nil
		}
	}
	return DecodePubAck(m)
}

// take gives an answer to its publish; mu held.
func (p *publisher) take(t window.Token, ack PubAck, err error) {
	i, present, ok := p.machine.Find(t)
	if !ok {
		return // late
	}
	s := &p.slots[i]
	if err == nil {
		p.machine.Stored(i)
		if present && p.js.sequences.acked(s.begun, ack) {
			err = opError(ErrStreamRegressed, "publish to", s.future.msg.Subject)
		}
		p.settle(s, ack, err)
		return
	}
	if !present {
		return // of an attempt that was given up
	}
	unknown := p.machine.Unknown(i)
	if p.machine.Failed(i, outcome(err), p.now(), rand.Float64(), p.sameSubject) {
		s.err = err
		return
	}
	p.fail(s, verdict(unknown, nil, err))
}

func (p *publisher) sameSubject(a, b int) bool {
	return p.slots[a].future != nil && p.slots[b].future != nil &&
		p.slots[a].future.msg.Subject == p.slots[b].future.msg.Subject
}

// settle ends a publish; mu held.
func (p *publisher) settle(s *pubSlot, ack PubAck, err error) {
	f := s.future
	s.future = nil
	f.settle(ack, err)
	p.tell(f, ack, err, s.trace)
	s.trace, s.err = nil, nil
	p.changed()
}

func (p *publisher) fail(s *pubSlot, err error) {
	p.settle(s, PubAck{}, opError(err, "publish to", s.future.msg.Subject))
}

// settleDone ends what the machine has settled; mu held.
func (p *publisher) settleDone() {
	if !p.machine.Settled() {
		return
	}
	for _, d := range p.machine.Take() {
		s := &p.slots[d.Slot]
		p.fail(s, p.doneError(d, s))
	}
}

var (
	errOvertaken = errors.New("not tried again, because what was published later may be stored")
	errNoRoom    = errors.New("no room")
)

// doneError is the error of a publish that the machine has settled; mu held.
func (p *publisher) doneError(d window.Done, s *pubSlot) error {
	err, cause := s.err, error(nil)
	switch d.Why {
	case window.Expired:
		cause = ackTimeout{}
		if p.link == nil {
			cause = both{nats.ErrDisconnected, cause}
		}
	case window.LinkLost:
		cause = p.lostBy
	case window.Overtaken:
		cause = errOvertaken
		if err == nil {
			err = errUnanswered
		}
	case window.Unheard:
		if err == nil {
			err = noStream(&nats.NoRespondersError{Subject: s.future.msg.Subject})
		}
	case window.Unheeded:
		cause = errUnanswered
	case window.Closed:
		cause = nats.ErrClosed
	case window.Failed:
		cause = p.cause
	}
	switch {
	case d.Unknown && cause == nil:
		return both{nats.ErrOutcomeUnknown, err}
	case d.Unknown:
		return both{nats.ErrOutcomeUnknown, cause}
	case err == nil:
		return notSent{cause}
	case cause == nil:
		return err
	}
	return both{err, cause}
}

// ackTimeout is the end of a publish's time. It is a context.DeadlineExceeded.
type ackTimeout struct{}

func (ackTimeout) Error() string        { return "AckTimeout is over" }
func (ackTimeout) Is(target error) bool { return target == context.DeadlineExceeded }
func (ackTimeout) Timeout() bool        { return true }

// event hears of publishes that the server does not permit.
func (p *publisher) event(_ *nats.Conn, e nats.Event) {
	async, ok := e.(nats.AsyncError)
	if !ok {
		return
	}
	var refused *nats.PermissionError
	if !errors.As(async.Err, &refused) || refused.Operation != "publish" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.machine.Fail(func(i int) bool {
		s := &p.slots[i]
		return s.future.msg.Subject == refused.Subject || string(s.reply) == refused.Subject
	})
	if i >= 0 {
		p.fail(&p.slots[i], refused)
		p.wakeIfReady()
	}
}

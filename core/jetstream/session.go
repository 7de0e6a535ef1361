package jetstream

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/pull"
)

// session is what Fetch, Next, Messages, Receiver and Consume stand on: one inbox
// subscription, one pull.Machine that decides, and one timer. It has no goroutine
// of its own. The machine is told what happens by the connection's workers
// (messages and statuses), by its events (links), by the timer, and by whoever
// takes messages; each of them then does what it says.
//
// Messages go to the handler on the worker that has them, or into a queue.
type session struct {
	stream   *Stream
	handle   *Consumer
	nc       *nats.Conn
	consumer string
	cfg      pullConfig
	handler  func(*Msg) // nil: into the queue
	keeps    bool       // the server does not expect acknowledgements: nothing can be handed back
	subject  string     // of pulls
	prefix   string     // of their reply subjects
	began    time.Time
	// streamBorn is when the stream was made, as its handle knows it; or zero.
	streamBorn time.Time

	mu      sync.Mutex // guards all below; never held across a publish or user code
	sub     *nats.Subscription
	machine *pull.Machine
	items   uint64 // taken from the subscription
	queue   msgQueue
	waiting int                // calls of next
	timer   *time.Timer        // calls tick
	due     time.Duration      // when it does
	stopped bool               // what arrives is handed back
	over    bool               // nothing more is given out but what is queued
	err     error              // why; nil for a regular end
	leaving bool               // the subscription is given up, or has ended
	left    bool               // and the server was told
	back    []*Msg             // to be handed back then
	gone    error              // what was found out about a consumer that is missing
	cancel  context.CancelFunc // of that

	wake  chan struct{} // one slot
	ended chan struct{} // closed with over
	taken chan struct{} // closed when over, and the queue is empty
	apart chan struct{} // closed with left, when what is in back was handed back
}

// nobodys reports whether nothing of this package made the handle.
func (c *Consumer) nobodys() bool {
	return c == nil || c.stream == nil || c.stream.js == nil || c.stream.js.nc == nil
}

func (c *Consumer) failed(op string, err error) error {
	if c.nobodys() {
		return errNoHandle
	}
	return call{op: op, stream: c.stream.name, consumer: c.name}.failed(err)
}

const never = time.Duration(math.MaxInt64)

// open begins a session. It pulls at once if there is a link.
func (c *Consumer) open(op string, cfg pullConfig, machine pull.Config, handler func(*Msg)) (*session, error) {
	fail := func(err error) (*session, error) { return nil, c.failed(op, err) }
	if c.nobodys() {
		return nil, errNoHandle
	}
	js := c.stream.js
	if err := errors.Join(checkStreamName(c.stream.name), checkConsumerName(c.name)); err != nil {
		return fail(err)
	}
	info := c.info.Load()
	s := &session{
		stream: c.stream, handle: c, nc: js.nc, consumer: c.name, cfg: cfg, handler: handler,
		keeps:   info != nil && info.Config.AckPolicy == AckNonePolicy,
		subject: js.APISubject("CONSUMER.MSG.NEXT." + c.stream.name + "." + c.name),
		prefix:  js.nc.NewInbox() + ".",
		began:   time.Now(),
		due:     never,
		wake:    make(chan struct{}, 1), ended: make(chan struct{}), taken: make(chan struct{}), apart: make(chan struct{}),
	}
	if known := c.stream.info.Load(); known != nil {
		s.streamBorn = known.Created
	}
	machine.Seed = rand.Uint64()
	if machine.Once {
		machine.Deadline += s.now()
	}
	s.machine = pull.New(machine)
	// Nothing that was pulled is dropped: the machine sees to it that there is
	// not too much.
	sub, err := s.nc.Subscribe(s.prefix+"*", s.arrive,
		nats.PendingLimits(-1, -1), nats.Concurrency(cfg.concurrency), nats.EventHandler(s.event))
	if err != nil {
		return fail(err)
	}
	s.mu.Lock()
	s.sub = sub
	if s.nc.Status() == nats.StatusConnected {
		s.linkUp()
	}
	s.mu.Unlock()
	js.sessions.add(s)
	if !sub.Stats().Active { // it has ended already, and perhaps nobody will tell
		s.subscriptionEnded()
	}
	s.step()
	return s, nil
}

// now is the machine's time. It does not begin at 0, which stands for never.
func (s *session) now() time.Duration { return time.Since(s.began) + time.Hour }

// world is what the machine looks at; mu held. What a worker has in hand counts
// as pending until later, so the messages are counted here.
func (s *session) world(up bool) pull.World {
	st := s.sub.Stats()
	w := pull.World{Up: up, Queued: int(st.Received - s.items), Arrived: st.Received}
	if w.Queued > 0 {
		w.QueuedBytes = st.PendingBytes
	}
	return w
}

// linkUp tells the machine of a link; mu held.
func (s *session) linkUp() {
	w := s.world(true)
	s.machine.LinkUp(s.now(), w.Queued, w.QueuedBytes)
}

// step does what the machine says, until it says wait, or that it is over.
func (s *session) step() {
	for {
		s.mu.Lock()
		if s.leaving && s.over {
			s.mu.Unlock()
			return
		}
		a := s.machine.Next(s.now())
		switch a.Kind {
		case pull.Wait:
			s.arm(a.At)
			s.mu.Unlock()
			return
		case pull.End:
			err := reasonError(a.Reason, a.Text)
			if a.Reason == pull.ConsumerGone {
				err = errors.Join(err, s.gone)
			}
			s.finish(err)
			s.mu.Unlock()
			s.leave()
			return
		}
		s.mu.Unlock()
		switch a.Kind {
		case pull.Leave:
			s.leave()
		case pull.Pull:
			s.pull(a.Request)
		case pull.Tell:
			s.tell(reasonError(a.Reason, a.Text))
		case pull.Check:
			s.check()
		}
	}
}

// arm sees to it that tick is called at a point in time, or before; mu held.
func (s *session) arm(at time.Duration) {
	if at >= s.due {
		return
	}
	s.due = at
	if d := at - s.now(); s.timer == nil {
		s.timer = time.AfterFunc(d, s.tick)
	} else {
		s.timer.Reset(d)
	}
}

// tick is the timer.
func (s *session) tick() {
	up := s.nc.Status() == nats.StatusConnected
	s.mu.Lock()
	s.due = never
	if s.leaving && s.over {
		s.mu.Unlock()
		return
	}
	w := s.world(up)
	s.machine.Tick(s.now(), w)
	s.mu.Unlock()
	select {
	case <-s.sub.Done():
		s.subscriptionEnded() // and nobody told
	default:
	}
	s.step()
}

// roomPatience is how long a pull waits for room in the outbox: whoever brings
// the news that leads to it has a context of its own, or is a worker of the
// connection. Without room it is tried again later.
const roomPatience = 25 * time.Millisecond

// pull sends a request.
func (s *session) pull(r pull.Request) {
	m := nats.Msg{
		Subject: s.subject,
		Reply:   s.prefix + strconv.FormatUint(r.Token, 10),
		Data:    appendRequest(make([]byte, 0, 128), r),
	}
	ctx, cancel := context.WithTimeout(context.Background(), roomPatience)
	defer cancel()
	var op *nats.Operation
	tracer := s.nc.Tracer()
	if tracer != nil {
		op = &nats.Operation{
			Kind: nats.OpPull, Conn: s.nc, Subject: m.Subject, Stream: s.stream.name, Consumer: s.consumer,
			Header: &m.Header, Size: len(m.Data), Count: r.Batch,
		}
		ctx = tracer.Start(ctx, op)
	}
	err := s.nc.PublishMsg(ctx, m)
	if tracer != nil {
		tracer.End(ctx, op, err)
	}
	if err == nil {
		return
	}
	s.mu.Lock()
	s.machine.Failed(s.now(), r.Token)
	over := s.over
	s.mu.Unlock()
	if !over {
		s.tell(err)
	}
}

// tell is for what the session heals.
func (s *session) tell(err error) {
	err = s.failed(err)
	if s.cfg.onError != nil {
		s.cfg.onError(err)
		return
	}
	if log := s.nc.Logger(); log != nil {
		log.LogAttrs(context.Background(), slog.LevelDebug, err.Error())
	}
}

func (s *session) failed(err error) error {
	return call{op: "pull from", stream: s.stream.name, consumer: s.consumer}.failed(err)
}

// check asks for the consumer: when nobody answers for it, whether it exists; when
// its numbers begin again, whether it is another one.
func (s *session) check() {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		cancel()
		return
	}
	s.cancel = cancel
	s.mu.Unlock()
	go func() {
		defer cancel()
		info, err := s.stream.consumerInfo(ctx, s.consumer)
		gone := errors.Is(err, ErrConsumerNotFound) || errors.Is(err, ErrStreamNotFound)
		var before time.Time
		anew := false
		s.mu.Lock()
		s.gone = err
		s.machine.Checked(s.now(), gone, "")
		switch {
		case err == nil:
			before, anew = s.machine.Found(info.Created)
			s.handle.info.Store(info)
		case errors.Is(err, nats.ErrPermission):
			s.machine.Trust()
		}
		s.mu.Unlock()
		if anew {
			s.tellAnew(ctx, before)
		}
		s.step()
	}()
}

// tellAnew tells that the consumer is another one, and whether the stream is. A
// stream that was made later than the old consumer is not the one which that was
// of; the time that the handle knows, if any, guards against clocks that differ.
func (s *session) tellAnew(ctx context.Context, before time.Time) {
	err := ErrConsumerRecreated
	info, infoErr := s.stream.js.streamInfo(ctx, call{op: "info of stream", stream: s.stream.name}, streamQuery{})
	if infoErr == nil && info.Created.After(before) && !info.Created.Equal(s.streamBorn) {
		err = both{ErrConsumerRecreated, ErrStreamRecreated}
	}
	if ctx.Err() == nil { // else the session is over
		s.tell(err)
	}
}

// event hears of links, and of the subscription's end.
func (s *session) event(_ *nats.Conn, e nats.Event) {
	switch e := e.(type) {
	case nats.Disconnected:
		s.mu.Lock()
		s.machine.LinkDown()
		s.mu.Unlock()
	case nats.Connected, nats.Reconnected:
		s.mu.Lock()
		if s.sub != nil { // else open is about to look
			s.linkUp()
		}
		s.mu.Unlock()
	case nats.AsyncError:
		var refused *nats.PermissionError
		if !errors.As(e.Err, &refused) || refused.Operation != "publish" || refused.Subject != s.subject {
			return
		}
		s.mu.Lock()
		open := s.sub != nil // else it was another session's pull
		if open {
			s.finish(refused)
		}
		s.mu.Unlock()
		if open {
			s.leave()
		}
	case nats.SubscriptionEnded:
		s.subscriptionEnded()
		return
	default:
		return
	}
	s.step()
}

// subscriptionEnded ends a session whose subscription has ended: drained,
// refused by the server, or closed with the connection.
func (s *session) subscriptionEnded() {
	s.mu.Lock()
	open := s.sub != nil
	if open {
		s.finish(s.sub.Err())
	}
	s.mu.Unlock()
	if open {
		s.leave()
	}
	s.stream.js.sessions.remove(s)
}

// finish notes that nothing more is given out but what is queued, and why; mu
// held.
func (s *session) finish(err error) {
	if s.over {
		return
	}
	s.over = true
	s.err = s.failed(err)
	if s.leaving && s.timer != nil {
		s.timer.Stop()
	}
	close(s.ended)
	if s.queue.len() == 0 {
		close(s.taken)
	}
}

// hasEnded is a context that is over: for what is only to begin, or is not to wait.
var hasEnded = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// leave gives the subscription up. What has to be handed back follows the UNSUB:
// else the server would deliver it to our own pulls again.
func (s *session) leave() {
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		return
	}
	s.leaving = true
	if s.over && s.timer != nil { // else a fetch has its time yet
		s.timer.Stop()
	}
	if s.cancel != nil {
		s.cancel()
	}
	nothingWaits := s.over && s.handler == nil && s.machine.Quiet()
	over := s.over
	s.mu.Unlock()
	if over {
		s.stream.js.sessions.remove(s)
	}
	// They fail if the subscription has ended already.
	if nothingWaits {
		_ = s.sub.Unsubscribe()
	} else {
		_ = s.sub.Drain(hasEnded) // goes on by itself
	}
	s.mu.Lock()
	s.left = true
	back := s.back
	s.back = nil
	s.mu.Unlock()
	for _, m := range back {
		s.handBack(m)
	}
	close(s.apart)
}

// stop ends the session, and hands back what was not taken. It returns when that
// is done: at once, or when the server has been silent for a moment.
func (s *session) stop() {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	s.stopped = true
	left := s.queue.takeAll()
	if s.over && len(left) > 0 {
		close(s.taken)
	}
	if !s.left {
		s.back, left = left, nil
	}
	s.finish(nil)
	s.machine.Stop(s.now(), s.world(true))
	s.mu.Unlock()
	for _, m := range left {
		s.handBack(m)
	}
	s.step()
	<-s.apart
}

// handBack tells the server that a message was not handled. Nobody is told of
// an error: then the message comes again after AckWait.
func (s *session) handBack(m *Msg) {
	if !s.keeps {
		_ = m.Nak()
	}
}

// drain pulls no more, and returns when all that came was taken. When ctx ends
// before, it goes on without its caller.
func (s *session) drain(ctx context.Context) error {
	switch {
	case s == nil:
		return errNoHandle
	case ctx == nil:
		return errNilContext
	}
	s.mu.Lock()
	s.machine.Drain(s.now(), s.world(true))
	s.mu.Unlock()
	s.step()
	select {
	case <-s.apart: // soon, by itself
	case <-ctx.Done():
		return s.failed(context.Cause(ctx))
	}
	if err := s.sub.Drain(ctx); err != nil && !errors.Is(err, nats.ErrClosed) {
		return err
	}
	s.subscriptionEnded()
	select {
	case <-s.taken:
		return nil
	case <-ctx.Done():
		return s.failed(context.Cause(ctx))
	}
}

// sessions are those of a handle.
type sessions struct {
	dropped atomic.Uint64 // see Stats

	mu     sync.Mutex
	all    map[*session]struct{}
	unhook func()
}

func (r *sessions) add(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[*session]struct{})
	}
	r.all[s] = struct{}{}
	if r.unhook == nil {
		r.unhook = s.nc.OnDrain(r.drain)
	}
}

func (r *sessions) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, s)
	if len(r.all) == 0 && r.unhook != nil {
		r.unhook()
		r.unhook = nil
	}
}

// drain is called when the connection drains: all sessions at the same time. It
// returns when what they had was taken, by handlers too: those acknowledge.
func (r *sessions) drain(ctx context.Context) error {
	r.mu.Lock()
	var all []*session
	for s := range r.all {
		all = append(all, s)
	}
	r.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() { errs[i] = s.drain(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

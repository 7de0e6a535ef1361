package nats

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/pull"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simSession is what jetstream.session is, in a simulation: the shell around a
// pull.Machine, which is the product's, as are the subscription and all below it.
// Package jetstream stands on package nats, so its session cannot be had here;
// what it does is done here step by step, under the same names.
type simSession struct {
	c   *simClient
	nc  *Conn
	o   *sim.Consumer
	id  int
	app simApp
	cfg pull.Config

	prefix  string
	sub     *Subscription
	machine *pull.Machine
	began   time.Duration
	items   uint64 // taken from the subscription
	queue   []simPulled
	timer   *sim.Timer // calls tick
	due     time.Duration
	stopped bool        // what arrives is handed back
	over    bool        // nothing more is given out but what is queued
	leaving bool        // the subscription is given up
	left    bool        // and the server will know before what is sent from now on
	back    []simPulled // handed back then
	reason  pull.Reason
	ended   bool // by the connection, or the subscription
	drains  bool
	flushed error // the flush of the subscription's drain

	stuck []*simStuck // publishes that wait for room
	books simBooks
}

// simPulled is a message of a consumer.
type simPulled struct {
	reply string
	seq   int
	size  int
}

// simStuck is a publish that waits for room.
type simStuck struct {
	retry <-chan struct{}
	limit time.Duration // 0: none
	room  func()        // tries again
	done  func(error)
}

const simNever = time.Duration(1<<63 - 1)

// open is Consumer.open.
func (k *simWork) open(o *sim.Consumer, app simApp, cfg pull.Config) *simSession {
	c := k.c
	c.run.sessions++
	s := &simSession{
		c: c, nc: c.nc, o: o, id: c.run.sessions, app: app, due: simNever, began: c.now(),
		prefix: fmt.Sprintf("_PULL.%d.%d.", c.no, c.run.sessions),
	}
	cfg.Seed = c.w.Rand().Uint64()
	if cfg.Once {
		cfg.Deadline += s.now()
	}
	s.cfg = cfg
	s.machine = pull.New(cfg)
	opts := []SubOption{PendingLimits(-1, -1), EventHandler(s.event)}
	var err error
	if app.inline() {
		s.sub, err = c.nc.Subscribe(s.prefix+"*", s.arrive, opts...)
	} else {
		s.sub, err = c.nc.SubscribeSync(s.prefix+"*", opts...)
	}
	if err != nil {
		if !c.closing && !c.nc.draining {
			c.w.Fail("client %d pulls: %v", c.id, err)
		}
		return nil
	}
	k.sessions = append(k.sessions, s)
	c.run.byInbox[s.prefix] = s
	c.w.Trace("session "+app.kind.String(), c.id, int64(s.id))
	if c.nc.Status() == StatusConnected {
		s.linkUp()
	}
	s.step()
	return s
}

func (s *simSession) now() time.Duration { return s.c.now() - s.began + time.Hour }

// world is what the machine looks at.
func (s *simSession) world(up bool) pull.World {
	st := s.sub.Stats()
	w := pull.World{Up: up, Queued: int(st.Received - s.items), Arrived: st.Received}
	if w.Queued > 0 {
		w.QueuedBytes = st.PendingBytes
	}
	return w
}

func (s *simSession) linkUp() {
	s.books.troubled(s.c.w.Now())
	w := s.world(true)
	s.machine.LinkUp(s.now(), w.Queued, w.QueuedBytes)
}

// simRoomPatience is roomPatience.
const simRoomPatience = 25 * time.Millisecond

// step does what the machine says, until it says wait, or that it is over.
func (s *simSession) step() {
	for range 1000 {
		if s.leaving && s.over {
			return
		}
		a := s.machine.Next(s.now())
		switch a.Kind {
		case pull.Wait:
			s.arm(a.At)
			return
		case pull.End:
			s.reason = a.Reason
			s.c.w.Sometimes("pull: ended: " + a.Reason.String())
			s.finish()
			s.leave()
			return
		case pull.Leave:
			s.c.w.Sometimes("pull: a session left")
			s.leave()
		case pull.Pull:
			if !s.pull(a.Request) {
				return // whoever stepped waits
			}
		case pull.Tell:
			s.books.troubled(s.c.w.Now())
			s.c.w.Trace("pull: told "+a.Reason.String(), s.c.id, int64(s.id))
			s.c.w.Sometimes("pull: told: " + a.Reason.String())
		case pull.Check:
			s.check()
		}
	}
	s.c.w.Fail("session %d never waits", s.id)
}

// arm sees to it that tick is called at a point in time, or before.
func (s *simSession) arm(at time.Duration) {
	if at >= s.due {
		return
	}
	s.due = at
	s.timer.Stop()
	s.timer = s.c.after(at-s.now(), s.tick)
}

func (s *simSession) tick() {
	s.due = simNever
	if s.leaving && s.over {
		return
	}
	w := s.world(s.nc.Status() == StatusConnected)
	s.machine.Tick(s.now(), w)
	if hasClosed(s.sub.doneCh) {
		s.subscriptionEnded()
	}
	s.step()
}

// pull sends a request. It reports false if there is no room for it yet; then it
// goes on with step when there is.
func (s *simSession) pull(r pull.Request) bool {
	s.checkPull(r)
	body := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"max_bytes":%d,"idle_heartbeat":%d,"no_wait":%t}`,
		r.Batch, r.Expires, r.MaxBytes, r.Heartbeat, r.NoWait)
	waited := false
	sent := s.publish(s.o.NextSubject(), s.prefix+strconv.FormatUint(r.Token, 10), body, s.c.now()+simRoomPatience, func(err error) {
		if err != nil {
			s.c.w.Sometimes("pull: a request could not be published")
			s.machine.Failed(s.now(), r.Token)
		}
		if waited {
			s.step()
		}
	})
	if waited = !sent; waited {
		s.c.w.Sometimes("pull: a request waited for room")
	}
	return sent
}

// publish is Conn.PublishMsg with a context that ends at the limit, if there is
// one. done is called with what it returns. It reports false if that is not yet.
func (s *simSession) publish(subject, reply string, data []byte, limit time.Duration, done func(error)) bool {
	retry, err := s.nc.out.Publish(subject, reply, "", data)
	if err != nil || retry == nil {
		done(err)
		return true
	}
	x := &simStuck{retry: retry, done: done, limit: limit}
	x.room = func() { s.publish(subject, reply, data, limit, done) }
	if s.nc.cfg.whenDown == DisconnectedBlock && s.c.link == nil {
		if most := s.c.now() + s.nc.cfg.requestTimeout; x.limit == 0 || most < x.limit {
			x.limit = most
		}
	}
	if x.limit > 0 {
		s.c.at(x.limit, func() {}) // somebody has to look then
	}
	s.stuck = append(s.stuck, x)
	return false
}

// pollStuck tries again what waits for room.
func (s *simSession) pollStuck() {
	all := s.stuck
	s.stuck = nil
	for _, x := range all {
		switch {
		case hasClosed(x.retry):
			x.room()
		case x.limit > 0 && s.c.now() >= x.limit:
			x.done(errSimLate)
		default:
			s.stuck = append(s.stuck, x)
		}
	}
}

// check finds out whether the consumer exists. The way of the question is left
// out, but for its time.
func (s *simSession) check() {
	s.c.w.Sometimes("pull: the consumer was looked for")
	wait := s.c.w.Between(time.Millisecond, 20*time.Millisecond)
	if s.c.link == nil {
		wait = s.nc.cfg.requestTimeout
	}
	s.c.after(wait, func() {
		if s.over {
			return
		}
		exists, ok := s.o.Lookup()
		s.machine.Checked(s.now(), ok && !exists && s.c.link != nil, "")
		s.step()
	})
}

// event hears of links, and of the subscription's end.
func (s *simSession) event(_ *Conn, e Event) {
	switch e.(type) {
	case Disconnected:
		s.machine.LinkDown()
	case Connected, Reconnected:
		s.linkUp()
	case SubscriptionEnded:
		s.subscriptionEnded()
		return
	default:
		return
	}
	s.step()
}

func (s *simSession) subscriptionEnded() {
	s.ended = true
	s.finish()
	s.leave()
}

func (s *simSession) finish() {
	if s.over {
		return
	}
	s.over = true
	if s.leaving {
		s.timer.Stop()
	}
	s.c.w.Trace("session over: "+s.reason.String(), s.c.id, int64(s.id))
}

// leave gives the subscription up, and hands back what waits for that.
func (s *simSession) leave() {
	if s.leaving {
		return
	}
	s.leaving = true
	if s.over {
		s.timer.Stop()
	}
	if s.over && !s.app.handler() && s.machine.Quiet() {
		s.books.quiet = true
		s.c.w.Sometimes("pull: a session ended with nothing on its way")
		_ = s.sub.Unsubscribe()
	} else {
		s.drainSub()
	}
	s.left = true
	back := s.back
	s.back = nil
	for _, m := range back {
		s.handBack(m)
	}
}

// drainSub is Subscription.Drain.
func (s *simSession) drainSub() {
	if s.nc.isClosed() || !s.sub.beginDrain() {
		return
	}
	if !s.nc.reg.linked() {
		s.sub.arrivedAll()
		return
	}
	s.c.work.flush(s.nc.cfg.drainTimeout, func(err error) {
		s.flushed = err
		s.sub.arrivedAll()
	})
}

// stop ends the session, and hands back what was not taken.
func (s *simSession) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	left := s.queue
	s.queue = nil
	if s.c.run.bug == simStrandBug {
		left = nil
	}
	if !s.left {
		s.back, left = left, nil
	}
	s.finish()
	s.machine.Stop(s.now(), s.world(true))
	for _, m := range left {
		s.handBack(m)
	}
	s.step()
}

// handBack tells the server that a message was not handled.
func (s *simSession) handBack(m simPulled) {
	s.books.back++
	s.c.w.Sometimes("pull: a message was handed back")
	s.answer(m, "-NAK")
}

// answer is an acknowledgement.
func (s *simSession) answer(m simPulled, body string) {
	s.publish(m.reply, "", []byte(body), 0, func(error) {})
}

// drain pulls no more, and is over when all that came was taken.
func (s *simSession) drain() {
	s.drains = true
	s.machine.Drain(s.now(), s.world(true))
	s.step()
}

// drained reports whether a drain is over.
func (s *simSession) drained() bool {
	if hasClosed(s.sub.doneCh) {
		s.subscriptionEnded()
	}
	return s.over && len(s.queue) == 0
}

// arrive is the subscription's handler.
func (s *simSession) arrive(m Msg) {
	seq, pending, ok := simAckSubject(m.Reply)
	if !ok {
		s.control(m)
		return
	}
	p := simPulled{strings.Clone(m.Reply), seq, len(m.Subject) + len(m.Reply) + m.Size()}
	s.items++
	s.checkArrival(p)
	if pending > 0 {
		s.machine.More()
	}
	mine := s.machine.Data(p.size) && !s.stopped && (!s.over || !s.app.handler())
	back := !mine
	switch {
	case back && s.stopped && !s.left:
		s.back, back = append(s.back, p), false
	case back:
	case s.app.handler():
		s.machine.Taken(p.size)
	default:
		s.queue = append(s.queue, p)
	}
	if !s.leaving && s.machine.Ready() {
		s.step()
	}
	switch {
	case back:
		s.handBack(p)
	case mine && s.app.handler():
		s.handle(p)
	}
}

// control takes what is no message of the consumer.
func (s *simSession) control(m Msg) {
	status, ok := s.readStatus(m)
	s.items++
	if ok {
		ok = s.machine.Status(s.now(), status)
	} else {
		s.machine.Noise()
	}
	if !ok {
		s.c.w.Sometimes("pull: something was forged")
	}
	s.step()
}

// readStatus is jetstream's readStatus.
func (s *simSession) readStatus(m Msg) (st pull.Status, ok bool) {
	number, ok := strings.CutPrefix(m.Subject, s.prefix)
	if !ok || m.Reply != "" || len(m.Data) > 0 {
		return st, false
	}
	var err error
	if st.Token, err = strconv.ParseUint(number, 10, 64); err != nil {
		return st, false
	}
	if st.Code, st.Text = m.InlineStatus(); st.Code == 0 {
		return st, false
	}
	msgs, err1 := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	bytes, err2 := strconv.Atoi(m.Header.Get("Nats-Pending-Bytes"))
	if err := errors.Join(err1, err2); err == nil {
		st.Pending, st.Msgs, st.Bytes = true, msgs, bytes
	}
	return st, true
}

// simAckSubject reads the sequence and what is pending of a well-formed ack subject.
func simAckSubject(reply string) (seq, pending int, ok bool) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	f := strings.Split(rest, ".")
	if !ok || len(f) != 7 {
		return 0, 0, false
	}
	for _, n := range f[2:] {
		if _, err := strconv.ParseUint(n, 10, 64); err != nil {
			return 0, 0, false
		}
	}
	seq, _ = strconv.Atoi(f[3])
	pending, _ = strconv.Atoi(f[6])
	return seq, pending, true
}

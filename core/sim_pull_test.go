package nats

import (
	"fmt"
	"slices"
	"time"

	"github.com/perigee-go/nats/core/internal/pull"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simDoor is how a program consumes.
type simDoor uint8

const (
	simConsume  simDoor = iota // a handler
	simReceiver                // Next of a session that pulls ahead
	simFetch                   // some messages within some time
	simNoWait                  // what is there
	simNextOne                 // one, whenever it comes
)

func (d simDoor) String() string {
	return [...]string{"consume", "receiver", "fetch", "no wait", "next"}[d]
}

// simApp is the program behind a session.
type simApp struct {
	kind    simDoor
	pace    time.Duration // between two messages at most
	forever bool          // begins another session when one ends by itself

	slow   time.Duration // nothing is taken until then
	busy   bool          // somebody is about to take a message, or is at it
	toldOf bool          // knows that it is over
	taken  int
}

// handler reports whether messages are pushed to it.
func (a *simApp) handler() bool { return a.kind == simConsume }

// inline reports whether the handler never takes any time, so that the product's
// workers can call it.
func (a *simApp) inline() bool { return a.handler() && a.pace == 0 }

// pull begins a session of a kind by chance.
func (k *simWork) pull(o sim.Op) {
	m := o.Mode
	bit := func(n int) int { v := m % n; m /= n; return v }
	app := simApp{kind: [...]simDoor{
		simConsume, simConsume, simConsume, simReceiver, simReceiver, simReceiver, simFetch, simFetch, simNoWait, simNextOne,
	}[bit(10)]}
	app.pace = [...]time.Duration{0, 0, 2 * time.Millisecond, 30 * time.Millisecond}[bit(4)]
	capacity := [...]int{1, 2, 10, 100, 500}[bit(5)]
	cfg := pull.Config{MaxMessages: capacity, Threshold: capacity / 2, Expiry: 30 * time.Second, Heartbeat: 5 * time.Second}
	if bit(6) == 0 {
		cfg.MaxBytes = 50 + 40*o.N
	}
	switch app.kind {
	case simFetch, simNoWait:
		wait := time.Millisecond + o.For
		cfg = pull.Config{MaxMessages: o.N, StopAfter: o.N, MaxBytes: cfg.MaxBytes, Once: true, Deadline: wait}
		if wait >= 10*time.Second {
			cfg.Heartbeat = 5 * time.Second
		}
		if app.kind == simNoWait {
			cfg.NoWait, cfg.Deadline, cfg.Heartbeat = true, 5*time.Second, 0
		}
	case simNextOne:
		cfg.MaxMessages, cfg.Threshold, cfg.StopAfter = 1, 0, 1
	default:
		switch bit(6) {
		case 0:
			cfg.StopAfter = o.N
		case 1:
			cfg.Expiry, cfg.Heartbeat = 2*time.Second, time.Second
		case 2:
			cfg.Threshold = capacity - 1
		case 3:
			cfg.EndOnSilence = o.N%4 == 0
		}
		app.forever = cfg.StopAfter == 0
	}
	s := k.open(k.c.run.consumer(o.N), app, cfg)
	if s == nil {
		return
	}
	switch app.kind {
	case simFetch, simNoWait:
		s.checkEnds(s.cfg.Deadline - s.now())
	case simNextOne: // until its context ends
		k.c.after(o.For, func() { s.stop() })
	}
}

// pickSession is one of those that are not over.
func (k *simWork) pickSession(o sim.Op) *simSession {
	var open []*simSession
	for _, s := range k.sessions {
		if !s.over {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[o.Mode%len(open)]
}

// poll lets the goroutines of a session and of its program see what has changed.
// It reports whether all is over.
func (s *simSession) poll() (over bool) {
	if len(s.stuck) > 0 {
		s.pollStuck()
	}
	if a := &s.app; !a.inline() && !a.busy {
		if a.handler() {
			s.pollWorker()
		} else {
			if s.sub.Stats().PendingMsgs > 0 && !s.books.arriving {
				s.books.arriving = true
				s.c.after(s.c.w.Between(0, 500*time.Microsecond), s.work)
			}
			s.pollTaker()
		}
	}
	if hasClosed(s.sub.doneCh) && (s.drains || !s.app.handler()) {
		s.subscriptionEnded() // who waits in next sees it, and so does drain
	}
	s.appEnded()
	return s.app.toldOf && hasClosed(s.sub.doneCh) && len(s.stuck) == 0
}

// pollSessions keeps those that are not over. A session may begin another one.
func pollSessions(all []*simSession) []*simSession {
	for i := 0; i < len(all); i++ {
		if all[i].poll() {
			all[i].books.gone = true
		}
	}
	return slices.DeleteFunc(all, func(s *simSession) bool { return s.books.gone })
}

// pollWorker is a worker of the connection with a handler that takes time.
func (s *simSession) pollWorker() {
	if s.sub.Stats().PendingMsgs == 0 {
		return
	}
	s.app.busy = true
	s.c.at(max(s.app.slow, s.c.now()+s.c.w.Between(0, s.app.pace)), func() {
		s.app.busy = false
		s.work()
	})
}

// work brings one message from the subscription.
func (s *simSession) work() {
	s.books.arriving = false
	if s.sub.Stats().PendingMsgs == 0 {
		return
	}
	m, err := s.sub.Next(simBackground)
	if err != nil {
		s.c.w.Fail("session %d: %v", s.id, err)
		return
	}
	s.arrive(m)
}

// pollTaker is whoever calls next.
func (s *simSession) pollTaker() {
	if len(s.queue) == 0 {
		return
	}
	s.app.busy = true
	s.c.at(max(s.app.slow, s.c.now()+s.c.w.Between(0, s.app.pace)), func() {
		s.app.busy = false
		s.take()
	})
}

// take is session.next when there is something.
func (s *simSession) take() {
	if len(s.queue) == 0 {
		return
	}
	m := s.queue[0]
	s.queue = s.queue[1:]
	s.machine.Taken(m.size)
	if !s.over && s.machine.Ready() {
		s.step()
	}
	s.handle(m)
	if s.cfg.Once && s.app.taken == s.cfg.StopAfter || s.app.kind == simNextOne {
		s.stop() // what ranges the fetch returns
	}
}

// appEnded is when the program sees that a session is over.
func (s *simSession) appEnded() {
	c := s.c
	if !s.over || len(s.queue) > 0 || s.app.toldOf || s.app.handler() && !hasClosed(s.sub.doneCh) {
		return
	}
	s.app.toldOf = true
	byUser := s.stopped || s.drains || s.ended && s.reason == pull.None
	if !s.app.handler() {
		s.stop()
	}
	s.checkEnd()
	if s.app.forever && !byUser {
		app, cfg, o := s.app, s.cfg, s.o
		app.busy, app.toldOf, app.taken = false, false, 0
		c.after(c.w.Between(100*time.Millisecond, 2*time.Second), func() {
			if !c.closing && !c.nc.draining {
				c.work.open(o, app, cfg)
			}
		})
	}
}

// handle is the program's part.
func (s *simSession) handle(m simPulled) {
	c, w := s.c, s.c.w
	if s.stopped {
		w.Fail("session %d: a message is handled after Stop", s.id)
	}
	s.app.taken++
	s.books.took++
	w.Trace("pull: handle", c.id, int64(m.seq))
	if s.cfg.StopAfter > 0 && s.app.taken > s.cfg.StopAfter {
		w.Fail("session %d: %d messages, it ends after %d", s.id, s.app.taken, s.cfg.StopAfter)
	}
	later := func(d time.Duration, body string) {
		c.after(w.Between(0, d), func() { s.answer(m, body) })
	}
	n := w.Rand().IntN(24)
	if c.run.calm || c.run.plain {
		n = 23
	}
	switch n {
	case 0:
		s.answer(m, "-NAK")
	case 1:
		s.answer(m, fmt.Sprintf(`-NAK {"delay":%d}`, w.Between(0, 3*time.Second)))
	case 2:
		s.answer(m, "+TERM reason")
	case 3: // it comes again after AckWait
	case 4:
		s.answer(m, "+WPI")
		later(2*time.Second, "+ACK")
	case 5, 6:
		later(time.Second, "+ACK")
	default:
		s.answer(m, "+ACK")
	}
}

// drainSessions is what the handle of package jetstream does when its Conn
// drains. then is called when all are drained, or at the limit.
func (k *simWork) drainSessions(limit time.Duration, then func()) {
	d := &simSessionsDrain{c: k.c, limit: limit, then: then}
	for _, s := range k.sessions {
		if !s.over {
			s.drain()
			d.all = append(d.all, s)
		}
	}
	if len(d.all) == 0 {
		then()
		return
	}
	k.c.at(limit, func() {}) // somebody has to look then
	k.hooks = append(k.hooks, d)
}

type simSessionsDrain struct {
	c     *simClient
	all   []*simSession
	limit time.Duration
	then  func()
}

func (d *simSessionsDrain) poll() (over bool) {
	if d.c.now() < d.limit {
		for _, s := range d.all {
			if !s.drained() {
				return false
			}
		}
		d.c.w.Sometimes("pull: sessions were drained with their connection")
	}
	d.c.after(0, d.then)
	return true
}

// consumerConfig is that of a consumer, by chance.
func (r *simRun) consumerConfig() sim.ConsumerConfig {
	rng := r.w.Rand()
	cfg := sim.ConsumerConfig{
		Replicated: rng.IntN(3) > 0, AckWait: r.w.Between(time.Second, 6*time.Second),
		MaxDeliver: [...]int{0, 0, 0, 1, 3}[rng.IntN(5)], MaxWaiting: [...]int{512, 512, 20}[rng.IntN(3)],
		MaxAckPending: [...]int{1000, 1000, 20, 1}[rng.IntN(4)],
	}
	switch rng.IntN(8) {
	case 0:
		cfg.MaxBatch = 7
	case 1:
		cfg.MaxExpires = 3 * time.Second
	case 2:
		cfg.MaxBytes = 1000
	}
	return cfg
}

// healConsumers ends their trouble, and has somebody take what is in the streams.
func (r *simRun) healConsumers() {
	r.cluster.StartJetStream()
	for _, o := range r.consumers {
		o.Create()
		o.Elect()
		o.Disperse()
	}
	for _, c := range r.clients {
		for _, s := range c.work.sessions {
			s.app.slow, s.app.pace = 0, min(s.app.pace, time.Millisecond)
		}
	}
	r.takeAll(r.w.Now() + simWell)
}

// takeAll sees to it that each consumer has a session that takes everything.
func (r *simRun) takeAll(until time.Duration) {
	if len(r.consumers) == 0 || !r.calm || r.w.Now() > until {
		return
	}
	for _, o := range r.consumers {
		if !slices.ContainsFunc(r.clients, func(c *simClient) bool {
			return !c.closing && !c.work.draining && slices.ContainsFunc(c.work.sessions, func(s *simSession) bool {
				return s.o == o && !s.over && !s.drains && s.app.forever && s.cfg.MaxBytes == 0
			})
		}) {
			r.takeFrom(o)
		}
	}
	r.w.After(time.Second, func() { r.takeAll(until) })
}

// takeFrom begins a session that takes everything, if a client is there.
func (r *simRun) takeFrom(o *sim.Consumer) {
	for _, c := range r.clients {
		if !c.closing && !c.work.draining {
			c.enter(func() {
				c.work.open(o, simApp{kind: simReceiver, forever: true}, pull.Config{
					MaxMessages: 500, Threshold: 250, Expiry: 30 * time.Second, Heartbeat: 5 * time.Second,
				})
			})
			return
		}
	}
}

// resumed notes how long after a new link, or a new leader, the first message
// came.
func (r *simRun) resumed(s *simSession, now time.Duration) {
	if s.c.resuming {
		s.c.resuming = false
		r.resumes = append(r.resumes, now-max(s.c.upAt, s.o.Since))
	}
}

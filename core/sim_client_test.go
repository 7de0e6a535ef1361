package nats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simClient is what surrounds a Conn in a simulation: the supervisor, without a
// goroutine, and what a program does with the Conn. The Conn is a real one that
// nobody supervises; its outbox, registry, subscriptions, requests and machine
// are the product's.
type simClient struct {
	run *simRun
	w   *sim.World
	id  int

	nc     *Conn
	no     int  // of the Conn
	resume bool // see outbox.Detach
	born   time.Duration
	upAt   time.Duration // since when the link is up
	asleep bool          // the machine is
	missed []func()      // meanwhile
	woke   time.Duration // last

	waiting *sim.Timer  // the supervisor's wait
	attempt *simAttempt // under way; nil: none
	link    *simLink    // that is up; nil: none
	dialled []time.Duration
	turns   []time.Duration
	closed  bool
	closing bool

	work    simWork
	running bool // a worker is about to run
	told    simTold
	hole    simHole

	eventsAt time.Duration // when handlers hear of the last event
	resuming bool          // no message of a consumer came on this link
}

// simAttempt is one attempt to connect.
type simAttempt struct {
	srv    *reconnect.Server
	link   *simLink
	synced chan outbox.Pong // waits for it; nil: not yet
	well   bool             // it came, and the supervisor is about to see it
	limit  *sim.Timer
	over   bool
}

// simTold is what events said.
type simTold struct {
	unknown    uint64
	refused    int
	discovered int
	connects   uint64
}

// simHole is a connection that is half-open.
type simHole struct {
	link  *simLink
	since time.Duration
}

// newConn gives the client a Conn, as Connect does.
func (c *simClient) newConn(opts ...Option) {
	cfg, err := configure(c.run.url(), append([]Option{Logger(nil), RetryOnFailedConnect(true)}, opts...))
	if err != nil {
		c.w.Fail("%v", err)
		return
	}
	pool := reconnect.NewPool(cfg.servers)
	pool.Shuffle(c.w.Rand().Shuffle)
	nc := newConn(cfg, pool)
	nc.clock, nc.chance = c.now, c.w.Rand().Float64
	c.no = c.run.newNumber()
	nc.reqs.prefix = fmt.Sprintf("_INBOX.%d.", c.no)
	nc.reqs.alarm = func(d time.Duration) {
		if d > 0 {
			c.after(d, nc.reqs.expire)
		}
	}
	nc.events.running = true // nobody else delivers them
	nc.work.active, nc.work.armed = math.MaxInt32, true
	c.nc, c.born, c.closed, c.closing = nc, c.w.Now(), false, false
	c.link, c.attempt, c.waiting, c.dialled, c.turns = nil, nil, nil, nil, nil
	c.told, c.hole, c.eventsAt = simTold{}, simHole{}, 0
	c.work = simWork{c: c}
	c.supervise(false)
}

func (c *simClient) now() time.Duration { return c.w.Now() + time.Second }

// at and after have f called unless the Conn is another by then; while the
// machine sleeps, when it wakes up. at is on the Conn's clock.
func (c *simClient) at(t time.Duration, f func()) *sim.Timer {
	nc := c.nc
	return c.w.At(t-time.Second, func() {
		c.enter(func() {
			if c.nc == nc {
				f()
			}
		})
	})
}

func (c *simClient) after(d time.Duration, f func()) *sim.Timer { return c.at(c.now()+d, f) }

// enter runs what happens in the client.
func (c *simClient) enter(f func()) {
	if c.asleep {
		c.missed = append(c.missed, f)
		return
	}
	f()
	c.settle()
}

// suspend has the client's machine sleep: nothing happens in it, and when it
// wakes up its clock has jumped.
func (c *simClient) suspend(d time.Duration) {
	c.asleep = true
	c.w.After(d, c.wake)
}

func (c *simClient) wake() {
	if !c.asleep {
		return
	}
	c.asleep, c.woke = false, c.w.Now()
	missed := c.missed
	c.missed = nil
	for _, f := range missed {
		c.enter(f)
	}
}

// supervise is a turn of Conn.supervise.
func (c *simClient) supervise(waited bool) {
	nc := c.nc
	if nc.ctx.Err() != nil {
		c.shut()
		return
	}
	c.checkTurns()
	act := nc.decide(waited)
	switch act.Kind {
	case reconnect.Dial:
		c.dial(act.Server)
	case reconnect.Wait:
		c.noteWait(act)
		c.waiting = c.at(act.Until, func() {
			nc.machine.Delay(0)
			c.waiting = nil
			c.supervise(true)
		})
	default:
		c.w.Fail("client %d gives up", c.id)
	}
}

func (c *simClient) noteWait(act reconnect.Action) {
	c.w.Trace("wait", c.id, int64(act.Until))
	barred := true
	for _, s := range c.nc.machine.Pool().Servers() {
		barred = barred && s.Barred(c.now())
	}
	if barred {
		c.w.Sometimes("a round was over with all servers barred")
	}
}

// dial begins an attempt.
func (c *simClient) dial(srv *reconnect.Server) {
	c.checkRate()
	a := &simAttempt{srv: srv}
	c.attempt = a
	nc := c.nc
	c.w.Trace("dial "+srv.Host, c.id, int64(srv.Attempts))
	a.limit = c.after(nc.cfg.timeout, func() { c.timeUp(a) })
	c.run.cluster.Dial(srv.Address(), c.no, func(peer *sim.Peer, err error) {
		c.enter(func() {
			switch {
			case err == nil && (a.over || c.nc != nc):
				c.w.Sometimes("a dial came too late")
				peer.Conn.Reset()
			case a.over:
			case err != nil:
				c.endAttempt(a, &net.OpError{Op: "dial", Err: err})
			default:
				a.link = newSimLink(c, peer)
			}
		})
	})
}

func (c *simClient) timeUp(a *simAttempt) {
	switch {
	case a.over:
	case a.link == nil:
		c.endAttempt(a, timeoutAfter(c.nc.cfg.timeout))
	case a.synced != nil:
		c.w.Sometimes("no PONG after the subscriptions")
		a.link.end(ErrStaleConnection)
	default:
		a.link.end(timeoutAfter(c.nc.cfg.timeout))
	}
}

// failed is the end of a link in its handshake.
func (c *simClient) failed(l *simLink, err error) {
	if a := c.attempt; a != nil && a.link == l {
		c.endAttempt(a, err)
	}
}

func (c *simClient) endAttempt(a *simAttempt, err error) {
	if a.over {
		return
	}
	a.over = true
	a.limit.Stop()
	c.attempt = nil
	c.w.Trace("attempt failed", c.id, 0)
	c.nc.attemptFailed(a.srv, err)
	if a.srv.Barred(c.now() + time.Minute - 1) {
		c.w.Sometimes("a server was left alone for a minute")
	}
	c.supervise(false)
}

// opened is Conn.join.
func (c *simClient) opened(l *simLink) {
	a, nc := c.attempt, c.nc
	a.limit.Stop()
	synced := make(chan outbox.Pong, 1)
	if all := nc.reg.activeSubs(); c.run.bug == simForgetBug && nc.everUp && len(all) > 0 {
		all[0].noResubscribe.Store(true)
	}
	subs := nc.attach(l.info, synced)
	l.start(nc.epoch)
	if !subs {
		c.up(l)
		return
	}
	a.synced = synced
	a.limit = c.after(nc.cfg.timeout, func() { c.timeUp(a) })
}

// pollSync is Conn.awaitSync.
func (c *simClient) pollSync() {
	a := c.attempt
	if a == nil || a.synced == nil || a.well {
		return
	}
	select {
	case p := <-a.synced:
		if p.Err == nil {
			a.limit.Stop()
			a.well = true
			c.after(c.w.Between(0, 100*time.Microsecond), func() { c.up(a.link) })
			return
		}
		a.link.end(p.Err)
	default:
	}
}

// up is Conn.linkUp.
func (c *simClient) up(l *simLink) {
	a := c.attempt
	a.over = true
	c.attempt, c.link, c.upAt, c.resuming = nil, l, c.w.Now(), true
	c.w.Trace("up "+a.srv.Host, c.id, int64(c.nc.epoch))
	c.nc.linkUp(a.srv, &link.Link{})
	if l.ended {
		c.w.Sometimes("a link that had ended came up")
	}
}

// halt is what Conn.linkDown does first.
func (c *simClient) halt() (asked bool) {
	c.w.Trace("halt", c.id, int64(c.nc.epoch))
	return c.nc.halt()
}

// down is the rest of it, or what Conn.join does with a link that ends early.
func (c *simClient) down(l *simLink, asked bool) {
	c.checkHoleFound(l)
	if c.link != l {
		a := c.attempt
		if a == nil || a.link != l {
			c.w.Fail("client %d: an unknown link ends", c.id)
			return
		}
		c.nc.leave(c.resume)
		c.endAttempt(a, l.err)
		return
	}
	c.link = nil
	before := c.nc.out.Counts()
	c.nc.lost(c.resume, asked, l.err)
	c.noteLoss(before, l.begun)
	c.supervise(false)
}

// noteLoss looks at the loss of a link. begun messages of its last write can have
// left.
func (c *simClient) noteLoss(before outbox.Counts, begun uint64) {
	after := c.nc.out.Counts()
	if after.Unknown-before.Unknown > before.InFlight+begun {
		c.w.Fail("client %d: %d of the last write can have left, and %+v became %+v", c.id, begun, before, after)
	}
	c.w.Trace("lost", c.id, int64(after.Unknown-before.Unknown))
	if after.Unknown > before.Unknown {
		c.w.Sometimes("messages became unknown")
	}
	if after.Buffered > 0 {
		c.w.Sometimes("messages stayed for the next link")
	}
	if after.Dropped > before.Dropped {
		c.w.Sometimes("a request was withdrawn unsent")
	}
}

// poke ends a back-off, as Reconnect does.
func (c *simClient) poke() {
	if c.waiting.Stop() {
		c.waiting = nil
		c.nc.machine.Now()
		c.dialled, c.turns = nil, nil // the user's doing
		c.supervise(true)
	}
}

// stop is Conn.close: it ends the supervisor, whatever that is at.
func (c *simClient) stop() {
	if c.closing {
		return
	}
	c.closing = true
	c.w.Trace("close", c.id, 0)
	c.nc.stop()
	switch {
	case c.link != nil:
		c.link.end(ErrClosed)
	case c.attempt != nil && c.attempt.link != nil:
		c.attempt.link.end(ErrClosed)
	case c.attempt != nil:
		c.endAttempt(c.attempt, ErrClosed)
	case c.waiting.Stop():
		c.supervise(true)
	}
}

// shut is the end of Conn.supervise.
func (c *simClient) shut() {
	c.nc.shut(nil)
	c.closed = true
	c.w.Trace("shut", c.id, 0)
}

// settle lets the client's goroutines see what has changed.
func (c *simClient) settle() {
	nc := c.nc
	c.pollSync()
	c.work.poll()
	l := c.link
	if l == nil && c.attempt != nil && c.attempt.synced != nil {
		l = c.attempt.link
	}
	if l != nil {
		select {
		case <-nc.out.Wake():
			l.wake()
		default:
		}
	}
	if !c.running && nc.work.head < len(nc.work.line) {
		c.running = true
		c.after(c.w.Between(0, time.Millisecond), c.runWorker)
	}
	c.takeEvents()
	c.checkLedger(false)
	if c.closed && !c.work.reborn {
		c.work.reborn = true
		c.checkClosed()
		c.w.After(c.w.Between(0, 5*time.Second), func() {
			c.enter(func() { c.run.born(c) })
		})
	}
}

// runWorker is a worker that calls handlers until nothing waits.
func (c *simClient) runWorker() {
	c.running = false
	work := &c.nc.work
	for s := work.next(); s != nil; s = work.next() {
		again, _ := s.run(monotonic())
		s.slow.Store(false) // by the real clock it may be anything
		if again {
			work.line = append(work.line, s)
		}
	}
}

// takeEvents is Conn.deliverEvents.
func (c *simClient) takeEvents() {
	ev := &c.nc.events
	batch := ev.waiting
	ev.waiting = nil
	for _, q := range batch {
		c.tellHandlers(q)
		what := int64(0)
		if s := subscriptionOf(q.event); s != nil {
			what = int64(s.sid)
		}
		c.w.Trace(fmt.Sprintf("%T", q.event), c.id, what)
		switch e := q.event.(type) {
		case Disconnected:
			c.told.unknown += uint64(e.Unknown)
			if errors.Is(e.Err, ErrStaleConnection) {
				c.w.Sometimes("a link was given up as dead")
			}
		case Connected, Reconnected:
			c.told.connects++
		case ConnectFailed:
			if errors.Is(e.Err, ErrAuthorization) {
				c.told.refused++
			}
		case ServersDiscovered:
			c.told.discovered += len(e.Added)
		case SlowConsumer:
			if e.Over {
				c.w.Sometimes("a slow consumer caught up")
			}
			c.w.Sometimes("a slow consumer")
		case LameDuck:
			if c.nc.draining {
				c.w.Sometimes("lame duck while draining")
			}
			c.w.Sometimes("lame duck")
		case AsyncError:
			if errors.Is(e.Err, ErrMaxPayload) {
				c.w.Sometimes("a message was too large for the next server")
			}
		}
	}
}

// tellHandlers calls the handlers of subscriptions, which the goroutine of the
// events does, a little later.
func (c *simClient) tellHandlers(q queuedEvent) {
	if len(q.handlers) == 0 {
		return
	}
	c.eventsAt = max(c.eventsAt, c.now()+c.w.Between(0, 300*time.Microsecond))
	c.at(c.eventsAt, func() {
		for _, h := range q.handlers {
			h(c.nc, q.event)
		}
	})
}

// simBackground never ends and waits for nothing.
var simBackground = context.Background()

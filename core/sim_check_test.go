package nats

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/sim"
)

// What has to hold in a simulation: all the time, when a Conn has closed, and
// some time after all faults have stopped.

const (
	simRate      = 20               // attempts of a client in a second
	simHoleFound = 30 * time.Second // a half-open link, with the default options
)

// checkLedger checks that the counters add up; the whole of them now and then.
func (c *simClient) checkLedger(whole bool) {
	if o := c.nc.out.Counts(); o.Accepted != o.Confirmed+o.InFlight+o.Buffered+o.Dropped+o.Unknown {
		c.w.Fail("client %d: out: %+v", c.id, o)
	}
	if o := c.nc.out.Counts(); c.run.arrived[c.no] < o.Confirmed {
		c.w.Fail("client %d: %d arrived: %+v", c.id, c.run.arrived[c.no], o)
	}
	if whole = whole || c.w.Steps()%16 == 0; !whole {
		return
	}
	st := c.nc.Stats()
	if sum := st.InDelivered + st.InDropped + st.InOrphaned + st.InReplies + st.InPending; sum != st.InMsgs {
		c.w.Fail("client %d: in: %d received, %d accounted for: %+v", c.id, st.InMsgs, sum, st)
	}
	sum := st.Answered + st.NoResponders + st.TimedOut + st.Cancelled + st.RequestsUnknown + st.RequestsOpen
	if sum != st.Requests {
		c.w.Fail("client %d: requests: %d begun, %d accounted for: %+v", c.id, st.Requests, sum, st)
	}
	if c.told.unknown > st.OutUnknown {
		c.w.Fail("client %d: told of %d unknown, counted %d", c.id, c.told.unknown, st.OutUnknown)
	}
}

// checkTurns is called at each turn of the supervisor: an attempt and a wait are
// one each.
func (c *simClient) checkTurns() {
	now := c.now()
	c.turns = append(c.turns, now)
	const most = 2*simRate + 2
	if n := len(c.turns); n > most {
		if first := c.turns[n-1-most]; now-first < time.Second {
			c.w.Fail("client %d: %d turns of the supervisor within %v", c.id, most+1, now-first)
		}
		c.turns = slices.Delete(c.turns, 0, n-most)
	}
}

// checkRate is called before each attempt.
func (c *simClient) checkRate() {
	now := c.now()
	c.run.dials = append(c.run.dials, c.w.Now())
	c.dialled = append(c.dialled, now)
	if n := len(c.dialled); n > simRate {
		if first := c.dialled[n-1-simRate]; now-first < time.Second {
			c.w.Fail("client %d: %d attempts within %v", c.id, simRate+1, now-first)
		}
		c.dialled = slices.Delete(c.dialled, 0, n-simRate)
	}
	pool := c.nc.machine.Pool().Servers()
	if len(pool) > c.run.plan.Servers+1024+1 {
		c.w.Fail("client %d: %d servers in the pool", c.id, len(pool))
	}
}

// halfOpen notes that the client's connection has become half-open.
func (c *simClient) halfOpen() {
	l := c.link
	if l == nil || l.ended || c.hole.link == l {
		return
	}
	c.hole = simHole{link: l, since: c.w.Now()}
	l.conn.BlackHole()
	const margin = 50 * time.Millisecond
	c.w.After(simHoleFound+margin, func() {
		if c.hole.link == l && !l.ended && c.woke < c.hole.since && !c.asleep {
			c.w.Fail("client %d: half-open since %v and not found", c.id, c.hole.since)
		}
	})
}

func (c *simClient) checkHoleFound(l *simLink) {
	if c.hole.link == l {
		c.run.holes = append(c.run.holes, c.w.Now()-c.hole.since)
		c.w.Sometimes("a half-open link was found")
		c.hole = simHole{}
	}
}

// checkFlushed is called when a flush that was called after accepted messages has
// succeeded.
func (c *simClient) checkFlushed(accepted uint64) {
	o := c.nc.out.Counts()
	if got := c.run.arrived[c.no]; got+o.Unknown+o.Dropped < accepted {
		c.w.Fail("client %d: flushed %d messages, %d arrived: %+v", c.id, accepted, got, o)
	}
}

// checkDrained is called when a drain has ended well, before the Conn closes.
func (c *simClient) checkDrained() {
	for _, s := range c.nc.reg.all() {
		if !s.internal() {
			c.w.Fail("client %d: drained, and %q is there", c.id, s.subject)
		}
	}
	if c.link != nil && c.link.peer.Connected() {
		for _, s := range c.link.peer.Subs() {
			if !strings.HasPrefix(s.Subject, c.nc.reqs.prefix) {
				c.w.Fail("client %d: drained, and its server has %q", c.id, s.Subject)
			}
		}
	}
}

// checkClosed is called when the Conn has closed.
func (c *simClient) checkClosed() {
	c.checkLedger(true)
	st := c.nc.Stats()
	if st.OutInFlight+st.OutBuffered+st.InPending+st.RequestsOpen != 0 {
		c.w.Fail("client %d: open after Close: %+v", c.id, st)
	}
	if st.Connects != c.told.connects {
		c.w.Fail("client %d: %d links, told of %d", c.id, st.Connects, c.told.connects)
	}
	for _, s := range c.nc.reg.all() {
		c.w.Fail("client %d: %q is there after Close", c.id, s.subject)
	}
	c.checkLoss(c.no, st)
	c.run.finished = append(c.run.finished, simFinished{c.no, st})
}

// checkLoss: what is confirmed has arrived, and what has not was told. late bytes
// of a connection may still come, of messages that are unknown.
func (c *simClient) checkLoss(no int, st Stats) {
	got := c.run.arrived[no]
	if got < st.OutConfirmed {
		c.w.Fail("client %d: %d arrived, %d confirmed", c.id, got, st.OutConfirmed)
	}
	if got > st.OutConfirmed+st.OutUnknown+st.OutInFlight {
		c.w.Fail("client %d: %d arrived, more than may have left: %+v", c.id, got, st)
	}
}

// checkWell is called when everything has to be well again.
func (c *simClient) checkWell() {
	nc := c.nc
	if c.link == nil || c.link.ended {
		c.w.Fail("client %d is not connected", c.id)
		return
	}
	c.checkLedger(true)
	st := nc.Stats()
	if st.OutInFlight+st.OutBuffered > 0 && len(c.work.sessions) == 0 { // those pull all the time
		c.w.Fail("client %d: messages wait: %+v", c.id, st)
	}
	if st.RequestsOpen > 0 || len(c.work.reqs) > 0 || len(c.work.flushes) > 0 {
		c.w.Fail("client %d: %d requests, %d flushes are open", c.id, st.RequestsOpen, len(c.work.flushes))
	}
	if nc.draining {
		c.w.Fail("client %d: a drain has not ended", c.id)
	}
	if st.Connects != c.told.connects || st.OutUnknown != c.told.unknown {
		c.w.Fail("client %d: told of %+v: %+v", c.id, c.told, st)
	}
	c.checkLoss(c.no, st)
	for _, p := range c.work.pubs {
		if p.busy {
			c.w.Fail("client %d: publisher %d has not ended", c.id, p.rec.id)
		}
	}
	c.checkSessions()
	c.checkSubs()
	c.checkSameSubs()
}

// checkSubs looks at each subscription.
func (c *simClient) checkSubs() {
	for _, x := range c.work.subs {
		st := x.s.Stats()
		if st.Received != st.Delivered+st.Dropped+uint64(st.PendingMsgs) || st.PendingMsgs > 0 {
			c.w.Fail("client %d: %q: %+v", c.id, x.subject, st)
		}
		if st.Delivered != x.got {
			c.w.Fail("client %d: %q: %d taken: %+v", c.id, x.subject, x.got, st)
		}
		if x.max == 0 || x.subject == "p.1" || strings.HasPrefix(x.subject, sim.DenyPrefix) || x.s.Err() != nil {
			continue
		}
		if st.Active {
			c.w.Fail("client %d: %q has not ended after %d messages: %+v", c.id, x.subject, x.max, st)
		}
		if !x.late && !st.Draining && x.s.noResubscribe.Load() == false && !x.s.stopped.Load() && st.Received != x.max {
			c.w.Fail("client %d: %q ended after %d of %d messages", c.id, x.subject, st.Received, x.max)
		}
	}
	c.work.subs = slices.DeleteFunc(c.work.subs, func(x *simSub) bool { return hasClosed(x.s.doneCh) })
}

// checkSameSubs compares the server's list with the client's.
func (c *simClient) checkSameSubs() {
	var here, there []string
	for _, s := range c.nc.reg.activeSubs() {
		here = append(here, s.subject+" "+s.queue+" "+strconv.FormatUint(s.sid, 10))
	}
	for _, s := range c.link.peer.Subs() {
		there = append(there, s.Subject+" "+s.Queue+" "+strconv.FormatUint(s.SID, 10))
	}
	slices.Sort(here)
	slices.Sort(there)
	if !slices.Equal(here, there) {
		c.w.Fail("client %d has %q, its server %q", c.id, here, there)
	}
}

package nats

import (
	"slices"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/pull"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simBooks are what is known of a session beside what it knows itself.
type simBooks struct {
	flight         []simFlight // sent by the server and not here yet
	sent, lost     int         // by the server; with a link
	took, back     int
	quiet          bool // nothing can be on its way, says the machine
	arriving, gone bool
	pulls          []time.Duration
	arrivals       []time.Duration
	troubles       []time.Duration
}

// simFlight is a message on its way.
type simFlight struct {
	reply string
	peer  *sim.Peer
	at    time.Duration
}

const (
	simQuiet    = time.Minute     // without trouble before it is asked for more than that all ends well
	simDelivery = 2 * time.Second // for a message, if nothing is wrong
	simGrace    = 2*time.Second + 100*time.Millisecond
)

// troubled notes that pulls may be alive of which the machine does not know.
func (b *simBooks) troubled(now time.Duration) {
	b.troubles = append(b.troubles, now)
	const kept = 35 * time.Second // a pull's life and its grace
	b.troubles = slices.DeleteFunc(b.troubles, func(t time.Duration) bool { return now-t > kept })
}

// routed is told of each message of a consumer that leaves its server.
func (r *simRun) routed(p *sim.Peer, m *sim.Message) {
	s := r.byInbox[m.To[:strings.LastIndexByte(m.To, '.')+1]]
	if s == nil {
		r.w.Fail("a message for the inbox %q", m.To)
		return
	}
	s.books.sent++
	s.books.flight = append(s.books.flight, simFlight{m.Reply, p, r.w.Now()})
}

// checkArrival holds an arrival against what was sent.
func (s *simSession) checkArrival(m simPulled) {
	b := &s.books
	now := s.c.w.Now()
	b.arrivals = append(b.arrivals, now)
	if n := len(b.arrivals); n > 4096 {
		b.arrivals = slices.Delete(b.arrivals, 0, n-2048)
	}
	// A server that does not know yet that a link is gone sends on both.
	i := slices.IndexFunc(b.flight, func(f simFlight) bool {
		return f.reply == m.reply && s.c.link != nil && f.peer == s.c.link.peer
	})
	if i < 0 {
		i = slices.IndexFunc(b.flight, func(f simFlight) bool { return f.reply == m.reply })
	}
	if i < 0 {
		s.c.w.Fail("session %d: %q was not sent, or came twice", s.id, m.reply)
		return
	}
	b.flight = slices.Delete(b.flight, i, i+1)
	s.c.run.resumed(s, now)
	s.checkHeld()
}

// waits is what waits here, statuses included.
func (s *simSession) waits() int { return s.sub.Stats().PendingMsgs + len(s.queue) }

// checkHeld holds what waits here, and what may come, against the capacity.
func (s *simSession) checkHeld() {
	now := s.c.w.Now()
	most := s.cfg.MaxMessages
	exact := len(s.books.troubles) == 0 || now-s.books.troubles[len(s.books.troubles)-1] > 35*time.Second
	exact = exact && now > s.c.run.trouble+simQuiet && s.cfg.MaxBytes == 0
	if exact {
		s.c.w.Sometimes("pull: the credit was looked at when it has to be exact")
	} else {
		// A pull that outlives a link, or that was late, is one capacity more.
		most *= 2 + len(s.books.troubles)
	}
	here, asked, flies := len(s.queue), s.o.Outstanding(s.prefix), 0
	for _, f := range s.books.flight {
		if s.c.link != nil && f.peer == s.c.link.peer {
			flies++
		}
	}
	if here+asked+flies > most && !s.over {
		s.c.w.Fail("session %d: %d wait here, %d are on their way, %d may come, the capacity is %d (exact: %t)",
			s.id, here, flies, asked, s.cfg.MaxMessages, exact)
	}
}

// checkPull is called before each pull.
func (s *simSession) checkPull(r pull.Request) {
	w, b := s.c.w, &s.books
	w.Trace("pull", s.c.id, int64(r.Batch))
	if s.drains || s.stopped || s.over {
		w.Fail("session %d pulls after its end", s.id)
	}
	if r.Batch < 1 || r.Batch > s.cfg.MaxMessages || r.Token == 0 || r.MaxBytes > s.cfg.MaxBytes {
		w.Fail("session %d: %+v with %+v", s.id, r, s.cfg)
	}
	now := s.c.now()
	b.pulls = append(b.pulls, now)
	const most = 32
	if n := len(b.pulls); n > most {
		first := b.pulls[n-1-most]
		arrived := 0
		for _, t := range slices.Backward(b.arrivals) {
			if t+time.Second < first {
				break
			}
			arrived++
		}
		if now-first < time.Second && arrived < most/2 {
			w.Fail("session %d: %d pulls within %v, %d messages came", s.id, most+1, now-first, arrived)
		}
		b.pulls = slices.Delete(b.pulls, 0, n-most)
	}
}

// checkEnds sees to it that a fetch is over soon after its time.
func (s *simSession) checkEnds(within time.Duration) {
	c := s.c
	c.after(within+simGrace, func() {
		if !s.over && c.now() < s.began+within+2*simGrace { // else it slept
			c.w.Fail("session %d: a fetch for %v is not over", s.id, within)
		}
	})
}

// checkEnd is called when the program has seen the end.
func (s *simSession) checkEnd() {
	if s.app.kind == simFetch || s.app.kind == simNoWait {
		s.c.w.Sometimes("pull: a fetch ended")
	}
	s.c.after(8*time.Second, s.checkFlight)
}

// checkFlight looks for messages that the server has sent and that are neither
// here nor lost with a link.
func (s *simSession) checkFlight() {
	b := &s.books
	now := s.c.w.Now()
	if s.sub.Stats().PendingMsgs > 0 {
		return // some of them are here
	}
	b.flight = slices.DeleteFunc(b.flight, func(f simFlight) bool {
		if !f.peer.Connected() {
			b.lost++
			return true
		}
		return false
	})
	for _, f := range b.flight {
		if now-f.at > 5*time.Second && now > s.c.run.trouble+5*time.Second && s.flushed == nil {
			s.c.w.Fail("session %d: %q left at %v and is neither here nor lost (quiet: %t)", s.id, f.reply, f.at, b.quiet)
		}
	}
	if here := len(s.queue) + len(s.back); b.sent != b.took+b.back+b.lost+len(b.flight)+here && s.nc == s.c.nc {
		s.c.w.Fail("session %d: %d were sent, %d taken, %d handed back, %d lost, %d on their way, %d here",
			s.id, b.sent, b.took, b.back, b.lost, len(b.flight), here)
	}
}

// checkSessions looks at all sessions of a client.
func (c *simClient) checkSessions() {
	for _, s := range c.work.sessions {
		s.checkFlight()
		s.checkHeld()
		if d := s.sub.Stats().Dropped; d > 0 && !s.over {
			c.w.Fail("session %d: %d messages were dropped", s.id, d)
		}
	}
}

// able reports whether a message could be delivered to the session at once.
func (s *simSession) able() bool {
	l := s.c.link
	return !s.over && !s.drains && s.app.forever && l != nil && !l.ended && !s.c.asleep && s.c.hole.link != l &&
		(s.cfg.MaxBytes == 0 || s.cfg.MaxBytes > 600) && s.waits() == 0
}

// ableSession is one of a consumer's that is able.
func (r *simRun) ableSession(o *sim.Consumer) *simSession {
	for _, c := range r.clients {
		for _, s := range c.work.sessions {
			if s.o == o && s.able() {
				return s
			}
		}
	}
	return nil
}

// watchDelivery sees to it that messages that were just stored are delivered
// soon, if there is no trouble.
func (r *simRun) watchDelivery(o *sim.Consumer, first, last int) {
	began := r.w.Now()
	s := r.ableSession(o)
	if s == nil || began < r.trouble+simQuiet || !o.Leads {
		return
	}
	r.w.After(simDelivery, func() {
		if began < r.trouble+simQuiet || !s.able() || !o.Leads {
			return
		}
		r.w.Sometimes("pull: a message came soon in a quiet hour")
		for seq := first; seq <= last; seq++ {
			if !o.Started(seq) && o.Deliverable() {
				r.w.Fail("message %d of %s was not delivered within %v, session %d waits", seq, o.Name, simDelivery, s.id)
				return
			}
		}
	})
}

// checkConsumers is called when everything has to be well: what was published is
// acknowledged.
func (r *simRun) checkConsumers() {
	for _, o := range r.consumers {
		if n := o.Open(); n > 0 {
			r.w.Fail("%d messages of %s are neither acknowledged nor given up", n, o.Name)
		}
	}
}

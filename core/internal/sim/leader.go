package sim

import (
	"slices"
	"strings"
	"time"
)

// available reports whether the consumer could have a leader.
func (o *Consumer) available() bool {
	if !o.Exists || o.c.NoJetStream {
		return false
	}
	if !o.Config.Replicated {
		return o.home.Up && !o.home.Gone
	}
	up, all := 0, 0
	for _, s := range o.c.Servers {
		if s.Gone {
			continue
		}
		all++
		if s.Up {
			up++
		}
	}
	return up > all/2
}

// lead makes some server the leader, unless that cannot be. told are the pulls of
// the time before that get to know it.
func (o *Consumer) lead(told []string) {
	if o.Leads || !o.available() {
		return
	}
	o.Leads, o.Since = true, o.w.now
	o.term++
	o.w.Trace("js: leads "+o.Name, len(told), int64(len(o.pending)))
	for _, reply := range told {
		o.status(reply, "409 Leadership Change", nil, false)
	}
	o.armCheck()
	o.signal()
}

// resign is the end of a leader: what it knew of pulls is gone, and what waited
// for the followers is never sent.
func (o *Consumer) resign() {
	o.Leads = false
	o.term++
	o.woken = false
	o.waiting, o.again, o.outgoing = nil, nil, nil
	o.look.Stop()
	o.check.Stop()
	o.look, o.check = nil, nil
}

// StepDown has the leader go, and another one come after a while, which tells
// those who wait, or not.
func (o *Consumer) StepDown(tell bool, away time.Duration) {
	if !o.Leads {
		return
	}
	o.w.Trace("js: steps down "+o.Name, len(o.waiting), int64(away))
	var told []string
	for _, r := range o.waiting {
		if tell && !r.other && o.w.now >= r.known {
			told = append(told, r.reply)
		} else if !r.other {
			o.w.Sometimes("js: a pull was lost in silence")
		}
	}
	o.resign()
	if o.w.Chance(2) {
		o.forgetUntil = o.w.now + o.w.Between(0, min(away, 30*time.Millisecond))
	}
	term := o.term
	o.w.After(away, func() {
		if o.term == term {
			o.lead(told)
		}
	})
}

// Delete deletes the consumer. Those who wait are told.
func (o *Consumer) Delete() {
	if !o.Exists {
		return
	}
	o.w.Trace("js: deleted "+o.Name, len(o.waiting), 0)
	for _, r := range o.waiting {
		if !r.other {
			o.status(r.reply, "409 Consumer Deleted", nil, false)
		}
	}
	o.resign()
	o.Exists = false
	o.pending, o.tries = nil, make(map[int]int)
}

// Create makes a consumer that was deleted again. It begins with what the stream
// has.
func (o *Consumer) Create() {
	if o.Exists {
		return
	}
	o.Exists = true
	o.next, o.dseq = 0, 0
	o.elect(o.w.Between(0, 20*time.Millisecond))
}

// Elect has a leader come soon if there is none.
func (o *Consumer) Elect() {
	if !o.Leads {
		o.elect(o.w.Between(0, time.Second))
	}
}

// elect has a leader come after a while.
func (o *Consumer) elect(after time.Duration) {
	term := o.term
	o.w.After(after, func() {
		if o.term == term {
			o.lead(nil)
		}
	})
}

// Lookup says whether the consumer is known. ok is false if nobody can say.
func (o *Consumer) Lookup() (exists, ok bool) {
	up := slices.ContainsFunc(o.c.Servers, func(s *Server) bool { return s.Up })
	if o.c.NoJetStream || !up {
		return false, false
	}
	if o.w.now < o.unknownUntil {
		o.w.Sometimes("js: a consumer was not known yet")
		return false, true
	}
	return o.Exists, true
}

// StopJetStream turns it off everywhere; tell says that those who wait hear of it.
func (c *Cluster) StopJetStream(tell bool) {
	c.NoJetStream = true
	for _, o := range c.consumers {
		o.shutdown(tell)
	}
}

// StartJetStream turns it on again.
func (c *Cluster) StartJetStream() {
	if !c.NoJetStream {
		return
	}
	c.NoJetStream = false
	for _, o := range c.consumers {
		if c.w.Chance(3) {
			o.unknownUntil = c.w.now + c.w.Between(0, 800*time.Millisecond)
		}
		o.elect(c.w.Between(0, time.Second))
	}
}

// shutdown ends the leader together with its server.
func (o *Consumer) shutdown(tell bool) {
	if !o.Leads {
		return
	}
	if tell && !o.Config.Replicated {
		for _, r := range o.waiting {
			o.tellOther(r, "409 Server Shutdown", false)
		}
	}
	o.resign()
}

// serverChanged is called when a server has come or is about to go.
func (c *Cluster) serverChanged(s *Server) {
	for _, o := range c.consumers {
		switch {
		case o.Leads && !o.available():
			o.shutdown(c.w.Chance(2))
		case o.Leads && o.home == s && !s.Up: // the others go on with it
			o.home = nextUp(c.Servers, s)
			o.StepDown(true, c.w.Between(50*time.Millisecond, 3*time.Second))
		case !o.Leads:
			// A server has what it stored before it takes clients.
			wait := time.Duration(0)
			if o.Config.Replicated {
				wait = c.w.Between(50*time.Millisecond, 2*time.Second)
			}
			o.elect(wait)
		}
	}
}

func nextUp(all []*Server, not *Server) *Server {
	for _, s := range all {
		if s.Up && s != not {
			return s
		}
	}
	return not
}

// Forge sends something to a reply subject that no consumer sent. Mode says what.
func (o *Consumer) Forge(to string, mode int) {
	m := &Message{Subject: to}
	inbox := to[:strings.LastIndexByte(to, '.')+1]
	switch mode % 7 {
	case 0:
		m.Data = []byte("hello")
	case 1:
		m.Reply, m.Data = "_INBOX.somebody", []byte("hello")
	case 2:
		m.Reply, m.Data = ackPrefix+o.Name+".1.2.x.4.5", []byte("hello")
	case 3: // a pull that was never made
		m.Subject, m.Header = inbox+"999999999", "NATS/1.0 409 Consumer Deleted\r\n\r\n"
	case 4:
		m.Header, m.Data = "NATS/1.0 409 Consumer Deleted\r\n\r\n", []byte("hello")
	case 5:
		m.Subject, m.Header = inbox+"x", "NATS/1.0 409 Consumer Deleted\r\n\r\n"
	default:
		m.Reply, m.Header = "_INBOX.somebody", "NATS/1.0 409 Consumer Deleted\r\n\r\n"
	}
	o.c.Deliver(m)
}

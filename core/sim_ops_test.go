package nats

import (
	"time"

	"github.com/perigee-go/nats/core/internal/sim"
)

// do lets an op of the plan happen.
func (r *simRun) do(o sim.Op) {
	r.w.Trace("op "+o.Kind.String(), o.Who, int64(o.N))
	c := r.clients[o.Who%len(r.clients)]
	switch {
	case !o.Kind.Fault():
		c.enter(func() { r.work(c, o) })
	case o.Kind <= sim.Expire:
		r.noteTrouble(o.For)
		r.linkFault(c, o)
	case o.Kind.OfConsumer():
		r.noteTrouble(o.For)
		r.consumerFault(r.consumer(o.Who), o)
	default:
		r.noteTrouble(o.For)
		r.serverFault(r.cluster.Servers[o.Who%len(r.cluster.Servers)], o)
	}
}

func (r *simRun) work(c *simClient, o sim.Op) {
	if c.closing {
		return
	}
	k := &c.work
	switch o.Kind {
	case sim.Publish, sim.PublishHuge:
		k.publish(o)
	case sim.Request:
		k.request(o)
	case sim.Flush:
		k.flush(c.nc.cfg.requestTimeout, nil)
	case sim.Subscribe:
		k.subscribe(o)
	case sim.Unsubscribe:
		k.unsubscribe(o)
	case sim.AutoUnsubscribe:
		k.autoUnsubscribe(o)
	case sim.DrainSub:
		k.drainSub(o)
	case sim.Store:
		r.store(o)
	case sim.Pull:
		k.pull(o)
	case sim.PullStop, sim.PullDrain, sim.PullSlow:
		k.toSession(o)
	case sim.Slow:
		if x := k.pick(o); x != nil {
			x.slow = c.now() + o.For
		}
	case sim.Reconnect:
		r.noteTrouble(0)
		k.reconnect()
	case sim.Drain:
		r.noteTrouble(0)
		k.drainConn()
	case sim.Close:
		r.noteTrouble(0)
		k.closeConn()
	}
}

// linkFault is trouble of one client's connection.
func (r *simRun) linkFault(c *simClient, o sim.Op) {
	l := c.link
	if l == nil && c.attempt != nil {
		l = c.attempt.link // in its handshake
	}
	if o.Kind == sim.Suspend {
		r.noteTrouble(10 * o.For)
		c.suspend(10 * o.For)
		r.w.Sometimes("a machine was suspended")
		return
	}
	if l == nil {
		return
	}
	conn := l.conn
	cut := func() {
		switch o.Mode % 3 {
		case 0:
			conn.Reset()
		case 1: // the server's kernel is quicker to tell than to send
			conn.Up.Break(sim.ErrReset)
			r.w.After(time.Duration(o.Mode)*time.Microsecond, conn.Reset)
		default:
			l.peer.Close()
		}
	}
	switch o.Kind {
	case sim.Cut:
		cut()
	case sim.CutAt:
		conn.Up.CutAfter(o.N, cut)
	case sim.CutDownAt:
		conn.Down.CutAfter(o.N, cut)
	case sim.StallUp:
		conn.Up.Stall(true)
		r.w.After(o.For, func() { conn.Up.Stall(false) })
	case sim.StallDown:
		conn.Down.Stall(true)
		r.w.After(o.For, func() { conn.Down.Stall(false) })
	case sim.HalfOpen:
		c.halfOpen()
	case sim.ServerErr:
		if l.peer.Connected() {
			l.peer.Err("Something New Happened")
		}
	case sim.ServerPing:
		if l.peer.Connected() {
			l.peer.Send([]byte("PING\r\n")...)
		}
	case sim.Expire:
		if l.peer.Connected() {
			l.peer.Err("User Authentication Expired")
			l.peer.Close()
		}
	}
}

// serverFault is trouble of servers.
func (r *simRun) serverFault(s *sim.Server, o sim.Op) {
	undo := func(f func()) { r.w.After(o.For, f) }
	switch o.Kind {
	case sim.Refuse:
		s.Refuse = true
		undo(func() { s.Refuse = false })
	case sim.Hole:
		s.Hole = true
		undo(func() { s.Hole = false })
	case sim.AuthRefuse:
		s.AuthRefuse = true
		undo(func() { s.AuthRefuse = false })
	case sim.AuthRefuseAll:
		for _, s := range r.cluster.Servers {
			s.AuthRefuse = true
			undo(func() { s.AuthRefuse = false })
		}
		for _, c := range r.clients {
			if c.link != nil {
				c.link.conn.Reset()
			}
		}
	case sim.SlowInfo:
		s.SlowInfo = o.For / 2
		undo(func() { s.SlowInfo = 0 })
	case sim.Mute:
		s.Mute, s.HangUp = o.Mode%2 == 0, o.Mode%2 == 1
		undo(func() { s.Mute, s.HangUp = false, false })
	case sim.Restart:
		s.Stop()
		undo(s.Start)
	case sim.RestartAll:
		for _, s := range r.cluster.Servers {
			s.Stop()
			undo(s.Start)
		}
	case sim.LameDuck:
		if s.Up && !s.LameDuck {
			s.EnterLameDuck(o.For / 2)
			undo(s.Start)
		}
	case sim.Join:
		if len(r.cluster.Servers) < 12 {
			r.cluster.Join()
		}
	case sim.Leave: // those that the user named stay
		if s.ID >= r.plan.Servers {
			r.cluster.Leave(s)
		}
	}
}

// noteTrouble notes that something goes wrong for a while.
func (r *simRun) noteTrouble(d time.Duration) {
	const after = 35 * time.Second // until a half-open link is found
	r.trouble = max(r.trouble, r.w.Now()+d+after)
}

// consumer is one of them, by number.
func (r *simRun) consumer(n int) *sim.Consumer { return r.consumers[n%len(r.consumers)] }

// store puts messages into a stream.
func (r *simRun) store(o sim.Op) {
	c := r.consumer(o.Who / len(r.clients))
	size := 1 << (o.Mode % 9)
	gap := o.For / time.Duration(o.N)
	for left := o.N; left > 0; {
		n := min(1+r.w.Rand().IntN(8), left)
		r.w.After(gap*time.Duration(o.N-left), func() {
			first := 0
			for i := range n {
				seq := c.Store(r.w.Rand().IntN(size), o.Mode>>4%8 == 0 && i == 0)
				if i == 0 {
					first = seq
				}
			}
			r.watchDelivery(c, first, first+n-1)
		})
		left -= n
	}
}

// consumerFault is trouble of a consumer.
func (r *simRun) consumerFault(c *sim.Consumer, o sim.Op) {
	switch o.Kind {
	case sim.StepDown:
		away := o.For
		if o.Mode%4 > 0 {
			away /= 10
		}
		if c.Config.Replicated {
			c.StepDown(o.Mode>>2%4 > 0, away)
		}
	case sim.ConsumerDeleted:
		c.Delete()
		r.w.After(o.For, c.Create)
	case sim.NoJetStream:
		r.cluster.StopJetStream(o.Mode%2 == 0)
		r.w.After(o.For, r.cluster.StartJetStream)
	case sim.Crowd:
		c.Crowd(o.N, 1+o.Mode%3, o.For)
	case sim.Forge:
		client := r.clients[o.N%len(r.clients)]
		if s := client.work.pickSession(o); s != nil {
			s.o.Forge(s.prefix+"1", o.Mode)
		}
	}
}

// toSession has something happen to one of the sessions.
func (k *simWork) toSession(o sim.Op) {
	s := k.pickSession(o)
	if s == nil {
		return
	}
	switch o.Kind {
	case sim.PullStop:
		s.stop()
	case sim.PullDrain:
		s.drain()
	case sim.PullSlow:
		s.app.slow = k.c.now() + o.For
	}
}

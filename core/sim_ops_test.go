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
		r.linkFault(c, o)
	default:
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
	case sim.Slow:
		if x := k.pick(o); x != nil {
			x.slow = c.now() + o.For
		}
	case sim.Reconnect:
		k.reconnect()
	case sim.Drain:
		k.drainConn()
	case sim.Close:
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

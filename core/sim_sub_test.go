package nats

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/sim"
)

// simSub is a subscription and whoever takes its messages.
type simSub struct {
	c       *simClient
	s       *Subscription
	subject string
	max     uint64
	late    bool // AutoUnsubscribe came after messages
	got     uint64
	last    []int // per publisher, the number of its last message
	calls   []*simNext
	slow    time.Duration // nobody takes anything until then
}

// simNext is somebody who calls Next again and again.
type simNext struct {
	waits   bool
	resting bool
}

func (k *simWork) subscribe(o sim.Op) {
	c := k.c
	x := &simSub{c: c}
	var opts []SubOption
	m := o.Mode
	bit := func(n int) int { v := m % n; m /= n; return v }
	x.subject = [...]string{"p.*", "p.*", "svc.*", "svc.echo", "sink.*", sim.DenyPrefix + "*", "p.>", "p.1"}[bit(8)]
	if bit(3) == 0 {
		opts = append(opts, Queue(fmt.Sprintf("q%d", bit(2))))
	}
	if bit(3) == 0 {
		x.max = uint64(o.N)
		opts = append(opts, AutoUnsubscribe(o.N))
	}
	kind := bit(3)
	if kind == 0 && bit(2) == 0 {
		opts = append(opts, PendingLimits(1+o.N, 1<<(8+bit(4))), Overflow([...]OverflowPolicy{OverflowDropNewest, OverflowDropOldest, OverflowEnd}[bit(3)]))
	}
	var err error
	switch kind {
	case 0:
		x.s, err = c.nc.SubscribeSync(x.subject, opts...)
		for range 1 + o.N%2 {
			x.calls = append(x.calls, &simNext{})
		}
	case 1:
		x.s, err = c.nc.Subscribe(x.subject, x.take, opts...)
	default:
		x.s, err = c.nc.Subscribe(x.subject, x.take, append(opts, OnReader())...)
	}
	if err != nil {
		if !c.closing && !c.nc.draining {
			c.w.Fail("client %d subscribes: %v", c.id, err)
		}
		return
	}
	k.subs = append(k.subs, x)
}

// pick is one of the subscriptions that have not ended.
func (k *simWork) pick(o sim.Op) *simSub {
	var open []*simSub
	for _, x := range k.subs {
		if x.s.Stats().Active {
			open = append(open, x)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[o.Mode%len(open)]
}

// take is the handler.
func (x *simSub) take(m Msg) {
	c := x.c
	x.got++
	if x.max > 0 && x.got > x.max && !x.late {
		c.w.Fail("client %d: message %d of a subscription that ends after %d", c.id, x.got, x.max)
	}
	c.w.Trace("take", c.id, int64(len(m.Data)))
	if m.Reply != "" && strings.HasPrefix(x.subject, "svc.") {
		x.answer(strings.Clone(m.Reply), string(m.Data))
	}
	rest, ok := strings.CutPrefix(m.Subject, "p.")
	if !ok {
		return
	}
	id, err := strconv.Atoi(rest)
	if err != nil {
		return // of the probe
	}
	number, _, _ := strings.Cut(string(m.Data), " ")
	seq, err := strconv.Atoi(number)
	if err != nil || id >= len(c.run.records) {
		c.w.Fail("client %d got %q on %q", c.id, m.Data, m.Subject)
		return
	}
	if m.Header.wire != simHeader(seq) {
		c.w.Fail("client %d got message %d with the header %q", c.id, seq, m.Header.wire)
	}
	for len(x.last) <= id {
		x.last = append(x.last, -1)
	}
	if c.run.records[id].late[seq] {
		return
	}
	if seq <= x.last[id] {
		c.w.Fail("client %d: %d of publisher %d came after %d", c.id, seq, id, x.last[id])
	}
	x.last[id] = seq
}

// answer replies, at once or late, once or twice.
func (x *simSub) answer(reply, data string) {
	times := 1
	if x.c.w.Chance(8) {
		times = 2
	}
	for range times {
		wait := time.Duration(0)
		if x.c.w.Chance(8) && !x.c.run.calm {
			wait = x.c.w.Between(0, 12*time.Second)
		}
		x.c.after(wait, func() {
			if !x.c.closing && (wait == 0 || !x.c.run.calm) { // a late one would be in flight when all has to be well
				_, _ = x.c.nc.out.Publish(reply, "", "", []byte(data))
			}
		})
	}
}

func (x *simSub) poll() {
	for _, n := range x.calls {
		if !n.waits {
			if !n.resting {
				x.next(n)
			}
			continue
		}
		select {
		case <-x.s.wake:
		case <-x.s.arrived:
		default:
			continue
		}
		n.waits = false
		x.s.mu.Lock()
		x.s.waiting--
		x.s.mu.Unlock()
		x.next(n)
	}
}

// next is Subscription.next up to where it waits.
func (x *simSub) next(n *simNext) {
	s, c := x.s, x.c
	if c.now() < x.slow {
		n.resting = true
		c.at(x.slow, func() { n.resting = false })
		return
	}
	s.mu.Lock()
	if s.report == 0 && s.q.Len() == 0 && !s.closed {
		s.waiting++
		n.waits = true
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	m, err := s.Next(simBackground)
	if err == nil {
		x.take(m)
	} else if s.closed && s.q.Len() == 0 && s.report == 0 {
		n.resting = true // it is over
		return
	}
	n.resting = true
	c.after(c.w.Between(0, 300*time.Microsecond), func() { n.resting = false })
}

func (k *simWork) autoUnsubscribe(o sim.Op) {
	x := k.pick(o)
	if x == nil || x.max > 0 {
		return
	}
	x.max, x.late = uint64(o.N), true
	if err := x.s.AutoUnsubscribe(o.N); err != nil {
		k.c.w.Fail("client %d: AutoUnsubscribe: %v", k.c.id, err)
	}
}

func (k *simWork) unsubscribe(o sim.Op) {
	x := k.pick(o)
	if x == nil {
		return
	}
	if k.c.link != nil && k.c.link.ended {
		k.c.w.Sometimes("an UNSUB was lost with its link")
	}
	if err := x.s.Unsubscribe(); err != nil {
		k.c.w.Fail("client %d: Unsubscribe: %v", k.c.id, err)
	}
}

// drainSub is Subscription.Drain.
func (k *simWork) drainSub(o sim.Op) {
	x := k.pick(o)
	if x == nil || !x.s.beginDrain() {
		return
	}
	if !k.c.nc.reg.linked() {
		k.c.w.Sometimes("a subscription was drained while disconnected")
		x.s.arrivedAll()
		return
	}
	k.flush(k.c.nc.cfg.drainTimeout, func(error) { x.s.arrivedAll() })
}

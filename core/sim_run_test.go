package nats

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/sim"
	"github.com/perigee-go/nats/core/internal/subject"
)

// simRun is one simulation.
type simRun struct {
	w       *sim.World
	plan    sim.Plan
	cluster *sim.Cluster
	clients []*simClient
	options []Option // of all Conns, besides those by chance
	bug     simBug

	numbers  int // Conns so far
	arrived  map[int]uint64
	records  []*simRecord
	reqs     []simReqRecord
	finished []simFinished
	holes    []time.Duration // how long half-open links were not found
	dials    []time.Duration // when each attempt began
	calm     bool

	consumers []*sim.Consumer
	sessions  int // so far
	byInbox   map[string]*simSession
	trouble   time.Duration // when the effects of the last one are over
	plain     bool          // everything is acknowledged at once
	resumes   []time.Duration
}

// simBug is broken on purpose, to see that it is found.
type simBug uint8

const (
	simNoBug      simBug = iota
	simResumeBug         // what of a failed write had left is sent again
	simForgetBug         // a subscription is forgotten at a reconnect
	simConfirmBug        // an INFO counts as a PONG
	simStrandBug         // what was read ahead is not handed back
)

type simFinished struct {
	no int
	st Stats
}

type simReqRecord struct{ arrived, safe, unknown bool }

// simOutcome is what a run has shown.
type simOutcome struct {
	err   error
	hash  uint64
	steps int
	marks map[string]int
	holes []time.Duration
}

// simulate runs a plan. log may be nil.
func simulate(plan sim.Plan, bug simBug, log func(string), opts ...Option) simOutcome {
	return newSimRun(plan, bug, log, opts...).run()
}

// newSimRun makes a run that has not begun.
func newSimRun(plan sim.Plan, bug simBug, log func(string), opts ...Option) *simRun {
	w := sim.NewWorld(plan.Seed, plan.Luck)
	w.Log = log
	r := &simRun{w: w, plan: plan, bug: bug, options: opts, arrived: make(map[int]uint64)}
	r.cluster = sim.NewCluster(w, plan.Servers)
	r.cluster.Published = r.published
	r.cluster.Routed, r.byInbox = r.routed, make(map[string]*simSession)
	for i := range plan.Consumers {
		r.consumers = append(r.consumers, r.cluster.AddConsumer("C"+strconv.Itoa(i), r.consumerConfig()))
	}
	if plan.Servers > 1 && w.Chance(2) {
		r.cluster.Servers[0].MaxPayload = 1024
	}
	for i := range plan.Clients {
		c := &simClient{run: r, w: w, id: i}
		r.clients = append(r.clients, c)
		c.enter(func() { r.born(c) })
	}
	for i, o := range plan.Ops {
		if o.At < plan.Horizon {
			w.At(o.At, func() { r.do(plan.Ops[i]) })
		}
	}
	for _, at := range append(slices.Clone(plan.Calms), plan.Horizon) {
		r.calmAt(at)
	}
	return r
}

func (r *simRun) run() simOutcome {
	r.w.Run(r.plan.Horizon + sim.Settle)
	r.end()
	return simOutcome{r.w.Err(), r.w.Hash(), r.w.Steps(), r.w.Marks, r.holes}
}

// url lists the servers that the user names: the first ones.
func (r *simRun) url() string {
	var all []string
	for i := range max(1, r.plan.Servers-1) {
		all = append(all, "nats://s"+strconv.Itoa(i)+":4222")
	}
	return strings.Join(all, ",")
}

// born gives a client a new Conn.
func (r *simRun) born(c *simClient) {
	rng := r.w.Rand()
	c.resume = rng.IntN(4) > 0
	opts := []Option{
		ReconnectBufSize(1 << (10 + rng.IntN(8))), WriteBufferSize(1 << (10 + rng.IntN(8))),
		WhenDisconnected(DisconnectedPolicy(rng.IntN(3))),
	}
	c.newConn(append(opts, r.options...)...)
}

func (r *simRun) newNumber() int {
	r.numbers++
	return r.numbers
}

func (r *simRun) newRecord() *simRecord {
	rec := &simRecord{id: len(r.records), refused: make(map[int]bool), late: make(map[int]bool), last: -1}
	r.records = append(r.records, rec)
	return rec
}

func (r *simRun) newRequest() int {
	r.reqs = append(r.reqs, simReqRecord{})
	return len(r.reqs) - 1
}

// published is told of each message that reached a server.
func (r *simRun) published(p *sim.Peer, m *sim.Message) {
	r.arrived[p.Who]++
	r.w.Trace("arrives "+m.Subject, p.Who, int64(len(m.Data)))
	if p.Left {
		r.w.Sometimes("late bytes of an old connection")
	}
	subj := strings.TrimPrefix(m.Subject, sim.DenyPrefix)
	switch {
	case strings.HasPrefix(subj, "p."):
		r.numbered(p, subj[2:], m.Data)
	case len(m.Data) > 0 && m.Data[0] == 'r' && m.Reply != "":
		number, _, _ := strings.Cut(string(m.Data[1:]), " ")
		id, err := strconv.Atoi(number)
		if err != nil || r.reqs[id].arrived || r.reqs[id].safe {
			r.w.Fail("request %q arrived twice, or was safe to retry", m.Data)
			return
		}
		if r.reqs[id].unknown && !p.Left {
			r.w.Fail("request %d had not left, and its outcome was called unknown", id)
		}
		r.reqs[id].arrived = true
	}
}

// numbered is a publisher's message.
func (r *simRun) numbered(p *sim.Peer, publisher string, data []byte) {
	number, _, _ := strings.Cut(string(data), " ")
	seq, err := strconv.Atoi(number)
	id, err2 := strconv.Atoi(publisher)
	if err != nil || err2 != nil {
		r.w.Fail("%q arrived on p.%s", data, publisher)
		return
	}
	rec := r.records[id]
	for len(rec.arrived) <= seq {
		rec.arrived = append(rec.arrived, false)
	}
	switch {
	case rec.refused[seq]:
		r.w.Fail("message %d of publisher %d was refused, and arrived", seq, id)
	case rec.arrived[seq]:
		r.w.Fail("message %d of publisher %d arrived twice", seq, id)
	case p.Left:
		rec.late[seq] = true
	case seq < rec.last:
		r.w.Fail("message %d of publisher %d arrived after %d", seq, id, rec.last)
	default:
		rec.last = seq
	}
	rec.arrived[seq] = true
}

// simWell is how long after the end of all faults everything has to be well.
const simWell = 30 * time.Second

// calmAt has all faults stop, and looks later whether all is well.
func (r *simRun) calmAt(at time.Duration) {
	r.w.At(at, r.heal)
	r.w.At(at+simWell-5*time.Second, func() { r.whenAllowed(at + 2*time.Minute) })
}

// whenAllowed checks the clients in five seconds, but not while a server that
// refused their credentials is left alone for it, which is a minute at most, or
// a new Conn is to be made.
func (r *simRun) whenAllowed(limit time.Duration) {
	for _, c := range r.clients {
		if r.w.Now() < limit && (c.barred() || c.closed) {
			r.w.After(time.Second, func() { r.whenAllowed(limit) })
			return
		}
	}
	wait := time.Duration(0)
	if r.w.Now() > limit-2*time.Minute+simWell {
		wait = 10 * time.Second // back-off and attempt
	}
	for i := range 8 {
		r.w.After(wait+time.Duration(i)*500*time.Millisecond, r.probe)
	}
	r.w.After(wait+5*time.Second, func() {
		r.calm = false
		for _, c := range r.clients {
			c.enter(c.checkWell)
		}
		r.checkConsumers()
	})
}

// barred reports whether the client has to leave a server alone.
func (c *simClient) barred() bool {
	return c.link == nil && slices.ContainsFunc(c.nc.machine.Pool().Servers(), func(s *reconnect.Server) bool {
		return s.Barred(c.now())
	})
}

// heal stops all faults. What is asked of clients then is asked no more.
func (r *simRun) heal() {
	r.w.Trace("calm", 0, 0)
	r.calm = true
	for _, s := range r.cluster.Servers {
		s.Start()
		s.Refuse, s.Hole, s.AuthRefuse, s.SlowInfo, s.Mute, s.HangUp = false, false, false, 0, false, false
		for _, p := range slices.Clone(s.Peers()) {
			p.Conn.Heal()
		}
	}
	r.forgetLeft()
	r.w.After(time.Second, r.forgetLeft) // those of clients that have just woken up
	for _, c := range r.clients {
		c.wake()
		for _, p := range c.work.pubs {
			p.gap = 0
		}
	}
	r.healConsumers()
}

// forgetLeft ends connections that clients have left: pings would have told the
// servers.
func (r *simRun) forgetLeft() {
	for _, s := range r.cluster.Servers {
		for _, p := range slices.Clone(s.Peers()) {
			if p.Left {
				p.Close()
			}
		}
	}
}

// probe publishes as much as subscriptions with an end still wait for.
func (r *simRun) probe() {
	for _, subj := range []string{"p.probe", "svc.echo", "sink.x"} {
		for range r.missing(subj) {
			r.cluster.Deliver(&sim.Message{Subject: subj, Data: []byte("probe")})
		}
	}
}

// missing is how many messages of the subject are wanted yet. The members of a
// queue group share them.
func (r *simRun) missing(subj string) (n int) {
	shared := 0
	for _, c := range r.clients {
		for _, x := range c.work.subs {
			if st := x.s.Stats(); st.Active && x.max > st.Received && subject.Match(x.subject, subj) {
				if x.s.queue != "" {
					shared += 3 * int(x.max-st.Received)
				} else {
					n = max(n, int(x.max-st.Received))
				}
			}
		}
	}
	return max(n, shared)
}

// end looks at what is left at the end of a run.
func (r *simRun) end() {
	for _, f := range r.finished {
		r.clients[0].checkLoss(f.no, f.st)
	}
}

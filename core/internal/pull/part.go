package pull

import "time"

// parting is the end that the user wants. A subscription that is given up while
// the server answers strands what is on its way: in a cluster until AckWait,
// with MaxDeliver 1 for ever. So no more is asked for, and the subscription goes
// when nothing can come, or nothing came for a while: what waits at the server
// then is idle, and goes with the subscription.
type parting struct {
	begun   bool
	stopped bool // what comes is for nobody
	left    bool // Leave was said
	at      time.Duration
	silence time.Duration // that is long enough, at first
	limit   time.Duration // when none has to be
}

// How long is waited for what is on its way. Stop is brief: its caller is done,
// and others wait for what is handed back.
const (
	drainSilence, drainLimit = 250 * time.Millisecond, 2 * time.Second
	stopSilence, stopLimit   = 25 * time.Millisecond, 250 * time.Millisecond
)

// Drain ends the pulling. What is here, and what comes until Leave, is still the
// user's to take.
func (m *Machine) Drain(now time.Duration, w World) {
	m.begin(now, w, parting{silence: drainSilence, limit: drainLimit})
}

// Stop is Drain when what comes is for nobody: it is handed back after Leave.
// Nothing is told any more.
func (m *Machine) Stop(now time.Duration, w World) {
	m.begin(now, w, parting{silence: stopSilence, limit: stopLimit, stopped: true})
	m.tells = nil
}

// begin begins to part, unless that was begun in more of a hurry.
func (m *Machine) begin(now time.Duration, w World, p parting) {
	if m.part.begun && m.part.limit <= p.limit {
		return
	}
	p.begun, p.at, p.left = true, now, m.part.left
	m.part = p
	m.arrivals(now, w)
}

// arrivals notes whether something has come since this was asked last.
func (m *Machine) arrivals(now time.Duration, w World) {
	if m.heard || w.Arrived-m.seen > m.since {
		m.last = now
	}
	m.heard, m.seen, m.since = false, w.Arrived, 0
}

// parting reports whether Leave is to come.
func (m *Machine) parting() bool { return m.part.begun && !m.part.left }

// leave reports whether the subscription can go now.
func (m *Machine) leave(now time.Duration) bool {
	return m.parting() && (!m.up || m.nothingComes() || now >= m.leaveAt(now))
}

// nothingComes reports whether no pull is open.
func (m *Machine) nothingComes() bool { return m.outstanding == 0 && len(m.lost) == 0 }

// leaveAt is when the silence is long enough. It has to be the longer the less
// time has passed, so a trickle does not hold the end up.
func (m *Machine) leaveAt(now time.Duration) time.Duration {
	p := &m.part
	enough := max(p.silence-p.silence*(now-p.at)/p.limit, 0)
	quiet := m.last
	if n := len(m.pulls); n > 0 {
		quiet = max(quiet, m.pulls[n-1].issued) // it may just be on its way
	}
	return quiet + enough
}

// look is how soon is looked for what came, when parting.
func (p *parting) look() time.Duration { return p.silence / 10 }

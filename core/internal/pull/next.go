package pull

import (
	"slices"
	"time"
)

// Kind says what is to be done.
type Kind uint8

const (
	Wait  Kind = iota // call Tick at Action.At, if nothing happens before
	Pull              // send Action.Request
	Check             // ask for the consumer, and call Checked; Found too if it exists
	Tell              // something was wrong: Reason and Text
	Leave             // after Drain and Stop: give the subscription up
	End               // nothing more will come: Reason and Text
)

// Action is the machine's answer.
type Action struct {
	Kind    Kind
	Request Request
	Reason  Reason
	Text    string
	At      time.Duration
}

// Request is one pull.
type Request struct {
	Token     uint64
	Batch     int
	MaxBytes  int           // 0: no limit
	Expires   time.Duration // 0: none
	Heartbeat time.Duration // 0: none
	NoWait    bool
}

// World is what a Tick looks at.
type World struct {
	Up          bool // there is a link
	Queued      int  // in the connection's queue, statuses included
	QueuedBytes int
	Arrived     uint64 // since the session began
}

// Ready reports whether Next has something to do at once, but for what time
// brings: cheap, for after Data and Taken.
func (m *Machine) Ready() bool {
	return m.end != None || len(m.tells) > 0 || m.check || m.postponed != nil && m.outstanding == 0 ||
		m.up && m.retryAt == 0 && m.due() || m.parting() && m.nothingComes()
}

// Next says what to do now. It is called again until it says Wait, Leave or End.
func (m *Machine) Next(now time.Duration) Action {
	m.resume(now)
	switch {
	case len(m.tells) > 0:
		a := m.tells[0]
		m.tells = slices.Delete(m.tells, 0, 1)
		return a
	case m.end != None:
		return Action{Kind: End, Reason: m.end, Text: m.detail}
	case m.leave(now):
		m.part.left = true
		return Action{Kind: Leave}
	case m.check && !m.part.left:
		m.check, m.checking = false, true
		return Action{Kind: Check}
	case m.up && now >= m.retryAt && m.due():
		return m.pull(now)
	}
	return Action{Kind: Wait, At: m.wake(now)}
}

// Tick looks at what time brought: silence, expiry, the end of a fetch.
func (m *Machine) Tick(now time.Duration, w World) {
	if w.Up && !m.up {
		m.LinkUp(now, w.Queued, w.QueuedBytes) // nobody told
	}
	m.arrivals(now, w)
	m.lost = slices.DeleteFunc(m.lost, func(p open) bool { return now >= p.deadline })
	if now >= m.retryAt {
		m.retryAt = 0
	}
	if m.up && !m.part.left {
		m.silence(now, w)
		m.expire(now, w)
	}
	if m.cfg.Once && m.cfg.Deadline > 0 && now >= m.cfg.Deadline {
		m.overdue(now)
	}
}

// silence looks for pulls that the server has forgotten.
func (m *Machine) silence(now time.Duration, w World) {
	if hb := m.listening(); hb == 0 || now-m.last < 2*hb {
		return
	}
	m.reopen(w.Queued, w.QueuedBytes)
	m.unanswered(now)
}

// unanswered is what follows from a pull of which nothing was heard.
func (m *Machine) unanswered(now time.Duration) {
	m.proven, m.alert = false, true
	m.silences++
	m.trouble, m.detail = NoHeartbeat, ""
	if m.cfg.EndOnSilence {
		m.finish(NoHeartbeat, "")
		return
	}
	m.tell(NoHeartbeat, "")
	m.retry(now)
}

// listening is how often the server owes us heartbeats; 0: it owes none. Which of
// the pulls are complete is not known, so it is the longest.
func (m *Machine) listening() (hb time.Duration) {
	for _, p := range m.pulls {
		hb = max(hb, p.heartbeat)
	}
	return hb
}

// expire closes pulls whose time is over. Most are complete: the last message
// of a pull is its end. What they did not bring is not outstanding any more.
func (m *Machine) expire(now time.Duration, w World) {
	silent := false
	before := len(m.pulls)
	m.pulls = slices.DeleteFunc(m.pulls, func(p open) bool {
		over := now >= p.deadline
		silent = silent || over && p.heartbeat == 0 && !p.late
		return over
	})
	if len(m.pulls) == before {
		return
	}
	owed := m.outstanding
	if len(m.pulls) == 0 {
		m.reopen(w.Queued, w.QueuedBytes)
	}
	m.clamp()
	if silent && owed > m.outstanding && w.Queued == 0 {
		m.unanswered(now)
	}
}

// overdue ends a fetch whose time is over, if the server does not: at once if
// there is nobody who could.
func (m *Machine) overdue(now time.Duration) {
	switch {
	case m.trouble != None:
		m.finish(m.trouble, m.detail)
	case len(m.pulls) == 0, m.part.left:
		m.finish(Finished, "")
	case now >= m.cfg.Deadline+grace || m.cfg.NoWait:
		m.finish(NoHeartbeat, "")
	}
}

// inflight is all that is on its way to the user.
func (m *Machine) inflight() int { return m.base + m.outstanding + m.buffered }

func (m *Machine) inflightBytes() int { return m.baseBytes + m.outBytes + m.bufferedBytes }

// bytesCapacity is the most bytes that a pull can ask for.
func (m *Machine) bytesCapacity() int {
	if m.maxBytes > 0 {
		return min(m.cfg.MaxBytes, m.maxBytes)
	}
	return m.cfg.MaxBytes
}

// due reports whether it is time for a pull, but for a retry that waits.
func (m *Machine) due() bool {
	if m.part.begun || m.end != None {
		return false
	}
	if msgs, bytes := m.credit(); msgs <= 0 || m.cfg.MaxBytes > 0 && bytes < max(m.minBytes, 1) {
		return false
	}
	if m.cfg.Once {
		return len(m.pulls) == 0 && m.base == 0
	}
	return m.inflight() <= m.cfg.Threshold && (m.cfg.MaxBytes == 0 || m.inflightBytes() <= m.cfg.MaxBytes/2) &&
		m.unfinished() < maxOpen
}

// unfinished is how many pulls, at least, what is outstanding belongs to.
func (m *Machine) unfinished() (n int) {
	for left := m.outstanding; left > 0 && n < len(m.pulls); n++ {
		left -= m.pulls[len(m.pulls)-1-n].batch
	}
	return n
}

// credit is what a pull may ask for.
func (m *Machine) credit() (msgs, bytes int) {
	if m.cfg.Once {
		return m.cfg.StopAfter - m.got - m.base - m.outstanding, m.cfg.MaxBytes - m.gotBytes
	}
	msgs = m.cfg.MaxMessages - m.inflight()
	if m.cfg.StopAfter > 0 {
		msgs = min(msgs, m.cfg.StopAfter-m.got-m.base-m.outstanding)
	}
	return msgs, m.cfg.MaxBytes - m.inflightBytes()
}

// pull makes the next request.
func (m *Machine) pull(now time.Duration) Action {
	r := m.request(now)
	if m.listening() == 0 {
		m.last = now // the silence counts from here
	}
	p := open{
		token: r.Token, batch: r.Batch, bytes: r.MaxBytes, issued: now, expires: now + r.Expires, heartbeat: r.Heartbeat,
		seen: m.came, seenBytes: m.cameBytes,
	}
	switch {
	case r.Expires == 0:
		p.deadline = max(m.cfg.Deadline, now) + grace
	case p.heartbeat > 0:
		p.deadline = p.expires + grace
	default:
		p.deadline = p.expires + probeGrace
	}
	m.pulls = append(m.pulls, p)
	if len(m.pulls) > maxKept {
		m.pulls = slices.Delete(m.pulls, 0, 1)
	}
	m.outstanding += r.Batch
	m.outBytes += r.MaxBytes
	m.retryAt = 0
	return Action{Kind: Pull, Request: r}
}

// request is the credit, within the limits of the consumer.
func (m *Machine) request(now time.Duration) Request {
	m.token++
	r := Request{Token: m.token, NoWait: m.cfg.NoWait, Expires: m.cfg.Expiry}
	r.Batch, r.MaxBytes = m.credit()
	if m.maxBatch > 0 {
		r.Batch = min(r.Batch, m.maxBatch)
	}
	r.MaxBytes = min(r.MaxBytes, m.bytesCapacity())
	if m.cfg.MaxBytes == 0 {
		r.MaxBytes = 0
	}
	if m.cfg.Once {
		r.Expires = max(m.cfg.Deadline-now, time.Millisecond)
	}
	if m.cfg.NoWait {
		r.Expires = 0
	}
	if m.maxExpires > 0 {
		r.Expires = min(r.Expires, m.maxExpires)
	}
	r.Heartbeat = m.heartbeat(&r.Expires)
	return r
}

// heartbeat says with which heartbeat a pull is sent. A server that has too many
// pulls says so, but not to those who asked for heartbeats; and one whose
// leadership is about to change may lose a pull without a word. So the first
// pull, and one after trouble, asks for none and lives for a short time only: its
// end is soon told, or missed. When that was in vain it gets longer, in case the
// way is.
//
// While there may be messages, heartbeats are shorter: a pull that is lost without
// a word keeps them waiting. One of that kind that brings nothing is the last, so
// an idle session pays nothing for it.
func (m *Machine) heartbeat(expires *time.Duration) time.Duration {
	hb := m.cfg.Heartbeat
	if hb == 0 || *expires == 0 {
		return 0
	}
	if !m.proven && (!m.cfg.Once || m.trouble != None) {
		*expires = min(*expires, 2*hb, probeTime<<min(m.silences, 10))
		return 0
	}
	if alert := m.cfg.Alert; m.alert && 0 < alert && alert < hb && !m.cfg.Once {
		hb = alert
		*expires = min(*expires, alertBeats*alert)
	}
	return min(hb, *expires/2)
}

// wake is when Tick is due.
func (m *Machine) wake(now time.Duration) time.Duration {
	at := now + 6*lookEvery
	sooner := func(t time.Duration) { at = min(at, t) }
	if m.up {
		if m.retryAt > 0 {
			sooner(m.retryAt)
		}
		for _, p := range m.pulls {
			sooner(p.deadline)
		}
		if hb := m.listening(); hb > 0 { // the time of messages was not noted
			sooner(min(now+hb, m.last+2*hb))
		}
	} else {
		sooner(now + lookEvery)
	}
	if m.cfg.Once && m.cfg.Deadline > 0 {
		if now < m.cfg.Deadline {
			sooner(m.cfg.Deadline)
		} else {
			sooner(m.cfg.Deadline + grace)
		}
	}
	if m.parting() {
		sooner(min(now+m.part.look(), m.leaveAt(now)))
	}
	return max(at, now+time.Millisecond)
}

// Quiet reports whether nothing can be on its way, so that the session's
// subscription can go without a message lost.
func (m *Machine) Quiet() bool { return m.nothingComes() && m.base == 0 }

package window

import "time"

// Action is what to do: hand a publish over, or wait for a point in time, which
// may be Never, and for whatever happens before.
type Action struct {
	Send  bool
	Token Token
	At    time.Duration
}

// Next says what to do. One that is to be sent counts as handed over until
// Handed, Unhanded or HandedOver says how that went.
func (m *Machine) Next(now time.Duration) Action {
	if now >= m.due {
		m.expire(now)
	}
	switch {
	case !m.Ready():
		return Action{At: m.due}
	case now < m.resumeAt:
		return Action{At: min(m.due, m.resumeAt)}
	}
	n := m.first
	m.unqueue(n)
	m.hand(&m.slots[n], now)
	if m.probe {
		m.probing = n
	}
	m.sending = m.Token(int(n))
	return Action{Send: true, Token: m.sending}
}

// Ready reports whether something that waits to leave could, as soon as its pause
// is over.
func (m *Machine) Ready() bool {
	return m.first >= 0 && m.up && m.behind == 0 && m.carried == 0 && m.probing < 0 && m.sending == 0
}

// expire looks at everything whose time may be over.
func (m *Machine) expire(now time.Duration) {
	m.due = Never
	for n := m.head; n >= 0; {
		s := &m.slots[n]
		next := s.next
		switch {
		case s.state == handing:
			s.late = s.late || now >= s.deadline // Handed will see to it
		case now >= s.deadline:
			m.settleFor(int(n), Expired, s.attempts.unknown || s.state == flying)
		case s.state == flying && now >= s.overdue:
			m.silent(n, now)
		default:
			m.due = min(m.due, s.deadline)
			if s.state == flying {
				m.due = min(m.due, s.overdue)
			}
		}
		n = next
	}
}

// silent deals with a publish that has waited for too long. If one behind it was
// stored, it was dropped or goes another way; both would change the order.
func (m *Machine) silent(n int32, now time.Duration) {
	s := &m.slots[n]
	if s.order < m.stored {
		s.overdue = Never
		m.due = min(m.due, s.deadline)
		return
	}
	if _, again := s.attempts.After(Silent, now, 0); !again {
		m.settleFor(int(n), Unheeded, true)
		return
	}
	s.doubtful = true
	m.stop(n, now)
}

// --- the list ---

// enqueue makes a publish wait to leave; flew: it was in flight.
func (m *Machine) enqueue(n int32, flew bool) {
	s := &m.slots[n]
	if flew {
		m.landed(n)
	}
	s.state, s.direct = queued, false
	m.queued++
	if m.first >= 0 && m.slots[m.first].order < s.order {
		return
	}
	m.first, m.behind = n, 0
	for i := s.next; i >= 0; i = m.slots[i].next {
		if m.slots[i].inFlight() {
			m.behind++
		}
	}
}

// landed counts a publish off those in flight.
func (m *Machine) landed(n int32) {
	s := &m.slots[n]
	if m.first >= 0 && s.order > m.slots[m.first].order {
		m.behind--
	}
	if s.link != m.link {
		m.carried--
	}
	if m.probing == n {
		m.probing = -1
	}
}

// unqueue takes a publish off those that wait to leave.
func (m *Machine) unqueue(n int32) {
	m.queued--
	if n != m.first {
		return
	}
	i := m.slots[n].next
	for ; i >= 0 && m.slots[i].state != queued; i = m.slots[i].next {
		if m.slots[i].inFlight() {
			m.behind--
		}
	}
	m.first = i
}

// settleFor settles a publish for a reason of the machine's.
func (m *Machine) settleFor(i int, why Why, unknown bool) {
	order, flew := m.slots[i].order, m.slots[i].inFlight()
	m.settle(int32(i))
	m.done = append(m.done, Done{i, why, unknown})
	if flew && unknown {
		m.stored = max(m.stored, order) // as far as anybody knows
		m.doom(order)
	}
}

// settle takes a publish out of the window.
func (m *Machine) settle(n int32) {
	s := &m.slots[n]
	if s.state == queued {
		m.unqueue(n)
	} else {
		m.landed(n)
	}
	if s.prev >= 0 {
		m.slots[s.prev].next = s.next
	} else {
		m.head = s.next
	}
	if s.next >= 0 {
		m.slots[s.next].prev = s.prev
	} else {
		m.tail = s.prev
	}
	m.open--
	if m.queued == 0 && m.probing < 0 {
		m.probe = false
	}
	if s.state == handing {
		s.state = gone
		return
	}
	m.release(n)
}

// release lets a slot be used again.
func (m *Machine) release(n int32) {
	s := &m.slots[n]
	s.state, s.gen = free, (s.gen+1)&genMask
	s.next, m.idle = m.idle, n
}

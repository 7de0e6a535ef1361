package window

import (
	"math"
	"time"
)

// Never is a point in time that does not come.
const Never = time.Duration(math.MaxInt64)

type state uint8

const (
	free    state = iota
	handing       // somebody hands it over to the link
	flying        // it left, or may yet
	queued        // it waits to leave
	gone          // settled while it was handed over
)

// slot is one publish.
type slot struct {
	gen      uint64
	order    uint64
	deadline time.Duration // the end of its patience
	overdue  time.Duration // when it is sent again without an answer; Never
	at       uint64        // where it stands on its link
	attempts Attempts
	link     uint32 // number of the link it was handed to
	next     int32  // in order; of a free one, the next free one
	prev     int32
	attempt  uint8
	state    state
	direct   bool // who publishes hands it over himself
	late     bool // its deadline passed meanwhile
	doubtful bool // it was refused, or not answered: what is stored behind it dooms it
}

func (s *slot) inFlight() bool { return s.state == handing || s.state == flying }

// Machine is one window. Times are those of one clock, above 0.
type Machine struct {
	slots  []slot
	idle   int32 // the first free slot; -1: none
	head   int32 // the first in order; -1: none
	tail   int32
	open   int
	orders uint64

	up      bool
	closed  bool
	link    uint32 // number of the link
	carried int    // in flight on a link that was left in good order

	queued   int
	first    int32 // the first queued one; -1: none
	behind   int   // in flight, in order behind first
	stored   uint64
	resumeAt time.Duration
	probe    bool  // one alone, next
	probing  int32 // it; -1: not under way
	sending  Token // what Next had sent, until it is reported; 0: nothing

	due  time.Duration // nothing is overdue before
	done []Done
}

// New makes a machine without a link.
func New() *Machine {
	return &Machine{idle: -1, head: -1, tail: -1, first: -1, probing: -1, due: Never}
}

// Why says why a publish was settled by something else than its answer.
type Why uint8

const (
	Expired   Why = iota // its time is over
	LinkLost             // the link was lost, and it cannot be sent again
	Overtaken            // it failed, and one behind it may be stored
	Unheard              // no stream listens on its subject
	Unheeded             // no answer to any attempt
	Closed               // there will be no link
	Failed               // as the caller of FailAll said
)

// Done is a settled publish; its slot may be used again.
type Done struct {
	Slot    int
	Why     Why
	Unknown bool // it may have been stored
}

// Take returns what the calls since the last Take settled. The slice is good
// until the next call.
func (m *Machine) Take() []Done {
	done := m.done
	m.done = m.done[:0]
	return done
}

// Settled reports whether there is something to Take.
func (m *Machine) Settled() bool { return len(m.done) > 0 }

// Open is how many publishes are not settled.
func (m *Machine) Open() int { return m.open }

// Due is when Next has to be called, if nothing happens before.
func (m *Machine) Due() time.Duration { return m.due }

// Oldest is the order of the oldest publish that is not settled, or that of the
// next one.
func (m *Machine) Oldest() uint64 {
	if m.head < 0 {
		return m.orders + 1
	}
	return m.slots[m.head].order
}

// NextOrder is the order of the next publish.
func (m *Machine) NextOrder() uint64 { return m.orders + 1 }

// Add takes a publish. With direct the caller has to hand it over now, and to
// say how that went by Handed, Unhanded or Remove; else Next will say when.
func (m *Machine) Add(now, deadline time.Duration, a Attempts) (i int, direct bool) {
	n := m.take()
	s := &m.slots[n]
	m.orders++
	m.open++
	gen := (s.gen + 1) & genMask
	*s = slot{gen: gen, order: m.orders, deadline: deadline, overdue: Never, attempts: a, next: -1, prev: m.tail}
	s.attempts.Started = now
	if m.tail >= 0 {
		m.slots[m.tail].next = n
	} else {
		m.head = n
	}
	m.tail = n
	if m.Direct() {
		s.direct = true
		m.hand(s, now)
		return int(n), true
	}
	m.enqueue(n, false)
	m.due = min(m.due, deadline)
	return int(n), false
}

// Direct reports whether the next publish goes to the link at once.
func (m *Machine) Direct() bool {
	return m.up && m.queued == 0 && !m.probe && m.carried == 0 && m.sending == 0
}

func (m *Machine) take() int32 {
	if n := m.idle; n >= 0 {
		m.idle = m.slots[n].next
		return n
	}
	m.slots = append(m.slots, slot{})
	return int32(len(m.slots) - 1)
}

// hand begins an attempt.
func (m *Machine) hand(s *slot, now time.Duration) {
	s.state, s.link = handing, m.link
	s.attempt++
	s.overdue = Never
	if p := s.attempts.Patience(); p > 0 {
		s.overdue = now + p
	}
}

// Handed says that the attempt is with the link, at an offset.
func (m *Machine) Handed(t Token, at uint64, now time.Duration) {
	s := m.handed(t)
	if s == nil {
		return
	}
	s.state, s.at = flying, at
	if s.late && s.direct {
		s.deadline = now + s.deadline - s.attempts.Started
	}
	s.direct = false
	m.due = min(m.due, s.deadline, s.overdue)
	if m.closed {
		m.settleFor(t.slot(), Closed, true)
	}
}

// Late reports whether the time of a publish was over before it was handed over.
func (m *Machine) Late(t Token) bool { return m.slots[t.slot()].late }

// Current reports whether the attempt was handed to the present link. If not,
// HandedOver has to be called instead of Handed.
func (m *Machine) Current(t Token) bool {
	i := int32(t.slot())
	return m.slots[i].link == m.link || m.slots[i].gen != t.gen()
}

// HandedOver is Handed for a link that has ended meanwhile: whether it left on
// it, and whether that was lost.
func (m *Machine) HandedOver(t Token, left, lost bool, now time.Duration) {
	s := m.handed(t)
	if s == nil {
		return
	}
	s.direct = false
	switch i := int32(t.slot()); {
	case m.closed:
		m.settleFor(int(i), Closed, left)
	case !left:
		m.enqueue(i, true)
		m.due = min(m.due, s.deadline)
	case lost:
		m.lost(i, now)
	default:
		s.state = flying
		m.due = min(m.due, s.deadline, s.overdue)
	}
}

// Unhanded says that the link did not take the attempt: because it is at its end,
// or because there was no room.
func (m *Machine) Unhanded(t Token, ended bool) {
	s := m.handed(t)
	if s == nil {
		return
	}
	i := int32(t.slot())
	if ended && s.link == m.link {
		m.up = false // until LinkDown, and LinkUp
	}
	s.direct = false
	if m.closed {
		m.settleFor(int(i), Closed, false)
		return
	}
	m.enqueue(i, true)
	m.due = min(m.due, s.deadline)
}

// Remove forgets a publish that could not be handed over.
func (m *Machine) Remove(t Token) {
	if s := m.handed(t); s != nil {
		m.settle(int32(t.slot()))
		m.release(int32(t.slot()))
	}
}

// handed finds the attempt that somebody handed over; nil if it is settled, or
// was refused already.
func (m *Machine) handed(t Token) *slot {
	if t == m.sending {
		m.sending = 0
	}
	s := &m.slots[t.slot()]
	if s.gen != t.gen() || s.attempt&attemptMask != t.attempt() {
		return nil
	}
	switch s.state {
	case handing:
		return s
	case gone:
		m.release(int32(t.slot()))
	}
	return nil
}

// Find returns the slot of an answer: final ones settle it whichever attempt
// they answer, others are for the present attempt.
func (m *Machine) Find(t Token) (i int, present, ok bool) {
	i = t.slot()
	if i >= len(m.slots) {
		return 0, false, false
	}
	s := &m.slots[i]
	if s.gen != t.gen() || s.state == free || s.state == gone || s.attempt == 0 {
		return 0, false, false
	}
	return i, s.inFlight() && s.attempt&attemptMask == t.attempt(), true
}

// Unknown reports whether an earlier attempt may have been stored.
func (m *Machine) Unknown(i int) bool { return m.slots[i].attempts.unknown }

// Stored settles a publish: its stream has it.
func (m *Machine) Stored(i int) {
	n := int32(i)
	order := m.slots[n].order
	m.stored = max(m.stored, order)
	if m.probing == n {
		m.probe = false
	}
	m.settle(n)
	m.doom(order)
}

// doom settles what is to be tried again, and was overtaken.
func (m *Machine) doom(order uint64) {
	for n := m.first; n >= 0 && m.slots[n].order < order; {
		s := &m.slots[n]
		next := s.next
		if s.state == queued && s.doubtful {
			m.settleFor(int(n), Overtaken, s.attempts.unknown)
		}
		n = next
	}
}

// Failed says what the present attempt's answer was. Without again it is
// settled, by the answer. same reports whether two publishes have the same
// subject.
func (m *Machine) Failed(i int, o Outcome, now time.Duration, chance float64, same func(a, b int) bool) (again bool) {
	n := int32(i)
	s := &m.slots[n]
	wasProbe := m.probing == n
	pause, again := s.attempts.After(o, now, chance)
	again = again && s.order > m.stored
	if again {
		s.doubtful = true
		m.stop(n, now+pause)
	} else {
		m.settle(n)
	}
	if wasProbe && o == NotHeard {
		m.unheard(i, now, same)
	}
	return again
}

// stop puts a publish back, and lets nothing leave before it.
func (m *Machine) stop(n int32, resume time.Duration) {
	m.probe = true
	m.resumeAt = max(m.resumeAt, resume)
	m.enqueue(n, true)
	m.due = min(m.due, m.slots[n].deadline)
}

// unheard counts an attempt that no stream heard for all that waited on the same
// subject: they would not have been heard either.
func (m *Machine) unheard(i int, now time.Duration, same func(a, b int) bool) {
	for n := m.first; n >= 0; {
		s := &m.slots[n]
		next := s.next
		if int(n) != i && s.state == queued && same(i, int(n)) {
			if _, again := s.attempts.After(NotHeard, now, 0); !again {
				m.settleFor(int(n), Unheard, s.attempts.unknown)
			}
		}
		n = next
	}
}

// LinkUp says that there is a link.
func (m *Machine) LinkUp() { m.up = true }

// LinkDown says that the link is gone, and what left on it: all that stands
// before left. Without lost it was left in good order, and answers still come.
func (m *Machine) LinkDown(left uint64, lost bool, now time.Duration) {
	old := m.link
	m.link++
	m.up = false
	m.carried = 0
	for n := m.head; n >= 0; {
		s := &m.slots[n]
		next := s.next
		switch {
		case s.state == handing, s.state == flying && s.link != old, s.state == flying && s.at < left && !lost:
			m.carried++
		case s.state != flying:
		case s.at < left:
			m.carried++ // lost counts it off
			m.lost(n, now)
		default:
			m.carried++
			m.enqueue(n, true)
		}
		n = next
	}
}

// lost deals with a publish that left on a link that was lost.
func (m *Machine) lost(n int32, now time.Duration) {
	s := &m.slots[n]
	if _, again := s.attempts.After(Lost, now, 0); !again {
		m.settleFor(int(n), LinkLost, true)
		return
	}
	s.doubtful = false
	m.enqueue(n, true)
	m.due = min(m.due, s.deadline)
	m.doom(s.order) // it may be stored
}

// Close says that there will be no more links.
func (m *Machine) Close() {
	m.closed, m.up = true, false
	m.settleAll(Closed)
}

// FailAll settles everything, because no answers can come. What leaves after that
// is another matter.
func (m *Machine) FailAll() { m.settleAll(Failed) }

func (m *Machine) settleAll(why Why) {
	for n := m.head; n >= 0; {
		s := &m.slots[n]
		next := s.next
		if !s.direct { // else it is not published yet
			m.settleFor(int(n), why, s.attempts.unknown || s.inFlight())
		}
		n = next
	}
}

// Fail settles the oldest publish in flight that is picked, and returns it; -1 if
// there is none.
func (m *Machine) Fail(pick func(i int) bool) int {
	for n := m.head; n >= 0; n = m.slots[n].next {
		if m.slots[n].inFlight() && pick(int(n)) {
			m.settle(n)
			return int(n)
		}
	}
	return -1
}

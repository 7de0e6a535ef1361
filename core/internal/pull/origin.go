package pull

import "time"

const (
	// Doubts without a reason are followed by a wait, longer each time.
	minDoubt = time.Second
	maxDoubt = 5 * time.Minute
)

// origin notices that a consumer may not be the one that the session began with.
// A consumer numbers what it delivers. A number that is not above all before it
// is a sign that it was deleted and made anew. It can also have been reset, or its
// new leader knows a little less, or two workers have overtaken each other. So the
// sign is a reason to ask when the consumer was made, and nothing more.
type origin struct {
	created time.Time // zero: not known, and nothing is noticed
	highest uint64    // number so far; 0: the next one begins
	doubtAt time.Duration
	wait    time.Duration
}

// Delivered notes the number of a message. It reports whether that is a reason to
// Doubt.
func (m *Machine) Delivered(number uint64) bool {
	o := &m.origin
	if number > o.highest {
		o.highest = number
		return false
	}
	return !o.created.IsZero() && !m.check && !m.checking
}

// Doubt asks for the consumer, unless that was in vain a short time ago.
func (m *Machine) Doubt(now time.Duration) {
	o := &m.origin
	if now < o.doubtAt {
		return
	}
	o.wait = min(max(2*o.wait, minDoubt), maxDoubt)
	o.doubtAt = now + o.wait
	m.check = true
}

// Found notes that the consumer exists, and when it was made. It reports whether
// it is another one, and when the one before was made.
func (m *Machine) Found(created time.Time) (before time.Time, anew bool) {
	o := &m.origin
	before, anew = o.created, !o.created.IsZero() && !o.created.Equal(created)
	if anew {
		o.doubtAt, o.wait = 0, 0
	}
	o.created, o.highest = created, 0
	return before, anew
}

// Trust ends all doubts: the user may not ask.
func (m *Machine) Trust() { m.origin = origin{} }

package window

import "time"

// Outcome is what became of one attempt.
type Outcome uint8

const (
	Refused  Outcome = iota // for good
	NotHeard                // no stream listens
	NotSent                 // no byte left
	Dropped                 // the server is overloaded
	NotNow                  // the server could not take it at this moment
	Lost                    // it left, and the link was lost
	Silent                  // it left, and there was no answer in time
	Over                    // it left, and there is no more time to wait
)

const (
	// resendWindow is for how long a message with an id may be sent again: half
	// of what streams remember ids for by default.
	resendWindow = time.Minute
	// maxWait bounds the waits for an overloaded server.
	maxWait = 2 * time.Second
	// firstPatience is how long an attempt with an id waits for its receipt
	// before it is sent again. Each following one waits twice as long.
	firstPatience = 2 * time.Second
	maxPatience   = 16 * time.Second
)

// Policy is how often to try when no stream listens, and the wait before.
type Policy struct {
	Retries int // below 0: without end
	Wait    time.Duration
}

// Attempts decides after a failed attempt whether there is another one. The
// fields that are not exported count what has failed so far.
type Attempts struct {
	Policy  *Policy
	Started time.Duration
	Named   bool // it has a message id
	Expects bool // stored before, it would be refused

	unknown bool
	unheard int32
	refused int32
	silent  int32
}

// Unknown reports whether an attempt may have been stored.
func (a *Attempts) Unknown() bool { return a.unknown }

// Patience is how long the next attempt may wait; 0: as long as the publish.
func (a *Attempts) Patience() time.Duration {
	if !a.Named {
		return 0
	}
	return min(firstPatience<<min(a.silent, 8), maxPatience)
}

// After says how long to wait before the next attempt, if there is one. chance
// is in [0, 1).
func (a *Attempts) After(o Outcome, now time.Duration, chance float64) (pause time.Duration, again bool) {
	switch o {
	case NotHeard:
		a.unheard++
		return a.Policy.Wait, a.Policy.Retries < 0 || int(a.unheard) <= a.Policy.Retries
	case NotSent:
		return a.Policy.Wait, true
	case Dropped:
		return a.backoff(chance), true
	case NotNow:
		return a.backoff(chance), a.Named || a.Expects
	case Lost, Silent, Over:
		a.unknown = true
		if o == Silent {
			a.silent++
		}
		return 0, o != Over && a.Named && now-a.Started < resendWindow
	}
	return 0, false
}

// backoff doubles the wait each time, with jitter so that those who were refused
// together do not come back together.
func (a *Attempts) backoff(chance float64) time.Duration {
	d := min(a.Policy.Wait<<min(a.refused, 8), maxWait)
	a.refused++
	return d/2 + time.Duration(chance*float64(d/2+1))
}

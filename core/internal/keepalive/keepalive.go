// Package keepalive decides when a link needs a PING and when it is dead.
//
// It is a pure decision: what is known goes in, what to do comes out. The
// link's writer asks it and does what it says.
package keepalive

import "time"

// ConfirmAfter is how long written messages may stay without a PING that asks
// for their confirmation.
const ConfirmAfter = time.Second

// forever is longer than any link lives, and adds up to no overflow.
const forever = 50 * 365 * 24 * time.Hour

// Config is the user's choice.
type Config struct {
	Interval       time.Duration // of inbound silence before a PING; <= 0: no keep-alive
	MaxOutstanding int           // intervals a PING may stay unanswered
}

// Input is the state of a link; times are on one monotonic clock.
type Input struct {
	Now         time.Duration
	LastInbound time.Duration // when bytes came last
	Outstanding bool          // a PING was made and is not answered
	OldestPing  time.Duration // when it was written; 0: not yet
	Unasked     bool          // messages were written and no PING followed them
	UnaskedAt   time.Duration // since when
}

// Decision is what to do now, and when to ask again at the latest; Next 0 means
// that nothing is to come. Whoever changes the state that Input describes may
// ask earlier.
type Decision struct {
	Ping bool
	Dead bool
	Next time.Duration
}

// Decide is the whole policy. A PING goes out after Interval without inbound
// bytes, or ConfirmAfter after unconfirmed messages were written. A PING that
// stays unanswered for MaxOutstanding intervals means that the link is dead,
// even if other bytes arrive.
func Decide(c Config, in Input) Decision {
	var d Decision
	next := func(at time.Duration) {
		if d.Next == 0 || at < d.Next {
			d.Next = at
		}
	}
	if in.Unasked {
		if in.Now-in.UnaskedAt >= ConfirmAfter {
			d.Ping = true
		} else {
			next(in.UnaskedAt + ConfirmAfter)
		}
	}
	if c.Interval <= 0 {
		return d
	}
	c.Interval = min(c.Interval, forever)
	limit := forever
	if n := time.Duration(max(c.MaxOutstanding, 1)); c.Interval <= forever/n {
		limit = c.Interval * n
	}
	switch {
	case in.Outstanding && in.OldestPing != 0:
		if in.Now-in.OldestPing >= limit {
			return Decision{Dead: true}
		}
		next(in.OldestPing + limit)
		next(in.Now + c.Interval) // the PONG may come, and then silence
	case in.Outstanding:
		// Waits to be written; the write timeout watches over that.
		next(in.Now + c.Interval)
	case in.Now-in.LastInbound >= c.Interval:
		d.Ping = true
	default:
		next(in.LastInbound + c.Interval)
	}
	if d.Ping {
		next(in.Now + min(limit, c.Interval))
	}
	return d
}

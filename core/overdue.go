package nats

import "time"

// overdue are the open requests that RequestTimeout ends, oldest first. They all
// get the same time, so one timer looks after them: with a timer and its channel
// for each, a request would cost a tenth more.
type overdue struct {
	timeout time.Duration
	clock   func() time.Duration
	alarm   func(time.Duration) // calls expire after that time, once; 0: does not

	first, last *pending // guarded by requests.mu, as is set
	set         bool     // the alarm is: for the first, or for one that is over by now
}

// watch puts a request that begins now at the end of the line; mu held.
func (o *overdue) watch(p *pending) {
	p.watched, p.limit, p.before = true, o.clock()+o.timeout, o.last
	if o.last != nil {
		o.last.after = p
	} else {
		o.first = p
	}
	o.last = p
	if !o.set {
		o.set = true
		o.alarm(o.timeout)
	}
}

// unwatch takes a request out of the line, if it is there; mu held.
func (o *overdue) unwatch(p *pending) {
	if !p.watched {
		return
	}
	if p.before != nil {
		p.before.after = p.after
	} else {
		o.first = p.after
	}
	if p.after != nil {
		p.after.before = p.before
	} else {
		o.last = p.before
	}
	p.watched, p.before, p.after = false, nil, nil
}

// expire ends the requests whose time is over.
func (r *requests) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	for p := r.first; p != nil && p.limit <= now; p = r.first {
		err := timeoutAfter(r.timeout)
		if !p.sent {
			err = unsent{err}
		}
		r.settle(p, outcome{err: err}, &r.count.timedOut)
	}
	if r.set = r.first != nil; r.set {
		r.alarm(r.first.limit - now)
	}
}

// alarmClock is the alarm of a Conn; what it returns is called with mu held.
func alarmClock(ring func()) func(time.Duration) {
	var timer *time.Timer
	return func(d time.Duration) {
		switch {
		case timer == nil && d > 0:
			timer = time.AfterFunc(d, ring)
		case d > 0:
			timer.Reset(d)
		case timer != nil:
			timer.Stop()
		}
	}
}

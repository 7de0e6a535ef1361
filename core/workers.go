package nats

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/perigee-go/nats/core/internal/queue"
)

// workers call the handlers of a connection's subscriptions. Subscriptions with
// messages stand in a line; a worker takes the first, calls its handler for a
// segment of messages and puts it back if there are more. One worker is usual:
// what it calls finds everything in its caches. Others come when the first in
// line has waited too long, because handlers block or compute. A subscription
// whose handler was seen to block does not stand in line at all: it gets a
// worker of its own. A worker ends when there is nothing to do, so an idle
// connection has none.
type workers struct {
	mu     sync.Mutex // guards all below; never held while a handler runs
	line   []*Subscription
	head   int
	since  time.Duration // when the first in line became the first
	active int           // workers that are not known to be held up
	list   []*worker
	spare  *worker // one that ended, to be used again
	armed  bool
	timer  *time.Timer
}

type worker struct {
	began time.Duration // when it took what it is at; 0: between two
	stuck bool          // at it for longer than patience: not counted as active
}

const (
	// patience is how long the first in line waits before there is one more
	// worker.
	patience = 500 * time.Microsecond
	// watchEvery is how often that is looked at while somebody stands in line.
	watchEvery = time.Millisecond
	// A handler that takes longer blocks; one below blocks no more.
	slowCall = 200 * time.Microsecond
	fastCall = 20 * time.Microsecond
	// maxStride is how many handler calls are counted at once; strideTime is
	// how long they may take before there are fewer.
	maxStride  = 256
	strideTime = 20 * time.Microsecond
)

var processStart = time.Now()

// monotonic is a cheap clock for differences.
func monotonic() time.Duration { return time.Since(processStart) }

// add queues subscriptions, once for each slot they took.
func (p *workers) add(subs []*Subscription) {
	p.mu.Lock()
	for _, s := range subs {
		if s.slow.Load() {
			go p.dedicated(s)
			continue
		}
		p.line = append(p.line, s)
	}
	if p.head < len(p.line) {
		if p.active == 0 {
			p.since = monotonic()
			p.start()
			if p.head+1 < len(p.line) {
				p.arm()
			}
		} else {
			p.check()
			p.arm()
		}
	}
	p.mu.Unlock()
}

// start makes one more worker; mu held.
func (p *workers) start() {
	w := p.spare
	if p.spare = nil; w == nil {
		w = new(worker)
	}
	p.active++
	p.list = append(p.list, w)
	go p.work(w)
}

// check looks whether the first in line has waited too long; mu held. Workers
// that are held up count no more, and if all are, their number doubles: many
// blocking handlers are found in a few steps.
func (p *workers) check() {
	now := monotonic()
	if now-p.since <= patience {
		return
	}
	stuck := 0
	for _, w := range p.list {
		if !w.stuck && w.began != 0 && now-w.began > patience {
			w.stuck = true
			p.active--
		}
		if w.stuck {
			stuck++
		}
	}
	limit := runtime.GOMAXPROCS(0)
	if p.active >= limit {
		return
	}
	want := max(1, stuck)
	p.since = now
	for range min(want, max(limit-p.active, stuck), len(p.line)-p.head) {
		p.start()
	}
}

// arm sees to it that somebody looks again even if nothing arrives; mu held.
func (p *workers) arm() {
	if p.armed {
		return
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(watchEvery, p.watch)
	} else {
		p.timer.Reset(watchEvery)
	}
}

// stop ends the timer, when no subscription has anything left.
func (p *workers) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.armed = false
	}
}

func (p *workers) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if p.head < len(p.line) {
		p.check()
		p.arm()
	}
}

// next takes the first in line; mu held.
func (p *workers) next() *Subscription {
	if p.head == len(p.line) {
		p.line, p.head = p.line[:0], 0
		return nil
	}
	s := p.line[p.head]
	p.line[p.head] = nil
	if p.head++; p.head > 1024 && p.head*2 > len(p.line) {
		n := copy(p.line, p.line[p.head:])
		clear(p.line[n:])
		p.line, p.head = p.line[:n], 0
	}
	return s
}

// work is a worker's life.
func (p *workers) work(w *worker) {
	returned := false
	defer func() {
		if !returned {
			p.left(w)
		}
	}()
	now := monotonic() // read once a run: at its end
	p.mu.Lock()
	for {
		s := p.next()
		if s == nil {
			p.leave(w)
			p.spare = w
			p.mu.Unlock()
			returned = true
			return
		}
		w.began = now
		p.since = now
		p.mu.Unlock()

		var again bool
		again, now = s.run(now)

		p.mu.Lock()
		w.began = 0
		if w.stuck {
			w.stuck = false
			p.active++
		}
		if again {
			if s.slow.Load() {
				go p.dedicated(s)
			} else {
				p.line = append(p.line, s)
				if p.head+1 < len(p.line) { // others wait, too
					p.arm()
				}
			}
		}
	}
}

// leave takes a worker off the list; mu held.
func (p *workers) leave(w *worker) {
	if i := slices.Index(p.list, w); i >= 0 {
		p.list = slices.Delete(p.list, i, i+1)
		if !w.stuck {
			p.active--
		}
	}
}

// left is for a handler that ended its goroutine with runtime.Goexit: another
// worker goes on.
func (p *workers) left(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(w)
	if p.head < len(p.line) && p.active == 0 {
		p.start()
	}
}

// dedicated is the life of a worker of one subscription.
func (p *workers) dedicated(s *Subscription) {
	now := monotonic()
	for again := true; again; {
		again, now = s.run(now)
	}
}

// progress is how far a run came.
type progress struct {
	done, bytes uint64
}

// run calls the handler for some of the messages that wait. It reports whether
// there are more, in which case the caller still has its slot, and what time it
// is at the end.
func (s *Subscription) run(now time.Duration) (again bool, end time.Duration) {
	var seg []queue.Entry
	s.mu.Lock()
	start := s.popped
	before := s.q.Bytes()
	if s.concurrency > 1 {
		if s.q.Len() > 0 {
			seg = []queue.Entry{s.q.Pop()}
		}
	} else {
		seg = s.q.Take()
	}
	bytes := uint64(before - s.q.Bytes())
	s.popped += uint64(len(seg))
	s.poppedB += bytes
	s.runs = append(s.runs, start)
	s.mu.Unlock()

	var did progress
	returned := false
	defer func() {
		if !returned { // the handler panicked, or ended its goroutine
			s.abandon(start, uint64(len(seg))-did.done, bytes-did.bytes)
		}
	}()
	end = s.call(seg, &did, now)
	returned = true

	s.mu.Lock()
	s.runEnds(start)
	if s.concurrency == 1 {
		s.q.Put(seg)
	}
	over := false
	if again = s.q.Len() > 0; !again {
		s.slots--
		over = s.emptied()
	}
	s.mu.Unlock()
	if over {
		s.finish()
	}
	return again, end
}

// abandon mends the books after a run that did not return: the rest of its
// messages are dropped, which is all that can be said of them, and what still
// waits gets another worker.
func (s *Subscription) abandon(start, lost, lostB uint64) {
	s.mu.Lock()
	if !s.stopped.Load() {
		s.discarded += lost
		s.discardedB += lostB
	}
	s.runEnds(start)
	more := s.q.Len() > 0
	over := false
	if !more {
		s.slots--
		over = s.emptied()
	}
	s.mu.Unlock()
	if more {
		s.nc.work.add([]*Subscription{s})
	}
	if over {
		s.finish()
	}
}

// runEnds takes a run off the list; mu held.
func (s *Subscription) runEnds(start uint64) {
	if i := slices.Index(s.runs, start); i >= 0 {
		s.runs[i] = s.runs[len(s.runs)-1]
		s.runs = s.runs[:len(s.runs)-1]
	}
	if s.stopped.Load() && len(s.runs) == 0 {
		s.discarded, s.discardedB = s.popped-s.handled.Load(), s.poppedB-s.handledBytes.Load()
	}
	s.notifySettled()
}

// call calls the handler for the entries, as long as the subscription is not
// stopped. What was handled is counted in strides: as many calls as fit into
// strideTime, so that a slow handler is counted call by call and a fast one
// costs no atomic operation a message.
func (s *Subscription) call(seg []queue.Entry, did *progress, last time.Duration) (end time.Duration) {
	limit := s.strideLimit()
	stride := 1
	for i := 0; i < len(seg); {
		n, b := uint64(0), uint64(0)
		for ; i < len(seg) && n < uint64(stride) && !s.stopped.Load(); i++ {
			b += uint64(seg[i].Size())
			s.handler(s.msg(&seg[i]))
			n++
		}
		if n == 0 {
			return last // stopped
		}
		s.count(n, b)
		did.done += n
		did.bytes += b
		now := monotonic()
		took := now - last
		last = now
		switch {
		case took < strideTime:
			stride = min(2*stride, limit)
		case took > 4*strideTime:
			stride = max(1, stride/4)
		}
		if per := took / time.Duration(n); per > slowCall {
			s.slow.Store(true)
		} else if per < fastCall && s.slow.Load() {
			s.slow.Store(false)
		}
	}
	return last
}

func (s *Subscription) count(msgs, bytes uint64) {
	s.handled.Add(msgs)
	s.handledBytes.Add(bytes)
}

// strideLimit keeps strides small beside the pending limit.
func (s *Subscription) strideLimit() int {
	limit := s.limitMsgs.Load()
	if limit < 0 {
		return maxStride
	}
	return int(max(1, min(maxStride, limit/8)))
}

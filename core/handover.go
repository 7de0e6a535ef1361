package nats

import "github.com/perigee-go/nats/core/internal/wire"

// handOver gives a subscription d.entries: n messages, and word of those that
// were dropped.
func (d *receiver) handOver(s *Subscription, n, bytes int, dropped uint64) {
	d.push(s, n, bytes, dropped)
	if dropped > 0 && s.overflow == OverflowEnd {
		d.endSlow(s)
	}
	d.checkUsedUp(s)
}

func (d *receiver) push(s *Subscription, n, bytes int, dropped uint64) {
	c := &s.chain
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		d.orphaned += uint64(n) + dropped
		return
	}
	if n > 0 {
		c.lag = s.q.Len()
		c.estimate += int64(n)
		c.estimateB += int64(bytes)
	}
	feed := d.enter(s, n, bytes, dropped)
	s.mu.Unlock()
	s.received.Add(uint64(n) + dropped)
	clear(d.entries)
	if feed {
		go s.pump()
	}
}

// enter is push for who holds s.mu and has nothing to do with the chain. It
// reports whether the subscription's channel needs somebody who feeds it.
func (d *receiver) enter(s *Subscription, n, bytes int, dropped uint64) (feed bool) {
	if n > 0 {
		s.pushed += uint64(n)
		rest, restB := d.entries, bytes
		if s.kind == kindChan {
			rest, restB = s.feedNow(rest, restB)
		}
		s.q.Push(rest, restB)
		if msgs, b := s.pending(); int(msgs) > s.maxMsgs || int(b) > s.maxBytes {
			s.maxMsgs, s.maxBytes = max(s.maxMsgs, int(msgs)), max(s.maxBytes, int(b))
		}
	}
	if dropped > 0 {
		s.dropped += dropped
		s.noteDrop(dropped)
	}
	switch s.kind {
	case kindHandler:
		for want := min(s.concurrency, len(s.runs)+s.q.Len()); s.slots < want; s.slots++ {
			d.ready = append(d.ready, s)
		}
	case kindSync:
		if s.waiting > 0 {
			s.signal()
		}
	case kindChan:
		if !s.busy {
			if feed = s.q.Len() > 0; feed {
				s.busy = true
			} else {
				s.emptied() // not over: it is not closed
			}
		}
	}
	return feed
}

// noteDrop keeps the books of a slow consumer; mu held.
func (s *Subscription) noteDrop(n uint64) {
	s.report += n
	if s.episode == 0 {
		s.nc.emit(SlowConsumer{s, n, false})
	}
	s.episode += n
}

// checkUsedUp ends a subscription that has had its last message. It looks after
// received was counted, and AutoUnsubscribe looks after it set max: one of them
// sees both.
func (d *receiver) checkUsedUp(s *Subscription) {
	if max := s.max.Load(); max > 0 && s.received.Load() >= max {
		d.nc.reg.remove(s)
		s.end(nil, false)
	}
}

// endSlow ends a subscription that could not keep up.
func (d *receiver) endSlow(s *Subscription) {
	if d.nc.reg.remove(s) {
		d.nc.reg.tell(s, wire.AppendUnsub(nil, s.sid, 0))
	}
	s.mu.Lock()
	err := &SlowConsumerError{s.subject, s.dropped + s.discarded}
	s.report = 0
	s.mu.Unlock()
	s.end(err, false)
}

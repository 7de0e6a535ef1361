package nats

import (
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/queue"
	"github.com/perigee-go/nats/core/internal/wire"
)

// When one link's place is taken by another (see migrate.go) two readers are at
// work for a moment. What a subscription keeps for its reader, its chain, is the
// old link's; the new one hands over message by message and leaves it alone.
// A message of a queue subscription comes on one of the links. One of a plain
// subscription comes on both: it is taken from the old link until the new one
// is known to bring all of them, then from that.
const (
	alone    uint32 = iota // the only link
	leaving                // the old one: plain subscriptions get nothing more from it
	arriving               // the new one: plain subscriptions get nothing from it yet
	taking                 // the new one
)

// late reports whether the new link is told of s only when the old one has
// ended: what counts its messages, or handles them on the reader, cannot be in
// two places.
func (s *Subscription) late() bool {
	return s.kind == kindReader || s.max.Load() > 0 && !s.internal()
}

// takeOver deals with a message while there are two links. It reports false if
// it is to be handed over as usual.
func (d *receiver) takeOver(s *Subscription, b []byte, f *wire.Frame) bool {
	if d.part == leaving {
		if s.queue != "" || s.late() {
			return false
		}
		d.orphaned++ // the other link brings it, too
		return true
	}
	d.single(s, b, f)
	return true
}

// single hands one message over, without s.chain.
func (d *receiver) single(s *Subscription, b []byte, f *wire.Frame) {
	if !d.wants(s) {
		d.orphaned++
		return
	}
	size := f.Size
	mem := copyFrame(b, f)

	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		d.orphaned++
		return
	}
	d.entries = append(d.entries[:0], queue.Make(mem, size, f.HeaderLen, f.ReplyLen, f.SubjectLen))
	n, dropped := 1, uint64(0)
	if !s.makeRoom(size) {
		n, size, dropped = 0, 0, 1
		d.entries = d.entries[:0]
	}
	feed := d.enter(s, n, size, dropped)
	s.seen++
	s.received.Add(1)
	s.mu.Unlock()
	clear(d.entries)
	if feed {
		go s.pump()
	}
	if dropped > 0 && s.overflow == OverflowEnd {
		d.endSlow(s)
	}
	d.checkUsedUp(s)
}

// wants reports whether s is to have a message of the new link, and counts one
// that it is not to have.
func (d *receiver) wants(s *Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	max := s.max.Load()
	if d.part == arriving && s.queue == "" || max > 0 && s.received.Load() >= max {
		s.seen++
		return false
	}
	return true
}

// makeRoom applies the pending limits to one more message, and reports whether
// it fits; mu held.
func (s *Subscription) makeRoom(size int) bool {
	for {
		msgs, bytes := s.pending()
		limit, limitB := s.limitMsgs.Load(), s.limitBytes.Load()
		if (limit < 0 || int64(msgs) < limit) && (limitB < 0 || int64(bytes)+int64(size) <= limitB) {
			return true
		}
		if s.overflow != OverflowDropOldest || s.q.Len() == 0 {
			return false
		}
		s.dropFirst()
	}
}

// second is a link that is about to take over.
type second struct {
	out   *outbox.Outbox
	epoch uint64
}

// tell sends it a line about s; registry.mu held.
func (l *second) tell(s *Subscription, line []byte) {
	if !s.shadowed && !s.late() {
		s.shadowed = true // it is a SUB: shadow was before
	}
	if s.shadowed {
		l.out.Control(l.epoch, line)
	}
}

// shadow subscribes everything on a link that is about to take over.
func (r *registry) shadow(out *outbox.Outbox, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b []byte
	for _, s := range r.activeLocked() {
		if s.shadowed = !s.late() && !s.noResubscribe.Load(); s.shadowed {
			s.mu.Lock()
			s.seen = 0
			s.mu.Unlock()
			b = s.appendSub(b)
		}
	}
	if len(b) > 0 {
		out.Control(epoch, b)
	}
	r.second = &second{out, epoch}
}

// unshadow notes that the link does not take over.
func (r *registry) unshadow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.second = nil
}

// leave renders UNSUB lines for the old link. Replies to requests may still come.
func (r *registry) leave() (b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.activeLocked() {
		if !s.internal() {
			b = wire.AppendUnsub(b, s.sid, 0)
		}
	}
	return b
}

// takeOver makes the new link, of epoch, the one that has the subscriptions. The
// old link's reader has ended; the new one's gets the chains when release was
// called. change goes over in the outbox, with the lines that the new link lacks.
func (r *registry) takeOver(epoch uint64, release func(), change func(lines []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	subs := r.activeLocked()
	for _, s := range subs {
		s.mu.Lock()
		msgs, bytes := s.pending()
		s.chain.estimate, s.chain.estimateB = int64(msgs), int64(bytes)
		s.linkBase = int64(s.received.Load())
		if s.shadowed {
			s.linkBase -= int64(s.seen)
		}
		s.mu.Unlock()
	}
	release()
	var lines []byte
	for _, s := range subs {
		switch {
		case s.noResubscribe.Load():
		case !s.shadowed:
			lines = s.appendSub(lines)
		case s.max.Load() > 0: // since it was
			lines = s.appendMax(lines)
		}
	}
	r.second = nil
	r.epoch = epoch
	change(lines)
}

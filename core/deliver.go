package nats

import (
	"sync/atomic"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/memory"
	"github.com/perigee-go/nats/core/internal/queue"
	"github.com/perigee-go/nats/core/internal/wire"
)

const (
	// slabSize is the most memory that small messages share, and so the most
	// that keeping one of them keeps. It is a size class of the allocator.
	slabSize = 3456
	// fewMessages is how many messages of a read a subscription may have, and
	// how many may still wait for it, to share memory with others. One that
	// lags behind has memory of its own: what waits for it for long must not
	// keep what others are done with.
	fewMessages = 8
	// maxShare is the largest message that shares memory with others: it is
	// one of three.
	maxShare = slabSize / 3
)

// receiver takes what a link reads. It is used by the reader only. Messages are
// first only noted; when all of a read are known, each subscription that has
// some gets them in one go, in memory of exactly their size, under one lock.
type receiver struct {
	nc       *Conn
	role     atomic.Uint32             // set by the supervisor; see takeover.go
	part     uint32                    // role, loaded once a read
	lastInfo atomic.Pointer[wire.Info] // for who takes over
	dir      *directory                // loaded once a read
	raws     []raw
	touched  []*Subscription
	ready    []*Subscription
	entries  []queue.Entry
	slab     []byte // the rest of what subscriptions of this read share
	memory   int    // that the rest of the read needs

	msgs, bytes, orphaned, replies uint64
}

// raw is a message in the read buffer, without pointers.
type raw struct {
	body, size, header  uint32
	reply, replyLen     uint32
	subject, subjectLen uint32 // 0: the subscription's
	next                int32  // the subscription's next one
}

// chain is a subscription's messages of the read under way.
type chain struct {
	first, last int32
	n           int
	bytes       int // of header and payload
	memory      int // of all that is to be copied
	lag         int // what still waited when the last ones came
	estimate    int64
	estimateB   int64 // upper bounds of what is pending
}

// Message implements link.Sink.
func (d *receiver) Message(buf []byte, pos int, f *wire.Frame) {
	if d.dir == nil {
		d.dir, d.part = d.nc.reg.dir.Load(), d.role.Load()
	}
	d.msgs++
	d.bytes += uint64(f.Size)
	s := d.dir.find(f.SID)
	if s == nil {
		d.orphaned++
		return
	}
	if s.kind >= kindReader {
		d.direct(s, buf[pos:], f)
		return
	}
	if d.part != alone && d.takeOver(s, buf[pos:], f) {
		return
	}
	r := raw{
		body: uint32(pos + f.Body), size: uint32(f.Size), header: uint32(f.HeaderLen),
		reply: uint32(pos + f.Reply), replyLen: uint32(f.ReplyLen), next: -1,
	}
	if at := pos + f.Subject; string(buf[at:at+f.SubjectLen]) != s.subject {
		r.subject, r.subjectLen = uint32(at), uint32(f.SubjectLen)
	}
	i := int32(len(d.raws))
	d.raws = append(d.raws, r)
	c := &s.chain
	if c.n == 0 {
		c.first = i
		d.touched = append(d.touched, s)
	} else {
		d.raws[c.last].next = i
	}
	c.last = i
	c.n++
	c.bytes += f.Size
	c.memory += f.Size + f.ReplyLen + int(r.subjectLen)
}

// direct delivers on the reader: replies, and handlers that asked for it.
func (d *receiver) direct(s *Subscription, b []byte, f *wire.Frame) {
	if s.kind >= kindMux {
		if s.kind == kindMux && d.nc.reqs.reply(b, f) || s.kind == kindInbox && d.nc.reqs.replyOwn(s.request, b, f) {
			d.replies++
		} else {
			d.orphaned++
		}
		return
	}
	c := &s.chain
	if max := s.max.Load(); max > 0 && s.received.Load() >= max {
		d.orphaned++
		return
	}
	if s.stopped.Load() || c.n == 0 && !d.readerBegins(s) {
		d.orphaned++
		return
	}
	c.n++
	s.received.Add(1)
	s.handler(borrow(s, b, f))
	s.handled.Add(1)
}

// borrow makes a message of the read buffer's own bytes.
func borrow(s *Subscription, b []byte, f *wire.Frame) Msg {
	view := func(at, n int) string {
		if n == 0 {
			return ""
		}
		return unsafe.String(&b[at], n)
	}
	m := Msg{Subject: s.subject, origin: &s.origin}
	if subj := view(f.Subject, f.SubjectLen); subj != s.subject {
		m.Subject = subj
	}
	m.Reply = view(f.Reply, f.ReplyLen)
	m.Header = Header{view(f.Body, f.HeaderLen)}
	end := f.Body + f.Size
	m.Data = b[f.Body+f.HeaderLen : end : end]
	return m
}

// Batch implements link.Sink.
func (d *receiver) Batch(buf []byte) {
	for _, s := range d.touched {
		d.memory += s.chain.memory
	}
	for _, s := range d.touched {
		if s.kind == kindReader {
			d.readerDone(s)
			continue
		}
		d.accept(s, buf)
	}
	clear(d.touched)
	d.touched = d.touched[:0]
	d.raws = d.raws[:0]
	d.finish()
}

// finish counts and lets the workers know; the end of Batch and Large.
func (d *receiver) finish() {
	d.dir, d.slab, d.memory = nil, nil, 0
	if len(d.ready) > 0 {
		d.nc.work.add(d.ready)
		clear(d.ready)
		d.ready = d.ready[:0]
	}
	in := &d.nc.in
	in.msgs.Add(d.msgs)
	in.bytes.Add(d.bytes)
	if d.orphaned > 0 {
		in.orphaned.Add(d.orphaned)
	}
	if d.replies > 0 {
		in.replies.Add(d.replies)
	}
	d.msgs, d.bytes, d.orphaned, d.replies = 0, 0, 0, 0
}

// reset is called between two links. There is something to do only if a handler
// on the reader ended its goroutine: what had been noted is gone.
func (d *receiver) reset() {
	for _, s := range d.touched {
		if s.kind == kindReader {
			s.handled.Store(s.received.Load()) // the handler had it
			d.readerDone(s)
			continue
		}
		d.orphaned += uint64(s.chain.n)
		s.chain.n, s.chain.bytes, s.chain.memory = 0, 0, 0
	}
	clear(d.touched)
	d.touched, d.raws = d.touched[:0], d.raws[:0]
	d.finish()
}

// readerBegins notes that the reader is at a subscription's handler, until
// readerDone. It reports false if the subscription has ended.
func (d *receiver) readerBegins(s *Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.busy = true
	d.touched = append(d.touched, s)
	return true
}

func (d *receiver) readerDone(s *Subscription) {
	s.chain.n = 0
	d.checkUsedUp(s)
	s.mu.Lock()
	s.busy = false
	over := s.checkOver()
	s.mu.Unlock()
	if over {
		s.finish()
	}
}

// accept moves a subscription's messages of this read into its queue.
func (d *receiver) accept(s *Subscription, buf []byte) {
	c := &s.chain
	first, n, bytes, memory := c.first, c.n, c.bytes, c.memory
	c.n, c.bytes, c.memory = 0, 0, 0
	whole := memory

	if max := s.max.Load(); max > 0 {
		got := s.received.Load()
		if got >= max {
			d.orphaned += uint64(n)
			return
		}
		if left := int(max - got); n > left {
			d.orphaned += uint64(n - left)
			n = left
			bytes, memory = d.sum(first, n)
		}
	}
	dropped := uint64(0)
	if !s.fits(n, bytes) {
		first, n, bytes, memory, dropped = d.overflow(s, first, n)
	}
	d.build(s, buf, first, n, memory)
	d.memory -= whole
	d.handOver(s, n, bytes, dropped)
}

// sum adds up the first n messages of a chain.
func (d *receiver) sum(first int32, n int) (bytes, memory int) {
	for i := first; n > 0; n-- {
		r := &d.raws[i]
		bytes += int(r.size)
		memory += int(r.size + r.replyLen + r.subjectLen)
		i = r.next
	}
	return bytes, memory
}

// fits reports whether n messages fit the pending limits. Consumers only make
// room, so the estimate of the last look is good until it says no.
func (s *Subscription) fits(n, bytes int) bool {
	c := &s.chain
	limit, limitB := s.limitMsgs.Load(), s.limitBytes.Load()
	ok := func() bool {
		return (limit < 0 || c.estimate+int64(n) <= limit) && (limitB < 0 || c.estimateB+int64(bytes) <= limitB)
	}
	if ok() {
		return true
	}
	s.mu.Lock()
	msgs, b := s.pending()
	s.mu.Unlock()
	c.estimate, c.estimateB = int64(msgs), int64(b)
	return ok()
}

// overflow applies the policy to messages that do not all fit, and returns the
// chain of those that stay.
func (d *receiver) overflow(s *Subscription, first int32, n int) (f int32, kept, bytes, memory int, dropped uint64) {
	if s.overflow == OverflowDropOldest {
		return d.dropOldest(s, first, n)
	}
	c := &s.chain
	limit, limitB := s.limitMsgs.Load(), s.limitBytes.Load()
	f, last := int32(-1), int32(-1)
	for i := first; n > 0; n-- {
		r := &d.raws[i]
		next := r.next
		fits := (limit < 0 || c.estimate+int64(kept) < limit) &&
			(limitB < 0 || c.estimateB+int64(bytes)+int64(r.size) <= limitB)
		if s.overflow == OverflowEnd && dropped > 0 {
			fits = false // no gap before the end
		}
		if fits {
			if last < 0 {
				f = i
			} else {
				d.raws[last].next = i
			}
			last = i
			kept++
			bytes += int(r.size)
			memory += int(r.size + r.replyLen + r.subjectLen)
		} else {
			dropped++
		}
		i = next
	}
	return f, kept, bytes, memory, dropped
}

// dropOldest makes room by dropping what waited longest, the arriving messages
// last.
func (d *receiver) dropOldest(s *Subscription, first int32, n int) (f int32, kept, bytes, memory int, dropped uint64) {
	c := &s.chain
	limit, limitB := s.limitMsgs.Load(), s.limitBytes.Load()
	bytes, memory = d.sum(first, n)
	kept = n
	over := func() bool {
		return limit >= 0 && c.estimate+int64(kept) > limit || limitB >= 0 && c.estimateB+int64(bytes) > limitB
	}
	s.mu.Lock()
	for over() && s.q.Len() > 0 {
		size := s.dropFirst()
		c.estimate--
		c.estimateB -= int64(size)
	}
	s.mu.Unlock()
	for over() && kept > 0 {
		r := &d.raws[first]
		bytes -= int(r.size)
		memory -= int(r.size + r.replyLen + r.subjectLen)
		first = r.next
		kept--
		dropped++
	}
	return first, kept, bytes, memory, dropped
}

// dropFirst drops the message that has waited longest; mu held.
func (s *Subscription) dropFirst() (size int) {
	e := s.q.Pop()
	s.popped++
	s.poppedB += uint64(e.Size())
	s.discarded++ // of the queue, so it was pushed
	s.discardedB += uint64(e.Size())
	s.noteDrop(1)
	return e.Size()
}

// build copies n messages, which need so many bytes, out of the read buffer into
// d.entries.
func (d *receiver) build(s *Subscription, buf []byte, first int32, n, need int) {
	d.entries = d.entries[:0]
	var slab []byte
	shared := n <= fewMessages && s.chain.lag <= fewMessages
	if shared {
		slab, need = d.slab, d.memory
	}
	for i := first; n > 0; n-- {
		r := &d.raws[i]
		k := int(r.size + r.replyLen + r.subjectLen)
		var b []byte
		switch {
		case k > maxShare:
			b = memory.Uncleared(k)
		case k > len(slab):
			// As much as is filled by messages of this size.
			slab = memory.Uncleared(min(slabSize-slabSize%k, need))
			fallthrough
		default:
			b, slab = slab[:k:k], slab[k:]
		}
		need -= k
		at := copy(b, buf[r.body:r.body+r.size])
		if r.replyLen > 0 {
			at += copy(b[at:], buf[r.reply:r.reply+r.replyLen])
		}
		if r.subjectLen > 0 {
			copy(b[at:], buf[r.subject:r.subject+r.subjectLen])
		}
		d.entries = append(d.entries, queue.Make(b, int(r.size), int(r.header), int(r.replyLen), int(r.subjectLen)))
		i = r.next
	}
	if shared {
		d.slab = slab
	}
}

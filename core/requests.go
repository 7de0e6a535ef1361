package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/wire"
)

// requests is the table of open requests. Replies of all of them come to one
// subscription; the last token of a reply subject is the slot of the request in
// the table and a generation, so that a late reply never meets another request.
//
// Lock order: requests.mu before outbox.mu.
type requests struct {
	prefix string // of reply subjects, random for each Conn

	mux    atomic.Pointer[Subscription] // takes replies; nil: not made yet, or refused
	muxing sync.Mutex                   // held while it is made

	mu    sync.Mutex // guards all below
	slots []*pending
	free  []uint32
	other map[*pending]struct{} // requests with an inbox of their own
	count requestCounts
	overdue
}

type requestCounts struct{ begun, answered, noResponders, timedOut, cancelled, unknown, open uint64 }

// pending is one open request; it is used again after the request.
type pending struct {
	slot    uint32
	gen     uint32
	subject string
	reply   string
	at      outbox.Position
	sent    bool // at is valid
	carried bool // it left on the link before that of at
	open    bool
	done    chan outcome // one slot
	token   [96]byte     // memory of reply

	watched       bool          // it stands in overdue, between these two, until limit
	limit         time.Duration // on the Conn's clock
	before, after *pending
}

type outcome struct {
	msg Msg
	err error
}

func (r *requests) init(inboxPrefix string, timeout time.Duration, clock func() time.Duration) {
	r.prefix = inboxPrefix + "." + rand.Text() + "."
	r.timeout, r.clock, r.alarm = timeout, clock, alarmClock(r.expire)
}

// replyLen is the most that a reply subject has.
func (r *requests) replyLen() int { return len(r.prefix) + len("ffffffff-ffffffff") }

const hex = "0123456789abcdef"

// begin opens a request; timed if RequestTimeout is to end it. It returns nil if
// the subscription for replies was refused meanwhile.
func (r *requests) begin(subject string, timed bool) *pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mux.Load() == nil {
		return nil
	}
	var p *pending
	if n := len(r.free); n > 0 {
		p = r.slots[r.free[n-1]]
		r.free = r.free[:n-1]
	} else {
		p = &pending{slot: uint32(len(r.slots)), done: make(chan outcome, 1)}
		r.slots = append(r.slots, p)
	}
	p.gen++
	p.subject, p.sent, p.carried, p.open = subject, false, false, true
	b := append(p.token[:0], r.prefix...)
	b = appendHex(b, p.slot)
	b = append(b, '-')
	b = appendHex(b, p.gen)
	// The bytes change only when the slot is used again.
	p.reply = unsafe.String(unsafe.SliceData(b), len(b))
	r.opened(p, timed)
	return p
}

// opened notes a request that was opened; mu held.
func (r *requests) opened(p *pending, timed bool) {
	r.count.begun++
	r.count.open++
	if timed {
		r.watch(p)
	}
}

func appendHex(b []byte, n uint32) []byte {
	shift := 28
	for shift > 0 && n>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		b = append(b, hex[n>>shift&15])
	}
	return b
}

// parseToken reads what begin appended to the prefix.
func parseToken(b []byte) (slot, gen uint32, ok bool) {
	v := [2]uint32{}
	part, digits := 0, 0
	for _, c := range b {
		switch {
		case c == '-' && part == 0 && digits > 0:
			part, digits = 1, 0
			continue
		case digits == 8:
			return 0, 0, false
		case '0' <= c && c <= '9':
			v[part] = v[part]<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			v[part] = v[part]<<4 | uint32(c-'a'+10)
		default:
			return 0, 0, false
		}
		digits++
	}
	return v[0], v[1], part == 1 && digits > 0
}

// settle ends an open request; mu held.
func (r *requests) settle(p *pending, o outcome, counter *uint64) {
	r.over(p, counter)
	p.done <- o // has a slot, and is empty while open
}

// over takes a request that has an outcome off the books; mu held.
func (r *requests) over(p *pending, counter *uint64) {
	p.open = false
	r.count.open--
	*counter++
	r.unwatch(p)
}

// release gives a settled request's slot back.
func (r *requests) release(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.subject = ""
	if p.own() {
		delete(r.other, p)
		return
	}
	r.free = append(r.free, p.slot)
}

// abandon ends a request from the waiting side. It reports false if an outcome
// was faster; that is in p.done.
func (r *requests) abandon(p *pending, cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.open {
		return false
	}
	counter := &r.count.cancelled
	if errors.Is(cause, context.DeadlineExceeded) {
		counter = &r.count.timedOut
	}
	r.over(p, counter)
	return true
}

// reply takes a message of the mux subscription, on the reader.
func (r *requests) reply(b []byte, f *wire.Frame) bool {
	subj := b[f.Subject : f.Subject+f.SubjectLen]
	if len(subj) <= len(r.prefix) || string(subj[:len(r.prefix)]) != r.prefix {
		return false
	}
	slot, gen, ok := parseToken(subj[len(r.prefix):])
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if uint64(slot) >= uint64(len(r.slots)) {
		return false
	}
	p := r.slots[slot]
	if p.gen != gen || !p.open {
		return false
	}
	r.answer(p, copyMsg(b, f))
	return true
}

// answer settles a request by its reply; mu held.
func (r *requests) answer(p *pending, m Msg) {
	if code, _ := m.InlineStatus(); code == 503 && len(m.Data) == 0 {
		r.settle(p, outcome{err: &NoRespondersError{p.subject}}, &r.count.noResponders)
		return
	}
	r.settle(p, outcome{msg: m}, &r.count.answered)
}

// copyFrame copies header, payload, reply and subject, in this order, into memory
// of their own.
func copyFrame(b []byte, f *wire.Frame) []byte {
	mem := make([]byte, f.Size+f.ReplyLen+f.SubjectLen)
	n := copy(mem, b[f.Body:f.Body+f.Size])
	n += copy(mem[n:], b[f.Reply:f.Reply+f.ReplyLen])
	copy(mem[n:], b[f.Subject:f.Subject+f.SubjectLen])
	return mem
}

// copyMsg makes a message with memory of its own, in one allocation.
func copyMsg(b []byte, f *wire.Frame) Msg {
	mem := copyFrame(b, f)
	str := func(at, n int) string {
		if n == 0 {
			return ""
		}
		return unsafe.String(&mem[at], n)
	}
	return Msg{
		Subject: str(f.Size+f.ReplyLen, f.SubjectLen),
		Reply:   str(f.Size, f.ReplyLen),
		Header:  Header{str(0, f.HeaderLen)},
		Data:    mem[f.HeaderLen:f.Size:f.Size],
	}
}

// linkLost ends the requests of a link that is gone for cause, and its epoch.
// What had not left is taken back; the fate of the rest is unknown. detach ends
// the epoch in the outbox, and asks for each message that did not leave.
func (r *requests) linkLost(epoch uint64, cause error, detach func(withdraw func(start uint64) bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	byStart := make(map[uint64]*pending)
	var left []*pending
	r.each(func(p *pending) {
		switch {
		case !p.sent || p.at.Epoch != epoch:
		case p.carried:
			left = append(left, p)
		default:
			byStart[p.at.Start] = p
		}
	})
	detach(func(start uint64) bool {
		p := byStart[start]
		if p == nil {
			return false
		}
		delete(byStart, start)
		r.settle(p, outcome{err: unsent{cause}}, &r.count.cancelled)
		return true
	})
	for _, p := range byStart {
		left = append(left, p)
	}
	for _, p := range left {
		r.settle(p, outcome{err: fmt.Errorf("%w: %w", cause, ErrOutcomeUnknown)}, &r.count.unknown)
	}
}

// carry takes the open requests of one link over to another: all have left, and
// the replies can come there too.
func (r *requests) carry(from, to uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(func(p *pending) {
		if p.sent && p.at.Epoch == from {
			p.at, p.carried = outbox.Position{Epoch: to}, true
		}
	})
}

// each calls f for every open request; mu held.
func (r *requests) each(f func(*pending)) {
	for _, p := range r.slots {
		if p.open {
			f(p)
		}
	}
	for p := range r.other {
		if p.open {
			f(p)
		}
	}
}

// closeAll ends what is open when the Conn closes.
func (r *requests) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(func(p *pending) {
		if p.sent {
			r.settle(p, outcome{err: fmt.Errorf("%w: %w", ErrClosed, ErrOutcomeUnknown)}, &r.count.unknown)
		} else {
			r.settle(p, outcome{err: unsent{ErrClosed}}, &r.count.cancelled)
		}
	})
	r.alarm(0)
}

// refused ends the oldest request whose publish the server did not permit.
// It reports whether there was one.
func (r *requests) refused(pe *PermissionError) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *pending
	r.each(func(p *pending) {
		if p.sent && (p.subject == pe.Subject || p.reply == pe.Subject) {
			if found == nil || p.at.Start < found.at.Start {
				found = p
			}
		}
	})
	if found != nil {
		r.settle(found, outcome{err: pe}, &r.count.cancelled)
	}
	return found != nil
}

// refuse ends one request whose reply the server did not permit.
func (r *requests) refuse(p *pending, pe *PermissionError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.open {
		r.settle(p, outcome{err: pe}, &r.count.cancelled)
	}
}

// muxRefused ends all requests whose replies cannot come: the server did not
// permit the subscription to them.
func (r *requests) muxRefused(s *Subscription, pe *PermissionError) {
	r.mux.CompareAndSwap(s, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(func(p *pending) {
		if !p.own() && strings.HasPrefix(p.reply, r.prefix) {
			r.settle(p, outcome{err: pe}, &r.count.cancelled)
		}
	})
}

func (r *requests) counts() requestCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// ownSlot marks a request with an inbox of its own.
const ownSlot = 1<<32 - 1

func (p *pending) own() bool { return p.slot == ownSlot }

// beginOwn opens a request whose reply comes to a subscription of its own.
func (r *requests) beginOwn(subject, reply string, timed bool) *pending {
	p := &pending{slot: ownSlot, subject: subject, reply: reply, open: true, done: make(chan outcome, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.other == nil {
		r.other = make(map[*pending]struct{})
	}
	r.other[p] = struct{}{}
	r.opened(p, timed)
	return p
}

// replyOwn takes a message of such a subscription, on the reader.
func (r *requests) replyOwn(p *pending, b []byte, f *wire.Frame) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.open {
		return false
	}
	r.answer(p, copyMsg(b, f))
	return true
}

// send hands the request to the outbox and notes where it stands, in one step,
// so that a link that dies meets either none of it or all. A request with no
// other beside it is written here and now; those that come together share a
// write.
func (r *requests) send(out *outbox.Outbox, l *link.Link, p *pending, header string, data []byte) (retry <-chan struct{}, err error) {
	r.mu.Lock()
	if !p.open {
		r.mu.Unlock()
		return nil, nil // its outcome is there
	}
	var at outbox.Position
	var batch []byte
	lent := l != nil && r.count.open == 1 && l.Borrow()
	if lent {
		at, batch, retry, err = l.Lend(p.subject, p.reply, header, data)
	} else {
		at, retry, err = out.Request(p.subject, p.reply, header, data)
	}
	if retry == nil && err == nil {
		p.at, p.sent = at, true
	}
	r.mu.Unlock()
	if lent {
		l.Return(batch)
	}
	return retry, err
}

package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/wire"
)

// This file plays the shell around an outbox and compares it, after every step,
// with a model that tracks each message by itself: it knows nothing of
// cumulative counts, and has a server that reads what reached it.

type fate uint8

const (
	buffered fate = iota
	inFlight
	confirmed
	unknown
	dropped
)

// unit is one frame: a message, a PING or another control line.
type unit struct {
	bytes string
	id    int   // of a message; -1: none
	ping  *mark // it is a PING
	start uint64
}

// mark is a PING of the model.
type mark struct {
	waiter chan Pong
	sentAt time.Duration // of the Wrote after it; 0: none yet
}

type waiter struct {
	retry   <-chan struct{}
	subject string
	size    int
	request bool
}

type player struct {
	t    *testing.T
	rng  *rand.Rand
	cfg  Config
	o    *Outbox
	now  time.Duration
	step string

	// The model.
	mode     Mode
	epoch    uint64
	attached bool
	fates    []fate // by id
	bytes    uint64 // of accepted payload
	buf, ctl []unit
	hand     []unit // what the writer has
	handCtl  bool
	failed   int
	dead     bool // the writer saw an error: it takes nothing more
	parked   bool
	quiet    bool // most of the time nothing waits
	lent     bool // what is in hand is a borrower's
	left     bool // a borrower left it, and the writer did not take it yet
	base     int  // where in it the writer's part begins
	pos      uint64
	open     []*mark // PINGs on the wire or about to be, in order
	asked    int     // messages of the stream before the last PING appended
	accepted []int   // ids of the stream in order, withdrawn ones removed
	unasked  time.Duration
	noPing   int // bytes taken since a PING was appended
	waiters  []waiter
	requests map[int]Position // where requests of this epoch stand
	bound    map[int]bool     // those of them that leave in this epoch or never

	// The server.
	sent     []unit // units begun or done in this epoch, in order
	inbox    []byte // what reached it in this epoch
	parsed   int
	answered int   // PINGs it answered
	got      []int // ids of whole messages it has, over all epochs
	gotNow   int   // how many of them in this epoch
	stats    map[string]int
	payload  []byte
}

var zeros = make([]byte, 512<<10)

func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 7948628658220051602, rand.Uint64(), rand.Uint64()}
	total := map[string]int{}
	for _, policy := range []Policy{Buffer, Block, Fail} {
		for _, seed := range seeds {
			t.Run(fmt.Sprintf("policy=%d/seed=%d", policy, seed), func(t *testing.T) {
				p := &player{
					t: t, rng: rand.New(rand.NewPCG(seed, uint64(policy))), stats: total, now: time.Second, failed: -1,
					cfg: Config{Limit: 600 << 10, DownLimit: 300 << 10, Policy: policy}, requests: map[int]Position{}, bound: map[int]bool{},
				}
				steps := 700
				if seed%2 == 0 {
					p.cfg.Limit, p.cfg.DownLimit = 20000, 30000
					steps = 2500
				}
				if p.quiet = seed%3 == 0; p.quiet {
					steps = 8000
				}
				p.o = New(p.cfg)
				p.play(steps)
			})
		}
	}
	t.Log(total)
	for _, s := range []string{
		"confirmed", "unknown", "dropped", "resumed", "withdrawn", "early pong", "1 MiB ping", "waited", "refused full",
		"refused down", "sync ping", "failed", "lost whole", "discarded",
		"lent", "given back", "went on", "bound",
	} {
		if total[s] == 0 {
			t.Errorf("it never happened: %s", s)
		}
	}
}

func (p *player) play(steps int) {
	for i := range steps {
		p.now += time.Duration(1 + p.rng.IntN(1000))
		p.random(i)
		p.check()
		if p.t.Failed() {
			return
		}
	}
	p.close()
	p.check()
}

func (p *player) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s: %s", p.step, fmt.Sprintf(format, args...))
}

func (p *player) random(i int) {
	name := func(s string) { p.step = fmt.Sprintf("step %d, %s, mode %d, epoch %d", i, s, p.mode, p.epoch) }
	r := p.rng.IntN(100)
	if p.quiet && r < 34 && r >= 8 {
		r = 43 + r%33 // to take and to write
	}
	switch {
	case r < 34:
		name("publish")
		p.publish(p.quiet || p.rng.IntN(8) == 0)
	case r < 38:
		name("control")
		p.control()
	case r < 41:
		name("ping")
		p.ping()
	case r < 43:
		name("keep-alive")
		p.keepAlive()
	case r < 60:
		name("take")
		p.take()
	case r < 76:
		name("write")
		p.write()
	case r < 84:
		name("pong")
		p.pong()
	case r < 86:
		name("stray pong")
		p.strayPong()
	case r < 87:
		name("shrink")
		p.o.Shrink()
	case r < 90 && p.attached && p.rng.IntN(3) == 0:
		name("halt")
		p.halt()
	case r < 93 && p.attached && (p.mode == Down || p.dead || p.rng.IntN(10) == 0):
		name("detach")
		p.detach()
	case r < 91:
		name("discard")
		p.discard()
	case r < 97 && !p.attached:
		name("attach")
		p.attach()
	case p.mode == Syncing:
		name("open")
		p.o.Open(p.epoch + uint64(p.rng.IntN(2))*7) // of another epoch: nothing
		p.o.Open(p.epoch)
		p.mode = Live
	}
}

func (p *player) bufLen() int { return size(p.buf) }

func size(us []unit) (n int) {
	for _, u := range us {
		n += len(u.bytes)
	}
	return n
}

type verdict uint8

const (
	accept verdict = iota
	wait
	refuseDown
	refuseFull
)

// decide is the policy, written anew.
func (p *player) decide(need int, request bool) verdict {
	have := p.bufLen()
	if request && p.mode != Live {
		return refuseDown
	}
	switch p.mode {
	case Live:
		if have > 0 && have+need > p.cfg.Limit {
			return wait
		}
		return accept
	case Down:
		if p.cfg.Policy == Fail {
			return refuseDown
		}
		if have+need <= p.cfg.DownLimit {
			return accept
		}
		if p.cfg.Policy == Block {
			return wait
		}
		return refuseFull
	default:
		if have+need <= p.cfg.DownLimit {
			return accept
		}
		return wait
	}
}

func (p *player) publish(request bool) {
	n := p.rng.IntN(200)
	switch p.rng.IntN(12) {
	case 0:
		n = p.rng.IntN(20000)
	case 1:
		n = p.rng.IntN(200 << 10)
	}
	if p.noPing > 100<<10 && p.cfg.Limit > 100<<10 {
		n = 100<<10 + p.rng.IntN(300<<10)
	}
	p.tryPublish(waiter{subject: "s" + strings.Repeat(".x", p.rng.IntN(15)), size: n, request: request})
}

func (p *player) tryPublish(w waiter) {
	id := len(p.fates)
	if p.payload == nil {
		p.payload = make([]byte, len(zeros))
	}
	data := p.payload[:max(w.size, 8)]
	copy(data, fmt.Sprintf("%08d", id))
	header, reply := "", ""
	if id%3 == 0 {
		header = wire.EmptyHeader
	}
	if id%5 == 0 || w.request {
		reply = "r.1"
	}
	want := p.decide(wire.PubSize(w.subject, reply, header, data), w.request)
	var retry <-chan struct{}
	var err error
	var at Position
	var batch []byte
	bound := w.request && p.rng.IntN(3) == 0
	switch {
	case bound:
		if _, retry, err := p.o.PublishOn(p.epoch+1, w.subject, reply, header, data); retry != nil || !errors.Is(err, ErrDown) {
			p.fail("on a link to come: %v", err)
		}
		at.Epoch = p.epoch
		at.Start, retry, err = p.o.PublishOn(p.epoch, w.subject, reply, header, data)
	case w.request && p.rng.IntN(2) == 0:
		at, batch, retry, err = p.o.Lend(p.now, w.subject, reply, header, data)
	case w.request:
		at, retry, err = p.o.Request(w.subject, reply, header, data)
	default:
		retry, err = p.o.Publish(w.subject, reply, header, data)
	}
	got := accept
	switch {
	case errors.Is(err, ErrDown):
		got = refuseDown
		p.stats["refused down"]++
	case errors.Is(err, ErrFull):
		got = refuseFull
		p.stats["refused full"]++
	case err != nil:
		p.fail("error %v", err)
	case retry != nil:
		got = wait
		p.stats["waited"]++
	}
	if got != want {
		p.fail("the outbox says %d, the model %d (have %d, size %d)", got, want, p.bufLen(), len(data))
	}
	switch got {
	case wait:
		w.retry = retry
		if len(p.waiters) < 20 {
			p.waiters = append(p.waiters, w)
		}
	case accept:
		start := p.pos + uint64(p.bufLen())
		if w.request {
			if at.Epoch != p.epoch || at.Start != start {
				p.fail("position %+v, want epoch %d, start %d", at, p.epoch, start)
			}
			p.requests[id] = at
			if bound {
				p.bound[id] = true
			}
		}
		p.buf = append(p.buf, unit{bytes: frame(w.subject, reply, header, data), id: id, start: start})
		p.fates = append(p.fates, buffered)
		p.accepted = append(p.accepted, id)
		p.bytes += uint64(len(header) + len(data))
		if batch != nil {
			p.borrow(batch)
		}
	}
}

// borrow is the shell's part of a Lend that gave a batch.
func (p *player) borrow(batch []byte) {
	if p.hand != nil || p.lent || p.mode != Live || len(p.ctl) > 0 || len(batch) > maxLent+len(wire.PingLine) {
		p.fail("%d bytes were lent with %d in hand, %d control lines", len(batch), len(p.hand), len(p.ctl))
	}
	p.lent = true
	p.stats["lent"]++
	p.took(batch)
}

// frame renders a message the obvious way.
func frame(subject, reply, header string, data []byte) string {
	if reply != "" {
		reply += " "
	}
	if header != "" {
		return fmt.Sprintf("HPUB %s %s%d %d\r\n%s%s\r\n", subject, reply, len(header), len(header)+len(data), header, data)
	}
	return fmt.Sprintf("PUB %s %s%d\r\n%s\r\n", subject, reply, len(data), data)
}

func (p *player) control() {
	line := fmt.Sprintf("SUB e%d %d\r\n", p.epoch, len(p.fates))
	if p.rng.IntN(3) == 0 {
		line = wire.PongLine
	}
	if p.rng.IntN(4) == 0 {
		p.o.Control(p.epoch+1, []byte("SUB wrong 1\r\n"))
		if p.epoch > 0 {
			p.o.Control(p.epoch-1, []byte("SUB wrong 1\r\n"))
		}
	}
	p.o.Control(p.epoch, []byte(line))
	p.appendLine(unit{bytes: line, id: -1})
}

func (p *player) appendLine(u unit) {
	switch p.mode {
	case Live:
		u.start = p.pos + uint64(p.bufLen())
		p.buf = append(p.buf, u)
	case Syncing:
		p.ctl = append(p.ctl, u)
	}
}

func (p *player) ping() {
	ch := make(chan Pong, 1)
	err := p.o.Ping(ch)
	if p.mode != Live {
		if !errors.Is(err, ErrDown) {
			p.fail("error %v", err)
		}
		return
	}
	if err != nil {
		p.fail("error %v", err)
	}
	p.addPing(ch)
}

func (p *player) addPing(ch chan Pong) {
	m := &mark{waiter: ch}
	p.appendLine(unit{bytes: wire.PingLine, id: -1, ping: m})
	p.open = append(p.open, m)
	if p.mode == Live {
		p.asked, p.unasked, p.noPing = len(p.accepted), 0, 0
	}
}

func (p *player) keepAlive() {
	p.o.KeepAlive(p.epoch + 1) // of another epoch: nothing
	if p.hand != nil && p.mode == Syncing {
		return // only the writer asks, and it is busy
	}
	p.o.KeepAlive(p.epoch)
	switch p.mode {
	case Live:
		p.addPing(nil)
	case Syncing:
		p.addPing(nil)
		p.stats["sync ping"]++
	}
}

func (p *player) take() {
	if !p.attached || p.hand != nil && !p.lent && !p.left || p.dead {
		return
	}
	if p.parked {
		select {
		case <-p.o.Wake():
		default:
			return // it sleeps
		}
	}
	b := p.o.Take(p.now)
	p.parked = b == nil
	if p.lent {
		if b != nil {
			p.fail("Take gave %d bytes while the place was lent", len(b))
		}
		return
	}
	p.took(b)
}

// took is what becomes of the model when the outbox has handed b out.
func (p *player) took(b []byte) {
	switch {
	case p.left:
		want := ""
		if p.mode == Live || p.mode == Syncing {
			p.left = false
			for _, u := range p.hand {
				want += u.bytes
			}
			want = want[p.base:]
			p.stats["went on"]++
		}
		if string(b) != want {
			p.fail("Take gave %d bytes, want %d that a borrower left", len(b), len(want))
		}
		return
	case len(p.ctl) > 0 && (p.mode == Live || p.mode == Syncing):
		p.hand, p.handCtl, p.ctl = p.ctl, true, nil
	case len(p.buf) > 0 && p.mode == Live:
		p.noPing += p.bufLen()
		if n := p.bufLen(); len(b) == n+len(wire.PingLine) {
			if p.noPing < pingBytes {
				p.fail("a PING was added after %d bytes", p.noPing)
			}
			p.addPing(nil)
			p.stats["1 MiB ping"]++
		} else if p.noPing >= pingBytes {
			p.fail("no PING was added after %d bytes", p.noPing)
		}
		p.hand, p.handCtl, p.buf = p.buf, false, nil
		p.pos += uint64(len(b))
	default:
		if b != nil {
			p.fail("Take gave %d bytes", len(b))
		}
		return
	}
	var want strings.Builder
	for _, u := range p.hand {
		want.WriteString(u.bytes)
	}
	if string(b) != want.String() {
		p.fail("Take gave %d bytes, want %d, or others", len(b), want.Len())
	}
	p.sent = append(p.sent, p.hand...)
	p.arrive(0)
}

// arrive lets the first n bytes of what is in hand reach the server.
func (p *player) arrive(n int) {
	have := len(p.inbox) - (size(p.sent) - size(p.hand))
	if n <= have {
		return
	}
	var b strings.Builder
	for _, u := range p.hand {
		b.WriteString(u.bytes)
	}
	p.inbox = append(p.inbox, b.String()[have:n]...)
	for {
		kind, n := wire.ScanClient(p.inbox[p.parsed:])
		if n == 0 {
			return
		}
		f := p.inbox[p.parsed : p.parsed+n]
		p.parsed += n
		if kind == wire.ClientPub {
			id := messageID(f)
			if len(p.got) > 0 && p.got[len(p.got)-1] >= id {
				p.fail("message %d reached the server after %d", id, p.got[len(p.got)-1])
			}
			p.got = append(p.got, id)
			p.gotNow++
		} else if bytes.HasPrefix(f, []byte("SUB ")) && !bytes.HasPrefix(f, fmt.Appendf(nil, "SUB e%d ", p.epoch)) {
			p.fail("%q crossed the epochs", f)
		}
	}
}

func messageID(f []byte) (id int) {
	_, body, _ := bytes.Cut(f, []byte("\r\n"))
	body = bytes.TrimPrefix(body, []byte(wire.EmptyHeader))
	_, _ = fmt.Sscanf(string(body[:8]), "%d", &id)
	return id
}

// write lets the write under way make progress, succeed or fail.
func (p *player) write() {
	if p.hand == nil || p.dead || p.left {
		return
	}
	total := size(p.hand)
	have := len(p.inbox) - (size(p.sent) - total)
	switch p.rng.IntN(10) {
	case 0, 1, 2:
		p.arrive(have + p.rng.IntN(total-have+1))
	case 3:
		n := have + p.rng.IntN(total-have+1)
		if p.lent && n == total && total > have {
			n-- // what a borrower reports is what left
		}
		p.arrive(n)
		if p.lent {
			if n < total {
				p.o.GiveBack(n, p.now)
				p.lent, p.left, p.base = false, true, n
				p.stats["given back"]++
			}
			return
		}
		p.o.Failed(n - p.base)
		p.failed, p.dead = n, true
		p.stats["failed"]++
	default:
		p.arrive(total)
		before := p.o.unasked
		unasked := false
		if p.lent {
			p.o.GiveBack(total, p.now)
			unasked = !before && p.o.unasked
			if unasked && len(p.o.wake) == 0 {
				p.fail("the writer was not told to set its clock")
			}
		} else {
			unasked = p.o.Wrote(p.now)
		}
		last := 0
		for _, u := range p.hand {
			if u.ping != nil && u.ping.sentAt == 0 {
				u.ping.sentAt = p.now
			}
			if u.id >= 0 {
				if p.fates[u.id] == buffered {
					p.fates[u.id] = inFlight
				}
				last = slices.Index(p.accepted, u.id) + 1
			}
		}
		// Messages begin to wait for a PING.
		want := last > p.asked && p.unasked == 0
		if want {
			p.unasked = p.now
		}
		if unasked != want {
			p.fail("Wrote says %v; the last message is %d, asked for are %d", unasked, last, p.asked)
		}
		p.hand, p.lent, p.base = nil, false, 0
	}
}

// answerable counts the PINGs that reached the server and are not answered.
func (p *player) answerable() int {
	return bytes.Count(p.pings(), []byte("P")) - p.answered
}

// pings is one P for each PING line that the server has read.
func (p *player) pings() (out []byte) {
	at := 0
	for _, u := range p.sent {
		if at += len(u.bytes); at > p.parsed {
			break
		}
		if u.ping != nil {
			out = append(out, 'P')
		}
	}
	return out
}

func (p *player) pong() {
	if !p.attached || p.answerable() == 0 {
		return
	}
	p.o.Pong(p.epoch-1, p.now) // of a link that is gone
	p.o.Pong(p.epoch, p.now)
	m := p.open[0]
	p.open = p.open[1:]
	p.answered++
	// Everything the server has read before the PING is confirmed.
	n := 0
	for _, u := range p.sent {
		if u.ping != nil {
			if n++; n == p.answered {
				break
			}
		}
		if u.id >= 0 && p.fates[u.id] != confirmed {
			p.fates[u.id] = confirmed
			p.stats["confirmed"]++
		}
	}
	if m.sentAt == 0 {
		p.stats["early pong"]++
	}
	if m.waiter != nil {
		select {
		case got := <-m.waiter:
			want := time.Duration(0)
			if m.sentAt != 0 {
				want = p.now - m.sentAt
			}
			if m.sentAt == 0 && got.RTT > 0 {
				want = got.RTT // from when the writer took it
			}
			if got.Err != nil || got.RTT != want {
				p.fail("%+v, want an RTT of %v", got, want)
			}
		default:
			p.fail("the waiter got nothing")
		}
	}
}

// strayPong is one that nobody asked for.
func (p *player) strayPong() {
	for _, u := range p.sent {
		if u.ping != nil && slices.Contains(p.open, u.ping) {
			return // it would be believed
		}
	}
	p.o.Pong(p.epoch, p.now)
}

func (p *player) halt() {
	p.o.Halt(p.epoch + 1) // of another epoch: nothing
	p.o.Halt(p.epoch)
	p.mode = Down
}

func (p *player) detach() {
	if p.lent {
		return // a link ends when nobody is at the writer's place
	}
	resume := p.rng.IntN(3) > 0
	// What becomes of what is in hand.
	lost := uint64(0)
	stay := p.buf
	first := p.pos
	if p.hand != nil && !p.handCtl {
		first -= uint64(size(p.hand))
		sent := size(p.hand)
		if resume && p.failed >= 0 {
			sent = p.failed
		} else if resume && p.left {
			sent = p.base
		} else {
			p.stats["lost whole"]++
		}
		at := 0
		for i, u := range p.hand {
			if at+len(u.bytes) > sent {
				stay = append(slices.Clone(p.hand[i:]), p.buf...)
				if at < sent {
					p.stats["resumed"]++
				}
				break
			}
			at += len(u.bytes)
			if u.id >= 0 && p.fates[u.id] == buffered {
				p.fates[u.id] = inFlight
			}
		}
		first += uint64(at)
	}
	for id, f := range p.fates {
		if f == inFlight {
			p.fates[id] = unknown
			lost++
			p.stats["unknown"]++
		}
	}
	var kept []unit
	var asked []uint64
	for _, u := range stay {
		if u.id < 0 {
			continue
		}
		if p.bound[u.id] {
			p.stats["bound"]++
		} else {
			asked = append(asked, u.start)
		}
		if p.bound[u.id] || p.withdraws(u.id) {
			p.fates[u.id] = dropped
			p.accepted = slices.DeleteFunc(p.accepted, func(id int) bool { return id == u.id })
			p.stats["withdrawn"]++
			p.stats["dropped"]++
			continue
		}
		kept = append(kept, u)
	}

	var got []uint64
	byStart := map[uint64]int{}
	for _, u := range stay {
		if u.id >= 0 {
			byStart[u.start] = u.id
		}
	}
	left, n := p.o.Detach(resume, func(start uint64) bool {
		got = append(got, start)
		id, ok := byStart[start]
		return ok && p.withdraws(id)
	})
	if !slices.Equal(got, asked) {
		p.fail("withdraw was asked at %v, want %v", got, asked)
	}
	if left != first || n != lost {
		p.fail("Detach says %d left, %d unknown; want %d, %d", left, n, first, lost)
	}
	for id, at := range p.requests {
		if stays := slices.ContainsFunc(stay, func(u unit) bool { return u.id == id }); stays != (at.Start >= left) {
			p.fail("request %d at %d: left is %d, stays %v", id, at.Start, left, stays)
		}
	}
	clear(p.requests)
	clear(p.bound)
	p.endPings(ErrDown)
	p.buf, p.ctl, p.hand, p.failed, p.dead = kept, nil, nil, -1, false
	p.left, p.base = false, 0
	p.mode, p.attached = Down, false
	p.asked = 0
	if again, n := p.o.Detach(true, nil); again != 0 || n != 0 {
		p.fail("a second Detach says %d, %d", again, n)
	}
}

// withdraws picks messages by their number.
func (p *player) withdraws(id int) bool { return id%7 == 0 }

func (p *player) endPings(err error) {
	for _, m := range p.open {
		if m.waiter == nil {
			continue
		}
		select {
		case got := <-m.waiter:
			if !errors.Is(got.Err, err) || got.RTT != 0 {
				p.fail("a waiter got %+v, want %v", got, err)
			}
		default:
			p.fail("a waiter got nothing")
		}
	}
	p.open, p.unasked, p.noPing = nil, 0, 0
}

// discard drops what the next server is too small for.
func (p *player) discard() {
	limit := 1 + p.rng.IntN(20000)
	want := 0
	if p.mode == Down && !p.attached {
		p.buf = slices.DeleteFunc(p.buf, func(u unit) bool {
			_, body, _ := strings.Cut(u.bytes, "\r\n")
			if len(body)-2 <= limit {
				return false
			}
			want++
			p.fates[u.id] = dropped
			p.accepted = slices.DeleteFunc(p.accepted, func(id int) bool { return id == u.id })
			p.stats["discarded"]++
			return true
		})
	}
	if n := p.o.Discard(limit); n != want {
		p.fail("Discard says %d, want %d", n, want)
	}
}

func (p *player) attach() {
	p.epoch++
	var prefix []byte
	p.ctl = nil
	p.open = nil
	synced := make(chan Pong, 1)
	if p.rng.IntN(4) > 0 {
		line := fmt.Sprintf("SUB e%d 1\r\n", p.epoch)
		prefix = []byte(line)
		m := &mark{waiter: synced}
		p.ctl = []unit{{bytes: line, id: -1}, {bytes: wire.PingLine, id: -1, ping: m}}
		p.open = []*mark{m}
	}
	p.o.Attach(p.epoch, prefix, synced)
	p.mode, p.attached = Syncing, true
	p.pos, p.sent, p.inbox, p.parsed, p.answered, p.gotNow = 0, nil, nil, 0, 0, 0
	at := uint64(0)
	for i := range p.buf {
		p.buf[i].start = at
		at += uint64(len(p.buf[i].bytes))
	}
	p.parked = false // a new writer looks before it sleeps
}

func (p *player) close() {
	p.step = "close"
	for p.lent {
		p.write()
	}
	if p.attached {
		p.detach()
		p.check()
	}
	n := uint64(0)
	for id, f := range p.fates {
		if f == buffered {
			p.fates[id] = dropped
			n++
			p.stats["dropped"]++
		}
	}
	end := errors.New("the end")
	d, u := p.o.Close(end)
	if d != n || u != 0 {
		p.fail("Close says %d dropped, %d unknown; want %d, 0", d, u, n)
	}
	p.buf, p.mode = nil, Closed
	for _, w := range p.waiters {
		select {
		case <-w.retry:
		default:
			p.fail("a publisher waits for ever")
		}
	}
	if _, err := p.o.Publish("a", "", "", nil); !errors.Is(err, end) {
		p.fail("Publish after Close: %v", err)
	}
	if _, _, err := p.o.Request("a", "", "", nil); !errors.Is(err, end) {
		p.fail("Request after Close: %v", err)
	}
	if err := p.o.Ping(make(chan Pong, 1)); !errors.Is(err, end) {
		p.fail("Ping after Close: %v", err)
	}
	p.o.Attach(99, []byte("SUB a 1\r\n"), nil)
	p.o.Control(99, []byte("SUB a 1\r\n"))
	if b := p.o.Take(p.now); b != nil {
		p.fail("Take after Close: %q", b)
	}
	if d, u := p.o.Close(nil); d != 0 || u != 0 {
		p.fail("a second Close says %d, %d", d, u)
	}
}

// check compares everything that can be seen, after each step.
func (p *player) check() {
	var count [5]uint64
	for _, f := range p.fates {
		count[f]++
	}
	c := p.o.Counts()
	want := Counts{
		Accepted: uint64(len(p.fates)), AcceptedBytes: p.bytes,
		Buffered: count[buffered], InFlight: count[inFlight], Confirmed: count[confirmed],
		Unknown: count[unknown], Dropped: count[dropped],
	}
	if c.Accepted != c.Confirmed+c.InFlight+c.Buffered+c.Dropped+c.Unknown {
		p.fail("the ledger does not add up: %+v", c)
	}
	if c != want {
		p.fail("ledger\n %+v, want\n %+v", c, want)
	}
	if l := &p.o.ledger; !(l.settled <= l.written && l.written <= l.taken && l.taken <= l.appended) {
		p.fail("settled %d, written %d, taken %d, appended %d", l.settled, l.written, l.taken, l.appended)
	}
	if n := p.o.Buffered(); n != p.bufLen()+size(p.ctl) {
		p.fail("Buffered is %d, want %d", n, p.bufLen()+size(p.ctl))
	}
	l := p.o.Liveness()
	if l.Outstanding != (len(p.open) > 0) || l.Outstanding && l.OldestPing != p.open[0].sentAt {
		p.fail("%+v; %d PINGs are open", l, len(p.open))
	}
	if l.Unasked != (p.unasked != 0) || l.Unasked && l.UnaskedAt != p.unasked {
		p.fail("%+v; unasked since %v", l, p.unasked)
	}
	// Nobody sleeps who could work.
	if p.parked && p.attached && !p.dead && !p.lent && (p.mode == Live && (p.left || len(p.buf)+len(p.ctl) > 0) || p.mode == Syncing && len(p.ctl) > 0) {
		if len(p.o.wake) == 0 {
			p.fail("the writer sleeps, and nobody woke it")
		}
	}
	// What the server has was accepted, and is neither waiting nor dropped.
	for _, id := range p.got[len(p.got)-p.gotNow:] {
		if f := p.fates[id]; f == dropped || f == buffered && p.hand == nil {
			p.fail("message %d is at the server, and %d", id, f)
		}
	}
	again := p.waiters
	p.waiters = nil
	for _, w := range again {
		select {
		case <-w.retry:
			if p.mode != Closed {
				p.tryPublish(w)
			}
		default:
			if v := p.decide(wire.PubSize(w.subject, "", "", zeros[:max(w.size, 8)])+100, w.request); v != wait {
				p.fail("a publisher waits; it would be told %d", v)
			}
			p.waiters = append(p.waiters, w)
		}
	}
}

package window

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

// world plays a program, a link and a stream around a Machine. The stream knows
// ids; the model knows of each publish what really became of it.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	m    *Machine
	now  time.Duration
	trc  []string
	cuts bool // links are lost; else the stream drops without a word

	pubs   []*pub
	bySlot map[int]*pub

	up       bool
	link     int    // its number
	dead     bool   // the link is at its end, and the machine has not heard of it
	pos      uint64 // of the link's stream
	wire     []sent // on its way
	arrived  uint64 // end of what the stream has read
	answers  []reply
	mode     int // of the stream
	stored   []int
	lastSent int
	inHand   []hand // handed over, and not reported yet
	stats    map[string]int
	policies []*Policy
}

type pub struct {
	id, slot int
	named    bool
	stored   bool
	settled  bool
	subject  int
}

type sent struct {
	t  Token
	p  *pub
	at uint64
}

type reply struct {
	t Token
	o Outcome
	p *pub
	k bool // stored
}

type hand struct {
	t      Token
	p      *pub
	at     uint64
	ok     bool
	left   bool
	lost   bool
	runner bool
	link   int
	report int // the machine's number of the link
}

const (
	storing = iota
	refusing
	overloaded
	dropping
)

func (w *world) trace(f string, args ...any) {
	if len(w.trc) > 4000 {
		w.trc = w.trc[2000:]
	}
	w.trc = append(w.trc, fmt.Sprintf("%v: ", w.now)+fmt.Sprintf(f, args...))
}

func (w *world) fail(f string, args ...any) {
	w.t.Helper()
	for _, s := range w.trc {
		w.t.Log(s)
	}
	w.t.Fatalf(f, args...)
}

func TestModel(t *testing.T) {
	total := map[string]int{}
	seeds := []uint64{281690927017449534, 1, 2, 3, 4, 5, 6, 7, 8, rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{
				t: t, rng: rand.New(rand.NewPCG(seed, 1)), m: New(), now: time.Hour, cuts: seed%2 == 0,
				bySlot: map[int]*pub{}, stats: total,
				policies: []*Policy{{2, 250 * time.Millisecond}, {0, time.Millisecond}, {-1, 100 * time.Millisecond}},
			}
			w.linkUp()
			for range 8000 {
				w.step()
			}
			w.finish()
		})
	}
	t.Log(total)
	for _, s := range []string{"stored", "again", "refused", "Expired", "LinkLost", "Overtaken", "Unheard", "Unheeded", "Closed", "duplicate", "moved", "late report", "unhanded", "resent"} {
		if total[s] == 0 {
			t.Errorf("it never happened: %s", s)
		}
	}
}

func (w *world) step() {
	w.now += time.Duration(w.rng.IntN(3000)) * time.Microsecond
	switch r := w.rng.IntN(1000); {
	case r < 300:
		w.publish()
	case r < 450:
		w.report()
	case r < 650:
		for range w.rng.IntN(4) {
			w.read()
		}
	case r < 850:
		for range w.rng.IntN(4) {
			w.answer()
		}
	case r < 950:
		w.run()
	case r < 960:
		w.setMode(max(0, w.rng.IntN(12)-8))
	case r < 963 && w.up && w.cuts:
		w.dead = true // who hands over hears of it first
	case r < 966 && w.up && w.cuts:
		w.cut(true)
	case r < 967 && w.up:
		w.cut(false)
	case r < 985:
		if !w.up {
			w.linkUp()
		}
	case r < 990:
		w.now += time.Duration(w.rng.IntN(3000)) * time.Millisecond
		w.run()
	case r < 991 && !w.cuts && w.rng.IntN(4) == 0:
		w.setMode(dropping)
		for range 8 {
			w.now += 16 * time.Second
			w.run()
			for len(w.wire)+len(w.inHand) > 0 {
				w.report()
				w.read()
			}
		}
	}
	w.check()
}

func (w *world) setMode(mode int) {
	if mode == dropping && w.cuts {
		mode = storing
	}
	if mode != w.mode && w.cuts {
		// What was refused and what was stored later are never both lost with
		// their answers: nobody could tell then.
		for len(w.answers) > 0 {
			w.answer()
		}
	}
	w.mode = mode
	w.trace("mode %d", mode)
}

func (w *world) publish() {
	if w.m.Open() >= 40 {
		return
	}
	for w.reportIf(func(h hand) bool { return !h.runner }) { // one goroutine: the call before has returned
	}
	p := &pub{id: len(w.pubs), named: w.rng.IntN(2) == 0, subject: w.rng.IntN(5) / 4}
	timeout := 5 * time.Second
	if w.rng.IntN(5) == 0 {
		timeout = time.Duration(1+w.rng.IntN(100)) * time.Second
	}
	i, direct := w.m.Add(w.now, w.now+timeout, Attempts{Policy: w.policies[w.rng.IntN(len(w.policies))], Named: p.named})
	if w.bySlot[i] != nil {
		w.fail("slot %d is in use", i)
	}
	p.slot = i
	w.pubs = append(w.pubs, p)
	w.bySlot[i] = p
	w.trace("publish %d named %v direct %v", p.id, p.named, direct)
	if direct {
		w.handOver(p, w.m.Token(i), false)
	}
}

// handOver begins an attempt on the present link. The runner's gets there later,
// when others may have published meanwhile. The machine hears of it later still.
func (w *world) handOver(p *pub, t Token, runner bool) {
	if t.attempt() > 1 {
		w.stats["resent"]++
	}
	h := hand{t: t, p: p, runner: runner, link: w.link}
	if !runner {
		w.put(&h)
	}
	w.inHand = append(w.inHand, h)
	if w.rng.IntN(3) > 0 {
		w.report()
	}
}

// put puts an attempt on the wire, if its link is still there.
func (w *world) put(h *hand) {
	h.at, h.ok = w.pos, w.up && !w.dead && h.link == w.link
	if h.ok {
		w.wire = append(w.wire, sent{h.t, h.p, w.pos})
		w.pos += 10
		w.lastSent = max(w.lastSent, h.p.id)
	}
}

func (w *world) report() { w.reportIf(func(hand) bool { return true }) }

func (w *world) reportIf(which func(hand) bool) bool {
	i := slices.IndexFunc(w.inHand, which)
	if i < 0 {
		return false
	}
	h := w.inHand[i]
	w.inHand = slices.Delete(w.inHand, i, i+1)
	if h.runner {
		w.put(&h)
	}
	switch {
	case !h.ok:
		w.trace("unhanded %d", h.p.id)
		w.stats["unhanded"]++
		w.m.Unhanded(h.t, true)
	case w.m.Current(h.t) && h.report == 0:
		w.m.Handed(h.t, h.at, w.now)
	default:
		w.trace("late report %d left %v lost %v", h.p.id, h.left, h.lost)
		w.stats["late report"]++
		w.m.HandedOver(h.t, h.left, h.lost, w.now)
	}
	w.take()
	return true
}

// read is the stream reading a message.
func (w *world) read() {
	if len(w.wire) == 0 {
		return
	}
	s := w.wire[0]
	w.wire = w.wire[1:]
	w.arrived = s.at + 10
	w.receive(s)
}

func (w *world) receive(s sent) {
	mode := w.mode
	if s.p.subject == 1 && mode == storing {
		mode = refusing // nobody listens on that one
		if w.cuts {
			mode = storing
		}
	}
	r := reply{t: s.t, p: s.p}
	switch mode {
	case dropping:
		w.trace("dropped %d", s.p.id)
		return
	case refusing:
		r.o = NotHeard
	case overloaded:
		r.o = Dropped
	default:
		r.k = true
		if s.p.stored {
			if !s.p.named {
				w.fail("%d was sent again although it is stored, and has no id", s.p.id)
			}
			w.stats["duplicate"]++
			break
		}
		s.p.stored = true
		if n := len(w.stored); n > 0 && w.stored[n-1] > s.p.id {
			w.fail("%d is stored after %d", s.p.id, w.stored[n-1])
		}
		w.stored = append(w.stored, s.p.id)
	}
	w.trace("read %d: %v %v", s.p.id, r.o, r.k)
	w.answers = append(w.answers, r)
}

// answer brings an answer.
func (w *world) answer() {
	if len(w.answers) == 0 {
		return
	}
	r := w.answers[0]
	w.answers = w.answers[1:]
	i, present, ok := w.m.Find(r.t)
	w.trace("answer to %d: %v %v found %v present %v", r.p.id, r.o, r.k, ok, present)
	switch {
	case !ok:
		return
	case w.bySlot[i] != r.p:
		w.fail("the answer to %d is for %d", r.p.id, w.bySlot[i].id)
	case r.k:
		w.m.Stored(i)
		w.settled(i, "stored", false, true)
	case !present:
	default:
		unknown := w.m.Unknown(i)
		again := w.m.Failed(i, r.o, w.now, w.rng.Float64(), func(a, b int) bool { return w.bySlot[a].subject == w.bySlot[b].subject })
		if again {
			w.stats["again"]++
		} else {
			w.settled(i, "refused", unknown, false)
		}
	}
	w.take()
}

func (w *world) take() {
	for _, d := range w.m.Take() {
		name := []string{"Expired", "LinkLost", "Overtaken", "Unheard", "Unheeded", "Closed", "Failed"}[d.Why]
		p := w.bySlot[d.Slot]
		if later := w.lastSent; d.Why == Overtaken && later <= p.id {
			w.fail("%d was not overtaken, the last one that left is %d", p.id, later)
		}
		w.settled(d.Slot, name, d.Unknown, false)
	}
}

func (w *world) settled(i int, how string, unknown, ok bool) {
	p := w.bySlot[i]
	w.trace("settled %d: %s unknown %v", p.id, how, unknown)
	switch {
	case p.settled:
		w.fail("%d is settled twice", p.id)
	case ok && !p.stored:
		w.fail("%d was told to be stored, and is not", p.id)
	case !ok && !unknown && p.stored:
		w.fail("%d was told not to be stored, and is: %s", p.id, how)
	}
	p.settled = true
	w.stats[how]++
	delete(w.bySlot, i)
}

// run is the runner.
func (w *world) run() {
	for {
		if len(w.inHand) > 0 {
			w.take()
		}
		a := w.m.Next(w.now)
		w.take()
		if !a.Send {
			if a.At < w.now && w.m.Open() > len(w.inHand) {
				w.fail("wait until %v, which is over", a.At)
			}
			return
		}
		p := w.bySlot[a.Token.Slot()]
		w.trace("send %d attempt %d", p.id, a.Token.attempt())
		w.handOver(p, a.Token, true)
	}
}

// cut ends the link; what the stream has not read by then may yet arrive, up to
// some point, before anything that comes on the next link.
func (w *world) cut(lost bool) {
	w.up, w.dead = false, false
	left := w.pos
	if lost {
		left -= min(left, uint64(10*w.rng.IntN(8))) // the rest did not leave
		left = max(left, w.arrived)
		reach := w.rng.IntN(len(w.wire) + 1)
		for i, s := range w.wire {
			if s.at < left && i < reach {
				w.receive(s)
			}
		}
		w.wire = nil
		if w.rng.IntN(2) == 0 {
			w.answers = nil
		}
	} else {
		w.stats["moved"]++
		for len(w.wire) > 0 {
			w.read()
		}
	}
	w.trace("link down, left %d lost %v", left, lost)
	for i := range w.inHand {
		if h := &w.inHand[i]; h.ok && h.report == 0 {
			h.report, h.left, h.lost = 1, h.at < left, lost
		}
	}
	w.m.LinkDown(left, lost, w.now)
	w.take()
}

func (w *world) linkUp() {
	w.up, w.pos, w.arrived = true, 0, 0
	w.link++
	w.m.LinkUp()
	w.trace("link up")
}

// check compares the machine with itself.
func (w *world) check() {
	if n := w.m.Open(); n != len(w.bySlot) {
		w.fail("%d are open, want %d", n, len(w.bySlot))
	}
	flying, queued, behind, carried, first := 0, 0, 0, 0, int32(-1)
	for n := w.m.head; n >= 0; n = w.m.slots[n].next {
		s := &w.m.slots[n]
		switch {
		case s.state == queued_:
			queued++
			if first < 0 {
				first = n
			}
		case s.inFlight():
			flying++
			if first >= 0 {
				behind++
			}
			if s.link != w.m.link {
				carried++
			}
		}
	}
	if queued != w.m.queued || behind != w.m.behind || first != w.m.first || carried != w.m.carried {
		w.fail("queued %d behind %d first %d carried %d; the machine has %d %d %d %d", queued, behind, first, carried, w.m.queued, w.m.behind, w.m.first, w.m.carried)
	}
}

const queued_ = queued

func (w *world) finish() {
	if w.rng.IntN(2) == 0 {
		if w.up {
			w.cut(true)
		}
		for len(w.inHand) > 0 {
			w.report()
		}
		w.m.Close()
		w.take()
	} else {
		w.setMode(storing)
		for i := 0; w.m.Open() > 0; i++ {
			if i > 100000 {
				w.fail("%d stay open", w.m.Open())
			}
			if !w.up {
				w.linkUp()
			}
			w.report()
			w.read()
			w.answer()
			w.run()
			w.now += 10 * time.Millisecond
		}
	}
	w.check()
	if w.m.Open() != 0 {
		w.fail("%d are open at the end", w.m.Open())
	}
	for _, p := range w.pubs {
		if !p.settled {
			w.fail("%d is not settled", p.id)
		}
	}
}

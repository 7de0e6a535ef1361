package pull

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
)

// A world of a server, links and a user, on simulated time. Faults come at
// random; what the machine does is held against what is the case.

type happening struct {
	at  time.Duration
	seq int
	do  func()
}

type agenda []happening

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(happening)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

// serverPull is a pull as the server sees it.
type serverPull struct {
	Request
	left, bytes int
	expires     time.Duration
	beat        time.Duration
}

// item is what the server sends: a message if size > 0.
type item struct {
	size   int
	status Status
	stored int  // which message
	more   bool // others waited at the server
}

type world struct {
	t   *testing.T
	rng *rand.Rand
	m   *Machine
	now time.Duration
	seq int
	a   agenda

	// The server.
	linked  bool // the client's link is up
	epoch   int
	leader  bool
	full    bool // MaxWaiting
	forgets bool // takes pulls and forgets them
	cluster bool // pulls survive the loss of a link
	pulls   []*serverPull
	stream  []int // ids of messages to deliver
	next    int

	// The link, and the client's side.
	lastArrival time.Duration
	queue       []item // the connection's
	arrived     uint64
	buffer      []item // the session's
	timer       int
	slow        time.Duration // the user

	onTheWay int // messages on the link and in the connection's queue
	flying   int // on the link

	took      map[int]bool
	issued    []time.Duration // pulls
	published int
	lostPulls int // that the books may not know of
	maxHeld   int
	ended     Reason
	left      time.Duration // when it gave the subscription up
	size      func() int
}

func (w *world) after(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.a, happening{w.now + d, w.seq, f})
}

func (w *world) latency() time.Duration {
	return time.Duration(w.rng.Int64N(int64(5 * time.Millisecond)))
}

// send puts something on the link, in order.
func (w *world) send(it item) {
	epoch := w.epoch
	w.lastArrival = max(w.lastArrival, w.now+w.latency())
	if it.size > 0 {
		w.onTheWay++
		w.flying++
	}
	w.after(w.lastArrival-w.now, func() {
		if it.size > 0 {
			w.flying--
		}
		if !w.linked || w.epoch != epoch {
			if it.size > 0 { // redelivered
				w.onTheWay--
				w.stream = append(w.stream, it.stored)
				w.after(time.Second, w.serve)
			}
			return
		}
		w.arrived++
		w.queue = append(w.queue, it)
		w.after(w.latency()/10, w.work)
	})
}

// work is the session taking one thing from the connection's queue.
func (w *world) work() {
	if len(w.queue) == 0 {
		return
	}
	it := w.queue[0]
	w.queue = w.queue[1:]
	if it.size == 0 {
		w.m.Status(w.now, it.status)
		w.run()
		return
	}
	w.onTheWay--
	if !w.m.Data(it.size) {
		if w.ended == None && w.left == 0 {
			w.t.Fatalf("a message was refused in mid session")
		}
		return
	}
	if it.more {
		w.m.More()
	}
	w.buffer = append(w.buffer, it)
	w.maxHeld = max(w.maxHeld, len(w.buffer))
	w.after(w.slow, w.take)
	if w.m.Ready() {
		w.run()
	}
}

func (w *world) take() {
	it := w.buffer[0]
	w.buffer = w.buffer[1:]
	if w.took[it.stored] {
		w.t.Fatalf("message %d came twice", it.stored)
	}
	w.took[it.stored] = true
	w.m.Taken(it.size)
	if w.m.Ready() {
		w.run()
	}
}

func (w *world) run() {
	for range 1000 {
		switch a := w.m.Next(w.now); a.Kind {
		case Pull:
			w.pull(a.Request)
		case Check:
			w.after(w.latency(), func() { w.m.Checked(w.now, false, ""); w.run() })
		case End:
			w.ended = a.Reason
			return
		case Leave:
			w.left = w.now
			return
		case Wait:
			w.timer++
			timer := w.timer
			w.after(a.At-w.now, func() {
				if timer != w.timer || w.ended != None {
					return
				}
				w.m.Tick(w.now, w.look())
				w.run()
			})
			return
		}
	}
	w.t.Fatal("the machine never waits")
}

// look is what a Tick looks at.
func (w *world) look() World {
	bytes := 0
	for _, it := range w.queue {
		bytes += it.size
	}
	return World{w.linked, len(w.queue), bytes, w.arrived}
}

// pull is a request on its way.
func (w *world) pull(r Request) {
	if !w.linked && w.m.up {
		w.lostPulls++ // it does not know yet
	}
	w.issued = append(w.issued, w.now)
	if n := len(w.issued); n > 20 && w.issued[n-1]-w.issued[n-20] < 10*time.Millisecond && w.slow > time.Millisecond {
		w.t.Fatalf("20 pulls in %v", w.issued[n-1]-w.issued[n-20])
	}
	epoch := w.epoch
	w.after(w.latency(), func() {
		switch {
		case !w.linked || w.epoch != epoch:
			return
		case !w.leader:
			w.status(r.Token, 503, "", -1, 0)
			return
		case w.forgets:
			return
		case w.full:
			if r.Heartbeat == 0 {
				w.status(r.Token, 409, "Exceeded MaxWaiting", -1, 0)
			}
			return
		}
		p := &serverPull{Request: r, left: r.Batch, bytes: r.MaxBytes, expires: w.now + r.Expires, beat: w.now + r.Heartbeat}
		w.pulls = append(w.pulls, p)
		w.after(r.Expires, w.serve)
		if r.Heartbeat > 0 {
			w.after(r.Heartbeat, w.serve)
		}
		w.serve()
	})
}

func (w *world) status(token uint64, code int, text string, msgs, bytes int) {
	s := Status{Token: token, Code: code, Text: text}
	if msgs >= 0 {
		s.Pending, s.Msgs, s.Bytes = true, msgs, bytes
	}
	w.send(item{status: s})
	if w.rng.IntN(20) == 0 {
		w.send(item{status: s})
	}
}

// serve is the server doing what it can.
func (w *world) serve() {
	if !w.leader {
		return
	}
	for len(w.stream) > 0 && len(w.pulls) > 0 {
		p := w.pulls[0]
		size := w.size()
		if p.MaxBytes > 0 && p.bytes < size {
			w.status(p.Token, 409, "Message Size Exceeds MaxBytes", p.left, p.bytes)
			w.pulls = w.pulls[1:]
			continue
		}
		w.send(item{size: size, stored: w.stream[0], more: len(w.stream) > 1})
		w.stream = w.stream[1:]
		p.left--
		p.bytes -= size
		w.pulls = w.pulls[1:]
		if p.left > 0 {
			w.pulls = append(w.pulls, p) // in turn
		} else if p.MaxBytes > 0 && p.bytes > 0 {
			w.status(p.Token, 409, "Batch Completed", 0, p.bytes)
		}
	}
	kept := w.pulls[:0]
	for _, p := range w.pulls {
		if w.now >= p.expires {
			w.status(p.Token, 408, "Request Timeout", p.left, p.bytes)
			continue
		}
		if p.Heartbeat > 0 && w.now >= p.beat {
			w.status(p.Token, 100, "Idle Heartbeat", -1, 0)
			p.beat = w.now + p.Heartbeat
			w.after(p.Heartbeat, w.serve)
		}
		kept = append(kept, p)
	}
	w.pulls = kept
}

func (w *world) publish(n int) {
	for range n {
		w.stream = append(w.stream, w.next)
		w.next++
	}
	w.published += n
	w.serve()
}

func (w *world) cut() {
	if !w.linked {
		return
	}
	w.linked = false
	w.epoch++
	if !w.cluster {
		w.pulls = nil
	}
	w.after(w.latency(), func() {
		w.m.LinkDown()
		w.run()
	})
	w.after(20*time.Millisecond+time.Duration(w.rng.Int64N(int64(3*time.Second))), func() {
		w.linked = true
		w.m.LinkUp(w.now, len(w.queue), 0)
		w.run()
	})
}

func (w *world) fault(kind int) {
	for_ := func(flag *bool, value bool) {
		*flag = value
		w.after(time.Duration(w.rng.Int64N(int64(10*time.Second))), func() { *flag = !value; w.serve() })
	}
	switch kind {
	case 0, 1:
		w.cut()
	case 2: // leadership
		for _, p := range w.pulls {
			w.status(p.Token, 409, "Leadership Change", -1, 0)
		}
		w.pulls = nil
		if w.leader {
			for_(&w.leader, false)
		}
	case 3:
		if !w.full {
			for_(&w.full, true)
		}
	case 4:
		if !w.forgets {
			for_(&w.forgets, true)
		}
	case 5: // the server loses what it had, without a word
		w.pulls = nil
	case 6:
		for _, p := range w.pulls {
			w.status(p.Token, 409, "Server Shutdown", p.left, p.bytes)
		}
		w.pulls = nil
	}
}

func (w *world) until(t time.Duration, stop func() bool) {
	for w.a.Len() > 0 && w.a[0].at <= t && !stop() {
		h := heap.Pop(&w.a).(happening)
		w.now = h.at
		h.do()
	}
	w.now = max(w.now, min(t, w.now+time.Hour))
}

func newWorld(t *testing.T, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	capacity := []int{1, 2, 10, 100, 500}[rng.IntN(5)]
	cfg := Config{
		MaxMessages: capacity, Threshold: capacity / 2, Expiry: 30 * sec, Heartbeat: 5 * sec, Seed: seed,
	}
	if seed%2 == 0 {
		cfg.Alert = sec
	}
	w := &world{
		t: t, rng: rng, now: time.Hour, linked: true, leader: true, took: make(map[int]bool),
		cluster: rng.IntN(2) == 0, slow: time.Duration(rng.Int64N(int64(20 * time.Millisecond))),
	}
	w.size = func() int { return 100 }
	if rng.IntN(3) == 0 {
		cfg.MaxBytes = 100 * max(capacity/2, 2)
		w.size = func() int { return 1 + rng.IntN(100) }
	}
	w.m = New(cfg)
	w.m.LinkUp(w.now, 0, 0)
	w.run()
	return w
}

// outstanding is what pulls of the server, and what is on its way, can bring.
func (w *world) outstanding() (n int) {
	for _, p := range w.pulls {
		n += p.left
	}
	return n
}

// Without faults the books are exact: what the server owes, what is on its way
// and what waits here are never more than the capacity, and what the machine
// believes is what is.
func TestModelCreditIsExact(t *testing.T) {
	for seed := range uint64(figure.Size(25, 2000)) {
		w := newWorld(t, seed)
		for range 60 {
			w.until(w.now+time.Duration(w.rng.Int64N(int64(2*time.Second))), func() bool {
				if held := w.outstanding() + w.onTheWay + len(w.buffer); held > w.m.cfg.MaxMessages {
					t.Fatalf("seed %d: %d of %d", seed, held, w.m.cfg.MaxMessages)
				}
				return false
			})
			w.publish(w.rng.IntN(3 * w.m.cfg.MaxMessages))
		}
		w.until(w.now+time.Hour, func() bool { return len(w.took) == w.published })
		w.until(w.now+time.Minute, func() bool { return false })
		if len(w.took) != w.published {
			t.Fatalf("seed %d: took %d of %d", seed, len(w.took), w.published)
		}
		if w.m.cfg.MaxBytes == 0 && w.m.outstanding != w.outstanding() {
			t.Fatalf("seed %d: %d outstanding, believed %d", seed, w.outstanding(), w.m.outstanding)
		}
	}
}

// With faults everything is delivered; and when they are over, everything that
// waits is taken within seconds.
func TestModelLiveness(t *testing.T) {
	for seed := range uint64(figure.Size(80, 10_000)) {
		w := newWorld(t, seed)
		cuts := 0
		for range 60 {
			w.until(w.now+time.Duration(w.rng.Int64N(int64(3*time.Second))), func() bool { return false })
			w.publish(w.rng.IntN(w.m.cfg.MaxMessages + 1))
			if w.rng.IntN(4) == 0 {
				kind := w.rng.IntN(7)
				w.fault(kind)
				cuts++
			}
		}
		// The last fault, and its end: 10 s. Then silence is noticed after two
		// heartbeats, or the end of the first pull.
		w.until(w.now+11*sec, func() bool { return false })
		began := w.now
		done := func() bool { return len(w.took) == w.published }
		work := time.Duration(w.published) * w.slow
		w.until(w.now+20*sec+work, done)
		if !done() {
			t.Fatalf("seed %d: took %d of %d, %v after the last fault; %s", seed, len(w.took), w.published, w.now-began, w.state())
		}
		// One more message comes at once, and again after a long rest.
		for _, rest := range []time.Duration{0, 40 * sec, time.Hour} {
			w.until(w.now+rest, func() bool { return false })
			w.publish(1)
			w.until(w.now+w.slow+sec, done)
			if !done() {
				t.Fatalf("seed %d: not taken within a second after %v of rest; %s", seed, rest, w.state())
			}
		}
		if w.ended != None {
			t.Fatalf("seed %d: ended by %v", seed, w.ended)
		}
		// A pull that survives a cut is one capacity more than there is room for.
		if limit := w.m.cfg.MaxMessages * (1 + cuts); w.maxHeld > limit {
			t.Errorf("seed %d: %d messages waited, capacity %d", seed, w.maxHeld, w.m.cfg.MaxMessages)
		}
		if !w.cluster && w.lostPulls == 0 && w.maxHeld > w.m.cfg.MaxMessages {
			t.Errorf("seed %d: %d messages waited, capacity %d", seed, w.maxHeld, w.m.cfg.MaxMessages)
		}
	}
}

func (w *world) state() string {
	return fmt.Sprintf("server has %d pulls for %d and %d messages; %d queued, %d buffered; machine %+v",
		len(w.pulls), w.outstanding(), len(w.stream), len(w.queue), len(w.buffer), *w.m)
}

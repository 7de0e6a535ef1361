package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// World is a simulation under way. It belongs to one goroutine.
type World struct {
	// Log, if set, gets each line of the trace.
	Log func(line string)
	// Marks counts the rare branches that were reached.
	Marks map[string]int

	now   time.Duration
	rng   *rand.Rand
	queue eventHeap
	seq   uint64
	hash  uint64
	steps int
	err   error
}

// NewWorld makes a world at time 0, with its chance from seed and luck.
func NewWorld(seed, luck uint64) *World {
	return &World{
		Marks: make(map[string]int),
		rng:   rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15+luck)),
		hash:  fnvOffset,
	}
}

// Now is the simulated time.
func (w *World) Now() time.Duration { return w.now }

// Rand is the world's chance.
func (w *World) Rand() *rand.Rand { return w.rng }

// Between is a duration from lo up to hi.
func (w *World) Between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

// Chance is true once in n times.
func (w *World) Chance(n int) bool { return w.rng.IntN(n) == 0 }

// Timer is an event to come.
type Timer struct {
	at  time.Duration
	seq uint64
	f   func()
}

// Stop takes the event back. It reports whether it was still to come.
func (t *Timer) Stop() bool {
	if t == nil || t.f == nil {
		return false
	}
	t.f = nil // the heap gets rid of it when its time comes
	return true
}

// At has f called at a time, now at the earliest. Events of the same time come
// in the order in which they were asked for.
func (w *World) At(at time.Duration, f func()) *Timer {
	w.seq++
	t := &Timer{at: max(at, w.now), seq: w.seq, f: f}
	heap.Push(&w.queue, t)
	return t
}

// After is At from now on.
func (w *World) After(d time.Duration, f func()) *Timer { return w.At(w.now+d, f) }

// Run lets everything happen that is due before the given time, and ends there,
// or where a property is violated.
func (w *World) Run(until time.Duration) {
	for w.err == nil && len(w.queue) > 0 && w.queue[0].at <= until {
		t := heap.Pop(&w.queue).(*Timer)
		if t.f == nil {
			continue
		}
		w.now = t.at
		w.steps++
		f := t.f
		t.f = nil
		f()
	}
	if w.err == nil {
		w.now = max(w.now, until)
	}
}

// Steps is how many events there were.
func (w *World) Steps() int { return w.steps }

// Fail ends the run: a property does not hold. The first call counts.
func (w *World) Fail(format string, args ...any) {
	if w.err != nil {
		return
	}
	w.err = fmt.Errorf("at %v: %s", w.now, fmt.Sprintf(format, args...))
	if w.Log != nil {
		w.Log("VIOLATED " + w.err.Error())
	}
}

// Err is the property that does not hold, or nil.
func (w *World) Err() error { return w.err }

// Sometimes marks that a rare branch was reached.
func (w *World) Sometimes(mark string) { w.Marks[mark]++ }

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// Trace takes note of what happened to whom, and hashes it.
func (w *World) Trace(what string, who int, detail int64) {
	w.hashNumber(uint64(w.now))
	for i := range len(what) {
		w.hash = (w.hash ^ uint64(what[i])) * fnvPrime
	}
	w.hashNumber(uint64(who))
	w.hashNumber(uint64(detail))
	if w.Log != nil {
		w.Log(fmt.Sprintf("%14.6fs  %-24s %3d  %d", w.now.Seconds(), what, who, detail))
	}
}

// TraceBytes is Trace with bytes as the detail.
func (w *World) TraceBytes(what string, who int, b []byte) {
	for _, c := range b {
		w.hash = (w.hash ^ uint64(c)) * fnvPrime
	}
	w.Trace(what, who, int64(len(b)))
	if w.Log != nil {
		w.Log(fmt.Sprintf("%40s%.100q", "", b))
	}
}

func (w *World) hashNumber(n uint64) {
	// A number is mixed whole: a byte at a time costs more than the rest of an event.
	w.hash = (w.hash ^ n) * fnvPrime
	w.hash ^= w.hash >> 29
}

// Hash is the hash of the trace up to now.
func (w *World) Hash() uint64 { return w.hash }

type eventHeap []*Timer

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*Timer)) }
func (h *eventHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}

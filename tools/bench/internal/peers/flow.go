package peers

import (
	"io"
	"sync"
)

// frames are rendered messages, whole rounds over all subscriptions.
type frames struct {
	bytes []byte
	ends  []int // ends[i] is where frame i begins, the last one where all end
}

// render repeats the frames of n subscriptions until a write is worth it.
func render(n int, frame func(dst []byte, i int) []byte) frames {
	f := frames{ends: []int{0}}
	for i := 0; i%n != 0 || len(f.bytes) < 256<<10; i++ {
		f.bytes = frame(f.bytes, i%n)
		f.ends = append(f.ends, len(f.bytes))
	}
	return f
}

// flow keeps a sender from running more than a window ahead of its receiver.
type flow struct {
	mu      sync.Mutex
	changed sync.Cond
	credits int
	run     int // the number of the latest run; an older one ends
	stopped bool
}

func newFlow() *flow {
	f := &flow{}
	f.changed.L = &f.mu
	return f
}

func (f *flow) credit(n int) {
	f.mu.Lock()
	f.credits += n
	f.mu.Unlock()
	f.changed.Broadcast()
}

func (f *flow) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.changed.Broadcast()
}

// flowRun is one order under way.
type flowRun struct {
	*flow
	number    int
	unlimited bool
}

// begin starts a run and ends the one before it, whose receiver may be gone.
func (f *flow) begin(window int) flowRun {
	f.mu.Lock()
	f.run++
	f.credits = window
	r := flowRun{f, f.run, window == 0}
	f.mu.Unlock()
	f.changed.Broadcast()
	return r
}

// take waits until something may be sent and returns how many of want; 0 when
// the run is over.
func (r flowRun) take(want int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.credits == 0 && !r.unlimited && !r.over() {
		r.changed.Wait()
	}
	if r.over() {
		return 0
	}
	if r.unlimited {
		return want
	}
	k := min(want, r.credits)
	r.credits -= k
	return k
}

func (r flowRun) over() bool { return r.stopped || r.number != r.run }

// send writes count frames, as many at a time as the credits allow.
func (r flowRun) send(w io.Writer, f frames, count int) {
	last := len(f.ends) - 1
	for at := 0; count > 0; {
		k := r.take(min(count, last-at))
		if k == 0 {
			return
		}
		if _, err := w.Write(f.bytes[f.ends[at]:f.ends[at+k]]); err != nil {
			return
		}
		count -= k
		if at += k; at == last {
			at = 0
		}
	}
}

package natstest

import (
	"net"
	"slices"
	"sync"
	"time"
)

// lane is one direction of a proxy: the rules for it and the flows that obey
// them.
type lane struct {
	mu        sync.Mutex
	changed   chan struct{} // closed and replaced when a rule changes
	delay     time.Duration
	rate      int // bytes per second, 0: no limit
	stalled   bool
	holds     int // calls of quiesce under way
	recording bool
	record    []byte
	total     int64
	armed     []*cut // for the connections to come
	flows     map[*flow]struct{}
}

// cut is a cut to be made.
type cut struct {
	at   int64 // bytes from the start of the connection
	once sync.Once
	done chan struct{}
}

func (c *cut) finish() { c.once.Do(func() { close(c.done) }) }

func newLane() *lane {
	return &lane{changed: make(chan struct{}), flows: map[*flow]struct{}{}}
}

// change applies a change of the rules and tells the flows.
func (ln *lane) change(apply func()) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	apply()
	ln.announce()
}

// announce needs the lock.
func (ln *lane) announce() {
	close(ln.changed)
	ln.changed = make(chan struct{})
}

func (ln *lane) add(f *flow) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.flows[f] = struct{}{}
	if ln.closed() {
		f.interrupt()
	}
}

func (ln *lane) remove(f *flow) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	delete(ln.flows, f)
}

// arm queues a cut for a connection to come.
func (ln *lane) arm(c *cut) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.armed = append(ln.armed, c)
}

// nextCut takes the first cut from the queue, nil if it is empty.
func (ln *lane) nextCut() *cut {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if len(ln.armed) == 0 {
		return nil
	}
	c := ln.armed[0]
	ln.armed = slices.Delete(ln.armed, 0, 1)
	return c
}

// armCurrent arms a cut on every flow, n bytes after what it has forwarded.
func (ln *lane) armCurrent(c *cut, n int64) {
	ln.quiesce(func() {
		for f := range ln.flows {
			f.cut, f.cutAt = c, f.sent+n
		}
	})
}

func (ln *lane) stall() { ln.quiesce(func() { ln.stalled = true }) }

func (ln *lane) resume() {
	ln.change(func() {
		ln.stalled = false
		ln.reopen()
	})
}

func (ln *lane) heal() {
	ln.change(func() {
		ln.delay, ln.rate, ln.stalled, ln.armed = 0, 0, false, nil
		for f := range ln.flows {
			f.cut = nil
		}
		ln.reopen()
	})
}

// quiesce calls apply, under the lock, at a moment when no write is under way:
// all that a receiver can have seen is counted then, and not a byte more is
// given. It interrupts writes and does not wait for receivers.
func (ln *lane) quiesce(apply func()) {
	ln.change(func() {
		ln.holds++
		for f := range ln.flows {
			f.interrupt()
		}
	})
	ln.mu.Lock()
	for ln.writing() {
		changed := ln.changed
		ln.mu.Unlock()
		<-changed
		ln.mu.Lock()
	}
	apply()
	ln.holds--
	ln.reopen()
	ln.announce()
	ln.mu.Unlock()
}

// closed reports whether nothing may be read or written now. It needs the lock.
func (ln *lane) closed() bool { return ln.stalled || ln.holds > 0 }

// reopen lets the flows go on if nothing else keeps them. It needs the lock.
func (ln *lane) reopen() {
	if ln.closed() {
		return
	}
	for f := range ln.flows {
		f.proceed()
	}
}

// writing reports whether a flow is in the middle of a write. It needs the lock.
func (ln *lane) writing() bool {
	for f := range ln.flows {
		if f.writing {
			return true
		}
	}
	return false
}

func (ln *lane) halfClose() {
	var ended []*net.TCPConn
	ln.change(func() {
		for f := range ln.flows {
			f.muted = true
			ended = append(ended, f.dst)
		}
	})
	for _, conn := range ended {
		_ = conn.CloseWrite() // fails only on what is closed anyway
	}
}

func (ln *lane) recorded() (record []byte) {
	ln.quiesce(func() { record = slices.Clone(ln.record) })
	return record
}

func (ln *lane) forwarded() (n int64) {
	ln.quiesce(func() { n = ln.total })
	return n
}

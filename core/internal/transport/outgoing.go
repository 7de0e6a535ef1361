package transport

import (
	"sync"
	"time"
)

// outgoing stands before a connection and makes one write of many: what is
// written between hold and flush leaves at once.
type outgoing struct {
	to func([]byte) (int, error)

	mu      sync.Mutex // guards the rest; never held during I/O
	holding bool       // writes are kept until flush
	out     []byte
	freed   chan struct{} // closed when holding ends; nil: nobody waits
}

func (o *outgoing) Write(p []byte) (int, error) {
	o.mu.Lock()
	if o.holding {
		o.out = append(o.out, p...)
		o.mu.Unlock()
		return len(p), nil
	}
	o.mu.Unlock()
	return o.to(p)
}

func (o *outgoing) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = true
}

// idle reports whether nothing is kept and nobody is flushing.
func (o *outgoing) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.holding
}

// idleWithin waits for that at most so long.
func (o *outgoing) idleWithin(d time.Duration) bool {
	o.mu.Lock()
	if !o.holding {
		o.mu.Unlock()
		return true
	}
	if o.freed == nil {
		o.freed = make(chan struct{})
	}
	freed := o.freed
	o.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-freed:
		return true
	case <-t.C:
		return false
	}
}

// flush writes what was held. It goes on holding until all is written, so that
// what comes meanwhile keeps its place.
func (o *outgoing) flush() error {
	var done []byte
	for {
		o.mu.Lock()
		b := o.out
		if len(b) == 0 {
			o.holding = false
			if o.freed != nil {
				close(o.freed)
				o.freed = nil
			}
			if o.out == nil {
				o.out = done[:0] // to be used again
			}
			o.mu.Unlock()
			return nil
		}
		o.out = nil
		o.mu.Unlock()
		if _, err := o.to(b); err != nil {
			return err
		}
		done = b
	}
}

// shrink gives back memory.
func (o *outgoing) shrink() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.holding {
		o.out = nil
	}
}

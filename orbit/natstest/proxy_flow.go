package natstest

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

const (
	chunkSize  = 32 << 10
	chunksHeld = 32 // 1 MiB on its way under Delay

	// throttleTick is the rhythm of a throttled flow.
	throttleTick = 10 * time.Millisecond
)

// flow is one direction of one link. One goroutine reads from src and one
// writes to dst, so that a delay holds bytes back without holding up the next.
type flow struct {
	link     *link
	lane     *lane
	src, dst *net.TCPConn
	queue    chan chunk

	// What stands below belongs to the lane and its lock.
	sent    int64
	cut     *cut  // nil: none
	cutAt   int64 // in terms of sent
	muted   bool  // what comes is thrown away
	writing bool
}

// chunk is what one read returned.
type chunk struct {
	data []byte
	at   time.Time // when
}

func newFlow(l *link, ln *lane, src, dst *net.TCPConn, c *cut) *flow {
	f := &flow{link: l, lane: ln, src: src, dst: dst, queue: make(chan chunk, chunksHeld), cut: c}
	if c != nil {
		f.cutAt = c.at
	}
	return f
}

// longAgo as a deadline ends reads and writes at once.
var longAgo = time.Unix(1, 0)

// interrupt ends a read and a write under way; they fail until proceed. Neither
// waits. Both need the lane's lock, so that the last one called counts.
func (f *flow) interrupt() {
	_ = f.src.SetReadDeadline(longAgo)
	_ = f.dst.SetWriteDeadline(longAgo)
}

func (f *flow) proceed() {
	_ = f.src.SetReadDeadline(time.Time{})
	_ = f.dst.SetWriteDeadline(time.Time{})
}

// read reads src to its end into the queue.
func (f *flow) read() {
	defer close(f.queue)
	for f.waitWhileClosed() {
		buf := make([]byte, chunkSize)
		n, err := f.src.Read(buf)
		if n > 0 && !f.enqueue(chunk{buf[:n], time.Now()}) {
			return
		}
		switch {
		case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, io.EOF):
			return
		default: // the peer's reset is passed on
			f.link.end(withReset)
			return
		}
	}
}

func (f *flow) enqueue(c chunk) bool {
	select {
	case f.queue <- c:
		return true
	case <-f.link.ctx.Done():
		return false
	}
}

// waitWhileClosed returns true when the lane is open and false when the link
// has ended.
func (f *flow) waitWhileClosed() bool {
	for {
		f.lane.mu.Lock()
		closed, changed := f.lane.closed(), f.lane.changed
		f.lane.mu.Unlock()
		if !closed {
			return f.link.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-f.link.ctx.Done():
			return false
		}
	}
}

// write forwards what is in the queue and ends dst when it is closed.
func (f *flow) write() {
	var pending chunk
	for {
		s := f.next(len(pending.data), pending.at)
		switch {
		case s.cut != nil:
			f.link.end(f.link.proxy.cutEnding())
			s.cut.finish()
			return
		case s.wait && len(pending.data) > 0:
			if !f.pause(s.until, s.changed) {
				return
			}
		case len(pending.data) > 0:
			n, ok := f.forward(pending.data[:s.n], s.muted)
			pending.data = pending.data[n:]
			if !ok || (s.pace > 0 && !f.pause(time.Now().Add(s.pace), nil)) {
				return
			}
		default:
			var more bool
			if pending, more = f.dequeue(s.changed); !more {
				f.finish()
				return
			}
		}
	}
}

// step is what the rules let a flow do next.
type step struct {
	cut     *cut          // cut the link
	wait    bool          // until then (zero: as long as it takes) or until the rules change
	until   time.Time     //
	n       int           // forward so many bytes
	pace    time.Duration // and rest so long
	muted   bool          // throw them away
	changed <-chan struct{}
}

// next asks the rules what to do with n bytes that came at a time. If they are
// to be forwarded, the flow is writing from then on, until forward says
// otherwise.
func (f *flow) next(n int, at time.Time) step {
	ln := f.lane
	ln.mu.Lock()
	defer ln.mu.Unlock()
	s := step{changed: ln.changed, n: n, muted: f.muted}
	if f.cut != nil {
		left := max(0, f.cutAt-f.sent)
		if left == 0 {
			s.cut = f.cut
			return s
		}
		s.n = int(min(int64(s.n), left))
	}
	if due := at.Add(ln.delay); n > 0 && ln.delay > 0 && time.Now().Before(due) {
		s.wait, s.until = true, due
	}
	if ln.closed() {
		s.wait, s.until = true, time.Time{}
	}
	if ln.rate > 0 && n > 0 {
		s.n = min(s.n, max(1, ln.rate/int(time.Second/throttleTick)))
		s.pace = time.Duration(s.n) * time.Second / time.Duration(ln.rate)
	}
	f.writing = n > 0 && !s.wait
	return s
}

// forward writes data to dst, or throws it away, and returns how much of it is
// dealt with. It returns false if the link has ended.
func (f *flow) forward(data []byte, muted bool) (int, bool) {
	n, err := len(data), error(nil)
	if !muted {
		n, err = f.dst.Write(data)
	}
	muted = f.account(data[:n], muted)
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		return n, true
	case muted: // HalfClose came between
		return len(data), true
	}
	f.link.end(withReset)
	return n, false
}

// account notes what was written and returns whether the flow is muted by now.
func (f *flow) account(data []byte, discarded bool) bool {
	ln := f.lane
	ln.mu.Lock()
	defer ln.mu.Unlock()
	f.writing = false
	if !discarded {
		f.sent += int64(len(data))
		ln.total += int64(len(data))
		if ln.recording {
			ln.record = append(ln.record, data...)
		}
	}
	if ln.closed() {
		ln.announce() // quiesce waits for this
	}
	return f.muted
}

// pause waits until a time (zero: for ever) or a change of the rules. It
// returns false if the link has ended.
func (f *flow) pause(until time.Time, changed <-chan struct{}) bool {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-f.link.ctx.Done():
		return false
	}
	return true
}

// dequeue waits for a chunk or a change of the rules, which gives an empty one.
// It returns false at the end of the stream.
func (f *flow) dequeue(changed <-chan struct{}) (chunk, bool) {
	select {
	case c, ok := <-f.queue:
		return c, ok
	case <-changed:
		return chunk{}, true
	}
}

// finish passes the end of the stream on.
func (f *flow) finish() {
	if f.waitWhileClosed() {
		_ = f.dst.CloseWrite() // the other side may have closed everything
	}
}

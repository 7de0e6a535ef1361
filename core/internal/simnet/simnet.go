// Package simnet makes connections in memory that behave like those of a
// kernel, good ones and bad ones.
//
// Each direction has a buffer, so that a write returns before the peer reads,
// and a full one blocks it: net.Pipe has none, which hides partial writes and
// makes a peer that does not read a peer that does not answer. Deadlines,
// half-close and every fault can be used at any time, by anybody. Waiting is
// waiting on channels and timers, so a connection that was made in a
// testing/synctest bubble lets the bubble's time pass.
//
// It is imported by test files only.
package simnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultCapacity is the buffer of each direction.
const DefaultCapacity = 64 << 10

// Pipe returns the two ends of a connection with DefaultCapacity.
func Pipe() (a, b *Conn) { return PipeSize(DefaultCapacity) }

// PipeSize returns the two ends of a connection whose directions buffer
// capacity bytes each, at least one.
func PipeSize(capacity int) (a, b *Conn) {
	ab, ba := newStream(capacity), newStream(capacity)
	a = &Conn{in: ba, out: ab, name: "sim-a", peer: "sim-b"}
	b = &Conn{in: ab, out: ba, name: "sim-b", peer: "sim-a"}
	return a, b
}

// Conn is one end of a connection. It is a net.Conn; the other methods are the
// faults.
type Conn struct {
	in, out    *stream
	rd, wd     deadline
	name, peer string
}

// Read implements net.Conn. A Read of no bytes returns at once.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b, &c.rd)
	return n, opError("read", c, err)
}

// Write implements net.Conn: it returns when all of b is in the buffer, or with
// the number of bytes that are when it cannot go on.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b, &c.wd)
	return n, opError("write", c, err)
}

// Close ends both directions. The peer reads what is in its buffer and then
// io.EOF; its writes fail. What the peer sent and this end has not read is lost.
func (c *Conn) Close() error {
	c.out.update(func(s *stream) {
		s.werr = net.ErrClosed
		if s.rerr == nil {
			s.rerr = io.EOF
		}
	})
	c.in.update(func(s *stream) {
		s.now, s.buf = net.ErrClosed, nil
		if s.werr == nil {
			s.werr = syscall.EPIPE
		}
	})
	return nil
}

// CloseWrite ends the outgoing direction only.
func (c *Conn) CloseWrite() error {
	c.out.update(func(s *stream) {
		if s.werr == nil {
			s.rerr, s.werr = io.EOF, syscall.EPIPE
		}
	})
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return addr(c.name) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return addr(c.peer) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wd.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { c.rd.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.wd.set(t); return nil }

// Cut breaks the connection as a reset does: both ends read and write nothing
// any more but err; what is in the buffers is lost. A nil err is ECONNRESET.
func (c *Conn) Cut(err error) {
	if err == nil {
		err = syscall.ECONNRESET
	}
	for _, s := range []*stream{c.in, c.out} {
		s.update(func(s *stream) {
			s.buf = nil
			if s.now == nil {
				s.now = err
			}
			if s.werr != net.ErrClosed {
				s.werr = err
			}
		})
	}
}

// StallReads keeps what arrives from this end until it is lifted: the network
// holds it back.
func (c *Conn) StallReads(on bool) { c.in.update(func(s *stream) { s.stallRead = on }) }

// StallWrites makes this end's writes take no bytes until it is lifted.
func (c *Conn) StallWrites(on bool) { c.out.update(func(s *stream) { s.stallWrite = on }) }

// FailWrites makes this end's writes fail with err once n more bytes were taken.
// What was taken arrives.
func (c *Conn) FailWrites(n int, err error) {
	c.out.update(func(s *stream) { s.failAfter, s.failure = n, err })
}

// Chunk bounds the bytes that one Read of this end returns; 0 lifts it.
func (c *Conn) Chunk(n int) { c.in.update(func(s *stream) { s.chunk = n }) }

// Buffered is the number of bytes that wait to be read by this end.
func (c *Conn) Buffered() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf)
}

func opError(op string, c *Conn, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "sim", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }

// stream is one direction.
type stream struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced by each change
	buf      []byte
	capacity int

	rerr  error // of reads when buf is empty
	now   error // of reads although buf is not
	werr  error // of writes
	chunk int

	stallRead, stallWrite bool
	failure               error // of writes when failAfter more bytes were taken
	failAfter             int
}

func newStream(capacity int) *stream {
	return &stream{changed: make(chan struct{}), capacity: max(capacity, 1)}
}

// update changes the stream and wakes all who wait.
func (s *stream) update(f func(s *stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.wake()
}

// wake lets all who wait look again; mu held.
func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) read(b []byte, d *deadline) (int, error) {
	for {
		expired := d.expired()
		s.mu.Lock()
		switch {
		case s.now != nil:
			defer s.mu.Unlock()
			return 0, s.now
		case d.passed():
			s.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			s.mu.Unlock()
			return 0, nil
		case s.stallRead:
		case len(s.buf) > 0:
			n := len(s.buf)
			if s.chunk > 0 {
				n = min(n, s.chunk)
			}
			n = copy(b, s.buf[:n])
			if s.buf = s.buf[n:]; len(s.buf) == 0 {
				s.buf = nil
			}
			s.wake()
			s.mu.Unlock()
			return n, nil
		case s.rerr != nil:
			defer s.mu.Unlock()
			return 0, s.rerr
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-expired:
		}
	}
}

func (s *stream) write(b []byte, d *deadline) (done int, err error) {
	for {
		expired := d.expired()
		s.mu.Lock()
		n := min(len(b)-done, s.capacity-len(s.buf))
		if s.failure != nil {
			n = min(n, s.failAfter)
		}
		switch {
		case s.werr != nil:
			defer s.mu.Unlock()
			return done, s.werr
		case d.passed():
			s.mu.Unlock()
			return done, os.ErrDeadlineExceeded
		case s.failure != nil && s.failAfter == 0:
			s.werr = s.failure
			defer s.mu.Unlock()
			return done, s.failure
		case done == len(b):
			s.mu.Unlock()
			return done, nil
		case n > 0 && !s.stallWrite:
			s.buf = append(s.buf, b[done:done+n]...)
			done += n
			s.failAfter -= n
			s.wake()
			s.mu.Unlock()
			if done == len(b) {
				return done, nil
			}
			continue
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-expired:
		}
	}
}

// deadline is a point in time that may move while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	at    time.Time
	timer *time.Timer
	done  chan struct{} // closed when it passed or moved
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if d.done != nil {
		close(d.done) // who waits looks again
		d.done = nil
	}
}

// passed reports whether the deadline is in the past.
func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

// expired returns a channel that is closed when the deadline passes or moves.
func (d *deadline) expired() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if !d.at.IsZero() {
			done := d.done
			d.timer = time.AfterFunc(time.Until(d.at), func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				if d.done == done {
					close(done)
					d.done = nil
				}
			})
		}
	}
	return d.done
}

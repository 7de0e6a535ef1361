package fakeserver

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// errReset is what a connection reports that was cut.
var errReset = &net.OpError{Op: "write", Net: "fake", Err: syscall.ECONNRESET}

// pipe is one direction of a connection: a buffer with a limit.
type pipe struct {
	mu      sync.Mutex
	buf     []byte
	limit   int
	frozen  bool          // reads see nothing
	err     error         // of reads once buf is empty; set by the end of the writer
	werr    error         // of writes
	cut     int           // bytes that are still let through; -1: all
	swallow bool          // at the cut, writes succeed and lead nowhere
	onCut   func()        // called once, without the lock
	changed chan struct{} // closed at each change
}

func newPipe(limit int) *pipe {
	return &pipe{limit: limit, cut: -1, changed: make(chan struct{})}
}

// notify wakes everybody who waits; mu held.
func (p *pipe) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.notify()
}

// finish ends the direction: reads get rerr after what is buffered, writes werr.
func (p *pipe) finish(rerr, werr error) {
	p.update(func() {
		if p.err == nil {
			p.err = rerr
		}
		if p.werr == nil {
			p.werr = werr
		}
	})
}

func (p *pipe) read(b []byte, d *deadline) (int, error) {
	for {
		p.mu.Lock()
		n, err, changed := 0, error(nil), p.changed
		switch {
		case d.passed():
			err = os.ErrDeadlineExceeded
		case errors.Is(p.err, net.ErrClosed):
			err = p.err
		case len(p.buf) > 0 && !p.frozen:
			n = copy(b, p.buf)
			p.buf = p.buf[n:]
			p.notify()
		case p.err != nil:
			err = p.err
		}
		p.mu.Unlock()
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		select {
		case <-changed:
		case <-d.wait():
		}
	}
}

func (p *pipe) write(b []byte, d *deadline) (n int, err error) {
	for {
		p.mu.Lock()
		changed := p.changed
		var cut func()
		switch {
		case p.werr != nil:
			err = p.werr
		case d.passed():
			err = os.ErrDeadlineExceeded
		default:
			k := min(len(b), p.limit-len(p.buf))
			if p.cut >= 0 {
				k = min(k, p.cut)
				p.cut -= k
			}
			if k > 0 {
				p.buf = append(p.buf, b[:k]...)
				b = b[k:]
				n += k
				p.notify()
			}
			if p.cut == 0 && len(b) > 0 {
				cut, p.onCut = p.onCut, nil
				if p.swallow {
					n += len(b)
					b = nil
				} else {
					err = errReset
				}
			}
		}
		p.mu.Unlock()
		if cut != nil {
			cut()
		}
		if err != nil || len(b) == 0 {
			return n, err
		}
		select {
		case <-changed:
		case <-d.wait():
		}
	}
}

// deadline is one of a connection's deadlines.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	ch    chan struct{} // closed when the deadline has passed or was changed
	over  bool
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ch != nil {
		close(d.ch) // whoever waits looks again
		d.ch = nil
	}
	d.over = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.over = true
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer != timer {
			return
		}
		d.over = true
		if d.ch != nil {
			close(d.ch)
			d.ch = nil
		}
	})
	d.timer = timer
}

func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		c := make(chan struct{})
		close(c)
		return c
	}
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	return d.ch
}

type addr string

func (addr) Network() string  { return "fake" }
func (a addr) String() string { return string(a) }

// conn is one end of a connection.
type conn struct {
	in, out       *pipe
	rd, wd        deadline
	local, remote addr
}

// connect makes both ends. capacity is what the client can write ahead.
func connect(client, server string, capacity int) (c, s *conn) {
	up, down := newPipe(capacity), newPipe(1<<30)
	c = &conn{in: down, out: up, local: addr(client), remote: addr(server)}
	s = &conn{in: up, out: down, local: addr(server), remote: addr(client)}
	return c, s
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b, &c.rd) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b, &c.wd) }

// Close ends both directions: the other end reads what is buffered and then
// EOF, and cannot write any more.
func (c *conn) Close() error {
	c.rd.set(time.Time{})
	c.wd.set(time.Time{})
	c.out.finish(io.EOF, net.ErrClosed)
	c.in.update(func() {
		if c.in.err == nil || c.in.err == io.EOF {
			c.in.err = net.ErrClosed
		}
		if c.in.werr == nil {
			c.in.werr = errReset
		}
	})
	return nil
}

// reset ends both directions at once; what is buffered towards the client is
// lost.
func (c *conn) reset() {
	c.out.update(func() { c.out.buf, c.out.frozen = nil, false })
	c.out.finish(errReset, errReset)
	c.in.finish(io.EOF, errReset)
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }
func (c *conn) SetDeadline(t time.Time) error {
	c.rd.set(t)
	c.wd.set(t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.rd.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.wd.set(t); return nil }

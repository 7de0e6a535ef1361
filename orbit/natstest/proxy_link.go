package natstest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// ending is how a connection ends: with an end of stream or with a reset.
type ending bool

const (
	withEOF   ending = false
	withReset ending = true
)

// dialTimeout bounds the connect to the upstream, in the face of an upstream
// that is not even there to refuse.
const dialTimeout = 10 * time.Second

// link is one connection through the proxy: two sockets and, once both are
// there, a flow each way.
type link struct {
	proxy *Proxy
	ctx   context.Context // ends when the link does
	stop  context.CancelFunc
	cuts  [2]*cut       // by lane, what CutAfter has in store for it
	gone  chan struct{} // closed when nothing of the link is left

	mu    sync.Mutex
	conns []*net.TCPConn // the client's, then the server's
	ended bool
	how   ending
}

// listen needs the proxy's turn.
func (p *Proxy) listen() error {
	if p.stopped {
		return ErrStopped
	}
	l, err := net.Listen("tcp", p.Addr())
	if err != nil {
		return err
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			p.admit(conn.(*net.TCPConn))
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files: others may close some
			retry := time.NewTimer(10 * time.Millisecond)
			select {
			case <-retry.C:
			case <-p.ctx.Done():
			}
		}
	}
}

// admit makes a link of a new connection and starts it.
func (p *Proxy) admit(conn *net.TCPConn) {
	l := &link{proxy: p, conns: []*net.TCPConn{conn}, gone: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(p.ctx)

	p.mu.Lock()
	admitted := p.links != nil && !p.rejects
	how, upstream := ending(p.resets), p.upstream
	if admitted {
		p.links[l] = struct{}{}
		p.accepted++
	}
	p.mu.Unlock()

	if !admitted {
		l.end(how)
		return
	}
	for i, lane := range p.lanes {
		l.cuts[i] = lane.nextCut()
	}
	p.wg.Go(func() {
		l.run(upstream)
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
		close(l.gone)
	})
}

// retire lets no more links in and returns those there are.
func (p *Proxy) retire() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := p.linkList()
	p.links = nil
	return links
}

func (p *Proxy) currentLinks() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.linkList()
}

// linkList needs the lock.
func (p *Proxy) linkList() []*link {
	list := make([]*link, 0, len(p.links))
	for l := range p.links {
		list = append(list, l)
	}
	return list
}

func (p *Proxy) cutEnding() ending {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ending(p.resets)
}

// run connects to the server and forwards until the link ends.
func (l *link) run(upstream string) {
	defer l.end(withEOF)
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(l.ctx, "tcp", upstream)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	if !l.add(server) {
		return
	}
	client := l.conns[0]
	flows := []*flow{
		newFlow(l, l.proxy.lanes[0], client, server, l.cuts[0]),
		newFlow(l, l.proxy.lanes[1], server, client, l.cuts[1]),
	}
	// Both lanes know the link before a byte moves on either: who has seen one
	// may count on CutIn and HalfClose.
	for _, f := range flows {
		f.lane.add(f)
		defer f.lane.remove(f)
	}
	var wg sync.WaitGroup
	for _, f := range flows {
		wg.Go(f.read)
		wg.Go(f.write)
	}
	wg.Wait()
}

// add makes conn the link's own. If the link has ended meanwhile it ends conn in
// the same way and returns false.
func (l *link) add(conn *net.TCPConn) bool {
	l.mu.Lock()
	ended, how := l.ended, l.how
	if !ended {
		l.conns = append(l.conns, conn)
	}
	l.mu.Unlock()
	if ended {
		endConns(how, conn)
	}
	return !ended
}

// end closes the link's sockets, which ends its goroutines. Only the first call
// counts.
func (l *link) end(how ending) {
	l.mu.Lock()
	first, conns := !l.ended, slices.Clone(l.conns)
	if first {
		l.ended, l.how = true, how
	}
	l.mu.Unlock()
	if first {
		l.stop() // first, or a flow takes the close of its source for an end of stream to pass on
		endConns(how, conns...)
	}
}

func endConns(how ending, conns ...*net.TCPConn) {
	for _, conn := range conns {
		if how == withReset {
			_ = conn.SetLinger(0)
		} else {
			_ = conn.CloseWrite() // first, because Close alone resets if something is unread
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
}

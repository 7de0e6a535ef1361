package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/transport"
	"github.com/perigee-go/nats/core/internal/wire"
)

// errReconnect ends a link because the user asked for another.
var errReconnect = errors.New("nats: reconnect asked for")

// supervise is the one goroutine that makes links. The machine decides; this
// does it. The old link has ended, with its goroutines, before there is a new
// one.
func (nc *Conn) supervise() {
	defer close(nc.supervised)
	waited := false // the wait before the attempt is over
	for nc.ctx.Err() == nil {
		act := nc.decide(waited)
		waited = act.Kind == reconnect.Wait
		switch act.Kind {
		case reconnect.Dial:
			nc.try(act.Server)
		case reconnect.Wait:
			nc.sleep(act)
		case reconnect.GiveUp:
			nc.shut(nc.giveUpError())
			return
		}
	}
	nc.shut(nil)
}

// decide asks the user, who is asked once an attempt, and else the machine.
func (nc *Conn) decide(waited bool) reconnect.Action {
	if nc.cfg.choose != nil && !waited {
		if act, ok := nc.choose(); ok {
			return act
		}
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	return nc.machine.Next(nc.now(), nc.chance())
}

// giveUpError is why the Conn closes by itself.
func (nc *Conn) giveUpError() error {
	nc.mu.Lock()
	defer nc.mu.Unlock()
	ce := &ConnectError{}
	for _, s := range nc.machine.Pool().Servers() {
		if s.Attempts > 0 {
			ce.Attempts = append(ce.Attempts, publicServer(s, false))
		}
	}
	if len(ce.Attempts) == 0 && nc.lostBy != nil {
		return nc.lostBy // NoReconnect: what ended the link
	}
	return ce
}

// sleep waits out a back-off, unless Reconnect or Close ends it.
func (nc *Conn) sleep(act reconnect.Action) {
	var answer chan time.Duration
	wait := act.Until - nc.now()
	if f := nc.cfg.customDelay; f != nil && act.Round > 0 {
		// User code, which may close the Conn, and so waits for us.
		answer = make(chan time.Duration, 1)
		go func() { answer <- f(act.Round) }()
		wait = math.MaxInt64
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case d := <-answer:
			d = max(d, time.Millisecond)
			nc.mu.Lock()
			nc.machine.Delay(nc.now() + d)
			nc.mu.Unlock()
			t.Reset(d)
			continue
		case <-t.C:
			nc.mu.Lock()
			nc.machine.Delay(0)
			nc.mu.Unlock()
		case <-nc.poke:
			nc.mu.Lock()
			nc.machine.Now()
			nc.mu.Unlock()
		case <-nc.ctx.Done():
		}
		return
	}
}

// try makes one attempt on a server and, if it succeeds, sees the link through.
func (nc *Conn) try(srv *reconnect.Server) {
	nc.mu.Lock()
	target := *srv // SetServers may change the original
	nc.mu.Unlock()

	l, err := nc.open(&target, nc.out, nc.rcv)
	if err == nil {
		err = nc.join(l)
	}
	if err != nil {
		nc.attemptFailed(srv, err)
		return
	}
	nc.serve(srv, l)
}

// serve sees a link through, and those that take its place.
func (nc *Conn) serve(srv *reconnect.Server, l *link.Link) {
	nc.linkUp(srv, l)
	for {
		select {
		case <-nc.move:
			if m, ok := nc.migrate(srv, l); ok {
				srv, l = m.srv, m.l
				nc.linkUp(srv, l)
			}
			continue
		case <-l.Ended():
		case <-nc.ctx.Done():
			l.End(ErrClosed)
		}
		nc.linkDown(l)
		return
	}
}

func (nc *Conn) attemptFailed(srv *reconnect.Server, err error) {
	if nc.ctx.Err() != nil {
		return
	}
	refused, err := classify(err)
	nc.mu.Lock()
	nc.machine.Failed(nc.now(), srv, err, refused)
	nc.attempts++
	public, attempt := publicServer(srv, false), srv.Attempts
	first := !nc.everUp && !nc.cfg.retryFirst
	nc.mu.Unlock()
	nc.last.Store(&err)
	if !first { // Connect returns those
		nc.emit(ConnectFailed{public, attempt, err})
	}
}

// open makes a link to the server within Timeout. Dialers, credential handlers
// and the like are users' code: one that does not come back in time is left
// behind, and what it brings later is thrown away.
func (nc *Conn) open(srv *reconnect.Server, out *outbox.Outbox, sink link.Sink) (*link.Link, error) {
	ctx, cancel := context.WithTimeoutCause(nc.ctx, nc.cfg.timeout, timeoutAfter(nc.cfg.timeout))
	defer cancel()
	type result struct {
		l   *link.Link
		err error
	}
	opened := make(chan result, 1)
	go func() {
		r := result{err: errGoexit}
		defer func() { opened <- r }()
		r.l, r.err = nc.handshake(ctx, srv, out, sink)
	}()
	select {
	case r := <-opened:
		return r.l, r.err
	case <-ctx.Done():
	}
	t := time.NewTimer(abandonAfter)
	defer t.Stop()
	select {
	case r := <-opened: // the usual case: it heeds ctx and says what it was at
		return r.l, r.err
	case <-t.C:
		go func() {
			if r := <-opened; r.l != nil {
				r.l.Drop()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// errGoexit: a handler ended its goroutine, as t.FailNow does in a test.
var errGoexit = errors.New("nats: a handler called runtime.Goexit")

// abandonAfter is how long users' code may outlive its time before it is left
// behind.
const abandonAfter = 10 * time.Millisecond

// handshake dials the server and does all that comes before a link is up.
func (nc *Conn) handshake(ctx context.Context, srv *reconnect.Server, out *outbox.Outbox, sink link.Sink) (l *link.Link, err error) {
	if t := nc.cfg.tracer; t != nil {
		op := &Operation{Kind: OpConnect, Conn: nc, Subject: srv.URL()}
		ctx = t.Start(ctx, op)
		defer func() { t.End(ctx, op, err) }()
	}
	conn, mode, err := nc.dial(ctx, srv)
	if err != nil {
		return nil, err
	}
	returned := false
	defer func() {
		if !returned {
			_ = conn.Close()
			if ws, ok := conn.(*transport.WebSocket); ok {
				ws.Release()
			}
		}
	}()
	l, err = link.Open(ctx, conn, link.Config{
		Outbox: out, Sink: sink, KeepAlive: nc.cfg.keepAlive(),
		WriteTimeout: nc.cfg.writeTimeout, MaxPayload: nc.cfg.maxInbound,
		TLS:       mode,
		TLSConfig: func() (*tls.Config, error) { return nc.cfg.tlsConfig(srv.TLSName) },
		Connect: func(info *wire.Info, secure bool) ([]byte, error) {
			return nc.cfg.connectDocument(ctx, srv, info, secure)
		},
	})
	returned = true
	return l, err
}

func (nc *Conn) dial(ctx context.Context, srv *reconnect.Server) (net.Conn, link.TLSMode, error) {
	if p := nc.cfg.inProcess; p != nil {
		c, err := p.InProcessConn()
		if c == nil && err == nil {
			err = transport.ErrNoConnection
		}
		return c, link.TLSDone, err
	}
	if srv.WebSocket() {
		c, err := nc.dialWebSocket(ctx, srv)
		return c, link.TLSDone, err
	}
	mode := link.TLSAuto
	switch {
	case tlsDone(nc.cfg.dialer):
		mode = link.TLSDone
	case nc.cfg.tlsFirst:
		mode = link.TLSFirst
	case nc.cfg.secure || srv.Secure():
		mode = link.TLSRequired
	}
	c, err := transport.Dial(ctx, nc.cfg.dialer, srv.Address())
	return c, mode, err
}

func tlsDone(d Dialer) bool {
	t, ok := d.(interface{ TLSDone() bool })
	return ok && t.TLSDone()
}

// join starts the link and sends it all subscriptions. The link counts as up
// only when the server has answered the PING behind the last of them.
func (nc *Conn) join(l *link.Link) error {
	synced := make(chan outbox.Pong, 1)
	subs := nc.attach(l.Info(), synced)
	l.Start(nc.epoch)
	if subs {
		if err := nc.awaitSync(l, synced); err != nil {
			l.End(err)
			err = nc.awaitEnd(l)
			nc.leave(l.Resumable())
			return err
		}
	}
	return nil
}

// attach begins an epoch. It reports whether there are subscriptions, whose PONG
// synced tells.
func (nc *Conn) attach(info *wire.Info, synced chan<- outbox.Pong) (subs bool) {
	nc.epoch++
	nc.setInfo(info)
	if max := info.MaxPayload; max > 0 {
		if n := nc.out.Discard(int(max)); n > 0 {
			nc.tooLarge(n, max)
		}
	}
	return nc.reg.attach(nc.epoch, synced)
}

func (nc *Conn) awaitSync(l *link.Link, synced <-chan outbox.Pong) error {
	t := time.NewTimer(nc.cfg.timeout)
	defer t.Stop()
	select {
	case p := <-synced:
		return p.Err
	case <-l.Ended():
		return ErrDisconnected
	case <-nc.ctx.Done():
		return ErrClosed
	case <-t.C:
		return fmt.Errorf("%w: no PONG after the subscriptions within %v", ErrStaleConnection, nc.cfg.timeout)
	}
}

// awaitGone waits for the goroutines of a link that has ended. A handler on the
// reader that has not returned does not hold up the end of the Conn: it is left
// behind, as others are, and finds everything closed. Then gone is false, and the
// link's receiver still the reader's.
func (nc *Conn) awaitGone(l *link.Link) (gone bool, err error) {
	err = l.WaitWritten()
	select {
	case <-l.Read():
		return true, l.Wait()
	case <-nc.ctx.Done():
	}
	t := time.NewTimer(abandonAfter)
	defer t.Stop()
	select {
	case <-l.Read():
		return true, l.Wait()
	case <-t.C:
		go func() { _ = l.Wait() }()
		return false, err
	}
}

// awaitEnd is awaitGone for the link in use, with the reason of its end. A reader
// that is left behind keeps its receiver.
func (nc *Conn) awaitEnd(l *link.Link) error {
	gone, err := nc.awaitGone(l)
	if !gone {
		nc.rcv = &receiver{nc: nc}
	}
	return err
}

// leave takes everything off a link that has ended: what was not sent stays for
// the next one, open requests fail. resume is as for Outbox.Detach.
func (nc *Conn) leave(resume bool) (unknown uint64) {
	var left uint64
	nc.rcv.reset()
	nc.reg.detach()
	cause := ErrDisconnected
	if nc.ctx.Err() != nil {
		cause = ErrClosed
	}
	nc.reqs.linkLost(nc.epoch, cause, func(withdraw func(uint64) bool) {
		left, unknown = nc.out.Detach(resume, withdraw)
	})
	nc.endLink(left, cause)
	return unknown
}

func (nc *Conn) linkUp(srv *reconnect.Server, l *link.Link) {
	select {
	case <-nc.move: // of the last one
	default:
	}
	nc.mu.Lock()
	nc.machine.Up(nc.now(), srv)
	nc.server = publicServer(srv, true)
	nc.secured = l.Secure()
	srv.Upgraded = srv.Upgraded || nc.secured && !srv.WebSocket()
	nc.links++
	first := !nc.everUp
	nc.everUp = true
	attempts := nc.attempts
	nc.attempts = 0
	nc.mu.Unlock()
	nc.out.Open(nc.epoch)
	nc.lender.Store(l)

	// Whoever hears of the link finds it in use.
	nc.mu.Lock()
	nc.link, nc.lameDuck, nc.byUser = l, false, nil
	nc.shared = &Link{nc: nc, epoch: nc.epoch, ended: make(chan struct{})}
	if first {
		nc.emit(Connected{nc.server})
	} else {
		nc.emit(Reconnected{nc.server, attempts})
	}
	nc.broadcast()
	nc.mu.Unlock()
	nc.heedInfo()
}

func (nc *Conn) linkDown(l *link.Link) {
	asked := nc.halt()
	err := nc.awaitEnd(l)
	nc.lost(l.Resumable(), asked, err)
}

// halt takes note that the link is at its end. It reports whether the user wants
// another.
func (nc *Conn) halt() (asked bool) {
	nc.lender.Store(nil)
	nc.mu.Lock()
	nc.link = nil
	asked = errors.Is(nc.byUser, errReconnect)
	nc.byUser = nil
	nc.broadcast()
	nc.mu.Unlock()
	nc.out.Halt(nc.epoch)
	return asked
}

// lost leaves a link, whose goroutines have ended for err.
func (nc *Conn) lost(resume, asked bool, err error) {
	unknown := nc.leave(resume)
	_, err = classify(err)
	if asked || nc.ctx.Err() != nil {
		err = nil
	}

	nc.mu.Lock()
	nc.machine.Lost(nc.now(), nc.chance(), asked)
	server := nc.server
	server.Current = false
	if err != nil {
		nc.last.Store(&err)
		if nc.cfg.noReconnect || nc.cfg.maxRounds == 0 {
			nc.lostBy = err
		}
	}
	nc.mu.Unlock()
	nc.emit(Disconnected{server, err, int(unknown)})
}

// setInfo makes an INFO the present one.
func (nc *Conn) setInfo(info *wire.Info) {
	nc.info.Store(info)
	nc.maxPayload.Store(info.MaxPayload)
}

// Info implements link.Sink.
func (d *receiver) Info(info *wire.Info) {
	d.lastInfo.Store(info)
	if role := d.role.Load(); role == arriving || role == taking {
		return
	}
	d.nc.setInfo(info)
	d.nc.heedInfo()
}

// heedInfo acts on the last INFO. What comes before the link is up waits for
// that: until then the server of the link before is the present one.
func (nc *Conn) heedInfo() {
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if nc.link == nil {
		return
	}
	info := nc.info.Load()
	nc.discover(info)
	if info.LameDuck && !nc.lameDuck {
		nc.emit(LameDuck{nc.server})
		if nc.cfg.migrate {
			select {
			case nc.move <- struct{}{}:
			default:
			}
		}
	}
	nc.lameDuck = info.LameDuck
}

// discover takes over the servers that an INFO named; mu held. The link has seen
// to it that an unprotected INFO names none when TLS is in use.
func (nc *Conn) discover(info *wire.Info) {
	pool := nc.machine.Pool()
	from := pool.Current()
	urls := info.ConnectURLs
	if from.WebSocket() && len(info.WSConnectURLs) > 0 {
		urls = info.WSConnectURLs // usually the server has put them in the place of the others
	}
	if nc.cfg.ignoreDiscovered || nc.cfg.inProcess != nil || len(urls) == 0 {
		return
	}
	added, removed := pool.Discover(urls, from)
	var e ServersDiscovered
	for _, s := range added {
		e.Added = append(e.Added, publicServer(s, false))
	}
	for _, s := range removed {
		e.Removed = append(e.Removed, publicServer(s, false))
	}
	if len(added)+len(removed) > 0 {
		nc.emit(e)
	}
	if len(added) > 0 && !nc.secured && !nc.warned && nc.cfg.hasSecret(from) {
		nc.warned = true
		nc.asyncError(errPlainSecret)
	}
}

var errPlainSecret = errors.New("nats: without TLS, credentials also go to servers that an unprotected INFO named; use TLS or IgnoreDiscoveredServers")

// ServerError implements link.Sink.
func (d *receiver) ServerError(text string) error {
	nc := d.nc
	e := parseServerError(text)
	if e.closes {
		return e.err
	}
	nc.serverRefused(e)
	return nil
}

// shut closes everything, once, when the supervisor ends.
func (nc *Conn) shut(err error) {
	nc.mu.Lock()
	nc.closed = true
	nc.err = err
	nc.link = nil
	drained := nc.drainedWell
	failed := !nc.everUp && !nc.cfg.retryFirst
	nc.broadcast()
	nc.mu.Unlock()

	nc.reqs.closeAll()
	nc.out.Close(ErrClosed)
	end := ErrClosed
	for _, s := range nc.reg.all() {
		nc.reg.remove(s)
		if drained {
			end = nil
		}
		s.end(end, true)
	}
	nc.work.stop()
	nc.stop()
	if failed { // Connect returns why; nobody has seen this Conn
		nc.events.close()
		close(nc.told)
	} else {
		nc.emit(Closed{err})
	}
	close(nc.done)
}
